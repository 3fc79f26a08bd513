"""Which ratio of prefill to decode instances, and when another: every fixed one, one switch, a sequence.

A sequence is found by beam search over windows of the load's clock. A state is a whole cluster, with its
queues, caches and instances that are about to change; each is carried through the next window at every
ratio. Of what comes out the best of each ratio is kept, then the best of the rest, up to the beam's width;
better is fewer requests lost (late already, ended or not), then fewer changes, then fewer that are under
way. So a change that costs now and pays later is not dropped for its cost. Sequences that are known already,
such as the best single switch, are carried along, so that the search departs from them and never ends below
them. Not here: rates (`goodput`), how the searches are put together (`provision`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Sequence

from ..analysis.errors import BurstlensError
from .goodput import SHARE, Load, Serving, Turns
from .simulated.disaggregation import Cluster

Grown = tuple[tuple[int, int, int], int, tuple[int, ...], Cluster]
"""A state after a window: its rank, changes so far, ratio of every window, and the cluster."""


def fixed(prefill: int) -> Turns:
    """One ratio all the time."""
    return ((0.0, prefill),)


def switch(before: int, at_s: float, after: int) -> Turns:
    """One ratio up to an instant, another from there on."""
    return ((0.0, before), (at_s, after))


def windows(load: Load, length_s: float) -> list[float]:
    """Begins of the windows of that length on the load's clock; BurstlensError for fewer than two."""
    if length_s >= load.span_s:
        raise BurstlensError(
            f"--window: {length_s:,.0f} s is as long as the load, which lasts {load.span_s:,.0f} s; "
            f"choose at most {load.span_s / 2:,.0f} s"
        )
    return [i * length_s for i in range(math.ceil(load.span_s / length_s - 1e-9))]


def switches(
    load: Load, serving: Serving, rate_rps: float, before: int, moments_s: Sequence[float]
) -> list[tuple[int, float, int]]:
    """Requests lost, moment and ratio of every switch from `before` at one of the moments, best first.

    What is lost is counted up to the best so far: a switch that is worse is given up, and left out.
    """
    rig, factor = serving.rig(load, rate_rps), rate_rps / load.rate_rps
    stem = Cluster(rig, before, serving.total - before)
    found: list[tuple[int, float, int]] = []
    least = load.requests
    looks = [load.span_s * i / 20 for i in range(1, 21)]
    for moment in moments_s:
        stem.advance(moment / factor)
        if stem.lost() > least:
            break
        for after in serving.ratios:
            if after == before:
                continue
            branch = stem.copy()
            branch.turn(after)
            for look in looks:
                if look > moment:
                    branch.advance(look / factor)
                    if branch.lost() > least:
                        break
            else:
                branch.advance(math.inf)
                found.append((branch.bad, moment, after))
                least = min(least, branch.bad)
    return sorted(found)


def beam(
    load: Load,
    serving: Serving,
    rate_rps: float,
    begins_s: Sequence[float],
    width: int,
    tell: Callable[[float], None] = lambda _share: None,
    known: Sequence[Turns] = (),
) -> tuple[int, Turns]:
    """Requests lost, and the sequence of ratios over windows that begin at `begins_s`, by beam search.

    `known` sequences, whose turns are begins of windows, are kept whatever their rank: none of them loses
    fewer requests than what is returned. `tell` is told the share of the windows that are done.
    """
    carried = [path_of(turns, begins_s) for turns in known]
    rig, factor = serving.rig(load, rate_rps), rate_rps / load.rate_rps
    allowed = (1 - SHARE) * load.requests
    ahead_s = foresight(load, serving, (begins_s[1] - begins_s[0]) / factor)
    beams: list[tuple[int, tuple[int, ...], Cluster]] = [
        (0, (p,), Cluster(rig, p, serving.total - p)) for p in serving.ratios
    ]
    for number, _ in enumerate(begins_s):
        until = begins_s[number + 1] / factor if number + 1 < len(begins_s) else math.inf
        grown: list[Grown] = []
        for changes, path, state in beams:
            for prefill in serving.ratios if number else path:
                cluster = state.copy()
                changed = prefill != path[-1]
                if changed:
                    cluster.turn(prefill)
                cluster.advance(until)
                ahead = cluster
                # Who has lost more than a rate may lose is not worth a look.
                if until < math.inf and cluster.lost() <= allowed:
                    ahead = cluster.copy()
                    ahead.advance(until + ahead_s)
                rank = (ahead.lost(), changes + changed, ahead.backlog())
                grown.append((rank, changes + changed, (*path, prefill) if number else path, cluster))
        grown.sort(key=lambda one: one[0])
        along = {path[: number + 1] for path in carried}
        beams = [(changes, path, state) for _, changes, path, state in _kept(grown, width, along)]
        tell((number + 1) / len(begins_s))
    _, path, best = beams[0]
    return best.bad, told(path, begins_s)


def foresight(load: Load, serving: Serving, window_s: float) -> float:
    """How far a state is looked at beyond its window, in the servers' time: until a change has paid its cost.

    That is the launch, after a drain as long as the longest tenth of answers take at the bound; at most
    three windows.
    """
    answer = sorted(load.response_tokens)[int(0.9 * (len(load.response_tokens) - 1))]
    return min(serving.launch_s + answer * serving.tpot_s, 3 * window_s)


def _kept(grown: list[Grown], width: int, along: Container[tuple[int, ...]]) -> list[Grown]:
    """The best of each ratio, then the best of the rest, and beside the width those `along`; in order."""
    first: set[int] = set()
    firsts: list[int] = []
    others: list[int] = []
    for i, one in enumerate(grown):
        ratio = one[2][-1]
        (others if ratio in first else firsts).append(i)
        first.add(ratio)
    held = {*(firsts + others)[:width], *(i for i, one in enumerate(grown) if one[2] in along)}
    return [grown[i] for i in sorted(held)]


def path_of(turns: Turns, begins_s: Sequence[float]) -> tuple[int, ...]:
    """The ratio in each window of turns at begins of windows: the reverse of `told`."""
    return tuple([p for at, p in turns if at <= begin + 1e-9][-1] for begin in begins_s)


def told(path: Sequence[int], begins_s: Sequence[float]) -> Turns:
    """A ratio a window as turns: windows that change nothing are left out."""
    return tuple(
        (begin, prefill)
        for i, (begin, prefill) in enumerate(zip(begins_s, path, strict=True))
        if i == 0 or prefill != path[i - 1]
    )
