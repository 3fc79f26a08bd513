"""How a log is to be read, where the file alone does not say it; also as a TOML file that is kept beside it.

Not here: which verbs take these options (`burstlens.api.options`).
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from ..core.errors import DiskError, InputError
from ..core.option_names import option


@dataclass(frozen=True)
class LogOptions:
    """What a user says about a log; every field may be left out.

    Examples
    --------
    >>> options = LogOptions({"arrival": "ts"}, where=["type=GENERATION"], timezone="Europe/Berlin")
    """

    columns: Mapping[str, str] | None = None
    """Places in the log by trace columns: `{"arrival": "ts", "request_tokens": "usage.prompt_tokens"}`."""
    log_format: str | None = None
    """Name of the format, where several fit or none is recognized."""
    where: Sequence[str] = ()
    """Conditions that all hold for the rows that are requests: `type=GENERATION`."""
    time_format: str | None = None
    """How dates and times are written, in the letters of `strptime`: `%d/%m/%Y %H:%M`."""
    timezone: str | None = None
    """Zone whose clock gives hours of the day and weekdays: `Europe/Berlin`."""
    delimiter: str | None = None
    """What separates the columns of a CSV file."""
    decimal: str | None = None
    """Mark of fractions in a CSV file: `.` or `,`."""
    encoding: str | None = None
    """How the characters of a text file are written: `utf-8`, `windows-1252`, …"""
    table: str | None = None
    """Table of a database whose rows are the requests: `LiteLLM_SpendLogs`, `schema.table`."""
    sql: str | None = None
    """Query, in place of a table: one SELECT."""
    mapping: str | Path | None = None
    """A TOML file with these options, of which the ones given here count first."""

    def resolved(self) -> LogOptions:
        """These options, with those of the mapping file where nothing else is said.

        Raises
        ------
        BurstlensError
            If the file cannot be read, or has something else in it.
        """
        if self.mapping is None:
            return self
        kept = load_mapping(Path(self.mapping))
        given = {
            each.name: value for each in fields(self) if (value := getattr(self, each.name)) not in (None, ())
        }
        return replace(kept, **{**given, "mapping": None})


NO_OPTIONS = LogOptions()


def load_mapping(path: Path) -> LogOptions:
    """Read options of a log from a TOML file.

    Parameters
    ----------
    path : Path
        With a table `[columns]` and, before it, any of `log_format`, `where` (one condition or a list),
        `time_format`, `timezone`, `delimiter`, `decimal`, `encoding`, `table`, `sql`.

    Returns
    -------
    LogOptions

    Raises
    ------
    BurstlensError
        If the file cannot be read, or has something else in it.
    """
    try:
        content: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as fault:
        raise InputError.missing_file(path) from fault
    except OSError as fault:
        raise DiskError.unreadable(path, fault) from fault
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as fault:
        raise InputError.at(path, f"is not TOML: {fault}") from fault
    known = [each.name for each in fields(LogOptions) if each.name != "mapping"]
    if unknown := [key for key in content if key not in known]:
        raise InputError.unknown(path, "key", unknown[0], known)
    where = content.get("where", ())
    content["where"] = (where,) if isinstance(where, str) else tuple(where)
    columns = content.get("columns")
    if columns is not None and not (
        isinstance(columns, dict) and all(isinstance(value, str) for value in columns.values())
    ):
        raise InputError.at(
            path, "`columns` is not a table of names", remedy='write [columns] and arrival = "ts"'
        )
    texts = {key: value for key, value in content.items() if key not in ("columns", "where")}
    if wrong := [key for key, value in texts.items() if not isinstance(value, str)]:
        raise InputError.at(path, f"{wrong[0]!r} is not text")
    if not columns and not content["where"] and not texts:
        raise InputError.at(path, "has no option", remedy=f"see {option('mapping')} in the documentation")
    return LogOptions(**content)
