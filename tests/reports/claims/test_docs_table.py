"""What the documentation says of the paper's numbers is what a run on the real traces says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from burstlens.analysis.characterize import Characterization
from burstlens.analysis.forecast.part import Forecasts
from burstlens.reports.claims.docs_table import between, table
from burstlens.reports.claims.ledger import BURSTGPT, check

PAPER = Path(__file__).parents[3] / "docs" / "explanation" / "paper.md"


@pytest.mark.slow
def test_the_papers_numbers_are_those_of_a_run(
    characterized: Callable[[str], Characterization],
    week_characterization: Characterization,
    week_forecast: Forecasts,
) -> None:
    ledgers = {
        "BurstGPT file 1, first week": check(
            replace(week_characterization, parts=(*week_characterization.parts, week_forecast))
        ),
        "BurstGPT file 3, first 400 rows": check(characterized("burstgpt_3_first400.csv")),
    }
    written = PAPER.read_text(encoding="utf-8")
    assert written == between(written, table(ledgers))


def test_every_claim_of_the_paper_is_compared() -> None:
    written = PAPER.read_text(encoding="utf-8")
    for entry in BURSTGPT.entries:
        assert f"### {entry.id} ({entry.where})" in written
