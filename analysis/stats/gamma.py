"""Gamma gaps as whole-tick stamps show them: the law, and the fit of every window at once.

A gap X between two requests is Gamma with `shape` α and mean m; its rate is β = α / m, its scale m / α,
its CV 1/√α. A log whose stamps are whole ticks shows D = floor(t + X) − floor(t), t uniform in its tick:

    P(D = k) = K(k+1) − 2 K(k) + K(k−1),   P(D <= k) = K(k+1) − K(k)
    K(x) = E[(x − X)+] = x P(α, αx/m) − m P(α+1, αx/m)   for x > 0, else 0

with P the regularised lower incomplete gamma function: a triangle kernel over the density. The mean of D
is m. From `SINGLE` ticks on the plain density at k is as good (at α = 50 and m = 16 the shape comes out
3 % low, at α <= 5 under 1 %). So the data of a window are how many of its gaps are 0, 1, … ticks, and
n, Σk and Σlog k of the rest; m is set to the mean gap and the likelihood maximised over log α.

Everything here counts in ticks. Not here: what is found in a trace (see `traffic.arrivals`), and drawing
arrival times (see `renewal`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from ..core.arrays import Array
from .gap_sums import SINGLE, GapSums

SHAPES = np.exp(np.arange(np.log(0.02), np.log(50.0) + 0.05, 0.1))
"""The shapes at which the likelihood of every window is laid out, shape (79,): 0.02 to 50."""
MIN_MASS = 1e-290
"""Masses below this one are lost to underflow."""
MEANS = np.exp(np.arange(np.log(0.05), np.log(1e5) + 0.1, 0.1))
"""Mean gaps in ticks at which the law is tabulated; beyond the last it is a power law in the mean."""


def expected_shortfall(x: ArrayLike, shape: ArrayLike, mean: ArrayLike) -> Array:
    """Compute K(x) = E[(x − X)+], the integral of the distribution function of X.

    Parameters
    ----------
    x : array
        In ticks; K is 0 for x <= 0.
    shape : array
        Gamma shape α of the gap X.
    mean : array
        Mean gap in ticks. The three arguments broadcast.

    Returns
    -------
    array, the broadcast shape
        In ticks.
    """
    at = np.maximum(np.asarray(x, dtype=float), 0.0)
    shape, mean = np.asarray(shape, dtype=float), np.asarray(mean, dtype=float)
    z = shape * at / mean
    out: Array = at * special.gammainc(shape, z) - mean * special.gammainc(shape + 1, z)
    return out


def expected_excess(x: ArrayLike, shape: ArrayLike, mean: ArrayLike) -> Array:
    """Compute H(x) = E[(X − x)+], which stays precise when K(x) is nearly x − mean.

    Parameters
    ----------
    x : array
        In ticks; x < 0 gives mean − x.
    shape : array
        Gamma shape α of the gap X.
    mean : array
        Mean gap in ticks. The three arguments broadcast.

    Returns
    -------
    array, the broadcast shape
        In ticks.
    """
    at = np.asarray(x, dtype=float)
    shape, mean = np.asarray(shape, dtype=float), np.asarray(mean, dtype=float)
    z = shape * np.maximum(at, 0.0) / mean
    out: Array = mean * special.gammaincc(shape + 1, z) - at * special.gammaincc(shape, z)
    return out


def cumulative(ticks: ArrayLike, shape: ArrayLike, mean: ArrayLike) -> Array:
    """Compute P(D <= ticks) of a gap between whole-tick stamps.

    Parameters
    ----------
    ticks : array
        Rounded down; below zero the probability is 0.
    shape, mean : array
        Gamma shape, and mean gap in ticks. The three arguments broadcast.

    Returns
    -------
    array, the broadcast shape
    """
    k = np.floor(np.asarray(ticks, dtype=float))
    out: Array = expected_shortfall(k + 1, shape, mean) - expected_shortfall(k, shape, mean)
    return out


def survival(ticks: ArrayLike, shape: ArrayLike, mean: ArrayLike) -> Array:
    """Compute P(D > ticks), precise in the far tail where 1 − `cumulative` is not.

    Parameters
    ----------
    ticks : array
        Rounded down.
    shape, mean : array
        Gamma shape, and mean gap in ticks. The three arguments broadcast.

    Returns
    -------
    array, the broadcast shape
    """
    k = np.floor(np.asarray(ticks, dtype=float))
    out: Array = expected_excess(k, shape, mean) - expected_excess(k + 1, shape, mean)
    return out


def log_density(gap: ArrayLike, shape: ArrayLike, mean: ArrayLike) -> Array:
    """Compute the log of the plain Gamma density, per tick.

    Parameters
    ----------
    gap : array
        In ticks, above zero.
    shape, mean : array
        Gamma shape, and mean gap in ticks. The three arguments broadcast.

    Returns
    -------
    array, the broadcast shape
    """
    gap, shape, mean = (np.asarray(v, dtype=float) for v in (gap, shape, mean))
    rate = shape / mean
    out: Array = shape * np.log(rate) + (shape - 1) * np.log(gap) - rate * gap - special.gammaln(shape)
    return out


def log_probability(ticks: ArrayLike, shape: ArrayLike, mean: ArrayLike) -> Array:
    """Compute log P(D = ticks): exact below `SINGLE` ticks, the plain density from there on.

    Parameters
    ----------
    ticks : array
        Whole ticks from 0 on.
    shape, mean : array
        Gamma shape, and mean gap in ticks. The three arguments broadcast.

    Returns
    -------
    array, the broadcast shape
    """
    k, shape, mean = np.broadcast_arrays(*(np.asarray(v, dtype=float) for v in (ticks, shape, mean)))
    out = np.empty(k.shape)
    # K and H differ by a straight line, which the second difference removes: take the one that is small.
    below = (k < SINGLE) & (k <= mean)
    above = (k < SINGLE) & (k > mean)
    for chosen, integral in ((below, expected_shortfall), (above, expected_excess)):
        at, a, m = k[chosen], shape[chosen], mean[chosen]
        mass = integral(at + 1, a, m) - 2 * integral(at, a, m) + integral(at - 1, a, m)
        # If the mass is lost to underflow, the density at its nearest point replaces it.
        lost = mass < MIN_MASS
        out[chosen] = np.where(
            lost, log_density(np.maximum(at - 1, 0.5), a, m), np.log(np.where(lost, 1, mass))
        )
    tail = k >= SINGLE
    out[tail] = log_density(k[tail], shape[tail], mean[tail])
    return out


@dataclass(frozen=True)
class Prior:
    """A normal law of log shape across windows: its centre and its standard deviation."""

    log_shape: float
    sd: float


@dataclass(frozen=True)
class ShapeFits:
    """Fitted log shapes and their standard errors by curvature, one a window."""

    log_shape: Array
    error: Array

    @property
    def shape(self) -> Array:
        """The fitted shapes."""
        return np.exp(self.log_shape)


class Likelihood:
    """The log-likelihood of every window over log shape, its mean gap given, and where it is highest.

    `discrete` chooses the exact law of whole-tick stamps; otherwise the plain density of continuous gaps,
    which must all be above zero. Every window needs a gap; one without a long gap hardly
    determines the shape.
    """

    def __init__(self, gaps: GapSums, discrete: bool) -> None:
        self.gaps = gaps
        self.discrete = discrete
        self.grid = _discrete_grid(gaps) if discrete else _continuous_grid(gaps)

    def maximum(self, prior: Prior | None = None) -> ShapeFits:
        """The most likely shape of each window, with `prior` if one is given.

        Found on the grid of `SHAPES` and refined by the quartic through the five nearest points; a
        continuous law is then polished by Newton steps on its exact equation. A shape beyond the
        grid is given as its end.
        """
        height = self.grid
        if prior is not None:
            height = height - 0.5 * ((np.log(SHAPES) - prior.log_shape) / prior.sd) ** 2
        fits = _peaks(height)
        return fits if self.discrete else self._polished(fits, prior)

    def _polished(self, fits: ShapeFits, prior: Prior | None) -> ShapeFits:
        """Newton on n α (log α − ψ(α) − s) − (log α − μ)/τ² = 0 over log α."""
        n, s = self.gaps.n, self.gaps.log_mean_excess
        centre, precision = (0.0, 0.0) if prior is None else (prior.log_shape, prior.sd**-2)
        at = fits.log_shape.copy()
        curvature = np.empty_like(at)
        for _ in range(8):
            shape = np.exp(at)
            slope = n * shape * (at - special.digamma(shape) - s)
            curvature = n * shape * (shape * special.polygamma(1, shape) - 1) - slope + precision
            at += np.clip((slope - precision * (at - centre)) / np.maximum(curvature, 1e-300), -0.5, 0.5)
        return ShapeFits(at, 1 / np.sqrt(np.maximum(curvature, 1e-300)))


def _continuous_grid(gaps: GapSums) -> Array:
    """Log-likelihood (n_windows, n_shapes) of the plain density, up to a constant per window."""
    basis = SHAPES * np.log(SHAPES) - special.gammaln(SHAPES) - SHAPES
    out: Array = gaps.n[:, None] * (basis - gaps.log_mean_excess[:, None] * SHAPES)
    return out


def _discrete_grid(gaps: GapSums) -> Array:
    """Log-likelihood (n_windows, n_shapes) of the exact law.

    One matrix product for the windows between two tabulated means: the log-probabilities of 0, 1, … ticks
    are monotone cubics of the log mean between them, so a window's counts enter linearly.
    """
    # Gaps that are all zero have no mean: the shortest tabulated one replaces it.
    mean = np.maximum(gaps.mean, MEANS[0])
    log_mean = np.log(mean)
    knots = np.log(MEANS)
    step = knots[1] - knots[0]
    inside = np.clip(log_mean, knots[0], knots[-1])
    interval = np.minimum(((inside - knots[0]) / step).astype(int), len(knots) - 2)
    order = np.argsort(interval, kind="stable")
    borders = np.searchsorted(interval[order], np.arange(len(knots)))
    along = (inside - knots[interval]) / step
    # What the shapes are multiplied by. Far above the table P(D = k) falls as mean^(−α).
    by_shape = (
        gaps.tail_log_sum
        - gaps.tail_n * log_mean
        - gaps.tail_sum / mean
        - gaps.counts.sum(axis=1) * np.maximum(log_mean - knots[-1], 0)
    )
    tail = np.stack([SHAPES * np.log(SHAPES) - special.gammaln(SHAPES), SHAPES, np.full(len(SHAPES), -1.0)])
    out = np.empty((len(mean), len(SHAPES)))
    for j in np.unique(interval).tolist():
        rows = order[borders[j] : borders[j + 1]]
        counts, t = gaps.counts[rows], along[rows, None]
        weights = np.concatenate(
            [
                counts * ((1 + 2 * t) * (1 - t) ** 2),
                counts * (t * (1 - t) ** 2 * step),
                counts * (t**2 * (3 - 2 * t)),
                counts * (t**2 * (t - 1) * step),
                np.stack([gaps.tail_n[rows], by_shape[rows], gaps.tail_log_sum[rows]], axis=1),
            ],
            axis=1,
        )
        laws = np.concatenate([*_law(j), *_law(j + 1), tail])
        out[rows] = weights @ laws
    return out


@cache
def _law(i: int) -> tuple[Array, Array]:
    """log P(D = k) at `MEANS[i]`, k < `SINGLE` × `SHAPES`, and its monotone slope along the log mean."""
    # Only the rows around the means in use: the full table takes longer than all else at the end of a run.
    first = min(max(i - 1, 0), len(MEANS) - 3)
    near = np.stack([_tabled(first + j) for j in range(3)])
    return _tabled(i), monotone_slopes(near, float(np.log(MEANS[1] / MEANS[0])))[i - first]


@cache
def _tabled(i: int) -> Array:
    """log P(D = k) at `MEANS[i]`: `log_probability`, each integral worked out but once."""
    k, mean = np.arange(SINGLE), float(MEANS[i])
    out = np.empty((SINGLE, len(SHAPES)))
    for chosen, integral in ((k[k <= mean], expected_shortfall), (k[k > mean], expected_excess)):
        if len(chosen):
            second = np.diff(
                integral(np.arange(chosen[0] - 1, chosen[-1] + 2)[:, None], SHAPES, mean), 2, axis=0
            )
            near = log_density(np.maximum(chosen - 1, 0.5)[:, None], SHAPES, mean)
            out[chosen] = np.where(second < MIN_MASS, near, np.log(np.maximum(second, MIN_MASS)))
    return out


def monotone_slopes(values: Array, step: float) -> Array:
    """Compute slopes at evenly spaced points for cubics that never overshoot between the points.

    Harmonic means of the neighbouring secants, zero at a turn; at the ends a three-point formula that keeps
    the shape. `scipy.interpolate.PchipInterpolator` has the same slopes up to rounding, which would move last
    digits; its import (0.1 s) is 4 % of a characterization, and longer than all else that ends a replay. A
    test compares ours with its answer.

    Parameters
    ----------
    values : array, shape (k, ...)
        Heights at the points, at least 3 along the first axis.
    step : float
        Distance between two points.

    Returns
    -------
    array, shape (k, ...)
        Slopes along the first axis.

    References
    ----------
    Fritsch and Butland, SIAM J. Sci. Stat. Comput. 5 (1984).
    """
    secant = np.diff(values, axis=0) / step
    before, after = secant[:-1], secant[1:]
    same = before * after > 0
    middle = np.zeros_like(before)
    middle[same] = 2 / (1 / before[same] + 1 / after[same])
    ends = []
    for near, next_to in ((secant[0], secant[1]), (secant[-1], secant[-2])):
        slope = (3 * near - next_to) / 2
        slope = np.where(np.sign(slope) == np.sign(near), slope, 0.0)
        turns = (np.sign(near) != np.sign(next_to)) & (np.abs(slope) > 3 * np.abs(near))
        ends.append(np.where(turns, 3 * near, slope))
    return np.concatenate([ends[0][None], middle, ends[1][None]])


def _peaks(height: Array) -> ShapeFits:
    """Maximum over log shape of each row of heights on the grid, and the width from its curvature."""
    logs = np.log(SHAPES)
    step = logs[1] - logs[0]
    top = np.clip(np.argmax(height, axis=1), 2, height.shape[1] - 3)
    near = np.take_along_axis(height, top[:, None] + np.arange(-2, 3), axis=1)
    first, second, third, fourth = (near @ _DIFFERENCES).T
    offset = np.zeros(len(top))
    curvature = second
    for _ in range(6):
        slope = first + offset * (second + offset * (third / 2 + offset * fourth / 6))
        # At an end of the grid the heights may still climb: then the step leads to that end.
        curvature = np.minimum(second + offset * (third + offset * fourth / 2), -1e-12)
        offset = np.clip(offset - slope / curvature, -2, 2)
    return ShapeFits(logs[top] + offset * step, step / np.sqrt(-curvature))


_DIFFERENCES = np.array(
    [
        [1 / 12, -1 / 12, -1 / 2, 1],
        [-2 / 3, 4 / 3, 1, -4],
        [0, -5 / 2, 0, 6],
        [2 / 3, 4 / 3, -1, -4],
        [-1 / 12, -1 / 12, 1 / 2, 1],
    ]
)
"""First to fourth central difference of five points one step apart, as columns."""
