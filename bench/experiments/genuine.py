"""Whether a server's model has learnt a language: dummy weights answer too, and their answers mean nothing.

A model that was trained finds sentences likelier than the same words in another order; one with random
weights does not. Not here: who the server is (`burstlens.bench.client.preflight`).
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..settings import Target

if TYPE_CHECKING:
    from aiohttp import ClientSession

LIMIT_S = 60.0
ORDERS = 7
"""Other orders of each passage that are asked for."""
MARGIN = 0.25
"""Nats per token by which a passage must be likelier than its words in other orders."""
PASSAGES = (
    "The train to the coast leaves every morning at half past seven, and it takes about two hours to get "
    "there. If you miss it, there is another one at noon.",
    "To make bread you need flour, water, salt and a little yeast. Mix them well, let the dough rest for "
    "an hour, and bake it in a hot oven until the crust is brown.",
    "She opened the door of the old house, looked into the dark hall, and called his name. Nobody "
    "answered, but somewhere above her a floorboard creaked.",
)
"""Plain English, written for this."""


@dataclass(frozen=True)
class Genuine:
    """What the passages show of a model."""

    known: bool
    """Whether the server says how likely a prompt is; without that nothing is known."""
    margin: float
    """Nats per token by which the passages are likelier than their words in other orders, on average."""

    @property
    def learnt(self) -> bool:
        """Whether the model knows sentences from words."""
        return self.known and self.margin >= MARGIN


def genuine(target: Target) -> Genuine:
    """Ask a server how likely it finds a few passages, and their words in other orders."""
    return asyncio.run(_ask(target))


async def _ask(target: Target) -> Genuine:
    import aiohttp

    source = random.Random(1)
    limit = aiohttp.ClientTimeout(total=LIMIT_S)
    margins = []
    async with aiohttp.ClientSession(timeout=limit, headers=target.headers) as http:
        for passage in PASSAGES:
            own = await _likelihood(http, target, passage)
            words = passage.split()
            others = []
            for _ in range(ORDERS):
                source.shuffle(words)
                others.append(await _likelihood(http, target, " ".join(words)))
            known = [value for value in others if value is not None]
            if own is None or not known:
                return Genuine(False, 0.0)
            margins.append(own - sum(known) / len(known))
    return Genuine(True, sum(margins) / len(margins))


async def _likelihood(http: ClientSession, target: Target, text: str) -> float | None:
    """Mean log-likelihood of a text's tokens but the first, in nats; None if the server does not say."""
    import aiohttp

    body = {"model": target.model, "prompt": text, "max_tokens": 1, "temperature": 0, "prompt_logprobs": 1}
    try:
        async with http.post(f"{target.url}/v1/completions", json=body) as response:
            answer = await response.json(content_type=None) if response.status == 200 else {}
    except (aiohttp.ClientError, TimeoutError, ValueError):
        return None
    return _mean(answer)


def _mean(answer: Any) -> float | None:
    """The mean of an answer's `prompt_logprobs`, as vLLM has them; None if there are none.

    Each entry maps a few token ids to their log-likelihood, the prompt's own token first.
    """
    try:
        entries = answer["choices"][0]["prompt_logprobs"]
        first_values = [next(iter(entry.values())) for entry in entries[1:] if entry]
        values = [float(each["logprob"] if isinstance(each, dict) else each) for each in first_values]
    except (KeyError, IndexError, TypeError, ValueError, StopIteration):
        return None
    return sum(values) / len(values) if values else None
