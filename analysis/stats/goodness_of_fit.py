"""Goodness of fit by parametric bootstrap: how far data are from their fitted law, and whether by chance.

Tabled p-values of the Kolmogorov–Smirnov distance are not valid if parameters are fitted or values are tied.
These do: a law is drawn from, each draw is fitted again, and its distance from its own fit is compared with
that of the data. Not here: drawing and fitting again, which each kind of law does in its own way (see
`likelihood.goodness_of_family` and `gamma_bootstrap.goodness_of_windows`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..core.arrays import Array


@dataclass(frozen=True)
class Goodness:
    """How well laws describe the data that they were fitted to: shape () for one law, (n,) for n of them."""

    ks_distance: Array
    """Largest distance between fitted and empirical distribution function."""
    p_value: Array
    """Share of draws from the fit, refitted and the data counted among them, that are at least as far off."""
    replicates: int


def ks_distance(counts: Array, cumulative: Array) -> Array:
    """Kolmogorov–Smirnov distance of histograms from laws.

    Parameters
    ----------
    counts : array, shape (..., k)
        How often each of k increasing values was seen.
    cumulative : array, shape (..., k)
        P(X <= value) under the law.

    Returns
    -------
    array, shape (...)
    """
    empirical = np.cumsum(counts, axis=-1) / counts.sum(axis=-1, keepdims=True)
    return np.asarray(np.abs(empirical - cumulative).max(axis=-1))


def goodness_of_fit(observed: ArrayLike, refitted: Array) -> Goodness:
    """Compare the distances of data from their fits with those of draws from these fits.

    A p-value counts the data among the draws, so it is at least 1 / (replicates + 1), and a true law is
    rejected at 5 % five times in a hundred.

    Parameters
    ----------
    observed : array, shape (...)
        Distance of the data from the law fitted to them.
    refitted : array, shape (replicates, ...)
        Distance of each draw from the law fitted to it.
    """
    distance = np.asarray(observed, dtype=float)
    farther = (refitted >= distance - 1e-12).sum(axis=0)
    return Goodness(distance, np.asarray((1 + farther) / (1 + len(refitted))), len(refitted))
