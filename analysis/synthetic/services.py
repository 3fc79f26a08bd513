"""The requests of the two services of a synthetic BurstGPT, from `constants.json`.

`synthetic` explains what each service is made of, and why by quota, and puts them together. Not here:
the random sequences (see `quota_sampling`) and the arrivals inside windows (see `stats.renewal`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib import resources
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import interpolate, special

from ..core.arrays import Array, Integers, Mask
from ..core.units import DAY_H, DAY_S, HOUR_S
from ..stats.renewal import sample_arrivals
from .quota_sampling import Quantiles, autoregression, even_shares, places_in_volume

WINDOW_S = 1_200
WINDOWS_AN_HOUR = round(HOUR_S / WINDOW_S)
QUOTA_DAYS = 61
"""Length of file 1; the quotas reproduce its laws."""
MODELS = ("ChatGPT", "GPT-4")


@cache
def constants() -> dict[str, Any]:
    """The measured constants with their sources, as `constants.json` holds them."""
    text = resources.files(__package__).joinpath("constants.json").read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


@dataclass(frozen=True)
class SyntheticRequests:
    """The requests of one service in arrival order, every array of shape (n,)."""

    second: Integers
    gpt4: Mask
    session: Integers
    """Number of the session in order of first requests; −1 for none."""
    request_tokens: NDArray[np.int32]
    response_tokens: NDArray[np.int32]
    elapsed_s: Array
    failed: Mask


# Conversation: a daily and weekly profile, and sessions.


def conversation_requests(
    days: float, start: date, scale: float, rng: np.random.Generator
) -> SyntheticRequests:
    """Draw the conversation requests of a synthetic trace.

    Parameters
    ----------
    days : float
        Length of the trace.
    start : date
        Day 0; sets the weekdays.
    scale : float
        Factor of every request rate.
    rng : Generator

    Returns
    -------
    SyntheticRequests
    """
    facts = constants()["conversation"]
    expected = _conversation_windows(max(ceil(days), QUOTA_DAYS), start, rng) * scale
    failure_factor = _failure_factor(facts["failures"], expected, rng)
    second = _arrivals(expected, facts["shape"]["median"], facts["shape"]["sd_log"], days, rng)
    n = len(second)
    session, turn = _sessions(second, days * DAY_S, rng)

    share = facts["model"]["gpt4_share"]
    of_session = rng.random(int(session.max(initial=0)) + 1) < share
    redrawn = rng.random(n) < facts["model"]["redrawn_share"]
    gpt4 = np.where(redrawn, rng.random(n) < share, of_session[session])

    failed = _failed(facts["failures"]["rate"], gpt4, failure_factor[second // WINDOW_S], rng)
    request_tokens, response_tokens = _conversation_lengths(session, turn, gpt4, rng)
    elapsed = _elapsed("conversation", gpt4, response_tokens, failed, rng)
    # Within a session the next request comes after the answer.
    until_next = _gap_to_next(second, session)
    elapsed = np.where(until_next > 0, np.minimum(elapsed, until_next), elapsed)
    _blank_failed(failed, request_tokens, response_tokens, rng)
    return SyntheticRequests(second, gpt4, session, request_tokens, response_tokens, elapsed, failed)


def _conversation_windows(days: int, start: date, rng: np.random.Generator) -> Array:
    """Requests expected in each window of `days` whole days, shape (days × 72,)."""
    facts = constants()["conversation"]
    volume, variation, cluster = facts["volume"], facts["day_variation"], facts["clustering"]
    weekday = (start.weekday() + np.arange(days)) % 7
    level = autoregression(days, variation["correlation_next_day"], rng)
    for kind in (weekday < 5, weekday >= 5):
        level[kind] = special.ndtri(even_shares(level[kind]))
    sd = variation["sd_log"]
    per_day = volume["requests_per_day"] * np.asarray(volume["weekday_factor"])[weekday]
    per_day = per_day * np.exp(sd * level - sd**2 / 2)
    profiles = np.array([volume["hour_share_weekday"], volume["hour_share_weekend"]])
    per_hour = (per_day[:, None] * profiles[(weekday >= 5).astype(int)]).ravel()
    # Gamma distributed with variance = cluster × mean, first the hours, then the windows in them.
    per_hour = cluster["hour"] * rng.standard_gamma(per_hour / cluster["hour"])
    per_window = np.repeat(per_hour * WINDOW_S / HOUR_S, WINDOWS_AN_HOUR)
    return np.asarray(cluster["window"] * rng.standard_gamma(per_window / cluster["window"]))


def _sessions(second: Integers, span_s: float, rng: np.random.Generator) -> tuple[Integers, Integers]:
    """Session number and turn (from 0) of each arrival, shapes (n,).

    Sessions begin where arrivals are and unfold with their own gaps; what runs over the end of the trace
    is the rest of a session from before its beginning. The k-th request so placed gets the k-th arrival.
    """
    n = len(second)
    sizes = _session_sizes(n, rng)
    session = np.repeat(np.arange(len(sizes)), sizes)
    first = np.cumsum(sizes) - sizes
    turn = np.arange(n) - first[session]
    gaps = np.zeros(n)
    gaps[turn > 0] = _session_gaps(session[turn > 0], sizes, rng)
    since = np.cumsum(gaps)
    at = (
        second[rng.integers(0, max(n, 1), len(sizes))][session]
        + rng.random(n)
        + since
        - since[first][session]
    )
    rounds, at = np.divmod(at, span_s)
    order = np.argsort(at, kind="stable")
    session = (session * (int(rounds.max(initial=0)) + 1) + rounds.astype(np.int64))[order]
    _, seen, number = np.unique(session, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(seen))[number], turn[order]


def _session_sizes(n: int, rng: np.random.Generator) -> Integers:
    """Turns of sessions that hold `n` requests together; the last one is cut to fit."""
    facts = constants()["conversation"]["turns"]
    head = np.asarray(facts["share_of_1_to_4"])
    in_tail = 1 - head.sum()
    tail_mean = (facts["mean"] - head @ np.arange(1, 5)) / in_tail
    count = int(1.2 * n / facts["mean"]) + 100
    sizes = 1 + np.searchsorted(np.cumsum(head), rng.random(count), side="right")
    tail = sizes > len(head)
    sizes[tail] = len(head) + rng.geometric(1 / (tail_mean - len(head)), int(tail.sum()))
    total = np.cumsum(sizes)
    n_full = int(np.searchsorted(total, n)) + 1 if n else 0
    sizes = sizes[:n_full]
    if n_full:
        sizes[-1] -= total[n_full - 1] - n
    return sizes


def _session_gaps(session: Integers, sizes: Integers, rng: np.random.Generator) -> Array:
    """Seconds before each request of a session but its first, shape (n − sessions,), in measured quantiles.

    A session has its own pace and is the faster the more turns it has.
    """
    facts = constants()["conversation"]["gaps"]
    pace = facts["score_per_log_turns"] * np.log(np.maximum(sizes, 1))
    pace += np.sqrt(facts["share_between"]) * rng.standard_normal(len(sizes))
    score = pace[session] + np.sqrt(1 - facts["share_between"]) * rng.standard_normal(len(session))
    law = interpolate.PchipInterpolator(facts["probability"], np.log(facts["seconds"]))
    return np.asarray(np.exp(law(even_shares(score))))


def _gap_to_next(second: Integers, session: Integers) -> Array:
    """Seconds to the session's next request, shape (n,); 0 for its last one."""
    order = np.argsort(session, kind="stable")
    gap = np.zeros(len(second))
    follows = session[order][1:] == session[order][:-1]
    gap[order[:-1]] = np.where(follows, np.diff(second[order]), 0)
    return gap


def _conversation_lengths(
    session: Integers, turn: Integers, gpt4: Mask, rng: np.random.Generator
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Request and response tokens of conversation requests, shapes (n,).

    A request's score has the session's own level, grows with its turn (the history is sent along) and
    varies by request; the response's score follows its request's by the measured curve, which dips.
    Ranks of scores within a model give the measured marginals exactly.
    """
    facts = constants()["conversation"]["lengths"]
    n, sessions = len(session), int(session.max(initial=0)) + 1
    score = (
        facts["growth_per_log_turn"] * np.log1p(turn)
        + np.sqrt(facts["request_variance_between"]) * rng.standard_normal(sessions)[session]
        + np.sqrt(facts["request_variance_within"]) * rng.standard_normal(n)
    )
    between = facts["response_share_between"]
    own = np.sqrt(between) * rng.standard_normal(sessions)[session]
    own += np.sqrt(1 - between) * rng.standard_normal(n)
    lengths = np.zeros((2, n), dtype=np.int32)
    for is_gpt4, model in enumerate(MODELS):
        chosen = np.flatnonzero(gpt4 == bool(is_gpt4))
        curve = np.asarray(facts["response_score_by_request"][model])
        place = even_shares(score[chosen])
        at = (np.arange(len(curve)) + 0.5) / len(curve)
        answer = np.interp(place, at, curve) + np.sqrt(1 - curve.var()) * own[chosen]
        for row, (side, share) in enumerate(
            (("request_tokens", place), ("response_tokens", even_shares(answer)))
        ):
            lengths[row, chosen] = _tokens("conversation", side, model)(special.ndtri(share))
    return lengths[0], lengths[1]


# API: storms.


def api_requests(days: float, scale: float, rng: np.random.Generator) -> SyntheticRequests:
    """Draw the API requests of a synthetic trace.

    Parameters
    ----------
    days : float
        Length of the trace.
    scale : float
        Factor of every request rate.
    rng : Generator

    Returns
    -------
    SyntheticRequests
    """
    facts = constants()["api"]
    per_hour = _api_hours(max(ceil(days), QUOTA_DAYS), rng) * scale
    windows, model, lengths = facts["windows"], facts["model"], facts["lengths"]
    sd = windows["sd_log_within_hour"]
    weight = np.exp(sd * rng.standard_normal((len(per_hour), WINDOWS_AN_HOUR)))
    expected = (per_hour[:, None] * weight / weight.sum(axis=1, keepdims=True)).ravel()

    share = model["gpt4_share"]
    concentration = model["concentration"]
    by_volume = places_in_volume(per_hour, model["correlation_next_hour"], rng)
    gpt4_share = special.betaincinv(share * concentration, (1 - share) * concentration, by_volume)
    failure_factor = _failure_factor(facts["failures"], per_hour, rng)
    levels = [
        special.ndtri(places_in_volume(per_hour, lengths["correlation_next_hour"], rng)).astype(np.float32)
        for _ in ("request_tokens", "response_tokens")
    ]

    second = _arrivals(expected, windows["shape_median"], windows["shape_sd_log"], days, rng)
    n, hour = len(second), second // int(HOUR_S)
    gpt4 = rng.random(n, dtype=np.float32) < gpt4_share.astype(np.float32)[hour]
    failed = _failed(facts["failures"]["rate"], gpt4, failure_factor[hour], rng)
    between = np.float32(lengths["variance_between_hours"])
    request_score, own = (
        np.sqrt(between) * level[hour] + np.sqrt(1 - between) * rng.standard_normal(n, dtype=np.float32)
        for level in levels
    )
    together = np.float32(lengths["score_correlation"])
    response_score = together * request_score + np.sqrt(1 - together**2) * own
    request_tokens, response_tokens = np.zeros((2, n), dtype=np.int32)
    for is_gpt4, name in enumerate(MODELS):
        chosen = np.flatnonzero(gpt4 == bool(is_gpt4))
        request_tokens[chosen] = _tokens("api", "request_tokens", name)(request_score[chosen])
        response_tokens[chosen] = _tokens("api", "response_tokens", name)(response_score[chosen])
    again = _repeats(second, gpt4, lengths["repeated_share"], rng)
    request_tokens, response_tokens = request_tokens[again], response_tokens[again]
    elapsed = _elapsed("api", gpt4, response_tokens, failed, rng)
    _blank_failed(failed, request_tokens, response_tokens, rng)
    return SyntheticRequests(second, gpt4, np.full(n, -1), request_tokens, response_tokens, elapsed, failed)


def _repeats(second: Integers, gpt4: Mask, share: float, rng: np.random.Generator) -> Integers:
    """Whose lengths each request has, shape (n,): its own, or for some those of the one before.

    Scripts send a prompt again; only a request in the same second to the same model can repeat.
    """
    n = len(second)
    own = np.ones(n, dtype=bool)
    alike = (second[1:] == second[:-1]) & (gpt4[1:] == gpt4[:-1])
    own[1:] = ~(alike & (rng.random(max(n - 1, 0), dtype=np.float32) < share))
    return np.asarray(np.maximum.accumulate(np.where(own, np.arange(n), 0)))


def _api_hours(days: int, rng: np.random.Generator) -> Array:
    """Requests expected in each hour of `days` whole days, shape (days × 24,): none, some, or a storm."""
    facts = constants()["api"]["storms"]
    hours = days * DAY_H
    score = np.tile(facts["score_by_hour"], days)
    score = score + np.sqrt(facts["slow_variance"]) * autoregression(
        hours, np.exp(-1 / facts["slow_hours"]), rng
    )
    score += np.sqrt(facts["fast_variance"]) * autoregression(hours, facts["fast_correlation_next_hour"], rng)
    place = (even_shares(score) - facts["empty_share"]) / (1 - facts["empty_share"])
    volume = np.exp(np.interp(place, facts["probability"], np.log(facts["requests_per_hour"])))
    return np.where(place > 0, volume, 0.0)


# What both services need.


def _arrivals(
    expected: Array, shape_median: float, shape_sd_log: float, days: float, rng: np.random.Generator
) -> Integers:
    """Stamps, in full seconds, of arrivals in windows with these expected requests, within `days` days."""
    windows = ceil(days * DAY_S / WINDOW_S)
    shape = shape_median * np.exp(shape_sd_log * rng.standard_normal(len(expected)))
    begins = np.arange(windows, dtype=float) * WINDOW_S
    at = sample_arrivals(begins, shape[:windows], expected[:windows] / WINDOW_S, WINDOW_S, rng)
    return at[at < days * DAY_S].astype(np.int64)


def _failure_factor(facts: dict[str, Any], volume: Array, rng: np.random.Generator) -> Array:
    """How many times its usual rate each period fails, log-normal with mean 1 over requests, shape (n,)."""
    place = places_in_volume(volume, facts["correlation"], rng)
    return np.asarray(np.exp(facts["sd_log"] * special.ndtri(place) - facts["sd_log"] ** 2 / 2))


def _failed(rate: dict[str, float], gpt4: Mask, factor: Array, rng: np.random.Generator) -> Mask:
    """Which requests fail, shape (n,)."""
    of_model = np.array([rate[m] for m in MODELS])[gpt4.astype(np.int8)]
    return np.asarray(rng.random(len(gpt4), dtype=np.float32) < of_model * factor)


def _blank_failed(
    failed: Mask,
    request_tokens: NDArray[np.int32],
    response_tokens: NDArray[np.int32],
    rng: np.random.Generator,
) -> None:
    """Failures have no response and, but for a few, no request tokens: set to zero in place."""
    at = np.flatnonzero(failed)
    response_tokens[at] = 0
    keeps = rng.random(len(at)) < constants()["failed_with_request_share"]["value"]
    request_tokens[at[~keeps]] = 0


@cache
def _tokens(service: str, side: str, model: str) -> Quantiles:
    """The measured marginal law of one side of the requests of a service and model."""
    facts = constants()[service]["lengths"]
    return Quantiles(facts["probability"], facts[side][model])


def _elapsed(
    service: str, gpt4: Mask, response_tokens: NDArray[np.int32], failed: Mask, rng: np.random.Generator
) -> Array:
    """Whole seconds from request to last token, log-linear in the response's tokens, shape (n,)."""
    facts = constants()["elapsed"]
    laws = [facts[service][m] for m in MODELS]
    level, slope, sd = (
        np.array([law[k] for law in laws], dtype=np.float32)[gpt4.astype(np.int8)]
        for k in ("level", "slope", "sd_log")
    )
    log_tokens = np.log(np.arange(1, int(response_tokens.max(initial=1)) + 1, dtype=np.float32))
    noise = rng.standard_normal(len(gpt4), dtype=np.float32)
    seconds = np.exp(level + slope * log_tokens[response_tokens - 1] + sd * noise)
    return np.where(failed, float(facts["failed_s"]), np.rint(seconds).astype(float))
