"""The questions that both engines answer. Not here: the engines (`duckdb`, `spark`).

`Engine.ask("hourly_counts", window_ticks=3600)` runs `hourly_counts.sql` with `$window_ticks` bound and
returns a small Polars frame. `burstlens.queries.files` lists the tables that the SQL may read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import polars as pl


class Engine(Protocol):
    """Holds one opened trace and answers questions about it; threads may ask at the same time."""

    @property
    def name(self) -> str:
        """`duckdb` or `spark`."""

    @property
    def fetch_limit_rows(self) -> int | None:
        """Maximum number of requests that the engine hands over; None if they are in this process."""

    def ask(self, name: str, **parameters: Any) -> pl.DataFrame:
        """Run one SQL file and return its answer, a small table; `$name` in it is bound from `parameters`."""

    def table(self, name: str) -> pl.DataFrame:
        """The whole of a small table."""

    def fill(self, table: str, columns: str, rows: Sequence[Sequence[Any]]) -> None:
        """Make a small table from plain rows.

        Parameters
        ----------
        table : str
        columns : str
            Names and types, as DuckDB declares them: `slot BIGINT, service VARCHAR`.
        rows : sequence
            Text in them stays data, never SQL.
        """

    def close(self) -> None:
        """Let go of what the engine holds for this trace."""
