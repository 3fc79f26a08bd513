"""Runs a command; what goes wrong becomes one line on standard error and an exit code.

0 done, 2 bad input, 3 a run that is not trustworthy under `replay --strict`, 1 a bug of ours, 130 stopped by
Ctrl-C. Not here: the words of an error (`flags`).
"""

from __future__ import annotations

import os
import sys

import click

from ..analysis.core.errors import BurstlensError
from ..console import STOPPED
from .commands import cli
from .flags import Stopped, is_interrupt
from .log import faulty_plugins_shown


def run() -> int:
    """Run the command line on the words of this process.

    Returns
    -------
    int
        The exit code.
    """
    _hide_passwords()
    try:
        with faulty_plugins_shown():
            code = cli(standalone_mode=False, prog_name="burstlens")
        return code if isinstance(code, int) else 0
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except Stopped as stop:
        stop.show()
        return STOPPED
    except click.ClickException as wrong:
        wrong.show()
        return 2
    except (KeyboardInterrupt, click.Abort):
        Stopped().show()
        return STOPPED
    except BurstlensError as wrong:
        click.echo(f"burstlens: {wrong}", err=True)
        return 2
    except BrokenPipeError:
        # The reader of our output went away (| head); what is still buffered has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as fault:
        if is_interrupt(fault):
            Stopped().show()
            return STOPPED
        if os.environ.get("BURSTLENS_TRACEBACK"):
            raise
        what = " ".join(str(fault).split()) or type(fault).__name__
        click.echo(
            f"burstlens: a bug in burstlens, not a fault of your input: {type(fault).__name__}: {what} "
            "(BURSTLENS_TRACEBACK=1 shows where)",
            err=True,
        )
        return 1


def _hide_passwords() -> None:
    """Take the passwords of databases out of what was typed, before anything shows or keeps it."""
    if any("://" in word for word in sys.argv):
        from ..analysis.logs.files.databases import without_password

        sys.argv[1:] = [without_password(word) for word in sys.argv[1:]]
