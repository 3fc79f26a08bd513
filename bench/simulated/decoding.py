"""One decode instance: requests arrive with their prompt cached and get a token in every step.

It steps as `engine` does: a step with B requests that attend to ΣL tokens takes a_d + d·ΣL + e·B. The
instance admits requests in order of arrival while blocks and `max_num_seqs` allow it. It passes steps without
a decision in one go, up to the first finish, shortage of blocks, or arrival that can be admitted. If blocks
run out, the request that was admitted last gives its blocks back and must be computed anew (no swapping). A
copy costs as much as the lists of living requests are long. Not here: where requests come from
(`disaggregation`).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from heapq import heappop, heappush
from math import ceil, inf, sqrt

from .presets import Preset


@dataclass(frozen=True, slots=True)
class DecodeCosts:
    """Times of the steps of every decode instance, in seconds, and its limits."""

    step_s: float
    token_s: float
    request_s: float
    block: int
    blocks: int
    seqs: int

    @classmethod
    def of(cls, preset: Preset) -> DecodeCosts:
        """Take the constants and limits of a preset."""
        cost = preset.latency
        return cls(
            cost.a_d_ms / 1e3,
            cost.d_us / 1e6,
            cost.e_us / 1e6,
            preset.block_size,
            preset.num_blocks,
            preset.max_num_seqs,
        )


class Decode:
    """State of one instance; `end_s` is when its steps under way end, inf if it is idle."""

    __slots__ = (
        "_ends",
        "_first_s",
        "_increment_s",
        "_k",
        "_m",
        "_need",
        "_now_s",
        "_offsets",
        "_phase",
        "costs",
        "end_s",
        "free",
        "queue",
        "running",
    )

    def __init__(self, costs: DecodeCosts) -> None:
        self.costs = costs
        self.end_s = inf
        self.free = costs.blocks
        """Blocks that were free when the steps under way began."""
        self.queue: deque[tuple[int, int]] = deque()
        """Requests that wait for room, each with its cached tokens."""
        self.running: dict[int, int] = {}
        """Requests in order of admission, each with its cached tokens less the steps done before."""
        self._now_s = 0.0
        self._k = 0
        self._m = 0
        self._first_s = 0.0
        self._increment_s = 0.0
        self._need = 0
        self._offsets = 0
        self._phase = [0] * costs.block
        self._ends: list[tuple[int, int]] = []

    def copy(self) -> Decode:
        """Copy the state, so that the copy goes on independently."""
        new = Decode.__new__(Decode)
        new.costs, new.end_s, new.free = self.costs, self.end_s, self.free
        new.queue, new.running = self.queue.copy(), self.running.copy()
        new._now_s, new._k, new._m = self._now_s, self._k, self._m
        new._first_s, new._increment_s, new._need = self._first_s, self._increment_s, self._need
        new._offsets, new._phase, new._ends = self._offsets, self._phase[:], self._ends[:]
        return new

    def add(self, at_s: float, request: int, cached: int) -> None:
        """Add a request; it joins with the next step if there is room.

        Parameters
        ----------
        at_s
            Instant at which it arrives.
        request
            Its number.
        cached
            Tokens that it has cached.
        """
        first = not self.queue
        self.queue.append((request, cached))
        if first and self._m > 1 and len(self.running) < self.costs.seqs:
            block = self.costs.block
            if cached // block + 1 <= self.free:
                # Only who can be admitted ends the stretch: the free blocks do not grow while it lasts.
                self._cut(at_s)

    def begin(self, at_s: float, last: list[int]) -> list[tuple[int, int]]:
        """Begin the next steps, and preempt requests if blocks run out.

        Parameters
        ----------
        at_s
            Instant at which the steps begin.
        last
            Tokens that each request has cached when it is done, by its number.

        Returns
        -------
        list of (int, int)
            The preempted requests, each with the tokens that it had cached.
        """
        costs, block, k = self.costs, self.costs.block, self._k
        running, phase = self.running, self._phase
        need = phase[-k % block]
        free = self.free - need
        preempted: list[tuple[int, int]] = []
        while free < 0:
            request, offset = running.popitem()
            cached = offset + k
            self._leave(offset)
            preempted.append((request, cached))
            need = phase[-k % block]
            self.free += -(-cached // block)
            free = self.free - need
        queue = self.queue
        if queue and not preempted:
            places = costs.seqs - len(running)
            while queue and places > 0:
                request, cached = queue[0]
                # Its cached tokens, and room for the one that the step adds.
                blocks = cached // block + 1
                if blocks > free:
                    break
                queue.popleft()
                places -= 1
                free -= blocks
                offset = cached - k
                running[request] = offset
                self._offsets += offset
                phase[offset % block] += 1
                if cached % block == 0:
                    need += 1
                heappush(self._ends, (last[request] - offset, request))
        decoding = len(running)
        self._now_s = at_s
        if not decoding:
            self._m, self.end_s = 0, inf
            return preempted
        self._need = need
        self.free = free + need
        self._first_s = costs.step_s + costs.token_s * (self._offsets + decoding * (k + 1))
        self._first_s += costs.request_s * decoding
        self._increment_s = costs.token_s * decoding
        ends = self._ends
        while running.get(ends[0][1]) != last[ends[0][1]] - ends[0][0]:
            heappop(ends)
        steps = ends[0][0] - k
        if steps > 1 and decoding * (steps // block + 1) > self.free:
            steps = self._steps_before_shortage(steps)
        self._m = steps
        self.end_s = self._step_end(steps)
        return preempted

    def complete(self, last: list[int]) -> list[int]:
        """End the steps under way, and return the requests that are done."""
        m, k, block = self._m, self._k, self.costs.block
        if m == 1:
            self.free -= self._need
        else:
            cycles, rest = divmod(m, block)
            phase = self._phase
            taken = cycles * len(self.running)
            if rest:
                at = -k % block
                low = at - rest + 1
                taken += sum(phase[low : at + 1]) if low >= 0 else sum(phase[: at + 1]) + sum(phase[low:])
            self.free -= taken
        self._k = k = k + m
        self._m, self.end_s = 0, inf
        done: list[int] = []
        ends, running = self._ends, self.running
        while ends and ends[0][0] <= k:
            end_k, request = heappop(ends)
            offset = running.get(request)
            if offset is not None and last[request] - offset == end_k:
                del running[request]
                self._leave(offset)
                self.free += -(-(offset + k) // block)
                done.append(request)
        return done

    def _leave(self, offset: int) -> None:
        self._offsets -= offset
        self._phase[offset % self.costs.block] -= 1

    def _step_end(self, j: int) -> float:
        return self._now_s + j * self._first_s + self._increment_s * (j * (j - 1) / 2)

    def _steps_before_shortage(self, wanted: int) -> int:
        block, phase, k, decoding = self.costs.block, self._phase, self._k, len(self.running)
        cycles, free = divmod(self.free, decoding)
        m = cycles * block
        while m < wanted:
            free -= phase[-(k + m) % block]
            if free < 0:
                return m
            m += 1
        return wanted

    def _cut(self, at_s: float) -> None:
        """End the steps under way with the one that runs at `at_s`, or ends then."""
        span_s = at_s - self._now_s
        linear = self._first_s - self._increment_s / 2
        j = 1
        if span_s > 0:
            j = max(ceil(2 * span_s / (linear + sqrt(linear * linear + 2 * self._increment_s * span_s))), 1)
        while j > 1 and self._step_end(j - 1) >= at_s:
            j -= 1
        while self._step_end(j) < at_s:
            j += 1
        if j < self._m:
            self._m = j
            self.end_s = self._step_end(j)
