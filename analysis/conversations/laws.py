"""Laws of the number of turns of a session and of the intervals between them, for `likelihood.fit`.

Not here: sessions themselves (see `conversations.part`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from scipy import special

from ..core.arrays import Array
from ..stats.likelihood import Family, Histogram


class Geometric:
    """Turns 1, 2, …: after each one the session ends with the same probability, an exponential decline."""

    name = "geometric"

    def start(self, data: Histogram) -> Array:
        """The maximum itself: 1 / mean."""
        return np.array([special.logit(min(1 / data.mean, 1 - 1e-6))])

    def log_probability(self, theta: Array, values: Array) -> Array:
        """Compute log p + (k − 1) log(1 − p); arguments as in `Family`."""
        return np.asarray(special.log_expit(theta[0]) + (values - 1) * special.log_expit(-theta[0]))

    def cumulative(self, theta: Array, values: Array) -> Array:
        """Compute 1 − (1 − p)^k; arguments as in `Family`."""
        return np.asarray(-np.expm1(np.floor(values) * special.log_expit(-theta[0])))

    def parameters(self, theta: Array) -> dict[str, float]:
        """`stop`: the probability that a turn is the last."""
        return {"stop": float(special.expit(theta[0]))}


class PowerLaw:
    """Turns 1, 2, … with probability ∝ k^−exponent (the zeta distribution)."""

    name = "power law"

    def start(self, data: Histogram) -> Array:
        """Exponent from the continuous approximation, 1 + 1 / E[log 2k]."""
        logs = float(np.log(2 * data.values) @ data.counts / data.n)
        return np.array([-np.log(max(logs, 0.1))])

    def log_probability(self, theta: Array, values: Array) -> Array:
        """Compute −s log k − log ζ(s); arguments as in `Family`."""
        exponent = 1 + np.exp(theta[0])
        return np.asarray(-exponent * np.log(values) - np.log(special.zeta(exponent, 1)))

    def cumulative(self, theta: Array, values: Array) -> Array:
        """Compute 1 − ζ(s, k + 1) / ζ(s); arguments as in `Family`."""
        exponent = 1 + np.exp(theta[0])
        return np.asarray(1 - special.zeta(exponent, np.floor(values) + 1) / special.zeta(exponent, 1))

    def parameters(self, theta: Array) -> dict[str, float]:
        """`exponent`, above 1."""
        return {"exponent": float(1 + np.exp(theta[0]))}


class NegativeBinomial:
    """Turns beyond the first are Poisson with a Gamma mean: sessions of people who differ in what they want.

    Size 1 is the geometric law; below 1 there are more single requests and more long sessions than that.
    """

    name = "negative binomial"

    def start(self, data: Histogram) -> Array:
        """From mean and variance."""
        mean = max(data.mean - 1, 1e-3)
        variance = float((data.values - data.mean) ** 2 @ data.counts / data.n)
        return np.log([mean**2 / max(variance - mean, 0.01 * mean), mean])

    def log_probability(self, theta: Array, values: Array) -> Array:
        """Compute the log mass of values − 1 more turns; arguments as in `Family`."""
        size, mean = np.exp(theta)
        more = values - 1
        return np.asarray(
            special.gammaln(more + size)
            - special.gammaln(size)
            - special.gammaln(more + 1)
            - size * np.log1p(mean / size)
            - more * np.log1p(size / mean)
        )

    def cumulative(self, theta: Array, values: Array) -> Array:
        """Compute P(X <= value), a regularized incomplete beta function; arguments as in `Family`."""
        size, mean = np.exp(theta)
        return np.asarray(special.betainc(size, np.floor(values), size / (size + mean)))

    def parameters(self, theta: Array) -> dict[str, float]:
        """`size` (of the Gamma's shape) and `more`, the mean number of turns after the first."""
        return {"size": float(np.exp(theta[0])), "more": float(np.exp(theta[1]))}


class _IntervalLaw(ABC):
    """A positive law seen on a clock of `step_s`: the mass of the step around each value."""

    def __init__(self, step_s: float) -> None:
        self.step_s = step_s

    def log_probability(self, theta: Array, values: Array) -> Array:
        """Log of the mass in [x − step/2, x + step/2], by the density if that is the same to 1e-4."""
        half = self.step_s / 2
        middle = np.maximum(values, half / 2)
        fine = values > 50 * self.step_s
        out = np.empty(len(values))
        out[fine] = self.log_density(theta, middle[fine]) + np.log(self.step_s)
        coarse = values[~fine]
        mass = self.cumulative(theta, coarse + half) - self.cumulative(theta, np.maximum(coarse - half, 0.0))
        out[~fine] = np.log(np.maximum(mass, 1e-300))
        return out

    @abstractmethod
    def log_density(self, theta: Array, values: Array) -> Array:
        """Log density per second."""

    @abstractmethod
    def cumulative(self, theta: Array, values: Array) -> Array:
        """P(X ≤ value)."""

    def _logs(self, data: Histogram) -> tuple[float, float]:
        """Mean and spread of the logs, zeros taken as a quarter of a step."""
        logs = np.log(np.maximum(data.values, self.step_s / 4))
        mean = float(logs @ data.counts / data.n)
        return mean, max(float(np.sqrt((logs - mean) ** 2 @ data.counts / data.n)), 0.05)


class IntervalLogNormal(_IntervalLaw):
    """Intervals with a normal logarithm."""

    name = "log-normal"

    def start(self, data: Histogram) -> Array:
        """Moments of the logs."""
        mean, spread = self._logs(data)
        return np.array([mean, np.log(spread)])

    def log_density(self, theta: Array, values: Array) -> Array:
        """Compute the log of the normal density of the log over the value, per second."""
        spread = np.exp(theta[1])
        z = (np.log(values) - theta[0]) / spread
        return np.asarray(-0.5 * z * z - np.log(values * spread) - 0.5 * np.log(2 * np.pi))

    def cumulative(self, theta: Array, values: Array) -> Array:
        """Compute Φ of the standardized log; arguments as in `Family`, values in seconds."""
        logs = np.log(np.maximum(values, 1e-12))
        return np.asarray(np.where(values > 0, special.ndtr((logs - theta[0]) / np.exp(theta[1])), 0.0))

    def parameters(self, theta: Array) -> dict[str, float]:
        """`median_s`, and `sigma`, the standard deviation of the natural log."""
        return {"median_s": float(np.exp(theta[0])), "sigma": float(np.exp(theta[1]))}


class IntervalWeibull(_IntervalLaw):
    """Intervals with a hazard that is a power of the time waited; `shape` 1 is exponential."""

    name = "weibull"

    def start(self, data: Histogram) -> Array:
        """Moments of the logs, which are Gumbel."""
        mean, spread = self._logs(data)
        shape = np.pi / np.sqrt(6) / spread
        return np.array([np.log(shape), mean + np.euler_gamma / shape])

    def log_density(self, theta: Array, values: Array) -> Array:
        """Compute the log of the Weibull density, per second."""
        shape = np.exp(theta[0])
        logs = np.log(values) - theta[1]
        return np.asarray(theta[0] + shape * logs - np.log(values) - np.exp(np.minimum(shape * logs, 700.0)))

    def cumulative(self, theta: Array, values: Array) -> Array:
        """Compute 1 − exp(−(x / scale)^shape); arguments as in `Family`, values in seconds."""
        logs = np.log(np.maximum(values, 1e-12)) - theta[1]
        grown = np.exp(np.minimum(np.exp(theta[0]) * logs, 700.0))
        return np.asarray(np.where(values > 0, -np.expm1(-grown), 0.0))

    def parameters(self, theta: Array) -> dict[str, float]:
        """`shape` and `scale_s`."""
        return {"shape": float(np.exp(theta[0])), "scale_s": float(np.exp(theta[1]))}


TURN_LAWS: tuple[Family, ...] = (Geometric(), PowerLaw(), NegativeBinomial())


def interval_laws(step_s: float) -> tuple[Family, ...]:
    """List the laws that intervals are compared with, on a clock of `step_s` seconds."""
    return IntervalLogNormal(step_s), IntervalWeibull(step_s)


def coarse_histogram(values: Array, step_s: float) -> Histogram:
    """Count values on a clock, those above 100 steps rounded to 1 %, so that the histogram stays small.

    Parameters
    ----------
    values : array, shape (n,)
        In seconds; negative ones count as 0.
    step_s : float
        Step of the clock in seconds.

    Returns
    -------
    Histogram
        In seconds.
    """
    seconds = np.maximum(np.asarray(values, dtype=float), 0.0)
    far = seconds > 100 * step_s
    rounded = np.round(seconds / step_s)
    rounded[far] = np.round(100 * 1.01 ** np.round(np.log(seconds[far] / (100 * step_s)) / np.log(1.01)))
    return Histogram.of(rounded * step_s)
