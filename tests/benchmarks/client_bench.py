"""What the client costs and how well it keeps time, beside a plain script on the same load.

    python -m tests.benchmarks.client_bench                 about 5 minutes
    python -m tests.benchmarks.client_bench --runs 1 --no-sustained

1,200 requests with Gamma arrivals of CV 3.2 at 20 a second, 256 tokens in, 16 out, against a mock server
(`mock_server`) on a core of its own; the client, `burstlens replay` as a person types it, has one core to
itself. The script (`script_client`) takes turns with it. Of several runs the best counts, for both; peaks of
memory are the highest. Then 800 requests a second for 20 seconds. Lateness is from the intended to the
actual send as each client tells it, and, since that could flatter, also as the server saw requests come.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from .figures import Figure, run_python

REQUESTS, RATE_RPS, CV = 1200, 20.0, 3.2
SUSTAINED_RPS, SUSTAINED_S = 800.0, 20.0
TOKENS_IN, TOKENS_OUT = 256, 16
ROOT = Path(__file__).parents[2]
SCRIPT = str(Path(__file__).with_name("script_client.py"))


@dataclass(frozen=True)
class Sent:
    """One client's run over a load."""

    requests: int
    seconds: float
    cpu_s: float
    peak_mb: float
    first_s: float
    """From the command to its first request at the server."""
    late_p50_s: float
    late_p99_s: float
    seen_p99_s: float
    """Lateness as the server saw it, against the earliest."""
    failed: int

    @property
    def cpu_per_1000_s(self) -> float:
        """CPU seconds per 1,000 requests, start-up included."""
        return 1000 * self.cpu_s / self.requests


def gamma_load(path: Path, requests: int, rate_rps: float, cv: float, seed: int = 1) -> Path:
    """A log of requests with Gamma gaps of that CV, its mean rate made exact."""
    source = random.Random(seed)
    shape = cv**-2
    gaps = [source.gammavariate(shape, 1.0) for _ in range(requests - 1)]
    scale = (requests / rate_rps) / sum(gaps)
    at_s = 0.0
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["arrival_s", "request_tokens", "response_tokens"])
        for gap in [0.0, *gaps]:
            at_s += gap * scale
            rows.writerow([f"{at_s:.6f}", TOKENS_IN, TOKENS_OUT])
    return path


@contextmanager
def mock_server(cores: set[int]) -> Iterator[str]:
    """The URL of a mock server on these cores, while the block lasts."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.mock_server"], stdout=subprocess.PIPE, cwd=ROOT
        )
    finally:
        os.sched_setaffinity(0, before)
    assert process.stdout is not None
    with process.stdout:
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.terminate()
            process.wait()


def burstlens_sends(log: Path, url: str, folder: Path, cores: set[int]) -> Sent:
    """`burstlens replay` of a log."""
    words = ["replay", str(log), "--url", url, "--served-model", "mock", "--out", str(folder), "--quiet"]
    arguments = ["-m", "burstlens.cli", *words]
    return _sent(arguments, url, cores, lambda: sorted(folder.glob("record-*.jsonl")))


def script_sends(log: Path, url: str, folder: Path, cores: set[int]) -> Sent:
    """The script's turn."""
    folder.mkdir()
    out = folder / "record.jsonl"
    return _sent([SCRIPT, str(log), url, "mock", str(out)], url, cores, lambda: [out])


def _sent(arguments: list[str], url: str, cores: set[int], records: Callable[[], list[Path]]) -> Sent:
    once = run_python(arguments, cores)
    rows = [json.loads(line) for path in records() for line in path.read_text().splitlines()]
    with urllib.request.urlopen(f"{url}/arrivals") as response:
        arrivals: list[float] = sorted(json.load(response))
    intended = sorted(row["intended_s"] for row in rows)
    late = [row["sent_s"] - row["intended_s"] for row in rows]
    seen = [arrival - due for arrival, due in zip(arrivals, intended, strict=True)]
    return Sent(
        requests=len(rows),
        seconds=once.seconds,
        cpu_s=once.cpu_s,
        peak_mb=once.peak_mb,
        first_s=arrivals[0] - once.started_s,
        late_p50_s=_quantile(late, 0.5),
        late_p99_s=_quantile(late, 0.99),
        seen_p99_s=_quantile(seen, 0.99) - min(seen),
        failed=sum(row["outcome"] != "ok" or row["response_tokens"] != TOKENS_OUT for row in rows),
    )


def _quantile(values: list[float], share: float) -> float:
    return sorted(values)[min(int(share * len(values)), len(values) - 1)]


def _best(runs: list[Sent], name: str) -> float:
    return min(float(getattr(run, name)) for run in runs)


def measure(runs: int, sustained: bool) -> Iterator[Figure]:
    """Every figure of client and script."""
    cores = sorted(os.sched_getaffinity(0))
    client, server = {cores[0]}, {cores[-1]}
    with (
        tempfile.TemporaryDirectory(prefix="burstlens-bench-") as temporary,
        mock_server(server) as url,
    ):
        folder = Path(temporary)
        log = gamma_load(folder / "gamma.csv", REQUESTS, RATE_RPS, CV)
        ours, theirs = [], []
        for i in range(runs):
            theirs.append(script_sends(log, url, folder / f"script-{i}", client))
            ours.append(burstlens_sends(log, url, folder / f"run-{i}", client))
        yield Figure("requests", REQUESTS)
        yield from _compared(ours, theirs)
        if not sustained:
            return
        many = round(SUSTAINED_RPS * SUSTAINED_S)
        log = gamma_load(folder / "sustained.csv", many, SUSTAINED_RPS, 1.0)
        script = script_sends(log, url, folder / "script-sustained", client)
        us = burstlens_sends(log, url, folder / "run-sustained", client)
        rate = f"{SUSTAINED_RPS:g} requests/s"
        yield Figure(f"{rate}: lateness p99, ms", 1e3 * us.late_p99_s, maximum=50)
        yield Figure(f"{rate}: lateness p99 as the server saw it, ms", 1e3 * us.seen_p99_s)
        yield Figure(f"{rate}: failed or short", us.failed, maximum=0)
        yield Figure(f"{rate}: CPU s per 1,000 requests", us.cpu_per_1000_s)
        yield Figure(f"{rate}: peak MB over {many:,} requests", us.peak_mb)
        yield Figure(f"{rate}: script's lateness p99, ms", 1e3 * script.late_p99_s)
        yield Figure(f"{rate}: script's CPU s per 1,000 requests", script.cpu_per_1000_s)


def _compared(ours: list[Sent], theirs: list[Sent]) -> Iterator[Figure]:
    late, their_late = _best(ours, "late_p99_s"), _best(theirs, "late_p99_s")
    cpu, their_cpu = _best(ours, "cpu_per_1000_s"), _best(theirs, "cpu_per_1000_s")
    yield Figure("lateness p99, ms", 1e3 * late)
    yield Figure("lateness p99 of the script, ms", 1e3 * their_late)
    yield Figure("lateness p99 over the script's", late / their_late, maximum=1)
    yield Figure("lateness median, ms", 1e3 * _best(ours, "late_p50_s"))
    yield Figure("lateness median of the script, ms", 1e3 * _best(theirs, "late_p50_s"))
    yield Figure("lateness p99 as the server saw it, ms", 1e3 * _best(ours, "seen_p99_s"))
    yield Figure("lateness p99 of the script as the server saw it, ms", 1e3 * _best(theirs, "seen_p99_s"))
    yield Figure("CPU s per 1,000 requests, start-up included", cpu, maximum=2.0)
    yield Figure("CPU s per 1,000 requests of the script", their_cpu)
    yield Figure("CPU over the script's", cpu / their_cpu)
    yield Figure("peak MB", max(run.peak_mb for run in ours), maximum=150)
    yield Figure("peak MB of the script", max(run.peak_mb for run in theirs))
    yield Figure("first request after the command, s", _best(ours, "first_s"), maximum=1)
    yield Figure("first request of the script, s", _best(theirs, "first_s"))
    yield Figure("failed or short", sum(run.failed for run in [*ours, *theirs]), maximum=0)


def main() -> None:
    """Print one line a figure, or all of them as JSON where asked."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.client_bench")
    parser.add_argument("--runs", type=int, default=2, help="turns of client and script, a minute each")
    parser.add_argument("--no-sustained", action="store_true", help="leave out 800 requests a second")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    results = []
    for figure in measure(options.runs, not options.no_sustained):
        results.append({**asdict(figure), "reached": figure.reached})
        if not options.json:
            print(figure.line(), flush=True)
    if options.json:
        print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
