"""How many instances prefill and how many decode: the searches of `ratios` put together, and what they gave.

The result is plain JSON (`disaggregate.json`), extended as each step ends, so that what was found before
Ctrl-C stays. Steps: goodput of every fixed ratio on every seed's load; the best single switch, searched on
the first seed's load; the sequence that beam search finds for each real load, and the one found for the
provisioned (forecast) load, both judged on the real ones. A switch comes between windows, so that it is a
sequence too; beam search departs from the best fixed ratio and the best switch of the load it plans on, and
where it finds no higher goodput, the better of these is the plan. A forecast is a law, and what was found for
one draw of it may suit the chances of that draw: so the provisioned plan is the one of these three that does
best on further draws. What a plan for the real load itself gains is the policy's; what the provisioned plan
has less is the forecast's error. Not here: sentences (`result`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ...analysis.core.atomic_write import write_json
from ...analysis.core.errors import InputError
from ...analysis.core.result import Progress, silent
from ..processes.parallel import Tell, each
from ..record.versioned_json import read_versioned_json
from .goodput import SHARE, TOLERANCE, ScalableLoad, Serving, Turns, course, goodput, guess
from .policies import beam, fixed, path_of, switch, switches, windows

RESULT, PLAN = "disaggregate.json", "plan.json"
VERSION = 1
COARSE, FINE = 9, 13
"""Moments at which every switch is tried, and around the best of them the best pair again."""
PAIRS = 3
ABOVE_FIXED = 1.15
"""Switches are searched at so many times the best fixed ratio's goodput: where they must do better."""
ABOVE_KNOWN = (1.05, 1.02)
"""Sequences at so many times the best that is known, and nearer to it where none keeps the bounds there: who
loses the fewest requests far above the goodput is not who does at it."""


@dataclass(frozen=True)
class SearchSpec:
    """The loads and how they are searched."""

    loads: tuple[ScalableLoad, ...]
    """The real load, one a seed."""
    provisioned: ScalableLoad | None
    """What was forecast; None where there is no forecast, only the real load."""
    serving: Serving
    window_s: float = 600.0
    width: int = 10
    tolerance: float = TOLERANCE
    seeds: tuple[int, ...] = (0,)
    further: tuple[ScalableLoad, ...] = ()
    """More draws of what was forecast, on which what is planned from it is compared."""

    @property
    def searched(self) -> tuple[ScalableLoad, ...]:
        """The real ones, then the provisioned one."""
        return self.loads if self.provisioned is None else (*self.loads, self.provisioned)

    @property
    def all_loads(self) -> tuple[ScalableLoad, ...]:
        """Those that are searched, then the further draws."""
        return (*self.searched, *self.further)


@dataclass(frozen=True)
class _Judged:
    """A piece of work: the goodput of turns on a load."""

    runs: ClassVar[int] = 8
    """About so many runs of a whole load."""
    load: int
    turns: Turns
    guess_rps: float

    def do(self, spec: SearchSpec, _tell: Tell) -> float:
        return goodput(spec.all_loads[self.load], spec.serving, self.turns, self.guess_rps, spec.tolerance)


@dataclass(frozen=True)
class _Switched:
    """A piece of work: the best switch from one ratio."""

    runs: ClassVar[int] = 30
    load: int
    before: int
    rate_rps: float
    moments_s: tuple[float, ...]

    def do(self, spec: SearchSpec, _tell: Tell) -> tuple[int, Turns] | None:
        load = spec.all_loads[self.load]
        found = switches(load, spec.serving, self.rate_rps, self.before, self.moments_s)
        return (found[0][0], switch(self.before, found[0][1], found[0][2])) if found else None


Known = tuple[float, Turns]
"""Turns, behind the goodput that they have on the load at hand."""


@dataclass(frozen=True)
class _Searched:
    """A piece of work: the sequence for a load, and its goodput there."""

    runs: ClassVar[int] = 100
    load: int
    known: tuple[Known, ...]
    """The best fixed ratio and the best switch: what is kept where beam search finds no better."""

    def do(self, spec: SearchSpec, tell: Tell) -> tuple[Turns, float]:
        load, serving = spec.all_loads[self.load], spec.serving
        best_rps, best = max(self.known, key=lambda one: one[0])
        begins, held = windows(load.span_s, spec.window_s), [turns for _, turns in self.known]
        for attempt, above in enumerate(ABOVE_KNOWN):
            rate = best_rps * above
            show = partial(_part, tell, attempt, len(ABOVE_KNOWN))
            found = beam(load, serving, rate, begins, spec.width, show, held, load.allowed)
            gained = goodput(load, serving, found[1], rate, spec.tolerance) if found else 0.0
            if found and gained > best_rps:
                return found[1], gained
        return best, best_rps


def _part(tell: Tell, done: int, of: int, share: float) -> None:
    """Of several attempts, each as long as the other, some are done."""
    tell((done + share) / of)


def _do(spec: SearchSpec, piece: _Judged | _Switched | _Searched, tell: Tell) -> Any:
    return piece.do(spec, tell)


def search_ratios(
    spec: SearchSpec,
    about: dict[str, Any],
    out: Path | None = None,
    *,
    workers: int = 1,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Run every step; the content of `disaggregate.json`, written into folder `out` as it grows.

    `about` are further plain values to keep. BurstlensError where no ratio meets the bounds, or `out` cannot
    be written.
    """
    serving = spec.serving
    for each_load in spec.all_loads:
        serving.check(each_load)
        windows(each_load.span_s, spec.window_s)
    content: dict[str, Any] = {
        "version": VERSION,
        **about,
        "simulated": serving.preset.name,
        "synthetic": any(one.synthetic for one in spec.all_loads),
        "load": _told(spec.loads[0]),
        "provisioned_load": None if spec.provisioned is None else _told(spec.provisioned),
        "serving": serving.as_dict(),
        "window_s": spec.window_s,
        "beam": spec.width,
        "tolerance": spec.tolerance,
        "seeds": list(spec.seeds),
        "finished": False,
        "fixed": [],
        "switch": None,
        "sequences": {},
        "course": None,
    }
    save = partial(_save, content, out)
    run = partial(_run, spec, workers=workers)
    try:
        _fixed(spec, content, run, progress)
        save()
        best, _ = best_fixed(content)
        for i, each_load in enumerate(spec.searched):
            if not _best_fixed_on(spec, content, i)[0] > 0:
                raise InputError(
                    f"{each_load.name}: no fixed ratio of {serving.total} instances keeps the bounds at any "
                    "rate: too many requests come at one instant; choose a larger --slo-ttft or --total"
                )
        content["switch"] = _switch(spec, content, run, progress)
        save()
        _sequences(spec, content, run, progress, save)
        _course(spec, content, best)
        content["finished"] = True
    finally:
        save()
    return content


TOO_FEW = 200_000
"""Requests served that take less time than to start processes for them."""
Run = Callable[..., list[Any]]


def _run(
    spec: SearchSpec,
    pieces: Sequence[Any],
    progress: Progress,
    step: str,
    *,
    workers: int,
    keep: Callable[[list[Any]], None] = lambda _results: None,
) -> list[Any]:
    """Results in order; `keep` is given those that there are, None for the others, whenever one ends."""
    results: list[Any] = [None] * len(pieces)
    progress(step, 0.0)
    if sum(piece.runs for piece in pieces) * spec.loads[0].requests < TOO_FEW:
        workers = 1
    for i, result in each(_do, spec, pieces, workers, partial(progress, step)):
        results[i] = result
        keep(results)
    return results


def _fixed(spec: SearchSpec, content: dict[str, Any], run: Run, progress: Progress) -> None:
    """Goodput of every fixed ratio, on every real load and on the provisioned one."""
    serving, n = spec.serving, len(spec.searched)
    pieces = [
        _Judged(i, fixed(p), guess(one, serving))
        for p in serving.ratios
        for i, one in enumerate(spec.searched)
    ]
    found = run(pieces, progress, "fixed ratios")
    for row, p in enumerate(serving.ratios):
        of = found[row * n : (row + 1) * n]
        content["fixed"].append(
            {
                "prefill": p,
                "decode": serving.total - p,
                "ratio": serving.said(p),
                "goodput_rps": of[: len(spec.loads)],
                "provisioned_rps": of[-1] if spec.provisioned is not None else None,
            }
        )


def best_fixed(content: dict[str, Any]) -> tuple[int, float]:
    """Prefill instances of the fixed ratio with the highest mean goodput, and that goodput."""
    row = max(content["fixed"], key=lambda one: float(np.mean(one["goodput_rps"])))
    return row["prefill"], float(np.mean(row["goodput_rps"]))


def _switch(spec: SearchSpec, content: dict[str, Any], run: Run, progress: Progress) -> dict[str, Any] | None:
    """The best switch on the first load, judged on all real ones; None where none can be told."""
    serving = spec.serving
    curve = _switches(spec, content, run, progress, 0)
    if not curve:
        return None
    best_rps, turns = max(curve, key=lambda one: one[0])
    pieces = [_Judged(i, turns, best_rps) for i in range(1, len(spec.loads))]
    others = run(pieces, progress, "switch, judged")
    return {
        "before": serving.said(turns[0][1]),
        "after": serving.said(turns[1][1]),
        "at_s": turns[1][0],
        "turns": _plan(turns, serving),
        "moments": [{"at_s": held[1][0], "goodput_rps": rate} for rate, held in curve],
        "goodput_rps": [best_rps, *others],
    }


def _switches(
    spec: SearchSpec, content: dict[str, Any], run: Run, progress: Progress, number: int
) -> list[Known]:
    """The best pair of ratios on a load by the moment of its switch: all pairs at coarse moments, which are
    begins of windows, then the best pairs, then the best of them at fine ones.
    """
    load, serving = spec.all_loads[number], spec.serving
    real = number < len(spec.loads)
    begins = windows(load.span_s, spec.window_s)[1:]
    reach = load.span_s / (COARSE + 1)
    coarse = _nearest(begins, [reach * (i + 1) for i in range(COARSE)])
    rate = _best_fixed_on(spec, content, number)[0] * ABOVE_FIXED
    step = "" if real else ", provisioned load"
    pieces = [_Switched(number, p, rate, coarse) for p in serving.ratios]
    found = run(pieces, progress, f"switches{step}")
    ranked = sorted(one for one in found if one is not None)[:PAIRS]
    if not ranked:
        return []
    judged = run([_Judged(number, turns, rate) for _, turns in ranked], progress, f"best switches{step}")
    (_, before), (middle, after) = ranked[int(np.argmax(judged))][1]
    fine = _nearest(begins, [middle + reach * (i / (FINE // 2) - 1) for i in range(FINE)])
    tried = [switch(before, at_s, after) for at_s in sorted({*coarse, *fine})]
    curve = run([_Judged(number, turns, rate) for turns in tried], progress, f"moments of the switch{step}")
    return list(zip(curve, tried, strict=True))


def _nearest(begins_s: Sequence[float], wanted_s: Sequence[float]) -> tuple[float, ...]:
    """Begins of windows that are nearest to these instants, each once."""
    return tuple(sorted({min(begins_s, key=lambda begin: abs(begin - at)) for at in wanted_s}))


def _best_fixed_on(spec: SearchSpec, content: dict[str, Any], number: int) -> Known:
    """The best fixed ratio on one of the loads."""
    real = number < len(spec.loads)
    held = [
        (row["goodput_rps"][number] if real else row["provisioned_rps"], fixed(row["prefill"]))
        for row in content["fixed"]
    ]
    return max(held, key=lambda one: one[0])


def _sequences(
    spec: SearchSpec, content: dict[str, Any], run: Run, progress: Progress, save: Callable[[], None]
) -> None:
    """A sequence for each load, kept as it is found, and the provisioned one judged on the real loads."""
    serving, real = spec.serving, len(spec.loads)
    pieces = []
    for i in range(len(spec.searched)):
        known = [_best_fixed_on(spec, content, i)]
        if i == real:
            # Nothing of the real load may be known to who plans from the provisioned one.
            known += sorted(_switches(spec, content, run, progress, i))[-1:]
        elif content["switch"]:
            known.append((content["switch"]["goodput_rps"][i], _turns(content["switch"]["turns"])))
        pieces.append(_Searched(i, tuple(known)))

    def keep(found: list[Any]) -> None:
        known = list(takewhile(lambda one: one is not None, found[:real]))
        if known:
            content["sequences"]["real"] = {
                "plans": [_plan(turns, serving) for turns, _ in known],
                "goodput_rps": [rate for _, rate in known],
            }
            save()

    found = run(pieces, progress, "sequences by beam search", keep=keep)
    if spec.provisioned is None:
        return
    turns, rate, drawn_rps = _chosen(spec, found[-1], pieces[-1].known, run, progress)
    judged = run([_Judged(i, turns, rate) for i in range(real)], progress, "the provisioned plan, judged")
    content["sequences"]["provisioned"] = {
        "plans": [_plan(turns, serving)],
        "goodput_rps": judged,
        "expected_rps": rate,
        "searched": _plan(found[-1][0], serving),
        "further_rps": drawn_rps,
    }


def _chosen(
    spec: SearchSpec, found: tuple[Turns, float], known: Sequence[Known], run: Run, progress: Progress
) -> tuple[Turns, float, list[float]]:
    """Of what was found for the provisioned load and what was known there, what does best on further draws.

    Its turns, its goodput on the load that was searched, and that on each further draw; of equals what was
    known, which is the simpler.
    """
    plans = {turns: rate for rate, turns in known} | dict([found])
    first, n = len(spec.searched), len(spec.further)
    pieces = [_Judged(first + i, turns, rate) for turns, rate in plans.items() for i in range(n)]
    rates = run(pieces, progress, "plans on further draws") if len(plans) > 1 and n else []
    drawn = {turns: rates[i * n : (i + 1) * n] for i, turns in enumerate(plans)} if rates else {}
    best = max(drawn, key=lambda turns: float(np.mean(drawn[turns]))) if drawn else found[0]
    return best, plans[best], drawn.get(best, [])


def _course(spec: SearchSpec, content: dict[str, Any], best: int) -> None:
    """Window by window on the first load, at the goodput of its own sequence: ratios, and who was good."""
    load, serving = spec.loads[0], spec.serving
    rate = content["sequences"]["real"]["goodput_rps"][0]
    held = {"fixed": fixed(best)}
    for name, found in content["sequences"].items():
        held[name] = _turns(found["plans"][0])
    begins = windows(load.span_s, spec.window_s)
    of = np.searchsorted(begins, load.at_s, side="right") - 1
    sent = np.bincount(of, minlength=len(begins))
    rows: list[dict[str, Any]] = [
        {"start_s": begin, "requests": int(n)} for begin, n in zip(begins, sent, strict=True)
    ]
    for name, turns in held.items():
        good = np.bincount(of, course(load, serving, turns, rate), minlength=len(begins))
        for i, (row, prefill) in enumerate(zip(rows, path_of(turns, begins), strict=True)):
            row[f"{name}_share"] = float(good[i] / sent[i]) if sent[i] else None
            row[f"{name}_prefill"] = prefill
    content["course"] = {"rate_rps": rate, "best_fixed": serving.said(best), "windows": rows}


def _plan(turns: Turns, serving: Serving) -> list[dict[str, Any]]:
    """Turns as plain values, a row each."""
    return [
        {"at_s": at, "ratio": serving.said(p), "prefill": p, "decode": serving.total - p} for at, p in turns
    ]


def _turns(plan: Sequence[Mapping[str, Any]]) -> Turns:
    """The reverse of `_plan`."""
    return tuple((row["at_s"], row["prefill"]) for row in plan)


def _told(load: ScalableLoad) -> dict[str, Any]:
    return {
        "name": load.name,
        "synthetic": load.synthetic,
        "requests": load.requests,
        "refused": load.refused,
        "span_s": load.span_s,
        "rate_rps": load.rate_rps,
    }


def plan_of(content: dict[str, Any]) -> dict[str, Any] | None:
    """The plan to use, a row a window: from the provisioned load where there is one, else the real one."""
    for name in ("provisioned", "real"):
        found = content["sequences"].get(name)
        if found:
            plan = found["plans"][0]
            by_prefill = {row["prefill"]: row for row in plan}
            begins = windows(content["load"]["span_s"], content["window_s"])
            path = path_of(_turns(plan), begins)
            return {
                "planned_from": name,
                "simulated": content["simulated"],
                "synthetic": content["synthetic"],
                "share": SHARE,
                "goodput_rps": found["goodput_rps"][0],
                "windows": [{**by_prefill[p], "at_s": at} for at, p in zip(begins, path, strict=True)],
            }
    return None


def _save(content: dict[str, Any], out: Path | None) -> None:
    """Write what there is, each file whole or not at all; no plan of an earlier search stays beside it."""
    if out is None:
        return
    write_json(content, out / RESULT)
    if (plan := plan_of(content)) is not None:
        write_json(plan, out / PLAN)
    else:
        (out / PLAN).unlink(missing_ok=True)


def read(folder: Path) -> dict[str, Any]:
    """What a folder holds; BurstlensError where it holds none of it."""
    return read_versioned_json(
        folder / RESULT,
        VERSION,
        dict,
        absent=f"{folder}: holds no {RESULT}",
        wrong="is no result of burstlens disaggregate",
    )
