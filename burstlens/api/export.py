"""A trace, a run, fitted parameters or constants as a file for another tool, and what was lost on the way.

Not here: the formats (`burstlens.analysis.interchange`), the command line (`burstlens.cli.verbs.export`).
"""

from __future__ import annotations

import shlex
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..analysis.core.errors import InputError
from ..analysis.core.exhibit import Displayable, Exhibit
from ..analysis.core.option_names import option
from ..analysis.core.result import Progress, silent
from ..analysis.core.units import counted
from .options import Log, ReadOptions, source_text
from .traces import fit
from .workload import WorkloadOptions, files_of, load_workload

if TYPE_CHECKING:
    from ..analysis.interchange.exports import FittedExport, RequestExport
    from ..analysis.interchange.parameters import Parameters
    from ..analysis.interchange.requests import Requests
    from ..analysis.logs.options import LogOptions
    from ..analysis.logs.pseudonyms import Anonymize
    from ..analysis.trace.trace import Trace
    from ..bench.workload.table import Workload

SELECTION = ("service", "model", "start_s", "end_s", "first")
"""The options that select; a trace that is exported as a log is neither scaled nor spread."""

WINDOW_S = 1200.0
"""Windows that are fitted where a trace is exported to a format of fitted ones."""


@dataclass(frozen=True)
class ExportOptions:
    """What is exported of a source, and how it is drawn."""

    service: str | None = None
    model: str | None = None
    start_s: float | None = None
    end_s: float | None = None
    first: int | None = None
    rate_rps: float | None = None
    speedup: float | None = None
    tokens: tuple[int, int] | None = None
    window_s: float | None = None
    seed: int | None = None
    share_prefixes: bool = False

    def refuse(self, names: Sequence[str], why: str) -> None:
        """Raise InputError if one of these options was set."""
        for name in names:
            if getattr(self, name) is not None:
                raise InputError(f"{option(name)}: {why}")

    def selection(self) -> dict[str, Any]:
        """The options that select requests of a trace, where they were set."""
        return {name: value for name in SELECTION if (value := getattr(self, name)) is not None}

    def workload(self) -> WorkloadOptions:
        """The options that a workload is made by."""
        return WorkloadOptions(
            **self.selection(),
            rate_rps=self.rate_rps,
            speedup=self.speedup,
            tokens=self.tokens,
            seed=self.seed or 0,
        )


@dataclass(frozen=True)
class ExportResult(Displayable):
    """A file for another tool."""

    out: Path
    format: str
    source: str
    rows: int
    """Requests in it, or windows where it holds fitted ones."""
    unit: str
    synthetic: bool
    """Whether the requests were generated, not recorded."""
    made: tuple[str, ...]
    """What was done to the source on the way: drawn, spread, failures sent as requests."""
    lost: tuple[str, ...]
    """What the format has no place for, one sentence each; empty where it holds everything."""
    run: str
    """How the tool is told to use the file; empty where nothing is special."""

    def lines(self) -> list[str]:
        """What a person wants to read."""
        line = f"{self.out}: {counted(self.rows, self.unit)} of {self.source}, format {self.format}"
        return [line + (", synthetic" if self.synthetic else "")]

    def as_dict(self) -> dict[str, Any]:
        """The same for machines."""
        return {
            "out": str(self.out),
            "format": self.format,
            "source": self.source,
            f"{self.unit}s": self.rows,
            "synthetic": self.synthetic,
            "made": list(self.made),
            "lost": list(self.lost),
            "run": self.run or None,
        }

    def exhibit(self) -> Exhibit:
        """The file; what was done and what was lost, one row a sentence: columns `what` and `sentence`."""
        import polars as pl

        rows = [("made", each) for each in self.made] + [("lost", each) for each in self.lost]
        sentences = pl.DataFrame(rows, schema={"what": pl.String, "sentence": pl.String}, orient="row")
        return Exhibit(
            str(self.out), ("synthetic",) if self.synthetic else (), self.lines(), {"told": sentences}
        )


def export(
    source: Log,
    format: str | None = None,
    out: Log | None = None,
    *,
    service: str | None = None,
    model: str | None = None,
    start_s: float | None = None,
    end_s: float | None = None,
    first: int | None = None,
    rate_rps: float | None = None,
    speedup: float | None = None,
    tokens: tuple[int, int] | None = None,
    share_prefixes: bool = False,
    window_s: float | None = None,
    seed: int | None = None,
    columns: Mapping[str, str] | None = None,
    reading: LogOptions | None = None,
    strict: bool = False,
    anonymize: Anonymize | None = None,
    to: str | None = None,
    share_sessions: bool | None = None,
    progress: Progress | None = None,
) -> ExportResult:
    """Write a trace, a run or fitted parameters in the format of another tool.

    Parameters
    ----------
    source
        A trace, the folder of a run, or what requests are drawn from: parameters, constants.
    format
        Name of the format; `burstlens export --list` shows them.
    out
        The file to write, by default named after the source.
    service, model, start_s, end_s, first
        What is selected, as in `workload`.
    rate_rps, speedup
        Scale time, as in `workload`; not for the format of a log.
    tokens
        Request and response tokens, for a source without lengths.
    share_prefixes
        In formats with block hashes: let the turns of a session begin alike.
    window_s
        Gamma windows in seconds if a trace is fitted first, 1,200 by default.
    seed
        Seed of what is drawn or spread, 0 by default.
    columns, reading, strict, anonymize
        As in `trace`. `service` and `model` may be given as the log has them or as keyed hashes.
    to, share_sessions
        Former names of `format` and `share_prefixes`.

    Returns
    -------
    ExportResult
        `.rows` written, and `.lost`: what the format has no place for.

    Examples
    --------
    >>> done = bl.export("shape=0.5,scale=2,exponent=1.1", "vllm", "synthetic.jsonl", first=100)
    >>> done.rows, done.lost
    (100, ())
    """
    from ..analysis.core.registry import EXPORTS, plugins
    from ..analysis.interchange.exports import FittedExport, WriteOptions, export_named

    if to is not None:
        warnings.warn("export: to is now format", DeprecationWarning, stacklevel=2)
    if share_sessions is not None:
        warnings.warn("export: share_sessions is now share_prefixes", DeprecationWarning, stacklevel=2)
    name = format or to
    if name is None:
        raise InputError(f"{option('format')}: name the format to write")
    form, text, show = export_named(name), source_text(source), progress or silent
    read = ReadOptions(columns, strict, reading=reading, anonymize=anonymize)
    chosen = ExportOptions(
        service, model, start_s, end_s, first, rate_rps, speedup, tokens, window_s, seed,
        share_prefixes or bool(share_sessions),
    )  # fmt: skip
    drawn = form.takes != "parameters" and not holds_requests(text)
    stem = _stem(text) if anonymize is None else "anonymized"
    path = Path(out) if out else Path(f"{'synthetic_' if drawn else ''}{stem}.{name}{form.suffix}")
    _not_itself(path, text)
    if anonymize is not None:
        if not holds_requests(text):
            raise InputError.of_option(
                "anonymize", f"is for logs of requests, and {text} is not one", remedy="anonymize the log"
            )
        anonymize.check(path, folder=path.is_dir() or not form.suffix)
        names = anonymize.open()
        chosen = replace(
            chosen,
            service=names.selected("service", chosen.service),
            model=names.selected("model", chosen.model),
        )
    if isinstance(form, FittedExport):
        return _export_fitted(text, name, form, path, chosen, read, show)
    requests, made, dropped = _requests(text, form, chosen, read, show)
    show(f"writing {path.name}", 0.8)
    with plugins(EXPORTS)[name].guard():
        lost = form.write(requests, path, WriteOptions(tokens, chosen.share_prefixes, tuple(made)))
    if requests.info.synthetic and "synthetic" in path.name.casefold():
        lost = [each for each in lost if not each.startswith("that it is synthetic")]
    done = ExportResult(
        out=path,
        format=name,
        source=requests.info.name,
        rows=len(requests),
        unit="request",
        synthetic=requests.info.synthetic,
        made=tuple(made),
        lost=(*dropped, *lost),
        run=form.run.format(file=shlex.quote(str(path)), path=path, n=len(requests)),
    )
    show("written", 1.0)
    return done


def _requests(
    source: str, form: RequestExport, chosen: ExportOptions, read: ReadOptions, progress: Progress
) -> tuple[Requests, list[str], list[str]]:
    """The requests that the format takes, what was done to get them, and what was lost by that."""
    if holds_requests(source):
        if form.takes == "log":
            return _log(source, chosen, read, progress), [], []
        return *_load(source, chosen, read, progress), []
    from ..analysis.interchange.servegen import is_servegen

    drawn = f"drawn from its laws, seed {chosen.seed or 0}: a sample, not a record"
    if is_servegen(Path(source)):
        load, lost = _clients(Path(source), chosen)
        return _of_workload(load, synthetic=True), [drawn], lost
    load = load_workload(source, chosen.workload(), progress=progress)
    return _of_workload(load, synthetic=True), [drawn], []


def requests_from(source: str, read: ReadOptions, *, seed: int = 0) -> tuple[Requests, str | None]:
    """Any source as requests on its own clock, as recorded or drawn; if drawn, how, in words."""
    import polars as pl

    from ..analysis.interchange.requests import Requests
    from ..analysis.interchange.servegen import is_servegen

    chosen = ExportOptions(seed=seed)
    if holds_requests(source):
        return _log(source, chosen, read, silent), None
    if is_servegen(Path(source)):
        load = _clients(Path(source), chosen)[0]
    else:
        load = load_workload(source, chosen.workload())
    requests = _of_workload(load, synthetic=True)
    begin = float(load.recipe.get("start_s") or 0.0)
    return Requests(requests.frame.with_columns(pl.col("arrival_s") + begin), requests.info), (
        f"drawn from its laws, seed {seed}"
    )


def holds_requests(source: str) -> bool:
    """Whether a source is a record of requests, not what they are drawn from."""
    from ..analysis.interchange.servegen import is_servegen

    path = Path(source)
    constant = not path.exists() and source.startswith("shape=")
    return path.suffix != ".json" and not constant and not is_servegen(path)


def _clients(folder: Path, chosen: ExportOptions) -> tuple[Workload, list[str]]:
    """ServeGen's clients drawn one by one and put together, and what of them could not be kept."""
    import polars as pl

    from ..analysis.interchange.servegen import read_servegen
    from ..bench.workload.from_parameters import from_parameters
    from ..bench.workload.table import Workload

    chosen.refuse(
        ("service", "model", "first", "rate_rps", "speedup"),
        "is not for ServeGen's windows; export these to parameters",
    )
    taken = {
        name: value for name in ("start_s", "end_s", "tokens") if (value := getattr(chosen, name)) is not None
    }
    content, dropped = read_servegen(folder)
    seed = chosen.seed or 0
    frames = []
    for number, part in enumerate(content["selections"]):
        if not any(row["n"] for row in part["arrivals"]["windows"]):
            continue
        label = part["selection"]["label"]
        load = from_parameters(content, selection=label, seed=seed + number, **taken)
        frames.append(load.requests.with_columns(pl.col("at_s") + load.recipe["start_s"]))
    merged = (
        pl.concat(frames).sort("at_s", maintain_order=True).with_columns(request_id=pl.int_range(pl.len()))
    )
    merged = merged.with_columns(pl.col("at_s") - pl.col("at_s").first())
    return Workload(merged, f"{content['source']['name']}, modelled", True, {"seed": seed}), dropped


def _export_fitted(
    source: str,
    name: str,
    form: FittedExport,
    out: Path,
    chosen: ExportOptions,
    read: ReadOptions,
    progress: Progress,
) -> ExportResult:
    """Write what is made of fitted parameters, not of requests."""
    from msgspec.structs import replace

    from ..analysis.core.registry import EXPORTS, plugins
    from ..analysis.interchange.exports import FittedWindows, WriteOptions
    from ..analysis.interchange.fitted import select_fitted
    from ..analysis.interchange.parameter_model import ParameterFile

    chosen.refuse(("first", "rate_rps", "speedup"), f"is for requests; {name} contains fitted windows")
    window_s = WINDOW_S if chosen.window_s is None else chosen.window_s
    content, made = _content(source, window_s, chosen.seed or 0, read, progress)
    selection = chosen.selection()
    only_all = form.default_selections == "all" and not {"service", "model"} & set(selection)
    file = ParameterFile.of(content)
    candidates = replace(file, selections=file.selections[:1]) if only_all else file
    parts = select_fitted(candidates, **selection)
    if form.default_selections == "every" and not selection:
        parts = list(file.selections)
    with plugins(EXPORTS)[name].guard():
        written = form.write(
            FittedWindows(content, file, parts, chosen.start_s),
            out,
            WriteOptions(chosen.tokens, provenance=tuple(made[:1])),
        )
    progress("written", 1.0)
    return ExportResult(
        out=out,
        format=name,
        source=file.source.name,
        rows=written.windows,
        unit="window",
        synthetic=file.source.synthetic,
        made=tuple(made[:1]),
        lost=(*made[1:], *written.lost),
        run=written.run or form.run.format(path=out, file=shlex.quote(str(out)), n="N"),
    )


def _content(
    source: str, window_s: float, seed: int, read: ReadOptions, progress: Progress
) -> tuple[Parameters, list[str]]:
    """The content of a parameter file; then what was done to get it, and what was lost by it."""
    from ..analysis.interchange.parameters import read_parameters
    from ..analysis.interchange.servegen import is_servegen, read_servegen

    path = Path(source)
    if is_servegen(path):
        content, lost = read_servegen(path)
        return content, ["read from ServeGen's client windows", *lost]
    if path.suffix == ".json" and path.is_file():
        return read_parameters(path), []
    if not holds_requests(source):
        raise InputError(f"{source}: constants are not fitted windows; name a trace or a parameter file")
    content = fit(
        files_of(source),
        window_s=window_s,
        seed=seed,
        columns=read.columns,
        reading=read.reading,
        strict=read.strict,
        anonymize=read.anonymize,
        progress=lambda step, share: progress(step, 0.9 * share),
    )
    return content, [f"windows of {window_s:g} s fitted to the requests"]


def _opened(source: str, read: ReadOptions, progress: Progress) -> Trace:
    return read.open(files_of(source), lambda step, share: progress(step, 0.7 * share))


def _log(source: str, chosen: ExportOptions, read: ReadOptions, progress: Progress) -> Requests:
    """The trace's requests as they were."""
    from ..analysis.interchange.requests import Requests
    from ..analysis.trace.subset import requests_of

    chosen.refuse(
        ("rate_rps", "speedup"),
        "a log is exported as it was; choose a format for a load generator, or draw from fitted parameters",
    )
    trace = _opened(source, read, progress)
    try:
        frame = requests_of(trace, **chosen.selection())
        return Requests(frame, replace(trace.info, rows=len(frame)))
    finally:
        trace.engine.close()


def _load(
    source: str, chosen: ExportOptions, read: ReadOptions, progress: Progress
) -> tuple[Requests, list[str]]:
    """The trace's requests as they are sent: from second 0 on, each asking for a token at least."""
    from ..analysis.trace.prefix_blocks import conversion_notes
    from ..analysis.trace.subset import requests_of
    from ..bench.workload.from_trace import from_trace

    trace = _opened(source, read, progress)
    try:
        load = from_trace(trace, **chosen.workload().given())
        step_s = trace.info.resolution_s
        failed = int(requests_of(trace, **chosen.selection())["failed"].sum())
    finally:
        trace.engine.close()
    made = []
    if load.recipe["spread"]:
        made.append(f"stamps of {step_s:g} s are spread inside their step, seed {chosen.seed or 0}")
    if (factor := load.recipe["speedup"]) != 1:
        made.append(f"time runs {factor:.4g} times as fast")
    if "prefix_blocks" in load.recipe:
        made += conversion_notes(load.recipe["prefix_blocks"])
    if unknown := load.recipe.get("unknown_lengths"):
        made.append(f"{counted(unknown, 'failed request')} without a token count: sent with 1 token")
    if failed:
        made.append(
            f"{counted(failed, 'failed request')}: the response length is the tokens answered, at least 1"
        )
    return _of_workload(load, synthetic=load.synthetic), made


def _of_workload(load: Workload, *, synthetic: bool) -> Requests:
    """A workload as requests, at their planned instants."""
    import polars as pl

    from ..analysis.interchange.requests import Requests
    from ..analysis.logs.trace_info import TraceInfo
    from ..analysis.trace.parquet import COLUMNS, PREFIX
    from ..analysis.trace.prefix_blocks import BLOCK

    frame = load.requests.select(
        pl.col("at_s").alias("arrival_s"),
        *(pl.col(name) for name in ("service", "model", "session", "request_tokens", "response_tokens")),
        pl.lit(None, pl.Float64).alias("elapsed_s"),
        pl.lit(False).alias("failed"),
        pl.col("prefix").alias(PREFIX),
    ).select(*(pl.col(name).cast(kind) for name, kind in COLUMNS.items()), PREFIX)
    info = TraceInfo(
        name=load.name,
        format="workload",
        sources=(),
        rows=len(frame),
        rejected=0,
        resorted=0,
        resolution_s=1e-6,
        day0=None,
        synthetic=synthetic,
        has_failures=False,
        has_sessions=frame["session"].null_count() < len(frame),
        block_tokens=BLOCK if frame[PREFIX].null_count() < len(frame) else None,
    )
    return Requests(frame, info)


def _not_itself(out: Path, source: str) -> None:
    for part in files_of(source):
        if out.exists() and part.exists() and out.samefile(part):
            raise InputError.unwritable(out, f"it is the source; name another file with {option('out')}")


def _stem(source: str) -> str:
    """What files made of a source are called."""
    name = Path(source.split("+")[0]).name
    return name.split(".")[0] if not name.startswith("shape=") else "constant"
