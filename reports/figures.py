"""Which module draws the figures of which part. Not here: any figure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from functools import cache
from importlib import import_module, util
from typing import Any

import polars as pl

from ..analysis.result import Part
from .chart import Figure


@cache
def _drawer(part: str) -> Callable[[Any], list[Figure]] | None:
    """The `figures` function of `figures_<part>`, loaded when the part is first drawn."""
    module = f"{__package__}.figures_{part}"
    if util.find_spec(module) is None:
        return None
    drawer: Callable[[Any], list[Figure]] = import_module(module).figures
    return drawer


def figures_of(part: Part) -> list[Figure]:
    """Every figure that this part has data for, most important first; none for a part without figures."""
    drawer = _drawer(part.name)
    drawn = drawer(_without_nan(part)) if drawer else []
    # A table can have rows and yet nothing to draw, such as spectra of counts that never change.
    return [figure for figure in drawn if figure.data.height]


def _without_nan(part: Part) -> Part:
    """The part with nulls where its frames have NaN, which Polars takes for larger than any number."""

    def clean(value: Any) -> Any:
        if isinstance(value, pl.DataFrame):
            return value.fill_nan(None)
        return {key: clean(each) for key, each in value.items()} if isinstance(value, dict) else value

    return replace(part, **{each.name: clean(getattr(part, each.name)) for each in fields(part)})
