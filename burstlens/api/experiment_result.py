"""An experiment as Python and notebooks get it: what was found, its tables, its page.

Not here: running it (`experiments`), what is found (`burstlens.bench.experiments.findings`), how a page is
made (`burstlens.reports.pages.experiment`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from ..analysis.core.exhibit import Displayable, Exhibit

if TYPE_CHECKING:
    import polars as pl

    from ..bench.experiments.findings import Findings
    from ..bench.experiments.trials import Experiment


@dataclass(frozen=True)
class Evaluated(Displayable):
    """An experiment that has ended, or what there is of it."""

    experiment: Experiment

    @property
    def folder(self) -> Path:
        """Where its trials are kept."""
        return self.experiment.folder

    @property
    def trials(self) -> pl.DataFrame:
        """One row a trial: its labels, then what it measured."""
        return self.experiment.trials

    @cached_property
    def findings(self) -> Findings:
        """Parts with sentences and tables, and the paper's claims with their verdicts."""
        from ..bench.experiments.findings import findings

        return findings(self.experiment)

    def report(self, out: str | Path | None = None, *, images: bool = True) -> Path:
        """Write the page, into the experiment's folder or into `out`; its path."""
        from ..reports.pages.experiment import write_experiment_page

        command = f"burstlens report {self.folder}"
        return write_experiment_page(
            self.folder, None if out is None else Path(out), command=command, images=images
        )

    def exhibit(self) -> Exhibit:
        """What it is, verdicts, sentences and tables."""
        return self.findings.exhibit()
