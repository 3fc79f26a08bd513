"""What the fit of a Gamma needs of a window's gaps: short ones counted by ticks, long ones as sums.

NumPy only, so that a trace can be reduced to these sums before SciPy is loaded. Not here: the law and its fit
(`gamma`), redraws (`gamma_bootstrap`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..core.arrays import Array

SINGLE = 16
"""Gaps of fewer ticks are counted one by one; longer ones enter by the sums of k and log k."""


def lowest_ticks(n_cells: int) -> Array:
    """Compute the shortest gap of each cell in ticks; a cell ends one tick before the next begins."""
    octaves = np.arange(max(n_cells - SINGLE, 0)) / 2
    longer = np.ceil(SINGLE * 2.0**octaves - 1e-6)
    return np.concatenate([np.arange(SINGLE), longer])[:n_cells]


@dataclass(frozen=True)
class GapSums:
    """What the likelihood of a Gamma needs of each window's gaps, in ticks; every array has length n_windows
    first. Gaps of fewer than `SINGLE` ticks are in `counts` (n_windows, SINGLE), the others in the sums.
    """

    counts: Array
    tail_n: Array
    tail_sum: Array
    tail_log_sum: Array

    @classmethod
    def of(cls, gaps: ArrayLike) -> GapSums:
        """The sums of one window's whole-tick gaps (n,), or of windows of equally many (n_windows, n)."""
        gap = np.atleast_2d(np.asarray(gaps, dtype=float))
        long = gap >= SINGLE
        counts = np.stack([(gap == k).sum(axis=1) for k in range(SINGLE)], axis=1)
        logs = np.log(gap, where=long, out=np.zeros(gap.shape))
        return cls(
            counts.astype(float), long.sum(axis=1).astype(float), (gap * long).sum(axis=1), logs.sum(axis=1)
        )

    def __getitem__(self, chosen: NDArray) -> GapSums:
        """The windows chosen by a mask or by indices."""
        return GapSums(
            self.counts[chosen], self.tail_n[chosen], self.tail_sum[chosen], self.tail_log_sum[chosen]
        )

    def pooled(self, weights: ArrayLike | None = None) -> GapSums:
        """All windows as one; with `weights` (n_pools, n_windows), as many pools of weighted windows."""
        w = (
            np.ones((1, len(self.tail_n)))
            if weights is None
            else np.atleast_2d(np.asarray(weights, dtype=float))
        )
        return GapSums(w @ self.counts, w @ self.tail_n, w @ self.tail_sum, w @ self.tail_log_sum)

    @cached_property
    def n(self) -> Array:
        """Gaps per window."""
        out: Array = self.counts.sum(axis=1) + self.tail_n
        return out

    @cached_property
    def mean(self) -> Array:
        """Mean gap per window in ticks; NaN for a window without gaps."""
        total = self.counts @ np.arange(SINGLE) + self.tail_sum
        out: Array = np.divide(total, self.n, out=np.full(len(total), np.nan), where=self.n > 0)
        return out

    @cached_property
    def log_mean_excess(self) -> Array:
        """Log of the mean less mean of the logs, if no gap is zero: it determines a continuous shape."""
        logs = self.counts[:, 1:] @ np.log(np.arange(1, SINGLE)) + self.tail_log_sum
        out: Array = np.log(self.mean) - logs / self.n
        return out
