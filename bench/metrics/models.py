"""The content of `summary.json` as types.

A number that is not finite in Python is null in the file, so every number that may be one is optional here.
Not here: how the numbers are computed (`measures`, `load_verdict`), and when the file is written (`summary`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct, field

from ..record.models import Manifest, polars_schema


class IntervalValues(Struct, kw_only=True):
    """An estimate with its confidence interval."""

    value: float | None
    low: float | None
    high: float | None
    level: float


class DistributionValues(Struct, kw_only=True):
    """Mean, standard deviation and quantiles of a measure; `n` is the number of values."""

    n: float
    mean: float | None
    sd: float | None
    p50: float | None
    p90: float | None
    p95: float | None
    p99: float | None
    max: float | None


class Slo(Struct, frozen=True):
    """What a user must get for a request to count as good; a bound that is None does not apply."""

    ttft_s: float | None = None
    tpot_s: float | None = None
    e2e_s: float | None = None

    def bounds(self) -> dict[str, float]:
        """Give the bounds that apply, by column of `measures.requests`."""
        bounds = {"ttft_s": self.ttft_s, "tpot_s": self.tpot_s, "e2e_s": self.e2e_s}
        return {name: bound for name, bound in bounds.items() if bound is not None}


class GoodputValues(Struct, kw_only=True):
    """How many requests met the service level."""

    slo: Slo
    requests: int
    share: IntervalValues
    rps: float | None


class RequestCounts(Struct, kw_only=True):
    """Requests by how they ended."""

    planned: int = field(name="asked")
    answered: int
    failed: int
    aborted: int
    outcomes: Mapping[str, int]
    retried: int


class Complaint(Struct, kw_only=True):
    """An error message about requests that failed, and of how many."""

    outcome: str
    error: str
    n: int


class LoadMeasure(Struct, kw_only=True):
    """A measure of the load as it was planned and as it was sent, with the ends of its interval."""

    measure: str
    planned: float | None = field(name="asked")
    planned_low: float | None = field(name="asked_low")
    planned_high: float | None = field(name="asked_high")
    sent: float | None
    sent_low: float | None
    sent_high: float | None
    difference: float | None
    """Compared with `limit`."""
    limit: float | None
    p_value: float | None
    """For readers only: the two samples are not independent, except against a planned law."""
    holds: bool | None
    """None if the measure is shown but not judged."""


LOAD_SCHEMA = polars_schema(LoadMeasure)
"""Columns of `LoadVerdict.table`."""


class SummaryFile(Struct, kw_only=True):
    """The content of `summary.json`; what each number means is in `docs/metrics.md`."""

    run: Manifest
    verdict: str
    trustworthy: bool
    reasons: Sequence[str]
    requests: RequestCounts
    complaints: Sequence[Complaint]
    span_s: float
    failure_rate: IntervalValues
    throughput_tps: float | None
    throughput_rps: float | None
    prompt_tps: float | None
    untold_tokens: int
    """Answers for which the server sent no token count."""
    latencies: Mapping[str, DistributionValues]
    goodput: GoodputValues | None
    lateness_s: DistributionValues
    in_flight: DistributionValues
    server: Mapping[str, DistributionValues | float | None]
    """Distributions of the server's gauges, and the number of `preemptions`."""
    window_s: int
    load: Sequence[LoadMeasure]
