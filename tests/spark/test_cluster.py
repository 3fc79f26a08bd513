"""A real cluster: Spark's own standalone master and two workers on loopback, one of which is killed half-way.

10.6 million synthetic rows, of 451 days, unless BURSTLENS_SPARK_DAYS says otherwise; they take minutes.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import burstlens as bl

from .test_results import same

pytestmark = pytest.mark.spark
DAYS = float(os.environ.get("BURSTLENS_SPARK_DAYS", "451"))
PATIENCE_S = 120.0
HOST = "127.0.0.1"
DEPLOYED = "org.apache.spark.deploy"
ALONE = ("--host", HOST, "--webui-port", "0")


@dataclass
class Standalone:
    """The processes of a cluster."""

    master: str
    workers: list[subprocess.Popen[bytes]]

    def kill_worker(self) -> None:
        """End one worker and what it runs, as a machine that goes dark."""
        victim = self.workers.pop()
        children = Path(f"/proc/{victim.pid}/task/{victim.pid}/children").read_text().split()
        for pid in [victim.pid, *map(int, children)]:
            os.kill(pid, signal.SIGKILL)
        victim.wait()


def start_process(name: str, folder: Path, *arguments: str) -> tuple[subprocess.Popen[bytes], Path]:
    """One of Spark's own processes, and the file with what it says."""
    import pyspark

    home = Path(pyspark.__file__).parent
    log = folder / f"{name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [home / "bin" / "spark-class", *arguments],
            stdout=output,
            stderr=output,
            env={
                **os.environ,
                "SPARK_HOME": str(home),
                "SPARK_LOCAL_IP": "127.0.0.1",
                "SPARK_DAEMON_MEMORY": "256m",
                # A worker that is killed leaves its scratch files.
                "SPARK_LOCAL_DIRS": str(folder),
            },
        )
    return process, log


def wait_for(process: subprocess.Popen[bytes], log: Path, pattern: str) -> str:
    """The first match in what a process says, once it says it."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        found = re.search(pattern, log.read_text("utf-8", "replace"))
        if found:
            return found[0]
        try:
            process.wait(0.2)
            break
        except subprocess.TimeoutExpired:
            continue
    raise AssertionError(f"no {pattern} in:\n{log.read_text('utf-8', 'replace')[-2000:]}")


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Standalone]:
    processes: list[subprocess.Popen[bytes]] = []
    try:
        master, log = start_process("master", tmp_path, f"{DEPLOYED}.master.Master", *ALONE, "--port", "0")
        processes.append(master)
        url = wait_for(master, log, r"spark://127\.0\.0\.1:\d+")
        for i in (1, 2):
            room = ("--cores", "1", "--memory", "2g", "--work-dir", str(tmp_path / f"work_{i}"))
            worker, log = start_process(
                f"worker_{i}", tmp_path, f"{DEPLOYED}.worker.Worker", url, *ALONE, *room
            )
            processes.append(worker)
            wait_for(worker, log, "Successfully registered with master")
        yield Standalone(url, processes[1:])
    finally:
        for process in reversed(processes):
            process.kill()
            process.wait()


def test_a_worker_killed_half_way_and_a_small_driver_change_nothing(
    cluster: Standalone, tmp_path: Path
) -> None:
    log = tmp_path / "synthetic.parquet"
    bl.synth(log, days=DAYS).engine.close()
    killed: list[str] = []

    def kill_half_way(step: str, share: float) -> None:
        if share >= 0.4 and not killed:
            cluster.kill_worker()
            killed.append(step)

    theirs = bl.fit(
        log,
        engine="spark",
        master=cluster.master,
        conf={
            "spark.driver.bindAddress": HOST,
            "spark.driver.host": HOST,
            "spark.driver.memory": "1g",
            "spark.driver.maxResultSize": "32m",
            "spark.executor.memory": "1g",
            "spark.sql.shuffle.partitions": "8",
        },
        progress=kill_half_way,
    )
    assert killed
    same(bl.fit(log), theirs)
