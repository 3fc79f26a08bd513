"""Prompts of exact length for the requests of a workload, as token ids.

They need no tokenizer, and the server counts exactly the planned tokens. Not here: prompts of text
(`text`).
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from random import Random
from typing import Any, ClassVar, Protocol

import polars as pl

from ...analysis.core.errors import InputError
from ...analysis.core.option_names import option
from ..workload.table import Workload

BLOCK = 512
"""Tokens of a shared prefix block, as in the Mooncake trace."""
FIRST, LAST = 256, 31_999
"""Token ids that every common vocabulary has, above the bytes and special tokens at its start."""
OF_REQUEST, OF_SESSION, OF_BLOCK = range(3)


NO_PREFIX_CACHE = "the simulated engine has no prefix cache, so shared prefixes save it no work"


class Prompts(Protocol):
    """Whatever gives the prompt of a request; called shortly before it is sent. Goes to each worker."""

    text: ClassVar[bool]
    """Whether prompts are text, which a chat needs; token ids otherwise."""
    share: bool
    """Whether requests that began alike in the trace do so now."""

    @property
    def about(self) -> dict[str, Any]:
        """What they are, in plain JSON values; equal for prompts that are equal."""
        ...

    def prepare(self, workload: Workload) -> list[str]:
        """Called once with the whole workload; what a reader of the run should know of its prompts."""
        ...

    def prompt(
        self,
        request_id: int,
        tokens: int,
        session: int | None,
        prefix: Sequence[int] | None,
    ) -> list[int] | str:
        """Make the prompt of a request.

        Parameters
        ----------
        request_id
            The request's id in the workload.
        tokens
            Tokens of the prompt.
        session
            Number of its session, or None.
        prefix
            Numbers of the shared blocks that it begins with, or None.

        Returns
        -------
        list of int, or str
            Token ids or text.
        """
        ...


class TokenPrompts:
    """Random token ids, the same for the same seed and request; two requests begin differently.

    With `share`, the turns of a session begin with the conversation so far, and blocks of `prefix` with the
    same number hold the same tokens, so that a server's prefix cache works as it did for the trace.
    """

    text: ClassVar[bool] = False

    def __init__(
        self, seed: int = 0, *, share: bool = False, vocabulary: tuple[int, int] = (FIRST, LAST)
    ) -> None:
        low, high = vocabulary
        if not 0 <= low < high:
            raise InputError(f"{option('vocabulary')}: {low}..{high} is not a range of token ids")
        self.seed, self.share, self.low, self.width = seed, share, low, high - low + 1

    @property
    def about(self) -> dict[str, Any]:
        """The range of the ids, seed and sharing."""
        vocabulary = [self.low, self.low + self.width - 1]
        return {"vocabulary": vocabulary, "share": self.share, "seed": self.seed}

    def prepare(self, workload: Workload) -> list[str]:
        """Only whether there is anything to share."""
        return sharing_notes(self.share, workload)

    def prompt(
        self,
        request_id: int,
        tokens: int,
        session: int | None,
        prefix: Sequence[int] | None,
    ) -> list[int]:
        """Make the prompt of a request.

        Parameters
        ----------
        request_id, tokens, session, prefix
            As in `Prompts.prompt`.

        Returns
        -------
        list of int
            Token ids, `tokens` of them.
        """
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


def shared_rows(requests: pl.DataFrame) -> pl.Series:
    """Mark the requests that begin as others may: turns of a session, and those with prefix blocks."""
    in_session = pl.col("session").is_not_null()
    return requests.select(in_session | (pl.col("prefix").list.len().fill_null(0) > 0)).to_series()


def sharing_notes(share: bool, workload: Workload) -> list[str]:
    """Note if prompts should share prefixes but the load has none, or the other way round.

    Parameters
    ----------
    share
        Whether prompts share what requests had in common in the trace.
    workload
        The load.
    """
    if share and not shared_rows(workload.requests).any():
        return ["no prompts share a prefix, because the load has neither sessions nor prefix blocks"]
    if not share and workload.requests["prefix"].null_count() < len(workload.requests):
        return ["the trace's prompts share prefix blocks; the prompts of this run do not"]
    return []
