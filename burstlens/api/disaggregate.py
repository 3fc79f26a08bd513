"""The verb `disaggregate` as a function: loads opened, a search run, what it found.

Not here: the search (`burstlens.bench.provisioning.search`), sentences (`bench.provisioned`), words and
flags.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..analysis.core.errors import InputError
from ..analysis.core.exhibit import Displayable, Exhibit, marks
from ..analysis.core.result import Progress, silent

if TYPE_CHECKING:
    import polars as pl

    from ..analysis.core.claims import Claim
    from ..analysis.core.result import Part
    from ..bench.provisioning.goodput import ScalableLoad
    from ..bench.provisioning.state import SearchState
    from ..bench.simulated.presets import Preset
    from ..bench.workload.busiest import BusySpan
    from ..bench.workload.table import Workload

REQUESTS = 20_000
"""Of a load, where nothing says which part of it: minutes on two cores."""
DRAWS = 3
"""Further draws of a forecast on which plans are compared."""
OTHER_SEED = 1_000_003
"""Added to the seed for a draw that stands for a forecast: none of the seeds that it is judged on."""


@dataclass(frozen=True)
class Disaggregated(Displayable):
    """What a search of prefill:decode ratios found."""

    state: SearchState
    """What each step of the search found: the content of `disaggregate.json`."""
    folder: Path | None = None

    @cached_property
    def content(self) -> dict[str, Any]:
        """Plain values: those of `disaggregate.json`."""
        return self.state.as_dict()

    @cached_property
    def parts(self) -> list[Part]:
        """Tables and sentences: `ratios`, then `sequence`."""
        from ..bench.provisioning.result import parts

        return list(parts(self.state))

    @cached_property
    def claim(self) -> Claim:
        """The paper's claim with its verdict."""
        from ..bench.provisioning.result import claim

        return claim(self.state)

    @property
    def ratios(self) -> pl.DataFrame:
        """A row a policy: goodput and gain over the best fixed ratio, with intervals over seeds."""
        return self.parts[0].tables()["ratios"]

    @property
    def plan(self) -> dict[str, Any] | None:
        """The ratio of each window: what `plan.json` holds."""
        from ..bench.provisioning.search import plan_of

        plan = plan_of(self.state)
        return None if plan is None else plan.as_dict()

    def as_dict(self) -> dict[str, Any]:
        """The content with sentences and verdict."""
        return {
            **self.content,
            "plan": self.plan,
            "sentences": [text for part in self.parts for text in part.sentences()],
            "claims": [self.claim.as_dict()],
        }

    def exhibit(self) -> Exhibit:
        """The paper's claim with its verdict, the table of ratios, both parts."""
        told = marks(self.state.simulated, self.state.synthetic, "load")
        claim = self.claim
        lines = [f"{claim.verdict}: {claim.text} ({claim.where}) {claim.value} {claim.why}"]
        within = [replace(part, marks=told) for part in self.parts]
        title = f"Prefill:decode ratio, {self.state.load.name}"
        return Exhibit(title, told, lines, {"ratios": self.ratios}, within)

    def report(self, out: str | Path | None = None, *, images: bool = True, command: str = "") -> Path:
        """Write the page, beside `disaggregate.json` or into `out`; its path."""
        from ..reports.pages.provisioning import write_disaggregation_page

        where = self.folder if out is None else Path(out)
        if where is None:
            raise InputError("the search was not kept in a folder: say where the page goes")
        return write_disaggregation_page(self, where, command=command, images=images)


def disaggregate(
    source: str | None = None,
    out: Path | None = None,
    *,
    turnover: bool = False,
    plan_from: str | None = None,
    simulate: str = "llama-2-13b-a100",
    total: int = 8,
    slo_ttft_s: float = 1.0,
    slo_tpot_s: float = 0.05,
    bandwidth_gbps: float = 25.0,
    transfer_latency_s: float = 0.005,
    bytes_per_token: float | None = None,
    launch_s: float = 10.0,
    window_s: float = 600.0,
    beam: int = 10,
    tolerance: float = 0.02,
    most: int | None = None,
    seeds: int = 3,
    seed: int = 0,
    workers: int = 1,
    progress: Progress = silent,
    **choice: Any,
) -> Disaggregated:
    """See `burstlens.disaggregate`; `choice` is that of `load.workload`, `most` else `REQUESTS`."""
    from ..bench.provisioning.goodput import Serving
    from ..bench.provisioning.search import search_ratios
    from ..bench.provisioning.state import Cut, Origin
    from ..bench.provisioning.tasks import SearchSpec
    from ..bench.simulated.disaggregation import Transfer
    from ..bench.simulated.presets import load_preset
    from .experiments import seeds_of
    from .workload import flag

    if source is not None and turnover:
        raise InputError(f"{source}: is a load, and --turnover is another: give one of them")
    given = {name: value for name, value in choice.items() if value is not None}
    if turnover:
        # Of the provisioned load, where there is one, a part can be chosen.
        wrong = ["--busiest"] if most is not None else []
        wrong += [flag(name) for name in given if name != "first" and plan_from is None]
        if wrong:
            raise InputError(f"{wrong[0]}: is for a trace, and --turnover needs none; leave it out")
    most = REQUESTS if most is None else most
    if most < 1:
        raise InputError(f"--busiest: {most} is not above 0")
    for name, value in (("--beam", beam), ("--window", window_s), ("--tolerance", tolerance)):
        if not value > 0:
            raise InputError(f"{name}: {value:g} is not above 0")
    preset = load_preset(simulate)
    serving = Serving.of(
        preset,
        bytes_per_token,
        total=total,
        transfer=Transfer(bandwidth_gbps, transfer_latency_s),
        launch_s=launch_s,
        ttft_s=slo_ttft_s,
        tpot_s=slo_tpot_s,
    )
    numbered = seeds_of(seeds, seed)
    progress("reading the load", 0.0)
    drawn = _drawn(source, turnover, plan_from, given, most, numbered, progress)
    made, planned = drawn.real, drawn.planned[0] if drawn.planned else None
    loads = tuple(_load(one, preset) for one in made)
    provisioned, *further = (_load(one, preset) for one in drawn.planned) if planned else (None,)
    origin = Origin(
        source="turnover" if turnover else source or made[0].name,
        plan_from=plan_from,
        cut=None if drawn.cut is None else Cut(**drawn.cut.as_dict()),
        recipe=dict(made[0].recipe),
        plan_recipe=None if planned is None else dict(planned.recipe),
    )
    # A trace whose stamps leave a seed nothing to draw is one load.
    used = tuple(numbered[: len(loads)])
    spec = SearchSpec(loads, provisioned, serving, window_s, beam, tolerance, used, tuple(further))
    return Disaggregated(search_ratios(spec, origin, out, workers=workers, progress=progress), out)


@dataclass(frozen=True)
class _Drawn:
    """The real loads, one a seed, draws of the provisioned one, and what of them all was left."""

    real: list[Workload]
    planned: list[Workload]
    """Empty where there is no forecast; the first is searched, on the others plans are compared."""
    cut: BusySpan | None


def _drawn(
    source: str | None,
    turned: bool,
    plan_from: str | None,
    given: dict[str, Any],
    most: int,
    seeds: list[int],
    progress: Progress,
) -> _Drawn:
    """Where nothing says which part of the load, its busiest stretch of at most `most` requests."""
    from ..bench.workload.busiest import busiest_of_load, busiest_of_trace
    from ..bench.workload.from_trace import workloads_by_seed
    from .experiments import opened
    from .workload import kind_of, workload

    kind = None if source is None else kind_of(source)
    free = not {"start_s", "end_s", "first"} & given.keys()
    asked_of = given.get("service") or given.get("model")
    ahead: list[Workload] = []
    cut = None
    ahead_seeds = [seeds[0] + OTHER_SEED + i for i in range(1 + DRAWS)]

    def expected(path: str, seeds: Sequence[int] = ahead_seeds) -> list[Workload]:
        return [workload(path, seed=one, progress=progress, **given) for one in seeds]

    def narrowed(load: Workload) -> BusySpan | None:
        begin = float(load.recipe["start_s"])
        found = busiest_of_load(load, begin, most)
        whole = (begin, begin + float(load.recipe["duration_s"]))
        given["start_s"], given["end_s"] = (found.start_s, found.end_s) if found else whole
        if found and found.first:
            given["first"] = found.first
        return found

    if plan_from is not None:
        if Path(plan_from).suffix != ".json":
            raise InputError(f"--plan-from {plan_from}: is no parameters.json; burstlens fit makes one")
        if free and not turned and kind not in ("constants", "run"):
            # The real load is what came while the provisioned one was expected, of whom it was expected.
            (whole,) = expected(plan_from, ahead_seeds[:1])
            cut = narrowed(whole)
            for side in ("service", "model"):
                named = whole.requests[side].drop_nulls().unique().to_list()
                if len(named) == 1 and asked_of is None:
                    given[side] = named[0]
        ahead = expected(plan_from)
    if turned:
        from ..bench.workload.turnover import REQUESTS, turnover

        n = given.get("first", REQUESTS)
        drawn = ahead or [turnover(n, one) for one in ahead_seeds]
        return _Drawn([turnover(n, one) for one in seeds], drawn, None)
    if source is not None and kind != "trace":
        if free and plan_from is None and kind == "parameters":
            cut = narrowed(workload(source, seed=seeds[0], progress=progress, **given))
        # Another draw of the same law is a forecast that errs by nothing but chance.
        real = [workload(source, seed=one, progress=progress, **given) for one in seeds]
        return _Drawn(real, ahead or expected(source), cut)
    trace = opened(source, progress)
    try:
        if free and plan_from is None:
            cut = busiest_of_trace(trace, service=given.get("service"), model=given.get("model"), most=most)
            if cut is not None:
                given |= {"start_s": cut.start_s, "end_s": cut.end_s, "first": cut.first}
        return _Drawn(workloads_by_seed(trace, seeds, **given), ahead, cut)
    finally:
        trace.engine.close()


def _load(made: Workload, preset: Preset) -> ScalableLoad:
    """With the length of the clock that the workload was drawn on, where it was."""
    from ..bench.provisioning.goodput import ScalableLoad

    recipe = made.recipe
    span = recipe.get("duration_s")
    if span is None and recipe.get("start_s") is not None and recipe.get("end_s") is not None:
        span = recipe["end_s"] - recipe["start_s"]
    if recipe.get("first") is not None:
        span = None
    return ScalableLoad.of(made, preset, span)


def read(folder: Path) -> Disaggregated:
    """What an earlier search left in its folder."""
    from ..bench.provisioning.state import read_state

    return Disaggregated(read_state(folder), folder)
