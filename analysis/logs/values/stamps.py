"""Stamps of a log in whatever form it writes them: dates of many kinds, numbers since 1970, bare numbers.

`stamp_form` judges the values at the head of a log; the `StampForm` that it returns writes the SQL that reads
the column, and reads single values in Python (`StampForm.read`), with the same result. Not here: what a trace
takes for midnight (`clock_and_streams`) and numbers other than stamps (`numbers_text`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from zoneinfo import ZoneInfo

from ...core.errors import InputError
from ...core.option_names import option
from .sql_text import literal

PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
"""Units of a number, and how many of them are a second."""
UNIT_NAMES = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}
UNIX_FROM_S, UNIX_TO_S = 978_307_200, 4_102_444_800
"""2001-01-01 and 2100-01-01: a number of seconds (or ms, µs, ns) in between counts from 1970."""
CLOSE_SHARE = Decimal("0.9")
"""Numbers from an unknown start do not all lie in the last tenth of the way."""
EPOCH_SPREAD_S = 20 * 365.25 * 86400
"""Numbers that count from 1970 lie closer together than that; others only fell into the range."""
FIRST_YEAR, LAST_YEAR = 1678, 2261
"""Years of which nanoseconds since 1970 fit 64 bits."""
EARLIEST_NS, LATEST_NS, YEAR_NS = -6 * 10**18, 75 * 10**17, 2 * 10**14
"""What a date of the year 0, or 2262, becomes, and by how much more one of the next year: far from all
others, and no difference overflows."""

DAYS_FROM, DAYS_TO, DAYS_SPREAD, DAY_DIGITS = 36_526, 54_789, 60, 4
"""Days of a spreadsheet, 2000 to 2050; of a log shorter than that, with parts of a day in so many digits."""
_DIGITS = r"(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?:[01]\d|2[0-3])(?:[0-5]\d){2}(?:\d{3})?"
"""A date and time without any mark, such as 20260302080000."""

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
ZONES = {
    **dict.fromkeys(("z", "utc", "gmt", "ut", "wet"), 0),
    **dict.fromkeys(("cet", "west"), 1),
    **dict.fromkeys(("cest", "eet"), 2),
    **dict.fromkeys(("eest", "msk"), 3),
    **{"jst": 9, "kst": 9, "est": -5, "edt": -4, "cdt": -5, "mst": -7, "mdt": -6, "pst": -8, "pdt": -7},
}
"""Hours east of Greenwich of the zone names that have one meaning. CST, IST and BST have several."""
UNCLEAR_ZONES = {
    "cst": "US Central or China",
    "ist": "India, Israel or Ireland",
    "bst": "Britain or Bangladesh",
}

_TIME = r"([01]?\d|2[0-3]):([0-5]\d)(?::([0-5]\d)(?:[.,](\d{1,9})\d*)?)?(?: ?([ap])\.?m\.?)?"
_TIME_PARTS = ("hour", "minute", "second", "fraction", "half")
_ZONE = (
    r"(?: ?(z|[a-z]{2,4}))?(?: ?([+-](?:0\d|1[0-4])(?::?[0-5]\d)?))?"
    r"( ?[(\[][a-z0-9_/+ -]+[)\]]| [a-z]{3,5})?(?: m=[+-][\d.]+)?"
)
_ZONE_PARTS = ("zone", "offset", "tail")


def _uncaptured(pattern: str) -> str:
    """A pattern whose groups are not captured."""
    return re.sub(r"(?<!\\)\((?!\?)", "(?:", pattern)


_CLOCK = f"({_uncaptured(_TIME)})({_uncaptured(_ZONE)})"
_WEEKDAY = r"(?:[a-z]{3,9},? )?"
_FORMS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    (
        "ymd",
        rf"(\d{{4}})[-/.](\d{{1,2}})[-/.](\d{{1,2}})(?:(?:[t_]|,? ){_CLOCK})?",
        ("y", "m", "d", "time", "zone"),
    ),
    (
        "compact",
        r"(\d{4})(\d{2})(\d{2})t((?:[01]\d|2[0-3])[0-5]\d[0-5]\d(?:[.,]\d+)?)" + f"({_uncaptured(_ZONE)})",
        ("y", "m", "d", "time", "zone"),
    ),
    (
        "compact day",
        rf"(\d{{4}})(\d{{2}})(\d{{2}}) {_CLOCK}",
        ("y", "m", "d", "time", "zone"),
    ),
    (
        "slashed",
        rf"(\d{{1,2}})[-/.](\d{{1,2}})[-/.](\d{{4}})(?:(?:[t_]|,? ){_CLOCK})?",
        ("d", "m", "y", "time", "zone"),
    ),
    (
        "day month",
        rf"{_WEEKDAY}(\d{{1,2}})[-/ ]([a-z]{{3,9}})[-/, ]+(\d{{4}}|\d{{2}})(?:(?:[:t_]|,? ){_CLOCK})?",
        ("d", "m", "y", "time", "zone"),
    ),
    (
        "month day",
        rf"{_WEEKDAY}([a-z]{{3,9}})\.? (\d{{1,2}}),? (\d{{4}})(?:,?(?: at| @)? {_CLOCK})?",
        ("m", "d", "y", "time", "zone"),
    ),
    ("ctime", rf"{_WEEKDAY}([a-z]{{3,9}}) (\d{{1,2}}) {_CLOCK} (\d{{4}})", ("m", "d", "time", "zone", "y")),
)
"""The forms of dates: name, pattern of the whole text without case, and what its groups are.

Few groups each: RE2 fills nine into a replacement.
"""

_PLAIN = r"\d{4}-\d\d-\d\d[T ](?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,9})?"
"""The commonest form, which DuckDB casts as it is."""
_PLAIN_ZONE = r"(?:Z|[+-](?:0\d|1[0-4]):[0-5]\d)"
_EVEN = r"\d{4}[-/]\d\d[-/]\d\d[T ](?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:[.,]\d{1,9})?"
"""Forms that DuckDB casts with other marks between their numbers."""
_EVEN_ZONE = r"(?: UTC| GMT| ?[+-](?:0\d|1[0-4])(?::?[0-5]\d)?)"
_QUICK = {
    "day month": (
        "%d/%b/%Y:%H:%M:%S %z",
        "[%d/%b/%Y:%H:%M:%S %z]",
        "%a, %d %b %Y %H:%M:%S %z",
        "%a, %d %b %Y %H:%M:%S GMT",
    ),
    "ctime": ("%a %b %d %H:%M:%S %Y",),
    "month first": ("%m/%d/%Y %H:%M:%S", "%m/%d/%Y %H:%M", "%m/%d/%Y %I:%M:%S %p", "%m/%d/%Y %I:%M %p"),
    "day first": (
        "%d/%m/%Y %H:%M:%S",
        "%d.%m.%Y %H:%M:%S",
        "%d-%m-%Y %H:%M:%S",
        "%d/%m/%Y %H:%M",
        "%d.%m.%Y %H:%M",
    ),
}
"""Forms that DuckDB reads forty times as fast by a form of strptime, by kind of date."""
_BLANKS = "[ \\t\\n\\r\u00a0\u202f]+"
_NO_OFFSET = 999_999
"""stands in the SQL for a date without an offset"""
_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?"
_WIDE_COMMA = r"\d{10,},\d+"
"""A number since 1970 with a comma is no number of thousands."""
_NOT_FINITE = {"nan", "inf", "+inf", "-inf", "infinity", "-infinity"}

_SUFFIXES = (
    ("ns", r"(?:_ns|[a-z]Ns|_?nano(?:s|seconds?|sec)?)$"),
    ("us", r"(?:_us|_µs|[a-z]Us|_?micro(?:s|seconds?|sec)?)$"),
    ("ms", r"(?:_ms|[a-z]Ms|_?milli(?:s|seconds?|sec)?|_?msecs?)$"),
    ("s", r"(?:_s|_secs?|_?seconds?)$"),
)


@dataclass(frozen=True)
class StampForm:
    """How a column of stamps is read."""

    clock: str
    """`instant` for dates and numbers since 1970, `number` for seconds of unknown start"""
    unit: str
    """of its bare numbers: s, ms, us or ns"""
    notes: tuple[str, ...] = ()
    """what was decided about it, in words"""
    fast: bool = False
    """Whether a cast of the column to its own type reads it, since it is typed or has plain seconds."""
    chosen: bool = True
    """Whether the user named the unit, or nothing else is possible; otherwise it may be in doubt."""
    seen: tuple[str, ...] = ()
    """forms of strptime that read some of the head's dates, tried before all others"""
    month_first: bool | None = None
    """Order of dates like 03/02/2026; None where the log has none, and such a value is not a time."""
    naive: bool = True
    """Whether dates without an offset are read: not among others that have one."""
    has_naive: bool = False
    """Whether the log's head has any of those."""
    zoned: bool = True
    """Whether dates with an offset and numbers since 1970 are read: not among others without one."""
    timezone: str | None = None
    """the zone of dates without an offset"""
    time_format: str | None = None
    """the form of dates in the codes of strptime, which replaces all others"""
    decimal: str = "."
    """mark of fractions in numbers"""

    def sql(self, source: str) -> str:
        """Write the DuckDB expression that reads the column.

        Parameters
        ----------
        source : str
            Expression of a VARCHAR. The connection's time zone has to be UTC.

        Returns
        -------
        str
            BIGINT nanoseconds since 1970 if `clock` is `instant`, else DOUBLE seconds; NULL of a value that
            is neither.
        """
        if self.clock == "number":
            text = f"REPLACE({source}, ',', '.')" if self.decimal == "," else source
            value = f"TRY_CAST({text} AS DOUBLE)"
            return value if self.unit == "s" else f"{value} / {PER_SECOND[self.unit]}.0"
        if self.time_format is not None:
            return self._sql_of_format(source)
        return self._sql_of_text(source)

    def _sql_of_text(self, text: str) -> str:
        """Nanoseconds of text: the commonest forms first, then those seen at the head, then all others."""
        number = _NUMBER if self.decimal == "." else _NUMBER.replace(r"\.", "[.,]")
        even = f"REPLACE(REPLACE({text}, ',', '.'), '/', '-')"
        even_zoned = f"REPLACE(REPLACE({even}, ' +', '+'), ' -', '-')"
        naive = self._sql_naive if self.naive else "NULL".format
        zoned = _sql_zoned if self.zoned else "NULL".format
        number_forms = f'[ "]*(?:{number}|{_WIDE_COMMA})[ "]*'
        branches = [
            (_PLAIN, naive(text)),
            (_PLAIN + _PLAIN_ZONE, zoned(text)),
            (number_forms, _sql_unix(text) if self.zoned else "NULL"),
            (_EVEN, naive(even)),
            (_EVEN + _EVEN_ZONE, zoned(even_zoned)),
        ]
        whens = [f"WHEN regexp_full_match({text}, {literal(pattern)}) THEN {ns}" for pattern, ns in branches]
        for form in self.seen:
            parsed = f"TRY_STRPTIME({text}, {literal(form)})"
            if "%z" in form:
                ns = f"epoch_us({parsed}) * 1000" if self.zoned else "NULL"
            elif "GMT" in form:
                ns = f"epoch_ns({parsed})" if self.zoned else "NULL"
            elif self.timezone is None:
                ns = f"epoch_ns({parsed})" if self.naive else "NULL"
            else:
                ns = f"epoch_us({_in_zone(parsed, self.timezone)}) * 1000"
            # It takes two digits for a year of the first century.
            whens.append(f"WHEN YEAR({parsed}) BETWEEN {FIRST_YEAR} AND {LAST_YEAR} THEN {ns}")
        return f"CASE {' '.join(whens)} ELSE {self._sql_of_parts(text)} END"

    def _sql_naive(self, text: str) -> str:
        """Nanoseconds of a date and time without an offset."""
        if self.timezone is None:
            return _saturated(f"epoch_ns(TRY_CAST({text} AS TIMESTAMP_NS))", text)
        local = _in_zone(f"TRY_CAST({text} AS TIMESTAMP)", self.timezone)
        return _saturated(_with_nanoseconds(local, text), text)

    def _sql_of_parts(self, text: str) -> str:
        """Nanoseconds of the other forms, by way of year, month, day and so on."""
        bare = f"TRIM({text}, ' \"')"
        flat = f"regexp_replace(regexp_replace({bare}, '{_BLANKS}', ' ', 'g'), '^\\[(.*)\\]$', '\\1')"
        whens = []
        for name, pattern, groups in _FORMS:
            if name == "slashed":
                if self.month_first is None:
                    continue
                groups = ("m", "d", *groups[2:]) if self.month_first else groups
            order = "|".join(f"\\{groups.index(part) + 1}" for part in ("y", "m", "d", "time", "zone"))
            whole = literal(f"(?i)^{pattern}$")
            whens.append(
                f"WHEN regexp_matches(flat, {whole}) THEN regexp_replace(flat, {whole}, {literal(order)})"
            )
        split = f"list_transform([{flat}], lambda flat: string_split(CASE {' '.join(whens)} END, '|'))[1]"
        spaced = "regexp_replace(part_[4], '^(..)(..)(..)', '\\1:\\2:\\3')"
        clock = f"CASE WHEN part_[4] LIKE '%:%' THEN part_[4] ELSE {spaced} END"
        time = f"regexp_extract({clock}, {literal(f'(?i)^{_TIME}$')}, {list(_TIME_PARTS)})"
        zone = f"regexp_extract(part_[5], {literal(f'(?i)^{_ZONE}$')}, {list(_ZONE_PARTS)})"
        taken = f"{{'y': part_[1], 'm': part_[2], 'd': part_[3], 't': {time}, 'z': {zone}}}"
        months = "[" + ", ".join(literal(m) for m in MONTHS) + "]"
        hour = (
            "CASE WHEN p_.t.half = '' THEN p_.t.hour "
            "WHEN CAST(p_.t.hour AS INTEGER) NOT BETWEEN 1 AND 12 THEN '99' ELSE "
            "CAST(CAST(p_.t.hour AS INTEGER) % 12 + CASE WHEN LOWER(p_.t.half) = 'p' THEN 12 ELSE 0 END "
            "AS VARCHAR) END"
        )
        local = " || ".join(
            (
                "CASE WHEN LENGTH(p_.y) = 4 THEN p_.y "
                "WHEN p_.y < '50' THEN '20' || p_.y ELSE '19' || p_.y END",
                "'-'",
                "LPAD(CASE WHEN p_.m[1] BETWEEN '0' AND '9' THEN p_.m ELSE "
                f"CAST(COALESCE(list_position({months}, LOWER(p_.m[1:3])), 0) AS VARCHAR) END, 2, '0')",
                "'-'",
                "LPAD(p_.d, 2, '0')",
                "' '",
                f"LPAD({hour}, 2, '0')",
                "':'",
                "LPAD(p_.t.minute, 2, '0')",
                "':'",
                "LPAD(p_.t.second, 2, '0')",
                "'.'",
                "RPAD(p_.t.fraction, 9, '0')",
            )
        )
        digits = "REPLACE(p_.z.\"offset\"[2:], ':', '')"
        names = " ".join(f"WHEN {literal(name)} THEN {hours * 3600}" for name, hours in ZONES.items())
        offset_s = (
            "CASE WHEN p_.z.\"offset\" <> '' THEN CASE WHEN LOWER(p_.z.zone) IN ('', 'utc', 'gmt', 'ut') "
            "THEN CASE WHEN p_.z.\"offset\"[1] = '-' THEN -1 ELSE 1 END * "
            f"(CAST({digits}[1:2] AS BIGINT) * 3600 + "
            f"COALESCE(TRY_CAST({digits}[3:4] AS BIGINT), 0) * 60) END "
            "ELSE CASE LOWER(p_.z.zone) "
            f"WHEN '' THEN CASE WHEN p_.z.tail = '' THEN {_NO_OFFSET} END {names} END END"
        )
        made = f"{{'local': {local}, 'offset_s': {offset_s}}}"
        naive = self._sql_naive("q_.local") if self.naive else "NULL"
        ns = "epoch_ns(TRY_CAST(q_.local AS TIMESTAMP_NS)) - q_.offset_s * 1000000000"
        zoned = _saturated(ns, "q_.local") if self.zoned else "NULL"
        chosen = (
            f"CASE WHEN q_.offset_s = {_NO_OFFSET} THEN {naive} WHEN q_.offset_s IS NOT NULL THEN {zoned} END"
        )
        steps = f"list_transform(list_transform([{split}], lambda part_: {taken}), lambda p_: {made})"
        return f"list_transform({steps}, lambda q_: {chosen})[1]"

    def _sql_of_format(self, source: str) -> str:
        """Nanoseconds by the form that the user gave."""
        form = self.time_format or ""
        parsed = f"TRY_STRPTIME(TRIM({source}), {literal(form)})"
        if "%z" in form.lower():
            return f"epoch_us({parsed}) * 1000"
        if self.timezone is not None:
            return f"epoch_us({_in_zone(f'CAST({parsed} AS TIMESTAMP)', self.timezone)}) * 1000"
        return f"epoch_ns(TRY_CAST({parsed} AS TIMESTAMP_NS))"

    def read(self, value: object) -> int | float | None:
        """Read one value as the SQL does.

        Parameters
        ----------
        value : object
            As the log has it: text, a number, a date.

        Returns
        -------
        int, float or None
            Nanoseconds since 1970 if `clock` is `instant`, else seconds.
        """
        text = text_of(value)
        if text is None:
            return None
        if self.clock == "number":
            try:
                return float(text.replace(",", ".") if self.decimal == "," else text) / PER_SECOND[self.unit]
            except ValueError:
                return None
        if self.time_format is not None:
            return self._read_by_format(text)
        text = text.strip(' "')
        number = number_in(text, self.decimal)
        if number is not None:
            return unix_ns(number) if self.zoned else None
        parts = date_in(text)
        if parts is None or (parts.form == "slashed" and self.month_first is None):
            return None
        local = parts.local(bool(self.month_first))
        if local is None:
            return None
        if parts.offset_s is not None:
            return _in_range(local, parts.nanoseconds, parts.offset_s) if self.zoned else None
        return self._naive_ns(local, parts.nanoseconds) if self.naive else None

    def _naive_ns(self, local: datetime, nanoseconds: int) -> int | None:
        if self.timezone is None or not FIRST_YEAR <= local.year <= LAST_YEAR:
            return _in_range(local, nanoseconds, 0)
        zone = ZoneInfo(self.timezone)
        # A time that the clock shows twice is the second; one that it leaves out is no time.
        offset = min(local.replace(tzinfo=zone, fold=fold).utcoffset() or timedelta(0) for fold in (0, 1))
        if (local - offset).replace(tzinfo=UTC).astimezone(zone).replace(tzinfo=None) != local:
            return None
        return _in_range(local, nanoseconds, round(offset.total_seconds()))

    def _read_by_format(self, text: str) -> int | None:
        try:
            parsed = datetime.strptime(text.strip(), self.time_format or "")
        except ValueError:
            return None
        if parsed.tzinfo is not None:
            parsed = parsed.astimezone(UTC).replace(tzinfo=None)
            return _in_range(parsed, 0, 0)
        return self._naive_ns(parsed, 0)


@dataclass(frozen=True)
class DateParts:
    """A date as text has it, taken apart."""

    form: str
    """one of the forms of dates, such as `slashed`"""
    year: int
    first: int
    """the month; of a date with slashes the first number of two"""
    second: int
    """the day; of a date with slashes the second number of two"""
    time: tuple[int, int, int] | None
    nanoseconds: int
    """the fraction of the second"""
    offset_s: int | None
    """east of Greenwich; None where the text has none"""

    def local(self, month_first: bool) -> datetime | None:
        """Date and time on the text's own clock, whole seconds; None if there is no such day."""
        month, day = self.first, self.second
        if self.form == "slashed" and not month_first:
            month, day = day, month
        try:
            return datetime(self.year, month, day, *(self.time or (0, 0, 0)))
        except ValueError:
            return None


def text_of(value: object) -> str | None:
    """The text that DuckDB's cast to VARCHAR gives of a value; None of NULL and of what is no stamp."""
    if value is None or isinstance(value, bool | dict | list):
        return None
    if isinstance(value, datetime):
        return str(value)
    return str(value)


def number_in(text: str, decimal: str = ".") -> Decimal | None:
    """The number that a text is, or None.

    Parameters
    ----------
    text : str
    decimal : str
        Mark of fractions: `.`, or `,` beside it.
    """
    pattern = _NUMBER if decimal == "." else _NUMBER.replace(r"\.", "[.,]")
    if not re.fullmatch(f"(?:{pattern}|{_WIDE_COMMA})", text, re.ASCII):
        return None
    try:
        return Decimal(text.replace(",", "."))
    except InvalidOperation:
        return None


def unix_unit(number: Decimal | float) -> str | None:
    """The unit in which a number counts from 1970, by its size; None if in none.

    Examples
    --------
    >>> unix_unit(1772438400), unix_unit(1772438400451), unix_unit(1740)
    ('s', 'ms', None)
    """
    for unit, scale in PER_SECOND.items():
        if UNIX_FROM_S * scale <= number < UNIX_TO_S * scale:
            return unit
    return None


def unix_ns(number: Decimal) -> int | None:
    """Nanoseconds since 1970 of a number by its size; 0 stays 0, other small numbers are no stamps."""
    if number == 0:
        return 0
    unit = unix_unit(number)
    if unit is None:
        return None
    scale = 10**9 // PER_SECOND[unit]
    step = Decimal(1).scaleb(-9 + (len(str(PER_SECOND[unit])) - 1))
    return int(number.quantize(step, ROUND_HALF_UP) * scale)


def date_in(text: str) -> DateParts | None:
    """Take a date and time apart; None of text that is in none of the known forms.

    Examples
    --------
    >>> date_in("02/Mar/2026:08:00:00 +0100").offset_s
    3600
    """
    flat = re.sub(r"^\[(.*)\]$", r"\1", re.sub(_BLANKS, " ", text))
    for name, pattern, groups in _FORMS:
        match = re.fullmatch(pattern, flat, re.ASCII | re.IGNORECASE)
        if match is not None:
            return _parts_of(name, dict(zip(groups, match.groups(""), strict=True)))
    return None


def _parts_of(form: str, found: dict[str, str]) -> DateParts | None:
    year = found["y"]
    if len(year) == 2:
        year = ("20" if year < "50" else "19") + year
    month = found["m"].lower()
    if not month.isdigit():
        if month[:3] not in MONTHS:
            return None
        month = str(MONTHS.index(month[:3]) + 1)
    zone, offset, tail = _groups(_ZONE, found["zone"].lower())
    offset_s: int | None = None
    if offset:
        if zone not in ("", "utc", "gmt", "ut"):
            return None
        digits = offset[1:].replace(":", "")
        offset_s = (int(digits[:2]) * 3600 + int(digits[2:] or 0) * 60) * (-1 if offset[0] == "-" else 1)
    elif zone:
        if zone not in ZONES:
            return None
        offset_s = ZONES[zone] * 3600
    elif tail:
        return None
    time: tuple[int, int, int] | None = None
    fraction = ""
    if found["time"]:
        clock = found["time"]
        clock = clock if ":" in clock else re.sub(r"^(..)(..)(..)", r"\1:\2:\3", clock)
        hour_text, minute, second_text, fraction, half = _groups(_TIME, clock.lower())
        hour = int(hour_text)
        if half:
            if not 1 <= hour <= 12:
                return None
            hour = hour % 12 + (12 if half == "p" else 0)
        time = hour, int(minute), int(second_text or 0)
    first, second = (found["d"], month) if form == "slashed" else (month, found["d"])
    nanoseconds = int(fraction.ljust(9, "0"))
    return DateParts(form, int(year), int(first), int(second), time, nanoseconds, offset_s)


def _groups(pattern: str, text: str) -> tuple[str, ...]:
    """The groups of text that a pattern is known to match."""
    match = re.fullmatch(pattern, text, re.ASCII | re.IGNORECASE)
    assert match is not None
    return match.groups("")


def stamp_form(
    values: Sequence[object],
    unit: str | None,
    column: str,
    time_format: str | None = None,
    decimal: str = ".",
    *,
    timezone: str | None = None,
    chosen: bool | None = None,
) -> StampForm:
    """Judge how a column writes its stamps, by all values at the head of the log.

    Parameters
    ----------
    values : sequence
        The head's values as the log has them: text, numbers, dates, None.
    unit : str or None
        Unit of bare numbers (s, ms, us or ns), where the format or the user names it.
    column : str
        The column's name, for messages; its ending may tell the unit.
    time_format : str, optional
        The form in the codes of strptime, which replaces all others.
    decimal : str
        Mark of fractions in the log's numbers.
    timezone : str, optional
        Name of the zone of dates without an offset.
    chosen : bool, optional
        Whether the user named the unit, so that it is believed; by default if there is one.

    Returns
    -------
    StampForm

    Raises
    ------
    InputError
        If the values have several readings, or none.

    Examples
    --------
    >>> stamp_form(["1772438400451"], None, "ts").notes
    ('ts: milliseconds since 1970',)
    """
    values = [value for value in values if text_of(value) not in (None, "")]
    if time_format is not None:
        return _by_format(values, column, time_format, timezone)
    texts = [(text_of(value) or "").strip(' "') for value in values]
    numbers = [number for text in texts if (number := number_in(text, decimal)) is not None]
    dates = [
        parts for text in texts if (parts := date_in(text)) is not None and number_in(text, decimal) is None
    ]
    suffix = _unit_of_name(column)
    own_unit = unit or suffix or "s"
    chosen = (unit is not None) if chosen is None else chosen
    if numbers and not dates and not chosen and suffix is None:
        if all(re.fullmatch(_DIGITS, text) for text in texts):
            return _by_format(values, column, "%Y%m%d%H%M%S" + "%f" * (len(texts[0]) > 14), timezone)
        _refuse_days(column, numbers)
    if not dates and not numbers:
        if values and not any(text.lower() in _NOT_FINITE for text in texts):
            raise _no_form(column, texts)
        return StampForm("number", own_unit, fast=own_unit == "s" and decimal == ".", decimal=decimal)
    epochs = _epochs(numbers, own_unit if chosen else None, suffix)
    others = [number for number in numbers if number != 0 and unix_unit(number) is None]
    if len(dates) + len(epochs) < len(others) or not (dates or epochs):
        notes = (f"{column}: {UNIT_NAMES[own_unit]}, as its name says",) if unit is None and suffix else ()
        fast = own_unit == "s" and decimal == "."
        return StampForm("number", own_unit, notes, fast, chosen or bool(suffix), decimal=decimal)
    return _dated(column, values, dates, epochs, own_unit, timezone, decimal)


def _refuse_days(column: str, numbers: Sequence[Decimal]) -> None:
    """Raise InputError where numbers may be days since 1900, as a spreadsheet writes dates."""
    low, high = min(numbers), max(numbers)
    in_range = low >= DAYS_FROM and high < DAYS_TO and high - low < DAYS_SPREAD
    if not in_range or all(number == round(number, DAY_DIGITS - 1) for number in numbers):
        return
    day = date(1899, 12, 30) + timedelta(days=int(low))
    raise _column_error(
        column,
        f"{low} is a day of a spreadsheet ({day}) or a number of seconds",
        f"write the column as dates and times, or give {option('columns', f'arrival_s={column},…')}",
    )


def _dated(
    column: str,
    values: Sequence[object],
    dates: Sequence[DateParts],
    epochs: Sequence[Decimal],
    unit: str,
    timezone: str | None,
    decimal: str,
) -> StampForm:
    """The form of a column that holds dates, numbers since 1970 or both."""
    month_first = _month_first(column, [parts for parts in dates if parts.form == "slashed"])
    if not epochs and all(parts.time is None for parts in dates):
        raise _column_error(
            column,
            "days without a time: these rows are totals per day, not requests",
            "burstlens needs a row per request with its time",
        )
    naive = [parts for parts in dates if parts.offset_s is None]
    if naive and timezone is None and (len(naive) < len(dates) or epochs):
        raise _column_error(
            column,
            "some dates have an offset from UTC and others have none",
            f"name the zone of those without, as in {option('timezone', 'Europe/Berlin')}",
        )
    units = sorted({unix_unit(number) or "s" for number in epochs}, key=list(PER_SECOND).index)
    notes = []
    if epochs:
        kinds = " and ".join(UNIT_NAMES[each] for each in units) + " since 1970"
        notes.append(f"{column}: " + (f"dates, and {kinds}" if dates else kinds))
    if month_first is not None:
        notes.append(f"{column}: dates are {'month/day/year' if month_first else 'day/month/year'}")
    return StampForm(
        clock="instant",
        unit=unit,
        notes=tuple(notes),
        fast=timezone is None and all(isinstance(value, datetime) and not value.tzinfo for value in values),
        seen=_seen_forms(values, month_first),
        month_first=month_first,
        naive=bool(naive) or timezone is not None,
        has_naive=bool(naive),
        zoned=not naive or timezone is not None,
        timezone=timezone,
        decimal=decimal,
    )


def _seen_forms(values: Sequence[object], month_first: bool | None) -> tuple[str, ...]:
    """The quick forms that read some value, the one that reads most first."""
    kinds = ["day month", "ctime"] + (
        [] if month_first is None else ["month first" if month_first else "day first"]
    )
    times: dict[str, int] = {}
    for form in (form for kind in kinds for form in _QUICK[kind]):
        for value in values:
            try:
                datetime.strptime(text_of(value) or "", form)
            except ValueError:
                continue
            times[form] = times.get(form, 0) + 1
    return tuple(sorted(times, key=lambda form: -times[form]))


def _by_format(values: Sequence[object], column: str, time_format: str, timezone: str | None) -> StampForm:
    has_naive = "%z" not in time_format.lower()
    form = StampForm("instant", "s", has_naive=has_naive, time_format=time_format, timezone=timezone)
    try:
        datetime.now().strftime(time_format)
        readable = [value for value in values if form.read(value) is not None]
    except (ValueError, re.error) as fault:
        raise InputError.of_option(
            "time_format", f"not a form of strptime: {fault}", value=time_format
        ) from fault
    if values and not readable:
        shown = text_of(values[0])
        raise InputError.of_option(
            "time_format", f"no value of {column!r} has this form, such as {shown!r}", value=time_format
        )
    return form


def _epochs(numbers: Sequence[Decimal], unit: str | None, suffix: str | None = None) -> list[Decimal]:
    """The numbers that count from 1970; none if most are too small, or too far apart for that.

    A unit that the user gives counts from 1970 or not at all. One that the column's name gives does so unless
    the numbers lie close together in another unit: nginx's `msec` is seconds since 1970.
    """
    epochs = [number for number in numbers if unix_unit(number) is not None]
    if 2 * len(epochs) < len([number for number in numbers if number != 0]) or not epochs:
        return []
    seconds = sorted(float(number) / PER_SECOND[unix_unit(number) or "s"] for number in epochs)
    a, b = seconds[len(seconds) // 10], seconds[-1 - len(seconds) // 10]
    named = unit or suffix
    if named is not None and not any(unix_unit(number) == named for number in epochs):
        is_close = len(epochs) > 2 and min(epochs) > CLOSE_SHARE * max(epochs)
        return epochs if unit is None and is_close else []
    return epochs if b - a <= EPOCH_SPREAD_S else []


def _month_first(column: str, slashed: Sequence[DateParts]) -> bool | None:
    """Whether dates like 03/02/2026 begin with the month; raises InputError where that is in doubt."""
    if not slashed:
        return None
    day_first = any(parts.first > 12 and parts.second <= 12 for parts in slashed)
    month_first = any(parts.second > 12 and parts.first <= 12 for parts in slashed)
    if day_first != month_first:
        return month_first
    example = slashed[0]
    shown = f"{example.first:02d}/{example.second:02d}/{example.year:04d}"
    if day_first:
        raise _column_error(
            column,
            "dates begin with the day in some rows and with the month in others",
            f"give their form, as in {option('time_format', '%d/%m/%Y %H:%M:%S')}",
        )
    a = f"{example.year:04d}-{example.second:02d}-{example.first:02d}"
    b = f"{example.year:04d}-{example.first:02d}-{example.second:02d}"
    raise _column_error(
        column,
        f"{shown} is {a} (day first) or {b} (month first)",
        f"say which, as in {option('time_format', '%d/%m/%Y %H:%M:%S')} "
        f"or {option('time_format', '%m/%d/%Y %H:%M:%S')}",
    )


def _no_form(column: str, texts: Sequence[str]) -> InputError:
    for text in texts[:50]:
        words = re.findall(r"[a-z]{3,4}", text.lower())
        for word in words:
            if word in UNCLEAR_ZONES and re.search(r"\d:\d\d", text):
                return _column_error(
                    column,
                    f"{word.upper()} in {text[:40]!r} is {UNCLEAR_ZONES[word]}",
                    "write the offset from UTC, such as +0800",
                )
    return _column_error(
        column,
        f"{texts[0][:40]!r} is not a time in a known form",
        f"give its form, as in {option('time_format', '%d/%m/%Y %H:%M:%S')}",
    )


def _column_error(column: str, problem: str, remedy: str) -> InputError:
    error = InputError(f"column {column!r}: {problem}; {remedy}")
    error.problem, error.column, error.remedy = problem, column, remedy
    return error


def _unit_of_name(column: str) -> str | None:
    """The unit that the end of a column's name tells."""
    last = re.split(r"[.\]\[]", column.rstrip("]"))[-1]
    for unit, pattern in _SUFFIXES:
        if re.search(pattern, last) or (unit != "s" and re.search(pattern, last.lower())):
            return unit
    return None


def _in_range(local: datetime, nanoseconds: int, offset_s: int) -> int:
    """Nanoseconds since 1970, or what stands for a date that has none in 64 bits."""
    if not FIRST_YEAR <= local.year <= LAST_YEAR:
        return EARLIEST_NS + local.year * YEAR_NS if local.year < 1970 else _late_ns(local.year)
    days = (local.date() - date(1970, 1, 1)).days
    seconds = days * 86400 + local.hour * 3600 + local.minute * 60 + local.second - offset_s
    return seconds * 10**9 + local.microsecond * 1000 + nanoseconds


def _late_ns(year: int) -> int:
    return LATEST_NS + (year - LAST_YEAR - 1) * YEAR_NS


def year_of(unix_s: float) -> int:
    """The year of a stamp, also of one outside the range of nanoseconds.

    Examples
    --------
    >>> form = stamp_form(["2026-03-02T08:00:00Z"], None, "ts")
    >>> [year_of(form.read(text) / 1e9) for text in ("0001-01-01T00:00:00Z", "2026-03-02T08:00:00Z")]
    [1, 2026]
    """
    ns = unix_s * 1e9
    if ns < EARLIEST_NS + FIRST_YEAR * YEAR_NS:
        return max(0, round((ns - EARLIEST_NS) / YEAR_NS))
    if ns >= LATEST_NS - YEAR_NS / 2:
        return LAST_YEAR + 1 + round((ns - LATEST_NS) / YEAR_NS)
    return (datetime(1970, 1, 1) + timedelta(seconds=unix_s)).year


def _saturated(ns: str, text: str) -> str:
    """The expression for years that nanoseconds in 64 bits hold, and what stands for a date of another."""
    year = f"CAST({text}[1:4] AS BIGINT)"
    early, late = f"{EARLIEST_NS} + {year} * {YEAR_NS}", f"{_late_ns(0)} + {year} * {YEAR_NS}"
    far = f"WHEN {text} < '1970' THEN {early} ELSE {late} END"
    other = f"CASE WHEN TRY_CAST({text} AS TIMESTAMP) IS NULL THEN NULL {far}"
    return f"CASE WHEN {text}[1:4] BETWEEN '{FIRST_YEAR}' AND '{LAST_YEAR}' THEN {ns} ELSE {other} END"


def _in_zone(local: str, timezone: str) -> str:
    """The TIMESTAMPTZ at which a zone's clock shows a TIMESTAMP; NULL of a time that the clock leaves out."""
    instant = f"timezone({literal(timezone)}, {local})"
    return f"CASE WHEN timezone({literal(timezone)}, {instant}) = {local} THEN {instant} END"


def _sql_zoned(text: str) -> str:
    """Nanoseconds of a date and time with its offset, in a form that DuckDB casts."""
    return _saturated(_with_nanoseconds(f"TRY_CAST({text} AS TIMESTAMPTZ)", text), text)


def _with_nanoseconds(instant: str, text: str) -> str:
    """A TIMESTAMPTZ, which has microseconds, as nanoseconds with the last digits of its text."""
    return f"epoch_us({instant}) * 1000 + (epoch_ns(TRY_CAST({text} AS TIMESTAMP_NS)) % 1000 + 1000) % 1000"


def _sql_unix(text: str) -> str:
    """Nanoseconds of a number by its size, exact to the last digit of its text."""
    number = f"REPLACE(TRIM({text}, ' \"'), ',', '.')"
    size = f"TRY_CAST({number} AS DOUBLE)"
    whens = [f"WHEN {size} = 0 THEN 0"]
    for scale in PER_SECOND.values():
        digits = 9 - (len(str(scale)) - 1)
        exact = f"TRY_CAST({number} AS DECIMAL(28, {digits})) * {10**digits}"
        whens.append(
            f"WHEN {size} >= {UNIX_FROM_S * scale} AND {size} < {UNIX_TO_S * scale} "
            f"THEN CAST({exact} AS BIGINT)"
        )
    return f"CASE {' '.join(whens)} END"
