"""The part of a load that a search is made on: counted by hand, and on the real week."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from burstlens.analysis.core.units import DAY_S
from burstlens.analysis.trace.trace import Trace
from burstlens.bench.workload.busiest import LENGTHS_S, SLOT_S, busiest, busiest_of_load, busiest_of_trace
from burstlens.bench.workload.from_trace import from_trace
from burstlens.bench.workload.turnover import turnover


def test_what_is_small_is_not_cut() -> None:
    assert busiest(np.full(144, 3), 0.0, 500) is None


def test_a_long_quiet_load_is_cut_to_its_busiest_day() -> None:
    counts = np.concatenate([np.full(200, 1), np.full(144, 2), np.full(200, 1)])
    found = busiest(counts, 1200.0, 500)
    assert found is not None
    assert (found.start_s, found.length_s, found.requests, found.of) == (1200 + 200 * SLOT_S, DAY_S, 288, 688)
    assert found.first is None


def test_a_storm_is_passed_over_for_the_busiest_day_that_fits() -> None:
    counts = np.concatenate([np.full(144, 900), np.full(144, 4), np.full(144, 5), np.full(30, 900)])
    found = busiest(counts, 0.0, 1000)
    assert found is not None
    assert (found.start_s, found.length_s, found.requests) == (288 * SLOT_S, DAY_S, 720)


def test_one_that_is_busy_throughout_is_cut_to_its_first_requests() -> None:
    found = busiest(np.array([40, 90, 50]), 0.0, 30)
    assert found is not None
    assert (found.start_s, found.length_s, found.first, found.requests) == (SLOT_S, SLOT_S, 30, 30)


@pytest.mark.slow
@given(st.lists(st.integers(0, 50), min_size=1, max_size=200), st.integers(1, 3000))
def test_the_longest_that_is_half_full_is_taken_and_none_of_its_length_is_fuller(
    counts: list[int], max_requests: int
) -> None:
    found = busiest(np.array(counts), 0.0, max_requests)
    if found is None:
        assert sum(counts) <= max_requests
        return
    assert found.requests <= max_requests

    def fullest(length_s: float) -> int:
        slots = min(round(length_s / SLOT_S), len(counts))
        counts_within = [sum(counts[i : i + slots]) for i in range(len(counts) - slots + 1)]
        return max((n for n in counts_within if n <= max_requests), default=0)

    if found.first is None:
        assert found.requests == fullest(found.length_s)
        assert all(fullest(longer) < max_requests / 2 for longer in LENGTHS_S if longer > found.length_s)
    else:
        assert not any(map(fullest, LENGTHS_S))


@pytest.mark.parametrize(("service", "model"), [(None, None), ("conversation", None), (None, "GPT-4")])
def test_the_busiest_span_of_the_real_week_has_as_many_requests_as_it_says(
    week: Trace, service: str | None, model: str | None
) -> None:
    found = busiest_of_trace(week, service=service, model=model, max_requests=800)
    assert found is not None
    load = from_trace(week, service=service, model=model, start_s=found.start_s, end_s=found.end_s)
    assert len(load.requests) == found.requests <= 800
    assert found.of == len(from_trace(week, service=service, model=model).requests)


def test_a_drawn_load_is_cut_on_the_clock_that_it_stands_on() -> None:
    load = turnover(3000, seed=1)
    found = busiest_of_load(load, 5 * DAY_S, 1000)
    assert found is not None
    at = load.requests["at_s"].to_numpy() + 5 * DAY_S
    assert ((at >= found.start_s) & (at < found.end_s)).sum() == found.requests <= 1000
