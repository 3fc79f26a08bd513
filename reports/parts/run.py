"""What the page of a run tells, as parts: the run over time, its latencies, its load; from aggregates only.

Tables small enough to draw, and the sentences computed from them. Not here: the numbers themselves (see
`burstlens.bench.metrics.summary`), figures (`figures.bench.run`) and layout (`pages.run`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import polars as pl

from ...analysis.core.exhibit import Exhibit, marks
from ...analysis.core.result import Part, listing, number, percent, short_time
from ...analysis.core.units import DAY_S, HOUR_S, MINUTE_S
from ...bench.metrics.measures import COMPLAINTS, LATENCIES, Distribution
from ...bench.metrics.per_second import COUNTERS, GAUGES
from ...bench.metrics.summary import Summary
from ...bench.record.models import OUTCOMES

MAX_BINS = 480
"""The run is drawn in at most so many stretches of time."""
STRETCHES_S = (
    *(1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1200, 1800, 3600, 7200, 14_400, 43_200),
    int(DAY_S),
)
UNITS = (
    (300.0, "seconds", 1.0),
    (3 * HOUR_S, "minutes", MINUTE_S),
    (72 * HOUR_S, "hours", HOUR_S),
)
POINTS = 200
"""A distribution is drawn by so many quantiles."""
CURVES = ("ttft_s", "tpot_s", "e2e_s")
FAILURES = tuple(name for name in OUTCOMES if name not in ("ok", "truncated"))
COUNTED = ("asked", "sent", "ended", "failed", "tokens")
SLIDING = ("failure_rate", "token_latency_s", "token_latency_sd_s", "throughput_tps", "throughput_rps")


@dataclass(frozen=True)
class OverTime(Part):
    """The run in stretches of time, as the paper's Fig. 13 shows it."""

    name: ClassVar[str] = "over_time"
    lead: ClassVar[str] = "Requests, token latency, throughput, KV cache and failures as the run went."

    bins: pl.DataFrame
    """`time` in `unit` since the start; requests and tokens per second; means of the sliding metrics, of
    requests in flight and of the server's gauges; failures of each class as counts."""
    bin_s: int
    unit: str
    window_s: int
    """Length of the sliding window."""
    summary: Summary

    def tables(self) -> dict[str, pl.DataFrame]:
        """The stretches, and what was said of failures where there are any."""
        complaints = self.summary.complaints
        return {"bins": self.bins} | ({"complaints": complaints} if complaints.height else {})

    def sentences(self) -> list[str]:
        """The averages that the figures move about."""
        metrics = self.summary.metrics
        token, rate = metrics.latencies["token_latency_s"], metrics.failure_rate
        out = [
            f"{metrics.answered:,} of {metrics.requests:,} requests were answered, {metrics.failed:,} failed "
            f"({percent(rate.value)} [{percent(rate.low)}, {percent(rate.high)}])"
            + (f" and {metrics.aborted:,} were given up by the client." if metrics.aborted else "."),
            f"The server gave {number(metrics.throughput_tps)} tokens and {number(metrics.throughput_rps)} "
            "answers "
            f"a second over {number(metrics.span_s)} s.",
        ]
        for outcome, error, n in self.summary.complaints.head(COMPLAINTS).iter_rows():
            out.append(f"{outcome}, {n:,} times: “{error}”.")
        if token.n:
            out.append(
                f"A token took {short_time(token.mean)} on average, with a standard deviation (jitter) of "
                f"{short_time(token.sd)}."
            )
        used = self.summary.server.get("kv_cache_use")
        if used is not None:
            out.append(f"KV-cache use was {percent(used.mean)} on average and {percent(used.max)} at most.")
        return out


@dataclass(frozen=True)
class Latency(Part):
    """How long answers took."""

    name: ClassVar[str] = "latency"
    lead: ClassVar[str] = "How long answers took, from the instant at which they were due."

    quantiles: pl.DataFrame
    """One row a latency: `latency`, `n`, and mean, jitter and quantiles in ms."""
    curves: pl.DataFrame
    """`latency`, `ms`, `share` of requests that took no longer."""
    summary: Summary

    def tables(self) -> dict[str, pl.DataFrame]:
        """Quantiles, and the distribution functions that are drawn."""
        return {"quantiles": self.quantiles, "distributions": self.curves}

    def sentences(self) -> list[str]:
        """Medians and tails, and goodput where it was asked for."""
        out = []
        for key in CURVES:
            of = self.summary.metrics.latencies[key]
            if of.n:
                out.append(
                    f"{_capital(LATENCIES[key])}: median {short_time(of.p50)}, {short_time(of.p99)} at p99."
                )
        good = self.summary.metrics.goodput
        if good is not None:
            bounds = [f"{name[:-2].upper()} {short_time(bound)}" for name, bound in good.slo.bounds().items()]
            out.append(
                f"Goodput: {number(good.rps)} requests a second, {percent(good.share.value)} of all, "
                f"stayed within {listing(bounds)}."
            )
        return out


@dataclass(frozen=True)
class Load(Part):
    """Whether the load was the one asked for."""

    name: ClassVar[str] = "load"
    lead: ClassVar[str] = "Whether the requests that were sent are the ones that were asked for."

    lateness: pl.DataFrame
    """`ms` of lateness and the `share` of requests that were sent later than that."""
    gaps: pl.DataFrame
    """`load` (asked or sent), `gap_s`, and the `share` of gaps that are no longer."""
    summary: Summary

    def tables(self) -> dict[str, pl.DataFrame]:
        """Every measure of the verdict, and what is drawn."""
        return {"verdict": self.summary.verdict.table, "lateness": self.lateness, "gaps": self.gaps}

    def sentences(self) -> list[str]:
        """The verdict, then rates and lateness."""
        late, (intended, sent) = self.summary.lateness, self.summary.rates_rps
        out = [f"The load is {self.summary.verdict}."]
        if intended == intended:
            out.append(
                f"Requests were sent at {number(sent, 4)} a second; {number(intended, 4)} were asked for."
            )
        if late.n:
            out.append(
                f"Half of them were sent within {short_time(late.p50)} of their instant, 99 % within "
                f"{short_time(late.p99)}, all within {short_time(late.max)}."
            )
        return out


def parts(summary: Summary) -> tuple[OverTime, Latency, Load]:
    """What there is to tell of a run, in reading order."""
    marks_shown = marks_of(summary)
    return tuple(
        replace(part, marks=marks_shown) for part in (over_time(summary), latency(summary), load(summary))
    )  # type: ignore[return-value]


def marks_of(summary: Summary) -> tuple[str, ...]:
    """What must be said of everything made from a run."""
    return marks(summary.manifest.simulated, summary.manifest.synthetic, "workload")


def exhibit(summary: Summary) -> Exhibit:
    """A run for a notebook: the verdict, then outcomes; latencies, requests and seconds as frames."""
    shown_parts = parts(summary)
    tables = {
        "latencies": shown_parts[1].quantiles,
        "verdict": summary.verdict.table,
        "requests": summary.requests,
        "seconds": summary.seconds,
    }
    lines = [f"Load: {summary.verdict}.", *shown_parts[0].sentences(), *summary.manifest.notes]
    return Exhibit(f"Run of {summary.manifest.name}", marks_of(summary), lines, tables, shown_parts)


def over_time(summary: Summary) -> OverTime:
    """The table by second in stretches few enough to draw."""
    n = summary.seconds.height
    bin_s = next((width for width in STRETCHES_S if n / width <= MAX_BINS), STRETCHES_S[-1])
    _, unit, unit_s = next((each for each in UNITS if n <= each[0]), (0.0, "days", DAY_S))
    gauges = [name for name in GAUGES if summary.seconds[name].count()]
    bins = (
        summary.seconds.group_by((pl.col("second") // bin_s * bin_s).alias("start_s"), maintain_order=True)
        .agg(
            pl.len().alias("seconds"),
            pl.col(COUNTED).sum(),
            pl.col("in_flight", *SLIDING, *gauges).mean(),
            pl.col(*FAILURES, *COUNTERS).sum(),
        )
        .with_columns(pl.col(COUNTED) / pl.col("seconds"))
        .select((pl.col("start_s") / unit_s).alias("time"), pl.exclude("seconds"))
        .rename({name: f"{name}_per_s" for name in COUNTED})
    )
    missing = (
        ()
        if "kv_cache_use" in gauges
        else ("The server's metrics were not to be had, so KV-cache use and its queue are unknown.",)
    )
    return OverTime(missing, bins, bin_s, unit, summary.window_s, summary)


def latency(summary: Summary) -> Latency:
    """Quantiles of every latency, and the distribution functions of the main ones."""
    of = summary.metrics.latencies
    rows = [{"latency": words, **_induration(of[key])} for key, words in LATENCIES.items() if of[key].n]
    schema = {"latency": pl.String, "n": pl.Float64} | {
        f"{name}_ms": pl.Float64 for name in ("mean", "sd", "p50", "p90", "p95", "p99", "max")
    }
    curves = [
        pl.DataFrame({"latency": LATENCIES[key], "ms": values * 1000, "share": shares})
        for key in CURVES
        for values, shares in [_curve(summary.requests[key])]
    ]
    missing = () if rows else ("No request was answered, so there is no latency.",)
    return Latency(missing, pl.DataFrame(rows, schema=schema), pl.concat(curves), summary)


def load(summary: Summary) -> Load:
    """How late requests were sent, and the gaps between them as asked and as sent."""
    late, share = _curve(summary.requests["lateness_s"])
    sides = []
    for name, column in (("asked", "intended_s"), ("sent", "sent_s")):
        gaps, reached = _curve(summary.requests[column].drop_nulls().sort().diff().drop_nulls())
        sides.append(pl.DataFrame({"load": pl.Series([name] * len(gaps), dtype=pl.String), "gap_s": gaps,
                                   "share": reached}))  # fmt: skip
    # Each point is at the last request that was sent no later.
    lateness = pl.DataFrame({"ms": late * 1000, "share": np.maximum(1 - share, 0)})
    return Load((), lateness, pl.concat(sides), summary)


def _curve(values: pl.Series) -> tuple[np.ndarray, np.ndarray]:
    """A distribution function by quantiles, dense towards both ends: values and shares no greater."""
    known = values.drop_nulls().drop_nans().sort().to_numpy()
    n = len(known)
    if not n:
        return np.empty(0), np.empty(0)
    middle = np.linspace(0, n - 1, POINTS)
    tail = n - 1 - np.geomspace(1, n, POINTS // 2) + 1
    at = np.unique(np.clip(np.round(np.concatenate([middle, tail, n - 1 - tail])), 0, n - 1).astype(int))
    return known[at], (at + 1) / n


def _induration(of: Distribution) -> dict[str, float]:
    return {name if name == "n" else f"{name}_ms": value * (1 if name == "n" else 1000)
            for name, value in of.as_dict().items()}  # fmt: skip


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
