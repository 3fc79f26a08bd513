"""What the figures of a sweep share: the rows with their units, and the profiles' colours.

Not here: any figure (`sweep`, `sweep_changes`, `sweep_maps`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ....bench.experiments.grid import CONSTANT, LINEAR, PROFILES, QUADRATIC
from ..base import category
from .contrast import unit

COLOURS = {CONSTANT: "blue", LINEAR: "vermillion", QUADRATIC: "green"}
"""Each profile in one colour in every figure."""
ROWS = {
    "token_latency_s": "token latency",
    "token_latency_p90_s": "its p90",
    "e2e_s": "end to end",
    "e2e_p90_s": "its p90",
    "throughput_tps": "throughput",
    "failure_rate": "failures",
}
"""Rows of the paper's Fig. 15 in short words, latencies of tokens and end to end."""
BAND = "Bands and bars are Student’s 95 % intervals over seeds"


def _in_seconds(measure: str) -> bool:
    """Whether a measure is shown in seconds: end to end, while tokens take milliseconds."""
    return measure.startswith("e2e")


def scaled(measure: str) -> tuple[float, str]:
    """What a measure's values are multiplied by for people, and the unit that they then have."""
    return (1.0, "s") if _in_seconds(measure) else unit(measure)


def profile_colours(names: Sequence[str] = PROFILES, *, legend: bool) -> Any:
    """Profiles in their colours."""
    colours = {name: COLOURS[name] for name in names}
    return category("profile", colours, legend=legend, symbolOpacity=1, symbolType="circle")
