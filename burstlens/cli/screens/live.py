"""The live display of a run: a few lines that stay in place on a terminal, plain lines elsewhere.

Not here: what is told when it is over (`run`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.text import Text

from ...analysis.core.result import Progress, silent
from ...analysis.core.units import stopwatch
from ...bench.settings import Status
from ...console import DONE

PLAIN_STEP_S = 5.0
"""Between two plain lines."""
BAR = 30


@contextmanager
def live(
    console: Console, quiet: bool = False, end_of: Progress = silent
) -> Iterator[Callable[[Status], None] | None]:
    """Give a function that shows a status while the block lasts.

    Parameters
    ----------
    console
        Where it is shown.
    quiet
        Show nothing.
    end_of
        Progress of what comes before; it ends with the first status.

    Yields
    ------
    callable or None
        Called with a status; None if `quiet`.
    """
    if quiet:
        yield None
    elif console.is_terminal:
        display = Live(console=console, auto_refresh=False, transient=True)

        def show(status: Status) -> None:
            if not display.is_started:
                end_of("", DONE)
                display.start()
            display.update(picture(status), refresh=True)

        try:
            yield show
        finally:
            display.stop()
    else:
        last = -PLAIN_STEP_S

        def plain(status: Status) -> None:
            nonlocal last
            if status.elapsed_s - last >= PLAIN_STEP_S:
                last = status.elapsed_s
                console.print(line(status), soft_wrap=True, markup=False, highlight=False)

        yield plain


def line(status: Status) -> str:
    """A status as one line."""
    return f"{stopwatch(status.elapsed_s)}  " + ", ".join([*_counts(status), *_pace(status), _left(status)])


def picture(status: Status) -> Text:
    """A status as three lines: progress, counts, pace."""
    done = sum(status.ended.values())
    share = done / max(status.requests, 1)
    filled = int(share * BAR)
    text = Text()
    text.append("━" * filled, "green").append("─" * (BAR - filled), "dim")
    text.append(f" {share:4.0%}  {stopwatch(status.elapsed_s)}")
    text.append(f"  {_left(status)}")
    text.append("\n" + ", ".join(_counts(status)))
    text.append("\n" + ", ".join(_pace(status)))
    return text


def _counts(status: Status) -> list[str]:
    good = status.ended.get("ok", 0)
    failed = [f"{count:,} {name}" for name, count in sorted(status.ended.items()) if name != "ok" and count]
    waiting = [f"{status.waiting:,} waiting for --max-concurrency"] if status.waiting else []
    return [
        f"{status.sent:,} of {status.requests:,} sent",
        f"{status.in_flight:,} in flight",
        f"{good:,} ok",
        *failed,
        *waiting,
    ]


def _pace(status: Status) -> list[str]:
    pace = [
        f"{status.rate_achieved_rps:.1f} of {status.rate_planned_rps:.1f} requests/s",
        f"lateness p99 {1000 * status.lateness_p99_s:.1f} ms",
    ]
    if status.kv_cache_use is not None:
        pace.append(f"KV cache {status.kv_cache_use:.0%}")
    return pace


def _left(status: Status) -> str:
    """What is still to come."""
    if status.stopping:
        return "stopping: waiting for open requests, Ctrl-C again cuts them"
    if status.elapsed_s < status.span_s:
        return f"{stopwatch(status.span_s - status.elapsed_s)} left"
    return "all sent, waiting for answers"
