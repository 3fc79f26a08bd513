"""A trace without the names of its owner: applied to the requests right after they are read.

What is not known to be free of text is replaced or left out, so that a new column or a new field of a trace's
identity does not leak. Not here: the pseudonyms (`burstlens.analysis.logs.pseudonyms`), reading.
"""

from __future__ import annotations

import re
from dataclasses import fields, replace
from datetime import timedelta
from functools import cache
from math import floor
from typing import Any

import duckdb

from ..core.errors import InputError
from ..core.registry import FORMATS, plugins
from ..core.units import DAY_S
from .formats.declaration import OPTIONAL, formats
from .load_duckdb import UNREADABLE_NAME, Loaded
from .pseudonyms import RANDOM, Pseudonyms
from .rejects import Reject
from .trace_info import Source, TraceInfo
from .values.sql_text import identifier

FORMAT_WORDS = ("columns", "workload")
"""What the format of a trace is called, beside the names of formats."""
OTHER_FORMAT = "other"
OTHER_RULE = "a rule that the owner of the log knows"
KNOWN_REASON = r"[1-5](\d\d|xx)|timeout|content filter|cancelled"
"""Causes of a failure in burstlens's own words."""
REJECT_REASON = re.compile(
    r"missing|missing or not a (?:time|number)|not finite|negative|absurdly large|not a whole number|"
    r"not a number|NUL byte in the text|not covered by the rule for failures|not a list of block numbers|"
    r"\d[\d,]* columns?, but the header has \d+|not UTF-8|not JSON|a quote that is not closed|"
    r"inside the quote opened on line \d+|" + re.escape(UNREADABLE_NAME)
)
NUMBERS = re.compile(r"U?(TINY|SMALL|BIG|HUGE)?INT|U?INTEGER|DOUBLE|FLOAT|BOOLEAN|DECIMAL.*")
"""Types of columns without text."""
OTHER_REASON = "cannot be used"
TRACE_COLUMNS = ("arrival_s", "service", "model", "request_tokens", "response_tokens", "failed", *OPTIONAL)


def anonymize_requests(
    connection: duckdb.DuckDBPyConnection, loaded: Loaded, pseudonyms: Pseudonyms
) -> Loaded:
    """Replace every text in the table `stamped` and in what is known of it, and shift its stamps.

    Streams keep their numbers, so whatever is computed by number stays the same.

    Parameters
    ----------
    connection : DuckDBPyConnection
    loaded : Loaded
    pseudonyms : Pseudonyms

    Returns
    -------
    Loaded

    Raises
    ------
    InputError
        If the stamps cannot be shifted so far.
    """
    described = connection.execute("DESCRIBE stamped").fetchall()
    columns = {name: kind for name, kind, *_ in described}
    day0, moved_s = _shifted(connection, loaded, pseudonyms)
    replaced = {name: _replaced(name, kind, pseudonyms) for name, kind in columns.items()}
    if moved_s:
        ticks = round(moved_s / loaded.resolution_s)
        replaced |= {"tick": f"CAST(tick AS BIGINT) + ({ticks})"}
        replaced |= {"arrival_s": f"arrival_s + ({moved_s})"} if "arrival_s" in columns else {}
    listed = ", ".join(f"{sql} AS {identifier(name)}" for name, sql in replaced.items() if sql is not None)
    if listed:
        bound = {name: value for name, value in pseudonyms.sql_parameters.items() if f"${name}" in listed}
        connection.execute(f"CREATE TABLE without_text AS SELECT * REPLACE ({listed}) FROM stamped", bound)
        connection.execute("DROP TABLE stamped")
        connection.execute("ALTER TABLE without_text RENAME TO stamped")
    return replace(
        loaded,
        day0=day0,
        streams=[
            (pseudonyms.of("service", service), None if model is None else pseudonyms.of("model", model))
            for service, model in loaded.streams
        ],
        rejects=[_without_text(reject, pseudonyms) for reject in loaded.rejects],
    )


def _replaced(name: str, kind: str, pseudonyms: Pseudonyms) -> str | None:
    """What a column becomes; None for one of numbers, which stays."""
    column = identifier(name)
    if NUMBERS.fullmatch(kind):
        return None
    if kind == "VARCHAR" or kind.startswith("ENUM"):
        text = f"CAST({column} AS VARCHAR)"
        hashed = pseudonyms.sql(re.sub(r"\W", "", name), text)
        if name == "reason":
            return f"CASE WHEN regexp_full_match({text}, '{KNOWN_REASON}') THEN {text} ELSE {hashed} END"
        return hashed
    if kind.endswith("[]"):
        number = pseudonyms.number_sql("block", "CAST(block AS VARCHAR)")
        return f"list_transform({column}, lambda block: {number})"
    return f"CAST(NULL AS {kind})"


def _shifted(
    connection: duckdb.DuckDBPyConnection, loaded: Loaded, pseudonyms: Pseudonyms
) -> tuple[Any, int]:
    """Day 0 after the shift, and by how many seconds the stamps move on it.

    Whole days move the date only, so that nothing computed from the stamps changes.
    """
    shift_s = pseudonyms.shift_s
    if loaded.day0 is not None:
        try:
            return loaded.day0 + timedelta(days=floor(shift_s / DAY_S)), int(shift_s % DAY_S)
        except OverflowError as fault:
            raise InputError.of_option("shift", "leads to a date before year 1 or after 9999") from fault
    if pseudonyms.shift == RANDOM or not shift_s:
        return None, 0
    first_s = float(connection.execute("SELECT MIN(arrival_s) FROM requests").fetchall()[0][0] or 0.0)
    if first_s + shift_s < 0:
        raise InputError.of_option(
            "shift", f"the log has no dates, and its first stamp, second {first_s:g}, would be negative"
        )
    return None, shift_s


def _without_text(reject: Reject, pseudonyms: Pseudonyms) -> Reject:
    """Where a rejected row is and why, without what stands in it."""
    reason = reject.reason if REJECT_REASON.fullmatch(reject.reason) else reject.reason.partition(":")[0]
    return replace(
        reject,
        file=pseudonyms.of("log", reject.file),
        reason=reason if REJECT_REASON.fullmatch(reason) else OTHER_REASON,
        column=reject.column if reject.column in TRACE_COLUMNS else None,
        text="",
    )


def anonymous_info(info: TraceInfo, pseudonyms: Pseudonyms) -> TraceInfo:
    """The identity of a trace without its owner's words; fields that are not known have their default.

    Parameters
    ----------
    info : TraceInfo
        Of the requests that `anonymize_requests` went over.
    pseudonyms : Pseudonyms

    Returns
    -------
    TraceInfo
    """
    shifted = ""
    if pseudonyms.shift_s and info.day0 is not None:
        shifted = "dates are shifted"
    elif pseudonyms.shift_s:
        shifted = "no dates to shift" if pseudonyms.shift == RANDOM else "stamps are shifted"
    numbers = {
        each.name: value
        for each in fields(info)
        if (value := getattr(info, each.name)) is None or isinstance(value, bool | int | float)
    }
    rule = info.failure_rule
    known: dict[str, Any] = {
        "name": f"anonymized-{pseudonyms.digits('trace', info.name)}"
        + " (dates shifted)" * shifted.startswith("dates"),
        "format": " + ".join(
            name if name in _known_words()[0] else OTHER_FORMAT for name in info.format.split(" + ")
        ),
        "sources": tuple(
            Source(pseudonyms.of("log", each.name), pseudonyms.digest("sha256", each.sha256), each.bytes)
            for each in info.sources
        ),
        "day0": info.day0,
        "failure_rule": rule if rule is None or rule in _known_words()[1] else OTHER_RULE,
        "anonymized": ", ".join(each for each in ("names are keyed hashes", shifted) if each),
    }
    return TraceInfo(**{**numbers, **known})


@cache
def _known_words() -> tuple[frozenset[str], frozenset[str]]:
    """Names of our own formats, and how they say what counts as a failure."""
    own = {name: form for name, form in formats().items() if plugins(FORMATS)[name].own}
    rules = {form.failures for form in own.values() if form.failures is not None}
    return frozenset({*own, *FORMAT_WORDS}), frozenset(rules)
