"""Units of time, and how counts, spans of time and clocks are written. Loads nothing else.

Not here: types of arrays (`arrays`), and how other numbers are written (`result.number`).
"""

from __future__ import annotations

MINUTE_S = 60.0
HOUR_S = 60 * MINUTE_S
DAY_S = 24 * HOUR_S
WEEK_S = 7 * DAY_S
DAY_H = 24
WEEK_H = 7 * DAY_H


def counted(n: int, thing: str) -> str:
    """Format a number with its noun.

    Parameters
    ----------
    n : int
    thing : str
        In the singular; other numbers append an s.

    Returns
    -------
    str

    Examples
    --------
    >>> counted(1, "row"), counted(2000, "row")
    ('1 row', '2,000 rows')
    """
    return f"{n:,} {thing}" if n == 1 else f"{n:,} {thing}s"


def time_span(span_s: float) -> str:
    """A span of time in the unit that fits: the largest unit that it has at least two of, or exactly one.

    >>> [time_span(s) for s in (0.02, 1, 5, 60, 90, 5400, 3600, 26 * 3600, 61 * 86_400)]
    ['0.02 s', '1 s', '5 s', '1 minute', '90 s', '90 minutes', '1 hour', '26 hours', '61 days']
    """
    for unit_s, unit in ((DAY_S, "day"), (HOUR_S, "hour"), (MINUTE_S, "minute")):
        n = span_s / unit_s
        if n >= 2 or round(n, 2) == 1:
            return f"{n:,.0f} {unit}s" if n >= 1000 else f"{n:.3g} {unit}{'' if round(n, 2) == 1 else 's'}"
    return f"{span_s:.3g} s"


def per_span(span_s: float) -> str:
    """A span of time as what something is counted in.

    >>> per_span(1), per_span(10), per_span(60), per_span(600)
    ('per second', 'per 10 s', 'per minute', 'per 10 minutes')
    """
    return "per second" if span_s == 1 else f"per {time_span(span_s).removeprefix('1 ')}"


def bin_name(span_s: float) -> str:
    """The width of a bin, as options of the command line take it.

    >>> bin_name(600), bin_name(3600), bin_name(90)
    ('10m', '1h', '90s')
    """
    for unit_s, letter in ((DAY_S, "d"), (HOUR_S, "h"), (MINUTE_S, "m")):
        if span_s >= unit_s and span_s % unit_s == 0:
            return f"{span_s / unit_s:g}{letter}"
    return f"{span_s:g}s"


def clock(at_s: float) -> str:
    """Hours and minutes since midnight of day 0.

    >>> clock(6 * 3600), clock(30 * 3600)
    ('6:00', '30:00')
    """
    minutes = round(at_s / MINUTE_S)
    return f"{minutes // 60}:{minutes % 60:02d}"


def day_clock(at_s: float) -> str:
    """The day and the time of day.

    >>> day_clock(3 * 86_400 + 37_200)
    'day 3, 10:20'
    """
    day, rest_s = divmod(round(at_s / MINUTE_S) * MINUTE_S, DAY_S)
    return f"day {day:.0f}, {clock(rest_s)}"


def stopwatch(elapsed_s: float) -> str:
    """Elapsed time to the second; what is below zero shows as zero.

    >>> stopwatch(62.9), stopwatch(3723)
    ('01:02', '1:02:03')
    """
    minutes, seconds = divmod(int(max(elapsed_s, 0.0)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes:02}:{seconds:02}"
