"""The paper's evaluations as functions: sources opened, the engine chosen, trials run into a folder.

Not here: what each asks and concludes (`burstlens.bench.experiments`), its page (`burstlens.reports`),
words and flags (`burstlens.cli.experiment`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..analysis.core.errors import InputError
from ..analysis.core.result import Progress, silent

if TYPE_CHECKING:
    from ..analysis.trace.trace import Trace
    from ..bench.experiments.backends import Backend, EndpointBackend, VirtualBackend
    from ..bench.experiments.grid import Grid
    from ..bench.experiments.schedulers import ServiceLoad
    from ..bench.experiments.trials import Experiment
    from ..bench.prompts.token_ids import Prompts
    from ..bench.settings import Api, Settings, Status, Target
    from ..bench.simulated.engine import Scheduling
    from ..bench.workload.table import Workload

    Watch = Callable[[Status], object]
    """Called twice a second of a run on an endpoint, which ends where it returns True."""

TIMEOUT_S = 300.0
"""After which a client gives a request up: aiohttp's own default, and the paper's client was made with
aiohttp."""
SEEDS = 10


@dataclass(frozen=True)
class On:
    """What an experiment runs on: a preset of the simulated engine, or a real endpoint."""

    simulate: str = "llama-2-13b-a100"
    target: Target | None = None
    """A real endpoint, in place of the simulated engine."""
    settings: Settings | None = None
    """How a real endpoint is sent to; None for the defaults."""
    vocabulary: tuple[int, int] | None = None
    prompts: Prompts | None = None
    """Of text; None for token ids."""
    timeout_s: float = TIMEOUT_S
    scheduling: Scheduling = "fcfs"
    """Policy of the simulated engine."""
    limits: dict[str, int | None] = field(default_factory=dict)
    """Other limits of the simulated engine than the preset's, such as `max_num_queued_reqs`."""

    def engine(self, watch: Watch | None = None) -> VirtualBackend | EndpointBackend:
        """Made ready; BurstlensError where there is no such preset or the endpoint cannot take load."""
        from ..bench.experiments.backends import EndpointBackend, VirtualBackend

        if self.target is None:
            from ..bench.simulated.presets import load_preset

            preset = load_preset(self.simulate).limited(**self.limits)
            return VirtualBackend(preset, self.timeout_s, self.scheduling)
        from ..bench.prompts.token_ids import FIRST, LAST
        from ..bench.settings import Settings

        settings = replace(self.settings or Settings(), timeout_s=self.timeout_s)
        return EndpointBackend.at(
            self.target, settings, self.vocabulary or (FIRST, LAST), self.prompts, watch
        )


def seeds_of(count: int, first: int) -> list[int]:
    """So many seeds from `first` on; BurstlensError for none."""
    if count < 1:
        raise InputError(f"--seeds: {count} is not above 0")
    return list(range(first, first + count))


def opened(log: str | None, progress: Progress) -> Trace:
    """The trace of a log, `A+B` being one in two files, or the embedded synthetic one."""
    if log is None:
        from ..analysis.synthetic.trace import open_synthetic

        return open_synthetic(progress=progress)
    from ..analysis.trace.trace import open_trace
    from .workload import files_of

    return open_trace(files_of(log), progress=progress)


def sources_of(trace: Trace) -> list[dict[str, str]]:
    """Name and SHA-256 of a trace's files; its name alone where it has none."""
    files = [{"name": source.name, "sha256": source.sha256} for source in trace.info.sources]
    return files or [{"name": trace.info.name, "sha256": ""}]


def calibrated(
    kv: float,
    at: Callable[[float], Workload | Sequence[Workload]],
    engine: Backend,
    progress: Progress = silent,
) -> float:
    """The scale, by trials on `engine`, at which the load `at(scale)` brings KV-cache use to `kv`.

    `at(1.0)` is tried first; where it gives several loads, such as one a seed, the mean of their uses counts.
    BurstlensError where that use cannot be reached.
    """
    import tempfile

    from ..bench.server.calibrate import calibrate
    from ..bench.workload.table import Workload

    loads: list[Workload] = []

    def first(scale: float) -> Workload:
        made = at(scale)
        loads[:] = [made] if isinstance(made, Workload) else made
        return loads[0]

    def measure(_: Workload) -> float:
        used = []
        for load in loads:
            with tempfile.TemporaryDirectory(prefix="burstlens-") as folder:
                told = engine.serve(load, Path(folder) / "run", course=False).values["kv_cache_use"]
            used.append(math.nan if told is None else told)
        return sum(used) / len(used)

    found = calibrate(kv, first, measure, progress=progress)
    if not found.reached:
        raise InputError(f"--kv {kv:g}: {found}")
    return found.scale


def facts_of(out: Path, asked: Mapping[str, Any]) -> dict[str, Any] | None:
    """What the same question found in `out` before; None where it was not begun there.

    What was calibrated on a real server would come out otherwise now, and trials go on at what it was.
    """
    from ..bench.experiments.trials import is_experiment, read

    if is_experiment(out) and (before := read(out).question).asked == asked:
        return dict(before.facts)
    return None


def maf2(
    log: str | None = None,
    out: Path = Path("reports/build/maf2"),
    *,
    functions: str | None = None,
    rates_rps: Sequence[float] = (),
    kv: Sequence[float] = (),
    requests: int | None = None,
    seeds: int = SEEDS,
    seed: int = 0,
    on: On | None = None,
    workers: int = 1,
    watch: Watch | None = None,
    progress: Progress = silent,
) -> Experiment:
    """BurstGPT against Azure Functions at one rate (paper 5.1); see `bench.experiments.maf2`.

    `rates_rps` are the rates at which all are sent, the paper's 0.326 where neither a rate nor `kv` is
    given; for each of `kv` one more is found at which BurstGPT's conversation uses that share of the KV
    cache. `requests` of each workload are sent, 2,000 where nothing is said, fewer where a trace holds
    fewer.
    """
    from ..bench.experiments import maf2 as asks
    from ..bench.experiments.trials import Question, run

    on, numbered = on or On(), seeds_of(seeds, seed)
    for rate in rates_rps:
        if not 0 < rate < math.inf:
            raise InputError(f"--rate: {rate:g} is not above 0")
    if requests is not None and requests < asks.FEWEST:
        raise InputError(f"--first: {requests:,} are too few to compare; {asks.FEWEST} are needed")
    engine = on.engine(watch)
    with ExitStack() as held:
        burst = opened(log, progress)
        held.callback(burst.engine.close)
        other = None if functions is None else opened(functions, progress)
        if other is not None:
            held.callback(other.engine.close)
        wanted = requests or asks.REQUESTS
        found = asks.loads(burst, other, requests=wanted, seed=seed)
        sources = {"burst": sources_of(burst), "functions": sources_of(other) if other else "synthetic"}
        synthetic = burst.info.synthetic or other is None or other.info.synthetic
    n = min(wanted, found.requests)
    notes = list(found.notes)
    if n < wanted:
        notes.append(f"{n:,} requests each, not {wanted:,}: {found.shortest} holds no more.")
    asked = {
        "sources": sources,
        "rates_rps": list(rates_rps),
        "kv": list(kv),
        "first": wanted,
        "seeds": numbered,
    }
    if (facts := facts_of(out, asked)) is None:
        facts = {**found.facts, "requests": n, "calibrated": {}}
        for use in kv:
            scale = calibrated(
                use,
                lambda by: asks.cut(found.pools, asks.CONVERSATION, n, asks.RATE_RPS * by, seed),
                engine,
                progress,
            )
            facts["calibrated"][f"{use:g}"] = round(asks.RATE_RPS * scale, 6)
    rates = [*(rates_rps or ([] if kv else [asks.RATE_RPS])), *facts["calibrated"].values()]
    question = Question(
        "maf2", asked, engine.as_dict(), engine.title, engine.simulated, synthetic, numbered, 0, facts, notes
    )
    listed = asks.trials(found, list(dict.fromkeys(rates)), numbered, n)
    return run(question, listed, engine, out, workers=workers, progress=progress)


def responses(
    log: str | None,
    out: Path,
    *,
    url: str | None,
    prompts: Prompts,
    served_model: str | None = None,
    key: str | None = None,
    api: Api = "completions",
    service: str | None = None,
    requests: int | None = None,
    rate_rps: float | None = None,
    cap: int | None = None,
    max_concurrency: int | None = None,
    timeout_s: float = TIMEOUT_S,
    seed: int = 0,
    watch: Watch | None = None,
    progress: Progress = silent,
) -> Experiment:
    """A served model's own response lengths beside a trace's (paper 3.3); see `bench.experiments.responses`.

    `prompts` are of text (`burstlens.text_prompts`). BurstlensError for the simulated engine and for dummy
    weights: their answers have no lengths of their own.
    """
    from ..bench.experiments import responses as asks
    from ..bench.experiments.backends import EndpointBackend
    from ..bench.experiments.trials import Question, run
    from ..bench.settings import Settings, Target

    if url is None:
        raise InputError(
            "experiment responses needs a real model: name its server with --url. The simulated engine "
            "answers at the lengths that it is asked for, so it would mean nothing"
        )
    if not prompts.text:
        raise InputError(
            "experiment responses needs prompts of text: a model has no answer to random token ids"
        )
    wanted, most, rate = requests or asks.REQUESTS, cap or asks.CAP, rate_rps or asks.RATE_RPS
    settings = Settings(
        timeout_s=timeout_s, max_concurrency=max_concurrency, ignore_eos=False, max_tokens=most
    )
    engine = EndpointBackend.at(Target(url, served_model, api, key), settings, prompts=prompts, watch=watch)
    notes = asks.check(engine)
    trace = opened(log, progress)
    try:
        load = asks.sample(trace, service, wanted, rate, seed)
        asked = {
            "sources": sources_of(trace),
            "service": service,
            "first": wanted,
            "rate_rps": rate,
            "cap": most,
            "seed": seed,
        }
        synthetic = trace.info.synthetic
    finally:
        trace.engine.close()
    n = len(load.requests)
    if n < wanted:
        notes.append(f"{n:,} requests, not {wanted:,}: the trace has no more whose lengths are both known.")
    facts = {"requests": n, "cap": most, "trace": load.name}
    question = Question(
        "responses", asked, engine.as_dict(), engine.title, None, synthetic, [seed], 0, facts, notes
    )
    return run(question, asks.trials(load, seed), engine, out, progress=progress)


def schedulers(
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
    on: On | None = None,
    workers: int = 1,
    watch: Watch | None = None,
    progress: Progress = silent,
) -> Experiment:
    """Three orders of serving on conversation and API load (paper 5.3); see `bench.experiments.schedulers`.

    `source` is a trace, which is fitted, or a `parameters.json`. About `requests` requests of each service
    are modelled over one range of `range_s`, drawn by `seed` or fixed by `start_s` and `end_s`. They are
    sent at `rate_rps`; at the rate that brings KV-cache use to `kv`; or at `load` times the server's
    capacity, 0.9 where nothing is said: what it answers a second of the same requests sent at once.
    The engine is made to schedule by priority; a real endpoint that does not is a BurstlensError.
    """
    from ..bench.experiments import schedulers as asks
    from ..bench.experiments.backends import EndpointBackend
    from ..bench.experiments.trials import Question, run

    on, numbered = replace(on or On(), scheduling="priority"), seeds_of(seeds, seed)
    levels = {"--rate": rate_rps, "--kv": kv, "--load": load}
    given = [name for name, value in levels.items() if value is not None]
    if len(given) > 1:
        raise InputError(f"{given[0]} and {given[1]} both say how heavy the load is: give one of them")
    for name, value in (*levels.items(), ("--requests", requests), ("--range", range_s)):
        if value is not None and not 0 < value < math.inf:
            raise InputError(f"{name}: {value:g} is not above 0")
    engine = on.engine(watch)
    notes = []
    if isinstance(engine, EndpointBackend):
        notes += _sure_of_priority(engine)
    content = _parameters(source, seed, progress)
    services = asks.services_of(content)
    length_s = range_s or asks.RANGE_S
    chosen = asks.picked(content, services, length_s, seed, (start_s, end_s))
    wanted = requests or asks.REQUESTS
    loads = {service: asks.load_of(content, service, chosen, wanted) for service in services}
    asked = {
        "sources": [{"name": f["name"], "sha256": f["sha256"]} for f in content["source"]["files"]]
        or [{"name": content["source"]["name"], "sha256": ""}],
        "range_s": [chosen.start_s, chosen.end_s],
        "requests": wanted,
        **{name.strip("-"): value for name, value in levels.items()},
        "seeds": numbered,
    }
    if (facts := facts_of(out, asked)) is None:
        facts = {"held": dict(chosen.held), "rates_rps": {}, "capacity_rps": {}}
        for service, each in loads.items():
            _set_rate(facts, service, each, levels, engine, seed, progress)
    notes.append(
        f"From {chosen.start_s:,.0f} to {chosen.end_s:,.0f} s of the trace; "
        + "; ".join(f"{s} at {r:.4g} requests/s" for s, r in facts["rates_rps"].items())
        + _how(levels, facts)
    )
    question = Question(
        "schedulers",
        asked,
        engine.as_dict(),
        engine.title,
        engine.simulated,
        bool(content["source"]["synthetic"]),
        numbered,
        0,
        facts,
        notes,
    )
    listed = asks.trials(loads, facts["rates_rps"], numbered)
    return run(question, listed, engine, out, workers=workers, progress=progress)


def _sure_of_priority(engine: EndpointBackend) -> list[str]:
    """BurstlensError where the server does not schedule by priority; a note where that cannot be told."""
    from ..bench.client.preflight import preflight
    from ..bench.server.priority_probe import REMEDY, serves_by_priority

    url = engine.target.url
    found = serves_by_priority(engine.target, engine.vocabulary, preflight(engine.target).max_model_len)
    if found is False:
        raise InputError(
            f"server {url} {REMEDY}: of requests that waited, the more urgent were not served first"
        )
    if found is None:
        return [f"Whether {url} schedules by priority could not be told: no probe made a queue there."]
    return []


def _parameters(source: str | None, seed: int, progress: Progress) -> dict[str, Any]:
    """The content of a parameter file, or the fit of a trace."""
    from ..analysis.interchange.parameters import parameters, read_parameters

    if source is not None and Path(source).suffix == ".json":
        return read_parameters(Path(source))
    from ..analysis.characterize import characterize

    trace = opened(source, progress)
    try:
        return parameters(characterize(trace, seed=seed, progress=progress))
    finally:
        trace.engine.close()


def _set_rate(
    facts: dict[str, Any],
    service: str,
    each: ServiceLoad,
    levels: dict[str, float | None],
    engine: Backend,
    seed: int,
    progress: Progress,
) -> None:
    """Find the rate of a service's load and put it, and what it follows from, into the facts."""
    import tempfile

    from ..bench.experiments.schedulers import LOAD

    if levels["--rate"] is not None:
        facts["rates_rps"][service] = levels["--rate"]
        return
    progress(f"capacity for {service}", 0.0)
    with tempfile.TemporaryDirectory(prefix="burstlens-") as folder:
        told = engine.serve(each.at_once(seed), Path(folder) / "run", course=False).values["throughput_rps"]
    if not told:
        raise InputError(f"{service}: no request of those sent at once was answered; give a --rate")
    facts["capacity_rps"][service] = told
    if levels["--kv"] is None:
        rate = told * (levels["--load"] or LOAD)
    else:
        rate = told * calibrated(
            levels["--kv"], lambda by: each.draw(told * by, seed), engine, progress
        )  # fmt: skip
    facts["rates_rps"][service] = round(rate, 6)


def _how(levels: dict[str, float | None], facts: dict[str, Any]) -> str:
    """How the rates were found, to end a sentence."""
    from ..bench.experiments.schedulers import LOAD

    if levels["--rate"] is not None:
        return ", as asked."
    if levels["--kv"] is not None:
        return f", where KV-cache use is {100 * levels['--kv']:g} %."
    capacity = "; ".join(f"{s} {r:.4g}" for s, r in facts["capacity_rps"].items())
    return (
        f", {levels['--load'] or LOAD:g} of the capacity, which is what the server answers a second of the "
        f"same requests sent at once ({capacity})."
    )


def sweep(
    out: Path = Path("reports/build/sweep"),
    *,
    grid: Grid | Path | None = None,
    kv: float | None = 0.3,
    requests: int | None = None,
    seeds: int = 5,
    seed: int = 0,
    on: On | None = None,
    workers: int = 1,
    watch: Watch | None = None,
    progress: Progress = silent,
) -> Experiment:
    """Shape, scale and exponent varied, alone and in pairs (paper 5.2); see `bench.experiments.sweep`.

    `grid` is one of `grid.grid_of`, or a TOML file (`grid.read_grid`), the paper's figure by default.
    All scales are multiplied by the factor at which the start uses the share `kv` of the KV cache, found by
    trials, or kept where it is None. A trial has `requests` requests, 2,000 where nothing is said, or about
    so many where something varies. The simulated engine refuses requests above 128 where neither its preset
    nor `on` has a limit: without one nothing would fail.
    """
    from ..bench.experiments import sweep_trials as asks
    from ..bench.experiments.backends import VirtualBackend
    from ..bench.experiments.grid import grid_of, read_grid
    from ..bench.experiments.trials import Question, run

    on, numbered = on or On(), seeds_of(seeds, seed)
    n = asks.REQUESTS if requests is None else requests
    if n < asks.FEWEST:
        raise InputError(f"--first: {n} is too few to tell a rate of failures; {asks.FEWEST} are needed")
    chosen = read_grid(grid) if isinstance(grid, Path) else grid or grid_of()
    engine = on.engine(watch)
    if isinstance(engine, VirtualBackend) and engine.preset.max_num_queued_reqs is None:
        engine = replace(engine, preset=engine.preset.limited(max_num_queued_reqs=asks.QUEUED))
    asked = {"grid": chosen.as_dict(), "kv": kv, "first": n, "seeds": numbered}
    if (facts := facts_of(out, asked)) is None:
        facts = {"start": dict(chosen.start), "factor": 1.0}
        if kv is not None:
            begin = chosen.settings()[0]
            # In real time one seed has to do.
            tried = numbered[:1] if engine.alone else numbered
            scale = calibrated(
                kv, lambda by: [asks.load(begin, chosen.start, 1 / by, n, s) for s in tried], engine, progress
            )
            facts["factor"] = float(f"{1 / scale:.6g}")
    limit = engine.preset.max_num_queued_reqs if isinstance(engine, VirtualBackend) else None
    question = Question(
        "sweep",
        asked,
        engine.as_dict(),
        engine.title,
        engine.simulated,
        True,
        numbered,
        0,
        facts,
        asks.notes(chosen, facts["factor"], kv, n, on.timeout_s, limit),
    )
    listed = asks.trials(chosen, facts["factor"], n, numbered)
    return run(question, listed, engine, out, workers=workers, progress=progress)


EXPERIMENTS: dict[str, Callable[..., Experiment]] = {
    "maf2": maf2,
    "responses": responses,
    "schedulers": schedulers,
    "sweep": sweep,
}
"""By the kind that a user names."""


def named(kind: str) -> Callable[..., Experiment]:
    """The experiment of that kind; BurstlensError with those that there are."""
    if kind not in EXPERIMENTS:
        raise InputError(f"experiment: no kind {kind!r}; there are {', '.join(EXPERIMENTS)}")
    return EXPERIMENTS[kind]
