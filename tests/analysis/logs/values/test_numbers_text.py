"""Numbers and durations in text: right values, and the SQL reads what Python reads."""

from __future__ import annotations

import math
from collections.abc import Iterator

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from burstlens.analysis.logs.values.numbers_text import number_of, number_sql


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    connection = duckdb.connect()
    yield connection
    connection.close()


def in_sql(
    connection: duckdb.DuckDBPyConnection, text: str, decimal: str, whole: bool, unit: str | None
) -> float | None:
    sql = number_sql("text", decimal, whole, unit)
    answer = connection.execute(f"SELECT {sql} FROM (SELECT ? AS text)", [text]).fetchall()
    value: float | None = answer[0][0]
    return value


@pytest.mark.parametrize(
    ("text", "decimal", "whole", "unit", "value"),
    [
        ("1234", ".", True, None, 1234.0),
        ("1,234", ".", True, None, 1234.0),
        ("1,234", ".", False, None, None),
        ("1.234", ",", True, None, 1234.0),
        ("1.234", ",", False, None, None),
        ("1234,5", ",", False, None, 1234.5),
        ("1.234.567,5", ",", False, None, 1234567.5),
        ("1,234,567", ".", False, None, 1234567.0),
        ("12 345.5", ".", False, None, 12345.5),
        ("12\u00a0345", ".", True, None, 12345.0),
        ("-3.5e2", ".", False, None, -350.0),
        (" 7 ", ".", True, None, 7.0),
        ("1,23,456", ".", True, None, None),
        ("12a", ".", True, None, None),
        ("", ".", True, None, None),
        ("1.5s", ".", False, "s", 1.5),
        ("230ms", ".", False, "s", 0.23),
        ("230 ms", ".", False, "s", 0.23),
        ("230", ".", False, "ms", 0.23),
        ("1m30s", ".", False, "s", 90.0),
        ("0:01:30.5", ".", False, "s", 90.5),
        ("PT1.5S", ".", False, "s", 1.5),
        ("1,5s", ",", False, "s", 1.5),
        ("850µs", ".", False, "s", 0.00085),
        ("1.5s", ".", False, None, None),
        ("soon", ".", False, "s", None),
    ],
)
def test_right_values(
    connection: duckdb.DuckDBPyConnection,
    text: str,
    decimal: str,
    whole: bool,
    unit: str | None,
    value: float | None,
) -> None:
    assert number_of(text, decimal, whole, unit) == pytest.approx(value)
    assert in_sql(connection, text, decimal, whole, unit) == pytest.approx(value)


digits = st.integers(0, 10**9).map(str)
pieces = st.one_of(
    digits,
    st.sampled_from(
        [".", ",", " ", "-", "+", "e", "ms", "s", "m", "h", "µs", ":", "PT", "00", "234", "\u202f", "'"]
    ),
)
texts = st.one_of(
    st.lists(pieces, max_size=7).map("".join),
    st.floats(-1e12, 1e12).map(str),
    st.integers(0, 10**12).map(lambda n: f"{n:,}"),
    st.floats(0, 1e9).map(lambda x: f"{x:,.2f}"),
    st.tuples(st.floats(0, 1e5).map(lambda x: f"{x:.3f}"), st.sampled_from(["s", " ms", "us", "m", "h"])).map(
        "".join
    ),
)


@pytest.mark.slow
@given(texts, st.sampled_from(".,"), st.booleans(), st.sampled_from([None, "s", "ms", "us", "ns"]))
def test_sql_reads_what_python_reads(text: str, decimal: str, whole: bool, unit: str | None) -> None:
    with duckdb.connect() as connection:
        answer = in_sql(connection, text, decimal, whole, unit)
    expected = number_of(text, decimal, whole, unit)
    if expected is None or answer is None:
        assert answer == expected, (text, decimal, whole, unit)
    else:
        assert math.isclose(answer, expected, rel_tol=1e-12, abs_tol=1e-15), (text, answer, expected)
