"""Figures of the periodicity: hourly load, week by weekday, hours of the day, spectra, tests.

Not here: the tests themselves (see `burstlens.analysis.traffic.periodicity`).
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
    category,
    colour,
    columns_for,
    estimate,
    greatest,
    interval_dots,
    leaf_selections,
    least,
    main_selections,
    once,
    panels,
    spoken,
    zoom_x,
)

WEEKDAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
FREE_RATIO = 5.0
"""Panels whose maxima lie further apart get scales of their own, and the sentence says so."""
OWN_SCALES = " Panels have vertical scales of their own: their loads are too far apart for one."
FEWEST_HOURS = 6
"""Shorter records have no figure of their hours."""
VERDICTS = {"periodic": "blue", "aperiodic": "vermillion", "cannot tell": "neutral"}


def figures(part: Periodicity) -> list[Figure]:
    """The figures of this part that its tables have data for."""
    drawn = []
    if part.hourly["hour"].n_unique() >= FEWEST_HOURS:
        drawn.append(_hourly(part))
    if part.calendar["day"].n_unique() >= 3:
        drawn.append(_calendar(part))
    if part.profile.height and part.calendar["day"].n_unique() >= 3:
        drawn.append(_hours_of_day(part))
    if part.spectra.height:
        drawn.append(_spectrum(part))
    if part.tests.height:
        drawn.append(_tests(part))
    if part.weekdays["ratio"].is_finite().any():
        drawn.append(_weekday_ratio(part))
    return drawn


def _day0(part: Periodicity) -> date | None:
    """The date of day 0, where the calendar knows dates."""
    known = part.calendar.drop_nulls("date")
    if known.is_empty():
        return None
    first = known.row(0, named=True)
    day: date = first["date"] - timedelta(days=first["day"])
    return day


def _need_own_scales(data: pl.DataFrame, column: str, labels: list[str]) -> bool:
    tops = data.filter(pl.col("selection").is_in(labels)).group_by("selection").agg(pl.max(column))[column]
    return least(tops) <= 0 or greatest(tops) / least(tops) > FREE_RATIO


def _hourly(part: Periodicity) -> Figure:
    """Requests per hour through the whole record."""
    labels = main_selections(part.hourly)
    chosen = part.hourly.filter(pl.col("selection").is_in(labels))
    day0 = _day0(part)
    time = (
        (pl.lit(datetime(day0.year, day0.month, day0.day)) + pl.duration(hours="hour"))
        if day0
        else (pl.col("hour") / 24)
    )
    data = chosen.select(
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


def _calendar(part: Periodicity) -> Figure:
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


def _hours_of_day(part: Periodicity) -> Figure:
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


def _spectrum(part: Periodicity) -> Figure:
    """Power against period, beside the background that an aperiodic load of the same memory has."""
    labels = main_selections(part.spectra)
    chosen = part.spectra.filter(pl.col("selection").is_in(labels))
    data = chosen.unpivot(
        ["power", "background", "threshold"],
        index=["selection", "period_h"],
        variable_name="series",
        value_name="value",
    ).filter(pl.col("value") > 0)
    named = {"power": "blue", "background": "neutral", "threshold": "vermillion"}
    lines = (
        alt.Chart()
        .mark_line(clip=True)
        .encode(
            x=alt.X("period_h:Q", title="period (h)", scale=alt.Scale(type="log", nice=False)).axis(
                values=[6, 8, 12, 24, 48, 84, 168, 336], format="d"
            ),
            y=alt.Y("value:Q", title="power (1 = white noise)", scale=alt.Scale(type="log")).axis(
                values=[0.001, 0.01, 0.1, 1, 10, 100, 1000], format="~g"
            ),
            color=category("series", named, symbolType="stroke"),
            strokeDash=alt.StrokeDash(
                "series:N", scale=alt.Scale(domain=list(named), range=[[1, 0], [2, 2], [6, 3]])
            ),
            strokeWidth=alt.when(alt.datum.series == "power").then(alt.value(1.8)).otherwise(alt.value(1.2)),
            tooltip=[
                "selection:N",
                "series:N",
                alt.Tooltip("period_h:Q", format=",.4~r", title="period (h)"),
                alt.Tooltip("value:Q", format=",.4~r"),
            ],
        )
    )
    longest = greatest(chosen["period_h"])
    days = [
        once(alt.Chart().mark_rule(color=theme.LIGHT["line"])).encode(x=alt.datum(period))
        for period in (24, 168)
        if period <= longest
    ]
    columns = columns_for(len(labels))
    strongest = {}
    for label in labels:
        mine = chosen.filter((pl.col("selection") == label) & (pl.col("power") > pl.col("threshold")))
        if mine.height:
            best = mine.sort(pl.col("power") / pl.col("threshold")).row(-1, named=True)
            strongest[label] = (best["period_h"], best["power"] / best["background"])
    phrases = [
        f"{label} at {number(p)} h ({number(r)} times its background)" for label, (p, r) in strongest.items()
    ]
    silent = [label for label in labels if label not in strongest]
    return Figure(
        name="spectrum",
        title=(
            f"Strongest period: {'; '.join(f'{k} at {number(p)} h' for k, (p, _) in strongest.items())}"
            if strongest
            else "No period stands out beyond chance"
        ),
        chart=panels(alt.layer(*days, lines).properties(height=230), "selection", labels, columns=columns),
        sentence="Lomb–Scargle power of the logarithm of hourly counts, by period. The background is that of "
        "a load with the same memory but no period (an autoregression). By chance a period chosen in advance "
        "exceeds the threshold once in a hundred times. "
        + (f"Strongest compared with the threshold: {'; '.join(phrases)}. " if phrases else "")
        + (f"No period exceeds it in {listing(silent)}." if silent else ""),
        alt_text=f"Line chart of spectral power by period for {listing(labels)}. "
        + (f"Strongest: {'; '.join(phrases)}." if phrases else ""),
        table_name="spectra",
        data=data,
        columns=columns,
    )


def _tests(part: Periodicity) -> Figure:
    """Autocorrelation and seasonal strength at a day and a week, with intervals and verdicts."""
    names = {24: "a day", 168: "a week"}
    tests = part.tests.with_columns(period=pl.col("period_h").replace_strict(names, default="other"))
    frames = []
    for measure, chance in (("autocorrelation", "band"), ("strength", "strength_noise")):
        spoken = {"autocorrelation": "autocorrelation at", "strength": "seasonal strength of"}[measure]
        frames.append(
            tests.select(
                "selection",
                pl.format("{} {}", pl.lit(spoken), "period").alias("measure"),
                pl.col(measure).alias("value"),
                pl.col(f"{measure}_low").alias("low"),
                pl.col(f"{measure}_high").alias("high"),
                pl.col(chance).alias("chance"),
                "verdict",
                pl.col("cycles"),
            )
        )
    data = pl.concat(frames).drop_nulls("value")
    labels = data["selection"].unique(maintain_order=True).to_list()
    order = sorted(data["measure"].unique().to_list(), key=lambda m: ("week" in m, m))
    y = alt.Y("selection:N", title=None, sort=labels, axis=alt.Axis(grid=True, labelLimit=170))
    scale = alt.Scale(domain=[-0.5, 1], nice=False)
    ticks = alt.Axis(values=[-0.5, 0, 0.5, 1])
    shade = category("verdict", VERDICTS)
    base = alt.Chart().encode(y=y)
    rule = base.mark_rule(strokeWidth=2.6, strokeOpacity=0.5, clip=True).encode(
        x=alt.X("low:Q", title="value with 95 % interval", scale=scale, axis=ticks), x2="high:Q", color=shade
    )
    chance = base.mark_tick(color=theme.SOFT, thickness=1.5, size=14).encode(
        x=alt.X("chance:Q", scale=scale, title="value with 95 % interval", axis=ticks)
    )
    dots = base.mark_point(filled=True, size=60).encode(
        x=alt.X("value:Q", scale=scale, title="value with 95 % interval", axis=ticks),
        color=shade,
        shape=alt.Shape(
            "verdict:N", scale=alt.Scale(domain=list(VERDICTS), range=["circle", "diamond", "cross"])
        ),
        tooltip=[
            "selection:N",
            "measure:N",
            *(alt.Tooltip(f"{c}:Q", format=".3~f") for c in ("value", "low", "high", "chance")),
            alt.Tooltip("cycles:Q", title="cycles seen", format=".1f"),
            "verdict:N",
        ],
    )
    found = []
    for hours in names:
        verdicts = part.tests.filter((pl.col("period_h") == hours) & (pl.col("verdict") == "periodic"))
        mains = [label for label in main_selections(part.tests) if label in set(verdicts["selection"])]
        if part.tests.filter(pl.col("period_h") == hours).height:
            found.append(f"{'daily' if hours == 24 else 'weekly'}: {listing(mains) or 'none'}")
    columns = min(2, len(order))
    return Figure(
        name="tests",
        title=f"Patterns beyond chance, {'; '.join(found)}",
        chart=panels(
            alt.layer(rule, chance, dots).properties(height={"step": 25}), "measure", order, columns=columns
        ),
        sentence="Autocorrelation and seasonal strength with 95 % intervals. The grey tick shows what chance "
        "reaches: Bartlett's band for the autocorrelation, white noise of the same length for the strength. "
        "Two tests decide the verdict: a peak of the autocorrelation, and the spectrum.",
        alt_text="Dot plot of autocorrelation and seasonal strength for each selection. "
        + "; ".join(
            f"{r['selection']} at {r['period_h']} h: {r['verdict']}" for r in part.tests.iter_rows(named=True)
        )
        + ".",
        table_name="tests",
        data=data,
        columns=columns,
    )


def _weekday_ratio(part: Periodicity) -> Figure:
    """Requests of a mean weekday over those of a mean weekend day."""
    data = part.weekdays.filter(pl.col("ratio").is_finite() & (pl.col("ratio_low") > 0)).select(
        "selection", "ratio", "ratio_low", "ratio_high", "weekday_mean", "weekend_mean"
    )
    if data.is_empty():
        data = part.weekdays.filter(pl.col("ratio").is_finite()).select(
            "selection", "ratio", "ratio_low", "ratio_high", "weekday_mean", "weekend_mean"
        )
    labels = data["selection"].to_list()
    chart = interval_dots(
        data, "ratio", "ratio_low", "ratio_high", title="requests on a mean weekday over a mean weekend day",
        reference=1,
    )  # fmt: skip
    up = data.filter(pl.col("ratio_low") > 1)["selection"].to_list()
    resampled = part.weekdays["resampled"].unique().drop_nulls().to_list()
    return Figure(
        name="weekday-ratio",
        title=f"Weekdays have more requests than weekends beyond chance in {len(up)} of {len(labels)} "
        "selections",
        chart=chart,
        sentence="Requests of a mean weekday over those of a mean weekend day, with 95 % intervals from "
        f"resampling {listing(resampled)}, on a logarithmic axis. The dashed line means no difference.",
        alt_text="Dot plot of the weekday over weekend ratio: "
        + "; ".join(f"{r['selection']} {estimate(r, 'ratio')}" for r in data.iter_rows(named=True))
        + ".",
        table_name="weekdays",
        data=data,
    )
