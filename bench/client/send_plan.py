"""A workload as plain columns, ready to be sent: what goes at its instant, and what follows an answer.

Shared by the client and the run in virtual time, so that both send the same. Not here: making a workload.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from ..workload.table import Workload


@dataclass(frozen=True, slots=True)
class SendPlan:
    """A workload column by column, one element a request, and who waits for whom.

    Numbers lie in arrays and equal names are one text: a long run keeps its plan to the end.
    """

    ids: Sequence[int]
    at_s: Sequence[float]
    service: Sequence[str | None]
    model: Sequence[str | None]
    session: Sequence[int | None]
    turn: Sequence[int | None]
    prefix: Sequence[list[int] | None]
    request_tokens: Sequence[int]
    response_tokens: Sequence[int]
    priority: Sequence[int]
    think_s: Sequence[float]
    scheduled: Sequence[int]
    """Rows that are sent at their instant, in its order."""
    follower: dict[int, int]
    """Row that is sent after the answer to a row."""

    @classmethod
    def of(cls, workload: Workload) -> SendPlan:
        """Plan a workload; a request with `think_s` follows its session's previous one, if it has one."""
        frame = workload.requests
        follows = pl.col("think_s").is_not_null() & pl.col("session").is_not_null()
        rows = frame.with_row_index("row").select(
            "row", "at_s", previous=pl.when(follows).then(pl.col("row").shift(1).over("session"))
        )
        after = rows.filter(pl.col("previous").is_not_null())
        scheduled = rows.filter(pl.col("previous").is_null()).sort("at_s", maintain_order=True)
        return cls(
            ids=_integers(frame["request_id"]),
            at_s=_floats(frame["at_s"]),
            service=_names(frame["service"]),
            model=_names(frame["model"]),
            session=frame["session"].to_list(),
            turn=frame["turn"].to_list(),
            prefix=frame["prefix"].to_list(),
            # A server refuses requests for no token; what asks for none is sent with one.
            request_tokens=_integers(frame["request_tokens"].fill_null(1).clip(1)),
            response_tokens=_integers(frame["response_tokens"].fill_null(1).clip(1)),
            priority=_integers(frame["priority"].fill_null(0)),
            think_s=_floats(frame["think_s"].fill_null(0.0)),
            scheduled=_integers(scheduled["row"]),
            follower=dict(zip(after["previous"].to_list(), after["row"].to_list(), strict=True)),
        )


def _integers(column: pl.Series) -> array[int]:
    return array("q", column.cast(pl.Int64).to_numpy().tobytes())


def _floats(column: pl.Series) -> array[float]:
    return array("d", column.cast(pl.Float64).to_numpy().tobytes())


def _names(column: pl.Series) -> list[str | None]:
    """Names as texts of which equal ones are the same."""
    known: dict[str | None, str | None] = {}
    return [known.setdefault(name, name) for name in column]
