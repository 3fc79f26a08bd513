"""Figures that every comparison of settings over seeds can use: averages with intervals, and differences.

Not here: which settings are compared and what the title says (the module of each experiment's figures).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import polars as pl

from ....analysis.core.result import listing, number
from ....analysis.core.verdicts import CANNOT_TELL, HIGHER, LOWER
from ....bench.experiments.backends import MEASURES
from ....bench.experiments.contrast import NOISE, SAME, SHOWN_IN
from .. import theme
from ..base import NUMBER, Figure, capital, dashed, panels

WORDS = {HIGHER: "amber", LOWER: "sky", NOISE: "neutral", SAME: "ink", CANNOT_TELL: "step3"}
"""Colours of what a difference is called; none of them is that of a workload."""
SHAPES = {
    HIGHER: "triangle-right",
    LOWER: "triangle-left",
    NOISE: "circle",
    SAME: "diamond",
    CANNOT_TELL: "cross",
}
LINEAR_PERCENT = 10.0
"""Within this the axis of differences is nearly linear, beyond it nearly logarithmic."""
NARROW_PERCENT = 300.0
TICKS = (100, 1000, 10_000, 100_000, 1_000_000)
"""Of an axis of differences that reaches beyond `NARROW_PERCENT`."""
NARROW_TICKS = (10, 30, 100, 300)
THOUSANDS = "abs(datum.value) < 1000 ? format(datum.value, ',') : format(datum.value / 1000, ',') + 'k'"
"""Short enough for the ticks of a narrow panel."""


def unit(measure: str) -> tuple[float, str]:
    """What a measure's values are multiplied by for people, and the unit that they then have."""
    own = MEASURES[measure][1]
    return SHOWN_IN.get(own, (1.0, own))


def heading(measure: str) -> str:
    """The measure in words with its unit."""
    words, of = capital(MEASURES[measure][0]), unit(measure)[1]
    return f"{words}, {of}" if of else words


def difference_text(row: Mapping[str, Any]) -> str:
    """A row of a table of contrasts in words: `5.9 % higher`, `15 points higher`, `within noise`."""
    word = row["word"]
    if word not in (HIGHER, LOWER):
        return str(word)
    if MEASURES[row["measure"]][1] == "share":
        return f"{number(100 * abs(row['difference']), 2)} points {word}"
    return f"{number(100 * abs(row['relative']), 2)} % {word}" if row["relative"] is not None else str(word)


def averages(
    means: pl.DataFrame,
    by: str,
    colours: Mapping[str, str],
    measures: Sequence[str],
    *,
    name: str,
    title: str,
    table_name: str = "means",
) -> Figure:
    """A panel a measure, in it a dot and interval for each setting of the column `by`, from zero."""
    zero = [m for m in measures if means[m].count() and not means[m].drop_nulls().to_numpy().any()]
    shown = [m for m in measures if means[m].count() and m not in zero]
    data = pl.concat([_of_measure(means, by, m) for m in shown]) if shown else pl.DataFrame()
    present = [label for label in colours if label in set(means[by])]
    base = alt.Chart().encode(
        y=alt.Y(
            f"{by}:N",
            title=None,
            sort=present,
            axis=alt.Axis(grid=True, labelLimit=190),
        ),
        color=alt.Color(
            f"{by}:N", scale=alt.Scale(domain=present, range=[colours[p] for p in present]), legend=None
        ),
    )
    axis: dict[str, Any] = {
        "title": None,
        "scale": alt.Scale(domainMin=0, nice=True),
        "axis": alt.Axis(format=NUMBER, tickCount=5, grid=True),
    }
    # No measure goes below zero; the interval of few and uneven seeds may, and is cut there.
    rule = base.mark_rule(strokeWidth=2.6, strokeOpacity=0.5, clip=True).encode(
        x=alt.X("low:Q", **axis), x2="high:Q"
    )
    dots = base.mark_point(filled=True, size=64).encode(
        x=alt.X("value:Q", **axis),
        tooltip=[
            alt.Tooltip(f"{by}:N"),
            alt.Tooltip("panel:N", title="measure"),
            *(alt.Tooltip(f"{end}:Q", format=NUMBER) for end in ("value", "low", "high")),
            alt.Tooltip("seeds:Q"),
        ],
    )
    order = [heading(m) for m in shown]
    layered = alt.layer(rule, dots).properties(height={"step": 30})
    several = data.height > 0 and data["low"].count() > 0
    aside = f" Zero everywhere, so not drawn: {listing([MEASURES[m][0] for m in zero])}." if zero else ""
    return Figure(
        name=name,
        title=title,
        chart=panels(layered, "panel", order).resolve_scale(x="independent"),
        sentence=(
            "Dots are means over seeds, bars their Student’s 95 % intervals. Seeds are paired, so a "
            "difference can be clear even if bars overlap: see the figure of differences."
            if several
            else "Each dot is one seed, so there is no interval."
        )
        + aside,
        alt_text=f"Dots with intervals in {len(shown)} panels, one a measure, for {listing(present)}. "
        f"{title}.",
        table_name=table_name,
        data=data,
        columns=2,
    )


def _of_measure(means: pl.DataFrame, by: str, measure: str) -> pl.DataFrame:
    factor, _ = unit(measure)
    return means.select(
        by,
        pl.lit(heading(measure)).alias("panel"),
        pl.col("seeds").cast(pl.Int64),
        *(
            (pl.col(f"{measure}{end}").cast(pl.Float64) * factor).alias(words)
            for end, words in (("", "value"), ("_low", "low"), ("_high", "high"))
        ),
    ).filter(pl.col("value").is_not_null())


def differences(
    contrasts: pl.DataFrame, pair: str, *, name: str, title: str, table_name: str = "contrasts"
) -> Figure | None:
    """A panel a value of the column `pair`, in it each measure's relative difference with its interval.

    None where no difference has a share of anything to be told as.
    """
    scale = 100 / pl.col("against").abs()
    data = contrasts.filter(pl.col("relative").is_not_null()).select(
        pair,
        pl.col("measure").replace_strict({m: capital(MEASURES[m][0]) for m in MEASURES}).alias("measure"),
        (100 * pl.col("relative")).alias("percent"),
        (pl.col("difference_low") * scale).alias("low"),
        (pl.col("difference_high") * scale).alias("high"),
        "word",
        pl.struct("measure", "of", "against").map_elements(_both, return_dtype=pl.String).alias("values"),
        "seeds",
    )
    if data.is_empty():
        return None
    measures = data["measure"].unique(maintain_order=True).to_list()
    pairs = data[pair].unique(maintain_order=True).to_list()
    ends = pl.concat([data["percent"], data["low"], data["high"]]).drop_nulls().to_list()
    # Nothing can be lower by more than all of it: the interval of few seeds may reach there, and is cut.
    lowest, highest = max(min(-LINEAR_PERCENT, *ends), -100.0), max(LINEAR_PERCENT, *ends)
    steps = TICKS if highest > NARROW_PERCENT else NARROW_TICKS
    ticks = [0, *(t for t in steps if t <= highest), *(-t for t in steps if -t >= lowest)]
    x: dict[str, Any] = {
        "title": "difference, % of what is compared with",
        "scale": alt.Scale(
            type="symlog", constant=LINEAR_PERCENT, domain=[lowest, highest], nice=False, padding=8
        ),
        "axis": alt.Axis(values=sorted(ticks), labelExpr=THOUSANDS, grid=True),
    }
    words = [word for word in WORDS if word in set(data["word"])]
    base = alt.Chart().encode(
        y=alt.Y("measure:N", title=None, sort=measures, axis=alt.Axis(grid=True, labelLimit=190)),
        color=alt.Color(
            "word:N",
            scale=alt.Scale(domain=words, range=theme.sequence([WORDS[w] for w in words])),
            legend=alt.Legend(),
        ),
    )
    rule = base.mark_rule(strokeWidth=2.6, strokeOpacity=0.5, clip=True).encode(
        x=alt.X("low:Q", **x), x2="high:Q"
    )
    dots = base.mark_point(filled=True, size=76).encode(
        x=alt.X("percent:Q", **x),
        shape=alt.Shape(
            "word:N", scale=alt.Scale(domain=words, range=[SHAPES[w] for w in words]), legend=alt.Legend()
        ),
        tooltip=[
            alt.Tooltip(f"{pair}:N"),
            alt.Tooltip("measure:N"),
            alt.Tooltip("word:N", title="is"),
            *(alt.Tooltip(f"{c}:Q", title=f"{t}, %", format=NUMBER)
              for c, t in (("percent", "difference"), ("low", "low"), ("high", "high"))),
            alt.Tooltip("values:N"),
            alt.Tooltip("seeds:Q"),
        ],
    )  # fmt: skip
    layered = alt.layer(dashed(x=alt.datum(0)), rule, dots).properties(height={"step": 25})
    nothing = contrasts.filter(pl.col("relative").is_null())
    aside = [
        f"{MEASURES[row['measure']][0]} ({row[pair]}): {_both(row)}, {row['word']}"
        for row in nothing.iter_rows(named=True)
    ]
    return Figure(
        name=name,
        title=title,
        chart=panels(layered, pair, pairs, columns=3),
        sentence="Differences seed by seed, in percent of the mean of the one that is compared with, with "
        "Student’s 95 % intervals. An interval that crosses the dashed line is within noise. The axis is "
        "logarithmic beyond "
        f"±{LINEAR_PERCENT:g} %."
        + (f" Compared with zero, so not drawn: {'; '.join(aside)}." if aside else ""),
        alt_text=f"Relative differences with intervals of {len(measures)} measures for {listing(pairs)}. "
        f"{title}.",
        table_name=table_name,
        data=data,
        columns=3 if len(pairs) % 3 == 0 else min(len(pairs), 2),
    )


def _both(row: Mapping[str, Any]) -> str:
    factor, of = unit(row["measure"])
    ends = [number(None if row[side] is None else factor * row[side]) for side in ("of", "against")]
    return f"{ends[0]} against {ends[1]} {of}".rstrip()
