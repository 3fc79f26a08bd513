"""How a log becomes a SELECT of trace columns: by its format's SQL, or by a mapping of columns.

Not here: running it, and what happens to bad rows (`burstlens.analysis.logs.load_duckdb`).
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import polars as pl

from ..core.errors import InputError
from .formats import Column, Format, format_of_header, formats, nearest_format, plain
from .sniff import IDENTITY, LogFile, escape_glob, inspect_log, parquet_files
from .trace_info import METADATA_KEY, TraceInfo

UNITS_S = {"arrival_s": 1.0, "arrival_ms": 1e-3, "arrival_us": 1e-6, "arrival_ns": 1e-9}
COLUMN_MAPPINGS = {
    "arrival": "arrival_s",
    **dict.fromkeys(UNITS_S, "arrival_s"),
    "service": "service",
    "model": "model",
    "session": "session",
    "request_tokens": "request_tokens",
    "response_tokens": "response_tokens",
    "elapsed": "elapsed_s",
    "elapsed_s": "elapsed_s",
    "elapsed_ms": "elapsed_s",
    "failed": "failed",
    "prefix": "prefix",
}
"""What `--columns` may name, and the trace column that it gives."""

SERVICES = (("conv", "conversation"), ("code", "code"), ("toolagent", "toolagent"))
"""Words of a file's name that name the service, if the log itself does not."""

SQL_TYPES = {"INSTANT": "VARCHAR", "COUNT": "UINTEGER", "BLOCKS": "VARCHAR", "UNUSED": "VARCHAR"}
"""How a declared type is read, if it is not a type of SQL itself."""

BLOCKS = r"\s*\[\s*(\d+\s*(,\s*\d+\s*)*)?\]\s*"
"""A list of whole numbers from 0 on, as JSON and SQL write it."""
NO_BLOCKS = "[-1]"
"""What a value becomes that should be such a list and is not; a number that blocks never have."""


Span = tuple[float | None, float | None]
"""A half-open span of the log's clock in seconds, None for an open end."""
ALL_TIME: Span = (None, None)


@dataclass(frozen=True)
class Use:
    """A declared column, and where a log has it."""

    column: Column
    """its name in the format's SELECT, and how it is read"""
    source: str | None
    """the log's own name for it; None if it has none"""
    form: str = "{}"
    """what is made of its value: `{} / 1000.0` of milliseconds"""


@dataclass(frozen=True)
class Reading:
    """One log and the SELECT that turns it into trace columns."""

    log: LogFile
    format: Format
    name: str
    """the format's name, or `columns` for a mapping"""
    select: str
    """`$day0_ns`, `$service`, `$day_index` and `$behind_s` still open"""
    uses: tuple[Use, ...]
    span: Span
    """only requests of this time are read"""
    clock: str
    """`second 0` if the format fixes it, `instant` for dates, `number` for seconds of unknown start"""
    day0: date | None
    day_index: int
    needs: tuple[str, ...]
    holds: frozenset[str]
    """the optional trace columns that this log really has"""
    has_failures: bool
    failure_rule: str | None
    stored: TraceInfo | None
    """identity that the file carries, if it is a trace of ours"""
    behind_s: float = 0.0
    """what its instants are to be moved by: a shard's clock against those of the others"""

    @property
    def service(self) -> str:
        """The service from the file's name, else `llm`."""
        name = self.log.stem.casefold()
        return next((service for word, service in SERVICES if word in name), "llm")


def plan_reading(
    path: Path, columns: Mapping[str, str] | None, position: int, behind_s: float = 0.0, span: Span = ALL_TIME
) -> Reading:
    """Look at a log and decide how to read it.

    Parameters
    ----------
    path : Path
    columns : mapping or None
        Names of the log's columns by those of a trace.
    position : int
        Place of the log among those of the trace, from 0.
    behind_s : float
        Seconds by which to move the instants of a run's record.
    span : Span
        Read only requests of that time, in seconds from midnight of day 0.

    Returns
    -------
    Reading

    Raises
    ------
    BurstlensError
        If the log cannot be read so; with a `span`, also if its clock has no known start, or if a folder by
        day has no file of that time.
    """
    if span != ALL_TIME and path.is_dir() and not parquet_files(path, *span):
        raise InputError.nothing_inside(path)
    reading = _reading(path, columns, position, behind_s, span)
    if span != ALL_TIME and reading.clock != "second 0":
        raise InputError.no_clock(path)
    return reading


def _reading(
    path: Path, columns: Mapping[str, str] | None, position: int, behind_s: float, span: Span
) -> Reading:
    log = inspect_log(path)
    twice = [name for name, times in Counter(plain(name) for name in log.header).items() if times > 1]
    if columns:
        return _mapped_reading(log, columns, twice, span)
    format = format_of_header(log.header, log.kind)
    if format is None:
        close = nearest_format(log.header, log.kind)
        raise InputError.unknown_header(
            path, log.kind, log.header, close.title, close.missing(log.header), close.unknown(log.header)
        )
    doubled = [c.name for c in format.columns if plain(c.name) in twice]
    if doubled:
        raise InputError.repeated_columns(path, doubled)
    actual = {plain(name): name for name in reversed(log.header)}
    uses = tuple(Use(c, actual.get(plain(c.name))) for c in format.columns if c.type != "UNUSED")
    canonical = format.name == "canonical"
    stored = _stored(log) if canonical else None
    day0, day_index = stored.day0 if stored else format.day0, 0
    if "$day_index" in format.sql:
        day = re.search(r"d(\d+)$", log.stem)
        day0, day_index = (day0, int(day[1]) - 1) if day else (None, position)
    dated = any(use.column.type == "INSTANT" for use in uses)
    tells_failures = format.failures is not None or (canonical and "failed" in actual)
    return Reading(
        log=log,
        format=format,
        name=stored.format if stored else format.name,
        select=_select(format, _rows(log, uses, span), span),
        uses=uses,
        span=span,
        clock="instant" if dated else "number" if canonical and stored is None else "second 0",
        day0=day0,
        day_index=day_index,
        needs=format.needs,
        holds=_holds(format, [use.source for use in uses if use.column.type == "BLOCKS"]),
        has_failures=stored.has_failures if stored else tells_failures,
        failure_rule=stored.failure_rule if stored else format.failures,
        stored=stored,
        behind_s=behind_s,
    )


def _holds(format: Format, blocks: list[str | None]) -> frozenset[str]:
    """Optional columns of the format; prefix blocks only if the log has their column: lists are large."""
    return frozenset(name for name in format.holds if name != "prefix" or any(blocks))


def _stored(log: LogFile) -> TraceInfo | None:
    """The identity in a canonical Parquet file; None in any other file with our column names."""
    if log.kind != "parquet":
        return None
    try:
        if log.path.is_dir():
            return TraceInfo.from_json((log.path / IDENTITY).read_text("utf-8"))
        text = pl.read_parquet_metadata(log.path).get(METADATA_KEY)
        if text is None:
            return None
        return TraceInfo.from_json(text)
    except (ValueError, KeyError, TypeError) as fault:
        raise InputError.foreign_trace(log.path, str(fault)) from fault


def _mapped_reading(log: LogFile, columns: Mapping[str, str], twice: list[str], span: Span) -> Reading:
    """The canonical format with the log's own columns under its names."""
    unknown = [key for key in columns if key not in COLUMN_MAPPINGS]
    if unknown:
        raise InputError.unknown_mapping(unknown, list(COLUMN_MAPPINGS))
    actual = {plain(name): name for name in reversed(log.header)}
    absent = [name for name in columns.values() if plain(name) not in actual]
    if absent:
        raise InputError.absent_columns(log.path, absent, log.header)
    doubled = [name for name in columns.values() if plain(name) in twice]
    if doubled:
        raise InputError.repeated_columns(log.path, doubled)
    given: dict[str, str] = {}
    for key in columns:
        if COLUMN_MAPPINGS[key] in given:
            raise InputError.doubled_mapping(COLUMN_MAPPINGS[key], [given[COLUMN_MAPPINGS[key]], key])
        given[COLUMN_MAPPINGS[key]] = key
    if "arrival_s" not in given:
        raise InputError.no_arrival()
    format = formats()["canonical"]
    uses: list[Use] = []
    clock = "number"
    for column in format.columns:
        unit = given.get(column.name)
        name = actual[plain(columns[unit])] if unit is not None else None
        if column.name == "arrival_s" and name and _is_instant(log, name):
            clock = "instant"
            uses.append(Use(Column(column.name, "INSTANT"), name, "({} - $day0_ns) / 1e9"))
        else:
            scale = UNITS_S.get(unit or "", 1e-3 if unit == "elapsed_ms" else 1.0)
            uses.append(Use(column, name, "{}" if scale == 1.0 else f"{{}} / {1 / scale:.1f}"))
    failed = columns.get("failed")
    return Reading(
        log=log,
        format=format,
        name="columns",
        select=_select(format, _rows(log, uses, span), span),
        uses=tuple(uses),
        span=span,
        clock=clock,
        day0=None,
        day_index=0,
        needs=tuple(name for name in ("request_tokens", "response_tokens") if name in given),
        holds=_holds(format, [given.get("prefix")]),
        has_failures=failed is not None,
        failure_rule=f"{failed} is true" if failed is not None else None,
        stored=None,
    )


def _is_instant(log: LogFile, name: str) -> bool:
    """Whether a column holds dates, by its type or by its first value."""
    first = log.first.get(name, "")
    if log.kind == "parquet":
        return first.startswith(("TIMESTAMP", "DATE", "VARCHAR"))
    try:
        float(first)
    except ValueError:
        return bool(re.match(r"\s*\d{4}-\d\d-\d\d", first))
    return False


def _select(format: Format, rows: str, span: Span) -> str:
    """The format's SELECT over the rows of the log."""
    query = f"WITH log AS ({rows}) SELECT * FROM ({format.sql.rstrip().rstrip(';')}) AS read"
    return query if span == ALL_TIME else f"{query} WHERE {span_condition(span)}"


def span_condition(span: Span) -> str:
    """The condition that a row's arrival lies in a span, or is absent (such rows become rejects)."""
    start, end = span
    ends = [f"arrival_s >= {start!r}"] * (start is not None) + [f"arrival_s < {end!r}"] * (end is not None)
    return f"(arrival_s IS NULL OR ({' AND '.join(ends)}))"


def _value(log: LogFile, column: Column, name: str | None) -> str:
    """The expression of a declared column over what the engine's reader gives."""
    kind = SQL_TYPES.get(column.type, column.type)
    if name is None:
        return f"CAST(NULL AS {'BIGINT[]' if column.type == 'BLOCKS' else kind})"
    source = f"fields.{identifier(name)}" if log.kind == "jsonl" else identifier(name)
    if column.type == "BLOCKS":
        text = f"CAST({source} AS VARCHAR)"
        is_list = f"regexp_full_match({text}, {literal(BLOCKS)})"
        listed = f"CASE WHEN {is_list} THEN TRY_CAST({text} AS BIGINT[]) END"
        # A number too large for the type becomes a NULL in the list.
        good = f"CASE WHEN list_count({listed}) = len({listed}) THEN {listed} ELSE {NO_BLOCKS} END"
        return f"CASE WHEN {source} IS NOT NULL THEN {good} END"
    if column.type == "INSTANT":
        return f"epoch_ns(TRY_CAST({source} AS TIMESTAMP_NS))"
    return f"TRY_CAST({source} AS {kind})"


def _rows(log: LogFile, uses: Sequence[Use], span: Span) -> str:
    """The SELECT that reads the log's columns under the format's names; bad rows are set aside."""
    listed = ", ".join(
        f"{use.form.format(_value(log, use.column, use.source))} AS {identifier(use.column.name)}"
        for use in uses
    )
    types: dict[str, str] = {}
    for use in uses:
        if use.source is not None:
            kind = SQL_TYPES.get(use.column.type, use.column.type)
            types[use.source] = kind if types.get(use.source, kind) == kind else "VARCHAR"
    if log.kind == "parquet":
        files = ", ".join(literal(escape_glob(file)) for file in parquet_files(log.path, *span))
        return f"SELECT {listed} FROM read_parquet([{files}], hive_partitioning = false)"
    options = (
        f"auto_detect = false, store_rejects = true, rejects_limit = 0, compression = {literal(log.packed)}"
    )
    place = literal(escape_glob(log.path))
    if log.kind == "jsonl":
        structure = literal(json.dumps(types))
        return (
            f"SELECT {listed} FROM ("
            f"SELECT json_transform(CASE WHEN json_valid(line) THEN line END, {structure}) AS fields "
            f"FROM read_csv({place}, columns = {{'line': 'VARCHAR'}}, header = false, delim = chr(1), "
            f"quote = '', escape = '', {options}) WHERE TRIM(line) <> '') AS lines"
        )
    names: dict[str, str] = {}
    for i, name in enumerate(log.header):
        unique = name if name and plain(name) not in {plain(n) for n in names} else f"{name} {i + 1}"
        names[unique] = types.get(name, "VARCHAR")
    columns = ", ".join(f"{literal(name)}: {literal(kind)}" for name, kind in names.items())
    return (
        f"SELECT {listed} FROM read_csv({place}, columns = {{{columns}}}, header = true, "
        f"delim = {literal(log.delimiter)}, quote = '\"', escape = '\"', strict_mode = true, {options})"
    )


def literal(text: str) -> str:
    """Write text as an SQL literal: quotes doubled, nothing else means anything in it."""
    return "'" + text.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """Write a name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'
