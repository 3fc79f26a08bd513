"""The evaluation for a GPU, as far as a real vLLM on a CPU reaches: every stage, tiny model, tiny loads."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import polars as pl
import pytest
from burstlens.bench.experiments import against
from burstlens.bench.hosted import Flags
from burstlens.bench.simulated.presets import load_preset

from burstlens.gpu import evaluate
from burstlens.gpu_stages import STAGES
from tests.real.conftest import BLOCKS, MODEL, REAL, ROOT

MORE = ("--enforce-eager", "--num-gpu-blocks-override", str(BLOCKS), "--gpu-memory-utilization", "0.3")
FLAGS = Flags(32, 2048, 4096, MORE)


@pytest.mark.real
@pytest.mark.gpu
def test_every_stage_runs_on_a_real_server_which_is_gone_afterwards(tmp_path: Path) -> None:
    if not REAL.exists():
        pytest.skip("no real vLLM: make vllm builds one for the CPU in .venv-vllm")
    model, out = tmp_path / "model", tmp_path / "gpu"
    subprocess.run([REAL, ROOT / "tests" / "real" / "make_model.py", model], check=True)
    done = evaluate(
        out, vllm=REAL, weights=model, model=MODEL, flags=FLAGS, vocabulary=(10, 999), kv=0.1, requests=100,
        seeds=1, shapes=(1.0,), scales=(1.5,), exponents=(1.3,), client_rps=30, client_requests=150, rounds=1,
        environment={"VLLM_CPU_KVCACHE_SPACE": "1"},
    )  # fmt: skip
    assert [each.stage for each in done] == list(STAGES)
    states = {each.stage: (each.state, each.said) for each in done}
    assert states["profile"][0] == "done", states["profile"]
    preset = load_preset(out / "profile" / "preset.json")
    assert preset.num_blocks == BLOCKS
    # Whether a load reaches the wanted use is up to a machine that is busy; that it is told is not.
    assert all(state in ("done", "failed") for state, _ in states.values()), states
    assert states["schedulers"][0] == states["client"][0] == states["simulated"][0] == "done", states
    found = pl.read_csv(out / "simulated" / "errors.csv")
    assert set(found["measure"]) == set(against.COMPARED)
    assert found["error"].is_finite().any()
    server = json.loads((out / "server.json").read_text())
    assert server["simulated"] is None
    assert "vllm:num_requests_running" in (out / "schedulers" / "metrics.txt").read_text()
    port = server["url"].rpartition(":")[2]
    assert not [p for p in Path("/proc").glob("[0-9]*/cmdline") if _runs(p, port)]


def _runs(cmdline: Path, port: str) -> bool:
    """Whether a process is a vLLM with that port."""
    try:
        words = cmdline.read_bytes().split(b"\0")
    except OSError:
        return False
    return b"--port" in words and port.encode() in words
