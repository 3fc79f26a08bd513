"""Rows of a log that cannot be used: where they are, why, and the file that lists them.

A reject is data, kept and counted; `strict` turns the first into an error. Not here: finding out that a row
is bad, which the reading does (`burstlens.analysis.logs.load_duckdb`).
"""

from __future__ import annotations

import csv
import io
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import numpy as np

from ..core.arrays import Array, Integers
from ..core.errors import DiskError
from ..core.units import counted
from .files.containers import is_json, object_in
from .files.packing import open_unpacked
from .files.sniff import LogFile

TEXT_LIMIT = 500
"""Characters of a rejected row that are kept."""

REASONS_SHOWN = 3
"""Reasons that are named one by one where rejects are summed up."""
EXAMPLE_LIMIT = 100
"""Characters of a row that is shown as an example."""

CHUNK = 1 << 24
BLANK_LIMIT = 16
"""Bytes up to which a line is looked at whether it is blank."""


@dataclass(frozen=True)
class Reject:
    """One row that is not in the trace."""

    file: str
    line: int | None
    """Line in the file, from 1; the row's number in Parquet, the record's in a JSON document."""
    reason: str
    column: str | None
    text: str
    """The row as it stands there, control characters and foreign bytes escaped."""
    word: str = "line"
    """What `line` counts: lines, or records of a JSON document."""

    def __str__(self) -> str:
        """`file, line 7: reason (column)`."""
        where = f"{self.file}, {self.word} {self.line}" if self.line is not None else self.file
        return f"{where}: {self.reason}" + (f" ({self.column})" if self.column else "")


@dataclass(frozen=True)
class RejectReason:
    """Rejected rows with the same fault."""

    reason: str
    column: str | None
    rows: int
    example: Reject
    """The first of them."""

    def __str__(self) -> str:
        """`12 rows: negative (request_tokens), for example line 7 of a.csv: 7,-1,20`."""
        column = f" ({self.column})" if self.column else ""
        line = f"line {self.example.line} of " if self.example.line is not None else "a row of "
        text = self.example.text
        shown = text if len(text) <= EXAMPLE_LIMIT else f"{text[: EXAMPLE_LIMIT - 1]}…"
        return (
            f"{counted(self.rows, 'row')}: {self.reason}{column}, for example {line}{self.example.file}"
            f"{f': {shown}' if shown else ''}"
        )


@dataclass(frozen=True)
class RejectedRows:
    """How many rows of the logs were rejected, and why."""

    rows: int = 0
    reasons: tuple[RejectReason, ...] = ()
    """Most frequent first; none for a trace file: they were listed when it was made."""
    file: Path | None = None
    """The file that lists them, if it was asked for."""

    @classmethod
    def of(cls, rows: int, rejects: Sequence[Reject]) -> RejectedRows:
        """Count rejects by reason.

        Parameters
        ----------
        rows : int
            All rejected rows.
        rejects : sequence of Reject
            Those that are listed.

        Returns
        -------
        RejectedRows
        """
        by_reason: dict[tuple[str, str | None], list[Reject]] = {}
        for reject in rejects:
            # Some reasons say which value or which line.
            reason = re.sub(r"( opened on line \d+|: .*)$", "", reject.reason, flags=re.DOTALL)
            by_reason.setdefault((reason, reject.column), []).append(reject)
        reasons = [RejectReason(*key, len(found), found[0]) for key, found in by_reason.items()]
        return cls(rows, tuple(sorted(reasons, key=lambda each: -each.rows)))

    def lines(self, how: str, limit: int = REASONS_SHOWN) -> list[str]:
        """Name the most frequent reasons with an example each, and where all rejected rows are.

        Parameters
        ----------
        how : str
            What lists them in a file, in words: `--rejects FILE`.
        limit : int
            Reasons to name.

        Returns
        -------
        list of str
            Empty if no row was rejected.
        """
        if not self.rows:
            return []
        if not self.reasons:
            return ["rows were rejected when the trace file was made: its .rejects.csv lists them"]
        lines = [str(each) for each in self.reasons[:limit]]
        if more := self.reasons[limit:]:
            rest = counted(sum(each.rows for each in more), "row")
            lines.append(f"{rest} for {counted(len(more), 'other reason')}")
        listed = sum(each.rows for each in self.reasons)
        which = "all rejected rows" if listed == self.rows else f"the first {listed:,} rejected rows"
        return [*lines, f"{which}: {self.file or how}"]

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for `--json`."""
        return {
            "rows": self.rows,
            "reasons": [
                {
                    "reason": each.reason,
                    "column": each.column,
                    "rows": each.rows,
                    "example": {
                        "file": each.example.file,
                        "line": each.example.line,
                        "text": each.example.text,
                    },
                }
                for each in self.reasons
            ],
            "file": str(self.file) if self.file else None,
        }


@dataclass(frozen=True)
class UnparseableRow:
    """A row that the reader could not parse: where it begins, in bytes, and the reason."""

    start: int
    """Offset of the row's first byte in the unpacked file, or of a line break just before it."""
    reason: str
    column: str | None
    lines: int = 1
    """Lines that it swallowed: more than one after a quote that was never closed."""


@dataclass(frozen=True)
class InvalidRow:
    """A row that was parsed and has an invalid value: its number among the parsed rows, from 0."""

    row: int
    reason: str
    column: str | None


class LineIndex:
    """Where the lines of a text file begin, and their bytes; what is packed is unpacked to the disk."""

    def __init__(self, log: LogFile) -> None:
        self._file: IO[bytes] = log.readable.open("rb")
        if log.packed != "none":
            self._file.close()
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 (closed by `close`)
            with open_unpacked(log.readable, log.packed) as file:
                shutil.copyfileobj(file, self._file, CHUNK)
        self.size = self._file.seek(0, io.SEEK_END)
        head = self._read(0, CHUNK)
        newline = b"\n" if b"\n" in head or b"\r" not in head else b"\r"
        self.breaks = self._where(newline)
        if self.size and (not len(self.breaks) or self.breaks[-1] != self.size - 1):
            self.breaks = np.append(self.breaks, self.size)

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def _read(self, start: int, end: int) -> bytes:
        self._file.seek(start)
        return self._file.read(end - start)

    def _where(self, byte: bytes) -> Integers:
        """Offsets of every such byte."""
        found = [np.empty(0, np.int64)]
        for at in range(0, self.size, CHUNK):
            chunk = np.frombuffer(self._read(at, at + CHUNK), np.uint8)
            found.append(np.flatnonzero(chunk == byte[0]) + at)
        return np.concatenate(found)

    def line_of(self, offset: int) -> int:
        """Number, from 1, of the line that the byte stands in; of the next if the byte ends a line."""
        while self._read(offset, offset + 1) in (b"\n", b"\r"):
            offset += 1
        return int(np.searchsorted(self.breaks, offset)) + 1

    def raw(self, line: int) -> bytes:
        """The line without its break."""
        start = 0 if line == 1 else int(self.breaks[line - 2]) + 1
        return self._read(start, int(self.breaks[line - 1])).rstrip(b"\r\n")

    def text(self, line: int) -> str:
        """The line, escaped, cut at `TEXT_LIMIT`."""
        return escaped(self.raw(line)[: 4 * TEXT_LIMIT])

    def header(self, delimiter: str, skip: int) -> list[int]:
        """Numbers of the lines up to the end of the header of a CSV file.

        Parameters
        ----------
        delimiter : str
        skip : int
            Records before the header, blank lines included.

        Returns
        -------
        list of int
        """
        lines = (self.raw(n).decode("utf-8", "replace") + "\n" for n in range(1, len(self.breaks) + 1))
        reader = csv.reader(lines, delimiter=delimiter)
        try:
            for _ in zip(range(skip + 1), reader, strict=False):
                pass
        except csv.Error:
            return list(range(1, skip + 2))
        return list(range(1, reader.line_num + 1))

    def lines_of(self, rows: Sequence[int], rows_read: int, passed_over: Sequence[int]) -> list[int] | None:
        """Find the line numbers of rows by their position among the rows that were read.

        A row is a line, unless quoted fields contain line breaks; the count `rows_read` shows which.

        Parameters
        ----------
        rows : sequence of int
            Positions among the rows that were read, from 0.
        rows_read : int
            How many rows were read.
        passed_over : sequence of int
            Lines of the header and of rows that could not be parsed.

        Returns
        -------
        list of int or None
            None if the lines are not certain.
        """
        skipped = np.union1d(self._blank(), np.array(passed_over, np.int64))
        if len(self.breaks) - len(skipped) == rows_read:
            before = skipped - 1 - np.arange(len(skipped))
            place = np.asarray(rows, np.int64)
            return [int(line) for line in place + 1 + np.searchsorted(before, place, side="right")]
        lines = np.setdiff1d(np.flatnonzero(self._outside_quotes()) + 1, skipped, assume_unique=True)
        if len(lines) != rows_read:
            pieces = self._lines_of_pieces()
            lines = pieces[~np.isin(pieces, passed_over)]
        return [int(lines[row]) for row in rows] if len(lines) == rows_read else None

    def _lines_of_pieces(self) -> Integers:
        """The line of each piece that is not blank, where a carriage return alone ends a piece, too."""
        lines: list[int] = []
        returns = self._where(b"\r")
        returns = returns[~np.isin(returns + 1, self.breaks)]
        for line in np.unique(np.searchsorted(self.breaks, returns)).tolist():
            pieces = self.raw(line + 1).split(b"\r") if line < len(self.breaks) else []
            n = sum(bool(piece.strip(b" ")) for piece in pieces)
            lines.extend([line + 1] * n)
        others = np.setdiff1d(np.arange(1, len(self.breaks) + 1), [*lines, *self._blank()])
        return np.sort(np.concatenate([np.array(lines, np.int64), others]))

    def _outside_quotes(self) -> Array:
        """Whether each line begins outside of quotes: after an even number of them."""
        outside = np.ones(len(self.breaks), bool)
        n_before, ends = 0, self.breaks[:-1]
        for at in range(0, self.size, CHUNK):
            quotes = np.flatnonzero(np.frombuffer(self._read(at, at + CHUNK), np.uint8) == ord('"'))
            first, last = np.searchsorted(ends, [at, at + CHUNK])
            counts = np.searchsorted(quotes, ends[first:last] - at) + n_before
            outside[first + 1 : last + 1] = counts % 2 == 0
            n_before += len(quotes)
        return outside

    def _blank(self) -> Integers:
        """Numbers of the lines that have nothing but blanks."""
        short = np.flatnonzero(np.diff(self.breaks, prepend=-1) <= BLANK_LIMIT) + 1
        return np.array([line for line in short.tolist() if not self.raw(line).strip(b" \r\n")], np.int64)


def escaped(row: bytes) -> str:
    """Bytes as one line of printable text that can be read back: `\\xff`, `\\x00`, `\\t`, `\\\\`."""
    text = row.decode("utf-8", "surrogateescape").replace("\\", "\\\\")
    shown = "".join(_visible(c) for c in text)
    return shown if len(shown) <= TEXT_LIMIT else shown[: TEXT_LIMIT - 1] + "…"


def _visible(character: str) -> str:
    if 0xDC80 <= ord(character) <= 0xDCFF:
        return f"\\x{ord(character) - 0xDC00:02x}"
    if character.isprintable():
        return character
    return character.encode("unicode_escape").decode("ascii")


def locate_rejects(
    log: LogFile, rows_read: int, unparseable: Sequence[UnparseableRow], invalid: Sequence[InvalidRow]
) -> list[Reject]:
    """List the rejects of one file in the order of its lines.

    Parameters
    ----------
    log : LogFile
    rows_read : int
        How many rows the reader returned.
    unparseable : sequence of UnparseableRow
    invalid : sequence of InvalidRow
        Among the rows that were read.

    Returns
    -------
    list of Reject
        The line is None if it is not certain.
    """
    name = log.path.name
    if log.kind == "parquet":
        return [Reject(name, row.row + 1, row.reason, row.column, "") for row in invalid]
    lines = LineIndex(log)
    rejects, unparseable_lines = [], []
    for row in unparseable:
        first = lines.line_of(row.start)
        for line in range(first, first + row.lines):
            reason = row.reason if line == first else f"inside the quote opened on line {first}"
            rejects.append(Reject(name, line, reason, row.column, lines.text(line)))
            unparseable_lines.append(line)
    if invalid:
        header = lines.header(log.delimiter, log.skip) if log.kind == "csv" else []
        numbers = lines.lines_of([flaw.row for flaw in invalid], rows_read, [*header, *unparseable_lines])
        for i, flaw in enumerate(invalid):
            if numbers is None:
                rejects.append(Reject(name, None, flaw.reason, flaw.column, ""))
            elif log.kind == "jsonl" and not _has_json(log.wrap, lines.raw(numbers[i])):
                rejects.append(Reject(name, numbers[i], "not JSON", None, lines.text(numbers[i])))
            else:
                text = lines.text(numbers[i])
                rejects.append(Reject(name, numbers[i], flaw.reason, flaw.column, text))
    lines.close()
    if log.row_word != "line":
        rejects = [replace(reject, word=log.row_word) for reject in rejects]
    return sorted(rejects, key=lambda reject: reject.line or 0)


def _has_json(wrap: str, line: bytes) -> bool:
    """Whether the reader found JSON in a line."""
    text = line.decode("utf-8", "replace")
    return object_in(wrap, text) is not None if wrap else is_json(text)


def write_rejects(rejects: Sequence[Reject], out: Path) -> None:
    """Write rejects as CSV: file, line, reason, column, text.

    Parameters
    ----------
    rejects : sequence of Reject
    out : Path

    Raises
    ------
    DiskError
        If the file cannot be written.
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with out.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["file", "line", "reason", "column", "text"])
            writer.writerows(_fields(rejects))
    except OSError as fault:
        raise DiskError.unwritable(out, fault) from fault


def _fields(rejects: Sequence[Reject]) -> Iterator[list[str]]:
    for reject in rejects:
        line = "" if reject.line is None else str(reject.line)
        yield [reject.file, line, reject.reason, reject.column or "", reject.text]
