"""Reading the JSON file that an earlier call left in a folder: its version is checked, its values are typed.

Not here: writing it (`burstlens.analysis.core.atomic_write`), and the models (such as `models`).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from ...analysis.core.errors import DiskError, InputError

Model = TypeVar("Model")


def read_versioned_json(
    path: Path, version: int, make: Callable[[dict[str, Any]], Model], *, absent: str, wrong: str
) -> Model:
    """Read a JSON object and build a model from it.

    Parameters
    ----------
    path
        The file.
    version
        The version that this burstlens reads; the object's `version` must equal it.
    make
        Builds the model, such as `functools.partial(from_dict, Manifest)`.
    absent
        Message if the file does not exist.
    wrong
        What the file is not, for the message if its content is not valid.

    Returns
    -------
    Model
        What `make` returns.

    Raises
    ------
    BurstlensError
        If the file does not exist, cannot be read, has another version, or is not valid.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["version"] != version:
            raise InputError(f"{path}: has version {content['version']}, this burstlens reads {version}")
        return make(content)
    except FileNotFoundError:
        raise InputError(absent) from None
    except OSError as fault:
        raise DiskError.unreadable(path, fault) from fault
    except (ValueError, KeyError, TypeError, msgspec.MsgspecError) as fault:
        raise InputError(f"{path}: {wrong}: {fault}") from fault


def from_dict(kind: type[Model], content: dict[str, Any]) -> Model:
    """Build a msgspec struct or a dataclass from plain values; unknown keys are ignored.

    Parameters
    ----------
    kind
        The class.
    content
        Values by the names of the fields.

    Raises
    ------
    msgspec.ValidationError
        If a field is missing or has a value of another type.
    """
    # Not strict: files of earlier versions may hold 2.0 where the model has an integer.
    return msgspec.convert(content, kind, strict=False)


def to_dict(model: msgspec.Struct) -> dict[str, Any]:
    """Convert a struct and the structs in it to plain values; a field that is UNSET is left out."""
    content: dict[str, Any] = msgspec.to_builtins(model, enc_hook=_plain, str_keys=True)
    return content


def _plain(value: Any) -> Any:
    """What msgspec does not know: NumPy's numbers."""
    if hasattr(value, "item"):
        return value.item()
    raise TypeError(f"{type(value).__name__} is not a JSON value")
