"""Everything that a trace says, asked once: the parts of a characterization in reading order.

Not here: how any part is computed (each has its module) and how a part is shown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from threading import Lock
from typing import TypeVar

from threadpoolctl import threadpool_limits

from .conversations.part import describe_conversations
from .core.exhibit import Displayable, Exhibit
from .core.result import Part, Progress
from .lengths.part import describe_lengths
from .trace.trace import Trace, TraceInfo
from .traffic.arrivals import describe_arrivals
from .traffic.burstiness import describe_burstiness
from .traffic.failures import describe_failures
from .traffic.periodicity import describe_periodicity
from .traffic.volume import describe_volume

WINDOW_S = 1200.0
"""Twenty minutes, the paper's window (section 3.1)."""

PARTS = 7
"""How many parts there are."""

P = TypeVar("P", bound=Part)


@dataclass(frozen=True)
class Characterization(Displayable):
    """What one trace says: its identity and every part, each a typed result."""

    info: TraceInfo
    window_s: float
    parts: tuple[Part, ...]
    engine: str = "duckdb"
    """What reduced the trace to small tables: `duckdb` or `spark`."""

    def part(self, kind: type[P]) -> P:
        """The part of that class; LookupError where the characterization has none."""
        for part in self.parts:
            if isinstance(part, kind):
                return part
        raise LookupError(f"no {kind.__name__} among the parts asked for")

    def sentences(self) -> Iterator[tuple[str, str]]:
        """Every finding and every lack, each with the name of its part."""
        for part in self.parts:
            for sentence in (*part.sentences(), *part.missing):
                yield part.name, sentence

    def exhibit(self) -> Exhibit:
        """The trace in a line, and every part."""
        return Exhibit(self.info.name, self.info.marks, self.info.lines(), parts=self.parts)


def characterize(
    trace: Trace,
    *,
    window_s: float = WINDOW_S,
    seed: int = 0,
    progress: Progress | None = None,
) -> Characterization:
    """Ask every part of an opened trace; the same seed gives the same answer.

    `progress(step, fraction)` is called before each part with its name and the share done. Parts that do not
    need each other are asked on two threads: while one waits for the engine the other one fits. Each draws
    from its own generator, so their order does not matter.
    """
    tell, done = Lock(), 0

    def told(name: str, ask: Callable[[], P]) -> P:
        nonlocal done
        with tell:
            if progress is not None:
                progress(name, done / PARTS)
            done += 1
        return ask()

    # The matrices are small: OpenBLAS on several threads would spin on the cores that the parts run on.
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(max_workers=1) as beside:
        aside: tuple[tuple[str, Callable[[], Part]], ...] = (
            ("lengths", lambda: describe_lengths(trace, seed=seed)),
            ("conversations", lambda: describe_conversations(trace, seed=seed)),
            ("failures", lambda: describe_failures(trace, seed=seed)),
        )
        waiting: list[Future[Part]] = [beside.submit(told, name, part) for name, part in aside]
        try:
            volume = told("volume", lambda: describe_volume(trace))
            periodicity = told("periodicity", lambda: describe_periodicity(trace, seed=seed))
            arrivals = told("arrivals", lambda: describe_arrivals(trace, window_s=window_s, seed=seed))
            burstiness = told("burstiness", lambda: describe_burstiness(trace, seed, arrivals))
            # What the other thread has not begun is taken from its end, so that neither waits long.
            taken = [
                told(name, part)
                for future, (name, part) in zip(reversed(waiting), reversed(aside), strict=True)
                if future.cancel()
            ]
            rest = [part.result() for part in waiting if not part.cancelled()]
            found = (volume, periodicity, arrivals, burstiness, *rest, *reversed(taken))
        except BaseException:
            beside.shutdown(wait=False, cancel_futures=True)
            raise
    marked = tuple(replace(part, marks=trace.info.marks) for part in found)
    return Characterization(trace.info, window_s, marked, trace.engine.name)
