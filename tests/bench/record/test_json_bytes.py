"""JSON as bytes: the same values either way, and nothing refused that the standard library takes."""

from __future__ import annotations

import json

import pytest

from burstlens.bench.record.json_bytes import dumps, loads


@pytest.mark.parametrize("text", ['{"a":[1,2.5,null,true,"ü"]}', "[NaN,-Infinity]", '"\\ud800"'])
def test_what_the_standard_library_reads_is_read(text: str) -> None:
    assert repr(loads(text.encode())) == repr(json.loads(text))


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b"{'a':1}", b"[1] [2]"])
def test_what_is_no_json_is_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - whatever either reader calls it
        loads(data)


@pytest.mark.parametrize("value", [{"prompt": [1, 31999]}, {"error": "ü\n"}, 2**70, {1: "key"}])
def test_what_is_written_is_one_line_that_reads_back(value: object) -> None:
    line = dumps(value)
    assert b"\n" not in line
    assert json.loads(line) == json.loads(json.dumps(value))


def test_half_a_character_is_written_as_a_question_mark() -> None:
    assert dumps({"error": "\ud800"}) == b'{"error":"?"}'
