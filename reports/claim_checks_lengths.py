"""How the paper's claims about request and response lengths are decided (section 3.3, Fig. 7, 8, 10).

Not here: the other claims (`claim_checks`, `claim_checks_counts`, `claim_checks_sessions`).
"""

from __future__ import annotations

from typing import Any

from ..analysis.characterize import Characterization
from ..analysis.lengths import Lengths
from .claim_checks import (
    AGREES,
    CHATGPT,
    CONVERSATION,
    DIFFERS,
    PARTLY,
    Verdict,
    lacking,
    one,
    reasons,
    rows_of,
    shown,
    together,
)

FITTING = 0.05
"""A law whose distribution function is off by no more than this describes the lengths."""
STRAIGHT = 0.9
"""Share of the bin means' variation that a straight line explains where growth is called linear."""
NORMAL = 0.1
"""The same distance for responses within a request bin against a Gaussian."""


def zipf(said: Characterization) -> Verdict:
    """Distance of the bounded Zipf from request lengths, beside that of the best rival."""
    rows = [
        row
        for row in rows_of(said.part(Lengths).tables()["zipf"], column="request", model=None)
        if row["exponent"] is not None
    ]
    if not rows:
        return lacking("request lengths")
    rows = [row for row in rows if row["service"] is not None] or rows
    told: dict[str, bool | None] = {
        f"{row['selection']} requests are within {FITTING:.0%} of a Zipf": row["ks"] <= FITTING
        for row in rows
    }
    value = "; ".join(
        f"{row['selection']} exponent {shown(row, 'exponent', '.3f')}, off by {row['ks']:.1%} "
        f"(best: {row['winner'].replace('_', ' ')}, {row['winner_ks']:.1%})"
        for row in rows
    )
    return Verdict(together(told), value, reasons(told), "request-zipf")


def bimodal(said: Characterization) -> Verdict:
    """Dip test and mixture of ChatGPT's conversation responses (all models where it has no own rows)."""
    table = said.part(Lengths).tables()["bimodality"]
    row = _chatgpt(table, column="response", scale="log tokens")
    if row is None or row["dip"] is None:
        return lacking("response lengths")
    dip = row["p_value"] < 0.05
    modes = (row["modes"] or 1) >= 2
    verdict = AGREES if dip and modes else PARTLY if dip or modes else DIFFERS
    places = [f"{row[f'mode_{i}']:.0f}" for i in (1, 2, 3) if row[f"mode_{i}"] is not None]
    value = (
        f"{row['selection']}: dip {row['dip']:.4f} (p = {row['p_value']:.3g}); "
        f"{row['modes']} mode(s) at {', '.join(places)} tokens"
    )
    why = (
        f"On log length the dip test {'rejects' if dip else 'does not reject'} one mode, the mixture "
        f"that BIC chooses has {'several modes' if modes else 'one mode'}; the dip can miss real mixtures."
    )
    return Verdict(verdict, value, why, "response-modes")


def linear(said: Characterization) -> Verdict:
    """Slope with its interval, and how much of the bin means' growth a straight line explains."""
    row = _chatgpt(said.part(Lengths).tables()["slope"])
    if row is None or row["slope"] is None:
        return lacking("pairs of request and response lengths")
    told: dict[str, bool | None] = {
        "responses grow with requests": True
        if row["slope_low"] > 0
        else (False if row["slope_high"] < 0 else None),
        "the growth is a straight line": None
        if row["straightness"] is None
        else row["straightness"] >= STRAIGHT,
    }
    value = (
        f"{row['selection']}, {row['request_low']:,} to {row['request_high']:,} request tokens: "
        f"{shown(row, 'slope')} response tokens a request token; "
        f"a line explains {row['straightness']:.0%} of how the mean moves"
    )
    return Verdict(together(told), value, reasons(told), "response-by-request")


def bins(said: Characterization) -> Verdict:
    """Spread against request length, and distance of each bin's responses from a Gaussian."""
    row = _chatgpt(said.part(Lengths).tables()["spread"])
    if row is None or row["growth"] is None:
        return lacking("pairs of request and response lengths")
    told: dict[str, bool | None] = {
        "the spread grows with request length": True
        if row["growth_low"] > 0
        else (False if row["growth_high"] < 0 else None),
        "responses of a bin are Gaussian": row["ks_normal"] <= NORMAL,
    }
    value = (
        f"{row['selection']}: growth of the spread {shown(row, 'growth')}; off a Gaussian by "
        f"{row['ks_normal']:.1%}, skewness {row['skewness']:.2f} (medians over {row['bins']} bins)"
    )
    return Verdict(together(told), value, reasons(told), "ridges")


def _chatgpt(table: Any, **wanted: Any) -> dict[str, Any] | None:
    """The row of ChatGPT conversation, else of the service, else of everything."""
    for service, model in ((CONVERSATION, CHATGPT), (CONVERSATION, None), (None, None)):
        row = one(table, service=service, model=model, **wanted)
        if row is not None:
            return row
    return None
