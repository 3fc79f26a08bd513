"""The stages of an evaluation on a GPU, each a process of its own with the folder and the server's address.

`python -m burstlens.gpu.stages FOLDER STAGE URL`; a stage reads `plan.json`, and what earlier stages left. It
goes on where it was stopped. Not here: the server, time limits and the page (`evaluate`).
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from ..analysis.core.atomic_write import write_json
from ..analysis.core.errors import BurstlensError, DiskError, InputError, relative_to_folder
from ..analysis.core.option_names import option
from ..analysis.core.result import Progress
from ..analysis.core.units import counted

if TYPE_CHECKING:
    from ..api.experiments.backend import BackendOptions
    from ..bench.experiments.backends import VirtualBackend
    from ..bench.server.calibrate import Calibration
    from ..bench.settings import Settings, Target
    from ..bench.workload.table import Workload

PLAN = "plan.json"
PRESET = "preset.json"
CLIENT_TOKENS = (64, 16)
"""Request and response tokens of the load that measures the client: little work for the server."""
CLIENT_WORKERS = (1, 4)
DOUBLED = 3
"""How often a sweep's requests a trial are doubled until they are sent for longer than answers take."""
FROM_RPS = 1.0
"""Rate at which the search in virtual time begins: within its reach of what any GPU bears."""


@dataclass(frozen=True)
class EvaluationConfig:
    """What an evaluation is asked; the content of `plan.json`. Another plan wants another folder."""

    trace: str
    synthetic: bool
    functions: str | None
    model: str
    """Name that the model is served under, and that the preset gets."""
    weights: str | None
    """Folder of the model; None for Llama-2-13b's shape."""
    gpu: str
    flags: dict[str, Any]
    """Fields of `bench.server.vllm.Flags`."""
    kv: float
    requests: int
    """Of each trial."""
    seeds: int
    vocabulary: tuple[int, int]
    shapes: tuple[float, ...]
    scales: tuple[float, ...]
    """Times the scale at the start."""
    exponents: tuple[float, ...]
    client_rps: float
    client_requests: int
    rounds: int
    """How often each step is measured."""
    timeout_s: float

    def write(self, folder: Path) -> None:
        """Write `plan.json`.

        Raises
        ------
        InputError
            If the folder has an evaluation with other options, or its file is damaged.
        DiskError
            If the file cannot be read or written.
        """
        path = folder / PLAN
        text = json.dumps(asdict(self), indent=1) + "\n"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if path.is_file() and path.read_text(encoding="utf-8") != text:
                before = json.loads(path.read_text(encoding="utf-8"))
                now = json.loads(text)
                other = sorted(name for name in now if now[name] != before.get(name))
                raise InputError(
                    f"{folder}: has an evaluation with another {', '.join(other)}; continue with "
                    f"its options, or name another folder with {option('out')}"
                )
            path.write_text(text, encoding="utf-8")
        except OSError as fault:
            raise DiskError.unwritable(path, fault) from fault
        except ValueError as fault:
            raise InputError(f"{path}: is not the plan of an evaluation: {fault}") from fault

    @classmethod
    def read(cls, folder: Path) -> EvaluationConfig:
        """Read `plan.json`.

        Raises
        ------
        InputError
            If the file is not a plan of an evaluation.
        DiskError
            If the file cannot be read.
        """
        try:
            content = json.loads((folder / PLAN).read_text(encoding="utf-8"))
            tuples = {name: tuple(value) for name, value in content.items() if isinstance(value, list)}
            return cls(**{**content, **tuples})
        except OSError as fault:
            raise DiskError.unreadable(folder / PLAN, fault) from fault
        except (ValueError, TypeError) as fault:
            raise InputError(f"{folder / PLAN}: is not the plan of an evaluation: {fault}") from fault

    def settings(self) -> Settings:
        """Make the settings of every request: token ids, so that the server spends no time on text."""
        from ..bench.settings import Settings

        return Settings(timeout_s=self.timeout_s, extra={"detokenize": False})

    def target(self, url: str) -> Target:
        """Make the target, with the key from the environment."""
        from ..bench.client.preflight import KEY
        from ..bench.settings import Target

        return Target(url, self.model, key=os.environ.get(KEY))

    def backend(self, url: str) -> BackendOptions:
        """Make the backend of experiments."""
        from ..api.experiments.backend import BackendOptions

        return BackendOptions(
            target=self.target(url),
            settings=self.settings(),
            vocabulary=self.vocabulary,
            timeout_s=self.timeout_s,
        )


def profile(plan: EvaluationConfig, folder: Path, url: str, show: Progress) -> str:
    """Measure steps over batch and length, fit the equation's constants, and write a preset file.

    Parameters
    ----------
    plan
        The options of the evaluation.
    folder
        Folder of the stage; its parent has the folders of the others.
    url
        Base URL of the server.
    show
        Called with the step and the share that is done.

    Returns
    -------
    str
        What the stage found, in one line.
    """
    import polars as pl

    from ..bench.client.preflight import preflight
    from ..bench.server.step_fit import fit_steps
    from ..bench.server.step_probe import probe
    from ..bench.server.vllm import Flags, cache_of, limits_of, metrics_page

    page, flags = metrics_page(url), Flags(**plan.flags)
    found_there = preflight(plan.target(url))
    version = found_there.version if found_there.simulated else f"vLLM {found_there.version}"
    block_size, blocks = cache_of(page)
    probed = probe(
        plan.target(url), limits_of(flags, page), plan.settings(), rounds=plan.rounds,
        vocabulary=plan.vocabulary, progress=show,
    )  # fmt: skip
    found = fit_steps(probed.steps)
    found.steps.write_csv(folder / "steps.csv")
    probed.alone_ms.write_csv(folder / "alone.csv")
    latency = found.latency
    tokens = probed.alone_ms["prefill_tokens"].to_list()
    steps_ms = pl.Series([latency.prefill_ms(n, n**2) for n in tokens], dtype=pl.Float64)
    outside = (probed.alone_ms["first_ms"] - steps_ms).to_list()
    outside_ms = median(outside) if outside else 0.0
    limits = {name: plan.flags[name] for name in ("max_num_seqs", "max_num_batched_tokens", "max_model_len")}
    day = time.strftime("%Y-%m-%d", time.gmtime())
    preset = found.preset(
        model=plan.model,
        gpu=plan.gpu,
        source=f"burstlens gpu-evaluate on {plan.gpu}, {version}, {day}",
        block_size=block_size,
        num_blocks=blocks,
        limits=limits,
        async_scheduling=probed.async_scheduling,
        outside_ms=outside_ms,
    )
    write_json(preset, folder / PRESET)
    write_json({
        **found.as_dict(), "dropped": probed.dropped, "outside_ms": outside_ms, "version": version,
        "block_size": block_size, "num_blocks": blocks,
    }, folder / "fit.json")  # fmt: skip
    return f"{found.steps.height} steps, relative residual p50 {found.p50:.1%}, p90 {found.p90:.1%}"


def calibrate(plan: EvaluationConfig, folder: Path, url: str, show: Progress) -> str:
    """Find the rate at which BurstGPT's conversation uses the wanted share of the KV cache.

    Parameters
    ----------
    plan, folder, url, show
        As in `profile`.

    Returns
    -------
    str
        What the stage found, in one line.
    """
    from ..api.calibrate import calibrate as search
    from ..bench.prompts.token_ids import TokenPrompts

    # A trace's own rate may be thousands of times too low for a GPU, farther than a search reaches.
    # In virtual time first: a trial in real time at a rate that is far off takes hours, or says nothing.
    near = search(
        plan.trace, plan.kv, simulate=str(_preset(folder)), trials=20, service="conversation",
        first=plan.requests, rate_rps=FROM_RPS,
    )  # fmt: skip
    near_rps = FROM_RPS * near.scale
    # What the next stages go by where the time is up before the server's own trials have ended.
    untried = replace(near, reached=False, why="only in virtual time, the trials on the server did not end")
    _keep(folder, untried, near_rps)
    found = search(
        plan.trace, plan.kv, url=url, served_model=plan.model, key=plan.target(url).key, trials=8,
        progress=show,
        prompts=TokenPrompts(vocabulary=plan.vocabulary), settings=plan.settings(), service="conversation",
        first=plan.requests, rate_rps=near_rps,
    )  # fmt: skip
    rate = near_rps * found.scale
    _keep(folder, found, rate)
    return f"{found}, {rate:.4g} requests/s"


def _keep(folder: Path, found: Calibration, rate_rps: float) -> None:
    """Write what a calibration found, and the rate that it means."""
    write_json({
        "kv": found.wanted, "rate_rps": rate_rps, "scale": found.scale, "used": found.kv_cache_use,
        "reached": found.reached, "why": found.why, "trials": found.trials.to_dicts(),
    }, folder / "calibration.json")  # fmt: skip


def maf2(plan: EvaluationConfig, folder: Path, url: str, show: Progress) -> str:
    """Run BurstGPT conversation and API against MAF2 at the calibrated rate (paper 5.1).

    A stage that goes on keeps the rate at which it began, whatever a later calibration finds.

    Parameters
    ----------
    plan, folder, url, show
        As in `profile`.

    Returns
    -------
    str
        What the stage found, in one line.
    """
    from ..api.experiments.maf2 import run_maf2 as run
    from ..bench.experiments.trials import is_experiment, read

    begun = read(folder).question.options["rates_rps"] if is_experiment(folder) else []
    rate = begun[0] if begun else _calibrated(folder)
    run(
        plan.trace, folder, functions=plan.functions, rates_rps=[rate], requests=plan.requests,
        seeds=plan.seeds, backend=plan.backend(url), progress=show,
    )  # fmt: skip
    return f"at {rate:.4g} requests/s"


def sweep(plan: EvaluationConfig, folder: Path, url: str, show: Progress) -> str:
    """Vary shape, scale and exponent around the calibrated point (paper 5.2).

    Parameters
    ----------
    plan, folder, url, show
        As in `profile`.

    Returns
    -------
    str
        What the stage found, in one line.
    """
    from ..api.experiments.sweep import run_sweep as run
    from ..bench.experiments.backends import VirtualBackend
    from ..bench.experiments.facts import SweepFacts
    from ..bench.experiments.grid import START, grid_of
    from ..bench.simulated.presets import load_preset

    near, requests = lasting(plan, VirtualBackend(load_preset(_preset(folder)), plan.timeout_s))
    # Scales are about those that the server wants, so that its own calibration is short; so are the steps.
    start = {"scale": float(f"{START['scale'] / near:.3g}")}
    values = {
        "shape": plan.shapes,
        "scale": [float(f"{start['scale'] * by:.3g}") for by in plan.scales],
        "exponent": plan.exponents,
    }
    grid = grid_of(values, profiles=["constant"], pairs=False, start=start)
    done = run(
        folder,
        grid=grid,
        kv=plan.kv,
        requests=requests,
        seeds=plan.seeds,
        backend=plan.backend(url),
        progress=show,
    )
    scale_s = start["scale"] * done.question.typed_facts(SweepFacts).factor
    return f"scale {scale_s:.4g} s at the start, {requests:,} requests a trial"


def lasting(plan: EvaluationConfig, engine: VirtualBackend) -> tuple[float, int]:
    """Find rate and length of the sweep's trials in virtual time.

    If a server has not answered most requests before the last is sent, the wanted use of the KV cache is that
    of a spike, or is not reached at all: then twice as many requests are tried, `DOUBLED` times at most.

    Parameters
    ----------
    plan
        The options of the evaluation.
    engine
        The simulated engine.

    Returns
    -------
    tuple of (float, int)
        Rate of the sweep's start over the paper's, and requests that a trial needs.

    Raises
    ------
    BurstlensError
        If no number of requests reaches the wanted use.
    """
    from ..api.experiments.backend import calibrated
    from ..bench.experiments import sweep_trials as asks
    from ..bench.experiments.backends import is_brief
    from ..bench.experiments.grid import START, grid_of

    begin = grid_of(profiles=["constant"]).settings()[0]
    found = None
    unreached: BurstlensError = InputError(f"{option('kv')} {plan.kv:g}: not reached")
    for requests in (plan.requests * 2**i for i in range(DOUBLED + 1)):

        def load(by: float, n: int = requests) -> Workload:
            return asks.load(begin, START, 1 / by, n, 0)

        try:
            near = calibrated(plan.kv, load, engine)
        except BurstlensError as fault:
            unreached = fault
            continue
        found = near, requests
        if not is_brief(engine.serve(load(near), Path(), course=False).values):
            break
    if found is None:
        raise unreached
    return found


def schedulers(plan: EvaluationConfig, folder: Path, url: str, show: Progress) -> str:
    """Run first come, shortest and longest first, on conversation and API load (paper 5.3).

    Parameters
    ----------
    plan, folder, url, show
        As in `profile`.

    Returns
    -------
    str
        What the stage found, in one line.
    """
    from ..api.experiments.schedulers import run_schedulers as run
    from ..bench.experiments.facts import SchedulersFacts

    done = run(
        plan.trace, folder, requests=plan.requests, seeds=plan.seeds, backend=plan.backend(url), progress=show
    )  # fmt: skip
    rates = done.question.typed_facts(SchedulersFacts).rates_rps
    return ", ".join(f"{service} at {rate:.4g} requests/s" for service, rate in rates.items())


def client(plan: EvaluationConfig, folder: Path, url: str, show: Progress) -> str:
    """Measure what the client costs at a high rate: lateness, and processor time per 1,000 requests.

    Parameters
    ----------
    plan, folder, url, show
        As in `profile`.

    Returns
    -------
    str
        What the stage found, in one line.
    """
    import numpy as np
    import polars as pl

    from ..bench.client.run import run
    from ..bench.metrics.summary import summarize
    from ..bench.prompts.token_ids import TokenPrompts
    from ..bench.workload.table import Workload, requests_frame

    n, (request, response) = plan.client_requests, CLIENT_TOKENS
    at_s = np.cumsum(np.random.default_rng(0).exponential(1 / plan.client_rps, n))
    known = pl.DataFrame({"at_s": at_s, "request_tokens": [request] * n, "response_tokens": [response] * n})
    load = Workload(
        requests_frame(known), "Poisson, short requests", True, {"rate_rps": plan.client_rps, "seed": 0}
    )
    rows = []
    for i, workers in enumerate(CLIENT_WORKERS):
        show(counted(workers, "worker"), i / len(CLIENT_WORKERS))
        into = folder / f"workers-{workers}-{time.time():.0f}"
        settings = replace(plan.settings(), workers=workers)
        before = _cpu_s()
        run(load, TokenPrompts(vocabulary=plan.vocabulary), plan.target(url), settings, into)
        spent = _cpu_s() - before
        summary = summarize(into)
        rows.append({
            "workers": workers, "rate_rps": summary.rates_rps[1], "cpu_s_per_1000": 1000 * spent / n,
            "lateness_p50_s": summary.lateness.p50, "lateness_p99_s": summary.lateness.p99,
            "lateness_max_s": summary.lateness.max, "load": str(summary.verdict),
        })  # fmt: skip
    write_json({"requests": n, "cores": os.cpu_count(), "runs": rows}, folder / "client.json")
    times = (
        f"{row['cpu_s_per_1000']:.3g} s with {counted(workers, 'worker')}"
        for row, workers in zip(rows, CLIENT_WORKERS, strict=False)
    )
    return f"processor time of 1,000 requests: {', '.join(times)}"


def simulated(plan: EvaluationConfig, folder: Path, url: str, show: Progress) -> str:  # noqa: ARG001
    """Serve every trial's workload on the simulated engine with the fitted constants; write the errors.

    Parameters
    ----------
    plan, folder, url, show
        As in `profile`.

    Returns
    -------
    str
        What the stage found, in one line.
    """
    import polars as pl

    from ..bench.experiments import against
    from ..bench.experiments.trials import is_experiment, read
    from ..bench.simulated.presets import load_preset

    preset = load_preset(_preset(folder))
    errors, orders = [pl.DataFrame(schema=against.ERRORS)], [pl.DataFrame(schema=against.ORDERS)]
    for kind in ("maf2", "sweep", "schedulers"):
        ran = folder.parent / kind
        if not is_experiment(ran) or not (measured := read(ran)).trials.height:
            continue
        model = against.simulated(ran, preset, plan.timeout_s, show)
        errors.append(against.errors(measured, model))
        orders.append(against.orders(measured, model))
    found = pl.concat(errors)
    if found.is_empty():
        raise InputError("no trial on the server has ended; nothing can be compared")
    found.write_csv(folder / "errors.csv")
    pl.concat(orders).write_csv(folder / "orders.csv")
    errors_by_measure = against.summary(found)
    errors_by_measure.write_csv(folder / "summary.csv")
    judged = errors_by_measure.filter(pl.col("measure").is_in(against.JUDGED) & ~pl.col("saturated"))
    worst = judged["worst"].max()
    return (
        "no trial below saturation"
        if not isinstance(worst, float)
        else f"below saturation within {100 * worst:.3g} % in mean end-to-end latency and throughput"
    )


Stage = Callable[[EvaluationConfig, Path, str, Progress], str]
STAGES: dict[str, Stage] = {
    "profile": profile,
    "calibrate": calibrate,
    "maf2": maf2,
    "sweep": sweep,
    "schedulers": schedulers,
    "client": client,
    "simulated": simulated,
}
"""In the order in which they are run."""
OFFLINE = ("simulated",)
"""Stages that need no server."""


def _preset(folder: Path) -> Path:
    """Name the file of the fitted preset; raises InputError if it is not there."""
    path = folder.parent / "profile" / PRESET
    if not path.is_file():
        raise InputError(f"{path}: does not exist; the stage `profile` makes it")
    return path


def _calibrated(folder: Path) -> float:
    path = folder.parent / "calibrate" / "calibration.json"
    try:
        return round(float(json.loads(path.read_text(encoding="utf-8"))["rate_rps"]), 6)
    except (OSError, ValueError, KeyError) as fault:
        raise InputError(f"{path}: has no rate; the stage `calibrate` makes it") from fault


def _cpu_s() -> float:
    """Processor time of this process and of those that it waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def main() -> None:
    """Run one stage; its last line is what it found, or why it did not."""
    from ..console import STOPPED, progress

    folder, name, url = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    into = folder / name
    try:
        into.mkdir(parents=True, exist_ok=True)
        with progress() as show:
            print(STAGES[name](EvaluationConfig.read(folder), into, url, show))
    except BurstlensError as fault:
        print(relative_to_folder(str(fault), folder))
        sys.exit(2)
    except OSError as fault:
        print(relative_to_folder(f"{name}: {fault}", folder))
        sys.exit(2)
    except KeyboardInterrupt:
        print("stopped")
        sys.exit(STOPPED)


if __name__ == "__main__":
    main()
