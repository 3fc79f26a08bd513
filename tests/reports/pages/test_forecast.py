"""The forecast's page, its ledger line, and how Python and notebooks get it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import polars as pl
import pytest

import burstlens as bl
from burstlens.analysis.characterize import Characterization
from burstlens.analysis.forecast.part import Forecasts
from burstlens.analysis.forecast.series import TARGETS
from burstlens.analysis.synthetic.trace import open_synthetic
from burstlens.analysis.trace.trace import write_trace
from burstlens.reports.claims.forecast import forecast
from burstlens.reports.figures.registry import figures_of
from burstlens.reports.notebook import html
from burstlens.reports.pages.forecast import write_forecast_page

pytest.importorskip("xgboost", reason="xgboost is not installed: pip install 'burstlens[forecast]'")


@pytest.fixture(scope="module")
def folder(week_forecast: Forecasts, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("forecast")
    write_forecast_page(week_forecast, out, command="burstlens forecast week.csv", images=False)
    return out


def test_the_page_says_plainly_what_cannot_be_forecast(folder: Path) -> None:
    page = (folder / "index.html").read_text(encoding="utf-8")
    assert "Cannot be forecast" in page
    assert "api, request count per 1m" in page
    assert "SYNTHETIC TRACE" not in page
    assert "<strong>Synthetic.</strong>" not in page
    assert '<span class="badge">' not in page
    for link in re.findall(r'href="#([^"]+)"', page):
        assert f'id="{link}"' in page, link


def test_figures_are_the_paper_s_panels_and_the_error_over_widths(week_forecast: Forecasts) -> None:
    drawn = {figure.name: figure for figure in figures_of(week_forecast)}
    assert list(drawn) == ["six-hours", "six-hours-bins", "skill", "methods", "widths"]
    hours = drawn["six-hours"].data["hour"]
    assert hours.max() - hours.min() == pytest.approx(6, abs=0.1)  # type: ignore[operator]
    assert set(drawn["six-hours-bins"].data["panel"]) == {"per 1m", "per 10m"}
    assert drawn["widths"].data["minutes"].n_unique() == 7
    for figure in drawn.values():
        figure.chart.to_dict()
        assert figure.alt_text.endswith(".")


def test_json_and_tables_hold_the_scores(folder: Path, week_forecast: Forecasts) -> None:
    document = json.loads((folder / "forecast.json").read_text(encoding="utf-8"))
    assert len(document["tables"]["scores"]) == week_forecast.scores.height
    assert document["claim"]["verdict"] == "agrees"
    bins = pl.read_csv(folder / "tables" / "forecast-forecasts.csv", infer_schema_length=None)
    assert bins.height == week_forecast.forecasts.height


def test_the_ledger_gets_a_verdict_where_a_forecast_was_made(week_forecast: Forecasts) -> None:
    without = forecast(Characterization(week_forecast.info, 1200.0, ()))
    assert without.verdict == "cannot tell"
    assert "report --forecast" in without.why
    found = forecast(Characterization(week_forecast.info, 1200.0, (week_forecast,)))
    assert found.verdict == "agrees"
    assert found.value.startswith("NMAE per 1m 0.5")
    assert found.figure in {figure.name for figure in figures_of(week_forecast)}


@pytest.mark.slow
def test_a_notebook_shows_the_verdicts(week_forecast: Forecasts) -> None:
    markup = html(week_forecast)
    assert "cannot be forecast" in markup
    assert "<script" not in markup


def test_a_record_too_short_for_rolling_origins_gets_a_page_without_figures(tmp_path: Path) -> None:
    log = tmp_path / "log.parquet"
    bl.synth(log, days=1.6, seed=1).close()
    found = bl.forecast(log, tmp_path / "out", service="conversation", bins_s=[1800.0], origins=1)
    assert found.part.verdicts.is_empty()
    assert found.part.scores.height
    assert figures_of(found.part) == []
    assert {text.split(": ")[0] for text in found.part.missing} == {
        f"conversation, {target} per 30m" for target in TARGETS.values()
    }
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert "fewer than 40 bins are before each origin" in page


@pytest.mark.slow
def test_python_forecasts_a_log_and_marks_what_is_synthetic(tmp_path: Path) -> None:
    log = tmp_path / "synthetic.parquet"
    write_trace(open_synthetic(days=3, seed=1), log)
    done = bl.forecast(log, service="conversation", bins_s=[900.0], origins=2)
    assert done.tables["verdicts"]["target"].to_list() == ["requests", "request_tokens", "token_load"]
    assert done.parameters is None
    assert "<strong>synthetic</strong>" in (done._repr_html_() or "")
    page = done.report(tmp_path / "out", images=False).read_text(encoding="utf-8")
    assert "SYNTHETIC TRACE" in page
    assert "<strong>Synthetic.</strong>" in page
    assert '<span class="badge">synthetic trace</span>' in page
