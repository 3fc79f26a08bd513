"""Normal mixtures by expectation–maximisation on weighted points: where an exact fit starts.

A few steps from two places, since the likelihood of a mixture has many peaks. Not here: the fit itself
(see `likelihood`) and what is mixed (see `lengths.families`).
"""

from __future__ import annotations

import numpy as np
from scipy import special

from ..core.arrays import Array

STEPS = 30


def normal_mixture(y: Array, share: Array, k: int, narrowest: float) -> tuple[Array, Array, Array]:
    """Find a normal mixture near the maximum of its likelihood.

    Starts from components at quantiles, and from the mixture of one component fewer with a narrow one added
    where it misses most; returns the better result.

    Parameters
    ----------
    y : array, shape (n,)
        Points.
    share : array, shape (n,)
        Weights of the points, summing to 1.
    k : int
        Number of components.
    narrowest : float
        Lower bound of the standard deviations, in the unit of `y`.

    Returns
    -------
    weights, means, standard_deviations : array, shape (k,)
    """
    mean = float(share @ y)
    spread = max(float(np.sqrt(share @ (y - mean) ** 2)), narrowest)
    if k == 1:
        return np.ones(1), np.array([mean]), np.array([spread])
    order = np.argsort(y)
    at = np.interp((np.arange(k) + 0.5) / k, np.cumsum(share[order]), y[order])
    starts = [(np.full(k, 1 / k), at + 1e-3 * spread * np.arange(k), np.full(k, spread / k))]

    weight, mu, sigma = normal_mixture(y, share, k - 1, narrowest)
    edges = np.arange(y.min() - 0.1, y.max() + 0.2, 0.1)
    expected = np.diff(weight @ special.ndtr((edges - mu[:, None]) / sigma[:, None]))
    excess = np.histogram(y, edges, weights=share)[0] - expected
    worst = int(np.argmax(excess))
    more = max(float(excess[worst]), 0.02)
    starts.append(
        (
            np.append(weight * (1 - more), more),
            np.append(mu, edges[worst] + 0.05),
            np.append(sigma, 0.1),
        )
    )
    candidates = [_expectation_maximisation(y, share, *start, narrowest) for start in starts]
    return max(candidates, key=lambda found: found[0])[1:]


def _expectation_maximisation(
    y: Array, share: Array, weight: Array, mu: Array, sigma: Array, narrowest: float
) -> tuple[float, Array, Array, Array]:
    """Log-likelihood per row, and weights, means and standard deviations after some steps."""
    value = -np.inf
    for _ in range(STEPS):
        z = (y - mu[:, None]) / sigma[:, None]
        log_part = np.log(weight / sigma)[:, None] - z**2 / 2
        top = log_part.max(axis=0)
        part = np.exp(log_part - top)
        total = part.sum(axis=0)
        value = float(share @ (top + np.log(total)))
        part *= share / total
        weight = np.maximum(part.sum(axis=1), 1e-6)
        mu = part @ y / weight
        variance = part @ y**2 / weight - mu**2
        sigma = np.sqrt(np.maximum(variance, (1.2 * narrowest) ** 2))
    return value, weight / weight.sum(), mu, sigma
