"""Every known log format becomes the same trace columns, and a trace file gives them back."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import zstandard
from polars.testing import assert_frame_equal

import burstlens as bl
from burstlens.analysis.logs.options import LogOptions
from burstlens.analysis.logs.trace_info import METADATA_KEY
from burstlens.analysis.trace.trace import (
    COLUMNS,
    Trace,
    TraceInfo,
    ingest,
    open_frame,
    open_trace,
    write_trace,
)
from burstlens.queries.duckdb import DuckDBEngine

SIX = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
EIGHT = "Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
ROWS = (
    "5,ChatGPT,472,18,490,Conversation log\n"
    "5,GPT-4,1087,0,1087,API log\n"
    "45,ChatGPT,1087,230,1317,Conversation log\n"
)


def requests(trace: Trace) -> pl.DataFrame:
    """All requests of a trace with the names of their streams, in their order; closes the trace."""
    names = {row[0]: row[1:3] for row in trace.engine.table("streams").rows()}
    assert isinstance(trace.engine, DuckDBEngine)
    rows = trace.engine.connection.execute(
        "SELECT arrival_s, stream_id, session, request_tokens, response_tokens, elapsed_s, failed"
        " FROM requests"
    ).fetchall()
    trace.engine.close()
    return pl.DataFrame([(r[0], *names[r[1]], *r[2:]) for r in rows], schema=COLUMNS, orient="row")


def opened(path: Path, text: str | bytes, **options: Any) -> tuple[Trace, pl.DataFrame]:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    trace = open_trace(path, **options)
    return trace, requests(trace)


# ---- the real files ----------------------------------------------------------------------------------------

REAL = {
    # rows, sum of request tokens, sum of response tokens, failures, sessions, clock step
    "burstgpt_1_first7days.csv": (19_431, 12_221_770, 4_731_261, 1_538, 0, 1.0),
    "burstgpt_3_first400.csv": (400, 246_941, 68_350, 1, 135, 1.0),
    "azure_llm_2023_conv.csv": (19_366, 22_361_870, 4_088_665, 0, 0, 1e-6),
    "mooncake_conversation_trace.jsonl": (12_031, 144_793_823, 4_122_048, 0, 0, 1e-3),
    "maf2_azure_functions_2021_200.csv": (199, 0, 0, 0, 0, 1e-9),
}


@pytest.mark.parametrize("name", REAL)
def test_every_row_of_real_files_is_read(traces: Callable[[str], Path], name: str) -> None:
    trace = open_trace(traces(name))
    rows = requests(trace)
    assert (trace.info.rejected, trace.info.resorted, trace.info.synthetic) == (0, 0, False)
    assert (
        len(rows),
        rows["request_tokens"].sum(),
        rows["response_tokens"].sum(),
        rows["failed"].sum(),
        rows["session"].drop_nulls().n_unique(),
        trace.info.resolution_s,
    ) == REAL[name]
    assert trace.info.rows == len(rows)


@pytest.mark.slow
def test_what_the_real_files_lack_is_known(traces: Callable[[str], Path]) -> None:
    infos = {name: open_trace(traces(name)).info for name in REAL}
    lacks = {
        name: (info.has_failures, info.has_sessions, info.has_tokens, info.day0)
        for name, info in infos.items()
    }
    assert lacks == {
        "burstgpt_1_first7days.csv": (True, False, True, date(2023, 11, 1)),
        "burstgpt_3_first400.csv": (True, True, True, date(2023, 11, 1)),
        "azure_llm_2023_conv.csv": (False, False, True, date(2023, 11, 16)),
        "mooncake_conversation_trace.jsonl": (False, False, True, None),
        "maf2_azure_functions_2021_200.csv": (False, False, False, date(2021, 1, 31)),
    }
    assert infos["burstgpt_3_first400.csv"].failure_rule == "Response tokens is 0"


def test_sessions_of_file_3_stand_on_conversation_rows_only(traces: Callable[[str], Path]) -> None:
    rows = requests(open_trace(traces("burstgpt_3_first400.csv")))
    assert rows.filter(pl.col("session").is_null())["service"].to_list() == ["api"] * 6
    assert rows["arrival_s"][0] == 19_440_110.0
    assert rows["elapsed_s"][0] == 43.0


def test_the_real_week_equals_what_polars_reads(traces: Callable[[str], Path]) -> None:
    path = traces("burstgpt_1_first7days.csv")
    names = {"Conversation log": "conversation", "API log": "api"}
    plain = pl.read_csv(path).select(
        pl.col("Timestamp").cast(pl.Float64).alias("arrival_s"),
        pl.col("Log Type").replace_strict(names).alias("service"),
        pl.col("Model").alias("model"),
        pl.lit(None, pl.String).alias("session"),
        pl.col("Request tokens").cast(pl.Int32).alias("request_tokens"),
        pl.col("Response tokens").cast(pl.Int32).alias("response_tokens"),
        pl.lit(None, pl.Float64).alias("elapsed_s"),
        (pl.col("Response tokens") == 0).alias("failed"),
    )
    assert_frame_equal(requests(open_trace(path)), plain)


def test_files_1_and_3_make_one_trace_with_a_hole(traces: Callable[[str], Path]) -> None:
    names = ["burstgpt_3_first400.csv", "burstgpt_1_first7days.csv"]
    trace = open_trace([traces(name) for name in names])
    info = trace.info
    assert (info.rows, info.resorted, info.has_sessions) == (19_831, 19_431, True)
    assert [source.name for source in info.sources] == names
    assert info.name == "burstgpt_3_first400 + burstgpt_1_first7days"
    assert trace.segments["start_s"].to_list() == [5.0, 19_440_110.0]
    rows = requests(trace)
    assert rows["arrival_s"].is_sorted()
    assert rows["session"].null_count() == 19_431 + 6


# ---- the same rows in other clothes ------------------------------------------------------------------------


def packed(data: bytes, how: str) -> bytes:
    return {"": lambda d: d, ".gz": gzip.compress, ".zst": zstandard.compress}[how](data)


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["", ".gz", ".zst"])
@pytest.mark.parametrize("breaks", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("torn", [False, True], ids=["whole", "no last line break"])
def test_line_breaks_bom_and_packing_change_nothing(
    tmp_path: Path, ending: str, breaks: str, bom: bytes, torn: bool
) -> None:
    _, plain = opened(tmp_path / "plain.csv", SIX + ROWS)
    text = (SIX + ROWS).replace("\n", breaks)
    data = bom + (text.rstrip("\r\n") if torn else text).encode()
    trace, rows = opened(tmp_path / f"dressed.csv{ending}", packed(data, ending))
    assert_frame_equal(rows, plain)
    assert (trace.info.name, trace.info.rejected) == ("dressed", 0)


@pytest.mark.parametrize("far", [2**32 - 2, 2**32 - 1, 2**32, 8_999_999_999])
def test_stamps_beyond_32_bits_are_read(tmp_path: Path, far: int) -> None:
    """Seconds are held in 32 bits where they fit; one late row has the whole log read in 64."""
    trace, rows = opened(tmp_path / "far.csv", SIX + ROWS + f"{far},GPT-4,1,2,3,API log\n")
    assert (trace.info.rejected, trace.info.resolution_s) == (0, 1.0)
    assert rows["arrival_s"].to_list() == [5, 5, 45, far]


def test_line_breaks_of_both_kinds_in_one_file(tmp_path: Path) -> None:
    mixed = SIX + ROWS.replace("490", "490").replace("Conversation log\n", "Conversation log\r\n", 1)
    trace, rows = opened(tmp_path / "mixed.csv", mixed)
    assert (len(rows), trace.info.rejected) == (3, 0)
    assert rows["service"].to_list() == ["conversation", "api", "conversation"]


def test_what_a_file_is_goes_by_its_bytes_not_its_name(tmp_path: Path) -> None:
    assert len(opened(tmp_path / "plain.csv.gz", SIX + ROWS)[1]) == 3
    assert len(opened(tmp_path / "packed.csv", gzip.compress((SIX + ROWS).encode()))[1]) == 3
    assert len(opened(tmp_path / "BurstGPT", SIX + ROWS)[1]) == 3


def test_columns_in_another_order_case_and_quotes(tmp_path: Path) -> None:
    text = (
        '"log type";"MODEL";"Total tokens";"Response tokens";" Request tokens";"note";"Timestamp"\n'
        '"API log";"GPT-4";"7";"3";"4";"any; thing";"12"\n'
    )
    _, rows = opened(tmp_path / "excel.csv", text)
    assert rows.row(0) == (12.0, "api", "GPT-4", None, 4, 3, None, False)


def test_duplicates_are_read_and_other_services_have_their_own_names(tmp_path: Path) -> None:
    row = "7,m,1,2,3,Batch log\n"
    trace, rows = opened(tmp_path / "log.csv", SIX + row * 3)
    assert rows["service"].to_list() == ["Batch log"] * 3
    assert trace.info.rejected == 0


def test_float_stamps_count_as_whole_seconds(tmp_path: Path) -> None:
    row = "19440110.0,s-1,43,GPT-4,906,446,1352,Conversation log\n"
    trace, rows = opened(tmp_path / "log.csv", EIGHT + row)
    assert rows.row(0) == (19_440_110.0, "conversation", "GPT-4", "s-1", 906, 446, 43.0, False)
    assert trace.info.resolution_s == 1.0


def test_rows_out_of_order_are_sorted_and_counted(tmp_path: Path) -> None:
    stamps = [3, 1, 2, 5, 4, 5, 6]
    trace, rows = opened(
        tmp_path / "log.csv", SIX + "".join(f"{s},m,{i},1,1,x\n" for i, s in enumerate(stamps))
    )
    assert rows["arrival_s"].to_list() == [1, 2, 3, 4, 5, 5, 6]
    assert rows["request_tokens"].to_list() == [1, 2, 0, 4, 3, 5, 6]
    assert trace.info.resorted == 3


def test_what_the_head_does_not_show_is_found_all_the_same(tmp_path: Path) -> None:
    n = 30_000
    lines = [f"{i},m,1,1,2,API log\n" for i in range(n)]
    lines += [f"{n + 1},new model,1,1,2,new service\n", f"{n + 2}.25,m,1,1,2,API log\n"]
    trace, rows = opened(tmp_path / "log.csv", SIX + "".join(lines))
    assert (len(rows), trace.info.rejected) == (n + 2, 0)
    assert trace.selection("new service").n == 1
    assert rows["arrival_s"].to_list()[-2:] == [n + 1, n + 2.25]
    assert trace.info.resolution_s == 0.01


# ---- other formats -----------------------------------------------------------------------------------------


def test_azure_2024_stamps_with_a_zone_on_the_logs_own_clock(tmp_path: Path) -> None:
    text = (
        "TIMESTAMP,ContextTokens,GeneratedTokens\n"
        "2024-05-10 23:59:59.009930+00:00,2162,5\n"
        "2024-05-11 00:00:00.0178971+00:00,2399,6\n"
        "2024-05-11 00:00:01+00:00,76,0\n"
    )
    trace, rows = opened(tmp_path / "AzureLLMInferenceTrace_code_1week.csv", text)
    assert trace.info.day0 == date(2024, 5, 10)
    assert trace.info.resolution_s == 1e-7
    assert rows["arrival_s"].to_list() == pytest.approx([86_399.00993, 86_400.0178971, 86_401], abs=1e-9)
    assert rows["service"].to_list() == ["code"] * 3
    assert rows["failed"].sum() == 0


@pytest.mark.parametrize(
    ("name", "service"), [("AzureLLMInferenceTrace_conv.csv", "conversation"), ("mine.csv", "llm")]
)
def test_the_service_of_an_azure_log_is_in_its_name(tmp_path: Path, name: str, service: str) -> None:
    text = "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.6805907,374,44\n"
    _, rows = opened(tmp_path / name, text)
    assert rows["service"].to_list() == [service]
    assert rows["arrival_s"][0] == 18 * 3600 + 15 * 60 + 46.6805907


def test_day_0_is_the_earliest_date_even_if_it_stands_last(tmp_path: Path) -> None:
    late = "".join(f"2024-05-12 00:00:{i % 60:02d},1,1\n" for i in range(100))
    text = f"TIMESTAMP,ContextTokens,GeneratedTokens\n{late * 250}2024-05-10 12:00:00,1,1\n"
    trace, rows = opened(tmp_path / "log.csv", text)
    assert trace.info.day0 == date(2024, 5, 10)
    assert (rows["arrival_s"][0], len(rows), trace.info.rejected) == (43_200.0, 25_001, 0)


def test_two_dated_logs_share_the_earlier_day_0(tmp_path: Path) -> None:
    head = "TIMESTAMP,ContextTokens,GeneratedTokens\n"
    (tmp_path / "code.csv").write_text(head + "2023-11-17 01:00:00,1,2\n")
    (tmp_path / "conv.csv").write_text(head + "2023-11-16 02:00:00,3,4\n")
    trace = open_trace([tmp_path / "code.csv", tmp_path / "conv.csv"])
    assert trace.info.day0 == date(2023, 11, 16)
    assert requests(trace).select("arrival_s", "service").rows() == [
        (7_200.0, "conversation"),
        (90_000.0, "code"),
    ]


def test_logs_of_two_formats_share_a_calendar(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(SIX + "10,m,1,1,2,API log\n")
    (tmp_path / "b.csv").write_text("app,func,end_timestamp,duration\na,f,12.0,2.0\n")
    trace = open_trace([tmp_path / "a.csv", tmp_path / "b.csv"])
    days = (date(2023, 11, 1) - date(2021, 1, 31)).days
    assert trace.info.day0 == date(2021, 1, 31)
    assert requests(trace)["arrival_s"].to_list() == [10.0, days * 86_400 + 10.0]


def test_an_invocation_starts_at_its_end_less_its_duration(tmp_path: Path) -> None:
    _, rows = opened(tmp_path / "maf2.txt", "app,func,end_timestamp,duration\na,f,10.5,0.25\n")
    assert rows.row(0) == (10.25, "function", None, None, None, None, 0.25, False)


def minutes(counts: dict[int, int], function: str = "f") -> str:
    return ",".join(["o", "a", function, "http", *(str(counts.get(i, 0)) for i in range(1, 1441))]) + "\n"


MAF1 = ",".join(["HashOwner", "HashApp", "HashFunction", "Trigger", *map(str, range(1, 1441))]) + "\n"


@pytest.mark.slow
def test_counts_per_minute_are_spread_inside_their_minute(tmp_path: Path) -> None:
    text = MAF1 + minutes({1: 3, 1440: 1}) + minutes({1: 1}, "g")
    trace, rows = opened(tmp_path / "invocations_per_function_md.anon.d02.csv", text)
    assert trace.info.spread
    assert trace.info.day0 == date(2019, 7, 15)
    stamps = (rows["arrival_s"] - 86_400).to_list()
    assert len(stamps) == 5
    assert all(0 <= s < 60 for s in stamps[:4])
    assert 1439 * 60 <= stamps[4] < 86_400
    again = open_trace(tmp_path / "invocations_per_function_md.anon.d02.csv")
    assert_frame_equal(requests(again), rows)
    assert trace.info.resorted == 0


@pytest.mark.slow
def test_spread_counts_are_even_and_keep_every_minutes_sum(tmp_path: Path) -> None:
    text = MAF1 + "".join(minutes({7: 1, 8: k % 5}, f"f{k}") for k in range(2000))
    trace, rows = opened(tmp_path / "d01.csv", text)
    in_7, in_8 = (rows.filter(pl.col("arrival_s") // 60 == m - 1)["arrival_s"] % 60 for m in (7, 8))
    assert (len(in_7), len(in_8)) == (2000, 2000 * 2)
    for inside in (in_7, in_8):
        per_second = (inside // 1).value_counts()["count"]
        assert len(per_second) == 60
        assert per_second.max() < 1.35 * len(inside) / 60
    assert trace.info.day0 == date(2019, 7, 15)


def test_mooncake_takes_unknown_keys_and_rows_without_hashes(tmp_path: Path) -> None:
    lines = [
        {
            "timestamp": 27_482,
            "input_length": 6755,
            "output_length": 500,
            "hash_ids": [46, 47],
            "new": {"a": 1},
        },
        {"timestamp": 30_535, "input_length": 7322, "output_length": 490},
    ]
    text = "\n\n".join(json.dumps(line) for line in lines)
    trace, rows = opened(tmp_path / "toolagent_trace.jsonl", text)
    assert rows["arrival_s"].to_list() == [27.482, 30.535]
    assert rows["service"].to_list() == ["toolagent"] * 2
    assert (trace.info.day0, trace.info.has_failures, trace.info.rejected) == (None, False, 0)


# ---- columns by mapping ------------------------------------------------------------------------------------


def test_a_mapping_reads_any_csv(tmp_path: Path) -> None:
    text = 'ts,"prompt, tokens",out,who,ok?\n1.5,10,20,"a ""b""",true\n2.5,11,21,c,false\n'
    columns = {
        "arrival": "ts",
        "request_tokens": "prompt, tokens",
        "response_tokens": "out",
        "model": "who",
        "failed": "ok?",
    }
    trace, rows = opened(tmp_path / "any.csv", text, options=LogOptions(columns=columns))
    assert rows.rows() == [
        (1.5, "llm", 'a "b"', None, 10, 20, None, True),
        (2.5, "llm", "c", None, 11, 21, None, False),
    ]
    info = trace.info
    assert (info.format, info.has_failures, info.failure_rule) == ("columns", True, "ok? is true")
    assert (info.day0, info.resolution_s) == (None, 0.1)


@pytest.mark.parametrize(
    ("key", "value"), [("arrival_ms", 1500), ("arrival_us", 1_500_000), ("arrival", 1.5)]
)
def test_units_of_arrival(tmp_path: Path, key: str, value: float) -> None:
    _, rows = opened(tmp_path / "any.csv", f"t\n{value}\n", options=LogOptions(columns={key: "t"}))
    assert rows["arrival_s"].to_list() == [1.5]
    assert rows["request_tokens"].to_list() == [None]


def test_unix_time_gives_day_0(tmp_path: Path) -> None:
    trace, rows = opened(
        tmp_path / "any.csv", "t\n1700000000.25\n1700000001\n", options=LogOptions(columns={"arrival": "t"})
    )
    assert trace.info.day0 == date(2023, 11, 14)
    assert rows["arrival_s"].to_list() == [80_000.25, 80_001]
    assert trace.info.resolution_s == 0.01


def test_iso_dates_and_elapsed_milliseconds(tmp_path: Path) -> None:
    text = "when,took\n2024-02-29T01:00:00.5Z,250\n2024-02-29T01:00:02Z,1000\n"
    trace, rows = opened(
        tmp_path / "any.csv", text, options=LogOptions(columns={"arrival": "when", "elapsed_ms": "took"})
    )
    assert trace.info.day0 == date(2024, 2, 29)
    assert rows.select("arrival_s", "elapsed_s").rows() == [(3600.5, 0.25), (3602.0, 1.0)]


def test_one_column_for_two(tmp_path: Path) -> None:
    columns = {"arrival": "t", "session": "t", "model": "t"}
    _, rows = opened(tmp_path / "any.csv", "t,u\n7,8\n", options=LogOptions(columns=columns))
    assert rows.row(0)[:4] == (7.0, "llm", "7", "7")


def test_a_mapping_reads_json_lines_and_parquet(tmp_path: Path) -> None:
    text = '{"at": "2024-02-29T01:00:00", "in": 3}\n{"at": "2024-02-29 02:00:00", "in": 4.0}\n'
    columns = {"arrival": "at", "request_tokens": "in"}
    trace, rows = opened(
        tmp_path / "any.jsonl.gz", gzip.compress(text.encode()), options=LogOptions(columns=columns)
    )
    assert rows.select("arrival_s", "request_tokens").rows() == [(3600.0, 3), (7200.0, 4)]
    pl.DataFrame({"at": [3.5, 2.5], "in": [1, 2]}).write_parquet(tmp_path / "any.parquet")
    trace = open_trace(tmp_path / "any.parquet", options=LogOptions(columns=columns))
    assert trace.info.resorted == 1
    assert requests(trace).select("arrival_s", "request_tokens").rows() == [(2.5, 2), (3.5, 1)]


# ---- trace files -------------------------------------------------------------------------------------------


def test_a_trace_file_gives_everything_back(traces: Callable[[str], Path], tmp_path: Path) -> None:
    log = traces("burstgpt_3_first400.csv")
    done = ingest(log, out=tmp_path / "o'ne [1] *.parquet")
    straight, again = open_trace(log), open_trace(done.out)
    assert again.info == straight.info == done.info
    assert_frame_equal(requests(again), requests(straight))
    assert done.rejects is None
    assert [p.name for p in tmp_path.iterdir()] == ["o'ne [1] *.parquet"]
    stored = pl.read_parquet(done.out, glob=False)
    assert dict(stored.schema) == {name: kind() for name, kind in COLUMNS.items()}
    assert stored["arrival_s"].is_sorted()
    message = json.loads(pl.read_parquet_metadata(done.out)[METADATA_KEY])
    assert (message["rows"], message["day0"], message["synthetic"]) == (400, "2023-11-01", False)


@pytest.mark.slow
@pytest.mark.parametrize("name", list(REAL))
def test_every_format_survives_a_trace_file(traces: Callable[[str], Path], tmp_path: Path, name: str) -> None:
    done = ingest(traces(name), out=tmp_path / "trace.parquet")
    again = open_trace(done.out)
    assert again.info == done.info
    assert_frame_equal(requests(again), requests(open_trace(traces(name))))


def test_traces_of_two_files_join(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(SIX + ROWS + "bad\n")
    (tmp_path / "b.csv").write_text(SIX + "100000,m,1,1,2,API log\n")
    for name in "ab":
        ingest(tmp_path / f"{name}.csv", out=tmp_path / f"{name}.parquet")
    trace = open_trace([tmp_path / "a.parquet", tmp_path / "b.parquet"])
    assert (trace.info.rows, trace.info.rejected, trace.info.format) == (4, 1, "burstgpt")
    assert [source.name for source in trace.info.sources] == ["a.csv", "b.csv"]
    trace.engine.close()


def test_an_interrupted_write_leaves_the_old_trace(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(SIX + ROWS)
    done = ingest(tmp_path / "a.csv", out=tmp_path / "a.parquet")
    before = done.out.read_bytes()
    frame = pl.read_parquet(done.out).drop("service")
    with pytest.raises(pl.exceptions.ColumnNotFoundError):
        write_trace(frame, done.out, done.info)
    assert done.out.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.csv", "a.parquet"]


def test_synthetic_survives_as_metadata_and_as_a_name(tmp_path: Path) -> None:
    _, rows = opened(tmp_path / "real.csv", SIX + ROWS)
    info = TraceInfo("made", "burstgpt", (), 3, 0, 0, 1.0, date(2023, 11, 1), synthetic=True)
    write_trace(rows, tmp_path / "made.parquet", info)
    assert open_trace(tmp_path / "made.parquet").info.synthetic
    assert opened(tmp_path / "my-Synthetic-7d.csv", SIX + ROWS)[0].info.synthetic
    trace = open_frame(rows, info)
    assert (trace.info.synthetic, trace.info.sources, trace.info.rows) == (True, (), 3)
    assert_frame_equal(requests(trace), rows)


def test_a_folder_by_day_has_a_file_for_every_day_with_requests_and_no_other(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    # The second lies so near to midnight that its tick is the next day's.
    at_s = [5.0, 86_399.9999999, 86_400.5, 20 * 86_400.0]
    log.write_text("arrival_s,request_tokens,response_tokens\n" + "".join(f"{at!r},5,5\n" for at in at_s))
    bl.ingest(log, tmp_path / "days", partition_by="day")
    assert sorted(path.name for path in (tmp_path / "days").glob("day=*")) == [
        "day=000000", "day=000001", "day=000020",
    ]  # fmt: skip
    again = bl.trace(tmp_path / "days")
    assert again.to_frame()["arrival_s"].to_list() == at_s
    again.close()
