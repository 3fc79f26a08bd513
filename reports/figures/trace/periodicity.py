"""Figures of the periodicity: spectra, tests, weekday over weekend; every figure of the part is found here.

Not here: the load itself over time (`by_time`), the tests (see `burstlens.analysis.traffic.periodicity`).
"""

from __future__ import annotations

import altair as alt
import polars as pl

from ....analysis.core.result import listing, number
from ....analysis.traffic.periodicity import Periodicity
from .. import theme
from ..base import (
    Figure,
    category,
    columns_for,
    estimate,
    greatest,
    interval_dots,
    main_selections,
    once,
    panels,
)
from . import by_time

FEWEST_HOURS = 6
"""Shorter records have no figure of their hours."""
VERDICTS = {"periodic": "blue", "aperiodic": "vermillion", "cannot tell": "neutral"}


def figures(part: Periodicity) -> list[Figure]:
    """The figures of this part that its tables have data for."""
    drawn = []
    if part.hourly["hour"].n_unique() >= FEWEST_HOURS:
        drawn.append(by_time.hourly(part))
    if part.calendar["day"].n_unique() >= 3:
        drawn.append(by_time.calendar(part))
    if part.profile.height and part.calendar["day"].n_unique() >= 3:
        drawn.append(by_time.hours_of_day(part))
    if part.spectra.height:
        drawn.append(_spectrum(part))
    if part.tests.height:
        drawn.append(_tests(part))
    if part.weekdays["ratio"].is_finite().any():
        drawn.append(_weekday_ratio(part))
    return drawn


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
