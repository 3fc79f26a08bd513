"""The Gamma fits of all windows of one selection: by themselves, after their common prior, and their error.

Not here: the law (`stats.gamma`), redraws (`stats.gamma_bootstrap`), and the tables made of the fits
(`arrivals`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ..core.arrays import Array, Mask
from ..stats.gamma import Likelihood, Prior, ShapeFits
from ..stats.gamma_bootstrap import goodness_of_windows, redraw, refit
from ..trace.window_gaps import SelectionGaps

MIN_UNSHRUNK_GAPS = 30
"""Windows of fewer gaps are flagged `shrunk` and are left out of spreads and goodness of fit."""
MIN_FIT_GAPS = 5
"""Windows of fewer gaps get no fit of their own."""
FINE_TICKS = 1000.0
"""Where the mean gap is at least this many ticks and no two stamps are equal, stamps count as continuous."""
MAX_TESTED_WINDOWS = 60
"""Windows per selection that goodness of fit is bootstrapped for."""
MIN_WINDOWS_FOR_PRIOR = 10
"""Fewer windows than this do not determine a prior or a spread."""
MAX_REDRAWN_WINDOWS = 4000
"""Sampling error comes from redraws of this many windows of a selection, picked at random. If there are
fewer, all are redrawn; if under half as many, several times."""
MIN_PRIOR_SD = 0.05
"""However alike the windows look, shapes may differ by this much on the log scale."""


@dataclass(frozen=True)
class WindowFits:
    """The windows of one selection with their fits; NaN if a window has none. Gaps are in ticks."""

    gaps: SelectionGaps
    tick_s: float
    discrete: bool
    raw: ShapeFits
    """The fit of each window on its own."""
    shrunk: ShapeFits
    """After the common prior of all windows of the selection."""
    ks_distance: Array
    p_value: Array
    log_shape_error: Array
    """What refits of redraws from sound windows miss their log shape by, (n_redraws, n_windows)."""
    log_mean_error: Array

    @property
    def law(self) -> str:
        """`whole-tick` or `continuous`: which law the gaps were fitted by."""
        return "whole-tick" if self.discrete else "continuous"

    @cached_property
    def resolution_limited(self) -> Mask:
        """Windows with more than two gaps a tick: their stamps say little about the shape."""
        mean = self.gaps.own.sums.mean
        return (mean < 0.5) & np.isfinite(mean)

    @property
    def sound(self) -> Mask:
        """Windows large and fine enough to be compared with each other."""
        return (
            (self.gaps.own.sums.n >= MIN_UNSHRUNK_GAPS)
            & np.isfinite(self.raw.log_shape)
            & ~self.resolution_limited
        )

    @cached_property
    def cv_seen(self) -> Array:
        """The CV that the fit predicts for gaps between floored stamps: flooring adds 1/6 square tick."""
        mean = np.where(np.isnan(self.raw.log_shape), np.nan, self.gaps.own.sums.mean)
        out: Array = np.sqrt(np.exp(-self.raw.log_shape) + 1 / (6 * mean**2))
        return out


def fit_windows(gaps: SelectionGaps, tick_s: float, rng: np.random.Generator) -> WindowFits:
    """Fit all windows of a selection at once, each on its own and with their common prior.

    Parameters
    ----------
    gaps : SelectionGaps
        Sums of the gaps of each window.
    tick_s : float
        Length of a tick in seconds.
    rng : Generator
        For the redraws that give goodness of fit and errors.

    Returns
    -------
    WindowFits
        NaN in windows that have too few requests for a fit.
    """
    sums = gaps.own.sums
    pooled = gaps.full.sums.pooled()
    n_windows = len(sums.n)
    discrete = bool(pooled.counts[0, 0] > 0 or not pooled.mean[0] >= FINE_TICKS)
    raw, shrunk = _nan_fits(n_windows), _nan_fits(n_windows)
    chosen = (sums.n >= MIN_FIT_GAPS) & (sums.mean > 0)
    fitted = WindowFits(
        gaps=gaps,
        tick_s=tick_s,
        discrete=discrete,
        raw=raw,
        shrunk=shrunk,
        ks_distance=np.full(n_windows, np.nan),
        p_value=np.full(n_windows, np.nan),
        log_shape_error=np.full((1, n_windows), np.nan),
        log_mean_error=np.full((1, n_windows), np.nan),
    )
    if not chosen.any():
        return fitted
    likelihood = Likelihood(sums[chosen], discrete)
    _store_fits(raw, chosen, likelihood.maximum())
    sound = np.flatnonzero(fitted.sound)
    prior = _prior(raw.log_shape[sound], raw.error[sound])
    _store_fits(shrunk, chosen, likelihood.maximum(prior))
    if not len(sound):
        return fitted
    probed = np.sort(rng.choice(sound, min(MAX_TESTED_WINDOWS, len(sound)), replace=False))
    good = goodness_of_windows(gaps.own.cells[probed], rng)
    fitted.ks_distance[probed], fitted.p_value[probed] = good.ks_distance, good.p_value
    # Redraws start from the shrunk shapes: those of the windows themselves already hold sampling error.
    times = int(np.clip(MAX_REDRAWN_WINDOWS / 2 / len(sound), 1, 20))
    if len(sound) > MAX_REDRAWN_WINDOWS:
        sound = np.sort(rng.choice(sound, MAX_REDRAWN_WINDOWS, replace=False))
    mean = sums.mean[sound]
    n_cells = gaps.own.cells.shape[1] + 8
    drawn = redraw(sums.n[sound], shrunk.shape[sound], mean, n_cells, rng, times)
    again, again_mean = refit(drawn.reshape(-1, n_cells).astype(float))
    shape_error = np.full((times, n_windows), np.nan)
    mean_error = shape_error.copy()
    shape_error[:, sound] = again.log_shape.reshape(times, -1) - shrunk.log_shape[sound]
    mean_error[:, sound] = np.log(again_mean.reshape(times, -1) / mean)
    return replace(fitted, log_shape_error=shape_error, log_mean_error=mean_error)


def _nan_fits(n: int) -> ShapeFits:
    return ShapeFits(np.full(n, np.nan), np.full(n, np.nan))


def _store_fits(into: ShapeFits, chosen: Mask, fits: ShapeFits) -> None:
    into.log_shape[chosen], into.error[chosen] = fits.log_shape, fits.error


def _prior(log_shape: Array, error: Array) -> Prior | None:
    """Normal law of log shape across windows, by moments; None for too few windows.

    Its variance is that of the fits less their sampling variance, its centre weights each by precision.
    """
    if len(log_shape) < MIN_WINDOWS_FOR_PRIOR:
        return None
    variance = max(float(log_shape.var(ddof=1) - np.mean(error**2)), MIN_PRIOR_SD**2)
    return Prior(float(np.average(log_shape, weights=1 / (variance + error**2))), float(np.sqrt(variance)))
