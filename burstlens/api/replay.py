"""The verbs that make a run: `replay` against a server, `simulate` in virtual time; `gather` joins shards.

Not here: sending (`burstlens.bench.client`), the simulated engine (`burstlens.bench.simulated`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..analysis.core.errors import InputError
from ..analysis.core.option_names import option
from ..analysis.core.result import silent
from .event_loop import run_outside_event_loop
from .options import Log, check_backend, checked_api, checked_scheduling, paths, source_text
from .prompts import PromptOptions
from .run import Run
from .workload import WorkloadOptions, hinting_served_model

if TYPE_CHECKING:
    from threading import Event

    from ..analysis.core.result import Progress
    from ..bench.prompts.token_ids import Prompts
    from ..bench.record.models import Manifest
    from ..bench.settings import Settings, Status
    from ..bench.simulated.presets import Preset
    from ..bench.workload.table import Workload
    from .workload import Lengths, Sessions


def replay(
    source: Log | Workload,
    out: Log,
    *,
    url: str | None = None,
    simulate: str | None = None,
    served_model: str | None = None,
    api: str = "completions",
    key: str | None = None,
    service: str | None = None,
    model: str | None = None,
    start_s: float | None = None,
    end_s: float | None = None,
    first: int | None = None,
    rate_rps: float | None = None,
    speedup: float | None = None,
    spread: bool = True,
    sessions: Sessions | None = None,
    lengths: Lengths | None = None,
    context: int | None = None,
    tokens: tuple[int, int] | None = None,
    seed: int = 0,
    share_prefixes: bool = False,
    vocabulary: tuple[int, int] | None = None,
    prompts: Prompts | Log | None = None,
    tokenizer: Log | None = None,
    prompt_memory: int | None = None,
    own_lengths: bool = False,
    max_tokens: int | None = None,
    body: Mapping[str, Any] | None = None,
    workers: int = 1,
    shard: str | None = None,
    start_at: str | float | None = None,
    clock: str = "endpoint",
    max_concurrency: int | None = None,
    retries: int = 0,
    timeout_s: float = 600.0,
    grace_s: float = 30.0,
    slo_ttft_s: float | None = None,
    slo_tpot_s: float | None = None,
    slo_e2e_s: float | None = None,
    scheduling: str = "fcfs",
    resume: bool = False,
    settings: Settings | None = None,
    progress: Progress | None = None,
    watch: Callable[[Status], None] | None = None,
    waiting: Callable[[str], None] | None = None,
) -> Run:
    """Send a workload, each request at its instant, and write record and summary into the folder `out`.

    Parameters
    ----------
    source
        A `Workload`, or whatever `workload` makes one of: a trace, `parameters.json`, constants, a run.
    out
        Folder of the run. A new run needs a new folder.
    url
        Base URL of an OpenAI-compatible server.
    simulate
        Instead of `url`: run in virtual time on this preset of the simulated engine, or on a profile file.
    served_model
        Model to ask the server for, by default the one that it lists.
    api
        `"completions"` or `"chat"`.
    key
        Key of the endpoint. It goes into the requests' headers and nowhere else.
    service, model, start_s, end_s, first, rate_rps, speedup, spread, sessions, lengths, context, tokens
        As in `workload`; not for a `Workload`, which is sent as it is.
    seed
        Seed of all that is drawn, prompts included.
    share_prefixes
        Let turns of a session begin with the conversation so far, and share prefix blocks.
    vocabulary
        First and last token id of prompts.
    prompts
        A file of texts (ShareGPT or Alpaca), or prompts made by `text_prompts`, instead of token ids.
    tokenizer, prompt_memory
        For a file of texts: the served model's `tokenizer.json`; the limit of the index in bytes.
    own_lengths
        Let the model end its answers itself, with at most `max_tokens`, or else the trace's length.
    max_tokens
        Cap of response tokens.
    body
        Further fields of each request, such as `{"temperature": 0}`.
    workers
        Number of processes that send.
    shard
        `"2/4"`: send only this part of the workload, counted from 0. `gather` joins the parts.
    start_at
        Begin at this instant: ISO 8601 with an offset, or Unix seconds.
    clock
        What a shard compares this machine's clock with: `"endpoint"`, or a folder that all senders share.
    max_concurrency
        Limit of requests in flight; by default there is none (open loop).
    retries
        How often a request is sent again that was refused, or answered with 429 or 5xx.
    timeout_s
        Seconds after which a request is given up.
    grace_s
        Seconds that open requests may go on after an interrupt.
    slo_ttft_s, slo_tpot_s, slo_e2e_s
        Bounds for goodput, in seconds: time to first token, time per output token, end to end.
    scheduling
        Policy of the simulated engine: `"fcfs"` or `"priority"`.
    resume
        Go on with a run that was cut off.
    settings
        How to send, as one object, instead of the options from `own_lengths` to `grace_s`.
    watch
        Called twice a second with the state of the run.
    waiting
        Called with a line about what will begin, before a common start.

    Returns
    -------
    Run
        `.verdict` says whether the load that arrived is the load that was intended, `.summary` has the
        results, `.report()` writes the page.

    Raises
    ------
    BurstlensError
        The source, the endpoint or the folder cannot be used.

    Examples
    --------
    >>> run = bl.replay("shape=0.5,scale=0.1,exponent=1.1", "virtual", simulate="llama-2-13b-a100", first=20)
    >>> run.summary.metrics.answered
    20
    >>> load = bl.workload("shape=0.5,scale=0.1,exponent=1.1", first=20)
    >>> bl.replay(load, "never", url="http://127.0.0.1:9")
    Traceback (most recent call last):
    burstlens.analysis.core.errors.EndpointError: ...
    """
    check_backend(url, simulate)
    if simulate is not None and (shard is not None or start_at is not None):
        raise InputError(
            f"{option('shard')} and {option('start_at')} are for {option('url')}; in virtual time one "
            "process sends everything"
        )
    options = WorkloadOptions(
        service, model, start_s, end_s, first, rate_rps, speedup, None, spread, sessions, lengths, context,
        tokens, seed,
    )  # fmt: skip
    prompt_options = PromptOptions(share_prefixes, vocabulary, prompts, tokenizer, prompt_memory)
    prompt_options.check(simulate)
    slo = (slo_ttft_s, slo_tpot_s, slo_e2e_s)
    show = progress or silent
    load = _load(source, options, show)
    if simulate is not None:
        from ..bench.prompts.token_ids import NO_PREFIX_CACHE

        notes = [NO_PREFIX_CACHE] if share_prefixes else []
        return _simulate(load, simulate, Path(out), scheduling, notes, slo, show)
    from ..bench.client.run import run
    from ..bench.client.shards import Shard, parse_start
    from ..bench.settings import Settings, Target

    target = Target(url or "", served_model, checked_api(api), key)
    how = Settings(
        timeout_s=timeout_s,
        grace_s=grace_s,
        max_concurrency=max_concurrency,
        workers=workers,
        retries=retries,
        ignore_eos=not own_lengths,
        max_tokens=max_tokens,
        extra=body or {},
    )
    if settings is not None:
        if how != Settings():
            raise InputError("settings: say how to send with settings or with single options, not both")
        how = settings
    part = None if shard is None else Shard.parse(shard)
    start_unix_s = None if start_at is None else parse_start(str(start_at))

    def send(stop: Event) -> Manifest:
        def watched(status: Status) -> bool:
            if watch is not None:
                watch(status)
            return stop.is_set()

        if prompt_options.file is not None:
            # Counting a file of texts takes long: whether the server can be used is asked before.
            from ..bench.client.preflight import preflight

            preflight(target)
        return run(
            load,
            prompt_options.make(seed, api, show),
            target,
            how,
            Path(out),
            resume=resume,
            shard=part,
            start_unix_s=start_unix_s,
            clock=clock,
            waiting=waiting,
            watch=watched,
        )

    return _summarized(Path(out), run_outside_event_loop(send), slo)


def simulate(
    load: Workload,
    preset: str | Preset,
    out: Log,
    *,
    scheduling: str = "fcfs",
    notes: Sequence[str] = (),
    slo_ttft_s: float | None = None,
    slo_tpot_s: float | None = None,
    slo_e2e_s: float | None = None,
    progress: Progress | None = None,
) -> Run:
    """Serve a workload on the simulated engine in virtual time; the folder `out` is as `replay` writes it.

    Parameters
    ----------
    load
        The workload.
    preset
        Name of a preset (`burstlens serve --list`), a profile file, or a `Preset`.
    out
        Folder of the run.
    scheduling
        `"fcfs"` or `"priority"`.
    notes
        Sentences that are stored and shown with the run.
    slo_ttft_s, slo_tpot_s, slo_e2e_s
        Bounds for goodput, in seconds.

    Examples
    --------
    >>> load = bl.workload("synthetic.csv", first=200, rate_rps=1.0)
    >>> run = bl.simulate(load, "llama-2-13b-a100", "run")
    >>> print(run.verdict)
    trustworthy
    >>> run.to_frame("requests").height
    200
    """
    slo = (slo_ttft_s, slo_tpot_s, slo_e2e_s)
    return _simulate(load, preset, Path(out), scheduling, notes, slo, progress or silent)


def gather(runs: Sequence[Log], out: Log) -> Run:
    """Join the folders that `replay` wrote for all shards of one workload into one run folder `out`.

    Examples
    --------
    >>> bl.gather(["no-run"], "joined")
    Traceback (most recent call last):
    burstlens.analysis.core.errors.InputError: ...
    """
    from ..bench.client.merge_shards import gather as join

    return Run(Path(out), join(paths(runs), Path(out)))


def _load(source: Log | Workload, options: WorkloadOptions, progress: Progress) -> Workload:
    """The workload to send."""
    if isinstance(source, str | PathLike):
        from .workload_process import load_in_subprocess

        with hinting_served_model(options):
            return load_in_subprocess(source_text(source), options, progress=progress)
    name = next((each for each in options.given() if each != "seed"), None)
    if name is not None:
        raise InputError(
            f"{option(name)}: selects from a trace or from parameters; a workload is sent as it is. Give "
            "it to burstlens.workload"
        )
    return source


def _simulate(
    load: Workload,
    preset: str | Preset,
    out: Path,
    scheduling: str,
    notes: Sequence[str],
    slo: tuple[float | None, float | None, float | None],
    progress: Progress,
) -> Run:
    from ..bench.simulated.presets import load_preset
    from ..bench.simulated.run_folder import simulate as serve

    chosen = load_preset(preset) if isinstance(preset, str | PathLike) else preset
    policy = checked_scheduling(scheduling)
    manifest = serve(load, chosen, out, scheduling=policy, notes=notes, progress=progress)
    return _summarized(out, manifest, slo)


def _summarized(out: Path, manifest: Manifest, slo: tuple[float | None, float | None, float | None]) -> Run:
    """The run with its summary written. What only the end needs is loaded here, not before the first send."""
    from ..bench.metrics.models import Slo

    return Run.summarized(out, manifest, None if slo == (None, None, None) else Slo(*slo))
