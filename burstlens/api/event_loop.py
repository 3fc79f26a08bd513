"""Work that wants an event loop of its own, called where one already runs: in a notebook.

Not here: the work.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from threading import Event
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from ..analysis.core.result import Progress

T = TypeVar("T")
LISTEN_S = 0.2
"""So often an interrupt is looked for."""


def ending(progress: Progress, stop: Event) -> Progress:
    """A `Progress` that raises KeyboardInterrupt once the event is set: between steps, work ends there."""

    def show(step: str, share: float) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        progress(step, share)

    return show


def apart(call: Callable[[Event], T]) -> T:
    """Call it, on a thread of its own where this one has a running event loop.

    There an interrupt of this thread sets the event that `call` is given, and what it then returns is
    returned; elsewhere signals reach it as they always do, and the event is never set.
    """
    stop = Event()
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return call(stop)
    with ThreadPoolExecutor(max_workers=1) as beside:
        done = beside.submit(call, stop)
        try:
            # Not one wait to the end: once Polars is loaded, SIGINT restarts what it interrupts.
            while not wait([done], LISTEN_S).done:
                pass
        except KeyboardInterrupt:
            stop.set()
        return done.result()
