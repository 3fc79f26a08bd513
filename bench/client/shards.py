"""A workload cut for n senders that know nothing of each other, and the instant at which they all begin.

Each sender makes the whole workload, keeps its shard and sends it on a clock whose second 0 is the same
instant for all. Not here: sending (`run`), making one run of what they recorded (`merge_shards`).
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
import polars as pl

from ...analysis.core.errors import InputError
from ...analysis.core.option_names import option
from ...analysis.core.units import time_span
from ..workload.table import Workload

MIX = np.uint64(0x9E3779B97F4A7C15)
"""An odd number near 2^64 over the golden ratio: the upper bits of its multiples are spread evenly."""
SHIFT = np.uint64(40)
LAST_S = 1.0
"""Before a common start: the clock is read this late, because NTP may set it while senders wait."""


@dataclass(frozen=True, slots=True)
class Shard:
    """Part `index` of `of`, counted from 0. Raises InputError if there is no such part."""

    index: int
    of: int

    def __post_init__(self) -> None:
        if self.of < 1:
            raise InputError(f"{option('shard')}: {self}: there must be at least one shard")
        if not 0 <= self.index < self.of:
            last = f"0/{self.of}" if self.of == 1 else f"0/{self.of} to {self.of - 1}/{self.of}"
            raise InputError(f"{option('shard')}: {self} is out of range; {self.of} shards are {last}")

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Read `2/4`; raises InputError if it is not a shard."""
        found = re.fullmatch(r"\s*(-?\d+)\s*/\s*(-?\d+)\s*", text)
        if found is None:
            raise InputError(
                f"{option('shard')}: {text!r} is not a shard; write INDEX/N, counted from 0: 0/4 to 3/4"
            )
        return cls(int(found[1]), int(found[2]))

    def __str__(self) -> str:
        """As it is written on the command line."""
        return f"{self.index}/{self.of}"

    def cut(self, workload: Workload) -> Workload:
        """Cut its part of a workload: whole sessions, and requests without a session one by one.

        Instants and request ids stay those of the whole. The parts of one workload have no request in
        common and miss none. A part of a small workload may be empty.
        """
        owner = workload.requests.select(pl.coalesce("session", "request_id")).to_series().to_numpy()
        # Not the plain remainder: the workers of one sender cut by that, and would get nothing to do.
        mixed = (owner.astype(np.int64).view(np.uint64) * MIX) >> SHIFT
        mine = mixed % np.uint64(self.of) == np.uint64(self.index)
        return replace(workload, requests=workload.requests.filter(pl.Series(mine)))


def parse_start(text: str) -> float:
    """Read an instant in Unix seconds, or in ISO 8601 with its offset from UTC, as Unix seconds.

    Raises InputError if it is not an instant or has no offset: senders may be in different time zones.
    """
    wrong = f"{option('start_at')}: {text!r} is not an instant; write 2026-03-01T12:00:00Z or Unix seconds"
    try:
        seconds = float(text)
    except ValueError:
        pass
    else:
        if not 0 < seconds < 1e11:
            raise InputError(wrong)
        return seconds
    try:
        instant = datetime.fromisoformat(text.strip())
    except ValueError:
        raise InputError(wrong) from None
    if instant.tzinfo is None:
        raise InputError(
            f"{option('start_at')}: {text!r} has no time zone, and senders may be in different ones; add Z "
            "for UTC or an offset such as +01:00"
        )
    return instant.timestamp()


def left_s(start_unix_s: float) -> float:
    """Compute the seconds until the start by this machine's clock; raises InputError if it has passed."""
    left = start_unix_s - time.time()
    if left <= 0:
        raise InputError(
            f"{option('start_at')}: that instant passed {time_span(-left)} ago, and the other senders began "
            "without this one; start all of them again with a later instant"
        )
    return left


def wait_for(start_unix_s: float, until_s: float) -> None:
    """Sleep until shortly before the start.

    Parameters
    ----------
    start_unix_s
        Unix time of the start.
    until_s
        Seconds before it at which to wake up.

    Raises
    ------
    InputError
        If the start has passed.
    """
    while (left := left_s(start_unix_s) - until_s) > 0:
        time.sleep(min(left, 60.0))
