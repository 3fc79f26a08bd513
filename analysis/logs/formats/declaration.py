"""Known log formats: one SQL file each; its first comments say what the log looks like.

The entry points `burstlens.formats` name them, so that another package adds one: the entry point's name is
the format's, its value is the package that has the file `NAME.sql`. Ours lie in `queries/sql/ingest/`. The
file is the SELECT that turns a log's own columns (`FROM log`) into those of a trace. Its comments declare
the rest:

- the first line is the title that messages use, and free text may follow;
- `-- reads: csv` (or jsonl, parquet, several);
- `-- column: Request tokens DOUBLE`: a column of the log and how it is read; `-- optional:` if it may lack.
  The column may be a path into nested values, `usage.prompt_tokens` (see `paths`); `1..1440` is a range.
  Types are DOUBLE, TOKENS (a number that counts, so `1,234` is whole), DURATION (seconds, or text as `1.5s`),
  VARCHAR, BOOLEAN, COUNT (a whole number, never negative), BLOCKS (a list of numbers or of names of blocks),
  JSON (the value's JSON text), UNUSED, and two kinds of stamps. INSTANT is a date and time, given to the
  SELECT as nanoseconds since 1970. STAMP, STAMP_S, STAMP_MS, STAMP_US and STAMP_NS are given as seconds on
  the trace's clock, from a date and time in any form, from a number since 1970, or a number of that unit;
- `-- not: chat_id turn`: a log that has one of these columns is of another format;
- `-- like: event ^request`: some of the log's first rows have a value there that matches; `line` is the raw
  line of a text file;
- `-- day0: 2023-11-01`: the date of second 0, where the format fixes it;
- `-- needs: model request_tokens`: trace columns that every row must have, beside arrival and service; a
  failed request may lack tokens;
- `-- holds: session elapsed_s`: which of the optional trace columns (`OPTIONAL`) the SELECT returns;
- `-- failures: …`: what counts as a failure, if the log says so; `-- spread: yes` for coarse counts;
- `-- block_tokens: 512`: tokens of a block of `prefix`, or the path at which a row says them;
- `-- arrival: …`: which instant the arrival is;
- `-- refuse: …`: what to do about a log that can be recognized and not be read.

A SELECT may use `$day0_ns` (midnight of day 0), `$service` (from the file's name), `$day_index` (day
number of the file) and `$behind_s` (what its instants are to be moved by). One that leaves rows out or makes
several of one takes `line_no` along, the number of the row. Not here: opening and running
(`burstlens.analysis.logs.files.sniff`, `burstlens.analysis.logs.load_duckdb`), finding the format of a log
(`burstlens.analysis.logs.formats.recognize`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib import resources

from ...core.registry import FORMATS, Plugin, load_all

KINDS = ("csv", "jsonl", "parquet", "text")
OPTIONAL = (
    "session",
    "elapsed_s",
    "client",
    "cached_tokens",
    "reasoning_tokens",
    "ttft_s",
    "reason",
    "images",
    "prefix",
)
"""Columns of a trace that a log may lack."""
STAMPS_S = {"STAMP": 1.0, "STAMP_S": 1.0, "STAMP_MS": 1e-3, "STAMP_US": 1e-6, "STAMP_NS": 1e-9}
"""Types of stamps, and the unit in seconds of those that are plain numbers."""
TYPES = (
    "DOUBLE",
    "TOKENS",
    "VARCHAR",
    "BOOLEAN",
    "INSTANT",
    *STAMPS_S,
    "DURATION",
    "COUNT",
    "BLOCKS",
    "JSON",
    "UNUSED",
)
DECLARATION = re.compile(
    r"^-- (reads|column|optional|not|like|day0|needs|holds|failures|spread|block_tokens|arrival|refuse)"
    r": (.+)$",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Column:
    """A column of a log: its name there, how it is read, whether a log of the format may lack it."""

    name: str
    type: str
    optional: bool = False


@dataclass(frozen=True)
class Format:
    """What is known of a log format; see the module's text for the meaning of each field."""

    name: str
    title: str
    sql: str
    """the SELECT, without the comments"""
    kinds: tuple[str, ...]
    columns: tuple[Column, ...]
    day0: date | None
    needs: tuple[str, ...]
    holds: tuple[str, ...]
    failures: str | None
    spread: bool
    excludes: tuple[str, ...] = ()
    likes: tuple[tuple[str, str], ...] = ()
    """columns, and the pattern that a value of each matches"""
    block_tokens: int | None = None
    block_tokens_at: str | None = None
    """the path at which each row says it, instead"""
    arrival: str | None = None
    refusal: str | None = None

    @property
    def has_line_no(self) -> bool:
        """Whether its rows are not those of the log, one for one."""
        return re.search(r"\bline_no\b", self.sql) is not None


@cache
def formats() -> dict[str, Format]:
    """Every known format by name; a faulty one of another package is left out with a warning."""
    return load_all(FORMATS, _load)


def _load(plugin: Plugin) -> Format:
    with plugin.guard():
        sql = resources.files(plugin.value).joinpath(f"{plugin.name}.sql").read_text(encoding="utf-8")
        format = parse_format(plugin.name, sql)
    if not format.kinds or not set(format.kinds) <= set(KINDS):
        raise plugin.fault(f"{plugin.name}.sql has to declare `-- reads:` with {', '.join(KINDS)}")
    if wrong := [column for column in format.columns if column.type not in TYPES]:
        known = ", ".join(TYPES)
        raise plugin.fault(f"{plugin.name}.sql reads {wrong[0].name!r} as {wrong[0].type}; types are {known}")
    return format


def parse_format(name: str, sql: str) -> Format:
    """Read the format that the comments of its SQL file declare.

    Parameters
    ----------
    name : str
        Of the format.
    sql : str
        Text of the file.

    Returns
    -------
    Format
    """
    declarations: dict[str, list[str]] = {}
    columns: list[Column] = []
    for key, value in DECLARATION.findall(sql):
        if key in ("column", "optional"):
            column, kind = value.strip().rsplit(" ", 1)
            columns.extend(Column(each, kind, key == "optional") for each in _each(column))
        else:
            declarations.setdefault(key, []).append(value.strip())

    blocks = declarations["block_tokens"][0] if "block_tokens" in declarations else None

    def words(key: str) -> tuple[str, ...]:
        return tuple(" ".join(declarations.get(key, [])).split())

    return Format(
        name=name,
        title=sql.partition("\n")[0].removeprefix("--").strip(),
        sql=re.sub(r"^\s*--.*\n", "", sql, flags=re.MULTILINE),
        kinds=words("reads"),
        columns=tuple(columns),
        day0=date.fromisoformat(declarations["day0"][0]) if "day0" in declarations else None,
        needs=words("needs"),
        holds=words("holds"),
        failures=" ".join(declarations["failures"]) if "failures" in declarations else None,
        spread="spread" in declarations,
        excludes=words("not"),
        likes=tuple(_like(text) for text in declarations.get("like", [])),
        block_tokens=int(blocks) if blocks is not None and blocks.isdigit() else None,
        block_tokens_at=blocks if blocks is not None and not blocks.isdigit() else None,
        arrival=" ".join(declarations["arrival"]) if "arrival" in declarations else None,
        refusal=" ".join(declarations["refuse"]) if "refuse" in declarations else None,
    )


def _like(text: str) -> tuple[str, str]:
    """A column and a pattern."""
    column, _, pattern = text.partition(" ")
    return column, pattern.strip()


def _each(column: str) -> list[str]:
    """The names of a declared column: its own, or a range of numbers."""
    span = re.fullmatch(r"(\d+)\.\.(\d+)", column)
    return [str(i) for i in range(int(span[1]), int(span[2]) + 1)] if span else [column]
