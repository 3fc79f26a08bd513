"""Sessions as arrays, and estimates that take a session, not an interval, as the independent thing.

Means over sessions and shares of intervals have cluster-robust errors; quantiles of intervals have Woodruff's
intervals (1952): the quantile's own share of each session's intervals, turned back into seconds. Not here:
what is computed of sessions (see `conversations.part`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from ..core.arrays import Array, Integers, Mask
from ..core.result import LEVEL, Interval
from ..stats.proportions import wilson
from ..stats.quantiles import ranks, student
from ..trace.trace import Selection, Trace

EDGE = 0.9
"""A session may be cut by an edge of the record that is nearer than this quantile of all intervals."""
BINS = (*range(1, 11), 11, 16, 21, 31, 51)
"""First number of turns of each row of the tables by turns, from 2; the last row is open."""


def exceeds_fetch_limit(trace: Trace) -> bool:
    """Return whether more requests name a session than the engine hands over.

    Intervals are fitted one by one in this process.
    """
    limit = trace.engine.fetch_limit_rows
    return limit is not None and trace.engine.ask("session_rows")["n"].item() > limit


def by_service(trace: Trace) -> Iterator[tuple[Selection, pl.DataFrame]]:
    """Fetch requests with a session, service by service (all together if there is one service).

    Parameters
    ----------
    trace : Trace

    Yields
    ------
    selection : Selection
    requests : DataFrame
        Never empty.
    """
    rows = trace.engine.ask("session_requests")
    members = trace.engine.table("members")
    several = any(s.service is not None and s.model is None for s in trace.selections)
    for selection in trace.selections:
        if selection.model is None and (selection.service is not None) == several:
            streams = members.filter(pl.col("selection_id") == selection.selection_id)["stream_id"]
            own = rows.filter(pl.col("stream_id").is_in(streams.implode()))
            if not own.is_empty():
                yield selection, own


@dataclass(frozen=True)
class Sessions:
    """Sessions as arrays: one entry a session, or one an interval with the index of its session."""

    turns: Integers
    near_edge: Mask
    """First or last request nearer to an edge of the record than most intervals are long."""
    near_s: float
    gap_s: Array
    """From request to request, shape (intervals,)."""
    idle_s: Array | None
    """From the end of the previous response, as far as known (NaN elsewhere); None without elapsed times."""
    owner: Integers
    """Index of the session of each interval."""

    @classmethod
    def of(cls, rows: pl.DataFrame, step_s: float, edges: list[tuple[float, float]]) -> Sessions:
        """Build sessions from requests.

        Parameters
        ----------
        rows : DataFrame
            With `session_number`, `tick` and `elapsed_s`, in any order.
        step_s : float
            Length of a tick in seconds.
        edges : list of (float, float)
            First and last second of each range of time that the record covers.
        """
        ordered = rows.sort("session_number", "tick", "elapsed_s")
        number = ordered["session_number"].to_numpy()
        tick = ordered["tick"].to_numpy().astype(np.int64)
        at_s = np.asarray(tick * step_s, dtype=float)
        new = np.concatenate(([True], number[1:] != number[:-1]))
        starts = np.flatnonzero(new)
        turns = np.diff(np.append(starts, len(number)))
        session = np.cumsum(new) - 1
        inner = np.flatnonzero(~new)
        gap_s = np.asarray((tick[inner] - tick[inner - 1]) * step_s, dtype=float)
        elapsed = ordered["elapsed_s"].cast(pl.Float64).fill_null(float("nan")).to_numpy()
        idle_s = gap_s - elapsed[inner - 1]
        near_s = float(np.quantile(gap_s, EDGE)) if len(gap_s) else 0.0
        return cls(
            turns=turns,
            near_edge=_near_edge(at_s[starts], at_s[starts + turns - 1], edges, near_s),
            near_s=near_s,
            gap_s=gap_s,
            idle_s=idle_s if np.isfinite(idle_s).any() else None,
            owner=session[inner],
        )

    def only(self, mask: Mask) -> Sessions:
        """The sessions of a mask."""
        interval_mask = mask[self.owner]
        index = np.cumsum(mask) - 1
        return Sessions(
            turns=self.turns[mask],
            near_edge=self.near_edge[mask],
            near_s=self.near_s,
            gap_s=self.gap_s[interval_mask],
            idle_s=None if self.idle_s is None else self.idle_s[interval_mask],
            owner=index[self.owner[interval_mask]],
        )

    def sums(self, values: Array) -> Array:
        """Sum over each session's intervals, shape (sessions,)."""
        return np.bincount(self.owner, values, minlength=len(self.turns)).astype(float)


def _near_edge(first_s: Array, last_s: Array, edges: list[tuple[float, float]], near_s: float) -> Mask:
    """Whether a session begins or ends within `near_s` of where its segment, or its kind of request, does."""
    out = np.zeros(len(first_s), dtype=bool)
    for start_s, end_s in edges:
        begun = (first_s >= start_s) & (first_s <= end_s)
        ended = (last_s >= start_s) & (last_s <= end_s)
        if begun.any():
            out |= begun & (first_s - first_s[begun].min() < near_s)
        if ended.any():
            out |= ended & (last_s[ended].max() - last_s < near_s)
    return out


def mean_over(sessions: Sessions, values: Array, known: Mask | None = None) -> Interval:
    """Estimate the mean of non-negative values over intervals, with sessions as clusters.

    Parameters
    ----------
    sessions : Sessions
    values : array, shape (intervals,)
    known : mask, shape (intervals,), optional
        Intervals that count; all by default.

    Returns
    -------
    Interval
        Its ends show what sessions drawn anew would change; NaN for fewer than two sessions.
    """
    mean, error, clusters = _cluster_mean(sessions, values, known)
    if clusters < 2:
        return Interval(mean, float("nan"), float("nan"))
    reach = student(0.5 + LEVEL / 2, clusters - 1) * error
    return Interval(mean, mean - reach, mean + reach)


def share_over(sessions: Sessions, hits: Mask, known: Mask | None = None) -> Interval:
    """Estimate a share of intervals, with sessions as clusters.

    Wilson's formula at the number of independent intervals that errors amount to. That number lies between
    the sessions' and the intervals'; it is the sessions' where all agree.

    Parameters
    ----------
    sessions : Sessions
    hits : mask, shape (intervals,)
    known : mask, shape (intervals,), optional
        Intervals that count; all by default.

    Returns
    -------
    Interval
    """
    share, error, clusters = _cluster_mean(sessions, hits.astype(float), known)
    n = len(hits) if known is None else int(known.sum())
    amount = share * (1 - share) / error**2 if error > 0 else float(clusters)
    found = wilson(share * min(max(amount, clusters), n), min(max(amount, clusters), n))
    return Interval(share, found.low, found.high)


def quantile_over(sessions: Sessions, values: Array, probability: float) -> Interval:
    """Estimate a lower quantile of values over intervals, with Woodruff's interval and sessions as clusters.

    Parameters
    ----------
    sessions : Sessions
    values : array, shape (intervals,)
        NaN if unknown; at least one is known.
    probability : float

    Returns
    -------
    Interval
        In the unit of `values`; an end at or beyond the largest value is NaN, since nothing bounds the tail.
    """
    known = np.isfinite(values)
    ordered = np.sort(values[known])
    n = len(ordered)
    value = float(ordered[max(int(np.ceil(probability * n - 1e-9)) - 1, 0)])
    _, error, clusters = _cluster_mean(sessions, (values <= value).astype(float), known)
    amount = probability * (1 - probability) / error**2 if error > 0 else float(clusters)
    amount = min(max(amount, clusters), n)
    share = wilson(probability * amount, amount)
    ends = [int(np.ceil(end * n)) - 1 for end in (share.low, share.high)]
    # Beyond the last order statistic but one, nothing is known of how far the tail goes.
    low, high = (float(ordered[at]) if 0 <= at < n - 1 else float("nan") for at in ends)
    return Interval(value, low, high)


def _cluster_mean(sessions: Sessions, values: Array, known: Mask | None) -> tuple[float, float, int]:
    """Mean over intervals, its error with sessions as clusters, and how many sessions have any."""
    weight = np.ones(len(values)) if known is None else known.astype(float)
    total, n = sessions.sums(np.where(weight > 0, values, 0.0)), sessions.sums(weight)
    clusters = int(np.count_nonzero(n))
    mean = float(total.sum() / n.sum())
    if clusters < 2:
        return mean, 0.0, clusters
    error = np.sqrt(np.sum((total - mean * n) ** 2) * clusters / (clusters - 1)) / n.sum()
    return mean, float(error), clusters


def by_turns(sessions: Sessions) -> Iterator[tuple[dict[str, Any], Sessions]]:
    """Group sessions by their number of turns, from 2.

    Parameters
    ----------
    sessions : Sessions

    Yields
    ------
    columns : dict
        Label and range of the group, and its number of sessions and intervals.
    group : Sessions
        Never empty.
    """
    for low, high in zip(BINS, (*(b - 1 for b in BINS[1:]), None), strict=True):
        mask = (sessions.turns >= low) & (sessions.turns <= (high or np.inf))
        if low < 2 or not mask.any():
            continue
        label = f"{low}+" if high is None else str(low) if low == high else f"{low}–{high}"
        group = sessions.only(mask)
        yield (
            {
                "turns": label,
                "turns_low": low,
                "turns_high": high,
                "sessions": len(group.turns),
                "intervals": len(group.gap_s),
            },
            group,
        )


def mean_of(values: Array) -> Interval:
    """Estimate the mean over sessions of something that cannot be negative.

    Parameters
    ----------
    values : array, shape (sessions,)

    Returns
    -------
    Interval
        NaN ends for a single session.
    """
    mean = float(values.mean())
    if len(values) < 2:
        return Interval(mean, float("nan"), float("nan"))
    error = float(values.std(ddof=1) / np.sqrt(len(values)))
    reach = student(0.5 + LEVEL / 2, len(values) - 1) * error
    return Interval(mean, max(0.0, mean - reach), mean + reach)


def relation(turns: Integers, values: Array) -> Interval:
    """Correlate one value a session with the rank of its turns, with errors robust to unequal spread.

    Where the value is a mean over the session's intervals and intervals do not depend on turns, this is zero
    in expectation. Spearman's coefficient is not: a share of one interval is 0 or 1, of many in between, and
    a mean of few skewed intervals ranks lower than a mean of many. With ranks as values it is Spearman's.

    Parameters
    ----------
    turns : array of int, shape (sessions,)
    values : array, shape (sessions,)

    Returns
    -------
    Interval
        From −1 to 1; NaN for fewer than 4 sessions or if either side is constant.

    References
    ----------
    White, Econometrica 48 (1980).
    """
    unknown = Interval(float("nan"), float("nan"), float("nan"))
    if len(turns) < 4:
        return unknown
    x = ranks(turns)
    x, y = x - x.mean(), values - values.mean()
    if not x.any() or not y.any():
        return unknown
    slope = float(x @ y / (x @ x))
    error = float(np.sqrt(np.sum((x * (y - slope * x)) ** 2)) / (x @ x))
    scale = float(np.sqrt((x @ x) / (y @ y)))
    reach = student(0.5 + LEVEL / 2, len(x) - 2) * error * scale
    value = slope * scale
    return Interval(value, max(-1.0, value - reach), min(1.0, value + reach))
