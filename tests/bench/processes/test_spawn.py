"""Scripts that use several processes: they run once, with a main guard or without."""

from __future__ import annotations

import signal
import subprocess
import sys
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from burstlens.bench.processes.spawn import SPAWNED
from burstlens.bench.record.run_folder import read_record
from tests.bench.faulty import faulty

REPLAY = """
import sys
from pathlib import Path
import polars as pl
import burstlens as bl
from burstlens.bench.prompts.token_ids import TokenPrompts
from burstlens.bench.settings import Settings
from burstlens.bench.workload.table import Workload, requests_frame

print("once", flush=True)


class Own(TokenPrompts):
    pass


def go():
    known = {"at_s": [0.01 * i for i in range(40)], "request_tokens": [5] * 40, "response_tokens": [4] * 40}
    load = Workload(requests_frame(pl.DataFrame(known)), "forty", True, {})
    prompts = Own() if sys.argv[3] == "own" else TokenPrompts()
    done = bl.replay(load, sys.argv[2], url=sys.argv[1], settings=Settings(workers=2), prompts=prompts)
    print(done.manifest.finished)

"""
SWEEP = """
import sys
import burstlens as bl
from burstlens.bench.experiments.grid import grid_of

print("once", flush=True)
grid = grid_of({"shape": [1.0]}, profiles=["constant"])
done = bl.experiment("sweep", sys.argv[1], grid=grid, kv=None, requests=50, seeds=2, workers=2)
print(done.experiment.question.finished)
"""


def run_script(tmp_path: Path, script: str, *words: str) -> subprocess.CompletedProcess[str]:
    path = tmp_path / "script.py"
    path.write_text(script)
    return subprocess.run([sys.executable, path, *words], capture_output=True, text=True, cwd=tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("call", "prompts"), [("go()", "token"), ('if __name__ == "__main__":\n    go()', "own")]
)
def test_a_script_that_sends_by_several_processes_runs_once(tmp_path: Path, call: str, prompts: str) -> None:
    """What is the script's own wants the script in each process: then a main guard is needed, and enough."""
    with faulty(lambda _: "ok") as (url, _):
        done = run_script(tmp_path, REPLAY + call, url, "run", prompts)
    assert (done.returncode, done.stderr) == (0, "")
    own = ["once"] * 2 if prompts == "own" else []
    assert sorted(done.stdout.split()) == sorted([*own, "once", "True"])
    record = read_record(tmp_path / "run")
    assert record["request_id"].to_list() == list(range(40))
    assert set(record["worker"]) == {0, 1}


@pytest.mark.slow
def test_a_script_whose_trials_run_on_several_processes_runs_once(tmp_path: Path) -> None:
    done = run_script(tmp_path, SWEEP, "sweep")
    assert (done.returncode, done.stderr, done.stdout.split()) == (0, "", ["once", "True"])


def is_blocked(results: Connection) -> None:
    results.send(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ()))


def test_ctrl_c_reaches_the_caller_of_processes_alone() -> None:
    ours, theirs = SPAWNED.Pipe()
    process = SPAWNED.Process(target=is_blocked, args=(theirs,))
    process.start()
    assert ours.poll(60)
    assert ours.recv()
    process.join()
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
