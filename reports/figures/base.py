"""A figure: a chart drawn from one small table, its finding, and the pieces that charts share.

Not here: which figures there are (see `registry`), colours and type (see `theme`), files (see `pages.base`).
"""

from __future__ import annotations

import base64
import json
import math
import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import altair as alt
import numpy as np
import polars as pl
from markupsafe import Markup

from ...analysis.core.result import number
from . import theme

SOURCE = alt.NamedData("data")
"""What every chart draws from; the figure's `data` stands in for it wherever it is rendered."""

DIGITS = 7
"""Significant digits of the numbers that are drawn; the CSV files have all of them."""
FULL_PX = 860
"""Width of a figure in its image files, beside axes and headers, in px."""
PICTURE_SCALE = 1.5
"""Pixels of a picture in a notebook to one of the page."""
PICTURE_PX = 960
"""As wide is a picture shown at most."""
ON_AXIS = " on the axis"
"""What `from_axis` appends to a column's name."""
GUTTER_PX = 62
"""What a further panel costs beside its own width: axis labels and spacing."""


@dataclass(frozen=True)
class State:
    """What a figure shows once a reader has chosen."""

    data: pl.DataFrame
    sentence: str
    alt_text: str


@dataclass(frozen=True)
class Choice:
    """What a reader of the page can choose: one option for each label, and the state that it leads to."""

    labels: tuple[str, ...]
    start: tuple[str, ...]
    """The options chosen at first, and in the image files."""
    states: Mapping[tuple[str, ...], State]
    """By an option for each label; combinations that are not here cannot be chosen."""

    def options(self) -> list[tuple[str, list[str]]]:
        """Each label with its options, in the order of the states."""
        return [
            (label, list(dict.fromkeys(key[place] for key in self.states)))
            for place, label in enumerate(self.labels)
        ]


@dataclass(frozen=True)
class Figure:
    """One figure: a chart, the finding that is its title, and the same thing in words and numbers."""

    name: str
    """Unique within its part; with the part's name it makes anchors and file names."""
    title: str
    """The finding in one short line, computed from the table."""
    chart: alt.TopLevelMixin
    sentence: str
    """Printed under the figure: how to read it, or what else it shows."""
    alt_text: str
    """What a reader who cannot see the chart needs to know of it."""
    table_name: str
    """The part's table that the data come from."""
    data: pl.DataFrame
    """All that is drawn, one row a mark, numbers already in the units of the axes."""
    columns: int = 1
    """Panels side by side where there is room."""
    panel_px: int = 250
    """The narrowest that a panel may be before fewer stand side by side."""
    zoom: bool = False
    """Whether dragging and shift-wheel move along the x axis."""
    legend: bool = False
    """Whether a click on a legend entry singles it out."""
    choice: Choice | None = None
    """Where a reader can choose what it shows; the figure's own data are those of the start."""
    marks: tuple[str, ...] = ()
    """What must be said beside it where it stands alone: `synthetic`, `simulated`."""

    def _repr_html_(self) -> str:
        """In a notebook: the figure as a picture, its words for readers who cannot see it, its sentence."""
        return Markup("{}<p>{}</p>").format(self.picture(), self.sentence)

    def picture(self) -> Markup:
        """The figure as an image element that looks the same everywhere."""
        import vl_convert

        # Not as SVG: its room for labels is measured in the fonts of this machine, not of the reader's.
        png = vl_convert.vegalite_to_png(json.dumps(self.drawn(", ".join(self.marks))), scale=PICTURE_SCALE)
        source = f"data:image/png;base64,{base64.b64encode(png).decode()}"
        return Markup('<img alt="{}" style="width:100%;max-width:{}px" src="{}">').format(
            f"{self.title}. {self.alt_text}", PICTURE_PX, source
        )

    def spec(self) -> dict[str, Any]:
        """The Vega-Lite specification, without its data and its title, widths as in the image files."""
        return self._spec

    @cached_property
    def _spec(self) -> dict[str, Any]:
        # Altair's validation takes longer than the drawing; the tests have it done.
        spec: dict[str, Any] = self.chart.to_dict(validate=False)
        spec.pop("config", None)
        spec.pop("$schema", None)
        spec["description"] = self.alt_text
        _widen(spec, self.columns)
        _keep_ticks(spec)
        return spec

    def heading(self, subtitle: str, chosen: Sequence[str] | None = None) -> dict[str, Any]:
        """The title as Vega-Lite has it, for where the figure stands alone; with what a reader has chosen."""
        options = chosen or (self.choice.start if self.choice else ())
        parts = [part for part in (subtitle, ", ".join(options)) if part]
        return {"text": textwrap.wrap(self.title, 96), "subtitle": " · ".join(parts)}

    def drawn(self, subtitle: str) -> dict[str, Any]:
        """The whole specification for an image file: titled, with its data inside."""
        columns = self.values()
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        return {
            **self.spec(),
            "title": self.heading(subtitle),
            "config": theme.config(),
            "datasets": {"data": rows},
        }

    def values(self) -> dict[str, list[Any]]:
        """The data by column as JSON knows it: no NaN, no infinity, dates as text, numbers rounded."""
        return plain_columns(self.data)


def plain_columns(data: pl.DataFrame) -> dict[str, list[Any]]:
    """A table by column as JSON knows it: no NaN, no infinity, dates as text, numbers rounded."""
    out = {}
    for column in data.iter_columns():
        if column.dtype.is_float():
            rounded = column.round_sig_figs(DIGITS)
            out[column.name] = rounded.set(~rounded.is_finite().fill_null(True), None).to_list()
        elif column.dtype.is_temporal():
            moments = column.cast(pl.Datetime).dt.to_string("%Y-%m-%dT%H:%M:%S")
            out[column.name] = moments.to_list()
        else:
            out[column.name] = column.to_list()
    return out


def _widen(spec: dict[str, Any], columns: int) -> None:
    """Give every panel its width when `columns` of them share `FULL_PX`, in place."""
    for key in ("spec", "layer", "vconcat"):
        below = spec.get(key)
        if key != "layer":
            for child in below if isinstance(below, list) else [below] if below else []:
                _widen(child, columns)
    if "mark" in spec or "layer" in spec:
        spec["width"] = round((FULL_PX - GUTTER_PX * (columns - 1)) / columns)


def _keep_ticks(node: Any) -> None:
    """Let axes with given values keep all of them: Vega thins them to the theme's number of ticks."""
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    for child in children:
        _keep_ticks(child)
    if isinstance(node, dict) and isinstance(axis := node.get("axis"), dict) and "values" in axis:
        axis.setdefault("tickCount", len(axis["values"]) + 1)


HEADING = "datum.label == 'all' ? 'all requests' : datum.label"


def spoken(label: str) -> str:
    """A selection's label in prose: `all` is `all requests`."""
    return "all requests" if label == theme.ALL else label


def panels(
    chart: alt.TopLevelMixin, by: str, order: Sequence[str], *, columns: int = 2, free_y: bool = False
) -> Any:
    """One panel for each value of the column `by`, in this order, on shared scales unless `free_y`."""
    facet = chart.facet(  # type: ignore[attr-defined]
        facet=alt.Facet(f"{by}:N", sort=list(order), header=alt.Header(title=None, labelExpr=HEADING)),
        columns=columns,
        data=SOURCE,
    )
    return facet.resolve_scale(y="independent") if free_y else facet


def colour(field: str, labels: Sequence[str], *, legend: bool = True, **more: Any) -> alt.Color:
    """Selections in their colours (see `theme.colours`), listed in the order given."""
    chosen = theme.colours(labels)
    return alt.Color(
        f"{field}:N",
        scale=alt.Scale(domain=list(labels), range=[chosen[label] for label in labels]),
        legend=alt.Legend(**more) if legend else None,
    )


def category(
    field: str, named: dict[str, str], *, legend: bool = True, kind: type[Any] = alt.Color, **more: Any
) -> Any:
    """A few named series in colours of choice: label to name of a theme colour."""
    return kind(
        f"{field}:N",
        scale=alt.Scale(domain=list(named), range=theme.sequence(list(named.values()))),
        legend=alt.Legend(**more) if legend else None,
    )


def zoom_x() -> alt.Parameter:
    """Drag to pan, shift and wheel to zoom along x, double click to reset; a bare wheel scrolls."""
    return alt.selection_interval(
        name="zoom", bind="scales", encodings=["x"], zoom="wheel![event.shiftKey]", clear="dblclick"
    )


def legend_filter(field: str) -> alt.Parameter:
    """A click on a legend entry singles it out; shift adds more, a double click shows all."""
    return alt.selection_point(name="legend", fields=[field], bind="legend")


def faded(pick: alt.Parameter, shown: float = 1.0, hidden: float = 0.08) -> Any:
    """Opacity of what the legend filter leaves in and leaves out."""
    return alt.when(pick).then(alt.value(shown)).otherwise(alt.value(hidden))


def main_selections(table: pl.DataFrame) -> list[str]:
    """Labels of the services in the order of the table, or `all` where there is only one service."""
    all_models = table.filter(pl.col("model").is_null())
    services = all_models.filter(pl.col("service").is_not_null())
    return _labels(services if services.height else all_models)


def leaf_selections(table: pl.DataFrame, weight: str, limit: int = 6, fewest: float = 0) -> list[str]:
    """Labels of each model of each service, as fine as the trace tells them apart; the `most` heaviest.

    A service without several models stands for itself, and `all` for a trace of one service and model.
    Those that weigh less than `fewest` are left out where any weighs more.
    """
    split = table.filter(pl.col("model").is_not_null())
    services = table.filter(
        pl.col("model").is_null()
        & pl.col("service").is_not_null()
        & ~pl.col("service").is_in(split["service"].unique().drop_nulls().to_list())
    )
    leaves = pl.concat([services, split])
    if leaves.is_empty():
        return _labels(table)
    weights = leaves.group_by("selection").agg(pl.sum(weight)).top_k(limit, by=weight)
    heavy = weights.filter(pl.col(weight) >= fewest)
    heaviest = (heavy if heavy.height else weights)["selection"].to_list()
    return [label for label in _labels(leaves.sort("service", maintain_order=True)) if label in heaviest]


def _labels(table: pl.DataFrame) -> list[str]:
    return table["selection"].unique(maintain_order=True).to_list()


def interval_dots(
    data: pl.DataFrame,
    value: str,
    low: str,
    high: str,
    *,
    title: str,
    log: bool = True,
    reference: float | None = None,
) -> alt.LayerChart | alt.FacetChart:
    """An estimate and its interval for each selection, one row each, in the selections' colours.

    `reference` is marked by a dashed line.
    """
    labels = data["selection"].to_list()
    y = alt.Y("selection:N", title=None, sort=labels, axis=alt.Axis(grid=True, labelLimit=190))
    shade = colour("selection", labels, legend=False)
    known = [data[name] for name in (value, low, high)]
    if reference is not None:
        known.append(pl.Series([reference]))
    x: dict[str, Any] = {"title": title, **(logarithmic(*known) if log else {})}
    base = alt.Chart()
    start = f"{low}{ON_AXIS}" if log else low
    rule = base.mark_rule(strokeWidth=2.6, strokeOpacity=0.5, clip=True).encode(
        x=alt.X(f"{start}:Q", **x), x2=f"{high}:Q", y=y, color=shade
    )
    if log:
        rule = from_axis(rule, x, low)
    tips = [
        alt.Tooltip("selection:N"),
        *(alt.Tooltip(f"{name}:Q", format=".3~g") for name in (value, low, high)),
    ]
    dots = base.mark_point(filled=True, size=64).encode(
        x=alt.X(f"{value}:Q", **x), y=y, color=shade, tooltip=tips
    )
    layers = [rule, dots]
    if reference is not None:
        layers.insert(0, dashed(x=alt.datum(reference)))
    layered: alt.LayerChart | alt.FacetChart = alt.layer(*layers, data=SOURCE).properties(height={"step": 27})
    return layered


def from_axis(chart: alt.Chart, channel: Mapping[str, Any], end: str = "low") -> alt.Chart:
    """The chart with the column `end` raised to where the logarithmic axis begins, which has no place for 0.

    Encode `end + ON_AXIS` in place of `end`; the column itself stays as it is for tooltips.
    """
    domain = channel["scale"].to_dict().get("domain")
    floor = domain[0] if domain else 0
    value = f"datum['{end}']"
    raised: alt.Chart = chart.transform_calculate(
        **{end + ON_AXIS: f"isValid({value}) ? max({value}, {floor}) : null"}
    )
    return raised


def dashed(**at: Any) -> alt.Chart:
    """A dashed line at `x` or `y`, for what is compared with."""
    return once(alt.Chart().mark_rule(strokeDash=[4, 3], color=theme.SOFT)).encode(**at)


def once(chart: alt.Chart) -> alt.Chart:
    """The same, drawn once in each panel: a mark at a fixed place is otherwise drawn for every row."""
    single: alt.Chart = chart.transform_aggregate(rows="count()")
    return single


def least(values: pl.Series) -> float:
    """The smallest of the numbers that are known; 0 where none is."""
    return _known(values, np.min)


def greatest(values: pl.Series) -> float:
    """The largest of the numbers that are known; 0 where none is."""
    return _known(values, np.max)


def _known(values: pl.Series, how: Callable[[Any], Any]) -> float:
    known = values.cast(pl.Float64).fill_nan(None).drop_nulls().to_numpy()
    return float(how(known)) if len(known) else 0.0


def capital(text: str) -> str:
    """The same with a capital first letter, as a title wants it; the rest stays as it is."""
    return re.sub(r"^api\b", "API", text[:1].upper() + text[1:], flags=re.IGNORECASE)


def log_ticks(low: float | None, high: float | None, limit: int = 7) -> list[float]:
    """Round values on a logarithmic axis from `low` to `high`, at most about `most` of them."""
    if not low or not high or not 0 < low <= high < math.inf:
        return []
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in ((1, 1.5, 2, 3, 4, 5, 7), (1, 2, 3, 5), (1, 2, 5), (1, 3), (1,)):
        ticks = [float(f"{step}e{decade}") for decade in decades for step in steps]
        inside = [tick for tick in ticks if low <= tick <= high]
        if len(inside) <= limit:
            break
    return inside[:: math.ceil(len(inside) / limit)] if inside else []


NUMBER = ",.4~r"
"""Numbers on axes and in tooltips: four significant digits, thousands grouped, never an exponent."""
NARROW = 4.0
"""A logarithmic axis over a smaller ratio has evenly spaced ticks."""


def _linear_ticks(low: float, high: float, limit: int) -> list[float]:
    """Round values from `low` to `high` at even steps, at most `most` of them."""
    rough = (high - low) / limit
    decade = 10.0 ** math.floor(math.log10(rough))
    step = next(decade * factor for factor in (1, 2, 5, 10) if decade * factor >= rough)
    first = math.ceil(low / step)
    return [float(f"{step * i:.10g}") for i in range(first, math.floor(high / step) + 1)]


def logarithmic(*values: pl.Series, limit: int = 7) -> dict[str, Any]:
    """Scale and axis of a logarithmic channel over the positive values given, with few round ticks."""
    known = pl.concat([v.cast(pl.Float64) for v in values]).drop_nulls()
    known = known.filter(known.is_finite() & (known > 0))
    if known.is_empty():
        return {"scale": alt.Scale(type="symlog")}
    low, high = least(known), greatest(known)
    low, high = (low, high) if low < high else (low / 1.5, high * 1.5)
    ticks = log_ticks(low, high, limit) if high / low > NARROW else _linear_ticks(low, high, limit)
    axis = {"values": ticks} if len(ticks) > 1 else {"tickCount": 4}
    return {
        "scale": alt.Scale(type="log", domain=[low, high], nice=False, padding=6),
        "axis": alt.Axis(format=NUMBER, **axis),
    }


def estimate(row: Mapping[str, Any], name: str, how: Callable[[float | None], str] | None = None) -> str:
    """`row[name]` with its interval from `name_low` and `name_high`, `0.15 [0.14, 0.16]`, where known."""
    form = how or number
    ends = [row.get(f"{name}_{end}") for end in ("low", "high")]
    value = form(row[name])
    return f"{value} [{form(ends[0])}, {form(ends[1])}]" if None not in ends else value


def columns_for(panels: int) -> int:
    """How many panels stand side by side: rows are full where that can be."""
    return panels if panels <= 3 else 3 if panels % 3 == 0 else 2
