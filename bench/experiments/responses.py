"""A served model's own response lengths compared with a trace's (paper 3.3, Fig. 7, 8 and 10).

The trace's answered requests are asked again, as texts of their request lengths, with no length forced;
what the model answers is compared with what the trace has, request by request, by the same measures that
describe a trace. Dummy weights and simulated answers have no lengths of their own: they are refused. Not
here: how texts are cut (`burstlens.bench.prompts.text`), sending, and the measures
(`burstlens.analysis.lengths.part`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np
import polars as pl

from ...analysis.core.errors import InputError
from ...analysis.core.result import Interval, Part, number
from ...analysis.lengths.part import Lengths, describe_lengths
from ...analysis.trace.subset import requests_of, streams_of
from ...analysis.trace.trace import COLUMNS, Trace, TraceInfo, open_frame
from ..metrics.seeds import mean_over_seeds
from ..record.models import ANSWERED
from ..record.run_folder import read_record, read_workload
from ..workload.recipe import Recipe
from ..workload.table import Workload, requests_frame
from .backends import EndpointBackend
from .facts import ResponsesFacts
from .genuine import MARGIN, genuine
from .trials import RUNS, Experiment, Trial, at_hand

REQUESTS = 10_000
"""The paper's number of prompts."""
RATE_RPS = 2.0
CAP = 2048
"""Limit of response tokens, as in the paper."""
BINS_PER_E = 2
"""Request bins in which the two are compared: a ratio of 1.65 wide."""
FEWEST = 20
"""A bin of fewer requests is not compared."""
TRACE, MODEL = "trace", "served model"


def check(engine: EndpointBackend) -> list[str]:
    """Check whether a server's answers mean something.

    Returns
    -------
    list of str
        Notes for a reader.

    Raises
    ------
    InputError
        If the endpoint is simulated, or its model has dummy weights.
    """
    where = engine.target.url
    if engine.simulated:
        raise InputError(
            f"{where}: is the simulated endpoint (preset {engine.simulated}); its answers have the "
            "requested lengths, so a comparison would mean nothing; name a real server"
        )
    found = genuine(engine.target)
    if not found.known:
        return [
            f"{where} does not report how likely a prompt is, so its weights may be dummies: then the "
            "result means nothing."
        ]
    if not found.learnt:
        raise InputError(
            f"{where}: its model does not find English sentences likelier than the same words shuffled "
            f"({number(found.margin)} nats per token, below {MARGIN}): it runs on dummy weights, so "
            "the lengths of its answers mean nothing"
        )
    return [
        f"The model finds English sentences {number(found.margin)} nats per token "
        "likelier than shuffled ones."
    ]


def sample(trace: Trace, service: str | None, limit: int, rate_rps: float, seed: int) -> Workload:
    """Draw answered requests of a trace in random order, evenly spaced.

    Their response lengths stay in the workload, as what the trace has; they are not what is asked for.

    Parameters
    ----------
    trace
        An opened trace.
    service
        The service; None takes the conversation's requests, or all if the trace has no conversation.
    limit
        Number of requests; all if there are fewer.
    rate_rps
        Rate at which they are sent, in requests per second.
    seed
        Seed of the draw.

    Raises
    ------
    InputError
        If the trace does not have the service, or no request has both lengths.
    """
    if not trace.info.has_tokens:
        raise InputError(f"{trace.info.name}: has no token counts; experiment responses needs both lengths")
    if service is None and "conversation" in streams_of(trace)["service"]:
        service = "conversation"
    found = requests_of(trace, service=service)
    rows = found.filter((pl.col("request_tokens") > 0) & (pl.col("response_tokens") > 0))
    if rows.is_empty():
        raise InputError(f"{trace.info.name}: no request has both lengths")
    drawn = rows.sample(min(limit, rows.height), shuffle=True, seed=seed)
    known = drawn.select(
        "service",
        "model",
        "request_tokens",
        "response_tokens",
        at_s=pl.int_range(pl.len()) / rate_rps,
    )
    recipe: Recipe = {"source": trace.info.name, "service": service, "first": limit, "seed": seed}
    return Workload(requests_frame(known), trace.info.name, trace.info.synthetic, recipe)


def trials(load: Workload, seed: int) -> list[Trial]:
    """List the one trial.

    Parameters
    ----------
    load
        What `sample` drew.
    seed
        Its seed.
    """
    return [Trial({"seed": seed}, partial(at_hand, load), course=True)]


@dataclass(frozen=True)
class Answers(Part):
    """Each request's two response lengths, the trace's and the served model's."""

    name: ClassVar[str] = "answers"
    title: ClassVar[str] = "Responses of trace and model"
    lead: ClassVar[str] = "Each request’s two response lengths, set side by side."

    sides: pl.DataFrame
    """One row a side: `side`, `n`, `mean`, `sd`, `p10` to `p99`, `spearman`, `at_cap`."""
    bins: pl.DataFrame
    """One row a request bin: `request_low`, `request_high`, `n`, both means and sds, `difference` and
    its interval."""
    difference: Interval
    """Mean of the model's response minus the trace's, tokens, paired by request."""
    distance: float
    """Kolmogorov–Smirnov distance of the two distributions of response lengths."""
    cap: int

    def tables(self) -> dict[str, pl.DataFrame]:
        """Give both sides, and both by request bin."""
        return {"sides": self.sides, "bins": self.bins}

    def sentences(self) -> list[str]:
        """Say how much longer answers are, how each side depends on the request, how many reach the cap."""
        if self.sides.height < 2:
            return []
        trace, model = self.sides.to_dicts()
        longer = "longer" if self.difference.value > 0 else "shorter"
        low, high = sorted(abs(end) for end in (self.difference.low, self.difference.high))
        longer_text = (
            f"{number(abs(self.difference.value))} tokens {longer} [{number(low)}, {number(high)}]"
            if self.difference.low > 0 or self.difference.high < 0
            else f"as long within noise ({number(self.difference.value)} tokens "
            f"[{number(self.difference.low)}, {number(self.difference.high)}])"
        )
        return [
            f"On the same {trace['n']:,} requests the served model's responses are {longer_text} on average: "
            f"{number(model['mean'])} tokens, the trace has {number(trace['mean'])}.",
            f"The two distributions of response lengths are {number(100 * self.distance)} % apart "
            "(Kolmogorov–Smirnov distance).",
            f"Response and request length go together with rank correlation {number(model['spearman'])} "
            f"in the model and {number(trace['spearman'])} in the trace.",
            f"{number(100 * model['at_cap'])} % of the model's responses end at the cap of {self.cap:,} "
            "tokens.",
        ]


def parts(experiment: Experiment) -> tuple[Answers, Lengths]:
    """Make the parts: both sides of every answered request, and the lengths of both."""
    pairs = []
    for folder in sorted((experiment.folder / RUNS).iterdir(), key=lambda path: int(path.name)):
        record = read_record(folder).filter(pl.col("outcome").is_in(ANSWERED), pl.col("response_tokens") > 0)
        load = read_workload(folder).requests.select(
            "request_id", "at_s", "service", "model", "request_tokens", trace_tokens="response_tokens"
        )
        pairs.append(load.join(record.select("request_id", model_tokens="response_tokens"), on="request_id"))
    both = pl.concat(pairs)
    if both.height < 2:
        raise InputError(f"{experiment.folder}: fewer than two requests were answered; nothing to compare")
    return _answers(both, experiment.question.typed_facts(ResponsesFacts).cap), _lengths(both, experiment)


def _answers(both: pl.DataFrame, cap: int) -> Answers:
    """The paired comparison of `request_tokens`, `trace_tokens` and `model_tokens`."""
    quantiles = {"p10": 0.1, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p90": 0.9, "p95": 0.95, "p99": 0.99}
    rows = []
    for side, column in ((TRACE, "trace_tokens"), (MODEL, "model_tokens")):
        values = both[column].cast(pl.Float64)
        rows.append(
            {
                "side": side,
                "n": both.height,
                "mean": values.mean(),
                "sd": values.std(),
                **{name: values.quantile(q, "nearest") for name, q in quantiles.items()},
                "spearman": both.select(pl.corr("request_tokens", column, method="spearman")).item(),
                "at_cap": float((values >= cap).mean() or 0.0),  # type: ignore[arg-type]
            }
        )
    cell = (pl.col("request_tokens").cast(pl.Float64).log() * BINS_PER_E).floor().cast(pl.Int64)
    bins = []
    for (at,), group in (
        both.with_columns(cell.alias("cell")).sort("cell").group_by("cell", maintain_order=True)
    ):
        if group.height < FEWEST:
            continue
        paired = mean_over_seeds((group["model_tokens"] - group["trace_tokens"]).to_numpy().astype(float))
        bins.append(
            {
                "request_low": math.ceil(math.exp(int(at) / BINS_PER_E) - 1e-9),
                "request_high": math.ceil(math.exp((int(at) + 1) / BINS_PER_E) - 1e-9),
                "n": group.height,
                "trace_mean": group["trace_tokens"].mean(),
                "trace_sd": group["trace_tokens"].std(),
                "model_mean": group["model_tokens"].mean(),
                "model_sd": group["model_tokens"].std(),
                "difference": paired.value,
                "difference_low": paired.low,
                "difference_high": paired.high,
            }
        )
    trace, model = (np.sort(both[c].to_numpy()) for c in ("trace_tokens", "model_tokens"))
    at_all = np.union1d(trace, model)
    distances = np.abs(
        np.searchsorted(trace, at_all, side="right") / len(trace)
        - np.searchsorted(model, at_all, side="right") / len(model)
    )
    difference = mean_over_seeds((both["model_tokens"] - both["trace_tokens"]).to_numpy().astype(float))
    table = pl.DataFrame(bins, infer_schema_length=None)
    return Answers((), pl.DataFrame(rows), table, difference, float(distances.max()), cap)


def _lengths(both: pl.DataFrame, experiment: Experiment) -> Lengths:
    """The lengths of both sides as those of two services of one trace."""
    sides = [
        both.select(
            pl.col("at_s").alias("arrival_s"),
            pl.lit(side).alias("service"),
            pl.lit(None, pl.String).alias("model"),
            pl.lit(None, pl.String).alias("session"),
            "request_tokens",
            pl.col(column).alias("response_tokens"),
            pl.lit(None, pl.Float64).alias("elapsed_s"),
            pl.lit(False).alias("failed"),
        )
        for side, column in ((TRACE, "trace_tokens"), (MODEL, "model_tokens"))
    ]
    columns = {name: kind for name, kind in COLUMNS.items() if name in sides[0].columns}
    frame = (
        pl.concat(sides)
        .sort("arrival_s", maintain_order=True)
        .select(pl.col(name).cast(kind) for name, kind in columns.items())
    )
    info = TraceInfo("answers", "run", (), frame.height, 0, 0, 1e-3, None, experiment.question.synthetic)
    with_both = open_frame(frame, info)
    try:
        return describe_lengths(with_both, seed=0)
    finally:
        with_both.engine.close()


def statements(answers: Answers, lengths: Lengths) -> dict[str, bool | None]:
    """Judge what the paper says of Llama-2-13b-chat and ChatGPT, for the model in hand.

    Parameters
    ----------
    answers
        Response lengths of trace and model.
    lengths
        How response lengths depend on request lengths, for trace and model.

    Returns
    -------
    dict
        By statement: it holds (True), does not (False), or noise hides it (None).
    """
    slopes = {row["service"]: row for row in lengths.frames["slope"].to_dicts() if row["range"] == "all"}
    outcomes: dict[str, bool | None] = {}
    shorter = answers.difference
    outcomes["the trace's responses are shorter than the model's"] = (
        True if shorter.low > 0 else False if shorter.high < 0 else None
    )
    for words, side, sign in (
        ("response length grows with request length in the trace", TRACE, 1),
        ("it falls with request length in the model", MODEL, -1),
    ):
        row = slopes.get(side)
        if row is None or row["slope_low"] is None:
            outcomes[words] = None
            continue
        low, high = sorted((sign * row["slope_low"], sign * row["slope_high"]))
        outcomes[words] = True if low > 0 else False if high < 0 else None
    return outcomes


def value(answers: Answers) -> str:
    """Write the means of both sides and their paired difference."""
    trace, model = answers.sides.to_dicts()
    difference = answers.difference
    return (
        f"mean response {number(model['mean'])} tokens against {number(trace['mean'])} in the trace, "
        f"difference {number(difference.value)} [{number(difference.low)}, {number(difference.high)}]; "
        f"rank correlation with the request {number(model['spearman'])} against {number(trace['spearman'])}"
    )
