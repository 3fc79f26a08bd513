"""The tables of `lengths` in plain sentences; every number comes from them."""

from __future__ import annotations

from typing import Any

import polars as pl

from ..core.result import Interval
from ..core.units import counted
from .families import TITLES

MIN_PAIRS = 50
"""Fewer pairs of lengths get no sentence on their relation."""
CLOSE_DISTANCE = 0.05
"""A law that misplaces no more of the requests than this, at any length, describes them."""
MAX_LISTED_SELECTIONS = 6
"""Selections that a sentence lists; the table has the others."""


def sentences(tables: dict[str, pl.DataFrame]) -> list[str]:
    """Laws, modes, responses by request, the joint model, and what was left out."""
    selections = _main_selections(tables["rows"])
    lines = _laws(tables["zipf"])
    lines.extend(_modes(tables["bimodality"]))
    for name in selections:
        lines.extend(_relation(tables, name))
    lines.extend(_dropped_rows(tables["rows"]))
    return lines


def _main_selections(rows: pl.DataFrame) -> list[str]:
    """Each service if there are several, else everything; the models are in the tables."""
    services = rows.filter(pl.col("service").is_not_null() & pl.col("model").is_null())
    rows_of_parts = services if len(services) else rows.filter(pl.col("service").is_null())
    return rows_of_parts["selection"].unique(maintain_order=True).to_list()


def _rows_of(table: pl.DataFrame, selection: str) -> list[dict[str, Any]]:
    return table.filter(pl.col("selection") == selection).to_dicts()


def _value(row: dict[str, Any], name: str, spec: str) -> str:
    """Value and interval, or the value alone if the trace is too short for an interval."""
    value, low, high = row[name], row[f"{name}_low"], row[f"{name}_high"]
    if low is None or high is None:
        return f"{value:{spec}}"
    return format(Interval(value, low, high), spec)


def _laws(zipf: pl.DataFrame) -> list[str]:
    """How far a bounded Zipf is off, and the best law: a sentence for each column and verdict."""
    lines = []
    for follows in (False, True):
        for column in ("request", "response"):
            of = (pl.col("column") == column) & ((pl.col("ks") <= CLOSE_DISTANCE) == follows)
            named = [_law(row) for row in _parts(zipf).filter(of).to_dicts()]
            if named:
                verdict = f"are within {CLOSE_DISTANCE:.0%} of" if follows else "do not follow"
                lines.append(
                    f"{column.capitalize()} lengths {verdict} a bounded Zipf law: {_selection_list(named)} "
                    "(Kolmogorov–Smirnov distances; best law by BIC)."
                )
    return lines


def _parts(table: pl.DataFrame) -> pl.DataFrame:
    """The services and their models if the log has services, else all requests."""
    parts = table.filter(pl.col("service").is_not_null())
    return parts if len(parts) else table


def _selection_list(named: list[str]) -> str:
    more = f"; and {len(named) - MAX_LISTED_SELECTIONS} more" if len(named) > MAX_LISTED_SELECTIONS else ""
    return "; ".join(named[:MAX_LISTED_SELECTIONS]) + more


def _law(row: dict[str, Any]) -> str:
    zipf = f"{row['selection']} is {row['ks']:.1%} off with exponent {_value(row, 'exponent', '.2f')}"
    if row["winner"] == "zipf":
        return f"{zipf}, and no law is better"
    return f"{zipf}, a {TITLES[row['winner']]} {row['winner_ks']:.1%}"


def _modes(table: pl.DataFrame) -> list[str]:
    """Verdict of both tests on responses: a sentence for each scale and verdict, naming the selections."""
    lines = []
    responses = _parts(table).filter(pl.col("column") == "response")
    for (verdict, scale), group in responses.group_by("verdict", "scale", maintain_order=True):
        named = [_selection_modes(row) for row in group.to_dicts()]
        found = {
            "several modes": "have several modes, by the dip test and by the mixture",
            "one mode": "have one mode, by the dip test and by the mixture",
        }.get(str(verdict), f"have {verdict}")
        where = "a logarithmic scale" if scale == "log tokens" else "the scale of tokens"
        lines.append(f"On {where}, response lengths {found}: {_selection_list(named)}.")
    return lines


def _selection_modes(row: dict[str, Any]) -> str:
    at = [f"{row[mode]:,.0f}" for mode in ("mode_1", "mode_2", "mode_3") if row[mode] is not None]
    places = f"{', '.join(at[:-1])} and {at[-1]}" if len(at) > 1 else at[0]
    return f"{row['selection']} near {places} tokens (dip {row['dip']:.1%}, p = {row['p_value']:.3f})"


def _relation(tables: dict[str, pl.DataFrame], name: str) -> list[str]:
    responses = "Responses" if name == "all" else f"Responses of {name}"
    joint = _rows_of(tables["joint"], name)
    if not joint or joint[0]["n"] < MIN_PAIRS:
        return []
    lines = [
        f"{responses} and their requests have a rank correlation of {_value(joint[0], 'spearman', '.2f')}."
    ]
    for row in _rows_of(tables["slope"], name):
        if row["range"] != "all":
            lines.append(_slope(row, responses))
    for row in _rows_of(tables["spread"], name):
        if row["range"] != "all":
            lines.append(_spread(row, responses))
    best = "rank grid" if joint[0]["copula"] == "rank_grid" else "Gaussian copula"
    lines.append(
        f"A {best} joins request and response lengths{'' if name == 'all' else f' of {name}'} best, by BIC. "
        f"Drawing both sides independently misplaces {joint[0]['tv_independent']:.1%} of pairs, a Gaussian "
        f"copula {joint[0]['tv_gaussian']:.1%}, a rank grid {joint[0]['tv_grid']:.1%}, chance alone "
        f"{joint[0]['tv_chance']:.1%}."
    )
    return lines


def _slope(row: dict[str, Any], responses: str) -> str:
    way = "move with"
    if row["slope_low"] is not None:
        way = "neither grow nor shrink beyond chance with"
        if row["slope_low"] > 0:
            way = "grow with"
        elif row["slope_high"] < 0:
            way = "shrink with"
    means = ""
    if row["straightness"] is not None:
        means = f"{row['straightness']:.0%} of how their mean changes and "
    return (
        f"From {row['range']}, {_lower(responses)} {way} the request: {_value(row, 'slope', '.3f')} response "
        f"tokens per request token. A straight line explains {means}{row['r_squared']:.1%} of how single "
        "responses vary."
    )


def _spread(row: dict[str, Any], responses: str) -> str:
    closer = "a Gaussian" if row["ks_normal"] <= row["ks_log_normal"] else "a log-normal"
    growth = ""
    if row["growth"] is not None:
        growth = (
            f" Their standard deviation grows as request length to the power {_value(row, 'growth', '.2f')}."
        )
    return (
        f"From {row['range']}, {_lower(responses)} to requests of about the same length are closer to "
        f"{closer}: {row['ks_normal']:.1%} off a Gaussian, {row['ks_log_normal']:.1%} off a log-normal, with "
        f"skewness {row['skewness']:.2f} on average.{growth}"
    )


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def _dropped_rows(rows: pl.DataFrame) -> list[str]:
    """How many rows of the trace were left out."""
    totals = rows.filter(pl.col("service").is_null() & pl.col("model").is_null()).to_dicts()
    if not totals or not any(row["failed"] + row["absent"] + row["zero"] for row in totals):
        return []
    parts = [counted(totals[0]["failed"], "failed request")]
    for row in totals:
        for kind in ("absent", "zero"):
            if row[kind]:
                parts.append(counted(row[kind], f"{kind} {row['column']} length"))
    return [f"Left out: {', '.join(parts)}."]
