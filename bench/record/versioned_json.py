"""Reading the JSON file of a folder that an earlier call left, which says its version.

Not here: writing it (`burstlens.analysis.core.atomic_write`).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from ...analysis.core.errors import BurstlensError

Kept = TypeVar("Kept")


def read_kept(
    path: Path, version: int, make: Callable[[dict[str, Any]], Kept], *, absent: str, wrong: str
) -> Kept:
    """What `make` makes of the JSON object in a file.

    BurstlensError where the file cannot be read or has another version, with `absent` where there is none,
    and with `wrong` and why where `make` or the JSON fails.
    """
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        if said["version"] != version:
            raise BurstlensError(f"{path}: has version {said['version']}, this burstlens reads {version}")
        return make(said)
    except FileNotFoundError:
        raise BurstlensError(absent) from None
    except OSError as fault:
        raise BurstlensError.unreadable(path, fault) from fault
    except (ValueError, KeyError, TypeError) as fault:
        raise BurstlensError(f"{path}: {wrong}: {fault}") from fault


def of_fields(kind: type[Kept], said: dict[str, Any]) -> Kept:
    """A dataclass from the values that it has fields for; TypeError where one is missing."""
    known = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    return kind(**{name: value for name, value in said.items() if name in known})
