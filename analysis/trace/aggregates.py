"""Small summaries that several parts share: rolling up, box plots, resampled sums.

Not here: fits (see `stats.gamma`), and what any of it means for a trace.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from ..core.arrays import Array
from ..core.result import LEVEL, Interval

if TYPE_CHECKING:
    from .trace import Trace


WHISKER_IQR = 1.5
"""A box plot's whiskers reach to the outermost values within this many interquartile ranges."""


def named_members(trace: Trace) -> pl.DataFrame:
    """List the streams of each selection.

    Returns
    -------
    DataFrame
        `selection_id`, `selection` (its label), `service`, `model`, `stream_id`.
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


def ticks_in(trace: Trace, span_s: float) -> float:
    """Convert a span into ticks of the stamps' clock.

    Parameters
    ----------
    trace : Trace
    span_s : float
        In seconds.

    Returns
    -------
    float
        A whole number unless the span is shorter than a tick.
    """
    ticks = span_s / trace.info.resolution_s
    return float(round(ticks)) if ticks >= 1 else ticks


def sum_over_selections(trace: Trace, counts: pl.DataFrame, by: Sequence[str]) -> pl.DataFrame:
    """Sum counts per stream up to the selections.

    Parameters
    ----------
    trace : Trace
    counts : DataFrame
        With `stream_id`, the columns `by`, and columns to sum.
    by : sequence of str
        Columns to group by; each of their values has its own sum.

    Returns
    -------
    DataFrame
        `selection_id`, `by`, then the summed columns.
    """
    members = trace.engine.table("members")
    values = [c for c in counts.columns if c != "stream_id" and c not in by]
    kind = members.schema["selection_id"]
    parts = []
    for (selection,), streams in members.sort("selection_id").group_by("selection_id", maintain_order=True):
        rows = counts.join(streams, on="stream_id", how="semi")
        total = pl.col(*values).sum()
        summed = rows.group_by(by).agg(total).sort(by) if by else rows.select(total).head(rows.height)
        parts.append(summed.select(pl.lit(selection, dtype=kind).alias("selection_id"), *by, *values))
    return pl.concat(parts)


def box_plots(rows: pl.DataFrame, by: Sequence[str], value: str) -> pl.DataFrame:
    """Compute box plot statistics of a column in each group, quartiles by linear interpolation.

    Parameters
    ----------
    rows : DataFrame
    by : sequence of str
        Columns that name the groups.
    value : str
        The column to describe.

    Returns
    -------
    DataFrame
        `by`, `values` (how many there are), `mean`, `low` and `high` (whiskers: the outermost values within
        `WHISKER_IQR` interquartile ranges of the box), `q1`, `median`, `q3`, `outliers` (how many lie beyond
        the whiskers).
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


def resampled_sums(rng: np.random.Generator, blocks: Array, draws: int) -> Array:
    """Sum over blocks drawn with replacement, as many as there are.

    Parameters
    ----------
    rng : Generator
    blocks : array, shape (..., blocks, columns)
    draws : int

    Returns
    -------
    array, shape (..., draws, columns)
        The leading axes share the same draws.
    """
    n = blocks.shape[-2]
    drawn = rng.integers(0, n, size=(draws, n)) + n * np.arange(draws)[:, None]
    weights = np.bincount(drawn.ravel(), minlength=draws * n).reshape(draws, n).astype(float)
    return np.asarray(weights @ blocks)


def spread_of(value: float, resampled: Array) -> Interval:
    """Put the percentile interval of resampled copies around a value.

    Parameters
    ----------
    value : float
    resampled : array, shape (draws,)
        Copies that are not finite do not count.

    Returns
    -------
    Interval
        NaN ends for fewer than two finite copies.
    """
    known = resampled[np.isfinite(resampled)]
    if len(known) < 2:
        return Interval(value, float("nan"), float("nan"))
    low, high = np.quantile(known, [0.5 - LEVEL / 2, 0.5 + LEVEL / 2])
    return Interval(value, float(low), float(high))


def capitalize_sentence(sentence: str) -> str:
    """A sentence that starts with a selection's label: services as people write them, first letter large."""
    out = re.sub(r"\bapi\b", "API", sentence)
    return out[:1].upper() + out[1:]


def interval_columns(name: str, interval: Interval) -> dict[str, Any]:
    """Write an interval as three columns, the inverse of `interval_of`.

    Parameters
    ----------
    name : str
        Of the value's column; its ends get `_low` and `_high`.
    interval : Interval

    Returns
    -------
    dict
    """
    return {name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high}


def interval_of(row: dict[str, Any], name: str) -> Interval:
    """Read an interval from the three columns that `interval_columns` writes.

    Parameters
    ----------
    row : dict
    name : str
        Of the value's column.

    Returns
    -------
    Interval
    """
    return Interval(row[name], row[f"{name}_low"], row[f"{name}_high"])
