"""Measure the steps of a running server from outside, by batches with known content.

The gaps of a stream of tokens are the steps of the engine behind it. Requests that only decode together give
the steps of a batch. A prompt that is sent while others decode makes one of their gaps longer, by its
prefill, and its own first token comes at the end of that gap. A server that plans ahead may send the tokens
of a step late, so the gaps around it count together, less what they take without a prompt. A step does not
include HTTP; the time that a request waits outside of its steps is measured separately. The server must have
no other load and must not cache prefixes. Not here: what the steps say (`step_fit`).
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from random import Random
from typing import TYPE_CHECKING

import polars as pl

from ...analysis.core.errors import EndpointError
from ...analysis.core.result import Progress, silent
from ..client import http as transport
from ..client.sender import KEEPALIVE_S
from ..prompts.token_ids import FIRST, LAST
from ..settings import Settings, Target
from .step_fit import STEPS

if TYPE_CHECKING:
    from aiohttp import ClientSession

STREAMED = 32
"""Tokens that all requests of a batch decode together."""
SHORT = 16
"""Prompt tokens of requests that decode while another prefills."""
DECODING = (1, 8)
"""How many requests decode while a prompt is sent."""
ROUNDS, PROMPTED = 3, 3
"""How often everything is measured, and how often each prompt in a round: a single gap has a jitter."""
SETTLED = 4
"""Tokens between two prompts, so that no step has two."""
EITHER = 2
"""Gaps on either side of a prompt's that count with it: a late token makes one longer, the next shorter."""
CROWDS = (4, 8)
"""How many prompts are sent at once to fill a step: many short ones separate the cost of tokens from
that of attention, which grows with the square of each one's length."""
SHOWS_S = 0.005
"""Steps of at least this length can be distinguished one by one through HTTP."""
STREAMS = 6
"""How often further requests decode for prompts that are left when the others end."""
TOGETHER = 0.25
"""Limit of the time between a prompt's first token and the end of the gap that it made, in steps."""


@dataclass(frozen=True)
class ServerLimits:
    """Limits of a server, from its flags and metrics."""

    max_num_seqs: int
    max_num_batched_tokens: int
    max_model_len: int
    kv_tokens: int
    """Tokens that the KV cache holds."""


@dataclass(frozen=True)
class ProbeResult:
    """What was measured."""

    steps: pl.DataFrame
    """Columns of `step_fit.STEPS`."""
    dropped: int
    """Prompts with a step that could not be distinguished from its neighbours, and batches with all tokens at
    once."""
    alone_ms: pl.DataFrame
    """`prefill_tokens` of single requests to an idle server, and `first_ms` from send to first token."""
    async_scheduling: bool
    """Whether a prompt waits for one step beyond the one under way: that was planned before it came."""


def batches(limits: ServerLimits) -> list[tuple[int, int]]:
    """Choose the batches that only decode: all sizes from one to what fits.

    Returns
    -------
    list of (int, int)
        Requests that decode together, and tokens of each prompt.
    """
    out = []
    for context in sorted({SHORT, 256, 1024, limits.max_model_len // 2}):
        for count in (1, 2, 4, 8, 16, 32, 64, 128, 256):
            tokens = count * (context + STREAMED + _steps_before(count, context, limits))
            fits = tokens <= 0.8 * limits.kv_tokens and count <= limits.max_num_seqs
            if fits and context + 2 * STREAMED < limits.max_model_len:
                out.append((count, context))
    return out


def prompts(limits: ServerLimits, decoding: int) -> list[int]:
    """Choose the lengths of prompts that are sent while others decode, each prefilled in one step.

    Parameters
    ----------
    limits
        Limits of the server.
    decoding
        Requests that decode meanwhile.

    Returns
    -------
    list of int
        Tokens of each prompt, in increasing order.
    """
    longest = min(limits.max_num_batched_tokens - 2 * decoding, limits.max_model_len - 8)
    lengths = [longest >> i for i in range(6)] + [3 * longest // 4]
    return sorted({length for length in lengths if length >= SHORT})


def crowds(limits: ServerLimits, decoding: int) -> list[tuple[int, int]]:
    """Choose how many prompts of which length are sent at once while others decode, to be in one step.

    Parameters
    ----------
    limits
        Limits of the server.
    decoding
        Requests that decode meanwhile.

    Returns
    -------
    list of (int, int)
        Number of prompts, and tokens of each.
    """
    out = [(1, n) for n in prompts(limits, decoding)]
    for count in CROWDS:
        n = min((limits.max_num_batched_tokens - 2 * decoding) // count, limits.max_model_len - 8)
        fits = count + decoding <= limits.max_num_seqs and count * (n + SETTLED) <= limits.kv_tokens // 2
        if n >= SHORT and fits:
            out.append((count, n))
    return out


def probe(
    target: Target,
    limits: ServerLimits,
    settings: Settings,
    *,
    rounds: int = ROUNDS,
    seed: int = 0,
    vocabulary: tuple[int, int] = (FIRST, LAST),
    progress: Progress = silent,
) -> ProbeResult:
    """Measure steps of decoding and of prefill on an idle server.

    Parameters
    ----------
    target
        The server.
    limits
        Its limits.
    settings
        How requests are sent.
    rounds
        How often everything is measured.
    seed
        Seed of the prompts.
    vocabulary
        Lowest and highest token id of the prompts.
    progress
        Called with the step and the share that is done.

    Returns
    -------
    ProbeResult
        The measured steps, and the times of single requests.

    Raises
    ------
    EndpointError
        If a request fails.
    """
    return asyncio.run(_Probe(target, limits, settings, rounds, seed, vocabulary, progress).run())


def _steps_before(count: int, context: int, limits: ServerLimits) -> int:
    """Count the steps until all of a batch decode; each gives a token to those that decode already."""
    return 2 + math.ceil(count * context / limits.max_num_batched_tokens) * 2


class _Probe:
    def __init__(
        self,
        target: Target,
        limits: ServerLimits,
        settings: Settings,
        rounds: int,
        seed: int,
        vocabulary: tuple[int, int],
        progress: Progress,
    ) -> None:
        self._target, self._limits, self._settings = target, limits, settings
        self._rounds = rounds
        self._random, self._vocabulary, self._show = Random(seed), vocabulary, progress
        self._steps: list[tuple[int, int, float, int, float, float]] = []
        """A key of what is measured repeatedly, then a row of `STEPS`."""
        self._dropped = 0
        self._waits: list[int] = []
        """Steps that ended between the send of a prompt and its first token, while others decoded."""

    async def run(self) -> ProbeResult:
        import aiohttp

        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEPALIVE_S)
        sizes = batches(self._limits)
        mixed = [(decoding, crowd) for decoding in DECODING for crowd in crowds(self._limits, decoding)
                 if decoding <= self._limits.max_num_seqs - 1]  # fmt: skip
        total = self._rounds * (len(sizes) + len(mixed)) + len(mixed)
        done = 0
        async with aiohttp.ClientSession(connector=connector) as http:
            # What a server does only once (compiling, capturing graphs) is done before anything counts.
            for count, context in sizes[:: len(sizes) - 1 or 1]:
                await self._decoding(http, count, context)
            for n in prompts(self._limits, 1):
                await self._ask(http, n, 2)
            self._steps.clear()
            for _ in range(self._rounds):
                for count, context in sizes:
                    self._show(f"{count} decoding after {context:,} tokens", done / total)
                    await self._decoding(http, count, context)
                    done += 1
                for decoding in DECODING:
                    asks = [crowd for one, crowd in mixed if one == decoding]
                    self._show(f"prompts beside {decoding} decoding", done / total)
                    left = asks * PROMPTED
                    for _ in range(STREAMS):
                        left = left[await self._prefill(http, decoding, left) :] if left else left
                    self._dropped += len(left)
                    done += len(asks)
            alone = [
                (n, 1000 * _waited(await self._ask(http, n, 2)))
                for n in prompts(self._limits, 1)
                for _ in range(self._rounds)
            ]
        schema: dict[str, type[pl.DataType]] = {"batch": pl.Int64, **STEPS}
        rows = pl.DataFrame(self._steps, schema=schema, orient="row")
        # One slow answer says more of this machine than of the server: the median of each is a step.
        by = ("batch", "prefill_tokens", "prefill_attention", "decoding")
        steps = rows.group_by(*by, maintain_order=True).agg(pl.col("context_tokens", "step_ms").median())
        waited = pl.DataFrame(
            alone, schema={"prefill_tokens": pl.Int64, "first_ms": pl.Float64}, orient="row"
        )
        waits = sorted(self._waits)
        return ProbeResult(
            steps.select(*STEPS), self._dropped, waited, bool(waits) and waits[len(waits) // 2] > 2
        )

    async def _ask(
        self, http: ClientSession, request_tokens: int, response_tokens: int
    ) -> transport.StreamedAnswer:
        """Send one request and wait for its end.

        Instants of its answer are those of `time.perf_counter`. Raises EndpointError if it fails.
        """
        answer = transport.StreamedAnswer()
        await self._stream(http, request_tokens, response_tokens, answer)
        if answer.outcome != "ok" or answer.first_token_s is None:
            raise EndpointError(
                f"{self._target.url}: a request of {request_tokens:,} tokens ended as {answer.outcome}: "
                f"{answer.error or 'no token came'}"
            )
        return answer

    async def _stream(
        self, http: ClientSession, request_tokens: int, response_tokens: int, answer: transport.StreamedAnswer
    ) -> None:
        """Send one request and fill its answer; if cancelled, the answer has what came before."""
        low, high = self._vocabulary
        prompt = self._random.choices(range(low, high + 1), k=request_tokens)
        data = transport.request_body(self._target, self._settings, prompt, response_tokens, 0)
        answer.sent_s = time.perf_counter()
        await transport.exchange(
            http, self._target, data, response_tokens, self._settings, time.perf_counter, answer
        )

    async def _decoding(self, http: ClientSession, count: int, context: int) -> None:
        """Measure steps in which `count` requests only decode."""
        tokens = STREAMED + _steps_before(count, context, self._limits)
        answers = await asyncio.gather(*(self._ask(http, context, tokens) for _ in range(count)))
        instants = [_instants(answer) for answer in answers]
        begin, end = max(times[0][0] for times in instants), min(times[-1][0] for times in instants)
        per_step, context_tokens = [], 0.0
        for times in instants:
            inside = [(at, done) for at, done in times if begin <= at <= end]
            if len(inside) < 2:
                self._dropped += 1
                return
            per_step.append((inside[-1][0] - inside[0][0]) / (inside[-1][1] - inside[0][1]))
            context_tokens += context + (inside[0][1] + inside[-1][1]) / 2
        per_step.sort()
        self._steps.append((context, 0, 0.0, count, context_tokens, 1000 * per_step[len(per_step) // 2]))

    async def _prefill(self, http: ClientSession, decoding: int, asks: Sequence[tuple[int, int]]) -> int:
        """Measure steps in which one or more prompts are prefilled while `decoding` requests decode.

        Returns how many of `asks` (see `crowds`) were sent before the first of those ended.
        """
        longest = self._limits.max_model_len - SHORT - 1
        tokens = min(longest, self._limits.kv_tokens // (4 * decoding) - SHORT)
        streams = [transport.StreamedAnswer() for _ in range(decoding)]
        open_ = [asyncio.create_task(self._stream(http, SHORT, tokens, answer)) for answer in streams]
        sent: list[tuple[int, list[transport.StreamedAnswer]]] = []
        try:
            # Each has its first token when a request that was sent after them has.
            await self._ask(http, SHORT, 2 * SETTLED)
            for count, n in asks:
                answers = await asyncio.gather(*(self._ask(http, n, SETTLED) for _ in range(count)))
                if any(task.done() for task in open_):
                    break
                sent.append((n, answers))
        finally:
            for task in open_:
                task.cancel()
            await asyncio.gather(*open_, return_exceptions=True)
        instants = [_instants(stream) for stream in streams]
        if min(len(each) for each in instants) < 2:
            return 0
        times = instants[0]
        gaps = sorted(b[0] - a[0] for a, b in pairwise(times))
        usual = gaps[len(gaps) // 2]
        for n, answers in sent:
            firsts = sorted(answer.first_token_s or 0.0 for answer in answers)
            i = min(range(len(times)), key=lambda j: abs(times[j][0] - firsts[-1]))
            begin, end = i - 1 - EITHER, i + EITHER
            if begin < 0 or end >= len(times) or times[end][1] - times[begin][1] != end - begin:
                self._dropped += 1
                continue
            step = times[end][0] - times[begin][0] - 2 * EITHER * usual
            near = TOGETHER * max(step, usual)
            if firsts[-1] - firsts[0] > near or abs(times[i][0] - firsts[-1]) > near:
                self._dropped += 1
                continue
            context = sum(SHORT + _count_at(each, times[i - 1][0]) for each in instants)
            of = len(answers)
            self._steps.append((0, of * n, float(of * n**2), decoding, float(context), 1000 * step))
            if of == 1 and usual > SHOWS_S:
                self._waits.append(sum((answers[0].sent_s or 0.0) < at for at, _ in times[: i + 1]))
        return len(sent)


def _waited(answer: transport.StreamedAnswer) -> float:
    """Compute the time from the send to the first token, in seconds."""
    return (answer.first_token_s or math.nan) - (answer.sent_s or 0.0)


def _instants(answer: transport.StreamedAnswer) -> list[tuple[float, int]]:
    """List when tokens came, by the clock, and how many had come by then; empty if none had."""
    if answer.first_token_s is None:
        return []
    counted = any(answer.gap_tokens)
    # Where the server does not say which chunk carried what, each carried one.
    counts = answer.gap_tokens if counted else [1] * len(answer.gaps_s)
    at, done = answer.first_token_s, max((answer.response_tokens or 0) - sum(counts), 1)
    out = [(at, done)]
    for gap, tokens in zip(answer.gaps_s, counts, strict=True):
        at, done = at + gap, done + tokens
        out.append((at, done))
    return out


def _count_at(times: Sequence[tuple[float, int]], at: float) -> int:
    """Count the tokens that had come by an instant."""
    return max((done for when, done in times if when <= at), default=0)
