"""Stamps that may mean two things, strays, rows that are totals: read right or refused."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from burstlens.analysis.core.errors import InputError
from burstlens.analysis.logs.options import LogOptions
from burstlens.analysis.trace.trace import Trace, open_trace
from burstlens.analysis.traffic.arrivals import describe_arrivals
from burstlens.analysis.traffic.volume import describe_volume
from burstlens.analysis.traffic.window_lengths import describe_sequences

COLUMNS = {"arrival": "when", "request_tokens": "prompt", "response_tokens": "answer"}
MONDAY = datetime(2026, 5, 4, 7, 30, tzinfo=UTC)


def write_log(path: Path, stamps: Sequence[object], tokens: int = 70, more: str = "") -> Path:
    header = "when,prompt,answer" + (f",{more}" if more else "")
    rows = "".join(f"{stamp},{tokens},9{',3' if more else ''}\n" for stamp in stamps)
    path.write_text(f"{header}\n{rows}")
    return path


def opened(path: Path, **columns: str) -> Trace:
    return open_trace(path, options=LogOptions(columns or COLUMNS))


def minutes(n: int, step_s: float = 60.0) -> list[str]:
    return [(MONDAY + timedelta(seconds=step_s * i)).isoformat() for i in range(n)]


def test_a_unit_in_doubt_names_each_reading_with_span_rate_and_flag(tmp_path: Path) -> None:
    """600 requests in 1.8 s, or in 30 minutes if the numbers are seconds."""
    rows = [
        {"timestamp": 3.0 * i + 0.5, "input_length": 9, "output_length": 2, "hash_ids": [i]}
        for i in range(600)
    ]
    path = tmp_path / "load.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(InputError) as error:
        open_trace(path)
    message = str(error.value)
    assert "\n" not in message
    for part in (
        "load.jsonl",
        "column 'timestamp'",
        "in milliseconds 600 requests in 1.8 s, 334 per second",
        "in seconds 600 requests in 30 minutes, 0.334 per second",
        "log_format='mooncake'",
        "columns='arrival_s=timestamp,…'",
    ):
        assert part in message
    with open_trace(path, options=LogOptions(log_format="mooncake")) as trace:
        assert trace.end_s - trace.start_s == pytest.approx(1.797)
    chosen = {"arrival_s": "timestamp", "request_tokens": "input_length"}
    with open_trace(path, options=LogOptions(chosen)) as trace:
        assert trace.end_s - trace.start_s == pytest.approx(1797.0)


@pytest.mark.parametrize(
    ("key", "step", "span_s"),
    [("arrival_ms", 2.0, 1.198), ("arrival_s", 0.0001, 0.0599), ("arrival_us", 7.0, 0.004193)],
)
def test_a_unit_that_the_user_names_is_believed(tmp_path: Path, key: str, step: float, span_s: float) -> None:
    path = write_log(tmp_path / "log.csv", [round(5 + step * i, 4) for i in range(600)])
    with opened(path, **{key: "when", "request_tokens": "prompt"}) as trace:
        assert trace.end_s - trace.start_s == pytest.approx(span_s, rel=1e-6)


@pytest.mark.parametrize(
    ("stray", "year"),
    [
        ("0", 1970),
        ("0001-01-01T00:00:00Z", 1),
        ("9999-12-31T23:59:59Z", 9999),
        ("1970-01-01T00:00:00Z", 1970),
        ("2126-05-04T07:30:00Z", 2126),
    ],
)
@pytest.mark.parametrize("place", [0, 11, 20])
def test_a_stray_is_a_reject_wherever_it_stands(tmp_path: Path, stray: str, year: int, place: int) -> None:
    stamps = minutes(20)
    stamps.insert(place, stray)
    with opened(write_log(tmp_path / "log.csv", stamps)) as trace:
        assert (trace.info.rows, trace.info.rejected) == (20, 1)
        assert (trace.info.day0, trace.end_s - trace.start_s) == (MONDAY.date(), 19 * 60.0)
        assert trace.rejects[0].line == place + 2
        assert f"year {year}" in trace.rejects[0].reason


@pytest.mark.parametrize("stray", ["1970-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "9999-01-01T00:00:00Z"])
def test_a_stray_late_in_a_long_log_is_a_reject(tmp_path: Path, stray: str) -> None:
    stamps = [*minutes(29_000, 2.0), stray, *minutes(1000, 2.0)]
    with opened(write_log(tmp_path / "log.csv", stamps)) as trace:
        assert (trace.info.rows, trace.info.rejected) == (30_000, 1)
        assert trace.rejects[0].line == 29_002
        assert trace.end_s - trace.start_s == 57_998.0


def test_totals_per_day_and_hour_are_refused(tmp_path: Path) -> None:
    days = [str(MONDAY.date() + timedelta(days=i)) for i in range(30)]
    with pytest.raises(InputError, match=r"log.csv, column 'when': days without a time.*totals per day"):
        opened(write_log(tmp_path / "log.csv", days, tokens=400_000))
    hours = [datetime(2026, 5, 4, tzinfo=UTC) + timedelta(hours=i) for i in range(72)]
    stamps = [at.isoformat() for at in hours]
    with pytest.raises(
        InputError, match=r"totals, not requests: all stamps are whole hours, .*arrival_s=when"
    ):
        opened(write_log(tmp_path / "log.csv", stamps, tokens=400_000))
    with pytest.raises(InputError, match="all stamps are whole hours, column 'requests'"):
        opened(write_log(tmp_path / "log.csv", stamps, more="requests"))
    with opened(
        write_log(tmp_path / "log.csv", stamps, tokens=400_000), arrival_s="when", request_tokens="prompt"
    ) as trace:
        assert trace.info.rows == 72


def test_batches_and_jobs_on_whole_hours_are_requests(tmp_path: Path) -> None:
    begin = datetime(2026, 5, 4, tzinfo=UTC)
    nightly = [(begin + timedelta(days=d)).isoformat() for d in range(7) for _ in range(20 + d)]
    with opened(write_log(tmp_path / "nightly.csv", nightly)) as trace:
        assert trace.info.rows == sum(20 + d for d in range(7))
    job = [(begin + timedelta(hours=h)).isoformat() for h in range(48)]
    with opened(write_log(tmp_path / "job.csv", job)) as trace:
        assert trace.info.rows == 48


def test_holes_are_left_out_of_rates_and_told_in_one_line(tmp_path: Path) -> None:
    """Four days of two hours each, three days apart, a request a minute."""
    stamps = [
        (MONDAY + timedelta(days=3 * day, minutes=minute)).isoformat()
        for day in range(4)
        for minute in range(120)
    ]
    with opened(write_log(tmp_path / "log.csv", stamps)) as trace:
        found = describe_volume(trace)
    holes = [sentence for sentence in found.sentences() if "hole" in sentence]
    assert len(holes) == 1
    assert "3 holes" in holes[0]
    assert found.sizes.filter(pl.col("service").is_null())["rate_rps"][0] == pytest.approx(1 / 60, rel=0.02)


def test_errors_about_stamps_name_the_file(tmp_path: Path) -> None:
    for stamps, words in (
        (["03/04/2026 10:00:00", "05/06/2026 10:00:00"], "day first"),
        (["2026-05-04T10:00:00", "2026-05-04T10:00:00Z"], "timezone"),
        (["yesterday", "today"], "not a time in a known form"),
    ):
        with pytest.raises(InputError, match=words) as error:
            opened(write_log(tmp_path / "gateway.csv", stamps))
        assert str(error.value).startswith(f"{tmp_path / 'gateway.csv'}, column 'when': ")
        assert (error.value.where, error.value.column) == (str(tmp_path / "gateway.csv"), "when")


@pytest.mark.parametrize(
    "kind",
    [
        pl.Datetime("ms"),
        pl.Datetime("us"),
        pl.Datetime("ns"),
        pl.Datetime("us", "UTC"),
        pl.Datetime("ns", "Asia/Tokyo"),
    ],
    ids=str,
)
def test_types_of_stamps_in_parquet(tmp_path: Path, kind: Any) -> None:
    at = [datetime(2026, 5, 4, 7, 30) + timedelta(milliseconds=12_500 * i) for i in range(20)]
    stamps = pl.Series(at, dtype=pl.Datetime("us", "UTC") if kind.time_zone else pl.Datetime("us"))
    if kind.time_zone:
        stamps = stamps.dt.convert_time_zone(kind.time_zone)
    frame = pl.DataFrame({"when": stamps.cast(kind), "prompt": [5] * 20, "answer": [6] * 20})
    frame.write_parquet(tmp_path / "log.parquet")
    with opened(tmp_path / "log.parquet") as trace:
        assert trace.info.day0 == date(2026, 5, 4)
        assert (trace.start_s, trace.end_s) == (27_000.0, 27_000.0 + 19 * 12.5)


def test_days_in_parquet_are_totals(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {"when": [date(2026, 5, 4 + i) for i in range(9)], "prompt": [5] * 9, "answer": [6] * 9}
    )
    frame.write_parquet(tmp_path / "log.parquet")
    with pytest.raises(InputError, match=r"log.parquet, column 'when': days without a time.*totals per day"):
        opened(tmp_path / "log.parquet")


def test_our_own_names_take_dates_too(tmp_path: Path) -> None:
    path = tmp_path / "own.csv"
    path.write_text("arrival_s,request_tokens\n" + "".join(f"{stamp},8\n" for stamp in minutes(20)))
    with open_trace(path) as trace:
        assert (trace.info.day0, trace.info.rows) == (MONDAY.date(), 20)
        assert trace.end_s - trace.start_s == 19 * 60.0


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells a program's peak")
def test_memory_does_not_grow_with_a_hole(tmp_path: Path) -> None:
    """Two tests a year apart, on a clock of microseconds."""
    later = MONDAY + timedelta(days=365)
    stamps = [
        (begin + timedelta(seconds=1.37 * i, microseconds=i)).isoformat()
        for begin in (MONDAY, later)
        for i in range(300)
    ]
    script = (
        "import sys, burstlens as bl\n"
        "found = bl.describe(sys.argv[1], columns={'arrival': 'when', 'request_tokens': 'prompt'})\n"
        # The peak of this program alone: `ru_maxrss` counts what the parent had before it started it.
        "peak = next(line for line in open('/proc/self/status') if line.startswith('VmHWM'))\n"
        "print(found.info.rows, int(peak.split()[1]) / 1024)\n"
    )
    log = write_log(tmp_path / "log.csv", stamps)
    answer = subprocess.run([sys.executable, "-c", script, log], capture_output=True, text=True, check=True)
    rows, peak_mb = answer.stdout.split()
    assert rows == "600"
    assert float(peak_mb) < 500


def test_few_requests_in_years_have_no_windows_of_minutes(tmp_path: Path) -> None:
    stamps = minutes(1300, 22.3 * 3600)
    with opened(write_log(tmp_path / "log.csv", stamps)) as trace:
        sequences = describe_sequences(trace, describe_arrivals(trace, window_s=86_400.0))
    assert sequences.missing == (
        "Too few requests for windows of 5 minutes: 1,300 requests in 347,613 windows.",
    )
    assert set(sequences.spread["window_s"]) <= {1200.0, 3600.0, 86_400.0}
