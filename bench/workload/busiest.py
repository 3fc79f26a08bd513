"""The busiest span of a load that is small enough for a search: which hours represent all of it.

Not here: the requests of it (`from_trace`, `from_parameters`), what is searched on them
(`provisioning.search`).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl

from ...analysis.core.arrays import Integers
from ...analysis.core.units import HOUR_S, MINUTE_S
from ...analysis.trace.aggregates import ticks_in
from ...analysis.trace.subset import streams_of
from ...analysis.trace.trace import Trace
from .table import Workload

LENGTHS_S = tuple(hours * HOUR_S for hours in (24, 12, 6, 3, 2, 1)) + tuple(
    minutes * MINUTE_S for minutes in (30, 20, 10)
)
"""Lengths that are tried, the longest first."""
SLOT_S = 600.0
"""A span begins at a multiple of it."""


@dataclass(frozen=True)
class BusySpan:
    """A span on the clock of a trace, seconds since midnight of day 0, and how it was chosen."""

    start_s: float
    end_s: float
    requests: int
    """Requests in it."""
    of: int
    """Requests of the load that it was chosen from."""
    max_requests: int
    """Limit of its requests."""
    first: int | None = None
    """How many of its first requests are taken, if even the shortest span has more than `max_requests`."""

    @property
    def length_s(self) -> float:
        """Length of the span."""
        return self.end_s - self.start_s

    def as_dict(self) -> dict[str, Any]:
        """Give plain values, with the keys of `disaggregate.json`."""
        values = asdict(self)
        return {"most" if name == "max_requests" else name: value for name, value in values.items()}


def busiest(counts: Integers, begin_s: float, max_requests: int) -> BusySpan | None:
    """Find the busiest span of a load with at most `max_requests` requests, and at most a day long.

    The longest span that has at least half of `max_requests` is taken, and of one length the busiest. If no
    span has that many, it is the one with most requests.

    Parameters
    ----------
    counts
        Requests in slots of `SLOT_S` seconds, shape (slots,).
    begin_s
        Start of the first slot.
    max_requests
        Limit of the requests in the span.

    Returns
    -------
    BusySpan or None
        None if the load as it is has few enough requests and is not longer than a day.
    """
    of = int(counts.sum())
    if of <= max_requests and len(counts) * SLOT_S <= LENGTHS_S[0]:
        return None
    sums = np.concatenate([[0], np.cumsum(counts)])
    requests, at, slots = 0, 0, 0
    for length_s in LENGTHS_S:
        n = min(round(length_s / SLOT_S), len(counts))
        totals = sums[n:] - sums[:-n]
        totals[totals > max_requests] = 0
        if totals.max() > requests:
            requests, at, slots = int(totals.max()), int(np.argmax(totals)), n
        if 2 * requests >= max_requests:
            break
    first = None
    if not requests:
        # Even the busiest slot has too many: the first requests of it.
        at, slots, requests, first = int(np.argmax(counts)), 1, max_requests, max_requests
    start_s = begin_s + at * SLOT_S
    return BusySpan(start_s, start_s + slots * SLOT_S, requests, of, max_requests, first)


def busiest_of_trace(
    trace: Trace, *, service: str | None = None, model: str | None = None, max_requests: int
) -> BusySpan | None:
    """Find the busiest span of a trace's requests, as `busiest` does.

    Parameters
    ----------
    trace
        An opened trace.
    service, model
        Count only requests of this service and model; None counts all.
    max_requests
        Limit of the requests in the span.

    Returns
    -------
    BusySpan or None
        None if the chosen requests are few enough and not longer than a day.

    Raises
    ------
    InputError
        If the trace does not have that service or model.
    """
    streams = streams_of(trace, service, model)
    width_s = max(SLOT_S, trace.info.resolution_s)
    rows = trace.engine.ask("hourly_counts", window_ticks=ticks_in(trace, width_s)).filter(
        pl.col("stream_id").is_in(streams["stream_id"].to_list())
    )
    slot = np.floor(rows["slot"].to_numpy() * (width_s / SLOT_S)).astype(np.int64)
    low = int(slot.min())
    counts = np.bincount(slot - low, rows["n"].to_numpy()).astype(np.int64)
    return busiest(counts, low * SLOT_S, max_requests)


def busiest_of_load(load: Workload, start_s: float, max_requests: int) -> BusySpan | None:
    """Find the busiest span of a workload, such as a forecast, as `busiest` does.

    Parameters
    ----------
    load
        The workload; its instants count from 0.
    start_s
        Instant of the workload's second 0, in seconds since midnight of day 0.
    max_requests
        Limit of the requests in the span.

    Returns
    -------
    BusySpan or None
        None if the workload has few enough requests and is not longer than a day.
    """
    counts = np.bincount((load.requests["at_s"].to_numpy() // SLOT_S).astype(np.int64))
    return busiest(counts, start_s, max_requests)
