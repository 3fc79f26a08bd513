"""Logs made into the table of requests on Spark, its bad rows counted and a bounded number of them listed.

What must be known of a trace before its rows are stamped (see `clock_and_streams`) is asked of all rows here,
where DuckDB guesses it from the head: a pass over the logs costs a cluster less than a wrong guess. Which
rows can be used, and the reasons of the others, come from the expressions of `load_duckdb`, translated. Not
here: the tables that questions are put to (`trace.tables_spark`).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import TYPE_CHECKING, Any

from ...queries.dialect import in_spark
from ...queries.spark import SparkEngine
from ..core.errors import InputError
from .clock_and_streams import ARRIVAL_LIMIT_S, STEPS_S, ReadPlan, rounding_s, set_dates, sorted_streams
from .load_duckdb import OFF_CLOCK, UNREADABLE_NAME, Loaded, checks, clock_error, flaw_of, stream_of, tick_of
from .rejects import TEXT_LIMIT, Reject, escaped
from .rows_spark import PLACE, ROW_TEXT, UNPARSEABLE, faults, read_rows
from .select_sql import ALL_TIME, Reading
from .tables import MAX_STREAMS, Stream
from .trace_columns import OPTIONAL, optional_columns, optional_values

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

MAX_LISTED_REJECTS = 10_000
"""Rejected rows that are listed one by one; all are counted."""
FIRST_UNPARSEABLE = OFF_CLOCK + 1
"""Flaws from this one on are the `faults` of rows that could not be parsed."""
USABLE = f"COALESCE(flaw IN (0, {OFF_CLOCK}) AND stream_id IS NOT NULL, FALSE)"


def load(
    engine: SparkEngine, readings: Sequence[Reading], *, strict: bool = False, clock_s: float = 0.0
) -> Loaded:
    """Make the table `requests` on the cluster from the logs.

    Parameters
    ----------
    engine : SparkEngine
    readings : sequence of Reading
    strict : bool
        Raise the first bad row as an error.
    clock_s : float
        Put finer stamps on a clock of this tick, in seconds.

    Returns
    -------
    Loaded

    Raises
    ------
    BurstlensError
        If no row is left.
    """
    plan = ReadPlan(readings, [], 1.0, None, [0.0] * len(readings))
    with engine.lenient():
        frames = _plan_from_all_rows(engine, plan)
        plan.resolution_s = max(plan.resolution_s, clock_s)
        checked = [_check_rows(engine, plan, i, frame) for i, frame in enumerate(frames)]
        engine.view("rows_checked", reduce(lambda a, b: a.unionByName(b), checked))
        listed = f"SELECT * EXCEPT ({ROW_TEXT}), MONOTONICALLY_INCREASING_ID() AS row FROM rows_checked"
        engine.view("rows_kept", engine.run(listed), keep=True)
        optional = ", ".join(optional_columns(_holds(plan)))
        engine.view(
            "requests",
            engine.run(
                in_spark(
                    "SELECT stream_id, tick, arrival_s, session, request_tokens, response_tokens, elapsed_s, "
                    f"failed, {optional}, prefix"
                )
                + f", STRUCT(arrival_s, log_id, {PLACE}, row) AS arrival_order FROM rows_kept WHERE {USABLE}"
            ),
        )
    rejected = engine.rows(
        f"SELECT log_id, flaw, COUNT(*) FROM rows_kept WHERE NOT {USABLE} GROUP BY log_id, flaw"
    )
    rejects = _list_rejects(engine, readings) if rejected else []
    if strict and rejects:
        raise InputError.strict(str(rejects[0]))
    held = [name for name in OPTIONAL if name in _holds(plan)]
    rows, sessions, tokens, *values = engine.rows(
        f"SELECT {', '.join(['COUNT(*)', *(f'COUNT({c})' for c in ('session', 'request_tokens', *held))])} "
        "FROM requests"
    )[0]
    count = sum(n for *_, n in rejected)
    if rows == 0:
        if rejects:
            raise InputError.all_rejected(readings[0].log.path.name, count, str(rejects[0]))
        if readings[0].span != ALL_TIME:
            raise InputError.nothing_inside(readings[0].log.path)
        raise InputError.no_rows(readings[0].log.path)
    spread = all(reading.format.spread for reading in readings)
    resorted = 0 if spread else _count_late(engine)
    return Loaded(
        plan.streams,
        plan.resolution_s,
        plan.day0,
        rows,
        resorted,
        rejects,
        count,
        sessions > 0,
        tokens > 0,
        tuple(name for name, n in zip(held, values, strict=True) if n),
        plan.timezone,
        tuple(plan.notes),
    )


def _holds(plan: ReadPlan) -> frozenset[str]:
    """What some log of the trace has."""
    return frozenset(column for reading in plan.readings for column in reading.holds)


def _plan_from_all_rows(engine: SparkEngine, plan: ReadPlan) -> list[DataFrame]:
    """The logs' rows on the trace's own clock; streams, clock and day 0 go into the plan."""
    for i, reading in enumerate(plan.readings):
        earliest = None
        if reading.clock != "second 0":
            engine.view("read", read_rows(engine, reading, i, plan.select_parameters(i)))
            answer = engine.rows(
                "SELECT MIN(arrival_s) FROM read WHERE arrival_s > -1e15 AND arrival_s < 1e15"
            )
            earliest = answer[0][0]
        plan.earliest_s.append(float("inf") if earliest is None else earliest)
    set_dates(plan)
    frames, found = [], set[Stream]()
    for i, reading in enumerate(plan.readings):
        frame = read_rows(engine, reading, i, plan.select_parameters(i))
        if plan.origins_s[i] and reading.clock != "instant":
            frame = frame.withColumn("arrival_s", frame["arrival_s"] - plan.origins_s[i])
        frames.append(frame)
        engine.view("read", frame)
        answer = engine.rows(_facts(rounding_s(plan, i)))
        if len(answer) > MAX_STREAMS:
            raise InputError.too_many_streams(reading.log.path.name, MAX_STREAMS)
        found |= {(service, model) for service, model, *_ in answer}
        for *_, steps in answer:
            plan.resolution_s = min(
                plan.resolution_s, STEPS_S[next((k for k, on in enumerate(steps) if on), -1)]
            )
    plan.streams = sorted_streams(found)
    return frames


def _facts(origin_s: float) -> str:
    """Streams, and for each step of a clock whether all arrivals are multiples of it (see `clock_step`)."""
    error_s = clock_error(origin_s)
    on = [
        f"COALESCE(BOOL_AND(ABS(arrival_s - FLOOR(arrival_s / {step!r}D + 0.5D) * {step!r}D) "
        f"<= GREATEST({1e-6 * step!r}D, {error_s})), TRUE)"
        for step in STEPS_S[:-1]
    ]
    usable = f"CASE WHEN arrival_s >= 0 AND arrival_s < {ARRIVAL_LIMIT_S:.0f} THEN arrival_s END"
    return (
        f"SELECT service, model, ARRAY({', '.join(on)}) AS steps "
        f"FROM (SELECT service, model, {usable} AS arrival_s FROM read WHERE {UNPARSEABLE} IS NULL) "
        f"GROUP BY service, model LIMIT {MAX_STREAMS + 1}"
    )


def _check_rows(engine: SparkEngine, plan: ReadPlan, i: int, frame: DataFrame) -> DataFrame:
    """The rows of one log with the numbers of their stream, tick and flaw."""
    reading = plan.readings[i]
    view = f"read_{i}"
    engine.view(view, frame)
    parameters: dict[str, Any] = {}
    has_prefix = "prefix" in reading.holds
    columns = [
        f"CAST({stream_of(plan.streams, parameters)} AS SMALLINT) AS stream_id",
        f"{tick_of(plan.resolution_s, True)} AS tick",
        "arrival_s",
        "session",
        "TRY_CAST(request_tokens AS INTEGER) AS request_tokens",
        "TRY_CAST(response_tokens AS INTEGER) AS response_tokens",
        "elapsed_s",
        "COALESCE(failed, FALSE) AS failed",
        *optional_values(reading.holds, _holds(plan)),
        "prefix" if has_prefix else "CAST(NULL AS BIGINT[]) AS prefix",
        f"CASE WHEN {UNPARSEABLE} IS NOT NULL THEN {OFF_CLOCK} + {UNPARSEABLE} "
        f"ELSE {flaw_of(reading, plan.resolution_s, rounding_s(plan, i), True)} END AS flaw",
        f"CAST({i} AS SMALLINT) AS log_id",
        PLACE,
        ROW_TEXT,
    ]
    return engine.run(in_spark(f"SELECT {', '.join(columns)} FROM {view}"), **parameters)


def _list_rejects(engine: SparkEngine, readings: Sequence[Reading]) -> list[Reject]:
    """Rejected rows, no more than `MAX_LISTED_REJECTS`, log by log in the order of the file."""
    rows = engine.rows(
        f"SELECT log_id, flaw, LEFT({ROW_TEXT}, {TEXT_LIMIT}) AS text FROM rows_checked "
        f"WHERE NOT {USABLE} LIMIT {MAX_LISTED_REJECTS}"
    )
    rejects = []
    for log_id, flaw, text in rows:
        reading = readings[log_id]
        reason, column = _reason_of(reading, flaw)
        rejects.append(Reject(reading.log.path.name, None, reason, column, escaped((text or "").encode())))
    return rejects


def _reason_of(reading: Reading, flaw: int | None) -> tuple[str, str | None]:
    """What is wrong with a row of that flaw, and the column at fault."""
    listed = checks(reading)
    if flaw is not None and 0 < flaw <= len(listed):
        return listed[flaw - 1].reason, listed[flaw - 1].column
    if flaw is not None and flaw >= FIRST_UNPARSEABLE:
        return faults(reading)[flaw - FIRST_UNPARSEABLE]
    return UNREADABLE_NAME, None


def _count_late(engine: SparkEngine) -> int:
    """How many rows came after a later arrival, in the order of the logs and their lines.

    Rows are compared inside their piece of a file, and with the latest arrival of the pieces before it.
    """
    return int(
        engine.rows(
            f"""
            WITH pieces AS (
                SELECT log_id, {PLACE}, MAX(arrival_s) AS latest_s
                FROM rows_kept WHERE {USABLE} GROUP BY log_id, {PLACE}
            ),
            before AS (
                SELECT *, MAX(latest_s) OVER (
                    ORDER BY log_id, {PLACE} ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
                ) AS before_s
                FROM pieces
            ),
            stepped AS (
                SELECT log_id, {PLACE}, arrival_s, MAX(arrival_s) OVER (
                    PARTITION BY log_id, {PLACE} ORDER BY row ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
                ) AS inside_s
                FROM rows_kept WHERE {USABLE}
            )
            SELECT COUNT(*)
            FROM stepped JOIN before ON before.log_id = stepped.log_id AND before.{PLACE} = stepped.{PLACE}
            WHERE arrival_s < inside_s OR arrival_s < before_s
            """
        )[0][0]
    )
