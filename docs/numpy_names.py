"""One entry a parameter in docstrings: of `a, b` griffe gives both the type and the default of the first.

Not here: what else the site makes (`generate.py`).
"""

from __future__ import annotations

import re
from typing import Any

import griffe

SEVERAL = re.compile(
    r"^(?P<names>\w+(?:, \w+)+)(?P<type> *:.*)?\n(?P<text>(?:[ \t]+.*\n?|\n(?=[ \t]))+)", re.MULTILINE
)


class SeparateNames(griffe.Extension):
    """Write `a, b` and its text as `a` with the text, then `b` with the text."""

    def on_function(self, *, func: griffe.Function, **_: Any) -> None:
        """Change the docstring of a function before it is parsed."""
        if func.docstring is not None and "\nParameters\n-----" in func.docstring.value:
            func.docstring.value = SEVERAL.sub(_separated, func.docstring.value)


def _separated(match: re.Match[str]) -> str:
    """One entry for each of the names."""
    text = match["text"].rstrip("\n")
    entries = [f"{name}{match['type'] or ''}\n{text}" for name in match["names"].split(", ")]
    return "\n".join(entries) + match["text"][len(text) :]
