"""How long requests and responses are, alone and together: laws, modes, bands, and the joint model.

Failures are dropped first, then absent and zero lengths, and counted. Not here: the laws (`families`),
the tests for modes (`modality`), responses by request (`by_request`) and the copula (`joint`); this module
runs the queries and passes their tables on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import polars as pl

from ..core.arrays import Array, Integers
from ..core.result import Interval
from ..stats.likelihood import Fit, Histogram
from ..trace.aggregates import named_members, sum_over_selections
from ..trace.trace import Selection, Trace
from ..trace.trace_part import PartInputs, TracePart
from .by_request import (
    BLOCK_CELLS_PER_E,
    FINE_CELLS_IN_BIN,
    FINE_CELLS_PER_E,
    by_request,
    first_tokens,
    line,
    merge_cells,
    relate,
    ridges,
    spread_growth,
    straightness,
)
from .coarse_counts import coarsen
from .families import BUILDERS, at_bound, fit_lengths
from .joint import JointModel, Marginal
from .modality import modality
from .schemas import QUANTILES, SCHEMAS
from .sentences import sentences

Rows = dict[str, list[dict[str, Any]]]
"""Rows of each table while they are gathered."""

SIDES = ("request", "response")
MIN_ROWS = 50
"""A column with fewer lengths is counted and gets quantiles, but no laws."""
LINEAR_RANGE = (300, 2000)
"""Request tokens over which the paper's Figure 8 shows a straight line."""
BLOCKS = 100
"""Blocks of equal time; intervals allow for requests of one block being alike."""
SUMS = ["n", "x", "y", "xx", "xy", "yy"]
"""What a line needs of each block of time, x request and y response tokens."""
HISTOGRAM_CELLS_PER_E = 6
"""Bins of the drawn histograms: 18 % wide, or single token counts if those are wider."""
MIXTURES = ("log_normal", "log_normal_mixture_2", "log_normal_mixture_3")


@dataclass(frozen=True)
class Lengths(TracePart):
    """Request and response lengths of every selection; lengths in tokens."""

    name: ClassVar[str] = "lengths"
    lead: ClassVar[str] = "Request and response tokens, alone and together."

    frames: dict[str, pl.DataFrame] = field(repr=False)
    """Every table of `SCHEMAS` by name."""

    @classmethod
    def describe(cls, inputs: PartInputs) -> Lengths:
        """See `describe_lengths`."""
        return describe_lengths(inputs.trace, seed=inputs.seed)

    def tables(self) -> dict[str, pl.DataFrame]:
        """The tables in reading order; `SCHEMAS` lists their columns."""
        return dict(self.frames)

    def sentences(self) -> list[str]:
        """Laws first, by how far they are off, then modes, then requests against responses."""
        return sentences(self.frames)

    def joint_model(self, selection: str) -> JointModel:
        """The winning laws of both sides and the copula between them; KeyError for a selection without."""
        of = pl.col("selection") == selection
        return joint_model({name: table.filter(of).to_dicts() for name, table in self.frames.items()})


def joint_model(tables: Mapping[str, Sequence[Mapping[str, Any]]]) -> JointModel:
    """Build the joint model from the rows of one selection.

    Parameters
    ----------
    tables : mapping
        `fits`, `parameters`, `joint` and `joint_grid`, as a parameter file has them under `lengths`.

    Returns
    -------
    JointModel

    Raises
    ------
    KeyError
        If the selection was too small to fit.
    """
    if not tables["joint"]:
        raise KeyError("no joint model of this selection: its requests or responses are all alike")
    sides = []
    for side in SIDES:
        best = [row for row in tables["fits"] if row["column"] == side and row["winner"]]
        if not best:
            raise KeyError(f"no law of {side} lengths: fewer than {MIN_ROWS} rows")
        parameters = {
            row["parameter"]: row["value"]
            for row in tables["parameters"]
            if (row["column"], row["family"]) == (side, best[0]["family"])
        }
        sides.append(Marginal.of_law(best[0]["family"], parameters, best[0]["maximum"]))
    joint = tables["joint"][0]
    grid = None
    if joint["copula"] == "rank_grid":
        grid = np.zeros((joint["grid_size"], joint["grid_size"]))
        for row in tables["joint_grid"]:
            grid[row["request_rank"], row["response_rank"]] = row["share"]
    return JointModel(sides[0], sides[1], joint["correlation"], grid)


def describe_lengths(trace: Trace, seed: int = 0) -> Lengths:
    """Fit and compare the lengths of every selection.

    Parameters
    ----------
    trace : Trace
    seed : int
        The same seed gives the same result.
    """
    rows: Rows = {name: [] for name in SCHEMAS}
    frames: dict[str, pl.DataFrame] = {}
    counted = sum_over_selections(trace, trace.engine.ask("length_rows"), [])
    missing = _missing_sentences(trace, counted)
    if len(missing) < len(SIDES):
        histograms = _histograms(trace)
        for selection in trace.selections:
            count = counted.row(by_predicate=pl.col("selection_id") == selection.selection_id, named=True)
            for number, side in enumerate(SIDES):
                data = histograms.get((selection.selection_id, number + 1))
                named = {**_name(selection), "column": side}
                failed, absent, zero = count["failed"], count[f"{side}_absent"], count[f"{side}_zero"]
                used = int(data.n) if data is not None else 0
                rows["rows"].append(
                    {**named, "n": count["n"], "failed": failed, "absent": absent, "zero": zero, "used": used}
                )
                if data is not None:
                    _describe_side(rows, named, data, [seed, selection.selection_id, number])
    if not missing:
        _describe_pair(rows, frames, trace, seed)
    few = [f"{r['column']} lengths of {r['selection']} ({r['used']})" for r in rows["rows"] if _is_few(r)]
    if few:
        missing.append(f"Too few lengths to fit laws (fewer than {MIN_ROWS}): {'; '.join(few)}.")
    for name, schema in SCHEMAS.items():
        if name not in frames:
            frames[name] = pl.DataFrame(rows[name], schema=schema, orient="row").fill_nan(None)
    frames = {name: frames[name] for name in SCHEMAS}
    return Lengths(tuple(missing), frames)


def _is_few(row: dict[str, Any]) -> bool:
    return bool(0 < row["used"] < MIN_ROWS)


def _missing_sentences(trace: Trace, counted: pl.DataFrame) -> list[str]:
    """One sentence for each side without lengths in the log."""
    everything = counted.select(pl.exclude("selection_id")).row(0, named=True)
    left = everything["n"] - everything["failed"]
    lacks = []
    for side in SIDES:
        if everything[f"{side}_absent"] + everything[f"{side}_zero"] >= left:
            lacks.append(f"The log of {trace.info.name} has no {side} lengths.")
    return lacks


def _name(selection: Selection) -> dict[str, str | None]:
    return {"selection": selection.label, "service": selection.service, "model": selection.model}


def _histograms(trace: Trace) -> dict[tuple[int, int], Histogram]:
    """Token counts by selection and side (1 request, 2 response)."""
    counts = sum_over_selections(trace, trace.engine.ask("length_histograms"), ["side", "tokens"])
    split = counts.partition_by(["selection_id", "side"], as_dict=True, maintain_order=True)
    return {
        (int(key[0]), int(key[1])): Histogram(
            group["tokens"].to_numpy().astype(float), group["n"].to_numpy().astype(float)
        )
        for key, group in split.items()
    }


def _split(table: pl.DataFrame) -> dict[tuple[Any, ...], pl.DataFrame]:
    """A table's rows by selection id."""
    return table.partition_by(["selection_id"], as_dict=True, maintain_order=True)


def _with_names(trace: Trace, table: pl.DataFrame, name: str) -> pl.DataFrame:
    """A table with the selections' names for their ids, and the columns that it is to have."""
    labels = named_members(trace).drop("stream_id").unique(maintain_order=True)
    columns = [pl.col(column).cast(kind) for column, kind in SCHEMAS[name].items()]
    return table.join(labels, on="selection_id", maintain_order="left").select(columns).fill_nan(None)


def _describe_side(rows: Rows, named: dict[str, Any], data: Histogram, seed: list[int]) -> None:
    """Add the rows of one column of one selection: quantiles, fits, modes, histogram."""
    maximum = int(data.values[-1])
    found = dict(zip(QUANTILES, data.quantile(np.array(list(QUANTILES.values()))).tolist(), strict=True))
    rows["quantiles"].append({**named, "n": int(data.n), "mean": data.mean, **found, "max": maximum})
    low, high = _drawn_bins(maximum)
    at = np.searchsorted(low, data.values, side="right") - 1
    share = np.bincount(at, data.counts, minlength=len(low)) / data.n
    if data.n < MIN_ROWS or len(data.values) < 3:
        _draw(rows, named, low, high, share * data.n, None, None)
        return
    coarse = coarsen(data)
    fits, bin_shares = {}, {}
    for family, build in BUILDERS.items():
        law = build(maximum)
        fits[family] = fit_lengths(law, data, coarse)
        bin_shares[family] = np.diff(law.cumulative(fits[family].theta, high - 1.0), prepend=0.0)
    winner = min(fits, key=lambda family: fits[family].bic)
    off = {family: float(np.abs(bin_shares[family] - share).sum() / 2) for family in fits}
    for family, fit in fits.items():
        rows["fits"].append(
            {
                **named,
                "family": family,
                "maximum": maximum,
                "free_parameters": len(fit.theta),
                "log_likelihood_per_row": fit.log_likelihood / fit.n,
                "aic": fit.aic,
                "bic": fit.bic,
                "delta_bic": fit.bic - fits[winner].bic,
                "ks": fit.ks_distance,
                "tv": off[family],
                "winner": family == winner,
                "converged": fit.converged,
            }
        )
        rows["parameters"].extend(
            {**named, "family": family, **parameter_row} for parameter_row in _parameter_rows(fit, maximum)
        )
    zipf = fits["zipf"].parameters["exponent"]
    rows["zipf"].append(
        {
            **named,
            "n": int(data.n),
            **_interval("exponent", zipf),
            "maximum": maximum,
            "ks": fits["zipf"].ks_distance,
            "tv": off["zipf"],
            "winner": winner,
            "winner_ks": fits[winner].ks_distance,
            "winner_tv": off[winner],
        }
    )
    _draw(rows, named, low, high, share * data.n, bin_shares["zipf"], bin_shares[winner])
    for modes_test in modality(data, [fits[family] for family in MIXTURES], maximum, seed):
        modes = dict(zip(("mode_1", "mode_2", "mode_3"), modes_test.modes, strict=False))
        rows["bimodality"].append(
            {
                **named,
                **{name: getattr(modes_test, name) for name in ("scale", "n_tested", "dip", "p_value")},
                "components": modes_test.components,
                "delta_bic": modes_test.delta_bic,
                "modes": len(modes_test.modes),
                **{name: modes.get(name) for name in ("mode_1", "mode_2", "mode_3")},
                "valley": modes_test.valley,
                "verdict": modes_test.verdict,
            }
        )


def _parameter_rows(fit: Fit, maximum: int) -> Iterable[dict[str, Any]]:
    """Parameters with intervals; no interval for one at its bound, or that the data do not determine."""
    bound = at_bound(fit, maximum)
    for name, interval in fit.parameters.items():
        known = name not in bound and np.isfinite(interval.low) and np.isfinite(interval.high)
        yield {
            "parameter": name,
            "value": interval.value,
            "low": interval.low if known else None,
            "high": interval.high if known else None,
            "at_bound": name in bound,
        }


def _drawn_bins(maximum: int) -> tuple[Integers, Integers]:
    """First token count of each drawn bin, and the first beyond it."""
    cells = np.arange(int(np.log(maximum) * HISTOGRAM_CELLS_PER_E) + 2)
    edges = np.unique(first_tokens(cells, HISTOGRAM_CELLS_PER_E))
    edges = np.append(edges[edges <= maximum], maximum + 1)
    return edges[:-1], edges[1:]


def _draw(
    rows: Rows,
    named: dict[str, Any],
    low: Integers,
    high: Integers,
    n: Array,
    zipf: Array | None,
    winner: Array | None,
) -> None:
    """Histogram bins with the curves of the fitted laws; densities are shares per token."""
    width, total = high - low, n.sum()
    for i in range(len(low)):
        rows["histograms"].append(
            {
                **named,
                "low": int(low[i]),
                "high": int(high[i]),
                "n": round(n[i]),
                "density": n[i] / total / width[i],
                "zipf_density": None if zipf is None else zipf[i] / width[i],
                "winner_density": None if winner is None else winner[i] / width[i],
            }
        )


def _describe_pair(rows: Rows, frames: dict[str, pl.DataFrame], trace: Trace, seed: int) -> None:
    """Add the rows on requests against responses of every selection."""
    ask, resolution = trace.engine.ask, trace.info.resolution_s
    start = np.floor(trace.start_s / resolution)
    span = max(trace.end_s / resolution - start + 1, 1.0)
    low, high = LINEAR_RANGE
    exact, fine = merge_cells(ask("joint_lengths", cells_per_e=float(FINE_CELLS_PER_E)))
    exact = sum_over_selections(trace, exact, ["request_cell", "response_tokens"])
    fine = sum_over_selections(trace, fine, ["request_cell", "response_cell"])
    timed = ask(
        "length_blocks",
        start_tick=float(start),
        block_ticks=span / BLOCKS,
        range_low=low,
        range_high=high,
        cells_per_e=float(BLOCK_CELLS_PER_E),
    )
    cells, keys = ["block", "request_cell", "response_cell"], ["block", "in_range"]
    blocks = sum_over_selections(trace, timed.group_by("stream_id", *cells).agg(pl.col("n").sum()), cells)
    sums = sum_over_selections(trace, timed.group_by("stream_id", *keys).agg(pl.col(SUMS).sum()), keys)
    described = by_request(exact)
    frames["by_request"] = _with_names(trace, described, "by_request")
    frames["ridges"] = _with_names(trace, ridges(exact), "ridges")
    split_bins, split_fine, split_blocks, split_sums = map(_split, (described, fine, blocks, sums))
    for selection in trace.selections:
        key = (selection.selection_id,)
        if key not in split_sums:
            continue
        named, line_sums = _name(selection), split_sums[key]
        bins = split_bins.get(key, described.clear())
        for inside, about in ((True, f"{low:,} to {high:,} request tokens"), (False, "all")):
            part, part_bins = line_sums, bins
            if inside:
                part = line_sums.filter(pl.col("in_range") == 1)
                part_bins = bins.filter(pl.col("request_mean").is_between(low, high))
            names = {**named, "range": about}
            if (fitted := line(_sums(part))) is not None:
                rows["slope"].append(
                    {
                        **names,
                        "n": fitted.n,
                        **_interval("slope", fitted.slope),
                        "intercept": fitted.intercept,
                        "r_squared": fitted.r_squared,
                        "straightness": straightness(part_bins),
                        "blocks": fitted.blocks,
                    }
                )
            if len(part_bins):
                rows["spread"].append({**names, **_spread(part_bins)})
        rng = np.random.default_rng([seed, selection.selection_id])
        table = _dense(split_fine[key], cells[1:])
        timed_table = _dense(split_blocks[key], cells)
        relation = relate(table, timed_table, rng)
        if relation is not None:
            rows["joint"].append(
                {
                    **named,
                    "n": relation.n,
                    **_interval("spearman", relation.spearman),
                    **_interval("correlation", relation.correlation),
                    "copula": relation.copula,
                    "grid_size": len(relation.grid),
                    **{k: getattr(relation, k) for k in ("delta_bic", "tv_independent", "tv_gaussian")},
                    **{k: getattr(relation, k) for k in ("tv_grid", "tv_chance")},
                }
            )
            for (i, j), share in np.ndenumerate(relation.grid):
                rows["joint_grid"].append({**named, "request_rank": i, "response_rank": j, "share": share})


def _spread(bins: pl.DataFrame) -> dict[str, Any]:
    """How the request bins' distributions look on average, weighted with their sizes."""
    growth = spread_growth(bins)
    n = pl.col("n")
    tilt = (pl.col("p95") + pl.col("p5") - 2 * pl.col("median")) / (pl.col("p95") - pl.col("p5"))
    means = bins.filter(pl.col("p95") > pl.col("p5")).select(
        bins=pl.len(),
        n=n.sum(),
        asymmetry=(tilt * n).sum() / n.sum(),
        **{c: (pl.col(c) * n).sum() / n.sum() for c in ("skewness", "ks_normal", "ks_log_normal")},
    )
    return {
        **means.row(0, named=True),
        **_interval("growth", growth),
    }


def _interval(name: str, interval: Interval) -> dict[str, float]:
    """An interval as the three columns that tables hold it in."""
    return {name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high}


def _sums(frame: pl.DataFrame) -> Array:
    """Per block of time n, x, y, xx, xy, yy, shape (blocks, 6)."""
    summed = frame.group_by("block").agg(pl.col(SUMS).sum()).sort("block")
    return summed.select(SUMS).to_numpy().astype(float)


def _dense(counts: pl.DataFrame, axes: Sequence[str]) -> Array:
    """Counts `n` as an array, one axis a column; each axis begins at a multiple of `FINE_CELLS_IN_BIN`."""
    places = []
    for axis in axes:
        values = counts[axis].to_numpy().astype(int)
        places.append(values - values.min() // FINE_CELLS_IN_BIN * FINE_CELLS_IN_BIN)
    table = np.zeros([int(place.max()) + 1 for place in places])
    np.add.at(table, tuple(places), counts["n"].to_numpy().astype(float))
    return table
