"""Prompts of exact length for the requests of a workload, as token ids.

No tokenizer is needed, and the server counts as many tokens as were asked for. Not here: prompts of text
(`text_prompts`).
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from random import Random
from typing import Protocol

from ..analysis.errors import BurstlensError

BLOCK = 512
"""Tokens of a shared prefix block, as in the Mooncake trace."""
FIRST, LAST = 256, 31_999
"""Token ids that every common vocabulary has, above the bytes and special tokens at its start."""
OF_REQUEST, OF_SESSION, OF_BLOCK = range(3)


class Prompts(Protocol):
    """Whatever gives the prompt of a request; called shortly before it is sent."""

    def prompt(
        self,
        request_id: int,
        tokens: int,
        session: int | None,
        prefix: Sequence[int] | None,
    ) -> list[int] | str:
        """The prompt of that many tokens."""
        ...


class TokenPrompts:
    """Random token ids, the same for the same seed and request; two requests begin differently.

    With `share`, the turns of a session begin with the conversation so far, and blocks of `prefix` with the
    same number hold the same tokens, so that a server's prefix cache works as it did for the trace.
    """

    def __init__(
        self, seed: int = 0, *, share: bool = False, vocabulary: tuple[int, int] = (FIRST, LAST)
    ) -> None:
        low, high = vocabulary
        if not 0 <= low < high:
            raise BurstlensError(f"--vocabulary: {low}..{high} is no range of token ids")
        self.seed, self.share, self.low, self.width = seed, share, low, high - low + 1

    def prompt(
        self,
        request_id: int,
        tokens: int,
        session: int | None,
        prefix: Sequence[int] | None,
    ) -> list[int]:
        """Token ids, `tokens` of them."""
        if self.share and prefix:
            ids: list[int] = []
            for block in prefix:
                if len(ids) >= tokens:
                    break
                ids += self._drawn(OF_BLOCK, block, BLOCK)
            rest = tokens - len(ids)
            return ids[:tokens] if rest <= 0 else ids + self._drawn(OF_REQUEST, request_id, rest)
        if self.share and session is not None:
            return self._drawn(OF_SESSION, session, tokens)
        return self._drawn(OF_REQUEST, request_id, tokens)

    def _drawn(self, kind: int, key: int, tokens: int) -> list[int]:
        """A stream of token ids of which more tokens are a longer beginning."""
        # 32 bits a token make the modulus even enough. Random bytes come word by word, so that a longer
        # prompt repeats a shorter one before it goes on.
        source = Random((self.seed << 66) | (kind << 64) | (key & (2**64 - 1)))
        words = array("I", source.randbytes(4 * tokens))
        low, width = self.low, self.width
        return [low + word % width for word in words]
