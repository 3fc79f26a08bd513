"""What cannot be a log is told in one line that names the file and the way out."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import polars as pl
import pytest
import zstandard

from burstlens.analysis.core.errors import BurstlensError
from burstlens.analysis.logs.options import LogOptions
from burstlens.analysis.logs.trace_info import METADATA_KEY
from burstlens.analysis.trace.trace import ingest, open_trace

HEADER = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
GOOD = "5,ChatGPT,472,18,490,Conversation log\n"
MAPPING = "see how to read it: burstlens columns"
MANY = (HEADER + "".join(f"{i},ChatGPT,{i * 7919 % 4001},18,490,API log\n" for i in range(20_000))).encode()


def message_of(*paths: Path, **options: object) -> str:
    """The one line that opening these logs ends in, without their folder."""
    with pytest.raises(BurstlensError) as wrong:
        open_trace(list(paths), **options)  # type: ignore[arg-type]
    line = str(wrong.value)
    assert "\n" not in line
    return line.replace(f"{paths[0].parent}{os.sep}", "") if paths else line


def damaged(data: bytes) -> bytes:
    return data[: len(data) // 2] + bytes(64) + data[len(data) // 2 + 64 :]


CASES: dict[str, tuple[bytes, str]] = {
    "empty.csv": (b"", "is empty"),
    "blank.csv": (b"\n \n\n", "is empty"),
    "header.csv": (HEADER.encode(), "has a header but no rows"),
    "packed.csv.gz": (gzip.compress(b""), "is empty"),
    "random.csv": (
        b"\x7fELF" + bytes(range(256)) * 4,
        "is a binary file; a log is CSV, JSON or Parquet, plain or as .gz, .zst, .bz2, .xz or .zip",
    ),
    "archive.zip": (
        b"PK\x03\x04" + bytes(100),
        "damaged or cut short, its zip data is not complete; get it again",
    ),
    "parameters.json": (
        b'{\n  "schema_version": "1.0",\n  "generator": "burstlens"\n}\n',
        "is a parameter file, not a log; replay, export, compare, experiment and disaggregate take it",
    ),
    "array.json": (b"[]", "is an empty JSON list"),
    "cut.csv.gz": (
        gzip.compress(MANY)[:30_000],
        "damaged or cut short, its gzip data is not complete; get it again",
    ),
    "stub.csv.gz": (
        gzip.compress(MANY)[:30],
        "damaged or cut short, its gzip data is not complete; get it again",
    ),
    "cut.csv.zst": (
        zstandard.compress(MANY)[:-20_000],
        "damaged or cut short, its zstd data is not complete; get it again",
    ),
    "altered.csv.gz": (
        damaged(gzip.compress(MANY)),
        "damaged or cut short, its gzip data is not complete; get it again",
    ),
    "cut.parquet": (
        b"PAR1" + bytes(50),
        "damaged or cut short, its Parquet data is not complete; get it again",
    ),
    "renamed.csv": (
        (HEADER.replace("Timestamp", "Time") + GOOD).encode(),
        "unknown header; nearest known format is BurstGPT, 6 columns, "
        f"but this one lacks 'Timestamp' and has 'Time'; {MAPPING} renamed.csv",
    ),
    "short.csv": (
        b"TIMESTAMP,ContextTokens\n",
        "unknown header; nearest known format is Azure LLM inference, "
        f"but this one lacks 'GeneratedTokens'; {MAPPING} short.csv",
    ),
    "keys.jsonl": (
        b'{"timestamp": 1, "input_length": 3}\n',
        "unknown keys; nearest known format is GuideLLM replay, "
        f"but this one lacks 'output_length'; {MAPPING} keys.jsonl",
    ),
    "bare.csv": (
        GOOD.encode() * 3,
        "the first line looks like a row; put the column names above it: "
        "(echo column1,column2,column3,column4,column5,column6; cat bare.csv) > named-bare.csv",
    ),
    "twice.csv": (
        b"Timestamp,Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n",
        "the header has 'Timestamp' more than once; give each column a name of its own in the first line",
    ),
    "words.csv": (
        (HEADER + "a\nb\nc\n").encode(),
        "none of its 3 rows can be used; first, words.csv, line 2: 1 column, but the header has 6",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_file_that_is_not_a_log_is_an_error_of_one_line(tmp_path: Path, name: str) -> None:
    data, line = CASES[name]
    (tmp_path / name).write_bytes(data)
    assert message_of(tmp_path / name) == f"{name}: {line}"


def test_missing_files_folders_and_nothing(tmp_path: Path) -> None:
    assert message_of(tmp_path / "no.csv") == "no.csv: no such file"
    (tmp_path / "dir.csv").mkdir()
    assert (
        message_of(tmp_path / "dir.csv")
        == "dir.csv: is a folder; name the log files in it, several make one trace"
    )
    assert message_of() == "no log given: name at least one file"
    long = tmp_path / ("x" * 300)
    assert message_of(long).endswith(("no such file", "file name too long"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text(HEADER + GOOD)
    (tmp_path / "log.csv").chmod(0)
    assert message_of(tmp_path / "log.csv") == "log.csv: cannot be read: permission denied"


def test_a_pipe_is_no_log(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert message_of(tmp_path / "pipe") == (
        "pipe: is a pipe or a device; a log is read more than once, save it to a file"
    )


def test_a_refusal_of_the_system_is_passed_on(tmp_path: Path) -> None:
    assert message_of(Path("/proc/self/mem")).endswith("input/output error")


def test_a_path_cannot_break_the_line(tmp_path: Path) -> None:
    name = "a\nb\x1b[31m.csv"
    assert message_of(tmp_path / name) == "a b\\x1b[31m.csv: no such file"


@pytest.mark.parametrize(
    ("columns", "line"),
    [
        ({"arrival": "ts", "model": "nope"}, "log.csv: columns names 'nope', but the log has 'ts', 'n'"),
        ({"arrivals": "ts"}, "columns: no trace column 'arrivals'; there are arrival, ended, "),
        ({"request_tokens": "n"}, "columns: no arrival; name its column, as in arrival="),
        (
            {"arrival": "ts", "arrival_ms": "n"},
            "columns: arrival and arrival_ms both give arrival; keep one",
        ),
    ],
)
def test_a_wrong_mapping_is_an_error(tmp_path: Path, columns: dict[str, str], line: str) -> None:
    (tmp_path / "log.csv").write_text("ts,n\n1,2\n")
    assert message_of(tmp_path / "log.csv", options=LogOptions(columns=columns)).startswith(line)


def test_a_column_of_single_values_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("ts,id\n" + "".join(f"{i},id-{i}\n" for i in range(2500)))
    assert message_of(tmp_path / "log.csv", options=LogOptions(columns={"arrival": "ts", "model": "id"})) == (
        "log.csv: more than 2,000 pairs of service and model; "
        "perhaps one of the two columns has a different value in every row"
    )


def test_logs_with_and_without_a_calendar_do_not_mix(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(HEADER + GOOD)
    (tmp_path / "b.jsonl").write_text(
        '{"timestamp": 1, "input_length": 3, "output_length": 4, "hash_ids": [7]}\n'
    )
    assert message_of(tmp_path / "a.csv", tmp_path / "b.jsonl") == (
        "a.csv has dates and b.jsonl has seconds from an unknown start; they cannot make one trace"
    )


def test_a_trace_of_another_version_is_an_error(tmp_path: Path) -> None:
    frame = pl.DataFrame({"arrival_s": [1.0]})
    frame.write_parquet(tmp_path / "t.parquet", metadata={METADATA_KEY: '{"version": 99}'})
    assert message_of(tmp_path / "t.parquet") == (
        "t.parquet: not a trace of this version: its metadata has another version; ingest its log again"
    )
    frame.write_parquet(tmp_path / "t.parquet", metadata={METADATA_KEY: "nonsense"})
    assert message_of(tmp_path / "t.parquet").startswith("t.parquet: not a trace of this version: ")


def test_where_nothing_can_be_written(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text(HEADER + GOOD)
    (tmp_path / "file").write_text("")
    with pytest.raises(BurstlensError, match=r"cannot be written: a file is in the place of a folder"):
        ingest(log, out=tmp_path / "file" / "trace.parquet")
    with pytest.raises(BurstlensError, match="it is one of the logs"):
        ingest(log, out=log)
    (tmp_path / "out.parquet").mkdir()
    with pytest.raises(BurstlensError, match="cannot be written: is a directory"):
        ingest(log, out=tmp_path / "out.parquet")
    assert log.read_text() == HEADER + GOOD
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "log.csv", "out.parquet"]
