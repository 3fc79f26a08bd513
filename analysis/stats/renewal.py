"""Arrival times drawn from a sequence of windows, each with a request rate and a Gamma shape.

The model is a time-changed Gamma renewal process. Operational time is the integral of the request rate
over the windows: one unit is one expected request. In operational time the gaps are independent, Gamma
distributed with mean one, and their shape is that of the window in which the gap begins; a gap that
reaches over a border is stretched by the rate of each window that it passes. So rates apply across
borders (no window starts afresh, no request is lost or added at a border), shapes apply where gaps
begin, as they are fitted (see `traffic.arrivals`), and windows without requests are simply passed over.

`count_variance` is the variance of the requests counted in an interval of such a process. Not here:
fitting the windows, and whole-second stamps (`np.floor` what comes out).
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..core.arrays import Array
from .gamma import expected_shortfall


def sample_arrivals(
    start_s: ArrayLike,
    shape: ArrayLike,
    rate_rps: ArrayLike,
    window_s: ArrayLike,
    rng: np.random.Generator,
) -> Array:
    """Draw arrival times from windows of Gamma gaps.

    The first gap is drawn as seen from an instant that falls anywhere in it (the stationary start: a uniform
    share of a gap of shape α + 1), so a sequence of equal windows has the mean rate from its first second on.
    Time that no window covers has no requests.

    Parameters
    ----------
    start_s : array, shape (n_windows,)
        Start of each window in seconds, in order; windows do not overlap.
    shape : array, shape (n_windows,) or ()
        Gamma shape; may be NaN in a window of rate zero.
    rate_rps : array, shape (n_windows,) or ()
        Requests per second; a window of rate zero has no requests.
    window_s : array, shape (n_windows,) or ()
        Length of the windows in seconds.
    rng : Generator

    Returns
    -------
    array, shape (n_requests,)
        Arrival times in seconds, increasing.

    Raises
    ------
    ValueError
        When windows overlap, a rate is negative, or a window with requests has no shape.
    """
    start = np.asarray(start_s, dtype=float)
    length = np.broadcast_to(np.asarray(window_s, dtype=float), start.shape)
    rate = np.broadcast_to(np.asarray(rate_rps, dtype=float), start.shape)
    alpha = np.broadcast_to(np.asarray(shape, dtype=float), start.shape)
    if np.any(np.diff(start) < length[:-1] - 1e-9):
        raise ValueError("windows must be in order and must not overlap")
    if not np.all(rate >= 0):
        raise ValueError("the request rate of every window must be zero or more")
    busy = rate > 0
    if not np.all(alpha[busy] > 0):
        raise ValueError("every window with requests needs a shape above zero")
    start, length, rate, alpha = start[busy], length[busy], rate[busy], alpha[busy]
    if not len(start):
        return np.empty(0)
    ends = np.cumsum(rate * length)
    operational = _operational(ends, alpha, rng)
    window = np.minimum(np.searchsorted(ends, operational, side="right"), len(ends) - 1)
    begins = ends[window] - rate[window] * length[window]
    times: Array = start[window] + np.clip((operational - begins) / rate[window], 0.0, length[window])
    return times


def _operational(ends: Array, alpha: Array, rng: np.random.Generator) -> Array:
    """Arrivals in operational time, from the operational end and the shape of each window.

    One step a window, not one a request: within a window the gaps are alike, so they are drawn together.
    """
    drawn: list[Array] = []
    at = rng.random() * rng.standard_gamma(alpha[0] + 1) / alpha[0]
    for end, a in zip(ends.tolist(), alpha.tolist(), strict=True):
        while at < end:
            expected = end - at
            size = int(expected + 3 * np.sqrt(expected / a) + 2 / a) + 4
            times = rng.standard_gamma(a, size)
            times /= a
            np.cumsum(times, out=times)
            times += at
            # The last one drawn ends the last gap that begins in this window, or the draw was too short.
            inside = int(np.searchsorted(times, end))
            drawn.append(np.concatenate(([at], times[:inside])))
            at = float(times[min(inside, size - 1)])
            if inside == size:
                drawn[-1] = drawn[-1][:-1]
    return np.concatenate(drawn) if drawn else np.empty(0)


def count_variance(expected: ArrayLike, shape: ArrayLike) -> Array:
    """Compute the variance of the requests in an interval of a process of Gamma gaps.

    For a stationary renewal process with unit-mean gaps it is V(x) = x + 2 Σ_k E[(x − S_k)+] − x², S_k
    the sum of k gaps; for x over 20/α its asymptote, x/α + (1 − 1/α²)/6, is as good. Interpolated from a
    table to 2 %.

    Parameters
    ----------
    expected : array
        Expected requests x in the interval.
    shape : array
        Gamma shape α, clipped to 0.02 to 50. Both arguments broadcast.

    Returns
    -------
    array, the broadcast shape
        In squared requests.

    References
    ----------
    Cox, Renewal Theory (1962), ch. 4.
    """
    x, a = np.broadcast_arrays(np.asarray(expected, dtype=float), np.clip(shape, 0.02, 50.0))
    table = _variance_ratio()
    # Bilinear; both axes are even on the log scale.
    i, t = _grid_position(np.clip(x, _EXPECTED[0], _EXPECTED[-1]), _EXPECTED)
    j, u = _grid_position(a, _SHAPES)
    lower = (1 - u) * table[i, j] + u * table[i, j + 1]
    upper = (1 - u) * table[i + 1, j] + u * table[i + 1, j + 1]
    near = x * np.exp((1 - t) * lower + t * upper)
    out: Array = np.where(x > 20 / a, x / a + (1 - 1 / a**2) / 6, near)
    return out


_EXPECTED = np.geomspace(1e-3, 1000.0, 43)
_SHAPES = np.geomspace(0.02, 50.0, 33)


@cache
def _variance_ratio() -> Array:
    """log of V(x)/x at `_EXPECTED` × `_SHAPES`."""
    out = np.empty((len(_EXPECTED), len(_SHAPES)))
    for i, x in enumerate(_EXPECTED.tolist()):
        for j, a in enumerate(_SHAPES.tolist()):
            variance = x / a + (1 - 1 / a**2) / 6
            if x <= 25 / a:
                k = np.arange(1, int(x + 10 * np.sqrt(x / a) + 30 / a) + 5)
                variance = x + 2 * expected_shortfall(x, k * a, k).sum() - x * x
            out[i, j] = np.log(variance / x)
    return out


def _grid_position(values: Array, points: Array) -> tuple[NDArray[np.intp], Array]:
    """The point below each value, of geometrically spaced ones, and how far it is to the next in logs."""
    at = np.log(values / points[0]) * ((len(points) - 1) / np.log(points[-1] / points[0]))
    first = np.clip(at.astype(np.intp), 0, len(points) - 2)
    return first, at - first
