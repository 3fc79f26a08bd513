"""A forecast as load: the parameter file is valid, and what is drawn from it has the forecast's rates."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from burstlens.analysis.characterize import Characterization, characterize
from burstlens.analysis.forecast.parameters import METHOD, forecast_parameters
from burstlens.analysis.forecast.part import Forecasts, describe_forecast
from burstlens.analysis.interchange.parameters import validate
from burstlens.analysis.synthetic.trace import open_synthetic
from burstlens.analysis.traffic.arrivals import Arrivals
from burstlens.bench.workload.from_parameters import from_parameters

pytest.importorskip("xgboost", reason="xgboost is not installed: pip install 'burstlens[forecast]'")


@pytest.fixture(scope="module")
def forecast() -> tuple[Forecasts, Characterization]:
    """Four synthetic days, of which the last ones are forecast."""
    trace = open_synthetic(days=4, seed=5)
    return describe_forecast(trace, service="conversation", bins_s=[600.0]), characterize(trace)


@pytest.mark.slow
def test_windows_are_the_held_out_bins_with_the_rates_forecast(
    forecast: tuple[Forecasts, Characterization],
) -> None:
    part, characterization = forecast
    content = forecast_parameters(part, characterization)
    validate(content, "the forecast")
    assert content["window_s"] == 600.0
    assert content["source"]["synthetic"]
    (one,) = content["selections"]
    counts = part.forecasts.filter(pl.col("target") == "requests", pl.col("method") == METHOD)
    windows = one["arrivals"]["windows"]
    assert [w["start_s"] for w in windows] == counts["start_s"].to_list()
    np.testing.assert_allclose([w["rate_rps"] * 600.0 for w in windows], counts["forecast"])
    assert one["selection"]["start_s"] == 3 * 86_400.0
    fitted = characterization.part(Arrivals).windows.filter(
        pl.col("selection") == "conversation", pl.col("start_s") + 1200 <= 3 * 86_400.0
    )
    noon = fitted.filter((pl.col("start_s") // 3600) % 24 == 12, pl.col("shape").is_finite())["shape"]
    at_noon = next(w for w in windows if w["start_s"] == (3 * 24 + 12) * 3600.0)
    assert at_noon["shape"] == pytest.approx(noon.median())
    assert at_noon["rate"] * at_noon["scale"] == pytest.approx(1.0)
    assert at_noon["shape"] * at_noon["scale"] == pytest.approx(1 / at_noon["rate_rps"])


def test_load_drawn_from_it_has_the_forecast_s_rates(forecast: tuple[Forecasts, Characterization]) -> None:
    part, characterization = forecast
    content = forecast_parameters(part, characterization)
    windows = content["selections"][0]["arrivals"]["windows"]
    expected = np.array([w["rate_rps"] for w in windows]) * 600.0
    drawn = [from_parameters(content, seed=seed) for seed in range(20)]
    per_window = np.zeros(len(expected))
    for load in drawn:
        at = (load.requests["at_s"].to_numpy() // 600.0).astype(int)
        per_window += np.bincount(at, minlength=len(expected))[: len(expected)]
    # A renewal process of this shape counts about mean / shape in variance.
    shape = np.array([w["shape"] for w in windows])
    error = np.sqrt(20 * expected / shape + 1)
    assert np.mean(np.abs(per_window - 20 * expected) < 4 * error) > 0.97
    assert per_window.sum() == pytest.approx(20 * expected.sum(), rel=0.05)
    assert drawn[0].requests["response_tokens"].min() >= 1
