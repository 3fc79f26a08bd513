"""A workload served by the simulated engine in virtual time: the record that a client would have written.

Requests are sent exactly at their instants, or `think_s` after their session's previous answer ended, so
lateness is zero by construction. The preset's time outside of the engine passes between a token and
its client. Not here: the engine (`engine`) and what the record means (`metrics`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from heapq import heappop, heappush
from math import inf

import numpy as np
import polars as pl

from ...analysis.core.result import Progress, silent
from ..client.send_plan import SendPlan
from ..record.models import SCHEMA, SERVER_SCHEMA, Outcome
from ..workload.table import Workload
from .engine import BatchingEngine
from .presets import Preset
from .request import EngineState, Request, Scheduling
from .step_times import StepTimes

PIECE = 8192
"""Number of requests that are Python values before they become a frame."""

ENDS: dict[str, tuple[Outcome, int, str | None]] = {
    "rejected": ("rejected", 200, "503: max_num_queued_reqs requests are waiting or running (simulated)"),
    "too_long": ("http_4xx", 400, "400: the prompt leaves no room for an answer (simulated)"),
}
"""How what the engine refuses appears to a streaming client: outcome, status, message."""


def simulate_frame(
    workload: Workload,
    preset: Preset,
    *,
    timeout_s: float | None = None,
    scheduling: Scheduling = "fcfs",
    speedup: float = 1.0,
    gaps: bool = False,
    sample_s: float = 1.0,
    progress: Progress = silent,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Serve a workload in virtual time.

    Parameters
    ----------
    workload
        What is sent.
    preset
        Model and GPU.
    timeout_s
        Seconds after its send at which a request is aborted; None waits for ever.
    scheduling
        `"fcfs"` or `"priority"`.
    speedup
        Factor by which every step is shorter.
    gaps
        Fill `gaps_s` and `gap_tokens`, one token a gap; without it they are null and the record stays small.
    sample_s
        Seconds between samples of the server, from the start of the run to its end.
    progress
        Called with the step and the share that is done.

    Returns
    -------
    tuple of (pl.DataFrame, pl.DataFrame)
        The record (columns of `record.models.SCHEMA`) and the server's samples (`SERVER_SCHEMA`).
    """
    record: list[pl.DataFrame] = []
    ended: list[Request] = []
    samples: list[tuple[float, ...]] = []
    n = len(workload.requests)
    engine = BatchingEngine(preset.faster(speedup), scheduling=scheduling, keep_steps=gaps)
    outside_s = engine.preset.outside_ms / 1e3
    done = 0

    def flush() -> None:
        piece = pl.DataFrame(
            [_row(request, outside_s) for request in ended], schema=ENGINE_COLUMNS, orient="row"
        )
        if engine.step_times is not None:
            piece = piece.join(_gaps(ended, engine.step_times), on="request_id", how="left")
            engine.forget_steps()
        record.append(piece)
        ended.clear()
        progress("simulating", done / max(n, 1))

    for request in serve(
        workload, engine, timeout_s, sample_s, lambda at, s: samples.append(_sampled(at, s))
    ):
        ended.append(request)
        done += 1
        if len(ended) == PIECE:
            flush()
    if ended or not record:
        flush()
    requested = workload.requests.select(
        "request_id",
        pl.lit(0, pl.Int64).alias("worker"),
        "service",
        "model",
        "session",
        "turn",
        pl.col("request_tokens").alias("request_tokens_asked"),
        pl.col("response_tokens").alias("response_tokens_asked"),
        pl.lit(0.0).alias("waited_s"),
        pl.lit(1, pl.Int64).alias("tries"),
        *([] if gaps else [pl.lit(None, SCHEMA[name]).alias(name) for name in ("gaps_s", "gap_tokens")]),
    )
    frame = requested.join(pl.concat(record), on="request_id", how="left", maintain_order="left")
    server = pl.DataFrame(samples, schema=SERVER_SCHEMA, orient="row")
    return frame.select(*SCHEMA).sort("request_id"), server


def serve(
    workload: Workload,
    engine: BatchingEngine,
    timeout_s: float | None = None,
    sample_s: float = 1.0,
    sampled: Callable[[float, EngineState], None] | None = None,
) -> Iterator[Request]:
    """Send a workload to an engine in virtual time.

    Parameters
    ----------
    workload
        What is sent.
    engine
        A new engine.
    timeout_s
        Seconds after its send at which a request is aborted; None waits for ever.
    sample_s
        Seconds between calls of `sampled`.
    sampled
        Called with the instant and the engine's state.

    Yields
    ------
    Request
        Each request once, in the order in which they end. Its `id` is its `request_id`; one that was given up
        has the end `aborted`. Its instants are the engine's: the sender sees all but its arrival the preset's
        `outside_ms` later.
    """
    plan, outside_s = SendPlan.of(workload), engine.preset.outside_ms / 1e3
    given_up_s = None if timeout_s is None else max(timeout_s - outside_s, 0.0)
    at, into, out, rank, ids = plan.at_s, plan.request_tokens, plan.response_tokens, plan.priority, plan.ids
    follower, think = plan.follower, plan.think_s
    scheduled, coming = plan.scheduled, 0
    follow: list[tuple[float, int]] = []
    living: deque[Request] = deque()
    row_of = {id: row for row, id in enumerate(ids)} if follower else {}
    sample_at = 0.0 if sampled is not None else inf
    while True:
        arrival = at[scheduled[coming]] if coming < len(scheduled) else inf
        if follow and follow[0][0] < arrival:
            arrival = follow[0][0]
        until = arrival
        if given_up_s is not None:
            while living and living[0].end is not None:
                living.popleft()
            if living:
                until = min(until, living[0].arrival_s + given_up_s)
        if follower or until == inf:
            # An answer may bring the session's next request, or be the last: stop at the first of them.
            if until > engine.now_s:
                engine.begin()
            until = min(until, engine.next_event_s())
        if sample_at <= until and (until < inf or sample_at <= engine.now_s):
            until = sample_at
        if until == inf:
            return
        finished = engine.advance(until)
        if finished:
            yield from finished
        if given_up_s is not None:
            while living and living[0].arrival_s + given_up_s <= until:
                request = living.popleft()
                if request.end is None:
                    engine.abort(until, request)
                    finished.append(request)
                    yield request
        if until == arrival:
            if coming < len(scheduled) and at[scheduled[coming]] == until:
                row = scheduled[coming]
                coming += 1
            else:
                row = heappop(follow)[1]
            request = engine.submit(until, ids[row], into[row], out[row], rank[row])
            if request.end is not None:
                finished.append(request)
                yield request
            elif given_up_s is not None:
                living.append(request)
        if follower:
            for request in finished:
                row = follower.get(row_of[request.id], -1)
                if row >= 0:
                    heappush(follow, ((request.ended_s or 0.0) + outside_s + think[row], row))
        if sampled is not None and sample_at <= until:
            sampled(sample_at, engine.sample(sample_at))
            sample_at += sample_s


ENGINE_COLUMNS: dict[str, pl.DataType | type[pl.DataType]] = {
    name: SCHEMA[name]
    for name in (
        "request_id",
        "intended_s",
        "sent_s",
        "first_token_s",
        "ended_s",
        "request_tokens",
        "response_tokens",
        "outcome",
        "status",
        "error",
    )
}
"""What the engine gives of a request, in the order of `_row`."""


def _row(request: Request, outside_s: float) -> tuple[object, ...]:
    """One row of `ENGINE_COLUMNS`."""
    first, sent, end = request.first_token_s, request.arrival_s, request.end
    if end == "finished":
        outcome: Outcome = "truncated" if request.truncated else "ok"
        status: int | None = 200
        error = None
    elif end == "aborted":
        outcome, status, error = "timeout", None if first is None else 200, "no complete answer in time"
    else:
        outcome, status, error = ENDS[str(end)]
    seen = None if first is None else first + outside_s
    ended = None if request.ended_s is None else request.ended_s + outside_s
    into = None if first is None else request.request_tokens
    out = None if first is None else request.generated
    return request.id, sent, sent, seen, ended, into, out, outcome, status, error


def _gaps(ended: list[Request], step_times: StepTimes) -> pl.DataFrame:
    """`request_id`, `gaps_s` and `gap_tokens` of the requests that got a token, for all of them at once."""
    ids, spans = [], []
    for request in ended:
        left = request.generated
        if request.first_token_s is None:
            continue
        for first, last in request.spans:
            # One that was given up may have been served for some steps more.
            last = min(last, first + left - 1)
            if last >= first:
                ids.append(request.id)
                spans.append((first, last))
                left -= last - first + 1
    if not spans:
        return pl.DataFrame(schema={name: SCHEMA[name] for name in ("request_id", "gaps_s", "gap_tokens")})
    first, last = np.array(spans).T
    low, lengths = first.min(), last - first + 1
    ends = step_times.ends_s(int(low), int(last.max()))
    # All steps of all spans, one span after the other.
    step = np.arange(lengths.sum()) + np.repeat(first - low - np.cumsum(lengths) + lengths, lengths)
    of, at = np.repeat(ids, lengths), ends[step]
    same = np.diff(of) == 0
    rows = pl.DataFrame({"request_id": of[1:][same], "gaps_s": np.diff(at)[same]})
    gaps = rows.group_by("request_id", maintain_order=True).agg("gaps_s")
    all_ids = pl.DataFrame({"request_id": ids}).unique(maintain_order=True)
    return (
        all_ids.join(gaps, on="request_id", how="left")
        .with_columns(pl.col("gaps_s").fill_null(pl.lit([], pl.List(pl.Float64))))
        .with_columns(pl.col("gaps_s").list.eval(pl.element().is_finite().cast(pl.Int64)).alias("gap_tokens"))
    )


def _sampled(at_s: float, s: EngineState) -> tuple[float, ...]:
    """One row of `SERVER_SCHEMA`."""
    counted = (s.preemptions, s.rejections, s.prompt_tokens, s.generation_tokens)
    return (at_s, s.kv_cache_use, float(s.running), float(s.waiting), *map(float, counted))
