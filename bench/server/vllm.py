"""A vLLM of one's own for as long as an evaluation lasts: started, waited for, watched, ended by its process.

Not here: what is asked of it. Nothing is downloaded: the model is a folder, or Llama-2-13b's shape with dummy
weights, which take as long as real ones.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

from ...analysis.core.errors import EndpointError, InputError, path_text
from ...analysis.core.option_names import option
from ...analysis.core.result import Progress, silent
from .step_probe import ServerLimits

MODULE = "vllm.entrypoints.openai.api_server"
"""Started as a module: some builds of vLLM have a `vllm` command that does not find its own version."""
OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
}
LLAMA_2_13B = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 5120,
    "intermediate_size": 13824,
    "num_hidden_layers": 40,
    "num_attention_heads": 40,
    "num_key_value_heads": 40,
    "vocab_size": 32000,
    "max_position_embeddings": 4096,
    "torch_dtype": "float16",
    "rms_norm_eps": 1e-05,
    "rope_theta": 10000.0,
    "hidden_act": "silu",
    "bos_token_id": 1,
    "eos_token_id": 2,
    "tie_word_embeddings": False,
}
"""The published shape (Touvron et al. 2023, `config.json` of Llama-2-13b-hf)."""
ASK_S, STOP_S = 1.0, 60.0
"""How often a server that comes up is asked, and how long one that is ended may take."""
SAMPLED = "timestamp,name,utilization.gpu,utilization.memory,memory.used,memory.total,power.draw,clocks.sm"
"""What nvidia-smi is asked once a second."""


@dataclass(frozen=True)
class Flags:
    """What the server is started with, besides its model and address."""

    max_num_seqs: int = 256
    max_num_batched_tokens: int = 8192
    max_model_len: int = 4096
    more: tuple[str, ...] = ()
    """Further flags, as vLLM takes them."""

    def argv(self) -> list[str]:
        """Priority scheduling, which serves equal priorities first come, first served; no prefix cache."""
        limits = ("max_num_seqs", "max_num_batched_tokens", "max_model_len")
        words = [word for name in limits
                for word in (f"--{name.replace('_', '-')}", str(getattr(self, name)))]  # fmt: skip
        fixed = ["--scheduling-policy", "priority", "--no-enable-prefix-caching", "--skip-tokenizer-init"]
        return [*words, *fixed, *self.more]


@dataclass(frozen=True)
class Host:
    """A server that answers."""

    url: str
    pid: int
    command: Sequence[str]


@contextlib.contextmanager
def vllm(
    python: Path,
    model: Path | None,
    flags: Flags,
    folder: Path,
    *,
    name: str,
    patience_s: float,
    environment: Mapping[str, str] | None = None,
    progress: Progress = silent,
) -> Iterator[Host]:
    """Run a vLLM in the environment of `python` until the block ends, with all processes that it started.

    Parameters
    ----------
    python
        Interpreter of an environment that has vLLM.
    model
        Folder of a model; None serves Llama-2-13b's shape with dummy weights.
    flags
        Flags of the server.
    folder
        Where its log, `vllm.log`, is written.
    name
        Name under which the model is served.
    patience_s
        Seconds to wait until the server is up.
    environment
        Variables to add to the environment.
    progress
        Called with the share of `patience_s` that has passed.

    Yields
    ------
    Host
        URL, process and command.

    Raises
    ------
    InputError
        If the model's folder has no `config.json`, or `python` cannot be run.
    EndpointError
        If the server ends, or is not up within `patience_s`; it quotes the log's last error.
    """
    served, weights = model, []
    if served is None:
        served = folder / "llama-2-13b"
        served.mkdir(parents=True, exist_ok=True)
        (served / "config.json").write_text(json.dumps(LLAMA_2_13B, indent=1), encoding="utf-8")
    if not (served / "config.json").is_file():
        raise InputError(
            f"{path_text(served)}: has no config.json, so it is not a model; name the model's folder"
        )
    if not any(served.glob("*.safetensors")) and not any(served.glob("*.bin")):
        weights = ["--load-format", "dummy"]
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = int(reserved.getsockname()[1])
    command = [
        str(python), "-m", MODULE, "--model", str(served), "--served-model-name", name,
        "--host", "127.0.0.1", "--port", str(port), *weights, *flags.argv(),
    ]  # fmt: skip
    log = folder / "vllm.log"
    try:
        with log.open("a", encoding="utf-8") as output:
            process = subprocess.Popen(
                command,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **OFFLINE, **(environment or {})},
                start_new_session=True,
            )
    except OSError as fault:
        raise InputError(f"{option('vllm')}: {path_text(python)} cannot be run: {fault.strerror}") from fault
    try:
        url = f"http://127.0.0.1:{port}"
        _await(process, url, log, patience_s, progress)
        yield Host(url, process.pid, command)
    finally:
        end(process)


def _await(
    process: subprocess.Popen[bytes], url: str, log: Path, patience_s: float, progress: Progress
) -> None:
    begun, heard = time.monotonic(), ""
    while (waited_s := time.monotonic() - begun) < patience_s:
        progress("vLLM comes up", waited_s / patience_s)
        if process.poll() is not None:
            raise EndpointError(f"vLLM ended with code {process.returncode}: {_last(log)} ({path_text(log)})")
        try:
            with urlopen(f"{url}/health", timeout=5) as well:
                if well.status == 200:
                    return
                heard = f", /health answers HTTP {well.status}"
        except HTTPError as refused:
            heard = f", /health answers HTTP {refused.code}"
        except OSError:
            heard = ""
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(ASK_S)
    raise EndpointError(f"vLLM was not ready after {patience_s:g} s{heard}: {_last(log)} ({path_text(log)})")


def _last(log: Path) -> str:
    """The last line of a log that has an error, else its last line."""
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines()]
    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in lines if line]
    # Where a process of vLLM fails, the others say that one did.
    errors = [
        line for line in lines if re.search(r"\b\w*(Error|Exception)\b: ", line) and "root cause" not in line
    ]
    return " ".join((errors or lines or ["it said nothing"])[-1].split())[:300]


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process and those of its session: first asked, then made to."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextlib.contextmanager
def watched_gpu(folder: Path) -> Iterator[bool]:
    """Write `folder/gpu.csv` once a second while the block lasts; whether there is an nvidia-smi to do it."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        yield False
        return
    command = [tool, f"--query-gpu={SAMPLED}", "--format=csv,nounits", "-l", "1"]
    with (folder / "gpu.csv").open("ab") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.DEVNULL, start_new_session=True)
        try:
            yield True
        finally:
            end(process)


def gpu_name() -> str | None:
    """Ask the driver for the GPU's name; None if there is no nvidia-smi, or it fails."""
    tool = shutil.which("nvidia-smi")
    if tool is not None:
        command = [tool, "--query-gpu=name", "--format=csv,noheader"]
        answer = subprocess.run(command, capture_output=True, text=True)
        if answer.returncode == 0 and answer.stdout.strip():
            return answer.stdout.splitlines()[0].strip()
    return None


def metrics_page(url: str) -> str:
    """Read the server's `/metrics` page; raises EndpointError if it cannot be read."""
    try:
        with urlopen(f"{url}/metrics", timeout=30) as page:
            return str(page.read().decode("utf-8", "replace"))
    except OSError as fault:
        raise EndpointError(f"{url}/metrics: cannot be read: {fault}") from fault


def cache_of(page: str) -> tuple[int, int]:
    """Read tokens of a KV block and number of blocks from a page of metrics.

    Raises
    ------
    EndpointError
        If the page does not have them.
    """
    line = next((text for text in page.splitlines() if text.startswith("vllm:cache_config_info{")), "")
    labels = dict(re.findall(r'(\w+)="([^"]*)"', line))
    try:
        return int(labels["block_size"]), int(labels["num_gpu_blocks"])
    except (KeyError, ValueError):
        raise EndpointError(
            "the server does not report its KV blocks (vllm:cache_config_info), which the profile needs"
        ) from None


def limits_of(flags: Flags, page: str) -> ServerLimits:
    """Gather the limits of a server.

    Parameters
    ----------
    flags
        Flags that it was started with.
    page
        Its `/metrics` page, which has the size of the KV cache.

    Raises
    ------
    EndpointError
        If the page does not have the size of the cache.
    """
    block_size, blocks = cache_of(page)
    return ServerLimits(
        flags.max_num_seqs, flags.max_num_batched_tokens, flags.max_model_len, block_size * blocks
    )
