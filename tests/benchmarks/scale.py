"""What a trace costs on either engine: `python -m tests.benchmarks.scale LOG…`.

It makes the table of docs/how-to/scale.md.
For each log and engine: seconds of wall clock and of processor time of the process and its Java, their
highest resident memory; and on Spark the bytes that each question shuffles. Not here: what a test asserts.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl

ENGINES = ("duckdb", "spark")


def children(pid: int) -> list[int]:
    """A process and all that it began."""
    try:
        child_pids = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [pid, *(each for child in child_pids for each in children(int(child)))]


def used(pid: int) -> tuple[float, float]:
    """Processor seconds and resident MB of a process."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), int(fields[21]) * 4096 / 1e6
    except OSError:
        return 0.0, 0.0


def measured(log: str, engine: str, *conf: str) -> str:
    """One fit in a process of its own, watched from here; `conf` are settings of Spark's, as `KEY=VALUE`."""
    start_s = time.monotonic()
    command = [sys.executable, "-m", "burstlens.cli", "fit", log, "-o", os.devnull, "-q", "--engine", engine]
    settings = conf or ("spark.driver.maxResultSize=32m",)
    more = [word for pair in settings for word in ("--spark-conf", pair)] if engine == "spark" else []
    process = subprocess.Popen([*command, *more])
    processor: dict[int, float] = {}
    peak = 0.0
    while True:
        usage = {pid: used(pid) for pid in children(process.pid)}
        processor |= {pid: max(seconds, processor.get(pid, 0.0)) for pid, (seconds, _) in usage.items()}
        peak = max(peak, sum(resident for _, resident in usage.values()))
        try:
            process.wait(0.2)
            break
        except subprocess.TimeoutExpired:
            continue
    wall, code = time.monotonic() - start_s, process.returncode
    return f"{engine:7} {wall:7.0f} s {sum(processor.values()):7.0f} cpu-s {peak:7.0f} MB  exit {code}"


def shuffled(log: str) -> list[str]:
    """Bytes that each question shuffles on Spark and brings to the driver, one question at a time."""
    from burstlens.analysis.conversations import part as conversations
    from burstlens.analysis.lengths import part as lengths
    from burstlens.analysis.trace.store_spark import SparkStore
    from burstlens.analysis.trace.trace import Cluster, open_trace
    from burstlens.analysis.traffic import arrivals, burstiness, failures, periodicity, volume
    from burstlens.queries.spark import SparkEngine

    class Watched(SparkEngine):
        def ask(self, name: str, **parameters: Any) -> pl.DataFrame:
            before, start = total(), time.monotonic()
            answer = super().ask(name, **parameters)
            took, moved = time.monotonic() - start, total() - before
            lines.append(
                f"{name:18} {took:6.1f} s {moved:13,} B shuffled {answer.estimated_size():11,} B fetched"
            )
            return answer

    trace = open_trace(Path(log), cluster=Cluster("local[*]"))
    assert isinstance(trace.engine, SparkEngine)
    store = trace.engine.session.sparkContext._jsc.sc().statusStore()

    def total() -> int:
        executors = store.executorList(False)
        return sum(executors.apply(i).totalShuffleWrite() for i in range(executors.size()))

    lines = [f"reading {total():,} B shuffled"]
    trace = replace(trace, store=SparkStore(Watched(trace.engine.session)))
    for ask in (
        volume.describe_volume,
        periodicity.describe_periodicity,
        arrivals.describe_arrivals,
        burstiness.describe_burstiness,
        lengths.describe_lengths,
        conversations.describe_conversations,
        failures.describe_failures,
    ):
        ask(trace)
    return lines


if __name__ == "__main__":
    for log in sys.argv[1:]:
        print(log)
        for engine in ENGINES:
            print(measured(log, engine), flush=True)
        print("\n".join(shuffled(log)), flush=True)
