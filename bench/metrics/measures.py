"""Measures of a run: failure rate, token latency and its jitter, throughput, TTFT, TPOT, ITL, goodput.

Plain functions from the frames of `record` to numbers and tables; every definition is with its formula
in `docs/explanation/metrics.md`. Latencies count from the intended instant, so that a late client cannot
flatter the server; those with `_from_sent` count from the send. Not here: whether the load was
the planned one (see `load_verdict`), the table by second (see `per_second`), files and rendering.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import ArrayLike

from ...analysis.core.arrays import Array
from ...analysis.core.result import Interval
from ...analysis.stats.proportions import wilson
from ..record.models import ANSWERED, OUTCOMES
from .models import DistributionValues, Slo
from .token_latency import TokenSums, WeightedValues

QUANTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "max": 1.0}

COMPLAINTS = 3
"""Kinds of complaints that are shown in words; the table has all."""
LATENCIES = {
    "ttft_s": "time to first token",
    "tpot_s": "time per output token",
    "itl_s": "inter-token latency",
    "token_latency_s": "token latency",
    "normalized_s": "latency per output token",
    "e2e_s": "end to end",
    "ttft_from_sent_s": "time to first token, from send",
    "e2e_from_sent_s": "end to end, from send",
}
"""What is summed up as a distribution, and its name in words, in the order in which it is shown."""


@dataclass(frozen=True, slots=True)
class Distribution:
    """Mean, standard deviation and quantiles of a measure; NaN if nothing was measured.

    A quantile is the smallest measured value that the given share does not exceed (nearest rank): always a
    value that occurred.
    """

    n: float
    """Number of values, or the sum of their weights."""
    mean: float
    sd: float
    p50: float
    p90: float
    p95: float
    p99: float
    max: float

    @classmethod
    def of(cls, values: ArrayLike, weights: ArrayLike | None = None) -> Distribution:
        """Describe finite values; others are left out.

        Parameters
        ----------
        values
            Shape (n,).
        weights
            How often each value counts, shape (n,); once if not given. Values without a positive weight are
            left out.

        Returns
        -------
        Distribution
            All but the count are NaN if no value is left.
        """
        x = np.asarray(values, dtype=float)
        w = np.ones_like(x) if weights is None else np.asarray(weights, dtype=float)
        counted = np.isfinite(x) & (w > 0)
        if not counted.all():
            x, w = x[counted], w[counted]
        if not len(x):
            return cls(0.0, *[float("nan")] * 7)
        mean = float(np.average(x, weights=w))
        sd = float(np.sqrt(np.average((x - mean) ** 2, weights=w)))
        return cls(float(w.sum()), mean, sd, *_quantiles(x, w).tolist())

    @classmethod
    def over(cls, spread: WeightedValues) -> Distribution:
        """Describe values that were summed up as they came."""
        return replace(cls.of(*spread.arrays()), max=spread.max)

    def as_dict(self) -> dict[str, float]:
        """Give plain numbers."""
        return asdict(self)

    def values(self) -> DistributionValues:
        """Give the values that `summary.json` has."""
        return DistributionValues(**asdict(self))


@dataclass(frozen=True, slots=True)
class Goodput:
    """How many requests met the service level; a failed one never does."""

    slo: Slo
    requests: int
    share: Interval
    """Of all that the client did not abort."""
    rps: float


@dataclass(frozen=True)
class Metrics:
    """The averages of a run."""

    requests: int
    outcomes: Mapping[str, int]
    """Requests by how they ended; every outcome is a key."""
    failure_rate: Interval
    """R: failed over those that the client did not abort, with Wilson's interval."""
    span_s: float
    """From the first send to the last end: the time that throughput is counted over."""
    throughput_tps: float
    """P: output tokens of complete answers per second."""
    throughput_rps: float
    """Complete answers per second."""
    prompt_tps: float
    """Prompt tokens of answered requests per second."""
    latencies: Mapping[str, Distribution]
    """By the keys of `LATENCIES`; token latency L is `token_latency_s`, its jitter σ_L the `sd` of it."""
    goodput: Goodput | None
    retried: int
    """Requests that were sent more than once: at least as many more reached the server than were planned."""
    answers_without_token_count: int
    """Answers for which the server sent no token count; no measure of tokens counts them."""

    @property
    def answered(self) -> int:
        """Requests with an answer, complete or truncated."""
        return sum(self.outcomes[name] for name in ANSWERED)

    @property
    def aborted(self) -> int:
        """Requests that the client gave up by itself: neither answered nor failed."""
        return self.outcomes["aborted"]

    @property
    def failed(self) -> int:
        """Requests that ended in any other way."""
        return self.requests - self.answered - self.aborted


def answered() -> pl.Expr:
    """Rows of a record that brought an answer."""
    return pl.col("outcome").is_in(ANSWERED)


def failed() -> pl.Expr:
    """Rows of a record that failed; what the client aborted did not."""
    return ~pl.col("outcome").is_in([*ANSWERED, "aborted"])


def requests(record: pl.DataFrame) -> pl.DataFrame:
    """Add lateness and latencies in seconds to the record, without its lists; one row a request.

    Latencies are null if a request was not answered, or the server did not send what they need.
    """
    first, ended, n = pl.col("first_token_s"), pl.col("ended_s"), pl.col("response_tokens")
    latencies = {
        "lateness_s": pl.col("sent_s") - pl.col("intended_s"),
        "ttft_s": first - pl.col("intended_s"),
        "ttft_from_sent_s": first - pl.col("sent_s"),
        "tpot_s": pl.when(n > 1).then((ended - first) / (n - 1)),
        "e2e_s": ended - pl.col("intended_s"),
        "e2e_from_sent_s": ended - pl.col("sent_s"),
        "normalized_s": pl.when(n > 0).then((ended - pl.col("intended_s")) / n),
    }
    return record.select(
        pl.all().exclude("gaps_s", "gap_tokens"),
        *(
            (value if name == "lateness_s" else pl.when(answered()).then(value)).alias(name)
            for name, value in latencies.items()
        ),
    )


def complaints(record: pl.DataFrame) -> pl.DataFrame:
    """Error messages of requests that failed: `outcome`, `error` and how many (`n`), the most frequent first.

    Messages that differ only in their numbers count as one, with the text of the first request.
    """
    return (
        record.filter(pl.col("error").is_not_null())
        .sort("request_id")
        .group_by("outcome", pl.col("error").str.replace_all(r"\d+", "0").alias("kind"), maintain_order=True)
        .agg(pl.col("error").first(), pl.len().cast(pl.Int64).alias("n"))
        .drop("kind")
        .sort("n", descending=True, maintain_order=True)
    )


def tokens(record: pl.DataFrame) -> pl.DataFrame:
    """List when the tokens of answers came, one row a chunk that carried any, in the record's order.

    Columns: `request_id`, `at_s`, `tokens` (fractions if the server does not say which chunk carried
    what: all but the first token are then spread evenly over the later chunks), `latency_s` (the time since
    the request's previous tokens, or since the intended instant, spread over the chunk's own) and `first`.
    So a request's latencies times tokens add up to the time from its intended instant to its last token.
    Tokens of an answer that was not streamed come at once when it ends.
    """
    rows = record.filter(answered() & (pl.col("response_tokens") > 0) & pl.col("ended_s").is_not_null())
    streamed = pl.col("first_token_s").is_not_null()
    chunked = streamed & pl.col("gaps_s").is_not_null()
    # An answer known by its first and last token only came evenly between, about a piece a second.
    ends_only = streamed & pl.col("gaps_s").is_null() & (pl.col("response_tokens") > 1)
    passed_s = pl.col("ended_s") - pl.col("first_token_s")
    pieces = passed_s.ceil().clip(1, pl.col("response_tokens") - 1).cast(pl.Int64)
    none = pl.lit([])
    rows = rows.with_columns(
        pl.coalesce("first_token_s", "ended_s").alias("first_s"),
        pl.when(chunked)
        .then("gaps_s")
        .when(ends_only)
        .then((passed_s / pieces).repeat_by(pieces))
        .otherwise(none.cast(pl.List(pl.Float64)))
        .alias("gaps"),
        pl.when(chunked)
        .then(pl.coalesce("gap_tokens", pl.col("gaps_s").list.eval(pl.element() * 0).cast(pl.List(pl.Int64))))
        .when(ends_only)
        .then(pl.lit(0, pl.Int64).repeat_by(pieces))
        .otherwise(none.cast(pl.List(pl.Int64)))
        .alias("carried"),
    )
    later = rows["gaps"].list.len().to_numpy().astype(np.int64)
    begins = np.concatenate([[0], np.cumsum(later + 1)])
    first = np.zeros(begins[-1], dtype=bool)
    first[begins[:-1]] = True
    n = rows["response_tokens"].to_numpy().astype(float)
    carried = rows["carried"].list.sum().to_numpy().astype(float)
    silent = (carried == 0) & (later > 0)
    wait, count = np.empty(len(first)), np.empty(len(first))
    wait[first] = (rows["first_s"] - rows["intended_s"]).to_numpy()
    wait[~first] = rows["gaps"].list.explode(empty_as_null=False).to_numpy()
    count[first] = np.where(silent, 1.0, np.maximum(n - carried, 0.0))
    equal = np.where(silent, (n - 1) / np.maximum(later, 1), 0.0)
    count[~first] = rows["carried"].list.explode(empty_as_null=False).to_numpy() + np.repeat(equal, later)
    passed = np.cumsum(wait)
    passed -= np.repeat(passed[begins[:-1]] - wait[begins[:-1]], later + 1)
    request = np.repeat(np.arange(len(rows)), later + 1)
    # Chunks without tokens, such as one that names the role, only lend their time to the next.
    has_tokens = count > 0
    request, passed, count, first = (
        request[has_tokens],
        passed[has_tokens],
        count[has_tokens],
        first[has_tokens],
    )
    opens = np.diff(request, prepend=-1) != 0
    since = np.where(opens, passed, np.diff(passed, prepend=0.0))
    return pl.DataFrame(
        {
            "request_id": rows["request_id"].to_numpy()[request],
            "at_s": rows["intended_s"].to_numpy()[request] + passed,
            "tokens": count,
            "latency_s": since / count,
            "first": first,
        }
    )


def measure(record: pl.DataFrame, slo: Slo | None = None, token_sums: TokenSums | None = None) -> Metrics:
    """Compute the averages of a run from its record.

    Parameters
    ----------
    record
        Columns of `record.models.SCHEMA`, one row a request.
    slo
        The service level; without one there is no goodput.
    token_sums
        The sums of what `tokens` returns for the record; with them the record may lack its lists.
    """
    rows = requests(record)
    token_sums = TokenSums.of([tokens(record)]) if token_sums is None else token_sums
    counted = dict(record["outcome"].value_counts().iter_rows())
    outcomes: dict[str, int] = {name: int(counted.get(name, 0)) for name in OUTCOMES}
    expected = record.height - outcomes["aborted"]
    good = record.filter(answered())
    span_s = _span(record)
    of = {name: Distribution.of(_numbers(rows, name)) for name in LATENCIES if name in rows.columns}
    of["itl_s"] = Distribution.over(token_sums.later)
    of["token_latency_s"] = Distribution.over(token_sums.all)

    def rate(amount: float) -> float:
        return amount / span_s if span_s > 0 else float("nan")

    return Metrics(
        requests=record.height,
        outcomes=outcomes,
        failure_rate=wilson(float(record.select(failed().sum()).item()), float(expected)),
        span_s=span_s,
        throughput_tps=rate(float(good["response_tokens"].sum())),
        throughput_rps=rate(good.height),
        prompt_tps=rate(float(good["request_tokens"].fill_null(good["request_tokens_asked"]).sum())),
        latencies={name: of[name] for name in LATENCIES},
        goodput=_goodput(rows, slo, expected, span_s) if slo and slo.bounds() else None,
        retried=int((record["tries"] > 1).sum()),
        answers_without_token_count=int(good["response_tokens"].null_count()),
    )


def _goodput(rows: pl.DataFrame, slo: Slo, expected: int, span_s: float) -> Goodput:
    good = rows.filter(
        answered(),
        *(
            # One token has no time between tokens to be late in.
            (pl.col(name) <= bound) | ((pl.col("response_tokens") <= 1) if name == "tpot_s" else False)
            for name, bound in slo.bounds().items()
        ),
    ).height
    return Goodput(slo, good, wilson(good, expected), good / span_s if span_s > 0 else float("nan"))


def _quantiles(values: Array, weights: Array) -> Array:
    """The values at `QUANTILES`: where the sum of weights from the smallest up reaches each share."""
    shares = np.array(list(QUANTILES.values()))
    if weights.min() == weights.max():
        ranks = np.maximum(np.ceil(shares * len(values) - 1e-9).astype(int) - 1, 0)
        return np.asarray(np.partition(values, ranks)[ranks])
    order = np.argsort(values)
    reached = np.cumsum(weights[order])
    at = np.searchsorted(reached, shares * reached[-1] * (1 - 1e-12))
    return np.asarray(values[order[np.minimum(at, len(values) - 1)]])


def _span(record: pl.DataFrame) -> float:
    """From the first send to the last end, 0 if nothing was sent."""
    begin, end = record["sent_s"].min(), record["ended_s"].max()
    if not isinstance(begin, float) or not isinstance(end, float):
        return 0.0
    return max(end - begin, 0.0)


def _numbers(table: pl.DataFrame, name: str) -> Array:
    out: Array = table[name].drop_nulls().to_numpy()
    return out
