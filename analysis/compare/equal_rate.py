"""Which of two traces is burstier at equal mean rate: measures that do not depend on the rate, and outcomes.

A busier trace has the higher index of dispersion however even its load is, so traces of different rates are
compared in two ways, and in a third that needs no rate:

- thinned to one rate: the squared variation of the rate behind the counts, `rate_cv2`, at equal bin width
  (see `traffic.burstiness`);
- run at another speed, as the paper's section 5.1 does: the index of dispersion in bins of equal mean count;
- the variation of gaps, of the whole record and inside its windows, which no change of the clock touches.

A record of a week has nights, which a record of an hour does not have. If records differ in length,
rates are therefore compared inside spans of time that both records have. Not here: the tables that outcomes
go into (see `side_by_side`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import exp, inf, log, sqrt
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from ..core.result import LEVEL, Interval
from ..core.units import DAY_S, time_span
from ..core.verdicts import CANNOT_TELL, HIGHER, LOWER
from ..stats.quantiles import binomial
from ..traffic.arrivals import Arrivals
from ..traffic.burstiness import Burstiness
from ..traffic.volume import Volume

if TYPE_CHECKING:
    from ..characterize import Characterization

FULL_RECORD = "whole record"
GAPS, LOCAL_GAPS = "CV of gaps", "CV of gaps inside windows"
RATE, COUNTS = "rate variation", "index of dispersion at equal count"

COMPARABLE = 2.0
"""Full records are compared if their lengths differ by no more than this factor."""
FULL_CYCLE_S = 6.9 * DAY_S
"""So are records of about a week or more each: both have all hours of the week."""
EQUAL_COUNTS = (1.0, 10.0, 100.0)
"""Mean counts of a bin that indices of dispersion are compared at when clocks are run at another speed."""
MIN_WINDOWS_FOR_MEDIAN = 6
"""With fewer windows no pair of order statistics covers the median with 95 %."""

_Row = dict[str, Any]


@dataclass(frozen=True)
class Outcome:
    """One measure of two traces: both values, their ratio if both are above zero, and which is higher."""

    measure: str
    scope: str
    """`whole record`, or the spans of time inside which rates are compared."""
    width_s: float | None
    mean_count: float | None
    value: Interval
    other: Interval
    decides: bool
    """Whether the measure is fair to records of these lengths."""

    @property
    def ratio(self) -> Interval | None:
        """The first over the second, by `difference` of logarithms; None unless both are positive."""
        if min(self.value.value, self.other.value) <= 0:
            return None
        if min(self.value.low, self.other.low) <= 0:
            return Interval(
                self.value.value / self.other.value,
                self.value.low / self.other.high if self.value.low > 0 else 0.0,
                self.value.high / self.other.low if self.other.low > 0 else inf,
            )
        contrast = difference(_log(self.value), _log(self.other))
        return Interval(exp(contrast.value), exp(contrast.low), exp(contrast.high))

    @property
    def outcome(self) -> str:
        """`higher` or `lower` if the interval of the difference excludes zero, else `cannot tell`."""
        logs = min(self.value.low, self.other.low) > 0
        contrast = (
            difference(_log(self.value), _log(self.other)) if logs else difference(self.value, self.other)
        )
        return HIGHER if contrast.low > 0 else LOWER if contrast.high < 0 else CANNOT_TELL


def difference(one: Interval, other: Interval) -> Interval:
    """Subtract two independent estimates, with an interval from their own intervals, which may be skewed.

    Square-and-add, also called MOVER. Estimates that rise together, as those of one trace at two widths do,
    have a narrower interval than this.

    Parameters
    ----------
    one, other : Interval
        In one unit.

    Returns
    -------
    Interval
        `one` minus `other`.

    References
    ----------
    Zou and Donner, Statistics in Medicine 27 (2008) 1693–1702.
    """
    contrast = one.value - other.value
    return Interval(
        contrast,
        contrast - sqrt(_reach(one.value - one.low) + _reach(other.high - other.value)),
        contrast + sqrt(_reach(one.high - one.value) + _reach(other.value - other.low)),
    )


def variation_within(inner: Interval, outer: Interval) -> Interval:
    """Estimate the squared variation of the rate inside spans of time.

    With c = Var λ / (E λ)² of the rate at either width, nested bins give 1 + c_inner = (1 + c_outer)(1 + w),
    where w is the variance inside a span over its squared mean, averaged with that square as weight. The
    two estimates come from one record, so the interval is on the wide side.

    Parameters
    ----------
    inner : Interval
        c at the width of the bins.
    outer : Interval
        c at the width of the spans.

    Returns
    -------
    Interval
        Of w.
    """
    contrast = difference(
        _log(Interval(*(1 + max(v, -0.999) for v in (inner.value, inner.low, inner.high)))),
        _log(Interval(*(1 + max(v, -0.999) for v in (outer.value, outer.low, outer.high)))),
    )
    return Interval(exp(contrast.value) - 1, exp(contrast.low) - 1, exp(contrast.high) - 1)


def _reach(side: float) -> float:
    """The square of one side of an interval; a percentile interval that misses its estimate has none."""
    return max(side, 0.0) ** 2


def _log(estimate: Interval) -> Interval:
    return Interval(log(estimate.value), log(estimate.low), log(estimate.high))


def median_shape(windows: pl.DataFrame) -> tuple[Interval | None, int]:
    """Compute the median Gamma shape of a selection's windows.

    Windows flagged small, too fast for their stamps or not Gamma do not count. The interval is of order
    statistics, whatever the law; for fewer than `MIN_WINDOWS_FOR_MEDIAN` windows it goes from the lowest to
    the highest end of their intervals.

    Parameters
    ----------
    windows : DataFrame
        Rows of `Arrivals.windows` of one selection.

    Returns
    -------
    shape : Interval or None
        None if most of the sound windows are not Gamma.
    n : int
        Windows that count.
    """
    sound = windows.filter(~pl.col("shrunk"), ~pl.col("resolution_limited"), ~pl.col("unfitted"))
    gamma = sound.filter(~pl.col("not_gamma"))
    n = gamma.height
    if not n or n <= sound.height / 2:
        return None, n
    # Shrunk shapes lie closer together than those that they estimate, so the raw shape of each window counts.
    shape = gamma["shape_raw"].sort().to_numpy()
    if n < MIN_WINDOWS_FOR_MEDIAN:
        low, high = gamma["shape_low"].to_numpy().min(), gamma["shape_high"].to_numpy().max()
    else:
        below = binomial(0.5 - LEVEL / 2, n, 0.5)
        low, high = shape[below - 1], shape[n - below]
    return Interval(float(np.median(shape)), float(low), float(high)), n


def outcomes(one: Characterization, other: Characterization, selection: str = "all") -> Iterator[Outcome]:
    """Compare two traces by every measure that both have.

    Parameters
    ----------
    one, other : Characterization
    selection : str
        Label of a selection that both have; all requests by default.

    Yields
    ------
    Outcome
    """
    shorter, longer = sorted(characterization.part(Volume).observed_s for characterization in (one, other))
    decides = longer <= COMPARABLE * shorter or shorter >= FULL_CYCLE_S
    gaps = [_row(characterization.part(Burstiness).gaps, selection) for characterization in (one, other)]
    if all(row and row["cv"] is not None for row in gaps):
        yield Outcome(
            GAPS,
            FULL_RECORD,
            None,
            None,
            _interval(gaps[0], "cv"),
            _interval(gaps[1], "cv"),
            decides=decides,
        )
    shapes = [
        median_shape(characterization.part(Arrivals).windows.filter(pl.col("selection") == selection))[0]
        for characterization in (one, other)
    ]
    if shapes[0] and shapes[1]:
        yield Outcome(LOCAL_GAPS, "inside windows", None, None, _cv(shapes[0]), _cv(shapes[1]), decides=True)
    by_width = [_indices_by_width(characterization, selection) for characterization in (one, other)]
    common = [width for width in by_width[0] if width in by_width[1]]
    for width in common:
        first, second = (_interval(side[width], "rate_cv2") for side in by_width)
        yield Outcome(RATE, FULL_RECORD, width, None, first, second, decides=decides)
    if not decides:
        yield from _inside(by_width, common, shorter)
    for mean_count in EQUAL_COUNTS:
        indices = [_at_count(side, mean_count) for side in by_width]
        if indices[0] and indices[1]:
            yield Outcome(COUNTS, FULL_RECORD, None, mean_count, indices[0], indices[1], decides=decides)


def _inside(by_width: list[dict[float, _Row]], common: list[float], shorter_s: float) -> Iterator[Outcome]:
    """Rates inside spans of time, the widest that fit into the shorter record.

    A record with too few spans to show how they differ counts as one span.
    """
    widths = sorted({w for side in by_width for w in side if w <= shorter_s})
    if not widths:
        return
    stretch = widths[-1]
    for width in common:
        if width < stretch:
            rates = [
                variation_within(_interval(side[width], "rate_cv2"), _interval(side[stretch], "rate_cv2"))
                if stretch in side
                else _interval(side[width], "rate_cv2")
                for side in by_width
            ]
            yield Outcome(
                RATE,
                f"inside stretches of {time_span(stretch)}",
                width,
                None,
                rates[0],
                rates[1],
                decides=True,
            )


def _indices_by_width(characterization: Characterization, selection: str) -> dict[float, _Row]:
    """The rows of dispersion by width, for widths that have one."""
    rows = (
        characterization.part(Burstiness)
        .dispersion.filter(pl.col("selection") == selection)
        .drop_nulls("rate_cv2")
    )
    return {row["width_s"]: row for row in rows.sort("width_s").iter_rows(named=True)}


def _at_count(by_width: dict[float, _Row], mean_count: float) -> Interval | None:
    """Index of dispersion in bins of that mean count: between the widths around it, on logarithms."""
    counts = [row["mean_count"] for row in by_width.values()]
    if len(counts) < 2 or not min(counts) <= mean_count <= max(counts):
        return None
    ends = []
    for name in ("idc", "idc_low", "idc_high"):
        known = np.array([row[name] for row in by_width.values()], dtype=float)
        if not (known > 0).all():
            return None
        ends.append(exp(np.interp(log(mean_count), np.log(counts), np.log(known))))
    return Interval(*ends)


def _cv(shape: Interval) -> Interval:
    """1/√α: the higher end of the shape is the lower end of the CV."""
    return Interval(shape.value**-0.5, shape.high**-0.5, shape.low**-0.5)


def _row(table: pl.DataFrame, selection: str) -> _Row | None:
    rows = table.filter(pl.col("selection") == selection)
    return rows.row(0, named=True) if rows.height else None


def _interval(row: _Row | None, name: str) -> Interval:
    """A value with its interval; without one it reaches everywhere."""
    if row is None:
        raise LookupError(f"no row with {name}")
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    return Interval(row[name], -inf if low is None else low, inf if high is None else high)
