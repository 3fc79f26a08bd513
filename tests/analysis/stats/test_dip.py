"""The dip against its definition as a linear program, closed forms, and its own null."""

from __future__ import annotations

import diptest
import numpy as np
import pytest
from scipy import optimize

from burstlens.analysis.stats.dip import dip, p_value


def dip_by_definition(sample: np.ndarray) -> float:
    """The smallest distance to a unimodal distribution function, mode by mode, as a linear program.

    Unknown are the function's values at the sample (two at the mode, where it may jump) and the distance.
    """
    x = np.sort(sample)
    n, best = len(x), np.inf
    for mode in range(n):
        at = np.concatenate([x[: mode + 1], x[mode:]])
        before = np.concatenate([np.arange(mode + 1), np.arange(mode, n)]) / n
        after = before + 1 / n
        rows: list[np.ndarray] = []
        limits: list[float] = []

        def add(terms: dict[int, float], limit: float, rows: list = rows, limits: list = limits) -> None:
            row = np.zeros(n + 2)
            for place, value in terms.items():
                row[place] = value
            rows.append(row)
            limits.append(limit)

        for v in range(n + 1):
            steps = {mode: [before[v]], mode + 1: [after[v]]}.get(v, [before[v], after[v]])
            for step in steps:
                add({v: 1, n + 1: -1}, step)
                add({v: -1, n + 1: -1}, -step)
        for v in range(n):
            add({v: 1, v + 1: -1}, 0)
        for v in [*range(1, mode), *range(mode + 2, n)]:
            left, right = 1 / (at[v] - at[v - 1]), 1 / (at[v + 1] - at[v])
            sign = 1 if v < mode else -1
            add({v - 1: -sign * left, v: sign * (left + right), v + 1: -sign * right}, 0)
        cost = np.zeros(n + 2)
        cost[-1] = 1
        found = optimize.linprog(cost, A_ub=np.array(rows), b_ub=limits, bounds=[(0, 1)] * (n + 2))
        assert found.fun is not None
        best = min(best, float(found.fun))
    return best


@pytest.mark.parametrize("seed", range(8))
def test_dip_is_the_distance_to_the_closest_unimodal_law(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sample = rng.random(9) if seed % 2 else np.concatenate([rng.normal(size=5), rng.normal(6, 1, size=6)])
    assert dip(sample) == pytest.approx(dip_by_definition(sample), abs=1e-9)


@pytest.mark.parametrize("n", [5, 60, 3000])
def test_dip_equals_that_of_the_diptest_package(n: int) -> None:
    rng = np.random.default_rng(n)
    for sample in (rng.random(n), rng.gamma(0.5, size=n), rng.normal(size=n) + 4 * (np.arange(n) % 2)):
        assert dip(sample) == pytest.approx(diptest.dipstat(sample), abs=1e-12)


def test_even_spacing_has_the_smallest_dip_and_two_points_the_largest() -> None:
    assert dip(np.arange(50.0)) == pytest.approx(1 / 100)
    two = np.concatenate([np.linspace(0, 1e-9, 500), np.linspace(1, 1 + 1e-9, 500)])
    assert dip(two) == pytest.approx(0.25, abs=0.002)


def test_dip_does_not_change_with_scale_or_direction() -> None:
    sample = np.random.default_rng(1).gamma(0.5, size=200)
    assert dip(-3 * sample + 7) == pytest.approx(dip(sample))


def test_too_few_values_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 4"):
        dip(np.array([1.0, 2.0, 3.0]))


@pytest.mark.parametrize("n", [60, 4000])
def test_one_mode_is_rejected_at_the_nominal_rate(n: int) -> None:
    rng = np.random.default_rng(2)
    rejected = [p_value(dip(rng.random(n)), n) < 0.05 for _ in range(120)]
    assert np.mean(rejected) <= 0.12
    assert not any(p_value(dip(rng.normal(size=n)), n) < 0.05 for _ in range(20))


def test_two_modes_are_found() -> None:
    rng = np.random.default_rng(3)
    sample = np.concatenate([rng.normal(size=300), rng.normal(4, 1, size=300)])
    assert p_value(dip(sample), len(sample)) < 0.01
