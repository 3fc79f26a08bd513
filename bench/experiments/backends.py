"""What an experiment's trials run on, virtual time or a real endpoint, and what each run measures.

Both give the same numbers from the same record. Not here: which trials there are and in which order they run
(`trials`), what the numbers mean (`burstlens.bench.metrics.measures`).
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import polars as pl

from ...analysis.core.errors import BurstlensError
from ..metrics.measures import measure, tokens
from ..metrics.per_second import seconds
from ..metrics.token_latency import TokenSums
from ..prompts.token_ids import FIRST, LAST, Prompts, TokenPrompts
from ..record.run_folder import read_record, read_server
from ..server.calibrate import plateau
from ..settings import Settings, Status, Target
from ..simulated.presets import Preset
from ..simulated.request import Scheduling
from ..workload.table import Workload

MEASURES: dict[str, tuple[str, str]] = {
    "token_latency_s": ("mean token latency L", "s"),
    "token_latency_p90_s": ("p90 token latency", "s"),
    "jitter_s": ("token latency jitter σ", "s"),
    "e2e_s": ("mean end-to-end latency", "s"),
    "e2e_p90_s": ("p90 end-to-end latency", "s"),
    "ttft_s": ("mean time to first token", "s"),
    "ttft_p50_s": ("median time to first token", "s"),
    "ttft_p90_s": ("p90 time to first token", "s"),
    "ttft_p99_s": ("p99 time to first token", "s"),
    "ttft_max_s": ("worst time to first token", "s"),
    "wait_ratio": ("wait of the longest third of prompts over that of the shortest", ""),
    "throughput_tps": ("throughput P", "tokens/s"),
    "throughput_rps": ("answers", "1/s"),
    "failure_rate": ("failure rate R", "share"),
    "kv_cache_use": ("KV-cache use", "share"),
    "kv_cache_peak": ("peak KV-cache use", "share"),
    "waiting_peak": ("peak waiting requests", ""),
    "waiting_mean": ("mean waiting requests", ""),
    "outside_mean": ("mean requests outside of the engine", ""),
    "preemptions": ("preemptions", ""),
    "sent_rps": ("rate sent", "1/s"),
    "gap_cv": ("CV of the gaps sent", ""),
    "requests": ("requests", ""),
    "span_s": ("span", "s"),
}
"""What a trial measures, with words and unit. KV-cache use is the mean over the plateau (see `calibrate`).

Requests outside of the engine are those sent and not ended that it neither runs nor lets wait: in front of
its scheduler, where no policy reaches them, or on their way back. Samples with none in flight do not count.
"""
STRETCHES = 300
"""Maximum number of rows of a course over time."""
COURSE = ("sent", "throughput_tps", "token_latency_s", "kv_cache_use", "failed", "in_flight", "waiting")
"""Columns of a course, as `per_second.seconds` has them, besides `at_s`."""


@dataclass(frozen=True)
class TrialMeasurement:
    """What one run gave."""

    values: dict[str, float | None]
    """By the keys of `MEASURES`; None if it could not be measured."""
    course: pl.DataFrame | None = None
    """`at_s` and the columns of `COURSE`, if it was asked for."""
    notes: Sequence[str] = ()


class Backend(Protocol):
    """Something that serves a workload."""

    def serve(self, workload: Workload, folder: Path, *, course: bool) -> TrialMeasurement:
        """Serve a workload and measure it.

        Parameters
        ----------
        workload
            What is sent.
        folder
            Where the run may write its files.
        course
            Whether to measure its course over time too.
        """
        ...

    def as_dict(self) -> dict[str, Any]:
        """Describe it in plain values; two engines are the same if these are equal."""
        ...

    @property
    def title(self) -> str:
        """What it is, for people."""
        ...

    @property
    def simulated(self) -> str | None:
        """Preset of the simulated engine; None for a real server."""
        ...

    @property
    def alone(self) -> bool:
        """Whether runs at the same time would disturb each other."""
        ...


@dataclass(frozen=True)
class VirtualBackend:
    """The simulated engine in virtual time."""

    preset: Preset
    timeout_s: float | None = None
    """A client that gives up so long after the send."""
    scheduling: Scheduling = "fcfs"
    alone = False

    @property
    def title(self) -> str:
        """The preset, said to be simulated."""
        return f"SIMULATED by preset {self.preset.name}"

    @property
    def simulated(self) -> str | None:
        """Name of the preset."""
        return self.preset.name

    def as_dict(self) -> dict[str, Any]:
        """Preset and policy."""
        return {
            "preset": self.preset.as_dict(),
            "timeout_s": self.timeout_s,
            "scheduling": self.scheduling,
        }

    def serve(self, workload: Workload, folder: Path, *, course: bool) -> TrialMeasurement:  # noqa: ARG002
        """Serve in virtual time, thousands of times faster than real time; writes no files.

        Parameters
        ----------
        workload, folder, course
            As in `Backend.serve`.
        """
        from ..simulated.virtual import simulate_frame

        record, server = simulate_frame(
            workload,
            self.preset,
            timeout_s=self.timeout_s,
            scheduling=self.scheduling,
            gaps=True,
            sample_s=min(max(workload.span_s / 500, 0.05), 1.0),
        )
        return measured(record, server, workload.span_s, course=course)


@dataclass(frozen=True)
class EndpointBackend:
    """A real endpoint; every trial is a run folder of its own, which goes on if it was cut off."""

    target: Target
    settings: Settings = field(default_factory=Settings)
    vocabulary: tuple[int, int] = (FIRST, LAST)
    version: str | None = None
    simulated: str | None = None
    """Preset, if the endpoint says that it is simulated."""
    prompts: Prompts | None = None
    """None for token ids of the vocabulary."""
    watch: Callable[[Status], object] | None = None
    """Called twice a second of a run, which ends if it returns True."""
    alone = True

    @classmethod
    def at(
        cls,
        target: Target,
        settings: Settings,
        vocabulary: tuple[int, int] = (FIRST, LAST),
        prompts: Prompts | None = None,
        watch: Callable[[Status], object] | None = None,
    ) -> EndpointBackend:
        """Ask the endpoint at a URL who it is.

        Parameters
        ----------
        target
            The endpoint.
        settings
            How requests are sent.
        vocabulary
            Lowest and highest token id of the prompts.
        prompts
            Prompts to send instead of token ids.
        watch
            Called with the status of each run; stops it if it returns True.

        Raises
        ------
        EndpointError
            If the endpoint cannot take load.
        """
        from ..client.preflight import preflight

        found = preflight(target)
        return cls(found.target, settings, vocabulary, found.version, found.simulated, prompts, watch)

    @property
    def title(self) -> str:
        """Model, address and version."""
        version = f", version {self.version}" if self.version else ""
        text = f"{self.target.model} at {self.target.url}{version}"
        return f"{text}, SIMULATED by preset {self.simulated}" if self.simulated else text

    def as_dict(self) -> dict[str, Any]:
        """Address, model and settings; never the key."""
        return {
            "url": self.target.url,
            "served_model": self.target.model,
            "version": self.version,
            "simulated": self.simulated,
            "settings": self.settings.as_dict(),
            "prompts": self._prompts.about,
        }

    @property
    def _prompts(self) -> Prompts:
        return self.prompts or TokenPrompts(vocabulary=self.vocabulary)

    def serve(self, workload: Workload, folder: Path, *, course: bool) -> TrialMeasurement:
        """Send in real time; a run that was stopped in `folder` goes on.

        If the endpoint does not answer after the run, its folder is removed: such a run measures nothing.

        Parameters
        ----------
        workload, folder, course
            As in `Backend.serve`.

        Raises
        ------
        EndpointError
            If the endpoint does not answer, before or after.
        KeyboardInterrupt
            If Ctrl-C or `watch` stopped it.
        """
        from ...analysis.logs.files.run_folders import RUN
        from ..client.preflight import preflight
        from ..client.run import run

        done = run(
            workload,
            self._prompts,
            self.target,
            self.settings,
            folder,
            resume=(folder / RUN).is_file(),
            watch=self.watch,
        )
        if not done.finished:
            raise KeyboardInterrupt
        try:
            preflight(self.target)
        except BurstlensError:
            shutil.rmtree(folder)
            raise
        measurement = measured(read_record(folder), read_server(folder), workload.span_s, course=course)
        return replace(measurement, notes=done.notes)


def measured(record: pl.DataFrame, server: pl.DataFrame, span_s: float, *, course: bool) -> TrialMeasurement:
    """Compute the measures of a run.

    Parameters
    ----------
    record
        Columns of `record.models.SCHEMA`.
    server
        Samples of the server, columns of `record.models.SERVER_SCHEMA`.
    span_s
        Instant of the last request of the workload, in seconds.
    course
        Whether to measure the course over time too.
    """
    token_sums = TokenSums.of([tokens(record)])
    summary = measure(record, None, token_sums)
    token, e2e, first = (summary.latencies[key] for key in ("token_latency_s", "e2e_s", "ttft_s"))
    sent = record["sent_s"].drop_nulls().sort().to_numpy()
    gaps = np.diff(sent)
    values = {
        "token_latency_s": token.mean,
        "token_latency_p90_s": token.p90,
        "jitter_s": token.sd,
        "e2e_s": e2e.mean,
        "e2e_p90_s": e2e.p90,
        "ttft_s": first.mean,
        "ttft_p50_s": first.p50,
        "ttft_p90_s": first.p90,
        "ttft_p99_s": first.p99,
        "ttft_max_s": first.max,
        "wait_ratio": _wait_ratio(record),
        "throughput_tps": summary.throughput_tps,
        "throughput_rps": summary.throughput_rps,
        "failure_rate": summary.failure_rate.value,
        "kv_cache_use": plateau(server, span_s),
        "kv_cache_peak": _max(server["kv_cache_use"]),
        "waiting_peak": _max(server["waiting"]),
        **_queues(record, server),
        "preemptions": _max(server["preemptions"]) - _min(server["preemptions"]),
        "sent_rps": len(gaps) / float(sent[-1] - sent[0]) if len(gaps) and sent[-1] > sent[0] else math.nan,
        "gap_cv": float(gaps.std() / gaps.mean()) if len(gaps) and gaps.mean() > 0 else math.nan,
        "requests": float(summary.requests),
        "span_s": summary.span_s,
    }
    course_rows = _course(seconds(record, server, token_sums=token_sums)) if course else None
    return TrialMeasurement(
        {name: value if math.isfinite(value) else None for name, value in values.items()}, course_rows
    )


def _queues(record: pl.DataFrame, server: pl.DataFrame) -> dict[str, float]:
    """Where requests in flight are, on average over the server's samples while there are any."""
    samples = server.drop_nulls(["running", "waiting"])
    at = samples["at_s"].to_numpy()
    sent, ended = (record[name].drop_nulls().sort().to_numpy() for name in ("sent_s", "ended_s"))
    flying = np.searchsorted(sent, at, side="right") - np.searchsorted(ended, at, side="right")
    busy = flying > 0
    if not busy.any():
        return {"waiting_mean": math.nan, "outside_mean": math.nan}
    waiting, running = (samples[name].to_numpy()[busy] for name in ("waiting", "running"))
    # Metrics are of the engine's last step: one sample may tell of a request that has ended since.
    outside = float(np.mean(flying[busy] - waiting - running))
    return {"waiting_mean": float(waiting.mean()), "outside_mean": max(outside, 0.0)}


def _wait_ratio(record: pl.DataFrame) -> float:
    """Mean time to first token of the third with the longest prompts over that of the shortest third."""
    waits = (
        record.select(
            "request_tokens_asked", (pl.col("first_token_s") - pl.col("intended_s")).alias("wait_s")
        )
        .drop_nulls()
        .sort("request_tokens_asked", maintain_order=True)["wait_s"]
        .to_numpy()
    )
    third = len(waits) // 3
    shortest = float(waits[:third].mean()) if third else 0.0
    return float(waits[-third:].mean()) / shortest if shortest > 0 else math.nan


def _course(table: pl.DataFrame) -> pl.DataFrame:
    """Reduce a table by second to few rows: counts per second, means of all else."""
    width = max(math.ceil(table.height / STRETCHES), 1)
    return (
        table.group_by(
            (pl.col("second") // width * width).cast(pl.Float64).alias("at_s"), maintain_order=True
        )
        .agg(pl.col(COURSE).cast(pl.Float64).mean())
        .sort("at_s")
    )


def _max(values: pl.Series) -> float:
    value = values.max()
    return float(value) if isinstance(value, int | float) else math.nan


def _min(values: pl.Series) -> float:
    value = values.min()
    return float(value) if isinstance(value, int | float) else math.nan


def spans_s(values: Mapping[str, float | None]) -> tuple[float, float] | None:
    """Compute how long a trial was sent, and how long the slowest tenth of its answers took once begun.

    By its measures; None if nothing was answered, or all was sent at once.
    """
    requests, rate_rps, e2e_s = (values[name] for name in ("requests", "sent_rps", "e2e_p90_s"))
    if not requests or not rate_rps or e2e_s is None:
        return None
    return (requests - 1) / rate_rps, max(e2e_s - (values["ttft_p90_s"] or 0.0), 0.0)


def is_brief(values: Mapping[str, float | None]) -> bool:
    """Check whether all was sent in less time than the slowest tenth of the answers took once begun.

    No level is one that lasts then: KV-cache use climbs to the last send, and what follows is the drain.
    """
    spans = spans_s(values)
    return spans is not None and spans[0] < spans[1]


def measures_of(values: Mapping[str, float | None]) -> dict[str, float | None]:
    """Order the values by the keys of `MEASURES`; what an older folder lacks is None."""
    return {name: values.get(name) for name in MEASURES}
