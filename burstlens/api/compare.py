"""Two traces opened, put on one clock, and compared for fidelity.

Not here: the statistics (`burstlens.analysis.compare.fidelity`), the command line
(`burstlens.cli.verbs.compare`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..analysis.core.errors import InputError
from ..analysis.core.exhibit import Displayable, Exhibit
from ..analysis.core.result import Progress, silent
from ..analysis.core.units import counted
from .options import Log, ReadOptions, check_positive, source_text

if TYPE_CHECKING:
    import polars as pl

    from ..analysis.compare.fidelity import Fidelity
    from ..analysis.logs.options import LogOptions
    from ..analysis.logs.trace_info import TraceInfo
    from ..analysis.trace.trace import Trace


@dataclass(frozen=True)
class ComparisonResult(Displayable):
    """How faithful one trace is to another."""

    part: Fidelity
    notes: tuple[str, ...]
    """What was done so that the two can be compared: drawn, put on a coarser clock."""
    synthetic: tuple[str, ...]
    """Those of the two that are synthetic."""

    @property
    def agrees(self) -> bool:
        """Whether every statistic that can be told agrees within noise."""
        return bool(self.part.statistics["agrees"].fill_null(True).all())

    def lines(self) -> list[str]:
        """What a person wants to read."""
        return [*self.part.sentences(), *self.notes, *self.part.missing]

    def as_dict(self) -> dict[str, Any]:
        """The same for machines."""
        return {
            "one": self.part.one,
            "other": self.part.other,
            "agrees": self.agrees,
            "synthetic": list(self.synthetic),
            "statistics": self.part.statistics.to_dicts(),
            "notes": list(self.notes),
            "missing": list(self.part.missing),
        }

    def exhibit(self) -> Exhibit:
        """The findings; one row a statistic, columns of `compare.fidelity.STATISTICS_SCHEMA`."""
        marks = ("synthetic",) if self.synthetic else ()
        title = f"{self.part.other} against {self.part.one}"
        return Exhibit(title, marks, self.lines(), self.part.tables())


def compare(
    one: Log,
    other: Log,
    *,
    window_s: float = 1200.0,
    seed: int = 0,
    columns: Mapping[str, str] | None = None,
    reading: LogOptions | None = None,
    strict: bool = False,
    engine: str = "duckdb",
    master: str | None = None,
    conf: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> ComparisonResult:
    """Tell whether `other` is a faithful copy of `one`, statistic by statistic, within noise.

    Both are put on the coarser of their two clocks.

    Parameters
    ----------
    one, other
        A trace, the folder of a run, or fitted parameters, from which requests are drawn.
    window_s
        As in `describe`.
    seed
        Seed of what is drawn, and of every bootstrap.
    columns, reading, strict, engine, master, conf
        As in `trace`. Spark computes on traces; what is drawn stays in this process.

    Raises
    ------
    BurstlensError
        Nothing can be compared.

    Examples
    --------
    >>> bl.compare("synthetic.csv", "synthetic.csv").agrees
    True
    """
    import numpy as np

    from ..analysis.characterize import characterize
    from ..analysis.compare.fidelity import MIN_VALUES, compare_fidelity
    from ..analysis.trace.trace import Trace, open_frame

    check_positive("window_s", window_s)
    read = ReadOptions(columns, strict, engine=engine, master=master, conf=conf, reading=reading)
    show = progress or silent
    notes: list[str] = []
    sides: list[pl.DataFrame | Trace] = []
    infos, characterizations = [], []
    try:
        texts = [source_text(source) for source in (one, other)]
        for source in texts:
            requests, info = _requests(source, seed, read, notes)
            sides.append(requests)
            infos.append(info)
            if info.rows < MIN_VALUES:
                raise InputError(
                    f"{source}: {counted(info.rows, 'request')}, too few to compare; "
                    f"compare needs {MIN_VALUES}"
                )
            if info.spread:
                raise InputError(
                    f"{source}: counts requests per minute, so its gaps are interpolated and a "
                    "comparison would mean nothing"
                )
        clock_s = max(info.resolution_s for info in infos)
        for number, (source, info) in enumerate(zip(texts, infos, strict=True)):
            # Two tick marks of float noise must not become another tick.
            if info.resolution_s < clock_s / 1.5:
                sides[number] = _on_clock(sides[number], clock_s, source, read)
                notes.append(f"{info.name} is compared in the time steps of the other one, {clock_s:g} s.")
            requests = sides[number]
            afar = isinstance(requests, Trace)
            on_clock = replace(info, resolution_s=max(clock_s, info.resolution_s))
            trace = requests if isinstance(requests, Trace) else open_frame(requests, on_clock)
            try:
                characterizations.append(
                    characterize(
                        trace,
                        window_s=window_s,
                        seed=seed,
                        progress=lambda step, share, begun=number: show(step, (begun + share) / 2),  # type: ignore[misc]
                    )
                )
            finally:
                if not afar:
                    trace.engine.close()
        part = compare_fidelity((characterizations[0], characterizations[1]), (sides[0], sides[1]), seed=seed)
    finally:
        for requests in sides:
            if isinstance(requests, Trace):
                requests.close()
    if not len(part.statistics) or not np.any(part.statistics["agrees"].is_not_null().to_numpy()):
        raise InputError(f"{one} and {other}: they have no statistic in common; nothing to compare")
    synthetic = tuple(info.name for info in infos if info.synthetic)
    return ComparisonResult(part, tuple(notes), synthetic)


def _requests(
    source: str, seed: int, read: ReadOptions, notes: list[str]
) -> tuple[pl.DataFrame | Trace, TraceInfo]:
    """The requests of a trace or run as they were, on the cluster if any, or drawn from parameters."""
    from .export import holds_requests, requests_from

    if read.cluster is not None and holds_requests(source):
        trace = _opened(source, read)
        return trace, trace.info
    requests, drawn = requests_from(source, read, seed=seed)
    if drawn:
        notes.append(f"{requests.info.name} is {drawn}.")
    return requests.frame, replace(requests.info, rows=len(requests.frame))


def _opened(source: str, read: ReadOptions, clock_s: float = 0.0) -> Trace:
    from ..analysis.logs.files.databases import log_path
    from ..analysis.trace.trace import open_trace

    return open_trace(
        log_path(source), options=read.log, strict=read.strict, cluster=read.cluster, clock_s=clock_s
    )


def _on_clock(
    requests: pl.DataFrame | Trace, clock_s: float, source: str, read: ReadOptions
) -> pl.DataFrame | Trace:
    """The same with stamps in steps of `clock_s`; what lies on a cluster is stamped there anew."""
    import polars as pl

    if not isinstance(requests, pl.DataFrame):
        requests.close()
        return _opened(source, read, clock_s)
    ticks = (pl.col("arrival_s") / clock_s + 1e-6).floor()
    return requests.with_columns(ticks * clock_s)
