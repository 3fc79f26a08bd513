"""Logs out of the archives of two public traces: tar.xz by Python, RAR by what the system has.

Not here: getting the archive and verifying it (`burstlens.public_traces.catalogue`); logs as .gz or .zst,
which ingest reads.
"""

from __future__ import annotations

import hashlib
import lzma
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..analysis.core.errors import InputError, MissingExtraError
from .download import Received, unwritable

CHUNK_BYTES = 1 << 20
RAR_TOOLS: dict[str, Callable[[Path, Path], list[str]]] = {
    "unrar": lambda archive, into: ["unrar", "x", "-y", str(archive), f"{into}/"],
    "bsdtar": lambda archive, into: ["bsdtar", "-x", "-f", str(archive), "-C", str(into)],
    "7zz": lambda archive, into: ["7zz", "x", "-y", f"-o{into}", str(archive)],
    "7z": lambda archive, into: ["7z", "x", "-y", f"-o{into}", str(archive)],
    "unar": lambda archive, into: ["unar", "-quiet", "-output-directory", str(into), str(archive)],
}
"""Programs that may unpack RAR 5, the surest first: 7z and unar come in builds that cannot."""


@dataclass(frozen=True)
class Member:
    """A file in an archive, with length in bytes and SHA-256 if they are known."""

    file: str
    bytes: int | None
    sha256: str | None


def fault_of(path: Path, size: int | None, sha256: str | None) -> str | None:
    """Compare a file with the one expected.

    Parameters
    ----------
    path
        The file.
    size
        Bytes expected, None if not known.
    sha256
        SHA-256 expected, None if not known.

    Returns
    -------
    str or None
        `expected …, got …`; None if the file is as expected.
    """
    length = path.stat().st_size
    if size is not None and length != size:
        return f"expected {size:,} bytes, got {length:,} bytes"
    if sha256 is not None and (found := digest(path)) != sha256:
        return f"expected SHA-256 {sha256}, got {found}"
    return None


def digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def unpack(
    archive: Path, kind: str, members: Sequence[Member], received: Received | None = None
) -> tuple[Path, ...]:
    """Unpack members of an archive into its folder; files that are there already stay.

    A file gets its name only once it is complete.

    Parameters
    ----------
    archive
        The archive.
    kind
        `tar` or `rar`.
    members
        What to unpack.
    received
        Called with the bytes done and the bytes in all (None if unknown).

    Returns
    -------
    tuple of Path
        The files, in the order of `members`.

    Raises
    ------
    InputError
        If a member is missing or damaged, or another file is in the way.
    DiskError
        If a file cannot be written.
    MissingExtraError
        If no program unpacks RAR.
    """
    folder = archive.parent
    paths = tuple(folder / member.file for member in members)
    missing = []
    for member, path in zip(members, paths, strict=True):
        if not path.exists():
            missing.append(member)
        elif fault := fault_of(path, member.bytes, member.sha256):
            raise InputError(
                f"{path} is in the way and is not the file of {archive.name}: {fault}; move it away"
            )
    if missing:
        try:
            with tempfile.TemporaryDirectory(dir=folder, prefix=".unpacking-") as into:
                (_from_tar if kind == "tar" else _from_rar)(archive, missing, Path(into), received)
                for member in missing:
                    (Path(into) / member.file).replace(folder / member.file)
        except OSError as fault:
            raise unwritable(fault, folder / archive.name) from fault
    return paths


def _from_tar(archive: Path, members: Sequence[Member], into: Path, received: Received | None) -> None:
    """Read the archive once, from front to back, and write the members under their bare names."""
    wanted = {member.file: member for member in members}
    size = archive.stat().st_size
    try:
        with archive.open("rb") as raw, tarfile.open(fileobj=raw, mode="r|*") as tar:
            for entry in tar:
                content = tar.extractfile(entry) if Path(entry.name).name in wanted else None
                if content is None:
                    continue
                member = wanted.pop(Path(entry.name).name)
                with (into / member.file).open("wb") as file:
                    while block := content.read(CHUNK_BYTES):
                        file.write(block)
                        if received:
                            received(raw.tell(), size)
                if fault := fault_of(into / member.file, member.bytes, member.sha256):
                    raise InputError(f"{archive}: {member.file} in it is damaged: {fault}")
                if not wanted:
                    return
    except (tarfile.TarError, lzma.LZMAError, EOFError) as fault:
        raise InputError(f"{archive}: is damaged: {fault}; remove it and fetch again") from fault
    raise InputError(f"{archive}: does not contain {' or '.join(wanted)}")


def _from_rar(archive: Path, members: Sequence[Member], into: Path, received: Received | None) -> None:  # noqa: ARG001
    """Let the first program that can do it unpack the archive; what counts is the file that comes out."""
    tried = []
    for tool, command in RAR_TOOLS.items():
        if shutil.which(tool) is None:
            continue
        with tempfile.TemporaryDirectory(dir=into, prefix=f"{tool}-") as scratch:
            subprocess.run(
                command(archive.resolve(), Path(scratch).resolve()),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
            )
            fault = _collected(members, Path(scratch), into)
        if fault is None:
            return
        tried.append(f"{tool} ({fault})")
    failed = f"; tried in vain: {', '.join(tried)}" if tried else ""
    raise MissingExtraError(
        f"{archive} is downloaded and verified, but no program on this machine unpacks RAR{failed}: install "
        "unrar from rarlab.com (Debian and Ubuntu: unrar in non-free or multiverse) or bsdtar "
        "(libarchive-tools), then fetch again; nothing is downloaded twice"
    )


def _collected(members: Sequence[Member], scratch: Path, into: Path) -> str | None:
    """Move the members from where a program put them; returns what is wrong with the first bad one."""
    for member in members:
        found = next(scratch.rglob(member.file), None)
        if found is None:
            return f"made no {member.file}"
        if fault := fault_of(found, member.bytes, member.sha256):
            return fault
        found.replace(into / member.file)
    return None
