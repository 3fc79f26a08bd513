"""`describe` says how many rows were rejected, why, and what writes them to a file."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

import burstlens as bl
from tests.helpers import burstlens

COLUMNS = "arrival=ts,request_tokens=in,response_tokens=out"
ROWS = [f"{i},{-1 if i in (3, 7) else 10},{5 if i != 5 else 'five'}" for i in range(12)]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log.csv"
    path.write_text("\n".join(["ts,in,out", *ROWS, "12,1"]) + "\n")
    return path


def test_the_screen_names_reasons_with_an_example(log: Path) -> None:
    done = burstlens("describe", "log.csv", "--columns", COLUMNS, "-q", cwd=log.parent)
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert "9 requests, 4 rows rejected" in lines[1]
    assert lines[2].split() == [
        "2",
        "rows:",
        "negative",
        "(request_tokens),",
        "for",
        "example",
        "line",
        "5",
        "of",
        "log.csv:",
        "3,-1,5",
    ]
    assert "--rejects FILE" in done.stdout


def test_a_file_lists_them_all(log: Path) -> None:
    done = burstlens(
        "describe", "log.csv", "--columns", COLUMNS, "--json", "--rejects", "bad.csv", cwd=log.parent
    )
    rejects = json.loads(done.stdout)["rejects"]
    assert (rejects["rows"], rejects["file"]) == (4, "bad.csv")
    assert [(each["reason"], each["rows"], each["example"]["line"]) for each in rejects["reasons"]] == [
        ("negative", 2, 5),
        ("not a number", 1, 7),
        ("2 columns, but the header has 3", 1, 14),
    ]
    with (log.parent / "bad.csv").open() as file:
        assert [int(row["line"]) for row in csv.DictReader(file)] == [5, 7, 9, 14]


def test_the_file_is_written_even_if_no_row_is_bad(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("\n".join(["arrival_s", *map(str, range(20))]) + "\n")
    found = bl.describe(tmp_path / "log.csv", rejects=tmp_path / "bad.csv")
    assert found.rejects.rows == 0
    assert (tmp_path / "bad.csv").read_text().splitlines() == ["file,line,reason,column,text"]


def test_the_file_is_not_the_log(log: Path) -> None:
    before = log.read_text()
    done = burstlens("describe", "log.csv", "--columns", COLUMNS, "--rejects", "log.csv", cwd=log.parent)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "--rejects" in done.stderr
    assert log.read_text() == before


def test_a_trace_file_remembers_how_many_were_rejected(log: Path) -> None:
    bl.ingest(
        log,
        log.parent / "t.parquet",
        columns={"arrival": "ts", "request_tokens": "in", "response_tokens": "out"},
    )
    found = bl.describe(log.parent / "t.parquet")
    assert (found.rejects.rows, found.rejects.reasons) == (4, ())
    assert len(found.rejects.lines("")) == 1
