"""One suite over every law: planted parameters come back, masses and slopes are right, bounds are told."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize, stats

from burstlens.analysis.lengths.coarse_counts import MAX_EXACT_TOKENS, coarsen, nodes
from burstlens.analysis.lengths.families import (
    BUILDERS,
    TITLES,
    LogNormals,
    Zipf,
    at_bound,
    fit_lengths,
    masses,
)
from burstlens.analysis.stats.likelihood import Fit, Histogram, fit

MAXIMUM = 4000
PLANTED: dict[str, dict[str, float]] = {
    "zipf": {"exponent": 0.72},
    "zipf_mandelbrot": {"exponent": 2.2, "offset": 40.0},
    "log_normal": {"mu": 5.2, "sigma": 0.9},
    "weibull": {"shape": 0.8, "scale": 250.0},
    "log_normal_mixture_2": {"weight_1": 0.4, "mu_1": 3.5, "mu_2": 6.0, "sigma_1": 0.7, "sigma_2": 0.4},
    "log_normal_mixture_3": {
        **{"weight_1": 0.3, "weight_2": 0.5, "mu_1": 2.5, "mu_2": 5.0, "mu_3": 7.3},
        **{"sigma_1": 0.5, "sigma_2": 0.6, "sigma_3": 0.3},
    },
}
EVERY = pytest.mark.parametrize("name", list(BUILDERS))


def drawn(name: str, n: int, seed: int, parameters: dict[str, float] | None = None) -> Histogram:
    """A sample of a planted law, by its masses."""
    probability = masses(name, parameters or PLANTED[name], MAXIMUM)
    counts = np.random.default_rng(seed).multinomial(n, probability).astype(float)
    seen = counts > 0
    return Histogram(np.flatnonzero(seen) + 1.0, counts[seen])


def fitted(name: str, data: Histogram, maximum: int = MAXIMUM) -> Fit:
    return fit_lengths(BUILDERS[name](maximum), data)


def test_every_law_is_planted_and_titled() -> None:
    assert set(BUILDERS) == set(PLANTED) == set(TITLES)
    assert all(BUILDERS[name](9).name == name for name in BUILDERS)


@EVERY
def test_masses_sum_to_one_and_to_the_distribution_function(name: str) -> None:
    family = BUILDERS[name](MAXIMUM)
    theta = family.theta(PLANTED[name])
    everything = np.arange(1.0, MAXIMUM + 1)
    mass = np.exp(family.log_probability(theta, everything))
    assert mass.sum() == pytest.approx(1, abs=1e-8)
    assert family.cumulative(theta, everything) == pytest.approx(np.cumsum(mass), abs=1e-8)
    assert family.parameters(theta) == pytest.approx(PLANTED[name])


@EVERY
def test_gradient_is_the_slope_of_the_log_probability(name: str) -> None:
    family = BUILDERS[name](MAXIMUM)
    theta = family.theta(PLANTED[name])
    values = np.array([1.0, 2, 17, 300, 3999])
    by_hand = [
        (family.log_probability(theta + step, values) - family.log_probability(theta - step, values)) / 2e-6
        for step in np.eye(len(theta)) * 1e-6
    ]
    assert family.gradient(theta, values)[1] == pytest.approx(np.array(by_hand), abs=2e-5, rel=1e-5)


@EVERY
def test_planted_parameters_come_back_without_bias_and_intervals_cover_them(name: str) -> None:
    planted, runs, n = PLANTED[name], 50, 3000
    fits = [fitted(name, drawn(name, n, seed)) for seed in range(runs)]
    assert all(found.converged for found in fits)
    covered: list[bool] = []
    for parameter, truth in planted.items():
        found = [one.parameters[parameter] for one in fits]
        values = np.array([interval.value for interval in found])
        covered.extend(interval.low <= truth <= interval.high for interval in found)
        # Offset and exponent lie on a ridge, so that their spread is wide and lopsided.
        tolerance = 4 * values.std() / np.sqrt(runs) + (0.15 * truth if name == "zipf_mandelbrot" else 0.01)
        assert values.mean() == pytest.approx(truth, abs=tolerance), parameter
    assert 0.88 <= np.mean(covered) <= 1


@pytest.mark.parametrize("exponent", [-0.4, 0.0, 0.5, 0.72, 1.0, 1.1, 2.0])
def test_zipf_exponents_below_and_above_one_come_back(exponent: float) -> None:
    data = drawn("zipf", 20_000, 3, {"exponent": exponent})
    found = fitted("zipf", data)
    interval = found.parameters["exponent"]
    assert interval.value == pytest.approx(exponent, abs=4 * (interval.high - interval.value) / 1.96)
    # The maximum of the likelihood and its curvature, by plain sums over 1..maximum.
    log = np.log(np.arange(1.0, MAXIMUM + 1))
    observed = np.log(data.values) @ data.counts / data.n

    def loss(s: float) -> float:
        return float(s * observed + np.log(np.sum(np.exp(-s * log))))

    best = optimize.minimize_scalar(loss, bracket=(-2, 3), tol=1e-12).x
    mass = np.exp(-best * log)
    mass /= mass.sum()
    variance = mass @ log**2 - (mass @ log) ** 2
    assert interval.value == pytest.approx(best, abs=1e-6)
    error = 1 / np.sqrt(data.n * variance)
    assert interval.high - interval.value == pytest.approx(stats.norm.ppf(0.975) * error, rel=1e-4)
    assert found.log_likelihood == pytest.approx(-data.n * loss(best), rel=1e-9)


def test_laws_are_those_of_scipy() -> None:
    x = np.arange(1.0, MAXIMUM + 1)
    assert masses("zipf", {"exponent": 1.3}, MAXIMUM) == pytest.approx(stats.zipfian.pmf(x, 1.3, MAXIMUM))
    for name, law in {
        "weibull": stats.weibull_min(0.8, scale=250),
        "log_normal": stats.lognorm(0.9, scale=np.exp(5.2)),
    }.items():
        inside = np.diff(law.cdf(np.arange(MAXIMUM + 1) + 0.5))
        assert masses(name, PLANTED[name], MAXIMUM) == pytest.approx(inside / inside.sum(), abs=1e-12)


def test_a_law_by_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(KeyError, match="log_normal_mixture_2"):
        masses("pareto", {}, 10)


@pytest.mark.parametrize("maximum", [1, 7, 128, 129, 500, 31_407, 125_591])
def test_sums_over_a_few_points_are_those_over_every_count(maximum: int) -> None:
    points, weights = nodes(maximum)
    assert len(points) < 500
    assert weights.sum() == pytest.approx(maximum)
    everything = np.arange(1.0, maximum + 1)
    for exponent in (-0.5, 0.0, 0.7, 1.0, 2.5):
        exact = np.sum(everything**-exponent)
        assert weights @ points**-exponent == pytest.approx(exact, rel=1e-9)
        logs = np.sum(everything**-exponent * np.log(everything))
        assert weights @ (points**-exponent * np.log(points)) == pytest.approx(logs, rel=1e-9, abs=1e-12)


@EVERY
def test_coarsening_loses_less_than_a_thousandth_per_row(name: str) -> None:
    data = drawn(name, 100_000, 5)
    family = BUILDERS[name](MAXIMUM)
    exact = fit(family, data)
    found = fitted(name, data)
    assert len(coarsen(data).values) < len(data.values) / 3 or len(data.values) < 600
    assert found.log_likelihood <= exact.log_likelihood + 1e-6 * data.n
    assert found.log_likelihood / data.n == pytest.approx(exact.log_likelihood / data.n, abs=1e-4)


def test_coarsening_keeps_short_counts_mass_and_mean_and_variance_of_the_log() -> None:
    data = drawn("log_normal", 5000, 6)
    coarse = coarsen(data)
    assert coarse.n == pytest.approx(data.n)
    short = data.values < MAX_EXACT_TOKENS
    assert np.array_equal(coarse.values[: short.sum()], data.values[short])
    for power in (1, 2):
        moments = [np.log(h.values) ** power @ h.counts for h in (data, coarse)]
        assert moments[1] == pytest.approx(moments[0], rel=1e-12)


def test_a_histogram_of_short_counts_is_left_as_it_is() -> None:
    data = Histogram(np.array([1.0, 5, 60]), np.array([3.0, 2, 1]))
    assert coarsen(data) is data


@EVERY
def test_the_law_that_was_planted_wins_or_ties(name: str) -> None:
    data = drawn(name, 20_000, 7)
    scores = {other: fitted(other, data).bic for other in BUILDERS}
    assert scores[name] <= min(scores.values()) + 5


def test_an_exponential_law_drives_the_offset_to_its_bound_and_is_flagged() -> None:
    counts = 1e5 * np.exp(-np.arange(1.0, 1001) / 120)
    found = fitted("zipf_mandelbrot", Histogram(np.arange(1.0, 1001), counts), 1000)
    assert at_bound(found, 1000) == {"offset", "exponent"}


def test_rising_counts_keep_a_log_normal_within_its_range() -> None:
    values = np.arange(1.0, 501)
    data = Histogram(values, values)
    found = fitted("log_normal", data, 500)
    assert np.isfinite(found.log_likelihood)
    assert found.parameters["mu"].value <= np.log(500.5)
    assert "mu" in at_bound(found, 500)
    assert fitted("zipf", data, 500).parameters["exponent"].value == pytest.approx(-1, abs=1e-6)


def test_a_spike_on_one_count_is_flagged_as_a_sigma_at_its_bound() -> None:
    rng = np.random.default_rng(8)
    tokens = np.concatenate([np.full(3000, 900.0), np.rint(np.exp(rng.normal(4, 1, 3000))) + 1])
    data = Histogram.of(tokens)
    found = fitted("log_normal_mixture_2", data, int(tokens.max()))
    assert at_bound(found, int(tokens.max())) == {"sigma_2"}
    assert found.parameters["mu_2"].value == pytest.approx(np.log(900), abs=0.01)


def test_components_come_by_increasing_median() -> None:
    law = LogNormals(MAXIMUM, 2)
    swapped = law.theta({"weight_1": 0.3, "mu_1": 6.0, "mu_2": 3.0, "sigma_1": 0.4, "sigma_2": 0.7})
    ordered = law.ordered(swapped)
    assert ordered is not None
    values = np.arange(1.0, 100)
    assert law.log_probability(ordered, values) == pytest.approx(law.log_probability(swapped, values))
    assert law.parameters(ordered)["mu_1"] == pytest.approx(3.0)
    assert law.ordered(ordered) is None


@pytest.mark.parametrize(
    ("components", "theta"),
    [
        (2, [-45.0, 1.0, -1.0, -4.0, -4.0]),
        (3, [-45.0, -45.0, 1.0, 0.0, -1.0, -4.0, -4.0, -4.0]),
    ],
)
def test_a_mixture_of_which_one_component_ran_empty_is_ordered_all_the_same(
    components: int, theta: list[float]
) -> None:
    """Its weight is 0 to the last digit, so that of the one before it would be 1 and leave nothing."""
    law, values = LogNormals(MAXIMUM, components), np.arange(1.0, MAXIMUM)
    ordered = law.ordered(np.array(theta))
    assert ordered is not None
    before, after = (law.log_probability(at, values) for at in (np.array(theta), ordered))
    assert np.exp(after) == pytest.approx(np.exp(before), abs=1e-10)
    assert np.isfinite(ordered).all()


def test_the_start_of_a_zipf_is_its_maximum() -> None:
    data = drawn("zipf", 1000, 9)
    law = Zipf(MAXIMUM)
    share = data.counts / data.n
    assert law.gradient(law.start(data), data.values)[1] @ share == pytest.approx(0, abs=1e-9)
