"""What a search of prefill:decode ratios found: tables, sentences, and the paper's claim with its verdict.

Made from the content of `disaggregate.json`, finished or not. Gains are against the fixed ratio that is best
on average over the seeds, paired by seed. Not here: the search (`search`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import polars as pl

from ...analysis.core.claims import Claim
from ...analysis.core.result import Interval, Part, number
from ...analysis.core.units import clock, counted, day_clock, time_span
from ..experiments.contrast import ONE_SEED, mean

CLAIM = "Switching the prefill:decode ratio with the load raises goodput above any fixed ratio."
ONE_LOAD = (
    "The load is one: its stamps leave nothing to a seed. So numbers have no intervals, and what is higher "
    "is higher on this load."
)
WITHIN_SECONDS = (
    "Seeds move the trace's requests inside the steps of its stamps, no more: intervals tell that, and not "
    "how another day differs."
)
NAMES = {
    "fixed": "best fixed ratio",
    "provisioned": "sequence from the provisioned load",
    "real": "sequence from the real load",
}


def cut_said(content: dict[str, Any]) -> str:
    """Which part of a load was searched, where it is not all of it; empty where it is."""
    cut = content.get("cut")
    if not cut:
        return ""
    chosen = "the provisioned load" if content.get("plan_from") else "the load"
    span, begin = time_span(cut["end_s"] - cut["start_s"]), day_clock(cut["start_s"])
    of = f"{cut['of']:,}"
    if cut["first"]:
        return f"Searched on the first {cut['first']:,} of {of} requests of {chosen} from {begin} on."
    return (
        f"Searched on {span} of {chosen} from {begin}, {cut['requests']:,} of {of} requests: the busiest "
        f"{span} that hold at most {cut['most']:,}."
    )


@dataclass(frozen=True)
class Policy:
    """One way of dividing the instances, and its goodput on each seed's load."""

    name: str
    kind: str
    """`fixed`, `switch`, `provisioned` or `real`."""
    goodput_rps: tuple[float, ...]
    tolerance: float
    """Each goodput may be so much higher, relative: it was found by bisection that ends there."""
    one_load: bool = False
    """Whether there is no other load for a seed to draw, so that a difference is none of chance."""

    @property
    def mean(self) -> Interval:
        """Over seeds."""
        return mean(np.array(self.goodput_rps))

    def gain(self, other: Policy) -> Interval:
        """Difference to another, paired by seed, over the seeds that both have."""
        n = min(len(self.goodput_rps), len(other.goodput_rps))
        return mean(np.array(self.goodput_rps[:n]) - np.array(other.goodput_rps[:n]))

    def near(self, other: Policy) -> bool:
        """Whether their means differ by less than bisection leaves open."""
        return abs(self.gain(other).value) <= self.tolerance * max(self.mean.value, other.mean.value)

    def higher(self, other: Policy) -> bool | None:
        """Whether its goodput is higher than another's; None where the difference is within noise or `near`.

        Two that are the same on every seed are known to be.
        """
        gain = self.gain(other)
        if self.one_load:
            gain = Interval(gain.value, gain.value, gain.value)
        if gain.low == gain.high == 0:
            return False
        if not (gain.low > 0 or gain.high < 0) or self.near(other):
            return None
        return gain.low > 0


def policies(content: dict[str, Any]) -> list[Policy]:
    """Every fixed ratio, then what was searched."""
    found = [(row["ratio"], "fixed", row) for row in content["fixed"]]
    if content["switch"]:
        found.append((switched(content), "switch", content["switch"]))
    sequences = content["sequences"]
    found += [(NAMES[kind], kind, sequences[kind]) for kind in ("provisioned", "real") if kind in sequences]
    tolerance = content["tolerance"]
    alone = one_load(content)
    return [Policy(name, kind, tuple(row["goodput_rps"]), tolerance, alone) for name, kind, row in found]


def one_load(content: Mapping[str, Any]) -> bool:
    """Whether the load is the same by every seed: a trace of fine stamps."""
    return content.get("recipe", {}).get("spread") is False


def first_load(content: Mapping[str, Any]) -> str:
    """How the load is called that is shown where a figure has but one."""
    return "The load" if one_load(content) else "The first seed’s load"


def seeds_said(content: Mapping[str, Any]) -> str:
    """`3 seeds`, or that there is nothing to be drawn."""
    return "one load" if one_load(content) else counted(len(content["seeds"]), "seed")


def switched(content: dict[str, Any]) -> str:
    """The best switch in words: `2:6 to 6:2 at 6:00`."""
    found = content["switch"]
    return f"{found['before']} to {found['after']} at {clock(found['at_s'])}"


def best_of(found: list[Policy]) -> Policy:
    """The fixed ratio with the highest mean goodput."""
    return max((one for one in found if one.kind == "fixed"), key=lambda one: one.mean.value)


@dataclass(frozen=True)
class Ratios(Part):
    """Goodput of every fixed ratio and of one switch (Fig. 19)."""

    name: ClassVar[str] = "ratios"
    content: dict[str, Any]
    found: tuple[Policy, ...]

    def tables(self) -> dict[str, pl.DataFrame]:
        """A row a policy; a row a moment of the best switch."""
        rows: list[dict[str, Any]] = []
        best = best_of(list(self.found)) if self.found else None
        for one in self.found:
            gain = one.gain(best) if best is not None else None
            row: dict[str, Any] = {"policy": one.name, "kind": one.kind, "seeds": len(one.goodput_rps)}
            for name, told in (("goodput_rps", one.mean), ("gain_rps", gain)):
                ends = (math.nan,) * 3 if told is None else (told.value, told.low, told.high)
                row |= {
                    f"{name}{end}": value if math.isfinite(value) else None
                    for end, value in zip(("", "_low", "_high"), ends, strict=True)
                }
            rows.append(row)
        schema = {f"{n}{e}": pl.Float64 for n in ("goodput_rps", "gain_rps") for e in ("", "_low", "_high")}
        moments = self.content["switch"]["moments"] if self.content["switch"] else []
        return {
            "ratios": pl.DataFrame(rows, schema_overrides=schema, infer_schema_length=None),
            "moments": pl.DataFrame(moments, schema={"at_s": pl.Float64, "goodput_rps": pl.Float64}),
        }

    def sentences(self) -> list[str]:
        """Best and worst fixed ratio, and what one switch gains."""
        if not self.found:
            return []
        held = [one for one in self.found if one.kind == "fixed"]
        cut = cut_said(self.content)
        best, worst = best_of(held), min(held, key=lambda one: one.mean.value)
        said = [cut] if cut else []
        said += [
            f"Of the fixed ratios {best.name} has the highest goodput, {shown(best.mean)} requests/s; "
            f"{worst.name} has the lowest, {shown(worst.mean)}."
        ]
        for one in self.found:
            if one.kind == "switch":
                said.append(
                    f"The best single switch found, {one.name}, has {shown(one.mean)} requests/s: "
                    f"{gained(one, best)}."
                )
        return said


@dataclass(frozen=True)
class Sequence(Part):
    """Ratios over time and what they bring (Fig. 20)."""

    name: ClassVar[str] = "sequence"
    content: dict[str, Any]
    found: tuple[Policy, ...]

    def tables(self) -> dict[str, pl.DataFrame]:
        """A row a window of the first seed's load; the turns of each plan."""
        course = self.content["course"]
        turns = [
            {"planned_from": kind, "seed": seed, **row}
            for kind, one in self.content["sequences"].items()
            for seed, plan in zip(self.content["seeds"], one["plans"], strict=False)
            for row in plan
        ]
        windows = pl.DataFrame(course["windows"], infer_schema_length=None) if course else pl.DataFrame()
        return {"windows": windows, "turns": pl.DataFrame(turns, infer_schema_length=None)}

    def sentences(self) -> list[str]:
        """Policy gain and forecast error, apart."""
        kinds = {one.kind: one for one in self.found}
        if "real" not in kinds:
            return []
        best, real = best_of(list(self.found)), kinds["real"]
        plan = self.content["sequences"]["real"]["plans"][0]
        times = "once" if len(plan) == 2 else f"{len(plan) - 1} times"
        of = "On it" if one_load(self.content) else "On the first seed"
        said = [
            f"Policy: a sequence found by beam search for the real load itself has {shown(real.mean)} "
            f"requests/s, {gained(real, best)}. {of} it changes {times}."
        ]
        if "provisioned" in kinds:
            planned = kinds["provisioned"]
            loss = planned.gain(real)
            said += _chosen(self.content["sequences"]["provisioned"])
            said.append(
                f"Forecast: the sequence from the provisioned load has {shown(planned.mean)} requests/s on "
                f"the real one, {gained(planned, best)}; beside the sequence for the real load that is "
                f"{number(loss.value)}{_ends(loss)} requests/s, which is what the forecast's error costs."
            )
        return said


@dataclass(frozen=True)
class Disaggregation(Part):
    """Both of them, as the page of a trace shows them."""

    name: ClassVar[str] = "disaggregation"
    content: dict[str, Any]
    ratios: Ratios
    sequence: Sequence

    @classmethod
    def of(cls, content: dict[str, Any]) -> Disaggregation:
        """From the content of `disaggregate.json`."""
        ratios, sequence = parts(content)
        return cls((*ratios.missing, *sequence.missing), content, ratios, sequence)

    def tables(self) -> dict[str, pl.DataFrame]:
        """Those of both."""
        return {**self.ratios.tables(), **self.sequence.tables()}

    def sentences(self) -> list[str]:
        """Those of both."""
        return [*self.ratios.sentences(), *self.sequence.sentences()]


def shown(value: Interval) -> str:
    """`28.1 [27.5, 28.7]`; the interval is over seeds, and one seed has none."""
    return number(value.value) + _ends(value)


def _ends(value: Interval) -> str:
    return f" [{number(value.low)}, {number(value.high)}]" if math.isfinite(value.low) else ""


def gained(one: Policy, best: Policy) -> str:
    """`18 % more than the best fixed ratio, 4:4 (difference 4.4 [3.9, 4.9])`."""
    gain = one.gain(best)
    share = gain.value / best.mean.value if best.mean.value else 0.0
    word = "more" if gain.value >= 0 else "less"
    open_by = f", below the search's tolerance of {number(100 * one.tolerance)} %" if one.near(best) else ""
    return (
        f"{number(abs(100 * share), 2)} % {word} than the best fixed ratio, {best.name} "
        f"(difference {number(gain.value)}{_ends(gain)}{open_by if gain.value else ''})"
    )


def _chosen(planned: dict[str, Any]) -> list[str]:
    """What came of the sequence found for one draw of the provisioned load on others; nothing without any."""
    if not planned.get("further_rps"):
        return []
    searched, plan = planned["searched"], planned["plans"][0]
    draws = len(planned["further_rps"])
    if searched == plan:
        return [
            f"The sequence found for the provisioned load is the best on {draws} further draws of it, too."
        ]
    turns = "no change of ratio" if len(plan) == 1 else "one change of ratio"
    return [
        f"Beam search found {len(searched) - 1} changes for one draw of the provisioned load, which on "
        f"{draws} further draws do worse than {turns}: that is the plan."
    ]


def parts(content: dict[str, Any]) -> tuple[Ratios, Sequence]:
    """What can be told of what there is."""
    found = tuple(policies(content))
    missing = []
    if one_load(content):
        missing.append(ONE_LOAD)
    elif len(content["seeds"]) < 2:
        missing.append(ONE_SEED)
    elif content.get("recipe", {}).get("spread"):
        missing.append(WITHIN_SECONDS)
    lacks = []
    if content["provisioned_load"] is None:
        lacks.append(
            "No forecast was given (--plan-from), so the plan is made from the real load itself: what it "
            "gains is the policy's alone."
        )
    if content["course"] is None:
        lacks.append("The search was stopped before all sequences were found.")
    return Ratios(tuple(missing), content, found), Sequence(tuple(lacks), content, found)


def claim(content: dict[str, Any]) -> Claim:
    """The paper's section 6 against these numbers."""
    found = policies(content)
    kinds = {one.kind: one for one in found}
    statements: dict[str, bool | None] = {}
    value = []
    wanted = {
        "switch": "one switch has a higher goodput than the best fixed ratio",
        "provisioned": "a sequence planned on the provisioned load does too",
        "real": "a sequence planned on the real load does too",
    }
    # Who has no forecast has nothing to say of plans from one; who has one is not told of hindsight.
    del wanted["real" if content["provisioned_load"] is not None else "provisioned"]
    for kind, words in wanted.items():
        statements[words] = None
        if kind in kinds:
            best = best_of(found)
            statements[words] = kinds[kind].higher(best)
            value.append(
                f"{kinds[kind].name} {shown(kinds[kind].mean)} requests/s, {gained(kinds[kind], best)}"
            )
    return Claim.of_statements(
        "pd", "§6, Fig. 19–20", CLAIM, statements, "; ".join(value), "sequence", "policies"
    )
