"""The Python API as a person meets it: what importing loads, what help says, how results are shown."""

from __future__ import annotations

import doctest
import inspect
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import burstlens as bl
from burstlens.analysis.core.errors import BurstlensError
from burstlens.analysis.core.exhibit import Displayable
from burstlens.bench.experiments.trials import read
from burstlens.gpu.evaluate import GpuEvaluation

HEAVY = ("polars", "duckdb", "altair", "numpy", "scipy", "statsmodels", "aiohttp", "orjson", "jinja2", "rich",
         "jsonschema_rs", "vl_convert", "zstandard", "uvloop", "click")  # fmt: skip
FUNCTIONS = [
    name
    for name in bl.__all__
    if inspect.isfunction(getattr(bl, name)) and getattr(bl, name).__name__ == name
]
"""Without former names."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the examples run: it holds the day of the synthetic trace that they read."""
    folder = tmp_path_factory.mktemp("examples")
    bl.synth(folder / "synthetic.csv", days=1, seed=7).close()
    return folder


def test_importing_loads_nothing_heavy() -> None:
    code = f"import burstlens, sys; print(*(name for name in {HEAVY!r} if name in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], env=dict(os.environ), capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []


def test_every_verb_is_a_function() -> None:
    from burstlens.cli.commands import cli

    verbs = {verb.replace("-", "_") for verb in cli.commands} - {"completion"}
    assert verbs <= set(FUNCTIONS)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["__init__", *FUNCTIONS])
def test_help_has_an_example_that_runs(
    name: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    documented: Any = bl if name == "__init__" else getattr(bl, name)
    text = inspect.getdoc(documented) or ""
    test = doctest.DocTestParser().get_doctest(text, {"bl": bl}, name, None, None)
    assert test.examples, f"help(burstlens.{name}) shows no example"
    output: list[str] = []
    flags = doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL
    runner = doctest.DocTestRunner(optionflags=flags)
    runner.run(test, out=output.append)
    assert runner.failures == 0, "\n".join(output)
    assert capsys.readouterr().err == ""
    # A module of the same name would take the function's place once it is loaded.
    assert name == "__init__" or inspect.isfunction(getattr(bl, name))


@pytest.mark.slow
def test_every_result_shows_itself_and_becomes_frames(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    trace = bl.trace("synthetic.csv")
    found = bl.describe("synthetic.csv", window_s=3600)
    load = bl.workload("synthetic.csv", first=100, rate_rps=1.0)
    results: list[Displayable] = [
        trace,
        found,
        *found.parts,
        bl.fit("synthetic.csv", window_s=3600),
        bl.ingest("synthetic.csv", "synthetic.parquet"),
        load,
        bl.simulate(load, "llama-2-13b-a100", "shown"),
        bl.report(["synthetic.csv"], "shown-page", images=False),
        bl.compare("synthetic.csv", "synthetic.csv"),
        bl.export("synthetic.csv", "vllm", "shown.jsonl", first=100),
    ]
    for result in results:
        markup = result._repr_html_()
        assert markup is not None
        assert "– <strong>synthetic" in markup, type(result)
        assert "<script" not in markup
        assert isinstance(result.to_frame(), pl.DataFrame)
        assert result.to_frames()
    assert trace.to_frame().height == trace.info.rows
    assert trace.to_frame("selections")["requests"][0] == trace.info.rows
    trace.close()


@pytest.mark.slow
def test_figures_come_by_name_with_their_words(folder: Path) -> None:
    found = bl.describe(folder / "synthetic.csv", window_s=1200)
    figures = found.figures()
    figure = figures["arrivals.shape-sequence"]
    assert figure.data.height
    assert figure.alt_text in (found._repr_html_() or "").replace("&#39;", "'")
    assert "SVG" not in figure.title


CELL = """
import asyncio, os, signal, sys
import burstlens as bl

# As in a kernel, however this was started.
signal.signal(signal.SIGINT, signal.default_int_handler)

sent = []

def show(step, share):
    if step.endswith(UNTIL) and not sent:
        sent.append(step)
        os.kill(os.getpid(), signal.SIGINT)

async def cell(url):
    CALL

with bl.serving(speedup=20) as url:
    try:
        asyncio.new_event_loop().run_until_complete(cell(url))
    except KeyboardInterrupt:
        print("interrupted")
"""
"""A notebook: a cell runs in an event loop, and an interrupt reaches the thread of that loop."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("until", "call"),
    [
        ("trials", 'bl.experiment("maf2", "cut", url=url, rates_rps=[20.0], requests=100, '
         "seeds=1, progress=show)"),
        ("", 'bl.calibrate("shape=1,scale=0.05,exponent=1.1", url=url, first=3000, progress=show)'),
        ("", 'bl.gpu_evaluate("cut", url=url, model="Llama-2-13b", only=["client"], client_requests=100_000, '
         "progress=show)"),
    ],
    ids=["experiment", "calibrate", "gpu_evaluate"],
)  # fmt: skip
def test_an_interrupt_of_a_notebook_ends_what_is_sent(until: str, call: str, tmp_path: Path) -> None:
    code = CELL.replace("UNTIL", repr(until)).replace("CALL", call)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.split() == ["interrupted"], done.stderr
    if "gpu_evaluate" in call:
        (stage,) = GpuEvaluation(tmp_path / "cut").stages
        assert (stage.stage, stage.state) == ("client", "stopped")
    if until:
        stored = read(tmp_path / "cut")
        assert stored.trials.height == 1
        assert stored.question.stopped == "stopped by Ctrl-C"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: bl.serve(scheduling="lifo"), "scheduling: 'lifo' is neither fcfs nor priority"),
        (lambda: bl.text_prompts("a.json", "b.json", api="chats"), "api: 'chats' is neither completions nor"),
        (lambda: bl.experiment("schedulers", source=Path("no.json")), "no.json"),
        (lambda: bl.experiment("maf2", log=Path("no.csv")), "no.csv"),
        (lambda: bl.experiment("maf2", functions=Path("no.csv")), "no.csv"),
        (lambda: bl.experiment("sweep", grid="no.toml"), "no.toml"),
        (lambda: bl.serve(port=99_999), "port: 99999 is not between 0 and 65535"),
        (lambda: bl.describe("no.csv", window_s=0), "window_s: 0 is not above 0"),
        (lambda: bl.fit("no.csv", window_s=float("nan")), "window_s: nan is not above 0"),
        (lambda: bl.report("no.csv", window_s=-1), "window_s: -1 is not above 0"),
        (lambda: bl.arrivals("no.csv", window_s="20m"), "window_s: '20m' is not a number"),  # type: ignore[arg-type]
        (lambda: bl.workload("p.json", first=-3), "first: -3 is not above 0"),
        (lambda: bl.workload("p.json", first=2.5), "first: 2.5 is not an integer"),  # type: ignore[arg-type]
        (lambda: bl.workload("p.json", rate_rps=0), "rate_rps: 0 is not above 0"),
    ],
)
def test_bad_input_raises_one_line(
    call: Callable[[], object], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BurstlensError, match=message) as fault:
        call()
    assert "\n" not in str(fault.value)


def test_a_table_that_is_not_there_names_those_that_are(folder: Path) -> None:
    load = bl.workload(folder / "synthetic.csv", first=10)
    with pytest.raises(BurstlensError, match="no table 'request'; there are: requests"):
        load.to_frame("request")


def test_a_figure_that_there_is_not_is_one_line_with_those_that_there_are(folder: Path) -> None:
    with bl.trace(folder / "synthetic.csv") as trace:
        figures = bl.arrivals(trace, window_s=3600).figures()
    with pytest.raises(BurstlensError, match=f"no figure 'nope'; there are: {next(iter(figures))}"):
        figures["nope"]


def test_a_folder_that_cannot_be_written_is_noticed_before_a_forecast_begins(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    steps: list[str] = []
    with pytest.raises(bl.DiskError, match="file/out: cannot be written"):
        bl.forecast(out=tmp_path / "file" / "out", progress=lambda step, _: steps.append(step))
    assert steps == []
