"""Which module draws the figures of which part. Not here: any figure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from functools import cache
from importlib import import_module, util
from typing import Any

import polars as pl

from ...analysis.core.result import Part
from .base import Figure

SHARED = {
    "burstlens.reports.parts.run": "bench.run",
    "burstlens.bench.provisioning.result": "bench.provisioning",
    "burstlens.bench.experiments.maf2": "bench.maf2",
    "burstlens.bench.experiments.schedulers": "bench.schedulers",
    "burstlens.bench.experiments.sweep": "bench.sweep",
}
"""By the module of a part's class: whose figures one module draws for several parts."""
RENAMED = {"sequences": "window_lengths"}
"""By a part's name: the module that draws it, where it is called otherwise."""


@cache
def _drawer(kind: type[Part]) -> Callable[[Any], list[Figure]] | None:
    """The `figures` function of the part's module, loaded when such a part is first drawn."""
    shared = SHARED.get(kind.__module__)
    named = RENAMED.get(kind.name, kind.name)
    for home in [shared] if shared else [f"trace.{named}", f"bench.{named}"]:
        module = f"{__package__}.{home}"
        if util.find_spec(module) is not None:
            break
    else:
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
