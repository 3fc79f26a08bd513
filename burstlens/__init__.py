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
    from .analysis.trace import Ingested, Trace
    from .bench.calibrate import Calibration
    from .bench.prompts import Prompts
    from .bench.record import Manifest
    from .bench.settings import Settings, Status
    from .bench.simulated.presets import Preset
    from .bench.workload import Workload
    from .public import Fetched
    from .reports.report import Report

__version__ = "0.1.0"
__all__ = [
    "BurstlensError",
    "calibrate",
    "describe",
    "fetch",
    "fit",
    "ingest",
    "replay",
    "report",
    "serve",
    "simulate",
    "synth",
    "trace",
    "workload",
]

Log = str | PathLike[str]
"""Path of a request log in a known format, or of a canonical Parquet trace."""


def _paths(logs: Log | Sequence[Log]) -> list[Path]:
    """One path or several, as a list."""
    return [Path(logs)] if isinstance(logs, str | PathLike) else [Path(log) for log in logs]


def trace(
    logs: Log | Sequence[Log], *, columns: Mapping[str, str] | None = None, strict: bool = False
) -> Trace:
    """Open one log, or several that make one trace, for questions.

    `columns` maps trace columns to the log's own (`{"arrival": "ts"}`) where the format is not known.
    """
    from .analysis.trace import open_trace

    return open_trace(_paths(logs), columns=columns, strict=strict)


def ingest(
    logs: Log | Sequence[Log],
    out: Log,
    *,
    columns: Mapping[str, str] | None = None,
    strict: bool = False,
    progress: Progress | None = None,
) -> Ingested:
    """Turn any known log into a canonical Parquet trace; rejected rows go to a file beside it."""
    from .analysis.trace import ingest as run

    return run(_paths(logs), out=Path(out), columns=columns, strict=strict, progress=progress)


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
    progress: Progress | None = None,
) -> Characterization:
    """Everything a trace says, as typed results with intervals, tables and sentences."""
    from .analysis.characterize import characterize

    opened = trace(logs, columns=columns, strict=strict)
    try:
        return characterize(opened, window_s=window_s, seed=seed, progress=progress)
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
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Fitted parameters of a trace for other benchmarks, validated against the schema.

    Returns the content of `parameters.json`; with `out` it is written there too.
    """
    from .analysis.parameters import parameters, write_parameters

    said = describe(logs, window_s=window_s, seed=seed, columns=columns, strict=strict, progress=progress)
    fitted = parameters(said)
    if out is not None:
        write_parameters(fitted, Path(out))
    return fitted


def report(
    logs: Sequence[Log | Sequence[Log]] = (),
    out: Log = "reports/build",
    *,
    window_s: float = 1200.0,
    seed: int = 0,
    columns: Mapping[str, str] | None = None,
    strict: bool = False,
    images: bool = True,
    command: str = "burstlens.report()",
    progress: Progress | None = None,
) -> Report:
    """The main job: page, figures, tables, claims and parameters of each log, in folder `out`.

    Without a log it runs on the embedded synthetic trace. An element of `logs` that is itself a list
    of paths is one trace in several files.
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
        command=command,
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


def simulate(
    load: Workload,
    preset: str | Preset,
    out: Log,
    *,
    scheduling: str = "fcfs",
    progress: Progress | None = None,
) -> Manifest:
    """Serve a workload on the simulated engine in virtual time; the same run folder as `replay` writes."""
    from .analysis.result import silent
    from .bench.simulated.folder import simulate as run
    from .bench.simulated.presets import load_preset

    if scheduling not in ("fcfs", "priority"):
        raise BurstlensError(f"scheduling: {scheduling!r} is neither fcfs nor priority")
    chosen = load_preset(preset) if isinstance(preset, str) else preset
    how = "priority" if scheduling == "priority" else "fcfs"
    return run(load, chosen, Path(out), scheduling=how, progress=progress or silent)  # type: ignore[arg-type]


def serve(
    preset: str | Preset = "llama-2-13b-a100",
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    speedup: float = 1.0,
    scheduling: str = "fcfs",
    served_model: str | None = None,
    seed: int = 0,
    ready: Callable[[str], None] | None = None,
) -> None:
    """Serve a simulated vLLM until SIGINT or SIGTERM; `ready` is called with its base URL."""
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
    progress: Progress | None = None,
    **choice: Any,
) -> Calibration:
    """Find the scale of a source's rate at which a server's KV-cache use is `kv`, in closed loop.

    Runs at `url`, or in virtual time on preset `simulate`. With `out` the parameters in `source` are
    written there, scaled. `choice` as in `workload`.
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
        progress=progress or silent,
        **choice,
    )
