"""The verbs that read logs: open, describe and fit a trace; make a synthetic one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..analysis.core.errors import InputError
from ..analysis.core.option_names import option
from .options import Log, ReadOptions, check_positive, paths

if TYPE_CHECKING:
    from ..analysis.characterize import Characterization
    from ..analysis.core.result import Progress
    from ..analysis.interchange.parameters import Parameters
    from ..analysis.logs.options import LogOptions
    from ..analysis.logs.pseudonyms import Anonymize
    from ..analysis.trace.trace import Trace
    from ..analysis.traffic.arrivals import Arrivals


def trace(
    logs: Log | Sequence[Log],
    *,
    columns: Mapping[str, str] | None = None,
    reading: LogOptions | None = None,
    strict: bool = False,
    start_s: float | None = None,
    end_s: float | None = None,
    engine: str = "duckdb",
    master: str | None = None,
    conf: Mapping[str, str] | None = None,
    anonymize: Anonymize | None = None,
) -> Trace:
    """Open one log, or several that make one trace.

    Close the trace, or open it in a `with` block: its requests take memory.

    Parameters
    ----------
    logs
        Path of a log, or paths of the files of one trace.
    columns
        For a log in an unknown format: places in the log by trace columns, such as `{"arrival": "ts",
        "request_tokens": "usage.prompt_tokens"}`.
    reading
        What else is to be said about the log: its format, which rows are requests, how it writes times.
    strict
        Raise at the first bad row. Otherwise bad rows are set aside in `trace.rejects`.
    start_s, end_s
        Read only requests from `start_s` to before `end_s`, in seconds since midnight of day 0.
    engine
        What computes: `"duckdb"` in this process, or `"spark"`.
    master
        Where Spark runs: `local[*]`, `spark://HOST:PORT`, `yarn`, `k8s://…`.
    conf
        Spark's own settings, such as `{"spark.executor.memory": "8g"}`.
    anonymize
        Replace names of services, models, sessions and clients by keyed hashes, and shift stamps.

    Raises
    ------
    BurstlensError
        The log cannot be read.

    Examples
    --------
    >>> with bl.trace("synthetic.csv") as trace:
    ...     [selection.label for selection in trace.selections][:3]
    ...     trace.to_frame().columns[:2]
    ['all', 'api', 'api · ChatGPT']
    ['arrival_s', 'service']
    """
    return ReadOptions(columns, strict, start_s, end_s, engine, master, conf, reading, anonymize).open(
        paths(logs)
    )


def synth(
    out: Log | None = None, *, days: float = 61, seed: int = 7, progress: Progress | None = None
) -> Trace:
    """Make a synthetic BurstGPT trace and open it.

    It is calibrated to measured facts of the real trace, and says nothing about any service.

    Parameters
    ----------
    out
        Also write it here, as canonical Parquet or in the layout of BurstGPT's CSV, by the suffix.
    days
        Length in days.
    seed
        The same seed makes the same trace.

    Examples
    --------
    >>> bl.synth(days=0.25, seed=1).info.name
    'synthetic BurstGPT, 0.25 days, seed 1'
    """
    from ..analysis.synthetic.trace import open_synthetic

    return open_synthetic(None if out is None else Path(out), days=days, seed=seed, progress=progress)


def describe(
    logs: Log | Sequence[Log],
    *,
    window_s: float = 1200.0,
    seed: int = 0,
    columns: Mapping[str, str] | None = None,
    reading: LogOptions | None = None,
    strict: bool = False,
    start_s: float | None = None,
    end_s: float | None = None,
    rejects: Log | None = None,
    engine: str = "duckdb",
    master: str | None = None,
    conf: Mapping[str, str] | None = None,
    anonymize: Anonymize | None = None,
    progress: Progress | None = None,
) -> Characterization:
    """Characterize a trace: typed results with intervals, tables and sentences.

    Parameters
    ----------
    logs, columns, reading, strict, start_s, end_s, engine, master, conf, anonymize
        As in `trace`.
    window_s
        Length in seconds of the windows that a Gamma law is fitted to. The paper uses 20 minutes.
    seed
        Seed of every bootstrap: the same seed gives the same numbers.
    rejects
        CSV file to write the rejected rows to, each with its line and the reason.

    Returns
    -------
    Characterization
        Its `.parts` are volume, periodicity, arrivals, burstiness, lengths, conversations and failures;
        `.part(Arrivals)` is one of them by its class.

    Examples
    --------
    >>> found = bl.describe("synthetic.csv", window_s=3600)
    >>> windows = found.to_frame("arrivals.windows")
    >>> windows.filter(selection="all").height
    24
    >>> [name for name in found.figures() if name.startswith("failures")][:1]
    ['failures.rates']
    """
    from concurrent.futures import ThreadPoolExecutor
    from dataclasses import replace

    from ..analysis.characterize import characterize, trace_parts
    from ..analysis.logs.rejects import write_rejects

    check_positive("window_s", window_s)
    read = ReadOptions(columns, strict, start_s, end_s, engine, master, conf, reading, anonymize)
    listed = None if rejects is None else Path(rejects)
    if listed is not None and any(
        listed.exists() and log.exists() and listed.samefile(log) for log in paths(logs)
    ):
        raise InputError.unwritable(
            listed, "it is one of the logs", remedy=f"name another file with {option('rejects')}"
        )
    # The fits' libraries take as long to load as a million rows do: both happen at once.
    with ThreadPoolExecutor(max_workers=1) as pool:
        loading = pool.submit(trace_parts)
        # The bar is that of the fits; of reading it says what is being done.
        opened = read.open(paths(logs), None if progress is None else lambda step, _: progress(step, 0.0))
    try:
        loading.result()
        if listed is not None:
            write_rejects(opened.rejects, listed)
        found = characterize(opened, window_s=window_s, seed=seed, progress=progress)
        return replace(found, rejects=replace(found.rejects, file=listed))
    finally:
        opened.engine.close()


def arrivals(source: Log | Sequence[Log] | Trace, *, window_s: float = 1200.0, seed: int = 0) -> Arrivals:
    """Fit a Gamma law to the gaps in each window: that part of `describe` alone, quick enough for a slider.

    Parameters
    ----------
    source
        An opened trace, which is quickest, or a log.
    window_s, seed
        As in `describe`.

    Returns
    -------
    Arrivals
        `.windows` has a row for each window and selection.

    Examples
    --------
    >>> with bl.trace("synthetic.csv") as trace:
    ...     hours, minutes = (bl.arrivals(trace, window_s=s).windows.height for s in (3600, 300))
    >>> minutes // hours
    12
    """
    from ..analysis.trace.trace import Trace
    from ..analysis.traffic.arrivals import describe_arrivals

    check_positive("window_s", window_s)
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
    reading: LogOptions | None = None,
    strict: bool = False,
    start_s: float | None = None,
    end_s: float | None = None,
    engine: str = "duckdb",
    master: str | None = None,
    conf: Mapping[str, str] | None = None,
    anonymize: Anonymize | None = None,
    progress: Progress | None = None,
) -> Parameters:
    """Fit a trace's parameters for other benchmarks, and check them against their schema.

    Parameters
    ----------
    logs, window_s, seed, columns, reading, strict, start_s, end_s, engine, master, conf, anonymize
        As in `describe`.
    out
        Also write them here, as `parameters.json`.

    Returns
    -------
    Parameters
        The content of `parameters.json`, a dictionary. `rate` is the Gamma's β in 1/s, `scale` is 1/β in
        seconds; the arrival rate is `rate_rps`.

    Examples
    --------
    >>> fitted = bl.fit("synthetic.csv", "parameters.json", window_s=3600)
    >>> first = fitted["selections"][0]["arrivals"]["windows"][0]
    >>> abs(first["shape"] / first["rate"] - first["shape"] * first["scale"]) < 1e-9
    True
    >>> fitted.to_frame("windows").columns[:4]
    ['selection', 'start_s', 'n', 'rate_rps']
    """
    from ..analysis.interchange.parameters import parameters, write_parameters

    if anonymize is not None:
        anonymize.check(None if out is None else Path(out), folder=False)
    fitted = parameters(
        describe(
            logs,
            window_s=window_s,
            seed=seed,
            columns=columns,
            reading=reading,
            strict=strict,
            start_s=start_s,
            end_s=end_s,
            engine=engine,
            master=master,
            conf=conf,
            anonymize=anonymize,
            progress=progress,
        )
    )
    if out is not None:
        write_parameters(fitted, Path(out))
    return fitted
