"""Where a log has a value: the name of a column, or a path into a column's nested values.

`usage.prompt_tokens` is a key of an object, `choices[0].text` an element of a list,
`attributes[gen_ai.usage.input_tokens]` a key that has dots in it, or the value of that key in a list of
`{"key": …, "value": …}` as OpenTelemetry writes it. A column's own name wins over a path. Text that is JSON
itself, in a cell of a CSV file or in a string, is looked into. Not here: what is made of the value
(`select_sql`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import duckdb

from ...core.errors import InputError
from ..files.containers import object_in
from ..files.packing import open_unpacked
from ..files.sniff import LogFile, escape_glob, parquet_files
from .sql_text import identifier, literal

STEP = re.compile(r"\.?([^.\[\]]+)|\[(?:\"([^\"]*)\"|([^\]]*))\]")
OTLP_VALUES = ("stringValue", "intValue", "doubleValue", "boolValue")
"""Under which of these names a value of OpenTelemetry's lists lies says its type."""
ABSENT = object()

Step = str | int


@dataclass(frozen=True)
class Place:
    """A value's place in a log: a column, and the steps from its value to the one that is meant."""

    column: str
    """as the log writes it"""
    steps: tuple[Step, ...] = ()

    def __str__(self) -> str:
        """As a user writes it."""
        return self.column + "".join(_written(step) for step in self.steps)


def _written(step: Step) -> str:
    return f".{step}" if isinstance(step, str) and not re.search(r"[.\[\]]", step) else f"[{step}]"


def plain(name: str) -> str:
    """Write a column name as names are compared: without case and outer blanks."""
    return name.strip().casefold()


def place_of(log: LogFile, text: str) -> Place | None:
    """Find the column that a path begins with, and the steps after it.

    Parameters
    ----------
    log : LogFile
    text : str
        Name of a column, or a path.

    Returns
    -------
    Place or None
        None if the log has no such column. Whether the steps lead to a value is not looked at.
    """
    actual = {plain(name): name for name in reversed(log.header)}
    if plain(text) in actual:
        return Place(actual[plain(text)])
    for name in sorted(log.header, key=len, reverse=True):
        rest = text[len(name) :]
        if name and plain(text[: len(name)]) == plain(name) and rest[:1] in (".", "["):
            steps = steps_of(rest)
            return Place(name, steps) if steps else None
    return None


def with_late_keys(log: LogFile, texts: Iterable[str]) -> LogFile:
    """Add keys to a log of JSON lines that its head does not have and some later line does.

    Parameters
    ----------
    log : LogFile
    texts : iterable of str
        What a user wrote: names, paths, and conditions on them.

    Returns
    -------
    LogFile
    """
    if log.kind != "jsonl":
        return log
    absent = {
        match[0].strip()
        for text in texts
        if place_of(log, text.strip()) is None and (match := re.match(r"[^.\[=<>!|+]+", text.lstrip(" !")))
    }
    absent = {name for name in absent if name and place_of(log, name) is None}
    found: list[str] = []
    if absent:
        with open_unpacked(log.readable, log.packed) as lines:
            for line in lines:
                named = [name for name in absent if name.encode() in line]
                if named and (row := object_in(log.wrap, line.decode("utf-8", "replace"))):
                    found += [name for name in named if name in row]
                    absent -= set(found)
                    if not absent:
                        break
    return replace(log, header=(*log.header, *found))


def steps_of(text: str) -> tuple[Step, ...]:
    """Take a path apart: `.usage.prompt_tokens`, `[0].x`, `[gen_ai.usage]`; nothing if it is no path."""
    steps: list[Step] = []
    at = 0
    while at < len(text):
        match = STEP.match(text, at)
        if match is None:
            return ()
        name, quoted, inside = match.groups()
        step = name if name is not None else quoted if quoted is not None else inside
        steps.append(int(step) if quoted is None and name is None and step.isdigit() else step)
        at = match.end()
    return tuple(steps)


def value_at(row: Mapping[str, Any], place: Place) -> Any:
    """The value of one row at a place, ABSENT where the row has none."""
    value: Any = row.get(place.column, ABSENT)
    for step in place.steps:
        value = _stepped(value, step)
    return value


def values_at(log: LogFile, place: Place) -> list[Any]:
    """The values of the log's first rows at a place, without the rows that have none or null."""
    values = (value_at(row, place) for row in log.sample)
    return [value for value in values if value is not ABSENT and value is not None]


def has(log: LogFile, place: Place) -> bool:
    """Whether one of the log's first rows has the place, if only with null."""
    if not place.steps:
        return True
    return any(value_at(row, place) is not ABSENT for row in log.sample)


def _stepped(value: Any, step: Step) -> Any:
    """One step into a value."""
    value = _opened(value)
    if isinstance(value, Mapping):
        return value.get(step, ABSENT) if isinstance(step, str) else value.get(str(step), ABSENT)
    if isinstance(value, Sequence) and not isinstance(value, str):
        if isinstance(step, int):
            return value[step] if step < len(value) else ABSENT
        return _by_key(value, step)
    return ABSENT


def _opened(value: Any) -> Any:
    """A value, or what its text says if that is JSON."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def _by_key(entries: Sequence[Any], key: str) -> Any:
    """The value of a key in a list of `{"key": …, "value": …}`."""
    for entry in entries:
        if isinstance(entry, Mapping) and entry.get("key") == key:
            value = entry.get("value")
            if isinstance(value, Mapping):
                return next((value[name] for name in OTLP_VALUES if name in value), json.dumps(value))
            return value
    return ABSENT


def leaves(rows: Iterable[Mapping[str, Any]], limit: int = 400) -> list[Place]:
    """List the places of all plain values in rows, in the order in which they are met.

    Parameters
    ----------
    rows : iterable of mapping
        Rows of a log.
    limit : int
        No more than so many.

    Returns
    -------
    list of Place
        Lists of objects give their first element's places only, those of OpenTelemetry a place a key.
    """
    found: dict[Place, None] = {}

    def visit(place: Place, value: Any) -> None:
        value = _opened(value)
        if isinstance(value, Mapping) and value:
            for key, inner in value.items():
                visit(Place(place.column, (*place.steps, key)), inner)
        elif isinstance(value, list) and value and isinstance(value[0], Mapping):
            if all(isinstance(entry, Mapping) and "key" in entry for entry in value):
                for entry in value:
                    found[Place(place.column, (*place.steps, str(entry["key"])))] = None
            else:
                visit(Place(place.column, (*place.steps, 0)), value[0])
        elif len(found) < limit:
            found[place] = None

    for row in rows:
        for column, value in row.items():
            visit(Place(column), value)
    return list(found)


def struct_depth(log: LogFile, place: Place) -> int:
    """How many of a place's steps lead through objects of JSON lines, from its column on.

    The steps after them go through lists or through text that is JSON, so they are taken from the text.
    """
    depth = 0
    for i, step in enumerate(place.steps):
        inner = values_at(log, Place(place.column, place.steps[:i]))
        if isinstance(step, int) or any(not isinstance(value, Mapping) for value in inner):
            break
        depth = i + 1
    return depth


def text_sql(text: str, steps: Sequence[Step], *, listed: bool = False) -> str:
    """Write SQL for the value at some steps into JSON text.

    Parameters
    ----------
    text : str
        Expression of the text, which need not be JSON.
    steps : sequence of Step
    listed : bool
        The first step is a key of a list of `{"key": …, "value": …}`.

    Returns
    -------
    str
        An expression of type VARCHAR, NULL where there is no such value.
    """
    if not steps:
        return text
    if listed and isinstance(steps[0], str):
        entries = f'from_json({_valid(text)}, \'[{{"key":"VARCHAR","value":"JSON"}}]\')'
        named = f"lambda entry: entry.key = {literal(steps[0])}"
        value = f"list_extract(list_filter({entries}, {named}), 1).value"
        plain_value = ", ".join(f"json_extract_string({value}, '$.{name}')" for name in OTLP_VALUES)
        found = f"COALESCE({plain_value}, json_extract_string({value}, '$'))"
        return text_sql(found, steps[1:])
    path = "$" + "".join(f"[{step}]" if isinstance(step, int) else f".{_quoted(step)}" for step in steps)
    return f"json_extract_string({_valid(text)}, {literal(path)})"


def _quoted(key: str) -> str:
    return '"' + key.replace('"', '\\"') + '"'


def _valid(text: str) -> str:
    return f"CASE WHEN json_valid({text}) THEN {text} END"


def is_listed(log: LogFile, column: str, steps: Sequence[Step]) -> bool:
    """Whether the value at some steps is a list of `{"key": …, "value": …}`."""
    for value in values_at(log, Place(column, tuple(steps))):
        entries = _opened(value)
        if isinstance(entries, list) and entries:
            return all(isinstance(entry, Mapping) and "key" in entry for entry in entries)
    return False


def parquet_sql(log: LogFile, place: Place) -> str:
    """Write SQL for a place in a Parquet file: members of structs, keys of maps, elements of lists.

    Parameters
    ----------
    log : LogFile
        Of the kind `parquet`.
    place : Place

    Returns
    -------
    str

    Raises
    ------
    InputError
        If a step leads nowhere.
    """
    sql = identifier(place.column)
    file = literal(escape_glob(parquet_files(log.readable)[0]))
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for i, step in enumerate(place.steps):
            kind = _type_of(connection, sql, file)
            candidates = _stepped_sql(sql, kind, step)
            if candidates is None:
                return text_sql(
                    f"CAST({sql} AS VARCHAR)",
                    place.steps[i:],
                    listed=is_listed(log, place.column, place.steps[:i]),
                )
            sql = candidates
            if _type_of(connection, sql, file) is None:
                raise InputError.absent_columns(log.path, [str(place)], log.header)
    return sql


def _type_of(connection: duckdb.DuckDBPyConnection, sql: str, file: str) -> str | None:
    query = f"DESCRIBE SELECT {sql} AS value FROM read_parquet({file}, hive_partitioning = false)"
    try:
        return str(connection.execute(query).fetchall()[0][1])
    except duckdb.Error:
        return None


def _stepped_sql(sql: str, kind: str | None, step: Step) -> str | None:
    """The expression one step on; None where it goes through text."""
    if kind is None:
        return None
    if kind.endswith("[]"):
        if isinstance(step, int):
            return f"{sql}[{step + 1}]"
        entry = f"lambda entry: entry.key = {literal(step)}"
        return f"list_extract(list_filter({sql}, {entry}), 1).value"
    if kind.startswith("STRUCT"):
        return f"struct_extract({sql}, {literal(str(step))})"
    if kind.startswith("MAP"):
        return f"{sql}[{literal(str(step))}]"
    return None
