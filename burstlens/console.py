"""How the command line speaks: progress, errors, durations. Not here: what any verb does."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import click

from .analysis.result import Progress, silent

UNITS_S = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86_400.0}
PATIENCE_S = 2.0
"""Nothing that ends sooner shows a progress bar."""


class Duration(click.ParamType):
    """A time span such as `20m`, `90s`, `1h` or `1200`; the value is in seconds."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Parse, or fail with one line that shows what would work."""
        if isinstance(value, int | float):
            return float(value)
        found = re.fullmatch(r"\s*([0-9.]+)\s*([a-z]*)\s*", str(value).lower())
        try:
            seconds = float(found[1]) * UNITS_S[found[2]] if found else 0.0
        except (ValueError, KeyError):
            seconds = 0.0
        if not 0 < seconds < float("inf"):
            self.fail(f"{value!r} is no time span; write 20m, 90s, 1h or a number of seconds", param, ctx)
        return seconds


@contextmanager
def progress(quiet: bool = False) -> Iterator[Progress]:
    """A bar on standard error for what takes over two seconds; plain lines where that is no terminal."""
    if quiet:
        yield silent
    elif sys.stderr.isatty():
        yield from _bar()
    else:
        yield _lines()


def _bar() -> Iterator[Progress]:
    """A rich bar that appears only after `PATIENCE_S` and leaves nothing behind."""
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    bar = Bar(
        TextColumn("{task.description:<24}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    task = bar.add_task("", total=1.0)
    begun = time.monotonic()

    def show(step: str, share: float) -> None:
        if not bar.live.is_started and time.monotonic() - begun > PATIENCE_S:
            bar.start()
        bar.update(task, description=step, completed=share)

    try:
        yield show
    finally:
        bar.stop()


def _lines() -> Progress:
    """One plain line a step, for logs, once the whole has taken over two seconds."""
    begun = time.monotonic()
    last = ""

    def show(step: str, share: float) -> None:
        nonlocal last
        if step != last and time.monotonic() - begun > PATIENCE_S:
            click.echo(f"[{share:4.0%}] {step}", err=True)
        last = step

    return show
