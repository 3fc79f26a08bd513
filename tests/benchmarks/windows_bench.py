"""Every window's fit, from an opened trace, against SciPy one window at a time: `LOG SAMPLED`, prints JSON.

The loop over SciPy fits some of the windows, and its time is scaled to all of them.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
from scipy import stats

from burstlens.analysis.stats.gamma import Likelihood
from burstlens.analysis.trace.store_duckdb import DuckDBStore
from burstlens.analysis.trace.trace import Trace, open_trace
from burstlens.analysis.trace.window_gaps import windows_of
from burstlens.analysis.traffic.window_fits import MIN_FIT_GAPS, fit_windows

WINDOW_S = 1200.0


def measure(trace: Trace, samples: int) -> dict[str, float]:
    """Seconds of asking for gaps, of all fits, and of SciPy's for as many windows."""
    # Tables that are made once a process are made before the clock starts.
    Likelihood(next(trace.window_gaps(windows_of(trace, 86400.0)))[1].own.sums, True)
    rng = np.random.default_rng(0)
    start_s = time.perf_counter()
    windows_gaps = list(trace.window_gaps(windows_of(trace, WINDOW_S)))
    read_s = time.perf_counter() - start_s
    start_s = time.perf_counter()
    fitted = [fit_windows(gaps, trace.info.resolution_s, rng) for _, gaps in windows_gaps]
    all_s = read_s + time.perf_counter() - start_s
    count = sum(int(np.isfinite(fit.raw.log_shape).sum()) for fit in fitted)
    start_s = time.perf_counter()
    for fit in fitted:
        sums = fit.gaps.own.sums
        Likelihood(sums[(sums.n >= MIN_FIT_GAPS) & (sums.mean > 0)], fit.discrete).maximum()
    fit_s = read_s + time.perf_counter() - start_s

    windows = gaps_by_window(trace)
    chosen = [windows[i] for i in rng.choice(len(windows), min(samples, len(windows)), replace=False)]

    def looped_s(**fixed: float) -> float:
        start_s = time.perf_counter()
        for window in chosen:
            stats.gamma.fit(window, **fixed)
        return (time.perf_counter() - start_s) / len(chosen) * count

    return {
        "windows": count,
        "fit_s": fit_s,
        "all_s": all_s,
        "scipy_s": looped_s(),
        "scipy_floc_s": looped_s(floc=0),
    }


def gaps_by_window(trace: Trace) -> list[np.ndarray]:
    """Gaps of every selection's windows that have enough of them."""
    assert isinstance(trace.store, DuckDBStore)
    samples: list[np.ndarray] = []
    for selection in trace.selections:
        arrival_s = trace.store.engine.connection.execute(
            "SELECT arrival_s FROM requests WHERE stream_id IN "
            "(SELECT stream_id FROM members WHERE selection_id = ?) ORDER BY arrival_s",
            [selection.selection_id],
        ).fetchnumpy()["arrival_s"]
        gaps = np.maximum(np.diff(arrival_s), 1e-3)
        cuts = np.flatnonzero(np.diff(arrival_s[:-1] // WINDOW_S)) + 1
        samples += [window for window in np.split(gaps, cuts) if len(window) >= MIN_FIT_GAPS]
    return samples


if __name__ == "__main__":
    with open_trace(Path(sys.argv[1])) as opened:
        print(json.dumps(measure(opened, int(sys.argv[2]))))
