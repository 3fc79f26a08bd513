"""The constants of a step time come back from steps that have them, and from a server that has them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from msgspec import structs

from burstlens import BurstlensError
from burstlens.bench.server.step_fit import STEPS, fit_steps
from burstlens.bench.server.step_probe import ServerLimits, batches, crowds, probe
from burstlens.bench.settings import Settings, Target
from burstlens.bench.simulated.presets import StepCosts, load_preset, parse_preset
from tests.helpers import serving

PLANTED = load_preset("llama-2-13b-h200").latency
LONG_PREFILL = structs.replace(PLANTED, a_p_ms=12.0)
"""A step of prefill takes at least 12 ms, longer than one of decoding, so that a fit can find it."""
SLOW = {
    "model": "slow", "gpu": "none", "source": "made for a test",
    "latency": {"a_p_ms": 6, "b_ms": 0.1, "c_ms": 1e-5, "a_d_ms": 6, "d_us": 1.0, "e_us": 200},
    "kv_cache": {"num_blocks": 3000, "block_size": 16},
    "limits": {"max_num_seqs": 16, "max_num_batched_tokens": 1024, "max_model_len": 512},
}  # fmt: skip


@pytest.fixture(params=[False, True], ids=["step by step", "planned ahead"])
def ahead(request: pytest.FixtureRequest) -> bool:
    """Whether the server plans a step while the one before it runs."""
    return bool(request.param)


@pytest.fixture
def simulated_url(tmp_path: Path, ahead: bool) -> Iterator[str]:
    """A simulated server in a process of its own, as slow as shows through HTTP."""
    profile = tmp_path / "profile.json"
    profile.write_text(json.dumps(SLOW | {"async_scheduling": ahead}))
    with serving("--profile", profile, "--served-model", "slow") as url:
        yield url


def steps_of(latency: StepCosts, noise: float = 0.0) -> pl.DataFrame:
    rng, rows = np.random.default_rng(4), []
    for decoding in (1, 4, 16, 64, 200):
        for context in (16, 512, 2000):
            for prefill in (0, 0, 64, 512, 2048, 8000):
                kv_tokens = decoding * context
                step = latency.prefill_ms(prefill, prefill**2) if prefill else latency.a_d_ms
                step += (latency.d_us * kv_tokens + latency.e_us * decoding) / 1000
                noisy = step * (1 + noise * rng.standard_normal())
                rows.append((prefill, float(prefill**2), decoding, float(kv_tokens), noisy))
    return pl.DataFrame(rows, schema=STEPS, orient="row")


def test_planted_constants_come_back() -> None:
    for planted in (PLANTED, StepCosts(12.0, 0.05, 0.0, 8.0, 0.4, 0.0)):
        found = fit_steps(steps_of(planted))
        expected = structs.asdict(planted) | {"a_p_ms": max(planted.a_p_ms, planted.a_d_ms)}
        assert structs.asdict(found.latency) == pytest.approx(expected, rel=1e-6, abs=1e-9)
        assert found.p90 < 1e-9


@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_what_the_host_takes_for_a_short_prompt_is_told_from_what_its_tokens_take(noise: float) -> None:
    """As on an H100: the weights and the launches take 16 ms, the computation 0.04 ms a token."""
    planted = StepCosts(2.0, 0.0414, 5e-7, 11.1, 0.23, 39.0, h_ms=16.5)
    found = fit_steps(steps_of(planted, noise)).latency
    assert found.h_ms == pytest.approx(16.5, rel=1e-6 if not noise else 0.05)
    assert found.b_ms == pytest.approx(0.0414, rel=1e-6 if not noise else 0.1)
    # Where there is no such least time, none is made up.
    assert fit_steps(steps_of(LONG_PREFILL, noise)).latency.h_ms == 0


def test_noise_is_told_as_residuals_and_moves_the_steps_little() -> None:
    found = fit_steps(steps_of(PLANTED, noise=0.05))
    exact = fit_steps(steps_of(PLANTED)).steps["fitted_ms"]
    assert 0.02 < found.p50 < 0.05
    assert abs(found.bias) < 0.02
    assert ((found.steps["fitted_ms"] / exact - 1).abs() < 0.05).all()


def test_a_prompts_step_that_is_shorter_than_decoding_alone_is_left_out() -> None:
    steps = steps_of(LONG_PREFILL)
    rows = [(64, 4096.0, 4, 2048.0, 1.5), (127, 16129.0, 16, 8192.0, 2.0)]
    found = fit_steps(pl.concat([steps, pl.DataFrame(rows, schema=STEPS, orient="row")]))
    assert found.left_out == 2
    assert structs.asdict(found.latency) == pytest.approx(structs.asdict(LONG_PREFILL), rel=1e-6)


def test_steps_of_one_kind_fit_nothing() -> None:
    steps = steps_of(PLANTED)
    for few in (steps.head(4), steps.filter(pl.col("prefill_tokens") == 0)):
        with pytest.raises(BurstlensError, match="with prefill"):
            fit_steps(few)


def test_what_is_asked_of_a_server_fits_into_it() -> None:
    limits = ServerLimits(max_num_seqs=64, max_num_batched_tokens=2048, max_model_len=4096, kv_tokens=40_000)
    assert max(count for count, _ in batches(limits)) == 64
    assert all(count * context < limits.kv_tokens for count, context in batches(limits))
    for count, n in crowds(limits, 8):
        assert count * n + 8 <= 2048
        assert count + 8 <= 64
    assert {count for count, _ in crowds(limits, 8)} == {1, 4, 8}


@pytest.mark.slow
def test_the_constants_of_a_simulated_server_come_back_over_http(simulated_url: str, ahead: bool) -> None:
    """By the shapes of its answers alone, as those of a real server would."""
    probed = probe(Target(simulated_url, "slow"), ServerLimits(16, 1024, 512, 40_000), Settings(), rounds=1)
    found, exact = fit_steps(probed.steps), parse_preset("slow", SLOW).latency
    assert probed.async_scheduling == ahead
    # Constants trade with each other; what they say of a step does not.
    for prefill, decoding, context in ((0, 1, 100), (0, 16, 4000), (500, 4, 400), (100, 1, 20)):
        least = max(exact.a_d_ms, exact.a_p_ms if prefill else 0)
        planted = least + exact.b_ms * prefill + exact.c_ms * prefill**2
        planted += (exact.d_us * context + exact.e_us * decoding) / 1000
        of = found.latency
        fitted = (of.a_p_ms if prefill else of.a_d_ms) + of.b_ms * prefill + of.c_ms * prefill**2
        fitted += (of.d_us * context + of.e_us * decoding) / 1000
        assert fitted == pytest.approx(planted, rel=0.25)
    assert probed.alone_ms["first_ms"].min() > exact.a_d_ms
