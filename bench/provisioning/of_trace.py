"""The prefill:decode search on a part of an opened trace that takes a minute, as a report has it.

Not here: the search (`search`), which part (`workload.busiest`), the search at leisure (the verb
`disaggregate`).
"""

from __future__ import annotations

from ...analysis.core.errors import BurstlensError, InputError
from ...analysis.core.option_names import option
from ...analysis.core.result import Progress, silent
from ...analysis.trace.trace import Trace
from ..record.versioned_json import from_dict
from ..simulated.presets import load_preset
from ..workload.busiest import busiest_of_trace
from ..workload.from_trace import workloads_by_seed
from .goodput import ScalableLoad, Serving
from .search import search_ratios
from .state import Cut, Origin, SearchState
from .tasks import SearchSpec

PRESET = "llama-2-13b-a100"
REQUESTS = 5_000
WINDOWS = 24
"""Windows of the part that is searched: an hour each if that is a day."""
BEAM = 5
SEEDS = 3


def search_trace(
    trace: Trace, *, seed: int = 0, workers: int = 1, progress: Progress = silent
) -> SearchState:
    """Search 8 instances and the stated bounds on the busiest part of a trace.

    Parameters
    ----------
    trace
        An opened trace.
    seed
        The first seed.
    workers
        Number of processes.
    progress
        Called with the step and the share that is done.

    Raises
    ------
    InputError
        If the trace does not have a load that the preset can serve within the bounds.
    """
    preset = load_preset(PRESET)
    cut = busiest_of_trace(trace, max_requests=REQUESTS)
    start_s, end_s, first = (None,) * 3 if cut is None else (cut.start_s, cut.end_s, cut.first)
    span_s = None if cut is None or cut.first else cut.length_s
    try:
        made = workloads_by_seed(trace, range(seed, seed + SEEDS), start_s=start_s, end_s=end_s, first=first)
        seeds = tuple(range(seed, seed + len(made)))
        loads = tuple(ScalableLoad.of(one, preset, span_s) for one in made)
        origin = Origin(
            source=trace.info.name,
            cut=None if cut is None else from_dict(Cut, cut.as_dict()),
            recipe=dict(made[0].recipe),
        )
        spec = SearchSpec(loads, None, Serving.of(preset), loads[0].span_s / WINDOWS, BEAM, seeds=seeds)
        return search_ratios(spec, origin, workers=workers, progress=progress)
    except BurstlensError as why:
        raise InputError(
            f"{why.marked_text} (disaggregate has that option; or report without {option('disaggregate')})"
        ) from why
