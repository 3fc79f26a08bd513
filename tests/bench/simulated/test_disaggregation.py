"""Separate prefill and decode against queueing theory, the co-located engine, and what must always hold."""

from __future__ import annotations

import math
from dataclasses import replace
from math import inf

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from burstlens.bench.simulated.disaggregation import Deployment, Rig, Transfer
from burstlens.bench.simulated.engine import BatchingEngine
from burstlens.bench.simulated.presets import Preset, StepCosts, load_preset

FREE = Transfer(inf, 0.0)
NOTHING = StepCosts(a_p_ms=0, b_ms=0, c_ms=0, a_d_ms=0, d_us=0, e_us=0)

# Times that a float holds exactly, so that two ways of adding them up agree on who comes first.
EXACT = Preset(
    name="exact",
    model="exact",
    gpu="none",
    source="made up: every constant is a power of two",
    latency=StepCosts(
        a_p_ms=1000 * 2**-7, b_ms=0, c_ms=0, a_d_ms=1000 * 2**-6, d_us=1e6 * 2**-20, e_us=1e6 * 2**-14
    ),
    block_size=4,
    num_blocks=4000,
    max_num_seqs=64,
    max_num_batched_tokens=512,
    max_model_len=400,
)
TINY = replace(EXACT, num_blocks=20, max_num_seqs=6, max_num_batched_tokens=24, max_model_len=80)


def served(rig: Rig, prefill: int, decode: int) -> tuple[np.ndarray, np.ndarray]:
    """First-token instants and ends of a run with one ratio."""
    cluster = Deployment(rig, prefill, decode, record=True)
    cluster.advance(inf)
    assert cluster.ended
    return np.array(cluster.first_s), np.array(cluster.ended_s)


def one_by_one(ms_per_token: float) -> Preset:
    """A prefill that takes one prompt at a time, for so long a token."""
    return replace(
        EXACT,
        latency=structs.replace(NOTHING, b_ms=ms_per_token),
        max_num_seqs=1,
        max_num_batched_tokens=10**9,
        num_blocks=10**9,
        max_model_len=10**9,
    )


@pytest.mark.parametrize("load", [0.5, 0.8])
def test_one_prefill_instance_waits_as_m_d_1(load: float) -> None:
    rng = np.random.default_rng(1)
    n, service_s = 200_000, 0.1
    at = np.cumsum(rng.exponential(service_s / load, n))
    rig = Rig(at.tolist(), [100] * n, [1] * n, one_by_one(1.0), transfer=FREE)
    first, ended = served(rig, 1, 1)
    assert (first == ended).all()
    waits = first - at - service_s
    assert waits.mean() == pytest.approx(service_s * load / (2 * (1 - load)), rel=0.05)


@pytest.mark.parametrize("servers", [1, 2, 5])
def test_several_prefill_instances_wait_as_m_m_c(servers: int) -> None:
    rng = np.random.default_rng(2)
    n, service_s, load = 200_000, 0.1, 0.75
    at = np.cumsum(rng.exponential(service_s / (load * servers), n))
    tokens = np.maximum(rng.exponential(100_000, n).astype(int), 1)
    rig = Rig(at.tolist(), tokens.tolist(), [1] * n, one_by_one(1e-3), transfer=FREE)
    first, _ = served(rig, servers, 1)
    waits = first - at - tokens * 1e-6
    offered = load * servers
    blocked = offered**servers / math.factorial(servers) / (1 - load)
    queued = blocked / (sum(offered**k / math.factorial(k) for k in range(servers)) + blocked)
    assert waits.mean() == pytest.approx(queued * service_s / (servers * (1 - load)), rel=0.06)
    assert (waits > 1e-9).mean() == pytest.approx(queued, rel=0.03)


def random_load(n: int, rate_rps: float, preset: Preset, seed: int) -> tuple[list[float], ...]:
    rng = np.random.default_rng(seed)
    at = np.round(np.cumsum(rng.exponential(1 / rate_rps, n)) * 2**12) / 2**12
    max_tokens = preset.max_model_len // 2
    return at.tolist(), rng.integers(1, max_tokens, n).tolist(), rng.integers(1, max_tokens, n).tolist()


@pytest.mark.parametrize("name", ["llama-2-13b-a100", "llama-2-13b-h100-vllm"])
@pytest.mark.parametrize("seed", range(4))
def test_prefill_alone_is_the_engine_that_only_prefills(seed: int, name: str) -> None:
    preset = replace(EXACT, latency=load_preset(name).latency)
    at, into, _ = random_load(400, 120.0, preset, seed)
    engine = BatchingEngine(preset)
    requests = []
    for i, (t, tokens) in enumerate(zip(at, into, strict=True)):
        engine.advance(t)
        requests.append(engine.submit(t, i, tokens, 1))
    engine.advance(inf)
    first, _ = served(Rig(at, into, [1] * len(at), preset, transfer=FREE), 1, 1)
    assert first == pytest.approx([r.first_token_s for r in requests], rel=0, abs=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_decode_after_a_prefill_that_takes_no_time_is_the_co_located_engine(seed: int) -> None:
    at, into, out = random_load(400, 8.0, EXACT, seed)
    engine = BatchingEngine(EXACT)
    requests = []
    for i, t in enumerate(at):
        engine.advance(t)
        requests.append(engine.submit(t, i, into[i], out[i]))
    engine.advance(inf)
    assert engine.preemptions == 0
    # The engine's first token is the end of the prefill; from there on both only decode.
    order: list[int] = sorted(range(len(at)), key=lambda i: (requests[i].first_token_s, i))
    prefilled = [requests[i].first_token_s or 0.0 for i in order]
    infinite = replace(EXACT, latency=NOTHING, max_num_batched_tokens=10**6)
    lengths = [int(into[i]) for i in order], [int(out[i]) for i in order]
    rig = Rig(prefilled, *lengths, infinite, EXACT, transfer=FREE)
    _, ended = served(rig, 1, 1)
    assert ended == pytest.approx([requests[i].ended_s for i in order], rel=0, abs=1e-9)


def test_a_lone_request_takes_what_the_equation_says() -> None:
    preset = load_preset("llama-2-13b-a100")
    transfer = Transfer(10.0, 0.02)
    rig = Rig([1.0], [3000], [4], preset, transfer=transfer, bytes_per_token=819_200)
    first, ended = served(rig, 1, 1)
    cost = preset.latency
    chunks = [(0, 2048), (2048, 952)]
    prefill = sum(cost.a_d_ms + cost.b_ms * n + cost.c_ms * n * (2 * ctx + n) for ctx, n in chunks) / 1e3
    steps = sum(cost.a_d_ms + (cost.e_us + cost.d_us * length) / 1e3 for length in (3001, 3002, 3003)) / 1e3
    assert first[0] - 1 == pytest.approx(prefill)
    assert ended[0] - first[0] == pytest.approx(steps + 0.02 + 3000 * 819_200 / 10e9)


def test_bounds_decide_what_is_good() -> None:
    at, into, out = random_load(300, 12.0, EXACT, 7)
    plain = Rig(at, into, out, EXACT, transfer=FREE)
    first, ended = served(plain, 1, 2)
    ttft = first - at
    tpot = np.where(np.array(out) > 1, (ended - first) / np.maximum(np.array(out) - 1, 1), 0.0)
    bounds = float(np.quantile(ttft, 0.8)) + 1e-6, float(np.quantile(tpot, 0.7)) + 1e-6
    cluster = Deployment(Rig(at, into, out, EXACT, transfer=FREE, ttft_s=bounds[0], tpot_s=bounds[1]), 1, 2)
    cluster.advance(inf)
    within_bounds = (ttft <= bounds[0]) & (tpot <= bounds[1])
    assert cluster.good == within_bounds.sum()
    assert cluster.bad == (~within_bounds).sum() == cluster.lost()


turns = st.lists(st.tuples(st.floats(0.0, 20.0), st.integers(1, 3)), max_size=6)


@settings(max_examples=60)
@given(
    seed=st.integers(0, 10_000),
    rate=st.floats(0.5, 40.0),
    prefill=st.integers(1, 3),
    changes=turns,
    launch=st.sampled_from([0.0, 0.7, 5.0]),
    delay=st.sampled_from([0.0, 0.3]),
)
def test_every_request_ends_once_and_no_block_is_lost(
    seed: int, rate: float, prefill: int, changes: list[tuple[float, int]], launch: float, delay: float
) -> None:
    at, into, out = random_load(80, rate, TINY, seed)
    rig = Rig(at, into, out, TINY, transfer=Transfer(inf, delay), launch_s=launch, ttft_s=1.0, tpot_s=0.05)
    cluster = Deployment(rig, prefill, 4 - prefill, record=True)
    plain = Deployment(rig, prefill, 4 - prefill)
    instants = sorted([*((t, p) for t, p in changes), *((t / 3, 0) for t in range(60))])
    before = 0
    for t, prefill_servers in instants:
        cluster.advance(t)
        if prefill_servers:
            cluster.turn(prefill_servers)
            plain.advance(t)
            plain.turn(prefill_servers)
            assert cluster.ratio == (prefill_servers, 4 - prefill_servers)
        assert all(0 <= d.free <= TINY.num_blocks for d in cluster.decodes)
        assert cluster.lost() >= before
        before = cluster.lost()
    cluster.advance(inf)
    assert cluster.ended
    assert cluster.good + cluster.bad == len(at)
    assert cluster.bad == cluster.lost()
    assert cluster.ended_s is not None
    assert cluster.first_s is not None
    assert np.isfinite(cluster.ended_s).all()
    assert (np.array(cluster.first_s) >= at).all()
    assert (np.array(cluster.ended_s) >= cluster.first_s).all()
    assert all(d.free == TINY.num_blocks and not d.running and not d.queue for d in cluster.decodes)
    # Stopping on the way changes nothing.
    plain.advance(inf)
    assert (plain.good, plain.bad, plain.preemptions) == (cluster.good, cluster.bad, cluster.preemptions)


def test_a_copy_goes_its_own_way_and_the_same_way() -> None:
    at, into, out = random_load(200, 30.0, TINY, 3)
    rig = Rig(at, into, out, TINY, transfer=Transfer(inf, 0.1), launch_s=1.0, ttft_s=1.0, tpot_s=0.05)
    cluster = Deployment(rig, 2, 2)
    cluster.advance(3.0)
    same, other = cluster.copy(), cluster.copy()
    other.turn(3)
    other.advance(inf)
    assert other.ended
    cluster.advance(inf)
    same.advance(inf)
    assert cluster.preemptions > 0
    assert (same.good, same.bad, same.preemptions) == (cluster.good, cluster.bad, cluster.preemptions)
    assert other.good + other.bad == same.good + same.bad == len(at)


def test_a_change_drains_and_then_takes_the_launch_time() -> None:
    # One long answer on the decode instance that leaves: 1 + 99 steps, then 10 s.
    rig = Rig([0.0, 0.0], [8, 8], [100, 100], EXACT, transfer=FREE, launch_s=10.0)
    cluster = Deployment(rig, 1, 2, record=True)
    cluster.advance(0.5)
    cluster.turn(2)
    assert cluster.ratio == (2, 1)
    assert cluster.serving == (1, 1)
    cluster.advance(inf)
    assert cluster.ended_s is not None
    drained = cluster.ended_s[0]
    again = Deployment(rig, 1, 2)
    again.advance(0.5)
    again.turn(2)
    again.advance(drained + 9.9)
    assert again.serving == (1, 1)
    again.advance(drained + 10.1)
    assert again.serving == (2, 1)
