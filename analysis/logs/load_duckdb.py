"""Reads all logs into one table, `stamped`, and finds the rows that cannot be used.

The rows are read once, checked as they pass, and written with small integers for their stream and their
stamp. A wrong guess at what must be known before (see `clock_and_streams`) costs another pass. Not here: the
tables made from `stamped` (see `tables`).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import duckdb
import numpy as np

from ..core.arrays import Mask
from ..core.errors import InputError
from ..core.option_names import option
from ..core.units import DAY_S, counted
from ..core.wall_clock import clock_changes
from .clock_and_streams import (
    ARRIVAL_LIMIT_S,
    EVERYWHERE,
    STEPS_S,
    TOKEN_LIMIT,
    Range,
    ReadPlan,
    ask,
    clock_step,
    guess_plan,
    near_range,
    rounding_s,
    set_dates,
    sorted_streams,
)
from .rejects import InvalidRow, Reject, UnparseableRow, escaped, locate_rejects
from .select_sql import ALL_TIME, NO_BLOCKS, Reading, bare_rows
from .tables import MAX_STREAMS, Stream
from .trace_columns import OPTIONAL, optional_columns, optional_values
from .values.stamps import year_of

MAX_PASSES = 8
"""Streams, clock and day 0 are known after two or three; a faulty format of another package never ends."""
OFF_CLOCK = 100
"""Code of a row with one flaw only: its stamp is finer than the clock guessed from the head."""
TOTALS_S, MINUTE_TOTALS_S = 1800.0, 60.0
"""Totals have stamps of whole hours, on clocks of which some are half an hour off, or of whole minutes."""
MIN_TOTALS = 5
"""Fewer rows, or stamps, show no regularity."""
TOTAL_TOKENS = 20_000
"""Mean tokens of a row from which regular rows on whole hours are totals."""
COUNT_COLUMN = re.compile(
    r"(?i)(?:(?:n|num|number_of|total|num_model)_)?(?:requests|calls|invocations|generations)(?:_count)?"
    r"|request_?count|count|call_?count"
)
"""Names of columns that count the requests of a row."""
STRAY = "far from the others"
STRAY_FLAW = 3
"""Number of the check that a stray stamp fails."""
UNREADABLE_NAME = "NUL byte in the name of a service or model"


TOKENS = ("request_tokens", "response_tokens")


@dataclass(frozen=True)
class Check:
    """A condition in SQL that an invalid row meets, and the reason that the reject gives."""

    condition: str
    reason: str
    column: str


@dataclass(frozen=True)
class Loaded:
    """What is known of the table `stamped` after loading."""

    streams: list[Stream]
    resolution_s: float
    day0: date | None
    rows: int
    resorted: int
    rejects: list[Reject]
    rejected: int
    """rows that are not in the trace; `rejects` may list fewer of them"""
    has_sessions: bool
    has_tokens: bool
    optional: tuple[str, ...] = ()
    """the optional columns (`trace_columns`) that some request has a value of"""
    timezone: str | None = None
    """the zone of midnight of day 0"""
    notes: tuple[str, ...] = ()
    """what became clear in reading"""


def load(
    connection: duckdb.DuckDBPyConnection, readings: Sequence[Reading], *, strict: bool = False
) -> Loaded:
    """Fill the table `stamped` from the logs, sorted by arrival.

    Parameters
    ----------
    connection : DuckDBPyConnection
    readings : sequence of Reading
    strict : bool
        Raise the first row that cannot be used as an error.

    Returns
    -------
    Loaded

    Raises
    ------
    InputError
        If no row can be used, or a file is damaged.
    """
    plan = guess_plan(connection, readings)
    tried = False
    for _ in range(MAX_PASSES):
        if len(plan.streams) > MAX_STREAMS:
            raise InputError.too_many_streams(readings[0].log.path.name, MAX_STREAMS)
        unparseable, counts = _read_logs(connection, plan)
        if not tried and _helps_leniently(connection, plan, unparseable, counts):
            # Forms that the heads do not show, such as a second way to write the time.
            plan, tried = guess_plan(connection, [reading.leniently() for reading in plan.readings]), True
        elif not _correct_plan(connection, plan, counts):
            break
    else:
        raise InputError.at(
            readings[0].log.path,
            f"the format {readings[0].format.name} moves its stamps whenever they are read",
            remedy="use $day0_ns with dates only",
        )
    rejects = _take_out_invalid(connection, plan, unparseable, counts)
    _refuse_totals(connection, plan)
    if strict and rejects:
        raise InputError.strict(str(rejects[0]))
    rows, sessions, tokens, failed = _numbers(
        connection,
        "SELECT COUNT(*), COUNT(session), COUNT(request_tokens), COUNT(*) FILTER (failed) FROM requests",
    )
    is_mapped = all(reading.name == "columns" for reading in readings)
    if is_mapped and 0 < rows == failed and len(rejects) >= max(rows, MIN_TOTALS):
        raise InputError.only_failures(readings[0].log.path, rows, len(rejects), str(rejects[0]))
    if rows == 0:
        if rejects:
            raise InputError.all_rejected(readings[0].log.path.name, len(rejects), str(rejects[0]))
        if readings[0].span != ALL_TIME:
            raise InputError.nothing_inside(readings[0].log.path)
        if readings[0].where:
            raise InputError.at(
                readings[0].log.path, f"no row meets {option('where', ', '.join(readings[0].where))}"
            )
        raise InputError.no_rows(readings[0].log.path)
    optional = _filled(connection, plan)
    # What reading and rejecting needed; nothing asks for them again.
    for column in ("flaw", "log_id"):
        connection.execute(f"ALTER TABLE stamped DROP COLUMN {column}")
    connection.execute("ALTER TABLE stamped DROP COLUMN IF EXISTS line_no")
    resorted = _sort_by_arrival(connection, plan.resolution_s)
    if all(reading.format.spread for reading in readings):
        resorted = 0  # their rows are functions, not requests in time
    return Loaded(
        plan.streams,
        plan.resolution_s,
        plan.day0,
        rows,
        resorted,
        rejects,
        len(rejects),
        sessions > 0,
        tokens > 0,
        optional,
        plan.timezone,
        (*plan.notes, *_repeated_hours(connection, plan)),
    )


def _filled(connection: duckdb.DuckDBPyConnection, plan: ReadPlan) -> tuple[str, ...]:
    """Find the optional columns that some request has a value of, and drop the others from `stamped`."""
    held = [name for name in OPTIONAL if any(name in reading.holds for reading in plan.readings)]
    if not held:
        return ()
    values = _numbers(connection, f"SELECT {', '.join(f'COUNT({name})' for name in held)} FROM stamped")
    empty = {name for name, n in zip(held, values, strict=True) if not n}
    if empty:
        _view_requests(connection, plan, empty)
        for name in empty:
            connection.execute(f"ALTER TABLE stamped DROP COLUMN {name}")
    return tuple(name for name in held if name not in empty)


def _repeated_hours(connection: duckdb.DuckDBPyConnection, plan: ReadPlan) -> list[str]:
    """Say how many stamps without an offset lie in an hour that the clock shows twice."""
    uses = [use for reading in plan.readings if reading.stored is None for use in reading.uses]
    if plan.timezone is None or not any(use.stamp is not None and use.stamp.has_naive for use in uses):
        return []
    first, last = connection.execute("SELECT MIN(arrival_s), MAX(arrival_s) FROM requests").fetchall()[0]
    found = 0
    for at, before, after in clock_changes(plan.timezone, plan.zero_s + first - DAY_S, plan.zero_s + last):
        if after < before:
            low, high = at - plan.zero_s, at - plan.zero_s + (before - after)
            found += _numbers(
                connection,
                f"SELECT COUNT(*) FROM requests WHERE arrival_s >= {low!r} AND arrival_s < {high!r}",
            )[0]
    if not found:
        return []
    return [
        f"{counted(found, 'stamp')} in the hour that occurs twice in {plan.timezone}, read as after "
        "the clock was set back"
    ]


def _refuse_totals(connection: duckdb.DuckDBPyConnection, plan: ReadPlan) -> None:
    """Refuse rows that sum up the requests of a minute, an hour or a day.

    No request lies between whole hours or minutes then. Requests may be stamped in whole minutes too: only a
    column that counts requests makes them totals.
    """
    if plan.day0 is None or all(
        r.stored is not None or r.format.spread or r.believes_user for r in plan.readings
    ):
        return
    tokens = "COALESCE(request_tokens, 0) + COALESCE(response_tokens, 0)"
    hour_ticks, minute_ticks = (round(each / plan.resolution_s) for each in (TOTALS_S, MINUTE_TOTALS_S))
    rows, between_hours, between_minutes = _numbers(
        connection,
        f"""
        SELECT
            COUNT(*),
            SUM(CASE WHEN tick % {hour_ticks} <> 0 THEN 1 ELSE 0 END),
            SUM(CASE WHEN tick % {minute_ticks} <> 0 THEN 1 ELSE 0 END)
        FROM requests
        """,
    )
    if rows < MIN_TOTALS or between_minutes:
        return
    stamps, fewest, most, repeated, mean_tokens = _numbers(
        connection,
        f"""
        WITH per_stream AS (
            SELECT tick, stream_id, COUNT(*) AS n, SUM({tokens}) AS tokens FROM requests
            GROUP BY tick, stream_id
        ), per_stamp AS (
            SELECT tick, SUM(n) AS n, MAX(n) AS repeated, SUM(tokens) AS tokens FROM per_stream GROUP BY tick
        )
        SELECT COUNT(*), MIN(n), MAX(n), MAX(repeated), SUM(tokens) / SUM(n) FROM per_stamp
        """,
    )
    log = plan.readings[0].log
    arrival = next((use.place for use in plan.readings[0].uses if use.stamp is not None), None)
    chosen = (
        option("columns", f"arrival_s={arrival},…")
        if plan.readings[0].name == "columns"
        else option("log_format", plan.readings[0].name)
    )
    counts = [name for name in log.header if COUNT_COLUMN.fullmatch(name.strip())]
    is_regular = repeated == 1 or fewest == most
    if between_hours:
        are_totals = bool(counts) and is_regular
    else:
        are_totals = bool(counts) or (is_regular and mean_tokens >= TOTAL_TOKENS)
    if stamps >= MIN_TOTALS and are_totals:
        unit = "minutes" if between_hours else "hours"
        sign = f"column {counts[0]!r}" if counts else f"{mean_tokens:,} tokens a row"
        raise InputError.at(
            log.path,
            f"its rows are totals, not requests: all stamps are whole {unit}, {sign}",
            remedy="burstlens needs a row per request with its time; if each row is a request, say so with "
            f"{chosen}",
        )


def _helps_leniently(
    connection: duckdb.DuckDBPyConnection,
    plan: ReadPlan,
    unparseable: Sequence[list[UnparseableRow]],
    counts: Sequence[tuple[int, int, int, int]],
) -> bool:
    """Whether more rows can be used once values are taken from their text."""
    for i, reading in enumerate(plan.readings):
        if reading.is_lenient or not (unparseable[i] or counts[i][2]):
            continue
        tokens = [f"({name} IS NOT NULL OR failed)" for name in TOKENS if name in reading.needs]
        usable = " AND ".join(["arrival_s IS NOT NULL", *tokens])
        sql = f"SELECT SUM(CASE WHEN {usable} THEN 1 ELSE 0 END) FROM ($rows)"
        plain, lenient = (
            int(ask(connection, guess_plan(connection, [each]), 0, sql).fetchall()[0][0] or 0)
            for each in (reading, reading.leniently())
        )
        if lenient > plain:
            return True
    return False


def _numbers(connection: duckdb.DuckDBPyConnection, sql: str, **parameters: Any) -> list[int]:
    return [int(value or 0) for value in connection.execute(sql, parameters).fetchall()[0]]


def checks(reading: Reading, near_s: Range = EVERYWHERE) -> list[Check]:
    """List the checks of a row, in order: the first that fails is the reason.

    Parameters
    ----------
    reading : Reading
    near_s : Range
        Stamps outside of it are strays (see `clock_and_streams.near_range`).

    Returns
    -------
    list of Check
    """
    low, high = near_s
    sides = [f"arrival_s < {low!r}"] * bool(np.isfinite(low)) + [
        f"arrival_s > {high!r} AND arrival_s < {ARRIVAL_LIMIT_S:.0f}"
    ] * bool(np.isfinite(high))
    has_naive = any(use.stamp is not None and use.stamp.has_naive for use in reading.uses)
    zone = f" in {reading.timezone}" if reading.timezone and has_naive else ""
    found = [
        Check("arrival_s IS NULL", f"missing or not a time{zone}", "arrival_s"),
        Check("isnan(arrival_s) OR isinf(arrival_s)", "not finite", "arrival_s"),
        Check(" OR ".join(sides) or "FALSE", STRAY, "arrival_s"),
        Check("arrival_s < 0", "negative", "arrival_s"),
        Check(f"arrival_s >= {ARRIVAL_LIMIT_S:.0f}", "absurdly large", "arrival_s"),
        Check("service IS NULL", "missing", "service"),
    ]
    if "model" in reading.needs:
        found.append(Check("model IS NULL", "missing", "model"))
    for tokens in TOKENS:
        if tokens in reading.needs:
            # A request that failed may have no tokens.
            excused = " AND NOT COALESCE(failed, FALSE)" if reading.has_failures else ""
            found.append(Check(f"{tokens} IS NULL{excused}", "missing or not a number", tokens))
        else:
            excused = ""
        found += _count_checks(tokens, excused)
    for seconds in held(reading, ("elapsed_s", "ttft_s")):
        found += [
            Check(f"isnan({seconds}) OR isinf({seconds})", "not finite", seconds),
            Check(f"{seconds} < 0", "negative", seconds),
        ]
    for text in held(reading, ("session", "client", "reason")):
        found.append(Check(f"POSITION(chr(0) IN {text}) > 0", "NUL byte in the text", text))
    for number in held(reading, ("cached_tokens", "reasoning_tokens", "images")):
        found += _count_checks(number)
    if reading.checks_failures:
        found.append(Check("failed IS NULL", "not covered by the rule for failures", "failed"))
    if "prefix" in reading.holds:
        found.append(Check(f"prefix = {NO_BLOCKS}", "not a list of block numbers", "prefix"))
    return found


def _count_checks(column: str, excused: str = "") -> list[Check]:
    """The checks of a number that counts something; NaN may be excused as a number that is missing."""
    return [
        Check(f"(isnan({column}){excused}) OR isinf({column})", "not finite", column),
        Check(f"{column} < 0", "negative", column),
        Check(f"{column} >= {TOKEN_LIMIT}", "absurdly large", column),
        Check(f"{column} <> FLOOR({column})", "not a whole number", column),
    ]


def held(reading: Reading, names: Sequence[str]) -> list[str]:
    """Those of the columns that the log has."""
    return [name for name in names if name in reading.holds]


def _read_logs(
    connection: duckdb.DuckDBPyConnection, plan: ReadPlan
) -> tuple[list[list[UnparseableRow]], list[tuple[int, int, int, int]]]:
    """Read every log into `stamped`.

    Returns
    -------
    For each log: rows that could not be parsed, and counts of rows read, with a new stream, with an invalid
    value, with a stamp outside the clock.
    """
    connection.execute("DROP TABLE IF EXISTS stamped")
    holds = {column for reading in plan.readings for column in reading.holds}
    wide = (
        plan.has_large_seconds
        or plan.resolution_s < 1
        or any(rounding_s(plan, i) for i in range(len(plan.readings)))
    )
    numbered = any(reading.has_line_no for reading in plan.readings)
    small = "UTINYINT" if len(plan.streams) < 256 else "SMALLINT"
    unparseable, counts = [], []
    for i, reading in enumerate(plan.readings):
        parameters: dict[str, Any] = {}
        flaw = flaw_of(reading, plan.resolution_s, rounding_s(plan, i), wide, plan.near_arrivals_s)
        columns = [
            f"CAST({stream_of(plan.streams, parameters)} AS {small}) AS stream_id",
            f"{tick_of(plan.resolution_s, wide)} AS tick",
            *(["arrival_s"] if plan.resolution_s < 1 else []),
            *(["session"] if "session" in holds else []),
            "TRY_CAST(request_tokens AS INTEGER) AS request_tokens",
            "TRY_CAST(response_tokens AS INTEGER) AS response_tokens",
            *(["elapsed_s"] if "elapsed_s" in holds else []),
            "COALESCE(failed, FALSE) AS failed",
            *optional_values(reading.holds, frozenset(holds)),
            *([_prefix(reading)] if "prefix" in holds else []),
            f"CAST({flaw} AS TINYINT) AS flaw",
            f"CAST({i} AS SMALLINT) AS log_id",
            *(["line_no" if reading.has_line_no else "CAST(NULL AS BIGINT) AS line_no"] if numbered else []),
        ]
        into = "CREATE TABLE stamped AS" if i == 0 else "INSERT INTO stamped"
        ask(connection, plan, i, f"{into} SELECT {', '.join(columns)} FROM ($rows)", **parameters)
        unparseable.append(_unparseable_rows(connection) if reading.has_reject_table else [])
        read, new_stream, invalid, off = _numbers(
            connection,
            f"""
            SELECT
                COUNT(*),
                SUM(CASE WHEN stream_id IS NULL AND flaw IN (0, {OFF_CLOCK}) THEN 1 ELSE 0 END),
                SUM(CASE WHEN flaw NOT IN (0, {OFF_CLOCK}) THEN 1 ELSE 0 END),
                SUM(CASE WHEN flaw = {OFF_CLOCK} THEN 1 ELSE 0 END)
            FROM stamped
            WHERE log_id = $log_id
            """,
            log_id=i,
        )
        counts.append((read, new_stream, invalid, off))
    _view_requests(connection, plan)
    return unparseable, counts


def _view_requests(
    connection: duckdb.DuckDBPyConnection, plan: ReadPlan, empty: Collection[str] = ()
) -> None:
    """Make the view `requests` of `stamped`, with a NULL for each column that no log has, or in `empty`."""
    holds = {column for reading in plan.readings for column in reading.holds} - set(empty)
    arrival = "arrival_s" if plan.resolution_s < 1 else "CAST(tick AS DOUBLE)"
    connection.execute(
        f"""
        CREATE OR REPLACE VIEW requests AS
        SELECT
            CAST(stream_id AS SMALLINT) AS stream_id,
            CAST(tick AS BIGINT) AS tick,
            {arrival} AS arrival_s,
            {"session" if "session" in holds else "CAST(NULL AS VARCHAR)"} AS session,
            request_tokens,
            response_tokens,
            {"elapsed_s" if "elapsed_s" in holds else "CAST(NULL AS DOUBLE)"} AS elapsed_s,
            failed,
            {", ".join(optional_columns(holds))},
            {"prefix" if "prefix" in holds else "CAST(NULL AS BIGINT[]) AS prefix"},
            rowid AS arrival_order
        FROM stamped
        """
    )


def _prefix(reading: Reading) -> str:
    """The prefix blocks of a log's rows, if some log of the trace has prefix blocks."""
    return "prefix" if "prefix" in reading.holds else "CAST(NULL AS BIGINT[]) AS prefix"


def stream_of(streams: Sequence[Stream], parameters: dict[str, Any]) -> str:
    """Write SQL for the number of a row's stream.

    Parameters
    ----------
    streams : sequence of Stream
        Numbered from 1 in this order.
    parameters : dict
        Gets the names of services and models: they are bound, never part of the SQL.

    Returns
    -------
    str
        NULL for a row of another stream.
    """
    services = list(dict.fromkeys(service for service, _ in streams))
    models = list(dict.fromkeys(model for _, model in streams))

    def cases(column: str, names: Sequence[str | None], numbers: Sequence[int]) -> str:
        whens = []
        for name, number in zip(names, numbers, strict=True):
            if name is None:
                whens.append(f"WHEN {column} IS NULL THEN {number}")
            else:
                parameters[f"{column}_{number}"] = name
                whens.append(f"WHEN {column} = ${column}_{number} THEN {number}")
        return f"CASE {' '.join(whens)} END"

    if not streams:
        return "NULL"
    if len(streams) == len(services) * len(models):
        first = cases("service", services, [i * len(models) for i in range(len(services))])
        return f"{first} + {cases('model', models, range(1, len(models) + 1))}"
    number = {stream: i for i, stream in enumerate(streams, start=1)}
    whens = []
    for i, service in enumerate(services):
        parameters[f"service_{i}"] = service
        own = [model for model in models if (service, model) in number]
        whens.append(
            f"WHEN service = $service_{i} THEN {cases('model', own, [number[service, m] for m in own])}"
        )
    return f"CASE {' '.join(whens)} END"


def tick_of(resolution_s: float, wide: bool) -> str:
    """Write SQL for the tick nearest to a stamp.

    DuckDB computes a repeated expression only once.

    Parameters
    ----------
    resolution_s : float
        Length of a tick in seconds.
    wide : bool
        Use 64 bits. With 32 a stamp that does not fit is NULL, so off the clock.

    Returns
    -------
    str
    """
    ticks = "arrival_s" if resolution_s == 1.0 else f"arrival_s / {resolution_s!r}"
    return f"TRY_CAST(FLOOR({ticks} + 0.5) AS {'BIGINT' if wide else 'UINTEGER'})"


def clock_error(origin_s: float) -> str:
    """How far off its clock a stamp may be by rounding alone: a few units in its last place."""
    return f"4 * 2.220446049250313e-16 * (ABS(arrival_s) + {abs(origin_s)!r})"


def flaw_of(
    reading: Reading, resolution_s: float, origin_s: float, wide: bool, near_s: Range = EVERYWHERE
) -> str:
    """Write SQL that is 0 for a good row, else the number of the first check that the row fails.

    Good rows pass in one condition.

    Parameters
    ----------
    reading : Reading
        Of the log.
    resolution_s : float
        Length of a tick in seconds.
    origin_s : float
        What was subtracted from the stamps as doubles, in seconds.
    wide : bool
        As for `tick_of`.
    near_s : Range
        As for `checks`.

    Returns
    -------
    str
    """
    low_s, high_s = max(0.0, near_s[0]), min(ARRIVAL_LIMIT_S, near_s[1])
    error_s = clock_error(origin_s)
    nearest_s = f"FLOOR(arrival_s / {resolution_s!r} + 0.5) * {resolution_s!r}"
    if resolution_s == STEPS_S[-1]:
        on_clock = "TRUE"
    elif resolution_s == 1.0 and origin_s == 0.0:
        on_clock = f"arrival_s = {tick_of(resolution_s, wide)}"
    else:
        on_clock = f"ABS(arrival_s - {nearest_s}) <= GREATEST({1e-6 * resolution_s!r}, {error_s})"
    good = [on_clock, f"arrival_s >= {low_s!r} AND arrival_s < {high_s!r}", "service IS NOT NULL"]
    for tokens in TOKENS:
        valid = _whole(tokens)
        if tokens not in reading.needs:
            valid = f"({tokens} IS NULL OR ({valid}))"
        elif reading.has_failures:
            missing = f"({tokens} IS NULL OR isnan({tokens}))"
            valid = f"(({valid}) OR ({missing} AND COALESCE(failed, FALSE)))"
        good.append(valid)
    for number in held(reading, ("cached_tokens", "reasoning_tokens", "images")):
        good.append(f"({number} IS NULL OR ({_whole(number)}))")
    if "model" in reading.needs:
        good.append("model IS NOT NULL")
    listed = checks(reading, near_s)
    for seconds in held(reading, ("elapsed_s", "ttft_s")):
        # NaN is above all numbers, infinity too.
        good.append(f"COALESCE({seconds} >= 0 AND {seconds} < CAST('inf' AS DOUBLE), TRUE)")
    for text in held(reading, ("session", "client", "reason")):
        good.append(f"COALESCE(POSITION(chr(0) IN {text}) = 0, TRUE)")
    if reading.checks_failures:
        good.append("failed IS NOT NULL")
    rest = [check.condition for check in listed if check.column == "prefix"]
    good += [f"COALESCE(NOT ({condition}), TRUE)" for condition in rest]
    whens = " ".join(f"WHEN {check.condition} THEN {i}" for i, check in enumerate(listed, start=1))
    return f"CASE WHEN {' AND '.join(good)} THEN 0 ELSE CASE {whens} ELSE {OFF_CLOCK} END END"


def _whole(number: str) -> str:
    """The condition that a number is whole and in range: the integer that is kept is the same number."""
    integer = f"TRY_CAST({number} AS INTEGER)"
    return f"{integer} = {number} AND {integer} >= 0"


def _correct_plan(
    connection: duckdb.DuckDBPyConnection, plan: ReadPlan, counts: Sequence[tuple[int, int, int, int]]
) -> bool:
    """Mend what the heads got wrong; True if there was anything, and the logs must be read again."""
    wrong = _find_strays(connection, plan)
    for i, (_, new_stream, invalid, off) in enumerate(counts):
        dated = plan.readings[i].clock == "instant" or plan.origins_s[i] > 0
        if invalid and dated:
            least = ask(
                connection,
                plan,
                i,
                f"SELECT MIN(arrival_s) FROM ($rows) WHERE {_is_near(plan)}",
            ).fetchall()[0][0]
            if least is not None and least < 0 and least + plan.origins_s[i] >= 0:
                plan.earliest_s[i] = least + plan.origins_s[i]
                wrong = True
        if new_stream:
            pairs = ask(connection, plan, i, "SELECT DISTINCT service, model FROM ($rows)").fetchall()
            streams = sorted_streams({*plan.streams, *pairs})
            wrong = wrong or streams != plan.streams
            plan.streams = streams
        if off:
            arrivals = ask(
                connection,
                plan,
                i,
                f"SELECT arrival_s FROM ($rows) WHERE {_is_near(plan)} "
                f"AND arrival_s >= 0 AND arrival_s < {ARRIVAL_LIMIT_S:.0f}",
            ).fetchnumpy()["arrival_s"]
            step = clock_step(np.ma.getdata(arrivals), rounding_s(plan, i))
            far = bool(np.max(arrivals, initial=0) >= 2**32 - 1)
            wrong = wrong or step < plan.resolution_s or far > plan.has_large_seconds
            plan.has_large_seconds = plan.has_large_seconds or far
            plan.resolution_s = min(plan.resolution_s, step)
    if wrong:
        set_dates(plan)
    return wrong


def _is_near(plan: ReadPlan) -> str:
    """The condition that a stamp is not a stray; false of what is not finite."""
    low, high = plan.near_arrivals_s
    return f"arrival_s >= {max(low, -1e15)!r} AND arrival_s <= {min(high, 1e15)!r}"


def _find_strays(connection: duckdb.DuckDBPyConnection, plan: ReadPlan) -> bool:
    """Find the bulk of all stamps if some are far from those of the heads; True if others are strays."""
    found = _numbers(connection, f"SELECT COUNT(*) FROM stamped WHERE flaw = {STRAY_FLAW}")[0]
    if not found or plan.knows_strays:
        return False
    plan.knows_strays = True
    zero_s = plan.zero_s
    stamps_s = np.concatenate(
        [
            np.ma.getdata(
                ask(
                    connection,
                    plan,
                    i,
                    "SELECT arrival_s FROM ($rows) WHERE arrival_s > -1e15 AND arrival_s < 1e15",
                ).fetchnumpy()["arrival_s"]
            )
            for i in range(len(plan.readings))
        ]
    )
    stamps_s += zero_s
    before, plan.near_s = plan.near_s, near_range(stamps_s, plan.has_dates_of_formats)

    def is_near(near_s: Range) -> Mask:
        return (stamps_s >= near_s[0]) & (stamps_s <= near_s[1])

    return bool(np.any(is_near(before) != is_near(plan.near_s)))


def _years_of_strays(connection: duckdb.DuckDBPyConnection, plan: ReadPlan, i: int) -> list[int]:
    """The years of a log's stray stamps, row by row."""
    if plan.day0 is None:
        return []
    low, high = plan.near_arrivals_s
    rows = ask(
        connection,
        plan,
        i,
        f"SELECT arrival_s FROM ($rows) WHERE NOT isnan(arrival_s) AND NOT isinf(arrival_s) "
        f"AND (arrival_s < {low!r} OR arrival_s > {high!r})",
    ).fetchall()
    return [year_of(row[0] + plan.zero_s) for row in rows]


def _unparseable_rows(connection: duckdb.DuckDBPyConnection) -> list[UnparseableRow]:
    """The rows that the reader could not parse in the last log, in order."""
    errors_by_row = connection.execute(
        "SELECT line, line_byte_position, column_name, error_type, error_message, csv_line FROM reject_errors"
        " ORDER BY line_byte_position, line"
    ).fetchall()
    rows: dict[int, list[Any]] = {}
    for row in errors_by_row:
        rows.setdefault(row[1], []).append(row)
    unparseable = []
    for position, errors in rows.items():
        kinds = [error[3] for error in errors]
        worst = next((k for k in ("MISSING COLUMNS", "UNQUOTED VALUE") if k in kinds), kinds[0])
        _, _, column, kind, message, text = errors[kinds.index(worst)]
        lines = 1
        if kind == "UNQUOTED VALUE":
            lines += (text or "").rstrip("\r\n").count("\n")
        reason, where = _reason(kind, message, column)
        unparseable.append(UnparseableRow(max(position - 1, 0), reason, where, lines))
    return unparseable


def _reason(kind: str, message: str, column: str | None) -> tuple[str, str | None]:
    """The reader's message in few words, and the column at fault if any."""
    if kind in ("MISSING COLUMNS", "TOO MANY COLUMNS"):
        numbers = re.findall(r"\d+", message)
        return f"{counted(int(numbers[1]), 'column')}, but the header has {numbers[0]}", None
    if kind == "CAST":
        value = re.search(r"Could not convert string (.*) to '(\w+)", message, re.DOTALL)
        return (f"not a number: {escaped(value[1][:60].encode())}" if value else "not a number"), column
    if kind == "INVALID ENCODING":
        return "not UTF-8", column
    if kind == "UNQUOTED VALUE":
        return "a quote that is not closed", column
    return kind.lower().replace("_", " "), column


def _take_out_invalid(
    connection: duckdb.DuckDBPyConnection,
    plan: ReadPlan,
    unparseable: Sequence[list[UnparseableRow]],
    counts: Sequence[tuple[int, int, int, int]],
) -> list[Reject]:
    """Find the lines of all bad rows, and take those that were read out of `stamped`."""
    rejects: list[Reject] = []
    before = 0
    for i, reading in enumerate(plan.readings):
        read, new_stream, bad, _ = counts[i]
        invalid: list[InvalidRow] = []
        if bad or new_stream:
            listed = checks(reading, plan.near_arrivals_s)
            place = "line_no - 1" if reading.has_line_no else f"rowid - {before}"
            rows = connection.execute(
                f"""
                SELECT {place}, flaw
                FROM stamped
                WHERE log_id = $log_id AND (flaw NOT IN (0, {OFF_CLOCK}) OR stream_id IS NULL)
                ORDER BY rowid
                """,
                {"log_id": i},
            ).fetchall()
            strays = sum(flaw == STRAY_FLAW for _, flaw in rows)
            years = _years_of_strays(connection, plan, i) if strays else []
            year = iter(years if len(years) == strays else [])
            for row, flaw in rows:
                known = 0 < flaw <= len(listed)
                reason = listed[flaw - 1].reason if known else UNREADABLE_NAME
                if flaw == STRAY_FLAW and (of := next(year, None)) is not None:
                    reason += f" (year {of})"
                invalid.append(InvalidRow(row, reason, listed[flaw - 1].column if known else None))
        if unparseable[i] or invalid:
            parsed = read
            if reading.has_line_no:
                answer = ask(connection, plan, i, f"SELECT COUNT(*) FROM ({bare_rows(reading)})")
                parsed = int(answer.fetchall()[0][0])
            rejects += locate_rejects(reading.log, parsed, unparseable[i], invalid)
        before += read
    if any(bad or new_stream for _, new_stream, bad, _ in counts):
        connection.execute(f"DELETE FROM stamped WHERE flaw NOT IN (0, {OFF_CLOCK}) OR stream_id IS NULL")
    return rejects


def _sort_by_arrival(connection: duckdb.DuckDBPyConnection, resolution_s: float) -> int:
    """Sort `stamped` by arrival if needed; returns how many rows came after a later arrival."""
    late = _numbers(
        connection,
        """
        SELECT SUM(CASE WHEN step < 0 THEN 1 ELSE 0 END)
        FROM (SELECT arrival_s - LAG(arrival_s) OVER () AS step FROM requests) AS steps
        """,
    )[0]
    if not late:
        return 0
    arrival = np.ma.getdata(connection.execute("SELECT arrival_s FROM requests").fetchnumpy()["arrival_s"])
    late = int(np.count_nonzero(arrival[1:] < np.maximum.accumulate(arrival)[:-1]))
    del arrival
    exact = resolution_s < 1
    connection.execute(
        f"CREATE TABLE in_order AS SELECT * FROM stamped ORDER BY {'arrival_s' if exact else 'tick'}, rowid"
    )
    connection.execute("DROP TABLE stamped")
    connection.execute("ALTER TABLE in_order RENAME TO stamped")
    return late
