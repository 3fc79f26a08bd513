"""The paper's numbers and measured ones, as the list in Markdown that `docs/explanation/paper.md` contains.

Not here: the checks themselves (see `ledger`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...analysis.core.claims import Claim

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
"""The list is between these marks of `docs/explanation/paper.md`."""


def table(ledgers: Mapping[str, Sequence[Claim]]) -> str:
    """A section a claim: what the paper says, then each trace's verdict, value and reason.

    Parameters
    ----------
    ledgers
        The checked claims of each trace, by its name, all in the same order.

    Returns
    -------
    str
        Markdown. A claim's section leaves out traces that cannot tell; if none can, one line says so.
    """
    first = next(iter(ledgers.values()))
    out = []
    for place, entry in enumerate(first):
        claims = [(name, ledger[place]) for name, ledger in ledgers.items()]
        out += [f"### {entry.id} ({entry.where})", "", f"The paper: {entry.text}", ""]
        decided = [(name, claim) for name, claim in claims if claim.verdict != "cannot tell"]
        for name, claim in decided:
            value = f" {claim.value.rstrip('.')}." if claim.value else ""
            out.append(f"- **{name}: {claim.verdict}.**{value} {claim.why}".rstrip())
        if not decided:
            out.append(f"- These traces cannot tell. {claims[0][1].why}".rstrip())
        out.append("")
    return "\n".join(out)


def between(document: str, text: str) -> str:
    """The document with `text` between the marks."""
    before, rest = document.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n\n{text}\n{END}{after}"
