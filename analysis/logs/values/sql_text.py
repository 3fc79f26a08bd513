"""Text and names as SQL writes them. Not here: expressions over values (`paths`, `stamps`, `conditions`)."""

from __future__ import annotations


def literal(text: str) -> str:
    """Write text as an SQL literal: quotes doubled, nothing else means anything in it."""
    return "'" + text.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """Write a name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'
