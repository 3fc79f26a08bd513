"""The tables that questions are put to, built from the requests (see `burstlens.queries`).

Runs of equal stamps are counted in NumPy on the sorted stamps: at ten million rows that is ten times as fast
as grouping and sorting them in SQL, and needs less memory. `tests/analysis/logs/test_tables.py` holds
the same tables in SQL and finds them equal. Not here: where the requests come from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...queries.duckdb import DuckDBEngine
from ...queries.engine import Engine
from ..core.arrays import Integers, Mask
from ..core.units import DAY_S
from .trace_columns import optional_columns

HOLE_S = DAY_S
"""A silence of all services of at least this long is a hole in the record, not a quiet time."""
MAX_SELECTIONS = 16
"""Services, and models of one service, that are characterized one by one: the busiest."""
MAX_STREAMS = 2_000
"""With more pairs than this, the columns are probably not service and model."""

PIECE = 1 << 17
"""Rows that are counted at a time."""

Stream = tuple[str, str | None]
"""Service and model."""


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
class Ticks:
    """The occupied ticks of one selection in ascending order; every array has one element a tick."""

    first: int
    """The tick that `tick` counts from."""
    tick: Integers
    start: Integers
    """Requests before it, and at last all of them, so one element more: `start[b] − start[a]` requests lie in
    the a-th to the last tick before the b-th; n requests of one tick hold n − 1 gaps of zero."""
    cut: Integers
    """Places of the first tick of each segment with ticks; no gap crosses them."""

    def gaps(self) -> Integers:
        """Ticks since the one before; 0, which no gap can be, for the first of a segment."""
        gap = np.empty_like(self.tick)
        np.subtract(self.tick[1:], self.tick[:-1], out=gap[1:])
        gap[self.cut] = 0
        return gap


@dataclass(frozen=True)
class Rows:
    """The stamp of every request in order of arrival, and what it counts towards."""

    first: int
    tick: Integers
    """counted from `first`"""
    code: Integers
    """twice the index of its stream, and one more if it failed"""

    def ticks_of(self, streams: Sequence[int] | None) -> tuple[Integers, Integers]:
        """The occupied ticks of some streams together, or of all: `tick` and `start` of `Ticks`."""
        if streams is None:
            return _runs(self.tick)
        mask = np.zeros(int(self.code.max(initial=0)) + 2, bool)
        mask[[2 * i + failed for i in streams for failed in (0, 1)]] = True
        return _runs(self.tick, self.code, mask)

    def ticks_by_stream(
        self, per_stream: Integers
    ) -> tuple[Integers, list[tuple[Integers, Integers]], list[Integers]]:
        """The same of each stream, of so many rows each, and the failures in each of its ticks; first the
        ticks of one stream after another."""
        # Stable, so each stream keeps its order; small integers are sorted by counting.
        order = np.argsort(self.code >> 1, kind="stable")
        tick, code = self.tick[order], self.code[order]
        del order
        ticks, failures = [], []
        end = np.cumsum(per_stream)
        for a, b in zip((end - per_stream).tolist(), end.tolist(), strict=True):
            occupied, start = _runs(tick[a:b])
            ticks.append((occupied, start))
            failed = code[a:b] & 1
            failures.append(_narrow(np.add.reduceat(failed, start[:-1], dtype=np.int32) if b > a else failed))
        # One array behind all, which the engine reads too.
        joined = np.concatenate([tick for tick, _ in ticks])
        ends = np.cumsum([len(tick) for tick, _ in ticks])
        parts = np.split(joined, ends[:-1])
        return joined, [(part, start) for part, (_, start) in zip(parts, ticks, strict=True)], failures


def _runs(
    tick: Integers, code: Integers | None = None, codes: Mask | None = None
) -> tuple[Integers, Integers]:
    """Distinct stamps of ordered rows, and where the run of each begins, with the end of the last one.

    With the mask `codes`, only rows with a `code` in it count. Works in pieces that fit into the cache.
    """
    # Room for the most there can be; what is not used is never touched, so takes no memory.
    distinct, start = np.empty_like(tick), np.empty(len(tick) + 1, np.min_scalar_type(-len(tick) - 1))
    found = rows = 0
    for a in range(0, len(tick), PIECE):
        piece = tick[a : a + PIECE]
        if code is not None and codes is not None:
            piece = piece[np.take(codes, code[a : a + PIECE])]
        if not len(piece):
            continue
        new = np.flatnonzero(piece[1:] != piece[:-1]) + 1
        if not found or piece[0] != distinct[found - 1]:
            distinct[found], start[found] = piece[0], rows
            found += 1
        many = slice(found, found + len(new))
        distinct[many], start[many] = piece[new], new + rows
        found += len(new)
        rows += len(piece)
    start[found] = rows
    return distinct[:found], start[: found + 1]


def stamp(engine: DuckDBEngine, resolution_s: float) -> list[Stream]:
    """Make the tables `stamped` and `requests` from a table `trace`.

    Parameters
    ----------
    engine : DuckDBEngine
    resolution_s : float
        Length of a tick in seconds.

    Returns
    -------
    list of Stream
        By `stream_id`, from 1.
    """
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
        ORDER BY trace.arrival_s, trace.rowid
        """,
        {"resolution_s": resolution_s},
    )
    connection.execute(
        f"CREATE VIEW requests AS SELECT *, {', '.join(optional_columns(set()))}, "
        "CAST(NULL AS BIGINT[]) AS prefix, rowid AS arrival_order FROM stamped"
    )
    pairs = connection.execute("SELECT service, model FROM named ORDER BY stream_id").fetchall()
    connection.execute("DROP TABLE named")
    return [(service, model) for service, model in pairs]


def build(
    engine: DuckDBEngine, streams: Sequence[Stream], resolution_s: float
) -> tuple[tuple[Selection, ...], dict[int, Ticks]]:
    """Make streams, selections, members, segments, ticks and gaps from the `stamped` table.

    Parameters
    ----------
    engine : DuckDBEngine
        Its `stamped` is sorted by tick.
    streams : sequence of Stream
        `stream_id` counts from 1 in this order.
    resolution_s : float
        Length of a tick in seconds.

    Returns
    -------
    selections : tuple of Selection
    ticks : dict of int to Ticks
        The same ticks and gaps as arrays, by `selection_id`.
    """
    rows = fetch(engine, len(streams))
    per_stream = np.bincount(rows.code, minlength=2 * len(streams)).reshape(-1, 2).sum(axis=1)
    selections, members = fill_selections(engine, streams, per_stream)
    hole_ticks = round(HOLE_S / resolution_s)
    joined, by_stream, failures = rows.ticks_by_stream(per_stream)
    _keep_ticks(engine, rows.first, joined, by_stream, failures)
    runs = [
        by_stream[indices[0]] if len(indices) == 1 else rows.ticks_of(indices if s.service else None)
        for s, indices in zip(selections, members, strict=True)
    ]
    # The first selection is everything.
    starts = _keep_segments(engine, rows.first, runs[0][0], hole_ticks)
    engine.create("gaps", "gaps", slot_ticks=hole_ticks)
    ticks = {}
    for selection, (tick, start) in zip(selections, runs, strict=True):
        cut = np.unique(np.searchsorted(tick, starts))
        ticks[selection.selection_id] = Ticks(rows.first, tick, start, cut[cut < len(tick)])
    return selections, ticks


def fill_selections(
    engine: Engine, streams: Sequence[Stream], per_stream: Integers
) -> tuple[tuple[Selection, ...], list[list[int]]]:
    """Make the tables streams, selections and members.

    Parameters
    ----------
    engine : Engine
    streams : sequence of Stream
        `stream_id` counts from 1 in this order.
    per_stream : array of int, shape (n_streams,)
        Requests of each; streams without requests are dropped.

    Returns
    -------
    selections : tuple of Selection
    members : list of list of int
        For each selection, the indices of its streams, from 0.
    """
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
        [(s.selection_id, i + 1) for s, indices in zip(selections, members, strict=True) for i in indices],
    )
    return selections, members


def fill_segments(engine: Engine, start: Integers, end: Integers) -> None:
    """Make the table of contiguous segments of the record.

    Parameters
    ----------
    engine : Engine
    start, end : array of int, shape (n_segments,)
        First and last tick of each.
    """
    engine.fill(
        "segments",
        "segment_id INTEGER, start_tick BIGINT, end_tick BIGINT",
        [(i, int(a), int(b)) for i, (a, b) in enumerate(zip(start, end, strict=True))],
    )


def fetch(engine: DuckDBEngine, n_streams: int) -> Rows:
    """Fetch stamp, stream and failure of every request.

    Parameters
    ----------
    engine : DuckDBEngine
        Its `stamped` is sorted by tick.
    n_streams : int

    Returns
    -------
    Rows
    """
    connection = engine.connection
    first, last = connection.execute("SELECT MIN(tick), MAX(tick) FROM requests").fetchall()[0]
    narrow = "INTEGER" if last - first < 2**31 else "BIGINT"
    small = "UTINYINT" if n_streams <= 127 else "INTEGER"
    fetched = connection.execute(
        f"""
        SELECT
            CAST(CAST(tick AS BIGINT) - $first AS {narrow}) AS tick,
            CAST((CAST(stream_id AS INTEGER) - 1) * 2 + CASE WHEN failed THEN 1 ELSE 0 END AS {small}) AS code
        FROM stamped
        """,
        {"first": first},
    ).fetchnumpy()
    return Rows(first, np.ma.getdata(fetched["tick"]), np.ma.getdata(fetched["code"]))


def select(
    present: Sequence[tuple[Stream, int]], per_stream: Integers
) -> tuple[tuple[Selection, ...], list[list[int]]]:
    """List the selections: everything, each of several services, each of a service's several models.

    Parameters
    ----------
    present : sequence of (Stream, int)
        Streams with requests, and their indices.
    per_stream : array of int, shape (n_streams,)
        Requests of each stream; the busiest `MAX_SELECTIONS` services, and models of each, get a selection.

    Returns
    -------
    selections : tuple of Selection
    members : list of list of int
        For each selection, the indices of its streams.
    """
    groups: list[tuple[str | None, str | None, list[int]]] = [(None, None, [i for _, i in present])]
    services: dict[str, list[int]] = {}
    names = {i: model for (_, model), i in present}
    for (service, _), i in present:
        services.setdefault(service, []).append(i)
    busy = sorted(services, key=lambda service: -per_stream[services[service]].sum())[:MAX_SELECTIONS]
    for service, indices in services.items():
        if service not in busy:
            continue
        if len(services) > 1:
            groups.append((service, None, indices))
        if len(indices) > 1:
            busiest = sorted(indices, key=lambda i: -per_stream[i])[:MAX_SELECTIONS]
            groups.extend((service, names[i], [i]) for i in indices if i in busiest and names[i] is not None)
    selections = tuple(
        Selection(number, service, model, int(per_stream[indices].sum()))
        for number, (service, model, indices) in enumerate(groups, start=1)
    )
    return selections, [indices for _, _, indices in groups]


def _keep_segments(engine: DuckDBEngine, first: int, tick: Integers, hole_ticks: int) -> Integers:
    """Make the contiguous segments of all occupied ticks; returns where each begins, counted from `first`.

    A silence of at least `hole_ticks` is a hole. A service's own silence is a gap like any other.
    """
    first_places = np.append(0, np.flatnonzero(np.diff(tick) >= hole_ticks) + 1)
    starts: Integers = tick[first_places]
    ends = tick[np.append(first_places[1:] - 1, len(tick) - 1)]
    fill_segments(engine, starts.astype(np.int64) + first, ends.astype(np.int64) + first)
    return starts


def _keep_ticks(
    engine: DuckDBEngine,
    first: int,
    joined: Integers,
    by_stream: Sequence[tuple[Integers, Integers]],
    failures: Sequence[Integers],
) -> None:
    """Requests and failures by stream and occupied tick, stream after stream."""
    engine.connection.register(
        "tick_arrays",
        {
            "stream_id": np.repeat(
                _narrow(np.arange(len(by_stream)) + 1), [len(tick) for tick, _ in by_stream]
            ),
            "tick": joined,
            "n": np.concatenate([_narrow(np.diff(start)) for _, start in by_stream]),
            "failed": np.concatenate(failures),
        },
    )
    engine.connection.execute(
        f"""
        CREATE VIEW ticks AS
        SELECT
            CAST(stream_id AS SMALLINT) AS stream_id,
            CAST(tick AS BIGINT) + ({first}) AS tick,
            CAST(n AS INTEGER) AS n,
            CAST(failed AS INTEGER) AS failed
        FROM tick_arrays
        """
    )


def _narrow(values: Integers) -> Integers:
    """Whole numbers from 0 on, in the fewest bytes that hold them."""
    return values.astype(np.min_scalar_type(int(values.max(initial=0))))
