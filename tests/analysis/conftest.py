"""Traces made in a test, opened the way that a log is."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

import numpy as np
import polars as pl
import pytest

from burstlens.analysis.logs.trace_info import TraceInfo
from burstlens.analysis.trace.trace import COLUMNS, Trace, open_frame

MakeTrace = Callable[..., Trace]


@pytest.fixture(scope="session")
def make_trace() -> MakeTrace:
    """A trace from arrivals and other columns, those left out filled with one service's plain requests."""

    def make(
        arrival_s: Any,
        *,
        resolution_s: float = 1.0,
        day0: date | None = date(2023, 11, 1),
        info: dict[str, Any] | None = None,
        **columns: Any,
    ) -> Trace:
        arrival_s = np.asarray(arrival_s, dtype=float)
        n = len(arrival_s)
        plain: dict[str, Any] = {
            "service": ["conversation"] * n,
            "model": ["ChatGPT"] * n,
            "session": [None] * n,
            "request_tokens": [10] * n,
            "response_tokens": [20] * n,
            "elapsed_s": [None] * n,
            "failed": [False] * n,
        }
        frame = pl.DataFrame({"arrival_s": arrival_s, **plain, **columns}, schema_overrides=COLUMNS)
        identity = TraceInfo(
            name="made",
            format="made",
            sources=(),
            rows=n,
            rejected=0,
            resorted=0,
            resolution_s=resolution_s,
            day0=day0,
            synthetic=True,
            has_sessions=columns.get("session") is not None,
            **(info or {}),
        )
        return open_frame(frame.select(*COLUMNS), identity)

    return make
