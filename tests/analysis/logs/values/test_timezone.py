"""Hours of the day and weekdays by the clock of a zone, daylight saving included."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl
import pytest

import burstlens as bl
from burstlens.analysis.core.errors import InputError
from burstlens.analysis.core.wall_clock import WallClock, clock_changes, midnight_s
from burstlens.analysis.forecast.series import load_series
from burstlens.analysis.logs.options import LogOptions
from burstlens.analysis.trace.trace import Trace, open_trace
from burstlens.analysis.trace.window_gaps import windows_of
from burstlens.analysis.traffic.arrivals import describe_arrivals
from burstlens.analysis.traffic.periodicity import describe_periodicity

BERLIN = ZoneInfo("Europe/Berlin")
COLUMNS = {"arrival": "ts", "request_tokens": "in", "response_tokens": "out"}


def write_log(path: Path, stamps: list[str]) -> Path:
    path.write_text("ts,in,out\n" + "".join(f"{stamp},{100 + i},50\n" for i, stamp in enumerate(stamps)))
    return path


def opened(path: Path, timezone: str | None = None) -> Trace:
    return open_trace(path, options=LogOptions(COLUMNS, timezone=timezone))


def working_days(first: date, days: int) -> list[datetime]:
    """On each day two requests a minute from 9:00 to 9:30 in Berlin."""
    begins = [
        datetime(day.year, day.month, day.day, 9, tzinfo=BERLIN).astimezone(UTC)
        for day in (first + timedelta(days=i) for i in range(days))
    ]
    return [begin + timedelta(seconds=30 * i) for begin in begins for i in range(60)]


def hours_with_requests(trace: Trace) -> set[int]:
    profile = describe_periodicity(trace).profile.filter(pl.col("days") == "all", pl.col("mean") > 0)
    return set(profile["hour_of_day"])


@pytest.mark.parametrize("first", [date(2026, 3, 25), date(2026, 10, 21)])
def test_nine_in_the_morning_is_nine_on_both_sides_of_a_change(tmp_path: Path, first: date) -> None:
    log = write_log(tmp_path / "log.csv", [at.isoformat() for at in working_days(first, 9)])
    with opened(log, "Europe/Berlin") as trace:
        assert trace.info.day0 == first
        assert hours_with_requests(trace) == {9}
        windows = describe_arrivals(trace).windows
        assert windows["n"].sum() == trace.info.rows
        working = windows_of(trace, 1800.0)
        assert working.working is not None
        assert working.working.any()
    with opened(log) as trace:
        assert len(hours_with_requests(trace)) == 2


def test_a_day_of_23_hours_is_whole_and_a_weekday_is_that_of_the_zone(tmp_path: Path) -> None:
    """A request an hour in UTC: Saturday 23:00 there is Sunday in Berlin."""
    begin = datetime(2026, 3, 27, 23, tzinfo=UTC)
    log = write_log(
        tmp_path / "log.csv", [(begin + timedelta(minutes=30 * i)).isoformat() for i in range(143)]
    )
    with opened(log, "Europe/Berlin") as trace:
        calendar = describe_periodicity(trace).calendar.filter(pl.col("model").is_null())
        assert calendar["date"].to_list()[:3] == [date(2026, 3, 28), date(2026, 3, 29), date(2026, 3, 30)]
        assert calendar["n"].to_list()[:3] == [48, 46, 48]
        assert calendar["weekday"].to_list()[:3] == [6, 7, 1]
        assert calendar["whole"].to_list()[:3] == [True, True, True]


def test_features_of_a_forecast_are_by_that_clock(tmp_path: Path) -> None:
    begin = datetime(2026, 3, 28, 12, tzinfo=UTC)
    log = write_log(
        tmp_path / "log.csv", [(begin + timedelta(minutes=10 * i)).isoformat() for i in range(6 * 48)]
    )
    with opened(log, "Europe/Berlin") as trace:
        rows = load_series(trace, trace.selections[0], 3600.0)["requests"].rows
        shown = [
            datetime.fromtimestamp(start_s + trace.info.clock.zero_s, BERLIN) for start_s in rows["start_s"]
        ]
        assert rows["hour"].to_list() == [at.hour for at in shown]
        assert rows["weekday"].to_list() == [at.weekday() for at in shown]


def test_the_zone_is_kept_in_a_trace_file(tmp_path: Path) -> None:
    log = write_log(tmp_path / "log.csv", [at.isoformat() for at in working_days(date(2026, 3, 25), 9)])
    bl.ingest(log, tmp_path / "t.parquet", columns=COLUMNS, reading=LogOptions(timezone="Europe/Berlin"))
    with open_trace(tmp_path / "t.parquet") as trace:
        assert (trace.info.timezone, trace.info.day0) == ("Europe/Berlin", date(2026, 3, 25))
        assert "hours by Europe/Berlin" in trace.info.lines()
        assert hours_with_requests(trace) == {9}
    with pytest.raises(InputError, match=r"has hours by Europe/Berlin; give timezone='Asia/Tokyo' where"):
        open_trace(tmp_path / "t.parquet", options=LogOptions(timezone="Asia/Tokyo"))
    bl.ingest(log, tmp_path / "utc.parquet", columns=COLUMNS)
    with pytest.raises(InputError, match="was written without a time zone; give timezone='Asia/Tokyo'"):
        open_trace(tmp_path / "utc.parquet", options=LogOptions(timezone="Asia/Tokyo"))
    with pytest.raises(InputError, match=r"has hours by Europe/Berlin .*timezone='Europe/Berlin'"):
        open_trace([tmp_path / "t.parquet", tmp_path / "utc.parquet"])


def test_the_hour_that_occurs_twice_is_a_note_and_one_that_is_left_out_is_a_reject(tmp_path: Path) -> None:
    autumn = [f"2026-10-25 {hour:02d}:{minute:02d}:00" for hour in (1, 2, 3) for minute in range(0, 60, 10)]
    with opened(write_log(tmp_path / "autumn.csv", autumn), "Europe/Berlin") as trace:
        assert (trace.info.rows, trace.info.rejected) == (18, 0)
        assert trace.info.notes == (
            "6 stamps in the hour that occurs twice in Europe/Berlin, read as after the clock was set back",
        )
        assert (trace.start_s, trace.end_s) == (3600.0, 4 * 3600.0 + 3000.0)
    spring = [f"2026-03-29 {hour:02d}:{minute:02d}:00" for hour in (1, 2, 3) for minute in range(0, 60, 10)]
    with opened(write_log(tmp_path / "spring.csv", spring), "Europe/Berlin") as trace:
        assert (trace.info.rows, trace.info.rejected, trace.info.notes) == (12, 6, ())
        assert trace.end_s - trace.start_s == 2 * 3600.0 - 600.0
        assert {reject.reason for reject in trace.rejects} == {"missing or not a time in Europe/Berlin"}
    offsets = [f"2026-10-25T{hour:02d}:30:00+00:00" for hour in range(0, 4)]
    with opened(write_log(tmp_path / "offsets.csv", offsets), "Europe/Berlin") as trace:
        assert (trace.info.rows, trace.info.notes) == (4, ())


def test_gaps_of_stamps_with_offsets_stay_as_they_are(tmp_path: Path) -> None:
    """Pods in three zones, over a change of the clock, a request a minute."""
    zones = (UTC, BERLIN, ZoneInfo("America/New_York"))
    begin = datetime(2026, 3, 29, 0, 45, tzinfo=UTC)
    stamps = [(begin + timedelta(minutes=i)).astimezone(zones[i % 3]).isoformat() for i in range(30)]
    for zone in (None, "Europe/Berlin", "Asia/Kathmandu", "Australia/Lord_Howe"):
        with opened(write_log(tmp_path / "log.csv", stamps), zone) as trace:
            assert (trace.info.rows, trace.end_s - trace.start_s) == (30, 29 * 60.0)
            local = begin.astimezone(ZoneInfo(zone) if zone else UTC)
            assert trace.info.day0 == local.date()


def test_stamps_without_a_date_have_no_hours_in_a_zone(tmp_path: Path) -> None:
    log = write_log(tmp_path / "log.csv", [str(60.5 * i) for i in range(20)])
    with opened(log, "Europe/Berlin") as trace:
        assert trace.info.timezone is None
        assert any("Europe/Berlin says nothing about its hours" in note for note in trace.info.notes)


@pytest.mark.parametrize(
    "name", ["europe/berln", "Berlin", "EUROPE/BERLIN", "europe berlin", "Europe/Berlin "]
)
def test_an_unknown_zone_names_the_nearest(tmp_path: Path, name: str) -> None:
    log = write_log(tmp_path / "log.csv", ["2026-03-02T08:00:00"])
    with pytest.raises(InputError, match=r"^timezone: no time zone '.*'; did you mean 'Europe/Berlin'\?$"):
        opened(log, name)


def test_the_clock_agrees_with_python_for_every_hour_of_two_years() -> None:
    for name in (
        "Europe/Berlin",
        "America/Sao_Paulo",
        "Australia/Lord_Howe",
        "Africa/Casablanca",
        "Asia/Tokyo",
    ):
        zone, day0 = ZoneInfo(name), date(2018, 1, 15)
        clock = WallClock(day0, name)
        assert clock.zero_s == midnight_s(day0, name)
        at_s = pl.int_range(0, 2 * 365 * 24, eager=True).cast(pl.Float64).to_numpy() * 3600 + 7.25
        midnight = datetime(day0.year, day0.month, day0.day)
        expected = [
            (datetime.fromtimestamp(clock.zero_s + s, zone).replace(tzinfo=None) - midnight).total_seconds()
            for s in at_s
        ]
        assert clock.seconds(at_s).tolist() == expected
    assert list(clock_changes("Asia/Tokyo", 1.6e9, 1.7e9)) == []


@pytest.mark.slow
def test_results_are_the_same_on_a_machine_of_any_zone(tmp_path: Path) -> None:
    """`describe` of stamps with a zone, without one, and with offsets, in Parquet and CSV."""
    begin = datetime(2026, 3, 28, 22, 30, tzinfo=UTC)
    naive = [begin.replace(tzinfo=None) + timedelta(minutes=7 * i) for i in range(40)]
    frame = pl.DataFrame({"ts": naive, "in": [100] * 40, "out": [50] * 40})
    frame.write_parquet(tmp_path / "naive.parquet")
    frame.with_columns(pl.col("ts").dt.replace_time_zone("UTC")).write_parquet(tmp_path / "zoned.parquet")
    frame.with_columns(pl.col("ts").dt.replace_time_zone("America/New_York")).write_parquet(
        tmp_path / "york.parquet"
    )
    frame.with_columns(pl.col("ts").cast(pl.Datetime("ns"))).write_parquet(tmp_path / "ns.parquet")
    write_log(tmp_path / "naive.csv", [str(at) for at in naive])
    write_log(tmp_path / "offsets.csv", [f"{at.isoformat()}+05:30" for at in naive])
    script = (
        "import sys, json, burstlens as bl\n"
        f"columns = {COLUMNS!r}\n"
        "for path in sys.argv[1:]:\n"
        "    found = bl.describe(path, columns=columns)\n"
        "    print(json.dumps([found.info.as_dict(), [part.sentences() for part in found.parts],\n"
        "        [frame.write_json() for part in found.parts for frame in part.tables().values()]],\n"
        "        default=str))\n"
    )
    logs = sorted(str(path) for path in tmp_path.iterdir())
    zones = ("UTC", "America/New_York", "Asia/Kolkata")
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", script, *logs],
            env={**os.environ, "TZ": zone},
            stdout=subprocess.PIPE,
            text=True,
        )
        for zone in zones
    ]
    outputs = [run.communicate(timeout=300)[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0, 0]
    assert outputs[0] == outputs[1] == outputs[2]
    infos = {
        Path(log).name: json.loads(line)[0] for log, line in zip(logs, outputs[0].splitlines(), strict=True)
    }
    assert {name: info["rows"] for name, info in infos.items()} == dict.fromkeys(infos, 40)
    assert {info["day0"] for info in infos.values()} == {"2026-03-28", "2026-03-29"}
