"""A trace: its identity, and opening it for questions; turning logs into a trace file.

`logs` reads the log files, `store` holds the rows, `parquet` writes files. Not here: what a trace shows
(`traffic`, `lengths`, `conversations`).
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import duckdb
import polars as pl

from ...queries.duckdb import DuckDBEngine
from ...queries.engine import Engine
from ...queries.spark import LOCAL, MasterError, NotInstalledError, SparkError, start
from ..core.errors import BurstlensError, EndpointError, InputError, MissingExtraError
from ..core.exhibit import Displayable, Exhibit
from ..core.option_names import option
from ..core.result import Progress, silent
from ..core.units import HOUR_S, counted
from ..logs.anonymize import anonymize_requests, anonymous_info
from ..logs.files import urls_spark
from ..logs.files.databases import database_of, databases_named, is_database, log_path
from ..logs.files.run_folders import FORMAT as RECORD
from ..logs.files.run_folders import Record, is_synthetic_run, record_files, run_name
from ..logs.files.sniff import file_digest, stem
from ..logs.formats.declaration import formats
from ..logs.load_duckdb import Loaded
from ..logs.options import NO_OPTIONS, LogOptions
from ..logs.pseudonyms import Anonymize, Pseudonyms
from ..logs.rejects import Reject, write_rejects
from ..logs.select_sql import ALL_TIME, Reading, Span, plan_reading
from ..logs.tables import HOLE_S, Selection, Stream, stamp
from ..logs.trace_info import Source, TraceInfo
from .bin_counts import BlockCounts, BlockGaps, Blocks
from .parquet import COLUMNS, write_folder, write_trace
from .store import Store
from .store_duckdb import DuckDBStore
from .store_spark import SparkStore
from .window_gaps import SelectionGaps, Windows

LOGGER = logging.getLogger(__name__)

__all__ = [
    "ALL_TIME",
    "COLUMNS",
    "HOLE_S",
    "Cluster",
    "Selection",
    "Source",
    "Span",
    "Trace",
    "TraceInfo",
    "WrittenTrace",
    "ingest",
    "open_frame",
    "open_trace",
    "prepare",
    "write_trace",
]


@dataclass(frozen=True)
class Trace(Displayable):
    """An opened trace: its identity, its selections and an engine that answers questions about it."""

    info: TraceInfo
    store: Store
    """Where its requests are: in this process, or on a cluster."""
    selections: tuple[Selection, ...]
    segments: pl.DataFrame
    """`segment_id`, `start_s`, `end_s`: contiguous stretches between holes of the record."""
    rejects: tuple[Reject, ...] = ()
    """Rows of the logs that are not in the trace; empty when it was opened from a trace file."""
    optional: tuple[str, ...] = ()
    """The columns of `parquet.OPTIONAL` that some request has a value of."""

    @property
    def engine(self) -> Engine:
        """Answers SQL about the trace."""
        return self.store.engine

    def window_gaps(self, windows: Windows) -> Iterator[tuple[Selection, SelectionGaps]]:
        """Requests and gaps of every selection in `windows`, one selection at a time: they are not small."""
        return self.store.window_gaps(self.selections, windows, self.info.resolution_s)

    def block_counts(
        self, blocks: Blocks, widths_ticks: Sequence[float]
    ) -> Iterator[tuple[Selection, list[BlockCounts], BlockGaps]]:
        """Count every selection's requests and gaps by block.

        Parameters
        ----------
        blocks : Blocks
        widths_ticks : sequence of float
            Widths of the bins in ticks, ascending.

        Yields
        ------
        selection : Selection
        counts : list of BlockCounts
            One for each width.
        gaps : BlockGaps
        """
        return self.store.block_counts(self.selections, blocks, widths_ticks)

    @property
    def start_s(self) -> float:
        """First arrival, seconds since midnight of day 0."""
        return float(self.segments["start_s"].min())  # type: ignore[arg-type]

    @property
    def end_s(self) -> float:
        """Last arrival, seconds since midnight of day 0."""
        return float(self.segments["end_s"].max())  # type: ignore[arg-type]

    def selection(self, service: str | None = None, model: str | None = None) -> Selection:
        """Find the selection of a service and a model.

        Parameters
        ----------
        service, model : str, optional
            None means all of them.

        Raises
        ------
        KeyError
            If there is no such selection; the message names the ones of this trace.
        """
        for candidate in self.selections:
            if (candidate.service, candidate.model) == (service, model):
                return candidate
        known = ", ".join(s.label for s in self.selections)
        raise KeyError(f"no selection {service!r} · {model!r}; this trace has: {known}")

    def close(self) -> None:
        """Let go of the memory that the requests take; the trace answers no more."""
        self.engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def requests(self) -> pl.DataFrame:
        """Every request as a row, sorted by arrival: `COLUMNS`, then the optional columns that it has.

        InputError if they are on a cluster: only small tables leave it.
        """
        return self.store.requests(self.info)

    def to_frame(self, table: str | None = None) -> pl.DataFrame:
        """The requests (see `requests`), or one of the tables that the trace shows itself with."""
        return self.requests() if table in (None, "requests") else super().to_frame(table)

    def exhibit(self) -> Exhibit:
        """Identity, selections with their counts and rates, and requests per hour."""
        span_s = max(self.end_s - self.start_s, self.info.resolution_s)
        selections = pl.DataFrame(
            [(s.label, s.service, s.model, s.n, s.n / span_s) for s in self.selections],
            schema={
                "selection": pl.String, "service": pl.String, "model": pl.String,
                "requests": pl.Int64, "rate_rps": pl.Float64,
            },
            orient="row",
        )  # fmt: skip
        hours = f"{span_s / HOUR_S:,.1f} hours from first to last arrival"
        return Exhibit(
            self.info.name, self.info.marks, (*self.info.lines(), hours), {"selections": selections}
        )


@dataclass(frozen=True)
class Cluster:
    """Where Spark runs: a master as Spark names it, and settings of Spark's own."""

    master: str = LOCAL
    conf: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class WrittenTrace(Displayable):
    """A trace that `ingest` wrote: its identity, where it lies, and the rejects file if there is one."""

    info: TraceInfo
    out: Path
    rejects: Path | None
    listed_rejects: int
    """Rejected rows in the rejects file; Spark lists no more than ten thousand."""

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for `--json`."""
        return {
            "out": str(self.out),
            "rejects": str(self.rejects) if self.rejects else None,
            **self.info.as_dict(),
        }

    def exhibit(self) -> Exhibit:
        """What was done, and the files that were read."""
        sources = pl.DataFrame(
            [(source.name, source.bytes, source.sha256) for source in self.info.sources],
            schema={"file": pl.String, "bytes": pl.Int64, "sha256": pl.String},
            orient="row",
        )
        return Exhibit(str(self.out), self.info.marks, self.lines(), {"sources": sources})

    def lines(self) -> list[str]:
        """The result in sentences, for a person."""
        info = self.info
        logs = info.sources[0].name if len(info.sources) == 1 else f"{len(info.sources)} files"
        lines = [f"{self.out}: {counted(info.rows, 'request')} from {logs}, format {info.format}"]
        if info.synthetic:
            lines[0] += ", synthetic"
        if info.rejected:
            which = "" if self.listed_rejects >= info.rejected else f"the first {self.listed_rejects:,} "
            where = f", {which}listed in {self.rejects}" if self.rejects else ""
            lines.append(f"{counted(info.rejected, 'row')} rejected{where}")
        if info.resorted:
            lines.append(f"{counted(info.resorted, 'row')} came after a later arrival; they are sorted now")
        if info.spread:
            lines.append("arrivals were spread evenly inside the minutes that the log counts")
        return lines


def open_trace(
    logs: Path | Sequence[Path],
    *,
    options: LogOptions = NO_OPTIONS,
    strict: bool = False,
    rejects: Path | None = None,
    span: Span = ALL_TIME,
    cluster: Cluster | None = None,
    clock_s: float = 0.0,
    anonymize: Anonymize | None = None,
    progress: Progress | None = None,
) -> Trace:
    """Read one log, or several that make one trace, and prepare the tables that questions are put to.

    A log is a canonical Parquet trace, a file in a known format, the folder of a run (for its records; the
    shards of one workload are one trace together), or any table with a column map.

    Parameters
    ----------
    logs : Path or sequence of Path
    options : LogOptions
        What the user says about the logs, such as the names of their columns.
    strict : bool
        Raise the first bad row as an error. By default bad rows are counted in the trace's identity and
        listed in its `rejects`.
    rejects : Path, optional
        File for the bad rows, written if there are any.
    span : Span
        Read only requests of that time, in seconds from midnight of day 0. If a trace is partitioned by day,
        no file of another day is opened.
    cluster : Cluster, optional
        Let Spark read and answer: no row of the logs reaches this process.
    clock_s : float
        With Spark, put finer stamps on a clock of this tick, in seconds.
    anonymize : Anonymize, optional
        Replace names by keyed hashes, and shift stamps.
    progress : callable, optional

    Returns
    -------
    Trace
        The caller closes it.

    Raises
    ------
    BurstlensError
        For every fault of the input.
    """
    records = record_files([log_path(log) for log in ([logs] if isinstance(logs, Path) else logs)])
    if not records:
        raise InputError.no_logs()
    tell = progress or silent
    databases = [record.path for record in records if is_database(record.path)]
    pseudonyms = None
    if anonymize is not None:
        elsewhere = (urls_spark.url_of(record.path) for record in records if record.path not in databases)
        if cluster is not None or any(elsewhere):
            raise InputError.of_option(
                "anonymize", "only DuckDB anonymizes", remedy=f"leave {option('engine')} out"
            )
        anonymize.check(None, folder=False)
        pseudonyms = anonymize.open()
    if span != ALL_TIME and len(records) > 1:
        raise InputError.no_clock(records[0].path)
    if databases and cluster is not None:
        database = database_of(databases[0], options.resolved())
        raise InputError.at(
            str(database),
            "a database is not read on Spark",
            remedy=f"first make a trace of it: burstlens ingest {database.typed} -o trace.parquet",
        )
    urls = {
        record.path: url
        for record in records
        if record.path not in databases and (url := urls_spark.url_of(record.path))
    }
    store = _store(cluster) if urls else None
    with tempfile.TemporaryDirectory(prefix="burstlens-") as folder:
        stands = {
            path: store.local_copy(url, Path(tempfile.mkdtemp(dir=folder)))
            for path, url in urls.items()
            if store is not None
        }
        try:
            with databases_named():
                readings = [
                    _plan_log(
                        record,
                        stands.get(record.path),
                        urls.get(record.path),
                        options,
                        i,
                        span,
                        Path(folder),
                        tell,
                    )
                    for i, record in enumerate(records)
                ]
                tell(f"reading {readings[0].log.path.name}", 0.0)
                trace = _read(store or _store(cluster), readings, strict, rejects, clock_s, pseudonyms, tell)
        except BurstlensError as fault:
            if not stands:
                raise
            text = fault.args[0]
            for path, stand in stands.items():
                text = text.replace(str(stand), urls[path])
            raise type(fault)(text) from fault
    tell("opened", 1.0)
    info = trace.info
    LOGGER.info(
        "read %s: %s, %d requests, %d rows rejected", info.name, info.format, info.rows, info.rejected
    )
    return trace


def _plan_log(
    record: Record,
    stand: Path | None,
    url: str | None,
    options: LogOptions,
    position: int,
    span: Span,
    folder: Path,
    tell: Progress,
) -> Reading:
    """How to read a log; one at a URL is looked at by what stands in for it."""
    reading = plan_reading(stand or record.path, options, position, record.behind_s, span, folder, tell)
    return reading if url is None else replace(reading, log=replace(reading.log, url=url))


def _read(
    store: Store,
    readings: Sequence[Reading],
    strict: bool,
    rejects: Path | None,
    clock_s: float,
    pseudonyms: Pseudonyms | None,
    tell: Progress,
) -> Trace:
    """Load the logs and build the tables; an error closes the engine."""
    try:
        loaded = _load(store, readings, strict, clock_s)
        if pseudonyms is not None and isinstance(store, DuckDBStore):
            loaded = anonymize_requests(store.engine.connection, loaded, pseudonyms)
        if rejects is not None and loaded.rejects:
            write_rejects(loaded.rejects, rejects)
        tell("counting arrivals", 0.7)
        # Hashing runs while the counting does: it releases the interpreter lock.
        with ThreadPoolExecutor(max_workers=1) as pool:
            digests = [pool.submit(store.digest, reading.log) for reading in readings]
            trace = _prepare(store, _identity(readings, loaded, []), loaded.streams)
            info = _identity(readings, loaded, [digest.result() for digest in digests])
        if pseudonyms is not None:
            info = anonymous_info(info, pseudonyms)
    except BaseException:
        store.engine.close()
        raise
    return replace(trace, info=info, rejects=tuple(loaded.rejects), optional=loaded.optional)


def _store(cluster: Cluster | None) -> Store:
    """Where the requests will be: in this process, unless a cluster is named."""
    if cluster is None:
        return DuckDBStore(DuckDBEngine(duckdb.connect()))
    try:
        return SparkStore(start(cluster.master, cluster.conf, BurstlensError))
    except NotInstalledError as fault:
        raise MissingExtraError.no_spark(str(fault)) from fault
    except MasterError as fault:
        raise InputError.of_option("master", str(fault)) from fault
    except SparkError as fault:
        raise EndpointError(str(fault)) from fault


def _load(store: Store, readings: Sequence[Reading], strict: bool, clock_s: float) -> Loaded:
    """Load the logs; report damage of a compressed file first, since it causes the other faults in it."""
    try:
        return store.load(readings, strict=strict, clock_s=clock_s)
    except BurstlensError:
        for reading in readings:
            if reading.log.packed != "none" and reading.log.url is None:
                file_digest(reading.log.path, reading.log.packed)
        raise


def prepare(engine: DuckDBEngine, info: TraceInfo) -> Trace:
    """Open what an engine has in a table `trace`.

    Parameters
    ----------
    engine : DuckDBEngine
        Its table has the columns `COLUMNS`, with rows in any order.
    info : TraceInfo
        Identity of the trace, with the resolution of its clock.

    Returns
    -------
    Trace
    """
    return _prepare(DuckDBStore(engine), info, stamp(engine, info.resolution_s))


def _prepare(store: Store, info: TraceInfo, streams: Sequence[Stream]) -> Trace:
    """Build the tables of `burstlens.queries` from the requests; `streams` by `stream_id` from 1."""
    selections = store.build(streams, info.resolution_s)
    segments = store.engine.ask("segments", resolution_s=info.resolution_s)
    return Trace(info, store, selections, segments)


def _identity(readings: Sequence[Reading], loaded: Loaded, digests: Sequence[str]) -> TraceInfo:
    """Build the trace's identity from its logs and from what reading them found."""
    stored = [r.stored for r in readings if r.stored]
    sources: list[Source] = []
    for reading, digest in zip(readings, digests, strict=False):
        path = reading.log.path
        database = reading.log.database
        own = Source(path.name if database is None else database.name, digest, path.stat().st_size)
        sources.extend(reading.stored.sources if reading.stored and reading.stored.sources else (own,))
    names = _names(readings)
    formats = list(dict.fromkeys(r.name for r in readings))
    rules = list(dict.fromkeys(r.failure_rule for r in readings if r.failure_rule))
    return TraceInfo(
        name=" + ".join(names) if len(names) <= 3 else f"{names[0]} + {len(names) - 1} more",
        format=" + ".join(formats),
        sources=tuple(sources),
        rows=loaded.rows,
        rejected=loaded.rejected + sum(info.rejected for info in stored),
        resorted=loaded.resorted + sum(info.resorted for info in stored),
        resolution_s=loaded.resolution_s,
        day0=loaded.day0,
        synthetic=any(_is_synthetic(reading) for reading in readings),
        spread=any(r.stored.spread if r.stored else r.format.spread for r in readings),
        has_failures=any(r.has_failures for r in readings),
        has_sessions=loaded.has_sessions,
        has_tokens=loaded.has_tokens,
        failure_rule="; ".join(rules) or None,
        block_tokens=_block_tokens(readings),
        timezone=loaded.timezone,
        notes=tuple(dict.fromkeys((*_notes(readings), *loaded.notes))),
        anonymized=next((info.anonymized for info in stored if info.anonymized), None),
    )


def _block_tokens(readings: Sequence[Reading]) -> int | None:
    """Tokens of a prefix block; numbers of blocks of two sizes cannot be compared."""
    sizes: dict[int | None, str] = {}
    for reading in readings:
        if "prefix" in reading.holds:
            stored = reading.stored
            size = reading.block_tokens
            if stored and size is None and stored.format in formats():
                # A file of an older version names only its format.
                size = formats()[stored.format].block_tokens
            sizes.setdefault(size, reading.log.path.name)
    known = [size for size in sizes if size is not None]
    if len(known) > 1:
        raise InputError.mixed_blocks({sizes[size]: size for size in known})
    return known[0] if known and len(sizes) == 1 else None


def _notes(readings: Sequence[Reading]) -> tuple[str, ...]:
    """What was decided in reading the logs, each with the name of its log if there are several."""
    notes: list[str] = []
    for reading in readings:
        own = (*(reading.stored.notes if reading.stored else ()), *reading.notes)
        notes += own if len(readings) == 1 else [f"{reading.log.path.name}: {note}" for note in own]
    return tuple(dict.fromkeys(notes))


def _names(readings: Sequence[Reading]) -> list[str]:
    """What each log is called; the records of one run by its name, once."""
    names: list[str] = []
    runs: set[Path] = set()
    for reading in readings:
        path = reading.log.path
        if reading.stored:
            names.append(reading.stored.name)
        elif reading.name != RECORD:
            names.append(reading.log.stem)
        elif path.parent not in runs:
            runs.add(path.parent)
            names.append(run_name(path))
    return names


def _is_synthetic(reading: Reading) -> bool:
    """By the metadata of a trace file, the manifest of a run, or the name: a CSV's only mark."""
    if reading.name == RECORD and is_synthetic_run(reading.log.path):
        return True
    named = "synthetic" in reading.log.path.name.casefold()
    return named or (reading.stored is not None and reading.stored.synthetic)


def ingest(
    logs: Path | Sequence[Path],
    *,
    out: Path | None = None,
    options: LogOptions = NO_OPTIONS,
    strict: bool = False,
    by_day: bool = False,
    cluster: Cluster | None = None,
    anonymize: Anonymize | None = None,
    progress: Progress | None = None,
) -> WrittenTrace:
    """Turn any known log into a canonical Parquet trace, with its identity in the file's metadata.

    Rejected rows go to `<out's stem>.rejects.csv` in the same folder, only when there are any; otherwise a
    file of that name from an earlier run is removed, so that it never describes another trace.

    Parameters
    ----------
    logs : Path or sequence of Path
    out : Path, optional
        `<name of the first log>.parquet`, next to that log, by default.
    options : LogOptions
        What the user says about the logs, such as the names of their columns.
    strict : bool
        Raise the first bad row as an error.
    by_day : bool
        Write a folder partitioned by day (see `write_folder`). Spark always writes a folder.
    cluster : Cluster, optional
        Let Spark read and write.
    anonymize : Anonymize, optional
        Replace names by keyed hashes, and shift stamps.
    progress : callable, optional

    Returns
    -------
    WrittenTrace

    Raises
    ------
    BurstlensError
        For every fault of the input, or if `out` is one of the logs or cannot be written.
    """
    listed_logs = [logs] if isinstance(logs, Path) else list(logs)
    paths = [record.path for record in record_files([log_path(log) for log in listed_logs])]
    if not paths:
        raise InputError.no_logs()
    out = out or _beside(paths[0], options, None if anonymize is None else "anonymized")
    if any(out.exists() and path.exists() and out.samefile(path) for path in paths):
        raise InputError.unwritable(
            out, "it is one of the logs", remedy=f"name another file with {option('out')}"
        )
    if anonymize is not None:
        anonymize.check(out, folder=by_day)
    listed = out.with_name(f"{out.stem}.rejects.csv")
    trace = open_trace(
        listed_logs,
        options=options,
        strict=strict,
        rejects=listed,
        cluster=cluster,
        anonymize=anonymize,
        progress=progress,
    )
    try:
        if by_day or not trace.store.one_file:
            write_folder(trace, out, by_day=by_day)
        else:
            write_trace(trace, out)
    finally:
        trace.engine.close()
    if not trace.rejects:
        listed.unlink(missing_ok=True)
    return WrittenTrace(trace.info, out, listed if trace.rejects else None, len(trace.rejects))


def _beside(log: Path, options: LogOptions, name: str | None = None) -> Path:
    """The trace file of a log: next to it, by its name or another; of a database in the current folder."""
    if is_database(log):
        return Path(f"{name or database_of(log, options.resolved()).stem}.parquet")
    return log.with_name(f"{name or stem(log)}.parquet")


def open_frame(frame: pl.DataFrame, info: TraceInfo) -> Trace:
    """Open a frame as a trace; rows, clock and order are found anew.

    Parameters
    ----------
    frame : DataFrame
        With the columns `COLUMNS`, and any of `OPTIONAL` and `PREFIX` (see `write_trace`).
    info : TraceInfo
        Its sources stay those of the trace.

    Returns
    -------
    Trace
    """
    with tempfile.TemporaryDirectory(prefix="burstlens-") as folder:
        path = Path(folder) / "trace.parquet"
        write_trace(frame, path, info)
        trace = open_trace(path)
    return replace(trace, info=replace(trace.info, sources=info.sources))
