"""A trace on a Spark cluster: no row leaves it, only small tables do.

The same tables as `logs.tables` builds from arrays, by the SQL files in `queries/sql/cluster` and `gaps`. Not
here: reading logs (`logs.load_spark`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from ...queries.spark import SparkEngine
from ..core.errors import InputError
from ..core.units import DAY_S, HOUR_S
from ..logs import load_spark
from ..logs.files import urls_spark
from ..logs.files.sniff import DAY, LogFile, file_digest
from ..logs.load_duckdb import Loaded
from ..logs.rows_spark import PLACE, location
from ..logs.select_sql import Reading
from ..logs.tables import HOLE_S, Selection, Stream, fill_segments, fill_selections
from ..logs.trace_columns import OPTIONAL
from ..logs.trace_info import TraceInfo
from .bin_counts import BlockCounts, BlockGaps, Blocks, ask_blocks
from .window_gaps import SelectionGaps, Windows, ask_gaps

SLOT_S = HOUR_S
"""Ticks are put in order an hour at a time."""


@dataclass
class SparkStore:
    """Holds a trace on a cluster."""

    engine: SparkEngine
    one_file: bool = False

    def local_copy(self, url: str, folder: Path) -> Path:
        """A file in `folder` with the name, the size and the first bytes of the log at a URL."""
        return urls_spark.local_copy(self.engine, url, folder)

    def load(self, readings: Sequence[Reading], *, strict: bool, clock_s: float) -> Loaded:
        """Read the logs into a table of requests; put stamps finer than `clock_s` on that clock."""
        return load_spark.load(self.engine, readings, strict=strict, clock_s=clock_s)

    def digest(self, log: LogFile) -> str:
        """SHA-256 of a log; Spark's driver reads one at a URL."""
        if log.url is None:
            return file_digest(log.path, log.packed)
        return urls_spark.digest(self.engine, log.url, log.path.is_dir())

    def build(self, streams: Sequence[Stream], resolution_s: float) -> tuple[Selection, ...]:
        """Make streams, selections, members, segments, ticks and gaps; `stream_id` counts from 1."""
        per_stream = np.zeros(len(streams), np.int64)
        for stream_id, n in self.engine.rows("SELECT stream_id, COUNT(*) FROM requests GROUP BY stream_id"):
            per_stream[stream_id - 1] = n
        selections, _ = fill_selections(self.engine, streams, per_stream)
        hole_ticks = round(HOLE_S / resolution_s)
        slots = self.engine.ask("slots", slot_ticks=hole_ticks)
        first, last = slots["first_tick"].to_numpy(), slots["last_tick"].to_numpy()
        # A hole is wider than a slot, so it lies between the last tick of one slot and the first of another.
        begun = np.append(0, np.flatnonzero(first[1:] - last[:-1] >= hole_ticks) + 1)
        fill_segments(self.engine, first[begun], last[np.append(begun[1:] - 1, len(last) - 1)])
        self.engine.create("ticks", "ticks", keep=True)
        self.engine.create("gaps", "gaps", keep=True, slot_ticks=max(round(SLOT_S / resolution_s), 1))
        return selections

    def requests(self, info: TraceInfo) -> pl.DataFrame:
        """The rows stay on the cluster."""
        raise InputError.at(
            info.name,
            "its requests stay on the cluster",
            remedy="ingest writes them as Parquet, which is read without Spark",
        )

    def write_file(self, info: TraceInfo, out: Path) -> None:
        """A cluster writes a folder."""
        raise InputError.at(out, f"{info.name} is on a cluster, which writes a folder, not one file")

    def write_parts(self, info: TraceInfo, folder: Path, *, by_day: bool) -> None:  # noqa: ARG002
        """Write the requests with the names of their streams as Parquet files, by arrival.

        Each file holds a stretch of time, so that names sort as arrivals do, also inside the folder of a day.
        """
        names = (*OPTIONAL, "prefix")
        counts = self.engine.rows(f"SELECT {', '.join(f'COUNT({name})' for name in names)} FROM requests")[0]
        more = "".join(f", {name}" for name, n in zip(names, counts, strict=True) if n)
        # File names are long text, so rows carry a number instead while they travel between machines.
        pieces = self.engine.rows(
            f"SELECT DISTINCT arrival_order.log_id, arrival_order.{PLACE} FROM requests ORDER BY 1, 2"
        )
        self.engine.fill(
            "pieces",
            f"log_id SMALLINT, {PLACE} VARCHAR, piece INTEGER",
            [(*piece, i) for i, piece in enumerate(pieces)],
        )
        frame = self.engine.run(
            "SELECT arrival_s, service, model, session, request_tokens, response_tokens, elapsed_s, failed"
            f"{more}, LPAD(CAST(FLOOR(arrival_s / {DAY_S!r}D) AS STRING), 6, '0') AS {DAY}, "
            "piece, arrival_order.row "
            "FROM requests JOIN streams ON streams.stream_id = requests.stream_id "
            f"JOIN pieces ON pieces.{PLACE} = arrival_order.{PLACE} AND pieces.log_id = arrival_order.log_id"
        )
        frame = frame.repartitionByRange("arrival_s").sortWithinPartitions(DAY, "arrival_s", "piece", "row")
        frame = frame.drop("piece", "row")
        with self.engine.guarded():
            if by_day:
                frame.write.mode("append").partitionBy(DAY).parquet(location(folder), compression="zstd")
            else:
                frame.drop(DAY).write.mode("append").parquet(location(folder), compression="zstd")

    def window_gaps(
        self, selections: Sequence[Selection], windows: Windows, tick_s: float
    ) -> Iterator[tuple[Selection, SelectionGaps]]:
        """Group each selection's ticks on the cluster."""
        return ask_gaps(self.engine, selections, windows, tick_s)

    def block_counts(
        self, selections: Sequence[Selection], blocks: Blocks, widths_ticks: Sequence[float]
    ) -> Iterator[tuple[Selection, list[BlockCounts], BlockGaps]]:
        """Group each selection's ticks on the cluster, anew for each width."""
        return ask_blocks(self.engine, selections, blocks, widths_ticks)
