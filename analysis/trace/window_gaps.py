"""The windows of a trace and the gaps that begin in them, per selection, as small arrays.

A gap belongs to the window in which it begins, even if it ends in a later one, so a window has as many
gaps as requests; leaving such gaps out would favour short ones and raise the rate (by 2 to 10 %). The
part of a gap beyond its window's border is measured at the pace of its own window: a second in a window
with half the request rate counts as half a second, and no gap counts as more than it is. At a constant
rate this changes next to nothing; after a storm, the silence does not count as a gap of the
storm. It is the clock of `renewal`, in which such a gap was drawn. Not here: what is fitted to the gaps.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from ...queries.engine import Engine
from ..core.arrays import Array, Integers, Mask
from ..core.units import DAY_H, HOUR_S
from ..logs.tables import PIECE, Selection, Ticks
from ..stats.gap_sums import SINGLE, GapSums, lowest_ticks

if TYPE_CHECKING:
    from .trace import Trace

WORKING_HOURS = (9, 18)
"""The paper's weekday working hours, local time (Fig. 6)."""

MAX_TABLE_TICKS = 65_535
"""A table has the cell of each gap up to this number of ticks."""


@dataclass(frozen=True)
class Windows:
    """The windows that the record covers, in order; every array has one element a window."""

    window_s: float
    number: Integers
    """Windows since midnight of day 0."""
    start_s: Array
    covered_s: Array
    """How much of the window the record covers: less than `window_s` at its ends and at holes."""
    working: Mask | None
    """Whether the window begins in weekday working hours; None if weekdays are unknown."""
    clock_s: Array
    """What the clock shows as each begins, in seconds since midnight of day 0."""

    def __len__(self) -> int:
        return len(self.number)


@dataclass(frozen=True)
class WindowGaps:
    """One selection's gaps in each of the windows."""

    cells: Array
    """Gaps by size, (n_windows, n_cells): 0 to 15 ticks one by one, longer ones in half octaves (cell 16
    holds 16 to 22 ticks, cell 17 holds 23 to 31, …)."""
    sums: GapSums
    """What a Gamma's likelihood needs, in ticks."""
    square_sum: Array
    """Sum of squared gaps, in square ticks."""

    @cached_property
    def cv(self) -> Array:
        """Coefficient of variation of each window's gaps; NaN below two gaps or if all are zero."""
        return cv_of(self.sums, self.square_sum)


@dataclass(frozen=True)
class SelectionGaps:
    """One selection's requests and gaps in each of the windows."""

    requests: Array
    """Requests per window, shape (n_windows,)."""
    own: WindowGaps
    """Gaps at the pace of the window in which they begin: what is fitted to windows."""
    full: WindowGaps
    """Gaps as they are, for statistics of all windows together."""


def cv_of(sums: GapSums, square_sum: Array) -> Array:
    """Compute the coefficient of variation of each window's gaps.

    Parameters
    ----------
    sums : GapSums
        Of n_windows windows, in ticks.
    square_sum : array, shape (n_windows,)
        Sums of squared gaps, in square ticks.

    Returns
    -------
    array, shape (n_windows,)
        NaN for fewer than two gaps, or if all are zero.
    """
    known = (sums.n >= 2) & (sums.mean > 0)
    out = np.full(len(known), np.nan)
    n, mean = sums.n[known], sums.mean[known]
    out[known] = np.sqrt(np.maximum(square_sum[known] - n * mean**2, 0) / (n - 1)) / mean
    return out


def windows_of(trace: Trace, window_s: float) -> Windows:
    """List the windows that the trace's segments touch, counted from midnight of day 0.

    Parameters
    ----------
    trace : Trace
    window_s : float
        Length of a window in seconds.

    Returns
    -------
    Windows
    """
    resolution = trace.info.resolution_s
    ticks = window_s / resolution
    numbers, covered = [], []
    for start, end in trace.engine.table("segments").select("start_tick", "end_tick").iter_rows():
        number = np.arange(np.floor(start / ticks), np.floor(end / ticks) + 1)
        numbers.append(number)
        covered.append(np.minimum((number + 1) * ticks, end + 1) - np.maximum(number * ticks, start))
    if not numbers:
        return Windows(window_s, np.empty(0, dtype=np.int64), np.empty(0), np.empty(0), None, np.empty(0))
    # Two segments may share a window that is longer than the hole between them.
    number, place = np.unique(np.concatenate(numbers), return_inverse=True)
    covered_ticks = np.bincount(place, weights=np.concatenate(covered)).astype(float)
    start_s = number * window_s
    clock_s = trace.info.clock.seconds(start_s)
    working = None
    if trace.info.day0 is not None:
        day, hour = np.divmod(clock_s / HOUR_S, DAY_H)
        weekday = (trace.info.day0.weekday() + day) % 7
        working = (weekday < 5) & (hour >= WORKING_HOURS[0]) & (hour < WORKING_HOURS[1])
    return Windows(window_s, number.astype(np.int64), start_s, covered_ticks * resolution, working, clock_s)


def count_gaps(ticks: Ticks, windows: Windows, tick_s: float) -> SelectionGaps:
    """Count one selection's requests and gaps in each window, from its ticks in this process.

    Parameters
    ----------
    ticks : Ticks
        Of the selection.
    windows : Windows
    tick_s : float
        Length of a tick in seconds.

    Returns
    -------
    SelectionGaps
    """
    border = _borders(ticks, windows, windows.window_s / tick_s)
    occupied = np.diff(border)
    requests = np.diff(ticks.start[border]).astype(float)
    gap = ticks.gaps()
    full = _gaps_by_window(gap[1:], border, requests - occupied)
    # The gap ahead of a window's last tick crosses its border, unless it is none.
    last = border[1:][occupied > 0] - 1
    last = last[last < len(ticks.tick) - 1]
    last = last[gap[last + 1] > 0]
    begin, end = (ticks.tick[at].astype(float) + ticks.first for at in (last, last + 1))
    return SelectionGaps(requests, _at_own_pace(full, begin, end, requests, windows, tick_s), full)


def ask_gaps(
    engine: Engine, selections: Sequence[Selection], windows: Windows, tick_s: float
) -> Iterator[tuple[Selection, SelectionGaps]]:
    """Count requests and gaps in each window from small tables of the engine.

    The tables have one row a window, or one a window and size of gap.

    Parameters
    ----------
    engine : Engine
    selections : sequence of Selection
    windows : Windows
    tick_s : float
        Length of a tick in seconds.

    Yields
    ------
    selection : Selection
    gaps : SelectionGaps
    """
    ticks = windows.window_s / tick_s
    counts, summed, crossing = (
        engine.ask(name, window_ticks=ticks) for name in ("window_counts", "window_sums", "border_gaps")
    )
    for selection in selections:
        chosen = pl.col("selection_id") == selection.selection_id
        sized = engine.ask("window_cells", selection_id=selection.selection_id, window_ticks=ticks)
        own = (sized, counts.filter(chosen), summed.filter(chosen), crossing.filter(chosen))
        yield selection, _gaps_from_tables(*own, windows, tick_s)


def _gaps_from_tables(
    sized: pl.DataFrame,
    counts: pl.DataFrame,
    summed: pl.DataFrame,
    crossing: pl.DataFrame,
    windows: Windows,
    tick_s: float,
) -> SelectionGaps:
    """One selection's requests and gaps from the answers of the four `window_` and `border_` queries."""

    def spread(table: pl.DataFrame, column: str) -> Array:
        out = np.zeros(len(windows))
        out[np.searchsorted(windows.number, table["number"])] = table[column].to_numpy()
        return out

    cell = sized["cell"].to_numpy().astype(np.int64)
    cells = np.zeros((len(windows), max(SINGLE, int(cell.max(initial=0)) + 1)))
    cells[np.searchsorted(windows.number, sized["number"]), cell] = sized["n"].to_numpy()
    cells[:, 0] = spread(counts, "zeros")
    tail = [spread(summed, column) for column in ("tail_n", "tail_sum", "tail_log_sum")]
    full = WindowGaps(cells, GapSums(cells[:, :SINGLE], *tail), spread(summed, "square_sum"))
    requests = spread(counts, "n")
    begin, end = (crossing[name].to_numpy().astype(float) for name in ("begin_tick", "end_tick"))
    return SelectionGaps(requests, _at_own_pace(full, begin, end, requests, windows, tick_s), full)


def _borders(ticks: Ticks, windows: Windows, window_ticks: float) -> Integers:
    """Where each window begins among a selection's ticks, and the end of the last; each tick lies in one."""
    lowest = np.ceil(windows.number * window_ticks - 1e-9) - ticks.first
    end = int(ticks.tick[-1]) + 1 if len(ticks.tick) else 0
    # In the ticks' own type, else all of them would be copied to compare.
    first_tick = np.clip(lowest, 0, end).astype(ticks.tick.dtype)
    return np.append(np.searchsorted(ticks.tick, first_tick), len(ticks.tick)).astype(np.int64)


def _gaps_by_window(ahead: Integers, border: Integers, zeros: Array) -> WindowGaps:
    """Gaps by window, from the gap ahead of each tick but the last, and each window's gaps of zero.

    Some windows at a time, as many as stay in the cache.
    """
    n_windows, longest = len(zeros), int(ahead.max(initial=0))
    lowest = lowest_ticks(4 * SINGLE + 2 * longest.bit_length())
    n_cells = max(SINGLE, int(np.searchsorted(lowest, longest, side="right")))
    table = (
        np.searchsorted(lowest, np.arange(min(longest, MAX_TABLE_TICKS) + 1), side="right").astype(np.uint8)
        - 1
    )
    cells, tail = np.empty((n_windows, n_cells)), np.zeros((3, n_windows))
    here = 0
    while here < n_windows:
        far = int(np.searchsorted(border, border[here] + PIECE, side="right")) - 1
        some = slice(here, min(max(far, here + 1), n_windows))
        here = some.stop
        gap = ahead[border[some.start] : border[some.stop]]
        many = some.stop - some.start
        # The last tick of all has no gap ahead.
        key = np.repeat(np.arange(many) * n_cells, np.diff(border[some.start : some.stop + 1]))[: len(gap)]
        cell = np.take(table, gap, mode="clip")
        if longest > MAX_TABLE_TICKS:
            beyond = np.flatnonzero(gap > MAX_TABLE_TICKS)
            cell[beyond] = np.searchsorted(lowest, gap[beyond], side="right") - 1
        key += cell
        cells[some] = np.bincount(key, minlength=many * n_cells).reshape(many, n_cells)
        long = np.flatnonzero(gap >= SINGLE)
        window, size = key[long] // n_cells, gap[long].astype(float)
        for total, each in zip(tail, (size, np.log(size), size * size), strict=True):
            total[some] = np.bincount(window, each, many)
    cells[:, 0] = zeros
    short = cells[:, :SINGLE]
    sums = GapSums(short, cells[:, SINGLE:].sum(axis=1), tail[0], tail[1])
    return WindowGaps(cells, sums, tail[2] + short @ np.arange(SINGLE) ** 2)


def _at_own_pace(
    full: WindowGaps, begin: Array, end: Array, requests: Array, windows: Windows, tick_s: float
) -> WindowGaps:
    """The same, gaps that cross a border, at most one a window, measured at the pace of their window."""
    ticks = windows.window_s / tick_s
    first, last = (np.searchsorted(windows.number, np.floor(tick / ticks)) for tick in (begin, end))
    pace = requests / (windows.covered_s / tick_s)
    counted = np.concatenate([[0.0], np.cumsum(requests)])
    border = (windows.number[first] + 1) * ticks
    # A window that a gap enters from the one before it is covered from its first tick on.
    beyond = counted[last] - counted[first + 1] + pace[last] * (end - windows.number[last] * ticks)
    gap = end - begin
    own = np.maximum(np.rint(np.minimum(border - begin + beyond / pace[first], gap)), 1)
    cells, sums = full.cells.copy(), full.sums
    sum_rows = np.stack([sums.tail_n, sums.tail_sum, sums.tail_log_sum, full.square_sum])
    lowest = lowest_ticks(cells.shape[1])
    for sign, size in ((-1, gap), (1, own)):
        cell = np.searchsorted(lowest, size, side="right") - 1
        long = cell >= SINGLE
        cells[first, cell] += sign
        sum_rows[:, first] += sign * np.stack([long, long * size, long * np.log(size), size**2])
    return WindowGaps(cells, GapSums(cells[:, :SINGLE], *sum_rows[:3]), sum_rows[3])
