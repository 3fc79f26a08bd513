"""Rates and their intervals against closed forms, planted spreads, and the real week."""

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
from burstlens.analysis.traffic.failures import (
    Failures,
    describe_failures,
    dispersion,
    odds_per_doubling,
    overdispersion,
)

DAY_S = 86_400

MakeTrace = Callable[..., Trace]


@pytest.fixture(scope="module")
def log(traces: Callable[[str], Path]) -> pl.DataFrame:
    return pl.read_csv(traces("burstgpt_1_first7days.csv")).with_columns(
        failed=pl.col("Response tokens") == 0,
        day=pl.col("Timestamp") // DAY_S,
        minute=pl.col("Timestamp") // 60,
    )


@pytest.fixture(scope="module")
def failures(week: Trace) -> Failures:
    return describe_failures(week)


def day_sums(n: np.ndarray, failed: np.ndarray) -> np.ndarray:
    columns = [np.ones_like(n), failed / n, n, n**2, failed, failed**2 / n]
    return np.stack(columns, axis=1).sum(axis=0)


def test_planted_beta_binomial_is_recovered() -> None:
    rng = np.random.default_rng(5)
    a, b = 4.0, 76.0
    found = []
    for _ in range(60):
        n = rng.integers(200, 4_000, size=60).astype(float)
        found.append(
            overdispersion(day_sums(n, rng.binomial(n.astype(int), rng.beta(a, b, 60)).astype(float)))
        )
    planted = 1 / (a + b + 1)
    assert np.median(found) == pytest.approx(planted, rel=0.1)


def test_independent_failures_have_no_overdispersion() -> None:
    rng = np.random.default_rng(6)
    n = rng.integers(200, 4_000, size=(200, 60)).astype(float)
    sums = np.array([day_sums(day, rng.binomial(day.astype(int), 0.05).astype(float)) for day in n])
    assert abs(np.mean(overdispersion(sums))) < 1e-4
    assert np.mean(dispersion(sums)) == pytest.approx(1, abs=0.05)


def test_dispersion_is_chi_squared_over_its_degrees_of_freedom() -> None:
    from scipy.stats import chi2_contingency

    n, failed = np.array([100.0, 250.0, 400.0, 90.0]), np.array([5.0, 30.0, 20.0, 9.0])
    statistic = chi2_contingency([failed, n - failed], correction=False).statistic
    assert dispersion(day_sums(n, failed)) == pytest.approx(statistic / 3)


@pytest.mark.slow
def test_intervals_of_days_cover_a_rate_that_changes_by_the_day(make_trace: MakeTrace) -> None:
    wilson_covers, days_cover = 0, 0
    for seed in range(30):
        rng = np.random.default_rng(seed)
        daily = rng.beta(4, 76, 40)
        day = np.repeat(np.arange(40), 200)
        at = np.sort(day * DAY_S + rng.integers(0, DAY_S, len(day)))
        failed = rng.random(len(day)) < daily[at // DAY_S]
        row = describe_failures(make_trace(at, failed=failed), seed=seed).rates.row(0, named=True)
        wilson_covers += row["rate_low"] <= 0.05 <= row["rate_high"]
        days_cover += row["rate_days_low"] <= 0.05 <= row["rate_days_high"]
        assert row["overdispersion"] > 0
    assert days_cover >= 25
    assert wilson_covers < days_cover


def test_slope_against_load_is_the_maximum_of_the_likelihood() -> None:
    import statsmodels.api as sm

    rng = np.random.default_rng(7)
    day = np.repeat(np.arange(30), 20)
    load = rng.integers(1, 200, len(day)).astype(float)
    n = rng.integers(5, 60, len(day)).astype(float)
    probability = 1 / (1 + np.exp(3 - 0.3 * np.log2(load)))
    failed = rng.binomial(n.astype(int), probability).astype(float)
    found = odds_per_doubling(load, n, failed, day)
    design = sm.add_constant(np.log2(load))
    fitted = sm.GLM(np.stack([failed, n - failed], axis=1), design, family=sm.families.Binomial()).fit()
    assert found.value == pytest.approx(np.exp(fitted.params[1]), rel=1e-6)
    assert found.low < np.exp(0.3) < found.high


def test_slope_is_unknown_where_nothing_can_be_learnt() -> None:
    load, n, day = np.array([1.0, 2.0, 4.0]), np.full(3, 50.0), np.arange(3)
    assert np.isnan(odds_per_doubling(load, n, np.zeros(3), day).value)
    assert np.isnan(odds_per_doubling(load, n, n, day).value)
    assert np.isnan(odds_per_doubling(np.full(3, 2.0), n, np.ones(3), day).value)
    few = odds_per_doubling(load, n, np.array([1.0, 2.0, 1.0]), day)
    assert np.isfinite(few.value)
    assert np.isnan(few.low)


def test_planted_failures_under_load_are_seen_and_binned(make_trace: MakeTrace) -> None:
    rng = np.random.default_rng(8)
    minutes = rng.choice(30 * 1440, 4_000, replace=False)
    at = np.sort(np.repeat(minutes, rng.integers(1, 33, len(minutes))) * 60)
    _, place, load = np.unique(at, return_inverse=True, return_counts=True)
    failed = rng.random(len(at)) < 1 / (1 + np.exp(4 - 0.5 * np.log2(load[place])))
    part = describe_failures(make_trace(at, failed=failed))
    slope = part.slopes.row(0, named=True)
    assert slope["odds_ratio_low"] < np.exp(0.5) < slope["odds_ratio_high"]
    assert slope["odds_ratio_low"] > 1
    bins = part.load
    assert bins["n"].sum() == len(at)
    assert bins["failed"].sum() == failed.sum()
    assert (bins["load_low"][1:] > bins["load_high"][:-1]).all()
    assert bins["rate"][-1] > bins["rate"][0]
    assert any("rise with the load" in sentence for sentence in part.sentences())


def test_real_week_counts_equal_the_log(failures: Failures, log: pl.DataFrame) -> None:
    rates = {row["selection"]: row for row in failures.rates.iter_rows(named=True)}
    assert (rates["all"]["n"], rates["all"]["failed"]) == (19_431, log["failed"].sum())
    own = log.filter(pl.col("Log Type") == "Conversation log", pl.col("Model") == "GPT-4")
    row = rates["conversation · GPT-4"]
    assert (row["n"], row["failed"]) == (len(own), own["failed"].sum())
    daily = own.group_by("day").agg(pl.col("failed").mean())["failed"].to_numpy()
    assert row["daily_mean"] == pytest.approx(daily.mean())
    box = failures.daily_boxes.filter(pl.col("selection") == row["selection"]).row(0, named=True)
    assert (box["q1"], box["median"], box["q3"]) == pytest.approx(np.quantile(daily, [0.25, 0.5, 0.75]))
    assert box["values"] == 7
    # The pooled rate is not the mean of daily rates, and the part tells both.
    assert row["rate"] != pytest.approx(row["daily_mean"], rel=0.01)


def test_real_week_says_that_its_failures_are_a_proxy(failures: Failures) -> None:
    assert failures.rule is not None
    assert any(failures.rule in sentence for sentence in failures.sentences())


def test_real_week_compares_models_within_a_service(failures: Failures, log: pl.DataFrame) -> None:
    talk = log.filter(pl.col("Log Type") == "Conversation log")
    rate = dict(talk.group_by("Model").agg(pl.col("failed").mean()).iter_rows())
    row = failures.compared.filter(pl.col("service") == "conversation").row(0, named=True)
    assert (row["first"], row["second"]) == ("ChatGPT", "GPT-4")
    assert row["difference"] == pytest.approx(rate["ChatGPT"] - rate["GPT-4"])
    # GPT-4 failed more often that week; with days drawn anew the difference has a wider interval.
    assert row["difference_high"] < 0
    assert (
        row["difference_days_high"] - row["difference_days_low"]
        > row["difference_high"] - row["difference_low"]
    )


def test_real_week_load_equals_numpy(week: Trace, log: pl.DataFrame) -> None:
    found = week.engine.ask("minute_load", minute_ticks=60.0)
    load = log.join(log.group_by("minute").len("load"), on="minute")
    expected = (
        load.group_by("day", "load").agg(pl.len().alias("n"), pl.col("failed").sum()).sort("day", "load")
    )
    both = found.group_by("day", "load").agg(pl.col("n", "failed").sum()).sort("day", "load")
    assert both.rows() == [tuple(map(int, row)) for row in expected.rows()]


requests = st.lists(
    st.tuples(st.integers(0, 3 * DAY_S * 10), st.sampled_from(["a", "b"]), st.booleans()),
    min_size=1,
    max_size=60,
)


@settings(max_examples=25)
@given(rows=requests)
def test_minute_load_agrees_with_plain_python(make_trace: MakeTrace, rows: list[Any]) -> None:
    rows = sorted(rows)
    tenths = np.array([row[0] for row in rows])
    trace = make_trace(
        tenths / 10, resolution_s=0.1, model=[row[1] for row in rows], failed=[row[2] for row in rows]
    )
    found = trace.engine.ask("minute_load", minute_ticks=60 / trace.info.resolution_s)
    names = dict(trace.engine.table("streams").select("stream_id", "model").iter_rows())
    minute = tenths // 600
    expected: dict[tuple[str, int, int], list[int]] = {}
    for at, (_, model, failed) in zip(minute, rows, strict=True):
        key = (model, int(at // 1440), int(np.count_nonzero(minute == at)))
        counted = expected.setdefault(key, [0, 0])
        counted[0] += 1
        counted[1] += failed
    assert {(names[s], day, load): [n, failed] for s, day, load, n, failed in found.iter_rows()} == expected


def test_logs_that_tell_no_failures_are_missing_them(traces: Callable[[str], Path]) -> None:
    part = describe_failures(open_trace(traces("azure_llm_2023_conv.csv")))
    assert part.missing == ("The log does not say which requests failed.",)
    assert part.sentences() == []
    assert all(table.is_empty() for table in part.tables().values())
    assert part.rates.columns[:6] == ["selection", "service", "model", "n", "failed", "rate"]


def test_one_day_has_no_spread_over_days(make_trace: MakeTrace) -> None:
    part = describe_failures(make_trace(np.arange(0, 3_600, 10), failed=np.arange(360) % 9 == 0))
    row = part.rates.row(0, named=True)
    assert row["failed"] == 40
    assert np.isnan(row["overdispersion"])
    assert any("single day" in sentence for sentence in part.missing)
    assert not any("nan" in sentence for sentence in part.sentences())


def test_trace_without_a_failure_has_a_rate_of_zero(make_trace: MakeTrace) -> None:
    part = describe_failures(make_trace(np.arange(0, 10 * DAY_S, 500)))
    row = part.rates.row(0, named=True)
    assert (row["failed"], row["rate"], row["rate_low"]) == (0, 0, 0)
    assert row["rate_high"] > 0
    assert not any("nan" in sentence for sentence in part.sentences())


def test_same_seed_same_answer(week: Trace, failures: Failures) -> None:
    again = describe_failures(week)
    assert all(again.tables()[name].equals(table) for name, table in failures.tables().items())
