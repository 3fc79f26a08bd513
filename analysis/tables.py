"""The tables that questions are put to, built from the requests (see `burstlens.queries`).

Runs of equal stamps are counted in NumPy on the sorted stamps: at ten million rows that is several times
faster than grouping and sorting them in SQL, and needs half the memory. `tests/analysis/test_tables.py` holds
the same tables in SQL and finds them equal. Not here: where the requests come from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..queries import Engine

HOLE_S = 86_400.0
"""A silence of all services of at least this long is a hole in the record, not a quiet time."""
MOST_SELECTED = 16
"""Services, and models of one service, that are characterized one by one: the busiest."""
MOST_STREAMS = 2_000
"""More pairs of service and model than that are no services and models."""

Stream = tuple[str, str | None]
"""Service and model."""
Integers = npt.NDArray[np.integer]


@dataclass(frozen=True)
class Selection:
    """What is characterized: everything, a service, or one model of a service."""

    selection_id: int
    service: str | None
    model: str | None
    n: int

    @property
    def label(self) -> str:
        """`all`, `conversation` or `conversation · GPT-4`, as figures and tables name it."""
        return " · ".join(part for part in (self.service, self.model) if part) or "all"


@dataclass(frozen=True)
class Occupied:
    """Occupied ticks: per tick and stream how many requests and failures, sorted by tick."""

    tick: Integers
    """(n_ticks,) the distinct ticks, counted from `first`"""
    first: int
    rank: Integers
    """(n_entries,) index into `tick`"""
    stream: Integers
    """(n_entries,) index of the stream"""
    n: Integers
    failed: Integers


def stamp(engine: Engine, resolution_s: float) -> list[Stream]:
    """Make `stamped` and `requests` from a table `trace`; the streams, by `stream_id` from 1."""
    connection = engine.connection
    connection.execute(
        """
        CREATE TABLE named AS
        SELECT
            CAST(ROW_NUMBER() OVER (ORDER BY service, model NULLS FIRST) AS SMALLINT) AS stream_id,
            service,
            model
        FROM (SELECT DISTINCT service, model FROM trace) AS pairs
        """
    )
    connection.execute(
        """
        CREATE TABLE stamped AS
        SELECT
            named.stream_id,
            CAST(FLOOR(trace.arrival_s / $resolution_s + 1e-6) AS BIGINT) AS tick,
            trace.arrival_s,
            trace.session,
            CAST(trace.request_tokens AS INTEGER) AS request_tokens,
            CAST(trace.response_tokens AS INTEGER) AS response_tokens,
            trace.elapsed_s,
            trace.failed
        FROM trace
        JOIN named ON trace.service = named.service AND trace.model IS NOT DISTINCT FROM named.model
        ORDER BY trace.arrival_s
        """,
        {"resolution_s": resolution_s},
    )
    connection.execute("CREATE VIEW requests AS SELECT * FROM stamped")
    pairs = connection.execute("SELECT service, model FROM named ORDER BY stream_id").fetchall()
    connection.execute("DROP TABLE named")
    return [(service, model) for service, model in pairs]


def build(engine: Engine, streams: Sequence[Stream], resolution_s: float) -> tuple[Selection, ...]:
    """Make streams, selections, members, segments, ticks and gaps from the `stamped` table.

    `stamped` is sorted by tick; `stream_id` counts from 1 in the order of `streams`.
    """
    occupied = count(engine, len(streams))
    per_stream = np.bincount(occupied.stream, occupied.n, minlength=len(streams)).astype(np.int64)
    engine.fill(
        "streams",
        "stream_id SMALLINT, service VARCHAR, model VARCHAR, n BIGINT",
        [(i + 1, *stream, int(per_stream[i])) for i, stream in enumerate(streams) if per_stream[i]],
    )
    present = [(stream, i) for i, stream in enumerate(streams) if per_stream[i]]
    selections, members = select(present, per_stream)
    engine.fill(
        "selections",
        "selection_id SMALLINT, service VARCHAR, model VARCHAR",
        [(s.selection_id, s.service, s.model) for s in selections],
    )
    engine.fill(
        "members",
        "selection_id SMALLINT, stream_id SMALLINT",
        [(s.selection_id, i + 1) for s, held in zip(selections, members, strict=True) for i in held],
    )
    hole_ticks = round(HOLE_S / resolution_s)
    _keep_segments(engine, occupied, hole_ticks)
    _keep_ticks(engine, occupied)
    _keep_gaps(engine, occupied, members, len(streams), hole_ticks)
    return selections


def count(engine: Engine, n_streams: int) -> Occupied:
    """Requests and failures per occupied tick and stream, of a `stamped` table sorted by tick."""
    connection = engine.connection
    first, last = connection.execute("SELECT MIN(tick), MAX(tick) FROM stamped").fetchall()[0]
    narrow = "INTEGER" if last - first < 2**31 else "BIGINT"
    small = "UTINYINT" if n_streams <= 127 else "INTEGER"
    fetched = connection.execute(
        f"""
        SELECT
            CAST(tick - $first AS {narrow}) AS tick,
            CAST((stream_id - 1) * 2 + CASE WHEN failed THEN 1 ELSE 0 END AS {small}) AS code
        FROM stamped
        """,
        {"first": first},
    ).fetchnumpy()
    tick, code = np.ma.getdata(fetched.pop("tick")), np.ma.getdata(fetched.pop("code"))
    new = np.empty(len(tick), bool)
    new[0] = True
    np.not_equal(tick[1:], tick[:-1], out=new[1:])
    distinct = tick[new]
    del tick
    rank = np.cumsum(new, dtype=np.int32)
    del new
    rank -= 1
    # One cell a tick and stream. Where that is not many times the rows, counting beats sorting.
    cells = rank.astype(np.int64)
    cells *= n_streams
    cells += code >> 1
    failures = cells[(code & 1).astype(bool)]
    del rank, code
    if len(distinct) * n_streams <= 4 * len(cells) + 1024:
        counted = np.bincount(cells)
        taken = np.flatnonzero(counted)
        n = counted[taken].astype(np.int32)
        del counted
    else:
        taken, many = np.unique(cells, return_counts=True)
        n = many.astype(np.int32)
    failed = np.zeros(len(taken), np.int32)
    np.add.at(failed, np.searchsorted(taken, failures), 1)
    at, stream = np.divmod(taken, n_streams)
    return Occupied(distinct, first, at.astype(np.int32), stream.astype(np.int16), n, failed)


def select(
    present: Sequence[tuple[Stream, int]], per_stream: npt.NDArray[np.int64]
) -> tuple[tuple[Selection, ...], list[list[int]]]:
    """Everything, each service where there are several, each model where a service has several.

    Beside each selection the indices of the streams that it holds.
    """
    groups: list[tuple[str | None, str | None, list[int]]] = [(None, None, [i for _, i in present])]
    services: dict[str, list[int]] = {}
    names = {i: model for (_, model), i in present}
    for (service, _), i in present:
        services.setdefault(service, []).append(i)
    busy = sorted(services, key=lambda service: -per_stream[services[service]].sum())[:MOST_SELECTED]
    for service, held in services.items():
        if service not in busy:
            continue
        if len(services) > 1:
            groups.append((service, None, held))
        if len(held) > 1:
            busiest = sorted(held, key=lambda i: -per_stream[i])[:MOST_SELECTED]
            groups.extend((service, names[i], [i]) for i in held if i in busiest and names[i] is not None)
    selections = tuple(
        Selection(number, service, model, int(per_stream[held].sum()))
        for number, (service, model, held) in enumerate(groups, start=1)
    )
    return selections, [held for _, _, held in groups]


def _keep_segments(engine: Engine, occupied: Occupied, hole_ticks: int) -> None:
    """Contiguous stretches: a silence of at least `hole_ticks` over all streams is a hole."""
    last = np.flatnonzero(np.diff(occupied.tick) >= hole_ticks)
    starts = occupied.tick[np.concatenate([[0], last + 1])]
    ends = occupied.tick[np.append(last, len(occupied.tick) - 1)]
    rows = [
        (i, int(a) + occupied.first, int(b) + occupied.first)
        for i, (a, b) in enumerate(zip(starts, ends, strict=True))
    ]
    engine.fill("segments", "segment_id INTEGER, start_tick BIGINT, end_tick BIGINT", rows)


def _keep_ticks(engine: Engine, occupied: Occupied) -> None:
    engine.connection.register(
        "tick_arrays",
        {
            "stream": occupied.stream,
            "tick": occupied.tick[occupied.rank],
            "n": occupied.n,
            "failed": occupied.failed,
        },
    )
    engine.connection.execute(
        f"""
        CREATE VIEW ticks AS
        SELECT
            CAST(stream + 1 AS SMALLINT) AS stream_id,
            CAST(tick AS BIGINT) + ({occupied.first}) AS tick,
            n,
            failed
        FROM tick_arrays
        """
    )


def _keep_gaps(
    engine: Engine, occupied: Occupied, members: Sequence[Sequence[int]], n_streams: int, hole_ticks: int
) -> None:
    """Ticks between the occupied ticks of each selection, never across a hole of the record."""
    parts: dict[str, list[Integers]] = {"selection_id": [], "tick": [], "n": [], "failed": [], "gap": []}
    for selection_id, held in enumerate(members, start=1):
        tick, n, failed = _of_streams(occupied, held, n_streams)
        gap = np.diff(tick, prepend=tick[:1])
        # No gap is zero, so that zero can stand for none: the first tick of a segment.
        gap[gap >= hole_ticks] = 0
        parts["selection_id"].append(np.full(len(tick), selection_id, np.int16))
        parts["tick"].append(tick)
        parts["n"].append(n)
        parts["failed"].append(failed)
        parts["gap"].append(gap)
    arrays = {}
    for name in list(parts):
        arrays[name] = np.concatenate(parts.pop(name))
    engine.connection.register("gap_arrays", arrays)
    engine.connection.execute(
        f"""
        CREATE VIEW gaps AS
        SELECT
            selection_id,
            CAST(tick AS BIGINT) + ({occupied.first}) AS tick,
            n,
            failed,
            CAST(NULLIF(gap, 0) AS BIGINT) AS gap
        FROM gap_arrays
        """
    )


def _of_streams(
    occupied: Occupied, held: Sequence[int], n_streams: int
) -> tuple[Integers, Integers, Integers]:
    """Occupied ticks of some streams together: tick, requests and failures in it."""
    rank, n, failed = occupied.rank, occupied.n, occupied.failed
    if len(held) < n_streams:
        inside = np.zeros(n_streams, bool)
        inside[list(held)] = True
        kept = np.flatnonzero(inside[occupied.stream])
        rank, n, failed = rank[kept], n[kept], failed[kept]
    if len(held) > 1:
        starts = np.flatnonzero(np.concatenate([[True], rank[1:] != rank[:-1]]))
        rank = rank[starts]
        n, failed = np.add.reduceat(n, starts), np.add.reduceat(failed, starts)
    return occupied.tick[rank], n, failed
