"""Every command is its function: the same options, the same defaults, the same files."""

from __future__ import annotations

import inspect
import re
import shlex
from collections.abc import Callable
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from typing import Any

import click
import polars as pl
import pytest

import burstlens as bl
from burstlens.api.experiments import dispatch
from burstlens.cli.commands import cli
from burstlens.cli.flags import verbs
from tests.helpers import burstlens

PRESET = "llama-2-13b-a100"
VERBS = {name: command for name, command in verbs(cli).items() if name != "completion"}

TERMINAL_ONLY = {
    "*": {"as_json", "quiet", "verbose", "log_file"},
    "fetch": {"former"},
    "describe": {"everything"},
    "export": {"listing", "until"},
    "ingest": {"list"},
    "replay": {"strict"},
    "serve": {"listing"},
}
"""Options that say how the terminal shows a result or ends, or that are former names."""
PARAMETERS = {"log": "logs"}
"""Arguments that take one word at a time where the function takes a list."""
ANONYMIZING = {each.name for each in fields(bl.Anonymize)}
"""Options that go to the function as one `Anonymize`."""
RETURNED = {"disaggregate", "fit"}
"""Verbs whose functions return what they find, and write only where `out` says so."""


def function_of(verb: str) -> Callable[..., Any]:
    """The function that a command calls."""
    if verb.startswith("experiment "):
        return dispatch.EXPERIMENTS[verb.split()[1]]
    found: Callable[..., Any] = getattr(bl, verb.replace("-", "_"))
    return found


def default_of(param: click.Parameter) -> object:
    """What the function gets without the option."""
    command = click.Command("defaults", params=[param])
    context = command.make_context("defaults", [], resilient_parsing=not param.required)
    value = context.params.get(str(param.name))
    return str(value) if isinstance(value, Path) else value


@pytest.mark.parametrize("verb", VERBS)
def test_each_option_is_a_parameter_of_the_function(verb: str) -> None:
    signature = inspect.signature(function_of(verb)).parameters
    assert not any(each.kind is each.VAR_KEYWORD for each in signature.values())
    own = TERMINAL_ONLY["*"] | TERMINAL_ONLY.get(verb, set())
    for param in VERBS[verb].params:
        name = str(param.name)
        if name in own:
            continue
        if not param.expose_value:
            # What is said about a log goes to the function as one `LogOptions`.
            assert signature["reading"].default is None
            assert default_of(param) is None
            assert name in {each.name for each in fields(bl.LogOptions)}
            continue
        if name in ANONYMIZING:
            assert signature["anonymize"].default is None
            assert default_of(param) is None
            continue
        parameter = signature.get(name) or signature.get(PARAMETERS.get(name, name))
        assert parameter is not None, f"{verb}: {param.opts} is not a parameter"
        if param.required or isinstance(param, click.Argument) or (verb in RETURNED and name == "out"):
            continue
        default, expected = default_of(param), parameter.default
        # A list that is empty is no choice, as is None.
        assert (None if default == () else default) == (None if expected == () else expected), param.opts


@pytest.mark.parametrize("kind", dispatch.EXPERIMENTS)
def test_an_experiment_by_name_takes_the_options_of_its_function(kind: str) -> None:
    run = function_of(f"experiment {kind}")
    options = getattr(import_module(run.__module__), f"{kind.title()}Options")
    assert options.__annotations__.keys() | {"out"} == inspect.signature(run).parameters.keys()


CONSTANT = "shape=0.5,scale=0.2,exponent=1.1"
CASES: dict[str, tuple[list[str], Callable[[str], object]]] = {
    "synth": (
        ["synth", "-o", "out/synthetic.csv", "--days", "0.1"],
        lambda _: bl.synth("out/synthetic.csv", days=0.1).close(),
    ),
    "ingest": (["ingest", "log.csv", "-o", "out/t.parquet"], lambda _: bl.ingest("log.csv", "out/t.parquet")),
    "fit": (
        ["fit", "log.csv", "-o", "out/p.json", "--window", "1h", "--to", "6h"],
        lambda _: bl.fit("log.csv", "out/p.json", window_s=3600.0, end_s=21_600.0),
    ),
    "replay in virtual time": (
        ["replay", CONSTANT, "--simulate", PRESET, "-o", "out", "--first", "100", "--slo-ttft", "1s"],
        lambda _: bl.replay(CONSTANT, "out", simulate=PRESET, first=100, slo_ttft_s=1.0),
    ),
    "replay of a run": (
        ["replay", "run", "--simulate", PRESET, "-o", "out", "--speedup", "2", "--seed", "3"],
        lambda _: bl.replay("run", "out", simulate=PRESET, speedup=2.0, seed=3),
    ),
    "simulate": (
        ["replay", "log.csv", "--simulate", PRESET, "-o", "out", "--first", "50", "--rate", "2"],
        lambda _: bl.simulate(bl.workload("log.csv", first=50, rate_rps=2.0), PRESET, "out"),
    ),
    "calibrate": (
        ["calibrate", "p.json", "--kv", "0.2", "--simulate", PRESET, "--to", "1h", "-o", "out/scaled.json"],
        lambda _: bl.calibrate("p.json", 0.2, simulate=PRESET, end_s=3600.0, out="out/scaled.json"),
    ),
    "export": (
        ["export", "log.csv", "--format", "vllm", "-o", "out/v.jsonl", "--to", "2h"],
        lambda _: bl.export("log.csv", "vllm", "out/v.jsonl", end_s=7200.0),
    ),
    "experiment": (
        ["experiment", "maf2", "log.csv", "-o", "out", "--rate", "1", "--first", "100", "--seeds", "2"],
        lambda _: bl.experiment("maf2", "out", log="log.csv", rates_rps=[1.0], requests=100, seeds=2),
    ),
    "disaggregate": (
        ["disaggregate", "log.csv", "-o", "out", "--first", "200", "--total", "3", "--seeds", "1",
         "--window", "1m", "--beam", "2", "--no-images"],
        lambda typed: bl.disaggregate("log.csv", "out", first=200, total=3, seeds=1, window_s=60.0, beam=2,
                                images=False, command=typed),
    ),
    "forecast": (
        ["forecast", "log.csv", "-o", "out", "--service", "conversation", "--bin", "15m", "--origins", "2",
         "--parameters", "out/load.json", "--window", "1h", "--no-images"],
        lambda typed: bl.forecast("log.csv", "out", service="conversation", bins_s=[900.0], origins=2,
                            parameters="out/load.json", window_s=3600.0, images=False, command=typed),
    ),
    "report": (
        ["report", "log.csv", "-o", "out", "--window", "1h", "--no-images"],
        lambda typed: bl.report(["log.csv"], "out", window_s=3600.0, images=False, command=typed),
    ),
    "report of a run": (
        ["report", "run", "-o", "out", "--no-images"],
        lambda typed: bl.report("run", "out", images=False, command=typed),
    ),
    "report of an experiment": (
        ["report", "maf2", "-o", "out", "--no-images"],
        lambda typed: bl.report(["maf2"], "out", images=False, command=typed),
    ),
}  # fmt: skip
"""By name: what is typed and what is called, in a folder with a log, parameters, a run and an experiment."""


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three days of the synthetic trace, parameters of one, a run and an experiment."""
    folder = tmp_path_factory.mktemp("inputs")
    bl.synth(folder / "synthetic.csv", days=3, seed=1).close()
    (folder / "synthetic.csv").rename(folder / "log.csv")
    bl.fit(folder / "log.csv", folder / "p.json", window_s=3600.0, end_s=86_400.0)
    bl.replay(CONSTANT, folder / "run", simulate=PRESET, first=50)
    bl.experiment("maf2", folder / "maf2", log=folder / "log.csv", rates_rps=[1.0], requests=100, seeds=2)
    return folder


def files_in(folder: Path) -> dict[str, object]:
    """Each file's content without the time and the place at which it was written."""
    found: dict[str, object] = {}
    for path in sorted(each for each in folder.rglob("*") if each.is_file()):
        name = str(path.relative_to(folder))
        if path.suffix == ".parquet":
            found[name] = pl.read_parquet(path).to_dicts()
            continue
        text = re.sub(r'"[a-z_]*unix_s": *[0-9.e+]+', '"unix_s": 0', path.read_text(errors="replace"))
        if path.suffix == ".jsonl":
            # Trials are written as they end, and several processes run them.
            text = "\n".join(sorted(text.splitlines()))
        found[name] = text
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_a_verb_and_its_function_leave_the_same_files(
    name: str, inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words, call = CASES[name]
    written = []
    for side in ("typed", "called"):
        folder = tmp_path / side
        folder.mkdir()
        for each in inputs.iterdir():
            (folder / each.name).symlink_to(each)
        if "/" in " ".join(words):
            (folder / "out").mkdir()
        monkeypatch.chdir(folder)
        if side == "typed":
            done = burstlens(*words)
            assert done.returncode == 0, done.stderr
        else:
            call(shlex.join(["burstlens", *words]))
        written.append(files_in(folder / "out"))
    assert written[0].keys() == written[1].keys()
    for file, content in written[0].items():
        assert content == written[1][file], file
