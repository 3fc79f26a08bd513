"""The experiment `responses`: a served model's own response lengths next to a trace's (paper 3.3).

Not here: what it asks and concludes (`burstlens.bench.experiments.responses`).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from ...analysis.core.errors import InputError
from ...analysis.core.option_names import option
from ...analysis.core.result import silent
from ..options import Log, checked_api, source_text
from ..prompts import PromptOptions
from .backend import TIMEOUT_S, open_source, sources_of
from .result import ExperimentResult, evaluated

if TYPE_CHECKING:
    from ...analysis.core.result import Progress
    from ...bench.experiments.trials import Experiment
    from ...bench.prompts.token_ids import Prompts
    from ...bench.settings import Api
    from .backend import Watch


class ResponsesOptions(TypedDict, total=False):
    """The options of `responses`."""

    log: Log | None
    url: str | None
    served_model: str | None
    key: str | None
    api: str
    prompts: Prompts | Log | None
    tokenizer: Log | None
    prompt_memory: int | None
    service: str | None
    requests: int | None
    rate_rps: float | None
    max_tokens: int | None
    max_concurrency: int | None
    timeout_s: float
    seed: int
    progress: Progress | None


def responses(
    log: Log | None = None,
    out: Log = "reports/build/responses",
    *,
    url: str | None = None,
    served_model: str | None = None,
    key: str | None = None,
    api: str = "completions",
    prompts: Prompts | Log | None = None,
    tokenizer: Log | None = None,
    prompt_memory: int | None = None,
    service: str | None = None,
    requests: int | None = None,
    rate_rps: float | None = None,
    max_tokens: int | None = None,
    max_concurrency: int | None = None,
    timeout_s: float = TIMEOUT_S,
    seed: int = 0,
    progress: Progress | None = None,
) -> ExperimentResult:
    """A served model's own response lengths next to a trace's (paper 3.3).

    Parameters
    ----------
    log
        The trace; by default the embedded synthetic one.
    out
        Folder of the trials. The same call goes on where it was stopped.
    url, served_model, key, api
        The server, as in `replay`. It needs real weights.
    prompts
        A file of texts (ShareGPT or Alpaca), or prompts made by `text_prompts`.
    tokenizer, prompt_memory
        For a file of texts: the served model's `tokenizer.json`; the limit of the index in bytes.
    service
        Service of the trace, by default conversation.
    requests
        Number of requests, 10,000 by default.
    rate_rps
        Requests per second, evenly spaced, 2 by default.
    max_tokens
        Cap of response tokens, 2,048 by default.
    max_concurrency
        Limit of requests in flight; by default there is none.
    timeout_s
        Seconds after which a request is given up.
    seed
        Seed of the choice of requests and texts.

    Raises
    ------
    BurstlensError
        The server is the simulated engine, or serves dummy weights: such answers have no lengths of their
        own.
    """
    if url is None:
        raise InputError(
            f"experiment responses needs a real model: name its server with {option('url')}. The simulated "
            "engine answers with the requested lengths, so a comparison would mean nothing"
        )
    options = PromptOptions(prompts=prompts, tokenizer=tokenizer, prompt_memory=prompt_memory)
    if prompts is None or (options.file is not None and tokenizer is None):
        raise InputError(
            f"experiment responses needs texts: {option('prompts')}, a file (ShareGPT or Alpaca), and the "
            f"model's {option('tokenizer')}"
        )
    return evaluated(
        lambda watch, show: run_responses(
            None if log is None else source_text(log),
            Path(out),
            url=url,
            prompts=options.make(seed, api, show),
            served_model=served_model,
            key=key,
            api=checked_api(api),
            service=service,
            requests=requests,
            rate_rps=rate_rps,
            max_tokens=max_tokens,
            max_concurrency=max_concurrency,
            timeout_s=timeout_s,
            seed=seed,
            watch=watch,
            progress=show,
        ),
        progress,
    )


def run_responses(
    log: str | None,
    out: Path,
    *,
    url: str | None,
    prompts: Prompts,
    served_model: str | None = None,
    key: str | None = None,
    api: Api = "completions",
    service: str | None = None,
    requests: int | None = None,
    rate_rps: float | None = None,
    max_tokens: int | None = None,
    max_concurrency: int | None = None,
    timeout_s: float = TIMEOUT_S,
    seed: int = 0,
    watch: Watch | None = None,
    progress: Progress = silent,
) -> Experiment:
    """`responses` in this thread; the trials as they were measured. `prompts` are of text."""
    from ...bench.experiments import responses as asks
    from ...bench.experiments.backends import EndpointBackend
    from ...bench.experiments.facts import ResponsesFacts
    from ...bench.experiments.trials import Question, run
    from ...bench.record.versioned_json import to_dict
    from ...bench.settings import Settings, Target

    if url is None:
        raise InputError(
            f"experiment responses needs a real model: name its server with {option('url')}. The simulated "
            "engine answers with the requested lengths, so a comparison would mean nothing"
        )
    if not prompts.text:
        raise InputError(
            "experiment responses needs prompts of text: a model does not answer random token ids"
        )
    wanted, limit, rate = requests or asks.REQUESTS, max_tokens or asks.CAP, rate_rps or asks.RATE_RPS
    settings = Settings(
        timeout_s=timeout_s, max_concurrency=max_concurrency, ignore_eos=False, max_tokens=limit
    )
    engine = EndpointBackend.at(Target(url, served_model, api, key), settings, prompts=prompts, watch=watch)
    notes = asks.check(engine)
    trace = open_source(log, progress)
    try:
        load = asks.sample(trace, service, wanted, rate, seed)
        question_options = {
            "sources": sources_of(trace),
            "service": service,
            "first": wanted,
            "rate_rps": rate,
            "cap": limit,
            "seed": seed,
        }
        synthetic = trace.info.synthetic
    finally:
        trace.engine.close()
    n = len(load.requests)
    if n < wanted:
        notes.append(f"{n:,} requests, not {wanted:,}: the trace has no more with both lengths.")
    facts = ResponsesFacts(n, limit, load.name)
    question = Question(
        "responses",
        question_options,
        engine.as_dict(),
        engine.title,
        None,
        synthetic,
        [seed],
        0,
        to_dict(facts),
        notes,
    )
    return run(question, asks.trials(load, seed), engine, out, progress=progress)
