"""How the paper's claims about sizes, rates, coverage and failures are decided (sections 1, 2, 3.4).

Not here: the other claims (`checks`, `lengths`, `conversations`).
"""

from __future__ import annotations

from typing import Any

from ...analysis.characterize import Characterization
from ...analysis.core.claims import Decision
from ...analysis.core.result import listing
from ...analysis.core.units import DAY_S, time_span
from ...analysis.core.verdicts import CANNOT_TELL, overall_verdict
from ...analysis.traffic.failures import Failures
from ...analysis.traffic.volume import Volume
from .checks import API, CHATGPT, CONVERSATION, GPT4, lacking, one, reasons, rows_of, shown, within

PAPER_ROWS = {
    (API, CHATGPT): 8.69e6,
    (API, GPT4): 0.95e6,
    (CONVERSATION, CHATGPT): 0.30e6,
    (CONVERSATION, GPT4): 0.16e6,
}
"""Rows of the paper's four parts (section 1); they sum to 10.10 million where it says 10.31."""
PAPER_DAYS = 213
PAPER_RATE_RPS = {CONVERSATION: 0.019, API: 0.21}
"""Mean rates with ChatGPT (section 2.2)."""


def size(characterization: Characterization) -> Decision:
    """Rows per service and model: comparable with the paper's only over the whole of its record."""
    part = characterization.part(Volume)
    days = part.span_s / DAY_S
    values = [f"{part.rows:,} requests in {time_span(part.span_s)}"]
    statements: dict[str, bool | None] = {}
    for (service, model), paper in PAPER_ROWS.items():
        row = one(part.sizes, service=service, model=model)
        if row:
            values.append(f"{service} {model} {row['n']:,}")
            statements[f"{service} {model} has {paper / 1e6:.2f} M rows"] = abs(row["n"] / paper - 1) < 0.05
    if not statements:
        return Decision(
            CANNOT_TELL, values[0], "This trace is not BurstGPT: it has none of its services and models."
        )
    if days < 0.9 * PAPER_DAYS:
        return Decision(
            CANNOT_TELL,
            "; ".join(values),
            f"This trace is only a part of the record: {time_span(part.span_s)} of {PAPER_DAYS} days.",
        )
    return Decision(overall_verdict(statements), "; ".join(values), reasons(statements))


def rate(characterization: Characterization) -> Decision:
    """Does the interval of the mean rate hold the paper's value?"""
    part = characterization.part(Volume)
    statements: dict[str, bool | None] = {}
    values = []
    for service, paper in PAPER_RATE_RPS.items():
        row = one(part.sizes, service=service, model=CHATGPT)
        if row is None:
            continue
        values.append(f"{service} {CHATGPT} {shown(row, 'rate_rps')} requests/s")
        low, high = row["rate_rps_low"], row["rate_rps_high"]
        known = low is not None and low == low
        statements[f"{service} is {paper:g} requests/s"] = bool(low <= paper <= high) if known else None
    if not values:
        return lacking("ChatGPT requests")
    return Decision(overall_verdict(statements), "; ".join(values), reasons(statements))


def coverage(characterization: Characterization) -> Decision:
    """The paper's Table 1, row by row, from what this trace has."""
    info = characterization.info
    available = {
        "request patterns": True,
        "conversation patterns": info.has_sessions,
        "response lengths": info.has_tokens,
        "failures": info.has_failures,
    }
    statements: dict[str, bool | None] = {f"it has {what}": there for what, there in available.items()}
    value = ", ".join(what for what, there in available.items() if there)
    lacks = [what for what, there in available.items() if not there]
    why = f"The log has {listing([f'no {what}' for what in lacks])}." if lacks else "The log has all four."
    return Decision(overall_verdict(statements), value, why)


def failures(characterization: Characterization) -> Decision:
    """ChatGPT conversation against 5 %, and GPT-4 against ChatGPT by the interval over days."""
    part = characterization.part(Failures)
    row = one(part.rates, service=CONVERSATION, model=CHATGPT)
    statements: dict[str, bool | None] = {}
    values = []
    if row and row["rate"] is not None:
        values.append(f"ChatGPT conversation {shown(row, 'rate', '.2%')}")
        statements["ChatGPT conversation fails over 5 %"] = (
            True if row["rate_low"] > 0.05 else False if row["rate_high"] < 0.05 else None
        )
    for pair in rows_of(part.compared):
        if {pair["first"], pair["second"]} != {CHATGPT, GPT4} or pair["service"] is None:
            continue
        sign = 1 if pair["first"] == GPT4 else -1
        # The interval over days: failures come in bad days, so requests are not independent.
        ends = sorted(sign * pair[f"difference_days{end}"] for end in ("_low", "_high"))
        difference = within(sign * pair["difference"], ends, "+.2%")
        values.append(f"{pair['service']}: GPT-4 minus ChatGPT {difference}")
        statements[f"GPT-4 fails less in {pair['service']}"] = _below_zero(ends)
    if not statements:
        return lacking("failure rate of ChatGPT conversations")
    return Decision(overall_verdict(statements), "; ".join(values), reasons(statements), "rates")


def _below_zero(ends: list[Any]) -> bool | None:
    """Whether a difference is negative by its whole interval."""
    if ends[1] < 0:
        return True
    return False if ends[0] > 0 else None
