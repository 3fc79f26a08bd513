"""Which function draws the figures of which part. Not here: any figure.

The entry points `burstlens.figures` say it, so that another package draws its own parts: the name is the
part's, the value a function that takes the part and returns its figures, most important first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from functools import cache
from typing import Any

import polars as pl

from ...analysis.core.registry import FIGURES, Plugin, plugins
from ...analysis.core.result import Part
from .base import Figure


@cache
def _drawer(plugin: Plugin) -> Callable[[Part], list[Figure]]:
    """The function of an entry point, loaded when such a part is first drawn."""
    drawer = plugin.load()
    if not callable(drawer):
        raise plugin.fault(f"{plugin.value} is not a function")
    return drawer  # type: ignore[no-any-return]


def figures_of(part: Part) -> list[Figure]:
    """Every figure that this part has data for, most important first; empty for a part without figures."""
    plugin = plugins(FIGURES).get(part.name)
    if plugin is None:
        return []
    with plugin.guard():
        drawn = _drawer(plugin)(_without_nan(part))
    # A table can have rows and yet nothing to draw, such as spectra of counts that never change, or the skill
    # of methods that forecast such counts exactly.
    return [figure for figure in drawn if figure.data.height]


def _without_nan(part: Part) -> Part:
    """The part with nulls where its frames have NaN, which Polars takes for larger than any number."""

    def clean(value: Any) -> Any:
        if isinstance(value, pl.DataFrame):
            return value.fill_nan(None)
        return {key: clean(each) for key, each in value.items()} if isinstance(value, dict) else value

    return replace(part, **{each.name: clean(getattr(part, each.name)) for each in fields(part)})
