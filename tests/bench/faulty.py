"""A server on loopback that answers each request in a way that its `max_tokens` names."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

WAYS = (
    "ok",
    "http_429",
    "http_500",
    "http_400",
    "error_in_200",
    "rejected_in_200",
    "garbage",
    "torn",
    "cut",
    "reset",
    "few",
    "hang",
    "close",
    "http_503",
    "bare_503",
)
"""What a request for `BASE` + i tokens gets is the way i."""
BASE = 4
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    """One piece of a chunked body."""
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def token(i: int, prompt: int) -> bytes:
    """The event of the i-th token."""
    usage = {"prompt_tokens": prompt, "completion_tokens": i, "total_tokens": prompt + i}
    return b"data: " + json.dumps({"choices": [{"text": "x", "index": 0}], "usage": usage}).encode() + b"\n\n"


class Faulty:
    """Counts what it was asked, by way."""

    def __init__(self, way_of: Callable[[int], str]) -> None:
        self.requests: dict[str, int] = {}
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[str] = []
        self.writers: list[asyncio.StreamWriter] = []
        self._way_of = way_of

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while await self._one(reader, writer):
                pass
        writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        begin = await reader.readexactly(1)
        if begin == b"\x16":
            # A TLS greeting: a plain server answers that it does not understand.
            writer.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
            return False
        head = (begin + await reader.readuntil(b"\r\n\r\n")).decode()
        self.headers.append(head)
        length = next(
            (int(line[15:]) for line in head.split("\r\n") if line.lower()[:15] == "content-length:"), 0
        )
        body = await reader.readexactly(length)
        if head.startswith("GET"):
            found = head.split()[1] == "/v1/models"
            answer = json.dumps({"data": [{"id": "m"}]}).encode() if found else b"{}"
            status = "200 OK" if found else "404 Not Found"
            writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(answer)}\r\n\r\n".encode() + answer)
            await writer.drain()
            return True
        request = json.loads(body)
        self.bodies.append(request)
        way = self._way_of(request["max_tokens"])
        self.requests[way] = self.requests.get(way, 0) + 1
        return await self._answer(way, request["max_tokens"], len(request["prompt"]), writer)

    async def _answer(self, way: str, tokens: int, prompt: int, writer: asyncio.StreamWriter) -> bool:
        if way.startswith("http_"):
            answer = json.dumps({"error": {"message": f"no, {way}", "code": int(way[5:])}}).encode()
            writer.write(f"HTTP/1.1 {way[5:]} No\r\nContent-Length: {len(answer)}\r\n\r\n".encode() + answer)
            await writer.drain()
            return True
        if way == "bare_503":
            writer.write(b"HTTP/1.1 503 No\r\nContent-Length: 4\r\n\r\nbusy")
            await writer.drain()
            return True
        if way == "close":
            return False
        writer.write(HEAD)
        if way == "rejected_in_200":
            error = {"error": {"message": "full", "type": "ServiceUnavailable", "code": 503}}
            writer.write(
                chunk(b"data: " + json.dumps(error).encode() + b"\n\ndata: [DONE]\n\n") + b"0\r\n\r\n"
            )
            await writer.drain()
            return True
        for i in range(1, tokens + 1 if way in ("ok", "reset") else 3):
            writer.write(chunk(token(i, prompt)))
            if way == "reset" and i == 2:
                await writer.drain()
                writer.transport.abort()
                return False
        if way == "hang":
            await writer.drain()
            await asyncio.Event().wait()
        last = {
            "ok": b'data: {"choices": [{"text": "", "finish_reason": "length"}]}\n\ndata: [DONE]\n\n',
            "few": b'data: {"choices": [{"text": "", "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n',
            "error_in_200": b'data: {"error": {"message": "broken", "code": 500}}\n\ndata: [DONE]\n\n',
            "garbage": b"data: {]\n\n",
            "torn": b'data: {"choices": [{"te',
            "cut": b"",
        }[way]
        writer.write((chunk(last) if last else b"") + b"0\r\n\r\n")
        await writer.drain()
        return True


def by_tokens(tokens: int) -> str:
    """The way that a number of tokens names."""
    return WAYS[tokens - BASE]


@contextmanager
def faulty(
    way_of: Callable[[int], str] = lambda tokens: WAYS[tokens - BASE], port: int = 0
) -> Iterator[tuple[str, Faulty]]:
    """The server in a thread of its own while the block lasts; its URL and what it saw."""
    state, started = Faulty(way_of), threading.Event()
    place: dict[str, Any] = {}

    async def run() -> None:
        stop = asyncio.Event()
        server = await asyncio.start_server(state.serve, "127.0.0.1", port)
        place.update(loop=asyncio.get_running_loop(), stop=stop, port=server.sockets[0].getsockname()[1])
        started.set()
        await stop.wait()
        server.close()
        open_ones = asyncio.all_tasks() - {asyncio.current_task()}
        for task in open_ones:
            task.cancel()
        for writer in state.writers:
            writer.transport.abort()
        await asyncio.gather(*open_ones, return_exceptions=True)
        await asyncio.sleep(0)

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    started.wait()
    try:
        yield f"http://127.0.0.1:{place['port']}", state
    finally:
        place["loop"].call_soon_threadsafe(place["stop"].set)
        thread.join()
