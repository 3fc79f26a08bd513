"""The verb `calibrate`: find the load at which a server uses a wanted share of its KV cache.

Not here: the search (`burstlens.bench.server.calibrate`), making load (`workload`).
"""

from __future__ import annotations

import math
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..analysis.core.errors import InputError
from ..analysis.core.option_names import option
from ..analysis.core.result import silent
from .event_loop import interruptible, run_outside_event_loop
from .options import Log, check_backend, source_text
from .prompts import PromptOptions
from .workload import WorkloadOptions, hinting_served_model, load_workload

if TYPE_CHECKING:
    from threading import Event

    from ..analysis.core.result import Progress
    from ..bench.prompts.token_ids import Prompts
    from ..bench.server.calibrate import Calibration
    from ..bench.settings import Settings
    from ..bench.workload.table import Workload
    from .workload import Lengths, Sessions


def calibrate(
    source: Log,
    kv: float = 0.35,
    *,
    url: str | None = None,
    simulate: str | None = None,
    served_model: str | None = None,
    key: str | None = None,
    out: Log | None = None,
    tolerance: float = 0.02,
    trials: int = 12,
    service: str | None = None,
    model: str | None = None,
    start_s: float | None = None,
    end_s: float | None = None,
    first: int | None = None,
    rate_rps: float | None = None,
    speedup: float | None = None,
    spread: bool = True,
    sessions: Sessions | None = None,
    lengths: Lengths | None = None,
    context: int | None = None,
    tokens: tuple[int, int] | None = None,
    seed: int = 0,
    share_prefixes: bool = False,
    vocabulary: tuple[int, int] | None = None,
    prompts: Prompts | Log | None = None,
    tokenizer: Log | None = None,
    prompt_memory: int | None = None,
    settings: Settings | None = None,
    progress: Progress | None = None,
) -> Calibration:
    """Find the factor on a source's rate at which a server uses the share `kv` of its KV cache.

    Parameters
    ----------
    source
        As in `workload`.
    kv
        KV-cache use to reach, a share of 1. The paper uses 0.3 to 0.4.
    url, simulate, served_model, key
        Where the trials run, as in `replay`.
    out
        Write the parameters in `source` here, scaled.
    tolerance
        How near is near enough, a share of 1.
    trials
        Limit of trials.
    service, model, start_s, end_s, first, rate_rps, speedup, spread, sessions, lengths, context, tokens, seed
        As in `workload`.
    share_prefixes, vocabulary, prompts, tokenizer, prompt_memory
        As in `replay`.
    settings
        How to send.

    Examples
    --------
    >>> found = bl.calibrate("synthetic.csv", 0.2, simulate="llama-2-13b-a100", first=1000)
    >>> found.reached, found.to_frame().columns[0]
    (True, 'trial')
    """
    check_backend(url, simulate)
    options = WorkloadOptions(
        service, model, start_s, end_s, first, rate_rps, speedup, None, spread, sessions, lengths, context,
        tokens, seed,
    )  # fmt: skip
    prompt_options = PromptOptions(share_prefixes, vocabulary, prompts, tokenizer, prompt_memory)
    prompt_options.check(simulate)
    show = progress or silent
    source = source_text(source)
    path = Path(source)
    if out is not None and path.suffix != ".json":
        raise InputError(
            f"{source}: does not contain parameters to scale; make them with burstlens fit, or leave out "
            f"{option('out')}"
        )

    def find(stop: Event) -> Calibration:
        step = interruptible(show, stop)
        ready = prompt_options.make(seed, progress=step)
        with hinting_served_model(options):
            base = load_workload(source, options)
        if math.isnan(base.rate_rps) or base.rate_rps <= 0:
            raise InputError(f"{source}: all requests arrive at one instant, so there is no rate to scale")

        def measure(load: Workload) -> float:
            if simulate is not None:
                return _simulated_use(load, simulate)
            return _measured_use(load, ready, url or "", served_model, key, settings, stop)

        from ..bench.server.calibrate import calibrate as search

        return search(
            kv,
            lambda scale: _scaled(path, base, options, scale),
            measure,
            tolerance=tolerance,
            max_trials=trials,
            progress=step,
        )

    found = run_outside_event_loop(find)
    if out is not None:
        from ..analysis.interchange.parameters import read_parameters, write_parameters
        from ..bench.server.calibrate import scaled

        write_parameters(scaled(read_parameters(path), found.scale), Path(out))
    return found


def _scaled(source: Path, base: Workload, options: WorkloadOptions, scale: float) -> Workload:
    """The workload at `scale` times its rate."""
    import polars as pl

    if source.suffix != ".json":
        return replace(base, requests=base.requests.with_columns(pl.col("at_s") / scale))
    # Rates are multiplied and windows keep their length, as in the file that is written.
    if options.rate_rps is None:
        return load_workload(source_text(source), replace(options, scale=scale))
    return load_workload(source_text(source), replace(options, rate_rps=options.rate_rps * scale))


def _simulated_use(load: Workload, simulate: str) -> float:
    """KV-cache use in virtual time."""
    from ..bench.server.calibrate import plateau
    from ..bench.simulated.presets import load_preset
    from ..bench.simulated.virtual import simulate_frame

    step_s = max(load.span_s / 1000, 1e-3)
    _, server = simulate_frame(load, load_preset(simulate), sample_s=min(step_s, 1.0))
    return plateau(server, load.span_s)


def _measured_use(
    load: Workload,
    prompts: Prompts,
    url: str,
    served_model: str | None,
    key: str | None,
    settings: Settings | None,
    stop: Event,
) -> float:
    """KV-cache use of a server while the load runs."""
    from ..bench.client.run import run
    from ..bench.record.run_folder import read_server
    from ..bench.server.calibrate import plateau
    from ..bench.settings import Settings, Target

    with tempfile.TemporaryDirectory(prefix="burstlens-") as folder:
        into = Path(folder) / "run"
        target = Target(url, served_model, key=key)
        done = run(load, prompts, target, settings or Settings(), into, watch=lambda _: stop.is_set())
        if not done.finished:
            raise KeyboardInterrupt
        return plateau(read_server(into), load.span_s)
