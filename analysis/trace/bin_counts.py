"""Requests in bins of many widths, and gaps, summed by block of time.

Where a selection's ticks are at hand, in one pass over them: they are in order, so equal bins are neighbours,
and a wider bin whose width is a multiple is counted from the narrower ones. Where they are not, SQL groups
all ticks anew for each width. Not here: what the sums mean (see
`burstiness`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ...queries.engine import Engine
from ..core.arrays import Array, Integers
from ..logs.tables import PIECE, Selection, Ticks


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
    blocks: Integers
    """Numbers of the blocks that the segments reach into, ascending; others have no requests."""
    start_tick: Integers
    end_tick: Integers

    def borders(self, bins: Integers, width: float) -> NDArray[np.intp]:
        """Find where each block begins among sorted bins, and where the last one ends.

        Parameters
        ----------
        bins : array of int, shape (n,)
            Increasing, in bins from `origin_tick`.
        width : float
            Of a bin, in ticks.

        Returns
        -------
        array of int, shape (blocks + 1,)
            Indices into `bins`.
        """
        borders = np.append(self.blocks, self.blocks[-1] + 1)
        first = np.ceil(borders * (self.block_ticks / width) - 1e-9)
        return _bin_position(bins, first)


def ask_blocks(
    engine: Engine, selections: Sequence[Selection], blocks: Blocks, widths_ticks: Sequence[float]
) -> Iterator[tuple[Selection, list[BlockCounts], BlockGaps]]:
    """Count requests and gaps by block from small tables of the engine, one row a selection and block.

    Parameters
    ----------
    engine : Engine
    selections : sequence of Selection
    blocks : Blocks
    widths_ticks : sequence of float
        Widths of the bins in ticks.

    Yields
    ------
    selection : Selection
    counts : list of BlockCounts
        One for each width.
    gaps : BlockGaps
    """
    origin = {"origin_tick": blocks.origin_tick}
    answers = [
        engine.ask("block_counts", width_ticks=w, block_bins=blocks.block_ticks / w, **origin)
        for w in map(float, widths_ticks)
    ]
    between = engine.ask("block_gaps", block_ticks=blocks.block_ticks, **origin)

    def spread(table: pl.DataFrame, selection: Selection, columns: Sequence[str]) -> list[Array]:
        own = table.filter(pl.col("selection_id") == selection.selection_id)
        out = np.zeros((len(columns), len(blocks.blocks)))
        out[:, np.searchsorted(blocks.blocks, own["block"].to_numpy())] = own.select(columns).to_numpy().T
        return list(out)

    for selection in selections:
        counts = [
            BlockCounts(*spread(answer, selection, ("n", "n_square_sum", "peak"))) for answer in answers
        ]
        yield selection, counts, BlockGaps(*spread(between, selection, ("n", "gap_sum", "gap_square_sum")))


def count_blocks(
    ticks: Ticks, blocks: Blocks, widths_ticks: Sequence[float]
) -> tuple[list[BlockCounts], BlockGaps]:
    """Count one selection's requests and gaps by block, in one pass over its ticks.

    Parameters
    ----------
    ticks : Ticks
        Of the selection.
    blocks : Blocks
    widths_ticks : sequence of float
        Widths of the bins in ticks, ascending.

    Returns
    -------
    counts : list of BlockCounts
        One for each width.
    gaps : BlockGaps
    """
    tick, start = ticks.tick, ticks.start
    if ticks.first != blocks.origin_tick:
        tick = tick + (ticks.first - blocks.origin_tick)
    counts: list[BlockCounts] = []
    bins, finer = tick, 1.0
    for width in widths_ticks:
        times = width / finer
        if abs(times - round(times)) < 1e-9:
            bins, start = _coarser(bins, start, round(times))
        else:
            bins, start = _distinct(np.floor(tick / width).astype(np.int64), ticks.start)
        finer = width
        counts.append(_counts(bins, start, width, blocks))
    return counts, _gaps(tick, ticks, blocks)


def _coarser(bins: Integers, start: Integers, times: int) -> tuple[Integers, Integers]:
    return (bins, start) if times == 1 else _distinct(bins // times, start)


def _distinct(bins: Integers, start: Integers) -> tuple[Integers, Integers]:
    """Distinct bins of a sorted array, and how many requests lie before each and in all."""
    if not len(bins):
        return bins, start
    first = np.flatnonzero(np.concatenate([[True], bins[1:] != bins[:-1]]))
    return bins[first], np.append(start[first], start[-1])


def _counts(bins: Integers, start: Integers, width: float, blocks: Blocks) -> BlockCounts:
    """Sums by block over the bins that some segment holds whole; empty bins add nothing."""
    requests = np.diff(start)
    covered = []
    for first_tick, last_tick in zip(blocks.start_tick, blocks.end_tick, strict=True):
        first = np.ceil((first_tick - blocks.origin_tick) / width)
        stop = np.floor((last_tick + 1 - blocks.origin_tick) / width)
        covered.append(slice(*_bin_position(bins, np.array([first, stop]))))
    if len(covered) == 1:
        bins, requests = bins[covered[0]], requests[covered[0]]
    else:
        bins, requests = (np.concatenate([values[part] for part in covered]) for values in (bins, requests))
    border = blocks.borders(bins, width)
    return BlockCounts(
        _per_block(np.add, requests, border),
        _squares_per_block(requests, border),
        _per_block(np.maximum, requests, border),
    )


def _gaps(tick: Integers, ticks: Ticks, blocks: Blocks) -> BlockGaps:
    border = blocks.borders(tick, 1.0)
    # Each request ends a gap, but for the first of a segment.
    ended = np.diff(ticks.start[border]) - np.diff(np.searchsorted(ticks.cut, border))
    gap = ticks.gaps()
    return BlockGaps(ended.astype(float), _per_block(np.add, gap, border), _squares_per_block(gap, border))


def _squares_per_block(values: NDArray[Any], border: NDArray[np.intp]) -> Array:
    """Sums of squares between neighbouring borders, some blocks at a time, as many as stay in the cache."""
    out = np.zeros(len(border) - 1)
    here = 0
    while here < len(out):
        far = int(np.searchsorted(border, border[here] + PIECE, side="right")) - 1
        stop = min(max(far, here + 1), len(out))
        piece = values[border[here] : border[stop]].astype(float)
        out[here:stop] = _per_block(
            np.add, np.square(piece, out=piece), border[here : stop + 1] - border[here]
        )
        here = stop
    return out


def _bin_position(bins: Integers, numbers: Array) -> NDArray[np.intp]:
    """Where whole numbers stand among sorted bins, sought in the bins' own type: another would copy them."""
    end = int(bins[-1]) + 1 if len(bins) else 0
    return np.searchsorted(bins, np.clip(numbers, 0, end).astype(bins.dtype))


def _per_block(combine: np.ufunc, values: NDArray[Any], border: NDArray[np.intp]) -> Array:
    """Values between neighbouring borders combined; zero if there are none."""
    out = np.zeros(len(border) - 1)
    some = border[:-1] < border[1:]
    if some.any():
        # What is summed never exceeds what its type holds: all requests, or the ticks of the whole record.
        out[some] = combine.reduceat(values[: border[-1]], border[:-1][some], dtype=values.dtype)
    return out
