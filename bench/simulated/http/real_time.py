"""The engine in real time: requests are submitted as they come and notified of their tokens when due.

The engine's own clock is exact; only the notice waits for the event loop, and tokens that are due at one
wake-up come together. Not here: the protocol and sockets (`endpoint`).
"""

from __future__ import annotations

import asyncio

from ..engine import BatchingEngine
from ..request import EngineState, Request
from .metrics_page import MetricsPage

LEAST_WAIT_S = 0.001
"""Time between two wake-ups at least, so that a fast engine does not starve the sockets."""


class Live:
    """A request being served: `wake` is set when it has ended and, if streamed, whenever `tokens` grew."""

    __slots__ = ("last_s", "request", "streamed", "tokens", "wake")

    def __init__(self, request: Request, streamed: bool) -> None:
        self.request = request
        self.wake = asyncio.Event()
        self.streamed = streamed
        self.tokens = 0
        self.last_s = request.arrival_s


class Pace:
    """Drives an engine by the event loop's clock; to be made, and used, inside the loop."""

    def __init__(self, engine: BatchingEngine, page: MetricsPage) -> None:
        self._engine = engine
        self._page = page
        self._loop = asyncio.get_running_loop()
        self._start_s = self._loop.time()
        self._living: dict[Request, Live] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._ids = 0

    def submit(self, prompt_tokens: int, response_tokens: int, priority: int, streamed: bool) -> Live:
        """Submit a request that arrives now; it may end at once, see `BatchingEngine.submit`.

        Parameters
        ----------
        prompt_tokens, response_tokens
            Lengths of prompt and answer.
        priority
            Smaller is sooner, under priority scheduling.
        streamed
            Whether its answer is streamed.
        """
        now = self._advance()
        self._ids += 1
        request = self._engine.submit(now, self._ids, prompt_tokens, response_tokens, priority)
        live = Live(request, streamed)
        if request.end is None:
            self._living[request] = live
            self._plan(now)
        return live

    def abort(self, live: Live, max_tokens: int) -> None:
        """Abort a request now, unless it has ended.

        Parameters
        ----------
        live
            What `submit` returned.
        max_tokens
            `max_tokens` of the request, for the metrics.
        """
        now = self._advance()
        request = live.request
        if request.end is None:
            self._engine.abort(now, request)
            self._living.pop(request, None)
            self._page.ended(request, "abort", max_tokens)
            self._plan(now)

    def sample(self) -> EngineState:
        """Sample the engine as it is now."""
        return self._engine.sample(self._advance())

    def stop(self) -> None:
        """Wake up no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _advance(self) -> float:
        """Bring the engine up to now and notify the requests that finished."""
        now = self._loop.time() - self._start_s
        for request in self._engine.advance(now):
            live = self._living.pop(request, None)
            if live is not None and request.ended_s is not None:
                self._tell(live, request.generated, request.ended_s)
        return now

    def _tick(self) -> None:
        self._timer = None
        now = self._advance()
        for request, tokens in self._engine.progress(now):
            live = self._living[request]
            if tokens > live.tokens:
                self._tell(live, tokens, now)
        self._plan(now)

    def _tell(self, live: Live, tokens: int, at_s: float) -> None:
        first = live.request.first_token_s
        if live.tokens == 0 and first is not None:
            self._page.first_token(first - live.request.arrival_s)
            live.tokens, live.last_s = 1, first
        if tokens > live.tokens:
            self._page.tokens(at_s - live.last_s, tokens - live.tokens)
            live.tokens, live.last_s = tokens, at_s
        if live.streamed or live.request.end is not None:
            live.wake.set()

    def _plan(self, now: float) -> None:
        """Wake up at the end of the step under way, or sooner if that was planned."""
        due = self._start_s + max(self._engine.next_step_s(now), now + LEAST_WAIT_S)
        if self._timer is not None:
            if self._timer.when() <= due:
                return
            self._timer.cancel()
            self._timer = None
        if due < float("inf"):
            self._timer = self._loop.call_at(due, self._tick)
