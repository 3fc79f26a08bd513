"""Figures of a sweep: each parameter varied alone, the paper's Fig. 15; every part's figures are found here.

Not here: what was measured (see `burstlens.bench.experiments.sweep_parts`).
"""

from __future__ import annotations

from typing import Any

import altair as alt
import polars as pl

from ....analysis.core.result import Part, listing, number
from ....bench.experiments.grid import CONSTANT, EQUAL, EXPONENT, FIXED_SCALE, PARAMETERS, SCALE, SHAPE
from ....bench.experiments.sweep_parts import Paired, Steps, Thirds, Varied
from .. import theme
from ..base import NUMBER, SOURCE, Figure, panels
from . import sweep_changes, sweep_maps
from .sweep_rows import BAND, ROWS, profile_colours, scaled

COLUMNS = {
    (SHAPE, FIXED_SCALE): "shape α, scale held",
    (SHAPE, EQUAL): "shape α, equal rate",
    (SCALE, FIXED_SCALE): "scale β",
    (EXPONENT, FIXED_SCALE): "exponent λ",
}
NARROWEST_PX = 190
"""Four parameters stand side by side on a common screen, as in the paper."""


def figures(part: Part) -> list[Figure]:
    """The figures of this part that its tables have data for."""
    if isinstance(part, Varied):
        return [_measures(part)] if part.means.height and len(part.found) else []
    if isinstance(part, Steps):
        return [sweep_changes.steps(part)] if part.steps else []
    if isinstance(part, Thirds):
        return [sweep_changes.thirds(part)] if part.found else []
    if isinstance(part, Paired):
        return sweep_maps.figures(part)
    return []


def _measures(part: Varied) -> Figure:
    """A column a parameter, a row a measure, a line a profile with its band, the start dashed."""
    frames = []
    for (parameter, mode), panel in COLUMNS.items():
        of = part.of(parameter)
        if of.is_empty():
            continue
        here = of.filter(pl.col("mode") == mode) if "mode" in of.columns else of
        for measure in ROWS:
            factor, _ = scaled(measure)
            frames.append(
                here.select(
                    pl.lit(panel).alias("panel"),
                    "profile",
                    pl.col(parameter).alias("at"),
                    pl.lit(part.start[parameter]).alias("start"),
                    pl.lit(measure).alias("measure"),
                    pl.col("seeds").cast(pl.Int64),
                    *(
                        (pl.col(f"{measure}{end}").cast(pl.Float64) * factor).alias(name)
                        for end, name in (("", "value"), ("_low", "low"), ("_high", "high"))
                    ),
                )
            )
    data = pl.concat(frames).drop_nulls("value")
    # Nothing here is below zero; the interval of few and uneven seeds may reach there, and is cut.
    data = data.with_columns(pl.col("low").clip(lower_bound=0.0))
    present = [panel for panel in COLUMNS.values() if panel in set(data["panel"])]
    rows = [m for m in ROWS if m in set(data["measure"])]
    chart: Any = alt.vconcat(
        *(_row(measure, present, first=measure == rows[0]) for measure in rows),
        data=SOURCE,
        spacing=10,
    )
    start = ", ".join(f"{name} {number(part.start[name])}" for name in PARAMETERS)
    return Figure(
        name="measures",
        title=_measures_title(part),
        chart=chart,
        sentence="A column for each parameter, a row for each measure; the dashed line is the start "
        f"({start}). {BAND}. Constant "
        "holds the value for the whole run, linear falls between start and value, quadratic goes from the "
        "start to the value at half time and back. With the scale held a smaller shape is also a higher "
        "rate; at equal rate the scale is adapted, so that only burstiness changes. A scale of 1 is "
        f"{number(part.factor, 4)} s.",
        alt_text=f"Line charts with bands of {listing(list(dict.fromkeys(ROWS[m] for m in rows)))} against "
        f"{listing(present)}, a line each for {listing(sorted(set(data['profile'])))}.",
        table_name=next(iter(part.tables())),
        data=data,
        columns=len(present),
        panel_px=NARROWEST_PX,
        legend=True,
    )


def _row(measure: str, present: list[str], *, first: bool) -> Any:
    """The panels of one measure."""
    y: dict[str, Any] = {
        "title": f"{ROWS[measure]}, {scaled(measure)[1]}",
        "scale": alt.Scale(zero=True),
        "axis": alt.Axis(format=NUMBER, tickCount=3, minExtent=40, titleAnchor="middle"),
    }
    x = alt.X(
        "at:Q",
        title=None,
        scale=alt.Scale(zero=False, padding=6),
        axis=alt.Axis(tickCount=4, format=NUMBER),
    )
    base = alt.Chart().encode(x=x, color=profile_colours(legend=first))
    band = base.mark_area(opacity=0.16, clip=True).encode(y=alt.Y("low:Q", **y), y2="high:Q")
    line = base.mark_line(point={"size": 26}).encode(
        y=alt.Y("value:Q", **y),
        tooltip=[
            alt.Tooltip("panel:N", title="parameter"),
            alt.Tooltip("at:Q", title="value", format=NUMBER),
            "profile:N",
            *(
                alt.Tooltip(f"{end}:Q", title=f"{ROWS[measure]}, {end}", format=NUMBER)
                for end in ("value", "low", "high")
            ),
            "seeds:Q",
        ],
    )
    start = (
        alt.Chart()
        .mark_rule(strokeDash=[4, 3], color=theme.SOFT)
        .transform_aggregate(begun="max(start)", groupby=["panel"])
        .encode(x=alt.X("begun:Q"))
    )
    layered = alt.layer(start, band, line).properties(height=84)
    row = panels(layered, "panel", present, columns=len(present)).resolve_scale(x="independent")
    return row.transform_filter(alt.datum.measure == measure)


def _measures_title(part: Varied) -> str:
    """What each parameter's ends do to failures, in one line."""
    phrases = []
    for (parameter, mode), panel in COLUMNS.items():
        of = part.of(parameter)
        here = of.filter(pl.col("mode") == mode) if "mode" in of.columns else of
        here = here.filter(pl.col("profile") == CONSTANT) if here.height else here
        worst = here["failure_rate"].max() if here.height else None
        if isinstance(worst, float):
            phrases.append(f"{number(100 * worst, 2)} % ({panel})")
    return f"Highest failure rate: {listing(phrases)}" if phrases else "Measures against each parameter"
