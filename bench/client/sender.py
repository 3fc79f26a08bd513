"""One process that sends its share of a workload, each request at its instant, and writes the record.

The open loop: a request is sent when it is due, however slow the server is. Not here: one request over
HTTP (`http`), what is checked before (`preflight`), several processes (`processes`).
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import threading
from collections import Counter, deque
from collections.abc import Callable, Coroutine, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..prompts.token_ids import Prompts
from ..record.models import RecordLine, ServerSample
from ..record.run_folder import SERVER, Writer, record_path
from ..settings import RECENT_S, Settings, Status, Target
from ..workload.table import Workload
from .body_queue import BodyPrefetcher
from .http import StreamedAnswer, exchange, max_response_tokens, pause_s, request_body
from .send_plan import SendPlan
from .server_metrics import sample

if TYPE_CHECKING:
    from aiohttp import ClientSession

LEAD_S = 0.05
"""From the start of the clock to the run's second 0: time to build the first requests."""
FLUSH_S = 0.5
"""Time between writes of the record and updates of the display: what a kill can lose."""
KEEPALIVE_S = 2.0
"""Idle connections are closed before a server does: uvicorn does after 5 s, and a request sent at that
moment would be lost."""
REMEMBERED = 2000
"""Number of last sends that the display's quantile of lateness covers."""


class Sender:
    """Sends the rows of a plan; `run` does it all. One use only."""

    def __init__(
        self,
        workload: Workload,
        prompts: Prompts,
        target: Target,
        settings: Settings,
        folder: Path,
        *,
        worker: int = 0,
        done: Mapping[int, float] | None = None,
        samples: bool = True,
        watch: Callable[[Status], object] | None = None,
    ) -> None:
        self._prompts, self._target, self._settings = prompts, target, settings
        self._folder, self._worker, self._watch = folder, worker, watch
        self._samples = samples and settings.sample_s is not None
        # The plan is all that is kept of the workload.
        self._plan, self._span_s = SendPlan.of(workload), workload.span_s
        self._done = done or {}
        """Requests that are in the record already, and when they ended."""
        self._origin_s = 0.0
        self._stopping = asyncio.Event()
        self._asleep: set[asyncio.Future[None]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._gate: asyncio.Semaphore | None = None
        self._sent = 0
        self._waiting = 0
        self._ended: Counter[str] = Counter()
        self._late: deque[float] = deque(maxlen=REMEMBERED)
        self._recent: deque[float] = deque()
        self._due: deque[float] = deque()
        self._kv_cache_use: float | None = None
        self._fault: BaseException | None = None
        self._prefetcher: BodyPrefetcher | None = None
        if prompts.text:
            rows = list(self._rows())
            self._prefetcher = BodyPrefetcher(
                self._body, rows, [self._plan.request_tokens[row] for row in rows]
            )

    def prepare(self) -> None:
        """Make the first prompts of text, before the clock starts; token ids need no time."""
        if self._prefetcher is not None:
            self._prefetcher.prepare()

    async def run(self, origin_s: float | None = None) -> bool:
        """Send everything that is not done.

        Parameters
        ----------
        origin_s
            The loop's time of the run's second 0; now if not given.

        Returns
        -------
        bool
            False if SIGINT or SIGTERM stopped it.

        Raises
        ------
        DiskError
            If the record cannot be written.
        """
        import aiohttp

        loop = asyncio.get_running_loop()
        self._loop = loop
        # What is alive now stays alive: the collector need not walk it while requests are due.
        gc.freeze()
        if origin_s is None:
            self.prepare()
            # A run that goes on does so where its clock stood when the first of the rest was due.
            begin_s = min((self._plan.at_s[row] for row in self._rows()), default=0.0) if self._done else 0.0
            origin_s = loop.time() + LEAD_S - begin_s
        self._origin_s = origin_s
        limit = self._settings.max_concurrency
        self._gate = asyncio.Semaphore(max(limit // self._settings.workers, 1)) if limit else None
        self._record = Writer(record_path(self._folder, self._worker))
        handled = _handle(loop, self.stop)
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEPALIVE_S)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=self._settings.timeout_s)
        try:
            async with aiohttp.ClientSession(
                connector=connector, timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()
            ) as http:
                await self._run(http)
        finally:
            for number in handled:
                loop.remove_signal_handler(number)
            gc.unfreeze()
            self._record.close()
            if self._prefetcher is not None:
                self._prefetcher.close()
        if self._fault is not None:
            raise self._fault
        return not self._stopping.is_set()

    def stop(self) -> None:
        """Send nothing more; a second call cuts what is open."""
        if self._stopping.is_set():
            for task in self._tasks:
                task.cancel()
        self._halt()

    def _halt(self) -> None:
        """Send nothing more: whoever waits for an instant is woken."""
        self._stopping.set()
        for sleeper in self._asleep:
            _wake(sleeper)

    def now(self) -> float:
        """Seconds since the run's second 0."""
        return self._loop.time() - self._origin_s

    async def _run(self, http: ClientSession) -> None:
        helpers = [asyncio.create_task(self._tick())]
        server = Writer(self._folder / SERVER) if self._samples else None
        if server is not None and self._settings.sample_s is not None:
            step_s, target = self._settings.sample_s, self._target
            helpers.append(
                asyncio.create_task(
                    sample(http, target.url, target.headers, step_s, self.now, server, self._sampled)
                )
            )
        self._server = server
        try:
            await self._pace(http)
            await self._drain()
        finally:
            for task in helpers:
                task.cancel()
            await asyncio.gather(*helpers, return_exceptions=True)
            if server is not None:
                server.close()
            self._report()

    def _rows(self) -> Iterator[int]:
        """Rows that are sent at their instant and are not done, in order."""
        return (row for row in self._plan.scheduled if self._plan.ids[row] not in self._done)

    async def _pace(self, http: ClientSession) -> None:
        """Launch each row when it is due; its body is built before."""
        plan = self._plan
        # Who follows a request that ended before this run went on.
        if self._done:
            for row, ended_s in ((r, self._done[i]) for r, i in enumerate(plan.ids) if i in self._done):
                self._follow(http, row, ended_s)
        for row in self._rows():
            due = plan.at_s[row]
            body = self._body(row) if self._prefetcher is None else await self._prefetcher.next()
            if not await self._until(due):
                return
            self._due.append(due)
            self._launch(self._send(http, row, due, body))

    async def _until(self, due_s: float) -> bool:
        """Sleep until that instant; false if the run is being stopped."""
        while (wait := due_s - self.now()) > 0 and not self._stopping.is_set():
            # No looking now and then whether to stop: of thousands who think each would, many times over.
            sleeper = self._loop.create_future()
            timer = self._loop.call_later(wait, _wake, sleeper)
            self._asleep.add(sleeper)
            try:
                await sleeper
            finally:
                timer.cancel()
                self._asleep.discard(sleeper)
        return not self._stopping.is_set()

    async def _drain(self) -> None:
        """Wait for what is open: to its end, or once stopped for the grace that is given."""
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            while self._tasks and not self._stopping.is_set():
                await asyncio.wait({*self._tasks, stopping}, return_when=asyncio.FIRST_COMPLETED)
            deadline = self._loop.time() + self._settings.grace_s
            while self._tasks and (left := deadline - self._loop.time()) > 0:
                await asyncio.wait(self._tasks, timeout=left)
        finally:
            stopping.cancel()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _launch(self, sending: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(sending)
        self._tasks.add(task)
        task.add_done_callback(self._landed)

    def _landed(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (fault := task.exception()) is not None:
            self._broke(fault)

    def _broke(self, fault: BaseException) -> None:
        """A fault of ours, or of the disk: nothing more is sent, and `run` raises it."""
        self._fault = self._fault or fault
        self._halt()
        for task in self._tasks:
            task.cancel()

    def _tokens(self, row: int) -> int:
        """Response tokens that a request asks for."""
        return max_response_tokens(self._settings, self._plan.response_tokens[row])

    def _body(self, row: int) -> bytes:
        plan = self._plan
        prompt = self._prompts.prompt(
            plan.ids[row], plan.request_tokens[row], plan.session[row], plan.prefix[row]
        )
        return request_body(
            self._target, self._settings, prompt, plan.response_tokens[row], plan.priority[row]
        )

    async def _later(self, http: ClientSession, row: int, due_s: float) -> None:
        """A session's next request, after the answer and the time to think."""
        # Its body is made shortly before, not at once: bodies of all who think would fill the memory.
        if await self._until(due_s - LEAD_S):
            body = self._body(row) if self._prefetcher is None else await self._prefetcher.out_of_turn(row)
            if await self._until(due_s):
                self._due.append(due_s)
                await self._send(http, row, due_s, body)

    async def _send(self, http: ClientSession, row: int, due_s: float, body: bytes) -> None:
        """One request from its instant to its line in the record."""
        answer, waited_s, began = StreamedAnswer(), 0.0, self.now()
        try:
            if self._gate is None:
                await self._exchange(http, row, due_s, body, answer)
            else:
                self._waiting += 1
                try:
                    await self._gate.acquire()
                finally:
                    self._waiting -= 1
                    waited_s = self.now() - began
                try:
                    await self._exchange(http, row, due_s, body, answer)
                finally:
                    self._gate.release()
        finally:
            self._ended[answer.outcome] += 1
            self._record.add(self._line(row, due_s, waited_s, answer))
        self._follow(http, row, self.now())

    async def _exchange(
        self, http: ClientSession, row: int, due_s: float, body: bytes, answer: StreamedAnswer
    ) -> None:
        now = self.now()
        self._sent += 1
        self._late.append(now - due_s)
        self._recent.append(now)
        response_tokens = self._tokens(row)
        while True:
            await exchange(http, self._target, body, response_tokens, self._settings, self.now, answer)
            pause = pause_s(answer) if answer.tries <= self._settings.retries else None
            # Whoever stops the run wants no more sent: the request ends as its last try did.
            if pause is None or not await self._until(self.now() + pause):
                return
            answer.forget()

    def _follow(self, http: ClientSession, row: int, ended_s: float) -> None:
        follower = self._plan.follower.get(row)
        if follower is not None and self._plan.ids[follower] not in self._done:
            due_s = max(ended_s, 0.0) + self._plan.think_s[follower]
            self._launch(self._later(http, follower, max(due_s, self.now()) if self._done else due_s))

    def _line(self, row: int, due_s: float, waited_s: float, answer: StreamedAnswer) -> RecordLine:
        """The line of a request in the record."""
        plan = self._plan
        streamed = answer.first_token_s is not None
        return RecordLine(
            request_id=plan.ids[row],
            worker=self._worker,
            service=plan.service[row],
            model=plan.model[row],
            session=plan.session[row],
            turn=plan.turn[row],
            intended_s=_rounded(due_s),
            sent_s=_rounded(answer.sent_s),
            first_token_s=_rounded(answer.first_token_s),
            ended_s=_rounded(answer.ended_s),
            waited_s=_rounded(waited_s),
            planned_request_tokens=plan.request_tokens[row],
            planned_response_tokens=self._tokens(row),
            request_tokens=answer.request_tokens,
            response_tokens=answer.response_tokens,
            outcome=answer.outcome,
            status=answer.status,
            error=answer.error,
            tries=answer.tries,
            gaps_s=answer.gaps_s if streamed else None,
            gap_tokens=answer.gap_tokens if streamed else None,
        )

    def _sampled(self, sample: ServerSample) -> None:
        self._kv_cache_use = sample.kv_cache_use

    async def _tick(self) -> None:
        """Write the record and update the display, again and again."""
        while True:
            await asyncio.sleep(FLUSH_S)
            try:
                self._record.flush()
                if self._server is not None:
                    self._server.flush()
                self._report()
            except BaseException as fault:
                self._broke(fault)
                raise

    def _report(self) -> None:
        now = self.now()
        for instants in (self._recent, self._due):
            while instants and instants[0] < now - RECENT_S:
                instants.popleft()
        if self._watch is None:
            return
        over = max(min(now, RECENT_S), 1e-9)
        late = sorted(self._late)
        enough = self._watch(
            Status(
                elapsed_s=now,
                span_s=self._span_s,
                requests=len(self._plan.ids) - len(self._done),
                sent=self._sent,
                in_flight=self._sent - sum(self._ended.values()),
                ended=dict(self._ended),
                rate_planned_rps=len(self._due) / over,
                rate_achieved_rps=len(self._recent) / over,
                lateness_p99_s=late[int(0.99 * (len(late) - 1))] if late else 0.0,
                kv_cache_use=self._kv_cache_use,
                waiting=self._waiting,
                stopping=self._stopping.is_set(),
            )
        )
        # True of itself, not of what a function happens to return.
        if enough is True and not self._stopping.is_set():
            self.stop()


def _wake(sleeper: asyncio.Future[None]) -> None:
    if not sleeper.done():
        sleeper.set_result(None)


def _rounded(seconds: float | None) -> float | None:
    """To the microsecond: what lies below is noise, and costs room."""
    return None if seconds is None else round(seconds, 6)


def _handle(loop: asyncio.AbstractEventLoop, stop: Callable[[], None]) -> list[signal.Signals]:
    """Let Ctrl-C and a polite kill stop the run; the signals that are handled now."""
    handled: list[signal.Signals] = []
    # Only a main thread has signals.
    if threading.current_thread() is not threading.main_thread():
        return handled
    for number in (signal.SIGINT, signal.SIGTERM):
        # A loop that has none, as on Windows.
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(number, stop)
            handled.append(number)
    return handled


def main(sender: Sender, origin_s: float | None = None) -> bool:
    """Run a sender to its end in a loop of its own, on uvloop if that is installed.

    Parameters
    ----------
    sender
        The sender.
    origin_s
        As in `Sender.run`.

    Returns
    -------
    bool
        Whether everything was sent.
    """
    try:
        import uvloop
    except ImportError:
        make = None
    else:
        make = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=make) as runner:
        return runner.run(sender.run(origin_s))
