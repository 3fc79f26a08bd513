"""Writing a file whole or not at all. Not here: what is in it."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import polars as pl

from .errors import DiskError


def write_atomically(out: Path, write: Callable[[Path], object]) -> None:
    """Write to a draft beside `out`, then put it in place; BurstlensError where that cannot be."""
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


def write_csv(frame: pl.DataFrame, out: Path) -> None:
    """A CSV with a header; numbers with as many digits as they need to come back equal."""
    write_atomically(out, frame.write_csv)


def write_jsonl(frame: pl.DataFrame, out: Path) -> None:
    """One JSON object a line."""
    write_atomically(out, frame.write_ndjson)


def write_json(value: Any, out: Path) -> None:
    """JSON that a person can read."""
    write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", out)


def write_text(text: str, out: Path) -> None:
    """Plain text in UTF-8."""
    write_atomically(out, lambda draft: draft.write_text(text, "utf-8"))
