"""Figures of the forecast: six hours of prediction against truth, errors over bin widths, skill, methods.

Not here: what is forecast and how it is scored (`analysis.forecast`).
"""

from __future__ import annotations

from typing import Any

import altair as alt
import numpy as np
import polars as pl

from ....analysis.core.result import listing, number
from ....analysis.core.units import DAY_H, DAY_S, HOUR_S, MINUTE_S, bin_name
from ....analysis.forecast.models import LABELS
from ....analysis.forecast.part import Forecasts
from ....analysis.forecast.scores import COVERAGE
from ....analysis.forecast.series import TARGETS
from ....analysis.forecast.tables import ROLLING
from .. import theme
from ..base import Figure, capital, category, dashed, estimate, logarithmic, panels, spoken

SHOWN_S = 6 * HOUR_S
"""The paper shows a random interval of six hours."""
NAIVE = "best naive"
LEARNED = {
    "autoregression": "green",
    "xgboost_squared": "blue",
    "xgboost_poisson": "vermillion",
    "xgboost_quantile": "purple",
}


def figures(part: Forecasts) -> list[Figure]:
    """The figures of this part that its tables have data for; none without a verdict (see its `missing`)."""
    if part.verdicts.is_empty():
        return []
    label = main(part)
    shown = part.forecasts.filter(pl.col("selection") == label)
    finest = min(part.verdicts.filter(pl.col("selection") == label)["bin_s"])
    drawn = [_six_hours(part, label, shown.filter(pl.col("bin_s") == finest), "target")]
    if part.verdicts.filter(pl.col("selection") == label)["bin_s"].n_unique() > 1:
        counts = shown.filter(pl.col("target") == "requests")
        drawn.append(_six_hours(part, label, counts, "bin"))
    drawn.append(_skill(part))
    drawn.append(_methods(part, label))
    if part.widths.height:
        drawn.append(_widths(part))
    return drawn


def main(part: Forecasts) -> str:
    """The selection with the most requests among those forecast."""
    busy = part.verdicts.filter(pl.col("target") == "requests").with_columns(
        rate=pl.col("mean") / pl.col("bin_s")
    )
    order = (busy if busy.height else part.verdicts).sort("mean" if not busy.height else "rate")
    return str(order["selection"][-1])


def _six_hours(part: Forecasts, label: str, rows: pl.DataFrame, by: str) -> Figure:
    """Prediction against truth with its band, a panel a target or a bin width."""
    names = {"target": pl.col("target").replace(TARGETS), "bin": _binned()}
    lead = part.verdicts.filter(pl.col("selection") == label).select("target", "bin_s", "method")
    own = rows.join(lead, on=["target", "bin_s", "method"], how="semi").with_columns(panel=names[by])
    # A random hour: by the seed alone, so that nobody chose it.
    first, last = float(own["start_s"].min() or 0), float(own["start_s"].max() or 0)  # type: ignore[arg-type]
    hours = max(int((last - first - SHOWN_S) // HOUR_S), 0)
    start_s = first + HOUR_S * int(np.random.default_rng(part.seed).integers(0, hours + 1))
    shown_s = float(part.info.clock.seconds(np.array([start_s]))[0])
    data = (
        own.filter(pl.col("start_s").is_between(start_s, start_s + SHOWN_S, closed="left"))
        .with_columns(hour=(pl.col("start_s") + (shown_s - start_s)) / HOUR_S - DAY_H * (shown_s // DAY_S))
        .select("panel", "hour", "seen", "forecast", "low", "high", "method", "target", "bin_s")
    )
    order = data["panel"].unique(maintain_order=True).to_list()
    x: Any = alt.X(
        "hour:Q", title=f"hour of day {int(shown_s // DAY_S)}", scale=alt.Scale(nice=False, zero=False)
    )
    base = alt.Chart()
    tips = [alt.Tooltip(f"{name}:Q", format=",.3~f") for name in ("hour", "seen", "forecast", "low", "high")]
    title = "per bin"
    band = base.mark_area(opacity=0.2, color=theme.LIGHT["vermillion"]).encode(
        x=x, y=alt.Y("low:Q", title=title), y2="high:Q"
    )
    lines = (
        base.transform_fold(["seen", "forecast"], as_=["series", "value"])
        .mark_line()
        .encode(
            x=x,
            y=alt.Y("value:Q", title=title),
            color=category("series", {"seen": "neutral", "forecast": "vermillion"}),
            strokeWidth=alt.StrokeWidth(
                "series:N", scale=alt.Scale(domain=["seen", "forecast"], range=[0.9, 2.2]), legend=None
            ),
            tooltip=tips,
        )
    )
    scored = [
        (row, part.score(label, row["target"], row["bin_s"], row["method"]))
        for row in data.select("panel", "target", "bin_s", "method").unique(maintain_order=True).to_dicts()
    ]
    errors = [f"{row['panel']} {number(score['nmae'])}" for row, score in scored]
    what = f"{spoken(label)}, " + ("per " + _name(data) if by == "target" else "request count")
    methods = listing(list(dict.fromkeys(LABELS[row["method"]] for row, _ in scored)))
    coverages = [f"{100 * score['coverage']:.0f} %" for _, score in scored if score["coverage"] is not None]
    return Figure(
        name="six-hours" if by == "target" else "six-hours-bins",
        title=f"Forecast of {what}: NMAE {', '.join(errors)}",
        chart=panels(alt.layer(band, lines).properties(height=150), "panel", order, columns=1, free_y=True),
        sentence="Six hours, chosen at random by the seed, from the last two sevenths of the record; "
        f"{methods} forecast each bin before it began. The band is meant to contain {100 * COVERAGE:g} % of "
        "the bins" + (f"; of those two sevenths it contained {listing(coverages)}." if coverages else "."),
        alt_text=f"Lines of what was seen and what was forecast over six hours of {what}, with a band. NMAE "
        f"over all that was held out: {', '.join(errors)}.",
        table_name="forecasts",
        data=data.drop("target", "bin_s", "method"),
    )


def _binned() -> pl.Expr:
    return pl.format("per {}", pl.col("bin_s").map_elements(bin_name, return_dtype=pl.String))


def _name(data: pl.DataFrame) -> str:
    return bin_name(float(data["bin_s"][0]))


def _skill(part: Forecasts) -> Figure:
    """Skill against the best naive forecast, series by series."""
    data = part.verdicts.drop_nulls("skill").select(
        pl.col("selection").alias("panel"),
        _series_name().alias("series"),
        pl.when("forecastable").then(pl.lit("can")).otherwise(pl.lit("cannot")).alias("forecast"),
        "skill",
        pl.col("skill_low").clip(lower_bound=-1.0),
        "skill_high",
        pl.col("method").replace(LABELS),
        pl.col("against").replace(LABELS),
    )
    can, series = int(part.verdicts["forecastable"].sum()), part.verdicts.height
    phrases = [f"{r['panel']}, {r['series']} {estimate(r, 'skill')}" for r in data.iter_rows(named=True)]
    return Figure(
        name="skill",
        title=f"{can} of {series} series can be forecast better than by a naive method",
        chart=_ranges(
            data,
            "skill",
            "series",
            category("forecast", {"can": "blue", "cannot": "vermillion"}),
            title="error saved",
            reference=0.0,
        ),
        sentence="Skill is the share of the best naive method’s absolute error that the best learning method "
        "saves, over all rolling origins, with 95 % intervals cut at −1. An interval that reaches the dashed "
        "line means no skill.",
        alt_text=f"Dot plot of skill: {'; '.join(phrases)}.",
        table_name="verdicts",
        data=data,
        columns=data["panel"].n_unique(),
    )


def _series_name() -> pl.Expr:
    """Target and bin width."""
    return pl.format("{}, {}", pl.col("target").replace(TARGETS), _binned())


def _methods(part: Forecasts, label: str) -> Figure:
    """Every method's error, one panel a target at the finest bin."""
    own = part.scores.filter(pl.col("selection") == label, pl.col("split") == ROLLING)
    finest = float(own["bin_s"].min() or 0)  # type: ignore[arg-type]
    data = (
        own.filter(pl.col("bin_s") == finest)
        .drop_nulls("nmae")
        .select(
            pl.col("target").replace(TARGETS).alias("panel"),
            pl.col("method").replace(LABELS),
            pl.when("naive").then(pl.lit("naive")).otherwise(pl.lit("learns")).alias("kind"),
            "nmae",
            "nmae_low",
            "nmae_high",
        )
    )
    best = data.filter(pl.col("panel") == data["panel"][0]).sort("nmae").row(0, named=True)
    phrases = [f"{r['panel']}, {r['method']} {estimate(r, 'nmae')}" for r in data.iter_rows(named=True)]
    return Figure(
        name="methods",
        title=f"{capital(spoken(label))}, {best['panel']} per {bin_name(finest)}: the smallest "
        f"error is {number(best['nmae'])} ({best['method']})",
        chart=_ranges(
            data, "nmae", "method", category("kind", {"naive": "neutral", "learns": "blue"}), title="NMAE"
        ),
        sentence="NMAE (mean absolute error over the mean) of each method, over all rolling origins, with "
        "95 % intervals.",
        alt_text=f"Dot plot of NMAE by method: {'; '.join(phrases)}.",
        table_name="scores",
        data=data,
        columns=data["panel"].n_unique(),
    )


def _ranges(
    data: pl.DataFrame, value: str, line: str, shade: Any, *, title: str, reference: float | None = None
) -> Any:
    """An estimate and its interval a line, one panel side by side each."""
    order = data["panel"].unique(maintain_order=True).to_list()
    lines = data[line].unique(maintain_order=True).to_list()
    y = alt.Y(f"{line}:N", title=None, sort=lines, axis=alt.Axis(grid=True, labelLimit=210))
    x: dict[str, Any] = {"title": title, "scale": alt.Scale(zero=False), "axis": alt.Axis(tickCount=4)}
    base = alt.Chart()
    names = (value, f"{value}_low", f"{value}_high")
    rule = base.mark_rule(strokeWidth=2.6, strokeOpacity=0.5).encode(
        x=alt.X(f"{names[1]}:Q", **x), x2=f"{names[2]}:Q", y=y, color=shade
    )
    tips = [f"{line}:N", *(alt.Tooltip(f"{name}:Q", format=".3~g") for name in names)]
    dots = base.mark_point(filled=True, size=64).encode(
        x=alt.X(f"{value}:Q", **x), y=y, color=shade, tooltip=tips
    )
    layers = [rule, dots] if reference is None else [dashed(x=alt.datum(reference)), rule, dots]
    return panels(alt.layer(*layers).properties(height={"step": 24}), "panel", order, columns=len(order))


def _widths(part: Forecasts) -> Figure:
    """Error of request counts over bin widths."""
    naive = (
        part.widths.filter(pl.col("naive"))
        .group_by("selection", "bin_s", maintain_order=True)
        .agg(pl.col("nmae").min())
        .with_columns(method=pl.lit(NAIVE))
    )
    learned = part.widths.filter(~pl.col("naive")).select("selection", "bin_s", "nmae", "method")
    data = (
        pl.concat([naive, learned])
        .drop_nulls("nmae")
        .select(
            "selection",
            (pl.col("bin_s") / 60).alias("minutes"),
            "nmae",
            pl.col("method").replace(LABELS),
        )
    )
    order = part.verdicts["selection"].unique(maintain_order=True).to_list()
    named = {LABELS[name]: colour for name, colour in LEARNED.items()} | {NAIVE: "neutral"}
    base = alt.Chart()
    lines = base.mark_line(point=alt.OverlayMarkDef(size=36)).encode(
        x=alt.X("minutes:Q", title="bin width in minutes", **logarithmic(data["minutes"])),
        y=alt.Y("nmae:Q", title="NMAE", scale=alt.Scale(zero=True)),
        color=category("method", named),
        tooltip=["method:N", alt.Tooltip("minutes:Q"), alt.Tooltip("nmae:Q", format=".3~g")],
    )
    label = main(part)
    ends = data.filter(pl.col("selection") == label, pl.col("method") == LABELS["xgboost_squared"]).sort(
        "minutes"
    )
    span = (
        f"{number(ends['nmae'][0])} at {bin_name(MINUTE_S * ends['minutes'][0])}, "
        f"{number(ends['nmae'][-1])} at {bin_name(MINUTE_S * ends['minutes'][-1])}"
        if ends.height
        else "not known"
    )
    return Figure(
        name="widths",
        title=f"{capital(spoken(label))}: the paper’s model has NMAE {span}",
        chart=panels(
            alt.layer(lines, dashed(y=alt.datum(1.0))).properties(height=230),
            "selection",
            order,
            columns=min(len(order), 2),
            free_y=True,
        ),
        sentence="NMAE of request counts by width of the bin: methods learn from five sevenths of the record "
        "and forecast the last two. At the dashed line the error is as large as the mean. Longer bins "
        "average out noise, but there are fewer to learn from.",
        alt_text=f"Lines of NMAE over bin widths by method; {label}: {span}.",
        table_name="widths",
        data=data,
        columns=min(len(order), 2),
    )
