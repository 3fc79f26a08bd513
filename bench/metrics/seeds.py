"""The mean of a measure over the seeds of an experiment, with its interval.

Not here: differences between settings (`burstlens.bench.experiments.contrast`).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ...analysis.core.result import LEVEL, Interval

ONE_SEED = "One seed does not show noise: run several seeds to know which differences are real."


def mean_over_seeds(values: NDArray[np.float64]) -> Interval:
    """Compute mean and Student's 95 % interval of one value a seed.

    Parameters
    ----------
    values
        Shape (seeds,); values that are not finite are left out.

    Returns
    -------
    Interval
        Its ends are NaN for fewer than two values.

    Examples
    --------
    >>> mean_over_seeds(np.array([1.0, 2.0, 3.0])).value
    2.0
    """
    values = values[np.isfinite(values)]
    n = len(values)
    if not n:
        return Interval(math.nan, math.nan, math.nan)
    centre = float(values.mean())
    if n < 2:
        return Interval(centre, math.nan, math.nan)
    # SciPy is loaded when it is needed.
    from ...analysis.stats.quantiles import student

    half = student(0.5 + LEVEL / 2, n - 1) * float(values.std(ddof=1)) / math.sqrt(n)
    return Interval(centre, centre - half, centre + half)
