"""Hartigan's dip test: how far a sample is from any law with a single mode.

The dip is the largest distance between the empirical distribution function and the closest unimodal one.
Its p-value comes from samples of the same size of the uniform law, the unimodal law that is hardest to tell
from two modes. The `diptest` package has the same statistic and would save 5 % of a characterization, but it
is under the GPL, which a package under Apache-2.0 cannot ask its users to install; a test holds ours to its
answer. Not here: what is tested (see `lengths.modality`) and where the modes are.

Source: Hartigan and Hartigan, Annals of Statistics 13 (1985).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from ..core.arrays import Array

DRAWS = 300
"""Uniform samples behind a p-value: the smallest possible one is 1/301."""

MAX_UNIFORM_SIZE = 2000
"""Size of the uniform samples that stand for larger ones: √n·dip changes by 2 % from there to 5,000."""


def dip(sample: Array) -> float:
    """Compute the dip statistic of a sample.

    Narrows down the modal interval: the greatest convex minorant of the lower steps and the least concave
    majorant of the upper ones are compared where they touch the steps, until the interval that is left
    cannot contain a larger misfit than the parts outside it.

    Parameters
    ----------
    sample : array, shape (n,)
        At least 4 values, in any order and unit.

    Returns
    -------
    float
        From 1/(2n) to 1/4.

    Raises
    ------
    ValueError
        For fewer than 4 values.

    References
    ----------
    Hartigan and Hartigan, Annals of Statistics 13 (1985).
    """
    x = np.sort(np.asarray(sample, dtype=float))
    n = len(x)
    if n < 4:
        raise ValueError(f"a dip needs at least 4 values, got {n}")
    low, high, found = 0, n - 1, 1.0
    while high > low:
        minorant, convex = _hull(x[low : high + 1], increasing=True)
        majorant, concave = _hull(x[low : high + 1], increasing=False)
        majorant += 1.0
        gap = majorant - minorant
        at_convex, at_concave = convex[np.argmax(gap[convex])], concave[np.argmax(gap[concave])]
        if gap[at_convex] >= gap[at_concave]:
            left, widest = at_convex, gap[at_convex]
            right = concave[np.searchsorted(concave, at_convex)]
        else:
            right, widest = at_concave, gap[at_concave]
            left = convex[np.searchsorted(convex, at_concave, side="right") - 1]
        if widest <= found:
            break
        steps = np.arange(high - low + 1)
        found = max(
            found,
            float(np.max((steps + 1 - minorant)[: left + 1])),
            float(np.max((majorant - steps)[right:])),
        )
        if (left, right) == (0, high - low):
            break
        low, high = low + int(left), low + int(right)
    return found / (2 * n)


def p_value(statistic: float, n: int, seed: int = 0) -> float:
    """Compute the p-value of a dip: the share of uniform samples that dip at least as much.

    The sample itself counts among the `DRAWS` uniform ones, so the smallest p-value is 1/301.

    Parameters
    ----------
    statistic : float
        What `dip` returned.
    n : int
        Size of the sample. Above `MAX_UNIFORM_SIZE`, uniform samples of that size stand for larger ones
        (√n·dip).
    seed : int
        Of the uniform samples.

    Returns
    -------
    float
        Above 0, at most 1.
    """
    size = min(n, MAX_UNIFORM_SIZE)
    drawn = _uniform_dips(size, seed) * np.sqrt(size / n)
    return float((np.sum(drawn >= statistic) + 1) / (len(drawn) + 1))


@lru_cache(maxsize=64)
def _uniform_dips(size: int, seed: int) -> Array:
    """Dips of `DRAWS` uniform samples of a size."""
    rng = np.random.default_rng([seed, size])
    return np.array([dip(sample) for sample in rng.random((DRAWS, size))])


def _hull(x: Array, increasing: bool) -> tuple[Array, NDArray[np.intp]]:
    """Convex minorant (or concave majorant) of the points (x_i, i) at each x, and the points that it touches.

    Its slopes are the isotonic regression of the steps' slopes.
    """
    widths = np.maximum(np.diff(x), 1e-300)
    pooled = optimize.isotonic_regression(1 / widths, weights=widths, increasing=increasing)
    touched = pooled.blocks
    return np.interp(x, x[touched], touched.astype(float)), touched
