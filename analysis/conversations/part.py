"""Sessions: turns, the time between turns, and how both are related.

A failed request is a turn too: a person sent it. Every interval takes the session as the independent thing,
by resampling or by cluster-robust errors. Not here: the estimators (see `sessions`), the laws (see `laws`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import polars as pl

from ..core.arrays import Array, Integers
from ..core.result import Interval, Z, estimates
from ..stats import likelihood
from ..stats.likelihood import Fit, Histogram
from ..stats.proportions import wilson
from ..stats.quantiles import ranks
from ..trace.aggregates import capitalize_sentence, interval_columns, interval_of, spread_of
from ..trace.trace import Trace
from ..trace.trace_part import PartInputs, TracePart
from .laws import TURN_LAWS, coarse_histogram, interval_laws
from .sessions import (
    Sessions,
    by_service,
    by_turns,
    exceeds_fetch_limit,
    mean_of,
    mean_over,
    quantile_over,
    relation,
    share_over,
)

Bin = tuple[dict[str, Any], Sessions]

LONG_S = (60.0, 300.0, 600.0)
"""Fixed bounds above which an interval counts as long: a minute, five, ten."""
FENCE_IQR = 1.5
"""The computed bounds are this many interquartile ranges above the upper quartile, on two scales."""
HIGH_QUANTILE = 0.9
"""The high quantile of intervals."""
DRAWS = 1000

KEYS = {"selection": pl.String, "service": pl.String, "model": pl.String}


BY_TURNS: dict[str, Any] = {"turns": pl.String, "turns_low": pl.Int64, "turns_high": pl.Int64}
SUMMARY = {**KEYS, "measure": pl.String, "sessions": pl.Int64, **estimates("value"), "whole_only": pl.Float64}
TURNS_TABLE = {
    **KEYS,
    "turns": pl.Int64,
    "sessions": pl.Int64,
    **estimates("share"),
    **{family.name.replace(" ", "_"): pl.Float64 for family in TURN_LAWS},
}
MODELS = {
    **KEYS,
    "family": pl.String,
    "parameter": pl.String,
    **estimates("value"),
    "log_likelihood": pl.Float64,
    "aic": pl.Float64,
    "bic": pl.Float64,
    "ks_distance": pl.Float64,
    "best": pl.Boolean,
    "converged": pl.Boolean,
}
INTERVALS = {
    **KEYS,
    "since": pl.String,
    **BY_TURNS,
    "sessions": pl.Int64,
    "intervals": pl.Int64,
    **estimates("mean_s", "median_s", "p90_s"),
}
LONG = {
    **KEYS,
    "bound": pl.String,
    "bound_s": pl.Float64,
    **BY_TURNS,
    "sessions": pl.Int64,
    "intervals": pl.Int64,
    **estimates("per_session", "share"),
    "if_alike": pl.Float64,
}
RELATIONS = {**KEYS, "of": pl.String, "sessions": pl.Int64, **estimates("correlation")}


@dataclass(frozen=True)
class Conversations(TracePart):
    """What sessions look like, for each service that has any; frames start with selection, service, model."""

    name: ClassVar[str] = "conversations"
    lead: ClassVar[str] = "Turns of a session and the time between them."

    turns_summary: pl.DataFrame
    """`single_share`, `median`, `mean`, `four_or_fewer`, `cut_share` (sessions near an edge of the record),
    and of intervals `interval_median_s`, `interval_mean_s`, `interval_p90_s`, `overlap_share` (sent before
    the last response had ended): `value` with interval, and `whole_only`, the same without the sessions
    near an edge."""
    turns: pl.DataFrame
    """Sessions by number of turns, their share, and the share that each fitted law gives."""
    turn_models: pl.DataFrame
    """Fitted laws of turns, a row a parameter; `best` by AIC."""
    decline: pl.DataFrame
    """Log-likelihood per session of the geometric law over the power law, `ratio` with Vuong's interval."""
    intervals: pl.DataFrame
    """Mean, median and 90th percentile of intervals by turns, `since` the last `request` or `response`."""
    long: pl.DataFrame
    """Intervals over each bound by turns: number per session, share of intervals, and `if_alike`, the number
    per session if every interval were long with the same probability: what more turns alone would do."""
    relations: pl.DataFrame
    """Correlation of the rank of a session's turns with its mean interval, the mean rank of its intervals,
    and the number (by rank) and the share of its intervals over each bound (see `sessions.relation`)."""
    interval_models: pl.DataFrame
    """Laws of the interval from stamp to stamp, a row a parameter; `best` by AIC."""

    @classmethod
    def describe(cls, inputs: PartInputs) -> Conversations:
        """See `describe_conversations`."""
        return describe_conversations(inputs.trace, seed=inputs.seed)

    def tables(self) -> dict[str, pl.DataFrame]:
        """Summary first."""
        return {
            "turns_summary": self.turns_summary,
            "turns": self.turns,
            "turn_models": self.turn_models,
            "decline": self.decline,
            "intervals": self.intervals,
            "long": self.long,
            "relations": self.relations,
            "interval_models": self.interval_models,
        }

    def measure(self, selection: str, measure: str) -> Interval:
        """Look up one value of `turns_summary`.

        Parameters
        ----------
        selection, measure : str
            As the table's columns name them.

        Returns
        -------
        Interval

        Raises
        ------
        KeyError
            When it was not measured.
        """
        of = self.turns_summary.filter(pl.col("selection") == selection, pl.col("measure") == measure)
        if of.is_empty():
            raise KeyError(f"no {measure!r} of {selection!r}")
        return interval_of(of.row(0, named=True), "value")

    def sentences(self) -> list[str]:
        """Turns, their law, intervals against turns, long intervals."""
        out: list[str] = []
        for selection in self.turns_summary["selection"].unique(maintain_order=True):
            out.extend(_sentences(self, selection))
        return out


def describe_conversations(trace: Trace, seed: int = 0) -> Conversations:
    """Describe the sessions of each service that has any.

    Parameters
    ----------
    trace : Trace
    seed : int
        Of the resampling of sessions.
    """
    rng = np.random.default_rng(seed)
    frames: dict[str, list[pl.DataFrame]] = {name: [] for name in _SCHEMAS}
    missing = []
    if not trace.info.has_sessions:
        missing.append(
            "The log has no sessions, so turns per conversation and the time between them are unknown."
        )
    elif exceeds_fetch_limit(trace):
        missing.append(
            f"More than {trace.engine.fetch_limit_rows:,} requests name a session, too many for one process. "
            "For turns and the time between them, read fewer days or use DuckDB as the engine."
        )
    else:
        edges = [(row["start_s"], row["end_s"]) for row in trace.segments.iter_rows(named=True)]
        step_s = trace.info.resolution_s
        for selection, rows in by_service(trace):
            sessions = Sessions.of(rows, step_s, edges)
            for name, frame in _describe(sessions, step_s, rng).items():
                keys = [
                    pl.lit(value, dtype=pl.String).alias(key)
                    for key, value in zip(
                        KEYS, (selection.label, selection.service, selection.model), strict=True
                    )
                ]
                frames[name].append(frame.with_columns(keys).select(_cast(_SCHEMAS[name])))
            if sessions.idle_s is None and len(sessions.gap_s):
                missing.append(
                    f"{capitalize_sentence(selection.label)}: the log has no elapsed time, so intervals run "
                    "from request to request only."
                )
    made: dict[str, Any] = {
        name: pl.concat(parts) if parts else pl.DataFrame(schema=_SCHEMAS[name])
        for name, parts in frames.items()
    }
    return Conversations(missing=tuple(missing), **made)


def _describe(sessions: Sessions, step_s: float, rng: np.random.Generator) -> dict[str, pl.DataFrame]:
    """Every frame of the part for one service, without the selection's columns."""
    counts = Histogram.of(sessions.turns.astype(float))
    laws = [likelihood.fit(family, counts) for family in TURN_LAWS] if len(counts.values) > 1 else []
    gaps = coarse_histogram(sessions.gap_s, step_s) if len(sessions.gap_s) else None
    interval_fits = (
        [likelihood.fit(law, gaps) for law in interval_laws(step_s)] if gaps and len(gaps.values) > 2 else []
    )
    bins = list(by_turns(sessions))
    return {
        "turns_summary": _summary(sessions, rng),
        "turns": _turns(counts, laws),
        "turn_models": _models(laws),
        "decline": _decline(counts, laws),
        "intervals": _intervals(bins),
        "long": _long(sessions, bins, step_s),
        "relations": _relations(sessions, step_s),
        "interval_models": _models(interval_fits),
    }


def _summary(sessions: Sessions, rng: np.random.Generator) -> pl.DataFrame:
    """Rows of `turns_summary`."""
    uncut = sessions.only(~sessions.near_edge)
    n = len(sessions.turns)
    resampled = _turn_measures(_resampled_turns(sessions.turns, rng))
    rows = [
        {"measure": measure, "sessions": n, **interval_columns("value", spread_of(value, resampled[measure]))}
        for measure, value in _single(_turn_measures(_turn_counts(sessions.turns))).items()
    ]
    left = _single(_turn_measures(_turn_counts(uncut.turns))) if len(uncut.turns) else {}
    for row in rows:
        row["whole_only"] = left.get(str(row["measure"]))
    cut = wilson(float(sessions.near_edge.sum()), n)
    rows.append({"measure": "cut_share", "sessions": n, **interval_columns("value", cut), "whole_only": None})
    all_measures, uncut_measures = _everything(sessions), _everything(uncut)
    for measure, value in all_measures.items():
        rows.append(
            {
                "measure": measure,
                "sessions": int(np.count_nonzero(sessions.turns > 1)),
                **interval_columns("value", value),
                "whole_only": uncut_measures[measure].value if measure in uncut_measures else None,
            }
        )
    return _frame(rows, SUMMARY)


def _turn_counts(turns: Integers) -> tuple[Array, Array]:
    """Distinct numbers of turns, and how many sessions have each, shapes (k,) and (1, k)."""
    values, counts = np.unique(turns, return_counts=True)
    return values.astype(float), counts[None, :].astype(float)


def _resampled_turns(turns: Integers, rng: np.random.Generator) -> tuple[Array, Array]:
    """The same for sessions drawn with replacement, counts of shape (draws, k)."""
    values, counts = _turn_counts(turns)
    n = int(counts.sum())
    return values, rng.multinomial(n, counts[0] / n, size=DRAWS).astype(float)


def _turn_measures(counted: tuple[Array, Array]) -> dict[str, Array]:
    """Single share, median, mean, and share with four turns or fewer, each of shape (draws,)."""
    values, counts = counted
    n = counts.sum(axis=1)
    reached = np.cumsum(counts, axis=1)
    # The mean of the two middle ones, as everyone's median.
    lower = values[np.argmax(reached > ((n - 1) // 2)[:, None], axis=1)]
    upper = values[np.argmax(reached > (n // 2)[:, None], axis=1)]
    return {
        "single_share": counts @ (values == 1) / n,
        "median": (lower + upper) / 2,
        "mean": counts @ values / n,
        "four_or_fewer": counts @ (values <= 4) / n,
    }


def _single(measures: dict[str, Array]) -> dict[str, float]:
    return {name: float(values[0]) for name, values in measures.items()}


def _everything(sessions: Sessions) -> dict[str, Interval]:
    """Intervals of all sessions together."""
    if not len(sessions.gap_s):
        return {}
    found = {
        "interval_median_s": quantile_over(sessions, sessions.gap_s, 0.5),
        "interval_mean_s": mean_over(sessions, sessions.gap_s),
        "interval_p90_s": quantile_over(sessions, sessions.gap_s, HIGH_QUANTILE),
    }
    if sessions.idle_s is not None:
        known = np.isfinite(sessions.idle_s)
        found["overlap_share"] = share_over(sessions, sessions.idle_s < 0, known)
    return found


def _turns(counts: Histogram, laws: list[Fit]) -> pl.DataFrame:
    """Rows of `turns`."""
    rows: list[dict[str, Any]] = [
        {"turns": int(k), "sessions": int(n), **interval_columns("share", wilson(n, counts.n))}
        for k, n in zip(counts.values, counts.counts, strict=True)
    ]
    for family, law in zip(TURN_LAWS, laws, strict=False):
        given = np.exp(family.log_probability(law.theta, counts.values))
        for row, share in zip(rows, given, strict=True):
            row[family.name.replace(" ", "_")] = float(share)
    return _frame(rows, TURNS_TABLE)


def _models(fits: list[Fit]) -> pl.DataFrame:
    """A row a parameter of each fit."""
    best = min((f.aic for f in fits), default=0.0)
    return _frame(
        [
            {
                "family": f.family,
                "parameter": parameter,
                **interval_columns("value", value),
                "log_likelihood": f.log_likelihood,
                "aic": f.aic,
                "bic": f.bic,
                "ks_distance": f.ks_distance,
                "best": f.aic == best,
                "converged": f.converged,
            }
            for f in fits
            for parameter, value in f.parameters.items()
        ],
        MODELS,
    )


DECLINE = {**KEYS, "sessions": pl.Int64, **estimates("ratio")}


def _decline(counts: Histogram, laws: list[Fit]) -> pl.DataFrame:
    """Vuong's comparison of the first two laws of `TURN_LAWS` (Econometrica 57, 1989)."""
    if len(laws) < 2:
        return _frame([], DECLINE)
    per_session = TURN_LAWS[0].log_probability(laws[0].theta, counts.values) - TURN_LAWS[1].log_probability(
        laws[1].theta, counts.values
    )
    mean = float(per_session @ counts.counts / counts.n)
    error = float(np.sqrt((per_session - mean) ** 2 @ counts.counts) / counts.n)
    ratio = Interval(mean, mean - Z * error, mean + Z * error)
    return _frame([{"sessions": int(counts.n), **interval_columns("ratio", ratio)}], DECLINE)


def _intervals(bins: list[Bin]) -> pl.DataFrame:
    """Rows of `intervals`."""
    rows = []
    for since in ("request", "response"):
        for named, group in bins:
            values = group.gap_s if since == "request" else group.idle_s
            if values is None or not np.isfinite(values).any():
                continue
            known = np.isfinite(values)
            rows.append(
                {
                    "since": since,
                    **named,
                    **interval_columns("mean_s", mean_over(group, values, known)),
                    **interval_columns("median_s", quantile_over(group, values, 0.5)),
                    **interval_columns("p90_s", quantile_over(group, values, HIGH_QUANTILE)),
                }
            )
    return _frame(rows, INTERVALS)


def _bounds(gap_s: Array, step_s: float) -> dict[str, float]:
    """The fixed bounds, and the IQR bound on the plain and on the log scale."""
    bounds = {f"{bound:g} s": bound for bound in LONG_S}
    if len(gap_s):
        low, high = np.quantile(gap_s, [0.25, 0.75])
        bounds["IQR"] = float(high + FENCE_IQR * (high - low))
        low, high = np.log(np.maximum([low, high], step_s / 2))
        bounds["IQR of logs"] = float(np.exp(high + FENCE_IQR * (high - low)))
    return bounds


def _long(sessions: Sessions, bins: list[Bin], step_s: float) -> pl.DataFrame:
    """Rows of `long`."""
    rows = []
    for bound, bound_s in _bounds(sessions.gap_s, step_s).items():
        overall = float(np.mean(sessions.gap_s > bound_s)) if len(sessions.gap_s) else 0.0
        for named, group in bins:
            over = group.gap_s > bound_s
            rows.append(
                {
                    "bound": bound,
                    "bound_s": bound_s,
                    **named,
                    **interval_columns("per_session", mean_of(group.sums(over.astype(float)))),
                    **interval_columns("share", share_over(group, over)),
                    "if_alike": overall * float(np.mean(group.turns - 1)),
                }
            )
    return _frame(rows, LONG)


def _relations(sessions: Sessions, step_s: float) -> pl.DataFrame:
    """Rows of `relations`, over sessions with two turns or more."""
    several = sessions.only(sessions.turns > 1)
    intervals = np.maximum(several.turns - 1, 1)
    measures = {
        "mean interval": several.sums(several.gap_s) / intervals,
        "rank of intervals": several.sums(ranks(several.gap_s)) / intervals,
    }
    for bound, bound_s in _bounds(sessions.gap_s, step_s).items():
        over = several.sums((several.gap_s > bound_s).astype(float))
        measures |= {f"number over {bound}": ranks(over), f"share over {bound}": over / intervals}
    rows = [
        {
            "of": of,
            "sessions": len(several.turns),
            **interval_columns("correlation", relation(several.turns, values)),
        }
        for of, values in measures.items()
    ]
    return _frame(rows, RELATIONS)


_SCHEMAS: dict[str, dict[str, Any]] = {
    "turns_summary": SUMMARY,
    "turns": TURNS_TABLE,
    "turn_models": MODELS,
    "decline": DECLINE,
    "intervals": INTERVALS,
    "long": LONG,
    "relations": RELATIONS,
    "interval_models": MODELS,
}


def _frame(rows: list[dict[str, Any]], schema: dict[str, Any]) -> pl.DataFrame:
    """Rows with the columns of a schema that do not name the selection."""
    own = {column: kind for column, kind in schema.items() if column not in KEYS}
    return pl.DataFrame([{column: row.get(column) for column in own} for row in rows], schema=own)


def _cast(schema: dict[str, Any]) -> list[pl.Expr]:
    return [pl.col(column).cast(kind) for column, kind in schema.items()]


def _sentences(part: Conversations, selection: str) -> list[str]:
    """Findings of one service: how many turns, by which law, and how intervals go with turns."""

    def of(frame: pl.DataFrame, **wanted: object) -> list[dict[str, Any]]:
        named = [pl.col(column) == value for column, value in wanted.items()]
        return frame.filter(pl.col("selection") == selection, *named).to_dicts()

    measured = {row["measure"]: row for row in of(part.turns_summary)}
    value = {name: interval_of(row, "value") for name, row in measured.items()}
    who = "sessions" if selection == "all" else f"{selection} sessions"
    out = [
        f"of {measured['mean']['sessions']:,} {who}, {value['single_share']:.1%} have a single request and "
        f"{value['four_or_fewer']:.1%} four or fewer; the median is {value['median'].value:g}, the mean "
        f"{value['mean']:.2f}."
    ]
    for row in of(part.decline):
        ratio = interval_of(row, "ratio")
        decline = f"turns decline {'exponentially rather than as' if ratio.low > 0 else 'as'} a power law"
        if ratio.low <= 0 <= ratio.high:
            decline = "cannot tell an exponential decline of turns from a power law"
        best = next((m["family"] for m in of(part.turn_models, best=True)), "neither")
        out.append(
            f"{decline} (log-likelihood ratio per session {ratio:.3f}); the best law by AIC is {best}."
        )
    if "interval_median_s" in value:
        median, high = value["interval_median_s"], value["interval_p90_s"]
        out.append(
            f"the median time between two requests of a session is {median:.0f} s, the P90 {high:.0f} s."
        )
    related = {row["of"]: interval_of(row, "correlation") for row in of(part.relations)}
    if np.isfinite(related["mean interval"].low):
        mean = related["mean interval"]
        goes = _direction(mean, "grows", "shrinks", "does not visibly change")
        out.append(
            f"the mean interval of a session {goes} with its number of requests (correlation {mean:.2f})."
        )
    fixed = f"{LONG_S[1]:g} s"
    number, share = related[f"number over {fixed}"], related[f"share over {fixed}"]
    if np.isfinite(number.low):
        grows = _direction(number, "grows", "shrinks", "does not visibly change")
        because = ", partly because it has more intervals" if number.low > 0 else ""
        out.append(
            f"the number of intervals over {fixed} in a session {grows} with its number of requests "
            "(correlation "
            f"{number:.2f}){because}; their share of its intervals "
            f"{_direction(share, 'grows too', 'shrinks', 'does not visibly change')} (correlation "
            f"{share:.2f})."
        )
    cut = measured["cut_share"]
    if cut["value"] > 0 and measured["mean"]["whole_only"] is not None:
        out.append(
            f"{cut['value']:.1%} of the sessions are so near an edge of the record that they may be cut off; "
            f"the others have {measured['mean']['whole_only']:.2f} requests on average."
        )
    return [capitalize_sentence(sentence) for sentence in out]


def _direction(value: Interval, up: str, down: str, neither: str) -> str:
    """One of three phrases: interval above zero, below zero, or around zero (also if undefined)."""
    return up if value.low > 0 else down if value.high < 0 else neither
