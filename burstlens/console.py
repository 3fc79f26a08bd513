"""How the command line speaks: progress, errors, durations, sizes. Not here: what any verb does."""

from __future__ import annotations

import json
import math
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from .analysis.core.result import Progress, silent
from .analysis.core.units import DAY_S, HOUR_S, MINUTE_S

UNITS_S = {"": 1.0, "ms": 1e-3, "s": 1.0, "m": MINUTE_S, "min": MINUTE_S, "h": HOUR_S, "d": DAY_S}
UNITS_BYTES = {
    "": 1,
    "b": 1,
    **{unit + end: 1000**power for power, unit in enumerate("kmgt", 1) for end in ("", "b")},
    **{f"{unit}ib": 1024**power for power, unit in enumerate("kmgt", 1)},
}
STOPPED = 130
"""Exit code of what Ctrl-C ended."""
DONE = 1.0
"""Share at which a progress bar goes away; a later step brings it back."""
PATIENCE_S = 2.0
"""Nothing that ends sooner shows a progress bar."""
LINE_STEP = 0.1
"""Share of a long step after which another line is written."""


class Duration(click.ParamType):
    """A time span such as `20m`, `2d18h` or `1200`; the value is in seconds. `zero` allows none at all."""

    name = "duration"

    def __init__(self, zero: bool = False) -> None:
        self.zero = zero

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Parse, or fail with one line that shows what would work."""
        if isinstance(value, int | float):
            return float(value)
        text = "".join(str(value).lower().split())
        parts = re.findall(r"([0-9.]+)([a-z]*)", text)
        try:
            seconds = sum(float(number) * UNITS_S[unit] for number, unit in parts)
        except (ValueError, KeyError):
            seconds = math.nan
        complete = "".join(number + unit for number, unit in parts) == text and bool(parts)
        if not complete or not (0 < seconds < math.inf or (self.zero and seconds == 0)):
            self.fail(
                f"{value!r} is not a time span; write 20m, 2d18h, 1.5h, 50ms or a number of seconds",
                param,
                ctx,
            )
        return seconds


class Size(click.ParamType):
    """An amount of memory such as `256MB`, `1.5GiB` or a number of bytes; the value is in bytes."""

    name = "size"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Parse, or fail with one line that shows what would work."""
        if isinstance(value, int):
            return value
        found = re.fullmatch(r"(\d+(?:\.\d+)?)([a-z]*)", "".join(str(value).lower().split()))
        amount = int(float(found[1]) * UNITS_BYTES[found[2]]) if found and found[2] in UNITS_BYTES else 0
        if amount <= 0:
            self.fail(f"{value!r} is not a size; write 256MB, 1.5GiB or a number of bytes", param, ctx)
        return amount


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
        if share >= DONE and not step:
            bar.stop()
            return
        if not bar.live.is_started and time.monotonic() - begun > PATIENCE_S:
            bar.start()
        bar.update(task, description=step, completed=share)

    try:
        yield show
    finally:
        bar.stop()


def _lines() -> Progress:
    """A plain line a step and a tenth of it, for logs, once the whole has taken over two seconds."""
    begun = time.monotonic()
    last, shown = "", 0.0

    def show(step: str, share: float) -> None:
        nonlocal last, shown
        if step and (step != last or share >= shown + LINE_STEP) and time.monotonic() - begun > PATIENCE_S:
            click.echo(f"[{share:4.0%}] {step}", err=True)
            last, shown = step, share

    return show


def say_json(value: Any) -> None:
    """Machine-readable output, one document."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))
