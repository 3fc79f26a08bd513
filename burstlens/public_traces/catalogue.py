"""The public traces by name: where they are, what they weigh, and whether what came is what was meant.

Sizes and checksums are in `catalogue.json`, each with its source; a trace without one is fetched and
reported as not verified. Not here: HTTP (`burstlens.public_traces.download`), archives
(`burstlens.public_traces.unpack`), logs.
"""

from __future__ import annotations

import difflib
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit
from urllib.request import url2pathname

import polars as pl

from ..analysis.core.errors import EndpointError, InputError
from ..analysis.core.exhibit import Displayable, Exhibit
from ..analysis.core.option_names import option
from .download import PATIENCE, NotThere, Patience, Received, download, forget, record_of, unwritable
from .unpack import CHUNK_BYTES, Member, digest, fault_of, unpack


@dataclass(frozen=True)
class PublicTrace:
    """One entry of the catalogue; what is not known for certain is None."""

    name: str
    title: str
    file: str
    """Name of the file here."""
    url: str
    rows: int | None
    bytes: int | None
    sha256: str | None
    licence: str
    home: str
    """Page of the publisher, with terms and the paper to cite."""
    checksum_from: str
    archive: str | None = None
    """`tar` or `rar` if the file is an archive of logs."""
    members: tuple[Member, ...] = ()
    """The logs to take out of the archive."""


@dataclass(frozen=True)
class FetchResult(Displayable):
    """A public trace on this disk."""

    path: Path
    bytes: int
    sha256: str
    """Measured on the file here."""
    verified: bool
    """The measured checksum is the one in the catalogue; False if the catalogue does not have one."""
    resumed_from: int
    """Offset in bytes at which the download was last taken up; 0 if it came in one piece or was here."""
    message: str
    logs: tuple[Path, ...]
    """What to read: the file itself, or the logs that were in the archive."""

    def exhibit(self) -> Exhibit:
        """Show its place, and the logs in it."""
        logs = pl.DataFrame({"log": [str(log) for log in self.logs]}, schema={"log": pl.String})
        return Exhibit(self.path.name, (), [self.message], {"logs": logs})


@cache
def catalogue() -> dict[str, PublicTrace]:
    """Load every public trace by name, in the order in which a person wants them."""
    content = json.loads((files(__package__) / "catalogue.json").read_text(encoding="utf-8"))
    traces = {}
    for entry in content["traces"]:
        source = content["sources"][entry.pop("source")]
        members = tuple(Member(**member) for member in entry.pop("members", ()))
        traces[entry["name"]] = PublicTrace(**entry, **source, members=members)
    return traces


def list_public() -> pl.DataFrame:
    """List a row a trace: `name`, `rows`, `bytes`, `licence`, `checksum` (is one known), `title`."""
    return pl.DataFrame(
        [
            {
                "name": trace.name,
                "rows": trace.rows,
                "bytes": trace.bytes,
                "licence": trace.licence,
                "checksum": trace.sha256 is not None,
                "title": trace.title,
            }
            for trace in catalogue().values()
        ],
        schema_overrides={"rows": pl.Int64, "bytes": pl.Int64},
        infer_schema_length=None,
    )


def find(name: str) -> PublicTrace:
    """Find a trace by its name or file name, in any case; raises InputError, with the nearest names, if there
    is none.
    """
    wanted = name.strip().casefold()
    for trace in catalogue().values():
        if wanted in {trace.name.casefold(), trace.file.casefold()}:
            return trace
    near = [known for known in catalogue() if wanted and wanted in known][:3]
    near = near or difflib.get_close_matches(wanted, catalogue(), n=3, cutoff=0.5)
    raise InputError(
        f"no public trace {name!r}; "
        + (f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(catalogue())}")
    )


def fetch(
    name: str,
    out: Path | str = ".",
    *,
    source: str | None = None,
    progress: Received | None = None,
    timeout_s: float = PATIENCE.timeout_s,
) -> FetchResult:
    """Download a public trace by name, resume an earlier download, and verify its SHA-256.

    A file never gets its right name unless it is that file.

    Parameters
    ----------
    name
        Name of the trace; `list_public()` lists the names.
    out
        Folder to write to.
    source
        A mirror instead of the publisher: a base URL, a whole URL, a folder or a file.
    progress
        Called with the bytes done and the bytes in all (None if unknown).
    timeout_s
        Seconds without a byte after which the transfer is begun anew, three times.

    Examples
    --------
    >>> from burstlens.public_traces.catalogue import list_public
    >>> list_public()["name"][0]
    'burstgpt-1'
    >>> bl.fetch("burstgpt-one")
    Traceback (most recent call last):
    burstlens.analysis.core.errors.InputError: ...
    """
    return fetch_trace(
        find(name), out=Path(out), source=source, progress=progress, patience=Patience(timeout_s=timeout_s)
    )


def fetch_trace(
    trace: PublicTrace,
    *,
    out: Path = Path(),
    source: str | None = None,
    progress: Received | None = None,
    patience: Patience = PATIENCE,
) -> FetchResult:
    """Download a public trace, which need not be in the catalogue, as `fetch` does.

    Parameters
    ----------
    trace
        What is known of the trace.
    out
        Folder to write to.
    source
        A mirror instead of the publisher, as in `fetch`.
    progress
        Called with the bytes done and the bytes in all (None if unknown).
    patience
        How long to wait for a server, and how often.

    Raises
    ------
    InputError
        If another file is in the way, `source` does not exist, or what came is not the trace.
    EndpointError
        If the server does not send the file.
    DiskError
        If a file cannot be written.
    MissingExtraError
        If no program unpacks its archive.
    """
    path = out / trace.file
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise unwritable(fault, out) from fault
    if path.is_dir():
        raise InputError(f"{path} is a folder; choose another place with {option('out')}")
    here = path.exists()
    if here and (wrong := fault_of(path, trace.bytes, trace.sha256)):
        raise InputError(
            f"{path} exists already and is not {trace.name}: {wrong}; move it away, or choose another "
            f"folder with {option('out')}"
        )
    resumed_from = 0 if here else _bring(trace, path, source, progress, patience)
    logs = unpack(path, trace.archive, trace.members, progress) if trace.archive else (path,)
    sha256 = trace.sha256 or digest(path)
    how = "already here" if here else f"resumed at byte {resumed_from:,}" if resumed_from else "fetched"
    if trace.sha256:
        verdict = f"verified by SHA-256 {sha256}"
    else:
        verdict = f"not verified: no published checksum; SHA-256 measured here {sha256}"
    size = path.stat().st_size
    return FetchResult(
        path=path,
        bytes=size,
        sha256=sha256,
        verified=trace.sha256 is not None,
        resumed_from=resumed_from,
        message=f"{path}: {size:,} bytes, {how}, {verdict}"
        + (f"; unpacked {_named(logs)}" if trace.archive else ""),
        logs=logs,
    )


def _bring(
    trace: PublicTrace, path: Path, source: str | None, progress: Received | None, patience: Patience
) -> int:
    """Fill the part, verify it, and only then give it its name; returns the offset of the last resume."""
    part = path.with_name(path.name + ".part")
    with _sole_owner(part):
        try:
            resumed_from = _get(trace, part, source, progress, patience)
            wrong = fault_of(part, trace.bytes, trace.sha256)
            if wrong and resumed_from:
                # What was here before may be to blame: the beginning of another file, or of an older one.
                part.write_bytes(b"")
                resumed_from = _get(trace, part, source, progress, patience)
                wrong = fault_of(part, trace.bytes, trace.sha256)
            if wrong:
                refused = path.with_name(path.name + ".refused")
                part.replace(refused)
                forget(part)
                raise EndpointError(
                    f"{trace.file} refused: {wrong} (the expected one was {trace.checksum_from}); "
                    f"the download is kept as {refused.name}"
                )
            with part.open("rb+") as file:
                os.fsync(file.fileno())
            part.replace(path)
        except OSError as fault:
            raise unwritable(fault, path) from fault
        finally:
            if not part.exists() or not part.stat().st_size:
                forget(part)
    return resumed_from


def _get(
    trace: PublicTrace, part: Path, source: str | None, progress: Received | None, patience: Patience
) -> int:
    """Fill the part from the first place that has the file."""
    places = _places(trace, source)
    for place in places:
        if isinstance(place, Path):
            if place.is_file():
                _copy(place, part, progress)
                return 0
            continue
        try:
            return download(
                place,
                part,
                size=trace.bytes,
                checked=trace.sha256 is not None,
                received=progress,
                patience=patience,
            )
        except NotThere:
            if place == places[-1]:
                raise
    raise InputError(f"{option('source')}: there is no {' and no '.join(str(place) for place in places)}")


def _places(trace: PublicTrace, source: str | None) -> Sequence[str | Path]:
    """Where to look, in order: a mirror may hold the file under the publisher's name or under ours."""
    published = unquote(Path(urlsplit(trace.url).path).name)
    names = list(dict.fromkeys((published, trace.file)))
    if source is None:
        return [trace.url]
    parts = urlsplit(source)
    if parts.scheme in {"http", "https"}:
        last = unquote(parts.path.rpartition("/")[2])
        if last in names or (last and Path(last).suffix == Path(trace.file).suffix):
            return [source]
        base = parts.path.rstrip("/")
        return [urlunsplit(parts._replace(path=f"{base}/{name}")) for name in names]
    if parts.scheme == "file":
        local = Path(url2pathname(parts.path))
    elif "://" in source:
        raise InputError(
            f"{option('source')} {parts.scheme}://: a mirror is a folder, or an http(s):// or file:// address"
        )
    else:
        local = Path(source).expanduser()
    return [local / name for name in names] if local.is_dir() else [local]


def _copy(source: Path, part: Path, progress: Received | None) -> None:
    """Copy a file that is on this machine already."""
    try:
        total, done = source.stat().st_size, 0
        with source.open("rb") as reader, part.open("wb") as writer:
            record_of(part).unlink(missing_ok=True)
            while block := reader.read(CHUNK_BYTES):
                writer.write(block)
                done += len(block)
                if progress:
                    progress(done, total)
    except OSError as fault:
        raise unwritable(fault, part) from fault


@contextmanager
def _sole_owner(part: Path) -> Iterator[None]:
    """Two fetches of one trace into one folder would write into each other's part: the second one fails."""
    if sys.platform == "win32":
        yield
        return
    import fcntl

    try:
        with part.open("ab") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as fault:
                raise InputError(f"{part}: another fetch is writing this file") from fault
            yield
    except OSError as fault:
        raise unwritable(fault, part) from fault


def _named(paths: Sequence[Path]) -> str:
    """The one file that was unpacked, or how many and the first."""
    return paths[0].name if len(paths) == 1 else f"{len(paths)} files, {paths[0].name} first"
