"""Continuous batching in virtual time: requests in, the instants of their tokens out.

The scheduler is vLLM's: in every step the running requests take their tokens first (one each in decode, a
chunk in prefill), then waiting ones are admitted under the token budget, `max_num_seqs` and the free KV
blocks (those of the whole prompt must be free). Out of blocks, the last running request (`fcfs`) or the
one of the worst priority (`priority`) goes back to the head of the waiting queue with nothing computed,
and no request is admitted in that step. A step with prefill chunks n after ctx cached tokens, N_p of them
in all, and B decoding requests that attend to ΣL tokens takes

    T = max(h, a + b·N_p + c·Σ n(2·ctx + n)) + d·ΣL + e·B    where N_p > 0, else a_d + d·ΣL + e·B

with a = max(a_d, a_p), or where h is told, a_p: the weights are read, and the kernels launched, while the
GPU computes, and what takes longer counts.

While all running requests decode and nobody can be admitted, m steps take m·T₁ + d·B·m(m − 1)/2, T₁ being
the first: such a stretch is passed in one go, up to the first finish, arrival or shortage of blocks.

With `async_scheduling`, vLLM's default since 0.14, a step is planned while the one before it begins: who
arrives later misses it, and gets into the one after. What finishes is known ahead, by its length.

Not modelled: prefix caching, speculative decoding, that a plan made ahead does not have the blocks that the
step under way will free, the cost of HTTP and tokenizers. Not here: the constants (`presets`), files
(`virtual`), HTTP (`simulated.http.endpoint`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from heapq import heapify, heappop, heappush
from itertools import count
from math import ceil, inf, sqrt

from .presets import Preset
from .request import DECODE, ENDED, PAUSED, PREFILL, WAITING, End, EngineState, Request, Scheduling
from .step_times import StepTimes


class BatchingEngine:
    """One model replica. Time only goes forward: `advance` to an instant, then `submit` or `abort` at it.

    A step that begins at the very instant of an arrival includes it, so requests submitted at one
    instant can share their first step. `keep_steps` stores every block of steps for `token_times`.
    """

    def __init__(self, preset: Preset, *, scheduling: Scheduling = "fcfs", keep_steps: bool = False) -> None:
        self.preset = preset
        self.scheduling: Scheduling = scheduling
        self.now_s = 0.0
        """End of the last step that is done, or the last arrival at an idle engine."""
        self.preemptions = 0
        self.rejections = 0
        self.prompt_tokens = 0
        """Prompt tokens of requests that got their first token."""
        self.generation_tokens = 0
        self.waiting = 0
        """Requests in the waiting queue."""
        self.step_times: StepTimes | None = StepTimes() if keep_steps else None
        cost = preset.latency
        self._a_d, self._a_mixed, self._h = cost.a_d_ms / 1e3, cost.a_ms / 1e3, cost.h_ms / 1e3
        self._b, self._c = cost.b_ms / 1e3, cost.c_ms / 1e3
        self._d, self._e = cost.d_us / 1e6, cost.e_us / 1e6
        self._block = preset.block_size
        self._free = preset.num_blocks
        self._fcfs = scheduling == "fcfs"
        self._ahead = preset.async_scheduling
        # Arrivals that no plan has seen, each with the first step that it can have a part in.
        self._unseen: deque[tuple[int, Request]] = deque()
        self._orders = count()
        self._queue: deque[Request] = deque()
        self._heap: list[tuple[int, float, int, Request]] = []
        # In order of admission; at most one of them, the last, is in the midst of its prefill.
        self._running: dict[Request, None] = {}
        self._partial: Request | None = None
        # Decoding requests: how many, Σ _offset, how many by _offset modulo the block size, their last steps.
        self._k = 0
        self._decoding = 0
        self._offsets = 0
        self._phase = [0] * preset.block_size
        self._ends: list[tuple[int, int, Request]] = []
        # The stretch under way: _m steps from now_s, none if 0.
        self._m = 0
        self._first_s = 0.0
        self._increment_s = 0.0
        self._end_s = inf
        self._need = 0
        self._chunks: list[tuple[Request, int]] = []
        self._paused: list[Request] = []
        self._aborted: list[Request] = []

    @property
    def running(self) -> int:
        """Requests that have a place in the batch."""
        return len(self._running)

    def submit(
        self, at_s: float, id: int, request_tokens: int, response_tokens: int, priority: int = 0
    ) -> Request:
        """Submit a request.

        It may end at once: as `too_long` if the prompt leaves no room for a token under `max_model_len`, as
        `rejected` if `max_num_queued_reqs` requests are waiting or running.

        Parameters
        ----------
        at_s
            Instant at which it arrives, to which the engine was advanced.
        id
            Its id.
        request_tokens, response_tokens
            Lengths of prompt and answer; the answer is cut to the room under `max_model_len`.
        priority
            Smaller is sooner, under priority scheduling.

        Raises
        ------
        ValueError
            If a length is below one token.
        """
        if request_tokens < 1 or response_tokens < 1:
            raise ValueError(f"request {id}: {request_tokens} tokens in and {response_tokens} out")
        request = Request(id, at_s, request_tokens, response_tokens, priority, next(self._orders))
        preset = self.preset
        room = preset.max_model_len - request_tokens
        limit = preset.max_num_queued_reqs
        if room < 1:
            return self._refuse(request, "too_long")
        if limit is not None and self.waiting + len(self._running) >= limit:
            self.rejections += 1
            return self._refuse(request, "rejected")
        if response_tokens > room:
            request.response_tokens = room
            request.truncated = True
        first = self._head() is None if self._fcfs else self._before_head(request)
        self.waiting += 1
        if not self._m and at_s > self.now_s:
            self.now_s = at_s
        late = 0
        if self._ahead:
            on = self._step_on(at_s) if self._m else 0
            self._unseen.append((self._k + on + 2, request))
            late = 1
        else:
            self._enqueue(request)
        if (
            first
            and self._m > 1
            and len(self._running) < preset.max_num_seqs
            and -(-request_tokens // self._block) <= self._free
        ):
            # Only who can be admitted ends the stretch: the free blocks do not grow while it lasts.
            self._cut(at_s, late)
        return request

    def abort(self, at_s: float, request: Request) -> None:
        """Abort a request; one that has ended stays as it is.

        Its tokens stop at once, and its blocks are free when the step under way ends.

        Parameters
        ----------
        at_s
            The instant, to which the engine was advanced.
        request
            What `submit` returned.
        """
        if request.end is not None:
            return
        request.generated = self.generated(request, at_s)
        request.end = "aborted"
        request.ended_s = at_s
        if request._state == WAITING:
            # It stays in its queue until it comes to the head, where it is passed over.
            request._state = ENDED
            self.waiting -= 1
            self._cut(at_s)
        elif self._m:
            self._aborted.append(request)
            self._cut(at_s)
        else:
            self._release(request)

    def advance(self, until_s: float) -> list[Request]:
        """Do every step that ends by `until_s` and begin those that begin before it.

        Returns the requests that finished, in the order in which they did.
        """
        finished: list[Request] = []
        while True:
            if self._m:
                if self._end_s > until_s:
                    break
                self._complete(finished)
            if self.now_s >= until_s or not (self._running or self.waiting):
                break
            self._begin()
        return finished

    def begin(self) -> None:
        """Begin the step that is due at `now_s`, if any; later arrivals at that instant miss it."""
        if not self._m and (self._running or self.waiting):
            self._begin()

    def next_event_s(self) -> float:
        """Compute when the next finish, admission or preemption may happen by itself; inf if idle.

        It is `now_s` while a step is due that was not begun.
        """
        if self._m:
            return self._end_s
        return self.now_s if self._running or self.waiting else inf

    def next_step_s(self, after_s: float) -> float:
        """End of the step under way at `after_s`, to which the engine was advanced; inf when idle."""
        if not self._m:
            return self.next_event_s()
        j = self._steps_by(after_s)
        return min(self._step_end(j + 1), self._end_s)

    def generated(self, request: Request, at_s: float) -> int:
        """Count the tokens that a request has by now.

        Parameters
        ----------
        request
            What `submit` returned.
        at_s
            The instant, to which the engine was advanced.
        """
        if request._state != DECODE or request.end is not None:
            return request.generated
        k = self._k + (self._steps_by(at_s) if self._m else 0)
        return request._offset + k - request.request_tokens + 1

    def progress(self, at_s: float) -> list[tuple[Request, int]]:
        """Requests in decode at `at_s`, to which the engine was advanced, and the tokens that each has."""
        k = self._k + (self._steps_by(at_s) if self._m else 0) + 1
        return [
            (request, request._offset + k - request.request_tokens)
            for request in self._running
            if request._state == DECODE and request.end is None
        ]

    def sample(self, at_s: float) -> EngineState:
        """Sample the engine at `at_s`, to which it was advanced."""
        done = self._steps_by(at_s) if self._m else 0
        taken = self.preset.num_blocks - self._free
        if self._m:
            taken += self._need if self._m == 1 else self._blocks_for(done + 1)
        return EngineState(
            taken / self.preset.num_blocks,
            len(self._running),
            self.waiting,
            self.preemptions,
            self.rejections,
            self.prompt_tokens,
            self.generation_tokens + done * self._decoding,
            self._k + done,
        )

    def token_times(self, request: Request) -> list[float]:
        """Instants of all tokens of a request that has ended; needs `keep_steps`."""
        if self.step_times is None:
            raise ValueError("the engine was made without keep_steps")
        times: list[float] = []
        for first, last in request.spans:
            times.extend(self.step_times.ends_s(first, last).tolist())
        return times[: request.generated]

    def forget_steps(self) -> None:
        """Forget the blocks of steps that no living request needs any more."""
        if self.step_times is not None:
            living = (
                r.spans[0][0] if r.spans else r._span_k for r in self._living() if r.first_token_s is not None
            )
            self.step_times.forget(min(living, default=self._k + 1))

    # What follows is the inside of a step.

    def _living(self) -> Iterator[Request]:
        yield from self._running
        yield from self._queue if self._fcfs else (entry[-1] for entry in self._heap)
        yield from (request for _, request in self._unseen)

    def _refuse(self, request: Request, end: End) -> Request:
        request.end = end
        request.ended_s = request.arrival_s
        request._state = ENDED
        return request

    def _head(self) -> Request | None:
        """The request that is next to be admitted, if any waits."""
        if self._fcfs:
            queue = self._queue
            while queue and queue[0]._state != WAITING:
                queue.popleft()
            return queue[0] if queue else None
        heap = self._heap
        while heap and heap[0][-1]._state != WAITING:
            heappop(heap)
        return heap[0][-1] if heap else None

    def _before_head(self, request: Request) -> bool:
        head = self._head()
        return head is None or (request.priority, request.arrival_s) < (head.priority, head.arrival_s)

    def _step_end(self, j: int) -> float:
        """End of the j-th of the steps under way, counted from 1."""
        return self.now_s + j * self._first_s + self._increment_s * (j * (j - 1) / 2)

    def _steps_by(self, at_s: float) -> int:
        """How many of the steps under way have ended by `at_s`."""
        if at_s >= self._end_s:
            return self._m
        j = int(self._steps_in(at_s - self.now_s))
        while j < self._m and self._step_end(j + 1) <= at_s:
            j += 1
        while j > 0 and self._step_end(j) > at_s:
            j -= 1
        return j

    def _steps_in(self, span_s: float) -> float:
        """Solve j·first + increment·j(j − 1)/2 = span for j, in the form that does not cancel."""
        linear = self._first_s - self._increment_s / 2
        return (
            2 * span_s / (linear + sqrt(linear * linear + 2 * self._increment_s * span_s))
            if span_s > 0
            else 0.0
        )

    def _step_on(self, at_s: float) -> int:
        """Which of the steps under way runs at `at_s`, or ends then, counted from 1."""
        j = max(ceil(self._steps_in(at_s - self.now_s)), 1)
        while j > 1 and self._step_end(j - 1) >= at_s:
            j -= 1
        while self._step_end(j) < at_s:
            j += 1
        return j

    def _cut(self, at_s: float, late: int = 0) -> None:
        """End the steps under way with the one that runs at `at_s`, or some steps later."""
        if self._m > 1 and (j := self._step_on(at_s) + late) < self._m:
            self._m = j
            self._end_s = self._step_end(j)

    def _blocks_for(self, m: int) -> int:
        """Blocks that the decoding requests take in the next m steps."""
        cycles, rest = divmod(m, self._block)
        phase, block, k = self._phase, self._block, self._k
        return cycles * self._decoding + sum([phase[-(k + j) % block] for j in range(rest)])

    def _steps_before_shortage(self, wanted: int) -> int:
        """How many steps, at most `wanted`, the free blocks last for the decoding requests."""
        cycles, free = divmod(self._free, self._decoding)
        m = cycles * self._block
        if m >= wanted:
            return wanted
        phase, block, k = self._phase, self._block, self._k
        while m < wanted:
            free -= phase[-(k + m) % block]
            if free < 0:
                return m
            m += 1
        return wanted

    def _enqueue(self, request: Request) -> None:
        if self._fcfs:
            self._queue.append(request)
        else:
            heappush(self._heap, (request.priority, request.arrival_s, request._order, request))

    def _see(self) -> None:
        """Arrivals that the next step's plan includes: all, if without them there is nothing to do."""
        unseen, known = self._unseen, self._k + 1
        while unseen and unseen[0][0] <= known:
            self._enqueue(unseen.popleft()[1])
        if not self._running and self._head() is None:
            while unseen:
                self._enqueue(unseen.popleft()[1])

    def _begin(self) -> None:
        """Decide the next step, or the next steps up to one that needs a decision."""
        if self._unseen:
            self._see()
        block = self._block
        decoding = self._decoding
        need = self._phase[-self._k % block]
        free = self._free - need
        if free < 0:
            self._begin_short()
            return
        budget = self.preset.max_num_batched_tokens - decoding
        tokens = squares = 0
        chunks = self._chunks
        partial = self._partial
        if partial is not None and budget > 0:
            done = partial._computed
            n = min(partial.goal - done, budget)
            after = done + n
            blocks = -(-after // block) + -done // block
            if blocks > free:
                self._begin_short()
                return
            free -= blocks
            budget -= n
            tokens, squares = n, n * (done + after)
            chunks.append((partial, n))
        if self.waiting and budget > 0:
            places = self.preset.max_num_seqs - len(self._running)
            while places > 0 and budget > 0:
                request = self._head()
                if request is None:
                    break
                goal = request.goal
                if -(-goal // block) > free:
                    break
                n = goal if goal < budget else budget
                free -= -(-n // block)
                budget -= n
                places -= 1
                tokens += n
                squares += n * n
                self._admit(request)
                chunks.append((request, n))
                if n < goal:
                    self._partial = request
        self._need = need
        self._free = free + need
        self._time(decoding, self._offsets, tokens, squares)
        if not chunks:
            ends = self._ends
            while ends[0][2]._state != DECODE or ends[0][2]._end_k != ends[0][0]:
                heappop(ends)
            steps = ends[0][0] - self._k
            if self._partial is None and steps > 1 and not self._unseen:
                self._m = steps = self._steps_before_shortage(steps)
                self._end_s = self._step_end(steps)

    def _time(self, decoding: int, offsets: int, tokens: int, squares: int) -> None:
        """A stretch of one step with so many decoding requests, prefill tokens and Σ n(2·ctx + n)."""
        self._m = 1
        least_s = self._a_d
        if tokens:
            least_s = self._a_mixed + self._b * tokens + self._c * squares
            if least_s < self._h:
                least_s = self._h
        self._first_s = least_s + self._d * (offsets + decoding * (self._k + 1)) + self._e * decoding
        self._increment_s = self._d * decoding
        self._end_s = self.now_s + self._first_s

    def _begin_short(self) -> None:
        """Decide a step for which blocks are short: request by request, preempting as vLLM does."""
        block, k = self._block, self._k
        order = list(self._running)
        free, budget = self._free, self.preset.max_num_batched_tokens
        taken: dict[Request, tuple[int, int]] = {}
        i = 0
        while i < len(order) and budget > 0:
            request = order[i]
            decodes = request._state == DECODE
            done = request._offset + k if decodes else request._computed
            n = 1 if decodes else min(request.goal - done, budget)
            blocks = -(-(done + n) // block) + -done // block
            while blocks > free:
                victim = order[-1] if self._fcfs else max(order, key=_worst)
                order.remove(victim)
                if victim in taken:
                    tokens, its = taken.pop(victim)
                    budget += tokens
                    free += its
                    i -= 1
                free += self._preempt(victim)
                if victim is request:
                    break
            else:
                free -= blocks
                budget -= n
                taken[request] = (n, blocks)
                i += 1
                continue
            break
        if not taken:
            self._free = free
            self._begin()
            return
        for request in order:
            if request not in taken and request._state == DECODE:
                self._leave_decode(request, PAUSED)
                self._paused.append(request)
        self._chunks = [(request, n) for request, (n, _) in taken.items() if request._state == PREFILL]
        self._need = sum(blocks for request, (_, blocks) in taken.items() if request._state == DECODE)
        self._free = free + self._need
        squares = sum(n * (2 * request._computed + n) for request, n in self._chunks)
        self._time(self._decoding, self._offsets, sum(n for _, n in self._chunks), squares)

    def _admit(self, request: Request) -> None:
        """From the head of the queue into the batch."""
        if self._fcfs:
            self._queue.popleft()
        else:
            heappop(self._heap)
        self.waiting -= 1
        self._running[request] = None
        request._state = PREFILL
        if request.admitted_s is None:
            request.admitted_s = self.now_s

    def _preempt(self, request: Request) -> int:
        """Back to the head of the queue with nothing computed; returns the blocks that it held."""
        if request._state == DECODE:
            self._leave_decode(request, WAITING)
        blocks = -(-request._computed // self._block)
        request._computed = 0
        request.goal = request.request_tokens + request.generated
        request._state = WAITING
        request.preemptions += 1
        self.preemptions += 1
        self.waiting += 1
        del self._running[request]
        if request is self._partial:
            self._partial = None
        if self._fcfs:
            self._queue.appendleft(request)
        else:
            heappush(self._heap, (request.priority, request.arrival_s, request._order, request))
        return blocks

    def _enter_decode(self, request: Request, first_token_k: int) -> None:
        """From the step after this instant on it gets a token in every step."""
        request._state = DECODE
        request._offset = offset = request._computed - self._k
        request._end_k = request.request_tokens + request.response_tokens - 1 - offset
        request._span_k = first_token_k
        self._decoding += 1
        self._offsets += offset
        self._phase[offset % self._block] += 1
        heappush(self._ends, (request._end_k, request._order, request))

    def _leave_decode(self, request: Request, state: int) -> None:
        k, offset = self._k, request._offset
        request._state = state
        request._computed = offset + k
        if request.end is None:
            request.generated = request._computed - request.request_tokens + 1
        if request._span_k <= k:
            request.spans.append((request._span_k, k))
        self._decoding -= 1
        self._offsets -= offset
        self._phase[offset % self._block] -= 1

    def _complete(self, finished: list[Request]) -> None:
        """End the steps under way: count their tokens, finish requests that are done."""
        m = self._m
        end_s = self._end_s
        if self.step_times is not None:
            self.step_times.add(self._k, self.now_s, m, self._first_s, self._increment_s)
        if self._decoding:
            self._free -= self._need if m == 1 else self._blocks_for(m)
            self.generation_tokens += m * self._decoding
        self._k = k = self._k + m
        self.now_s = end_s
        self._m = 0
        if self._chunks:
            for request, n in self._chunks:
                request._computed += n
                if request._computed == request.goal:
                    self._prefilled(request, end_s)
            self._chunks = []
        if self._paused:
            for request in self._paused:
                self._enter_decode(request, k + 1)
            self._paused = []
        ends = self._ends
        while ends and ends[0][0] <= k:
            end_k, _, request = heappop(ends)
            if request._state == DECODE and request._end_k == end_k:
                self._finish(request, end_s, finished)
        if self._aborted:
            for request in self._aborted:
                if request._state != ENDED:
                    self._release(request)
            self._aborted = []
        if len(ends) > 64 and len(ends) > 4 * self._decoding:
            self._ends = [e for e in ends if e[2]._state == DECODE and e[2]._end_k == e[0]]
            heapify(self._ends)

    def _prefilled(self, request: Request, at_s: float) -> None:
        """The last chunk of a prefill brings the next token."""
        if request is self._partial:
            self._partial = None
        self.generation_tokens += 1
        if request.first_token_s is None:
            self.prompt_tokens += request.request_tokens
            if request.end is None:
                request.first_token_s = at_s
        self._enter_decode(request, self._k)

    def _finish(self, request: Request, at_s: float, finished: list[Request]) -> None:
        """All tokens are there; one that was aborted in its last step keeps that end."""
        if request.end is None:
            self._release(request)
            request.end = "finished"
            request.ended_s = at_s
            finished.append(request)
        else:
            self._release(request)

    def _release(self, request: Request) -> None:
        """Out of the batch, its blocks free."""
        if request._state == DECODE:
            self._leave_decode(request, ENDED)
        if request is self._partial:
            self._partial = None
        self._free += -(-request._computed // self._block)
        request._state = ENDED
        del self._running[request]


def _worst(request: Request) -> tuple[int, float, int]:
    return request.priority, request.arrival_s, request._order
