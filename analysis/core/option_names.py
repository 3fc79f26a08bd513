"""How a message names an option: as a parameter for Python, as a flag for the command line.

`option("rate_rps")` marks the name in the text of a `BurstlensError`. `str(error)` shows `rate_rps`; the
command line shows `--rate`, which it looks up among the options of the command that ran. Not here: that table
(`burstlens.cli.flags`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable

BEGIN, END = "\x02", "\x03"
MARKED_OPTION = re.compile(f"{BEGIN}([a-z_0-9]+)(?:=([^{END}]*))?{END}")

OptionValue = str | int | float | bool


def option(name: str, value: OptionValue | None = None) -> str:
    """The name of a parameter, and the value to give it, for the text of an error.

    Parameters
    ----------
    name
        Name of the parameter in Python, such as `start_s`.
    value
        What to set it to, if the message says so.

    Examples
    --------
    >>> in_python(f"{option('spread', False)} is for traces")
    'spread=False is for traces'
    """
    return f"{BEGIN}{name}{'' if value is None else '=' + json.dumps(value)}{END}"


def in_python(text: str) -> str:
    """The text for a caller in Python: `rate_rps`, `sessions='think'`."""
    return in_words(text, lambda name, value: name if value is None else f"{name}={value!r}")


def in_words(text: str, name_of: Callable[[str, OptionValue | None], str]) -> str:
    """Replace each marked option of a text by the listener's name for it.

    Parameters
    ----------
    text : str
        With options that `option` marked.
    name_of : callable
        Names a parameter, given its name and the value to show (or None).

    Returns
    -------
    str
    """
    return MARKED_OPTION.sub(
        lambda found: name_of(found[1], json.loads(found[2]) if found[2] else None), text
    )
