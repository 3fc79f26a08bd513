"""Small workloads for the simulated engine's tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from burstlens.bench.workload.table import SCHEMA, Workload


def workload(at_s: Sequence[float], into: Sequence[int], out: Sequence[int], **columns: Any) -> Workload:
    """Requests with these instants and lengths; further columns by name, all else as a plain trace has it."""
    n = len(at_s)
    rows = {
        "request_id": range(n),
        "at_s": at_s,
        "service": ["api"] * n,
        "model": [None] * n,
        "request_tokens": into,
        "response_tokens": out,
        "session": [None] * n,
        "turn": [None] * n,
        "think_s": [None] * n,
        "priority": [0] * n,
        "prefix": [None] * n,
        **columns,
    }
    return Workload(pl.DataFrame(rows, schema=SCHEMA), "made for a test", True)


def bursty(n: int, rate_rps: float, seed: int = 0) -> Workload:
    """Gamma arrivals of shape 0.5, lengths like a chat service's: about 400 tokens in, 200 out."""
    rng = np.random.default_rng(seed)
    at = np.cumsum(rng.gamma(0.5, 2 / rate_rps, n))
    into = np.clip(rng.lognormal(5.5, 1.0, n), 1, 3000).astype(int)
    out = np.clip(rng.lognormal(4.9, 0.9, n), 1, 1000).astype(int)
    return workload(at.tolist(), into.tolist(), out.tolist())
