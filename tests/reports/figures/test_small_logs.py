"""Figures of small and odd logs: ends at 0, holes, no dates, coarse clocks; and their titles."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import altair as alt
import polars as pl
import pytest
import vl_convert

from burstlens.analysis.characterize import Characterization, characterize
from burstlens.analysis.conversations.part import Conversations
from burstlens.analysis.core.units import DAY_S, HOUR_S, MINUTE_S
from burstlens.analysis.logs.options import LogOptions
from burstlens.analysis.trace.trace import open_trace
from burstlens.analysis.traffic.burstiness import Burstiness
from burstlens.analysis.traffic.failures import Failures
from burstlens.analysis.traffic.periodicity import Periodicity
from burstlens.analysis.traffic.volume import Volume
from burstlens.bench.metrics.summary import write_summary
from burstlens.reports.figures.base import ON_AXIS, Figure, from_axis, interval_dots, logarithmic
from burstlens.reports.figures.registry import figures_of
from burstlens.reports.parts.run import Load
from burstlens.reports.parts.run import parts as run_parts
from tests.helpers import burstlens

COLUMNS = {"arrival": "ts", "request_tokens": "in", "response_tokens": "out"}


def log_of(path: Path, stamps: list[float]) -> Characterization:
    """A log of one service without dates."""
    lines = [f"{stamp:.3f},{5 + i % 7},{3 + i % 4}" for i, stamp in enumerate(stamps)]
    path.write_text("\n".join(["ts,in,out", *lines]) + "\n")
    return characterize(open_trace([path], options=LogOptions(columns=COLUMNS)))


def named(part: Any) -> dict[str, Figure]:
    return {figure.name: figure for figure in figures_of(part)}


def svg_of(figure: Figure) -> str:
    return str(vl_convert.vegalite_to_svg(json.dumps(figure.drawn("small"))))


def marks_of(node: Any) -> set[str]:
    """Every kind of mark of a specification."""
    if isinstance(node, list):
        return set().union(*map(marks_of, node)) if node else set()
    if not isinstance(node, dict):
        return set()
    mark = node.get("mark")
    own = {mark if isinstance(mark, str) else mark["type"]} if mark else set()
    return own.union(*map(marks_of, node.values()))


def bars_of(chart: alt.TopLevelMixin, data: pl.DataFrame) -> list[tuple[float, float]]:
    """Where each horizontal line begins and how long it is, in px."""
    spec = chart.to_dict() | {"datasets": {"data": data.to_dicts()}, "width": 400}
    svg = str(vl_convert.vegalite_to_svg(json.dumps(spec)))
    group = re.search(r'<g class="mark-rule role-mark layer_0_marks".*?</g>', svg, re.DOTALL)
    assert group
    found = re.findall(r'translate\(([-\d.]+),[-\d.]+\)" x2="([-\d.]+)"', group[0])
    return [(float(begin), float(length)) for begin, length in found]


def test_a_bar_whose_end_is_zero_begins_at_the_logarithmic_axis() -> None:
    data = pl.DataFrame(
        {"selection": ["a", "b"], "rate": [1.0, 10.0], "low": [0.0, 5.0], "high": [4.0, 20.0]}
    )
    chart = interval_dots(data, "rate", "low", "high", title="rate")
    (start, length), (later, _) = bars_of(chart, data)
    assert 0 <= start < later
    assert length > 0
    assert chart.to_dict()["layer"][1]["encoding"]["tooltip"][2]["field"] == "low"


def test_an_unknown_end_stays_unknown() -> None:
    channel = logarithmic(pl.Series([2.0, 50.0]))
    (step,) = from_axis(alt.Chart().mark_area(), channel).to_dict(validate=False)["transform"]
    assert step["as"] == f"low{ON_AXIS}"
    assert step["calculate"] == "isValid(datum['low']) ? max(datum['low'], 2.0) : null"


def test_bands_that_reach_zero_are_drawn_to_the_axis(
    characterized: Callable[[str], Characterization],
) -> None:
    sessions = characterized("burstgpt_3_first400.csv")
    for part, name in ((Burstiness, "peak-to-mean"), (Conversations, "intervals")):
        figure = named(sessions.part(part))[name]
        assert (figure.data["low"] <= 0).any()
        bands = re.findall(r'<g class="mark-area[^"]*role-mark[^"]*".*?</g>', svg_of(figure), re.DOTALL)
        assert bands
        assert not any("NaN" in band or "Infinity" in band for band in bands)


def test_a_record_with_a_hole_has_a_bar_for_each_part(tmp_path: Path) -> None:
    stamps = [i * 10 * MINUTE_S for i in range(144)]
    volume = log_of(tmp_path / "hole.csv", [*stamps, *(stamp + 4 * DAY_S for stamp in stamps)]).part(Volume)
    figure = named(volume)["segments"]
    assert figure.title.startswith("The record has 1 hole: 3")
    assert marks_of(figure.spec()) == {"bar"}
    assert figure.data["selection"].to_list() == ["part 1", "part 2"]
    assert figure.data["from"].to_list() == pytest.approx([0.0, 4.0])
    assert figure.data["requests"].to_list() == [144, 144]
    assert figure.data["hole before (days)"].to_list()[1] == pytest.approx(3.0, abs=0.01)


def test_a_record_without_a_hole_has_no_figure_of_parts(tmp_path: Path) -> None:
    volume = log_of(tmp_path / "whole.csv", [float(i) for i in range(200)]).part(Volume)
    assert "segments" not in named(volume)


def test_a_log_without_dates_numbers_its_days(tmp_path: Path) -> None:
    part = log_of(tmp_path / "undated.csv", [i * HOUR_S / 2 for i in range(9 * 48)]).part(Periodicity)
    figures = named(part)
    calendar, hourly = figures["calendar"], figures["hourly"]
    assert calendar.data["week"].unique().sort().to_list() == ["week 01", "week 02"]
    assert set(calendar.data["weekday"]) == {f"day {i}" for i in range(1, 8)}
    assert calendar.data["requests"].sum() == 9 * 48
    assert hourly.data["time"].max() == pytest.approx(9 - 1 / 24)
    assert "days since the log's second 0" in svg_of(hourly)


def test_a_log_of_seconds_is_titled_by_its_widest_bins(tmp_path: Path) -> None:
    part = log_of(tmp_path / "short.csv", [0.4 * i + 0.3 * (i % 3) for i in range(400)]).part(Burstiness)
    figures = named(part)
    widest = part.dispersion.drop_nulls("idc")["width_s"].max()
    assert widest == 10.0
    assert "per 10 s" in figures["dispersion"].title
    assert "busiest 10 s" in figures["peak-to-mean"].title
    assert set(figures["dispersion"].data["width_s"]) == {1.0, 10.0}


def test_titles_of_failures_have_the_rates_of_the_table(
    characterized: Callable[[str], Characterization],
) -> None:
    part = characterized("burstgpt_1_first7days.csv").part(Failures)
    figures = named(part)
    rate = part.rates.filter(pl.col("selection") == "conversation")["rate"][0]
    assert f"{100 * rate:.3g} % of conversation" in figures["rates"].title
    days = part.daily_boxes.sort("median").row(-1, named=True)
    assert f"of {days['selection']}: median {100 * days['median']:.3g} %" in figures["days"].title


@pytest.fixture(scope="module")
def load(tmp_path_factory: pytest.TempPathFactory) -> Load:
    """A simulated run's load, which was on time."""
    folder = tmp_path_factory.mktemp("run") / "run"
    load = "shape=0.5,scale=2,exponent=1.1"
    done = burstlens("replay", load, "--simulate", "llama-2-13b-a100", "--first", 80, "-o", folder, "-q")
    assert done.returncode == 0, done.stderr
    (part,) = (part for part in run_parts(write_summary(folder)) if isinstance(part, Load))
    return part


def test_a_run_on_time_has_no_figure_of_lateness(load: Load) -> None:
    assert [figure.name for figure in figures_of(load)] == ["gaps"]


def test_lateness_is_drawn_against_its_limit(load: Load) -> None:
    late = pl.DataFrame({"ms": [0.01, 2.0, 30.0, 400.0], "share": [1.0, 0.5, 0.1, 0.01]})
    figure = named(replace(load, lateness=late))["lateness"]
    assert marks_of(figure.spec()) == {"line", "circle", "rule"}
    assert figure.data["ms"].to_list() == [0.1, 2.0, 30.0, 400.0]
    domain = figure.spec()["layer"][1]["encoding"]["x"]["scale"]["domain"]
    assert domain == [0.1, 400.0]
    limit = next(layer for layer in figure.spec()["layer"] if layer["mark"]["type"] == "rule")
    assert limit["encoding"]["x"]["datum"] == pytest.approx(
        float(re.findall(r"([\d.]+) ms", figure.sentence)[0])
    )


def test_the_gaps_are_titled_by_their_variation(load: Load) -> None:
    figure = named(load)["gaps"]
    table = load.summary.verdict.table.filter(pl.col("measure") == "CV of gaps")
    assert re.fullmatch(r"CV of the gaps: ([\d.]+) sent, ([\d.]+) asked for", figure.title)
    sent = float(re.findall(r"[\d.]+", figure.title)[0])
    assert sent == pytest.approx(table["sent"][0], rel=0.01)
