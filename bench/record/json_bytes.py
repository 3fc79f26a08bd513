"""JSON as bytes, for what is written and read at every request and every piece of an answer.

By msgspec, which writes and reads typed structs faster than the standard library handles dictionaries. What
only the standard library accepts (NaN, lone surrogates) goes its way, so nothing is refused.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec

_ENCODER = msgspec.json.Encoder()


def loads(data: bytes) -> Any:
    """Read a JSON value; raises ValueError if `data` is not JSON."""
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return json.loads(data)


def dumps(value: Any) -> bytes:
    """Write a value, or a msgspec struct, on one line in UTF-8; NaN becomes null."""
    try:
        return _ENCODER.encode(value)
    except UnicodeEncodeError:
        text = json.dumps(msgspec.to_builtins(value), ensure_ascii=False, separators=(",", ":"))
        return text.encode("utf-8", "replace")
