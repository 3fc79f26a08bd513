"""Goodput of prefill and decode instances: the highest rate at which enough requests keep their bounds.

A load keeps its requests and their order; its rate is scaled by squeezing time (paper 4.1), so that an hour
of the load's clock passes the faster the higher the rate. Steps, transfers, bounds and launches take the
servers' own time. Goodput is found by bisection: at it enough requests were within both bounds, and at one
`tolerance` above it they were not. Not here: the serving (`simulated.disaggregation`), which ratios are
tried (`policies`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ...analysis.core.arrays import Array
from ...analysis.core.errors import InputError
from ...analysis.core.option_names import option
from ..simulated.disaggregation import Deployment, Rig, Transfer
from ..simulated.presets import Preset
from .state import ServingRecord

if TYPE_CHECKING:
    from ..workload.table import Workload


Turns = tuple[tuple[float, int], ...]
"""Instants on the load's clock, the first 0, and the prefill instances from each of them on."""

SHARE = 0.9
"""Of all requests, that must keep both bounds (paper section 6)."""
TOLERANCE = 0.02
CHECKS = 50
"""How often a run is looked at, to be given up once too many requests are lost."""
LONGEST_STRIDE = 2.0
"""Largest factor between two rates that are tried one after the other."""
AT_ONCE_S = 1e-3
"""A load that is squeezed into less time than this comes all at once."""
LOWEST = 1e-4
"""Share of the first guess below which a rate is called zero: requests of one instant do not spread."""


@dataclass(frozen=True)
class ScalableLoad:
    """Requests on a clock that starts at 0; plain lists, so that it goes to other processes cheaply."""

    at_s: Sequence[float]
    request_tokens: Sequence[int]
    response_tokens: Sequence[int]
    span_s: float
    """Length of the clock."""
    refused: int
    """Requests whose prompt leaves no room for an answer: they are in no list, and never good."""
    name: str
    synthetic: bool

    @classmethod
    def of(cls, workload: Workload, preset: Preset, span_s: float | None = None) -> ScalableLoad:
        """Take a workload as the model of a preset can; answers are cut to the room that there is.

        Parameters
        ----------
        workload
            The requests.
        preset
            Model and GPU.
        span_s
            Length of the load's clock in seconds; the last arrival if not given.

        Raises
        ------
        InputError
            If it has no requests, all come at one instant, or more than 1 − `SHARE` of the prompts are too
            long.
        """
        from ..client.send_plan import SendPlan

        if not len(workload.requests):
            raise InputError(f"{workload.name}: has no requests")
        plan = SendPlan.of(workload)
        longest = preset.max_model_len
        rows = [i for i, into in enumerate(plan.request_tokens) if into < longest]
        refused = len(plan.ids) - len(rows)
        if refused > (1 - SHARE) * len(plan.ids):
            raise InputError(
                f"{workload.name}: {refused:,} of {len(plan.ids):,} prompts have {longest:,} tokens or more, "
                f"which {preset.name} cannot take: choose a preset with a longer context"
            )
        span = workload.span_s if span_s is None else span_s
        if not span > 0:
            raise InputError(
                f"{workload.name}: all requests arrive at one instant, so there is no rate to scale"
            )
        into = [plan.request_tokens[i] for i in rows]
        out = [min(plan.response_tokens[i], longest - plan.request_tokens[i]) for i in rows]
        at = [plan.at_s[i] for i in rows]
        return cls(at, into, out, span, refused, workload.name, workload.synthetic)

    @property
    def requests(self) -> int:
        """All of them, those that are refused too."""
        return len(self.at_s) + self.refused

    @property
    def allowed(self) -> int:
        """Number of served requests that may break a bound."""
        return self.requests - math.ceil(SHARE * self.requests - 1e-9) - self.refused

    @property
    def rate_rps(self) -> float:
        """Mean rate on its own clock."""
        return self.requests / self.span_s


@dataclass(frozen=True)
class Serving:
    """What serves: instances, constants, what moving and changing cost, and what is asked of it."""

    preset: Preset
    total: int = 8
    transfer: Transfer = field(default_factory=Transfer)
    bytes_per_token: float = 0.0
    launch_s: float = 10.0
    ttft_s: float = 1.0
    tpot_s: float = 0.05

    @classmethod
    def of(cls, preset: Preset, bytes_per_token: float | None = None, **more: Any) -> Serving:
        """Check the values, and take the size of a cached token from the preset unless it is given.

        Parameters
        ----------
        preset
            Model and GPU.
        bytes_per_token
            Bytes of a cached token.
        **more
            Other fields of the class.

        Raises
        ------
        InputError
            If there are fewer than two instances, a value is out of its range, or the size is not known.
        """
        size = preset.bytes_per_token if bytes_per_token is None else bytes_per_token
        if size is None:
            raise InputError(
                f"{preset.name}: does not say how large a cached token is; give {option('bytes_per_token')}"
            )
        new = cls(preset, bytes_per_token=size, **more)
        if new.total < 2:
            raise InputError(
                f"{option('total')}: {new.total} is too few instances to divide into prefill and decode; "
                "give 2 or more"
            )
        for name, value in (
            ("slo_ttft_s", new.ttft_s),
            ("slo_tpot_s", new.tpot_s),
            ("bandwidth_gbps", new.transfer.bandwidth_gbps),
        ):
            if not value > 0:
                raise InputError(f"{option(name)}: {value:g} is not above 0")
        for name, value in (
            ("launch_s", new.launch_s),
            ("transfer_latency_s", new.transfer.latency_s),
            ("bytes_per_token", size),
        ):
            if not 0 <= value < math.inf:
                raise InputError(f"{option(name)}: {value:g} is not 0 or more")
        return new

    @cached_property
    def ratios(self) -> range:
        """Every number of prefill instances that leaves a decode instance."""
        return range(1, self.total)

    def ratio_name(self, prefill: int) -> str:
        """`2:6`."""
        return f"{prefill}:{self.total - prefill}"

    def rig(self, load: ScalableLoad, rate_rps: float) -> Rig:
        """Prepare a load for simulation.

        Parameters
        ----------
        load
            The load.
        rate_rps
            Rate to which it is scaled, in requests per second.
        """
        factor = rate_rps / load.rate_rps
        return Rig(
            [t / factor for t in load.at_s],
            load.request_tokens,
            load.response_tokens,
            self.preset,
            transfer=self.transfer,
            bytes_per_token=self.bytes_per_token,
            launch_s=self.launch_s,
            ttft_s=self.ttft_s,
            tpot_s=self.tpot_s,
        )

    def alone(self, load: ScalableLoad) -> tuple[Array, Array]:
        """TTFT and TPOT of each request if it had the servers to itself; TPOT 0 if there is one token."""
        cost, preset = self.preset.latency, self.preset
        into = np.array(load.request_tokens, dtype=float)
        steps = np.array(load.response_tokens, dtype=float) - 1
        chunks = np.ceil(into / preset.max_num_batched_tokens)
        # The squares of chunks after each other add up to that of the whole.
        ttft = chunks * cost.a_ms + cost.b_ms * into + cost.c_ms * into**2
        # Chunks before the last are as long as a step may be, and take more than its least.
        before = (chunks - 1) * preset.max_num_batched_tokens
        last = cost.a_ms + cost.b_ms * (into - before) + cost.c_ms * (into**2 - before**2)
        ttft += np.maximum(cost.h_ms - last, 0.0)
        moved = self.transfer.seconds(into, self.bytes_per_token)
        step = (cost.a_d_ms + (cost.e_us + cost.d_us * (into + (steps + 1) / 2)) / 1e3) / 1e3
        return ttft / 1e3, np.where(steps > 0, step + moved / np.maximum(steps, 1), 0.0)

    def check(self, load: ScalableLoad) -> None:
        """Raise InputError if even requests that are served alone break the bounds too often."""
        ttft, tpot = self.alone(load)
        share = SHARE * load.requests / len(load.at_s)
        for name, bound, took in (("slo_ttft_s", self.ttft_s, ttft), ("slo_tpot_s", self.tpot_s, tpot)):
            within = float((took <= bound).mean())
            if within < share:
                needed = _up(float(np.quantile(took, share, method="higher")))
                raise InputError(
                    f"{option(name)}: no ratio can meet {bound:g} s: even served alone, only "
                    f"{100 * within:.3g} % of requests meet it, and {100 * SHARE:g} % are needed; give more "
                    f"than {needed:g} s"
                )
        if float(((ttft <= self.ttft_s) & (tpot <= self.tpot_s)).mean()) < share:
            both = [_up(float(np.quantile(took, (1 + share) / 2, method="higher"))) for took in (ttft, tpot)]
            raise InputError(
                f"{option('slo_ttft_s')} and {option('slo_tpot_s')}: no ratio can meet both "
                f"{self.ttft_s:g} s and {self.tpot_s:g} s: even served alone, too few "
                f"requests do; give {both[0]:g} s and {both[1]:g} s"
            )

    def record(self) -> ServingRecord:
        """Give what the result of a search says of it."""
        return ServingRecord(
            preset=self.preset,
            total=self.total,
            transfer=self.transfer,
            bytes_per_token=self.bytes_per_token,
            launch_s=self.launch_s,
            ttft_s=self.ttft_s,
            tpot_s=self.tpot_s,
            share=SHARE,
        )


def _up(value: float) -> float:
    """Two digits that are not below the value."""
    digit = 10.0 ** (math.floor(math.log10(value)) - 1) if value > 0 else 1.0
    return float(f"{math.ceil(value / digit) * digit:.6g}")


def keeps(load: ScalableLoad, serving: Serving, turns: Turns, rate_rps: float) -> bool:
    """Simulate whether enough requests are within both bounds.

    Parameters
    ----------
    load
        The load.
    serving
        Instances and bounds.
    turns
        The ratio over time.
    rate_rps
        Rate to which the load is scaled, in requests per second.
    """
    allowed = load.allowed
    factor = rate_rps / load.rate_rps
    cluster = Deployment(serving.rig(load, rate_rps), turns[0][1], serving.total - turns[0][1])
    looks = [(load.span_s * i / CHECKS, 0) for i in range(1, CHECKS + 1)]
    for at_s, prefill in sorted([*looks, *turns[1:]]):
        cluster.advance(at_s / factor)
        if cluster.lost() > allowed:
            return False
        if prefill:
            cluster.turn(prefill)
    cluster.advance(math.inf)
    return cluster.bad <= allowed


def goodput(
    load: ScalableLoad, serving: Serving, turns: Turns, guess_rps: float, tolerance: float = TOLERANCE
) -> float:
    """Find the highest rate at which enough requests are within both bounds.

    Rates are tried from `guess_rps` on, in strides that grow until one rate is known that is too high and one
    that is low enough: a good guess costs two runs. Whether bounds are kept need not fall with every step of
    the rate; the rate that is found is one where it turns.

    Parameters
    ----------
    load
        The load.
    serving
        Instances and bounds.
    turns
        The ratio over time.
    guess_rps
        The first rate to try, in requests per second.
    tolerance
        Relative distance of rates at which the search ends.

    Returns
    -------
    float
        Requests per second; 0 if no rate is low enough.

    Raises
    ------
    InputError
        If all requests keep the bounds even when they come at once: then no rate is too high.
    """
    low, high = 0.0, math.inf
    rate, stride = guess_rps, (1 + tolerance) ** 2
    while high == math.inf or low == 0.0:
        if keeps(load, serving, turns, rate):
            if load.requests / rate < AT_ONCE_S:
                raise InputError(
                    f"{load.name}: its {load.requests:,} requests meet the bounds even if all arrive at "
                    f"once, so there is no highest rate; take more requests or a smaller {option('total')}"
                )
            low, rate = rate, rate * stride
        else:
            high, rate = rate, rate / stride
        stride = min(stride**2, LONGEST_STRIDE)
        if low == 0.0 and rate < LOWEST * guess_rps:
            return 0.0
    while high > low * (1 + tolerance):
        rate = math.sqrt(low * high)
        if keeps(load, serving, turns, rate):
            low = rate
        else:
            high = rate
    return low


def guess(load: ScalableLoad, serving: Serving) -> float:
    """Guess a rate: half of what all instances would serve in batches that are far from full.

    Parameters
    ----------
    load
        The load.
    serving
        Instances and bounds.

    Returns
    -------
    float
        Requests per second.
    """
    cost = serving.preset.latency
    ttft, tpot = serving.alone(load)
    steps = np.array(load.response_tokens) - 1.0
    batch = max(serving.preset.max_num_seqs / 4, 1.0)
    work_s = float(ttft.mean()) + float((steps * tpot).mean()) / batch
    return serving.total / (2 * max(work_s, cost.a_d_ms / 1e3))


def course(load: ScalableLoad, serving: Serving, turns: Turns, rate_rps: float) -> Array:
    """Simulate a whole run and tell which requests were good.

    Parameters
    ----------
    load
        The load.
    serving
        Instances and bounds.
    turns
        The ratio over time.
    rate_rps
        Rate to which the load is scaled, in requests per second.

    Returns
    -------
    Array
        1 for a request within both bounds, else 0, in the load's order.
    """
    factor = rate_rps / load.rate_rps
    rig = serving.rig(load, rate_rps)
    cluster = Deployment(rig, turns[0][1], serving.total - turns[0][1], record=True)
    for at_s, prefill in turns[1:]:
        cluster.advance(at_s / factor)
        cluster.turn(prefill)
    cluster.advance(math.inf)
    first, ended = np.array(cluster.first_s), np.array(cluster.ended_s)
    steps = np.array(rig.out) - 1.0
    good = (first - np.array(rig.at_s) <= serving.ttft_s) & (ended <= first + serving.tpot_s * steps)
    return np.asarray(good, dtype=float)
