"""The OpenAI protocol as vLLM speaks it: request bodies in, answers, chunks and errors out.

Plain functions between JSON and values; every answer carries `"simulated": true`. Not here: sockets and
time (`endpoint`).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn
from uuid import uuid4

WORDS = (
    *(" these", " words", " stand", " for", " what", " a", " served", " model", " would", " have"),
    *(" written", " they", " mean", " nothing", " at", " all"),
)
"""What answers are made of; a token's id is its place here."""

DONE = b"data: [DONE]\n\n"
COMPLETION_TOKENS = 16
"""Tokens of a completion that names no `max_tokens`, as OpenAI has it."""


class Refusal(Exception):
    """A request that is answered with an error; the fields are those of OpenAI's error object."""

    def __init__(self, status: int, kind: str, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.param = param

    def body(self) -> dict[str, Any]:
        """The error as JSON, the same in a response and inside a stream."""
        error = {"message": str(self), "type": self.kind, "param": self.param, "code": self.status}
        return {"error": error, "simulated": True}

    def event(self) -> bytes:
        """The error inside a stream that has begun."""
        return _event(self.body())


@dataclass(frozen=True, slots=True)
class CompletionRequest:
    """What a request wants, whichever of the two ways it was put."""

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
    """The words of a text, which stand in for a tokenizer's count."""
    return len(text.split())


def parse(raw: bytes, chat: bool, count: Callable[[str], int] = words) -> CompletionRequest:
    """A request body as what it asks for; raises Refusal 400 naming the field that cannot be used.

    `count` gives the tokens of a text.
    """
    try:
        body = json.loads(raw)
    except ValueError as fault:
        raise Refusal(400, "BadRequestError", f"the body is no JSON: {fault}") from None
    if not isinstance(body, dict):
        _bad("the body must be a JSON object", None)
    if _get(body, "n", int, 1) != 1:
        _bad("the simulated endpoint answers n=1 only", "n")
    tokens, ids = _messages(body, count) if chat else _prompt(body, count)
    limit = _get(body, "max_tokens", int, None)
    if chat:
        limit = _get(body, "max_completion_tokens", int, limit)
    elif limit is None:
        limit = COMPLETION_TOKENS
    if limit is not None and limit < 1:
        _bad(f"max_tokens must be at least 1, got {limit}.", "max_tokens")
    least = _get(body, "min_tokens", int, 0)
    if least < 0 or (limit is not None and least > limit):
        _bad(f"min_tokens must be between 0 and max_tokens={limit}, got {least}.", "min_tokens")
    stream = _get(body, "stream", bool, False)
    options = _get(body, "stream_options", dict, None)
    if options is not None and not stream:
        _bad("Stream options can only be defined when `stream=True`.", "stream_options")
    options = options or {}
    include = _get(options, "include_usage", bool, False)
    return CompletionRequest(
        chat=chat,
        model=_get(body, "model", str, None),
        prompt_tokens=tokens,
        prompt_ids=ids,
        max_tokens=limit,
        min_tokens=least,
        ignore_eos=_get(body, "ignore_eos", bool, False),
        stream=stream,
        include_usage=include,
        continuous_usage=include and _get(options, "continuous_usage_stats", bool, False),
        priority=_get(body, "priority", int, 0),
        detokenize=_get(body, "detokenize", bool, True),
        return_token_ids=_get(body, "return_token_ids", bool, False),
    )


def _bad(message: str, param: str | None) -> NoReturn:
    raise Refusal(400, "BadRequestError", message, param)


def _get(body: Mapping[str, Any], name: str, kind: type, default: Any) -> Any:
    """A field of the body, null being as good as absent."""
    value = body.get(name)
    if value is None:
        return default
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        _bad(f"{name} must be of type {kind.__name__}, got {json.dumps(value)[:60]}", name)
    return value


def _prompt(body: Mapping[str, Any], count: Callable[[str], int]) -> tuple[int, list[int] | None]:
    """Length of a completion's prompt and its token ids, if they were given."""
    prompt = body.get("prompt")
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


def _messages(body: Mapping[str, Any], count: Callable[[str], int]) -> tuple[int, None]:
    """Length of a conversation: that of its messages together."""
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        _bad("messages must be a list that is not empty", "messages")
    tokens = 0
    for message in messages:
        content = message.get("content") if isinstance(message, dict) else 0
        parts = content if isinstance(content, list) else [{"text": content}]
        for part in parts:
            text = part.get("text", "") if isinstance(part, dict) else 0
            if not isinstance(text, str | None):
                _bad("a message's content must be a text or a list of texts", "messages")
            tokens += count(text or "")
    return max(tokens, 1), None


class AnswerBody:
    """The answer to one request, in whole or in chunks; tokens are counted from 0."""

    def __init__(self, ask: CompletionRequest, model: str, preset: str, seed: int) -> None:
        self._ask = ask
        self._seed = seed
        kind = "chat.completion" if ask.chat else "text_completion"
        self._head = {
            "id": f"{'chatcmpl' if ask.chat else 'cmpl'}-{uuid4().hex}",
            "object": f"{kind}.chunk" if ask.chat and ask.stream else kind,
            "created": int(time.time()),
            "model": model,
            "system_fingerprint": f"simulated-{preset}",
            "simulated": True,
        }

    def whole(self, tokens: int, finish: str) -> dict[str, Any]:
        """The body of an answer that is not streamed."""
        ask = self._ask
        text, ids = self._written(0, tokens)
        choice: dict[str, Any] = {"index": 0}
        if ask.chat:
            choice["message"] = {"role": "assistant", "content": text}
        else:
            choice["text"] = text
        choice |= {"logprobs": None, "finish_reason": finish, "stop_reason": None}
        body = {**self._head, "choices": [choice], "usage": self._usage(tokens)}
        if ask.return_token_ids:
            choice["token_ids"] = ids
            (body if ask.chat else choice)["prompt_token_ids"] = ask.prompt_ids
        return body

    def chunk(self, before: int, tokens: int, finish: str | None) -> bytes:
        """The event that carries tokens from `before` up to `tokens`; a chat's first opens with the role."""
        ask = self._ask
        text, ids = self._written(before, tokens)
        choice: dict[str, Any] = {"index": 0}
        if ask.chat:
            choice["delta"] = {"content": text}
        else:
            choice["text"] = text
        choice |= {"logprobs": None, "finish_reason": finish, "stop_reason": None}
        body: dict[str, Any] = {**self._head, "choices": [choice]}
        if ask.return_token_ids:
            choice["token_ids"] = ids
            if before == 0:
                (body if ask.chat else choice)["prompt_token_ids"] = ask.prompt_ids
        if ask.continuous_usage:
            body["usage"] = self._usage(tokens)
        if not (ask.chat and before == 0):
            return _event(body)
        role: dict[str, Any] = {"index": 0, "delta": {"role": "assistant", "content": ""}}
        opening: dict[str, Any] = {
            **self._head,
            "choices": [role | {"logprobs": None, "finish_reason": None}],
        }
        if ask.continuous_usage:
            opening["usage"] = self._usage(0)
        return _event(opening) + _event(body)

    def close(self, tokens: int) -> bytes:
        """The end of a stream, after the usage if it was asked for."""
        if not self._ask.include_usage:
            return DONE
        return _event({**self._head, "choices": [], "usage": self._usage(tokens)}) + DONE

    def _usage(self, tokens: int) -> dict[str, Any]:
        prompt = self._ask.prompt_tokens
        return {"prompt_tokens": prompt, "total_tokens": prompt + tokens, "completion_tokens": tokens}

    def _written(self, before: int, tokens: int) -> tuple[str, list[int]]:
        ids = [(self._seed + i) % len(WORDS) for i in range(before, tokens)]
        return "".join([WORDS[i] for i in ids]) if self._ask.detokenize else "", ids


def _event(body: Mapping[str, Any]) -> bytes:
    return b"data: %b\n\n" % json.dumps(body, separators=(",", ":")).encode()
