"""Response lengths by request length: bands, shape of each bin, slope, and how both go together.

Works on small tables that the engine made (see `queries/sql/lengths/joint_lengths.sql` and
`length_blocks.sql`), already summed over a selection. Not here: the laws of either side on its own
(`families`), the copula's arithmetic (`joint`), and the sentences (`lengths.part`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import special

from ..core.arrays import Array, Integers
from ..core.result import LEVEL, Interval
from ..stats.quantiles import student
from .joint import (
    best_grid,
    expected_variation,
    gaussian_cells,
    gaussian_correlation,
    grid_cells,
    information,
    spearman,
    spearman_interval,
    total_variation,
)

CELLS_PER_E = 4
"""Request bins: cell c has the token counts x with FLOOR(4 · ln x) = c, a ratio of 1.28 wide."""
FINE_CELLS_PER_E = 32
"""Cells of the rank correlation: single token counts up to 32, then 3 % wide."""
FINE_CELLS_IN_BIN = FINE_CELLS_PER_E // CELLS_PER_E
"""Fine cells in a request bin."""
BLOCK_CELLS_PER_E = 2
"""Cells in which the blocks of time are compared."""
RIDGE_CELLS = 2
"""Number of request bins that a ridge joins."""
RIDGE_BINS = 40
MIN_IN_BIN = 20
"""A request bin with fewer responses is not described."""
MIN_IN_RIDGE = 100
MIN_BLOCKS = 5
"""With requests in fewer blocks of time a slope gets no interval."""
PROBABILITIES = {"p5": 0.05, "p25": 0.25, "median": 0.5, "p75": 0.75, "p95": 0.95}


def first_tokens(cell: Integers | Array, cells_per_e: float) -> Integers:
    """Find the smallest token count in each cell of equal width in log tokens.

    Parameters
    ----------
    cell : array of any shape
        Indices of cells.
    cells_per_e : float
        Cells to a factor of e.

    Returns
    -------
    array of int, the shape of `cell`
    """
    cells: Integers = np.ceil(np.exp(np.asarray(cell) / cells_per_e) - 1e-9).astype(np.int64)
    return cells


def merge_cells(counts: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Merge counts in fine request cells into request bins.

    Parameters
    ----------
    counts : DataFrame
        Answer of `joint_lengths` in fine request cells.

    Returns
    -------
    exact : DataFrame
        Exact responses by request bin.
    fine : DataFrame
        Requests and responses both in fine cells.
    """
    exact = counts.with_columns(pl.col("request_cell") // FINE_CELLS_IN_BIN)
    cell = np.floor(FINE_CELLS_PER_E * np.log(counts["response_tokens"].to_numpy()))
    fine = counts.with_columns(pl.Series("response_cell", cell.astype(np.int16)))
    return (
        exact.group_by("stream_id", "request_cell", "response_tokens").agg(pl.col("n", "request_sum").sum()),
        fine.group_by("stream_id", "request_cell", "response_cell").agg(pl.col("n").sum()),
    )


def by_request(counts: pl.DataFrame) -> pl.DataFrame:
    """Describe the responses in each request bin: moments, quantiles, distance from a Gaussian.

    Parameters
    ----------
    counts : DataFrame
        With `selection_id`, `request_cell`, `response_tokens`, `n`, `request_sum`.

    Returns
    -------
    DataFrame
        A row for each selection and bin with enough responses. Quantiles are the smallest response whose
        cumulative share reaches the probability; `mode` is the mean of the fullest of bins as wide as a
        quarter of the standard deviation; `ks_normal` and `ks_log_normal` are distances from laws of the
        bin's own moments.
    """
    n, key = pl.col("n"), ["selection_id", "request_cell"]
    rows = counts.sort(*key, "response_tokens").with_columns(
        reached=n.cum_sum().over(key), total=n.sum().over(key), run=pl.struct(key).rle_id()
    )
    rows = rows.filter((pl.col("total") >= MIN_IN_BIN) & (pl.col("response_tokens").n_unique().over(key) > 1))
    described = rows.group_by(key, maintain_order=True).agg(
        n.sum().cast(pl.Int64),
        (pl.col("request_sum").sum() / n.sum()).alias("request_mean"),
        *[
            pl.col("response_tokens")
            .filter(pl.col("reached") >= p * pl.col("total") - 1e-6)
            .first()
            .alias(name)
            for name, p in PROBABILITIES.items()
        ],
    )
    x, weight = (rows[c].to_numpy().astype(float) for c in ("response_tokens", "n"))
    start = np.flatnonzero(np.diff(rows["run"].to_numpy(), prepend=-1))
    bins = np.repeat(np.arange(len(start)), np.diff(np.append(start, len(x))))
    moments = _Moments(x, weight, start, bins)
    logs = _Moments(np.log(x), weight, start, bins)
    share = (rows["reached"] / rows["total"]).to_numpy()
    off = np.abs(special.ndtr((x + 0.5 - moments.mean[bins]) / moments.sd[bins]) - share)
    off_log = np.abs(special.ndtr((np.log(x + 0.5) - logs.mean[bins]) / logs.sd[bins]) - share)
    cell = described["request_cell"].to_numpy()
    return described.with_columns(
        pl.Series("mean", moments.mean),
        pl.Series("sd", moments.sd),
        pl.Series("skewness", moments.standardized(3)),
        pl.Series("excess_kurtosis", moments.standardized(4) - 3),
        pl.Series("mode", _modes(x, weight, bins, moments.sd)),
        pl.Series("ks_normal", np.maximum.reduceat(off, start) if len(x) else off),
        pl.Series("ks_log_normal", np.maximum.reduceat(off_log, start) if len(x) else off_log),
        pl.Series("request_low", first_tokens(cell, CELLS_PER_E)),
        pl.Series("request_high", first_tokens(cell + 1, CELLS_PER_E)),
    )


class _Moments:
    """Moments of weighted values in consecutive runs of an array, always summed in the same order."""

    def __init__(self, x: Array, weight: Array, start: NDArray[np.intp], bins: NDArray[np.intp]) -> None:
        self._weight, self._start = weight, start
        self._n = self._sum(np.ones_like(x))
        self.mean = self._sum(x) / self._n
        self._deviation = x - self.mean[bins]
        self.sd = np.sqrt(self._sum(self._deviation**2) / (self._n - 1))
        self._bins = bins

    def _sum(self, values: Array) -> Array:
        products = values * self._weight
        return np.asarray(np.add.reduceat(products, self._start)) if len(products) else products

    def standardized(self, power: int) -> Array:
        """Mean of the standardized values to a power."""
        return self._sum((self._deviation / self.sd[self._bins]) ** power) / self._n


def _modes(x: Array, weight: Array, bins: NDArray[np.intp], sd: Array) -> Array:
    """Mean of the fullest step of each bin, a step being a quarter of the bin's standard deviation."""
    step = np.floor(x / np.ceil(sd[bins] / 4)).astype(np.int64)
    place = np.flatnonzero(np.diff(bins, prepend=-1) | np.diff(step, prepend=-1))
    if len(place) == 0:
        return x
    n, total = np.add.reduceat(weight, place), np.add.reduceat(weight * x, place)
    # By bin, then the fullest step first, the lower one if two are as full.
    order = np.lexsort((place, -n, bins[place]))
    first = order[np.flatnonzero(np.diff(bins[place][order], prepend=-1))]
    return np.asarray(total[first] / n[first])


def ridges(counts: pl.DataFrame) -> pl.DataFrame:
    """Compute the distribution of responses in wider request bins, for ridge plots.

    Parameters
    ----------
    counts : DataFrame
        As `by_request` takes it.

    Returns
    -------
    DataFrame
        On bins of equal width, up to the 99th percentile of the selection's responses.
    """
    n, key = pl.col("n"), ["selection_id", "ridge"]
    total = pl.col("n").sum().over("selection_id")
    widths = (
        counts.lazy()
        .group_by("selection_id", "response_tokens")
        .agg(n.sum())
        .sort("selection_id", "response_tokens")
        .filter(n.cum_sum().over("selection_id") >= 0.99 * total)
        .group_by("selection_id")
        .agg(width=(pl.col("response_tokens").min() / RIDGE_BINS).ceil().cast(pl.Int64))
    )
    rows = (
        counts.lazy()
        .join(widths, on="selection_id")
        .with_columns(
            ridge=pl.col("request_cell") // RIDGE_CELLS,
            step=(pl.col("response_tokens") - 1) // pl.col("width"),
        )
        .with_columns(total=n.sum().over(key))
        .filter((pl.col("total") >= MIN_IN_RIDGE) & (pl.col("step") < RIDGE_BINS))
        .group_by(*key, "step", "width", "total")
        .agg(n.sum().cast(pl.Int64))
        .sort(*key, "step")
        .with_columns(
            response_low=(pl.col("step") * pl.col("width") + 1),
            response_high=((pl.col("step") + 1) * pl.col("width") + 1),
            density=n / pl.col("total") / pl.col("width"),
        )
        .collect()
    )
    ridge = rows["ridge"].to_numpy() * RIDGE_CELLS
    return rows.with_columns(
        pl.Series("request_low", first_tokens(ridge, CELLS_PER_E)),
        pl.Series("request_high", first_tokens(ridge + RIDGE_CELLS, CELLS_PER_E)),
    )


@dataclass(frozen=True)
class Line:
    """A straight line through responses by requests, in response tokens per request token."""

    n: int
    slope: Interval
    intercept: float
    r_squared: float
    blocks: int


def line(sums: Array) -> Line | None:
    """Fit a line by least squares from sums per block of time.

    The interval allows for any scatter and for requests of one block being alike: cluster-robust (CR1) with
    a t quantile.

    Parameters
    ----------
    sums : array, shape (blocks, 6)
        n, Σx, Σy, Σx², Σxy, Σy² of each block; x are request tokens, y response tokens.

    Returns
    -------
    Line or None
        None for fewer than three requests or no spread of request lengths.
    """
    sums = sums[sums[:, 0] > 0]
    n, x, y, xx, xy, yy = sums.sum(axis=0) if len(sums) else np.zeros(6)
    if n < 3:
        return None
    sxx, sxy, syy = xx - x * x / n, xy - x * y / n, yy - y * y / n
    if sxx <= 1e-9 * xx:
        return None
    slope = sxy / sxx
    intercept = (y - slope * x) / n
    b = sums.T
    score = b[4] - x / n * b[2] - intercept * (b[1] - b[0] * x / n) - slope * (b[3] - x / n * b[1])
    half = np.nan
    if (blocks := len(sums)) >= MIN_BLOCKS:
        error = np.sqrt(blocks / (blocks - 1) * np.sum(score**2)) / sxx
        half = student(0.5 + LEVEL / 2, blocks - 1) * error
    return Line(
        n=int(n),
        slope=Interval(float(slope), float(slope - half), float(slope + half)),
        intercept=float(intercept),
        r_squared=float(sxy**2 / (sxx * syy)) if syy > 0 else float("nan"),
        blocks=blocks,
    )


def straightness(bins: pl.DataFrame) -> float:
    """Compute the share of the variance between the bins' mean responses that a straight line explains."""
    if len(bins) < 3:
        return float("nan")
    n, x, y = (bins[c].to_numpy().astype(float) for c in ("n", "request_mean", "mean"))
    x, y = x - np.average(x, weights=n), y - np.average(y, weights=n)
    varied = (n @ x**2) * (n @ y**2)
    if not varied:
        return float("nan")
    explained = (n @ (x * y)) ** 2 / varied
    return float(explained)


def spread_growth(bins: pl.DataFrame) -> Interval:
    """Fit the exponent g of sd ∝ request^g over request bins, by least squares weighted with their sizes."""
    large_bins = bins.filter(pl.col("n") >= MIN_IN_RIDGE)
    if len(large_bins) < 4:
        return Interval(np.nan, np.nan, np.nan)
    weight = large_bins["n"].to_numpy().astype(float)
    x, y = np.log(large_bins["request_mean"].to_numpy()), np.log(large_bins["sd"].to_numpy())
    x, y = x - np.average(x, weights=weight), y - np.average(y, weights=weight)
    growth = float(weight @ (x * y) / (weight @ x**2))
    left = weight * x * (y - growth * x)
    error = np.sqrt(len(large_bins) / (len(large_bins) - 2) * np.sum(left**2)) / (weight @ x**2)
    half = student(0.5 + LEVEL / 2, len(large_bins) - 2) * float(error)
    return Interval(growth, growth - half, growth + half)


@dataclass(frozen=True)
class Joint:
    """How both lengths of a request go together, and what each copula misses of it."""

    n: int
    spearman: Interval
    correlation: Interval
    grid: Array
    copula: str
    """`gaussian` or `rank_grid`, whichever has the lower BIC."""
    delta_bic: float
    """BIC of the Gaussian copula minus that of the grid."""
    tv_independent: float
    tv_gaussian: float
    tv_grid: float
    tv_chance: float
    """Total variation that a sample of this size would have from the chosen copula itself."""


def relate(fine: Array, blocks: Array, rng: np.random.Generator) -> Joint | None:
    """Estimate the rank correlation and copulas of request and response tokens.

    Compares the copulas on the cells of the request bins, on both sides.

    Parameters
    ----------
    fine : array, shape (rows, columns)
        Requests by fine cell of request and response tokens.
    blocks : array, shape (n_blocks, rows, columns)
        The same per block of time, in coarser cells.
    rng : Generator

    Returns
    -------
    Joint or None
        None if either side has one value, or one bin of values, only.
    """
    value = float(spearman(fine))
    coarse = _merged(_merged(fine, FINE_CELLS_IN_BIN).T, FINE_CELLS_IN_BIN).T
    coarse = coarse[coarse.sum(axis=1) > 0][:, coarse.sum(axis=0) > 0]
    if not np.isfinite(value) or min(coarse.shape) < 2:
        return None
    rank_correlation = spearman_interval(value, blocks, rng)
    correlation = gaussian_correlation(coarse, rank_correlation)
    share = coarse / coarse.sum()
    grid, by_grid = best_grid(fine, coarse)
    independent = np.outer(share.sum(axis=1), share.sum(axis=0))
    gaussian = gaussian_cells(coarse, correlation.value)
    gridded = grid_cells(coarse, grid)
    delta = information(coarse, gaussian, 1) - by_grid
    n = float(coarse.sum())
    return Joint(
        n=int(n),
        spearman=rank_correlation,
        correlation=correlation,
        grid=grid,
        copula="rank_grid" if delta > 0 else "gaussian",
        delta_bic=delta,
        tv_independent=total_variation(share, independent),
        tv_gaussian=total_variation(share, gaussian),
        tv_grid=total_variation(share, gridded),
        tv_chance=expected_variation(gridded if delta > 0 else gaussian, n),
    )


def _merged(table: Array, step: int) -> Array:
    """Sums of every `step` rows, the last group as long as it is."""
    return np.asarray(np.add.reduceat(table, np.arange(0, len(table), step), axis=0))
