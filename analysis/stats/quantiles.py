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
    """Quantile of the standard normal law."""
    return float(special.ndtri(probability))


def student(probability: float, freedom: float) -> float:
    """Quantile of Student's t."""
    return float(special.stdtrit(freedom, probability))


def chi_square(probability: ArrayLike, freedom: float) -> Array:
    """Quantiles of χ²."""
    return np.asarray(2 * special.gammaincinv(freedom / 2, np.asarray(probability)), dtype=float)


def poisson(probability: ArrayLike, mean: float) -> Array:
    """Smallest counts whose cumulative probability reaches each of `probability`."""
    wanted = np.asarray(probability, dtype=float)
    above = np.ceil(special.pdtrik(wanted, mean))
    below = np.maximum(above - 1, 0)
    out: Array = np.where(special.pdtr(below, mean) >= wanted, below, above)
    return out


def binomial(probability: float, n: int, share: float) -> int:
    """Smallest number of hits whose cumulative probability reaches `probability`."""
    above = np.ceil(special.bdtrik(probability, n, share))
    below = max(above - 1, 0)
    return int(below if special.bdtr(below, n, share) >= probability else above)


def ranks(values: ArrayLike) -> Array:
    """Ranks from 1, equal values at their middle one; the shape of `values`, (n,)."""
    x = np.asarray(values)
    order = np.argsort(x)
    ordered = x[order]
    first = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    size = np.diff(first, append=len(x))
    out = np.empty(len(x))
    out[order] = np.repeat(first + (size + 1) / 2, size)
    return out


def spearman(x: ArrayLike, y: ArrayLike) -> float:
    """Spearman's rank correlation of two samples of shape (n,)."""
    return float(np.corrcoef(ranks(x), ranks(y))[0, 1])
