"""Records of runs that never happened, for what reads records."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest

from burstlens.bench.record.models import SCHEMA

Row = dict[str, Any]


def a_record(*rows: Row) -> pl.DataFrame:
    """A record of answered requests, each row with what is worth saying of it."""
    usual = {
        "worker": 0,
        "waited_s": 0.0,
        "request_tokens_asked": 10,
        "request_tokens": 10,
        "response_tokens": 1,
        "outcome": "ok",
        "status": 200,
    }
    filled = [{**usual, "request_id": i, "response_tokens_asked": row.get("response_tokens", 1), **row}
              for i, row in enumerate(rows)]  # fmt: skip
    return pl.DataFrame(filled, schema=SCHEMA)


def a_sent_load(intended_s: Any, sent_s: Any, **columns: Any) -> pl.DataFrame:
    """A record of requests answered half a second after they were sent; NaN was never sent."""
    intended, sent = np.asarray(intended_s, dtype=float), np.asarray(sent_s, dtype=float)
    known = {
        "request_id": np.arange(len(intended)),
        "worker": 0,
        "intended_s": intended,
        "sent_s": sent,
        "first_token_s": sent + 0.1,
        "ended_s": sent + 0.5,
        "waited_s": 0.0,
        "request_tokens_asked": 100,
        "response_tokens_asked": 20,
        "request_tokens": 100,
        "response_tokens": 20,
        "outcome": np.where(np.isnan(sent), "aborted", "ok"),
        **columns,
    }
    table = pl.DataFrame({name: np.broadcast_to(value, intended.shape) for name, value in known.items()})
    rest = (pl.lit(None, dtype=kind).alias(name) for name, kind in SCHEMA.items() if name not in known)
    return table.with_columns(*rest).select(*SCHEMA).cast(SCHEMA).fill_nan(None)  # type: ignore[arg-type]


@pytest.fixture
def record_of() -> Callable[..., pl.DataFrame]:
    return a_record


@pytest.fixture
def sent_load() -> Callable[..., pl.DataFrame]:
    return a_sent_load
