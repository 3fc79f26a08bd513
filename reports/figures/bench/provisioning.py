"""Figures of the prefill:decode ratio: the paper's Fig. 19 and 20, and every way of dividing side by side.

Not here: what was found (see `burstlens.bench.provisioning.result`).
"""

from __future__ import annotations

from typing import Any

import altair as alt
import msgspec
import polars as pl

from ....analysis.core.result import Part, number
from ....analysis.core.units import HOUR_S
from ....bench.provisioning.result import (
    NAMES,
    Disaggregation,
    Ratios,
    Sequence,
    best_of,
    first_load,
    seeds_text,
    shown,
    switch_name,
)
from ....bench.provisioning.state import Course, SwitchFound
from ..base import NUMBER, SOURCE, Figure, category, faded, legend_filter, panels

SWITCH, BEST, OTHERS = "one switch", "best fixed ratio", "other fixed ratios"
COLOURS = {SWITCH: "vermillion", BEST: "blue", OTHERS: "neutral"}
KINDS = {"fixed": "blue", "provisioned": "green", "real": "vermillion"}
SHARE, INSTANCES = "requests within both bounds, %", "prefill instances"


def figures(part: Part) -> list[Figure]:
    """The figures of this part that its tables have data for."""
    if isinstance(part, Ratios):
        return [_switch(part, part.state.switch)] if part.state.switch else []
    if isinstance(part, Sequence):
        drawn = [_policies(part)] if part.found else []
        return [*drawn, _course(part, part.state.course)] if part.state.course else drawn
    if isinstance(part, Disaggregation):
        return [*figures(part.ratios), *figures(part.sequence)]
    return []


def _switch(part: Ratios, switch: SwitchFound) -> Figure:
    """Goodput of the best pair over the moment of the switch; fixed ratios as level lines."""
    found, state = list(part.found), part.state
    best = best_of(found)
    span_h = state.load.span_s / HOUR_S
    rows = [
        {"policy": SWITCH, "kind": SWITCH, "hours": m.at_s / HOUR_S, "goodput_rps": m.goodput_rps}
        for m in switch.moments
    ]
    for one in found:
        if one.kind == "fixed":
            kind = BEST if one.name == best.name else OTHERS
            # The curve is of the first seed's load, and so are the lines that it is read against.
            rows += [
                {"policy": one.name, "kind": kind, "hours": hours, "goodput_rps": one.goodput_rps[0]}
                for hours in (0.0, span_h)
            ]
    data = pl.DataFrame(rows)
    pick = legend_filter("kind")
    base = alt.Chart().encode(
        x=alt.X("hours:Q", title="moment of the switch, hours of the load's clock",
                scale=alt.Scale(domain=[0, span_h], nice=False)),
        y=alt.Y("goodput_rps:Q", title="goodput, requests/s"),
        color=category("kind", COLOURS),
        opacity=faded(pick),
    )  # fmt: skip
    tips = [
        "policy:N",
        alt.Tooltip("hours:Q", format=NUMBER),
        alt.Tooltip("goodput_rps:Q", format=NUMBER),
    ]
    lines = base.mark_line().encode(detail="policy:N", tooltip=tips)
    dots = base.mark_circle(size=60).encode(tooltip=tips).transform_filter(alt.datum.kind == SWITCH)
    names = (
        base.mark_text(align="right", dy=-6)
        .encode(text="policy:N")
        .transform_filter((alt.datum.kind != SWITCH) & (alt.datum.hours > 0))
    )
    one = next(p for p in found if p.kind == "switch")
    high = max(m.goodput_rps for m in switch.moments)
    return Figure(
        name="switch",
        title=f"One switch, {switch_name(state)}: {number(high)} requests/s against "
        f"{number(best.goodput_rps[0])} of the best fixed ratio, {best.name}",
        chart=alt.layer(lines.add_params(pick), dots, names, data=SOURCE).properties(height=330),
        sentence=f"{first_load(state)}: goodput of one switch from {switch.before} to {switch.after}, by the "
        "moment of the switch, and of every fixed ratio (level lines). Over "
        f"{seeds_text(state)}: {shown(one.mean)} with the switch, {shown(best.mean)} without.",
        alt_text=f"Line chart of goodput over the moment of one switch, {switch_name(state)} being best with "
        f"{number(high)} requests/s. Level lines: "
        + ", ".join(f"{p.name} {number(p.goodput_rps[0])}" for p in found if p.kind == "fixed")
        + ".",
        table_name="moments",
        data=data,
        legend=True,
    )


def _policies(part: Sequence) -> Figure:
    """A dot and interval for every way of dividing the instances."""
    colour = {"fixed": "neutral", "switch": "amber", "provisioned": "green", "real": "vermillion"}
    words = {"fixed": "fixed ratio", "switch": SWITCH, **{k: NAMES[k] for k in ("provisioned", "real")}}
    found = list(part.found)
    data = pl.DataFrame(
        [
            {
                "policy": one.name,
                "kind": words[one.kind],
                "goodput_rps": one.mean.value,
                "low": one.mean.low,
                "high": one.mean.high,
            }
            for one in found
        ]
    ).with_columns(pl.col("low", "high").fill_nan(None))
    present = [words[kind] for kind in colour if words[kind] in data["kind"].to_list()]
    shades = {words[kind]: shade for kind, shade in colour.items() if words[kind] in present}
    y = alt.Y("policy:N", sort=data["policy"].to_list(), title=None, axis=alt.Axis(grid=True, labelLimit=260))
    x: dict[str, Any] = {"title": "goodput, requests/s", "scale": alt.Scale(zero=True)}
    base = alt.Chart().encode(y=y, color=category("kind", shades))
    bars = base.mark_rule(strokeWidth=2.6).encode(x=alt.X("low:Q", **x), x2="high:Q")
    tips = ["policy:N", *(alt.Tooltip(f"{n}:Q", format=NUMBER) for n in ("goodput_rps", "low", "high"))]
    dots = base.mark_circle(size=90).encode(x=alt.X("goodput_rps:Q", **x), tooltip=tips)
    best, top = best_of(found), max(found, key=lambda one: one.mean.value)
    phrases = ", ".join(f"{one.name} {shown(one.mean)}" for one in found)
    return Figure(
        name="policies",
        title=f"Highest goodput: {top.name}, {number(top.mean.value)} requests/s; best fixed ratio "
        f"{best.name}, {number(best.mean.value)}",
        chart=alt.layer(bars, dots, data=SOURCE).properties(height={"step": 26}),
        sentence="Dots are means over seeds, lines their 95 % intervals; there is no line if there is one "
        "load or all seeds agree. For differences seed by seed, see the table of ratios.",
        alt_text=f"Dot plot of goodput in requests per second: {phrases}.",
        table_name="turns",
        data=data,
    )


def _course(part: Sequence, course: Course) -> Figure:
    """Ratio and attainment window by window."""
    windows = pl.DataFrame(msgspec.to_builtins(course.windows), infer_schema_length=None)
    # The last step is as long as its window.
    end = windows.tail(1).with_columns(start_s=pl.lit(part.state.load.span_s))
    kinds = [kind for kind in KINDS if f"{kind}_share" in windows.columns]
    data = pl.concat(
        pl.concat([windows, end]).select(
            pl.lit(panel).alias("panel"),
            pl.lit(NAMES[kind]).alias("policy"),
            (pl.col("start_s") / HOUR_S).alias("hours"),
            (pl.col(f"{kind}_{column}").cast(pl.Float64) * factor).alias("value"),
        )
        for panel, column, factor in ((INSTANCES, "prefill", 1.0), (SHARE, "share", 100.0))
        for kind in kinds
    ).drop_nulls("value")
    sent = windows["requests"]
    shares = {
        kind: float((windows[f"{kind}_share"].fill_null(0.0) * sent).sum()) / max(float(sent.sum()), 1.0)
        for kind in kinds
    }
    phrases = "; ".join(f"{NAMES[kind]} {number(100 * share)} %" for kind, share in shares.items())
    pick = legend_filter("policy")
    line = (
        alt.Chart()
        .mark_line(interpolate="step-after")
        .encode(
            x=alt.X("hours:Q", title="hours of the load's clock"),
            y=alt.Y("value:Q", title=None),
            color=category("policy", {NAMES[kind]: KINDS[kind] for kind in kinds}),
            opacity=faded(pick),
            tooltip=[
                "policy:N",
                alt.Tooltip("hours:Q", format=NUMBER),
                alt.Tooltip("value:Q", format=NUMBER),
            ],
        )
        .add_params(pick)
        .properties(height=190)
    )
    rate = number(course.rate_rps)
    return Figure(
        name="course",
        title=f"Requests within both bounds at {rate} requests/s: {phrases}",
        chart=panels(line, "panel", [INSTANCES, SHARE], columns=1, free_y=True),
        sentence=f"{first_load(part.state)} at {rate} requests/s, the goodput of its own sequence. Above: "
        f"how many of the {part.state.serving.total} instances each plan uses for prefill. Below: the "
        "share of each window’s requests within both bounds.",
        alt_text=f"Step lines over the load's clock of prefill instances and of the share of requests within "
        f"both bounds, for {len(kinds)} plans. In all: {phrases}.",
        table_name="windows",
        data=data,
        legend=True,
    )
