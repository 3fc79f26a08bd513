"""The page: figures, tables and claims of one or several traces in one HTML file that needs no network.

Beside it `figures/` (SVG and PNG) and `tables/` (CSV). Not here: what is drawn (`figures.registry`), what is
claimed (`claims.ledger`), words and layout (`templates/`).
"""

from __future__ import annotations

import base64
import hashlib
import json
import platform
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from ...analysis.core.claims import Claim
from ...analysis.core.exhibit import marks
from ...analysis.core.result import LEVEL, Part, Progress, listing, silent
from ...analysis.core.verdicts import AGREES, DIFFERS, PARTLY, UNTOLD
from ...analysis.trace.trace import TraceInfo
from ...bench.provisioning.result import Disaggregation
from ..figures import theme
from ..figures.base import Figure, plain_columns
from ..figures.registry import figures_of
from .glossary import words_on_page
from .key_numbers import facts, identity

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
LIBRARIES = ("burstlens", "polars", "duckdb", "numpy", "scipy", "statsmodels", "altair", "vl-convert-python")
VERDICTS = (AGREES, PARTLY, DIFFERS, UNTOLD)


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


def write_tables(folder: Path, blocks: Sequence[Block]) -> None:
    """Every table of these blocks as CSV, columns of lists left out."""
    folder.mkdir(exist_ok=True)
    for block in blocks:
        for name, table in block.tables.items():
            flat = [c for c, kind in table.schema.items() if not kind.is_nested()]
            table.select(flat).write_csv(folder / f"{block.prefix}{block.part.name}-{name}.csv")


def write_images(folder: Path, drawn: Sequence[Drawn], show: Progress) -> None:
    """Every figure as SVG and as PNG at twice its size."""
    import vl_convert

    folder.mkdir(exist_ok=True)
    for i, each in enumerate(drawn):
        show("figures as SVG and PNG", 0.05 + 0.9 * i / len(drawn))
        svg = vl_convert.vegalite_to_svg(json.dumps(each.figure.drawn(each.subtitle)))
        (folder / f"{each.file}.svg").write_text(svg, encoding="utf-8")
        (folder / f"{each.file}.png").write_bytes(vl_convert.svg_to_png(svg, scale=2))


def _json(value: Any) -> Markup:
    """JSON that no HTML parser can take for markup, ready to stand in a data block."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for mark in "&<>\u2028\u2029":
        text = text.replace(mark, f"\\u{ord(mark):04x}")
    return Markup(text)


@cache
def _bundle() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script, from what vl-convert holds: nothing is fetched."""
    import vl_convert

    made: str = vl_convert.javascript_bundle("window.vegaEmbed=vegaEmbed;")
    return "(()=>{" + made.replace("</script", "<\\/script") + "})();"


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("burstlens.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _policy(*scripts: str) -> str:
    """A content security policy: these scripts, inline styles, and not one request."""
    hashes = (base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in scripts)
    allowed = " ".join(f"'sha256-{h}'" for h in hashes)
    # Vega compiles the expressions of a specification, all of them ours, to functions: hence unsafe-eval.
    return (
        f"default-src 'none'; script-src {allowed} 'unsafe-eval'; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )


def fill(template: str, **values: Any) -> str:
    """One of the templates with these values in it, escaped."""
    return _environment().get_template(template).render(**values)


def render(template: str, title: str, blocks: Sequence[Block], **more: Any) -> str:
    """A whole page from one of the templates that extend `base.html`, with the figures of `blocks` in it."""
    environment = _environment()
    source = environment.loader
    assert source is not None
    css, js = (source.get_source(environment, name)[0] for name in ("page.css", "page.js"))
    bundle = _bundle()
    datasets, specs = _inlined(blocks)
    return environment.get_template(template).render(
        title=title,
        policy=_policy(bundle, js),
        font=Markup(theme.FONT),
        light=Markup(theme.css_variables(theme.LIGHT)),
        dark=Markup(theme.css_variables(theme.DARK)),
        css=Markup(css),
        js=Markup(js),
        bundle=Markup(bundle),
        theme=_json({"config": theme.config(), "variables": theme.variables()}),
        datasets=_json(datasets),
        specs=_json(specs),
        level=f"{100 * LEVEL:g}",
        versions={name: metadata.version(name) for name in LIBRARIES} | {"Python": platform.python_version()},
        words_on_page=words_on_page,
        **more,
    )


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


def _inlined(blocks: Sequence[Block]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Datasets by name, each once however many figures draw from it, and the figures' specifications."""
    datasets: dict[str, Any] = {}
    names: dict[str, str] = {}
    specs: dict[str, dict[str, Any]] = {}

    def dataset(columns: dict[str, list[Any]]) -> str:
        digest = hashlib.sha256(json.dumps(columns).encode()).hexdigest()
        name = names.setdefault(digest, f"d{len(names) + 1}")
        datasets[name] = columns
        return name

    for each in (d for block in blocks for d in block.drawn):
        specs[each.anchor] = {
            "spec": each.figure.spec(),
            "data": dataset(each.figure.values()),
            "file": each.file,
            "columns": each.figure.columns,
            "panel": each.figure.panel_px,
            "title": each.figure.heading(each.subtitle),
        }
        if each.figure.choice is not None:
            specs[each.anchor]["states"] = [
                {
                    "options": options,
                    "data": dataset(plain_columns(state.data)),
                    "sentence": state.sentence,
                    "alt": state.alt_text,
                    "title": each.figure.heading(each.subtitle, options),
                }
                for options, state in each.figure.choice.states.items()
            ]
    return datasets, specs


def sections(blocks: Sequence[Block], several: bool) -> list[dict[str, Any]]:
    """What the template shows of each part: one section, one block a trace."""
    methods = _environment().get_template("methods.html").module
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
