"""Files that people write, checked against a typed model: an error names file and field and what is needed.

Not here: the models, and files that burstlens itself wrote (`versioned_json`).
"""

from __future__ import annotations

import json
import re
from typing import Any, TypeVar

import msgspec
from msgspec import inspect

from ...analysis.core.errors import InputError

Model = TypeVar("Model")

AT = re.compile(r"^(?P<why>.*?)(?: - at `\$\.?(?P<path>.*)`)?$", re.DOTALL)
ABSENT = re.compile(r"missing required field `(?P<key>.*)`")
UNKNOWN = re.compile(r"unknown field `(?P<key>.*)`")


def checked(
    kind: type[Model], content: object, name: str, *, field: str = "", table: str = "a JSON object"
) -> Model:
    """Convert plain values into a model.

    Parameters
    ----------
    kind
        The model, a `msgspec.Struct`.
    content
        Plain values, as a JSON or TOML parser returns them.
    name
        The file, with which messages begin.
    field
        The field of the file that `content` is, if it is a part of it.
    table
        What the format calls an object.

    Raises
    ------
    InputError
        A field is missing, unknown or of a wrong value; the message is one line.
    """
    try:
        return msgspec.convert(content, kind)
    except msgspec.ValidationError as fault:
        raise InputError(f"{name}: {_problem(fault, kind, content, field, table)}") from None


def _problem(fault: msgspec.ValidationError, kind: type, content: object, field: str, table: str) -> str:
    """The field and what is wrong with it."""
    parts = AT.match(str(fault))
    why, path = (parts["why"], parts["path"] or "") if parts else (str(fault), "")
    keys = [key for key in re.split(r"\.|\[|\]", path) if key]
    wanted, value = _at(inspect.type_info(kind), content, keys)
    # An element of a list is named by its list.
    fields = [key for key in (field, *keys) if key and not key.isdigit()]
    if absent := ABSENT.search(why):
        return f"{'.'.join([*fields, absent['key']])}: is missing"
    if unknown := UNKNOWN.search(why):
        known = ", ".join(each.encode_name for each in getattr(wanted, "fields", ()))
        return f"{'.'.join([*fields, unknown['key']])}: no such field; there are {known}"
    need = f"{_words(wanted, table)} is needed, not {brief(value)}"
    return f"{'.'.join(fields)}: {need}" if fields else need


def _at(kind: Any, value: Any, keys: list[str]) -> tuple[Any, Any]:
    """The type that a path leads to, and the value there."""
    for key in keys:
        if isinstance(kind, inspect.UnionType):
            kind = next(each for each in kind.types if not isinstance(each, inspect.NoneType))
        if isinstance(kind, inspect.StructType):
            kind = next(field.type for field in kind.fields if field.encode_name == key)
            value = value[key]
        else:
            kind, value = kind.item_type, value[int(key)]
    return kind, value


def _words(kind: Any, table: str) -> str:
    """What a type takes, in words."""
    if isinstance(kind, inspect.UnionType):
        types = [each for each in kind.types if not isinstance(each, inspect.NoneType)]
        return " or ".join(_words(each, table) for each in types)
    if isinstance(kind, inspect.IntType | inspect.FloatType):
        noun = "a whole number" if isinstance(kind, inspect.IntType) else "a number"
        if kind.gt is not None:
            return f"{noun} above {kind.gt:g}"
        return noun if kind.ge is None else f"{noun} of {kind.ge:g} or more"
    if isinstance(kind, inspect.LiteralType):
        return f"one of {', '.join(map(str, kind.values))}"
    if isinstance(kind, inspect.BoolType):
        return "true or false"
    if isinstance(kind, inspect.ListType):
        texts = isinstance(kind.item_type, inspect.StrType)
        return "a list of texts" if texts else "a list of numbers"
    return "a text" if isinstance(kind, inspect.StrType) else table


def brief(value: object) -> str:
    """Write a value as JSON, cut if it is long."""
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= 40 else f"{text[:39]}…"
