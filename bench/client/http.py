"""One request over HTTP: its body, its streamed answer read line by line, and the class in which it ends.

Not here: when requests are sent (`sender`), and connections.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import msgspec
from msgspec import UNSET

from ..record.json_bytes import dumps, loads
from ..record.models import Outcome
from ..record.versioned_json import from_dict, to_dict
from ..settings import Settings, Target
from .protocol import Chunk, CompletionRequest, ErrorInfo, Message, StreamedChoice, read_chunk

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientSession

SHOWN = 200
"""Characters of a server's error message that go into the record."""
OVERLOADED = (429, 503)
"""Codes of an error inside a 200 with which a server turns a request away before it began."""
AT_THE_DOOR = 503
"""Code of an error object in a plain answer of that status with which a server does the same.

vLLM looks for room before it answers and again after the 200 is out; which of the two refuses is chance.
A 503 without such an object is a proxy's or a broken server's.
"""
AGAIN: tuple[Outcome, ...] = ("refused", "reset", "http_429", "http_5xx", "rejected")
"""What a request may be sent again for."""
BACKOFF_S = 0.5
"""Before the second try; before each further one twice as long."""
LONGEST_S = 30.0
"""Longest pause that the client takes by itself."""


def request_url(target: Target) -> str:
    """Name the URL that requests go to."""
    return f"{target.url}/v1/{'chat/completions' if target.api == 'chat' else 'completions'}"


def request_body(
    target: Target, settings: Settings, prompt: list[int] | str, response_tokens: int, priority: int
) -> bytes:
    """Build the JSON of a streaming request.

    Parameters
    ----------
    target
        The endpoint.
    settings
        How requests are sent; `extra` is added to the body.
    prompt
        Token ids or text; a chat needs text.
    response_tokens
        Tokens that the workload has for the answer (see `max_response_tokens`).
    priority
        Priority of the request; 0 is left out.
    """
    request = CompletionRequest(
        model=target.model,
        max_tokens=max_response_tokens(settings, response_tokens),
        ignore_eos=settings.ignore_eos or UNSET,
        priority=priority or UNSET,
    )
    if target.api == "chat":
        request.messages = [Message("user", str(prompt))]
    else:
        request.prompt = prompt
    return dumps(to_dict(request) | dict(settings.extra) if settings.extra else request)


def max_response_tokens(settings: Settings, response_tokens: int) -> int:
    """Compute how many tokens an answer may have.

    Parameters
    ----------
    settings
        Its cap is `max_tokens`.
    response_tokens
        Tokens that the workload has for the answer.

    Returns
    -------
    int
        The workload's tokens, up to the cap; the cap if there is one and the model may end before
        (no `ignore_eos`).
    """
    cap = settings.max_tokens
    if cap is None:
        return response_tokens
    return min(response_tokens, cap) if settings.ignore_eos else cap


@dataclass(slots=True)
class StreamedAnswer:
    """What the server answered. Instants are seconds on the run's clock."""

    sent_s: float | None = None
    first_token_s: float | None = None
    ended_s: float | None = None
    status: int | None = None
    outcome: Outcome = "aborted"
    error: str | None = None
    request_tokens: int | None = None
    response_tokens: int | None = None
    gaps_s: list[float] = field(default_factory=list)
    gap_tokens: list[int] = field(default_factory=list)
    tries: int = 0
    """How often the request was sent."""
    retry_after_s: float | None = None
    """How long the server wants no request, if it says so."""

    def forget(self) -> None:
        """Make room for the answer to another try; when it was first sent, and how often, stays."""
        fresh = StreamedAnswer(sent_s=self.sent_s, tries=self.tries)
        for name in self.__slots__:
            setattr(self, name, getattr(fresh, name))


class Stream:
    """Reads server-sent events as they arrive and fills `answer`."""

    def __init__(self, answer: StreamedAnswer) -> None:
        self.answer = answer
        self.finished = False
        """Whether the server said that the answer is complete."""
        self._rest = b""
        self._last_s = 0.0

    def feed(self, data: bytes, at_s: float) -> bool:
        """Read bytes of the stream.

        Parameters
        ----------
        data
            The bytes.
        at_s
            Instant at which they arrived.

        Returns
        -------
        bool
            False if the stream has an error; `answer` then has it too.
        """
        lines = (self._rest + data if self._rest else data).split(b"\n")
        self._rest = lines.pop()
        # A plain loop: this is what most of a client's time goes to. Every event ends in an empty line.
        for line in lines:  # noqa: SIM110
            if line and not self._line(line.strip(), at_s):
                return False
        return True

    def close(self, at_s: float) -> bool:
        """Handle the end of the response; false if the answer is not complete."""
        if self._rest.strip() and not self.feed(b"\n", at_s):
            return False
        return self.finished or self._fault("the stream ended before the answer did")

    def _line(self, line: bytes, at_s: float) -> bool:
        """Read one line: an event's data, or another field of an event stream."""
        if line.startswith(b"data:"):
            data = line[5:].lstrip()
            if data == b"[DONE]":
                self.finished = True
                return True
        elif not line or line.startswith((b":", b"event:", b"id:", b"retry:")):
            return True
        else:
            data = line
        try:
            chunk = read_chunk(data)
        except TypeError:
            return self._fault(f"no object in the stream: {_shown(data)}")
        except msgspec.ValidationError:
            return self._fault(f"no chunk of an answer: {_shown(data)}")
        except ValueError:
            return self._fault(f"no JSON in the stream: {_shown(data)}")
        if chunk.error is not None:
            return self._fault(*complaint(chunk.error))
        if data is line:
            return self._fault(f"no event in the stream: {_shown(data)}")
        self._take(chunk, at_s)
        return True

    def _take(self, chunk: Chunk, at_s: float) -> None:
        """A piece of the answer, or the usage at its end."""
        answer, usage = self.answer, chunk.usage
        choice = chunk.choices[0] if chunk.choices else None
        before = answer.response_tokens or 0
        count: int | None = None
        """Tokens of the answer so far; None if the server does not count them."""
        if usage is not None:
            answer.request_tokens = usage.prompt_tokens
            count = usage.completion_tokens or 0
        elif choice is not None and choice.token_ids is not None:
            count = before + len(choice.token_ids)
        if count is not None:
            answer.response_tokens = count
        if choice is None:
            return
        if choice.finish_reason:
            self.finished = True
        # If nobody counts, only text distinguishes a token from the opening of a chat.
        if count > before if count is not None else _has_text(choice):
            if answer.first_token_s is None:
                answer.first_token_s = at_s
            else:
                answer.gaps_s.append(round(at_s - self._last_s, 6))
                answer.gap_tokens.append(0 if count is None else count - before)
            self._last_s = at_s

    def _fault(self, why: str, code: int | None = None) -> bool:
        self.answer.error = why
        turned_away = code in OVERLOADED and self.answer.first_token_s is None
        self.answer.outcome = "rejected" if turned_away else "stream_error"
        return False


def _has_text(choice: StreamedChoice) -> bool:
    """Whether a chunk adds text to the answer."""
    if choice.text:
        return True
    return choice.delta is not None and bool(choice.delta.content or choice.delta.reasoning)


def complaint(error: object) -> tuple[str, int | None]:
    """Read the message of an error object, in one line, and its code."""
    if not isinstance(error, dict):
        return _shown(str(error).encode()), None
    info = from_dict(ErrorInfo, error)
    text = _shown(str(info.message or info.type or error).encode())
    return (f"{info.number}: {text}" if info.number else text), info.number


async def exchange(
    http: ClientSession,
    target: Target,
    data: bytes,
    response_tokens: int,
    settings: Settings,
    clock: Callable[[], float],
    answer: StreamedAnswer,
) -> None:
    """Send a request and fill its answer; every fault of the server or the network is an outcome.

    If cancelled, it leaves the outcome `aborted`.

    Parameters
    ----------
    http
        An open session.
    target
        The endpoint.
    data
        What `request_body` returned.
    response_tokens
        The number of tokens that `data` asks for.
    settings
        Its timeout ends the request.
    clock
        Gives the instants of the answer, in seconds.
    answer
        Is filled as the answer comes.
    """
    import aiohttp

    if answer.sent_s is None:
        answer.sent_s = clock()
    answer.tries += 1
    try:
        async with asyncio.timeout(settings.timeout_s):
            async with http.post(
                request_url(target), data=data, headers=HEADERS | target.headers
            ) as response:
                await _read(response, answer, clock)
        if answer.outcome == "aborted":
            count = answer.response_tokens
            short = settings.ignore_eos and count is not None and count < response_tokens
            answer.outcome = "truncated" if short else "ok"
    except TimeoutError:
        answer.outcome, answer.error = "timeout", f"no end within {settings.timeout_s:g} s"
    except aiohttp.ClientConnectorError as fault:
        answer.outcome, answer.error = "refused", _shown(str(fault).encode())
    except (aiohttp.ClientPayloadError, aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as fault:
        answer.outcome, answer.error = "reset", _shown((str(fault) or type(fault).__name__).encode())
    except aiohttp.ClientError as fault:
        answer.outcome, answer.error = "stream_error", _shown((str(fault) or type(fault).__name__).encode())
    finally:
        answer.ended_s = clock()


async def _read(response: ClientResponse, answer: StreamedAnswer, clock: Callable[[], float]) -> None:
    """Read a response to its end; if something is wrong with it, set the outcome."""
    answer.status = status = response.status
    if status != 200:
        answer.outcome = "http_429" if status == 429 else "http_4xx" if 400 <= status < 500 else "http_5xx"
        answer.retry_after_s = retry_after(response.headers.get("Retry-After"), time.time())
        answer.error, code = _complaint_in(await response.content.read(1 << 16), status)
        if status == code == AT_THE_DOOR:
            answer.outcome = "rejected"
        return
    stream = Stream(answer)
    async for data in response.content.iter_any():
        if not stream.feed(data, clock()):
            response.close()
            return
    stream.close(clock())


def pause_s(answer: StreamedAnswer) -> float | None:
    """Compute how long to wait before the same request is sent again; None if that would not help.

    Only what the server rejected or never began to answer is sent again: everything else cost it work, or
    would end the same way. The pause doubles with each try, and is at least as long as the server wants.
    """
    answer_began = answer.first_token_s is not None
    if answer.outcome not in AGAIN or answer_began:
        return None
    return max(min(BACKOFF_S * 2.0 ** (answer.tries - 1), LONGEST_S), answer.retry_after_s or 0.0)


def retry_after(header: str | None, now_unix_s: float) -> float | None:
    """Read the seconds that a `Retry-After` header asks for.

    Parameters
    ----------
    header
        A number of seconds, or a date.
    now_unix_s
        The present Unix time, from which a date counts.

    Returns
    -------
    float or None
        None if there is no header, or if it is neither.
    """
    if header is None:
        return None
    if header.strip().isdigit():
        return float(header)
    try:
        return parsedate_to_datetime(header).timestamp() - now_unix_s
    except ValueError:
        return None


def _complaint_in(data: bytes, status: int) -> tuple[str, int | None]:
    """The error message in the body of a response whose status is not 200, and its code."""
    try:
        content = loads(data)
        return complaint(content.get("error") or content.get("detail") or content)
    except (ValueError, AttributeError):
        return f"{status}: {_shown(data)}" if data.strip() else f"HTTP {status}", None


def _shown(data: bytes) -> str:
    """The beginning of some bytes as one line of text."""
    return " ".join(data[:SHOWN].decode("utf-8", "replace").split())


HEADERS = {"Content-Type": "application/json", "Accept": "text/event-stream"}
