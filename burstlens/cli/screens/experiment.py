"""An experiment's findings on one terminal screen: what ran, the claim, the sentences, where the rest lies.

Not here: what was found (see `burstlens.bench.experiments.findings`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from ...analysis.core.units import counted

if TYPE_CHECKING:
    from ...bench.experiments.findings import Findings

STYLES = {"agrees": "bold green", "partly": "bold yellow", "differs": "bold red", "cannot tell": "bold"}
MARKS = {True: ("holds", "green"), False: ("does not hold", "red"), None: ("within noise", "dim")}
"""The word for the outcome of a statement, and its colour."""
VALUE = 500
"""Longer texts of measured values are only on the page."""
SENTENCES = 6
"""Of each part; the page has all."""


def show_findings(findings: Findings) -> None:
    """Print the screen."""
    screen = Console(highlight=False)
    question = findings.experiment.question
    head = Text(findings.title, style="bold")
    head.append(f" → {question.title}", style="yellow" if question.simulated else "not bold")
    screen.print(head)
    count = f"{counted(findings.experiment.trials.height, 'trial')}, {counted(len(question.seeds), 'seed')}"
    screen.print(Text(count + (" · synthetic workload" if question.synthetic else ""), style="dim"))
    for note in findings.notes:
        screen.print(Padding(Text(note, style="dim"), (0, 0, 0, 2)))
    for part in findings.parts:
        screen.print()
        sentences = [*part.missing, *part.sentences()]
        for sentence in sentences[:SENTENCES]:
            screen.print(Padding(Text(sentence), (0, 0, 0, 2)))
        if len(sentences) > SENTENCES:
            screen.print(Text(f"  … {len(sentences) - SENTENCES} more on the page", style="dim"))
    for claim in findings.claims:
        screen.print()
        line = Text(f"{claim.verdict}: ", style=STYLES[claim.verdict])
        line.append(f"{claim.text} ({claim.where})", style="not bold default")
        screen.print(line)
        for words, holds in (claim.statements or {}).items():
            mark, style = MARKS[holds]
            statement = Text(f"{mark}: ", style=style).append(words, style="not bold default")
            screen.print(Padding(statement, (0, 0, 0, 2)))
        if claim.value:
            short = len(claim.value) <= VALUE
            measured = Text(claim.value if short else "What was measured is on the page.", style="dim")
            screen.print(Padding(measured, (0, 0, 0, 2)))
    folder = findings.experiment.folder
    screen.print(f"\ntrials in {folder}; the page: burstlens report {folder}", markup=False)
