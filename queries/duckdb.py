"""DuckDB answers: the engine of a trace that one machine holds.

Not here: what an engine can be asked (`burstlens.queries.engine`), reading logs (`burstlens.analysis.logs`).
"""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock
from typing import Any

import duckdb
import numpy as np
import polars as pl

from .files import sql_text


def frame(answered: duckdb.DuckDBPyConnection) -> pl.DataFrame:
    """The answer of the connection's last statement as a Polars frame, NULLs kept.

    By way of NumPy: in DuckDB 2.0 the Arrow capsule of a relation is never released, and the
    interpreter says so on standard error as it ends.
    """
    columns = {}
    lists = {column[0] for column in answered.description if str(column[1]) == "BIGINT[]"}
    for name, values in answered.fetchnumpy().items():
        if name in lists:
            columns[name] = _lists(name, values)
            continue
        if isinstance(values, np.ma.MaskedArray):
            absent = np.ma.getmaskarray(values)
            series = pl.Series(name, _plain(values.data, absent))
            columns[name] = series.set(pl.Series(absent), None) if absent.any() else series
        else:
            columns[name] = pl.Series(name, _plain(values, None))
    return pl.DataFrame(columns)


def _lists(name: str, values: np.ndarray) -> pl.Series:
    """Lists of whole numbers; most often there is none at all, which is known at a glance."""
    kind = pl.List(pl.Int64)
    absent = np.ma.getmaskarray(values)
    if absent.all():
        return pl.Series(name, [None], dtype=kind).new_from_index(0, len(values))
    rows = [None if gone else each.tolist() for each, gone in zip(np.ma.getdata(values), absent, strict=True)]
    return pl.Series(name, rows, dtype=kind)


def _plain(values: np.ndarray, absent: np.ndarray | None) -> Any:
    """Text as a list (Polars infers strings from it), numbers as they are."""
    if values.dtype != object:
        return values
    texts = values.tolist()
    if absent is not None:
        texts = [None if gone else text for text, gone in zip(texts, absent, strict=True)]
    return pl.Series(texts, dtype=pl.String)


class DuckDBEngine:
    """A DuckDB connection that holds one opened trace and answers questions about it.

    Threads may ask at the same time: they are answered one after the other, each by all cores.
    """

    name = "duckdb"
    fetch_limit_rows: int | None = None

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self.connection = connection
        # DuckDB draws a bar on standard output once a query takes over two seconds: in the way of --json.
        connection.execute("SET enable_progress_bar = false")
        # The zone of the machine says nothing about a log.
        connection.execute("SET TimeZone = 'UTC'")
        self._turn = Lock()

    def create(self, table: str, name: str, **numbers: float) -> None:
        """Make a view of one SQL file's answer, for the questions that follow.

        A view cannot have parameters, so numbers are written into it. DuckDB computes it at each query.

        Parameters
        ----------
        table : str
            Name of the view.
        name : str
            Of the SQL file.
        **numbers
            Values of `$name` in the file.
        """
        sql = sql_text(name)
        for parameter, number in numbers.items():
            sql = sql.replace(f"${parameter}", repr(number))
        self.connection.execute(f"CREATE VIEW {table} AS {sql}")

    def fill(self, table: str, columns: str, rows: Sequence[Sequence[Any]]) -> None:
        """Make a small table from plain rows; text stays data, never SQL."""
        self.connection.execute(f"CREATE TABLE {table} ({columns})")
        if rows:
            marks = ", ".join("?" for _ in rows[0])
            self.connection.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)

    def table(self, name: str) -> pl.DataFrame:
        """The whole of a small table."""
        with self._turn:
            return frame(self.connection.execute(f"SELECT * FROM {name}"))

    def ask(self, name: str, **parameters: Any) -> pl.DataFrame:
        """Run one SQL file and return its answer; `$name` in the file is bound from `parameters`."""
        with self._turn:
            return frame(self.connection.execute(sql_text(name), parameters))

    def close(self) -> None:
        """End the connection and what it holds in memory."""
        self.connection.close()
