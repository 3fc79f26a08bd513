"""A claim: its verdict from its statements, and the keys that its JSON has had since 0.1.0."""

from __future__ import annotations

import pytest

from burstlens.analysis.core.claims import Claim

COMMON = ["id", "where", "claim", "verdict", "value", "why"]


@pytest.mark.parametrize(
    ("statements", "verdict", "why"),
    [
        ({"a": True, "b": True}, "agrees", "a: holds; b: holds."),
        ({"a": True, "b": None}, "partly", "a: holds; b: is within noise."),
        ({"a": False}, "differs", "a: does not hold."),
        ({}, "cannot tell", "."),
    ],
)
def test_statements_decide_a_claim(statements: dict[str, bool | None], verdict: str, why: str) -> None:
    claim = Claim.of_statements("x", "§1", "A claim.", statements, "1 against 2", "runs", "measures")
    assert (claim.verdict, claim.why) == (verdict, why)
    assert list(claim.as_dict()) == [*COMMON, "statements"]
    assert claim.as_dict()["statements"] == statements


def test_a_claim_about_a_trace_names_what_it_rests_on() -> None:
    claim = Claim("x", "§1", "A claim.", "agrees", "1", "It is so.", "volume", None, "a.sql", "a.py")
    assert list(claim.as_dict()) == [*COMMON, "part", "figure", "query", "module", "ledger"]
    assert claim.as_dict()["claim"] == "A claim."
