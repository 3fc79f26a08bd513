"""Which order of serving suits which load (paper 5.3, Fig. 16): first-come-first-served, shortest or longest
request first?

The conversation and the API side of one random range of a trace, each drawn from its fitted windows (modelled
scaling), are served under three policies. All run through vLLM's own priority scheduling: a request's
`priority`, of which the smaller is sooner, is 0, its prompt length, or the negative of that. A seed decides
instants and lengths and nothing of the policy, so the three are compared on the same requests. Only a queue
lets policies differ, so a part says if its runs had no queue. Not here: running the trials (`trials`),
whether a server schedules by priority (`burstlens.bench.server.priority_probe`), pages.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

import numpy as np
import polars as pl
from msgspec import structs

from ...analysis.core.errors import InputError
from ...analysis.core.option_names import option
from ...analysis.core.result import Part, number
from ...analysis.core.units import HOUR_S
from ...analysis.core.verdicts import HIGHER, LOWER
from ...analysis.interchange.parameter_model import ParameterFile
from ..metrics.seeds import ONE_SEED
from ..workload.from_parameters import from_parameters
from ..workload.table import Workload
from .backends import MEASURES
from .contrast import SAME, SHOWN_IN, PairedContrasts, means, shown
from .trials import Experiment, Trial

FCFS, SRF, LRF = POLICIES = ("FCFS", "SRF", "LRF")
"""First come first served, shortest request first, longest request first."""
SIGN = {FCFS: 0, SRF: 1, LRF: -1}
"""What a prompt's length is multiplied by to be its priority."""
SERVICES = ("conversation", "api")
PAIRS = ((SRF, FCFS), (LRF, FCFS), (LRF, SRF))
REQUESTS = 1000
FEWEST = 50
"""A range with fewer requests of a service says nothing about its load."""
RANGE_S = HOUR_S
LOAD = 0.9
"""Rate as a share of the server's capacity, if neither a rate nor a KV-cache use is given."""
WAITS = ("ttft_p50_s", "ttft_p90_s", "ttft_p99_s", "ttft_max_s")
COMPARED = (
    "token_latency_s",
    "jitter_s",
    "e2e_s",
    "ttft_s",
    *WAITS,
    "wait_ratio",
    "throughput_tps",
    "failure_rate",
    "preemptions",
)
MORE_IS_BETTER = ("throughput_tps",)
ORDERED = ("token_latency_s", "jitter_s", "e2e_s", "ttft_s", "ttft_p99_s", "ttft_max_s", "throughput_tps")
"""Measures by which the three are ordered."""


@dataclass(frozen=True)
class Range:
    """A part of the trace's clock, and how many requests of each service it has."""

    start_s: float
    end_s: float
    requests: Mapping[str, float]


def services_of(file: ParameterFile) -> list[str]:
    """List the services of a parameter file that are compared; raises InputError if it has none of them."""
    labels = [part.label for part in file.selections]
    known = [service for service in SERVICES if service in labels]
    if not known:
        raise InputError(
            f"{file.source.name}: has neither a selection 'conversation' nor 'api'; it has: "
            f"{', '.join(labels)}"
        )
    return known


def picked(
    file: ParameterFile,
    services: Sequence[str],
    length_s: float,
    seed: int,
    between: tuple[float | None, float | None] = (None, None),
) -> Range:
    """Draw a range among those that have enough requests.

    Parameters
    ----------
    file
        The parameters.
    services
        Services that need at least `FEWEST` requests in the range.
    length_s
        Length of the range in seconds; it begins where a window does.
    seed
        Seed of the draw.
    between
        Fixed start and end, in seconds; if only one is given, the other is `length_s` away.

    Raises
    ------
    InputError
        If no range has enough requests of every service, or the fixed one does not.
    """
    windows = {service: _windows(file, service) for service in services}
    start, end = between
    if start is not None or end is not None:
        first = max((end or 0.0) - length_s, 0.0) if start is None else start
        last = first + length_s if end is None else end
        if last <= first:
            raise InputError(f"{option('end_s')}: {last:g} s is not after {option('start_s')} {first:g} s")
        starts = np.array([first])
        length_s = last - first
    else:
        starts = np.unique(np.concatenate([at for at, _, _ in windows.values()]))
        inside = starts + length_s <= max(end[-1] for _, end, _ in windows.values())
        starts = starts[inside] if inside.any() else starts[:1]
    counts = {service: _requests_in(*windows[service], starts, length_s) for service in services}
    least = np.min(list(counts.values()), axis=0)
    enough = np.flatnonzero(least >= FEWEST)
    if not len(enough):
        best = int(np.argmax(least))
        texts = ", ".join(f"{number(float(n[best]))} of {service}" for service, n in counts.items())
        where = f"the range from {starts[best]:g} s on" if len(starts) == 1 else "the best range"
        raise InputError(
            f"{where} of {length_s:g} s has {texts}; the experiment needs {FEWEST} of each: lengthen it with "
            f"{option('range_s')}"
        )
    chosen = int(np.random.default_rng([seed, len(starts)]).choice(enough))
    begin = float(starts[chosen])
    return Range(begin, begin + length_s, {service: float(n[chosen]) for service, n in counts.items()})


def _windows(file: ParameterFile, service: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Start, end and requests of a service's windows."""
    windows = next(part for part in file.selections if part.label == service).windows
    start = np.array([window.start_s for window in windows])
    return start, start + file.window_s, np.array([float(window.n) for window in windows])


def _requests_in(
    start: np.ndarray, end: np.ndarray, n: np.ndarray, begins: np.ndarray, length_s: float
) -> np.ndarray:
    """Requests in ranges that begin at `begins`, a window cut in part counting in part."""
    total = np.concatenate([[0.0], np.cumsum(n)])

    def before(at_s: np.ndarray) -> np.ndarray:
        i = np.searchsorted(start, at_s, side="right") - 1
        inside = np.clip((at_s - start[i]) / (end[i] - start[i]), 0.0, 1.0)
        return np.where(i < 0, 0.0, total[i] + inside * n[i])

    return np.asarray(before(begins + length_s) - before(begins), dtype=float)


@dataclass(frozen=True)
class ServiceLoad:
    """What the workload of one service is drawn from: small, so that it goes to any process."""

    file: ParameterFile
    """The parameters, this service's selection and the range's windows only."""
    service: str
    start_s: float
    end_s: float
    requests: int

    def draw(self, rate_rps: float, seed: int) -> Workload:
        """Draw about `requests` requests, modelled over the range.

        Time is squeezed with the rate, windows and all, so that a run of any length passes through the
        whole range; shapes stay as they were fitted.

        Parameters
        ----------
        rate_rps
            Mean rate in requests per second.
        seed
            Seed of instants and lengths.
        """
        span_s = self.end_s - self.start_s
        drawn = from_parameters(
            self.file.as_dict(),
            selection=self.service,
            start_s=self.start_s,
            end_s=self.end_s,
            rate_rps=self.requests / span_s,
            seed=seed,
        )
        squeezed = rate_rps * span_s / self.requests
        return replace(
            drawn,
            requests=drawn.requests.with_columns(pl.col("at_s") / squeezed),
            recipe={**drawn.recipe, "squeezed": squeezed},
        )

    def at_once(self, seed: int) -> Workload:
        """Draw the requests at one instant: the rate at which the server answers them is its capacity."""
        drawn = self.draw(1.0, seed)
        return replace(drawn, requests=drawn.requests.with_columns(at_s=pl.lit(0.0)))


def load_of(file: ParameterFile, service: str, chosen: Range, requests: int) -> ServiceLoad:
    """Take the load of a service in a range, with only the parameters that it needs.

    Parameters
    ----------
    file
        The parameters.
    service
        The service.
    chosen
        The range.
    requests
        Requests to draw.
    """
    part = next(part for part in file.selections if part.label == service)
    windows = [
        window
        for window in part.windows
        if window.start_s < chosen.end_s and window.start_s + file.window_s > chosen.start_s
    ]
    return ServiceLoad(
        structs.replace(file, selections=(part.with_windows(windows),)),
        service,
        chosen.start_s,
        chosen.end_s,
        requests,
    )


def ranked(load: Workload, policy: str) -> Workload:
    """Set the priorities of a policy.

    Parameters
    ----------
    load
        The workload.
    policy
        One of `POLICIES`.
    """
    rank = SIGN[policy] * pl.col("request_tokens")
    return replace(
        load,
        requests=load.requests.with_columns(priority=rank.cast(pl.Int64)),
        recipe={**load.recipe, "policy": policy},
    )


def _made(load: ServiceLoad, policy: str, rate_rps: float, seed: int) -> Workload:
    return ranked(load.draw(rate_rps, seed), policy)


def trials(
    loads: Mapping[str, ServiceLoad], rates_rps: Mapping[str, float], seeds: Sequence[int]
) -> list[Trial]:
    """List every service under every policy and seed; the first seed records its course over time.

    Parameters
    ----------
    loads
        What is drawn, by service.
    rates_rps
        Mean rate by service, in requests per second.
    seeds
        Seeds.
    """
    return [
        Trial(
            {"service": service, "policy": policy, "seed": seed},
            partial(_made, load, policy, rates_rps[service], seed),
            course=seed == seeds[0],
        )
        for seed in seeds
        for service, load in loads.items()
        for policy in POLICIES
    ]


@dataclass(frozen=True)
class PolicyComparison(Part):
    """The three policies on each service, on average over seeds."""

    name: ClassVar[str] = "policies"
    title: ClassVar[str] = "What each order does"
    lead: ClassVar[str] = "Averages over seeds, service by service."

    means: pl.DataFrame
    """One row a service and policy: every measure as mean and interval over seeds."""
    pairs: PairedContrasts
    """At each service."""

    def tables(self) -> dict[str, pl.DataFrame]:
        """Means, contrasts, orders."""
        return {"means": self.means, "contrasts": self.pairs.table(), "orders": self.orders()}

    def orders(self) -> pl.DataFrame:
        """Order the three for each service and measure, best first, ties marked: `SRF, FCFS ≈ LRF`."""
        rows = []
        for service in self.means["service"].unique(maintain_order=True) if self.means.height else []:
            for measure in ORDERED:
                order = self._order(service, measure)
                if order:
                    rows.append({"service": service, "measure": measure, "order": order})
        return pl.DataFrame(rows, schema=dict.fromkeys(("service", "measure", "order"), pl.String))

    def _order(self, service: str, measure: str) -> str:
        here = self.means.filter(pl.col("service") == service).drop_nulls(measure)
        best = here.sort(measure, descending=measure in MORE_IS_BETTER, maintain_order=True)[
            "policy"
        ].to_list()
        if len(best) < len(POLICIES):
            return ""
        out = str(best[0])
        for better, worse in itertools.pairwise(best):
            either = ((better, worse), (worse, better))
            word = next(c.word for pair in either if (c := self.pairs.of(service, *pair, measure)))
            out += {SAME: " = ", HIGHER: ", ", LOWER: ", "}.get(word, " ≈ ") + worse
        return out

    def sentences(self) -> list[str]:
        """Say the order of the three per measure, with ties; then the difference of each pair."""
        out = []
        for row in self.orders().iter_rows(named=True):
            words, unit = MEASURES[row["measure"]]
            factor, shown_unit = SHOWN_IN.get(unit, (1.0, unit))
            here = self.means.filter(pl.col("service") == row["service"])
            value = dict(zip(here["policy"], here[row["measure"]], strict=True))
            values = ", ".join(f"{p} {number(factor * value[p])}" for p in POLICIES)
            ties = [
                f"{a} and {b} within noise" for a, b in _neighbours(row["order"], " ≈ ")
            ] + [f"{a} and {b} the same" for a, b in _neighbours(row["order"], " = ")]  # fmt: skip
            order = row["order"].replace(" ≈ ", ", ").replace(" = ", ", ")
            tied = f"; {'; '.join(ties)}" if ties else ""
            out.append(
                f"{row['service']}, {words}: {values} {shown_unit}".rstrip()
                + f" (best first: {order}{tied})."
            )
        return out


def _neighbours(order: str, sign: str) -> list[tuple[str, str]]:
    """The pairs that are next to each other in an order with this sign between them."""
    words = order.replace(",", "").split(" ")
    return [(words[i - 1], words[i + 1]) for i, word in enumerate(words) if word == sign.strip()]


@dataclass(frozen=True)
class Waits(Part):
    """Who waits how long under each policy: the fairness of the three."""

    name: ClassVar[str] = "waits"
    title: ClassVar[str] = "Who waits"
    lead: ClassVar[str] = "Time to first token under each order of serving, from the median to the worst."

    waits: pl.DataFrame
    """`service`, `policy`, `measure` (of `WAITS`), `seconds`, `seconds_low`, `seconds_high`."""
    ratios: pl.DataFrame
    """`service`, `policy`, `wait_ratio` and its interval."""

    def tables(self) -> dict[str, pl.DataFrame]:
        """Waits and ratios."""
        return {"waits": self.waits, "ratios": self.ratios}

    def sentences(self) -> list[str]:
        """Say the worst waits, and how much longer long prompts wait than short ones."""
        out = []
        for service in self.ratios["service"].unique(maintain_order=True) if self.ratios.height else []:
            rows = self.ratios.filter(pl.col("service") == service).drop_nulls("wait_ratio")
            worst = self.waits.filter(service=service, measure="ttft_max_s").drop_nulls("seconds")
            texts = ", ".join(f"{r['policy']} {number(r['seconds'])} s" for r in worst.iter_rows(named=True))
            if texts:
                out.append(f"{service}, the worst wait for a first token: {texts}.")
            texts = ", ".join(f"{r['policy']} {number(r['wait_ratio'])}" for r in rows.iter_rows(named=True))
            if texts:
                out.append(
                    f"{service}: the third with the longest prompts waits so many times as long as the "
                    f"third with the shortest: {texts}."
                )
        return out


def parts(experiment: Experiment) -> tuple[PolicyComparison, Waits]:
    """Make the parts of the findings from the trials."""
    done = experiment.trials
    missing = []
    for service in done["service"].unique(maintain_order=True):
        here = done.filter(pl.col("service") == service)
        peak = here["waiting_peak"].drop_nulls()
        if reason := _in_front(here):
            missing.append(f"{service}: {reason}")
        elif len(peak) and float(peak.max()) < 1:  # type: ignore[arg-type]
            missing.append(
                f"{service}: no request was seen waiting, and without a queue no order of serving can "
                "matter; raise the load."
            )
    if len(experiment.question.seeds) < 2:
        missing.append(ONE_SEED)
    averaged = means(done, ["service", "policy"])
    waits = pl.concat(
        averaged.select(
            "service",
            "policy",
            pl.lit(name).alias("measure"),
            *(pl.col(f"{name}{end}").alias(f"seconds{end}") for end in ("", "_low", "_high")),
        )
        for name in WAITS
    )
    ratios = averaged.select("service", "policy", *(f"wait_ratio{end}" for end in ("", "_low", "_high")))
    pairs = PairedContrasts.of_trials(done, "service", "policy", PAIRS, COMPARED)
    return PolicyComparison(tuple(missing), averaged, pairs), Waits((), waits, ratios)


def _in_front(here: pl.DataFrame) -> str:
    """Say that most requests wait where no order of serving reaches them; empty if they do not."""
    if not {"outside_mean", "waiting_mean"} <= set(here.columns):
        return ""
    both = here.drop_nulls(["outside_mean", "waiting_mean"])
    if both.is_empty():
        return ""
    outside, waiting = (float(both[name].to_numpy().mean()) for name in ("outside_mean", "waiting_mean"))
    if outside < max(1.0, waiting):
        return ""
    return (
        f"of the requests in flight {number(outside)} on average were neither run by the engine nor waiting "
        f"in it, against {number(waiting)} that its scheduler could choose from: they waited in the API "
        "server or the network, where the scheduling policy has no effect; give the server more cores, or "
        "lower its limit of running sequences (max_num_seqs) or the rate."
    )


STATEMENTS = (("latency", "token_latency_s"), ("latency jitter", "jitter_s"))
"""In what the paper finds longest-request-first better than FCFS on conversation, and not on API."""


def statements(compared: PolicyComparison) -> dict[str, bool | None]:
    """Judge what the paper says of longest-request-first; None if noise hides it."""
    out: dict[str, bool | None] = {}
    for words, measure in STATEMENTS:
        lower = _lower(compared, SERVICES[0], measure)
        out[f"LRF has lower {words} than FCFS on conversation"] = lower
        lower = _lower(compared, SERVICES[1], measure)
        out[f"LRF does not have lower {words} than FCFS on API"] = None if lower is None else not lower
    return out


def _lower(compared: PolicyComparison, service: str, measure: str) -> bool | None:
    found = compared.pairs.of(service, LRF, FCFS, measure)
    return {LOWER: True, HIGHER: False, SAME: False}.get(found.word) if found else None


def value(compared: PolicyComparison) -> str:
    """Write the measures of the statements: both means, and the difference with its interval."""
    out = []
    for service in SERVICES:
        for _, measure in STATEMENTS:
            found = compared.pairs.of(service, LRF, FCFS, measure)
            if found and math.isfinite(found.of):
                out.append(f"{service}, LRF against FCFS, {MEASURES[measure][0]} {shown(found)}")
    return "; ".join(out)
