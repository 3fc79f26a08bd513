"""Figures of the schedulers: all policies in each panel, valid for Vega-Lite."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from burstlens.bench.experiments import schedulers
from burstlens.bench.experiments.backends import MEASURES
from burstlens.bench.experiments.trials import Experiment, Question
from burstlens.reports.figures.base import Figure
from burstlens.reports.figures.bench.schedulers import SHOWN, WAITS, figures


def planted_experiment(seeds: int, **values: float | None) -> Experiment:
    """Trials of known values, or of these."""
    rows = [
        {"service": service, "policy": policy, "seed": seed}
        | {name: 0.1 * (i + 1) * factor + 0.01 * seed for i, name in enumerate(MEASURES)}
        | values
        for service in schedulers.SERVICES
        for policy, factor in zip(schedulers.POLICIES, (2, 1, 3), strict=True)
        for seed in range(seeds)
    ]
    question = Question("schedulers", {}, {}, "made", None, True, list(range(seeds)), len(rows), {})
    trials = pl.DataFrame(rows, schema_overrides=dict.fromkeys(MEASURES, pl.Float64))
    return Experiment(Path(), question, trials, pl.DataFrame(), ("service", "policy", "seed"))


@pytest.fixture(params=[1, 3])
def drawn(request: pytest.FixtureRequest) -> list[Figure]:
    return [
        figure for part in schedulers.parts(planted_experiment(request.param)) for figure in figures(part)
    ]


def test_each_panel_shows_the_three(drawn: list[Figure]) -> None:
    measures, waits = drawn
    assert (measures.name, waits.name) == ("measures", "waits")
    assert measures.data.height == len(schedulers.SERVICES) * len(SHOWN) * 3
    assert waits.data.height == len(schedulers.SERVICES) * len(WAITS) * 3
    for figure in drawn:
        figure.chart.to_dict()
        assert figure.title
        assert figure.alt_text


def test_a_title_orders_the_three(drawn: list[Figure]) -> None:
    assert "conversation SRF" in drawn[0].title
    assert "LRF" in drawn[1].title


def test_a_title_says_so_where_there_is_no_order() -> None:
    """A server that failed every request has a throughput, of zero, and no latency."""
    failed = dict.fromkeys(MEASURES) | {"throughput_tps": 0.0, "failure_rate": 1.0}
    (measures,) = figures(schedulers.parts(planted_experiment(2, **failed))[0])
    assert measures.title == "Token latency was not measured under all three orders of serving"
    assert "throughput P: FCFS = SRF = LRF" in measures.alt_text
    alone = replace(planted_experiment(1), trials=planted_experiment(1).trials.filter(policy="SRF"))
    (first,) = figures(schedulers.parts(alone)[0])
    assert first.title == measures.title
    assert first.alt_text.endswith("under all three orders of serving.")
