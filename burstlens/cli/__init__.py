"""The command line: words in, the functions of `burstlens` called, their answers on the screen.

`commands` is the group of all verbs, `verbs` has a module for each. This module imports nothing before `main`
runs, so that Ctrl-C is one line while the rest is imported. Not here: how anything is done.
"""

from __future__ import annotations

import gc
import signal
import sys

COLLECTED_AFTER = 10_000
"""New objects between two looks for garbage. Imports make hundreds of thousands that stay: looking after each
700, as Python does, is a tenth of what a short command costs."""


def main() -> None:
    """Run the command line and end the process with its exit code."""
    gc.set_threshold(COLLECTED_AFTER, 10, 10)
    try:
        from .exit_codes import run

        code = run()
    except KeyboardInterrupt:
        sys.stderr.write("burstlens: stopped\n")
        code = 128 + signal.SIGINT
    sys.exit(code)
