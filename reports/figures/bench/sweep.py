"""Figures of a sweep: the paper's Fig. 15, small changes of the shape, how runs go on, pairs as heat maps.

Not here: what was measured (see `burstlens.bench.experiments.sweep_parts`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import polars as pl

from ....analysis.core.result import Part, listing, number
from ....bench.experiments.grid import (
    CONSTANT,
    EQUAL,
    EXPONENT,
    FIXED_SCALE,
    LINEAR,
    PARAMETERS,
    PROFILES,
    QUADRATIC,
    SCALE,
    SHAPE,
    WITH,
)
from ....bench.experiments.sweep_parts import (
    FIRST_THIRD,
    HARDLY,
    SMALL,
    STEPPED,
    SUDDEN,
    Paired,
    Steps,
    Thirds,
    Varied,
)
from .. import theme
from ..base import NUMBER, SOURCE, Figure, capital, category, dashed, greatest, least, once, panels
from .contrast import unit

COLOURS = {CONSTANT: "blue", LINEAR: "vermillion", QUADRATIC: "green"}
"""Each profile in one colour in every figure."""
ROWS = {
    "token_latency_s": "token latency",
    "token_latency_p90_s": "its p90",
    "e2e_s": "end to end",
    "e2e_p90_s": "its p90",
    "throughput_tps": "throughput",
    "failure_rate": "failures",
}
"""Rows of the paper's Fig. 15 in short words, latencies of tokens and end to end."""
CELLS = ("token_latency_s", "throughput_tps", "failure_rate")
"""Rows of heat maps."""
COLUMNS = {
    (SHAPE, FIXED_SCALE): "shape α, scale held",
    (SHAPE, EQUAL): "shape α, equal rate",
    (SCALE, FIXED_SCALE): "scale β",
    (EXPONENT, FIXED_SCALE): "exponent λ",
}
NARROWEST_PX = 190
"""Four parameters stand side by side on a common screen, as in the paper."""
BAND = "Bands and bars are Student’s 95 % intervals over seeds"


def figures(part: Part) -> list[Figure]:
    """The figures of this part that its tables have data for."""
    if isinstance(part, Varied):
        return [_measures(part)] if part.means.height and len(part.found) else []
    if isinstance(part, Steps):
        return [_steps(part)] if part.steps else []
    if isinstance(part, Thirds):
        return [_thirds(part)] if part.found else []
    if isinstance(part, Paired):
        return _maps(part)
    return []


def _in_seconds(measure: str) -> bool:
    """Whether a measure is shown in seconds: end to end, while tokens take milliseconds."""
    return measure.startswith("e2e")


def _scaled(measure: str) -> tuple[float, str]:
    return (1.0, "s") if _in_seconds(measure) else unit(measure)


def _profiles(names: Sequence[str] = PROFILES, *, legend: bool) -> Any:
    """Profiles in their colours."""
    colours = {name: COLOURS[name] for name in names}
    return category("profile", colours, legend=legend, symbolOpacity=1, symbolType="circle")


def _measures(part: Varied) -> Figure:
    """A column a parameter, a row a measure, a line a profile with its band, the start dashed."""
    frames = []
    for (parameter, mode), panel in COLUMNS.items():
        of = part.of(parameter)
        if of.is_empty():
            continue
        here = of.filter(pl.col("mode") == mode) if "mode" in of.columns else of
        for measure in ROWS:
            factor, _ = _scaled(measure)
            frames.append(
                here.select(
                    pl.lit(panel).alias("panel"),
                    "profile",
                    pl.col(parameter).alias("at"),
                    pl.lit(part.start[parameter]).alias("start"),
                    pl.lit(measure).alias("measure"),
                    pl.col("seeds").cast(pl.Int64),
                    *(
                        (pl.col(f"{measure}{end}").cast(pl.Float64) * factor).alias(name)
                        for end, name in (("", "value"), ("_low", "low"), ("_high", "high"))
                    ),
                )
            )
    data = pl.concat(frames).drop_nulls("value")
    # Nothing here is below zero; the interval of few and uneven seeds may reach there, and is cut.
    data = data.with_columns(pl.col("low").clip(lower_bound=0.0))
    present = [panel for panel in COLUMNS.values() if panel in set(data["panel"])]
    rows = [m for m in ROWS if m in set(data["measure"])]
    chart: Any = alt.vconcat(
        *(_row(measure, present, first=measure == rows[0]) for measure in rows),
        data=SOURCE,
        spacing=10,
    )
    start = ", ".join(f"{name} {number(part.start[name])}" for name in PARAMETERS)
    return Figure(
        name="measures",
        title=_measures_title(part),
        chart=chart,
        sentence="A column for each parameter, a row for each measure; the dashed line is the start "
        f"({start}). {BAND}. Constant "
        "holds the value for the whole run, linear falls between start and value, quadratic goes from the "
        "start to the value at half time and back. With the scale held a smaller shape is also a higher "
        "rate; at equal rate the scale is adapted, so that only burstiness changes. A scale of 1 is "
        f"{number(part.factor, 4)} s.",
        alt_text=f"Line charts with bands of {listing(list(dict.fromkeys(ROWS[m] for m in rows)))} against "
        f"{listing(present)}, a line each for {listing(sorted(set(data['profile'])))}.",
        table_name=next(iter(part.tables())),
        data=data,
        columns=len(present),
        panel_px=NARROWEST_PX,
        legend=True,
    )


def _row(measure: str, present: list[str], *, first: bool) -> Any:
    """The panels of one measure."""
    y: dict[str, Any] = {
        "title": f"{ROWS[measure]}, {_scaled(measure)[1]}",
        "scale": alt.Scale(zero=True),
        "axis": alt.Axis(format=NUMBER, tickCount=3, minExtent=40, titleAnchor="middle"),
    }
    x = alt.X(
        "at:Q",
        title=None,
        scale=alt.Scale(zero=False, padding=6),
        axis=alt.Axis(tickCount=4, format=NUMBER),
    )
    base = alt.Chart().encode(x=x, color=_profiles(legend=first))
    band = base.mark_area(opacity=0.16, clip=True).encode(y=alt.Y("low:Q", **y), y2="high:Q")
    line = base.mark_line(point={"size": 26}).encode(
        y=alt.Y("value:Q", **y),
        tooltip=[
            alt.Tooltip("panel:N", title="parameter"),
            alt.Tooltip("at:Q", title="value", format=NUMBER),
            "profile:N",
            *(
                alt.Tooltip(f"{end}:Q", title=f"{ROWS[measure]}, {end}", format=NUMBER)
                for end in ("value", "low", "high")
            ),
            "seeds:Q",
        ],
    )
    start = (
        alt.Chart()
        .mark_rule(strokeDash=[4, 3], color=theme.SOFT)
        .transform_aggregate(begun="max(start)", groupby=["panel"])
        .encode(x=alt.X("begun:Q"))
    )
    layered = alt.layer(start, band, line).properties(height=84)
    row = panels(layered, "panel", present, columns=len(present)).resolve_scale(x="independent")
    return row.transform_filter(alt.datum.measure == measure)


def _measures_title(part: Varied) -> str:
    """What each parameter's ends do to failures, in one line."""
    phrases = []
    for (parameter, mode), panel in COLUMNS.items():
        of = part.of(parameter)
        here = of.filter(pl.col("mode") == mode) if "mode" in of.columns else of
        here = here.filter(pl.col("profile") == CONSTANT) if here.height else here
        worst = here["failure_rate"].max() if here.height else None
        if isinstance(worst, float):
            phrases.append(f"{number(100 * worst, 2)} % ({panel})")
    return f"Highest failure rate: {listing(phrases)}" if phrases else "Measures against each parameter"


def _steps(part: Steps) -> Figure:
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
                              color=_profiles((CONSTANT, QUADRATIC), legend=first))  # fmt: skip
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


def _thirds(part: Thirds) -> Figure:
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
        color=_profiles((LINEAR, QUADRATIC), legend=first),
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


def _maps(part: Paired) -> list[Figure]:
    """A figure a pair and mode: a row a measure, a column a profile."""
    if part.means.is_empty():
        return []
    pairs = part.means.select("pair", "mode").unique(maintain_order=True)
    return [_map(part, pair, mode, i) for i, (pair, mode) in enumerate(pairs.iter_rows(), start=1)]


def _map(part: Paired, pair: str, mode: str, count: int) -> Figure:
    across, up = pair.split(WITH)
    cells = part.means.filter(pl.col("pair") == pair, pl.col("mode") == mode)
    profiles = [p for p in PROFILES if p in set(cells["profile"])]
    rows = [m for m in CELLS if cells[m].count()]
    data = pl.concat(
        cells.select(
            pl.format("{}: {}", pl.lit(_heading(measure)), "profile").alias("panel"),
            pl.lit(measure).alias("measure"),
            "profile",
            *(pl.col(name).cast(pl.Float64) for name in (across, up)),
            (pl.col(measure).cast(pl.Float64) * _scaled(measure)[0]).alias("value"),
            "seeds",
        ).drop_nulls("value")
        for measure in rows
    )
    middle = (pl.col("value").min() + pl.col("value").max()).over("measure") / 2
    data = data.with_columns((pl.col("value") > middle).alias("dark"))
    chart: Any = alt.vconcat(
        *(_map_row(measure, across, up, profiles, data, last=measure == rows[-1]) for measure in rows),
        data=SOURCE,
        spacing=16,
    ).resolve_scale(color="independent")
    constant = cells.filter(pl.col("profile") == CONSTANT)
    here = constant if constant.height else cells
    worst = here.sort("failure_rate", "kv_cache_use", nulls_last=False).row(-1, named=True)
    at = " and ".join(f"{name} {number(worst[name])}" for name in (across, up))
    return Figure(
        name=f"map-{count}",
        title=f"{capital(across)} and {up}, {mode}: heaviest load at {at}, with "
        f"{number(100 * (worst['failure_rate'] or 0.0), 2)} % failures",
        chart=chart,
        sentence=f"Means over seeds; the colours of a row share one scale. The start is {across} "
        f"{number(part.start[across])}, {up} {number(part.start[up])}; its row and column change only one "
        "of them. "
        + (
            "The scale is adapted so that the rate stays the start's."
            if mode == EQUAL
            else "A smaller shape or scale is a higher rate: their product is the mean gap."
            if {across, up} == {SHAPE, SCALE}
            else "With the scale held a smaller shape is also a higher rate."
            if SHAPE in (across, up)
            else "A smaller scale is a higher rate, a smaller exponent makes longer requests."
        ),
        alt_text=f"Heat maps of {listing([ROWS[m] for m in rows])} by {across} and {up}, {mode}, a column "
        f"each for {listing(profiles)}. Heaviest at {at}.",
        table_name="means",
        data=data,
        columns=len(profiles),
    )


def _heading(measure: str) -> str:
    return f"{ROWS[measure]}, {_scaled(measure)[1]}"


def _map_row(
    measure: str, across: str, up: str, profiles: list[str], data: pl.DataFrame, *, last: bool
) -> Any:
    """The panels of one measure."""
    own = data.filter(pl.col("measure") == measure)
    low, high = least(own["value"]), greatest(own["value"])
    values = {name: sorted(set(data[name])) for name in (across, up)}
    plain: dict[str, Any] = {"format": NUMBER, "domain": False, "ticks": False}
    base = alt.Chart().encode(
        x=alt.X(
            f"{across}:O",
            title=across if last else None,
            sort=values[across],
            axis=alt.Axis(labelAngle=0, **plain),
        ),
        y=alt.Y(f"{up}:O", title=up, sort=values[up][::-1], axis=alt.Axis(titleAnchor="middle", **plain)),
    )
    cells = base.mark_rect(cornerRadius=3, stroke=theme.LIGHT["ground"], strokeWidth=2).encode(
        color=alt.Color(
            "value:Q",
            scale=alt.Scale(
                type="quantize", domain=[low, high if high > low else low + 1.0], range=theme.STEPS
            ),
            legend=None,
        ),
        tooltip=[
            alt.Tooltip("panel:N", title="measure"),
            *(alt.Tooltip(f"{name}:Q", format=NUMBER) for name in (across, up, "value")),
            "seeds:Q",
        ],
    )
    text = base.mark_text(fontSize=11).encode(
        text=alt.Text("value:Q", format=",.3~r"),
        color=alt.when(alt.datum.dark)
        .then(alt.value(theme.LIGHT["on_high"]))
        .otherwise(alt.value(theme.LIGHT["on_low"])),
    )
    layered = alt.layer(cells, text).properties(height={"step": 26})
    names = [f"{_heading(measure)}: {profile}" for profile in profiles]
    return panels(layered, "panel", names, columns=len(names)).transform_filter(alt.datum.measure == measure)
