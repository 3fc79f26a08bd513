"""A claim of a paper with its verdict: one type, whether a trace, trials or a search decides it.

Not here: which claims there are and how each is decided (`burstlens.reports.claims`,
`burstlens.bench.experiments.findings`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .verdicts import overall_verdict

HOLDS = {True: "holds", False: "does not hold", None: "is within noise"}
"""Verdict on one statement, in words."""


@dataclass(frozen=True)
class Decision:
    """What a check found: the verdict, the measured values, and why."""

    verdict: str
    """`agrees`, `partly`, `differs` or `cannot tell`."""
    value: str
    """The measured values with their intervals; empty if nothing could be measured."""
    why: str
    figure: str | None = None
    """The figure of the part that shows it."""


@dataclass(frozen=True)
class Claim:
    """One claim, what the data show, and what that rests on."""

    id: str
    where: str
    """Section and figure of the paper."""
    text: str
    verdict: str
    """`agrees`, `partly`, `differs` or `cannot tell`."""
    value: str
    """The measured values with their intervals; empty if nothing could be measured."""
    why: str
    part: str
    """Name of the part that measured it."""
    figure: str | None = None
    query: str = ""
    """The file that counts what it rests on: SQL, or Python if the table is of arrays."""
    module: str = ""
    """The file that computes it."""
    ledger: str = "burstgpt"
    """Name of the ledger that it is a line of; ours are the claims of the BurstGPT paper."""
    statements: Mapping[str, bool | None] | None = None
    """The claim's statements if trials decide it: each holds, does not, or is within noise (None)."""

    @classmethod
    def of_statements(
        cls,
        id: str,
        where: str,
        text: str,
        statements: Mapping[str, bool | None],
        value: str,
        part: str,
        figure: str | None = None,
    ) -> Claim:
        """Make a claim with the verdict that its statements have together.

        Parameters
        ----------
        id : str
        where : str
            Section of the source.
        text : str
            What the claim says.
        statements : mapping of str to bool or None
            Each statement: it is true, it is not, or noise leaves it open (None).
        value : str
            The measured values with their intervals, separated by `; `.
        part, figure : str
            Names of the part that measured it and of the figure that shows it.

        Examples
        --------
        >>> Claim.of_statements("a", "§1", "A is higher.", {"A is higher": True}, "2 against 1", "runs").why
        'A is higher: holds.'
        """
        why = "; ".join(f"{statement}: {HOLDS[holds]}" for statement, holds in statements.items()) + "."
        return cls(
            id,
            where,
            text,
            overall_verdict(statements),
            value,
            why,
            part,
            figure,
            statements=dict(statements),
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON: with its statements if trials decided it, else with what it rests on."""
        plain = {
            "id": self.id,
            "where": self.where,
            "claim": self.text,
            "verdict": self.verdict,
            "value": self.value,
            "why": self.why,
        }
        if self.statements is not None:
            return plain | {"statements": dict(self.statements)}
        return plain | {name: getattr(self, name) for name in ("part", "figure", "query", "module", "ledger")}
