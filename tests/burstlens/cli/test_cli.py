"""The command line as a person meets it: words in, screen and exit code out."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import click
import polars as pl
import pytest

import burstlens as bl
from burstlens.analysis.interchange.parameters import read_parameters
from burstlens.cli.commands import cli
from burstlens.cli.flags import verbs
from tests.helpers import burstlens

VERBS = (
    "compare",
    "disaggregate",
    "export",
    "report",
    "ingest",
    "describe",
    "fit",
    "synth",
    "fetch",
    "forecast",
    "completion",
)

SHORT = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n" + "".join(
    f"{second},ChatGPT,10,20,30,Conversation log\n" for second in range(0, 600, 10)
)
"""Ten minutes of one service."""


@pytest.fixture(scope="module")
def two_days(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two days of the synthetic trace in BurstGPT's layout."""
    out = tmp_path_factory.mktemp("logs") / "synthetic_two_days.csv"
    done = burstlens("synth", "--days", 2, "--seed", 3, "-o", out)
    assert done.returncode == 0, done.stderr
    assert "synthetic requests over 2 days, seed 3" in done.stdout
    return out


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(verb: str) -> None:
    done = burstlens(verb, "--help")
    assert done.returncode == 0
    assert "Usage: burstlens" in done.stdout
    if verb != "completion":
        assert "Examples:" in done.stdout


def test_help_names_every_verb_and_cuts_no_line() -> None:
    done = burstlens("--help")
    for verb in VERBS:
        assert f"\n  {verb} " in done.stdout
    for completed in (done, burstlens("experiment", "--help")):
        assert not re.search(r"^  .*\.\.\.$", completed.stdout, re.MULTILINE)


def test_help_fits_a_terminal_of_80_columns() -> None:
    every = {"": cli, "experiment": cli.commands["experiment"], **verbs(cli)}
    wider = {
        (words, line)
        for words, command in every.items()
        for line in command.get_help(click.Context(command, info_name=words, terminal_width=80)).splitlines()
        if len(line) > 80
    }
    assert wider == set()


@pytest.mark.slow
def test_describe_says_what_a_trace_is(two_days: Path) -> None:
    done = burstlens("describe", two_days)
    assert done.returncode == 0, done.stderr
    rows = pl.read_csv(two_days).height
    assert f"{rows:,} requests" in done.stdout
    assert "synthetic" in done.stdout
    for part in ("volume", "arrivals", "burstiness", "lengths", "conversations", "failures"):
        assert f"\n{part}\n" in done.stdout


@pytest.mark.slow
def test_describe_for_machines_is_one_json_document(two_days: Path) -> None:
    done = burstlens("describe", two_days, "--json", "--quiet")
    content = json.loads(done.stdout)
    assert content["trace"]["rows"] == pl.read_csv(two_days).height
    assert content["arrivals"]["tables"]["overall"][0]["selection"] == "all"


@pytest.mark.slow
def test_fitted_parameters_are_valid_and_count_every_request(two_days: Path, tmp_path: Path) -> None:
    out = tmp_path / "parameters.json"
    done = burstlens("fit", two_days, "-o", out, "--window", "1h")
    assert done.returncode == 0, done.stderr
    content = read_parameters(out)
    assert content["window_s"] == 3600
    everything = content["selections"][0]
    assert everything["selection"]["label"] == "all"
    assert sum(w["n"] for w in everything["arrivals"]["windows"]) == content["source"]["rows"]
    fitted = [w for w in everything["arrivals"]["windows"] if w["shape"] is not None]
    assert fitted
    for window in fitted:
        assert window["rate"] * window["scale"] == pytest.approx(1)
        low, high = window["shape_interval"]
        assert low <= window["shape"] <= high


def test_ingest_keeps_every_row_and_says_so(two_days: Path, tmp_path: Path) -> None:
    torn = tmp_path / "torn.csv"
    torn.write_bytes(two_days.read_bytes() + b"12,ChatGPT,one,2")
    done = burstlens("ingest", torn, "-o", tmp_path / "t.parquet", "--json")
    assert done.returncode == 0, done.stderr
    assert pl.read_parquet(tmp_path / "t.parquet").height == pl.read_csv(two_days).height
    assert (tmp_path / "t.rejects.csv").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("describe", "nowhere.csv"), "nowhere.csv"),
        (("describe", "."), "folder"),
        (("describe", "empty.csv"), "empty"),
        (("describe", "strange.csv"), "burstlens columns"),
        (("fit", "strange.csv", "--window", "soon"), "20m"),
        (("describe", "strange.csv", "--columns", "arrival"), "arrival=ts"),
        (("report", "nowhere.csv", "-o", "empty.csv"), "empty.csv"),
        (("fetch", "no-such-trace"), "no-such-trace"),
        (("forecast", "nowhere.csv"), "nowhere.csv"),
        (("forecast", "short.csv"), "use shorter --bin or a longer trace"),
        (("forecast", "short.csv", "--bin", "1d"), "no complete bin of 1d"),
        (("forecast", "short.csv", "--service", "chat"), "it has: conversation"),
        (("frobnicate",), "frobnicate"),
    ],
)
def test_bad_input_gets_one_clear_line_and_exit_code_2(
    words: tuple[str, ...], text: str, tmp_path: Path
) -> None:
    (tmp_path / "empty.csv").touch()
    (tmp_path / "strange.csv").write_text("when,what\n1,2\n")
    (tmp_path / "short.csv").write_text(SHORT)
    done = burstlens(*words, cwd=tmp_path)
    assert done.returncode == 2
    assert text in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.slow
def test_ctrl_c_ends_in_one_line(tmp_path: Path) -> None:
    run = subprocess.Popen(
        [sys.executable, "-m", "burstlens.cli", "report", "-o", str(tmp_path)],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert run.stderr is not None
    first = run.stderr.readline()  # a line of progress: the job is under way
    run.send_signal(signal.SIGINT)
    try:
        _, errors = run.communicate(timeout=60)
    finally:
        run.kill()
    assert first.startswith("[")
    assert run.returncode == 130
    assert "burstlens: stopped" in errors
    assert "Traceback" not in errors


EARLY = """
import os, signal, sys

class Interrupt:
    def find_spec(self, name, *_):
        if name == "click":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupt())
from burstlens.cli import main
main()
"""


def test_ctrl_c_while_modules_are_imported_is_one_line() -> None:
    done = subprocess.run([sys.executable, "-c", EARLY], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (130, "burstlens: stopped\n")


@pytest.mark.parametrize("is_written", [True, False])
def test_ctrl_c_names_files_only_if_there_are_any(
    is_written: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def synth(out: Path, **_options: object) -> None:
        if is_written:
            out.write_text("half")
        raise KeyboardInterrupt

    monkeypatch.setattr(bl, "synth", synth)
    old = tmp_path / "old.csv"
    old.write_text("of an earlier run")
    os.utime(old, (1e9, 1e9))
    done = burstlens("synth", "-o", old)
    assert done.returncode == 130
    assert done.stderr.splitlines()[-1] == (
        f"burstlens: stopped; files already written to {old} are complete"
        if is_written
        else "burstlens: stopped"
    )


INTERRUPTED = """
import os, signal, sys, threading
import burstlens as bl
import duckdb
from burstlens import cli

def describe(*_args, **_more):
    # Ctrl-C comes while the engine works, which ends its query in its own way.
    connection = duckdb.connect()
    connection.execute("SELECT 1").fetchall()
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    connection.execute("SELECT COUNT(*) FROM range(100000000) AS a(x), range(1000) AS b(y)").fetchall()

bl.describe = describe
sys.argv = ["burstlens", "describe", sys.argv[1]]
cli.main()
"""


def test_ctrl_c_during_a_query_is_no_fault_of_ours(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text("arrival_s,request_tokens\n1,5\n")
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, str(log)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 130, done.stderr
    assert "burstlens: stopped" in done.stderr


def test_completion_scripts_name_the_command() -> None:
    for shell in ("bash", "zsh", "fish"):
        assert "_BURSTLENS_COMPLETE" in burstlens("completion", shell).stdout


def test_importing_the_package_loads_no_heavy_library() -> None:
    heavy = ("altair", "duckdb", "numpy", "polars", "scipy", "statsmodels", "aiohttp", "jsonschema_rs")
    code = f"import sys, burstlens; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
