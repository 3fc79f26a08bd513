"""How every result shows itself in a notebook and as Polars frames.

A result derives from `Displayable` and describes its contents once, as an `Exhibit`. Not here: drawing, which
`burstlens.reports.notebook` does; `burstlens` sets it as the renderer.
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
    """The contents of a result that a reader can see."""

    title: str
    marks: tuple[str, ...] = ()
    """Words that every display shows: `synthetic`, `simulated`."""
    lines: Sequence[str] = ()
    """Findings in sentences, most important first."""
    tables: Mapping[str, pl.DataFrame] = field(default_factory=dict)
    """By short name; the first is the main one."""
    parts: Sequence[Displayable] = ()
    """Results that this one contains."""


def marks(simulated: str | None, synthetic: bool, what: str) -> tuple[str, ...]:
    """List the marks of a result: `simulated by` a preset, and `synthetic` with a noun.

    Parameters
    ----------
    simulated : str or None
        Name of the preset.
    synthetic : bool
    what : str
        The noun, such as `trace`.

    Returns
    -------
    tuple of str
    """
    by = (f"simulated by {simulated}",) if simulated else ()
    return (*by, *((f"synthetic {what}",) if synthetic else ()))


class Renderer(Protocol):
    """Draws results."""

    def html(self, result: Displayable) -> str:
        """An HTML fragment for a notebook, without scripts and without styles for anything outside it."""
        ...

    def figures(self, result: Displayable) -> dict[str, Any]:
        """Every figure that the result has data for, by name."""
        ...


_renderer: Callable[[], Renderer] | None = None


def set_renderer(renderer: Callable[[], Renderer]) -> None:
    """Set what draws results; `renderer` is called when the first result is shown, so it loads late."""
    global _renderer
    _renderer = renderer


class ByName(dict[str, Any]):
    """Things of one kind by name; a name that is not there is an InputError, which lists those that are."""

    def __init__(self, kind: str, found: Mapping[str, Any]) -> None:
        super().__init__(found)
        self.kind = kind

    def __missing__(self, name: str) -> Any:
        raise InputError.no_such(self.kind, name, self)


class Displayable:
    """A result with tables that a notebook can show; a subclass defines `exhibit`."""

    @abstractmethod
    def exhibit(self) -> Exhibit:
        """The contents that a reader can see."""

    def to_frames(self) -> dict[str, pl.DataFrame]:
        """Every table as a Polars frame, by name; those of the parts as `part.table`."""
        exhibit = self.exhibit()
        frames = dict(exhibit.tables)
        for part in exhibit.parts:
            name = getattr(part, "name", type(part).__name__.lower())
            frames |= {f"{name}.{table}": frame for table, frame in part.to_frames().items()}
        return frames

    def to_frame(self, table: str | None = None) -> pl.DataFrame:
        """One table as a Polars frame.

        Parameters
        ----------
        table
            Its name; by default the first one.

        Raises
        ------
        InputError
            If the result has no such table; the message lists the tables.
        """
        frames = self.to_frames()
        if table is None and frames:
            return next(iter(frames.values()))
        if table is None or table not in frames:
            raise InputError.no_such("table", table, frames)
        return frames[table]

    def figures(self) -> dict[str, Any]:
        """The figures by name (`reports.figures.base.Figure`), each with its chart, data and sentences."""
        return ByName("figure", _renderer().figures(self) if _renderer else {})

    def _repr_html_(self) -> str | None:
        """The HTML that a notebook shows."""
        return _renderer().html(self) if _renderer else None
