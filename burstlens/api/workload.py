"""A workload from whatever names it: a trace, fitted parameters, constants, an earlier run.

Not here: making it (`burstlens.bench.workload`), sending it (`replay`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..analysis.core.errors import InputError, UnknownSelectionError
from ..analysis.core.option_names import option
from ..analysis.core.result import Progress, silent
from .options import Log, check_positive, source_text

if TYPE_CHECKING:
    from ..bench.workload.recipe import Recipe
    from ..bench.workload.table import Workload

Kind = Literal["trace", "parameters", "constants", "run"]
Sessions = Literal["stamps", "think", "off"]
Lengths = Literal["winner", "zipf"]

SOURCES_OF: dict[str, tuple[Kind, ...]] = {
    "service": ("trace", "parameters"),
    "model": ("trace", "parameters"),
    "start_s": ("trace", "parameters"),
    "end_s": ("trace", "parameters", "constants"),
    "first": ("trace", "parameters", "constants"),
    "rate_rps": ("trace", "parameters", "constants", "run"),
    "speedup": ("trace", "parameters", "constants", "run"),
    "scale": ("parameters",),
    "spread": ("trace",),
    "sessions": ("trace", "parameters"),
    "lengths": ("parameters",),
    "context": ("parameters",),
    "tokens": ("trace", "parameters"),
    "seed": ("trace", "parameters", "constants", "run"),
}
"""For which kinds of source each option is. Nothing is drawn for a run, but its prompts have a seed too."""
KIND_NAMES: dict[Kind, tuple[str, str]] = {
    "trace": ("traces", "is a trace"),
    "parameters": ("fitted parameters", "contains fitted parameters"),
    "constants": ("constants", "names constants"),
    "run": ("runs", "is a run"),
}
"""The kinds of source in words: in the plural, and as a predicate."""


@dataclass(frozen=True)
class WorkloadOptions:
    """What is selected of a source, and how it is scaled and drawn. None leaves the choice to the source."""

    service: str | None = None
    model: str | None = None
    start_s: float | None = None
    end_s: float | None = None
    first: int | None = None
    rate_rps: float | None = None
    speedup: float | None = None
    scale: float | None = None
    spread: bool = True
    sessions: str | None = None
    lengths: str | None = None
    context: int | None = None
    tokens: tuple[int, int] | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        check_positive("first", self.first, integer=True)
        check_positive("rate_rps", self.rate_rps)
        check_positive("speedup", self.speedup)

    def given(self, *names: str) -> dict[str, Any]:
        """The options that were set, the seed always; of `names` alone, if there are any."""
        unset = {field.name: field.default for field in fields(self) if field.name != "seed"}
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {
            name: value
            for name, value in values.items()
            if (not names or name in names) and (name not in unset or value != unset[name])
        }


def workload(
    source: Log,
    *,
    service: str | None = None,
    model: str | None = None,
    start_s: float | None = None,
    end_s: float | None = None,
    first: int | None = None,
    rate_rps: float | None = None,
    speedup: float | None = None,
    scale: float | None = None,
    spread: bool = True,
    sessions: Sessions | None = None,
    lengths: Lengths | None = None,
    context: int | None = None,
    tokens: tuple[int, int] | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Workload:
    """Make a workload of a trace, a parameter file, constants, or the folder of a run.

    Parameters
    ----------
    source
        A log, or `A+B` for one trace in two files; a `parameters.json`; constants or schedules such as
        `"shape=0.5,scale=2,exponent=1.1"`; the folder of a run, for the workload that it sent.
    service, model
        Only requests of this service, of this model.
    start_s, end_s
        Only requests from `start_s` to before `end_s`, in seconds since midnight of day 0.
    first
        Only the first of the selected requests.
    rate_rps
        Scale time to this mean rate, in requests per second.
    speedup
        Scale time by this factor.
    scale
        Multiply the rates of fitted parameters by this factor.
    spread
        Spread stamps of whole seconds inside their second.
    sessions
        Send the turns of a conversation at their `"stamps"`, or after the previous answer and time to
        `"think"`, or as single requests (`"off"`). By default stamps for a trace, off for parameters.
    lengths
        The law that lengths are drawn from, for parameters: the fitted `"winner"`, or `"zipf"`.
    context
        Tokens up to which a conversation drawn from parameters grows.
    tokens
        Request and response tokens of each request, for a source without lengths.
    seed
        Seed of all that is drawn.

    Raises
    ------
    BurstlensError
        The source cannot be read, or an option is not for its kind.

    Examples
    --------
    >>> load = bl.workload("synthetic.csv", service="conversation", first=100, rate_rps=2.0)
    >>> len(load.requests), round(load.rate_rps)
    (100, 2)
    >>> bl.workload("shape=0.5,scale=2,exponent=1.1", first=10, seed=1).to_frame().columns[:2]
    ['request_id', 'at_s']
    """
    options = WorkloadOptions(
        service,
        model,
        start_s,
        end_s,
        first,
        rate_rps,
        speedup,
        scale,
        spread,
        sessions,
        lengths,
        context,
        tokens,
        seed,
    )
    return load_workload(source_text(source), options, progress=progress or silent)


def files_of(source: str) -> list[Path]:
    """The files of one trace: `A+B` is two, unless a file of that very name exists."""
    from ..analysis.logs.files.databases import is_database, log_path

    if is_database(source):
        return [log_path(source)]
    path = Path(source)
    return [path] if path.exists() else [Path(part) for part in source.split("+")]


def kind_of(source: str) -> Kind:
    """What a source is; a trace if it looks like nothing else."""
    path = Path(source)
    if (path / "run.json").is_file():
        return "run"
    if path.suffix == ".json" and path.is_file():
        return "parameters"
    return "constants" if not path.exists() and source.startswith("shape=") else "trace"


def load_workload(source: str, options: WorkloadOptions, *, progress: Progress = silent) -> Workload:
    """The workload that `source` names; BurstlensError for an option that its kind does not take."""
    kind = kind_of(source)
    _check_options(source, kind, options)
    if kind == "run":
        from ..bench.record.run_folder import read_workload

        return _scaled(read_workload(Path(source)), options.rate_rps, options.speedup)
    if kind == "parameters":
        from ..bench.workload.from_parameters import from_parameters

        selection = " · ".join(name for name in (options.service, options.model) if name is not None)
        drawn = from_parameters(
            Path(source),
            selection=selection or None,
            **options.given(
                "rate_rps", "scale", "start_s", "end_s", "lengths", "tokens", "sessions", "context", "seed"
            ),
        )
        return _first(_scaled(drawn, None, options.speedup), options.first)
    if kind == "constants":
        return _scaled(_constant(source, options), None, options.speedup)
    from ..analysis.trace.trace import open_trace
    from ..bench.workload.from_trace import from_trace

    trace = open_trace(files_of(source), progress=progress)
    try:
        return from_trace(trace, **options.given())
    finally:
        trace.engine.close()


@contextmanager
def hinting_served_model(options: WorkloadOptions) -> Iterator[None]:
    """While a workload is loaded for a server: an unknown `model` is probably one that the server serves."""
    try:
        yield
    except UnknownSelectionError as error:
        if options.model is None:
            raise
        raise UnknownSelectionError(
            f"{error.marked_text}. To name the model that the server serves, use "
            f"{option('served_model', options.model)}"
        ) from None


def _check_options(source: str, kind: Kind, options: WorkloadOptions) -> None:
    """Raise InputError for an option that this kind of source does not take."""
    given = options.given()
    for name in given:
        kinds = SOURCES_OF[name]
        if kind not in kinds:
            marked = option(name, False) if name == "spread" else option(name)
            kinds_that_take = ", ".join(KIND_NAMES[each][0] for each in kinds)
            raise InputError(
                f"{marked}: is for {kinds_that_take}, but {source} {KIND_NAMES[kind][1]}; leave it out"
            )
    if "rate_rps" in given and "speedup" in given:
        raise InputError(f"{option('rate_rps')} and {option('speedup')} both scale time: give one of them")


def _constant(source: str, options: WorkloadOptions) -> Workload:
    """Load without a file, such as `shape=0.5,scale=2,exponent=1.1`; each may be a schedule."""
    from ..bench.workload.from_parameters import varying
    from ..bench.workload.schedules import parse_schedules

    schedules = parse_schedules(source)
    if (options.first is None) == (options.end_s is None):
        raise InputError(
            f"{source}: say how long: {option('first')}, a number of requests, or {option('end_s')}, the "
            "time at which it ends"
        )
    return varying(
        *schedules,
        requests=options.first,
        duration_s=options.end_s,
        rate_rps=options.rate_rps,
        seed=options.seed,
    )


def _first(load: Workload, first: int | None) -> Workload:
    """The first requests of a workload, all of them for None."""
    if first is None:
        return load
    recipe: Recipe = {**load.recipe, "first": first}
    return replace(load, requests=load.requests.head(first), recipe=recipe)


def _scaled(load: Workload, rate_rps: float | None, speedup: float | None) -> Workload:
    """A workload with its instants squeezed."""
    import polars as pl

    factor = rate_rps / load.rate_rps if rate_rps and load.rate_rps else speedup or 1.0
    if factor == 1.0:
        return load
    squeezed = load.requests.with_columns(pl.col("at_s") / factor)
    return replace(load, requests=squeezed, recipe={**load.recipe, "squeezed": factor})
