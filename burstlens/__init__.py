"""Trace analytics and characterization for LLM serving.

Each verb of the command line is a function here, with the same name and the same words. Nothing prints;
`progress` is optional everywhere: a function of (step, share done). Bad input raises `BurstlensError`,
whose text is one line that names the file and the fix. Heavy libraries are loaded when a function needs
them, not when the package is imported.

Results know how to show themselves in a notebook, and all in the same way: `to_frame()` is the table that a
reader wants, `to_frames()` every table by name, as Polars frames; `figures()` are the charts by name.

The examples read `synthetic.csv`, a day of the embedded synthetic trace:

    >>> import burstlens as bl
    >>> bl.synth("synthetic.csv", days=1, seed=7).info.synthetic
    True
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .analysis.core.errors import (
    BurstlensError,
    DiskError,
    EndpointError,
    InputError,
    MissingExtraError,
)
from .analysis.core.exhibit import Renderer, set_renderer

if TYPE_CHECKING:
    from threading import Event

    from .analysis.characterize import Characterization
    from .analysis.core.result import Progress
    from .analysis.interchange.parameters import Parameters
    from .analysis.trace.trace import Cluster, Ingested, Trace
    from .analysis.traffic.arrivals import Arrivals
    from .api.compare import Compared
    from .api.disaggregate import Disaggregated
    from .api.experiment_result import Evaluated
    from .api.export import Exported
    from .api.forecast import Forecasted
    from .api.run import Ran
    from .bench.experiments.trials import Experiment
    from .bench.prompts.token_ids import Prompts
    from .bench.record.models import Manifest
    from .bench.server.calibrate import Calibration
    from .bench.settings import Settings, Status
    from .bench.simulated.presets import Preset
    from .bench.workload.table import Workload
    from .gpu.evaluate import GpuEvaluated
    from .public_traces.catalogue import Fetched
    from .reports.pages.trace import Report

__version__ = "0.1.0"
__all__ = [
    "BurstlensError",
    "DiskError",
    "EndpointError",
    "InputError",
    "MissingExtraError",
    "arrivals",
    "calibrate",
    "compare",
    "describe",
    "disaggregate",
    "experiment",
    "export",
    "fetch",
    "fit",
    "forecast",
    "gather",
    "gpu_evaluate",
    "ingest",
    "replay",
    "report",
    "serve",
    "serving",
    "simulate",
    "synth",
    "text_prompts",
    "trace",
    "workload",
]

ENGINES = ("duckdb", "spark")
"""What answers the questions: this process, or a cluster."""
LOCAL = "local[*]"
"""Spark's master unless another is named: this process and its cores."""

Log = str | PathLike[str]
"""Path of a request log in a known format, or of a canonical Parquet trace."""


def _renderer() -> Renderer:
    """What draws results, loaded when the first is shown."""
    from .reports import notebook

    return notebook


set_renderer(_renderer)


def _paths(logs: Log | Sequence[Log]) -> list[Path]:
    """One path or several, as a list."""
    return [Path(logs)] if isinstance(logs, str | PathLike) else [Path(log) for log in logs]


def _among(what: str, value: str, one: str, other: str) -> None:
    """BurstlensError where it is neither of the two."""
    if value not in (one, other):
        raise InputError(f"{what}: {value!r} is neither {one} nor {other}")


def _cluster(engine: str, master: str | None, conf: Mapping[str, str] | None) -> Cluster | None:
    """Where Spark runs, if it is asked for."""
    from .analysis.trace.trace import Cluster

    if engine not in ENGINES:
        raise InputError(f"engine: {engine!r} is none of {', '.join(ENGINES)}")
    if engine != "spark":
        if master or conf:
            raise InputError("a master and settings of Spark go with engine spark")
        return None
    return Cluster(master or LOCAL, conf or {})


def trace(
    logs: Log | Sequence[Log],
    *,
    columns: Mapping[str, str] | None = None,
    strict: bool = False,
    start_s: float | None = None,
    end_s: float | None = None,
    engine: str = "duckdb",
    master: str | None = None,
    conf: Mapping[str, str] | None = None,
) -> Trace:
    """Open one log, or several that make one trace, for questions.

    `columns` maps trace columns to the log's own (`{"arrival": "ts"}`) where the format is not known;
    `strict` stops at the first bad row, which is otherwise set aside in `trace.rejects`. Close the trace, or
    open it in a `with` block, to let go of the memory that its requests take. Only requests from `start_s`
    to `end_s` are read, in seconds since midnight of day 0. With `engine="spark"` the questions are answered
    by Spark on `master` (`local[*]`, `spark://HOST:PORT`, `yarn`, `k8s://…`), with Spark's settings `conf`
    (`{"spark.executor.memory": "8g"}`).

    >>> with bl.trace("synthetic.csv") as trace:
    ...     [selection.label for selection in trace.selections][:3]
    ...     trace.to_frame().columns[:2]
    ['all', 'api', 'api · ChatGPT']
    ['arrival_s', 'service']
    """
    from .analysis.trace.trace import open_trace

    return open_trace(
        _paths(logs),
        columns=columns,
        strict=strict,
        span=(start_s, end_s),
        cluster=_cluster(engine, master, conf),
    )


def ingest(
    logs: Log | Sequence[Log],
    out: Log,
    *,
    columns: Mapping[str, str] | None = None,
    strict: bool = False,
    partition_by: str | None = None,
    engine: str = "duckdb",
    master: str | None = None,
    conf: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> Ingested:
    """Turn any known log into a canonical Parquet trace; rejected rows go to a file beside it.

    Several logs make one trace. The result tells the trace's identity and where the rejects lie, if any. With
    `partition_by="day"`, and from Spark, `out` is a folder of Parquet files, a trace like any other.

    >>> done = bl.ingest("synthetic.csv", "trace.parquet")
    >>> done.info.rejected, done.out.name
    (0, 'trace.parquet')
    """
    from .analysis.trace.trace import ingest as run

    if partition_by not in (None, "day"):
        raise InputError(f"partition_by: {partition_by!r} is not day")
    return run(
        _paths(logs),
        out=Path(out),
        columns=columns,
        strict=strict,
        by_day=partition_by == "day",
        cluster=_cluster(engine, master, conf),
        progress=progress,
    )


def synth(
    out: Log | None = None, *, days: float = 61, seed: int = 7, progress: Progress | None = None
) -> Trace:
    """Make a synthetic BurstGPT of `days` days, the same for the same seed, and open it.

    With `out` it is written too: canonical Parquet, or the layout of BurstGPT's CSV by the suffix. It is
    calibrated to measured facts of the real trace, and is no evidence about any service.

    >>> bl.synth(days=0.25, seed=1).info.name
    'synthetic BurstGPT, 0.25 days, seed 1'
    """
    from .analysis.synthetic.trace import open_synthetic

    return open_synthetic(None if out is None else Path(out), days=days, seed=seed, progress=progress)


def describe(
    logs: Log | Sequence[Log],
    *,
    window_s: float = 1200.0,
    seed: int = 0,
    columns: Mapping[str, str] | None = None,
    strict: bool = False,
    start_s: float | None = None,
    end_s: float | None = None,
    engine: str = "duckdb",
    master: str | None = None,
    conf: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> Characterization:
    """Everything a trace says, as typed results with intervals, tables and sentences.

    `window_s` is the length in seconds of the windows that a Gamma is fitted to (the paper: 20 minutes).
    `seed` is that of every bootstrap: the same seed gives the same numbers. `.parts` are volume, periodicity,
    arrivals, burstiness, lengths, conversations and failures; `.part(Arrivals)` is one by its class. What to
    read and what answers is said as in `trace`.

    >>> said = bl.describe("synthetic.csv", window_s=3600)
    >>> windows = said.to_frame("arrivals.windows")
    >>> windows.filter(selection="all").height
    24
    >>> [name for name in said.figures() if name.startswith("failures")][:1]
    ['failures.rates']
    """
    from concurrent.futures import ThreadPoolExecutor
    from importlib import import_module

    # The fits' libraries take as long to load as a million rows: it is done while the log is read.
    with ThreadPoolExecutor(max_workers=1) as pool:
        loading = pool.submit(import_module, ".analysis.characterize", __package__)
        opened = trace(
            logs,
            columns=columns,
            strict=strict,
            start_s=start_s,
            end_s=end_s,
            engine=engine,
            master=master,
            conf=conf,
        )
    try:
        said: Characterization = loading.result().characterize(
            opened, window_s=window_s, seed=seed, progress=progress
        )
        return said
    finally:
        opened.engine.close()


def compare(
    one: Log,
    other: Log,
    *,
    window_s: float = 1200.0,
    seed: int = 0,
    columns: Mapping[str, str] | None = None,
    strict: bool = False,
    engine: str = "duckdb",
    master: str | None = None,
    conf: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> Compared:
    """Tell whether `other` is a faithful copy of `one`, statistic by statistic, within noise.

    Each is a trace, a run's folder, or fitted parameters, which are drawn by `seed`. Both are put on the
    coarser of their clocks. `engine`, `master` and `conf` are those of `trace`: Spark answers for what is a
    trace, and what is drawn stays in this process. `BurstlensError` where nothing can be compared.

    >>> bl.compare("synthetic.csv", "synthetic.csv").agrees
    True
    """
    from .analysis.core.result import silent
    from .api.compare import compare as run

    return run(
        str(one),
        str(other),
        window_s=window_s,
        seed=seed,
        columns=columns,
        strict=strict,
        cluster=_cluster(engine, master, conf),
        progress=progress or silent,
    )


def arrivals(source: Log | Sequence[Log] | Trace, *, window_s: float = 1200.0, seed: int = 0) -> Arrivals:
    """The Gamma of the gaps in each window: that part of `describe` alone, quick enough for a slider.

    `source` is an opened trace, which is quickest, or a log. `.windows` has a row a window and selection.

    >>> with bl.trace("synthetic.csv") as trace:
    ...     hours, minutes = (bl.arrivals(trace, window_s=s).windows.height for s in (3600, 300))
    >>> minutes // hours
    12
    """
    from .analysis.trace.trace import Trace
    from .analysis.traffic.arrivals import describe_arrivals

    if isinstance(source, Trace):
        return describe_arrivals(source, window_s=window_s, seed=seed)
    with trace(source) as opened:
        return describe_arrivals(opened, window_s=window_s, seed=seed)


def fit(
    logs: Log | Sequence[Log],
    out: Log | None = None,
    *,
    window_s: float = 1200.0,
    seed: int = 0,
    columns: Mapping[str, str] | None = None,
    strict: bool = False,
    start_s: float | None = None,
    end_s: float | None = None,
    engine: str = "duckdb",
    master: str | None = None,
    conf: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> Parameters:
    """Fitted parameters of a trace for other benchmarks, validated against the schema.

    Returns the content of `parameters.json`, a dictionary; with `out` it is written there too. `rate` is the
    Gamma's β in 1/s and `scale` is 1/β in seconds; the arrival rate is `rate_rps`.

    >>> fitted = bl.fit("synthetic.csv", "parameters.json", window_s=3600)
    >>> first = fitted["selections"][0]["arrivals"]["windows"][0]
    >>> abs(first["shape"] / first["rate"] - first["shape"] * first["scale"]) < 1e-9
    True
    >>> fitted.to_frame("windows").columns[:4]
    ['selection', 'start_s', 'n', 'rate_rps']
    """
    from .analysis.interchange.parameters import parameters, write_parameters

    said = describe(
        logs,
        window_s=window_s,
        seed=seed,
        columns=columns,
        strict=strict,
        start_s=start_s,
        end_s=end_s,
        engine=engine,
        master=master,
        conf=conf,
        progress=progress,
    )
    fitted = parameters(said)
    if out is not None:
        write_parameters(fitted, Path(out))
    return fitted


def export(
    source: Log,
    to: str,
    out: Log | None = None,
    *,
    columns: Mapping[str, str] | None = None,
    strict: bool = False,
    share_sessions: bool = False,
    progress: Progress | None = None,
    **choice: Any,
) -> Exported:
    """Write a trace, a run's folder or fitted parameters in format `to`, for another tool to run.

    The formats are those of `burstlens.analysis.interchange.formats.FORMS`. Parameters and constants are
    drawn first, by `seed`. `choice` selects as in `workload`: `service`, `model`, `start_s`, `end_s`,
    `first`, `tokens`, and for load generators `rate_rps` and `speedup`. The answer names what the format
    cannot hold.

    >>> done = bl.export("shape=0.5,scale=2,exponent=1.1", "vllm", "synthetic.jsonl", first=100)
    >>> done.rows, done.lost
    (100, ())
    """
    from .analysis.core.result import silent
    from .api.export import export as run

    return run(
        str(source),
        to,
        None if out is None else Path(out),
        columns=columns,
        strict=strict,
        share_sessions=share_sessions,
        progress=progress or silent,
        **choice,
    )


def forecast(
    logs: Log | Sequence[Log] = (),
    *,
    service: str | None = None,
    model: str | None = None,
    bins_s: Sequence[float] = (60.0, 600.0),
    horizon_s: float | None = None,
    origins: int = 4,
    parameters: Log | bool = False,
    window_s: float = 1200.0,
    seed: int = 0,
    columns: Mapping[str, str] | None = None,
    strict: bool = False,
    progress: Progress | None = None,
) -> Forecasted:
    """Forecast the load of a trace per time bin and score every method; its page is `.report(folder)`.

    Each service, or the `service` and `model` named, in bins of `bins_s` seconds, each bin `horizon_s` before
    it ends (one bin without). Without a log it runs on the embedded synthetic trace. With `parameters` the
    forecast of the held-out days is a parameter sequence too, written where that is a path.

    >>> bl.synth("three-days.parquet", days=3, seed=1).close()
    >>> done = bl.forecast("three-days.parquet", service="conversation", bins_s=[900.0], origins=2)
    >>> done.to_frame("verdicts")["target"].to_list()
    ['requests', 'request_tokens', 'token_load']
    """
    from .api.forecast import forecast as run

    return run(
        _paths(logs),
        service=service,
        model=model,
        bins_s=bins_s,
        horizon_s=horizon_s,
        origins=origins,
        parameters=parameters if isinstance(parameters, bool) else Path(parameters),
        window_s=window_s,
        seed=seed,
        columns=columns,
        strict=strict,
        progress=progress,
    )


def report(
    logs: Sequence[Log | Sequence[Log]] = (),
    out: Log = "reports/build",
    *,
    window_s: float = 1200.0,
    seed: int = 0,
    columns: Mapping[str, str] | None = None,
    strict: bool = False,
    images: bool = True,
    forecast: bool = False,
    disaggregate: bool = False,
    command: str = "burstlens.report()",
    start_s: float | None = None,
    end_s: float | None = None,
    engine: str = "duckdb",
    master: str | None = None,
    conf: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> Report:
    """The main job: page, figures, tables, claims and parameters of each log, in folder `out`.

    Without a log it runs on the embedded synthetic trace. An element of `logs` that is itself a list
    of paths is one trace in several files. With `forecast` its load is forecast too; with `disaggregate` the
    prefill:decode ratio is searched, simulated, on its busiest day, or part of one, of at most 5,000
    requests.

    >>> done = bl.report(["synthetic.csv"], "page", images=False)
    >>> done.page.name, done.to_frame("claims")["id"][0]
    ('index.html', 'size')
    """
    from .reports.pages.trace import write_report

    return write_report(
        [_paths(log) for log in logs],
        Path(out),
        window_s=window_s,
        seed=seed,
        columns=columns,
        strict=strict,
        images=images,
        forecast=forecast,
        disaggregate=disaggregate,
        command=command,
        span=(start_s, end_s),
        cluster=_cluster(engine, master, conf),
        progress=progress,
    )


def fetch(
    name: str,
    out: Log = ".",
    *,
    source: str | None = None,
    progress: Any = None,
    timeout_s: float = 30.0,
) -> Fetched:
    """Download a public trace by name, resume what was begun, and verify its SHA-256.

    `source` is a mirror: a base URL, a whole URL or a folder. `progress` is called with the bytes done and
    the bytes in all. `burstlens.public_traces.catalogue.list_public()` lists the names.

    >>> from burstlens.public_traces.catalogue import list_public
    >>> list_public()["name"][0]
    'burstgpt-1'
    >>> bl.fetch("burstgpt-one")
    Traceback (most recent call last):
    burstlens.analysis.core.errors.InputError: ...
    """
    from .public_traces.catalogue import fetch as run

    return run(name, out=Path(out), source=source, progress=progress, timeout_s=timeout_s)


def workload(source: Log, *, progress: Progress | None = None, **choice: Any) -> Workload:
    """Load from a trace, a parameter file, constants (`"shape=0.5,scale=2,exponent=1.1"`) or a run's folder.

    `choice` selects and scales: `service`, `model`, `start_s`, `end_s`, `first`, `rate_rps`, `speedup`,
    `spread`, `sessions`, `tokens`, `seed`; see `burstlens.bench.workload.from_trace` and
    `burstlens.bench.workload.from_parameters`.

    >>> load = bl.workload("synthetic.csv", service="conversation", first=100, rate_rps=2.0)
    >>> len(load.requests), round(load.rate_rps)
    (100, 2)
    >>> bl.workload("shape=0.5,scale=2,exponent=1.1", first=10, seed=1).to_frame().columns[:2]
    ['request_id', 'at_s']
    """
    from .analysis.core.result import silent
    from .api.workload import workload as make

    return make(str(source), progress=progress or silent, **choice)


def replay(
    load: Workload,
    out: Log,
    *,
    url: str,
    served_model: str | None = None,
    api: str = "completions",
    key: str | None = None,
    settings: Settings | None = None,
    prompts: Prompts | None = None,
    resume: bool = False,
    shard: str | None = None,
    start_at: str | float | None = None,
    clock: str = "endpoint",
    waiting: Callable[[str], None] | None = None,
    watch: Callable[[Status], None] | None = None,
) -> Ran:
    """Send a workload to an OpenAI-compatible endpoint, each request at its instant, into run folder `out`.

    `.verdict` says whether the load that arrived is the load that was asked for, `.summary` what came of it,
    `.report()` makes the page. `key` goes into the requests' headers and nowhere else. `watch` is called
    twice a second. `resume` goes on with a run that was cut off.

    With `start_at` (ISO 8601 with an offset, or Unix seconds) it begins then, and with `shard` (`"2/4"`,
    counted from 0) only that part is sent; `gather` makes one run of the parts. `clock` is what a shard
    compares this machine's clock with, `waiting` is told in a line what will begin.

    >>> load = bl.workload("shape=0.5,scale=0.1,exponent=1.1", first=20)
    >>> bl.replay(load, "never", url="http://127.0.0.1:9")
    Traceback (most recent call last):
    burstlens.analysis.core.errors.EndpointError: ...
    """
    from .api.event_loop import apart
    from .api.run import Ran
    from .bench.client.run import run
    from .bench.client.shards import Shard, parse_start
    from .bench.prompts.token_ids import TokenPrompts
    from .bench.settings import Settings, Target

    _among("api", api, "completions", "chat")
    target = Target(url, served_model, "chat" if api == "chat" else "completions", key)
    sent, into, how = prompts or TokenPrompts(), Path(out), settings or Settings()
    part = None if shard is None else Shard.parse(shard)
    begin_unix_s = None if start_at is None else parse_start(str(start_at))

    def send(stop: Event) -> Manifest:
        def watched(status: Status) -> bool:
            if watch is not None:
                watch(status)
            return stop.is_set()

        return run(
            load,
            sent,
            target,
            how,
            into,
            resume=resume,
            shard=part,
            start_unix_s=begin_unix_s,
            clock=clock,
            waiting=waiting,
            watch=watched,
        )

    return Ran(into, apart(send))


def gather(runs: Sequence[Log], out: Log) -> Ran:
    """Make one run folder `out` of the folders that `replay` wrote for all shards of one workload.

    Its summary, verdict and page are those of any run.

    >>> bl.gather(["no-run"], "whole")
    Traceback (most recent call last):
    burstlens.analysis.core.errors.InputError: ...
    """
    from .api.run import Ran
    from .bench.client.merge_shards import gather as run

    return Ran(Path(out), run(_paths(runs), Path(out)))


def text_prompts(
    file: Log,
    tokenizer: Log,
    *,
    memory: int | None = None,
    seed: int = 0,
    share: bool = False,
    api: str = "completions",
    progress: Progress | None = None,
) -> Prompts:
    """Prompts for `replay` and `calibrate` from a file in ShareGPT's or Alpaca's form, JSON or JSON lines.

    `tokenizer` is the served model's `tokenizer.json` or the folder that holds it; the package tokenizers is
    needed. `memory` in bytes bounds index and buffer (256 MB unless given). With `share`, turns of a session
    and prefix blocks of a trace begin alike; otherwise no two prompts do.

    >>> bl.text_prompts("ShareGPT.json", "tokenizer.json")
    Traceback (most recent call last):
    burstlens.analysis.core.errors.InputError: ...
    """
    from .analysis.core.result import silent
    from .bench.prompts.text import text_prompts as make
    from .bench.prompts.text_pool import MEMORY

    _among("api", api, "completions", "chat")
    return make(
        Path(file),
        Path(tokenizer),
        memory=MEMORY if memory is None else memory,
        seed=seed,
        share=share,
        api="chat" if api == "chat" else "completions",
        progress=progress or silent,
    )


def simulate(
    load: Workload,
    preset: str | Preset,
    out: Log,
    *,
    scheduling: str = "fcfs",
    notes: Sequence[str] = (),
    progress: Progress | None = None,
) -> Ran:
    """Serve a workload on the simulated engine in virtual time; the same run folder as `replay` writes.

    `preset` is a name (`burstlens serve --list`) or a `Preset`. `notes` are kept with the run and shown with
    it, and so is that it is simulated.

    >>> load = bl.workload("synthetic.csv", first=200, rate_rps=1.0)
    >>> run = bl.simulate(load, "llama-2-13b-a100", "run")
    >>> print(run.verdict)
    trustworthy
    >>> run.to_frame("requests").height
    200
    """
    from .analysis.core.result import silent
    from .api.run import Ran
    from .bench.simulated.presets import load_preset
    from .bench.simulated.run_folder import simulate as run

    _among("scheduling", scheduling, "fcfs", "priority")
    chosen = load_preset(preset) if isinstance(preset, str) else preset
    how = "priority" if scheduling == "priority" else "fcfs"
    into = Path(out)
    return Ran(into, run(load, chosen, into, scheduling=how, notes=notes, progress=progress or silent))  # type: ignore[arg-type]


def experiment(kind: str, out: Log | None = None, **options: Any) -> Evaluated:
    """Run one of the paper's evaluations, such as `"maf2"`, into folder `out`, and say what it found.

    The same call goes on where it was stopped. `options` are those of the function of that name in
    `burstlens.api.experiments`. `out` is `reports/build/KIND` where nothing is said. `.findings.claims` are
    the paper's claims with their verdicts, `.trials` a row a trial, `.report()` makes the page.

    >>> done = bl.experiment("maf2", "maf2", rates_rps=[1.0], requests=100, seeds=2)
    >>> done.trials.height, done.findings.claims[0].id
    (8, 'maf2-load')
    """
    from .analysis.core.result import silent
    from .api.event_loop import apart, ending
    from .api.experiment_result import Evaluated
    from .api.experiments import named

    run = named(kind)
    for name in ("log", "source", "functions"):
        if isinstance(options.get(name), PathLike):
            options[name] = str(options[name])
    if isinstance(options.get("grid"), str):
        options["grid"] = Path(options["grid"])
    into = Path(out) if out is not None else Path("reports/build") / kind
    progress = options.pop("progress", None) or silent

    def ask(stop: Event) -> Experiment:
        return run(out=into, **options, watch=lambda _: stop.is_set(), progress=ending(progress, stop))

    return Evaluated(apart(ask))


def disaggregate(
    source: Log | None = None,
    out: Log | None = None,
    *,
    turnover: bool = False,
    plan_from: Log | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> Disaggregated:
    """Search the ratio of prefill to decode instances for a load, simulated: fixed, one switch, over time.

    `source` is a trace or a `parameters.json`, or None with `turnover` for a synthetic load that turns over.
    The sequence made from `plan_from` (a parameter file, such as a forecast) is judged on the real load,
    beside the one made from the real load itself. `options` are those of
    `burstlens.api.disaggregate.disaggregate`: `total`, `slo_ttft_s`, `slo_tpot_s`, `window_s`, `beam`,
    `seeds`, …

    >>> found = bl.disaggregate("synthetic.csv", first=300, total=3, seeds=1, window_s=60.0, beam=2)
    >>> found.ratios["policy"].to_list()[:2]
    ['1:2', '2:1']
    """
    from .analysis.core.result import silent
    from .api.disaggregate import disaggregate as run

    return run(
        None if source is None else str(source),
        None if out is None else Path(out),
        turnover=turnover,
        plan_from=None if plan_from is None else str(plan_from),
        progress=progress or silent,
        **options,
    )


def gpu_evaluate(
    out: Log,
    trace: Log | None = None,
    *,
    vllm: Log | None = None,
    url: str | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> GpuEvaluated:
    """Profile a vLLM on this machine's GPU, run the paper's evaluations on it and on its model, and compare.

    The server is started by the Python `vllm`, or runs at `url`. Stages that folder `out` holds are not run
    again, so the same call goes on where it was stopped. `options` are those of
    `burstlens.gpu.evaluate.evaluate`: `weights`, `flags`, `only`, `limits_s`, `seeds`, … `.errors` is a row a
    measure of how far the simulated engine is from the server, `.stages` tells how each stage ended,
    `.report()` makes the page.

    >>> bl.gpu_evaluate("gpu", "synthetic.csv", only=["profile"])
    Traceback (most recent call last):
    burstlens.analysis.core.errors.InputError: ...
    """
    from .analysis.core.result import silent
    from .api.event_loop import apart, ending
    from .gpu.evaluate import GpuEvaluated, evaluate

    into = Path(out)
    apart(
        lambda stop: evaluate(
            into,
            vllm=None if vllm is None else Path(vllm),
            url=url,
            trace=None if trace is None else str(trace),
            progress=ending(progress or silent, stop),
            **options,
        )
    )
    return GpuEvaluated(into)


def serve(
    preset: str | Preset = "llama-2-13b-a100",
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    speedup: float = 1.0,
    scheduling: str = "fcfs",
    served_model: str | None = None,
    seed: int = 0,
    tokenizer: Log | None = None,
    ready: Callable[[str], None] | None = None,
) -> None:
    """Serve a simulated vLLM until SIGINT or SIGTERM; `ready` is called with its base URL.

    Prompts of text are counted by words, or by a `tokenizer.json`. `speedup` makes every step that much
    shorter. It blocks; `serving` does not.

    >>> bl.serve("no-such-preset")
    Traceback (most recent call last):
    burstlens.analysis.core.errors.InputError: ...
    """
    from .bench.simulated.http.endpoint import serve as run
    from .bench.simulated.presets import load_preset

    _among("scheduling", scheduling, "fcfs", "priority")
    run(
        load_preset(preset) if isinstance(preset, str) else preset,
        host=host,
        port=port,
        speedup=speedup,
        scheduling="priority" if scheduling == "priority" else "fcfs",
        served_model=served_model,
        seed=seed,
        tokenizer=None if tokenizer is None else Path(tokenizer),
        ready=ready,
    )


def serving(
    preset: str = "llama-2-13b-a100", *, speedup: float = 1.0, seed: int = 0
) -> AbstractContextManager[str]:
    """A simulated vLLM in a process of its own while a `with` block lasts; gives its base URL.

    >>> load = bl.workload("synthetic.csv", first=20, rate_rps=40.0)
    >>> with bl.serving(speedup=20) as url:
    ...     run = bl.replay(load, "sent", url=url)
    >>> run.manifest.simulated, run.summary.metrics.answered
    ('llama-2-13b-a100', 20)
    """
    from .api.serving import serving as run

    return run(preset, speedup, seed)


def calibrate(
    source: Log,
    kv: float = 0.35,
    *,
    url: str | None = None,
    simulate: str | None = None,
    served_model: str | None = None,
    key: str | None = None,
    out: Log | None = None,
    tolerance: float = 0.02,
    trials: int = 12,
    share_prefixes: bool = False,
    vocabulary: Sequence[int] | None = None,
    prompts: Prompts | None = None,
    settings: Settings | None = None,
    progress: Progress | None = None,
    **choice: Any,
) -> Calibration:
    """Find the scale of a source's rate at which a server's KV-cache use is `kv`, in closed loop.

    Runs at `url`, or in virtual time on preset `simulate`. With `out` the parameters in `source` are
    written there, scaled. Prompts are token ids from `vocabulary`, or `prompts`, sent as `settings`
    say. `choice` as in `workload`.

    >>> found = bl.calibrate("synthetic.csv", 0.2, simulate="llama-2-13b-a100", first=1000)
    >>> found.reached, found.to_frame().columns[0]
    (True, 'trial')
    """
    from .analysis.core.result import silent
    from .api.event_loop import apart, ending
    from .api.workload import calibrate as search

    def find(stop: Event) -> Calibration:
        return search(
            str(source),
            kv,
            url=url,
            simulate=simulate,
            served_model=served_model,
            key=key,
            out=None if out is None else Path(out),
            tolerance=tolerance,
            trials=trials,
            share_prefixes=share_prefixes,
            vocabulary=vocabulary,
            prompts=prompts,
            settings=settings,
            watch=lambda _: stop.is_set(),
            progress=ending(progress or silent, stop),
            **choice,
        )

    return apart(find)
