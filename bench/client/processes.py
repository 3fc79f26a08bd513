"""One workload sent by several processes on one clock, for more load than one core can send.

Whole sessions go to one worker. The parent sends no requests: it hands out the start, adds up the
status of the workers, and stops them. Not here: what a worker does (`sender`).
"""

from __future__ import annotations

import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing.connection import Connection, wait
from pathlib import Path

import polars as pl

from ...analysis.core.errors import BurstlensError
from ...analysis.core.option_names import option
from ..processes.spawn import SPAWNED
from ..prompts.token_ids import Prompts
from ..settings import Settings, Status, Target
from ..workload.table import Workload
from .sender import Sender, main
from .shards import LAST_S, left_s, wait_for


@dataclass(frozen=True)
class _Share:
    """What a worker needs to begin."""

    workload: Workload
    prompts: Prompts
    target: Target
    settings: Settings
    folder: Path
    worker: int
    done: Mapping[int, float]


def send(
    workload: Workload,
    prompts: Prompts,
    target: Target,
    settings: Settings,
    folder: Path,
    *,
    done: Mapping[int, float],
    start_unix_s: float | None = None,
    watch: Callable[[Status], object] | None = None,
) -> bool:
    """Send a workload by `settings.workers` processes.

    Parameters
    ----------
    workload
        What is sent.
    prompts
        Prompts; they go to the workers, so they must be picklable.
    target
        The endpoint.
    settings
        How requests are sent.
    folder
        A run folder that was begun.
    done
        Ids of requests that ended in an earlier run, with the seconds at which they did.
    start_unix_s
        Unix time of the run's second 0; at once if not given.
    watch
        Called with the status; stops all workers if it returns True or raises.

    Returns
    -------
    bool
        Whether everything was sent.

    Raises
    ------
    InputError
        If the start has passed.
    DiskError
        If a worker cannot write its record.
    BurstlensError
        If a worker dies.
    """
    shares = _shares(workload, prompts, target, settings, folder, done)
    pipes: list[Connection] = []
    processes = []
    sent_all: list[bool] = []
    try:
        with _left_to_workers():
            for share in shares:
                ours, theirs = SPAWNED.Pipe()
                name = f"burstlens-{share.worker}"
                process = SPAWNED.Process(target=_work, args=(theirs, share), name=name)
                process.start()
                theirs.close()
                pipes.append(ours)
                processes.append(process)
            for pipe in pipes:
                _receive(pipe)
        # Nothing is sent yet, so that Ctrl-C may end it all.
        if start_unix_s is not None:
            wait_for(start_unix_s, LAST_S)
        with _left_to_workers():
            begin_s = (
                time.monotonic() + START_S - _elapsed(workload, done)
                if start_unix_s is None
                else time.monotonic() + left_s(start_unix_s - START_S) + START_S
            )
            for pipe in pipes:
                pipe.send(begin_s)
            sent_all = _followed(pipes, workload, watch)
        return all(sent_all)
    finally:
        # All at once: while one waits for its open requests, the others are to send nothing either.
        for process in processes if not sent_all else ():
            process.terminate()
        for process in processes:
            process.join()
        for pipe in pipes:
            pipe.close()


def _followed(
    pipes: Sequence[Connection], workload: Workload, watch: Callable[[Status], object] | None
) -> list[bool]:
    """Whether each worker sent everything, once all have ended; `watch` gets their status together."""
    statuses: dict[Connection, Status] = {}
    sent_all: dict[Connection, bool] = {}
    stopping = False
    while len(sent_all) < len(pipes):
        ready = wait([pipe for pipe in pipes if pipe not in sent_all])
        for pipe in (pipe for pipe in pipes if pipe in ready):
            message = _receive(pipe)
            if isinstance(message, bool):
                sent_all[pipe] = message
            elif isinstance(message, Status):
                statuses[pipe] = message
                if watch is None or len(statuses) < len(pipes):
                    continue
                if watch(_sum(statuses.values(), workload)) is True and not stopping:
                    stopping = True
                    _stop(pipe for pipe in pipes if pipe not in sent_all)
    return list(sent_all.values())


@contextmanager
def _left_to_workers() -> Iterator[None]:
    """Leave Ctrl-C to the workers, which hear it themselves: it goes to the whole group.

    Only a main thread has signals; in another one nothing is changed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _stop(pipes: Iterable[Connection]) -> None:
    """Tell workers to send nothing more; one that has just ended need not hear it."""
    for pipe in pipes:
        with suppress(BrokenPipeError):
            pipe.send(STOP)


def _shares(
    workload: Workload,
    prompts: Prompts,
    target: Target,
    settings: Settings,
    folder: Path,
    done: Mapping[int, float],
) -> list[_Share]:
    """The workload cut by session; requests without a session one by one."""
    count = settings.workers
    owner = (pl.coalesce("session", "request_id") % count).alias("worker")
    parts = workload.requests.with_columns(owner).partition_by("worker", as_dict=True, include_key=False)
    shares = []
    for worker in range(count):
        requests = parts.get((worker,))
        if requests is not None:
            mine = {i: done[i] for i in requests["request_id"].to_list() if i in done}
            part = replace(workload, requests=requests)
            shares.append(_Share(part, prompts, target, settings, folder, worker, mine))
    return shares


def _elapsed(workload: Workload, done: Mapping[int, float]) -> float:
    """Where the run's clock goes on: at the first request that is left."""
    if not done:
        return 0.0
    left = workload.requests.filter(~pl.col("request_id").is_in(list(done)))
    return float(left["at_s"].min() or 0.0)  # type: ignore[arg-type]


def _receive(pipe: Connection) -> Status | bool | str:
    """Receive the next message of a worker; raises its fault, or BurstlensError if the worker has died."""
    try:
        message: Status | bool | str | BurstlensError = pipe.recv()
    except EOFError:
        raise BurstlensError(
            f"a worker died; what it recorded is kept, and {option('resume')} continues with the rest"
        ) from None
    if isinstance(message, BurstlensError):
        raise message
    return message


def _work(pipe: Connection, share: _Share) -> None:
    """In the worker: report that it is ready, wait for the start, send, report whether all was sent."""
    import aiohttp  # noqa: F401 - loaded before the clock starts, not when the first request is due

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        sender = Sender(
            share.workload,
            share.prompts,
            share.target,
            share.settings,
            share.folder,
            worker=share.worker,
            done=share.done,
            samples=share.worker == 0,
            watch=partial(_report, pipe),
        )
        sender.prepare()
        pipe.send(READY)
        # The clock of the loop is the machine's monotonic one, the same in every process.
        pipe.send(main(sender, pipe.recv()))
    except BurstlensError as fault:
        pipe.send(fault)


def _report(pipe: Connection, status: Status) -> bool:
    """In the worker: send the status to the parent; True if the parent wants the worker to stop."""
    pipe.send(status)
    return pipe.poll()


def _sum(statuses: Iterable[Status], workload: Workload) -> Status:
    """The status of all workers together."""
    each = list(statuses)
    ended: Counter[str] = Counter()
    for status in each:
        ended.update(status.ended)
    use = [status.kv_cache_use for status in each if status.kv_cache_use is not None]
    return Status(
        elapsed_s=max(status.elapsed_s for status in each),
        span_s=workload.span_s,
        requests=sum(status.requests for status in each),
        sent=sum(status.sent for status in each),
        in_flight=sum(status.in_flight for status in each),
        ended=dict(ended),
        rate_planned_rps=sum(status.rate_planned_rps for status in each),
        rate_achieved_rps=sum(status.rate_achieved_rps for status in each),
        lateness_p99_s=max(status.lateness_p99_s for status in each),
        kv_cache_use=use[0] if use else None,
        waiting=sum(status.waiting for status in each),
        stopping=any(status.stopping for status in each),
    )


READY = "ready"
"""Message of a worker that has loaded everything."""
STOP = "stop"
"""Message to a worker that is to send nothing more."""

START_S = 0.25
"""From the parent's start message to the run's second 0: every worker has its loop by then."""
