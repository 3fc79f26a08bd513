"""Prompts of text for the requests of a workload, cut to the number of tokens that each asks for.

A request gets a text of the nearest length at or above its own, one of those at random, cut to length;
if no text is long enough, several are joined. Which one depends only on the seed and the request.
No two requests begin alike, since a server's prefix cache would answer part of the second: a text that an
earlier request of the workload took begins with a few letters of its own the second time (always, if
the workload is not known). Not here: where texts come from (`text_pool`), prompts of token ids (`token_ids`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt
import polars as pl

from ...analysis.core.arrays import Integers, Mask
from ...analysis.core.errors import InputError
from ...analysis.core.option_names import option
from ...analysis.core.result import Progress, silent
from ...analysis.core.units import counted
from ..settings import Api
from ..workload.table import Workload
from .text_pool import MEMORY, TextPool
from .token_ids import BLOCK, OF_BLOCK, OF_REQUEST, OF_SESSION, shared_rows, sharing_notes
from .tokenizer import load_tokenizer

if TYPE_CHECKING:
    from tokenizers import Encoding

BETWEEN = "\n\n"
"""Separates texts that are joined."""
NEAR = (0, -1, 1, -2, 2, -3, 3)
"""Tokens by which a cut is moved where the text before it is counted otherwise than inside the whole."""
FILL = (" the", " a", "\n1")
"""What makes up for a missing token."""
SLACKS = (1.5, float("inf"))
"""To how many times the tokens needed a text is first cut, by its letters; the second time it is not."""
SPARE = 64
"""Letters that are left to it in addition."""
AT_ONCE = 1 << 20
"""Requests that are looked through at once."""


class TextPrompts:
    """Texts of a pool as prompts; see the module's text for which. Can be sent to another process.

    With `share`, the turns of a session begin with the session's text so far, and blocks of `prefix` with
    the same number hold the same text. `special` counts the special tokens that a server puts before the
    text of a completion; a chat's template is the server's own, and its tokens come on top.
    """

    text: ClassVar[bool] = True

    def __init__(
        self, pool: TextPool, tokenizer: Path, *, seed: int = 0, share: bool = False, special: bool = True
    ) -> None:
        self.pool, self.seed, self.share = pool, seed, share
        self._path = tokenizer
        self._tokenizer = load_tokenizer(tokenizer)
        self._special = self._tokenizer.num_special_tokens_to_add(False) if special else 0
        self._chat = not special
        self._again: Mask | None = None
        """By request: whether an earlier one took its text; None if the workload is not known."""

    @property
    def about(self) -> dict[str, Any]:
        """What the prompts are made from, in plain values for the manifest."""
        return {
            "text": self.pool.path.name,
            "tokenizer": self._path.name,
            "texts": len(self.pool),
            "share": self.share,
            "seed": self.seed,
        }

    def prepare(self, workload: Workload) -> list[str]:
        """Find the requests that would repeat a text; what a reader of the run should know."""
        frame = workload.requests
        alone = ~shared_rows(frame) if self.share else pl.repeat(True, len(frame), eager=True)
        ids = frame["request_id"].to_numpy()
        tokens = frame["request_tokens"].fill_null(1).clip(1).to_numpy()
        own = alone.to_numpy()
        self._again = np.zeros(int(ids.max(initial=-1)) + 1, bool)
        seen = np.zeros(len(self.pool), bool)
        joined = 0
        for start in range(0, len(ids), AT_ONCE):
            here = slice(start, start + AT_ONCE)
            chosen = own[here]
            some, wanted = ids[here][chosen], self._content(tokens[here][chosen])
            first = self._first(some, wanted)
            joined += int(np.count_nonzero(wanted > self.pool.tokens[-1]))
            _, new = np.unique(first, return_index=True)
            fresh = np.zeros(len(first), bool)
            fresh[new] = True
            self._again[some] = seen[first] | ~fresh
            seen[first] = True
        return [*sharing_notes(self.share, workload), *self._notes(int(self._again.sum()), joined)]

    def prompt(
        self,
        request_id: int,
        tokens: int,
        session: int | None,
        prefix: Sequence[int] | None,
    ) -> str:
        """Make the prompt of a request.

        Parameters
        ----------
        request_id
            The request's id in the workload.
        tokens
            Tokens that it asks for.
        session
            Number of its session, or None.
        prefix
            Numbers of the shared blocks that it begins with, or None.

        Returns
        -------
        str
            Text of `tokens` tokens, or as near as the tokenizer allows.
        """
        wanted = int(self._content(np.array([tokens]))[0])
        if self.share and prefix:
            blocks = prefix[: -(-wanted // BLOCK)]
            begin = "".join([self._block(block) for block in blocks]).lstrip()
            rest = wanted - BLOCK * len(blocks)
            if rest <= 0:
                return self._fitted(lambda _: begin, wanted)
            return self._fitted(
                lambda slack: f"{begin} {self._joined(OF_REQUEST, request_id, rest, slack)}", wanted
            )
        if self.share and session is not None:
            return self._fitted(lambda slack: self._joined(OF_SESSION, session, wanted, slack), wanted)
        again = self._again
        marked = again is None or request_id >= len(again) or bool(again[request_id])
        if wanted > self.pool.tokens[-1]:
            return self._fitted(
                lambda slack: self._joined(OF_REQUEST, request_id, wanted, slack, marked), wanted
            )
        i = int(self._first(np.array([request_id]), np.array([wanted]))[0])
        if self.pool.tokens[i] == wanted and not marked:
            return self.pool.text(i)
        mark = self._mark(OF_REQUEST, request_id) if marked else ""
        return self._fitted(lambda slack: mark + self._part(i, wanted, slack), wanted)

    def count(self, text: str) -> int:
        """Count the tokens that a server should count for a prompt, special ones included."""
        return self._counted(text) + self._special

    def __getstate__(self) -> dict[str, Any]:
        return {name: each for name, each in self.__dict__.items() if name != "_tokenizer"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._tokenizer = load_tokenizer(self._path)

    def _notes(self, again: int, joined: int) -> list[str]:
        pool, name = self.pool, self.pool.path.name
        notes = []
        if pool.repeated or pool.unusable:
            notes.append(
                f"{name}: {counted(len(pool), 'different prompt')}; left out: {pool.repeated:,} repeated "
                f"prompts, {pool.unusable:,} entries without a prompt"
            )
        if again:
            notes.append(
                f"{again:,} requests take a text that an earlier one took; each begins with letters of its "
                "own, so that a prefix cache does not know it"
            )
        if joined:
            notes.append(
                f"{joined:,} prompts are joined from several, since the longest of {name} has "
                f"{counted(int(pool.tokens[-1]), 'token')}"
            )
        if self._chat:
            notes.append("the server's chat template adds its own tokens to the prompts' lengths")
        return notes

    def _content(self, tokens: Integers) -> Integers:
        """Tokens of the text itself: one at least, since a prompt cannot be empty."""
        return np.maximum(tokens - self._special, 1)

    def _first(self, request_ids: Integers, wanted: Integers) -> Integers:
        """Choose each request's first text: one of the nearest length, or of all if none is long enough."""
        lengths = self.pool.tokens
        low = np.searchsorted(lengths, wanted)
        short = low == len(lengths)
        low[short] = 0
        high = np.where(short, len(lengths), np.searchsorted(lengths, lengths[low], side="right"))
        drawn = _drawn(self.seed, OF_REQUEST, request_ids) % (high - low).astype(np.uint64)
        return low + drawn.astype(np.int64)

    def _joined(self, kind: int, key: int, tokens: int, slack: float, marked: bool = True) -> str:
        """A stream of texts, of which more tokens are a longer beginning."""
        parts, total = [], 0
        for i in self._stream(kind, key):
            parts.append(self._part(i, tokens - total, slack))
            total += int(self.pool.tokens[i])
            if total >= tokens:
                break
        return (self._mark(kind, key) if marked else "") + BETWEEN.join(parts)

    def _part(self, i: int, tokens: int, slack: float) -> str:
        """The beginning of text `i` that should hold `slack` times the tokens: the rest would cost time."""
        text = self.pool.text(i)
        share = slack * tokens / int(self.pool.tokens[i])
        return text if share >= 1 else text[: int(len(text) * share) + SPARE]

    def _stream(self, kind: int, key: int) -> Iterator[int]:
        """Texts of the whole pool at random, without end; the first is that of `_first`."""
        at = int(_drawn(self.seed, kind, np.array([key]))[0])
        while True:
            yield at % len(self.pool)
            at = int(_mixed(np.array([at], np.uint64))[0])

    def _block(self, number: int) -> str:
        """The text of a prefix block: `BLOCK` tokens from a blank on, so that blocks can be joined."""
        key = -1 - number
        found = self.pool.cached(key)
        if found is None:
            made = self._fitted(lambda slack: " " + self._joined(OF_BLOCK, number, BLOCK, slack), BLOCK)
            found = self.pool.cache(key, made)
        return found

    def _mark(self, kind: int, key: int) -> str:
        """A beginning that no other request, session or block has."""
        return f"{int(_drawn(self.seed, kind, np.array([key]))[0]) >> 32:08x} "

    def _fitted(self, make: Callable[[float], str], wanted: int) -> str:
        """The beginning of a text that has the wanted number of tokens when it is counted again.

        `make` returns the text, with a number of times the tokens that are likely to suffice.
        """
        for slack in SLACKS:
            text = make(slack)
            # As a batch, which lets go of the interpreter: the loop reads answers meanwhile.
            encoded: Encoding = self._tokenizer.encode_batch([text], add_special_tokens=False)[0]
            if len(encoded) >= wanted:
                break
        if len(encoded) == wanted:
            return text
        ends = [end for _, end in encoded.offsets]
        best, best_count = text, len(ends)
        for near in NEAR:
            if 0 < wanted + near <= len(ends):
                cut = text[: ends[wanted + near - 1]]
                found = self._counted(cut)
                if found == wanted:
                    return cut
                if (abs(found - wanted), found > wanted) < (abs(best_count - wanted), best_count > wanted):
                    best, best_count = cut, found
        for fill in FILL:
            filled = best + fill * max(wanted - best_count, 0)
            if self._counted(filled) == wanted:
                return filled
        return best

    def _counted(self, text: str) -> int:
        """Tokens of a text, without special ones."""
        return len(self._tokenizer.encode_batch_fast([text], add_special_tokens=False)[0])


def text_prompts(
    path: Path,
    tokenizer: Path,
    *,
    memory: int = MEMORY,
    seed: int = 0,
    share: bool = False,
    api: Api = "completions",
    progress: Progress = silent,
) -> TextPrompts:
    """Make prompts from a file of texts.

    Parameters
    ----------
    path
        A JSON file of texts (see `text_pool`).
    tokenizer
        A `tokenizer.json` by which tokens are counted, or the folder that has one.
    memory
        Bytes that index and buffer may take, in each process that sends.
    seed
        Seed of the choice of texts.
    share
        Whether requests that began alike in the trace begin alike now.
    api
        Whether prompts are for `completions` or `chat`.
    progress
        Called with the step and the share that is done.

    Raises
    ------
    InputError
        If a file is not of its kind, has no texts, or too many for `memory`.
    DiskError
        If a file cannot be read.
    MissingExtraError
        If the tokenizers package is not installed.
    """
    if memory <= 0:
        raise InputError(f"{option('prompt_memory')}: {memory:,} bytes is not above 0")
    pool = TextPool(path, load_tokenizer(tokenizer), memory=memory, progress=progress)
    return TextPrompts(pool, tokenizer, seed=seed, share=share, special=api == "completions")


def _drawn(seed: int, kind: int, keys: Integers) -> npt.NDArray[np.uint64]:
    """A random number of 64 bits for each key, the same wherever it is drawn."""
    # Masked in Python: a seed may be of any size.
    begin = _mixed(np.array([(seed * 4 + kind) & (2**64 - 1)], np.uint64))
    return _mixed(_mixed(keys.astype(np.uint64) ^ begin))


def _mixed(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """SplitMix64: each value to a random-looking other one."""
    mixed = values + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    found: npt.NDArray[np.uint64] = mixed ^ (mixed >> np.uint64(31))
    return found
