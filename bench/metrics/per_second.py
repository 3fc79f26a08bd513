"""A run second by second: requests planned, sent and ended, the paper's sliding metrics, the server's gauges.

Not here: averages over the whole run (see `measures`), and drawing. Definitions:
`docs/explanation/metrics.md`.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ...analysis.core.arrays import Array, Integers, Mask
from ..record.models import OUTCOMES
from .measures import answered, failed, tokens
from .token_latency import TokenSums

WINDOW_S = 10
"""Default length of the sliding window, as long as several answers to short prompts."""
GAUGES = ("kv_cache_use", "running", "waiting")
COUNTERS = ("preemptions", "rejections")


def seconds(
    record: pl.DataFrame,
    server: pl.DataFrame | None = None,
    *,
    window_s: int = WINDOW_S,
    token_sums: TokenSums | None = None,
) -> pl.DataFrame:
    """Tabulate a run second by second, from 0 to the last instant in the record.

    Parameters
    ----------
    record
        Columns of `record.models.SCHEMA`; with `token_sums`, its lists may be missing.
    server
        Samples of the server, columns of `record.models.SERVER_SCHEMA`.
    window_s
        Length of the sliding window, whole seconds.
    token_sums
        Sums of what `measures.tokens` returns for the record; computed if not given.

    Returns
    -------
    pl.DataFrame
        One row a second. `second` is its start; `asked`, `sent`, `ended` and one column an outcome count
        requests by their intended instant, send and end; then `failed`; `tokens` that came; `in_flight`, the
        mean over the second. `failure_rate`, `token_latency_s`, `token_latency_sd_s`, `throughput_tps` and
        `throughput_rps` are over the `window_s` seconds up to the end of this one (null if nothing came,
        fewer seconds at the start of the run). The server's gauges are means of the samples in the second,
        its counters what they rose by, null without samples.

    Raises
    ------
    ValueError
        If the window is not an integer number of seconds, or below 1.
    """
    if window_s != int(window_s) or window_s < 1:
        raise ValueError(f"the sliding window must be whole seconds, 1 or more, not {window_s:g}")
    window = int(window_s)
    n = _length(record)
    ended = record.filter(pl.col("ended_s").is_not_null())
    counts: dict[str, Integers] = {
        "asked": _count(record["intended_s"], n),
        "sent": _count(record["sent_s"], n),
        "ended": _count(ended["ended_s"], n),
        **{name: _count(ended.filter(pl.col("outcome") == name)["ended_s"], n) for name in OUTCOMES},
    }
    bad, good = (_count(ended.filter(which)["ended_s"], n) for which in (failed(), answered()))
    token_sums = TokenSums.of([tokens(record)]) if token_sums is None else token_sums
    chunks, *moments = token_sums.by_second.within(n)
    in_window = [_sliding(each, window) for each in moments]
    some = _sliding(chunks, window) > 0
    mean, square = (_ratio(each, in_window[0], some) for each in in_window[1:])
    covered_s = np.minimum(np.arange(1, n + 1), window)
    done = _sliding(bad + good, window)
    table = pl.DataFrame(
        {
            "second": np.arange(n),
            **counts,
            "failed": bad,
            "tokens": moments[0],
            "in_flight": _in_flight(record, n),
            "failure_rate": _ratio(_sliding(bad, window), done, done > 0),
            "token_latency_s": mean + token_sums.by_second.centre_s,
            "token_latency_sd_s": np.sqrt(np.maximum(square - mean**2, 0.0)),
            "throughput_tps": in_window[0] / covered_s,
            "throughput_rps": _sliding(good, window) / covered_s,
        }
    )
    return _with_server(table.fill_nan(None), server)


def _length(record: pl.DataFrame) -> int:
    """Seconds that the record reaches over, at least 1."""
    last = [record[name].max() for name in ("intended_s", "sent_s", "ended_s")]
    return int(max([0.0, *(value for value in last if isinstance(value, float))])) + 1


def _second(instants: pl.Series, n: int) -> Integers:
    """Index of the second of each instant that is known; what lies outside counts at the edge."""
    at: Array = np.floor(instants.drop_nulls().to_numpy())
    return np.asarray(np.clip(at, 0, n - 1), dtype=np.int64)


def _count(instants: pl.Series, n: int) -> Integers:
    out: Integers = np.bincount(_second(instants, n), minlength=n)
    return out


def _sliding(values: NDArray, window: int) -> Array:
    """Sum over the last `window` values up to each, fewer at the start.

    Sums, not differences of running sums: what is zero stays exactly zero.
    """
    window = min(window, len(values))
    padded = np.concatenate([np.zeros(window - 1), values])
    out: Array = np.lib.stride_tricks.sliding_window_view(padded, window).sum(axis=1)
    return out


def _ratio(above: Array, below: Array, known: Mask) -> Array:
    """Quotients where they are known, NaN elsewhere."""
    out: Array = np.divide(above, below, out=np.full(len(above), np.nan), where=known)
    return out


def _in_flight(record: pl.DataFrame, n: int) -> Array:
    """Mean number of requests between send and end in each second: sum of times after, differenced."""
    flown = record.filter(pl.col("sent_s").is_not_null() & pl.col("ended_s").is_not_null())
    edges = np.arange(n + 1, dtype=float)

    def time_after(instants: Array) -> Array:
        ordered = np.sort(instants)
        before = np.searchsorted(ordered, edges)
        sums: Array = np.concatenate([[0.0], np.cumsum(ordered)])
        return np.asarray(before * edges - sums[before])

    spent = time_after(flown["sent_s"].to_numpy()) - time_after(flown["ended_s"].to_numpy())
    return np.maximum(np.diff(spent), 0.0)


def _with_server(table: pl.DataFrame, server: pl.DataFrame | None) -> pl.DataFrame:
    """The table with the server's samples, null for seconds without a sample."""
    if server is None or server.is_empty():
        return table.with_columns(pl.lit(None, dtype=pl.Float64).alias(name) for name in GAUGES + COUNTERS)
    sampled = (
        server.sort("at_s", maintain_order=True)
        .group_by(pl.col("at_s").floor().cast(pl.Int64).alias("second"))
        .agg(pl.col(GAUGES).mean(), pl.col(COUNTERS).last())
        .sort("second")
        # A counter that falls was restarted: it has risen from zero.
        .with_columns(
            pl.when(pl.col(name).diff() < 0).then(name).otherwise(pl.col(name).diff()).alias(name)
            for name in COUNTERS
        )
    )
    return table.join(sampled, on="second", how="left", maintain_order="left")
