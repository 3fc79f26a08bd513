"""The clock on the wall of a time zone, daylight saving included: hours of the day, days, midnights.

Not here: dates in the text of a log (`burstlens.analysis.logs.values.stamps`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from zoneinfo import ZoneInfo, available_timezones

import numpy as np

from .arrays import Array, Integers
from .errors import InputError, nearest
from .units import DAY_H, DAY_S, HOUR_S

_NINE_DAYS = timedelta(days=9)
"""No zone has changed its clock and changed it back within so short a time."""


def time_zone(name: str) -> ZoneInfo:
    """The zone of a name.

    Raises
    ------
    InputError
        If there is none; it names the nearest.
    """
    names = available_timezones()
    if name in names:
        return ZoneInfo(name)
    if not names:
        raise InputError.of_option(
            "timezone", "Python finds no time zones on this machine", remedy="pip install tzdata"
        )
    lowered = {known.casefold(): known for known in sorted(names)}
    last = {known.rpartition("/")[2].casefold(): known for known in sorted(names) if "/" in known}
    wanted = name.strip().casefold().replace(" ", "_")
    close = (
        lowered.get(wanted)
        or last.get(wanted)
        or lowered.get(nearest(wanted, lowered) or "")
        or last.get(nearest(wanted, last) or "")
    )
    remedy = f"did you mean {close!r}?" if close else "write it like Europe/Berlin"
    raise InputError.of_option("timezone", f"no time zone {name!r}", remedy=remedy)


def midnight_s(day: date, timezone: str | None = None) -> float:
    """Seconds from 1970 to midnight of a day in a zone, UTC by default.

    >>> midnight_s(date(2026, 3, 2)) - midnight_s(date(2026, 3, 2), "Europe/Berlin")
    3600.0
    """
    if timezone is None:
        return float((day - date(1970, 1, 1)).days * DAY_S)
    return datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(timezone)).timestamp()


def clock_changes(timezone: str, start_s: float, end_s: float) -> Iterator[tuple[int, int, int]]:
    """List when a zone sets its clock forward or back.

    Parameters
    ----------
    timezone : str
    start_s, end_s : float
        From when to when, in seconds since 1970.

    Yields
    ------
    at_s : int
        The second from which the new offset holds.
    before_s, after_s : int
        Offset from UTC before and from then on, in seconds.

    Examples
    --------
    >>> list(clock_changes("Europe/Berlin", midnight_s(date(2026, 3, 1)), midnight_s(date(2026, 4, 1))))
    [(1774746000, 3600, 7200)]
    """
    zone = ZoneInfo(timezone)

    def offset_s(unix_s: int) -> int:
        instant = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=unix_s)
        return round((instant.astimezone(zone).utcoffset() or timedelta(0)).total_seconds())

    at, end, step = int(start_s), int(end_s), int(_NINE_DAYS.total_seconds())
    while at < end:
        low, high = at, min(at + step, end)
        before, after = offset_s(low), offset_s(high)
        if before != after:
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if offset_s(middle) == before else (low, middle)
            yield high, before, after
        at = min(at + step, end)


@dataclass(frozen=True)
class WallClock:
    """The clock by which a trace tells hours of the day and weekdays.

    Examples
    --------
    >>> berlin = WallClock(date(2026, 3, 28), "Europe/Berlin")
    >>> berlin.hours(np.array([24, 25, 26, 47])).tolist(), berlin.day_hours(1)
    ([24, 25, 27, 48], 23)
    """

    day0: date | None = None
    timezone: str | None = None
    """None for the log's own clock, which is never set forward or back."""

    @cached_property
    def zero_s(self) -> float:
        """Midnight of day 0, in seconds since 1970."""
        return 0.0 if self.day0 is None else midnight_s(self.day0, self.timezone)

    def seconds(self, at_s: Array) -> Array:
        """What the clock shows, in seconds since it showed midnight of day 0.

        Parameters
        ----------
        at_s : array, shape (n,)
            Instants in seconds since midnight of day 0.

        Returns
        -------
        array, shape (n,)
            The same without a zone; after the clock was set forward by an hour 3,600 s more.
        """
        if self.timezone is None or self.day0 is None or not len(at_s):
            return at_s
        unix_s = self.zero_s + at_s
        first, last = float(np.min(unix_s)), float(np.max(unix_s))
        start_s = min(first, self.zero_s) - DAY_S
        changes = list(clock_changes(self.timezone, start_s, last + DAY_S))
        start = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=int(start_s))
        offset = start.astimezone(ZoneInfo(self.timezone)).utcoffset() or timedelta(0)
        offsets_s = np.array([offset.total_seconds(), *(after for _, _, after in changes)])
        # What the clock shows at midnight of day 0 is midnight, or an hour more if that is left out.
        shown_s = self.zero_s - midnight_s(self.day0)
        at = np.searchsorted(np.array([change[0] for change in changes]), unix_s, side="right")
        return np.asarray(at_s + (shown_s + offsets_s[at]))

    def hours(self, hour: Integers) -> Integers:
        """The hours that the clock shows, since midnight of day 0, when some hours begin."""
        if self.timezone is None:
            return hour
        return np.floor(self.seconds(np.asarray(hour * float(HOUR_S), dtype=np.float64)) / HOUR_S).astype(
            np.int64
        )

    def day_hours(self, day: int) -> int:
        """How many hours a day has, counted from day 0: 23 or 25 where the clock is changed."""
        if self.timezone is None or self.day0 is None:
            return DAY_H
        begin = self.day0 + timedelta(days=day)
        length_s = midnight_s(begin + timedelta(days=1), self.timezone) - midnight_s(begin, self.timezone)
        return round(length_s / HOUR_S)
