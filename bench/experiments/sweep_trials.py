"""What a sweep sends: the load of each setting of a grid, and a trial of it for each seed.

The mean gap of a drawn load is shape × scale, so with the scale held, as the paper has it, a smaller shape is
burstier and also a higher rate. Each shape is also run at an equal rate, with the scale adapted at
every instant: burstiness alone. Scales are in units of the paper's start; all of them are multiplied by one
factor, with which the start uses the KV cache as far as asked. Not here: which settings there are (`grid`),
what the trials say (`sweep`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np

from ...analysis.core.result import number
from ..workload.from_parameters import varying
from ..workload.schedules import PIECES, Schedule, parse_schedule, pieces
from ..workload.table import Workload
from .grid import CONSTANT, EQUAL, LINEAR, ORIGIN, PARAMETERS, SCALE, SHAPE, Grid, GridPoint
from .trials import Trial

REQUESTS = 2000
FEWEST = 50
"""A run of fewer requests shows neither a rate nor a failure rate."""
QUEUED = 128
"""Requests in the simulated server above which it refuses more, if its preset has no limit. A server
that takes all fails only by the client's time-out, which runs of minutes never see."""


def schedules_of(
    setting: GridPoint, start: Mapping[str, float], factor: float, requests: int
) -> tuple[dict[str, Schedule], float | None]:
    """Make the schedules of a setting.

    Parameters
    ----------
    setting
        A point of the grid.
    start
        Shape, scale and exponent of the start.
    factor
        Factor of all scales, which makes them seconds.
    requests
        Requests to send, or to expect if something varies.

    Returns
    -------
    tuple of (dict, float or None)
        Schedules of shape, scale (seconds) and exponent, and the duration in seconds in which `requests` are
        expected; None if nothing varies.
    """
    made = {name: _schedule(name, start[name], setting.of(name), setting.profile) for name in PARAMETERS}
    gap_s = start[SHAPE] * start[SCALE] * factor
    varies = any(each.varies for each in made.values())
    if setting.mode == EQUAL:
        duration_s = requests * gap_s
        made[SCALE] = _evened(made[SHAPE], gap_s, duration_s)
        return made, duration_s if varies else None
    made[SCALE] = made[SCALE].times(factor)
    if not varies:
        return made, None
    _, length, value = pieces(made, 1.0)
    return made, requests / float(length @ (1 / (value[SHAPE] * value[SCALE])))


def _schedule(name: str, start: float, value: float, profile: str) -> Schedule:
    """From the start to the value and back, or from the larger of them down to the smaller."""
    if profile == CONSTANT or value == start:
        return Schedule.constant(name, value)
    if profile == LINEAR:
        return parse_schedule(name, f"linear:{max(start, value)!r}..{min(start, value)!r}")
    return parse_schedule(name, f"quadratic:{start!r}..{value!r}..{start!r}")


def _evened(shape: Schedule, gap_s: float, duration_s: float) -> Schedule:
    """The scale with which the mean gap is `gap_s` at every instant, in the pieces that a run is cut into."""
    if not shape.varies:
        return Schedule.constant(SCALE, gap_s / float(shape.values[0]))
    edges = np.linspace(0.0, duration_s, PIECES + 1)
    middle = shape.at((edges[:-1] + edges[1:]) / 2, duration_s)
    return Schedule(SCALE, "table", gap_s / middle, edges[:-1], f"{number(gap_s, 6)} s / shape")


def load(setting: GridPoint, start: Mapping[str, float], factor: float, requests: int, seed: int) -> Workload:
    """Draw the load of a setting.

    Parameters
    ----------
    setting, start, factor
        As in `schedules_of`.
    requests
        Number of requests; about so many if something varies.
    seed
        Seed of instants and lengths.
    """
    made, duration_s = schedules_of(setting, start, factor, requests)
    shape, scale, exponent = (made[name] for name in PARAMETERS)
    if duration_s is None:
        return varying(shape, scale, exponent, requests=requests, seed=seed)
    return varying(shape, scale, exponent, duration_s=duration_s, seed=seed)


def trials(grid: Grid, factor: float, requests: int, seeds: Sequence[int]) -> list[Trial]:
    """List every setting with every seed; a seed is complete before the next begins.

    So a part of the trials shows the whole grid. The start and the shapes that vary record their course over
    time.

    Parameters
    ----------
    grid
        The settings.
    factor
        Factor of all scales, which makes them seconds.
    requests
        Requests of a trial.
    seeds
        Seeds.
    """
    start = dict(grid.start)
    return [
        Trial(
            {**setting.labels(), "seed": seed},
            partial(load, setting, start, factor, requests, seed),
            course=setting.parameter == ORIGIN
            or (setting.parameter == SHAPE and setting.profile != CONSTANT),
        )
        for seed in seeds
        for setting in grid.settings()
    ]


def notes(
    grid: Grid, factor: float, kv: float | None, requests: int, timeout_s: float, limit: int | None
) -> list[str]:
    """Write what a reader must know of how a sweep was run.

    Parameters
    ----------
    grid
        The settings.
    factor
        Factor of all scales.
    kv
        Share of the KV cache that the start uses; None if it was not calibrated.
    requests
        Requests of a trial.
    timeout_s
        Seconds after its send at which a request is given up.
    limit
        Requests in the simulated engine above which one is refused; None without a limit.
    """
    given_up = f"without an answer after {number(timeout_s)} s is given up"
    return [
        "Scales are as given: the start was not calibrated."
        if kv is None
        else f"Scales are those of the start times {number(factor, 4)}, with which the start uses "
        f"{100 * kv:g} % of the KV cache.",
        f"A request {given_up}, and so fails."
        if limit is None
        else f"A request that finds {limit} others in the server is refused, and one {given_up}: both fail.",
        f"{requests:,} requests a trial"
        + (
            ", and where a parameter varies so long a run that as many are expected."
            if set(grid.profiles) - {CONSTANT}
            else "."
        ),
    ]
