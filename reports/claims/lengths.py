"""How the paper's claims about request and response lengths are decided (section 3.3, Fig. 7, 8, 10).

Not here: the other claims (`checks`, `counts`, `conversations`).
"""

from __future__ import annotations

from typing import Any

import polars as pl

from ...analysis.characterize import Characterization
from ...analysis.core.claims import Decision
from ...analysis.core.result import listing, number
from ...analysis.core.verdicts import CANNOT_TELL, overall_verdict
from ...analysis.lengths.families import TITLES
from ...analysis.lengths.part import Lengths
from .checks import CHATGPT, CONVERSATION, lacking, one, reasons, rows_of, shown, sign

FITTING = 0.05
"""A law whose distribution function is off by no more than this describes the lengths."""
STRAIGHT = 0.9
"""Share of the bin means' variation that a straight line explains where growth is called linear."""
NORMAL = 0.1
"""The same distance for responses within a request bin against a Gaussian."""


def zipf(characterization: Characterization) -> Decision:
    """Distance of the bounded Zipf from request lengths, beside that of the best rival."""
    rows = [
        row
        for row in rows_of(characterization.part(Lengths).tables()["zipf"], column="request", model=None)
        if row["exponent"] is not None
    ]
    if not rows:
        return lacking("request lengths")
    rows = [row for row in rows if row["service"] is not None] or rows
    statements: dict[str, bool | None] = {
        f"{row['selection']} request lengths are within {FITTING:.0%} of a Zipf law": row["ks"] <= FITTING
        for row in rows
    }
    value = "; ".join(
        f"{row['selection']} exponent {shown(row, 'exponent', '.3f')}, off by {row['ks']:.1%} "
        f"(best: {TITLES[row['winner']]}, {row['winner_ks']:.1%})"
        for row in rows
    )
    return Decision(overall_verdict(statements), value, reasons(statements), "request-zipf")


def bimodal(characterization: Characterization) -> Decision:
    """Dip test and mixture of ChatGPT's conversation responses, on tokens as the paper draws them."""
    table = characterization.part(Lengths).tables()["bimodality"]
    row = _chatgpt(table, column="response", scale="tokens")
    logs = _chatgpt(table, column="response", scale="log tokens")
    if row is None or row["dip"] is None:
        return Decision(CANNOT_TELL, "", "This trace has no response lengths, or too few.")
    statements: dict[str, bool | None] = {
        "the dip test rejects one mode": row["p_value"] < 0.05,
        "the mixture that BIC chooses has several": (row["modes"] or 1) >= 2,
    }
    places = [f"{row[f'mode_{i}']:.0f}" for i in (1, 2, 3) if row[f"mode_{i}"] is not None]
    value = (
        f"{row['selection']}: dip {row['dip']:.4f} (p = {row['p_value']:.3g}), "
        f"{'mode' if len(places) == 1 else 'modes'} at {listing(places)} tokens"
    )
    on_logs = f" On a logarithmic scale: {logs['verdict']}." if logs else ""
    why = f"{reasons(statements)}{on_logs} The dip test can miss real mixtures; BIC tends to add components."
    return Decision(overall_verdict(statements), value, why, "response-modes")


def linear(characterization: Characterization) -> Decision:
    """Slope with its interval, and how much of the bin means' growth a straight line explains."""
    row = _chatgpt(_paper_range(characterization.part(Lengths).tables()["slope"]))
    if row is None or row["slope"] is None:
        return lacking("pairs of request and response lengths")
    statements: dict[str, bool | None] = {
        "responses grow with requests": sign(row, "slope"),
        "the growth is a straight line": None
        if row["straightness"] is None
        else row["straightness"] >= STRAIGHT,
    }
    value = (
        f"{row['selection']}, {row['range']}: "
        f"{shown(row, 'slope')} response tokens per request token" + _line(row["straightness"])
    )
    return Decision(overall_verdict(statements), value, reasons(statements), "response-by-request")


def _line(straightness: float | None) -> str:
    return (
        ""
        if straightness is None
        else f"; a straight line explains {straightness:.0%} of how the mean changes"
    )


def bins(characterization: Characterization) -> Decision:
    """Spread against request length, and distance of each bin's responses from a Gaussian."""
    row = _chatgpt(_paper_range(characterization.part(Lengths).tables()["spread"]))
    if row is None or row["growth"] is None:
        return lacking("pairs of request and response lengths")
    statements: dict[str, bool | None] = {
        "the spread grows with request length": sign(row, "growth"),
        "responses of a bin are Gaussian": row["ks_normal"] <= NORMAL,
    }
    value = (
        f"{row['selection']}, {row['range']}: growth of the spread {shown(row, 'growth')}; off a Gaussian by "
        f"{row['ks_normal']:.1%}, skewness {number(row['skewness'])} (medians over {row['bins']} bins)"
    )
    return Decision(overall_verdict(statements), value, reasons(statements), "ridges")


def _paper_range(table: pl.DataFrame) -> pl.DataFrame:
    """The rows about the request lengths that the paper speaks of, where there are any."""
    narrow = table.filter(pl.col("range") != "all")
    return narrow if narrow.height else table


def _chatgpt(table: pl.DataFrame, **wanted: Any) -> dict[str, Any] | None:
    """The row of ChatGPT conversation, else of the service, else of everything."""
    for service, model in ((CONVERSATION, CHATGPT), (CONVERSATION, None), (None, None)):
        row = one(table, service=service, model=model, **wanted)
        if row is not None:
            return row
    return None
