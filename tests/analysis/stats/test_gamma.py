"""The law of whole-tick gaps and the fit of every window: closed forms, simulation, planted shapes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import interpolate, optimize, stats

from burstlens.analysis.stats.gamma import (
    SHAPES,
    Likelihood,
    Prior,
    cumulative,
    log_density,
    log_probability,
    monotone_slopes,
    survival,
)
from burstlens.analysis.stats.gap_sums import SINGLE, GapSums

shapes = st.floats(0.02, 50.0)
means = st.floats(np.log(0.05), np.log(1e5)).map(np.exp)


@given(shape=shapes, mean=means)
def test_probabilities_sum_to_the_distribution_function(shape: float, mean: float) -> None:
    mass = np.exp(log_probability(np.arange(SINGLE), shape, mean))
    assert np.all(mass >= 0)
    np.testing.assert_allclose(np.cumsum(mass), cumulative(np.arange(SINGLE), shape, mean), atol=1e-10)
    far = 2000 * mean * (1 + 1 / shape)
    assert cumulative(far, shape, mean) == pytest.approx(1, abs=1e-8)


@given(shape=shapes, mean=st.floats(0.05, 50.0))
@settings(max_examples=40)
def test_the_mean_in_ticks_is_the_mean_of_the_gap(shape: float, mean: float) -> None:
    ticks = np.arange(int(60 * mean * (1 + 1 / shape)) + 60)
    assert survival(ticks, shape, mean).sum() == pytest.approx(mean, rel=1e-6)


@given(shape=shapes, mean=means, k=st.integers(0, 200))
def test_survival_and_distribution_function_complement_each_other(shape: float, mean: float, k: int) -> None:
    assert survival(k, shape, mean) + cumulative(k, shape, mean) == pytest.approx(1, abs=1e-9 * max(mean, 1))


@pytest.mark.parametrize("mean", [0.05, 0.5, 3.0, 300.0, 1e5])
def test_exponential_gaps_give_a_geometric_law(mean: float) -> None:
    """Closed form at α = 1: with q = e^(−1/m), P(0) = 1 − m (1 − q) and P(k) = m (1 − q)² q^(k−1)."""
    q = np.exp(-1 / mean)
    decay = -np.expm1(-1 / mean)
    k = np.arange(1, SINGLE)
    expected = np.concatenate([[1 - mean * decay], mean * decay**2 * q ** (k - 1.0)])
    computed = np.exp(log_probability(np.arange(SINGLE), 1.0, mean))
    np.testing.assert_allclose(computed, expected, rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("shape", [0.02, 0.2, 1.0, 5.0, 50.0])
@pytest.mark.parametrize("mean", [0.3, 3.0, 40.0])
def test_the_law_is_that_of_floored_arrivals(shape: float, mean: float) -> None:
    rng = np.random.default_rng(7)
    n = 200_000
    ticks = np.floor(rng.random(n) + rng.gamma(shape, mean / shape, n))
    shares = np.bincount(ticks[ticks < SINGLE].astype(int), minlength=SINGLE) / n
    mass = np.exp(log_probability(np.arange(SINGLE), shape, mean))
    assert np.all(np.abs(shares - mass) <= 4.5 * np.sqrt(mass * (1 - mass) / n) + 1e-9)


@pytest.mark.parametrize("shape", [0.1, 0.5, 1.0, 2.0, 5.0])
@pytest.mark.parametrize("mean", [5.0, 50.0, 1e4])
def test_from_sixteen_ticks_the_density_is_as_good(shape: float, mean: float) -> None:
    k = np.array([SINGLE, 20, 40])
    exact = np.where(
        k < mean,
        cumulative(k, shape, mean) - cumulative(k - 1, shape, mean),
        survival(k - 1, shape, mean) - survival(k, shape, mean),
    )
    likely = exact > 1e-12
    ratio = np.exp(log_density(k, shape, mean))[likely] / exact[likely]
    # The triangle kernel adds a twelfth of the density's second derivative: more, the narrower the law.
    np.testing.assert_allclose(ratio, 1, atol=0.002 + (shape / mean) ** 2 / 6)


@pytest.mark.parametrize(
    ("shape", "rate"),
    [(0.2, 0.05), (0.2, 1.0), (0.5, 0.2), (0.5, 1.0), (1.0, 0.2), (1.0, 1.0), (2.0, 1.0)],
)
def test_planted_shapes_are_recovered_from_stamps_of_a_second(shape: float, rate: float) -> None:
    """The grid of the method's table: 100 gaps a fit, the median within 10 % of what was planted."""
    fits = Likelihood(GapSums.of(_stamped(shape, rate, (1500, 100))), discrete=True).maximum()
    assert np.median(fits.shape) == pytest.approx(shape, rel=0.1)


@pytest.mark.parametrize("shape", [0.2, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("rate", [0.05, 1.0])
def test_intervals_hold_the_planted_shape(shape: float, rate: float) -> None:
    fits = Likelihood(GapSums.of(_stamped(shape, rate, (1500, 200))), discrete=True).maximum()
    covered = np.abs(fits.log_shape - np.log(shape)) < stats.norm.ppf(0.975) * fits.error
    assert 0.90 <= covered.mean() <= 0.97


def test_a_prior_halves_what_the_stamps_no_longer_tell() -> None:
    """Five requests a second at whole-second stamps: the shape is lost, and a prior keeps it in bounds."""
    likelihood = Likelihood(GapSums.of(_stamped(2.0, 5.0, (400, 1000))), discrete=True)
    alone, after = likelihood.maximum(), likelihood.maximum(Prior(0.0, 0.5))
    assert np.median(alone.error) > 1
    assert np.all(after.error <= 0.5 + 1e-6)
    assert 0.5 < np.median(after.shape) < 2.0


@pytest.mark.parametrize("shape", [0.05, 0.5, 1.0, 2.0, 8.0])
@pytest.mark.parametrize("mean", [2.0, 17.3, 800.0, 3e6])
def test_all_windows_at_once_equal_each_window_alone(shape: float, mean: float) -> None:
    """The tabulated likelihood against direct maximisation of the law, gap by gap."""
    rng = np.random.default_rng(3)
    gaps = np.floor(rng.random((5, 120)) + rng.gamma(shape, mean / shape, (5, 120)))
    sums = GapSums.of(gaps)
    fits = Likelihood(sums, discrete=True).maximum()
    for i, sample in enumerate(gaps):
        values, counts = np.unique(sample, return_counts=True)

        def loss(log_shape: float, v=values, c=counts, m=sums.mean[i]) -> float:  # type: ignore[no-untyped-def]
            return -float(log_probability(v, np.exp(log_shape), m) @ c)

        best = optimize.minimize_scalar(
            loss, bounds=np.log(SHAPES[[0, -1]]), method="bounded", options={"xatol": 1e-9}
        ).x
        assert abs(fits.log_shape[i] - best) < 0.1 * fits.error[i]


@given(
    shape=st.floats(0.05, 20.0),
    n=st.integers(5, 300),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=40)
def test_continuous_gaps_agree_with_scipy(shape: float, n: int, seed: int) -> None:
    gaps = np.ceil(np.random.default_rng(seed).gamma(shape, 1e9 / shape, n))
    fit = Likelihood(GapSums.of(gaps), discrete=False).maximum()
    expected = stats.gamma.fit(gaps, floc=0)[0]
    assert fit.shape[0] == pytest.approx(expected, rel=1e-6)


def test_the_continuous_error_is_that_of_the_fisher_information() -> None:
    shape, n = 0.7, 400
    gaps = np.ceil(np.random.default_rng(1).gamma(shape, 1e9 / shape, (2000, n)))
    fits = Likelihood(GapSums.of(gaps), discrete=False).maximum()
    assert fits.log_shape.std() == pytest.approx(np.median(fits.error), rel=0.06)


def test_pooled_windows_fit_as_one_window_of_all_gaps() -> None:
    gaps = _stamped(0.5, 0.2, (6, 80))
    pooled = GapSums.of(gaps).pooled()
    concatenated = GapSums.of(gaps.ravel())
    assert pooled.n[0] == concatenated.n[0] == 480
    assert Likelihood(pooled, True).maximum().shape[0] == pytest.approx(
        Likelihood(concatenated, True).maximum().shape[0]
    )


def test_degenerate_windows_give_numbers() -> None:
    """All gaps zero, or all one tick: no information, and no warning or NaN either."""
    fits = Likelihood(GapSums.of(np.array([[0] * 6, [1] * 6, [100] * 6])), discrete=True).maximum()
    assert np.all(np.isfinite(fits.log_shape))
    assert fits.shape[2] == pytest.approx(SHAPES[-1], rel=1e-6)


def _stamped(shape: float, rate: float, size: tuple[int, int]) -> np.ndarray:
    """Whole-second gaps of Gamma arrivals at `rate` per second."""
    rng = np.random.default_rng(11)
    return np.floor(rng.random(size) + rng.gamma(shape, 1 / rate / shape, size))


@pytest.mark.parametrize("points", [3, 8])
def test_monotone_slopes_are_those_of_scipy(points: int) -> None:
    values = np.random.default_rng(points).normal(size=(points, 40)).cumsum(axis=0)
    at = 0.1 * np.arange(points)
    theirs = interpolate.PchipInterpolator(at, values, axis=0).derivative()(at)
    np.testing.assert_allclose(monotone_slopes(values, 0.1), theirs, rtol=1e-9, atol=1e-9)
