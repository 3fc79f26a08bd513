"""Rows of a database, fetched into a Parquet file that is then read as any log.

Record batches pass through one by one, so a large table never lies in memory, and of a table only the columns
that the reading needs leave the server. The transaction is read-only. Not here: what a database is called
(`databases`), which format its rows have (`recognize`).
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from ..core.errors import BurstlensError, DiskError, EndpointError, InputError, MissingExtraError, nearest
from ..core.result import Progress, silent
from .files.databases import Database, add_copy, database_of, scrubbed, url_of_database
from .files.sniff import LogFile, inspect_log
from .formats.declaration import Format, formats
from .formats.recognize import format_of_log
from .options import LogOptions
from .values.paths import place_of
from .values.sql_text import identifier

HEAD_ROWS = 300
BATCH_BYTES = 1 << 23
"""What a record batch may hold, about."""
GROUP_ROWS = 100_000
POLL_S = 0.1
SHOW_EVERY_S, SHOW_GROWTH = 0.5, 1.1
"""Rows are shown again after that time, and after as much of the time so far: a log of it stays short."""
FETCH_SHARE = 0.5
"""Share of opening a trace that fetching its rows takes, about."""
AS_TEXT = ("money", "bpchar")
"""PostgreSQL's types that the driver gives as something else than they show: cents, and blanks at the end."""
RELATIONS = """
    SELECT n.nspname::text AS schema, c.relname::text AS name,
        pg_table_is_visible(c.oid) AS visible, greatest(c.reltuples, 0)::float8 AS n_rows
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'v', 'm', 'p', 'f') AND n.nspname <> 'information_schema'
        AND n.nspname NOT LIKE 'pg\\_%'
    ORDER BY 1, 2
"""
NO_SELECT = ("42601", "0A000")
"""States of a statement that is good by itself and not in the place of a table."""
MAX_SHOWN = 6

T = TypeVar("T")


class _QueryFailed(Exception):
    """The server ended a query while its rows were fetched; the driver raises errors of files for that."""

    sqlstate = "XX000"


@dataclass
class _Session:
    """A connection in a read-only transaction, and what is said about it."""

    connection: Any
    database: Database
    rows: int = field(default=0)

    def schema(self, sql: str) -> Any:
        """The columns of a query, which is not run."""
        with self.connection.cursor() as cursor:
            return self.waited(cursor, lambda: cursor.adbc_execute_schema(sql))

    def asked(self, sql: str) -> list[dict[str, Any]]:
        """The rows of a small answer."""
        with self.connection.cursor() as cursor:
            return self.waited(cursor, lambda: cursor.execute(sql).fetch_arrow_table().to_pylist())

    def waited(self, cursor: Any, call: Callable[[], T], show: Callable[[], None] = lambda: None) -> T:
        """Run something on the server; Ctrl-C ends it there, too."""
        results: list[T] = []
        faults: list[BaseException] = []
        lock, done = threading.Lock(), threading.Event()
        begun = stopped = False

        def run() -> None:
            nonlocal begun
            with lock:
                if stopped:
                    return
                begun = True
            try:
                results.append(call())
            except BaseException as fault:  # it is raised again below
                faults.append(fault)
            finally:
                done.set()

        try:
            threading.Thread(target=run, daemon=True).start()
            while not done.wait(POLL_S):
                show()
        except BaseException:
            with lock:
                stopped = True
            # The connection must not be closed under the thread, however often Ctrl-C comes.
            while begun and not done.is_set():
                with suppress(Exception, KeyboardInterrupt):
                    cursor.adbc_cancel()
                    done.wait(POLL_S)
            raise
        if faults:
            raise faults[0]
        return results[0]


def inspect_database(
    path: Path, options: LogOptions, folder: Path, progress: Progress = silent, *, head_only: bool = False
) -> LogFile:
    """Fetch a table or the rows of a query, and look at them as at a Parquet file.

    Parameters
    ----------
    path : Path
        Stands for the URL of the database.
    options : LogOptions
        Names the table or the query.
    folder : Path
        Temporary folder for the rows; it has to outlive the reading.
    progress : callable, optional
    head_only : bool
        Fetch only the first rows, to look at them.

    Returns
    -------
    LogFile
        Its path is that of the rows; `database` says where they come from.

    Raises
    ------
    BurstlensError
        If the database cannot be reached, does not have the table, or refuses the query.
    """
    url, database = url_of_database(path), database_of(path, options)
    place = folder / f"rows-{len(list(folder.iterdir()))}"
    file = place / (re.sub(r"[^\w.,@ +-]", "_", database.stem).strip(". ") or "rows")
    add_copy(file, database)
    add_copy(place / "head", database)
    with _session(url, database) as session:
        try:
            place.mkdir()
            progress(f"fetching {database.name}", 0.0)
            if database.sql is not None:
                _fetch(
                    session,
                    _query(session, database.sql),
                    file,
                    progress,
                    limit=HEAD_ROWS if head_only else None,
                )
                return replace(inspect_log(file), database=database)
            relation, n_rows = _relation(session, database.table or "")
            head = place / "head"
            _fetch(session, _query(session, f"SELECT * FROM {relation}"), head, silent, limit=HEAD_ROWS)
            log = replace(inspect_log(head), path=file, database=database)
            columns = () if head_only else _needed(log, options)
            if not columns:
                head.rename(file)
                return log
            head.unlink()
            listed = ", ".join(identifier(name) for name in columns)
            _fetch(session, _query(session, f"SELECT {listed} FROM {relation}"), file, progress, n_rows)
            return log
        except OSError as fault:
            raise DiskError.unwritable(file, fault) from fault


def _needed(log: LogFile, options: LogOptions) -> tuple[str, ...]:
    """The columns that the reading needs; none where the log cannot be read at all."""
    texts = [*(options.columns or {}).values(), *options.where]
    named = {name for name in log.header if any(name.casefold() in text.casefold() for text in texts)}
    if not options.columns:
        format = _format(log, options)
        if format is None or format.refusal is not None:
            return ()
        places = [place_of(log, column.name) for column in format.columns if column.type != "UNUSED"]
        named |= {place.column for place in places if place is not None}
    return tuple(name for name in log.header if name in named)


def _format(log: LogFile, options: LogOptions) -> Format | None:
    return formats().get(options.log_format) if options.log_format else format_of_log(log)


@contextmanager
def _session(url: str, database: Database) -> Iterator[_Session]:
    """A read-only transaction; whatever the driver raises becomes one line without the password."""
    try:
        import pyarrow  # noqa: F401
        from adbc_driver_postgresql import dbapi
    except ImportError:
        raise MissingExtraError.of("database", "adbc-driver-postgresql", database.url) from None
    error: BurstlensError | None = None
    try:
        with dbapi.connect(url) as connection:
            session = _Session(connection, database)
            session.schema("SELECT 1")
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
                cursor.execute("SET LOCAL TimeZone = 'UTC'")
            yield session
            connection.rollback()
    except (dbapi.Error, _QueryFailed) as fault:
        if isinstance(fault.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None  # what was left half done says something else
        error = _error(fault, url, database)
    if error is not None:
        raise error from None  # what the driver says may hold the URL


def _error(fault: Exception, url: str, database: Database) -> BurstlensError:
    """The driver's error in one line."""
    state = getattr(fault, "sqlstate", None)
    text = scrubbed(str(fault), url)
    if state is None:
        return EndpointError.at(database.url, f"cannot be reached: {_connection_reason(text)}")
    match = re.search(r"ERROR:\s+(.*?)(?:\n|$)", text)
    reason = (match[1] if match else text.partition("\n")[0]).partition(". SQLSTATE")[0].strip()
    hint = re.search(r"HINT:\s+(.*?)(?:\n|$)", text)
    if state == "25006":
        return InputError.of_option("sql", f"{database.url} is only read: {reason}", remedy="give a SELECT")
    if state.startswith("42") and state != "42501" and database.sql is not None:
        return InputError.of_option(
            "sql", f"{database.url}: {reason}", remedy=hint[1].strip() if hint else None
        )
    if state == "42501":
        return InputError.at(str(database), reason, remedy="grant SELECT to the user, or name another table")
    return EndpointError.at(str(database), reason)


def _connection_reason(text: str) -> str:
    """Why there is no connection: of the last address that was tried."""
    lines = [line.strip() for line in text.partition("connect: ")[2].splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith(("Is the server", "ERROR"))] or [text]
    return lines[-1].rpartition("failed: ")[2].removeprefix("FATAL:").strip()


def _relation(session: _Session, table: str) -> tuple[str, float]:
    """The name of a table as SQL, and about how many rows it has.

    Raises
    ------
    InputError
        If there is no such table, with the nearest one; or several.
    """
    found = session.asked(RELATIONS)
    schema, name = _parts(table)
    exact = [
        row
        for row in found
        if (row["name"] == table and row["visible"])
        or (row["name"] == name and (row["schema"] == schema if schema else row["visible"]))
    ]
    if not exact:
        wanted = f"{schema}.{name}".casefold()
        exact = [
            row
            for row in found
            if (
                f"{row['schema']}.{row['name']}".casefold() == wanted
                if schema
                else row["name"].casefold() == name.casefold()
            )
        ]
    if len(exact) == 1:
        return f"{identifier(exact[0]['schema'])}.{identifier(exact[0]['name'])}", float(exact[0]["n_rows"])
    names = [row["name"] if row["visible"] else f"{row['schema']}.{row['name']}" for row in exact or found]
    if exact:
        raise InputError.of_option("table", f"{table!r} is {' or '.join(names)}", remedy="name one of them")
    close = _closest(table, names)
    there = ", ".join(names[:MAX_SHOWN]) + (
        f" and {len(names) - MAX_SHOWN} more" if len(names) > MAX_SHOWN else ""
    )
    hint = f"did you mean {close!r}? " if close else ""
    listed = f"there are: {there}" if names else f"{session.database.url} has no table that this user may see"
    raise InputError.of_option("table", f"no table {table!r} in {session.database.url}", remedy=hint + listed)


def _closest(table: str, names: Sequence[str]) -> str | None:
    """The name most like a mistyped one, whatever its case and its schema."""
    folded = {name.rpartition(".")[2].casefold(): name for name in names} | {
        name.casefold(): name for name in names
    }
    found = nearest(table, folded)
    return None if found is None else folded[found]


def _parts(table: str) -> tuple[str, str]:
    """Schema and name: `public."LiteLLM_SpendLogs"`; quotes may be left out."""
    parts = [
        quoted.replace('""', '"') or bare for quoted, bare in re.findall(r'"((?:[^"]|"")+)"|([^".]+)', table)
    ]
    return (parts[-2], parts[-1]) if len(parts) > 1 else ("", parts[0] if parts else table)


def _query(session: _Session, sql: str) -> str:
    """A query whose every column has a type that Parquet has, too.

    Raises
    ------
    InputError
        If it is not one SELECT.
    """
    text = sql.strip().rstrip(";").rstrip()
    # By itself first: nothing that closes the parentheses below passes.
    schema = session.schema(text)
    inner = f"(\n{text}\n) AS log"
    try:
        session.schema(f"SELECT * FROM {inner}")
        selects = len(schema) > 0
    except Exception as fault:
        if getattr(fault, "sqlstate", None) not in NO_SELECT:
            raise
        selects = False
    if not selects:
        raise InputError.of_option("sql", "is not a SELECT", remedy="a database is only read")
    names = list(schema.names)
    if doubled := [name for name in names if names.count(name) > 1]:
        raise InputError.of_option(
            "sql", f"two columns are called {doubled[0]!r}", remedy="name one of them anew, with AS"
        )
    return f"SELECT {', '.join(_column(each) for each in schema)} FROM {inner}"


def _column(column: Any) -> str:
    """A column of a query, as a type that Parquet has."""
    import pyarrow

    kind = (column.metadata or {}).get(b"POSTGRESQL:type", b"").decode()
    name = identifier(column.name)
    value = column.type.value_type if pyarrow.types.is_list(column.type) else column.type
    if pyarrow.types.is_interval(value):
        return f"CAST(EXTRACT(EPOCH FROM {name}) AS float8) AS {name}"
    # Such as json, uuid, numeric: extensions of Arrow's types, or bytes of the server's own.
    if isinstance(value, pyarrow.BaseExtensionType) or kind in AS_TEXT:
        return f"CAST({name} AS text) AS {name}"
    return name


def _batches(reader: Any) -> Iterator[Any]:
    """The record batches; what goes wrong with them is the server's fault, not that of the file written."""
    try:
        yield from reader
    except Exception as fault:
        raise _QueryFailed(str(fault)) from None


def _fetch(
    session: _Session,
    sql: str,
    out: Path,
    progress: Progress,
    n_rows: float = 0.0,
    *,
    limit: int | None = None,
) -> None:
    """Write the rows of a query to a Parquet file, batch by batch."""
    from adbc_driver_postgresql import StatementOptions
    from pyarrow import parquet

    name = session.database.name
    session.rows = 0
    begun, next_s = time.monotonic(), 0.0

    def fetch() -> None:
        cursor.execute(sql if limit is None else f"{sql} LIMIT {limit}")
        reader = cursor.fetch_record_batch()
        try:
            with parquet.ParquetWriter(out, reader.schema, compression="zstd", compression_level=1) as writer:
                for batch in _batches(reader):
                    writer.write_batch(batch, row_group_size=GROUP_ROWS)
                    session.rows += batch.num_rows
        finally:
            reader.close()  # before the connection, which it needs

    def show() -> None:
        nonlocal next_s
        elapsed_s = time.monotonic() - begun
        if session.rows and elapsed_s >= next_s:
            next_s = max(elapsed_s + SHOW_EVERY_S, elapsed_s * SHOW_GROWTH)
            share = min(1.0, session.rows / n_rows) if n_rows else 0.0
            progress(f"fetching {name}: {session.rows:,} rows", FETCH_SHARE * share)

    with session.connection.cursor(
        adbc_stmt_kwargs={StatementOptions.BATCH_SIZE_HINT_BYTES.value: str(BATCH_BYTES)}
    ) as cursor:
        session.waited(cursor, fetch, show)
    next_s = 0.0
    show()
