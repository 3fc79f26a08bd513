"""What an unknown log probably means: its values with examples, the role of each, and the mapping to try.

Names and values are only looked at; what they mean is for the user to decide. Not here: reading with the
mapping (`mapped`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from ...core.errors import BurstlensError, path_text
from ...core.exhibit import Displayable, Exhibit
from ..files.sniff import LogFile
from ..values.conditions import SUCCESS_WORDS, Condition, decided
from ..values.numbers_text import number_of
from ..values.paths import Place, leaves, values_at
from ..values.stamps import stamp_form
from .mapped import LONGEST_USUAL_S, duration_unit
from .recognize import format_of_log

EXAMPLES = 3
EXAMPLE_CHARACTERS = 28
ROLES: tuple[tuple[str, str], ...] = (
    ("cached_tokens", r"cache.*(tok|read|input)|(tok|read|input).*cache"),
    ("reasoning_tokens", r"reason.*tok|thinking.*tok"),
    (
        "request_tokens",
        r"(prompt|input|context|request|prefill)\w*(tok|len|size|units|count)|usage\w*\.(input|prompt)$|tok\w*_?(in|prompt|input)$|^(tokens_)?in(put)?$|req_units|num_prefill",
    ),
    (
        "response_tokens",
        r"(completion|output|generat\w*|response|decode)\w*(tok|len|size|units|count)|usage\w*\.(output|completion)$|tok\w*_?(out|completion|output)$|^(tokens_)?out(put)?$|res_units|num_decode",
    ),
    ("ttft", r"ttft|first_?token|time_to_first"),
    (
        "elapsed",
        r"(^|[._])dur(_|$)|duration|latency|elapsed|took|(response|request|generation|total)_?time(_?(ms|s))?$|e2e",
    ),
    (
        "ended",
        r"(^|[._\]])(end|ended|finish|finished|complet\w*|response)(_?(time|at|timestamp|unix_?nano))?\]?$|end_?time",
    ),
    (
        "arrival",
        r"^(?!.*(response|complet|finish|(^|_)end)).*(time_?stamp|(^|[._])(ts|time|date|datetime|when|arriv\w*|start\w*|created\w*|received\w*|request_?(time|at)|begin)(_|$|\])|@timestamp|start_?time|created|request_(time|at))",
    ),
    ("session", r"session|conversation|thread|chat_?id|dialog"),
    (
        "client",
        r"(^|[._])(user|user_?id|end_?user|client|tenant|customer|api_?key\w*|team\w*|org\w*|account)([._]?(id|name))?\]?$",
    ),
    ("model", r"model"),
    ("service", r"(^|[._])(service|app|application|endpoint|route|operation)(_?name)?\]?$"),
    ("failed", r"status|success|error|fail|is_?ok|(^|[._])code$|http_?code|response_?code|outcome|state"),
    ("reason", r"reason"),
    ("images", r"images?$|num_?images"),
    ("prefix", r"hash_?ids|block_?hash"),
)
"""Trace columns and patterns of names that suggest them; an earlier one wins."""
STAMP_ROLES = ("arrival", "ended")
NUMBER_ROLES = (
    "request_tokens",
    "response_tokens",
    "cached_tokens",
    "reasoning_tokens",
    "elapsed",
    "ttft",
    "images",
)


@dataclass(frozen=True)
class Found:
    """A value of a log: where it lies, examples, and the trace column that it may be."""

    place: str
    kind: str
    """`number`, `text`, `true/false`, `time`, `list`, or `empty`"""
    examples: tuple[str, ...]
    filled: float
    """share of the first rows that have it"""
    role: str | None


@dataclass(frozen=True)
class ColumnsResult(Displayable):
    """What `columns` found in a log, and the command that reads it."""

    log: str
    """name of the file"""
    format: str | None
    """title of the known format that it has"""
    rows: int
    """rows of the head that were looked at"""
    found: tuple[Found, ...]
    mapping: dict[str, str]
    """the proposed `columns`"""
    command: str
    notes: tuple[str, ...] = field(default=())

    def lines(self) -> list[str]:
        """What to tell a person, without the table."""
        if self.format is not None:
            return [f"{self.log} is a {self.format} log: no mapping is needed", *self.notes, "", self.command]
        if not self.mapping:
            return [f"{self.log}: no value looks like a time", *self.notes]
        return [*self.notes, "a mapping to try; check each role before you rely on it:", "", self.command]

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for `--json`."""
        return {
            "log": self.log,
            "format": self.format,
            "rows": self.rows,
            "columns": [
                {
                    "place": f.place,
                    "kind": f.kind,
                    "examples": list(f.examples),
                    "filled": f.filled,
                    "role": f.role,
                }
                for f in self.found
            ],
            "mapping": self.mapping,
            "command": self.command,
        }

    def exhibit(self) -> Exhibit:
        """The values, one row each, and the mapping."""
        table = pl.DataFrame(
            [(f.place, f.kind, f.filled, " · ".join(f.examples), f.role) for f in self.found],
            schema={
                "place": pl.String, "kind": pl.String, "filled": pl.Float64, "examples": pl.String,
                "role": pl.String,
            },
            orient="row",
        )  # fmt: skip
        return Exhibit(self.log, (), self.lines(), {"columns": table})

    def toml(self) -> str:
        """The mapping as a file for `mapping`."""
        lines = [f"# mapping of {self.log}; check each role", "[columns]"]
        return "\n".join(
            [*lines, *(f"{key} = {json.dumps(value)}" for key, value in self.mapping.items()), ""]
        )


def propose(log: LogFile) -> ColumnsResult:
    """Look at the first rows of a log and propose a mapping of its columns.

    Parameters
    ----------
    log : LogFile

    Returns
    -------
    ColumnsResult
    """
    title = None
    notes = list(log.notes)
    try:
        format = format_of_log(log)
        title = format.title if format is not None else None
        if format is not None and format.refusal is not None:
            notes.append(format.refusal)
    except BurstlensError as fault:
        notes.append(str(fault))
    places = leaves(log.sample)
    kinds = {place: _kind(log, place) for place in places}
    roles = _roles(log, places, kinds)
    by_place = {place: role for role, place in roles.items()}
    found = tuple(
        Found(
            str(place),
            kinds[place],
            _examples(values_at(log, place)),
            len(values_at(log, place)) / max(1, len(log.sample)),
            by_place.get(place),
        )
        for place in places
    )
    mapping = {} if title is not None else _mapping(log, roles)
    return ColumnsResult(
        log.path.name, title, len(log.sample), found, mapping, _command(log, mapping), tuple(notes)
    )


def _kind(log: LogFile, place: Place) -> str:
    """What a value is, by its first rows."""
    values = [value for value in values_at(log, place) if str(value).strip()]
    if not values:
        return "empty"
    if all(isinstance(value, bool) for value in values):
        return "true/false"
    if all(isinstance(value, list) for value in values):
        return "list"
    if all(number_of(str(value), log.decimal) is not None for value in values):
        return "number"
    try:
        return "time" if stamp_form(values, None, str(place)).clock == "instant" else "text"
    except BurstlensError:
        return "text"


def _roles(log: LogFile, places: Sequence[Place], kinds: dict[Place, str]) -> dict[str, Place]:
    """The place that each trace column is probably in: the first by name whose values can be it."""
    roles: dict[str, Place] = {}
    for role, pattern in ROLES:
        for place in places:
            if place in roles.values() or role in roles or not re.search(pattern, str(place), re.IGNORECASE):
                continue
            if _can_be(log, role, place, kinds[place]):
                roles[role] = place
    if "arrival" not in roles:
        times = [place for place in places if kinds[place] == "time" and place not in roles.values()]
        if times:
            roles["arrival"] = times[0]
    return roles


def _can_be(log: LogFile, role: str, place: Place, kind: str) -> bool:
    """Whether the values at a place can be that trace column."""
    values = values_at(log, place)
    if role in STAMP_ROLES:
        return kind == "time" or (kind == "number" and _is_epoch_or_rising(values))
    if role in NUMBER_ROLES:
        return kind == "number" or (role in ("elapsed", "ttft") and _are_durations(values))
    if role == "prefix":
        return kind == "list"
    if role in ("failed", "reason"):
        return kind != "list"
    return kind in ("text", "number", "empty") and kind != "empty"


def _is_epoch_or_rising(values: Sequence[Any]) -> bool:
    numbers = [float(value) for value in values if str(value).strip()]
    return bool(numbers) and (min(numbers) >= 9e8 or (numbers == sorted(numbers) and len(set(numbers)) > 1))


def _are_durations(values: Sequence[Any]) -> bool:
    return bool(values) and all(number_of(str(value), unit="s") is not None for value in values)


def _mapping(log: LogFile, roles: dict[str, Place]) -> dict[str, str]:
    """The mapping, with a rule for failures that fits the values."""
    if "arrival" not in roles and not {"ended", "elapsed"} <= set(roles):
        return {}
    mapping: dict[str, str] = {}
    order = ("arrival", "ended", "elapsed", "ttft", "request_tokens", "response_tokens", "cached_tokens",
             "reasoning_tokens", "model", "service", "session", "client", "failed", "reason", "images",
             "prefix")  # fmt: skip
    for role in order:
        if role not in roles or (role == "ended" and "arrival" in roles and "elapsed" in roles):
            continue
        place = str(roles[role])
        if role == "failed":
            rule = _failure_rule(log, roles[role])
            if rule is not None:
                mapping["failed"] = rule
        elif role in ("elapsed", "ttft") and (unit := _duration_unit(log, roles[role])) != "s":
            mapping[f"{role}_{unit}"] = place
        else:
            mapping[role] = place
    return mapping


def _duration_unit(log: LogFile, place: Place) -> str:
    """The unit of a column of durations: what its name says, or milliseconds where seconds are too long."""
    named = {1.0: "s", 1e-3: "ms", 1e-6: "us", 1e-9: "ns"}[duration_unit(str(place))]
    numbers = [number for value in values_at(log, place) if (number := number_of(str(value))) is not None]
    if named == "s" and numbers and sorted(numbers)[len(numbers) // 2] > LONGEST_USUAL_S:
        return "ms"
    return named


def _failure_rule(log: LogFile, place: Place) -> str | None:
    """A rule that covers the first rows' values."""
    values = [None if value is None else str(value) for value in (values_at(log, place) or [None])]
    texts = {text.strip() for text in values if text and text.strip()}
    name = str(place)
    try:
        decided(Condition(name, ""), [*values, *([None] if len(values) < len(log.sample) else [])], "failed")
    except BurstlensError:
        if texts and all(text.replace(".", "").isdigit() for text in texts):
            return f"{name}>=400"
        good = next((text for text in sorted(texts) if text.casefold() in SUCCESS_WORDS), None)
        return f"{name}!={good}" if good else None
    return f"!{name}" if re.search(r"success|is_?ok", name, re.IGNORECASE) and texts else name


def _command(log: LogFile, mapping: dict[str, str]) -> str:
    """The command line that reads the log."""
    place = path_text(log.path) if log.database is None else log.database.typed
    if not mapping:
        return f"burstlens report {place}"
    words = ",".join(f"{key}={value}" for key, value in mapping.items())
    quoted = f"'{words}'" if re.search(r"[^\w.,=@/:+-]", words) else words
    return f"burstlens report {place} --columns {quoted}"


def _examples(values: Sequence[Any]) -> tuple[str, ...]:
    """A few different values, cut short."""
    texts: dict[str, None] = {}
    for value in values:
        text = value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
        text = " ".join(text.split())
        texts[text if len(text) <= EXAMPLE_CHARACTERS else text[: EXAMPLE_CHARACTERS - 1] + "…"] = None
        if len(texts) == EXAMPLES:
            break
    return tuple(texts)
