"""The page of a run: verdict, the paper's Fig. 13 over time, latencies, load, identity; one file, no network.

Made of the same pieces as the page of a trace. Not here: what is told (see `parts.run`), figures
(`figures.bench.run`), layout (`templates/run.html`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ...analysis.core.errors import DiskError
from ...analysis.core.result import Progress, short_time, silent
from ...bench.metrics.measures import LATENCIES, QUANTILES
from ...bench.metrics.models import Slo
from ...bench.metrics.summary import Summary, last_slo, write_summary
from ...bench.record.models import Manifest
from ...bench.record.versioned_json import to_dict
from ..figures.base import number, percent
from ..parts.run import marks_of, parts
from .base import Block, block, render, sections, slugs_of, write_images, write_tables
from .key_numbers import Fact


def write_run_page(
    folder: Path,
    out: Path | None = None,
    *,
    command: str = "",
    slo: Slo | None = None,
    images: bool = True,
    progress: Progress | None = None,
) -> Path:
    """Write the page of the run in `folder` as `index.html`, with `tables/` and `figures/`; return its path.

    They go into `out`, or into the run's folder, where `summary.json` and its Parquet files are brought up
    to date; without `slo` goodput is against the service level of the last summary. BurstlensError where
    `folder` holds no run or `out` cannot be written.
    """
    show = progress or silent
    show("reading the run", 0.0)
    said = write_summary(folder, slo=slo or last_slo(folder))
    where = folder if out is None else out
    blocks = _blocks(said)
    try:
        where.mkdir(parents=True, exist_ok=True)
        write_tables(where / "tables", blocks)
        if images:
            write_images(where / "figures", [each for one in blocks for each in one.drawn], show)
        show("writing the page", 0.95)
        page = where / "index.html"
        page.write_text(_html(said, blocks, command, images), encoding="utf-8")
    except OSError as fault:
        raise DiskError.unwritable(where, fault) from fault
    return page


def _blocks(said: Summary) -> list[Block]:
    run = said.manifest
    (slug,) = slugs_of([run.name])
    name = run.name if marks_of(said) else f"{run.name} · run"
    return [block(part, slug=slug, name=name) for part in parts(said)]


def _html(said: Summary, blocks: list[Block], command: str, images: bool) -> str:
    run = said.manifest
    return render(
        "run.html",
        run.name,
        blocks,
        simulated=run.simulated,
        synthetic=run.synthetic,
        facts=_facts(said),
        trustworthy=said.verdict.trustworthy,
        reasons=said.verdict.reasons,
        columns=("mean", "σ", *QUANTILES),
        latencies=_latencies(said),
        sections=sections(blocks, several=False),
        identity=_identity(run),
        command=command,
        images=images,
    )


def _facts(said: Summary) -> list[Fact]:
    """The few numbers for the head of the page."""
    told = said.metrics
    first, token = told.latencies["ttft_s"], told.latencies["token_latency_s"]
    out: list[Fact] = [
        ("Requests", f"{told.requests:,}", f"{told.failed:,} failed" if told.failed else ""),
        ("Failure rate R", percent(told.failure_rate.value), ""),
        ("Throughput P", number(told.throughput_tps), "tokens/s"),
    ]
    if token.n:
        out.append(("Token latency L", number(1000 * token.mean), f"ms, σ {number(1000 * token.sd)}"))
    if first.n:
        out.append(("TTFT p50", number(1000 * first.p50), f"ms, p99 {number(1000 * first.p99)}"))
    if (used := said.server.get("kv_cache_use")) is not None:
        out.append(("KV-cache use", percent(used.mean), f"max {percent(used.max)}"))
    if said.lateness.n:
        out.append(("Lateness p99", number(1000 * said.lateness.p99), "ms"))
    if told.goodput is not None:
        out.append(("Goodput", number(told.goodput.rps), "requests/s"))
    return out


def _latencies(said: Summary) -> list[tuple[str, list[str]]]:
    """A row for each latency that was measured: mean, jitter and quantiles in words."""
    measured = ((words, said.metrics.latencies[key]) for key, words in LATENCIES.items())
    return [
        (words, [short_time(value) for value in (of.mean, of.sd, *(getattr(of, name) for name in QUANTILES))])
        for words, of in measured
        if of.n
    ]


def _identity(run: Manifest) -> list[tuple[str, str]]:
    """What ran against what, as label and text."""
    started = datetime.fromtimestamp(run.started_unix_s, UTC).isoformat(" ", "seconds")
    return [
        ("Workload", f"{run.name}{' (synthetic)' if run.synthetic else ''}, {run.requests:,} requests"),
        ("Workload SHA-256", run.workload_sha256),
        *(("Note", note) for note in run.notes),
        *((f"Recipe: {name}", _said(value)) for name, value in run.recipe.items()),
        ("Endpoint", run.url or "none: virtual time"),
        ("Served model", run.served_model or "not told"),
        (
            "Server",
            f"SIMULATED, preset {run.simulated}" if run.simulated else run.server_version or "not told",
        ),
        *((f"Setting: {name}", _said(value)) for name, value in to_dict(run.settings).items()),
        ("Started", f"{started} (UTC)"),
        ("Ended", "as planned" if run.finished else f"early: {run.stopped or 'the client was killed'}"),
    ]


def _said(value: Any) -> str:
    """A plain value as text."""
    if isinstance(value, Mapping | list | tuple):
        return json.dumps(value, ensure_ascii=False)
    return "none" if value is None else str(value)
