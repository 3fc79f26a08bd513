"""The verdict on a claim that consists of several statements. Not here: any claim."""

from __future__ import annotations

from collections.abc import Mapping

AGREES, PARTLY, DIFFERS, UNTOLD = "agrees", "partly", "differs", "cannot tell"


def overall_verdict(statements: Mapping[str, bool | None]) -> str:
    """One verdict of several statements: all are true, none is, some are, or nothing is known."""
    known = [holds for holds in statements.values() if holds is not None]
    if not known:
        return UNTOLD
    if all(known):
        return AGREES if len(known) == len(statements) else PARTLY
    return PARTLY if any(known) else DIFFERS
