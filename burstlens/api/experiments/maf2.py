"""The experiment `maf2`: BurstGPT against Azure Functions at one rate (paper 5.1).

Not here: what it asks and concludes (`burstlens.bench.experiments.maf2`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from ...analysis.core.errors import InputError
from ...analysis.core.option_names import option
from ...analysis.core.result import silent
from ..options import Log, source_text
from .backend import (
    PRESET,
    SEEDS,
    TIMEOUT_S,
    BackendArguments,
    BackendOptions,
    calibrated,
    facts_of,
    open_source,
    question_on,
    seeds_from,
    sources_of,
)
from .result import ExperimentResult, evaluated

if TYPE_CHECKING:
    from ...analysis.core.result import Progress
    from ...bench.experiments.trials import Experiment
    from .backend import Watch


class Maf2Options(BackendArguments, total=False):
    """The options of `maf2`."""

    log: Log | None
    functions: Log | None
    rates_rps: Sequence[float]
    kv: Sequence[float]
    requests: int | None


def maf2(
    log: Log | None = None,
    out: Log = "reports/build/maf2",
    *,
    functions: Log | None = None,
    rates_rps: Sequence[float] = (),
    kv: Sequence[float] = (),
    requests: int | None = None,
    seeds: int = SEEDS,
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
    """BurstGPT against Azure Functions at one rate (paper 5.1).

    Parameters
    ----------
    log
        A BurstGPT trace; by default the embedded synthetic one.
    out
        Folder of the trials. The same call goes on where it was stopped.
    functions
        A trace of Azure Functions; by default a synthetic one.
    rates_rps
        Rates at which all are sent, in requests per second: the paper's 0.326 without a rate and `kv`.
    kv
        For each of these shares of the KV cache: also the rate at which BurstGPT's conversation uses it.
    requests
        Requests of each workload, 2,000 by default, fewer if a trace has fewer.
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
        lambda watch, show: run_maf2(
            None if log is None else source_text(log),
            Path(out),
            functions=None if functions is None else str(functions),
            rates_rps=rates_rps,
            kv=kv,
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


def run_maf2(
    log: str | None = None,
    out: Path = Path("reports/build/maf2"),
    *,
    functions: str | None = None,
    rates_rps: Sequence[float] = (),
    kv: Sequence[float] = (),
    requests: int | None = None,
    seeds: int = SEEDS,
    seed: int = 0,
    backend: BackendOptions | None = None,
    workers: int = 1,
    watch: Watch | None = None,
    progress: Progress = silent,
) -> Experiment:
    """`maf2` in this thread, on a backend; the trials as they were measured."""
    from ...bench.experiments import maf2 as asks
    from ...bench.experiments.facts import MAF2Facts
    from ...bench.experiments.trials import run

    backend, numbered = backend or BackendOptions(), seeds_from(seeds, seed)
    for rate in rates_rps:
        if not 0 < rate < math.inf:
            raise InputError(f"{option('rates_rps')}: {rate:g} is not above 0")
    if requests is not None and requests < asks.FEWEST:
        raise InputError(
            f"{option('requests')}: {requests:,} are too few to compare; the experiment needs {asks.FEWEST}"
        )
    engine = backend.engine(watch)
    with ExitStack() as stack:
        burst = open_source(log, progress)
        stack.callback(burst.engine.close)
        other = None if functions is None else open_source(functions, progress)
        if other is not None:
            stack.callback(other.engine.close)
        wanted = requests or asks.REQUESTS
        found = asks.loads(burst, other, requests=wanted, seed=seed)
        sources = {"burst": sources_of(burst), "functions": sources_of(other) if other else "synthetic"}
        synthetic = burst.info.synthetic or other is None or other.info.synthetic
    n = min(wanted, found.requests)
    notes = list(found.notes)
    if n < wanted:
        notes.append(f"{n:,} requests each, not {wanted:,}: {found.shortest} has no more.")
    question_options = {
        "sources": sources,
        "rates_rps": list(rates_rps),
        "kv": list(kv),
        "first": wanted,
        "seeds": numbered,
    }
    if (facts := facts_of(out, question_options, MAF2Facts)) is None:
        calibrated_rps = {}
        for use in kv:
            scale = calibrated(
                use,
                lambda by: asks.cut(found.pools, asks.CONVERSATION, n, asks.RATE_RPS * by, seed),
                engine,
                progress,
            )
            calibrated_rps[f"{use:g}"] = round(asks.RATE_RPS * scale, 6)
        facts = MAF2Facts(found.rows, n, calibrated_rps)
    rates = [*(rates_rps or ([] if kv else [asks.RATE_RPS])), *facts.calibrated.values()]
    question = question_on(
        engine,
        "maf2",
        question_options,
        synthetic=synthetic,
        seeds=numbered,
        facts=facts,
        notes=notes,
    )
    listed = asks.trials(found, list(dict.fromkeys(rates)), numbered, n)
    return run(question, listed, engine, out, workers=workers, progress=progress)
