"""The rows of a CSV file decide how it is read; what they leave open is an error that names the option."""

from __future__ import annotations

from pathlib import Path

import pytest

from burstlens.analysis.core.errors import InputError
from burstlens.analysis.logs.files.sniff import LogFile, inspect_log
from burstlens.analysis.logs.rejects import LineIndex

ROWS = "7,3,5\n8,4,6\n9,5,7\n"


def looked(tmp_path: Path, text: str, **options: str) -> LogFile:
    (tmp_path / "log.csv").write_text(text, newline="")
    return inspect_log(tmp_path / "log.csv", **options)


@pytest.mark.parametrize(
    ("text", "delimiter", "header", "skip"),
    [
        ("at,in,out\n" + ROWS, ",", ("at", "in", "out"), 0),
        ("at;in;out\n" + ROWS.replace(",", ";"), ";", ("at", "in", "out"), 0),
        ("at\tin\tout\n" + ROWS.replace(",", "\t"), "\t", ("at", "in", "out"), 0),
        ("at|in|out\n" + ROWS.replace(",", "|"), "|", ("at", "in", "out"), 0),
        ("at,use;in,use;out;a;b\n" + ROWS, ",", ("at", "use;in", "use;out;a;b"), 0),
        ('at,"tokens, in",out\n' + ROWS, ",", ("at", "tokens, in", "out"), 0),
        ("# exported\n\nat,in,out\n" + ROWS, ",", ("at", "in", "out"), 2),
        ("Usage of March\nby: me, myself\n\n\nat,in,out\n" + ROWS, ",", ("at", "in", "out"), 4),
        ('"a title\nof two lines"\nat,in,out\n' + ROWS, ",", ("at", "in", "out"), 1),
        ("sep=;\nat;in;out\n" + ROWS.replace(",", ";"), ";", ("at", "in", "out"), 1),
        ("sep=;\rat;in\r7;3\r8;4\r", ";", ("at", "in"), 1),
        ("\n\nat,in,out\n" + ROWS, ",", ("at", "in", "out"), 2),
        ("# at,in,out\n" + ROWS, ",", ("at", "in", "out"), 0),
        # A header that lacks a name stays the header: every row is a reject.
        ("at,in\n" + ROWS, ",", ("at", "in"), 0),
        ("at,in,in\n" + ROWS, ",", ("at", "in", "in"), 0),
        ("app," + ",".join(str(i) for i in range(1, 9)) + "\n" + "a,0,0,1,0,2,0,0,5\n" * 3, ",", None, 0),
        ("arrival_s\n1.5\n2.5\n", ",", ("arrival_s",), 0),
    ],
)
def test_delimiter_and_header(
    tmp_path: Path, text: str, delimiter: str, header: tuple[str, ...] | None, skip: int
) -> None:
    log = looked(tmp_path, text)
    assert (log.kind, log.delimiter, log.skip) == ("csv", delimiter, skip)
    assert header is None or log.header == header
    assert (len(log.notes) > 0) == text.startswith(("#", "Usage", '"', "sep"))


def test_the_sample_has_the_rows_that_fit(tmp_path: Path) -> None:
    log = looked(tmp_path, "at,in,in\n1,2,3\n4,5\n6,,7\n")
    assert log.sample == ({"at": "1", "in": "2"}, {"at": "6", "in": None})


@pytest.mark.parametrize(
    ("text", "decimal"),
    [
        ("at;took\n17,25;1,5\n18,5;2,25\n", ","),
        ("at;took\n1;0,125\n2;1,250\n", ","),
        ("at;cost\n1;1.234,5\n", ","),
        ("at;in;took\n1;1,234;0.5\n", "."),
        ('at,in\n1,"1,234"\n', "."),
        ('at,in\n1,"1,234,567"\n', "."),
        ('at,took\n"1,5","2,25"\n', ","),
        ("at;took\n17.25;1.5\n", "."),
        ("at;name\n1;a,b\n", "."),
    ],
)
def test_the_mark_of_fractions(tmp_path: Path, text: str, decimal: str) -> None:
    log = looked(tmp_path, text)
    assert log.decimal == decimal
    assert log.notes == (("commas in numbers read as decimal marks",) if decimal == "," else ())


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "2026-01-05T06:07:08Z,m,3,5\n" * 3,
            "the first line looks like a row; put the column names above it: (echo column1,column2,column3,",
        ),
        ("1.5\n2.5\n3.5\n", "the first line looks like a row; put the column names above it"),
        (
            "at;took\n1;1,234\n2;2,345\n",
            "column 'took': the comma in 1,234 marks a fraction or thousands; say decimal=',' for a fraction",
        ),
        (
            "a;b,c\n1;2,3\n4;5,6\n",
            "commas and semicolons both give 2 columns; say which separates them: delimiter=',' or",
        ),
    ],
)
def test_what_is_open_is_asked(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(InputError) as wrong:
        looked(tmp_path, text)
    assert problem in str(wrong.value)


def test_the_user_s_word_decides(tmp_path: Path) -> None:
    assert looked(tmp_path, "at;took\n1;1,234\n2;2,345\n", decimal=",").decimal == ","
    assert looked(tmp_path, "at;took\n1;1,234\n2;2,345\n", decimal=".").decimal == "."
    assert looked(tmp_path, "a;b,c\n1;2,3\n4;5,6\n", delimiter=";").header == ("a", "b,c")


@pytest.mark.parametrize(
    ("text", "header", "row"),
    [
        ("at,in\n1,2\n3,4\n", [1], 3),
        ("# x\n\nat,in\n1,2\n3,4\n", [1, 2, 3], 5),
        ('"two\nlines"\nat,in\n1,2\n3,4\n', [1, 2, 3], 5),
        ('at,"i\nn"\n1,2\n3,4\n', [1, 2], 4),
        ('it\'s "7"\nat,in\n1,2\n\n3,4\n', [1, 2], 5),
    ],
)
def test_lines_are_counted_as_the_user_s_editor_does(
    tmp_path: Path, text: str, header: list[int], row: int
) -> None:
    log = looked(tmp_path, text)
    lines = LineIndex(log)
    assert lines.header(log.delimiter, log.skip) == header
    assert lines.lines_of([1], 2, header) == [row]
    lines.close()


def test_rows_of_several_lines_are_found_by_their_quotes(tmp_path: Path) -> None:
    log = looked(tmp_path, 'at,text\n1,"a\nb\nc"\n2,"d"\n3,"e\nf"\n4,g\n')
    lines = LineIndex(log)
    assert lines.lines_of([0, 1, 2, 3], 4, [1]) == [2, 5, 6, 8]
    assert lines.lines_of([0], 5, [1]) is None
    lines.close()
