"""How objects lie in the lines of a log: alone, after other text, or as text in a key of an envelope.

Docker, Kubernetes, CloudWatch and journald wrap what a program writes. Each way is written twice, for DuckDB
(`object_sql`) and for this process (`object_in`); both give the same objects. Not here: JSON that is not in
lines (`burstlens.analysis.logs.files.json_documents`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

OBJECT = r'\{\s*["}].*\}'
"""An object in a line, up to the last brace."""
PARTIAL = r"^\S+ (stdout|stderr) P "
"""A line of Kubernetes that holds a part of a line only."""
STAMP = r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?: ?(?:Z|[+-]\d\d:?\d\d))?"
STAMP_BEFORE = rf"^[^{{]*?({STAMP})"
STAMP_KEY = "line_stamp"
"""The key under which the date and time before an object is given."""

ENVELOPES = ("log", "message", "MESSAGE", "msg", "textPayload", "line", "_raw", "@message", "body")
"""Keys in which log collectors keep a program's line as text."""
OF_A_REQUEST = re.compile(r"token|usage|input_length", re.IGNORECASE)
OF_A_CHAT = frozenset(("role", "content", "type", "text", "name", "tool_calls"))
WRAPPED_SHARE = 0.2
"""So many of the lines with an object must be wrapped for the log to be read so."""


def parsed(text: str) -> Any:
    """The value of a JSON text; None if it is not JSON, or too deep or too long to be read here."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def is_json(text: str) -> bool:
    """Whether a text is JSON of any kind."""
    return parsed(text) is not None or text.strip() == "null"


def _is_object(line: str) -> str:
    return f"(json_valid({line}) AND starts_with(ltrim({line}), '{{'))"


def object_sql(wrap: str, line: str) -> str:
    """Write SQL for the JSON text of the object in a line.

    Parameters
    ----------
    wrap : str
        How objects lie in the lines: `""` alone; `text` after other text; `stamped` after text with a date
        and time, which is added as `line_stamp`; `key:NAME` as text in that key, the envelope's keys being
        added.
    line : str
        SQL expression of the line.

    Returns
    -------
    str
        NULL where the line has no object. With `""`, any JSON value is passed on.

    Examples
    --------
    >>> object_sql("", "line")
    'CASE WHEN json_valid(line) THEN line END'
    """
    if not wrap:
        return f"CASE WHEN json_valid({line}) THEN {line} END"
    if wrap.startswith("key:"):
        inner = object_sql("text", f"json_extract_string({line}, '$.\"{wrap[4:]}\"')")
        both = f"{_open(inner)} || ',' || substr(ltrim({line}), 2)"
        return f"CASE WHEN {_is_object(line)} THEN CASE WHEN json_keys({inner}) <> [] THEN {both} END END"
    text = f"regexp_extract({line}, '{OBJECT}', 0, 's')"
    found = (
        f"CASE WHEN {_is_object(line)} THEN {line} "
        f"WHEN regexp_matches({line}, '{PARTIAL}') THEN NULL "
        f"WHEN json_valid({text}) THEN {text} END"
    )
    if wrap == "text":
        return found
    stamp = f"regexp_extract({line}, '{STAMP_BEFORE}', 1)"
    return (
        f"CASE WHEN {stamp} <> '' AND json_keys({found}) <> [] "
        f"THEN {_open(found)} || ',\"{STAMP_KEY}\":\"' || {stamp} || '\"}}' ELSE {found} END"
    )


def _open(value: str) -> str:
    """The text of an object without its last brace."""
    trimmed = f"rtrim({value}, ' ' || chr(9) || chr(10) || chr(13))"
    return f"substr({trimmed}, 1, length({trimmed}) - 1)"


def object_in(wrap: str, line: str) -> dict[str, Any] | None:
    """The object in a line, as `object_sql` finds it.

    Parameters
    ----------
    wrap : str
    line : str

    Returns
    -------
    dict or None
        None if the line has no object.

    Examples
    --------
    >>> object_in("text", '2026-03-02 INFO {"in": 3},')
    {'in': 3}
    """
    if not wrap:
        value = parsed(line)
        return value if isinstance(value, dict) else None
    if wrap.startswith("key:"):
        outer = parsed(line)
        text = outer.get(wrap[4:]) if isinstance(outer, dict) else None
        inner = object_in("text", text) if isinstance(text, str) else None
        return {**inner, **{k: v for k, v in outer.items() if k not in inner}} if inner else None
    found = parsed(line) if line.lstrip()[:1] == "{" else None
    if not isinstance(found, dict):
        match = None if re.match(PARTIAL, line) else re.search(OBJECT, line, re.DOTALL)
        found = parsed(match[0]) if match else None
    if not isinstance(found, dict):
        return None
    stamp = re.match(STAMP_BEFORE, line) if wrap == "stamped" else None
    return {**found, STAMP_KEY: stamp[1], **found} if stamp and found else found


def wrap_of(lines: Sequence[str]) -> tuple[str, list[dict[str, Any]]]:
    """Tell how objects lie in the lines of a log.

    Parameters
    ----------
    lines : sequence of str
        The first lines that are not blank.

    Returns
    -------
    wrap : str
        As `object_sql` takes it.
    rows : list of dict
        The objects of the lines that have one.
    """
    alone = [row for line in lines if (row := object_in("", line)) is not None]
    if len(alone) < len(lines):
        text = [row for line in lines if (row := object_in("text", line)) is not None]
        if len(text) - len(alone) > WRAPPED_SHARE * len(text):
            stamped = [row for line in lines if (row := object_in("stamped", line)) is not None]
            if sum(STAMP_KEY in row for row in stamped) > 0.9 * len(stamped):
                return "stamped", stamped
            return "text", text
    key = _envelope(alone)
    if key is None:
        return "", alone
    wrap = f"key:{key}"
    return wrap, [row for line in lines if (row := object_in(wrap, line)) is not None]


def _envelope(rows: Sequence[dict[str, Any]]) -> str | None:
    """The key that holds a program's line as text, in objects that are no requests themselves."""
    for key in ENVELOPES:
        texts = [row[key] for row in rows if isinstance(row.get(key), str)]
        inner = [row for text in texts if "{" in text and (row := object_in("text", text))]
        found = [row for row in inner if len(row) > 1 and not OF_A_CHAT.issuperset(row)]
        requests = any(OF_A_REQUEST.search(name) for row in rows for name in row)
        if found and len(found) > WRAPPED_SHARE * len(texts) and not requests:
            return key
    return None
