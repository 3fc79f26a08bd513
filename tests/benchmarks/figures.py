"""A measured figure with its target, and a contestant measured as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """One measured figure, and what it has to reach."""

    name: str
    value: float
    maximum: float | None = None
    minimum: float | None = None

    @property
    def reached(self) -> bool | None:
        """Whether the target is reached; None where there is none."""
        if self.maximum is not None:
            return self.value <= self.maximum
        return self.value >= self.minimum if self.minimum is not None else None

    def line(self) -> str:
        """Name, value, target, yes or no."""
        target = ""
        if self.maximum is not None:
            target = f"at most {self.maximum:,g}"
        elif self.minimum is not None:
            target = f"at least {self.minimum:,g}"
        reached = {None: "", True: "yes", False: "NO"}[self.reached]
        return f"{self.name:<58} {self.value:>14,.4g} {target:>16} {reached:>4}"


@dataclass(frozen=True)
class Run:
    """One run of a process of its own, start and imports included."""

    started_s: float
    """On the machine's monotonic clock."""
    seconds: float
    cpu_s: float
    peak_mb: float
    output: str


def run_python(arguments: list[str], cores: set[int] | None = None) -> Run:
    """Run Python with these arguments, on these cores only where any are given; SystemExit if it fails.

    Linux counts what the parent holds into a child's peak: a caller that wants small peaks stays small.
    """
    before = os.sched_getaffinity(0)
    with tempfile.TemporaryFile() as out:
        if cores:
            os.sched_setaffinity(0, cores)
        started_s = time.monotonic()
        try:
            process = subprocess.Popen([sys.executable, *arguments], stdout=out)
        finally:
            os.sched_setaffinity(0, before)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - started_s
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"a contestant failed with exit code {process.returncode}: {arguments[:3]}")
        out.seek(0)
        output = out.read().decode()
    return Run(started_s, seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, output)


@dataclass
class Measured:
    """A contestant's fastest run, its CPU time, and the highest peak of memory seen."""

    seconds: float = float("inf")
    cpu_s: float = float("inf")
    peak_mb: float = 0.0
    output: str = ""

    def run(self, arguments: list[str]) -> None:
        """One more run of a Python process with these arguments."""
        once = run_python(arguments)
        self.output = once.output
        self.seconds = min(self.seconds, once.seconds)
        self.cpu_s = min(self.cpu_s, once.cpu_s)
        self.peak_mb = max(self.peak_mb, once.peak_mb)
