"""Files that burstlens 0.1.0 wrote, one of each kind, still open and go on where they were left."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import burstlens as bl
from burstlens.analysis.interchange.parameters import read_parameters
from tests.helpers import burstlens

OLDER_FILES = Path(__file__).parents[1] / "files_of_0_1_0"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A copy of all of them, which may be written to."""
    return Path(shutil.copytree(OLDER_FILES, tmp_path / "files"))


@pytest.mark.parametrize(("name", "requests"), [("trace.parquet", 173), ("trace_by_day", 286)])
def test_a_trace_opens_with_its_identity_and_every_request(files: Path, name: str, requests: int) -> None:
    with bl.trace(files / name) as trace:
        assert trace.info.rows == trace.selection().n == trace.requests().height == requests
        assert trace.info.synthetic
        assert trace.info.has_sessions
        assert trace.info.sources[0].name.startswith("synthetic_")


def test_parameters_are_read_drawn_and_exported(files: Path, tmp_path: Path) -> None:
    path = files / "parameters.json"
    written = json.loads(path.read_text(encoding="utf-8"))
    assert read_parameters(path) == written
    load = bl.workload(path, seed=1, first=50)
    assert load.requests.height == 50
    done = burstlens("export", path, "--to", "vllm", "-o", tmp_path / "v.jsonl", "--first", 20, "--seed", 1)
    assert done.returncode == 0, done.stderr
    assert len((tmp_path / "v.jsonl").read_text(encoding="utf-8").splitlines()) == 20


def test_a_run_is_reported_ingested_and_described(files: Path, tmp_path: Path) -> None:
    run = files / "run"
    before = {path.name: path.read_bytes() for path in run.iterdir()}
    assert burstlens("report", run, "--no-images").returncode == 0
    assert (run / "index.html").is_file()
    assert {name: (run / name).read_bytes() for name in before} == before
    trace = bl.ingest(run, tmp_path / "sent.parquet")
    assert (trace.info.rows, trace.info.rejected, trace.info.synthetic) == (40, 0, True)
    completed = burstlens("describe", run, "--json")
    assert completed.returncode == 0, completed.stderr


def test_an_experiment_goes_on_and_is_reported(files: Path, tmp_path: Path) -> None:
    """Every trial is there, so the same command runs none again."""
    log = tmp_path / "synthetic_two.csv"
    bl.synth(log, days=2, seed=3).close()
    trials = files / "maf2" / "trials.jsonl"
    before = trials.read_bytes()
    same = burstlens("experiment", "maf2", log, "--first", 100, "--seeds", 2, "-o", files / "maf2", "--json")
    assert same.returncode == 0, same.stderr
    assert trials.read_bytes() == before
    assert burstlens("report", files / "maf2", "--no-images").returncode == 0
    assert (files / "maf2" / "index.html").is_file()


def test_ratios_are_reported(files: Path) -> None:
    assert burstlens("report", files / "disaggregate", "--no-images").returncode == 0
    assert (files / "disaggregate" / "index.html").is_file()
