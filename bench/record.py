"""The record of a run: one line a request as it ends, in a folder that later steps read.

A run folder holds `run.json` (what was asked of which server, see `Manifest`), `workload.parquet`,
`record-<worker>.jsonl` (append-only, one JSON object a request, columns of `SCHEMA`) and `server.jsonl`
(the server's own metrics, columns of `SERVER_SCHEMA`). Not here: sending, and what the numbers mean.
"""

from __future__ import annotations

from typing import Literal, get_args

import polars as pl

Outcome = Literal[
    "ok",
    "truncated",
    "rejected",
    "http_4xx",
    "http_429",
    "http_5xx",
    "stream_error",
    "timeout",
    "refused",
    "reset",
    "aborted",
]
"""How a request ended; exactly one each. `truncated` answered with fewer tokens than asked."""
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
ANSWERED: tuple[Outcome, ...] = ("ok", "truncated")

SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    "request_id": pl.Int64,
    "worker": pl.Int64,
    "service": pl.String,
    "model": pl.String,
    "session": pl.Int64,
    "turn": pl.Int64,
    "intended_s": pl.Float64,
    "sent_s": pl.Float64,
    "first_token_s": pl.Float64,
    "ended_s": pl.Float64,
    "waited_s": pl.Float64,
    "request_tokens_asked": pl.Int64,
    "response_tokens_asked": pl.Int64,
    "request_tokens": pl.Int64,
    "response_tokens": pl.Int64,
    "outcome": pl.String,
    "status": pl.Int64,
    "error": pl.String,
    "gaps_s": pl.List(pl.Float64),
    "gap_tokens": pl.List(pl.Int64),
}
"""Columns of a record. Instants are seconds after the start of the run, on one monotonic clock.

`intended_s` is the instant that the schedule (or the previous answer plus think time) set, `sent_s` the
instant at which the request was really sent, null if it never was. `waited_s` is time spent waiting for
`--max-concurrency`. Tokens without `_asked` are the server's own count, null where it told none. `gaps_s`
are the times between chunks after the first, `gap_tokens` the tokens that each of those chunks carried
(zero tokens where the server does not say; null as a whole where nothing was streamed).
"""

SERVER_SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    "at_s": pl.Float64,
    "kv_cache_use": pl.Float64,
    "running": pl.Float64,
    "waiting": pl.Float64,
    "preemptions": pl.Float64,
    "rejections": pl.Float64,
    "prompt_tokens": pl.Float64,
    "generation_tokens": pl.Float64,
}
"""Samples of the server's metrics on the record's clock; the last four are counters since its start."""
