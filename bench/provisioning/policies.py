"""Which ratio of prefill to decode instances, and when another: every fixed one, one switch, a sequence.

A sequence is found by beam search over windows of the load's clock. A state is a whole cluster, with its
queues, caches and instances that are about to change; each is carried through the next window at every
ratio. The best state of each ratio goes on, then the best of the rest, up to the beam's width;
better is fewer requests lost (late already, ended or not), then fewer changes, then fewer that are under
way. So a change that costs now and pays later is not dropped for its cost. Sequences that are known already,
such as the best single switch, are carried along, so that the search departs from them and never ends below
them. Not here: rates (`goodput`), how the searches are put together (`search`).
"""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Callable, Container, Iterator, Sequence

from ...analysis.core.errors import InputError
from ...analysis.core.option_names import option
from ...analysis.core.result import number
from ..simulated.disaggregation import Deployment
from .goodput import ScalableLoad, Serving, Turns

State = tuple[int, tuple[int, ...], Deployment]
"""Changes so far, ratio of every window, and the cluster."""
Rank = tuple[int, int, int]
"""Requests lost by a little beyond the window, changes so far, requests under way."""
Grown = tuple[Rank, int, tuple[int, ...], Deployment]
"""A state after a window, behind its rank."""
LOOKS = 4
"""So often it is asked on the way beyond a window whether a state is behind."""


def fixed(prefill: int) -> Turns:
    """Make the turns of one ratio all the time."""
    return ((0.0, prefill),)


def switch(before: int, at_s: float, after: int) -> Turns:
    """Make the turns of one switch.

    Parameters
    ----------
    before, after
        Prefill instances before and after it.
    at_s
        Its instant on the load's clock.
    """
    return ((0.0, before), (at_s, after))


def windows(span_s: float, length_s: float) -> list[float]:
    """Divide a load's clock into windows.

    Parameters
    ----------
    span_s
        Length of the clock in seconds.
    length_s
        Length of a window; the last one may be shorter.

    Returns
    -------
    list of float
        Start of each window.

    Raises
    ------
    InputError
        If there are fewer than two windows.
    """
    if length_s >= span_s:
        raise InputError(
            f"{option('window_s')}: {number(length_s)} s is as long as the load, which lasts "
            f"{number(span_s)} s; choose at most {number(span_s / 2)} s, or a longer load"
        )
    return [i * length_s for i in range(math.ceil(span_s / length_s - 1e-9))]


def switches(
    load: ScalableLoad, serving: Serving, rate_rps: float, before: int, moments_s: Sequence[float]
) -> list[tuple[int, float, int]]:
    """Try every switch from a ratio at some moments.

    Lost requests are counted up to the best so far: a switch that is worse is given up, and left out.

    Parameters
    ----------
    load
        The load.
    serving
        Instances and bounds.
    rate_rps
        Rate to which the load is scaled, in requests per second.
    before
        Prefill instances before the switch.
    moments_s
        Moments on the load's clock, in order.

    Returns
    -------
    list of (int, float, int)
        Requests lost, moment, and prefill instances from then on; best first.
    """
    rig, factor = serving.rig(load, rate_rps), rate_rps / load.rate_rps
    stem = Deployment(rig, before, serving.total - before)
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
    load: ScalableLoad,
    serving: Serving,
    rate_rps: float,
    begins_s: Sequence[float],
    width: int,
    tell: Callable[[float], None] = lambda _share: None,
    known: Sequence[Turns] = (),
    lost_limit: float = math.inf,
) -> tuple[int, Turns] | None:
    """Find a sequence of ratios over windows by beam search.

    Parameters
    ----------
    load
        The load.
    serving
        Instances and bounds.
    rate_rps
        Rate to which the load is scaled, in requests per second.
    begins_s
        Start of each window on the load's clock.
    width
        States that go on after each window.
    tell
        Called with the share of the windows that are done.
    known
        Sequences with turns at starts of windows; they go on whatever their rank, so the result loses at
        most as many requests as the best of them.
    lost_limit
        Give up as soon as every state has lost more requests than this.

    Returns
    -------
    tuple of (int, Turns) or None
        Requests lost, and the turns; None if it gave up.
    """
    carried = [path_of(turns, begins_s) for turns in known]
    rig, factor = serving.rig(load, rate_rps), rate_rps / load.rate_rps
    ahead_s = foresight(load, serving, (begins_s[1] - begins_s[0]) / factor)
    beams: list[State] = [(0, (p,), Deployment(rig, p, serving.total - p)) for p in serving.ratios]
    for place, begin in enumerate(begins_s):
        last = place + 1 == len(begins_s)
        from_s, until = begin / factor, math.inf if last else begins_s[place + 1] / factor
        along = {path[: place + 1] for path in carried}
        survivors = _BeamSelection(width, along)
        ratios = serving.ratios if place else None
        for changes, path, state in _in_turn(beams, ratios):
            grown = _grown(state, path[-1], from_s, until, ahead_s, changes, survivors.bar(path))
            if grown is not None:
                rank, cluster = grown
                survivors.add((rank, changes, path, cluster))
        beams = [(changes, path, state) for _, changes, path, state in survivors.ranked()]
        tell((place + 1) / len(begins_s))
        if min(state.lost() for _, _, state in beams) > lost_limit:
            return None
    _, path, best = beams[0]
    return best.bad, turns_of(path, begins_s)


def _in_turn(beams: Sequence[State], ratios: Sequence[int] | None) -> Iterator[State]:
    """Give every state with each ratio that its next window may have, first those that do not change.

    States that do not change mostly survive, so that the others soon prove worse. Without `ratios` the
    window is the first, and every state has its ratio already.
    """
    if ratios is None:
        yield from beams
        return
    yield from ((changes, (*path, path[-1]), state) for changes, path, state in beams)
    for changes, path, state in beams:
        yield from ((changes + 1, (*path, p), state) for p in ratios if p != path[-1])


def _grown(
    state: Deployment,
    prefill: int,
    from_s: float,
    until_s: float,
    ahead_s: float,
    changes: int,
    bar: Rank | None,
) -> tuple[Rank, Deployment] | None:
    """A state carried through a window at a ratio, and its rank; None once it is behind the bar.

    A lost request stays lost, and the number of changes is known before: so a state that is behind is given
    up on the way, which does not change what the search finds.
    """
    if bar is not None and (state.lost(), changes) > bar[:2]:
        return None
    cluster = state.copy()
    if prefill != cluster.ratio[0]:
        cluster.turn(prefill)
    looks = [until_s] if until_s == math.inf else [(from_s + until_s) / 2, until_s]
    for look in looks:
        cluster.advance(look)
        if bar is not None and (cluster.lost(), changes) > bar[:2]:
            return None
    ahead = cluster
    if until_s < math.inf:
        ahead = cluster.copy()
        for look in range(1, LOOKS + 1):
            ahead.advance(until_s + ahead_s * look / LOOKS)
            if bar is not None and (ahead.lost(), changes) > bar[:2]:
                return None
    return (ahead.lost(), changes, ahead.backlog()), cluster


class _BeamSelection:
    """The states that go on after a window: the best of each ratio, then the best of the rest, up to a
    width; in addition those `along` a known sequence.
    """

    def __init__(self, width: int, along: Container[tuple[int, ...]]) -> None:
        self.width, self.along = width, along
        self._firsts: dict[int, Grown] = {}
        self._others: list[Grown] = []
        self._along: list[Grown] = []

    def bar(self, path: tuple[int, ...]) -> Rank | None:
        """The rank behind which a state of that path does not go on; None while any does."""
        first = self._firsts.get(path[-1])
        if path in self.along or first is None:
            return None
        room = self.width - len(self._firsts)
        if room <= 0:
            return first[0]
        return max(first[0], self._others[room - 1][0]) if len(self._others) >= room else None

    def add(self, one: Grown) -> None:
        """One more."""
        if one[2] in self.along:
            self._along.append(one)
        ratio = one[2][-1]
        first = self._firsts.get(ratio)
        if first is None or one[0] < first[0]:
            self._firsts[ratio] = one
            one = first if first is not None else one
            if first is None:
                return
        insort(self._others, one, key=_rank)

    def ranked(self) -> list[Grown]:
        """The states that go on, the best first."""
        firsts = sorted(self._firsts.values(), key=_rank)
        best = (firsts + self._others)[: self.width]
        paths = {one[2] for one in best}
        return sorted([*best, *(one for one in self._along if one[2] not in paths)], key=_rank)


def _rank(one: Grown) -> Rank:
    return one[0]


def foresight(load: ScalableLoad, serving: Serving, window_s: float) -> float:
    """Compute how far beyond its window a state is simulated: until a change has paid its cost.

    That is the launch, after a drain as long as the longest tenth of answers take at the bound; at most
    three windows.

    Parameters
    ----------
    load
        The load.
    serving
        Instances and bounds.
    window_s
        Length of a window in the servers' time.

    Returns
    -------
    float
        Seconds of the servers' time.
    """
    answer = sorted(load.response_tokens)[int(0.9 * (len(load.response_tokens) - 1))]
    return min(serving.launch_s + answer * serving.tpot_s, 3 * window_s)


def path_of(turns: Turns, begins_s: Sequence[float]) -> tuple[int, ...]:
    """Compute the ratio in each window: the reverse of `turns_of`.

    Parameters
    ----------
    turns
        Turns at starts of windows.
    begins_s
        Start of each window.

    Returns
    -------
    tuple of int
        Prefill instances in each window.
    """
    return tuple([p for at, p in turns if at <= begin + 1e-9][-1] for begin in begins_s)


def turns_of(path: Sequence[int], begins_s: Sequence[float]) -> Turns:
    """Compute the turns of a path; windows that change nothing are left out.

    Parameters
    ----------
    path
        Prefill instances in each window.
    begins_s
        Start of each window.
    """
    return tuple(
        (begin, prefill)
        for i, (begin, prefill) in enumerate(zip(begins_s, path, strict=True))
        if i == 0 or prefill != path[i - 1]
    )
