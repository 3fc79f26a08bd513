"""JSON that is not one object a line is copied to lines, every record once, or refused with the place."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from burstlens.analysis.core.errors import InputError
from burstlens.analysis.logs.files.json_documents import list_path, to_lines
from burstlens.analysis.logs.files.sniff import LogFile, inspect_log

RECORDS = [{"at": i, "model": 'm{[\\"', "usage": {"in": i * 3}} for i in range(5)]
TEXT = json.dumps(RECORDS)


def copied(tmp_path: Path, text: str | bytes, name: str = "log.json") -> tuple[LogFile, list[object]]:
    """What is found out about a document, and the lines of its copy."""
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    log = inspect_log(path, tmp_path)
    assert log.data is not None
    assert (log.kind, log.row_word, log.readable, log.packed) == ("jsonl", "record", log.data, "none")
    return log, [json.loads(line) for line in log.data.read_text().splitlines()]


@pytest.mark.parametrize(
    "text",
    [
        TEXT,
        json.dumps(RECORDS, indent=2),
        "[\n" + "".join(json.dumps(record) + ",\n" for record in RECORDS) + "]\n",
        json.dumps(RECORDS[:2]) + "\n" + json.dumps(RECORDS[2:]),
        json.dumps([RECORDS[:2], RECORDS[2:]]),
        "\n".join(json.dumps(record, indent=1) for record in RECORDS),
        "".join(json.dumps(record) for record in RECORDS),
        json.dumps({"object": "list", "data": RECORDS, "has_more": False}),
        json.dumps({"data": RECORDS, "nextToken": "x"}, indent=4),
        json.dumps({"n": 5, "calls": RECORDS}, indent=1),
        json.dumps({"took": 3, "hits": {"total": {"value": 5}, "hits": RECORDS}}),
        "\n".join(json.dumps({"records": part}) for part in (RECORDS[:2], RECORDS[2:3], RECORDS[3:])),
        gzip.compress(TEXT.encode()),
        b"\xef\xbb\xbf" + TEXT.encode(),
        TEXT.encode("utf-16"),
    ],
)
def test_every_record_becomes_a_line(tmp_path: Path, text: str | bytes) -> None:
    log, lines = copied(tmp_path, text)
    assert lines == RECORDS
    assert log.sample == tuple(RECORDS)
    assert log.header == ("at", "model", "usage")


def test_where_the_records_were_is_noted(tmp_path: Path) -> None:
    log, _ = copied(tmp_path, json.dumps({"data": {"items": RECORDS}}))
    assert log.notes == ("the records are the list 'data.items' of a JSON document",)


@pytest.mark.parametrize(
    "row",
    [
        {"at": 1, "messages": [{"role": "user"}, {"role": "assistant"}], "n": 2},
        {"model": "m", "input": [{"role": "user"}], "results": [{"x": 1}, {"x": 2}]},
        {"resourceSpans": [{"scopeSpans": []}, {"scopeSpans": []}]},
        {"at": 1, "events": "none"},
    ],
)
def test_a_single_request_with_a_list_is_a_row(tmp_path: Path, row: dict[str, object]) -> None:
    (tmp_path / "one.jsonl").write_text(json.dumps(row) + "\n")
    log = inspect_log(tmp_path / "one.jsonl")
    assert (log.data, log.sample) == (None, (row,))
    assert list_path(json.dumps(row)) == ()


def test_documents_in_lines_survive_a_torn_one(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text(
        '{"records": [{"at"\n' + f"{json.dumps({'records': RECORDS})}\n" * 3 + '{"records": [{'
    )
    log = inspect_log(tmp_path / "log.jsonl", tmp_path)
    assert log.data is not None
    lines = log.data.read_text().splitlines()
    assert (lines[0], lines[-1]) == ('{"records": [{"at"', '{"records": [{')
    assert [json.loads(line) for line in lines[1:-1]] == RECORDS * 3


def test_a_key_in_another_case_is_no_second_column(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text('{"at": 1, "in": 2}\n' * 20 + '{"At": 1, "in": 2}\n')
    assert inspect_log(tmp_path / "log.jsonl").header == ("at", "in")
    (tmp_path / "log.jsonl").write_text('{"at": 1, "At": 2}\n' * 20)
    assert inspect_log(tmp_path / "log.jsonl").header == ("at", "At")


def test_lines_stay_lines_after_a_torn_one(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text('{"at": 1, "mod\n' + '{"at": 2}\n' * 5)
    log = inspect_log(tmp_path / "log.jsonl")
    assert (log.data, log.row_word, len(log.sample)) == (None, "line", 5)


def test_text_between_printed_objects_is_a_record_of_its_own(tmp_path: Path) -> None:
    pretty = json.dumps({"at": 1}, indent=1)
    (tmp_path / "log.json").write_text(f"{pretty}\nrestarted,\nhello\n{pretty}\n{{\n 'at'\n}}\n{pretty}")
    log = inspect_log(tmp_path / "log.json", tmp_path)
    assert log.data is not None
    lines = log.data.read_text().splitlines()
    assert lines[1].split() == ["restarted,", "hello"]
    assert lines[3].split() == ["{", "'at'", "}"]
    assert [json.loads(lines[i]) for i in (0, 2, 4)] == [{"at": 1}] * 3


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('[\n{"at": 1},\n{"at" 2}]', "log.json:3: is broken JSON at character 7: Expecting ':' delimiter"),
        ('[\n{"at": 1},\n', "log.json:3: is broken JSON at character 1: the array is not closed"),
        (
            '{"data": [{"at": 1}, {"at": 2}',
            "log.json:1: is broken JSON at character 31: the array is not closed",
        ),
        ("[" * 100_000, "nested too deep"),
        ("[]", "log.json: is an empty JSON list"),
        ('{"data": []}', "log.json: is an empty JSON list"),
        ("[1, 2]", "log.json: is a JSON list of values; a log has one object per request"),
        (
            json.dumps({"calls": RECORDS, "jobs": RECORDS}),
            "log.json: the JSON document has two lists of objects, 'calls', 'jobs'; "
            "choose one: jq -c '.calls[]' ",
        ),
    ],
)
def test_what_cannot_be_read_is_told_with_its_place(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "log.json").write_text(text)
    with pytest.raises(InputError) as wrong:
        inspect_log(tmp_path / "log.json", tmp_path)
    assert problem in str(wrong.value)
    assert "\n" not in str(wrong.value)


def test_a_document_needs_a_place_for_its_copy(tmp_path: Path) -> None:
    (tmp_path / "log.json").write_text(TEXT)
    with pytest.raises(InputError, match="is a JSON document, which is converted before it is read"):
        inspect_log(tmp_path / "log.json")


def test_a_record_longer_than_what_is_read_at_once(tmp_path: Path) -> None:
    records = [{"at": i, "prompt": 'x\\é"' * 700_000} for i in range(3)]
    _, lines = copied(tmp_path, json.dumps(records))
    assert lines == records


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.slow
@given(
    st.lists(st.dictionaries(st.text(min_size=1), VALUES, min_size=1), min_size=1), st.booleans(), st.data()
)
def test_any_records_survive(
    tmp_path_factory: pytest.TempPathFactory,
    records: list[dict[str, object]],
    array: bool,
    data: st.DataObject,
) -> None:
    folder = tmp_path_factory.mktemp("json")
    indent = data.draw(st.sampled_from([None, 1]))
    plain = data.draw(st.booleans())
    texts = [json.dumps(record, indent=indent, ensure_ascii=plain) for record in records]
    file = folder / "log.json"
    file.write_text(f"[{','.join(texts)}]" if array else "\n".join(texts), "utf-8", "surrogatepass")
    out = to_lines(file, "none", (), folder, file)
    lines = out.read_text("utf-8", "surrogatepass").split("\n")
    assert lines.pop() == ""
    assert [json.loads(line) for line in lines] == records


def test_a_printed_span_with_lists_is_a_record(tmp_path: Path) -> None:
    spans = [
        {
            "name": "chat",
            "context": {"span_id": f"0x{i}"},
            "attributes": {"n": i},
            "events": [{"e": 1}, {"e": 2}],
        }
        for i in range(3)
    ]
    path = tmp_path / "spans.json"
    path.write_text("\n".join(json.dumps({**span, "links": [], "list": []}, indent=4) for span in spans))
    log = inspect_log(path, tmp_path)
    assert [row["attributes"]["n"] for row in log.sample] == [0, 1, 2]
