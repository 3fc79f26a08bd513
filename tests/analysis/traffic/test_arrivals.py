"""Arrivals per window: the queries against NumPy, planted traces, and the real week."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from burstlens.analysis.stats.gap_sums import SINGLE, lowest_ticks
from burstlens.analysis.stats.renewal import sample_arrivals
from burstlens.analysis.trace.trace import Trace
from burstlens.analysis.trace.window_gaps import windows_of
from burstlens.analysis.traffic.arrivals import describe_arrivals
from burstlens.analysis.traffic.window_fits import MIN_UNSHRUNK_GAPS
from tests.analysis.planted import trace_of


def test_sums_of_every_window_equal_those_of_plain_numpy(week: Trace, traces: Callable[[str], Path]) -> None:
    """Counts, sums of gaps, squares and logs of all windows and selections of the real week, row by row."""
    log = pl.read_csv(traces("burstgpt_1_first7days.csv"))
    windows = windows_of(week, 1200.0)
    assert len(windows) == 504
    found = {selection.selection_id: gaps for selection, gaps in week.window_gaps(windows)}
    for selection in week.selections:
        rows = log
        if selection.service is not None:
            rows = rows.filter(pl.col("Log Type").str.to_lowercase().str.starts_with(selection.service))
        if selection.model is not None:
            rows = rows.filter(pl.col("Model") == selection.model)
        stamp = np.sort(rows["Timestamp"].to_numpy())
        assert len(stamp) == selection.n
        begin, gap = stamp[:-1], np.diff(stamp).astype(float)
        window = (begin // 1200).astype(int)
        here = found[selection.selection_id]
        np.testing.assert_array_equal(here.requests, np.bincount(stamp // 1200, minlength=504))
        log_gap = np.log(np.maximum(gap, 1))
        cell = np.searchsorted(lowest_ticks(60), gap, side="right") - 1
        cells = np.zeros((504, here.full.cells.shape[1]))
        np.add.at(cells, (window, cell), 1)
        np.testing.assert_array_equal(here.full.cells, cells)
        np.testing.assert_array_equal(here.full.sums.counts, cells[:, :SINGLE])
        for weights, sums in (
            (np.where(gap >= SINGLE, gap, 0), here.full.sums.tail_sum),
            (np.where(gap >= SINGLE, log_gap, 0), here.full.sums.tail_log_sum),
            (gap**2, here.full.square_sum),
        ):
            np.testing.assert_allclose(sums, np.bincount(window, weights, 504), rtol=1e-9, atol=1e-7)


def test_gaps_over_a_border_are_measured_at_their_windows_pace() -> None:
    """Ten requests in the first window, five in the second: a second of it counts half."""
    first = np.arange(10) * 10.0
    second = 140.0 + np.arange(5) * 10
    trace = trace_of(np.concatenate([first, second, [199.0]]))
    _, here = next(trace.window_gaps(windows_of(trace, 100.0)))
    assert here.full.sums.mean[0] == pytest.approx((9 * 10 + 50) / 10)
    assert here.own.sums.mean[0] == pytest.approx((9 * 10 + 10 + 40 * 6 / 10) / 10)
    assert here.own.sums.n.tolist() == [10, 5]


@pytest.mark.parametrize("shape", [0.3, 1.0])
def test_constant_arrivals_are_fitted_without_bias(shape: float) -> None:
    """Neither the rate nor the shape of a constant process may depend on where the borders fall."""
    n = 1500
    rng = np.random.default_rng(3)
    times = sample_arrivals(np.arange(n) * 1200.0, np.full(n, shape), np.full(n, 0.05), 1200.0, rng)
    windows = describe_arrivals(trace_of(np.floor(times))).windows.filter(~pl.col("shrunk"))
    assert windows["shape_raw"].median() == pytest.approx(shape, rel=0.05)
    assert (1 / windows["mean_gap_s"]).mean() == pytest.approx(0.05, rel=0.03)


def test_silence_after_a_storm_is_not_taken_for_its_gap() -> None:
    n = 600
    rng = np.random.default_rng(4)
    rate = np.where(np.arange(n) % 6 == 0, 0.2, 0.0005)
    times = sample_arrivals(np.arange(n) * 1200.0, np.full(n, 1.0), rate, 1200.0, rng)
    storms = describe_arrivals(trace_of(np.floor(times))).windows.filter(pl.col("n") > 100)
    assert len(storms) == 100
    assert storms["shape_raw"].median() == pytest.approx(1.0, rel=0.05)
    assert storms["mean_gap_s"].median() == pytest.approx(5.0, rel=0.05)


def test_every_window_is_listed_with_what_it_has(week: Trace) -> None:
    windows = describe_arrivals(week).windows
    assert len(windows) == 504 * len(week.selections)
    everything = windows.filter(pl.col("selection") == "all")
    assert everything["n"].sum() == 19_431
    unfitted = everything.filter("unfitted")
    assert unfitted["gaps"].max() == 4
    assert unfitted["shape"].null_count() == len(unfitted)
    fitted = everything.filter(~pl.col("unfitted"))
    assert fitted["shape"].null_count() == 0
    assert (fitted["gaps"] < MIN_UNSHRUNK_GAPS).to_list() == fitted["shrunk"].to_list()
    products = fitted["rate"] * fitted["scale"]
    np.testing.assert_allclose(products, 1, rtol=1e-12)
    np.testing.assert_allclose(fitted["shape"] * fitted["scale"], fitted["mean_gap_s"], rtol=1e-12)
    np.testing.assert_allclose(fitted["cv_fit"] ** -2, fitted["shape"], rtol=1e-12)
    assert ((fitted["shape_low"] < fitted["shape"]) & (fitted["shape"] < fitted["shape_high"])).all()


def test_working_hours_are_weekdays_from_nine_to_eighteen(week: Trace) -> None:
    """2023-11-01 is a Wednesday: five weekdays of 27 windows, not the Saturday and Sunday."""
    windows = describe_arrivals(week).windows.filter(pl.col("selection") == "all")
    working = windows.filter("working_hours")
    assert len(working) == 5 * 27
    assert set((working["start_s"] // 86_400).to_list()) == {0, 1, 2, 5, 6}
    assert working["n"].mean() > 2 * windows.filter(~pl.col("working_hours"))["n"].mean()  # type: ignore[operator]


def test_conversation_windows_of_the_real_week_are_nearly_poisson(week: Trace) -> None:
    """What exact treatment of the stamps finds, where clipped zeros would give shapes far below one."""
    found = describe_arrivals(week)
    shape = found.spread.filter(
        (pl.col("selection") == "conversation · ChatGPT") & (pl.col("quantity") == "shape")
    )
    assert shape["scope"].to_list() == ["all hours", "weekday working hours"]
    assert all(0.9 < median < 1.2 for median in shape["median"])
    assert all(found.spread.filter(pl.col("quantity") == "rate_rps")["excess_log_sd"] >= 0)
    rate = found.spread.filter(
        (pl.col("selection") == "conversation · ChatGPT") & (pl.col("quantity") == "rate_rps")
    )
    assert all(rate["excess_log_sd_low"] > shape["excess_log_sd_high"])


def test_rate_of_the_real_week_is_requests_over_span(week: Trace) -> None:
    overall = describe_arrivals(week).overall
    row = overall.row(by_predicate=pl.col("selection") == "conversation · ChatGPT", named=True)
    assert row["rate_rps"] == pytest.approx(12_566 / (week.end_s - week.start_s + 1))
    assert row["rate_rps_low"] < row["rate_rps"] < row["rate_rps_high"]
    assert row["interval_by"] == "resampled days"


def test_planted_spread_is_larger_than_chance() -> None:
    n = 500
    rng = np.random.default_rng(9)
    same = np.full(n, 0.6)
    varying = 0.6 * np.exp(rng.normal(0, 0.4, n))
    rate = np.full(n, 0.08)
    rows = []
    for shape in (same, varying):
        times = sample_arrivals(np.arange(n) * 1200.0, shape, rate, 1200.0, rng)
        spread = describe_arrivals(trace_of(np.floor(times))).spread
        rows.append(spread.row(by_predicate=pl.col("quantity") == "shape", named=True))
    assert rows[0]["excess_log_sd_low"] == 0
    assert rows[0]["excess_log_sd_high"] < 0.15
    assert rows[1]["excess_log_sd_low"] < 0.4 < rows[1]["excess_log_sd_high"] + 0.05
    assert rows[1]["excess_log_sd_low"] > 0.25


def test_fine_stamps_take_the_continuous_law_and_ties_the_exact_one() -> None:
    rng = np.random.default_rng(6)
    times = np.cumsum(rng.gamma(2.0, 0.1, 20_000))
    fine = describe_arrivals(trace_of(times, digits=7))
    tied = describe_arrivals(trace_of(times, digits=3))
    assert set(fine.windows["law"]) == {"continuous"}
    assert set(tied.windows["law"]) == {"whole-tick"}
    for found in (fine, tied):
        assert found.overall["shape"].item() == pytest.approx(2.0, rel=0.03)


def test_crowded_stamps_are_flagged() -> None:
    times = np.floor(np.cumsum(np.random.default_rng(6).exponential(0.1, 30_000)))
    windows = describe_arrivals(trace_of(times), window_s=600.0).windows
    assert windows["resolution_limited"].all()
    assert windows["p_value"].null_count() == len(windows)


def test_the_same_seed_gives_the_same_answer(week: Trace) -> None:
    first, again = describe_arrivals(week, seed=3), describe_arrivals(week, seed=3)
    for name, table in first.tables().items():
        assert table.equals(again.tables()[name]), name


@pytest.mark.parametrize("times", [[5.0], [5.0, 5.0, 5.0], [0.0, 90.0, 100.0]])
def test_a_handful_of_requests_is_no_error(times: list[float]) -> None:
    found = describe_arrivals(trace_of(np.array(times)))
    assert found.windows["unfitted"].all()
    assert len(found.spread) == 0
    assert any("Too short to say" in sentence for sentence in found.missing)


def test_a_schedule_regenerates_the_trace_it_was_fitted_to(week: Trace) -> None:
    found = describe_arrivals(week)
    start, shape, rate = found.schedule("conversation")
    times = sample_arrivals(start, shape, rate, 1200.0, np.random.default_rng(1))
    assert len(times) == pytest.approx(19_120, rel=0.03)
    again = describe_arrivals(trace_of(np.floor(times), day0=date(2023, 11, 1)))
    pick = (pl.col("quantity") == "shape") & (pl.col("scope") == "all hours")
    planted = found.spread.filter(pick & (pl.col("selection") == "conversation"))["median"].item()
    assert again.spread.filter(pick)["median"].item() == pytest.approx(planted, rel=0.1)
