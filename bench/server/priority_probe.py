"""Does a server schedule by the `priority` of requests? Found out by what it does, since no server says so.

vLLM 0.32 started without `--scheduling-policy priority` takes a request with a priority, answers 200 and
serves it in order of arrival, though its own documentation announces an error. So prompts are sent at once,
each more urgent than those before it, and long enough to fill the token budget of several steps: what waits
comes back in reverse order under priority, in order of sending without. Not here: who the endpoint is
(`client.preflight`).
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl

from ...analysis.core.errors import EndpointError
from ..client.run import run
from ..prompts.token_ids import TokenPrompts
from ..record.run_folder import read_record
from ..settings import Settings, Target
from ..workload.table import Workload, requests_frame

PROMPTS = (8, 32, 128)
"""Requests of each attempt; more are sent only while fewer made no queue, or came back in order."""
TOKENS = 2048
"""Of a prompt: a few of them are more than the prefill of one step."""
LEAST_TAU = 0.3
"""Rank correlation beyond which an order is one; of 8 requests in no order two in three lie below it."""
WAITED = 2.0
"""There was a queue if the median first token took this multiple of the soonest."""
REMEDY = "was not started with the scheduling policy priority"


def serves_by_priority(target: Target, vocabulary: tuple[int, int], max_model_len: int | None) -> bool | None:
    """Find out whether a server serves the more urgent of waiting requests first.

    Parameters
    ----------
    target
        The server.
    vocabulary
        Lowest and highest token id of the prompts.
    max_model_len
        Tokens that the model takes; None if that is not known.

    Returns
    -------
    bool or None
        None if no queue could be made.

    Raises
    ------
    EndpointError
        If the server refuses a request because of its priority, or does not answer.
    """

    def order(requests: int) -> pl.DataFrame:
        with tempfile.TemporaryDirectory(prefix="burstlens-") as folder:
            at = Path(folder) / "probe"
            settings = Settings(timeout_s=120.0, sample_s=None)
            run(
                _urgent_last(requests, max_model_len),
                TokenPrompts(vocabulary=vocabulary),
                target,
                settings,
                at,
            )
            return read_record(at)

    return judged(order, target.url)


def judged(order: Callable[[int], pl.DataFrame], url: str) -> bool | None:
    """Judge the order of serving by records of requests, each more urgent than the one before it.

    Parameters
    ----------
    order
        Sends so many requests and returns their record (columns of `record.models.SCHEMA`).
    url
        URL of the server, for errors.

    Returns
    -------
    bool or None
        Whether the more urgent are served first; None if no queue could be made.

    Raises
    ------
    EndpointError
        If the server refuses a request because of its priority, or answers fewer than three.
    """
    queued = False
    for requests in PROMPTS:
        record = order(requests)
        answered = record.filter(pl.col("first_token_s").is_not_null()).sort("request_id")
        if answered.height < 3:
            reason = next((text for text in record["error"].drop_nulls()), "no reason was given")
            if "priorit" in reason.lower():
                raise EndpointError(f"server {url} {REMEDY}: {reason}")
            raise EndpointError(f"{url}: does not answer the requests that test its scheduling: {reason}")
        first = answered["first_token_s"].to_numpy()
        tau = _tau(first)
        if tau < -LEAST_TAU:
            return True
        took = first - answered["sent_s"].to_numpy()
        queued |= bool(np.median(took) > WAITED * took.min()) and tau > LEAST_TAU
    return False if queued else None


def _tau(first_s: np.ndarray) -> float:
    """Kendall's correlation of the order of sending with that of first tokens."""
    signs = np.sign(first_s[None, :] - first_s[:, None])[np.triu_indices(len(first_s), 1)]
    return float(signs.mean())


def _urgent_last(requests: int, max_model_len: int | None) -> Workload:
    """Equal requests at one instant, each more urgent than those before it."""
    tokens = min(TOKENS, (max_model_len or TOKENS) - 1)
    equal = pl.DataFrame(
        {
            "at_s": [0.0] * requests,
            "request_tokens": [tokens] * requests,
            "response_tokens": [1] * requests,
            "priority": [-i for i in range(requests)],
        }
    )
    return Workload(requests_frame(equal), "probe of the policy", True)
