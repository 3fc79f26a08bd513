"""Heat maps of a sweep's pairs: two parameters varied together.

Not here: each of them alone (`sweep`).
"""

from __future__ import annotations

from typing import Any

import altair as alt
import polars as pl

from ....analysis.core.result import listing, number
from ....bench.experiments.grid import CONSTANT, EQUAL, PROFILES, SCALE, SHAPE, WITH
from ....bench.experiments.sweep_parts import Paired
from .. import theme
from ..base import NUMBER, SOURCE, Figure, capital, greatest, least, panels
from .sweep_rows import ROWS, scaled

CELLS = ("token_latency_s", "throughput_tps", "failure_rate")
"""Rows of heat maps."""


def figures(part: Paired) -> list[Figure]:
    """A figure a pair and mode: a row a measure, a column a profile."""
    if part.means.is_empty():
        return []
    pairs = part.means.select("pair", "mode").unique(maintain_order=True)
    return [_map(part, pair, mode, i) for i, (pair, mode) in enumerate(pairs.iter_rows(), start=1)]


def _map(part: Paired, pair: str, mode: str, count: int) -> Figure:
    across, up = pair.split(WITH)
    cells = part.means.filter(pl.col("pair") == pair, pl.col("mode") == mode)
    profiles = [p for p in PROFILES if p in set(cells["profile"])]
    rows = [m for m in CELLS if cells[m].count()]
    data = pl.concat(
        cells.select(
            pl.format("{}: {}", pl.lit(_heading(measure)), "profile").alias("panel"),
            pl.lit(measure).alias("measure"),
            "profile",
            *(pl.col(name).cast(pl.Float64) for name in (across, up)),
            (pl.col(measure).cast(pl.Float64) * scaled(measure)[0]).alias("value"),
            "seeds",
        ).drop_nulls("value")
        for measure in rows
    )
    middle = (pl.col("value").min() + pl.col("value").max()).over("measure") / 2
    data = data.with_columns((pl.col("value") > middle).alias("dark"))
    chart: Any = alt.vconcat(
        *(_map_row(measure, across, up, profiles, data, last=measure == rows[-1]) for measure in rows),
        data=SOURCE,
        spacing=16,
    ).resolve_scale(color="independent")
    constant = cells.filter(pl.col("profile") == CONSTANT)
    here = constant if constant.height else cells
    worst = here.sort("failure_rate", "kv_cache_use", nulls_last=False).row(-1, named=True)
    at = " and ".join(f"{name} {number(worst[name])}" for name in (across, up))
    return Figure(
        name=f"map-{count}",
        title=f"{capital(across)} and {up}, {mode}: heaviest load at {at}, with "
        f"{number(100 * (worst['failure_rate'] or 0.0), 2)} % failures",
        chart=chart,
        sentence=f"Means over seeds; the colours of a row share one scale. The start is {across} "
        f"{number(part.start[across])}, {up} {number(part.start[up])}; its row and column change only one "
        "of them. "
        + (
            "The scale is adapted so that the rate stays the start's."
            if mode == EQUAL
            else "A smaller shape or scale is a higher rate: their product is the mean gap."
            if {across, up} == {SHAPE, SCALE}
            else "With the scale held a smaller shape is also a higher rate."
            if SHAPE in (across, up)
            else "A smaller scale is a higher rate, a smaller exponent makes longer requests."
        ),
        alt_text=f"Heat maps of {listing([ROWS[m] for m in rows])} by {across} and {up}, {mode}, a column "
        f"each for {listing(profiles)}. Heaviest at {at}.",
        table_name="means",
        data=data,
        columns=len(profiles),
    )


def _heading(measure: str) -> str:
    return f"{ROWS[measure]}, {scaled(measure)[1]}"


def _map_row(
    measure: str, across: str, up: str, profiles: list[str], data: pl.DataFrame, *, last: bool
) -> Any:
    """The panels of one measure."""
    own = data.filter(pl.col("measure") == measure)
    low, high = least(own["value"]), greatest(own["value"])
    values = {name: sorted(set(data[name])) for name in (across, up)}
    plain: dict[str, Any] = {"format": NUMBER, "domain": False, "ticks": False}
    base = alt.Chart().encode(
        x=alt.X(
            f"{across}:O",
            title=across if last else None,
            sort=values[across],
            axis=alt.Axis(labelAngle=0, **plain),
        ),
        y=alt.Y(f"{up}:O", title=up, sort=values[up][::-1], axis=alt.Axis(titleAnchor="middle", **plain)),
    )
    cells = base.mark_rect(cornerRadius=3, stroke=theme.LIGHT["ground"], strokeWidth=2).encode(
        color=alt.Color(
            "value:Q",
            scale=alt.Scale(
                type="quantize", domain=[low, high if high > low else low + 1.0], range=theme.STEPS
            ),
            legend=None,
        ),
        tooltip=[
            alt.Tooltip("panel:N", title="measure"),
            *(alt.Tooltip(f"{name}:Q", format=NUMBER) for name in (across, up, "value")),
            "seeds:Q",
        ],
    )
    text = base.mark_text(fontSize=11).encode(
        text=alt.Text("value:Q", format=",.3~r"),
        color=alt.when(alt.datum.dark)
        .then(alt.value(theme.LIGHT["on_high"]))
        .otherwise(alt.value(theme.LIGHT["on_low"])),
    )
    layered = alt.layer(cells, text).properties(height={"step": 26})
    names = [f"{_heading(measure)}: {profile}" for profile in profiles]
    return panels(layered, "panel", names, columns=len(names)).transform_filter(alt.datum.measure == measure)
