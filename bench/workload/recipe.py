"""How a workload was made, as the manifest of a run has it: plain values of JSON.

Not here: the makers, each of which writes the keys that it knows (`from_trace`, `from_parameters`,
`conversations`, `turnover`, the experiments).
"""

from __future__ import annotations

from typing import Any, TypedDict


class RecipeSource(TypedDict):
    """A file that a load comes from."""

    name: str
    sha256: str


_From = TypedDict("_From", {"from": int}, total=False)
"""`from`: the row of a pool at which an experiment's load begins; no class can spell that key."""


class Recipe(_From, total=False):
    """Source, selection, scaling and seed of a workload.

    Runs of other versions may have other keys, so whoever reads a file's recipe uses `get`.
    """

    source: str
    sources: list[RecipeSource]
    construction: str
    """How instants were drawn; absent where they are a trace's."""
    selection: str
    """Label of the selection in the parameters."""
    service: str | None
    model: str | None
    start_s: float | None
    end_s: float | None
    duration_s: float | None
    """Length of the clock that instants were drawn on."""
    first: int | None
    requests: int | None
    rate_rps: float | None
    speedup: float
    scale: float
    """Factor on the rate of the parameters."""
    squeezed: float
    """Factor by which time was squeezed afterwards."""
    spread: bool
    """Whether stamps were spread inside their step, by the seed."""
    sessions: str
    tokens: list[int] | None
    prefix_blocks: int | None
    """Tokens of a prefix block in the trace, unless 512; None if it is not known."""
    unknown_lengths: int
    """Failed requests whose token counts the trace does not have."""
    max_tokens: list[int]
    lengths: str | list[int]
    not_gamma: float
    """Share of the requests in windows whose gaps are not Gamma distributed."""
    shape: str | float
    scale_s: str | float
    exponent: str | float
    turns: dict[str, Any]
    """Law of turns per session with its parameters; so is the next."""
    intervals: dict[str, Any]
    context: int | None
    policy: str
    before: list[float]
    """Median lengths before and after the turn of a synthetic load."""
    after: list[float]
    turn_s: float
    seed: int
