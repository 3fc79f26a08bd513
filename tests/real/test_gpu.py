"""The evaluation for a GPU, as far as a real vLLM on a CPU reaches: every stage, tiny model, tiny loads."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from random import Random

import polars as pl
import pytest

from burstlens.bench.experiments import against
from burstlens.bench.server.vllm import Flags
from burstlens.bench.simulated.presets import load_preset
from burstlens.gpu.evaluate import evaluate
from burstlens.gpu.stages import STAGES
from burstlens.reports.pages.gpu import write_gpu_page
from tests.real.conftest import BLOCKS, MODEL, REAL
from tests.real.make_model import CONFIG

LARGER = {
    "hidden_size": 512,
    "intermediate_size": 1408,
    "num_hidden_layers": 8,
    "num_attention_heads": 8,
    "num_key_value_heads": 8,
    "head_dim": 64,
}
"""A model whose steps take some milliseconds, as a GPU's do: shorter ones do not show through HTTP."""
LIMITS_S = dict.fromkeys(("calibrate", "maf2", "sweep", "schedulers"), 100.0)
"""Short, so that the whole is: what a stage measured by then stays."""
MORE = ("--enforce-eager", "--num-gpu-blocks-override", str(BLOCKS), "--gpu-memory-utilization", "0.3")
FLAGS = Flags(16, 1024, 4096, MORE)


def short_requests(n: int) -> Iterator[str]:
    """Rows of a log of both services whose requests a processor serves in a fraction of a second each."""
    draw, at_s = Random(1), 0.0
    for i in range(n):
        at_s += draw.gammavariate(0.5, 20.0)
        yield f"{at_s:.3f},{draw.randint(20, 60)},{draw.randint(5, 15)},{('api', 'conversation')[i % 2]}\n"


@pytest.mark.real
@pytest.mark.gpu
def test_every_stage_runs_on_a_real_server_which_is_gone_afterwards(tmp_path: Path) -> None:
    if not REAL.exists():
        pytest.skip("no real vLLM: make vllm builds one for the CPU in .venv-vllm")
    model, out = tmp_path / "model", tmp_path / "gpu"
    model.mkdir()
    (model / "config.json").write_text(json.dumps(CONFIG | LARGER))
    log = tmp_path / "log.csv"
    log.write_text("arrival_s,request_tokens,response_tokens,service\n" + "".join(short_requests(400)))
    done = evaluate(
        out, vllm=REAL, weights=model, model=MODEL, flags=FLAGS, vocabulary=(10, 999), kv=0.1, requests=100,
        seeds=1, shapes=(1.0,), scales=(1.5,), exponents=(1.3,), client_rps=20, client_requests=150, rounds=1,
        environment={"VLLM_CPU_KVCACHE_SPACE": "1"}, limits_s=LIMITS_S, trace=str(log),
    )  # fmt: skip
    assert [each.stage for each in done] == list(STAGES)
    states = {each.stage: each.state for each in done}
    lines = [each.line for each in done]
    assert states["profile"] == states["client"] == states["simulated"] == "done", lines
    # How far a busy machine comes in the time that a stage has is its own affair; that it is told is not.
    assert "stopped" not in states.values(), lines
    assert not any("it ended with code 1," in line for line in lines), lines
    assert load_preset(out / "profile" / "preset.json").num_blocks == BLOCKS
    found = pl.read_csv(out / "simulated" / "errors.csv")
    assert set(found["measure"]) == set(against.COMPARED)
    assert found["error"].is_finite().any()
    page = write_gpu_page(out, images=False).read_text()
    assert "The simulated engine against the server" in page
    assert "Simulated." not in page
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
