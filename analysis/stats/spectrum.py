"""Autocorrelation and spectra of evenly sampled series with holes, and tests for a period of known length.

Series come as a list of contiguous segments on one clock. Not here: which series and periods are tested,
and the verdicts (see `traffic.periodicity`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..core.arrays import Array

MAX_ORDER = 3
"""Autoregressions of higher order would start to fit the cycles that they are a background for."""


@dataclass(frozen=True)
class Segment:
    """Contiguous values of a series, the first at step `start` of the common clock."""

    start: int
    values: Array


def autocorrelation(segments: list[Segment], lags: int) -> Array:
    """Estimate the autocorrelation of a series with holes, from pairs within segments only.

    Each segment is centred on its own mean; products are divided by the sum of all squares (the biased
    estimator, which is a positive definite sequence).

    Parameters
    ----------
    segments : list of Segment
    lags : int
        Largest lag, in steps.

    Returns
    -------
    array, shape (lags + 1,)
        At lags 0 to `lags`; zero beyond lag 0 for a constant series.
    """
    total = np.zeros(lags + 1)
    for segment in segments:
        x = segment.values - segment.values.mean()
        size = 1 << int(np.ceil(np.log2(2 * len(x))))
        products = np.fft.irfft(np.abs(np.fft.rfft(x, size)) ** 2, size)[: min(lags + 1, len(x))]
        total[: len(products)] += products
    if total[0] <= 1e-12:
        return np.asarray(np.eye(1, lags + 1)[0])
    return np.asarray(total / total[0])


def bartlett(correlation: Array, lag: int, n: int) -> float:
    """Compute the standard error of the autocorrelation at a lag if it is zero from there on.

    Parameters
    ----------
    correlation : array, shape (lags + 1,)
        As `autocorrelation` returns it.
    lag : int
        In steps, from 1.
    n : int
        Values of the series.

    Returns
    -------
    float

    References
    ----------
    Bartlett (1946).
    """
    return float(np.sqrt((1 + 2 * np.sum(correlation[1:lag] ** 2)) / n))


@dataclass(frozen=True)
class YuleWalkerFit:
    """An autoregression in units of the series' own variance: x_t = Σ weights_k x_{t−k} + noise."""

    weights: Array
    noise: float
    """Variance of the noise over the variance of the series."""

    def spectrum(self, frequency: Array) -> Array:
        """Spectral density over variance at cycles per step; 1 everywhere for white noise."""
        lags = np.arange(1, len(self.weights) + 1)
        transfer = 1 - np.exp(-2j * np.pi * np.multiply.outer(frequency, lags)) @ self.weights
        return np.asarray(self.noise / np.abs(transfer) ** 2)

    def residuals(self, values: Array) -> Array:
        """What is left of centred values after prediction, `order` shorter."""
        kernel = np.concatenate(([1.0], -self.weights))
        return np.convolve(values - values.mean(), kernel, mode="valid")


def fit_autoregression(correlation: Array, n: int) -> YuleWalkerFit:
    """Fit an autoregression by Yule–Walker, of the order up to `MAX_ORDER` with the least AIC.

    Parameters
    ----------
    correlation : array, shape (lags + 1,)
        As `autocorrelation` returns it.
    n : int
        Values of the series.

    Returns
    -------
    YuleWalkerFit
        Of order 0 (white noise) if no order improves the AIC.
    """
    best, least = YuleWalkerFit(np.zeros(0), 1.0), 0.0
    for order in range(1, MAX_ORDER + 1):
        if len(correlation) <= order or n <= 2 * order:
            break
        lag = np.abs(np.subtract.outer(np.arange(order), np.arange(order)))
        weights = np.linalg.solve(correlation[lag], correlation[1 : order + 1])
        noise = max(float(1 - weights @ correlation[1 : order + 1]), 1e-9)
        criterion = n * np.log(noise) + 2 * order
        if criterion < least:
            best, least = YuleWalkerFit(weights.astype(float), noise), criterion
    return best


def lomb_scargle(segments: list[Segment], size: int) -> Array:
    """Compute the normalized Lomb–Scargle power of a series with holes.

    White noise has mean power 1, exponentially distributed. Exact across holes, since on a common clock
    the sums are Fourier transforms of the values and of the record's own presence; agrees with
    `scipy.signal.lombscargle` divided by the variance.

    Parameters
    ----------
    segments : list of Segment
    size : int
        Steps of the transform; must cover the clock from the first value to the last.

    Returns
    -------
    array, shape (size // 2 − 1,)
        At k/`size` cycles per step, k = 1..size // 2 − 1; zero for a constant series.

    References
    ----------
    Scargle, Astrophys. J. 263 (1982).
    """
    first = min(s.start for s in segments)
    values, present = np.zeros(size), np.zeros(size)
    n = sum(len(s.values) for s in segments)
    mean = sum(float(s.values.sum()) for s in segments) / n
    for segment in segments:
        place = slice(segment.start - first, segment.start - first + len(segment.values))
        values[place], present[place] = segment.values - mean, 1.0
    variance = float(values @ values) / n
    k = np.arange(1, size // 2)
    if variance <= 1e-12:
        return np.zeros(len(k))
    transform = np.fft.rfft(values)[1 : size // 2]
    window = np.fft.fft(present)[2 * k]
    # Turned by the phase that makes sine and cosine orthogonal over the record, both sums are plain squares.
    turned = transform * np.exp(-0.5j * np.angle(window))
    overlap = np.abs(window)
    cosine = (n + overlap) / 2
    sine = np.maximum((n - overlap) / 2, 1e-9)
    return np.asarray((turned.real**2 / cosine + turned.imag**2 / sine) / (2 * variance))


@dataclass(frozen=True)
class FisherTest:
    """Fisher's test for any one period: the largest share g of a prewhitened series' periodogram."""

    g: float
    period: float
    """Period of the largest ordinate, in steps."""
    ordinates: int
    p: float
    """Probability of a share this large in white noise; its bound is m·exp(−m·g)."""


def fisher_test(values: Array, background: YuleWalkerFit) -> FisherTest:
    """Test one segment for any one period by Fisher's g, after removing its autoregressive background.

    Parameters
    ----------
    values : array, shape (n,)
        Evenly sampled, without holes.
    background : YuleWalkerFit
        Of the same series.

    Returns
    -------
    FisherTest
        NaN with p = 1 for a series that is too short or constant.

    References
    ----------
    Fisher (1929).
    """
    x = background.residuals(values)
    n = len(x)
    ordinates = (n - 1) // 2
    power = np.abs(np.fft.rfft(x - x.mean())[1 : ordinates + 1]) ** 2
    if ordinates < 2 or power.sum() <= 1e-12:
        return FisherTest(float("nan"), float("nan"), max(ordinates, 0), 1.0)
    best = int(np.argmax(power))
    g = float(power[best] / power.sum())
    return FisherTest(g, n / (best + 1), ordinates, float(min(1.0, ordinates * np.exp(-ordinates * g))))
