"""The summary of a run: metrics, verdict, server; `summary.json` and two Parquet files.

The terminal's screen and the page are renderings of the `Summary` made here. Not here: what the numbers
mean (`measures`, `per_second`, `load_verdict`), and how they look (`burstlens.cli.screens.run`,
`reports.run_page`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl

from ...analysis.core.errors import DiskError
from ...analysis.core.result import Interval
from ..record.json_bytes import dumps, loads
from ..record.models import Manifest
from ..record.run_folder import read_manifest, read_pieces, read_server, read_workload
from ..record.versioned_json import from_dict, to_dict
from .load_verdict import LoadLimits, LoadVerdict, judge_load
from .measures import Distribution, Goodput, Metrics, complaints, measure, requests, tokens
from .models import (
    Complaint,
    GoodputValues,
    IntervalValues,
    LoadMeasure,
    RequestCounts,
    Slo,
    SummaryFile,
)
from .per_second import GAUGES, WINDOW_S, seconds
from .token_latency import TokenSums

REQUESTS = "requests.parquet"
SECONDS = "seconds.parquet"
SUMMARY = "summary.json"


@dataclass(frozen=True)
class Summary:
    """Everything that is computed from a run's record."""

    folder: Path
    manifest: Manifest
    metrics: Metrics
    verdict: LoadVerdict
    lateness: Distribution
    """Seconds from the intended instant to the send."""
    in_flight: Distribution
    """Mean requests in flight of each second."""
    server: Mapping[str, Distribution]
    """KV-cache use (a share of 1), running and waiting requests, by sample; empty without samples."""
    preemptions: float | None
    """How many the server counted during the run; None if it does not count them."""
    requests: pl.DataFrame
    """One row a request (see `measures.requests`)."""
    seconds: pl.DataFrame
    """One row a second (see `per_second.seconds`)."""
    complaints: pl.DataFrame
    """Error messages of requests that failed (see `measures.complaints`)."""
    window_s: int
    """Length of the sliding window of `seconds`."""

    @property
    def rates_rps(self) -> tuple[float, float]:
        """Mean rate planned and sent, requests per second; NaN with fewer than two instants."""
        table = self.verdict.table.filter(pl.col("measure") == "rate, 1/s")
        return (table["asked"][0], table["sent"][0]) if table.height else (math.nan, math.nan)

    def as_dict(self) -> dict[str, Any]:
        """Convert to values of JSON: numbers without NaN, and only the verdict's table."""
        # Through JSON's bytes, in which a number that is not finite is null.
        content: dict[str, Any] = loads(dumps(to_dict(self.file())))
        return content

    def file(self) -> SummaryFile:
        """Make the content of `summary.json`."""
        metrics = self.metrics
        return SummaryFile(
            run=self.manifest,
            verdict=str(self.verdict),
            trustworthy=self.verdict.trustworthy,
            reasons=self.verdict.reasons,
            requests=RequestCounts(
                planned=metrics.requests,
                answered=metrics.answered,
                failed=metrics.failed,
                aborted=metrics.aborted,
                outcomes=metrics.outcomes,
                retried=metrics.retried,
            ),
            complaints=[Complaint(**row) for row in self.complaints.iter_rows(named=True)],
            span_s=metrics.span_s,
            failure_rate=_interval(metrics.failure_rate),
            throughput_tps=metrics.throughput_tps,
            throughput_rps=metrics.throughput_rps,
            prompt_tps=metrics.prompt_tps,
            untold_tokens=metrics.answers_without_token_count,
            latencies={name: latency.values() for name, latency in metrics.latencies.items()},
            goodput=None if metrics.goodput is None else _goodput(metrics.goodput),
            lateness_s=self.lateness.values(),
            in_flight=self.in_flight.values(),
            server={
                **{name: gauge.values() for name, gauge in self.server.items()},
                "preemptions": self.preemptions,
            },
            window_s=self.window_s,
            load=[from_dict(LoadMeasure, row) for row in self.verdict.table.iter_rows(named=True)],
        )


def summarize(
    folder: Path, *, slo: Slo | None = None, window_s: int = WINDOW_S, limits: LoadLimits | None = None
) -> Summary:
    """Read a run folder and summarize it.

    Parameters
    ----------
    folder
        The run folder.
    slo
        The service level for the goodput.
    window_s
        Length of the sliding window of `seconds`.
    limits
        How far the load may be from the planned one.

    Raises
    ------
    InputError
        If the folder has no run.
    """
    manifest, server, workload = read_manifest(folder), read_server(folder), read_workload(folder)
    record, token_sums = _read(folder)
    rows = requests(record)
    table = seconds(record, server, window_s=window_s, token_sums=token_sums)
    return Summary(
        folder=folder,
        manifest=manifest,
        metrics=measure(record, slo, token_sums),
        verdict=judge_load(
            record,
            workload.requests,
            forced_lengths=manifest.settings.forced_lengths,
            limits=limits,
        ),
        lateness=Distribution.of(rows["lateness_s"].drop_nulls()),
        in_flight=Distribution.of(table["in_flight"]),
        server={name: Distribution.of(server[name].drop_nulls()) for name in GAUGES if server[name].count()},
        preemptions=_rise(server["preemptions"].drop_nulls()),
        requests=rows,
        seconds=table,
        complaints=complaints(record),
        window_s=window_s,
    )


def _read(folder: Path) -> tuple[pl.DataFrame, TokenSums]:
    """The record by `request_id` without its lists, which are most of it, and the sums of these lists."""
    pieces: list[pl.DataFrame] = []

    def token_tables() -> Iterator[pl.DataFrame]:
        for piece in read_pieces(folder):
            # Sorted, so copied: a slice would hold on to the room that reading took.
            pieces.append(piece.drop("gaps_s", "gap_tokens").sort("request_id"))
            yield tokens(piece)

    token_sums = TokenSums.of(token_tables())
    return pl.concat(pieces).sort("request_id"), token_sums


def write_summary(
    folder: Path, *, slo: Slo | None = None, window_s: int = WINDOW_S, limits: LoadLimits | None = None
) -> Summary:
    """Summarize a run and write `requests.parquet`, `seconds.parquet` and `summary.json` into its folder.

    Parameters
    ----------
    folder
        A run folder.
    slo, window_s, limits
        As in `summarize`.

    Returns
    -------
    Summary
        What was written.

    Raises
    ------
    InputError
        If the folder does not have a run, or its record is damaged.
    DiskError
        If a file cannot be read or written.
    """
    summary = summarize(folder, slo=slo, window_s=window_s, limits=limits)
    try:
        summary.requests.write_parquet(folder / REQUESTS)
        summary.seconds.write_parquet(folder / SECONDS)
        text = json.dumps(summary.as_dict(), indent=1, ensure_ascii=False, allow_nan=False)
        (folder / SUMMARY).write_text(text + "\n", encoding="utf-8")
    except OSError as fault:
        raise DiskError.unwritable(folder, fault) from fault
    return summary


def last_slo(folder: Path) -> Slo | None:
    """Read the service level that `summary.json` was made with; None without a file or a level."""
    try:
        content = msgspec.json.decode((folder / SUMMARY).read_bytes(), type=SummaryFile, strict=False)
    except (OSError, ValueError):
        return None
    return None if content.goodput is None else content.goodput.slo


def _rise(counter: pl.Series) -> float | None:
    """How much a counter rose over its samples; after a fall from zero, because it was restarted."""
    if counter.is_empty():
        return None
    values = counter.to_numpy()
    steps = np.diff(values)
    return float(np.where(steps >= 0, steps, values[1:]).sum())


def _interval(interval: Interval) -> IntervalValues:
    return IntervalValues(**interval.as_dict())


def _goodput(goodput: Goodput) -> GoodputValues:
    return GoodputValues(
        slo=goodput.slo, requests=goodput.requests, share=_interval(goodput.share), rps=goodput.rps
    )
