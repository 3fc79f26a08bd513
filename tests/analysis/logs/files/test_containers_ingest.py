"""Logs in every container are read to the same requests; rejects have the lines of the user's file."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from burstlens.analysis.logs.options import LogOptions
from burstlens.analysis.trace.trace import Trace, open_trace

COLUMNS = {"arrival": "at", "request_tokens": "in", "response_tokens": "out"}
ROWS = [{"at": 1_767_600_000 + 45 * i, "in": 11 + i, "out": 3} for i in range(12)]
LINES = [json.dumps(row) for row in ROWS]
TABLE = "at,in,out\n" + "".join(f"{r['at']},{r['in']},{r['out']}\n" for r in ROWS)


def opened(folder: Path, data: str | bytes, name: str = "log", columns: Mapping[str, str] = COLUMNS) -> Trace:
    """The trace of a log with this content."""
    (folder / name).write_bytes(data if isinstance(data, bytes) else data.encode())
    return open_trace(folder / name, options=LogOptions(columns=columns))


def in_zip(text: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("export/log.csv", text)
    return out.getvalue()


def wrapped(lines: Sequence[str], key: str) -> str:
    return "".join(json.dumps({key: f"{line}\n", "stream": "stdout"}) + "\n" for line in lines)


CONTAINERS: dict[str, str | bytes] = {
    "lines": "\n".join(LINES),
    "trailing commas": ",\n".join(LINES) + ",\n",
    "array": json.dumps(ROWS),
    "packed array": gzip.compress(json.dumps(ROWS).encode()),
    "array over lines": "[\n" + ",\n".join(LINES) + "\n]\n",
    "document": json.dumps({"data": ROWS, "has_more": False}, indent=1),
    "printed objects": "\n".join(json.dumps(row, indent=2) for row in ROWS),
    "docker": wrapped(LINES, "log"),
    "CloudWatch events": json.dumps({"events": [{"timestamp": 1, "message": line} for line in LINES]}),
    "stamps before": "".join(f"2026-01-05T08:00:00Z {line}\n" for line in LINES),
    "Kubernetes": "".join(f"2026-01-05T08:00:00.5Z stdout F {line}\n" for line in LINES),
    "not a number": "".join(line[:-1] + ', "ttft": NaN}\n' for line in LINES),
    "table": TABLE,
    "bz2": bz2.compress(TABLE.encode()),
    "xz": lzma.compress(TABLE.encode()),
    "zip": in_zip(TABLE),
    "UTF-16": TABLE.replace("\n", "\r\n").encode("utf-16"),
    "preamble": "# exported\n\n" + TABLE,
    "semicolons": "sep=;\n" + TABLE.replace(",", ";"),
    "names with semicolons": TABLE.replace("at,in,out", "at,in,out;a;b;c;d"),
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_every_container_has_the_same_requests(tmp_path: Path, name: str) -> None:
    columns = COLUMNS | ({"response_tokens": "out;a;b;c;d"} if ";" in str(CONTAINERS[name])[:40] else {})
    if name == "semicolons":
        columns = COLUMNS
    trace = opened(tmp_path, CONTAINERS[name], columns=columns)
    requests = trace.requests()
    assert (trace.info.rows, trace.info.rejected) == (12, 0)
    assert requests["arrival_s"].diff().drop_nulls().to_list() == [45.0] * 11
    assert requests["request_tokens"].to_list() == [row["in"] for row in ROWS]
    assert trace.info.sources[0].bytes == (tmp_path / "log").stat().st_size


@pytest.mark.parametrize(
    ("data", "rejects"),
    [
        ("hello\n" + "\n".join(LINES) + "\nbye\n", [("line", 1, "not JSON"), ("line", 14, "not JSON")]),
        (
            "".join(f"2026-01-05T08:00:00Z stdout {tag} {LINES[i]}\n" for i, tag in enumerate("FPF")),
            [("line", 2, "not JSON")],
        ),
        (
            f"{LINES[0]}\nload 0 %\rload 50 %\r\n\n{LINES[1]}\n{LINES[2][:-1]}\n",
            [("line", 2, "not JSON"), ("line", 5, "not JSON")],
        ),
        (json.dumps([*ROWS[:2], {"at": None}, *ROWS[2:]]), [("record", 3, "missing or not a time")]),
        (
            "# exported\n\n" + TABLE.replace("\n", "\nx,1,2\n", 1) + "5,6\n",
            [("line", 4, None), ("line", 17, "2 columns, but the header has 3")],
        ),
        (
            ("\n" + TABLE + "Total,5,6\n").encode("utf-16"),
            [("line", 15, None)],
        ),
    ],
)
def test_rejects_have_the_lines_of_the_file(
    tmp_path: Path, data: str | bytes, rejects: list[tuple[str, int, str | None]]
) -> None:
    trace = opened(tmp_path, data)
    assert len(trace.rejects) == trace.info.rejected == len(rejects)
    for reject, (word, line, reason) in zip(trace.rejects, rejects, strict=True):
        assert (reject.word, reject.line) == (word, line)
        assert reason is None or reject.reason == reason
        assert f"log, {word} {line}: " in str(reject)
