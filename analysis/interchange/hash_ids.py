"""`hash_ids` that are valid for their prompt: one number for each begun block of 512 tokens.

Equal numbers mean equal tokens. A trace's own numbers stay; if it has none, every block is new, so that no
two prompts begin alike, or on request the full blocks of a session's turns are the same.
Not here: blocks of another size (`burstlens.analysis.trace.prefix_blocks`), the file (`mooncake`), tokens
made from such numbers (`burstlens.bench.prompts.token_ids`).
"""

from __future__ import annotations

import polars as pl

from ..core.units import counted
from ..trace.prefix_blocks import BLOCK


def hash_ids(frame: pl.DataFrame, *, share_sessions: bool = False) -> tuple[pl.Series, list[str]]:
    """Number the prefix blocks of each request, one number for each block that it has begun.

    AIPerf, vLLM and GuideLLM all want exactly this number.

    Parameters
    ----------
    frame : DataFrame
        With `request_tokens`, `session` and `prefix`, in blocks of 512 tokens.
    share_sessions : bool
        Let requests of a session without prefix blocks of their own share theirs.

    Returns
    -------
    hash_ids : Series of list of int
    notes : list of str
        What had to be mended, one sentence each.
    """
    needed = (pl.col("request_tokens").cast(pl.Int64) + BLOCK - 1) // BLOCK
    full = pl.col("request_tokens").cast(pl.Int64) // BLOCK
    plan = frame.select(
        pl.col("prefix"), pl.col("session"), needed.alias("needed"), full.alias("full")
    ).with_columns(own=pl.min_horizontal(pl.col("prefix").list.len().fill_null(0).cast(pl.Int64), "needed"))
    highest = frame.select(pl.col("prefix").list.max().max()).item()
    begin = 0 if highest is None else highest + 1
    shared = share_sessions & (pl.col("session").is_not_null() & (pl.col("own") == 0))
    plan = plan.with_columns(alike=pl.when(shared).then("full").otherwise(0))
    sessions = (
        plan.filter(pl.col("alike") > 0)
        .group_by("session", maintain_order=True)
        .agg(pl.col("alike").max().alias("max_alike"))
        .with_columns(session_begin=begin + pl.col("max_alike").cum_sum() - pl.col("max_alike"))
    )
    begin += int(sessions["max_alike"].sum())
    plan = plan.join(
        sessions.select("session", "session_begin"), on="session", how="left", maintain_order="left"
    ).with_columns(new=pl.col("needed") - pl.col("own") - pl.col("alike"))
    plan = plan.with_columns(new_begin=begin + pl.col("new").cum_sum() - pl.col("new"))
    session_begin = pl.col("session_begin").fill_null(0)
    numbers = plan.select(
        pl.concat_list(
            pl.col("prefix").list.head("own").fill_null([]),
            pl.int_ranges(session_begin, session_begin + pl.col("alike")),
            pl.int_ranges("new_begin", pl.col("new_begin") + pl.col("new")),
        ).alias("hash_ids")
    ).to_series()
    notes = []
    length = pl.col("prefix").list.len()
    for what, wrong in (
        ("more prefix blocks than its tokens fill: the rest is cut off", length > pl.col("needed")),
        ("fewer prefix blocks than its tokens fill: new ones follow", length < pl.col("needed")),
    ):
        n = int(plan.select(((length > 0) & wrong).sum()).item() or 0)
        if n:
            notes.append(f"{counted(n, 'request')} had {what}")
    return numbers, notes
