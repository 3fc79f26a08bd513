"""Planted modes come back from both tests; what is not there is not found."""

from __future__ import annotations

import numpy as np
import pytest

from burstlens.analysis.lengths.families import LogNormals, fit_lengths
from burstlens.analysis.lengths.modality import MAX_TESTED_ROWS, Modality, dequantised, modality, peaks
from burstlens.analysis.stats.likelihood import Histogram


def modality_of(tokens: np.ndarray) -> dict[str, Modality]:
    data = Histogram.of(np.maximum(np.rint(tokens), 1))
    maximum = int(data.values[-1])
    fits = [fit_lengths(LogNormals(maximum, k), data) for k in (1, 2, 3)]
    return {found.scale: found for found in modality(data, fits, maximum, [0])}


def test_one_log_normal_has_one_mode() -> None:
    tokens = np.exp(np.random.default_rng(0).normal(5.5, 0.9, 8000))
    for found in modality_of(tokens).values():
        assert found.verdict == "one mode"
        assert found.valley == 0
    assert modality_of(tokens)["log tokens"].modes[0] == pytest.approx(np.exp(5.5), rel=0.1)


def test_two_far_log_normals_have_two_modes_at_their_places() -> None:
    rng = np.random.default_rng(1)
    tokens = np.exp(np.concatenate([rng.normal(3, 0.4, 4000), rng.normal(6, 0.4, 6000)]))
    found = modality_of(tokens)["log tokens"]
    assert found.verdict == "several modes"
    assert found.modes == pytest.approx((np.exp(3), np.exp(6)), rel=0.08)
    assert found.valley > 0.8
    assert found.delta_bic > 1000


def test_a_mode_on_the_scale_of_tokens_need_not_be_one_on_the_log_scale() -> None:
    rng = np.random.default_rng(2)
    tokens = np.concatenate([rng.exponential(60, 6000), rng.normal(500, 60, 6000)])
    found = modality_of(tokens[tokens > 0.5])
    assert found["tokens"].verdict == "several modes"
    # The shares of a log scale peak where x·density does, an exponential's at its mean.
    assert found["tokens"].modes[0] < 15
    assert found["log tokens"].modes[0] > 30


def test_a_mixture_that_the_dip_misses_has_its_own_verdict() -> None:
    rng = np.random.default_rng(3)
    tokens = np.exp(np.concatenate([rng.normal(4, 1.2, 1500), rng.normal(6, 0.45, 1500)]))
    found = modality_of(tokens)["log tokens"]
    assert found.components > 1
    assert found.verdict in {"one mode", "several modes by the mixture only"}


def test_sampling_down_keeps_the_shares_and_undoes_the_rounding() -> None:
    data = Histogram(np.array([1.0, 10.0, 1000.0]), np.array([100_000.0, 60_000.0, 40_000.0]))
    tokens = dequantised(data, np.random.default_rng(0))
    assert len(tokens) == MAX_TESTED_ROWS
    assert np.mean(tokens < 2) == pytest.approx(0.5, abs=0.02)
    assert np.abs(tokens - np.rint(tokens)).max() <= 0.5
    assert len(np.unique(tokens)) == MAX_TESTED_ROWS


def test_peaks_leaves_out_ripples_and_low_bumps() -> None:
    x = np.linspace(-10, 10, 2001)
    bump = np.exp(-(x**2) / 2)
    assert peaks(bump) == ([1000], 0.0)
    assert peaks(bump + 0.01 * np.exp(-((x - 6) ** 2)))[0] == [1000]
    assert len(peaks(bump * (1 + 0.01 * np.sin(20 * x)))[0]) == 1
    at, valley = peaks(bump + 0.5 * np.exp(-((x - 6) ** 2) / 2))
    assert x[at] == pytest.approx([0, 6], abs=0.02)
    assert valley == pytest.approx(0.95, abs=0.04)
    assert peaks(np.exp(-np.linspace(0, 5, 100)))[0] == [0]
