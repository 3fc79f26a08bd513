"""Which flag a parameter has on the command line, from the options of the commands themselves.

Errors of the library name parameters (`burstlens.analysis.core.option_names`); a `Verb` shows them as flags.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from ..analysis.core.errors import BurstlensError
from ..analysis.core.option_names import OptionValue
from . import log


class Verb(click.Command):
    """A command whose errors name its flags, and that can show the log."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.params += log.OPTIONS

    def invoke(self, ctx: click.Context) -> Any:
        """Run it; an error of the library becomes one in words of the command line."""
        begun_unix_s = time.time()
        try:
            return super().invoke(ctx)
        except BurstlensError as error:
            raise click_error(error, ctx.command) from error
        except (click.ClickException, click.exceptions.Exit):
            raise
        except (Exception, KeyboardInterrupt) as fault:
            if not is_interrupt(fault):
                raise
            out = Path(ctx.params.get("out") or os.devnull)
            raise Stopped(out if is_written(out, begun_unix_s) else None) from fault


class VerbGroup(click.Group):
    """A group whose commands are verbs."""

    command_class = Verb


class BadInput(click.ClickException):
    """An error of the library on the command line: one line on standard error, exit code 2."""

    exit_code = 2

    def show(self, file: Any = None) -> None:
        """Print it."""
        click.echo(f"burstlens: {self.message}", err=True, file=file)


class Stopped(click.ClickException):
    """Ctrl-C ended a command."""

    def __init__(self, out: Path | None = None) -> None:
        written = "" if out is None else f"; files already written to {out} are complete"
        super().__init__(f"stopped{written}")

    def show(self, file: Any = None) -> None:
        """Print it."""
        click.echo(f"burstlens: {self.message}", err=True, file=file)


INTERRUPTED = "Query interrupted"
"""DuckDB's words for a query during which Ctrl-C came; it raises a RuntimeError with them."""


def is_interrupt(fault: BaseException | None) -> bool:
    """Return whether Ctrl-C is behind a fault: itself, or what it left half done when things were closed."""
    while fault is not None:
        if isinstance(fault, (KeyboardInterrupt, click.Abort)) or str(fault) == INTERRUPTED:
            return True
        fault = fault.__context__
    return False


CLOCK_STEP_S = 0.01
"""A file's time may lag behind the clock by so much."""


def is_written(out: Path, begun_unix_s: float) -> bool:
    """Return whether a file, or one in a folder, was written since an instant.

    Parameters
    ----------
    out
        The file or folder; it need not exist.
    begun_unix_s
        The instant.
    """
    files = out.rglob("*") if out.is_dir() else [out]
    return any(file.is_file() and file.stat().st_mtime >= begun_unix_s - CLOCK_STEP_S for file in files)


def click_error(error: BurstlensError, command: click.Command | None = None) -> BadInput:
    """Write an error in words of the command line.

    Parameters
    ----------
    error
        The library's error.
    command
        The command that ran, where flags are looked up first.
    """
    return BadInput(error.in_words(lambda name, value: flag(name, value, command)))


def flag(name: str, value: OptionValue | None = None, command: click.Command | None = None) -> str:
    """Write a parameter as it is typed, such as `--rate 2` for `rate_rps` and 2.

    Parameters
    ----------
    name
        Name of the parameter in Python.
    value
        Its value; None leaves it out.
    command
        The command that ran, where the flag is looked up first.
    """
    param = _parameter(name, command)
    if isinstance(param, click.Argument):
        return (param.metavar or name.upper()).strip("[]")
    if value is False and param is not None and param.secondary_opts:
        return param.secondary_opts[0]
    word = f"--{name.replace('_', '-')}" if param is None else param.opts[0]
    return word if value is None or isinstance(value, bool) else f"{word} {value}"


def _parameter(name: str, command: click.Command | None) -> click.Parameter | None:
    """The parameter of that name of the command, else of the first verb that has one."""
    return next((each for each in _parameters(command) if each.name == name), None)


def _parameters(command: click.Command | None) -> Iterator[click.Parameter]:
    if command is not None:
        yield from command.params
    from .commands import cli

    for verb in verbs(cli).values():
        yield from verb.params


def verbs(group: click.Group, before: str = "") -> dict[str, click.Command]:
    """List every command by the words that call it, such as `experiment maf2`.

    Parameters
    ----------
    group
        A group of commands.
    before
        Words that call the group, each with a blank after it.
    """
    found: dict[str, click.Command] = {}
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            found |= verbs(command, f"{before}{name} ")
        else:
            found[f"{before}{name}"] = command
    return found
