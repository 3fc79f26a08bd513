"""The same questions on Apache Spark: the SQL files translated, answered by a cluster, small tables fetched.

`SparkEngine` is a `burstlens.queries.engine.Engine`. One Spark application serves a process; each engine
has a session of its own in it, so the tables of two traces never meet. Not here: reading logs with Spark
(`burstlens.analysis.logs.load_spark`).
"""

from __future__ import annotations

import atexit
import logging
import os
import re
import shutil
import socket
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import polars as pl

from .dialect import in_spark, parameters_of
from .files import sql_text

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

LOCAL = "local[*]"
STRICT = "spark.sql.ansi.enabled"
EXTRA = "pip install 'burstlens[spark]'"
JAVA = "apt-get install openjdk-17-jre-headless"

DEFAULTS = {
    "spark.app.name": "burstlens",
    "spark.driver.memory": "2g",
    "spark.sql.session.timeZone": "UTC",
    STRICT: "true",
    # Spark notices a row with a wrong number of fields only if it parses all of them.
    "spark.sql.csv.parser.columnPruning.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.log.level": "ERROR",
}
"""What burstlens needs, and a driver that need not be large; `conf` overrides any of it."""
IN_ONE_PROCESS = {
    "spark.ui.enabled": "false",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    "spark.sql.shuffle.partitions": "16",
}
"""Where the master is `local[…]`: nobody looks from elsewhere, and 200 partitions are for a cluster."""


FAILURES = {
    r"OutOfMemory|OUT_OF_MEMORY|GC overhead limit": (
        "Spark ran out of memory; give it more with the setting spark.executor.memory=8g, "
        "where the master is local[…] with spark.driver.memory=8g"
    ),
    r"spark\.driver\.maxResultSize|TaskResultLost": (
        "an answer is larger than the driver takes; raise that with the setting "
        "spark.driver.maxResultSize=…, or ask for longer windows or a shorter time"
    ),
    r"No space left on device": (
        "Spark has no room on disk; name another folder with the setting spark.local.dir=FOLDER"
    ),
    r"SparkContext was shut down|stopped SparkContext|Java side is empty|Py4JNetworkError|ConnectionRefused"
    r"|Master removed our application|masters are unresponsive": (
        "Spark ended while it worked: its Java process or its master is gone"
    ),
}
"""What a statement fails of on a cluster, by what Spark says then, in a line with what mends it."""


class SparkError(Exception):
    """Spark does not start, or no master answers; the text is one line that says what to do."""


class NotInstalledError(SparkError):
    """Java or a package that Spark needs is missing; the text begins with `needs`."""


class MasterError(SparkError):
    """Spark does not accept the name of the master; the text begins with that name."""


class SparkEngine:
    """A Spark session that holds one opened trace and answers questions about it; threads may ask at once.

    If the cluster fails, and not the statement, it raises `failure` with a line of `FAILURES`.
    """

    name = "spark"
    fetch_limit_rows: int | None = 1_200_000
    """Of 22 bytes each, as `session_requests` has them."""

    def __init__(self, session: SparkSession, failure: type[Exception] = SparkError) -> None:
        self.session = session
        self._failure = failure
        self._persisted: list[DataFrame] = []
        self._views: set[str] = set()

    def run(self, sql: str, **parameters: Any) -> DataFrame:
        """A statement in Spark's words as a frame that is not computed yet; it takes what it asks for."""
        return self.session.sql(sql, {name: _plain(parameters[name]) for name in parameters_of(sql)} or None)

    def rows(self, sql: str, **parameters: Any) -> list[tuple[Any, ...]]:
        """The few rows of a statement in Spark's words."""
        with self.guarded():
            return [tuple(row) for row in self.run(sql, **parameters).collect()]

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Inside, faults of the cluster and Ctrl-C become errors of one line."""
        try:
            yield
        except Exception as failed:
            cause: BaseException | None = failed
            while cause is not None:
                if isinstance(cause, KeyboardInterrupt):
                    raise KeyboardInterrupt from failed
                cause = cause.__context__
            text = f"{type(failed).__name__}: {failed}"
            for pattern, line in FAILURES.items():
                if re.search(pattern, text):
                    raise self._failure(line) from failed
            raise

    @contextmanager
    def lenient(self) -> Iterator[None]:
        """Statements inside read a number that does not fit as NULL, because a log may contain any number."""
        self.session.conf.set(STRICT, "false")
        try:
            yield
        finally:
            self.session.conf.set(STRICT, "true")

    def view(self, table: str, frame: DataFrame, *, keep: bool = False) -> None:
        """Give a frame a name for questions.

        Parameters
        ----------
        table : str
        frame : DataFrame
            Of Spark.
        keep : bool
            Let the cluster keep its rows, in memory or on disk, once they are computed.
        """
        if keep:
            from pyspark import StorageLevel

            frame = frame.persist(StorageLevel.MEMORY_AND_DISK)
            self._persisted.append(frame)
        frame.createOrReplaceTempView(table)
        self._views.add(table)

    def create(self, table: str, name: str, *, keep: bool = False, **parameters: Any) -> None:
        """Give the answer of one SQL file a name, for the questions that follow.

        Parameters
        ----------
        table : str
        name : str
            Of the SQL file.
        keep : bool
            As for `view`.
        **parameters
            Values of `$name` in the file.
        """
        self.view(table, self.run(in_spark(sql_text(name)), **parameters), keep=keep)

    def fill(self, table: str, columns: str, rows: Sequence[Sequence[Any]]) -> None:
        """Make a small table from plain rows; text stays data, never SQL."""
        schema = columns.replace("VARCHAR", "STRING")
        self.view(table, self.session.createDataFrame([tuple(row) for row in rows], schema))

    def table(self, name: str) -> pl.DataFrame:
        """The whole of a small table."""
        return self._fetched(self.session.table(name))

    def ask(self, name: str, **parameters: Any) -> pl.DataFrame:
        """Run one SQL file and fetch its answer, a small table; `$name` in it is bound from `parameters`."""
        return self._fetched(self.run(in_spark(sql_text(name)), **parameters))

    def _fetched(self, frame: DataFrame) -> pl.DataFrame:
        """The rows of a small frame, by way of Arrow."""
        with self.guarded():
            answer = pl.from_arrow(frame.toArrow())
        assert isinstance(answer, pl.DataFrame)
        return answer

    def close(self) -> None:
        """Let go of what the cluster holds for this trace; the application stays for the next one."""
        if self.session.sparkContext._jsc is None:
            return  # An application with other settings replaced it, and its tables are gone.
        for frame in self._persisted:
            frame.unpersist()
        for table in self._views:
            self.session.catalog.dropTempView(table)


def _plain(value: Any) -> Any:
    """A parameter as Spark takes it: no number of NumPy's, and a list as an array."""
    if isinstance(value, list):
        from pyspark.sql import functions

        return functions.array(*(functions.lit(_plain(each)) for each in value))
    return value.item() if hasattr(value, "item") else value


_starting = Lock()
_running_settings: dict[str, str] = {}
"""Settings given to the running application; Spark itself adds to some of them."""


def start(
    master: str = LOCAL, conf: Mapping[str, str] | None = None, failure: type[Exception] = SparkError
) -> SparkEngine:
    """Start an engine on a Spark master.

    Reuses the application of an earlier call if master and settings are the same, otherwise stops it.

    Parameters
    ----------
    master : str
        `local[*]`, `spark://…`, `yarn`, `k8s://…`.
    conf : mapping, optional
        Settings of Spark.
    failure : type of exception
        Raised later, if the cluster fails (see `SparkEngine`).

    Returns
    -------
    SparkEngine

    Raises
    ------
    NotInstalledError
        Without PySpark and its companions, or Java 17 or newer.
    SparkError
        If Spark does not start.
    """
    java = _java()
    # PySpark warns about a version of pandas, which this module does not use.
    warnings.filterwarnings("ignore", message="PySpark does not yet fully support pandas")
    try:
        import pyarrow  # noqa: F401
        import sqlglot  # noqa: F401
        from pyspark import SparkConf, SparkContext
        from pyspark.sql import SparkSession
    except ImportError as fault:
        raise NotInstalledError(f"needs {fault.name}: {EXTRA}") from fault
    if java is None:
        raise NotInstalledError(f"needs Java 17 or newer: {JAVA}, or set JAVA_HOME")
    _reachable(master)
    # Our own message names the failure; the whole stack of Java calls helps nobody.
    for name in ("SQLQueryContextLogger", "DataFrameQueryContextLogger"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    logging.getLogger().addFilter(_not_of_the_bridge)
    local = IN_ONE_PROCESS if master.startswith("local") else {}
    settings = {**DEFAULTS, **local, **(conf or {}), "spark.master": master}
    with _starting:
        running = SparkContext._active_spark_context
        if running is not None:
            if settings == _running_settings:
                return SparkEngine(SparkSession(running).newSession(), failure)
            running.stop()
        configuration = SparkConf(loadDefaults=False)
        for key, value in settings.items():
            configuration.set(key, value)
        log = _log()
        try:
            _launch(configuration, log)
            session = SparkSession.builder.config(conf=configuration).getOrCreate()
        except Exception as fault:
            raise SparkError(f"Spark does not start on {master}: {_fault_text(fault, log)}") from fault
        _running_settings.clear()
        _running_settings.update(settings)
    return SparkEngine(session.newSession(), failure)


def _not_of_the_bridge(record: logging.LogRecord) -> bool:
    """Whether a record is not from the bridge to Java, which logs stacks of interrupted calls."""
    return "py4j" not in Path(record.pathname).parts


def _launch(settings: Any, log: Path) -> None:
    """Start the Java side; what it says goes to a file, so the screen stays ours."""
    from pyspark import SparkContext
    from pyspark.java_gateway import launch_gateway

    if SparkContext._gateway is None:
        with log.open("ab") as output:
            gateway = launch_gateway(settings, {"stdout": output, "stderr": output})
        SparkContext._ensure_initialized(gateway=gateway)


def _log() -> Path:
    """A file for what Java says, gone when this process is."""
    handle, name = tempfile.mkstemp(prefix="burstlens-spark-", suffix=".log")
    os.close(handle)
    atexit.register(Path(name).unlink, missing_ok=True)
    return Path(name)


def _java() -> str | None:
    """The Java that Spark would take."""
    home = os.environ.get("JAVA_HOME")
    return shutil.which("java", path=str(Path(home) / "bin")) if home else shutil.which("java")


def _reachable(master: str) -> None:
    """Raise SparkError if a standalone master does not answer: Spark itself would try for a minute."""
    if not re.match(r"(local(\[|$)|local-cluster\[|spark://|yarn$|k8s://)", master):
        raise MasterError(
            f"{master!r} is not a master that Spark accepts: local[*], spark://HOST:PORT, yarn, k8s://…"
        )
    if not master.startswith("spark://"):
        return
    faults = []
    for place in master.removeprefix("spark://").split(","):
        host, _, port = place.rpartition(":")
        if not host or not port.isdigit():
            raise MasterError(f"{master!r} does not have the form spark://HOST:PORT")
        try:
            socket.create_connection((host, int(port)), timeout=5).close()
            return
        except OSError as fault:
            faults.append(f"{place}: {(fault.strerror or str(fault)).lower()}")
    raise SparkError(
        f"no Spark master answers at {master} ({'; '.join(faults)}); "
        "start one ($SPARK_HOME/sbin/start-master.sh) or name another master"
    )


def _fault_text(fault: Exception, log: Path) -> str:
    """The first thing that went wrong, in one line: Java's own words if there are any."""
    lines = [
        line for line in log.read_text("utf-8", "replace").splitlines() if re.search(r"Error|Exception", line)
    ]
    if any("UnsupportedClassVersionError" in line for line in lines):
        return f"this Java is too old, Spark needs 17 or newer: {JAVA}, or set JAVA_HOME"
    text = lines[0] if lines else str(fault)
    return " ".join(text.split())[:300]
