"""Figures of the failures: rates with intervals, days as box plots, failures against load.

Not here: how they are measured (see `burstlens.analysis.traffic.failures`).
"""

from __future__ import annotations

import altair as alt
import polars as pl

from ....analysis.core.result import listing, number, percent
from ....analysis.traffic.failures import MIN_FAILURES, MIN_REQUESTS_IN_DAY, Failures
from ..base import (
    SOURCE,
    Figure,
    colour,
    estimate,
    faded,
    greatest,
    legend_filter,
    logarithmic,
    main_selections,
)

SHARE = "~%"


def figures(part: Failures) -> list[Figure]:
    """The figures of this part that its tables have data for; none where nothing failed."""
    if not part.rates["failed"].sum():
        return []
    drawn = [_rates(part)]
    if greatest(part.daily_boxes["values"]) > 2:
        drawn.append(_days(part))
    if part.load.height > 2:
        drawn.append(_load(part))
    return drawn


def _rows(labels: list[str]) -> alt.Y:
    return alt.Y("selection:N", title=None, sort=labels, axis=alt.Axis(grid=True, labelLimit=190))


def _rates(part: Failures) -> Figure:
    """Pooled failure rates with both of their intervals."""
    data = part.rates.select(
        "selection", "rate", "rate_low", "rate_high", "rate_days_low", "rate_days_high", "n", "failed"
    )
    labels = data["selection"].to_list()
    y, shade = _rows(labels), colour("selection", labels, legend=False)
    title = "share of requests that failed"
    base = alt.Chart().encode(y=y, color=shade)
    days = base.mark_rule(strokeWidth=1.4, strokeOpacity=0.65).encode(
        x=alt.X("rate_days_low:Q", title=title), x2="rate_days_high:Q"
    )
    wilson = base.mark_rule(strokeWidth=6, strokeOpacity=0.35).encode(
        x=alt.X("rate_low:Q", title=title), x2="rate_high:Q"
    )
    dots = base.mark_point(size=62).encode(
        x=alt.X("rate:Q", title=title).axis(format=SHARE),
        tooltip=[
            "selection:N",
            *(
                alt.Tooltip(f"{c}:Q", format=".3~p", title=t)
                for c, t in (
                    ("rate", "rate"),
                    ("rate_low", "Wilson from"),
                    ("rate_high", "to"),
                    ("rate_days_low", "days resampled from"),
                    ("rate_days_high", "to "),
                )
            ),
            alt.Tooltip("failed:Q", format=","),
            alt.Tooltip("n:Q", title="requests", format=","),
        ],
    )
    mains = data.filter(pl.col("selection").is_in(main_selections(part.rates)))
    phrases = [f"{estimate(r, 'rate', percent)} of {r['selection']}" for r in mains.iter_rows(named=True)]
    short = [f"{percent(r['rate'])} of {r['selection']}" for r in mains.iter_rows(named=True)]
    return Figure(
        name="rates",
        title=f"Failure rate: {listing(short)} requests",
        chart=alt.layer(days, wilson, dots, data=SOURCE).properties(height={"step": 28}),
        sentence="Thick bars are Wilson intervals, which assume independent requests; thin lines come from "
        f"resampling days, because failures cluster in days. {_rule(part)}",
        alt_text=f"Dot plot of failure rates with intervals: {'; '.join(phrases)}.",
        table_name="rates",
        data=data,
    )


def _rule(part: Failures) -> str:
    """What counted as a failure, as a sentence."""
    return f"A request counts as failed if {part.rule.rstrip('.')}." if part.rule else ""


def _days(part: Failures) -> Figure:
    """Box plots of daily rates, with the days themselves (the paper's Fig. 11)."""
    boxes = part.daily_boxes.filter(pl.col("values") > 2)
    labels = boxes["selection"].to_list()
    data = pl.concat(
        [
            boxes.select(
                *("selection", "low", "q1", "median", "q3", "high", "mean"),
                pl.lit("box").alias("kind"),
                pl.col("values").alias("days"),
            ),
            part.daily.filter(
                pl.col("selection").is_in(labels) & (pl.col("n") >= MIN_REQUESTS_IN_DAY)
            ).select(
                "selection", "day", "rate", "n", "failed", pl.lit("day").alias("kind")
            ),
        ],
        how="diagonal_relaxed",
    )  # fmt: skip
    y, shade = _rows(labels), colour("selection", labels, legend=False)
    title = "share of a day's requests that failed"
    base = alt.Chart().encode(y=y, color=shade)
    box = base.transform_filter(alt.datum.kind == "box")
    whisker = box.mark_rule(strokeOpacity=0.8).encode(x=alt.X("low:Q", title=title), x2="high:Q")
    body = box.mark_rule(strokeWidth=14, strokeOpacity=0.35).encode(x=alt.X("q1:Q", title=title), x2="q3:Q")
    tips = [
        "selection:N",
        *(alt.Tooltip(f"{c}:Q", format=".3~p") for c in ("low", "q1", "median", "q3", "high", "mean")),
        alt.Tooltip("days:Q"),
    ]
    median = box.mark_tick(thickness=2.6, size=16).encode(x=alt.X("median:Q", title=title), tooltip=tips)
    days = (
        base.transform_filter(alt.datum.kind == "day")
        .mark_circle(size=14, fillOpacity=0.5)
        .encode(
            x=alt.X("rate:Q", title=title).axis(format=SHARE),
            yOffset=alt.value(33),
            tooltip=[
                "selection:N",
                alt.Tooltip("day:Q", title="day of the log"),
                alt.Tooltip("rate:Q", format=".3~p"),
                alt.Tooltip("failed:Q", format=","),
                alt.Tooltip("n:Q", title="requests", format=","),
            ],
        )
    )
    over = part.rates.filter(pl.col("dispersion_low") > 1)
    worst = boxes.sort("median").row(-1, named=True)
    return Figure(
        name="days",
        title=f"Daily failure rate of {worst['selection']}: median {percent(worst['median'])}, range "
        f"{percent(worst['low'])} to {percent(worst['high'])}",
        chart=alt.layer(whisker, body, median, days, data=SOURCE).properties(height={"step": 40}),
        sentence=f"Each dot is a day with at least {MIN_REQUESTS_IN_DAY} requests. The stroke is the "
        "median day, the bar holds the middle half, whiskers reach the last day within 1.5 interquartile "
        "ranges. "
        + (
            "Compared with independent failures, days vary "
            + listing(
                [
                    f"{number(r['dispersion'])} times as much in {r['selection']}"
                    for r in over.iter_rows(named=True)
                ]
            )
            + "."
            if over.height
            else "Days do not differ more than independent failures would make them."
        ),
        alt_text="Box plots of daily failure rates: "
        + "; ".join(f"{r['selection']} median {percent(r['median'])}" for r in boxes.iter_rows(named=True))
        + ".",
        table_name="daily",
        data=data,
    )


def _load(part: Failures) -> Figure:
    """Failure rate by how many requests arrive in the same minute."""
    labels = main_selections(part.load)
    failing = part.rates.filter(pl.col("failed") >= MIN_FAILURES)["selection"].to_list()
    labels = [label for label in labels if label in failing] or labels
    data = part.load.filter(pl.col("selection").is_in(labels)).select(
        "selection",
        pl.col("load_mean").alias("load"),
        *("load_low", "load_high", "rate", "rate_low", "rate_high", "n", "failed"),
    )  # fmt: skip
    labels = [label for label in labels if label in set(data["selection"])]
    title = "share of requests that failed"
    pick = legend_filter("selection")
    several = len(labels) > 1
    base = alt.Chart().encode(
        x=alt.X("load:Q", title="requests of all services in the same minute", **logarithmic(data["load"])),
        color=colour("selection", labels, legend=several),
    )
    band = base.mark_area(fillOpacity=0.15).encode(
        y=alt.Y("rate_low:Q", title=title), y2="rate_high:Q", opacity=faded(pick)
    )
    line = base.mark_line(point={"size": 44}).encode(
        y=alt.Y("rate:Q", title=title).axis(format=SHARE),
        opacity=faded(pick),
        tooltip=[
            "selection:N",
            alt.Tooltip("load_low:Q", title="load from"),
            alt.Tooltip("load_high:Q", title="to"),
            alt.Tooltip("rate:Q", format=".3~p"),
            alt.Tooltip("failed:Q", format=","),
            alt.Tooltip("n:Q", title="requests", format=","),
        ],
    )
    slopes = part.slopes.filter(pl.col("selection").is_in(labels)).drop_nulls("odds_ratio")
    phrases, seen = [], []
    for r in slopes.iter_rows(named=True):
        ends = (
            f" [{number(r['odds_ratio_low'])}, {number(r['odds_ratio_high'])}]"
            if r["odds_ratio_low"] is not None
            else ""
        )
        phrases.append(f"{number(r['odds_ratio'])}{ends} in {r['selection']}")
        if r["odds_ratio_low"] is not None and (r["odds_ratio_low"] > 1 or r["odds_ratio_high"] < 1):
            seen.append(f"{'more' if r['odds_ratio'] > 1 else 'less'} in {r['selection']}")
    return Figure(
        name="load",
        title=(
            f"With more load in the same minute, requests fail {listing(seen)}"
            if seen
            else "Failures do not visibly depend on the load of the minute"
        ),
        chart=alt.layer(band.add_params(pick), line, data=SOURCE).properties(height=260),
        sentence="Failure rate by the number of requests in the same minute; bands are Wilson intervals. "
        + (
            f"When the load doubles, the odds of failing are multiplied by {'; '.join(phrases)}."
            if phrases
            else ""
        ),
        alt_text="Line chart of failure rate against load. "
        + (f"Odds ratio per doubling: {'; '.join(phrases)}." if phrases else ""),
        table_name="load",
        data=data,
        legend=several,
    )
