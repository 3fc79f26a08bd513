"""Traces as files: the columns of one, a Parquet file, a folder of one file a day.

Not here: opening them (`trace`), what each store writes (`store`).
"""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import polars as pl

from ..core.errors import DiskError, InputError
from ..core.option_names import option
from ..logs.files.sniff import IDENTITY
from ..logs.trace_info import METADATA_KEY, TraceInfo

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
"""The columns that every trace has, in order. Those of `OPTIONAL`, then `PREFIX`, follow if it has them."""

OPTIONAL: dict[str, type[pl.DataType]] = {
    "client": pl.String,
    "cached_tokens": pl.Int32,
    "reasoning_tokens": pl.Int32,
    "ttft_s": pl.Float64,
    "reason": pl.String,
    "images": pl.Int32,
}
"""Columns of the traces whose log has them: who asked (a key, a user, a tenant), request tokens that were in
the server's cache, response tokens that were reasoning, seconds to the first token, why a request failed, and
images of the request."""

PREFIX = "prefix"
"""The numbers of the blocks of tokens that a prompt begins with, a list; equal numbers are equal tokens."""


def write_trace(trace: Trace | pl.DataFrame, out: Path, info: TraceInfo | None = None) -> None:
    """Write a canonical Parquet trace, sorted by arrival, with its identity in the file's metadata.

    The file appears complete or not at all.

    Parameters
    ----------
    trace : Trace or DataFrame
        An opened trace, or a frame with the columns `COLUMNS` and any of `OPTIONAL` and `PREFIX`; such a
        column without a single value is not written.
    out : Path
        An existing file is replaced.
    info : TraceInfo, optional
        Identity of the trace; a frame needs it.

    Raises
    ------
    TypeError
        For a frame without `info`.
    DiskError
        If the file cannot be written.
    """
    begun = out.with_name(f".{out.name}.part")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(trace, pl.DataFrame):
            if info is None:
                raise TypeError("a frame needs its identity: give info")
            frame = trace_frame(trace)
            frame.sort("arrival_s", maintain_order=True).write_parquet(
                begun, compression="zstd", metadata={METADATA_KEY: info.to_json()}
            )
        else:
            trace.store.write_file(info or trace.info, begun)
        begun.replace(out)
    except (OSError, duckdb.IOException, pl.exceptions.ComputeError) as fault:
        raise DiskError.unwritable(out, fault if isinstance(fault, OSError) else str(fault)) from fault
    finally:
        with suppress(OSError):
            begun.unlink()


def trace_frame(frame: pl.DataFrame) -> pl.DataFrame:
    """Put the columns of a trace in order, with their types, and leave out optional ones without a value.

    Parameters
    ----------
    frame : DataFrame
        With the columns `COLUMNS`, and any of `OPTIONAL` and `PREFIX`.

    Returns
    -------
    DataFrame
    """
    kinds: dict[str, pl.DataType | type[pl.DataType]] = {**OPTIONAL, PREFIX: pl.List(pl.Int64)}
    more = {
        name: kind
        for name, kind in kinds.items()
        if name in frame.columns and frame[name].null_count() < len(frame)
    }
    return frame.select(pl.col(name).cast(kind) for name, kind in {**COLUMNS, **more}.items())


def write_folder(trace: Trace, out: Path, *, by_day: bool) -> None:
    """Write an opened trace as a folder of Parquet files, with its identity in a file of the folder.

    The folder appears complete or not at all. Files sort by name as their requests by arrival.

    Parameters
    ----------
    trace : Trace
    out : Path
        A folder that is such a trace is replaced.
    by_day : bool
        Put the files into folders `day=000012`, days since midnight of day 0.

    Raises
    ------
    InputError
        If something else than such a trace is at `out`.
    DiskError
        If the folder cannot be written.
    """
    begun = out.with_name(f".{out.name}.part")
    try:
        if out.exists() and not (out / IDENTITY).is_file():
            raise InputError.unwritable(
                out, "something else is there", remedy=f"name another folder with {option('out')}"
            )
        shutil.rmtree(begun, ignore_errors=True)
        begun.mkdir(parents=True)
        trace.store.write_parts(trace.info, begun, by_day=by_day)
        (begun / IDENTITY).write_text(trace.info.to_json() + "\n", encoding="utf-8")
        shutil.rmtree(out, ignore_errors=True)
        begun.replace(out)
    except (OSError, duckdb.IOException) as fault:
        raise DiskError.unwritable(out, fault if isinstance(fault, OSError) else str(fault)) from fault
    finally:
        shutil.rmtree(begun, ignore_errors=True)
