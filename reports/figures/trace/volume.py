"""Figures of the volume: what requests and tokens are made of, mean rates, holes of the record.

Not here: how the load moves (see `periodicity`).
"""

from __future__ import annotations

import altair as alt
import polars as pl

from ....analysis.core.result import listing, number, percent
from ....analysis.core.units import DAY_S, HOUR_S, MINUTE_S, time_span
from ....analysis.traffic.volume import Volume
from .. import theme
from ..base import SOURCE, Figure, colour, estimate, interval_dots, leaf_selections, panels

MEASURES = {"n": "requests", "request_tokens": "request tokens", "response_tokens": "response tokens"}


def figures(part: Volume) -> list[Figure]:
    """The figures of this part that its tables have data for."""
    drawn = []
    if part.sizes.height > 1:
        drawn.append(_shares(part))
    if part.sizes["rate_rps"].is_not_null().any() and part.sizes.height > 1:
        drawn.append(_rates(part))
    if part.segments.height > 1:
        drawn.append(_segments(part))
    return drawn


def _shares(part: Volume) -> Figure:
    """Which service and model requests and tokens belong to."""
    labels = leaf_selections(part.sizes, "n", limit=12)
    known = [column for column in MEASURES if part.sizes[column].is_not_null().any()]
    data = (
        part.sizes.filter(pl.col("selection").is_in(labels))
        .unpivot(known, index="selection", variable_name="measure", value_name="amount")
        .with_columns(
            pl.col("measure").replace(MEASURES),
            share=pl.col("amount") / pl.col("amount").sum().over("measure"),
        )
        .drop_nulls("share")
    )
    order = [MEASURES[column] for column in known]
    tips = [
        "measure:N",
        "selection:N",
        alt.Tooltip("amount:Q", format=","),
        alt.Tooltip("share:Q", format=".3~p"),
    ]
    bars = (
        alt.Chart()
        .mark_bar(height=11, cornerRadiusEnd=2)
        .encode(
            x=alt.X("share:Q", title="share of the total", scale=alt.Scale(domain=[0, 1])).axis(
                format="~%", tickCount=4
            ),
            y=alt.Y("selection:N", title=None, sort=labels, axis=alt.Axis(labelLimit=190)),
            color=colour("selection", labels, legend=False),
            tooltip=tips,
        )
    )
    text = (
        alt.Chart()
        .mark_text(align="left", dx=4)
        .encode(
            x=alt.X("share:Q", title="share of the total", scale=alt.Scale(domain=[0, 1])),
            y=alt.Y("selection:N", sort=labels),
            text=alt.Text("share:Q", format=".3~p"),
        )
    )
    first = data.filter(pl.col("measure") == "requests").sort("share").row(-1, named=True)
    phrases = [
        f"{r['selection']} {percent(r['share'])} of {r['measure']}" for r in data.iter_rows(named=True)
    ]
    return Figure(
        name="shares",
        title=f"{percent(first['share'])} of the requests are {first['selection']}",
        chart=panels(
            alt.layer(bars, text).properties(height={"step": 24}), "measure", order, columns=len(order)
        ),
        sentence="Share of requests and tokens of each service and model. Failed requests count as requests.",
        alt_text=f"Bar chart of shares: {'; '.join(phrases)}.",
        table_name="sizes",
        data=data.select("measure", "selection", "amount", "share"),
        columns=len(order),
    )


def _rates(part: Volume) -> Figure:
    """Mean rates with their intervals."""
    data = part.sizes.drop_nulls("rate_rps").select(
        "selection", "rate_rps", "rate_rps_low", "rate_rps_high", "n"
    )
    phrases = [f"{r['selection']} {estimate(r, 'rate_rps')}" for r in data.iter_rows(named=True)]
    overall = data.filter(pl.col("selection") == "all")["rate_rps"]
    block = {DAY_S: "days", HOUR_S: "hours", MINUTE_S: "minutes"}.get(
        part.block_s, f"blocks of {time_span(part.block_s)}"
    )
    return Figure(
        name="rates",
        title=f"Mean rate: {number(overall[0])} requests per second" if len(overall) else "Mean rates",
        chart=interval_dots(data, "rate_rps", "rate_rps_low", "rate_rps_high", title="requests per second"),
        sentence=f"Mean rate over the recorded time, with 95 % intervals from resampling {block}, on a "
        "logarithmic axis.",
        alt_text=f"Dot plot of mean rates in requests per second: {'; '.join(phrases)}.",
        table_name="sizes",
        data=data,
    )


def _segments(part: Volume) -> Figure:
    """Parts of the record and the holes between them."""
    data = part.segments.select(
        (pl.col("start_s") / DAY_S).alias("from"),
        (pl.col("end_s") / DAY_S).alias("to"),
        pl.format("part {}", pl.col("segment_id") + 1).alias("selection"),
        "days",
        pl.col("n").alias("requests"),
        (pl.col("hole_before_s") / DAY_S).alias("hole before (days)"),
    )
    holes = data["hole before (days)"].drop_nulls()
    bars = (
        alt.Chart(SOURCE)
        .mark_bar(height=14, cornerRadius=2, color=theme.NEUTRAL)
        .encode(
            x=alt.X("from:Q", title="days since midnight of day 0", scale=alt.Scale(nice=False)),
            x2="to:Q",
            y=alt.Y("selection:N", title=None),
            tooltip=[
                alt.Tooltip(f"{c}:Q", format=",.4~r") for c in ("days", "requests", "hole before (days)")
            ],
        )
    )
    hole_text = listing([f"{number(hole)} days" for hole in holes])
    return Figure(
        name="segments",
        title=f"The record has {len(holes)} hole{'s' if len(holes) > 1 else ''}: {hole_text}",
        chart=bars.properties(height={"step": 30}),
        sentence="Each bar is a part of the record without a hole. Nothing is measured across a hole.",
        alt_text=f"Timeline of {data.height} parts of the record with holes of {hole_text}.",
        table_name="segments",
        data=data,
    )
