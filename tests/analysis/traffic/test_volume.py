"""Counts equal what NumPy counts; rates carry the spread that arrivals have, not Poisson's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burstlens.analysis.trace.trace import Trace, open_trace
from burstlens.analysis.traffic.volume import describe_volume

DAY_S = 86_400

MakeTrace = Callable[..., Trace]


@pytest.fixture(scope="module")
def log(traces: Callable[[str], Path]) -> pl.DataFrame:
    return pl.read_csv(traces("burstgpt_1_first7days.csv"))


def test_real_week_has_the_rows_and_tokens_of_its_log(week: Trace, log: pl.DataFrame) -> None:
    sizes = describe_volume(week).sizes
    everything = sizes.row(0, named=True)
    assert everything["n"] == len(log) == 19_431
    assert everything["request_tokens"] == log["Request tokens"].sum()
    assert everything["response_tokens"] == log["Response tokens"].sum()
    assert everything["failed"] == (log["Response tokens"] == 0).sum()
    for row in sizes.filter(pl.col("model").is_not_null()).iter_rows(named=True):
        kind = {"conversation": "Conversation log", "api": "API log"}[row["service"]]
        own = log.filter(pl.col("Log Type") == kind, pl.col("Model") == row["model"])
        assert row["n"] == len(own)
        assert row["share"] == pytest.approx(len(own) / len(log))
        assert row["request_tokens"] == own["Request tokens"].sum()


def test_real_week_counts_repeated_rows_without_dropping_them(week: Trace, log: pl.DataFrame) -> None:
    repeated = log.group_by(log.columns).len().filter(pl.col("len") > 1)
    row = describe_volume(week).sizes.row(0, named=True)
    assert (row["repeated"], row["repeated_groups"]) == (repeated["len"].sum(), len(repeated))


def test_real_week_rate_is_requests_over_observed_time(week: Trace) -> None:
    volume = describe_volume(week)
    assert volume.observed_s == 604_758 - 5 + 1
    assert volume.block_s == DAY_S
    rate = volume.rate_rps()
    assert rate.value == pytest.approx(19_431 / volume.observed_s)
    # Weekends differ from weekdays: days vary far more than Poisson counts would.
    poisson = 1.96 * np.sqrt(19_431) / volume.observed_s
    assert rate.high - rate.value > 5 * poisson


def test_unknown_selection_names_the_known_ones(week: Trace) -> None:
    with pytest.raises(KeyError, match="conversation · GPT-4"):
        describe_volume(week).rate_rps("nothing")


def test_hole_is_no_time_of_low_rate(make_trace: MakeTrace) -> None:
    first = np.arange(0, 10 * DAY_S, 100)
    second = np.arange(0, 10 * DAY_S, 50) + 114 * DAY_S
    volume = describe_volume(make_trace(np.concatenate([first, second])))
    assert volume.segments["n"].to_list() == [len(first), len(second)]
    assert volume.segments["hole_before_s"].to_list() == [None, second[0] - first[-1]]
    assert volume.observed_s == (first[-1] - first[0] + 1) + (second[-1] - second[0] + 1)
    assert volume.rate_rps().value == pytest.approx((len(first) + len(second)) / volume.observed_s)
    assert any("hole of 104 days" in sentence for sentence in volume.sentences())


@pytest.mark.slow
def test_rate_interval_covers_the_rate_of_a_poisson_trace(make_trace: MakeTrace) -> None:
    covered = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        arrival_s = np.sort(rng.uniform(0, 40 * DAY_S, rng.poisson(4_000)))
        rate = describe_volume(make_trace(arrival_s), seed=seed).rate_rps()
        covered += rate.low <= 4_000 / (40 * DAY_S) <= rate.high
    assert covered >= 34


def test_traces_without_tokens_say_so(traces: Callable[[str], Path]) -> None:
    volume = describe_volume(open_trace(traces("maf2_azure_functions_2021_200.csv")))
    assert volume.sizes["request_tokens"].to_list() == [None]
    assert "The log has no token counts." in volume.missing
    assert not any("tokens" in sentence for sentence in volume.sentences())


def test_short_traces_resample_minutes(traces: Callable[[str], Path]) -> None:
    volume = describe_volume(open_trace(traces("azure_llm_2023_conv.csv")))
    assert volume.block_s == 60
    assert volume.rows == 19_366
    rate = volume.rate_rps()
    assert rate.low < 19_366 / volume.observed_s < rate.high


def test_same_seed_same_answer(week: Trace) -> None:
    assert describe_volume(week, seed=3).sizes.equals(describe_volume(week, seed=3).sizes)


requests = st.lists(
    st.tuples(
        st.integers(0, 12),
        st.sampled_from(["conversation", "api"]),
        st.sampled_from(["ChatGPT", "GPT-4"]),
        st.integers(1, 2),
        st.integers(0, 2),
    ),
    min_size=1,
    max_size=40,
)


@pytest.mark.slow
@settings(max_examples=25)
@given(rows=requests)
def test_totals_and_repeats_agree_with_plain_python(make_trace: MakeTrace, rows: list[Any]) -> None:
    at, service, model, request_tokens, response_tokens = (
        list(column) for column in zip(*sorted(rows), strict=True)
    )
    trace = make_trace(
        at,
        service=service,
        model=model,
        request_tokens=request_tokens,
        response_tokens=response_tokens,
        failed=[t == 0 for t in response_tokens],
    )
    row = describe_volume(trace).sizes.row(0, named=True)
    repeated = [rows.count(r) for r in set(rows) if rows.count(r) > 1]
    assert row["n"] == len(rows)
    assert row["failed"] == response_tokens.count(0)
    assert row["request_tokens"] == sum(request_tokens)
    assert (row["repeated"], row["repeated_groups"]) == (sum(repeated), len(repeated))
