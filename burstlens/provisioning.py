"""The verb `disaggregate` as a function: loads opened, a search run, what it found.

Not here: the search (`burstlens.bench.provision`), sentences (`bench.provisioned`), words and flags.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .analysis.errors import BurstlensError
from .analysis.result import Progress, silent
from .analysis.showing import Exhibit, Shown

if TYPE_CHECKING:
    import polars as pl

    from .analysis.result import Part
    from .bench.experiments.findings import Checked
    from .bench.goodput import Load
    from .bench.simulated.presets import Preset
    from .bench.workload import Workload

OTHER_SEED = 1_000_003
"""Added to the seed for a draw that stands for a forecast: none of the seeds that it is judged on."""


@dataclass(frozen=True)
class Disaggregated(Shown):
    """What a search of prefill:decode ratios found."""

    content: dict[str, Any]
    """Plain values: those of `disaggregate.json`."""
    folder: Path | None = None

    @cached_property
    def parts(self) -> list[Part]:
        """Tables and sentences: `ratios`, then `sequence`."""
        from .bench.provisioned import parts

        return parts(self.content)

    @cached_property
    def claim(self) -> Checked:
        """The paper's claim with its verdict."""
        from .bench.provisioned import claim

        return claim(self.content)

    @property
    def ratios(self) -> pl.DataFrame:
        """A row a policy: goodput and gain over the best fixed ratio, with intervals over seeds."""
        return self.parts[0].tables()["ratios"]

    @property
    def plan(self) -> dict[str, Any] | None:
        """The ratio of each window: what `plan.json` holds."""
        from .bench.provision import plan_of

        return plan_of(self.content)

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
        synthetic = ("synthetic load",) if self.content["synthetic"] else ()
        marks = (f"simulated by {self.content['simulated']}", *synthetic)
        claim = self.claim
        lines = [f"{claim.verdict}: {claim.claim} ({claim.where}) {claim.value} {claim.why}"]
        within = [replace(part, marks=marks) for part in self.parts]
        title = f"Prefill:decode ratio, {self.content['load']['name']}"
        return Exhibit(title, marks, lines, {"ratios": self.ratios}, within)

    def report(self, out: str | Path | None = None, *, images: bool = True, command: str = "") -> Path:
        """Write the page, beside `disaggregate.json` or into `out`; its path."""
        from .reports.disaggregation_page import write_disaggregation_page

        where = self.folder if out is None else Path(out)
        if where is None:
            raise BurstlensError("the search was not kept in a folder: say where the page goes")
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
    seeds: int = 3,
    seed: int = 0,
    workers: int = 1,
    progress: Progress = silent,
    **choice: Any,
) -> Disaggregated:
    """See `burstlens.disaggregate`; `choice` is that of `load.workload`."""
    from .bench.goodput import Serving
    from .bench.provision import Asked, provision
    from .bench.simulated.disaggregation import Transfer
    from .bench.simulated.presets import load_preset
    from .evaluations import seeds_of

    if (source is None) != turnover:
        raise BurstlensError("name a trace or a parameters.json, or ask for --turnover: one of them")
    for name, value in (("--beam", beam), ("--window", window_s), ("--tolerance", tolerance)):
        if not value > 0:
            raise BurstlensError(f"{name}: {value:g} is not above 0")
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
    planned = None
    if plan_from is not None:
        if Path(plan_from).suffix != ".json":
            raise BurstlensError(f"--plan-from {plan_from}: is no parameters.json; burstlens fit makes one")
        ahead = {name: value for name, value in choice.items() if name != "first"}
        planned = _workload(plan_from, ahead, seed + OTHER_SEED, progress)
        if not turnover and choice.get("start_s") is None and choice.get("end_s") is None:
            # The real load is what came while the provisioned one was expected.
            begin = float(planned.recipe["start_s"])
            choice = {**choice, "start_s": begin, "end_s": begin + float(planned.recipe["duration_s"])}
    elif source is None or Path(source).suffix == ".json":
        # Another draw of the same law: a forecast that errs by nothing but chance.
        planned = _workload(source, choice, seed + OTHER_SEED, progress)
    made = [_workload(source, choice, one, progress) for one in numbered]
    loads = tuple(_load(one, preset) for one in made)
    provisioned = None if planned is None else _load(planned, preset)
    about = {
        "source": source or "turnover",
        "plan_from": plan_from,
        "recipe": dict(made[0].recipe),
        "plan_recipe": None if planned is None else dict(planned.recipe),
    }
    asked = Asked(loads, provisioned, serving, window_s, beam, tolerance, tuple(numbered))
    return Disaggregated(provision(asked, about, out, workers=workers, progress=progress), out)


def _workload(source: str | None, choice: dict[str, Any], seed: int, progress: Progress) -> Workload:
    if source is None:
        from .bench.turnover import REQUESTS, turnover

        return turnover(choice.get("first") or REQUESTS, seed)
    from .load import workload

    return workload(source, seed=seed, progress=progress, **choice)


def _load(made: Workload, preset: Preset) -> Load:
    """With the length of the clock that the workload was drawn on, where it was."""
    from .bench.goodput import Load

    recipe = made.recipe
    span = recipe.get("duration_s")
    if span is None and recipe.get("start_s") is not None and recipe.get("end_s") is not None:
        span = recipe["end_s"] - recipe["start_s"]
    if recipe.get("first") is not None:
        span = None
    return Load.of(made, preset, span)


def read(folder: Path) -> Disaggregated:
    """What an earlier search left in its folder."""
    from .bench.provision import read as read_content

    return Disaggregated(read_content(folder), folder)
