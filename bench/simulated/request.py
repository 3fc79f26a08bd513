"""A request in the simulated engine, and the engine's state at an instant: plain data.

Not here: what the engine does with them (`engine`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Scheduling = Literal["fcfs", "priority"]
End = Literal["finished", "rejected", "too_long", "aborted"]

WAITING, PREFILL, DECODE, PAUSED, ENDED = range(5)
"""State of a request; a paused one decodes but gets no token in the step under way."""


class Request:
    """One request in the engine; its fields are the result and are only to be read.

    Instants are in seconds of virtual time. `response_tokens` is what it will get: the tokens asked for,
    or what `max_model_len` leaves of them (then `truncated`). `end` is None while it lives.
    """

    __slots__ = (
        "_computed",
        "_end_k",
        "_offset",
        "_order",
        "_span_k",
        "_state",
        "admitted_s",
        "arrival_s",
        "end",
        "ended_s",
        "first_token_s",
        "generated",
        "goal",
        "id",
        "preemptions",
        "priority",
        "request_tokens",
        "response_tokens",
        "spans",
        "truncated",
    )

    def __init__(
        self, id: int, arrival_s: float, request_tokens: int, response_tokens: int, priority: int, order: int
    ) -> None:
        self.id = id
        self.arrival_s = arrival_s
        self.request_tokens = request_tokens
        self.response_tokens = response_tokens
        self.priority = priority
        self.truncated = False
        self.end: End | None = None
        self.admitted_s: float | None = None
        """Begin of the first step that it had a part in."""
        self.first_token_s: float | None = None
        self.ended_s: float | None = None
        self.preemptions = 0
        self.generated = 0
        """Tokens when it last left decode, or in total once it ended; the engine's `generated` is current."""
        self.spans: list[tuple[int, int]] = []
        """Steps, first and last of each run of them, that brought a token; filled when decode is left."""
        self.goal = request_tokens
        """Tokens to compute before the next one can be generated: the prompt, and what is recomputed."""
        self._state = WAITING
        self._order = order
        self._computed = 0
        # In decode, tokens in the KV cache are _offset plus the engine's step count.
        self._offset = 0
        self._end_k = 0
        self._span_k = 0


@dataclass(frozen=True, slots=True)
class EngineState:
    """The engine seen at an instant; the last five count since its start."""

    kv_cache_use: float
    """Share of the KV blocks that are taken, 0 to 1."""
    running: int
    waiting: int
    preemptions: int
    rejections: int
    prompt_tokens: int
    generation_tokens: int
    steps: int
