"""How the paper's claims about conversations are decided (section 3.2, Fig. 9).

Not here: the other claims (`checks`, `lengths`) and their words (`ledger`).
"""

from __future__ import annotations

from typing import Any

import polars as pl

from ...analysis.characterize import Characterization
from ...analysis.conversations.part import Conversations
from ...analysis.core.claims import Decision
from ...analysis.core.result import Interval
from ...analysis.core.verdicts import overall_verdict
from .checks import lacking, one, reasons, shown, sign

RISING = 5
"""The paper sees the P90 interval rise up to this many requests."""


def turns(characterization: Characterization) -> Decision:
    """Single-request share, median, share up to four, and the law of the decline."""
    part = characterization.part(Conversations)
    selection = _selection(part)
    if selection is None:
        return lacking("sessions")
    single = part.measure(selection, "single_share")
    four = part.measure(selection, "four_or_fewer")
    median = part.measure(selection, "median")
    decline = one(part.decline, selection=selection)
    statements = {
        "over 35 % have one request": _above(single, 0.35),
        "the median is 2": True if median.value == 2 else (None if median.low <= 2 <= median.high else False),
        "three quarters have four or fewer": _above(four, 0.75),
        "the decline is exponential rather than a power law": sign(decline, "ratio"),
    }
    value = f"one request {single:.1%}; median {median:.3g}; four or fewer {four:.1%}" + (
        f"; log-likelihood ratio per session {shown(decline, 'ratio')}" if decline else ""
    )
    return Decision(overall_verdict(statements), value, reasons(statements), "turns")


def interval(characterization: Characterization) -> Decision:
    """Rank correlation of turns and mean interval; the P90 interval from two to five requests and after."""
    part = characterization.part(Conversations)
    selection = _selection(part)
    if selection is None:
        return lacking("sessions")
    relation = one(part.relations, selection=selection, of="mean interval")
    statements: dict[str, bool | None] = {
        "turns and mean interval are not related": None if relation is None else _unrelated(relation),
        f"the P90 interval rises up to {RISING} requests": _rises(part, selection),
    }
    value = (
        f"rank correlation of turns and mean interval {shown(relation, 'correlation', '.2f')}"
        if relation
        else ""
    )
    return Decision(overall_verdict(statements), value, reasons(statements), "intervals")


def long_intervals(characterization: Characterization) -> Decision:
    """Number of long intervals against turns, and the share, which more turns alone would not move."""
    part = characterization.part(Conversations)
    selection = _selection(part)
    if selection is None:
        return lacking("sessions")
    known = part.relations.filter(pl.col("selection") == selection, pl.col("correlation").is_finite())
    rows = known.filter(pl.col("of").str.starts_with("number"))
    shares = known.filter(pl.col("of").str.starts_with("share"))
    if not rows.height:
        return lacking("intervals long enough to count")
    statements: dict[str, bool | None] = {
        f"{row['of']} grows with turns": sign(row, "correlation") for row in rows.iter_rows(named=True)
    }
    value = "; ".join(
        f"{row['of']}: {shown(row, 'correlation', '.2f')}" for row in rows.iter_rows(named=True)
    )
    mechanical = [row["of"] for row in shares.iter_rows(named=True) if sign(row, "correlation") is not True]
    why = reasons(statements)
    if mechanical:
        why += (
            f" Partly mechanical, because more turns have more intervals: the {mechanical[0]} does not grow."
        )
    return Decision(overall_verdict(statements), value, why, "long-intervals")


def _selection(part: Conversations) -> str | None:
    """The conversation service where there is one, else the first that has sessions."""
    names = part.turns_summary["selection"].unique(maintain_order=True).to_list()
    return "conversation" if "conversation" in names else names[0] if names else None


def _above(share: Interval, bound: float) -> bool | None:
    """Above the bound by its value and not told from it, or by its whole interval."""
    if share.low >= bound:
        return True
    return False if share.high < bound else None


def _unrelated(row: dict[str, Any]) -> bool | None:
    """A correlation whose whole interval lies within ±0.2 is none worth the name."""
    if row["correlation_low"] is None:
        return None
    if row["correlation_low"] >= -0.2 and row["correlation_high"] <= 0.2:
        return True
    return False if row["correlation_low"] > 0.2 or row["correlation_high"] < -0.2 else None


def _rises(part: Conversations, selection: str) -> bool | None:
    """P90 at five requests against two, by their intervals."""
    rows = part.intervals.filter(
        pl.col("selection") == selection,
        pl.col("since") == "request",
        pl.col("turns_high") <= RISING,
    ).sort("turns_low")
    if rows.height < 2 or rows["p90_s_low"].null_count():
        return None
    first, last = rows.row(0, named=True), rows.row(-1, named=True)
    if last["p90_s_low"] > first["p90_s_high"]:
        return True
    return False if last["p90_s_high"] < first["p90_s_low"] else None
