"""The command line in this process, and servers in processes of their own, as several tests run them."""

from __future__ import annotations

import contextlib
import io
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest

from burstlens.cli import main

ROOT = Path(__file__).parents[1]
START_S, ASK_S = 300, 0.2
"""How long a server may take to come up, and how often it is asked."""


def burstlens(*words: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command line to its end as a user does, but in this process: a new one imports for seconds."""
    out, err = io.StringIO(), io.StringIO()
    argv = ["burstlens", *map(str, words)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", argv)
        patch.setattr(sys, "stdout", out)
        patch.setattr(sys, "stderr", err)
        patch.setenv("COLUMNS", "100")
        patch.delenv("BURSTLENS_TRACEBACK", raising=False)
        if cwd is not None:
            patch.chdir(cwd)
        with pytest.raises(SystemExit) as ended:
            main()
    code = ended.value.code
    assert isinstance(code, int)
    return subprocess.CompletedProcess(argv, code, out.getvalue(), err.getvalue())


@contextmanager
def serving(*options: object) -> Iterator[str]:
    """Base URL of `burstlens serve`, in a process of its own while the block lasts."""
    command = [sys.executable, "-u", "-m", "burstlens.cli", "serve", "--port", "0", *map(str, options)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            line = server.stdout.readline()
            found = re.search(r"http://\S+?:\d+", line)
            assert found, line
            yield found[0]
        finally:
            server.terminate()


def free_port() -> int:
    """A port on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def started(command: list[str], port: int, log: Path, env: Mapping[str, str]) -> subprocess.Popen[str]:
    """Start a server and wait until it says that it is well.

    Not for a line of its log: which lines there are depends on the server's version and log level.
    """
    with log.open("w") as out:
        server = subprocess.Popen(
            command,
            stdout=out,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=ROOT,
            env={**os.environ, **env},
            start_new_session=True,
        )
    deadline_s = time.monotonic() + START_S
    while time.monotonic() < deadline_s:
        with contextlib.suppress(OSError), urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as well:
            if well.status == 200:
                return server
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(ASK_S)
            break
    ended(server)
    pytest.fail(f"the server did not come up: {log.read_text()[-2000:]}")


def ended(server: subprocess.Popen[str]) -> None:
    """End a server and the processes that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGTERM)
    try:
        server.wait(30)
    except subprocess.TimeoutExpired:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()
