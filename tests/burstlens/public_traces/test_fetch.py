"""Downloads from a real server that truncates, corrupts, stalls, lies and changes its mind."""

from __future__ import annotations

import asyncio
import hashlib
import re
import signal
import sys
import zlib
from email.utils import formatdate
from pathlib import Path

import pytest

from burstlens.analysis.core.errors import BurstlensError
from burstlens.public_traces.catalogue import fetch_trace
from burstlens.public_traces.download import Patience

from .conftest import CONTENT, CUT, OTHER, QUICK, Mirror, Turn, left_in, trace_of


def test_a_complete_file_is_verified_and_nothing_else_is_left(mirror: Mirror, tmp_path: Path) -> None:
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
    assert mirror.requests[0].encoding == "identity"


def test_a_cut_connection_is_taken_up_where_it_ended(mirror: Mirror, tmp_path: Path) -> None:
    mirror.turns = [Turn(CONTENT, stop_after=CUT), Turn(CONTENT)]
    got = fetch_trace(trace_of(url=mirror.url + "/log.csv"), out=tmp_path, patience=QUICK)
    assert got.path.read_bytes() == CONTENT
    assert got.resumed_from == CUT
    assert f"resumed at byte {CUT:,}" in got.message
    assert [a.range for a in mirror.requests] == [None, f"bytes={CUT}-"]
    assert mirror.requests[1].if_range == '"v1"'
    assert [a.sent for a in mirror.requests] == [CUT, len(CONTENT) - CUT]


def test_retries_are_bounded_and_a_later_fetch_asks_only_for_the_rest(
    mirror: Mirror, second_mirror: Mirror, tmp_path: Path
) -> None:
    mirror.turns = [Turn(CONTENT, stop_after=10_000)]
    trace = trace_of(url=mirror.url + "/log.csv")
    with pytest.raises(BurstlensError, match=r"gave up after 3 retries; 40,000 bytes are kept"):
        fetch_trace(trace, out=tmp_path, patience=QUICK)
    assert [a.range for a in mirror.requests] == [None, "bytes=10000-", "bytes=20000-", "bytes=30000-"]
    assert not (tmp_path / "log.csv").exists()
    second_mirror.turns = [Turn(CONTENT, etag='"of the other mirror"')]
    got = fetch_trace(trace, out=tmp_path, source=second_mirror.url, patience=QUICK)
    assert got.path.read_bytes() == CONTENT
    assert got.resumed_from == 40_000
    assert [a.range for a in second_mirror.requests] == ["bytes=40000-"]
    assert second_mirror.requests[0].if_range is None
    assert second_mirror.requests[0].sent == len(CONTENT) - 40_000
    assert left_in(tmp_path) == ["log.csv"]


def test_corrupt_bytes_are_refused_and_never_get_the_right_name(mirror: Mirror, tmp_path: Path) -> None:
    corrupt = CONTENT[:5000] + b"\x00" + CONTENT[5001:]
    mirror.turns = [Turn(corrupt)]
    trace = trace_of(url=mirror.url + "/log.csv")
    with pytest.raises(BurstlensError) as refusal:
        fetch_trace(trace, out=tmp_path, patience=QUICK)
    message = str(refusal.value)
    assert "refused" in message
    assert f"expected SHA-256 {trace.sha256}, got {hashlib.sha256(corrupt).hexdigest()}" in message
    assert "measured by the test" in message
    assert left_in(tmp_path) == ["log.csv.refused"]
    assert (tmp_path / "log.csv.refused").read_bytes() == corrupt
    mirror.turns = [Turn(CONTENT)]
    assert fetch_trace(trace, out=tmp_path, patience=QUICK).verified
    assert mirror.requests[-1].range is None


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
def test_an_answer_that_will_not_change_is_not_requested_twice(
    mirror: Mirror, tmp_path: Path, status: int, words: str
) -> None:
    mirror.turns = [Turn(CONTENT, status=status)]
    with pytest.raises(BurstlensError, match=f"{status} {words}"):
        fetch_trace(trace_of(url=mirror.url + "/log.csv"), out=tmp_path, patience=QUICK)
    assert len(mirror.requests) == 1
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
    assert len(mirror.requests) == 1


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
    assert len(mirror.requests) == 2
    assert [a.range for a in second_mirror.requests] == [None, f"bytes={CUT}-"]


@pytest.mark.parametrize(
    ("target", "words"),
    [("/log.csv", "redirects in a circle"), ("ftp://127.0.0.1/log.csv", "not lead to an http")],
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
    assert mirror.requests[1].sent == len(CONTENT)


@pytest.mark.parametrize(
    "lie", [{"moved": 7}, {"total": 999_999}, {"moved": -CUT}, {"headers": {"ETag": '"v1"'}, "moved": 1}]
)
def test_a_wrong_content_range_is_not_believed(mirror: Mirror, tmp_path: Path, lie: dict[str, int]) -> None:
    mirror.turns = [Turn(CONTENT, stop_after=CUT), Turn(CONTENT, **lie), Turn(CONTENT)]  # type: ignore[arg-type]
    got = fetch_trace(trace_of(url=mirror.url + "/log.csv"), out=tmp_path, patience=QUICK)
    assert got.path.read_bytes() == CONTENT
    assert got.resumed_from == 0
    assert [a.range for a in mirror.requests] == [None, f"bytes={CUT}-", None]


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
    assert [a.range for a in mirror.requests] == [None, f"bytes={CUT}-", None]


@pytest.mark.parametrize("etag", [None, 'W/"weak"'])
def test_with_neither_validator_nor_checksum_nothing_is_continued(
    mirror: Mirror, tmp_path: Path, etag: str | None
) -> None:
    mirror.turns = [Turn(OTHER, etag=etag, stop_after=CUT), Turn(CONTENT, etag=etag)]
    got = fetch_trace(trace_of(url=mirror.url + "/log.csv", sha256=None), out=tmp_path, patience=QUICK)
    assert got.path.read_bytes() == CONTENT
    assert [a.range for a in mirror.requests] == [None, None]


def test_last_modified_serves_where_there_is_no_strong_etag(mirror: Mirror, tmp_path: Path) -> None:
    dated = {"Last-Modified": formatdate(1e9, usegmt=True)}
    mirror.turns = [
        Turn(CONTENT, etag=None, headers=dated, stop_after=CUT),
        Turn(CONTENT, etag=None, headers=dated, heeds_if_range=False),
    ]
    got = fetch_trace(trace_of(url=mirror.url + "/log.csv", sha256=None), out=tmp_path, patience=QUICK)
    assert got.path.read_bytes() == CONTENT
    assert mirror.requests[1].if_range == dated["Last-Modified"]
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
    assert len(mirror.requests) == 1
    assert again.verified
    assert "already here" in again.message


@pytest.mark.parametrize("mine", [b"my own log\n", OTHER])
def test_a_file_of_another_content_is_left_alone(mirror: Mirror, tmp_path: Path, mine: bytes) -> None:
    mirror.turns = [Turn(CONTENT)]
    (tmp_path / "log.csv").write_bytes(mine)
    with pytest.raises(BurstlensError, match="exists already and is not test: expected"):
        fetch_trace(trace_of(url=mirror.url + "/log.csv"), out=tmp_path, patience=QUICK)
    assert (tmp_path / "log.csv").read_bytes() == mine
    assert mirror.requests == []


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
    assert mirror.requests[1].sent == len(CONTENT) - CUT
    assert mirror.requests[1].if_range == '"v1"'
    assert left_in(tmp_path) == ["log.csv"]


def test_a_part_that_is_complete_is_only_verified(mirror: Mirror, tmp_path: Path) -> None:
    mirror.turns = [Turn(CONTENT)]
    (tmp_path / "log.csv.part").write_bytes(CONTENT)
    assert fetch_trace(trace_of(url=mirror.url + "/log.csv"), out=tmp_path, patience=QUICK).verified
    assert mirror.requests == []


def test_a_complete_part_of_unknown_length_is_recognized_by_the_answer(
    mirror: Mirror, tmp_path: Path
) -> None:
    mirror.turns = [Turn(CONTENT)]
    (tmp_path / "log.csv.part").write_bytes(CONTENT)
    got = fetch_trace(trace_of(url=mirror.url + "/log.csv", bytes=None), out=tmp_path, patience=QUICK)
    assert got.path.read_bytes() == CONTENT
    assert [a.sent for a in mirror.requests] == [0]


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
    assert len(mirror.requests) == 1


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
def test_a_second_fetch_into_the_same_folder_is_refused(mirror: Mirror, tmp_path: Path) -> None:
    import fcntl

    mirror.turns = [Turn(CONTENT)]
    trace = trace_of(url=mirror.url + "/log.csv")
    with (tmp_path / "log.csv.part").open("ab") as first:
        fcntl.flock(first, fcntl.LOCK_EX)
        with pytest.raises(BurstlensError, match="another fetch is writing this file"):
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
    assert len(mirror.requests) == 1


def test_secrets_in_an_address_are_not_shown(mirror: Mirror, tmp_path: Path) -> None:
    mirror.turns = [Turn(CONTENT, status=404)]
    address = mirror.url.replace("//", "//me:hunter2@") + "/log.csv?token=hunter3"
    with pytest.raises(BurstlensError) as refusal:
        fetch_trace(trace_of(), out=tmp_path, source=address, patience=QUICK)
    assert mirror.url + "/log.csv does not exist" in str(refusal.value)
    assert not re.search("hunter|token", str(refusal.value))


def test_from_an_event_loop_that_runs_already(mirror: Mirror, tmp_path: Path) -> None:
    mirror.turns = [Turn(CONTENT)]

    async def notebook() -> bool:
        return fetch_trace(trace_of(url=mirror.url + "/log.csv"), out=tmp_path, patience=QUICK).verified

    assert asyncio.run(notebook())
