"""A synthetic load that turns over: long answers to short prompts first, then the reverse.

It imitates no trace. Poisson arrivals have a constant rate, and the medians of log-normal lengths change at
one instant. Not here: what serves it.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from ...analysis.core.units import HOUR_S
from .recipe import Recipe
from .table import Workload, requests_frame

SPAN_S = 12 * HOUR_S
TURN_S = 6 * HOUR_S
"""Where the paper's Fig. 19 changes the ratio."""
REQUESTS = 20_000
BEFORE, AFTER = (150.0, 250.0), (1600.0, 30.0)
"""Median request and response tokens before and after the turn."""
SPREAD = 0.6
"""Standard deviation of the logarithm of lengths."""
MAX_TOKENS = 2000
"""Longest request and longest response: together they fit the shortest context of the presets' Llama."""


def turnover(requests: int = REQUESTS, seed: int = 0) -> Workload:
    """Draw about `requests` requests over twelve hours: decode-heavy up to 6:00, then prefill-heavy.

    Parameters
    ----------
    requests
        Expected number of requests.
    seed
        Seed of instants and lengths.

    Returns
    -------
    Workload
        Requests without a service; it is marked as synthetic.
    """
    rng = np.random.default_rng(seed)
    at = np.sort(rng.uniform(0.0, SPAN_S, rng.poisson(requests)))
    medians = np.where((at < TURN_S)[:, None], BEFORE, AFTER)
    drawn = np.exp(np.log(medians) + SPREAD * rng.standard_normal((len(at), 2)))
    lengths = np.clip(np.rint(drawn), 1, MAX_TOKENS).astype(np.int64)
    known = pl.DataFrame({"at_s": at, "request_tokens": lengths[:, 0], "response_tokens": lengths[:, 1]})
    recipe: Recipe = {
        "construction": "turnover",
        "before": list(BEFORE),
        "after": list(AFTER),
        "turn_s": TURN_S,
        "duration_s": SPAN_S,
        "seed": seed,
    }
    return Workload(requests_frame(known), "turnover", True, recipe)
