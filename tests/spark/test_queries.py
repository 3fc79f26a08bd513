"""Every SQL file gives the same answer on both engines: counts equal, sums within 1e-12 relative."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from burstlens.analysis.trace.bin_counts import Blocks, ask_blocks
from burstlens.analysis.trace.parquet import OPTIONAL
from burstlens.analysis.trace.trace import Trace
from burstlens.analysis.trace.window_gaps import ask_gaps, windows_of
from burstlens.queries.dialect import in_spark
from burstlens.queries.files import question_names, sql_text
from burstlens.queries.spark import SparkEngine

from .conftest import Both, Open

pytestmark = pytest.mark.spark

TRACES = ("burstgpt_3_first400.csv", "mooncake_head.jsonl", "optional.csv")
WINDOW = 1200.0


def parameters_of(trace: Trace) -> dict[str, dict[str, Any]]:
    """The parameters that each question is put with, of a trace with stamps of that clock."""
    tick_s = trace.info.resolution_s
    ticks = WINDOW / tick_s
    origin = int(trace.engine.table("segments")["start_tick"].min())  # type: ignore[arg-type]
    slot = round(3600 / tick_s)
    shape = {
        "bin_ticks": 60 / tick_s,
        "bin_s": 60.0,
        "selection_id": 1,
        "max_bins": 1000,
        "lead": 1,
        "short": 3,
        "middle": 10,
        "long": 30,
        "day": 1440,
        "week": 10080,
        "weekday": 2,
    }
    return {
        "block_counts": {"origin_tick": origin, "width_ticks": 60 / tick_s, "block_bins": 60.0},
        "block_gaps": {"origin_tick": origin, "block_ticks": 3600 / tick_s},
        "border_gaps": {"window_ticks": ticks},
        "forecast_features": shape,
        "gaps": {"slot_ticks": slot},
        "hourly_counts": {"window_ticks": 3600 / tick_s},
        "joint_lengths": {"cells_per_e": 8.0},
        "length_blocks": {
            "start_tick": origin,
            "block_ticks": 86400 / tick_s,
            "range_low": 10,
            "range_high": 1000,
            "cells_per_e": 2.0,
        },
        "length_histograms": {},
        "length_rows": {},
        "clients": {},
        "failure_reasons": {"max_reasons": 20},
        "load_all_columns": {"streams": [1, 2, 3], "start_s": None, "end_s": 1e9, "first": 1000},
        "usage": {},
        "load": {"streams": [1, 2, 3], "start_s": None, "end_s": 1e9, "first": 1000},
        "minute_load": {"minute_ticks": 60 / tick_s},
        "repeats": {},
        "segments": {"resolution_s": tick_s},
        "session_requests": {},
        "session_rows": {},
        "slots": {"slot_ticks": slot},
        "time_block_gaps": {"selection_id": 1, "slot_ticks": slot},
        "time_block_lengths": {"selection_id": 1, "slot_ticks": slot},
        "ticks": {},
        "totals": {},
        "window_cells": {"selection_id": 1, "window_ticks": ticks},
        "window_counts": {"window_ticks": ticks},
        "window_sums": {"window_ticks": ticks},
    }


def optional_columns() -> str:
    """A log of our own columns with every optional one; some requests lack a value, every eighth failed."""
    names = ["arrival_s", "request_tokens", "response_tokens", "failed", "service", *OPTIONAL]
    lines = [",".join(names)]
    for i in range(240):
        if i % 8 == 3:
            reason = ("RateLimitError", "504", "Timeout", "odd", "")[i % 5]
            lines.append(f"{i * 30},,,true,chat,user-{i % 3},,,,{reason},")
        else:
            client = f"user-{i % 7}" if i % 4 else ""
            service = "chat" if i % 3 else "code"
            lines.append(
                f"{i * 30},{90 + i},{9 + i % 5},false,{service},{client},{i},{i % 9},{i / 640},stop,{i % 2}"
            )
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module", params=TRACES)
def opened(
    request: pytest.FixtureRequest,
    both: Open,
    traces: Callable[[str], Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Both:
    if request.param == "mooncake_head.jsonl":
        lines = traces("mooncake_conversation_trace.jsonl").read_text().splitlines(keepends=True)
        path = tmp_path_factory.mktemp("logs") / request.param
        path.write_text("".join(lines[:400]))
    elif request.param == "optional.csv":
        path = tmp_path_factory.mktemp("logs") / request.param
        path.write_text(optional_columns())
    else:
        path = traces(request.param)
    opened = both(path)
    slots = opened.duckdb.engine.ask("slots", slot_ticks=3600 / opened.duckdb.info.resolution_s)
    for trace in (opened.duckdb, opened.spark):
        trace.engine.fill(
            "time_blocks",
            "slot BIGINT, block INTEGER",
            [(slot, slot % 3) for slot in slots["slot"].to_list()],
        )
    return opened


def comparable(frame: pl.DataFrame) -> pl.DataFrame:
    """Rows in an order of their own, whole numbers as one type, lists as text."""
    kinds = {
        name: pl.Int64 if kind.is_integer() else pl.String if kind.is_nested() else kind
        for name, kind in frame.schema.items()
    }
    lists = [
        pl.col(n).cast(pl.List(pl.String)).list.join(",") for n, k in frame.schema.items() if k.is_nested()
    ]
    columns = frame.with_columns(lists).select(pl.col(name).cast(kind) for name, kind in kinds.items())
    return columns.sort(sorted(kinds, key=lambda name: bool(kinds[str(name)] == pl.Float64)))


def test_every_question_is_asked_of_both_engines(opened: Both) -> None:
    assert sorted(parameters_of(opened.duckdb)) == question_names()


@pytest.mark.parametrize("name", question_names())
def test_both_engines_answer_alike(opened: Both, name: str) -> None:
    parameters = parameters_of(opened.duckdb)[name]
    mine, theirs = (
        comparable(trace.engine.ask(name, **parameters)) for trace in (opened.duckdb, opened.spark)
    )
    assert mine.columns == theirs.columns
    assert mine.height == theirs.height
    for column in mine.columns:
        if mine.schema[column] == pl.Float64 or theirs.schema[column] == pl.Float64:
            # DuckDB's sums of whole numbers reach us as doubles.
            np.testing.assert_allclose(
                mine[column].cast(pl.Float64).fill_null(np.nan).to_numpy(),
                theirs[column].cast(pl.Float64).fill_null(np.nan).to_numpy(),
                rtol=1e-12,
            )
        else:
            assert mine[column].to_list() == theirs[column].to_list()


@pytest.mark.parametrize(
    "name", [name for name in question_names() if re.search(r"(FROM|JOIN) gaps", sql_text(name))]
)
def test_gaps_are_made_once_and_kept_for_every_question(opened: Both, name: str) -> None:
    engine = opened.spark.engine
    assert isinstance(engine, SparkEngine)
    answer = engine.run(in_spark(sql_text(name)), **parameters_of(opened.duckdb)[name])
    plan = answer._jdf.queryExecution().optimizedPlan().toString()
    assert "InMemoryRelation [selection_id" in plan


def test_windows_told_by_sql_are_those_told_by_arrays(opened: Both) -> None:
    arrays = opened.duckdb
    windows = windows_of(arrays, WINDOW)
    for engine in (opened.duckdb.engine, opened.spark.engine):
        answers = ask_gaps(engine, arrays.selections, windows, arrays.info.resolution_s)
        for (selection, mine), (_, theirs) in zip(arrays.window_gaps(windows), answers, strict=True):
            np.testing.assert_array_equal(mine.requests, theirs.requests, err_msg=selection.label)
            for a, b in ((mine.own, theirs.own), (mine.full, theirs.full)):
                np.testing.assert_array_equal(a.cells, b.cells)
                np.testing.assert_allclose(a.sums.tail_n, b.sums.tail_n, rtol=1e-12)
                np.testing.assert_allclose(a.sums.tail_sum, b.sums.tail_sum, rtol=1e-12)
                np.testing.assert_allclose(a.sums.tail_log_sum, b.sums.tail_log_sum, rtol=1e-12, atol=1e-12)
                np.testing.assert_allclose(a.square_sum, b.square_sum, rtol=1e-12)


def test_blocks_told_by_sql_are_those_told_by_arrays(opened: Both) -> None:
    arrays = opened.duckdb
    tick_s = arrays.info.resolution_s
    segments = arrays.engine.table("segments").sort("start_tick")
    start, end = segments["start_tick"].to_numpy(), segments["end_tick"].to_numpy()
    block = 3600 / tick_s
    blocks = Blocks(
        int(start[0]), block, np.arange(int(np.ceil((end[-1] + 1 - start[0]) / block))), start, end
    )
    widths = [1 / tick_s, 60 / tick_s, 600 / tick_s]
    for engine in (opened.duckdb.engine, opened.spark.engine):
        answers = ask_blocks(engine, arrays.selections, blocks, widths)
        for mine, theirs in zip(arrays.block_counts(blocks, widths), answers, strict=True):
            for a, b in zip([*mine[1], mine[2]], [*theirs[1], theirs[2]], strict=True):
                for field in vars(a):
                    np.testing.assert_allclose(getattr(a, field), getattr(b, field), rtol=1e-12)
