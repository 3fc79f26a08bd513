"""A Hugging Face tokenizer from a file on this machine. Not here: what is counted with it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ...analysis.core.errors import DiskError, InputError, MissingExtraError, path_text
from ...analysis.core.option_names import option

if TYPE_CHECKING:
    from tokenizers import Tokenizer


def load_tokenizer(path: Path) -> Tokenizer:
    """Load the tokenizer of a `tokenizer.json`, or of the folder that has one; it neither cuts nor pads.

    Raises
    ------
    InputError
        If there is no such file, or it is not a tokenizer.
    MissingExtraError
        If the tokenizers package is not installed.
    """
    path = path / "tokenizer.json" if path.is_dir() else path
    try:
        from tokenizers import Tokenizer
    except ImportError:
        raise MissingExtraError.of("text", "tokenizers", option("tokenizer")) from None
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError.missing_file(path) from None
    except OSError as fault:
        raise DiskError.unreadable(path, fault) from None
    except UnicodeDecodeError:
        raise InputError.at(path, "is not UTF-8 text") from None
    try:
        loaded: Tokenizer = Tokenizer.from_str(text)
    except Exception as fault:  # the library raises no other class
        why = " ".join(str(fault).split())[:160]
        raise InputError(f"{path_text(path)}: is not a tokenizer.json of Hugging Face: {why}") from None
    loaded.no_truncation()
    loaded.no_padding()
    return loaded
