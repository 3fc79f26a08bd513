"""Which requests of an opened trace are meant, and those requests as one frame with their names.

Not here: opening a trace (`trace`), a workload made from it (`burstlens.bench.workload.from_trace`).
"""

from __future__ import annotations

import polars as pl

from ..core.errors import InputError, UnknownSelectionError
from ..core.units import HOUR_S
from .parquet import COLUMNS, PREFIX
from .trace import Trace

EVERYTHING = 2**62


def streams_of(trace: Trace, service: str | None = None, model: str | None = None) -> pl.DataFrame:
    """The streams of that service and model; BurstlensError naming the ones there are."""
    streams = trace.engine.table("streams")
    chosen = streams
    for column, wanted in (("service", service), ("model", model)):
        if wanted is None:
            continue
        known = sorted(str(name) for name in streams[column].drop_nulls().unique())
        chosen = chosen.filter(pl.col(column) == wanted)
        if chosen.is_empty():
            listed = ", ".join(known[:12]) or "none"
            within = f" in service {service!r}" if column == "model" and service else ""
            raise UnknownSelectionError(
                f"{trace.info.name}: no requests of {column} {wanted!r}{within}; it has: {listed}"
            )
    return chosen


def found_in(
    trace: Trace,
    streams: pl.DataFrame,
    start_s: float | None = None,
    end_s: float | None = None,
    first: int | None = None,
) -> pl.DataFrame:
    """The requests of those streams in a half-open span, in order of arrival; BurstlensError where none is.

    The columns are those of `queries/sql/requests/load.sql`; `start_s` and `end_s` are on the trace's clock.
    """
    found = trace.engine.ask(
        "load",
        streams=streams["stream_id"].to_list(),
        start_s=start_s,
        end_s=end_s,
        first=EVERYTHING if first is None else first,
    )
    if found.is_empty():
        raise InputError(
            f"{trace.info.name}: no request in that time; the trace runs from "
            f"{trace.start_s / HOUR_S:.2f} h to {trace.end_s / HOUR_S:.2f} h after midnight of day 0"
        )
    return found


def requests_of(
    trace: Trace,
    *,
    service: str | None = None,
    model: str | None = None,
    start_s: float | None = None,
    end_s: float | None = None,
    first: int | None = None,
) -> pl.DataFrame:
    """The chosen requests with the columns of a trace, `trace.COLUMNS` and then `prefix`."""
    streams = streams_of(trace, service, model)
    found = found_in(trace, streams, start_s, end_s, first)
    named = found.join(
        streams.select("stream_id", "service", "model"), on="stream_id", how="left", maintain_order="left"
    )
    return named.select(
        *(pl.col(name).cast(kind) for name, kind in COLUMNS.items()), pl.col(PREFIX).cast(pl.List(pl.Int64))
    )
