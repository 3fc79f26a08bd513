"""Laws of token counts, each a `likelihood.Family` on 1..maximum: Zipf and its rivals.

Every law is bounded by the same maximum, so that likelihoods compare: the power laws are normalised over
1..maximum, the continuous ones take the probability between x − ½ and x + ½, given ½ to maximum + ½. A law
cut off above could run away (a log-normal of median e^1500 is a rising power law below it), so its median or
scale stays within ½..maximum + ½, and says so when it reaches an end.
Not here: which law a trace follows (see `lengths.part`), and how requests and responses go together
(`joint`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import special

from ..core.arrays import Array
from ..stats.likelihood import Family, Fit, Histogram, distance_from_law, fit
from ..stats.normal_mixture import normal_mixture
from .coarse_counts import coarsen, nodes

MIN_SIGMA = 0.03
"""Smallest sigma of a log-normal: one narrower would describe a single token count, not a mode."""
MIN_PROBABILITY = 1e-300
MIN_START_WEIGHT = 1e-12
"""Least weight of a component of a mixture at the start of a fit."""


@dataclass(frozen=True)
class Zipf:
    """Bounded Zipf, p(x) ∝ x^−exponent; the exponent may be below 1, or negative."""

    maximum: int
    name: str = "zipf"

    def start(self, data: Histogram) -> Array:
        """Find the maximum itself by Newton's method on E[log x], all that the data say of the exponent."""
        points, weights = nodes(self.maximum)
        log = np.log(points)
        observed = float(np.log(data.values) @ data.counts / data.n)
        exponent = 1.0
        for _ in range(60):
            power = weights * np.exp(-exponent * log)
            power /= power.sum()
            mean = float(power @ log)
            variance = float(power @ (log - mean) ** 2)
            step = (mean - observed) / max(variance, 1e-12)
            exponent += float(np.clip(step, -1.0, 1.0))
            if abs(step) < 1e-12:
                break
        return np.array([exponent])

    def log_probability(self, theta: Array, values: Array) -> Array:
        """Compute the log mass at each value; arguments as in `Family`."""
        return self.gradient(theta, values)[0]

    def gradient(self, theta: Array, values: Array) -> tuple[Array, Array]:
        """Compute the log mass and its derivative by the exponent, E[log x] − log x; as in `WithGradient`."""
        points, weights = nodes(self.maximum)
        log, log_points = np.log(values), np.log(points)
        # Scaled by the largest term, so that steep and rising laws neither vanish nor overflow.
        exponents = -theta[0] * log_points
        top = float(exponents.max())
        power = weights * np.exp(exponents - top)
        total = float(power.sum())
        mean = float(power @ log_points) / total
        return -theta[0] * log - top - np.log(total), (mean - log)[None, :]

    def cumulative(self, theta: Array, values: Array) -> Array:
        """Compute P(X <= value) by summing the masses; arguments as in `Family`."""
        return _grouped_sums(self, theta, values)

    def parameters(self, theta: Array) -> dict[str, float]:
        """`exponent`."""
        return {"exponent": float(theta[0])}

    def theta(self, parameters: dict[str, float]) -> Array:
        """The point on the optimizer's scale of given parameters."""
        return np.array([parameters["exponent"]])


@dataclass(frozen=True)
class ZipfMandelbrot:
    """Bounded Zipf–Mandelbrot, p(x) ∝ (x + offset)^−exponent.

    The offset stays within −0.95 and ten times the maximum; there the law is an exponential one.
    """

    maximum: int
    name: str = "zipf_mandelbrot"

    def start(self, data: Histogram) -> Array:
        """The best of a few offsets, each with the exponent of a law that has the data's median."""
        exponents = np.array([0.7, 1.2, 2.0, 4.0])
        offsets = np.array([0.5, 1.0, 3.0]) * max(float(data.quantile(0.5)), 1.0)
        tried = [self.theta({"exponent": s, "offset": q}) for s in exponents for q in (0.0, *offsets)]
        scores = [float(self.log_probability(theta, data.values) @ data.counts) for theta in tried]
        return tried[int(np.argmax(scores))]

    def log_probability(self, theta: Array, values: Array) -> Array:
        """Compute the log mass at each value; arguments as in `Family`."""
        return self.gradient(theta, values)[0]

    def gradient(self, theta: Array, values: Array) -> tuple[Array, Array]:
        """Compute the log mass and its derivatives; arguments as in `WithGradient`."""
        points, weights = nodes(self.maximum)
        shifted = float(_inside(theta[1], *self._ends()))
        offset = np.expm1(shifted)
        log, log_points = np.log(values + offset), np.log(points + offset)
        exponents = -theta[0] * log_points
        top = float(exponents.max())
        power = weights * np.exp(exponents - top)
        total = float(power.sum())
        mean = float(power @ log_points) / total
        inverse = float(power @ (1 / (points + offset))) / total
        free = np.exp(shifted) * _slope(theta[1], *self._ends())
        by_offset = theta[0] * (inverse - 1 / (values + offset)) * free
        return -theta[0] * log - top - np.log(total), np.stack([mean - log, by_offset])

    def cumulative(self, theta: Array, values: Array) -> Array:
        """Compute P(X <= value) by summing the masses; arguments as in `Family`."""
        return _grouped_sums(self, theta, values)

    def parameters(self, theta: Array) -> dict[str, float]:
        """`exponent` and `offset`, in tokens."""
        return {"exponent": float(theta[0]), "offset": float(np.expm1(_inside(theta[1], *self._ends())))}

    def theta(self, parameters: dict[str, float]) -> Array:
        """The point on the optimizer's scale of given parameters."""
        shifted = _outside(np.log1p(parameters["offset"]), *self._ends())
        return np.array([parameters["exponent"], float(shifted)])

    def _ends(self) -> tuple[float, float]:
        """Range of log(1 + offset)."""
        return float(np.log(0.05)), float(np.log(10.0 * self.maximum + 1.0))


@dataclass(frozen=True)
class Weibull:
    """Rounded Weibull, P(X > x) = exp(−(x/scale)^shape), scale in tokens."""

    maximum: int
    name: str = "weibull"

    def start(self, data: Histogram) -> Array:
        """From mean and variance of the log: those of a Gumbel law."""
        log = np.log(data.values)
        mean = float(log @ data.counts / data.n)
        sd = max(float(np.sqrt(((log - mean) ** 2) @ data.counts / data.n)), 0.05)
        shape = np.pi / np.sqrt(6) / sd
        return self.theta({"shape": shape, "scale": float(np.exp(mean + np.euler_gamma / shape))})

    def log_probability(self, theta: Array, values: Array) -> Array:
        """Compute the log mass at each value; arguments as in `Family`."""
        return self.gradient(theta, values)[0]

    def gradient(self, theta: Array, values: Array) -> tuple[Array, Array]:
        """Compute the log mass and its derivatives; arguments as in `WithGradient`."""
        inside, by_inside = self._between(theta, values - 0.5, values + 0.5)
        normalizer, by_normalizer = self._between(theta, np.array([0.5]), np.array([self.maximum + 0.5]))
        free = [_slope(t, *ends) for t, ends in zip(theta, self._ends(), strict=True)]
        return inside - normalizer, (by_inside - by_normalizer) * np.array(free)[:, None]

    def _ends(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """Range of log(shape) and of log(scale)."""
        return (float(np.log(0.02)), float(np.log(200.0))), _range(self.maximum)

    def _logs(self, theta: Array) -> tuple[float, float]:
        """Log(shape) and log(scale)."""
        shape, scale = (_inside(t, *ends) for t, ends in zip(theta, self._ends(), strict=True))
        return float(shape), float(scale)

    def _between(self, theta: Array, low: Array, high: Array) -> tuple[Array, Array]:
        """Log probability between two bounds and its derivatives, without loss in the far tail."""
        log_shape, log_scale = self._logs(theta)
        shape = np.exp(log_shape)
        log_low, log_high = np.log(low) - log_scale, np.log(high) - log_scale
        hazard_low = np.exp(np.minimum(shape * log_low, 600.0))
        hazard_high = np.exp(np.minimum(shape * log_high, 600.0))
        gap = np.maximum(hazard_high - hazard_low, MIN_PROBABILITY)
        value = -hazard_low + np.log(np.maximum(-np.expm1(-gap), MIN_PROBABILITY))
        # d log(exp(−a) − exp(−b)) = −da + (db − da)/(exp(b − a) − 1)
        odds = 1 / np.maximum(np.expm1(np.minimum(gap, 600.0)), MIN_PROBABILITY)
        slopes = []
        for d_low, d_high in (
            (hazard_low * shape * log_low, hazard_high * shape * log_high),
            (-shape * hazard_low, -shape * hazard_high),
        ):
            slopes.append(-d_low + (d_high - d_low) * odds)
        return value, np.stack(slopes)

    def cumulative(self, theta: Array, values: Array) -> Array:
        """Compute P(X <= value); arguments as in `Family`."""
        shape, scale = np.exp(self._logs(theta))
        edges = np.concatenate([[0.5], values + 0.5, [self.maximum + 0.5]])
        below = -np.expm1(-((edges / scale) ** shape))
        return np.asarray((below[1:-1] - below[0]) / (below[-1] - below[0]))

    def parameters(self, theta: Array) -> dict[str, float]:
        """`shape` and `scale`, in tokens."""
        shape, scale = np.exp(self._logs(theta))
        return {"shape": float(shape), "scale": float(scale)}

    def theta(self, parameters: dict[str, float]) -> Array:
        """The point on the optimizer's scale of given parameters."""
        logs = np.log([parameters["shape"], parameters["scale"]])
        return np.array([_outside(v, *ends) for v, ends in zip(logs, self._ends(), strict=True)])


@dataclass(frozen=True)
class LogNormals:
    """Rounded log-normal (one component), or a mixture of several, by increasing median.

    On the optimizer's scale: logits of all weights but the last, of mus within ½..maximum + ½, and of sigmas
    within `MIN_SIGMA` and three times that range.
    """

    maximum: int
    components: int = 1
    begin: tuple[float, ...] = ()
    """Where the fit starts, on the optimizer's scale; empty for a start from the data."""

    @property
    def name(self) -> str:
        """`log_normal`, `log_normal_mixture_2`, …"""
        return "log_normal" if self.components == 1 else f"log_normal_mixture_{self.components}"

    def start(self, data: Histogram) -> Array:
        """Where `begin` says, else expectation–maximisation on log x from two places, the better one."""
        if self.begin:
            return np.array(self.begin)
        weight, mu, sigma = normal_mixture(
            np.log(data.values), data.counts / data.n, self.components, MIN_SIGMA
        )
        order = np.argsort(mu)
        return self._pack(weight[order], mu[order], sigma[order])

    def log_probability(self, theta: Array, values: Array) -> Array:
        """Compute the log mass at each value; −inf where the weights exceed 1 together."""
        weight, mu, sigma = self._unpack(theta)
        if weight[-1] <= 0:
            return np.full(values.shape, -np.inf)
        mass = _between(*self._standardized(mu, sigma, values))
        log_total = np.log(np.maximum(weight @ mass, MIN_PROBABILITY))
        return np.asarray(log_total[:-1] - log_total[-1])

    def gradient(self, theta: Array, values: Array) -> tuple[Array, Array]:
        """Compute the log mass and its derivatives; −inf where the weights exceed 1 together."""
        weight, mu, sigma = self._unpack(theta)
        k = self.components
        if weight[-1] <= 0:
            return np.full(values.shape, -np.inf), np.zeros((len(theta), len(values)))
        low, high = self._standardized(mu, sigma, values)
        mass = _between(low, high)
        density_low, density_high = _normal(low), _normal(high)
        total = np.maximum(weight @ mass, MIN_PROBABILITY)
        log_total = np.log(total)

        by_weight = (mass[:-1] - mass[-1]) * (weight[:-1] * (1 - weight[:-1]))[:, None]
        by_mu = (density_low - density_high) * (weight / sigma)[:, None]
        by_sigma = (low * density_low - high * density_high) * (weight / sigma)[:, None]
        by_mu *= _slope(theta[k - 1 : 2 * k - 1], *_range(self.maximum))[:, None]
        by_sigma *= _slope(theta[2 * k - 1 :], MIN_SIGMA, self._widest)[:, None]
        slopes = np.concatenate([by_weight, by_mu, by_sigma]) / total
        return log_total[:-1] - log_total[-1], slopes[:, :-1] - slopes[:, -1:]

    def _standardized(self, mu: Array, sigma: Array, values: Array) -> tuple[Array, Array]:
        """Both borders of every value, and last those of the whole range, by component."""
        borders = []
        for side, end in ((-0.5, 0.5), (0.5, self.maximum + 0.5)):
            log = np.log(np.append(values + side, end))
            borders.append((log - mu[:, None]) / sigma[:, None])
        return borders[0], borders[1]

    def cumulative(self, theta: Array, values: Array) -> Array:
        """Compute P(X <= value); arguments as in `Family`."""
        weight, mu, sigma = self._unpack(theta)
        edges = np.log(np.concatenate([[0.5], values + 0.5, [self.maximum + 0.5]]))
        below = weight @ special.ndtr((edges - mu[:, None]) / sigma[:, None])
        return np.asarray((below[1:-1] - below[0]) / (below[-1] - below[0]))

    def parameters(self, theta: Array) -> dict[str, float]:
        """`mu`, `sigma` of log tokens; in a mixture numbered, with `weight` (the last one is the rest)."""
        weight, mu, sigma = self._unpack(theta)
        if self.components == 1:
            return {"mu": float(mu[0]), "sigma": float(sigma[0])}
        named = [("weight", weight[:-1]), ("mu", mu), ("sigma", sigma)]
        return {f"{name}_{i}": float(v) for name, values in named for i, v in enumerate(values, start=1)}

    def theta(self, parameters: dict[str, float]) -> Array:
        """The point on the optimizer's scale of given parameters."""
        k = self.components
        if k == 1:
            return self._pack(np.ones(1), np.array([parameters["mu"]]), np.array([parameters["sigma"]]))
        weight = np.array([parameters[f"weight_{i}"] for i in range(1, k)])
        mu, sigma = (np.array([parameters[f"{p}_{i}"] for i in range(1, k + 1)]) for p in ("mu", "sigma"))
        return self._pack(np.append(weight, 1 - weight.sum()), mu, sigma)

    def ordered(self, theta: Array) -> Array | None:
        """The same law with its components by increasing median, or None if they are already."""
        weight, mu, sigma = self._unpack(theta)
        order = np.argsort(mu, kind="stable")
        if np.all(np.diff(order) > 0):
            return None
        return self._pack(weight[order], mu[order], sigma[order])

    def density(self, theta: Array, log_tokens: Array) -> Array:
        """Compute the density of log tokens without the bound, to find its modes.

        Parameters
        ----------
        theta : array, shape (p,)
            On the optimizer's scale.
        log_tokens : array, shape (k,)

        Returns
        -------
        array, shape (k,)
        """
        weight, mu, sigma = self._unpack(theta)
        return np.asarray((weight / sigma) @ _normal((log_tokens - mu[:, None]) / sigma[:, None]))

    def _pack(self, weight: Array, mu: Array, sigma: Array) -> Array:
        at = _outside(mu, *_range(self.maximum))
        wide = _outside(sigma, MIN_SIGMA, self._widest)
        # One that ran empty keeps a little: with another weight of 1 the last would be an impossible 0.
        share = np.maximum(weight, MIN_START_WEIGHT)
        return np.concatenate([special.logit(share[:-1] / share.sum()), at, wide])

    def _unpack(self, theta: Array) -> tuple[Array, Array, Array]:
        k = self.components
        weight = special.expit(theta[: k - 1])
        mu = _inside(theta[k - 1 : 2 * k - 1], *_range(self.maximum))
        sigma = _inside(theta[2 * k - 1 :], MIN_SIGMA, self._widest)
        return np.append(weight, 1 - weight.sum()), mu, sigma

    @property
    def _widest(self) -> float:
        low, high = _range(self.maximum)
        return 3 * (high - low)


BUILDERS: dict[str, Callable[[int], Any]] = {
    "zipf": Zipf,
    "zipf_mandelbrot": ZipfMandelbrot,
    "log_normal": LogNormals,
    "weibull": Weibull,
    "log_normal_mixture_2": lambda maximum: LogNormals(maximum, 2),
    "log_normal_mixture_3": lambda maximum: LogNormals(maximum, 3),
}
"""Every law by name, each made from the largest token count it allows."""

TITLES = {
    "zipf": "Zipf",
    "zipf_mandelbrot": "Zipf–Mandelbrot",
    "log_normal": "log-normal",
    "weibull": "Weibull",
    "log_normal_mixture_2": "mixture of two log-normals",
    "log_normal_mixture_3": "mixture of three log-normals",
}
"""The same laws as sentences and figures name them."""


def fit_lengths(family: Family, data: Histogram, coarse: Histogram | None = None) -> Fit:
    """Fit a law of token counts on a coarsened histogram.

    Components of a mixture come out by increasing median.

    Parameters
    ----------
    family : Family
    data : Histogram
        Of token counts from 1 to the family's maximum.
    coarse : Histogram, optional
        `coarsen(data)`, if the caller has it already.

    Returns
    -------
    Fit
        Likelihood and distance are those of the full histogram at the fitted point.
    """
    coarse = coarsen(data) if coarse is None else coarse
    found = fit(family, coarse)
    if isinstance(family, LogNormals) and (sorted_theta := family.ordered(found.theta)) is not None:
        found = fit(replace(family, begin=tuple(sorted_theta)), coarse)
    value = float(family.log_probability(found.theta, data.values) @ data.counts)
    return replace(found, log_likelihood=value, ks_distance=distance_from_law(family, found.theta, data))


def masses(name: str, parameters: dict[str, float], maximum: int) -> Array:
    """Compute the probability of each token count under a law given by name and parameters.

    Parameters
    ----------
    name : str
        A key of `BUILDERS`.
    parameters : dict
        Natural parameters by name, as `Fit.parameters` names them.
    maximum : int
        Largest token count.

    Returns
    -------
    array, shape (maximum,)
        Of 1, 2, … `maximum` tokens, summing to 1.

    Raises
    ------
    KeyError
        For an unknown law.
    """
    if name not in BUILDERS:
        raise KeyError(f"no length law {name!r}; there are: {', '.join(BUILDERS)}")
    family = BUILDERS[name](maximum)
    probability = np.exp(family.log_probability(family.theta(parameters), np.arange(1.0, maximum + 1)))
    return np.asarray(probability / probability.sum())


def _grouped_sums(family: Zipf | ZipfMandelbrot, theta: Array, values: Array) -> Array:
    """Distribution function of a law without a closed one."""
    everything = np.arange(1.0, family.maximum + 1)
    below = np.cumsum(np.exp(family.log_probability(theta, everything)))
    at = np.clip(np.floor(values).astype(int), 0, family.maximum)
    return np.asarray(np.concatenate([[0.0], below / below[-1]])[at])


def _range(maximum: int) -> tuple[float, float]:
    """Range of log tokens that a law of lengths up to the maximum covers."""
    return float(np.log(0.5)), float(np.log(maximum + 0.5))


def _inside(t: Array, low: float, high: float) -> Array:
    """From the optimizer's scale into a range."""
    return np.asarray(low + (high - low) * special.expit(t))


def _outside(value: Array, low: float, high: float) -> Array:
    """From a range to the optimizer's scale, where its ends are finite."""
    return np.asarray(special.logit(np.clip((value - low) / (high - low), 1e-6, 1 - 1e-6)))


def _slope(t: Array, low: float, high: float) -> Array:
    """Derivative of `_inside`."""
    return np.asarray((high - low) * special.expit(t) * special.expit(-t))


def _between(low: Array, high: Array) -> Array:
    """Standard normal probability between two borders; differences of the nearer tail keep their digits."""
    upper = low + high > 0
    return np.asarray(special.ndtr(np.where(upper, -low, high)) - special.ndtr(np.where(upper, -high, low)))


def _normal(z: Array) -> Array:
    """Standard normal density."""
    return np.asarray(np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi))


def at_bound(found: Fit, maximum: int) -> set[str]:
    """Find parameters that ran to the end of their range, or carry no information because another one did.

    A Zipf–Mandelbrot with its offset at a bound is an exponential law: the data determine only the ratio of
    both. A log-normal with its sigma at a bound stands on a single token count. Their intervals mean nothing.

    Parameters
    ----------
    found : Fit
    maximum : int
        Largest token count of the law.

    Returns
    -------
    set of str
        Names of parameters.
    """
    low, high = _range(maximum)
    reached = set()
    for name, value in ((name, interval.value) for name, interval in found.parameters.items()):
        if name == "offset" and not -0.94 < value < 9.5 * maximum:
            reached |= {"offset", "exponent"}
        if name.startswith("sigma") and not 1.02 * MIN_SIGMA < value < 2.94 * (high - low):
            reached.add(name)
        if name.startswith("mu") and not low + 0.01 < value < high - 0.01:
            reached.add(name)
        if name == "scale" and not low + 0.01 < np.log(value) < high - 0.01:
            reached.add(name)
    return reached
