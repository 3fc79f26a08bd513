"""What is a copy agrees with its source, and what differs is found and named."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest

import burstlens as bl
from burstlens.analysis.compare.fidelity import block_test
from burstlens.analysis.trace.subset import requests_of
from burstlens.analysis.trace.trace import write_trace


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Two synthetic days, and a copy with even arrivals and longer requests."""
    folder = tmp_path_factory.mktemp("traces")
    trace = bl.synth(days=2, seed=11)
    frame = requests_of(trace).drop("prefix").filter(pl.col("service") == "conversation")
    info = replace(trace.info, rows=len(frame))
    trace.engine.close()
    rng = np.random.default_rng(0)
    begin, end = frame["arrival_s"].min(), frame["arrival_s"].max()
    even = np.floor(np.sort(rng.uniform(begin, end, len(frame))))
    longer = (pl.col("request_tokens") * 1.5).cast(pl.Int32)
    changed = frame.with_columns(arrival_s=pl.Series(even), request_tokens=longer)
    for name, frame_of_case in {"source": frame, "changed": changed}.items():
        write_trace(frame_of_case, folder / f"{name}.parquet", replace(info, name=name))
    return folder


def outcomes(result: Any) -> dict[str, bool | None]:
    rows = result.to_frame().filter(pl.col("selection") == "all").select("statistic", "agrees").rows()
    return dict(rows)


@pytest.mark.slow
def test_a_trace_agrees_with_itself_in_everything(folder: Any) -> None:
    result = bl.compare(folder / "source.parquet", folder / "source.parquet")
    assert result.agrees
    assert (result.to_frame()["difference"] == 0).all()
    assert result.synthetic == ("source", "source")


@pytest.mark.slow
def test_what_was_changed_differs_and_nothing_else(folder: Any) -> None:
    found = outcomes(bl.compare(folder / "source.parquet", folder / "changed.parquet"))
    for name in ("CV of gaps", "distribution of gaps", "distribution of request tokens"):
        assert found[name] is False
    for name in ("arrival rate, 1/s", "distribution of response tokens", "Zipf exponent of response tokens"):
        assert found[name] is True


@pytest.mark.slow
def test_a_draw_from_its_parameters_has_the_rate_and_lengths_of_its_source(folder: Any) -> None:
    bl.fit(folder / "source.parquet", folder / "parameters.json")
    result = bl.compare(folder / "source.parquet", folder / "parameters.json", seed=2)
    found = outcomes(result)
    for name in ("arrival rate, 1/s", "rate variation in bins of 1 hour", "distribution of response tokens"):
        assert found[name] is True
    assert any("drawn from its laws, seed 2" in note for note in result.notes)


def test_two_runs_are_named_by_their_folders(tmp_path: Any) -> None:
    for seed, name in enumerate(("before", "after")):
        load = bl.workload("shape=0.5,scale=2,exponent=1.1", first=100, seed=seed)
        bl.simulate(load, "llama-2-13b-a100", tmp_path / name)
    result = bl.compare(tmp_path / "before", tmp_path / "after")
    assert (result.part.one, result.part.other) == result.synthetic == ("before", "after")
    assert "statistics of after agree with before" in " ".join(result.part.sentences())


@pytest.mark.slow
def test_turns_are_compared_where_only_one_trace_has_a_second_service(folder: Any) -> None:
    """A trace of one service is told as a whole, so the other's conversations stand beside all of it."""
    source = bl.trace(folder / "source.parquet")
    rng = np.random.default_rng(4)
    talk = requests_of(source).drop("prefix")
    source.close()
    talk = talk.with_columns(session=pl.Series(rng.integers(0, len(talk) // 3, len(talk))).cast(pl.String))
    calls = talk.head(80).with_columns(service=pl.lit("api"), session=pl.lit(None, pl.String))
    for name, frame in {"alone": talk, "both": pl.concat([talk, calls]).sort("arrival_s")}.items():
        write_trace(frame, folder / f"{name}.parquet", replace(source.info, name=name, rows=len(frame)))
    result = bl.compare(folder / "alone.parquet", folder / "both.parquet").to_frame()
    turns = result.filter(pl.col("statistic").str.starts_with("turns: "))
    assert "conversation" in set(turns["selection"])
    assert turns.filter(pl.col("selection") == "conversation")["agrees"].all()


def test_what_cannot_be_compared_is_refused_in_one_line(folder: Any, traces: Any) -> None:
    few = folder / "few.csv"
    few.write_text("arrival_s,request_tokens,response_tokens\n0,5,5\n9,5,5\n")
    with pytest.raises(
        bl.BurstlensError, match=r"few\.csv: 2 requests, too few to compare; compare needs 50"
    ):
        bl.compare(folder / "source.parquet", few)
    result = bl.compare(folder / "source.parquet", traces("maf2_azure_functions_2021_200.csv"))
    assert "distribution of request tokens: unknown for maf2_azure_functions_2021_200." in result.part.missing


def test_the_block_test_keeps_its_level_where_neighbours_are_alike_and_finds_a_shift() -> None:
    rng = np.random.default_rng(1)

    def series(n: int, mean: float) -> np.ndarray:
        # Runs of ten equal values: the usual test would take each for ten witnesses.
        return np.repeat(rng.normal(mean, 1, n // 10), 10)

    p_values = [block_test(series(3000, 0), series(2000, 0), rng)[1] for _ in range(40)]
    assert sum(p < 0.05 for p in p_values) <= 7
    distance, p = block_test(series(3000, 0), series(2000, 0.5), rng)
    assert p < 0.05
    assert 0.1 < distance < 0.3
