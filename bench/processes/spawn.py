"""Processes that begin without running the caller's script again, and that leave Ctrl-C to the caller.

A spawned process imports the main module first: a script without a main guard would do all that it does once
more in each. What ours are handed lives in modules of its own, so they do without. Not here: what they do
(`client.processes`, `parallel`).
"""

from __future__ import annotations

import signal
import sys
from multiprocessing import resource_tracker
from multiprocessing.context import SpawnContext, SpawnProcess
from multiprocessing.process import BaseProcess
from pickle import PicklingError
from types import ModuleType
from typing import Any


class _Process(SpawnProcess):
    """A spawned process that knows no main module, unless what it is handed is defined there.

    SIGINT is blocked in it from the first moment on: Ctrl-C reaches all processes of a terminal, and one that
    still imports would show a traceback. Its caller ends it.
    """

    @staticmethod
    def _Popen(process_obj: BaseProcess) -> Any:
        main = sys.modules["__main__"]
        sys.modules["__main__"] = ModuleType("__main__")
        # Python starts its tracker with the first process, and unblocks SIGINT then.
        resource_tracker.ensure_running()
        # A new process inherits the mask; a signal that comes meanwhile reaches the caller afterwards.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            return SpawnProcess._Popen(process_obj)
        except (PicklingError, AttributeError):
            sys.modules["__main__"] = main
            return SpawnProcess._Popen(process_obj)
        finally:
            sys.modules["__main__"] = main
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)


class _Context(SpawnContext):
    Process = _Process


SPAWNED = _Context()
"""A `multiprocessing` context of such processes."""
