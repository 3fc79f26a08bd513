"""Which function draws the figures of which part of an experiment. Not here: any figure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..analysis.lengths import Lengths
from ..analysis.result import Part
from ..bench.experiments.maf2 import Courses, Loaded
from ..bench.experiments.schedulers import Compared, Waits
from ..bench.experiments.sweep import Paired, Steps, Thirds, Varied
from . import figures_lengths, figures_schedulers, figures_sweep
from .chart import Figure
from .figures_maf2 import courses, loaded

DRAWN_BY: dict[type[Part], Callable[[Any], list[Figure]]] = {
    Loaded: loaded,
    Courses: courses,
    Compared: figures_schedulers.figures,
    Waits: figures_schedulers.figures,
    Lengths: figures_lengths.figures,
    **dict.fromkeys((Varied, Steps, Thirds, Paired), figures_sweep.figures),
}
"""A part that is not here is told in sentences and tables alone."""


def figures(part: Part) -> list[Figure]:
    """The figures of this part that its tables have data for."""
    draw = DRAWN_BY.get(type(part))
    return [figure for figure in draw(part) if figure.data.height] if draw else []
