"""Dispersion of counts and gaps: against plain NumPy, against Poisson, against what fits regenerate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from burstlens.analysis.stats.renewal import count_variance, sample_arrivals
from burstlens.analysis.trace.trace import Trace
from burstlens.analysis.traffic.arrivals import describe_arrivals
from burstlens.analysis.traffic.burstiness import describe_burstiness
from tests.analysis.planted import trace_of


def test_counts_of_the_real_week_equal_plain_numpy(week: Trace, traces: Callable[[str], Path]) -> None:
    """Index of dispersion and peak at every width, empty bins included, from the raw stamps."""
    stamp = pl.read_csv(traces("burstgpt_1_first7days.csv"))["Timestamp"].to_numpy()
    found = describe_burstiness(week).dispersion.filter(pl.col("selection") == "all")
    assert found["width_s"].to_list() == [1, 10, 60, 600, 3600]
    span = stamp.max() - stamp.min() + 1
    for row in found.iter_rows(named=True):
        bins = int(span // row["width_s"])
        place = ((stamp - stamp.min()) // row["width_s"]).astype(int)
        counts = np.bincount(place[place < bins], minlength=bins)
        assert row["bins"] == bins
        assert row["peak"] == counts.max()
        assert row["idc"] == pytest.approx(counts.var(ddof=1) / counts.mean(), rel=1e-9)
        assert row["peak_to_mean"] == pytest.approx(counts.max() / counts.mean(), rel=1e-9)
        assert row["idc_low"] < row["idc"] < row["idc_high"]


def test_gaps_of_the_real_week_equal_plain_numpy(week: Trace, traces: Callable[[str], Path]) -> None:
    stamp = np.sort(pl.read_csv(traces("burstgpt_1_first7days.csv"))["Timestamp"].to_numpy())
    row = describe_burstiness(week).gaps.row(by_predicate=pl.col("selection") == "all", named=True)
    gap = np.diff(stamp)
    assert row["n"] == len(gap)
    assert row["mean_gap_s"] == pytest.approx(gap.mean())
    assert row["cv"] == pytest.approx(gap.std(ddof=1) / gap.mean())
    assert row["cv_low"] < row["cv"] < row["cv_high"]


def test_poisson_arrivals_lie_in_the_poisson_bands() -> None:
    times = np.floor(np.cumsum(np.random.default_rng(3).exponential(5.0, 200_000)))
    found = describe_burstiness(trace_of(times))
    dispersion = found.dispersion
    assert len(dispersion) == 5
    # Five widths at 95 %: at least four inside, and all within twice the band.
    half = (dispersion["idc_poisson_high"] - dispersion["idc_poisson_low"]) / 2
    off = (dispersion["idc"] - 1).abs() / half
    assert (off < 1).sum() >= 4
    assert off.max() < 2  # type: ignore[operator]
    assert (dispersion["idc_low"] <= 1.05).all()
    assert (dispersion["idc_high"] >= 0.95).all()
    inside = (dispersion["peak_to_mean"] >= dispersion["peak_to_mean_poisson_low"] * 0.999) & (
        dispersion["peak_to_mean"] <= dispersion["peak_to_mean_poisson_high"] * 1.001
    )
    assert inside.sum() >= 4
    gaps = found.gaps.row(0, named=True)
    assert gaps["cv_poisson_low"] < gaps["cv"] < gaps["cv_poisson_high"]
    assert any("cannot tell load per minute from Poisson" in sentence for sentence in found.sentences())


def test_poisson_bands_hold_95_of_100_poisson_processes() -> None:
    """Sparse counts too: the band of the index against simulation, conditional on nothing."""
    rng = np.random.default_rng(1)
    bins, mean = 500, 0.3
    counts = rng.poisson(mean, (4000, bins))
    index = counts.var(axis=1, ddof=1) / counts.mean(axis=1)
    times = np.sort(np.concatenate([np.repeat(np.arange(bins), counts[0]), [0, bins - 1]]))
    row = describe_burstiness(trace_of(times.astype(float))).dispersion.row(0, named=True)
    assert row["width_s"] == 1
    covered = np.mean((index > row["idc_poisson_low"]) & (index < row["idc_poisson_high"]))
    assert 0.93 < covered < 0.97


@pytest.mark.slow
@pytest.mark.parametrize("shape", [0.1, 0.5, 1.0, 3.0])
@pytest.mark.parametrize("expected", [0.05, 1.0, 20.0, 400.0])
def test_counts_of_a_renewal_process_scatter_as_predicted(shape: float, expected: float) -> None:
    bins = 20_000
    times = sample_arrivals([0.0], [shape], [1.0], expected * bins, np.random.default_rng(2))
    counts = np.bincount((times / expected).astype(int), minlength=bins)[:bins]
    # Variances of long-tailed counts are themselves uncertain; sparse, bursty ones by some 8 %.
    assert count_variance(expected, shape) == pytest.approx(counts.var(), rel=0.1)


def test_counts_of_poisson_arrivals_have_their_mean_as_variance() -> None:
    expected = np.geomspace(1e-4, 1e5, 40)
    np.testing.assert_allclose(count_variance(expected, 1.0), expected, rtol=0.01)


def test_fitted_windows_regenerate_the_dispersion_they_were_fitted_to() -> None:
    """Drawn from windows, refitted, and told by formula: the index matches at every width."""
    rng = np.random.default_rng(4)
    n = 72 * 10
    rate = 0.05 * (1 + 0.9 * np.sin(np.arange(n) * 2 * np.pi / 72)) * np.exp(rng.normal(0, 0.3, n))
    times = sample_arrivals(np.arange(n) * 1200.0, np.full(n, 0.4), rate, 1200.0, rng)
    found = describe_burstiness(trace_of(np.floor(times))).dispersion
    ratio = found["idc_regenerated"] / found["idc"]
    assert ratio.is_between(0.88, 1.12).all(), ratio.to_list()
    assert (found["idc"] > found["idc_poisson_high"]).all()
    inside = found["peak_to_mean"].is_between(
        found["peak_to_mean_regenerated_low"] * 0.9, found["peak_to_mean_regenerated_high"] * 1.1
    )
    assert inside.sum() >= 4


@pytest.mark.slow
def test_conversation_of_the_real_week_is_overdispersed_at_every_width(week: Trace) -> None:
    found = describe_burstiness(week)
    rows = found.dispersion.filter(pl.col("selection") == "conversation · ChatGPT")
    assert (rows["idc_low"] > rows["idc_poisson_high"])[1:].all()
    assert rows["idc"].is_sorted()
    assert found.gaps.filter(pl.col("selection") == "conversation · ChatGPT")["cv"].item() > 3


@pytest.mark.slow
def test_rate_variation_does_not_depend_on_the_share_of_requests_sampled() -> None:
    rng = np.random.default_rng(8)
    n = 72 * 14
    rate = np.exp(rng.normal(-2, 0.6, n))
    times = sample_arrivals(np.arange(n) * 1200.0, np.ones(n), rate, 1200.0, rng)
    sampled = times[rng.random(len(times)) < 0.3]
    full, thinned = (describe_burstiness(trace_of(np.floor(t))).dispersion for t in (times, sampled))
    row, fewer = (f.row(by_predicate=pl.col("width_s") == 60, named=True) for f in (full, thinned))
    assert fewer["idc"] < 0.6 * row["idc"]
    assert fewer["rate_cv2"] == pytest.approx(row["rate_cv2"], rel=0.1)


@pytest.mark.slow
def test_arrivals_at_hand_give_the_same_answer(week: Trace) -> None:
    without_arrivals = describe_burstiness(week, seed=2)
    given = describe_burstiness(week, seed=2, arrivals=describe_arrivals(week, seed=2))
    for name, table in without_arrivals.tables().items():
        assert table.equals(given.tables()[name]), name


def test_fine_stamps_are_counted_by_the_second() -> None:
    rng = np.random.default_rng(5)
    times = np.cumsum(rng.exponential(0.05, 60_000))
    floored, fine = (
        describe_burstiness(trace_of(t, digits=d)).dispersion for t, d in ((times, 0), (times, 4))
    )
    # Bins start with the first arrival, up to a second apart; the counts are nearly the same.
    assert fine["width_s"].to_list() == floored["width_s"].to_list()
    np.testing.assert_allclose(fine["mean_count"], floored["mean_count"], rtol=0.01)


def test_holes_are_not_silence() -> None:
    rng = np.random.default_rng(6)
    first = np.cumsum(rng.exponential(10.0, 60_000))
    second = first[-1] + 40 * 86_400 + np.cumsum(rng.exponential(10.0, 60_000))
    found = describe_burstiness(trace_of(np.floor(np.concatenate([first, second])))).dispersion
    assert found["mean_count"].to_list() == pytest.approx((found["width_s"] / 10).to_list(), rel=0.02)
    assert found["idc"].max() < 1.3  # type: ignore[operator]


def test_counts_spread_over_minutes_start_at_a_minute() -> None:
    times = np.floor(np.cumsum(np.random.default_rng(5).exponential(20.0, 9000)))
    trace = trace_of(times)
    spread = replace(trace, info=replace(trace.info, spread=True))
    found = describe_burstiness(spread)
    assert found.dispersion["width_s"].to_list() == [60, 600, 3600]
    assert found.dispersion["idc"].null_count() == 0
    assert len(found.gaps) == 0
    assert len(describe_arrivals(spread).windows) == 0
    assert any("per minute" in sentence for sentence in found.missing)
    assert all("reproduce" not in sentence for sentence in found.sentences())


@pytest.mark.parametrize("times", [[5.0], [5.0, 5.0], [0.0, 30.0, 31.0]])
def test_a_handful_of_requests_is_no_error(times: list[float]) -> None:
    found = describe_burstiness(trace_of(np.array(times)))
    assert found.missing
    assert found.sentences() is not None
