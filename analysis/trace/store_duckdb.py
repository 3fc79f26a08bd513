"""A trace in this process: its rows in DuckDB, its occupied ticks in NumPy arrays.

Not here: reading logs (`logs.load_duckdb`), counting ticks (`logs.tables`, `window_gaps`, `bin_counts`).
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from ...queries.duckdb import DuckDBEngine
from ..core.errors import InputError
from ..core.option_names import option
from ..core.units import DAY_S
from ..logs import load_duckdb
from ..logs.files.sniff import DAY, LogFile, file_digest
from ..logs.load_duckdb import Loaded
from ..logs.select_sql import Reading
from ..logs.tables import Selection, Stream, Ticks, build
from ..logs.trace_columns import OPTIONAL
from ..logs.trace_info import METADATA_KEY, TraceInfo
from ..logs.values.sql_text import literal
from .bin_counts import BlockCounts, BlockGaps, Blocks, count_blocks
from .parquet import PREFIX
from .window_gaps import SelectionGaps, Windows, count_gaps


@dataclass
class DuckDBStore:
    """Holds a trace in the memory of this process."""

    engine: DuckDBEngine
    ticks: dict[int, Ticks] = field(default_factory=dict)
    """By `selection_id` its occupied ticks and gaps: the engine's table `gaps` as arrays."""
    one_file: bool = True

    def local_copy(self, url: str, folder: Path) -> Path:  # noqa: ARG002
        """DuckDB reads no URL."""
        raise InputError.at(url, "only Spark reads URLs", remedy=f"give {option('engine', 'spark')}")

    def load(self, readings: Sequence[Reading], *, strict: bool, clock_s: float) -> Loaded:  # noqa: ARG002
        """Read the logs into a table of requests; each log's own clock is the one that counts."""
        return load_duckdb.load(self.engine.connection, readings, strict=strict)

    def digest(self, log: LogFile) -> str:
        """SHA-256 of a log."""
        return file_digest(log.path, log.packed)

    def build(self, streams: Sequence[Stream], resolution_s: float) -> tuple[Selection, ...]:
        """Make the tables of `burstlens.queries`, and the arrays of ticks."""
        selections, self.ticks = build(self.engine, streams, resolution_s)
        return selections

    def requests(self, info: TraceInfo) -> pl.DataFrame:
        """Every request as a row, sorted by arrival."""
        with tempfile.TemporaryDirectory(prefix="burstlens-") as folder:
            path = Path(folder) / "trace.parquet"
            self.write_file(info, path)
            columns = [name for name in pl.read_parquet_schema(path) if name != PREFIX]
            return pl.read_parquet(path, columns=columns, memory_map=False)

    def write_file(self, info: TraceInfo, out: Path) -> None:
        """Write the requests as one Parquet file."""
        self._copy(info, out)

    def write_parts(self, info: TraceInfo, folder: Path, *, by_day: bool) -> None:  # noqa: ARG002
        """Write one Parquet file per day, each in a folder of that day."""
        days = f"SELECT DISTINCT FLOOR(arrival_s / {DAY_S})::INTEGER AS day FROM requests ORDER BY day"
        for (day,) in self.engine.connection.execute(days).fetchall():
            part = folder / f"{DAY}={day:06d}"
            part.mkdir()
            self._copy(info, part / "part-00000.parquet", day)

    def window_gaps(
        self, selections: Sequence[Selection], windows: Windows, tick_s: float
    ) -> Iterator[tuple[Selection, SelectionGaps]]:
        """Count each selection's ticks: they are in order, so those of a window are neighbours."""
        for selection in selections:
            yield selection, count_gaps(self.ticks[selection.selection_id], windows, tick_s)

    def block_counts(
        self, selections: Sequence[Selection], blocks: Blocks, widths_ticks: Sequence[float]
    ) -> Iterator[tuple[Selection, list[BlockCounts], BlockGaps]]:
        """Count each selection's ticks, in one pass for all widths."""
        for selection in selections:
            yield selection, *count_blocks(self.ticks[selection.selection_id], blocks, widths_ticks)

    def _copy(self, info: TraceInfo, out: Path, day: int | None = None) -> None:
        """Write the requests, or those of one day, with the names of their streams.

        Names are looked up by position in a list: a join would not keep the order of the rows.
        """
        connection = self.engine.connection
        names = {row[0]: row[1:] for row in connection.execute("SELECT * FROM streams").fetchall()}
        listed = [names.get(i, (None, None)) for i in range(1, max(names) + 1)]
        blocks = connection.execute("SELECT 1 FROM requests WHERE prefix IS NOT NULL LIMIT 1").fetchall()
        columns = {row[0] for row in connection.execute("DESCRIBE stamped").fetchall()}
        optional = "".join(f", {name}" for name in OPTIONAL if name in columns)
        span = "" if day is None else f"WHERE arrival_s >= {day * DAY_S} AND arrival_s < {(day + 1) * DAY_S}"
        connection.execute(
            f"""
            COPY (
                SELECT
                    arrival_s,
                    CAST($services AS VARCHAR[])[stream_id] AS service,
                    CAST($models AS VARCHAR[])[stream_id] AS model,
                    session,
                    request_tokens,
                    response_tokens,
                    elapsed_s,
                    failed
                    {optional}
                    {", prefix" if blocks else ""}
                FROM requests
                {span}
            )
            TO {literal(str(out.absolute()))}
            (FORMAT parquet, COMPRESSION zstd, KV_METADATA {{{METADATA_KEY}: {literal(info.to_json())}}})
            """,
            {"services": [name[0] for name in listed], "models": [name[1] for name in listed]},
        ).fetchall()
