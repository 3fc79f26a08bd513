"""Pairs of traces: which is burstier, as a table, in words, and as a verdict on the paper's claim.

Not here: the measures and their outcomes (see `equal_rate`).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from statistics import median
from typing import Any

import polars as pl

from ..core.result import Interval, estimates, listing, number
from ..core.units import per_span, time_span
from ..core.verdicts import CANNOT_TELL, HIGHER, LOWER
from .equal_rate import FULL_RECORD, RATE, Outcome

_Row = dict[str, Any]

MUCH_FACTOR = 2.0
"""Burstiness is much lower if a typical measure of it is at most half."""


PAIRS_SCHEMA: dict[str, Any] = {
    "trace": pl.String, "other": pl.String, "measure": pl.String, "scope": pl.String,
    "width_s": pl.Float64, "mean_count": pl.Float64,
    **estimates("value", "other_value", "ratio"), "outcome": pl.String, "decides": pl.Boolean,
}  # fmt: skip


def pair_row(name: str, other: str, found: Outcome) -> _Row:
    """Write an outcome as a row of `PAIRS_SCHEMA`.

    Parameters
    ----------
    name, other : str
        Names of the two traces.
    found : Outcome

    Returns
    -------
    dict
    """
    return {
        "trace": name, "other": other, "measure": found.measure, "scope": found.scope,
        "width_s": found.width_s, "mean_count": found.mean_count, **estimate_columns("value", found.value),
        **estimate_columns("other_value", found.other), **estimate_columns("ratio", found.ratio),
        "outcome": found.outcome, "decides": found.decides,
    }  # fmt: skip


def estimate_columns(measure: str, estimate: Interval | None) -> _Row:
    """Write an estimate as three columns.

    Parameters
    ----------
    measure : str
        Name of the value's column; its ends get `_low` and `_high`.
    estimate : Interval or None

    Returns
    -------
    dict
        Null for what is not finite; empty for an unknown estimate.
    """
    if estimate is None:
        return {}
    values = zip(("", "_low", "_high"), (estimate.value, estimate.low, estimate.high), strict=True)
    return {f"{measure}{end}": value if isfinite(value) else None for end, value in values}


def pair_sentence(pairs: pl.DataFrame, one: str, other: str) -> str | None:
    """Say which of two traces is burstier at equal mean rate, from the measures that decide.

    Parameters
    ----------
    pairs : DataFrame
        With `PAIRS_SCHEMA`.
    one, other : str
        Names of the traces, in the order of the rows.

    Returns
    -------
    str or None
        None if no measure decides.
    """
    both = pairs.filter(pl.col("trace") == one, pl.col("other") == other, pl.col("measure") == RATE)
    fair = both.filter(pl.col("decides")).to_dicts()
    if not fair:
        return None
    stretches = "" if fair[0]["scope"] == FULL_RECORD else f" and {fair[0]['scope']}"
    widths = {
        outcome: [row["width_s"] for row in fair if row["outcome"] == outcome]
        for outcome in (HIGHER, LOWER, CANNOT_TELL)
    }
    if widths[HIGHER] and widths[LOWER]:
        verdict = (
            f"{one} is burstier than {other} {_spans(widths[HIGHER])} and less bursty {_spans(widths[LOWER])}"
        )
    elif widths[HIGHER]:
        verdict = f"{one} is burstier than {other} {_spans(widths[HIGHER])}"
    elif widths[LOWER]:
        verdict = f"{one} is less bursty than {other} {_spans(widths[LOWER])}"
    else:
        verdict = f"{one} and {other} do not differ beyond noise {_spans(widths[CANNOT_TELL])}"
    if widths[CANNOT_TELL] and len(widths[CANNOT_TELL]) < len(fair):
        verdict += f", with no difference beyond noise {_spans(widths[CANNOT_TELL])}"
    row = max((row for row in fair if row["outcome"] != CANNOT_TELL), key=_width, default=fair[-1])
    sentence = (
        f"At equal mean rate{stretches}, {verdict}. {per_span(row['width_s']).capitalize()} the squared "
        f"variation of the rate is {estimate_text(row, 'value')} against "
        f"{estimate_text(row, 'other_value')}{_times(row)}."
    )
    aside = both.filter(~pl.col("decides"), pl.col("outcome") != CANNOT_TELL).to_dicts()
    if aside and not (widths[HIGHER] or widths[LOWER]):
        row = max(aside, key=_width)
        sentence += (
            f" Over their full records of unequal length it is {estimate_text(row, 'value')} against "
            f"{estimate_text(row, 'other_value')} {per_span(row['width_s'])}."
        )
    return sentence


def _width(row: _Row) -> float:
    return float(row["width_s"])


def _spans(widths: Sequence[float]) -> str:
    """`per second and per minute`."""
    return listing([per_span(width) for width in widths])


def estimate_text(row: _Row, name: str) -> str:
    """Format a value with its interval, such as `0.5 [0.4, 0.6]`.

    Parameters
    ----------
    row : mapping
    name : str
        Of the value's column. An end that nothing bounds (null) is shown as `…`.

    Returns
    -------
    str
    """
    if f"{name}_low" not in row:
        return number(row[name])
    low, high = (
        "…" if row[f"{name}{end}"] is None else number(row[f"{name}{end}"]) for end in ("_low", "_high")
    )
    return number(row[name]) if low == high == "…" else f"{number(row[name])} [{low}, {high}]"


def _times(row: _Row) -> str:
    """The factor, if the interval separates the two."""
    if row["outcome"] == CANNOT_TELL:
        return ""
    if not row["ratio_low"] or row["ratio_high"] is None:
        return f", {row['outcome']}"
    return f", a factor of {estimate_text(row, 'ratio')}"


def is_functions(formats: str) -> bool:
    """Return whether a trace of that format (or formats) is one of Azure Functions."""
    return "azure_functions" in formats


def is_burstgpt(formats: str) -> bool:
    """Return whether a trace of that format (or formats) is BurstGPT or the synthetic one made after it."""
    return "burstgpt" in formats or formats == "synthetic"


def verdict_on_functions(traces: pl.DataFrame, pairs: pl.DataFrame) -> tuple[str, str, str]:
    """Judge whether burstiness is much lower in Azure Functions than in BurstGPT.

    `agrees` if measures that decide are lower and none is higher, typically by a factor of `MUCH_FACTOR`;
    `partly` if they are lower by less, or some lower and some higher; `differs` if some are higher and none
    is lower; `cannot tell` if no interval decides, or a trace is absent. Among several traces of a kind the
    longest record counts, a synthetic one only if there is no other.

    Parameters
    ----------
    traces : DataFrame
        With `side_by_side.TRACES_SCHEMA`.
    pairs : DataFrame
        With `PAIRS_SCHEMA`.

    Returns
    -------
    verdict, values, why : str
    """
    rows = traces.sort("synthetic", -pl.col("covered_s").fill_null(0), maintain_order=True).to_dicts()
    functions = [row for row in rows if is_functions(row["format"])]
    burst = [row for row in rows if is_burstgpt(row["format"]) and not is_functions(row["format"])]
    if not functions or not burst:
        lacking = [
            name
            for name, there in (("a BurstGPT trace", burst), ("an Azure Functions trace", functions))
            if not there
        ]
        return CANNOT_TELL, "", f"It takes {listing(lacking)} on the same page."
    facing = _rows_between(pairs, functions[0]["trace"], burst[0]["trace"])
    fair = [row for row in facing if row["decides"]]
    lower = [row for row in fair if row["outcome"] == LOWER]
    higher = [row for row in fair if row["outcome"] == HIGHER]
    much = bool(lower) and median(row["ratio"] or 0.0 for row in lower) <= 1 / MUCH_FACTOR
    verdict = {
        (True, False): "agrees" if much else "partly",
        (True, True): "partly",
        (False, True): "differs",
        (False, False): CANNOT_TELL,
    }[bool(lower), bool(higher)]
    value = "; ".join(
        f"{_measure_text(row)} {estimate_text(row, 'value')} against {estimate_text(row, 'other_value')}"
        for row in fair
    )
    why = (
        f"{_size_text(functions[0])} against {_size_text(burst[0])} at equal mean rate, "
        f"{len(fair)} measures fair to both: {len(lower)} lower, {len(higher)} higher, "
        f"{len(fair) - len(lower) - len(higher)} within noise."
        if fair
        else "The traces have no measure of arrivals in common."
    )
    if lower and not higher and not much:
        why += f" Lower, but not typically by a factor of {MUCH_FACTOR:g}."
    unfair = [row for row in facing if not row["decides"] and row["outcome"] != CANNOT_TELL]
    if unfair:
        why += (
            " The records are of unequal length, so these do not decide: "
            + "; ".join(f"{_measure_text(row)} {row['outcome']}" for row in unfair)
            + "."
        )
    if burst[0]["synthetic"]:
        why += " The BurstGPT here is synthetic."
    return verdict, value, why


def _size_text(trace: _Row) -> str:
    """A trace with how much of it there is."""
    return f"{trace['trace']} ({trace['rows']:,} requests in {time_span(trace['covered_s'])})"


def _rows_between(pairs: pl.DataFrame, functions: str, burst: str) -> list[_Row]:
    """Rows of this pair, turned so that the functions trace comes first."""
    straight = pairs.filter(pl.col("trace") == functions, pl.col("other") == burst).to_dicts()
    back = pairs.filter(pl.col("trace") == burst, pl.col("other") == functions).to_dicts()
    return straight + [_swap_sides(row) for row in back]


def _swap_sides(row: _Row) -> _Row:
    """The same comparison with the two traces in the other order."""
    out = row | {"trace": row["other"], "other": row["trace"]}
    out["outcome"] = {HIGHER: LOWER, LOWER: HIGHER, CANNOT_TELL: CANNOT_TELL}[row["outcome"]]
    for end, back in (("", ""), ("_low", "_high"), ("_high", "_low")):
        out[f"value{end}"], out[f"other_value{end}"] = row[f"other_value{end}"], row[f"value{end}"]
        out[f"ratio{end}"] = 1 / row[f"ratio{back}"] if row[f"ratio{back}"] else None
    return out


def _measure_text(row: _Row) -> str:
    """A measure in words, with its width or count."""
    at = ""
    if row["width_s"] is not None:
        at = f" {per_span(row['width_s'])}"
    elif row["mean_count"] is not None:
        at = f" in bins of {row['mean_count']:g}"
    return f"{row['measure']}{at}"
