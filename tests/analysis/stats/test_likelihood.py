"""Fits on histograms: closed forms, intervals that cover, criteria, and calibrated goodness of fit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats

from burstlens.analysis.core.arrays import Array
from burstlens.analysis.stats.likelihood import Histogram, distance_from_law, fit, goodness_of_family


@dataclass(frozen=True)
class Poisson:
    """Counts of a Poisson process, theta = (log mean,)."""

    name: str = "Poisson"

    def start(self, data: Histogram) -> Array:
        return np.array([np.log(data.mean + 0.5)])

    def log_probability(self, theta: Array, values: Array) -> Array:
        return values * theta[0] - np.exp(theta[0]) - special.gammaln(values + 1)

    def cumulative(self, theta: Array, values: Array) -> Array:
        return stats.poisson.cdf(values, np.exp(theta[0]))

    def parameters(self, theta: Array) -> dict[str, float]:
        return {"mean": float(np.exp(theta[0]))}


@dataclass(frozen=True)
class Normal:
    """A continuous family of two parameters, theta = (mean, log sd)."""

    name: str = "normal"

    def start(self, data: Histogram) -> Array:
        return np.array([data.mean + 1, 1.0])

    def log_probability(self, theta: Array, values: Array) -> Array:
        return stats.norm.logpdf(values, theta[0], np.exp(theta[1]))

    def cumulative(self, theta: Array, values: Array) -> Array:
        return stats.norm.cdf(values, theta[0], np.exp(theta[1]))

    def parameters(self, theta: Array) -> dict[str, float]:
        return {"mean": float(theta[0]), "sd": float(np.exp(theta[1]))}


@given(st.lists(st.integers(0, 500), min_size=1, max_size=60))
def test_a_histogram_has_the_statistics_of_its_sample(sample: list[int]) -> None:
    data = Histogram.of(np.array(sample, dtype=float))
    assert data.n == len(sample)
    assert data.mean == pytest.approx(np.mean(sample))
    assert np.all(np.diff(data.values) > 0)
    for p in (0.1, 0.5, 1.0):
        expected = np.quantile(sample, p, method="inverted_cdf")
        # The lower quantile; at exact steps rounding may choose the neighbour on either side.
        shares = np.mean(np.array(sample) <= data.quantile(p)), np.mean(np.array(sample) < data.quantile(p))
        assert data.quantile(p) == expected or (shares[0] >= p - 1e-9 and shares[1] <= p + 1e-9)


def test_the_poisson_fit_is_the_mean_with_its_textbook_error() -> None:
    data = Histogram.of(np.random.default_rng(1).poisson(4.2, 5000).astype(float))
    found = fit(Poisson(), data)
    mean = found.parameters["mean"]
    assert mean.value == pytest.approx(data.mean, rel=1e-5)
    half = stats.norm.ppf(0.975) / np.sqrt(data.n * data.mean)
    assert mean.low == pytest.approx(data.mean * np.exp(-half), rel=1e-3)
    assert mean.high == pytest.approx(data.mean * np.exp(half), rel=1e-3)
    assert found.log_likelihood == pytest.approx(
        stats.poisson.logpmf(np.repeat(data.values, data.counts.astype(int)), data.mean).sum(), rel=1e-9
    )
    assert found.converged


def test_the_normal_fit_is_mean_and_deviation() -> None:
    sample = np.random.default_rng(2).normal(-3, 0.2, 800)
    found = fit(Normal(), Histogram.of(sample))
    assert found.parameters["mean"].value == pytest.approx(sample.mean(), abs=1e-4)
    assert found.parameters["sd"].value == pytest.approx(sample.std(), rel=1e-3)
    assert found.aic == pytest.approx(4 - 2 * found.log_likelihood)
    assert found.bic == pytest.approx(2 * np.log(800) - 2 * found.log_likelihood)
    assert found.ks_distance == pytest.approx(
        stats.kstest(sample, stats.norm(*(p.value for p in found.parameters.values())).cdf).statistic,
        abs=2 / 800,
    )


def test_intervals_hold_the_planted_value_95_times_in_100() -> None:
    rng = np.random.default_rng(3)
    covered = 0
    for _ in range(300):
        mean = fit(Poisson(), Histogram.of(rng.poisson(3.0, 60).astype(float))).parameters["mean"]
        covered += mean.low <= 3.0 <= mean.high
    assert 0.91 <= covered / 300 <= 0.985


def test_what_cannot_be_fitted_says_why() -> None:
    with pytest.raises(ValueError, match="no observations"):
        fit(Poisson(), Histogram(np.empty(0), np.empty(0)))

    @dataclass(frozen=True)
    class Nowhere(Poisson):
        def log_probability(self, theta: Array, values: Array) -> Array:
            return np.full(values.shape, -np.inf) * np.exp(theta[0])

    with pytest.raises(ValueError, match="zero probability where its fit starts"):
        fit(Nowhere(), Histogram.of(np.array([1.0, 2.0])))


def test_true_families_are_rejected_as_often_as_they_should() -> None:
    rng = np.random.default_rng(4)
    support = np.arange(40.0)
    p = []
    for _ in range(80):
        data = Histogram.of(rng.poisson(4.0, 100).astype(float))
        p.append(goodness_of_family(Poisson(), data, fit(Poisson(), data), support, rng, 19).p_value)
    assert np.mean(np.array(p) <= 0.05) <= 0.125
    assert 0.35 <= np.mean(np.array(p) <= 0.5) <= 0.7


def test_false_families_are_rejected() -> None:
    rng = np.random.default_rng(5)
    data = Histogram.of(rng.negative_binomial(2, 0.3, 300).astype(float))
    found = fit(Poisson(), data)
    good = goodness_of_family(Poisson(), data, found, np.arange(80.0), rng, 39)
    assert good.p_value == pytest.approx(1 / 40)
    assert good.ks_distance == found.ks_distance == distance_from_law(Poisson(), found.theta, data)
