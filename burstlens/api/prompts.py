"""What requests contain: token ids, or texts from a file.

Not here: how prompts are made (`burstlens.bench.prompts`).
"""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from ..analysis.core.errors import InputError
from ..analysis.core.option_names import option
from ..analysis.core.result import Progress, silent
from .options import Log, checked_api

if TYPE_CHECKING:
    from ..bench.prompts.token_ids import Prompts


@dataclass(frozen=True)
class PromptOptions:
    """Which prompts are sent; `check` before `make`."""

    share_prefixes: bool = False
    vocabulary: tuple[int, int] | None = None
    prompts: Prompts | Log | None = None
    """Ready-made prompts, or a file of texts."""
    tokenizer: Log | None = None
    prompt_memory: int | None = None

    @property
    def file(self) -> Path | None:
        """The file of texts, if there is one."""
        return Path(self.prompts) if isinstance(self.prompts, str | PathLike) else None

    def check(self, simulate: object = None) -> None:
        """Raise InputError if the options contradict each other, or no prompt is read (`simulate`)."""
        if self.file is None:
            for name, value in (("tokenizer", self.tokenizer), ("prompt_memory", self.prompt_memory)):
                if value is not None:
                    raise InputError(
                        f"{option(name)}: is for prompts of text; name their file with {option('prompts')}"
                    )
            return
        if simulate is not None:
            raise InputError(
                f"{option('prompts')}: virtual time reads the length of a prompt, not its text; leave it out"
            )
        if self.vocabulary is not None:
            raise InputError(
                f"{option('vocabulary')}: is for prompts of token ids; leave it out with {option('prompts')}"
            )
        if self.tokenizer is None:
            raise InputError(
                f"{option('prompts')}: needs the served model's tokenizer.json; name it with "
                f"{option('tokenizer')}"
            )

    def make(self, seed: int, api: str = "completions", progress: Progress = silent) -> Prompts:
        """The prompts."""
        from ..bench.prompts.token_ids import FIRST, LAST, TokenPrompts

        if self.file is not None and self.tokenizer is not None:
            return text_prompts(
                self.file,
                self.tokenizer,
                memory=self.prompt_memory,
                seed=seed,
                share=self.share_prefixes,
                api=api,
                progress=progress,
            )
        if self.prompts is None or isinstance(self.prompts, str | PathLike):
            return TokenPrompts(seed, share=self.share_prefixes, vocabulary=self.vocabulary or (FIRST, LAST))
        return self.prompts


def text_prompts(
    file: Log,
    tokenizer: Log,
    *,
    memory: int | None = None,
    seed: int = 0,
    share: bool = False,
    api: str = "completions",
    progress: Progress | None = None,
) -> Prompts:
    """Make prompts for `replay` and `calibrate` from a file of texts.

    Parameters
    ----------
    file
        Texts in ShareGPT's or Alpaca's form, JSON or JSON lines.
    tokenizer
        The served model's `tokenizer.json`, or the folder that contains it. Needs the package tokenizers.
    memory
        Limit of index and buffer in bytes, 256 MB by default.
    seed
        Seed of the choice of texts.
    share
        Let turns of a session, and prefix blocks of a trace, begin alike. Otherwise no two prompts do.
    api
        `"completions"` or `"chat"`.

    Examples
    --------
    >>> bl.text_prompts("ShareGPT.json", "tokenizer.json")
    Traceback (most recent call last):
    burstlens.analysis.core.errors.InputError: ...
    """
    from ..bench.prompts.text import text_prompts as make
    from ..bench.prompts.text_pool import MEMORY

    return make(
        Path(file),
        Path(tokenizer),
        memory=MEMORY if memory is None else memory,
        seed=seed,
        share=share,
        api=checked_api(api),
        progress=progress or silent,
    )
