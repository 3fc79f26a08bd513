"""The synthetic BurstGPT against what is published about the real one, target by target."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from burstlens.analysis.core.errors import BurstlensError
from burstlens.analysis.synthetic.services import constants
from burstlens.analysis.synthetic.trace import (
    as_burstgpt,
    open_synthetic,
    synthesize,
    synthetic_info,
    write_synthetic,
)
from burstlens.analysis.trace.trace import COLUMNS, Trace, open_frame, open_trace
from burstlens.analysis.traffic.arrivals import describe_arrivals
from burstlens.analysis.traffic.window_fits import MIN_UNSHRUNK_GAPS

DAYS = 61
SEEDS = range(10)
PERCENTILES = (10, 25, 50, 75, 90, 95, 99)
WEEKEND = (3, 4)
"""Days of BurstGPT modulo 7 that are Saturday and Sunday."""

Truth = tuple[dict[str, Any], NDArray[np.int64], NDArray[np.int64]]


@pytest.fixture(scope="session")
def truth(traces: Callable[[str], Path]) -> Truth:
    """Published statistics, and the real hourly counts (day, hour) of conversation and API."""
    published = json.loads(traces("ground_truth.json").read_text())
    hourly = pl.read_csv(traces("burstgpt_1_hourly_by_service.csv")).sort("day", "hour")
    counts = [hourly[service].to_numpy().reshape(DAYS, 24) for service in ("conversation", "api")]
    return published, counts[0], counts[1]


def scorecard(trace: pl.DataFrame, truth: Truth) -> pl.DataFrame:
    """Every target of a synthetic trace of 61 days: `target`, `expected`, `tolerance`, `got`, `ok`."""
    published, real_conversation, real_api = truth
    published_file = published["BurstGPT_1"]
    card: list[tuple[str, float, float, float]] = []

    def near(target: str, expected: float, got: float, share: float) -> None:
        card.append((target, expected, abs(expected) * share, got))

    def within(target: str, low: float, high: float, got: float) -> None:
        card.append((target, (low + high) / 2, (high - low) / 2, got))

    near("rows", published_file["rows"], len(trace), 0.15)
    for column, counts, names in (
        ("service", published_file["log_types"], {"api": "API log", "conversation": "Conversation log"}),
        ("model", published_file["models"], {"ChatGPT": "ChatGPT", "GPT-4": "GPT-4"}),
    ):
        for name, in_log in names.items():
            share = (trace[column] == name).mean()
            card.append((f"share of {name}", counts[in_log] / published_file["rows"], 0.02, float(share)))  # type: ignore[arg-type]
    conversation = trace.filter(pl.col("service") == "conversation")
    api = trace.filter(pl.col("service") == "api")
    for part, rate, points in ((conversation, 0.0552, 0.005), (api, 0.0133, 0.003)):
        card.append((f"failures of {part['service'][0]}", rate, points, float(part["failed"].mean())))  # type: ignore[arg-type]
    failures = published["BurstGPT_1_fails_by_model"]
    for model in ("ChatGPT", "GPT-4"):
        got = trace.filter(pl.col("model") == model)["failed"].mean()
        near(f"failures of {model}", failures[model] / published_file["models"][model], float(got), 0.25)  # type: ignore[arg-type]

    talk, calls = hourly_counts(conversation), hourly_counts(api)
    profile = np.corrcoef(talk.mean(axis=0), real_conversation.mean(axis=0))[0, 1]
    within("hour-of-day profile, correlation with the real one", 0.97, 1.03, profile)
    near("weekday over weekend", weekday_ratio(real_conversation), weekday_ratio(talk), 0.10)
    near("CV of daily counts, conversation", 0.32, cv(talk.sum(axis=1)), 0.20)
    near("CV of daily counts, api", 1.26, cv(calls.sum(axis=1)), 0.25)
    near("empty hours, api", int((real_api == 0).sum()), int((calls == 0).sum()), 0.20)
    near("p99 over mean of hourly counts, api", 12.9, np.quantile(calls, 0.99) / calls.mean(), 0.25)

    gaps = np.diff(trace["arrival_s"].to_numpy())
    near("gap median", published_file["iat_s"]["median"], float(np.median(gaps)), 0.30)
    near("gap p95", published_file["iat_s"]["p95"], np.quantile(gaps, 0.95), 0.30)
    near("gap p99", published_file["iat_s"]["p99"], np.quantile(gaps, 0.99), 0.30)

    answered = trace.filter(~pl.col("failed"))
    tokens = published["BurstGPT_without_fails_1"]
    for column, side in (("request_tokens", "prompt_tokens"), ("response_tokens", "output_tokens")):
        values = answered[column].to_numpy()
        for p in PERCENTILES:
            near(f"{column} p{p}", tokens[side][f"p{p}"], np.quantile(values, p / 100), 0.15)

    turns = conversation.group_by("session").len()["len"].to_numpy()
    within("sessions of one request", 0.35, 0.5, (turns == 1).mean())
    within("turns median", 2, 2, float(np.median(turns)))
    near("turns mean", 4.2, turns.mean(), 0.15)
    within("sessions of four requests or fewer", 0.75, 1.0, (turns <= 4).mean())
    waits = conversation.select(pl.col("arrival_s").diff().over("session").drop_nulls()).to_series()
    near(
        "session gap median", published["BurstGPT_3"]["intra_session_gap_p50_s"], float(waits.median()), 0.20
    )  # type: ignore[arg-type]
    return pl.DataFrame(card, schema=["target", "expected", "tolerance", "got"], orient="row").with_columns(
        ok=((pl.col("got") - pl.col("expected")).abs() <= pl.col("tolerance") + 1e-9)
    )


def hourly_counts(trace: pl.DataFrame) -> NDArray[np.int64]:
    """Requests by day and hour, shape (61, 24)."""
    hours = trace["arrival_s"].to_numpy().astype(np.int64) // 3600
    return np.bincount(hours, minlength=DAYS * 24).reshape(DAYS, 24)


def weekday_ratio(counts: NDArray[np.int64]) -> float:
    """Requests of a mean weekday over those of a mean weekend day."""
    weekend = np.isin(np.arange(DAYS) % 7, WEEKEND)
    return float(counts[~weekend].sum(axis=1).mean() / counts[weekend].sum(axis=1).mean())


def cv(values: NDArray[np.int64]) -> float:
    """Coefficient of variation."""
    return float(values.std() / values.mean())


def median_shape(trace: Trace, selection: str) -> float:
    """Median Gamma shape of a selection's windows with enough gaps, by the project's estimator."""
    windows = describe_arrivals(trace).windows
    chosen = windows.filter((pl.col("selection") == selection) & (pl.col("gaps") >= MIN_UNSHRUNK_GAPS))
    return float(chosen["shape"].median())  # type: ignore[arg-type]


def conversation_shape(requests: pl.DataFrame) -> float:
    """`median_shape` of the conversation requests of a synthetic trace."""
    conversation = requests.filter(pl.col("service") == "conversation")
    # One model, so that nothing is fitted but what is asked for.
    conversation = conversation.with_columns(model=pl.lit("any"))
    trace = open_frame(conversation, synthetic_info(len(conversation), DAYS, 0))
    try:
        return median_shape(trace, "all")
    finally:
        trace.engine.close()


@pytest.fixture(scope="module")
def default() -> pl.DataFrame:
    """The embedded trace."""
    return synthesize()


@pytest.fixture(scope="module")
def ten(truth: Truth) -> pl.DataFrame:
    """Median of every target over ten seeds, and the shape's as a target more."""
    cards = []
    for seed in SEEDS:
        requests = synthesize(DAYS, seed)
        shape = pl.DataFrame({"target": ["shape"], "got": [conversation_shape(requests)]})
        cards.append(pl.concat([scorecard(requests, truth), shape], how="diagonal"))
    return (
        pl.concat(cards)
        .group_by("target", maintain_order=True)
        .agg(pl.col("expected", "tolerance").first(), pl.col("got").median())
        .with_columns(ok=((pl.col("got") - pl.col("expected")).abs() <= pl.col("tolerance") + 1e-9))
    )


@pytest.mark.slow
def test_default_seed_meets_every_target(default: pl.DataFrame, truth: Truth) -> None:
    missed = scorecard(default, truth).filter(~pl.col("ok"))
    assert missed.is_empty(), missed


@pytest.mark.slow
def test_median_of_ten_seeds_meets_every_target(ten: pl.DataFrame) -> None:
    missed = ten.filter(pl.col("target") != "shape").filter(~pl.col("ok"))
    assert missed.is_empty(), missed


def test_fitted_shape_is_the_real_week_s(default: pl.DataFrame, ten: pl.DataFrame, week: Trace) -> None:
    real = median_shape(week, "conversation")
    assert conversation_shape(default) == pytest.approx(real, rel=0.2)
    assert ten.filter(pl.col("target") == "shape")["got"].item() == pytest.approx(real, rel=0.2)


def test_scorecard_fails_a_trace_that_is_not_burstgpt(default: pl.DataFrame, truth: Truth) -> None:
    """The targets can be missed: by a trace with uniform arrivals, no failures and other lengths."""
    n = len(default)
    other = default.with_columns(
        arrival_s=pl.Series(np.sort(np.random.default_rng(1).integers(0, DAYS * 86_400, n))).cast(pl.Float64),
        failed=pl.lit(False),
        request_tokens=pl.col("request_tokens") * 2,
        response_tokens=pl.col("response_tokens") + 50,
    )
    missed = scorecard(other, truth).filter(~pl.col("ok"))["target"].to_list()
    assert {
        "failures of conversation", "failures of api", "empty hours, api", "gap p99", "request_tokens p50",
        "response_tokens p25", "weekday over weekend", "CV of daily counts, api", "session gap median",
    } <= set(missed)  # fmt: skip


def test_rows_are_those_of_a_trace(default: pl.DataFrame) -> None:
    assert dict(default.schema) == {name: kind() for name, kind in COLUMNS.items()}
    assert default["arrival_s"].is_sorted()
    assert (default["arrival_s"] == default["arrival_s"].floor()).all()
    assert default["arrival_s"].min() >= 0  # type: ignore[operator]
    assert default["arrival_s"].max() < DAYS * 86_400  # type: ignore[operator]
    assert default.drop("session").null_count().row(0) == (0,) * 7
    failed = default.filter(pl.col("failed"))
    assert (failed["response_tokens"] == 0).all()
    answered = default.filter(~pl.col("failed"))
    assert answered.select(pl.col("request_tokens", "response_tokens").min()).row(0) >= (1, 1)


def test_failures_with_a_prompt_are_as_rare_as_published(default: pl.DataFrame) -> None:
    failed = default.filter(pl.col("failed"))
    assert 0 < (failed["request_tokens"] > 0).sum() < 40


def test_sessions_are_on_conversation_rows_only(default: pl.DataFrame) -> None:
    assert (default["session"].is_not_null() == (default["service"] == "conversation")).all()
    assert default["session"].drop_nulls().str.starts_with("synthetic-").all()


def test_next_request_of_a_session_comes_after_the_answer(default: pl.DataFrame) -> None:
    turns = default.filter(pl.col("session").is_not_null())
    wait = turns.select(
        (pl.col("arrival_s").shift(-1).over("session") - pl.col("arrival_s")).alias("gap"), "elapsed_s"
    ).drop_nulls()
    # Requests of one session in the same second are the exception that whole-second stamps leave.
    assert ((wait["elapsed_s"] > wait["gap"]) & (wait["gap"] > 0)).sum() == 0
    assert (wait["gap"] == 0).mean() < 0.02  # type: ignore[operator]


def test_storms_last_and_hours_follow_the_clock(default: pl.DataFrame, truth: Truth) -> None:
    """Busy API hours come in runs and by hour of day, as in the real hourly counts."""
    busy = hourly_counts(default.filter(pl.col("service") == "api")).ravel() > 0
    real = truth[2].ravel() > 0
    for lag in (1, 24):
        measured, expected = (np.corrcoef(x[lag:], x[:-lag])[0, 1] for x in (busy, real))
        assert measured == pytest.approx(expected, abs=0.2)


def test_responses_dip_then_grow_with_requests(default: pl.DataFrame) -> None:
    """What the paper's Fig. 8 shows of ChatGPT conversation: about 250, 170, then up to 450 tokens."""
    answered = default.filter(
        (pl.col("service") == "conversation") & (pl.col("model") == "ChatGPT") & ~pl.col("failed")
    )

    def mean_response(low: int, high: int) -> float:
        inside = answered.filter(pl.col("request_tokens").is_between(low, high))
        return float(inside["response_tokens"].mean())  # type: ignore[arg-type]

    assert mean_response(0, 30) == pytest.approx(250, rel=0.15)
    assert mean_response(150, 350) == pytest.approx(180, rel=0.15)
    assert mean_response(1700, 2000) == pytest.approx(450, rel=0.15)


@settings(max_examples=12)
@given(
    days=st.floats(1 / 24, 9), seed=st.integers(0, 2**32), start=st.dates(date(2020, 1, 1), date(2030, 1, 1))
)
def test_any_length_and_seed_is_repeatable(days: float, seed: int, start: date) -> None:
    first = synthesize(days, seed, start=start)
    assert first.equals(synthesize(days, seed, start=start))
    assert first["arrival_s"].is_sorted()
    assert len(first) == 0 or float(first["arrival_s"][-1]) < days * 86_400


def test_other_seed_is_another_trace() -> None:
    assert not synthesize(2, 1).equals(synthesize(2, 2))


def test_a_service_does_not_depend_on_the_other() -> None:
    both = synthesize(3)
    for service in ("conversation", "api"):
        alone = synthesize(3, services=[service])
        assert alone.drop("session").equals(
            both.filter(pl.col("service") == service).drop("session"), null_equal=True
        )


@pytest.mark.slow
def test_long_traces_keep_the_laws() -> None:
    """200 days have the daily volume of 61 days, in both services."""
    long, usual = synthesize(200, 3), synthesize(DAYS, 3)
    assert len(long) / 200 == pytest.approx(len(usual) / DAYS, rel=0.03)
    shares = [(t["service"] == "api").mean() for t in (long, usual)]
    assert shares[0] == pytest.approx(shares[1], abs=0.01)


def test_scale_multiplies_rates() -> None:
    twice, once = (len(synthesize(20, 2, scale=scale)) for scale in (2.0, 1.0))
    assert twice / once == pytest.approx(2, rel=0.03)


def test_weekdays_follow_the_start() -> None:
    """Day 0 on a Saturday: days 0 and 1 modulo 7 are the quiet ones."""
    counts = synthesize(56, 3, services=["conversation"], start=date(2024, 6, 1))
    per_day = np.bincount(counts["arrival_s"].to_numpy().astype(int) // 86_400, minlength=56)
    by_weekday = per_day.reshape(8, 7).mean(axis=0)
    assert set(np.argsort(by_weekday)[:2]) == {0, 1}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"services": ["chat"]}, "chat"),
        ({"services": []}, "none"),
        ({"days": 0}, "above zero"),
        ({"days": float("nan")}, "above zero"),
        ({"scale": -1.0}, "above zero"),
    ],
)
def test_impossible_wishes_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        synthesize(**arguments)


@pytest.mark.parametrize("name", ["synthetic.parquet", "july.parquet", "synthetic_july.csv"])
def test_what_is_written_opens_as_synthetic(tmp_path: Path, name: str) -> None:
    info = write_synthetic(tmp_path / "deep" / name, 2, seed=5)
    requests = synthesize(2, seed=5)
    trace = open_trace(tmp_path / "deep" / name)
    assert trace.info.synthetic
    assert (trace.info.rows, trace.info.rejected, trace.info.resorted) == (info.rows, 0, 0)
    assert (trace.info.resolution_s, trace.info.has_sessions) == (1.0, True)
    assert trace.info.day0 == date(2023, 11, 1)
    columns = "request_tokens", "response_tokens", "elapsed_s", "failed", "session"
    read = trace.engine.table("requests").sort("arrival_s").select(columns)
    assert read["failed"].sum() == requests["failed"].sum()
    assert read["request_tokens"].sum() == requests["request_tokens"].sum()
    assert read["elapsed_s"].sum() == requests["elapsed_s"].sum()
    assert read["session"].n_unique() == requests["session"].n_unique()
    trace.engine.close()


def test_opened_and_written_at_once(tmp_path: Path) -> None:
    steps: list[tuple[str, float]] = []
    trace = open_synthetic(
        tmp_path / "s.parquet", days=1, seed=2, progress=lambda step, share: steps.append((step, share))
    )
    assert trace.info.synthetic
    assert "synthetic" in trace.info.name
    assert trace.info.rows == len(synthesize(1, 2)) == len(pl.read_parquet(tmp_path / "s.parquet"))
    assert {s.label for s in trace.selections} >= {"all", "conversation", "api", "api · GPT-4"}
    assert [share for _, share in steps] == sorted(share for _, share in steps)
    trace.engine.close()


@pytest.mark.parametrize("name", ["burstgpt.csv", "synthetic.json", "synthetic"])
def test_a_file_that_could_pass_for_real_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(BurstlensError, match="synthetic"):
        write_synthetic(tmp_path / name, 1)
    assert not list(tmp_path.iterdir())


def test_csv_has_the_columns_of_file_3(traces: Callable[[str], Path]) -> None:
    real = pl.read_csv(traces("burstgpt_3_first400.csv"))
    table = as_burstgpt(synthesize(1))
    assert table.columns == real.columns
    assert set(table["Log Type"]) == set(real["Log Type"])
    assert set(table["Model"]) == set(real["Model"])
    assert (table["Total tokens"] == table["Request tokens"] + table["Response tokens"]).all()


def test_constants_name_their_sources() -> None:
    """Every block of constants says where it is from, in the words of `sources`."""
    facts = constants()
    sources = set(facts["sources"]) | {"chosen"}
    blocks = [facts["failed_with_request_share"], facts["elapsed"]]
    blocks += [block for service in ("conversation", "api") for block in facts[service].values()]
    for block in blocks:
        assert block["source"].split(":")[0].split(" and ")[0] in sources, block["source"]
