"""Options that several verbs share, bundled and checked. The verbs themselves take them one by one, by name.

Not here: what a load is made of (`workload`), what an experiment runs on (`experiments.backend`).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from numbers import Integral, Real
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from ..analysis.core.errors import DiskError, InputError
from ..analysis.core.option_names import option

if TYPE_CHECKING:
    from ..analysis.core.result import Progress
    from ..analysis.logs.options import LogOptions
    from ..analysis.logs.pseudonyms import Anonymize
    from ..analysis.trace.trace import Cluster, Trace
    from ..bench.settings import Api
    from ..bench.simulated.presets import Preset
    from ..bench.simulated.request import Scheduling

EngineName = Literal["duckdb", "spark"]
ENGINES: tuple[EngineName, ...] = get_args(EngineName)
"""What computes: this process, or a Spark cluster."""
LOCAL = "local[*]"
"""Spark's master unless another is named: this process and its cores."""

Log = str | PathLike[str]
"""Path of a request log in a known format, or of a canonical Parquet trace; or URL of a database."""


@dataclass(frozen=True)
class ReadOptions:
    """How a log is read: its columns, its bad rows, the span of time, and what computes."""

    columns: Mapping[str, str] | None = None
    strict: bool = False
    start_s: float | None = None
    end_s: float | None = None
    engine: str = "duckdb"
    master: str | None = None
    conf: Mapping[str, str] | None = None
    reading: LogOptions | None = None
    anonymize: Anonymize | None = None

    @property
    def span(self) -> tuple[float | None, float | None]:
        """Begin and end on the trace's clock, in seconds."""
        return self.start_s, self.end_s

    @property
    def log(self) -> LogOptions:
        """What the user says about the log itself."""
        from ..analysis.logs.options import NO_OPTIONS

        options = self.reading or NO_OPTIONS
        return options if self.columns is None else replace(options, columns=self.columns)

    @property
    def cluster(self) -> Cluster | None:
        """Where Spark runs; None without Spark. Raises InputError if the options contradict each other."""
        from ..analysis.trace.trace import Cluster

        if self.engine not in ENGINES:
            raise InputError(f"{option('engine')}: {self.engine!r} is not one of {', '.join(ENGINES)}")
        if self.engine != "spark":
            if self.master or self.conf:
                raise InputError(
                    f"{option('master')} and {option('conf')} are for Spark; add {option('engine', 'spark')}"
                )
            return None
        return Cluster(self.master or LOCAL, self.conf or {})

    def open(self, logs: Sequence[Path], progress: Progress | None = None) -> Trace:
        """Open the logs as one trace."""
        from ..analysis.trace.trace import open_trace

        return open_trace(
            logs,
            options=self.log,
            strict=self.strict,
            span=self.span,
            cluster=self.cluster,
            anonymize=self.anonymize,
            progress=progress,
        )


def paths(logs: Log | Sequence[Log]) -> list[Path]:
    """One path or several, as a list; of a database without the password (`without_password`)."""
    from ..analysis.logs.files.databases import log_path

    return [log_path(logs)] if isinstance(logs, str | PathLike) else [log_path(log) for log in logs]


def source_text(source: Log) -> str:
    """A source as text, for messages and files: of a database without the password, which is remembered."""
    from ..analysis.logs.files.databases import without_password

    return without_password(source)


def check_folder(folder: Path) -> None:
    """Raise DiskError if a folder could not be written, before work of minutes begins; make nothing."""
    place = next(each for each in (folder.absolute(), *folder.absolute().parents) if each.exists())
    if not place.is_dir():
        raise DiskError.unwritable(folder, OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)))
    if not os.access(place, os.W_OK | os.X_OK):
        raise DiskError.unwritable(folder, OSError(errno.EACCES, os.strerror(errno.EACCES)))


def check_positive(name: str, value: object, *, integer: bool = False) -> None:
    """Check a number that a caller gave; raises InputError with the name of the parameter.

    Parameters
    ----------
    name : str
        The parameter.
    value : object
        None passes: the parameter was not given.
    integer : bool
        Whether only an integer will do.
    """
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, Integral if integer else Real):
        kind = "an integer" if integer else "a number"
        raise InputError.of_option(name, f"{value!r} is not {kind}")
    if not 0 < float(value) < inf:
        raise InputError.of_option(name, f"{value} is not above 0")


def check_backend(url: str | None, simulate: str | Preset | None) -> None:
    """Check that a load goes to one place; raises InputError for none and for two."""
    if url is None and simulate is None:
        raise InputError(
            f"say where to send: {option('url')} names a server, {option('simulate')} a preset of the "
            "simulated engine"
        )
    if url is not None and simulate is not None:
        raise InputError(f"{option('url')} and {option('simulate')} exclude each other: give one of them")


def checked_api(api: str) -> Api:
    """Check the name of an OpenAI endpoint; raises InputError for another."""
    if api == "chat":
        return "chat"
    if api == "completions":
        return "completions"
    raise InputError(f"{option('api')}: {api!r} is neither completions nor chat")


def checked_scheduling(scheduling: str) -> Scheduling:
    """Check the name of a policy of the simulated engine; raises InputError for another."""
    if scheduling == "priority":
        return "priority"
    if scheduling == "fcfs":
        return "fcfs"
    raise InputError(f"{option('scheduling')}: {scheduling!r} is neither fcfs nor priority")
