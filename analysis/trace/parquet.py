"""Traces as files: the columns of one, a Parquet file, a folder of one file a day.

Not here: opening them (`trace`), what a Spark session writes (`tables_spark`).
"""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import polars as pl

from ...queries.duckdb import DuckDBEngine
from ...queries.spark import SparkEngine
from ..core.errors import DiskError
from ..core.units import DAY_S
from ..logs.select_sql import literal
from ..logs.sniff import DAY, IDENTITY
from ..logs.trace_info import METADATA_KEY, TraceInfo
from . import tables_spark as spark_tables

if TYPE_CHECKING:
    from .trace import Trace

COLUMNS: dict[str, type[pl.DataType]] = {
    "arrival_s": pl.Float64,
    "service": pl.String,
    "model": pl.String,
    "session": pl.String,
    "request_tokens": pl.Int32,
    "response_tokens": pl.Int32,
    "elapsed_s": pl.Float64,
    "failed": pl.Boolean,
}
"""The columns of a trace, in order. A trace whose log tells prefix blocks has `PREFIX` after them."""

PREFIX = "prefix"
"""The numbers of the blocks of tokens that a prompt begins with, a list; equal numbers are equal tokens."""


def write_trace(trace: Trace | pl.DataFrame, out: Path, info: TraceInfo | None = None) -> None:
    """Write a canonical Parquet trace, whole or not at all, sorted by arrival, identity in its metadata.

    `trace` is an opened trace, or a frame with the columns `COLUMNS` and then its `info` beside it.
    """
    begun = out.with_name(f".{out.name}.part")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(trace, pl.DataFrame):
            if info is None:
                raise TypeError("a frame has no identity of its own: give info")
            more = [pl.col(PREFIX).cast(pl.List(pl.Int64))] if PREFIX in trace.columns else []
            frame = trace.select([pl.col(name).cast(kind) for name, kind in COLUMNS.items()] + more)
            frame.sort("arrival_s", maintain_order=True).write_parquet(
                begun, compression="zstd", metadata={METADATA_KEY: info.to_json()}
            )
        else:
            assert isinstance(trace.engine, DuckDBEngine), "a trace on a cluster is written as a folder"
            copy(trace.engine, info or trace.info, begun)
        begun.replace(out)
    except (OSError, duckdb.IOException, pl.exceptions.ComputeError) as fault:
        raise DiskError.unwritable(out, fault if isinstance(fault, OSError) else str(fault)) from fault
    finally:
        with suppress(OSError):
            begun.unlink()


def copy(engine: DuckDBEngine, info: TraceInfo, out: Path, day: int | None = None) -> None:
    """The requests, or those of one day, with the names of their streams, as Parquet.

    Names are looked up by position in a list: a join would not keep the order of the rows.
    """
    connection = engine.connection
    names = {row[0]: row[1:] for row in connection.execute("SELECT * FROM streams").fetchall()}
    listed = [names.get(i, (None, None)) for i in range(1, max(names) + 1)]
    blocks = connection.execute("SELECT 1 FROM requests WHERE prefix IS NOT NULL LIMIT 1").fetchall()
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
                {", prefix" if blocks else ""}
            FROM requests
            {"" if day is None else f"WHERE arrival_s >= {day * DAY_S} AND arrival_s < {(day + 1) * DAY_S}"}
        )
        TO {literal(str(out.absolute()))}
        (FORMAT parquet, COMPRESSION zstd, KV_METADATA {{{METADATA_KEY}: {literal(info.to_json())}}})
        """,
        {"services": [name[0] for name in listed], "models": [name[1] for name in listed]},
    ).fetchall()


def write_folder(trace: Trace, out: Path, *, by_day: bool) -> None:
    """Write an opened trace as a folder, whole or not at all: Parquet files and, beside them, its identity.

    With `by_day` they lie in folders `day=000012`, days since midnight of day 0. Files sort by name as their
    requests by arrival. A folder that was such a trace is replaced, any other is an error.
    """
    begun = out.with_name(f".{out.name}.part")
    try:
        if out.exists() and not (out / IDENTITY).is_file():
            raise DiskError.unwritable(out, "something else is there; name another folder with -o")
        shutil.rmtree(begun, ignore_errors=True)
        begun.mkdir(parents=True)
        if isinstance(trace.engine, SparkEngine):
            spark_tables.write(trace.engine, begun, by_day=by_day)
        else:
            assert isinstance(trace.engine, DuckDBEngine)
            days = f"SELECT DISTINCT FLOOR(arrival_s / {DAY_S})::INTEGER AS day FROM requests ORDER BY day"
            for (day,) in trace.engine.connection.execute(days).fetchall():
                folder = begun / f"{DAY}={day:06d}"
                folder.mkdir()
                copy(trace.engine, trace.info, folder / "part-00000.parquet", day)
        (begun / IDENTITY).write_text(trace.info.to_json() + "\n", encoding="utf-8")
        shutil.rmtree(out, ignore_errors=True)
        begun.replace(out)
    except (OSError, duckdb.IOException) as fault:
        raise DiskError.unwritable(out, fault if isinstance(fault, OSError) else str(fault)) from fault
    finally:
        shutil.rmtree(begun, ignore_errors=True)
