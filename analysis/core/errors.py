"""What a person may have got wrong, told in one line that names the thing and the way out.

Every error that a user's input can cause is a `BurstlensError`; the command line prints its text and ends
with exit code 2. Each constructor knows one situation, so that no message is put together at the place of
the fault. Not here: bad rows of a log, which are data (`burstlens.analysis.logs.rejects`), and faults of
ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from .option_names import OptionValue, in_python, in_words
from .units import counted


class BurstlensError(Exception):
    """Something in the input or on the disk that the user can put right; the text is one line."""

    def __str__(self) -> str:
        return in_python(super().__str__())

    def in_words(self, name_of: Callable[[str, OptionValue | None], str]) -> str:
        """The text with each option that `option` marked as `name_of(parameter, value)` names it."""
        return in_words(super().__str__(), name_of)

    @classmethod
    def missing_file(cls, path: Path) -> BurstlensError:
        """No such path."""
        return cls(f"{shown(path)}: no such file")

    @classmethod
    def directory(cls, path: Path) -> BurstlensError:
        """A folder where a log was expected."""
        return cls(f"{shown(path)}: is a folder; name the log files in it, several make one trace")

    @classmethod
    def no_file(cls, path: Path) -> BurstlensError:
        """A pipe, a device: it could be read only once."""
        return cls(f"{shown(path)}: is a pipe or a device; a log is read more than once, save it to a file")

    @classmethod
    def unreadable(cls, path: Path, fault: OSError) -> BurstlensError:
        """The operating system refuses to read it."""
        return cls(f"{shown(path)}: cannot be read: {(fault.strerror or str(fault)).lower()}")

    @classmethod
    def unwritable(cls, path: Path, fault: OSError | str) -> BurstlensError:
        """The operating system refuses to write there."""
        why = fault if isinstance(fault, str) else (fault.strerror or str(fault)).lower()
        return cls(f"{shown(path)}: cannot be written: {_one_line(why)}")

    @classmethod
    def empty(cls, path: Path) -> BurstlensError:
        """Nothing in the file, not even a header."""
        return cls(f"{shown(path)}: is empty")

    @classmethod
    def no_rows(cls, path: Path) -> BurstlensError:
        """A header and nothing under it."""
        return cls(f"{shown(path)}: has a header but no rows")

    @classmethod
    def no_logs(cls) -> BurstlensError:
        """An empty list of files."""
        return cls("no log given: name at least one file")

    @classmethod
    def binary(cls, path: Path) -> BurstlensError:
        """Bytes that are no text, and no compression or Parquet that we know."""
        return cls(
            f"{shown(path)}: is a binary file; a log is CSV, JSON lines or Parquet, plain or as .gz or .zst"
        )

    @classmethod
    def utf16(cls, path: Path) -> BurstlensError:
        """Text in UTF-16, as some Windows programs save it."""
        return cls(f"{shown(path)}: is UTF-16 text; save it as UTF-8 (iconv -f UTF-16 -t UTF-8)")

    @classmethod
    def json_array(cls, path: Path) -> BurstlensError:
        """One JSON array instead of one object a line."""
        return cls(f"{shown(path)}: is one JSON array; one object a line is needed (jq -c '.[]')")

    @classmethod
    def damaged(cls, path: Path, kind: str) -> BurstlensError:
        """A compressed or Parquet file that ends early or is not what its first bytes say."""
        return cls(f"{shown(path)}: damaged or cut short, its {kind} data is not whole; get it again")

    @classmethod
    def unparsable(cls, path: Path, why: str) -> BurstlensError:
        """The engine gave up on the file as a whole."""
        return cls(f"{shown(path)}: cannot be parsed: {_one_line(why)}")

    @classmethod
    def unknown_header(
        cls,
        path: Path,
        kind: str,
        header: Sequence[str],
        nearest: str,
        lacks: Sequence[str],
        extra: Sequence[str],
    ) -> BurstlensError:
        """No known format has these columns (or, in JSON, these keys)."""
        differs = []
        if lacks:
            differs.append(f"lacks {_named(lacks)}")
        if extra:
            differs.append(f"has {_named(extra)}")
        word = "keys" if kind == "jsonl" else "header"
        way = "--columns arrival=…,request_tokens=…,response_tokens=…"
        if kind == "csv" and any(_is_number(name) for name in header):
            return cls(f"{shown(path)}: the first line looks like a row; put the column names above it")
        return cls(
            f"{shown(path)}: unknown {word}; nearest known format is {nearest}, but this one "
            f"{' and '.join(differs)}; map its columns: {way}"
        )

    @classmethod
    def unknown_mapping(cls, wrong: Iterable[str], known: Sequence[str]) -> BurstlensError:
        """`--columns` with a trace column that there is not."""
        return cls(f"--columns: no trace column {_named(sorted(wrong))}; there are {', '.join(known)}")

    @classmethod
    def doubled_mapping(cls, column: str, keys: Sequence[str]) -> BurstlensError:
        """`--columns` with two sources for one trace column."""
        return cls(f"--columns: {' and '.join(keys)} both give {column}; keep one")

    @classmethod
    def no_arrival(cls) -> BurstlensError:
        """`--columns` without the one column that every trace has."""
        return cls(
            "--columns: no arrival; say which column holds it, as in arrival=timestamp or arrival_ms=ts"
        )

    @classmethod
    def absent_columns(cls, path: Path, wrong: Sequence[str], header: Sequence[str]) -> BurstlensError:
        """`--columns` with a column that the log does not have."""
        return cls(f"{shown(path)}: --columns names {_named(wrong)}, but the log has {_named(header)}")

    @classmethod
    def repeated_columns(cls, path: Path, names: Sequence[str]) -> BurstlensError:
        """A header that names a column twice, so that nobody can say which is meant."""
        return cls(f"{shown(path)}: the header has {_named(names)} more than once")

    @classmethod
    def all_rejected(cls, name: str, rejected: int, first: str) -> BurstlensError:
        """Not one usable row."""
        rows = counted(rejected, "row")
        return cls(f"{_one_line(name)}: none of its {rows} can be used; first, {_one_line(first)}")

    @classmethod
    def strict(cls, first: str) -> BurstlensError:
        """A bad row under `--strict`."""
        return cls(f"{_one_line(first)} (--strict stops here)")

    @classmethod
    def too_many_streams(cls, name: str, most: int) -> BurstlensError:
        """A column of single values taken for service or model."""
        return cls(
            f"{_one_line(name)}: more than {most:,} pairs of service and model; "
            "is a column with a value of its own in every row taken for one of them?"
        )

    @classmethod
    def foreign_trace(cls, path: Path, why: str) -> BurstlensError:
        """A Parquet file with our mark whose metadata or columns are not ours."""
        return cls(f"{shown(path)}: not a trace of this version: {_one_line(why)}; ingest its log again")

    @classmethod
    def mixed_clocks(cls, dated: str, undated: str) -> BurstlensError:
        """Logs with dates and logs with bare seconds in one trace."""
        return cls(
            f"{_one_line(dated)} has dates and {_one_line(undated)} has seconds from an unknown start; "
            "they cannot make one trace"
        )

    @classmethod
    def no_clock(cls, path: Path) -> BurstlensError:
        """A span of time asked of a log whose seconds count from nowhere known, or of several logs."""
        return cls(
            f"{shown(path)}: --from and --to count from day 0 of one trace; "
            "make one first: burstlens ingest … -o trace.parquet"
        )

    @classmethod
    def nothing_inside(cls, path: Path) -> BurstlensError:
        """A span of time in which the trace has no request."""
        return cls(f"{shown(path)}: no request lies between --from and --to")

    @classmethod
    def no_spark(cls, why: str) -> BurstlensError:
        """Spark cannot be had: Java, the extra or the master is missing, and `why` says what mends it."""
        return cls(_one_line(why))

    @classmethod
    def not_on_spark(cls, path: Path, what: str) -> BurstlensError:
        """A log that only DuckDB reads."""
        return cls(
            f"{shown(path)}: {what} is not read on Spark; first make a trace of it: "
            f"burstlens ingest {shown(path)} -o trace.parquet"
        )


def shown(path: Path) -> str:
    """A path as text for one line of a message."""
    return _one_line(str(path))


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


def _named(names: Sequence[str], most: int = 6) -> str:
    """A few names in quotes, and how many more there are."""
    said = ", ".join(f"'{_one_line(name)[:60]}'" for name in names[:most])
    return said + (f" and {len(names) - most} more" if len(names) > most else "")
