"""Writes a file so that it appears complete or not at all. Not here: what is in it."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import polars as pl

from .errors import DiskError


def write_atomically(out: Path, write: Callable[[Path], object]) -> None:
    """Write a file so that it appears complete or not at all.

    Parameters
    ----------
    out : Path
        Its folder is made if needed; an existing file is replaced.
    write : callable
        Writes the draft at the path that it gets, in the same folder.

    Raises
    ------
    DiskError
        If the file cannot be written.
    """
    draft = out.with_name(f".{out.name}.part")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        write(draft)
        draft.replace(out)
    except (OSError, pl.exceptions.ComputeError) as fault:
        raise DiskError.unwritable(out, fault if isinstance(fault, OSError) else str(fault)) from fault
    finally:
        with suppress(OSError):
            draft.unlink()


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, if they do not exist.

    Parameters
    ----------
    folder : Path

    Raises
    ------
    DiskError
        If the operating system does not allow it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise DiskError.unwritable(folder, fault) from fault


def write_csv(frame: pl.DataFrame, out: Path) -> None:
    """Write a table as CSV with a header; numbers have as many digits as they need to come back equal.

    Parameters
    ----------
    frame : DataFrame
    out : Path

    Raises
    ------
    DiskError
        If the file cannot be written.
    """
    write_atomically(out, frame.write_csv)


def write_jsonl(frame: pl.DataFrame, out: Path) -> None:
    """Write a table as JSON lines, one object a line.

    Parameters
    ----------
    frame : DataFrame
    out : Path

    Raises
    ------
    DiskError
        If the file cannot be written.
    """
    write_atomically(out, frame.write_ndjson)


def write_json(value: Any, out: Path) -> None:
    """Write JSON that a person can read.

    Parameters
    ----------
    value
        Anything that `json.dumps` takes.
    out : Path

    Raises
    ------
    DiskError
        If the file cannot be written.
    """
    write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", out)


def write_text(text: str, out: Path) -> None:
    """Write plain text in UTF-8.

    Parameters
    ----------
    text : str
    out : Path

    Raises
    ------
    DiskError
        If the file cannot be written.
    """
    write_atomically(out, lambda draft: draft.write_text(text, "utf-8"))
