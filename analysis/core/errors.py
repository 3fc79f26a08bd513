"""Errors that a caller can catch, each with one line of text: what is wrong, where, and what to do.

`BurstlensError` is the base of all of them: `InputError`, `EndpointError`, `DiskError`, `MissingExtraError`.
Constructors build the text from what is known, so that one situation reads the same wherever it arises. The
text names options as parameters of Python (`option_names.option`); the command line shows them as flags. Not
here: bad rows of a log, which are data (`burstlens.analysis.logs.rejects`), and bugs, which are exceptions of
other classes.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Self

from .option_names import OptionValue, in_python, in_words, option
from .units import counted


class BurstlensError(Exception):
    """Something that the user can put right.

    Attributes
    ----------
    where : str or None
        The file, URL or trace that is meant.
    problem : str or None
        What is wrong, for an error that does not name the file yet.
    line : int or None
        Line of that file, from 1.
    column : str or None
        Column or key of that file.
    parameter : str or None
        Name of the parameter that is wrong.
    remedy : str or None
        What to do about it.
    """

    where: str | None = None
    problem: str | None = None
    line: int | None = None
    column: str | None = None
    parameter: str | None = None
    remedy: str | None = None

    def __str__(self) -> str:
        return in_python(super().__str__())

    @property
    def marked_text(self) -> str:
        """The text with its options still marked, to build another error from."""
        return super().__str__()

    def in_words(self, name_of: Callable[[str, OptionValue | None], str]) -> str:
        """The text with each option that `option` marked as `name_of(parameter, value)` names it."""
        return in_words(super().__str__(), name_of)

    @classmethod
    def at(
        cls,
        where: Path | str,
        problem: str,
        *,
        line: int | None = None,
        column: str | None = None,
        remedy: str | None = None,
    ) -> Self:
        """Something is wrong with a file, a URL or a trace.

        Parameters
        ----------
        where : Path or str
        problem : str
            What is wrong, without a subject.
        line : int, optional
        column : str, optional
        remedy : str, optional
            What to do.

        Examples
        --------
        >>> str(InputError.at("log.csv", "is empty", line=3, remedy="get it again"))
        'log.csv:3: is empty; get it again'
        """
        place = _one_line(str(where)) + ("" if line is None else f":{line}")
        if column is not None:
            place += f", column {_name_list([column])}"
        error = cls(f"{place}: {problem}" + ("" if remedy is None else f"; {remedy}"))
        error.where, error.line, error.column, error.remedy = _one_line(str(where)), line, column, remedy
        return error


class InputError(BurstlensError):
    """A log, a parameter file, a run folder or an option that burstlens cannot use."""

    @classmethod
    def of_option(
        cls, name: str, problem: str, *, value: OptionValue | None = None, remedy: str | None = None
    ) -> Self:
        """An option has a value that makes no sense, or does not go with the others.

        Parameters
        ----------
        name : str
            Of the parameter in Python.
        problem : str
            What is wrong.
        value : optional
            What the user gave, to be shown.
        remedy : str, optional
            What to do.

        Examples
        --------
        >>> str(InputError.of_option("seeds", "0 is not above 0"))
        'seeds: 0 is not above 0'
        """
        error = cls(f"{option(name, value)}: {problem}" + ("" if remedy is None else f"; {remedy}"))
        error.parameter, error.remedy = name, remedy
        return error

    @classmethod
    def unknown(cls, where: Path | str, what: str, name: str, known: Sequence[str], limit: int = 12) -> Self:
        """A name that does not exist, with those that do.

        Parameters
        ----------
        where : Path or str
        what : str
            Kind of the name, such as `service`.
        name : str
        known : sequence of str
            Names that exist.
        limit : int
            List at most this number of them.

        Examples
        --------
        >>> str(InputError.unknown("log.csv", "service", "chat", ["api", "conversation"]))
        "log.csv: no service 'chat'; there are: api, conversation"
        """
        listed = ", ".join(known[:limit]) or "none"
        return cls.at(where, f"no {what} {name!r}", remedy=f"there are: {listed}")

    @classmethod
    def unknown_value(cls, parameter: str, what: str, name: str, known: Sequence[str]) -> Self:
        """An option names something that does not exist; the nearest name comes first.

        Parameters
        ----------
        parameter : str
            Of the option in Python.
        what : str
            Kind of the name, such as `format`.
        name : str
        known : sequence of str
            Names that exist.

        Examples
        --------
        >>> str(InputError.unknown_value("format", "format", "vlm", ["azure", "vllm"]))
        "format: no format 'vlm'; did you mean 'vllm'? There are: azure, vllm"
        """
        there = f"here are: {', '.join(known)}"
        close = nearest(name, known)
        remedy = f"t{there}" if close is None else f"did you mean {close!r}? T{there}"
        return cls.of_option(parameter, f"no {what} {name!r}", remedy=remedy)

    @classmethod
    def missing_file(cls, path: Path) -> Self:
        """The path does not exist."""
        return cls.at(path, "no such file")

    @classmethod
    def directory(cls, path: Path) -> Self:
        """The path is a folder, not a log."""
        return cls.at(path, "is a folder", remedy="name the log files in it, several make one trace")

    @classmethod
    def no_file(cls, path: Path) -> Self:
        """The path is a pipe or a device, which can be read only once."""
        return cls.at(path, "is a pipe or a device", remedy="a log is read more than once, save it to a file")

    @classmethod
    def empty(cls, path: Path) -> Self:
        """The file has no bytes, not even a header."""
        return cls.at(path, "is empty")

    @classmethod
    def no_rows(cls, path: Path) -> Self:
        """The file has a header but no rows."""
        return cls.at(path, "has a header but no rows")

    @classmethod
    def no_logs(cls) -> Self:
        """The list of files is empty."""
        return cls("no log given: name at least one file")

    @classmethod
    def binary(cls, path: Path) -> Self:
        """The file is not text, and not a compression or Parquet that burstlens reads."""
        return cls.at(
            path,
            "is a binary file",
            remedy="a log is CSV, JSON or Parquet, plain or as .gz, .zst, .bz2, .xz or .zip",
        )

    @classmethod
    def unknown_encoding(cls, path: Path) -> Self:
        """Most lines of the file are not UTF-8, and nothing tells what they are."""
        return cls.at(
            path,
            "most lines are not UTF-8",
            remedy=f"say their encoding, as in {option('encoding', 'cp1251')}",
        )

    @classmethod
    def plain_text(cls, path: Path) -> Self:
        """The file is text whose lines are neither rows of CSV nor hold JSON."""
        return cls.at(
            path,
            "is plain text: its lines are no rows of CSV and hold no JSON",
            remedy="have the server write an access log as JSON lines or CSV",
        )

    @classmethod
    def broken_json(cls, path: Path, reason: str, line: int, column: int) -> Self:
        """A JSON array or document cannot be parsed at a place."""
        return cls.at(
            path,
            f"is broken JSON at character {column}: {_one_line(reason)}",
            line=line,
            remedy="get it again",
        )

    @classmethod
    def two_lists(cls, path: Path, first: str, second: str) -> Self:
        """A JSON document has two lists of objects."""
        return cls.at(
            path,
            f"the JSON document has two lists of objects, {_name_list([first, second])}",
            remedy=f"choose one: jq -c '.{first}[]' {path_text(path)} > log.jsonl",
        )

    @classmethod
    def needs_copy(cls, path: Path, what: str) -> Self:
        """The file is converted before it is read, and there is no place for it."""
        return cls.at(
            path,
            f"is {what}, which is converted before it is read: on this machine only",
            remedy="first make a trace of it: burstlens ingest LOG -o trace.parquet",
        )

    @classmethod
    def no_header(cls, path: Path, row: Sequence[str]) -> Self:
        """The first line of a CSV file holds values instead of names."""
        names = ",".join(f"column{i + 1}" for i in range(min(len(row), 8))) + ("," if len(row) > 8 else "")
        named = path_text(path.with_name(f"named-{path.name.partition('.')[0]}.csv"))
        return cls.at(
            path,
            "the first line looks like a row",
            remedy=f"put the column names above it: (echo {names}; cat {path_text(path)}) > {named}",
        )

    @classmethod
    def two_delimiters(cls, path: Path, marks: Sequence[str], columns: int) -> Self:
        """Two delimiters cut the rows of a CSV file alike."""
        return cls.at(
            path,
            f"{' and '.join(marks)} both give {columns} columns",
            remedy=f"say which separates them: {option('delimiter', ',')} or {option('delimiter', ';')}",
        )

    @classmethod
    def two_decimals(cls, path: Path, column: str, cell: str) -> Self:
        """A comma in numbers is either a decimal mark or separates thousands."""
        return cls.at(
            path,
            f"the comma in {_one_line(cell)} marks a fraction or thousands",
            column=column,
            remedy=f"say {option('decimal', ',')} for a fraction or {option('decimal', '.')} for thousands",
        )

    @classmethod
    def parameter_file(cls, path: Path) -> Self:
        """The file has fitted parameters where a log is needed."""
        return cls.at(
            path,
            "is a parameter file, not a log",
            remedy="replay, export, compare, experiment and disaggregate take it",
        )

    @classmethod
    def damaged(cls, path: Path, kind: str) -> Self:
        """A compressed or Parquet file ends early, or does not have the format that its first bytes name."""
        return cls.at(path, f"damaged or cut short, its {kind} data is not complete", remedy="get it again")

    @classmethod
    def unwritable(cls, path: Path, why: str, *, remedy: str | None = None) -> Self:
        """The path is not one to write to."""
        return cls.at(path, f"cannot be written: {why}", remedy=remedy)

    @classmethod
    def unparsable(cls, path: Path, why: str) -> Self:
        """The engine could not parse the file at all."""
        return cls.at(path, f"cannot be parsed: {_one_line(why)}")

    @classmethod
    def only_failures(cls, path: Path, failed: int, rejected: int, first: str) -> Self:
        """Nothing of a log is left but requests that failed: its answered requests were read wrongly."""
        return cls.at(
            path,
            f"all rows but {counted(failed, 'failed request')} are rejected, {rejected:,}; first, "
            f"{_one_line(first)}",
        )

    @classmethod
    def unknown_header(
        cls,
        path: Path,
        kind: str,
        header: Sequence[str],
        nearest: str,
        lacks: Sequence[str],
        extra: Sequence[str],
    ) -> Self:
        """No known format has these columns (or, in JSON, these keys).

        Parameters
        ----------
        path : Path
        kind : str
            Kind of the file: `csv`, `jsonl` or `parquet`.
        header : sequence of str
            Its columns.
        nearest : str
            Title of the format that differs least.
        lacks, extra : sequence of str
            Columns that this format has and the header does not, and the other way round.
        """
        if kind == "csv" and any(_is_number(name) for name in header):
            return cls.at(path, "the first line looks like a row", remedy="put the column names above it")
        differences = []
        if lacks:
            differences.append(f"lacks {_name_list(lacks)}")
        if extra:
            differences.append(f"has {_name_list(extra)}")
        word = "keys" if kind == "jsonl" else "header"
        return cls.at(
            path,
            f"unknown {word}; nearest known format is {nearest}, but this one {' and '.join(differences)}",
            remedy=f"see how to read it: burstlens columns {path_text(path)}",
        )

    @classmethod
    def unknown_mapping(cls, names: Iterable[str], known: Sequence[str]) -> Self:
        """`columns` maps to a trace column that does not exist."""
        return cls.of_option(
            "columns", f"no trace column {_name_list(sorted(names))}", remedy=f"there are {', '.join(known)}"
        )

    @classmethod
    def doubled_mapping(cls, column: str, keys: Sequence[str]) -> Self:
        """`columns` maps two columns of the log to one of the trace."""
        return cls.of_option("columns", f"{' and '.join(keys)} both give {column}", remedy="keep one")

    @classmethod
    def no_arrival(cls) -> Self:
        """`columns` does not map the one column that every trace has."""
        return cls.of_option(
            "columns",
            "no arrival",
            remedy="name its column, as in arrival=timestamp or arrival_ms=ts",
        )

    @classmethod
    def absent_columns(cls, path: Path, names: Sequence[str], header: Sequence[str]) -> Self:
        """`columns` names a column that the log does not have."""
        return cls.at(
            path, f"{option('columns')} names {_name_list(names)}, but the log has {_name_list(header)}"
        )

    @classmethod
    def repeated_columns(cls, path: Path, names: Sequence[str]) -> Self:
        """The header names a column twice, so that it is not clear which one is meant."""
        return cls.at(
            path,
            f"the header has {_name_list(names)} more than once",
            remedy="give each column a name of its own in the first line",
        )

    @classmethod
    def all_rejected(cls, name: str, rejected: int, first: str) -> Self:
        """Not one row of the log can be used."""
        return cls.at(name, f"none of its {counted(rejected, 'row')} can be used; first, {_one_line(first)}")

    @classmethod
    def strict(cls, first: str) -> Self:
        """A row cannot be used, and `strict` makes that an error."""
        return cls(f"{_one_line(first)} ({option('strict', True)} stops here)")

    @classmethod
    def too_many_streams(cls, name: str, limit: int) -> Self:
        """A column of single values was taken for the service or the model."""
        return cls.at(
            name,
            f"more than {limit:,} pairs of service and model",
            remedy="perhaps one of the two columns has a different value in every row",
        )

    @classmethod
    def foreign_trace(cls, path: Path, why: str) -> Self:
        """A Parquet file has burstlens metadata, but its metadata or columns are not those of a trace."""
        return cls.at(path, f"not a trace of this version: {_one_line(why)}", remedy="ingest its log again")

    @classmethod
    def mixed_clocks(cls, dated: str, undated: str) -> Self:
        """Logs with dates and logs with bare seconds cannot be one trace."""
        return cls(
            f"{_one_line(dated)} has dates and {_one_line(undated)} has seconds from an unknown start; "
            "they cannot make one trace"
        )

    @classmethod
    def mixed_blocks(cls, sizes: Mapping[str, int]) -> Self:
        """Logs with prefix blocks of different sizes cannot be one trace: their numbers mean other tokens."""
        listed = " and ".join(f"{_one_line(name)} of {size}" for name, size in sizes.items())
        return cls(f"prefix blocks: {listed} tokens; they cannot make one trace, so read each log for itself")

    @classmethod
    def no_clock(cls, path: Path) -> Self:
        """A span of time needs one trace that counts from midnight of day 0."""
        return cls.at(
            path,
            f"{option('start_s')} and {option('end_s')} count from day 0 of one trace",
            remedy="make one first: burstlens ingest … -o trace.parquet",
        )

    @classmethod
    def no_such(cls, kind: str, name: str | None, names: Iterable[str]) -> Self:
        """A result has no table or figure of that name, or none at all."""
        problem = f"no {kind}" if name is None else f"no {kind} {name!r}"
        return cls(f"{problem}; there are: {', '.join(names) or 'none'}")

    @classmethod
    def nothing_inside(cls, path: Path) -> Self:
        """The trace has no request in that span of time."""
        return cls.at(path, f"no request lies between {option('start_s')} and {option('end_s')}")

    @classmethod
    def not_on_spark(cls, path: Path, what: str) -> Self:
        """Only DuckDB reads this kind of log."""
        return cls.at(
            path,
            f"{what} is not read on Spark",
            remedy=f"first make a trace of it: burstlens ingest {path_text(path)} -o trace.parquet",
        )


class EndpointError(BurstlensError):
    """A server does not answer, or not in the way that burstlens needs."""


class DiskError(BurstlensError):
    """The operating system does not let burstlens read or write a file."""

    @classmethod
    def unreadable(cls, path: Path, fault: OSError) -> Self:
        """The operating system refuses to read the file."""
        return cls.at(path, f"cannot be read: {_reason(fault)}")

    @classmethod
    def unwritable(cls, path: Path, fault: OSError | str, *, remedy: str | None = None) -> Self:
        """The operating system refuses to write there."""
        return cls.at(path, f"cannot be written: {_reason(fault)}", remedy=remedy)


class MissingExtraError(BurstlensError):
    """An optional part of burstlens, or a program that it needs, is not installed."""

    @classmethod
    def of(cls, extra: str, package: str, what: str) -> Self:
        """A package of an extra is not installed.

        Examples
        --------
        >>> str(MissingExtraError.of("text", "tokenizers", "prompts of text"))
        "prompts of text: needs the tokenizers package; install it with: pip install 'burstlens[text]'"
        """
        remedy = f"install it with: pip install 'burstlens[{extra}]'"
        return cls.at(what, f"needs the {package} package", remedy=remedy)

    @classmethod
    def no_spark(cls, why: str) -> Self:
        """Java or the extra is missing; `why` says so and what to do."""
        return cls(f"{option('engine', 'spark')}: {_one_line(why)}")


class UnknownSelectionError(InputError):
    """A service, a model or a selection of both that a trace or a parameter file does not have."""


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that is most like a mistyped one; None if none is like it.

    Examples
    --------
    >>> nearest("VLM", ["azure", "vllm"]), nearest("elsewhere", ["azure", "vllm"])
    ('vllm', None)
    """
    return next(iter(difflib.get_close_matches(name.casefold(), list(known), n=1)), None)


def path_text(path: Path) -> str:
    """A path as text for one line of a message."""
    return _one_line(str(path))


def relative_to_folder(text: str, folder: Path) -> str:
    """The text with paths inside of `folder` as relative ones, for what is read in that folder.

    Examples
    --------
    >>> relative_to_folder("/home/me/gpu/client/stage.log: is empty", Path("/home/me/gpu"))
    'client/stage.log: is empty'
    """
    for place in (folder.absolute(), folder):
        text = re.sub(rf"(?<![\w./-]){re.escape(str(place))}/", "", text)
    return text


def _reason(fault: OSError | str) -> str:
    if isinstance(fault, FileExistsError | NotADirectoryError):
        return "a file is in the place of a folder"
    return _one_line(fault if isinstance(fault, str) else (fault.strerror or str(fault)).lower())


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _one_line(text: str) -> str:
    """Text without what would break the line or the terminal."""
    flat = " ".join(str(text).split())
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in flat)


def _name_list(names: Sequence[str], limit: int = 6) -> str:
    """A few names in quotes, and how many more there are."""
    quoted = ", ".join(f"'{_one_line(name)[:60]}'" for name in names[:limit])
    return quoted + (f" and {len(names) - limit} more" if len(names) > limit else "")
