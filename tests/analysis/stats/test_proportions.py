"""Intervals of proportions equal those of statsmodels and the published examples."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from burstlens.analysis.stats.proportions import newcombe, wilson


@given(n=st.integers(1, 10**7), share=st.floats(0, 1))
def test_wilson_interval_is_the_textbook_one(n: int, share: float) -> None:
    hits = round(n * share)
    found = wilson(hits, n)
    assert (found.low, found.high) == pytest.approx(proportion_confint(hits, n, method="wilson"), abs=1e-9)
    assert 0 <= found.low <= found.value <= found.high <= 1


def test_wilson_interval_at_the_ends() -> None:
    z2 = 1.959963984540054**2
    assert wilson(0, 10).low == 0
    assert wilson(0, 10).high == pytest.approx(z2 / (10 + z2))
    assert wilson(10, 10).high == 1
    assert (wilson(0, 0).low, wilson(0, 0).high) == (0, 1)


def test_newcombe_interval_is_the_published_example() -> None:
    # Newcombe, Statistics in Medicine 17 (1998), table II: 56/70 − 48/80 by method 10.
    found = newcombe((56, 48), (70, 80))
    assert (found.value, found.low, found.high) == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)


@pytest.mark.parametrize(("hits", "n"), [((56, 48), (70, 80)), ((3, 40), (900, 1000)), ((1, 1), (7, 9000))])
def test_newcombe_interval_equals_that_of_statsmodels(hits: tuple[int, int], n: tuple[int, int]) -> None:
    found = newcombe(hits, n)
    theirs = confint_proportions_2indep(hits[0], n[0], hits[1], n[1], compare="diff", method="newcomb")
    assert (found.low, found.high) == pytest.approx(theirs, abs=1e-9)
