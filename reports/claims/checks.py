"""How each claim of the paper is decided, from the parts of one characterization.

A check reads typed results, compares intervals with what the paper says, and returns a verdict with the
measured values. `agrees` and `differs` need an interval (or a test) on one side; what an interval leaves
open is `cannot tell`. Not here: the claims' words (`ledger`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import polars as pl

from ...analysis.characterize import Characterization
from ...analysis.core.claims import Decision
from ...analysis.core.verdicts import AGREES, CANNOT_TELL, DIFFERS, PARTLY, overall_verdict
from ...analysis.traffic.arrivals import Arrivals
from ...analysis.traffic.burstiness import Burstiness
from ...analysis.traffic.periodicity import Periodicity

CONVERSATION, API = "conversation", "api"
CHATGPT, GPT4 = "ChatGPT", "GPT-4"
SHARP = 0.2
"""Log shapes that spread by at least this beyond sampling error (a factor of 1.22) vary sharply."""


def one(table: pl.DataFrame, **wanted: Any) -> dict[str, Any] | None:
    """The one row with these values (None means null), or None where there is no such row."""
    for name, value in wanted.items():
        table = table.filter(pl.col(name).is_null() if value is None else pl.col(name) == value)
    return table.row(0, named=True) if table.height else None


def shown(row: dict[str, Any], name: str, spec: str = ".3g") -> str:
    """A value with its interval, as `0.5 [0.4, 0.6]`."""
    return within(row[name], (row.get(f"{name}_low"), row.get(f"{name}_high")), spec)


def within(value: float | None, ends: Sequence[float | None], spec: str) -> str:
    """A value with its interval where both ends are known, with a minus as prose has it."""
    if value is None:
        return "unknown"
    low, high = ends
    text = f"{value:{spec}}"
    if low is not None and high is not None and math.isfinite(low) and math.isfinite(high):
        text += f" [{low:{spec}}, {high:{spec}}]"
    return text.replace("-", "−")


def sign(row: dict[str, Any] | None, name: str) -> bool | None:
    """Positive or negative by the whole interval; None where that is open or was not measured."""
    if row is None or row[f"{name}_low"] is None:
        return None
    if row[f"{name}_low"] > 0:
        return True
    return False if row[f"{name}_high"] < 0 else None


def reasons(statements: dict[str, bool | None]) -> str:
    """The statements by how they came out."""
    words = {True: "holds", False: "does not hold", None: "cannot tell"}
    return "; ".join(f"{statement}: {words[holds]}" for statement, holds in statements.items()) + "."


def lacking(what: str) -> Decision:
    """No verdict, because the trace has none of it."""
    return Decision(CANNOT_TELL, "", f"This trace has no {what}.")


def burstier_than_poisson(characterization: Characterization) -> Decision:
    """One trace alone tells how far it is from Poisson, not how far from Azure Functions."""
    row = one(characterization.part(Burstiness).dispersion, selection="all", width_s=60.0)
    value = f"index of dispersion at one minute {shown(row, 'idc')}" if row and row["idc"] is not None else ""
    return Decision(
        CANNOT_TELL,
        value,
        "This needs a BurstGPT trace and an Azure Functions trace on one page: burstlens report A B.",
        "dispersion",
    )


def weekly(characterization: Characterization) -> Decision:
    """Weekday against weekend by interval, weekly patterns by the verdicts of the tests."""
    part = characterization.part(Periodicity)
    statements: dict[str, bool | None] = {}
    values = []
    for model in (CHATGPT, GPT4):
        row = one(part.weekdays, service=CONVERSATION, model=model)
        higher = None
        if row and row["ratio_low"] is not None:
            values.append(f"{model} weekday/weekend {shown(row, 'ratio')}")
            higher = row["ratio_low"] > 1 or (False if row["ratio_high"] < 1 else None)
        statements[f"{model} conversation is higher on weekdays"] = higher
    statements["the API has no weekly pattern"] = _aperiodic(part, API, 168)
    statements["GPT-4 is below ChatGPT"] = _below(part)
    if all(higher is None for higher in statements.values()):
        return lacking("conversation and API services over whole weeks")
    return Decision(overall_verdict(statements), "; ".join(values), reasons(statements), "calendar")


def _aperiodic(part: Periodicity, service: str, period_h: int) -> bool | None:
    """Whether the tests say that a service has no such period."""
    row = one(part.tests, service=service, model=None, period_h=period_h)
    return None if row is None else {"periodic": False, "aperiodic": True}.get(row["verdict"])


def _below(part: Periodicity) -> bool | None:
    """Whether GPT-4 has fewer conversation requests than ChatGPT on most days of the record."""
    days = part.calendar.filter(pl.col("service") == CONVERSATION, pl.col("model").is_in([CHATGPT, GPT4]))
    wide = days.pivot("model", index="day", values="n") if days.height else days
    if wide.height < 3 or not {CHATGPT, GPT4} <= set(wide.columns):
        return None
    lower = wide.select((pl.col(GPT4) < pl.col(CHATGPT)).mean()).item()
    return bool(lower > 0.5)


def daily(characterization: Characterization) -> Decision:
    """Working hours against the small hours by box plots; the API by its test and its relative spread."""
    part = characterization.part(Periodicity)
    statements: dict[str, bool | None] = {}
    values = []
    row = one(part.tests, service=CONVERSATION, model=None, period_h=24)
    statements["conversation has a daily pattern"] = (
        None if row is None else {"periodic": True, "aperiodic": False}.get(row["verdict"])
    )
    if row:
        values.append(f"conversation autocorrelation at 24 h {shown(row, 'autocorrelation')}")
    statements["it is high in working hours and low at night"] = _day_over_night(part)
    statements["the API is irregular"] = _aperiodic(part, API, 24)
    statements["the API spreads more"] = _spreads_more(part)
    if all(holds is None for holds in statements.values()):
        return lacking("conversation and API services over several days")
    return Decision(overall_verdict(statements), "; ".join(values), reasons(statements), "hour-of-day")


def _profile(part: Periodicity, service: str) -> pl.DataFrame:
    return part.profile.filter(
        pl.col("service") == service, pl.col("model").is_null(), pl.col("days") == "all"
    )


def _day_over_night(part: Periodicity) -> bool | None:
    """Every working hour's lower quartile lies above the median of every hour from 3 to 6."""
    profile = _profile(part, CONVERSATION)
    work = profile.filter(pl.col("hour_of_day").is_in([10, 11, 14, 15, 16, 17]))
    night = profile.filter(pl.col("hour_of_day").is_between(3, 6))
    if not work.height or not night.height:
        return None
    return float(work["median"].min()) > float(night["q3"].max())  # type: ignore[arg-type]


def _spreads_more(part: Periodicity) -> bool | None:
    """The API's interquartile range over its median, hour by hour, is above conversation's in most hours."""
    relative = [
        _profile(part, service).select(
            "hour_of_day",
            ((pl.col("high") - pl.col("low")) / pl.max_horizontal(pl.col("median"), 1.0)).alias(service),
        )
        for service in (CONVERSATION, API)
    ]
    both = relative[0].join(relative[1], on="hour_of_day")
    return (
        bool(both.select((pl.col(API) > pl.col(CONVERSATION)).mean()).item() > 0.5) if both.height else None
    )


def gamma(characterization: Characterization) -> Decision:
    """Spread of log shape and log rate beyond sampling error, and how many windows reject a Gamma."""
    part = characterization.part(Arrivals)
    statements: dict[str, bool | None] = {}
    values = []
    for service, quantities in ((CONVERSATION, ("shape",)), (API, ("shape", "rate"))):
        for quantity in quantities:
            row = _spread(part, service, quantity)
            name = {"shape": "α", "rate": "β"}[quantity]
            statements[f"{name} varies sharply in {service}"] = None if row is None else _sharp(row)
            if row:
                values.append(
                    f"{service} log {name} spread beyond chance {shown(row, 'excess_log_sd', '.2f')}"
                )
    # If no window has enough requests for a test, none is rejected and none is accepted.
    for row in _in_scope(part.fit, CONVERSATION).drop_nulls("rejected_share").iter_rows(named=True):
        statements["conversation arrivals are Gamma"] = row["rejected_share_low"] <= 0.10
        values.append(f"Gamma rejected in {shown(row, 'rejected_share', '.0%')} of {row['tested']} windows")
    return Decision(overall_verdict(statements), "; ".join(values), reasons(statements), "shape-sequence")


def _in_scope(table: pl.DataFrame, service: str) -> pl.DataFrame:
    """ChatGPT's rows of that service (all models without it), working hours where they are told apart."""
    rows = table.filter(pl.col("service") == service)
    for model in (pl.col("model") == CHATGPT, pl.col("model").is_null()):
        chosen = rows.filter(model)
        if chosen.height:
            working = chosen.filter(pl.col("scope").str.contains("working"))
            return working.head(1) if working.height else chosen.head(1)
    return rows.head(0)


def _spread(part: Arrivals, service: str, quantity: str) -> dict[str, Any] | None:
    rows = _in_scope(part.spread.filter(pl.col("quantity") == quantity), service)
    return rows.row(0, named=True) if rows.height else None


def _sharp(row: dict[str, Any]) -> bool | None:
    """Beyond `SHARP` by the whole interval, below it by the whole interval, or neither."""
    if row["excess_log_sd_low"] is None:
        return None
    if row["excess_log_sd_low"] >= SHARP:
        return True
    return False if row["excess_log_sd_high"] < SHARP else None


def cv(characterization: Characterization) -> Decision:
    """The windows' own CV over 1/√α: does the interval of the ratio hold 1 within 10 %?"""
    rows = characterization.part(Arrivals).fit.filter(pl.col("cv_ratio").is_not_null())
    if not rows.height:
        return Decision(CANNOT_TELL, "", "This trace has too few windows with enough requests for a fit.")
    values, holds = [], []
    for row in rows.filter(pl.col("model").is_null()).unique("selection", maintain_order=True).to_dicts():
        values.append(f"{row['selection']} CV·√α {shown(row, 'cv_ratio', '.2f')}")
        holds.append(row["cv_ratio_high"] >= 0.9 and row["cv_ratio_low"] <= 1.1)
    verdict = AGREES if all(holds) else PARTLY if any(holds) else DIFFERS
    return Decision(
        verdict,
        "; ".join(values),
        "Median over windows of the CV of the gaps over 1/√α of the fit; a ratio within 10 % of 1 agrees.",
        "cv",
    )


def rows_of(table: pl.DataFrame, **wanted: Any) -> Iterator[dict[str, Any]]:
    """Every row with these values."""
    for name, value in wanted.items():
        table = table.filter(pl.col(name).is_null() if value is None else pl.col(name) == value)
    yield from table.iter_rows(named=True)
