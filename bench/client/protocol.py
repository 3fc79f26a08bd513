"""What the client sends and what an OpenAI-compatible server answers, as types.

Only the fields that the client uses: a server may send others, which are skipped unread. Not here: sending,
and the lines of an event stream (`http`); the endpoint that answers (`simulated.http.protocol`).
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from ..record.json_bytes import loads


class StreamOptions(Struct, frozen=True):
    """Usage in every chunk: the server counts tokens, and a chunk may hold several."""

    include_usage: bool = True
    continuous_usage_stats: bool = True


class Message(Struct, frozen=True):
    """A message of a chat."""

    role: str
    content: str


class CompletionRequest(Struct):
    """The body of a streaming request; a field that is UNSET is not sent."""

    model: str | None
    max_tokens: int
    stream: bool = True
    stream_options: StreamOptions = StreamOptions()
    messages: list[Message] | UnsetType = UNSET
    """Of a chat; a completion has `prompt`."""
    prompt: list[int] | str | UnsetType = UNSET
    ignore_eos: bool | UnsetType = UNSET
    priority: int | UnsetType = UNSET


class Usage(Struct):
    """The server's count of tokens so far."""

    prompt_tokens: int
    completion_tokens: int | None = None


class Delta(Struct):
    """What a chunk adds to a chat's answer."""

    content: Any = None
    reasoning: Any = None


class StreamedChoice(Struct):
    """What a chunk adds to an answer."""

    text: Any = None
    """Of a completion."""
    delta: Delta | None = None
    """Of a chat."""
    token_ids: list[Any] | None = None
    finish_reason: Any = None


class Chunk(Struct):
    """An event of a stream: a piece of the answer, the usage at its end, or an error."""

    choices: list[StreamedChoice] | None = None
    usage: Usage | None = None
    error: Any = None


class ErrorInfo(Struct):
    """Why a server did not answer a request."""

    message: Any = None
    type: Any = None
    code: Any = None

    @property
    def number(self) -> int | None:
        """The code, if it is a number."""
        if isinstance(self.code, str) and self.code.isdigit():
            return int(self.code)
        return self.code if isinstance(self.code, int) else None


class ServedModel(Struct):
    """An entry of `/v1/models`."""

    id: Any = None
    max_model_len: Any = None


class ServerVersion(Struct):
    """What `/version` answers; the last three only the simulated endpoint sends."""

    version: Any = UNSET
    simulated: Any = None
    preset: Any = UNSET
    counts: Any = None
    """What the endpoint counts as a token, such as `words`."""


_CHUNK = msgspec.json.Decoder(Chunk)


def read_chunk(data: bytes) -> Chunk:
    """Read the data of an event.

    Raises
    ------
    TypeError
        If it is JSON but not an object.
    msgspec.ValidationError
        If a field has another type than a chunk's.
    ValueError
        If it is not JSON.
    """
    try:
        return _CHUNK.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        # Slowly, for what the fast way refuses: NaN, halves of characters, empty fields of other types.
        content = loads(data)
        if not isinstance(content, dict):
            raise TypeError("not an object") from None
        if content.get("error") is not None:
            return Chunk(error=content["error"])
        return msgspec.convert({key: value for key, value in content.items() if value}, Chunk, strict=False)
