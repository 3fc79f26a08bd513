"""The generator of arrivals: rates, shapes and borders as its construction promises."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from burstlens.analysis.stats.renewal import sample_arrivals


def test_constant_windows_are_one_gamma_renewal_process() -> None:
    times = sample_arrivals(np.arange(400) * 600.0, np.full(400, 0.5), np.full(400, 0.2), 600.0, _rng())
    gaps = np.diff(times)
    # Borders leave no trace: the gaps are Gamma of mean 5 s throughout, independent of each other.
    assert stats.kstest(gaps, stats.gamma(0.5, scale=10).cdf).pvalue > 0.001
    assert abs(np.corrcoef(gaps[1:], gaps[:-1])[0, 1]) < 4 / np.sqrt(len(gaps))


@pytest.mark.parametrize("shape", [0.05, 0.5, 1.0, 4.0])
def test_no_request_is_lost_or_added_at_borders(shape: float) -> None:
    """Three expected requests a window, far fewer than a gap of a bursty process may span."""
    rng = _rng()
    counts = [
        len(sample_arrivals(np.arange(20) * 10.0, np.full(20, shape), np.full(20, 0.3), 10.0, rng))
        for _ in range(2000)
    ]
    assert abs(np.mean(counts) - 60) < 4 * np.std(counts) / np.sqrt(2000)


def test_each_window_holds_its_own_rate_and_shape() -> None:
    rate, shape = np.array([0.5, 5.0]), np.array([3.0, 0.4])
    start = np.array([0.0, 20_000.0])
    times = sample_arrivals(start, shape, rate, 20_000.0, _rng())
    for i in range(2):
        gaps = np.diff(times[(times >= start[i]) & (times < start[i] + 20_000)])
        assert 1 / gaps.mean() == pytest.approx(rate[i], rel=0.05)
        assert (gaps.mean() / gaps.std()) ** 2 == pytest.approx(shape[i], rel=0.05)


def test_silent_windows_and_holes_hold_nothing() -> None:
    start = np.array([0.0, 100.0, 1000.0])
    times = sample_arrivals(start, [0.5, np.nan, 0.5], [2.0, 0.0, 2.0], 100.0, _rng())
    assert not np.any((times > 100) & (times < 1000))
    assert np.sum(times < 100) > 50
    assert np.sum(times > 1000) > 50
    assert len(sample_arrivals([], [], [], 100.0, _rng())) == 0
    assert len(sample_arrivals([0.0], [1.0], [0.0], 100.0, _rng())) == 0


@pytest.mark.parametrize(
    ("start", "shape", "rate", "message"),
    [
        ([0.0, 50.0], [1.0, 1.0], [1.0, 1.0], "overlap"),
        ([0.0, 100.0], [1.0, np.nan], [1.0, 1.0], "needs a shape"),
        ([0.0, 100.0], [1.0, 1.0], [1.0, -1.0], "zero or more"),
    ],
)
def test_impossible_windows_are_refused(
    start: list[float], shape: list[float], rate: list[float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        sample_arrivals(start, shape, rate, 100.0, _rng())


@given(
    seed=st.integers(0, 2**32 - 1),
    windows=st.lists(st.tuples(st.floats(0.05, 5.0), st.floats(0.0, 2.0)), min_size=1, max_size=8),
)
def test_arrivals_are_in_order_within_windows_and_the_same_for_the_same_seed(
    seed: int, windows: list[tuple[float, float]]
) -> None:
    shape, rate = np.array(windows).T
    start = np.arange(len(shape)) * 60.0
    times = sample_arrivals(start, shape, rate, 60.0, np.random.default_rng(seed))
    again = sample_arrivals(start, shape, rate, 60.0, np.random.default_rng(seed))
    assert np.array_equal(times, again)
    assert np.all(np.diff(times) >= 0)
    window = np.minimum(times // 60, len(rate) - 1).astype(int)
    # A time on a border may round to either side.
    inside = (times % 60 > 1e-6) & (times % 60 < 60 - 1e-6)
    assert np.all(rate[window[inside]] > 0)


def _rng() -> np.random.Generator:
    return np.random.default_rng(20231101)
