"""Measures of arrivals and lengths by which two samples are compared: CV, shape, dispersion, distances.

Plain functions of instants, gaps and counts. Not here: how far apart they may be (see `load_verdict`), and
the fits of traces (see `burstlens.analysis`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import special

from ...analysis.core.arrays import Array
from ...analysis.core.result import Interval, Z
from ...analysis.stats.gamma import Likelihood
from ...analysis.stats.gap_sums import GapSums

TICK_S = 0.1
"""Shapes are fitted to gaps in whole ticks of this length: what lies below is jitter, not burstiness."""
PHASES = 8
"""The fits are averaged over this many places where the ticks may begin."""
RESOLUTION_S = 0.001
"""Shorter gaps count as equal when gaps are compared with their law."""


@dataclass(frozen=True)
class ArrivalLaw:
    """Gamma windows that arrivals were drawn from (see `stats.renewal`), one element each, in order."""

    start_s: Array
    end_s: Array
    rate_rps: Array
    shape: Array


def cv(gaps: Array) -> Interval:
    """CV with the interval of independent gaps, by its influence function."""
    mean, sd = gaps.mean(), gaps.std()
    if mean <= 0 or sd <= 0:
        return Interval(0.0, 0.0, 0.0)
    z = (gaps - mean) / sd
    cv = float(sd / mean)
    half = Z * float(np.std(cv * ((z**2 - 1) / 2 - cv * z))) / np.sqrt(len(gaps))
    return Interval(cv, max(cv - half, 0.0), cv + half)


def shape(instants: Array) -> Interval:
    """Shape of one Gamma for all gaps in whole ticks of `TICK_S`, and its interval by curvature."""
    # Averaged over where the ticks begin: jitter at their borders would look like another shape.
    begins = np.arange(PHASES)[:, None] / PHASES
    gaps = GapSums.of(np.diff(np.floor(instants / TICK_S + begins), axis=1))
    fit = Likelihood(gaps.pooled(np.full(PHASES, 1 / PHASES)), discrete=True).maximum()
    log, half = float(fit.log_shape[0]), Z * float(fit.error[0])
    return Interval(float(np.exp(log)), float(np.exp(log - half)), float(np.exp(log + half)))


def dispersion(instants: Array, first: float, last: float, scale_s: float) -> float:
    """Compute the variance over the mean of counts in whole bins.

    Parameters
    ----------
    instants
        Instants in seconds, shape (n,).
    first, last
        The bins lie between these instants, in seconds; they begin at `first`.
    scale_s
        Length of a bin.

    Returns
    -------
    float
        1 for Poisson arrivals; 0 if there is nothing to count.
    """
    n = int((last - first) / scale_s)
    counts, _ = np.histogram(instants, bins=n, range=(first, first + n * scale_s))
    return float(counts.var() / counts.mean()) if counts.any() else 0.0


def distance(planned: Array, sent: Array, moved: Callable[[Array], Array]) -> float:
    """Compute the Kolmogorov–Smirnov distance that is left after every value may move up to `moved(value)`.

    It is the largest excess of one distribution function over the other at the moved value, in either
    direction: 0 if both samples are of the same things and none has moved farther (cf. Lévy's metric).

    Parameters
    ----------
    planned, sent
        The two samples, shapes (n,) and (m,), in any order.
    moved
        Gives for each value how far up it may have moved.

    Returns
    -------
    float
        From 0 to 1.
    """

    def excess(one: Array, other: Array) -> float:
        one, other = np.sort(one), np.sort(other)
        reached = np.arange(1, len(one) + 1) / len(one)
        return float(np.max(reached - np.searchsorted(other, moved(one), side="right") / len(other)))

    return max(excess(planned, sent), excess(sent, planned), 0.0)


def two_sample(distance: float, n: int, m: int) -> float:
    """Compute the asymptotic p-value of the two-sample test of Kolmogorov and Smirnov.

    Parameters
    ----------
    distance
        Distance of the two distribution functions.
    n, m
        Sizes of the samples.
    """
    return float(special.kolmogorov(distance * np.sqrt(n * m / (n + m))))


def from_law(instants: Array, law: ArrivalLaw) -> tuple[float, float]:
    """Test instants against the law that they were drawn from.

    With Λ(t) the requests expected up to t, u = F(Λ(t') − Λ(t)) is uniform if F is the Gamma of mean 1
    with the shape of the window in which the gap begins. Gaps below `RESOLUTION_S`, where laws of small
    shapes have much of their mass and the stamps no digits, count as any such gap (a randomized transform).

    Parameters
    ----------
    instants
        Instants in seconds, in order, shape (n,).
    law
        The windows of the law, on the same clock.

    Returns
    -------
    tuple of (float, float)
        Kolmogorov–Smirnov distance and p-value.
    """
    # Loaded only if there is a law: it takes longer than everything else at the end of a run.
    from scipy import stats

    busy = law.rate_rps > 0
    start, length, rate = law.start_s[busy], (law.end_s - law.start_s)[busy], law.rate_rps[busy]
    begins = np.concatenate([[0.0], np.cumsum(rate * length)])
    window = np.clip(np.searchsorted(start, instants, side="right") - 1, 0, len(start) - 1)
    passed = begins[window] + rate[window] * np.clip(instants - start[window], 0.0, length[window])
    shape, least = law.shape[busy][window[:-1]], rate[window[:-1]] * RESOLUTION_S
    u = special.gammainc(shape, shape * np.diff(passed))
    short = special.gammainc(shape, shape * least) * np.random.default_rng(0).random(len(u))
    test = stats.kstest(np.where(np.diff(instants) < RESOLUTION_S, short, u), "uniform")
    return float(test.statistic), float(test.pvalue)


def critical_distance(n: int, p_value: float) -> float:
    """Compute the distance from their law that `n` gaps exceed with a given probability.

    Parameters
    ----------
    n
        Number of gaps.
    p_value
        The probability.
    """
    from scipy import stats

    return float(stats.kstwo.isf(p_value, n))
