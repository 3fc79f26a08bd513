"""Stamps in any form: known instants, the SQL against Python's own dates, refusals of what is unclear."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burstlens.analysis.core.errors import InputError
from burstlens.analysis.logs.values.stamps import StampForm, stamp_form, year_of

EIGHT = 1_772_438_400 * 10**9
"""2026-03-02 08:00:00 UTC"""


@pytest.fixture(scope="module")
def connection() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def read(connection: duckdb.DuckDBPyConnection, form: StampForm, values: Sequence[object]) -> list[Any]:
    """The values by the SQL of the form, which the form's own `read` has to agree with."""
    texts = [None if value is None else str(value) for value in values]
    rows = connection.execute(
        f"SELECT {form.sql('stamp')} FROM (SELECT UNNEST($texts) AS stamp)", {"texts": texts}
    ).fetchall()
    results = [row[0] for row in rows]
    assert [form.read(value) for value in values] == results
    return results


@pytest.mark.parametrize(
    ("text", "after_ns"),
    [
        ("2026-03-02T08:00:00Z", 0),
        ("2026-03-02T10:00:00+02:00", 0),
        ("2026-03-02T10:00:00+0200", 0),
        ("2026-03-02 10:00:00 +02", 0),
        ("2026-03-02 08:00:00 UTC", 0),
        ("2026-03-02T03:30:00.5-04:30", 500_000_000),
        ("2026-03-02 08:00:00,25Z", 250_000_000),
        ("2026-03-02T08:00:00.123456789Z", 123_456_789),
        ("2026-03-02T08:00:00.4447630Z", 444_763_000),
        ("2026/03/02 08:00:00 UTC", 0),
        ("20260302T080000Z", 0),
        ("2026-03-02T09:00:00+01:00[Europe/Berlin]", 0),
        ("2026-03-02 09:00:00.5 +0100 CET m=+0.25", 500_000_000),
        ("02/Mar/2026:08:00:00 +0000", 0),
        ("[02/Mar/2026:09:00:00 +0100]", 0),
        ("Mon, 02 Mar 2026 08:00:00 GMT", 0),
        ("Mon, 2 Mar 2026 03:00:00 -0500 (EST)", 0),
        ("Monday, 02-Mar-26 08:00:00 GMT", 0),
        ("Mon Mar  2 08:00:00 UTC 2026", 0),
        ("Mon Mar 02 2026 09:00:00 GMT+0100 (Central European Standard Time)", 0),
        ("Mar 2, 2026, 8:00:00 AM UTC", 0),
        ("1772438400", 0),
        ("1772438400.25", 250_000_000),
        ("1772438400,25", 250_000_000),
        ("1.7724384E9", 0),
        ("1772438400123", 123_000_000),
        ("1772438400123.5", 123_500_000),
        ("1772438400123456", 123_456_000),
        ("1772438400123456789", 123_456_789),
        (1772438400, 0),
        (1772438400.25, 250_000_000),
        (" 1772438400 ", 0),
        (datetime(2026, 3, 2, 8, tzinfo=UTC), 0),
        (datetime(2026, 3, 2, 9, 0, 0, 5000, tzinfo=timezone(timedelta(hours=1))), 5_000_000),
    ],
)
def test_a_stamp_with_an_offset_is_an_instant(
    connection: duckdb.DuckDBPyConnection, text: object, after_ns: int
) -> None:
    form = stamp_form([text], None, "ts")
    assert form.clock == "instant"
    assert read(connection, form, [text]) == [EIGHT + after_ns]


@pytest.mark.parametrize(
    "text",
    [
        "2026-03-02 08:00:00",
        "2026-03-02T08:00:00,000",
        "2026/03/02 08:00:00",
        "2026-3-2 8:00",
        "Mon Mar  2 08:00:00 2026",
        "[Mon Mar 02 08:00:00.000000 2026]",
        "2 Mar 2026 08:00:00",
        datetime(2026, 3, 2, 8),
    ],
)
def test_a_date_without_an_offset_is_on_the_logs_own_clock_or_in_the_zone_given(
    connection: duckdb.DuckDBPyConnection, text: object
) -> None:
    assert read(connection, stamp_form([text], None, "ts"), [text]) == [EIGHT]
    berlin = stamp_form([text], None, "ts", timezone="Europe/Berlin")
    assert read(connection, berlin, [text]) == [EIGHT - 3600 * 10**9]


@pytest.mark.parametrize(
    ("texts", "right"),
    [
        (["03/02/2026 08:00:00", "03/13/2026 08:00:00"], EIGHT),
        (["3/2/2026 8:00:00 AM", "3/31/2026 8:00:00 AM"], EIGHT),
        (["02.03.2026 08:00", "13.03.2026 08:00"], EIGHT),
        (["02/03/2026 8:00:00.000", "31/03/2026 8:00:00.000"], EIGHT),
        (["02-03-2026 08:00:00", "13-03-2026 08:00:00"], EIGHT),
        (["3/2/2026 12:30 AM", "3/31/2026 12:30 PM"], EIGHT - int(7.5 * 3600) * 10**9),
    ],
)
def test_a_day_above_12_gives_the_order_of_day_and_month(
    connection: duckdb.DuckDBPyConnection, texts: list[str], right: int
) -> None:
    assert read(connection, stamp_form(texts, None, "ts"), texts)[0] == right


def test_an_unclear_order_of_day_and_month_is_refused_with_both_readings(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    texts = ["03/02/2026 08:00:00", "04/02/2026 08:00:00"]
    with pytest.raises(
        InputError, match=r"2026-02-03 \(day first\) or 2026-03-02 \(month first\).*time_format"
    ):
        stamp_form(texts, None, "ts")
    with pytest.raises(InputError, match="day in some rows and with the month in others"):
        stamp_form(["13/02/2026 08:00:00", "02/13/2026 08:00:00"], None, "ts")
    form = stamp_form(texts, None, "ts", "%m/%d/%Y %H:%M:%S")
    assert read(connection, form, texts) == [EIGHT, EIGHT + 31 * 86400 * 10**9]
    # A date of the other order is a reject, never turned round.
    form = stamp_form(["03/13/2026 08:00:00"], None, "ts")
    assert read(connection, form, ["13/03/2026 08:00:00"]) == [None]


def test_a_form_that_no_value_has_is_refused() -> None:
    with pytest.raises(InputError, match=r"no value of 'ts' has this form, such as '02.03.2026'"):
        stamp_form(["02.03.2026"], None, "ts", "%Y-%m-%d")
    with pytest.raises(InputError, match=r"'soon' is not a time in a known form.*time_format"):
        stamp_form(["soon", "later"], None, "ts")
    with pytest.raises(InputError, match=r"CST .* is US Central or China"):
        stamp_form(["Mon Mar  2 08:00:00 CST 2026"], None, "ts")


def test_units_since_1970_are_told_by_size_row_by_row(connection: duckdb.DuckDBPyConnection) -> None:
    values: list[object] = ["1772438400", "1772438460000", 1772438520.0, "2026-03-02T08:03:00Z"]
    form = stamp_form(values, None, "ts")
    assert form.notes == ("ts: dates, and seconds and milliseconds since 1970",)
    assert read(connection, form, values) == [EIGHT + i * 60 * 10**9 for i in range(4)]


def test_a_value_of_the_wrong_kind_is_no_time(connection: duckdb.DuckDBPyConnection) -> None:
    form = stamp_form([None, "", "2026-03-02T08:00:00Z", "1772438400"], None, "ts")
    values = ["5", "-1", "1e30", "nan", "", "soon", None, "2026-02-30 08:00:00Z", "2026-03-02T25:00:00Z"]
    assert read(connection, form, values) == [None] * len(values)
    # An empty time of Go and zeros are far from every other stamp.
    far = read(connection, form, ["0", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"])
    assert [year_of(ns / 1e9) for ns in far] == [1970, 1, 9999]


def test_dates_with_and_without_an_offset_need_the_zone(connection: duckdb.DuckDBPyConnection) -> None:
    values = ["2026-03-02 09:00:00", "2026-03-02T08:00:00Z", "1772438400"]
    with pytest.raises(
        InputError, match=r"some dates have an offset from UTC and others have none.*timezone"
    ):
        stamp_form(values, None, "ts")
    form = stamp_form(values, None, "ts", timezone="Europe/Berlin")
    assert read(connection, form, values) == [EIGHT] * 3
    # Rows after the head cannot be placed either.
    assert read(connection, stamp_form(values[1:], None, "ts"), values[:1]) == [None]
    assert read(connection, stamp_form(values[:1], None, "ts"), values[1:]) == [None, None]


def test_days_without_a_time_are_totals() -> None:
    with pytest.raises(InputError, match="totals per day, not requests"):
        stamp_form(["2026-03-01", "2026-03-02"], None, "date")


@pytest.mark.parametrize(
    ("unit", "column", "value", "seconds"),
    [
        (None, "t", "1.5", 1.5),
        ("s", "t", 90, 90.0),
        ("ms", "t", "1500.5", 1.5005),
        ("ns", "t", 1_500_000_001, 1.500000001),
        (None, "arrival_time_ns", 1_500_000_000, 1.5),
        (None, "sentMillis", 1500, 1.5),
        (None, "span.startNano", 1_500_000_000, 1.5),
        (None, "t_us", 1_500_000, 1.5),
        (None, "offset_s", 1.5, 1.5),
    ],
)
def test_bare_numbers_have_the_unit_given_or_that_of_the_name(
    connection: duckdb.DuckDBPyConnection, unit: str | None, column: str, value: object, seconds: float
) -> None:
    form = stamp_form([value], unit, column)
    assert form.clock == "number"
    assert read(connection, form, [value]) == [seconds]
    assert bool(form.notes) == (unit is None and column != "t")


def test_a_short_count_of_nanoseconds_is_not_unix_time() -> None:
    values = [i * 20_000_000 for i in range(200)]
    assert stamp_form(values, "ns", "t").clock == "number"


def test_the_first_row_decides_nothing(connection: duckdb.DuckDBPyConnection) -> None:
    values = [None, "0", "2026-03-02T08:00:00Z", "2026-03-02T08:01:00Z"]
    assert stamp_form(values, None, "ts").clock == "instant"
    assert stamp_form(["2026-03-02 08:00:00", 1, 2, 3, 4], None, "ts").clock == "number"


def test_an_hour_that_the_clock_repeats_and_one_that_it_leaves_out(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    form = stamp_form(["2026-10-25 01:59:59"], None, "ts", timezone="Europe/Berlin")
    day = datetime(2026, 10, 25, tzinfo=UTC).timestamp() * 10**9
    texts = ["2026-10-25 01:59:59", "2026-10-25 02:30:00", "2026-10-25 03:00:00"]
    assert read(connection, form, texts) == [day - 10**9, day + 5400 * 10**9, day + 7200 * 10**9]
    spring = datetime(2026, 3, 29, tzinfo=UTC).timestamp() * 10**9
    texts = ["2026-03-29 01:30:00", "2026-03-29 02:30:00", "2026-03-29 03:30:00"]
    assert read(connection, form, texts) == [spring + 1800 * 10**9, None, spring + 5400 * 10**9]


moments = st.datetimes(min_value=datetime(2001, 1, 2), max_value=datetime(2099, 12, 30))
offsets = st.integers(-14 * 4, 14 * 4).map(lambda quarters: timezone(timedelta(minutes=15 * quarters)))


def _iso(moment: datetime) -> str:
    return moment.isoformat()


def _spaced(moment: datetime) -> str:
    return moment.strftime("%Y/%m/%d %H:%M:%S,%f %z")


def _apache(moment: datetime) -> str:
    return moment.strftime("%d/%b/%Y:%H:%M:%S %z")


def _mail(moment: datetime) -> str:
    return format_datetime(moment)


def _browser(moment: datetime) -> str:
    return moment.strftime("%a %b %d %Y %H:%M:%S GMT%z (Somewhere)")


def _american(moment: datetime) -> str:
    return moment.strftime("%m/%d/%Y %I:%M:%S.%f %p %z")


def _seconds(moment: datetime) -> str:
    return f"{_microseconds(moment) // 10**6}.{_microseconds(moment) % 10**6:06d}"


def _milliseconds(moment: datetime) -> str:
    return f"{_microseconds(moment) // 1000}.{_microseconds(moment) % 1000:03d}"


def _microseconds(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


WRITERS: dict[Callable[[datetime], object], int] = {
    _iso: 1,
    _spaced: 1,
    _american: 1,
    _apache: 10**6,
    _mail: 10**6,
    _browser: 10**6,
    _seconds: 1,
    _milliseconds: 1,
    _microseconds: 1,
}
"""Ways to write an instant, and how many microseconds they can tell apart."""


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(moments, offsets, st.sampled_from(list(WRITERS))), min_size=1, max_size=20))
def test_any_mix_of_forms_is_read_as_python_reads_dates(
    connection: duckdb.DuckDBPyConnection,
    written: list[tuple[datetime, timezone, Callable[[datetime], object]]],
) -> None:
    instants = [moment.replace(tzinfo=zone) for moment, zone, _ in written]
    values = [write(instant) for instant, (_, _, write) in zip(instants, written, strict=True)]
    steps = [WRITERS[write] for _, _, write in written]
    right = [
        _microseconds(instant) // step * step * 1000 for instant, step in zip(instants, steps, strict=True)
    ]
    form = replace(stamp_form(["2026-03-02T08:00:00Z"], None, "ts"), month_first=True)
    assert read(connection, form, values) == right
    seen = stamp_form([*values, "03/13/2026 08:00:00Z"], None, "ts")
    assert read(connection, seen, values) == right


LOCAL = (
    "%Y-%m-%d %H:%M:%S.%f",
    "%Y/%m/%d %H:%M:%S,%f",
    "%d.%m.%Y %H:%M:%S.%f",
    "%d/%m/%Y %H:%M:%S.%f",
    "%b %d, %Y, %I:%M:%S.%f %p",
)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(moments, st.sampled_from(LOCAL)), min_size=1, max_size=20),
    st.sampled_from(["Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "UTC"]),
)
def test_wall_time_of_a_zone_is_read_as_python_reads_it(
    connection: duckdb.DuckDBPyConnection, written: list[tuple[datetime, str]], zone: str
) -> None:
    values = [moment.strftime(form) for moment, form in written]
    form = stamp_form([*values, "13/03/2026 08:00:00"], None, "ts", timezone=zone)
    folds = [
        [
            moment - (moment.replace(tzinfo=ZoneInfo(zone), fold=fold).utcoffset() or timedelta())
            for fold in (0, 1)
        ]
        for moment, _ in written
    ]
    right = [1000 * _microseconds(max(both).replace(tzinfo=UTC)) for both in folds]
    assert read(connection, form, values) == right


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(st.text(alphabet="0123456789-/.:TZ +,eEMarGMTpm[]", max_size=30))
def test_sql_and_python_agree_on_any_text(connection: duckdb.DuckDBPyConnection, text: str) -> None:
    for form in (
        StampForm("instant", "s", month_first=True),
        StampForm("instant", "s", timezone="America/New_York"),
        StampForm("instant", "s", decimal=","),
    ):
        read(connection, form, [text])


@pytest.mark.parametrize(
    ("text", "expected_s"),
    [
        ("20260302080105", 65),
        ("20260302080105250", 65.25),
        ("20260302 08:01:05.250", 65.25),
        ("Mar 2, 2026 @ 08:01:05.250", 65.25),
        ("20260302 08:01:05Z", 65),
    ],
)
def test_dates_without_marks_and_those_of_dashboards(
    connection: duckdb.DuckDBPyConnection, text: str, expected_s: float
) -> None:
    form = stamp_form([text], None, "ts")
    assert form.clock == "instant"
    assert form.read(text) == round((1_772_438_400 + expected_s) * 1000) * 10**6
    found = connection.execute(f"SELECT {form.sql('value')} FROM (SELECT $1 AS value)", [text]).fetchone()
    assert found == (form.read(text),)


def test_days_of_a_spreadsheet_are_not_taken_for_seconds() -> None:
    days = [f"{46083 + i / 1440:.8f}" for i in range(1, 20)]
    with pytest.raises(InputError, match=r"2026-03-02.*arrival_s=ts"):
        stamp_form(days, None, "ts")
    assert stamp_form(days, "s", "ts").clock == "number"
    assert stamp_form([f"{46083 + 0.5 * i:.1f}" for i in range(20)], None, "ts").clock == "number"
