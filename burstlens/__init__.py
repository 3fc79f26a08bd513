"""Trace analytics and characterization for LLM serving.

Each verb of the command line is a function here, with the same name and the same words. Nothing prints;
`progress` is optional everywhere: a function of (step, share done). Bad input raises `BurstlensError`,
whose text is one line that names the file and the fix.

    >>> import burstlens as bl
    >>> trace = bl.synth(days=2, seed=7)
    >>> trace.info.synthetic
    True

Heavy libraries are loaded when a function needs them, not when the package is imported.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .analysis.errors import BurstlensError

if TYPE_CHECKING:
    from .analysis.characterize import Characterization
    from .analysis.result import Progress
    from .analysis.trace import Cluster, Ingested, Trace
    from .bench.calibrate import Calibration
    from .bench.prompts import Prompts
    from .bench.record import Manifest
    from .bench.settings import Settings, Status
    from .bench.simulated.presets import Preset
    from .bench.workload import Workload
    from .evaluated import Evaluated
    from .forecasted import Forecasted
    from .provisioning import Disaggregated
    from .public import Fetched
    from .reports.report import Report

__version__ = "0.1.0"
__all__ = [
    "BurstlensError",
    "calibrate",
    "describe",
    "disaggregate",
    "experiment",
    "fetch",
    "fit",
    "forecast",
    "ingest",
    "replay",
    "report",
    "serve",
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


def _paths(logs: Log | Sequence[Log]) -> list[Path]:
    """One path or several, as a list."""
    return [Path(logs)] if isinstance(logs, str | PathLike) else [Path(log) for log in logs]


def _cluster(engine: str, master: str | None, conf: Mapping[str, str] | None) -> Cluster | None:
    """Where Spark runs, if it is asked for."""
    from .analysis.trace import Cluster

    if engine not in ENGINES:
        raise BurstlensError(f"engine: {engine!r} is none of {', '.join(ENGINES)}")
    if engine != "spark":
        if master or conf:
            raise BurstlensError("a master and settings of Spark go with engine spark")
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

    `columns` maps trace columns to the log's own (`{"arrival": "ts"}`) where the format is not known. Only
    requests from `start_s` to `end_s` are read, in seconds since midnight of day 0. With `engine="spark"` the
    questions are answered by Spark on `master` (`local[*]`, `spark://HOST:PORT`, `yarn`, `k8s://…`), with
    settings `conf` of Spark's own (`{"spark.executor.memory": "8g"}`).
    """
    from .analysis.trace import open_trace

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

    With `partition_by="day"`, and from Spark, `out` is a folder of Parquet files, a trace like any other.
    """
    from .analysis.trace import ingest as run

    if partition_by not in (None, "day"):
        raise BurstlensError(f"partition_by: {partition_by!r} is not day")
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

    With `out` it is written too: canonical Parquet, or the layout of BurstGPT's CSV by the suffix.
    """
    from .analysis.synthetic import open_synthetic

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

    What to read and what answers is said as in `trace`.
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
) -> dict[str, Any]:
    """Fitted parameters of a trace for other benchmarks, validated against the schema.

    Returns the content of `parameters.json`; with `out` it is written there too.
    """
    from .analysis.parameters import parameters, write_parameters

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
    """
    from .forecasted import forecast as run

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
    of paths is one trace in several files. With `forecast` its load is forecast too.
    """
    from .reports.report import write_report

    return write_report(
        [_paths(log) for log in logs],
        Path(out),
        window_s=window_s,
        seed=seed,
        columns=columns,
        strict=strict,
        images=images,
        forecast=forecast,
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
    """Download a public trace by name, resume what was begun, and verify its SHA-256."""
    from .public import fetch as run

    return run(name, out=Path(out), source=source, progress=progress, timeout_s=timeout_s)


def workload(source: Log, *, progress: Progress | None = None, **choice: Any) -> Workload:
    """Load from a trace, a parameter file, constants (`"shape=0.5,scale=2,exponent=1.1"`) or a run's folder.

    `choice` selects and scales: `service`, `model`, `start_s`, `end_s`, `first`, `rate_rps`, `speedup`,
    `spread`, `sessions`, `tokens`, `seed`; see `burstlens.bench.from_trace` and `burstlens.bench.modelled`.
    """
    from .analysis.result import silent
    from .load import workload as make

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
    watch: Callable[[Status], None] | None = None,
) -> Manifest:
    """Send a workload to an OpenAI-compatible endpoint, each request at its instant, into run folder `out`.

    The folder's summary is `burstlens.bench.summary.write_summary(out)`, its page `reports.run_page`.
    `key` goes into the requests' headers and nowhere else. `watch` is called twice a second.
    """
    from .bench.client import run
    from .bench.prompts import TokenPrompts
    from .bench.settings import Settings, Target

    if api not in ("completions", "chat"):
        raise BurstlensError(f"api: {api!r} is neither completions nor chat")
    target = Target(url, served_model, "chat" if api == "chat" else "completions", key)
    return run(
        load, prompts or TokenPrompts(), target, settings or Settings(), Path(out), resume=resume, watch=watch
    )


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
    """
    from .analysis.result import silent
    from .bench.text_pool import MEMORY
    from .bench.text_prompts import text_prompts as make

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
) -> Manifest:
    """Serve a workload on the simulated engine in virtual time; the same run folder as `replay` writes.

    `notes` are kept with the run and shown with it.
    """
    from .analysis.result import silent
    from .bench.simulated.folder import simulate as run
    from .bench.simulated.presets import load_preset

    if scheduling not in ("fcfs", "priority"):
        raise BurstlensError(f"scheduling: {scheduling!r} is neither fcfs nor priority")
    chosen = load_preset(preset) if isinstance(preset, str) else preset
    how = "priority" if scheduling == "priority" else "fcfs"
    return run(load, chosen, Path(out), scheduling=how, notes=notes, progress=progress or silent)  # type: ignore[arg-type]


def experiment(kind: str, out: Log | None = None, **options: Any) -> Evaluated:
    """Run one of the paper's evaluations, such as `"maf2"`, into folder `out`, and say what it found.

    The same call goes on where it was stopped. `options` are those of the function of that name in
    `burstlens.evaluations`. `out` is `reports/build/KIND` where nothing is said.
    """
    from .evaluated import Evaluated
    from .evaluations import named

    run = named(kind)
    if isinstance(options.get("log"), PathLike):
        options["log"] = str(options["log"])
    return Evaluated(run(out=Path(out) if out is not None else Path("reports/build") / kind, **options))


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
    `burstlens.provisioning.disaggregate`: `total`, `slo_ttft_s`, `slo_tpot_s`, `window_s`, `beam`, `seeds`, …
    """
    from .analysis.result import silent
    from .provisioning import disaggregate as run

    return run(
        None if source is None else str(source),
        None if out is None else Path(out),
        turnover=turnover,
        plan_from=None if plan_from is None else str(plan_from),
        progress=progress or silent,
        **options,
    )


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

    Prompts of text are counted by words, or by a `tokenizer.json`.
    """
    from .bench.simulated.endpoint import serve as run
    from .bench.simulated.presets import load_preset

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
    progress: Progress | None = None,
    **choice: Any,
) -> Calibration:
    """Find the scale of a source's rate at which a server's KV-cache use is `kv`, in closed loop.

    Runs at `url`, or in virtual time on preset `simulate`. With `out` the parameters in `source` are
    written there, scaled. Prompts are token ids from `vocabulary`, or `prompts`. `choice` as in `workload`.
    """
    from .analysis.result import silent
    from .load import calibrate as search

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
        progress=progress or silent,
        **choice,
    )
