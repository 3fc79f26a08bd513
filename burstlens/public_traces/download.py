"""One address to one file: resumable, patient with networks, not with servers that contradict themselves.

Here: HTTP, stalls, retries, ranges (RFC 9110, sections 13 and 14). Not here: which file it should be, and
whether what came is that file (`burstlens.public_traces.catalogue`).
"""

from __future__ import annotations

import asyncio
import errno
import json
import re
import shutil
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit, urlunsplit

from ..analysis.core.errors import BurstlensError, DiskError, EndpointError
from ..analysis.core.option_names import option

if TYPE_CHECKING:
    import aiohttp

Received = Callable[[int, int | None], None]
"""Called with the bytes here and the bytes in all, None if the server does not say."""

CHUNK_BYTES = 1 << 18
PASSING = {408, 425, 429, 500, 502, 503, 504}
"""Status codes that may be gone at the next try."""

_T = TypeVar("_T")


class NotThere(EndpointError):
    """The server has no such file (404, 410); a mirror may have it under another name."""


class _Passing(Exception):
    """A fault that the next try may not meet."""

    def __init__(self, message: str, wait_s: float | None = None) -> None:
        super().__init__(message)
        self.wait_s = wait_s


@dataclass(frozen=True)
class Patience:
    """How long to wait for a server, and how often."""

    timeout_s: float = 30.0
    """Without a byte for this long the transfer is a stall and is taken up anew."""
    retries: int = 3
    backoff_s: float = 1.0
    """Wait before the first retry; each further one waits twice as long, unless the server says when."""
    longest_wait_s: float = 60.0
    """A server that asks (Retry-After) for more than this gets no further try."""


PATIENCE = Patience()


@dataclass(frozen=True)
class _Record:
    """What is known of the server's file that a part was taken from; its file is next to the part."""

    url: str = ""
    validator: str | None = None
    total: int | None = None


def download(
    url: str,
    part: Path,
    *,
    size: int | None,
    checked: bool,
    received: Received | None = None,
    patience: Patience = PATIENCE,
) -> int:
    """Download a URL into a file; an earlier download goes on where it stopped.

    Parameters
    ----------
    url
        The URL.
    part
        The file; what came so far stays in it.
    size
        Bytes that the file must have; None if that is not known.
    checked
        Whether the caller compares a checksum afterwards: then a part may be continued even if the server
        cannot say that its file is still the same.
    received
        Called with the bytes done and the bytes in all (None if unknown).
    patience
        How long to wait for a server, and how often.

    Returns
    -------
    int
        Offset at which the last request went on; 0 if the file came in one piece.

    Raises
    ------
    EndpointError
        If the server does not send the file, or contradicts itself.
    DiskError
        If the file cannot be written, or the disk is too small.
    """
    return run(_Transfer(url, part, size, checked, received, patience).complete())


def run(work: Coroutine[object, object, _T]) -> _T:
    """Run a coroutine to its end, also if an event loop runs already, such as a notebook."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    loop = asyncio.new_event_loop()
    task = loop.create_task(work)
    try:
        with ThreadPoolExecutor(1) as thread:
            try:
                return thread.submit(loop.run_until_complete, task).result()
            except BaseException:
                # The interrupt of a notebook comes here, in the thread that waits, and is passed on.
                loop.call_soon_threadsafe(task.cancel)
                raise
    finally:
        loop.close()


def shown(url: str) -> str:
    """Write an address for messages: without user, password and query, which may be secrets."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def record_of(part: Path) -> Path:
    """Name the file of a part's record."""
    return part.with_name(part.name + ".json")


def forget(part: Path) -> None:
    """Remove a part and its record."""
    part.unlink(missing_ok=True)
    record_of(part).unlink(missing_ok=True)


def unwritable(fault: OSError, path: Path) -> BurstlensError:
    """Make the error for a full disk, a missing permission and the like.

    Parameters
    ----------
    fault
        The system's error.
    path
        The file.
    """
    if fault.errno in {errno.ENOSPC, errno.EDQUOT}:
        return DiskError(
            f"no space left on the disk of {path.parent}: free some, or choose another folder with "
            f"{option('out')}; the part received is kept, and the next fetch continues there"
        )
    return DiskError.unwritable(path, fault)


class _Transfer:
    """One download: the part on disk, and what is believed of the server's file."""

    def __init__(
        self,
        url: str,
        part: Path,
        size: int | None,
        checked: bool,
        received: Received | None,
        patience: Patience,
    ) -> None:
        self.url, self.part, self.size, self.checked = url, part, size, checked
        self.received, self.patience = received, patience
        self.record = self._read_record()
        self.resumed_from = 0
        self.ranges = True
        """Whether to ask for the missing part only; off once the server gave a wrong one."""

    async def complete(self) -> int:
        import aiohttp

        timeout_s = self.patience.timeout_s
        async with aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(
                total=None, connect=timeout_s, sock_connect=timeout_s, sock_read=timeout_s
            ),
            # Bytes as they lie on the server: lengths and ranges of compressed ones would mean nothing here.
            headers={"Accept-Encoding": "identity", "User-Agent": "burstlens"},
            auto_decompress=False,
            trust_env=True,
        ) as session:
            for tried in range(self.patience.retries + 1):
                try:
                    await self._attempt(session)
                except _Passing as fault:
                    wait_s = fault.wait_s if fault.wait_s is not None else self.patience.backoff_s * 2**tried
                    reason = str(fault)
                else:
                    return self.resumed_from
                if wait_s > self.patience.longest_wait_s:
                    raise self._given_up(f"{reason} and asks to wait {wait_s:,.0f} s")
                if tried < self.patience.retries:
                    await asyncio.sleep(wait_s)
        raise self._given_up(f"{reason}; gave up after {self.patience.retries} retries")

    async def _attempt(self, session: aiohttp.ClientSession) -> None:
        import aiohttp

        offset = self._offset()
        if offset and offset == self.size:
            self.resumed_from = offset
            return
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        if offset and self.record.validator:
            headers["If-Range"] = self.record.validator
        try:
            async with session.get(self.url, headers=headers) as answer:
                if _complete(answer, offset):
                    self.resumed_from = offset
                else:
                    await self._take(answer, self._judged(answer, offset))
        except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError) as fault:
            raise EndpointError(f"{shown(self.url)} does not lead to an http(s) address") from fault
        except aiohttp.TooManyRedirects as fault:
            raise EndpointError(f"{shown(self.url)} redirects in a circle") from fault
        except aiohttp.ClientConnectorCertificateError as fault:
            raise EndpointError(f"{shown(self.url)}: the server's certificate is not trusted") from fault
        except TimeoutError as fault:
            raise _Passing(f"no byte for {self.patience.timeout_s:g} s") from fault
        except aiohttp.ClientPayloadError as fault:
            raise _Passing(f"the connection closed after {self._length():,} bytes") from fault
        except (aiohttp.ClientError, ConnectionError) as fault:
            raise _Passing(str(fault) or type(fault).__name__) from fault

    def _offset(self) -> int:
        """From where to ask: the length of a part that the server's file can be trusted to continue."""
        length = self._length()
        if not length or not self.ranges or (self.size is not None and length > self.size):
            return 0
        if self.record.url != self.url:
            # Another mirror: nothing says that it holds the same file, except the checksum later.
            self.record = _Record()
        return length if self.checked or self.record.validator else 0

    def _length(self) -> int:
        return self.part.stat().st_size if self.part.is_file() else 0

    def _judged(self, answer: aiohttp.ClientResponse, offset: int) -> int:
        """The offset at which this answer's body begins; raises if the answer is not a part of the file."""
        status = answer.status
        if status == HTTPStatus.PARTIAL_CONTENT and offset:
            found = re.fullmatch(
                r"bytes (\d+)-(\d+)/(\d+|\*)", answer.headers.get("Content-Range", "").strip()
            )
            total = int(found[3]) if found and found[3] != "*" else None
            expected = self.size if self.size is not None else self.record.total
            validator = _validator(answer)
            if (
                found is None
                or int(found[1]) != offset
                or (None not in (total, expected) and total != expected)
                or (self.record.validator and validator and validator != self.record.validator)
            ):
                self.ranges = False
                raise _Passing("the server sent a different part than requested", wait_s=0)
            self.record = _Record(
                self.url, validator or self.record.validator, total if total is not None else expected
            )
            return offset
        if status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and offset:
            self.ranges = False
            raise _Passing("the server has no such part", wait_s=0)
        if status in PASSING:
            raise _Passing(f"the server answered {_phrase(status)}", wait_s=_retry_after(answer))
        if status in {HTTPStatus.NOT_FOUND, HTTPStatus.GONE}:
            raise NotThere(f"{shown(self.url)} does not exist: the server answered {_phrase(status)}")
        if status != HTTPStatus.OK:
            raise EndpointError(f"{shown(self.url)}: the server answered {_phrase(status)}")
        if answer.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise EndpointError(
                f"{shown(self.url)}: the server sends compressed bytes, which the request excludes"
            )
        total = answer.content_length
        if None not in (total, self.size) and total != self.size:
            raise EndpointError(
                f"{shown(self.url)} refused: expected {self.size:,} bytes, the server offers {total:,}"
            )
        self.record = _Record(self.url, _validator(answer), total if total is not None else self.size)
        return 0

    async def _take(self, answer: aiohttp.ClientResponse, start: int) -> None:
        """Write the body into the part from `start` on."""
        import aiohttp

        total, done = self.record.total, start
        try:
            free = shutil.disk_usage(self.part.parent).free
            if total is not None and total - start > free:
                raise DiskError(
                    f"no space for {self.part.name} in {self.part.parent}: "
                    f"{total - start:,} bytes are missing, {free:,} are free"
                )
            with self.part.open("r+b" if start else "wb") as file:
                record_of(self.part).write_text(json.dumps(vars(self.record)), encoding="utf-8")
                file.seek(start)
                self.resumed_from = start
                async for chunk in answer.content.iter_chunked(CHUNK_BYTES):
                    done += len(chunk)
                    if total is not None and done > total:
                        raise EndpointError(f"{shown(self.url)} refused: it sends more than {total:,} bytes")
                    file.write(chunk)
                    if self.received:
                        self.received(done, total)
        except (aiohttp.ClientError, TimeoutError, ConnectionError):
            raise
        except OSError as fault:
            raise unwritable(fault, self.part) from fault
        if total is not None and done < total:
            raise _Passing(f"the connection closed after {done:,} bytes")

    def _read_record(self) -> _Record:
        try:
            return _Record(**json.loads(record_of(self.part).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return _Record()

    def _given_up(self, reason: str) -> BurstlensError:
        length = self._length()
        ending = f"; {length:,} bytes are kept, and the next fetch continues there" if length else ""
        return EndpointError(f"{shown(self.url)}: {reason}{ending}")


def _complete(answer: aiohttp.ClientResponse, offset: int) -> bool:
    """The server has no byte from `offset` on because the file ends there (RFC 9110, 15.5.17)."""
    ends = answer.headers.get("Content-Range", "").replace(" ", "")
    return (
        answer.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
        and offset > 0
        and ends == f"bytes*/{offset}"
    )


def _validator(answer: aiohttp.ClientResponse) -> str | None:
    """What If-Range may carry: a strong ETag, else the date of the last change (RFC 9110, 13.1.5)."""
    tag = answer.headers.get("ETag", "")
    return tag if tag.startswith('"') else answer.headers.get("Last-Modified")


def _retry_after(answer: aiohttp.ClientResponse) -> float | None:
    """Seconds that the server asks to wait, given as seconds or as a date; None if it does not."""
    text = answer.headers.get("Retry-After", "").strip()
    if text.isdecimal():
        return float(text)
    try:
        when = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, (when.astimezone(UTC) - datetime.now(UTC)).total_seconds())


def _phrase(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)
