"""Load from whatever names it: a trace, fitted parameters, constants, a run that was.

Not here: making it (`burstlens.bench.workload.from_trace`, `modelled`), sending it (`client`).
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..analysis.core.errors import InputError
from ..analysis.core.result import Progress, silent

if TYPE_CHECKING:
    from ..bench.prompts.token_ids import Prompts
    from ..bench.server.calibrate import Calibration
    from ..bench.settings import Settings, Status
    from ..bench.workload.table import Workload


Kind = Literal["trace", "parameters", "constants", "run"]

TAKEN: dict[str, tuple[Kind, ...]] = {
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
"""What can be chosen, and for which kinds of source; a run draws nothing, but its prompts have a seed too."""
FLAGS = {"start_s": "from", "end_s": "to", "rate_rps": "rate", "spread": "no-spread"}
"""Options that are not called as their keyword is."""
SAID: dict[Kind, tuple[str, str]] = {
    "trace": ("traces", "is a trace"),
    "parameters": ("fitted parameters", "holds fitted parameters"),
    "constants": ("constants", "names constants"),
    "run": ("runs", "is a run"),
}
"""The kinds of source in words: many, and what one of them is."""


def flag(name: str) -> str:
    """The option of a keyword, as it is typed."""
    return f"--{FLAGS.get(name, name)}"


def files_of(source: str) -> list[Path]:
    """The files of one trace: `A+B` is two, unless a file of that very name exists."""
    path = Path(source)
    return [path] if path.exists() else [Path(part) for part in source.split("+")]


def kind_of(source: str) -> Kind:
    """What a source is; a trace where it looks like nothing else."""
    path = Path(source)
    if (path / "run.json").is_file():
        return "run"
    if path.suffix == ".json" and path.is_file():
        return "parameters"
    return "constants" if not path.exists() and source.startswith("shape=") else "trace"


def workload(source: str, *, progress: Progress = silent, **choice: Any) -> Workload:
    """The workload that `source` names; `choice` as in `bench.from_trace.from_trace`.

    A `.json` file holds fitted parameters, a folder with `run.json` an earlier run's workload as it was,
    `shape=…,scale=…,exponent=…` are constants or schedules; everything else is a trace, `A+B` one in two
    files. BurstlensError for a choice that means nothing for that kind of source.
    """
    kind = kind_of(source)
    given = _taken(source, kind, choice)
    rate_rps, speedup = given.get("rate_rps"), given.get("speedup")
    if rate_rps is not None and speedup is not None:
        raise InputError("--rate and --speedup both scale time: give one of them")
    if kind == "run":
        from ..bench.record.run_folder import read_workload

        return _scaled(read_workload(Path(source)), rate_rps, speedup)
    if kind == "parameters":
        from ..bench.workload.from_parameters import from_parameters

        return _first(_scaled(from_parameters(Path(source), **_windows(given)), None, speedup), given)
    if kind == "constants":
        return _scaled(_constant(source, given), None, speedup)
    from ..analysis.trace.trace import open_trace
    from ..bench.workload.from_trace import from_trace

    trace = open_trace(files_of(source), progress=progress)
    try:
        return from_trace(trace, **given)
    finally:
        trace.engine.close()


def _taken(source: str, kind: Kind, choice: Mapping[str, Any]) -> dict[str, Any]:
    """What is chosen; BurstlensError for what that kind of source does not take."""
    given = {
        name: value
        for name, value in choice.items()
        if value is not None and not (name == "spread" and value)
    }
    for name in given:
        kinds = TAKEN.get(name, ())
        if kind not in kinds:
            takers = ", ".join(SAID[each][0] for each in kinds) or "no source"
            raise InputError(f"{flag(name)}: is for {takers}, but {source} {SAID[kind][1]}; leave it out")
    return given


def _windows(given: Mapping[str, Any]) -> dict[str, Any]:
    """Choices as `from_parameters` has them: a selection by its label, a span by its length."""
    named = [str(given[side]) for side in ("service", "model") if side in given]
    rest = ("service", "model", "first", "speedup")
    chosen = {name: value for name, value in given.items() if name not in rest}
    return chosen | ({"selection": " · ".join(named)} if named else {})


def _constant(source: str, given: Mapping[str, Any]) -> Workload:
    """Load without a file, such as `shape=0.5,scale=2,exponent=1.1`; each may be a schedule."""
    from ..bench.workload.from_parameters import varying
    from ..bench.workload.schedules import parse_schedules

    schedules = parse_schedules(source)
    if ("first" in given) == ("end_s" in given):
        raise InputError(f"{source}: say how much: --first N requests, or --to the time that it lasts")
    return varying(
        *schedules,
        requests=given.get("first"),
        duration_s=given.get("end_s"),
        rate_rps=given.get("rate_rps"),
        seed=given.get("seed", 0),
    )


def _first(load: Workload, given: Mapping[str, Any]) -> Workload:
    """The first requests of a workload, if so many are asked for."""
    if "first" not in given:
        return load
    return replace(
        load,
        requests=load.requests.head(given["first"]),
        recipe={**load.recipe, "first": given["first"]},
    )


def _scaled(load: Workload, rate_rps: float | None, speedup: float | None) -> Workload:
    """A workload with its instants squeezed."""
    import polars as pl

    factor = rate_rps / load.rate_rps if rate_rps and load.rate_rps else speedup or 1.0
    if factor == 1.0:
        return load
    squeezed = load.requests.with_columns(pl.col("at_s") / factor)
    return replace(load, requests=squeezed, recipe={**load.recipe, "squeezed": factor})


def calibrate(
    source: str,
    kv: float,
    *,
    url: str | None,
    simulate: str | None,
    served_model: str | None,
    key: str | None,
    out: Path | None,
    tolerance: float,
    trials: int,
    share_prefixes: bool,
    vocabulary: Sequence[int] | None,
    prompts: Prompts | None,
    settings: Settings | None,
    watch: Callable[[Status], object],
    progress: Progress,
    **choice: Any,
) -> Calibration:
    """See `burstlens.calibrate`."""
    import polars as pl

    from ..bench.prompts.token_ids import FIRST, LAST, TokenPrompts
    from ..bench.record.run_folder import read_server
    from ..bench.server import calibrate as search

    path = Path(source)
    if out is not None and path.suffix != ".json":
        raise InputError(
            f"{source}: holds no parameters to scale; make them with burstlens fit, or leave out -o"
        )
    low, high = vocabulary or (FIRST, LAST)
    sent = prompts or TokenPrompts(int(choice.get("seed", 0)), share=share_prefixes, vocabulary=(low, high))
    base = workload(source, **choice)
    if math.isnan(base.rate_rps) or base.rate_rps <= 0:
        raise InputError(f"{source}: requests of one instant have no rate to scale")

    def at(scale: float) -> Workload:
        if path.suffix == ".json":
            # Rates are multiplied and windows keep their length, as in the file that is written.
            rate_rps = choice.get("rate_rps")
            more = {"scale": scale} if rate_rps is None else {"rate_rps": rate_rps * scale}
            return workload(source, **{**choice, **more})
        return replace(base, requests=base.requests.with_columns(pl.col("at_s") / scale))

    def measure(load: Workload) -> float:
        if simulate is not None:
            from ..bench.simulated.presets import load_preset
            from ..bench.simulated.virtual import simulate_frame

            step_s = max(load.span_s / 1000, 1e-3)
            _, server = simulate_frame(load, load_preset(simulate), sample_s=min(step_s, 1.0))
            return search.plateau(server, load.span_s)
        from ..bench.client.run import run
        from ..bench.settings import Settings, Target

        with tempfile.TemporaryDirectory(prefix="burstlens-") as folder:
            into = Path(folder) / "run"
            target = Target(url or "", served_model, key=key)
            done = run(load, sent, target, settings or Settings(), into, watch=watch)
            if not done.finished:
                raise KeyboardInterrupt
            return search.plateau(read_server(into), load.span_s)

    found = search.calibrate(kv, at, measure, tolerance=tolerance, most=trials, progress=progress)
    if out is not None:
        from ..analysis.interchange.parameters import read_parameters, write_parameters

        write_parameters(search.scaled(read_parameters(path), found.scale), out)
    return found
