"""The tables that questions are put to on Spark, built from `requests`, no row of which leaves the cluster.

The same tables as `tables` builds from arrays, by the SQL files `ticks`, `slots` and `gaps`; and the trace
written again as Parquet. Not here: where the requests come from (`logs.load_spark`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ...queries.spark import SparkEngine
from ..core.units import DAY_S, HOUR_S
from ..logs.rows_spark import location
from ..logs.sniff import DAY
from ..logs.tables import HOLE_S, Selection, Stream, fill_segments, fill_selections

SLOT_S = HOUR_S
"""Ticks are put in order an hour at a time."""


def build(engine: SparkEngine, streams: Sequence[Stream], resolution_s: float) -> tuple[Selection, ...]:
    """Make streams, selections, members, segments, ticks and gaps; `stream_id` counts from 1."""
    per_stream = np.zeros(len(streams), np.int64)
    for stream_id, n in engine.rows("SELECT stream_id, COUNT(*) FROM requests GROUP BY stream_id"):
        per_stream[stream_id - 1] = n
    selections, _ = fill_selections(engine, streams, per_stream)
    hole_ticks = round(HOLE_S / resolution_s)
    slots = engine.ask("slots", slot_ticks=hole_ticks)
    first, last = slots["first_tick"].to_numpy(), slots["last_tick"].to_numpy()
    # A hole is wider than a slot, so it lies between the last tick of one slot and the first of another.
    begun = np.append(0, np.flatnonzero(first[1:] - last[:-1] >= hole_ticks) + 1)
    fill_segments(engine, first[begun], last[np.append(begun[1:] - 1, len(last) - 1)])
    engine.create("ticks", "ticks", keep=True)
    engine.create("gaps", "gaps", keep=True, slot_ticks=max(round(SLOT_S / resolution_s), 1))
    return selections


def write(engine: SparkEngine, folder: Path, *, by_day: bool) -> None:
    """The requests with the names of their streams as Parquet files in a folder that is there, by arrival.

    Each file holds a stretch of time, so that names sort as arrivals do, also inside the folder of a day.
    """
    prefix = ", prefix" if engine.rows("SELECT 1 FROM requests WHERE prefix IS NOT NULL LIMIT 1") else ""
    frame = engine.run(
        "SELECT arrival_s, service, model, session, request_tokens, response_tokens, elapsed_s, failed"
        f"{prefix}, LPAD(CAST(FLOOR(arrival_s / {DAY_S!r}D) AS STRING), 6, '0') AS {DAY} "
        "FROM requests JOIN streams ON streams.stream_id = requests.stream_id"
    )
    frame = frame.repartitionByRange("arrival_s").sortWithinPartitions(DAY, "arrival_s")
    with engine.guarded():
        if by_day:
            frame.write.mode("append").partitionBy(DAY).parquet(location(folder), compression="zstd")
        else:
            frame.drop(DAY).write.mode("append").parquet(location(folder), compression="zstd")
