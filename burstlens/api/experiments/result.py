"""An experiment as Python and notebooks get it: what was found, its tables, its page.

Not here: running it (`maf2`, `responses`, `schedulers`, `sweep`), what is found
(`burstlens.bench.experiments.findings`), how a page is made (`burstlens.reports.pages.experiment`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...analysis.core.exhibit import Displayable, Exhibit
from ...analysis.core.result import Progress, silent
from ..event_loop import interruptible, run_outside_event_loop

if TYPE_CHECKING:
    from threading import Event

    import polars as pl

    from ...bench.experiments.findings import Findings
    from ...bench.experiments.trials import Experiment
    from .backend import Watch


@dataclass(frozen=True)
class ExperimentResult(Displayable):
    """An experiment that has ended, or the trials that it has so far."""

    experiment: Experiment

    @property
    def folder(self) -> Path:
        """The folder of its trials."""
        return self.experiment.folder

    @property
    def trials(self) -> pl.DataFrame:
        """A row for each trial: its labels, then what was measured."""
        return self.experiment.trials

    @cached_property
    def findings(self) -> Findings:
        """Parts with sentences and tables, and the paper's claims with their verdicts."""
        from ...bench.experiments.findings import findings

        return findings(self.experiment)

    def as_dict(self) -> dict[str, Any]:
        """The findings as plain values, for `--json`."""
        return self.findings.as_dict()

    def report(self, out: str | Path | None = None, *, images: bool = True) -> Path:
        """Write the page, into the experiment's folder or into `out`; its path."""
        from ...reports.pages.experiment import write_experiment_page

        command = f"burstlens report {self.folder}"
        return write_experiment_page(
            self.folder, None if out is None else Path(out), command=command, images=images
        )

    def exhibit(self) -> Exhibit:
        """What it is, verdicts, sentences and tables."""
        return self.findings.exhibit()


def evaluated(run: Callable[[Watch, Progress], Experiment], progress: Progress | None) -> ExperimentResult:
    """Run an experiment, outside the event loop of a notebook, so that an interrupt ends what is sent."""

    def ask(stop: Event) -> Experiment:
        return run(lambda _: stop.is_set(), interruptible(progress or silent, stop))

    return ExperimentResult(run_outside_event_loop(ask))
