"""Values drawn from fitted laws that are given by name and parameters, and quantiles of tabled laws.

A law of a kind has one way to draw from it, and it is here: parameter files name a law, and a workload draws
from it. Not here: fitting (see `likelihood`), arrival times (see `renewal`) and pairs of lengths (see
`lengths.joint`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..core.arrays import Array

Parameters = Mapping[str, float]

PARAMETERS: dict[str, tuple[str, ...]] = {
    "geometric": ("stop",),
    "power law": ("exponent",),
    "negative binomial": ("size", "more"),
    "log-normal": ("median_s", "sigma"),
    "weibull": ("shape", "scale_s"),
}
"""Parameters of each law that can be drawn from, named as `conversations.laws` fits them."""

_DRAWS: dict[str, Callable[[Parameters, int, np.random.Generator], NDArray[Any]]] = {
    "geometric": lambda p, n, rng: rng.geometric(p["stop"], n),
    "power law": lambda p, n, rng: rng.zipf(p["exponent"], n),
    "negative binomial": lambda p, n, rng: 1 + rng.poisson(rng.gamma(p["size"], p["more"] / p["size"], n)),
    "log-normal": lambda p, n, rng: p["median_s"] * np.exp(p["sigma"] * rng.standard_normal(n)),
    "weibull": lambda p, n, rng: p["scale_s"] * rng.weibull(p["shape"], n),
}


@dataclass(frozen=True)
class FittedLaw:
    """A law of `PARAMETERS` with its fitted values."""

    name: str
    parameters: Parameters

    def draw(self, n: int, rng: np.random.Generator) -> Array:
        """Draw values from the law.

        Parameters
        ----------
        n : int
            How many values.
        rng : Generator

        Returns
        -------
        array, shape (n,)
            Numbers of turns from 1 on, or seconds, as the law has them.
        """
        return np.asarray(_DRAWS[self.name](self.parameters, n, rng), dtype=float)


def lower_quantile(values: NDArray[Any], cumulative: Array, probability: ArrayLike) -> NDArray[Any]:
    """Smallest value whose cumulative probability reaches each of `probability`.

    Parameters
    ----------
    values, cumulative : array, shape (k,)
        Values in increasing order, and P(X <= value); the last is taken as 1.
    probability : array of any shape
        Uniform numbers here are draws from the law.

    Returns
    -------
    array, the shape of `probability`
    """
    at = np.searchsorted(cumulative, np.asarray(probability) * cumulative[-1])
    return np.asarray(values[np.minimum(at, len(values) - 1)])
