"""Results in a notebook: an exhibit as HTML, with its first figure as a picture. For every kind of result.

Not here: what there is to see of a result (its `exhibit`), and the page of a report (`pages.base`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import polars as pl

from ..analysis.core.exhibit import Displayable, Exhibit
from ..analysis.core.result import Part, number
from .figures.base import Figure
from .figures.registry import figures_of
from .pages.rendering import fill

ROWS_SHOWN = 12
FIRST = "arrivals"
"""The part whose first figure stands for a whole characterization: the Gamma sequence."""


def figures(result: Displayable) -> dict[str, Figure]:
    """The figures of a result by name, those of the results inside it as `part.figure`."""
    own = {}
    if isinstance(result, Part):
        own = {each.name: replace(each, marks=result.marks) for each in figures_of(result)}
    for part in result.exhibit().parts:
        name = getattr(part, "name", type(part).__name__.lower())
        own |= {f"{name}.{figure}": each for figure, each in part.figures().items()}
    return own


def html(result: Displayable) -> str:
    """A result as a fragment of HTML: marks, findings, one figure, tables; what is in it folded."""
    exhibit = result.exhibit()
    part = _foremost(result, exhibit)
    drawn = figures_of(part) if part is not None else []
    return fill("fragment.html", seen=_seen(exhibit, drawn[0] if drawn else None))


def _foremost(result: Displayable, exhibit: Exhibit) -> Part | None:
    """The part to draw: the result itself, else the arrivals in it, else the first that it is made of."""
    if isinstance(result, Part):
        return result
    parts = [part for part in exhibit.parts if isinstance(part, Part)]
    return next((part for part in parts if part.name == FIRST), parts[0] if parts else None)


def _seen(exhibit: Exhibit, figure: Figure | None = None) -> dict[str, Any]:
    """An exhibit as the template has it."""
    return {
        "title": exhibit.title,
        "marks": exhibit.marks,
        "lines": list(exhibit.lines),
        "figure": figure and replace(figure, marks=exhibit.marks).picture(),
        "tables": [_table(name, frame) for name, frame in exhibit.tables.items()],
        "within": [_seen(part.exhibit()) for part in exhibit.parts],
    }


def _table(name: str, frame: pl.DataFrame) -> dict[str, Any]:
    """The first rows of a table as text; columns of lists are left to the frame."""
    flat = [column for column, kind in frame.schema.items() if not kind.is_nested()]
    numeric = [frame.schema[column].is_numeric() for column in flat]
    shown = frame.select(flat).head(ROWS_SHOWN)
    rows = [[(_cell(cell), is_number) for cell, is_number in zip(row, numeric, strict=True)]
            for row in shown.iter_rows()]  # fmt: skip
    rest = frame.height - shown.height
    return {"name": name, "columns": flat, "rows": rows, "total": frame.height, "rest": rest}


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return number(value, 4) if isinstance(value, int | float) else str(value)
