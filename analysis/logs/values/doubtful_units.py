"""Bare numbers whose unit nobody named: if another unit makes better sense, and the error that says so.

Not here: how stamps are written and read (`stamps`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from ...core.errors import InputError
from ...core.option_names import option
from ...core.units import counted, time_span
from .stamps import EPOCH_SPREAD_S, PER_SECOND, UNIT_NAMES

FAST_RPS, SHORT_S = 1000.0, 10.0
"""A log is rarely faster, or shorter: then the unit of its bare numbers is in doubt."""
MIN_FOR_DOUBT = 10
"""A few rows may be of any length."""


def doubtful_units(
    n: int, span_s: float, unit: str, has_fractions: bool, *, known: bool = False
) -> list[str]:
    """List the units in which bare numbers make better sense than in the one that they are read in.

    Parameters
    ----------
    n : int
        How many stamps there are.
    span_s : float
        From the first to the last, read in `unit`.
    unit : str
    has_fractions : bool
        Whether any is not a whole number of `unit`.
    known : bool
        Whether the log has a known format, of which whole numbers of its unit are to be expected.

    Returns
    -------
    list of str
        Empty where the reading is plausible, or no other is.

    Examples
    --------
    >>> doubtful_units(500, 0.9, "ms", True), doubtful_units(500, 900.0, "ms", True)
    (['s'], [])
    """

    def is_plausible(seconds: float) -> bool:
        return SHORT_S <= seconds <= EPOCH_SPREAD_S and n / seconds <= FAST_RPS

    whole_and_slow = not has_fractions and (known or span_s >= 1) and n / span_s <= FAST_RPS
    if n < MIN_FOR_DOUBT or is_plausible(span_s) or (whole_and_slow and span_s < SHORT_S):
        return []
    return [
        u for u, scale in PER_SECOND.items() if u != unit and is_plausible(span_s * PER_SECOND[unit] / scale)
    ]


def unclear_unit(
    path: Path, column: str, format: str, n: int, span_s: float, unit: str, others: Sequence[str]
) -> InputError:
    """Make the error of a log with stamps that have several readings.

    Parameters
    ----------
    path : Path
    column : str
        Of the stamps.
    format : str
        The format's name, or `columns` if the user named the columns.
    n, span_s, unit
        As in `doubtful_units`.
    others : sequence of str
        What `doubtful_units` returned.
    """
    readings = [
        reading_in_words(n, span_s * PER_SECOND[unit] / PER_SECOND[each], each) for each in (unit, *others)
    ]
    name = column if re.fullmatch(r"[\w.\[\]-]+", column) else "…"
    choices = [option("columns", f"arrival_{each}={name},…") for each in others]
    if format == "columns":
        choices.insert(0, option("columns", f"arrival_{unit}={name},…"))
    else:
        choices.insert(0, option("log_format", format))
    return InputError.at(
        path,
        f"the unit is in doubt: {'; '.join(readings)}",
        column=column,
        remedy=f"choose {' or '.join(choices)}",
    )


def reading_in_words(n: int, span_s: float, unit: str) -> str:
    """Say what a log is if its stamps have a unit.

    Examples
    --------
    >>> reading_in_words(20, 1140, "s")
    'in seconds 20 requests in 19 minutes, 0.0175 per second'
    """
    return (
        f"in {UNIT_NAMES[unit]} {counted(n, 'request')} in {time_span(span_s)}, {n / span_s:.3g} per second"
    )
