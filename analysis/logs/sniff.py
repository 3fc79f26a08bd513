"""Looking at a log file before reading it: what it is, how it is packed, which columns it has.

Every way in which a path can be no log at all ends here, in one line. Not here: which known format it is
(`burstlens.analysis.logs.formats`) and reading its rows (`burstlens.analysis.logs.load_duckdb`).
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil, inf
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import BinaryIO, cast

import duckdb
import zstandard

from ..core.errors import DiskError, InputError
from ..core.units import DAY_S

PARAMETERS = re.compile(rb'\s*\{\s*"schema_version"\s*:')
"""How a file of fitted parameters begins."""
HEAD_BYTES = 1 << 18
"""Enough for the widest header known (1,444 columns) and for a look at the first rows."""

GZIP, ZSTD, PARQUET = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"PAR1"
IDENTITY = "_burstlens.json"
"""Marks a folder of Parquet files as one trace, and says who it is; readers pass over such a name."""
DAY = "day"
"""Folders of a partitioned trace are called `day=000012`, days since its day 0: names sort as time does."""
DELIMITERS = ",;\t|"


@dataclass(frozen=True)
class LogFile:
    """A file that can be read as a log."""

    path: Path
    kind: str
    """csv, jsonl or parquet"""
    packed: str
    """none, gzip or zstd: by its first bytes, whatever its name says"""
    header: tuple[str, ...]
    """column names, or the keys of the first objects"""
    delimiter: str
    first: dict[str, str]
    """the first row's text by column, as far as it is known; for Parquet the columns' types"""
    url: str | None = None
    """its address if only Spark can open it; `path` is then a local copy of its first part"""

    @property
    def stem(self) -> str:
        """The file's name without its endings."""
        return stem(self.path)


def stem(path: Path) -> str:
    """Strip the endings of formats and compressions from a file's name."""
    name = path.name
    for ending in (".gz", ".zst", ".csv", ".jsonl", ".json", ".parquet", ".txt", ".tsv"):
        if name.lower().endswith(ending) and len(name) > len(ending):
            name = name[: -len(ending)]
    return name


def inspect_log(path: Path) -> LogFile:
    """Find out what a file is, from its first bytes.

    Parameters
    ----------
    path : Path

    Returns
    -------
    LogFile

    Raises
    ------
    BurstlensError
        If it cannot be a log; one line.
    """
    try:
        mode = path.stat().st_mode
        if S_ISDIR(mode):
            if (path / IDENTITY).is_file():
                return _look_at_parquet(path)
            raise InputError.directory(path)
        if not S_ISREG(mode):
            raise InputError.no_file(path)
        with path.open("rb") as file:
            magic = file.read(4)
        if not magic:
            raise InputError.empty(path)
        if magic == PARQUET:
            return _look_at_parquet(path)
        packed = "gzip" if magic.startswith(GZIP) else "zstd" if magic == ZSTD else "none"
        with open_unpacked(path, packed) as file:
            head = file.read(HEAD_BYTES)
    except FileNotFoundError as fault:
        raise InputError.missing_file(path) from fault
    except OSError as fault:
        raise DiskError.unreadable(path, fault) from fault
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise InputError.utf16(path)
    text = head.removeprefix(b"\xef\xbb\xbf")
    if not text.strip():
        raise InputError.empty(path)
    first_line = text.splitlines()[0]
    if b"\0" in first_line or not _is_text(first_line):
        raise InputError.binary(path)
    if PARAMETERS.match(text):
        raise InputError.parameter_file(path)
    if text.lstrip()[:1] == b"{":
        return _look_at_jsonl(path, packed, text)
    if text.lstrip()[:1] == b"[":
        raise InputError.json_array(path)
    return _look_at_csv(path, packed, text)


@contextmanager
def open_unpacked(path: Path, packed: str) -> Iterator[BinaryIO]:
    """Open a file's bytes, decompressed as they are read.

    Parameters
    ----------
    path : Path
    packed : str
        `gzip`, `zstd`, or anything else for a plain file.

    Raises
    ------
    BurstlensError
        If the compressed data are damaged.
    """
    try:
        if packed == "gzip":
            with gzip.open(path) as file:
                yield cast(BinaryIO, file)
        elif packed == "zstd":
            with (
                path.open("rb") as raw,
                zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True) as reader,
            ):
                yield cast(BinaryIO, reader)
        else:
            with path.open("rb") as raw:
                yield raw
    except (EOFError, zlib.error, gzip.BadGzipFile, zstandard.ZstdError) as fault:
        raise InputError.damaged(path, packed) from fault


def _is_text(line: bytes) -> bool:
    """Whether a line is UTF-8 without control characters."""
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as fault:
        # A character may be cut by the end of what was read, nowhere else.
        return len(line) >= HEAD_BYTES - 3 and fault.start >= len(line) - 3
    return not any(ord(c) < 32 and c not in "\t\r\f" for c in text)


def _look_at_parquet(path: Path) -> LogFile:
    files = parquet_files(path)
    if not files:
        raise InputError.empty(path)
    with duckdb.connect() as connection:
        try:
            columns = connection.execute(
                "DESCRIBE SELECT * FROM read_parquet($1, hive_partitioning = false)", [escape_glob(files[0])]
            ).fetchall()
        except duckdb.Error as fault:
            raise InputError.damaged(path, "Parquet") from fault
    return LogFile(path, "parquet", "none", tuple(c[0] for c in columns), ",", {c[0]: c[1] for c in columns})


def _look_at_jsonl(path: Path, packed: str, text: bytes) -> LogFile:
    """Keys of the objects on the first lines; a bad line among them is for the reader to reject."""
    keys: dict[str, str] = {}
    for line in text.splitlines()[:50]:
        try:
            value_of_line = json.loads(line)
        except ValueError:
            continue
        if isinstance(value_of_line, dict):
            for key, value in value_of_line.items():
                keys.setdefault(key, value if isinstance(value, str) else json.dumps(value))
    return LogFile(path, "jsonl", packed, tuple(keys), "", keys)


def _look_at_csv(path: Path, packed: str, text: bytes) -> LogFile:
    """Header and first row, split by the delimiter that cuts the header into most columns."""
    decoded = text.decode("utf-8", "replace")
    first_line = decoded.splitlines()[0]
    delimiter = max(DELIMITERS, key=first_line.count)
    rows = csv.reader(io.StringIO(decoded, newline=""), delimiter=delimiter)
    try:
        header = next(rows)
        row = next((r for r in rows if r), [])
    except csv.Error:
        row = []
    first = dict(zip(header, row, strict=False))
    return LogFile(path, "csv", packed, tuple(header), delimiter, first)


def parquet_files(path: Path, start_s: float | None = None, end_s: float | None = None) -> list[Path]:
    """List the files of a trace in order of arrival: itself, or those of its folder.

    Parameters
    ----------
    path : Path
    start_s, end_s : float, optional
        Half-open span in seconds from midnight of day 0. In a folder partitioned by day, only files of days
        that reach into it count.

    Returns
    -------
    list of Path
    """
    if not path.is_dir():
        return [path]
    first = 0 if start_s is None else start_s // DAY_S
    last = inf if end_s is None else ceil(end_s / DAY_S) - 1
    files = sorted(path.glob("*.parquet"))
    for folder in sorted(path.glob(f"{DAY}=*")):
        day = folder.name.partition("=")[2]
        if day.isdigit() and first <= int(day) <= last:
            files += sorted(folder.glob("*.parquet"))
    return files


def escape_glob(path: Path) -> str:
    """Write a path as DuckDB's readers want it: with the characters of patterns escaped."""
    return "".join(f"[{c}]" if c in "*?[" else c for c in str(path.absolute()))


def file_digest(path: Path, packed: str) -> str:
    """Compute the SHA-256 of a file as it is on disk, and read a compressed file to its end.

    DuckDB reads a gzip file with altered bytes, and a zstd file that was cut short, without an error.

    Parameters
    ----------
    path : Path
        A file, or the folder of a trace, for which the digest is that of its identity.
    packed : str
        `gzip`, `zstd`, or anything else for a plain file.

    Returns
    -------
    str
        In hexadecimal.

    Raises
    ------
    InputError
        If the compressed data are damaged.
    DiskError
        If the file cannot be read.
    """
    try:
        with (path / IDENTITY if path.is_dir() else path).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if packed == "gzip":
            with open_unpacked(path, packed) as stream:
                while stream.read(HEAD_BYTES):
                    pass
        elif packed == "zstd" and not _is_complete_zstd(path):
            raise InputError.damaged(path, packed)
    except OSError as fault:
        raise DiskError.unreadable(path, fault) from fault
    return digest


def _is_complete_zstd(path: Path) -> bool:
    """Whether the frames of the file can all be read and the last of them is complete."""
    frame = zstandard.ZstdDecompressor().decompressobj()
    with path.open("rb") as file:
        chunk = b""
        try:
            while chunk or (chunk := file.read(HEAD_BYTES)):
                if frame.eof:
                    frame = zstandard.ZstdDecompressor().decompressobj()
                frame.decompress(chunk)
                chunk = frame.unused_data if frame.eof else b""
        except zstandard.ZstdError:
            return False
    return frame.eof
