"""Rows of a log that cannot be used: where they stand, why, and the file that tells.

A reject is data, kept and counted; `strict` turns the first into an error. Not here: finding out that a row
is bad, which the reading does (`burstlens.analysis.loading`).
"""

from __future__ import annotations

import csv
import json
import mmap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from .errors import BurstlensError
from .logs import LogFile, unpacked

TEXT_LIMIT = 500
"""Characters of a rejected row that are kept."""

CHUNK = 1 << 24


@dataclass(frozen=True)
class Reject:
    """One row that is not in the trace."""

    file: str
    line: int | None
    """Line in the file, the header being line 1; the row's number in Parquet."""
    reason: str
    column: str | None
    text: str
    """The row as it stands there, control characters and foreign bytes escaped."""

    def __str__(self) -> str:
        """`file, line 7: reason (column)`."""
        where = f"{self.file}, line {self.line}" if self.line is not None else self.file
        return f"{where}: {self.reason}" + (f" ({self.column})" if self.column else "")


@dataclass(frozen=True)
class Torn:
    """A row that the reader could not take apart: its place in bytes and what was wrong."""

    start: int
    """Offset of the row's first byte in the unpacked file, or of a line break just before it."""
    reason: str
    column: str | None
    lines: int = 1
    """Lines that it swallowed: more than one after a quote that was never closed."""


@dataclass(frozen=True)
class Flawed:
    """A row that was read and whose values cannot be: its number among the rows that were read, from 0."""

    row: int
    reason: str
    column: str | None


class Lines:
    """Where the lines of a text file begin, and its bytes.

    A file that is not packed is mapped, not loaded.
    """

    def __init__(self, log: LogFile) -> None:
        if log.packed == "none":
            with log.path.open("rb") as file:
                self.data: bytes | mmap.mmap = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        else:
            with unpacked(log.path, log.packed) as file:
                self.data = file.read()
        head = self.data[:CHUNK]
        self.newline = b"\n" if b"\n" in head or b"\r" not in head else b"\r"
        self.breaks = self._where(self.newline)

    def _where(self, byte: bytes) -> npt.NDArray[np.int64]:
        """Offsets of every such byte."""
        found = [
            np.flatnonzero(np.frombuffer(self.data[at : at + CHUNK], np.uint8) == byte[0]) + at
            for at in range(0, len(self.data), CHUNK)
        ]
        return np.concatenate(found) if found else np.empty(0, np.int64)

    def line_of(self, offset: int) -> int:
        """Number, from 1, of the line that the byte stands in."""
        return int(np.searchsorted(self.breaks, offset)) + 1

    def skip_breaks(self, offset: int) -> int:
        """The first byte from there on that ends no line."""
        while offset < len(self.data) and self.data[offset : offset + 1] in (b"\n", b"\r"):
            offset += 1
        return offset

    def raw(self, line: int) -> bytes:
        """The line without its break."""
        start = 0 if line == 1 else int(self.breaks[line - 2]) + 1
        end = int(self.breaks[line - 1]) if line <= len(self.breaks) else len(self.data)
        return self.data[start:end].rstrip(b"\r\n")

    def text(self, line: int) -> str:
        """The line, escaped, cut at `TEXT_LIMIT`."""
        return escaped(self.raw(line)[: 4 * TEXT_LIMIT])

    def rows(self, taken: int, header: bool, torn: Sequence[int]) -> npt.NDArray[np.int64] | None:
        """Line numbers of the rows that were read, in order; None if they cannot be told for sure.

        `torn` are the lines of the rows that were not. A row is a line, unless quoted fields hold line
        breaks; the count of rows `taken` says which of the two is the case.
        """
        starts = np.concatenate([[0], self.breaks + 1])
        starts = starts[starts < len(self.data)]
        lines = np.arange(1, len(starts) + 1)
        for quoted in (False, True):
            if quoted:
                quotes = self._where(b'"')
                outside = np.searchsorted(quotes, starts) % 2 == 0
                starts, lines = starts[outside], lines[outside]
            ends = np.append(starts[1:], len(self.data))
            blank = ends - starts <= 1
            short = np.flatnonzero(~blank & (ends - starts <= 2))
            blank[short] = [self.data[starts[i] : ends[i]].strip(b"\r\n") == b"" for i in short]
            left = ~blank
            if header:
                left[0] = False
            rows: npt.NDArray[np.int64] = lines[left & ~np.isin(lines, torn)]
            if len(rows) == taken:
                return rows
        return None


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


def located(log: LogFile, taken: int, torn: Sequence[Torn], flawed: Sequence[Flawed]) -> list[Reject]:
    """The rejects of one file in the order of its lines."""
    name = log.path.name
    if log.kind == "parquet":
        return [Reject(name, flaw.row + 1, flaw.reason, flaw.column, "") for flaw in flawed]
    lines = Lines(log)
    rejects, swallowed = [], []
    for row in torn:
        first = lines.line_of(lines.skip_breaks(row.start))
        for line in range(first, first + row.lines):
            reason = row.reason if line == first else f"inside the quote opened on line {first}"
            rejects.append(Reject(name, line, reason, row.column, lines.text(line)))
            swallowed.append(line)
    if flawed:
        numbers = lines.rows(taken, log.kind == "csv", swallowed)
        for flaw in flawed:
            if numbers is None:
                rejects.append(Reject(name, None, flaw.reason, flaw.column, ""))
                continue
            line = int(numbers[flaw.row])
            if log.kind == "jsonl" and not _is_json(lines.raw(line)):
                rejects.append(Reject(name, line, "not JSON", None, lines.text(line)))
            else:
                rejects.append(Reject(name, line, flaw.reason, flaw.column, lines.text(line)))
    return sorted(rejects, key=lambda reject: reject.line or 0)


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def write_rejects(rejects: Sequence[Reject], out: Path) -> None:
    """The rejects as CSV: file, line, reason, column, text."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with out.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["file", "line", "reason", "column", "text"])
            writer.writerows(_fields(rejects))
    except OSError as fault:
        raise BurstlensError.unwritable(out, fault) from fault


def _fields(rejects: Sequence[Reject]) -> Iterator[list[str]]:
    for reject in rejects:
        line = "" if reject.line is None else str(reject.line)
        yield [reject.file, line, reject.reason, reject.column or "", reject.text]
