"""An experiment's folder: each trial once, whatever stops it, and differences told from noise."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from burstlens.analysis.core.errors import BurstlensError
from burstlens.bench.experiments.backends import MEASURES, VirtualBackend
from burstlens.bench.experiments.contrast import contrast, means, table
from burstlens.bench.experiments.trials import TRIALS, Experiment, Question, Trial, read, run
from burstlens.bench.metrics.seeds import mean_over_seeds
from burstlens.bench.simulated.presets import load_preset
from burstlens.bench.workload.from_parameters import constant
from burstlens.bench.workload.table import Workload

ENGINE = VirtualBackend(load_preset("llama-2-7b-a100"), timeout_s=60.0)
QUESTION = Question("maf2", {"n": 50}, ENGINE.as_dict(), ENGINE.title, ENGINE.simulated, True, [0, 1], 0, {})


def load(shape: float, seed: int) -> Workload:
    return constant(shape, 1.0 / shape, 1.1, requests=50, seed=seed)


def trials(shapes: Sequence[float] = (0.5, 2.0), seeds: Sequence[int] = (0, 1)) -> list[Trial]:
    return [
        Trial({"shape": shape, "seed": seed}, partial(load, shape, seed), course=seed == 0)
        for shape in shapes
        for seed in seeds
    ]


def stopping(after: int) -> list[Trial]:
    """Trials of which one is stopped as Ctrl-C would stop it."""

    def stop() -> Workload:
        raise KeyboardInterrupt

    listed = trials()
    return [Trial(t.labels, stop, t.course) if i == after else t for i, t in enumerate(listed)]


def values(done: Experiment) -> pl.DataFrame:
    return done.trials.sort("shape", "seed")


@pytest.mark.slow
def test_processes_change_nothing_and_each_trial_is_there_once(tmp_path: Path) -> None:
    alone = run(QUESTION, trials(), ENGINE, tmp_path / "one")
    elsewhere = run(QUESTION, trials(), ENGINE, tmp_path / "two", workers=2)
    assert values(alone).equals(values(elsewhere))
    assert alone.labels == ("shape", "seed")
    assert alone.trials.height == 4
    assert alone.question.finished
    assert alone.question.trials == 4
    assert set(alone.courses["seed"]) == {0}
    assert (alone.trials["requests"] == 50).all()


@pytest.mark.slow
def test_what_a_stop_leaves_is_kept_and_goes_on(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(QUESTION, stopping(2), ENGINE, tmp_path)
    partial_run = read(tmp_path)
    assert partial_run.trials.height == 2
    assert not partial_run.question.finished
    assert partial_run.question.stopped == "stopped by Ctrl-C"
    before = (tmp_path / TRIALS).read_text()
    done = run(QUESTION, trials(), ENGINE, tmp_path)
    assert (tmp_path / TRIALS).read_text().startswith(before), "what was done is not done again"
    assert done.trials.height == 4
    assert done.question.finished
    assert values(done).equals(values(run(QUESTION, trials(), ENGINE, tmp_path / "whole")))


@pytest.mark.slow
def test_a_torn_line_costs_its_trial_only(tmp_path: Path) -> None:
    complete = run(QUESTION, trials(), ENGINE, tmp_path)
    text = (tmp_path / TRIALS).read_text()
    (tmp_path / TRIALS).write_text(text[:-40])
    assert read(tmp_path).trials.height == 3
    assert values(run(QUESTION, trials(), ENGINE, tmp_path)).equals(values(complete))


def test_a_line_torn_within_a_character_is_a_torn_line(tmp_path: Path) -> None:
    named = [Trial({"load": "α", "seed": seed}, partial(load, 0.5, seed)) for seed in (0, 1)]
    complete = run(QUESTION, named, ENGINE, tmp_path).trials.sort("seed")
    written = (tmp_path / TRIALS).read_bytes()
    (tmp_path / TRIALS).write_bytes(written[: written.rindex("α".encode()) + 1])
    assert read(tmp_path).trials.equals(complete.head(1))
    assert run(QUESTION, named, ENGINE, tmp_path).trials.sort("seed").equals(complete)


def test_another_question_is_refused_by_what_differs(tmp_path: Path) -> None:
    run(QUESTION, trials(), ENGINE, tmp_path)
    other = Question("maf2", {"n": 51}, ENGINE.as_dict(), "", None, True, [0, 1], 0, {})
    with pytest.raises(BurstlensError, match=r"n: 50 there, 51 now"):
        run(other, trials(), ENGINE, tmp_path)
    with pytest.raises(BurstlensError, match="no experiment"):
        read(tmp_path / "elsewhere")
    (tmp_path / "experiment.json").write_text("{")
    with pytest.raises(BurstlensError, match="is not an experiment"):
        read(tmp_path)


def test_a_folder_that_cannot_be_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BurstlensError, match="cannot be written"):
        run(QUESTION, trials(), ENGINE, tmp_path / "file" / "folder")


def test_measures_are_those_of_the_run_itself(tmp_path: Path) -> None:
    done = run(QUESTION, trials(), ENGINE, tmp_path)
    for row in done.trials.iter_rows(named=True):
        at = load(row["shape"], row["seed"]).requests["at_s"].to_numpy()
        gaps = np.diff(at)
        assert row["gap_cv"] == pytest.approx(gaps.std() / gaps.mean(), rel=1e-6)
        assert row["sent_rps"] == pytest.approx(49 / (at[-1] - at[0]), rel=1e-6)
        assert 0 < row["kv_cache_use"] <= row["kv_cache_peak"] <= 1
        assert row["e2e_p90_s"] >= row["ttft_p90_s"] > 0
        assert row["ttft_max_s"] >= row["ttft_p99_s"]
    assert set(MEASURES) <= set(done.trials.columns)
    text = (tmp_path / TRIALS).read_text().splitlines()
    assert all(
        math.isfinite(v) for line in text for v in json.loads(line)["values"].values() if v is not None
    )


def frame(a: Sequence[float], b: Sequence[float]) -> pl.DataFrame:
    rows = [
        {"kind": kind, "seed": seed, "e2e_s": value}
        for kind, of in (("a", a), ("b", b))
        for seed, value in enumerate(of)
    ]
    return pl.DataFrame(rows)


def test_paired_differences_have_students_interval() -> None:
    found = contrast(frame([2.0, 3.0, 4.0], [1.0, 2.5, 2.0]), "e2e_s", {"kind": "a"}, {"kind": "b"})
    # Differences 1, 0.5, 2: mean 7/6, sd 0.7638, t(0.975, 2) = 4.3027.
    half = (
        4.30265273 * math.sqrt(((1 - 7 / 6) ** 2 + (0.5 - 7 / 6) ** 2 + (2 - 7 / 6) ** 2) / 2) / math.sqrt(3)
    )
    assert found.difference.value == pytest.approx(7 / 6)
    assert found.difference.low == pytest.approx(7 / 6 - half)
    assert found.difference.high == pytest.approx(7 / 6 + half)
    assert (found.of, found.seeds) == (3.0, 3)
    assert found.against == pytest.approx(5.5 / 3)
    assert found.word == "within noise"


@pytest.mark.parametrize(
    ("a", "b", "word"),
    [
        ([2.0, 2.1, 2.2], [1.0, 1.1, 1.3], "higher"),
        ([1.0, 1.1, 1.3], [2.0, 2.1, 2.2], "lower"),
        ([1.0, 2.0, 3.0], [1.0, 2.0, 3.0], "the same"),
        ([1.0, 2.0, 3.0], [1.5, 1.5, 3.0], "within noise"),
        ([1.0], [2.0], "cannot tell"),
    ],
)
def test_a_difference_is_called_by_its_interval(a: list[float], b: list[float], word: str) -> None:
    found = contrast(frame(a, b), "e2e_s", {"kind": "a"}, {"kind": "b"})
    assert found.word == word
    assert table([({"pair": "a b"}, found)])["word"].to_list() == [word]


def test_true_means_lie_in_the_interval_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    intervals = [mean_over_seeds(rng.normal(3.0, 1.0, 6)) for _ in range(2000)]
    assert 0.935 <= np.mean([each.low <= 3.0 <= each.high for each in intervals]) <= 0.965


def test_unmeasured_values_are_left_out_of_means() -> None:
    averages = means(
        pl.DataFrame({"kind": ["a", "a", "b"], "seed": [0, 1, 0], "e2e_s": [1.0, None, None]}),
        ["kind"],
        ["e2e_s"],
    )
    assert averages["e2e_s"].to_list() == [1.0, None]
    assert averages["e2e_s_low"].to_list() == [None, None]
