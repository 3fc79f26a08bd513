"""Everything that a trace says, asked once: the parts of a characterization in reading order.

Not here: how any part is computed (each has its module) and how a part is shown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from .arrivals import Arrivals, describe_arrivals
from .burstiness import describe_burstiness
from .conversations import describe_conversations
from .failures import describe_failures
from .lengths import describe_lengths
from .periodicity import describe_periodicity
from .result import Part, Progress
from .trace import Trace, TraceInfo
from .volume import describe_volume

WINDOW_S = 1200.0
"""Twenty minutes, the paper's window (section 3.1)."""

P = TypeVar("P", bound=Part)


@dataclass(frozen=True)
class Characterization:
    """What one trace says: its identity and every part, each a typed result."""

    info: TraceInfo
    window_s: float
    parts: tuple[Part, ...]

    def part(self, kind: type[P]) -> P:
        """The part of that class; LookupError where the characterization has none."""
        return _last(self.parts, kind)

    def sentences(self) -> Iterator[tuple[str, str]]:
        """Every finding and every lack, each with the name of its part."""
        for part in self.parts:
            for sentence in (*part.sentences(), *part.missing):
                yield part.name, sentence


def characterize(
    trace: Trace,
    *,
    window_s: float = WINDOW_S,
    seed: int = 0,
    progress: Progress | None = None,
) -> Characterization:
    """Ask every part of an opened trace; the same seed gives the same answer.

    `progress(step, fraction)` is called before each part with its name and the share done.
    """
    found: list[Part] = []
    asked: tuple[tuple[str, Callable[[], Part]], ...] = (
        ("volume", lambda: describe_volume(trace)),
        ("periodicity", lambda: describe_periodicity(trace, seed=seed)),
        ("arrivals", lambda: describe_arrivals(trace, window_s=window_s, seed=seed)),
        ("burstiness", lambda: describe_burstiness(trace, seed, _last(found, Arrivals))),
        ("lengths", lambda: describe_lengths(trace, seed=seed)),
        ("conversations", lambda: describe_conversations(trace, seed=seed)),
        ("failures", lambda: describe_failures(trace, seed=seed)),
    )
    for i, (name, ask) in enumerate(asked):
        if progress is not None:
            progress(name, i / len(asked))
        found.append(ask())
    return Characterization(trace.info, window_s, tuple(found))


def _last(parts: Sequence[Part], kind: type[P]) -> P:
    """The part of that class; LookupError where there is none."""
    for part in reversed(parts):
        if isinstance(part, kind):
            return part
    raise LookupError(f"no {kind.__name__} among the parts asked for")
