"""The record of a run: one line a request as it ends, in a folder that later steps read.

A run folder holds `run.json` (what was asked of which server, see `Manifest`), `workload.parquet`,
`record-<worker>.jsonl` (append-only, one JSON object a request, columns of `SCHEMA`) and `server.jsonl`
(the server's own metrics, columns of `SERVER_SCHEMA`). Not here: sending, and what the numbers mean.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

import polars as pl

from ...analysis.core.atomic_write import write_json
from ...analysis.core.errors import BurstlensError
from ...analysis.logs.run_folders import RUN
from ..workload.table import SCHEMA as SENT
from ..workload.table import Workload
from .json_bytes import dumps
from .versioned_json import of_fields, read_kept

WORKLOAD = "workload.parquet"
SERVER = "server.jsonl"
VERSION = 1
PIECE = 1 << 21
"""Bytes of a record that are read at a time."""

Outcome = Literal[
    "ok",
    "truncated",
    "rejected",
    "http_4xx",
    "http_429",
    "http_5xx",
    "stream_error",
    "timeout",
    "refused",
    "reset",
    "aborted",
]
"""How a request ended; exactly one each. `truncated` answered with fewer tokens than asked."""
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
ANSWERED: tuple[Outcome, ...] = ("ok", "truncated")

SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    "request_id": pl.Int64,
    "worker": pl.Int64,
    "service": pl.String,
    "model": pl.String,
    "session": pl.Int64,
    "turn": pl.Int64,
    "intended_s": pl.Float64,
    "sent_s": pl.Float64,
    "first_token_s": pl.Float64,
    "ended_s": pl.Float64,
    "waited_s": pl.Float64,
    "request_tokens_asked": pl.Int64,
    "response_tokens_asked": pl.Int64,
    "request_tokens": pl.Int64,
    "response_tokens": pl.Int64,
    "outcome": pl.String,
    "status": pl.Int64,
    "error": pl.String,
    "tries": pl.Int64,
    "gaps_s": pl.List(pl.Float64),
    "gap_tokens": pl.List(pl.Int64),
}
"""Columns of a record. Instants are seconds after the start of the run, on one monotonic clock.

`intended_s` is the instant that the schedule (or the previous answer plus think time) set, `sent_s` the
instant at which the request was really sent, for the first time where it was sent again (`tries`, null in
records of before), null if it never was. `waited_s` is time spent waiting for
`--max-concurrency`. Tokens without `_asked` are the server's own count, null where it told none. `gaps_s`
are the times between chunks after the first, `gap_tokens` the tokens that each of those chunks carried
(zero tokens where the server does not say; null as a whole where nothing was streamed).
"""

SERVER_SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    "at_s": pl.Float64,
    "kv_cache_use": pl.Float64,
    "running": pl.Float64,
    "waiting": pl.Float64,
    "preemptions": pl.Float64,
    "rejections": pl.Float64,
    "prompt_tokens": pl.Float64,
    "generation_tokens": pl.Float64,
}
"""Samples of the server's metrics on the record's clock; the last four are counters since its start."""


@dataclass(frozen=True)
class Manifest:
    """What was asked of which server; the content of `run.json`. Never holds a key."""

    name: str
    synthetic: bool
    """Whether the workload's source was synthetic."""
    recipe: Mapping[str, Any]
    workload_sha256: str
    requests: int
    url: str | None
    """None for a run in virtual time."""
    served_model: str | None
    simulated: str | None
    """Preset of the simulated engine; None for a real server."""
    server_version: str | None
    settings: Mapping[str, Any]
    started_unix_s: float
    finished: bool = False
    """Whether every request of the workload was sent and ended."""
    stopped: str | None = None
    """Why it ended early, in words."""
    notes: Sequence[str] = ()
    """What a reader should know: no metrics, another tokenizer, …"""
    shard: Mapping[str, Any] | None = None
    """Which part of which workload this sender sent: `index`, `of`, `seed`, `workload_sha256` and `requests`
    of the whole, `start_unix_s` (the run's second 0) and `clock` (see `clocks.Offset`, null where it was not
    measured). Without `index` it is the run that all the shards make together, with `clocks`, one a shard."""
    version: int = VERSION


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write `run.json`, whole or not at all; BurstlensError where the disk refuses."""
    write_json(asdict(manifest), folder / RUN)


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a run folder; BurstlensError where there is none or it is damaged."""
    return read_kept(
        folder / RUN,
        VERSION,
        partial(of_fields, Manifest),
        absent=f"{folder}: holds no {RUN}, so it is no run; name the folder that burstlens replay wrote",
        wrong="is no manifest of a run",
    )


def begin(folder: Path, manifest: Manifest, workload: Workload) -> None:
    """Make a new run folder; BurstlensError where it holds a run already, or cannot be written."""
    if (folder / RUN).exists():
        raise BurstlensError(f"{folder}: holds a run already; go on with --resume, or name another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        workload.requests.write_parquet(folder / WORKLOAD)
    except OSError as fault:
        raise BurstlensError.unwritable(folder, fault) from fault
    write_manifest(folder, manifest)


def read_workload(folder: Path) -> Workload:
    """What a run was to send."""
    manifest, path = read_manifest(folder), folder / WORKLOAD
    try:
        requests = pl.read_parquet(path).select(*SENT)
    except OSError as fault:
        raise BurstlensError.unreadable(path, fault) from fault
    except pl.exceptions.PolarsError as fault:
        raise BurstlensError.damaged(path, "Parquet") from fault
    return Workload(requests, manifest.name, manifest.synthetic, manifest.recipe)


def read_record(folder: Path) -> pl.DataFrame:
    """The record of all workers (columns of `SCHEMA`) by `request_id`; a torn last line is left out."""
    return pl.concat(read_pieces(folder)).sort("request_id")


def read_pieces(folder: Path) -> Iterator[pl.DataFrame]:
    """The same, some thousand requests at a time as they were written; at least one, which may be empty."""
    yield pl.DataFrame(schema=SCHEMA)
    for path in sorted(folder.glob("record-*.jsonl")):
        yield from _lines(path, SCHEMA)


def read_server(folder: Path) -> pl.DataFrame:
    """The server's samples, columns of `SERVER_SCHEMA`; no rows where none was taken."""
    path = folder / SERVER
    samples = [pl.DataFrame(schema=SERVER_SCHEMA)]
    if path.exists():
        samples += _lines(path, SERVER_SCHEMA)
    return pl.concat(samples).sort("at_s")


def write_record(folder: Path, record: pl.DataFrame, server: pl.DataFrame) -> None:
    """Write a record and the server's samples at once, as a run in virtual time has them."""
    try:
        record.select(*SCHEMA).write_ndjson(record_path(folder, 0))
        server.select(*SERVER_SCHEMA).write_ndjson(folder / SERVER)
    except OSError as fault:
        raise BurstlensError.unwritable(folder, fault) from fault


def record_path(folder: Path, worker: int) -> Path:
    """Where a worker's record lies."""
    return folder / f"record-{worker}.jsonl"


class Writer:
    """Appends JSON lines; what was flushed survives the death of the process.

    A torn last line, left by a process that was killed, is cut off before anything is appended.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._held: list[bytes] = []
        try:
            if path.exists():
                _cut_torn(path)
            self._file = path.open("ab", buffering=0)
        except OSError as fault:
            raise BurstlensError.unwritable(path, fault) from fault

    def add(self, row: Mapping[str, Any]) -> None:
        """Hold a row until the next `flush`."""
        self._held.append(dumps(row))

    def flush(self) -> None:
        """Hand what is held to the operating system; BurstlensError where it refuses, nothing forgotten."""
        if not self._held:
            return
        data = memoryview(b"\n".join(self._held) + b"\n")
        try:
            while data:
                data = data[self._file.write(data) or 0 :]
        except OSError as fault:
            raise BurstlensError.unwritable(self.path, fault) from fault
        self._held.clear()

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
            held = b""
            while piece := file.read(PIECE):
                whole, newline, rest = piece.rpartition(b"\n")
                if not newline:
                    held += rest
                    continue
                lines = held + whole + newline
                held = rest
                if lines.strip():
                    yield _parsed(path, lines, before, schema)
                before += lines.count(b"\n")
    except OSError as fault:
        raise BurstlensError.unreadable(path, fault) from fault


def _parsed(path: Path, lines: bytes, before: int, schema: Mapping[str, Any]) -> pl.DataFrame:
    """Whole lines as a frame; `before` lines of the file came before them."""
    try:
        return pl.read_ndjson(io.BytesIO(lines), schema=dict(schema)).select(*schema)
    except pl.exceptions.PolarsError as fault:
        line = next((i for i, text in enumerate(lines.splitlines(), 1) if not _is_object(text)), 1)
        raise BurstlensError(f"{path}:{before + line}: is no line of a record") from fault


def _is_object(text: bytes) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False
