"""Fetching public traces: from a real server that truncates, corrupts, stalls, lies and changes its mind."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import zlib
from collections.abc import Callable
from email.utils import formatdate
from pathlib import Path

import polars as pl
import pytest
from burstlens.analysis.errors import BurstlensError

import burstlens
from burstlens.download import Patience
from burstlens.public import PublicTrace, catalogue, fetch, fetch_trace, find, list_public
from burstlens.unpack import RAR_TOOLS, Member

from .conftest import Mirror, Turn

CONTENT = b"".join(hashlib.sha256(bytes([i])).digest() for i in range(256)) * 40  # 327,680 bytes
OTHER = bytes(reversed(CONTENT))
QUICK = Patience(timeout_s=10, backoff_s=0.001)
CUT = 100_000


def trace_of(
    content: bytes = CONTENT, url: str = "http://127.0.0.1:9/log.csv", **known: object
) -> PublicTrace:
    fields: dict[str, object] = {
        "name": "test",
        "title": "A log",
        "file": "log.csv",
        "url": url,
        "rows": None,
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "licence": "CC0-1.0",
        "home": "http://127.0.0.1",
        "checksum_from": "measured by the test",
    }
    return PublicTrace(**{**fields, **known})  # type: ignore[arg-type]


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_whole_file_is_verified_and_nothing_else_is_left(mirror: Mirror, tmp_path: Path) -> None:
    mirror.turns = [Turn(CONTENT)]
    seen: list[tuple[int, int | None]] = []
    got = fetch_trace(
        trace_of(url=mirror.url + "/log.csv"),
        out=tmp_path / "new" / "folder",
        progress=lambda done, total: seen.append((done, total)),
        patience=QUICK,
    )
    assert got.path.read_bytes() == CONTENT
    assert left_in(tmp_path / "new" / "folder") == ["log.csv"]
    assert (got.bytes, got.verified, got.resumed_from) == (len(CONTENT), True, 0)
    assert got.sha256 == hashlib.sha256(CONTENT).hexdigest()
    assert got.sha256 in got.message
    assert "verified" in got.message
    assert got.logs == (got.path,)
    assert seen == sorted(seen)
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert mirror.asked[0].encoding == "identity"


def test_a_cut_connection_is_taken_up_where_it_ended(mirror: Mirror, tmp_path: Path) -> None:
    mirror.turns = [Turn(CONTENT, stop_after=CUT), Turn(CONTENT)]
    got = fetch_trace(trace_of(url=mirror.url + "/log.csv"), out=tmp_path, patience=QUICK)
    assert got.path.read_bytes() == CONTENT
    assert got.resumed_from == CUT
    assert f"resumed at byte {CUT:,}" in got.message
    assert [a.range for a in mirror.asked] == [None, f"bytes={CUT}-"]
    assert mirror.asked[1].if_range == '"v1"'
    assert [a.sent for a in mirror.asked] == [CUT, len(CONTENT) - CUT]


def test_retries_are_bounded_and_a_later_fetch_asks_only_for_the_rest(
    mirror: Mirror, second_mirror: Mirror, tmp_path: Path
) -> None:
    mirror.turns = [Turn(CONTENT, stop_after=10_000)]
    trace = trace_of(url=mirror.url + "/log.csv")
    with pytest.raises(BurstlensError, match=r"gave up after 3 retries; 40,000 bytes are kept"):
        fetch_trace(trace, out=tmp_path, patience=QUICK)
    assert [a.range for a in mirror.asked] == [None, "bytes=10000-", "bytes=20000-", "bytes=30000-"]
    assert not (tmp_path / "log.csv").exists()
    second_mirror.turns = [Turn(CONTENT, etag='"of the other mirror"')]
    got = fetch_trace(trace, out=tmp_path, source=second_mirror.url, patience=QUICK)
    assert got.path.read_bytes() == CONTENT
    assert got.resumed_from == 40_000
    assert [a.range for a in second_mirror.asked] == ["bytes=40000-"]
    assert second_mirror.asked[0].if_range is None
    assert second_mirror.asked[0].sent == len(CONTENT) - 40_000
    assert left_in(tmp_path) == ["log.csv"]


def test_corrupt_bytes_are_refused_and_never_get_the_right_name(mirror: Mirror, tmp_path: Path) -> None:
    corrupt = CONTENT[:5000] + b"\x00" + CONTENT[5001:]
    mirror.turns = [Turn(corrupt)]
    trace = trace_of(url=mirror.url + "/log.csv")
    with pytest.raises(BurstlensError) as refusal:
        fetch_trace(trace, out=tmp_path, patience=QUICK)
    said = str(refusal.value)
    assert "refused" in said
    assert f"expected SHA-256 {trace.sha256}, got {hashlib.sha256(corrupt).hexdigest()}" in said
    assert "measured by the test" in said
    assert left_in(tmp_path) == ["log.csv.refused"]
    assert (tmp_path / "log.csv.refused").read_bytes() == corrupt
    mirror.turns = [Turn(CONTENT)]
    assert fetch_trace(trace, out=tmp_path, patience=QUICK).verified
    assert mirror.asked[-1].range is None


def test_a_stall_is_noticed_and_taken_up(mirror: Mirror, tmp_path: Path) -> None:
    mirror.turns = [Turn(CONTENT, stop_after=CUT, stall=True), Turn(CONTENT)]
    got = fetch_trace(
        trace_of(url=mirror.url + "/log.csv"), out=tmp_path, patience=Patience(timeout_s=0.5, backoff_s=0.001)
    )
    assert got.path.read_bytes() == CONTENT
    assert got.resumed_from == CUT


def test_a_server_that_stays_silent_is_named_with_how_long_it_was(mirror: Mirror, tmp_path: Path) -> None:
    mirror.turns = [Turn(CONTENT, stop_after=CUT, stall=True)]
    with pytest.raises(BurstlensError, match=r"no byte for 0\.2 s; gave up after 1 retries; 200,000 bytes"):
        fetch_trace(
            trace_of(url=mirror.url + "/log.csv"),
            out=tmp_path,
            patience=Patience(timeout_s=0.2, retries=1, backoff_s=0.001),
        )


@pytest.mark.parametrize(("status", "words"), [(404, "Not Found"), (403, "Forbidden"), (401, "Unauthorized")])
def test_an_answer_that_will_not_change_is_not_asked_for_twice(
    mirror: Mirror, tmp_path: Path, status: int, words: str
) -> None:
    mirror.turns = [Turn(CONTENT, status=status)]
    with pytest.raises(BurstlensError, match=f"{status} {words}"):
        fetch_trace(trace_of(url=mirror.url + "/log.csv"), out=tmp_path, patience=QUICK)
    assert len(mirror.asked) == 1
    assert left_in(tmp_path) == []


def test_a_server_error_passes(mirror: Mirror, tmp_path: Path) -> None:
    mirror.turns = [Turn(CONTENT, status=500), Turn(CONTENT, status=503), Turn(CONTENT)]
    assert fetch_trace(trace_of(url=mirror.url + "/log.csv"), out=tmp_path, patience=QUICK).verified


@pytest.mark.parametrize("when", ["0", formatdate(0, usegmt=True)])
def test_retry_after_goes_before_our_own_waiting(mirror: Mirror, tmp_path: Path, when: str) -> None:
    mirror.turns = [Turn(CONTENT, status=429, headers={"Retry-After": when}), Turn(CONTENT)]
    got = fetch_trace(
        trace_of(url=mirror.url + "/log.csv"),
        out=tmp_path,
        patience=Patience(timeout_s=10, backoff_s=1e6, longest_wait_s=1e9),
    )
    assert got.verified


def test_a_server_that_asks_for_an_hour_is_not_waited_for(mirror: Mirror, tmp_path: Path) -> None:
    mirror.turns = [Turn(CONTENT, status=429, headers={"Retry-After": "3600"})]
    with pytest.raises(BurstlensError, match="429 Too Many Requests and asks to wait 3,600 s"):
        fetch_trace(trace_of(url=mirror.url + "/log.csv"), out=tmp_path, patience=QUICK)
    assert len(mirror.asked) == 1


def test_a_refused_connection_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(BurstlensError, match="gave up after 3 retries") as refusal:
        fetch_trace(trace_of(url="http://127.0.0.1:9/log.csv"), out=tmp_path, patience=QUICK)
    assert "\n" not in str(refusal.value)
    assert left_in(tmp_path) == []


def test_redirects_are_followed_with_the_range(mirror: Mirror, second_mirror: Mirror, tmp_path: Path) -> None:
    mirror.turns = [Turn(b"", status=302, headers={"Location": second_mirror.url + "/asset?signed=1"})]
    second_mirror.turns = [Turn(CONTENT, stop_after=CUT), Turn(CONTENT)]
    got = fetch_trace(trace_of(url=mirror.url + "/log.csv"), out=tmp_path, patience=QUICK)
    assert got.path.read_bytes() == CONTENT
    # Addresses behind a redirect expire: every attempt starts from the published one.
    assert len(mirror.asked) == 2
    assert [a.range for a in second_mirror.asked] == [None, f"bytes={CUT}-"]


@pytest.mark.parametrize(
    ("target", "words"), [("/log.csv", "redirects in a circle"), ("ftp://127.0.0.1/log.csv", "no http")]
)
def test_redirects_that_lead_nowhere(mirror: Mirror, tmp_path: Path, target: str, words: str) -> None:
    mirror.turns = [Turn(b"", status=302, headers={"Location": target})]
    with pytest.raises(BurstlensError, match=words):
        fetch_trace(trace_of(url=mirror.url + "/log.csv"), out=tmp_path, patience=QUICK)


def test_without_ranges_the_file_is_begun_again(mirror: Mirror, tmp_path: Path) -> None:
    mirror.turns = [
        Turn(OTHER, stop_after=CUT, ranges=False, etag=None),
        Turn(CONTENT, ranges=False, etag=None),
    ]
    got = fetch_trace(trace_of(url=mirror.url + "/log.csv"), out=tmp_path, patience=QUICK)
    assert got.path.read_bytes() == CONTENT
    assert got.resumed_from == 0
    assert mirror.asked[1].sent == len(CONTENT)


@pytest.mark.parametrize(
    "lie", [{"moved": 7}, {"total": 999_999}, {"moved": -CUT}, {"headers": {"ETag": '"v1"'}, "moved": 1}]
)
def test_a_wrong_content_range_is_not_believed(mirror: Mirror, tmp_path: Path, lie: dict[str, int]) -> None:
    mirror.turns = [Turn(CONTENT, stop_after=CUT), Turn(CONTENT, **lie), Turn(CONTENT)]  # type: ignore[arg-type]
    got = fetch_trace(trace_of(url=mirror.url + "/log.csv"), out=tmp_path, patience=QUICK)
    assert got.path.read_bytes() == CONTENT
    assert got.resumed_from == 0
    assert [a.range for a in mirror.asked] == [None, f"bytes={CUT}-", None]


@pytest.mark.parametrize("heeds", [True, False])
def test_a_file_that_changes_between_attempts_is_not_spliced(
    mirror: Mirror, tmp_path: Path, heeds: bool
) -> None:
    mirror.turns = [
        Turn(OTHER, etag='"v1"', stop_after=CUT),
        Turn(CONTENT, etag='"v2"', heeds_if_range=heeds),
    ]
    trace = trace_of(url=mirror.url + "/log.csv", sha256=None)
    got = fetch_trace(trace, out=tmp_path, patience=QUICK)
    assert got.path.read_bytes() == CONTENT
    assert not got.verified


def test_without_validators_the_checksum_finds_the_splice_and_the_file_is_begun_again(
    mirror: Mirror, tmp_path: Path
) -> None:
    mirror.turns = [Turn(OTHER, etag=None, stop_after=CUT), Turn(CONTENT, etag=None)]
    got = fetch_trace(trace_of(url=mirror.url + "/log.csv"), out=tmp_path, patience=QUICK)
    assert got.path.read_bytes() == CONTENT
    assert [a.range for a in mirror.asked] == [None, f"bytes={CUT}-", None]


@pytest.mark.parametrize("etag", [None, 'W/"weak"'])
def test_with_neither_validator_nor_checksum_nothing_is_continued(
    mirror: Mirror, tmp_path: Path, etag: str | None
) -> None:
    mirror.turns = [Turn(OTHER, etag=etag, stop_after=CUT), Turn(CONTENT, etag=etag)]
    got = fetch_trace(trace_of(url=mirror.url + "/log.csv", sha256=None), out=tmp_path, patience=QUICK)
    assert got.path.read_bytes() == CONTENT
    assert [a.range for a in mirror.asked] == [None, None]


def test_last_modified_serves_where_there_is_no_strong_etag(mirror: Mirror, tmp_path: Path) -> None:
    dated = {"Last-Modified": formatdate(1e9, usegmt=True)}
    mirror.turns = [
        Turn(CONTENT, etag=None, headers=dated, stop_after=CUT),
        Turn(CONTENT, etag=None, headers=dated, heeds_if_range=False),
    ]
    got = fetch_trace(trace_of(url=mirror.url + "/log.csv", sha256=None), out=tmp_path, patience=QUICK)
    assert got.path.read_bytes() == CONTENT
    assert mirror.asked[1].if_range == dated["Last-Modified"]
    assert got.resumed_from == CUT


def test_another_length_is_refused_before_a_byte_of_the_body(mirror: Mirror, tmp_path: Path) -> None:
    mirror.turns = [Turn(b"<html>Sign in</html>")]
    with pytest.raises(BurstlensError, match=r"expected 327,680 bytes, the server offers 20"):
        fetch_trace(trace_of(url=mirror.url + "/log.csv"), out=tmp_path, patience=QUICK)
    assert left_in(tmp_path) == []


def test_an_endless_body_is_cut_off(mirror: Mirror, tmp_path: Path) -> None:
    mirror.turns = [Turn(CONTENT + OTHER, length=False)]
    with pytest.raises(BurstlensError, match=r"sends more than 327,680 bytes"):
        fetch_trace(trace_of(url=mirror.url + "/log.csv"), out=tmp_path, patience=QUICK)
    assert not (tmp_path / "log.csv").exists()


def test_a_body_without_length_that_ends_early_is_taken_up(mirror: Mirror, tmp_path: Path) -> None:
    mirror.turns = [Turn(CONTENT, length=False, stop_after=CUT), Turn(CONTENT, length=False)]
    got = fetch_trace(trace_of(url=mirror.url + "/log.csv"), out=tmp_path, patience=QUICK)
    assert got.path.read_bytes() == CONTENT
    assert got.resumed_from == CUT


def test_compressed_bytes_are_refused(mirror: Mirror, tmp_path: Path) -> None:
    mirror.turns = [Turn(zlib.compress(CONTENT), headers={"Content-Encoding": "gzip"})]
    with pytest.raises(BurstlensError, match="compressed"):
        fetch_trace(trace_of(url=mirror.url + "/log.csv", bytes=None), out=tmp_path, patience=QUICK)
    assert left_in(tmp_path) == []


def test_a_verified_file_is_not_downloaded_again(mirror: Mirror, tmp_path: Path) -> None:
    mirror.turns = [Turn(CONTENT)]
    trace = trace_of(url=mirror.url + "/log.csv")
    fetch_trace(trace, out=tmp_path, patience=QUICK)
    again = fetch_trace(trace, out=tmp_path, patience=QUICK)
    assert len(mirror.asked) == 1
    assert again.verified
    assert "already here" in again.message


@pytest.mark.parametrize("mine", [b"my own log\n", OTHER])
def test_a_file_of_another_content_is_left_alone(mirror: Mirror, tmp_path: Path, mine: bytes) -> None:
    mirror.turns = [Turn(CONTENT)]
    (tmp_path / "log.csv").write_bytes(mine)
    with pytest.raises(BurstlensError, match="is here already and is not test: expected"):
        fetch_trace(trace_of(url=mirror.url + "/log.csv"), out=tmp_path, patience=QUICK)
    assert (tmp_path / "log.csv").read_bytes() == mine
    assert mirror.asked == []


def test_an_interrupt_keeps_the_part_and_the_next_fetch_asks_for_the_rest(
    mirror: Mirror, tmp_path: Path
) -> None:
    mirror.turns = [Turn(CONTENT, stop_after=CUT, stall=True), Turn(CONTENT)]
    trace = trace_of(url=mirror.url + "/log.csv")

    def interrupt(done: int, total: int | None) -> None:
        if done == CUT:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        fetch_trace(trace, out=tmp_path, progress=interrupt, patience=QUICK)
    assert (tmp_path / "log.csv.part").read_bytes() == CONTENT[:CUT]
    got = fetch_trace(trace, out=tmp_path, patience=QUICK)
    assert got.path.read_bytes() == CONTENT
    assert got.resumed_from == CUT
    assert mirror.asked[1].sent == len(CONTENT) - CUT
    assert mirror.asked[1].if_range == '"v1"'
    assert left_in(tmp_path) == ["log.csv"]


def test_a_part_that_is_whole_is_only_verified(mirror: Mirror, tmp_path: Path) -> None:
    mirror.turns = [Turn(CONTENT)]
    (tmp_path / "log.csv.part").write_bytes(CONTENT)
    assert fetch_trace(trace_of(url=mirror.url + "/log.csv"), out=tmp_path, patience=QUICK).verified
    assert mirror.asked == []


def test_a_whole_part_of_unknown_length_is_recognized_by_the_answer(mirror: Mirror, tmp_path: Path) -> None:
    mirror.turns = [Turn(CONTENT)]
    (tmp_path / "log.csv.part").write_bytes(CONTENT)
    got = fetch_trace(trace_of(url=mirror.url + "/log.csv", bytes=None), out=tmp_path, patience=QUICK)
    assert got.path.read_bytes() == CONTENT
    assert [a.sent for a in mirror.asked] == [0]


@pytest.mark.parametrize("stale", [OTHER, OTHER + CONTENT, OTHER[:CUT]])
def test_a_stale_part_does_not_stand_in_the_way(mirror: Mirror, tmp_path: Path, stale: bytes) -> None:
    mirror.turns = [Turn(CONTENT)]
    (tmp_path / "log.csv.part").write_bytes(stale)
    (tmp_path / "log.csv.part.json").write_text("{not json")
    got = fetch_trace(trace_of(url=mirror.url + "/log.csv"), out=tmp_path, patience=QUICK)
    assert got.path.read_bytes() == CONTENT
    assert left_in(tmp_path) == ["log.csv"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_a_full_disk_is_one_line(mirror: Mirror, tmp_path: Path) -> None:
    mirror.turns = [Turn(CONTENT)]
    (tmp_path / "log.csv.part").symlink_to("/dev/full")
    with pytest.raises(BurstlensError, match="no space left") as refusal:
        fetch_trace(trace_of(url=mirror.url + "/log.csv"), out=tmp_path, patience=QUICK)
    assert "\n" not in str(refusal.value)
    assert len(mirror.asked) == 1


def test_more_than_the_disk_holds_is_not_begun(mirror: Mirror, tmp_path: Path) -> None:
    mirror.turns = [Turn(CONTENT, length=False)]
    trace = trace_of(url=mirror.url + "/log.csv", bytes=1 << 60)
    with pytest.raises(BurstlensError, match=r"no space for log\.csv"):
        fetch_trace(trace, out=tmp_path, patience=QUICK)
    assert left_in(tmp_path) == []


def test_places_that_cannot_be_written_are_one_line(mirror: Mirror, tmp_path: Path) -> None:
    mirror.turns = [Turn(CONTENT)]
    (tmp_path / "file").write_text("")
    (tmp_path / "log.csv.part").mkdir()
    trace = trace_of(url=mirror.url + "/log.csv")
    for out in (tmp_path / "file", tmp_path / "file" / "below", tmp_path):
        with pytest.raises(BurstlensError, match="cannot be written"):
            fetch_trace(trace, out=out, patience=QUICK)
    (tmp_path / "log.csv").mkdir()
    with pytest.raises(BurstlensError, match="is a folder"):
        fetch_trace(trace, out=tmp_path, patience=QUICK)


@pytest.mark.skipif(sys.platform == "win32", reason="locks files in another way")
def test_a_second_fetch_into_the_same_folder_is_told(mirror: Mirror, tmp_path: Path) -> None:
    import fcntl

    mirror.turns = [Turn(CONTENT)]
    trace = trace_of(url=mirror.url + "/log.csv")
    with (tmp_path / "log.csv.part").open("ab") as first:
        fcntl.flock(first, fcntl.LOCK_EX)
        with pytest.raises(BurstlensError, match="another fetch of it is under way"):
            fetch_trace(trace, out=tmp_path, patience=QUICK)
    assert fetch_trace(trace, out=tmp_path, patience=QUICK).verified


def test_without_a_checksum_the_result_says_so(mirror: Mirror, tmp_path: Path) -> None:
    mirror.turns = [Turn(CONTENT)]
    trace = trace_of(url=mirror.url + "/log.csv", sha256=None, bytes=None)
    for _ in range(2):
        got = fetch_trace(trace, out=tmp_path, patience=QUICK)
        assert not got.verified
        assert got.sha256 == hashlib.sha256(CONTENT).hexdigest()
        assert f"not verified: no published checksum; SHA-256 measured here {got.sha256}" in got.message
    assert len(mirror.asked) == 1


def test_secrets_in_an_address_are_not_shown(mirror: Mirror, tmp_path: Path) -> None:
    mirror.turns = [Turn(CONTENT, status=404)]
    address = mirror.url.replace("//", "//me:hunter2@") + "/log.csv?token=hunter3"
    with pytest.raises(BurstlensError) as refusal:
        fetch_trace(trace_of(), out=tmp_path, source=address, patience=QUICK)
    assert mirror.url + "/log.csv is not there" in str(refusal.value)
    assert not re.search("hunter|token", str(refusal.value))


def test_from_an_event_loop_that_runs_already(mirror: Mirror, tmp_path: Path) -> None:
    mirror.turns = [Turn(CONTENT)]

    async def notebook() -> bool:
        return fetch_trace(trace_of(url=mirror.url + "/log.csv"), out=tmp_path, patience=QUICK).verified

    assert asyncio.run(notebook())


@pytest.mark.parametrize(
    ("source", "paths"),
    [
        ("", ["/published.csv"]),
        ("/", ["/published.csv"]),
        ("/traces/v2.0", ["/traces/v2.0/published.csv"]),
        ("/traces/?key=1", ["/traces/published.csv?key=1"]),
        ("/some/renamed.csv", ["/some/renamed.csv"]),
        ("/d/log.csv?key=1", ["/d/log.csv?key=1"]),
    ],
)
def test_a_mirror_is_a_base_or_a_whole_address(
    mirror: Mirror, tmp_path: Path, source: str, paths: list[str]
) -> None:
    mirror.turns = [Turn(CONTENT)]
    trace = trace_of(url="http://127.0.0.1:9/v2.0/published.csv")
    assert fetch_trace(trace, out=tmp_path, source=mirror.url + source, patience=QUICK).verified
    assert [a.path for a in mirror.asked] == paths


def test_a_mirror_may_have_the_file_under_our_name(mirror: Mirror, tmp_path: Path) -> None:
    mirror.turns = [Turn(CONTENT, status=404), Turn(CONTENT)]
    trace = trace_of(url="http://127.0.0.1:9/v2.0/published.csv")
    assert fetch_trace(trace, out=tmp_path, source=mirror.url, patience=QUICK).verified
    assert [a.path for a in mirror.asked] == ["/published.csv", "/log.csv"]


def test_a_mirror_may_be_a_folder_or_a_file(tmp_path: Path) -> None:
    there = tmp_path / "with space"
    there.mkdir()
    (there / "published.csv").write_bytes(CONTENT)
    (there / "other.csv").write_bytes(OTHER)
    trace = trace_of(url="http://127.0.0.1:9/v2.0/published.csv")
    sources = [str(there), str(there / "published.csv"), there.as_uri(), (there / "published.csv").as_uri()]
    seen: list[tuple[int, int | None]] = []
    for number, source in enumerate(sources):
        got = fetch_trace(
            trace, out=tmp_path / str(number), source=source, progress=lambda *done: seen.append(done)
        )
        assert got.path.read_bytes() == CONTENT
        assert seen.pop() == (len(CONTENT), len(CONTENT))
    with pytest.raises(BurstlensError, match=r"log\.csv refused: expected SHA-256"):
        fetch_trace(trace, out=tmp_path / "bad", source=str(there / "other.csv"))
    assert left_in(tmp_path / "bad") == ["log.csv.refused"]


@pytest.mark.parametrize(
    ("source", "words"), [("/no/such/folder", "there is no /no/such/folder"), ("ftp://x/y", "--from ftp://")]
)
def test_a_mirror_that_is_none(tmp_path: Path, source: str, words: str) -> None:
    with pytest.raises(BurstlensError, match=words):
        fetch_trace(trace_of(), out=tmp_path, source=source)
    assert left_in(tmp_path) == []


def tar_of(entries: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:xz") as tar:
        for name, content in entries.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def member(file: str, content: bytes) -> Member:
    return Member(file, len(content), hashlib.sha256(content).hexdigest())


def test_the_logs_of_a_tar_are_unpacked_beside_it(tmp_path: Path) -> None:
    packed = tar_of({"d/memory.csv": OTHER, "../d/one.csv": CONTENT, "two.csv": b"2\n"})
    (tmp_path / "log.tar.xz").write_bytes(packed)
    trace = trace_of(
        packed,
        file="log.tar.xz",
        archive="tar",
        members=(member("one.csv", CONTENT), Member("two.csv", None, None)),
    )
    for _ in range(2):
        got = fetch_trace(trace, out=tmp_path)
        assert got.logs == (tmp_path / "one.csv", tmp_path / "two.csv")
        assert got.path.name == "log.tar.xz"
        assert "unpacked 2 files, one.csv first" in got.message
        assert got.logs[0].read_bytes() == CONTENT
        assert left_in(tmp_path) == ["log.tar.xz", "one.csv", "two.csv"]
    (tmp_path / "one.csv").write_bytes(b"mine")
    with pytest.raises(BurstlensError, match=r"one\.csv is in the way"):
        fetch_trace(trace, out=tmp_path)


@pytest.mark.parametrize(
    ("packed", "words"),
    [
        (tar_of({"two.csv": b""}), r"has no one\.csv"),
        (tar_of({"one.csv": OTHER}), r"one\.csv in it is damaged: expected SHA-256"),
        (tar_of({"one.csv": CONTENT})[:300], "is damaged"),
        (b"no archive", "is damaged"),
    ],
)
def test_a_damaged_tar_leaves_no_log(tmp_path: Path, packed: bytes, words: str) -> None:
    (tmp_path / "log.tar.xz").write_bytes(packed)
    trace = trace_of(packed, file="log.tar.xz", archive="tar", members=(member("one.csv", CONTENT),))
    with pytest.raises(BurstlensError, match=words):
        fetch_trace(trace, out=tmp_path)
    assert left_in(tmp_path) == ["log.tar.xz"]


def rar_of(name: str, content: bytes) -> bytes:
    """A RAR 5 archive with one stored file, by the format's public description (rarlab.com/technote.htm)."""

    def number(value: int) -> bytes:
        found = bytearray()
        while value > 127:
            found.append(value & 127 | 128)
            value >>= 7
        return bytes([*found, value])

    def block(fields: bytes, data: bytes = b"") -> bytes:
        sized = number(len(fields)) + fields
        return zlib.crc32(sized).to_bytes(4, "little") + sized + data

    file = b"".join(
        [
            number(2) + number(2) + number(len(content)),  # a file header, followed by data
            number(4) + number(len(content)) + number(0o100644),  # with a checksum, length, attributes
            zlib.crc32(content).to_bytes(4, "little") + number(0) + number(1),  # stored, made on Unix
            number(len(name)) + name.encode(),
        ]
    )
    return b"Rar!\x1a\x07\x01\x00" + block(bytes([1, 0, 0])) + block(file, content) + block(bytes([5, 0, 0]))


def rar_trace(tmp_path: Path) -> PublicTrace:
    packed = rar_of("log.txt", CONTENT)
    (tmp_path / "log.rar").write_bytes(packed)
    return trace_of(packed, file="log.rar", archive="rar", members=(member("log.txt", CONTENT),))


def only(tools: dict[str, str], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make these scripts the only programs on the path."""
    folder.mkdir()
    for name, script in tools.items():
        (folder / name).write_text(f"#!{sys.executable}\n{script}\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


@pytest.mark.parametrize("tool", RAR_TOOLS)
def test_rar_is_unpacked_by_what_the_system_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tool: str
) -> None:
    real = shutil.which(tool)
    if real is None:
        pytest.skip(f"{tool} is not installed")
    if tool in {"7zz", "7z"} and b"Rar5" not in subprocess.run([real, "i"], capture_output=True).stdout:
        pytest.skip(f"this build of {tool} knows no RAR")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / tool).symlink_to(real)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    out = tmp_path / "out"
    out.mkdir()
    got = fetch_trace(rar_trace(out), out=out)
    assert got.logs == (out / "log.txt",)
    assert got.logs[0].read_bytes() == CONTENT
    assert left_in(out) == ["log.rar", "log.txt"]


def test_rar_that_nothing_unpacks_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    trace = rar_trace(out)
    only({}, tmp_path / "none", monkeypatch)
    with pytest.raises(BurstlensError, match=r"nothing on this machine unpacks RAR: install unrar"):
        fetch_trace(trace, out=out)
    assert left_in(out) == ["log.rar"]


def test_a_program_that_fails_at_rar_gives_way_to_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    trace = rar_trace(out)
    halves = "import pathlib, sys; pathlib.Path(sys.argv[-1], 'log.txt').write_bytes(b'half')"
    fails = "raise SystemExit(1)"
    only({"unrar": halves, "bsdtar": fails}, tmp_path / "two", monkeypatch)
    with pytest.raises(
        BurstlensError, match=r"in vain: unrar \(expected .*, got 4 bytes\), bsdtar \(made no"
    ):
        fetch_trace(trace, out=out)
    assert left_in(out) == ["log.rar"]
    # The stored file stands before the end block of eight bytes.
    works = (
        "import pathlib, sys; packed = pathlib.Path(sys.argv[-1]).read_bytes(); "
        f"pathlib.Path(sys.argv[-2], 'log.txt').write_bytes(packed[-8 - {len(CONTENT)} : -8])"
    )
    only({"unrar": halves, "bsdtar": fails, "unar": works}, tmp_path / "three", monkeypatch)
    assert fetch_trace(trace, out=out).logs[0].read_bytes() == CONTENT


def test_the_catalogue_agrees_with_what_was_measured_on_the_whole_files(
    traces: Callable[[str], Path],
) -> None:
    truth = json.loads(traces("ground_truth.json").read_text())
    release = {t.file: t for t in catalogue().values() if "/HPMLL/BurstGPT/releases/download/v2.0/" in t.url}
    measured = {file: facts for file, facts in truth["release_v2_0_assets"].items() if file.endswith(".csv")}
    assert set(release) == set(measured)
    for file, facts in measured.items():
        assert release[file].url.endswith("/" + file)
        assert (release[file].bytes, release[file].sha256) == (facts["bytes"], facts["sha256"])
        assert release[file].rows == facts.get("rows")
    kept = truth["repo_main_data_BurstGPT_1_csv"]
    trace = find("burstgpt-1-repository")
    assert (trace.bytes, trace.rows, trace.sha256) == (kept["bytes"], kept["rows"], kept["sha256"])


@pytest.mark.parametrize(
    ("name", "real"),
    [
        ("azure-llm-2023-conversation", "azure_llm_2023_conv.csv"),
        ("mooncake-conversation", "mooncake_conversation_trace.jsonl"),
    ],
)
def test_a_real_trace_arrives_over_a_bad_line(
    mirror: Mirror, traces: Callable[[str], Path], tmp_path: Path, name: str, real: str
) -> None:
    content = traces(real).read_bytes()
    mirror.turns = [Turn(content, stop_after=len(content) // 2), Turn(content)]
    got = fetch_trace(find(name), out=tmp_path, source=mirror.url, patience=QUICK)
    assert got.verified
    assert got.path.read_bytes() == content
    rows = find(name).rows
    assert rows is not None
    assert content.rstrip().count(b"\n") == rows - (name.startswith("mooncake"))
    assert fetch(name, out=tmp_path / "copy", source=str(traces(real))).verified


def test_the_catalogue_is_complete_and_honest() -> None:
    traces = catalogue()
    assert len({t.file.casefold() for t in traces.values()}) == len(traces)
    assert {"burstgpt-1", "azure-llm-2024-code", "mooncake-toolagent", "maf1", "maf2"} <= set(traces)
    for trace in traces.values():
        assert trace.url.startswith("https://")
        assert trace.home.startswith("https://")
        assert trace.licence in {"CC-BY-4.0", "Apache-2.0"}
        assert trace.sha256 is None or (re.fullmatch("[0-9a-f]{64}", trace.sha256) and trace.checksum_from)
        assert bool(trace.archive) == bool(trace.members)
    assert len(traces["maf1"].members) == 14


def test_the_list_has_a_row_a_trace() -> None:
    table = list_public()
    assert table.columns == ["name", "rows", "bytes", "licence", "checksum", "title"]
    assert table["name"].to_list() == list(catalogue())
    one = table.row(by_predicate=pl.col("name") == "burstgpt-1", named=True)
    assert (one["rows"], one["bytes"], one["checksum"]) == (1_429_737, 52_283_111, True)


def test_names_are_found_in_any_case_and_wrong_ones_get_the_nearest() -> None:
    assert find("BurstGPT_1.CSV").name == find(" BURSTGPT-1 ").name == "burstgpt-1"
    with pytest.raises(BurstlensError, match=r"did you mean .*mooncake-toolagent"):
        fetch("mooncake-toll-agent")
    with pytest.raises(
        BurstlensError, match=r"did you mean azure-llm-2024-conversation or azure-llm-2024-code\?"
    ):
        fetch("2024")
    with pytest.raises(BurstlensError, match="there are burstgpt-1, "):
        fetch("zzzz")


def test_the_public_function_is_still_one_after_its_first_call(
    traces: Callable[[str], Path], tmp_path: Path
) -> None:
    mirror = str(traces("azure_llm_2023_conv.csv"))
    for folder in ("a", "b"):
        got = burstlens.fetch("azure-llm-2023-conversation", tmp_path / folder, source=mirror)
        assert got.verified


def test_nothing_of_http_is_loaded_before_a_fetch() -> None:
    code = "import burstlens.public, sys; burstlens.public.list_public(); sys.exit('aiohttp' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env=dict(os.environ)).returncode == 0
