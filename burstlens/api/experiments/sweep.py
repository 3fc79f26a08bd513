"""The experiment `sweep`: shape, scale and exponent varied, alone and in pairs (paper 5.2).

Not here: what it asks and concludes (`burstlens.bench.experiments.sweep`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from ...analysis.core.errors import InputError
from ...analysis.core.option_names import option
from ...analysis.core.result import silent
from ..options import Log
from .backend import (
    PRESET,
    TIMEOUT_S,
    BackendArguments,
    BackendOptions,
    calibrated,
    facts_of,
    question_on,
    seeds_from,
)
from .result import ExperimentResult, evaluated

if TYPE_CHECKING:
    from ...analysis.core.result import Progress
    from ...bench.experiments.grid import Grid
    from ...bench.experiments.trials import Experiment
    from .backend import Watch


class SweepOptions(BackendArguments, total=False):
    """The options of `sweep`."""

    shape: Sequence[float] | None
    scale: Sequence[float] | None
    exponent: Sequence[float] | None
    profile: Sequence[str] | None
    pairs: bool
    grid: Grid | Log | None
    kv: float | None
    calibrate: bool
    requests: int | None


def sweep(
    out: Log = "reports/build/sweep",
    *,
    shape: Sequence[float] | None = None,
    scale: Sequence[float] | None = None,
    exponent: Sequence[float] | None = None,
    profile: Sequence[str] | None = None,
    pairs: bool = True,
    grid: Grid | Log | None = None,
    kv: float | None = 0.3,
    calibrate: bool = True,
    requests: int | None = None,
    seeds: int = 5,
    seed: int = 0,
    simulate: str = PRESET,
    url: str | None = None,
    served_model: str | None = None,
    key: str | None = None,
    vocabulary: tuple[int, int] | None = None,
    timeout_s: float = TIMEOUT_S,
    max_num_seqs: int | None = None,
    max_num_queued_reqs: int | None = None,
    num_blocks: int | None = None,
    workers: int | None = None,
    backend: BackendOptions | None = None,
    progress: Progress | None = None,
) -> ExperimentResult:
    """Shape, scale and exponent varied, alone and in pairs (paper 5.2).

    Without values the paper's figure is made. The simulated engine refuses requests above 128 if neither its
    preset nor `max_num_queued_reqs` sets a limit: without one nothing would fail.

    Parameters
    ----------
    out
        Folder of the trials. The same call goes on where it was stopped.
    shape, scale, exponent
        Values to vary to. The start is shape 0.5, scale 2, exponent 1.1.
    profile
        Any of `"constant"`, `"linear"`, `"quadratic"`; all of them by default.
    pairs
        Also vary two at a time.
    grid
        Instead: a `Grid`, or a TOML file with one.
    kv
        Multiply all scales so that the start uses this share of the KV cache, found by trials.
    calibrate
        False, or `kv=None`, keeps the scales as they are.
    requests
        Requests of a trial, 2,000 by default, or about so many if something varies.
    seeds, seed
        Number of repetitions that differ by seed, and the first seed.
    simulate
        Preset of the simulated engine, or a profile file.
    url, served_model, key
        Instead: a real OpenAI-compatible server, as in `replay`.
    vocabulary
        First and last token id of prompts.
    timeout_s
        Seconds after which a request is given up; it counts as failed.
    max_num_seqs, max_num_queued_reqs, num_blocks
        Other limits of the simulated engine than the preset's.
    workers
        Number of processes in virtual time, by default one per core.
    backend
        What to run on, as one object, instead of the options from `simulate` to `num_blocks`.
    """
    from ...analysis.core.cpu import cores

    chosen = BackendOptions.of(
        backend,
        simulate,
        url,
        served_model,
        key,
        vocabulary,
        timeout_s,
        max_num_seqs,
        max_num_queued_reqs,
        num_blocks,
    )
    return evaluated(
        lambda watch, show: run_sweep(
            Path(out),
            grid=chosen_grid(shape, scale, exponent, profile, pairs, grid),
            kv=kv if calibrate else None,
            requests=requests,
            seeds=seeds,
            seed=seed,
            backend=chosen,
            workers=workers or cores(),
            watch=watch,
            progress=show,
        ),
        progress,
    )


def chosen_grid(
    shape: Sequence[float] | None,
    scale: Sequence[float] | None,
    exponent: Sequence[float] | None,
    profile: Sequence[str] | None,
    pairs: bool,
    grid: Grid | Log | None,
) -> Grid:
    """Make the grid of the options of `sweep`; raises InputError if they contradict each other."""
    from ...bench.experiments.grid import grid_of, read_grid

    values = {"shape": shape, "scale": scale, "exponent": exponent}
    varied = {name: each for name, each in values.items() if each is not None}
    if grid is None:
        return grid_of(varied or None, profiles=profile, pairs=pairs)
    if varied or profile is not None:
        name = next(iter(varied), "profile")
        raise InputError(f"{option('grid')} and {option(name)} both say what is varied: give one of them")
    found = read_grid(Path(grid)) if isinstance(grid, str | PathLike) else grid
    return found if pairs else replace(found, paired={})


def run_sweep(
    out: Path = Path("reports/build/sweep"),
    *,
    grid: Grid | Path | None = None,
    kv: float | None = 0.3,
    requests: int | None = None,
    seeds: int = 5,
    seed: int = 0,
    backend: BackendOptions | None = None,
    workers: int = 1,
    watch: Watch | None = None,
    progress: Progress = silent,
) -> Experiment:
    """`sweep` in this thread, on a backend; the trials as they were measured."""
    from ...bench.experiments import sweep_trials as asks
    from ...bench.experiments.backends import VirtualBackend
    from ...bench.experiments.facts import SweepFacts
    from ...bench.experiments.grid import grid_of, read_grid
    from ...bench.experiments.trials import run

    backend, numbered = backend or BackendOptions(), seeds_from(seeds, seed)
    n = asks.REQUESTS if requests is None else requests
    if n < asks.FEWEST:
        raise InputError(
            f"{option('requests')}: {n} is too few for a failure rate; the experiment needs {asks.FEWEST}"
        )
    chosen = read_grid(grid) if isinstance(grid, Path) else grid or grid_of()
    engine = backend.engine(watch)
    if isinstance(engine, VirtualBackend) and engine.preset.max_num_queued_reqs is None:
        engine = replace(engine, preset=engine.preset.limited(max_num_queued_reqs=asks.QUEUED))
    question_options = {"grid": chosen.as_dict(), "kv": kv, "first": n, "seeds": numbered}
    if (facts := facts_of(out, question_options, SweepFacts)) is None:
        factor = 1.0
        if kv is not None:
            begin = chosen.settings()[0]
            # In real time one seed has to do.
            tried = numbered[:1] if engine.alone else numbered
            scale = calibrated(
                kv, lambda by: [asks.load(begin, chosen.start, 1 / by, n, s) for s in tried], engine, progress
            )
            factor = float(f"{1 / scale:.6g}")
        facts = SweepFacts(dict(chosen.start), factor)
    limit = engine.preset.max_num_queued_reqs if isinstance(engine, VirtualBackend) else None
    question = question_on(
        engine,
        "sweep",
        question_options,
        synthetic=True,
        seeds=numbered,
        facts=facts,
        notes=asks.notes(chosen, facts.factor, kv, n, backend.timeout_s, limit),
    )
    listed = asks.trials(chosen, facts.factor, n, numbered)
    return run(question, listed, engine, out, workers=workers, progress=progress)
