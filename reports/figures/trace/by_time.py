"""Figures of the load by time: each hour of the record, each day of its weeks, the hours of the day.

Not here: which periods repeat beyond chance (`periodicity`).
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import altair as alt
import polars as pl

from ....analysis.core.result import listing, number
from ....analysis.traffic.periodicity import Periodicity
from .. import theme
from ..base import (
    Figure,
    capital,
    colour,
    columns_for,
    estimate,
    greatest,
    leaf_selections,
    least,
    main_selections,
    panels,
    spoken,
    zoom_x,
)

WEEKDAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
FREE_RATIO = 5.0
"""Panels whose maxima lie further apart get scales of their own, and the sentence says so."""
OWN_SCALES = " Panels have vertical scales of their own: their loads are too far apart for one."


def hourly(part: Periodicity) -> Figure:
    """Requests per hour through the whole record."""
    labels = main_selections(part.hourly)
    chosen = part.hourly.filter(pl.col("selection").is_in(labels))
    day0 = _day0(part)
    time = (
        (pl.lit(datetime(day0.year, day0.month, day0.day)) + pl.duration(hours="clock_hour"))
        if day0
        else (pl.col("hour") / 24)
    )
    clock_hour = pl.Series("clock_hour", part.clock.hours(chosen["hour"].to_numpy()))
    data = chosen.with_columns(clock_hour).select(
        "selection",
        time.alias("time"),
        pl.col("n").alias("requests"),
        (pl.col("hour").diff() > 1).fill_null(True).cum_sum().over("selection").alias("run"),
    )
    tips = [
        alt.Tooltip("selection:N"),
        alt.Tooltip("time:T", format="%a %d %b, %H h") if day0 else alt.Tooltip("time:Q", format=".2f"),
        alt.Tooltip("requests:Q", format=","),
    ]
    x = alt.X("time:Q", title="days since the log's second 0")
    if day0:
        hours = greatest(chosen["hour"]) - least(chosen["hour"])
        ticks: dict[str, Any] = {"format": "%d %b"}
        if hours <= 24 * 16:
            ticks = {"format": "%a %d %b", "tickCount": "day"}
        if hours <= 48:
            ticks = {"format": "%a %H:%M"}
        x = alt.X("time:T", title=None, axis=alt.Axis(**ticks))
    x = x.scale(nice=False)
    base = alt.Chart().encode(x=x, y=alt.Y("requests:Q", title="requests per hour"), detail="run:N")
    area = base.mark_area(fillOpacity=0.85, interpolate="step-after", clip=True).encode(
        color=colour("selection", labels, legend=False), tooltip=tips
    )
    free = _need_own_scales(data, "requests", labels)
    chart = panels(
        area.add_params(zoom_x()).properties(height=150), "selection", labels, columns=1, free_y=free
    )
    phrases, peaks = [], []
    for label in labels:
        counts = data.filter(pl.col("selection") == label)["requests"]
        mean = float(counts.to_numpy().mean())
        empty = int((counts == 0).sum())
        peak = int(greatest(counts))
        peaks.append((peak / mean if mean else 0.0, label))
        phrases.append(
            f"{spoken(label)} {number(mean)} an hour on average, {peak:,} at most, {empty:,} empty hours"
        )
    ratio, busiest = max(peaks)
    return Figure(
        name="hourly",
        title=f"{capital(spoken(busiest))} reaches {number(ratio)} times its mean load in its busiest hour",
        chart=chart,
        sentence=f"Requests in each hour of the record: {'; '.join(phrases)}." + (OWN_SCALES if free else ""),
        alt_text="Area chart of requests per hour over the whole record, a panel each for "
        f"{listing(labels)}: {'; '.join(phrases)}.",
        table_name="hourly",
        data=data,
        zoom=True,
    )


def calendar(part: Periodicity) -> Figure:
    """Requests per day, a row a week and a column a weekday (the paper's Fig. 2 and 3)."""
    dated = part.calendar["date"].is_not_null().any()
    labels = leaf_selections(part.calendar, "n")
    week = (
        pl.format("{}-W{}", "iso_year", pl.col("iso_week").cast(pl.String).str.zfill(2))
        if dated
        else pl.format("week {}", (pl.col("day") // 7 + 1).cast(pl.String).str.zfill(2))
    )
    names = WEEKDAYS if dated else [f"day {i}" for i in range(1, 8)]
    weekday = pl.col("weekday") - 1 if dated else pl.col("day") % 7
    data = (
        part.calendar.filter(pl.col("selection").is_in(labels))
        .with_columns(
            week.alias("week"),
            weekday.replace_strict(dict(enumerate(names)), return_dtype=pl.String).alias("weekday"),
            (pl.col("n") / pl.col("n").max().over("selection")).alias("share"),
        )
        .with_columns(
            pl.when(pl.col("whole"))
            .then(pl.lit("whole day"))
            .otherwise(pl.lit("partly recorded"))
            .alias("day")
        )
        .select("selection", "week", "weekday", "date", pl.col("n").alias("requests"), "share", "day")
        .with_columns(pl.col("date").cast(pl.String).fill_null("unknown"))
    )
    x = alt.X("weekday:N", sort=names, title=None, axis=alt.Axis(orient="top", labelAngle=0, domain=False))
    y = alt.Y("week:N", title=None, axis=alt.Axis(ticks=False, domain=False))
    base = alt.Chart().encode(x=x, y=y)
    cells = base.mark_rect(cornerRadius=3, stroke=theme.LIGHT["ground"], strokeWidth=2).encode(
        color=alt.Color(
            "share:Q",
            scale=alt.Scale(type="quantize", domain=[0, 1], range=theme.STEPS),
            legend=alt.Legend(
                title="share of the panel's busiest day", format=".0%", titleFontWeight=400, titleFontSize=12,
                titleColor=theme.SOFT, titleLimit=320,
            ),
        ),
        tooltip=[
            alt.Tooltip(f"{name}:N") for name in ("selection", "week", "weekday", "date", "day")
        ] + [alt.Tooltip("requests:Q", format=",")],
    )  # fmt: skip
    counts = base.mark_text(fontSize=10.5).encode(
        text=alt.Text("requests:Q", format=".3~s"),
        color=alt.when(alt.datum.share > 0.5)
        .then(alt.value(theme.LIGHT["on_high"]))
        .otherwise(alt.value(theme.LIGHT["on_low"])),
    )
    columns = columns_for(len(labels))
    chart = panels(
        alt.layer(cells, counts).properties(height={"step": 25}), "selection", labels, columns=columns
    )
    ratios = {row["selection"]: row for row in part.weekdays.iter_rows(named=True)}
    phrases = [
        f"{label} {estimate(r, 'ratio')}"
        for label in labels
        if (r := ratios.get(label)) and r["ratio"] is not None and r["ratio"] != float("inf")
    ]
    down = [label for label in labels if label in ratios and (ratios[label]["ratio_low"] or 0) > 1]
    title = (
        f"Fewer requests at weekends: {listing(down)}"
        if down
        else "No selection has fewer requests at weekends beyond chance"
        if phrases
        else "Requests per day, week by week"
    )
    weeks = data["week"].n_unique()
    return Figure(
        name="calendar",
        title=title,
        chart=chart,
        sentence="Requests per day, a row for each week. Colours compare the days of one panel; numbers "
        "compare panels. "
        + (f"Mean weekday over mean weekend day: {'; '.join(phrases)}." if phrases else ""),
        alt_text=f"Heat map of requests per day over {weeks} weeks by weekday, a panel each for "
        f"{listing(labels)}. "
        + (f"Mean weekday over mean weekend day: {'; '.join(phrases)}." if phrases else ""),
        table_name="calendar",
        data=data,
        columns=columns,
    )


def hours_of_day(part: Periodicity) -> Figure:
    """Box plots of requests per hour of the day (the paper's Fig. 4 and 5)."""
    profile = part.profile.filter((pl.col("days") == "all") & pl.col("median").is_not_null())
    labels = leaf_selections(profile, "mean")
    data = profile.filter(pl.col("selection").is_in(labels)).select(
        "selection", pl.col("hour_of_day").alias("hour"), "low", "q1", "median", "q3", "high", "mean",
        pl.col("values").alias("days"), "outliers",
    )  # fmt: skip
    free = _need_own_scales(data, "high", labels)
    x = alt.X("hour:Q", title="hour of day", scale=alt.Scale(domain=[-0.6, 23.6], nice=False)).axis(
        values=[0, 3, 6, 9, 12, 15, 18, 21], format="d"
    )
    shade = colour("selection", labels, legend=False)
    base = alt.Chart().encode(x=x, color=shade)
    title = "requests per hour"
    whisker = base.mark_rule(strokeOpacity=0.7).encode(y=alt.Y("low:Q", title=title), y2="high:Q")
    box = (
        base.mark_rule(strokeWidth=9, strokeOpacity=0.45)
        .encode(y=alt.Y("q1:Q", title=title), y2="q3:Q")
        .encode()
    )
    tips = [
        alt.Tooltip("selection:N"),
        alt.Tooltip("hour:Q"),
        *(
            alt.Tooltip(f"{c}:Q", format=",.4~r")
            for c in ("low", "q1", "median", "q3", "high", "mean", "days", "outliers")
        ),
    ]
    median = base.mark_point(shape="stroke", size=90, strokeWidth=2.4, filled=False, fillOpacity=1).encode(
        y=alt.Y("median:Q", title=title), tooltip=tips
    )
    columns = columns_for(len(labels))
    chart = panels(
        alt.layer(whisker, box, median).properties(height=190),
        "selection",
        labels,
        columns=columns,
        free_y=free,
    )
    phrases = []
    for label in labels:
        rows = data.filter(pl.col("selection") == label).sort("median")
        low, high = rows.row(0, named=True), rows.row(-1, named=True)
        phrases.append(
            f"{label}: median {number(low['median'])} at {low['hour']} h, {number(high['median'])} at "
            f"{high['hour']} h"
            if high["median"] > low["median"]
            else f"{label}: median {number(high['median'])} at every hour"
        )
    tops = [greatest(data.filter(pl.col("selection") == label)["median"]) for label in labels]
    return Figure(
        name="hour-of-day",
        title=f"Requests by hour of day, {phrases[tops.index(max(tops))]}",
        chart=chart,
        sentence="Requests per hour on all days: the stroke is the median, the bar holds the middle half, "
        f"whiskers reach the last value within 1.5 interquartile ranges. {'; '.join(phrases)}."
        + (OWN_SCALES if free else ""),
        alt_text=f"Box plots of requests per hour by hour of day for {listing(labels)}. "
        f"{'; '.join(phrases)}.",
        table_name="profile",
        data=data,
        columns=columns,
    )


def _need_own_scales(data: pl.DataFrame, column: str, labels: list[str]) -> bool:
    tops = data.filter(pl.col("selection").is_in(labels)).group_by("selection").agg(pl.max(column))[column]
    return least(tops) <= 0 or greatest(tops) / least(tops) > FREE_RATIO


def _day0(part: Periodicity) -> date | None:
    """The date of day 0, where the calendar knows dates."""
    known = part.calendar.drop_nulls("date")
    if known.is_empty():
        return None
    first = known.row(0, named=True)
    day: date = first["date"] - timedelta(days=first["day"])
    return day
