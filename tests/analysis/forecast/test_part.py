"""Forecasts: metrics by hand, planted patterns found, noise not, no look-ahead, the real week's numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

from burstlens.analysis.core.errors import BurstlensError
from burstlens.analysis.core.units import DAY_S, HOUR_S
from burstlens.analysis.forecast.models import forecasters
from burstlens.analysis.forecast.part import Forecasts, describe_forecast, selections_of
from burstlens.analysis.forecast.scores import COVERAGE, calibrate_band, coverage, errors, pinball, skill
from burstlens.analysis.forecast.series import FEATURES, load_series
from burstlens.analysis.forecast.tables import ROLLING
from burstlens.analysis.trace.trace import Trace
from tests.analysis.conftest import MakeTrace

pytest.importorskip("xgboost", reason="xgboost is not installed: pip install 'burstlens[forecast]'")


def arrivals(mean_per_bin: np.ndarray, bin_s: float, rng: np.random.Generator) -> np.ndarray:
    """Stamps of Poisson counts with these means."""
    n = rng.poisson(mean_per_bin)
    start = np.repeat(np.arange(len(n)) * bin_s, n)
    return np.sort(np.floor(start + rng.uniform(0, bin_s, len(start))))


def test_errors_by_hand() -> None:
    scores = errors(np.array([1.0, 2.0, 3.0, 6.0]), np.array([2.0, 2.0, 2.0, 4.0]))
    assert scores["mae"] == pytest.approx(1.0)
    assert scores["nmae"] == pytest.approx(1 / 3)
    # Squares of the misses 1, 0, 1, 4; the variance is 3.5, the mean square 12.5.
    assert scores["nmse_variance"] == pytest.approx(1.5 / 3.5)
    assert scores["nmse_mean_square"] == pytest.approx(1.5 / 12.5)


def test_pinball_and_coverage_by_hand() -> None:
    seen = np.array([10.0, 10.0])
    low, middle, high = np.array([8.0, 12.0]), np.array([10.0, 14.0]), np.array([12.0, 20.0])
    # Low: 0.05·2 and 0.95·2; middle: 0 and 0.5·4; high: 0.05·2 and 0.05·10.
    loss = np.mean([np.mean([0.1, 1.9]), np.mean([0.0, 2.0]), np.mean([0.1, 0.5])])
    assert pinball(seen, (low, middle, high)) == pytest.approx(loss / 10)
    assert coverage(seen, low, high) == 0.5


def test_skill_of_half_the_error_is_a_half() -> None:
    seen = np.arange(100.0)
    of = skill(np.random.default_rng(0), np.arange(100) // 10, seen, seen + 1, seen + 2)
    assert (of.value, of.low, of.high) == pytest.approx((0.5, 0.5, 0.5))


@pytest.mark.parametrize("point", [True, False])
def test_conformal_bands_of_alike_bins_cover_what_they_say(point: bool) -> None:
    rng = np.random.default_rng(1)
    coverages = []
    for _ in range(200):
        seen, new = rng.gamma(4.0, 25.0, size=(2, 400))
        ends = (100.0, 100.0) if point else (60.0, 130.0)
        low, high = (np.full(400, end) for end in ends)
        band = calibrate_band(seen, low, high, low, high)
        assert band is not None
        coverages.append(coverage(new, *band))
    assert np.mean(coverages) == pytest.approx(COVERAGE, abs=0.01)


def test_too_few_bins_calibrate_no_band() -> None:
    few = np.ones(8)
    assert calibrate_band(few, few, few, few, few) is None


@pytest.fixture(scope="module")
def planted(make_trace: MakeTrace) -> Forecasts:
    """Ten days of a daily pattern with Poisson noise, forecast by the hour of a quarter."""
    rng = np.random.default_rng(2)
    bins = np.arange(10 * 96)
    mean = 60 * (1 + 0.9 * np.sin(2 * np.pi * bins / 96))
    return describe_forecast(make_trace(arrivals(mean, 900.0, rng)), bins_s=[900.0])


@pytest.mark.slow
def test_a_planted_daily_pattern_is_forecast_near_its_noise_floor(planted: Forecasts) -> None:
    """No forecast of a Poisson count does better than about √(2 / (π · mean)), here averaged over the day."""
    mean = 60 * (1 + 0.9 * np.sin(2 * np.pi * np.arange(96) / 96))
    floor = float(np.mean(np.sqrt(2 * mean / np.pi)) / mean.mean())
    row = planted.score("all", "requests", 900.0, "autoregression", ROLLING)
    assert floor * 0.9 < row["nmae"] < floor * 1.15
    trees = planted.score("all", "requests", 900.0, "xgboost_poisson", ROLLING)
    assert trees["nmae"] < floor * 1.3
    verdict = planted.verdicts.filter(pl.col("target") == "requests").row(0, named=True)
    assert verdict["forecastable"]
    assert verdict["skill_low"] > 0
    assert any("forecasts better than the best naive" in text for text in planted.sentences())


def test_bands_of_the_planted_pattern_cover_about_what_they_say(planted: Forecasts) -> None:
    row = planted.score("all", "requests", 900.0, "xgboost_quantile", ROLLING)
    assert COVERAGE - 0.07 < row["coverage"] < 0.98
    assert row["pinball"] < planted.score("all", "requests", 900.0, "constant", ROLLING)["pinball"]


@pytest.mark.slow
def test_white_noise_has_no_skill(make_trace: MakeTrace) -> None:
    trace = make_trace(arrivals(np.full(6 * 96, 20.0), 900.0, np.random.default_rng(3)))
    part = describe_forecast(trace, bins_s=[900.0])
    verdict = part.verdicts.filter(pl.col("target") == "requests").row(0, named=True)
    assert not verdict["forecastable"]
    assert any("cannot be forecast" in text for text in part.sentences())


def test_the_future_changes_neither_features_nor_forecasts_of_the_past(make_trace: MakeTrace) -> None:
    rng = np.random.default_rng(4)
    mean = 10 * (1 + np.sin(2 * np.pi * np.arange(4 * 144) / 144) ** 2)
    stamps = arrivals(mean, 600.0, rng)
    now_s = 3 * DAY_S
    past, future = stamps[stamps < now_s], stamps[stamps >= now_s]
    other = np.sort(np.floor(rng.uniform(now_s, future[-1], len(future) * 3)))
    other[-1] = future[-1]

    def features_and_forecasts(arrival_s: np.ndarray) -> tuple[pl.DataFrame, dict[str, np.ndarray]]:
        n = len(arrival_s)
        tokens = np.r_[np.arange(len(past)) % 90 + 1, rng.integers(1, 900, n - len(past))]
        trace = make_trace(arrival_s, request_tokens=tokens)
        series = load_series(trace, trace.selections[0], 600.0)
        features = pl.concat([one.rows.with_columns(target=pl.lit(name)) for name, one in series.items()])
        known = {name: one.between(0, 2 * DAY_S) for name, one in series.items()}
        ahead = {name: one.between(2 * DAY_S, now_s) for name, one in series.items()}
        return (
            features.filter(pl.col("start_s") < now_s).drop("value"),
            {
                f"{method.name} {name}": fitted(ahead[name])
                for method in forecasters()
                for name in series
                if (fitted := method.fit(known[name])) is not None
            },
        )

    (features, forecasts), (same, again) = (
        features_and_forecasts(stamps),
        features_and_forecasts(np.r_[past, other]),
    )
    assert features.equals(same)
    assert forecasts.keys() == again.keys()
    assert len(forecasts) == 3 * 8
    for name, forecast in forecasts.items():
        np.testing.assert_array_equal(forecast, again[name], err_msg=name)


def test_features_are_what_their_names_say(make_trace: MakeTrace) -> None:
    """Bins of a minute with 1, 2, 3, … requests, from Wednesday at midnight."""
    n = np.arange(1, 101)
    trace = make_trace(np.repeat(np.arange(100) * 60.0, n), request_tokens=np.repeat(n, n))
    rows = load_series(trace, trace.selections[0], 60.0)["requests"].rows
    row = rows.filter(pl.col("start_s") == 80 * 60.0).row(0, named=True)
    assert row["value"] == 81
    assert [row[f"lag_{i}"] for i in (1, 2, 3)] == [80, 79, 78]
    assert row["mean_short"] == pytest.approx(np.mean(n[70:80]))
    assert row["variance_middle"] == pytest.approx(np.var(n[50:80]))
    assert row["mean_long"] == pytest.approx(np.mean(n[20:80]))
    assert (row["hour"], row["weekday"]) == (1, 2)
    tokens = load_series(trace, trace.selections[0], 60.0)["request_tokens"].rows
    assert tokens.filter(pl.col("start_s") == 80 * 60.0)["lag_1"][0] == 80
    load = load_series(trace, trace.selections[0], 60.0)["token_load"].rows
    assert load.filter(pl.col("start_s") == 80 * 60.0)["lag_1"][0] == 80 * (80 + 20)


def test_a_horizon_keeps_newer_values_out(make_trace: MakeTrace) -> None:
    n = np.arange(1, 101)
    trace = make_trace(np.repeat(np.arange(100) * 60.0, n))
    rows = load_series(trace, trace.selections[0], 60.0, horizon_s=600.0)["requests"].rows
    row = rows.filter(pl.col("start_s") == 80 * 60.0).row(0, named=True)
    assert row["lag_1"] == 71
    assert row["mean_short"] == pytest.approx(np.mean(n[61:71]))


def test_no_feature_reaches_over_a_hole(make_trace: MakeTrace) -> None:
    week = np.arange(0, 2 * DAY_S, 30.0)
    trace = make_trace(np.r_[week, week + 30 * DAY_S])
    rows = load_series(trace, trace.selections[0], 600.0)["requests"].rows
    assert rows["segment_id"].n_unique() == 2
    later = rows.filter(pl.col("start_s") >= 30 * DAY_S)
    assert later["start_s"][0] == 30 * DAY_S + 3 * 600
    assert later["day_ago"][0] is None
    assert set(FEATURES) <= set(rows.columns)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"bins_s": [10 * DAY_S]}, "no complete bin of 10d"),
        ({"bins_s": [6 * HOUR_S]}, "bins of 6h"),
        ({"service": "chat"}, "no service or model 'chat'; it has: conversation"),
        ({"bins_s": [0.5]}, "shorter than a tick of the clock"),
    ],
)
def test_what_cannot_be_forecast_is_one_clear_line(
    make_trace: MakeTrace, options: dict[str, Any], words: str
) -> None:
    trace = make_trace(np.arange(0, 2 * DAY_S, 60.0))
    with pytest.raises(BurstlensError, match=words) as error:
        describe_forecast(trace, **options)
    assert "\n" not in str(error.value)


@pytest.mark.slow
def test_the_real_week_is_forecast_as_well_as_the_paper_has_it(week_forecast: Forecasts) -> None:
    """Five days against two, the paper's features and model: the paper has 0.66 and 0.32 on its own days."""
    part = week_forecast
    minute = part.score("conversation", "requests", 60.0, "xgboost_squared")
    ten = part.score("conversation", "requests", 600.0, "xgboost_squared")
    assert minute["nmae"] <= 0.54
    assert ten["nmae"] <= 0.30
    assert part.score("conversation", "requests", 60.0, "last_value")["nmae"] == pytest.approx(0.64, abs=0.01)
    assert part.score("conversation", "requests", 600.0, "last_value")["nmae"] == pytest.approx(
        0.31, abs=0.01
    )
    assert minute["skill_low"] > 0
    cuts = part.cuts.filter(pl.col("split") == "five sevenths")
    assert cuts["origin_s"].to_list() == [5 * DAY_S] * 2


def test_the_api_side_of_the_real_week_cannot_be_forecast(week_forecast: Forecasts) -> None:
    api = week_forecast.verdicts.filter(pl.col("service") == "api")
    assert api.height
    assert not api["forecastable"].any()
    assert any(text.startswith("API") and "cannot be forecast" in text for text in week_forecast.sentences())


def test_a_model_of_a_service_is_forecast_by_itself(week: Trace) -> None:
    assert [s.label for s in selections_of(week, "conversation", "GPT-4")] == ["conversation · GPT-4"]
    both = {"api · ChatGPT", "conversation · ChatGPT"}
    assert {s.label for s in selections_of(week, None, "ChatGPT")} == both
    assert [s.label for s in selections_of(week, None, None)] == ["conversation", "api"]
