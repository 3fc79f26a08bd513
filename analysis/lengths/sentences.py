"""What the tables of `lengths` say, in plain sentences; every number is read from them."""

from __future__ import annotations

from typing import Any

import polars as pl

from ..core.result import Interval
from .families import TITLES

FEWEST = 50
"""Pairs of lengths below which nothing is said of how they go together."""
CLOSE = 0.05
"""A law that misplaces no more of the requests than this, at any length, describes them."""
MAX_NAMED = 6
"""Selections that a sentence lists; the table has the others."""


def sentences(tables: dict[str, pl.DataFrame]) -> list[str]:
    """Laws, modes, responses by request, the joint model, and what was left out."""
    selections = _main_selections(tables["rows"])
    lines = _laws(tables["zipf"])
    lines.extend(_modes(tables["bimodality"]))
    for name in selections:
        lines.extend(_relation(tables, name))
    lines.extend(_dropped(tables["rows"]))
    return lines


def _main_selections(rows: pl.DataFrame) -> list[str]:
    """Each service where there are several, else everything; the models are in the tables."""
    services = rows.filter(pl.col("service").is_not_null() & pl.col("model").is_null())
    rows_of_parts = services if len(services) else rows.filter(pl.col("service").is_null())
    return rows_of_parts["selection"].unique(maintain_order=True).to_list()


def _of(table: pl.DataFrame, selection: str) -> list[dict[str, Any]]:
    return table.filter(pl.col("selection") == selection).to_dicts()


def _with(row: dict[str, Any], name: str, spec: str) -> str:
    """Value and interval, or the value alone where the trace is too short for one."""
    value, low, high = row[name], row[f"{name}_low"], row[f"{name}_high"]
    if low is None or high is None:
        return f"{value:{spec}}"
    return format(Interval(value, low, high), spec)


def _laws(zipf: pl.DataFrame) -> list[str]:
    """How far a bounded Zipf is off, and the best law: a sentence for each column and verdict."""
    lines = []
    for follows in (False, True):
        for column in ("request", "response"):
            of = (pl.col("column") == column) & ((pl.col("ks") <= CLOSE) == follows)
            named = [_law(row) for row in _parts(zipf).filter(of).to_dicts()]
            if named:
                verdict = f"are within {CLOSE:.0%} of" if follows else "do not follow"
                lines.append(
                    f"{column.capitalize()} lengths {verdict} a bounded Zipf law "
                    f"(Kolmogorov–Smirnov distance; that of the best law by BIC): {_listed(named)}."
                )
    return lines


def _parts(table: pl.DataFrame) -> pl.DataFrame:
    """The services and their models where there are services to tell apart, else everything there is."""
    parts = table.filter(pl.col("service").is_not_null())
    return parts if len(parts) else table


def _listed(named: list[str]) -> str:
    more = f"; and {len(named) - MAX_NAMED} more" if len(named) > MAX_NAMED else ""
    return "; ".join(named[:MAX_NAMED]) + more


def _law(row: dict[str, Any]) -> str:
    best = "itself" if row["winner"] == "zipf" else f"{TITLES[row['winner']]} {row['winner_ks']:.1%}"
    return f"{row['selection']} {row['ks']:.1%} with exponent {_with(row, 'exponent', '.2f')} ({best})"


def _modes(table: pl.DataFrame) -> list[str]:
    """What both tests say of responses, a sentence for each scale and verdict, naming the selections."""
    lines = []
    responses = _parts(table).filter(pl.col("column") == "response")
    for (verdict, scale), group in responses.group_by("verdict", "scale", maintain_order=True):
        named = [_selection_modes(row) for row in group.to_dicts()]
        found = {
            "several modes": "have several modes, by the dip test and by the mixture",
            "one mode": "have one mode, by the dip test and by the mixture",
        }.get(str(verdict), f"have {verdict}")
        where = "a logarithmic scale" if scale == "log tokens" else "the scale of tokens"
        lines.append(f"On {where} response lengths {found}: {_listed(named)}.")
    return lines


def _selection_modes(row: dict[str, Any]) -> str:
    at = [f"{row[mode]:,.0f}" for mode in ("mode_1", "mode_2", "mode_3") if row[mode] is not None]
    places = f"{', '.join(at[:-1])} and {at[-1]}" if len(at) > 1 else at[0]
    return f"{row['selection']} (dip {row['dip']:.1%}, p = {row['p_value']:.3f}; near {places} tokens)"


def _relation(tables: dict[str, pl.DataFrame], name: str) -> list[str]:
    whose = "Responses" if name == "all" else f"Responses of {name}"
    joint = _of(tables["joint"], name)
    if not joint or joint[0]["n"] < FEWEST:
        return []
    lines = [f"{whose} go with their requests by a rank correlation of {_with(joint[0], 'spearman', '.2f')}."]
    for row in _of(tables["slope"], name):
        if row["range"] != "all":
            lines.append(_slope(row, whose))
    for row in _of(tables["spread"], name):
        if row["range"] != "all":
            lines.append(_spread(row, whose))
    best = "rank grid" if joint[0]["copula"] == "rank_grid" else "Gaussian copula"
    lines.append(
        f"Drawing both lengths of {'' if name == 'all' else f'{name} '}requests on their own misplaces "
        f"{joint[0]['tv_independent']:.1%} of pairs, a Gaussian copula {joint[0]['tv_gaussian']:.1%}, "
        f"a rank grid {joint[0]['tv_grid']:.1%} (chance alone {joint[0]['tv_chance']:.1%}): "
        f"by BIC the {best} is used."
    )
    return lines


def _slope(row: dict[str, Any], whose: str) -> str:
    way = "move with"
    if row["slope_low"] is not None:
        way = "neither grow nor shrink beyond chance with"
        if row["slope_low"] > 0:
            way = "grow with"
        elif row["slope_high"] < 0:
            way = "shrink with"
    means = ""
    if row["straightness"] is not None:
        means = f"a straight line explains {row['straightness']:.0%} of how the mean moves and "
    else:
        means = "a straight line explains "
    return (
        f"{whose} {way} the request from {row['range']}: {_with(row, 'slope', '.3f')} response tokens per "
        f"request token; {means}{row['r_squared']:.1%} of how single responses vary."
    )


def _spread(row: dict[str, Any], whose: str) -> str:
    closer = "a Gaussian" if row["ks_normal"] <= row["ks_log_normal"] else "a log-normal"
    growth = ""
    if row["growth"] is not None:
        growth = f"; their standard deviation grows as request length to the {_with(row, 'growth', '.2f')}"
    return (
        f"Per request bin from {row['range']}, {whose[0].lower()}{whose[1:]} are {row['ks_normal']:.1%} off "
        f"a Gaussian and {row['ks_log_normal']:.1%} off a log-normal, so closer to {closer}, with skewness "
        f"{row['skewness']:.2f} on average{growth}."
    )


def _dropped(rows: pl.DataFrame) -> list[str]:
    """What was left out of the whole trace, once."""
    totals = rows.filter(pl.col("service").is_null() & pl.col("model").is_null()).to_dicts()
    if not totals or not any(row["failed"] + row["absent"] + row["zero"] for row in totals):
        return []
    parts = [f"{totals[0]['failed']:,} failed requests"]
    for row in totals:
        for kind in ("absent", "zero"):
            if row[kind]:
                parts.append(f"{row[kind]:,} {kind} {row['column']} lengths")
    return [f"Left out: {', '.join(parts)}."]
