"""Sessions laid out by hand, planted laws, the coverage of intervals, and the real sample of file 3."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from burstlens.analysis.conversations.laws import (
    TURN_LAWS,
    Geometric,
    IntervalLogNormal,
    IntervalWeibull,
    NegativeBinomial,
    PowerLaw,
    coarse_histogram,
)
from burstlens.analysis.conversations.part import Conversations, describe_conversations
from burstlens.analysis.conversations.sessions import Sessions, quantile_over, relation, share_over
from burstlens.analysis.stats import likelihood
from burstlens.analysis.stats.likelihood import Family, Histogram
from burstlens.analysis.trace.trace import Trace, open_trace

MakeTrace = Callable[..., Trace]
DAY_S = 86_400


def planted_trace(
    make_trace: MakeTrace, turns: NDArray[np.int64], gaps: NDArray[np.float64], seed: int
) -> Trace:
    """A trace of sessions with these numbers of turns; gaps are used up in order."""
    rng = np.random.default_rng(seed)
    session = np.repeat(np.arange(len(turns)), turns)
    since = np.where(np.diff(session, prepend=-1) > 0, 0.0, gaps[: len(session)])
    elapsed = np.cumsum(since)
    first = np.concatenate(([0], np.cumsum(turns)[:-1]))
    at = np.floor(rng.uniform(0, 60 * DAY_S, len(turns))[session] + elapsed - elapsed[first][session])
    order = np.argsort(at, kind="stable")
    return make_trace(at[order], session=[f"s{i}" for i in session[order]])


@pytest.fixture(scope="module")
def sample(traces: Callable[[str], Path]) -> Conversations:
    return describe_conversations(open_trace(traces("burstgpt_3_first400.csv")))


@pytest.fixture(scope="module")
def log(traces: Callable[[str], Path]) -> pl.DataFrame:
    return (
        pl.read_csv(traces("burstgpt_3_first400.csv"))
        .filter(pl.col("Session ID").is_not_null())
        .sort("Session ID", "Timestamp")
        .with_columns(
            gap=pl.col("Timestamp").diff().over("Session ID"),
            turns=pl.len().over("Session ID"),
            waited=pl.col("Elapsed time").shift(1).over("Session ID"),
        )
    )


def summary(part: Conversations) -> dict[str, dict[str, Any]]:
    return {row["measure"]: row for row in part.turns_summary.iter_rows(named=True)}


# Laws.

LAWS: list[tuple[Family, NDArray[np.float64]]] = [
    (Geometric(), np.array([-0.8])),
    (PowerLaw(), np.array([0.3])),
    (NegativeBinomial(), np.log([0.6, 3.0])),
]


@pytest.mark.parametrize(("law", "theta"), LAWS, ids=[law.name for law, _ in LAWS])
def test_turn_laws_are_distributions(law: Family, theta: NDArray[np.float64]) -> None:
    k = np.arange(1.0, 3_001.0)
    mass = np.exp(law.log_probability(theta, k))
    np.testing.assert_allclose(law.cumulative(theta, k), np.cumsum(mass), atol=1e-9)
    assert law.cumulative(theta, k)[-1] > 0.999


@pytest.mark.parametrize("law", [IntervalLogNormal(1.0), IntervalWeibull(1.0)], ids=["log-normal", "weibull"])
def test_interval_laws_put_their_mass_on_the_clock(law: Family) -> None:
    theta = np.array([3.0, 0.2]) if law.name == "log-normal" else np.array([-0.4, 3.5])
    k = np.arange(0.0, 20_000.0)
    assert np.exp(law.log_probability(theta, k)).sum() == pytest.approx(1, abs=2e-3)


def test_geometric_and_negative_binomial_are_scipys() -> None:
    k = np.arange(1.0, 60.0)
    stop = 1 / (1 + np.exp(0.8))
    geometric = Geometric().log_probability(np.array([-0.8]), k)
    np.testing.assert_allclose(geometric, stats.geom.logpmf(k, stop), atol=1e-10)
    found = NegativeBinomial().log_probability(np.log([0.6, 3.0]), k)
    np.testing.assert_allclose(found, stats.nbinom.logpmf(k - 1, 0.6, 0.6 / 3.6), atol=1e-10)


def draws_of(name: str, rng: np.random.Generator, n: int) -> NDArray[np.float64]:
    if name == "geometric":
        return rng.geometric(0.3, n).astype(np.float64)
    if name == "power law":
        return rng.zipf(2.4, n).astype(np.float64)
    return 1.0 + rng.poisson(rng.gamma(0.5, 3.2 / 0.5, n)).astype(np.float64)


@pytest.mark.parametrize(
    ("name", "planted"),
    [
        ("geometric", {"stop": 0.3}),
        ("power law", {"exponent": 2.4}),
        ("negative binomial", {"size": 0.5, "more": 3.2}),
    ],
)
def test_planted_turn_laws_are_recovered_and_covered(name: str, planted: dict[str, float]) -> None:
    rng = np.random.default_rng(11)
    law = next(law for law in TURN_LAWS if law.name == name)
    covered = dict.fromkeys(planted, 0)
    for _ in range(40):
        fit = likelihood.fit(law, Histogram.of(draws_of(name, rng, 1_500)))
        for parameter, value in planted.items():
            found = fit.parameters[parameter]
            covered[parameter] += found.low <= value <= found.high
            assert found.value == pytest.approx(value, rel=0.25)
    assert all(count >= 34 for count in covered.values())


@pytest.mark.parametrize("law", [IntervalLogNormal(1.0), IntervalWeibull(1.0)], ids=["log-normal", "weibull"])
def test_planted_intervals_are_recovered_from_floored_seconds(law: Family) -> None:
    rng = np.random.default_rng(12)
    normal = law.name == "log-normal"
    drawn = rng.lognormal(np.log(90), 1.4, 20_000) if normal else 120 * rng.weibull(0.6, 20_000)
    at = rng.random(20_000)
    fit = likelihood.fit(law, coarse_histogram(np.floor(at + drawn), 1.0))
    planted = {"median_s": 90, "sigma": 1.4} if normal else {"shape": 0.6, "scale_s": 120}
    for parameter, value in planted.items():
        assert fit.parameters[parameter].value == pytest.approx(value, rel=0.03)


def test_coarse_histogram_keeps_count_and_quantiles() -> None:
    values = np.random.default_rng(13).lognormal(5, 2, 50_000).round()
    histogram = coarse_histogram(values, 1.0)
    assert histogram.n == len(values)
    assert len(histogram.values) < 2_000
    for q in (0.1, 0.5, 0.9, 0.99):
        assert float(histogram.quantile(q)) == pytest.approx(np.quantile(values, q), rel=0.01, abs=1)


def test_exponential_and_power_law_declines_have_their_own_verdicts(make_trace: MakeTrace) -> None:
    rng = np.random.default_rng(14)
    for turns, sign in ((rng.geometric(0.3, 800), 1), (np.minimum(rng.zipf(2.2, 800), 300), -1)):
        part = describe_conversations(planted_trace(make_trace, turns, rng.lognormal(4, 1, turns.sum()), 1))
        row = part.decline.row(0, named=True)
        assert sign * row["ratio"] > 0
        assert (row["ratio_low"] > 0) == (sign > 0)
        assert (row["ratio_high"] < 0) == (sign < 0)
        phrase = "exponentially rather than as a power law" if sign > 0 else "decline as a power law"
        assert any(phrase in sentence for sentence in part.sentences())


# Estimators with sessions as clusters.


def clustered(rng: np.random.Generator, sessions: int) -> tuple[Sessions, NDArray[np.bool_]]:
    """Sessions whose intervals are long together: a probability of their own, 0.3 in the mean."""
    turns = rng.integers(2, 15, sessions)
    owner = np.repeat(np.arange(sessions), turns - 1)
    hits = rng.random(len(owner)) < rng.beta(0.6, 1.4, sessions)[owner]
    gap_s = np.where(hits, 1_000.0, 10.0)
    return Sessions(turns, np.zeros(sessions, bool), 0.0, gap_s, None, owner), hits


def test_shares_cover_though_intervals_of_a_session_are_alike() -> None:
    rng = np.random.default_rng(15)
    covered = naive = 0
    for _ in range(200):
        sessions, hits = clustered(rng, 60)
        found = share_over(sessions, hits)
        covered += found.low <= 0.3 <= found.high
        error = 1.96 * np.sqrt(0.21 / len(hits))
        naive += abs(found.value - 0.3) <= error
    assert covered >= 184
    assert naive < covered - 20


def test_quantiles_cover_though_intervals_of_a_session_are_alike() -> None:
    rng = np.random.default_rng(16)
    covered = 0
    for _ in range(200):
        turns = rng.integers(2, 8, 120)
        owner = np.repeat(np.arange(120), turns - 1)
        gap_s = np.exp(rng.normal(0, 1, 120)[owner] + rng.normal(0, 1, len(owner)))
        sessions = Sessions(turns, np.zeros(120, bool), 0.0, gap_s, None, owner)
        found = quantile_over(sessions, gap_s, 0.9)
        covered += found.low <= np.exp(stats.norm.ppf(0.9) * np.sqrt(2)) <= found.high
    assert covered >= 182


def test_no_hit_in_few_sessions_leaves_room_for_some() -> None:
    sessions = Sessions(np.array([3, 3]), np.zeros(2, bool), 0.0, np.ones(4), None, np.array([0, 0, 1, 1]))
    found = share_over(sessions, np.zeros(4, bool))
    assert found.low == 0
    assert found.high > 0.4


def test_relation_with_ranks_is_spearmans() -> None:
    rng = np.random.default_rng(17)
    turns = rng.geometric(0.3, 400)
    noisy = turns + rng.normal(0, 4, 400)
    found = relation(turns, stats.rankdata(noisy))
    assert found.value == pytest.approx(stats.spearmanr(turns, noisy).statistic)
    assert found.low > 0


def test_relation_covers_zero_where_turns_and_intervals_are_independent() -> None:
    rng = np.random.default_rng(21)
    covered = biased = 0
    for _ in range(200):
        turns = rng.geometric(0.3, 500) + 1
        owner = np.repeat(np.arange(500), turns - 1)
        share = np.bincount(owner, rng.random(len(owner)) < 0.25) / (turns - 1)
        found = relation(turns, share)
        covered += int(found.low <= 0 <= found.high)
        biased += int(stats.spearmanr(turns, share).pvalue < 0.05)
    assert covered >= 182
    # The reason not to take the rank of a share: it sees a relation where there is none.
    assert biased > 150


# Sessions laid out by hand.


@pytest.fixture(scope="module")
def by_hand(make_trace: MakeTrace) -> Trace:
    """Three sessions and a request without one; a: 3 turns, b: 2, c: 1."""
    at = [1000, 1010, 1100, 1150, 1300, 50_000, 90_000]
    return make_trace(
        at,
        session=["a", "b", "a", "b", "a", "c", None],
        elapsed_s=[5.0, 200.0, None, 3.0, 4.0, 5.0, 6.0],
    )


def test_turns_gaps_and_idle_times_by_hand(by_hand: Trace) -> None:
    part = describe_conversations(by_hand)
    rows = summary(part)
    assert part.turns.select("turns", "sessions").rows() == [(1, 1), (2, 1), (3, 1)]
    assert rows["single_share"]["value"] == pytest.approx(1 / 3)
    assert (rows["median"]["value"], rows["mean"]["value"]) == (2, 2)
    # a: 100 and 200 s; b: 140 s, sent 60 s before its first answer had ended; one elapsed time is unknown.
    assert rows["interval_median_s"]["value"] == 140
    assert rows["interval_mean_s"]["value"] == pytest.approx(440 / 3)
    assert rows["overlap_share"]["value"] == pytest.approx(1 / 2)
    intervals = {(row["since"], row["turns"]): row for row in part.intervals.iter_rows(named=True)}
    assert intervals["request", "3"]["mean_s"] == 150
    assert intervals["request", "2"]["intervals"] == 1
    assert intervals["response", "3"]["mean_s"] == 95
    assert intervals["response", "2"]["median_s"] == -60


def test_long_intervals_by_hand(by_hand: Trace) -> None:
    long = describe_conversations(by_hand).long
    rows = {(row["bound"], row["turns"]): row for row in long.iter_rows(named=True)}
    assert rows["60 s", "3"]["per_session"] == 2
    assert rows["300 s", "3"]["per_session"] == 0
    assert rows["60 s", "2"]["share"] == 1
    assert rows["60 s", "3"]["if_alike"] == 2
    low, high = np.quantile([100, 140, 200], [0.25, 0.75])
    assert rows["IQR", "2"]["bound_s"] == pytest.approx(high + 1.5 * (high - low))
    assert rows["IQR of logs", "2"]["bound_s"] == pytest.approx(high * (high / low) ** 1.5)


def test_sessions_near_an_edge_of_the_record_are_counted(make_trace: MakeTrace) -> None:
    rng = np.random.default_rng(18)
    # Every session has gaps of exactly 100 s; only the first and the last lie within 100 s of an edge.
    starts = np.concatenate(([0], np.sort(rng.integers(1_000, 99_000, 38)), [100_000]))
    at = np.sort(np.concatenate([starts, starts + 100, starts + 200]))
    session: dict[str, int] = {}
    for i, start in enumerate(starts):
        session |= {(start + step): f"s{i}" for step in (0, 100, 200)}
    part = describe_conversations(make_trace(at, session=[session[t] for t in at]))
    row = summary(part)["cut_share"]
    sessions = row["sessions"]
    assert row["value"] * sessions == pytest.approx(2)


def test_a_load_without_relation_shows_none(make_trace: MakeTrace) -> None:
    rng = np.random.default_rng(19)
    turns = rng.geometric(0.3, 1_500)
    part = describe_conversations(planted_trace(make_trace, turns, rng.lognormal(5, 1.3, turns.sum()), 2))
    relation = {row["of"]: row for row in part.relations.iter_rows(named=True)}
    share, number = relation["share over 300 s"], relation["number over 300 s"]
    assert share["correlation_low"] < 0 < share["correlation_high"]
    assert number["correlation_low"] > 0.2
    # What more turns alone would do is what is seen.
    long = part.long.filter(pl.col("bound") == "300 s", pl.col("sessions") >= 30)
    assert (long["per_session"] - long["if_alike"]).abs().max() < 0.35
    models = {row["family"]: row["best"] for row in part.interval_models.iter_rows(named=True)}
    assert models["log-normal"]
    assert not models["weibull"]


def test_order_of_rows_and_names_of_sessions_do_not_matter() -> None:
    rng = np.random.default_rng(20)
    rows = pl.DataFrame(
        {
            "session_number": rng.integers(0, 40, 200),
            "tick": rng.integers(0, 10_000, 200),
            "elapsed_s": rng.integers(0, 50, 200).astype(float),
        }
    )
    edges = [(0.0, 10_000.0)]
    first = Sessions.of(rows, 1.0, edges)
    second = Sessions.of(rows.sample(fraction=1, shuffle=True, seed=1), 1.0, edges)
    np.testing.assert_array_equal(first.gap_s, second.gap_s)
    np.testing.assert_array_equal(first.idle_s, second.idle_s)
    renamed = Sessions.of(rows.with_columns(session_number=39 - pl.col("session_number")), 1.0, edges)
    assert sorted(renamed.turns) == sorted(first.turns)
    assert renamed.gap_s.sum() == first.gap_s.sum()


def test_traces_without_sessions_say_so(week: Trace) -> None:
    part = describe_conversations(week)
    assert part.missing == (
        "The log has no sessions, so turns per conversation and the time between them are unknown.",
    )
    assert part.sentences() == []
    assert all(table.is_empty() for table in part.tables().values())
    assert part.turns_summary.columns[:5] == ["selection", "service", "model", "measure", "sessions"]


def test_traces_without_elapsed_times_say_so(make_trace: MakeTrace) -> None:
    part = describe_conversations(make_trace([0, 10, 30, 90], session=["a", "a", "b", "b"]))
    assert any("no elapsed time" in sentence for sentence in part.missing)
    assert set(part.intervals["since"]) == {"request"}
    assert "overlap_share" not in summary(part)


def test_single_requests_only_are_described_without_intervals(make_trace: MakeTrace) -> None:
    part = describe_conversations(make_trace([0, 10, 30], session=["a", "b", "c"]))
    assert summary(part)["single_share"]["value"] == 1
    assert part.intervals.is_empty()
    assert part.interval_models.is_empty()
    assert not any("nan" in sentence for sentence in part.sentences())


def test_unknown_measure_is_an_error(sample: Conversations) -> None:
    assert sample.measure("conversation", "median").value == 2
    with pytest.raises(KeyError, match="no 'mode'"):
        sample.measure("conversation", "mode")


# The real sample.


def test_real_sample_counts_equal_the_log(sample: Conversations, log: pl.DataFrame) -> None:
    turns = log.group_by("Session ID").len()["len"]
    rows = summary(sample)
    assert rows["mean"]["sessions"] == len(turns) == 135
    assert rows["single_share"]["value"] == pytest.approx((turns == 1).mean())
    assert rows["four_or_fewer"]["value"] == pytest.approx((turns <= 4).mean())
    assert rows["mean"]["value"] == pytest.approx(394 / 135)
    assert rows["median"]["value"] == turns.median()
    assert dict(sample.turns.select("turns", "sessions").iter_rows()) == dict(
        turns.value_counts().iter_rows()
    )
    gaps = log["gap"].drop_nulls()
    assert rows["interval_median_s"]["value"] == gaps.sort()[int(np.ceil(len(gaps) / 2)) - 1]
    assert rows["interval_mean_s"]["value"] == pytest.approx(gaps.mean())


def test_real_sample_intervals_by_turns_equal_the_log(sample: Conversations, log: pl.DataFrame) -> None:
    for row in sample.intervals.iter_rows(named=True):
        group = log.filter(pl.col("turns").is_between(row["turns_low"], row["turns_high"] or 10_000))
        idle = group["gap"] - group["waited"] if row["since"] == "response" else group["gap"]
        values = idle.drop_nulls().sort()
        assert row["intervals"] == len(values)
        assert row["mean_s"] == pytest.approx(values.mean())
        assert row["p90_s"] == values[int(np.ceil(0.9 * len(values))) - 1]


def test_real_sample_long_intervals_equal_the_log(sample: Conversations, log: pl.DataFrame) -> None:
    for row in sample.long.iter_rows(named=True):
        group = log.filter(pl.col("turns").is_between(row["turns_low"], row["turns_high"] or 10_000))
        over = (group["gap"].drop_nulls() > row["bound_s"]).sum()
        assert row["per_session"] == pytest.approx(over / group["Session ID"].n_unique())
        assert row["share"] == pytest.approx(over / group["gap"].drop_nulls().len())


def test_real_sample_speaks_of_one_service_and_is_deterministic(
    sample: Conversations, traces: Callable[[str], Path]
) -> None:
    assert set(sample.turns_summary["selection"]) == {"conversation"}
    again = describe_conversations(open_trace(traces("burstgpt_3_first400.csv")))
    assert all(again.tables()[name].equals(table) for name, table in sample.tables().items())


rows_of_sessions = st.lists(
    st.tuples(st.integers(0, 500), st.sampled_from(["a", "b", "é'; DROP", None])), min_size=1, max_size=30
)


@pytest.mark.slow
@settings(max_examples=25)
@given(rows=rows_of_sessions)
def test_session_requests_agree_with_plain_python(
    make_trace: MakeTrace, rows: list[tuple[int, str | None]]
) -> None:
    rows = sorted(rows, key=lambda row: row[0])
    found = make_trace([at for at, _ in rows], session=[name for _, name in rows])
    numbered = found.engine.ask("session_requests")
    names = sorted({name for _, name in rows if name is not None}, key=lambda name: name.encode())
    expected = sorted((names.index(name) + 1, at) for at, name in rows if name is not None)
    assert sorted(numbered.select("session_number", "tick").iter_rows()) == expected
