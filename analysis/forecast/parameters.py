"""A forecast as a workload: a parameter sequence with the rates that were forecast for the held-out days.

Rates are the forecasts of the Poisson trees (their target is the mean), each made before its bin; a forecast
of the median would lose requests. What cannot be forecast is carried over from the fitted trace: the shape of
the gaps by hour of day from the windows before the origin, and the laws of lengths, turns and failures as
they were fitted to the whole. Not here: drawing load from the file (`bench.modelled`).
"""

from __future__ import annotations

import polars as pl
from msgspec import structs

from ..characterize import Characterization
from ..core.errors import InputError
from ..core.units import DAY_H, HOUR_S, bin_name
from ..interchange.parameter_model import FittedSelection, FittedWindow, ParameterFile
from ..interchange.parameters import Parameters, parameters, validate
from ..traffic.arrivals import Arrivals
from .models import LABELS
from .part import Forecasts

METHOD = "xgboost_poisson"


def forecast_parameters(
    part: Forecasts, characterization: Characterization, bin_s: float | None = None
) -> Parameters:
    """Make the content of a parameter file with the held-out bins of a forecast as windows.

    Parameters
    ----------
    part : Forecasts
    characterization : Characterization
        Of the same trace.
    bin_s : float, optional
        Width of the bins in seconds; the widest by default.

    Returns
    -------
    Parameters

    Raises
    ------
    InputError
        If no request count was forecast in these bins.
    """
    counts = part.forecasts.filter(pl.col("target") == "requests", pl.col("method") == METHOD)
    if bin_s is None:
        bin_s = max(counts["bin_s"].unique().to_list(), default=part.bins_s[-1])
    counts = counts.filter(pl.col("bin_s") == bin_s)
    if counts.is_empty():
        raise InputError(
            f"{part.info.name}: no request count was forecast in bins of {bin_name(bin_s)} to export"
        )
    fitted = ParameterFile.of(parameters(characterization))
    selections = {one.label: one for one in fitted.selections}
    forecast = structs.replace(
        fitted,
        source=structs.replace(fitted.source, name=f"{fitted.source.name}, forecast"),
        window_s=bin_s,
        estimator=f"rates: {LABELS[METHOD]}, forecast of bins after the origin; shapes: medians of the "
        f"windows before it at the same hour of day, of {bin_name(characterization.window_s)} and fitted by "
        f"{fitted.estimator}",
        selections=tuple(
            _selection(selections[str(label)], rows.sort("start_s"), bin_s, characterization)
            for (label,), rows in counts.group_by("selection", maintain_order=True)
        ),
    )
    content = Parameters(forecast.as_dict())
    validate(content, "the forecast's parameters")
    return content


def _selection(
    fitted: FittedSelection, rows: pl.DataFrame, bin_s: float, characterization: Characterization
) -> FittedSelection:
    """One selection as it was fitted, its windows replaced by forecasts."""
    begin_s, end_s = float(rows["start_s"][0]), float(rows["start_s"][-1]) + bin_s
    shapes, usual = _shapes(characterization, fitted.label, begin_s)
    hours = _hours_of_day(characterization, rows["start_s"])
    windows = [
        _window(start_s, forecast / bin_s, bin_s, shapes.get(hour, usual))
        for (start_s, forecast), hour in zip(
            rows.select("start_s", "forecast").iter_rows(), hours, strict=True
        )
    ]
    key = structs.replace(fitted.selection, start_s=begin_s, end_s=end_s)
    return structs.replace(fitted.with_windows(windows), selection=key)


def _shapes(
    characterization: Characterization, label: str, origin_s: float
) -> tuple[dict[int, float], float | None]:
    """Median shape of the windows before the origin, by hour of day and of all."""
    windows = characterization.part(Arrivals).windows.filter(
        pl.col("selection") == label,
        pl.col("start_s") + characterization.window_s <= origin_s,
        pl.col("shape").is_finite(),
    )
    hour = pl.Series("hour", _hours_of_day(characterization, windows["start_s"]), pl.Int64)
    by_hour = windows.group_by(hour).agg(pl.col("shape").median())
    usual = windows["shape"].median()
    return dict(by_hour.iter_rows()), None if usual is None else float(usual)  # type: ignore[arg-type]


def _hours_of_day(characterization: Characterization, start_s: pl.Series) -> list[int]:
    """The hour of the day at each of some instants."""
    shown_s = characterization.info.clock.seconds(start_s.to_numpy())
    return [int(hour) % DAY_H for hour in shown_s // HOUR_S]


def _window(start_s: float, rate_rps: float, bin_s: float, shape: float | None) -> FittedWindow:
    """The window of a forecast bin; `n` is the forecast, rounded."""
    rate = None if shape is None or not rate_rps > 0 else shape * rate_rps
    return FittedWindow(
        start_s,
        n=round(rate_rps * bin_s),
        rate_rps=rate_rps,
        shape=shape,
        rate=rate,
        scale=None if rate is None else 1 / rate,
        cv=None if shape is None else shape**-0.5,
        shape_interval=None,
        flags=(),
    )
