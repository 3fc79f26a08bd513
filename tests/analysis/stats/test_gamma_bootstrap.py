"""Redraws of fitted windows: rejection at its nominal rate, and spread beyond chance where there is one."""

from __future__ import annotations

import numpy as np
import pytest

from burstlens.analysis.stats.gamma import cumulative
from burstlens.analysis.stats.gamma_bootstrap import (
    cell_cumulative,
    excess_spread,
    goodness_of_windows,
    redraw,
    refit,
    sums_of_cells,
)
from burstlens.analysis.stats.gap_sums import SINGLE, lowest_ticks


def test_cells_are_those_of_the_query() -> None:
    lowest = lowest_ticks(24)
    assert lowest[:18].tolist() == [*range(16), 16, 23]
    for cell in range(SINGLE, 24):
        assert SINGLE + np.floor(2 * np.log(lowest[cell] / 16) / np.log(2) + 1e-9) == cell
        assert SINGLE + np.floor(2 * np.log((lowest[cell] - 1) / 16) / np.log(2) + 1e-9) == cell - 1


@pytest.mark.parametrize(("shape", "mean"), [(0.2, 3.0), (1.0, 30.0), (5.0, 200.0)])
def test_cells_hold_the_mass_of_the_law(shape: float, mean: float) -> None:
    computed = cell_cumulative(np.array([shape]), np.array([mean]), 30)[0]
    exact = cumulative(lowest_ticks(31)[1:] - 1, shape, mean)
    np.testing.assert_allclose(computed[:-1], exact[:-1], atol=2e-4)
    assert computed[-1] == 1


def test_refits_of_redraws_find_the_shape() -> None:
    shape, mean = np.array([0.3, 1.0, 2.0]), np.array([40.0, 5.0, 12.0])
    drawn = redraw([200, 200, 200], shape, mean, 40, np.random.default_rng(2), 500)
    fits, means = refit(drawn.reshape(-1, 40).astype(float))
    np.testing.assert_allclose(np.median(fits.shape.reshape(500, 3), axis=0), shape, rtol=0.05)
    np.testing.assert_allclose(means.reshape(500, 3).mean(axis=0), mean, rtol=0.05)
    assert np.all(sums_of_cells(drawn[0].astype(float)).n == 200)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shape", "mean", "n"), [(0.2, 20.0, 40), (0.5, 5.0, 100), (1.0, 30.0, 60), (2.0, 2.0, 200)]
)
def test_true_gammas_are_rejected_as_often_as_they_should(shape: float, mean: float, n: int) -> None:
    p = goodness_of_windows(_cells_of(_gamma_gaps(shape, mean, (400, n))), np.random.default_rng(5)).p_value
    # 400 windows at 5 %: four standard deviations are 4.4 points.
    assert 0.01 <= np.mean(p <= 0.05) <= 0.095
    assert 0.42 <= np.mean(p <= 0.5) <= 0.6


def test_other_laws_are_rejected() -> None:
    rng = np.random.default_rng(8)
    lognormal = np.floor(rng.random((200, 150)) + np.exp(rng.normal(1.0, 1.5, (200, 150))))
    assert np.mean(goodness_of_windows(_cells_of(lognormal), rng).p_value <= 0.05) > 0.7


@pytest.mark.parametrize("n", [(30, 40), (30, 300)])
def test_equal_shapes_show_no_spread_beyond_chance(n: tuple[int, int]) -> None:
    lows = [_excess(0.0, n, seed).low for seed in range(20)]
    assert np.mean(np.array(lows) == 0) >= 0.8


def test_varying_shapes_show_theirs() -> None:
    found = [_excess(0.3, (30, 300), seed) for seed in range(20)]
    assert np.mean([f.low <= 0.3 <= f.high for f in found]) >= 0.8
    assert all(f.low > 0.2 for f in found)


def _excess(sd: float, n_range: tuple[int, int], seed: int):  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(seed)
    n = rng.integers(*n_range, 400)
    shape = 0.6 * np.exp(rng.normal(0, sd, 400)) if sd else np.full(400, 0.6)
    mean = np.exp(rng.normal(2.5, 0.7, 400))
    fits, means = refit(redraw(n, shape, mean, 45, rng, 1)[0].astype(float))
    centre = np.exp(fits.log_shape.mean())
    start = np.full(400, centre) if not sd else fits.shape
    again, _ = refit(redraw(n, start, means, 45, rng, 4).reshape(-1, 45).astype(float))
    return excess_spread(fits.log_shape, again.log_shape.reshape(4, -1) - np.log(start)).excess_sd


def _gamma_gaps(shape: float, mean: float, size: tuple[int, int]) -> np.ndarray:
    rng = np.random.default_rng(13)
    return np.floor(rng.random(size) + rng.gamma(shape, mean / shape, size))


def _cells_of(gaps: np.ndarray) -> np.ndarray:
    n_cells = 50
    cell = np.searchsorted(lowest_ticks(n_cells), gaps, side="right") - 1
    return np.stack([np.bincount(row, minlength=n_cells) for row in cell]).astype(float)
