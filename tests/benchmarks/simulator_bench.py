"""How many requests a second the simulated engine serves in virtual time, on load like BurstGPT's.

Gamma arrivals of shape 0.5, about 400 tokens in and 200 out, Llama-2-13b on an A100 at three rates: hardly
busy, well used, and more than it bears (so that blocks run short and requests are preempted).
`python -m tests.benchmarks.simulator_bench` prints the figures as JSON.
"""

from __future__ import annotations

import json
import time

from burstlens.bench.simulated.presets import load_preset
from burstlens.bench.simulated.virtual import simulate_frame

from ..bench.simulated.loads import bursty

RATES_RPS = {"light": 0.5, "busy": 4.0, "overloaded": 8.0}


def simulator_speed(requests: int = 50_000) -> dict[str, dict[str, float]]:
    """By load: requests per second of wall time into the record and the samples, without and with the gaps
    between tokens, and how often a request was preempted."""
    preset = load_preset("llama-2-13b-a100")
    figures = {}
    for load, rate in RATES_RPS.items():
        workload = bursty(requests, rate)
        figures[load] = {"rate_rps": rate, "requests": float(requests)}
        for name, gaps in (("requests_per_s", False), ("requests_per_s_with_gaps", True)):
            start_s = time.perf_counter()
            _, server = simulate_frame(workload, preset, gaps=gaps)
            figures[load][name] = requests / (time.perf_counter() - start_s)
        figures[load]["preemptions"] = float(server["preemptions"][-1])
    return figures


if __name__ == "__main__":
    print(json.dumps(simulator_speed()))
