"""A workload as plain lists, ready to be sent: what goes at its instant, and what follows an answer.

Shared by the client and the run in virtual time, so that both send the same. Not here: making a workload.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from .workload import Workload


@dataclass(frozen=True, slots=True)
class Plan:
    """A workload as plain lists, one element a request, and who waits for whom."""

    ids: list[int]
    at_s: list[float]
    service: list[str | None]
    model: list[str | None]
    session: list[int | None]
    turn: list[int | None]
    prefix: list[list[int] | None]
    request_tokens: list[int]
    response_tokens: list[int]
    priority: list[int]
    think_s: list[float]
    scheduled: list[int]
    """Rows that are sent at their instant, in its order."""
    follower: dict[int, int]
    """Row that is sent after the answer to a row."""

    @classmethod
    def of(cls, workload: Workload) -> Plan:
        """A request with `think_s` follows its session's previous one, if it has one."""
        frame = workload.requests
        follows = pl.col("think_s").is_not_null() & pl.col("session").is_not_null()
        before = frame.with_row_index("row").select(
            pl.when(follows).then(pl.col("row").shift(1).over("session"))
        )
        previous = before.to_series().to_list()
        at = frame["at_s"].to_list()
        return cls(
            ids=frame["request_id"].to_list(),
            at_s=at,
            service=frame["service"].to_list(),
            model=frame["model"].to_list(),
            session=frame["session"].to_list(),
            turn=frame["turn"].to_list(),
            prefix=frame["prefix"].to_list(),
            # A server refuses requests for no token; what asks for none is sent with one.
            request_tokens=frame["request_tokens"].fill_null(1).clip(1).to_list(),
            response_tokens=frame["response_tokens"].fill_null(1).clip(1).to_list(),
            priority=frame["priority"].fill_null(0).to_list(),
            think_s=frame["think_s"].fill_null(0.0).to_list(),
            scheduled=sorted((i for i, row in enumerate(previous) if row is None), key=at.__getitem__),
            follower={row: i for i, row in enumerate(previous) if row is not None},
        )
