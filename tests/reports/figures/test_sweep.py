"""Figures of a sweep: what is drawn is what was found, valid for Vega-Lite, whatever part of a grid ran."""

from __future__ import annotations

import json
import re
from pathlib import Path

import polars as pl
import pytest
import vl_convert

from burstlens.api.experiments.sweep import run_sweep as experiment
from burstlens.bench.experiments import sweep
from burstlens.bench.experiments.backends import COURSE, MEASURES
from burstlens.bench.experiments.grid import (
    CONSTANT,
    EXPONENT,
    LINEAR,
    ORIGIN,
    PROFILES,
    SHAPE,
    START,
    Grid,
    grid_of,
)
from burstlens.bench.experiments.trials import Experiment, Question
from burstlens.reports.figures.base import Figure
from burstlens.reports.figures.bench.sweep import COLUMNS
from burstlens.reports.figures.bench.sweep_rows import ROWS
from burstlens.reports.figures.registry import figures_of
from burstlens.reports.pages.experiment import write_experiment_page


def planted_experiment(grid: Grid, seeds: int, fails: bool = True) -> Experiment:
    """Trials of known values: all of them grow with the load that shape × scale and the exponent make."""
    rows, courses = [], []
    for seed in range(seeds):
        for one in grid.settings():
            labels = {**one.labels(), "seed": seed}
            load = 1.1 / (one.shape * one.scale * one.exponent)
            values = dict.fromkeys(MEASURES, 0.1 * load * (1 + 0.02 * seed))
            rows.append(labels | values | ({} if fails else {"failure_rate": 0.0}))
            if one.parameter == ORIGIN or (one.parameter == SHAPE and one.profile != CONSTANT):
                course = {"at_s": [float(i) for i in range(9)]}
                course |= {name: [0.1 * load * (i + 1) for i in range(9)] for name in COURSE}
                courses.append(
                    pl.DataFrame(course).select(*(pl.lit(v).alias(k) for k, v in labels.items()), pl.all())
                )
    facts = {"start": dict(grid.start), "factor": 0.25}
    question = Question("sweep", {}, {}, "made", None, True, list(range(seeds)), len(rows), facts)
    return Experiment(Path(), question, pl.DataFrame(rows), pl.concat(courses), (*labels,))


def drawn(done: Experiment) -> dict[str, Figure]:
    return {figure.name: figure for part in sweep.parts(done) for figure in figures_of(part)}


ONLY = {
    "all": Grid(),
    "no pairs": grid_of(pairs=False),
    "constant": grid_of(profiles=[CONSTANT]),
    "declines": grid_of({SHAPE: [0.4, 0.6]}, profiles=[LINEAR]),
    "exponent": grid_of({EXPONENT: [1.4]}),
    "pairs alone": grid_of({SHAPE: [0.2]}, paired={SHAPE: [0.3], EXPONENT: [1.4]}),
}


@pytest.mark.slow
@pytest.mark.parametrize("grid", ONLY.values(), ids=ONLY)
@pytest.mark.parametrize(("seeds", "fails"), [(3, True), (1, False)])
def test_whatever_ran_is_drawn_and_told(grid: Grid, seeds: int, fails: bool) -> None:
    found = drawn(planted_experiment(grid, seeds, fails))
    assert "measures" in found
    for figure in found.values():
        figure.chart.to_dict()
        assert vl_convert.vegalite_to_svg(json.dumps(figure.drawn("SIMULATED")))
        assert figure.data.height
        assert 8 <= len(figure.title) <= 160
        for text in (figure.title, figure.sentence, figure.alt_text):
            assert not re.search(r"\b(nan|None|inf|unknown)\b|\{|\}", text), text


@pytest.mark.slow
def test_lines_bands_and_the_start_are_those_of_the_tables() -> None:
    done = planted_experiment(Grid(), 3)
    varied = sweep.parts(done)[0]
    data = drawn(done)["measures"].data
    assert set(data["panel"]) == set(COLUMNS.values())
    assert set(data["measure"]) == set(ROWS)
    table = varied.of(SHAPE).filter(mode="equal rate", profile=LINEAR)
    line = data.filter(panel="shape α, equal rate", profile=LINEAR, measure="token_latency_s")
    assert line["at"].to_list() == table[SHAPE].to_list()
    assert line["value"].to_list() == pytest.approx((1000 * table["token_latency_s"]).to_list())
    assert line["high"].to_list() == pytest.approx((1000 * table["token_latency_s_high"]).to_list())
    assert set(line["start"]) == {START[SHAPE]}
    assert START[SHAPE] in line["at"].to_list()


@pytest.mark.slow
def test_a_panel_holds_its_own_parameter_only() -> None:
    figure = drawn(planted_experiment(Grid(), 2))["measures"]
    svg = vl_convert.vegalite_to_svg(json.dumps(figure.drawn("SIMULATED")))
    lines = re.findall(r'<g class="mark-line[^"]*role-mark[^"]*"', svg)
    # Vega has a group a line, inside one a panel.
    assert len(lines) == len(ROWS) * len(COLUMNS) * len(PROFILES)


@pytest.mark.slow
def test_a_map_has_a_cell_for_each_pair_and_the_axes() -> None:
    maps = {
        name: figure
        for name, figure in drawn(planted_experiment(Grid(), 2)).items()
        if name.startswith("map")
    }
    assert len(maps) == 4
    for figure in maps.values():
        assert figure.data.height == 3 * len(PROFILES) * 9
        assert figure.data["dark"].any()
        assert not figure.data["dark"].all()


@pytest.mark.slow
def test_the_page_of_a_sweep_has_its_figures_and_its_verdict(tmp_path: Path) -> None:
    grid = grid_of({SHAPE: [0.3, 0.4], EXPONENT: [1.4]}, profiles=[CONSTANT, LINEAR])
    experiment(tmp_path, grid=grid, kv=0.1, requests=400, seeds=2)
    text = write_experiment_page(tmp_path, images=False).read_text(encoding="utf-8")
    assert 'href="#fig-experiment-parameters-measures"' in text
    for anchor in ("parameters-measures", "steps-steps", "thirds-thirds", "pairs-map-1", "pairs-map-2"):
        assert f'id="fig-experiment-{anchor}"' in text
    assert set(re.findall(r'href="#([^"]+)"', text)) <= set(re.findall(r'id="([^"]+)"', text))
