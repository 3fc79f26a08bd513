"""Figures of BurstGPT against Azure Functions: the paper's Fig. 13 over time, its Fig. 14, and differences.

Not here: what was measured (see `burstlens.bench.experiments.maf2`).
"""

from __future__ import annotations

from typing import Any

import altair as alt
import polars as pl

from ....analysis.core.result import Part, listing, number
from ....analysis.core.units import HOUR_S, MINUTE_S, per_span, time_span
from ....analysis.core.verdicts import CANNOT_TELL, HIGHER, LOWER
from ....bench.experiments.contrast import NOISE, SAME
from ....bench.experiments.maf2 import (
    API,
    COMPARED,
    CONVERSATION,
    FUNCTIONS,
    POISSON,
    Courses,
    LoadComparison,
)
from .. import theme
from ..base import NUMBER, SOURCE, Figure, greatest, panels
from .contrast import averages, difference_text, differences, unit

COLOURS = dict(
    zip(
        (CONVERSATION, API, FUNCTIONS, POISSON),
        theme.sequence(["blue", "vermillion", "green", "purple"]),
        strict=True,
    )
)
"""One colour a workload, in every figure; those of BurstGPT's two services are theirs on every page."""
ROWS = {
    "sent": ("sent", "requests/s"),
    "token_latency_s": ("token latency", "ms"),
    "throughput_tps": ("throughput", "tokens/s"),
    "kv_cache_use": ("KV cache", "%"),
    "waiting": ("waiting", "requests"),
    "failed": ("failed", "requests/s"),
}
"""Rows of the paper's Fig. 13 and the queue, with short words and unit."""
SHORT = {CONVERSATION: CONVERSATION, API: API, FUNCTIONS: FUNCTIONS, POISSON: "conversation, Poisson"}
"""Names that fit above and beside a narrow panel."""
MINUTES_BELOW_S = 3 * HOUR_S
NARROWEST_PX = 200
"""Four workloads stand side by side on a common screen, as in the paper."""


def figures(part: Part) -> list[Figure]:
    """The figures of this part that its tables have data for."""
    if isinstance(part, LoadComparison):
        return _loaded(part)
    return _courses(part) if isinstance(part, Courses) else []


def _loaded(part: LoadComparison) -> list[Figure]:
    """For each rate: averages, and differences of each pair."""
    drawn, contrasts = [], part.pairs.table()
    for number_, rate in enumerate(part.means["rate_rps"].unique(maintain_order=True), start=1):
        means = part.means.filter(pl.col("rate_rps") == rate)
        pairs = contrasts.filter(pl.col("rate_rps") == rate) if contrasts.height else contrasts
        drawn.append(
            averages(
                means.with_columns(pl.col("workload").replace(SHORT)),
                "workload",
                {SHORT[kind]: colour for kind, colour in COLOURS.items()},
                COMPARED,
                name=_name("measures", number_),
                title=_averages_title(rate, pairs),
            )
        )
        if pairs.height:
            named = pairs.with_columns(
                pl.format(
                    "{} against {}",
                    *(pl.col(c).str.strip_prefix("BurstGPT ") for c in ("workload", "compared_with")),
                )
                .str.replace(" against conversation, ", " against ", literal=True)
                .alias("pair")
            )
            figure = differences(
                named, "pair", name=_name("differences", number_), title=_differences_title(rate, pairs)
            )
            drawn += [figure] if figure else []
    return drawn


def _name(stem: str, count: int) -> str:
    return stem if count == 1 else f"{stem}-{count}"


def _averages_title(rate: float, pairs: pl.DataFrame) -> str:
    """The paper's comparison in one line."""
    here = pairs.filter(workload=CONVERSATION, compared_with=FUNCTIONS) if pairs.height else pairs
    words = {row["measure"]: difference_text(row) for row in here.iter_rows(named=True)}
    named = [
        f"{short} {words[measure]}"
        for short, measure in (("token latency", "token_latency_s"), ("throughput", "throughput_tps"))
        if measure in words
    ]
    if not named:
        return f"Averages at {number(rate)} requests/s"
    return f"At {number(rate)} requests/s, BurstGPT conversation against MAF2: {', '.join(named)}"


def _differences_title(rate: float, pairs: pl.DataFrame) -> str:
    """What burstiness does by itself, counted."""
    here = pairs.filter(workload=CONVERSATION, compared_with=POISSON)
    if here.is_empty():
        return f"Differences at {number(rate)} requests/s"
    counts = [
        (word, here.filter(pl.col("word") == word).height)
        for word in (HIGHER, LOWER, NOISE, SAME, CANNOT_TELL)
    ]
    counted = listing([f"{count} {word}" for word, count in counts if count]) or "no difference"
    return f"Burstiness alone, at {number(rate)} requests/s: of {here.height} measures {counted}"


def _courses(part: Courses) -> list[Figure]:
    """For each rate the first seed's runs over time, a column a workload."""
    if part.courses.is_empty():
        return []
    rates = part.courses["rate_rps"].unique(maintain_order=True)
    return [
        _course(part.courses.filter(pl.col("rate_rps") == rate), rate, _name("over-time", count))
        for count, rate in enumerate(rates, start=1)
    ]


def _course(course: pl.DataFrame, rate: float, name: str) -> Figure:
    """Rows of panels, each measure on one scale for all workloads."""
    minutes = greatest(course["at_s"]) < MINUTES_BELOW_S
    unit_s, clock = (MINUTE_S, "minutes") if minutes else (HOUR_S, "hours")
    present = [kind for kind in COLOURS if kind in set(course["workload"])]
    rows = [row for row in ROWS if course[row].count() and greatest(course[row]) > 0]
    data = pl.concat(
        [
            course.select(
                "workload",
                pl.col("workload").replace(SHORT).alias("panel"),
                (pl.col("at_s") / unit_s).alias("time"),
                pl.lit(ROWS[row][0]).alias("measure"),
                (pl.col(row).cast(pl.Float64) * _factor(row)).alias("value"),
            ).drop_nulls()
            for row in rows
        ]
    )
    end = greatest(data["time"])
    chart: Any = alt.vconcat(
        *(_row(row, present, end, f"{clock} since the start" if row == rows[-1] else None) for row in rows),
        data=SOURCE,
        spacing=14,
    )
    peaks = {kind: greatest(course.filter(pl.col("workload") == kind)["sent"]) for kind in present}
    step_s = _step(course)
    return Figure(
        name=name,
        title=f"At a mean of {number(rate)} requests/s, the busiest "
        f"{per_span(step_s).removeprefix('per ')} brings "
        + listing([f"{number(peaks[k], 2)}/s ({k.removeprefix('BurstGPT ')})" for k in present]),
        chart=chart,
        sentence="The first seed’s run, as in the paper’s Fig. 13: a column for each workload, a row for "
        f"each measure, one scale a row. Points are means over {time_span(step_s)}."
        + ("" if "failed" in rows else " No request failed, so that row is left out."),
        alt_text=f"Step charts over time of {listing([ROWS[row][0] for row in rows])} for "
        f"{listing(present)}, at {number(rate)} requests/s on average.",
        table_name="courses",
        data=data,
        columns=len(present),
        panel_px=NARROWEST_PX,
    )


def _step(course: pl.DataFrame) -> float:
    """Length of the bins that a course is kept in."""
    at = course.filter(pl.col("workload") == course["workload"][0])["at_s"]
    return float(at[1] - at[0]) if len(at) > 1 else 1.0


def _factor(row: str) -> float:
    return unit(row)[0] if row in ("token_latency_s", "kv_cache_use") else 1.0


def _row(row: str, present: list[str], end: float, x_title: str | None) -> Any:
    """The panels of one measure."""
    words, of = ROWS[row]
    base = (
        alt.Chart()
        .encode(
            x=alt.X("time:Q", title=x_title, scale=alt.Scale(domain=[0, end], nice=False),
                    axis=alt.Axis(tickCount=4)),
            y=alt.Y("value:Q", title=f"{words}, {of}", scale=alt.Scale(zero=True),
                    axis=alt.Axis(format=NUMBER, tickCount=3, minExtent=44, titleAnchor="middle")),
            color=alt.Color("workload:N", legend=None,
                            scale=alt.Scale(domain=present, range=[COLOURS[k] for k in present])),
        )
    )  # fmt: skip
    line = base.mark_line(interpolate="step-after", strokeWidth=1.2, clip=True)
    dots = base.mark_circle(size=60, fillOpacity=0, strokeOpacity=0, clip=True).encode(
        tooltip=[
            alt.Tooltip("workload:N"),
            alt.Tooltip("time:Q", format=NUMBER),
            alt.Tooltip("value:Q", title=f"{words}, {of}", format=NUMBER),
        ]
    )
    # Filtered above the panels, so that a measure's scale is that of its own values.
    layered = alt.layer(line, dots).properties(height=92)
    order = [SHORT[kind] for kind in present]
    return panels(layered, "panel", order, columns=len(order)).transform_filter(alt.datum.measure == words)
