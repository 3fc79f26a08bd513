"""Forecasts as rows of tables: each method's errors by origin and pooled, verdicts, error over bin widths.

Not here: making the forecasts (`forecast.part`), the measures (`scores`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from ..core.arrays import Array
from ..core.result import estimates
from ..trace.aggregates import interval_columns
from ..trace.trace import Selection
from .models import Forecaster
from .scores import block_of, coverage, errors, nmae_interval, pinball, plain_row, skill
from .series import Series

PAPER, ROLLING = "five sevenths", "rolling"
"""Names of the two ways to hold out."""
WIDTHS_S = (60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0)
"""Bin widths over which the error of request counts is shown."""

KEYS = {
    "selection": pl.String,
    "service": pl.String,
    "model": pl.String,
    "target": pl.String,
    "bin_s": pl.Float64,
}
ERRORS = dict.fromkeys(("mae", "nmae", "nmse_variance", "nmse_mean_square"), pl.Float64)
BAND = dict.fromkeys(("pinball", "coverage", "band_width"), pl.Float64)
SCORES: dict[str, Any] = {
    **KEYS,
    "split": pl.String,
    "method": pl.String,
    "naive": pl.Boolean,
    "bins": pl.Int64,
    "mean": pl.Float64,
    "mae": pl.Float64,
    **estimates("nmae"),
    "nmse_variance": pl.Float64,
    "nmse_mean_square": pl.Float64,
    **BAND,
    "against": pl.String,
    **estimates("skill"),
    "resampled_s": pl.Float64,
}
ORIGIN_ROWS: dict[str, Any] = {
    **KEYS,
    "origin_s": pl.Float64,
    "end_s": pl.Float64,
    "method": pl.String,
    "bins": pl.Int64,
    "mean": pl.Float64,
    **ERRORS,
    **BAND,
}
VERDICTS: dict[str, Any] = {
    **KEYS,
    "forecastable": pl.Boolean,
    "method": pl.String,
    "against": pl.String,
    **estimates("skill"),
    "nmae": pl.Float64,
    "naive_nmae": pl.Float64,
    "mean": pl.Float64,
}
WIDTHS: dict[str, Any] = {
    "selection": pl.String,
    "bin_s": pl.Float64,
    "method": pl.String,
    "naive": pl.Boolean,
    "bins": pl.Int64,
    "mean": pl.Float64,
    **ERRORS,
}
FORECASTS: dict[str, Any] = {
    **KEYS,
    "method": pl.String,
    "start_s": pl.Float64,
    "seen": pl.Float64,
    "forecast": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
}


Cut = tuple[str, float, float]
"""Split, origin, end of what is held out, in seconds."""


@dataclass(frozen=True)
class HeldOutForecast:
    """One method's forecasts after one origin."""

    method: Forecaster
    rows: Series
    forecast: Array
    band: tuple[Array, Array] | None


class TableRows:
    """Rows of the tables as they are gathered."""

    def __init__(self) -> None:
        self.cuts: dict[tuple[float, str, float, float], None] = {}
        self.verdicts: list[dict[str, Any]] = []
        self.scores: list[dict[str, Any]] = []
        self.origins: list[dict[str, Any]] = []
        self.widths: list[dict[str, Any]] = []
        self.forecasts: list[pl.DataFrame] = []

    def add(
        self,
        by_cut: Mapping[Cut, list[HeldOutForecast]],
        selection: Selection,
        target: str,
        bin_s: float,
        seed: int,
    ) -> None:
        """Score one series: origin by origin, and all bins of each split together.

        Parameters
        ----------
        by_cut : mapping of Cut to list of HeldOutForecast
        selection : Selection
        target : str
        bin_s : float
            Width of the bins in seconds.
        seed : int
            Of the resampling.
        """
        keys = {
            "selection": selection.label,
            "service": selection.service,
            "model": selection.model,
            "target": target,
            "bin_s": bin_s,
        }
        for split in (PAPER, ROLLING):
            cuts = [cut for cut in by_cut if cut[0] == split]
            names = [each.method.name for each in by_cut[cuts[0]]] if cuts else []
            # A method that some origin could not fit is compared on no origin.
            pooled = {
                name: [each for cut in cuts for each in by_cut[cut] if each.method.name == name]
                for name in names
            }
            full = {name: parts for name, parts in pooled.items() if len(parts) == len(cuts)}
            if not full:
                continue
            rows = self._scored(full, seed)
            self.scores += [plain_row(**keys, split=split, **row) for row in rows]
            if split == ROLLING:
                self._verdict(keys, rows)
        for (split, origin_s, end_s), methods in by_cut.items():
            for each in methods:
                values = {
                    "bins": len(each.rows),
                    "mean": float(each.rows.value.mean()),
                    **errors(each.rows.value, each.forecast),
                    **_band(each.rows.value, each.forecast, each.band),
                }
                if split == ROLLING:
                    place = {"origin_s": origin_s, "end_s": end_s, "method": each.method.name}
                    self.origins.append(plain_row(**keys, **place, **values))
                else:
                    self.forecasts.append(_as_frame(keys, each))

    @staticmethod
    def _scored(full: Mapping[str, list[HeldOutForecast]], seed: int) -> list[dict[str, Any]]:
        """A row a method over the bins of all its parts."""
        first = next(iter(full.values()))
        seen = np.concatenate([each.rows.value for each in first])
        start_s = np.concatenate([each.rows.start_s for each in first])
        block, block_s = block_of(start_s, first[0].rows.bin_s)
        forecasts = {name: np.concatenate([each.forecast for each in parts]) for name, parts in full.items()}
        naive = [name for name, parts in full.items() if parts[0].method.naive]
        against = min(naive, key=lambda name: float(np.abs(seen - forecasts[name]).mean()))
        out = []
        for name, parts in full.items():
            bands = [each.band for each in parts]
            band = None
            if all(each is not None for each in bands):
                band = tuple(np.concatenate([b[end] for b in bands if b is not None]) for end in (0, 1))
            out.append(
                {
                    "method": name,
                    "naive": parts[0].method.naive,
                    "bins": len(seen),
                    "mean": float(seen.mean()),
                    **errors(seen, forecasts[name]),
                    **interval_columns(
                        "nmae", nmae_interval(np.random.default_rng(seed), block, seen, forecasts[name])
                    ),
                    **_band(seen, forecasts[name], band),
                    "against": against,
                    **interval_columns(
                        "skill",
                        skill(np.random.default_rng(seed), block, seen, forecasts[name], forecasts[against]),
                    ),
                    "resampled_s": block_s,
                }
            )
        return out

    def _verdict(self, keys: Mapping[str, Any], rows: Sequence[dict[str, Any]]) -> None:
        """Whether the best method that learns beats the best naive one."""
        learned = [row for row in rows if not row["naive"]]
        best = min(learned, key=lambda row: float(row["mae"]))
        naive = next(row for row in rows if row["method"] == best["against"])
        self.verdicts.append(
            plain_row(
                **keys,
                forecastable=bool(best["skill_low"] > 0),
                **{name: best[name] for name in ("method", "against", "skill", "skill_low", "skill_high")},
                nmae=best["nmae"],
                naive_nmae=naive["nmae"],
                mean=best["mean"],
            )
        )

    def tables(self) -> dict[str, Any]:
        """The gathered rows as the tables of `Forecasts`."""
        cuts = {"bin_s": pl.Float64, "split": pl.String, "origin_s": pl.Float64, "end_s": pl.Float64}
        return {
            "cuts": pl.DataFrame(list(self.cuts), schema=cuts, orient="row"),
            "verdicts": pl.DataFrame(self.verdicts, schema=VERDICTS),
            "scores": (scores := pl.DataFrame(self.scores, schema=SCORES)),
            "origins": pl.DataFrame(self.origins, schema=ORIGIN_ROWS),
            "widths": self._over_widths(scores),
            "forecasts": pl.concat(self.forecasts) if self.forecasts else pl.DataFrame(schema=FORECASTS),
        }

    def _over_widths(self, scores: pl.DataFrame) -> pl.DataFrame:
        """Errors by bin width: those gathered for it, and those of bins that are forecast anyway."""
        in_order = (
            scores.filter(split=PAPER, target="requests")
            .filter(pl.col("bin_s").is_in(WIDTHS_S))
            .select(*WIDTHS)
        )
        rows = pl.DataFrame(self.widths, schema=WIDTHS)
        return pl.concat([in_order, rows]).sort("selection", "bin_s", maintain_order=True)


def _band(seen: Array, forecast: Array, band: Any) -> dict[str, float]:
    """Pinball loss, coverage and mean width over the mean; NaN without a band."""
    if band is None:
        return dict.fromkeys(BAND, float("nan"))
    low, high = band
    mean = float(seen.mean())
    return {
        "pinball": pinball(seen, (low, forecast, high)),
        "coverage": coverage(seen, low, high),
        "band_width": float(np.mean(high - low)) / mean if mean > 0 else float("nan"),
    }


def _as_frame(keys: Mapping[str, Any], one: HeldOutForecast) -> pl.DataFrame:
    """One method's forecasts as rows of `forecasts`."""
    n = len(one.rows)
    low, high = one.band or (np.full(n, np.nan),) * 2
    return (
        pl.DataFrame(
            {
                "start_s": one.rows.start_s,
                "seen": one.rows.value,
                "forecast": one.forecast,
                "low": low,
                "high": high,
            }
        )
        .with_columns(pl.lit(v, dtype=KEYS[k]).alias(k) for k, v in keys.items())
        .with_columns(method=pl.lit(one.method.name))
        .select(pl.col(c).cast(kind) for c, kind in FORECASTS.items())
        .with_columns(pl.col("low", "high").fill_nan(None))
    )
