"""Maximum likelihood on histograms: fits, intervals and information criteria, once for every family.

A distribution is a `Family`: a name, its parameters and a log-probability; everything that is done
with a fitted distribution happens here. Not here: which families a question compares (see `lengths.part`),
and the fit of all arrival windows at once (see `gamma`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from scipy import optimize

from ..core.arrays import Array
from ..core.result import LEVEL, Interval
from .draw import lower_quantile
from .goodness_of_fit import Goodness, goodness_of_fit, ks_distance
from .quantiles import normal

IMPOSSIBLE = 1e12
"""Loss per observation if some data have zero probability."""
FLAT = 1e-4
"""Largest slope of the log-likelihood per observation, by an unconstrained parameter, at a maximum."""


@dataclass(frozen=True)
class Histogram:
    """Distinct values in increasing order and how often each was seen; shapes (k,) and (k,)."""

    values: Array
    counts: Array

    @classmethod
    def of(cls, sample: Array) -> Histogram:
        """Count the distinct values of a sample of any length."""
        values, counts = np.unique(np.asarray(sample, dtype=float), return_counts=True)
        return cls(values, counts.astype(float))

    @property
    def n(self) -> float:
        """How many observations there are."""
        return float(self.counts.sum())

    @property
    def mean(self) -> float:
        """Mean of the observations, in their unit."""
        return float(self.values @ self.counts / self.counts.sum())

    def quantile(self, probability: float | Array) -> Array:
        """Smallest value whose cumulative share reaches `probability` (lower quantile)."""
        cumulative = np.cumsum(self.counts) / self.counts.sum()
        return lower_quantile(self.values, cumulative, probability)


class Family(Protocol):
    """A distribution with free parameters, on an unconstrained scale for the optimizer.

    `theta` has shape (p,). `parameters(theta)` maps it to named values in natural units, each a
    monotone function of one element of `theta`, in the same order.
    """

    name: str

    def start(self, data: Histogram) -> Array:
        """A starting point from moments of the data, shape (p,)."""
        ...

    def log_probability(self, theta: Array, values: Array) -> Array:
        """Compute the log of the probability mass (or density) at each value.

        Parameters
        ----------
        theta : array, shape (p,)
            On the optimizer's scale.
        values : array, shape (k,)

        Returns
        -------
        array, shape (k,)
        """
        ...

    def cumulative(self, theta: Array, values: Array) -> Array:
        """Compute P(X <= value) at each value.

        Parameters
        ----------
        theta : array, shape (p,)
            On the optimizer's scale.
        values : array, shape (k,)

        Returns
        -------
        array, shape (k,)
        """
        ...

    def parameters(self, theta: Array) -> dict[str, float]:
        """Natural parameters by name."""
        ...


@runtime_checkable
class WithGradient(Protocol):
    """A family that knows its gradient, which makes a fit several times faster."""

    def gradient(self, theta: Array, values: Array) -> tuple[Array, Array]:
        """Compute the log-probability at each value, and its derivatives by `theta`.

        Parameters
        ----------
        theta : array, shape (p,)
            On the optimizer's scale.
        values : array, shape (k,)

        Returns
        -------
        log_probability : array, shape (k,)
        derivatives : array, shape (p, k)
        """
        ...


@dataclass(frozen=True)
class Fit:
    """A fitted family: its parameters with intervals, and how good it is."""

    family: str
    theta: Array
    parameters: dict[str, Interval]
    log_likelihood: float
    n: float
    ks_distance: float
    """Largest distance between fitted and empirical distribution function: the effect size."""
    converged: bool

    @property
    def aic(self) -> float:
        """Akaike's criterion, 2p − 2 log L."""
        return 2 * len(self.theta) - 2 * self.log_likelihood

    @property
    def bic(self) -> float:
        """Schwarz's criterion, p log n − 2 log L."""
        return float(len(self.theta) * np.log(self.n) - 2 * self.log_likelihood)


def fit(family: Family, data: Histogram) -> Fit:
    """Fit a family by maximum likelihood, with Wald intervals mapped back from the optimizer's scale.

    Parameters
    ----------
    family : Family
        With a gradient (`WithGradient`) the fit is several times faster.
    data : Histogram
        At least one observation.

    Returns
    -------
    Fit

    Raises
    ------
    ValueError
        If there is nothing to fit, or if the family gives some of the data no probability at its own
        starting point.
    """
    if not data.n > 0:
        raise ValueError(f"no observations to fit {family.name} to")

    def loss(theta: Array) -> float:
        # A trial step may lead anywhere; an overflow there does not harm the fit.
        with np.errstate(all="ignore"):
            value = float(family.log_probability(theta, data.values) @ data.counts)
        return -value / data.n if np.isfinite(value) else IMPOSSIBLE

    start = family.start(data)
    if loss(start) >= IMPOSSIBLE:
        raise ValueError(f"{family.name} gives some data zero probability where its fit starts: {start}")
    slope = _slope(family, data) if isinstance(family, WithGradient) else None
    if slope is None:
        found = optimize.minimize(loss, start, method="BFGS")
    else:
        found = optimize.minimize(slope, start, method="BFGS", jac=True)
    # BFGS also stops if rounding hides the last steps downhill; a flat place is the optimum.
    settled = bool(found.success or np.max(np.abs(found.jac)) < FLAT)
    if not settled:
        if slope is None:
            polished = optimize.minimize(
                loss,
                found.x,
                method="Nelder-Mead",
                options={"xatol": 1e-8, "fatol": 1e-12, "maxiter": 4000},
            )
        else:
            polished = optimize.minimize(slope, found.x, method="L-BFGS-B", jac=True)
        if polished.fun <= found.fun:
            found = polished
            settled = bool(found.success)
    theta = np.asarray(found.x, dtype=float)
    information = (_hessian(loss, theta) if slope is None else _jacobian(slope, theta)) * data.n
    return Fit(
        family=family.name,
        theta=theta,
        parameters=_intervals(family, theta, information),
        log_likelihood=-float(found.fun) * data.n,
        n=data.n,
        ks_distance=distance_from_law(family, theta, data),
        converged=settled,
    )


def distance_from_law(family: Family, theta: Array, data: Histogram) -> float:
    """Compute the Kolmogorov–Smirnov distance of a law from a histogram, on the histogram's values.

    Parameters
    ----------
    family : Family
    theta : array, shape (p,)
        The law's parameters, on the optimizer's scale.
    data : Histogram

    Returns
    -------
    float
        From 0 to 1.
    """
    return float(ks_distance(data.counts, family.cumulative(theta, data.values)))


def goodness_of_family(
    family: Family,
    data: Histogram,
    fitted: Fit,
    support: Array,
    rng: np.random.Generator,
    replicates: int = 99,
) -> Goodness:
    """Test how well a fitted discrete family describes data: draw a sample from the fit, refit, compare.

    At a million observations every real fit is rejected: read the distance first.

    Parameters
    ----------
    family : Family
    data : Histogram
        What the family was fitted to.
    fitted : Fit
    support : array, shape (k,)
        The values that can occur, in increasing order; the last takes all that is larger.
    rng : Generator
    replicates : int
        Samples of the size of the data, drawn and refitted.

    Returns
    -------
    Goodness
        Of shape ().
    """
    below = np.clip(family.cumulative(fitted.theta, support[:-1]), 0.0, 1.0)
    mass = np.maximum(np.diff(below, prepend=0.0, append=1.0), 0.0)
    observed = distance_from_law(family, fitted.theta, data)
    refitted = np.empty(replicates)
    for i in range(replicates):
        counts = rng.multinomial(round(data.n), mass / mass.sum())
        seen = counts > 0
        refitted[i] = fit(family, Histogram(support[seen], counts[seen].astype(float))).ks_distance
    return goodness_of_fit(observed, refitted)


def _intervals(family: Family, theta: Array, information: Array) -> dict[str, Interval]:
    """Wald intervals at `LEVEL`; a direction without curvature gets an infinite one."""
    try:
        variance = np.diag(np.linalg.inv(information))
    except np.linalg.LinAlgError:
        variance = np.full(len(theta), np.inf)
    error = np.sqrt(np.where(variance > 0, variance, np.inf))
    half = normal(0.5 + LEVEL / 2) * error
    out = {}
    for i, (name, value) in enumerate(family.parameters(theta).items()):
        low, high = -np.inf, np.inf
        if np.isfinite(half[i]):
            shift = np.zeros_like(theta)
            shift[i] = half[i]
            ends = family.parameters(theta - shift)[name], family.parameters(theta + shift)[name]
            low, high = min(ends), max(ends)
        out[name] = Interval(value, low, high)
    return out


def _slope(family: WithGradient, data: Histogram) -> Callable[[Array], tuple[float, Array]]:
    """The loss per observation and its gradient, as the optimizer takes them together."""
    share = data.counts / data.n

    def slope(theta: Array) -> tuple[float, Array]:
        value, gradient = family.gradient(theta, data.values)
        loss = -float(value @ share)
        if not np.isfinite(loss):
            return IMPOSSIBLE, np.zeros_like(theta)
        return loss, -(gradient @ share)

    return slope


def _jacobian(slope: Callable[[Array], tuple[float, Array]], theta: Array, step: float = 1e-5) -> Array:
    """Central differences of a gradient, made symmetric, shape (p, p)."""
    rows = []
    for shift in np.eye(len(theta)) * step * np.maximum(1.0, np.abs(theta)):
        rows.append((slope(theta + shift)[1] - slope(theta - shift)[1]) / (2 * shift.sum()))
    found = np.array(rows)
    out: Array = (found + found.T) / 2
    return out


def _hessian(loss: Callable[[Array], float], theta: Array, step: float = 1e-4) -> Array:
    """Central second differences of `loss`, shape (p, p)."""
    size = len(theta)
    steps = np.eye(size) * step * np.maximum(1.0, np.abs(theta))
    out = np.empty((size, size))
    for i in range(size):
        for j in range(i, size):
            value = (
                loss(theta + steps[i] + steps[j])
                - loss(theta + steps[i] - steps[j])
                - loss(theta - steps[i] + steps[j])
                + loss(theta - steps[i] - steps[j])
            ) / (4 * steps[i, i] * steps[j, j])
            out[i, j] = out[j, i] = value
    return out
