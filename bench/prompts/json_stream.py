"""The entries of a JSON file one after the other, each with its place, without holding the file in memory.

A file is one array, or values with blanks between them (JSON lines). Not here: what an entry means.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from ...analysis.core.errors import DiskError, InputError, path_text

STEP = 1 << 20
LARGEST = 1 << 26
"""Characters of an entry at most."""
TAIL = 16
"""A fault so close to the end of what was read may be the cut, not the file."""
BLANKS = re.compile(r"[ \t\r\n]*")
BOM = codecs.BOM_UTF8

Entry = tuple[int, int, Any]
"""Offset and length in bytes, and the value."""


def entries(path: Path) -> Iterator[Entry]:
    """Read every entry in order; raises InputError with line and column if the file is not JSON."""
    try:
        if path.is_dir():
            raise InputError(f"{path_text(path)}: is a folder; name the file of prompts in it")
        with path.open("rb") as file:
            yield from _entries(_Window(path, file))
    except FileNotFoundError:
        raise InputError.missing_file(path) from None
    except OSError as fault:
        raise DiskError.unreadable(path, fault) from fault


def _entries(window: _Window) -> Iterator[Entry]:
    listed = window.upcoming() == "["
    if listed:
        window.skip()
        if window.upcoming() == "]":
            return
    while window.upcoming():
        yield window.entry()
        if not listed:
            continue
        after = window.upcoming()
        if after == ",":
            window.skip()
        elif after == "]":
            window.skip()
            if window.upcoming():
                window.wrong("something follows the array")
            return
        elif after:
            window.wrong("a comma is missing here")
    if listed:
        window.wrong("the file ends inside the array")


class _Window:
    """The part of a file that is looked at."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._path, self._file = path, file
        self._decode = codecs.getincrementaldecoder("utf-8")()
        self._scan = json.JSONDecoder().raw_decode
        self._text, self._at = "", 0
        self._byte = len(BOM) if file.read(len(BOM)) == BOM else file.seek(0)
        """Offset in the file of what is at `_at`."""

    def upcoming(self) -> str:
        """The next character that is not a blank; empty at the end of the file."""
        while True:
            blanks = BLANKS.match(self._text, self._at)
            self._pass(blanks.end() if blanks else self._at)
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._fill():
                return ""

    def skip(self) -> None:
        """Pass one character."""
        self._pass(self._at + 1)

    def entry(self) -> Entry:
        """Pass one value."""
        while True:
            try:
                value, end = self._scan(self._text, self._at)
            except json.JSONDecodeError as fault:
                ahead = fault.pos - self._at
                cut = fault.msg.startswith("Unterminated") or fault.pos >= len(self._text) - TAIL
                if not (cut and self._fill()):
                    self.wrong(fault.msg.removesuffix(" starting at"), ahead)
            except RecursionError:
                self.wrong("nested too deeply")
            except ValueError as fault:
                self.wrong(str(fault))
            else:
                # A number may go on behind what was read; whatever else ends does so visibly.
                if end < len(self._text) or not self._fill():
                    begin = self._byte
                    self._pass(end)
                    return begin, self._byte - begin, value

    def wrong(self, why: str, ahead: int = 0) -> NoReturn:
        """Raise that the file is not JSON, `ahead` characters after the position of the window."""
        passed = self._text[self._at : self._at + ahead]
        self._blame(self._byte + len(passed.encode()), f"is not JSON: {why}")

    def _blame(self, offset: int, why: str) -> NoReturn:
        """Raise a fault at an offset, with line and column (in bytes)."""
        self._file.seek(0)
        line, start, read = 1, 0, 0
        while read < offset and (data := self._file.read(min(STEP, offset - read))):
            line += data.count(b"\n")
            if (last := data.rfind(b"\n")) >= 0:
                start = read + last + 1
            read += len(data)
        raise InputError(f"{path_text(self._path)}, line {line}, column {offset - start + 1}: {why}")

    def _pass(self, to: int) -> None:
        self._byte += len(self._text[self._at : to].encode())
        self._at = to

    def _fill(self) -> bool:
        """Read on, twice as much if one entry needs it; false at the end of the file."""
        buffered = len(self._text) - self._at
        if buffered > LARGEST:
            self.wrong(f"an entry of more than {LARGEST:,} characters, or a quote that is not closed")
        before = self._file.tell()
        data = self._file.read(max(STEP, buffered))
        try:
            more = self._decode.decode(data, final=not data)
        except UnicodeDecodeError as fault:
            self._blame(max(before - len(fault.object) + len(data) + fault.start, 0), "is not UTF-8 text")
        self._text, self._at = self._text[self._at :] + more, 0
        return bool(data)
