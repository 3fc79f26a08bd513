"""When each step of the engine ended, as blocks of steps rather than one by one.

Only for the instants of single tokens, which are computed afterwards; nothing here decides anything.
"""

from __future__ import annotations

from bisect import bisect_left

import numpy as np

from ...analysis.core.arrays import Array


class StepTimes:
    """Blocks of steps in order; step i of the engine is the one after which its step count is i."""

    def __init__(self) -> None:
        self._before: list[int] = []
        self._timing: list[tuple[float, float, float]] = []
        self._steps = 0

    def add(self, before: int, start_s: float, steps: int, first_s: float, increment_s: float) -> None:
        """Add a block of steps, each longer than the one before it by the same time.

        Parameters
        ----------
        before
            Number of the step before the first of them.
        start_s
            Instant at which the first step begins.
        steps
            How many steps there are.
        first_s, increment_s
            Length of the first step, and how much longer each next one is, in seconds.
        """
        self._before.append(before)
        self._timing.append((start_s, first_s, increment_s))
        self._steps = before + steps

    def ends_s(self, first: int, last: int) -> Array:
        """Compute when steps ended.

        Parameters
        ----------
        first, last
            Numbers of the first and the last step; both must have been added.

        Returns
        -------
        Array
            Instants in seconds, one element a step.
        """
        if last < first:
            return np.empty(0)
        low, high = bisect_left(self._before, first) - 1, bisect_left(self._before, last)
        before = np.array(self._before[low:high])
        start_s, first_s, increment_s = np.array(self._timing[low:high]).T
        begins = np.maximum(before, first - 1)
        lengths = np.diff(begins, append=last)
        step = np.arange(first, last + 1) - np.repeat(before, lengths)
        ends: Array = (
            np.repeat(start_s, lengths)
            + step * np.repeat(first_s, lengths)
            + np.repeat(increment_s, lengths) * (step * (step - 1) / 2)
        )
        return ends

    def forget(self, needed: int) -> None:
        """Forget the blocks that ended before the step `needed`."""
        gone = bisect_left(self._before, needed) - 1
        if gone > 0:
            del self._before[:gone], self._timing[:gone]
