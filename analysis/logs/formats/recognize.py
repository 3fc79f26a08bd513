"""Which known format a log has: by all of its columns, by what it must not have, by values of its first rows.

Where two formats fit equally well and read the stamps in different units, nothing is guessed. Not here: what
a format declares (`formats`), looking at the file (`sniff`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ...core.errors import InputError
from ...core.option_names import option
from ..files.sniff import LogFile
from ..values.paths import Place, has, place_of, values_at
from ..values.stamps import UNIX_FROM_S
from .declaration import STAMPS_S, Format, formats

UNITS = {
    "STAMP": "seconds",
    "STAMP_S": "seconds",
    "STAMP_MS": "milliseconds",
    "STAMP_US": "microseconds",
    "STAMP_NS": "nanoseconds",
}


def found_place(log: LogFile, column: str) -> Place | None:
    """The place of a declared column in a log, None where no row of its head has it."""
    place = place_of(log, column)
    return place if place is not None and has(log, place) else None


def missing(format: Format, log: LogFile) -> list[str]:
    """Columns of the format that the log lacks."""
    return [c.name for c in format.columns if not c.optional and found_place(log, c.name) is None]


def unknown(format: Format, log: LogFile) -> list[str]:
    """Columns of the log that the format does not know."""
    places = [place_of(log, column.name) for column in format.columns]
    known = {place.column for place in places if place is not None}
    return [name for name in log.header if name not in known]


def fits(format: Format, log: LogFile) -> bool:
    """Whether a log can have a format."""
    # The columns of a database's table are those of its export as CSV or JSON.
    if (log.kind not in format.kinds and log.database is None) or missing(format, log):
        return False
    if any(found_place(log, column) is not None for column in format.excludes):
        return False
    return all(_is_like(log, column, pattern) for column, pattern in format.likes)


def _is_like(log: LogFile, column: str, pattern: str) -> bool:
    """Whether some of the log's first values in a column match a pattern."""
    if column == "line":
        return any(re.search(pattern, line) for line in log.head_lines)
    place = place_of(log, column)
    return place is not None and any(re.search(pattern, str(value)) for value in values_at(log, place))


def format_of_log(log: LogFile) -> Format | None:
    """Find the format that knows most of a log, among those that fit.

    Parameters
    ----------
    log : LogFile

    Returns
    -------
    Format or None
        None if no known format fits.

    Raises
    ------
    InputError
        If two formats fit equally well and read the stamps differently.
    """
    fitting = {format: _score(format, log) for format in formats().values() if fits(format, log)}
    if not fitting:
        return None
    best = max(fitting.values())
    candidates = sorted((f for f, score in fitting.items() if score == best), key=lambda f: f.name)
    if len(candidates) > 1 and len({_stamps(format, log) for format in candidates}) > 1:
        readings = "; ".join(_reading(format, log) for format in candidates)
        choices = " or ".join(str(option("log_format", format.name)) for format in candidates)
        raise InputError.at(log.path, f"{len(candidates)} formats fit: {readings}", remedy=f"give {choices}")
    return candidates[-1]


def _score(format: Format, log: LogFile) -> int:
    """How many columns of a format the log has, and how many patterns decided."""
    return sum(found_place(log, column.name) is not None for column in format.columns) + len(format.likes)


def _stamps(format: Format, log: LogFile) -> tuple[tuple[str, str], ...]:
    """Columns whose numbers count from an unknown start, and the units in which a format reads them."""
    return tuple(
        (column.name, column.type)
        for column in format.columns
        if column.type in STAMPS_S and _numbers(log, column.name)
    )


def _numbers(log: LogFile, column: str) -> list[float]:
    """The first values of a column, where all are numbers too small for a time since 1970."""
    place = place_of(log, column)
    try:
        numbers = [float(value) for value in values_at(log, place)] if place is not None else []
    except (TypeError, ValueError):
        return []
    return numbers if numbers and max(numbers) < UNIX_FROM_S else []


def _reading(format: Format, log: LogFile) -> str:
    """How a format reads the log's first rows: unit, span and rate."""
    for column in format.columns:
        numbers = _numbers(log, column.name)
        if column.type in STAMPS_S and numbers:
            span_s = (max(numbers) - min(numbers)) * STAMPS_S[column.type]
            rate = f"{len(numbers) / span_s:.3g}/s" if span_s > 0 else "no rate"
            first = "" if len(numbers) < len(log.sample) else "the first "
            return (
                f"{format.title} ({column.name} in {UNITS[column.type]}: {first}{len(numbers)} requests in "
                f"{span_s:.4g} s, {rate})"
            )
    return format.title


def nearest_format(log: LogFile) -> Format:
    """Find the format whose columns differ least from a log's.

    Parameters
    ----------
    log : LogFile
        Formats of its kind come first.

    Returns
    -------
    Format
    """
    same_kind = [
        f for f in formats().values() if (log.kind in f.kinds or log.database) and f.name != "canonical"
    ]
    candidates: Sequence[Format] = same_kind or list(formats().values())

    def distance(format: Format) -> tuple[bool, int, int, str]:
        lacks, extra = missing(format, log), unknown(format, log)
        strange = len(extra) == len(log.header)
        differ = abs(len(format.columns) - len(log.header)) if strange else len(lacks) + len(extra)
        return strange, differ, len(lacks), format.name

    return min(candidates, key=distance)
