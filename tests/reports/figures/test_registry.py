"""Figures say what their tables say, are drawn with marks, and can be read in both themes."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import polars as pl
import pytest
import vl_convert
from hypothesis import given
from hypothesis import strategies as st

from burstlens.analysis.characterize import Characterization
from burstlens.analysis.core.result import number
from burstlens.reports.figures import theme
from burstlens.reports.figures.base import Figure, columns_for, estimate, log_ticks
from burstlens.reports.figures.registry import figures_of
from burstlens.reports.pages.base import FIGURE_OF_CLAIM

LOGS = {
    "week": "burstgpt_1_first7days.csv",
    "sessions": "burstgpt_3_first400.csv",
    "azure": "azure_llm_2023_conv.csv",
    "functions": "maf2_azure_functions_2021_200.csv",
}


@pytest.fixture(scope="module")
def real(characterized: Callable[[str], Characterization]) -> dict[str, Characterization]:
    return {name: characterized(file) for name, file in LOGS.items()}


def _all(characterizations: dict[str, Characterization]) -> Iterator[tuple[str, Any, Figure]]:
    for name, one in characterizations.items():
        for part in one.parts:
            for figure in figures_of(part):
                yield f"{name}/{part.name}/{figure.name}", part, figure


def _marks(svg: str) -> int:
    """Drawn things inside mark groups, not axes or legends."""
    groups = re.findall(
        r'<g class="mark-(?:symbol|line|area|rect|rule|text)[^"]* role-mark[^"]*"[^>]*>(.*?)</g>', svg, re.S
    )
    return sum(len(re.findall(r"<(?:path|rect|line|text)\b", group)) for group in groups)


@pytest.mark.slow
def test_every_figure_of_the_real_traces_is_valid_and_drawn_with_marks(
    real: dict[str, Characterization],
) -> None:
    drawn = list(_all(real))
    assert len(drawn) > 60
    for where, part, figure in drawn:
        figure.chart.to_dict()  # Altair validates against the schema of Vega-Lite
        assert figure.table_name in part.tables(), where
        assert figure.data.height, where
        svg = vl_convert.vegalite_to_svg(json.dumps(figure.drawn("recorded trace")))
        assert _marks(svg) >= 1, where
        # A reference line is drawn once in each panel, not once for every row of the data.
        dashed = Counter(re.findall(r"<line[^>]*stroke-dasharray[^>]*>", svg))
        assert max(dashed.values(), default=0) <= 12, where


@pytest.mark.slow
def test_every_figure_says_its_finding_in_words(real: dict[str, Characterization]) -> None:
    for where, _, figure in _all(real):
        assert 8 <= len(figure.title) <= 130, (where, figure.title)
        for text in (figure.title, figure.sentence, figure.alt_text):
            assert not re.search(r"\b(nan|None|inf|unknown)\b|\{|\}", text), (where, text)
            assert "  " not in text, (where, text)
        assert figure.sentence.rstrip().endswith("."), where
        assert figure.alt_text.rstrip().endswith("."), (where, figure.alt_text)


@pytest.mark.slow
def test_names_are_unique_within_a_part(real: dict[str, Characterization]) -> None:
    for one in real.values():
        for part in one.parts:
            names = [figure.name for figure in figures_of(part)]
            assert len(names) == len(set(names))


@pytest.mark.slow
def test_every_quantitative_axis_has_a_title(real: dict[str, Characterization]) -> None:
    for where, _, figure in _all(real):
        for channel in _channels(figure.spec()):
            if channel.get("type") == "quantitative":
                assert channel.get("title"), (where, channel)


def _channels(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key in ("x", "y") and isinstance(value, dict) and "field" in value:
                yield value
            else:
                yield from _channels(value)
    elif isinstance(node, list):
        for value in node:
            yield from _channels(value)


@pytest.mark.slow
def test_each_claim_links_to_a_figure_that_some_real_trace_has(real: dict[str, Characterization]) -> None:
    names = {figure.name for _, _, figure in _all(real)}
    assert set(FIGURE_OF_CLAIM.values()) <= names


@pytest.mark.slow
def test_figures_hold_the_numbers_of_the_week(real: dict[str, Characterization]) -> None:
    by_name = {where: figure.data for where, _, figure in _all({"week": real["week"]})}
    calendar = by_name["week/periodicity/calendar"]
    assert calendar["requests"].sum() == 19_431
    hourly = by_name["week/periodicity/hourly"]
    assert hourly["requests"].sum() == 19_431
    assert hourly.filter(pl.col("selection") == "conversation").height == 168
    shares = by_name["week/volume/shares"]
    for measure in shares["measure"].unique():
        assert shares.filter(pl.col("measure") == measure)["share"].sum() == pytest.approx(1)
    rates = by_name["week/failures/rates"]
    assert rates.filter(pl.col("selection") == "all")["failed"].item() == 1538


@pytest.mark.slow
def test_figures_stay_small_for_long_traces(real: dict[str, Characterization]) -> None:
    for where, _, figure in _all(real):
        assert figure.data.height <= 6000, where


def test_synthetic_is_said_inside_the_image(real: dict[str, Characterization]) -> None:
    figure = figures_of(real["week"].parts[0])[0]
    svg = vl_convert.vegalite_to_svg(json.dumps(figure.drawn("made up · SYNTHETIC TRACE")))
    assert "SYNTHETIC TRACE" in svg


def test_dashed_text_and_markup_in_a_name_stay_text() -> None:
    name = "<script>alert(1)</script>"
    labels = ["all", name, f"{name} · '; DROP TABLE"]
    chosen = theme.colours(labels)
    assert chosen[name] == chosen[labels[2]] != chosen["all"]


def test_every_colour_can_be_told_from_its_ground_in_both_themes() -> None:
    assert theme.LIGHT.keys() == theme.DARK.keys()
    assert len(set(theme.LIGHT.values())) == len(theme.LIGHT)
    for palette in (theme.LIGHT, theme.DARK):
        for name in ("ink", "soft", "accent", "good", "bad", "mixed"):
            assert theme.contrast(palette[name], palette["ground"]) >= 4.5, name
            assert theme.contrast(palette[name], palette["panel"]) >= 4.5, name
        for name in ("blue", "vermillion", "green", "purple", "amber", "sky", "neutral"):
            assert theme.contrast(palette[name], palette["ground"]) >= 3, name
        for step in (1, 2, 3):
            assert theme.contrast(palette["on_low"], palette[f"step{step}"]) >= 4.5
        for step in (4, 5, 6):
            assert theme.contrast(palette["on_high"], palette[f"step{step}"]) >= 3
        lightness = [theme.luminance(palette[f"step{step}"]) for step in range(1, 7)]
        assert lightness in (sorted(lightness), sorted(lightness, reverse=True))


def test_a_service_keeps_its_colour_in_any_company() -> None:
    alone = theme.colours(["conversation", "conversation · GPT-4"])
    among = theme.colours(["api", "all", "code", "conversation"])
    assert alone["conversation"] == alone["conversation · GPT-4"] == among["conversation"]
    assert len(set(theme.colours([f"service {i}" for i in range(4)] + ["api", "conversation"]).values())) == 6


@given(
    st.floats(1e-9, 1e9),
    st.floats(1.0, 1e12),
    st.integers(3, 9),
)
def test_ticks_are_few_and_lie_in_range(low: float, ratio: float, limit: int) -> None:
    ticks = log_ticks(low, low * ratio, limit)
    assert len(ticks) <= limit
    assert all(low <= tick <= low * ratio for tick in ticks)
    assert all(a < b for a, b in pairwise(ticks))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"), (878, "878"), (878.1, "878"), (1234.5, "1,234"), (0.0123456, "0.0123"), (-0.25, "−0.25"),
        (1e6, "1,000,000"), (0.0001, "0.0001"), (3.456e-7, "3.46e−07"), (None, "unknown"),
        (float("nan"), "unknown"),
    ],
)  # fmt: skip
def test_numbers_read_as_prose(value: float | None, text: str) -> None:
    assert number(value) == text


def test_an_estimate_without_an_interval_is_said_without() -> None:
    assert estimate({"a": 0.5, "a_low": 0.25, "a_high": 1.0}, "a") == "0.5 [0.25, 1]"
    assert estimate({"a": 0.5, "a_low": None, "a_high": None}, "a") == "0.5"


def test_rows_of_panels_are_full_where_that_can_be() -> None:
    assert [columns_for(n) for n in range(1, 8)] == [1, 2, 3, 2, 2, 3, 2]
