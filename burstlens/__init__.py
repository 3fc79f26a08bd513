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

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .analysis.errors import BurstlensError

if TYPE_CHECKING:
    from .analysis.characterize import Characterization
    from .analysis.result import Progress
    from .analysis.trace import Ingested, Trace
    from .public import Fetched
    from .reports.report import Report

__version__ = "0.1.0"
__all__ = [
    "BurstlensError",
    "describe",
    "fetch",
    "fit",
    "ingest",
    "report",
    "synth",
    "trace",
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
