"""Which of two traces is burstier at equal rate: intervals of differences, nested variation, outcomes."""

from __future__ import annotations

from math import exp, log

import numpy as np
import polars as pl
import pytest

from burstlens.analysis.characterize import Characterization
from burstlens.analysis.compare.equal_rate import (
    COUNTS,
    GAPS,
    LOCAL_GAPS,
    RATE,
    Outcome,
    difference,
    median_shape,
    outcomes,
    variation_within,
)
from burstlens.analysis.core.result import Interval
from burstlens.analysis.core.verdicts import CANNOT_TELL, HIGHER, LOWER
from burstlens.analysis.stats.renewal import sample_arrivals
from burstlens.analysis.traffic.arrivals import describe_arrivals
from burstlens.analysis.traffic.burstiness import describe_burstiness
from burstlens.analysis.traffic.volume import describe_volume
from tests.analysis.planted import trace_of

DAY_S = 86_400


def test_difference_of_symmetric_intervals_adds_their_squares() -> None:
    contrast = difference(Interval(5.0, 2.0, 8.0), Interval(1.0, -3.0, 5.0))
    assert (contrast.value, contrast.low, contrast.high) == (4.0, -1.0, 9.0)


def test_difference_of_skewed_estimates_holds_the_truth_95_times_of_100() -> None:
    """Rates of two Poisson counts of 12 and 20, whose exact intervals are skewed."""
    from scipy import stats

    rng = np.random.default_rng(1)

    def estimate(count: int) -> Interval:
        low = stats.chi2.ppf(0.025, 2 * count) / 2 if count else 0.0
        return Interval(float(count), float(low), float(stats.chi2.ppf(0.975, 2 * count + 2) / 2))

    found = [difference(estimate(a), estimate(b)) for a, b in rng.poisson([12, 20], (3000, 2))]
    covered = np.mean([one.low <= -8 <= one.high for one in found])
    assert 0.945 < covered < 0.98


def test_ratio_of_log_symmetric_intervals_adds_squares_of_logs() -> None:
    one = Interval(6.0, 6.0 / exp(0.3), 6.0 * exp(0.3))
    other = Interval(2.0, 2.0 / exp(0.4), 2.0 * exp(0.4))
    ratio = Outcome(RATE, "whole record", 60.0, None, one, other, True).ratio
    assert ratio is not None
    assert ratio.value == pytest.approx(3.0)
    assert (log(ratio.low), log(ratio.high)) == pytest.approx((log(3) - 0.5, log(3) + 0.5))


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (Interval(5.0, 4.0, 6.0), Interval(1.0, 0.5, 2.0), HIGHER),
        (Interval(1.0, 0.5, 2.0), Interval(5.0, 4.0, 6.0), LOWER),
        (Interval(1.0, 0.2, 6.0), Interval(2.0, 0.5, 7.0), CANNOT_TELL),
        # Below zero (more even than Poisson) there are no logarithms, but still an order.
        (Interval(-0.5, -0.6, -0.4), Interval(0.3, 0.1, 0.5), LOWER),
        (Interval(0.1, -0.4, 0.6), Interval(0.2, -0.1, 0.5), CANNOT_TELL),
        (Interval(1.0, float("-inf"), float("inf")), Interval(9.0, 8.0, 10.0), CANNOT_TELL),
    ],
)
def test_outcomes_follow_the_interval_of_the_difference(
    one: Interval, other: Interval, expected: str
) -> None:
    assert Outcome(RATE, "whole record", 60.0, None, one, other, True).outcome == expected


def test_variation_inside_stretches_is_that_of_nested_rates() -> None:
    """Rates of 600 s times rates of 60 s, drawn independently: what is inside is what was put inside."""
    rng = np.random.default_rng(2)
    slow = rng.gamma(2.0, 0.5, 20_000)
    fast = rng.gamma(1 / 0.3, 0.3, (20_000, 10))
    rate = slow[:, None] * fast
    c_inner = rate.var() / rate.mean() ** 2
    c_outer = rate.mean(axis=1).var() / rate.mean() ** 2
    found = variation_within(Interval(c_inner, c_inner, c_inner), Interval(c_outer, c_outer, c_outer))
    # Of ten draws a stretch, nine tenths of their variance are inside it, over the mean square of their mean.
    assert found.value == pytest.approx(0.3 * 0.9 / (1 + 0.3 / 10), rel=0.03)


def test_a_trace_is_as_bursty_as_its_own_thinned_copy() -> None:
    """A third of the requests has another index of dispersion, and the same variation of rate."""
    rng = np.random.default_rng(8)
    n = 72 * 14
    rate = np.exp(rng.normal(-2, 0.6, n))
    times = sample_arrivals(np.arange(n) * 1200.0, np.ones(n), rate, 1200.0, rng)
    thinned = times[rng.random(len(times)) < 0.3]
    found = list(outcomes(characterization_of(times), characterization_of(thinned)))
    rates = [each for each in found if each.measure == RATE]
    assert [each.width_s for each in rates] == [1, 10, 60, 600, 3600]
    assert all(each.outcome == CANNOT_TELL for each in rates if each.width_s and each.width_s >= 60)
    minute = next(each for each in rates if each.width_s == 60)
    assert minute.ratio is not None
    assert minute.ratio.value == pytest.approx(1, abs=0.1)


def test_a_trace_run_at_another_speed_is_as_bursty_by_gaps_and_by_equal_counts() -> None:
    """Ten times the speed: the same gaps in other units, the same counts in narrower bins."""
    rng = np.random.default_rng(9)
    n = 72 * 80
    times = sample_arrivals(np.arange(n) * 1200.0, np.full(n, 0.4), np.full(n, 0.02), 1200.0, rng)
    found = {
        (each.measure, each.mean_count): each
        for each in outcomes(characterization_of(times), characterization_of(times / 10, digits=1))
        if each.measure in (GAPS, COUNTS)
    }
    assert (GAPS, None) in found
    assert (COUNTS, 10.0) in found
    for each in found.values():
        assert each.value.value == pytest.approx(each.other.value, rel=0.06)
        assert each.outcome == CANNOT_TELL


@pytest.mark.parametrize("swapped", [False, True])
def test_bursty_gaps_differ_from_poisson_gaps_at_every_measure(swapped: bool) -> None:
    rng = np.random.default_rng(3)
    n = 72 * 8
    pair = [
        characterization_of(
            sample_arrivals(np.arange(n) * 1200.0, np.full(n, shape), np.full(n, rate), 1200.0, rng)
        )
        for shape, rate in ((0.3, 0.05), (1.0, 0.2))
    ]
    found = list(outcomes(*(pair[::-1] if swapped else pair)))
    by_measure = {(each.measure, each.width_s): each.outcome for each in found}
    expected = LOWER if swapped else HIGHER
    assert by_measure[GAPS, None] == expected
    assert by_measure[LOCAL_GAPS, None] == expected
    assert by_measure[RATE, 60] == expected
    assert all(each.outcome != (HIGHER if swapped else LOWER) for each in found)
    assert all(each.decides for each in found)


def test_a_week_is_not_called_burstier_than_an_hour_for_its_nights() -> None:
    """Poisson arrivals that stop at night, against an hour of plain Poisson."""
    rng = np.random.default_rng(4)
    n = 72 * 7
    awake = (np.arange(n) % 72) >= 24
    week = sample_arrivals(np.arange(n) * 1200.0, np.ones(n), np.where(awake, 0.2, 0.001), 1200.0, rng)
    hour = np.cumsum(rng.exponential(1 / 0.5, 1800))
    found = list(outcomes(characterization_of(week), characterization_of(hour)))
    of_record = [each for each in found if each.scope == "whole record" and each.measure == RATE]
    assert any(each.outcome == HIGHER for each in of_record)
    assert not any(each.decides for each in of_record)
    fair = [each for each in found if each.decides]
    assert {each.measure for each in fair} == {LOCAL_GAPS, RATE}
    assert {each.scope for each in fair if each.measure == RATE} == {"inside stretches of 10 minutes"}
    assert all(each.outcome == CANNOT_TELL for each in fair)


def test_records_of_a_week_and_of_a_month_are_compared_as_wholes() -> None:
    """Both hold nights and weekends, though one is four times as long."""
    rng = np.random.default_rng(4)
    week, month = (np.cumsum(rng.exponential(60.0, days * 1440)) for days in (7, 28))
    inside = week[week < 7 * DAY_S - 100]
    found = list(outcomes(characterization_of(inside), characterization_of(month)))
    assert all(each.decides for each in found)
    assert {each.scope for each in found if each.measure == RATE} == {"whole record"}


def test_median_shape_leaves_out_windows_that_tell_none() -> None:
    rows = pl.DataFrame(
        {
            "shape": [0.5, 0.6, 0.7, 9.0, 9.0], "shape_raw": [0.4, 0.6, 0.8, 9.0, 9.0],
            "shape_low": [0.3, 0.4, 0.5, 8.0, 8.0], "shape_high": [0.7, 0.8, 0.9, 10.0, 10.0],
            "shrunk": [False, False, False, True, False], "resolution_limited": [False] * 5,
            "unfitted": [False] * 5, "not_gamma": [False, False, False, False, True],
        }
    )  # fmt: skip
    assert median_shape(rows) == (Interval(0.6, 0.3, 0.9), 3)
    assert median_shape(rows.with_columns(not_gamma=pl.lit(True))) == (None, 0)
    assert median_shape(rows.head(0)) == (None, 0)


def test_interval_of_the_median_shape_holds_it_95_times_of_100() -> None:
    rng = np.random.default_rng(6)
    n_covered = 0
    for _ in range(400):
        shape = np.exp(rng.normal(0, 0.5, 25))
        frame = pl.DataFrame({"shape_raw": shape, "shape": shape}).with_columns(
            pl.lit(False).alias(name) for name in ("shrunk", "resolution_limited", "unfitted", "not_gamma")
        )
        found, n = median_shape(frame)
        assert found is not None
        assert n == 25
        n_covered += found.low <= 1 <= found.high
    assert 0.93 < n_covered / 400 < 0.99


def characterization_of(times: np.ndarray, digits: int = 0) -> Characterization:
    """Arrivals and burstiness of a trace with these arrival times, stamped to so many decimal digits."""
    trace = trace_of(times, digits)
    arrivals = describe_arrivals(trace)
    parts = (describe_volume(trace), arrivals, describe_burstiness(trace, 0, arrivals))
    trace.engine.close()
    return Characterization(trace.info, 1200.0, parts)
