"""Databases as logs: their URLs, and how these are named without the password.

A URL with its password stays in this process. Everywhere else it is the URL with `***` in its place: paths,
messages, files, pages. Not here: fetching rows (`burstlens.analysis.logs.database_rows`).
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from urllib.parse import unquote

from ...core.errors import BurstlensError, InputError
from ...core.option_names import option
from ..options import LogOptions

SCHEME = re.compile(r"(postgres|postgresql)(\+\w+)?:/")
"""SQLAlchemy names its driver after a plus sign."""
OTHER_SCHEMES = re.compile(
    r"(mysql|mariadb|sqlite|duckdb|oracle|mssql|sqlserver|clickhouse|redshift|snowflake|bigquery|mongodb)"
    r"(\+\w+)?:/"
)
USER_INFO = re.compile(r"([a-z][a-z0-9+.-]*:/+)([^:@/?]*):([^?]*)@", re.IGNORECASE)
"""What comes before the password, and the password: up to the last `@` before the parameters."""
PASSWORD_PARAMETER = re.compile(r"([?&](?:ssl)?password=)([^&]*)", re.IGNORECASE)
ONE_SLASH = re.compile(r"^([a-z0-9+]+):/(?!/)")
"""What a path leaves of the two slashes of a URL."""
HIDDEN = "***"

_URLS: dict[str, str] = {}
"""URLs with their passwords by the paths that stand for them."""
_COPIES: dict[str, Database] = {}
"""Databases by the files that their rows were fetched into."""


@dataclass(frozen=True)
class Database:
    """A table of a database, or a query, as a log."""

    url: str
    """without the password"""
    table: str | None
    sql: str | None

    @property
    def name(self) -> str:
        """What it is called as a source: `host/database.table`."""
        host, database = _host(self.url), _database(self.url)
        return f"{host}/{database}.{self.table or 'query'}"

    @property
    def stem(self) -> str:
        """What the trace is called: the table, or the database of a query."""
        return self.table.rpartition(".")[2].replace('"', "") if self.table else _database(self.url)

    def __str__(self) -> str:
        """For messages."""
        return f"{self.url}, {f'table {self.table}' if self.table else 'query'}"

    @property
    def typed(self) -> str:
        """As it is typed on the command line."""
        kind, value = ("table", self.table) if self.table else ("sql", self.sql or "")
        return f"{shlex.quote(self.url)} --{kind} {shlex.quote(value)}"


def without_password(log: str | PathLike[str]) -> str:
    """A log as text; the URL of a database has `***` for the password, which this process keeps.

    Examples
    --------
    >>> without_password("postgresql://me:secret@db.example/litellm?sslmode=require")
    'postgresql://me:***@db.example/litellm?sslmode=require'
    >>> without_password("log.csv")
    'log.csv'
    """
    text = os.fspath(log)
    if not is_database(text):
        return text
    if ONE_SLASH.match(text) and str(Path(without_secrets(text))) in _URLS:
        return shown_url(Path(without_secrets(text)))  # a path of ours
    text = ONE_SLASH.sub(r"\1://", text)
    masked = without_secrets(text)
    if masked != text or str(Path(masked)) not in _URLS:
        _URLS[str(Path(masked))] = text
    return masked


def without_secrets(text: str) -> str:
    """A URL with `***` for its password; other text as it is."""
    return PASSWORD_PARAMETER.sub(rf"\1{HIDDEN}", USER_INFO.sub(rf"\1\2:{HIDDEN}@", text))


def log_path(log: str | PathLike[str]) -> Path:
    """The path of a log; of a database one that stands for it, without the password."""
    return Path(without_password(log))


def is_database(log: str | PathLike[str]) -> bool:
    """Whether a log is a database, also one that burstlens does not read."""
    text = os.fspath(log)
    return bool(SCHEME.match(text) or OTHER_SCHEMES.match(text))


def url_of_database(path: Path) -> str:
    """The URL that a path stands for, with its password: for the driver only.

    Raises
    ------
    InputError
        If burstlens does not read such a database, or the URL cannot be taken apart.
    """
    masked = shown_url(path)
    if not SCHEME.match(str(path)):
        raise InputError.at(
            masked,
            "is a database that burstlens does not read; it reads postgresql://",
            remedy="export the table as CSV or Parquet",
        )
    url = SCHEME.sub(r"\1:/", _URLS.get(str(path), masked))
    authority = url.partition("://")[2].partition("?")[0]
    if "@" in authority and "@" not in authority.partition("/")[0] and USER_INFO.match(url):
        raise InputError.at(
            masked, "the password has a / in it", remedy="write it as %2F, or set PGPASSWORD instead"
        )
    return url


def shown_url(path: Path) -> str:
    """The URL of a database without its password, with the slashes that a path puts together."""
    return without_secrets(_URLS.get(str(path)) or ONE_SLASH.sub(r"\1://", str(path)))


def scrubbed(text: str, url: str) -> str:
    """A text of the driver's without the password of a URL."""
    text = text.replace(url, without_secrets(url))
    public = {_host(url), _database(url), _user(url)}
    for secret in _passwords(url) - public:
        text = text.replace(secret, HIDDEN)
    return text


def _passwords(url: str) -> set[str]:
    """The passwords of a URL, as they are written and as they are meant."""
    found = [match[3] for match in USER_INFO.finditer(url)]
    found += [match[2] for match in PASSWORD_PARAMETER.finditer(url)]
    return {form for secret in found for form in (secret, unquote(secret)) if form}


def database_of(path: Path, options: LogOptions) -> Database:
    """The table or the query of a database that the options name.

    Raises
    ------
    InputError
        If they name none, or both.
    """
    url = shown_url(path)
    if options.table and options.sql:
        raise InputError(f"{option('table')} and {option('sql')} exclude each other: give one of them")
    if not options.table and not options.sql:
        raise InputError.at(
            url,
            "is a database, and no table is named",
            remedy=f"give {option('table', 'NAME')} or {option('sql', 'SELECT …')}, or make a trace first: "
            f"burstlens ingest {shlex.quote(url)} --table NAME -o trace.parquet",
        )
    return Database(url, options.table, options.sql)


def add_copy(path: Path, database: Database) -> None:
    """Remember which file the rows of a database are fetched into, so that errors name the database."""
    _COPIES[str(path)] = database


@contextmanager
def databases_named() -> Iterator[None]:
    """While rows are read: an error about the file that they were fetched into is one about the database."""
    try:
        yield
    except BurstlensError as fault:
        text = fault.marked_text
        for path, database in _COPIES.items():
            if path in text:
                text = re.sub(rf"(burstlens \w+ ){re.escape(path)}", lambda m: m[1] + database.typed, text)  # noqa: B023
                text = text.replace(path, str(database))
        if text == fault.marked_text:
            raise
        renamed = type(fault)(text)
        renamed.__dict__.update(fault.__dict__)
        if fault.where in _COPIES:
            renamed.where = str(_COPIES[fault.where])
        raise renamed from fault


def _user(url: str) -> str:
    match = re.match(r"\w+:/+([^:@/?]*)(?::[^?]*)?@", url)
    return unquote(match[1]) if match else ""


def _parameter(url: str, *names: str) -> str | None:
    for name in names:
        match = re.search(rf"[?&]{name}=([^&]*)", url)
        if match:
            return unquote(match[1])
    return None


def _host(url: str) -> str:
    """The server; `localhost` for a socket of this machine."""
    authority = url.partition("://")[2].partition("?")[0].partition("/")[0].rpartition("@")[2]
    host = authority or _parameter(url, "host", "hostaddr") or os.environ.get("PGHOST", "")
    host = re.sub(r":\d+$", "", unquote(host))
    return host if host and not host.startswith("/") else "localhost"


def _database(url: str) -> str:
    """The database; libpq takes the user's name if none is named."""
    path = url.partition("://")[2].partition("?")[0].partition("/")[2]
    found = unquote(path) or _parameter(url, "dbname") or os.environ.get("PGDATABASE")
    return found or _user(url) or os.environ.get("PGUSER", "") or "database"
