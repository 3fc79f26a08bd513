"""The verbs of load as a user types them: exit codes, one-line errors, what lands in the folder."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

import burstlens as bl
from burstlens.console import Duration
from tests.bench.faulty import faulty
from tests.helpers import burstlens

CONSTANT = "shape=0.5,scale=2,exponent=1.1"
PRESET = "llama-2-13b-a100"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("20m", 1200), ("2d18h", 237_600), ("1.5h", 5400), ("90", 90), ("1h 30s", 3630), ("50ms", 0.05)],
)
def test_a_time_span_is_a_sum_of_its_parts(text: str, seconds: float) -> None:
    assert Duration().convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["", "h", "2x", "1h-2m", "-3s", "0", "1..2s", "inf"])
def test_what_is_no_time_span_is_refused_with_the_form(text: str, tmp_path: Path) -> None:
    argv = ["replay", CONSTANT, "--simulate", PRESET, "-o", str(tmp_path / "run"), f"--to={text}"]
    done = burstlens(*argv)
    assert done.returncode == 2
    assert "not a time span; write" in done.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_replay_in_virtual_time_leaves_record_and_summary(tmp_path: Path) -> None:
    out = tmp_path / "run"
    argv = ["replay", CONSTANT, "--simulate", PRESET, "-o", str(out), "--first", "200", "--json", "--strict"]
    done = burstlens(*argv)
    assert done.returncode == 0, done.stderr
    content = json.loads(done.stdout)
    assert content == json.loads((out / "summary.json").read_text())
    assert (content["requests"]["asked"], content["requests"]["answered"]) == (200, 200)
    requests = pl.read_parquet(out / "requests.parquet")
    assert sorted(requests["request_id"].to_list()) == list(range(200))
    # The record is a log like any other, and its page can be made.
    assert burstlens("report", str(out), "-o", str(tmp_path / "page")).returncode == 0
    (page,) = (each.read_text() for each in (tmp_path / "page").rglob("*.html"))
    assert "simulated" in page


def test_a_schedule_draws_a_load_that_gets_denser(tmp_path: Path) -> None:
    out = tmp_path / "run"
    source = "shape=1,scale=linear:2..0.2,exponent=1.1"
    argv = ["replay", source, "--simulate", PRESET, "-o", str(out), "--to", "1h", "--quiet"]
    done = burstlens(*argv)
    assert done.returncode == 0, done.stderr
    at_s = pl.read_parquet(out / "workload.parquet")["at_s"]
    halves = (at_s < 1800).sum(), (at_s >= 1800).sum()
    assert halves[1] > 1.5 * halves[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "--first, a number of requests, or --to"),
        (["--first", "5", "--rate", "2", "--speedup", "2"], "--rate and --speedup"),
        (["--first", "5", "--url", "http://127.0.0.1:9"], "--url and --simulate exclude each other"),
    ],
)
def test_a_replay_that_cannot_be_says_why_in_one_line(
    options: list[str], message: str, tmp_path: Path
) -> None:
    argv = ["replay", CONSTANT, "--simulate", PRESET, "-o", str(tmp_path / "run"), *options]
    done = burstlens(*argv)
    assert done.returncode == 2
    text = done.stderr
    assert message in text
    assert len(text.splitlines()) == 1


def test_laws_of_parameters_are_refused_for_a_trace(traces: Callable[[str], Path], tmp_path: Path) -> None:
    source = str(traces("azure_llm_2023_conv.csv"))
    argv = ["replay", source, "--simulate", PRESET, "-o", str(tmp_path / "run"), "--lengths", "zipf"]
    done = burstlens(*argv)
    assert done.returncode == 2
    assert "--lengths: is for fitted parameters" in done.stderr


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a run."""
    out = tmp_path_factory.mktemp("before") / "run"
    done = burstlens("replay", CONSTANT, "--simulate", PRESET, "-o", str(out), "--first", "50", "-q")
    assert done.returncode == 0, done.stderr
    return str(out)


@pytest.mark.parametrize(
    ("source", "option", "message"),
    [
        ("RUN", ("--first", "10"), "--first: is for traces, fitted parameters, constants, but "),
        ("RUN", ("--service", "api"), "--service: is for traces, fitted parameters, but "),
        ("RUN", ("--from", "1h"), "--from: "),
        ("RUN", ("--no-spread",), "--no-spread: is for traces, but "),
        ("RUN", ("--tokens", "5,6"), "--tokens: "),
        (CONSTANT, ("--sessions", "think"), "--sessions: "),
        (CONSTANT, ("--model", "GPT-4"), "--model: "),
        (CONSTANT, ("--from", "1h"), f"but {CONSTANT} names constants; leave it out"),
        (CONSTANT, ("--tokens", "5,6"), "--tokens: "),
        (CONSTANT, ("--lengths", "zipf"), "--lengths: is for fitted parameters, but "),
    ],
)  # fmt: skip
def test_what_means_nothing_for_a_source_is_refused(
    source: str, option: tuple[str, ...], message: str, run: str, tmp_path: Path
) -> None:
    argv = ["replay", run if source == "RUN" else source, "--simulate", PRESET, "-o", str(tmp_path / "run")]
    done = burstlens(*argv, *option)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert message in line
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "option",
    [("--window", "5m"), ("--seed", "0"), ("--strict",), ("--forecast",), ("--disaggregate",), ("--to", "1h"),
     ("--columns", "arrival=ts"), ("--engine", "duckdb"), ("--spark-conf", "spark.executor.memory=8g")],
)  # fmt: skip
def test_the_page_of_a_run_takes_no_options_of_traces(
    option: tuple[str, ...], run: str, tmp_path: Path
) -> None:
    done = burstlens("report", run, *option, "-o", str(tmp_path / "page"))
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert f"{option[0]}: is for traces, but {run} is a run; leave it out" in line
    assert not (tmp_path / "page").exists()


def test_python_refuses_options_of_traces_for_a_run_too(run: str, tmp_path: Path) -> None:
    with pytest.raises(bl.InputError, match=r"is for traces, but .* is a run; leave it out") as error:
        bl.report(run, tmp_path / "page", window_s=300.0)
    assert error.value.parameter == "window_s"
    assert not (tmp_path / "page").exists()


def test_a_run_is_sent_again_as_it_was_or_squeezed(run: str) -> None:
    load, faster = bl.workload(run), bl.workload(run, speedup=2.0, seed=3)
    assert len(load.requests) == len(faster.requests) == 50
    assert faster.span_s == pytest.approx(load.span_s / 2)


def test_calibrate_brings_the_kv_cache_to_the_level(tmp_path: Path) -> None:
    argv = ["calibrate", CONSTANT, "--simulate", PRESET, "--kv", "0.3", "--first", "1500", "--json"]
    done = burstlens(*argv)
    assert done.returncode == 0, done.stderr
    content = json.loads(done.stdout)
    assert content["used"] == pytest.approx(0.3, abs=0.05)


def test_serve_lists_its_presets_with_their_sources() -> None:
    done = burstlens("serve", "--list")
    assert done.returncode == 0
    assert PRESET in done.stdout


@pytest.mark.slow
def test_report_makes_the_page_of_an_experiment_and_says_where_there_is_none(tmp_path: Path) -> None:
    folder = tmp_path / "maf2"
    options = ["--rate", "1.5", "--first", "120", "--seeds", "2", "--workers", "1", "-q", "-o", str(folder)]
    experiment = burstlens("experiment", "maf2", *options)
    assert experiment.returncode == 0, experiment.stderr
    report = burstlens("report", str(folder), "--no-images", "--json", "-q")
    assert report.returncode == 0, report.stderr
    page = Path(json.loads(report.stdout)["page"])
    assert page == folder / "index.html"
    assert "burstlens report" in page.read_text(encoding="utf-8")
    assert (folder / "report.json").is_file()
    (folder / "trials.jsonl").write_text("")
    empty = burstlens("report", str(folder), "-q")
    assert empty.returncode == 2
    assert empty.stderr.count("\n") == 1
    assert "no trial has ended yet; the same command continues" in empty.stderr


@pytest.mark.slow
def test_a_replay_loads_no_library_that_it_does_not_need(tmp_path: Path) -> None:
    """Start-up is part of what a client costs: these took half a second and 50 MB and more."""
    log = tmp_path / "log.csv"
    log.write_text("arrival_s,request_tokens,response_tokens\n" + "".join(f"0.0{i},5,4\n" for i in range(9)))
    with faulty(lambda _: "ok") as (url, _):
        done = subprocess.run(
            [sys.executable, "-X", "importtime", "-m", "burstlens.cli", "replay", str(log), "--url", url,
             "-o", str(tmp_path / "run"), "--quiet"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
    loaded = [line.rpartition("|")[2].strip() for line in done.stderr.splitlines()]
    needless = ("altair", "statsmodels", "pandas", "jsonschema_rs", "jinja2", "scipy.stats", "scipy.optimize")
    assert [name for name in loaded if name.startswith(needless)] == []
    late = [loaded.index(name) for name in ("scipy", "burstlens.bench.metrics.summary")]
    assert min(late) > loaded.index("aiohttp")
    assert "duckdb" in loaded
    if sys.platform == "linux":
        # The reader tells its imports too: what both load would stand here twice.
        assert loaded.index("multiprocessing.popen_fork") < loaded.index("duckdb")
        assert loaded.count("duckdb") == 1, "what reads logs stays in the memory of what sends"
        assert loaded.count("polars") == loaded.count("numpy") == 1
    assert (tmp_path / "run" / "summary.json").is_file()


def test_a_log_of_batches_and_of_prompts_too_long_is_noted_on_the_screen(tmp_path: Path) -> None:
    log = tmp_path / "batches.csv"
    rows = (f"{3.001 * (i // 20):.3f},{100 + i % 37 if i % 4 else 9000},{20 + i % 23}\n" for i in range(1200))
    log.write_text("arrival_s,request_tokens,response_tokens\n" + "".join(rows))
    fitted = burstlens("fit", log, "-o", tmp_path / "fit.json", "-q")
    assert "fit.json: 1 selection, 1 window of 1200 s\nnote: all: 100 % of requests are in windows" in (
        fitted.stdout
    )
    run = burstlens("replay", log, "--simulate", "llama-2-13b-a100", "-q", "-o", tmp_path / "run")
    screen = " ".join(run.stdout.split())
    assert "http_4xx 300 times: 400: the prompt leaves no room for an answer" in screen
    assert "note: 300 of 1,200 prompts leave no room for an answer in the model's 4,096 tokens" in screen
    drawn = burstlens("replay", tmp_path / "fit.json", "--simulate", "llama-2-13b-a100", "-q",
                      "-o", tmp_path / "drawn")  # fmt: skip
    assert "100 % of the load is drawn in windows with gaps that are not Gamma distributed" in " ".join(
        drawn.stdout.split()
    )
    paged = burstlens("report", tmp_path / "run", "-q", "--no-images")
    assert paged.returncode == 0, paged.stderr
    page = (tmp_path / "run" / "index.html").read_text()
    assert "http_4xx, 300 times: “400: the prompt leaves no room for an answer (simulated)”." in page
