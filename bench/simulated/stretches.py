"""When each step of the engine ended, kept as stretches of steps rather than one by one.

Only what is needed to tell the instants of single tokens afterwards; nothing here decides anything.
"""

from __future__ import annotations

from bisect import bisect_left


class Stretches:
    """Stretches in order; step i of the engine is the one after which its step count is i."""

    def __init__(self) -> None:
        self._before: list[int] = []
        self._timing: list[tuple[float, float, float]] = []
        self._steps = 0

    def add(self, before: int, start_s: float, steps: int, first_s: float, increment_s: float) -> None:
        """`steps` steps after step `before`, the first of `first_s`, each next longer by `increment_s`."""
        self._before.append(before)
        self._timing.append((start_s, first_s, increment_s))
        self._steps = before + steps

    def ends_s(self, first: int, last: int) -> list[float]:
        """Ends of the steps `first` to `last`, both included, which must be known."""
        ends: list[float] = []
        at = bisect_left(self._before, first) - 1
        while first <= last:
            before = self._before[at]
            start_s, first_s, increment_s = self._timing[at]
            at += 1
            until = min(last, self._before[at] if at < len(self._before) else self._steps)
            ends.extend(
                [
                    start_s + j * first_s + increment_s * (j * (j - 1) / 2)
                    for j in range(first - before, until - before + 1)
                ]
            )
            first = until + 1
        return ends

    def forget(self, needed: int) -> None:
        """Let go of the stretches that ended before the step `needed`."""
        gone = bisect_left(self._before, needed) - 1
        if gone > 0:
            del self._before[:gone], self._timing[:gone]
