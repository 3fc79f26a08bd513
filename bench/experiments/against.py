"""The trials of a real server run again on the simulated engine: how far its answers are from the server's.

Each trial's own workload, as its run folder keeps it, is served in virtual time. Not here: running the real
trials (`trials`), fitting the engine (`burstlens.bench.server.step_fit`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
from msgspec import structs

from ...analysis.core.result import Progress, silent
from ..record.run_folder import read_workload
from ..simulated.presets import Preset
from . import schedulers
from .backends import MEASURES, VirtualBackend, measures_of, spans_s
from .trials import Experiment, read, run_folders

COMPARED = ("e2e_s", "e2e_p90_s", "ttft_s", "token_latency_s", "throughput_tps", "kv_cache_peak")
WITHIN = 0.10
"""The simulated engine is to be as near in mean end-to-end latency and throughput, below saturation."""
JUDGED = ("e2e_s", "throughput_tps")
LEFT = 0.05
"""Of the time in which requests were sent: a server that needs more after the last one, besides the time of
an answer, had a queue that grew."""

ERRORS: dict[str, type[pl.DataType]] = {
    "experiment": pl.String,
    "setting": pl.String,
    "seed": pl.Int64,
    "saturated": pl.Boolean,
    "measure": pl.String,
    "measured": pl.Float64,
    "simulated": pl.Float64,
    "error": pl.Float64,
}
"""Columns of `errors`: `error` is the simulated value over the measured one, less 1."""
ORDERS: dict[str, type[pl.DataType]] = {
    "service": pl.String,
    "measure": pl.String,
    "measured": pl.String,
    "simulated": pl.String,
    "same": pl.Boolean,
}
"""Columns of `orders`: the schedulers, best first, `≈` between two that the trials do not distinguish."""

SUMMARY: dict[str, type[pl.DataType]] = {
    "experiment": pl.String,
    "saturated": pl.Boolean,
    "measure": pl.String,
    "trials": pl.UInt32,
    "mean_error": pl.Float64,
    "mean_size": pl.Float64,
    "worst": pl.Float64,
    "within": pl.Float64,
}
"""Columns of `summary`."""


def simulated(
    folder: Path, preset: Preset, timeout_s: float | None, progress: Progress = silent
) -> Experiment:
    """Serve every trial of an experiment on the simulated engine.

    Parameters
    ----------
    folder
        Folder of an experiment on a real server.
    preset
        Model and GPU of the simulated engine.
    timeout_s
        Seconds after its send at which a request is aborted; None waits for ever.
    progress
        Called with the step and the share that is done.

    Returns
    -------
    Experiment
        The same trials with the simulated measures instead of the measured ones.

    Raises
    ------
    InputError
        If the folder does not have an experiment, or it is damaged.
    DiskError
        If a file cannot be read.
    """
    measured = read(folder)
    engine, runs = VirtualBackend(preset, timeout_s, "priority"), run_folders(folder)
    rows = []
    for i, run in enumerate(runs):
        progress(f"{measured.question.kind} on the simulated engine", i / len(runs))
        rows.append(measures_of(engine.serve(read_workload(run), run, course=False).values))
    values = pl.DataFrame(rows, schema=dict.fromkeys(MEASURES, pl.Float64))
    question = structs.replace(measured.question, title=engine.title, simulated=preset.name)
    trials = measured.trials.select(measured.labels).hstack(values)
    return replace(measured, question=question, trials=trials, courses=pl.DataFrame())


def errors(measured: Experiment, model: Experiment) -> pl.DataFrame:
    """Compare each trial's measures with those of the simulated engine.

    Parameters
    ----------
    measured
        The experiment on the real server.
    model
        What `simulated` returned for it.

    Returns
    -------
    pl.DataFrame
        Columns of `ERRORS`, one row for each trial and measure of `COMPARED`.
    """
    rows = []
    for real, modelled in zip(
        measured.trials.iter_rows(named=True), model.trials.iter_rows(named=True), strict=True
    ):
        setting = ", ".join(f"{name} {real[name]}" for name in measured.labels if name != "seed")
        busy = saturated(real)
        for name in COMPARED:
            one, other = real[name], modelled[name]
            error = other / one - 1 if one and other is not None else None
            rows.append((measured.question.kind, setting, real.get("seed"), busy, name, one, other, error))
    return pl.DataFrame(rows, schema=ERRORS, orient="row")


def saturated(trial: Mapping[str, Any]) -> bool:
    """Check whether the server did not keep up in a trial (its measures by name)."""
    spans = spans_s(trial)
    if spans is None:
        return True
    if trial["waiting_peak"] == 0:
        # However long the last answers take: none of its samples had a request wait.
        return False
    sending_s, answer_s = spans
    return bool(trial["span_s"] - sending_s > LEFT * sending_s + 2 * answer_s)


def orders(measured: Experiment, model: Experiment) -> pl.DataFrame:
    """Compare the order of the schedulers on the server and on the simulated engine.

    Parameters
    ----------
    measured
        The experiment on the real server.
    model
        What `simulated` returned for it.

    Returns
    -------
    pl.DataFrame
        Columns of `ORDERS`; no rows if it is not the experiment `schedulers`.
    """
    if measured.question.kind != "schedulers":
        return pl.DataFrame(schema=ORDERS)
    one, other = (schedulers.parts(each)[0].orders() for each in (measured, model))
    both = one.join(other, on=("service", "measure"), suffix="_simulated", maintain_order="left")
    same = [agree(a, b) for a, b in both.select("order", "order_simulated").iter_rows()]
    named = both.select("service", "measure", measured="order", simulated="order_simulated")
    return named.with_columns(pl.Series("same", same, dtype=pl.Boolean))


def agree(one: str, other: str) -> bool:
    """Check whether two orders agree on every pair that both of them order.

    Parameters
    ----------
    one, other
        Orders such as `SRF, FCFS ≈ LRF`.
    """

    def ordered_pairs(order: str) -> set[tuple[str, str]]:
        groups = [group.replace(" = ", " ≈ ").split(" ≈ ") for group in order.split(", ")]
        return {
            (a, b)
            for i, group in enumerate(groups)
            for later in groups[i + 1 :]
            for a in group
            for b in later
        }

    return not ordered_pairs(one) & {(b, a) for a, b in ordered_pairs(other)}


def summary(found: pl.DataFrame) -> pl.DataFrame:
    """Summarize errors by experiment, saturation and measure: trials, mean and worst error, share `WITHIN`.

    Columns of `SUMMARY`; what was not measured on both sides has no row.
    """
    size = pl.col("error").abs()
    return (
        found.drop_nulls("error")
        .group_by("experiment", "saturated", "measure", maintain_order=True)
        .agg(
            trials=pl.len(),
            mean_error=pl.col("error").mean(),
            mean_size=size.mean(),
            worst=size.max(),
            within=(size <= WITHIN).mean(),
        )
    )
