"""The verb `disaggregate`: open the loads, search ratios of prefill to decode instances, show the result.

Not here: the search (`burstlens.bench.provisioning.search`), its sentences (`provisioning.result`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..analysis.core.errors import InputError
from ..analysis.core.exhibit import Displayable, Exhibit, marks
from ..analysis.core.option_names import option
from ..analysis.core.result import Progress, silent
from .experiments.backend import open_source, seeds_from
from .options import Log, source_text
from .workload import WorkloadOptions, kind_of, load_workload

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
"""Of a load, if nothing says which part of it: minutes on two cores."""
DRAWS = 3
"""Further draws of a forecast on which plans are compared."""
OTHER_SEED = 1_000_003
"""Added to the seed for a draw that stands for a forecast: none of the seeds that it is judged on."""


@dataclass(frozen=True)
class DisaggregationResult(Displayable):
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
        labels = marks(self.state.simulated, self.state.synthetic, "load")
        claim = self.claim
        lines = [f"{claim.verdict}: {claim.text} ({claim.where}) {claim.value} {claim.why}"]
        within = [replace(part, marks=labels) for part in self.parts]
        title = f"Prefill:decode ratio, {self.state.load.name}"
        return Exhibit(title, labels, lines, {"ratios": self.ratios}, within)

    def report(self, out: str | Path | None = None, *, images: bool = True, command: str = "") -> Path:
        """Write the page, beside `disaggregate.json` or into `out`; its path."""
        from ..reports.pages.provisioning import write_disaggregation_page

        where = self.folder if out is None else Path(out)
        if where is None:
            raise InputError("the search was not written to a folder; name a folder for the page")
        return write_disaggregation_page(self, where, command=command, images=images)


def disaggregate(
    source: Log | None = None,
    out: Log | None = None,
    *,
    turnover: bool = False,
    plan_from: Log | None = None,
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
    simulate: str = "llama-2-13b-a100",
    start_s: float | None = None,
    end_s: float | None = None,
    service: str | None = None,
    model: str | None = None,
    busiest: int | None = None,
    first: int | None = None,
    tokens: tuple[int, int] | None = None,
    rate_rps: float | None = None,
    speedup: float | None = None,
    seeds: int = 3,
    seed: int = 0,
    workers: int | None = None,
    images: bool = True,
    command: str = "burstlens.disaggregate()",
    progress: Progress | None = None,
) -> DisaggregationResult:
    """Search the ratio of prefill to decode instances with the most goodput, simulated (paper 6).

    Fixed ratios, one switch, and a ratio per window are compared. Goodput is the highest rate at which 90 %
    of requests keep both bounds. The rate is scaled by squeezing the load's time.

    Parameters
    ----------
    source
        A trace or a `parameters.json`; by default the embedded synthetic trace.
    out
        Write `plan.json`, `disaggregate.json` and the page into this folder.
    turnover
        Instead of `source`: a synthetic load with long answers until 6:00, then long prompts.
    plan_from
        A parameter file, such as a forecast. The plan made from it is judged on the real load, next to the
        one made from the real load itself.
    total
        Number of instances, prefill and decode.
    slo_ttft_s, slo_tpot_s
        Bounds of time to first token and of mean time per further token, in seconds.
    bandwidth_gbps, transfer_latency_s
        Of KV transfers: gigabytes per second, seconds in addition to the size's.
    bytes_per_token
        KV cache of a token, by default the preset's.
    launch_s
        Seconds that an empty instance needs until it serves in its other role.
    window_s
        Length of a window in seconds; the sequence has one ratio per window.
    beam
        Number of states that the search keeps from window to window.
    tolerance
        Of goodput, relative.
    simulate
        Preset of every instance, or a profile file.
    start_s, end_s, service, model, first, tokens, rate_rps, speedup
        As in `workload`.
    busiest
        Without `start_s`, `end_s` and `first`: use the busiest day, or a part of it with at most this many
        requests, 20,000 by default.
    seeds, seed
        Number of loads that differ by seed, and the first seed.
    workers
        Number of processes, by default one per core.
    images
        Also write each figure as SVG and PNG.
    command
        What the page says it was made by.

    Examples
    --------
    >>> found = bl.disaggregate("synthetic.csv", first=300, total=3, seeds=1, window_s=60.0, beam=2)
    >>> found.ratios["policy"].to_list()[:2]
    ['1:2', '2:1']
    """
    from ..analysis.core.cpu import cores
    from ..bench.provisioning.goodput import Serving
    from ..bench.provisioning.search import search_ratios
    from ..bench.provisioning.state import Cut, Origin
    from ..bench.provisioning.tasks import SearchSpec
    from ..bench.record.versioned_json import from_dict
    from ..bench.simulated.disaggregation import Transfer
    from ..bench.simulated.presets import load_preset

    show = progress or silent
    load_source = None if source is None else source_text(source)
    plan_source = None if plan_from is None else str(plan_from)
    options = WorkloadOptions(
        service, model, start_s, end_s, first, rate_rps, speedup, tokens=tokens, seed=seed
    )
    if load_source is not None and turnover:
        raise InputError(
            f"{load_source}: is a load, and {option('turnover', True)} is another: give one of them"
        )
    if turnover:
        # Of the provisioned load, if there is one, a part can be selected.
        wrong = ["busiest"] if busiest is not None else []
        wrong += [name for name in options.given() if name not in ("first", "seed") and plan_from is None]
        if wrong:
            raise InputError(
                f"{option(wrong[0])}: is for a trace, and {option('turnover', True)} uses none; leave it out"
            )
    limit = REQUESTS if busiest is None else busiest
    for name, value in (("busiest", limit), ("beam", beam), ("window_s", window_s), ("tolerance", tolerance)):
        if not value > 0:
            raise InputError(f"{option(name)}: {value:g} is not above 0")
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
    numbered = seeds_from(seeds, seed)
    show("reading the load", 0.0)
    drawn = _drawn(load_source, turnover, plan_source, options, limit, numbered, show)
    made, planned = drawn.real, drawn.planned[0] if drawn.planned else None
    loads = tuple(_load(one, preset) for one in made)
    provisioned, *further = (_load(one, preset) for one in drawn.planned) if planned else (None,)
    origin = Origin(
        source="turnover" if turnover else load_source or made[0].name,
        plan_from=plan_source,
        cut=None if drawn.cut is None else from_dict(Cut, drawn.cut.as_dict()),
        recipe=dict(made[0].recipe),
        plan_recipe=None if planned is None else dict(planned.recipe),
    )
    # A trace with stamps so fine that a seed draws nothing is one load.
    used = tuple(numbered[: len(loads)])
    spec = SearchSpec(loads, provisioned, serving, window_s, beam, tolerance, used, tuple(further))
    folder = None if out is None else Path(out)
    state = search_ratios(spec, origin, folder, workers=workers or cores(), progress=show)
    found = DisaggregationResult(state, folder)
    if folder is not None:
        found.report(images=images, command=command)
    return found


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
    options: WorkloadOptions,
    limit: int,
    seeds: list[int],
    progress: Progress,
) -> _Drawn:
    """The loads; if nothing says which part of a source, its busiest part of at most `limit` requests."""
    from ..bench.workload.busiest import busiest_of_load, busiest_of_trace
    from ..bench.workload.from_trace import workloads_by_seed

    kind = None if source is None else kind_of(source)
    unselected = options.start_s is None and options.end_s is None and options.first is None
    planned: list[Workload] = []
    cut = None
    plan_seeds = [seeds[0] + OTHER_SEED + i for i in range(1 + DRAWS)]

    def drawn_from(path: str, chosen: WorkloadOptions, numbers: Sequence[int]) -> list[Workload]:
        return [load_workload(path, replace(chosen, seed=one), progress=progress) for one in numbers]

    def narrowed(load: Workload, chosen: WorkloadOptions) -> tuple[WorkloadOptions, BusySpan | None]:
        begin = load.recipe["start_s"] or 0.0
        found = busiest_of_load(load, begin, limit)
        if found is None:
            return replace(chosen, start_s=begin, end_s=begin + (load.recipe["duration_s"] or 0.0)), None
        first = found.first or chosen.first
        return replace(chosen, start_s=found.start_s, end_s=found.end_s, first=first), found

    if plan_from is not None:
        if Path(plan_from).suffix != ".json":
            raise InputError(
                f"{option('plan_from')}: {plan_from} is not a parameters.json; burstlens fit makes one"
            )
        if unselected and not turned and kind not in ("constants", "run"):
            # The real load is what came in the time, and from the service and model, of the provisioned one.
            (expected,) = drawn_from(plan_from, options, plan_seeds[:1])
            named_by_user = options.service or options.model
            options, cut = narrowed(expected, options)
            if named_by_user is None:
                names = {
                    side: expected.requests[side].drop_nulls().unique().to_list()
                    for side in ("service", "model")
                }
                single = {side: found[0] for side, found in names.items() if len(found) == 1}
                options = replace(options, **single)
        planned = drawn_from(plan_from, options, plan_seeds)
    if turned:
        from ..bench.workload.turnover import REQUESTS, turnover

        n = REQUESTS if options.first is None else options.first
        loads = planned or [turnover(n, one) for one in plan_seeds]
        return _Drawn([turnover(n, one) for one in seeds], loads, None)
    if source is not None and kind != "trace":
        if unselected and plan_from is None and kind == "parameters":
            complete = load_workload(source, replace(options, seed=seeds[0]), progress=progress)
            options, cut = narrowed(complete, options)
        # Another draw of the same law is a forecast that errs only by chance.
        real = drawn_from(source, options, seeds)
        return _Drawn(real, planned or drawn_from(source, options, plan_seeds), cut)
    trace = open_source(source, progress)
    try:
        if unselected and plan_from is None:
            cut = busiest_of_trace(trace, service=options.service, model=options.model, max_requests=limit)
            if cut is not None:
                options = replace(options, start_s=cut.start_s, end_s=cut.end_s, first=cut.first)
        given = {name: value for name, value in options.given().items() if name != "seed"}
        return _Drawn(workloads_by_seed(trace, seeds, **given), planned, cut)
    finally:
        trace.engine.close()


def _load(made: Workload, preset: Preset) -> ScalableLoad:
    """With the length of the clock that the workload was drawn on, where it was."""
    from ..bench.provisioning.goodput import ScalableLoad

    recipe = made.recipe
    span, start_s, end_s = recipe.get("duration_s"), recipe.get("start_s"), recipe.get("end_s")
    if span is None and start_s is not None and end_s is not None:
        span = end_s - start_s
    if recipe.get("first") is not None:
        span = None
    return ScalableLoad.of(made, preset, span)


def read(folder: Path) -> DisaggregationResult:
    """What an earlier search left in its folder."""
    from ..bench.provisioning.state import read_state

    return DisaggregationResult(read_state(folder), folder)
