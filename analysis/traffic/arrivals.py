"""When requests arrive: a Gamma per window and selection, and how much of its variation is more than chance.

Each window gets the Gamma of the gaps that begin in it, with interval, goodness of fit and flags; each
selection the spread of its windows' shapes and rates beyond sampling error, and one Gamma overall. Not
here: the law and its fit (`stats.gamma`), redraws (`stats.gamma_bootstrap`), dispersion across windows
(`burstiness`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import polars as pl

from ..core.arrays import Array, Integers, Mask
from ..core.result import LEVEL, Z
from ..core.units import DAY_S, time_span
from ..core.wall_clock import WallClock
from ..stats.gamma import Likelihood
from ..stats.gamma_bootstrap import excess_spread, goodness_of_windows
from ..stats.gap_sums import GapSums
from ..stats.proportions import wilson
from ..stats.quantiles import binomial, spearman
from ..trace.trace import Selection, Trace
from ..trace.trace_part import PartInputs, TracePart
from ..trace.window_gaps import Windows, cv_of, windows_of
from .window_fits import MIN_FIT_GAPS, MIN_UNSHRUNK_GAPS, MIN_WINDOWS_FOR_PRIOR, WindowFits, fit_windows

_TAILS = (0.5 - LEVEL / 2, 0.5 + LEVEL / 2)

MIN_DAYS = 7
"""Traces of fewer days resample windows, not days, for their overall intervals."""
CV_FACTOR_LIMIT = 2.0
"""A window is `not_gamma` if its own CV and that of its fit differ by more than this factor."""
BATCHED_TICKS = 10.0
"""Half of the gaps zero though the mean gap is over this many ticks: stamped in batches, `not_gamma` too."""

WINDOWS_SCHEMA: dict[str, Any] = {
    "selection": pl.String, "service": pl.String, "model": pl.String, "start_s": pl.Float64,
    "covered_s": pl.Float64, "n": pl.Int64, "gaps": pl.Int64, "rate_rps": pl.Float64,
    "mean_gap_s": pl.Float64, "shape": pl.Float64, "shape_low": pl.Float64, "shape_high": pl.Float64,
    "shape_raw": pl.Float64, "rate": pl.Float64, "scale": pl.Float64, "cv": pl.Float64,
    "cv_fit": pl.Float64, "cv_seen": pl.Float64, "zero_share": pl.Float64, "ks_distance": pl.Float64,
    "p_value": pl.Float64,
    "law": pl.String, "shrunk": pl.Boolean, "resolution_limited": pl.Boolean, "not_gamma": pl.Boolean,
    "unfitted": pl.Boolean, "working_hours": pl.Boolean,
}  # fmt: skip
SPREAD_SCHEMA: dict[str, Any] = {
    "selection": pl.String, "service": pl.String, "model": pl.String, "scope": pl.String,
    "quantity": pl.String, "windows": pl.Int64, "median": pl.Float64, "q25": pl.Float64,
    "q75": pl.Float64, "log_sd": pl.Float64, "sampling_log_sd": pl.Float64,
    "excess_log_sd": pl.Float64, "excess_log_sd_low": pl.Float64, "excess_log_sd_high": pl.Float64,
}  # fmt: skip
FIT_SCHEMA: dict[str, Any] = {
    "selection": pl.String, "service": pl.String, "model": pl.String, "scope": pl.String,
    "windows": pl.Int64, "tested": pl.Int64, "rejected_share": pl.Float64,
    "rejected_share_low": pl.Float64, "rejected_share_high": pl.Float64, "cv_ratio": pl.Float64,
    "cv_ratio_low": pl.Float64, "cv_ratio_high": pl.Float64, "cv_spearman": pl.Float64,
}  # fmt: skip
OVERALL_SCHEMA: dict[str, Any] = {
    "selection": pl.String, "service": pl.String, "model": pl.String, "n": pl.Int64,
    "rate_rps": pl.Float64, "rate_rps_low": pl.Float64, "rate_rps_high": pl.Float64,
    "mean_gap_s": pl.Float64, "shape": pl.Float64, "shape_low": pl.Float64, "shape_high": pl.Float64,
    "rate": pl.Float64, "scale": pl.Float64, "cv": pl.Float64, "cv_low": pl.Float64,
    "cv_high": pl.Float64, "cv_fit": pl.Float64, "ks_distance": pl.Float64, "p_value": pl.Float64,
    "law": pl.String, "interval_by": pl.String,
}  # fmt: skip


@dataclass(frozen=True)
class Arrivals(TracePart):
    """The Gamma of each window and selection; frames as the schemas of this module name their columns."""

    name: ClassVar[str] = "arrivals"
    lead: ClassVar[str] = "A Gamma law of the gaps between requests, window by window."

    window_s: float
    windows: pl.DataFrame
    """One row a window and selection, empty windows too; `rate` is β = shape / mean gap, `scale` 1/β."""
    spread: pl.DataFrame
    """Per selection, scope and quantity (`shape`, `rate`, `rate_rps`): variation on the log scale."""
    fit: pl.DataFrame
    """Per selection and scope: share of windows with a Gamma that is rejected at 5 %, and CV against 1/√α."""
    overall: pl.DataFrame
    """One Gamma for all gaps of a selection."""
    clock: WallClock = field(default=WallClock(), kw_only=True)
    """Of the hours of the day."""

    @classmethod
    def describe(cls, inputs: PartInputs) -> Arrivals:
        """See `describe_arrivals`."""
        return describe_arrivals(inputs.trace, window_s=inputs.window_s, seed=inputs.seed)

    def tables(self) -> dict[str, pl.DataFrame]:
        """The four frames."""
        return {
            "overall": self.overall, "spread": self.spread, "fit": self.fit, "windows": self.windows,
        }  # fmt: skip

    def schedule(self, selection: str) -> tuple[Array, Array, Array]:
        """`start_s`, `shape`, `rate_rps` of a selection's windows for `renewal.sample_arrivals`.

        Windows too small for a fit take the selection's median shape, or its overall one.
        """
        chosen = self.windows.filter(pl.col("selection") == selection)
        fallback = chosen["shape"].median()
        if fallback is None:
            fallback = self.overall.filter(pl.col("selection") == selection)["shape"].item()
        shape = chosen["shape"].fill_null(1.0 if fallback is None else fallback)
        return chosen["start_s"].to_numpy(), shape.to_numpy(), chosen["rate_rps"].to_numpy()

    def sentences(self) -> list[str]:
        """What was found: shapes and their spread, how well a Gamma fits, then each selection as a whole."""
        shapes = self.spread.filter(pl.col("quantity") == "shape")
        return [
            *(shape_sentence(row, self.window_s) for row in shapes.iter_rows(named=True)),
            *(_fit_sentence(row) for row in self.fit.filter(pl.col("tested") >= 3).iter_rows(named=True)),
            *(_overall_sentence(row) for row in self.overall.drop_nulls("shape").iter_rows(named=True)),
        ]


def describe_arrivals(trace: Trace, window_s: float = 1200.0, seed: int = 0) -> Arrivals:
    """Fit a Gamma to the gaps of every window and of every selection.

    Parameters
    ----------
    trace : Trace
    window_s : float
        Length of a window, in seconds.
    seed : int
        Of every bootstrap and subsample.
    """
    if trace.info.spread:
        missing = "The log counts requests per minute, so gaps between requests and their law are unknown."
        empty = (pl.DataFrame(schema=s) for s in _SCHEMAS)
        return Arrivals((missing,), window_s, *empty, marks=trace.info.marks)
    windows = windows_of(trace, window_s)
    rows: tuple[list[pl.DataFrame], list[_Row], list[_Row], list[_Row]] = ([], [], [], [])
    for selection, gaps in trace.window_gaps(windows):
        rng = np.random.default_rng([seed, selection.selection_id])
        fitted = fit_windows(gaps, trace.info.resolution_s, rng)
        rows[0].append(_windows_frame(selection, windows, fitted))
        for scope, chosen in _scopes(windows):
            rows[1].extend(_spread_rows(selection, scope, fitted, chosen & fitted.sound))
            rows[2].append(_fit_row(selection, scope, fitted, chosen & fitted.sound))
        rows[3].append(_overall_row(selection, windows, fitted, rng))
    frame = pl.concat(rows[0])
    # Half of a selection's requests in windows that are batched.
    crowded = (pl.col("zero_share") > 0.5) & (pl.col("mean_gap_s") > BATCHED_TICKS * trace.info.resolution_s)
    shares = frame.group_by("selection", maintain_order=True).agg(
        share=pl.col("n").filter(crowded & ~pl.col("shrunk")).sum() / pl.col("n").sum()
    )
    batched = shares.filter(pl.col("share") > 0.5)["selection"].to_list()
    return Arrivals(
        _missing(trace, windows, rows[1], batched),
        window_s,
        frame,
        *(pl.DataFrame(r, schema=s) for r, s in zip(rows[1:], _SCHEMAS[1:], strict=True)),
        marks=trace.info.marks,
        clock=trace.info.clock,
    )


_Row = dict[str, Any]
_SCHEMAS = (WINDOWS_SCHEMA, SPREAD_SCHEMA, FIT_SCHEMA, OVERALL_SCHEMA)


def _names(selection: Selection) -> _Row:
    return {"selection": selection.label, "service": selection.service, "model": selection.model}


def _scopes(windows: Windows) -> Iterator[tuple[str, Mask]]:
    """All hours, and weekday working hours if weekdays are known and there are any."""
    yield "all hours", np.ones(len(windows), dtype=bool)
    if windows.working is not None and windows.working.any():
        yield "weekday working hours", windows.working


def _windows_frame(selection: Selection, windows: Windows, fitted: WindowFits) -> pl.DataFrame:
    """One row a window; NaN becomes null."""
    sums = fitted.gaps.own.sums
    mean_gap_s = sums.mean * fitted.tick_s
    shape, half = fitted.shrunk.shape, np.minimum(Z * fitted.shrunk.error, 10)
    cv = fitted.gaps.own.cv
    far_from_fit = np.abs(np.log(np.maximum(cv, 1e-300) / fitted.cv_seen)) > np.log(CV_FACTOR_LIMIT)
    zero_share = sums.counts[:, 0] / np.where(sums.n > 0, sums.n, np.nan)
    batched = (zero_share > 0.5) & (sums.mean > BATCHED_TICKS)
    columns = {
        "start_s": windows.start_s,
        "covered_s": windows.covered_s,
        "n": fitted.gaps.requests.astype(np.int64),
        "gaps": sums.n.astype(np.int64),
        "rate_rps": fitted.gaps.requests / windows.covered_s,
        "mean_gap_s": mean_gap_s,
        "shape": shape,
        "shape_low": shape * np.exp(-half),
        "shape_high": shape * np.exp(half),
        "shape_raw": fitted.raw.shape,
        "rate": shape / mean_gap_s,
        "scale": mean_gap_s / shape,
        "cv": cv,
        "cv_fit": 1 / np.sqrt(shape),
        "cv_seen": fitted.cv_seen,
        "zero_share": zero_share,
        "ks_distance": fitted.ks_distance,
        "p_value": fitted.p_value,
        "shrunk": sums.n < MIN_UNSHRUNK_GAPS,
        "resolution_limited": fitted.resolution_limited,
        "not_gamma": fitted.sound & (far_from_fit | batched),
        "unfitted": np.isnan(shape),
        "working_hours": np.zeros(len(windows), dtype=bool) if windows.working is None else windows.working,
    }
    frame = pl.DataFrame(columns).fill_nan(None).with_columns(law=pl.lit(fitted.law))
    if windows.working is None:
        frame = frame.with_columns(working_hours=pl.lit(None, dtype=pl.Boolean))
    named = frame.with_columns(pl.lit(v, dtype=pl.String).alias(k) for k, v in _names(selection).items())
    return named.select(pl.col(name).cast(kind) for name, kind in WINDOWS_SCHEMA.items())


def _spread_rows(selection: Selection, scope: str, fitted: WindowFits, chosen: Mask) -> Iterator[_Row]:
    """Variation of shape, β and request rate between the chosen windows, and how much of it is chance."""
    if np.isfinite(fitted.log_shape_error[0, chosen]).sum() < MIN_WINDOWS_FOR_PRIOR:
        return
    log_shape = fitted.raw.log_shape[chosen]
    log_rps = -np.log(fitted.gaps.own.sums.mean[chosen] * fitted.tick_s)
    shape_error, mean_error = fitted.log_shape_error[:, chosen], fitted.log_mean_error[:, chosen]
    for quantity, values, errors in (
        ("shape", log_shape, shape_error),
        ("rate", log_shape + log_rps, shape_error - mean_error),
        ("rate_rps", log_rps, -mean_error),
    ):
        found = excess_spread(values, errors)
        q25, median, q75 = np.exp(np.quantile(values, [0.25, 0.5, 0.75]))
        yield {
            **_names(selection), "scope": scope, "quantity": quantity, "windows": len(values),
            "median": median, "q25": q25, "q75": q75,
            "log_sd": found.observed_sd, "sampling_log_sd": found.sampling_sd,
            "excess_log_sd": found.excess_sd.value, "excess_log_sd_low": found.excess_sd.low,
            "excess_log_sd_high": found.excess_sd.high,
        }  # fmt: skip


def _fit_row(selection: Selection, scope: str, fitted: WindowFits, chosen: Mask) -> _Row:
    """Share of windows rejected at 5 %, and the windows' own CV against that of their shape."""
    p_value = fitted.p_value[chosen]
    p_value = p_value[np.isfinite(p_value)]
    row: _Row = {
        **_names(selection), "scope": scope, "windows": int(chosen.sum()), "tested": len(p_value),
    }  # fmt: skip
    if len(p_value):
        rejected = int((p_value <= 1 - LEVEL).sum())
        share = wilson(rejected, len(p_value))
        row |= {
            "rejected_share": share.value, "rejected_share_low": share.low, "rejected_share_high": share.high,
        }  # fmt: skip
    ratio = (fitted.gaps.own.cv / fitted.cv_seen)[chosen]
    if len(ratio) >= MIN_WINDOWS_FOR_PRIOR:
        # The order statistics between which the median lies, whatever the ratios' law.
        below = binomial(_TAILS[0], len(ratio), 0.5)
        low, high = np.sort(ratio)[[below - 1, len(ratio) - below]]
        row |= {
            "cv_ratio": float(np.median(ratio)), "cv_ratio_low": low, "cv_ratio_high": high,
            "cv_spearman": spearman(fitted.gaps.own.cv[chosen], fitted.cv_seen[chosen]),
        }  # fmt: skip
    return row


def _overall_row(
    selection: Selection, windows: Windows, fitted: WindowFits, rng: np.random.Generator
) -> _Row:
    """One Gamma for all gaps; intervals by resampling days or windows, else as of one renewal process."""
    requests, gaps = fitted.gaps.requests, fitted.gaps.full
    n, covered_s = float(requests.sum()), float(windows.covered_s.sum())
    row: _Row = {**_names(selection), "n": int(n), "rate_rps": n / covered_s, "law": fitted.law}
    pooled = gaps.sums.pooled()
    if pooled.n[0] < MIN_FIT_GAPS or not pooled.mean[0] > 0:
        return row
    fit = Likelihood(pooled, fitted.discrete).maximum()
    shape, mean_gap_s = float(fit.shape[0]), float(pooled.mean[0]) * fitted.tick_s
    cv = float(cv_of(pooled, gaps.square_sum.sum(keepdims=True))[0])
    good = goodness_of_windows(gaps.cells.sum(axis=0, keepdims=True), rng)
    block, interval_by = _blocks(windows)
    if block is None:
        rate = n / covered_s * np.exp(np.array([-1, 1]) * Z * cv / np.sqrt(n))
        shapes = shape * np.exp(np.array([-1, 1]) * min(Z * float(fit.error[0]), 10))
        cvs: Array = np.full(2, np.nan)
    else:
        # Sums per block first: then resampling costs by the blocks, not by the windows.
        blocks = int(block.max()) + 1
        per_block = _sum_windows(gaps.sums, block)
        columns = np.stack([requests, windows.covered_s, gaps.square_sum])
        n_block, covered_block, square_block = (np.bincount(block, each, blocks) for each in columns)
        weights = rng.multinomial(blocks, np.full(blocks, 1 / blocks), size=200).astype(float)
        resampled = per_block.pooled(weights)
        full = (resampled.n >= MIN_FIT_GAPS) & (resampled.mean > 0)
        weights, resampled = weights[full], resampled[full]
        rate = np.quantile(weights @ n_block / (weights @ covered_block), _TAILS)
        shapes = np.quantile(Likelihood(resampled, fitted.discrete).maximum().shape, _TAILS)
        cvs = np.quantile(cv_of(resampled, weights @ square_block), _TAILS)
    return row | {
        "rate_rps_low": rate[0], "rate_rps_high": rate[1], "mean_gap_s": mean_gap_s,
        "shape": shape, "shape_low": shapes[0], "shape_high": shapes[1], "rate": shape / mean_gap_s,
        "scale": mean_gap_s / shape, "cv": cv, "cv_low": cvs[0], "cv_high": cvs[1],
        "cv_fit": shape**-0.5, "ks_distance": float(good.ks_distance[0]), "p_value": float(good.p_value[0]),
        "interval_by": interval_by,
    }  # fmt: skip


def _sum_windows(sums: GapSums, block: Integers) -> GapSums:
    """The sums of the windows of each block together."""
    blocks = int(block.max()) + 1

    def summed(values: Array) -> Array:
        return np.bincount(block, values, blocks).astype(float)

    counts = np.stack([summed(column) for column in sums.counts.T], axis=1)
    return GapSums(counts, summed(sums.tail_n), summed(sums.tail_sum), summed(sums.tail_log_sum))


def _blocks(windows: Windows) -> tuple[Integers | None, str]:
    """Which block each window is resampled with: its day, else itself; none in a trace of few windows."""
    day = np.floor(windows.clock_s / DAY_S)
    for block, name, fewest in (
        (day, "resampled days", MIN_DAYS),
        (windows.number, "resampled windows", MIN_WINDOWS_FOR_PRIOR),
    ):
        kinds, place = np.unique(block, return_inverse=True)
        if len(kinds) >= fewest:
            return place.astype(np.int64), name
    return None, "renewal process"


def _missing(trace: Trace, windows: Windows, spreads: list[_Row], batched: list[str]) -> tuple[str, ...]:
    out = []
    if batched:
        out.append(
            f"No Gamma law describes the gaps of {', '.join(batched)}: most requests share their time stamp "
            "with another, far more than the clock explains. They were logged or sent in batches."
        )
    if windows.working is None:
        out.append(
            "The date of the trace's first day is unknown, so working hours are not compared with others."
        )
    with_spread = {row["selection"] for row in spreads}
    small = [s.label for s in trace.selections if s.label not in with_spread]
    if small:
        out.append(
            f"Too short to say whether burstiness changes over time for {', '.join(small)}: that needs "
            f"{MIN_WINDOWS_FOR_PRIOR} windows of {time_span(windows.window_s)} with {MIN_UNSHRUNK_GAPS} "
            "requests each, no more than two per tick of the log's clock."
        )
    return tuple(out)


def shape_sentence(row: _Row, window_s: float) -> str:
    """Say how far the shape varies between windows beyond chance, and the median shape.

    Parameters
    ----------
    row : mapping
        A row of `Arrivals.spread` for shapes.
    window_s : float
        Length of the windows in seconds.

    Returns
    -------
    str
    """
    if row["excess_log_sd_low"] > 0:
        factors = np.exp([row["excess_log_sd"], row["excess_log_sd_low"], row["excess_log_sd_high"]])
        change = "burstiness changes over time: the shape varies beyond chance by a factor of "
        change += "{:.2f} [{:.2f}, {:.2f}]".format(*factors)
    else:
        change = "burstiness does not change over time by more than sampling error explains"
    return (
        f"{row['selection']}, {row['scope']}: {change} ({row['windows']:,} windows of {time_span(window_s)}, "
        f"fitted one by one: median shape {row['median']:.2f}, middle half {row['q25']:.2f} to "
        f"{row['q75']:.2f})."
    )


def _fit_sentence(row: _Row) -> str:
    return (
        f"{row['selection']}, {row['scope']}: a test at 5 % rejects the Gamma law in "
        f"{row['rejected_share']:.0%} "
        f"[{row['rejected_share_low']:.0%}, {row['rejected_share_high']:.0%}] of {row['tested']} windows; "
        "by chance it would reject 5 %."
    )


def _overall_sentence(row: _Row) -> str:
    return (
        f"{row['selection']}: {row['rate_rps']:.3g} requests/s [{row['rate_rps_low']:.3g}, "
        f"{row['rate_rps_high']:.3g}]. One Gamma law for all {row['n']:,} requests has shape "
        f"{row['shape']:.2f} "
        f"[{row['shape_low']:.2f}, {row['shape_high']:.2f}]: a CV of {row['cv_fit']:.2f}, against "
        f"{row['cv']:.2f} of the gaps themselves."
    )
