"""Traces too small, too regular or too empty for most questions: everything still answers."""

from __future__ import annotations

from pathlib import Path

import pytest

from burstlens.analysis.characterize import characterize
from burstlens.analysis.interchange.parameters import parameters
from burstlens.analysis.logs.options import LogOptions
from burstlens.analysis.trace.trace import open_trace
from burstlens.reports.claims.ledger import check
from burstlens.reports.figures.registry import figures_of

HEADER = "Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,Log Type"


def rows(n: int, kind: str) -> list[str]:
    """Requests of sessions of three turns: at one instant, a few seconds apart, or a day apart."""
    step_s = {"same": 0, "near": 7, "far": 90_000}[kind]
    return [f"{i * step_s},s{i // 3},3,GPT-4,{5 + i % 4},{i % 3},11,Conversation log" for i in range(n)]


@pytest.mark.slow
@pytest.mark.parametrize("n", [1, 2, 3, 5, 20, 30])
@pytest.mark.parametrize("kind", ["same", "near", "far"])
def test_every_part_answers_or_says_what_is_missing(tmp_path: Path, n: int, kind: str) -> None:
    log = tmp_path / "tiny.csv"
    log.write_text("\n".join([HEADER, *rows(n, kind)]) + "\n")
    characterization = characterize(open_trace([log]))
    assert parameters(characterization)["source"]["rows"] == n
    assert all(claim.verdict for claim in check(characterization))
    for part in characterization.parts:
        assert all(sentence.endswith((".", "…")) for sentence in (*part.sentences(), *part.missing))
        for figure in figures_of(part):
            assert figure.data.height, figure.name
            assert figure.drawn("tiny")


def test_two_arrivals_of_a_fine_clock(tmp_path: Path) -> None:
    log = tmp_path / "two.csv"
    log.write_text("ts,in\n1.5,3\n2.25,4\n")
    characterization = characterize(
        open_trace([log], options=LogOptions(columns={"arrival": "ts", "request_tokens": "in"}))
    )
    assert characterization.info.rows == 2
    assert parameters(characterization)["selections"][0]["arrivals"]["windows"][0]["n"] == 2


def test_a_request_every_minute_does_not_vary(tmp_path: Path) -> None:
    log = tmp_path / "even.csv"
    log.write_text("ts,in\n" + "".join(f"2026-05-04T07:{minute}:30Z,3\n" for minute in range(20, 40)))
    options = LogOptions(columns={"arrival": "ts", "request_tokens": "in"}, timezone="Europe/Berlin")
    characterization = characterize(open_trace([log], options=options))
    assert characterization.info.rows == 20
    assert all(claim.verdict for claim in check(characterization))
