"""The experiment `schedulers`: three orders of serving on conversation and API load (paper 5.3).

Not here: what it asks and concludes (`burstlens.bench.experiments.schedulers`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ...analysis.core.errors import InputError
from ...analysis.core.option_names import option
from ...analysis.core.result import Progress, silent
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
)
from .result import ExperimentResult, evaluated

if TYPE_CHECKING:
    from ...analysis.interchange.parameter_model import ParameterFile
    from ...bench.experiments.backends import Backend, EndpointBackend
    from ...bench.experiments.facts import SchedulersFacts
    from ...bench.experiments.schedulers import ServiceLoad
    from ...bench.experiments.trials import Experiment
    from .backend import Watch

Levels = Mapping[str, float | None]
"""How heavy the load is: `rate_rps`, `kv` or `load`; one of them at most is set."""


class SchedulersOptions(BackendArguments, total=False):
    """The options of `schedulers`."""

    source: Log | None
    range_s: float | None
    start_s: float | None
    end_s: float | None
    rate_rps: float | None
    kv: float | None
    load: float | None
    requests: int | None


def schedulers(
    source: Log | None = None,
    out: Log = "reports/build/schedulers",
    *,
    range_s: float | None = None,
    start_s: float | None = None,
    end_s: float | None = None,
    rate_rps: float | None = None,
    kv: float | None = None,
    load: float | None = None,
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
    """First come first served, shortest first and longest first, on two loads (paper 5.3).

    The engine schedules by priority. A real server that does not is an error.

    Parameters
    ----------
    source
        A trace, which is fitted, or a `parameters.json`; by default the embedded synthetic trace.
    out
        Folder of the trials. The same call goes on where it was stopped.
    range_s
        Length in seconds of the range of the trace that is drawn by `seed`, an hour by default.
    start_s, end_s
        Instead: a fixed range, in seconds since midnight of day 0.
    rate_rps
        Mean rate of both loads, in requests per second.
    kv
        Instead: the rate that brings KV-cache use to this share.
    load
        Instead: this share of the capacity, 0.9 by default. The capacity is the rate at which the server
        answers the same requests sent at once.
    requests
        About this many requests of each service, 1,000 by default.
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
        lambda watch, show: run_schedulers(
            None if source is None else source_text(source),
            Path(out),
            range_s=range_s,
            start_s=start_s,
            end_s=end_s,
            rate_rps=rate_rps,
            kv=kv,
            load=load,
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


def run_schedulers(
    source: str | None = None,
    out: Path = Path("reports/build/schedulers"),
    *,
    range_s: float | None = None,
    start_s: float | None = None,
    end_s: float | None = None,
    rate_rps: float | None = None,
    kv: float | None = None,
    load: float | None = None,
    requests: int | None = None,
    seeds: int = SEEDS,
    seed: int = 0,
    backend: BackendOptions | None = None,
    workers: int = 1,
    watch: Watch | None = None,
    progress: Progress = silent,
) -> Experiment:
    """`schedulers` in this thread, on a backend; the trials as they were measured."""
    from ...bench.experiments import schedulers as asks
    from ...bench.experiments.backends import EndpointBackend
    from ...bench.experiments.facts import SchedulersFacts
    from ...bench.experiments.trials import run

    backend, numbered = replace(backend or BackendOptions(), scheduling="priority"), seeds_from(seeds, seed)
    levels: Levels = {"rate_rps": rate_rps, "kv": kv, "load": load}
    given = [name for name, value in levels.items() if value is not None]
    if len(given) > 1:
        raise InputError(
            f"{option(given[0])} and {option(given[1])} both say how heavy the load is: give one of them"
        )
    for name, value in (*levels.items(), ("requests", requests), ("range_s", range_s)):
        if value is not None and not 0 < value < math.inf:
            raise InputError(f"{option(name)}: {value:g} is not above 0")
    engine = backend.engine(watch)
    notes = []
    if isinstance(engine, EndpointBackend):
        notes += _sure_of_priority(engine)
    file = _parameters(source, seed, progress)
    services = asks.services_of(file)
    length_s = range_s or asks.RANGE_S
    chosen = asks.picked(file, services, length_s, seed, (start_s, end_s))
    wanted = requests or asks.REQUESTS
    loads = {service: asks.load_of(file, service, chosen, wanted) for service in services}
    question_options = {
        "sources": [{"name": each.name, "sha256": each.sha256} for each in file.source.files]
        or [{"name": file.source.name, "sha256": ""}],
        "range_s": [chosen.start_s, chosen.end_s],
        "requests": wanted,
        "rate": rate_rps,
        "kv": kv,
        "load": load,
        "seeds": numbered,
    }
    if (facts := facts_of(out, question_options, SchedulersFacts)) is None:
        rates, capacities = {}, {}
        for service, each in loads.items():
            rates[service], capacity = _rate(service, each, levels, engine, seed, progress)
            if capacity is not None:
                capacities[service] = capacity
        facts = SchedulersFacts(dict(chosen.requests), rates, capacities)
    notes.append(
        f"From {chosen.start_s:,.0f} to {chosen.end_s:,.0f} s of the trace; "
        + "; ".join(f"{s} at {r:.4g} requests/s" for s, r in facts.rates_rps.items())
        + _how(levels, facts)
    )
    question = question_on(
        engine,
        "schedulers",
        question_options,
        synthetic=file.source.synthetic,
        seeds=numbered,
        facts=facts,
        notes=notes,
    )
    listed = asks.trials(loads, facts.rates_rps, numbered)
    return run(question, listed, engine, out, workers=workers, progress=progress)


def _sure_of_priority(engine: EndpointBackend) -> list[str]:
    """Raise InputError if the server does not schedule by priority; return a note if no probe shows it."""
    from ...bench.client.preflight import preflight
    from ...bench.server.priority_probe import REMEDY, serves_by_priority

    url = engine.target.url
    found = serves_by_priority(engine.target, engine.vocabulary, preflight(engine.target).max_model_len)
    if found is False:
        raise InputError(
            f"server {url} {REMEDY}: of requests that waited, the more urgent were not served first"
        )
    if found is None:
        return [f"No probe made a queue at {url}, so whether it schedules by priority is unknown."]
    return []


def _parameters(source: str | None, seed: int, progress: Progress) -> ParameterFile:
    """The parameters of a file, or the fit of a trace."""
    from ...analysis.interchange.parameter_model import ParameterFile
    from ...analysis.interchange.parameters import parameters, read_parameters

    if source is not None and Path(source).suffix == ".json":
        return ParameterFile.of(read_parameters(Path(source)))
    from ...analysis.characterize import characterize

    trace = open_source(source, progress)
    try:
        return ParameterFile.of(parameters(characterize(trace, seed=seed, progress=progress)))
    finally:
        trace.engine.close()


def _rate(
    service: str, each: ServiceLoad, levels: Levels, engine: Backend, seed: int, progress: Progress
) -> tuple[float, float | None]:
    """The rate of a service's load, and the capacity if the rate follows from it."""
    import tempfile

    from ...bench.experiments.schedulers import LOAD

    if levels["rate_rps"] is not None:
        return levels["rate_rps"], None
    progress(f"capacity for {service}", 0.0)
    with tempfile.TemporaryDirectory(prefix="burstlens-") as folder:
        answered_rps = engine.serve(each.at_once(seed), Path(folder) / "run", course=False).values[
            "throughput_rps"
        ]
    if not answered_rps:
        raise InputError(
            f"{service}: the server answered none of the requests sent at once; give {option('rate_rps')}"
        )
    if levels["kv"] is None:
        rate = answered_rps * (levels["load"] or LOAD)
    else:
        rate = answered_rps * calibrated(
            levels["kv"], lambda by: each.draw(answered_rps * by, seed), engine, progress
        )  # fmt: skip
    return round(rate, 6), answered_rps


def _how(levels: Levels, facts: SchedulersFacts) -> str:
    """How the rates were found, to end a sentence."""
    from ...bench.experiments.schedulers import LOAD

    if levels["rate_rps"] is not None:
        return ", as given."
    if levels["kv"] is not None:
        return f", where KV-cache use is {100 * levels['kv']:g} %."
    capacity = "; ".join(f"{s} {r:.4g}" for s, r in facts.capacity_rps.items())
    return (
        f", {levels['load'] or LOAD:g} of the capacity, the requests per second that the server answers if "
        f"they are sent at once ({capacity})."
    )
