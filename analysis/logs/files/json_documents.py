"""JSON that is not one object a line: arrays, documents that hold one, pretty-printed objects.

Such a file is copied to JSON lines, one record after the other, in little memory. Not here: objects that lie
in lines (`burstlens.analysis.logs.files.containers`).
"""

from __future__ import annotations

import io
import json
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from ...core.errors import DiskError, InputError
from .packing import open_unpacked

CHUNK = 1 << 22
MAX_RECORD = 1 << 26
"""Characters of the largest record that is read."""
MAX_JUNK = 1 << 16
"""Characters of text between records that become one reject."""
SPACE = re.compile(r"\s*")
SPACE_OR_COMMA = re.compile(r"[\s,]*")
OBJECTS = re.compile(r"\[\s*\{")
RECORD_START = re.compile(r"\n(?=[\[{])")
LISTS = frozenset(
    (
        "data",
        "value",
        "values",
        "results",
        "result",
        "events",
        "observations",
        "items",
        "records",
        "Records",
        "logs",
        "rows",
        "entries",
        "requests",
        "generations",
        "logEvents",
        "hits",
        "list",
        "traces",
    )
)
"""Keys under which systems return a list of records, or an object that holds it."""
PARTS = frozenset(
    (
        "resourceSpans",
        "resourceLogs",
        "resourceMetrics",
        "scopeSpans",
        "spans",
        "messages",
        "choices",
        "tools",
        "tool_calls",
        "content",
        "parts",
        "attributes",
        "input",
        "output",
        "prompt",
    )
)
"""Keys whose lists of objects are part of a record."""
OF_A_REQUEST = re.compile(
    r"tokens|^model|prompt|usage|latency|duration|^(parent_?)?span_?id$|^parent_id$|^context$", re.IGNORECASE
)
DEPTH = 3
"""Levels of objects and lists in which records are looked for."""


class BrokenError(Exception):
    """The text is not JSON at a place."""

    def __init__(self, reason: str, line: int, column: int) -> None:
        super().__init__(reason)
        self.line, self.column = line, column


class Scanner:
    """The values of a JSON text, one after the other, read as they are needed."""

    def __init__(self, text: TextIO) -> None:
        self._text = text
        self._buffer = ""
        self._at = 0
        self._lines = 1
        self._column = 0
        """characters of the line before the buffer"""
        self._ended = False
        # Whole numbers of any length: they are checked here, not used.
        self._decode = json.JSONDecoder(strict=False, parse_int=float).raw_decode

    def _fill(self) -> bool:
        """Read on; False at the end of the text."""
        if self._ended:
            return False
        self._lines += self._buffer.count("\n", 0, self._at)
        start = self._buffer.rfind("\n", 0, self._at) + 1
        self._column = self._at - start + (0 if start else self._column)
        rest = self._buffer[self._at :]
        more = self._text.read(max(CHUNK, len(rest)))
        self._ended = not more
        self._buffer, self._at = rest + more, 0
        return not self._ended

    def broken(self, reason: str, at: int | None = None) -> BrokenError:
        """The fault at a place of the buffer, by default the present one."""
        at = self._at if at is None else min(at, len(self._buffer))
        line = self._lines + self._buffer.count("\n", 0, at)
        start = self._buffer.rfind("\n", 0, at) + 1
        return BrokenError(reason, line, at - start + (0 if start else self._column) + 1)

    def peek(self, between: re.Pattern[str] = SPACE) -> str:
        """Pass over what stands between values; the next character, empty at the end."""
        while True:
            match = between.match(self._buffer, self._at)
            self._at = match.end() if match else self._at
            if self._at < len(self._buffer):
                return self._buffer[self._at]
            if not self._fill():
                return ""

    def skip(self) -> None:
        """Pass over the character that `peek` gave."""
        self._at += 1

    def value(self) -> str:
        """The text of the next value."""
        while True:
            reason, place = "", 0
            try:
                _, end = self._decode(self._buffer, self._at)
                whole = self._buffer[self._at] in '{["' or end < len(self._buffer)
            except json.JSONDecodeError as fault:
                whole, reason, place = False, fault.msg, fault.pos
                cut = place >= len(self._buffer) - 16 or reason.startswith("Unterminated")
                if not cut:
                    raise self.broken(reason, place) from fault
            except RecursionError as fault:
                raise self.broken("nested too deep") from fault
            if whole:
                break
            if len(self._buffer) - self._at > MAX_RECORD:
                raise self.broken(f"one value is longer than {MAX_RECORD:,} characters")
            before = self._at
            if not self._fill():
                if reason:
                    raise self.broken(reason, place - before)
                break
        text = self._buffer[self._at : end]
        self._at = end
        return text

    def junk(self) -> str:
        """Pass over text that is no value, up to the next line that begins a record."""
        found = RECORD_START.search(self._buffer, self._at)
        while found is None and len(self._buffer) - self._at < MAX_JUNK and self._fill():
            found = RECORD_START.search(self._buffer, self._at)
        end = found.end() if found else min(len(self._buffer), self._at + MAX_JUNK)
        text = self._buffer[self._at : end]
        self._at = end
        return text


def elements(scanner: Scanner, depth: int = 0) -> Iterator[str]:
    """The elements of the array that comes next, and of arrays in it."""
    scanner.skip()
    while (character := scanner.peek(SPACE_OR_COMMA)) != "]":
        if not character:
            raise scanner.broken("the array is not closed")
        if character == "[" and depth < DEPTH:
            yield from elements(scanner, depth + 1)
        else:
            yield scanner.value()
    scanner.skip()


def members(scanner: Scanner) -> Iterator[str]:
    """The keys of the object that comes next; the scanner stands before the value, to be taken each time."""
    scanner.skip()
    while (character := scanner.peek(SPACE_OR_COMMA)) != "}":
        if not character:
            raise scanner.broken("the object is not closed")
        if character != '"':
            raise scanner.broken("a key is missing")
        key = json.loads(scanner.value(), strict=False)
        if scanner.peek() != ":":
            raise scanner.broken("':' is missing")
        scanner.skip()
        scanner.peek()
        yield key
    scanner.skip()


def is_value(text: str) -> bool:
    """Whether a text begins with a JSON value."""
    scanner = Scanner(io.StringIO(text))
    try:
        return bool(scanner.peek() and scanner.value())
    except BrokenError:
        return False


def list_path(head: str) -> tuple[str, ...]:
    """Find the list of records in an object.

    Parameters
    ----------
    head : str
        The first characters of the object, perhaps cut.

    Returns
    -------
    tuple of str
        The keys that lead to it; empty if the object is a record itself.

    Examples
    --------
    >>> list_path('{"object": "list", "data": [{"id": 1}, {"id"')
    ('data',)
    >>> list_path('{"model": "m", "data": [{"id": 1}]}')
    ()
    """
    scanner = Scanner(io.StringIO(head))
    if scanner.peek() != "{":
        return ()
    found: list[tuple[str, ...]] = []
    try:
        _find_lists(scanner, (), found)
    except BrokenError:
        pass  # the head ends inside
    except _RecordError:
        return ()
    return min(found, key=lambda path: path[-1] not in LISTS, default=())


class _RecordError(Exception):
    """The object has a key that requests have."""


def _find_lists(scanner: Scanner, path: tuple[str, ...], found: list[tuple[str, ...]]) -> None:
    for key in members(scanner):
        here = (*path, key)
        character = scanner.peek()
        if character == "[" and key not in PARTS:
            scanner.skip()
            first = scanner.peek()
            if first == "{":
                several = key in LISTS or not _is_single(scanner)
                found.extend([here] * several)
            elif first == "]" and key in LISTS:
                found.append(here)
            for _ in _rest(scanner):
                pass
        elif character == "{" and key in LISTS and len(here) < DEPTH:
            _find_lists(scanner, here, found)
        elif OF_A_REQUEST.search(key):
            raise _RecordError
        else:
            scanner.value()


def _is_single(scanner: Scanner) -> bool:
    """Whether the list has one element, the scanner standing before it."""
    try:
        scanner.value()
    except BrokenError:
        return False
    return scanner.peek(SPACE_OR_COMMA) == "]"


def _rest(scanner: Scanner) -> Iterator[str]:
    while scanner.peek(SPACE_OR_COMMA) not in ("]", ""):
        yield scanner.value()
    scanner.skip()


def records(scanner: Scanner, path: tuple[str, ...], log: Path) -> Iterator[str]:
    """The texts of all records; text between them that is no JSON counts as one.

    Parameters
    ----------
    scanner : Scanner
    path : tuple of str
        Keys of the list of records in each object; empty where objects are records.
    log : Path
        For messages.
    """
    while character := scanner.peek(SPACE_OR_COMMA):
        if character == "[":
            yield from elements(scanner)
        elif character == "{" and path:
            yield from _inside(scanner, path, log)
        elif character == "{":
            try:
                yield scanner.value()
            except BrokenError:
                yield scanner.junk()
        else:
            yield scanner.junk()


def _inside(scanner: Scanner, path: tuple[str, ...], log: Path) -> Iterator[str]:
    """The records of an object's list; two lists that could be it are an error."""
    for key in members(scanner):
        character = scanner.peek()
        if key == path[0] and len(path) > 1 and character == "{":
            yield from _inside(scanner, path[1:], log)
        elif key == path[0] and len(path) == 1 and character == "[":
            yield from elements(scanner)
        else:
            text = scanner.value()
            rival = path[-1] not in LISTS and key not in PARTS and OBJECTS.match(text)
            if rival:
                raise InputError.two_lists(log, path[-1], key)


def to_lines(
    file: Path, packed: str, path: tuple[str, ...], folder: Path, log: Path, *, by_line: bool = False
) -> Path:
    """Copy a JSON file to JSON lines.

    Parameters
    ----------
    file : Path
    packed : str
    path : tuple of str
        As `list_path` found it.
    folder : Path
        Existing temporary folder.
    log : Path
        The user's file, for messages.
    by_line : bool
        Each line is a document of its own: a broken one becomes a reject.

    Returns
    -------
    Path
        In `folder`, plain.

    Raises
    ------
    InputError
        If an array or a document is broken; with the place.
    """
    out = Path(tempfile.mkdtemp(dir=folder)) / f"{file.name}.jsonl"
    with open_unpacked(file, packed) as raw:
        text = io.TextIOWrapper(raw, "utf-8-sig", "surrogateescape", newline="\n")
        try:
            with out.open("w", encoding="utf-8", errors="surrogateescape", newline="") as lines:
                texts = _by_line(text, path, log) if by_line else records(Scanner(text), path, log)
                for record in texts:
                    lines.write(record.replace("\n", " ").replace("\r", " ") + "\n")
        except BrokenError as fault:
            raise InputError.broken_json(log, str(fault), fault.line, fault.column) from fault
        except OSError as fault:
            if fault.errno is None:
                raise
            raise DiskError.unwritable(out, fault) from fault
    return out


def _by_line(text: TextIO, path: tuple[str, ...], log: Path) -> Iterator[str]:
    for line in text:
        try:
            yield from list(records(Scanner(io.StringIO(line)), path, log))
        except BrokenError:
            yield line.rstrip("\r\n")
