"""The windows of a trace and the gaps that begin in them, per selection, as small arrays.

A gap belongs to the window in which it begins, also where it ends in a later one, so a window has as many
gaps as requests; leaving such gaps out would favour short ones and raise the rate (by 2 to 10 %). The
part of a gap beyond its window's border is measured at the pace of its own window: a second in a window
with half the request rate counts as half a second, and no gap counts as more than it is. At a constant
rate this changes next to nothing; where a storm ends, the silence after it is not taken for a gap of the
storm. It is the clock of `renewal`, in which such a gap was drawn. Not here: what is fitted to the gaps.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from .gamma import SINGLE, GapSums
from .sampling import lowest_ticks
from .trace import Selection, Trace

Array = NDArray[np.float64]

WORKING_HOURS = (9, 18)
"""The paper's weekday working hours, local time (Fig. 6)."""

MOST_AT_ONCE = 4_000_000
"""Requests whose gaps are asked for together, which bounds the memory that it takes."""


@dataclass(frozen=True)
class Windows:
    """The windows that the record covers, in order; every array has one element a window."""

    window_s: float
    number: NDArray[np.int64]
    """Windows since midnight of day 0."""
    start_s: Array
    covered_s: Array
    """How much of the window the record covers: less than `window_s` at its ends and at holes."""
    working: NDArray[np.bool_] | None
    """Whether the window begins in weekday working hours; None where weekdays are unknown."""

    def __len__(self) -> int:
        return len(self.number)


@dataclass(frozen=True)
class WindowGaps:
    """One selection's gaps in each of the windows."""

    cells: Array
    """Gaps by size, (n_windows, n_cells): see `queries/arrival_windows.sql`."""
    sums: GapSums
    """What a Gamma's likelihood needs, in ticks."""
    square_sum: Array
    """Sum of squared gaps, in square ticks."""

    @cached_property
    def cv(self) -> Array:
        """Coefficient of variation of each window's gaps; NaN below two gaps or where all are zero."""
        return cv_of(self.sums, self.square_sum)


@dataclass(frozen=True)
class SelectionGaps:
    """One selection's requests and gaps in each of the windows."""

    requests: Array
    """Requests per window, shape (n_windows,)."""
    own: WindowGaps
    """Gaps at the pace of the window in which they begin: what is fitted to windows."""
    whole: WindowGaps
    """Gaps as they are, for what is told of all windows together."""


def cv_of(sums: GapSums, square_sum: Array) -> Array:
    """Coefficient of variation of each window's gaps; NaN below two gaps or where all are zero."""
    known = (sums.n >= 2) & (sums.mean > 0)
    out = np.full(len(known), np.nan)
    n, mean = sums.n[known], sums.mean[known]
    out[known] = np.sqrt(np.maximum(square_sum[known] - n * mean**2, 0) / (n - 1)) / mean
    return out


def windows_of(trace: Trace, window_s: float) -> Windows:
    """The windows of `window_s` seconds, counted from midnight of day 0, that the trace's segments touch."""
    resolution = trace.info.resolution_s
    ticks = window_s / resolution
    numbers, covered = [], []
    for start, end in trace.engine.table("segments").select("start_tick", "end_tick").iter_rows():
        number = np.arange(np.floor(start / ticks), np.floor(end / ticks) + 1)
        numbers.append(number)
        covered.append(np.minimum((number + 1) * ticks, end + 1) - np.maximum(number * ticks, start))
    if not numbers:
        return Windows(window_s, np.empty(0, dtype=np.int64), np.empty(0), np.empty(0), None)
    # Two segments may share a window that is longer than the hole between them.
    number, place = np.unique(np.concatenate(numbers), return_inverse=True)
    covered_ticks = np.bincount(place, weights=np.concatenate(covered)).astype(float)
    start_s = number * window_s
    working = None
    if trace.info.day0 is not None:
        day, hour = np.divmod(start_s / 3600, 24)
        weekday = (trace.info.day0.weekday() + day) % 7
        working = (weekday < 5) & (hour >= WORKING_HOURS[0]) & (hour < WORKING_HOURS[1])
    return Windows(window_s, number.astype(np.int64), start_s, covered_ticks * resolution, working)


def gaps_in(trace: Trace, windows: Windows) -> Iterator[tuple[Selection, SelectionGaps]]:
    """Requests and gaps of every selection in `windows`, made as they are asked for: they are not small."""
    ticks = windows.window_s / trace.info.resolution_s
    counted, crossing = (
        _by_selection(trace, trace.engine.ask(name, window_ticks=ticks))
        for name in ("window_counts", "border_gaps")
    )
    for batch in _batches(trace.selections):
        ids = {"first_selection": batch[0].selection_id, "last_selection": batch[-1].selection_id}
        sized = trace.engine.ask("arrival_windows", window_ticks=ticks, **ids)
        for selection in batch:
            key = selection.selection_id
            requests = np.zeros(len(windows))
            place = _place(counted[key]["window_id"], windows)
            requests[place] = counted[key]["n"].to_numpy()
            layers = _layers(sized.filter(pl.col("selection_id") == key), windows)
            layers[0, place, 0] = counted[key]["zero_gaps"].to_numpy()
            whole = _window_gaps(layers)
            _set_own_pace(layers, crossing[key], requests, windows, trace.info.resolution_s)
            yield selection, SelectionGaps(requests, _window_gaps(layers), whole)


def _batches(selections: Sequence[Selection]) -> Iterator[list[Selection]]:
    """Selections in order, as many at a time as hold `MOST_AT_ONCE` requests together, or one."""
    batch: list[Selection] = []
    for selection in selections:
        if batch and sum(held.n for held in batch) + selection.n > MOST_AT_ONCE:
            yield batch
            batch = []
        batch.append(selection)
    if batch:
        yield batch


def _by_selection(trace: Trace, answer: pl.DataFrame) -> dict[int, pl.DataFrame]:
    parts = {int(key[0]): part for key, part in answer.partition_by("selection_id", as_dict=True).items()}
    return {s.selection_id: parts.get(s.selection_id, answer.clear()) for s in trace.selections}


def _place(window_id: pl.Series | Array, windows: Windows) -> NDArray[np.int64]:
    """Where windows stand among all windows, by their number."""
    return np.searchsorted(windows.number, np.asarray(window_id)).astype(np.int64)


def _layers(sized: pl.DataFrame, windows: Windows) -> Array:
    """How many gaps, Σ gap, Σ gap² and Σ log gap by window and cell, shape (4, n_windows, n_cells)."""
    cell = sized["cell"].to_numpy().astype(int)
    out = np.zeros((4, len(windows), max(SINGLE, int(cell.max(initial=0)) + 1)))
    for layer, column in zip(out, ("n", "gap_sum", "gap_square_sum", "gap_log_sum"), strict=True):
        layer[_place(sized["window_id"], windows), cell] = sized[column].to_numpy()
    return out


def _window_gaps(layers: Array) -> WindowGaps:
    n, gap_sum, square_sum, log_sum = layers
    cells = n.copy()
    return WindowGaps(
        cells=cells,
        sums=GapSums(
            counts=cells[:, :SINGLE],
            tail_n=n[:, SINGLE:].sum(axis=1),
            tail_sum=gap_sum[:, SINGLE:].sum(axis=1),
            tail_log_sum=log_sum[:, SINGLE:].sum(axis=1),
        ),
        square_sum=square_sum.sum(axis=1),
    )


def _set_own_pace(
    layers: Array, crossing: pl.DataFrame, requests: Array, windows: Windows, tick_s: float
) -> None:
    """Measure the gaps that cross a border, at most one a window, at the pace of their window, in place."""
    ticks = windows.window_s / tick_s
    begin, end = (crossing[name].to_numpy().astype(float) for name in ("begin_tick", "end_tick"))
    first, last = (_place(np.floor(tick / ticks), windows) for tick in (begin, end))
    pace = requests / (windows.covered_s / tick_s)
    counted = np.concatenate([[0.0], np.cumsum(requests)])
    border = (windows.number[first] + 1) * ticks
    # A window that a gap enters from the one before it is covered from its first tick on.
    beyond = counted[last] - counted[first + 1] + pace[last] * (end - windows.number[last] * ticks)
    gap = end - begin
    own = np.rint(np.minimum(border - begin + beyond / pace[first], gap))
    for sign, size in ((-1, gap), (1, np.maximum(own, 1))):
        cell = np.searchsorted(lowest_ticks(layers.shape[2]), size, side="right") - 1
        layers[:, first, cell] += sign * np.stack([np.ones(len(size)), size, size**2, np.log(size)])
