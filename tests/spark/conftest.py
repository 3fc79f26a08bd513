"""Traces opened on both engines; every test here skips, saying why, where Java or the extra is missing."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from burstlens.analysis.logs.options import LogOptions
from burstlens.analysis.trace.trace import Cluster, Trace, open_trace

QUICK = {
    # Small traces: what takes time is Java's own compiling and planning.
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    "spark.driver.memory": "1g",
    "spark.sql.shuffle.partitions": "2",
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.codegen.wholeStage": "false",
}


@pytest.fixture(scope="session", autouse=True)
def _spark() -> None:
    for package in ("pyspark", "pyarrow", "sqlglot"):
        pytest.importorskip(package, reason=f"{package} is not installed: pip install 'burstlens[spark]'")
    if shutil.which("java") is None:
        pytest.skip("Java is not installed: apt-get install openjdk-17-jre-headless")


@pytest.fixture(scope="session")
def local() -> Cluster:
    """Spark in this process's own Java, set for small traces."""
    return Cluster("local[2]", QUICK)


@dataclass(frozen=True)
class Both:
    """One trace opened on either engine."""

    duckdb: Trace
    spark: Trace


Open = Callable[..., Both]


@pytest.fixture(scope="session")
def both(local: Cluster) -> Iterator[Open]:
    """Opens logs on both engines, once each."""
    opened: dict[Any, Both] = {}

    def open_both(*logs: Path, columns: dict[str, str] | None = None) -> Both:
        key = (logs, tuple((columns or {}).items()))
        if key not in opened:
            opened[key] = Both(
                open_trace(list(logs), options=LogOptions(columns=columns)),
                open_trace(list(logs), options=LogOptions(columns=columns), cluster=local),
            )
        return opened[key]

    yield open_both
    for each in opened.values():
        each.duckdb.engine.close()
        each.spark.engine.close()
