"""The stages that run the paper's experiments on the server, and again on the simulated engine fitted to it.

Not here: what an experiment asks and concludes (`burstlens.bench.experiments`).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..analysis.core.errors import BurstlensError, InputError
from ..analysis.core.option_names import option
from ..analysis.core.result import Progress
from .config import EvaluationConfig
from .engine_stages import calibrated_rps, preset_of

if TYPE_CHECKING:
    from ..bench.experiments.backends import VirtualBackend
    from ..bench.workload.table import Workload

DOUBLED = 3
"""How often a sweep's requests a trial are doubled until they are sent for longer than answers take."""


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
    rate = begun[0] if begun else calibrated_rps(folder)
    run(
        plan.trace, folder, functions=plan.functions, rates_rps=[rate], requests=plan.requests,
        **plan.trials(url, show),
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

    near, requests = lasting(plan, VirtualBackend(load_preset(preset_of(folder)), plan.timeout_s))
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
        **plan.trials(url, show),
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

    done = run(plan.trace, folder, requests=plan.requests, **plan.trials(url, show))
    rates = done.question.typed_facts(SchedulersFacts).rates_rps
    return ", ".join(f"{service} at {rate:.4g} requests/s" for service, rate in rates.items())


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

    preset = load_preset(preset_of(folder))
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
