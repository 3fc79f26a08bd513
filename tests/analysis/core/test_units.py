"""How spans of time, clocks and counts are written."""

from __future__ import annotations

import doctest

import pytest

from burstlens.analysis.core import units
from burstlens.analysis.core.units import DAY_S, HOUR_S, time_span


@pytest.mark.parametrize(
    ("span_s", "words"),
    [
        (0.05, "0.05 s"),
        (1, "1 s"),
        (10, "10 s"),
        (60, "1 minute"),
        (600, "10 minutes"),
        (HOUR_S, "1 hour"),
        (1.5 * HOUR_S, "90 minutes"),
        (7 * DAY_S, "7 days"),
        (1234 * DAY_S, "1,234 days"),
    ],
)
def test_spans_of_time_in_words(span_s: float, words: str) -> None:
    assert time_span(span_s) == words


def test_examples_run() -> None:
    found = doctest.testmod(units)
    assert found.attempted
    assert not found.failed
