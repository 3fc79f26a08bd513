"""A workload from a trace: which of its requests, how fast, and where in their second.

Not here: load drawn from fitted parameters (`from_parameters`), prompts and sending.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import polars as pl

from ...analysis.core.errors import InputError
from ...analysis.core.option_names import option
from ...analysis.trace.prefix_blocks import BLOCK, convert_blocks
from ...analysis.trace.subset import fetch_requests, streams_of
from ...analysis.trace.trace import Trace
from .recipe import Recipe
from .table import Workload, requests_frame

Sessions = Literal["stamps", "think", "off"]
COARSE_S = 0.5
"""Stamps at least this coarse are spread: requests of one second would otherwise be sent as one burst."""


def from_trace(
    trace: Trace,
    *,
    service: str | None = None,
    model: str | None = None,
    start_s: float | None = None,
    end_s: float | None = None,
    first: int | None = None,
    rate_rps: float | None = None,
    speedup: float | None = None,
    spread: bool = True,
    sessions: Sessions = "stamps",
    tokens: tuple[int, int] | None = None,
    seed: int = 0,
) -> Workload:
    """Make a workload of the trace's requests (paper 4.1: RPS scaling keeps the pattern and squeezes time).

    A failed request has no response tokens in a log; it is sent and asks for one token. If it has no request
    tokens either, its prompt has one token. Prefix blocks become blocks of 512 tokens, where they divide.

    Parameters
    ----------
    trace
        An opened trace.
    service, model
        Take only requests of this service and model; None takes all.
    start_s, end_s
        The part to take, in seconds since midnight of day 0 on the trace's clock; `end_s` is not included.
    first
        Take only this many requests of that part, the first ones.
    rate_rps
        Mean rate in requests per second, to which time is squeezed or stretched. Not with `speedup`.
    speedup
        Factor by which time is squeezed.
    spread
        Spread stamps of half a second or coarser evenly inside their step; turns of one session stay in
        order.
    sessions
        `"stamps"` sends a turn at its stamp. `"think"` sends it after the previous answer plus the trace's
        own gap from the end of that answer (from its arrival, if the log has no latency); that gap is not
        scaled, because people do not type faster. `"off"` forgets sessions.
    tokens
        Request and response tokens of every request, for a trace that has no lengths.
    seed
        Seed of the spread.

    Returns
    -------
    Workload
        The requests in the order of their instants.

    Raises
    ------
    InputError
        If no request is selected, or an option is not valid for this trace.
    """
    if rate_rps is not None and speedup is not None:
        raise InputError(f"{option('rate_rps')} and {option('speedup')} both scale time: give one of them")
    for name, value in (("rate_rps", rate_rps), ("speedup", speedup), ("first", first)):
        if value is not None and not value > 0:
            raise InputError(f"{option(name)}: {value:g} is not above 0")
    info = trace.info
    chosen = streams_of(trace, service, model)
    found = fetch_requests(trace, chosen, start_s, end_s, first)
    if not info.has_tokens:
        if tokens is None:
            raise InputError(
                f"{info.name}: has no token counts; give the lengths of request and response with "
                f"{option('tokens')}"
            )
        found = found.with_columns(
            pl.lit(tokens[0], pl.Int64).alias("request_tokens"),
            pl.lit(tokens[1], pl.Int64).alias("response_tokens"),
        )
    converts = info.block_tokens != BLOCK and found["prefix"].null_count() < len(found)
    if converts:
        found = found.with_columns(convert_blocks(found, info.block_tokens))
    sides = ("request_tokens", "response_tokens")
    unknown = pl.col("failed") & pl.any_horizontal(pl.col(side).is_null() for side in sides)
    unknown_lengths = int(found.select(unknown.sum()).item())
    if unknown_lengths:
        found = found.with_columns(
            pl.when("failed").then(pl.col(sides).fill_null(1)).otherwise(pl.col(sides))
        )
    with_sessions = sessions != "off" and info.has_sessions
    rng = np.random.default_rng(seed)
    spreads = spread and info.resolution_s >= COARSE_S
    found = found.with_columns(
        at_s=pl.col("arrival_s") + _offsets(found, info.resolution_s if spreads else 0.0, with_sessions, rng)
    ).sort("at_s", maintain_order=True)
    zero = start_s if start_s is not None else float(found["arrival_s"][0])
    at = found["at_s"].to_numpy() - zero
    span = float(at[-1] - at[0])
    factor = speedup or 1.0
    if rate_rps is not None:
        if span <= 0:
            raise InputError(f"{info.name}: all requests arrive at one instant, so there is no rate to scale")
        factor = rate_rps * span / max(len(at) - 1, 1)
    recipe: Recipe = {
        "source": info.name,
        "sources": [{"name": source.name, "sha256": source.sha256} for source in info.sources],
        "service": service,
        "model": model,
        "start_s": start_s,
        "end_s": end_s,
        "first": first,
        "speedup": factor,
        "spread": spreads,
        "sessions": sessions if with_sessions else "off",
        "tokens": list(tokens) if tokens and not info.has_tokens else None,
        "seed": seed,
        **({"prefix_blocks": info.block_tokens} if converts else {}),
        **({"unknown_lengths": unknown_lengths} if unknown_lengths else {}),
    }
    return Workload(
        _requests(found, at / factor, chosen, with_sessions, sessions), info.name, info.synthetic, recipe
    )


def workloads_by_seed(trace: Trace, seeds: Sequence[int], **choice: Any) -> list[Workload]:
    """Make the load of each seed; only that of the first if the stamps are too fine for a seed to change.

    Parameters
    ----------
    trace
        An opened trace.
    seeds
        One or more seeds.
    **choice
        Other arguments of `from_trace`.

    Returns
    -------
    list of Workload
        One for each seed, or one.
    """
    first = from_trace(trace, seed=seeds[0], **choice)
    if not first.recipe["spread"]:
        return [first]
    return [first, *(from_trace(trace, seed=one, **choice) for one in seeds[1:])]


def _offsets(found: pl.DataFrame, step_s: float, sessions: bool, rng: np.random.Generator) -> pl.Series:
    """Where in its step each request falls; turns of one session in one step keep their order."""
    drawn = pl.Series("offset", rng.random(len(found)) * step_s)
    if not (sessions and step_s):
        return drawn
    table = found.select("arrival_s", "session").with_columns(drawn)
    return table.select(
        pl.when(pl.col("session").is_null())
        .then("offset")
        .otherwise(pl.col("offset").sort().over("arrival_s", "session"))
    ).to_series()


def _requests(
    found: pl.DataFrame, at_s: np.ndarray, streams: pl.DataFrame, with_sessions: bool, sessions: Sessions
) -> pl.DataFrame:
    """The workload's columns from what was found."""
    session = pl.col("session").rank("dense").cast(pl.Int64) - 1 if with_sessions else pl.lit(None, pl.Int64)
    named = found.with_columns(pl.Series("at_s", at_s), began=pl.col("at_s")).join(
        streams.select("stream_id", "service", "model"), on="stream_id", how="left", maintain_order="left"
    )
    frame = named.with_columns(session=session)
    turn = pl.int_range(pl.len()).over("session")
    ended = pl.col("began") + pl.col("elapsed_s").fill_null(0.0)
    think = (pl.col("began") - ended.shift(1)).over("session").clip(0.0)
    present = pl.col("session").is_not_null()
    known = frame.select(
        "at_s",
        "service",
        "model",
        pl.col("request_tokens").clip(1),
        pl.col("response_tokens").clip(1),
        "session",
        "prefix",
        turn=pl.when(present).then(turn),
        think_s=pl.when(present).then(think) if sessions == "think" else None,
    )
    return requests_frame(known)
