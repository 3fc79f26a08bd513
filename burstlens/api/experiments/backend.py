"""What an experiment runs on, and what several experiments share: sources, seeds, calibration.

Not here: what each asks and concludes (`burstlens.bench.experiments`), its page (`burstlens.reports`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from ...analysis.core.errors import InputError
from ...analysis.core.option_names import option
from ...analysis.core.result import Progress, silent
from ..workload import files_of

if TYPE_CHECKING:
    from ...analysis.trace.trace import Trace
    from ...bench.experiments.backends import Backend, EndpointBackend, VirtualBackend
    from ...bench.experiments.trials import Facts, Question
    from ...bench.prompts.token_ids import Prompts
    from ...bench.settings import Settings, Status, Target
    from ...bench.simulated.request import Scheduling
    from ...bench.workload.table import Workload

    Watch = Callable[[Status], object]
    """Called twice a second of a run on an endpoint, which ends when it returns True."""

TIMEOUT_S = 300.0
"""After which a client gives a request up: aiohttp's own default, and the paper's client was made with
aiohttp."""
SEEDS = 10
PRESET = "llama-2-13b-a100"
LIMITS = ("max_num_seqs", "max_num_queued_reqs", "num_blocks")
"""Options of the simulated engine."""


class BackendArguments(TypedDict, total=False):
    """The options that every experiment on an engine has."""

    seeds: int
    seed: int
    simulate: str
    url: str | None
    served_model: str | None
    key: str | None
    vocabulary: tuple[int, int] | None
    timeout_s: float
    max_num_seqs: int | None
    max_num_queued_reqs: int | None
    num_blocks: int | None
    workers: int | None
    backend: BackendOptions | None
    progress: Progress | None


@dataclass(frozen=True)
class BackendOptions:
    """What an experiment runs on: a preset of the simulated engine, or a real endpoint."""

    simulate: str = PRESET
    target: Target | None = None
    """A real endpoint, instead of the simulated engine."""
    settings: Settings | None = None
    """How requests are sent to a real endpoint; None for the defaults."""
    vocabulary: tuple[int, int] | None = None
    prompts: Prompts | None = None
    """Of text; None for token ids."""
    timeout_s: float = TIMEOUT_S
    scheduling: Scheduling = "fcfs"
    """Policy of the simulated engine."""
    max_num_seqs: int | None = None
    """Other limits of the simulated engine than the preset's; so are the next two."""
    max_num_queued_reqs: int | None = None
    num_blocks: int | None = None

    @classmethod
    def of(
        cls,
        given: BackendOptions | None,
        simulate: str,
        url: str | None,
        served_model: str | None,
        key: str | None,
        vocabulary: tuple[int, int] | None,
        timeout_s: float,
        max_num_seqs: int | None,
        max_num_queued_reqs: int | None,
        num_blocks: int | None,
    ) -> BackendOptions:
        """Make it from the options of an experiment; one that is given is all that counts.

        InputError if the options contradict each other.
        """
        if given is not None:
            return given
        target = None
        limits = (max_num_seqs, max_num_queued_reqs, num_blocks)
        if url is not None:
            from ...bench.settings import Target

            target = Target(url, served_model, key=key)
            for name, value in zip(LIMITS, limits, strict=True):
                if value is not None:
                    raise InputError(f"{option(name)}: is for the simulated engine; start the server with it")
        return cls(simulate, target, None, vocabulary, None, timeout_s, "fcfs", *limits)

    def engine(self, watch: Watch | None = None) -> VirtualBackend | EndpointBackend:
        """The engine, ready; BurstlensError without such a preset, or if the endpoint cannot take load."""
        from ...bench.experiments.backends import EndpointBackend, VirtualBackend

        if self.target is None:
            from ...bench.simulated.presets import load_preset

            preset = load_preset(self.simulate).limited(**{name: getattr(self, name) for name in LIMITS})
            return VirtualBackend(preset, self.timeout_s, self.scheduling)
        from ...bench.prompts.token_ids import FIRST, LAST
        from ...bench.settings import Settings

        settings = replace(self.settings or Settings(), timeout_s=self.timeout_s)
        return EndpointBackend.at(
            self.target, settings, self.vocabulary or (FIRST, LAST), self.prompts, watch
        )


def seeds_from(count: int, first: int) -> list[int]:
    """List `count` seeds from `first` on; raises InputError if that is none."""
    if count < 1:
        raise InputError(f"{option('seeds')}: {count} is not above 0")
    return list(range(first, first + count))


def open_source(log: str | None, progress: Progress) -> Trace:
    """The trace of a log, `A+B` for one in two files, or the embedded synthetic one."""
    if log is None:
        from ...analysis.synthetic.trace import open_synthetic

        return open_synthetic(progress=progress)
    from ...analysis.trace.trace import open_trace

    return open_trace(files_of(log), progress=progress)


def sources_of(trace: Trace) -> list[dict[str, str]]:
    """Name and SHA-256 of a trace's files; only its name if it has no files."""
    files = [{"name": source.name, "sha256": source.sha256} for source in trace.info.sources]
    return files or [{"name": trace.info.name, "sha256": ""}]


def calibrated(
    kv: float,
    at: Callable[[float], Workload | Sequence[Workload]],
    engine: Backend,
    progress: Progress = silent,
) -> float:
    """The scale, by trials on `engine`, at which the load `at(scale)` brings KV-cache use to `kv`.

    `at(1.0)` is tried first; if it gives several loads, such as one per seed, the mean of their uses counts.
    BurstlensError if that use cannot be reached.
    """
    import tempfile

    from ...bench.server.calibrate import calibrate
    from ...bench.workload.table import Workload

    loads: list[Workload] = []

    def first(scale: float) -> Workload:
        made = at(scale)
        loads[:] = [made] if isinstance(made, Workload) else made
        return loads[0]

    def measure(_: Workload) -> float:
        used = []
        for load in loads:
            with tempfile.TemporaryDirectory(prefix="burstlens-") as folder:
                use = engine.serve(load, Path(folder) / "run", course=False).values["kv_cache_use"]
            used.append(math.nan if use is None else use)
        return sum(used) / len(used)

    found = calibrate(kv, first, measure, progress=progress)
    if not found.reached:
        raise InputError(f"{option('kv')} {kv:g}: {found}")
    return found.scale


def question_on(
    engine: Backend,
    kind: str,
    options: dict[str, Any],
    *,
    synthetic: bool,
    seeds: list[int],
    facts: Facts,
    notes: list[str],
) -> Question:
    """Make the question of an experiment on an engine, before its trials are counted.

    Parameters
    ----------
    engine
        What the trials run on.
    kind
        `maf2`, `sweep`, `schedulers` or `responses`.
    options
        Every option, in plain values; with the engine they identify the question.
    synthetic
        Whether a workload came from a synthetic trace or from constants.
    seeds
        One a repetition.
    facts
        What was found while the trials were made.
    notes
        What a reader should know.
    """
    from ...bench.experiments.trials import Question
    from ...bench.record.versioned_json import to_dict

    return Question(
        kind,
        options,
        engine.as_dict(),
        engine.title,
        engine.simulated,
        synthetic,
        seeds,
        0,
        to_dict(facts),
        notes,
    )


def facts_of(out: Path, question: Mapping[str, Any], kind: type[Facts]) -> Facts | None:
    """What the same question found in `out` before; None if it was not begun there.

    A calibration on a real server would come out differently now, so trials go on with the earlier one.
    """
    from ...bench.experiments.trials import is_experiment, read

    if is_experiment(out) and (before := read(out).question).options == question:
        return before.typed_facts(kind)
    return None
