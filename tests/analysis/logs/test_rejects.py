"""Bad rows are set aside, each with its line and the reason; good rows come back exactly."""

from __future__ import annotations

import csv
import gzip
import io
import random
import string
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from burstlens.analysis.core.errors import BurstlensError
from burstlens.analysis.logs.options import LogOptions
from burstlens.analysis.logs.rejects import Reject
from burstlens.analysis.logs.trace_info import METADATA_KEY, TraceInfo
from burstlens.analysis.trace.trace import Trace, ingest, open_trace
from burstlens.queries.duckdb import DuckDBEngine

HEADER = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type"
GOOD = "5,ChatGPT,472,18,490,Conversation log"


def rows(trace: Trace) -> list[tuple[Any, ...]]:
    """Arrival, service, model and token counts of every request, in order; closes the trace."""
    names = {row[0]: row[1:3] for row in trace.engine.table("streams").rows()}
    assert isinstance(trace.engine, DuckDBEngine)
    answers = trace.engine.connection.execute(
        "SELECT arrival_s, stream_id, request_tokens, response_tokens, failed FROM requests"
    ).fetchall()
    trace.engine.close()
    return [(r[0], *names[r[1]], *r[2:]) for r in answers]


def rejects(path: Path, *lines: str | bytes, breaks: bytes = b"\n", **options: Any) -> tuple[Reject, ...]:
    """What is rejected of a BurstGPT log with these lines between two good ones."""
    between = [line if isinstance(line, bytes) else line.encode() for line in lines]
    path.write_bytes(breaks.join([HEADER.encode(), GOOD.encode(), *between, GOOD.encode(), b""]))
    trace = open_trace(path, **options)
    assert len(rows(trace)) + trace.info.rejected == len(lines) + 2
    assert trace.info.rejected == len(trace.rejects)
    return trace.rejects


BAD: dict[str, tuple[str | bytes, str, str | None]] = {
    "word for a number": (
        "6,ChatGPT,many,18,490,API log",
        'not a number: "many"',
        "Request tokens",
    ),
    "empty tokens": ("6,ChatGPT,,18,490,API log", "missing or not a number", "request_tokens"),
    "empty stamp": (",ChatGPT,472,18,490,API log", "missing or not a time", "arrival_s"),
    "empty model": ("6,,472,18,490,API log", "missing", "model"),
    "empty service": ("6,ChatGPT,472,18,490,", "missing", "service"),
    "negative tokens": ("6,ChatGPT,472,-18,490,API log", "negative", "response_tokens"),
    "negative stamp": ("-6,ChatGPT,472,18,490,API log", "negative", "arrival_s"),
    "part of a token": ("6,ChatGPT,4.5,18,490,API log", "not a whole number", "request_tokens"),
    "tokens beyond reason": ("6,ChatGPT,99999999999,18,9,API log", "absurdly large", "request_tokens"),
    "stamp beyond reason": ("1e17,ChatGPT,472,18,490,API log", "absurdly large", "arrival_s"),
    "overflow": ("1e400,ChatGPT,472,18,490,API log", "not finite", "arrival_s"),
    "not a number": ("nan,ChatGPT,472,18,490,API log", "not finite", "arrival_s"),
    "infinity": ("inf,ChatGPT,472,18,490,API log", "not finite", "arrival_s"),
    "nan tokens": ("6,ChatGPT,nan,18,490,API log", "not finite", "request_tokens"),
    "too few columns": ("6,ChatGPT,472", "3 columns, but the header has 6", None),
    "too many columns": ("6,ChatGPT,472,18,490,API log,x", "7 columns, but the header has 6", None),
    "foreign bytes": (b"6,Chat\xff\xfeGPT,472,18,490,API log", "not UTF-8", "Model"),
    "nul in a name": (
        b"6,Chat\x00GPT,472,18,490,API log",
        "NUL byte in the name of a service or model",
        None,
    ),
    "nul in a number": (b"6,ChatGPT,4\x002,18,490,API log", 'not a number: "4\\x002"', "Request tokens"),
    "nothing but nul": (b"\x00" * 40, "1 column, but the header has 6", None),
    "a comment": ("# restarted", "1 column, but the header has 6", None),
}


@pytest.mark.slow
@pytest.mark.parametrize("what", BAD)
@pytest.mark.parametrize("breaks", [b"\n", b"\r\n"], ids=["LF", "CRLF"])
def test_a_bad_row_is_rejected_with_line_and_reason(tmp_path: Path, what: str, breaks: bytes) -> None:
    line, reason, column = BAD[what]
    found = rejects(tmp_path / "log.csv", GOOD, line, breaks=breaks)
    assert [(r.file, r.line, r.reason, r.column) for r in found] == [("log.csv", 4, reason, column)]


def test_all_kinds_of_bad_rows_in_one_log(tmp_path: Path) -> None:
    lines = [line for bad in BAD.values() for line in (bad[0], GOOD)]
    found = rejects(tmp_path / "log.csv", *lines)
    assert [r.line for r in found] == [3 + 2 * i for i in range(len(BAD))]
    assert [r.reason for r in found] == [bad[1] for bad in BAD.values()]


def test_a_torn_last_line_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text(f"{HEADER}\n{GOOD}\n7,ChatG")
    trace = open_trace(tmp_path / "log.csv")
    assert [(r.line, r.reason, r.text) for r in trace.rejects] == [
        (3, "2 columns, but the header has 6", "7,ChatG")
    ]
    assert len(rows(trace)) == 1


def test_blank_lines_are_no_rows_but_count_as_lines(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text(f"{HEADER}\n\n{GOOD}\n\n\n-1,ChatGPT,1,1,2,API log\nx\n\n{GOOD}\n")
    trace = open_trace(tmp_path / "log.csv")
    assert [(r.line, r.reason) for r in trace.rejects] == [
        (6, "negative"),
        (7, "1 column, but the header has 6"),
    ]
    assert len(rows(trace)) == 2


def test_line_numbers_hold_after_line_breaks_in_quotes(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text(
        f'{HEADER}\n5,"two\nlines",1,1,2,API log\n6,m,-1,1,2,API log\n7,"three\n\nlines",1,1,2,API log\nbad\n'
    )
    trace = open_trace(tmp_path / "log.csv")
    assert [(r.line, r.reason) for r in trace.rejects] == [
        (4, "negative"),
        (8, "1 column, but the header has 6"),
    ]
    assert [r[2] for r in rows(trace)] == ["two\nlines", "three\n\nlines"]


def test_a_quote_that_is_never_closed_loses_no_line_silently(tmp_path: Path) -> None:
    lines = [GOOD, '6,"Chat,1,1,2,API log', GOOD, GOOD]
    (tmp_path / "log.csv").write_text("\n".join([HEADER, *lines, ""]))
    trace = open_trace(tmp_path / "log.csv")
    assert [(r.line, r.reason) for r in trace.rejects] == [
        (3, "a quote that is not closed"),
        (4, "inside the quote opened on line 3"),
        (5, "inside the quote opened on line 3"),
    ]
    assert trace.info.rows == 1


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"timestamp": 1, "input_length": 2', "not JSON"),
        ("plain words", "not JSON"),
        ("[1, 2]", "missing or not a time"),
        ('{"timestamp": 1, "input_length": 2}', "missing or not a number"),
        ('{"timestamp": 1, "input_length": "many", "output_length": 1}', "missing or not a number"),
        ('{"timestamp": -1, "input_length": 1, "output_length": 1}', "negative"),
        ('{"timestamp": 1, "input_length": 1.5, "output_length": 1}', "not a whole number"),
        ('{"timestamp": 1e999, "input_length": 1, "output_length": 1}', "not finite"),
    ],
)
def test_bad_lines_of_json_are_rejected(tmp_path: Path, line: str, reason: str) -> None:
    good = '{"timestamp": 1000, "input_length": 2, "output_length": 3, "hash_ids": []}'
    (tmp_path / "log.jsonl").write_text(f"{good}\n\n{good}\n{line}\n{good}")
    trace = open_trace(tmp_path / "log.jsonl")
    assert [(r.line, r.reason, r.text) for r in trace.rejects] == [(4, reason, line)]
    assert len(rows(trace)) == 3


def test_bad_rows_of_parquet_are_rejected_by_row(tmp_path: Path) -> None:
    pl.DataFrame({"t": [1.0, None, 3.0], "n": [1, 2, -3]}).write_parquet(tmp_path / "log.parquet")
    trace = open_trace(
        tmp_path / "log.parquet", options=LogOptions(columns={"arrival": "t", "request_tokens": "n"})
    )
    assert [(r.line, r.reason, r.column) for r in trace.rejects] == [
        (2, "missing or not a time", "arrival_s"),
        (3, "negative", "request_tokens"),
    ]
    trace.engine.close()


def test_bad_rows_of_sessions_and_durations(tmp_path: Path) -> None:
    head = "Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
    lines = [
        "5,s,1,m,1,1,2,x",
        "5,,,m,1,1,2,x",
        "5,s,-1,m,1,1,2,x",
        "5,s,nan,m,1,1,2,x",
        "5,s\0t,1,m,1,1,2,x",
    ]
    (tmp_path / "log.csv").write_text(head + "\n".join(lines) + "\n")
    trace = open_trace(tmp_path / "log.csv")
    assert [(r.line, r.reason, r.column) for r in trace.rejects] == [
        (4, "negative", "elapsed_s"),
        (5, "not finite", "elapsed_s"),
        (6, "NUL byte in the text", "session"),
    ]
    assert len(rows(trace)) == 2


@pytest.mark.slow
def test_bad_counts_of_a_minute(tmp_path: Path) -> None:
    header = ["HashOwner", "HashApp", "HashFunction", "Trigger", *map(str, range(1, 1441))]
    good = ["o", "a", "f", "http", *["0"] * 1439, "2"]
    table = [header, good, [*good[:4], "-1", *good[5:]], good[:-1], [*good[:4], "x", *good[5:]]]
    (tmp_path / "d01.csv").write_text("\n".join(",".join(row) for row in table) + "\n")
    trace = open_trace(tmp_path / "d01.csv")
    assert [r.line for r in trace.rejects] == [3, 4, 5]
    assert trace.rejects[0].reason == 'not a number: "-1"'
    assert trace.info.rows == 2


def test_bad_rows_of_packed_logs_and_of_several(tmp_path: Path) -> None:
    text = f"{HEADER}\n{GOOD}\n-1,m,1,1,2,API log\nx\n".encode()
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(text))
    (tmp_path / "b.csv").write_bytes(text)
    trace = open_trace([tmp_path / "a.csv.gz", tmp_path / "b.csv"])
    assert [(r.file, r.line) for r in trace.rejects] == [
        ("a.csv.gz", 3),
        ("a.csv.gz", 4),
        ("b.csv", 3),
        ("b.csv", 4),
    ]
    assert len(rows(trace)) == 2


# ---- the file of rejects, and --strict ---------------------------------------------------------------------


def test_the_rejects_file_tells_everything_and_can_be_read_back(tmp_path: Path) -> None:
    bad = b'6,"a\\b\t\xff",1,1,2,API log'
    (tmp_path / "log.csv").write_bytes(f"{HEADER}\n{GOOD}\n".encode() + bad + b"\nx\n")
    done = ingest(tmp_path / "log.csv", out=tmp_path / "trace.parquet")
    assert done.rejects == tmp_path / "trace.rejects.csv"
    with done.rejects.open(newline="", encoding="utf-8") as file:
        listed = list(csv.DictReader(file))
    assert [(t["file"], t["line"], t["reason"], t["column"]) for t in listed] == [
        ("log.csv", "3", "not UTF-8", "Model"),
        ("log.csv", "4", "1 column, but the header has 6", ""),
    ]
    assert listed[0]["text"] == '6,"a\\\\b\\t\\xff",1,1,2,API log'
    assert done.info.rejected == 2
    info = TraceInfo.from_json(pl.read_parquet_metadata(done.out)[METADATA_KEY])
    assert (info.rejected, info.rows) == (2, 1)
    assert done.lines()[1] == f"2 rows rejected, listed in {done.rejects}"


def test_a_rejects_file_of_an_earlier_run_does_not_stay(tmp_path: Path) -> None:
    log, out = tmp_path / "log.csv", tmp_path / "trace.parquet"
    log.write_text(f"{HEADER}\n{GOOD}\nx\n")
    assert ingest(log, out=out).rejects is not None
    log.write_text(f"{HEADER}\n{GOOD}\n")
    assert ingest(log, out=out).rejects is None
    assert not (tmp_path / "trace.rejects.csv").exists()


def test_strict_stops_at_the_first_bad_row_and_writes_nothing(tmp_path: Path) -> None:
    log, out = tmp_path / "log.csv", tmp_path / "trace.parquet"
    log.write_text(f"{HEADER}\n{GOOD}\n6,m,-1,1,2,API log\nx\n")
    with pytest.raises(BurstlensError) as stopped:
        ingest(log, out=out, strict=True)
    assert str(stopped.value) == "log.csv, line 3: negative (request_tokens) (strict=True stops here)"
    assert [p.name for p in tmp_path.iterdir()] == ["log.csv"]


# ---- properties --------------------------------------------------------------------------------------------

names = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=12
).filter(lambda name: name.strip("\r\n") == name)
request = st.tuples(st.integers(0, 2**32), names, st.integers(0, 2**31 - 1), st.integers(0, 2**31 - 1), names)
broken = st.sampled_from(
    [
        b"x,m,1,1,2,y",
        b"1,m,1,1",
        b"1,m,1,1,2,y,z",
        b"1,m,-1,1,2,y",
        b"1,m,1,,2,y",
        b",m,1,1,2,y",
        b"1,\xff,1,1,2,y",
        b"1,m,1,1e99,2,y",
        b"1,m,nan,1,2,y",
        b"-3,m,1,1,2,y",
        b"1,m\0,1,1,2,y",
        b"torn",
    ]
)


def written(record: tuple[int, str, int, int, str]) -> bytes:
    """One request as a line of a BurstGPT log, quoted by Python's own writer."""
    stamp, model, request_tokens, response_tokens, service = record
    out = io.StringIO()
    csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC).writerow(
        [stamp, model, request_tokens, response_tokens, request_tokens + response_tokens, service]
    )
    return out.getvalue().encode()


@pytest.mark.slow
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.one_of(request, broken), min_size=1, max_size=30), st.integers(1, 3))
def test_random_logs_come_back_exactly_and_every_bad_line_is_named(
    tmp_path: Path, records: list[tuple[int, str, int, int, str] | bytes], packing: int
) -> None:
    data, line, bad, good = HEADER.encode() + b"\n", 2, [], []
    for record in records:
        if isinstance(record, bytes):
            text = record + b"\n"
            bad.append(line)
        else:
            text = written(record)
            good.append(record)
        data += text
        line += text.count(b"\n")
    path = tmp_path / "log.csv"
    path.write_bytes(gzip.compress(data) if packing == 1 else data)
    if not good:
        with pytest.raises(BurstlensError, match=r"none of its|no rows"):
            open_trace(path)
        return
    trace = open_trace(path)
    assert [reject.line for reject in trace.rejects] == bad
    assert trace.info.rows + trace.info.rejected == len(records)
    services = {"Conversation log": "conversation", "API log": "api"}
    expected = sorted(
        ((float(t), services.get(s, s), m, a, b, b == 0) for t, m, a, b, s in good), key=lambda row: row[0]
    )
    late, latest = 0, -1
    for stamp, *_ in good:
        late += stamp < latest
        latest = max(latest, stamp)
    assert trace.info.resorted == late
    assert rows(trace) == expected


HOSTILE = [
    "<script>alert(1)</script>",
    "'; DROP TABLE requests; --",
    'a "quoted" name',
    "comma, and more",
    "$service_1",
    "$service",
    "line\nbreak",
    "tab\there",
    "%s {0} {{model}}",
    "日本語 🙂",
    "NULL",
    " spaces ",
    "\\",
    "-- comment",
    "/* c */",
]


@pytest.mark.slow
@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_data(tmp_path: Path, name: str) -> None:
    path = tmp_path / "it's a [log] * $service $1 ?.csv"
    path.write_bytes(HEADER.encode() + b"\n" + written((1, name, 2, 3, name)) + written((2, "m", 0, 0, "s")))
    done = ingest(path, out=tmp_path / "tr'ace [1] *.parquet")
    for trace in (open_trace(path), open_trace(done.out)):
        assert trace.selection(name, None).label == name
        assert rows(trace) == [(1.0, name, name, 2, 3, False), (2.0, "s", "m", 0, 0, True)]


def test_column_names_are_data(tmp_path: Path) -> None:
    odd = """a'b"c; $x {y} DROP"""
    out = io.StringIO()
    csv.writer(out).writerows([[odd, "it's"], [1, "x"], [2, "y"]])
    (tmp_path / "log.csv").write_text(out.getvalue())
    trace = open_trace(tmp_path / "log.csv", options=LogOptions(columns={"arrival": odd, "model": "it's"}))
    assert [r[:3] for r in rows(trace)] == [(1.0, "llm", "x"), (2.0, "llm", "y")]
    (tmp_path / "log.jsonl").write_text('{"a\'b\\"c; $x {y} DROP": 3, "it\'s": "<b>"}\n')
    trace = open_trace(tmp_path / "log.jsonl", options=LogOptions(columns={"arrival": odd, "model": "it's"}))
    assert [r[:3] for r in rows(trace)] == [(3.0, "llm", "<b>")]


@pytest.mark.slow
def test_bytes_of_every_kind_never_end_in_a_traceback(tmp_path: Path) -> None:
    rng = random.Random(5)
    path = tmp_path / "log.csv"
    base = "\n".join([HEADER, *[GOOD] * 20, ""]).encode()
    faults: list[str] = []
    for _ in range(60):
        data = bytearray(base)
        for _ in range(rng.randrange(1, 6)):
            at = rng.randrange(len(HEADER), len(data))
            data[at : at + rng.randrange(3)] = bytes(rng.choices([0, 10, 13, 34, 44, 92, 255, 120, 49], k=2))
        path.write_bytes(data)
        try:
            trace = open_trace(path)
        except BurstlensError as wrong:
            faults.append(str(wrong))
            continue
        assert all(r.reason and set(r.text) <= set(string.printable[:-5]) for r in trace.rejects)
        trace.engine.close()
    assert not any("\n" in fault for fault in faults)
