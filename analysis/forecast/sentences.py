"""What forecasts say in sentences: what can be forecast and what cannot, the paper's split, bands.

Not here: the numbers (`forecast.part`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import polars as pl

from ..core.result import number
from ..core.units import bin_name, time_span
from .models import LABELS
from .scores import COVERAGE
from .series import TARGETS
from .tables import PAPER, ROLLING

if TYPE_CHECKING:
    from .part import Forecasts


def sentences(part: Forecasts) -> Iterator[str]:
    """What can be forecast and what cannot; the paper's split; bands."""
    ahead = f", {time_span(part.horizon_s)} ahead" if part.horizon_s else ""
    lost = part.verdicts.filter((~pl.col("forecastable")).all().over("selection"))
    for (selection,), rows in lost.group_by("selection", maintain_order=True):
        best = rows.sort("skill", nulls_last=False).row(-1, named=True)
        yield (
            f"{selection}{ahead}: cannot be forecast from its past. In none of {rows.height} series of "
            "targets and bins does a method beat a naive one beyond noise; the highest skill is "
            f"{_interval(best, 'skill')}, of {TARGETS[best['target']]} per {bin_name(best['bin_s'])}."
        )
    for row in part.verdicts.join(lost, on="selection", how="anti").iter_rows(named=True):
        method, against = LABELS[row["method"]], LABELS[row["against"]]
        gained = f"skill {_interval(row, 'skill')} against {against}"
        if row["forecastable"]:
            yield (
                f"{_series(row)}{ahead}: {method} forecasts better than the best naive method: {gained}; "
                f"NMAE {number(row['nmae'])} against {number(row['naive_nmae'])}."
            )
        else:
            yield (
                f"{_series(row)}{ahead}: cannot be forecast from its past: no method beats the best naive "
                f"one beyond noise; the best that learns, {method}, has {gained}."
            )
    paper = (pl.col("split") == PAPER) & (pl.col("method") == "xgboost_squared")
    for row in part.scores.filter(paper, pl.col("nmae").is_not_null()).iter_rows(named=True):
        yield (
            f"{_series(row)}, the paper's model on five sevenths against two: NMAE {_interval(row, 'nmae')}, "
            f"NMSE {number(row['nmse_variance'])} over the variance and {number(row['nmse_mean_square'])} "
            "over the mean square."
        )
    quantiles = (pl.col("split") == ROLLING) & (pl.col("method") == "xgboost_quantile")
    for row in part.scores.filter(quantiles, pl.col("coverage").is_not_null()).iter_rows(named=True):
        yield (
            f"{_series(row)}: the nominal {100 * COVERAGE:g} % band of XGBoost's quantiles contained "
            f"{100 * row['coverage']:.0f} % of the bins."
        )


def _series(row: Mapping[str, Any]) -> str:
    """Which series a row is of."""
    return f"{row['selection']}, {TARGETS[row['target']]} per {bin_name(row['bin_s'])}"


def _interval(row: Mapping[str, Any], name: str) -> str:
    """`0.54 [0.51, 0.58]`; without the brackets if there is no interval."""
    ends = [number(row[f"{name}{end}"]) for end in ("", "_low", "_high")]
    return ends[0] if row[f"{name}_low"] is None else f"{ends[0]} [{ends[1]}, {ends[2]}]"
