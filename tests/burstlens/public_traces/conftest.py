"""A mirror on this machine that serves one file and misbehaves as it is told, over real HTTP."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from burstlens.public_traces.catalogue import PublicTrace
from burstlens.public_traces.download import Patience

CONTENT = b"".join(hashlib.sha256(bytes([i])).digest() for i in range(256)) * 40  # 327,680 bytes
OTHER = bytes(reversed(CONTENT))
QUICK = Patience(timeout_s=10, backoff_s=0.001)
CUT = 100_000


def trace_of(
    content: bytes = CONTENT, url: str = "http://127.0.0.1:9/log.csv", **overrides: object
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
    return PublicTrace(**{**fields, **overrides})  # type: ignore[arg-type]


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@dataclass
class Turn:
    """How one request is answered."""

    content: bytes
    etag: str | None = '"v1"'
    ranges: bool = True
    heeds_if_range: bool = True
    stop_after: int | None = None
    """Close the connection after this many bytes of the body."""
    stall: bool = False
    """Instead of closing there, keep the connection open and silent."""
    length: bool = True
    """Say Content-Length; without it the end of the body is the end of the connection."""
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    moved: int = 0
    """By how much the start in Content-Range is a lie."""
    total: int | None = None
    """A lie about the total in Content-Range."""


@dataclass
class SeenRequest:
    """One request as the mirror saw it, and how much of a body it sent."""

    path: str
    range: str | None
    if_range: str | None
    encoding: str | None
    sent: int = 0


class Mirror:
    """Answers the first request by the first turn, and so on; the last turn answers all that follow."""

    def __init__(self) -> None:
        self.turns: list[Turn] = []
        self.requests: list[SeenRequest] = []
        self.over = threading.Event()
        mirror = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                mirror.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def close(self) -> None:
        self.over.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        turn = self.turns[min(len(self.requests), len(self.turns) - 1)]
        request = SeenRequest(
            handler.path,
            handler.headers.get("Range"),
            handler.headers.get("If-Range"),
            handler.headers.get("Accept-Encoding"),
        )
        self.requests.append(request)
        part = re.fullmatch(r"bytes=(\d+)-", request.range or "") if turn.ranges else None
        start = int(part[1]) if part else 0
        if request.if_range and turn.heeds_if_range and request.if_range != turn.etag:
            start = 0
        total = len(turn.content)
        headers = dict(turn.headers)
        if turn.status is not None:
            status, body = turn.status, b"an error page"
        elif start >= total > 0:
            status, body = 416, b""
            headers["Content-Range"] = f"bytes */{total}"
        elif start:
            status, body = 206, turn.content[start:]
            claimed = total if turn.total is None else turn.total
            headers["Content-Range"] = f"bytes {start + turn.moved}-{total - 1}/{claimed}"
        else:
            status, body = 200, turn.content
        handler.send_response(status)
        if turn.etag:
            headers["ETag"] = turn.etag
        if turn.length:
            headers["Content-Length"] = str(len(body))
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        sent = body[: turn.stop_after]
        handler.wfile.write(sent)
        handler.wfile.flush()
        request.sent = len(sent)
        if turn.stall:
            self.over.wait()


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    """A mirror of its own for one test; no proxy stands between it and the test."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    served = Mirror()
    yield served
    served.close()


@pytest.fixture
def second_mirror() -> Iterator[Mirror]:
    """Another mirror of the same file."""
    served = Mirror()
    yield served
    served.close()
