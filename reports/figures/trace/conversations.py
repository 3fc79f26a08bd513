"""Figures of the conversations: turns, intervals by turns, long intervals, what goes with what.

Not here: how they are measured (see `burstlens.analysis.conversations.part`).
"""

from __future__ import annotations

import altair as alt
import polars as pl

from ....analysis.conversations.part import Conversations
from ....analysis.core.result import listing, number, percent
from .. import theme
from ..base import (
    ON_AXIS,
    Figure,
    category,
    columns_for,
    dashed,
    faded,
    from_axis,
    least,
    legend_filter,
    log_ticks,
    logarithmic,
    panels,
)

LAWS = {"geometric": "vermillion", "power_law": "green", "negative_binomial": "purple"}
MEASURES = {"mean": "blue", "median": "neutral", "P90": "vermillion"}
SHOWN_TURNS = 60
"""Sessions of more turns are left to the table."""
BOUNDS = ["blue", "sky", "green", "amber", "vermillion", "purple"]


def figures(part: Conversations) -> list[Figure]:
    """The figures of this part that its tables have data for."""
    drawn = []
    if part.turns.height:
        drawn.append(_turns(part))
    # A logarithmic axis shows no zero: intervals that are all zero stay in the table.
    if part.intervals.filter(pl.col("mean_s") > 0).height:
        drawn.append(_intervals(part))
    if part.long.height:
        drawn.append(_long(part))
    if part.relations.height:
        drawn.append(_relations(part))
    return drawn


def _several(table: pl.DataFrame) -> bool:
    return table["selection"].n_unique() > 1


def _panel(table: pl.DataFrame, text: pl.Expr) -> pl.Expr:
    """The panel's heading: `text`, after the selection where there are several."""
    return (pl.format("{}: {}", "selection", text) if _several(table) else text).alias("panel")


def _order(data: pl.DataFrame, column: str = "panel") -> list[str]:
    return data[column].unique(maintain_order=True).to_list()


def _turns(part: Conversations) -> Figure:
    """Share of sessions by number of turns, and the laws fitted to it (the paper's Fig. 9)."""
    shown = part.turns.filter(pl.col("turns") <= SHOWN_TURNS)
    laws = [law for law in LAWS if law in shown.columns]
    observed = shown.select(
        "selection", "turns", pl.lit("observed").alias("series"), pl.col("share").alias("value"),
        pl.col("share_low").alias("low"), pl.col("share_high").alias("high"), "sessions",
    )  # fmt: skip
    fitted = [
        shown.select(
            "selection", "turns", pl.lit(law.replace("_", " ")).alias("series"), pl.col(law).alias("value"),
            pl.lit(None, pl.Float64).alias("low"), pl.lit(None, pl.Float64).alias("high"),
            pl.lit(None, pl.Int64).alias("sessions"),
        )
        for law in laws
    ]  # fmt: skip
    data = pl.concat([observed, *fitted], how="vertical_relaxed").filter(pl.col("value") > 0)
    floor = least(data.filter(pl.col("series") == "observed")["value"]) / 2
    scale = alt.Scale(type="log", domain=[floor, 1], nice=False)
    named = {"observed": "ink"} | {law.replace("_", " "): LAWS[law] for law in laws}
    title = "share of sessions"
    x = alt.X("turns:Q", title="requests in the session", scale=alt.Scale(nice=False, zero=False, padding=6))
    x = x.axis(format="d", tickMinStep=1)
    shares = log_ticks(floor, 1)
    y = alt.Y("value:Q", title=title, scale=scale).axis(format="~%", values=shares)
    pick = legend_filter("series")
    base = alt.Chart().encode(x=x, color=category("series", named))
    tips = [
        alt.Tooltip("series:N"),
        alt.Tooltip("turns:Q"),
        alt.Tooltip("value:Q", title="share", format=".3~p"),
        alt.Tooltip("sessions:Q", format=","),
    ]
    rule = (
        base.mark_rule(strokeOpacity=0.5, strokeWidth=2, clip=True)
        .encode(
            y=alt.Y("low:Q", scale=scale, title=title),
            y2="high:Q",
        )
        .transform_filter(alt.datum.low > 0)
    )
    lines = (
        base.mark_line(clip=True)
        .encode(y=y, opacity=faded(pick), tooltip=tips)
        .transform_filter(alt.datum.series != "observed")
    )
    dots = (
        base.mark_point(size=44, clip=True)
        .encode(y=y, opacity=faded(pick), tooltip=tips)
        .transform_filter(alt.datum.series == "observed")
    )
    labels = _order(data, "selection")
    first = labels[0]
    single, four = (part.measure(first, name) for name in ("single_share", "four_or_fewer"))
    median = part.measure(first, "median")
    best = (
        part.turn_models.filter(pl.col("best") & (pl.col("selection") == first))["family"].unique().to_list()
    )
    columns = columns_for(len(labels))
    return Figure(
        name="turns",
        title=f"{percent(single.value)} of sessions have one request, {percent(four.value)} four or fewer",
        chart=panels(
            alt.layer(rule.add_params(pick), lines, dots).properties(height=280),
            "selection",
            labels,
            columns=columns,
        ),
        sentence="Share of sessions by number of requests, logarithmic, with Wilson intervals; the median "
        f"is {number(median.value)}. A geometric decline is a straight line here. "
        + (f"The best law by AIC is {listing(best)}." if best else ""),
        alt_text=f"Share of sessions by number of requests: {percent(single.value)} have one, "
        f"{percent(four.value)} four or fewer, the median is {number(median.value)}.",
        table_name="turns",
        data=data,
        columns=columns,
        legend=True,
    )


def _intervals(part: Conversations) -> Figure:
    """Mean, median and P90 interval by number of requests (the paper's Fig. 9)."""
    stems = {"mean": "mean_s", "median": "median_s", "P90": "p90_s"}
    rows = [
        part.intervals.select(
            "selection",
            _panel(part.intervals, pl.format("since the last {}", "since")),
            "turns",
            "turns_low",
            pl.lit(measure).alias("measure"),
            pl.col(stem).alias("value"),
            # An end that too few sessions tell is left open.
            pl.col(f"{stem}_low").fill_nan(None).fill_null(pl.col(stem)).alias("low"),
            pl.col(f"{stem}_high").fill_nan(None).fill_null(pl.col(stem)).alias("high"),
            "intervals",
            "sessions",
        )
        for measure, stem in stems.items()
    ]
    data = pl.concat(rows).drop_nulls("value").filter(pl.col("value") > 0).sort("panel", "turns_low")
    order = data.sort("turns_low")["turns"].unique(maintain_order=True).to_list()
    y = {"title": "interval (s)", **logarithmic(data["value"], data["low"], data["high"])}
    x = alt.X("turns:O", sort=order, title="requests in the session", axis=alt.Axis(labelAngle=0))
    pick = legend_filter("measure")
    base = alt.Chart().encode(x=x, color=category("measure", MEASURES, symbolType="stroke"))
    band = from_axis(base.mark_area(fillOpacity=0.15), y).encode(
        y=alt.Y(f"low{ON_AXIS}:Q", **y), y2="high:Q", opacity=faded(pick)
    )
    line = base.mark_line(point={"size": 40}).encode(
        y=alt.Y("value:Q", **y),
        opacity=faded(pick),
        strokeDash=alt.StrokeDash(
            "measure:N", scale=alt.Scale(domain=list(MEASURES), range=[[1, 0], [2, 2], [6, 3]])
        ),
        tooltip=[
            "measure:N",
            alt.Tooltip("turns:O", title="requests"),
            *(alt.Tooltip(f"{c}:Q", format=",.4~r") for c in ("value", "low", "high")),
            alt.Tooltip("intervals:Q", format=","),
            alt.Tooltip("sessions:Q", format=","),
        ],
    )
    labels = _order(data)
    columns = columns_for(len(labels))
    relation = part.relations.filter(pl.col("of") == "mean interval").drop_nulls("correlation_low")
    trend = ""
    title_text = "Time between the requests of a session, by their number"
    if relation.height:
        r = relation.row(0, named=True)
        trend = (
            f"Rank correlation of a session's requests with its mean interval: {number(r['correlation'])} "
            f"[{number(r['correlation_low'])}, {number(r['correlation_high'])}]."
        )
        seen = r["correlation_low"] > 0 or r["correlation_high"] < 0
        title_text = (
            f"The mean interval {'falls' if r['correlation'] < 0 else 'grows'} with the number of requests"
            if seen
            else "The mean interval does not visibly depend on the number of requests"
        )
    return Figure(
        name="intervals",
        title=title_text,
        chart=panels(
            alt.layer(band.add_params(pick), line).properties(height=260), "panel", labels, columns=columns
        ),
        sentence="Mean, median and 90th percentile of the time between two requests of a session, with 95 "
        f"% bands. {trend}",
        alt_text=f"Line chart of intervals by number of requests: mean, median and 90th percentile. {trend}",
        table_name="intervals",
        data=data,
        columns=columns,
        legend=True,
    )


def _long(part: Conversations) -> Figure:
    """Long intervals by number of requests: how many, and which share of all (the paper's Fig. 9)."""
    several = _several(part.long)
    frames = []
    for stem, spoken in (("per_session", "long intervals per session"), ("share", "share of intervals")):
        frames.append(
            part.long.select(
                "selection",
                _panel(part.long, pl.lit(spoken)),
                "bound",
                "bound_s",
                "turns",
                "turns_low",
                pl.col(stem).alias("value"),
                pl.col(f"{stem}_low").fill_nan(None).alias("low"),
                pl.col(f"{stem}_high").fill_nan(None).alias("high"),
                "sessions",
                "intervals",
            )
        )
    data = pl.concat(frames).drop_nulls("value").sort("bound_s", "turns_low", maintain_order=True)
    bounds = _order(data, "bound")
    order = data.sort("turns_low")["turns"].unique(maintain_order=True).to_list()
    named = dict(zip(bounds, BOUNDS, strict=False))
    pick = legend_filter("bound")
    line = (
        alt.Chart()
        .mark_line(point={"size": 36})
        .encode(
            x=alt.X("turns:O", sort=order, title="requests in the session", axis=alt.Axis(labelAngle=0)),
            y=alt.Y("value:Q", title="number, or share"),
            color=category("bound", named),
            opacity=faded(pick),
            tooltip=[
                "bound:N",
                alt.Tooltip("bound_s:Q", title="bound (s)", format=",.4~r"),
                alt.Tooltip("turns:O", title="requests"),
                *(alt.Tooltip(f"{c}:Q", format=",.4~r") for c in ("value", "low", "high")),
                alt.Tooltip("sessions:Q", format=","),
            ],
        )
        .add_params(pick)
        .properties(height=260)
    )
    labels = sorted(_order(data), key=lambda name: "share" in name)
    numbers = part.relations.filter(pl.col("of").str.starts_with("number"))
    shares = part.relations.filter(pl.col("of").str.starts_with("share"))
    grow = (numbers["correlation_low"] > 0).sum() if numbers.height else 0
    change = (
        ((shares["correlation_low"] > 0) | (shares["correlation_high"] < 0)).sum() if shares.height else 0
    )
    return Figure(
        name="long-intervals",
        title=f"Longer sessions have more long intervals for {grow} of {numbers.height} bounds; the share "
        f"of long intervals changes for {change}",
        chart=panels(line, "panel", labels, columns=2, free_y=True),
        sentence="Intervals longer than each bound: per session on the left, as a share of all intervals on "
        "the right. A session of more requests has more intervals that can be long, so only the right side "
        "shows how users behave. The two axes have different units.",
        alt_text="Line charts of long intervals by number of requests for the bounds "
        + listing(bounds)
        + (", for each selection" if several else "")
        + f". The number per session grows with requests for {grow} bounds, the share changes for {change}.",
        table_name="long",
        data=data,
        columns=2,
        legend=True,
    )


def _relations(part: Conversations) -> Figure:
    """Rank correlations of a session's requests with its intervals."""
    data = part.relations.select(
        "selection",
        "of",
        pl.col("correlation").alias("value"),
        pl.col("correlation_low").alias("low"),
        pl.col("correlation_high").alias("high"),
        "sessions",
    ).drop_nulls("value")
    order = _order(data, "of")
    scale = alt.Scale(domain=[-1, 1], nice=False)
    ticks = alt.Axis(values=[-1, -0.5, 0, 0.5, 1])
    title = "Spearman correlation with the number of requests"
    y = alt.Y("of:N", sort=order, title=None, axis=alt.Axis(grid=True, labelLimit=220))
    shade = alt.value(theme.LIGHT["blue"])
    rule = (
        alt.Chart()
        .mark_rule(strokeWidth=2.6, strokeOpacity=0.5)
        .encode(x=alt.X("low:Q", title=title, scale=scale, axis=ticks), x2="high:Q", y=y, color=shade)
    )
    dots = (
        alt.Chart()
        .mark_point(size=62)
        .encode(
            x=alt.X("value:Q", title=title, scale=scale, axis=ticks),
            y=y,
            color=shade,
            tooltip=[
                "of:N",
                *(alt.Tooltip(f"{c}:Q", format=".2f") for c in ("value", "low", "high")),
                "sessions:Q",
            ],
        )
    )
    labels = _order(data, "selection")
    up = data.filter(pl.col("low") > 0)["of"].unique(maintain_order=True).to_list()
    return Figure(
        name="relations",
        title=f"{len(up)} of {len(order)} properties of a session rise with its number of requests",
        chart=panels(
            alt.layer(dashed(x=alt.datum(0)), rule, dots).properties(height={"step": 25}),
            "selection",
            labels,
            columns=1,
        ),
        sentence="Rank correlation over sessions with 95 % intervals; the dashed line means no correlation. "
        + (f"Rising: {listing(up)}." if up else ""),
        alt_text="Dot plot of rank correlations: "
        + "; ".join(f"{r['of']} {number(r['value'])}" for r in data.iter_rows(named=True))
        + ".",
        table_name="relations",
        data=data,
    )
