"""Quantiles and ranks equal those of SciPy's statistics, which are too slow to import."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from scipy import stats

from burstlens.analysis.stats import quantiles

PROBABILITIES = (1e-6, 0.025, 0.3, 0.5, 0.975, 1 - 1e-9)


@pytest.mark.parametrize("p", PROBABILITIES)
def test_quantiles_equal_those_of_scipy(p: float) -> None:
    assert quantiles.normal(p) == pytest.approx(stats.norm.ppf(p), rel=1e-12, abs=1e-12)
    for freedom in (1, 6, 400):
        assert quantiles.student(p, freedom) == pytest.approx(stats.t.ppf(p, freedom), rel=1e-9, abs=1e-9)
    for degrees in (9.0, 5000.0, 4e7):
        assert quantiles.chi_square(p, degrees) == pytest.approx(stats.chi2.ppf(p, degrees), rel=1e-9)
    for mean in (0.003, 1.0, 900.0):
        assert quantiles.poisson([p, p], mean) == pytest.approx(stats.poisson.ppf([p, p], mean))
    for n in (6, 501, 32_000):
        assert quantiles.binomial(p, n, 0.5) == stats.binom.ppf(p, n, 0.5)


def test_ranks_and_their_correlation_equal_those_of_scipy() -> None:
    rng = np.random.default_rng(1)
    for x in (rng.integers(0, 9, 500), rng.normal(size=500), np.ones(5), np.empty(0)):
        np.testing.assert_array_equal(quantiles.ranks(x), stats.rankdata(x))
    x, y = rng.integers(0, 9, 500), rng.normal(size=500)
    assert quantiles.spearman(x, y) == pytest.approx(stats.spearmanr(x, y).statistic)


def test_a_characterization_loads_no_library_that_it_can_do_without() -> None:
    heavy = [
        "scipy.stats",
        "scipy.signal",
        "scipy.interpolate",
        "scipy.integrate",
        "statsmodels",
        "altair",
        "pandas",
    ]
    code = f"import sys, burstlens.analysis.characterize; print([m for m in {heavy} if m in sys.modules])"
    output = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert output.stdout.strip() == "[]"
