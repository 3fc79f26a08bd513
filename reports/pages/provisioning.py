"""The page of a search of prefill:decode ratios: claim, table of ratios, both of the paper's figures.

Not here: what was found (`burstlens.bench.provisioning.result`), figures (`figures.bench.provisioning`),
layout (`pages.result`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import polars as pl

from ...analysis.core.claims import Claim
from ...analysis.core.exhibit import marks
from ...analysis.core.result import LEVEL, Part, number, silent
from ...analysis.core.units import HOUR_S
from ...bench.provisioning.result import best_of, one_load, policies
from ...bench.provisioning.state import LoadSummary, SearchState
from ..figures.base import estimate
from .base import block
from .result import (
    Banner,
    ResultPage,
    Section,
    Table,
    simulated_banner,
    synthetic_banner,
    with_marks,
    write_result_page,
)

SLUG = "pd"
READING = (
    "Goodput is the highest rate at which enough requests keep both bounds. To raise the rate, the load’s "
    "time is "
    "squeezed, as the paper scales requests per second: an hour of the load’s clock then passes faster. "
    "Steps, "
    "transfers, bounds and launches are not squeezed, so a change of role costs more of a window the more "
    "the load "
    "is squeezed.",
    "Requests wait in one queue for prefill. Their KV cache then moves to the decode instance with the "
    "fewest prompt "
    "tokens of unfinished requests, over links that are not shared. If an instance runs out of KV blocks, "
    "the request "
    "admitted last goes back to the head of the prefill queue and is computed again; nothing is swapped. "
    "The memory "
    "that a waiting cache takes is not counted.",
    "Intervals are over seeds. For a recorded trace, seeds only spread coarse stamps inside their tick; "
    "for parameters, "
    "each seed is a draw of its own. The switch is searched on the first seed’s load and judged on all.",
)


class Searched(Protocol):
    """What the page shows."""

    @property
    def state(self) -> SearchState:
        """What each step of the search found."""
        ...

    @property
    def parts(self) -> list[Part]:
        """Tables and sentences."""
        ...

    @property
    def claim(self) -> Claim:
        """The paper's claim with its verdict."""
        ...

    @property
    def ratios(self) -> pl.DataFrame:
        """The table of ratios."""
        ...


def write_disaggregation_page(result: Searched, out: Path, *, command: str = "", images: bool = True) -> Path:
    """Write the page of a search, finished or not, with `tables/` and `figures/`.

    Parameters
    ----------
    result
        What the search found.
    out
        The folder to write into.
    command
        The command line that the page names.
    images
        Whether figures are written as SVG and PNG too.

    Returns
    -------
    Path
        That of the page.

    Raises
    ------
    BurstlensError
        If `out` cannot be written.
    """
    return write_result_page(disaggregation_page(result), out, command=command, images=images, show=silent)


def disaggregation_page(result: Searched) -> ResultPage:
    """What the page of a search says."""
    state = result.state
    simulated, synthetic, load = state.simulated, state.synthetic, state.load.name
    unfinished = "The search was stopped. Everything below is from the steps that it had finished."
    generated = "A model generated some or all of these requests; they are not from a recorded trace."
    loud = marks(simulated, synthetic, "load")
    return ResultPage(
        kind="provisioning",
        title=f"Prefill:decode ratio, {load}",
        blocks=[
            block(part, slug=SLUG, name=f"Prefill:decode ratio · {load}", marks=loud) for part in result.parts
        ],
        banners=[
            *([] if state.finished else [Banner("Unfinished.", unfinished, "unfinished")]),
            *simulated_banner(simulated, "every goodput below"),
            *synthetic_banner(synthetic, "Synthetic load.", generated),
        ],
        facts=_facts(state),
        claims=[result.claim],
        claims_lead="The goodputs decide the verdict. A difference within noise counts neither for nor "
        "against.",
        before=[_table(result.ratios, loud)],
        identity_title="Search and method",
        identity=_identity(state),
        reading=READING,
        files=[("plan.json", "the ratio of each window"), ("disaggregate.json", ""), ("tables/", "CSV")],
    )


def _table(ratios: pl.DataFrame, loud: Sequence[str]) -> Section:
    """Every policy with its goodput and its gain, each with its interval over seeds."""
    rows = [
        (str(row["policy"]), *(estimate(row, name) for name in ("goodput_rps", "gain_rps")))
        for row in ratios.iter_rows(named=True)
    ]
    header = ("prefill:decode", "goodput, requests/s", "over the best fixed ratio")
    return Section(
        anchor="table",
        title="Table of ratios",
        lead=with_marks(
            f"Mean goodput over seeds with {100 * LEVEL:g} % intervals, and the difference to the best fixed "
            "ratio, paired by seed",
            loud,
        ),
        tables=[Table(header, rows, numeric=(1, 2), compact=True)],
    )


def _facts(state: SearchState) -> list[tuple[str, str, str]]:
    """The few numbers for the head of the page."""
    load, serving = state.load, state.serving
    found = policies(state)
    out = [
        ("Instances", str(serving.total), "prefill and decode"),
        ("Requests", f"{load.requests:,}", "a load"),
        ("Seeds", "none", "one load") if one_load(state) else ("Seeds", str(len(state.seeds)), ""),
    ]
    if found:
        best, top = best_of(found), max(found, key=lambda one: one.mean.value)
        out += [
            ("Best fixed ratio", best.name, f"{number(best.mean.value)} requests/s"),
            ("Highest goodput", number(top.mean.value), "requests/s"),
        ]
    return out


def _identity(state: SearchState) -> list[tuple[str, str]]:
    """What was asked, as label and text."""
    serving, load, ahead = state.serving, state.load, state.provisioned_load
    transfer = serving.transfer
    return [
        ("Real load", _load(load) + f", source {Path(state.source or '').name}"),
        ("Provisioned load", "none was given" if ahead is None else _load(ahead)),
        ("Engine model", f"{state.simulated}: {serving.preset.source}"),
        (
            "Bounds",
            f"TTFT at most {serving.ttft_s:g} s and TPOT at most {serving.tpot_s:g} s for "
            f"{100 * serving.share:g} % of requests",
        ),
        (
            "KV transfer",
            f"{serving.bytes_per_token:,.0f} bytes a token at {transfer.bandwidth_gbps:g} GB/s, and "
            f"{transfer.latency_s:g} s",
        ),
        ("Change of role", f"what was begun is ended, then {serving.launch_s:g} s of launch"),
        ("Search", f"windows of {state.window_s:g} s, beam of {state.beam}"),
        ("Goodput", f"by bisection, to {100 * state.tolerance:g} %"),
        ("Seeds", "none: one load" if one_load(state) else ", ".join(map(str, state.seeds))),
    ]


def _load(load: LoadSummary) -> str:
    kind = "synthetic" if load.synthetic else "recorded"
    return (
        f"{load.name} ({kind}): {load.requests:,} requests over {load.span_s / HOUR_S:.2f} h, "
        f"{load.rate_rps:.4g} requests/s before scaling, {load.refused:,} too long to be served"
    )
