"""Logs out of archives: tar.xz, and RAR by whatever the system has."""

from __future__ import annotations

import hashlib
import io
import shutil
import subprocess
import sys
import tarfile
import zlib
from pathlib import Path

import pytest

from burstlens.analysis.core.errors import BurstlensError
from burstlens.public_traces.catalogue import PublicTrace, fetch_trace
from burstlens.public_traces.unpack import RAR_TOOLS, Member

from .conftest import CONTENT, OTHER, left_in, trace_of


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


def test_the_logs_of_a_tar_are_unpacked_next_to_it(tmp_path: Path) -> None:
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
        (tar_of({"two.csv": b""}), r"does not contain one\.csv"),
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
    with pytest.raises(BurstlensError, match=r"no program on this machine unpacks RAR: install unrar"):
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
