"""The two servers that must behave alike: a real vLLM on this machine's CPU, and the simulated endpoint.

Both are small on purpose: 40 KV blocks, a bounded queue and priority scheduling make a real overload of a
hundred requests.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers import ROOT, ended, free_port, started

REAL = ROOT / ".venv-vllm" / "bin" / "python"
QUEUED, SEQS, LENGTH, BLOCKS = 80, 64, 4096, 40
MODEL = "tiny"

PROFILE = {
    "model": "tiny",
    "gpu": "none",
    "source": "made for a test",
    "latency": {"a_p_ms": 4, "b_ms": 0.01, "c_ms": 0, "a_d_ms": 4, "d_us": 0.1, "e_us": 20},
    "kv_cache": {"num_blocks": BLOCKS, "block_size": 128},
    "limits": {
        "max_num_seqs": SEQS,
        "max_num_batched_tokens": 2048,
        "max_model_len": LENGTH,
        "max_num_queued_reqs": QUEUED,
    },
}


def vllm(model: Path, port: int, log: Path, *flags: str) -> subprocess.Popen[str]:
    """Start a real vLLM on the CPU with the model of that folder."""
    return started(
        [
            *(str(REAL), "-m", "vllm.entrypoints.openai.api_server"),
            *("--model", str(model), "--served-model-name", MODEL, "--enforce-eager"),
            *("--host", "127.0.0.1", "--port", str(port)),
            *("--max-model-len", str(LENGTH), "--max-num-seqs", str(SEQS), *flags),
        ],
        port,
        log,
        {
            "VLLM_CPU_KVCACHE_SPACE": "1",
            "VLLM_NO_USAGE_STATS": "1",
            "DO_NOT_TRACK": "1",
            "HF_HUB_OFFLINE": "1",
            "TRANSFORMERS_OFFLINE": "1",
        },
    )


def real(folder: Path, port: int, policy: str = "priority", seqs: int = SEQS) -> subprocess.Popen[str]:
    """A real vLLM with dummy weights that soon overloads."""
    model = folder / "model"
    subprocess.run([REAL, ROOT / "tests" / "real" / "make_model.py", model], check=True)
    return vllm(
        model,
        port,
        folder / "vllm.log",
        *("--load-format", "dummy", "--num-gpu-blocks-override", str(BLOCKS)),
        *("--scheduling-policy", policy, "--max-num-queued-reqs", str(QUEUED)),
        *("--no-enable-prefix-caching", "--max-num-seqs", str(seqs)),
    )


def simulated(folder: Path, port: int, policy: str = "priority") -> subprocess.Popen[str]:
    profile = folder / "profile.json"
    profile.write_text(json.dumps(PROFILE))
    return started(
        [
            *(sys.executable, "-m", "burstlens.cli", "serve", "--profile", str(profile)),
            *("--port", str(port), "--scheduling", policy, "--served-model", MODEL),
        ],
        port,
        folder / "simulated.log",
        {"PYTHONUNBUFFERED": "1"},
    )


@pytest.fixture(scope="session", params=["simulated", pytest.param("real", marks=pytest.mark.real)])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Base URL of a server."""
    if request.param == "real" and not REAL.exists():
        pytest.skip("no real vLLM: make vllm builds one for the CPU in .venv-vllm")
    port = free_port()
    start = real if request.param == "real" else simulated
    process = start(tmp_path_factory.mktemp(request.param), port)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        ended(process)
