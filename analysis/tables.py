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
    """Requests and failures per stream and occupied tick."""

    tick: Integers
    """(n_ticks,) the distinct ticks of all streams in ascending order, counted from `first`"""
    first: int
    rank: tuple[Integers, ...]
    """per stream the indices into `tick` of the ticks it occupies, ascending"""
    n: tuple[Integers, ...]
    """per stream the requests in each of these ticks"""
    failed: tuple[Integers, ...]


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
    per_stream = np.array([n.sum(dtype=np.int64) for n in occupied.n])
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
    _keep_gaps(engine, occupied, members, hole_ticks)
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
    # One cell a stream and tick, stream by stream. Where cells are not many times the rows, counting beats
    # sorting.
    cells = np.cumsum(new, dtype=np.int64)
    del new
    cells += (code >> 1).astype(np.int64) * len(distinct) - 1
    failures = cells[(code & 1).view(bool)] if code.itemsize == 1 else cells[(code & 1) == 1]
    del code
    n_cells = len(distinct) * n_streams
    if n_cells <= 4 * len(cells) + 1024:
        counted = np.bincount(cells, minlength=n_cells)
        taken = np.flatnonzero(counted)
        n = counted[taken].astype(np.int32)
        del counted
        failed = np.bincount(failures, minlength=n_cells)[taken].astype(np.int32)
    else:
        taken, many = np.unique(cells, return_counts=True)
        n = many.astype(np.int32)
        failed = np.bincount(np.searchsorted(taken, failures), minlength=len(taken)).astype(np.int32)
    del cells
    bounds = np.searchsorted(taken, np.arange(1, n_streams) * len(distinct))
    rank = [part - i * len(distinct) for i, part in enumerate(np.split(taken, bounds))]
    return Occupied(distinct, first, tuple(rank), tuple(np.split(n, bounds)), tuple(np.split(failed, bounds)))


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


def _after_holes(occupied: Occupied, hole_ticks: int) -> Integers:
    """Places in `occupied.tick` where a segment begins, the first among them."""
    first: Integers = np.append(0, np.flatnonzero(np.diff(occupied.tick) >= hole_ticks) + 1)
    return first


def _keep_segments(engine: Engine, occupied: Occupied, hole_ticks: int) -> None:
    """Contiguous stretches: a silence of at least `hole_ticks` over all streams is a hole."""
    first = _after_holes(occupied, hole_ticks)
    starts = occupied.tick[first]
    ends = occupied.tick[np.append(first[1:] - 1, len(occupied.tick) - 1)]
    rows = [
        (i, int(a) + occupied.first, int(b) + occupied.first)
        for i, (a, b) in enumerate(zip(starts, ends, strict=True))
    ]
    engine.fill("segments", "segment_id INTEGER, start_tick BIGINT, end_tick BIGINT", rows)


def _keep_ticks(engine: Engine, occupied: Occupied) -> None:
    lengths = [len(rank) for rank in occupied.rank]
    engine.connection.register(
        "tick_arrays",
        {
            "stream_id": np.repeat(np.arange(1, len(lengths) + 1, dtype=np.int16), lengths),
            "tick": np.concatenate([occupied.tick[rank] for rank in occupied.rank]),
            "n": _narrow(np.concatenate(occupied.n)),
            "failed": _narrow(np.concatenate(occupied.failed)),
        },
    )
    engine.connection.execute(
        f"""
        CREATE VIEW ticks AS
        SELECT
            stream_id,
            CAST(tick AS BIGINT) + ({occupied.first}) AS tick,
            CAST(n AS INTEGER) AS n,
            CAST(failed AS INTEGER) AS failed
        FROM tick_arrays
        """
    )


def _narrow(values: Integers) -> Integers:
    """Whole numbers from 0 on, in the fewest bytes that hold them."""
    return values.astype(np.min_scalar_type(int(values.max(initial=0))))


def _keep_gaps(engine: Engine, occupied: Occupied, members: Sequence[Sequence[int]], hole_ticks: int) -> None:
    """Ticks between the occupied ticks of each selection, never across a hole of the record."""
    # Room for the most there can be; what is not used is never touched, so takes no memory.
    most = sum(min(len(occupied.tick), sum(len(occupied.rank[i]) for i in held)) for held in members)
    selection_id = np.empty(most, np.min_scalar_type(len(members)))
    tick, gap = np.empty(most, occupied.tick.dtype), np.empty(most, occupied.tick.dtype)
    n = np.empty(most, np.min_scalar_type(sum(int(part.max()) for part in occupied.n if len(part))))
    after_holes = occupied.tick[_after_holes(occupied, hole_ticks)]
    start = 0
    for number, held in enumerate(members, start=1):
        rank, requests = _together(occupied, held)
        here = slice(start, start + len(rank))
        selection_id[here], n[here] = number, requests
        np.take(occupied.tick, rank, out=tick[here], mode="clip")
        # No gap is zero, so that zero can stand for none: the first tick of a segment.
        gap[start] = 0
        np.subtract(tick[here][1:], tick[here][:-1], out=gap[here][1:])
        # A service's own silence is a gap like any other; only a hole of the whole record cuts.
        cut = np.searchsorted(tick[here], after_holes)
        gap[here][cut[cut < len(rank)]] = 0
        start += len(rank)
    used = slice(0, start)
    engine.connection.register(
        "gap_arrays",
        {
            "selection_id": selection_id[used],
            "tick": tick[used],
            "n": n[used],
            "gap": gap[used],
        },
    )
    engine.connection.execute(
        f"""
        CREATE VIEW gaps AS
        SELECT
            CAST(selection_id AS SMALLINT) AS selection_id,
            CAST(tick AS BIGINT) + ({occupied.first}) AS tick,
            CAST(n AS INTEGER) AS n,
            CAST(NULLIF(gap, 0) AS BIGINT) AS gap
        FROM gap_arrays
        """
    )


def _together(occupied: Occupied, held: Sequence[int]) -> tuple[Integers, Integers]:
    """Occupied ticks of some streams together: their indices, and requests."""
    if len(held) == 1:
        return occupied.rank[held[0]], occupied.n[held[0]]
    n = np.zeros(len(occupied.tick), np.int32)
    for i in held:
        n[occupied.rank[i]] += occupied.n[i]
    rank = np.flatnonzero(n)
    return (rank, n) if len(rank) == len(n) else (rank, n[rank])
