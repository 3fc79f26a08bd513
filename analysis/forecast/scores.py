"""How good a forecast is: errors by both normalisers, pinball loss, coverage, skill with an interval.

The paper does not define its normalisers. Here NMAE is the mean absolute error over the mean of what was
actual, and NMSE is given twice: over the variance (1 is as good as the mean of the days that were forecast)
and over the mean square. Not here: who forecasts (`models`), and of what (`forecast.part`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..core.arrays import Array, Integers
from ..core.result import Interval
from ..core.units import DAY_S, HOUR_S, MINUTE_S
from ..trace.aggregates import resampled_sums, spread_of

COVERAGE = 0.9
"""Nominal coverage of every band."""
QUANTILES = (0.5 - COVERAGE / 2, 0.5, 0.5 + COVERAGE / 2)
BLOCKS_S = (DAY_S, HOUR_S, 10 * MINUTE_S, MINUTE_S)
"""Intervals resample days, else hours, …: the longest block with enough copies in the held-out time."""
MIN_BLOCKS = 7
DRAWS = 1000


def errors(actual: Array, forecast: Array) -> dict[str, float]:
    """Compute the errors of a point forecast.

    Parameters
    ----------
    actual, forecast : array, shape (n,)
        In one unit.

    Returns
    -------
    dict
        `mae` in that unit; `nmae`, over the mean; `nmse_variance` and `nmse_mean_square`. NaN if what
        normalises is zero.
    """
    miss = actual - forecast
    absolute, square = float(np.mean(np.abs(miss))), float(np.mean(miss**2))
    return {
        "mae": absolute,
        "nmae": _over(absolute, float(actual.mean())),
        "nmse_variance": _over(square, float(actual.var())),
        "nmse_mean_square": _over(square, float(np.mean(actual**2))),
    }


def _over(value: float, by: float) -> float:
    return value / by if by > 0 else float("nan")


def pinball(actual: Array, quantiles: Sequence[Array]) -> float:
    """Compute the mean pinball loss of quantile forecasts, over the mean of the actual values.

    Parameters
    ----------
    actual : array, shape (n,)
    quantiles : sequence of array, shape (n,)
        Forecasts of the `QUANTILES`, in their order.

    Returns
    -------
    float
        NaN if the mean is zero.
    """
    losses = [
        np.mean(np.maximum(level * (actual - value), (level - 1) * (actual - value)))
        for level, value in zip(QUANTILES, quantiles, strict=True)
    ]
    return _over(float(np.mean(losses)), float(actual.mean()))


def coverage(actual: Array, low: Array, high: Array) -> float:
    """Compute the share of the actual values that lies in a band, its ends included.

    Parameters
    ----------
    actual, low, high : array, shape (n,)

    Returns
    -------
    float
    """
    return float(np.mean((actual >= low - 1e-9) & (actual <= high + 1e-9)))


def calibrate_band(
    actual: Array, low: Array, high: Array, new_low: Array, new_high: Array
) -> tuple[Array, Array] | None:
    """Widen (or narrow) a band for new bins until it would have covered enough of the actual values.

    Conformalized quantile regression; with `low` equal to `high`, a point forecast, it is split conformal.
    Scores are taken on square roots, on which counts vary alike by day and by night.

    Parameters
    ----------
    actual, low, high : array, shape (n,)
        Actual values in the calibration bins, and the band forecast for them.
    new_low, new_high : array, shape (m,)
        Band of the new bins.

    Returns
    -------
    tuple of two arrays, shape (m,), or None
        None if too few bins were actual for a band of coverage `COVERAGE`.

    References
    ----------
    Romano, Patterson and Candès, Conformalized quantile regression (2019).
    """
    roots = [np.sqrt(np.maximum(each, 0.0)) for each in (actual, low, high, new_low, new_high)]
    score = np.sort(np.maximum(roots[1] - roots[0], roots[0] - roots[2]))
    rank = int(np.ceil((len(score) + 1) * COVERAGE))
    if rank > len(score):
        return None
    by = score[rank - 1]
    bottom, top = np.maximum(roots[3] - by, 0.0), np.maximum(roots[4] + by, 0.0)
    # A band that is narrowed past its own middle has no inside: it is its middle.
    middle = (bottom + top) / 2
    return np.minimum(bottom, middle) ** 2, np.maximum(top, middle) ** 2


def block_of(start_s: Array, bin_s: float) -> tuple[Integers, float]:
    """Assign bins to the blocks of time that intervals resample.

    Parameters
    ----------
    start_s : array, shape (n,)
        Start of each bin in seconds.
    bin_s : float
        Width of the bins in seconds.

    Returns
    -------
    block : array of int, shape (n,)
        Index of each bin's block, from 0.
    block_s : float
        Length of a block: the longest of `BLOCKS_S` with at least `MIN_BLOCKS` blocks, else a bin.
    """
    for block_s in (*BLOCKS_S, bin_s):
        block = np.floor(start_s / block_s + 1e-9).astype(np.int64)
        if block_s >= bin_s and len(np.unique(block)) >= MIN_BLOCKS:
            break
    _, index = np.unique(block, return_inverse=True)
    return index, block_s


def _resampled(rng: np.random.Generator, block: Integers, *columns: Array) -> Array:
    """Sums of these columns over resampled blocks, the sums themselves first, (draws + 1, columns)."""
    blocks = np.stack([np.bincount(block, column) for column in columns], axis=1).astype(float)
    return np.vstack([blocks.sum(axis=0), resampled_sums(rng, blocks, DRAWS)])


def nmae_interval(rng: np.random.Generator, block: Integers, actual: Array, forecast: Array) -> Interval:
    """Compute NMAE with the interval of a block bootstrap.

    Parameters
    ----------
    rng : Generator
    block : array of int, shape (n,)
        As `block_of` returns it.
    actual, forecast : array, shape (n,)

    Returns
    -------
    Interval
    """
    return _ratio(_resampled(rng, block, np.abs(actual - forecast), actual))


def skill(
    rng: np.random.Generator, block: Integers, actual: Array, forecast: Array, against: Array
) -> Interval:
    """Compute the share of another forecast's absolute error that this one saves, by block bootstrap.

    Parameters
    ----------
    rng : Generator
    block : array of int, shape (n,)
        As `block_of` returns it.
    actual, forecast, against : array, shape (n,)
        Actual values, this forecast, and the other one.

    Returns
    -------
    Interval
        0 is equal to it, 1 is perfect.
    """
    left = _ratio(_resampled(rng, block, np.abs(actual - forecast), np.abs(actual - against)))
    return Interval(1 - left.value, 1 - left.high, 1 - left.low)


def _ratio(sums: Array) -> Interval:
    """First column over the second, with the interval of the resampled rows."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = sums[:, 0] / sums[:, 1]
    return spread_of(float(ratio[0]) if np.isfinite(ratio[0]) else float("nan"), ratio[1:])


def plain_row(**values: Any) -> dict[str, Any]:
    """A row of a table with null for what is not a number."""
    return {name: None if isinstance(v, float) and not np.isfinite(v) else v for name, v in values.items()}
