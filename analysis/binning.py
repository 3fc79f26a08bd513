"""Requests in bins of many widths, and gaps, summed by block of time: one pass over a selection's ticks.

The ticks are in order, so equal bins are neighbours, and a wider bin whose width is a multiple is counted
from the narrower ones; SQL would group all ticks anew for each width. Not here: what the sums tell (see
`burstiness`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .trace import Trace

Array = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class BlockCounts:
    """Counts of the bins that the record holds whole, by block; every array has shape (blocks,)."""

    n: Array
    n_square_sum: Array
    peak: Array


@dataclass(frozen=True)
class BlockGaps:
    """Inter-arrival times that end in each block, zeros between requests of one tick included, in ticks."""

    n: Array
    gap_sum: Array
    gap_square_sum: Array


@dataclass(frozen=True)
class Blocks:
    """Blocks of equal time, and the segments of the record, in ticks from the trace's first."""

    origin_tick: int
    block_ticks: float
    blocks: int
    start_tick: Integers
    end_tick: Integers


def by_block(
    trace: Trace, selection_id: int, blocks: Blocks, widths_ticks: Sequence[float]
) -> tuple[list[BlockCounts], BlockGaps]:
    """Counts of one selection in bins of each width (ascending), and its gaps, by block."""
    answer = trace.engine.ask("occupied_ticks", selection_id=selection_id)
    tick, n, gap = (answer[name].to_numpy() for name in ("tick", "n", "gap"))
    tick = tick - blocks.origin_tick
    if np.any(tick[1:] < tick[:-1]):
        order = np.argsort(tick, kind="stable")
        tick, n, gap = tick[order], n[order], gap[order]
    gaps = _gaps(tick, n, gap, blocks)
    counts: list[BlockCounts] = []
    bins, held, finer = tick, n.astype(np.int64), 1.0
    for width in widths_ticks:
        times = width / finer
        if abs(times - round(times)) < 1e-9:
            bins, held = _coarser(bins, held, round(times))
        else:
            bins, held = _summed(np.floor(tick / width).astype(np.int64), n.astype(np.int64))
        finer = width
        counts.append(_counts(bins, held, width, blocks))
    return counts, gaps


def _coarser(bins: Integers, held: Integers, times: int) -> tuple[Integers, Integers]:
    return (bins, held) if times == 1 else _summed(bins // times, held)


def _summed(bins: Integers, held: Integers) -> tuple[Integers, Integers]:
    """Distinct bins of a sorted array, and what each holds."""
    if not len(bins):
        return bins, held
    first = np.flatnonzero(np.concatenate([[True], bins[1:] != bins[:-1]]))
    return bins[first], np.add.reduceat(held, first)


def _counts(bins: Integers, held: Integers, width: float, blocks: Blocks) -> BlockCounts:
    """Sums by block over the bins that some segment holds whole; empty bins add nothing."""
    whole = np.zeros(len(bins), dtype=bool)
    for start, end in zip(blocks.start_tick, blocks.end_tick, strict=True):
        first = np.ceil((start - blocks.origin_tick) / width)
        stop = np.floor((end + 1 - blocks.origin_tick) / width)
        whole[np.searchsorted(bins, first) : np.searchsorted(bins, stop)] = True
    if not whole.all():
        bins, held = bins[whole], held[whole]
    block = np.floor(bins / (blocks.block_ticks / width)).astype(np.int64)
    count = held.astype(float)
    peak = np.zeros(blocks.blocks)
    block_of, first = np.unique(block, return_index=True)
    if len(first):
        peak[block_of] = np.maximum.reduceat(count, first)
    return BlockCounts(
        np.bincount(block, count, blocks.blocks).astype(float),
        np.bincount(block, count * count, blocks.blocks).astype(float),
        peak,
    )


def _gaps(tick: Integers, n: Integers, gap: Integers, blocks: Blocks) -> BlockGaps:
    block = np.floor(tick / blocks.block_ticks).astype(np.int64)
    length = gap.astype(float)
    inside = (n - 1 + (gap > 0)).astype(float)
    sums = (np.bincount(block, each, blocks.blocks).astype(float) for each in (inside, length, length**2))
    return BlockGaps(*sums)
