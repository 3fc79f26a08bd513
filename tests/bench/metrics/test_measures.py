"""Metrics against records small enough to work out by hand."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from burstlens.bench.metrics.measures import Distribution, complaints, measure, requests, tokens
from burstlens.bench.metrics.models import Slo
from burstlens.bench.metrics.per_second import seconds
from burstlens.bench.record.models import ANSWERED, OUTCOMES, SERVER_SCHEMA

RecordOf = Callable[..., pl.DataFrame]


@pytest.fixture
def three(record_of: RecordOf) -> pl.DataFrame:
    """Two answers and a failure. Tokens come at 0.5, 0.9 (two), 1.5 and at 1.2, 1.7, 2.2."""
    return record_of(
        {"intended_s": 0.0, "sent_s": 0.1, "first_token_s": 0.5, "ended_s": 1.5, "response_tokens": 4,
         "gaps_s": [0.4, 0.6], "gap_tokens": [2, 1]},
        {"intended_s": 1.0, "sent_s": 1.0, "first_token_s": 1.2, "ended_s": 2.2, "response_tokens": 3,
         "gaps_s": [0.5, 0.5], "gap_tokens": [0, 0]},
        {"intended_s": 1.0, "sent_s": 1.0, "ended_s": 2.1, "response_tokens": None, "outcome": "http_5xx"},
    )  # fmt: skip


def test_a_chunks_time_is_spread_over_its_tokens(three: pl.DataFrame) -> None:
    chunks = tokens(three)
    assert chunks["request_id"].to_list() == [0, 0, 0, 1, 1, 1]
    assert chunks["at_s"].to_list() == pytest.approx([0.5, 0.9, 1.5, 1.2, 1.7, 2.2])
    # The first two wait from the intended instants; two tokens of one chunk share its 0.4 s.
    assert chunks["latency_s"].to_list() == pytest.approx([0.5, 0.2, 0.6, 0.2, 0.5, 0.5])
    assert chunks["tokens"].to_list() == pytest.approx([1, 2, 1, 1, 1, 1])


def test_averages_of_a_run(three: pl.DataFrame) -> None:
    metrics = measure(three, Slo(ttft_s=0.3, tpot_s=0.6))
    assert (metrics.requests, metrics.answered, metrics.failed, metrics.aborted) == (3, 2, 1, 0)
    assert metrics.failure_rate.value == pytest.approx(1 / 3)
    assert metrics.span_s == pytest.approx(2.1)
    assert metrics.throughput_tps == pytest.approx(7 / 2.1)
    assert metrics.throughput_rps == pytest.approx(2 / 2.1)
    assert metrics.prompt_tps == pytest.approx(20 / 2.1)
    each = [0.5, 0.2, 0.2, 0.6, 0.2, 0.5, 0.5]
    assert metrics.latencies["token_latency_s"].mean == pytest.approx(np.mean(each))
    assert metrics.latencies["token_latency_s"].sd == pytest.approx(np.std(each))
    assert metrics.latencies["itl_s"].mean == pytest.approx(np.mean([0.2, 0.2, 0.6, 0.5, 0.5]))
    assert metrics.latencies["ttft_s"].max == pytest.approx(0.5)
    assert metrics.latencies["ttft_from_sent_s"].max == pytest.approx(0.4)
    assert metrics.latencies["tpot_s"].p50 == pytest.approx(1 / 3)
    assert metrics.latencies["e2e_s"].mean == pytest.approx((1.5 + 1.2) / 2)
    assert metrics.latencies["e2e_from_sent_s"].mean == pytest.approx((1.4 + 1.2) / 2)
    assert metrics.latencies["normalized_s"].mean == pytest.approx((1.5 / 4 + 1.2 / 3) / 2)
    assert metrics.goodput is not None
    assert metrics.goodput.requests == 1
    assert metrics.goodput.share.value == pytest.approx(1 / 3)


def test_each_second_of_a_run(three: pl.DataFrame) -> None:
    table = seconds(three, window_s=2)
    assert table["second"].to_list() == [0, 1, 2]
    assert table["asked"].to_list() == [1, 2, 0]
    assert table["sent"].to_list() == [1, 2, 0]
    assert table["ended"].to_list() == [0, 1, 2]
    assert table["http_5xx"].to_list() == table["failed"].to_list() == [0, 0, 1]
    assert table["tokens"].to_list() == pytest.approx([3, 3, 1])
    assert table["in_flight"].to_list() == pytest.approx([0.9, 2.5, 0.3])
    assert table["failure_rate"].to_list() == [None, 0.0, pytest.approx(1 / 3)]
    # The last two seconds hold the tokens at 1.2, 1.5, 1.7 and 2.2.
    last = [0.2, 0.6, 0.5, 0.5]
    assert table["token_latency_s"][2] == pytest.approx(np.mean(last))
    assert table["token_latency_sd_s"][2] == pytest.approx(np.std(last))
    # The first second has no second before it to divide by.
    assert table["throughput_tps"].to_list() == pytest.approx([3, 3, 2])
    assert table["throughput_rps"].to_list() == pytest.approx([0, 0.5, 1])
    assert table["kv_cache_use"].null_count() == 3


def test_a_quiet_stretch_has_no_latency(record_of: RecordOf) -> None:
    rows = [{"intended_s": at, "sent_s": at, "first_token_s": at + 0.3, "ended_s": at + 0.3} for at in (0, 9)]
    table = seconds(record_of(*rows), window_s=3)
    assert table["token_latency_s"].is_null().to_list() == [False] * 3 + [True] * 6 + [False]
    assert table["token_latency_sd_s"][9] == 0
    assert table["throughput_tps"].to_list()[3:9] == [0.0] * 6


def test_complaints_that_differ_in_numbers_are_counted_as_one_in_the_words_of_the_first(
    record_of: RecordOf,
) -> None:
    failures = [
        ("http_4xx", "400: your prompt has 5001 tokens"),
        ("reset", "Connection lost"),
        ("http_4xx", "400: your prompt has 70 tokens"),
        ("http_4xx", "404: no such model"),
        ("ok", None),
        ("stream_error", "400: your prompt has 6 tokens"),
    ]
    record = record_of(*({"outcome": outcome, "error": error} for outcome, error in failures))
    table = complaints(record)
    assert table.select("outcome", "error", "n").rows() == [
        ("http_4xx", "400: your prompt has 5001 tokens", 2),
        ("reset", "Connection lost", 1),
        ("http_4xx", "404: no such model", 1),
        ("stream_error", "400: your prompt has 6 tokens", 1),
    ]
    assert complaints(record.filter(pl.col("outcome") == "ok")).is_empty()


@pytest.mark.parametrize("window_s", [0, -1, 1.5])
def test_a_window_has_an_integer_number_of_seconds(record_of: RecordOf, window_s: float) -> None:
    with pytest.raises(ValueError, match="whole seconds"):
        seconds(record_of(), window_s=window_s)  # type: ignore[arg-type]


def test_seconds_have_the_servers_gauges_and_the_increase_of_its_counters(record_of: RecordOf) -> None:
    record = record_of({"intended_s": 0.0, "sent_s": 0.0, "first_token_s": 3.5, "ended_s": 3.5})
    sampled = {
        "at_s": [0.2, 0.7, 1.2, 3.1],
        "kv_cache_use": [0.1, 0.3, 0.5, 0.4],
        "preemptions": [1, 2, 7, 3],
    }
    server = pl.DataFrame(
        [dict(zip(sampled, row, strict=True)) for row in zip(*sampled.values(), strict=True)],
        schema=SERVER_SCHEMA,
    )
    table = seconds(record, server)
    assert table["kv_cache_use"].to_list() == [pytest.approx(0.2), 0.5, None, 0.4]
    # Seven to three: the server began anew and has counted three since.
    assert table["preemptions"].to_list() == [None, 5, None, 3]


def test_answers_that_are_not_streamed_or_not_counted(record_of: RecordOf) -> None:
    record = record_of(
        {"intended_s": 1.0, "sent_s": 1.0, "ended_s": 2.2, "response_tokens": 3},
        {"intended_s": 1.0, "sent_s": 1.0, "first_token_s": 1.1, "ended_s": 3.1, "response_tokens": 3},
        {"intended_s": 1.0, "sent_s": 1.0, "first_token_s": 1.1, "ended_s": 3.1, "response_tokens": None},
        {"intended_s": 1.0, "sent_s": 1.0, "first_token_s": 1.1, "ended_s": 2.1, "response_tokens": 2,
         "gaps_s": [0.4, 0.6], "gap_tokens": [0, 1]},
    )  # fmt: skip
    chunks = tokens(record)
    assert chunks["request_id"].to_list() == [0, 1, 1, 1, 3, 3]
    # Between a first and a last token that is all there is tokens come evenly; an empty chunk lends its time.
    assert chunks["latency_s"].to_list() == pytest.approx([0.4, 0.1, 1.0, 1.0, 0.1, 1.0])
    metrics = measure(record)
    assert metrics.answers_without_token_count == 1
    assert metrics.latencies["ttft_s"].n == 3
    assert metrics.latencies["e2e_s"].n == 4


def test_what_the_client_aborts_neither_fails_nor_succeeds(record_of: RecordOf) -> None:
    rows = [{"intended_s": 0.0, "sent_s": 0.0, "ended_s": 1.0, "outcome": name} for name in OUTCOMES]
    metrics = measure(record_of(*rows, {"intended_s": 2.0, "sent_s": None, "outcome": "aborted"}))
    assert metrics.aborted == 2
    failures = len(OUTCOMES) - 1 - len(ANSWERED)
    assert metrics.failure_rate.value == pytest.approx(failures / (failures + len(ANSWERED)))


@pytest.mark.parametrize("rows", [[], [{"intended_s": 0.0, "outcome": "aborted"}]])
def test_a_run_without_an_answer_has_no_latency(record_of: RecordOf, rows: list[dict[str, object]]) -> None:
    metrics = measure(record_of(*rows), Slo(e2e_s=1.0))
    assert math.isnan(metrics.failure_rate.value)
    assert all(each.n == 0 and math.isnan(each.p99) for each in metrics.latencies.values())
    assert seconds(record_of(*rows)).height == 1


@given(st.lists(st.tuples(st.floats(0, 100), st.integers(1, 5)), min_size=1, max_size=60))
def test_a_weight_counts_a_value_so_often(pairs: list[tuple[float, int]]) -> None:
    values, weights = zip(*pairs, strict=True)
    weighted, repeated = Distribution.of(values, weights), Distribution.of(np.repeat(values, weights))
    assert list(weighted.as_dict().values()) == pytest.approx(list(repeated.as_dict().values()), abs=1e-6)
    assert repeated.p90 in values
    assert np.mean(np.repeat(values, weights) <= repeated.p90) >= 0.9 - 1e-12


chunks = st.lists(st.tuples(st.floats(0, 2), st.integers(0, 4)), max_size=8)


@given(st.lists(st.tuples(st.floats(0, 20), st.floats(0, 3), chunks), min_size=1, max_size=12))
def test_latencies_add_up_and_seconds_to_totals(drawn: list[tuple[float, float, list]]) -> None:
    rows = []
    for i, (at, wait, later) in enumerate(drawn):
        gaps, counts = [g for g, _ in later], [k for _, k in later]
        rows.append({"request_id": i, "intended_s": at, "sent_s": at, "first_token_s": at + wait,
                     "ended_s": at + wait + sum(gaps), "response_tokens": 1 + sum(counts), "outcome": "ok",
                     "gaps_s": gaps, "gap_tokens": counts})  # fmt: skip
    record = pl.DataFrame(
        rows, schema_overrides={"gaps_s": pl.List(pl.Float64), "gap_tokens": pl.List(pl.Int64)}
    )
    chunks = tokens(record)
    total = chunks.group_by("request_id", maintain_order=True).agg(
        pl.col("tokens").sum(),
        (pl.col("tokens") * pl.col("latency_s")).sum().alias("time"),
        pl.col("at_s").last(),
    )
    assert total["tokens"].to_list() == pytest.approx(record["response_tokens"].to_list())
    assert (record["intended_s"] + total["time"]).to_list() == pytest.approx(
        total["at_s"].to_list(), abs=1e-6
    )
    table = seconds(record, window_s=1)
    assert table["tokens"].sum() == pytest.approx(record["response_tokens"].sum())
    assert table["asked"].sum() == table["ok"].sum() == record.height
    assert table["in_flight"].sum() == pytest.approx((record["ended_s"] - record["sent_s"]).sum(), abs=1e-6)
    assert requests(record)["e2e_s"].to_list() == pytest.approx(
        (record["ended_s"] - record["intended_s"]).to_list()
    )
