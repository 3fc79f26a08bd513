"""The figure whose reader chooses: shape and rate of the windows by length, service and model.

Not here: the fits (see `burstlens.analysis.traffic.window_lengths`), how a page switches
(`templates/page.js`).
"""

from __future__ import annotations

import math
from typing import Any

import altair as alt
import polars as pl

from ....analysis.core.result import number
from ....analysis.core.units import DAY_S
from ....analysis.traffic.window_lengths import Sequences
from .. import theme
from ..base import SOURCE, Choice, Figure, State, dashed, greatest, least, logarithmic, zoom_x
from .arrivals import PULLED

MAX_WINDOWS = 1500
"""Windows drawn of one sequence; of more, every second, third, … is drawn, and the sentence says so."""
DIGITS = 4
AXIS = (0.005, 0.995)
"""The axes run between these quantiles of all windows: one wild window would leave no room for the rest."""
ALL_SERVICES, ALL_MODELS = "all services", "all models"


def figures(part: Sequences) -> list[Figure]:
    """One figure, with a state for each sequence of at least two windows."""
    groups = part.windows.group_by("window_s", "selection", maintain_order=True)
    states: dict[tuple[str, ...], State] = {}
    for _, windows in groups:
        if windows.height > 1:
            states[_key(windows.row(0, named=True))] = _state(part, windows)
    if not states:
        return []
    own = f"{number(part.window_s / 60)} minutes"
    start = next((key for key in states if key[0] == own), next(iter(states)))
    first = states[start]
    return [
        Figure(
            name="sequence",
            title="Shape α and rate β of each window, by length of the window, service and model",
            chart=_chart(pl.concat(state.data for state in states.values())),
            sentence=first.sentence,
            alt_text=first.alt_text,
            table_name="windows",
            data=first.data,
            zoom=True,
            choice=Choice(("Window", "Service", "Model"), start, states),
        )
    ]


def _key(row: dict[str, Any]) -> tuple[str, str, str]:
    """What a reader chooses to see this sequence."""
    length = f"{number(row['window_s'] / 60)} minutes"
    return length, row["service"] or ALL_SERVICES, row["model"] or ALL_MODELS


def _state(part: Sequences, windows: pl.DataFrame) -> State:
    """One sequence: what is drawn of it, and what it says."""
    row = windows.row(0, named=True)
    window_s, selection = row["window_s"], row["selection"]
    step = max(1, math.ceil(windows.height / MAX_WINDOWS))
    drawn = windows.gather_every(step)
    data = drawn.select(
        (pl.col("start_s") / DAY_S).round(4).alias("day"),
        pl.col("shape", "shape_low", "shape_high", "rate").round_sig_figs(DIGITS),
        pl.col("n").alias("requests"),
        pl.col("rate_rps").round_sig_figs(DIGITS),
        # A line is broken where a window has no fit.
        (pl.col("start_s").diff() > 1.5 * step * window_s).fill_null(False).cum_sum().alias("run"),
    )
    thin = f" Only one window in {step} is drawn." if step > 1 else ""
    low, middle, high = (windows["shape"].quantile(q, "linear") for q in (0.05, 0.5, 0.95))
    alt_text = (
        f"Two line charts over the days of the log: shape and rate of {windows.height:,} windows of "
        f"{number(window_s / 60)} minutes, {selection}. Shapes: 5th percentile {number(low)}, median "
        f"{number(middle)}, 95th percentile {number(high)}."
    )
    how = (
        f" Above the shape of each window with its 95 % band, below its rate. {PULLED} The axes do not "
        "change with the choice; they show 99 % of all windows."
    )
    return State(data, part.sentence(window_s, selection) + thin + how, alt_text)


def _chart(everything: pl.DataFrame) -> alt.VConcatChart:
    """α above β, both on axes that stay as they are when the reader chooses something else."""
    shapes, rates = (
        logarithmic(pl.Series([everything[name].quantile(q) for q in AXIS], dtype=pl.Float64))
        for name in ("shape", "rate")
    )
    days = [least(everything["day"]), greatest(everything["day"])]
    x = alt.X("day:Q", title="day of the log", scale=alt.Scale(domain=days, nice=False))
    tips = [
        alt.Tooltip("day:Q", format=".2f"),
        *(alt.Tooltip(f"{name}:Q", format=",.4~r") for name in ("shape", "shape_low", "shape_high", "rate")),
        alt.Tooltip("requests:Q", format=","),
    ]
    blue, vermillion = theme.sequence(["blue", "vermillion"])
    base = alt.Chart().encode(x=x)
    band = base.mark_area(fillOpacity=0.25, clip=True, color=blue).encode(
        y=alt.Y("shape_low:Q", title="shape α (1 = Poisson)", **shapes), y2="shape_high:Q", detail="run:N"
    )
    drawn = []
    for name, title, scale, shade in (
        ("shape", "shape α (1 = Poisson)", shapes, blue),
        ("rate", "rate β (per second)", rates, vermillion),
    ):
        y = alt.Y(f"{name}:Q", title=title, **scale)
        line = base.mark_line(strokeWidth=1, strokeOpacity=0.5, clip=True, color=shade)
        points = base.mark_circle(size=15, clip=True, fillOpacity=0.9, color=shade)
        layers = [line.encode(y=y, detail="run:N"), points.encode(y=y, tooltip=tips)]
        if name == "shape":
            layers = [dashed(y=alt.datum(1)), band, *layers]
            layers[-1] = layers[-1].add_params(zoom_x())
        drawn.append(alt.layer(*layers).properties(height=180))
    stacked: alt.VConcatChart = alt.vconcat(*drawn, data=SOURCE).resolve_scale(x="shared")
    return stacked
