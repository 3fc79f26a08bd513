"""The page of one or several traces, and the sections of parts that every page is made of.

Not here: what is drawn (`figures.registry`), what is claimed (`claims.ledger`), HTML (`rendering`), files in
the same folder (`files`), words and layout (`templates/`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from ...analysis.core.claims import Claim
from ...analysis.core.exhibit import marks
from ...analysis.core.result import Part, Progress, listing, silent
from ...analysis.core.verdicts import AGREES, CANNOT_TELL, DIFFERS, PARTLY
from ...analysis.trace.trace import TraceInfo
from ...bench.provisioning.result import Disaggregation
from ..figures.base import Figure
from ..figures.registry import figures_of
from .files import write_images, write_tables
from .key_numbers import facts, identity
from .rendering import environment, render

if TYPE_CHECKING:
    from ...analysis.characterize import Characterization

PAPER = "burstgpt"
"""The ledger of the BurstGPT paper, by name."""

READING_ORDER = (
    "comparison",
    "volume",
    "periodicity",
    "arrivals",
    "sequences",
    "burstiness",
    "lengths",
    "conversations",
    "failures",
    "forecast",
    "disaggregation",
    "over_time",
    "latency",
    "load",
    "loads",
    "parameters",
    "steps",
    "thirds",
    "pairs",
    "policies",
    "waits",
    "answers",
    "ratios",
    "sequence",
    "courses",
)
"""Parts by name in the order of their sections: of traces, of a run, of experiments. Others come last."""

FIGURE_OF_CLAIM = {
    "size": "shares",
    "rate": "rates",
    "maf-bursty": "dispersion",
    "weekly": "calendar",
    "daily": "hour-of-day",
    "gamma": "shape-sequence",
    "cv": "cv",
    "turns": "turns",
    "interval": "intervals",
    "long": "long-intervals",
    "zipf": "request-zipf",
    "bimodal": "response-modes",
    "linear": "response-by-request",
    "bins": "ridges",
    "failures": "rates",
}
"""The figure of its part that a claim's ledger line links to, where the check names none."""
FINDINGS_SHOWN = 4
ROWS_SHOWN = 12
VERDICTS = (AGREES, PARTLY, DIFFERS, CANNOT_TELL)


@dataclass(frozen=True)
class Drawn:
    """A figure in its place: which trace and part it belongs to."""

    figure: Figure
    anchor: str
    file: str
    """Stem of its files, without folder."""
    subtitle: str


@dataclass(frozen=True)
class Block:
    """One trace's share of a part's section."""

    part: Part
    info: TraceInfo | None
    slug: str
    prefix: str
    """Before the names of this block's files: empty where the report has one trace."""
    badges: tuple[str, ...]
    """What stands beside every figure's title: `simulated`, `synthetic trace`."""
    drawn: tuple[Drawn, ...]
    tables: dict[str, pl.DataFrame] = field(default_factory=dict)

    @property
    def anchor(self) -> str:
        """Where links to this part of this trace go."""
        return f"part-{self.slug}-{self.part.name}"


def write_page(
    out: Path,
    characterizations: Sequence[Characterization],
    claims: Sequence[Sequence[Claim]],
    command: str,
    *,
    comparison: Part | None = None,
    images: bool = True,
    progress: Progress | None = None,
) -> Path:
    """Write `index.html`, `tables/` and, with `images`, `figures/` into `out`; return the page's path.

    `claims` holds one ledger for each characterization, in their order. `comparison` is a part that
    speaks of all traces together; it gets the first section.
    """
    show = progress or silent
    slugs = slugs_of([each.info.name for each in characterizations])
    show("drawing figures", 0.0)
    blocks = _blocks(characterizations, slugs, comparison)
    out.mkdir(parents=True, exist_ok=True)
    write_tables(out / "tables", blocks)
    drawn = [each for block in blocks for each in block.drawn]
    if images:
        write_images(out / "figures", drawn, show)
    show("writing the page", 0.95)
    page = out / "index.html"
    page.write_text(_html(characterizations, claims, slugs, blocks, command), encoding="utf-8")
    return page


def slugs_of(names: Sequence[str]) -> list[str]:
    """A short name for anchors and files for each trace, all different."""
    seen: Counter[str] = Counter()
    out = []
    for name in names:
        slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40] or "trace"
        seen[slug] += 1
        out.append(slug if seen[slug] == 1 else f"{slug}-{seen[slug]}")
    return out


def _blocks(
    characterizations: Sequence[Characterization], slugs: Sequence[str], comparison: Part | None
) -> list[Block]:
    """Every part of every trace with its figures, by section in reading order."""
    found = []
    if comparison is not None:
        synthetic = [one.info.name for one in characterizations if one.info.synthetic]
        note = f"synthetic: {', '.join(synthetic)}" if synthetic else ""
        found.append(block(comparison, slug="all", name=note, marks=()))
    for one, slug in zip(characterizations, slugs, strict=True):
        prefix = f"{slug}-" if len(characterizations) > 1 else ""
        for part in one.parts:
            preset = part.state.simulated if isinstance(part, Disaggregation) else None
            found.append(
                block(
                    part,
                    slug=slug,
                    name=one.info.name if one.info.synthetic else f"{one.info.name} · recorded trace",
                    marks=marks(preset, one.info.synthetic, "trace"),
                    prefix=prefix,
                    info=one.info,
                )
            )
    order = {name: place for place, name in enumerate(READING_ORDER)}
    return sorted(found, key=lambda b: order.get(b.part.name, len(order)))


def block(
    part: Part,
    *,
    slug: str,
    name: str,
    marks: Sequence[str] | None = None,
    prefix: str = "",
    info: TraceInfo | None = None,
) -> Block:
    """A part with its figures placed on the page and its tables that have rows.

    `marks`, else those of the part, stand beside the titles on the page, and behind `name` in image files.
    """
    shown_marks = part.marks if marks is None else marks
    subtitle = " · ".join([name, *map(_loud, shown_marks)])
    drawn = tuple(
        Drawn(each, f"fig-{slug}-{part.name}-{each.name}", f"{prefix}{part.name}-{each.name}", subtitle)
        for each in figures_of(part)
    )
    tables = {name: table for name, table in part.tables().items() if table.height}
    badges = tuple(mark.partition(" by ")[0] for mark in shown_marks)
    return Block(part, info, slug, prefix, badges, drawn, tables)


def _loud(mark: str) -> str:
    """A mark in capitals, all but the name in it."""
    what, by, name = mark.partition(" by ")
    return f"{what.upper()}{by}{name}"


def _html(
    characterizations: Sequence[Characterization],
    claims: Sequence[Sequence[Claim]],
    slugs: Sequence[str],
    blocks: Sequence[Block],
    command: str,
) -> str:
    from ..claims.ledger import ledgers

    return render(
        "page.html",
        listing([one.info.name for one in characterizations]),
        blocks,
        traces=[
            {
                "info": one.info,
                "slug": slug,
                "facts": facts(one),
                "identity": identity(one),
            }
            for one, slug in zip(characterizations, slugs, strict=True)
        ],
        ledgers=[
            {
                "anchor": "claims" if first == 0 else f"claims-{name}",
                "prefix": "" if first == 0 else f"{name}-",
                "title": ledger.title,
                "source": ledger.source,
                "traces": [
                    _ledger_of([claim for claim in checked if claim.ledger == name], one.info, slug, blocks)
                    for one, slug, checked in zip(characterizations, slugs, claims, strict=True)
                ],
            }
            for first, (name, ledger) in enumerate(ledgers().items())
        ],
        sections=sections(blocks, several=len(characterizations) > 1),
        command=command,
    )


def sections(blocks: Sequence[Block], several: bool) -> list[dict[str, Any]]:
    """What the template shows of each part: one section, one block a trace."""
    methods = environment().get_template("methods.html").module
    out: dict[str, dict[str, Any]] = {}
    for block in blocks:
        name = block.part.name
        method = getattr(methods, name, None)
        section = out.setdefault(
            name,
            {
                "anchor": name,
                "title": block.part.heading(),
                "lead": block.part.lead,
                "method": method() if method else None,
                "blocks": [],
            },
        )
        sentences = block.part.sentences()
        section["blocks"].append(
            {
                "anchor": block.anchor,
                "heading": block.info.name if block.info and several else None,
                "synthetic": block.info is not None and block.info.synthetic,
                "badges": block.badges,
                "missing": block.part.missing,
                "findings": sentences[:FINDINGS_SHOWN],
                "further": sentences[FINDINGS_SHOWN:],
                "figures": [
                    {
                        "anchor": each.anchor,
                        "title": each.figure.title,
                        "alt_text": each.figure.alt_text,
                        "sentence": each.figure.sentence,
                        "how": _how(each.figure),
                        "controls": _controls(each.figure),
                    }
                    for each in block.drawn
                ],
                "tables": [_preview(block, table, name) for name, table in block.tables.items()],
            }
        )
    return list(out.values())


def _controls(figure: Figure) -> list[dict[str, Any]]:
    """What a reader can choose of a figure: each label with its options and the one chosen at first."""
    if figure.choice is None:
        return []
    pairs = zip(figure.choice.options(), figure.choice.start, strict=True)
    return [{"label": label, "options": options, "chosen": chosen} for (label, options), chosen in pairs]


def _how(figure: Figure) -> str:
    """What a reader can do with a figure, beyond pointing at its marks."""
    ways = []
    if figure.legend:
        ways.append("click a legend entry to single it out")
    if figure.zoom:
        ways.append("drag to move, shift and wheel to zoom, double click to reset")
    return ("; ".join(ways).capitalize() + ".") if ways else ""


def _preview(block: Block, table: pl.DataFrame, name: str) -> dict[str, Any]:
    numeric = [kind.is_numeric() for kind in table.schema.values()]
    return {
        "name": name,
        "file": f"tables/{block.prefix}{block.part.name}-{name}.csv",
        "rows": table.height,
        "columns": list(zip(table.columns, numeric, strict=True)),
        "shown": [
            [(_cell(value), is_number) for value, is_number in zip(row, numeric, strict=True)]
            for row in table.head(ROWS_SHOWN).iter_rows()
        ],
    }


def _cell(value: Any) -> str:
    """One value of a table as a person reads it."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"
    return str(value)


def _ledger_of(
    claims: Sequence[Claim], info: TraceInfo, slug: str, blocks: Sequence[Block]
) -> dict[str, Any]:
    """One ledger on one trace, as the template has it."""
    return {
        "info": info,
        "slug": slug,
        "claims": [(claim, _target(claim, slug, blocks)) for claim in claims],
        "verdicts": _verdicts(claims),
    }


def _verdicts(ledger: Sequence[Claim]) -> list[tuple[str, int]]:
    counted = Counter(claim.verdict for claim in ledger)
    return [(verdict, counted[verdict]) for verdict in VERDICTS if counted[verdict]]


def _target(claim: Claim, slug: str, blocks: Sequence[Block]) -> str | None:
    """The anchor of a claim's figure, else of its part's section, else none."""
    for block in blocks:
        # The comparison of all traces belongs to none of them.
        if block.slug in (slug, "all") and block.part.name == claim.part:
            anchors = {each.anchor for each in block.drawn}
            figure = claim.figure or (FIGURE_OF_CLAIM.get(claim.id) if claim.ledger == PAPER else None)
            wanted = f"fig-{block.slug}-{claim.part}-{figure}"
            return wanted if wanted in anchors else block.anchor
    return None
