"""A server that costs next to nothing, so that what is measured is the client.

`python -m tests.benchmarks.mock_server` prints its port and answers until it is ended: models, streamed
completions in steps as an engine with continuous batching sends them, and under `/arrivals` when requests
came (monotonic seconds, forgotten once told). Not here: any model of timing (`burstlens.bench.simulated`).
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections import deque

STEP_S = 0.01
"""Between two tokens of every open answer."""
FIRST_S = 0.05
"""From a request to its first token, at least."""
MODEL = "mock"
LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
MAX_TOKENS = re.compile(rb'"max_tokens": *(\d+)')


class Answers:
    """Every answer that is open, moved on by one token a step, all of them at once."""

    def __init__(self) -> None:
        self.arrivals: list[float] = []
        self._waiting: deque[tuple[float, Answer]] = deque()
        self._open: list[Answer] = []

    def begin(self, transport: asyncio.Transport, body: bytes) -> None:
        """A request for a completion is there."""
        now = time.monotonic()
        self.arrivals.append(now)
        self._waiting.append((now + FIRST_S, Answer(transport, body)))

    async def run(self) -> None:
        """Step for ever."""
        due = time.monotonic()
        while True:
            due = max(due + STEP_S, time.monotonic())
            await asyncio.sleep(due - time.monotonic())
            while self._waiting and self._waiting[0][0] <= due:
                self._open.append(self._waiting.popleft()[1])
            self._open = [answer for answer in self._open if answer.step()]


class Answer:
    """One streamed completion."""

    def __init__(self, transport: asyncio.Transport, body: bytes) -> None:
        match = MAX_TOKENS.search(body)
        self._transport = transport
        self._tokens = int(match[1]) if match else 16
        self._prompt_tokens = body.count(b",", body.find(b'"prompt"'), body.find(b"]") + 1) + 1
        self._sent_tokens = 0
        self._usage = b'"continuous_usage_stats":true' in body.replace(b": ", b":")

    def step(self) -> bool:
        """Send the next token; false after the last."""
        if self._transport.is_closing():
            return False
        out = HEAD if self._sent_tokens == 0 else b""
        self._sent_tokens += 1
        last = self._sent_tokens == self._tokens
        usage = {
            "prompt_tokens": self._prompt_tokens,
            "total_tokens": self._prompt_tokens + self._sent_tokens,
            "completion_tokens": self._sent_tokens,
        }
        choice = {"index": 0, "text": " a", "logprobs": None, "finish_reason": "length" if last else None}
        out += _event({**NAMED, "choices": [choice], **({"usage": usage} if self._usage else {})})
        if last:
            out += _event({**NAMED, "choices": [], "usage": usage}) + END
        self._transport.write(out)
        return not last


NAMED = {"id": "cmpl-0", "object": "text_completion", "created": 0, "model": MODEL}
HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n"
)


def _event(content: dict[str, object]) -> bytes:
    return _chunk(b"data: " + json.dumps(content, separators=(",", ":")).encode() + b"\n\n")


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


END = _chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n"


class Connection(asyncio.Protocol):
    """Requests of one connection, one after another."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._buffer = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = bytes(self._buffer[:end])
            length = LENGTH.search(head)
            request_end = end + 4 + (int(length[1]) if length else 0)
            if len(self._buffer) < request_end:
                return
            body = bytes(self._buffer[end + 4 : request_end])
            del self._buffer[:request_end]
            self._answer(head.split(b" ", 2)[1], body)

    def _answer(self, path: bytes, body: bytes) -> None:
        if path == b"/v1/completions":
            self._answers.begin(self._transport, body)
        elif path == b"/v1/models":
            self._say(200, {"object": "list", "data": [{"id": MODEL, "object": "model"}]})
        elif path == b"/arrivals":
            self._say(200, self._answers.arrivals)
            self._answers.arrivals = []
        else:
            self._say(404, {"error": {"message": "not here", "code": 404}})

    def _say(self, status: int, content: object) -> None:
        body = json.dumps(content).encode()
        head = f"HTTP/1.1 {status} OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
        self._transport.write(head.encode() + b"\r\n\r\n" + body)


async def serve() -> None:
    """Print the port, and answer until the process is ended."""
    answers = Answers()
    server = await asyncio.get_running_loop().create_server(
        lambda: Connection(answers), "127.0.0.1", 0, backlog=4096
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await answers.run()


if __name__ == "__main__":
    asyncio.run(serve())
