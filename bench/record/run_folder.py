"""The record of a run: one line a request as it ends, in a folder that later steps read.

A run folder holds `run.json` (what was sent to which server, see `Manifest`), `workload.parquet`,
`record-<worker>.jsonl` (append-only, one JSON object a request, columns of `SCHEMA`) and `server.jsonl`
(the server's own metrics, columns of `SERVER_SCHEMA`). Not here: sending, and what the numbers mean.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, cast

import msgspec
import polars as pl

from ...analysis.core.atomic_write import write_json
from ...analysis.core.errors import DiskError, InputError
from ...analysis.core.option_names import option
from ...analysis.logs.files.run_folders import RUN
from ..workload.recipe import Recipe
from ..workload.table import SCHEMA as SENT
from ..workload.table import Workload
from .json_bytes import dumps
from .models import SCHEMA, SERVER_SCHEMA, VERSION, Manifest
from .versioned_json import from_dict, read_versioned_json, to_dict

WORKLOAD = "workload.parquet"
SERVER = "server.jsonl"
PIECE = 1 << 21
"""Bytes of a record that are read at a time."""


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write `run.json` completely or not at all.

    Parameters
    ----------
    folder
        A run folder.
    manifest
        Its content.

    Raises
    ------
    DiskError
        If the folder cannot be written.
    """
    write_json(to_dict(manifest), folder / RUN)


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of a run folder; raises InputError if there is none or it is damaged."""
    return read_versioned_json(
        folder / RUN,
        VERSION,
        partial(from_dict, Manifest),
        absent=f"{folder}: has no {RUN}, so it is not a run; name the folder that burstlens replay wrote",
        wrong="is not the manifest of a run",
    )


def begin(folder: Path, manifest: Manifest, workload: Workload) -> None:
    """Make a new run folder.

    Parameters
    ----------
    folder
        The folder; it may exist without a run.
    manifest
        Content of `run.json`.
    workload
        What is to be sent.

    Raises
    ------
    InputError
        If the folder has a run already.
    DiskError
        If it cannot be written.
    """
    if (folder / RUN).exists():
        raise InputError(
            f"{folder}: has a run already; continue it with {option('resume')}, or name another folder"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        workload.requests.write_parquet(folder / WORKLOAD)
    except OSError as fault:
        raise DiskError.unwritable(folder, fault) from fault
    write_manifest(folder, manifest)


def read_workload(folder: Path) -> Workload:
    """Read the workload that a run was to send."""
    manifest, path = read_manifest(folder), folder / WORKLOAD
    try:
        requests = pl.read_parquet(path).select(*SENT)
    except OSError as fault:
        raise DiskError.unreadable(path, fault) from fault
    except pl.exceptions.PolarsError as fault:
        raise InputError.damaged(path, "Parquet") from fault
    return Workload(requests, manifest.name, manifest.synthetic, cast(Recipe, manifest.recipe))


def read_record(folder: Path) -> pl.DataFrame:
    """Read the record of all workers (columns of `SCHEMA`) by `request_id`, without a torn last line."""
    return pl.concat(read_pieces(folder)).sort("request_id")


def read_pieces(folder: Path) -> Iterator[pl.DataFrame]:
    """Read the record in pieces of some thousand requests, in the order of the files; at least one piece."""
    yield pl.DataFrame(schema=SCHEMA)
    for path in sorted(folder.glob("record-*.jsonl")):
        yield from _lines(path, SCHEMA)


def read_server(folder: Path) -> pl.DataFrame:
    """Read the server's samples, columns of `SERVER_SCHEMA`; no rows if none was taken."""
    path = folder / SERVER
    samples = [pl.DataFrame(schema=SERVER_SCHEMA)]
    if path.exists():
        samples += _lines(path, SERVER_SCHEMA)
    return pl.concat(samples).sort("at_s", maintain_order=True)


def write_record(folder: Path, record: pl.DataFrame, server: pl.DataFrame) -> None:
    """Write a whole record and the server's samples, for a run in virtual time.

    Parameters
    ----------
    folder
        A run folder.
    record
        Columns of `models.SCHEMA`.
    server
        Columns of `models.SERVER_SCHEMA`.

    Raises
    ------
    DiskError
        If the folder cannot be written.
    """
    try:
        record.select(*SCHEMA).write_ndjson(record_path(folder, 0))
        server.select(*SERVER_SCHEMA).write_ndjson(folder / SERVER)
    except OSError as fault:
        raise DiskError.unwritable(folder, fault) from fault


def record_path(folder: Path, worker: int) -> Path:
    """Name the file of a worker's record.

    Parameters
    ----------
    folder
        A run folder.
    worker
        Number of the worker.
    """
    return folder / f"record-{worker}.jsonl"


class Writer:
    """Appends JSON lines; what was flushed survives the death of the process.

    A torn last line, left by a process that was killed, is cut off before anything is appended.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._buffer: list[bytes] = []
        try:
            if path.exists():
                _cut_torn(path)
            self._file = path.open("ab", buffering=0)
        except OSError as fault:
            raise DiskError.unwritable(path, fault) from fault

    def add(self, line: msgspec.Struct) -> None:
        """Buffer a line until the next `flush`."""
        self._buffer.append(dumps(line))

    def flush(self) -> None:
        """Write the buffer; if the operating system refuses, the lines stay in it. Raises DiskError."""
        if not self._buffer:
            return
        data = memoryview(b"\n".join(self._buffer) + b"\n")
        try:
            while data:
                data = data[self._file.write(data) or 0 :]
        except OSError as fault:
            raise DiskError.unwritable(self.path, fault) from fault
        self._buffer.clear()

    def close(self) -> None:
        """Flush and close."""
        try:
            self.flush()
        finally:
            self._file.close()


def _cut_torn(path: Path) -> None:
    """Cut what follows the last newline, reading from the end."""
    with path.open("r+b") as file:
        end = at = file.seek(0, os.SEEK_END)
        while at:
            step = min(at, 1 << 16)
            at -= step
            file.seek(at)
            found = file.read(step).rfind(b"\n")
            if found >= 0:
                at += found + 1
                break
        if at < end:
            file.truncate(at)


def _lines(path: Path, schema: Mapping[str, Any]) -> Iterator[pl.DataFrame]:
    """The whole lines of a file, piece by piece: text takes several times the room of a frame."""
    before = 0
    try:
        with path.open("rb") as file:
            unended = b""
            while piece := file.read(PIECE):
                ended, newline, rest = piece.rpartition(b"\n")
                if not newline:
                    unended += rest
                    continue
                lines = unended + ended + newline
                unended = rest
                if lines.strip():
                    yield _parsed(path, lines, before, schema)
                before += lines.count(b"\n")
    except OSError as fault:
        raise DiskError.unreadable(path, fault) from fault


def _parsed(path: Path, lines: bytes, before: int, schema: Mapping[str, Any]) -> pl.DataFrame:
    """Whole lines as a frame; `before` lines of the file came before them."""
    try:
        return pl.read_ndjson(io.BytesIO(lines), schema=dict(schema)).select(*schema)
    except pl.exceptions.PolarsError as fault:
        line = next((i for i, text in enumerate(lines.splitlines(), 1) if not _is_object(text)), 1)
        raise InputError(f"{path}:{before + line}: is not a line of a record") from fault


def _is_object(text: bytes) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False
