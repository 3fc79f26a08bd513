"""Sweeps: loads that are what their labels say, known answers of a queue, and verdicts of planted truths."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from burstlens.analysis.core.errors import BurstlensError
from burstlens.api.experiments.backend import BackendOptions
from burstlens.api.experiments.sweep import run_sweep as experiment
from burstlens.bench.experiments import sweep, sweep_parts, sweep_trials
from burstlens.bench.experiments.backends import MEASURES
from burstlens.bench.experiments.findings import findings
from burstlens.bench.experiments.grid import (
    CONSTANT,
    EQUAL,
    EXPONENT,
    FIXED_SCALE,
    LINEAR,
    MODES,
    ORIGIN,
    PARAMETERS,
    PROFILES,
    QUADRATIC,
    SCALE,
    SHAPE,
    START,
    Grid,
    GridPoint,
    grid_of,
)
from burstlens.bench.experiments.trials import TRIALS, Experiment, Question, read
from burstlens.bench.metrics.seeds import ONE_SEED

FACTOR = 0.25
SMALL = grid_of({SHAPE: [0.2, 1.0], EXPONENT: [1.4]}, profiles=[CONSTANT, LINEAR])


def setting(parameter: str, profile: str = CONSTANT, mode: str = FIXED_SCALE, **values: float) -> GridPoint:
    return GridPoint(parameter, profile, mode, **{**START, **values})


def drawn(setting: GridPoint, requests: int = 2000, seed: int = 0, factor: float = FACTOR) -> pl.DataFrame:
    return sweep_trials.load(setting, START, factor, requests, seed).requests


@pytest.mark.slow
@pytest.mark.parametrize(
    "of",
    [s for s in grid_of().settings() if s.parameter in (ORIGIN, SHAPE, "shape × scale", "shape × exponent")],
    ids=str,
)
def test_a_run_has_about_the_requests_and_the_rate_that_its_labels_say(of: GridPoint) -> None:
    """Over seeds, since a bursty load of few requests is anything but its mean."""
    loads = [drawn(of, 1000, seed) for seed in range(8)]
    n = np.array([each.height for each in loads])
    if of.profile == CONSTANT:
        assert (n == 1000).all()
    # Counts of a renewal process have variance n / shape.
    assert n.mean() == pytest.approx(1000, abs=5 * np.sqrt(1000 / min(of.shape, START[SHAPE]) / 8) + 1)
    if of.mode == EQUAL:
        at = np.concatenate([each["at_s"].to_numpy() for each in loads])
        gap_s = START[SHAPE] * START[SCALE] * FACTOR
        schedules, duration_s = sweep_trials.schedules_of(of, START, FACTOR, 1000)
        assert duration_s in (None, pytest.approx(1000 * gap_s))
        now = np.linspace(0, 1000 * gap_s, 7, endpoint=False) + 1.0
        product = schedules[SHAPE].at(now, 1000 * gap_s) * schedules[SCALE].at(now, 1000 * gap_s)
        assert product == pytest.approx(np.full(7, gap_s), rel=5e-3), "the rate is the start's at any time"
        halves = np.mean(at < 500 * gap_s)
        assert halves == pytest.approx(0.5, abs=0.12)


@given(
    value=st.sampled_from([(SHAPE, 0.2), (SHAPE, 1.5), (SCALE, 0.5), (SCALE, 5.0), (EXPONENT, 0.6)]),
    profile=st.sampled_from(PROFILES),
)
def test_profiles_begin_and_end_where_they_should(value: tuple[str, float], profile: str) -> None:
    name, goal = value
    schedules, duration_s = sweep_trials.schedules_of(setting(name, profile, **{name: goal}), START, 1.0, 500)
    course = schedules[name]
    if profile == CONSTANT:
        assert duration_s is None
        assert course.values.tolist() == [goal]
        return
    assert duration_s is not None
    first, middle, last = course.at(np.array([0.0, duration_s / 2, duration_s]), duration_s)
    if profile == LINEAR:
        assert (first, last) == pytest.approx((max(goal, START[name]), min(goal, START[name])))
    else:
        assert (first, middle, last) == pytest.approx((START[name], goal, START[name]))


def test_a_smaller_shape_is_a_higher_rate_where_the_scale_is_held_and_burstier_either_way() -> None:
    for mode in MODES:
        bursty, start = drawn(setting(SHAPE, mode=mode, shape=0.2)), drawn(setting(ORIGIN))
        gaps = [np.diff(each["at_s"].to_numpy()) for each in (bursty, start)]
        cv = [gap.std() / gap.mean() for gap in gaps]
        assert cv[0] == pytest.approx(1 / np.sqrt(0.2), rel=0.15)
        assert cv[1] == pytest.approx(1 / np.sqrt(0.5), rel=0.15)
        assert gaps[0].mean() / gaps[1].mean() == pytest.approx(0.4 if mode == FIXED_SCALE else 1.0, rel=0.12)


def test_a_larger_exponent_means_shorter_prompts_and_answers() -> None:
    mean = {
        value: drawn(setting(EXPONENT, exponent=value)).select("request_tokens", "response_tokens").mean()
        for value in (0.9, 1.1, 1.3)
    }
    for side in ("request_tokens", "response_tokens"):
        tokens = [each[side][0] for each in mean.values()]
        assert tokens == sorted(tokens, reverse=True)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    """Two shapes and an exponent, constant and declining, on the simulated engine."""
    return experiment(tmp_path_factory.mktemp("sweep"), grid=SMALL, requests=600, seeds=3, workers=2)


@pytest.mark.slow
def test_the_start_is_calibrated_and_what_is_run_is_said(done: Experiment) -> None:
    question = done.question
    start = done.trials.filter(parameter=ORIGIN)
    assert start["kv_cache_use"].mean() == pytest.approx(0.3, abs=0.021)
    assert done.trials.height == len(SMALL.settings()) * 3
    assert question.engine["preset"]["max_num_queued_reqs"] == sweep_trials.QUEUED
    assert any("30 % of the KV cache" in note for note in question.notes)
    assert any(f"{sweep_trials.QUEUED} others" in note and "300 s" in note for note in question.notes)
    assert any("as many are expected" in note for note in question.notes)


def test_far_below_saturation_throughput_is_the_offered_load(tmp_path: Path) -> None:
    grid = grid_of({SCALE: [4.0]}, profiles=[CONSTANT])
    low = experiment(tmp_path, grid=grid, kv=None, requests=300, seeds=2)
    assert low.question.facts["factor"] == 1.0
    for row in low.trials.iter_rows(named=True):
        offered = drawn(setting(SCALE, scale=row["scale"]), 300, row["seed"], 1.0)
        span = offered["at_s"][-1] - offered["at_s"][0]
        assert row["failure_rate"] == 0
        assert row["sent_rps"] == pytest.approx(299 / span)
        # The last answer ends after the last send.
        assert row["throughput_tps"] == pytest.approx(offered["response_tokens"].sum() / row["span_s"])
        assert row["span_s"] == pytest.approx(span, rel=0.1)


def test_known_answers_of_a_queue(done: Experiment) -> None:
    varied, _, thirds, _ = sweep.parts(done)

    def word(name: str, mode: str, value: float, measure: str) -> str:
        found = varied.differs(name, CONSTANT, mode, value, measure)
        assert found is not None
        return found.word

    assert word(SHAPE, FIXED_SCALE, 0.2, "throughput_tps") == "higher"
    assert word(SHAPE, FIXED_SCALE, 0.2, "kv_cache_use") == "higher"
    assert word(SHAPE, FIXED_SCALE, 1.0, "kv_cache_use") == "lower"
    assert word(EXPONENT, FIXED_SCALE, 1.4, "kv_cache_use") == "lower"
    assert varied.ends[EXPONENT].found.word == "lower"
    assert thirds.degrades(FIXED_SCALE, "token_latency_s") is True
    of = varied.of(SHAPE).filter(mode=FIXED_SCALE, profile=CONSTANT)
    assert of[SHAPE].to_list() == [0.2, 0.5, 1.0], "the start stands in each series"


@pytest.mark.slow
def test_at_equal_rate_a_smaller_shape_waits_longer(tmp_path: Path) -> None:
    """Short requests served one at a time: a queue whose waits grow with the CV of its gaps."""
    grid = grid_of({SHAPE: [0.1, 2.0]}, profiles=[CONSTANT], start={SCALE: 0.12, EXPONENT: 3.0})
    backend = BackendOptions(max_num_seqs=1, max_num_queued_reqs=100_000)
    busy = experiment(tmp_path, grid=grid, kv=None, requests=800, seeds=4, backend=backend, workers=2)
    wait = {
        (row["shape"], row["seed"]): row["ttft_s"]
        for row in busy.trials.filter((pl.col("mode") == EQUAL) | (pl.col("parameter") == ORIGIN)).to_dicts()
    }
    for seed in range(4):
        assert wait[0.1, seed] > wait[0.5, seed] > wait[2.0, seed]
    varied = sweep.parts(busy)[0]
    assert sweep_parts.NO_FAILURE in varied.missing
    found = varied.differs(SHAPE, CONSTANT, EQUAL, 0.1, "e2e_s")
    assert found is not None
    assert found.word == "higher"


def test_trials_that_were_over_before_answers_came_are_told(tmp_path: Path) -> None:
    """The same 200 requests, all at once, and so that each answer comes before the next is sent."""
    notes = []
    for scale in (0.01, 100.0):
        start = grid_of({SHAPE: [1.0]}, profiles=[CONSTANT], start={SCALE: scale})
        result = findings(experiment(tmp_path / str(scale), grid=start, kv=None, requests=200, seeds=1))
        notes.append([note for note in result.notes if "send for longer" in note])
        assert result.as_dict()["notes"] == result.notes
    assert notes[0][0].startswith("3 of 3 trials were sent in less time than the slowest tenth")
    assert notes[1] == []


@pytest.mark.slow
def test_a_stopped_sweep_goes_on_with_the_scale_that_it_found(tmp_path: Path) -> None:
    def stop(step: str, share: float) -> None:
        if step.endswith("trials") and share > 0.4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        experiment(tmp_path, grid=SMALL, kv=0.1, requests=400, seeds=2, progress=stop)
    stopped = read(tmp_path)
    assert 0 < stopped.trials.height < stopped.question.trials
    assert stopped.question.stopped == "stopped by Ctrl-C"
    assert findings(stopped).parts[0].sentences(), "what there is can be told"
    before = (tmp_path / TRIALS).read_text()
    steps: list[str] = []
    done = experiment(
        tmp_path, grid=SMALL, kv=0.1, requests=400, seeds=2, progress=lambda step, _: steps.append(step)
    )
    assert (tmp_path / TRIALS).read_text().startswith(before)
    assert done.question.finished
    assert done.question.facts == stopped.question.facts
    assert not any("scale" in step for step in steps), "it is not calibrated again"
    with pytest.raises(BurstlensError, match="has another experiment"):
        experiment(tmp_path, grid=SMALL, kv=None, requests=400, seeds=2)


def test_wrong_options_are_named(tmp_path: Path) -> None:
    with pytest.raises(BurstlensError, match="requests: 10 is too few"):
        experiment(tmp_path, requests=10)
    with pytest.raises(BurstlensError, match="is not a share of the KV cache"):
        experiment(tmp_path, kv=1.5)
    with pytest.raises(BurstlensError, match="no such file"):
        experiment(tmp_path, grid=tmp_path / "none.toml")
    assert not (tmp_path / TRIALS).exists()


# Trials of planted truth: what a measure is at a setting, and a little noise that a seed has everywhere.

Truth = Callable[[Mapping[str, Any]], Mapping[str, float]]
GRID = Grid()


def planted(truth: Truth, seeds: int = 5, grid: Grid = GRID, noise: float = 0.01) -> Experiment:
    rng = np.random.default_rng(1)
    rows, courses = [], []
    for seed in range(seeds):
        for one in grid.settings():
            labels = {**one.labels(), "seed": seed}
            value = {m: v * (1 + noise * rng.normal()) for m, v in truth(labels).items()}
            rows.append(labels | dict.fromkeys(MEASURES, 1.0) | value)
            if one.parameter == ORIGIN or (one.parameter == SHAPE and one.profile != CONSTANT):
                courses.append(course(labels, truth))
    question = Question(
        "sweep", {}, {}, "made", None, True, list(range(seeds)), len(rows), {"start": START, "factor": 0.25}
    )
    return Experiment(Path(), question, pl.DataFrame(rows), pl.concat(courses), (*labels,))


def course(labels: Mapping[str, Any], truth: Truth) -> pl.DataFrame:
    """A run whose latency goes from the start's to that of the value at its end, or at half time."""
    at_s = np.arange(90.0)
    u = at_s / 89
    way = {CONSTANT: 0 * u, LINEAR: u, QUADRATIC: 4 * u * (1 - u)}[labels["profile"]]
    goal, start = truth({**labels, "profile": CONSTANT}), truth({"parameter": ORIGIN, **START})
    levels = {m: start[m] + way * (goal[m] - start[m]) for m in start}
    rng = np.random.default_rng(labels["seed"])
    columns = {
        "at_s": at_s,
        "sent": np.full(90, 4.0),
        "throughput_tps": np.full(90, 100.0),
        "token_latency_s": levels["token_latency_s"] * (1 + 0.01 * rng.normal(size=90)),
        "kv_cache_use": np.full(90, 0.3),
        "failed": 4.0 * levels["failure_rate"],
    }
    return pl.DataFrame(columns).select(*(pl.lit(v).alias(k) for k, v in labels.items()), pl.all())


def as_the_paper(labels: Mapping[str, Any]) -> dict[str, float]:
    """Failures set in below a shape of 0.35 in either mode; β as a rate and λ load as the paper says."""
    at = {**START, **{k: v for k, v in labels.items() if k in PARAMETERS}}
    fails = 0.2 if at[SHAPE] <= 0.3 else 0.0
    return {
        "failure_rate": fails,
        "token_latency_s": 0.03 if at[SHAPE] > 0.3 else 0.031,
        "throughput_tps": 700.0,
        "kv_cache_use": 0.3 * (2.0 / at[SCALE]) ** 0.1 * (1.1 / at[EXPONENT]) ** 0.1,
    }


def against_the_paper(labels: Mapping[str, Any]) -> dict[str, float]:
    """Nothing fails, the shape moves latency much and a larger one more, λ loads the other way."""
    at = {**START, **{k: v for k, v in labels.items() if k in PARAMETERS}}
    return {
        "failure_rate": 0.0,
        "token_latency_s": 0.03 * at[SHAPE] ** 2,
        "throughput_tps": 700.0 / at[SHAPE] ** 2,
        "kv_cache_use": 0.3 * (at[SCALE] / 2.0) ** 0.1 * (at[EXPONENT] / 1.1) ** 0.1,
    }


def verdicts(done: Experiment) -> dict[str, bool | None]:
    varied, steps, thirds, _ = sweep.parts(done)
    return sweep.statements(varied, steps, thirds)


@pytest.mark.slow
def test_what_is_as_the_paper_says_is_found_so() -> None:
    done = planted(as_the_paper)
    out = verdicts(done)
    wrong = {statement for statement, holds in out.items() if holds is not True}
    assert wrong == {"a larger β as a scale loads more"}
    assert out["a larger β as a scale loads more"] is False
    (claim,) = findings(done).claims
    assert claim.verdict == "partly"
    assert "0.35 → 0.3" in claim.value


def test_what_is_not_as_the_paper_says_is_found_not_to_be() -> None:
    out = verdicts(planted(against_the_paper))
    assert {statement for statement, holds in out.items() if holds is not False} == {
        "a larger β as a scale loads more"
    }


@pytest.mark.slow
def test_a_decline_that_comes_back_is_no_lasting_one() -> None:
    _, _, thirds, _ = sweep.parts(planted(as_the_paper))
    dip = thirds.drift(FIXED_SCALE, QUADRATIC, 0.1, "failure_rate", sweep_parts.FIRST_THIRD)
    decline = thirds.drift(FIXED_SCALE, LINEAR, 0.1, "failure_rate", sweep_parts.FIRST_THIRD)
    assert dip is not None
    assert decline is not None
    assert dip.difference.value == pytest.approx(0.0, abs=1e-9)
    # The last third of a line from 0 to 0.2 averages 1/6, the first 1/30.
    assert decline.difference.value == pytest.approx(0.2 * 2 / 3, rel=0.03)


@pytest.mark.slow
def test_one_seed_or_much_noise_tells_nothing() -> None:
    alone = planted(as_the_paper, seeds=1)
    out = verdicts(alone)
    assert set(out.values()) == {None}
    assert ONE_SEED in sweep.parts(alone)[0].missing
    (claim,) = findings(alone).claims
    assert claim.verdict == "cannot tell"
    noisy = verdicts(planted(as_the_paper, noise=2.0))
    assert noisy["a smaller λ loads more"] is None
    assert (
        noisy["the small change of α with most new failures hardly moves throughput (scale held)"] is not True
    )


def test_a_grid_of_one_parameter_leaves_the_rest_untold() -> None:
    done = planted(as_the_paper, grid=grid_of({EXPONENT: [1.4]}, profiles=[CONSTANT]))
    out = verdicts(done)
    assert out.pop("a smaller λ loads more") is True
    assert set(out.values()) == {None}
    result = findings(done)
    assert [part.name for part in result.parts] == ["parameters", "steps", "thirds", "pairs"]
    assert list(result.parts[0].tables()) == ["exponent", "contrasts"]
    assert not result.parts[3].sentences()


@pytest.mark.slow
def test_both_together_are_set_against_the_sum_of_each_alone() -> None:
    def truth(labels: Mapping[str, Any]) -> dict[str, float]:
        at = {**START, **{k: v for k, v in labels.items() if k in PARAMETERS}}
        both = at[SHAPE] < 0.5 and at[SCALE] < 2
        fails = 0.1 * (at[SHAPE] < 0.5) + 0.05 * (at[SCALE] < 2) + 0.3 * both
        return as_the_paper(START) | {"failure_rate": fails}

    paired = sweep.parts(planted(truth, noise=0.001))[3]
    rows = paired.interactions.filter(
        pair="shape × scale", profile=CONSTANT, shape=0.3, measure="failure_rate"
    ).sort(SCALE)
    assert rows["difference"].to_list() == pytest.approx([0.3, 0.0], abs=1e-3)
    assert rows["word"].to_list()[0] == "higher"
    cells = paired.means.filter(pair="shape × scale", profile=CONSTANT)
    assert cells.height == 9, "two values a parameter and the start make a square"
    assert any("beyond the sum of both alone: " in text for text in paired.sentences())


def test_thirds_weigh_latency_by_tokens_and_leave_out_what_comes_after_the_last_send() -> None:
    run = pl.DataFrame(
        {
            "at_s": [0.0, 1, 2, 3, 4, 5, 6, 7],
            "sent": [2.0, 2, 2, 2, 2, 2, 2, 0],
            "throughput_tps": [0.0, 10, 30, 10, 10, 20, 20, 99],
            "token_latency_s": [None, 0.1, 0.2, 0.3, 0.3, 0.4, 0.4, 9.0],
            "kv_cache_use": [0.0, 0.1, 0.2, 0.3, 0.3, 0.5, 0.5, 0.9],
            "failed": [0.0, 0, 0, 0, 1, 1, 1, 50],
        }
    )
    first, last = sweep.thirds_of(run).values()
    assert first["token_latency_s"] == pytest.approx((10 * 0.1 + 30 * 0.2) / 40)
    assert first["failure_rate"] == 0
    assert last["failure_rate"] == pytest.approx(3 / 6)
    assert last["kv_cache_use"] == pytest.approx((0.3 + 0.5 + 0.5) / 3)
    assert sweep.thirds_of(run.with_columns(sent=pl.lit(0.0))) == {}
