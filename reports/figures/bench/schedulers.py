"""Figures of the schedulers: the paper's Fig. 16, and who waits how long under each order of serving.

Not here: what was measured (see `burstlens.bench.experiments.schedulers`).
"""

from __future__ import annotations

import altair as alt
import polars as pl

from ....analysis.core.result import Part, number
from ....bench.experiments.backends import MEASURES
from ....bench.experiments.schedulers import FCFS, LRF, POLICIES, SRF, PolicyComparison, Waits
from ..base import Figure, category, faded, legend_filter, logarithmic, panels

COLOURS = {FCFS: "neutral", SRF: "blue", LRF: "vermillion"}
"""Each policy in one colour in every figure."""
SHOWN = {
    "token_latency_s": ("token latency L, ms", 1000.0),
    "jitter_s": ("token latency jitter σ, ms", 1000.0),
    "ttft_s": ("mean time to first token, s", 1.0),
    "throughput_tps": ("throughput P, tokens/s", 1.0),
}
"""Panels of a service, and what a measure's values are multiplied by."""
WAITS = {"ttft_p50_s": "median", "ttft_p90_s": "p90", "ttft_p99_s": "p99", "ttft_max_s": "worst"}
INTERVAL = "Dots are means over seeds, lines their 95 % intervals; a single seed has no interval."
UNORDERED = "Token latency was not measured under all three orders of serving"


def figures(part: Part) -> list[Figure]:
    """The figures of this part that its tables have data for."""
    if isinstance(part, PolicyComparison):
        return [_measures(part)] if part.means.height else []
    if isinstance(part, Waits):
        return [_waits(part)] if part.waits["seconds"].count() else []
    return []


def _measures(part: PolicyComparison) -> Figure:
    """A dot and interval a policy, a panel a service and measure."""
    data = pl.concat(
        part.means.select(
            pl.format("{}: {}", "service", pl.lit(words)).alias("panel"),
            "policy",
            *(
                (pl.col(f"{measure}{end}") * factor).alias(name)
                for end, name in (("", "value"), ("_low", "low"), ("_high", "high"))
            ),
        )
        for measure, (words, factor) in SHOWN.items()
    ).drop_nulls("value")
    # No measure goes below zero; the interval of few and uneven seeds may, and is cut there.
    data = data.with_columns(pl.col("low").clip(lower_bound=0.0))
    services = part.means["service"].unique(maintain_order=True).to_list()
    order = [f"{service}: {words}" for words, _ in SHOWN.values() for service in services]
    pick = legend_filter("policy")
    base = alt.Chart().encode(
        x=alt.X("policy:N", sort=list(POLICIES), title=None, axis=alt.Axis(labelAngle=0, labelFlush=False)),
        color=category("policy", COLOURS),
        opacity=faded(pick),
    )
    scale = alt.Scale(zero=False, nice=True)
    bars = base.mark_rule(strokeWidth=2).encode(
        y=alt.Y("low:Q", title=None, scale=scale), y2=alt.Y2("high:Q")
    )
    tips = ["panel:N", "policy:N", *(alt.Tooltip(f"{n}:Q", format=",.4~r") for n in ("value", "low", "high"))]
    dots = base.mark_circle(size=110).encode(y=alt.Y("value:Q", title=None, scale=scale), tooltip=tips)
    phrases = "; ".join(f"{r['service']} {r['order']}" for r in _orders(part, "token_latency_s"))
    every = [f"{r['service']}, {MEASURES[r['measure']][0]}: {r['order']}" for r in _orders(part)]
    return Figure(
        name="measures",
        title=f"Token latency, best first: {phrases}" if phrases else UNORDERED,
        chart=panels(
            alt.layer(bars.add_params(pick), dots).properties(height=150),
            "panel",
            order,
            columns=len(services),
            free_y=True,
        ),
        sentence=f"{INTERVAL} FCFS is first come first served, SRF and LRF shortest and longest request "
        "first; ≈ joins orders that differ, seed by seed, within noise. Axes do not begin at zero, "
        "and intervals that reach below it are cut there.",
        alt_text="Dot plots with intervals of three orders of serving, a panel a service and measure. "
        + ("; ".join(every) or UNORDERED)
        + ".",
        table_name="means",
        data=data,
        columns=len(services),
        legend=True,
    )


def _orders(part: PolicyComparison, *measures: str) -> list[dict[str, str]]:
    """The orders of these measures, or of all that are drawn."""
    wanted = measures or tuple(SHOWN)
    return part.orders().filter(pl.col("measure").is_in(wanted)).to_dicts()


def _waits(part: Waits) -> Figure:
    """Median, p90, p99 and worst wait of each policy, a panel a service."""
    data = (
        part.waits.drop_nulls("seconds")
        .filter(pl.col("seconds") > 0)
        .select(
            "service",
            "policy",
            pl.col("measure").replace_strict(WAITS).alias("wait"),
            "seconds",
            # A logarithmic axis has no place for what an interval of few seeds holds below zero.
            pl.max_horizontal("seconds_low", pl.col("seconds") / 10).alias("low"),
            pl.col("seconds_high").alias("high"),
        )
        .with_columns(low=pl.when(pl.col("high").is_not_null()).then("low"))
    )
    services = data["service"].unique(maintain_order=True).to_list()
    pick = legend_filter("policy")
    ends = [data[name].drop_nulls() for name in ("low", "high")]
    base = alt.Chart().encode(
        x=alt.X(
            "wait:N", sort=list(WAITS.values()), title=None, axis=alt.Axis(labelAngle=0, labelFlush=False)
        ),
        xOffset=alt.XOffset("policy:N", sort=list(POLICIES)),
        color=category("policy", COLOURS),
        opacity=faded(pick),
    )
    axis = {**logarithmic(data["seconds"], *ends), "title": "time to first token, s"}
    bars = base.mark_rule(strokeWidth=2).encode(y=alt.Y("low:Q", **axis), y2=alt.Y2("high:Q"))
    tips = ["service:N", "policy:N", "wait:N", alt.Tooltip("seconds:Q", format=",.4~r")]
    dots = base.mark_circle(size=110).encode(y=alt.Y("seconds:Q", **axis), tooltip=tips)
    worst = data.filter(pl.col("wait") == WAITS["ttft_max_s"])
    phrases = "; ".join(
        f"{service} "
        + ", ".join(
            f"{r['policy']} {number(r['seconds'])} s"
            for r in worst.filter(pl.col("service") == service).iter_rows(named=True)
        )
        for service in services
    )
    return Figure(
        name="waits",
        title=f"The worst wait for a first token: {phrases}",
        chart=panels(
            alt.layer(bars.add_params(pick), dots).properties(height=240),
            "service",
            services,
            columns=len(services),
        ),
        sentence=f"{INTERVAL} An order that serves most requests sooner lets others wait longer: "
        "compare the median with the worst.",
        alt_text="Dot plots of median, p90, p99 and worst time to first token by order of serving. "
        f"{phrases}.",
        table_name="waits",
        data=data,
        columns=len(services),
        legend=True,
    )
