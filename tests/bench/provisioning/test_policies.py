"""Searches against trying everything, and the steps of a whole search on a small load."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from burstlens.analysis.core.errors import BurstlensError
from burstlens.bench.processes.parallel import each
from burstlens.bench.provisioning import policies as ratios
from burstlens.bench.provisioning import search as steps
from burstlens.bench.provisioning.goodput import ScalableLoad, Serving, Turns, course, goodput
from burstlens.bench.provisioning.result import Policy
from burstlens.bench.provisioning.state import PLAN, RESULT, Origin, RatioFrom, SearchState, read_state
from burstlens.bench.provisioning.tasks import SearchSpec
from burstlens.bench.simulated.presets import load_preset
from burstlens.bench.workload.turnover import SPAN_S, turnover

PRESET = load_preset("llama-2-13b-a100")
SERVING = Serving.of(PRESET, total=4, launch_s=5.0)


@pytest.fixture(scope="module")
def load() -> ScalableLoad:
    return ScalableLoad.of(turnover(1200, seed=4), PRESET, SPAN_S)


def beam(
    load: ScalableLoad, rate: float, begins: list[float], width: int, *sequences: Turns
) -> tuple[int, Turns]:
    found = ratios.beam(load, SERVING, rate, begins, width, known=sequences)
    assert found is not None
    return found


def lost(load: ScalableLoad, turns: Turns, rate: float) -> int:
    return load.requests - int(course(load, SERVING, turns, rate).sum())


@pytest.mark.slow
@pytest.mark.parametrize("rate", [9.0, 12.0])
def test_a_wide_beam_is_exhaustive_search_and_a_narrow_one_is_near(load: ScalableLoad, rate: float) -> None:
    begins = ratios.windows(load.span_s, SPAN_S / 4)
    every = product(SERVING.ratios, repeat=len(begins))
    least = min(lost(load, ratios.turns_of(path, begins), rate) for path in every)
    wide, turns = beam(load, rate, begins, 3**4)
    assert wide == least == lost(load, turns, rate)
    narrow, turns = beam(load, rate, begins, 6)
    assert narrow == lost(load, turns, rate)
    assert least <= narrow <= least + 0.02 * load.requests


@pytest.mark.slow
@pytest.mark.parametrize("rate", [11.0, 12.0, 14.0])
def test_the_beam_never_ends_below_the_sequences_that_it_is_given(load: ScalableLoad, rate: float) -> None:
    begins = ratios.windows(load.span_s, SPAN_S / 24)
    sequences = [ratios.fixed(2), ratios.switch(1, begins[12], 3), ratios.switch(1, begins[12], 2)]
    losses = [lost(load, turns, rate) for turns in sequences]
    alone, _ = beam(load, rate, begins, 1)
    assert alone > min(losses)
    departed, turns = beam(load, rate, begins, 1, *sequences)
    assert departed == lost(load, turns, rate) <= min(losses)


@pytest.mark.parametrize(
    "turns", [((0.0, 2),), ((0.0, 1), (7200.0, 3)), ((0.0, 1), (3600.0, 2), (7200.0, 1))]
)
def test_turns_at_begins_of_windows_are_a_ratio_a_window(turns: Turns) -> None:
    begins = [0.0, 3600.0, 7200.0, 10_800.0]
    path = ratios.path_of(turns, begins)
    assert len(path) == len(begins)
    assert ratios.turns_of(path, begins) == turns


@pytest.mark.slow
def test_switches_are_all_tried(load: ScalableLoad) -> None:
    moments = [SPAN_S * i / 4 for i in (1, 2, 3)]
    for before in SERVING.ratios:
        tried = [
            (lost(load, ratios.switch(before, t, after), 12.0), t, after)
            for t in moments
            for after in SERVING.ratios
            if after != before
        ]
        assert ratios.switches(load, SERVING, 12.0, before, moments)[0] == min(tried)


def test_windows_cover_the_load(load: ScalableLoad) -> None:
    assert ratios.windows(load.span_s, SPAN_S / 3) == [0.0, SPAN_S / 3, 2 * SPAN_S / 3]
    assert len(ratios.windows(load.span_s, 5 * 3600.0)) == 3
    with pytest.raises(BurstlensError, match=r"window_s: 43,200 s is as long as the load.*at most 21,600 s"):
        ratios.windows(load.span_s, SPAN_S)


@pytest.fixture(scope="module")
def found(load: ScalableLoad, tmp_path_factory: pytest.TempPathFactory) -> tuple[SearchState, Path]:
    out = tmp_path_factory.mktemp("pd")
    other = ScalableLoad.of(turnover(1200, seed=5), PRESET, SPAN_S)
    spec = SearchSpec((load, other), other, SERVING, SPAN_S / 6, 4, seeds=(4, 5))
    return steps.search_ratios(spec, Origin(), out), out


@pytest.mark.slow
def test_a_whole_search_says_what_each_step_gave(found: tuple[SearchState, Path], load: ScalableLoad) -> None:
    content, out = found
    assert content.finished
    assert json.loads((out / RESULT).read_text()) == content.as_dict()
    assert read_state(out) == content
    assert [row.ratio for row in content.fixed] == ["1:3", "2:2", "3:1"]
    prefill, rate = steps.best_fixed(content)
    assert rate > 0
    assert content.switch is not None
    moment = content.switch.at_s
    assert moment in ratios.windows(load.span_s, SPAN_S / 6)
    assert SPAN_S / 4 < moment < 3 * SPAN_S / 4
    turns = tuple((row.at_s, row.prefill) for row in content.switch.turns)
    assert goodput(load, SERVING, turns, rate) == pytest.approx(content.switch.goodput_rps[0], rel=0.05)
    assert content.sequences["provisioned"].goodput_rps[1] == pytest.approx(
        content.sequences["provisioned"].expected_rps, rel=0.05
    )
    plan = json.loads((out / PLAN).read_text())
    assert plan["planned_from"] == "provisioned"
    assert [row["at_s"] for row in plan["windows"]] == ratios.windows(load.span_s, SPAN_S / 6)
    assert all(row["prefill"] + row["decode"] == 4 for row in plan["windows"])
    assert prefill in SERVING.ratios


@pytest.mark.slow
@pytest.mark.parametrize("width", [1, 4])
def test_no_plan_is_worse_than_a_ratio_or_a_switch_on_the_load_it_was_made_for(
    found: tuple[SearchState, Path], load: ScalableLoad, width: int
) -> None:
    content, _ = found
    if width == 1:
        other = ScalableLoad.of(turnover(1200, seed=6), PRESET, SPAN_S)
        content = steps.search_ratios(SearchSpec((load,), other, SERVING, SPAN_S / 24, 1), Origin())
    real = content.sequences["real"].goodput_rps
    assert content.switch is not None
    for i, rate in enumerate(real):
        assert rate >= max(row.goodput_rps[i] for row in content.fixed)
        assert rate >= content.switch.goodput_rps[i]
    expected = content.sequences["provisioned"].expected_rps
    assert expected >= max(row.provisioned_rps or 0.0 for row in content.fixed)


@pytest.mark.slow
def test_the_provisioned_plan_is_the_best_on_further_draws_of_the_forecast(load: ScalableLoad) -> None:
    """What is found for one draw, of few and unequal requests, suits its chances."""
    drawn, *further = (ScalableLoad.of(turnover(150, seed=one), PRESET, SPAN_S) for one in range(6, 10))
    spec = SearchSpec((load,), drawn, SERVING, SPAN_S / 12, 4, seeds=(4,), further=tuple(further))
    content = steps.search_ratios(spec, Origin())
    planned = content.sequences["provisioned"]

    def on_draws(rows: Sequence[RatioFrom]) -> float:
        turns = tuple((row.at_s, row.prefill) for row in rows)
        return float(np.mean([goodput(one, SERVING, turns, planned.expected_rps) for one in further]))

    chosen = on_draws(planned.plans[0])
    assert chosen == pytest.approx(np.mean(planned.further_rps), rel=0.05)
    assert chosen >= 0.97 * on_draws(planned.searched)
    best = max(content.fixed, key=lambda row: row.provisioned_rps or 0.0)
    assert chosen >= 0.97 * on_draws([RatioFrom(0.0, best.ratio, best.prefill, best.decode)])


@pytest.mark.parametrize(
    ("rates", "higher"),
    [
        ((12.6, 12.61, 12.6), None),
        ((13.5, 13.6, 13.4), True),
        ((11.0, 11.1, 11.2), False),
        ((12.5, 12.5, 12.5), False),
        ((11.0, 12.5, 14.5), None),
    ],
)
def test_what_bisection_leaves_open_is_no_difference(rates: tuple[float, ...], higher: bool | None) -> None:
    best = Policy("2:6", "fixed", (12.5, 12.5, 12.5), 0.02)
    assert Policy("one switch", "switch", rates, 0.02).higher(best) is higher


@pytest.mark.parametrize(("rate", "higher"), [(12.6, None), (13.5, True), (11.0, False), (12.5, False)])
def test_of_one_load_and_no_other_every_difference_is_known(rate: float, higher: bool | None) -> None:
    best = Policy("2:6", "fixed", (12.5,), 0.02, one_load=True)
    assert Policy("one switch", "switch", (rate,), 0.02, one_load=True).higher(best) is higher
    drawn = Policy("2:6", "fixed", (12.5,), 0.02)
    assert Policy("one switch", "switch", (rate,), 0.02).higher(drawn) is None


def test_what_was_found_before_a_stop_is_kept(load: ScalableLoad, tmp_path: Path) -> None:
    def stop(step: str, _share: float) -> None:
        if step == "switches":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        steps.search_ratios(
            SearchSpec((load,), None, SERVING, SPAN_S / 6, 2), Origin(), tmp_path, progress=stop
        )
    stopped = read_state(tmp_path)
    assert not stopped.finished
    assert len(stopped.fixed) == 3
    assert stopped.switch is None


@pytest.mark.slow
def test_no_ratio_for_a_crowd_that_comes_at_once(load: ScalableLoad) -> None:
    crowd = replace(load, at_s=[*([0.0] * (len(load.at_s) - 1)), SPAN_S / 2])
    for spec in (
        SearchSpec((crowd,), None, SERVING, SPAN_S / 6, 2),
        SearchSpec((load,), replace(crowd, name="crowd"), SERVING, SPAN_S / 6, 2),
    ):
        words = f"{spec.all_loads[-1].name}: no fixed ratio of 4 instances meets the bounds"
        with pytest.raises(BurstlensError, match=words):
            steps.search_ratios(spec, Origin())


@pytest.mark.slow
def test_processes_give_what_one_gives_and_tell_how_far_they_are() -> None:
    pieces = [9.0, 16.0, 25.0]
    expected = [3.0, 4.0, 5.0]
    for workers in (1, 2):
        shares: list[float] = []
        got: Iterator[tuple[int, float]] = each(_root, 0.5, pieces, workers, shares.append)
        assert [value for _, value in sorted(got)] == expected
        assert shares[-1] == pytest.approx(1.0)
        assert shares == sorted(shares)


def _root(power: float, value: float, tell: Callable[[float], None]) -> float:
    tell(0.5)
    return math.pow(value, power)
