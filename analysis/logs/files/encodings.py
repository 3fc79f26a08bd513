"""Texts that are not UTF-8: which encoding a log is in, and its copy in UTF-8.

One bad byte in a UTF-8 file is a reject of its row, not another encoding. Not here: what the text means
(`burstlens.analysis.logs.files.sniff`).
"""

from __future__ import annotations

import codecs
import re
import tempfile
from pathlib import Path

from ...core.errors import DiskError, InputError
from .packing import CHUNK, open_unpacked

BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""First bytes that tell the encoding; those of UTF-32 begin with those of UTF-16."""
TITLES = {
    "utf-32": "UTF-32",
    "utf-16": "UTF-16",
    "utf-16-le": "UTF-16",
    "utf-16-be": "UTF-16",
    "cp1252": "Windows-1252",
}
LETTERS = re.compile(r"[^\W\d_]+")
PUNCTUATION = frozenset("€–—‘’“”…•°§©®™«»¿¡\xa0")
"""Characters of Windows-1252 that stand outside of words in ordinary text."""
MIN_BAD_LINES = 5


def encoding_of(path: Path, head: bytes) -> str:
    """Tell the encoding of a text from its first bytes.

    Parameters
    ----------
    path : Path
        For the message.
    head : bytes
        First bytes; a character may be cut at their end.

    Returns
    -------
    str
        As Python's codecs name it. `utf-8` also for UTF-8 with a few bad bytes.

    Raises
    ------
    InputError
        If most lines are not UTF-8 and nothing tells what they are.
    """
    for bom, name in BOMS:
        if head.startswith(bom):
            return name
    pair = head[: 1 << 12]
    low, high = pair[0::2], pair[1::2]
    if len(high) >= 4:
        if high.count(0) > 0.6 * len(high) and low.count(0) < 0.05 * len(low):
            return "utf-16-le"
        if low.count(0) > 0.6 * len(low) and high.count(0) < 0.05 * len(high):
            return "utf-16-be"
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
        return "utf-8"
    except UnicodeDecodeError:
        if _is_windows_1252(head):
            return "cp1252"
    lines = head.splitlines()
    bad = sum(not _is_utf8(line) for line in lines[:-1])
    if bad >= MIN_BAD_LINES and bad > len(lines) / 2 and b"\0" not in head:
        raise InputError.unknown_encoding(path)
    return "utf-8"


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _is_windows_1252(head: bytes) -> bool:
    """Whether every non-ASCII byte stands in a word of Windows-1252, on two lines at least."""
    try:
        text = head.decode("cp1252")
    except UnicodeDecodeError:
        return False
    without = head.decode("utf-8", "ignore")
    if not without.isascii():
        return False  # it has characters of UTF-8, and bad bytes beside them
    lines = 0
    for line in text.splitlines():
        if line.isascii():
            continue
        foreign = sum(not c.isascii() and c not in PUNCTUATION for c in line)
        words = [word for word in LETTERS.findall(line) if not word.isascii()]
        in_words = sum(not c.isascii() and c.isalpha() for word in words for c in word)
        alone = sum(len(word) > 1 and not any(c.isascii() for c in word) for word in words)
        if foreign != in_words or alone or "ÿ" in line:
            return False
        lines += foreign > 0
    return lines >= 2


def recode(path: Path, packed: str, encoding: str, folder: Path) -> Path:
    """Write a text as UTF-8, line for line.

    Parameters
    ----------
    path : Path
    packed : str
    encoding : str
        As Python's codecs name it.
    folder : Path
        Existing temporary folder.

    Returns
    -------
    Path
        In `folder`, plain, with the name of `path`.
    """
    out = Path(tempfile.mkdtemp(dir=folder)) / path.name
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    with open_unpacked(path, packed) as source:
        try:
            with out.open("w", encoding="utf-8", newline="", errors="replace") as target:
                while chunk := source.read(CHUNK):
                    target.write(decoder.decode(chunk))
                target.write(decoder.decode(b"", True))
        except OSError as fault:
            if fault.errno is None:
                raise
            raise DiskError.unwritable(out, fault) from fault
    return out


def checked_encoding(name: str) -> str:
    """Check that an encoding of this name exists.

    Raises
    ------
    InputError
        If Python has no text encoding of this name.
    """
    try:
        "".encode(name)
        return codecs.lookup(name).name
    except (LookupError, ValueError, UnicodeError) as fault:
        raise InputError.of_option(
            "encoding", f"no encoding {name!r}", remedy="there are utf-8, cp1252, utf-16, latin-1 and others"
        ) from fault
