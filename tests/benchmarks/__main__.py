"""Measure speed and memory in one run, each figure as a ratio against a yardstick run beside it.

    make bench                         1.43 and 10.6 million rows, about ten minutes on two cores
    make bench ARGS='--rows 1.43'      one size only

Every contestant is a process of its own, so its peak memory is its own. Times are the best of `--runs`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROWS_PER_DAY = 23_400
"""Mean rows per day of the synthetic trace: 61 days give about 1.43 million."""

CHARACTERIZE = "import burstlens as bl; bl.describe({path!r})"
REPORT = "import burstlens as bl; bl.report([{path!r}], {out!r})"
BARE_SCAN = """
import duckdb
duckdb.connect().execute(
    'SELECT FLOOR(Timestamp / 3600) AS hour, "Log Type", COUNT(*) FROM read_csv(?) GROUP BY 1, 2', [{path!r}]
).fetchall()
"""
GAMMA_WINDOWS = """
import json, time
import numpy as np
import polars as pl
from scipy import stats
from burstlens.analysis.arrivals import describe_arrivals, fit_windows_only
from burstlens.analysis.trace import open_trace
from pathlib import Path
trace = open_trace(Path({path!r}))
begun = time.perf_counter()
fitted = fit_windows_only(trace, 1200.0)
ours_s = time.perf_counter() - begun
arrivals = trace.engine.connection.execute(
    "SELECT arrival_s FROM requests ORDER BY arrival_s").fetchnumpy()["arrival_s"]
gaps = np.maximum(np.diff(arrivals), 1e-3)
window = arrivals[1:] // 1200
cuts = np.flatnonzero(np.diff(window)) + 1
samples = [g for g in np.split(gaps, cuts) if len(g) >= 5][:400]
begun = time.perf_counter()
for sample in samples:
    stats.gamma.fit(sample, floc=0)
scipy_s = (time.perf_counter() - begun) / len(samples)
print(json.dumps({{"windows": fitted, "ours_s": ours_s / fitted, "scipy_s": scipy_s}}))
"""


@dataclass(frozen=True)
class Measured:
    """One process: how long it ran and how much memory it held at most."""

    seconds: float
    peak_mb: float
    output: str


def run(code: list[str], runs: int) -> Measured:
    """The fastest of `runs` runs of a Python process, with the highest peak of memory seen."""
    best, peak, output = float("inf"), 0.0, ""
    for _ in range(runs):
        with tempfile.TemporaryFile() as out:
            begun = time.perf_counter()
            process = subprocess.Popen([sys.executable, *code], stdout=out)
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - begun
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode:
                raise SystemExit(f"a contestant failed with exit code {process.returncode}: {code[:2]}")
            out.seek(0)
            output = out.read().decode()
        best, peak = min(best, seconds), max(peak, usage.ru_maxrss / 1024)
    return Measured(best, peak, output)


def measure(million: float, folder: Path, runs: int, pandas: bool) -> dict[str, object]:
    """Every figure for one size of trace."""
    import burstlens as bl

    path = folder / f"synthetic_{million:g}m.csv"
    days = million * 1e6 / ROWS_PER_DAY
    made = bl.synth(path, days=days, seed=7)
    made.engine.close()
    where = {"path": str(path), "out": str(folder / "report")}
    scan = run(["-c", BARE_SCAN.format(**where)], runs)
    ours = run(["-c", CHARACTERIZE.format(**where)], runs)
    out: dict[str, object] = {
        "rows": made.info.rows,
        "bare scan s": round(scan.seconds, 2),
        "characterization s": round(ours.seconds, 2),
        "characterization peak MB": round(ours.peak_mb),
        "characterization / bare scan": round(ours.seconds / scan.seconds, 2),
    }
    if pandas:
        theirs = run([str(Path(__file__).with_name("yardstick.py")), str(path)], 1)
        out["pandas + scipy s"] = round(theirs.seconds, 2)
        out["pandas + scipy peak MB"] = round(theirs.peak_mb)
        out["pandas + scipy / characterization"] = round(theirs.seconds / ours.seconds, 1)
    fits = json.loads(run(["-c", GAMMA_WINDOWS.format(**where)], 1).output)
    out["windows fitted"] = fits["windows"]
    out["scipy loop / fit per window"] = round(fits["scipy_s"] / fits["ours_s"])
    if million < 2:
        whole = run(["-c", REPORT.format(**where)], 1)
        out["report s"] = round(whole.seconds, 2)
        out["report / characterization"] = round(whole.seconds / ours.seconds, 1)
        out["page MB"] = round((folder / "report" / "index.html").stat().st_size / 1e6, 2)
    path.unlink()
    return out


def main() -> None:
    """Print one line a figure, and all of them as JSON where asked."""
    parser = argparse.ArgumentParser(
        prog="make bench", description="Speed and memory, as ratios measured in one run."
    )
    parser.add_argument("--rows", type=float, nargs="+", default=[1.43, 10.6], help="millions of rows")
    parser.add_argument("--runs", type=int, default=3, help="runs of each contestant")
    parser.add_argument("--no-pandas", action="store_true", help="leave out the slow yardstick")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="burstlens-bench-") as folder:
        for million in asked.rows:
            figures = measure(million, Path(folder), asked.runs, not asked.no_pandas)
            if asked.json:
                print(json.dumps(figures))
                continue
            for name, value in figures.items():
                print(f"{name:<36} {value:>12,}", flush=True)
            print()


if __name__ == "__main__":
    main()
