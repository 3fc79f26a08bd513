"""Prefix blocks of any size as blocks of 512 tokens, which load generators and our own prompts take.

Not here: numbers for prompts without blocks (`burstlens.analysis.interchange.hash_ids`), tokens made from the
numbers (`burstlens.bench.prompts`).
"""

from __future__ import annotations

import polars as pl

BLOCK = 512
"""Tokens of a block in the Mooncake traces, and what AIPerf takes where nothing is said."""
ROWS_AT_A_TIME = 50_000
"""Requests whose blocks are taken apart at once: a request may have thousands."""


def conversion_notes(block_tokens: int | None) -> list[str]:
    """Say what becomes of prefix blocks of that size; nothing for those that stay as they are.

    Parameters
    ----------
    block_tokens : int or None
        Tokens of a block; None if it is not known.

    Returns
    -------
    list of str
        One sentence, or none.
    """
    if block_tokens is None:
        return [f"how many tokens a prefix block has is unknown: they are taken for blocks of {BLOCK}"]
    if BLOCK % block_tokens == 0 and block_tokens != BLOCK:
        return [
            f"prefix blocks of {block_tokens} tokens are joined to blocks of {BLOCK}: "
            "what prompts have in common ends at a whole block"
        ]
    if block_tokens % BLOCK:
        return [
            f"the prefix blocks: their {block_tokens} tokens do not divide into blocks of {BLOCK}, "
            "so every prompt begins anew"
        ]
    return []


def convert_blocks(frame: pl.DataFrame, block_tokens: int | None) -> pl.Series:
    """Number the blocks of 512 tokens that prompts begin with, from blocks of another size.

    Equal numbers are equal tokens before and after. Blocks of a size that neither divides 512 nor is a
    multiple of it give none.

    Parameters
    ----------
    frame : DataFrame
        With `request_tokens` and `prefix`.
    block_tokens : int or None
        Tokens of a block of `prefix`; None takes it for 512.

    Returns
    -------
    Series of list of int
        Named `prefix`; null where the request has no block of 512 tokens that it begins with.
    """
    prefix = frame["prefix"]
    if block_tokens in (None, BLOCK) or prefix.null_count() == len(prefix):
        return prefix
    assert block_tokens is not None
    if BLOCK % block_tokens and block_tokens % BLOCK:
        return pl.Series("prefix", [None], dtype=prefix.dtype).new_from_index(0, len(prefix))
    joined, cut = max(BLOCK // block_tokens, 1), max(block_tokens // BLOCK, 1)
    rows = frame.select("request_tokens", "prefix").with_row_index("row")
    blocks = pl.concat(
        _taken_apart(rows.slice(at, ROWS_AT_A_TIME), block_tokens, joined)
        for at in range(0, len(rows), ROWS_AT_A_TIME)
    )
    numbers = blocks.select("content").unique(maintain_order=True).with_row_index("number")
    numbered = blocks.join(numbers, on="content", how="left", maintain_order="left").with_columns(
        number=pl.col("number").cast(pl.Int64) * cut
    )
    if cut > 1:
        numbered = numbered.with_columns(number=pl.int_ranges("number", pl.col("number") + cut)).explode(
            "number"
        )
    lists = numbered.group_by("row", maintain_order=True).agg(pl.col("number").alias("prefix"))
    needed = (pl.col("request_tokens").cast(pl.Int64) + BLOCK - 1) // BLOCK
    return (
        rows.select("row", "request_tokens")
        .join(lists, on="row", how="left", maintain_order="left")
        .select(pl.col("prefix").list.head(needed))
        .to_series()
        .cast(prefix.dtype)
    )


def _taken_apart(rows: pl.DataFrame, block_tokens: int, joined: int) -> pl.DataFrame:
    """The groups of `joined` blocks that requests begin with: `row`, and a hash of the blocks' numbers.

    The last group of a prompt counts only if its blocks cover the prompt's end.
    """
    begun = (pl.col("request_tokens").cast(pl.Int64) + block_tokens - 1) // block_tokens
    at = pl.int_range(pl.len()).over("row") // joined
    return (
        rows.select("row", begun.alias("begun"), pl.col("prefix").list.head(begun))
        .explode("prefix")
        .drop_nulls("prefix")
        .with_columns(at=at)
        .group_by("row", "at", maintain_order=True)
        .agg(pl.col("prefix"), pl.col("begun").first())
        .filter(
            pl.col("prefix").list.len() == pl.min_horizontal(pl.col("begun") - pl.col("at") * joined, joined)
        )
        .select("row", content=pl.col("prefix").hash(seed=0))
    )
