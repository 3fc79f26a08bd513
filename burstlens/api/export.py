"""A trace, a run, fitted parameters or constants as a file for another tool, and what was lost on the way.

Not here: the formats (`burstlens.analysis.interchange`), the command line (`burstlens.cli.export`).
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..analysis.core.errors import DiskError, InputError
from ..analysis.core.exhibit import Displayable, Exhibit
from ..analysis.core.result import Progress, silent
from ..analysis.core.units import counted

if TYPE_CHECKING:
    from ..analysis.interchange.formats import Form
    from ..analysis.interchange.requests import Requests
    from ..bench.workload.table import Workload

CHOICE = ("service", "model", "start_s", "end_s", "first")
"""What can be chosen of a trace; one that is exported as a log is neither scaled nor spread."""

WINDOW_S = 1200.0
"""Windows that are fitted where a trace is exported to a format of fitted ones."""


@dataclass(frozen=True)
class Exported(Displayable):
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
        said = f"{self.out}: {counted(self.rows, self.unit)} of {self.source}, format {self.format}"
        return [said + (", synthetic" if self.synthetic else "")]

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
        told = pl.DataFrame(rows, schema={"what": pl.String, "sentence": pl.String}, orient="row")
        return Exhibit(str(self.out), ("synthetic",) if self.synthetic else (), self.lines(), {"told": told})


def export(
    source: str,
    to: str,
    out: Path | None = None,
    *,
    columns: Mapping[str, str] | None = None,
    strict: bool = False,
    share_sessions: bool = False,
    progress: Progress = silent,
    **choice: Any,
) -> Exported:
    """See `burstlens.export`."""
    from ..analysis.interchange.formats import form_named

    form = form_named(to)
    given = {name: value for name, value in choice.items() if value is not None}
    drawn = form.takes != "parameters" and not holds_requests(source)
    path = out or Path(f"{'synthetic_' if drawn else ''}{_stem(source)}.{form.name}{form.suffix}")
    _not_itself(path, source)
    if form.takes == "parameters":
        return _export_fitted(source, form, path, given, columns, strict, progress)
    given.pop("window_s", None)
    requests, made, kept_out = _requests(source, form, given, columns, strict, progress)
    progress(f"writing {path.name}", 0.8)
    lost = _write(requests, form, path, made, given.get("tokens"), share_sessions)
    done = Exported(
        out=path,
        format=form.name,
        source=requests.info.name,
        rows=len(requests),
        unit="request",
        synthetic=requests.info.synthetic,
        made=tuple(made),
        lost=(*kept_out, *lost),
        run=form.run.format(file=shlex.quote(str(path)), path=path, n=len(requests)),
    )
    progress("written", 1.0)
    return done


def _write(
    requests: Requests,
    form: Form,
    out: Path,
    made: Sequence[str],
    tokens: tuple[int, int] | None,
    share_sessions: bool,
) -> list[str]:
    from ..analysis.interchange.formats import writer

    if form.name == "parquet":
        from ..analysis.interchange.plain import write_parquet

        return write_parquet(requests, out, {"generator": "burstlens", "made": list(made)})
    lost = writer(form, tokens, share_sessions)(requests, out)
    if requests.info.synthetic and "synthetic" in out.name.casefold():
        return [each for each in lost if not each.startswith("that it is synthetic")]
    return lost


def _requests(
    source: str,
    form: Form,
    given: Mapping[str, Any],
    columns: Mapping[str, str] | None,
    strict: bool,
    progress: Progress,
) -> tuple[Requests, list[str], list[str]]:
    """The requests that the format takes, what was done to get them, and what of them was lost by it."""
    if holds_requests(source):
        if form.takes == "log":
            return _log(source, given, columns, strict, progress), [], []
        return *_load(source, given, columns, strict, progress), []
    from ..analysis.interchange.servegen import is_servegen
    from .workload import workload

    drawn = f"drawn by its laws, seed {given.get('seed', 0)}: a sample, not a record"
    if is_servegen(Path(source)):
        load, lost = _clients(Path(source), given)
        return _of_workload(load, synthetic=True), [drawn], lost
    load = workload(source, progress=progress, **given)
    return _of_workload(load, synthetic=True), [drawn], []


def requests_from(
    source: str, *, seed: int = 0, columns: Mapping[str, str] | None = None, strict: bool = False
) -> tuple[Requests, str | None]:
    """Any source as requests on its own clock, as they were or drawn; in the second case how, in words."""
    import polars as pl

    from ..analysis.interchange.requests import Requests
    from ..analysis.interchange.servegen import is_servegen
    from .workload import workload

    if holds_requests(source):
        return _log(source, {}, columns, strict, silent), None
    given = {"seed": seed}
    load = _clients(Path(source), given)[0] if is_servegen(Path(source)) else workload(source, seed=seed)
    requests = _of_workload(load, synthetic=True)
    begin = float(load.recipe.get("start_s") or 0.0)
    return Requests(requests.frame.with_columns(pl.col("arrival_s") + begin), requests.info), (
        f"drawn by its laws, seed {seed}"
    )


def holds_requests(source: str) -> bool:
    """Whether a source is a record of requests, not what they are drawn from."""
    from ..analysis.interchange.servegen import is_servegen

    path = Path(source)
    constant = not path.exists() and source.startswith("shape=")
    return path.suffix != ".json" and not constant and not is_servegen(path)


def _clients(folder: Path, given: Mapping[str, Any]) -> tuple[Workload, list[str]]:
    """ServeGen's clients drawn one by one and put together, and what of them could not be kept."""
    import polars as pl

    from ..analysis.interchange.servegen import read_servegen
    from ..bench.workload.from_parameters import from_parameters
    from ..bench.workload.table import Workload

    taken = {name: given[name] for name in ("start_s", "end_s", "tokens") if name in given}
    if more := sorted(set(given) - {*taken, "seed"}):
        raise InputError(
            f"--{more[0].removesuffix('_rps')}: is not for ServeGen's windows; export these to parameters"
        )
    content, kept = read_servegen(folder)
    seed = int(given.get("seed", 0))
    frames = []
    for number, part in enumerate(content["selections"]):
        if not any(row["n"] for row in part["arrivals"]["windows"]):
            continue
        label = part["selection"]["label"]
        load = from_parameters(content, selection=label, seed=seed + number, **taken)
        frames.append(load.requests.with_columns(pl.col("at_s") + load.recipe["start_s"]))
    merged = pl.concat(frames).sort("at_s").with_columns(request_id=pl.int_range(pl.len()))
    merged = merged.with_columns(pl.col("at_s") - pl.col("at_s").first())
    return Workload(merged, f"{content['source']['name']}, modelled", True, {"seed": seed}), kept


def _export_fitted(
    source: str,
    form: Form,
    out: Path,
    given: Mapping[str, Any],
    columns: Mapping[str, str] | None,
    strict: bool,
    progress: Progress,
) -> Exported:
    """Write what is made of fitted parameters, not of requests."""
    from ..analysis.interchange.fitted import chosen
    from ..analysis.interchange.parameters import write_parameters
    from ..analysis.interchange.servegen import write_servegen
    from ..analysis.interchange.vllm_command import write_vllm_line

    given = dict(given)
    window_s, tokens = given.pop("window_s", WINDOW_S), given.pop("tokens", None)
    seed = given.pop("seed", 0)
    if wrong := [name for name in ("first", "rate_rps", "speedup") if name in given]:
        raise InputError(
            f"--{wrong[0].removesuffix('_rps')}: is for requests; {form.name} holds fitted windows"
        )
    content, made = _content(source, window_s, seed, columns, strict, progress)
    lost = made[1:] if made else []
    run = form.run.format(path=out, file=shlex.quote(str(out)), n="N")
    whole = form.name == "vllm-line" and not {"service", "model"} & set(given)
    parts = chosen({**content, "selections": content["selections"][:1]} if whole else content, **given)
    if form.name == "servegen":
        lost = [*lost, *write_servegen(content, parts, out, tokens)]
    elif form.name == "vllm-line":
        at_s = given.get("start_s")
        run, dropped = write_vllm_line(content, parts[0], out, start_s=at_s, tokens=tokens)
        lost = [*lost, *dropped]
    else:
        if given:
            content = {**content, "selections": [dict(part) for part in parts]}
        else:
            parts = content["selections"]
        write_parameters(content, out)
    progress("written", 1.0)
    return Exported(
        out=out,
        format=form.name,
        source=content["source"]["name"],
        rows=1 if form.name == "vllm-line" else sum(len(part["arrivals"]["windows"]) for part in parts),
        unit="window",
        synthetic=bool(content["source"]["synthetic"]),
        made=tuple(made[:1]),
        lost=tuple(lost),
        run=run,
    )


def _content(
    source: str,
    window_s: float,
    seed: int,
    columns: Mapping[str, str] | None,
    strict: bool,
    progress: Progress,
) -> tuple[dict[str, Any], list[str]]:
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
        raise InputError(f"{source}: constants are no fitted windows; name a trace or a parameter file")
    import burstlens

    from .workload import files_of

    content = burstlens.fit(
        files_of(source),
        window_s=window_s,
        seed=seed,
        columns=columns,
        strict=strict,
        progress=lambda step, share: progress(step, 0.9 * share),
    )
    return content, [f"windows of {window_s:g} s fitted to the requests"]


def _opened(source: str, columns: Mapping[str, str] | None, strict: bool, progress: Progress) -> Any:
    from ..analysis.trace.trace import open_trace
    from .workload import files_of

    return open_trace(
        files_of(source),
        columns=columns,
        strict=strict,
        progress=lambda step, share: progress(step, 0.7 * share),
    )


def _log(
    source: str,
    given: Mapping[str, Any],
    columns: Mapping[str, str] | None,
    strict: bool,
    progress: Progress,
) -> Requests:
    """The trace's requests as they were."""
    from dataclasses import replace

    from ..analysis.interchange.requests import Requests
    from ..analysis.trace.subset import requests_of

    scaled = [name for name in ("rate_rps", "speedup") if name in given]
    if scaled:
        raise InputError(
            f"--{scaled[0].removesuffix('_rps')}: a log is exported as it was; choose a format for a load "
            "generator, or draw from fitted parameters"
        )
    trace = _opened(source, columns, strict, progress)
    try:
        chosen = {name: given[name] for name in CHOICE if name in given}
        frame = requests_of(trace, **chosen)
        return Requests(frame, replace(trace.info, rows=len(frame)))
    finally:
        trace.engine.close()


def _load(
    source: str,
    given: Mapping[str, Any],
    columns: Mapping[str, str] | None,
    strict: bool,
    progress: Progress,
) -> tuple[Requests, list[str]]:
    """The trace's requests as they are sent: from second 0 on, each asking for a token at least."""
    from ..analysis.trace.subset import requests_of
    from ..bench.workload.from_trace import from_trace

    trace = _opened(source, columns, strict, progress)
    try:
        load = from_trace(trace, **given)
        step_s = trace.info.resolution_s
        chosen = {name: given[name] for name in CHOICE if name in given}
        failed = int(requests_of(trace, **chosen)["failed"].sum())
    finally:
        trace.engine.close()
    made = []
    if load.recipe["spread"]:
        made.append(f"stamps of {step_s:g} s are spread inside their step, seed {given.get('seed', 0)}")
    if (factor := load.recipe["speedup"]) != 1:
        made.append(f"time runs {factor:.4g} times as fast")
    if failed:
        made.append(f"{counted(failed, 'request')} that failed ask for what was answered, at least one token")
    return _of_workload(load, synthetic=load.synthetic), made


def _of_workload(load: Workload, *, synthetic: bool) -> Requests:
    """A workload as requests, at their planned instants."""
    import polars as pl

    from ..analysis.interchange.requests import Requests
    from ..analysis.logs.trace_info import TraceInfo
    from ..analysis.trace.parquet import COLUMNS, PREFIX

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
    )
    return Requests(frame, info)


def _not_itself(out: Path, source: str) -> None:
    from .workload import files_of

    for part in files_of(source):
        if out.exists() and part.exists() and out.samefile(part):
            raise DiskError.unwritable(out, "it is the source; name another file with -o")


def _stem(source: str) -> str:
    """What files made of a source are called."""
    name = Path(source.split("+")[0]).name
    return name.split(".")[0] if not name.startswith("shape=") else "constant"
