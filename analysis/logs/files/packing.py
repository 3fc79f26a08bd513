"""Packed files: which packing it is, the bytes unpacked as they are read, and checksums.

DuckDB unpacks gzip and zstd itself; bz2, xz and zip are unpacked into a temporary folder first. Not here:
what the bytes mean (`burstlens.analysis.logs.files.sniff`).
"""

from __future__ import annotations

import bz2
import errno
import gzip
import hashlib
import lzma
import shutil
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

import zstandard

from ...core.errors import DiskError, InputError

CHUNK = 1 << 20
PARQUET = b"PAR1"
PACKINGS = {
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"BZh": "bz2",
    b"\xfd7zXZ\x00": "xz",
    b"PK\x03\x04": "zip",
}
READ_PACKED = ("none", "gzip", "zstd")
"""Packings that the readers of rows open themselves."""
ENDINGS = (".gz", ".zst", ".bz2", ".xz", ".zip")
FOREIGN = {
    b"7z\xbc\xaf\x27\x1c": ("a 7z archive", "unpack it first (7z x)"),
    b"\x04\x22\x4d\x18": ("packed with lz4", "unpack it first (lz4 -d)"),
    b"SQLite format 3": ("an SQLite database", "export its table as CSV (sqlite3 -csv -header)"),
    b"Obj\x01": ("an Avro file", "write it as Parquet or as JSON lines"),
    b"ORC": ("an ORC file", "write it as Parquet"),
    b"ARROW1": ("an Arrow file", "write it as Parquet"),
    b"%PDF": ("a PDF document", "export the log as CSV"),
    b"\xd0\xcf\x11\xe0": ("an Excel workbook", "save the sheet as CSV"),
}
"""First bytes of files that may hold a log and cannot be read: what they are, and what to do."""


def packing(magic: bytes) -> str:
    """Name the packing that a file's first bytes tell, `none` for a plain file."""
    return next((name for first, name in PACKINGS.items() if magic.startswith(first)), "none")


def refuse_foreign(path: Path, magic: bytes) -> None:
    """Raise the error of a file whose first bytes belong to a known kind that burstlens does not read.

    Parameters
    ----------
    path : Path
    magic : bytes
        The first 512 bytes, unpacked.

    Raises
    ------
    InputError
    """
    for first, (what, remedy) in FOREIGN.items():
        if magic.startswith(first):
            raise InputError.at(path, f"is {what}", remedy=remedy)
    if magic[257:262] == b"ustar":
        raise InputError.at(path, "is a tar archive", remedy="unpack it (tar -xf) and name the log in it")


@contextmanager
def open_unpacked(path: Path, packed: str) -> Iterator[BinaryIO]:
    """Open a file's bytes, decompressed as they are read.

    Parameters
    ----------
    path : Path
    packed : str
        As `packing` names it; anything else for a plain file.

    Raises
    ------
    BurstlensError
        If the compressed data are damaged.
    """
    try:
        if packed == "gzip":
            with gzip.open(path) as file:
                yield cast(BinaryIO, file)
        elif packed == "zstd":
            with (
                path.open("rb") as raw,
                zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True) as reader,
            ):
                yield cast(BinaryIO, reader)
        elif packed == "bz2":
            with bz2.open(path) as file:
                yield cast(BinaryIO, file)
        elif packed == "xz":
            with lzma.open(path) as file:
                yield cast(BinaryIO, file)
        elif packed == "zip":
            with zipfile.ZipFile(path) as archive, archive.open(_only_member(path, archive)) as member:
                yield cast(BinaryIO, member)
        else:
            with path.open("rb") as raw:
                yield raw
    except (
        EOFError,
        zlib.error,
        gzip.BadGzipFile,
        zstandard.ZstdError,
        lzma.LZMAError,
        zipfile.BadZipFile,
    ) as fault:
        raise InputError.damaged(path, packed) from fault
    except (NotImplementedError, RuntimeError) as fault:
        if packed != "zip":
            raise
        raise InputError.at(path, "its zip member needs a password or an unknown method") from fault
    except (OSError, ValueError, struct.error) as fault:
        # bz2 raises OSError without a number; zip whatever its altered numbers lead to.
        number = getattr(fault, "errno", None)
        if (packed == "zip" and number in (None, errno.EINVAL)) or (packed == "bz2" and number is None):
            raise InputError.damaged(path, packed) from fault
        raise


def _only_member(path: Path, archive: zipfile.ZipFile) -> str:
    """The one log in a zip archive; folders, and what macOS adds, are passed over."""
    names = [member.filename for member in archive.infolist() if not member.is_dir()]
    if "[Content_Types].xml" in names:
        raise InputError.at(
            path, "is an Excel workbook or another Office file", remedy="save the sheet as CSV"
        )
    logs = [n for n in names if not n.startswith("__MACOSX/") and not PurePosixPath(n).name.startswith(".")]
    if not logs:
        raise InputError.at(path, "is a zip archive without a file")
    if len(logs) > 1:
        listed = ", ".join(repr(name) for name in logs[:6]) + (", …" if len(logs) > 6 else "")
        raise InputError.at(
            path,
            f"is a zip archive of {len(logs)} files: {listed}",
            remedy="unpack it (unzip) and name the logs, several make one trace",
        )
    return logs[0]


def unpack(path: Path, packed: str, folder: Path) -> Path:
    """Write the unpacked bytes to a file of their own.

    Parameters
    ----------
    path : Path
    packed : str
    folder : Path
        Existing temporary folder.

    Returns
    -------
    Path
        In `folder`, with the name of `path`.

    Raises
    ------
    BurstlensError
        If the data are damaged or do not fit on the disk.
    """
    out = Path(tempfile.mkdtemp(dir=folder)) / path.name
    with open_unpacked(path, packed) as source:
        try:
            with out.open("wb") as target:
                shutil.copyfileobj(source, target, CHUNK)
        except OSError as fault:
            if fault.errno is None:
                raise
            raise DiskError.unwritable(out, fault) from fault
    return out


def packed_digest(file: Path, packed: str) -> str:
    """Compute the SHA-256 of a file as it is on disk, and read a compressed file to its end.

    DuckDB reads a gzip file with altered bytes, and a zstd file that was cut short, without an error.

    Parameters
    ----------
    file : Path
    packed : str
        `gzip`, `zstd`, or anything else for a plain file.

    Returns
    -------
    str
        In hexadecimal.

    Raises
    ------
    InputError
        If the compressed data are damaged.
    DiskError
        If the file cannot be read.
    """
    try:
        with file.open("rb") as raw:
            digest = hashlib.file_digest(raw, "sha256").hexdigest()
        if packed == "gzip":
            with open_unpacked(file, packed) as stream:
                while stream.read(CHUNK):
                    pass
        elif packed == "zstd" and not _is_complete_zstd(file):
            raise InputError.damaged(file, packed)
    except OSError as fault:
        raise DiskError.unreadable(file, fault) from fault
    return digest


def _is_complete_zstd(path: Path) -> bool:
    """Whether the frames of the file can all be read and the last of them is complete."""
    frame = zstandard.ZstdDecompressor().decompressobj()
    with path.open("rb") as file:
        chunk = b""
        try:
            while chunk or (chunk := file.read(CHUNK)):
                if frame.eof:
                    frame = zstandard.ZstdDecompressor().decompressobj()
                frame.decompress(chunk)
                chunk = frame.unused_data if frame.eof else b""
        except zstandard.ZstdError:
            return False
    return frame.eof
