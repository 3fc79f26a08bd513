"""Figures of traces side by side: what each has, how their rates vary, burstiness and lengths.

Not here: the comparison itself (see `burstlens.analysis.compare.side_by_side`).
"""

from __future__ import annotations

import altair as alt
import polars as pl

from ....analysis.compare.side_by_side import NO, PROPERTIES, YES, Comparison, token_column
from ....analysis.core.result import listing, number
from ....analysis.core.units import time_span
from ....analysis.core.verdicts import CANNOT_TELL, HIGHER, LOWER
from .. import theme
from ..base import SOURCE, Figure, category, faded, legend_filter, panels

ALL = "all"
TICKS_S = [1, 10, 60, 600, 3600]
SPOKEN = (
    "datum.value >= 3600 ? datum.value / 3600 + ' h' : "
    "datum.value >= 60 ? datum.value / 60 + ' min' : datum.value + ' s'"
)
COVERAGE_COLOURS = {YES: "good", NO: "neutral", CANNOT_TELL: "mixed"}
"""Words in the cells of the coverage matrix, each with its colour."""
COLOURS = ("blue", "vermillion", "green", "purple", "amber", "sky")
DECADES = [10.0**power for power in range(8)]
MEASURES = {
    "rate_rps": "mean rate (requests/s)",
    "cv": "CV of gaps (1 = Poisson)",
    "shape": "median shape α of windows (1 = Poisson)",
}
TOKENS = {"request": "request tokens", "response": "response tokens"}
RANGE = {"low": "p10", "q1": "p25", "median": "p50", "q3": "p75", "high": "p90"}
LABEL_PX = 230


def figures(part: Comparison) -> list[Figure]:
    """The figures of this part that its tables have data for."""
    drawn = []
    rows = part.dispersion.filter(pl.col("selection") == ALL)
    if (rows["rate_cv2"] > 0).any():
        drawn.append(_variation(part, rows))
    if part.coverage.height:
        drawn.append(_coverage(part))
    measures = part.measures.filter(pl.col("selection") == ALL)
    dots = _measured(part, measures)
    if dots.height:
        drawn.append(_measures(part, dots))
    if any(measures[token_column(side, "p50")].is_not_null().any() for side in TOKENS):
        drawn.append(_lengths(part, measures))
    return drawn


def _traces(part: Comparison) -> list[str]:
    """Names of the traces in the order in which they were given."""
    return part.traces["trace"].to_list()


def _colour(part: Comparison, *, legend: bool) -> alt.Color:
    """Each trace in one colour in every figure, by its place; the first six differ."""
    named = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(_traces(part))}
    shade: alt.Color = category("trace", named, legend=legend, symbolOpacity=1, symbolType="circle")
    return shade


def _variation(part: Comparison, rows: pl.DataFrame) -> Figure:
    """Squared variation of the rate against width of the bins, a line a trace: burstiness at equal rate."""
    above = rows.filter(pl.col("rate_cv2") > 0)
    names = [name for name in _traces(part) if name in set(above["trace"])]
    floor = float(above["rate_cv2"].min()) / 4  # type: ignore[arg-type]
    data = above.select(
        "trace",
        "width_s",
        pl.col("rate_cv2").alias("variation"),
        # Nothing below zero has a place on a logarithmic axis: such a band reaches to the axis' end.
        pl.col("rate_cv2_low").clip(lower_bound=floor).alias("low"),
        pl.max_horizontal("rate_cv2_high", "rate_cv2").alias("high"),
        pl.col("rate_cv2_poisson_high").alias("Poisson"),
        pl.col("mean_count").alias("mean count"),
    )
    title = "squared variation of the rate (0 = Poisson)"
    high = float(data.select(pl.max_horizontal("high", "variation").max()).item())
    y_scale = alt.Scale(type="log", domain=[floor, high * 1.2], nice=False)
    x = alt.X("width_s:Q", title="width of the bins", scale=alt.Scale(type="log", nice=False)).axis(
        values=TICKS_S, labelExpr=SPOKEN
    )
    shade = _colour(part, legend=len(names) > 1)
    pick = legend_filter("trace")
    base = alt.Chart(SOURCE).encode(x=x, color=shade)
    band = base.mark_area(clip=True).encode(
        y=alt.Y("low:Q", scale=y_scale, title=title), y2="high:Q", opacity=faded(pick, 0.14, 0.02)
    )
    line = base.mark_line(point={"size": 46}).encode(
        y=alt.Y("variation:Q", scale=y_scale, title=title),
        opacity=faded(pick),
        tooltip=[
            "trace:N",
            alt.Tooltip("width_s:Q", title="bin (s)"),
            *(
                alt.Tooltip(f"{name}:Q", format=".3~g")
                for name in ("variation", "low", "high", "Poisson", "mean count")
            ),
        ],
    )
    chance = base.mark_line(strokeDash=[2, 3], strokeWidth=1.2, clip=True).encode(
        y=alt.Y("Poisson:Q", scale=y_scale, title=title), opacity=faded(pick, 0.8, 0.05)
    )
    width = _common_width(data, names)
    at = {r["trace"]: r for r in data.filter(pl.col("width_s") == width).iter_rows(named=True)}
    phrases = [
        f"{name} {number(at[name]['variation'])} [{number(at[name]['low'])}, {number(at[name]['high'])}]"
        for name in names
        if name in at
    ]
    return Figure(
        name="variation",
        title=_burstier_title(part, data, names),
        chart=alt.layer(band.add_params(pick), chance, line).properties(height=320),
        sentence="Squared variation of the rate behind the counts, (index of dispersion − 1) / mean count, "
        "with 95 % bands; both axes are logarithmic. It does not depend on how busy a trace is. Below the "
        "dotted line of its colour, a trace of that many requests looks like Poisson traffic; points at or "
        "below 0 are not drawn. Records of unequal length contain different cycles. "
        f"In bins of {time_span(width)}: {'; '.join(phrases)}.",
        alt_text=f"Line chart of the squared variation of the rate against bin width for {listing(names)}. "
        f"In bins of {time_span(width)}: {'; '.join(phrases)}.",
        table_name="dispersion",
        data=data,
        legend=len(names) > 1,
    )


def _common_width(data: pl.DataFrame, names: list[str]) -> float:
    """The widest bins up to a minute that all traces have, else that any has."""
    by_width = data.group_by("width_s").agg(pl.col("trace").n_unique()).sort("width_s")
    common = by_width.filter(pl.col("trace") == len(names))["width_s"].to_list()
    short = [width for width in common if width <= 60]
    return float((short or common or by_width["width_s"].to_list())[-1])


def _burstier_title(part: Comparison, data: pl.DataFrame, names: list[str]) -> str:
    """Which trace is burstier than all others at which widths, by the measures that are fair to them."""
    if len(names) < 2:
        ends = [time_span(float(data["width_s"][at])) for at in (0, -1)]
        return f"How much the rate of {names[0]} varies in bins of {ends[0]} to {ends[1]}"
    fair = part.pairs.filter(pl.col("decides"), pl.col("width_s").is_not_null())
    led: dict[str, list[str]] = {}
    for (width,), rows in fair.group_by("width_s", maintain_order=True):
        for name in names:
            beaten = sum(
                (row["trace"], row["outcome"]) == (name, HIGHER)
                or (row["other"], row["outcome"]) == (name, LOWER)
                for row in rows.iter_rows(named=True)
            )
            if beaten == len(names) - 1:
                led.setdefault(name, []).append(time_span(float(str(width))))
    if led:
        first = [f"{name} is burstiest in bins of {listing(widths)}" for name, widths in led.items()]
        return f"At equal mean rate {listing(first)}"
    if fair.height and (fair["outcome"] == CANNOT_TELL).all():
        return "At equal mean rate no trace is burstier than another beyond chance"
    return "At equal mean rate no trace is burstier than all others"


def _coverage(part: Comparison) -> Figure:
    """The paper's Table 1: traces down, properties across, each cell a word and a colour."""
    names = _traces(part)
    data = part.coverage.select("trace", "property", "held", "why")
    full = [name for name in names if (data.filter(pl.col("trace") == name)["held"] == YES).all()]
    x = alt.X("property:N", sort=list(PROPERTIES), title=None).axis(
        orient="top", labelAngle=0, labelFlush=False, domain=False, ticks=False, labelLimit=LABEL_PX
    )
    y = alt.Y("trace:N", sort=names, title=None, axis=alt.Axis(labelLimit=LABEL_PX))
    base = alt.Chart(SOURCE).encode(
        x=x,
        y=y,
        color=category("held", COVERAGE_COLOURS, legend=False),
        tooltip=["trace:N", "property:N", "held:N", "why:N"],
    )
    cells = base.mark_rect(opacity=0.14, cornerRadius=3)
    words = base.mark_text(fontSize=12.5, fontWeight=600).encode(text="held:N")
    rows = [
        f"{name}: {listing(properties) or 'none of them'}"
        for name in names
        for properties in [data.filter(pl.col("trace") == name, pl.col("held") == YES)["property"].to_list()]
    ]
    if len(full) == 1 and len(names) > 1:
        title = f"{full[0]} alone has all four properties of the paper's Table 1"
    elif full:
        title = f"All four properties of the paper's Table 1: {listing(full)}"
    else:
        title = "No trace here has all four properties of the paper's Table 1"
    return Figure(
        name="coverage",
        title=title,
        chart=alt.layer(cells, words).properties(height={"step": 34}),
        sentence="The paper's Table 1, from what each trace contains; point at a cell to read why. "
        f"{'; '.join(rows)}.",
        alt_text=f"Matrix of {len(names)} traces and {listing(PROPERTIES)}. {'; '.join(rows)}.",
        table_name="coverage",
        data=data,
    )


def _measured(part: Comparison, measures: pl.DataFrame) -> pl.DataFrame:
    """One row a trace and measure: `value`, `low`, `high`, and what `Poisson` arrivals have."""
    frames = [
        measures.select(
            "trace",
            pl.lit(title).alias("measure"),
            pl.col(measure).alias("value"),
            pl.col(f"{measure}_low").alias("low"),
            pl.col(f"{measure}_high").alias("high"),
            pl.lit(None if measure == "rate_rps" else 1.0, dtype=pl.Float64).alias("Poisson"),
        )
        for measure, title in MEASURES.items()
    ]
    counted = part.dispersion.filter(pl.col("selection") == ALL)
    if counted.height:
        width = _common_width(counted, _traces(part))
        frames.append(
            counted.filter(pl.col("width_s") == width).select(
                "trace",
                pl.lit(f"index of dispersion in bins of {time_span(width)} (1 = Poisson)").alias("measure"),
                pl.col("idc").alias("value"),
                pl.col("idc_low").alias("low"),
                pl.col("idc_high").alias("high"),
                pl.lit(1.0).alias("Poisson"),
            )
        )
    rows = pl.concat(frames).filter(pl.col("value") > 0)
    # An end that is not known, or not above zero on these logarithmic axes, is drawn as the value itself.
    bounded = pl.when(pl.col("low") > 0).then("low").otherwise("value")
    return rows.with_columns(low=bounded, high=pl.col("high").fill_null(pl.col("value")))


def _measures(part: Comparison, data: pl.DataFrame) -> Figure:
    """Rate, CV, shape and dispersion of each trace with intervals, one panel a measure."""
    names = _traces(part)
    shown = data["measure"].unique(maintain_order=True).to_list()
    columns = min(2, len(shown))
    y = alt.Y("trace:N", title=None, sort=names, axis=alt.Axis(grid=True, labelLimit=LABEL_PX))
    scale = alt.Scale(type="log", nice=False, padding=14)
    base = alt.Chart().encode(y=y, color=_colour(part, legend=False))
    poisson = alt.Chart().mark_rule(strokeDash=[4, 3], color=theme.SOFT).encode(
        x=alt.X("Poisson:Q", scale=scale)
    )  # fmt: skip
    rule = base.mark_rule(strokeWidth=2.6, opacity=0.5).encode(
        x=alt.X("low:Q", title=None, scale=scale), x2="high:Q"
    )
    dots = base.mark_point(filled=True, size=64).encode(
        x=alt.X("value:Q", title=None, scale=scale),
        tooltip=[
            "trace:N", "measure:N", *(alt.Tooltip(f"{c}:Q", format=".3~g") for c in ("value", "low", "high")),
        ],
    )  # fmt: skip
    layered = alt.layer(poisson, rule, dots).properties(height={"step": 27})
    chart = panels(layered, "measure", shown, columns=columns).resolve_scale(x="independent")
    phrases = [
        f"{r['trace']} {r['measure'].split(' (')[0]} {number(r['value'])} "
        f"[{number(r['low'])}, {number(r['high'])}]"
        for r in data.iter_rows(named=True)
    ]
    return Figure(
        name="measures",
        title=_rates_title(data.filter(pl.col("measure") == MEASURES["rate_rps"])),
        chart=chart,
        sentence="Each measure with its 95 % interval, on logarithmic axes; the dashed line is Poisson. "
        "The CV of the gaps includes nights and quiet days of the record; the shape of the windows does not. "
        "The index of dispersion grows with the rate; the squared variation of the rate does not.",
        alt_text=f"Dot plots of {listing(shown)} for {listing(names)}: {'; '.join(phrases)}.",
        table_name="measures",
        data=data,
        columns=columns,
    )


def _rates_title(rates: pl.DataFrame) -> str:
    """How far apart the mean rates are."""
    if rates.height < 2:
        return "Rate and burstiness with their intervals"
    ordered = rates.sort("value").to_dicts()
    quietest, busiest = ordered[0], ordered[-1]
    return (
        f"{busiest['trace']} has {number(busiest['value'] / quietest['value'])} times the request rate "
        f"of {quietest['trace']}"
    )


def _lengths(part: Comparison, measures: pl.DataFrame) -> Figure:
    """Quantile ranges of request and response tokens of each trace on one axis."""
    data = pl.concat(
        measures.select(
            "trace",
            pl.lit(title).alias("tokens"),
            *(pl.col(token_column(side, quantile)).alias(name) for name, quantile in RANGE.items()),
        )
        for side, title in TOKENS.items()
    ).drop_nulls("median")
    names = [name for name in _traces(part) if name in set(data["trace"])]
    shown = data["tokens"].unique(maintain_order=True).to_list()
    y = alt.Y("trace:N", title=None, sort=names, axis=alt.Axis(grid=True, labelLimit=LABEL_PX))
    scale = alt.Scale(type="log", nice=True)
    base = alt.Chart().encode(y=y, color=_colour(part, legend=False))
    axis = alt.Axis(title="tokens", values=DECADES, format=",")
    thin = base.mark_rule(strokeWidth=1.6, opacity=0.7).encode(
        x=alt.X("low:Q", scale=scale, axis=axis), x2="high:Q"
    )
    thick = base.mark_bar(height=9, opacity=0.45).encode(x=alt.X("q1:Q", scale=scale, axis=axis), x2="q3:Q")
    middle = base.mark_point(filled=True, size=64, stroke=theme.LIGHT["ground"], strokeWidth=1.5).encode(
        x=alt.X("median:Q", scale=scale, axis=axis),
        tooltip=["trace:N", "tokens:N", *(alt.Tooltip(f"{c}:Q", title=RANGE[c], format=",") for c in RANGE)],
    )
    layered = alt.layer(thin, thick, middle).properties(height={"step": 30})
    phrases = [
        f"{r['trace']} {r['tokens']} median {number(r['median'])}, half between {number(r['q1'])} and "
        f"{number(r['q3'])}"
        for r in data.iter_rows(named=True)
    ]
    without = [name for name in _traces(part) if name not in names]
    lacking = f" {listing(without)} {'has' if len(without) == 1 else 'have'} no tokens." if without else ""
    return Figure(
        name="lengths",
        title=_lengths_title(data),
        chart=panels(layered, "tokens", shown, columns=len(shown)),
        sentence="Tokens of requests and responses, failures left out: the dot is the median, the bar holds "
        f"the middle half, the line 80 % (10th to 90th percentile), on a logarithmic axis.{lacking}",
        alt_text=f"Quantile ranges of {listing(shown)}: {'; '.join(phrases)}.{lacking}",
        table_name="measures",
        data=data,
        columns=len(shown),
    )


def _lengths_title(data: pl.DataFrame) -> str:
    """The trace with the longest requests beside the one with the shortest, by the median."""
    rows = data.filter(pl.col("tokens") == data["tokens"][0]).sort("median")
    what = data["tokens"][0].removesuffix(" tokens")
    short, long = rows.row(0, named=True), rows.row(-1, named=True)
    if rows.height < 2:
        return f"Half of the {what}s of {long['trace']} have more than {number(long['median'])} tokens"
    return (
        f"The median {what} has {number(long['median'])} tokens in {long['trace']}, "
        f"{number(short['median'])} in {short['trace']}"
    )
