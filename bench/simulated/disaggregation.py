"""Serving with separate prefill and decode instances, in virtual time, from one engine model.

Requests wait in one queue. A prefill instance takes prompts from it, in order, until the token budget of a
step is full (a prompt that does not fit goes on in the instance's next step). The step takes
max(h, a + b·N_p + c·Σ n(2·ctx + n)) and brings the first token. The KV cache then goes to the decode instance
that has the fewest prompt tokens of unfinished requests, which takes latency + bytes/bandwidth (requests do
not share links), and waits there for room, in memory that is not counted. `decoding` does the rest. A request
that is preempted there goes back to the head of the prefill queue and is computed anew, with the tokens that
it had generated.

The ratio of roles can change at any instant: an instance that changes takes no new requests, ends those that
it has begun, and then needs the launch time. What waits for a decode instance that leaves goes to another.

A cluster can be copied cheaply, since a search carries many: all that requests have in common is in one
`Rig`, and the prefill queue is two indices into it. Not here: rates and service levels over whole loads
(`burstlens.bench.provisioning.goodput`), which ratio is good (`burstlens.bench.provisioning.policies`).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from math import inf

from ...analysis.core.arrays import Array
from .decoding import Decode, DecodeCosts
from .presets import Preset

PREFILL, DECODE, LEAVES_PREFILL, LEAVES_DECODE, STARTS_PREFILL, STARTS_DECODE = range(6)
"""What an instance does: it serves in a role, ends what it began in it, or is launched for it."""

HEADS_PREFILL = (PREFILL, LEAVES_DECODE, STARTS_PREFILL)
"""Instances that are, or will be, prefill instances; the others are or will be decode instances."""


@dataclass(frozen=True, slots=True)
class Transfer:
    """Time to move a KV cache from a prefill to a decode instance."""

    bandwidth_gbps: float = 25.0
    """Gigabytes a second, each way and each request by itself; 25 is a 200 Gbit/s network card."""
    latency_s: float = 0.005

    def seconds(self, tokens: Array, bytes_per_token: float) -> Array:
        """Compute the time of each transfer by itself.

        Parameters
        ----------
        tokens
            Cached tokens of each request, shape (n,).
        bytes_per_token
            Bytes of a cached token.

        Returns
        -------
        Array
            Seconds, shape (n,).
        """
        return self.latency_s + tokens * bytes_per_token / (self.bandwidth_gbps * 1e9)


class Rig:
    """Requests, constants and bounds that do not change while clusters run; plain lists for speed.

    `at_s` increases. Lengths are those that are served: no prompt may leave less room than one token, no
    answer be longer than its room. `ttft_s` and `tpot_s` are what a request must keep to be good; one that
    gets a single token has no time between tokens to be late in.
    """

    def __init__(
        self,
        at_s: Sequence[float],
        request_tokens: Sequence[int],
        response_tokens: Sequence[int],
        prefill: Preset,
        decode: Preset | None = None,
        *,
        transfer: Transfer | None = None,
        bytes_per_token: float = 0.0,
        launch_s: float = 0.0,
        ttft_s: float = inf,
        tpot_s: float = inf,
    ) -> None:
        decode, transfer = decode or prefill, transfer or Transfer()
        self.at_s = list(at_s)
        self.into = list(request_tokens)
        self.out = list(response_tokens)
        self.last = [into + out - 1 for into, out in zip(self.into, self.out, strict=True)]
        """Tokens that are cached when the last one comes."""
        cost = prefill.latency
        self.step_s, self.least_s = cost.a_ms / 1e3, cost.h_ms / 1e3
        self.token_s, self.square_s = cost.b_ms / 1e3, cost.c_ms / 1e3
        self.budget, self.prompts = prefill.max_num_batched_tokens, prefill.max_num_seqs
        self.decode = DecodeCosts.of(decode)
        self.send_s = transfer.latency_s
        self.send_token_s = bytes_per_token / (transfer.bandwidth_gbps * 1e9)
        self.launch_s = launch_s
        self.ttft_s, self.tpot_s = ttft_s, tpot_s


class Deployment:
    """Instances at an instant: `advance` to another one, `turn` to another ratio, or `copy`.

    With `record`, `first_s` and `ended_s` have the instants of each request's first token and end, NaN before
    they are known. This cluster and its copies share them.
    """

    __slots__ = (
        "_again",
        "_batch",
        "_deadline",
        "_end_s",
        "_head",
        "_idle",
        "_load",
        "_mode",
        "_partial",
        "_redone",
        "_sent",
        "bad",
        "decodes",
        "ended_s",
        "first_s",
        "good",
        "now_s",
        "preemptions",
        "rig",
    )

    def __init__(self, rig: Rig, prefill: int, decode: int, *, record: bool = False) -> None:
        n, total = len(rig.at_s), prefill + decode
        self.rig = rig
        self.now_s = 0.0
        self.good = 0
        """Requests that ended within both bounds."""
        self.bad = 0
        """Requests that broke a bound, counted at the event that showed it."""
        self.preemptions = 0
        self.first_s = [float("nan")] * n if record else None
        self.ended_s = [float("nan")] * n if record else None
        self.decodes = [Decode(rig.decode) for _ in range(total)]
        self._mode = [PREFILL] * prefill + [DECODE] * decode
        self._end_s = [inf] * total
        self._idle = list(range(prefill - 1, -1, -1))
        self._partial: list[tuple[int, int, int] | None] = [None] * total
        self._batch: list[list[int]] = [[] for _ in range(total)]
        # Requests up to _head have left the queue; preempted ones stand before it.
        self._head = 0
        self._again: list[int] = []
        self._redone: dict[int, int] = {}
        self._sent: list[tuple[float, int, int, int]] = []
        self._load = [0] * total
        self._deadline: dict[int, float] = {}

    def copy(self) -> Deployment:
        """Copy the state, so that the copy goes on independently."""
        new = Deployment.__new__(Deployment)
        new.rig, new.now_s, new.good, new.bad = self.rig, self.now_s, self.good, self.bad
        new.preemptions, new.first_s, new.ended_s = self.preemptions, self.first_s, self.ended_s
        new.decodes = [each.copy() for each in self.decodes]
        new._mode, new._end_s, new._idle = self._mode[:], self._end_s[:], self._idle[:]
        new._partial, new._batch = self._partial[:], self._batch[:]
        new._head, new._again, new._redone = self._head, self._again[:], self._redone.copy()
        new._sent, new._load, new._deadline = self._sent[:], self._load[:], self._deadline.copy()
        return new

    @property
    def ratio(self) -> tuple[int, int]:
        """Prefill and decode instances, including those that change to the role."""
        prefill = sum(mode in HEADS_PREFILL for mode in self._mode)
        return prefill, len(self._mode) - prefill

    @property
    def serving(self) -> tuple[int, int]:
        """Prefill and decode instances that take requests now."""
        return self._mode.count(PREFILL), self._mode.count(DECODE)

    @property
    def ended(self) -> bool:
        """Whether every request has ended."""
        return (
            self._head == len(self.rig.at_s)
            and not (self._deadline or self._again or self._sent)
            and not any(self._batch)
            and not any(self._partial)
        )

    def lost(self) -> int:
        """Requests that have broken a bound by now, ended or not; never fewer than before."""
        rig, now, known = self.rig, self.now_s, self._deadline
        at, late = rig.at_s, self.now_s - rig.ttft_s
        waits = bisect_left(at, late, self._head) - self._head
        computed = [request for batch in self._batch for request in batch]
        computed += [part[0] for part in self._partial if part is not None]
        waits += sum([at[request] < late and request not in known for request in computed])
        return self.bad + waits + sum([0 <= by < now for by in known.values()])

    def backlog(self) -> int:
        """Requests that have arrived and not ended, except those in the middle of their prefill."""
        return bisect_left(self.rig.at_s, self.now_s, self._head) - self._head + len(self._deadline)

    def advance(self, until_s: float) -> None:
        """Simulate everything that happens by `until_s`."""
        end, sent, idle = self._end_s, self._sent, self._idle
        at, n = self.rig.at_s, len(self.rig.at_s)
        mode = self._mode
        while True:
            t = min(end)
            send = sent[0][0] if sent else inf
            if idle and self._head < n and at[self._head] <= t and at[self._head] <= send:
                t = at[self._head]
                if t > until_s:
                    break
                # One that waited while no instance served begins only now.
                self._wake(t if t > self.now_s else self.now_s)
                if t > self.now_s:
                    self.now_s = t
                continue
            if send <= t:
                if send > until_s or send == inf:
                    break
                self.now_s = send
                _, request, i, cached = heappop(sent)
                self._arrive(send, request, i, cached)
                continue
            if t > until_s:
                break
            self.now_s = t
            i = end.index(t)
            doing = mode[i]
            if doing in (DECODE, LEAVES_DECODE):
                decode = self.decodes[i]
                for request in decode.complete(self.rig.last):
                    self._load[i] -= self.rig.into[request]
                    self._finish(request, t)
                self._step(i, t)
            elif doing in (PREFILL, LEAVES_PREFILL):
                batch, self._batch[i] = self._batch[i], []
                for request in batch:
                    self._prefilled(request, t)
                self._prefill(i, t)
            else:
                self._launched(i, t)
        if until_s < inf:
            self.now_s = until_s

    def turn(self, prefill: int) -> None:
        """Change to `prefill` prefill instances, from now on; those that can change soonest change."""
        while (now := self.ratio[0]) != prefill:
            self._leave(prefill < now)

    # What follows is the inside of an instant.

    def _wake(self, at_s: float) -> None:
        """Let an idle prefill instance begin."""
        self._prefill(self._idle.pop(), at_s)

    def _prefill(self, i: int, at_s: float) -> None:
        """Begin the next step of prefill instance i, or let it be idle or leave."""
        rig = self.rig
        budget, places = rig.budget, rig.prompts
        tokens = squares = 0
        done: list[int] = []
        part = self._partial[i]
        if part is not None:
            request, cached, goal = part
            n = goal - cached if goal - cached < budget else budget
            tokens, squares = n, n * (2 * cached + n)
            budget -= n
            places -= 1
            if cached + n == goal:
                done.append(request)
                self._partial[i] = None
            else:
                self._partial[i] = (request, cached + n, goal)
        if self._mode[i] == PREFILL:
            at, into, again, redone = rig.at_s, rig.into, self._again, self._redone
            head, count = self._head, len(at)
            while budget > 0 and places > 0:
                if again:
                    request = again.pop()
                    goal = into[request] + redone[request]
                elif head < count and at[head] <= at_s:
                    request, goal = head, into[head]
                    head += 1
                else:
                    break
                n = goal if goal < budget else budget
                budget -= n
                places -= 1
                tokens += n
                squares += n * n
                if n == goal:
                    done.append(request)
                else:
                    self._partial[i] = (request, n, goal)
            self._head = head
        if tokens:
            self._batch[i] = done
            step_s = rig.step_s + rig.token_s * tokens + rig.square_s * squares
            self._end_s[i] = at_s + (step_s if step_s > rig.least_s else rig.least_s)
        elif self._mode[i] == PREFILL:
            self._end_s[i] = inf
            self._idle.append(i)
        else:
            self._launch(i, at_s, STARTS_DECODE)

    def _prefilled(self, request: int, at_s: float) -> None:
        """Handle the end of a prefill, which brings the next token."""
        rig = self.rig
        tokens = self._redone.pop(request, 0) + 1
        if request not in self._deadline:
            if at_s - rig.at_s[request] <= rig.ttft_s:
                out = rig.out[request]
                self._deadline[request] = at_s + rig.tpot_s * (out - 1) if out > 1 else inf
            else:
                self.bad += 1
                self._deadline[request] = -1.0
            if self.first_s is not None:
                self.first_s[request] = at_s
        if tokens == rig.out[request]:
            self._finish(request, at_s)
        else:
            self._send(request, rig.into[request] + tokens - 1, at_s)

    def _send(self, request: int, cached: int, at_s: float) -> None:
        """Move a KV cache to the least loaded decode instance."""
        mode, load = self._mode, self._load
        best, least = -1, inf
        for i, doing in enumerate(mode):
            if doing == DECODE and load[i] < least:
                best, least = i, load[i]
        if best < 0:
            coming = [i for i, doing in enumerate(mode) if doing not in HEADS_PREFILL]
            best = min(coming, key=load.__getitem__)
        load[best] += self.rig.into[request]
        delay_s = self.rig.send_s + cached * self.rig.send_token_s
        if delay_s > 0:
            heappush(self._sent, (at_s + delay_s, request, best, cached))
        else:
            self._arrive(at_s, request, best, cached)

    def _arrive(self, at_s: float, request: int, i: int, cached: int) -> None:
        """Handle a KV cache that arrives at instance i, which may have left decode meanwhile."""
        doing = self._mode[i]
        if doing in HEADS_PREFILL:
            self._load[i] -= self.rig.into[request]
            self._send(request, cached, at_s)
            return
        decode = self.decodes[i]
        decode.add(at_s, request, cached)
        if doing == DECODE:
            if decode.end_s == inf:
                self._step(i, at_s)
            else:
                self._end_s[i] = decode.end_s

    def _step(self, i: int, at_s: float) -> None:
        """Begin the next steps of decode instance i, or let it be idle or leave."""
        decode = self.decodes[i]
        preempted = decode.begin(at_s, self.rig.last)
        self._end_s[i] = decode.end_s
        if preempted:
            self.preemptions += len(preempted)
            into = self.rig.into
            for request, cached in preempted:
                self._load[i] -= into[request]
                self._redone[request] = cached - into[request] + 1
                self._again.append(request)
            if self._idle:
                self._wake(at_s)
        if decode.end_s == inf and self._mode[i] == LEAVES_DECODE:
            self._launch(i, at_s, STARTS_PREFILL)

    def _finish(self, request: int, at_s: float) -> None:
        """Handle the last token of a request."""
        by = self._deadline.pop(request)
        if by >= at_s:
            self.good += 1
        elif by >= 0:
            self.bad += 1
        if self.ended_s is not None:
            self.ended_s[request] = at_s

    def _launch(self, i: int, at_s: float, mode: int) -> None:
        """Launch instance i, which is empty, in its other role."""
        self._mode[i] = mode
        self._end_s[i] = at_s + self.rig.launch_s

    def _launched(self, i: int, at_s: float) -> None:
        if self._mode[i] == STARTS_PREFILL:
            self._mode[i] = PREFILL
            self._prefill(i, at_s)
        else:
            self._mode[i] = DECODE
            self._step(i, at_s)

    def _leave(self, prefill: bool) -> None:
        """Turn one prefill instance, or one decode instance, to the other role."""
        mode, now = self._mode, self.now_s
        if prefill:
            # One that has not left decode yet just stays; then who is idle, or has least to end.
            order = (LEAVES_DECODE, STARTS_PREFILL, PREFILL)
            there = [i for i, doing in enumerate(mode) if doing in HEADS_PREFILL]
            i = min(there, key=lambda j: (order.index(mode[j]), j not in self._idle, self._end_s[j], j))
            if mode[i] == LEAVES_DECODE:
                mode[i] = DECODE
            elif mode[i] == STARTS_PREFILL:
                self._launch(i, now, STARTS_DECODE)
            elif i in self._idle:
                self._idle.remove(i)
                self._launch(i, now, STARTS_DECODE)
            else:
                mode[i] = LEAVES_PREFILL
            return
        order = (LEAVES_PREFILL, STARTS_DECODE, DECODE)
        there = [i for i, doing in enumerate(mode) if doing not in HEADS_PREFILL]
        i = min(there, key=lambda j: (order.index(mode[j]), self._load[j], j))
        if mode[i] == LEAVES_PREFILL:
            mode[i] = PREFILL
        elif mode[i] == STARTS_DECODE or self._end_s[i] == inf:
            self._launch(i, now, STARTS_PREFILL)
        else:
            mode[i] = LEAVES_DECODE
        waiting, self.decodes[i].queue = self.decodes[i].queue, type(self.decodes[i].queue)()
        for request, cached in waiting:
            self._load[i] -= self.rig.into[request]
            self._send(request, cached, now)
