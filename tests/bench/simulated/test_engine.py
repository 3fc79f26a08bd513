"""The engine against the step-by-step version, known answers, and what must hold of any serving engine."""

from __future__ import annotations

import random
from dataclasses import replace
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from burstlens.bench.simulated.engine import BatchingEngine
from burstlens.bench.simulated.presets import Preset, StepCosts, load_preset
from burstlens.bench.simulated.request import Request, Scheduling

from .stepwise import Arrival, run

TINY = Preset(
    name="tiny",
    model="tiny",
    gpu="none",
    source="made up, so that blocks run short",
    latency=StepCosts(a_p_ms=12.31, b_ms=0.0894, c_ms=3.5e-4, a_d_ms=9.17, d_us=487.3, e_us=48.7),
    block_size=4,
    num_blocks=40,
    max_num_seqs=8,
    max_num_batched_tokens=24,
    max_model_len=120,
)


def serve(
    preset: Preset, sent: list[Arrival], scheduling: Scheduling, pauses: list[float] | None = None
) -> tuple[BatchingEngine, list[Request]]:
    """Feed the engine the same requests, stopping at further instants on the way."""
    engine = BatchingEngine(preset, scheduling=scheduling, keep_steps=True)
    done: list[Request] = []
    requests: dict[int, Request] = {}
    events = [(r.arrival_s, 0, r) for r in sent] + [(r.abort_s, 1, r) for r in sent if r.abort_s < inf]
    events += [(at, 2, sent[0]) for at in pauses or []]
    for at, kind, r in sorted(events, key=lambda e: (e[0], e[1], e[2].id)):
        done += engine.advance(at)
        if kind == 0:
            requests[r.id] = engine.submit(at, r.id, r.prompt, r.answer, r.priority)
        elif kind == 1:
            engine.abort(at, requests[r.id])
        else:
            assert 0 <= engine.sample(at).kv_cache_use <= 1
    done += engine.advance(inf)
    assert sorted(r.id for r in done) == [r.id for r in requests.values() if r.end == "finished"]
    return engine, [requests[r.id] for r in sent]


def agree(
    preset: Preset, sent: list[Arrival], scheduling: Scheduling, pauses: list[float] | None = None
) -> BatchingEngine:
    """Both versions tell the same of every request, to a nanosecond."""
    engine, requests = serve(preset, sent, scheduling, pauses)
    run(preset, sent, scheduling)
    for r, expected in zip(requests, sent, strict=True):
        assert (r.id, r.end) == (expected.id, expected.end)
        assert r.ended_s == pytest.approx(expected.ended_s, rel=0, abs=1e-9)
        assert r.preemptions == expected.preemptions
        assert r.generated == len(expected.token_s)
        assert engine.token_times(r) == pytest.approx(expected.token_s, rel=0, abs=1e-9)
        if expected.token_s:
            assert r.first_token_s == pytest.approx(expected.token_s[0], rel=0, abs=1e-9)
    assert engine.sample(inf).kv_cache_use == 0
    assert (engine.running, engine.waiting) == (0, 0)
    return engine


def overload(n: int, seed: int, preset: Preset, rate_rps: float, aborts: float = 0.0) -> list[Arrival]:
    """Requests that come faster than they can be served."""
    rng = random.Random(seed)
    sent, at = [], 0.0
    for i in range(n):
        at += rng.expovariate(rate_rps)
        prompt = rng.randint(1, preset.max_model_len // 2)
        sent.append(Arrival(i, at, prompt, rng.randint(1, preset.max_model_len // 2), rng.randint(-2, 2)))
        if rng.random() < aborts:
            sent[-1].abort_s = at + rng.expovariate(1.0)
    return sent


@pytest.mark.slow
@pytest.mark.parametrize("ahead", [False, True])
@pytest.mark.parametrize("scheduling", ["fcfs", "priority"])
def test_agrees_with_single_steps_through_overload(scheduling: Scheduling, ahead: bool) -> None:
    preset = replace(TINY, max_num_queued_reqs=60, async_scheduling=ahead)
    sent = overload(1500, 7, preset, 12.0, aborts=0.1)
    engine = agree(preset, sent, scheduling, [i * 0.31 for i in range(300)])
    ends = [r.end for r in sent]
    assert engine.preemptions > 100
    assert engine.rejections == ends.count("rejected") > 100
    assert ends.count("aborted") > 20


@st.composite
def loads(draw: st.DrawFn) -> tuple[Preset, list[Arrival], list[float]]:
    # Instants are multiples of an odd unit, so that simultaneous arrivals are common and ties with the
    # end of a step are not.
    unit = 0.0137931
    n = draw(st.integers(1, 25))
    preset = replace(
        TINY,
        num_blocks=draw(st.integers(30, 60)),
        max_num_seqs=draw(st.integers(1, 10)),
        max_num_batched_tokens=draw(st.integers(10, 130)),
        max_num_queued_reqs=draw(st.one_of(st.none(), st.integers(1, 20))),
        async_scheduling=draw(st.booleans()),
        latency=structs.replace(TINY.latency, h_ms=draw(st.sampled_from([0.0, 14.0]))),
    )
    sent = []
    for i in range(n):
        arrival = draw(st.integers(0, 200)) * unit
        sent.append(
            Arrival(
                i,
                arrival,
                draw(st.integers(1, 130)),
                draw(st.integers(1, 130)),
                draw(st.integers(-1, 1)),
                draw(st.one_of(st.just(inf), st.sampled_from([arrival + k * unit for k in range(1, 401)]))),
            )
        )
    sent.sort(key=lambda r: r.arrival_s)
    for i, r in enumerate(sent):
        r.id = i
    pauses = draw(st.lists(st.integers(0, 600).map(lambda k: k * unit * 0.71), max_size=10))
    return preset, sent, pauses


@pytest.mark.slow
@settings(max_examples=300)
@given(loads(), st.sampled_from(["fcfs", "priority"]))
def test_agrees_with_single_steps(load: tuple[Preset, list[Arrival], list[float]], scheduling: str) -> None:
    preset, sent, pauses = load
    agree(preset, sent, "priority" if scheduling == "priority" else "fcfs", pauses)


@pytest.mark.slow
@pytest.mark.parametrize("scheduling", ["fcfs", "priority"])
def test_agrees_with_single_steps_on_a_real_preset(scheduling: Scheduling) -> None:
    preset = load_preset("llama-2-13b-a100").limited(num_blocks=400, max_num_queued_reqs=200)
    rng = random.Random(3)
    sent, at = [], 0.0
    for i in range(300):
        at += rng.gammavariate(0.3, 0.3)
        sent.append(
            Arrival(i, at, min(int(rng.lognormvariate(5.5, 1)) + 1, 3000), rng.randint(1, 400), i % 3)
        )
    assert agree(preset, sent, scheduling).preemptions > 20


def test_one_request_takes_what_the_equation_says() -> None:
    preset = load_preset("llama-2-13b-a100")
    engine = BatchingEngine(preset, keep_steps=True)
    request = engine.submit(5.0, 0, 100, 3)
    assert engine.advance(inf) == [request]
    prefill = 0.0216 + 100 * 0.0894e-3 + 3.5e-9 * 100**2  # a_d is above a_p
    decode = [0.0216 + length * 0.487e-6 + 48e-6 for length in (101, 102)]
    expected = [5 + prefill, 5 + prefill + decode[0], 5 + prefill + decode[0] + decode[1]]
    assert engine.token_times(request) == pytest.approx(expected, abs=1e-12)
    assert (request.first_token_s, request.ended_s) == pytest.approx((expected[0], expected[2]), abs=1e-12)


def test_a_step_that_was_planned_ahead_goes_by_without_who_came_after_its_plan() -> None:
    # Every step takes 10 ms, and the second request comes in the midst of the third.
    exact = replace(TINY, latency=StepCosts(10, 0, 0, 10, 0, 0))
    for ahead, first_s in ((False, 0.04), (True, 0.05)):
        engine = BatchingEngine(replace(exact, async_scheduling=ahead))
        engine.submit(0.0, 0, 4, 20)
        engine.advance(0.025)
        late = engine.submit(0.025, 1, 4, 2)
        assert engine.sample(0.025).waiting == 1
        engine.advance(inf)
        assert late.first_token_s == pytest.approx(first_s, abs=1e-12)
        # Where nothing is planned, nothing goes by: an idle server begins at once.
        alone = engine.submit(1.0, 2, 4, 1)
        engine.advance(inf)
        assert alone.ended_s == pytest.approx(1.01, abs=1e-12)


def test_a_long_prompt_is_prefilled_in_chunks() -> None:
    preset = load_preset("llama-2-13b-a100")
    engine = BatchingEngine(preset)
    request = engine.submit(0.0, 0, 3000, 1)
    engine.advance(inf)
    chunks = [(0, 2048), (2048, 952)]
    expected = sum(0.0216 + n * 0.0894e-3 + 3.5e-9 * n * (2 * ctx + n) for ctx, n in chunks)
    assert request.ended_s == pytest.approx(expected, abs=1e-12)


def test_requests_of_one_instant_share_their_first_step() -> None:
    engine = BatchingEngine(TINY)
    first, second = (engine.submit(1.0, i, 5, 1) for i in range(2))
    engine.advance(inf)
    assert first.first_token_s == second.first_token_s


def test_a_waiting_request_of_better_priority_is_served_first() -> None:
    preset = replace(TINY, max_num_seqs=1)
    ends = {}
    for scheduling in ("fcfs", "priority"):
        engine = BatchingEngine(preset, scheduling=scheduling)
        for i, priority in enumerate([0, 5, -5]):
            engine.submit(0.0, i, 8, 8, priority)
        ends[scheduling] = [r.id for r in engine.advance(inf)]
    assert ends == {"fcfs": [0, 1, 2], "priority": [2, 0, 1]}


def test_limits_of_length_and_queue() -> None:
    engine = BatchingEngine(replace(TINY, max_num_queued_reqs=2))
    assert engine.submit(0.0, 0, 120, 1).end == "too_long"
    cut = engine.submit(0.0, 1, 100, 50)
    assert (cut.response_tokens, cut.truncated) == (20, True)
    engine.submit(0.0, 2, 1, 1)
    assert engine.submit(0.0, 3, 1, 1).end == "rejected"
    assert engine.sample(0.0).rejections == 1
    engine.advance(inf)
    assert cut.generated == 20
    assert engine.submit(engine.now_s, 4, 1, 1).end is None
    with pytest.raises(ValueError, match="request 5"):
        engine.submit(engine.now_s, 5, 0, 1)


def test_progress_can_be_watched_step_by_step() -> None:
    engine = BatchingEngine(TINY, keep_steps=True)
    request = engine.submit(0.0, 0, 10, 12)
    assert engine.next_event_s() == 0.0
    at, seen = 1e-9, []
    engine.advance(at)
    while (at := engine.next_step_s(at)) < inf:
        engine.advance(at)
        seen.append((at, engine.generated(request, at)))
        engine.advance(at + 1e-9)
    assert [at for at, _ in seen] == pytest.approx(engine.token_times(request), abs=1e-9)
    assert [tokens for _, tokens in seen] == list(range(1, 13))
    assert engine.next_event_s() == inf


def test_forgotten_steps_are_those_that_nobody_needs() -> None:
    sent = overload(200, 1, TINY, 2.0)
    forgetful, complete = BatchingEngine(TINY, keep_steps=True), BatchingEngine(TINY, keep_steps=True)
    times = []
    for engine in (forgetful, complete):
        times_by_id: dict[int, list[float]] = {}
        for r in sent:
            done = engine.advance(r.arrival_s)
            times_by_id |= {d.id: engine.token_times(d) for d in done}
            if engine is forgetful:
                engine.forget_steps()
            engine.submit(r.arrival_s, r.id, r.prompt, r.answer)
        times.append(times_by_id | {d.id: engine.token_times(d) for d in engine.advance(inf)})
    assert times[0] == times[1]
    with pytest.raises(ValueError, match="keep_steps"):
        BatchingEngine(TINY).token_times(BatchingEngine(TINY).submit(0.0, 0, 1, 1))


def test_queueing_theory_holds_for_one_server_with_equal_answers() -> None:
    # One request at a time, always the same work: an M/D/1 queue, whose mean wait is known.
    preset = replace(TINY, max_num_seqs=1)
    alone = BatchingEngine(preset)
    alone.submit(0.0, 0, 8, 8)
    service = alone.advance(inf)[0].ended_s or 0.0
    load, n = 0.7, 20_000
    rng, engine, at, requests = random.Random(5), BatchingEngine(preset), 0.0, []
    for i in range(n):
        at += rng.expovariate(load / service)
        engine.advance(at)
        requests.append(engine.submit(at, i, 8, 8))
    engine.advance(inf)
    waits = [(r.admitted_s or 0.0) - r.arrival_s for r in requests]
    expected = load * service / (2 * (1 - load))
    assert sum(waits) / n == pytest.approx(expected, rel=0.08)
