"""The figure whose reader chooses window, service and model, used on the page in a browser."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import burstlens as bl
from burstlens.analysis.traffic.window_lengths import Sequences
from burstlens.reports.figures.trace.window_lengths import MAX_WINDOWS
from burstlens.reports.pages.trace import Report

FIGURE = "[id^=fig-][id$=sequences-sequence]"
STATE = f"""(() => {{
  const figure = document.querySelector('{FIGURE}');
  const box = figure.querySelector('.controls');
  return {{
    window: box.querySelector('input:checked').value,
    chosen: [...box.querySelectorAll('select')].map((s) => s.value),
    able: [...box.querySelectorAll('select')].map(
      (s) => [...s.options].filter((o) => !o.disabled).map((o) => o.text)),
    sentence: figure.querySelector('[data-sentence]').textContent,
    label: figure.querySelector('.chart').getAttribute('aria-label'),
    points: figure.querySelectorAll('svg .mark-symbol.role-mark path').length,
    anchor: figure.id,
  }};
}})()"""
DRAWN = """new Promise((go) => {
  const wait = () => setTimeout(() => burstlens.drawn > %d ? go(burstlens.drawn) : wait(), 20);
  wait();
})"""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """The report of two synthetic days, with every service and model."""
    folder = tmp_path_factory.mktemp("live")
    bl.synth(folder / "synthetic.parquet", days=2, seed=7).close()
    return bl.report([folder / "synthetic.parquet"], folder / "out", images=False)


def errors(visit: Any) -> list[str]:
    """What the console says, but for Vega's warnings about ranges that two days leave empty."""
    return [line for line in visit.console if '"WARN"' not in line]


async def choose(visit: Any, selector: str, value: str) -> dict[str, Any]:
    """Choose as a script can, as if a reader had; the state once it is drawn again."""
    before = await visit.run("burstlens.drawn")
    control = f"document.querySelector('{FIGURE} .controls').querySelector({json.dumps(selector)})"
    how = "c.checked = true" if "radio" in selector else f"c.value = {json.dumps(value)}"
    await visit.run(f"(() => {{ const c = {control}; {how}; "
                    "c.dispatchEvent(new Event('change', {bubbles: true})); })()")  # fmt: skip
    await visit.run(DRAWN % before)
    state: dict[str, Any] = await visit.run(STATE)
    return state


@pytest.mark.slow
def test_window_service_and_model_are_switched_without_a_server(report: Report, chromium: Any) -> None:
    part = report.characterizations[0].part(Sequences)
    seen: dict[str, Any] = {}

    def windows(window_s: float, **of: str) -> int:
        return part.windows.filter(pl.col("window_s") == window_s).filter(**of).height

    async def look(visit: Any) -> None:
        seen["start"] = await visit.run(STATE)
        seen["5"] = await choose(visit, "input[type=radio][value='5 minutes']", "")
        seen["api"] = await choose(visit, "select[data-place='1']", "api")
        seen["model"] = await choose(visit, "select[data-place='2']", "ChatGPT")
        seen["all"] = await choose(visit, "select[data-place='1']", "all services")
        seen["csv"] = await visit.run(
            f"burstlens.make.csv(document.querySelector('{FIGURE}').id).then((b) => b.text())"
        )
        seen["svg"] = await visit.run(
            f"burstlens.make.svg(document.querySelector('{FIGURE}').id).then((b) => b.text())"
        )
        seen["faults"] = await visit.run("burstlens.errors")

    visit = chromium.visit(report.page, look)
    assert errors(visit) == []
    assert seen["faults"] == []
    assert {url for url in visit.requests if not url.startswith("data:")} == {report.page.resolve().as_uri()}
    start, five, api, model, everything = (seen[name] for name in ("start", "5", "api", "model", "all"))
    assert start["window"] == "20 minutes"
    assert start["chosen"] == ["all services", "all models"]
    assert start["points"] == 2 * windows(1200, selection="all")
    assert five["window"] == "5 minutes"
    assert five["points"] == 2 * windows(300, selection="all") > start["points"]
    assert "windows of 5 minutes" in five["sentence"]
    assert "5 minutes" in five["label"]
    assert api["points"] == 2 * windows(300, selection="api")
    assert model["points"] == 2 * windows(300, selection="api · ChatGPT")
    assert model["sentence"].startswith("api · ChatGPT")
    # No sequence holds one model of all services: the choice of the model falls back.
    assert everything["chosen"] == ["all services", "all models"]
    assert everything["able"][1] == ["all models"]
    assert len(list(csv.DictReader(io.StringIO(seen["csv"])))) == windows(300, selection="all")
    assert "5 minutes, all services, all models" in seen["svg"]
    assert "SYNTHETIC TRACE" in seen["svg"]


@pytest.mark.slow
def test_choices_made_faster_than_they_are_drawn_are_drawn_one_after_the_other(
    report: Report, chromium: Any
) -> None:
    seen: dict[str, Any] = {}
    quick = f"""(() => {{
      const chart = document.querySelector('{FIGURE} .chart');
      const real = window.vegaEmbed;
      let at_once = 0;
      window.peak = 0;
      window.vegaEmbed = async (...args) => {{
        if (args[0] === chart) window.peak = Math.max(window.peak, ++at_once);
        try {{ return await real(...args); }} finally {{ if (args[0] === chart) at_once -= 1; }}
      }};
      for (const value of ['5 minutes', '60 minutes']) {{
        const input = document.querySelector(`{FIGURE} .controls input[value='${{value}}']`);
        input.checked = true;
        input.dispatchEvent(new Event('change', {{bubbles: true}}));
      }}
    }})()"""

    async def look(visit: Any) -> None:
        before = await visit.run("burstlens.drawn")
        await visit.run(quick)
        await visit.run(DRAWN % (before + 1))
        seen["state"] = await visit.run(STATE)
        seen["peak"] = await visit.run("window.peak")

    chromium.visit(report.page, look)
    part = report.characterizations[0].part(Sequences)
    assert seen["peak"] == 1
    assert seen["state"]["window"] == "60 minutes"
    hours = part.windows.filter(pl.col("window_s") == 3600, pl.col("selection") == "all")
    assert seen["state"]["points"] == 2 * hours.height


@pytest.mark.slow
@pytest.mark.parametrize("dark", [False, True])
def test_controls_work_from_the_keyboard_and_have_names(report: Report, chromium: Any, dark: bool) -> None:
    seen: dict[str, Any] = {}
    keys = {"ArrowRight": "39", "ArrowDown": "40"}

    async def press(visit: Any, key: str) -> dict[str, Any]:
        before = await visit.run("burstlens.drawn")
        code = {"key": key, "code": key, "windowsVirtualKeyCode": int(keys[key])}
        for kind in ("keyDown", "keyUp"):
            await visit.ask("Input.dispatchKeyEvent", {"type": kind, **code})
        await visit.run(DRAWN % before)
        state: dict[str, Any] = await visit.run(STATE)
        return state

    async def look(visit: Any) -> None:
        await visit.run(f"document.querySelector('{FIGURE} .controls input:checked').focus()")
        seen["right"] = await press(visit, "ArrowRight")
        await visit.run(f"document.querySelector('{FIGURE} .controls select').focus()")
        seen["down"] = await press(visit, "ArrowDown")
        tree = await visit.ask("Accessibility.getFullAXTree", {})
        seen["nodes"] = [
            (node["role"]["value"], node.get("name", {}).get("value"))
            for node in tree["nodes"]
            if "role" in node
        ]
        seen["overflow"] = await visit.run(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )

    assert errors(chromium.visit(report.page, look, width=390, dark=dark)) == []
    assert seen["right"]["window"] == "60 minutes"
    assert seen["down"]["chosen"][0] != "all services"
    for node in (("radio", "5 minutes"), ("combobox", "Service"), ("combobox", "Model"), ("group", "Window")):
        assert node in seen["nodes"], node
    assert seen["overflow"] == 0


@pytest.mark.slow
def test_what_the_page_carries_is_bounded(report: Report) -> None:
    text = report.page.read_text(encoding="utf-8")
    assert len(text) < 15e6
    specs = json.loads(re.search(r'id="specs">(.*?)</script>', text, re.S)[1])  # type: ignore[index]
    datasets = json.loads(re.search(r'id="datasets">(.*?)</script>', text, re.S)[1])  # type: ignore[index]
    (entry,) = (spec for name, spec in specs.items() if name.endswith("sequences-sequence"))
    part = report.characterizations[0].part(Sequences)
    assert len(entry["states"]) == part.windows.select("window_s", "selection").n_unique()
    for state in entry["states"]:
        assert 1 < len(datasets[state["data"]]["day"]) <= MAX_WINDOWS


@pytest.mark.slow
def test_the_chosen_window_length_is_one_of_those_on_the_page(report: Report, tmp_path: Path) -> None:
    done = bl.report(
        [report.folder.parent / "synthetic.parquet"], tmp_path / "out", window_s=600, images=False
    )
    part = done.characterizations[0].part(Sequences)
    assert part.lengths_s == [300.0, 600.0, 1200.0, 3600.0]
    assert part.figures()["sequence"].choice.start[0] == "10 minutes"
