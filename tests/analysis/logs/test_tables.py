"""The tables that questions are put to equal what plain SQL makes of the requests."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from burstlens.analysis.logs.tables import HOLE_S, MAX_SELECTIONS
from burstlens.analysis.trace.store_duckdb import DuckDBStore
from burstlens.analysis.trace.trace import Trace, TraceInfo, open_frame, open_trace, prepare
from burstlens.queries.duckdb import DuckDBEngine

TICKS = """
SELECT stream_id, tick, COUNT(*) AS n, SUM(CASE WHEN failed THEN 1 ELSE 0 END) AS failed
FROM requests GROUP BY stream_id, tick
"""
GAPS = """
WITH occupied AS (
    SELECT selection_id, tick, COUNT(*) AS n
    FROM requests JOIN members ON members.stream_id = requests.stream_id
    GROUP BY selection_id, tick
),
stepped AS (
    SELECT *, tick - LAG(tick) OVER (PARTITION BY selection_id ORDER BY tick) AS gap FROM occupied
)
SELECT selection_id, tick, n, CASE WHEN EXISTS (
    SELECT 1 FROM segments WHERE start_tick > stepped.tick - stepped.gap AND start_tick <= stepped.tick
) THEN NULL ELSE gap END AS gap FROM stepped
"""
SEGMENTS = """
WITH stepped AS (
    SELECT tick, tick - LAG(tick) OVER (ORDER BY tick) AS gap FROM (SELECT DISTINCT tick FROM requests) AS t
),
numbered AS (
    SELECT tick, SUM(CASE WHEN gap >= $hole_ticks THEN 1 ELSE 0 END) OVER (ORDER BY tick) AS segment_id
    FROM stepped
)
SELECT segment_id, MIN(tick) AS start_tick, MAX(tick) AS end_tick FROM numbered GROUP BY segment_id
"""


def answer(trace: Trace, sql: str, keys: list[str]) -> pl.DataFrame:
    """The answer of some SQL as integers, in the order of its keys."""
    parameters = {"hole_ticks": round(HOLE_S / trace.info.resolution_s)} if "$hole_ticks" in sql else {}
    assert isinstance(trace.engine, DuckDBEngine)
    connection = trace.engine.connection.execute(sql, parameters)
    names = [column[0] for column in connection.description]
    frame = pl.DataFrame(connection.fetchall(), schema=dict.fromkeys(names, pl.Int64), orient="row")
    return frame.sort(keys)


def check(trace: Trace) -> None:
    for table, sql, keys in (
        ("ticks", TICKS, ["stream_id", "tick"]),
        ("gaps", GAPS, ["selection_id", "tick"]),
        ("segments", SEGMENTS, ["segment_id"]),
    ):
        assert_frame_equal(answer(trace, f"SELECT * FROM {table}", keys), answer(trace, sql, keys))
    gaps = answer(
        trace, "SELECT selection_id, tick, n, COALESCE(gap, 0) AS gap FROM gaps", ["selection_id", "tick"]
    )
    assert isinstance(trace.store, DuckDBStore)
    for selection, ticks in trace.store.ticks.items():
        own = gaps.filter(pl.col("selection_id") == selection)
        np.testing.assert_array_equal(ticks.tick + ticks.first, own["tick"].to_numpy())
        np.testing.assert_array_equal(np.diff(ticks.start), own["n"].to_numpy())
        np.testing.assert_array_equal(ticks.gaps(), own["gap"].to_numpy())
    totals = answer(
        trace,
        "SELECT selection_id, COUNT(*) AS n FROM requests JOIN members USING (stream_id) GROUP BY 1",
        ["selection_id"],
    )
    assert totals["n"].to_list() == [selection.n for selection in trace.selections]
    assert isinstance(trace.engine, DuckDBEngine)
    arrivals = trace.engine.connection.execute("SELECT arrival_s FROM requests").fetchnumpy()["arrival_s"]
    assert (np.diff(arrivals) >= 0).all()
    assert trace.start_s == pytest.approx(arrivals[0])
    assert trace.end_s == pytest.approx(arrivals[-1])


@pytest.mark.parametrize(
    "name",
    [
        "burstgpt_1_first7days.csv",
        "burstgpt_3_first400.csv",
        "azure_llm_2023_conv.csv",
        "mooncake_conversation_trace.jsonl",
        "maf2_azure_functions_2021_200.csv",
    ],
)
def test_tables_of_the_real_traces_equal_sql(traces: Callable[[str], Path], name: str) -> None:
    trace = open_trace(traces(name))
    check(trace)
    trace.engine.close()


def test_tables_across_a_hole_equal_sql(traces: Callable[[str], Path]) -> None:
    trace = open_trace([traces("burstgpt_1_first7days.csv"), traces("burstgpt_3_first400.csv")])
    check(trace)
    assert trace.segments["segment_id"].to_list() == [0, 1]
    hole_days = (trace.segments["start_s"][1] - trace.segments["end_s"][0]) / 86_400
    assert hole_days == pytest.approx((19_440_110 - 604_758) / 86_400)
    trace.engine.close()


def planted(models: int, n: int = 3000, step_s: float = 1.0, seed: int = 1) -> Trace:
    rng = np.random.default_rng(seed)
    weight = 1 / np.arange(1, models + 1)
    frame = pl.DataFrame(
        {
            "arrival_s": np.sort(rng.integers(0, 400_000, n)) * step_s,
            "service": rng.choice(["chat", "batch"], n),
            "model": [f"m{i:04d}" for i in rng.choice(models, n, p=weight / weight.sum())],
            "session": pl.Series([None] * n, dtype=pl.String),
            "request_tokens": rng.integers(1, 100, n),
            "response_tokens": rng.integers(0, 3, n),
            "elapsed_s": pl.Series([None] * n, dtype=pl.Float64),
        }
    ).with_columns(failed=pl.col("response_tokens") == 0)
    return open_frame(frame, TraceInfo("planted", "planted", (), n, 0, 0, step_s, date(2024, 1, 1), True))


@pytest.mark.parametrize(("models", "step_s"), [(1, 1.0), (3, 1e-3), (200, 1.0), (900, 1e-6)])
def test_tables_of_few_and_many_streams_equal_sql(models: int, step_s: float) -> None:
    trace = planted(models, step_s=step_s)
    assert trace.info.resolution_s == step_s
    check(trace)
    trace.engine.close()


def test_a_table_made_elsewhere_is_opened_like_a_log() -> None:
    frame = pl.DataFrame(
        {"arrival_s": [9.0, 3.0, 3.0], "service": ["b", "a", "b"], "model": ["m", None, "m"]}
    )
    connection = duckdb.connect()
    connection.execute(
        "CREATE TABLE trace (arrival_s DOUBLE, service VARCHAR, model VARCHAR, session VARCHAR, "
        "request_tokens INTEGER, response_tokens INTEGER, elapsed_s DOUBLE, failed BOOLEAN)"
    )
    connection.executemany(
        "INSERT INTO trace VALUES (?, ?, ?, NULL, 1, 0, NULL, TRUE)", [list(row) for row in frame.rows()]
    )
    trace = prepare(DuckDBEngine(connection), TraceInfo("made", "made", (), 3, 0, 0, 1.0, None, True))
    check(trace)
    assert [s.label for s in trace.selections] == ["all", "a", "b"]
    assert trace.engine.table("ticks")["failed"].sum() == 3
    trace.engine.close()


def test_of_many_models_the_busiest_are_selected_and_all_count_in_their_service() -> None:
    trace = planted(200)
    chat = [s for s in trace.selections if s.service == "chat" and s.model is not None]
    others = answer(
        trace,
        "SELECT SUM(n) AS n FROM streams WHERE service = 'chat' GROUP BY model",
        ["n"],
    )
    assert len(chat) == MAX_SELECTIONS
    assert sorted(s.n for s in chat) == others["n"].to_list()[-MAX_SELECTIONS:]
    assert trace.selection("chat").n == others["n"].sum()
    trace.engine.close()
