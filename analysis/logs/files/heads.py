"""The first bytes of a text: read far enough for its first row, and judged whether they are JSON.

Not here: what is made of the file (`burstlens.analysis.logs.files.sniff`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from ...core.errors import InputError
from .containers import object_in
from .csv_layout import layout
from .json_documents import LISTS, is_value, list_path
from .packing import open_unpacked

HEAD_BYTES = 1 << 20
"""Enough for the widest header known (1,444 columns) and for a look at the first rows."""
MAX_HEAD_BYTES = 1 << 25
"""Read on up to here for the end of the first row."""
SAMPLE_ROWS = 500
HEAD_LINES = 50
MIN_OBJECT_SHARE = 0.2
"""So many lines of a log hold an object, at least; a tenth of it if they are several."""


def read_head(file: Path, packed: str) -> tuple[bytes, bool]:
    """The file's first bytes, with its first row if that is not too long; whether that is all of it."""
    with open_unpacked(file, packed) as stream:
        head = _read(stream, HEAD_BYTES)
        complete = len(head) < HEAD_BYTES
        while not complete and head.count(b"\n") < 2 and len(head) < MAX_HEAD_BYTES:
            if head.lstrip()[:1] == b"[":
                break  # an array is read as a stream
            more = _read(stream, len(head))
            if b"\0" in more:
                break
            complete = len(more) < len(head)
            head += more
    return head, complete


def _read(file: BinaryIO, n: int) -> bytes:
    """So many bytes, fewer only at the end."""
    parts = []
    while n and (part := file.read(n)):
        parts.append(part)
        n -= len(part)
    return b"".join(parts)


def without_cut_line(text: str, complete: bool) -> str:
    """The text without its last line, if that is cut and not the only one."""
    if complete:
        return text
    end = max(text.rfind("\n"), -1 if "\n" in text else text.rfind("\r"))
    return text[: end + 1] if end > 0 else text


def lines_of(text: str, complete: bool) -> list[str]:
    """The text's complete lines, without their breaks but for a carriage return before them."""
    whole = without_cut_line(text, complete)
    return whole.split("\n") if "\n" in whole else whole.split("\r")


def document_of(text: str, complete: bool) -> tuple[tuple[str, ...] | None, bool]:
    """Whether a text is JSON that is not one object a line.

    Returns
    -------
    path : tuple of str or None
        Keys that lead to the list of records, none for an array or bare objects; None for JSON lines.
    by_line : bool
        Each line is a document of its own.
    """
    if text.lstrip()[:1] == "[":
        return (), False
    lines = [line for line in lines_of(text, complete) if line.strip()][:SAMPLE_ROWS]
    first = lines[0]
    if object_in("text", first) is not None:
        path = list_path(first)
        if len(lines) == 1:
            return path or None, False
        return _document_of_lines(lines)
    path = list_path(text)
    several = is_value(text)
    if not path and len(lines) == 1 and not complete and not several:
        return None, False  # one row, longer than what was read
    objects = sum(object_in("", line) is not None for line in lines)
    if several or objects <= len(lines) / 2:
        return path, False
    return _document_of_lines(lines)


def _document_of_lines(lines: Sequence[str]) -> tuple[tuple[str, ...] | None, bool]:
    """Whether each line holds a list of records, as `document_of` returns it."""
    paths = Counter(list_path(line) for line in lines[:HEAD_LINES])
    path, n = paths.most_common(1)[0]
    by_line = path and path[-1] in LISTS and n > min(len(lines), HEAD_LINES) / 2
    return (path, True) if by_line else (None, False)


def holds_objects(path: Path, text: str, complete: bool, lines: Sequence[str]) -> bool:
    """Whether the lines of a text that begins with something else hold objects, and are not rows of CSV."""
    found = [object_in("text", line) is not None for line in lines]
    n = sum(found)
    if n < MIN_OBJECT_SHARE * len(lines) and not (n >= 3 and n >= MIN_OBJECT_SHARE / 10 * len(lines)):
        return False
    if found[0]:
        return True
    try:
        table = layout(path, without_cut_line(text, complete), None, ".")
    except InputError:
        return True
    return not table.consistent or "{" in "".join(table.header)
