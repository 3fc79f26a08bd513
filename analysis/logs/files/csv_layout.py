"""How a CSV file is laid out: its delimiter, what stands before the header, its names, its decimal mark.

The rows decide, not the header alone. Not here: what the columns mean (`analysis.logs.formats`).
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from ...core.errors import InputError
from ...core.units import counted

DELIMITERS = ",;\t|"
MARKS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
SAMPLE_ROWS = 500
PREAMBLE_ROWS = 30
"""Rows among which the header is looked for."""
MATCHING_SHARE = 0.5
"""Rows that must have as many cells as the header."""
SEPARATOR_LINE = re.compile(r"\"?sep=(.)\"?,*[ \t]*(\r\n|\n|\r)", re.IGNORECASE)
DATE = re.compile(r"\s*(\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{4})([T ].*)?\s*")
NUMBER = re.compile(r"\s*[-+]?(\d[\d.,]*|[.,]\d+)([eE][-+]?\d+)?\s*")
DOT_FRACTION = re.compile(
    r"[-+]?(\d{4,}\.\d+|0\.\d+|\d{1,3}\.(\d{1,2}|\d{4,})|\d{1,3}(,\d{3})+\.\d+)([eE][-+]?\d+)?"
)
COMMA_FRACTION = re.compile(r"[-+]?(\d{4,},\d+|0,\d+|\d{1,3},(\d{1,2}|\d{4,})|\d{1,3}(\.\d{3})+,\d+)")
COMMA_EITHER = re.compile(r"[-+]?[1-9]\d{0,2},\d{3}")
COMMA_THOUSANDS = re.compile(r"[-+]?[1-9]\d{0,2}(,\d{3}){2,}")
LOG_LINE = re.compile(
    r"\W*(\d{4}-\d\d-\d\d|\d\d:\d\d|TRACE|DEBUG|INFO|WARN|ERROR|FATAL|CRITICAL)|(\S+\s+){8}"
)
"""How a line of a program's log begins, or prose; no column is called so."""
NULL_CELLS = ("", "\\N")
"""What databases write for a value that is not there; other words may be names."""
MAX_NAME = 120
FIELD_LIMIT = 1 << 30


@dataclass(frozen=True)
class Layout:
    """What a CSV file's first rows tell about it."""

    delimiter: str
    skip: int
    """lines before the header; a quoted line break counts as none"""
    header: tuple[str, ...]
    rows: tuple[list[str], ...]
    """cells of the rows after the header, blank lines left out"""
    decimal: str
    notes: tuple[str, ...]
    consistent: bool
    """whether most rows have as many cells as the header, more than one, and the header has names"""

    def is_prose(self) -> bool:
        """Whether the first line is that of a program's log, or a sentence, and not a header."""
        return any(LOG_LINE.match(name) for name in self.header)

    def sample(self) -> tuple[dict[str, str | None], ...]:
        """The rows that fit the header, by column; None for an empty cell."""
        columns: dict[str, int] = {}
        for i, name in enumerate(self.header):
            columns.setdefault(name, i)
        fitting = [row for row in self.rows if len(row) == len(self.header)]
        return tuple(
            {name: None if row[i] in NULL_CELLS else row[i] for name, i in columns.items()} for row in fitting
        )


def is_value(cell: str) -> bool:
    """Whether a cell holds a date or a number, which no column is called."""
    return bool(DATE.fullmatch(cell) or NUMBER.fullmatch(cell))


def layout(path: Path, head: str, delimiter: str | None, decimal: str | None) -> Layout:
    """Find out how a CSV file is laid out.

    Parameters
    ----------
    path : Path
        For messages.
    head : str
        First lines of the file, the last one complete.
    delimiter, decimal : str or None
        What the user says about them.

    Returns
    -------
    Layout

    Raises
    ------
    InputError
        If two delimiters or two decimal marks fit, or if the file has rows and no header.
    """
    separator = SEPARATOR_LINE.match(head)
    before = 0
    notes: list[str] = []
    if separator:
        delimiter, head, before = delimiter or separator[1], head[separator.end() :], 1
    table = _table(path, head, delimiter)
    skip = table.skip + before
    names = [name.strip("\ufeff") for name in table.header]
    if names and re.fullmatch(r"#+\s*[^\W\d].*", names[0]) and table.share > MATCHING_SHARE and table.rows:
        names[0] = names[0].lstrip("# ")
        notes.append("the header is a comment line")
    named = all(len(name) <= MAX_NAME and not LOG_LINE.match(name) for name in names)
    if table.share > 0.9 and _has_no_header(names, table.rows):
        raise InputError.no_header(path, names)
    if table.n_titles or before:
        notes.append(f"{counted(skip, 'line')} before the header skipped")
    mark = decimal or _decimal(path, names, table.rows, table.delimiter)
    if mark == ",":
        notes.append("commas in numbers read as decimal marks")
    return Layout(
        table.delimiter,
        skip,
        tuple(names),
        tuple(table.rows),
        mark,
        tuple(notes),
        named and len(names) > 1 and table.share >= MATCHING_SHARE,
    )


@dataclass(frozen=True)
class _Table:
    """A text read with one delimiter."""

    delimiter: str
    skip: int
    header: list[str]
    rows: list[list[str]]
    share: float
    """rows after the header that have as many cells"""
    n_titles: int = 0
    """lines before the header that are not blank"""


def _table(path: Path, head: str, delimiter: str | None) -> _Table:
    """The reading with the delimiter that fits the rows best; with none, that of the first line."""
    if delimiter is not None:
        return _read(head, delimiter)
    first_line = head.lstrip("\r\n").partition("\n")[0]
    tables = [_read(head, mark) for mark in DELIMITERS if mark in head]
    fitting = [t for t in tables if len(t.header) > 1 and t.share >= MATCHING_SHARE and t.rows]
    if not fitting:
        return _read(head, max(DELIMITERS, key=first_line.count), search=False)
    best = max(fitting, key=lambda t: (round(t.share, 1), len(t.header)))
    equal = [t for t in fitting if (t.share, len(t.header)) == (best.share, len(best.header))]
    if len(equal) > 1:
        raise InputError.two_delimiters(path, [MARKS[t.delimiter] for t in equal], len(best.header))
    return best


def _read(head: str, delimiter: str, search: bool = True) -> _Table:
    """Read the text with a delimiter, and find the header."""
    limit = csv.field_size_limit(FIELD_LIMIT)
    records: list[tuple[int, list[str]]] = []
    reader = csv.reader(io.StringIO(head, newline=""), delimiter=delimiter)
    try:
        for i, cells in enumerate(reader):
            if any(cell.strip() for cell in cells):
                records.append((i, cells))
            if len(records) > SAMPLE_ROWS:
                break
    except csv.Error:
        pass  # a NUL byte or another fault: what was read before it is enough
    finally:
        csv.field_size_limit(limit)
    if not records:
        return _Table(delimiter, 0, [], [], 0.0)
    at = _header_at([cells for _, cells in records]) if search else 0
    header = records[at][1]
    rows = [cells for _, cells in records[at + 1 :]]
    share = sum(len(row) == len(header) for row in rows) / max(len(rows), 1)
    return _Table(delimiter, records[at][0], header, rows, share, at)


def _header_at(records: Sequence[list[str]]) -> int:
    """The first record with as many cells as most have, if lines that are no header stand before it."""
    widths = Counter(len(cells) for cells in records[1:])
    usual = widths.most_common(1)[0][0] if widths else len(records[0])
    if len(records[0]) == usual or usual == 1:
        return 0
    for at, cells in enumerate(records[:PREAMBLE_ROWS]):
        if len(cells) == usual:
            named = not any(is_value(cell) for cell in cells)
            titles = all(_is_title(before, usual) for before in records[:at])
            return at if named and titles and len(records) > at + 1 else 0
    return 0


def _is_title(cells: Sequence[str], usual: int) -> bool:
    """Whether a line before the header is a comment, a title or a `key: value` line."""
    filled = [cell for cell in cells if cell.strip()]
    return cells[0].lstrip().startswith(("#", "//", "--")) or len(filled) < max(usual, 2)


def _has_no_header(names: Sequence[str], rows: Sequence[list[str]]) -> bool:
    """Whether the first row holds values where the others do."""
    if _counts_up([name for name in names if is_value(name)]):
        return False  # columns called by the minutes of a day
    fitting = [row for row in rows if len(row) == len(names)]
    of_values = [
        i
        for i in range(len(names))
        if (filled := [row[i] for row in fitting if row[i].strip()]) and all(map(is_value, filled))
    ]
    n = sum(is_value(names[i]) for i in of_values)
    return n > len(of_values) / 2 and n >= min(len(names), 2)


def _counts_up(numbers: Sequence[str]) -> bool:
    if len(numbers) < 3 or not all(number.strip().isdecimal() for number in numbers):
        return False
    values = [int(number) for number in numbers]
    return all(b - a == 1 for a, b in pairwise(values))


def _decimal(path: Path, names: Sequence[str], rows: Sequence[list[str]], delimiter: str) -> str:
    """The mark of fractions in the file's numbers."""
    cells = [(names[i], cell.strip()) for row in rows if len(row) == len(names) for i, cell in enumerate(row)]
    commas = [(name, cell) for name, cell in cells if "," in cell]
    either = next(((name, cell) for name, cell in commas if COMMA_EITHER.fullmatch(cell)), None)
    fractions = any(COMMA_FRACTION.fullmatch(cell) for _, cell in commas)
    if not fractions and either is None:
        return "."
    dots = any(DOT_FRACTION.fullmatch(cell) for _, cell in cells if "." in cell)
    thousands = any(COMMA_THOUSANDS.fullmatch(cell) for _, cell in commas)
    if fractions and not dots and not thousands:
        return ","
    if fractions or dots or thousands or delimiter == ",":
        return "."
    assert either is not None
    raise InputError.two_decimals(path, *either)
