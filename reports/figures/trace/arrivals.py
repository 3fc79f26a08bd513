"""Figures of the arrivals: shape and rate per window, their spread beyond chance, CV against the fit.

Not here: the fits (see `burstlens.analysis.traffic.arrivals`).
"""

from __future__ import annotations

import math
from typing import Any

import altair as alt
import polars as pl

from ....analysis.core.result import listing, number, percent
from ....analysis.core.units import DAY_H, DAY_S, HOUR_S
from ....analysis.traffic.arrivals import Arrivals
from .. import theme
from ..base import (
    SOURCE,
    Figure,
    category,
    colour,
    columns_for,
    dashed,
    faded,
    greatest,
    legend_filter,
    logarithmic,
    main_selections,
    panels,
    spoken,
    zoom_x,
)

MAX_WINDOWS = 1500
"""Windows drawn per selection; of more, every second, third, … is drawn and the sentence says so."""
FEWEST_DRAWN = 10
"""Selections of fewer windows get no panel as long as another has more."""
FEWEST_HOURS = 6
"""Hours of the day that must have windows for a profile of the day."""
CROWDED = 300
"""With more windows a panel, the line between them fades and the points tell."""
FEWEST_IN_SEQUENCE = 3
PULLED = (
    "Each window's shape is pulled toward what all windows have in common, the more the fewer requests it "
    "has, so these vary less than the shapes of windows fitted one by one."
)
"""What a reader needs to know where the findings speak of windows fitted one by one."""
MAX_NIGHTS = 120
"""Borders between days are drawn up to so many."""
WORKING = "weekday working hours"
PERCENTILES = {"low": 0.05, "median": 0.5, "high": 0.95}


def figures(part: Arrivals) -> list[Figure]:
    """The figures of this part that its tables have data for."""
    fitted = part.windows.filter(~pl.col("unfitted"))
    if fitted.is_empty():
        return []
    drawn = []
    if fitted["start_s"].n_unique() >= FEWEST_IN_SEQUENCE:
        drawn = [_sequence(part, fitted, "shape"), _sequence(part, fitted, "rate"), *_hours(part, fitted)]
    if part.spread.height:
        drawn.append(_spread(part))
    rows = fitted.drop_nulls(["cv", "cv_fit"]).filter((pl.col("cv") > 0) & ~pl.col("shrunk"))
    if rows.height >= FEWEST_DRAWN:
        drawn.append(_cv(rows))
    return drawn


def _scope(fitted: pl.DataFrame) -> tuple[pl.DataFrame, str]:
    """The windows of weekday working hours where the trace tells them, else all."""
    working = fitted.filter(pl.col("working_hours"))
    return (working, WORKING) if working.height else (fitted, "all hours")


def _thinned(table: pl.DataFrame, limit: int = MAX_WINDOWS) -> tuple[pl.DataFrame, int]:
    """Every k-th row of each selection so that at most `most` are left, and k."""
    longest = greatest(table.group_by("selection").len()["len"])
    step = max(1, math.ceil(longest / limit))
    place = pl.int_range(pl.len()).over("selection")
    return table.filter(place % step == 0), step


def _sequence(part: Arrivals, fitted: pl.DataFrame, quantity: str) -> Figure:
    """α or β of consecutive windows, as in the paper's Fig. 6, with the interval of each."""
    labels = main_selections(fitted)
    chosen, scope = _scope(fitted.filter(pl.col("selection").is_in(labels)))
    drawn_labels = [label for label in labels if (chosen["selection"] == label).sum() >= FEWEST_DRAWN]
    labels = drawn_labels or chosen["selection"].unique(maintain_order=True).to_list()
    numbered = chosen.with_columns(place=pl.col("start_s").rank("dense").cast(pl.Int64))
    drawn, step = _thinned(numbered.filter(pl.col("selection").is_in(labels)))
    new_day = pl.col("start_s").floordiv(DAY_S).diff() != 0
    breaks = pl.col("place").diff() > 1.5 * step
    data = drawn.select(
        "selection",
        pl.col("place").alias("window"),
        (pl.col("start_s") / DAY_S).alias("day"),
        pl.col(quantity).alias("value"),
        *(
            (pl.col(quantity) * pl.col(f"shape_{end}") / pl.col("shape")).alias(end)
            for end in ("low", "high")
        ),
        pl.col("n").alias("requests"),
        # A line is broken over night and where a window has no fit.
        (breaks | new_day).fill_null(True).cum_sum().over("selection").alias("run"),
        new_day.fill_null(False).over("selection").alias("new day"),
    )
    symbol, unit = {"shape": ("α", "1 = Poisson"), "rate": ("β", "per second")}[quantity]
    minutes = f"{part.window_s / 60:g}-minute windows"
    x = alt.X("window:Q", title=f"{minutes} in {scope}, one after another", scale=alt.Scale(nice=False))
    x = x.axis(format="d", tickMinStep=1)
    y = {"title": f"{quantity} {symbol} ({unit})", **_log(data)}
    base = alt.Chart().encode(x=x, color=colour("selection", labels, legend=False))
    nights = (
        alt.Chart()
        .mark_rule(color=theme.LIGHT["grid"], clip=True)
        .transform_filter(alt.datum["new day"])
        .encode(x=x)
    )
    band = base.mark_area(fillOpacity=0.25, clip=True).encode(
        y=alt.Y("low:Q", **y), y2="high:Q", detail="run:N"
    )
    crowded = data.height / max(1, len(labels)) > CROWDED
    line = base.mark_line(strokeWidth=1, strokeOpacity=0.2 if crowded else 0.75, clip=True).encode(
        y=alt.Y("value:Q", **y), detail="run:N"
    )
    points = base.mark_circle(size=15, clip=True, fillOpacity=0.9).encode(
        y=alt.Y("value:Q", **y),
        tooltip=[
            alt.Tooltip("selection:N"),
            alt.Tooltip("day:Q", title="day of the log", format=".2f"),
            alt.Tooltip("value:Q", title=f"{quantity} {symbol}", format=",.4~r"),
            alt.Tooltip("low:Q", format=",.4~r"),
            alt.Tooltip("high:Q", format=",.4~r"),
            alt.Tooltip("requests:Q", format=","),
        ],
    )
    layers = [band, line, points.add_params(zoom_x())]
    if quantity == "shape":
        layers.insert(0, dashed(y=alt.datum(1)))
    if 1 < data["new day"].sum() <= MAX_NIGHTS:
        layers.insert(0, nights)
    thin = f"Only one window in {step} is drawn. " if step > 1 else ""
    ranges = [
        f"{spoken(label)} {number(low)} to {number(high)}"
        for label in labels
        for low, high in [_range(chosen.filter(pl.col("selection") == label)[quantity])]
    ]
    return Figure(
        name=f"{quantity}-sequence",
        title=_variation_title(part, scope, quantity, labels),
        chart=panels(alt.layer(*layers).properties(height=170), "selection", labels, columns=1),
        sentence=f"Each point is the {quantity} {symbol} of the Gamma law of one window, the band its 95 % "
        f"interval; the axis is logarithmic, and thin lines separate days. {thin}{PULLED} 90 % of the pulled "
        f"{quantity}s lie within: {'; '.join(ranges)}.",
        alt_text=f"Line chart of the Gamma {quantity} of consecutive {minutes} in {scope}, a panel each "
        f"for {listing(labels)}. From the 5th to the 95th percentile of windows: {'; '.join(ranges)}.",
        table_name="windows",
        data=data,
        zoom=True,
    )


def _log(data: pl.DataFrame) -> dict[str, Any]:
    """A logarithmic channel that holds every value and 99 % of interval ends: few wide bands are clipped."""
    ends = [data["low"].quantile(0.01), data["high"].quantile(0.99)]
    return logarithmic(data["value"], pl.Series(ends, dtype=pl.Float64))


def _range(values: pl.Series) -> tuple[float | None, float | None]:
    return values.quantile(0.05), values.quantile(0.95)


def _variation_title(part: Arrivals, scope: str, quantity: str, labels: list[str]) -> str:
    """Which selections vary beyond chance, and by which factor (one standard deviation)."""
    symbol = {"shape": "Shape α", "rate": "Rate β"}[quantity]
    spread = part.spread.filter((pl.col("scope") == scope) & (pl.col("quantity") == quantity))
    by_label = {row["selection"]: row for row in spread.iter_rows(named=True) if row["selection"] in labels}
    beyond = [
        f"×{math.exp(row['excess_log_sd']):.2f} in {spoken(label)}"
        for label, row in by_label.items()
        if row["excess_log_sd_low"] > 0
    ]
    if beyond:
        return f"{symbol} varies from window to window beyond chance: {listing(beyond)}"
    if by_label:
        return f"{symbol} varies from window to window no more than chance explains"
    return f"{symbol} of each window (too few windows to tell variation from chance)"


def _hours(part: Arrivals, fitted: pl.DataFrame) -> list[Figure]:
    """α by hour of day over all windows, which working hours leave out; none for a few hours."""
    labels = main_selections(fitted)
    shown_s = pl.Series("clock_s", part.clock.seconds(fitted["start_s"].to_numpy()))
    data = (
        fitted.with_columns(shown_s)
        .filter(pl.col("selection").is_in(labels))
        .with_columns(hour=(pl.col("clock_s") / HOUR_S).floor().cast(pl.Int64) % DAY_H)
        .group_by("selection", "hour")
        .agg(
            *(pl.col("shape").quantile(q, "linear").alias(name) for name, q in PERCENTILES.items()),
            windows=pl.len(),
        )
        .filter(pl.col("windows") >= 3)
        .sort("selection", "hour")
    )
    if data["hour"].n_unique() < FEWEST_HOURS:
        return []
    labels = [label for label in labels if label in set(data["selection"])]
    y = {"title": "shape α (1 = Poisson)", **logarithmic(data["low"], data["high"])}
    base = alt.Chart().encode(
        x=alt.X("hour:Q", title="hour of day (local time of the log)", scale=alt.Scale(domain=[0, 23])),
        color=colour("selection", labels, legend=len(labels) > 1),
    )
    pick = legend_filter("selection")
    band = base.mark_area(fillOpacity=0.15).encode(
        y=alt.Y("low:Q", **y),
        y2="high:Q",
        opacity=faded(pick),
    )
    tips = [
        alt.Tooltip("selection:N"),
        alt.Tooltip("hour:Q"),
        alt.Tooltip("median:Q", format=",.4~r"),
        alt.Tooltip("low:Q", title="5 %", format=",.4~r"),
        alt.Tooltip("high:Q", title="95 %", format=",.4~r"),
        alt.Tooltip("windows:Q", format=","),
    ]
    line = base.mark_line(point=True).encode(y=alt.Y("median:Q", **y), tooltip=tips, opacity=faded(pick))
    poisson = dashed(y=alt.datum(1))
    phrases, swing = [], []
    for label in labels:
        rows = data.filter(pl.col("selection") == label).sort("median")
        phrases.append(
            f"{label} from {number(rows['median'][0])} at {rows['hour'][0]} h to "
            f"{number(rows['median'][-1])} at {rows['hour'][-1]} h"
        )
        swing.append(rows["median"][-1] / rows["median"][0])
    below = [
        label
        for label in labels
        if data.filter((pl.col("selection") == label) & (pl.col("median") < 1)).height
        > 0.9 * data.filter(pl.col("selection") == label).height
    ]
    title_text = (
        f"Burstier than Poisson at almost every hour of the day: {listing(below)}"
        if below
        else f"Median shape by hour of day: {'; '.join(phrases)}"
    )
    drawn = Figure(
        name="shape-by-hour",
        title=title_text,
        chart=alt.layer(poisson, band.add_params(pick), line, data=SOURCE).properties(height=260),
        sentence="The line is the median shape of the windows that begin in each hour of the day, weekends "
        f"included; the band holds 90 % of them. {PULLED} Medians range: {'; '.join(phrases)}.",
        alt_text=f"Line chart of the median Gamma shape by hour of day. {'; '.join(phrases)}.",
        table_name="windows",
        data=data,
        legend=len(labels) > 1,
    )
    return [drawn]


def _spread(part: Arrivals) -> Figure:
    """Observed spread beside what sampling error alone gives, and the excess with its interval."""
    names = {"shape": "shape α", "rate": "rate β", "rate_rps": "request rate"}
    scopes = part.spread["scope"].unique(maintain_order=True).to_list()
    scope = WORKING if WORKING in scopes else scopes[0]
    data = part.spread.filter(pl.col("scope") == scope).select(
        "selection",
        pl.col("quantity").replace(names),
        "windows",
        *(
            pl.col(name).exp().alias(alias)
            for name, alias in [
                ("log_sd", "observed"),
                ("sampling_log_sd", "chance alone"),
                ("excess_log_sd", "excess"),
                ("excess_log_sd_low", "excess low"),
                ("excess_log_sd_high", "excess high"),
            ]
        ),
    )
    labels = data["selection"].unique(maintain_order=True).to_list()
    y = alt.Y("selection:N", title=None, sort=labels, axis=alt.Axis(grid=True, labelLimit=170))
    x_title = "standard deviation, as a factor"
    x = {"title": x_title, **logarithmic(*(data[c] for c in data.columns[3:]), limit=5)}
    base = alt.Chart().encode(y=y)
    rule = base.mark_rule(strokeWidth=2.4, strokeOpacity=0.55).encode(
        x=alt.X("excess low:Q", **x), x2="excess high:Q", color=_series()
    )
    tips = [
        "selection:N",
        "quantity:N",
        *(alt.Tooltip(f"{c}:Q", format=",.4~r") for c in data.columns[3:]),
        alt.Tooltip("windows:Q", format=","),
    ]
    dots = (
        base.transform_fold(["observed", "chance alone", "excess"], as_=["series", "factor"])
        .mark_point(filled=True, size=58)
        .encode(
            x=alt.X("factor:Q", **x),
            color=_series(),
            shape=category_shape(),
            tooltip=tips,
        )
    )
    rule = rule.transform_calculate(series="'excess'")
    chart = panels(
        alt.layer(rule, dots).properties(height={"step": 26}), "quantity", list(names.values()), columns=3
    )
    shapes = data.filter(pl.col("quantity") == names["shape"])
    beyond = shapes.filter(pl.col("excess low") > 1)["selection"].to_list()
    title = (
        f"Shapes differ more than chance alone explains in {len(beyond)} of {shapes.height} selections"
        if shapes.height
        else "Spread of the windows, and what chance alone would give"
    )
    return Figure(
        name="spread",
        title=title,
        chart=chart,
        sentence=f"How far the windows of {scope} differ, each fitted alone, as a factor of one standard "
        "deviation: as observed, as chance alone would spread equal windows, and the excess with its 95 % "
        "interval. A factor of 1 is no spread.",
        alt_text="Dot plot of the spread of shape, β and request rate between windows for each selection: "
        + "; ".join(
            f"{r['selection']} shape observed {number(r['observed'])}, chance {number(r['chance alone'])}"
            for r in shapes.iter_rows(named=True)
        )
        + ".",
        table_name="spread",
        data=data,
        columns=3,
    )


def _series() -> alt.Color:
    named: alt.Color = category(
        "series", {"observed": "ink", "chance alone": "neutral", "excess": "vermillion"}
    )
    return named


def category_shape() -> alt.Shape:
    """Marks that tell the three spreads apart without colour."""
    return alt.Shape(
        "series:N",
        scale=alt.Scale(
            domain=["observed", "chance alone", "excess"], range=["circle", "triangle-up", "diamond"]
        ),
        legend=alt.Legend(),
    )


def _cv(fits: pl.DataFrame) -> Figure:
    """The window's own CV against the one that its fit has on the log's clock."""
    labels = main_selections(fits)
    enough = [label for label in labels if (fits["selection"] == label).sum() >= FEWEST_DRAWN]
    labels = enough or labels
    drawn, step = _thinned(fits.filter(pl.col("selection").is_in(labels)), 900)
    data = drawn.select(
        "selection",
        pl.col("cv_seen").alias("from fit"),
        pl.col("cv").alias("own"),
        pl.col("n").alias("requests"),
        pl.when("not_gamma").then(pl.lit("far apart")).otherwise(pl.lit("close")).alias("agreement"),
    )
    ends = [
        float(data.select(pl.min_horizontal(pl.min("own"), pl.min("from fit"))).item()),
        float(data.select(pl.max_horizontal(pl.max("own"), pl.max("from fit"))).item()),
    ]
    both = logarithmic(pl.Series(ends))
    pick = legend_filter("agreement")
    points = (
        alt.Chart()
        .mark_point(size=22, fillOpacity=0.6)
        .encode(
            x=alt.X("from fit:Q", title="CV from the fit, on the log's clock", **both),
            y=alt.Y("own:Q", title="CV of the window's own gaps", **both),
            color=category("agreement", {"close": "blue", "far apart": "vermillion"}),
            shape=alt.Shape(
                "agreement:N", scale=alt.Scale(domain=["close", "far apart"], range=["circle", "triangle-up"])
            ),
            opacity=faded(pick),
            tooltip=[
                "selection:N",
                alt.Tooltip("from fit:Q", format=",.4~r"),
                alt.Tooltip("own:Q", format=",.4~r"),
                alt.Tooltip("requests:Q", format=","),
            ],
        )
        .add_params(pick)
    )
    line = dashed(
        x=alt.datum(ends[0]),
        x2=alt.datum(ends[1]),
        y=alt.datum(ends[0]),
        y2=alt.datum(ends[1]),
    )
    not_gamma = float(fits.filter(pl.col("selection").is_in(labels))["not_gamma"].to_numpy().mean())
    labels = [label for label in labels if label in set(data["selection"])]
    columns = columns_for(len(labels))
    return Figure(
        name="cv",
        title=f"CV of the gaps: within a factor of two of the fit's in {percent(1 - not_gamma)} of windows",
        chart=panels(alt.layer(line, points).properties(height=280), "selection", labels, columns=columns),
        sentence="Each point is a window of at least 30 gaps. On the dashed line its CV equals that of the "
        "Gamma law fitted to this window alone: 1/√α, or more if gaps are short compared with the resolution "
        "of the time stamps. " + (f"Only one window in {step} is drawn." if step > 1 else ""),
        alt_text=f"Scatter plot of each window's own CV against its fit's, for {listing(labels)}; "
        f"{percent(not_gamma)} of windows lie more than a factor of two off the diagonal.",
        table_name="windows",
        data=data,
        columns=columns,
        legend=True,
    )
