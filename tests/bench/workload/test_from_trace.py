"""Load from a trace: the requests chosen, their times scaled, nothing else changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import burstlens as bl
from burstlens.analysis.trace.trace import Trace, open_frame
from burstlens.bench.workload.from_trace import from_trace
from burstlens.queries.duckdb import DuckDBEngine


@pytest.fixture(scope="module")
def talk() -> Trace:
    """Three sessions with two turns in one second, and requests of two services and models."""
    frame = pl.DataFrame(
        {
            "arrival_s": [10.0, 10.0, 10.0, 12.0, 15.0, 40.0],
            "service": ["chat", "chat", "api", "chat", "api", "chat"],
            "model": ["A", "A", "B", "A", "A", "B"],
            "session": ["x", "x", None, "x", None, "y"],
            "request_tokens": [10, 20, 30, 40, 50, 60],
            "response_tokens": [1, 2, 3, 4, 0, 6],
            "elapsed_s": [1.0, 0.5, 1.0, 1.0, 1.0, 1.0],
            "failed": [False] * 4 + [True, False],
        }
    )
    with_sessions = replace(bl.synth(days=0.1).info, name="talk", rows=6, resolution_s=1.0)
    return open_frame(frame, with_sessions)


def test_every_request_of_the_trace_is_sent_with_its_lengths(talk: Trace) -> None:
    sent = from_trace(talk, seed=5).requests
    assert sent["request_id"].to_list() == list(range(6))
    assert sorted(sent["request_tokens"].to_list()) == [10, 20, 30, 40, 50, 60]
    assert sent.filter(request_tokens=50)["response_tokens"].item() == 1  # the failed one
    assert sent["at_s"].is_sorted()


@pytest.mark.parametrize("seed", range(20))
def test_spreading_keeps_requests_in_their_second_and_turns_in_order(talk: Trace, seed: int) -> None:
    sent = from_trace(talk, seed=seed, sessions="stamps").requests
    stamps = {10: 0, 20: 0, 30: 0, 40: 2, 50: 5, 60: 30}
    for tokens, at in sent.select("request_tokens", "at_s").iter_rows():
        assert stamps[tokens] <= at < stamps[tokens] + 1
    turns = sent.filter(pl.col("session") == sent.filter(request_tokens=10)["session"][0])
    assert turns["request_tokens"].to_list() == [10, 20, 40]
    assert turns["turn"].to_list() == [0, 1, 2]


def test_without_spreading_stamps_are_as_in_the_log(talk: Trace) -> None:
    assert from_trace(talk, spread=False).requests["at_s"].to_list() == [0, 0, 0, 2, 5, 30]


def test_think_time_runs_from_the_previous_answers_end(talk: Trace) -> None:
    sent = from_trace(talk, sessions="think", spread=False, speedup=10).requests
    # 10 → 10.0 + 1.0 s of answer, next at 10: no time to think; then from 10.5 to 12.
    assert sent.filter(session=0)["think_s"].to_list() == [None, 0.0, 1.5]


@pytest.mark.parametrize(
    ("choice", "tokens"),
    [
        ({"service": "api"}, [30, 50]),
        ({"model": "A"}, [10, 20, 40, 50]),
        ({"service": "chat", "model": "B"}, [60]),
        ({"start_s": 12.0, "end_s": 40.0}, [40, 50]),
        ({"first": 4}, [10, 20, 30, 40]),
    ],
)
def test_a_selection_holds_what_it_names(talk: Trace, choice: dict[str, object], tokens: list[int]) -> None:
    sent = from_trace(talk, **choice).requests  # type: ignore[arg-type]
    assert sorted(sent["request_tokens"].to_list()) == tokens


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"service": "web"}, "no requests of service 'web'; it has: api, chat"),
        ({"service": "api", "model": "C"}, "no requests of model 'C' in service 'api'; it has: A, B"),
        ({"start_s": 1000.0}, "no request in that time"),
        ({"rate_rps": 1.0, "speedup": 2.0}, "give one of them"),
        ({"speedup": 0.0}, "speedup: 0 is not above 0"),
    ],
)
def test_a_selection_that_does_not_exist_is_refused(
    talk: Trace, choice: dict[str, float], message: str
) -> None:
    with pytest.raises(bl.BurstlensError, match=message):
        from_trace(talk, **choice)  # type: ignore[arg-type]


def test_scaling_the_real_week_keeps_its_pattern(week: Trace) -> None:
    plain = from_trace(week, first=5000, seed=1).requests["at_s"].to_numpy()
    fast = from_trace(week, first=5000, seed=1, rate_rps=3.0)
    assert fast.rate_rps == pytest.approx(3.0, rel=1e-3)
    factor = plain[-1] / fast.span_s
    np.testing.assert_allclose(fast.requests["at_s"].to_numpy() * factor, plain)


def test_a_trace_without_tokens_needs_lengths(traces: Callable[[str], Path]) -> None:
    trace = bl.trace(traces("maf2_azure_functions_2021_200.csv"))
    with pytest.raises(bl.BurstlensError, match="request and response with tokens"):
        from_trace(trace)
    sent = from_trace(trace, tokens=(64, 16)).requests
    assert sent["request_tokens"].unique().to_list() == [64]
    assert sent["response_tokens"].unique().to_list() == [16]


@pytest.mark.parametrize("in_order", [True, False])
def test_requests_of_one_second_keep_the_order_of_the_log(in_order: bool, tmp_path: Path) -> None:
    rows = np.arange(300_000)
    second = rows // 100 if in_order else (rows // 100) * 7919 % 3000
    log = tmp_path / "log.csv"
    pl.DataFrame(
        {"Timestamp": second, "Model": "A", "Request tokens": rows + 1, "Response tokens": 1}
    ).with_columns(
        pl.col("Request tokens").alias("Total tokens"), pl.lit("API log").alias("Log Type")
    ).write_csv(log)
    expected = (rows + 1)[np.argsort(second, kind="stable")]
    with bl.trace(log) as trace:
        assert isinstance(trace.engine, DuckDBEngine)
        trace.engine.connection.execute("SET threads = 8")
        for first in [250, 20_000, None] * 4:
            sent = from_trace(trace, first=first, spread=False).requests["request_tokens"].to_numpy()
            np.testing.assert_array_equal(sent, expected[:first])
