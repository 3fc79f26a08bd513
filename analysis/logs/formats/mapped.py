"""A log in an unknown format, by the columns that its user names: written as a format of its own.

`arrival=ts`, `ended=msec,elapsed=request_time` or `start=a,end=b` give the arrival; a value may be the
difference or the sum of two columns (`elapsed=ended-began`). Not here: what a format is (`formats`), reading
with it (`select_sql`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from ...core.errors import InputError
from ...core.option_names import option
from ..files.sniff import LogFile
from ..values.conditions import Condition, decided, parse_condition, reason_sql
from ..values.numbers_text import number_of
from ..values.paths import Place, has, place_of, values_at
from ..values.sql_text import identifier, literal
from .declaration import Column, Format

UNITS = {"_s": 1.0, "_ms": 1e-3, "_us": 1e-6, "_ns": 1e-9}
STAMPS = ("arrival", "start", "ended", "end", "first_token")
"""Keys that name an instant; with `_s`, `_ms`, `_us` or `_ns` after them they say the unit of numbers."""
DURATIONS = ("elapsed", "ttft")
TOKENS = ("request_tokens", "response_tokens", "cached_tokens", "reasoning_tokens", "images")
TEXTS = ("service", "model", "session", "client", "reason")
KEYS = (
    *(stamp + unit for stamp in STAMPS for unit in ("", *UNITS)),
    *TEXTS,
    *TOKENS,
    *(duration + unit for duration in DURATIONS for unit in ("", "_s", "_ms", "_us", "_ns")),
    "failed",
    "prefix",
)
"""What `columns` may name."""
SHOWN_KEYS = (
    "arrival",
    "ended",
    "elapsed",
    "request_tokens",
    "response_tokens",
    "failed",
    *TEXTS,
    *TOKENS[2:],
    "ttft",
    "prefix",
)
"""Those of them that messages list."""

NO_NAMES = ("", "-", "null", "none", "nan", "n/a", "<na>", "undefined")
"""What programs write for a session or a client that a request does not have."""
LONGEST_USUAL_S = 300.0
"""If half of the requests took longer, their times are probably not in seconds."""
STAMP_TYPES = {"": "STAMP", "_s": "STAMP_S", "_ms": "STAMP_MS", "_us": "STAMP_US", "_ns": "STAMP_NS"}
ValuesOf = Callable[[Place], Collection[str | None]]


@dataclass
class _Mapping:
    """A format in the making: the columns that its SELECT takes, by name, and their types."""

    log: LogFile
    columns: dict[str, Column] = field(default_factory=dict)

    def take(self, text: str, kind: str) -> str:
        """The identifier of a place in the log, read as a type."""
        place = self.place(text)
        name = (
            str(place)
            if self.columns.get(str(place), Column("", kind)).type == kind
            else f"{place} as {kind}"
        )
        self.columns[name] = Column(name, kind)
        return identifier(name)

    def place(self, text: str) -> Place:
        """The place that a user names; InputError where the log has none."""
        place = place_of(self.log, text.strip())
        if place is None:
            raise InputError.absent_columns(self.log.path, [text.strip()], self.log.header)
        return place

    def value(self, text: str, kind: str) -> str:
        """An expression of one column, or of the difference or sum of two."""
        whole = place_of(self.log, text.strip())
        if whole is not None and (not whole.steps or has(self.log, whole)):
            return self.take(text, kind)
        for match in re.finditer(r"[-+]", text):
            left, right = text[: match.start()], text[match.end() :]
            places = [place_of(self.log, part.strip()) for part in (left, right)]
            if all(places):
                return f"({self.take(left, kind)} {match[0]} {self.take(right, kind)})"
        return self.take(text, kind)


@dataclass(frozen=True)
class MappedFormat:
    """A format made of a user's words, and where its columns lie."""

    format: Format
    places: Mapping[str, Place]
    """by the name of the format's column"""
    failure_rule: str | None
    checks_failures: bool
    """A row of which the rule does not say whether it failed is to be rejected."""


def mapped_format(
    log: LogFile, columns: Mapping[str, str], where: Sequence[str], values_of: ValuesOf
) -> MappedFormat:
    """Write the format of a log whose columns a user named.

    Parameters
    ----------
    log : LogFile
    columns : mapping
        Places in the log by `KEYS`.
    where : sequence of str
        Conditions that all hold for the rows that are requests.
    values_of : callable
        Gives the different values of a column over the whole log.

    Returns
    -------
    MappedFormat

    Raises
    ------
    InputError
        If a key or a column does not exist, if there is no arrival, or a rule does not fit its column.
    """
    if unknown := [key for key in columns if key not in KEYS]:
        raise InputError.unknown_mapping(unknown, SHOWN_KEYS)
    absent = [name for key, name in columns.items() if key != "failed" and not _any_place(log, name)]
    if absent:
        raise InputError.absent_columns(log.path, absent, log.header)
    mapping = _Mapping(log)
    given = _without_units(columns)
    arrival, elapsed = _arrival_and_elapsed(mapping, given)
    values = {"arrival_s": arrival}
    if elapsed is not None:
        values["elapsed_s"] = elapsed
    if "ttft" in given:
        values["ttft_s"] = _duration(mapping, given["ttft"], "ttft")
    elif "first_token" in given:
        values["ttft_s"] = (
            f"{mapping.value(given['first_token'][1], STAMP_TYPES[given['first_token'][0]])} - {arrival}"
        )
    for key in TOKENS:
        if key in given:
            values[key] = mapping.value(given[key][1], "TOKENS")
    for key in TEXTS:
        if key in given:
            values[key] = mapping.take(given[key][1], "VARCHAR")
    for key in ("session", "client"):
        if key in values:
            # One name for all requests without one would make a session of them.
            words = ", ".join(map(literal, NO_NAMES))
            values[key] = f"CASE WHEN lower(trim({values[key]})) NOT IN ({words}) THEN {values[key]} END"
    if "service" in values:
        values["service"] = f"COALESCE({values['service']}, $service)"
    if "prefix" in given:
        values["prefix"] = mapping.take(given["prefix"][1], "BLOCKS")
    rule = None
    if "failed" in given:
        rule = parse_condition(given["failed"][1], "failed")
        place = mapping.place(rule.column)
        rule = decided(rule, values_of(place), "failed")
        text = mapping.take(rule.column, "VARCHAR")
        values["failed"] = rule.sql(text)
        if "reason" not in values and rule.operator != "is true":
            values["reason"] = reason_sql(text)
    if "reason" in values and "failed" in values:
        values["reason"] = f"CASE WHEN {values['failed']} THEN {values['reason']} END"
    conditions = [_condition(mapping, text) for text in where]
    return MappedFormat(
        _written(mapping, values, conditions, rule),
        {
            name: mapping.place(name.removesuffix(f" as {column.type}"))
            for name, column in mapping.columns.items()
        },
        None if rule is None else str(rule),
        rule is not None,
    )


def _any_place(log: LogFile, text: str) -> bool:
    """Whether a text names a place in the log, or the difference or sum of two."""
    if place_of(log, text.strip()) is not None:
        return True
    return any(
        place_of(log, text[: match.start()].strip()) and place_of(log, text[match.end() :].strip())
        for match in re.finditer(r"[-+]", text)
    )


def _without_units(columns: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Unit and place of each key, the unit taken off the key."""
    given: dict[str, tuple[str, str]] = {}
    first: dict[str, str] = {}
    for key, place in columns.items():
        stem, unit = key, ""
        for ending in UNITS:
            if key.endswith(ending) and key.removesuffix(ending) in (*STAMPS, *DURATIONS):
                stem, unit = key.removesuffix(ending), ending
        stem = "ended" if stem == "end" else stem
        if stem in given:
            raise InputError.doubled_mapping(stem, [first[stem], key])
        given[stem], first[stem] = (unit, place), key
    return given


def _arrival_and_elapsed(mapping: _Mapping, given: Mapping[str, tuple[str, str]]) -> tuple[str, str | None]:
    """Expressions of the arrival and of the time that a request took."""
    arrival = given.get("arrival") or given.get("start")
    if "arrival" in given and "start" in given:
        raise InputError.doubled_mapping("arrival", ["arrival", "start"])
    ended, elapsed = given.get("ended"), given.get("elapsed")
    elapsed_sql = _duration(mapping, elapsed) if elapsed else None
    if arrival is not None:
        arrival_sql = mapping.value(arrival[1], STAMP_TYPES[arrival[0]])
        if elapsed_sql is None and ended is not None:
            elapsed_sql = f"{mapping.value(ended[1], STAMP_TYPES[ended[0]])} - {arrival_sql}"
        return arrival_sql, elapsed_sql
    if ended is not None and elapsed_sql is not None:
        return f"{mapping.value(ended[1], STAMP_TYPES[ended[0]])} - {elapsed_sql}", elapsed_sql
    raise InputError.no_arrival()


def _refuse_long(log: LogFile, key: str, text: str) -> None:
    """Raise InputError where durations of no named unit would be unusually long in seconds."""
    place = place_of(log, text)
    values = values_at(log, place) if place is not None else []
    numbers = sorted(n for value in values if (n := number_of(str(value), log.decimal)) is not None)
    middle = numbers[len(numbers) // 2] if numbers else 0.0
    if middle <= LONGEST_USUAL_S:
        return
    units = [
        ending.strip("_") for ending, seconds in UNITS.items() if middle * seconds >= 0.01 or ending == "_s"
    ]
    choices = " or ".join(str(option("columns", f"{key}_{each}={text},…")) for each in units)
    raise InputError.at(
        log.path,
        f"half of the values are larger than {middle:,.6g}: the unit is in doubt",
        column=text,
        remedy=f"choose {choices}",
    )


def _duration(mapping: _Mapping, given: tuple[str, str], key: str = "elapsed") -> str:
    """Seconds of a column; its key, or else its own name, says the unit of plain numbers."""
    unit, text = given
    sql = mapping.value(text, "DURATION")
    scale = UNITS[unit] if unit else duration_unit(text)
    if not unit and scale == 1.0:
        _refuse_long(mapping.log, key, text.strip())
    return sql if scale == 1.0 else f"{sql} / {1 / scale:.1f}"


def duration_unit(name: str) -> float:
    """The unit in seconds that the name of a column of durations says: `dur_ms`, `latencyMs`, `took_us`."""
    match = re.search(
        r"(?:_|\b)(ms|millis|msec|us|micros|ns|nanos)$|(Ms|Millis|Micros|Nanos|Us|Ns)$", name.strip()
    )
    return {"m": 1e-3, "u": 1e-6, "n": 1e-9}[_unit_letter(match[0])] if match else 1.0


def _unit_letter(ending: str) -> str:
    word = ending.strip("_").lower()
    return "u" if word.startswith("mic") else word[0]


def where_condition(text: str) -> Condition:
    """One rule of `where`; a column alone means that it has a value."""
    condition = parse_condition(text, "where")
    return Condition(condition.column, "is given") if condition.operator == "" else condition


def _condition(mapping: _Mapping, text: str) -> str:
    """One rule of `where` in SQL."""
    condition = where_condition(text)
    return f"COALESCE({condition.sql(mapping.take(condition.column, 'VARCHAR'))}, FALSE)"


def _written(
    mapping: _Mapping, values: Mapping[str, str], conditions: Sequence[str], rule: Condition | None
) -> Format:
    """The format's declaration and its SELECT."""
    defaults = {
        "arrival_s": "",
        "service": "$service",
        "model": "CAST(NULL AS VARCHAR)",
        "request_tokens": "CAST(NULL AS DOUBLE)",
        "response_tokens": "CAST(NULL AS DOUBLE)",
        "failed": "FALSE",
    }
    listed = [f"{sql} AS {name}" for name, sql in {**defaults, **values}.items()]
    where = ""
    if conditions:
        # A row that could not be taken apart has no value at all, and has to become a reject.
        empty = " AND ".join(f"{identifier(name)} IS NULL" for name in mapping.columns)
        listed.append("line_no")
        where = f" WHERE ({' AND '.join(conditions)}) OR ({empty})"
    return Format(
        name="columns",
        title="mapped columns",
        sql=f"SELECT {', '.join(listed)} FROM log{where}",
        kinds=(mapping.log.kind,),
        columns=tuple(mapping.columns.values()),
        day0=None,
        needs=tuple(name for name in ("request_tokens", "response_tokens") if name in values),
        holds=tuple(name for name in values if name not in defaults),
        failures=None if rule is None else str(rule),
        spread=False,
    )
