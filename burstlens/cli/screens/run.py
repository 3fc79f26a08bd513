"""A finished run on one terminal screen: verdict, requests, latencies, throughput, server, lateness.

Not here: what is measured (see `burstlens.bench.metrics.summary`) and the live display during a run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ...analysis.core.result import number, short_time
from ...bench.metrics.measures import COMPLAINTS, LATENCIES, QUANTILES, Distribution

if TYPE_CHECKING:
    from ...bench.metrics.summary import Summary

SHOWN = tuple(name for name in QUANTILES if name != "p95")
"""Quantiles that fit on a terminal of 80 columns; the page has them all."""
WORDS = 120
"""Characters of a complaint that are shown."""
LATE_S = 0.01
"""Lateness p99 above which latencies counted from the send are shown too."""


def screen(summary: Summary) -> RenderableType:
    """The whole summary, the verdict last so that it stands above the prompt."""
    return Group(_head(summary), "", _numbers(summary), "", _latencies(summary), "", _verdict(summary))


def _head(summary: Summary) -> Text:
    """What ran against what."""
    run = summary.manifest
    text = Text(run.name, style="bold")
    if run.synthetic:
        text.append(" · synthetic workload", style="yellow")
    text.append(f" → {run.served_model or 'unknown model'} at {run.url}" if run.url else "", style="not bold")
    if run.simulated:
        text.append(f" · SIMULATED by preset {run.simulated}", style="yellow")
    return text


def _numbers(summary: Summary) -> Table:
    """Requests by outcome, throughput, server and lateness as name and value."""
    metrics = summary.metrics
    intended, sent = summary.rates_rps
    classes = [f"{count:,} {name}" for name, count in metrics.outcomes.items() if count and name != "ok"]
    rate = metrics.failure_rate
    rows = [
        ("requests", f"{metrics.requests:,} in {_time(metrics.span_s)}: {metrics.outcomes['ok']:,} ok"
         + "".join(f", {each}" for each in classes)),
        ("failure rate R", f"{_percent(rate.value)} [{_percent(rate.low)}, {_percent(rate.high)}]"),
        ("throughput P", f"{number(metrics.throughput_tps)} tokens/s, "
         f"{number(metrics.throughput_rps)} answers/s, {number(metrics.prompt_tps)} prompt tokens/s"),
        ("in flight", f"{number(summary.in_flight.mean)} on average, "
         f"{number(summary.in_flight.max)} at most"),
    ]  # fmt: skip
    rows[1:1] = [
        (str(outcome), f"{n:,} times: {error if len(error) <= WORDS else error[: WORDS - 1] + '…'}")
        for outcome, error, n in summary.complaints.head(COMPLAINTS).iter_rows()
    ]
    if metrics.retried:
        rows.append(
            ("retried", f"{metrics.retried:,} were sent again, so more arrived at the server than intended")
        )
    if metrics.goodput is not None:
        slo = metrics.goodput.slo.bounds()
        bounds = ", ".join(f"{name[:-2].upper()} {_time(bound)}" for name, bound in slo.items())
        share = _percent(metrics.goodput.share.value)
        rows.append(("goodput", f"{number(metrics.goodput.rps)} requests/s, {share} within {bounds}"))
    rows.append(("KV-cache use", _server(summary)))
    rows.append(("rate", f"{number(sent)} requests/s sent, {number(intended)} intended"))
    late = summary.lateness
    rows.append(("lateness", f"p50 {_time(late.p50)}, p99 {_time(late.p99)}, at most {_time(late.max)}"))
    table = Table.grid(padding=(0, 2))
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table


def _server(summary: Summary) -> str:
    used = summary.server.get("kv_cache_use")
    if used is None:
        return "unknown: the server gave no metrics"
    text = f"{_percent(used.mean)} on average, {_percent(used.max)} at most"
    if (waiting := summary.server.get("waiting")) is not None:
        text += f"; {number(waiting.mean)} waiting on average, {number(waiting.max)} at most"
    return text + (f"; {summary.preemptions:,.0f} preemptions" if summary.preemptions else "")


def _latencies(summary: Summary) -> Table:
    """Mean, jitter and quantiles of every latency that was measured."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="cyan")
    table.add_column("latency", no_wrap=True)
    for name in ("mean", "σ", *SHOWN):
        table.add_column(name, justify="right", no_wrap=True)
    # Counted from the send, latencies tell something only where requests were sent late.
    late = summary.lateness.p99 > LATE_S
    for key, words in LATENCIES.items():
        of: Distribution = summary.metrics.latencies[key]
        if of.n and (late or not key.endswith("_from_sent_s")):
            quantiles = (getattr(of, name) for name in SHOWN)
            table.add_row(
                words,
                *(_time(value) for value in (of.mean, of.sd, *quantiles)),
            )
    return table


def _verdict(summary: Summary) -> Text:
    style = "bold green" if summary.verdict.trustworthy else "bold red"
    return Text(f"load: {summary.verdict}", style=style)


def _time(seconds: float) -> str:
    return "–" if seconds != seconds else short_time(seconds)


def _percent(share: float) -> str:
    return "unknown" if share != share else f"{number(100 * share)} %"
