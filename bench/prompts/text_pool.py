"""Texts of people from a file of conversations or instructions, found by their number of tokens.

The texts stay in the file: in memory are places and counts, and a buffer of what was read last. Known forms:
ShareGPT (`conversations`, or `messages` with roles), of which every message of a person is a text; Alpaca
(`instruction`, `input`). Not here: which text a request gets, and cutting it (`text`).
"""

from __future__ import annotations

import json
from array import array
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ...analysis.core.errors import DiskError, InputError, path_text
from ...analysis.core.option_names import option
from ...analysis.core.result import Progress, silent
from ...analysis.core.units import counted
from .json_stream import entries

if TYPE_CHECKING:
    from tokenizers import Tokenizer

MEMORY = 256_000_000
"""Bytes that index and buffer may take unless chosen otherwise."""
PER_TEXT = 96
"""Bytes that a text takes while the index is built, at most; a fifth of it once it is."""
LONGEST = 1 << 20
"""Characters of a text that are used."""
BATCH_TEXTS, BATCH_CHARACTERS = 512, 1 << 18
"""Texts that are counted at once."""
PEOPLE = ("human", "user")


class TextPool:
    """The different texts of a file, in order of their tokens; text `i` has `tokens[i]` of them.

    Building it reads and counts the whole file, `memory` bytes bound what it takes besides a few MB. Raises
    InputError if the file is not JSON, has no texts, or too many for `memory`.
    """

    def __init__(
        self, path: Path, tokenizer: Tokenizer, *, memory: int = MEMORY, progress: Progress = silent
    ) -> None:
        self.path = path
        self.repeated = 0
        """Texts that occurred before in the file, which are left out."""
        self.unusable = 0
        """Entries without a text."""
        self.tokens: npt.NDArray[np.uint32]
        self._read(tokenizer, memory, progress)
        self._room = memory - sum(each.nbytes for each in self._index())
        self._start_buffer()

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def nbytes(self) -> int:
        """Bytes of index and buffer."""
        return sum(each.nbytes for each in self._index()) + self._buffer_bytes

    def text(self, i: int) -> str:
        """Text `i`; raises InputError if the file has changed."""
        found = self.cached(i)
        return self.cache(i, self._fetch(i)) if found is None else found

    def cached(self, key: int) -> str | None:
        """Look up the text stored under that key, if it still is."""
        found = self._buffer.get(key)
        if found is not None:
            self._buffer.move_to_end(key)
        return found

    def cache(self, key: int, text: str) -> str:
        """Store a text, and drop the least recently used ones if there is no room.

        Parameters
        ----------
        key
            Key under which `cached` finds it.
        text
            The text.

        Returns
        -------
        str
            The same text.
        """
        self._buffer[key] = text
        self._buffer_bytes += _size(text)
        while self._buffer_bytes > self._room and self._buffer:
            self._buffer_bytes -= _size(self._buffer.popitem(last=False)[1])
        return text

    def __getstate__(self) -> dict[str, Any]:
        """Without what is buffered, which each process has for itself."""
        return {name: each for name, each in self.__dict__.items() if name != "_buffer"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._start_buffer()

    def _start_buffer(self) -> None:
        self._buffer: OrderedDict[int, str] = OrderedDict()
        self._buffer_bytes = 0

    def _index(self) -> tuple[np.ndarray, ...]:
        return self.tokens, self._offset, self._length, self._message

    def _read(self, tokenizer: Tokenizer, memory: int, progress: Progress) -> None:
        offset, length, message, tokens = array("q"), array("I"), array("H"), array("I")
        digest = array("q")
        batch: list[tuple[int, int, int, str]] = []
        step = f"counting tokens of {self.path.name}"

        def count() -> None:
            encoded = tokenizer.encode_batch_fast([each[3] for each in batch], add_special_tokens=False)
            for (start, size, number, text), found in zip(batch, encoded, strict=True):
                if len(found):
                    offset.append(start)
                    length.append(size)
                    message.append(number)
                    tokens.append(len(found))
                    digest.append(hash(text))
            batch.clear()
            if len(tokens) * PER_TEXT > memory:
                raise InputError(
                    f"{option('prompt_memory')}: {memory / 1e6:,.4g} MB are too few for the index of "
                    f"{path_text(self.path)}: its first {counted(len(tokens), 'prompt')} need more"
                )

        characters = 0
        for start, size, entry in entries(self.path):
            found = False
            for number, text in _texts(entry):
                batch.append((start, size, number, text))
                characters += len(text)
                found = True
            self.unusable += not found
            if len(batch) >= BATCH_TEXTS or characters >= BATCH_CHARACTERS:
                count()
                characters = 0
                progress(step, start / max(self.path.stat().st_size, 1))
        count()
        if not tokens:
            raise InputError(
                f"{path_text(self.path)}: has no prompts; its entries should have conversations or messages "
                "of a person (ShareGPT), or an instruction (Alpaca)"
            )
        progress(step, 1.0)
        _, first = np.unique(np.frombuffer(digest, np.int64), return_index=True)
        self.repeated = len(tokens) - len(first)
        first.sort()
        counts = np.frombuffer(tokens, np.uint32)[first]
        order = first[np.argsort(counts, kind="stable")]
        self.tokens = np.sort(counts)
        self._offset = np.frombuffer(offset, np.int64)[order]
        self._length = np.frombuffer(length, np.uint32)[order]
        self._message = np.frombuffer(message, np.uint16)[order]

    def _fetch(self, i: int) -> str:
        try:
            with self.path.open("rb") as file:
                file.seek(int(self._offset[i]))
                entry = json.loads(file.read(int(self._length[i])))
            return dict(_texts(entry))[int(self._message[i])]
        except OSError as fault:
            raise DiskError.unreadable(self.path, fault) from fault
        except (ValueError, KeyError):
            raise InputError(f"{path_text(self.path)}: changed while its prompts were sent") from None


def _texts(entry: object) -> Iterator[tuple[int, str]]:
    """The texts of an entry with their number in it."""
    if not isinstance(entry, dict):
        return
    messages = entry.get("conversations") or entry.get("messages")
    if isinstance(messages, list):
        for number, message in enumerate(messages[: 1 << 16]):
            if isinstance(message, dict) and (message.get("from") or message.get("role")) in PEOPLE:
                text = _clean(message.get("value") or message.get("content"))
                if text:
                    yield number, text
    elif text := _clean(entry.get("instruction")):
        more = _clean(entry.get("input"))
        yield 0, f"{text}\n\n{more}" if more else text


def _clean(text: object) -> str:
    """Text without outer blanks and halves of characters; empty if it is not a text."""
    if isinstance(text, list):
        parts = (part.get("text") for part in text if isinstance(part, dict))
        text = "\n".join(part for part in parts if isinstance(part, str))
    if not isinstance(text, str):
        return ""
    return text[:LONGEST].strip().encode("utf-8", "replace").decode()


def _size(text: str) -> int:
    """Bytes of a text in the buffer, with its share of the table."""
    return text.__sizeof__() + 150
