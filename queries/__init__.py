"""Questions put to a trace in SQL, one file each, and the few lines that run them on DuckDB.

The same files run on Spark, translated (see `burstlens.queries.spark`).

`Engine.ask("hourly_counts", window_ticks=3600)` runs `hourly_counts.sql` with `$window_ticks` bound and
returns a small Polars frame. Not here: statistics (see `burstlens.analysis`) and reading logs (`ingest/*.sql`
holds the SELECT of each log format, `burstlens.analysis.logs.load_duckdb` runs them).

What the SQL files may ask, all created when a trace is opened:

- `requests(stream_id, tick, arrival_s, session, request_tokens, response_tokens, elapsed_s, failed, prefix)`:
  one row a request, in arrival order; `tick` = FLOOR(arrival_s / resolution_s) is a BIGINT, `prefix` the
  list of its prefix blocks, NULL in most logs.
- `streams(stream_id, service, model, n)`: the distinct pairs and their requests; `stream_id` is a small
  integer from 1, numbers may be missing.
- `selections(selection_id, service, model)`: what is characterized: everything (both NULL), each
  service (model NULL), each service and model; `members(selection_id, stream_id)` says which streams
  a selection holds. Services and models are only ever text in these two small tables.
- `segments(segment_id, start_tick, end_tick)`: contiguous stretches; between two lies a hole in the record.
- `ticks(stream_id, tick, n, failed)`: requests and failures per occupied tick of the stamps' clock.
- `gaps(selection_id, tick, n, gap)`: per selection and occupied tick: requests in it, and ticks since
  the selection's previous occupied one (NULL for the first of a segment). A tick with n requests
  holds n − 1 inter-arrival times of zero beside its `gap`.
- `stretches(slot, stretch)`: slots of time put together, filled by who asks the `stretch_` files.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib import resources
from threading import Lock
from typing import Any

import duckdb
import numpy as np
import polars as pl


@cache
def text(name: str) -> str:
    """The SQL of one question, by file name without its ending (`ingest/burstgpt` for a format)."""
    return resources.files(__package__).joinpath(f"{name}.sql").read_text(encoding="utf-8")


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
    held = [None if gone else each.tolist() for each, gone in zip(np.ma.getdata(values), absent, strict=True)]
    return pl.Series(name, held, dtype=kind)


def _plain(values: np.ndarray, absent: np.ndarray | None) -> Any:
    """Text as a list (Polars infers strings from it), numbers as they are."""
    if values.dtype != object:
        return values
    texts = values.tolist()
    if absent is not None:
        texts = [None if gone else text for text, gone in zip(texts, absent, strict=True)]
    return pl.Series(texts, dtype=pl.String)


class Engine:
    """A DuckDB connection that holds one opened trace and answers questions about it.

    Threads may ask at the same time: they are answered one after the other, each by all cores.
    """

    name = "duckdb"

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self.connection = connection
        # DuckDB draws a bar on standard output once a query takes over two seconds: in the way of --json.
        connection.execute("SET enable_progress_bar = false")
        self._turn = Lock()

    def create(self, table: str, name: str, **numbers: float) -> None:
        """Give the answer of one SQL file a name, for the questions that follow; it is worked out then.

        A view cannot hold parameters, so numbers are written into it.
        """
        asked = text(name)
        for parameter, number in numbers.items():
            asked = asked.replace(f"${parameter}", repr(number))
        self.connection.execute(f"CREATE VIEW {table} AS {asked}")

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
            return frame(self.connection.execute(text(name), parameters))

    def close(self) -> None:
        """End the connection and what it holds in memory."""
        self.connection.close()
