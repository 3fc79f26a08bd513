"""Goodput by bisection against a plain count, requests that are alone, and bounds that cannot be met."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from burstlens.analysis.core.errors import BurstlensError
from burstlens.bench.provisioning.goodput import (
    SHARE,
    TOLERANCE,
    ScalableLoad,
    Serving,
    course,
    goodput,
    guess,
    keeps,
)
from burstlens.bench.simulated.disaggregation import Transfer
from burstlens.bench.simulated.presets import load_preset
from burstlens.bench.workload.turnover import SPAN_S, TURN_S, turnover
from tests.bench.simulated.loads import bursty, workload

PRESET = load_preset("llama-2-13b-a100")
SERVING = Serving.of(PRESET, total=4)


@pytest.fixture(scope="module")
def load() -> ScalableLoad:
    return ScalableLoad.of(bursty(1500, 1.0, seed=5), PRESET)


def test_goodput_is_where_the_count_turns(load: ScalableLoad) -> None:
    turns = ((0.0, 2),)
    found = goodput(load, SERVING, turns, guess(load, SERVING))
    assert found > 0
    for rate, meets_bounds in ((found, True), (found * 1.1, False), (found * 1.5, False)):
        good = course(load, SERVING, turns, rate)
        assert bool(good.mean() >= SHARE) is meets_bounds
        assert keeps(load, SERVING, turns, rate) is meets_bounds


@pytest.mark.slow
def test_the_first_guess_does_not_matter_beyond_the_tolerance(load: ScalableLoad) -> None:
    turns = ((0.0, 1), (700.0, 3))
    found = [goodput(load, SERVING, turns, rate) for rate in (0.01, 3.0, 500.0)]
    assert max(found) <= min(found) * (1 + TOLERANCE) ** 2


@pytest.mark.slow
def test_more_instances_and_looser_bounds_serve_more(load: ScalableLoad) -> None:
    few, many = (goodput(load, Serving.of(PRESET, total=n), ((0.0, n // 2),), 5.0) for n in (2, 6))
    assert many > 2 * few
    strict = Serving.of(PRESET, total=4, ttft_s=0.4)
    assert goodput(load, strict, ((0.0, 2),), 5.0) <= goodput(load, SERVING, ((0.0, 2),), 5.0)


@pytest.mark.parametrize("name", [PRESET.name, "llama-2-13b-h100-vllm"])
def test_requests_alone_take_what_the_simulation_takes(name: str) -> None:
    """Also where a short prompt takes as long as its weights are read, in its last chunk too."""
    preset = load_preset(name).limited(max_num_batched_tokens=1024)
    lone = workload([0.0, 1e6, 2e6], [10, 2060, 900], [1, 2, 400])
    load = ScalableLoad.of(lone, preset)
    serving = Serving.of(preset, total=2, transfer=Transfer(5.0, 0.01))
    ttft, tpot = serving.alone(load)
    for i in range(3):
        for bound, took in (("ttft_s", ttft[i]), ("tpot_s", tpot[i])):
            for factor, good in ((1 + 1e-6, 1.0), (1 - 1e-6, 0.0)):
                bounds = {"ttft_s": 1e9, "tpot_s": 1e9, bound: max(took * factor, 1e-9)}
                found = course(load, replace(serving, **bounds), ((0.0, 1),), load.rate_rps)
                assert found[i] == good or took == 0


def test_bounds_that_nobody_can_meet_name_the_bound_and_what_would_work(load: ScalableLoad) -> None:
    for bound, words in (
        ("ttft_s", "slo_ttft_s: no ratio can meet 0.01 s"),
        ("tpot_s", "slo_tpot_s: no ratio can meet 0.01 s"),
    ):
        with pytest.raises(BurstlensError, match=words) as raised:
            replace(SERVING, **{bound: 0.01}).check(load)
        needed = float(str(raised.value).split("more than ")[1].split(" s")[0])
        replace(SERVING, **{bound: needed}).check(load)


def test_requests_that_the_model_cannot_take_are_never_good() -> None:
    n = 100
    into = [100] * (n - 5) + [5000] * 5
    load = ScalableLoad.of(workload(np.arange(n, dtype=float).tolist(), into, [10] * n), PRESET)
    assert (load.requests, load.refused, len(load.at_s)) == (100, 5, 95)
    assert keeps(load, SERVING, ((0.0, 2),), 0.5)
    with pytest.raises(BurstlensError, match="30 of 100 prompts have 4,096 tokens or more"):
        ScalableLoad.of(
            workload(np.arange(n, dtype=float).tolist(), [100] * 70 + [5000] * 30, [10] * n), PRESET
        )
    with pytest.raises(BurstlensError, match="one instant"):
        ScalableLoad.of(workload([0.0, 0.0], [5, 5], [5, 5]), PRESET)
    with pytest.raises(BurstlensError, match="no requests"):
        ScalableLoad.of(workload([], [], []), PRESET)


def test_requests_of_one_instant_that_are_too_many_have_no_goodput() -> None:
    at = [0.0] * 5000 + [1.0]
    load = ScalableLoad.of(workload(at, [1500] * 5001, [2] * 5001), PRESET)
    assert goodput(load, SERVING, ((0.0, 2),), 10.0) == 0.0


def test_too_few_requests_to_be_too_many_have_no_end_of_goodput() -> None:
    load = ScalableLoad.of(workload([0.0, 60.0, 120.0], [50] * 3, [2] * 3), PRESET)
    with pytest.raises(BurstlensError, match="its 3 requests meet the bounds even if all arrive at once"):
        goodput(load, SERVING, ((0.0, 2),), 1.0)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"total": 1}, "total: 1 is too few instances"),
        ({"ttft_s": 0.0}, "slo_ttft_s: 0 is not above 0"),
        ({"transfer": Transfer(0.0)}, "bandwidth_gbps: 0 is not above 0"),
        ({"launch_s": -1.0}, "launch_s: -1 is not 0 or more"),
    ],
)
def test_what_cannot_serve_is_told(options: dict[str, object], words: str) -> None:
    with pytest.raises(BurstlensError, match=words):
        Serving.of(PRESET, **options)
    with pytest.raises(BurstlensError, match="give bytes_per_token"):
        Serving.of(replace(PRESET, bytes_per_token=None))


def test_the_turnover_is_what_it_says() -> None:
    load = turnover(3000, seed=2)
    assert load.synthetic
    assert load.requests.equals(turnover(3000, seed=2).requests)
    early, late = (
        load.requests.filter(load.requests["at_s"] < TURN_S),
        load.requests.filter(load.requests["at_s"] >= TURN_S),
    )
    assert early["request_tokens"].median() < early["response_tokens"].median()
    assert late["request_tokens"].median() > 20 * late["response_tokens"].median()
    assert 0 <= load.requests["at_s"].min() < load.span_s < SPAN_S
