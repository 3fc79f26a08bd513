"""The page of an experiment: verdicts as found, figures that hold to their tables, stopped ones told."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import vl_convert

import burstlens as bl
from burstlens.analysis.core.errors import BurstlensError
from burstlens.analysis.core.verdicts import HIGHER
from burstlens.bench.experiments.contrast import NOISE
from burstlens.bench.experiments.findings import findings
from burstlens.bench.experiments.maf2 import Courses, LoadComparison
from burstlens.bench.experiments.trials import COURSES, EXPERIMENT, TRIALS, read
from burstlens.reports.figures.bench.contrast import WORDS
from burstlens.reports.figures.bench.maf2 import COLOURS
from burstlens.reports.figures.registry import figures_of
from burstlens.reports.figures.theme import LIGHT
from burstlens.reports.notebook import html
from burstlens.reports.pages.citation_tables import cited, rounded
from burstlens.reports.pages.experiment import sources, write_experiment_page

HOSTILE = '"><img src=x onerror=alert(2)> & <script>alert(1)</script> 100 %_{$'


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four workloads at two rates, three seeds, on the simulated engine."""
    out = tmp_path_factory.mktemp("experiment")
    bl.experiment("maf2", out, rates_rps=[0.5, 1.5], requests=300, seeds=3)
    return out


@pytest.fixture(scope="module")
def page(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_experiment_page(folder, tmp_path_factory.mktemp("page"), command="burstlens report x")


@pytest.fixture
def copied(folder: Path, tmp_path: Path) -> Callable[..., Path]:
    """The experiment again, with some of its trials and other words in its question."""

    def make(trials: int | None = None, **fields: Any) -> Path:
        lines = (folder / TRIALS).read_text(encoding="utf-8").splitlines(keepends=True)
        (tmp_path / TRIALS).write_text("".join(lines[:trials]), encoding="utf-8")
        shutil.copytree(folder / COURSES, tmp_path / COURSES, dirs_exist_ok=True)
        question = json.loads((folder / EXPERIMENT).read_text(encoding="utf-8"))
        (tmp_path / EXPERIMENT).write_text(json.dumps({**question, **fields}), encoding="utf-8")
        return tmp_path

    return make


MARKS = """
[...document.querySelectorAll('figure')].map((figure) => [figure.id,
  figure.querySelectorAll('svg .role-mark :is(path, rect, line, text)').length])
"""
OVERFLOW = """
({ page: document.documentElement.scrollWidth - document.documentElement.clientWidth,
   figures: [...document.querySelectorAll('figure .chart')].filter((c) => c.scrollWidth > c.clientWidth + 1)
     .map((c) => c.parentElement.id) })
"""


@pytest.mark.slow
@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)])
def test_the_page_opens_without_a_fault_or_a_request(
    page: Path, folder: Path, chromium: Any, width: int, dark: bool
) -> None:
    seen: dict[str, Any] = {}

    async def look(visit: Any) -> None:
        seen["marks"] = await visit.run(MARKS)
        seen["overflow"] = await visit.run(OVERFLOW)
        seen["faults"] = await visit.run("burstlens.errors")

    visit = chromium.visit(page, look, width=width, dark=dark)
    assert visit.console == []
    assert seen["faults"] == []
    assert {url for url in visit.requests if not url.startswith("data:")} == {page.resolve().as_uri()}
    drawn = [figure for part in findings(read(folder)).parts for figure in figures_of(part)]
    assert len(seen["marks"]) == len(drawn) == 6
    assert [figure for figure, marks in seen["marks"] if not marks] == []
    assert seen["overflow"] == {"page": 0, "figures": []}


def test_verdicts_are_those_of_the_findings(page: Path, folder: Path) -> None:
    conclusions = findings(read(folder))
    text = page.read_text(encoding="utf-8")
    for claim in conclusions.claims:
        found = re.search(rf'id="claim-{claim.id}">.*?<span class="chip [^"]*">([^<]*)</span>', text, re.S)
        assert found is not None
        assert found[1] == claim.verdict
        assert f'href="#fig-experiment-{claim.part}-{claim.figure}"' in text
    assert json.loads((page.parent / "report.json").read_text(encoding="utf-8"))["claims"][0]["verdict"] == (
        conclusions.claims[0].verdict
    )
    assert set(re.findall(r'href="#([^"]+)"', text)) <= set(re.findall(r'id="([^"]+)"', text))
    for link in re.findall(r'href="(tables/[^"]+)"', text):
        assert (page.parent / link).is_file()


@pytest.mark.slow
def test_figures_hold_to_their_tables(folder: Path) -> None:
    loaded, courses = findings(read(folder)).parts
    assert isinstance(loaded, LoadComparison)
    assert isinstance(courses, Courses)
    drawn = {figure.name: figure for part in (loaded, courses) for figure in figures_of(part)}
    row = loaded.means.row(0, named=True)
    dot = drawn["measures"].data.filter(workload=row["workload"], panel="Mean token latency L, ms")
    assert dot.row(0, named=True)["value"] == pytest.approx(1000 * row["token_latency_s"])
    assert dot.row(0, named=True)["high"] == pytest.approx(1000 * row["token_latency_s_high"])
    differences = loaded.pairs.table().filter(pl.col("relative").is_not_null() & (pl.col("rate_rps") == 0.5))
    figure_rows = drawn["differences"].data
    assert figure_rows["percent"].to_list() == pytest.approx((100 * differences["relative"]).to_list())
    assert figure_rows["word"].to_list() == differences["word"].to_list()
    for low, high, word in figure_rows.select("low", "high", "word").iter_rows():
        assert (low > 0) == (word == HIGHER)
        assert word != NOISE or low <= 0 <= high
    over = drawn["over-time"].data.filter(measure="sent", workload="MAF2")
    course = courses.courses.filter(workload="MAF2", rate_rps=0.5)
    assert over["value"].to_list() == course["sent"].to_list()
    for figure in drawn.values():
        figure.chart.to_dict()
        assert 8 <= len(figure.title) <= 130
        for text in (figure.title, figure.sentence, figure.alt_text):
            assert not re.search(r"\b(nan|None|inf|unknown)\b|\{|\}", text), text
        assert figure.data.height <= 8000


def test_a_panel_holds_its_own_workload_only(folder: Path) -> None:
    figure = figures_of(findings(read(folder)).parts[1])[0]
    svg = vl_convert.vegalite_to_svg(json.dumps(figure.drawn("SIMULATED")))
    lines = re.findall(r'<g class="mark-line[^"]*role-mark[^"]*"[^>]*>(.*?)</g>', svg, re.S)
    rows = figure.data["measure"].n_unique()
    assert len(lines) == 4 * rows
    strokes = [re.findall(r'<path[^>]*stroke="(#[0-9a-f]{6})"', group) for group in lines]
    assert strokes == [[colour] for colour in COLOURS.values()] * rows


def test_what_was_simulated_says_so_on_every_figure(page: Path) -> None:
    images = list((page.parent / "figures").glob("*.svg"))
    assert len(images) == len(list((page.parent / "figures").glob("*.png"))) == 6
    for image in images:
        text = image.read_text(encoding="utf-8")
        assert "SIMULATED by llama-2-13b-a100" in text
        assert "SYNTHETIC WORKLOAD" in text
    text = page.read_text(encoding="utf-8")
    assert text.count('class="banner"') == 2
    badges = '<span class="badge">simulated</span> <span class="badge">synthetic workload</span></h4>'
    assert text.count(badges) == text.count("<figure ") == len(images)


def test_no_word_has_the_colour_of_a_workload() -> None:
    assert len(set(COLOURS.values())) == 4
    assert not set(COLOURS.values()) & {LIGHT[name] for name in WORDS.values()}


@pytest.mark.slow
def test_a_stopped_experiment_is_shown_and_said_to_be(copied: Callable[..., Path], chromium: Any) -> None:
    half = copied(5, finished=False, stopped="stopped by Ctrl-C")
    page = write_experiment_page(half, images=False)
    assert page == half / "index.html"
    text = page.read_text(encoding="utf-8")
    assert "5 of 24 trials have ended (stopped by Ctrl-C)" in text
    assert "Unfinished" in html(findings(read(half)))
    seen: dict[str, Any] = {}

    async def look(visit: Any) -> None:
        seen["faults"] = await visit.run("burstlens.errors")

    assert chromium.visit(page, look).console == []
    assert seen["faults"] == []


@pytest.mark.slow
def test_names_are_shown_as_text(copied: Callable[..., Path], chromium: Any) -> None:
    options = {"sources": {HOSTILE: [{"name": HOSTILE, "sha256": "0" * 64}]}, "option": HOSTILE}
    folder = copied(asked=options, notes=[HOSTILE], title=HOSTILE, simulated=HOSTILE)
    page = write_experiment_page(folder, images=False, command=HOSTILE)
    seen: dict[str, Any] = {}

    async def look(visit: Any) -> None:
        seen["text"] = await visit.run("document.body.innerText")
        seen["scripts"] = await visit.run("document.scripts.length")
        seen["images"] = await visit.run("document.images.length")

    assert chromium.visit(page, look).console == []
    assert seen["text"].count(HOSTILE) >= 6
    assert "0" * 64 in seen["text"]
    assert (seen["scripts"], seen["images"]) == (5, 0)
    assert "<script>" not in html(findings(read(folder)))


def test_nothing_ended_and_unknown_kinds_are_one_line(copied: Callable[..., Path]) -> None:
    with pytest.raises(BurstlensError, match="no trial has ended yet"):
        write_experiment_page(copied(0))
    with pytest.raises(BurstlensError, match="does not know experiments of kind 'later'"):
        write_experiment_page(copied(kind="later"))
    with pytest.raises(BurstlensError, match="no experiment 'maf3'; did you mean 'maf2'"):
        bl.experiment("maf3")


@pytest.mark.slow
def test_a_real_server_is_not_called_simulated(copied: Callable[..., Path]) -> None:
    folder = copied(simulated=None, synthetic=False, title="m at http://127.0.0.1:1, version 9")
    text = write_experiment_page(folder, images=False).read_text(encoding="utf-8")
    assert 'class="banner"' not in text
    assert 'class="badge"' not in text
    assert "version 9" in text


def test_the_table_to_cite_rounds_to_its_interval_and_escapes(folder: Path) -> None:
    assert rounded(25.5312, 24.66, 26.39) == "25.53 [24.66, 26.39]"
    assert rounded(1234.5, 1000.0, 1500.0) == "1,234 [1,000, 1,500]"
    assert rounded(3.0, None, None) == "3"
    assert rounded(None, None, None) == "–"
    means = findings(read(folder)).parts[0].tables()["means"]
    table = cited(means.with_columns(pl.lit(HOSTILE + "|").alias("workload")))
    assert table is not None
    lines = table.markdown().splitlines()
    assert len(lines) == means.height + 2
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {len(table.header) + 1}
    body = table.latex().splitlines()[4:-2]
    assert {len(re.findall(r"(?<!\\)&", line)) for line in body} == {len(table.header) - 1}
    assert r"100 \%\_\{\$" in table.latex()
    assert cited(pl.DataFrame({"a": [1]})) is None


def test_sources_are_found_wherever_they_stand() -> None:
    facts = {"burst": [{"name": "a.csv", "sha256": "f"}, {"name": "b.csv"}], "functions": "synthetic"}
    assert list(sources(facts)) == [
        ("burst", "a.csv", "f"),
        ("burst", "b.csv", ""),
        ("functions", "synthetic", ""),
    ]


@pytest.mark.slow
def test_a_notebook_shows_verdict_and_table(folder: Path) -> None:
    done = bl.experiment("maf2", folder, rates_rps=[0.5, 1.5], requests=300, seeds=3)
    markup = done._repr_html_()
    assert done.findings.claims[0].verdict in markup
    assert "simulated by llama-2-13b-a100" in markup
    means = done.to_frame("loads.means")
    assert means.height == 8
    assert done.trials.height == 24
    with pytest.raises(BurstlensError, match="another experiment"):
        bl.experiment("maf2", folder, rates_rps=[0.5], requests=300, seeds=3)
