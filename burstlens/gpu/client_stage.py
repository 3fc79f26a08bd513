"""The stage that measures the client itself at a high rate. Not here: sending (`burstlens.bench.client`)."""

from __future__ import annotations

import os
import resource
import time
from dataclasses import replace
from pathlib import Path

from ..analysis.core.atomic_write import write_json
from ..analysis.core.result import Progress
from ..analysis.core.units import counted
from .config import EvaluationConfig

CLIENT_TOKENS = (64, 16)
"""Request and response tokens of the load that measures the client: little work for the server."""
CLIENT_WORKERS = (1, 4)


def client(plan: EvaluationConfig, folder: Path, url: str, show: Progress) -> str:
    """Measure what the client costs at a high rate: lateness, and processor time per 1,000 requests.

    Parameters
    ----------
    plan, folder, url, show
        As in `profile`.

    Returns
    -------
    str
        What the stage found, in one line.
    """
    import numpy as np
    import polars as pl

    from ..bench.client.run import run
    from ..bench.metrics.summary import summarize
    from ..bench.prompts.token_ids import TokenPrompts
    from ..bench.workload.table import Workload, requests_frame

    n, (request, response) = plan.client_requests, CLIENT_TOKENS
    at_s = np.cumsum(np.random.default_rng(0).exponential(1 / plan.client_rps, n))
    known = pl.DataFrame({"at_s": at_s, "request_tokens": [request] * n, "response_tokens": [response] * n})
    load = Workload(
        requests_frame(known), "Poisson, short requests", True, {"rate_rps": plan.client_rps, "seed": 0}
    )
    rows = []
    for i, workers in enumerate(CLIENT_WORKERS):
        show(counted(workers, "worker"), i / len(CLIENT_WORKERS))
        into = folder / f"workers-{workers}-{time.time():.0f}"
        settings = replace(plan.settings(), workers=workers)
        before = _cpu_s()
        run(load, TokenPrompts(vocabulary=plan.vocabulary), plan.target(url), settings, into)
        spent = _cpu_s() - before
        summary = summarize(into)
        rows.append({
            "workers": workers, "rate_rps": summary.rates_rps[1], "cpu_s_per_1000": 1000 * spent / n,
            "lateness_p50_s": summary.lateness.p50, "lateness_p99_s": summary.lateness.p99,
            "lateness_max_s": summary.lateness.max, "load": str(summary.verdict),
        })  # fmt: skip
    write_json({"requests": n, "cores": os.cpu_count(), "runs": rows}, folder / "client.json")
    times = (
        f"{row['cpu_s_per_1000']:.3g} s with {counted(workers, 'worker')}"
        for row, workers in zip(rows, CLIENT_WORKERS, strict=False)
    )
    return f"processor time of 1,000 requests: {', '.join(times)}"


def _cpu_s() -> float:
    """Processor time of this process and of those that it waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)
