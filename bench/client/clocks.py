"""How far this machine's clock is from one that all senders of a load can see: how far at least and at most.

Two clocks can be seen without a daemon or a right: the endpoint's, in the `Date` of its answers, and that
of the server of a shared folder, in the times that it gives to files. Both only bound the offset, and the
bounds are what is kept. Not here: setting a clock (NTP and PTP do), and what becomes of the bounds
(`merge_shards`).
"""

from __future__ import annotations

import asyncio
import math
import os
import tempfile
import time
from collections.abc import Iterable
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ...analysis.core.errors import DiskError, InputError
from ...analysis.core.option_names import option
from ..record.models import ClockOffset
from ..settings import Target

if TYPE_CHECKING:
    from aiohttp import ClientSession

ENDPOINT = "endpoint"
STEP_S = 0.05
"""Between two questions for the endpoint's time."""
DURATION_S = 1.5
"""How long to ask: a `Date` has whole seconds, and is exact only when it changes."""
FILES = 5
TICK_S = 0.01
"""A kernel gives a file the time of its last tick, up to 10 ms ago."""
LAGGING = ("uvicorn",)
"""Servers that renew their `Date` once a second, but at no full second: it may be a second old."""


def bounded(against: str, seen: Iterable[tuple[float, float, float, float]]) -> ClockOffset | None:
    """Bound the offset of another clock by all sights of it.

    Parameters
    ----------
    against
        Name of the other clock.
    seen
        Sights, each this machine's time before and after, and the least and the most that the other clock
        showed in between; all in seconds.

    Returns
    -------
    ClockOffset or None
        None without sights, or if no offset fits all (a clock was set meanwhile).
    """
    low, high = -math.inf, math.inf
    for before, after, earliest, latest in seen:
        low, high = max(low, before - latest), min(high, after - earliest)
    return ClockOffset(against, low, high) if -math.inf < low <= high < math.inf else None


def measure_offset(how: str, target: Target) -> ClockOffset | None:
    """Measure the offset of this machine's clock against one that all senders see.

    Parameters
    ----------
    how
        `endpoint`, or a folder that all senders share.
    target
        The endpoint.

    Returns
    -------
    ClockOffset or None
        None if the endpoint sends no `Date`, or if no offset fits all sights.

    Raises
    ------
    InputError
        If `how` is neither `endpoint` nor a folder.
    DiskError
        If the folder cannot be written.
    """
    if how == ENDPOINT:
        return asyncio.run(_endpoint(target))
    folder = Path(how)
    if not folder.is_dir():
        raise InputError(
            f"{option('clock')}: {how!r} is neither 'endpoint' nor a folder that all senders share"
        )
    return _folder(folder)


async def _endpoint(target: Target) -> ClockOffset | None:
    import aiohttp

    limit = aiohttp.ClientTimeout(total=1.0)
    seen: list[tuple[float, float, float, float]] = []
    until = time.monotonic() + DURATION_S
    async with aiohttp.ClientSession(timeout=limit, headers=target.headers) as http:
        while time.monotonic() < until:
            sight = await _ask(http, f"{target.url}/health")
            if sight is not None:
                seen.append(sight)
            await asyncio.sleep(STEP_S)
    return bounded("the Date of the endpoint's answers", seen)


async def _ask(http: ClientSession, url: str) -> tuple[float, float, float, float] | None:
    import aiohttp

    before = time.time()
    try:
        async with http.get(url) as response:
            after = time.time()
            other_s = parsedate_to_datetime(response.headers["Date"]).timestamp()
            server = response.headers.get("Server", "").lower()
    except (aiohttp.ClientError, TimeoutError, KeyError, ValueError):
        return None
    lag_s = 1.0 if any(name in server for name in LAGGING) else 0.0
    return before, after, other_s, other_s + 1.0 + lag_s


def _folder(folder: Path) -> ClockOffset | None:
    seen = []
    try:
        for _ in range(FILES):
            handle, name = tempfile.mkstemp(prefix=".burstlens-clock-", dir=folder)
            try:
                before = time.time()
                # A network file system gives a file the time of its server, not of this machine.
                os.write(handle, b"0")
                os.fsync(handle)
                after = time.time()
                other_s = os.fstat(handle).st_mtime
            finally:
                os.close(handle)
                Path(name).unlink()
            seen.append((before, after, other_s, other_s + TICK_S))
    except OSError as fault:
        raise DiskError.unwritable(folder, fault) from fault
    return bounded("the server of a shared folder", seen)
