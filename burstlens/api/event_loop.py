"""Run work that needs an event loop of its own, also where one already runs, as in a notebook."""

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
"""Seconds between two looks for an interrupt."""


def interruptible(progress: Progress, stop: Event) -> Progress:
    """A `Progress` that raises KeyboardInterrupt once the event is set: between steps, work ends there."""

    def show(step: str, share: float) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        progress(step, share)

    return show


def run_outside_event_loop(call: Callable[[Event], T]) -> T:
    """Call it; on a thread of its own if this thread has a running event loop.

    On such a thread, an interrupt sets the event that `call` is given, and `call` should then end and return
    what it has. Otherwise signals reach it as usual, and the event is never set.
    """
    stop = Event()
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return call(stop)
    with ThreadPoolExecutor(max_workers=1) as pool:
        done = pool.submit(call, stop)
        try:
            # Not a single wait to the end: once Polars is loaded, a wait that SIGINT interrupts starts again.
            while not wait([done], LISTEN_S).done:
                pass
        except KeyboardInterrupt:
            stop.set()
        return done.result()
