"""What a ratio search searches, and its independent pieces of work, which may run in other processes.

Not here: the order of the steps, and what becomes of their results (`search`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Protocol

from ..processes.parallel import ReportShare
from .goodput import TOLERANCE, ScalableLoad, Serving, Turns, goodput
from .policies import beam, switch, switches, windows

ABOVE_KNOWN = (1.05, 1.02)
"""Sequences are searched at these multiples of the best known goodput. The second is tried if no sequence
meets the bounds at the first: the sequence that loses the fewest requests far above the goodput may not do
so at it."""

RatedTurns = tuple[float, Turns]
"""Goodput in requests/s on a load, and the turns that reach it."""


@dataclass(frozen=True)
class SearchSpec:
    """The loads and how they are searched."""

    loads: tuple[ScalableLoad, ...]
    """The real load, one a seed."""
    provisioned: ScalableLoad | None
    """The forecast; None if there is only the real load."""
    serving: Serving
    window_s: float = 600.0
    width: int = 10
    """Of the beam."""
    tolerance: float = TOLERANCE
    """Relative distance of rates at which bisection of a goodput ends."""
    seeds: tuple[int, ...] = (0,)
    further: tuple[ScalableLoad, ...] = ()
    """More draws of the forecast, on which plans made from it are compared."""

    @property
    def searched(self) -> tuple[ScalableLoad, ...]:
        """The real loads, then the provisioned one."""
        return self.loads if self.provisioned is None else (*self.loads, self.provisioned)

    @property
    def all_loads(self) -> tuple[ScalableLoad, ...]:
        """The loads that are searched, then the further draws."""
        return (*self.searched, *self.further)


class Task(Protocol):
    """A piece of work on one load."""

    @property
    def runs(self) -> int:
        """About how many runs of a load it takes."""
        ...

    def do(self, spec: SearchSpec, tell: ReportShare) -> Any:
        """Do the work.

        Parameters
        ----------
        spec
            The loads and how they are searched.
        tell
            Called with the share that is done.
        """
        ...


@dataclass(frozen=True)
class GoodputTask:
    """Find the goodput of turns on a load."""

    runs: ClassVar[int] = 8
    load: int
    turns: Turns
    guess_rps: float

    def do(self, spec: SearchSpec, tell: ReportShare) -> float:  # noqa: ARG002
        """Find the goodput, in requests/s.

        Parameters
        ----------
        spec, tell
            As in `Task.do`.
        """
        return goodput(spec.all_loads[self.load], spec.serving, self.turns, self.guess_rps, spec.tolerance)


@dataclass(frozen=True)
class SwitchTask:
    """Find the best switch from one ratio."""

    runs: ClassVar[int] = 30
    load: int
    before: int
    rate_rps: float
    moments_s: tuple[float, ...]

    def do(self, spec: SearchSpec, tell: ReportShare) -> tuple[int, Turns] | None:  # noqa: ARG002
        """Find the best switch.

        Parameters
        ----------
        spec, tell
            As in `Task.do`.

        Returns
        -------
        tuple of (int, Turns) or None
            Requests lost, and the turns; None if there is no switch.
        """
        load = spec.all_loads[self.load]
        ranked = switches(load, spec.serving, self.rate_rps, self.before, self.moments_s)
        return (ranked[0][0], switch(self.before, ranked[0][1], ranked[0][2])) if ranked else None


@dataclass(frozen=True)
class SequenceTask:
    """Find a sequence for a load, and its goodput there."""

    runs: ClassVar[int] = 100
    load: int
    known: tuple[RatedTurns, ...]
    """The best fixed ratio and the best switch: one of them is the answer if beam search finds no better."""

    def do(self, spec: SearchSpec, tell: ReportShare) -> tuple[Turns, float]:
        """Find a sequence that is better than the known ones, or return the best of those.

        Parameters
        ----------
        spec, tell
            As in `Task.do`.

        Returns
        -------
        tuple of (Turns, float)
            The turns, and their goodput in requests/s.
        """
        load, serving = spec.all_loads[self.load], spec.serving
        best_rps, best = max(self.known, key=lambda rated: rated[0])
        begins = windows(load.span_s, spec.window_s)
        known = [turns for _, turns in self.known]
        for attempt, multiple in enumerate(ABOVE_KNOWN):
            rate = best_rps * multiple
            show = partial(_attempt_share, tell, attempt, len(ABOVE_KNOWN))
            found = beam(load, serving, rate, begins, spec.width, show, known, load.allowed)
            reached = goodput(load, serving, found[1], rate, spec.tolerance) if found else 0.0
            if found and reached > best_rps:
                return found[1], reached
        return best, best_rps


def do_task(spec: SearchSpec, task: Task, tell: ReportShare) -> Any:
    """Do a task in a process; `parallel.each` calls it.

    Parameters
    ----------
    spec
        The loads and how they are searched.
    task
        The task.
    tell
        Called with the share that is done.
    """
    return task.do(spec, tell)


def _attempt_share(tell: Callable[[float], None], attempt: int, attempts: int, share: float) -> None:
    tell((attempt + share) / attempts)
