"""Conversations drawn from fitted laws: which requests of a load are turns of one session, and when.

Sessions are not a second arrival process. Turns and the time between them are drawn from their fitted laws,
sessions begin where arrivals are and unfold, and the k-th request so placed gets the k-th arrival. Arrivals
and turns keep their laws exactly; an interval is moved by about √((1 + 1/shape)·rate·interval) arrivals, next
to nothing where many requests lie between two turns. What would run over the end of the load is the rest of
a session from before its beginning, so a load starts in full swing, and sessions near its ends are cut as
those of a record are. Not here: arrivals and lengths (`from_parameters`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from ...analysis.core.arrays import Array, Integers, Mask
from ...analysis.core.errors import InputError
from ...analysis.core.option_names import option
from ...analysis.stats.draw import PARAMETERS, FittedLaw
from .recipe import Recipe
from .table import Workload

Rows = Sequence[Mapping[str, Any]]

TURN_LAWS = ("geometric", "power law", "negative binomial")
"""Laws of the number of turns of a session."""
INTERVAL_LAWS = ("log-normal", "weibull")
"""Laws of the time between two requests of a session."""


@dataclass(frozen=True)
class SessionLaws:
    """How many turns sessions have, and how long it is from one request of a session to the next."""

    turns: FittedLaw
    interval: FittedLaw

    @classmethod
    def of(cls, conversations: Mapping[str, Rows], source: str) -> SessionLaws:
        """Choose the best laws by AIC from a parameter file.

        Parameters
        ----------
        conversations
            The `conversations` of a selection of the file.
        source
            Name of the file and selection in errors.

        Raises
        ------
        InputError
            If turns or intervals do not have a best law that can be drawn from.
        """
        return cls(
            _best(conversations.get("turn_models", ()), TURN_LAWS, f"{source}: conversations.turn_models"),
            _best(
                conversations.get("interval_models", ()),
                INTERVAL_LAWS,
                f"{source}: conversations.interval_models",
            ),
        )


def with_conversations(
    load: Workload, laws: SessionLaws, *, think: bool = False, context: int | None = None, seed: int = 0
) -> Workload:
    """Make conversations of a load: with `session`, `turn`, and prompts that grow.

    Logs count the conversation so far among a request's tokens. Therefore the pairs of lengths drawn for a
    session are sorted by their requests: its prompts grow, and the joint law stays.

    Parameters
    ----------
    load
        Requests without sessions.
    laws
        How many turns sessions have, and the time from one request of a session to the next.
    think
        Send a turn after the previous answer instead of at its instant. The time is drawn from the law of
        intervals, which includes the time of an answer, because most logs have only requests.
    context
        If given, a drawn request is a new message, and the conversation so far is put before it, as far as
        request and response fit into this many tokens.
    seed
        Seed of everything that is drawn.

    Raises
    ------
    InputError
        If `context` is below 2.
    """
    if context is not None and context < 2:
        raise InputError(f"{option('context')}: {context} tokens are too few for a request and a response")
    rng = np.random.default_rng(np.random.SeedSequence(seed).spawn(3)[2])
    frame = load.requests
    session, turn, gap_s = _placed(frame["at_s"].to_numpy(), laws, rng)
    lengths = np.array(frame.select("request_tokens", "response_tokens").to_numpy())
    # Row by row of each session in the order of its turns.
    by_turn = np.lexsort((turn, session))
    if context is None:
        lengths[by_turn] = lengths[np.lexsort((lengths[:, 0], session))]
    else:
        lengths[by_turn, 0] = _with_history(lengths[by_turn], turn[by_turn] == 0, context)
    columns = {
        "session": session,
        "turn": turn,
        "request_tokens": lengths[:, 0],
        "response_tokens": lengths[:, 1],
    }
    found = frame.with_columns(**{name: pl.Series(values) for name, values in columns.items()})
    if think:
        found = found.with_columns(think_s=pl.Series(np.where(turn > 0, gap_s, np.nan)).fill_nan(None))
    recipe: Recipe = {
        **load.recipe,
        "sessions": "think" if think else "stamps",
        "turns": {"law": laws.turns.name, **laws.turns.parameters},
        "intervals": {"law": laws.interval.name, **laws.interval.parameters},
        "context": context,
    }
    return replace(load, requests=found, recipe=recipe)


def _placed(at_s: Array, laws: SessionLaws, rng: np.random.Generator) -> tuple[Integers, Integers, Array]:
    """Session, turn and drawn time since the session's previous request of each arrival, shapes (n,).

    Sessions are numbered in the order of their first requests; the time of a turn 0 has no meaning.
    """
    n = len(at_s)
    sizes = _sizes(n, laws.turns, rng)
    owner = np.repeat(np.arange(len(sizes)), sizes)
    first = np.cumsum(sizes) - sizes
    gap_s = laws.interval.draw(n, rng)
    gap_s[first] = 0.0
    span_s = float(at_s[-1]) if n else 0.0
    # What lies far beyond the end begins a session of its own anyhow; sums stay exact.
    since = np.cumsum(np.minimum(gap_s, 100 * span_s))
    begins = at_s[rng.integers(0, max(n, 1), len(sizes))]
    placed = begins[owner] + since - since[first][owner]
    rounds = np.floor(placed / span_s).astype(np.int64) if span_s > 0 else np.zeros(n, dtype=np.int64)
    order = np.argsort(placed - rounds * span_s, kind="stable")
    key = (owner * (int(rounds.max(initial=0)) + 1) + rounds)[order]
    _, seen, number = np.unique(key, return_index=True, return_inverse=True)
    session = np.argsort(np.argsort(seen))[number]
    by_session = np.argsort(session, kind="stable")
    counts = np.bincount(session)
    turn = np.empty(n, dtype=np.int64)
    turn[by_session] = np.arange(n) - np.repeat(np.cumsum(counts) - counts, counts)
    return session, turn, gap_s[order]


def _sizes(n: int, law: FittedLaw, rng: np.random.Generator) -> Integers:
    """Draw turns of sessions that have `n` requests in all; the last one is cut to fit."""
    sizes_drawn: list[Integers] = []
    left = n
    while left > 0:
        # A power law's longest sessions are longer than any number of requests.
        sizes = np.clip(law.draw(max(left // 4, 64), rng), 1, left).astype(np.int64)
        total = np.cumsum(sizes)
        n_sizes = min(int(np.searchsorted(total, left)) + 1, len(sizes))
        sizes = sizes[:n_sizes]
        sizes[-1] -= max(int(total[n_sizes - 1]) - left, 0)
        left -= int(sizes.sum())
        sizes_drawn.append(sizes)
    return np.concatenate(sizes_drawn) if sizes_drawn else np.empty(0, dtype=np.int64)


def _with_history(lengths: Integers, new: Mask, context: int) -> Integers:
    """Request tokens with the conversation so far, rows in the order of sessions and turns.

    `new` marks the first row of each session.
    """
    tokens_before = np.cumsum(lengths.sum(axis=1)) - lengths.sum(axis=1)
    start = np.maximum.accumulate(np.where(new, np.arange(len(new)), 0))
    history = tokens_before - tokens_before[start]
    return np.asarray(np.maximum(np.minimum(lengths[:, 0] + history, context - lengths[:, 1]), 1))


def _best(rows: Rows, laws: Sequence[str], place: str) -> FittedLaw:
    """Find the law that is marked best; raises InputError, with its place, if it cannot be drawn from."""
    best = [row for row in rows if row.get("best")]
    if not best:
        raise InputError(f"{place} has no fitted law; choose a selection of a service whose log has sessions")
    name, values = str(best[0]["family"]), {row["parameter"]: row["value"] for row in best}
    if name not in laws:
        raise InputError(f"{place}: {name!r} is not one of {', '.join(laws)}")
    missing = [each for each in PARAMETERS[name] if not isinstance(values.get(each), int | float)]
    if missing:
        raise InputError(f"{place}: {name} lacks {', '.join(missing)}")
    return FittedLaw(name, {each: float(values[each]) for each in PARAMETERS[name]})
