"""Verdicts on claims and outcomes of comparisons: their words, once. Not here: any claim."""

from __future__ import annotations

from collections.abc import Mapping

AGREES, PARTLY, DIFFERS = "agrees", "partly", "differs"
HIGHER, LOWER = "higher", "lower"
CANNOT_TELL = "cannot tell"


def overall_verdict(statements: Mapping[str, bool | None]) -> str:
    """Combine the verdicts on several statements: all are true, none is, some are, or nothing is known."""
    known = [holds for holds in statements.values() if holds is not None]
    if not known:
        return CANNOT_TELL
    if all(known):
        return AGREES if len(known) == len(statements) else PARTLY
    return PARTLY if any(known) else DIFFERS
