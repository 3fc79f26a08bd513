"""Figures of the burstiness: dispersion and peaks against time scale, variation of gaps.

Not here: how they are measured (see `burstlens.analysis.traffic.burstiness`).
"""

from __future__ import annotations

from typing import Any

import altair as alt
import polars as pl

from ....analysis.core.result import listing, number
from ....analysis.core.units import MINUTE_S, per_span, time_span
from ....analysis.traffic.burstiness import Burstiness
from ..base import (
    ON_AXIS,
    Figure,
    category,
    columns_for,
    faded,
    from_axis,
    interval_dots,
    legend_filter,
    logarithmic,
    main_selections,
    panels,
    spoken,
)

OBSERVED, REGENERATED, POISSON = "trace", "regenerated from the fit", "Poisson of the same rate"
SERIES = {OBSERVED: "ink", REGENERATED: "vermillion", POISSON: "neutral"}
TICKS_S = [1, 10, 60, 600, 3600]
SPOKEN = "datum.value >= 3600 ? datum.value / 3600 + ' h' : datum.value >= 60 ? datum.value / 60 + ' min' : datum.value + ' s'"  # noqa: E501


def figures(part: Burstiness) -> list[Figure]:
    """The figures of this part that its tables have data for."""
    drawn = []
    if part.dispersion["idc"].is_not_null().any():
        drawn.append(_dispersion(part))
        drawn.append(_peaks(part))
    if part.gaps["cv"].is_not_null().sum() > 1:
        drawn.append(_gaps(part))
    return drawn


def _series(table: pl.DataFrame, measure: str) -> pl.DataFrame:
    """Trace, fit and Poisson as rows: `selection`, `width_s`, `series`, `value`, `low`, `high`."""
    frames = []
    for series, stem in (
        (OBSERVED, measure),
        (REGENERATED, f"{measure}_regenerated"),
        (POISSON, f"{measure}_poisson"),
    ):
        ends = [f"{stem}_{end}" if f"{stem}_{end}" in table.columns else stem for end in ("low", "high")]
        frames.append(
            table.select(
                "selection", "width_s", pl.lit(series).alias("series"), pl.col(stem).alias("value"),
                pl.col(ends[0]).alias("low"), pl.col(ends[1]).alias("high"),
            )
        )  # fmt: skip
    return pl.concat(frames).drop_nulls("value").filter(pl.col("value") > 0)


def _against_width(data: pl.DataFrame, labels: list[str], title: str) -> Any:
    """A measure against the width of the bins, both logarithmic, one panel a selection."""
    y = {"title": title, **logarithmic(data["low"], data["value"], data["high"])}
    x = alt.X(
        "width_s:Q", title="width of the bins", scale=alt.Scale(type="log", nice=False, padding=6)
    ).axis(values=TICKS_S, labelExpr=SPOKEN)
    pick = legend_filter("series")
    base = alt.Chart().encode(x=x, color=category("series", SERIES, symbolType="stroke"))
    band = from_axis(base.mark_area(fillOpacity=0.15), y).encode(
        y=alt.Y(f"low{ON_AXIS}:Q", **y), y2="high:Q", opacity=faded(pick)
    )
    line = base.mark_line(point={"size": 40}).encode(
        y=alt.Y("value:Q", **y),
        strokeDash=alt.StrokeDash(
            "series:N", scale=alt.Scale(domain=list(SERIES), range=[[1, 0], [6, 3], [2, 2]])
        ),
        opacity=faded(pick),
        tooltip=[
            "selection:N",
            "series:N",
            alt.Tooltip("width_s:Q", title="bin (s)"),
            *(alt.Tooltip(f"{c}:Q", format=",.4~r") for c in ("value", "low", "high")),
        ],
    )
    layered = alt.layer(band.add_params(pick), line).properties(height=250)
    return panels(layered, "selection", labels, columns=columns_for(len(labels)))


def _values_at(data: pl.DataFrame, labels: list[str], width_s: float) -> list[tuple[str, dict[str, float]]]:
    out = []
    for label in labels:
        rows = data.filter((pl.col("selection") == label) & (pl.col("width_s") == width_s))
        if OBSERVED in set(rows["series"]):
            out.append((label, dict(zip(rows["series"], rows["value"], strict=True))))
    return out


def _width(data: pl.DataFrame) -> float:
    """A minute if there are counts of minutes, else the widest bins that there are."""
    widths = data["width_s"].unique().sort().to_list()
    return MINUTE_S if MINUTE_S in widths else float(widths[-1])


def _in_bins(width_s: float, values: list[str]) -> str:
    """The values at one width as a sentence; nothing without any."""
    return f" In bins of {time_span(width_s)}: {'; '.join(values)}." if values else ""


def _dispersion(part: Burstiness) -> Figure:
    """Variance over mean of counts, from a second to an hour."""
    labels = main_selections(part.dispersion)
    data = _series(part.dispersion.filter(pl.col("selection").is_in(labels)), "idc")
    width = _width(data)
    at_width = _values_at(data, labels, width)
    values = [
        f"{spoken(label)} {number(v[OBSERVED])} (from the fit {number(v.get(REGENERATED))})"
        for label, v in at_width
    ]
    return Figure(
        name="dispersion",
        title=f"Index of dispersion {per_span(width)}: "
        + listing([f"{number(v[OBSERVED])} in {spoken(label)}" for label, v in at_width])
        + " (Poisson has 1)"
        if at_width
        else f"Index of dispersion of the counts, up to bins of {time_span(width)}",
        chart=_against_width(data, labels, "index of dispersion (1 = Poisson)"),
        sentence="Variance of the counts over their mean, by width of the bins, with 95 % bands; both axes "
        "are logarithmic. A line that keeps rising means that the load also changes slowly. Where the trace "
        "lies above what its fitted windows regenerate, gaps depend on each other." + _in_bins(width, values),
        alt_text=f"Line chart of the index of dispersion against bin width for {listing(labels)}, beside "
        "Poisson and the fit." + _in_bins(width, values),
        table_name="dispersion",
        data=data,
        columns=columns_for(len(labels)),
        legend=True,
    )


def _peaks(part: Burstiness) -> Figure:
    """Highest over mean count."""
    labels = main_selections(part.dispersion)
    data = _series(part.dispersion.filter(pl.col("selection").is_in(labels)), "peak_to_mean")
    width = _width(data)
    at_width = _values_at(data, labels, width)
    values = [
        f"{spoken(label)} {number(v[OBSERVED])} (Poisson {number(v.get(POISSON))})" for label, v in at_width
    ]
    return Figure(
        name="peak-to-mean",
        title=f"The busiest {per_span(width).removeprefix('per ')} has "
        + listing([f"{number(v[OBSERVED])} times the mean count of {spoken(label)}" for label, v in at_width])
        if at_width
        else f"Highest over mean count, up to bins of {time_span(width)}",
        chart=_against_width(data, labels, "highest over mean count"),
        sentence="Highest count over mean count, by width of the bins, with 95 % bands; both axes are "
        "logarithmic." + _in_bins(width, values),
        alt_text=f"Line chart of the peak to mean ratio against bin width for {listing(labels)}."
        + _in_bins(width, values),
        table_name="dispersion",
        data=data,
        columns=columns_for(len(labels)),
        legend=True,
    )


def _gaps(part: Burstiness) -> Figure:
    """Coefficient of variation of the gaps of every selection."""
    data = part.gaps.drop_nulls("cv").select(
        "selection",
        pl.col("cv").alias("CV"),
        pl.col("cv_low").fill_null(pl.col("cv")).alias("low"),
        pl.col("cv_high").fill_null(pl.col("cv")).alias("high"),
        pl.col("cv_poisson").alias("Poisson"),
        pl.col("n").alias("gaps"),
        "mean_gap_s",
    )
    labels = data["selection"].to_list()
    dots = interval_dots(
        data, "CV", "low", "high", title="coefficient of variation of the gaps (1 = Poisson)", reference=1
    )
    burstier = data.filter(pl.col("low") > pl.col("Poisson"))["selection"].to_list()
    return Figure(
        name="gaps",
        title=f"Gaps vary more than Poisson gaps in {len(burstier)} of {len(labels)} selections",
        chart=dots,
        sentence="Coefficient of variation (standard deviation over mean) of the time between requests in "
        "the whole record, with 95 % intervals, on a logarithmic axis. It includes the change of load "
        "over the day as well as bursts within a minute.",
        alt_text="Dot plot of the coefficient of variation of gaps: "
        + "; ".join(
            f"{r['selection']} {number(r['CV'])} [{number(r['low'])}, {number(r['high'])}]"
            for r in data.iter_rows(named=True)
        )
        + ".",
        table_name="gaps",
        data=data,
    )
