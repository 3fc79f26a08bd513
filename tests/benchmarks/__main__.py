"""Measure speed and memory in one run, each figure as a ratio against a yardstick run beside it.

    make bench                                        1.43 and 10.6 million rows
    make bench ARGS='--rows 1.43 --no-pandas'         a quick run
    make bench ARGS='--keep DIR --json'               keep the generated logs for the next run
    make bench ARGS='--parts client simulator'        only the client and the engine model

Every contestant is a process of its own, start and imports included, so its peak memory is its own. They take
turns, and the fastest of `--runs` counts: on a machine with other work the ratios hold better than the
seconds. CPU seconds are told beside them.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path

from . import client_bench, nested_bench
from .figures import Figure, Measured, run_python

ROWS_PER_DAY = 23_595
"""Mean rows per day of the synthetic trace."""
SMALL_MILLION, LARGE_MILLION = 1.43, 10.6
SAMPLED = 400
"""Windows that the loop over SciPy fits; its time is scaled to all of them."""

PARTS = ("logs", "nested", "client", "simulator")
SIMULATED_RPS = 20_000
"""Requests that the simulated engine has to serve in a second of wall time."""

CHARACTERIZE = "import sys, burstlens; burstlens.describe(sys.argv[1])"
REPORT = "import sys, burstlens; burstlens.report([sys.argv[1]], sys.argv[2])"
BARE_SCAN = """
import sys, duckdb
connection = duckdb.connect()
connection.execute("SET enable_progress_bar = false")
connection.execute(
    'SELECT FLOOR(Timestamp / 3600) AS hour, "Log Type", COUNT(*) FROM read_csv(?) GROUP BY 1, 2',
    [sys.argv[1]],
).fetchall()
"""


def generated(folder: Path, million: float) -> Path:
    """The synthetic log of that many rows; made in a process of its own unless it is there already."""
    path = folder / f"synthetic_{million:g}m.csv"
    if not path.exists():
        days = str(million * 1e6 / ROWS_PER_DAY)
        partial = path.with_name(f"synthetic_{os.getpid()}.csv")
        command = [
            sys.executable,
            "-m",
            "burstlens.cli",
            "synth",
            "--quiet",
            "--days",
            days,
            "-o",
            str(partial),
        ]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        partial.rename(path)
    return path


def rows_of(path: Path) -> int:
    """Lines of a log after its header."""
    with path.open("rb") as file:
        return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 22), b"")) - 1


def measure(path: Path, million: float, runs: int, pandas: bool) -> Iterator[Figure]:
    """Every figure for one log; targets where the size is the one that they are set for."""
    large, small = million == LARGE_MILLION, million == SMALL_MILLION
    yield Figure("rows", rows_of(path))
    scan, ours = Measured(), Measured()
    for _ in range(runs):
        scan.run(["-c", BARE_SCAN, str(path)])
        ours.run(["-c", CHARACTERIZE, str(path)])
    yield Figure("bare scan, s", scan.seconds)
    yield Figure("bare scan, CPU s", scan.cpu_s)
    yield Figure("characterization, s", ours.seconds)
    yield Figure("characterization, CPU s", ours.cpu_s)
    yield Figure("characterization over bare scan", ours.seconds / scan.seconds, maximum=3 if large else None)
    yield Figure("characterization over bare scan, CPU", ours.cpu_s / scan.cpu_s)
    yield Figure("characterization, peak MB", ours.peak_mb, maximum=1200 if large else None)
    if pandas:
        theirs = Measured()
        theirs.run([str(Path(__file__).with_name("yardstick.py")), str(path)])
        yield Figure("pandas + SciPy, s", theirs.seconds)
        yield Figure("pandas + SciPy, CPU s", theirs.cpu_s)
        yield Figure("pandas + SciPy, peak MB", theirs.peak_mb)
        ratio = theirs.seconds / ours.seconds
        yield Figure("pandas + SciPy over characterization", ratio, minimum=20 if large else None)
        yield Figure("pandas + SciPy over characterization, CPU", theirs.cpu_s / ours.cpu_s)
    yield from _windows(path)
    if small:
        yield from _report(path, ours)


def _windows(path: Path) -> Iterator[Figure]:
    """Fitting every window of every selection, from the opened trace, against SciPy one window at a time."""
    fitting = Measured()
    fitting.run(["-m", "tests.benchmarks.windows_bench", str(path), str(SAMPLED)])
    fit: Mapping[str, float] = json.loads(fitting.output)
    yield Figure("windows fitted", fit["windows"])
    yield Figure("windows: gaps asked and shapes fitted, s", fit["fit_s"])
    yield Figure("windows: also priors, redraws, goodness of fit, s", fit["all_s"])
    for call, key in (("gamma.fit(x)", "scipy_s"), ("gamma.fit(x, floc=0)", "scipy_floc_s")):
        yield Figure(f"loop over {call} over shapes fitted", fit[key] / fit["fit_s"], minimum=200)
        yield Figure(f"loop over {call} over all of it", fit[key] / fit["all_s"])


def _report(path: Path, ours: Measured) -> Iterator[Figure]:
    """The whole report with every figure as SVG and PNG."""
    with tempfile.TemporaryDirectory(prefix="burstlens-bench-") as folder:
        report = Measured()
        report.run(["-c", REPORT, str(path), folder])
        yield Figure("report, s", report.seconds)
        yield Figure("report over characterization", report.seconds / ours.seconds, maximum=10)
        yield Figure("page, MB", (Path(folder) / "index.html").stat().st_size / 1e6, maximum=15)


def simulator() -> Iterator[Figure]:
    """The engine model in virtual time, in a process of its own."""
    rates = json.loads(run_python(["-m", "tests.benchmarks.simulator_bench"]).output)
    for load, figures in rates.items():
        speed = figures["requests_per_s"]
        yield Figure(f"simulator, {load} load: requests per s", speed, minimum=SIMULATED_RPS)
        yield Figure(f"simulator, {load} load: with every gap", figures["requests_per_s_with_gaps"])


def main() -> None:
    """Print one line a figure, or all of them as JSON where asked."""
    parser = argparse.ArgumentParser(
        prog="make bench", description="Speed and memory, as ratios measured in one run."
    )
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="what to measure")
    parser.add_argument(
        "--rows", type=float, nargs="+", default=[SMALL_MILLION, LARGE_MILLION], help="millions of rows"
    )
    parser.add_argument("--runs", type=int, default=3, help="runs of scan and characterization")
    parser.add_argument("--client-runs", type=int, default=2, help="turns of client and script")
    parser.add_argument("--no-pandas", action="store_true", help="leave out the slow yardstick")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep the generated logs, and use them")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    results: dict[str, list[dict[str, object]]] = {}

    def tell(part: str, figures: Iterator[Figure]) -> None:
        if not options.json:
            print(f"\n{part}", flush=True)
        results[part] = []
        for figure in figures:
            results[part].append({**asdict(figure), "reached": figure.reached})
            if not options.json:
                print(figure.line(), flush=True)

    with tempfile.TemporaryDirectory(prefix="burstlens-bench-") as temporary:
        folder: Path = options.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for million in options.rows if "logs" in options.parts else []:
            path = generated(folder, million)
            tell(f"{million:g} million rows", measure(path, million, options.runs, not options.no_pandas))
    if "nested" in options.parts:
        tell("nested JSON lines", nested_bench.measure(options.runs))
    if "client" in options.parts:
        tell("client", client_bench.measure(options.client_runs, sustained=True))
    if "simulator" in options.parts:
        tell("simulator", simulator())
    if options.json:
        print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
