"""Quantiles of common laws, ranks and rank correlation, by `scipy.special` alone.

`scipy.stats` has them too and takes 0.75 s of processor time to import, a quarter of the characterization
of a week (3.0 s), so these are ours and a test holds them to its answers. Not here: laws that are fitted
(see `likelihood`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from ..core.arrays import Array


def normal(probability: float) -> float:
    """Compute a quantile of the standard normal law."""
    return float(special.ndtri(probability))


def student(probability: float, freedom: float) -> float:
    """Compute a quantile of Student's t.

    Parameters
    ----------
    probability : float
    freedom : float
        Degrees of freedom.

    Returns
    -------
    float
    """
    return float(special.stdtrit(freedom, probability))


def chi_square(probability: ArrayLike, freedom: float) -> Array:
    """Compute quantiles of χ².

    Parameters
    ----------
    probability : array of any shape
    freedom : float
        Degrees of freedom.

    Returns
    -------
    array, the shape of `probability`
    """
    return np.asarray(2 * special.gammaincinv(freedom / 2, np.asarray(probability)), dtype=float)


def poisson(probability: ArrayLike, mean: float) -> Array:
    """Find the smallest Poisson counts whose cumulative probability reaches each of `probability`.

    Parameters
    ----------
    probability : array of any shape
    mean : float

    Returns
    -------
    array, the shape of `probability`
    """
    wanted = np.asarray(probability, dtype=float)
    above = np.ceil(special.pdtrik(wanted, mean))
    below = np.maximum(above - 1, 0)
    out: Array = np.where(special.pdtr(below, mean) >= wanted, below, above)
    return out


def binomial(probability: float, n: int, share: float) -> int:
    """Find the smallest number of hits whose cumulative probability reaches `probability`.

    Parameters
    ----------
    probability : float
    n : int
        Trials.
    share : float
        Probability of a hit.

    Returns
    -------
    int
    """
    above = np.ceil(special.bdtrik(probability, n, share))
    below = max(above - 1, 0)
    return int(below if special.bdtr(below, n, share) >= probability else above)


def ranks(values: ArrayLike) -> Array:
    """Rank values from 1; equal values get their middle rank.

    Parameters
    ----------
    values : array, shape (n,)

    Returns
    -------
    array, shape (n,)
    """
    x = np.asarray(values)
    order = np.argsort(x)
    ordered = x[order]
    first = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    size = np.diff(first, append=len(x))
    out = np.empty(len(x))
    out[order] = np.repeat(first + (size + 1) / 2, size)
    return out


def spearman(x: ArrayLike, y: ArrayLike) -> float:
    """Compute Spearman's rank correlation of two samples; equal values get their middle rank.

    Parameters
    ----------
    x, y : array, shape (n,)

    Returns
    -------
    float
        From −1 to 1; NaN if a sample has one distinct value only.
    """
    return float(np.corrcoef(ranks(x), ranks(y))[0, 1])
