"""Looking at a log file before reading it: what it is, how it is packed, which columns it has.

Every way in which a path can be no log at all ends here, in one line. A file that the readers of rows cannot
open as it is gets a copy that they can. Not here: which known format it is
(`burstlens.analysis.logs.formats.declaration`) and reading its rows (`burstlens.analysis.logs.load_duckdb`).
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil, inf
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import Any

import duckdb

from ...core.errors import DiskError, InputError
from ...core.units import DAY_S
from .containers import STAMP_KEY, is_json, wrap_of
from .csv_layout import Layout, layout
from .databases import Database
from .encodings import TITLES, checked_encoding, encoding_of, recode
from .heads import HEAD_LINES, SAMPLE_ROWS, document_of, holds_objects, lines_of, read_head, without_cut_line
from .json_documents import to_lines
from .packing import (
    ENDINGS,
    PARQUET,
    READ_PACKED,
    open_unpacked,
    packed_digest,
    packing,
    refuse_foreign,
    unpack,
)

PARQUET_SAMPLE_ROWS = 300

IDENTITY = "_burstlens.json"
"""Marks a folder of Parquet files as one trace, and says who it is; readers pass over such a name."""
DAY = "day"
"""Folders of a partitioned trace are called `day=000012`, days since its day 0: names sort as time does."""
PARAMETERS = re.compile(r'\s*\{\s*"schema_version"\s*:')
"""How a file of fitted parameters begins."""
TABLE_ENDINGS = (".csv", ".tsv")
JSON_START = re.compile(r"\s*(\[\s*([\[{\]]|$)|\{)")
MAX_NESTED = 3
"""Packings inside of packings that are opened."""


@dataclass(frozen=True)
class LogFile:
    """A file that can be read as a log."""

    path: Path
    kind: str
    """csv, jsonl, parquet or text (lines that are no rows and hold no objects)"""
    packed: str
    """none, gzip or zstd: how `readable` is packed, by its first bytes; none where it is a copy"""
    header: tuple[str, ...]
    """column names, or the keys of the first objects"""
    delimiter: str
    first: dict[str, str]
    """the first row's text by column, as far as it is known; for Parquet the columns' types"""
    url: str | None = None
    """its address if only Spark can open it; `path` is then a local copy of its first part"""
    data: Path | None = None
    """a converted copy that readers open in place of `path`"""
    skip: int = 0
    """lines of a CSV file before its header; a quoted line break counts as none"""
    wrap: str = ""
    """how objects lie in their lines, as `containers.object_sql` takes it"""
    sample: tuple[dict[str, Any], ...] = ()
    """rows of the head: objects, CSV cells as text, Parquet values"""
    head_lines: tuple[str, ...] = ()
    """the first lines of a text"""
    notes: tuple[str, ...] = ()
    """what was decided about the file and its owner should know"""
    row_word: str = "line"
    """what the number of a reject counts: lines or records of the file"""
    decimal: str = "."
    """mark of fractions in the numbers of a CSV file"""
    database: Database | None = None
    """which database the rows were fetched from; `path` is the copy"""

    @property
    def readable(self) -> Path:
        """The file that readers open."""
        return self.data or self.path

    @property
    def stem(self) -> str:
        """The file's name without its endings."""
        return stem(self.path)


@dataclass(frozen=True)
class _Source:
    """A file on its way to one that readers can open."""

    path: Path
    file: Path
    packed: str
    folder: Path | None
    notes: tuple[str, ...] = ()

    @property
    def data(self) -> Path | None:
        return None if self.file == self.path else self.file

    def place(self, what: str) -> Path:
        """The folder for a copy."""
        if self.folder is None:
            raise InputError.needs_copy(self.path, what)
        return self.folder

    def copied(self, file: Path, *notes: str) -> _Source:
        """The source with a plain copy in its place."""
        return replace(self, file=file, packed="none", notes=(*self.notes, *notes))


def stem(path: Path) -> str:
    """Strip the endings of formats and compressions from a file's name."""
    name = path.name
    for ending in (*ENDINGS, ".csv", ".jsonl", ".ndjson", ".json", ".parquet", ".txt", ".tsv", ".log"):
        if name.lower().endswith(ending) and len(name) > len(ending):
            name = name[: -len(ending)]
    return name


def inspect_log(
    path: Path,
    folder: Path | None = None,
    *,
    delimiter: str | None = None,
    encoding: str | None = None,
    decimal: str | None = None,
) -> LogFile:
    """Find out what a file is, from its first bytes.

    Parameters
    ----------
    path : Path
    folder : Path, optional
        Temporary folder that outlives the reading, for a copy of a file that readers cannot open as it is.
    delimiter, encoding, decimal : str, optional
        What the user says about the text; found out otherwise.

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
                return _look_at_parquet(_Source(path, path, "none", folder))
            raise InputError.directory(path)
        if not S_ISREG(mode):
            raise InputError.no_file(path)
        source, magic = _opened(path, folder)
        if magic.startswith(PARQUET):
            return _look_at_parquet(source)
        refuse_foreign(path, magic)
        return _look_at_text(source, delimiter, encoding, decimal)
    except FileNotFoundError as fault:
        raise InputError.missing_file(path) from fault
    except OSError as fault:
        raise DiskError.unreadable(path, fault) from fault


def _opened(path: Path, folder: Path | None) -> tuple[_Source, bytes]:
    """The file, unpacked if readers cannot do that themselves; and its first bytes without packing."""
    source = _Source(path, path, "none", folder)
    for _ in range(MAX_NESTED):
        with source.file.open("rb") as file:
            magic = file.read(512)
        if not magic:
            raise InputError.empty(path)
        packed = packing(magic)
        if packed == "none":
            break
        if packed in READ_PACKED and source.data is None:
            with open_unpacked(source.file, packed) as stream:
                inner = stream.read(512)
            if packing(inner) == "none" and not inner.startswith(PARQUET):
                return replace(source, packed=packed), inner
        source = source.copied(unpack(source.file, packed, source.place(f"packed with {packed}")))
    return source, magic


def _look_at_text(
    source: _Source, delimiter: str | None, encoding: str | None, decimal: str | None
) -> LogFile:
    """What a text is: lines of JSON, a JSON document, CSV or anything else."""
    path = source.path
    head, complete = read_head(source.file, source.packed)
    code = checked_encoding(encoding) if encoding else encoding_of(path, head)
    if code != "utf-8":
        title = TITLES.get(code, code)
        source = source.copied(
            recode(source.file, source.packed, code, source.place(f"{title} text")), f"read as {title}"
        )
        head, complete = read_head(source.file, source.packed)
    head = head.removeprefix(b"\xef\xbb\xbf")
    if not head.strip():
        raise InputError.empty(path)
    text = head.decode("utf-8", "replace")
    if any(ord(c) < 32 and c not in "\t\r\f" for c in text.splitlines()[0]):
        raise InputError.binary(path)
    if PARAMETERS.match(text):
        raise InputError.parameter_file(path)
    if JSON_START.match(text) and delimiter is None:
        document, by_line = document_of(text, complete)
        if document is not None:
            source = source.copied(
                to_lines(
                    source.file,
                    source.packed,
                    document,
                    source.place("a JSON document"),
                    path,
                    by_line=by_line,
                )
            )
            return _look_at_records(source, document)
    elif text.lstrip()[:1] == "[" and complete and is_json(text):
        raise InputError.at(path, "is a JSON list of values", remedy="a log has one object per request")
    lines = [line for line in lines_of(text, complete) if line.strip()][:SAMPLE_ROWS]
    if not lines:
        raise InputError.empty(path)
    if delimiter is None and (text.lstrip()[:1] == "{" or holds_objects(path, text, complete, lines)):
        return _look_at_jsonl(source, lines)
    found = layout(path, without_cut_line(text, complete), delimiter, decimal)
    if not found.consistent and delimiter is None and not _is_table(path) and found.is_prose():
        return _text_file(source, lines)
    return replace(_of_layout(source, found), head_lines=tuple(lines[:HEAD_LINES]))


def _look_at_records(source: _Source, document: tuple[str, ...]) -> LogFile:
    """The copy of a JSON document, one record a line."""
    head, complete = read_head(source.file, source.packed)
    lines = [line for line in lines_of(head.decode("utf-8", "replace"), complete) if line.strip()]
    if not lines:
        raise InputError.at(source.path, "is an empty JSON list")
    notes = (f"the records are the list {'.'.join(document)!r} of a JSON document",) if document else ()
    source = replace(source, notes=(*source.notes, *notes))
    return replace(_look_at_jsonl(source, lines[:SAMPLE_ROWS]), row_word="record")


def _look_at_jsonl(source: _Source, lines: Sequence[str]) -> LogFile:
    """Keys of the objects on the first lines; a bad line among them is for the reader to reject."""
    wrap, rows = wrap_of(lines)
    first: dict[str, str] = {}
    for row in rows:
        for key, value in row.items():
            if key not in first:
                first[key] = value if isinstance(value, str) else json.dumps(value)
    keys = {key: first[key] for key in _usual_keys(rows)}
    notes = {"text": "text around the objects passed over"}.get(wrap, "")
    if wrap == "stamped":
        notes = f"the date and time before each object is its key {STAMP_KEY!r}"
    elif wrap:
        notes = notes or f"the objects are text in the key {wrap.partition(':')[2]!r}"
    return LogFile(
        source.path,
        "jsonl",
        source.packed,
        tuple(keys),
        "",
        keys,
        data=source.data,
        wrap=wrap,
        sample=tuple(rows),
        head_lines=tuple(lines[:HEAD_LINES]),
        notes=(*source.notes, *([notes] if notes else [])),
    )


def _usual_keys(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The keys of the rows in order, without rare ones that differ from another in case only."""
    counts = Counter(key for row in rows for key in row)
    largest: dict[str, int] = {}
    for key, n in counts.items():
        largest[key.casefold()] = max(n, largest.get(key.casefold(), 0))
    return [key for key, n in counts.items() if n > largest[key.casefold()] / 10 or n == len(rows)]


def _of_layout(source: _Source, found: Layout) -> LogFile:
    row = found.rows[0] if found.rows else []
    return LogFile(
        source.path,
        "csv",
        source.packed,
        found.header,
        found.delimiter,
        dict(zip(found.header, row, strict=False)),
        data=source.data,
        skip=found.skip,
        sample=found.sample(),
        notes=(*source.notes, *found.notes),
        decimal=found.decimal,
    )


def _text_file(source: _Source, lines: Sequence[str]) -> LogFile:
    """A text whose lines only a format knows."""
    return LogFile(
        source.path,
        "text",
        source.packed,
        ("line",),
        "",
        {"line": lines[0]},
        data=source.data,
        sample=tuple({"line": line} for line in lines),
        head_lines=tuple(lines[:HEAD_LINES]),
        notes=source.notes,
    )


def _is_table(path: Path) -> bool:
    """Whether a file is called as CSV is, whatever it is packed with."""
    name = path.name.lower()
    for ending in ENDINGS:
        name = name.removesuffix(ending)
    return name.endswith(TABLE_ENDINGS)


def _look_at_parquet(source: _Source) -> LogFile:
    files = parquet_files(source.file)
    if not files:
        raise InputError.empty(source.path)
    with duckdb.connect() as connection:
        try:
            connection.execute("SET TimeZone = 'UTC'; SET threads = 1")
            columns = connection.execute(
                "DESCRIBE SELECT * FROM read_parquet($1, hive_partitioning = false)", [escape_glob(files[0])]
            ).fetchall()
        except duckdb.Error as fault:
            raise InputError.damaged(source.path, "Parquet") from fault
        names = tuple(column[0] for column in columns)
        sample = _parquet_sample(connection, files[0], columns)
    return LogFile(
        source.path,
        "parquet",
        "none",
        names,
        ",",
        {column[0]: column[1] for column in columns},
        data=source.data,
        sample=sample,
        notes=source.notes,
    )


def _parquet_sample(
    connection: duckdb.DuckDBPyConnection, file: Path, columns: Sequence[tuple[str, ...]]
) -> tuple[dict[str, Any], ...]:
    """The first rows; instants as text, and everything as text where Python has no such value."""
    for all_text in (False, True):
        selected = ", ".join(_as_sampled(name, kind, all_text) for name, kind, *_ in columns)
        try:
            values = connection.execute(
                f"SELECT {selected} FROM read_parquet($1, hive_partitioning = false)"
                f" LIMIT {PARQUET_SAMPLE_ROWS}",
                [escape_glob(file)],
            ).fetchall()
        except (duckdb.Error, ValueError, OverflowError):
            continue  # the file's rows are damaged, or a date beyond the year 9999
        return tuple(dict(zip([column[0] for column in columns], row, strict=True)) for row in values)
    return ()


def _as_sampled(name: str, kind: str, as_text: bool) -> str:
    """SQL for a value as the sample gives it; instants need a module of Python's that may lack."""
    quoted = '"' + name.replace('"', '""') + '"'
    if not as_text and "TIME ZONE" not in kind:
        return quoted
    nested = kind.startswith(("STRUCT", "MAP")) or kind.endswith("]")
    return f"CAST({f'to_json({quoted})' if nested else quoted} AS VARCHAR)"


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
    """Compute the SHA-256 of a log as it is on disk; of the folder of a trace, that of its identity.

    Parameters
    ----------
    path : Path
    packed : str
        A packed file is read to its end.

    Returns
    -------
    str
        In hexadecimal.

    Raises
    ------
    BurstlensError
        If the file cannot be read or its data are damaged.
    """
    return packed_digest(path / IDENTITY if path.is_dir() else path, packed)
