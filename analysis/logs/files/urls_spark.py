"""Logs at URLs of Spark's connectors (`s3a://`, `hdfs://`, `file://`), looked at through Spark's own client.

This process opens no such log. What tells its kind, its columns and its size (the first bytes, the footer of
a Parquet file, the names in a folder) is put into a file that stands in for it, so one piece of code looks at
logs wherever they lie. Not here: reading rows (`rows_spark`).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ....queries.spark import SparkEngine
from ...core.errors import BurstlensError, DiskError, InputError, MissingExtraError
from .heads import HEAD_BYTES
from .packing import PARQUET
from .sniff import IDENTITY, parquet_files

URL = re.compile(r"([a-z][a-z0-9+.-]+):/+(.*)")
NO_CLASS = re.compile(r"ClassNotFoundException: Class \S+ not found")
"""What Java says of a connector that is known by name and not there; a class that the connector lacks is told
otherwise."""


def url_of(path: Path) -> str | None:
    """The URL that a path was before its slashes were put together; None of a path of this machine."""
    match = URL.fullmatch(str(path))
    if match is None or path.exists():
        return None
    return f"{match[1]}://{'/' if match[1] == 'file' else ''}{match[2]}"


def local_copy(engine: SparkEngine, url: str, folder: Path) -> Path:
    """Make a local copy of the log at a URL, as far as `inspect_log` needs it.

    Parameters
    ----------
    engine : SparkEngine
    url : str
    folder : Path
        An existing folder.

    Returns
    -------
    Path
        In `folder`, with the log's name and size.
    """
    log = folder / url.rstrip("/").rpartition("/")[2]
    try:
        files, place = _open_url(engine, url)
        status = files.getFileStatus(place)
        if not status.isDirectory():
            _copy(files, status, log)
            return log
        log.mkdir()
        identity = _child(engine, place, IDENTITY)
        # Other folders are not listed: they may contain anything, at any depth.
        if files.exists(identity):
            (log / IDENTITY).write_bytes(files.open(identity).readAllBytes())
            _list(files, place, log)
    except Exception as fault:
        raise _error_of(url, fault) from fault
    return log


def digest(engine: SparkEngine, url: str, folder: bool) -> str:
    """Compute the SHA-256 of the log at a URL; Spark's driver reads it.

    Parameters
    ----------
    engine : SparkEngine
    url : str
    folder : bool
        The log is a folder: the digest is that of its identity.

    Returns
    -------
    str
        In hexadecimal.
    """
    jvm: Any = engine.session.sparkContext._jvm
    try:
        files, place = _open_url(engine, url)
        summed = jvm.java.security.MessageDigest.getInstance("SHA-256")
        stream = files.open(_child(engine, place, IDENTITY) if folder else place)
        jvm.org.apache.hadoop.io.IOUtils.copyBytes(
            jvm.java.security.DigestInputStream(stream, summed),
            jvm.java.io.OutputStream.nullOutputStream(),
            1 << 16,
            True,
        )
        return bytes(summed.digest()).hex()
    except Exception as fault:
        raise _error_of(url, fault) from fault


def _open_url(engine: SparkEngine, url: str) -> tuple[Any, Any]:
    """Hadoop's client of that URL, and the URL as it wants it."""
    context: Any = engine.session.sparkContext
    place = context._jvm.org.apache.hadoop.fs.Path(url)
    return place.getFileSystem(context._jsc.hadoopConfiguration()), place


def _child(engine: SparkEngine, place: Any, name: str) -> Any:
    jvm: Any = engine.session.sparkContext._jvm
    return jvm.org.apache.hadoop.fs.Path(place, name)


def _list(files: Any, place: Any, log: Path) -> None:
    """The Parquet files of a trace by name, and the first of them, to read its columns."""
    prefix = place.toUri().getPath().rstrip("/") + "/"
    statuses, listed = {}, files.listFiles(place, True)
    while listed.hasNext():
        status = listed.next()
        inside = log / status.getPath().toUri().getPath().removeprefix(prefix)
        if inside.suffix == ".parquet":
            inside.parent.mkdir(parents=True, exist_ok=True)
            inside.touch()
            statuses[inside] = status
    for first in parquet_files(log)[:1]:
        _copy(files, statuses[first], first)


def _copy(files: Any, status: Any, out: Path) -> None:
    """The first bytes of a file, and of Parquet its footer; between and after them a hole."""
    size = status.getLen()
    stream = files.open(status.getPath())
    try:
        with out.open("wb") as file:
            head = bytes(stream.readNBytes(HEAD_BYTES))
            file.write(head)
            file.truncate(size)
            if head.startswith(PARQUET) and size > HEAD_BYTES:
                stream.seek(size - 8)
                footer = int.from_bytes(bytes(stream.readNBytes(4)), "little") + 8
                start = max(size - footer, 0)
                stream.seek(start)
                file.seek(start)
                file.write(bytes(stream.readNBytes(size - start)))
    finally:
        stream.close()


def _error_of(url: str, fault: Exception) -> BurstlensError:
    """Java's message in one line; if the connector is absent, the remedy."""
    java = getattr(fault, "java_exception", None)
    text = str(java.toString() if java is not None else fault).split("\n")[0]
    if "java.io.FileNotFoundException" in text:
        return InputError.at(url, "no such file")
    if "No FileSystem for scheme" in text or NO_CLASS.search(text):
        return MissingExtraError(
            f"{url}: Spark has no connector for {url.partition(':')[0]}:// here; name its package with "
            "Spark's setting "
            "spark.jars.packages=…"
        )
    return DiskError.at(url, f"cannot be read by Spark: {text.partition(': ')[2] or text}"[:400])
