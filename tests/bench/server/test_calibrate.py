"""Calibration on endpoints whose KV-cache use is a known function of the rate."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burstlens.analysis.characterize import Characterization
from burstlens.analysis.core.errors import BurstlensError
from burstlens.analysis.interchange.parameters import parameters
from burstlens.analysis.stats.renewal import sample_arrivals
from burstlens.bench.record.models import SERVER_SCHEMA
from burstlens.bench.server.calibrate import calibrate, plateau, scaled
from burstlens.bench.simulated.presets import load_preset
from burstlens.bench.simulated.virtual import simulate_frame
from burstlens.bench.workload.table import SCHEMA, Workload


def evenly(scale: float) -> Workload:
    """Ten requests, a second apart at scale 1."""
    columns = {"request_id": np.arange(11), "at_s": np.arange(11) / scale}
    rest = (pl.lit(None, dtype=kind).alias(name) for name, kind in SCHEMA.items() if name not in columns)
    return Workload(pl.DataFrame(columns).with_columns(*rest), "evenly", True)


def linear(rate: float) -> float:
    """Little's law until the cache is full."""
    return min(0.03 * rate, 1.0)


def saturating(rate: float) -> float:
    return rate / (rate + 8)


def cliff(rate: float) -> float:
    """A queue that grows without end beyond what the server bears."""
    return 0.02 * rate if rate < 9.5 else 0.98


@pytest.mark.parametrize("endpoint", [linear, saturating])
@pytest.mark.parametrize("target", [0.05, 0.35, 0.9])
def test_the_scale_is_found_in_few_trials(endpoint: Callable[[float], float], target: float) -> None:
    found = calibrate(target, evenly, lambda load: endpoint(load.rate_rps))
    assert found.reached
    assert found.trials.height <= 7
    assert endpoint(evenly(found.scale).rate_rps) == pytest.approx(target, abs=0.02)
    assert str(found).startswith("KV-cache use ")
    assert found.trials["scale"][0] == 1


@settings(max_examples=40)
@given(st.integers(0, 2**31), st.sampled_from([linear, saturating]), st.floats(0.1, 0.8), st.floats(1, 20))
def test_noise_does_not_lead_astray(seed: int, endpoint: Any, target: float, start: float) -> None:
    rng = np.random.default_rng(seed)
    noisy = 0.04

    def measure(load: Workload) -> float:
        return float(np.clip(endpoint(load.rate_rps) * (1 + noisy * rng.standard_normal()), 0, 1))

    found = calibrate(target, lambda scale: evenly(start * scale), measure)
    assert found.trials.height <= 12
    assert endpoint(evenly(start * found.scale).rate_rps) == pytest.approx(
        target, abs=0.02 + 4 * noisy * target
    )


def test_one_wrong_measurement_does_not_hide_the_scale() -> None:
    wrong = iter([0.9])

    def measure(load: Workload) -> float:
        # The second trial, below the wanted use in truth, is told to be far above it.
        return linear(load.rate_rps) if load.rate_rps < 2 else next(wrong, linear(load.rate_rps))

    found = calibrate(0.5, evenly, measure, max_trials=16)
    assert found.reached
    assert linear(evenly(found.scale).rate_rps) == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize(
    ("endpoint", "why"),
    [
        (lambda rate: min(0.03 * rate, 0.2), "does not use more of it than 20 %"),
        (lambda rate: 1e-6 * rate, "even at 4,096 times the rate it is less"),
        (lambda rate: 0.7 + 0.001 * rate, "even at a 4,096th of the rate it is more"),
        (cliff, "to 98 % between scales"),
    ],
)
def test_what_cannot_be_reached_is_told(endpoint: Callable[[float], float], why: str) -> None:
    found = calibrate(0.5, evenly, lambda load: endpoint(load.rate_rps), max_trials=20)
    assert not found.reached
    assert str(found).startswith("50 % not reached: ")
    assert why in str(found)


def test_an_endpoint_that_tells_nothing_is_no_endpoint_to_calibrate() -> None:
    with pytest.raises(BurstlensError, match="needs its /metrics"):
        calibrate(0.3, evenly, lambda _load: math.nan)


@pytest.mark.parametrize("kv", [0.0, 1.0, 35.0, -0.1])
def test_use_is_a_share(kv: float) -> None:
    with pytest.raises(BurstlensError, match="between 0 and 1"):
        calibrate(kv, evenly, lambda _load: 0.5)


def test_the_simulated_engine_is_calibrated() -> None:
    preset = load_preset("llama-2-13b-a100")

    def workload_at(scale: float) -> Workload:
        """A quarter of an hour of bursty requests for 300 tokens each, as many again in front."""
        at = sample_arrivals([0.0], [0.3], [scale], 900.0, np.random.default_rng(1))
        load = {"request_id": np.arange(len(at)), "at_s": at, "request_tokens": 300, "response_tokens": 300}
        rest = (pl.lit(None, dtype=kind).alias(name) for name, kind in SCHEMA.items() if name not in load)
        return Workload(pl.DataFrame(load).with_columns(*rest).cast(SCHEMA), "bursty", True)  # type: ignore[arg-type]

    def measure(load: Workload) -> float:
        return plateau(simulate_frame(load, preset)[1], load.span_s)

    found = calibrate(0.35, workload_at, measure)
    assert found.reached
    assert measure(workload_at(found.scale)) == pytest.approx(0.35, abs=0.02)


def test_the_plateau_leaves_out_warm_up_and_the_end() -> None:
    rows = [{"at_s": float(t), "kv_cache_use": 0.4 if 20 <= t <= 100 else 0.0} for t in range(150)]
    server = pl.DataFrame(rows, schema=SERVER_SCHEMA)
    assert plateau(server, 100.0) == pytest.approx(0.4)
    assert math.isnan(plateau(server.clear(), 100.0))


@pytest.fixture(scope="module")
def fitted(synthetic_characterization: Callable[..., Characterization]) -> dict[str, Any]:
    return parameters(synthetic_characterization(2, 5, 3600.0))


@pytest.mark.slow
def test_scaled_parameters_are_a_parameter_file_of_the_same_shapes(fitted: dict[str, Any]) -> None:
    once = scaled(fitted, 2.5)
    for before, after in zip(fitted["selections"], once["selections"], strict=True):
        assert after["lengths"] == before["lengths"]
        rows = zip(before["arrivals"]["windows"], after["arrivals"]["windows"], strict=True)
        for old, new in [*rows, (before["arrivals"]["overall"], after["arrivals"]["overall"])]:
            assert new["rate_rps"] == pytest.approx(2.5 * old["rate_rps"])
            assert (new["shape"], new["cv"]) == (old["shape"], old["cv"])
            if old["shape"] is not None:
                assert new["rate"] * new["scale"] == pytest.approx(1)
                assert new["shape"] * new["scale"] == pytest.approx(old["shape"] * old["scale"] / 2.5)
    assert "rates multiplied by 2.5" in once["estimator"]


@pytest.mark.parametrize("factor", [0.0, -1.0, math.inf, math.nan])
def test_a_rate_is_scaled_by_a_number_above_zero(fitted: dict[str, Any], factor: float) -> None:
    with pytest.raises(BurstlensError, match="above 0"):
        scaled(fitted, factor)
