"""Bodies of requests, made before their instant on a thread of their own, within a limit of memory.

A prompt of text takes milliseconds, and arrivals come in bursts: if each was made when it is due, many
requests would be late. Not here: what is made, and when it is sent (`sender`).
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

TOKENS = 1 << 20
"""Tokens of the prompts that are made ahead: some 5 MB of text."""
BEFORE_S = 2.0
"""How long the first prompts may keep a run from starting."""


class BodyPrefetcher:
    """Makes the bodies of `rows` in order, on one thread; `tokens` are the lengths of their prompts."""

    def __init__(self, make: Callable[[int], bytes], rows: Sequence[int], tokens: Sequence[int]) -> None:
        self._make, self._rows, self._tokens = make, rows, tokens
        self._thread = ThreadPoolExecutor(1, "burstlens-prompts")
        self._early: deque[bytes] = deque()
        self._begun: deque[asyncio.Future[bytes]] = deque()
        self._taken = self._upcoming = self._tokens_ahead = 0

    def prepare(self) -> None:
        """Make the first bodies at once, before the clock of the run starts."""
        until = time.monotonic() + BEFORE_S
        while self._room() and time.monotonic() < until:
            self._early.append(self._make(self._take()))

    async def next(self) -> bytes:
        """Return the body of the next row; raises what making it raises."""
        loop = asyncio.get_running_loop()
        while self._room():
            self._begun.append(loop.run_in_executor(self._thread, self._make, self._take()))
        body = self._early.popleft() if self._early else await self._begun.popleft()
        self._tokens_ahead -= self._tokens[self._taken]
        self._taken += 1
        return body

    async def out_of_turn(self, row: int) -> bytes:
        """Make the body of a row that is not among `rows`."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._make, row)

    def close(self) -> None:
        """Make no more."""
        self._thread.shutdown(cancel_futures=True)

    def _room(self) -> bool:
        return self._upcoming < len(self._rows) and self._tokens_ahead < TOKENS

    def _take(self) -> int:
        """The next row to be made."""
        row = self._rows[self._upcoming]
        self._tokens_ahead += self._tokens[self._upcoming]
        self._upcoming += 1
        return row
