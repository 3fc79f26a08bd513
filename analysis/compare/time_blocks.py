"""Values in order of arrival, cut into stretches of about equal count: what distributions are compared by.

From arrays of requests, or from small tables where the requests stay on a cluster. There a stretch ends with
a slot of time, so stretches are of equal count only within a slot's requests, and silences that are holes of
the record are no gaps. Not here: how distributions are compared (`fidelity`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from ..core.arrays import Array, Integers
from ..trace.trace import Trace

BLOCKS = 50
"""Stretches into which a series is cut, fewer where they would hold under five values."""
SLOTS = 10_000
"""Slots of time that stretches consist of, about so many a trace."""
SIDES = ("request", "response")


@dataclass(frozen=True)
class Sample:
    """One series: how many values it holds, their median, and its stretches in order."""

    n: int
    median: float
    stretches: tuple[tuple[Array, Array], ...]
    """The values of each time block in ascending order, and how often each occurs in it."""


def sample_of(series: Array) -> Sample:
    """Cut a series into stretches of equal count.

    Parameters
    ----------
    series : array, shape (n,)
        In order of time.

    Returns
    -------
    Sample
    """
    blocks = np.array_split(series, max(min(BLOCKS, len(series) // 5), 1))
    stretches = tuple((np.sort(block), np.ones(len(block))) for block in blocks)
    return Sample(len(series), float(np.median(series)) if len(series) else np.nan, stretches)


def pooled(stretches: Sequence[tuple[Array, Array]], place: Integers) -> Array:
    """Find values by their place in the order of all stretches together.

    Parameters
    ----------
    stretches : sequence of (array, array)
        Values in ascending order and how often each occurs, as `Sample.stretches` has them.
    place : array of int, shape (k,)
        Places from 0.

    Returns
    -------
    array, shape (k,)
    """
    values, n = (np.concatenate(part) for part in zip(*stretches, strict=True))
    order = np.argsort(values, kind="stable")
    out: Array = values[order][np.searchsorted(np.cumsum(n[order]), place, side="right")]
    return out


def samples_in(frame: pl.DataFrame, clock_s: float | None) -> dict[str, Sample]:
    """Collect gaps and tokens of requests.

    Parameters
    ----------
    frame : DataFrame
        With the columns `trace.COLUMNS`, in order of arrival.
    clock_s : float or None
        Round gaps to ticks of this clock, in seconds, to compare them with those of a cluster.

    Returns
    -------
    dict of str to Sample
        `gaps` in seconds, `request tokens` and `response tokens`; failed requests have no tokens.
    """
    gaps = np.diff(frame["arrival_s"].to_numpy())
    samples = {"gaps": sample_of(gaps if clock_s is None else np.rint(gaps / clock_s) * clock_s)}
    for side in SIDES:
        tokens = frame.filter(~pl.col("failed"))[f"{side}_tokens"].drop_nulls()
        samples[f"{side} tokens"] = sample_of(tokens.to_numpy().astype(float))
    return samples


def samples_of_trace(trace: Trace, selection_id: int) -> dict[str, Sample]:
    """Collect gaps and tokens of a selection of a trace whose requests stay on a cluster.

    Parameters
    ----------
    trace : Trace
    selection_id : int

    Returns
    -------
    dict of str to Sample
        As `samples_in` returns it.
    """
    engine, tick_s = trace.engine, trace.info.resolution_s
    slot_ticks = max(round((trace.end_s - trace.start_s) / tick_s / SLOTS), 1)
    counts = engine.ask("window_counts", window_ticks=slot_ticks)
    own = counts.filter(pl.col("selection_id") == selection_id).sort("number")
    ended = own["n"].cum_sum().to_numpy()
    blocks = max(min(BLOCKS, int(ended[-1]) // 5), 1)
    stretch = ((ended - own["n"].to_numpy() / 2) * blocks // ended[-1]).astype(int)
    slots = list(zip(own["number"].to_list(), stretch.tolist(), strict=True))
    engine.fill("stretches", "slot BIGINT, stretch INTEGER", slots)
    options = {"slot_ticks": slot_ticks, "selection_id": selection_id}
    lengths = engine.ask("stretch_lengths", **options)
    samples = {"gaps": _counted(engine.ask("stretch_gaps", **options), tick_s)}
    for number, side in enumerate(SIDES, start=1):
        samples[f"{side} tokens"] = _counted(lengths.filter(pl.col("side") == number), 1.0)
    return samples


def _counted(rows: pl.DataFrame, unit: float) -> Sample:
    """A sample from rows of time block, value and how often it occurs."""
    filled = rows.filter(pl.col("n") > 0).sort("stretch", "size")
    stretches = tuple(
        (part["size"].to_numpy() * unit, part["n"].to_numpy().astype(float))
        for part in filled.partition_by("stretch", maintain_order=True)
    )
    n = int(filled["n"].sum())
    if not n:
        return Sample(0, np.nan, ())
    return Sample(n, float(pooled(stretches, np.array([(n - 1) // 2, n // 2])).mean()), stretches)
