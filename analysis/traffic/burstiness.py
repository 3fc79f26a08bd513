"""How bursty arrivals are, whatever their law: variation of gaps and of counts from a second to an hour.

Each figure comes with that of a Poisson process of the same rate, and with what the windows fitted in
`arrivals` regenerate. One shape a window reproduces neither correlation between gaps nor a trend within
the window, so if the trace is above what its fit regenerates, the difference is what the fit leaves out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import polars as pl
from scipy import special

from ..core.arrays import Array, Integers
from ..core.result import LEVEL, Z, estimates, number
from ..core.units import MINUTE_S, per_span, time_span
from ..stats.quantiles import chi_square, poisson
from ..stats.renewal import count_variance
from ..trace.bin_counts import BlockCounts, BlockGaps, Blocks
from ..trace.trace import Selection, Trace
from ..trace.trace_part import PartInputs, TracePart
from .arrivals import Arrivals, describe_arrivals

WIDTHS_S = (1, 10, 60, 600, 3600)
"""Widths of the bins that requests are counted in, seconds."""
BLOCKS_S = (86_400, 21_600, 3600, 600, 300, 60, 10)
"""Lengths of resampled blocks; the longest that fits `MIN_BLOCKS` times into the record is used."""
MIN_BLOCKS = 7
MIN_BINS = 10
"""Fewer bins do not determine a dispersion."""
MIN_REQUESTS = 30
"""Fewer requests do not determine a dispersion either."""
REPLICATES = 400
MAX_PEAK_WINDOWS = 300
"""Windows that the highest count is looked for in: those that reach highest."""

_REGENERATING = ["selection", "start_s", "covered_s", "n", "shape", "rate_rps"]
"""Of each window, what is regenerated from."""
_TAILS = (0.5 - LEVEL / 2, 0.5 + LEVEL / 2)
_Row = dict[str, Any]

_NAMES: dict[str, Any] = {"selection": pl.String, "service": pl.String, "model": pl.String}


GAPS_SCHEMA: dict[str, Any] = {
    **_NAMES,
    "n": pl.Int64,
    "mean_gap_s": pl.Float64,
    **estimates("cv", "cv_poisson"),
}
DISPERSION_SCHEMA: dict[str, Any] = {
    **_NAMES,
    "width_s": pl.Float64,
    "bins": pl.Int64,
    "mean_count": pl.Float64,
    **estimates("idc", "idc_poisson"),
    "idc_regenerated": pl.Float64,
    "peak": pl.Int64,
    **estimates("peak_to_mean", "peak_to_mean_poisson", "peak_to_mean_regenerated", "rate_cv2"),
}


@dataclass(frozen=True)
class Burstiness(TracePart):
    """Variation of gaps and counts; frames as the schemas of this module name their columns."""

    name: ClassVar[str] = "burstiness"
    lead: ClassVar[str] = "How uneven the load is, from a second to an hour."
    needs: ClassVar[tuple[type[TracePart], ...]] = (Arrivals,)

    gaps: pl.DataFrame
    """Coefficient of variation of the gaps, of the trace and of Poisson arrivals with its stamps."""
    dispersion: pl.DataFrame
    """Index of dispersion (variance over mean) and peak over mean of counts, by width of the bins.

    `rate_cv2` is (index − 1) / mean count: the squared variation of the rate behind the counts, which does
    not depend on how many requests there are; at r requests/s the index would be 1 + rate_cv2·r·width.
    `_regenerated` is what the fitted windows give; their rates carry sampling error of their own, so
    even Poisson arrivals regenerate an index of up to 2 at widths above the window. `_low` and `_high`
    of a Poisson or regenerated value hold 95 % of draws.
    """

    @classmethod
    def describe(cls, inputs: PartInputs) -> Burstiness:
        """See `describe_burstiness`."""
        return describe_burstiness(inputs.trace, inputs.seed, inputs.part(Arrivals))

    def tables(self) -> dict[str, pl.DataFrame]:
        """The two frames."""
        return {"dispersion": self.dispersion, "gaps": self.gaps}

    def sentences(self) -> list[str]:
        """What was found: the verdict against Poisson at a minute or so, the gaps, the growth with width."""
        return [
            *(
                _dispersion_sentence(frame.to_dicts())
                for frame in self.dispersion.drop_nulls("idc").partition_by("selection", maintain_order=True)
            ),
            *(_gaps_sentence(row) for row in self.gaps.drop_nulls("cv").iter_rows(named=True)),
        ]


def describe_burstiness(trace: Trace, seed: int = 0, arrivals: Arrivals | None = None) -> Burstiness:
    """Measure variation of gaps and counts of every selection.

    Parameters
    ----------
    trace : Trace
    seed : int
        Of the resampling of blocks of time.
    arrivals : Arrivals, optional
        Result of `describe_arrivals` on the same trace; computed here if absent.
    """
    segments = trace.engine.table("segments").sort("start_tick")
    tick_s = trace.info.resolution_s
    if not len(segments):
        return Burstiness(
            ("The trace has no requests.",), _frame([], GAPS_SCHEMA), _frame([], DISPERSION_SCHEMA)
        )
    clock = _Clock(
        start=segments["start_tick"].to_numpy().astype(float) * tick_s,
        end=(segments["end_tick"].to_numpy().astype(float) + 1) * tick_s,
    )
    finest = MINUTE_S if trace.info.spread else tick_s
    widths = [
        w for w in WIDTHS_S if w >= finest * 0.999 and w <= clock.block_s and clock.bins(w).sum() >= MIN_BINS
    ]
    fitted = arrivals or describe_arrivals(trace, seed=seed)
    blocks = clock.in_ticks(tick_s)
    rows: list[_Row] = []
    gaps: list[_Row] = []
    for selection, counts, between in trace.block_counts(blocks, [w / tick_s for w in widths]):
        weights = clock.weights(np.random.default_rng([seed, selection.selection_id]))
        chosen = (pl.col("selection") == selection.label) & (pl.col("covered_s") > 0)
        own = replace(fitted, windows=fitted.windows.filter(chosen).select(_REGENERATING))
        for width, counted in zip(widths, counts, strict=True):
            row = _dispersion_row(counted, clock.bins(width), width, weights)
            rows.append(_names(selection) | row | _regenerated(own, selection, width))
        if not trace.info.spread:
            gaps.append(_names(selection) | _gap_row(between, tick_s, weights))
    missing = []
    few = [s.label for s in trace.selections if s.n < MIN_REQUESTS]
    if few:
        missing.append(
            f"Cannot tell how much the load of {', '.join(few)} varies: fewer than {MIN_REQUESTS} requests."
        )
    omitted = [time_span(w) for w in WIDTHS_S if w not in widths]
    if omitted:
        missing.append(
            f"No counts in bins of {', '.join(omitted)}: the log's clock is too coarse for them, or the "
            "record has "
            f"fewer than {MIN_BINS}."
        )
    if trace.info.spread:
        missing.append("The log counts requests per minute, so the variation of gaps is unknown.")
    return Burstiness(tuple(missing), _frame(gaps, GAPS_SCHEMA), _frame(rows, DISPERSION_SCHEMA))


@dataclass(frozen=True)
class _Clock:
    """The segments of the record in seconds, and the blocks of time that are resampled."""

    start: Array
    end: Array

    @property
    def block_s(self) -> int:
        covered = float((self.end - self.start).sum())
        return next((b for b in BLOCKS_S if covered >= MIN_BLOCKS * b), BLOCKS_S[-1])

    @cached_property
    def blocks(self) -> Integers:
        """Numbers of the blocks that the segments reach into, counted from the first arrival."""
        first = np.floor((self.start - self.start[0]) / self.block_s - 1e-9).clip(0).astype(np.int64)
        stop = np.ceil((self.end - self.start[0]) / self.block_s - 1e-9).astype(np.int64)
        return np.unique(np.concatenate([np.arange(a, b) for a, b in zip(first, stop, strict=True)]))

    def bins(self, width_s: float) -> Array:
        """How many whole bins each block holds, shape (blocks,); bins count from the first arrival."""
        per_block = self.block_s / width_s
        lower = self.blocks[:, None] * per_block
        first = np.ceil((self.start - self.start[0]) / width_s - 1e-6)
        stop = np.floor((self.end - self.start[0]) / width_s + 1e-6)
        out: Array = np.maximum(np.minimum(lower + per_block, stop) - np.maximum(lower, first), 0).sum(axis=1)
        return out

    def in_ticks(self, tick_s: float) -> Blocks:
        """The same blocks and segments in ticks of the stamps' clock."""
        start, end = (np.rint(at / tick_s).astype(np.int64) for at in (self.start, self.end))
        return Blocks(int(start[0]), self.block_s / tick_s, self.blocks, start, end - 1)

    def weights(self, rng: np.random.Generator) -> Array:
        """How often each block is drawn, the record itself first, shape (1 + REPLICATES, blocks)."""
        occupied = np.flatnonzero(self.bins(1) > 0)
        out = np.zeros((1 + REPLICATES, len(self.blocks)))
        out[0, occupied] = 1
        if len(occupied):
            out[1:, occupied] = rng.multinomial(
                len(occupied), np.full(len(occupied), 1 / len(occupied)), size=REPLICATES
            )
        return out


def _dispersion_row(counted: BlockCounts, bins: Array, width: float, weights: Array) -> _Row:
    """Index of dispersion and peak over mean at one width, resampling blocks, and those of Poisson."""
    n, squares, peak = counted.n, counted.n_square_sum, counted.peak
    total, all_bins = n.sum(), bins.sum()
    mean = total / all_bins
    row: _Row = {"width_s": width, "bins": int(all_bins), "mean_count": mean, "peak": int(peak.max())}
    if total < MIN_REQUESTS:
        return row
    drawn_bins = weights @ bins
    means = weights @ n / drawn_bins
    known = means > 0
    means, drawn_bins, weights = means[known], drawn_bins[known], weights[known]
    variance = (weights @ squares / drawn_bins - means**2) * drawn_bins / (drawn_bins - 1)
    peaks = (peak * (weights > 0)).max(axis=1)
    # Poisson counts scatter around an index of one as χ² over its degrees of freedom (Fisher).
    index_band = chi_square(_TAILS, all_bins - 1) / (all_bins - 1)
    # All bins stay at or below c with probability F(c)^bins.
    poisson_peak = poisson(np.array([0.5, *_TAILS]) ** (1 / all_bins), mean) / mean
    return row | {
        **_resampled("idc", variance / means),
        **_resampled("rate_cv2", (variance / means - 1) / means),
        **_resampled("peak_to_mean", peaks / means),
        "idc_poisson": 1.0, "idc_poisson_low": index_band[0], "idc_poisson_high": index_band[1],
        "peak_to_mean_poisson": poisson_peak[0], "peak_to_mean_poisson_low": poisson_peak[1],
        "peak_to_mean_poisson_high": poisson_peak[2],
    }  # fmt: skip


def _regenerated(fitted: Arrivals, selection: Selection, width: float) -> _Row:
    """Index of dispersion and peak over mean that draws from the fitted windows are expected to have.

    Counts of a bin scatter within their window as those of a renewal process (see `renewal`) and between
    windows with their rates. The highest of all bins follows from negative binomial counts of that mean
    and variance. A bin longer than a window takes the mean 1/shape of its windows, by requests.
    """
    windows = fitted.windows
    if not windows["n"].sum():
        return {}
    _, shape, rate = fitted.schedule(selection.label)
    covered = windows["covered_s"].to_numpy()
    if width <= fitted.window_s:
        expected, bins = rate * width, covered / width
    else:
        _, place = np.unique(windows["start_s"].to_numpy() // width, return_inverse=True)
        complete = np.bincount(place, covered) >= width * 0.999
        expected = np.bincount(place, rate * covered)[complete].astype(float)
        share = np.bincount(place, rate * covered / shape)[complete]
        shape = np.divide(expected, share, out=np.ones(len(expected)), where=share > 0)
        bins = np.ones(len(expected))
    if not expected.any():
        return {}
    variance = np.where(expected > 0, count_variance(np.maximum(expected, 1e-9), shape), 0)
    mean = np.average(expected, weights=bins)
    index = (np.average(variance, weights=bins) + np.average((expected - mean) ** 2, weights=bins)) / mean
    peaks = [_highest(expected, variance, bins, q) / mean for q in (0.5, *_TAILS)]
    return {
        "idc_regenerated": index, "peak_to_mean_regenerated": peaks[0],
        "peak_to_mean_regenerated_low": peaks[1], "peak_to_mean_regenerated_high": peaks[2],
    }  # fmt: skip


def _highest(expected: Array, variance: Array, bins: Array, probability: float) -> float:
    """Quantile of the largest count over all bins: the c below which every bin stays with `probability`."""
    reach = expected + 6 * np.sqrt(variance)
    busiest = (
        np.argpartition(reach, -MAX_PEAK_WINDOWS)[-MAX_PEAK_WINDOWS:]
        if len(reach) > MAX_PEAK_WINDOWS
        else np.arange(len(reach))
    )
    busiest = busiest[expected[busiest] > 0]
    x, v, b = expected[busiest], np.maximum(variance[busiest], expected[busiest] * (1 + 1e-6)), bins[busiest]
    size = x**2 / (v - x)
    low, high = -1.0, float(np.ceil(2 * reach.max() + 20))

    def stays(c: float) -> bool:
        above = special.betainc(c + 1, size, 1 - x / v)  # P(a bin's count exceeds c)
        return bool(b @ np.log1p(-np.minimum(above, 1 - 1e-15)) >= np.log(probability))

    while not stays(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = np.floor((low + high) / 2)
        low, high = (low, middle) if stays(middle) else (middle, high)
    return high


def _gap_row(between: BlockGaps, tick_s: float, weights: Array) -> _Row:
    """CV of a selection's gaps, resampling blocks, and that of exponential gaps between the same stamps."""
    row: _Row = {"n": int(between.n.sum())}
    count, total, square = (weights @ each for each in (between.n, between.gap_sum, between.gap_square_sum))
    known = (count >= 2) & (total > 0)
    if not known[0] or count[0] < MIN_REQUESTS:
        return row
    count, mean = count[known], total[known] / count[known]
    variance = np.maximum(square[known] - count * mean**2, 0) / (count - 1)
    poisson, half = _poisson_cv(mean[0]), Z / np.sqrt(count[0])
    return row | {
        "mean_gap_s": mean[0] * tick_s,
        **_resampled("cv", np.sqrt(variance) / mean),
        "cv_poisson": poisson, "cv_poisson_low": poisson - half, "cv_poisson_high": poisson + half,
    }  # fmt: skip


def _poisson_cv(mean_ticks: float) -> float:
    """CV of exponential gaps between floored stamps: E[D²] = m (1 + q) / (1 − q), q = e^(−1/m)."""
    gone = -np.expm1(-1 / mean_ticks)
    return float(np.sqrt(max((2 - gone) / (mean_ticks * gone) - 1, 0.0)))


def _resampled(name: str, values: Array) -> _Row:
    """The first value, of the record itself, with the quantiles of the others, of its resamples."""
    low, high = np.quantile(values[1:], _TAILS)
    return {name: float(values[0]), f"{name}_low": float(low), f"{name}_high": float(high)}


def _names(selection: Selection) -> _Row:
    return {"selection": selection.label, "service": selection.service, "model": selection.model}


def _frame(rows: list[_Row], schema: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=schema) if rows else pl.DataFrame(schema=schema)


def _dispersion_sentence(rows: list[_Row]) -> str:
    """Verdict at the middle width, and how the index grows to the widest."""
    row, widest = rows[len(rows) // 2], rows[-1]
    width = per_span(row["width_s"])
    if row["idc_low"] > row["idc_poisson_high"]:
        verdict = f"load {width} is burstier than Poisson"
    elif row["idc_high"] < row["idc_poisson_low"]:
        verdict = f"load {width} is more even than Poisson"
    else:
        verdict = f"cannot tell load {width} from Poisson"
    again = row["idc_regenerated"]
    fitted = "" if again is None else f" The fitted windows reproduce {number(again)}."
    peak = f"the busiest bin has {number(widest['peak_to_mean'])} times the mean."
    if row is widest:
        growth = peak.capitalize()
    else:
        growth = (
            f"{per_span(widest['width_s']).capitalize()} it varies {number(widest['idc'])} "
            f"[{number(widest['idc_low'])}, {number(widest['idc_high'])}] times as much, and {peak}"
        )
    return (
        f"{row['selection']}: {verdict}. It varies {number(row['idc'])} [{number(row['idc_low'])}, "
        f"{number(row['idc_high'])}] times as much as Poisson traffic of the same rate would.{fitted} "
        f"{growth}"
    )


def _gaps_sentence(row: _Row) -> str:
    return (
        f"{row['selection']}: gaps between requests have a CV of {row['cv']:.2f} [{row['cv_low']:.2f}, "
        f"{row['cv_high']:.2f}]; Poisson arrivals at this rate would have {row['cv_poisson']:.2f}."
    )
