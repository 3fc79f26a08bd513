"""Parameters that vary over a run: what a text means, what is drawn by it, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from burstlens.analysis.core.errors import BurstlensError
from burstlens.bench.workload.from_parameters import constant, varying
from burstlens.bench.workload.schedules import Schedule, parse_schedule, parse_schedules, pieces


def test_each_form_has_its_course() -> None:
    at_s = np.array([0.0, 25.0, 50.0, 75.0, 100.0])

    def course(text: str) -> list[float]:
        return [float(value) for value in parse_schedule("shape", text).at(at_s, 100.0)]

    assert course("0.5") == [0.5] * 5
    assert course("steps:1..2..3") == [1, 1, 2, 3, 3]
    assert course("linear:1..3") == [1, 1.5, 2, 2.5, 3]
    assert course("linear:1..3..1") == [1, 2, 3, 2, 1]
    assert course("quadratic:1..5") == [1, 1.25, 2, 3.25, 5]
    assert course("quadratic:1..3..1") == [1, 2.5, 3, 2.5, 1]


def test_a_table_holds_each_value_until_the_next(tmp_path: Path) -> None:
    path = tmp_path / "day.csv"
    path.write_text("at_s,shape,exponent\n0,0.5,1\n10,2,1.5\n30,0.7,-1\n")
    shape, exponent = (parse_schedule(name, str(path)) for name in ("shape", "exponent"))
    at_s = np.array([0.0, 9.99, 10.0, 29.0, 30.0, 500.0])
    assert shape.at(at_s, 500.0).tolist() == [0.5, 0.5, 2, 2, 0.7, 0.7]
    assert exponent.at(at_s, 500.0).tolist() == [1, 1, 1.5, 1.5, -1, -1]
    plain = tmp_path / "one.CSV"
    plain.write_text("at_s,value\n0,3\n")
    assert parse_schedule("scale", str(plain)).at(at_s, 500.0).tolist() == [3.0] * 6


def test_pieces_meet_where_something_jumps_and_cover_the_run() -> None:
    shape, scale = parse_schedule("shape", "steps:1..2"), parse_schedule("scale", "steps:1..2..4")
    start, length, value = pieces({"shape": shape, "scale": scale}, 60.0)
    assert start.tolist() == [0, 20, 30, 40]
    assert length.tolist() == [20, 10, 10, 20]
    assert value["shape"].tolist() == [1, 1, 2, 2]
    assert value["scale"].tolist() == [1, 2, 2, 4]


@given(
    st.sampled_from(["steps", "linear", "quadratic"]),
    st.lists(st.floats(0.5, 5.0), min_size=2, max_size=3),
    st.floats(0.1, 1e6),
)
def test_pieces_cover_any_run_without_gaps(kind: str, values: list[float], duration_s: float) -> None:
    text = f"{kind}:{'..'.join(f'{value:.3f}' for value in values)}"
    start, length, value = pieces({"exponent": parse_schedule("exponent", text)}, duration_s)
    assert start[0] == 0
    assert np.allclose(start[1:], (start + length)[:-1], rtol=0, atol=1e-6 * duration_s)
    assert length.sum() == pytest.approx(duration_s)
    assert len(value["exponent"]) == len(start)


def test_a_load_follows_the_schedules_of_its_shape_its_rate_and_its_lengths() -> None:
    """The scale halves and the shape doubles while the exponent falls: rate even, bursts and lengths not."""
    load = varying(*parse_schedules("shape=linear:0.5..2,scale=steps:0.04..0.01,exponent=steps:2..0.5"),
                   duration_s=1000.0, seed=4)  # fmt: skip
    at_s = load.requests["at_s"].to_numpy()
    tokens = load.requests["request_tokens"].to_numpy()
    rate = 1 / (np.linspace(0.5, 2, 100_001) * np.repeat([0.04, 0.01], [50_001, 50_000]))
    for begin, end in ((0, 250), (250, 500), (500, 750), (750, 1000)):
        expected = rate[begin * 100 : end * 100].mean() * (end - begin)
        assert np.sum((at_s >= begin) & (at_s < end)) == pytest.approx(expected, rel=0.08)
    for begin, end, shape in ((0, 20, 0.515), (980, 1000, 1.985)):
        gaps = np.diff(at_s[(at_s >= begin) & (at_s < end)])
        assert (gaps.mean() / gaps.std()) ** 2 == pytest.approx(shape, rel=0.2)
    assert np.median(tokens[at_s < 500]) < 3
    assert np.median(tokens[at_s >= 500]) > 300
    assert load.recipe["shape"] == "linear:0.5..2"


def test_a_load_that_varies_can_have_a_given_mean_rate() -> None:
    load = varying(*parse_schedules("shape=1,scale=quadratic:1..9,exponent=1"), duration_s=2000, rate_rps=5)
    assert load.rate_rps == pytest.approx(5, rel=0.05)
    at_s = load.requests["at_s"].to_numpy()
    assert np.sum(at_s < 200) / np.sum(at_s >= 1800) == pytest.approx(7.6, rel=0.3)


def test_a_schedule_that_does_not_vary_draws_what_constants_draw() -> None:
    scheduled = varying(*parse_schedules("exponent=1.1, shape=0.5, scale=steps:2..2"), duration_s=500)
    assert scheduled.sha256 == constant(0.5, 2, 1.1, duration_s=500).sha256


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("much", "'much' is not a schedule"),
        ("cubic:1..2", "is not a schedule"),
        ("linear", "is not a schedule"),
        ("linear:1", "two values or more"),
        ("quadratic:1..2..3..4", "two or three values"),
        ("linear:1..x", "'x' is not a number"),
        ("steps:1..nan", "'nan' is not a number"),
        ("0", "shape: 0 is not above 0"),
        ("steps:1..0", "passes 0, which is not above 0"),
        ("quadratic:1..0.05..3", "which is not above 0"),
        ("nowhere.csv", "nowhere.csv: cannot be read"),
    ],
)
def test_a_text_that_is_no_schedule_is_refused_in_one_line(text: str, message: str) -> None:
    with pytest.raises(BurstlensError) as refused:
        parse_schedule("shape", text)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("at_s,value\n", "has a header but no rows"),
        ("time,value\n0,1\n", "no column 'at_s'; the first line of a schedule is at_s,shape"),
        ("at_s,beta\n0,1\n", "no column 'shape'"),
        ("at_s,shape\n5,1\n", ":2: at_s is 5; a schedule starts at 0"),
        ("at_s,shape\n0,1\n9,1\n9,2\n", ":4: at_s 9 is not after the row above"),
        ("at_s,shape\n0,1\n9,much\n", ":3: shape 'much' is not a number"),
        ("at_s,shape\n0,1\n9,-1\n", "passes -1, which is not above 0"),
    ],
)
def test_a_table_that_is_none_is_refused_by_its_line(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(content)
    with pytest.raises(BurstlensError) as refused:
        parse_schedule("shape", str(path))
    assert message in str(refused.value)
    assert "bad.csv" in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("shape=1,scale=2", "no exponent"),
        ("shape=1,shape=2,scale=2,exponent=1", "shape is given twice"),
        ("shape=1,rate=2,exponent=1", "'rate=2' is not one of shape, scale, exponent"),
        ("shape=1,scale=two,exponent=1", "scale: 'two' is not a schedule"),
    ],
)
def test_three_schedules_are_wanted(text: str, message: str) -> None:
    with pytest.raises(BurstlensError, match=message):
        parse_schedules(text)


def test_a_load_that_varies_needs_its_duration() -> None:
    with pytest.raises(BurstlensError, match="scale varies needs a duration"):
        varying(*parse_schedules("shape=1,scale=linear:1..2,exponent=1"), requests=10)
    with pytest.raises(BurstlensError, match="exponent: nan is not a finite number"):
        Schedule.constant("exponent", float("nan"))
