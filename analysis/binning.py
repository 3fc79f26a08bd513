"""Requests in bins of many widths, and gaps, summed by block of time: one pass over a selection's ticks.

The ticks are in order, so equal bins are neighbours, and a wider bin whose width is a multiple is counted
from the narrower ones; SQL would group all ticks anew for each width. Not here: what the sums tell (see
`burstiness`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

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

    def borders(self, bins: Integers, width: float) -> NDArray[np.intp]:
        """Where each block begins among sorted bins of that width, and where the last one ends."""
        first = np.ceil(np.arange(self.blocks + 1) * (self.block_ticks / width) - 1e-9)
        out: NDArray[np.intp] = np.searchsorted(bins, first.astype(np.int64))
        return out


def by_block(
    trace: Trace, selection_id: int, blocks: Blocks, widths_ticks: Sequence[float]
) -> tuple[list[BlockCounts], BlockGaps]:
    """Counts of one selection in bins of each width (ascending), and its gaps, by block."""
    answer = trace.engine.arrays("occupied_ticks", selection_id=selection_id, origin_tick=blocks.origin_tick)
    tick, n, gap = answer.pop("tick"), answer.pop("n"), answer.pop("gap")
    if np.any(tick[1:] < tick[:-1]):
        order = np.argsort(tick, kind="stable")
        tick, n, gap = tick[order], n[order], gap[order]
    gaps = _gaps(tick, n, gap, blocks)
    del gap
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
    border = blocks.borders(bins, width)
    return BlockCounts(
        _per_block(np.add, held, border),
        _per_block(np.add, held * held, border),
        _per_block(np.maximum, held, border),
    )


def _gaps(tick: Integers, n: Integers, gap: Integers, blocks: Blocks) -> BlockGaps:
    border = blocks.borders(tick, 1.0)
    length = gap.astype(float)
    return BlockGaps(
        _per_block(np.add, n - 1 + (gap > 0), border),
        _per_block(np.add, length, border),
        _per_block(np.add, length * length, border),
    )


def _per_block(combine: np.ufunc, values: NDArray[Any], border: NDArray[np.intp]) -> Array:
    """Values between neighbouring borders combined; zero where there are none."""
    out = np.zeros(len(border) - 1)
    some = border[:-1] < border[1:]
    if some.any():
        out[some] = combine.reduceat(values[: border[-1]], border[:-1][some])
    return out
