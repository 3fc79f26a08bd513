"""What is to be sent: one row a request, with its instant, lengths and session.

A workload is plain data. `from_trace` and `from_parameters` make it; the client sends it, or the simulated
engine runs it in virtual time, and it is written next to the record of either. Not here: prompts and sending.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import polars as pl

from ...analysis.core.exhibit import Displayable, Exhibit
from ...analysis.core.units import counted
from .recipe import Recipe

SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    "request_id": pl.Int64,
    "at_s": pl.Float64,
    "service": pl.String,
    "model": pl.String,
    "request_tokens": pl.Int64,
    "response_tokens": pl.Int64,
    "session": pl.Int64,
    "turn": pl.Int64,
    "think_s": pl.Float64,
    "priority": pl.Int64,
    "prefix": pl.List(pl.Int64),
}
"""Columns of `Workload.requests`.

`request_id` counts from 0 in order of `at_s`, seconds after the start of the run. `service` and `model`
are the trace's own words, not the served model. `session` is null outside conversations; `turn` counts
from 0 in it. If `think_s` is null a request is sent at `at_s`; otherwise `think_s` after its session's
previous answer ended, and `at_s` is only when it is expected. `priority` is vLLM's: smaller is sooner.
`prefix` has the shared blocks that the prompt begins with, null if it shares nothing.
"""


def requests_frame(known: pl.DataFrame) -> pl.DataFrame:
    """Add the missing columns of `SCHEMA`; one row a request in the order of instants.

    Without ids the rows are counted, without priorities all have 0; what else is not known is null.
    """
    usual = {"request_id": pl.int_range(pl.len()), "priority": pl.lit(0)}
    return known.select(
        pl.col(name) if name in known.columns else usual.get(name, pl.lit(None)).alias(name)
        for name in SCHEMA
    ).cast(SCHEMA)  # type: ignore[arg-type]


NOTED = 0.1
"""A note is made if this share of a load is in windows with gaps that are not Gamma distributed."""


@dataclass(frozen=True)
class Workload(Displayable):
    """Requests in the order of their instants, and where they come from."""

    requests: pl.DataFrame
    """Columns of `SCHEMA`."""
    name: str
    synthetic: bool
    """Whether the source of it was synthetic; a page made from it says so."""
    recipe: Recipe = field(default_factory=Recipe)
    """How it was made: source, selection, scaling, seed."""

    def exhibit(self) -> Exhibit:
        """Show size, rate and recipe; the requests."""
        size = f"{len(self.requests):,} requests over {self.span_s:,.1f} s, {self.rate_rps:.3g} a second"
        recipe = ", ".join(f"{name} {value}" for name, value in self.recipe.items() if value is not None)
        marks = ("synthetic",) if self.synthetic else ()
        return Exhibit(f"Workload of {self.name}", marks, [size, recipe], {"requests": self.requests})

    @property
    def span_s(self) -> float:
        """Instant of the last request."""
        return float(self.requests["at_s"][-1]) if len(self.requests) else 0.0

    @property
    def rate_rps(self) -> float:
        """Mean rate over the span."""
        return len(self.requests) / self.span_s if self.span_s else 0.0

    @property
    def sha256(self) -> str:
        """Fingerprint of the requests: equal for workloads that send the same."""
        rows = self.requests.select(*SCHEMA).hash_rows(seed=0).to_numpy()
        return hashlib.sha256(rows.tobytes()).hexdigest()


def notes_on(workload: Workload, max_model_len: int | None) -> list[str]:
    """Note what a reader should know of a load: texts too long for the model, windows not Gamma.

    Parameters
    ----------
    workload
        The load.
    max_model_len
        Tokens that the model takes, prompt and answer together; None if that is not known.

    Returns
    -------
    list of str
        One clause for each note.
    """
    notes = []
    if max_model_len is not None:
        prompt = pl.col("request_tokens")
        total = prompt + pl.col("response_tokens")
        refused, cut = workload.requests.select(
            (prompt >= max_model_len).sum().alias("refused"),
            ((prompt < max_model_len) & (total > max_model_len)).sum().alias("cut"),
        ).row(0)
        if refused:
            notes.append(
                f"{refused:,} of {len(workload.requests):,} prompts leave no room for an answer in the "
                f"model's {max_model_len:,} tokens: the server refuses them"
            )
        if cut:
            notes.append(
                f"{counted(cut, 'answer')} {'does' if cut == 1 else 'do'} not fit into the model's "
                f"{max_model_len:,} tokens after the prompt: "
                "the server cuts them short, or refuses them"
            )
    share = workload.recipe.get("not_gamma") or 0.0
    if share >= NOTED:
        notes.append(
            f"{100 * share:.0f} % of the load is drawn in windows with gaps that are not Gamma distributed "
            "(not_gamma): arrivals differ from the trace's; burstlens compare shows by how much"
        )
    return notes
