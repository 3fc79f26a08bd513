"""Prefix blocks: kept where a log tells them, through Parquet and back, and set aside where they are none."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from burstlens.analysis.logs.options import LogOptions
from burstlens.analysis.trace.trace import ingest, open_trace
from burstlens.bench.prompts.token_ids import BLOCK, TokenPrompts
from burstlens.bench.workload.from_trace import from_trace

MOONCAKE = "mooncake_conversation_trace.jsonl"


def mooncake(path: Path, blocks: Iterable[Any]) -> Path:
    """A log in Mooncake's form, one request a second, with these `hash_ids`."""
    rows = ({"timestamp": 1000 * i, "input_length": 600, "output_length": 5, "hash_ids": each}
            for i, each in enumerate(blocks))  # fmt: skip
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def prefixes(log: Path) -> list[Any]:
    trace = open_trace(log)
    try:
        return from_trace(trace).requests["prefix"].to_list()
    finally:
        trace.engine.close()


def hits(prompts: Iterable[list[int]]) -> tuple[int, int, int]:
    """Blocks, blocks that a cache of everything before would hold, distinct blocks."""
    seen: set[int] = set()
    blocks = hit_blocks = 0
    for prompt in prompts:
        blocks += len(prompt)
        hit_blocks += next((i for i, block in enumerate(prompt) if block not in seen), len(prompt))
        seen.update(prompt)
    return blocks, hit_blocks, len(seen)


def test_the_workload_of_the_real_trace_shares_as_the_log_does(
    traces: Callable[[str], Path], tmp_path: Path
) -> None:
    log = traces(MOONCAKE)
    rows = sorted((json.loads(line) for line in log.read_text().splitlines()), key=lambda r: r["timestamp"])
    log_hits = hits(row["hash_ids"] for row in rows)
    assert log_hits == (288_500, 105_710, 182_790)
    assert hits(prefixes(log)) == log_hits
    ingest(log, out=tmp_path / "trace.parquet")
    assert prefixes(tmp_path / "trace.parquet") == prefixes(log)


def test_prompts_of_the_real_trace_share_their_blocks_only_when_asked(traces: Callable[[str], Path]) -> None:
    trace = open_trace(traces(MOONCAKE))
    rows = from_trace(trace, first=40).requests
    trace.engine.close()
    for share in (True, False):
        prompts = TokenPrompts(share=share)
        sent = [
            prompts.prompt(row["request_id"], row["request_tokens"], None, row["prefix"])
            for row in rows.iter_rows(named=True)
        ]
        assert [len(ids) for ids in sent] == rows["request_tokens"].to_list()
        # Whole blocks by what they hold, their number found anew.
        numbers: dict[tuple[int, ...], int] = {}
        found = [
            [numbers.setdefault(tuple(ids[: i + BLOCK]), len(numbers))
             for i in range(0, len(ids) - BLOCK + 1, BLOCK)]
            for ids in sent
        ]  # fmt: skip
        full = [row[: n // BLOCK] for row, n in rows.select("prefix", "request_tokens").iter_rows()]
        assert hits(found)[1] == (hits(full)[1] if share else 0)
        assert hits(full)[1] > 20


@pytest.mark.parametrize("wrong", ["x", 7, [1, -2], [1.5], [1, None], [""], {"a": 1}, [[1]], True])
def test_hashes_that_are_no_list_of_numbers_are_set_aside_with_their_line(wrong: Any, tmp_path: Path) -> None:
    trace = open_trace(mooncake(tmp_path / "log.jsonl", [[1, 2], wrong, [1, 3], None, []]))
    (reject,) = trace.rejects
    assert str(reject) == "log.jsonl, line 2: not a list of block numbers (prefix)"
    assert from_trace(trace).requests["prefix"].to_list() == [[1, 2], [1, 3], None, []]


def test_a_trace_has_the_column_only_where_a_log_tells_it(tmp_path: Path) -> None:
    with_blocks = mooncake(tmp_path / "with.jsonl", [[1], [1, 2]])
    without = tmp_path / "without.csv"
    without.write_text("arrival_s,request_tokens,response_tokens\n0.5,10,2\n1.5,10,2\n")
    ingest(without, out=tmp_path / "without.parquet")
    assert "prefix" not in pl.read_parquet_schema(tmp_path / "without.parquet")
    ingest([with_blocks, without], out=tmp_path / "both.parquet")
    assert prefixes(tmp_path / "both.parquet") == [[1], None, [1, 2], None]


def test_any_log_may_name_its_blocks(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text('ts,in,out,blocks\n1,10,2,"[4, 5]"\n2,10,2,\n3,10,2,4\n')
    columns = {"arrival": "ts", "request_tokens": "in", "response_tokens": "out", "prefix": "blocks"}
    trace = open_trace(log, options=LogOptions(columns=columns))
    assert from_trace(trace).requests["prefix"].to_list() == [[4, 5], None]
    assert [reject.line for reject in trace.rejects] == [4]


def test_blocks_stay_with_their_request_when_a_log_is_sorted_in(tmp_path: Path) -> None:
    log = mooncake(tmp_path / "log.jsonl", [[i] for i in range(100)])
    log.write_text("".join(reversed(log.read_text().splitlines(keepends=True))))
    assert prefixes(log) == [[i] for i in range(100)]
