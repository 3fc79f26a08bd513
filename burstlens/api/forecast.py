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
from .options import Log, ReadOptions, check_folder, check_positive, paths

if TYPE_CHECKING:
    import polars as pl

    from ..analysis.forecast.part import Forecasts
    from ..analysis.interchange.parameters import Parameters
    from ..analysis.logs.options import LogOptions
    from ..analysis.trace.trace import Trace


@dataclass(frozen=True)
class ForecastResult(Displayable):
    """A trace's load forecast and scored."""

    part: Forecasts
    parameters: Parameters | None
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
        from ..reports.pages.forecast import forecast_dict

        return forecast_dict(self.part)

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


def forecast(
    logs: Log | Sequence[Log] = (),
    out: Log | None = None,
    *,
    service: str | None = None,
    model: str | None = None,
    bins_s: Sequence[float] = (60.0, 600.0),
    horizon_s: float | None = None,
    origins: int = 4,
    parameters: Log | bool | None = None,
    window_s: float = 1200.0,
    seed: int = 0,
    images: bool = True,
    columns: Mapping[str, str] | None = None,
    reading: LogOptions | None = None,
    strict: bool = False,
    command: str = "burstlens.forecast()",
    progress: Progress | None = None,
) -> ForecastResult:
    """Forecast the load of a trace per time bin, and score every method over rolling origins.

    Needs the extra `forecast`.

    Parameters
    ----------
    logs
        A log, or several that make one trace. Without any log the embedded synthetic trace is used.
    out
        Write page, figures, tables and `forecast.json` into this folder.
    service, model
        Only this service, this model; by default each service.
    bins_s
        Widths of the time bins, in seconds.
    horizon_s
        Forecast each bin this many seconds before it ends, by default one bin.
    origins
        Number of instants from which the rest is forecast in turn.
    parameters
        Also make parameters of the forecast of the held-out days: True, or the path to write them to.
    window_s
        Windows of the fit that `parameters` takes shapes and lengths from, in seconds.
    seed
        Seed of trees, resampling, and the hours shown.
    images
        Also write each figure as SVG and PNG.
    columns, reading, strict
        As in `trace`.
    command
        What the page says it was made by.

    Examples
    --------
    >>> bl.synth("three-days.parquet", days=3, seed=1).close()
    >>> done = bl.forecast("three-days.parquet", service="conversation", bins_s=[900.0], origins=2)
    >>> done.to_frame("verdicts")["target"].to_list()
    ['requests', 'request_tokens', 'token_load']
    """
    check_positive("window_s", window_s)
    if out is not None:
        check_folder(Path(out))
    if parameters is not None and not isinstance(parameters, bool):
        check_folder(Path(parameters).parent)
    show = progress or silent
    upto = 1.0 if out is None else 0.85
    found = _forecast(
        _open(
            paths(logs),
            ReadOptions(columns, strict, reading=reading),
            lambda step, share: show(step, 0.05 * upto * share),
        ),
        service=service,
        model=model,
        bins_s=bins_s,
        horizon_s=horizon_s,
        origins=origins,
        parameters=bool(parameters),
        window_s=window_s,
        seed=seed,
        progress=lambda step, share: show(step, upto * (0.05 + 0.95 * share)),
    )
    if found.parameters is not None and not isinstance(parameters, bool | None):
        from ..analysis.interchange.parameters import write_parameters

        write_parameters(dict(found.parameters), Path(parameters))
    if out is not None:
        found.report(
            Path(out),
            images=images,
            command=command,
            progress=lambda step, share: show(step, upto + (1 - upto) * share),
        )
    return found


def _open(files: Sequence[Path], read: ReadOptions, progress: Progress) -> Trace:
    """The trace to forecast; the embedded synthetic one without any file."""
    if files:
        return read.open(files, progress)
    from ..analysis.synthetic.trace import open_synthetic

    return open_synthetic(progress=progress)


def _forecast(
    trace: Trace,
    *,
    service: str | None,
    model: str | None,
    bins_s: Sequence[float],
    horizon_s: float | None,
    origins: int,
    parameters: bool,
    window_s: float,
    seed: int,
    progress: Progress,
) -> ForecastResult:
    """The forecast of an opened trace, which is then closed, with parameters where they are wanted."""
    from ..analysis.forecast.part import describe_forecast

    upto = 0.75 if parameters else 1.0
    try:
        part = describe_forecast(
            trace,
            service=service,
            model=model,
            bins_s=bins_s,
            horizon_s=horizon_s,
            origins=origins,
            seed=seed,
            progress=lambda step, share: progress(step, upto * share),
        )
        if not parameters:
            return ForecastResult(part, None)
        from ..analysis.characterize import characterize
        from ..analysis.forecast.parameters import forecast_parameters

        found = characterize(
            trace,
            window_s=window_s,
            seed=seed,
            progress=lambda step, share: progress(f"fitting {step}", upto + (1 - upto) * share),
        )
    finally:
        trace.engine.close()
    return ForecastResult(part, forecast_parameters(part, found))
