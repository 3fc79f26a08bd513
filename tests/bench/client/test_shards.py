"""A workload sent by several senders is the workload, and what they recorded is one run."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import burstlens as bl
from burstlens import BurstlensError
from burstlens.analysis.trace.trace import ingest, open_trace
from burstlens.bench.client.clocks import bounded, measure_offset
from burstlens.bench.client.merge_shards import gather
from burstlens.bench.client.shards import Shard, left_s, parse_start
from burstlens.bench.metrics.summary import summarize
from burstlens.bench.record.models import ClockOffset, Manifest, RunSettings, ShardInfo
from burstlens.bench.record.run_folder import begin, read_manifest, read_record, record_path
from burstlens.bench.settings import Target
from burstlens.bench.workload.table import SCHEMA, Workload
from tests.bench.conftest import a_record
from tests.helpers import burstlens, serving


def a_load(sessions: list[int | None]) -> Workload:
    n = len(sessions)
    known = {"request_id": range(n), "at_s": [0.1 * i for i in range(n)], "session": sessions}
    frame = pl.DataFrame(known, schema_overrides={"session": pl.Int64})
    rest = (pl.lit(None, dtype=kind).alias(name) for name, kind in SCHEMA.items() if name not in known)
    lengths = [pl.lit(5, pl.Int64).alias(f"{side}_tokens") for side in ("request", "response")]
    frame = frame.with_columns(*rest).with_columns(lengths)
    return Workload(frame.select(*SCHEMA).cast(SCHEMA), "a load", True, {"seed": 3})  # type: ignore[arg-type]


@given(st.lists(st.one_of(st.none(), st.integers(0, 9)), min_size=1, max_size=60), st.integers(1, 9))
def test_shards_have_each_request_once_and_complete_sessions(sessions: list[int | None], of: int) -> None:
    load = a_load(sessions)
    parts = [Shard(i, of).cut(load).requests for i in range(of)]
    assert pl.concat(parts).sort("request_id").equals(load.requests)
    for session in {s for s in sessions if s is not None}:
        assert sum(session in part["session"] for part in parts) == 1


def test_shards_and_the_workers_of_each_are_about_as_large() -> None:
    load = a_load([None] * 12_000)
    for of in (2, 3, 4, 16):
        for i in range(of):
            part = Shard(i, of).cut(load).requests
            assert part.height == pytest.approx(12_000 / of, rel=0.1)
            for count in (2, 4):
                by_worker = (part["request_id"] % count).value_counts()["count"]
                assert by_worker.min() == pytest.approx(part.height / count, rel=0.2)


@pytest.mark.parametrize(
    ("text", "message"),
    [("4/4", "0/4 to 3/4"), ("-1/4", "out of range"), ("0/0", "at least one"), ("1of4", "write INDEX/N")],
)
def test_a_text_that_is_not_a_shard_is_refused(text: str, message: str) -> None:
    with pytest.raises(BurstlensError, match=message):
        Shard.parse(text)


def test_an_instant_is_the_same_everywhere() -> None:
    assert parse_start("2026-03-01T12:00:00Z") == parse_start("2026-03-01T13:00:00+01:00") == 1772366400
    assert parse_start("1772366400.5") == 1772366400.5
    for text, message in (
        ("2026-03-01T12:00:00", "no time zone"),
        ("tomorrow", "not an instant"),
        ("-5", "not an instant"),
    ):
        with pytest.raises(BurstlensError, match=message):
            parse_start(text)
    with pytest.raises(BurstlensError, match=r"passed 9\d.* s ago"):
        left_s(time.time() - 99)


def test_a_clock_is_known_as_well_as_its_sights_allow() -> None:
    """A clock 100 s behind that tells whole seconds, seen every 50 ms, each answer 20 ms on its way."""
    seen = []
    for i in range(30):
        before = 1000 + 0.05 * i
        other_s = int(before + 0.01 - 100)
        seen.append((before, before + 0.02, other_s, other_s + 1.0))
    offset = bounded("a clock", seen)
    assert offset is not None
    assert offset.low_s <= 100 <= offset.high_s
    assert offset.precision_s < 0.05
    # A server that renews its date late is known worse, and no offset fits a clock that was set.
    lagging = bounded("a clock", [(a, b, c - 1, c + 1) for a, b, c, _ in seen])
    assert lagging is not None
    assert lagging.low_s <= 100 <= lagging.high_s
    assert lagging.precision_s > offset.precision_s
    assert bounded("a clock", [*seen, (1002, 1002, 950, 951)]) is None
    assert bounded("a clock", []) is None


def test_the_server_of_a_folder_is_a_clock(tmp_path: Path) -> None:
    offset = measure_offset(str(tmp_path), Target("http://127.0.0.1:9"))
    assert offset is not None
    assert abs(offset.middle_s) <= offset.precision_s + 0.02
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(BurstlensError, match=r"^clock: "):
        measure_offset(str(tmp_path / "none"), Target("http://127.0.0.1:9"))


def the_shards(
    tmp_path: Path, of: int = 3, offsets: dict[int, float] | None = None, **fields: object
) -> list[Path]:
    """Folders as senders leave them: each request sent 10 ms late by its sender's own clock."""
    load = a_load([None] * 30)
    folders = []
    for i in range(of):
        part = Shard(i, of).cut(load)
        middle = (offsets or {}).get(i, 0.0)
        shard = ShardInfo(
            **{
                "index": i, "of": of, "seed": 3, "workload_sha256": load.sha256, "requests": 30,
                "start_unix_s": 1e9, **fields,
                "clock": ClockOffset("a clock", middle - 0.02, middle + 0.02),
            }
        )  # fmt: skip
        manifest = Manifest(
            "a load", True, {"seed": 3}, part.sha256, len(part.requests), "http://h", "m", None, None,
            RunSettings(workers=1, prompts={"kind": "ids"}), 1e9, True, shard=shard,
        )  # fmt: skip
        folder = tmp_path / f"run-{i}"
        begin(folder, manifest, part)
        rows = [
            {"request_id": r, "intended_s": at, "sent_s": at + 0.01, "ended_s": at + 1.0, "service": "chat"}
            for r, at in part.requests.select("request_id", "at_s").iter_rows()
        ]
        a_record(*rows).write_ndjson(record_path(folder, 0))
        folders.append(folder)
    return folders


def test_the_records_of_all_shards_are_one_run(tmp_path: Path) -> None:
    folders = the_shards(tmp_path)
    manifest = gather(folders, tmp_path / "whole")
    assert manifest.finished
    assert manifest.requests == 30
    assert manifest.workload_sha256 == a_load([None] * 30).sha256
    assert any("agree within what could be seen" in note for note in manifest.notes)
    summary = summarize(tmp_path / "whole")
    assert summary.verdict.trustworthy
    assert summary.metrics.answered == 30
    # It can be made anew, but not over a run of its own.
    gather(folders[::-1], tmp_path / "whole")
    assert read_record(tmp_path / "whole").height == 30
    with pytest.raises(BurstlensError, match="has a run already"):
        gather(folders, folders[0])


def test_a_run_gathered_in_part_is_not_taken_for_finished(tmp_path: Path) -> None:
    folders, out = the_shards(tmp_path), tmp_path / "whole"
    out.mkdir()
    record_path(out, 1).symlink_to("/dev/full")
    with pytest.raises(BurstlensError, match="no space left"):
        gather(folders, out)
    assert not read_manifest(out).finished
    assert read_manifest(out).stopped == "it was cut off as it was gathered"
    assert gather(folders, out).finished
    assert read_manifest(out).finished
    assert read_record(out).height == 30


def test_clocks_that_differ_are_put_on_one_and_the_lateness_tells(tmp_path: Path) -> None:
    """The sender of shard 2 has a clock 3 s ahead: it sent 3 s before the others by any one clock."""
    folders = the_shards(tmp_path, offsets={2: 3.0})
    early = set(read_record(folders[2])["request_id"])
    manifest = gather(folders, tmp_path / "whole")
    assert any("differed by 3,000 ms, ± 20 ms" in note for note in manifest.notes)
    record = read_record(tmp_path / "whole")
    late = dict(record.select("request_id", pl.col("sent_s") - pl.col("intended_s")).iter_rows())
    assert {i for i, seconds in late.items() if seconds < 1} == early
    assert all(late[i] == pytest.approx(3.01) for i in late.keys() - early)
    assert not summarize(tmp_path / "whole").verdict.trustworthy
    # The trace of the records is on the same clock.
    ingest(folders, out=tmp_path / "trace.parquet")
    arrivals = pl.read_parquet(tmp_path / "trace.parquet")["arrival_s"]
    assert arrivals.to_list() == pytest.approx(sorted(record["sent_s"]))


def changed(folder: Path, **fields: object) -> None:
    path = folder / "run.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps(manifest | {"shard": manifest["shard"] | fields}))


def test_shards_that_do_not_make_one_workload_are_refused_in_one_line(tmp_path: Path) -> None:
    folders = the_shards(tmp_path, of=4)
    one_run = tmp_path / "other"
    begin(
        one_run, Manifest("x", True, {}, "0", 1, None, None, None, None, RunSettings(), 1e9), a_load([None])
    )
    record_path(one_run, 0).write_bytes(record_path(folders[0], 0).read_bytes())
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in folders[1].iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    for paths, message in (
        (folders[:3], r"3/4 is missing"),
        ([folders[0], folders[3]], r"1/4, 2/4 are missing"),
        ([*folders, copy], "are the same shard"),
        ([*folders, one_run], "is not a shard"),
    ):
        with pytest.raises(BurstlensError, match=message) as fault:
            open_trace(paths)
        assert "\n" not in str(fault.value)
    for fields, message in (
        ({"workload_sha256": "0"}, "another workload"),
        ({"seed": 4}, "another seed"),
        ({"start_unix_s": 2e9}, "another start_at"),
        ({"of": 5}, "another number of shards"),
    ):
        before = json.loads((folders[2] / "run.json").read_text())["shard"]
        changed(folders[2], **fields)
        with pytest.raises(BurstlensError, match=message):
            open_trace(folders)
        changed(folders[2], **before)


@pytest.fixture(scope="module")
def simulated() -> Iterator[str]:
    """The simulated endpoint, ten times as fast as real."""
    with serving("--speedup", 10) as url:
        yield url


@pytest.mark.slow
def test_four_shards_send_what_one_sender_sends(simulated: str, tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    rows = (f"{0.003 * i:.3f},{5 + i % 7},{3 + i % 5},{i % 40 if i % 3 else ''}\n" for i in range(300))
    log.write_text("arrival_s,request_tokens,response_tokens,session\n" + "".join(rows))
    command = [sys.executable, "-m", "burstlens.cli"]
    load = ["replay", str(log), "--url", simulated, "--seed", "5", "-q"]
    began = time.monotonic()
    alone = subprocess.run([*command, *load, "-o", str(tmp_path / "alone")], capture_output=True, text=True)
    assert alone.returncode == 0, alone.stderr
    # Four that start at once take longer than one, on a machine as busy as it may be.
    start = str(time.time() + 4 * (time.monotonic() - began))
    senders = [
        subprocess.Popen(
            [*command, *load, "-o", str(tmp_path / f"run-{i}"), "--shard", f"{i}/4", "--start-at", start],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for i in range(4)
    ]  # fmt: skip
    for sender in senders:
        _, fault = sender.communicate()
        assert sender.returncode == 0, fault
    folders = [tmp_path / f"run-{i}" for i in range(4)]
    completed = burstlens("ingest", *folders, "-o", tmp_path / "trace.parquet", "--json")
    assert completed.returncode == 0, completed.stderr
    content = json.loads(completed.stdout)
    assert (content["rows"], content["load"]["requests"], content["load"]["shards"]) == (300, 300, 4)
    called = bl.ingest(folders, tmp_path / "called.parquet")
    assert called.load is not None
    assert called.load.as_dict() == content["load"]
    paged = burstlens("report", *folders, "-o", tmp_path / "whole", "--no-images", "-q")
    assert paged.returncode == 0, paged.stderr
    assert (tmp_path / "whole" / "index.html").is_file()
    columns = ["request_id", "session", "intended_s", "request_tokens", "response_tokens", "outcome"]
    one, four = (read_record(tmp_path / name).select(columns) for name in ("alone", "whole"))
    assert four.equals(one)
    assert (
        read_manifest(tmp_path / "whole").workload_sha256 == read_manifest(tmp_path / "alone").workload_sha256
    )
    assert all(read_record(folder).height for folder in folders)
    # A sender that comes late is refused before it sends.
    late = burstlens(*load, "-o", tmp_path / "late", "--shard", "0/4", "--start-at", start)
    assert late.returncode == 2
    assert "passed" in late.stderr
    assert len(late.stderr.splitlines()) == 1
    assert not (tmp_path / "late").exists()
