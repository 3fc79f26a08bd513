"""The stages that measure the server's engine: its steps, and the load that fills its cache.

Not here: experiments at that load (`experiment_stages`).
"""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from ..analysis.core.atomic_write import write_json
from ..analysis.core.errors import InputError
from ..analysis.core.result import Progress
from .config import EvaluationConfig

if TYPE_CHECKING:
    from ..bench.server.calibrate import Calibration

PRESET = "preset.json"
FROM_RPS = 1.0
"""Rate at which the search in virtual time begins: within its reach of what any GPU bears."""


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
        plan.trace, plan.kv, simulate=str(preset_of(folder)), trials=20, service="conversation",
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


def preset_of(folder: Path) -> Path:
    """Name the file of the fitted preset; raises InputError if it is not there."""
    path = folder.parent / "profile" / PRESET
    if not path.is_file():
        raise InputError(f"{path}: does not exist; the stage `profile` makes it")
    return path


def calibrated_rps(folder: Path) -> float:
    """Read the rate that the calibration found; raises InputError if it is not there."""
    path = folder.parent / "calibrate" / "calibration.json"
    try:
        return round(float(json.loads(path.read_text(encoding="utf-8"))["rate_rps"]), 6)
    except (OSError, ValueError, KeyError) as fault:
        raise InputError(f"{path}: has no rate; the stage `calibrate` makes it") from fault
