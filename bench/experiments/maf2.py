"""BurstGPT against Azure Functions at one rate (paper 5.1, Fig. 13–14): what does burstiness alone do to a
server?

Four workloads of the same number of requests at the same mean rate over the same time: the conversation and
the API side of a BurstGPT trace, a trace of Azure Functions, and the conversation's own requests at Poisson
instants, which is the conversation with its burstiness taken out. Functions have no tokens, so they are
given those of the conversation in its order; the Poisson load keeps them too. Seed 0 takes the first
requests of each trace, as the paper does; further seeds begin anywhere. Not here: running them (`trials`),
pages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import ClassVar

import numpy as np
import polars as pl

from ...analysis.core.errors import InputError
from ...analysis.core.result import Part, number
from ...analysis.core.verdicts import CANNOT_TELL, HIGHER, LOWER
from ...analysis.trace.trace import Trace
from ..metrics.seeds import ONE_SEED
from ..workload.from_trace import from_trace
from ..workload.recipe import Recipe
from ..workload.table import Workload, requests_frame
from .backends import MEASURES
from .contrast import NOISE, SAME, Contrast, PairedContrasts, means, shown
from .trials import Experiment, Trial, at_hand

CONVERSATION, API, FUNCTIONS, POISSON = WORKLOADS = (
    "BurstGPT conversation",
    "BurstGPT API",
    "MAF2",
    "BurstGPT conversation, Poisson",
)
RATE_RPS, REQUESTS = 0.326, 2000
"""The paper's: the first 2,000 requests at 0.326 requests a second, 6,126 s."""
PUBLISHED_RPS = 1.64
"""Mean rate of Azure Functions as the paper states it (section 2.2), 1,980,951 invocations in two weeks."""
FEWEST = 100
"""A workload of fewer requests compares nothing."""
COMPARED = (
    "token_latency_s",
    "jitter_s",
    "e2e_s",
    "e2e_p90_s",
    "ttft_p99_s",
    "throughput_tps",
    "kv_cache_use",
    "kv_cache_peak",
    "waiting_peak",
    "failure_rate",
)
PAIRS = ((CONVERSATION, FUNCTIONS), (API, FUNCTIONS), (CONVERSATION, POISSON))
"""What is set against what: the paper's two, and burstiness by itself."""
STATEMENTS = (
    ("higher mean latency", "token_latency_s"),
    ("higher throughput", "throughput_tps"),
    ("higher KV-cache peaks", "kv_cache_peak"),
    ("more failures", "failure_rate"),
)
"""What the paper says of BurstGPT conversation against MAF2 at its rate."""


@dataclass(frozen=True)
class Pool:
    """The requests that blocks are cut from: instants and tokens, one element a request, by instant."""

    name: str
    synthetic: bool
    at_s: np.ndarray
    request_tokens: np.ndarray
    response_tokens: np.ndarray


@dataclass(frozen=True)
class WorkloadPools:
    """The four workloads before they are cut and scaled."""

    pools: Mapping[str, Pool]
    notes: tuple[str, ...]

    @property
    def rows(self) -> dict[str, int]:
        """The number of requests of each pool."""
        return {name: len(pool.at_s) for name, pool in self.pools.items()}

    @property
    def requests(self) -> int:
        """The number of requests that every pool has."""
        return min(self.rows.values())

    @property
    def shortest(self) -> str:
        """Name of the pool that has the fewest."""
        return f"{self.pools[self._least].name} ({self._least})"

    @property
    def _least(self) -> str:
        rows = self.rows
        return min(rows, key=rows.__getitem__)


def pool_of(trace: Trace, service: str | None, seed: int = 0) -> Pool:
    """Take the requests of a trace's service.

    Parameters
    ----------
    trace
        An opened trace.
    service
        The service; None takes all.
    seed
        Seed by which whole-second stamps are spread in their second.

    Raises
    ------
    InputError
        If the trace does not have that service.
    """
    tokens = None if trace.info.has_tokens else (1, 1)
    found = from_trace(trace, service=service, sessions="off", tokens=tokens, seed=seed).requests
    return Pool(
        trace.info.name,
        trace.info.synthetic,
        found["at_s"].to_numpy(),
        found["request_tokens"].to_numpy(),
        found["response_tokens"].to_numpy(),
    )


def synthetic_functions(requests: int, seed: int = 0) -> Pool:
    """Draw a stand-in for Azure Functions: Poisson instants at its published rate, the only fact used.

    Parameters
    ----------
    requests
        Number of requests.
    seed
        Seed of the instants.
    """
    gaps = np.random.default_rng(seed).exponential(1 / PUBLISHED_RPS, requests)
    ones = np.ones(requests, dtype=np.int64)
    return Pool("synthetic MAF2", True, np.cumsum(gaps), ones, ones)


def loads(burst: Trace, functions: Trace | None, *, requests: int = REQUESTS, seed: int = 0) -> WorkloadPools:
    """Make the pools of the four workloads.

    Parameters
    ----------
    burst
        A BurstGPT trace with the services `conversation` and `api`, and with token counts.
    functions
        A trace of Azure Functions; None draws a synthetic one.
    requests
        Requests of each workload.
    seed
        Seed by which stamps are spread in their second, and of the synthetic trace.

    Raises
    ------
    InputError
        If a trace lacks a service or token counts, or has too few requests.
    """
    known = set(burst.engine.table("streams")["service"].to_list())
    for service in ("conversation", "api"):
        if service not in known:
            raise InputError(
                f"{burst.info.name}: has no requests of service {service!r}; experiment maf2 needs a "
                f"BurstGPT trace with both sides, this one has: {', '.join(sorted(known))}"
            )
    if not burst.info.has_tokens:
        raise InputError(f"{burst.info.name}: has no token counts; experiment maf2 needs them")
    conversation, api = (pool_of(burst, service, seed) for service in ("conversation", "api"))
    notes = []
    if functions is None:
        other = synthetic_functions(max(10 * requests, len(conversation.at_s)), seed)
        notes.append(
            "No trace of Azure Functions was given: MAF2 here is SYNTHETIC, Poisson instants at its "
            f"published {PUBLISHED_RPS} requests a second. Get the real one with burstlens fetch maf2."
        )
    else:
        other = pool_of(functions, None, seed)
        if functions.info.has_tokens:
            notes.append(f"{other.name} has token counts of its own; the experiment does not use them.")
    notes.append(
        "MAF2 has no token lengths: its requests have those of the BurstGPT conversation, in its order."
    )
    pools = {CONVERSATION: conversation, API: api, FUNCTIONS: other, POISSON: conversation}
    found = WorkloadPools(pools, tuple(notes))
    if found.requests < FEWEST:
        raise InputError(
            f"{found.shortest}: has {found.requests} requests, too few to run at the rate of the others; "
            f"experiment maf2 needs {FEWEST}"
        )
    return found


def cut(pools: Mapping[str, Pool], kind: str, requests: int, rate_rps: float, seed: int) -> Workload:
    """Cut one workload from its pool: it begins at instant 0 and lasts (n − 1)/rate seconds.

    Every workload of one seed cuts its block of the conversation at the same place, so that lengths are
    shared.

    Parameters
    ----------
    pools
        What `loads` made, by kind.
    kind
        The workload.
    requests
        Number of requests, n.
    rate_rps
        Mean rate in requests per second.
    seed
        Seed of the place.

    Raises
    ------
    InputError
        If all requests of the block come at one instant, so that they cannot be brought to a rate.
    """
    pool = pools[kind]
    mine = np.random.default_rng([seed, sorted(pools).index(kind)])
    conversation = pools[CONVERSATION]
    shared = _begin(len(conversation.at_s), requests, np.random.default_rng([seed, len(pools)]), seed)
    start = shared if pool is conversation else _begin(len(pool.at_s), requests, mine, seed)
    block = slice(start, start + requests)
    span_s = (requests - 1) / rate_rps
    if kind == POISSON:
        # Given how many there are, Poisson instants are uniform; the ends stand where those of the others do.
        at_s = np.sort(np.concatenate([[0.0, span_s], mine.uniform(0.0, span_s, requests - 2)]))
    else:
        at_s = pool.at_s[block] - pool.at_s[block][0]
        if at_s[-1] <= 0:
            raise InputError(
                f"{pool.name}: {requests} requests from number {start + 1} on arrive at one instant: they "
                "have no rate to scale"
            )
        at_s = at_s * (span_s / at_s[-1])
    tokens = conversation if kind in (FUNCTIONS, POISSON) else pool
    lengths = slice(shared, shared + requests) if tokens is conversation else block
    known = pl.DataFrame(
        {
            "at_s": at_s,
            "request_tokens": tokens.request_tokens[lengths],
            "response_tokens": tokens.response_tokens[lengths],
        }
    ).with_columns(service=pl.lit(kind))
    recipe: Recipe = {
        "source": pool.name,
        "first": requests,
        "from": start,
        "rate_rps": rate_rps,
        "seed": seed,
    }
    return Workload(requests_frame(known), kind, pool.synthetic, recipe)


def _begin(rows: int, requests: int, rng: np.random.Generator, seed: int) -> int:
    """Where a block begins: at the first request for seed 0, anywhere for others."""
    return int(rng.integers(0, rows - requests + 1)) if seed else 0


def trials(
    found: WorkloadPools, rates_rps: Sequence[float], seeds: Sequence[int], requests: int
) -> list[Trial]:
    """List every workload at every rate and seed; those of the first seed record their course over time.

    Parameters
    ----------
    found
        What `loads` made.
    rates_rps
        Mean rates in requests per second.
    seeds
        Seeds.
    requests
        Requests of each workload.
    """
    return [
        Trial(
            {"workload": kind, "rate_rps": rate, "seed": seed},
            # Cut here: a block is small, and what it is cut from need not go to another process.
            partial(at_hand, cut(found.pools, kind, requests, rate, seed)),
            course=seed == seeds[0],
        )
        for rate in rates_rps
        for seed in seeds
        for kind in WORKLOADS
    ]


@dataclass(frozen=True)
class LoadComparison(Part):
    """What the four workloads did to the server, on average over seeds."""

    name: ClassVar[str] = "loads"
    title: ClassVar[str] = "What each workload did"
    lead: ClassVar[str] = "Averages over seeds, and differences told from noise."

    means: pl.DataFrame
    """One row a rate and workload: every measure as mean and interval over seeds."""
    pairs: PairedContrasts
    """At each rate."""

    def tables(self) -> dict[str, pl.DataFrame]:
        """Means and contrasts."""
        return {"means": self.means, "contrasts": self.pairs.table()}

    def sentences(self) -> list[str]:
        """Say for each rate and pair what is higher, lower, or within noise."""
        out = []
        for (rate, of, against), pairs in groupby(
            self.pairs.all, lambda pair: (pair.at, pair.of, pair.against)
        ):
            contrasts = [pair.found for pair in pairs]
            words = []
            for word in (HIGHER, LOWER):
                named = [f"{MEASURES[c.measure][0]}{_by(c)}" for c in contrasts if c.word == word]
                if named:
                    words.append(f"{word}: {', '.join(named)}")
            for word in (NOISE, SAME, CANNOT_TELL):
                level = [MEASURES[c.measure][0] for c in contrasts if c.word == word]
                if level:
                    words.append(f"{word}: {', '.join(level)}")
            out.append(f"At {number(float(rate))} requests/s, {of} against {against}: {'; '.join(words)}.")
        return out


@dataclass(frozen=True)
class Courses(Part):
    """The first seed's runs over time, as the paper's Fig. 13 shows them."""

    name: ClassVar[str] = "courses"
    title: ClassVar[str] = "Over time"
    lead: ClassVar[str] = "The first seed’s runs side by side, as in the paper’s Fig. 13."

    courses: pl.DataFrame
    """`workload`, `rate_rps`, `seed`, `at_s` and the columns of `backends.COURSE`."""

    def tables(self) -> dict[str, pl.DataFrame]:
        """Give the courses."""
        return {"courses": self.courses}

    def sentences(self) -> list[str]:
        """Compare the busiest part of each workload with its mean."""
        out: list[str] = []
        if self.courses.is_empty():
            return out
        for (rate, kind), course in self.courses.group_by(["rate_rps", "workload"], maintain_order=True):
            sent = course["sent"]
            mean, peak = float(sent.mean() or 0.0), float(sent.max() or 0.0)  # type: ignore[arg-type]
            step = float(course["at_s"][1] - course["at_s"][0]) if course.height > 1 else 1.0
            if mean:
                out.append(
                    f"{kind} at {number(float(rate))} requests/s: the busiest {number(step)} s hold "
                    f"{number(peak / mean)} times the mean rate."
                )
        return out


def _by(found: Contrast) -> str:
    """How much, in words: a share of what is compared with, or points of a share."""
    if MEASURES[found.measure][1] == "share":
        return f" (by {number(100 * abs(found.difference.value), 2)} points)"
    return f" (by {number(100 * abs(found.relative), 2)} %)" if found.against else ""


def parts(experiment: Experiment) -> tuple[LoadComparison, Courses]:
    """Make the parts of the findings from the trials."""
    done = experiment.trials
    few = (ONE_SEED,) if len(experiment.question.seeds) < 2 else ()
    averaged = means(done, ["rate_rps", "workload"]) if done.height else pl.DataFrame()
    pairs = PairedContrasts.of_trials(done, "rate_rps", "workload", PAIRS, COMPARED)
    return LoadComparison(few, averaged, pairs), Courses((), experiment.courses)


def statements(loaded: LoadComparison, rate_rps: float) -> dict[str, bool | None]:
    """Judge what the paper says of BurstGPT conversation against MAF2.

    Parameters
    ----------
    loaded
        The compared loads.
    rate_rps
        The rate at which they are compared.

    Returns
    -------
    dict
        By statement: it holds (True), does not (False), or noise hides it (None).
    """
    out: dict[str, bool | None] = {}
    for words, measure in STATEMENTS:
        found = loaded.pairs.of(rate_rps, CONVERSATION, FUNCTIONS, measure)
        out[words] = {HIGHER: True, LOWER: False, SAME: False}.get(found.word) if found else None
    return out


def value(loaded: LoadComparison, rate_rps: float) -> str:
    """Write the measures of the statements: both means, and the difference with its interval.

    Parameters
    ----------
    loaded
        The compared loads.
    rate_rps
        The rate at which they are compared.
    """
    out = []
    for _, measure in STATEMENTS:
        found = loaded.pairs.of(rate_rps, CONVERSATION, FUNCTIONS, measure)
        if found:
            out.append(f"{MEASURES[measure][0]} {shown(found)}")
    return f"at {number(rate_rps)} requests/s: " + "; ".join(out) if out else ""
