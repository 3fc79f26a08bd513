"""Load made by a process of its own, so that what only reading needs is gone before sending begins.

The reader's engine takes a third of a client's memory. Not here: making load (`workload`), sending it.
"""

from __future__ import annotations

import sys
import threading
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any

from ..analysis.core.errors import BurstlensError
from ..analysis.core.result import Progress

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from ..bench.workload.table import Workload


def workload(source: str, *, progress: Progress, **choice: Any) -> Workload:
    """`load.workload`, by a process that ends with it; BurstlensError as there.

    In this process where it would save nothing, since the engines are loaded already, or where a process
    with threads would have to be forked.
    """
    if sys.platform != "linux" or "polars" in sys.modules or threading.active_count() > 1:
        from .workload import workload as make

        return make(source, progress=progress, **choice)
    # What both need is loaded once. Nothing has been computed, so none of their threads holds a lock.
    import numpy  # noqa: F401
    import polars  # noqa: F401

    context = get_context("fork")
    here, there = context.Pipe(duplex=False)
    maker = context.Process(target=_make, args=(there, source, choice), daemon=True)
    maker.start()
    there.close()
    try:
        while True:
            kind, said = here.recv()
            if kind == "made":
                return said  # type: ignore[no-any-return]
            if kind == "failed":
                raise said
            progress(*said)
    except EOFError:
        maker.join()
        raise BurstlensError(
            f"{source}: reading it was killed (signal {-(maker.exitcode or 0)}): is there memory enough?"
        ) from None
    finally:
        maker.terminate()
        maker.join()
        here.close()


def _make(there: Connection, source: str, choice: dict[str, Any]) -> None:
    """Make the load and send it, or what failed, with each step's progress before it."""
    try:
        from .workload import workload as make

        made = make(source, progress=lambda step, share: there.send(("progress", (step, share))), **choice)
    except KeyboardInterrupt:
        return
    except Exception as fault:
        there.send(("failed", fault))
    else:
        there.send(("made", made))
