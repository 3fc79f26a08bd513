"""A characterization: every part of what a trace shows, in reading order.

The parts are found through the entry points `burstlens.parts`, each a class derived from `TracePart`, so that
another package adds one. Not here: how a part is computed (each has its module) and how it is shown.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import cache
from graphlib import CycleError, TopologicalSorter
from inspect import isabstract
from threading import Condition, RLock
from typing import TypeVar

from threadpoolctl import threadpool_limits

from .core.errors import BurstlensError
from .core.exhibit import Displayable, Exhibit
from .core.registry import PARTS, Plugin, load_all, plugins
from .core.result import Part, Progress
from .logs.rejects import RejectedRows
from .trace.trace import Trace, TraceInfo
from .trace.trace_part import PartInputs, TracePart

WINDOW_S = 1200.0
"""Twenty minutes, the paper's window (section 3.1)."""

READING_ORDER = ("volume", "periodicity", "arrivals", "burstiness", "lengths", "conversations", "failures")
"""Our parts by name; those of other packages follow, in the order of the alphabet."""

P = TypeVar("P", bound=Part)


@dataclass(frozen=True)
class Characterization(Displayable):
    """What one trace shows: its identity and every part, each a typed result."""

    info: TraceInfo
    window_s: float
    parts: tuple[Part, ...]
    engine: str = "duckdb"
    """What reduced the trace to small tables: `duckdb` or `spark`."""
    rejects: RejectedRows = field(default_factory=RejectedRows)
    """Rows of the logs that are not in the trace, and why."""

    def part(self, kind: type[P]) -> P:
        """The part of that class; LookupError if the characterization does not have it."""
        for part in self.parts:
            if isinstance(part, kind):
                return part
        raise LookupError(f"this characterization has no part {kind.__name__}")

    def sentences(self) -> Iterator[tuple[str, str]]:
        """Every finding and everything that could not be computed, each with the name of its part."""
        for part in self.parts:
            for sentence in (*part.sentences(), *part.missing):
                yield part.name, sentence

    def exhibit(self) -> Exhibit:
        """The trace in a line, and every part."""
        lines = (*self.info.lines(), *self.rejects.lines("describe(…, rejects=FILE) writes them"))
        return Exhibit(self.info.name, self.info.marks, lines, parts=self.parts)


@cache
def trace_parts() -> dict[str, type[TracePart]]:
    """The class of every part by its name, in reading order; a faulty plugin is left out with a warning."""
    found = load_all(PARTS, _part_class)
    place = {name: i for i, name in enumerate(READING_ORDER)}
    return {name: found[name] for name in sorted(found, key=lambda name: (place.get(name, len(place)), name))}


def _part_class(plugin: Plugin) -> type[TracePart]:
    kind = plugin.load()
    if not (isinstance(kind, type) and issubclass(kind, TracePart)):
        raise plugin.fault(f"{plugin.value} is not a class derived from TracePart")
    if getattr(kind, "name", None) != plugin.name:
        raise plugin.fault(f"{plugin.value} has the name {getattr(kind, 'name', None)!r}")
    if isabstract(kind):
        raise plugin.fault(f"{plugin.value} lacks {', '.join(sorted(kind.__abstractmethods__))}")
    return kind


class _Schedule:
    """Hands parts to threads, each after the parts that it needs."""

    def __init__(self, parts: dict[str, type[TracePart]], progress: Progress | None) -> None:
        self.sorter = TopologicalSorter({part: part.needs for part in parts.values()})
        try:
            self.sorter.prepare()
        except CycleError as fault:
            names = ", ".join(sorted({part.name for part in fault.args[1]}))
            raise BurstlensError(f"parts that need each other: {names}") from fault
        self.total, self.begun = len(parts), 0
        self.place = {part: i for i, part in enumerate(parts.values())}
        self.ready: list[type[TracePart]] = []
        self.results: dict[type[Part], Part] = {}
        self.stopped = False
        # Entered in C: Ctrl-C between two steps of a lock written in Python would leave it locked for ever.
        self.lock = RLock()
        self.change = Condition(self.lock)
        self.progress = progress

    def run(self, inputs: PartInputs, *, last_first: bool) -> None:
        """Compute parts until none is left, from the front of the reading order or from its end."""
        try:
            while (part := self._next(last_first)) is not None:
                plugin = plugins(PARTS).get(part.name)
                with plugin.guard() if plugin else nullcontext():
                    result = part.describe(inputs)
                with self.lock:
                    self.results[part] = result
                    self.sorter.done(part)
                    self.change.notify_all()
        except BaseException:
            with self.lock:
                self.stopped = True
                self.change.notify_all()
            raise

    def _next(self, last_first: bool) -> type[TracePart] | None:
        with self.lock:
            while True:
                self.ready += self.sorter.get_ready()
                if self.stopped or not (self.ready or self.sorter.is_active()):
                    return None
                if self.ready:
                    break
                self.change.wait()
            self.ready.sort(key=lambda part: self.place.get(part, self.total))
            part = self.ready.pop(-1 if last_first else 0)
            if self.progress is not None:
                self.progress(part.name, self.begun / self.total)
            self.begun += 1
            return part


def characterize(
    trace: Trace,
    *,
    window_s: float = WINDOW_S,
    seed: int = 0,
    progress: Progress | None = None,
) -> Characterization:
    """Compute every part of an opened trace; the same seed gives the same numbers.

    Two threads share the parts: while one waits for the engine the other one fits. Each part draws from its
    own generator, so their order does not matter.

    Parameters
    ----------
    trace
        An opened trace.
    window_s
        Length of the Gamma windows, in seconds.
    seed
        Seed of every bootstrap.
    progress
        Called before each part with its name and the share done, 0 to 1.
    """
    parts = trace_parts()
    schedule = _Schedule(parts, progress)
    inputs = PartInputs(trace, window_s, seed, schedule.results)
    # The matrices are small: OpenBLAS on several threads would spin on the cores that the parts run on.
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(max_workers=1) as pool:
        helper = pool.submit(schedule.run, inputs, last_first=True)
        schedule.run(inputs, last_first=False)
        helper.result()
    results = tuple(replace(schedule.results[part], marks=trace.info.marks) for part in parts.values())
    rejects = RejectedRows.of(trace.info.rejected, trace.rejects)
    return Characterization(trace.info, window_s, results, trace.engine.name, rejects)
