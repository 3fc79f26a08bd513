"""The simulated endpoint: in this process until it is stopped, or in another one while a block lasts.

Not here: the endpoint itself (`burstlens.bench.simulated.http.endpoint`).
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ..analysis.core.errors import EndpointError, InputError
from .options import Log, checked_scheduling

if TYPE_CHECKING:
    from ..bench.simulated.presets import Preset

CODE = """
import sys
from burstlens.api.serve import serve
preset, speedup, seed = sys.argv[1:]
report = lambda url: print(url, flush=True)
serve(preset, port=0, speedup=float(speedup), seed=int(seed), ready=report)
"""
STOP_LIMIT_S = 20.0
"""How long the endpoint may take to end before it is killed."""


def serve(
    preset: str | Preset = "llama-2-13b-a100",
    *,
    profile: Log | None = None,
    host: str = "127.0.0.1",
    port: int = 8000,
    speedup: float = 1.0,
    scheduling: str = "fcfs",
    served_model: str | None = None,
    max_num_seqs: int | None = None,
    max_num_batched_tokens: int | None = None,
    max_model_len: int | None = None,
    max_num_queued_reqs: int | None = None,
    seed: int = 0,
    tokenizer: Log | None = None,
    ready: Callable[[str], None] | None = None,
) -> None:
    """Serve a simulated vLLM until SIGINT or SIGTERM. It blocks; `serving` does not.

    Parameters
    ----------
    preset
        Model and GPU to simulate: a preset's name (`burstlens serve --list`) or a `Preset`.
    profile
        Instead: a JSON file with fitted constants.
    host, port
        Address. Port 0 takes a free one.
    speedup
        Make every step this many times shorter.
    scheduling
        `"fcfs"` or `"priority"`.
    served_model
        Name of the served model, by default the preset's.
    max_num_seqs, max_num_batched_tokens, max_model_len, max_num_queued_reqs
        Other limits than the preset's.
    seed
        Seed of the answers.
    tokenizer
        A `tokenizer.json` that counts the tokens of text prompts. Without it words are counted.
    ready
        Called with the base URL once the endpoint listens.

    Examples
    --------
    >>> bl.serve("no-such-preset")
    Traceback (most recent call last):
    burstlens.analysis.core.errors.InputError: ...
    """
    from ..bench.simulated.http.endpoint import serve as run

    policy = checked_scheduling(scheduling)
    if not 0 <= port <= 65_535:
        raise InputError.of_option("port", f"{port} is not between 0 and 65535")
    run(
        limited_preset(
            preset,
            profile,
            max_num_seqs=max_num_seqs,
            max_num_batched_tokens=max_num_batched_tokens,
            max_model_len=max_model_len,
            max_num_queued_reqs=max_num_queued_reqs,
        ),
        host=host,
        port=port,
        speedup=speedup,
        scheduling=policy,
        served_model=served_model,
        seed=seed,
        tokenizer=None if tokenizer is None else Path(tokenizer),
        ready=ready,
    )


def limited_preset(preset: str | Preset, profile: Log | None = None, **limits: int | None) -> Preset:
    """The preset of that name, or of the file `profile`, with other limits where they are not None."""
    from ..bench.simulated.presets import load_preset

    if profile is not None:
        return load_preset(Path(profile)).limited(**limits)
    return (load_preset(preset) if isinstance(preset, str) else preset).limited(**limits)


@contextmanager
def simulated_server(
    preset: str = "llama-2-13b-a100", *, speedup: float = 1.0, seed: int = 0
) -> Iterator[str]:
    """Serve a simulated vLLM in a process of its own while a `with` block lasts, and give its base URL.

    Parameters
    ----------
    preset, speedup, seed
        As in `serve`.

    Examples
    --------
    >>> load = bl.workload("synthetic.csv", first=20, rate_rps=40.0)
    >>> with bl.simulated_server(speedup=20) as url:
    ...     run = bl.replay(load, "sent", url=url)
    >>> run.manifest.simulated, run.summary.metrics.answered
    ('llama-2-13b-a100', 20)
    """
    from ..bench.simulated.presets import load_preset

    load_preset(preset)
    command = [sys.executable, "-c", CODE, preset, str(speedup), str(seed)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        try:
            url = (server.stdout.readline() if server.stdout else "").strip()
            if not url:
                lines = (server.stderr.read() if server.stderr else "").strip().splitlines()
                raise EndpointError(
                    f"the simulated endpoint did not start: {lines[-1] if lines else 'it ended'}"
                )
            yield url
        finally:
            server.terminate()
            try:
                server.wait(STOP_LIMIT_S)
            except subprocess.TimeoutExpired:
                server.kill()


serving = simulated_server
"""The former name of `simulated_server`."""
