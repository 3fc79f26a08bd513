"""What the library logs, on the screen (`-v`) or in a file; by default only which plugins are left out.

Not here: what is logged. Each module logs under its own name below `burstlens`.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from ..analysis.core.errors import DiskError

LOGGER = logging.getLogger("burstlens")
PLUGINS = logging.getLogger("burstlens.analysis.core.registry")
IN_FILE = "%(asctime)s %(levelname)s %(name)s: %(message)s"
ON_SCREEN = "%(message)s"


@contextmanager
def faulty_plugins_shown() -> Iterator[None]:
    """Show on standard error, a line each, which plugins are left out; with `-v` the log shows it."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setLevel(logging.WARNING)
    handler.setFormatter(logging.Formatter("burstlens: %(message)s"))

    handler.addFilter(lambda _: all(type(other) is not logging.StreamHandler for other in LOGGER.handlers))
    PLUGINS.addHandler(handler)
    try:
        yield
    finally:
        PLUGINS.removeHandler(handler)


def show_log(ctx: click.Context, _param: click.Parameter, verbose: bool) -> None:
    """Log to standard error while the command runs.

    Parameters
    ----------
    ctx, _param
        Command and option.
    verbose
        Whether the flag was given.
    """
    if verbose:
        _attach(ctx, logging.StreamHandler(sys.stderr), ON_SCREEN)


def write_log(ctx: click.Context, param: click.Parameter, path: Path | None) -> None:
    """Append the log to a file while the command runs.

    Parameters
    ----------
    ctx, param
        Command and option.
    path
        The file; None writes no log.
    """
    if path is None:
        return
    try:
        _attach(ctx, logging.FileHandler(path, encoding="utf-8"), IN_FILE)
    except OSError as error:
        raise click.BadParameter(str(DiskError.unwritable(path, error)), ctx, param) from error


def _attach(ctx: click.Context, handler: logging.Handler, layout: str) -> None:
    handler.setFormatter(logging.Formatter(layout))
    before = LOGGER.level
    LOGGER.addHandler(handler)
    LOGGER.setLevel(logging.INFO)

    def detach() -> None:
        LOGGER.removeHandler(handler)
        LOGGER.setLevel(before)
        handler.close()

    ctx.call_on_close(detach)


OPTIONS: tuple[click.Option, ...] = (
    click.Option(
        ["-v", "--verbose"],
        is_flag=True,
        expose_value=False,
        callback=show_log,
        help="Show the log: files read, requests sent again, stages begun and ended.",
    ),
    click.Option(
        ["--log-file"],
        type=click.Path(dir_okay=False, path_type=Path),
        metavar="FILE",
        expose_value=False,
        callback=write_log,
        help="Append the log to this file.",
    ),
)
"""The options that every verb has."""
