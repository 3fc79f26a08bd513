"""The simulated endpoint beside a program or a notebook, for as long as a block lasts.

Not here: the endpoint itself (`burstlens.bench.simulated.http.endpoint`).
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from ..analysis.core.errors import EndpointError

CODE = """
import sys, burstlens
preset, speedup, seed = sys.argv[1:]
told = lambda url: print(url, flush=True)
burstlens.serve(preset, port=0, speedup=float(speedup), seed=int(seed), ready=told)
"""
PATIENCE_S = 20.0


@contextmanager
def serving(preset: str, speedup: float, seed: int) -> Iterator[str]:
    """See `burstlens.serving`."""
    from ..bench.simulated.presets import load_preset

    load_preset(preset)
    command = [sys.executable, "-c", CODE, preset, str(speedup), str(seed)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        try:
            url = (server.stdout.readline() if server.stdout else "").strip()
            if not url:
                why = (server.stderr.read() if server.stderr else "").strip().splitlines()
                raise EndpointError(f"the simulated endpoint did not start: {why[-1] if why else 'it ended'}")
            yield url
        finally:
            server.terminate()
            try:
                server.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                server.kill()
