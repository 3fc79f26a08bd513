"""Requests per hour on the record's own axis, and what calendars make of them.

Empty hours inside the record count, holes do not. Not here: tests for patterns (see `periodicity`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl

from ..core.arrays import Array, Integers, Mask
from ..core.units import DAY_H, HOUR_S
from ..core.wall_clock import WallClock
from ..trace.aggregates import (
    box_plots,
    named_members,
    resampled_sums,
    spread_of,
    sum_over_selections,
    ticks_in,
)
from ..trace.trace import Trace

WEEKS_TO_RESAMPLE = 4
"""With fewer weeks, the weekday ratio resamples days, which takes them for independent."""
DRAWS = 400

KEYS = {"selection": pl.String, "service": pl.String, "model": pl.String}
HOURLY = {**KEYS, "hour": pl.Int64, "n": pl.Int64, "failed": pl.Int64, "whole": pl.Boolean}
CALENDAR = {
    **KEYS,
    "day": pl.Int64,
    "date": pl.Date,
    "iso_year": pl.Int64,
    "iso_week": pl.Int64,
    "weekday": pl.Int64,
    "n": pl.Int64,
    "hours": pl.Int64,
    "whole": pl.Boolean,
}
PROFILE = {
    **KEYS,
    "days": pl.String,
    "hour_of_day": pl.Int64,
    "values": pl.Int64,
    **dict.fromkeys(("mean", "low", "q1", "median", "q3", "high"), pl.Float64),
    "outliers": pl.Int64,
}
WEEKDAYS = {
    **KEYS,
    **dict.fromkeys(("ratio", "ratio_low", "ratio_high", "weekday_mean", "weekend_mean"), pl.Float64),
    "weekdays": pl.Int64,
    "weekend_days": pl.Int64,
    "resampled": pl.String,
}


@dataclass(frozen=True)
class Hours:
    """Requests per hour of each selection on one axis of hours, holes left out."""

    names: pl.DataFrame
    """`selection_id`, `selection`, `service`, `model`, in order of the counts' rows."""
    hour: Integers
    """Hours since midnight of day 0, shape (hours,)."""
    clock_hour: Integers
    """The hours that the clock shows then, since midnight of day 0; they differ by daylight saving."""
    segment: Integers
    observed: Mask
    n: Integers
    """Shape (selections, hours)."""
    failed: Integers

    @classmethod
    def of(cls, trace: Trace) -> Hours:
        """Count, fill in the empty hours, and mark the edges."""
        names = (
            named_members(trace).unique("selection_id", keep="first").sort("selection_id").drop("stream_id")
        )
        hour, segment, observed = [], [], []
        for row in trace.segments.iter_rows(named=True):
            start_h, end_h = row["start_s"] / HOUR_S, (row["end_s"] + trace.info.resolution_s) / HOUR_S
            hours = np.arange(int(np.floor(start_h)), max(int(np.ceil(end_h - 1e-9)), int(start_h) + 1))
            covered = np.minimum(hours + 1, end_h) - np.maximum(hours, start_h)
            hour.append(hours)
            segment.append(np.full(len(hours), row["segment_id"]))
            observed.append(covered >= 0.5)
        axis = np.concatenate(hour)
        counts = sum_over_selections(
            trace,
            trace.engine.ask("hourly_counts", window_ticks=ticks_in(trace, HOUR_S)),
            by=("slot",),
        )
        at = np.searchsorted(axis, counts["slot"].to_numpy())
        of = np.searchsorted(names["selection_id"].to_numpy(), counts["selection_id"].to_numpy())
        n, failed = np.zeros((2, len(names), len(axis)), dtype=np.int64)
        n[of, at], failed[of, at] = counts["n"].to_numpy(), counts["failed"].to_numpy()
        shown = trace.info.clock.hours(axis)
        return cls(names, axis, shown, np.concatenate(segment), np.concatenate(observed), n, failed)

    def frame(self) -> pl.DataFrame:
        """One row a selection and hour."""
        copies = len(self.names)
        return pl.DataFrame(
            {
                "selection_id": np.repeat(self.names["selection_id"].to_numpy(), len(self.hour)),
                "hour": np.tile(self.hour, copies),
                "clock_hour": np.tile(self.clock_hour, copies),
                "n": self.n.ravel(),
                "failed": self.failed.ravel(),
                "whole": np.tile(self.observed, copies),
            }
        )

    def segments(self) -> list[slice]:
        """The observed hours of each segment, as slices of the axis."""
        out = []
        for segment in np.unique(self.segment):
            at = np.flatnonzero((self.segment == segment) & self.observed)
            if len(at):
                out.append(slice(int(at[0]), int(at[-1]) + 1))
        return out

    def longest(self) -> int:
        """Observed hours of the longest segment."""
        return max((s.stop - s.start for s in self.segments()), default=0)

    def named(self, rows: pl.DataFrame, schema: Mapping[str, Any]) -> pl.DataFrame:
        """Put the selections' names before other columns.

        Parameters
        ----------
        rows : DataFrame
            With `selection_id`; may be empty.
        schema : mapping
            Columns of the result and their types.

        Returns
        -------
        DataFrame
            With the columns of `schema`, in their order.
        """
        if rows.is_empty():
            return pl.DataFrame(schema=schema)
        named = self.names.join(rows, on="selection_id", maintain_order="left_right")
        return named.select(pl.col(c).cast(kind) for c, kind in schema.items())


def calendar_of(hours: Hours, clock: WallClock) -> pl.DataFrame:
    """Count requests per selection and day.

    Parameters
    ----------
    hours : Hours
    clock : WallClock
        Without a date of day 0, dates, weeks and weekdays are null.

    Returns
    -------
    DataFrame
        One row a selection and day; `whole` is true if all of its hours were observed.
    """
    days = (
        hours.frame()
        .with_columns(day=pl.col("clock_hour") // DAY_H)
        .group_by("selection_id", "day")
        .agg(pl.col("n").sum(), pl.col("whole").sum().alias("hours"))
        .sort("selection_id", "day")
    )
    day0 = clock.day0
    lengths = {day: clock.day_hours(day) for day in days["day"].unique().to_list()}
    days = days.with_columns(
        whole=pl.col("hours") == pl.col("day").replace_strict(lengths, return_dtype=pl.Int64)
    )
    dates = {d: None if day0 is None else day0 + timedelta(days=d) for d in days["day"].unique().to_list()}
    known = pl.DataFrame(
        {"day": list(dates), "date": list(dates.values())}, schema={"day": pl.Int64, "date": pl.Date}
    )
    return days.join(known, on="day", maintain_order="left").with_columns(
        iso_year=pl.col("date").dt.iso_year(),
        iso_week=pl.col("date").dt.week(),
        weekday=pl.col("date").dt.weekday(),
    )


def profile_of(hours: Hours, day0: date | None) -> pl.DataFrame:
    """Compute box plots of hourly requests by hour of the day.

    Parameters
    ----------
    hours : Hours
    day0 : date, optional
        Date of day 0; with it also by kind of day (weekdays, weekend).

    Returns
    -------
    DataFrame
        One row a selection, kind of day and hour of the day, from observed hours only.
    """
    observed = (
        hours.frame()
        .filter(pl.col("whole"))
        .with_columns(hour_of_day=pl.col("clock_hour") % DAY_H, days=pl.lit("all"))
    )
    views = [observed]
    if day0 is not None:
        weekend = (pl.col("clock_hour") // DAY_H + day0.weekday()) % 7 >= 5
        kind = pl.when(weekend).then(pl.lit("weekend")).otherwise(pl.lit("weekdays"))
        views.append(observed.with_columns(days=kind))
    return box_plots(pl.concat(views), ("selection_id", "days", "hour_of_day"), "n")


def weekday_ratios(hours: Hours, calendar: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    """Compare the mean weekday with the mean weekend day, in requests.

    The interval comes from resampling ISO weeks, or days if there are fewer than `WEEKS_TO_RESAMPLE` weeks
    with both kinds of day.

    Parameters
    ----------
    hours : Hours
    calendar : DataFrame
        What `calendar_of` returned; only whole days with a known weekday count.
    rng : Generator

    Returns
    -------
    DataFrame
        One row a selection that has both kinds of day; empty without any.
    """
    days = calendar.filter(pl.col("whole"), pl.col("weekday").is_not_null())
    rows = []
    for selection_id, of in days.group_by("selection_id", maintain_order=True):
        weekend = of["weekday"].to_numpy() >= 6
        n = of["n"].to_numpy().astype(float)
        # Per day: requests and days, on weekdays and at weekends.
        sums = np.stack([n * ~weekend, ~weekend, n * weekend, weekend], axis=1).astype(float)
        if not weekend.any() or weekend.all():
            continue
        week = of["iso_year"].to_numpy().astype(int) * 100 + of["iso_week"].to_numpy()
        _, index = np.unique(week, return_inverse=True)
        weekly = np.zeros((index.max() + 1, 4))
        np.add.at(weekly, index, sums)
        complete_weeks = np.count_nonzero((weekly[:, 1] > 0) & (weekly[:, 3] > 0))
        by_week = complete_weeks >= WEEKS_TO_RESAMPLE
        drawn = (
            resampled_sums(rng, weekly, DRAWS)
            if by_week
            else resampled_sums(rng, sums[~weekend], DRAWS) + resampled_sums(rng, sums[weekend], DRAWS)
        )
        ratio = spread_of(float(_ratio(sums.sum(axis=0))), _ratio(drawn))
        total = sums.sum(axis=0)
        rows.append(
            {
                "selection_id": selection_id[0],
                "ratio": ratio.value,
                "ratio_low": ratio.low,
                "ratio_high": ratio.high,
                "weekday_mean": total[0] / total[1],
                "weekend_mean": total[2] / total[3],
                "weekdays": int(total[1]),
                "weekend_days": int(total[3]),
                "resampled": "weeks" if by_week else "days",
            }
        )
    return selection_frame(rows, hours)


def _ratio(sums: Array) -> Array:
    """Weekday mean over weekend mean from (..., 4) sums; NaN if a kind of day is absent or empty."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = (sums[..., 0] / sums[..., 1]) / (sums[..., 2] / sums[..., 3])
    return np.asarray(np.where(np.isfinite(ratio), ratio, np.nan))


def selection_frame(rows: list[dict[str, object]], hours: Hours) -> pl.DataFrame:
    """Make a frame of rows that names selections with the type of the selections' own ids.

    Parameters
    ----------
    rows : list of dict
        Each with `selection_id`.
    hours : Hours

    Returns
    -------
    DataFrame
        Without columns if there are no rows.
    """
    if not rows:
        return pl.DataFrame()
    return pl.DataFrame(rows).with_columns(pl.col("selection_id").cast(hours.names.schema["selection_id"]))
