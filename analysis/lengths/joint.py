"""How request and response lengths go together: rank correlation, a copula, and lengths drawn from both.

A copula joins two laws of token counts that are fitted on their own. There are two: a Gaussian one, given
by one correlation, and a rank grid, given by the share of requests in each cell of k × k equal rank shares
(a checkerboard copula), which can follow any dependence. Tied values are ranks spread evenly over their
share (the distributional transform), so ties bias neither. Not here: the laws themselves
(`families`) and what a trace says of them (`lengths.part`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import special

from ..core.arrays import Array, Integers
from ..core.result import LEVEL, Interval
from ..stats.draw import lower_quantile
from ..stats.quantiles import normal
from .families import masses

GRIDS = (16, 8, 4, 2)
"""Cells per side of rank grids, each pooled from the one before; a cell needs 25 requests on average."""


@dataclass(frozen=True)
class Marginal:
    """A law of token counts as a table: values in increasing order and P(X <= value), both shape (k,)."""

    values: Integers
    cumulative: Array

    @classmethod
    def of_law(cls, name: str, parameters: Mapping[str, float], maximum: int) -> Marginal:
        """Tabulate a law on 1..maximum.

        Parameters
        ----------
        name : str
            A key of `families.BUILDERS`.
        parameters : mapping
            Natural parameters by name.
        maximum : int
            Largest token count.

        Raises
        ------
        KeyError
            For an unknown law.
        """
        return cls(np.arange(1, maximum + 1), np.cumsum(masses(name, dict(parameters), maximum)))

    @classmethod
    def of_counts(cls, values: Array, counts: Array) -> Marginal:
        """Tabulate the observed token counts, without smoothing.

        Parameters
        ----------
        values : array, shape (k,)
            Distinct token counts, increasing.
        counts : array, shape (k,)
            Requests with each.
        """
        return cls(values.astype(np.int64), np.cumsum(counts) / np.sum(counts))

    def quantile(self, share: Array) -> Integers:
        """Smallest value whose cumulative probability reaches each share, the shape of `share`."""
        return lower_quantile(self.values, self.cumulative, share)


@dataclass(frozen=True)
class JointModel:
    """Two laws and the copula between them: the rank grid if there is one, else the Gaussian."""

    request: Marginal
    response: Marginal
    correlation: float
    grid: Array | None = None
    """Shares of requests by rank cell (request, response), shape (k, k), summing to 1."""


def sample_lengths(model: JointModel, n: int, rng: np.random.Generator) -> Integers:
    """Draw pairs of request and response tokens.

    Parameters
    ----------
    model : JointModel
    n : int
        How many pairs.
    rng : Generator

    Returns
    -------
    array of int, shape (n, 2)
        Request tokens, response tokens.
    """
    if model.grid is None:
        z = rng.standard_normal((n, 2))
        z[:, 1] = model.correlation * z[:, 0] + np.sqrt(1 - model.correlation**2) * z[:, 1]
        ranks = special.ndtr(z)
    else:
        k = len(model.grid)
        cumulative = np.cumsum(model.grid)
        cell = np.minimum(np.searchsorted(cumulative / cumulative[-1], rng.random(n)), k * k - 1)
        ranks = (np.stack(np.divmod(cell, k), axis=1) + rng.random((n, 2))) / k
    return np.stack([model.request.quantile(ranks[:, 0]), model.response.quantile(ranks[:, 1])], axis=1)


def spearman(counts: Array) -> Array:
    """Compute Spearman's rank correlation of tables of counts, ties at their middle rank.

    Parameters
    ----------
    counts : array, shape (..., rows, columns)

    Returns
    -------
    array, shape (...)
        NaN if a side has one value only.
    """
    n = counts.sum(axis=(-2, -1), keepdims=True)
    share = counts / n
    rows, columns = share.sum(axis=-1), share.sum(axis=-2)
    u = np.cumsum(rows, axis=-1) - rows / 2 - 0.5
    v = np.cumsum(columns, axis=-1) - columns / 2 - 0.5
    covariance = np.einsum("...i,...ij,...j->...", u, share, v)
    alone = (rows * u**2).sum(axis=-1) * (columns * v**2).sum(axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(alone > 1e-18, covariance / np.sqrt(alone), np.nan))


def spearman_interval(value: float, blocks: Array, rng: np.random.Generator, draws: int = 200) -> Interval:
    """Put an interval around a rank correlation that allows for requests of one block of time being alike.

    Blocks are drawn with replacement. Their spread on Fisher's z scale, but never less than that of
    independent requests, gives an interval that is symmetric on that scale.

    Parameters
    ----------
    value : float
        The rank correlation.
    blocks : array, shape (n_blocks, rows, columns)
        Counts of requests per block, in cells; coarse ones suffice.
    rng : Generator
    draws : int
        Resamples.

    Returns
    -------
    Interval
        Ends are NaN for fewer than 10 requests or an undefined value.

    References
    ----------
    Bonett and Wright (2000).
    """
    n = float(blocks.sum())
    if not np.isfinite(value) or n < 10:
        return Interval(value, np.nan, np.nan)
    shape = blocks.shape
    weights = rng.multinomial(shape[0], np.full(shape[0], 1 / shape[0]), size=draws).astype(float)
    resampled = (weights @ blocks.reshape(shape[0], -1)).reshape(draws, *shape[1:])
    nonempty = resampled[resampled.sum(axis=(1, 2)) > 0]
    scores = np.arctanh(np.clip(spearman(nonempty), -0.999999, 0.999999))
    known = scores[np.isfinite(scores)]
    spread = float(np.std(known, ddof=1)) if len(known) > 2 else 0.0
    error = max(spread, float(np.sqrt((1 + value**2 / 2) / (n - 3))))
    half = normal(0.5 + LEVEL / 2) * error
    centre = float(np.arctanh(np.clip(value, -0.999999, 0.999999)))
    return Interval(value, float(np.tanh(centre - half)), float(np.tanh(centre + half)))


def gaussian_correlation(counts: Array, rank_correlation: Interval) -> Interval:
    """Find the Gaussian copula that has a given Spearman correlation on a table's own ties.

    Without ties Spearman = (6/π)·asin(r/2); with them the covariance of mid-ranks is the sum over the
    table's inner borders of (C(u, v) − u·v) times the steps of both mid-ranks (Hoeffding), and
    dC/dr is the bivariate normal density (Plackett), here integrated over t = asin(r).

    Parameters
    ----------
    counts : array, shape (rows, columns)
        Requests by cell.
    rank_correlation : Interval
        Spearman's correlation with its ends.

    Returns
    -------
    Interval
        NaN if a side has one value only.

    References
    ----------
    Plackett (1954).
    """
    rows, columns = _shares(counts)
    u, v = np.cumsum(rows)[:-1], np.cumsum(columns)[:-1]
    mid_u, mid_v = np.cumsum(rows) - rows / 2, np.cumsum(columns) - columns / 2
    steps = np.outer(np.diff(mid_u), np.diff(mid_v))
    angle = np.linspace(-1.52, 1.52, 77)
    slope = np.array([float(np.sum(steps * _plackett(u, v, t))) for t in angle])
    covariance = _integrals(slope, angle[1] - angle[0])
    covariance -= covariance[len(angle) // 2]
    alone = np.sqrt(float(rows @ (mid_u - 0.5) ** 2) * float(columns @ (mid_v - 0.5) ** 2))
    if not alone > 0:
        return Interval(np.nan, np.nan, np.nan)
    reached = covariance / alone
    ends = (rank_correlation.value, rank_correlation.low, rank_correlation.high)
    value, low, high = (float(np.sin(np.interp(end, reached, angle))) for end in ends)
    return Interval(value, low, high)


def _integrals(values: Array, step: float) -> Array:
    """Integrals from the first of evenly spaced points, an odd number of them, to each, by Simpson's rule."""
    left, middle, right = values[:-2:2], values[1:-1:2], values[2::2]
    parts = np.stack([5 * left + 8 * middle - right, 5 * right + 8 * middle - left], axis=1) * (step / 12)
    return np.concatenate([[0.0], np.cumsum(parts.ravel())])


def gaussian_cells(counts: Array, correlation: float) -> Array:
    """Compute the probabilities of a table's cells under its own margins and a Gaussian copula.

    Parameters
    ----------
    counts : array, shape (rows, columns)
        Requests by cell; only the margins matter.
    correlation : float
        Of the copula.

    Returns
    -------
    array, shape (rows, columns)
    """
    rows, columns = _shares(counts)
    u, v = np.cumsum(rows)[:-1], np.cumsum(columns)[:-1]
    copula = np.outer(np.append(u, 1.0), np.append(v, 1.0))
    at, weight = np.polynomial.legendre.leggauss(20)
    half = np.arcsin(correlation) / 2
    for t, w in zip(half * (at + 1), half * weight, strict=True):
        copula[:-1, :-1] += w * _plackett(u, v, t)
    padded = np.zeros((len(rows) + 1, len(columns) + 1))
    padded[1:, 1:] = copula
    return np.maximum(np.diff(np.diff(padded, axis=0), axis=1), 0.0)


def rank_grid(counts: Array, k: int) -> Array:
    """Compute the shares of requests by cell of k × k equal rank shares, ties spread evenly.

    Parameters
    ----------
    counts : array, shape (rows, columns)
        Requests by cell.
    k : int
        Cells to a side.

    Returns
    -------
    array, shape (k, k)
    """
    rows, columns = _shares(counts)
    with np.errstate(invalid="ignore"):
        left = np.nan_to_num(_overlap(rows, k) / rows)
        right = np.nan_to_num(_overlap(columns, k) / columns)
    return np.asarray(left @ (counts / counts.sum()) @ right.T)


def best_grid(fine: Array, coarse: Array) -> tuple[Array, float]:
    """Choose the rank grid of a fine table that describes a coarse table best.

    Compares the sizes in `GRIDS` with at least 25 requests a cell on average, and always the smallest.

    Parameters
    ----------
    fine, coarse : array, shape (rows, columns)
        Counts of requests; the grid comes from the fine cells, the BIC from the coarse ones.

    Returns
    -------
    grid : array, shape (k, k)
    bic : float
    """
    sizes = [k for k in GRIDS if k == GRIDS[-1] or 25 * k * k <= coarse.sum()]
    grids = [rank_grid(fine, sizes[0])]
    for k in sizes[1:]:
        grids.append(grids[-1].reshape(k, 2, k, 2).sum(axis=(1, 3)))
    scores = [information(coarse, grid_cells(coarse, grid), (len(grid) - 1) ** 2) for grid in grids]
    best = int(np.argmin(scores))
    return grids[best], scores[best]


def grid_cells(counts: Array, grid: Array) -> Array:
    """Compute the probabilities of a table's cells under its own margins and a rank grid.

    Parameters
    ----------
    counts : array, shape (rows, columns)
        Requests by cell; only the margins matter.
    grid : array, shape (k, k)
        As `rank_grid` returns it.

    Returns
    -------
    array, shape (rows, columns)
    """
    rows, columns = _shares(counts)
    k = len(grid)
    return np.asarray((k * _overlap(rows, k)).T @ grid @ (k * _overlap(columns, k)))


def total_variation(first: Array, second: Array) -> float:
    """Compute the total variation distance of two tables: the share that would have to move.

    Parameters
    ----------
    first, second : array, one shape
        Probabilities.

    Returns
    -------
    float
        From 0 to 1.
    """
    return float(np.abs(first - second).sum() / 2)


def expected_variation(probability: Array, n: float) -> float:
    """Compute the total variation that a sample has from its own law, on average (normal approximation).

    Parameters
    ----------
    probability : array of any shape
    n : float
        Size of the sample.

    Returns
    -------
    float
    """
    return float(np.sqrt(2 * probability * (1 - probability) / (np.pi * n)).sum() / 2)


def information(counts: Array, probability: Array, parameters: int) -> float:
    """Compute Schwarz's criterion (BIC) of a table under cell probabilities, p log n − 2 log L.

    Parameters
    ----------
    counts, probability : array, one shape
    parameters : int
        Free parameters p.

    Returns
    -------
    float
    """
    seen = counts > 0
    value = float(counts[seen] @ np.log(np.maximum(probability[seen], 1e-300)))
    return float(parameters * np.log(counts.sum()) - 2 * value)


def _shares(counts: Array) -> tuple[Array, Array]:
    """The margins of a table, as shares."""
    n = counts.sum()
    return counts.sum(axis=1) / n, counts.sum(axis=0) / n


def _overlap(shares: Array, k: int) -> Array:
    """Length of the rank interval of each share inside each k-th of 0..1, shape (k, len(shares))."""
    upper = np.cumsum(shares)
    edges = np.arange(k + 1) / k
    within = np.minimum(upper, edges[1:, None]) - np.maximum(upper - shares, edges[:-1, None])
    return np.asarray(np.maximum(within, 0.0))


def _plackett(u: Array, v: Array, angle: float) -> Array:
    """Derivative of the Gaussian copula by t = asin(correlation), at the grid of two rank vectors."""
    edge = 1e-12
    a = special.ndtri(np.clip(u, edge, 1 - edge))[:, None]
    b = special.ndtri(np.clip(v, edge, 1 - edge))[None, :]
    exponent = (a**2 - 2 * a * b * np.sin(angle) + b**2) / (2 * np.cos(angle) ** 2)
    return np.asarray(np.exp(-exponent) / (2 * np.pi))
