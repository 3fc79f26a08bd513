"""How a log becomes a SELECT of trace columns: its format's SQL over the rows of the file.

Values are read as plain typed columns where the head of the log shows nothing else (`lenient=False`), and
taken from their text where it does. Not here: mapped columns (`mapped`), running the SELECT, and what happens
to bad rows (`burstlens.analysis.logs.load_duckdb`).
"""

from __future__ import annotations

import json
import re
from codecs import BOM_UTF8
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from ..core.errors import InputError
from ..core.result import Progress, silent
from ..core.wall_clock import time_zone
from .database_rows import inspect_database
from .files.containers import object_sql
from .files.csv_layout import NULL_CELLS
from .files.databases import is_database
from .files.packing import open_unpacked
from .files.sniff import IDENTITY, LogFile, escape_glob, inspect_log, parquet_files
from .formats.declaration import OPTIONAL, STAMPS_S, Column, Format, formats
from .formats.mapped import mapped_format, where_condition
from .formats.recognize import format_of_log, found_place, missing, nearest_format, unknown
from .options import NO_OPTIONS, LogOptions
from .trace_columns import OPTIONAL as TRACE_COLUMNS
from .trace_info import METADATA_KEY, TraceInfo
from .values.conditions import reason_sql
from .values.numbers_text import number_of, number_sql
from .values.paths import (
    Place,
    is_listed,
    parquet_sql,
    place_of,
    plain,
    struct_depth,
    text_sql,
    values_at,
    with_late_keys,
)
from .values.sql_text import identifier, literal
from .values.stamps import PER_SECOND, UNIX_FROM_S, UNIX_TO_S, StampForm, stamp_form

SERVICE_WORDS = {
    "conv": "conversation",
    "conversation": "conversation",
    "code": "code",
    "toolagent": "toolagent",
}
"""Words of a file's name that name the service, if the log itself does not."""

SQL_TYPES = {
    "INSTANT": "VARCHAR",
    "COUNT": "UINTEGER",
    "BLOCKS": "VARCHAR",
    "JSON": "VARCHAR",
    "DURATION": "DOUBLE",
    "TOKENS": "DOUBLE",
    "UNUSED": "VARCHAR",
    **dict.fromkeys(STAMPS_S, "DOUBLE"),
}
"""How a declared type is read, where it is not a type of SQL itself."""

BLOCKS = r"\s*\[\s*(\d+\s*(,\s*\d+\s*)*)?\]\s*"
"""A list of whole numbers from 0 on, as JSON and SQL write it."""
HASHES = r"\s*\[\s*(\d+|\"[0-9A-Za-z_\-]+\")\s*(,\s*(\d+|\"[0-9A-Za-z_\-]+\")\s*)*\]\s*"
"""A list of whole numbers of any size, or of names such as hashes in hexadecimal."""
NO_BLOCKS = "[-1]"
"""What a value becomes that should be such a list and is not; a number that blocks never have."""
OPTIONAL_TYPES = {
    "session": "VARCHAR",
    "elapsed_s": "DOUBLE",
    "client": "VARCHAR",
    "cached_tokens": "DOUBLE",
    "reasoning_tokens": "DOUBLE",
    "ttft_s": "DOUBLE",
    "reason": "VARCHAR",
    "images": "DOUBLE",
    "prefix": "BIGINT[]",
}
assert tuple(OPTIONAL_TYPES) == OPTIONAL
BLOCKS_IN_NAME = re.compile(r"(?:blksz|block|blk)[_-]?(\d+)", re.IGNORECASE)

OWN_REASONS = ("canonical", "burstlens_record")
"""Formats that write reasons of failures in burstlens's own words."""
HEAD_LINES = 500
"""Rows of a log that are enough for a guess at its models and its clock."""

ISO = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:?\d\d)?")
OFFSET = "(Z|[+-][0-9]{2}:?[0-9]{2})$"
UTC = "(Z|[+]00:?00)$"
"""Of dates with an offset, DuckDB's cast reads those of UTC; it passes over any other."""
MAX_LINE_BYTES = 1 << 26
"""Of a line with a JSON object: prompts lie in it."""
DATES = ("typed", "dates", "dates in UTC")
PLAIN_STAMPS = (*DATES, "seconds since 1970", "milliseconds since 1970", "number")

Span = tuple[float | None, float | None]
"""A half-open span of the log's clock in seconds, None for an open end."""
ALL_TIME: Span = (None, None)


@dataclass(frozen=True)
class Use:
    """A declared column, and where a log has it."""

    column: Column
    """its name in the format's SELECT, and how it is read"""
    place: Place | None
    """None where the log has none"""
    stamp: StampForm | None = None
    """how its dates and times are written"""
    plain: str = "cast"
    """How the values of the log's head can all be read without taking text apart: `cast` to the type, or a
    stamp as one of `PLAIN_STAMPS`; empty if they cannot."""

    @property
    def source(self) -> str | None:
        """The log's own name of the column that it lies in."""
        return self.place.column if self.place is not None else None


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
    is_lenient: bool = False
    """Values are taken from their text, in every form that is not ambiguous."""
    checks_failures: bool = False
    """A row of which the failure rule says nothing is to be rejected."""
    notes: tuple[str, ...] = ()
    """what was decided about the file and its stamps"""
    block_tokens: int | None = None
    believes_user: bool = False
    """Whether the user named the format, or the unit of its stamps: then nothing about it is in doubt."""
    where: tuple[str, ...] = ()
    """the user's rules for rows that are requests"""
    timezone: str | None = None
    """the clock that the user chose for dates, else that of the stamps"""
    filters: tuple[tuple[str, str], ...] = ()
    """what a known format adds for them: names of columns, and conditions"""

    @property
    def service(self) -> str:
        """The service from the file's name, else `llm`."""
        words = re.split(r"[^a-z]+", self.log.stem.casefold())
        return next((SERVICE_WORDS[word] for word in words if word in SERVICE_WORDS), "llm")

    @property
    def has_line_no(self) -> bool:
        """Whether its rows say which row of the log they are, since they are not all of them."""
        return self.format.has_line_no

    @property
    def has_reject_table(self) -> bool:
        """Whether DuckDB lists the rows that it could not take apart."""
        return self.log.kind == "csv" or "store_rejects = true" in self.select

    @property
    def head_select(self) -> str:
        """The same SELECT for a look at the first rows; a format that joins rows gets few of them."""
        if not self.format.has_line_no:
            return self.select
        rows = _rows(self.log, self.uses, self.span, True, lenient=self.is_lenient)
        return _select(self.format, f"SELECT * FROM ({rows}) AS head LIMIT {HEAD_LINES}", self.span)

    def leniently(self) -> Reading:
        """The same reading, with values taken from their text."""
        rows = _filtered(
            _rows(self.log, self.uses, self.span, self.format.has_line_no, lenient=True), self.filters
        )
        clock = _clock(self.uses, lenient=True) or self.clock
        select = _select(self.format, rows, self.span)
        return replace(self, select=select, clock=clock, is_lenient=True)


def plan_reading(
    path: Path,
    options: LogOptions = NO_OPTIONS,
    position: int = 0,
    behind_s: float = 0.0,
    span: Span = ALL_TIME,
    folder: Path | None = None,
    progress: Progress = silent,
) -> Reading:
    """Look at a log and decide how to read it.

    Parameters
    ----------
    path : Path
    options : LogOptions
        What the user says about the log.
    position : int
        Place of the log among those of the trace, from 0.
    behind_s : float
        Seconds by which to move the instants of a run's record.
    span : Span
        Read only requests of that time, in seconds from midnight of day 0.
    folder : Path, optional
        Temporary folder for a converted copy of a log that cannot be read as it lies; it has to outlive the
        reading.
    progress : callable, optional
        For the rows that are fetched from a database.

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
    options = options.resolved()
    if options.timezone is not None:
        time_zone(options.timezone)
    log = look_at_log(path, options, folder, progress)
    log = with_late_keys(log, [*(options.columns or {}).values(), *options.where])
    reading = _mapped(log, options, span) if options.columns else _known(log, options, position, span)
    reading = replace(reading, behind_s=behind_s)
    if span != ALL_TIME and reading.clock != "second 0":
        raise InputError.no_clock(path)
    return reading


def look_at_log(
    path: Path,
    options: LogOptions,
    folder: Path | None,
    progress: Progress = silent,
    *,
    head_only: bool = False,
) -> LogFile:
    """Look at a log file, or at a table of a database.

    Parameters
    ----------
    path : Path
    options : LogOptions
    folder : Path or None
        Temporary folder, as for `plan_reading`.
    progress : callable, optional
    head_only : bool
        The rows are not going to be read: fetch only the first ones from a database.

    Returns
    -------
    LogFile

    Raises
    ------
    BurstlensError
        If it cannot be a log, or `options` do not go with it.
    """
    if is_database(path):
        if folder is None:
            raise InputError.needs_copy(path, "a database")
        return inspect_database(path, options, folder, progress, head_only=head_only)
    for name in ("table", "sql"):
        if getattr(options, name) is not None:
            raise InputError.of_option(
                name, f"is for a database, but {path} is a file", remedy="leave it out"
            )
    return inspect_log(
        path, folder, delimiter=options.delimiter, encoding=options.encoding, decimal=options.decimal
    )


def _known(log: LogFile, options: LogOptions, position: int, span: Span) -> Reading:
    """The reading of a log in a known format."""
    format = _format(log, options)
    if format.refusal is not None:
        raise InputError.at(log.path, f"recognized as {format.title}", remedy=format.refusal)
    twice = [name for name, times in Counter(plain(name) for name in log.header).items() if times > 1]
    doubled = [c.name for c in format.columns if plain(c.name) in twice]
    if doubled:
        raise InputError.repeated_columns(log.path, doubled)
    canonical = format.name == "canonical"
    stored = _stored(log) if canonical else None
    if canonical and stored is None:
        format = _with_stamps(format, log)
    places = [(c, place_of(log, c.name)) for c in format.columns if c.type != "UNUSED"]
    filters = [_filter(log, text) for text in options.where]
    uses = _uses(log, [*places, *((Column(name, "VARCHAR"), place) for name, place, _ in filters)], options)
    actual = {plain(name) for name in log.header}
    day0, day_index = stored.day0 if stored else format.day0, 0
    if "$day_index" in format.sql:
        day = re.search(r"d(\d+)$", log.stem)
        day0, day_index = (day0, int(day[1]) - 1) if day else (None, position)
    clock = _clock(uses, lenient=False)
    return _reading(
        log,
        format,
        uses,
        span,
        name=stored.format if stored else format.name,
        clock=clock or ("number" if canonical and stored is None else "second 0"),
        day0=day0,
        day_index=day_index,
        has_failures=stored.has_failures
        if stored
        else _tells_failures(format, log) or (canonical and "failed" in actual),
        failure_rule=stored.failure_rule if stored else format.failures,
        stored=stored,
        filters=tuple((name, condition) for name, _, condition in filters),
        where=tuple(options.where),
        timezone=options.timezone,
        believes_user=options.log_format is not None,
        block_tokens=stored.block_tokens if stored else _block_tokens(log, format),
    )


def _with_stamps(format: Format, log: LogFile) -> Format:
    """Our own columns in a log of another hand, of which the arrivals are not all plain numbers."""
    place = place_of(log, "arrival_s")
    if place is None or all(map(_is_number, values_at(log, place))):
        return format
    columns = tuple(replace(c, type="STAMP_S") if c.name == "arrival_s" else c for c in format.columns)
    return replace(format, columns=columns)


def _filter(log: LogFile, text: str) -> tuple[str, Place, str]:
    """Name of the column that a condition needs, its place in the log, and the condition in SQL."""
    condition = where_condition(text)
    place = place_of(log, condition.column)
    if place is None:
        raise InputError.absent_columns(log.path, [condition.column], log.header)
    name = f"{place} of {text}"
    return name, place, f"COALESCE({condition.sql(identifier(name))}, FALSE)"


def _tells_failures(format: Format, log: LogFile) -> bool:
    """Whether a log has one of the columns that its format's rule for failures names."""
    rule = format.failures
    if rule is None:
        return False
    named = [
        c.name for c in format.columns if c.optional and re.search(rf"(?<![\w.]){re.escape(c.name)}\b", rule)
    ]
    return not named or any(found_place(log, name) is not None for name in named)


def _block_tokens(log: LogFile, format: Format) -> int | None:
    """Tokens of a prefix block: as the rows say, as the file's name says, or as the format has it."""
    if format.block_tokens_at is not None:
        place = place_of(log, format.block_tokens_at)
        sizes = {str(value) for value in values_at(log, place)} if place is not None else set()
        return int(sizes.pop()) if len(sizes) == 1 and next(iter(sizes)).isdigit() else None
    named = BLOCKS_IN_NAME.search(log.path.name)
    return int(named[1]) if named and format.block_tokens else format.block_tokens


def _format(log: LogFile, options: LogOptions) -> Format:
    """The format that the user named, or the one that is recognized."""
    if options.log_format is not None:
        format = formats().get(options.log_format)
        if format is None:
            known = sorted(name for name in formats() if name != "canonical")
            raise InputError.of_option(
                "log_format", f"no format {options.log_format!r}", remedy=f"there are {', '.join(known)}"
            )
        if lacks := missing(format, log):
            raise InputError.at(
                log.path, f"is no {format.title} log: it lacks {', '.join(map(repr, lacks[:5]))}"
            )
        return format
    found = format_of_log(log)
    if found is None:
        close = nearest_format(log)
        raise InputError.unknown_header(
            log.path, log.kind, log.header, close.title, missing(close, log), unknown(close, log)
        )
    return found


def _mapped(log: LogFile, options: LogOptions, span: Span) -> Reading:
    """The reading of a log whose columns the user named."""
    mapped = mapped_format(log, options.columns or {}, options.where, lambda place: _values_of(log, place))
    twice = [name for name, times in Counter(plain(name) for name in log.header).items() if times > 1]
    doubled = list(dict.fromkeys(p.column for p in mapped.places.values() if plain(p.column) in twice))
    if doubled:
        raise InputError.repeated_columns(log.path, doubled)
    uses = _uses(log, [(c, mapped.places[c.name]) for c in mapped.format.columns], options)
    return _reading(
        log,
        mapped.format,
        uses,
        span,
        name="columns",
        clock=_clock(uses, lenient=False) or "number",
        day0=None,
        day_index=0,
        has_failures=mapped.failure_rule is not None,
        failure_rule=mapped.failure_rule,
        stored=None,
        checks_failures=mapped.checks_failures,
        where=tuple(options.where),
        timezone=options.timezone,
        believes_user=any(c.type in STAMPS_S and c.type != "STAMP" for c in mapped.format.columns),
    )


def _reading(log: LogFile, format: Format, uses: tuple[Use, ...], span: Span, **known: Any) -> Reading:
    """A reading as plain as the head of the log allows."""
    lenient = not all(use.plain for use in uses)
    blocks = [use.place for use in uses if use.column.type == "BLOCKS"]
    # Lists are large: prefix blocks count only where the log has their column.
    lacks = {"prefix"} if blocks and not any(blocks) else set()
    if format.name == "canonical":
        lacks |= {use.column.name for use in uses if use.place is None} & set(TRACE_COLUMNS)
    holds = frozenset(format.holds) - lacks
    stamps = [note for use in uses if use.stamp is not None for note in use.stamp.notes]
    reading = Reading(
        log=log,
        format=format,
        select=_select(
            format,
            _filtered(_rows(log, uses, span, format.has_line_no, lenient=False), known.get("filters", ())),
            span,
        ),
        uses=uses,
        span=span,
        needs=format.needs,
        holds=holds,
        notes=(*log.notes, *dict.fromkeys(stamps)),
        **known,
    )
    return reading.leniently() if lenient else reading


def _uses(
    log: LogFile, places: Sequence[tuple[Column, Place | None]], options: LogOptions
) -> tuple[Use, ...]:
    """Where a log has each column, and how its values are written."""
    try:
        return _judged_uses(log, places, options)
    except InputError as fault:
        if fault.where is not None or fault.problem is None:
            raise
        raise InputError.at(log.path, fault.problem, column=fault.column, remedy=fault.remedy) from fault


def _judged_uses(
    log: LogFile, places: Sequence[tuple[Column, Place | None]], options: LogOptions
) -> tuple[Use, ...]:
    """The same; an error about a column does not name the log."""
    uses = []
    for column, place in places:
        if place is None:
            uses.append(Use(column, None))
            continue
        values = values_at(log, place)
        if column.type == "INSTANT":
            stamp = stamp_form(values, None, str(place), options.time_format, timezone=options.timezone)
            plain_form = _plain_stamp(stamp, values)
            uses.append(Use(column, place, stamp, plain_form if plain_form in DATES else ""))
        elif column.type in STAMPS_S:
            unit = None if column.type in ("STAMP", "STAMP_S") else column.type.removeprefix("STAMP_").lower()
            # A unit that the user names is believed; one that only the format has may be in doubt.
            chosen = options.log_format is not None or (bool(options.columns) and column.type != "STAMP")
            stamp = stamp_form(
                values,
                unit,
                str(place),
                options.time_format,
                log.decimal,
                timezone=options.timezone,
                chosen=chosen,
            )
            uses.append(Use(column, place, stamp, _plain_stamp(stamp, values)))
        else:
            uses.append(Use(column, place, None, _plain_cast(column, values, log.decimal)))
    uses = _with_unseen(log, uses)
    clocks = {
        use.stamp.clock: use.place
        for use in uses
        if use.stamp is not None and use.place is not None and values_at(log, use.place)
    }
    if len(clocks) > 1:
        dated, bare = clocks["instant"], clocks["number"]
        raise InputError.at(log.path, f"{dated} has dates, {bare} has numbers of an unknown start")
    return tuple(uses)


def _with_unseen(log: LogFile, uses: Sequence[Use]) -> list[Use]:
    """Read stamps of which the head of the log has no value in the form of the others."""

    def has_values(use: Use) -> bool:
        return use.place is not None and bool(values_at(log, use.place))

    seen = next((use for use in uses if use.stamp is not None and has_values(use)), None)
    if seen is None:
        return list(uses)
    return [
        replace(use, stamp=seen.stamp, plain=seen.plain)
        if use.stamp is not None and not has_values(use)
        else use
        for use in uses
    ]


def _plain_cast(column: Column, values: Sequence[Any], decimal: str) -> str:
    """Whether an engine's own cast reads all of these values."""
    if column.type in ("DOUBLE", "TOKENS", "DURATION"):
        unit = "s" if column.type == "DURATION" else None
        others = [str(value) for value in values if decimal != "." or not _is_number(value)]
        # Text that is no number in any way is for the engine to reject.
        return (
            ""
            if any(number_of(text, decimal, _is_count(column), unit) is not None for text in others)
            else "cast"
        )
    return "cast"


def _plain_stamp(stamp: StampForm, values: Sequence[Any]) -> str:
    """How all of these stamps can be read without taking text apart."""
    if stamp.time_format is not None or stamp.timezone is not None:
        return ""
    if stamp.fast:
        return "typed" if stamp.clock == "instant" else "number"
    if stamp.clock == "number":
        return "number" if stamp.decimal == "." and all(map(_is_number, values)) else ""
    if values and all(isinstance(value, int | float | str) and _is_number(value) for value in values):
        numbers = [float(value) for value in values if str(value).strip()]
        for unit, scale in (("seconds since 1970", 1.0), ("milliseconds since 1970", 1e-3)):
            if (
                stamp.decimal == "."
                and min(numbers) * scale >= UNIX_FROM_S
                and max(numbers) * scale < UNIX_TO_S
            ):
                return unit
    matches = [ISO.fullmatch(value.strip()) if isinstance(value, str) else None for value in values]
    if matches and all(matches):
        offsets = {match[2] for match in matches if match is not None}
        return "dates" if offsets == {None} else "dates in UTC" if offsets <= {"Z", "+00:00", "+0000"} else ""
    return ""


def _is_number(value: Any) -> bool:
    if isinstance(value, str) and not value.strip():
        return True
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return "_" not in str(value)


def _clock(uses: Sequence[Use], *, lenient: bool) -> str | None:
    """The clock of the columns that are stamps: `instant` or `number`; None without any."""
    if any(use.column.type == "INSTANT" for use in uses):
        return "instant"
    for use in uses:
        if use.stamp is not None:
            return "number" if not lenient and use.plain.endswith("since 1970") else use.stamp.clock
    return None


def _values_of(log: LogFile, place: Place) -> list[str | None]:
    """The different values of a column over the whole log, no more than some hundred."""
    use = Use(Column("value", "VARCHAR"), place)
    rows = _rows(log, [use], ALL_TIME, False, lenient=False)
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        try:
            found = connection.execute(f"SELECT DISTINCT value FROM ({rows}) LIMIT 200").fetchall()
        except duckdb.Error as fault:
            raise InputError.unparsable(log.path, str(fault).partition("\n")[0]) from fault
    return [value for (value,) in found]


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


def _select(format: Format, rows: str, span: Span) -> str:
    """The format's SELECT over the rows of the log, with every column that a trace can have."""
    named = ["arrival_s", "service", "model", "request_tokens", "response_tokens", "failed"]
    held = set(format.holds)
    optional = [
        name if name in held else f"CAST(NULL AS {kind}) AS {name}" for name, kind in OPTIONAL_TYPES.items()
    ]
    if "reason" in held and format.name not in OWN_REASONS:
        optional[list(OPTIONAL_TYPES).index("reason")] = f"{reason_sql('reason')} AS reason"
    columns = ", ".join([*named, *optional, *(["line_no"] if format.has_line_no else [])])
    query = f"WITH log AS ({rows}) SELECT {columns} FROM ({format.sql.rstrip().rstrip(';')}) AS read"
    return query if span == ALL_TIME else f"{query} WHERE {span_condition(span)}"


def span_condition(span: Span) -> str:
    """The condition that a row's arrival lies in a span, or is absent (such rows become rejects)."""
    start, end = span
    ends = [f"arrival_s >= {start!r}"] * (start is not None) + [f"arrival_s < {end!r}"] * (end is not None)
    return f"(arrival_s IS NULL OR ({' AND '.join(ends)}))"


def _depth(log: LogFile, place: Place, places: Sequence[Place]) -> int:
    """How many steps of a place lead through objects that are read as such.

    An object that is itself needed as text is read as text.
    """
    depth = struct_depth(log, place)
    for other in places:
        k = len(other.steps)
        if other.column == place.column and k < len(place.steps) and other.steps == place.steps[:k]:
            depth = min(depth, k)
    return depth


def _source(log: LogFile, place: Place, places: Sequence[Place]) -> str:
    """The expression of a place over what the engine's reader gives; text but in Parquet."""
    if log.kind == "parquet":
        return parquet_sql(log, place)
    if log.kind == "csv":
        return text_sql(identifier(place.column), place.steps, listed=is_listed(log, place.column, ()))
    depth = _depth(log, place, places)
    source = ".".join(["said", *(identifier(str(name)) for name in (place.column, *place.steps[:depth]))])
    return text_sql(source, place.steps[depth:], listed=is_listed(log, place.column, place.steps[:depth]))


def _value(log: LogFile, use: Use, places: Sequence[Place], lenient: bool) -> str:
    """The expression of a declared column over what the engine's reader gives."""
    column = use.column
    kind = SQL_TYPES.get(column.type, column.type)
    if use.place is None:
        return f"CAST(NULL AS {'BIGINT[]' if column.type == 'BLOCKS' else kind})"
    source = _source(log, use.place, places)
    if column.type == "BLOCKS":
        return _blocks(source)
    if column.type == "INSTANT" and use.stamp is not None:
        return use.stamp.sql(f"CAST({source} AS VARCHAR)") if lenient else _ns(source, use.plain)
    if use.stamp is not None:
        return _stamp(source, use, use.stamp, lenient)
    if lenient and column.type in ("DOUBLE", "TOKENS", "DURATION"):
        unit = "s" if column.type == "DURATION" else None
        return number_sql(f"CAST({source} AS VARCHAR)", log.decimal, _is_count(column), unit)
    if column.type == "JSON" and log.kind == "parquet":
        return f"CAST(to_json({source}) AS VARCHAR)"
    return f"TRY_CAST({source} AS {kind})"


def _is_count(column: Column) -> bool:
    """Whether a column counts something, so that `1,234` has no fraction."""
    return column.type == "TOKENS"


def _ns(source: str, plain: str) -> str:
    """Nanoseconds since 1970 of dates that are all written alike."""
    if plain == "typed":
        return f"epoch_ns(TRY_CAST({source} AS TIMESTAMP_NS))"
    condition = f"regexp_matches({source}, {literal(UTC)})"
    if plain == "dates":
        condition = f"NOT regexp_matches({source}, {literal(OFFSET)})"
    return f"epoch_ns(CASE WHEN {condition} THEN TRY_CAST({source} AS TIMESTAMP_NS) END)"


def _stamp(source: str, use: Use, stamp: StampForm, lenient: bool) -> str:
    """Seconds on the trace's clock from a stamp; of numbers since 1970 that are read plainly, since 1970."""
    plain = "" if lenient else use.plain
    if plain in DATES:
        return f"({_ns(source, plain)} - $day0_ns) / 1e9"
    if plain.endswith("since 1970"):
        seconds = f"TRY_CAST({source} AS DOUBLE)" + (" / 1000.0" if plain.startswith("milli") else "")
        return f"CASE WHEN {seconds} >= {UNIX_FROM_S} AND {seconds} < {UNIX_TO_S} THEN {seconds} END"
    if plain == "number":
        per_second = PER_SECOND[stamp.unit]
        return f"TRY_CAST({source} AS DOUBLE)" + (f" / {per_second}.0" if per_second > 1 else "")
    value = stamp.sql(f"CAST({source} AS VARCHAR)")
    return f"({value} - $day0_ns) / 1e9" if stamp.clock == "instant" else value


def _blocks(source: str) -> str:
    """A list of block numbers; names and numbers that are too large are hashed to such."""
    text = f"CAST({source} AS VARCHAR)"
    listed = f"CASE WHEN regexp_full_match({text}, {literal(BLOCKS)}) THEN TRY_CAST({text} AS BIGINT[]) END"
    names = (
        f"CASE WHEN regexp_full_match({text}, {literal(HASHES)}) THEN from_json({text}, '[\"VARCHAR\"]') END"
    )
    hashed = (
        f"list_transform({names}, lambda block: "
        "COALESCE(TRY_CAST(block AS BIGINT), CAST(hash(block) >> 1 AS BIGINT)))"
    )
    # A number too large for the type becomes a NULL in the list.
    others = f"COALESCE({hashed}, {NO_BLOCKS})"
    good = f"CASE WHEN list_count({listed}) = len({listed}) THEN {listed} ELSE {others} END"
    return f"CASE WHEN {source} IS NOT NULL THEN {good} END"


def _rows(log: LogFile, uses: Sequence[Use], span: Span, line_no: bool, *, lenient: bool) -> str:
    """The SELECT that reads the log's columns under the format's names; bad rows are set aside."""
    places = [use.place for use in uses if use.place is not None]
    listed = ", ".join(
        [f"{_value(log, use, places, lenient)} AS {identifier(use.column.name)}" for use in uses]
        + (["row_number() OVER () AS line_no"] if line_no else [])
    )
    if log.kind == "parquet":
        files = ", ".join(literal(escape_glob(file)) for file in parquet_files(log.readable, *span))
        return f"SELECT {listed} FROM read_parquet([{files}], hive_partitioning = false)"
    place = literal(escape_glob(log.readable))
    if log.kind == "jsonl":
        return f"SELECT {listed} FROM ({_objects(log, uses, place, lenient)}) AS said"
    types: dict[str, str] = {}
    for use in uses:
        if use.place is not None:
            kind = SQL_TYPES.get(use.column.type, use.column.type)
            if lenient or use.place.steps or use.plain in DATES:
                kind = "VARCHAR"
            name = use.place.column
            types[name] = kind if types.get(name, kind) == kind else "VARCHAR"
    names: dict[str, str] = {}
    for i, name in enumerate(log.header):
        unique = name if name and plain(name) not in {plain(n) for n in names} else f"{name} {i + 1}"
        names[unique] = types.get(name, "VARCHAR")
    columns = ", ".join(f"{literal(name)}: {literal(kind)}" for name, kind in names.items())
    return (
        f"SELECT {listed} FROM read_csv({place}, columns = {{{columns}}}, header = true, skip = {log.skip}, "
        f"delim = {literal(log.delimiter)}, quote = '\"', escape = '\"', strict_mode = true, "
        f"nullstr = [{', '.join(map(literal, NULL_CELLS))}], {_csv_options(log)})"
    )


def bare_rows(reading: Reading) -> str:
    """The SELECT of the log's rows before its format leaves some out."""
    return _rows(reading.log, reading.uses[:1], reading.span, False, lenient=reading.is_lenient)


def _filtered(rows: str, filters: Sequence[tuple[str, str]]) -> str:
    """The rows that meet the user's rules, and those that could not be taken apart, to be rejected."""
    if not filters:
        return rows
    names = ", ".join(identifier(name) for name, _ in filters)
    empty = " AND ".join(f"{identifier(name)} IS NULL" for name, _ in filters)
    met = " AND ".join(condition for _, condition in filters)
    return f"SELECT * EXCLUDE ({names}) FROM ({rows}) WHERE ({met}) OR ({empty})"


def _csv_options(log: LogFile) -> str:
    return (
        f"auto_detect = false, store_rejects = true, rejects_limit = 0, compression = {literal(log.packed)}"
    )


def _objects(log: LogFile, uses: Sequence[Use], file: str, lenient: bool) -> str:
    """Read the objects of JSON lines, the values that are needed; any other line gives NULLs."""
    placed = [(use.place, use) for use in uses if use.place is not None]
    places = [place for place, _ in placed]
    keys: dict[str, Any] = {}
    for place, use in sorted(placed, key=lambda each: len(each[0].steps)):
        depth = _depth(log, place, places)
        is_number = not lenient and depth == len(place.steps) and _is_plain_number(use)
        _nest(keys, (place.column, *map(str, place.steps[:depth])), "DOUBLE" if is_number else "VARCHAR")
    if log.wrap or _has_byte_order_mark(log):
        line = object_sql(log.wrap or "text", "line")
        structure = literal(json.dumps(keys))
        lines = (
            f"SELECT {line} AS line FROM read_csv({file}, columns = {{'line': 'VARCHAR'}}, header = false, "
            f"delim = chr(1), quote = '', escape = '', strict_mode = true, max_line_size = {MAX_LINE_BYTES}, "
            f"{_csv_options(log)}) WHERE TRIM(line) <> ''"
        )
        valid = "CASE WHEN json_valid(line) THEN line END"
        said = f"SELECT json_transform({valid}, {structure}) AS said FROM ({lines})"
        return f"SELECT {', '.join(f'said.{identifier(key)}' for key in keys)} FROM ({said})"
    columns = ", ".join(f"{literal(key)}: {literal(_sql_type(inner))}" for key, inner in keys.items())
    return (
        f"SELECT * FROM read_ndjson({file}, columns = {{{columns}}}, ignore_errors = true, "
        f"maximum_object_size = {MAX_LINE_BYTES}, "
        f"compression = {literal(log.packed)})"
    )


def _has_byte_order_mark(log: LogFile) -> bool:
    """Whether a text begins with the mark that DuckDB takes for a part of the first JSON line."""
    with open_unpacked(log.readable, log.packed) as file:
        return file.read(3) == BOM_UTF8


def _is_plain_number(use: Use) -> bool:
    """Whether all values of the log's head are numbers as DuckDB reads them."""
    if use.stamp is not None:
        return use.plain == "number" or use.plain.endswith("since 1970")
    return use.plain == "cast" and use.column.type in ("DOUBLE", "TOKENS", "DURATION")


def _nest(keys: dict[str, Any], path: Sequence[str], kind: str) -> None:
    """Add a path to nested keys; a value that is needed as two types is read as text."""
    at = keys
    for name in path[:-1]:
        at = at.setdefault(name, {})
    at[path[-1]] = kind if at.get(path[-1], kind) == kind else "VARCHAR"


def _sql_type(inner: Mapping[str, Any] | str) -> str:
    if isinstance(inner, str):
        return inner
    return f"STRUCT({', '.join(f'{identifier(key)} {_sql_type(deeper)}' for key, deeper in inner.items())})"
