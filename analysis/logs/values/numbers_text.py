"""Numbers that a log writes as text: with marks between thousands, a decimal comma, or a unit of time.

Not here: stamps (`stamps`).
"""

from __future__ import annotations

import re

from .sql_text import literal
from .stamps import PER_SECOND

_BLANKS = "[ \u00a0\u202f'’_]"
"""Marks between thousands that are never marks of fractions."""
_CLOCK = r"(?:(\d+):)?(\d{1,2}):([0-5]\d(?:[.,]\d+)?)"
_UNITS = (
    ("hours|hour|hrs|hr|h", 1, 3600),
    ("minutes|minute|mins|min|m", 1, 60),
    ("seconds|second|secs|sec|s", 1, 1),
    ("milliseconds|millisecond|msecs|msec|ms", 10**3, 1),
    ("microseconds|microsecond|usec|us|µs|μs", 10**6, 1),
    ("nanoseconds|nanosecond|nsec|ns", 10**9, 1),
)
"""Names of units of time; how many make a second, and how many seconds they have."""


def number_sql(source: str, decimal: str, whole: bool, unit: str | None = None) -> str:
    """Write the DuckDB expression that reads a number from text.

    Parameters
    ----------
    source : str
        Expression of a VARCHAR.
    decimal : str
        Mark of fractions in the log: `.` or `,`.
    whole : bool
        The column counts something, so `1,234` has no fraction.
    unit : str, optional
        For a time: unit of a bare number (s, ms, us or ns). Text may have its own, as in `230ms` or
        `0:01:30`. The result is in seconds.

    Returns
    -------
    str
        DOUBLE; NULL of text that is not a number, or that may be two.
    """
    text = f"TRIM({source})"
    per_second = 1 if unit is None else PER_SECOND[unit]
    divided = "" if per_second == 1 else f" / {per_second}.0"
    whens = []
    for pattern, marks, fraction in _patterns(decimal, whole):
        digits = text if not marks else f"regexp_replace({text}, {literal(marks)}, '', 'g')"
        digits = digits if fraction == "." else f"REPLACE({digits}, '{fraction}', '.')"
        whens.append(
            f"WHEN regexp_full_match({text}, {literal(pattern)}) THEN TRY_CAST({digits} AS DOUBLE){divided}"
        )
    if unit is not None:
        whens += _sql_times(text, decimal)
    read = f"CASE {' '.join(whens)} END"
    return f"COALESCE(TRY_CAST({source} AS DOUBLE){divided}, {read})" if decimal == "." else read


def number_of(text: str, decimal: str = ".", whole: bool = False, unit: str | None = None) -> float | None:
    """Read a number from text as `number_sql` does.

    Parameters
    ----------
    text : str
    decimal, whole, unit
        As in `number_sql`.

    Returns
    -------
    float or None

    Examples
    --------
    >>> number_of("1,234", whole=True), number_of("1,234"), number_of("1,234,567.5")
    (1234.0, None, 1234567.5)
    >>> number_of("230ms", unit="s"), number_of("230", unit="ms"), number_of("0:01:30", unit="s")
    (0.23, 0.23, 90.0)
    """
    text = text.strip(" ")
    if decimal == "." and re.fullmatch(r"[+-]?(?:nan|inf|infinity)", text.lower()):
        return float(text)
    for pattern, marks, fraction in _patterns(decimal, whole):
        if re.fullmatch(pattern, text, re.ASCII):
            digits = re.sub(marks, "", text) if marks else text
            return float(digits.replace(fraction, ".")) / (1 if unit is None else PER_SECOND[unit])
    return None if unit is None else _seconds_of(text, decimal)


def _patterns(decimal: str, whole: bool) -> list[tuple[str, str, str]]:
    """Forms of numbers: a pattern, what it has between thousands, and its mark of fractions."""
    other = "," if decimal == "." else "."
    point, comma = re.escape(decimal), re.escape(other)
    exponent = r"(?:[eE][+-]?\d{1,3})?"
    forms = [
        (rf"[+-]?(?:\d+(?:{point}\d*)?|{point}\d+){exponent}", "", decimal),
        (rf"[+-]?\d{{1,3}}(?:{comma}\d{{3}})+{point}\d*", comma, decimal),
        (rf"[+-]?\d{{1,3}}(?:{comma}\d{{3}}){{2,}}", comma, decimal),
        (rf"[+-]?\d{{1,3}}(?:{_BLANKS}\d{{3}})+(?:{point}\d*)?", _BLANKS, decimal),
    ]
    if whole:
        forms.append((rf"[+-]?\d{{1,3}}{comma}\d{{3}}", comma, decimal))
        forms.append((rf"[+-]?\d{{1,3}}(?:{point}\d{{3}}){{2,}}", point, other))
    if decimal == ",":
        # A point that cannot stand before thousands.
        forms.append((r"[+-]?(?:\d*\.(?:\d{1,2}|\d{4,})|\d{4,}\.\d+|\d+\.\d+[eE][+-]?\d{1,3})", "", "."))
    return forms


def _duration(decimal: str) -> str:
    """Pattern of text like `1m30.5s`, `230 ms` or `PT1.5S`, with a group for each unit."""
    number = r"(\d+(?:\.\d+|,\d{1,2}|,\d{4,})?)" if decimal == "." else r"(\d+(?:,\d+|\.\d{1,2}|\.\d{4,})?)"
    return "(?:pt)?" + " ?".join(f"(?:{number} ?(?:{names}))?" for names, _, _ in _UNITS)


def _sql_times(text: str, decimal: str) -> list[str]:
    """Branches for text that has its own unit."""
    pattern = literal(f"(?i)^{_duration(decimal)}$")

    def value(whole: str, group: int) -> str:
        return f"COALESCE(TRY_CAST(REPLACE(regexp_extract({text}, {whole}, {group}), ',', '.') AS DOUBLE), 0)"

    terms = " + ".join(
        f"{value(pattern, i)} * {seconds} / {per_second}.0"
        for i, (_, per_second, seconds) in enumerate(_UNITS, start=1)
    )
    clock = literal(f"^{_CLOCK}$")
    hours, minutes, seconds = (value(clock, group) for group in (1, 2, 3))
    return [
        f"WHEN regexp_matches({text}, {pattern}) AND regexp_matches({text}, '\\d') THEN {terms}",
        f"WHEN regexp_matches({text}, {clock}) THEN {hours} * 3600 + {minutes} * 60 + {seconds}",
    ]


def _seconds_of(text: str, decimal: str) -> float | None:
    """Seconds of text that has its own unit."""
    match = re.fullmatch(_duration(decimal), text, re.ASCII | re.IGNORECASE)
    if match and re.search(r"\d", text):
        return sum(
            float((number or "0").replace(",", ".")) * seconds / per_second
            for number, (_, per_second, seconds) in zip(match.groups(), _UNITS, strict=True)
        )
    match = re.fullmatch(_CLOCK, text, re.ASCII)
    if match is None:
        return None
    hours, minutes, seconds_text = match.groups("0")
    return float(hours) * 3600 + float(minutes) * 60 + float(seconds_text.replace(",", "."))
