"""An experiment's findings on one terminal screen: what ran, the claim, the sentences, where the rest lies.

Not here: what was found (see `burstlens.bench.experiments.findings`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

if TYPE_CHECKING:
    from ...bench.experiments.findings import Findings

STYLES = {"agrees": "bold green", "partly": "bold yellow", "differs": "bold red", "cannot tell": "bold"}
MARKS = {True: ("holds", "green"), False: ("does not hold", "red"), None: ("within noise", "dim")}
"""How a statement of a claim came out, and its colour."""
VALUE = 500
"""Measured values of more letters are left to the page."""
SENTENCES = 6
"""Of each part; the page has all."""


def show_findings(said: Findings) -> None:
    """Print the screen."""
    screen = Console(highlight=False)
    asked = said.experiment.question
    head = Text(said.title, style="bold")
    head.append(f" → {asked.title}", style="yellow" if asked.simulated else "not bold")
    screen.print(head)
    count = f"{said.experiment.trials.height:,} trials, {len(asked.seeds)} seeds"
    screen.print(Text(count + (" · synthetic workload" if asked.synthetic else ""), style="dim"))
    for note in said.notes:
        screen.print(Padding(Text(note, style="dim"), (0, 0, 0, 2)))
    for part in said.parts:
        screen.print()
        told = [*part.missing, *part.sentences()]
        for sentence in told[:SENTENCES]:
            screen.print(Padding(Text(sentence), (0, 0, 0, 2)))
        if len(told) > SENTENCES:
            screen.print(Text(f"  … {len(told) - SENTENCES} more on the page", style="dim"))
    for claim in said.claims:
        screen.print()
        line = Text(f"{claim.verdict}: ", style=STYLES[claim.verdict])
        line.append(f"{claim.text} ({claim.where})", style="not bold default")
        screen.print(line)
        for words, holds in (claim.statements or {}).items():
            mark, style = MARKS[holds]
            came = Text(f"{mark}: ", style=style).append(words, style="not bold default")
            screen.print(Padding(came, (0, 0, 0, 2)))
        if claim.value:
            short = len(claim.value) <= VALUE
            measured = Text(claim.value if short else "What was measured is on the page.", style="dim")
            screen.print(Padding(measured, (0, 0, 0, 2)))
    folder = said.experiment.folder
    screen.print(f"\ntrials in {folder}; the page: burstlens report {folder}", markup=False)
