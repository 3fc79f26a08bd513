"""Small summaries that several parts share: rolling up, box plots, proportions, resampled sums.

Not here: fits (see `likelihood`), and what any of it means for a trace.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import stats

from .result import LEVEL, Interval
from .trace import Trace

Array = NDArray[np.float64]

WHISKER_IQR = 1.5
"""A box plot's whiskers reach to the outermost values within this many interquartile ranges."""


def named_members(trace: Trace) -> pl.DataFrame:
    """Which streams each selection holds.

    Columns: `selection_id`, `selection` (its label), `service`, `model`, `stream_id`.
    """
    names = pl.DataFrame(
        {
            "selection_id": [s.selection_id for s in trace.selections],
            "selection": [s.label for s in trace.selections],
            "service": [s.service for s in trace.selections],
            "model": [s.model for s in trace.selections],
        },
        schema={"selection_id": pl.Int16, "selection": pl.String, "service": pl.String, "model": pl.String},
    )
    return names.join(trace.engine.table("members"), on="selection_id").sort("selection_id", "stream_id")


def over_selections(trace: Trace, counts: pl.DataFrame, by: Sequence[str]) -> pl.DataFrame:
    """Roll counts per `stream_id` and `by` up to the selections; the other columns are summed."""
    held = trace.engine.table("members").join(counts, on="stream_id")
    values = [c for c in counts.columns if c != "stream_id" and c not in by]
    return held.group_by("selection_id", *by).agg(pl.col(*values).sum()).sort("selection_id", *by)


def boxes(rows: pl.DataFrame, by: Sequence[str], value: str) -> pl.DataFrame:
    """Box plot statistics of `value` in each group of `by`, quartiles by linear interpolation.

    Columns: `by`, `values` (how many there are), `mean`, `low` and `high` (whiskers: the outermost values
    within `WHISKER_IQR` interquartile ranges of the box), `q1`, `median`, `q3`, `outliers` (how many lie
    beyond the whiskers).
    """
    x = pl.col(value).cast(pl.Float64)
    fenced = (
        rows.with_columns(
            x.quantile(0.25, "linear").over(*by).alias("q1"), x.quantile(0.75, "linear").over(*by).alias("q3")
        )
        .with_columns(reach=WHISKER_IQR * (pl.col("q3") - pl.col("q1")))
        .with_columns(inside=x.is_between(pl.col("q1") - pl.col("reach"), pl.col("q3") + pl.col("reach")))
    )
    return (
        fenced.group_by(*by)
        .agg(
            pl.len().cast(pl.Int64).alias("values"),
            x.mean().alias("mean"),
            x.filter(pl.col("inside")).min().alias("low"),
            pl.col("q1").first(),
            x.median().alias("median"),
            pl.col("q3").first(),
            x.filter(pl.col("inside")).max().alias("high"),
            (~pl.col("inside")).sum().cast(pl.Int64).alias("outliers"),
        )
        .sort(*by)
    )


def wilson(hits: float, n: float, level: float = LEVEL) -> Interval:
    """A proportion with Wilson's score interval (1927); the whole of [0, 1] when `n` is 0."""
    if n <= 0:
        return Interval(float("nan"), 0.0, 1.0, level)
    z = stats.norm.ppf(0.5 + level / 2)
    share = hits / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return Interval(share, max(0.0, float(centre - half)), min(1.0, float(centre + half)), level)


def newcombe(hits: tuple[float, float], n: tuple[float, float]) -> Interval:
    """First proportion minus the second, with Newcombe's interval (1998, method 10)."""
    first, second = wilson(hits[0], n[0]), wilson(hits[1], n[1])
    difference = first.value - second.value
    low = difference - np.hypot(first.value - first.low, second.high - second.value)
    high = difference + np.hypot(first.high - first.value, second.value - second.low)
    return Interval(difference, float(low), float(high))


def resampled_sums(rng: np.random.Generator, blocks: Array, draws: int) -> Array:
    """Sums over blocks drawn with replacement, as many as there are: (blocks, columns) → (draws, columns)."""
    n = len(blocks)
    weights = rng.multinomial(n, np.full(n, 1 / n), size=draws)
    return np.asarray(weights @ blocks)


def spread_of(value: float, resampled: Array) -> Interval:
    """A value with the percentile interval of its resampled copies, undefined copies left out."""
    known = resampled[np.isfinite(resampled)]
    if len(known) < 2:
        return Interval(value, float("nan"), float("nan"))
    low, high = np.quantile(known, [0.5 - LEVEL / 2, 0.5 + LEVEL / 2])
    return Interval(value, float(low), float(high))


def spoken(sentence: str) -> str:
    """A sentence that starts with a selection's label: services as people write them, first letter large."""
    out = re.sub(r"\bapi\b", "API", sentence)
    return out[:1].upper() + out[1:]


def flat(name: str, interval: Interval) -> dict[str, Any]:
    """An interval as three columns."""
    return {name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high}


def interval_of(row: dict[str, Any], name: str) -> Interval:
    """Back from three columns."""
    return Interval(row[name], row[f"{name}_low"], row[f"{name}_high"])
