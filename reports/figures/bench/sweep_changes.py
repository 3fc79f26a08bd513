"""Figures of a sweep's changes: small steps of the shape, and how a run with a changing shape ends.

Not here: a parameter against every measure (`sweep`), two parameters together (`sweep_maps`).
"""

from __future__ import annotations

from typing import Any

import altair as alt
import polars as pl

from ....analysis.core.result import listing, number
from ....bench.experiments.grid import CONSTANT, EQUAL, FIXED_SCALE, LINEAR, PROFILES, QUADRATIC, SHAPE
from ....bench.experiments.sweep_parts import FIRST_THIRD, HARDLY, SMALL, STEPPED, SUDDEN, Steps, Thirds
from .. import theme
from ..base import NUMBER, SOURCE, Figure, dashed, once, panels
from .contrast import unit
from .sweep_rows import BAND, profile_colours


def steps(part: Steps) -> Figure:
    """For each small change the rise of failures and the relative change of latency and throughput."""
    rows = []
    for step in part.steps:
        for measure in STEPPED:
            found = step.of[measure]
            of = 100.0 if measure == "failure_rate" else 100.0 / found.against if found.against else None
            if of is None:
                continue
            rows.append(
                {
                    "panel": f"{_change(measure)}: {step.mode}",
                    "profile": step.profile,
                    "step": f"{number(step.above)} → {number(step.below)}",
                    "above": step.above,
                    "measure": measure,
                    "value": of * found.difference.value,
                    "low": of * found.difference.low,
                    "high": of * found.difference.high,
                }
            )
    data = pl.DataFrame(rows).fill_nan(None).drop_nulls("value")
    modes = [mode for mode in (FIXED_SCALE, EQUAL) if any(s.mode == mode for s in part.steps)]
    order = data.sort("above", descending=True)["step"].unique(maintain_order=True).to_list()
    chart: Any = alt.vconcat(
        *(_step_row(m, modes, order, last=m == STEPPED[-1], first=m == STEPPED[0]) for m in STEPPED),
        data=SOURCE,
        spacing=14,
    )
    steep = [(mode, steepest) for mode in modes if (steepest := part.steepest(mode))]
    phrases = listing(
        [
            f"{number(100 * steepest.of['failure_rate'].difference.value, 2)} points ({mode})"
            for mode, steepest in steep
        ]
    )
    return Figure(
        name="steps",
        title=f"A change of the shape by at most {100 * SMALL:g} % raises failures by at most {phrases}",
        chart=chart,
        sentence=f"Change from each shape to the next smaller one, seed by seed. {BAND}. Dashed: a rise of "
        f"failures by more than {100 * SUDDEN:g} points counts as sudden, a change of another measure by at "
        f"most {100 * HARDLY:g} % as hardly any.",
        alt_text=f"Dots with intervals of the change of failures, latency and throughput for "
        f"{len(order)} small changes of the shape, {listing(modes)}. Most failures: {phrases}.",
        table_name="steps",
        data=data,
        columns=len(modes),
        legend=True,
    )


def _change(measure: str) -> str:
    words = {"failure_rate": "failures, points", "token_latency_s": "token latency, %"}
    return words.get(measure, "throughput, %")


def _step_row(measure: str, modes: list[str], order: list[str], *, first: bool, last: bool) -> Any:
    """The panels of one measure."""
    y: dict[str, Any] = {"title": None, "axis": alt.Axis(format=NUMBER, tickCount=4, minExtent=30)}
    x = alt.X("step:N", sort=order, title="shape" if last else None, axis=alt.Axis(labelAngle=-40))
    base = alt.Chart().encode(x=x, xOffset=alt.XOffset("profile:N", sort=list(PROFILES)),
                              color=profile_colours((CONSTANT, QUADRATIC), legend=first))  # fmt: skip
    bars = base.mark_rule(strokeWidth=2, strokeOpacity=0.55, clip=True).encode(
        y=alt.Y("low:Q", **y), y2="high:Q"
    )
    dots = base.mark_circle(size=60).encode(
        y=alt.Y("value:Q", **y),
        tooltip=[
            "panel:N",
            "step:N",
            "profile:N",
            *(alt.Tooltip(f"{end}:Q", format=NUMBER) for end in ("value", "low", "high")),
        ],
    )
    bounds = [100 * SUDDEN] if measure == "failure_rate" else [-100 * HARDLY, 100 * HARDLY]
    lines = [once(alt.Chart().mark_rule(color=theme.LIGHT["line"])).encode(y=alt.datum(0))]
    lines += [dashed(y=alt.datum(bound)) for bound in bounds]
    layered = alt.layer(*lines, bars, dots).properties(height=120)
    names = [f"{_change(measure)}: {mode}" for mode in modes]
    return panels(layered, "panel", names, columns=len(names)).transform_filter(alt.datum.measure == measure)


def thirds(part: Thirds) -> Figure:
    """Last third minus first third, against the target shape."""
    shown = {"token_latency_s": "token latency, ms more", "failure_rate": "failures, points more"}
    data = pl.DataFrame(
        [
            {
                "panel": f"{words}: {labels['mode']}",
                "measure": measure,
                "profile": labels["profile"],
                "shape": labels[SHAPE],
                "value": factor * found.difference.value,
                "low": factor * found.difference.low,
                "high": factor * found.difference.high,
            }
            for measure, words in shown.items()
            for factor in (unit(measure)[0],)
            for labels, found in part.found
            if labels["against"] == FIRST_THIRD and found.measure == measure
        ]
    ).fill_nan(None)
    data = data.drop_nulls("value").sort("panel", "profile", "shape", maintain_order=True)
    modes = [mode for mode in (FIXED_SCALE, EQUAL) if any(labels["mode"] == mode for labels, _ in part.found)]
    chart: Any = alt.vconcat(
        *(
            _third_row(
                m, [f"{words}: {mode}" for mode in modes], part, first=i == 0, last=i == len(shown) - 1
            )
            for i, (m, words) in enumerate(shown.items())
        ),
        data=SOURCE,
        spacing=14,
    )
    phrases = []
    for mode in modes:
        lowest = part.lowest(mode, LINEAR)
        found = None if lowest is None else part.drift(mode, LINEAR, lowest, "failure_rate", FIRST_THIRD)
        if found and lowest is not None:
            phrases.append(
                f"{number(100 * found.difference.value, 2)} points more ({mode}, to {number(lowest)})"
            )
    return Figure(
        name="thirds",
        title=f"Failures in the last third against the first, as the shape declines: {listing(phrases)}"
        if phrases
        else "The last third of a run against the first",
        chart=chart,
        sentence=f"The last third of a run minus its first, by the shape that the run goes to. {BAND}. Above "
        "zero a run ends worse than it began. A server starts empty, so the first third is a little better "
        f"even if nothing changes. Dashed: the start's shape, {number(part.start_shape)}.",
        alt_text="Line charts with bands of how much worse the last third is than the first, "
        f"{listing(modes)}.",
        table_name="drifts",
        data=data,
        columns=len(modes),
        legend=True,
    )


def _third_row(measure: str, names: list[str], part: Thirds, *, first: bool, last: bool) -> Any:
    """The panels of one measure."""
    y: dict[str, Any] = {"title": None, "axis": alt.Axis(format=NUMBER, tickCount=4, minExtent=30)}
    base = alt.Chart().encode(
        x=alt.X("shape:Q", title="target shape" if last else None, scale=alt.Scale(zero=False, padding=6)),
        color=profile_colours((LINEAR, QUADRATIC), legend=first),
    )
    band = base.mark_area(opacity=0.16).encode(y=alt.Y("low:Q", **y), y2="high:Q")
    line = base.mark_line(point={"size": 36}).encode(
        y=alt.Y("value:Q", **y),
        tooltip=[
            "panel:N",
            "profile:N",
            *(alt.Tooltip(f"{end}:Q", format=NUMBER) for end in ("shape", "value", "low", "high")),
        ],
    )
    zero = once(alt.Chart().mark_rule(color=theme.LIGHT["line"])).encode(y=alt.datum(0))
    start = dashed(x=alt.datum(part.start_shape))
    layered = alt.layer(zero, start, band, line).properties(height=130)
    return panels(layered, "panel", names, columns=len(names)).transform_filter(alt.datum.measure == measure)
