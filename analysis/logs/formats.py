"""Known log formats: one SQL file each; its first comments say what the log looks like.

The entry points `burstlens.formats` name them, so that another package adds one: the entry point's name is
the format's, its value is the package that has the file `NAME.sql`. Ours lie in `queries/sql/ingest/`. The
file is the SELECT that turns a log's own columns (`FROM log`) into those of a trace. Its comments declare
the rest:

- the first line is the title that messages use, and free text may follow;
- `-- reads: csv` (or jsonl, parquet, several);
- `-- column: Request tokens DOUBLE`: a column of the log and how it is read; `-- optional:` if it may lack.
  Types are DOUBLE, VARCHAR, BOOLEAN, INSTANT (ISO date and time, given to the SELECT as nanoseconds since
  1970 on the log's own clock), COUNT (a whole number, never negative), BLOCKS (a list of such) and UNUSED;
  `1..1440` is a range;
- `-- day0: 2023-11-01`: the date of second 0, if the format fixes it;
- `-- needs: model request_tokens`: trace columns that every row must have, besides arrival and service;
- `-- holds: session elapsed_s`: which of the optional trace columns (`prefix` is the third) the log has;
- `-- failures: …`: what counts as a failure, if the log says so; `-- spread: yes` for coarse counts.

A SELECT may use `$day0_ns` (midnight of day 0), `$service` (from the file's name), `$day_index` (day
number of the file) and `$behind_s` (what its instants are to be moved by). Not here: opening and running
(`burstlens.analysis.logs.sniff`, `burstlens.analysis.logs.load_duckdb`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib import resources

from ..core.registry import FORMATS, Plugin, load_all

KINDS = ("csv", "jsonl", "parquet")
TYPES = ("DOUBLE", "VARCHAR", "BOOLEAN", "INSTANT", "COUNT", "BLOCKS", "UNUSED")
DECLARATION = re.compile(r"^-- (reads|column|optional|day0|needs|holds|failures|spread): (.+)$", re.MULTILINE)


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

    def missing(self, header: Sequence[str]) -> list[str]:
        """Columns of the format that the header lacks."""
        there = {plain(name) for name in header}
        return [c.name for c in self.columns if not c.optional and plain(c.name) not in there]

    def unknown(self, header: Sequence[str]) -> list[str]:
        """Columns of the header that the format does not know."""
        known = {plain(c.name) for c in self.columns}
        return [name for name in header if plain(name) not in known]


def plain(name: str) -> str:
    """Write a column name as names are compared: without case and outer blanks."""
    return name.strip().casefold()


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
    )


def _each(column: str) -> list[str]:
    """The names of a declared column: its own, or a range of numbers."""
    span = re.fullmatch(r"(\d+)\.\.(\d+)", column)
    return [str(i) for i in range(int(span[1]), int(span[2]) + 1)] if span else [column]


def format_of_header(header: Sequence[str], kind: str) -> Format | None:
    """Find the format that knows most of a header's columns, among formats with all their columns present.

    Parameters
    ----------
    header : sequence of str
        Names of the log's columns.
    kind : str
        Kind of the file, one of `KINDS`.

    Returns
    -------
    Format or None
    """
    fitting = [f for f in formats().values() if kind in f.kinds and not f.missing(header)]
    return max(fitting, key=lambda f: (len(header) - len(f.unknown(header)), f.name), default=None)


def nearest_format(header: Sequence[str], kind: str) -> Format:
    """Find the format with columns nearest to a header's.

    Parameters
    ----------
    header : sequence of str
        Names of the log's columns.
    kind : str
        Kind of the file, one of `KINDS`; formats of other kinds only if none has it.

    Returns
    -------
    Format
    """
    same_kind = [f for f in formats().values() if kind in f.kinds and (f.name != "canonical")]
    candidates = same_kind or list(formats().values())

    def distance(format: Format) -> tuple[bool, int, int, str]:
        lacks, extra = format.missing(header), format.unknown(header)
        strange = len(extra) == len(header)
        differ = abs(len(format.columns) - len(header)) if strange else len(lacks) + len(extra)
        return strange, differ, len(lacks), format.name

    return min(candidates, key=distance)
