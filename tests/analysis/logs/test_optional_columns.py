"""Columns that only some logs have: what is read of them, and what lies in the file of a trace."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

import burstlens as bl
from burstlens.analysis.logs.trace_columns import REASON_LIMIT, reason_sql
from burstlens.analysis.logs.trace_info import TraceInfo
from burstlens.analysis.trace.parquet import COLUMNS, OPTIONAL
from burstlens.analysis.trace.subset import requests_of
from burstlens.analysis.trace.trace import open_frame, open_trace

MAPPING = {
    "arrival": "ts",
    "request_tokens": "in",
    "response_tokens": "out",
    "failed": "bad",
    "client": "key",
    "cached_tokens": "hit",
    "reasoning_tokens": "think",
    "ttft_ms": "first",
    "reason": "why",
    "images": "pics",
}
ROWS: list[dict[str, Any]] = [
    {
        "ts": 0,
        "in": 80,
        "out": 20,
        "bad": False,
        "key": "a",
        "hit": 40,
        "think": 5,
        "first": 250.0,
        "why": "stop",
    },
    {"ts": 5, "in": None, "out": None, "bad": True, "key": "b", "why": "litellm.RateLimitError", "pics": 0},
    {
        "ts": 9,
        "in": 100,
        "out": 10,
        "bad": False,
        "key": "a",
        "hit": 0,
        "think": 0,
        "first": 500.5,
        "pics": 2,
    },
    {"ts": 12, "in": 70, "out": None, "bad": True, "key": None, "why": ""},
]


def log_of(rows: list[dict[str, Any]], path: Path) -> Path:
    """The rows as CSV or JSON lines, by the path's ending."""
    if path.suffix == ".csv":
        pl.DataFrame(rows, infer_schema_length=None).write_csv(path)
    else:
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


@pytest.mark.slow
@pytest.mark.parametrize("name", ["log.csv", "log.jsonl", "log.parquet"])
def test_optional_columns_are_read_and_kept_in_the_file(name: str, tmp_path: Path) -> None:
    if name.endswith("parquet"):
        log = tmp_path / name
        pl.DataFrame(ROWS, infer_schema_length=None).write_parquet(log)
    else:
        log = log_of(ROWS, tmp_path / name)
    with bl.trace(log, columns=MAPPING) as trace:
        frame = trace.to_frame()
        assert trace.optional == tuple(OPTIONAL)
        assert trace.info.rejected == 0
        assert_frame_equal(requests_of(trace).drop("prefix"), frame)
    assert frame.columns == [*COLUMNS, *OPTIONAL]
    assert frame.schema == {**COLUMNS, **OPTIONAL}
    assert frame.select(*OPTIONAL).rows() == [
        ("a", 40, 5, 0.25, None, None),
        ("b", None, None, None, "429", 0),
        ("a", 0, 0, 0.5005, None, 2),
        (None, None, None, None, None, None),
    ]
    assert frame["request_tokens"].to_list() == [80, None, 100, 70]
    bl.ingest(log, tmp_path / "trace.parquet", columns=MAPPING)
    bl.ingest(log, tmp_path / "days", columns=MAPPING, partition_by="day")
    for written in ("trace.parquet", "days"):
        with bl.trace(tmp_path / written) as again:
            assert_frame_equal(again.to_frame(), frame)


def test_a_log_without_them_has_no_such_column_anywhere(tmp_path: Path) -> None:
    log = log_of([{"ts": 1, "in": 5, "out": 2}, {"ts": 2, "in": 5, "out": 2}], tmp_path / "log.csv")
    columns = {"arrival": "ts", "request_tokens": "in", "response_tokens": "out"}
    with bl.trace(log, columns=columns) as trace:
        assert trace.optional == ()
        assert trace.to_frame().columns == list(COLUMNS)
        stored = trace.engine.table("stamped").columns
    assert not set(stored) & set(OPTIONAL)
    bl.ingest(log, tmp_path / "trace.parquet", columns=columns)
    assert list(pl.read_parquet_schema(tmp_path / "trace.parquet")) == list(COLUMNS)


def test_a_column_without_a_value_is_dropped_after_reading(tmp_path: Path) -> None:
    rows = [{"ts": i, "in": 5, "out": 2, "key": None, "first": 3} for i in range(3)]
    log = log_of(rows, tmp_path / "log.csv")
    columns = {
        key: MAPPING[key] for key in ("arrival", "request_tokens", "response_tokens", "client", "ttft_ms")
    }
    with bl.trace(log, columns=columns) as trace:
        assert trace.optional == ("ttft_s",)
        assert trace.to_frame().columns == [*COLUMNS, "ttft_s"]


def test_one_log_with_and_one_without_make_one_trace(tmp_path: Path) -> None:
    one = log_of([{"arrival_s": 0.0, "client": "a", "request_tokens": 3}], tmp_path / "one.jsonl")
    other = log_of([{"arrival_s": 1.0, "request_tokens": 4}], tmp_path / "other.jsonl")
    with bl.trace([one, other]) as trace:
        assert trace.to_frame()["client"].to_list() == ["a", None]


def test_only_failed_rows_may_lack_tokens(tmp_path: Path) -> None:
    rows = [
        {"ts": 1, "in": 5, "out": 2, "bad": False},
        {"ts": 2, "in": None, "out": None, "bad": True},
        {"ts": 3, "in": None, "out": 2, "bad": False},
        {"ts": 4, "in": 5, "out": 2, "bad": True},
        {"ts": 5, "in": -1, "out": None, "bad": True},
    ]
    log = log_of(rows, tmp_path / "log.jsonl")
    columns = {key: MAPPING[key] for key in ("arrival", "request_tokens", "response_tokens", "failed")}
    with bl.trace(log, columns=columns) as trace:
        assert trace.to_frame()["arrival_s"].to_list() == [1.0, 2.0, 4.0]
        assert [(r.line, r.reason, r.column) for r in trace.rejects] == [
            (3, "missing or not a number", "request_tokens"),
            (5, "negative", "request_tokens"),
        ]


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("cached_tokens", -1, "negative"),
        ("reasoning_tokens", 1.5, "not a whole number"),
        ("images", 3e9, "absurdly large"),
        ("ttft_s", -0.5, "negative"),
        ("client", "a\0b", "NUL byte in the text"),
    ],
)
def test_an_invalid_value_is_a_reject(key: str, value: object, reason: str, tmp_path: Path) -> None:
    log = log_of([{"t": 1, "x": value}, {"t": 2, "x": None}], tmp_path / "log.jsonl")
    with bl.trace(log, columns={"arrival": "t", key: "x"}) as trace:
        assert trace.info.rows == 1
        assert [(r.line, r.reason, r.column) for r in trace.rejects] == [(1, reason, key)]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("429", "429"),
        ("http_429", "429"),
        ("HTTP 503", "503"),
        ("500 Internal Server Error", "500"),
        ("429.0", "429"),
        ("499", "cancelled"),
        ("RateLimitError", "429"),
        ("litellm.exceptions.RateLimitError", "429"),
        ("ThrottlingException", "429"),
        ("rate_limit_exceeded", "429"),
        ("Rate limit reached for requests", "429"),
        ("Timeout", "timeout"),
        ("APITimeoutError", "timeout"),
        ("Request timed out.", "timeout"),
        ("content_filter", "content filter"),
        ("ContentPolicyViolationError", "content filter"),
        ("SAFETY", "content filter"),
        ("CancelledError", "cancelled"),
        ("client_disconnected", "cancelled"),
        ("canceled by user", "cancelled"),
        ("content filter", "content filter"),
        ("cancelled", "cancelled"),
        (" weird thing ", "weird thing"),
        (
            "the worker ran out of memory and the step was aborted",
            "the worker ran out of memory and the step was aborted",
        ),
        ("400 tokens too many", "400 tokens too many"),
        ("", None),
        (None, None),
        ("x" * 500, "x" * REASON_LIMIT),
    ],
)
def test_reasons_get_one_name(text: str | None, reason: str | None) -> None:
    ask = f"SELECT {reason_sql('TRUE')}, {reason_sql('FALSE')} FROM (SELECT CAST($text AS VARCHAR) AS reason)"
    assert duckdb.execute(ask, {"text": text}).fetchall() == [(reason, None)]


@given(st.text(max_size=200).filter(lambda text: "\0" not in text))
def test_a_reason_read_again_stays_as_it_is(text: str) -> None:
    ask = f"SELECT {reason_sql('TRUE')} FROM (SELECT CAST($text AS VARCHAR) AS reason)"
    once = duckdb.execute(ask, {"text": text}).fetchall()[0][0]
    assert duckdb.execute(ask, {"text": once}).fetchall()[0][0] == once


def test_a_frame_keeps_its_optional_columns() -> None:
    frame = pl.DataFrame(
        {
            "arrival_s": [0.0, 1.0],
            "service": "llm",
            "images": [1, None],
            "client": [None, None],
            "failed": False,
        },
        schema_overrides=OPTIONAL,
    ).with_columns(
        pl.lit(None).alias(name) for name in COLUMNS if name not in ("arrival_s", "service", "failed")
    )
    info = TraceInfo("made", "made", (), 2, 0, 0, 1.0, date(2024, 1, 1), synthetic=True)
    with open_frame(frame, info) as trace:
        assert trace.optional == ("images",)
        assert trace.to_frame()["images"].to_list() == [1, None]


def test_the_record_of_a_run_has_first_tokens_and_reasons(tmp_path: Path) -> None:
    plain = {"intended_s": 0.0, "request_tokens_asked": 8, "request_tokens": 8, "request_id": 0}
    rows = [
        {
            **plain,
            "sent_s": 1.0,
            "first_token_s": 1.25,
            "ended_s": 2.0,
            "outcome": "ok",
            "response_tokens": 4,
        },
        {**plain, "sent_s": 2.0, "first_token_s": None, "ended_s": 3.0, "outcome": "http_5xx", "status": 503},
        {**plain, "sent_s": 3.0, "first_token_s": None, "ended_s": 4.0, "outcome": "aborted"},
    ]
    with open_trace(log_of(rows, tmp_path / "record-0.jsonl")) as trace:
        assert trace.optional == ("ttft_s", "reason")
        assert trace.to_frame().select("ttft_s", "reason").rows() == [
            (0.25, None),
            (None, "503"),
            (None, "cancelled"),
        ]


MOONCAKE = {"timestamp": 0, "input_length": 600, "output_length": 3, "hash_ids": [1, 2]}


def test_the_size_of_prefix_blocks_is_in_the_identity(tmp_path: Path) -> None:
    log = log_of([MOONCAKE, MOONCAKE | {"timestamp": 5}], tmp_path / "mooncake.jsonl")
    bl.ingest(log, tmp_path / "trace.parquet")
    for path in (log, tmp_path / "trace.parquet"):
        with bl.trace(path) as trace:
            assert trace.info.block_tokens == 512
    text = trace.info.to_json()
    assert TraceInfo.from_json(text) == trace.info


def test_an_identity_of_an_older_version_is_read() -> None:
    info = TraceInfo("made", "made", (), 2, 0, 0, 1.0, None, synthetic=True)
    content = json.loads(info.to_json())
    for key in ("block_tokens", "timezone", "notes"):
        del content[key]
    assert TraceInfo.from_json(json.dumps(content)) == info


def test_blocks_of_two_sizes_are_not_one_trace(tmp_path: Path) -> None:
    log = log_of([MOONCAKE], tmp_path / "mooncake.jsonl")
    frame = pl.DataFrame(
        {
            "arrival_s": [0.0],
            "service": ["llm"],
            "request_tokens": [40],
            "failed": [False],
            "prefix": [[1, 2, 3]],
        }
    ).with_columns(pl.lit(None).alias(name) for name in ("model", "session", "response_tokens", "elapsed_s"))
    info = TraceInfo("made", "made", (), 1, 0, 0, 1e-3, None, synthetic=True, block_tokens=16)
    with open_frame(frame, info) as trace:
        from burstlens.analysis.trace.trace import write_trace

        write_trace(trace, tmp_path / "small.parquet")
    with pytest.raises(bl.BurstlensError, match=r"of 512 and small\.parquet of 16 tokens"):
        bl.trace([log, tmp_path / "small.parquet"])
