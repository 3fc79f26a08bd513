"""Token counts up to a hundred thousand, handled in a few hundred points: sums over 1..maximum, and coarser
histograms.

Not here: the laws that are summed and fitted so (see `families`).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ..core.arrays import Array
from ..stats.likelihood import Histogram

MAX_EXACT_TOKENS = 64
"""Token counts below this one are never pooled."""
RATIO = 1.03
"""Width of the cells that pool longer counts, as a ratio."""


@lru_cache(maxsize=64)
def nodes(maximum: int) -> tuple[Array, Array]:
    """Find points and weights with Σ w·f(point) ≈ Σ f(x) over the integers 1..maximum, for smooth f.

    Exact up to 128; then each range of about a tenth of its start takes three Gauss points of the discrete
    uniform law (exact for polynomials up to degree 5), relative error about 1e-10 for power laws.

    Parameters
    ----------
    maximum : int

    Returns
    -------
    points, weights : array, shape (k,)
    """
    single = np.arange(1, min(maximum, 128) + 1, dtype=float)
    points, weights = [single], [np.ones_like(single)]
    first = 129
    while first <= maximum:
        width = min(first // 10, maximum - first + 1)
        second = (width**2 - 1) / 12
        fourth = (width**2 - 1) * (3 * width**2 - 7) / 240
        middle = first + (width - 1) / 2
        if second == 0:
            points.append(np.array([middle]))
            weights.append(np.array([1.0]))
        else:
            reach, outer = np.sqrt(fourth / second), second**2 / fourth / 2
            points.append(middle + np.array([-reach, 0.0, reach]))
            weights.append(width * np.array([outer, 1 - 2 * outer, outer]))
        first += width
    return np.concatenate(points), np.concatenate(weights)


def coarsen(data: Histogram) -> Histogram:
    """Pool the counts of a histogram from `MAX_EXACT_TOKENS` tokens up in cells of ratio `RATIO`.

    Each cell becomes two points that keep its mass and the mean and variance of its log, so the fit of a Zipf
    is unchanged and that of a smooth law loses less than 1e-3 in log-likelihood per row.

    Parameters
    ----------
    data : Histogram
        Of token counts.

    Returns
    -------
    Histogram
    """
    short = data.values < MAX_EXACT_TOKENS
    log = np.log(data.values[~short])
    counts = data.counts[~short]
    if len(log) == 0:
        return data
    cell = np.floor(np.log(data.values[~short] / MAX_EXACT_TOKENS) / np.log(RATIO)).astype(int)
    mass = np.bincount(cell, counts)
    occupied = mass > 0
    mean = np.bincount(cell, counts * log)[occupied] / mass[occupied]
    square = (
        np.bincount(cell, counts * (log - mean[np.cumsum(occupied)[cell] - 1]) ** 2)[occupied]
        / mass[occupied]
    )
    sd, mass = np.sqrt(square), mass[occupied]
    pairs = np.stack([np.exp(mean - sd), np.exp(mean + sd)], axis=1)
    return Histogram(
        np.concatenate([data.values[short], pairs.ravel()]),
        np.concatenate([data.counts[short], np.repeat(mass / 2, 2)]),
    )
