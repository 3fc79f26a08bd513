"""The page of an experiment, of whatever kind: claims, sections of its parts, a table to cite, identity.

One file that needs no network, made of the same pieces as the page of a trace. Not here: what was found
(see `burstlens.bench.experiments.findings`), layout (`pages.result`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ...analysis.core.exhibit import marks
from ...analysis.core.result import LEVEL, Progress, percent, silent
from ...analysis.core.units import time_span
from ...bench.experiments.findings import Findings, findings
from ...bench.experiments.trials import Question, read
from .base import block
from .citation_tables import Cited, all_cited
from .key_numbers import Fact
from .plain_json import plain
from .result import (
    Banner,
    Copy,
    ResultPage,
    Section,
    Table,
    simulated_banner,
    synthetic_banner,
    with_marks,
    write_result_page,
)

SLUG = "experiment"
OWN_LINES = ("sources", "seeds")
"""Options that have lines of their own in the identity."""
READING = (
    "Settings are compared seed by seed: trials with the same seed share everything that the seed decides. "
    "Intervals are "
    f"Student’s, at {100 * LEVEL:g} %, over seeds. A difference is “higher” or “lower” if its interval "
    "excludes zero, "
    "and “within noise” if it does not; “the same” means that no seed differs at all. Each interval is for "
    "one measure: "
    "of twenty measures that do not differ, expect one to look different by chance."
)
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
    found = findings(read(folder))
    page = experiment_page(found)
    report = json.dumps(plain(found.as_dict()), indent=1, ensure_ascii=False)
    texts = {"report.json": report + "\n"}
    texts |= {
        f"tables/{copy.file}": copy.text
        for section in page.after
        for table in section.tables
        for copy in table.copies
    }
    where = folder if out is None else out
    return write_result_page(page, where, command=command, images=images, show=show, texts=texts)


def experiment_page(found: Findings) -> ResultPage:
    """What the page of an experiment says."""
    question = found.experiment.question
    marked = question.simulated or question.synthetic
    name = found.title if marked else f"{found.title} · {question.title}"
    blocks = [block(part, slug=SLUG, name=name) for part in found.parts]
    tables = all_cited([table for one in blocks for table in one.tables.values()])
    generated = "A model generated some or all of these requests; they are not from a recorded trace."
    return ResultPage(
        kind="experiment",
        title=found.title,
        blocks=blocks,
        banners=[
            *([Banner("Unfinished.", found.unfinished, "unfinished")] if found.unfinished else []),
            *simulated_banner(question.simulated),
            *synthetic_banner(question.synthetic, "Synthetic workload.", generated),
        ],
        facts=_facts(found),
        notes=found.notes,
        claims=found.claims,
        claims_lead="The trials decide a verdict. A difference within noise counts neither for nor "
        "against a claim.",
        after=[_citation(tables, marks(question.simulated, question.synthetic, "workload"))]
        if tables
        else [],
        sources=list(sources(question.options.get("sources"))),
        identity_title="Experiment and method",
        identity=_identity(question),
        reading=[READING],
        files=[("report.json", "the findings"), ("tables/", "CSV, Markdown, LaTeX")],
        further_files="the trials themselves",
    )


def _citation(tables: Sequence[Cited], loud: Sequence[str]) -> Section:
    """Tables ready for a paper, as text in two languages."""
    shown = []
    for count, table in enumerate(tables, start=1):
        name = "cite" if count == 1 else f"cite-{count}"
        rows = table.rows[:CITED_SHOWN]
        more = f"The first {len(rows)} of {len(table.rows)} rows; the files have all."
        shown.append(
            Table(
                table.header,
                rows,
                numeric=range(table.labels, len(table.header)),
                compact=True,
                remark=more if len(table.rows) > len(rows) else "",
                copies=[
                    Copy("Markdown", f"{name}.md", table.markdown()),
                    Copy("LaTeX", f"{name}.tex", table.latex()),
                ],
            )
        )
    lead = (
        f"Means over seeds with {100 * LEVEL:g} % intervals, rounded to the digits that the intervals support"
    )
    return Section(
        anchor="cite",
        title="A table to cite",
        lead=with_marks(lead, loud),
        tables=shown,
        closing="Every measure with every digit: the table “means” above, as CSV.",
    )


def _facts(found: Findings) -> list[Fact]:
    """The few numbers for the head of the page."""
    question, trials = found.experiment.question, found.experiment.trials
    requests, span_s = (float(trials[name].sum() or 0.0) for name in ("requests", "span_s"))
    failed = float((trials["failure_rate"] * trials["requests"]).sum() or 0.0)
    served, unit = time_span(span_s).split(" ")
    out: list[Fact] = [
        (
            "Trials",
            f"{trials.height:,}",
            f"of {question.trials:,}" if trials.height < question.trials else "",
        ),
        ("Seeds", f"{len(question.seeds)}", ""),
        ("Requests", f"{requests:,.0f}", "in all trials"),
        ("Time served", served, unit + (", virtual" if question.simulated else "")),
    ]
    if requests:
        out.append(("Failed", percent(failed / requests), "of requests"))
    return out


def _identity(question: Question) -> list[tuple[str, str]]:
    """What was asked of what, as label and text."""
    started = datetime.fromtimestamp(question.started_unix_s, UTC).isoformat(" ", "seconds")
    return [
        ("Experiment", question.kind),
        ("Workload", "synthetic, or in part" if question.synthetic else "recorded traces"),
        *(
            (f"Option: {name}", _text(value))
            for name, value in question.options.items()
            if name not in OWN_LINES
        ),
        ("Seeds", ", ".join(map(str, question.seeds))),
        *((f"Result: {name}", _text(value)) for name, value in question.facts.items()),
        ("Engine", question.title),
        *((f"Engine: {name}", _text(value)) for name, value in _flat(question.engine)),
        ("Started", f"{started} (UTC)"),
        (
            "Ended",
            "as planned" if question.finished else f"early: {question.stopped or 'killed, or still running'}",
        ),
    ]


def _flat(value: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Entries one level down, so that a preset's constants stand one a line."""
    for name, item in value.items():
        if isinstance(item, Mapping):
            yield from ((f"{name} {inner}", each) for inner, each in item.items())
        else:
            yield name, item


def _text(value: Any) -> str:
    """A plain value as text."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_text(item)}" for name, item in value.items()) or "none"
    if isinstance(value, list | tuple):
        return ", ".join(_text(item) for item in value) or "none"
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
