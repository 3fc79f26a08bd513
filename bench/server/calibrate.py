"""The scale of the load at which a running endpoint's KV cache is used as far as wanted (paper, §4.2).

A closed loop: run, look at the plateau, choose the next scale. Use grows with the rate, but a measurement of
it is noisy; so every trial counts, by the increasing curve nearest to all of them (isotonic regression),
and no bracket is final. Not here: how a trial is run, which is the caller's `measure`.
"""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from ...analysis.core.errors import EndpointError, InputError
from ...analysis.core.exhibit import Displayable, Exhibit
from ...analysis.core.option_names import option
from ...analysis.core.result import Progress, number, silent
from ...analysis.interchange.parameters import validate
from ..workload.table import Workload

LOGGER = logging.getLogger(__name__)

TOLERANCE = 0.02
"""How near to the wanted use is near enough, in use of the KV cache, a share of 1."""
REACH = 4096.0
"""Scales up to this multiple of the first one, and down to the same fraction of it, are tried."""
STRIDE = 4.0
"""No trial is farther from those before it."""
NARROW = 1.02
"""A bracket as narrow as this ratio of scales is not divided: its ends are tried once more, then believed."""
WARM_UP = 0.2
"""Share of a run in which use still climbs; the plateau is what follows, up to the last send."""

TRIALS: dict[str, type[pl.DataType]] = {
    "trial": pl.Int64,
    "scale": pl.Float64,
    "rate_rps": pl.Float64,
    "kv_cache_use": pl.Float64,
}


@dataclass(frozen=True)
class Calibration(Displayable):
    """What the trials found."""

    wanted: float
    scale: float
    """Of the trial that came nearest."""
    kv_cache_use: float
    reached: bool
    why: str
    """Why not, as a clause; empty if the wanted use was reached."""
    trials: pl.DataFrame
    """Columns of `TRIALS`, in the order in which they were run."""

    def exhibit(self) -> Exhibit:
        """Show what was found, and the trials."""
        return Exhibit("Calibration", (), [str(self)], {"trials": self.trials})

    def __str__(self) -> str:
        """One line: the scale, or why there is none."""
        found = f"KV-cache use {number(100 * self.kv_cache_use)} % at scale {number(self.scale, 4)}"
        return found if self.reached else f"{number(100 * self.wanted)} % not reached: {self.why}; {found}"


def calibrate(
    kv: float,
    workload_at: Callable[[float], Workload],
    measure: Callable[[Workload], float],
    *,
    tolerance: float = TOLERANCE,
    max_trials: int = 12,
    progress: Progress | None = None,
) -> Calibration:
    """Find the scale of the rate at which `measure` gives a KV-cache use of `kv`, a share of 1.

    Parameters
    ----------
    kv
        The wanted use.
    workload_at
        Makes the load at a scale of the rate.
    measure
        Runs a load and returns the mean use over its plateau (see `plateau`).
    tolerance
        The search ends with the first trial that comes as near as this.
    max_trials
        Limit of trials; the first is at scale 1.

    Raises
    ------
    InputError
        `kv` is not between 0 and 1.
    EndpointError
        A trial measured nothing.
    """
    if not 0 < kv < 1:
        raise InputError(
            f"{option('kv')}: {kv:g} is not a share of the KV cache; write a number between 0 and 1"
        )
    show = progress or silent
    tried: list[tuple[float, float]] = []
    rates: list[float] = []
    scale: float | None = 1.0
    why = f"{max_trials} trials did not reach it"
    while scale is not None and len(tried) < max_trials:
        show(f"trial {len(tried) + 1} at scale {number(scale, 4)}", len(tried) / max_trials)
        workload = workload_at(scale)
        used = measure(workload)
        if not math.isfinite(used):
            raise EndpointError(
                "the endpoint did not report KV-cache use; calibration needs its /metrics "
                "(vllm:kv_cache_usage_perc) and a run of several seconds"
            )
        tried.append((scale, used))
        rates.append(workload.rate_rps)
        LOGGER.info("trial %d at scale %.4g: KV-cache use %.4g", len(tried), scale, used)
        if abs(used - kv) <= tolerance:
            break
        scale, unreachable = _next(tried, kv)
        why = unreachable or why
    scale, used = min(tried, key=lambda trial: abs(trial[1] - kv))
    reached = abs(used - kv) <= tolerance
    columns = (range(1, len(tried) + 1), [s for s, _ in tried], rates, [u for _, u in tried])
    trials = pl.DataFrame(dict(zip(TRIALS, columns, strict=True)), schema=TRIALS)
    return Calibration(kv, scale, used, reached, "" if reached else why, trials)


def _next(tried: list[tuple[float, float]], wanted: float) -> tuple[float | None, str]:
    """The scale to try next, or none and why the wanted use cannot be reached."""
    from scipy import optimize

    # Of trials at one scale the last counts: it was run to check the first.
    scale, used = np.array(sorted(dict(tried).items())).T
    curve = optimize.isotonic_regression(used).x
    below, above = np.flatnonzero(curve < wanted), np.flatnonzero(curve >= wanted)
    if not len(above):
        if len(scale) > 1 and scale[-1] >= 2 * scale[-2] and used[-1] < 1.05 * used[-2]:
            return None, f"more load does not use more of it than {number(100 * curve[-1])} %"
        if scale[-1] >= REACH:
            return None, f"even at {number(scale[-1])} times the rate it is less"
        return min(float(scale[-1]) * _stride(_odds(wanted) / _odds(curve[-1])), REACH), ""
    if not len(below):
        if scale[0] <= 1 / REACH:
            return None, f"even at a {number(1 / scale[0])}th of the rate it is more"
        return max(float(scale[0]) / _stride(_odds(curve[0]) / _odds(wanted)), 1 / REACH), ""
    low, high = below[-1], above[0]
    if scale[high] / scale[low] < NARROW:
        times = [sum(at == scale[end] for at, _ in tried) for end in (low, high)]
        if min(times) == 1:
            return float(scale[(low, high)[times.index(1)]]), ""
        return None, (
            f"it jumps from {number(100 * curve[low])} to {number(100 * curve[high])} % between scales "
            f"{number(scale[low], 4)} and {number(scale[high], 4)}"
        )
    # Use u goes about as a power of the rate while small, and saturates as u / (1 − u) does not. The
    # margins keep a steep end from being approached for ever.
    bottom, top, target = (math.log(_odds(u)) for u in (curve[low], curve[high], wanted))
    share = min(max((target - bottom) / max(top - bottom, 1e-9), 0.15), 0.85)
    return float(scale[low] ** (1 - share) * scale[high] ** share), ""


def _odds(used: float) -> float:
    """u / (1 − u), limited near its ends."""
    share = min(max(used, 1e-3), 0.995)
    return share / (1 - share)


def _stride(ratio: float) -> float:
    """Choose how far to go on if use is known on one side only."""
    return min(max(1.1 * ratio, 1.25), STRIDE)


def plateau(server: pl.DataFrame, until_s: float, warm_up: float = WARM_UP) -> float:
    """Compute the mean KV-cache use after warm-up.

    Parameters
    ----------
    server
        Samples of the server, columns of `record.models.SERVER_SCHEMA`.
    until_s
        Instant of the last send, in seconds: after it the cache only empties.
    warm_up
        Share of `until_s` that is left out at the start.

    Returns
    -------
    float
        NaN if no sample lies between.
    """
    inside = server.filter(pl.col("at_s").is_between(warm_up * until_s, until_s))
    mean = inside["kv_cache_use"].mean()
    return mean if isinstance(mean, float) else math.nan


def scaled(parameters: dict[str, Any], factor: float) -> dict[str, Any]:
    """Multiply every arrival rate of a parameter file; shapes stay as they are.

    Mean gaps and scales are divided, `rate_rps` and `rate` multiplied, and so is the `n` of each row.
    CV, intervals of shapes, lengths and conversations stay.

    Parameters
    ----------
    parameters
        Content of a parameter file; it is not changed.
    factor
        Factor of the rates.

    Returns
    -------
    dict
        Content of the scaled parameter file; its estimator names the factor.

    Raises
    ------
    InputError
        If the factor is not above zero or not finite.
    """
    if not 0 < factor < math.inf:
        raise InputError(f"a rate cannot be scaled by {factor:g}; the factor must be above 0")
    out = copy.deepcopy(parameters)
    for selection in out["selections"]:
        arrivals = selection["arrivals"]
        for row in (arrivals["overall"], *arrivals["windows"]):
            for name, value in row.items():
                if value is None:
                    continue
                if name == "n":
                    row[name] = round(value * factor)
                elif name in ("rate", "rate_rps", "rate_rps_low", "rate_rps_high"):
                    row[name] = value * factor
                elif name in ("scale", "mean_gap_s"):
                    row[name] = value / factor
    out["estimator"] += f"; rates multiplied by {factor:g}"
    validate(out, "the scaled parameters")
    return out
