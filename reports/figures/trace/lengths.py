"""Figures of the lengths: their distributions beside Zipf and the best law, and how far each law is off.

Requests against responses are drawn in `figures_responses`. Not here: the laws (see
`burstlens.analysis.lengths.part`).
"""

from __future__ import annotations

from typing import Any

import altair as alt
import polars as pl

from ....analysis.core.result import listing, number, percent
from ....analysis.core.units import counted
from ....analysis.lengths.families import TITLES
from ....analysis.lengths.part import SIDES, Lengths
from .. import theme
from ..base import (
    Figure,
    category,
    columns_for,
    faded,
    greatest,
    leaf_selections,
    legend_filter,
    logarithmic,
    panels,
)
from . import by_request as figures_responses

SERIES = {"observed": "ink", "bounded Zipf": "vermillion", "best law": "blue"}
DENSITIES = {"observed": "density", "bounded Zipf": "zipf_density", "best law": "winner_density"}
FAMILIES = {
    "zipf": "vermillion",
    "zipf_mandelbrot": "amber",
    "weibull": "purple",
    "log_normal": "sky",
    "log_normal_mixture_2": "green",
    "log_normal_mixture_3": "blue",
}
SHAPES = ["diamond", "triangle-up", "square", "triangle-down", "cross", "circle"]
FEWEST_BINS = 5
FEWEST_ROWS = 500
"""Selections of fewer lengths get no panel where another has more: their histograms are noise."""
TOKEN_TICKS = [1, 3, 10, 30, 100, 300, 1000, 3000, 10_000, 30_000, 100_000]


def figures(part: Lengths) -> list[Figure]:
    """The figures of this part that its tables have data for."""
    tables = part.tables()
    drawn = []
    for side in SIDES:
        histograms = tables["histograms"].filter(pl.col("column") == side)
        if (histograms["n"] > 0).sum() >= FEWEST_BINS:
            drawn.append(_zipf(tables, histograms, side))
            drawn.append(_modes(tables, histograms, side))
    if tables["fits"].height:
        drawn.append(_distances(tables["fits"]))
    return [*drawn, *figures_responses.figures(tables)]


def _spoken(family: str) -> str:
    """A family's name in words."""
    return "bounded Zipf" if family == "zipf" else TITLES[family]


def _series(histograms: pl.DataFrame, labels: list[str]) -> pl.DataFrame:
    """One row a bin and series: `tokens` (the bin's middle), `density` per token, `share` per e-fold."""
    middle = ((pl.col("low") * (pl.col("high") - 1).clip(lower_bound=pl.col("low"))).cast(pl.Float64)).sqrt()
    first = pl.col("low").filter(pl.col("n") > 0).min().over("selection")
    chosen = histograms.filter(pl.col("selection").is_in(labels)).filter(pl.col("low") >= first)
    rows = [
        chosen.select(
            "selection",
            middle.alias("tokens"),
            "low",
            "high",
            pl.lit(series).alias("series"),
            pl.col(column).alias("density"),
            (pl.col(column) * middle).alias("share"),
            pl.col("n").alias("count"),
        )
        for series, column in DENSITIES.items()
    ]
    return pl.concat(rows).filter(pl.col("density") > 0)


def _phrases(tables: dict[str, pl.DataFrame], side: str, labels: list[str]) -> list[str]:
    """Exponent of Zipf and how far it and the best law are off, per selection."""
    zipf = tables["zipf"].filter((pl.col("column") == side) & pl.col("selection").is_in(labels))
    return [
        f"{r['selection']}: exponent {number(r['exponent'])} [{number(r['exponent_low'])}, "
        f"{number(r['exponent_high'])}], off by {percent(r['ks'])}; {_spoken(r['winner'])} off by "
        f"{percent(r['winner_ks'])}"
        for r in zipf.iter_rows(named=True)
    ]


def _x(data: pl.DataFrame, side: str) -> alt.X:
    scale = {**logarithmic(data["tokens"]), "axis": alt.Axis(values=TOKEN_TICKS, format=",~s")}
    return alt.X("tokens:Q", title=f"{side} tokens", **scale)


def _zipf(tables: dict[str, pl.DataFrame], histograms: pl.DataFrame, side: str) -> Figure:
    """Frequency against length on two logarithmic axes, where a Zipf law is a line (the paper's Fig. 7)."""
    labels = leaf_selections(histograms, "n", limit=4, fewest=FEWEST_ROWS)
    data = _series(histograms, labels)
    observed = data.filter(pl.col("series") == "observed")["density"]
    y: dict[str, Any] = {"title": f"share of {side}s per token", **logarithmic(observed, limit=6)}
    y["axis"] = alt.Axis(values=[10.0**power for power in range(-9, 1)], format="~%")
    pick = legend_filter("series")
    base = alt.Chart().encode(
        x=_x(data, side),
        y=alt.Y("density:Q", **y),
        color=category("series", SERIES),
        opacity=faded(pick),
        tooltip=[
            "series:N",
            alt.Tooltip("low:Q", title="from (tokens)", format=","),
            alt.Tooltip("high:Q", title="below", format=","),
            alt.Tooltip("density:Q", format=".3~e"),
            alt.Tooltip("count:Q", format=","),
        ],
    )
    dots = base.mark_point(size=30, clip=True).transform_filter(alt.datum.series == "observed")
    lines = base.mark_line(clip=True).transform_filter(alt.datum.series != "observed")
    zipf = tables["zipf"].filter((pl.col("column") == side) & pl.col("selection").is_in(labels))
    beaten = zipf.filter(pl.col("winner") != "zipf").height
    phrases = _phrases(tables, side, labels)
    columns = columns_for(len(labels))
    return Figure(
        name=f"{side}-zipf",
        title=(
            f"{side.capitalize()} lengths follow another law better than Zipf in {beaten} of "
            f"{counted(zipf.height, 'selection')}"
            if zipf.height
            else f"{side.capitalize()} lengths: too few rows to fit a law"
        ),
        chart=panels(
            alt.layer(lines.add_params(pick), dots).properties(height=240),
            "selection",
            labels,
            columns=columns,
        ),
        sentence=f"How frequent each {side} length is. Both axes are logarithmic, so a Zipf law is a "
        "straight line."
        + (f" “Off by” is the Kolmogorov–Smirnov distance. {'. '.join(phrases)}." if phrases else ""),
        alt_text=f"Log-log plot of how frequent {side} lengths are, beside a bounded Zipf and the best law. "
        + (f"{'. '.join(phrases)}." if phrases else ""),
        table_name="histograms",
        data=data.select("selection", "series", "tokens", "low", "high", "density", "count"),
        columns=columns,
        legend=True,
    )  # fmt: skip


def _modes(tables: dict[str, pl.DataFrame], histograms: pl.DataFrame, side: str) -> Figure:
    """Share of lengths per e-fold, which shows modes, with those that the mixture finds."""
    labels = leaf_selections(histograms, "n", limit=4, fewest=FEWEST_ROWS)
    series = _series(histograms, labels)
    tests = tables["bimodality"].filter(
        (pl.col("column") == side) & (pl.col("scale") == "log tokens") & pl.col("selection").is_in(labels)
    )
    marks = (
        tests.unpivot(["mode_1", "mode_2", "mode_3"], index="selection", value_name="tokens")
        .drop_nulls("tokens")
        .select("selection", "tokens", pl.lit("mode").alias("series"))
    )
    data = pl.concat(
        [series.select("selection", "series", "tokens", "low", "high", "share", "count"), marks],
        how="diagonal_relaxed",
    )
    x = _x(series, side)
    # A component that hugs one length is a spike of any height: what was observed sets the scale.
    top = 1.2 * greatest(series.filter(pl.col("series") == "observed")["share"])
    y = alt.Y(
        "share:Q", title=f"share of {side}s per e-fold", scale=alt.Scale(domain=[0, top], nice=False)
    ).axis(format="~%")
    pick = legend_filter("series")
    tips: list[Any] = [
        "series:N",
        alt.Tooltip("low:Q", title="from (tokens)", format=","),
        alt.Tooltip("high:Q", title="below", format=","),
        alt.Tooltip("share:Q", format=".3~p"),
        alt.Tooltip("count:Q", format=","),
    ]
    base = alt.Chart().encode(x=x, y=y, color=category("series", SERIES), opacity=faded(pick), tooltip=tips)
    area = base.mark_area(fillOpacity=0.18, interpolate="step").transform_filter(
        alt.datum.series == "observed"
    )
    lines = base.mark_line(clip=True).transform_filter(
        (alt.datum.series != "observed") & (alt.datum.series != "mode")
    )
    rules = (
        alt.Chart()
        .transform_filter(alt.datum.series == "mode")
        .mark_rule(color=theme.SOFT, strokeDash=[3, 3])
        .encode(x=x, tooltip=[alt.Tooltip("tokens:Q", title="mode (tokens)", format=",.0f")])
    )
    several = tests.filter(pl.col("verdict").str.starts_with("several"))
    phrases = [
        f"{r['selection']}: {r['verdict']} (dip p = {r['p_value']:.2g}, modes near "
        + listing([number(round(m)) for m in (r["mode_1"], r["mode_2"], r["mode_3"]) if m is not None])
        + " tokens)"
        for r in tests.iter_rows(named=True)
    ]
    columns = columns_for(len(labels))
    return Figure(
        name=f"{side}-modes",
        title=f"{side.capitalize()} lengths have several modes in {several.height} of "
        f"{counted(tests.height, 'selection')}",
        chart=panels(
            alt.layer(area.add_params(pick), rules, lines).properties(height=210),
            "selection",
            labels,
            columns=columns,
        ),
        sentence=(
            "Histogram on a logarithmic axis: equal areas hold equally many requests. Dashed lines mark the "
            f"modes of the best mixture. {'. '.join(phrases)}."
            if phrases
            else "Histogram on a logarithmic axis: equal areas hold equally many requests."
        ),
        alt_text=f"Histogram of {side} lengths on a logarithmic axis. {'. '.join(phrases)}.",
        table_name="histograms",
        data=data,
        columns=columns,
        legend=True,
    )  # fmt: skip


def _distances(fits: pl.DataFrame) -> Figure:
    """How far every law is off: the effect size that a test cannot tell."""
    families = [family for family in FAMILIES if family in set(fits["family"])]
    data = fits.filter(pl.col("family").is_in(families) & pl.col("ks").is_not_null()).select(
        "selection",
        pl.format("{} lengths", "column").alias("side"),
        pl.col("family")
        .replace_strict({f: _spoken(f) for f in families}, return_dtype=pl.String)
        .alias("law"),
        pl.col("ks").alias("distance"),
        "delta_bic",
        pl.when("winner").then(pl.lit("best by BIC")).otherwise(pl.lit("")).alias("rank"),
    )
    named = {_spoken(family): FAMILIES[family] for family in families}
    labels = data["selection"].unique(maintain_order=True).to_list()
    pick = legend_filter("law")
    dots = (
        alt.Chart()
        .mark_point(size=60)
        .encode(
            x=alt.X("distance:Q", title="Kolmogorov–Smirnov distance from the data").axis(
                format="~%", tickCount=6
            ),
            y=alt.Y("selection:N", title=None, sort=labels, axis=alt.Axis(grid=True, labelLimit=170)),
            color=category("law", named, columns=3),
            shape=alt.Shape("law:N", scale=alt.Scale(domain=list(named), range=SHAPES[: len(named)])),
            opacity=faded(pick, 1, 0.06),
            tooltip=[
                "selection:N",
                "law:N",
                alt.Tooltip("distance:Q", format=".3~p"),
                alt.Tooltip("delta_bic:Q", title="BIC above the best", format=",.0f"),
                "rank:N",
            ],
        )
        .add_params(pick)
        .properties(height={"step": 25})
    )
    zipf = data.filter(pl.col("law") == _spoken("zipf"))["distance"]
    best = data.filter(pl.col("rank") != "")["distance"]
    sides = data["side"].unique(maintain_order=True).to_list()
    return Figure(
        name="laws",
        title=f"Distance of the fitted laws in the median: Zipf {percent(_median(zipf))}, the best law "
        f"{percent(_median(best))}",
        chart=panels(dots, "side", sides, columns=len(sides)),
        sentence="Kolmogorov–Smirnov distance: the largest difference between the distribution functions "
        "of a fitted law and of the data. With many requests a test rejects every law, so the size of the "
        "distance is what counts.",
        alt_text=f"Dot plot of how far each fitted law is off, for {listing(sides)} of "
        f"{counted(len(labels), 'selection')}. In the median Zipf is off by {percent(_median(zipf))}, the "
        f"best law by {percent(_median(best))}.",
        table_name="fits",
        data=data,
        columns=len(sides),
        legend=True,
    )


def _median(values: pl.Series) -> float | None:
    found = values.median()
    return found if isinstance(found, float) else None
