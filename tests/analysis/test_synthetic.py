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
from burstlens.analysis.synthetic import DAY_S, as_burstgpt, constants, synthesize, write_synthetic
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

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
    """Every target of a synthetic trace of 61 days: `target`, `wanted`, `tolerance`, `got`, `ok`."""
    published, real_conversation, real_api = truth
    whole = published["BurstGPT_1"]
    card: list[tuple[str, float, float, float]] = []

    def near(target: str, wanted: float, got: float, share: float) -> None:
        card.append((target, wanted, abs(wanted) * share, got))

    def within(target: str, low: float, high: float, got: float) -> None:
        card.append((target, (low + high) / 2, (high - low) / 2, got))

    near("rows", whole["rows"], len(trace), 0.15)
    for column, counts, names in (
        ("service", whole["log_types"], {"api": "API log", "conversation": "Conversation log"}),
        ("model", whole["models"], {"ChatGPT": "ChatGPT", "GPT-4": "GPT-4"}),
    ):
        for name, in_log in names.items():
            share = (trace[column] == name).mean()
            card.append((f"share of {name}", counts[in_log] / whole["rows"], 0.02, float(share)))  # type: ignore[arg-type]
    conversation = trace.filter(pl.col("service") == "conversation")
    api = trace.filter(pl.col("service") == "api")
    for part, rate, points in ((conversation, 0.0552, 0.005), (api, 0.0133, 0.003)):
        card.append((f"failures of {part['service'][0]}", rate, points, float(part["failed"].mean())))  # type: ignore[arg-type]
    failures = published["BurstGPT_1_fails_by_model"]
    for model in ("ChatGPT", "GPT-4"):
        got = trace.filter(pl.col("model") == model)["failed"].mean()
        near(f"failures of {model}", failures[model] / whole["models"][model], float(got), 0.25)  # type: ignore[arg-type]

    talk, calls = hourly_counts(conversation), hourly_counts(api)
    profile = np.corrcoef(talk.mean(axis=0), real_conversation.mean(axis=0))[0, 1]
    within("hour-of-day profile, correlation with the real one", 0.97, 1.03, profile)
    near("weekday over weekend", weekday_ratio(real_conversation), weekday_ratio(talk), 0.10)
    near("CV of daily counts, conversation", 0.32, cv(talk.sum(axis=1)), 0.20)
    near("CV of daily counts, api", 1.26, cv(calls.sum(axis=1)), 0.25)
    near("empty hours, api", int((real_api == 0).sum()), int((calls == 0).sum()), 0.20)
    near("p99 over mean of hourly counts, api", 12.9, np.quantile(calls, 0.99) / calls.mean(), 0.25)

    gaps = np.diff(trace["arrival_s"].to_numpy())
    near("gap median", whole["iat_s"]["median"], float(np.median(gaps)), 0.30)
    near("gap p95", whole["iat_s"]["p95"], np.quantile(gaps, 0.95), 0.30)
    near("gap p99", whole["iat_s"]["p99"], np.quantile(gaps, 0.99), 0.30)

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
    return pl.DataFrame(card, schema=["target", "wanted", "tolerance", "got"], orient="row").with_columns(
        ok=((pl.col("got") - pl.col("wanted")).abs() <= pl.col("tolerance") + 1e-9)
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
