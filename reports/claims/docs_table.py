"""The paper's numbers beside measured ones, as a table in Markdown: what `docs/explanation/paper.md` holds.

Not here: the checks themselves (see `ledger`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...analysis.core.claims import Claim

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
"""Marks between which `docs/explanation/paper.md` holds the table."""


def table(ledgers: Mapping[str, Sequence[Claim]]) -> str:
    """A section a claim: what the paper says, then each trace's verdict, value and reason.

    `ledgers` holds the checked claims of each trace by its name; a claim that cannot be told from a trace is
    left out for that trace, and said to be untold where that is so for all of them.
    """
    first = next(iter(ledgers.values()))
    out = []
    for place, entry in enumerate(first):
        told = [(name, ledger[place]) for name, ledger in ledgers.items()]
        out += [f"### {entry.id} ({entry.where})", "", f"The paper: {entry.text}", ""]
        known = [(name, claim) for name, claim in told if claim.verdict != "cannot tell"]
        for name, claim in known:
            value = f" {claim.value.rstrip('.')}." if claim.value else ""
            out.append(f"- **{name}: {claim.verdict}.**{value} {claim.why}".rstrip())
        if not known:
            out.append(f"- Cannot be told from these traces. {told[0][1].why}".rstrip())
        out.append("")
    return "\n".join(out)


def between(document: str, text: str) -> str:
    """The document with `text` between the marks."""
    before, rest = document.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n\n{text}\n{END}{after}"
