"""Whether a server schedules by priority is found out by what it does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from burstlens.analysis.core.errors import BurstlensError
from burstlens.bench.server.priority_probe import PROMPTS, judged, serves_by_priority
from burstlens.bench.settings import Target
from tests.helpers import ended, free_port
from tests.real.conftest import LENGTH, simulated

VOCABULARY = (10, 999)


def record(first_s: list[float | None], error: str | None = None) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "request_id": range(len(first_s)),
            "sent_s": [0.0] * len(first_s),
            "first_token_s": first_s,
            "error": [error] * len(first_s),
        },
        schema_overrides={"first_token_s": pl.Float64, "error": pl.String},
    )


def in_order(requests: int) -> pl.DataFrame:
    return record([0.1 * (i + 1) for i in range(requests)])


def reversed_but_the_first(requests: int) -> pl.DataFrame:
    return record([0.1, *(0.1 * (requests - i + 1) for i in range(1, requests))])


def all_at_once(requests: int) -> pl.DataFrame:
    return record(np.random.default_rng(requests).uniform(0.10, 0.12, requests).tolist())


@pytest.mark.parametrize(
    ("order", "found"), [(in_order, False), (reversed_but_the_first, True), (all_at_once, None)]
)
def test_the_order_of_first_tokens_tells(order: Callable[[int], pl.DataFrame], found: bool | None) -> None:
    assert judged(order, "u") is found


def test_a_server_too_fast_for_few_requests_is_asked_with_more() -> None:
    counts = []

    def order(requests: int) -> pl.DataFrame:
        counts.append(requests)
        return reversed_but_the_first(requests) if requests == PROMPTS[-1] else in_order(requests)

    assert judged(order, "u") is True
    assert counts == list(PROMPTS)


def test_a_server_that_refuses_priorities_says_why() -> None:
    error = "400: Got priority 1 but priority scheduling is not enabled"
    with pytest.raises(
        BurstlensError, match=r"server u was not started with the scheduling policy priority: 400"
    ):
        judged(lambda n: record([None] * n, error), "u")
    with pytest.raises(BurstlensError, match=r"does not answer the requests .*: 404: no such model"):
        judged(lambda n: record([None] * n, "404: no such model"), "u")


@pytest.fixture(params=["fcfs", "priority"])
def served(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """A simulated endpoint's URL and its policy."""
    port = free_port()
    server = simulated(tmp_path, port, request.param)
    try:
        yield f"http://127.0.0.1:{port}", request.param
    finally:
        ended(server)


@pytest.mark.slow
def test_the_simulated_endpoint_is_found_out(served: tuple[str, str]) -> None:
    url, policy = served
    assert serves_by_priority(Target(url, "tiny"), VOCABULARY, LENGTH) is (policy == "priority")
