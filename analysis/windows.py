"""The windows of a trace and the gaps that begin in them, per selection, as small arrays.

A gap belongs to the window in which it begins, also where it ends in a later one: then the gaps of a
window are as many as its requests, none is cut at a border (which would favour short ones), and
the mean of constant arrivals comes out unbiased (Wald's identity). Not here: what is fitted to them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from .gamma import SINGLE, GapSums
from .trace import Trace

Array = NDArray[np.float64]

WORKING_HOURS = (9, 18)
"""The paper's weekday working hours, local time (Fig. 6)."""


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
    """One selection's requests and gaps in each of the windows."""

    requests: Array
    cells: Array
    """Gaps by size, (n_windows, n_cells): see `queries/arrival_windows.sql`."""
    sums: GapSums
    """What a Gamma's likelihood needs, in ticks."""
    square_sum: Array
    """Sum of squared gaps, in square ticks."""

    @property
    def cv(self) -> Array:
        """Coefficient of variation of each window's gaps; NaN below two gaps or where all are zero."""
        return cv_of(self.sums, self.square_sum)


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


def gaps_in(trace: Trace, windows: Windows) -> dict[int, WindowGaps]:
    """Requests and gaps of every selection in `windows`, by selection_id."""
    ticks = windows.window_s / trace.info.resolution_s
    sized = _placed(trace.engine.ask("arrival_windows", window_ticks=ticks), windows, trace)
    counted = _placed(trace.engine.ask("window_counts", window_ticks=ticks), windows, trace)
    out = {}
    for selection in trace.selections:
        mine = sized[selection.selection_id]
        n_cells = max(SINGLE, int(mine["cell"].max() or 0) + 1)  # type: ignore[arg-type]
        n, gap_sum, squares, logs = (
            _laid_out(mine, column, len(windows), n_cells)
            for column in ("n", "gap_sum", "gap_square_sum", "gap_log_sum")
        )
        requests = counted[selection.selection_id]
        out[selection.selection_id] = WindowGaps(
            requests=_laid_out(requests.with_columns(cell=0), "n", len(windows), 1)[:, 0],
            cells=n,
            sums=GapSums(
                counts=n[:, :SINGLE],
                tail_n=n[:, SINGLE:].sum(axis=1),
                tail_sum=gap_sum[:, SINGLE:].sum(axis=1),
                tail_log_sum=logs[:, SINGLE:].sum(axis=1),
            ),
            square_sum=squares.sum(axis=1),
        )
    return out


def _placed(answer: pl.DataFrame, windows: Windows, trace: Trace) -> dict[int, pl.DataFrame]:
    """The rows of each selection, with the place of their window among all windows."""
    place = np.searchsorted(windows.number, answer["window_id"].to_numpy())
    placed = answer.with_columns(place=pl.Series(place, dtype=pl.Int64))
    parts = {int(key[0]): part for key, part in placed.partition_by("selection_id", as_dict=True).items()}
    return {s.selection_id: parts.get(s.selection_id, placed.clear()) for s in trace.selections}


def _laid_out(rows: pl.DataFrame, column: str, n_windows: int, n_cells: int) -> Array:
    """A column of counted cells as an array (n_windows, n_cells), zero where nothing was counted."""
    out = np.zeros((n_windows, n_cells))
    out[rows["place"].to_numpy(), rows["cell"].to_numpy()] = rows[column].to_numpy()
    return out
