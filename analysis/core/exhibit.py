"""How a result shows itself, the same for all of them: in a notebook, and as Polars frames.

A result derives from `Shown` and says once, as an `Exhibit`, what there is to see of it. Not here: what that
looks like. Drawing lies above (`burstlens.reports.notebook`), and the front door hands it in.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from .errors import InputError

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class Exhibit:
    """What there is to see of a result."""

    title: str
    marks: tuple[str, ...] = ()
    """What must not be overlooked: `synthetic`, `simulated`."""
    lines: Sequence[str] = ()
    """Findings in sentences, most important first."""
    tables: Mapping[str, pl.DataFrame] = field(default_factory=dict)
    """By short name; the first is the one that a reader wants."""
    within: Sequence[Shown] = ()
    """Results that this one is made of."""


def marks(simulated: str | None, synthetic: bool, what: str) -> tuple[str, ...]:
    """What must be said of a result: `simulated by` a preset, and that `what` it is of is synthetic."""
    by = (f"simulated by {simulated}",) if simulated else ()
    return (*by, *((f"synthetic {what}",) if synthetic else ()))


class Painter(Protocol):
    """Draws exhibits."""

    def html(self, shown: Shown) -> str:
        """A fragment for a notebook, without scripts and without styles that reach beyond it."""
        ...

    def figures(self, shown: Shown) -> dict[str, Any]:
        """Every figure that the result has data for, by name."""
        ...


_painter: Callable[[], Painter] | None = None


def paint_with(painter: Callable[[], Painter]) -> None:
    """Say who draws; called when the first result is shown, so that nothing is loaded before."""
    global _painter
    _painter = painter


class Shown:
    """A result that a notebook can show and that has tables; what is in it, `exhibit` says."""

    @abstractmethod
    def exhibit(self) -> Exhibit:
        """What there is to see."""

    def to_frames(self) -> dict[str, pl.DataFrame]:
        """Every table as a Polars frame, by name; those of results inside as `part.table`."""
        seen = self.exhibit()
        frames = dict(seen.tables)
        for part in seen.within:
            name = getattr(part, "name", type(part).__name__.lower())
            frames |= {f"{name}.{table}": frame for table, frame in part.to_frames().items()}
        return frames

    def to_frame(self, table: str | None = None) -> pl.DataFrame:
        """The table of that name, else the first, as a Polars frame. BurstlensError names those there are."""
        frames = self.to_frames()
        if table is None and frames:
            return next(iter(frames.values()))
        if table is None or table not in frames:
            asked = "no table" if table is None else f"no table {table!r}"
            raise InputError(f"{asked}; there are: {', '.join(frames) or 'none'}")
        return frames[table]

    def figures(self) -> dict[str, Any]:
        """Its figures by name (`reports.figures.base.Figure`), each with its chart, data and words."""
        return _painter().figures(self) if _painter else {}

    def _repr_html_(self) -> str | None:
        """What a notebook shows."""
        return _painter().html(self) if _painter else None
