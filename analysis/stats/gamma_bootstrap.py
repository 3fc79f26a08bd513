"""What chance alone does to fitted windows: redraws from the fitted law, goodness of fit, excess spread.

Windows are counts of gaps by size in cells (see `trace.window_gaps`): 0 to 15 ticks one
by one, longer gaps in half octaves. A redraw is one multinomial draw of these counts from the fitted law,
so its cost does not grow with the gaps of a window. Refits of redraws and of what was observed take each
long gap at the middle of its cell, both alike. Not here: the law itself (see `gamma`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from ..core.arrays import Array
from ..core.result import LEVEL, Interval
from .gamma import MEANS, Likelihood, ShapeFits
from .gap_sums import SINGLE, GapSums, lowest_ticks
from .goodness_of_fit import Goodness, goodness_of_fit, ks_distance
from .quantiles import student


def sums_of_cells(cells: Array) -> GapSums:
    """Compute the sums of a likelihood from counts by cell, with long gaps at mid-cell.

    Parameters
    ----------
    cells : array, shape (n_windows, n_cells)
        Counts of gaps.

    Returns
    -------
    GapSums
        Of n_windows windows.
    """
    edges = lowest_ticks(cells.shape[1] + 1)
    middle = np.sqrt(edges[SINGLE:-1] * (edges[SINGLE + 1 :] - 1))
    tail = cells[:, SINGLE:]
    return GapSums(cells[:, :SINGLE], tail.sum(axis=1), tail @ middle, tail @ np.log(middle))


def refit(cells: Array) -> tuple[ShapeFits, Array]:
    """Fit each window's Gamma law to its counts by cell.

    Parameters
    ----------
    cells : array, shape (n_windows, n_cells)
        Counts of gaps.

    Returns
    -------
    fits : ShapeFits
        Of n_windows windows.
    mean : array, shape (n_windows,)
        Mean gaps in ticks, at least `MEANS[0]`.
    """
    gaps = sums_of_cells(cells)
    return Likelihood(gaps, discrete=True).maximum(), np.maximum(gaps.mean, MEANS[0])


def cell_cumulative(shape: Array, mean: Array, n_cells: int) -> Array:
    """Compute P(a gap lies in this cell or a shorter one) for each window's Gamma law.

    Parameters
    ----------
    shape, mean : array, shape (n_windows,)
        Gamma shape, and mean gap in ticks.
    n_cells : int
        Number of cells, more than `SINGLE`; the last takes all longer gaps.

    Returns
    -------
    array, shape (n_windows, n_cells)
        Increasing along the cells; 1 in the last.
    """
    a, m = shape[:, None], mean[:, None]
    # K(x) = x P(α, z) − m P(α + 1, z), and P(α + 1, z) = P(α, z) − z^α e^−z / Γ(α + 1).
    x = np.arange(1, SINGLE + 1)
    z = a * x / m
    integral = (x - m) * special.gammainc(a, z) + m * np.exp(a * np.log(z) - z - special.gammaln(a + 1))
    short = np.diff(integral, axis=1, prepend=0.0)
    # From 16 ticks on, the distribution function half a tick past a gap is that of its whole-tick stamp.
    past = lowest_ticks(n_cells)[SINGLE + 1 :] - 0.5
    out = np.concatenate([short, special.gammainc(a, a * past / m), np.ones((len(a), 1))], axis=1)
    return np.maximum.accumulate(np.minimum(out, 1.0), axis=1)


def redraw(
    n: ArrayLike, shape: Array, mean: Array, n_cells: int, rng: np.random.Generator, times: int
) -> NDArray:
    """Draw each window's counts by cell again from its Gamma law.

    Parameters
    ----------
    n : array, shape (n_windows,)
        Gaps of each window.
    shape, mean : array, shape (n_windows,)
        Gamma shape, and mean gap in ticks.
    n_cells : int
        Number of cells.
    rng : Generator
    times : int
        Redraws of each window.

    Returns
    -------
    array, shape (times, n_windows, n_cells)
        Counts of gaps.
    """
    mass = np.diff(cell_cumulative(shape, mean, n_cells), axis=1, prepend=0.0)
    return rng.multinomial(np.asarray(n, dtype=np.int64), mass, size=(times, len(shape)))


def distances(cells: Array, shape: Array, mean: Array) -> Array:
    """Compute the Kolmogorov–Smirnov distance of each window's gaps from a Gamma law.

    Parameters
    ----------
    cells : array, shape (n_windows, n_cells)
        Counts of gaps by cell.
    shape, mean : array, shape (n_windows,)
        Gamma shape, and mean gap in ticks.

    Returns
    -------
    array, shape (n_windows,)
    """
    return ks_distance(cells, cell_cumulative(shape, mean, cells.shape[1]))


def goodness_of_windows(cells: Array, rng: np.random.Generator, replicates: int = 99) -> Goodness:
    """Test how well each window's gaps agree with its fitted Gamma: redraw from the fit, refit, compare.

    Parameters
    ----------
    cells : array, shape (n_windows, n_cells)
        Counts of gaps by cell; every window needs a gap.
    rng : Generator
    replicates : int
        Redraws of each window: the smallest possible p-value is 1 / (`replicates` + 1).

    Returns
    -------
    Goodness
        Of shape (n_windows,).
    """
    # Two octaves beyond the longest gap; the last cell takes what is longer still.
    wide = max(int(np.flatnonzero(cells.any(axis=0))[-1]) + 5, SINGLE + 2)
    cells = np.pad(cells[:, :wide], ((0, 0), (0, max(wide - cells.shape[1], 0))))
    fits, mean = refit(cells)
    observed = distances(cells, fits.shape, mean)
    drawn = redraw(cells.sum(axis=1), fits.shape, mean, cells.shape[1], rng, replicates)
    flat = drawn.reshape(-1, cells.shape[1]).astype(float)
    again, again_mean = refit(flat)
    reference = distances(flat, again.shape, again_mean).reshape(replicates, -1)
    return goodness_of_fit(observed, reference)


@dataclass(frozen=True)
class ExcessSpread:
    """How far a fitted quantity varies between windows on the log scale, and how much chance explains."""

    observed_sd: float
    sampling_sd: float
    """Standard deviation that refits of redraws from the fitted windows show around them."""
    excess_sd: Interval
    """Standard deviation beyond chance."""


def excess_spread(values: Array, errors: Array) -> ExcessSpread:
    """Estimate how far values vary between windows beyond their sampling error, in logs.

    The excess variance is the variance of the values minus that of the errors. It is a mean over windows, so
    the scatter of the windows' shares in it gives its interval (Student's t). It is zero if chance explains
    as much or more.

    Parameters
    ----------
    values : array, shape (n_windows,)
        Logs of the fitted quantity; at least two windows.
    errors : array, shape (n_redraws, n_windows)
        Errors of the refits of redraws, in logs. NaN marks windows that were not redrawn; the redrawn ones,
        a random part, then represent all, and their own scatter is added.

    Returns
    -------
    ExcessSpread
        Standard deviations on the log scale.
    """
    n = len(values)
    observed = (values - values.mean()) ** 2 * n / (n - 1)
    redrawn = np.isfinite(errors[0])
    known = errors[:, redrawn]
    sampling = ((known - known.mean()) ** 2).mean(axis=0)
    if redrawn.all():
        variance = (observed - sampling).var(ddof=1) / n
    else:
        variance = observed.var(ddof=1) / n + sampling.var(ddof=1) / len(sampling)
    beyond = observed.mean() - sampling.mean()
    half = student(0.5 + LEVEL / 2, n - 1) * np.sqrt(variance)
    excess = [float(np.sqrt(max(beyond + d, 0.0))) for d in (0.0, -half, half)]
    return ExcessSpread(float(np.sqrt(observed.mean())), float(np.sqrt(sampling.mean())), Interval(*excess))
