"""How the paper's claim about forecasts is decided (section 5.4). Not here: the other claims."""

from __future__ import annotations

from ...analysis.characterize import Characterization
from ...analysis.core.claims import Decision
from ...analysis.core.result import number
from ...analysis.core.units import bin_name
from ...analysis.core.verdicts import CANNOT_TELL, overall_verdict
from ...analysis.forecast.part import Forecasts
from ...analysis.forecast.tables import PAPER
from .checks import CONVERSATION, reasons, shown

PAPER_NMAE = {60.0: 0.66, 600.0: 0.32}
"""Of conversation's request count by bin width (Fig. 18)."""
MODEL = "xgboost_squared"


def forecast(characterization: Characterization) -> Decision:
    """From the forecast, where it was asked for."""
    for part in characterization.parts:
        if isinstance(part, Forecasts):
            return decided(part)
    return Decision(
        CANNOT_TELL,
        "",
        "This needs a forecast that is scored on later days: burstlens report --forecast, or burstlens "
        "forecast.",
    )


def decided(part: Forecasts) -> Decision:
    """The paper's model does at least as well as the paper has it, and wider bins have the smaller error."""
    values, statements = [], {}
    nmse: dict[float, float] = {}
    label = CONVERSATION if CONVERSATION in part.scores["selection"].to_list() else ""
    if not label and part.scores["selection"].n_unique() == 1:
        label = str(part.scores["selection"][0])
    for bin_s, paper in PAPER_NMAE.items():
        try:
            row = part.score(label, "requests", bin_s, MODEL, PAPER)
        except KeyError:
            continue
        if row["nmae"] is None or row["nmae_high"] is None:
            continue
        name = bin_name(bin_s)
        values.append(f"NMAE per {name} {shown(row, 'nmae')}, NMSE {number(row['nmse_variance'])}")
        at_least = True if row["nmae_high"] <= paper else False if row["nmae_low"] > paper else None
        statements[f"NMAE per {name} is {paper} or less"] = at_least
        beats = None
        if row["skill_low"] is not None:
            beats = True if row["skill_low"] > 0 else False if row["skill_high"] < 0 else None
        statements[f"per {name} it beats every naive forecast"] = beats
        if row["nmse_variance"] is not None:
            nmse[bin_s] = row["nmse_variance"]
    if not statements:
        return Decision(CANNOT_TELL, "", "No conversation was forecast in bins of 1m or 10m.")
    if len(nmse) == len(PAPER_NMAE) and nmse[60.0] > 0:
        values.append(f"NMSE {1 - nmse[600.0] / nmse[60.0]:.0%} lower in the wider bins")
        statements["wider bins are forecast with a smaller NMSE"] = nmse[600.0] < nmse[60.0]
    return Decision(
        overall_verdict(statements), "; ".join(values), reasons(statements), figure="six-hours-bins"
    )
