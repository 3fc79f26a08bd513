"""Objects are found in their lines however a collector wraps them, by DuckDB as in this process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import pytest

from burstlens.analysis.logs.files.containers import object_in, object_sql, wrap_of
from burstlens.analysis.logs.files.sniff import inspect_log

LINES = [
    '{"at": 7, "use": {"in": 2}}',
    '  {"at": 8}  ',
    '{"at": NaN}',
    '{"at": 9},',
    "{}",
    "null",
    "17",
    "",
    "GET /health 200",
    '2026-01-05T06:07:08Z {"at": 1}',
    '2026-01-05 06:07:08,250 INFO app: {"at": 2}',
    '[2026-01-05 06:07:08 +0200] {"at": "}"} in 3 ms',
    'web-1 | 2026-01-05T06:07:08.5Z {"at": 3}',
    '2026-01-05T06:07:08Z {"line_stamp": "own", "at": 4}',
    '2026-01-05T06:07:08.1Z stdout F {"at": 5}',
    '2026-01-05T06:07:08.1Z stdout P {"at": 6, "use": {"in": 1},',
    '2026-01-05T06:07:08.1Z stdout F "more": 1}',
    '{"at": 1} {"at": 2}',
    '{"log": "{\\"at\\": 1, \\"n\\": 2}\\n", "stream": "stdout", "at": 9}',
    '{"log": "10:00 INFO {\\"at\\": 1, \\"n\\": 2}", "stream": "stdout"}',
    '{"log": "started", "stream": "stdout"}',
    '{"log": "{}", "stream": "stdout"}',
    '{"log": 5}',
    'né {"ä": "ö"}',
]


def first_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON as DuckDB reads it: the first of equal keys counts."""
    return dict(reversed(pairs))


@pytest.mark.parametrize("wrap", ["text", "stamped", "key:log"])
def test_duckdb_and_python_find_the_same_objects(wrap: str) -> None:
    with duckdb.connect() as connection:
        for line in LINES:
            query = f"SELECT {object_sql(wrap, 'line')} FROM (SELECT $1 AS line)"
            text = connection.execute(query, [line]).fetchall()[0][0]
            found = None if text is None else json.loads(text, object_pairs_hook=first_keys)
            assert repr(sorted((found or {}).items())) == repr(sorted((object_in(wrap, line) or {}).items()))


def test_a_part_of_a_line_has_no_object() -> None:
    partial = [line for line in LINES if " P " in line or '"more"' in line]
    assert [object_in("text", line) for line in partial] == [None, None]


def test_the_stamp_before_an_object_becomes_a_key() -> None:
    assert object_in("stamped", LINES[9]) == {"at": 1, "line_stamp": "2026-01-05T06:07:08Z"}
    assert object_in("stamped", LINES[13]) == {"at": 4, "line_stamp": "own"}


@pytest.mark.parametrize(
    ("lines", "wrap"),
    [
        (['{"at": 1, "n": 2}'] * 5, ""),
        (['{"at": 1, "n": 2}', "GET /health 200"] * 5, ""),
        (['{"at": 1, "n": 2},'] * 5, "text"),
        (['2026-01-05T06:07:08Z {"at": 1}', "started"] * 5, "stamped"),
        (['INFO {"at": 1}', "started"] * 5, "text"),
        ([json.dumps({"log": '{"at": 1, "n": 2}\n', "time": "2026-01-05T06:07:08Z"})] * 5, "key:log"),
        ([json.dumps({"timestamp": 1, "message": '{"at": 1, "n": 2}'})] * 5, "key:message"),
        ([json.dumps({"MESSAGE": '{"at": 1, "n": 2}', "_PID": "1"})] * 5, "key:MESSAGE"),
        # A chat message, and a request that has a body, are no envelopes.
        ([json.dumps({"at": 1, "message": '{"role": "user", "content": "x"}'})] * 5, ""),
        ([json.dumps({"prompt_tokens": 1, "body": '{"at": 1, "n": 2}'})] * 5, ""),
    ],
)
def test_how_objects_lie_in_lines(lines: list[str], wrap: str) -> None:
    assert wrap_of(lines)[0] == wrap


def test_the_keys_of_an_envelope_follow_those_of_the_object(tmp_path: Path) -> None:
    line = json.dumps({"log": '{"at": 1, "n": 2}\n', "stream": "stdout", "at": 9})
    (tmp_path / "app.jsonl").write_text(f"{line}\n" * 3)
    log = inspect_log(tmp_path / "app.jsonl")
    assert (log.kind, log.wrap) == ("jsonl", "key:log")
    assert log.header == ("at", "n", "log", "stream")
    assert log.sample[0]["at"] == 1
    assert log.notes == ("the objects are text in the key 'log'",)


def test_lines_without_objects_do_not_hide_those_that_have_one(tmp_path: Path) -> None:
    lines = ["Starting, on port 8000", *(f'{{"at": {i}, "n": 2, "m": 3}}' for i in range(8)), "bye"]
    (tmp_path / "app.log").write_text("\n".join(lines))
    log = inspect_log(tmp_path / "app.log")
    assert (log.kind, log.wrap, log.header, len(log.sample)) == ("jsonl", "", ("at", "n", "m"), 8)
    assert log.head_lines[0] == "Starting, on port 8000"


@pytest.mark.parametrize(
    "line",
    [
        "INFO 01-05 06:07:08 [engine.py:10] Received request a-1, prompt: 'x', max_tokens=5",
        "2026-01-05 06:07:08,123 INFO started",
        '10.0.0.1 - - [05/Jan/2026:06:07:08 +0000] "POST /v1/completions HTTP/1.1" 200 17',
    ],
)
def test_a_program_s_log_is_text(tmp_path: Path, line: str) -> None:
    (tmp_path / "server.log").write_text(f"{line}\n" * 9)
    log = inspect_log(tmp_path / "server.log")
    assert (log.kind, log.header, log.sample[0]) == ("text", ("line",), {"line": line})
    assert log.head_lines == (line,) * 9


def test_json_in_the_cells_of_a_table_stays_there(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('at,meta,n\n1,"{""in"": 3}",5\n' + '2,"{""in"": 4}",5\n' * 3)
    (tmp_path / "b.tsv").write_text('at\tmeta\tn\n1\t{"in": 3}\t5\n' + '2\t{"in": 4}\t5\n' * 3)
    for name in ("a.csv", "b.tsv"):
        log = inspect_log(tmp_path / name)
        assert (log.kind, log.header, log.sample[0]["meta"]) == ("csv", ("at", "meta", "n"), '{"in": 3}')
