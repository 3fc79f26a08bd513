"""The load of a trace per time bin as a series to forecast, with what may be known before each bin.

The features are the paper's (section 5.4): three lags, mean and variance over rolling windows up to an hour,
hour of day and day of the week. `forecast_features.sql` builds them with window functions; their frames end
before the bin, inside one segment of the record. Not here: what is made of them (`models`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from ..core.arrays import Array
from ..core.errors import InputError
from ..core.option_names import option
from ..core.units import DAY_H, DAY_S, HOUR_S, bin_name
from ..trace.aggregates import ticks_in
from ..trace.trace import Selection, Trace

TARGETS = {"requests": "request count", "request_tokens": "mean request tokens", "token_load": "token load"}
"""What is forecast per bin, and how prose names it. Token load is request plus response tokens, the load that
capacity is bought for; the mean is over requests that succeeded, unknown if there was none."""
LAGS = 3
MAX_WINDOW_S = HOUR_S
WINDOWS_S = (600.0, 1800.0, MAX_WINDOW_S)
"""Rolling windows; each has at least two or three bins, even if bins are longer than that."""
FEATURES = (
    *(f"lag_{i}" for i in range(1, LAGS + 1)),
    *(f"{what}_{window}" for window in ("short", "middle", "long") for what in ("mean", "variance")),
    "hour",
    "weekday",
)
MAX_BINS = 1_000_000
"""What the query can number."""


@dataclass(frozen=True)
class Series:
    """One target of one selection, one row per bin with a known value, in order of time."""

    target: str
    bin_s: float
    lead: int
    """How many bins before the one that is forecast the newest value is that may be used; 1 is the last."""
    rows: pl.DataFrame
    """`segment_id`, `start_s`, `value`, the `FEATURES`, `day_ago` and `week_ago`; null if unknown."""

    def __len__(self) -> int:
        return self.rows.height

    @property
    def value(self) -> Array:
        """What was seen."""
        return self.column("value")

    @property
    def start_s(self) -> Array:
        """When each bin begins."""
        return self.column("start_s")

    def column(self, name: str) -> Array:
        """One column as numbers, NaN if unknown."""
        return self.rows[name].cast(pl.Float64).fill_null(float("nan")).to_numpy()

    def matrix(self) -> Array:
        """The paper's features, NaN if unknown, shape (rows, features)."""
        return np.column_stack([self.column(name) for name in FEATURES])

    def between(self, start_s: float, end_s: float) -> Series:
        """Select the bins that lie entirely in a span.

        Parameters
        ----------
        start_s, end_s : float
            In seconds on the trace's clock.

        Returns
        -------
        Series
        """
        inside = pl.col("start_s").is_between(start_s - 1e-6, end_s - self.bin_s + 1e-6)
        return Series(self.target, self.bin_s, self.lead, self.rows.filter(inside))

    def split(self, first: int) -> tuple[Series, Series]:
        """The first rows, and the rest."""
        head, tail = self.rows.head(first), self.rows.slice(first)
        return tuple(Series(self.target, self.bin_s, self.lead, rows) for rows in (head, tail))  # type: ignore[return-value]


def load_series(
    trace: Trace, selection: Selection, bin_s: float, horizon_s: float | None = None
) -> Mapping[str, Series]:
    """Load each target of one selection, in bins with the features of a forecast.

    Parameters
    ----------
    trace : Trace
    selection : Selection
    bin_s : float
        Width of the bins in seconds.
    horizon_s : float, optional
        How long before its bin ends a forecast is made, in seconds, rounded up to whole bins. By default one
        bin: each forecast is of the next bin.

    Returns
    -------
    mapping of str to Series
        Without targets that are never known or never above zero.

    Raises
    ------
    BurstlensError
        If bins are shorter than the trace's clock, or more than `MAX_BINS`.
    """
    lead = 1 if horizon_s is None else max(1, int(np.ceil(horizon_s / bin_s - 1e-9)))
    span_s = trace.end_s - trace.start_s + trace.info.resolution_s
    if bin_s < trace.info.resolution_s:
        raise InputError(
            f"{option('bins_s')} {bin_name(bin_s)}: shorter than a tick of the clock of "
            f"{trace.info.name}, which is {bin_name(trace.info.resolution_s)}"
        )
    if span_s / bin_s > MAX_BINS:
        raise InputError(
            f"{option('bins_s')} {bin_name(bin_s)}: more than {MAX_BINS:,} bins in {trace.info.name}; "
            "use longer ones"
        )
    windows = [
        max(int(window_s // bin_s), fewest) for window_s, fewest in zip(WINDOWS_S, (2, 3, 3), strict=True)
    ]
    day, week = (round(days * DAY_S / bin_s) for days in (1, 7))
    rows = trace.engine.ask(
        "forecast_features",
        selection_id=selection.selection_id,
        bin_ticks=ticks_in(trace, bin_s),
        bin_s=bin_s,
        max_bins=int(span_s / bin_s) + 1,
        lead=lead,
        short=windows[0],
        middle=windows[1],
        long=windows[2],
        weekday=0 if trace.info.day0 is None else trace.info.day0.weekday(),
        day=day,
        week=week,
    ).sort("target", "start_s")
    if trace.info.timezone is not None:
        shown_h = np.floor(trace.info.clock.seconds(rows["start_s"].to_numpy()) / HOUR_S).astype(np.int64)
        weekday = shown_h // DAY_H + (0 if trace.info.day0 is None else trace.info.day0.weekday())
        rows = rows.with_columns(hour=pl.Series(shown_h % DAY_H), weekday=pl.Series(weekday % 7))
    # Bins that do not divide a day have no bin at the same time a day ago; too recent values do not count.
    season = {"day_ago": (day, 1), "week_ago": (week, 7)}
    unknown = [
        pl.lit(None, dtype=pl.Float64).alias(name)
        for name, (bins, days) in season.items()
        if bins < lead or abs(bins * bin_s - days * DAY_S) > 1e-6
    ]
    warm = pl.int_range(pl.len()).over("target", "segment_id") >= lead + LAGS - 1
    known = rows.with_columns(unknown).filter(warm, pl.col("value").is_not_null())
    out = {}
    for number, target in enumerate(TARGETS, start=1):
        own = known.filter(pl.col("target") == number).drop("target")
        if own.height and float(own["value"].max() or 0) > 0:  # type: ignore[arg-type]
            out[target] = Series(target, bin_s, lead, own)
    return out
