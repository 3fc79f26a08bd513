"""The page of an experiment, of whatever kind: claims, sections of its parts, a table to cite, identity.

One file that needs no network, made of the same pieces as the page of a trace. Not here: what was found
(see `burstlens.bench.experiments.findings`), layout (`templates/experiment.html`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ...analysis.core.claims import Claim
from ...analysis.core.errors import DiskError
from ...analysis.core.result import Progress, silent
from ...analysis.core.units import HOUR_S
from ...bench.experiments.findings import Findings, findings
from ...bench.experiments.trials import Question, read
from ..figures.base import number, percent
from .base import Block, block, render, sections, write_images, write_tables
from .citation_tables import Cited, all_cited
from .key_numbers import Fact
from .plain_json import plain

SLUG = "experiment"
TOLD_APART = ("sources", "seeds")
"""Options that have lines of their own in the identity."""
CITED_SHOWN = 24
"""Rows of a table to cite that the page shows; its files have all."""


def write_experiment_page(
    folder: Path,
    out: Path | None = None,
    *,
    command: str = "",
    images: bool = True,
    progress: Progress | None = None,
) -> Path:
    """Write the page of the experiment in `folder` as `index.html`, and beside it `report.json` (the
    findings), `tables/` and `figures/`; return its path.

    They go into `out`, or into the experiment's folder. An experiment that was stopped gets the page of
    what has ended. BurstlensError where nothing has, `folder` holds no known experiment, or `out` cannot be
    written.
    """
    show = progress or silent
    show("reading the experiment", 0.0)
    said = findings(read(folder))
    where = folder if out is None else out
    asked = said.experiment.question
    marked = asked.simulated or asked.synthetic
    name = said.title if marked else f"{said.title} · {asked.title}"
    blocks = [block(part, slug=SLUG, name=name) for part in said.parts]
    cited = all_cited([table for one in blocks for table in one.tables.values()])
    try:
        where.mkdir(parents=True, exist_ok=True)
        write_tables(where / "tables", blocks)
        for number_, table in enumerate(cited, start=1):
            for ending, text in (("md", table.markdown()), ("tex", table.latex())):
                (where / "tables" / f"{_cite_name(number_)}.{ending}").write_text(text, encoding="utf-8")
        told = json.dumps(plain(said.as_dict()), indent=1, ensure_ascii=False)
        (where / "report.json").write_text(told + "\n", encoding="utf-8")
        if images:
            write_images(where / "figures", [each for one in blocks for each in one.drawn], show)
        show("writing the page", 0.95)
        page = where / "index.html"
        page.write_text(_html(said, blocks, cited, command, images), encoding="utf-8")
    except OSError as fault:
        raise DiskError.unwritable(where, fault) from fault
    return page


def _cite_name(count: int) -> str:
    return "cite" if count == 1 else f"cite-{count}"


def _html(said: Findings, blocks: list[Block], cited: list[Cited], command: str, images: bool) -> str:
    asked = said.experiment.question
    return render(
        "experiment.html",
        said.title,
        blocks,
        simulated=asked.simulated,
        synthetic=asked.synthetic,
        unfinished=said.unfinished,
        notes=said.notes,
        facts=_facts(said),
        claims=[(claim, _target(claim, blocks)) for claim in said.claims],
        sections=sections(blocks, several=False),
        cited=[
            (_cite_name(count), table, table.rows[:CITED_SHOWN]) for count, table in enumerate(cited, start=1)
        ],
        identity=_identity(asked),
        sources=list(sources(asked.asked.get("sources"))),
        command=command,
        images=images,
    )


def _facts(said: Findings) -> list[Fact]:
    """The few numbers for the head of the page."""
    asked, trials = said.experiment.question, said.experiment.trials
    requests, span_s = (float(trials[name].sum() or 0.0) for name in ("requests", "span_s"))
    failed = float((trials["failure_rate"] * trials["requests"]).sum() or 0.0)
    out: list[Fact] = [
        ("Trials", f"{trials.height:,}", f"of {asked.trials:,}" if trials.height < asked.trials else ""),
        ("Seeds", f"{len(asked.seeds)}", ""),
        ("Requests", f"{requests:,.0f}", "in all trials"),
        ("Time served", number(span_s / HOUR_S), "hours" + (", virtual" if asked.simulated else "")),
    ]
    if requests:
        out.append(("Failed", percent(failed / requests), "of requests"))
    return out


def _target(claim: Claim, blocks: list[Block]) -> str | None:
    """The anchor of a claim's figure, else of its part's section, else none."""
    for one in blocks:
        if one.part.name == claim.part:
            wanted = f"fig-{SLUG}-{claim.part}-{claim.figure}"
            return wanted if wanted in {each.anchor for each in one.drawn} else one.anchor
    return None


def _identity(asked: Question) -> list[tuple[str, str]]:
    """What was asked of what, as label and text."""
    started = datetime.fromtimestamp(asked.started_unix_s, UTC).isoformat(" ", "seconds")
    return [
        ("Experiment", asked.kind),
        ("Workload", "synthetic, or in part" if asked.synthetic else "recorded traces"),
        *((f"Asked: {name}", _said(value)) for name, value in asked.asked.items() if name not in TOLD_APART),
        ("Seeds", ", ".join(map(str, asked.seeds))),
        *((f"Found: {name}", _said(value)) for name, value in asked.facts.items()),
        ("Engine", asked.title),
        *((f"Engine: {name}", _said(value)) for name, value in _flat(asked.engine)),
        ("Started", f"{started} (UTC)"),
        (
            "Ended",
            "as planned" if asked.finished else f"early: {asked.stopped or 'killed, or still running'}",
        ),
    ]


def _flat(value: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Entries one level down, so that a preset's constants stand one a line."""
    for name, item in value.items():
        if isinstance(item, Mapping):
            yield from ((f"{name} {inner}", each) for inner, each in item.items())
        else:
            yield name, item


def _said(value: Any) -> str:
    """A plain value as text."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_said(item)}" for name, item in value.items()) or "none"
    if isinstance(value, list | tuple):
        return ", ".join(_said(item) for item in value) or "none"
    return "none" if value is None else str(value)


def sources(value: Any, role: str = "") -> Iterator[tuple[str, str, str]]:
    """Role, name and SHA-256 (empty where a source has no file) of everything that workloads came from."""
    if isinstance(value, Mapping) and "name" in value:
        yield role, str(value["name"]), str(value.get("sha256") or "")
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from sources(item, str(name))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from sources(item, role)
    elif value is not None:
        yield role, str(value), ""
