"""What a ratio search has found so far: the content of `disaggregate.json` and `plan.json`, as typed models.

The models are the file formats: field names and their order are those of the files, and a file of an earlier
burstlens reads back into them. Not here: the search that fills them (`search`), what they say (`result`).
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType

from ...analysis.core.atomic_write import write_json
from ..record.versioned_json import from_dict, read_versioned_json, to_dict
from ..simulated.disaggregation import Transfer
from ..simulated.presets import Preset

RESULT, PLAN = "disaggregate.json", "plan.json"
VERSION = 1

Number = int | float
"""A number of a file, as it was written."""

Planner = Literal["real", "provisioned"]
"""Which load a sequence was planned on."""


class RatioFrom(Struct, frozen=True):
    """A ratio and the instant at which it begins, in seconds of the load's clock."""

    at_s: Number
    ratio: str
    """`2:6`."""
    prefill: int
    decode: int


class FixedRatio(Struct, frozen=True):
    """A ratio that never changes, and its goodput in requests/s."""

    prefill: int
    decode: int
    ratio: str
    goodput_rps: list[float]
    """One a seed."""
    provisioned_rps: float | None
    """On the provisioned load; None without one."""


class SwitchMoment(Struct, frozen=True):
    """A moment that was tried for the switch."""

    at_s: Number
    goodput_rps: float


class SwitchFound(Struct, frozen=True):
    """The best single switch."""

    before: str
    after: str
    at_s: Number
    turns: list[RatioFrom]
    moments: list[SwitchMoment]
    """Goodput on the first seed's load by the moment of the switch."""
    goodput_rps: list[float]


class SequenceFound(Struct, frozen=True):
    """A sequence of ratios; the last three fields belong to one that was planned on a provisioned load."""

    plans: list[list[RatioFrom]]
    """One a seed, or the one for the provisioned load."""
    goodput_rps: list[float]
    """On the real load, one a seed."""
    expected_rps: float | UnsetType = UNSET
    """On the load that it was planned on."""
    searched: list[RatioFrom] | UnsetType = UNSET
    """What beam search found, which need not be what was chosen."""
    further_rps: list[float] | UnsetType = UNSET
    """Of the chosen plan on further draws."""


class CourseWindow(Struct, frozen=True):
    """A window of the load: requests, and for each plan the share within both bounds and the ratio."""

    start_s: Number
    requests: int
    fixed_share: float | UnsetType | None = UNSET
    fixed_prefill: int | UnsetType = UNSET
    real_share: float | UnsetType | None = UNSET
    real_prefill: int | UnsetType = UNSET
    provisioned_share: float | UnsetType | None = UNSET
    provisioned_prefill: int | UnsetType = UNSET


class Course(Struct, frozen=True):
    """The first load window by window, at the goodput of its own sequence."""

    rate_rps: float
    best_fixed: str
    windows: list[CourseWindow]


class LoadSummary(Struct, frozen=True):
    """A load before it is scaled."""

    name: str
    synthetic: bool
    requests: int
    refused: int
    span_s: Number
    rate_rps: float


class Cut(Struct, frozen=True):
    """The part of a load that was searched, on the trace's clock."""

    start_s: Number
    end_s: Number
    requests: int
    of: int
    """Requests of the load that it was cut from."""
    limit: int = msgspec.field(name="most")
    """Requests that it was to stay within (key `most` of the file)."""
    first: int | None = None
    """How many of its first requests are taken, if even the shortest part has more than the limit."""


class Origin(Struct, frozen=True):
    """Where the loads come from."""

    source: str | None = None
    plan_from: str | None = None
    cut: Cut | None = None
    recipe: dict[str, Any] = {}
    plan_recipe: dict[str, Any] | None = None


class ServingRecord(Struct, frozen=True):
    """What served: instances, engine constants, costs of moving and changing, bounds."""

    preset: Preset
    total: int
    transfer: Transfer
    bytes_per_token: Number
    launch_s: Number
    ttft_s: Number
    tpot_s: Number
    share: float
    """Of all requests, that must keep both bounds."""


class SearchState(Struct, kw_only=True):
    """Everything that a search has found so far: the content of `disaggregate.json`."""

    version: int = VERSION
    source: str | None = None
    plan_from: str | None = None
    cut: Cut | None = None
    recipe: dict[str, Any] = {}
    plan_recipe: dict[str, Any] | None = None
    simulated: str
    """Name of the preset."""
    synthetic: bool
    load: LoadSummary
    """The real load of the first seed."""
    provisioned_load: LoadSummary | None
    """The forecast; None without one."""
    serving: ServingRecord
    window_s: Number
    beam: int
    tolerance: float
    seeds: list[int]
    finished: bool = False
    fixed: list[FixedRatio] = []
    switch: SwitchFound | None = None
    sequences: dict[Planner, SequenceFound] = {}
    course: Course | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as the file has them."""
        return to_dict(self)


class WindowPlan(Struct, frozen=True):
    """The plan to use, a ratio a window: the content of `plan.json`."""

    planned_from: Planner
    simulated: str
    synthetic: bool
    share: float
    goodput_rps: float
    windows: list[RatioFrom]

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as the file has them."""
        return to_dict(self)


def write_state(state: SearchState, plan: WindowPlan | None, folder: Path) -> None:
    """Write what was found so far, each file completely or not at all.

    Parameters
    ----------
    state
        Content of `disaggregate.json`.
    plan
        Content of `plan.json`; None removes that of an earlier search.
    folder
        Where the files are.

    Raises
    ------
    DiskError
        If a file cannot be written.
    """
    write_json(state.as_dict(), folder / RESULT)
    if plan is not None:
        write_json(plan.as_dict(), folder / PLAN)
    else:
        (folder / PLAN).unlink(missing_ok=True)


def read_state(folder: Path) -> SearchState:
    """Read what an earlier search left in a folder.

    Raises
    ------
    InputError
        The folder has no `disaggregate.json`, or one that this burstlens cannot read.
    """
    return read_versioned_json(
        folder / RESULT,
        VERSION,
        partial(from_dict, SearchState),
        absent=f"{folder}: has no {RESULT}",
        wrong="is not a result of burstlens disaggregate",
    )
