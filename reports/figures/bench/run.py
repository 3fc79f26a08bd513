"""Figures of a run: the panels of the paper's Fig. 13 over time, latencies, and how well the load was kept.

Not here: what was measured (see `parts.run` and `burstlens.bench`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import altair as alt
import polars as pl

from ....analysis.core.result import Part, listing, number, percent
from ....analysis.core.units import DAY_S, HOUR_S, MINUTE_S, time_span
from ....bench.metrics.load_verdict import LoadLimits
from ...parts.run import FAILURES, Latency, Load, OverTime
from .. import theme
from ..base import SOURCE, Figure, category, dashed, faded, greatest, legend_filter, logarithmic, zoom_x

COLOURS = {
    "rejected": "vermillion",
    "http_4xx": "amber",
    "http_429": "purple",
    "http_5xx": "blue",
    "stream_error": "sky",
    "timeout": "green",
    "refused": "neutral",
    "reset": "ink",
    "aborted": "step3",
}
"""Classes of failure, always in the same colours."""
LEAST_MS = 0.1
"""What is shorter stands at this end of a logarithmic axis."""


def figures(part: Part) -> list[Figure]:
    """The figures of this part that its tables have data for."""
    if isinstance(part, OverTime):
        drawn = [_requests(part), _token_latency(part), _throughput(part), _kv_cache(part), _queue(part)]
        drawn.append(_failures(part))
        return [figure for figure in drawn if figure is not None]
    if isinstance(part, Latency):
        return [_latencies(part)] if part.curves.height else []
    if isinstance(part, Load):
        return [
            *([_lateness(part)] if greatest(part.lateness["ms"]) > LEAST_MS else []),
            *([_gaps(part)] if part.gaps["gap_s"].max() else []),
        ]
    return []


def _long(part: OverTime, series: dict[str, str]) -> pl.DataFrame:
    """The columns of `series`, renamed by its values, one below the other: `time`, `series`, `value`."""
    return (
        part.bins.select(
            "time", *(pl.col(name).cast(pl.Float64).alias(words) for name, words in series.items())
        )
        .unpivot(index="time", variable_name="series", value_name="value")
        .drop_nulls()
    )


def _lines(
    part: OverTime, colours: dict[str, str], y: str, *, height: int = 190, percent_axis: bool = False
) -> alt.LayerChart:
    """One line a series over time; what can be pointed at are dots that are not seen."""
    pick = legend_filter("series")
    axis = alt.Axis(format="~%") if percent_axis else alt.Axis()
    base = alt.Chart().encode(
        x=alt.X("time:Q", title=f"{part.unit} since the start", scale=alt.Scale(nice=False)),
        y=alt.Y("value:Q", title=y, axis=axis),
        color=category("series", colours, legend=len(colours) > 1),
        opacity=faded(pick),
    )
    line = base.mark_line(interpolate="step-after", strokeWidth=1.6, clip=True)
    tips = [
        alt.Tooltip("series:N"),
        alt.Tooltip("time:Q", title=part.unit, format=".4~r"),
        alt.Tooltip("value:Q", title=y, format=".3~p" if percent_axis else ",.4~r"),
    ]
    dots = base.mark_circle(size=90, fillOpacity=0, strokeOpacity=0, clip=True).encode(tooltip=tips)
    layers = alt.layer(line.add_params(pick, zoom_x()), dots, data=SOURCE)
    return cast(alt.LayerChart, layers.properties(height=height))


def _bin(part: OverTime) -> str:
    return time_span(part.bin_s)


def _requests(part: OverTime) -> Figure:
    """Requests asked, sent and failed."""
    colours = {"asked": "neutral", "sent": "blue", "failed": "vermillion"}
    data = _long(part, {f"{name}_per_s": name for name in colours})
    peak = greatest(part.bins["sent_per_s"])
    mean = part.summary.rates_rps[1]
    return Figure(
        name="requests",
        title=f"Request rate: {number(peak)} per second at the peak, {number(mean)} on average",
        chart=_lines(part, colours, "requests per second"),
        sentence="Requests per second that were due (asked), that were sent, and that failed, as means over "
        f"{_bin(part)}. Where sent covers asked, the server got the load that was asked for.",
        alt_text="Step chart of requests per second asked, sent and failed over the run: "
        f"peak {number(peak)}, mean {number(mean)}.",
        table_name="bins",
        data=data,
        zoom=True,
        legend=True,
    )


def _token_latency(part: OverTime) -> Figure | None:
    """Sliding token latency and its jitter."""
    of = part.summary.metrics.latencies["token_latency_s"]
    if not of.n:
        return None
    colours = {"token latency L": "blue", "jitter σ": "amber"}
    names = dict(zip(("token_latency_s", "token_latency_sd_s"), colours, strict=True))
    data = _long(part, names).with_columns(pl.col("value") * 1000)
    return Figure(
        name="token-latency",
        title=f"Token latency: {number(1000 * of.mean)} ms on average, {number(1000 * of.p99)} ms at p99",
        chart=_lines(part, colours, "ms per token"),
        sentence=f"Time that each token took: mean and standard deviation over the last {part.window_s} s "
        "(the paper’s instantaneous token latency and its jitter). The first token counts from the instant "
        "at which its request was due, so waiting shows here.",
        alt_text=f"Step chart of token latency and its standard deviation over the run: mean "
        f"{number(1000 * of.mean)} ms, jitter {number(1000 * of.sd)} ms.",
        table_name="bins",
        data=data,
        zoom=True,
        legend=True,
    )


def _throughput(part: OverTime) -> Figure | None:
    """Sliding tokens per second."""
    metrics = part.summary.metrics
    if not metrics.answered:
        return None
    data = _long(part, {"throughput_tps": "throughput P"})
    peak = greatest(data["value"])
    return Figure(
        name="throughput",
        title=f"Throughput: {number(metrics.throughput_tps)} tokens a second on average, {number(peak)} at "
        "most",
        chart=_lines(part, {"throughput P": "green"}, "tokens per second"),
        sentence=f"Output tokens of complete answers per second, over the last {part.window_s} s.",
        alt_text=f"Step chart of output tokens per second: mean {number(metrics.throughput_tps)}, peak "
        f"{number(peak)}.",
        table_name="bins",
        data=data,
        zoom=True,
    )


def _kv_cache(part: OverTime) -> Figure | None:
    """KV-cache use as the server reports it."""
    if "kv_cache_use" not in part.bins.columns:
        return None
    data = _long(part, {"kv_cache_use": "KV-cache use"})
    of = part.summary.server["kv_cache_use"]
    preempted = part.summary.preemptions or 0
    return Figure(
        name="kv-cache",
        title=f"KV-cache use: {percent(of.mean)} on average, {percent(of.max)} at most",
        chart=_lines(part, {"KV-cache use": "purple"}, "share of the KV cache", percent_axis=True),
        sentence="The server reports this about once a second."
        + (f" It preempted requests {preempted:,.0f} times because blocks ran out." if preempted else ""),
        alt_text=f"Step chart of KV-cache use: mean {percent(of.mean)}, most {percent(of.max)}.",
        table_name="bins",
        data=data,
        zoom=True,
    )


def _queue(part: OverTime) -> Figure:
    """Requests in flight, and what the server does with them."""
    names = {"in_flight": "in flight"} | {n: n for n in ("running", "waiting") if n in part.bins.columns}
    colours = {words: {"in flight": "neutral", "running": "green", "waiting": "vermillion"}[words]
               for words in names.values()}  # fmt: skip
    of = part.summary.in_flight
    return Figure(
        name="in-flight",
        title=f"Requests in flight: {number(of.mean)} on average, {number(of.max)} at most",
        chart=_lines(part, colours, "requests"),
        sentence="In flight are requests that the client has sent and that have not ended"
        + ("; running and waiting are those that the server reports." if len(names) > 1 else "."),
        alt_text=f"Step chart of requests in flight: mean {number(of.mean)}, most {number(of.max)}.",
        table_name="bins",
        data=_long(part, names),
        zoom=True,
        legend=len(names) > 1,
    )


def _failures(part: OverTime) -> Figure | None:
    """Failures of each class, stacked."""
    counts = {name: int(part.bins[name].sum()) for name in FAILURES}
    present = [name for name in FAILURES if counts[name]]
    if not present:
        return None
    data = (
        _long(part, {name: name for name in present})
        .filter(pl.col("value") > 0)
        .with_columns((pl.col("time") + part.bin_s / _unit_s(part)).alias("until"))
    )
    pick = legend_filter("series")
    bars = (
        alt.Chart()
        .mark_bar(clip=True)
        .encode(
            x=alt.X(
                "time:Q",
                bin="binned",
                title=f"{part.unit} since the start",
                scale=alt.Scale(domain=[0, greatest(part.bins["time"])], nice=False),
            ),
            x2="until:Q",
            y=alt.Y("value:Q", title=f"requests in {_bin(part)}", stack="zero", axis=alt.Axis(tickMinStep=1)),
            color=category("series", {name: COLOURS[name] for name in present}),
            opacity=faded(pick),
            tooltip=[
                alt.Tooltip("series:N", title="ended as"),
                alt.Tooltip("time:Q", title=part.unit, format=".4~r"),
                alt.Tooltip("value:Q", title="requests", format=","),
            ],
        )
    )
    phrases = listing([f"{counts[name]:,} {name}" for name in sorted(present, key=lambda n: -counts[n])])
    return Figure(
        name="failures",
        title=f"Requests without an answer: {phrases}",
        chart=alt.layer(bars.add_params(pick, zoom_x()), data=SOURCE).properties(height=170),
        sentence="Requests by the instant at which they ended, and how they ended. A request that the client "
        "aborted does not count as a failure of the server.",
        alt_text=f"Stacked bars of requests without an answer over the run: {phrases}.",
        table_name="bins",
        data=data,
        zoom=True,
        legend=True,
    )


def _unit_s(part: OverTime) -> float:
    return {"seconds": 1.0, "minutes": MINUTE_S, "hours": HOUR_S, "days": DAY_S}[part.unit]


def _distribution(
    data: pl.DataFrame, x: str, title: str, colours: dict[str, str], by: str, y: str
) -> alt.LayerChart:
    """Distribution functions on a logarithmic axis."""
    pick = legend_filter(by)
    base = alt.Chart().encode(
        x=alt.X(f"{x}:Q", title=title, **logarithmic(data[x])),
        y=alt.Y("share:Q", title=y, axis=alt.Axis(format="~%"), scale=alt.Scale(domain=[0, 1])),
        color=category(by, colours),
        opacity=faded(pick),
    )
    tips = [
        alt.Tooltip(f"{by}:N"),
        alt.Tooltip(f"{x}:Q", title=title, format=",.4~r"),
        alt.Tooltip("share:Q", format=".4~p"),
    ]
    line = base.mark_line(interpolate="step-after", clip=True)
    dots = base.mark_circle(size=90, fillOpacity=0, strokeOpacity=0, clip=True).encode(tooltip=tips)
    layers = alt.layer(line.add_params(pick), dots, data=SOURCE)
    return cast(alt.LayerChart, layers.properties(height=270))


def _latencies(part: Latency) -> Figure:
    """Distributions of the main latencies."""
    data = part.curves.filter(pl.col("ms") > 0)
    shown: Sequence[str] = data["latency"].unique(maintain_order=True).to_list()
    colours = dict(zip(shown, ("blue", "green", "vermillion"), strict=False))
    rows = part.quantiles.filter(pl.col("latency").is_in(list(shown)))
    phrases = [f"{r['latency']}: median {number(r['p50_ms'])} ms, p99 {number(r['p99_ms'])} ms"
            for r in rows.iter_rows(named=True)]  # fmt: skip
    return Figure(
        name="distributions",
        title=phrases[0][:1].upper() + phrases[0][1:] if phrases else "Latencies",
        chart=_distribution(data, "ms", "ms", colours, "latency", "share of requests that took no longer"),
        sentence="Share of answered requests that took no longer than each time, counted from the instant at "
        "which a request was due. Failed requests are left out: the failure rate counts them.",
        alt_text=f"Cumulative distributions of latencies: {'; '.join(phrases)}.",
        table_name="distributions",
        data=data,
        legend=True,
    )


def _lateness(part: Load) -> Figure:
    """Share of requests sent later than so much."""
    limit = 1000 * LoadLimits().lateness_p99_s
    data = part.lateness.select(pl.col("ms").clip(LEAST_MS), pl.col("share")).filter(pl.col("share") > 0)
    late = part.summary.lateness
    x = {**logarithmic(data["ms"], pl.Series([limit])), "title": "ms after the intended instant"}
    y = alt.Y("share:Q", title="share of requests sent later", axis=alt.Axis(format="~%"))
    base = alt.Chart().encode(x=alt.X("ms:Q", **x), y=y)
    tips = [alt.Tooltip("ms:Q", format=",.4~r"), alt.Tooltip("share:Q", title="later", format=".4~p")]
    line = base.mark_line(interpolate="step-after", color=theme.LIGHT["blue"])
    dots = base.mark_circle(size=90, fillOpacity=0, strokeOpacity=0).encode(tooltip=tips)
    return Figure(
        name="lateness",
        title=f"99 % of requests were sent within {number(1000 * late.p99)} ms of their instant",
        chart=alt.layer(dashed(x=alt.datum(limit)), line, dots, data=SOURCE).properties(height=220),
        sentence="Share of requests that the client sent later than each time after they were due. At the "
        f"dashed line, {number(limit)} ms, at most 1 % may be later.",
        alt_text=f"Share of requests sent later than a given time: median {number(1000 * late.p50)} ms, "
        f"p99 {number(1000 * late.p99)} ms, most {number(1000 * late.max)} ms.",
        table_name="lateness",
        data=data,
    )


def _gaps(part: Load) -> Figure:
    """Gaps between requests as asked and as sent."""
    data = part.gaps.with_columns(pl.col("gap_s").clip(LEAST_MS / 1000))
    table = part.summary.verdict.table.filter(pl.col("measure") == "CV of gaps")
    phrases = (
        f"CV of the gaps: {number(table['sent'][0])} sent, {number(table['asked'][0])} asked for"
        if table.height
        else "Gaps between requests, asked for and sent"
    )
    return Figure(
        name="gaps",
        title=phrases,
        chart=_distribution(
            data, "gap_s", "gap, s", {"asked": "neutral", "sent": "blue"}, "load", "share of gaps no longer"
        ),
        sentence="Share of gaps (time from each request to the next, all services together) no longer than "
        f"each time. A server does not notice differences below {number(1000 * LoadLimits().lateness_p99_s)} "
        "ms.",
        alt_text=f"Cumulative distributions of the gaps between requests, asked and sent. {phrases}.",
        table_name="gaps",
        data=data,
        legend=True,
    )
