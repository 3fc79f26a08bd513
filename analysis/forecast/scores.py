"""How good a forecast is: errors by both normalisers, pinball loss, coverage, skill with an interval.

The paper does not define its normalisers. Here NMAE is the mean absolute error over the mean of what was
seen, and NMSE is given twice: over the variance (1 is as good as the mean of the days that were forecast)
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
"""Intervals resample days, else hours, …: the longest stretch of which the held-out time has enough."""
FEWEST_BLOCKS = 7
DRAWS = 1000


def errors(seen: Array, forecast: Array) -> dict[str, float]:
    """Compute the errors of a point forecast.

    Parameters
    ----------
    seen, forecast : array, shape (n,)
        In one unit.

    Returns
    -------
    dict
        `mae` in that unit; `nmae`, over the mean; `nmse_variance` and `nmse_mean_square`. NaN if what
        normalises is zero.
    """
    miss = seen - forecast
    absolute, square = float(np.mean(np.abs(miss))), float(np.mean(miss**2))
    return {
        "mae": absolute,
        "nmae": _over(absolute, float(seen.mean())),
        "nmse_variance": _over(square, float(seen.var())),
        "nmse_mean_square": _over(square, float(np.mean(seen**2))),
    }


def _over(value: float, by: float) -> float:
    return value / by if by > 0 else float("nan")


def pinball(seen: Array, quantiles: Sequence[Array]) -> float:
    """Compute the mean pinball loss of quantile forecasts, over the mean of what was seen.

    Parameters
    ----------
    seen : array, shape (n,)
    quantiles : sequence of array, shape (n,)
        Forecasts of the `QUANTILES`, in their order.

    Returns
    -------
    float
        NaN if the mean is zero.
    """
    losses = [
        np.mean(np.maximum(level * (seen - value), (level - 1) * (seen - value)))
        for level, value in zip(QUANTILES, quantiles, strict=True)
    ]
    return _over(float(np.mean(losses)), float(seen.mean()))


def covered(seen: Array, low: Array, high: Array) -> float:
    """Compute the share of what was seen that lies in a band, its ends included.

    Parameters
    ----------
    seen, low, high : array, shape (n,)

    Returns
    -------
    float
    """
    return float(np.mean((seen >= low - 1e-9) & (seen <= high + 1e-9)))


def calibrated(
    seen: Array, low: Array, high: Array, new_low: Array, new_high: Array
) -> tuple[Array, Array] | None:
    """Widen (or narrow) a band for new bins until it would have covered enough of the seen ones.

    Conformalized quantile regression; with `low` equal to `high`, a point forecast, it is split conformal.
    Scores are taken on square roots, on which counts vary alike by day and by night.

    Parameters
    ----------
    seen, low, high : array, shape (n,)
        What was seen in the calibration bins, and the band forecast for them.
    new_low, new_high : array, shape (m,)
        Band of the new bins.

    Returns
    -------
    tuple of two arrays, shape (m,), or None
        None if too few bins were seen for a band of coverage `COVERAGE`.

    References
    ----------
    Romano, Patterson and Candès, Conformalized quantile regression (2019).
    """
    roots = [np.sqrt(np.maximum(each, 0.0)) for each in (seen, low, high, new_low, new_high)]
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
    """Assign bins to the stretches of time that intervals resample.

    Parameters
    ----------
    start_s : array, shape (n,)
        Start of each bin in seconds.
    bin_s : float
        Width of the bins in seconds.

    Returns
    -------
    block : array of int, shape (n,)
        Index of each bin's stretch, from 0.
    block_s : float
        Length of a stretch: the longest of `BLOCKS_S` with at least `FEWEST_BLOCKS` stretches, else a bin.
    """
    for block_s in (*BLOCKS_S, bin_s):
        block = np.floor(start_s / block_s + 1e-9).astype(np.int64)
        if block_s >= bin_s and len(np.unique(block)) >= FEWEST_BLOCKS:
            break
    _, index = np.unique(block, return_inverse=True)
    return index, block_s


def _resampled(rng: np.random.Generator, block: Integers, *columns: Array) -> Array:
    """Sums of these columns over resampled stretches, the sums themselves first, (draws + 1, columns)."""
    blocks = np.stack([np.bincount(block, column) for column in columns], axis=1).astype(float)
    return np.vstack([blocks.sum(axis=0), resampled_sums(rng, blocks, DRAWS)])


def nmae_interval(rng: np.random.Generator, block: Integers, seen: Array, forecast: Array) -> Interval:
    """Compute NMAE with the interval of a block bootstrap.

    Parameters
    ----------
    rng : Generator
    block : array of int, shape (n,)
        As `block_of` returns it.
    seen, forecast : array, shape (n,)

    Returns
    -------
    Interval
    """
    return _ratio(_resampled(rng, block, np.abs(seen - forecast), seen))


def skill(
    rng: np.random.Generator, block: Integers, seen: Array, forecast: Array, against: Array
) -> Interval:
    """Compute the share of another forecast's absolute error that this one saves, by block bootstrap.

    Parameters
    ----------
    rng : Generator
    block : array of int, shape (n,)
        As `block_of` returns it.
    seen, forecast, against : array, shape (n,)
        What was seen, this forecast, and the other one.

    Returns
    -------
    Interval
        0 is no better, 1 is perfect.
    """
    left = _ratio(_resampled(rng, block, np.abs(seen - forecast), np.abs(seen - against)))
    return Interval(1 - left.value, 1 - left.high, 1 - left.low)


def _ratio(sums: Array) -> Interval:
    """First column over the second, with the interval of the resampled rows."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = sums[:, 0] / sums[:, 1]
    return spread_of(float(ratio[0]) if np.isfinite(ratio[0]) else float("nan"), ratio[1:])


def plain_row(**values: Any) -> dict[str, Any]:
    """A row of a table with null for what is not a number."""
    return {name: None if isinstance(v, float) and not np.isfinite(v) else v for name, v in values.items()}
