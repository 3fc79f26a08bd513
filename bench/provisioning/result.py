"""What a search of prefill:decode ratios found: tables, sentences, and the paper's claim with its verdict.

Made from the content of `disaggregate.json`, finished or not. Gains are against the fixed ratio that is best
on average over the seeds, paired by seed. Not here: the search (`search`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import msgspec
import numpy as np
import polars as pl

from ...analysis.core.claims import Claim
from ...analysis.core.result import Interval, Part, number
from ...analysis.core.units import clock, counted, day_clock, time_span
from ..metrics.seeds import ONE_SEED, mean_over_seeds
from .state import Planner, SearchState, SequenceFound

CLAIM = "Switching the prefill:decode ratio with the load raises goodput above any fixed ratio."
ONE_LOAD = (
    "There is one load: its timestamps are exact, so seeds change nothing. Numbers have no intervals, and "
    "what is higher is higher on this load."
)
WITHIN_SECONDS = (
    "Seeds only move the trace's requests within the resolution of its timestamps. Intervals show that, and "
    "not how another day differs."
)
NAMES = {
    "fixed": "best fixed ratio",
    "provisioned": "sequence from the provisioned load",
    "real": "sequence from the real load",
}


def cut_sentence(state: SearchState) -> str:
    """Say which part of a load was searched; empty if all of it was."""
    cut = state.cut
    if not cut:
        return ""
    chosen = "the provisioned load" if state.plan_from else "the load"
    span, begin = time_span(cut.end_s - cut.start_s), day_clock(cut.start_s)
    of = f"{cut.of:,}"
    if cut.first:
        return f"Searched on the first {cut.first:,} of {of} requests of {chosen} from {begin} on."
    return (
        f"Searched on {span} of {chosen} from {begin}, {cut.requests:,} of {of} requests: the busiest "
        f"{span} with at most {cut.limit:,}."
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
    """Whether seeds change nothing, so that no difference is due to chance."""

    @property
    def mean(self) -> Interval:
        """Over seeds."""
        return mean_over_seeds(np.array(self.goodput_rps))

    def gain(self, other: Policy) -> Interval:
        """Difference to another, paired by seed, over the seeds that both have."""
        n = min(len(self.goodput_rps), len(other.goodput_rps))
        return mean_over_seeds(np.array(self.goodput_rps[:n]) - np.array(other.goodput_rps[:n]))

    def near(self, other: Policy) -> bool:
        """Check whether their means differ by less than bisection leaves open."""
        return abs(self.gain(other).value) <= self.tolerance * max(self.mean.value, other.mean.value)

    def higher(self, other: Policy) -> bool | None:
        """Check whether its goodput is higher; None if the difference is within noise or `near`.

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


def policies(state: SearchState) -> list[Policy]:
    """List every fixed ratio, then what was searched."""
    rates = [(row.ratio, "fixed", row.goodput_rps) for row in state.fixed]
    if state.switch is not None:
        rates.append((switch_name(state), "switch", state.switch.goodput_rps))
    planners: tuple[Planner, ...] = ("provisioned", "real")
    rates += [
        (NAMES[planner], planner, state.sequences[planner].goodput_rps)
        for planner in planners
        if planner in state.sequences
    ]
    alone = one_load(state)
    return [Policy(name, kind, tuple(each), state.tolerance, alone) for name, kind, each in rates]


def one_load(state: SearchState) -> bool:
    """Check whether the load is the same for every seed: a trace with exact timestamps."""
    return state.recipe.get("spread") is False


def first_load(state: SearchState) -> str:
    """Name the load in a figure that shows one."""
    return "The load" if one_load(state) else "The first seed’s load"


def seeds_text(state: SearchState) -> str:
    """`3 seeds`, or `one load`."""
    return "one load" if one_load(state) else counted(len(state.seeds), "seed")


def switch_name(state: SearchState) -> str:
    """Name the best switch: `2:6 to 6:2 at 6:00`; empty before there is one."""
    found = state.switch
    return "" if found is None else f"{found.before} to {found.after} at {clock(found.at_s)}"


def best_of(found: list[Policy]) -> Policy:
    """Find the fixed ratio with the highest mean goodput."""
    return max((one for one in found if one.kind == "fixed"), key=lambda one: one.mean.value)


@dataclass(frozen=True)
class Ratios(Part):
    """Goodput of every fixed ratio and of one switch (Fig. 19)."""

    name: ClassVar[str] = "ratios"
    title: ClassVar[str] = "Fixed ratios and one switch"
    lead: ClassVar[str] = "Goodput of separate prefill and decode instances."
    state: SearchState
    found: tuple[Policy, ...]

    def tables(self) -> dict[str, pl.DataFrame]:
        """Give a row a policy; a row a moment of the best switch."""
        rows: list[dict[str, Any]] = []
        best = best_of(list(self.found)) if self.found else None
        for one in self.found:
            gain = one.gain(best) if best is not None else None
            row: dict[str, Any] = {"policy": one.name, "kind": one.kind, "seeds": len(one.goodput_rps)}
            for name, interval in (("goodput_rps", one.mean), ("gain_rps", gain)):
                ends = (math.nan,) * 3 if interval is None else (interval.value, interval.low, interval.high)
                row |= {
                    f"{name}{end}": value if math.isfinite(value) else None
                    for end, value in zip(("", "_low", "_high"), ends, strict=True)
                }
            rows.append(row)
        schema = {f"{n}{e}": pl.Float64 for n in ("goodput_rps", "gain_rps") for e in ("", "_low", "_high")}
        moments = (
            [msgspec.structs.asdict(each) for each in self.state.switch.moments] if self.state.switch else []
        )
        return {
            "ratios": pl.DataFrame(rows, schema_overrides=schema, infer_schema_length=None),
            "moments": pl.DataFrame(moments, schema={"at_s": pl.Float64, "goodput_rps": pl.Float64}),
        }

    def sentences(self) -> list[str]:
        """Best and worst fixed ratio, and what one switch gains."""
        if not self.found:
            return []
        ratios = [one for one in self.found if one.kind == "fixed"]
        cut = cut_sentence(self.state)
        best, worst = best_of(ratios), min(ratios, key=lambda one: one.mean.value)
        sentences = [cut] if cut else []
        sentences += [
            f"Of the fixed ratios {best.name} has the highest goodput, {shown(best.mean)} requests/s; "
            f"{worst.name} has the lowest, {shown(worst.mean)}."
        ]
        for one in self.found:
            if one.kind == "switch":
                sentences.append(
                    f"The best single switch found, {one.name}, has {shown(one.mean)} requests/s: "
                    f"{gained(one, best)}."
                )
        return sentences


@dataclass(frozen=True)
class Sequence(Part):
    """Ratios over time and what they bring (Fig. 20)."""

    name: ClassVar[str] = "sequence"
    title: ClassVar[str] = "Ratios over time"
    lead: ClassVar[str] = "A sequence of ratios from the load that was expected, and from the real one."
    state: SearchState
    found: tuple[Policy, ...]

    def tables(self) -> dict[str, pl.DataFrame]:
        """Give a row a window of the first seed's load; the turns of each plan."""
        course = self.state.course
        turns = [
            {"planned_from": planner, "seed": seed, **msgspec.structs.asdict(row)}
            for planner, found in self.state.sequences.items()
            for seed, plan in zip(self.state.seeds, found.plans, strict=False)
            for row in plan
        ]
        windows = (
            pl.DataFrame(msgspec.to_builtins(course.windows), infer_schema_length=None)
            if course
            else pl.DataFrame()
        )
        return {"windows": windows, "turns": pl.DataFrame(turns, infer_schema_length=None)}

    def sentences(self) -> list[str]:
        """Policy gain, then forecast error."""
        kinds = {one.kind: one for one in self.found}
        if "real" not in kinds:
            return []
        best, real = best_of(list(self.found)), kinds["real"]
        plan = self.state.sequences["real"].plans[0]
        times = "once" if len(plan) == 2 else f"{len(plan) - 1} times"
        of = "On it" if one_load(self.state) else "On the first seed"
        sentences = [
            f"Policy: a sequence found by beam search for the real load itself has {shown(real.mean)} "
            f"requests/s, {gained(real, best)}. {of} it changes {times}."
        ]
        if "provisioned" in kinds:
            planned = kinds["provisioned"]
            loss = planned.gain(real)
            sentences += _chosen_sentences(self.state.sequences["provisioned"])
            sentences.append(
                f"Forecast: the sequence from the provisioned load has {shown(planned.mean)} requests/s on "
                f"the real one, {gained(planned, best)}. The forecast's error costs the difference to the "
                f"sequence for the real load: {number(loss.value)}{_ends(loss)} requests/s."
            )
        return sentences


@dataclass(frozen=True)
class Disaggregation(Part):
    """Both of them, as the page of a trace shows them."""

    name: ClassVar[str] = "disaggregation"
    title: ClassVar[str] = "Prefill and decode apart"
    lead: ClassVar[str] = (
        "Simulated: how to divide instances between prefill and decode for a part of this load."
    )
    state: SearchState
    ratios: Ratios
    sequence: Sequence

    @classmethod
    def of(cls, state: SearchState) -> Disaggregation:
        """Make both parts from the content of `disaggregate.json`."""
        ratios, sequence = parts(state)
        return cls((*ratios.missing, *sequence.missing), state, ratios, sequence)

    def tables(self) -> dict[str, pl.DataFrame]:
        """Those of both."""
        return {**self.ratios.tables(), **self.sequence.tables()}

    def sentences(self) -> list[str]:
        """Those of both."""
        return [*self.ratios.sentences(), *self.sequence.sentences()]


def shown(value: Interval) -> str:
    """`28.1 [27.5, 28.7]`; the interval is over seeds; a single seed does not have one."""
    return number(value.value) + _ends(value)


def _ends(value: Interval) -> str:
    return f" [{number(value.low)}, {number(value.high)}]" if math.isfinite(value.low) else ""


def gained(one: Policy, best: Policy) -> str:
    """Write the gain of a policy: `18 % more than the best fixed ratio, 4:4 (difference 4.4 [3.9, 4.9])`.

    Parameters
    ----------
    one
        The policy.
    best
        The best fixed ratio.
    """
    gain = one.gain(best)
    share = gain.value / best.mean.value if best.mean.value else 0.0
    word = "more" if gain.value >= 0 else "less"
    open_by = f", below the search's tolerance of {number(100 * one.tolerance)} %" if one.near(best) else ""
    return (
        f"{number(abs(100 * share), 2)} % {word} than the best fixed ratio, {best.name} "
        f"(difference {number(gain.value)}{_ends(gain)}{open_by if gain.value else ''})"
    )


def _chosen_sentences(planned: SequenceFound) -> list[str]:
    """How the sequence found for one draw of the provisioned load does on others; empty without any."""
    if not planned.further_rps or not planned.searched:
        return []
    searched, plan = planned.searched, planned.plans[0]
    draws = len(planned.further_rps)
    if searched == plan:
        return [
            f"The sequence found for the provisioned load is the best on {draws} further draws of it, too."
        ]
    turns = "no change of ratio" if len(plan) == 1 else "one change of ratio"
    return [
        f"Beam search found {len(searched) - 1} changes for one draw of the provisioned load, which on "
        f"{draws} further draws do worse than {turns}: that is the plan."
    ]


def parts(state: SearchState) -> tuple[Ratios, Sequence]:
    """Make both parts from what the search has found so far."""
    found = tuple(policies(state))
    missing = []
    if one_load(state):
        missing.append(ONE_LOAD)
    elif len(state.seeds) < 2:
        missing.append(ONE_SEED)
    elif state.recipe.get("spread"):
        missing.append(WITHIN_SECONDS)
    lacks = []
    if state.provisioned_load is None:
        lacks.append(
            "There is no forecast (`plan_from`), so the plan is made from the real load itself: its gain is "
            "the policy's alone."
        )
    if state.course is None:
        lacks.append("The search was stopped before all sequences were found.")
    return Ratios(tuple(missing), state, found), Sequence(tuple(lacks), state, found)


def claim(state: SearchState) -> Claim:
    """Judge the paper's section 6 by these numbers."""
    found = policies(state)
    kinds = {one.kind: one for one in found}
    statements: dict[str, bool | None] = {}
    value = []
    statements_of = {
        "switch": "one switch has a higher goodput than the best fixed ratio",
        "provisioned": "a sequence planned on the provisioned load does too",
        "real": "a sequence planned on the real load does too",
    }
    # Without a forecast only the plan for the real load can be checked; with one, that plan is hindsight.
    del statements_of["real" if state.provisioned_load is not None else "provisioned"]
    for kind, words in statements_of.items():
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
