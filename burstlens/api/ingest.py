"""The verb `ingest`: any known log as a canonical Parquet trace, and the load of shards.

Not here: how logs are read and written (`burstlens.analysis.trace`), the verdict on a load
(`burstlens.bench.metrics`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..analysis.core.errors import InputError
from ..analysis.core.option_names import option
from ..analysis.trace.trace import WrittenTrace
from .options import Log, ReadOptions, paths

if TYPE_CHECKING:
    from ..analysis.core.result import Progress
    from ..analysis.logs.options import LogOptions
    from ..analysis.logs.pseudonyms import Anonymize


@dataclass(frozen=True)
class ShardLoad:
    """What the shards of one workload were together, as a load."""

    verdict: str
    trustworthy: bool
    shards: int
    requests: int
    notes: tuple[str, ...]
    """What to know of the load"""

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for `--json`."""
        return {
            "verdict": self.verdict,
            "trustworthy": self.trustworthy,
            "shards": self.shards,
            "requests": self.requests,
            "notes": list(self.notes),
        }


@dataclass(frozen=True)
class IngestResult(WrittenTrace):
    """A trace that was written, and the load if the logs are the shards of a replay."""

    load: ShardLoad | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for `--json`."""
        return super().as_dict() | ({"load": self.load.as_dict()} if self.load else {})

    def lines(self) -> list[str]:
        """What to tell a person."""
        if self.load is None:
            return super().lines()
        notes = [f"note: {note}" for note in self.load.notes]
        return [*super().lines(), *notes, f"load of all {self.load.shards} shards: {self.load.verdict}"]


def ingest(
    logs: Log | Sequence[Log],
    out: Log,
    *,
    columns: Mapping[str, str] | None = None,
    reading: LogOptions | None = None,
    strict: bool = False,
    partition_by: str | None = None,
    engine: str = "duckdb",
    master: str | None = None,
    conf: Mapping[str, str] | None = None,
    anonymize: Anonymize | None = None,
    progress: Progress | None = None,
) -> IngestResult:
    """Convert a log, or several that make one trace, to a canonical Parquet trace.

    Rejected rows go to a file next to it. The folders of all shards of a replay make one trace, and the
    verdict is on their common load. Spark writes a folder of Parquet files, which is a trace like any other.

    Parameters
    ----------
    logs, columns, reading, strict, engine, master, conf, anonymize
        As in `trace`.
    out
        The Parquet file, or the folder, to write.
    partition_by
        `"day"` writes a folder with a file or more per day.

    Returns
    -------
    IngestResult
        The identity of the trace, the path of the rejects if there are any, and the load of shards.

    Examples
    --------
    >>> done = bl.ingest("synthetic.csv", "trace.parquet")
    >>> done.info.rejected, done.out.name
    (0, 'trace.parquet')
    """
    from ..analysis.logs.files.run_folders import shards_of
    from ..analysis.trace.trace import ingest as write_trace

    if partition_by not in (None, "day"):
        raise InputError(f"{option('partition_by')}: {partition_by!r} is not day")
    read = ReadOptions(columns, strict, engine=engine, master=master, conf=conf, reading=reading)
    listed = paths(logs)
    written = write_trace(
        listed,
        out=Path(out),
        options=read.log,
        strict=strict,
        by_day=partition_by == "day",
        cluster=read.cluster,
        anonymize=anonymize,
        progress=progress,
    )
    shards = [part.folder for part in shards_of(listed)]
    load = _load_of(shards) if shards else None
    if load is not None and anonymize is not None:
        load = replace(load, notes=())
    return IngestResult(written.info, written.out, written.rejects, written.listed_rejects, load)


def _load_of(folders: Sequence[Path]) -> ShardLoad:
    """Judge what the shards of one workload were together."""
    from ..bench.client.merge_shards import merged_shards
    from ..bench.metrics.summary import summarize

    with merged_shards(folders) as run:
        summary = summarize(run)
    manifest = summary.manifest
    return ShardLoad(
        str(summary.verdict),
        summary.verdict.trustworthy,
        len(folders),
        manifest.requests,
        tuple(manifest.notes),
    )
