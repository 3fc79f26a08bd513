"""What a finished run says, gathered once: metrics, verdict, server; `summary.json` and two Parquet files.

The terminal's screen and the page are renderings of the `Summary` made here. Not here: what the numbers
mean (`measures`, `per_second`, `load_verdict`), and how they look (`burstlens.cli.screens.run`,
`reports.run_page`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from ...analysis.core.errors import BurstlensError
from ...analysis.core.result import Interval
from ..record.run_folder import Manifest, read_manifest, read_pieces, read_server, read_workload
from .load_verdict import Limits, Verdict, verdict
from .measures import Distribution, Metrics, Slo, complaints, measure, requests, tokens
from .per_second import GAUGES, WINDOW_S, seconds
from .token_latency import TokenSums

REQUESTS = "requests.parquet"
SECONDS = "seconds.parquet"
SUMMARY = "summary.json"


@dataclass(frozen=True)
class Summary:
    """Everything that a run's record says."""

    folder: Path
    manifest: Manifest
    metrics: Metrics
    verdict: Verdict
    lateness: Distribution
    """Seconds from the intended instant to the send."""
    in_flight: Distribution
    """Mean requests in flight of each second."""
    server: Mapping[str, Distribution]
    """KV-cache use (a share of 1), running and waiting requests, by sample; empty where none was taken."""
    preemptions: float | None
    """How many the server counted during the run; None where it tells none."""
    requests: pl.DataFrame
    """One row a request (see `metrics.requests`)."""
    seconds: pl.DataFrame
    """One row a second (see `timeline.seconds`)."""
    complaints: pl.DataFrame
    """What was said of requests that failed (see `metrics.complaints`)."""
    window_s: int
    """Length of the sliding window of `seconds`."""

    @property
    def rates_rps(self) -> tuple[float, float]:
        """Mean rate asked and sent, requests per second; NaN where there were not two instants."""
        table = self.verdict.table.filter(pl.col("measure") == "rate, 1/s")
        return (table["asked"][0], table["sent"][0]) if table.height else (math.nan, math.nan)

    def as_dict(self) -> dict[str, Any]:
        """The same as JSON knows it: numbers without NaN, no tables but the verdict's."""
        said = self.metrics
        plain: dict[str, Any] = _plain(
            {
                "run": asdict(self.manifest),
                "verdict": str(self.verdict),
                "trustworthy": self.verdict.trustworthy,
                "reasons": list(self.verdict.reasons),
                "requests": {
                    "asked": said.requests,
                    "answered": said.answered,
                    "failed": said.failed,
                    "aborted": said.aborted,
                    "outcomes": dict(said.outcomes),
                    "retried": said.retried,
                },
                "complaints": self.complaints.to_dicts(),
                "span_s": said.span_s,
                "failure_rate": said.failure_rate,
                "throughput_tps": said.throughput_tps,
                "throughput_rps": said.throughput_rps,
                "prompt_tps": said.prompt_tps,
                "untold_tokens": said.untold_tokens,
                "latencies": dict(said.latencies),
                "goodput": asdict(said.goodput) if said.goodput else None,
                "lateness_s": self.lateness,
                "in_flight": self.in_flight,
                "server": dict(self.server) | {"preemptions": self.preemptions},
                "window_s": self.window_s,
                "load": self.verdict.table.to_dicts(),
            }
        )
        return plain


def summarize(
    folder: Path, *, slo: Slo | None = None, window_s: int = WINDOW_S, limits: Limits | None = None
) -> Summary:
    """Read a run folder and say what happened; BurstlensError where there is no run in it."""
    manifest, server, workload = read_manifest(folder), read_server(folder), read_workload(folder)
    record, came = _read(folder)
    told = requests(record)
    table = seconds(record, server, window_s=window_s, came=came)
    return Summary(
        folder=folder,
        manifest=manifest,
        metrics=measure(record, slo, came),
        verdict=verdict(
            record,
            workload.requests,
            forced_lengths=bool(manifest.settings.get("ignore_eos", True)),
            limits=limits,
        ),
        lateness=Distribution.of(told["lateness_s"].drop_nulls()),
        in_flight=Distribution.of(table["in_flight"]),
        server={name: Distribution.of(server[name].drop_nulls()) for name in GAUGES if server[name].count()},
        preemptions=_rise(server["preemptions"].drop_nulls()),
        requests=told,
        seconds=table,
        complaints=complaints(record),
        window_s=window_s,
    )


def _read(folder: Path) -> tuple[pl.DataFrame, TokenSums]:
    """The record by `request_id` without its lists, which are most of it, and what these held, summed up."""
    pieces: list[pl.DataFrame] = []

    def arrived() -> Iterator[pl.DataFrame]:
        for piece in read_pieces(folder):
            # Sorted, so copied: a slice would hold on to the room that reading took.
            pieces.append(piece.drop("gaps_s", "gap_tokens").sort("request_id"))
            yield tokens(piece)

    came = TokenSums.of(arrived())
    return pl.concat(pieces).sort("request_id"), came


def write_summary(
    folder: Path, *, slo: Slo | None = None, window_s: int = WINDOW_S, limits: Limits | None = None
) -> Summary:
    """`summarize`, and write `requests.parquet`, `seconds.parquet` and `summary.json` into the folder."""
    said = summarize(folder, slo=slo, window_s=window_s, limits=limits)
    try:
        said.requests.write_parquet(folder / REQUESTS)
        said.seconds.write_parquet(folder / SECONDS)
        text = json.dumps(said.as_dict(), indent=1, ensure_ascii=False, allow_nan=False)
        (folder / SUMMARY).write_text(text + "\n", encoding="utf-8")
    except OSError as fault:
        raise BurstlensError.unwritable(folder, fault) from fault
    return said


def last_slo(folder: Path) -> Slo | None:
    """The service level that the folder's `summary.json` was made with, if it is there and had one."""
    try:
        said = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
        return Slo(**said["goodput"]["slo"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _rise(counter: pl.Series) -> float | None:
    """How much a counter rose over its samples; from zero where it fell, since then it was started anew."""
    if counter.is_empty():
        return None
    values = counter.to_numpy()
    steps = np.diff(values)
    return float(np.where(steps >= 0, steps, values[1:]).sum())


def _plain(value: Any) -> Any:
    """Values as JSON knows them: no NaN, no infinity, no paths."""
    if isinstance(value, Interval | Distribution):
        return _plain(value.as_dict())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, bool | int | str) else str(value)
