"""Whether one trace is a faithful copy of another, statistic by statistic, and what is only noise.

An estimate agrees if the interval of the difference contains zero; both intervals come from resampling
blocks, so that bursts stay together. A distribution agrees if at least one in twenty relabellings
of blocks of consecutive requests gives a distance as large. At that level one statistic in twenty differs by
chance alone.

Not here: traces side by side and which is burstier (`side_by_side`), whether a client sent what was asked for
(`burstlens.bench.metrics.load_verdict`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import polars as pl

from ..conversations.part import Conversations
from ..core.arrays import Array
from ..core.result import LEVEL, Interval, Part, estimates, number
from ..core.units import time_span
from ..lengths.part import Lengths
from ..trace.trace import Trace
from ..traffic.volume import Volume
from .equal_rate import difference
from .pairs import estimate_columns
from .side_by_side import Comparison, compare_traces
from .time_blocks import SIDES, Sample, sample_of, samples_of_frame, samples_of_trace, values_at

if TYPE_CHECKING:
    from ..characterize import Characterization


MIN_VALUES = 50
"""Fewer requests, gaps or lengths of a trace have no distribution to compare."""
RELABELLINGS = 999
POINTS = 512
"""Maximum number of values at which two distribution functions are compared."""

STATISTICS_SCHEMA: dict[str, Any] = {
    "selection": pl.String,
    "statistic": pl.String,
    "kind": pl.String,
    **estimates("one", "other", "difference"),
    "p_value": pl.Float64,
    "agrees": pl.Boolean,
}
"""Columns of `Fidelity.statistics`. `kind` is `estimate` or `distance`. For a distance, `difference` is the
distance, a share of requests, and `p_value` is how often blocks relabelled at random are as far from each
other. For an estimate, `difference` is `other` minus `one`. `agrees` is null if there is no interval."""

_Row = dict[str, Any]


@dataclass(frozen=True)
class Fidelity(Part):
    """Two traces compared."""

    name: ClassVar[str] = "fidelity"

    one: str
    other: str
    statistics: pl.DataFrame
    """Columns of `STATISTICS_SCHEMA`, all requests first, then each service that both have."""

    def tables(self) -> dict[str, pl.DataFrame]:
        """The one frame."""
        return {"statistics": self.statistics}

    def sentences(self) -> list[str]:
        """How many statistics agree, then each that differs."""
        decided = self.statistics.drop_nulls("agrees")
        differs, n = decided.filter(~pl.col("agrees")), len(decided)
        summary = (
            f"{n - len(differs)} of {n} statistics of {self.other} agree with {self.one} within noise; "
            f"at this level {number(round((1 - LEVEL) * n, 1))} would differ by chance."
        )
        return [summary, *(_sentence(row) for row in differs.iter_rows(named=True))]


def _sentence(row: _Row) -> str:
    if row["kind"] == "distance":
        return (
            f"{row['selection']}: {row['statistic']} differs, {100 * row['difference']:.1f} % apart "
            f"(p = {row['p_value']:.2g})."
        )
    values = (Interval(*(row[f"{side}{end}"] for end in ("", "_low", "_high"))) for side in ("one", "other"))
    one, other = (f"{number(each.value)} [{number(each.low)}, {number(each.high)}]" for each in values)
    return f"{row['selection']}: {row['statistic']} differs, {one} against {other}."


def compare_fidelity(
    characterizations: tuple[Characterization, Characterization],
    sources: tuple[pl.DataFrame | Trace, pl.DataFrame | Trace],
    *,
    seed: int = 0,
) -> Fidelity:
    """Compare two characterized traces, request by request.

    Parameters
    ----------
    characterizations : tuple of two Characterization
    sources : tuple of two DataFrame or Trace
        Their requests, with the columns `trace.COLUMNS` in order of arrival; the opened trace if its requests
        stay on a cluster. Both on one clock.
    seed : int
        Of the resampling.

    Returns
    -------
    Fidelity
        Its `missing` names services, and statistics, that only one of the two has.
    """
    names = tuple(each.info.name for each in characterizations)
    services = [_services(each) for each in sources]
    shared = sorted(services[0] & services[1])
    afar = any(isinstance(each, Trace) for each in sources)
    clock_s = max(each.info.resolution_s for each in characterizations) if afar else None
    selections = ["all", *(shared if any(len(each) > 1 for each in services) else [])]
    rows, missing = [], []
    for only, name, lacking in ((0, 0, 1), (1, 1, 0)):
        more = sorted(services[only] - services[lacking])
        if more:
            missing.append(f"Only {names[name]} has requests of {', '.join(more)}.")
    rng, side_by_side = np.random.default_rng(seed), compare_traces(characterizations)
    for selection in selections:
        samples = [_samples(each, selection, clock_s) for each in sources]
        for row in (*_estimates(characterizations, side_by_side, selection), *_distances(samples, rng)):
            if row.get("lacks") is not None:
                where = "" if selection == "all" else f"{selection}: "
                lacking_names = " and ".join(names[i] for i in row["lacks"])
                missing.append(f"{where}{row['statistic']}: unknown for {lacking_names}.")
            else:
                rows.append({"selection": selection, **row})
    return Fidelity(
        missing=tuple(missing),
        one=names[0],
        other=names[1],
        statistics=pl.DataFrame(rows, schema=STATISTICS_SCHEMA),
    )


def _estimates(
    characterizations: Sequence[Characterization], side_by_side: Comparison, selection: str
) -> Iterator[_Row]:
    """Every estimate that has an interval, of one selection."""
    names = side_by_side.traces["trace"].to_list()
    # A trace of one service is characterized as a whole only.
    labels = [selection if selection in known else "all" for known in map(_characterized, characterizations)]
    measures = [
        _row(side_by_side.measures, label, trace=name) for name, label in zip(names, labels, strict=True)
    ]
    for statistic, column in (
        ("arrival rate, 1/s", "rate_rps"),
        ("CV of gaps", "cv"),
        ("median shape of windows", "shape"),
        *((f"Zipf exponent of {side} tokens", f"{side}_zipf") for side in SIDES),
        ("failure rate", "failure_rate"),
    ):
        yield _estimate(statistic, [_interval(row, column) for row in measures])
    dispersion = side_by_side.dispersion
    for width in dispersion["width_s"].unique().sort().to_list():
        rows = [
            _row(dispersion, label, trace=name, width_s=width)
            for name, label in zip(names, labels, strict=True)
        ]
        if all(rows):
            yield _estimate(
                f"rate variation in bins of {time_span(width)}", [_interval(row, "rate_cv2") for row in rows]
            )
    joint = [
        _row(each.part(Lengths).frames["joint"], label)
        for each, label in zip(characterizations, labels, strict=True)
    ]
    yield _estimate(
        "rank correlation of request and response tokens", [_interval(row, "spearman") for row in joint]
    )
    turns = [each.part(Conversations).tables().get("turns_summary") for each in characterizations]
    if all(table is not None and table.height for table in turns):
        tables = [(table, label) for table, label in zip(turns, labels, strict=True) if table is not None]
        table, label = tables[0]
        for measure in table.filter(pl.col("selection") == label)["measure"].to_list():
            rows = [_row(table, label, measure=measure) for table, label in tables]
            yield _estimate(f"turns: {measure.replace('_', ' ')}", [_interval(row, "value") for row in rows])


def _services(source: pl.DataFrame | Trace) -> set[str]:
    """The services of a trace; of one on a cluster those that are characterized."""
    if isinstance(source, pl.DataFrame):
        return set(source["service"].drop_nulls().unique())
    services = {each.service for each in source.selections if each.service is not None}
    return services or set(source.engine.table("streams")["service"].drop_nulls().unique())


def _samples(source: pl.DataFrame | Trace, selection: str, clock_s: float | None) -> dict[str, Sample]:
    """Gaps and lengths of all requests or one service."""
    if isinstance(source, pl.DataFrame):
        own = source if selection == "all" else source.filter(pl.col("service") == selection)
        return samples_of_frame(own, clock_s)
    ids = {each.label: each.selection_id for each in source.selections}
    # A trace of one service is characterized as a whole only.
    return samples_of_trace(source, ids.get(selection, ids["all"]))


def _characterized(characterization: Characterization) -> set[str]:
    """The labels of a trace's selections."""
    return set(characterization.part(Volume).sizes["selection"])


def _estimate(statistic: str, values: Sequence[Interval | None]) -> _Row:
    """One row; or which of the two lacks the statistic. No row if both lack it."""
    lacks = [i for i, value in enumerate(values) if value is None]
    if lacks:
        return {"statistic": statistic, "lacks": lacks}
    one, other = (value for value in values if value is not None)
    contrast = difference(other, one)
    known = np.isfinite([contrast.low, contrast.high]).all()
    return {
        "statistic": statistic,
        "kind": "estimate",
        **estimate_columns("one", one),
        **estimate_columns("other", other),
        **estimate_columns("difference", contrast),
        "agrees": bool(contrast.low <= 0 <= contrast.high) if known else None,
    }


def _row(table: pl.DataFrame, selection: str, **keys: Any) -> _Row | None:
    rows = table.filter(pl.col("selection") == selection, *(pl.col(key) == v for key, v in keys.items()))
    return rows.row(0, named=True) if rows.height else None


def _interval(row: _Row | None, column: str) -> Interval | None:
    """An estimate; one without an interval reaches everywhere, so no comparison decides."""
    if row is None or row[column] is None or not np.isfinite(row[column]):
        return None
    low, high = row[f"{column}_low"], row[f"{column}_high"]
    return Interval(row[column], -np.inf if low is None else low, np.inf if high is None else high)


def _distances(samples: Sequence[dict[str, Sample]], rng: np.random.Generator) -> Iterator[_Row]:
    """Distributions of gaps and lengths."""
    for what in samples[0]:
        yield _distance(what, [each[what] for each in samples], rng)


def _distance(what: str, samples: Sequence[Sample], rng: np.random.Generator) -> _Row:
    lacks = [i for i, each in enumerate(samples) if each.n < MIN_VALUES]
    if lacks:
        return {"statistic": f"distribution of {what}", "lacks": lacks}
    distance, p_value = _block_test(samples[0], samples[1], rng)
    return {
        "statistic": f"distribution of {what}",
        "kind": "distance",
        "one": samples[0].median,
        "other": samples[1].median,
        "difference": distance,
        "p_value": p_value,
        "agrees": p_value >= 1 - LEVEL,
    }


def block_test(one: Array, other: Array, rng: np.random.Generator) -> tuple[float, float]:
    """Test whether two series come from one law, by relabelling blocks of time.

    Each series is cut into `time_blocks.BLOCKS` blocks of equal count; which block belongs to which
    series is drawn anew `RELABELLINGS` times. Relabelling preserves dependence shorter than a block, so it
    does not pass for a difference, as it would in the usual test.

    Parameters
    ----------
    one : array, shape (n,)
        In order of time.
    other : array, shape (m,)
        In order of time, in the same unit.
    rng : Generator

    Returns
    -------
    distance : float
        Kolmogorov–Smirnov distance of the two.
    p_value : float
        Share of the labellings, the real one among them, with at least this distance.
    """
    return _block_test(sample_of(one), sample_of(other), rng)


def _block_test(one: Sample, other: Sample, rng: np.random.Generator) -> tuple[float, float]:
    blocks = (*one.blocks, *other.blocks)
    grid = np.unique(values_at(blocks, np.linspace(0, one.n + other.n - 1, POINTS).astype(int)))
    counts = []
    for values, n in blocks:
        counted = np.append(0.0, np.cumsum(n))
        counts.append(counted[np.append(np.searchsorted(values, grid, side="right"), len(n))])
    table = np.array(counts)
    first = len(one.blocks)
    labels = np.zeros((RELABELLINGS + 1, len(table)))
    labels[0, :first] = 1
    for row in labels[1:]:
        row[rng.choice(len(table), first, replace=False)] = 1
    mine = labels @ table
    rest = table.sum(axis=0) - mine
    distances = np.abs(mine[:, :-1] / mine[:, -1:] - rest[:, :-1] / rest[:, -1:]).max(axis=1)
    return float(distances[0]), float((distances >= distances[0] - 1e-12).mean())
