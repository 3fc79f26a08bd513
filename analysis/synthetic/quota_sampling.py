"""Random sequences drawn by quota: random in order, all but fixed in their totals.

A few storms hold most requests of an LLM service, so plain draws would make totals, shares and rates of a
synthetic trace a lottery. Here a correlated random score decides the order, and a law's evenly spaced
quantiles are handed out in that order, even over periods or even over the requests in them. Not here:
which laws (see `services`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import interpolate, signal, special

from ..core.arrays import Array


def autoregression(n: int, correlation: float, rng: np.random.Generator) -> Array:
    """Draw a stationary Gaussian sequence of order one with variance 1.

    Parameters
    ----------
    n : int
    correlation : float
        Of two neighbours.
    rng : Generator

    Returns
    -------
    array, shape (n,)
    """
    noise = rng.standard_normal(n)
    noise[1:] *= np.sqrt(1 - correlation**2)
    return np.asarray(signal.lfilter([1.0], [1.0, -correlation], noise))


def even_shares(values: Array) -> Array:
    """Rank values as evenly spaced shares in (0, 1).

    Parameters
    ----------
    values : array, shape (n,)

    Returns
    -------
    array, shape (n,)
    """
    place = np.empty(len(values))
    place[np.argsort(values, kind="stable")] = (np.arange(len(values)) + 0.5) / max(len(values), 1)
    return place


def places_in_volume(volume: Array, correlation: float, rng: np.random.Generator) -> Array:
    """Draw a share in (0, 1) for each period, correlated with the next and even in the volume.

    A random score orders the periods; each takes the middle of its part of the whole volume, so that any
    law drawn at these shares has its own mean and spread over the *requests*.

    Parameters
    ----------
    volume : array, shape (n,)
        Expected requests of each period.
    correlation : float
        Of the scores of two neighbours.
    rng : Generator

    Returns
    -------
    array, shape (n,)
    """
    order = np.argsort(autoregression(len(volume), correlation, rng))
    after = np.cumsum(volume[order])
    place = np.empty(len(volume))
    place[order] = (after - volume[order] / 2) / after[-1]
    return np.clip(place, 1e-6, 1 - 1e-6)


class Quantiles:
    """A quantile function on normal scores: monotone between knots on the log scale, as a fine table."""

    REACH = 5.0
    STEPS = 4_000

    def __init__(self, probability: Sequence[float], values: Sequence[float]) -> None:
        score = np.clip(special.ndtri(np.asarray(probability, dtype=float)), -self.REACH, self.REACH)
        grid = np.linspace(-self.REACH, self.REACH, self.STEPS + 1)
        law = interpolate.PchipInterpolator(score, np.log(values))
        self.table = np.exp(law(grid)).astype(np.float32)

    def __call__(self, score: NDArray[Any]) -> NDArray[np.int32]:
        """Tokens, rounded, at each normal score."""
        at = (np.clip(score, -4.999, 4.999) + self.REACH) * (self.STEPS / (2 * self.REACH))
        low = at.astype(np.int32)
        share = at - low
        value = self.table[low] * (1 - share) + self.table[low + 1] * share
        return np.asarray(value + 0.5).astype(np.int32)
