"""Totals of the optional columns equal what NumPy counts, and there are none of columns that a log lacks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import burstlens as bl
from burstlens.analysis.interchange.parameters import parameters
from burstlens.analysis.traffic.failures import MAX_REASONS, Failures, describe_failures
from burstlens.analysis.traffic.usage import USAGE
from burstlens.analysis.traffic.volume import Volume, describe_volume

N = 400


def write_log(path: Path, **columns: Any) -> Path:
    """A canonical CSV of requests, one every ten seconds, two services in turn."""
    plain = {
        "arrival_s": np.arange(N) * 10.0,
        "service": ["chat", "code"] * (N // 2),
        "request_tokens": [100] * N,
        "response_tokens": [50] * N,
    }
    pl.DataFrame({**plain, **columns}).write_csv(path)
    return path


def usage_of(log: Path) -> tuple[dict[str, Any], Volume]:
    with bl.trace(log) as trace:
        volume = describe_volume(trace)
    return (volume.usage.row(0, named=True) if volume.usage.height else {}), volume


def test_a_log_without_optional_columns_says_nothing_of_them(tmp_path: Path) -> None:
    row, volume = usage_of(write_log(tmp_path / "log.csv"))
    assert row == {}
    assert list(volume.tables()) == ["sizes", "segments"]
    assert len(volume.sentences()) == 4


def test_totals_per_selection(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    cached, think, images = rng.integers(0, 100, N), rng.integers(0, 50, N), rng.integers(0, 3, N)
    ttft, client = rng.exponential(0.2, N), rng.choice(["a", "b", "c"], N, p=[0.6, 0.3, 0.1])
    log = write_log(
        tmp_path / "log.csv",
        cached_tokens=cached,
        reasoning_tokens=think,
        images=images,
        ttft_s=ttft,
        client=client,
    )
    row, volume = usage_of(log)
    assert volume.usage.columns == list(USAGE)
    assert row["cached_share"] == pytest.approx(cached.sum() / (100 * N))
    assert row["reasoning_share"] == pytest.approx(think.sum() / (50 * N))
    assert row["images_per_request"] == pytest.approx(images.mean())
    assert row["requests_with_images"] == (images > 0).sum()
    assert row["clients"] == 3
    assert row["busiest_client_share"] == pytest.approx((client == "a").mean())
    quantiles = [row[f"ttft_{name}_s"] for name in ("p50", "p90", "p99")]
    assert quantiles == pytest.approx(np.quantile(ttft, [0.5, 0.9, 0.99]).tolist())
    chat = volume.usage.row(by_predicate=pl.col("service") == "chat", named=True)
    assert chat["cached_tokens"] == cached[::2].sum()
    assert chat["ttft_p50_s"] == pytest.approx(np.median(ttft[::2]))
    assert volume.missing == ()


def test_only_requests_with_both_counts_make_a_share(tmp_path: Path) -> None:
    cached = [None if i % 4 else 50 for i in range(N)]
    row, volume = usage_of(write_log(tmp_path / "log.csv", cached_tokens=cached))
    assert row["cached_share"] == 0.5
    assert volume.usage.columns == ["selection", "service", "model", "cached_tokens", "cached_share"]


def test_cached_tokens_beside_the_request_tokens_have_no_share(tmp_path: Path) -> None:
    cached = [150 if i == 7 else 10 for i in range(N)]
    row, volume = usage_of(write_log(tmp_path / "log.csv", cached_tokens=cached))
    assert row["cached_tokens"] == sum(cached)
    assert row["cached_share"] is None
    assert volume.usage["cached_share"].null_count() == volume.usage.height
    assert ["1 request" in sentence for sentence in volume.missing] == [True]


def test_failed_requests_do_not_count_for_the_time_to_first_token(tmp_path: Path) -> None:
    failed = [i % 2 == 0 for i in range(N)]
    row, _ = usage_of(
        write_log(tmp_path / "log.csv", ttft_s=[9.0 if f else 0.1 for f in failed], failed=failed)
    )
    assert (row["first_tokens"], row["ttft_p99_s"]) == (N // 2, 0.1)


def failures_of(log: Path) -> Failures:
    with bl.trace(log) as trace:
        return describe_failures(trace)


def test_reasons_are_counted_most_frequent_first(tmp_path: Path) -> None:
    names = ["429", "429", "429", "timeout", None]
    reason = [names[i // 2 % 5] if i % 2 == 0 else "ignored" for i in range(N)]
    part = failures_of(write_log(tmp_path / "log.csv", failed=[i % 2 == 0 for i in range(N)], reason=reason))
    everything = part.reasons.filter(selection="all").select("reason", "n", "share").rows()
    assert everything == [("429", 120, 0.6), ("timeout", 40, 0.2), ("no reason given", 40, 0.2)]
    assert set(part.reasons["selection"]) == {"all", "chat"}
    assert any("429 (120, 60 %)" in sentence for sentence in part.sentences())
    assert list(part.tables())[:2] == ["rates", "reasons"]


def test_reasons_of_free_text_are_summed_up(tmp_path: Path) -> None:
    log = write_log(tmp_path / "log.csv", failed=[True] * N, reason=[f"trouble {i:03d}" for i in range(N)])
    everything = failures_of(log).reasons.filter(selection="all")
    assert everything.height == MAX_REASONS + 1
    assert everything.row(-1, named=True)["reason"] == "other reasons"
    assert everything["n"].sum() == N


def test_a_log_without_reasons_has_no_such_table(tmp_path: Path) -> None:
    part = failures_of(write_log(tmp_path / "log.csv", failed=[i % 2 == 0 for i in range(N)]))
    assert part.reasons.is_empty()
    assert "reasons" not in part.tables()


def test_the_parameter_file_has_usage_and_reasons_only_with_them(tmp_path: Path) -> None:
    failed = [i % 5 == 0 for i in range(N)]
    reason = ["timeout" if each else None for each in failed]
    plain = parameters(bl.describe(write_log(tmp_path / "plain.csv", failed=failed)))
    full = parameters(
        bl.describe(write_log(tmp_path / "full.csv", failed=failed, reason=reason, cached_tokens=[25] * N))
    )
    assert not {"usage", "failure_reasons"} & set(plain["selections"][0])
    assert full["selections"][0]["usage"] == {"cached_tokens": 25 * N, "cached_share": 0.25}
    assert full["selections"][0]["failure_reasons"] == [{"reason": "timeout", "n": N // 5, "share": 1.0}]
    json.dumps(full)
