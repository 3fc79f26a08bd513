"""Whether the load that was sent is the load that was planned; nothing about how the server coped with it.

Both sides are the same requests, so only the client lies between them and there is no sampling noise. Fixed
`LoadLimits` decide: how far lateness, counts, gaps and lengths may differ before an LLM server with
steps of 10 ms and more could notice. Only a planned law is met by chance, so only there a p-value decides.
Definitions: `docs/explanation/metrics.md`. Not here: how the server answered (`measures`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from ...analysis.core.arrays import Array
from ...analysis.core.result import Interval
from ..record.versioned_json import to_dict
from . import distances
from .distances import ArrivalLaw
from .measures import answered
from .models import LOAD_SCHEMA, LoadMeasure

FEWEST = 30
"""Distributions of fewer gaps, counts or lengths are not judged."""
RESOLVED_S = 0.04
"""CV and shape are judged if the mean gap is at least this long; else the dispersion of counts is."""
EARLY_S = 0.005
"""A request sent sooner before its instant shows that the clock or the schedule is wrong."""
SCALES_S = (1.0, 10.0, 60.0)
"""Lengths of the bins in which requests are counted for the index of dispersion."""


@dataclass(frozen=True, slots=True)
class LoadLimits:
    """How far the load may be from what was planned."""

    lateness_p99_s: float = 0.05
    """About one step of a busy server; a hundredth of requests may be later."""
    stall_s: float = 1.0
    """No more than one request in 10,000 may be later: a client that stalls makes a burst of its own."""
    unsent: float = 0.001
    """Share of requests that were never sent."""
    aborted: float = 0.01
    """Share of requests that the client cut short after sending."""
    rate: float = 0.01
    """Relative difference of the mean rates."""
    cv: float = 0.15
    """Difference of the CV of gaps, also of the CV 1/√α that a fitted shape stands for; relative above 1."""
    dispersion: float = 0.2
    """Difference of the index of dispersion of counts; relative above 1."""
    distance: float = 0.05
    """Distance of two distribution functions, after each value may move: a gap by `lateness_p99_s`, a
    length by `length` and `length_tokens`."""
    length: float = 0.05
    length_tokens: int = 4
    """Special tokens and templates that a server adds to a prompt."""
    p_value: float = 0.001
    """Of the test against a planned law: so often does a right client fail it."""


@dataclass(frozen=True)
class LoadVerdict:
    """Whether to believe a run, and why not."""

    reasons: tuple[str, ...]
    """One clause for each limit that was broken; empty for a load as planned."""
    table: pl.DataFrame
    """Every measure, columns of `LOAD_SCHEMA`."""

    @property
    def trustworthy(self) -> bool:
        """Whether the load was the planned one."""
        return not self.reasons

    def __str__(self) -> str:
        """`trustworthy`, or `not trustworthy: <why>; <why>`."""
        return "trustworthy" if self.trustworthy else f"not trustworthy: {'; '.join(self.reasons)}"


@dataclass(frozen=True, slots=True)
class _Check:
    """One row of the table, and what to say if the limit is exceeded."""

    measure: str
    planned: float | Interval | None
    sent: float | Interval | None
    difference: float | None
    limit: float | None = None
    why: str = ""
    p_value: float | None = None

    @property
    def holds(self) -> bool | None:
        """Whether the difference is within the limit; None without a limit or a difference."""
        if self.limit is None or self.difference is None or not np.isfinite(self.difference):
            return None
        return bool(self.difference <= self.limit)

    def row(self) -> LoadMeasure:
        """The row of the verdict's table."""
        planned, sent = _ends(self.planned), _ends(self.sent)
        return LoadMeasure(
            measure=self.measure,
            planned=planned[0], planned_low=planned[1], planned_high=planned[2],
            sent=sent[0], sent_low=sent[1], sent_high=sent[2],
            difference=self.difference, limit=self.limit, p_value=self.p_value, holds=self.holds,
        )  # fmt: skip


def _ends(value: float | Interval | None) -> tuple[float | None, float | None, float | None]:
    """A value and the ends of its interval, if it has one."""
    return (value.value, value.low, value.high) if isinstance(value, Interval) else (value, None, None)


def judge_load(
    record: pl.DataFrame,
    workload: pl.DataFrame | None = None,
    *,
    law: ArrivalLaw | None = None,
    forced_lengths: bool = True,
    limits: LoadLimits | None = None,
) -> LoadVerdict:
    """Judge the load of a run by its record (columns of `record.SCHEMA`).

    Parameters
    ----------
    record
        Columns of `record.models.SCHEMA`.
    workload
        Columns of `workload.table.SCHEMA`; without it, requests that are not in the record are not missed.
    law
        The process that the arrivals were drawn from, if they were.
    forced_lengths
        Whether responses were to have the planned lengths (`ignore_eos`), so that they are judged too.
    limits
        How far the load may be from the planned one.
    """
    within = limits or LoadLimits()
    missing = _missing(record, workload)
    planned = np.sort(np.concatenate([record["intended_s"].drop_nulls().to_numpy(), missing]))
    sent = np.sort(record["sent_s"].drop_nulls().to_numpy())
    checks = [
        *_completeness(record, len(missing), within),
        *_lateness(record, within),
        *_clock(record),
        *_arrivals(planned, sent, _median_lateness(record), within),
        *(_planned(planned, law, within) if law is not None else ()),
        *_lengths(record, forced_lengths, within),
    ]
    reasons = tuple(check.why for check in checks if check.holds is False)
    return LoadVerdict(reasons, pl.DataFrame([to_dict(check.row()) for check in checks], schema=LOAD_SCHEMA))


def _missing(record: pl.DataFrame, workload: pl.DataFrame | None) -> Array:
    """Instants of the requests that the record does not have."""
    if workload is None:
        return np.empty(0)
    out: Array = workload.join(record, on="request_id", how="anti")["at_s"].to_numpy()
    return out


def _completeness(record: pl.DataFrame, missing: int, within: LoadLimits) -> list[_Check]:
    aborted = pl.col("outcome") == "aborted"
    counted = record.select(
        (aborted & pl.col("sent_s").is_null()).sum().alias("unsent"),
        (aborted & pl.col("sent_s").is_not_null()).sum().alias("aborted"),
    ).row(0)
    n, unsent, cut = record.height + missing, missing + counted[0], counted[1]
    if n == 0:
        return [_Check("requests sent", 0.0, 0.0, 1.0, 0.0, "the workload had no request")]
    return [
        _Check(
            "requests sent", n, n - unsent, unsent / n, within.unsent,
            f"{unsent:,} of {n:,} requests were never sent",
        ),
        _Check(
            "requests left to end", n - unsent, n - unsent - cut, cut / n, within.aborted,
            f"{cut:,} of {n:,} requests were cut short by the client",
        ),
    ]  # fmt: skip


def _late(record: pl.DataFrame) -> pl.Series:
    return (record["sent_s"] - record["intended_s"]).drop_nulls()


def _median_lateness(record: pl.DataFrame) -> float:
    middle = _late(record).median()
    return middle if isinstance(middle, float) else 0.0


def _lateness(record: pl.DataFrame, within: LoadLimits) -> list[_Check]:
    late = _late(record)
    if late.is_empty():
        return []
    at = {q: late.quantile(q, interpolation="lower") or 0.0 for q in (0.5, 0.9, 0.99, 0.9999)}
    waited, lateness = pl.col("waited_s"), pl.col("sent_s") - pl.col("intended_s")
    waiting = record.select(((waited > 0) & (waited > 0.5 * lateness)).mean()).item()
    cause = " because the limit of concurrent requests was reached" if (waiting or 0.0) > 0.005 else ""
    stalled = at[0.9999] if len(late) >= 10_000 else float(late.max())  # type: ignore[arg-type]
    return [
        _Check("lateness p50, s", None, at[0.5], at[0.5]),
        _Check("lateness p90, s", None, at[0.9], at[0.9]),
        _Check(
            "lateness p99, s", None, at[0.99], at[0.99], within.lateness_p99_s,
            f"1 % of requests were sent {_ms(at[0.99])} late or more{cause}; "
            f"{_ms(within.lateness_p99_s)} is allowed",
        ),
        _Check(
            "lateness at worst, s", None, stalled, stalled, within.stall_s,
            f"the client stalled: requests were sent up to {_ms(stalled)} late{cause}",
        ),
    ]  # fmt: skip


def _clock(record: pl.DataFrame) -> list[_Check]:
    early = int((_late(record) < -EARLY_S).sum())
    turned = record.select(
        (
            (pl.col("ended_s") < pl.col("sent_s")) | (pl.col("first_token_s") < pl.col("sent_s"))
            | (pl.col("ended_s") < pl.col("first_token_s"))
        ).sum()
    ).item()  # fmt: skip
    return [
        _Check("sent before their instant", 0.0, early, early, 0.0,
               f"{early:,} requests were sent before their instant"),
        _Check("events out of order", 0.0, turned, turned, 0.0,
               f"the clock is wrong: {turned:,} requests ended or answered before they were sent"),
    ]  # fmt: skip


def _arrivals(planned: Array, sent: Array, late: float, within: LoadLimits) -> list[_Check]:
    """Rates, gaps and counts of the planned and the sent instants, both in order."""
    if len(planned) < 2 or len(sent) < 2:
        return []
    gaps, gaps_sent = np.diff(planned), np.diff(sent)
    checks = []
    if gaps.sum() > 0 and gaps_sent.sum() > 0:
        rate, achieved = len(gaps) / gaps.sum(), len(gaps_sent) / gaps_sent.sum()
        # Both ends of a short run may be late as any request may.
        slack = within.rate + 2 * within.lateness_p99_s / gaps.sum()
        checks.append(
            _Check("rate, 1/s", rate, achieved, abs(achieved / rate - 1), slack,
                   f"the rate was {achieved:.4g}/s, not {rate:.4g}/s")
        )  # fmt: skip
    if min(len(gaps), len(gaps_sent)) < FEWEST:
        return checks
    resolved = gaps.mean() >= RESOLVED_S
    checks.append(_similar("CV of gaps", distances.cv(gaps), distances.cv(gaps_sent), within.cv, resolved))
    if resolved:
        shape, shape_sent = distances.shape(planned), distances.shape(sent - late)
        difference = _relative_difference(shape.value**-0.5, shape_sent.value**-0.5)
        checks.append(
            _Check("shape of gaps", shape, shape_sent, difference, within.cv,
                   f"the shape of gaps was {shape_sent.value:.3g}, not {shape.value:.3g}")
        )  # fmt: skip
    for scale in SCALES_S:
        if (planned[-1] - planned[0]) / scale >= FEWEST:
            first, last = planned[0], planned[-1]
            checks.append(
                _similar(
                    f"dispersion of counts in {scale:g} s",
                    distances.dispersion(planned, first, last, scale),
                    distances.dispersion(sent - late, first, last, scale),
                    within.dispersion,
                )
            )
    distance = distances.distance(gaps, gaps_sent, lambda x: x + within.lateness_p99_s)
    checks.append(
        _Check("distance of gaps", None, None, distance, within.distance,
               f"{100 * distance:.0f} % of gaps are longer or shorter than planned",
               distances.two_sample(distance, len(gaps), len(gaps_sent)))
    )  # fmt: skip
    return checks


def _similar(
    name: str, planned: float | Interval, sent: float | Interval, limit: float, judged: bool = True
) -> _Check:
    """Compare values of the size of 1, which may differ by `limit`, or by `limit` times the planned one."""
    one, other = (value.value if isinstance(value, Interval) else value for value in (planned, sent))
    why = f"{name}: {other:.3g}, not {one:.3g}"
    return _Check(name, planned, sent, _relative_difference(one, other), limit if judged else None, why)


def _relative_difference(planned: float, sent: float) -> float:
    return abs(sent - planned) / max(planned, 1.0)


def _planned(planned: Array, law: ArrivalLaw, within: LoadLimits) -> list[_Check]:
    """Whether the planned instants could come from the law."""
    if len(planned) <= FEWEST:
        return []
    distance, p = distances.from_law(planned, law)
    limit = distances.critical_distance(len(planned) - 1, within.p_value)
    return [
        _Check("distance of gaps from their law", None, None, distance, limit,
               f"the arrivals do not follow the planned law (p = {p:.1g})", p)
    ]  # fmt: skip


def _lengths(record: pl.DataFrame, forced: bool, within: LoadLimits) -> list[_Check]:
    """Token counts that the server sends with its answers, against the planned ones."""
    checks = []
    for side in ("request", "response") if forced else ("request",):
        pairs = record.filter(answered()).select(f"{side}_tokens_asked", f"{side}_tokens").drop_nulls()
        if pairs.height < FEWEST:
            continue
        planned, sent = (pairs[name].to_numpy().astype(float) for name in pairs.columns)
        distance = distances.distance(planned, sent, lambda x: x * (1 + within.length) + within.length_tokens)
        checks.append(
            _Check(
                f"{side} tokens", float(planned.mean()), float(sent.mean()), distance, within.distance,
                f"{side} lengths differ: {sent.mean():,.0f} tokens on average, not {planned.mean():,.0f}",
                distances.two_sample(distance, len(planned), len(sent)),
            )
        )  # fmt: skip
    return checks


def _ms(seconds: float) -> str:
    return f"{seconds:.3g} s" if seconds >= 1 else f"{1000 * seconds:.3g} ms"
