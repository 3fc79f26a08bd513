"""Which requests of an opened trace are meant, and those requests as one frame with their names.

Not here: opening a trace (`trace`), a workload made from it (`burstlens.bench.workload.from_trace`).
"""

from __future__ import annotations

import polars as pl

from ..core.errors import InputError, UnknownSelectionError
from ..core.units import HOUR_S
from .parquet import COLUMNS, OPTIONAL, PREFIX
from .trace import Trace

MAX_ROWS = 2**31 - 1
"""Of one answer: Spark's LIMIT is an integer of 32 bits, and no machine has room for more."""


def streams_of(trace: Trace, service: str | None = None, model: str | None = None) -> pl.DataFrame:
    """Find the streams of a service and a model.

    Parameters
    ----------
    trace : Trace
    service, model : str, optional
        All by default.

    Returns
    -------
    DataFrame
        Rows of the table `streams`.

    Raises
    ------
    UnknownSelectionError
        If there is no such service or model; the message names the known ones.
    """
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


def fetch_requests(
    trace: Trace,
    streams: pl.DataFrame,
    start_s: float | None = None,
    end_s: float | None = None,
    first: int | None = None,
    *,
    optional: bool = False,
) -> pl.DataFrame:
    """Fetch the requests of some streams in a half-open span of time, in order of arrival.

    Parameters
    ----------
    trace : Trace
    streams : DataFrame
        As `streams_of` returns them.
    start_s, end_s : float, optional
        Seconds on the trace's clock; the whole trace by default.
    first : int, optional
        Maximum number of requests.
    optional : bool
        Fetch the optional columns too.

    Returns
    -------
    DataFrame
        With the columns of `queries/sql/requests/load.sql`, or of `load_all_columns.sql`.

    Raises
    ------
    InputError
        If no request lies in that time.
    """
    found = trace.engine.ask(
        "load_all_columns" if optional else "load",
        streams=streams["stream_id"].to_list(),
        start_s=start_s,
        end_s=end_s,
        first=MAX_ROWS if first is None else min(first, MAX_ROWS),
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
    """Fetch the chosen requests as rows of a trace, in order of arrival.

    Parameters
    ----------
    trace : Trace
    service, model : str, optional
        All by default.
    start_s, end_s : float, optional
        Half-open span in seconds on the trace's clock.
    first : int, optional
        Maximum number of requests.

    Returns
    -------
    DataFrame
        With `parquet.COLUMNS`, then the optional columns that the trace has, and `prefix`.

    Raises
    ------
    UnknownSelectionError
        If there is no such service or model.
    InputError
        If no request lies in that time.
    """
    streams = streams_of(trace, service, model)
    found = fetch_requests(trace, streams, start_s, end_s, first, optional=bool(trace.optional))
    named = found.join(
        streams.select("stream_id", "service", "model"), on="stream_id", how="left", maintain_order="left"
    )
    kinds = COLUMNS | {name: OPTIONAL[name] for name in trace.optional}
    return named.select(
        *(pl.col(name).cast(kind) for name, kind in kinds.items()), pl.col(PREFIX).cast(pl.List(pl.Int64))
    )
