"""The tools that load what we export, each in an environment of its own, and a simulated server for them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.helpers import serving

from .make_tokenizer import NAME, make_tokenizer

ROOT = Path(__file__).parents[2]
HOMES = ROOT / ".venv-interchange"
RUN_S = 400

TOOLS: dict[str, list[list[str]]] = {
    "aiperf": [["aiperf>=0.13"]],
    "guidellm": [["guidellm>=0.8"]],
    "inference-perf": [["inference-perf>=0.7"]],
    "servegen": [["git+https://github.com/alibaba/ServeGen"]],
}
"""What pip is asked for, one call after the other."""
if sys.version_info < (3, 12):
    # Its metadata asks for Python 3.12; its code and what it needs run on 3.11 as well.
    TOOLS["inference-perf"] = [
        ["--ignore-requires-python", "--no-deps", "inference-perf==0.7.0"],
        [
            *("aiohttp", "pydantic", "numpy", "datasets", "transformers", "jinja2", "google-cloud-storage"),
            *("pyyaml", "boto3", "uvloop", "tqdm", "aiofiles", "tiktoken", "rich", "av", "pillow"),
            "prometheus-client",
        ],
    ]


def installed(tool: str) -> Path:
    """The folder of programs of a tool's environment, made at the first call; skips where it cannot be."""
    home = HOMES / tool
    if not (home / ".installed").exists():
        subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
        for requirements in TOOLS[tool]:
            done = subprocess.run(
                [home / "bin" / "python", "-m", "pip", "install", "--quiet", *requirements],
                capture_output=True,
                text=True,
            )
            if done.returncode:
                lines = [line.strip() for line in done.stderr.splitlines()]
                faults = [line for line in lines if line.startswith(("fatal: ", "ERROR: "))]
                pytest.skip(f"{tool} could not be installed: {(faults or ['pip failed'])[0]}")
        (home / ".installed").touch()
    return home / "bin"


@dataclass(frozen=True)
class Server:
    """A simulated endpoint that counts prompts with the tokenizer that the tools use."""

    url: str
    model: str
    tokenizer: Path
    home: Path
    """What HF_HOME is to name."""

    def run(self, *command: str | Path, cwd: Path) -> str:
        """Run a tool to its end without a network; what it said, which a failed one fails with."""
        done = subprocess.run(
            [str(part) for part in command],
            cwd=cwd,
            env={
                **os.environ,
                **dict.fromkeys(("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE"), "1"),
                **dict.fromkeys(("VLLM_NO_USAGE_STATS", "DO_NOT_TRACK"), "1"),
                "HF_HOME": str(self.home),
            },
            capture_output=True,
            text=True,
            timeout=RUN_S,
        )
        output = done.stdout + done.stderr
        assert done.returncode == 0, output[-4000:]
        return output


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A simulated vLLM, fifty times as fast as the real one."""
    home = tmp_path_factory.mktemp("hub")
    tokenizer = make_tokenizer(home)
    with serving("--speedup", 50, "--served-model", NAME, "--tokenizer", tokenizer / "tokenizer.json") as url:
        yield Server(url, NAME, tokenizer, home)


@pytest.fixture
def program() -> Callable[[str], Path]:
    """The folder of programs of a tool by its name; skips where it cannot be installed."""
    return installed
