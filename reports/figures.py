"""Which module draws the figures of which part. Not here: any figure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from functools import cache
from importlib import import_module, util
from typing import Any

import polars as pl

from ..analysis.core.result import Part
from .chart import Figure

SHARED = {
    "run_parts": "run",
    "result": "disaggregation",
    **{name: name for name in ("maf2", "schedulers", "sweep")},
}
"""By the module of a part's class: whose figures one module draws for several parts."""


@cache
def _drawer(kind: type[Part]) -> Callable[[Any], list[Figure]] | None:
    """The `figures` function of `figures_<part>`, loaded when such a part is first drawn."""
    home = kind.__module__.rpartition(".")[2]
    module = f"{__package__}.figures_{SHARED.get(home, kind.name)}"
    if util.find_spec(module) is None:
        return None
    drawer: Callable[[Any], list[Figure]] = import_module(module).figures
    return drawer


def figures_of(part: Part) -> list[Figure]:
    """Every figure that this part has data for, most important first; none for a part without figures."""
    drawer = _drawer(type(part))
    drawn = drawer(_without_nan(part)) if drawer else []
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
