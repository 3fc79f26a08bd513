"""A synthetic BurstGPT of any length: requests drawn from the model that `fit` fits, from measured constants.

The constants are summaries of the real files, with sources, in `constants.json`. Requests arrive
by windows of 20 minutes with Gamma gaps (see `stats.renewal`), stamped in whole seconds. What differs between
the services is the source of the windows' rates:

- conversation: hour-of-day profiles × weekday × a day's own level × clustering. Sessions are not a second
  process: turns and gaps are drawn as sessions have them, and the k-th request of these sessions gets
  the k-th arrival, so the arrivals keep their law and the sessions keep theirs;
- api: storms. An hour's volume is a quantile of the measured law of hourly volumes (empty hours at the one
  end, storms at the other), at the rank of a correlated Gaussian score: slow part, fast part, hour of day.

A few storms hold most requests, so plain draws would make totals, shares and rates a lottery. They are drawn
by quota instead: volumes and day levels take the evenly spaced quantiles of their law in the order of a
random score, and what varies from hour to hour (GPT-4's share, failure rate, lengths) takes the
quantiles of its law at its place in the *volume* of all hours. Order and neighbourhood are random, totals
hardly. The quota is over 61 days at least, and a shorter trace has the first of them; a longer trace has
it over its whole length.

Not here: fitting a model to a trace (see `characterize`), and drawing a trace from a parameter file.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ..core.atomic_write import write_csv
from ..core.errors import InputError
from ..core.result import Progress, silent
from ..trace.trace import COLUMNS, Trace, TraceInfo, open_frame, write_trace
from .services import MODELS, SyntheticRequests, api_requests, conversation_requests

SERVICES = ("conversation", "api")
DAY0 = date(2023, 11, 1)
"""Day 0 of BurstGPT, a Wednesday."""
LOG_TYPES = {"conversation": "Conversation log", "api": "API log"}


def synthesize(
    days: float = 61,
    seed: int = 7,
    *,
    services: Sequence[str] = SERVICES,
    start: date = DAY0,
    scale: float = 1.0,
) -> pl.DataFrame:
    """Draw a synthetic BurstGPT.

    Same arguments, same trace; a service's requests do not depend on whether the other one is included.

    Parameters
    ----------
    days : float
        Length of the trace.
    seed : int
    services : sequence of str
        Some of `SERVICES`.
    start : date
        Day 0; sets the weekdays.
    scale : float
        Factor of every request rate: 7.4 makes 10.6 million requests of 61 days.

    Returns
    -------
    DataFrame
        With the columns `trace.COLUMNS`, sorted by arrival.

    Raises
    ------
    ValueError
        For a service that BurstGPT does not have, and for a length or scale that is not above zero.
    """
    unknown = sorted(set(services) - set(SERVICES))
    if unknown or not services:
        raise ValueError(f"services are {' and '.join(SERVICES)}, not {', '.join(unknown) or 'none'}")
    if not (days > 0 and scale > 0):
        raise ValueError(f"days and scale must be above zero, not {days} and {scale}")
    streams = dict(zip(SERVICES, np.random.SeedSequence(seed).spawn(len(SERVICES)), strict=True))
    drawn = {}
    if "conversation" in services:
        rng = np.random.default_rng(streams["conversation"])
        drawn["conversation"] = conversation_requests(days, start, scale, rng)
    if "api" in services:
        drawn["api"] = api_requests(days, scale, np.random.default_rng(streams["api"]))
    return _frame(drawn)


def open_synthetic(
    out: Path | None = None,
    *,
    days: float = 61,
    seed: int = 7,
    scale: float = 1.0,
    progress: Progress | None = None,
) -> Trace:
    """Make a synthetic BurstGPT (see `synthesize`) and open it.

    Parameters
    ----------
    out : Path, optional
        Write the trace there first: to `.parquet`, or to `.csv` with the 8 columns of BurstGPT file 3. A CSV
        has no place to say what it is, so its name must contain the word *synthetic*.
    days : float
        Length of the trace.
    seed : int
    scale : float
        Factor of every request rate.
    progress : callable, optional

    Returns
    -------
    Trace

    Raises
    ------
    BurstlensError
        For another name of the file, or if it cannot be written.
    """
    tell = progress or silent
    if out is not None:
        _check_name(out)
    tell("drawing requests", 0.0)
    requests = synthesize(days, seed, scale=scale)
    info = synthetic_info(len(requests), days, seed)
    if out is not None:
        tell(f"writing {out.name}", 0.4)
        _write(requests, info, out)
    tell("counting arrivals", 0.6)
    trace = open_frame(requests, info)
    tell("opened", 1.0)
    return trace


def write_synthetic(out: Path, days: float = 61, seed: int = 7, *, scale: float = 1.0) -> TraceInfo:
    """Write a synthetic BurstGPT without opening it.

    Parameters
    ----------
    out : Path
        As in `open_synthetic`.
    days : float
        Length of the trace.
    seed : int
    scale : float
        Factor of every request rate.

    Returns
    -------
    TraceInfo

    Raises
    ------
    BurstlensError
        For another name of the file, or if it cannot be written.
    """
    _check_name(out)
    requests = synthesize(days, seed, scale=scale)
    info = synthetic_info(len(requests), days, seed)
    _write(requests, info, out)
    return info


def synthetic_info(rows: int, days: float, seed: int, start: date = DAY0) -> TraceInfo:
    """Describe a synthetic BurstGPT: name and flag say that it is synthetic.

    Parameters
    ----------
    rows : int
        Requests.
    days : float
        Length of the trace.
    seed : int
    start : date
        Day 0.

    Returns
    -------
    TraceInfo
    """
    return TraceInfo(
        name=f"synthetic BurstGPT, {days:g} days, seed {seed}",
        format="synthetic",
        sources=(),
        rows=rows,
        rejected=0,
        resorted=0,
        resolution_s=1.0,
        day0=start,
        synthetic=True,
        has_sessions=True,
        failure_rule="Response tokens is 0",
    )


def _check_name(out: Path) -> None:
    """Refuse, before any work, a file with an unknown ending, or a CSV with a name that hides what it is."""
    suffix = out.suffix.lower()
    if suffix not in (".parquet", ".csv"):
        raise InputError.unwritable(out, "a synthetic trace ends in .parquet or .csv")
    if suffix == ".csv" and "synthetic" not in out.name.lower():
        honest = out.with_stem(f"synthetic_{out.stem}").name
        raise InputError.unwritable(out, f"a CSV of synthetic requests says so in its name: {honest}")


def _write(requests: pl.DataFrame, info: TraceInfo, out: Path) -> None:
    """Write the requests whole or not at all, in the layout that the ending names."""
    if out.suffix.lower() == ".parquet":
        write_trace(requests, out, info)
        return
    write_csv(as_burstgpt(requests), out)


def as_burstgpt(trace: pl.DataFrame) -> pl.DataFrame:
    """Write a trace in the columns of BurstGPT file 3: whole-second stamps, `Session ID`, `Elapsed time`."""
    return trace.select(
        pl.col("arrival_s").cast(pl.Int64).alias("Timestamp"),
        pl.col("session").alias("Session ID"),
        pl.col("elapsed_s").cast(pl.Int64).alias("Elapsed time"),
        pl.col("model").alias("Model"),
        pl.col("request_tokens").alias("Request tokens"),
        pl.col("response_tokens").alias("Response tokens"),
        (pl.col("request_tokens") + pl.col("response_tokens")).alias("Total tokens"),
        pl.col("service").replace_strict(LOG_TYPES, return_dtype=pl.String).alias("Log Type"),
    )


def _frame(drawn: dict[str, SyntheticRequests]) -> pl.DataFrame:
    """The services' requests as one frame in arrival order."""
    parts = list(drawn.values())
    second = np.concatenate([p.second for p in parts])
    order = np.argsort(second, kind="stable")
    service = np.repeat(np.arange(len(parts), dtype=np.uint32), [len(p.second) for p in parts])[order]

    def column(name: str) -> NDArray[Any]:
        return np.concatenate([getattr(p, name) for p in parts])[order]

    numbers = column("session")
    session = pl.Series("session", numbers)
    sessions = int(numbers.max(initial=0)) + 1
    names = pl.select(pl.format("synthetic-{}", pl.int_range(sessions))).to_series()
    return pl.DataFrame(
        {
            "arrival_s": second[order].astype(float),
            "service": pl.Series(list(drawn)).gather(service),
            "model": pl.Series(MODELS).gather(column("gpt4").astype(np.uint32)),
            "session": names.gather(session.set(session < 0, None)),
            "request_tokens": column("request_tokens"),
            "response_tokens": column("response_tokens"),
            "elapsed_s": column("elapsed_s"),
            "failed": column("failed"),
        },
        schema=COLUMNS,
    )
