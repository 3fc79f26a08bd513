"""Time blocks: values in order of arrival, cut into blocks of about equal count, to compare distributions by.

From arrays of requests, or from small tables if the requests stay on a cluster. There a block ends with a
slot of time, so counts are equal only to within a slot's requests, and a hole of the record is not a gap.
Not here: how distributions are compared (`fidelity`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from ..core.arrays import Array, Integers
from ..trace.trace import Trace

BLOCKS = 50
"""Blocks into which a series is cut; fewer if they would have under five values each."""
SLOTS = 10_000
"""Approximate number of slots of time in a trace; a block consists of slots."""
SIDES = ("request", "response")


@dataclass(frozen=True)
class Sample:
    """One series: number of values, median, and its blocks in order of time."""

    n: int
    median: float
    blocks: tuple[tuple[Array, Array], ...]
    """The values of each time block in ascending order, and how often each occurs in it."""


def sample_of(series: Array) -> Sample:
    """Cut a series into blocks of equal count.

    Parameters
    ----------
    series : array, shape (n,)
        In order of time.

    Returns
    -------
    Sample
    """
    parts = np.array_split(series, max(min(BLOCKS, len(series) // 5), 1))
    blocks = tuple((np.sort(part), np.ones(len(part))) for part in parts)
    return Sample(len(series), float(np.median(series)) if len(series) else np.nan, blocks)


def values_at(blocks: Sequence[tuple[Array, Array]], place: Integers) -> Array:
    """Find values by their place in the order of all blocks' values.

    Parameters
    ----------
    blocks : sequence of (array, array)
        Values in ascending order and how often each occurs, as `Sample.blocks` has them.
    place : array of int, shape (k,)
        Places from 0.

    Returns
    -------
    array, shape (k,)
    """
    values, n = (np.concatenate(part) for part in zip(*blocks, strict=True))
    order = np.argsort(values, kind="stable")
    out: Array = values[order][np.searchsorted(np.cumsum(n[order]), place, side="right")]
    return out


def samples_of_frame(frame: pl.DataFrame, clock_s: float | None) -> dict[str, Sample]:
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
        As `samples_of_frame` returns it.
    """
    engine, tick_s = trace.engine, trace.info.resolution_s
    slot_ticks = max(round((trace.end_s - trace.start_s) / tick_s / SLOTS), 1)
    counts = engine.ask("window_counts", window_ticks=slot_ticks)
    own = counts.filter(pl.col("selection_id") == selection_id).sort("number")
    ended = own["n"].cum_sum().to_numpy()
    n_blocks = max(min(BLOCKS, int(ended[-1]) // 5), 1)
    block = ((ended - own["n"].to_numpy() / 2) * n_blocks // ended[-1]).astype(int)
    slots = list(zip(own["number"].to_list(), block.tolist(), strict=True))
    engine.fill("time_blocks", "slot BIGINT, block INTEGER", slots)
    options = {"slot_ticks": slot_ticks, "selection_id": selection_id}
    lengths = engine.ask("time_block_lengths", **options)
    samples = {"gaps": _sample_of_counts(engine.ask("time_block_gaps", **options), tick_s)}
    for number, side in enumerate(SIDES, start=1):
        samples[f"{side} tokens"] = _sample_of_counts(lengths.filter(pl.col("side") == number), 1.0)
    return samples


def _sample_of_counts(rows: pl.DataFrame, unit: float) -> Sample:
    """A sample from rows of time block, value and how often it occurs."""
    filled = rows.filter(pl.col("n") > 0).sort("block", "size")
    blocks = tuple(
        (part["size"].to_numpy() * unit, part["n"].to_numpy().astype(float))
        for part in filled.partition_by("block", maintain_order=True)
    )
    n = int(filled["n"].sum())
    if not n:
        return Sample(0, np.nan, ())
    return Sample(n, float(values_at(blocks, np.array([(n - 1) // 2, n // 2])).mean()), blocks)
