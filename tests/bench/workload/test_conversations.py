"""Conversations drawn from laws: the laws come back, prompts grow, and arrivals stay where they were."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from burstlens.analysis.characterize import Characterization
from burstlens.analysis.conversations.part import describe_conversations
from burstlens.analysis.core.errors import BurstlensError
from burstlens.analysis.interchange.parameters import parameters
from burstlens.analysis.logs.trace_info import TraceInfo
from burstlens.analysis.stats.draw import FittedLaw
from burstlens.analysis.trace.trace import COLUMNS, Trace, open_frame
from burstlens.bench.client.send_plan import SendPlan
from burstlens.bench.workload.conversations import SessionLaws, with_conversations
from burstlens.bench.workload.from_parameters import constant, from_parameters
from burstlens.bench.workload.table import SCHEMA, Workload

LAWS = SessionLaws(
    FittedLaw("negative binomial", {"size": 0.4, "more": 3.3}),
    FittedLaw("log-normal", {"median_s": 150, "sigma": 1.5}),
)


def as_trace(load: Workload) -> Trace:
    """A workload of conversations as a log of milliseconds."""
    frame = load.requests.select(
        arrival_s=(pl.col("at_s") * 1000).floor() / 1000,
        service=pl.lit("chat"),
        model=pl.lit("m"),
        session=pl.col("session").cast(pl.String),
        request_tokens="request_tokens",
        response_tokens="response_tokens",
        elapsed_s=pl.lit(None),
        failed=pl.lit(False),
    ).cast(COLUMNS)  # type: ignore[arg-type]
    info = TraceInfo(
        "drawn", "frame", (), len(frame), 0, 0, 1e-3, None, synthetic=True, has_sessions=True
    )  # fmt: skip
    return open_frame(frame, info)


def in_turn(load: Workload, column: str) -> pl.Series:
    """How much a column grows from each turn of a session to the next."""
    ordered = load.requests.sort("session", "turn")
    return ordered.select(pl.col(column).diff().over("session")).to_series().drop_nulls()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("turns", "interval"),
    [
        (LAWS.turns, LAWS.interval),
        (FittedLaw("geometric", {"stop": 0.3}), FittedLaw("weibull", {"shape": 0.6, "scale_s": 200.0})),
        (
            FittedLaw("power law", {"exponent": 2.5}),
            FittedLaw("log-normal", {"median_s": 60.0, "sigma": 1.0}),
        ),
    ],
)
def test_a_refit_gives_back_the_laws_of_turns_and_intervals(turns: FittedLaw, interval: FittedLaw) -> None:
    """In a load so long that few sessions are cut by its ends, and so dense that stamps move little."""
    plain = constant(0.8, 2, 1.1, duration_s=100_000, rate_rps=2.0, seed=2)
    found = describe_conversations(as_trace(with_conversations(plain, SessionLaws(turns, interval))))
    for law, table in ((turns, found.turn_models), (interval, found.interval_models)):
        fitted = {row["parameter"]: row for row in table.filter(pl.col("family") == law.name).to_dicts()}
        assert {row["family"] for row in table.filter("best").to_dicts()} == {law.name}
        for name, truth in law.parameters.items():
            assert fitted[name]["value"] == pytest.approx(truth, rel=0.05)


def test_arrivals_and_pairs_of_lengths_stay_as_they_were() -> None:
    plain = constant(0.5, 2, 0.9, duration_s=5000, rate_rps=1.0)
    talking = with_conversations(plain, LAWS)
    for column in ("request_id", "at_s"):
        assert talking.requests[column].equals(plain.requests[column])
    pairs = ["request_tokens", "response_tokens"]
    assert talking.requests.select(pairs).sort(pairs).equals(plain.requests.select(pairs).sort(pairs))
    assert dict(talking.requests.schema) == dict(pl.DataFrame(schema=SCHEMA).schema)
    assert talking.requests["think_s"].null_count() == len(talking.requests)
    assert json.loads(json.dumps(talking.recipe)) == talking.recipe


@given(st.integers(1, 400), st.floats(0.05, 0.95), st.floats(0.01, 1e5), st.integers(0, 50))
def test_every_request_is_one_turn_and_turns_count_from_zero_in_their_order(
    n: int, stop: float, median_s: float, seed: int
) -> None:
    laws = SessionLaws(
        FittedLaw("geometric", {"stop": stop}), FittedLaw("log-normal", {"median_s": median_s, "sigma": 2.0})
    )
    talking = with_conversations(constant(0.5, 1, 1.1, requests=n, seed=seed), laws, think=True, seed=seed)
    ordered = talking.requests.sort("session", "turn")
    counted = ordered.select(pl.int_range(pl.len()).over("session")).to_series()
    assert ordered["turn"].to_list() == counted.to_list()
    assert in_turn(talking, "at_s").min() is None or in_turn(talking, "at_s").min() >= 0  # type: ignore[operator]
    # Sessions are numbered as they begin.
    begins = ordered.filter(pl.col("turn") == 0)
    assert begins["session"].to_list() == list(range(len(begins)))
    assert begins["request_id"].is_sorted()
    assert ordered.filter(pl.col("turn") > 0)["think_s"].null_count() == 0


def test_prompts_grow_with_the_conversation() -> None:
    plain = constant(0.5, 2, 0.8, duration_s=5000, rate_rps=1.0)
    assert in_turn(with_conversations(plain, LAWS), "request_tokens").min() >= 0  # type: ignore[operator]


def test_with_a_context_prompts_contain_the_conversation_so_far() -> None:
    plain = constant(0.5, 2, 0.8, duration_s=5000, rate_rps=1.0, max_tokens=(300, 200))
    talking = with_conversations(plain, LAWS, context=1000)
    rows = talking.requests.join(plain.requests.select("request_id", new="request_tokens"), on="request_id")
    for session in rows.sort("session", "turn").partition_by("session"):
        history = 0
        for new, request, response in session.select("new", "request_tokens", "response_tokens").iter_rows():
            assert request == max(1, min(history + new, 1000 - response))
            history += new + response
    assert (
        talking.requests.select(pl.sum_horizontal("request_tokens", "response_tokens").max()).item() <= 1000
    )


def test_thinking_follows_the_law_and_waits_for_the_answer_before() -> None:
    plain = constant(0.5, 2, 1.1, duration_s=200_000, rate_rps=0.2)
    talking = with_conversations(plain, LAWS, think=True)
    think = talking.requests["think_s"].drop_nulls().to_numpy()
    assert np.median(think) == pytest.approx(150, rel=0.05)
    assert np.log(think).std() == pytest.approx(1.5, rel=0.05)
    plan = SendPlan.of(talking)
    assert len(plan.scheduled) == talking.requests["session"].n_unique()
    assert len(plan.scheduled) + len(plan.follower) == len(talking.requests)


@pytest.fixture(scope="module")
def fitted(synthetic_characterization: Callable[..., Characterization]) -> dict[str, Any]:
    return parameters(synthetic_characterization(2, 5, 3600.0))


@pytest.mark.parametrize("sessions", ["stamps", "think"])
def test_a_fitted_service_talks_as_its_trace_does(fitted: dict[str, Any], sessions: Any) -> None:
    load = from_parameters(fitted, selection="conversation", sessions=sessions)
    part = next(p for p in fitted["selections"] if p["selection"]["label"] == "conversation")
    measured = {row["measure"]: row["value"] for row in part["conversations"]["turns_summary"]}
    turns = load.requests.group_by("session").len()["len"]
    # Sessions of two days are cut at their ends, those of the trace too.
    assert turns.mean() == pytest.approx(measured["mean"], rel=0.15)
    assert in_turn(load, "at_s").median() == pytest.approx(measured["interval_median_s"], rel=0.25)
    assert load.recipe["sessions"] == sessions
    assert load.requests["think_s"].null_count() < len(load.requests) or sessions == "stamps"


def test_a_selection_without_sessions_is_refused(fitted: dict[str, Any]) -> None:
    with pytest.raises(BurstlensError, match=r"api: conversations.turn_models has no fitted law"):
        from_parameters(fitted, selection="api", sessions="stamps")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"family": "zeta", "parameter": "s", "value": 2.0, "best": True}, "'zeta' is not one of geometric"),
        ({"family": "geometric", "parameter": "p", "value": 0.5, "best": True}, "geometric lacks stop"),
        ({"family": "geometric", "parameter": "stop", "value": None, "best": True}, "geometric lacks stop"),
        ({"family": "geometric", "parameter": "stop", "value": 0.5, "best": False}, "no fitted law"),
    ],
)
def test_laws_that_cannot_be_drawn_from_are_refused(row: dict[str, Any], message: str) -> None:
    with pytest.raises(BurstlensError, match=message):
        SessionLaws.of({"turn_models": [row]}, "file")


def test_a_context_without_room_is_refused() -> None:
    with pytest.raises(BurstlensError, match="context: 1 tokens"):
        with_conversations(constant(1, 1, 1, requests=5), LAWS, context=1)
