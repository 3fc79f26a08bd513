"""Two traces opened, put on one clock, and compared for fidelity.

Not here: the statistics (`burstlens.analysis.fidelity`), the command line (`cli_compare`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from .analysis.errors import BurstlensError, counted
from .analysis.result import Progress, silent
from .analysis.showing import Exhibit, Shown

if TYPE_CHECKING:
    import polars as pl

    from .analysis.fidelity import Fidelity
    from .analysis.identity import TraceInfo


@dataclass(frozen=True)
class Compared(Shown):
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
        """The findings; one row a statistic, columns of `burstlens.analysis.fidelity.STATISTICS_SCHEMA`."""
        marks = ("synthetic",) if self.synthetic else ()
        title = f"{self.part.other} against {self.part.one}"
        return Exhibit(title, marks, self.lines(), self.part.tables())


def compare(
    one: str,
    other: str,
    *,
    window_s: float = 1200.0,
    seed: int = 0,
    columns: Mapping[str, str] | None = None,
    strict: bool = False,
    progress: Progress = silent,
) -> Compared:
    """See `burstlens.compare`."""
    import numpy as np
    import polars as pl

    from .analysis.characterize import characterize
    from .analysis.fidelity import FEWEST, compare_fidelity
    from .analysis.trace import open_frame

    notes: list[str] = []
    opened = [_requests(each, seed, columns, strict, notes) for each in (one, other)]
    for source, (frame, info) in zip((one, other), opened, strict=True):
        if len(frame) < FEWEST:
            raise BurstlensError(
                f"{source}: {counted(len(frame), 'request')}, too few to compare; {FEWEST} are needed"
            )
        if info.spread:
            raise BurstlensError(
                f"{source}: counts requests per minute, so its gaps were made by us and compare with nothing"
            )
    clock_s = max(info.resolution_s for _, info in opened)
    frames, said = [], []
    for number, (frame, info) in enumerate(opened):
        # Two tick marks of float noise must not become another tick.
        on_clock = frame
        if info.resolution_s < clock_s / 1.5:
            ticks = (pl.col("arrival_s") / clock_s + 1e-6).floor()
            on_clock = frame.with_columns(ticks * clock_s)
            notes.append(f"{info.name} is put on the clock of the other one, in steps of {clock_s:g} s.")
        trace = open_frame(on_clock, replace(info, resolution_s=max(clock_s, info.resolution_s)))
        try:
            said.append(
                characterize(
                    trace,
                    window_s=window_s,
                    seed=seed,
                    progress=lambda step, share, begun=number: progress(step, (begun + share) / 2),  # type: ignore[misc]
                )
            )
        finally:
            trace.engine.close()
        frames.append(on_clock)
    part = compare_fidelity((said[0], said[1]), (frames[0], frames[1]), seed=seed)
    if not len(part.statistics) or not np.any(part.statistics["agrees"].is_not_null().to_numpy()):
        raise BurstlensError(f"{one} and {other}: no statistic is told by both; nothing to compare")
    synthetic = tuple(info.name for _, info in opened if info.synthetic)
    return Compared(part, tuple(notes), synthetic)


def _requests(
    source: str, seed: int, columns: Mapping[str, str] | None, strict: bool, notes: list[str]
) -> tuple[pl.DataFrame, TraceInfo]:
    """The requests of a trace or run as they were, or drawn from parameters."""
    from .exports import requests_from

    requests, drawn = requests_from(source, seed=seed, columns=columns, strict=strict)
    if drawn:
        notes.append(f"{requests.info.name} is {drawn}.")
    return requests.frame, requests.info
