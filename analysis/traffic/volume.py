"""How much there is: requests, span, services and models, tokens, rates, holes and repeated rows.

A rate's interval comes from resampling blocks of time, because arrivals come in bursts and storms and a
Poisson interval would be many times too narrow. Not here: how the rate moves (see `periodicity`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import polars as pl

from ..core.arrays import Array, Integers
from ..core.result import Interval
from ..core.units import DAY_S, HOUR_S, MINUTE_S, counted, time_span
from ..stats.proportions import wilson
from ..trace.aggregates import (
    capitalize_sentence,
    interval_columns,
    interval_of,
    named_members,
    resampled_sums,
    spread_of,
    sum_over_selections,
    ticks_in,
)
from ..trace.trace import Trace
from ..trace.trace_part import PartInputs, TracePart
from .usage import count_usage, usage_sentences

BLOCKS_S = (DAY_S, HOUR_S, MINUTE_S)
"""Rates resample days, else hours, else minutes: the longest that fit `MIN_BLOCKS` times into the record."""
MIN_BLOCKS = 7
MAX_ROWS_FOR_REPEATS = 3_000_000
"""Repeated rows are counted in traces of up to this many requests; it takes longer than all else here."""
DRAWS = 400

KEYS: dict[str, Any] = {"selection": pl.String, "service": pl.String, "model": pl.String}
SIZES: dict[str, Any] = {
    **KEYS,
    "n": pl.Int64,
    **{f"share{end}": pl.Float64 for end in ("", "_low", "_high")},
    "failed": pl.Int64,
    **{f"rate_rps{end}": pl.Float64 for end in ("", "_low", "_high")},
    "request_tokens": pl.Int64,
    "response_tokens": pl.Int64,
    "repeated": pl.Int64,
    "repeated_groups": pl.Int64,
}
SEGMENTS: dict[str, Any] = {
    "segment_id": pl.Int64,
    "start_s": pl.Float64,
    "end_s": pl.Float64,
    "days": pl.Float64,
    "n": pl.Int64,
    "hole_before_s": pl.Float64,
}


@dataclass(frozen=True)
class Volume(TracePart):
    """The size of a trace."""

    name: ClassVar[str] = "volume"
    lead: ClassVar[str] = "How many requests, of which service and model, and at what rate."

    rows: int
    span_s: float
    """From the first arrival to the last, holes included."""
    observed_s: float
    """The span without the holes; rates are per second of this."""
    block_s: float
    """Length of the blocks of time that the rates' intervals resample."""
    sizes: pl.DataFrame
    """Per selection: `n` and its `share` of all, `failed`, `rate_rps` with interval, tokens in all (null
    where the log has none), and rows that share stamp, service, model and lengths with another (`repeated`,
    in `repeated_groups`; null if not counted). Equal rows are requests of the same second, not errors."""
    segments: pl.DataFrame
    """Contiguous parts of the record, with the silence of all services before each."""
    usage: pl.DataFrame
    """Per selection what the log's optional columns say (`usage.USAGE`); no rows if it has none of them."""

    @classmethod
    def describe(cls, inputs: PartInputs) -> Volume:
        """See `describe_volume`."""
        return describe_volume(inputs.trace)

    def tables(self) -> dict[str, pl.DataFrame]:
        """Sizes, segments, and usage if the log has any of its columns."""
        usage = {"usage": self.usage} if self.usage.height else {}
        return {"sizes": self.sizes, "segments": self.segments, **usage}

    def rate_rps(self, selection: str = "all") -> Interval:
        """Mean rate of one selection by its label, requests per second; KeyError for another label."""
        of = self.sizes.filter(pl.col("selection") == selection)
        if of.is_empty():
            raise KeyError(
                f"no selection {selection!r}; this trace has: {', '.join(self.sizes['selection'])}"
            )
        return interval_of(of.row(0, named=True), "rate_rps")

    def sentences(self) -> list[str]:
        """Rows and span, usage, parts, rates, holes, tokens."""
        return [capitalize_sentence(sentence) for sentence in _sentences(self)]


def describe_volume(trace: Trace, seed: int = 0) -> Volume:
    """Count requests and tokens, and estimate rates, of every selection.

    Parameters
    ----------
    trace : Trace
    seed : int
        Of the resampling of blocks of time, which gives the rates' intervals.
    """
    rng = np.random.default_rng(seed)
    engine, info = trace.engine, trace.info
    missing = []
    totals = engine.ask("totals")
    if trace.info.rows <= MAX_ROWS_FOR_REPEATS:
        repeats = engine.ask("repeats").rename({"n": "repeated", "groups": "repeated_groups"})
        totals = totals.join(repeats, on="stream_id", how="left").with_columns(
            pl.col("repeated", "repeated_groups").fill_null(0)
        )
    else:
        missing.append(
            f"Repeated rows are counted only up to {MAX_ROWS_FOR_REPEATS:,} requests: it takes long."
        )
    if not info.has_tokens:
        missing.append("The log has no token counts.")
    block_s = _block_s(trace)
    by_stream = engine.ask("hourly_counts", window_ticks=ticks_in(trace, block_s))
    blocks = sum_over_selections(trace, by_stream.drop("failed"), by=("slot",))
    slots, covered_s = _covered(trace, block_s)
    rows = []
    sizes = sum_over_selections(trace, totals, by=())
    total = max(int(sizes["n"].max() or 0), 1)  # type: ignore[arg-type]
    for row in sizes.iter_rows(named=True):
        own = blocks.filter(pl.col("selection_id") == row["selection_id"])
        n = np.zeros(len(slots))
        n[np.searchsorted(slots, own["slot"].to_numpy())] = own["n"].to_numpy()
        drawn = resampled_sums(rng, np.stack([n, covered_s], axis=1), DRAWS)
        rate = spread_of(float(n.sum() / covered_s.sum()), drawn[:, 0] / drawn[:, 1])
        known = row["with_tokens"] > 0
        rows.append(
            {
                **row,
                **interval_columns("share", wilson(row["n"], total)),
                **interval_columns("rate_rps", rate),
                "request_tokens": row["request_tokens"] if known else None,
                "response_tokens": row["response_tokens"] if known else None,
            }
        )
    names = named_members(trace).drop("stream_id").unique("selection_id").sort("selection_id")
    sized = names.join(
        pl.DataFrame(rows, schema_overrides={"selection_id": names.schema["selection_id"]}),
        on="selection_id",
        maintain_order="left_right",
    )
    usage, unknown = count_usage(trace, names)
    return Volume(
        missing=(*missing, *unknown),
        rows=info.rows,
        span_s=trace.end_s - trace.start_s,
        observed_s=float(covered_s.sum()),
        block_s=block_s,
        sizes=sized.select(
            (pl.col(c) if c in sized.columns else pl.lit(None).alias(c)).cast(kind)
            for c, kind in SIZES.items()
        ),
        segments=_segments(trace, blocks.filter(pl.col("selection_id") == 1), block_s),
        usage=usage,
    )


def _block_s(trace: Trace) -> float:
    """The longest block of time that fits often enough into the record."""
    for block_s in BLOCKS_S:
        if len(_covered(trace, block_s)[0]) >= MIN_BLOCKS:
            return block_s
    return BLOCKS_S[-1]


def _covered(trace: Trace, block_s: float) -> tuple[Integers, Array]:
    """Blocks since midnight of day 0 that the record touches, and how many seconds of each it covers.

    A segment lasts from its first stamp to the end of its last one's tick.
    """
    slots: list[Integers] = []
    covered: list[Array] = []
    for row in trace.segments.iter_rows(named=True):
        start_s, end_s = row["start_s"], row["end_s"] + trace.info.resolution_s
        last = int(np.floor(row["end_s"] / block_s + 1e-9))
        slot = np.arange(int(np.floor(start_s / block_s + 1e-9)), last + 1)
        slots.append(slot)
        inside = np.minimum((slot + 1) * block_s, end_s) - np.maximum(slot * block_s, start_s)
        covered.append(np.maximum(inside, 0.0))
    every, place = np.unique(np.concatenate(slots), return_inverse=True)
    return every, np.bincount(place, np.concatenate(covered)).astype(float)


def _segments(trace: Trace, blocks: pl.DataFrame, block_s: float) -> pl.DataFrame:
    """Rows of `segments`. No block is in two segments: holes are no shorter than a block."""
    rows = []
    ended_s = None
    for row in trace.segments.sort("segment_id").iter_rows(named=True):
        first, last = (int(np.floor(row[end] / block_s + 1e-9)) for end in ("start_s", "end_s"))
        own = blocks.filter(pl.col("slot").is_between(first, last))["n"].sum()
        rows.append(
            {
                **row,
                "n": own,
                "days": (row["end_s"] - row["start_s"]) / DAY_S,
                "hole_before_s": None if ended_s is None else row["start_s"] - ended_s,
            }
        )
        ended_s = row["end_s"]
    return pl.DataFrame(rows, schema_overrides=SEGMENTS).select(*SEGMENTS)


def _sentences(part: Volume) -> list[str]:
    """Size, parts, rates, holes, tokens, repeats."""
    everything = part.sizes.row(0, named=True)
    length = f"in {time_span(part.span_s)}" if part.span_s > 0 else "at one instant"
    if len(part.segments) > 1:
        length = f"in {time_span(part.observed_s)} within {time_span(part.span_s)}"
    rate = interval_of(everything, "rate_rps")
    out = [f"{counted(part.rows, 'request')} {length}: {rate:.3g} per second."]
    out += usage_sentences(part.usage)
    for row in part.sizes.filter(pl.col("service").is_not_null()).iter_rows(named=True):
        out.append(
            f"{row['selection']}: {counted(row['n'], 'request')} ({row['share']:.1%}), "
            f"{interval_of(row, 'rate_rps'):.3g} per second."
        )
    holes = part.segments.filter(pl.col("hole_before_s").is_not_null()).sort("hole_before_s", descending=True)
    if len(holes):
        longest = holes.row(0, named=True)
        length, day = time_span(longest["hole_before_s"]), int(longest["start_s"] // DAY_S)
        out.append(
            f"the record has a hole of {length} before day {day}. Rates and patterns leave it out."
            if len(holes) == 1
            else f"the record has {len(holes)} holes, {time_span(part.span_s - part.observed_s)} in all; the "
            f"longest, of {length}, ends on day {day}. Rates and patterns leave them out."
        )
    if everything["request_tokens"] is not None:
        out.append(
            f"the requests carry {everything['request_tokens']:,} request tokens and "
            f"{everything['response_tokens']:,} response tokens."
        )
    if everything["repeated"]:
        out.append(
            f"{everything['repeated']:,} requests have the same time stamp, service, model and lengths as "
            "another. "
            "They count as separate requests."
        )
    return out
