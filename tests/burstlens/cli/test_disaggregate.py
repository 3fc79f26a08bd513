"""The verb `disaggregate`: plan, page and screen; bad input as one line and exit code 2."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner

import burstlens as bl
from burstlens.analysis.characterize import Characterization
from burstlens.analysis.interchange.parameters import parameters, write_parameters
from burstlens.analysis.synthetic.trace import open_synthetic
from burstlens.cli.flags import Stopped
from burstlens.cli.verbs.disaggregate import disaggregate
from tests.helpers import burstlens

QUICK = ("--seeds", 2, "--total", 3, "--window", "3h", "--beam", 3, "--first", 600, "--tolerance", 0.1)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    out = tmp_path_factory.mktemp("pd")
    completed = burstlens("disaggregate", "--turnover", *QUICK, "--json", "-q", "-o", out)
    assert completed.returncode == 0, completed.stderr
    return json.loads(completed.stdout), out


@pytest.mark.slow
def test_plan_numbers_and_page_are_written(done: tuple[dict[str, Any], Path]) -> None:
    content, out = done
    assert content["finished"]
    assert content["simulated"] == "llama-2-13b-a100"
    plan = json.loads((out / "plan.json").read_text())
    assert [row["at_s"] for row in plan["windows"]] == [0.0, 10_800.0, 21_600.0, 32_400.0]
    assert {row["ratio"] for row in plan["windows"]} <= {"1:2", "2:1"}
    page = (out / "index.html").read_text()
    assert "Simulated." in page
    assert "Synthetic load." in page
    assert '<span class="badge">simulated</span> <span class="badge">synthetic load</span></h4>' in page
    for figure in ("ratios-switch", "sequence-policies", "sequence-course"):
        assert f"fig-pd-{figure}" in page
        assert (out / "figures" / f"{figure}.svg").is_file()
    ratios = pl.read_csv(out / "tables" / "ratios-ratios.csv")
    assert ratios["kind"].to_list() == ["fixed", "fixed", "switch", "provisioned", "real"]
    assert ratios.filter(pl.col("gain_rps") == 0)["kind"].to_list().count("fixed") == 1


@pytest.mark.slow
def test_the_verdict_follows_from_the_gains(done: tuple[dict[str, Any], Path]) -> None:
    content, out = done
    (claim,) = content["claims"]
    assert claim["id"] == "pd"
    ratios = {row["kind"]: row for row in pl.read_csv(out / "tables" / "ratios-ratios.csv").to_dicts()}
    for kind, statement in zip(("switch", "provisioned"), claim["statements"].values(), strict=True):
        low, high = ratios[kind]["gain_rps_low"], ratios[kind]["gain_rps_high"]
        assert statement is (True if low > 0 else False if high < 0 or low == high == 0 else None)


@pytest.mark.parametrize(("step_s", "seeds"), [(0.001, 1), (1, 2)])
def test_a_trace_whose_stamps_leave_nothing_to_a_seed_is_one_load(
    step_s: float, seeds: int, tmp_path: Path
) -> None:
    log = tmp_path / "log.csv"
    at = [round(i * 120 + i * 7 % 50 + (i % 3 * 0.007 if step_s < 1 else 0), 3) for i in range(300)]
    rows = "".join(f"{at_s:g},{50 + i % 40},{20 + i % 30}\n" for i, at_s in enumerate(sorted(at)))
    log.write_text("arrival_s,request_tokens,response_tokens\n" + rows)
    completed = burstlens("disaggregate", log, *QUICK, "-q", "-o", tmp_path / "pd", "--no-images")
    assert completed.returncode == 0, completed.stderr
    screen = " ".join(completed.stdout.split())
    content = json.loads((tmp_path / "pd" / "disaggregate.json").read_text())
    assert len(content["seeds"]) == len(content["fixed"][0]["goodput_rps"]) == seeds
    # Intervals are those of seeds that draw something.
    assert ("one load" in screen) == (" [" not in screen) == ("There is one load:" in screen) == (seeds == 1)
    assert ("Seeds only move the trace's requests" in screen) == (seeds == 2)


def test_the_screen_and_the_page_again(
    done: tuple[dict[str, Any], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content, out = done
    again = burstlens("report", out, "-o", tmp_path / "again", "--no-images")
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "again" / "index.html").is_file()
    from burstlens.api.disaggregate import read
    from burstlens.cli.verbs.disaggregate import show_result

    show_result(read(out), out / "index.html")
    screen = " ".join(capsys.readouterr().out.split())
    assert "SIMULATED by preset llama-2-13b-a100" in screen
    for row in pl.read_csv(out / "tables" / "ratios-ratios.csv").iter_rows(named=True):
        assert row["policy"] in screen
    (claim,) = content["claims"]
    assert f"{claim['verdict']}: {claim['claim']}" in screen
    assert str(out / "plan.json") in screen.replace(" ", "")


def test_a_search_that_was_stopped_has_a_page(done: tuple[dict[str, Any], Path], tmp_path: Path) -> None:
    content = json.loads((done[1] / "disaggregate.json").read_text())
    stopped = {**content, "finished": False, "switch": None, "sequences": {}, "course": None}
    (tmp_path / "disaggregate.json").write_text(json.dumps(stopped))
    from burstlens.api.disaggregate import read

    found = read(tmp_path)
    assert found.claim.verdict == "cannot tell"
    assert found.plan is None
    page = found.report(images=False).read_text()
    assert "The search was stopped" in page


def test_a_search_that_was_stopped_leaves_no_plan_of_another(tmp_path: Path) -> None:
    """A plan lies in the folder; the next search there is stopped before it has one."""
    few: dict[str, Any] = {
        "turnover": True,
        "first": 100,
        "total": 2,
        "seeds": 1,
        "window_s": 21_600.0,
        "beam": 1,
    }
    bl.disaggregate(None, tmp_path, tolerance=0.3, **few)
    assert (tmp_path / "plan.json").is_file()

    def stop(step: str, share: float) -> None:
        if step == "fixed ratios" and share == 1.0:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bl.disaggregate(None, tmp_path, **few, progress=stop)
    assert not json.loads((tmp_path / "disaggregate.json").read_text())["finished"]
    assert not (tmp_path / "plan.json").exists()


@pytest.mark.parametrize(
    ("at", "text"),
    [
        ("reading the load", None),
        ("fixed ratios", "stopped; no ratio was judged yet"),
        ("switches", "stopped; what was found is kept in .*Of the fixed ratios "),
    ],
)
def test_ctrl_c_says_what_is_kept(
    at: str, text: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where an earlier search lies, which is not what was found now."""
    (tmp_path / "disaggregate.json").write_text("{}")
    os.utime(tmp_path / "disaggregate.json", (1e9, 1e9))
    search = bl.disaggregate

    def stop(step: str, _share: float) -> None:
        if step == at:
            raise KeyboardInterrupt

    monkeypatch.setattr(bl, "disaggregate", lambda *a, **k: search(*a, **{**k, "progress": stop}))
    few = ["--turnover", "--total", "3", "--first", "100", "--seeds", "1", "--window", "6h"]
    completed = CliRunner().invoke(disaggregate, [*few, "-q", "-o", str(tmp_path)], standalone_mode=False)
    if text is None:
        assert isinstance(completed.exception, Stopped), "which main shows"
        assert completed.exception.message == "stopped"
    else:
        assert completed.return_value == 130
        assert re.search(text, completed.stderr)


@pytest.fixture(scope="module")
def logs(
    synthetic_characterization: Callable[..., Characterization], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """A trace of two days, and the parameters of it."""
    folder = tmp_path_factory.mktemp("logs")
    open_synthetic(folder / "trace.parquet", days=2, seed=3).close()
    write_parameters(parameters(synthetic_characterization(2, 3)), folder / "parameters.json")
    return folder / "trace.parquet", folder / "parameters.json"


@pytest.mark.slow
def test_a_plan_from_a_forecast_is_judged_on_the_trace(logs: tuple[Path, Path]) -> None:
    trace, forecast = logs
    found = bl.disaggregate(
        trace,
        plan_from=forecast,
        start_s=10 * 3600.0,
        end_s=14 * 3600.0,
        total=2,
        seeds=1,
        beam=1,
        window_s=7200.0,
        tolerance=0.2,
    )
    assert found.content["load"]["name"] != found.content["provisioned_load"]["name"]
    assert found.content["load"]["span_s"] == found.content["provisioned_load"]["span_s"] == 4 * 3600.0
    assert set(found.content["sequences"]) == {"real", "provisioned"}
    assert any("Forecast:" in text for part in found.parts for text in part.sentences())
    assert found.claim.verdict == "cannot tell"
    assert found.ratios["policy"][0] == "1:1"


@pytest.mark.slow
def test_a_long_trace_is_searched_on_its_busiest_stretch_as_it_says(
    logs: tuple[Path, Path], tmp_path: Path
) -> None:
    few = ("--total", 2, "--seeds", 1, "--beam", 1, "--tolerance", 0.3, "--window", "1h")
    completed = burstlens(
        "disaggregate",
        logs[0],
        "--service",
        "conversation",
        "--busiest",
        900,
        *few,
        "-q",
        "--no-images",
        "-o",
        tmp_path,
    )
    assert completed.returncode == 0, completed.stderr
    content = json.loads((tmp_path / "disaggregate.json").read_text())
    cut = content["cut"]
    assert content["load"]["requests"] == cut["requests"] <= 900 < cut["of"]
    assert content["load"]["span_s"] == cut["end_s"] - cut["start_s"]
    sentence = f"{cut['requests']:,} of {cut['of']:,} requests"
    assert sentence in " ".join(completed.stdout.split())
    assert sentence in (tmp_path / "index.html").read_text()


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--turnover", "--total", 1], "--total: 1 is too few instances"),
        (["--turnover", "--slo-ttft", "0.01"], "--slo-ttft: no ratio can meet 0.01 s"),
        (["--turnover", "--slo-tpot", "0.01"], "--slo-tpot: no ratio can meet 0.01 s"),
        (["--turnover", "--window", "20h"], "--window: 72,000 s is as long as the load"),
        (["--turnover", "--beam", 0], "--beam: 0 is not above 0"),
        (["TRACE", "--turnover"], "is a load, and --turnover is another: give one of them"),
        (["--turnover", "--from", "1h"], "--from: is for a trace, and --turnover uses none"),
        (["--turnover", "--service", "api"], "--service: is for a trace"),
        (["--turnover", "--tokens", "5,6"], "--tokens: is for a trace"),
        (["--turnover", "--busiest", 900], "--busiest: is for a trace"),
        (["TRACE", "--busiest", 0], "--busiest: 0 is not above 0"),
        (["nothing.parquet"], "nothing.parquet: no such file"),
        (["TRACE", "--from", "90d"], "no request in that time"),
        (["TRACE", "--plan-from", "TRACE"], "is not a parameters.json"),
        (["FUNCTIONS"], "has no token counts; give the lengths of request and response with --tokens"),
        (["--turnover", "--simulate", "none-such"], "no preset 'none-such'"),
    ],
)
def test_bad_input_is_one_line(
    argv: list[object], words: str, logs: tuple[Path, Path], tmp_path: Path
) -> None:
    functions = tmp_path / "functions.csv"
    functions.write_text("app,func,end_timestamp,duration\n" + "a,f,10.5,0.5\na,f,20.5,0.5\n" * 3)
    named = {"TRACE": logs[0], "FUNCTIONS": functions}
    completed = burstlens("disaggregate", *(named.get(str(a), a) for a in argv), "-q", "-o", tmp_path / "out")
    assert completed.returncode == 2
    (line,) = completed.stderr.splitlines()
    assert words in line
