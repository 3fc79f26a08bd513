"""A run as Python and notebooks get it: its record, its summary, the verdict, its page.

Not here: sending (`burstlens.bench.client.run`), the simulated engine (`burstlens.bench.simulated`), what the
numbers mean (`burstlens.bench.metrics`).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..analysis.core.exhibit import Displayable, Exhibit

LOGGER = logging.getLogger(__name__)

if TYPE_CHECKING:
    from ..bench.metrics.load_verdict import LoadVerdict
    from ..bench.metrics.models import Slo
    from ..bench.metrics.summary import Summary
    from ..bench.record.models import Manifest


@dataclass(frozen=True)
class Run(Displayable):
    """A run that has ended, or what was recorded of it."""

    folder: Path
    manifest: Manifest
    """What was to be sent to which server."""

    @classmethod
    def summarized(cls, folder: Path, manifest: Manifest, slo: Slo | None = None) -> Run:
        """The run, with `summary.json` and its tables written into its folder."""
        from ..bench.metrics.summary import write_summary

        run = cls(folder, manifest)
        vars(run)["summary"] = write_summary(folder, slo=slo)
        metrics = run.summary.metrics
        LOGGER.info("%s: %d answered, %d failed", folder, metrics.answered, metrics.failed)
        if metrics.retried:
            LOGGER.warning("%s: %d requests were sent again", folder, metrics.retried)
        return run

    @cached_property
    def summary(self) -> Summary:
        """Metrics, verdict and tables; computed from the record when first used."""
        from ..bench.metrics.summary import last_slo, summarize

        return summarize(self.folder, slo=last_slo(self.folder))

    @property
    def verdict(self) -> LoadVerdict:
        """Whether the load that arrived is the load that was intended, and if not, why."""
        return self.summary.verdict

    @property
    def finished(self) -> bool:
        """Whether every request was sent and ended."""
        return self.manifest.finished

    def as_dict(self) -> dict[str, Any]:
        """The content of `summary.json`."""
        return self.summary.as_dict()

    def report(self, out: str | Path | None = None, *, images: bool = True) -> Path:
        """Write the page, into the run's folder or into `out`; its path."""
        from ..reports.pages.run import write_run_page

        return write_run_page(self.folder, Path(out) if out else None, images=images)

    def exhibit(self) -> Exhibit:
        """The verdict, then the results: outcomes, latencies, requests, seconds."""
        from ..reports.parts.run import exhibit

        return exhibit(self.summary)
