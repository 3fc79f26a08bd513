"""Which flag a parameter has on the command line, from the options of the commands themselves.

Errors of the library name parameters (`burstlens.analysis.core.option_names`); a `Verb` shows them as flags.
"""

from __future__ import annotations

from collections.abc import Iterator
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
        try:
            return super().invoke(ctx)
        except BurstlensError as error:
            raise click_error(error, ctx.command) from error


class VerbGroup(click.Group):
    """A group whose commands are verbs."""

    command_class = Verb


class BadInput(click.ClickException):
    """An error of the library on the command line: one line on standard error, exit code 2."""

    exit_code = 2

    def show(self, file: Any = None) -> None:
        """Print it."""
        click.echo(f"burstlens: {self.message}", err=True, file=file)


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
    from . import cli

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
