"""Sums over tokens: the same by pieces as at once, and near where they are too many to keep."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.random import default_rng

from burstlens.bench.metrics import token_latency as token_sums
from burstlens.bench.metrics.measures import Distribution
from burstlens.bench.metrics.token_latency import TokenSums, WeightedValues

QUANTILES = ("p50", "p90", "p95", "p99")


def chunks(n: int, seed: int) -> pl.DataFrame:
    """Chunks as `metrics.tokens` tells them, with latencies over five orders of magnitude."""
    rng = default_rng(seed)
    return pl.DataFrame(
        {
            "request_id": np.arange(n),
            "at_s": rng.uniform(0, 20, n),
            "tokens": rng.integers(1, 4, n).astype(float),
            "latency_s": np.exp(rng.normal(-4, 2, n)),
            "first": rng.random(n) < 0.2,
        }
    )


@given(cuts=st.lists(st.integers(0, 500), max_size=5), seed=st.integers(0, 100))
def test_pieces_in_any_order_sum_to_the_table(cuts: list[int], seed: int) -> None:
    table = chunks(500, seed)
    edges = [0, *sorted(cuts), 500]
    pieces = [table[a:b] for a, b in pairwise(edges)][::-1]
    one, many = TokenSums.of([table]), TokenSums.of(pieces)
    for a, b in ((one.all, many.all), (one.later, many.later)):
        assert Distribution.over(a).as_dict() == pytest.approx(Distribution.over(b).as_dict(), rel=1e-12)
    for mine, theirs in zip(one.by_second.within(20)[:2], many.by_second.within(20)[:2], strict=True):
        assert mine == pytest.approx(theirs, rel=1e-12)
    means = [s.latency / s.tokens + s.centre_s for s in (one.by_second, many.by_second)]
    assert means[0] == pytest.approx(means[1], rel=1e-9)


def test_too_many_to_keep_are_right_to_a_thousandth_in_bounded_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pieces = [chunks(5_000, seed) for seed in range(40)]
    exact_sums = TokenSums.of(pieces)
    monkeypatch.setattr(token_sums, "EXACT", 20_000)
    few = TokenSums.of(pieces)
    assert len(few.all.arrays()[0]) < 30_000 < 200_000 == len(exact_sums.all.arrays()[0])
    exact, near = Distribution.over(exact_sums.all), Distribution.over(few.all)
    assert (near.n, near.max) == (exact.n, exact.max)
    assert near.mean == pytest.approx(exact.mean, rel=1e-12)
    assert near.sd == pytest.approx(exact.sd, rel=1e-5)
    for name in QUANTILES:
        assert getattr(near, name) == pytest.approx(getattr(exact, name), rel=1e-3)
    assert few.by_second.within(20)[1].sum() == pytest.approx(sum(piece["tokens"].sum() for piece in pieces))


def test_what_is_no_number_or_carries_nothing_is_left_out() -> None:
    spread = WeightedValues()
    spread.add([1.0, np.nan, np.inf, 3.0, 2.0], [1, 1, 1, 0, 2])
    assert Distribution.over(spread).as_dict() == pytest.approx(
        {"n": 3, "mean": 5 / 3, "sd": np.sqrt(2) / 3, "p50": 2, "p90": 2, "p95": 2, "p99": 2, "max": 2}
    )
    assert Distribution.over(WeightedValues()).n == 0


def test_what_comes_after_the_last_second_counts_in_it() -> None:
    late = pl.DataFrame(
        {
            "request_id": [0, 1],
            "at_s": [0.5, 7.5],
            "tokens": [1.0, 2.0],
            "latency_s": [0.1, 0.1],
            "first": [True, True],
        }
    )
    assert TokenSums.of([late]).by_second.within(3)[1].tolist() == [1.0, 0.0, 2.0]
