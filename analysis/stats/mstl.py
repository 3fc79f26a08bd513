"""Trend, seasonal components and remainder of hourly series, many series at once (STL, MSTL).

The linear form of STL (no robustness weights) is a chain of matrix products, since a loess of fixed span
on a regular grid weighs its neighbours the same way whatever the values are. Written so, it takes
milliseconds for all selections of a trace. `statsmodels.tsa.seasonal.MSTL` gives the same numbers up to
rounding (a test compares both), but takes 0.2 s a selection for two months of hours and 0.9 s for eight. Not
here: what a strength means (see `traffic.periodicity`).

Source: Cleveland, Cleveland, McRae and Terpenning, "STL: a seasonal-trend decomposition procedure
based on loess", J. Official Statistics 6 (1990); Bandara, Hyndman and Bergmeir, "MSTL" (2021).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ..core.arrays import Array

INNER_LOOPS = 5
ROUNDS = 2


@dataclass(frozen=True)
class Decomposition:
    """Additive parts of series of shape (..., n): `trend + sum(seasonal.values()) + remainder`."""

    trend: Array
    seasonal: dict[int, Array]
    """Seasonal component by period, in steps of the series."""
    remainder: Array

    def strength(self, period: int) -> Array:
        """Share max(0, 1 − Var(R) / Var(S + R)) of one component, shape (...); 0 for a constant series.

        Noise has strength too, since a profile that may drift follows some of it.
        """
        both = np.var(self.seasonal[period] + self.remainder, axis=-1)
        left = np.var(self.remainder, axis=-1)
        share = 1 - np.divide(left, both, out=np.ones_like(both), where=both > 1e-12)
        return np.asarray(np.maximum(0.0, share))


def mstl(series: Array, periods: Sequence[int]) -> Decomposition:
    """Decompose series into trend, one seasonal component for each period, and remainder.

    Spans are MSTL's own: 11 cycles for the first period, 15 for the second, and so on.

    Parameters
    ----------
    series : array, shape (..., n)
        Evenly sampled values, without holes.
    periods : sequence of int
        In steps of the series, in any order.

    Returns
    -------
    Decomposition
        Parts of shape (..., n).

    Raises
    ------
    ValueError
        Without periods, or for fewer than two cycles of the longest one.

    References
    ----------
    Bandara, Hyndman and Bergmeir, "MSTL" (2021).
    """
    n = series.shape[-1]
    ordered = sorted(periods)
    if not ordered or n < 2 * ordered[-1]:
        raise ValueError(f"{n} steps have fewer than two cycles of period {max(periods, default=0)}")
    seasonal = {period: np.zeros_like(series) for period in ordered}
    rest = series.astype(float)
    trend = rest
    for _ in range(ROUNDS if len(ordered) > 1 else 1):
        for i, period in enumerate(ordered):
            rest = rest + seasonal[period]
            seasonal[period], trend = stl(rest, period, span=7 + 4 * (i + 1))
            rest = rest - seasonal[period]
    return Decomposition(trend, seasonal, rest - trend)


def stl(series: Array, period: int, span: int) -> tuple[Array, Array]:
    """Split series into a seasonal component and a trend by STL without robustness weights.

    Parameters
    ----------
    series : array, shape (..., n)
        Evenly sampled values, without holes.
    period : int
        In steps of the series.
    span : int
        Width of the loess along the cycles, in cycles; odd.

    Returns
    -------
    seasonal, trend : array, shape (..., n)

    References
    ----------
    Cleveland, Cleveland, McRae and Terpenning, J. Official Statistics 6 (1990).
    """
    n = series.shape[-1]
    wide = _odd(int(np.ceil(1.5 * period / (1 - 1.5 / span))))
    narrow = _odd(period + 1)
    trend = np.zeros_like(series)
    seasonal = np.zeros_like(series)
    for _ in range(INNER_LOOPS):
        cycles = _smooth_cycles(series - trend, period, span)
        low = _mean(_mean(_mean(cycles, period), period), 3)
        seasonal = cycles[..., period : period + n] - _loess(low, narrow)
        trend = _loess(series - seasonal, wide)
    return seasonal, trend


def _smooth_cycles(series: Array, period: int, span: int) -> Array:
    """Loess along each phase's own values, continued by one cycle at both ends: (..., n + 2 periods)."""
    n = series.shape[-1]
    cycles = -(-n // period)
    out = np.empty((*series.shape[:-1], n + 2 * period))
    full = n - (cycles - 1) * period
    for first, last, cycle_count in ((0, full, cycles), (full, period, cycles - 1)):
        if first == last:
            continue
        phases = [series[..., first + c * period : last + c * period] for c in range(cycle_count)]
        smoothed = _cycle_weights(cycle_count, span) @ np.stack(phases, axis=-2)
        for c in range(cycle_count + 2):
            out[..., first + c * period : last + c * period] = smoothed[..., c, :]
    return out


@lru_cache(maxsize=64)
def _cycle_weights(n: int, span: int) -> Array:
    """Loess weights at positions −1, 0, …, n of n values, shape (n + 2, n)."""
    return np.stack([_weights(at, *_window(at, n, span), n, span) for at in range(-1, n + 1)])


def _window(at: int, n: int, span: int) -> tuple[int, int]:
    """First and last index of the `span` values of 0..n−1 nearest to a position."""
    if span >= n:
        return 0, n - 1
    first = min(max(at - (span - 1) // 2, 0), n - span)
    return first, first + span - 1


def _weights(at: int, first: int, last: int, n: int, span: int) -> Array:
    """Weights of values 0..n−1 in a local line through `first`..`last`, read off at a position."""
    reach = max(at - first, last - at) + (max(span - n, 0)) // 2
    where = np.arange(first, last + 1, dtype=float)
    distance = np.abs(where - at)
    tricube = np.where(distance <= 0.999 * reach, (1 - (distance / reach) ** 3) ** 3, 0.0)
    tricube[distance <= 0.001 * reach] = 1.0
    tricube /= tricube.sum()
    centre = tricube @ where
    spread = tricube @ (where - centre) ** 2
    if np.sqrt(spread) > 0.001 * (n - 1):
        tricube = tricube * (1 + (at - centre) / spread * (where - centre))
    out = np.zeros(n)
    out[first : last + 1] = tricube
    return out


def _loess(series: Array, span: int) -> Array:
    """Local lines over `span` steps: one symmetric kernel inside, weights of their own at the ends."""
    n = series.shape[-1]
    if span >= n:
        return np.asarray(series @ _cycle_weights(n, span)[1:-1].T)
    half = (span - 1) // 2
    _, head = _kernel(span)
    out = np.empty_like(series)
    size = 1 << (n - 1).bit_length()
    transformed = np.fft.rfft(series, size) * _transformed(span, size)
    # The circular convolution equals the plain one where the kernel lies completely on the series.
    out[..., half : n - half] = np.fft.irfft(transformed, size)[..., span - 1 : n]
    out[..., :half] = series[..., :span] @ head.T
    out[..., n - half :] = (series[..., : -span - 1 : -1] @ head.T)[..., ::-1]
    return out


@lru_cache(maxsize=16)
def _kernel(span: int) -> tuple[Array, Array]:
    """Weights at the middle of a window of `span`, and at each position before it, (half, span)."""
    half = (span - 1) // 2
    rows = np.stack([_weights(at, 0, span - 1, span, span) for at in range(half + 1)])
    return rows[half], rows[:half]


@lru_cache(maxsize=16)
def _transformed(span: int, size: int) -> NDArray[np.complex128]:
    """Fourier transform of the weights in the middle."""
    return np.fft.rfft(_kernel(span)[0], size)


def _mean(series: Array, width: int) -> Array:
    """Moving average of `width` steps, `width − 1` shorter than the series."""
    total = np.cumsum(series, axis=-1)
    out = total[..., width - 1 :].copy()
    out[..., 1:] -= total[..., :-width]
    return np.asarray(out / width)


def _odd(value: int) -> int:
    """The value, or the next one if it is even."""
    return value if value % 2 else value + 1
