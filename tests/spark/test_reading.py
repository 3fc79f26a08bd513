"""Spark reads every log as DuckDB does: the same requests, the same bad rows, the same identity."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import burstlens as bl
from burstlens.analysis.trace.trace import Cluster
from burstlens.queries.dialect import in_spark
from burstlens.queries.duckdb import DuckDBEngine
from burstlens.queries.spark import SparkEngine, start

from .conftest import QUICK, Both, Open

pytestmark = pytest.mark.spark

BAD = """Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type
1,ChatGPT,10,20,30,Conversation log
2,ChatGPT,-1,20,19,Conversation log
3,ChatGPT,ten,20,30,API log
4,ChatGPT,10,20,30
nan,ChatGPT,10,20,30,API log
,ChatGPT,10,20,30,API log
7,GPT-4,10,0,10,API log

6,GPT-4,10,1.5,11.5,API log
5,GPT-4,10,20,30,API log
9e9,GPT-4,10,20,30,API log
8,"GPT-4",10,3000000000,30,API log
8,,10,20,30,API log
9,GPT-4,10,20,30,API log,more
"""
REQUESTS = """
SELECT service, model, tick, arrival_s, session, request_tokens, response_tokens, elapsed_s, failed,
    client, cached_tokens, reasoning_tokens, ttft_s, reason, images
FROM requests JOIN streams ON streams.stream_id = requests.stream_id
ORDER BY 1, 2, 3, 4, 5, 6, 7, 8, 10
"""


def alike(opened: Both) -> None:
    """The same identity, selections and requests."""
    mine, theirs = opened.duckdb, opened.spark
    assert mine.info == theirs.info
    assert mine.selections == theirs.selections
    assert mine.segments.rows() == theirs.segments.rows()
    assert isinstance(mine.engine, DuckDBEngine)
    assert isinstance(theirs.engine, SparkEngine)
    assert mine.engine.connection.execute(REQUESTS).fetchall() == theirs.engine.rows(in_spark(REQUESTS))


def head(path: Path, rows: int, out: Path) -> Path:
    out.write_text("".join(path.read_text().splitlines(keepends=True)[:rows]))
    return out


def test_bad_rows_are_set_aside_for_the_same_reasons_and_counted(both: Open, tmp_path: Path) -> None:
    log = tmp_path / "bad.csv"
    log.write_text(BAD)
    opened = both(log)
    alike(opened)
    assert opened.spark.info.rejected == 10
    assert opened.spark.info.resorted == 1
    reasons = sorted((reject.reason, reject.column) for reject in opened.spark.rejects)
    assert ("negative", "request_tokens") in reasons
    assert ("not a number", "Request tokens") in reasons
    assert [r for r, _ in reasons].count("not 6 columns, as the header has") == 2
    assert any(reject.text == "4,ChatGPT,10,20,30" for reject in opened.spark.rejects)


def test_real_dates_are_read_alike(both: Open, traces: Callable[[str], Path], tmp_path: Path) -> None:
    alike(both(head(traces("azure_llm_2023_conv.csv"), 300, tmp_path / "azure_conv.csv")))


def test_stamps_of_100_ns_are_read_alike(both: Open, tmp_path: Path) -> None:
    log = tmp_path / "azure_code.csv"
    stamps = (f"2024-05-10 00:{i // 60:02d}:{i % 60:02d}.{i * 7919 % 10**7:07d}+00:00" for i in range(200))
    log.write_text(
        "TIMESTAMP,ContextTokens,GeneratedTokens\n" + "".join(f"{stamp},10,5\n" for stamp in stamps)
    )
    opened = both(log)
    assert opened.spark.info.resolution_s == 1e-7
    alike(opened)


def test_json_lines_bad_lines_and_prefix_blocks_are_read_alike(
    both: Open, traces: Callable[[str], Path], tmp_path: Path
) -> None:
    log = head(traces("mooncake_conversation_trace.jsonl"), 200, tmp_path / "mooncake.jsonl")
    with log.open("a") as file:
        file.write(
            '{"timestamp": 5, "input_len\n\n{"timestamp": 1e6, "input_length": 3, "output_length": -1}\n'
        )
        file.write('{"timestamp": 2e6, "input_length": 3, "output_length": 4, "hash_ids": "none"}\n')
    opened = both(log)
    alike(opened)
    assert opened.spark.info.rejected == 3
    assert sorted(r.reason for r in opened.spark.rejects) == [
        "negative",
        "not JSON",
        "not a list of block numbers",
    ]
    blocks = "SELECT tick, prefix FROM requests ORDER BY tick, prefix"
    assert isinstance(opened.duckdb.engine, DuckDBEngine)
    assert isinstance(opened.spark.engine, SparkEngine)
    rows = opened.duckdb.engine.connection.execute(blocks).fetchall()
    assert rows == [(tick, prefix) for tick, prefix in opened.spark.engine.rows(blocks)]


def test_mapped_columns_in_other_units_are_read_alike(both: Open, tmp_path: Path) -> None:
    log = tmp_path / "mine.csv"
    log.write_text(
        "ts;in;out\n" + "".join(f"{1700000000000 + 250 * i};{i % 7};{i % 5}\n" for i in range(100))
    )
    alike(both(log, columns={"arrival_ms": "ts", "request_tokens": "in", "response_tokens": "out"}))


def test_optional_columns_are_read_alike(both: Open, local: Cluster, tmp_path: Path) -> None:
    rows = ['{"t": 0, "in": 5, "out": 2, "bad": false, "key": 17, "first": 250, "why": "stop", "hit": 3}'] * 3
    rows += ['{"t": 9, "bad": true, "why": "RateLimitError"}', '{"t": 9, "out": 2, "bad": false}']
    rows += ['{"t": 9, "in": 5, "out": 2, "bad": false, "hit": -3}']
    log = tmp_path / "mine.jsonl"
    log.write_text("\n".join(rows) + "\n")
    columns = {
        "arrival": "t", "request_tokens": "in", "response_tokens": "out", "failed": "bad",
        "client": "key", "ttft_ms": "first", "reason": "why", "cached_tokens": "hit",
    }  # fmt: skip
    opened = both(log, columns=columns)
    alike(opened)
    assert opened.spark.optional == opened.duckdb.optional == ("client", "cached_tokens", "ttft_s", "reason")
    reasons = [sorted((r.reason, r.column) for r in each.rejects) for each in (opened.spark, opened.duckdb)]
    assert reasons == [[("missing or not a number", "request_tokens"), ("negative", "cached_tokens")]] * 2
    bl.ingest(log, tmp_path / "trace", columns=columns, engine="spark", master=local.master, conf=local.conf)
    with bl.trace(tmp_path / "trace") as written:
        assert written.to_frame().equals(opened.duckdb.to_frame())


@pytest.mark.parametrize(
    ("master", "error", "text"),
    [
        ("spark://127.0.0.1:1", bl.EndpointError, "no Spark master answers at spark://127.0.0.1:1"),
        ("spark://nowhere", bl.InputError, "master: 'spark://nowhere' does not have the form"),
        ("sparkle", bl.InputError, "sparkle"),
    ],
)
def test_a_master_that_does_not_exist_is_one_line(
    tmp_path: Path, master: str, error: type[bl.BurstlensError], text: str
) -> None:
    log = tmp_path / "log.csv"
    log.write_text(BAD)
    with pytest.raises(error) as caught:
        bl.trace(log, engine="spark", conf=QUICK, master=master)
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_answer_too_large_for_the_driver_is_one_line_that_says_what_to_raise(
    traces: Callable[[str], Path],
) -> None:
    spark: dict[str, Any] = {"engine": "spark", "conf": {**QUICK, "spark.driver.maxResultSize": "2k"}}
    with pytest.raises(bl.BurstlensError, match=r"raise that with the setting spark\.driver\.max") as caught:
        bl.describe(traces("burstgpt_3_first400.csv"), **spark)
    assert "\n" not in str(caught.value)


CUT = """
import os, signal, sys
import burstlens as bl

def show(step, share):
    # The second part beside the main thread, which waits for Java by then.
    if step == "conversations":
        os.kill(os.getpid(), signal.SIGINT)

try:
    bl.describe(sys.argv[1], engine="spark", progress=show)
except KeyboardInterrupt:
    print("stopped")
"""


def test_an_interrupt_while_spark_works_shows_no_stack(traces: Callable[[str], Path]) -> None:
    log = traces("burstgpt_1_first7days.csv")
    done = subprocess.run([sys.executable, "-c", CUT, log], capture_output=True, text=True, timeout=180)
    assert "stopped" in done.stdout, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("message", "line"),
    [
        (
            "SparkOutOfMemoryError: [AGGREGATE_OUT_OF_MEMORY] No enough memory for aggregation",
            "out of memory",
        ),
        ("java.lang.OutOfMemoryError: Java heap space", "out of memory"),
        ("java.io.IOException: No space left on device", r"spark\.local\.dir"),
        ("Answer from Java side is empty", "Java process or its master is gone"),
    ],
)
def test_a_cluster_that_gives_up_is_one_line_with_what_mends_it(
    local: Cluster, message: str, line: str
) -> None:
    engine = start(local.master, local.conf, bl.BurstlensError)
    with pytest.raises(bl.BurstlensError, match=line), engine.guarded():
        raise RuntimeError(message)
    with pytest.raises(RuntimeError, match="something else"), engine.guarded():
        raise RuntimeError("something else")


def test_without_java_the_command_that_mends_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log.csv"
    log.write_text(BAD)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with pytest.raises(bl.BurstlensError, match="needs Java 17 or newer: apt-get install"):
        bl.trace(log, engine="spark")


def test_without_the_extra_the_command_that_mends_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log.csv"
    log.write_text(BAD)
    monkeypatch.setitem(sys.modules, "sqlglot", None)
    with pytest.raises(bl.BurstlensError, match=r"needs sqlglot: pip install 'burstlens\[spark\]'"):
        bl.trace(log, engine="spark")


def test_a_master_without_spark_and_a_format_that_spark_does_not_read_are_one_line(
    tmp_path: Path, local: Cluster
) -> None:
    log = tmp_path / "invocations_per_function_md.anon.d01.csv"
    minutes = ",".join(str(i) for i in range(1, 1441))
    log.write_text(f"HashOwner,HashApp,HashFunction,Trigger,{minutes}\na,b,c,http,{','.join(['1'] * 1440)}\n")
    with pytest.raises(
        bl.BurstlensError, match="is not read on Spark; first make a trace of it: burstlens ingest"
    ):
        bl.trace(log, engine="spark", master=local.master, conf=local.conf)
    with pytest.raises(bl.BurstlensError, match="are for Spark"):
        bl.trace(log, master="yarn")


def test_a_log_at_a_url_of_a_connector_is_read_as_the_file_is(
    traces: Callable[[str], Path], local: Cluster, tmp_path: Path
) -> None:
    log = traces("burstgpt_3_first400.csv")
    spark: dict[str, Any] = {"engine": "spark", "master": local.master, "conf": local.conf}
    bl.ingest(log, tmp_path / "one.parquet")
    bl.ingest(log, tmp_path / "by day", partition_by="day")
    for path in (log, tmp_path / "one.parquet", tmp_path / "by day"):
        with bl.trace(path) as mine, bl.trace(f"file://{path.absolute()}", **spark) as theirs:
            assert theirs.info == mine.info
            assert theirs.selections == mine.selections


def test_a_url_that_cannot_be_read_is_one_line(local: Cluster, tmp_path: Path) -> None:
    spark: dict[str, Any] = {"engine": "spark", "master": local.master, "conf": local.conf}
    (tmp_path / "none.csv").write_text("a,b\n1,2\n")
    for url, words in (
        (f"file://{tmp_path}/gone.csv", r"^file:///.*gone\.csv: no such file$"),
        (f"file://{tmp_path}/none.csv", r"^file:///.*none\.csv: unknown header"),
        (
            "s3a://bucket/log.csv",
            r"^s3a://bucket/log\.csv: Spark has no connector for s3a:// here; .*packages",
        ),
        ("hdfs://127.0.0.1:1/log.csv", r"^hdfs://127\.0\.0\.1:1/log\.csv: cannot be read by Spark: "),
    ):
        with pytest.raises(bl.BurstlensError, match=words) as caught:
            bl.trace(url, **spark)
        assert "\n" not in str(caught.value)
    with pytest.raises(bl.BurstlensError, match=r"^s3a://bucket/log\.csv: only Spark reads URLs"):
        bl.trace("s3a://bucket/log.csv")
