"""What a reader must know before it reads rows: streams, clock, day 0. Guessed first, then corrected.

The guess is made from the head of each log; reading checks it over all of them. Not here: the reading
(`burstlens.analysis.logs.load_duckdb`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import duckdb
import numpy as np

from ..core.arrays import Array
from ..core.errors import InputError
from ..core.option_names import option
from ..core.units import DAY_S
from ..core.wall_clock import midnight_s, time_zone
from .select_sql import Reading
from .tables import Stream
from .values.doubtful_units import doubtful_units, unclear_unit
from .values.paths import values_at
from .values.stamps import PER_SECOND, UNIX_FROM_S, UNIX_TO_S

HEAD_ROWS = 20_000
ARRIVAL_LIMIT_S = 9e9
"""Later arrivals (285 years) are taken for damage; up to here nanoseconds fit a 64-bit integer."""
TOKEN_LIMIT = 2**31
FAR_S = 5 * 365.25 * DAY_S
"""A stamp that lies so far from the bulk of all stamps is a stray."""
STRAY_S = 200 * DAY_S
"""So far from the bulk, a few stamps are strays."""
MIN_FOR_STRAYS = 10
Range = tuple[float, float]
EVERYWHERE: Range = (-np.inf, np.inf)
QUOTED_TEXT = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*\"""")
PARAMETER = re.compile(r"\$(\w+)")
MAX_PAIRS = 64
"""Up to this number of pairs, every service is combined with every model."""
STEPS_S = tuple(float(f"1e-{digits}") for digits in range(10))
"""Clock steps that are looked for: 1 s, 0.1 s, ... 1 ns."""


@dataclass
class ReadPlan:
    """What the reader assumes about the trace before it reads rows, and corrects after."""

    readings: Sequence[Reading]
    streams: list[Stream]
    resolution_s: float
    day0: date | None
    origins_s: list[float]
    """Per log, what is subtracted from its seconds: Unix time of day 0 if they count from 1970."""
    earliest_s: list[float] = field(default_factory=list)
    near_s: Range = EVERYWHERE
    """Where the bulk of all stamps lies, since 1970 if the logs have dates; those outside are strays."""
    knows_strays: bool = False
    """Whether `near_s` comes from all rows, not from the heads."""
    has_large_seconds: bool = False
    """Whether some seconds do not fit 32 bits (136 years)."""
    timezone: str | None = None
    """Zone of midnight of day 0, if a user chose one."""
    notes: list[str] = field(default_factory=list)
    """What became clear in reading."""

    @property
    def zero_s(self) -> float:
        """Midnight of day 0, in seconds since 1970; 0 without dates."""
        return 0.0 if self.day0 is None else midnight_s(self.day0, self.timezone)

    @property
    def has_dates_of_formats(self) -> bool:
        """Whether formats, not stamps, have the dates."""
        return any(reading.clock == "second 0" for reading in self.readings)

    @property
    def near_arrivals_s(self) -> Range:
        """The range of stamps that are not strays, on the trace's clock."""
        return self.near_s[0] - self.zero_s, self.near_s[1] - self.zero_s

    def select_parameters(self, i: int) -> dict[str, Any]:
        """What the SELECT of log `i` leaves open (see `formats`), by name."""
        reading = self.readings[i]
        return {
            "day0_ns": int(self.origins_s[i]) * 1_000_000_000,
            "service": reading.service,
            "day_index": reading.day_index,
            "behind_s": reading.behind_s,
        }


def guess_plan(connection: duckdb.DuckDBPyConnection, readings: Sequence[Reading]) -> ReadPlan:
    """Guess streams, clock and day 0 from the head of each log.

    Parameters
    ----------
    connection : DuckDBPyConnection
    readings : sequence of Reading

    Returns
    -------
    ReadPlan
    """
    plan = ReadPlan(readings, [], 1.0, None, [0.0] * len(readings))
    stamps = [_head(connection, plan, i, "arrival_s, service, model") for i in range(len(readings))]
    unix_s = [_since_1970(plan.readings[i], s["arrival_s"]) for i, s in enumerate(stamps)]
    plan.near_s = near_range(np.concatenate(unix_s), plan.has_dates_of_formats)
    for s, absolute_s in zip(stamps, unix_s, strict=True):
        near = (absolute_s >= plan.near_s[0]) & (absolute_s <= plan.near_s[1])
        plan.earliest_s.append(float(np.min(s["arrival_s"][near], initial=np.inf)))
    for i, s in enumerate(stamps):
        _check_unit(connection, plan, i, s["arrival_s"])
    set_dates(plan)
    found: set[Stream] = set()
    for i in range(len(readings)):
        head = stamps[i]
        found |= set(zip(head["service"], head["model"], strict=True))
        if readings[i].clock == "instant":
            # Whole nanoseconds less those of day 0 are exact, seconds since 1970 are not.
            head = _head(connection, plan, i, "arrival_s")
        else:
            head["arrival_s"] = head["arrival_s"] - plan.origins_s[i]
        low, high = plan.near_arrivals_s
        near_s = head["arrival_s"][(head["arrival_s"] >= low) & (head["arrival_s"] <= high)]
        step = clock_step(near_s, rounding_s(plan, i))
        plan.resolution_s = min(plan.resolution_s, step)
    plan.streams = sorted_streams(found)
    return plan


def _since_1970(reading: Reading, arrival_s: Array) -> Array:
    """Stamps as a log's own SELECT gives them, since 1970 where its format fixes the date of second 0."""
    if reading.clock == "second 0" and reading.day0 is not None:
        return arrival_s + midnight_s(reading.day0, reading.stored.timezone if reading.stored else None)
    return arrival_s


def _is_date(seconds: float) -> bool:
    """Whether a bare number of seconds counts from 1970."""
    return UNIX_FROM_S <= seconds < UNIX_TO_S


def _check_unit(connection: duckdb.DuckDBPyConnection, plan: ReadPlan, i: int, head_s: Array) -> None:
    """Refuse a log with bare numbers that make better sense in a unit that nobody chose."""
    reading = plan.readings[i]
    unclear = [
        use for use in reading.uses if use.stamp and use.stamp.clock == "number" and not use.stamp.chosen
    ]
    if not unclear or unclear[0].stamp is None or _is_date(plan.earliest_s[i]):
        return
    unit, place = unclear[0].stamp.unit, unclear[0].place
    near_s = head_s[(head_s >= plan.near_s[0]) & (head_s <= plan.near_s[1])]
    n, span_s = len(near_s), float(np.ptp(near_s)) if len(near_s) else 0.0
    in_unit = near_s * PER_SECOND[unit]
    has_fractions = bool(
        np.any(np.abs(in_unit - np.round(in_unit)) > 1e-6 * np.maximum(1, np.abs(in_unit) * 1e-6))
    )
    written = values_at(reading.log, place) if place is not None else []
    has_fractions |= any(isinstance(value, float) or "." in str(value) for value in written)
    known = reading.name != "columns"
    if (
        span_s > 0
        and doubtful_units(n, span_s, unit, has_fractions, known=known)
        and len(head_s) == HEAD_ROWS
    ):
        # A busy head of a long log.
        low, high = plan.near_s
        sql = (
            "SELECT COUNT(*), MAX(arrival_s) - MIN(arrival_s) FROM ($rows) "
            f"WHERE arrival_s >= {max(low, -1e15)!r} AND arrival_s <= {min(high, 1e15)!r}"
        )
        n, span_s = ask(connection, plan, i, sql).fetchall()[0]
    others = doubtful_units(n, span_s, unit, has_fractions, known=known) if span_s > 0 else []
    if others:
        raise unclear_unit(reading.log.path, str(place), reading.name, n, span_s, unit, others)


def near_range(stamps_s: Array, from_format: bool = False) -> Range:
    """Find where the bulk of stamps lies: what is outside are strays, such as a year 1 or a zero among dates.

    The bulk is the shortest time that has more than half of the stamps. A stray lies years from it. A few
    stamps that lie most of a year from all others are strays too; a second test of some dozens is not. Among
    fewer than `MIN_FOR_STRAYS` stamps, only those are that have no date of our time while most others do.

    Parameters
    ----------
    stamps_s : array, shape (n,)
        In seconds, all on one clock, in any order.
    from_format : bool
        Not the stamps but the format has the date: seconds since its start may be of any size.

    Returns
    -------
    Range
        Lowest and highest stamp that is not a stray.

    Examples
    --------
    >>> low, high = near_range(np.array([0.0, *range(1_772_438_400, 1_772_438_420)]))
    >>> low > 0, high < 4e9
    (True, True)
    """
    if from_format:
        return EVERYWHERE
    stamps_s = np.sort(stamps_s[np.isfinite(stamps_s)])
    of_our_time = stamps_s[(stamps_s >= UNIX_FROM_S) & (stamps_s < UNIX_TO_S)]
    has_dates = 0 < len(stamps_s) <= 2 * len(of_our_time)
    if has_dates:
        stamps_s = of_our_time
    n = len(stamps_s)
    if n < MIN_FOR_STRAYS:
        return (float(UNIX_FROM_S), float(UNIX_TO_S)) if has_dates else EVERYWHERE
    half = n // 2 + 1
    lengths = stamps_s[half - 1 :] - stamps_s[: n - half + 1]
    begin = int(np.argmin(lengths))
    first, last, length = stamps_s[begin], stamps_s[begin + half - 1], float(lengths[begin])
    reach = max(FAR_S, 10 * length)
    low, high = float(first - reach), float(last + reach)
    reach = max(STRAY_S, 100 * length)
    few = max(1, int(n**0.5 / 4))
    if np.count_nonzero((stamps_s >= low) & (stamps_s < first - reach)) <= few:
        low = max(low, float(first - reach))
    if np.count_nonzero((stamps_s <= high) & (stamps_s > last + reach)) <= few:
        high = min(high, float(last + reach))
    return low, high


def _head(connection: duckdb.DuckDBPyConnection, plan: ReadPlan, i: int, columns: str) -> dict[str, Any]:
    """Some columns of the first rows with a usable stamp."""
    sql = f"SELECT {columns} FROM ($rows) WHERE arrival_s > -1e15 AND arrival_s < 1e15 LIMIT {HEAD_ROWS}"
    rows = ask(connection, plan, i, sql, head=True).fetchall()
    if not rows and plan.readings[i].has_line_no:
        # The format leaves out everything at the head, such as spans that are no calls of a model.
        rows = ask(connection, plan, i, sql).fetchall()
    names = columns.split(", ")
    columns_by_name: dict[str, Any] = {name: [row[k] for row in rows] for k, name in enumerate(names)}
    columns_by_name["arrival_s"] = np.array(columns_by_name["arrival_s"], dtype=np.float64)
    return columns_by_name


def set_dates(plan: ReadPlan) -> None:
    """Day 0 of the trace: the earliest that a log has; and what each log's seconds are less by."""
    counts = [
        reading.clock == "instant" or (reading.clock == "number" and _is_date(earliest))
        for reading, earliest in zip(plan.readings, plan.earliest_s, strict=True)
    ]
    plan.timezone = _timezone(plan, counts)
    days: list[date | None] = []
    for reading, earliest, counts_from_1970 in zip(plan.readings, plan.earliest_s, counts, strict=True):
        if counts_from_1970 and np.isfinite(earliest):
            instant = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=earliest)
            days.append((instant.astimezone(time_zone(plan.timezone)) if plan.timezone else instant).date())
        else:
            days.append(None if counts_from_1970 else reading.day0)
    dated = [day for day in days if day is not None]
    plan.day0 = min(dated, default=None)
    for i, day in enumerate(days):
        reading = plan.readings[i]
        if plan.day0 is None:
            continue
        if day is None:
            named = plan.readings[days.index(plan.day0)].log.path.name
            raise InputError.mixed_clocks(named, reading.log.path.name)
        if reading.clock == "second 0":
            plan.origins_s[i] = plan.zero_s - midnight_s(day, plan.timezone)
        else:
            plan.origins_s[i] = plan.zero_s


def _timezone(plan: ReadPlan, counts_from_1970: Sequence[bool]) -> str | None:
    """The zone of the logs' clock, if the user chose one or a trace has one; all have to have the same."""
    zones: dict[str | None, str] = {}
    for reading, counts in zip(plan.readings, counts_from_1970, strict=True):
        path, chosen = reading.log.path, reading.timezone
        if reading.stored is not None:
            own = reading.stored.timezone
            if chosen not in (None, own) and reading.day0 is not None:
                raise InputError.at(
                    path,
                    f"has hours by {own}" if own else "was written without a time zone",
                    remedy=f"give {option('timezone', str(chosen))} where the trace is made from its logs",
                )
            if reading.day0 is not None:
                zones.setdefault(own, path.name)
        elif counts:
            zones.setdefault(chosen, path.name)
        elif chosen is not None:
            note = f"{path.name}: its stamps have no date, so {chosen} says nothing about its hours"
            if note not in plan.notes:
                plan.notes.append(note)
    if len(zones) > 1:
        by = " and ".join(f"{name} has hours by {zone or 'no zone'}" for zone, name in zones.items())
        known = next(zone for zone in zones if zone)
        raise InputError(f"{by}; read the logs with {option('timezone', known)}")
    return next(iter(zones), None)


def rounding_s(plan: ReadPlan, i: int) -> float:
    """Return what was subtracted from a log's stamps as doubles, in seconds.

    Parameters
    ----------
    plan : ReadPlan
    i : int
        Number of the log, from 0.

    Returns
    -------
    float
        0 for instants, which are subtracted as whole numbers.
    """
    return 0.0 if plan.readings[i].clock == "instant" else abs(plan.origins_s[i])


def clock_step(arrival_s: Array, origin_s: float = 0.0) -> float:
    """Find the coarsest of `STEPS_S` that every stamp is a multiple of, as far as doubles can resolve.

    Parameters
    ----------
    arrival_s : array, shape (n,)
        Stamps in seconds.
    origin_s : float
        What was subtracted from the stamps; their rounding error is that of the larger number.

    Returns
    -------
    float
        In seconds; the finest step if no other fits.
    """
    error_s = 4 * np.finfo(float).eps * (np.abs(arrival_s) + abs(origin_s))
    for step in STEPS_S[:-1]:
        if np.all(np.abs(arrival_s - np.round(arrival_s / step) * step) <= np.maximum(1e-6 * step, error_s)):
            return step
    return STEPS_S[-1]


def sorted_streams(found: Iterable[Stream]) -> list[Stream]:
    """Streams sorted by service and model, without those that have no service or a NUL byte in a name.

    If there are few, every service is combined with every model: then a row's service and model can be
    looked up separately, which is faster, and a pair that the head does not show costs no second pass.
    Streams without requests are dropped in the end.
    """
    usable = {s for s in found if s[0] is not None and "\0" not in s[0] and "\0" not in (s[1] or "")}
    services, models = {service for service, _ in usable}, {model for _, model in usable}
    if len(services) * len(models) <= MAX_PAIRS:
        usable = {(service, model) for service in services for model in models}
    return sorted(usable, key=lambda s: (s[0], s[1] is not None, s[1] or ""))


def ask(
    connection: duckdb.DuckDBPyConnection,
    plan: ReadPlan,
    i: int,
    sql: str,
    *,
    head: bool = False,
    **parameters: Any,
) -> duckdb.DuckDBPyConnection:
    """Run SQL over the rows of one log.

    Parameters
    ----------
    connection : DuckDBPyConnection
    plan : ReadPlan
    i : int
        Number of the log, from 0.
    sql : str
        With `$rows` in place of the log's rows.
    head : bool
        The first rows are enough.
    **parameters
        Values for other `$name` in it.

    Returns
    -------
    DuckDBPyConnection
        With the answer, not fetched yet.
    """
    reading = plan.readings[i]
    origin_s = plan.origins_s[i]
    rows = reading.head_select if head else reading.select
    if origin_s and reading.clock != "instant":
        rows = f"SELECT * REPLACE (arrival_s - ({origin_s!r}) AS arrival_s) FROM ({rows})"
    text = sql.replace("$rows", rows)
    parameters_by_name = {**plan.select_parameters(i), **parameters}
    connection.execute("DROP TABLE IF EXISTS reject_errors")
    connection.execute("DROP TABLE IF EXISTS reject_scans")
    names = set(PARAMETER.findall(QUOTED_TEXT.sub("", text)))
    bound = {name: value for name, value in parameters_by_name.items() if name in names}
    try:
        return connection.execute(text, bound)
    except duckdb.Error as fault:
        if "state machine" in str(fault) and "strict_mode = true" in text:
            # Line breaks of both kinds in one file; the strict reader wants one kind.
            return connection.execute(text.replace("strict_mode = true", "strict_mode = false"), bound)
        if re.search(r"GZIP|gzip|zstd|ZSTD|end of file|stream", str(fault)):
            raise InputError.damaged(reading.log.path, reading.log.packed) from fault
        raise InputError.unparsable(reading.log.path, str(fault).partition("\n")[0]) from fault
