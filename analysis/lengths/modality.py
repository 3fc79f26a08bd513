"""One mode or several in a histogram of token counts: the dip test and the modes of a mixture, side by side.

The dip can miss a real mixture, and BIC keeps adding components as rows come in, so both are reported. A mode
on the log scale need not be one on the scale of tokens, so both scales are tested. Not here: the dip itself
(see `stats.dip`) and the fit of the mixtures (see `families`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ..core.arrays import Array
from ..stats.dip import dip, p_value
from ..stats.likelihood import Fit, Histogram
from .families import LogNormals

MAX_TESTED_ROWS = 20_000
"""Rows that the dip test takes; more are sampled down, without replacement."""
SIGNIFICANCE = 0.05
MIN_MODE_HEIGHT = 0.05
"""A local maximum below this share of the highest one does not count as a mode."""
MIN_VALLEY_DEPTH = 0.05
"""Two maxima with a valley less deep than this share of the lower one are one mode."""


@dataclass(frozen=True)
class Modality:
    """Result of both tests on one column, on one scale."""

    scale: str
    """`log tokens` or `tokens`."""
    n_tested: int
    dip: float
    p_value: float
    components: int
    """Log-normals in the mixture with the lowest BIC, 1 to 3."""
    delta_bic: float
    """BIC of a single log-normal minus that of the chosen mixture."""
    modes: tuple[float, ...]
    """Positions of the mixture's modes, in tokens."""
    valley: float
    """Depth of the deepest valley between two neighbouring modes, as a share of the lower one; 0 without."""

    @property
    def verdict(self) -> str:
        """`several modes` if both tests find them, `one mode` if neither does, else which test does."""
        dips, mixes = self.p_value < SIGNIFICANCE, len(self.modes) > 1
        if dips and mixes:
            return "several modes"
        if dips or mixes:
            return "several modes by the dip only" if dips else "several modes by the mixture only"
        return "one mode"


def modality(data: Histogram, mixtures: Sequence[Fit], maximum: int, seed: Sequence[int]) -> list[Modality]:
    """Test log tokens and tokens for several modes, by the dip and by mixtures.

    Parameters
    ----------
    data : Histogram
        Of token counts.
    mixtures : sequence of Fit
        Fits of 1, 2, … log-normals, in order.
    maximum : int
        Largest token count of the laws.
    seed : sequence of int

    Returns
    -------
    list of Modality
        For log tokens, then for tokens.
    """
    tokens = dequantised(data, np.random.default_rng(list(seed)))
    best = int(np.argmin([fit.bic for fit in mixtures]))
    law, theta = LogNormals(maximum, best + 1), mixtures[best].theta
    found = []
    grid = np.log(np.geomspace(0.5, maximum + 0.5, 1200))
    views: tuple[tuple[str, Callable[[Array], Array], Array], ...] = (
        ("log tokens", np.log, law.density(theta, grid)),
        ("tokens", np.asarray, law.density(theta, grid) * np.exp(-grid)),
    )
    for scale, change, density in views:
        statistic = dip(change(tokens))
        at, valley = peaks(density)
        found.append(
            Modality(
                scale=scale,
                n_tested=len(tokens),
                dip=statistic,
                p_value=p_value(statistic, len(tokens), seed[0]),
                components=best + 1,
                delta_bic=mixtures[0].bic - mixtures[best].bic,
                modes=tuple(float(np.clip(np.exp(grid[i]), 1, maximum)) for i in at),
                valley=valley,
            )
        )
    return found


def dequantised(data: Histogram, rng: np.random.Generator) -> Array:
    """Undo the rounding of token counts: move each evenly within ±½ token.

    Parameters
    ----------
    data : Histogram
        Of token counts.
    rng : Generator

    Returns
    -------
    array, shape (n,)
        At most `MAX_TESTED_ROWS` observations, drawn without replacement if there are more.
    """
    counts = data.counts.astype(np.int64)
    if data.n > MAX_TESTED_ROWS:
        counts = rng.multivariate_hypergeometric(counts, MAX_TESTED_ROWS, method="marginals")
    tokens = np.repeat(data.values, counts)
    return np.asarray(tokens + rng.uniform(-0.5, 0.5, len(tokens)))


def peaks(density: Array) -> tuple[list[int], float]:
    """Find the modes of a density on a grid.

    Either end can be a mode. Low maxima and those behind a shallow valley are left out, the lowest first.

    Parameters
    ----------
    density : array, shape (k,)

    Returns
    -------
    modes : list of int
        Indices into the grid.
    valley : float
        Depth of the deepest valley between neighbours, as a share of the lower one; 0 without.
    """
    rises = np.concatenate([[True], density[1:] > density[:-1]])
    falls = np.concatenate([density[:-1] >= density[1:], [True]])
    at = [int(i) for i in np.flatnonzero(rises & falls) if density[i] >= MIN_MODE_HEIGHT * density.max()]
    while len(at) > 1:
        depths = [1 - density[a : b + 1].min() / min(density[a], density[b]) for a, b in pairwise(at)]
        shallow = int(np.argmin(depths))
        if depths[shallow] >= MIN_VALLEY_DEPTH:
            return at, float(max(depths))
        a, b = at[shallow], at[shallow + 1]
        at.remove(a if density[a] < density[b] else b)
    return at, 0.0
