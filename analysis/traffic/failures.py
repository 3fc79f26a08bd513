"""How often requests fail: rates, their spread over days, failures against load, one model against another.

An operator sees days, and failures cluster in days. So each rate has two intervals: Wilson's, which takes
requests as independent, and one that resamples days. The pooled rate and the mean of the daily rates are
two numbers, and both are given. Not here: what counts as a failure (the log's reader says so in
`failure_rule`; in BurstGPT zero response tokens are a proxy for it).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Any, ClassVar

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import special

from ..core.arrays import Array, Mask
from ..core.result import LEVEL, Interval, estimates, percent
from ..core.units import MINUTE_S
from ..stats.proportions import newcombe, wilson, wilson_bounds
from ..stats.quantiles import student
from ..trace.aggregates import (
    box_plots,
    capitalize_sentence,
    interval_columns,
    interval_of,
    named_members,
    resampled_sums,
    spread_of,
    sum_over_selections,
    ticks_in,
)
from ..trace.trace import Trace
from ..trace.trace_part import PartInputs, TracePart

MIN_REQUESTS_IN_DAY = 20
"""A day's own rate is counted among the daily rates from this many requests on."""
LOAD_BINS = 10
"""Load is cut into about this many bins with equally many requests of the selection in each."""
MODELS_COMPARED = 6
"""Pairs are formed among this many models of a service, the busiest."""
MIN_DAYS = 3
"""From this number of days on, intervals treat days as independent."""
MIN_FAILURES = 10
"""From this number of failures on, the slope against load has an interval."""
DRAWS = 400
MAX_REASONS = 20
"""Reasons that are counted one by one, the most frequent; the rest together."""
REASONS_SHOWN = 6
"""Reasons in the sentence about them."""
NO_REASON, OTHER_REASONS = "no reason given", "other reasons"

KEYS = {"selection": pl.String, "service": pl.String, "model": pl.String}


RATES: dict[str, Any] = {
    **KEYS,
    "n": pl.Int64,
    "failed": pl.Int64,
    **estimates("rate"),
    "rate_days_low": pl.Float64,
    "rate_days_high": pl.Float64,
    "days": pl.Int64,
    **estimates("daily_mean", "overdispersion", "dispersion"),
}
DAILY: dict[str, Any] = {**KEYS, "day": pl.Int64, "n": pl.Int64, "failed": pl.Int64, **estimates("rate")}
DAILY_BOXES: dict[str, Any] = {
    **KEYS,
    "values": pl.Int64,
    **dict.fromkeys(("mean", "low", "q1", "median", "q3", "high"), pl.Float64),
    "outliers": pl.Int64,
}
LOAD: dict[str, Any] = {
    **KEYS,
    "load_low": pl.Int64,
    "load_high": pl.Int64,
    "load_mean": pl.Float64,
    "n": pl.Int64,
    "failed": pl.Int64,
    **estimates("rate"),
}
REASONS: dict[str, Any] = {**KEYS, "reason": pl.String, "n": pl.Int64, "share": pl.Float64}
SLOPES: dict[str, Any] = {**KEYS, **estimates("odds_ratio"), "days": pl.Int64}
MODEL_DIFFERENCES: dict[str, Any] = {
    "service": pl.String,
    "first": pl.String,
    "second": pl.String,
    "first_rate": pl.Float64,
    "second_rate": pl.Float64,
    **estimates("difference"),
    "difference_days_low": pl.Float64,
    "difference_days_high": pl.Float64,
}


@dataclass(frozen=True)
class Failures(TracePart):
    """Failure rates of a trace; frames start with selection, service, model unless they compare models."""

    name: ClassVar[str] = "failures"
    lead: ClassVar[str] = "Requests that failed: how often, when and why."

    rule: str | None
    """What counted as a failure, in words."""
    rates: pl.DataFrame
    """Per selection: pooled `rate` with Wilson's interval, `rate_days_…` the interval from resampled days;
    `daily_mean` of the `days` with enough requests; `overdispersion` ρ, the correlation of two requests of a
    day (0 if failures were independent), and `dispersion`, how many times the variance between days is that
    of independent failures. Intervals but the first come from resampled days; NaN with fewer than three."""
    daily_boxes: pl.DataFrame
    """Box plot statistics of daily rates over `values` days."""
    daily: pl.DataFrame
    """Failure rate per selection and day with Wilson's interval."""
    load: pl.DataFrame
    """Failure rate by the number of requests of all services in the same minute."""
    slopes: pl.DataFrame
    """Odds of failing multiplied by `odds_ratio` when the load of the minute doubles (logistic regression,
    errors robust to days; no interval with fewer than three days or ten failures)."""
    compared: pl.DataFrame
    """First model's rate minus the second's in a service (null: all), by Newcombe and by resampled days."""
    reasons: pl.DataFrame
    """Failed requests by the reason that the log gives, most frequent first, and their `share` of the failed;
    `NO_REASON` counts those without one. No rows if the log has no reasons."""

    @classmethod
    def describe(cls, inputs: PartInputs) -> Failures:
        """See `describe_failures`."""
        return describe_failures(inputs.trace, seed=inputs.seed)

    def tables(self) -> dict[str, pl.DataFrame]:
        """Rates first; reasons if the log has any."""
        return {
            "rates": self.rates,
            **({"reasons": self.reasons} if self.reasons.height else {}),
            "daily_boxes": self.daily_boxes,
            "compared": self.compared,
            "load": self.load,
            "slopes": self.slopes,
            "daily": self.daily,
        }

    def sentences(self) -> list[str]:
        """Rates by service, reasons, models compared, days, load."""
        return [capitalize_sentence(sentence) for sentence in _sentences(self)]


def describe_failures(trace: Trace, seed: int = 0) -> Failures:
    """Estimate failure rates of every selection, over days, by load and between models.

    Parameters
    ----------
    trace : Trace
    seed : int
        Of the resampling of days.
    """
    info = trace.info
    if not info.has_failures:
        return Failures(
            missing=("The log does not say which requests failed.",),
            rule=None,
            rates=pl.DataFrame(schema=RATES),
            daily_boxes=pl.DataFrame(schema=DAILY_BOXES),
            daily=pl.DataFrame(schema=DAILY),
            load=pl.DataFrame(schema=LOAD),
            slopes=pl.DataFrame(schema=SLOPES),
            compared=pl.DataFrame(schema=MODEL_DIFFERENCES),
            reasons=pl.DataFrame(schema=REASONS),
        )
    rng = np.random.default_rng(seed)
    streams = trace.engine.ask("minute_load", minute_ticks=ticks_in(trace, MINUTE_S))
    names = named_members(trace).drop("stream_id").unique("selection_id").sort("selection_id")
    daily = sum_over_selections(trace, streams.drop("load"), by=("day",))
    rated = daily.filter(pl.col("n") >= MIN_REQUESTS_IN_DAY).with_columns(rate=pl.col("failed") / pl.col("n"))
    load, slopes = _against_load(sum_over_selections(trace, streams, by=("day", "load")))
    missing = []
    if daily["day"].n_unique() < 2:
        missing.append("The record covers a single day, so failures cannot be compared between days.")
    return Failures(
        missing=tuple(missing),
        rule=info.failure_rule,
        rates=_with_names(names, _rates(daily, rng), RATES),
        daily_boxes=_with_names(names, box_plots(rated, ("selection_id",), "rate"), DAILY_BOXES),
        daily=_with_names(names, _with_wilson(daily), DAILY),
        load=_with_names(names, load, LOAD),
        slopes=_with_names(names, slopes, SLOPES),
        compared=_compared(trace, streams, rng),
        reasons=_with_names(names, _reasons(trace), REASONS),
    )


def _reasons(trace: Trace) -> pl.DataFrame:
    """Rows of `reasons`."""
    if "reason" not in trace.optional:
        return pl.DataFrame()
    counts = trace.engine.ask("failure_reasons", max_reasons=MAX_REASONS).select(
        "stream_id",
        pl.when("absent")
        .then(pl.lit(NO_REASON))
        .otherwise(pl.col("reason").cast(pl.String).fill_null(OTHER_REASONS))
        .alias("reason"),
        "n",
    )
    rows = sum_over_selections(trace, counts, by=("reason",)).with_columns(
        share=pl.col("n") / pl.col("n").sum().over("selection_id")
    )
    last = pl.col("reason").is_in([NO_REASON, OTHER_REASONS])
    return rows.sort("selection_id", last, "n", "reason", descending=[False, False, True, False])


def _with_names(names: pl.DataFrame, rows: pl.DataFrame, schema: dict[str, Any]) -> pl.DataFrame:
    """Put the selections' names before the columns of `schema`."""
    if rows.is_empty():
        return pl.DataFrame(schema=schema)
    keyed = rows.with_columns(pl.col("selection_id").cast(names.schema["selection_id"]))
    joined = names.join(keyed, on="selection_id", maintain_order="left_right")
    return joined.select(pl.col(column).cast(kind) for column, kind in schema.items())


def _with_wilson(counts: pl.DataFrame) -> pl.DataFrame:
    """Add `rate` with Wilson's interval to rows of `n` and `failed`."""
    n, failed = (counts[column].to_numpy().astype(float) for column in ("n", "failed"))
    low, high = wilson_bounds(failed, n)
    return counts.with_columns(
        pl.Series("rate", failed / n), pl.Series("rate_low", low), pl.Series("rate_high", high)
    )


def _rates(daily: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    """Rows of `rates`."""
    rows = []
    for (selection_id,), of in daily.group_by("selection_id", maintain_order=True):
        n, failed = of["n"].to_numpy().astype(float), of["failed"].to_numpy().astype(float)
        enough = n >= MIN_REQUESTS_IN_DAY
        days = np.stack([n, failed], axis=1)
        drawn = _draw_days(rng, days)
        with np.errstate(divide="ignore", invalid="ignore"):
            by_days = spread_of(float(failed.sum() / n.sum()), drawn[:, 1] / drawn[:, 0])
        rows.append(
            {
                "selection_id": selection_id,
                "n": int(n.sum()),
                "failed": int(failed.sum()),
                **interval_columns("rate", wilson(failed.sum(), n.sum())),
                "rate_days_low": by_days.low,
                "rate_days_high": by_days.high,
                "days": int(enough.sum()),
                **_spread_over_days(n[enough], failed[enough], rng),
            }
        )
    return pl.DataFrame(rows)


def _draw_days(rng: np.random.Generator, days: Array) -> Array:
    """Sums over days drawn with replacement; no row if there are too few days."""
    return resampled_sums(rng, days, DRAWS) if len(days) >= MIN_DAYS else np.empty((0, days.shape[1]))


def _spread_over_days(n: Array, failed: Array, rng: np.random.Generator) -> dict[str, float]:
    """Mean of daily rates and what independent failures would not do, by resampling days."""
    if len(n) < 2:
        nothing = Interval(float("nan"), float("nan"), float("nan"))
        mean = nothing if not len(n) else Interval(float(failed[0] / n[0]), float("nan"), float("nan"))
        return {
            **interval_columns("daily_mean", mean),
            **interval_columns("overdispersion", nothing),
            **interval_columns("dispersion", nothing),
        }
    rate = failed / n
    # Sums over days of: 1, rate, n, n², failed, failed²/n. Everything below is a function of these.
    sums = np.stack([np.ones_like(n), rate, n, n**2, failed, failed**2 / n], axis=1)
    drawn = _draw_days(rng, sums)
    total = sums.sum(axis=0)
    return {
        **interval_columns("daily_mean", spread_of(float(rate.mean()), drawn[:, 1] / drawn[:, 0])),
        **interval_columns("overdispersion", spread_of(float(overdispersion(total)), overdispersion(drawn))),
        **interval_columns("dispersion", spread_of(float(dispersion(total)), dispersion(drawn))),
    }


def overdispersion(sums: Array) -> Array:
    """Estimate the intraclass correlation of failures within days, the ρ of a beta-binomial law.

    With Beta(a, b) daily probabilities it is 1 / (a + b + 1).

    Parameters
    ----------
    sums : array, shape (..., 6)
        Sums over days of 1, rate, n, n², failed, failed²/n.

    Returns
    -------
    array, shape (...)
        Near or below 0 if failures are independent.

    References
    ----------
    Ridout, Demétrio and Firth, Biometrics 55 (1999), the ANOVA estimator.
    """
    days, _, n, squares, failed, explained = np.moveaxis(np.asarray(sums, dtype=float), -1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = (explained - failed**2 / n) / (days - 1)
        within = (failed - explained) / (n - days)
        size = (n - squares / n) / (days - 1)
        return np.asarray((between - within) / (between + (size - 1) * within))


def dispersion(sums: Array) -> Array:
    """Compute Pearson's χ² of daily failures over its degrees of freedom.

    Parameters
    ----------
    sums : array, shape (..., 6)
        As `overdispersion` takes them.

    Returns
    -------
    array, shape (...)
        1 if failures are independent.
    """
    days, _, n, _, failed, explained = np.moveaxis(np.asarray(sums, dtype=float), -1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = failed / n
        return np.asarray((explained - n * rate**2) / (rate * (1 - rate)) / (days - 1))


def _against_load(rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows of `load` and of `slopes` from requests and failures by selection, day and load."""
    bins: list[dict[str, Any]] = []
    slopes: list[dict[str, Any]] = []
    for (selection_id,), of in rows.group_by("selection_id", maintain_order=True):
        load, n, failed = (of[c].to_numpy().astype(float) for c in ("load", "n", "failed"))
        for low, high, mask in _load_bins(load, n):
            bins.append(
                {
                    "selection_id": selection_id,
                    "load_low": int(low),
                    "load_high": int(high),
                    "load_mean": float(load[mask] @ n[mask] / n[mask].sum()),
                    "n": int(n[mask].sum()),
                    "failed": int(failed[mask].sum()),
                }
            )
        _, day = np.unique(of["day"].to_numpy(), return_inverse=True)
        slopes.append(
            {
                "selection_id": selection_id,
                **interval_columns("odds_ratio", odds_per_doubling(load, n, failed, day)),
                "days": int(day.max()) + 1,
            }
        )
    return _with_wilson(pl.DataFrame(bins)), pl.DataFrame(slopes)


def _load_bins(load: Array, n: Array) -> Iterator[tuple[float, float, Mask]]:
    """Ranges of load with about equally many requests: lowest and highest load in each, and its rows."""
    order = np.argsort(load, kind="stable")
    share = np.cumsum(n[order]) / n.sum()
    cuts = np.unique(load[order][np.searchsorted(share, np.arange(1, LOAD_BINS) / LOAD_BINS)])
    place = np.searchsorted(cuts, load, side="left")
    for at in np.unique(place):
        mask = place == at
        yield float(load[mask].min()), float(load[mask].max()), mask


def odds_per_doubling(load: Array, n: Array, failed: Array, day: NDArray[np.intp]) -> Interval:
    """Estimate the factor of the odds of failing per doubling of load.

    Logistic regression on log2 of load, with days as clusters for the error.

    Parameters
    ----------
    load : array, shape (k,)
        Above zero, one a group of requests.
    n, failed : array, shape (k,)
        Requests of the group, and failed ones among them.
    day : array of int, shape (k,)
        Index of the day, from 0.

    Returns
    -------
    Interval
        NaN if nothing or everything failed or the load never changes; NaN ends with fewer than `MIN_DAYS`
        days or `MIN_FAILURES` failures.

    References
    ----------
    Liang and Zeger, Biometrika 73 (1986).
    """
    unknown = Interval(float("nan"), float("nan"), float("nan"))
    x = np.log2(load)
    if failed.sum() in (0, n.sum()) or np.ptp(x) == 0:
        return unknown
    design = np.stack([np.ones_like(x), x - np.average(x, weights=n)], axis=1)
    theta = np.array([special.logit(failed.sum() / n.sum()), 0.0])
    for _ in range(50):
        probability = special.expit(design @ theta)
        bread = np.linalg.pinv((design * (n * probability * (1 - probability))[:, None]).T @ design)
        step = bread @ (design.T @ (failed - n * probability))
        theta = theta + np.clip(step, -2, 2)
        if np.abs(step).max() < 1e-10:
            break
    else:
        return unknown
    clusters = int(day.max()) + 1
    if clusters < MIN_DAYS or failed.sum() < MIN_FAILURES:
        return Interval(float(np.exp(theta[1])), float("nan"), float("nan"))
    score = np.zeros((clusters, 2))
    np.add.at(score, day, design * (failed - n * special.expit(design @ theta))[:, None])
    variance = bread @ (score.T @ score) @ bread * clusters / (clusters - 1)
    reach = student(0.5 + LEVEL / 2, clusters - 1) * np.sqrt(variance[1, 1])
    with np.errstate(over="ignore"):
        return Interval(*(float(np.exp(theta[1] + side * reach)) for side in (0, -1, 1)))


def _compared(trace: Trace, streams: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    """Rows of `compared`: within all services together, then within each that has several models."""
    named = trace.engine.table("streams").select("stream_id", "service", "model")
    daily = streams.group_by("stream_id", "day").agg(pl.col("n", "failed").sum()).join(named, on="stream_id")
    daily = daily.filter(pl.col("model").is_not_null())
    # In the order of streams, which names that are hashes do not change.
    services = daily.sort("stream_id")["service"].unique(maintain_order=True).to_list()
    rows = []
    for service in (None, *(services if len(services) > 1 else ())):
        own = daily if service is None else daily.filter(pl.col("service") == service)
        sums = own.group_by("model").agg(pl.col("n").sum(), pl.col("stream_id").min())
        busiest = sums.sort("n", "stream_id", descending=[True, False])
        models = busiest["model"].head(MODELS_COMPARED).to_list()
        for first, second in combinations(models, 2):
            rows.append({"service": service, **_difference(own, first, second, rng)})
    return pl.DataFrame(rows, schema=MODEL_DIFFERENCES)


def _difference(daily: pl.DataFrame, first: str, second: str, rng: np.random.Generator) -> dict[str, Any]:
    """Two models' rates and their difference, days drawn for both together."""
    days = np.unique(daily["day"].to_numpy())
    sums = np.zeros((len(days), 4))
    for at, model in ((0, first), (2, second)):
        own = daily.filter(pl.col("model") == model)
        place = np.searchsorted(days, own["day"].to_numpy())
        np.add.at(sums[:, at], place, own["failed"].to_numpy())
        np.add.at(sums[:, at + 1], place, own["n"].to_numpy())
    total = sums.sum(axis=0)
    drawn = _draw_days(rng, sums)
    with np.errstate(divide="ignore", invalid="ignore"):
        resampled = drawn[:, 0] / drawn[:, 1] - drawn[:, 2] / drawn[:, 3]
    difference = newcombe((total[0], total[2]), (total[1], total[3]))
    by_days = spread_of(difference.value, resampled)
    return {
        "first": first,
        "second": second,
        "first_rate": total[0] / total[1],
        "second_rate": total[2] / total[3],
        **interval_columns("difference", difference),
        "difference_days_low": by_days.low,
        "difference_days_high": by_days.high,
    }


def _sentences(part: Failures) -> Iterator[str]:
    """Findings, most important first."""
    several = part.rates["service"].is_not_null().any()
    rows = part.rates.filter(pl.col("model").is_null(), pl.col("service").is_not_null() == several)
    for row in rows.iter_rows(named=True):
        who = "requests" if row["service"] is None else f"{row['selection']} requests"
        days = f" Resampling days gives {row['rate_days_low']:.2%} to {row['rate_days_high']:.2%}."
        yield (
            f"{interval_of(row, 'rate'):.2%} of {who} fail ({row['failed']:,} of {row['n']:,})."
            f"{days if np.isfinite(row['rate_days_low']) else ''}"
        )
    reasons = part.reasons.filter(pl.col("selection") == "all").rows(named=True)
    if reasons:
        listed = [
            f"{row['reason']} ({row['n']:,}, {percent(row['share'])})" for row in reasons[:REASONS_SHOWN]
        ]
        rest = sum(row["n"] for row in reasons[REASONS_SHOWN:])
        yield f"why they failed: {', '.join(listed)}{f', and {rest:,} for other reasons' if rest else ''}."
    for row in part.compared.iter_rows(named=True):
        where = "" if row["service"] is None else f" in {row['service']}"
        by_days = np.isfinite(row["difference_days_low"])
        kind = "difference_days" if by_days else "difference"
        low, high = row[f"{kind}_low"], row[f"{kind}_high"]
        how = "fails more often than" if low > 0 else "fails less often than" if high < 0 else None
        if row["first_rate"] == row["second_rate"] == 0:
            yield (
                f"too few requests of {row['first']} and {row['second']}{where} to compare failure rates: "
                "none failed."
            )
            continue
        compared = f"{row['first']} {how} {row['second']}{where}"
        if how is None:
            compared = f"cannot tell whether {row['first']} or {row['second']} fails more often{where}"
        yield (
            f"{compared}: {row['first_rate']:.2%} against {row['second_rate']:.2%}, a difference of "
            f"{100 * row['difference']:.2f} [{100 * low:.2f}, {100 * high:.2f}] points"
            f"{' with days resampled' if by_days else ''}."
        )
    for row in rows.iter_rows(named=True):
        if not row["overdispersion_low"] > 0:
            continue
        yield (
            f"failures of {row['selection']} requests come in bad days: between days they vary "
            f"{interval_of(row, 'dispersion'):.1f} times as much as independent failures would. The mean of "
            f"the daily rates is {row['daily_mean']:.2%}, the rate of all requests {row['rate']:.2%}."
        )
    slopes = {row["selection"]: interval_of(row, "odds_ratio") for row in part.slopes.iter_rows(named=True)}
    for selection in rows["selection"]:
        ratio = slopes[selection]
        if np.isfinite(ratio.low):
            change = "rise" if ratio.low > 1 else "fall" if ratio.high < 1 else "do not visibly change"
            yield (
                f"the odds of failing of {selection} requests {change} with the load of the minute "
                f"(times {ratio:.2f} when the load doubles)."
            )
    if part.rule:
        proxy = " That is what the log shows, not what the server reported." if "tokens" in part.rule else ""
        yield f"a request counts as failed if {part.rule}.{proxy}"
