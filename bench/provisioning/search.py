"""How many instances prefill and how many decode: the steps of the search, in order.

1. Goodput of every fixed ratio on every seed's load.
2. The best single switch, searched on the first seed's load. A switch comes between windows, so it is a
   sequence too.
3. A sequence for each real load by beam search, which departs from the best fixed ratio and the best switch;
   if it does not find a higher goodput, the better of these is the plan.
4. A sequence for the provisioned (forecast) load, judged on the real ones. A forecast is a law, and what was
   found for one draw of it may suit the chances of that draw: the plan is the one of sequence, switch and
   fixed ratio that does best on further draws.

What a plan for the real load itself gains is the policy's; what the provisioned plan has less is the
forecast's error. The state is written as each step ends, so what was found before Ctrl-C stays. Not here:
single pieces of work (`tasks`), the file (`state`), sentences (`result`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np

from ...analysis.core.atomic_write import make_folder
from ...analysis.core.errors import InputError
from ...analysis.core.option_names import option
from ...analysis.core.result import Progress, silent
from ..processes.parallel import each
from .goodput import SHARE, ScalableLoad, Serving, Turns, course, guess
from .policies import fixed, path_of, switch, windows
from .state import (
    Course,
    CourseWindow,
    FixedRatio,
    LoadSummary,
    Origin,
    RatioFrom,
    SearchState,
    SequenceFound,
    SwitchFound,
    SwitchMoment,
    WindowPlan,
    write_state,
)
from .tasks import GoodputTask, RatedTurns, SearchSpec, SequenceTask, SwitchTask, Task, do_task

COARSE, FINE = 9, 13
"""Moments at which every switch is tried, and around the best of them the best pair again."""
PAIRS = 3
ABOVE_FIXED = 1.15
"""Switches are searched at this multiple of the best fixed ratio's goodput, at which they must do better."""
TOO_FEW = 200_000
"""Serving fewer requests takes less time than starting processes for it."""


def search_ratios(
    spec: SearchSpec,
    origin: Origin,
    out: Path | None = None,
    *,
    workers: int = 1,
    progress: Progress = silent,
) -> SearchState:
    """Run every step.

    Parameters
    ----------
    spec
        The loads and how they are searched.
    origin
        Where the loads come from; it is part of the result.
    out
        Folder into which the state and its plan are written as they grow.
    workers
        Processes.
    progress
        Called with the step and the share of it that is done.

    Raises
    ------
    InputError
        No ratio meets the bounds.
    DiskError
        `out` cannot be written.
    """
    for load in spec.all_loads:
        spec.serving.check(load)
        windows(load.span_s, spec.window_s)
    if out is not None:
        make_folder(out)
    search = _Search(spec, _begin(spec, origin), out, workers, progress)
    try:
        search.run()
        search.state.finished = True
    finally:
        search.save()
    return search.state


def _begin(spec: SearchSpec, origin: Origin) -> SearchState:
    """The state before the first step."""
    return SearchState(
        source=origin.source,
        plan_from=origin.plan_from,
        cut=origin.cut,
        recipe=origin.recipe,
        plan_recipe=origin.plan_recipe,
        simulated=spec.serving.preset.name,
        synthetic=any(load.synthetic for load in spec.all_loads),
        load=_summary(spec.loads[0]),
        provisioned_load=None if spec.provisioned is None else _summary(spec.provisioned),
        serving=spec.serving.record(),
        window_s=spec.window_s,
        beam=spec.width,
        tolerance=spec.tolerance,
        seeds=list(spec.seeds),
    )


def _summary(load: ScalableLoad) -> LoadSummary:
    return LoadSummary(load.name, load.synthetic, load.requests, load.refused, load.span_s, load.rate_rps)


@dataclass
class _Search:
    """A search under way."""

    spec: SearchSpec
    state: SearchState
    out: Path | None
    workers: int
    progress: Progress

    def run(self) -> None:
        """Every step, each saved as it ends."""
        spec, state = self.spec, self.state
        self._fixed_ratios()
        self.save()
        for number, load in enumerate(spec.searched):
            if not self._best_fixed_on(number)[0] > 0:
                raise InputError(
                    f"{load.name}: no fixed ratio of {spec.serving.total} instances meets the bounds at any "
                    f"rate: too many requests arrive at one instant; choose a larger "
                    f"{option('slo_ttft_s')} or {option('total')}"
                )
        state.switch = self._switch()
        self.save()
        self._sequences()
        self._course()

    def save(self) -> None:
        """Write what there is, if there is a folder for it."""
        if self.out is not None:
            write_state(self.state, plan_of(self.state), self.out)

    def _do(
        self, tasks: Sequence[Task], step: str, save: Callable[[list[Any]], None] = lambda _results: None
    ) -> list[Any]:
        """Results in order; `save` gets them, None for those that are missing, whenever one ends."""
        results: list[Any] = [None] * len(tasks)
        self.progress(step, 0.0)
        enough = sum(task.runs for task in tasks) * self.spec.loads[0].requests >= TOO_FEW
        workers = self.workers if enough else 1
        for i, result in each(do_task, self.spec, tasks, workers, partial(self.progress, step)):
            results[i] = result
            save(results)
        return results

    def _fixed_ratios(self) -> None:
        """Goodput of every fixed ratio, on every real load and on the provisioned one."""
        spec, serving, n = self.spec, self.spec.serving, len(self.spec.searched)
        tasks = [
            GoodputTask(i, fixed(p), guess(load, serving))
            for p in serving.ratios
            for i, load in enumerate(spec.searched)
        ]
        rates = self._do(tasks, "fixed ratios")
        for row, p in enumerate(serving.ratios):
            of = rates[row * n : (row + 1) * n]
            provisioned = of[-1] if spec.provisioned is not None else None
            self.state.fixed.append(
                FixedRatio(p, serving.total - p, serving.ratio_name(p), of[: len(spec.loads)], provisioned)
            )

    def _best_fixed_on(self, number: int) -> RatedTurns:
        """The best fixed ratio on one of the loads."""
        real = number < len(self.spec.loads)
        rated = [
            ((row.goodput_rps[number] if real else row.provisioned_rps) or 0.0, fixed(row.prefill))
            for row in self.state.fixed
        ]
        return max(rated, key=lambda each: each[0])

    def _switch(self) -> SwitchFound | None:
        """The best switch on the first load, judged on all real ones; None if there is no switch."""
        serving = self.spec.serving
        curve = self._switches(0)
        if not curve:
            return None
        best_rps, turns = max(curve, key=lambda rated: rated[0])
        tasks = [GoodputTask(i, turns, best_rps) for i in range(1, len(self.spec.loads))]
        others = self._do(tasks, "switch, judged")
        return SwitchFound(
            before=serving.ratio_name(turns[0][1]),
            after=serving.ratio_name(turns[1][1]),
            at_s=turns[1][0],
            turns=_rows_of(turns, serving),
            moments=[SwitchMoment(moment[1][0], rate) for rate, moment in curve],
            goodput_rps=[best_rps, *others],
        )

    def _switches(self, number: int) -> list[RatedTurns]:
        """The best pair of ratios on a load by the moment of its switch.

        All pairs are tried at coarse moments, which are begins of windows, then the best pairs are judged,
        then the best of them is tried at fine moments.
        """
        spec, serving = self.spec, self.spec.serving
        load = spec.all_loads[number]
        begins = windows(load.span_s, spec.window_s)[1:]
        reach = load.span_s / (COARSE + 1)
        coarse = _nearest(begins, [reach * (i + 1) for i in range(COARSE)])
        rate = self._best_fixed_on(number)[0] * ABOVE_FIXED
        where = "" if number < len(spec.loads) else ", provisioned load"
        best_of_each = self._do(
            [SwitchTask(number, p, rate, coarse) for p in serving.ratios], f"switches{where}"
        )
        ranked = sorted(found for found in best_of_each if found is not None)[:PAIRS]
        if not ranked:
            return []
        rates = self._do([GoodputTask(number, turns, rate) for _, turns in ranked], f"best switches{where}")
        (_, before), (middle, after) = ranked[int(np.argmax(rates))][1]
        fine = _nearest(begins, [middle + reach * (i / (FINE // 2) - 1) for i in range(FINE)])
        tried = [switch(before, at_s, after) for at_s in sorted({*coarse, *fine})]
        curve = self._do(
            [GoodputTask(number, turns, rate) for turns in tried], f"moments of the switch{where}"
        )
        return list(zip(curve, tried, strict=True))

    def _sequences(self) -> None:
        """A sequence for each load, saved as it is found; the provisioned one is judged on the real loads."""
        spec, state, serving, real = self.spec, self.state, self.spec.serving, len(self.spec.loads)
        tasks = []
        for i in range(len(spec.searched)):
            known = [self._best_fixed_on(i)]
            if i == real:
                # Who plans from the provisioned load must know nothing of the real one.
                known += sorted(self._switches(i))[-1:]
            elif state.switch is not None:
                known.append((state.switch.goodput_rps[i], _turns_of(state.switch.turns)))
            tasks.append(SequenceTask(i, tuple(known)))

        def save(results: list[Any]) -> None:
            done = list(takewhile(lambda result: result is not None, results[:real]))
            if done:
                state.sequences["real"] = SequenceFound(
                    plans=[_rows_of(turns, serving) for turns, _ in done],
                    goodput_rps=[rate for _, rate in done],
                )
                self.save()

        results = self._do(tasks, "sequences by beam search", save)
        if spec.provisioned is None:
            return
        turns, rate, further_rps = self._chosen(results[-1], tasks[-1].known)
        rates = self._do([GoodputTask(i, turns, rate) for i in range(real)], "the provisioned plan, judged")
        state.sequences["provisioned"] = SequenceFound(
            plans=[_rows_of(turns, serving)],
            goodput_rps=rates,
            expected_rps=rate,
            searched=_rows_of(results[-1][0], serving),
            further_rps=further_rps,
        )

    def _chosen(
        self, found: tuple[Turns, float], known: Sequence[RatedTurns]
    ) -> tuple[Turns, float, list[float]]:
        """The plan for the provisioned load: of what was found and what was known, the best on further draws.

        Returns its turns, its goodput on the load that was searched, and that on each further draw. Among
        equals it is one that was known, which is the simpler.
        """
        plans = {turns: rate for rate, turns in known} | dict([found])
        first, n = len(self.spec.searched), len(self.spec.further)
        tasks = [GoodputTask(first + i, turns, rate) for turns, rate in plans.items() for i in range(n)]
        rates = self._do(tasks, "plans on further draws") if len(plans) > 1 and n else []
        drawn = {turns: rates[i * n : (i + 1) * n] for i, turns in enumerate(plans)} if rates else {}
        best = max(drawn, key=lambda turns: float(np.mean(drawn[turns]))) if drawn else found[0]
        return best, plans[best], drawn.get(best, [])

    def _course(self) -> None:
        """The first load window by window, at the goodput of its own sequence: ratios, and who was good."""
        spec, state, serving = self.spec, self.state, self.spec.serving
        load, best = spec.loads[0], best_fixed(state)[0]
        rate = state.sequences["real"].goodput_rps[0]
        plans = {"fixed": fixed(best)}
        plans |= {planner: _turns_of(found.plans[0]) for planner, found in state.sequences.items()}
        begins = windows(load.span_s, spec.window_s)
        of = np.searchsorted(begins, load.at_s, side="right") - 1
        sent = np.bincount(of, minlength=len(begins))
        rows: list[dict[str, Any]] = [
            {"start_s": begin, "requests": int(n)} for begin, n in zip(begins, sent, strict=True)
        ]
        for name, turns in plans.items():
            good = np.bincount(of, course(load, serving, turns, rate), minlength=len(begins))
            for i, (row, prefill) in enumerate(zip(rows, path_of(turns, begins), strict=True)):
                row[f"{name}_share"] = float(good[i] / sent[i]) if sent[i] else None
                row[f"{name}_prefill"] = prefill
        state.course = Course(rate, serving.ratio_name(best), [CourseWindow(**row) for row in rows])


def _nearest(begins_s: Sequence[float], targets_s: Sequence[float]) -> tuple[float, ...]:
    """Begins of windows that are nearest to these instants, each once."""
    return tuple(sorted({min(begins_s, key=lambda begin: abs(begin - at)) for at in targets_s}))


def best_fixed(state: SearchState) -> tuple[int, float]:
    """Prefill instances of the fixed ratio with the highest mean goodput, and that goodput."""
    row = max(state.fixed, key=lambda each: float(np.mean(each.goodput_rps)))
    return row.prefill, float(np.mean(row.goodput_rps))


def _rows_of(turns: Turns, serving: Serving) -> list[RatioFrom]:
    """Turns as rows of the file."""
    return [RatioFrom(at, serving.ratio_name(p), p, serving.total - p) for at, p in turns]


def _turns_of(rows: Sequence[RatioFrom]) -> Turns:
    """The reverse of `_rows_of`."""
    return tuple((row.at_s, row.prefill) for row in rows)


def plan_of(state: SearchState) -> WindowPlan | None:
    """Make the plan to use, a row a window: from the provisioned load if any, else from the real one.

    None before a sequence is found.
    """
    planner = next((name for name in ("provisioned", "real") if name in state.sequences), None)
    if planner is None:
        return None
    found = state.sequences[planner]
    by_prefill = {row.prefill: row for row in found.plans[0]}
    begins = windows(state.load.span_s, state.window_s)
    path = path_of(_turns_of(found.plans[0]), begins)
    rows = [by_prefill[p] for p in path]
    return WindowPlan(
        planned_from=planner,
        simulated=state.simulated,
        synthetic=state.synthetic,
        share=SHARE,
        goodput_rps=found.goodput_rps[0],
        windows=[
            RatioFrom(at, row.ratio, row.prefill, row.decode) for at, row in zip(begins, rows, strict=True)
        ],
    )
