"""What is exported: requests and who they are; and what of them a format has no place for.

Not here: the formats (a module each), choosing requests (`burstlens.analysis.trace.subset`).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import polars as pl

from ..core.errors import InputError
from ..core.option_names import option
from ..core.units import counted
from ..logs.trace_info import TraceInfo

MAX_LISTED_NAMES = 4
STEP_TOLERANCE = 1e-4
"""Share of a step by which a stamp may miss a whole one and still count as on it; floats miss by their own
spacing too."""


@dataclass(frozen=True)
class Requests:
    """Requests in order of arrival, columns of `subset.requests_of`, and their identity."""

    frame: pl.DataFrame
    info: TraceInfo

    def __len__(self) -> int:
        return len(self.frame)


def with_tokens(requests: Requests, tokens: tuple[int, int] | None = None) -> Requests:
    """Return the requests, each with its lengths.

    Failed requests without lengths get 0, as BurstGPT writes it.

    Parameters
    ----------
    requests : Requests
    tokens : tuple of two int, optional
        Request and response tokens of each request if the log has no lengths.

    Returns
    -------
    Requests

    Raises
    ------
    InputError
        If requests are left without token counts.
    """
    frame = requests.frame
    sides = ("request_tokens", "response_tokens")
    if not requests.info.has_tokens and tokens is not None:
        frame = frame.with_columns(
            pl.lit(n).cast(pl.Int32).alias(side) for side, n in zip(sides, tokens, strict=True)
        )
    frame = frame.with_columns(
        pl.when("failed").then(pl.col(side).fill_null(0)).otherwise(side).alias(side) for side in sides
    )
    absent = int(frame.select(pl.any_horizontal(pl.col(side).is_null() for side in sides).sum()).item())
    if absent:
        way = "export to parquet or csv"
        if not requests.info.has_tokens:
            way = f"give lengths with {option('tokens')}, or {way}"
        raise InputError(
            f"{requests.info.name}: {absent:,} of {counted(len(frame), 'request')} without token counts, "
            f"which this format needs; {way}"
        )
    return Requests(frame, requests.info)


def ticks(requests: Requests, per_s: float) -> pl.Series:
    """Round arrivals to whole ticks.

    Parameters
    ----------
    requests : Requests
    per_s : float
        Ticks per second.

    Returns
    -------
    Series of 64-bit integers
        Named `ticks`.
    """
    return (requests.frame["arrival_s"] * per_s).round().cast(pl.Int64).alias("ticks")


def list_losses(
    requests: Requests, keeps: Collection[str] = (), *, per_s: float | None = None, dated: bool = False
) -> list[str]:
    """Say what a format drops; nothing for what the requests do not have.

    Parameters
    ----------
    requests : Requests
    keeps : collection of str
        Columns that the format has.
    per_s : float, optional
        Instants per second that it distinguishes; all by default.
    dated : bool
        Whether it has the day.

    Returns
    -------
    list of str
        One sentence each.
    """
    frame, info = requests.frame, requests.info
    losses = []
    for column, what in (
        ("session", "the session of {}"),
        ("elapsed_s", "the latency of {}"),
        ("client", "the client of {}"),
        ("cached_tokens", "the cached tokens of {}"),
        ("reasoning_tokens", "the reasoning tokens of {}"),
        ("ttft_s", "the time to first token of {}"),
        ("reason", "the reason of {} to fail"),
        ("images", "the number of images of {}"),
        ("prefix", "the prefix blocks of {}"),
    ):
        if column not in frame.columns:
            continue
        filled = len(frame) - frame[column].null_count()
        if column not in keeps and filled:
            losses.append(f"{what.format(counted(filled, 'request'))}: the format has no place for it")
    failed = int(frame["failed"].sum())
    if "failed" not in keeps and failed:
        losses.append(f"which {counted(failed, 'request')} failed: the format has no mark for failures")
    for column in ("service", "model"):
        names = sorted(frame[column].drop_nulls().unique().to_list())
        if column not in keeps and names:
            more = f" and {len(names) - MAX_LISTED_NAMES} more" if len(names) > MAX_LISTED_NAMES else ""
            losses.append(f"the {column} of each request ({', '.join(names[:MAX_LISTED_NAMES])}{more})")
    if not dated and info.day0 is not None:
        losses.append(f"the date: day 0 was {info.day0.isoformat()}")
    if per_s is not None:
        at = frame["arrival_s"].to_numpy() * per_s
        off = int((np.abs(at - np.round(at)) > STEP_TOLERANCE + 4 * np.spacing(np.abs(at))).sum())
        if off:
            losses.append(f"time below {1 / per_s:g} s: {counted(off, 'stamp')} rounded to the nearest step")
    if info.synthetic:
        losses.append("that it is synthetic: only the file's name can say so")
    return losses
