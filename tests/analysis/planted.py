"""A trace of arrival times that a test has made up."""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl

from burstlens.analysis.trace.trace import Trace, TraceInfo, open_frame


def trace_of(times: np.ndarray, digits: int = 0, day0: date | None = None) -> Trace:
    """An opened trace of one service with these arrival times, stamped to so many decimal digits."""
    stamps = np.floor(np.asarray(times) * 10.0**digits) / 10.0**digits
    frame = pl.DataFrame({"arrival_s": stamps}).with_columns(
        pl.lit("conversation").alias("service"),
        pl.lit(None, dtype=pl.String).alias("model"),
        pl.lit(None, dtype=pl.String).alias("session"),
        pl.lit(10).alias("request_tokens"),
        pl.lit(10).alias("response_tokens"),
        pl.lit(None, dtype=pl.Float64).alias("elapsed_s"),
        pl.lit(False).alias("failed"),
    )
    return open_frame(frame, TraceInfo("planted", "planted", (), len(frame), 0, 0, 10.0**-digits, day0, True))
