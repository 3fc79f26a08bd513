"""The ledger: verdicts come from the trace, and change with it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from burstlens.analysis.characterize import Characterization
from burstlens.analysis.core.claims import Claim
from burstlens.analysis.core.verdicts import overall_verdict
from burstlens.reports.claims.ledger import BURSTGPT, check
from burstlens.reports.figures.registry import figures_of

VERDICTS = {"agrees", "partly", "differs", "cannot tell"}


@pytest.fixture(scope="module")
def ledger(week_characterization: Characterization) -> dict[str, Claim]:
    return {claim.id: claim for claim in check(week_characterization)}


@pytest.mark.parametrize(
    ("statements", "verdict"),
    [
        ({"a": True, "b": True}, "agrees"),
        ({"a": True, "b": False}, "partly"),
        ({"a": True, "b": None}, "partly"),
        ({"a": False, "b": False}, "differs"),
        ({"a": False, "b": None}, "differs"),
        ({"a": None}, "cannot tell"),
        ({}, "cannot tell"),
    ],
)
def test_one_verdict_of_several_statements(statements: dict[str, bool | None], verdict: str) -> None:
    assert overall_verdict(statements) == verdict


def test_every_claim_of_the_paper_has_a_line_with_verdict_and_reason(ledger: dict[str, Claim]) -> None:
    assert len(ledger) == len(BURSTGPT.entries) == 21
    for claim in ledger.values():
        assert claim.verdict in VERDICTS
        assert claim.why.endswith(".")
        assert bool(claim.value) or claim.verdict == "cannot tell"


def test_the_real_week_against_the_paper(ledger: dict[str, Claim]) -> None:
    # Known from independent counts of the real file: 7.05 % of ChatGPT conversations fail.
    assert ledger["failures"].value.startswith("ChatGPT conversation 7.05%")
    assert ledger["size"].verdict == "cannot tell"
    assert "19,431 requests in 7 days" in ledger["size"].value
    assert ledger["zipf"].verdict == "differs"
    assert ledger["turns"].verdict == "cannot tell"
    assert "sessions" in ledger["turns"].why
    for id in ("maf2-load", "alpha-sweep", "scheduler", "forecast", "pd"):
        assert ledger[id].verdict == "cannot tell"


@pytest.mark.slow
def test_a_trace_with_sessions_gets_verdicts_on_conversations(
    synthetic_characterization: Callable[..., Characterization],
) -> None:
    characterization = synthetic_characterization(8, 11)
    ledger = {claim.id: claim for claim in check(characterization)}
    assert ledger["turns"].verdict in {"agrees", "partly"}
    assert "over 35 % have one request: holds" in ledger["turns"].why
    assert ledger["long"].value


def test_every_linked_figure_exists(week_characterization: Characterization) -> None:
    drawn = {part.name: {figure.name for figure in figures_of(part)} for part in week_characterization.parts}
    for claim in check(week_characterization):
        if claim.figure is not None:
            assert claim.figure in drawn[claim.part], claim.id


def test_every_query_and_module_named_in_the_ledger_exists(ledger: dict[str, Claim]) -> None:
    from pathlib import Path

    root = Path(__file__).parents[3]
    for claim in ledger.values():
        for named in filter(None, (claim.query, claim.module)):
            assert (root / named).is_file(), named
