"""Figures of response length against request length: bands, ridges, the dependence between ranks.

Drawn for `figures_lengths`, from the tables of the same part. Not here: how they are measured (see
`burstlens.analysis.lengths.by_request` and `joint`).
"""

from __future__ import annotations

from typing import Any

import altair as alt
import polars as pl

from ....analysis.core.result import listing
from ....analysis.core.units import counted
from ....analysis.lengths.part import LINEAR_RANGE
from .. import theme
from ..base import (
    Figure,
    category,
    colour,
    columns_for,
    estimate,
    faded,
    leaf_selections,
    legend_filter,
    panels,
)

LINES = {"mean": "vermillion", "median": "blue", "straight line": "neutral"}
FEWEST_IN_BIN = 20
FEWEST_ROWS = 500
"""Selections of fewer requests get no panel where another has more."""
OVERLAP = 1.9
"""Height of the highest ridge, in steps between ridges."""
FEWEST_RIDGES = 3


def figures(tables: dict[str, pl.DataFrame]) -> list[Figure]:
    """The figures that these tables have data for."""
    drawn = []
    bands = tables["by_request"].filter(pl.col("n") >= FEWEST_IN_BIN)
    if bands.height >= FEWEST_RIDGES:
        drawn.append(_bands(bands, tables["slope"]))
    ridges = _ridges(tables["ridges"], tables["spread"])
    if ridges is not None:
        drawn.append(ridges)
    if tables["joint_grid"].height:
        drawn.append(_ranks(tables["joint_grid"], tables["joint"]))
    return drawn


def _bands(bands: pl.DataFrame, slopes: pl.DataFrame) -> Figure:
    """Mean, median and the middle 90 % of responses by request length (the paper's Fig. 8)."""
    labels = leaf_selections(bands, "n", limit=4, fewest=FEWEST_ROWS)
    chosen = bands.filter(pl.col("selection").is_in(labels))
    straight = slopes.filter(pl.col("selection").is_in(labels) & (pl.col("range") != "all"))
    reach = chosen.group_by("selection").agg(pl.max("request_mean"))
    line = (
        straight.join(reach, on="selection", maintain_order="left")
        .with_columns(request=pl.lit(list(LINEAR_RANGE), pl.List(pl.Float64)))
        .explode("request")
        .with_columns(pl.min_horizontal("request", "request_mean").alias("request"))
        .select(
            "selection",
            "request",
            pl.lit("straight line").alias("series"),
            (pl.col("intercept") + pl.col("slope") * pl.col("request")).alias("response"),
        )
        .filter(pl.col("response") > 0)
    )
    rows = [
        chosen.select(
            "selection",
            pl.col("request_mean").alias("request"),
            pl.lit(series).alias("series"),
            pl.col(series).alias("response"),
            *(pl.col(c) for c in ("p5", "p25", "p75", "p95", "n")),
        )
        for series in ("mean", "median")
    ]
    data = pl.concat([*rows, line], how="diagonal_relaxed")
    x = alt.X("request:Q", title="request tokens", scale=alt.Scale(nice=False, zero=True)).axis(tickCount=6)
    title = "response tokens"
    pick = legend_filter("series")
    mean = alt.Chart().transform_filter(alt.datum.series == "mean")
    shade = colour("selection", labels, legend=False)
    outer = mean.mark_area(fillOpacity=0.14, clip=True).encode(
        x=x, y=alt.Y("p5:Q", title=title), y2="p95:Q", fill=_fill(shade)
    )
    inner = mean.mark_area(fillOpacity=0.2, clip=True).encode(
        x=x, y=alt.Y("p25:Q", title=title), y2="p75:Q", fill=_fill(shade)
    )
    lines = (
        alt.Chart()
        .mark_line(clip=True, point={"size": 22})
        .encode(
            x=x,
            y=alt.Y("response:Q", title=title),
            color=category("series", LINES, symbolType="stroke"),
            strokeDash=alt.StrokeDash(
                "series:N",
                scale=alt.Scale(domain=list(LINES), range=[[1, 0], [1, 0], [6, 4]]),
            ),
            opacity=faded(pick),
            tooltip=[
                "selection:N",
                "series:N",
                alt.Tooltip("request:Q", format=",.0f"),
                alt.Tooltip("response:Q", format=",.0f"),
                *(alt.Tooltip(f"{c}:Q", format=",") for c in ("p5", "p25", "p75", "p95")),
                alt.Tooltip("n:Q", title="requests", format=","),
            ],
        )
        .add_params(pick)
    )
    phrases = [
        f"{r['selection']} {estimate(r, 'slope')}"
        for r in straight.iter_rows(named=True)
        if r["slope"] is not None
    ]
    grows = straight.filter(pl.col("slope_low") > 0)["selection"].to_list()
    where = straight["range"][0] if straight.height else ""
    columns = columns_for(len(labels))
    return Figure(
        name="response-by-request",
        title=(
            f"Longer requests bring longer responses: {listing(grows)}"
            if grows
            else "Response lengths do not visibly grow with request lengths"
        ),
        chart=panels(
            alt.layer(outer, inner, lines).properties(height=250), "selection", labels, columns=columns
        ),
        sentence="Mean and median response by request length; the bands hold 50 % and 90 % of responses."
        + (
            f" Straight line over {where}; response tokens per request token: {'; '.join(phrases)}."
            if phrases
            else ""
        ),
        alt_text="Line chart of response against request tokens with 50 and 90 % bands for "
        f"{listing(labels)}. " + (f"Slopes: {'; '.join(phrases)}." if phrases else ""),
        table_name="by_request",
        data=data,
        columns=columns,
        legend=True,
    )


def _fill(shade: alt.Color) -> alt.Fill:
    """The selections' colours as fill, so that the lines' colours stay a scale of their own."""
    definition: Any = shade.to_dict()
    return alt.Fill("selection:N", scale=alt.Scale(**definition["scale"]), legend=None)


def _ridges(ridges: pl.DataFrame, spread: pl.DataFrame) -> Figure | None:
    """Response-length distribution per request-length bin (the paper's Fig. 10)."""
    if ridges.is_empty():
        return None
    sized = ridges.with_columns(
        bin_rows=pl.col("n").sum().over("selection", "request_low"),
    ).filter(pl.col("bin_rows") >= FEWEST_IN_BIN)
    if sized.is_empty():
        return None
    labels = leaf_selections(sized, "n", limit=2, fewest=FEWEST_ROWS)
    chosen = sized.filter(pl.col("selection").is_in(labels))
    bins = chosen["request_low"].unique().sort().to_list()
    if len(bins) < FEWEST_RIDGES:
        return None
    tops = chosen.group_by("request_low").agg(pl.max("request_high")).sort("request_low")
    names = [
        f"{low:,}–{high - 1:,}" for low, high in zip(tops["request_low"], tops["request_high"], strict=True)
    ]
    # Ridges are drawn per log of the length, as densities per token would show the first bin only.
    rank = pl.col("request_low").replace_strict({low: i for i, low in enumerate(bins)}, return_dtype=pl.Int64)
    highest = float(chosen.select(pl.col("density").quantile(0.98, "linear")).item() or 1.0)
    data = chosen.select(
        "selection",
        rank.alias("bin"),
        pl.format("{} to {}", "request_low", pl.col("request_high") - 1).alias("request"),
        ((pl.col("response_low") + pl.col("response_high") - 1) / 2).alias("response"),
        "density",
        (rank + OVERLAP * (pl.col("density") / highest).clip(upper_bound=1.0)).alias("top"),
        pl.col("n").alias("count"),
    ).sort("selection", "bin", "response")
    labels_expr = f"{names!r}[round(datum.value)]"
    y = alt.Y(
        "top:Q", title="request tokens", scale=alt.Scale(domain=[0, len(bins) - 1 + OVERLAP], nice=False)
    ).axis(
        values=list(range(len(bins))),
        labelExpr=labels_expr,
        grid=False,
        titleAnchor="middle",
        labelOverlap=False,
    )
    layers = [
        alt.Chart()
        .transform_filter(alt.datum.bin == i)
        .mark_area(line={"strokeWidth": 1}, fillOpacity=0.55, interpolate="monotone")
        .encode(
            x=alt.X("response:Q", title="response tokens", scale=alt.Scale(nice=False)),
            y=y,
            y2="bin:Q",
            color=colour("selection", labels, legend=False),
            tooltip=[
                "request:N",
                alt.Tooltip("response:Q", format=",.0f"),
                alt.Tooltip("count:Q", format=","),
            ],
        )
        for i in reversed(range(len(bins)))
    ]
    by_label = {
        r["selection"]: r
        for r in spread.iter_rows(named=True)
        if r["selection"] in labels and r["growth"] is not None
    }
    growth = [f"{label} {estimate(r, 'growth')}" for label, r in by_label.items()]
    grows = [label for label, r in by_label.items() if (r["growth_low"] or 0) > 0]
    return Figure(
        name="ridges",
        title=(
            f"The spread of response lengths grows with the request length in {listing(grows)}"
            if grows
            else "The spread of response lengths does not visibly grow with the request length"
        ),
        chart=panels(
            alt.layer(*layers).properties(height=30 * len(bins) + 60),
            "selection",
            labels,
            columns=len(labels),
        ),
        sentence="Distribution of response lengths, a ridge for each range of request lengths. All ridges "
        "have one scale; the highest are cut off. "
        + (f"Growth of the spread, as a power of the request length: {'; '.join(growth)}." if growth else ""),
        alt_text=f"Ridgeline plot of response lengths for {len(bins)} ranges of request lengths, "
        f"{listing(labels)}. " + (f"Growth of the spread: {'; '.join(growth)}." if growth else ""),
        table_name="ridges",
        data=data,
        columns=len(labels),
    )


def _ranks(grid: pl.DataFrame, joint: pl.DataFrame) -> Figure:
    """How often ranks of request and response meet, against independence: the joint model's copula."""
    rows = joint.join(grid.select("selection").unique(), on="selection", maintain_order="left")
    labels = leaf_selections(rows, "n", limit=4, fewest=FEWEST_ROWS)
    sizes = grid.group_by("selection").agg(size=pl.max("request_rank") + 1)
    data = (
        grid.filter(pl.col("selection").is_in(labels))
        .join(sizes, on="selection", maintain_order="left")
        .select(
            "selection",
            ((pl.col("request_rank") + 0.5) / pl.col("size")).alias("request"),
            ((pl.col("response_rank") + 0.5) / pl.col("size")).alias("response"),
            *(
                ((pl.col(f"{side}_rank") + end) / pl.col("size")).alias(f"{side} {name}")
                for side in ("request", "response")
                for end, name in ((0, "from"), (1, "to"))
            ),
            (pl.col("share") * pl.col("size") ** 2).alias("against chance"),
            "share",
        )
    )
    scale = alt.Scale(type="threshold", domain=[0.25, 0.5, 1, 2, 4], range=theme.STEPS)
    axis = alt.Axis(format="~%", values=[0, 0.25, 0.5, 0.75, 1])
    span = alt.Scale(domain=[0, 1], nice=False)
    cells = (
        alt.Chart()
        .mark_rect(stroke=theme.LIGHT["ground"], strokeWidth=0.7)
        .encode(
            x=alt.X("request from:Q", title="rank of the request length", scale=span, axis=axis),
            x2="request to:Q",
            y=alt.Y("response from:Q", title="rank of the response length", scale=span, axis=axis),
            y2="response to:Q",
            color=alt.Color(
                "against chance:Q",
                scale=scale,
                legend=alt.Legend(
                    type="symbol",
                    symbolType="square",
                    title="how often together, 1 = as often as by chance",
                    titleFontWeight=400,
                    titleFontSize=12,
                    titleColor=theme.SOFT,
                    titleLimit=320,
                ),
            ),
            tooltip=[
                "selection:N",
                *(
                    alt.Tooltip(f"{side} {name}:Q", format=".0%")
                    for side in ("request", "response")
                    for name in ("from", "to")
                ),
                alt.Tooltip("against chance:Q", format=".2f"),
            ],
        )
        .properties(height=230)
    )
    known = joint.filter(pl.col("selection").is_in(labels))
    phrases = [f"{r['selection']} {estimate(r, 'spearman')}" for r in known.iter_rows(named=True)]
    columns = columns_for(len(labels))
    dependent = known.filter((pl.col("spearman_low") > 0) | (pl.col("spearman_high") < 0)).height
    return Figure(
        name="ranks",
        title=f"Request and response lengths depend on each other in {dependent} of "
        f"{counted(known.height, 'selection')}",
        chart=panels(cells, "selection", labels, columns=columns),
        sentence="Each cell compares how many requests have lengths of these ranks with what chance "
        f"alone would give (1). Spearman correlation: {'; '.join(phrases)}.",
        alt_text="Heat map of the joint ranks of request and response lengths. Spearman correlation: "
        f"{'; '.join(phrases)}.",
        table_name="joint_grid",
        data=data,
        columns=columns,
    )
