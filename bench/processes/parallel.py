"""Independent pieces of work on several processes, their results as they end.

What all pieces share goes to each process once. Not here: what the work is.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from typing import Any, TypeVar

from ...analysis.core.errors import BurstlensError
from ...analysis.core.option_names import option
from .spawn import SPAWNED

Shared = TypeVar("Shared")
Piece = TypeVar("Piece")
Result = TypeVar("Result")
ReportShare = Callable[[float], None]

POLL_S = 0.5
"""Seconds between reports of the share that is done."""
_worker_state: list[Any] = []


def each(
    work: Callable[[Shared, Piece, ReportShare], Result],
    shared: Shared,
    pieces: Sequence[Piece],
    workers: int,
    report: ReportShare = lambda _share: None,
) -> Iterator[tuple[int, Result]]:
    """Run `work(shared, piece, report)` for every piece on several processes.

    Parameters
    ----------
    work
        A function that can be pickled; it may report the share of its piece that is done, from 0 to 1.
    shared
        What all pieces need; it is sent to each process once.
    pieces
        One piece a call.
    workers
        Number of processes; with 1 the work runs in this process.
    report
        Gets the share of all the work that is done, about twice a second.

    Yields
    ------
    tuple of int and Result
        The index of a piece and its result, in the order in which pieces end.

    Raises
    ------
    BurstlensError
        If a process was killed.
    """
    n = len(pieces)
    if workers <= 1 or n <= 1:
        for i, piece in enumerate(pieces):
            yield i, work(shared, piece, partial(_within, report, i, n))
            report((i + 1) / n)
        return
    # A forked process would share the threads of Polars without running them.
    shares = SPAWNED.RawArray("d", n)
    with ProcessPoolExecutor(min(workers, n), SPAWNED, _begin, (shared, shares)) as pool:
        try:
            number = {pool.submit(_do, work, i, piece): i for i, piece in enumerate(pieces)}
            left: set[Future[Result]] = set(number)
            while left:
                done, left = wait(left, POLL_S, FIRST_COMPLETED)
                for ended in done:
                    shares[number[ended]] = 1.0
                    yield number[ended], ended.result()
                report(sum(shares) / n)
        except BrokenProcessPool:
            raise BurstlensError(
                f"a process was killed, perhaps because memory ran out; try fewer {option('workers')}"
            ) from None
        except BaseException:
            # The results are not needed any more, and a piece may take minutes.
            for process in list(pool._processes.values()):
                process.terminate()
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _within(report: ReportShare, i: int, n: int, share: float) -> None:
    report((i + share) / n)


def _begin(shared: Any, shares: Any) -> None:
    """In a process of the pool: Ctrl-C is the parent's to handle, and one core is enough."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ["POLARS_MAX_THREADS"] = "1"
    _worker_state[:] = [shared, shares]


def _do(work: Callable[[Any, Any, ReportShare], Any], i: int, piece: Any) -> Any:
    shared, shares = _worker_state
    return work(shared, piece, partial(shares.__setitem__, i))
