"""Figures of traces side by side: what they draw, what their titles say, and what is left out."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import polars as pl
import pytest
import vl_convert

from burstlens.analysis.characterize import Characterization
from burstlens.analysis.compare.side_by_side import Comparison, compare_traces
from burstlens.reports.figures.base import Figure
from burstlens.reports.figures.registry import figures_of

REAL = {
    "week": "burstgpt_1_first7days.csv",
    "functions": "maf2_azure_functions_2021_200.csv",
    "azure": "azure_llm_2023_conv.csv",
    "sessions": "burstgpt_3_first400.csv",
}


@pytest.fixture(scope="module")
def real(characterized: Callable[[str], Characterization]) -> dict[str, Characterization]:
    return {name: characterized(file) for name, file in REAL.items()}


@pytest.fixture(scope="module")
def comparison(real: dict[str, Characterization]) -> Comparison:
    return compare_traces(list(real.values()))


@pytest.mark.slow
def test_the_page_finds_four_figures_each_with_its_finding(comparison: Comparison) -> None:
    drawn = figures_of(comparison)
    assert [figure.name for figure in drawn] == ["variation", "coverage", "measures", "lengths"]
    for figure in drawn:
        assert figure.table_name in comparison.tables()
        assert len(figure.title) < 110
        assert figure.sentence.endswith(".")
        assert len(figure.alt_text) > 80
        assert _svg(figure).count("<path") > 4


def test_titles_state_findings_of_the_tables(comparison: Comparison) -> None:
    titles = {figure.name: figure.title for figure in figures_of(comparison)}
    assert titles["coverage"].startswith("burstgpt_3_first400 alone has all four")
    assert "maf2_azure_functions_2021_200 is burstiest in bins of 1 s" in titles["variation"]
    measures = comparison.measures.filter(pl.col("selection") == "all")
    longest = measures.drop_nulls("request_tokens_p50").sort("request_tokens_p50").row(-1, named=True)
    assert f"{longest['request_tokens_p50']:,.0f} tokens in {longest['trace']}" in titles["lengths"]


def test_what_is_drawn_is_what_the_tables_hold(comparison: Comparison) -> None:
    drawn = {figure.name: figure.data for figure in figures_of(comparison)}
    dispersion = comparison.dispersion.filter(pl.col("selection") == "all", pl.col("rate_cv2") > 0)
    assert drawn["variation"]["variation"].to_list() == dispersion["rate_cv2"].to_list()
    # Bands of values that reach below zero end at the axis, not at a number that cannot be drawn.
    assert (drawn["variation"]["low"] > 0).all()
    assert (drawn["variation"]["low"] <= drawn["variation"]["variation"]).all()
    assert drawn["coverage"].height == comparison.coverage.height == 16
    lengths = drawn["lengths"]
    assert (lengths["low"] <= lengths["median"]).all()
    assert (lengths["median"] <= lengths["high"]).all()
    dots = drawn["measures"]
    assert (dots["low"] <= dots["value"]).all()
    assert (dots["value"] <= dots["high"]).all()


def test_a_trace_without_tokens_is_named_and_not_drawn_among_lengths(comparison: Comparison) -> None:
    figure = next(figure for figure in figures_of(comparison) if figure.name == "lengths")
    assert "maf2_azure_functions_2021_200" not in set(figure.data["trace"])
    assert "maf2_azure_functions_2021_200 has no tokens." in figure.sentence


def test_cells_of_the_coverage_matrix_say_yes_and_no_in_words(comparison: Comparison) -> None:
    figure = next(figure for figure in figures_of(comparison) if figure.name == "coverage")
    svg = _svg(figure)
    coverage = figure.data["held"]
    assert svg.count(">yes<") == (coverage == "yes").sum()
    assert svg.count(">no<") == (coverage == "no").sum()


def test_a_trace_has_one_colour_in_every_figure(comparison: Comparison) -> None:
    """Also where a figure leaves some traces out: colours go by place among all traces."""
    ranges: set[tuple[Any, ...]] = set()
    for figure in figures_of(comparison):
        ranges.update(
            (tuple(domain), tuple(colours)) for domain, colours in _scales(figure) if "yes" not in domain
        )
    assert len(ranges) == 1
    domain, colours = ranges.pop()
    assert list(domain) == comparison.traces["trace"].to_list()
    assert len(set(colours)) == len(domain)


def test_traces_without_any_tokens_have_no_figure_of_lengths(real: dict[str, Characterization]) -> None:
    names = [figure.name for figure in figures_of(compare_traces([real["functions"]]))]
    assert names == ["variation", "coverage", "measures"]


def test_one_trace_or_none_is_no_error(real: dict[str, Characterization]) -> None:
    alone = figures_of(compare_traces([real["week"]]))
    assert alone[0].title == "How much the rate of burstgpt_1_first7days varies in bins of 1 s to 1 hour"
    assert "No trace here has all four" in alone[1].title
    assert figures_of(compare_traces([])) == []


def test_names_of_traces_are_text_in_the_figures(real: dict[str, Characterization]) -> None:
    name = "<script>alert('a·b')</script> \"quoted\" it's"
    hostile = replace(real["azure"], info=replace(real["azure"].info, name=name))
    for figure in figures_of(compare_traces([hostile, real["functions"]])):
        svg = _svg(figure)
        assert "<script" not in svg
        assert "&lt;script&gt;" in svg


def test_two_equal_traces_are_not_told_to_differ(real: dict[str, Characterization]) -> None:
    figure = figures_of(compare_traces([real["azure"], real["azure"]]))[0]
    assert figure.title == "At equal mean rate no trace is burstier than another beyond chance"


def _svg(figure: Figure) -> str:
    spec = figure.drawn("recorded")
    return str(vl_convert.vegalite_to_svg(json.dumps(spec)))


def _scales(figure: Figure) -> list[tuple[list[str], list[str]]]:
    """Domain and range of every colour scale."""
    text = json.dumps(figure.spec())
    found = re.findall(r'"scale": (\{"domain": \[[^\]]*\], "range": \["#[^\]]*\]\})', text)
    scales = [json.loads(each) for each in found]
    return [(scale["domain"], scale["range"]) for scale in scales]
