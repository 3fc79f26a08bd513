"""Copulas against SciPy and closed forms; what is drawn from a joint model has its marginals and ranks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import special, stats

from burstlens.analysis.core.result import Interval
from burstlens.analysis.lengths.joint import (
    JointModel,
    Marginal,
    best_grid,
    expected_variation,
    gaussian_cells,
    gaussian_correlation,
    grid_cells,
    information,
    rank_grid,
    sample_lengths,
    spearman,
    spearman_interval,
    total_variation,
)

REQUEST = Marginal.of_law("log_normal", {"mu": 5.0, "sigma": 1.0}, 5000)
RESPONSE = Marginal.of_law("zipf", {"exponent": 0.8}, 1000)


def table(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Counts of pairs by distinct value of either side."""
    rows, columns = (np.unique(side, return_inverse=True)[1] for side in (first, second))
    out = np.zeros((rows.max() + 1, columns.max() + 1))
    np.add.at(out, (rows, columns), 1)
    return out


def quantized(scores: np.ndarray, step: float) -> np.ndarray:
    return np.floor(scores / step)


def normal_pairs(r: float, n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).multivariate_normal([0, 0], [[1, r], [r, 1]], n)


@settings(max_examples=50)
@given(counts=hnp.arrays(float, (4, 5), elements=st.integers(0, 6)))
def test_spearman_of_a_table_is_that_of_its_rows(counts: np.ndarray) -> None:
    rows, columns = np.nonzero(counts)
    times = counts[rows, columns].astype(int)
    first, second = np.repeat(rows, times), np.repeat(columns, times)
    if len(np.unique(first)) < 2 or len(np.unique(second)) < 2:
        return
    assert spearman(counts) == pytest.approx(stats.spearmanr(first, second).statistic, abs=1e-9)


def test_spearman_of_many_tables_at_once_and_of_one_value() -> None:
    tables = np.random.default_rng(0).integers(1, 9, (3, 4, 6)).astype(float)
    assert spearman(tables) == pytest.approx([float(spearman(one)) for one in tables])
    assert np.isnan(spearman(np.array([[3.0, 4.0]])))


def test_spearman_interval_covers_and_widens_where_stretches_are_alike() -> None:
    truth = 6 / np.pi * np.arcsin(0.5 / 2)
    edges = stats.norm.ppf(np.arange(1, 12) / 12)
    covered = []
    for seed in range(60):
        cells = np.searchsorted(edges, normal_pairs(0.5, 2000, seed))
        blocks = np.zeros((40, 12, 12))
        np.add.at(blocks, (np.arange(2000) % 40, cells[:, 0], cells[:, 1]), 1)
        value = float(spearman(blocks.sum(axis=0)))
        found = spearman_interval(value, blocks, np.random.default_rng(seed))
        covered.append(found.low <= truth <= found.high)
    assert np.mean(covered) >= 0.88
    # The same requests, each stretch one pair of lengths over and over.
    alike = np.zeros((40, 12, 12))
    for block, (i, j) in enumerate(cells[:40]):
        alike[block, i, j] = 50
    wide = spearman_interval(float(spearman(alike.sum(axis=0))), alike, np.random.default_rng(0))
    assert wide.high - wide.low > 4 * (found.high - found.low)


@pytest.mark.parametrize("r", [-0.9, -0.3, 0.0, 0.4, 0.8])
def test_gaussian_cells_are_rectangles_of_the_bivariate_normal(r: float) -> None:
    counts = np.outer([5.0, 1, 14, 30], [20.0, 10, 20])
    cells = gaussian_cells(counts, r)
    assert cells.sum() == pytest.approx(1)
    assert cells.sum(axis=1) == pytest.approx(counts.sum(axis=1) / counts.sum())
    rows, columns = (np.cumsum(counts.sum(axis=k))[:-1] / counts.sum() for k in (1, 0))
    law = stats.multivariate_normal([0, 0], [[1, r], [r, 1]])
    corner = [[law.cdf([special.ndtri(u), special.ndtri(v)]) for v in columns] for u in rows]
    assert np.cumsum(np.cumsum(cells, axis=0), axis=1)[:-1, :-1] == pytest.approx(np.array(corner), abs=1e-5)


@pytest.mark.parametrize("r", [-0.8, -0.2, 0.0, 0.35, 0.9])
def test_correlation_is_that_of_the_closed_form_without_ties_and_right_with_them(r: float) -> None:
    fine = np.ones((150, 150))
    rank = 6 / np.pi * np.arcsin(r / 2)
    found = gaussian_correlation(fine, Interval(rank, rank - 0.02, rank + 0.02))
    assert found.value == pytest.approx(r, abs=2e-3)
    assert found.low < found.value < found.high
    # Ties shrink Spearman's value; the correlation behind it is found all the same.
    counts = table(*quantized(normal_pairs(r, 40_000, 1), 1.3).T)
    tied = float(spearman(counts))
    assert gaussian_correlation(counts, Interval(tied, tied, tied)).value == pytest.approx(r, abs=0.02)


def test_rank_grid_has_even_margins_and_gives_back_a_table_that_it_resolves() -> None:
    counts = np.kron(np.array([[4.0, 0], [1, 3]]), np.ones((3, 3)))
    for k in (2, 3, 7):
        grid = rank_grid(counts, k)
        assert grid.sum() == pytest.approx(1)
        assert grid.sum(axis=1) == pytest.approx(np.full(k, 1 / k))
        assert grid.sum(axis=0) == pytest.approx(np.full(k, 1 / k))
    split = np.array([[40.0, 10], [10, 40]])
    assert grid_cells(split, rank_grid(split, 2)) == pytest.approx(split / 100)


def test_independent_lengths_make_an_even_grid() -> None:
    counts = np.outer([1.0, 7, 2, 5], [3.0, 1, 1])
    assert rank_grid(counts, 5) == pytest.approx(np.full((5, 5), 1 / 25))


def test_the_grid_is_as_fine_as_the_rows_pay_for() -> None:
    flat = table(*quantized(normal_pairs(0.0, 3000, 2), 0.5).T)
    assert len(best_grid(flat, flat)[0]) == 2
    x = np.random.default_rng(3).uniform(-3, 3, 40_000)
    bent = table(
        np.floor(x * 4), np.floor(4 * np.cos(2 * x) + np.random.default_rng(4).normal(0, 0.5, 40_000))
    )
    grid, score = best_grid(bent, bent)
    assert len(grid) == 16
    assert grid.reshape(4, 4, 4, 4).sum(axis=(1, 3)) == pytest.approx(rank_grid(bent, 4))
    assert score == pytest.approx(information(bent, grid_cells(bent, grid), (len(grid) - 1) ** 2))


def test_total_variation_and_what_chance_alone_makes_of_it() -> None:
    assert total_variation(np.array([0.5, 0.5]), np.array([1.0, 0.0])) == pytest.approx(0.5)
    law, n = np.full(50, 0.02), 5000
    rng = np.random.default_rng(5)
    drawn = [total_variation(rng.multinomial(n, law) / n, law) for _ in range(200)]
    assert expected_variation(law, n) == pytest.approx(np.mean(drawn), rel=0.03)


@pytest.mark.parametrize("r", [-0.6, 0.0, 0.3, 0.7])
def test_drawn_lengths_have_the_marginals_and_the_rank_correlation(r: float) -> None:
    lengths = sample_lengths(JointModel(REQUEST, RESPONSE, r), 40_000, np.random.default_rng(6))
    assert lengths.shape == (40_000, 2)
    for side, law in zip(lengths.T, (REQUEST, RESPONSE), strict=True):
        expected = np.interp(np.arange(1, 5001), law.values, law.cumulative)
        found = np.searchsorted(np.sort(side), np.arange(1, 5001), side="right") / len(side)
        assert np.abs(found - expected).max() < 0.012
    assert stats.spearmanr(lengths).statistic == pytest.approx(6 / np.pi * np.arcsin(r / 2), abs=0.02)


def test_a_rank_grid_draws_a_dependence_that_no_correlation_tells() -> None:
    rng = np.random.default_rng(7)
    request = np.rint(np.exp(rng.normal(5, 1, 60_000))) + 1
    high = np.abs(np.log(request) - 5) > 0.7
    response = np.where(high, rng.integers(1, 60, 60_000), rng.integers(200, 400, 60_000)).astype(float)
    cells = [np.floor(4 * np.log(side)) for side in (request, response)]
    counts = table(*cells)
    marginals = [
        Marginal.of_counts(*(a.astype(float) for a in np.unique(side, return_counts=True)))
        for side in (request, response)
    ]
    r = gaussian_correlation(counts, Interval(float(spearman(counts)), -0.1, 0.1)).value
    grid = rank_grid(table(request, response), 12)
    edges = [np.arange(max(side.max(), 4 * np.log(20_000)) + 2) for side in cells]
    seen = np.histogram2d(*cells, bins=edges)[0] / 60_000
    off = {}
    for name, model in {
        "independent": JointModel(marginals[0], marginals[1], 0.0),
        "gaussian": JointModel(marginals[0], marginals[1], r),
        "grid": JointModel(marginals[0], marginals[1], r, grid),
    }.items():
        lengths = sample_lengths(model, 60_000, rng)
        drawn = np.histogram2d(*np.floor(4 * np.log(lengths)).T, bins=edges)[0] / 60_000
        off[name] = total_variation(drawn, seen)
        for side, truth in zip(lengths.T, (request, response), strict=True):
            assert np.median(side) == pytest.approx(np.median(truth), rel=0.05)
    assert off["grid"] < 0.25 * off["gaussian"]
    assert off["gaussian"] <= off["independent"] + 0.02


def test_the_same_seed_draws_the_same_lengths() -> None:
    model = JointModel(REQUEST, RESPONSE, 0.5, np.array([[0.4, 0.1], [0.1, 0.4]]))
    first, second = (sample_lengths(model, 50, np.random.default_rng(8)) for _ in range(2))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, sample_lengths(model, 50, np.random.default_rng(9)))


def test_drawn_lengths_stay_between_one_and_the_maximum() -> None:
    ends = REQUEST.quantile(np.array([0.0, 1e-300, 1 - 1e-16, 1.0]))
    assert ends.min() == 1
    assert ends.max() == 5000
