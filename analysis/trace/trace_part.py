"""What a part of a characterization is computed from. Not here: any part, running them (`characterize`)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, TypeVar

from ..core.result import Part
from .trace import Trace

P = TypeVar("P", bound=Part)


@dataclass(frozen=True)
class PartInputs:
    """An opened trace, the options of `describe`, and the parts computed so far."""

    trace: Trace
    window_s: float
    """Length of the Gamma windows in seconds."""
    seed: int
    parts: Mapping[type[Part], Part]

    def part(self, kind: type[P]) -> P:
        """The part of that class, which the asking class has to name in `needs`."""
        part = self.parts[kind]
        assert isinstance(part, kind)
        return part


class TracePart(Part):
    """A part that `characterize` computes, found by its entry point in `burstlens.parts`."""

    needs: ClassVar[tuple[type[TracePart], ...]] = ()
    """Parts that have to be computed first; `describe` gets them from its inputs."""

    @classmethod
    @abstractmethod
    def describe(cls, inputs: PartInputs) -> TracePart:
        """Compute the part; the same seed gives the same numbers."""
