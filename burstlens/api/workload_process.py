"""A workload made in a process of its own, so that what only reading needs is gone before sending begins.

The reader's engine takes a third of a client's memory. Not here: making the workload (`workload`), sending it
(`replay`).
"""

from __future__ import annotations

import sys
import threading
from multiprocessing import get_context
from typing import TYPE_CHECKING

from ..analysis.core.errors import InputError
from ..analysis.core.result import Progress
from ..analysis.logs.files.databases import is_database
from .workload import WorkloadOptions, load_workload

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from ..bench.workload.table import Workload


def load_in_subprocess(source: str, options: WorkloadOptions, *, progress: Progress) -> Workload:
    """`load_workload`, in a process that ends with it; BurstlensError as there.

    It stays in this process if a process of its own would save nothing, because the engines are loaded
    already, or if a process with threads would have to be forked; and for a database, since the list of
    processes shows for a forked one what was typed, with the password.
    """
    if (
        is_database(source)
        or sys.platform != "linux"
        or "polars" in sys.modules
        or threading.active_count() > 1
    ):
        return load_workload(source, options, progress=progress)
    # Both processes need these, so they are loaded once. Nothing has been computed, so no thread of theirs
    # holds a lock.
    import numpy  # noqa: F401
    import polars  # noqa: F401

    context = get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    maker = context.Process(target=_make, args=(sender, source, options), daemon=True)
    maker.start()
    sender.close()
    try:
        while True:
            kind, content = receiver.recv()
            if kind == "made":
                return content  # type: ignore[no-any-return]
            if kind == "failed":
                raise content
            progress(*content)
    except EOFError:
        maker.join()
        raise InputError(
            f"{source}: the process that read it was killed (signal {-(maker.exitcode or 0)}); is there "
            "enough memory?"
        ) from None
    finally:
        maker.terminate()
        maker.join()
        receiver.close()


def _make(sender: Connection, source: str, options: WorkloadOptions) -> None:
    """Make the workload and send each step's progress, then the workload or the error."""
    try:
        made = load_workload(
            source, options, progress=lambda step, share: sender.send(("progress", (step, share)))
        )
    except KeyboardInterrupt:
        return
    except Exception as error:
        sender.send(("failed", error))
    else:
        sender.send(("made", made))
