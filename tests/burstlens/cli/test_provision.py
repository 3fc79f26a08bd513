"""Forecast and ratio to their end, as verbs and as parts of a report, on a short day of one service."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from burstlens.analysis.interchange.parameters import read_parameters
from tests.helpers import burstlens

pytest.importorskip("xgboost", reason="xgboost is not installed: pip install 'burstlens[forecast]'")

REQUESTS = 500
HEAD = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type"


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wave of three hours, in BurstGPT's layout."""
    rng = np.random.default_rng(1)
    at = rng.uniform(0, 16 * 3600, 4 * REQUESTS)
    chosen = at[rng.random(len(at)) < 0.6 + 0.35 * np.sin(2 * np.pi * at / 10_800)][:REQUESTS]
    rows = [f"{t:.0f},ChatGPT,{80 + i % 900},{20 + i % 300},{100 + i % 900 + i % 300},Conversation log"
            for i, t in enumerate(np.sort(chosen))]  # fmt: skip
    path = tmp_path_factory.mktemp("log") / "short_day.csv"
    path.write_text("\n".join([HEAD, *rows]) + "\n")
    return path


@pytest.mark.slow
def test_a_forecast_to_its_page_and_its_load(log: Path, tmp_path: Path) -> None:
    load = tmp_path / "load.json"
    done = burstlens(
        "forecast", log, "--bin", "10m", "--no-images", "-o", tmp_path / "f", "--parameters", load
    )
    assert done.returncode == 0, done.stderr
    assert f"page: {tmp_path / 'f' / 'index.html'}" in done.stdout
    assert "request count" in done.stdout
    content = json.loads((tmp_path / "f" / "forecast.json").read_text())
    rows = content["tables"]["scores"]
    assert {row["method"] for row in rows} >= {"xgboost_squared", "last_value", "autoregression"}
    assert all(row["nmae"] > 0 for row in rows)
    windows = read_parameters(load)["selections"][0]["arrivals"]["windows"]
    assert len(windows) == pl.read_csv(tmp_path / "f" / "tables" / "forecast-forecasts.csv").filter(
        pl.col("method") == "xgboost_poisson", pl.col("target") == "requests"
    ).height  # fmt: skip


@pytest.mark.slow
def test_counts_that_never_change_are_forecast_without_skill(tmp_path: Path) -> None:
    log = tmp_path / "even.csv"
    rows = "".join(f"{second},ChatGPT,0,0,0,Conversation log\n" for second in range(0, 100 * 600, 20))
    log.write_text(f"{HEAD}\n{rows}")
    out = tmp_path / "out"
    done = burstlens("forecast", log, "--bin", "10m", "--no-images", "-q", "-o", out)
    assert done.returncode == 0, done.stderr
    assert "cannot be forecast" in " ".join(done.stdout.split())
    assert "no token load in the log to forecast" in done.stdout
    assert (out / "index.html").is_file()


@pytest.fixture(scope="module")
def report(log: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str]:
    out = tmp_path_factory.mktemp("report")
    done = burstlens("report", log, "--forecast", "--disaggregate", "--no-images", "--json", "-q", "-o", out)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), (out / "index.html").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize(("claim", "part"), [("forecast", "forecast"), ("pd", "disaggregation")])
def test_a_report_has_the_section_and_the_verdict_with_its_option(
    report: tuple[dict[str, Any], str], claim: str, part: str
) -> None:
    (trace,), page = report[0]["traces"], report[1]
    assert trace[part]["sentences"]
    found = next(one for one in trace["claims"] if one["id"] == claim)
    assert found["value"]
    assert found["part"] == part
    line = page.split(f'id="claim-short-day-{claim}"')[1].split("</li>")[0]
    (target,) = re.findall(r'href="#([^"]+)"', line)
    assert part in target
    assert f'id="{target}"' in page
    assert (Path(report[0]["folder"]) / "tables").is_dir()


@pytest.mark.slow
def test_what_is_simulated_says_so_wherever_it_is_shown(report: tuple[dict[str, Any], str]) -> None:
    (trace,), page = report[0]["traces"], report[1]
    assert next(one for one in trace["claims"] if one["id"] == "pd")["value"].startswith("simulated by")
    section = page.split('<section id="disaggregation">')[1].split("</section>")[0]
    titles = re.findall(r"<h4.*?</h4>", section)
    assert titles
    assert all("simulated</span>" in title for title in titles)
    assert "SIMULATED by llama-2-13b-a100" in page


@pytest.mark.slow
def test_a_report_without_either_says_how_to_get_them(log: Path, tmp_path: Path) -> None:
    done = burstlens("report", log, "--no-images", "--json", "-q", "-o", tmp_path)
    (trace,) = json.loads(done.stdout)["traces"]
    claims = {one["id"]: one for one in trace["claims"]}
    assert "--forecast" in claims["forecast"]["why"]
    assert "--disaggregate" in claims["pd"]["why"]
    assert {claims[name]["verdict"] for name in ("forecast", "pd")} == {"cannot tell"}


def test_a_trace_without_tokens_has_no_ratio_and_says_what_to_do(tmp_path: Path) -> None:
    log = tmp_path / "functions.csv"
    log.write_text("app,func,end_timestamp,duration\n" + "a,f,10.5,0.5\na,f,20.5,0.5\n" * 30)
    done = burstlens("report", log, "--disaggregate", "-q", "-o", tmp_path / "out")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "has no token counts" in line
    assert "report without --disaggregate" in line
