"""The page of a run: verdict, the paper's Fig. 13 over time, latencies, load, identity.

Not here: tables and sentences (`parts.run`), figures (`figures.bench.run`), layout (`pages.result`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ...analysis.core.result import Progress, number, percent, short_time, silent
from ...bench.metrics.measures import LATENCIES, QUANTILES
from ...bench.metrics.models import Slo
from ...bench.metrics.summary import Summary, last_slo, write_summary
from ...bench.record.models import Manifest
from ...bench.record.versioned_json import to_dict
from ..parts.run import marks_of, parts
from .base import block, slugs_of
from .key_numbers import Fact
from .result import ResultPage, Section, Table, simulated_banner, synthetic_banner, write_result_page


def write_run_page(
    folder: Path,
    out: Path | None = None,
    *,
    command: str = "",
    slo: Slo | None = None,
    images: bool = True,
    progress: Progress | None = None,
) -> Path:
    """Write the page of a run, and bring its `summary.json` and Parquet files up to date.

    Parameters
    ----------
    folder
        The run's folder.
    out
        Where `index.html`, `tables/` and `figures/` go; None for the run's folder.
    command
        The command line that the page names.
    slo
        The service level of goodput; None for that of the last summary.
    images
        Whether figures are written as SVG and PNG too.
    progress
        Called with each step.

    Returns
    -------
    Path
        That of the page.

    Raises
    ------
    BurstlensError
        If `folder` has no run, or `out` cannot be written.
    """
    show = progress or silent
    show("reading the run", 0.0)
    summary = write_summary(folder, slo=slo or last_slo(folder))
    where = folder if out is None else out
    return write_result_page(run_page(summary), where, command=command, images=images, show=show)


def run_page(summary: Summary) -> ResultPage:
    """What the page of a run says."""
    run = summary.manifest
    (slug,) = slugs_of([run.name])
    name = run.name if marks_of(summary) else f"{run.name} · run"
    synthetic = "A model generated these requests; they are not from a recorded trace."
    return ResultPage(
        kind="run report",
        title=run.name,
        blocks=[block(part, slug=slug, name=name) for part in parts(summary)],
        banners=[
            *simulated_banner(run.simulated),
            *synthetic_banner(run.synthetic, "Synthetic workload.", synthetic),
        ],
        facts=_facts(summary),
        before=[_verdict(summary)],
        identity_title="Run and method",
        identity=_identity(run),
        files=[("summary.json", ""), ("requests.parquet", ""), ("seconds.parquet", ""), ("tables/", "CSV")],
        further_files="the record itself",
    )


def _verdict(summary: Summary) -> Section:
    """Whether to believe the run, and its latencies."""
    verdict, latencies = summary.verdict, _latencies(summary)
    header = ("latency", "mean", "σ", *QUANTILES)
    table = Table(header, latencies, numeric=range(1, len(header)), named_rows=True)
    return Section(
        anchor="verdict",
        title="Did the server get the load that was asked for?",
        label="Verdict",
        verdict=("agrees", "trustworthy") if verdict.trustworthy else ("differs", "not trustworthy"),
        sentences=verdict.reasons,
        text=""
        if verdict.reasons
        else "Yes: any difference in arrivals, gaps or lengths is too small for a server to notice.",
        remark="The verdict is about the client alone: it can send the right requests to a server that "
        "fails them.",
        tables=[table] if latencies else [],
    )


def _facts(summary: Summary) -> list[Fact]:
    """The few numbers for the head of the page."""
    metrics = summary.metrics
    first, token = metrics.latencies["ttft_s"], metrics.latencies["token_latency_s"]
    out: list[Fact] = [
        ("Requests", f"{metrics.requests:,}", f"{metrics.failed:,} failed" if metrics.failed else ""),
        ("Failure rate R", percent(metrics.failure_rate.value), ""),
        ("Throughput P", number(metrics.throughput_tps), "tokens/s"),
    ]
    if token.n:
        out.append(("Token latency L", number(1000 * token.mean), f"ms, σ {number(1000 * token.sd)}"))
    if first.n:
        out.append(("TTFT p50", number(1000 * first.p50), f"ms, p99 {number(1000 * first.p99)}"))
    if (used := summary.server.get("kv_cache_use")) is not None:
        out.append(("KV-cache use", percent(used.mean), f"max {percent(used.max)}"))
    if summary.lateness.n:
        out.append(("Lateness p99", number(1000 * summary.lateness.p99), "ms"))
    if metrics.goodput is not None:
        out.append(("Goodput", number(metrics.goodput.rps), "requests/s"))
    return out


def _latencies(summary: Summary) -> list[tuple[str, ...]]:
    """A row for each latency that was measured: mean, jitter and quantiles in words."""
    measured = ((words, summary.metrics.latencies[key]) for key, words in LATENCIES.items())
    return [
        (words, *map(short_time, (of.mean, of.sd, *(getattr(of, name) for name in QUANTILES))))
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
        *((f"Workload: {name}", _text(value)) for name, value in run.recipe.items()),
        ("Endpoint", run.url or "none: virtual time"),
        ("Served model", run.served_model or "unknown"),
        (
            "Server",
            f"SIMULATED, preset {run.simulated}" if run.simulated else run.server_version or "unknown",
        ),
        *((f"Setting: {name}", _text(value)) for name, value in to_dict(run.settings).items()),
        ("Started", f"{started} (UTC)"),
        ("Ended", "as planned" if run.finished else f"early: {run.stopped or 'the client was killed'}"),
    ]


def _text(value: Any) -> str:
    """A plain value as text."""
    if isinstance(value, Mapping | list | tuple):
        return json.dumps(value, ensure_ascii=False)
    return "none" if value is None else str(value)
