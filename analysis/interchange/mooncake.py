"""JSON lines of the Mooncake traces: milliseconds, lengths, and `hash_ids` of the prompt's blocks.

Read by `queries/sql/ingest/mooncake.sql`, AIPerf, vLLM's `bench serve` (`timed_trace`) and GuideLLM. Not
here: how the numbers of the blocks come about (`hash_ids`).
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from ..core.atomic_write import write_jsonl
from .hash_ids import hash_ids
from .requests import Requests, lost, with_tokens

PER_S = 1000


def write_mooncake(
    requests: Requests,
    out: Path,
    tokens: tuple[int, int] | None = None,
    *,
    load: bool = False,
    share_sessions: bool = False,
) -> list[str]:
    """Write the lines, the first request at 0; what they cannot hold, in sentences.

    Stamps are whole milliseconds, as in the published traces; of a `load` to be sent they have microseconds,
    which AIPerf and vLLM read too.
    """
    requests = with_tokens(requests, tokens)
    zero = float(requests.frame["arrival_s"][0])
    since = Requests(requests.frame.with_columns(pl.col("arrival_s") - zero), requests.info)
    numbers, mended = hash_ids(since.frame, share_sessions=share_sessions)
    at_ms = pl.col("arrival_s") * PER_S
    frame = since.frame.select(
        (at_ms.round(3) if load else at_ms.round().cast(pl.Int64)).alias("timestamp"),
        pl.col("request_tokens").alias("input_length"),
        pl.col("response_tokens").alias("output_length"),
        numbers,
    )
    write_jsonl(frame, out)
    kept = {"prefix"} | ({"session"} if share_sessions else set())
    return [*mended, *lost(since, kept, per_s=None if load else PER_S)]
