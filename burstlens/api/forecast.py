"""A forecast as Python and notebooks get it: what was found, its tables, its page, its load.

Not here: how it is made (`burstlens.analysis.forecast.part`), how a page is
(`burstlens.reports.pages.forecast`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..analysis.core.exhibit import Displayable, Exhibit
from ..analysis.core.result import Progress, silent

if TYPE_CHECKING:
    import polars as pl

    from ..analysis.forecast.part import Forecasts
    from ..analysis.trace.trace import Trace


@dataclass(frozen=True)
class Forecasted(Displayable):
    """A trace's load forecast and scored."""

    part: Forecasts
    parameters: Mapping[str, Any] | None
    """The content of a parameter file with the forecast's rates, where it was asked for."""

    @property
    def tables(self) -> dict[str, pl.DataFrame]:
        """Verdicts, scores, errors by origin and by bin width, and the forecasts themselves."""
        return self.part.tables()

    def lines(self) -> list[str]:
        """What a person wants to read."""
        return [*self.part.sentences(), *self.part.missing]

    def as_dict(self) -> dict[str, Any]:
        """The same for machines."""
        from ..reports.pages.forecast import told

        return told(self.part)

    def report(
        self,
        out: str | Path,
        *,
        images: bool = True,
        command: str = "burstlens.forecast()",
        progress: Progress | None = None,
    ) -> Path:
        """Write page, tables, figures and `forecast.json` into the folder `out`; the page's path."""
        from ..reports.pages.forecast import write_forecast_page

        return write_forecast_page(self.part, Path(out), command=command, images=images, progress=progress)

    def exhibit(self) -> Exhibit:
        """The findings, and the verdicts as the first table."""
        seen = self.part.exhibit()
        return replace(
            seen, title=f"Forecast of {self.part.info.name}", marks=self.part.info.marks, parts=[self.part]
        )


def opened(files: Sequence[Path], columns: Mapping[str, str] | None, strict: bool, show: Progress) -> Trace:
    """The trace to forecast, the embedded synthetic one without any file."""
    if files:
        from ..analysis.trace.trace import open_trace

        return open_trace(files, columns=columns, strict=strict, progress=show)
    from ..analysis.synthetic.trace import open_synthetic

    return open_synthetic(progress=show)


def forecast(
    files: Sequence[Path],
    *,
    parameters: Path | bool,
    window_s: float,
    columns: Mapping[str, str] | None,
    strict: bool,
    progress: Progress | None,
    **asked: Any,
) -> Forecasted:
    """See `burstlens.forecast`."""
    from ..analysis.forecast.part import describe_forecast

    show = progress or silent
    trace = opened(files, columns, strict, lambda step, share: show(step, 0.05 * share))
    upto = 0.75 if parameters else 1.0
    try:
        part = describe_forecast(
            trace, progress=lambda step, share: show(step, 0.05 + (upto - 0.05) * share), **asked
        )
        if not parameters:
            return Forecasted(part, None)
        from ..analysis.characterize import characterize
        from ..analysis.forecast.parameters import forecast_parameters
        from ..analysis.interchange.parameters import write_parameters

        said = characterize(
            trace,
            window_s=window_s,
            seed=asked.get("seed", 0),
            progress=lambda step, share: show(f"fitting {step}", upto + (1 - upto) * share),
        )
    finally:
        trace.engine.close()
    content = forecast_parameters(part, said)
    if isinstance(parameters, Path):
        write_parameters(content, parameters)
    return Forecasted(part, content)
