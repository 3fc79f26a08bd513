"""The OpenAI protocol as vLLM speaks it: request bodies in, answers, chunks and errors out.

`RequestBody` and `Payload` are the bodies; every answer carries `"simulated": true`. Not here: sockets and
time (`endpoint`), and what the client sends and reads (`burstlens.bench.client.protocol`).
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn
from uuid import uuid4

import msgspec
from msgspec import UNSET, Struct, UnsetType

WORDS = (
    *(" these", " words", " stand", " for", " what", " a", " served", " model", " would", " have"),
    *(" written", " they", " mean", " nothing", " at", " all"),
)
"""What answers are made of; a token's id is its place here."""

DONE = b"data: [DONE]\n\n"
COMPLETION_TOKENS = 16
"""Tokens of a completion that names no `max_tokens`, as OpenAI has it."""


class ErrorObject(Struct, frozen=True):
    """OpenAI's error object."""

    message: str
    type: str
    param: str | None
    code: int


class ErrorPayload(Struct, frozen=True):
    """The body of an answer that refuses a request."""

    error: ErrorObject
    simulated: bool = True


class Refusal(Exception):
    """A request that is answered with an error; the fields are those of OpenAI's error object."""

    def __init__(self, status: int, kind: str, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.param = param

    def body(self) -> dict[str, Any]:
        """Give the error as plain values, the same in a response and inside a stream."""
        return dict(msgspec.to_builtins(self._payload()))

    def _payload(self) -> ErrorPayload:
        return ErrorPayload(ErrorObject(str(self), self.kind, self.param, self.status))

    def event(self) -> bytes:
        """Write the error inside a stream that has begun."""
        return _event(self._payload())


class UsageOptions(Struct, frozen=True):
    """`stream_options` of a request."""

    include_usage: bool | None = None
    continuous_usage_stats: bool | None = None


class ContentPart(Struct, frozen=True):
    """A part of a message; only its text counts."""

    text: str | None = None


class ChatMessage(Struct, frozen=True):
    """A message of a conversation."""

    content: str | list[ContentPart] | None = None


class RequestBody(Struct, frozen=True):
    """The body of a request; null is as good as absent, and other fields are ignored."""

    model: str | None = None
    n: int | None = None
    prompt: str | list[Any] | None = None
    """Of a completion: a text, token ids, or a list of one of these."""
    messages: list[ChatMessage] | None = None
    """Of a chat."""
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    """Of a chat; it takes precedence over `max_tokens`."""
    min_tokens: int | None = None
    stream: bool | None = None
    stream_options: UsageOptions | None = None
    ignore_eos: bool | None = None
    priority: int | None = None
    detokenize: bool | None = None
    return_token_ids: bool | None = None


_BODY = msgspec.json.Decoder(RequestBody)


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """What the engine is to generate, for a completion or a chat."""

    chat: bool
    model: str | None
    prompt_tokens: int
    """Length of the prompt; for text as the server counts it."""
    prompt_ids: list[int] | None
    max_tokens: int | None
    min_tokens: int
    ignore_eos: bool
    stream: bool
    include_usage: bool
    continuous_usage: bool
    priority: int
    detokenize: bool
    return_token_ids: bool


def words(text: str) -> int:
    """Count the words of a text, instead of a tokenizer's tokens."""
    return len(text.split())


def parse(raw: bytes, chat: bool, count: Callable[[str], int] = words) -> GenerationRequest:
    """Read a request body.

    Parameters
    ----------
    raw
        The body.
    chat
        Whether it is that of a chat.
    count
        Gives the tokens of a text.

    Raises
    ------
    Refusal
        With status 400, naming the field that cannot be used.
    """
    body = _decoded(raw)
    if body.n is not None and body.n != 1:
        _bad("the simulated endpoint answers n=1 only", "n")
    tokens, ids = (_chat_tokens(body, count), None) if chat else _prompt(body, count)
    limit = body.max_tokens
    if chat and body.max_completion_tokens is not None:
        limit = body.max_completion_tokens
    elif limit is None and not chat:
        limit = COMPLETION_TOKENS
    if limit is not None and limit < 1:
        _bad(f"max_tokens must be at least 1, got {limit}.", "max_tokens")
    min_tokens = body.min_tokens or 0
    if min_tokens < 0 or (limit is not None and min_tokens > limit):
        _bad(f"min_tokens must be between 0 and max_tokens={limit}, got {min_tokens}.", "min_tokens")
    stream = bool(body.stream)
    if body.stream_options is not None and not stream:
        _bad("Stream options can only be defined when `stream=True`.", "stream_options")
    usage = body.stream_options or UsageOptions()
    return GenerationRequest(
        chat=chat,
        model=body.model,
        prompt_tokens=tokens,
        prompt_ids=ids,
        max_tokens=limit,
        min_tokens=min_tokens,
        ignore_eos=bool(body.ignore_eos),
        stream=stream,
        include_usage=bool(usage.include_usage),
        continuous_usage=bool(usage.include_usage and usage.continuous_usage_stats),
        priority=body.priority or 0,
        detokenize=body.detokenize is not False,
        return_token_ids=bool(body.return_token_ids),
    )


def _decoded(raw: bytes) -> RequestBody:
    try:
        return _BODY.decode(raw)
    except msgspec.ValidationError as fault:
        path = re.search(r"`\$\.(\w+)", str(fault))
        if path is None:
            _bad("the body must be a JSON object", None)
        _bad(f"{path[1]}: {str(fault).partition(' - at')[0]}", path[1])
    except (msgspec.DecodeError, UnicodeDecodeError) as fault:
        _bad(f"the body is not JSON: {fault}", None)


def _bad(message: str, param: str | None) -> NoReturn:
    raise Refusal(400, "BadRequestError", message, param)


def _prompt(body: RequestBody, count: Callable[[str], int]) -> tuple[int, list[int] | None]:
    """Length of a completion's prompt, and its token ids if it has some."""
    prompt: Any = body.prompt
    if isinstance(prompt, list) and len(prompt) == 1 and isinstance(prompt[0], str | list):
        prompt = prompt[0]
    if isinstance(prompt, str):
        return max(count(prompt), 1), None
    if isinstance(prompt, list) and prompt and set(map(type, prompt)) == {int}:
        if min(prompt) < 0:
            _bad(f"Token id {min(prompt)} is out of vocabulary", "prompt")
        return len(prompt), prompt
    if isinstance(prompt, list) and len(prompt) > 1 and isinstance(prompt[0], str | list):
        _bad("the simulated endpoint answers one prompt a request", "prompt")
    _bad("prompt must be a text or a list of token ids that is not empty", "prompt")


def _chat_tokens(body: RequestBody, count: Callable[[str], int]) -> int:
    """Length of a conversation: the sum over its messages."""
    if not body.messages:
        _bad("messages must be a list that is not empty", "messages")
    tokens = 0
    for message in body.messages:
        content = message.content
        texts = [part.text for part in content] if isinstance(content, list) else [content]
        tokens += sum(count(text or "") for text in texts)
    return max(tokens, 1)


class AnswerUsage(Struct, frozen=True):
    """Tokens of prompt and answer."""

    prompt_tokens: int
    total_tokens: int
    completion_tokens: int


class AnswerText(Struct, frozen=True):
    """A message of a chat, or what a chunk adds to it."""

    role: str | UnsetType = UNSET
    content: str | UnsetType = UNSET


class AnswerChoice(Struct, frozen=True):
    """The only choice of an answer or a chunk; a field that is UNSET is not sent."""

    index: int = 0
    message: AnswerText | UnsetType = UNSET
    """Of a chat that is not streamed."""
    delta: AnswerText | UnsetType = UNSET
    """Of a chunk of a chat."""
    text: str | UnsetType = UNSET
    """Of a completion."""
    logprobs: None = None
    finish_reason: str | None = None
    stop_reason: UnsetType | None = None
    token_ids: list[int] | UnsetType = UNSET
    prompt_token_ids: list[int] | UnsetType | None = UNSET
    """Of a completion."""


class Payload(Struct, frozen=True):
    """An answer, or a chunk of one; a field that is UNSET is not sent."""

    id: str
    object: str
    created: int
    model: str
    system_fingerprint: str
    simulated: bool
    choices: list[AnswerChoice]
    usage: AnswerUsage | UnsetType = UNSET
    prompt_token_ids: list[int] | UnsetType | None = UNSET
    """Of a chat."""


class AnswerWriter:
    """The answer to one request, complete or in chunks; tokens are counted from 0."""

    def __init__(self, request: GenerationRequest, model: str, preset: str, seed: int) -> None:
        self._request = request
        self._seed = seed
        kind = "chat.completion" if request.chat else "text_completion"
        self._id = f"{'chatcmpl' if request.chat else 'cmpl'}-{uuid4().hex}"
        self._object = f"{kind}.chunk" if request.chat and request.stream else kind
        self._created = int(time.time())
        self._model, self._fingerprint = model, f"simulated-{preset}"

    def complete(self, tokens: int, finish: str) -> dict[str, Any]:
        """Build the body of an answer that is not streamed.

        Parameters
        ----------
        tokens
            Length of the answer.
        finish
            The finish reason.
        """
        payload = self._payload(0, tokens, finish, first=True, usage=True)
        return dict(msgspec.to_builtins(payload))

    def chunk(self, before: int, tokens: int, finish: str | None) -> bytes:
        """Build the event of a part of an answer; a chat's first one opens with the role.

        Parameters
        ----------
        before, tokens
            Tokens of the answer before this part, and with it.
        finish
            The finish reason, None before the end.
        """
        request = self._request
        usage = request.continuous_usage
        event = _event(self._payload(before, tokens, finish, first=before == 0, usage=usage))
        if not (request.chat and before == 0):
            return event
        role = AnswerChoice(delta=AnswerText("assistant", ""), stop_reason=UNSET)
        return _event(self._with([role], self._usage(0) if usage else UNSET)) + event

    def close(self, tokens: int) -> bytes:
        """Write the end of a stream, after the usage if the request asks for it."""
        if not self._request.include_usage:
            return DONE
        return _event(self._with([], self._usage(tokens))) + DONE

    def _payload(self, before: int, tokens: int, finish: str | None, *, first: bool, usage: bool) -> Payload:
        request = self._request
        text, ids = self._written(before, tokens)
        shown = request.return_token_ids
        prompt_ids = request.prompt_ids if shown and first else UNSET
        choice = AnswerChoice(
            message=AnswerText("assistant", text) if request.chat and not request.stream else UNSET,
            delta=AnswerText(content=text) if request.chat and request.stream else UNSET,
            text=UNSET if request.chat else text,
            finish_reason=finish,
            token_ids=ids if shown else UNSET,
            prompt_token_ids=UNSET if request.chat else prompt_ids,
        )
        return self._with(
            [choice], self._usage(tokens) if usage else UNSET, prompt_ids if request.chat else UNSET
        )

    def _with(
        self,
        choices: list[AnswerChoice],
        usage: AnswerUsage | UnsetType,
        prompt_ids: list[int] | UnsetType | None = UNSET,
    ) -> Payload:
        return Payload(
            self._id,
            self._object,
            self._created,
            self._model,
            self._fingerprint,
            True,
            choices,
            usage,
            prompt_ids,
        )

    def _usage(self, tokens: int) -> AnswerUsage:
        prompt = self._request.prompt_tokens
        return AnswerUsage(prompt, prompt + tokens, tokens)

    def _written(self, before: int, tokens: int) -> tuple[str, list[int]]:
        ids = [(self._seed + i) % len(WORDS) for i in range(before, tokens)]
        return "".join([WORDS[i] for i in ids]) if self._request.detokenize else "", ids


def _event(payload: Struct) -> bytes:
    return b"data: %b\n\n" % msgspec.json.encode(payload)
