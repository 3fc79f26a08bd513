"""The verdict on the load: no alarm for a client that does its work, one for each way of not doing it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest

from burstlens.analysis.stats.renewal import sample_arrivals
from burstlens.bench.metrics.distances import ArrivalLaw
from burstlens.bench.metrics.load_verdict import LoadLimits, LoadVerdict, judge_load
from burstlens.bench.metrics.models import LOAD_SCHEMA
from burstlens.bench.workload import table as workload

SentLoad = Callable[..., pl.DataFrame]
Array = Any

LOADS = [
    (0.1, 20.0, 1200),
    (0.3, 0.5, 120),
    (0.5, 0.326, 2000),
    (1.0, 5.0, 60),
    (0.2, 400.0, 8000),
    (5.0, 10.0, 900),
]
"""Shape, rate and number of requests."""


def drawn(shape: float, rate: float, n: int, rng: np.random.Generator) -> tuple[Array, ArrivalLaw]:
    """Instants of a Gamma process, and its law."""
    span = n / rate
    one = (np.array([value]) for value in (0.0, span, rate, shape))
    return sample_arrivals([0.0], [shape], [rate], span, rng), ArrivalLaw(*one)


def workload_of(instants: Array) -> pl.DataFrame:
    """The workload that asks for these instants."""
    columns = {"request_id": np.arange(len(instants)), "at_s": instants}
    rest = (
        pl.lit(None, dtype=kind).alias(name) for name, kind in workload.SCHEMA.items() if name not in columns
    )
    return pl.DataFrame(columns).with_columns(*rest)


@pytest.mark.slow
@pytest.mark.parametrize("lateness", ["none", "a few ms", "the same 40 ms"])
@pytest.mark.parametrize(("shape", "rate", "n"), LOADS)
def test_a_client_on_time_is_trusted(
    sent_load: SentLoad, shape: float, rate: float, n: int, lateness: str
) -> None:
    rng = np.random.default_rng(7)
    for _ in range(6):
        at, law = drawn(shape, rate, n, rng)
        late = {"none": 0.0, "a few ms": rng.exponential(0.005, len(at)), "the same 40 ms": 0.04}[lateness]
        verdict = judge_load(sent_load(at, at + late), workload_of(at), law=law)
        assert str(verdict) == "trustworthy", verdict.table
        assert verdict.trustworthy


@pytest.mark.slow
def test_a_right_process_is_taken_for_another_one_time_in_a_thousand(sent_load: SentLoad) -> None:
    rng = np.random.default_rng(11)
    alarms = 0
    for _ in range(200):
        at, law = drawn(0.3, 2.0, 150, rng)
        alarms += not judge_load(sent_load(at, at), law=law, limits=LoadLimits(p_value=0.05)).trustworthy
    # 10 of 200 are due at 5 %, give or take 3.1.
    assert 1 <= alarms <= 22


def poisson(at: Array, rng: np.random.Generator) -> Array:
    return np.sort(rng.uniform(at[0], at[-1], len(at)))


def stall(at: Array, rng: np.random.Generator) -> Array:
    stalled = (at > 20) & (at < 23)
    return np.where(stalled, 23.0, at)


def slow(at: Array, rng: np.random.Generator) -> Array:
    return at / 0.9


def dropped(at: Array, rng: np.random.Generator) -> Array:
    return np.where(rng.random(len(at)) < 0.1, np.nan, at)


def busy(at: Array, rng: np.random.Generator) -> Array:
    """One at a time, 45 ms each."""
    out, free = [], 0.0
    for instant in at.tolist():
        free = max(free, instant) + 0.045
        out.append(free)
    return np.array(out)


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (poisson, ["sent before their instant", "the shape of gaps was"]),
        (stall, ["the client stalled: requests were sent up to"]),
        (slow, ["late or more; 50 ms is allowed", "the rate was"]),
        (dropped, ["requests were never sent"]),
        (busy, ["late or more; 50 ms is allowed", "the shape of gaps was", "of gaps are longer or shorter"]),
    ],
)
def test_every_way_of_sending_another_load_is_named(sent_load: SentLoad, fault: Any, why: list[str]) -> None:
    rng = np.random.default_rng(3)
    for _ in range(10):
        at, _ = drawn(0.2, 20.0, 1500, rng)
        verdict = judge_load(sent_load(at, fault(at, rng)))
        assert not verdict.trustworthy
        assert str(verdict).startswith("not trustworthy: ")
        for words in why:
            assert any(words in reason for reason in verdict.reasons), verdict.reasons


def test_requests_that_the_record_lacks_were_never_sent(sent_load: SentLoad) -> None:
    at = np.arange(100) * 0.5
    verdict = judge_load(sent_load(at[:90], at[:90]), workload_of(at))
    assert verdict.reasons[0] == "10 of 100 requests were never sent"
    assert judge_load(sent_load(at[:90], at[:90])).trustworthy


def test_a_server_that_fails_does_not_make_the_load_another(sent_load: SentLoad) -> None:
    at, _ = drawn(0.5, 5.0, 300, np.random.default_rng(1))
    for outcome in ("refused", "http_5xx", "timeout", "rejected"):
        assert judge_load(sent_load(at, at + 0.001, outcome=outcome), workload_of(at)).trustworthy


def test_a_load_delayed_by_the_limit_of_concurrency_says_so(sent_load: SentLoad) -> None:
    at = np.arange(200) * 0.1
    verdict = judge_load(sent_load(at, at + 0.3, waited_s=0.3))
    assert "late or more because the limit of concurrent requests was reached" in str(verdict)


def test_a_load_whose_answers_the_client_cut_is_not_the_planned_one(sent_load: SentLoad) -> None:
    at = np.arange(100) * 0.5
    verdict = judge_load(sent_load(at, at, outcome=np.where(at > 48, "aborted", "ok")))
    assert verdict.reasons == ("3 of 100 requests were cut short by the client",)


def test_a_planned_law_is_tested(sent_load: SentLoad) -> None:
    rng = np.random.default_rng(5)
    at, law = drawn(0.5, 5.0, 1500, rng)
    other = ArrivalLaw(law.start_s, law.end_s, law.rate_rps, np.array([0.8]))
    assert judge_load(sent_load(at, at), law=law).trustworthy
    assert "do not follow the planned law" in str(judge_load(sent_load(at, at), law=other))


def test_a_law_of_many_windows_follows_each(sent_load: SentLoad) -> None:
    rng = np.random.default_rng(6)
    start = np.arange(12) * 100.0
    rate, shape = rng.uniform(0.5, 6, 12), rng.uniform(0.1, 3, 12)
    at = sample_arrivals(start, shape, rate, 100.0, rng)
    law = ArrivalLaw(start, start + 100, rate, shape)
    assert judge_load(sent_load(at, at), law=law).trustworthy
    assert not judge_load(
        sent_load(at, at), law=ArrivalLaw(start, start + 100, rate, shape[::-1])
    ).trustworthy


@pytest.mark.parametrize(
    ("lengths", "trusted"),
    [
        ({"request_tokens": 101}, True),  # a token that the server puts before every prompt
        ({"request_tokens": 130}, False),
        ({"response_tokens": 12}, False),
    ],
)
def test_lengths_are_the_planned_ones(sent_load: SentLoad, lengths: dict[str, int], trusted: bool) -> None:
    at = np.arange(100) * 0.5
    verdict = judge_load(sent_load(at, at, **lengths))
    assert verdict.trustworthy == trusted
    assert trusted or "lengths differ" in str(verdict)


def test_lengths_that_were_left_to_the_model_are_not_judged(sent_load: SentLoad) -> None:
    at = np.arange(100) * 0.5
    assert judge_load(sent_load(at, at, response_tokens=12), forced_lengths=False).trustworthy


def test_a_clock_that_turns_back_is_seen(sent_load: SentLoad) -> None:
    at = np.arange(50) * 0.5
    assert "the clock is wrong: 50 requests" in str(
        judge_load(sent_load(at, at, ended_s=at - 1, first_token_s=at))
    )


@pytest.mark.parametrize("n", [0, 1, 2, 5])
def test_a_handful_of_requests_can_be_judged(sent_load: SentLoad, n: int) -> None:
    at = np.arange(n) * 0.5
    verdict = judge_load(sent_load(at, at))
    assert verdict.trustworthy == (n > 0)
    assert dict(verdict.table.schema) == LOAD_SCHEMA


def test_all_at_once_is_a_load_too(sent_load: SentLoad) -> None:
    verdict = judge_load(sent_load(np.zeros(200), np.linspace(0, 0.03, 200)))
    assert verdict.trustworthy, verdict.reasons


def test_a_verdict_reads_as_one_line() -> None:
    assert str(LoadVerdict((), pl.DataFrame(schema=LOAD_SCHEMA))) == "trustworthy"
    assert str(LoadVerdict(("a", "b"), pl.DataFrame(schema=LOAD_SCHEMA))) == "not trustworthy: a; b"
