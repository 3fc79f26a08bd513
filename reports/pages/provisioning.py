"""The page of a search of prefill:decode ratios: claim, table of ratios, both of the paper's figures.

Not here: what was found (`burstlens.bench.provisioning.result`), figures (`figures.bench.provisioning`),
layout (`templates/disaggregation.html`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import polars as pl

from ...analysis.core.claims import Claim
from ...analysis.core.errors import DiskError
from ...analysis.core.exhibit import marks
from ...analysis.core.result import Part, silent
from ...analysis.core.units import HOUR_S
from ...bench.provisioning.result import best_of, one_load, policies
from ...bench.provisioning.state import LoadSummary, SearchState
from ..figures.base import estimate, number
from .base import block, render, sections, write_images, write_tables

SLUG = "pd"


class Found(Protocol):
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


def write_disaggregation_page(found: Found, out: Path, *, command: str = "", images: bool = True) -> Path:
    """Write `index.html`, `tables/` and, with `images`, `figures/` into `out`; the page's path.

    A search that was stopped gets the page of what there is. BurstlensError where `out` cannot be written.
    """
    state = found.state
    simulated, synthetic = state.simulated, state.synthetic
    name = f"Prefill:decode ratio · {state.load.name}"
    told = marks(simulated, synthetic, "load")
    blocks = [block(part, slug=SLUG, name=name, marks=told) for part in found.parts]
    drawn = [each for one in blocks for each in one.drawn]
    wanted = f"fig-{SLUG}-{found.claim.part}-{found.claim.figure}"
    try:
        out.mkdir(parents=True, exist_ok=True)
        write_tables(out / "tables", blocks)
        if images:
            write_images(out / "figures", drawn, silent)
        page = out / "index.html"
        html = render(
            "disaggregation.html",
            f"Prefill:decode ratio, {state.load.name}",
            blocks,
            simulated=simulated,
            synthetic=synthetic,
            unfinished=not state.finished,
            facts=_facts(state),
            claim=found.claim,
            target=wanted if wanted in {each.anchor for each in drawn} else "ratios",
            rows=[_row(row) for row in found.ratios.iter_rows(named=True)],
            sections=sections(blocks, several=False),
            identity=_identity(state),
            command=command,
            images=images,
        )
        page.write_text(html, encoding="utf-8")
    except OSError as fault:
        raise DiskError.unwritable(out, fault) from fault
    return page


def _row(row: Mapping[str, Any]) -> tuple[str, ...]:
    """A policy, its goodput and its gain, each with its interval over seeds."""
    return str(row["policy"]), *(estimate(row, name) for name in ("goodput_rps", "gain_rps"))


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
