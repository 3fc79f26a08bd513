"""What is a copy agrees with its source, and what differs is found and named."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import burstlens as bl
import numpy as np
import polars as pl
import pytest
from burstlens.analysis.fidelity import block_test
from burstlens.analysis.selecting import requests_of
from burstlens.analysis.trace import write_trace


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A synthetic trace of four days, and copies of it that differ in one thing each."""
    folder = tmp_path_factory.mktemp("traces")
    trace = bl.synth(days=4, seed=11)
    frame = requests_of(trace).drop("prefix").filter(pl.col("service") == "conversation")
    info = replace(trace.info, rows=len(frame))
    trace.engine.close()
    rng = np.random.default_rng(0)
    begin, end = frame["arrival_s"].min(), frame["arrival_s"].max()
    even = np.floor(np.sort(rng.uniform(begin, end, len(frame))))
    for name, made in {
        "source": frame,
        "even": frame.with_columns(arrival_s=pl.Series(even)),
        "longer": frame.with_columns(request_tokens=(pl.col("request_tokens") * 1.5).cast(pl.Int32)),
        "faster": frame.with_columns(arrival_s=(pl.col("arrival_s") / 3).floor()),
    }.items():
        write_trace(made, folder / f"{name}.parquet", replace(info, name=name))
    return folder


def outcomes(told: Any) -> dict[str, bool | None]:
    rows = told.frame().filter(pl.col("selection") == "all").select("statistic", "agrees").rows()
    return dict(rows)


def test_a_trace_agrees_with_itself_in_everything(folder: Any) -> None:
    told = bl.compare(folder / "source.parquet", folder / "source.parquet")
    assert told.agrees
    assert (told.frame()["difference"] == 0).all()
    assert told.synthetic == ("source", "source")


def test_even_arrivals_differ_in_arrivals_and_in_nothing_else(folder: Any) -> None:
    found = outcomes(bl.compare(folder / "source.parquet", folder / "even.parquet"))
    assert found["CV of gaps"] is False
    assert found["distribution of gaps"] is False
    assert found["rate variation in bins of 1 hour"] is False
    assert all(agrees is not False for name, agrees in found.items() if "tokens" in name)


def test_longer_requests_differ_in_requests_and_in_nothing_else(folder: Any) -> None:
    found = outcomes(bl.compare(folder / "source.parquet", folder / "longer.parquet"))
    assert found["distribution of request tokens"] is False
    assert found["distribution of response tokens"] is True
    assert found["arrival rate, 1/s"] is True


def test_a_draw_from_its_parameters_has_the_rate_and_lengths_of_its_source(folder: Any) -> None:
    bl.fit(folder / "source.parquet", folder / "parameters.json")
    told = bl.compare(folder / "source.parquet", folder / "parameters.json", seed=2)
    found = outcomes(told)
    for name in ("arrival rate, 1/s", "rate variation in bins of 1 hour", "distribution of response tokens"):
        assert found[name] is True
    assert any("drawn by its laws, seed 2" in note for note in told.notes)


def test_what_cannot_be_compared_is_refused_in_one_line(folder: Any, traces: Any) -> None:
    few = folder / "few.csv"
    few.write_text("arrival_s,request_tokens,response_tokens\n0,5,5\n9,5,5\n")
    with pytest.raises(bl.BurstlensError, match=r"few\.csv: 2 requests, too few to compare; 50 are needed"):
        bl.compare(folder / "source.parquet", few)
    told = bl.compare(folder / "source.parquet", traces("maf2_azure_functions_2021_200.csv"))
    assert "distribution of request tokens: not told by maf2_azure_functions_2021_200." in told.part.missing


def test_the_block_test_keeps_its_level_where_neighbours_are_alike_and_finds_a_shift() -> None:
    rng = np.random.default_rng(1)

    def series(n: int, mean: float) -> np.ndarray:
        # Runs of ten equal values: the usual test would take each for ten witnesses.
        return np.repeat(rng.normal(mean, 1, n // 10), 10)

    p_values = [block_test(series(3000, 0), series(2000, 0), rng)[1] for _ in range(60)]
    assert sum(p < 0.05 for p in p_values) <= 9
    apart, p = block_test(series(3000, 0), series(2000, 0.5), rng)
    assert p < 0.05
    assert 0.1 < apart < 0.3
