"""Several traces side by side: what each holds (the paper's Table 1), and the same measures of each.

Not here: how a measure is taken (each part of a characterization has its module), how two traces are
compared at equal rate (see `equal_rate`), and whether one is a faithful copy of another.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any, ClassVar

import polars as pl

from ..core.result import Part, estimates, listing
from ..core.units import time_span
from ..core.verdicts import CANNOT_TELL
from ..lengths.part import Lengths
from ..trace.trace import TraceInfo
from ..traffic.arrivals import Arrivals
from ..traffic.burstiness import WIDTHS_S, Burstiness
from ..traffic.failures import MIN_DAYS, Failures
from ..traffic.volume import Volume
from .equal_rate import COMPARABLE, median_shape, outcomes
from .pairs import (
    PAIRS_SCHEMA,
    estimate_columns,
    estimate_text,
    is_functions,
    pair_row,
    pair_sentence,
    verdict_on_functions,
)

if TYPE_CHECKING:
    from ..characterize import Characterization

YES, NO = "yes", "no"
SIDES = REQUEST, RESPONSE = ("request", "response")
QUANTILES = ("p10", "p25", "p50", "p75", "p90", "p95", "p99")
"""Token quantiles that stand side by side, as the columns of `lengths` name them."""
REQUESTS, CONVERSATIONS, RESPONSES, FAILURES = PROPERTIES = (
    "LLM request patterns",
    "conversation patterns",
    "response lengths",
    "response failures",
)
"""Rows of the paper's Table 1: what a trace of LLM serving may contain."""
ALL_PAIRS = 4
"""Up to this number of traces every pair gets a sentence; beyond, each trace with the first."""

ENDS = ("", "_low", "_high")
"""What follows a measure's name in the columns of its estimate and interval."""

_Row = dict[str, Any]
_NAMES: dict[str, Any] = {
    "trace": pl.String,
    "selection": pl.String,
    "service": pl.String,
    "model": pl.String,
}


def token_column(side: str, quantile: str) -> str:
    """Name the column of `measures` with a quantile of tokens: `request_tokens_p50`.

    Parameters
    ----------
    side : str
        `request` or `response`.
    quantile : str
        Such as `p50`.

    Returns
    -------
    str
    """
    return f"{side}_tokens_{quantile}"


TRACES_SCHEMA: dict[str, Any] = {
    "trace": pl.String, "format": pl.String, "synthetic": pl.Boolean, "rows": pl.Int64,
    "rejected": pl.Int64, "covered_s": pl.Float64, "day0": pl.Date, "resolution_s": pl.Float64,
    "spread": pl.Boolean, "failure_rule": pl.String,
}  # fmt: skip
COVERAGE_SCHEMA: dict[str, Any] = {
    "property": pl.String, "trace": pl.String, "held": pl.String, "why": pl.String,
}  # fmt: skip
MEASURES_SCHEMA: dict[str, Any] = {
    **_NAMES,
    "rows": pl.Int64,
    "covered_s": pl.Float64,
    **estimates("rate_rps", "cv"),
    "cv_poisson": pl.Float64,
    "windows": pl.Int64,
    **estimates("shape"),
    **{f"idc_{width}s": pl.Float64 for width in WIDTHS_S},
    **{f"rate_cv2_{width}s": pl.Float64 for width in WIDTHS_S},
    **{token_column(side, quantile): pl.Float64 for side in SIDES for quantile in QUANTILES},
    **estimates(*(f"{side}_zipf" for side in SIDES), "failure_rate"),
}
DISPERSION_SCHEMA: dict[str, Any] = {
    **_NAMES,
    "width_s": pl.Float64,
    "mean_count": pl.Float64,
    **estimates("idc", "rate_cv2"),
    "rate_cv2_poisson_high": pl.Float64,
}


@dataclass(frozen=True)
class Comparison(Part):
    """Several traces side by side; frames as the schemas of this module name their columns."""

    name: ClassVar[str] = "comparison"
    title: ClassVar[str] = "Traces side by side"
    lead: ClassVar[str] = "What each trace has, and how the same measures differ."

    traces: pl.DataFrame
    """One row per trace; `trace` is its name, made unique, with `(synthetic)` if it is synthetic."""
    coverage: pl.DataFrame
    """The paper's Table 1, one row per property and trace: `held` is yes, no or cannot tell."""
    measures: pl.DataFrame
    """One row a trace and main selection: all requests, and each service of several."""
    dispersion: pl.DataFrame
    """Index of dispersion and its rate-independent form by width of the bins.

    Poisson arrivals have a `rate_cv2` of 0; in a sample of this size it stays below `rate_cv2_poisson_high`.
    """
    pairs: pl.DataFrame
    """Which of two traces is burstier, by measure: `outcome` is of `trace` against `other`.

    `decides` marks the measures that are fair to records of these two lengths.
    """

    def tables(self) -> dict[str, pl.DataFrame]:
        """The five frames."""
        return {
            "coverage": self.coverage, "measures": self.measures, "pairs": self.pairs,
            "dispersion": self.dispersion, "traces": self.traces,
        }  # fmt: skip

    def sentences(self) -> list[str]:
        """Who is burstier at equal rate, what each trace holds and lacks, then the measures one by one."""
        of_all = self.measures.filter(pl.col("selection") == "all")
        return [
            *self._burstier(),
            *_coverage_sentences(self.coverage),
            *_side_by_side(of_all),
        ]

    def _burstier(self) -> Iterator[str]:
        names = self.traces["trace"].to_list()
        for one, other in combinations(names, 2):
            if len(names) <= ALL_PAIRS or one == names[0]:
                sentence = pair_sentence(self.pairs, one, other)
                if sentence:
                    yield sentence


def compare_traces(characterizations: Sequence[Characterization]) -> Comparison:
    """Put characterized traces side by side, in their order; one trace alone gets its rows and no pairs."""
    names = _unique_names([one.info for one in characterizations])
    named = list(zip(names, characterizations, strict=True))
    pairs = [
        pair_row(name, other_name, outcome)
        for (name, one), (other_name, other) in combinations(named, 2)
        for outcome in outcomes(one, other)
    ]
    return Comparison(
        missing=tuple(_missing(named, pairs)),
        traces=pl.DataFrame([_trace_row(*each) for each in named], schema=TRACES_SCHEMA),
        coverage=pl.DataFrame(
            [row for each in named for row in _coverage_rows(*each)], schema=COVERAGE_SCHEMA
        ),
        measures=pl.DataFrame(
            [row for each in named for row in _measure_rows(*each)], schema=MEASURES_SCHEMA
        ),
        dispersion=_stack([_dispersion(*each) for each in named], DISPERSION_SCHEMA),
        pairs=pl.DataFrame(pairs, schema=PAIRS_SCHEMA),
        marks=tuple(dict.fromkeys(mark for one in characterizations for mark in one.info.marks)),
    )


def verdict_maf(comparison: Comparison) -> tuple[str, str, str]:
    """Is burstiness much lower in Azure Functions than in BurstGPT: see `pairs.verdict_on_functions`."""
    return verdict_on_functions(comparison.traces, comparison.pairs)


def _unique_names(infos: Sequence[TraceInfo]) -> list[str]:
    """Names that distinguish the traces and say which are synthetic."""
    seen: Counter[str] = Counter()
    out = []
    for info in infos:
        marked = info.synthetic and "synthetic" not in info.name.casefold()
        name = f"{info.name} (synthetic)" if marked else info.name
        seen[name] += 1
        out.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return out


def _stack(frames: Sequence[pl.DataFrame], schema: dict[str, Any]) -> pl.DataFrame:
    return pl.concat(frames) if frames else pl.DataFrame(schema=schema)


def _trace_row(name: str, characterization: Characterization) -> _Row:
    info = characterization.info
    return {
        "trace": name, "format": info.format, "synthetic": info.synthetic, "rows": info.rows,
        "rejected": info.rejected, "covered_s": characterization.part(Volume).observed_s, "day0": info.day0,
        "resolution_s": info.resolution_s, "spread": info.spread, "failure_rule": info.failure_rule,
    }  # fmt: skip


def _coverage_rows(name: str, characterization: Characterization) -> Iterator[_Row]:
    """The paper's Table 1 for one trace, from its columns."""
    info = characterization.info
    lengths = characterization.part(Lengths).frames["quantiles"]
    responses = lengths.filter(pl.col("column") == RESPONSE).height > 0
    if is_functions(info.format):
        requests = (NO, "its arrivals are invocations of functions, not requests to a language model")
    elif info.spread:
        requests = (NO, "it counts requests per minute; when each arrived is unknown")
    elif info.has_tokens or _names_models(characterization):
        requests = (YES, f"{info.rows:,} requests, each with its arrival to {_step(info.resolution_s)}")
    else:
        requests = (CANNOT_TELL, "it has no sign that the requests go to a language model")
    coverage = {
        REQUESTS: requests,
        CONVERSATIONS: (YES, "requests name their session")
        if info.has_sessions
        else (NO, "no request names its session"),
        RESPONSES: (YES, "requests have response tokens")
        if responses
        else (NO, "no request has response tokens"),
        FAILURES: (YES, f"the log shows failures: {info.failure_rule or 'it marks them'}")
        if info.has_failures
        else (NO, "the log does not show failures"),
    }
    for each in PROPERTIES:
        verdict, why = coverage[each]
        yield {"property": each, "trace": name, "held": verdict, "why": why}


def _step(resolution_s: float) -> str:
    """The step of a clock: `the second`, `0.001 s`."""
    return "the second" if resolution_s == 1 else f"{resolution_s:g} s"


def _names_models(characterization: Characterization) -> bool:
    """Whether any selection is one model's requests; traces of one model only do not show it."""
    return bool(characterization.part(Volume).sizes["model"].is_not_null().any())


def _main(table: pl.DataFrame) -> pl.DataFrame:
    """All requests, and each service of several."""
    return table.filter(pl.col("model").is_null())


def _measure_rows(name: str, characterization: Characterization) -> Iterator[_Row]:
    """The measures of all requests and of each service, from the parts that have them."""
    volume, burstiness, lengths = (
        characterization.part(Volume),
        characterization.part(Burstiness),
        characterization.part(Lengths).frames,
    )
    for size in _main(volume.sizes).iter_rows(named=True):
        label = size["selection"]
        row: _Row = {"trace": name, **size, "rows": size["n"], "covered_s": volume.observed_s}
        row |= {key: value for key, value in _first(burstiness.gaps, label).items() if key.startswith("cv")}
        windows = characterization.part(Arrivals).windows.filter(pl.col("selection") == label)
        shape, row["windows"] = median_shape(windows)
        row |= estimate_columns("shape", shape)
        for counts in burstiness.dispersion.filter(pl.col("selection") == label).iter_rows(named=True):
            row |= {f"{kind}_{counts['width_s']:g}s": counts[kind] for kind in ("idc", "rate_cv2")}
        for side in SIDES:
            quantiles = _first(lengths["quantiles"].filter(pl.col("column") == side), label)
            row |= {token_column(side, quantile): quantiles.get(quantile) for quantile in QUANTILES}
            zipf = _first(lengths["zipf"].filter(pl.col("column") == side), label)
            row |= {f"{side}_zipf{end}": zipf.get(f"exponent{end}") for end in ENDS}
        row |= _failure_rate(_first(characterization.part(Failures).rates, label))
        yield {column: row.get(column) for column in MEASURES_SCHEMA}


def _failure_rate(rates: _Row) -> _Row:
    """Pooled rate; its interval resamples days, in which failures cluster, if there are enough."""
    if not rates:
        return {}
    by = "rate_days" if rates["days"] >= MIN_DAYS else "rate"
    return {
        "failure_rate": rates["rate"],
        "failure_rate_low": rates[f"{by}_low"],
        "failure_rate_high": rates[f"{by}_high"],
    }


def _first(table: pl.DataFrame, selection: str) -> _Row:
    """The one row of a selection, empty if there is none."""
    rows = table.filter(pl.col("selection") == selection)
    return rows.row(0, named=True) if rows.height else {}


def _dispersion(name: str, characterization: Characterization) -> pl.DataFrame:
    """Dispersion of the main selections, as `DISPERSION_SCHEMA` has it."""
    table = _main(characterization.part(Burstiness).dispersion).drop_nulls("rate_cv2")
    floor = (pl.col("idc_poisson_high") - 1) / pl.col("mean_count")
    named = table.with_columns(pl.lit(name).alias("trace"), floor.alias("rate_cv2_poisson_high"))
    return named.select(pl.col(column).cast(kind) for column, kind in DISPERSION_SCHEMA.items())


def _missing(named: Sequence[tuple[str, Characterization]], pairs: Sequence[_Row]) -> Iterator[str]:
    """What cannot be compared, and why."""
    if len(named) < 2:
        yield "It takes two traces or more to put them side by side; this report has fewer."
    for name, characterization in named:
        if characterization.info.spread:
            yield f"{name} counts requests per minute: its gaps and everything under a minute are unknown."
    lengths = {name: characterization.part(Volume).observed_s for name, characterization in named}
    if any(not row["decides"] for row in pairs):
        covered = "; ".join(f"{name}: {time_span(length)}" for name, length in lengths.items())
        yield (
            f"The records are of unequal length ({covered}). Where one is more than {COMPARABLE:g} times as "
            "long as the other, slow changes of load, as between day and night, do not count."
        )


def _coverage_sentences(coverage: pl.DataFrame) -> Iterator[str]:
    """Which traces hold everything that the paper's Table 1 asks for, and what each other one lacks."""
    lacks = {
        trace: frame.filter(pl.col("held") != YES)["property"].to_list()
        for (trace,), frame in coverage.group_by("trace", maintain_order=True)
    }
    full = [trace for trace, lacking in lacks.items() if not lacking]
    properties = listing(PROPERTIES)
    if full:
        verb = "has" if len(full) == 1 else "have"
        yield f"{listing(full)} {verb} all that Table 1 of the paper asks for: {properties}."
    elif lacks:
        yield f"None of these traces has all that Table 1 of the paper asks for: {properties}."
    for trace, lacking in lacks.items():
        if lacking:
            yield f"{trace} lacks {listing(lacking)}."


def _side_by_side(of_all: pl.DataFrame) -> Iterator[str]:
    """One sentence a measure, the traces in their order; traces that lack it are named."""
    for title, measure in (
        ("Mean rate in requests/s", "rate_rps"),
        ("CV of the gaps, of the whole record", "cv"),
        ("Median shape of the windows, where 1 is Poisson", "shape"),
        *((f"Median {side} tokens", token_column(side, "p50")) for side in SIDES),
        *((f"Zipf exponent of {side} tokens", f"{side}_zipf") for side in SIDES),
        ("Share of requests that failed", "failure_rate"),
    ):
        rows = of_all.drop_nulls(measure).to_dicts()
        if rows:
            values = "; ".join(f"{row['trace']} {estimate_text(row, measure)}" for row in rows)
            without = of_all.filter(pl.col(measure).is_null())["trace"].to_list()
            yield f"{title}: {values}{f'; unknown for {listing(without)}' if without else ''}."
