"""The verb `report`: of traces, and of every folder that another verb wrote.

Not here: how a page is made (`burstlens.reports`), the other verbs (`cli` and its kin).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

import burstlens as bl

from ..api.workload import files_of
from ..console import progress, say_json
from .flags import Verb
from .options import engines, fitting, json_option, quiet_option, reading, spanning, typed_command
from .replay import shards_of

JOINED = "whole"
"""Name of the folder for the run of all shards, next to theirs, without -o."""
UNUSED = (
    "window_s", "seed", "columns", "strict", "forecast", "disaggregate", "engine", "master", "conf",
    "start_s", "end_s",
)  # fmt: skip
"""Options that are about traces: the page of anything else shows what was measured, as it was."""


def _run(folder: Path, out: Path | None, **how: Any) -> Path:
    from ..reports.pages.run import write_run_page

    return write_run_page(folder, out, **how)


def _experiment(folder: Path, out: Path | None, **how: Any) -> Path:
    from ..reports.pages.experiment import write_experiment_page

    return write_experiment_page(folder, out, **how)


def _disaggregation(folder: Path, out: Path | None, *, images: bool, command: str, **_: Any) -> Path:
    from ..api.disaggregate import read

    return read(folder).report(out, images=images, command=command)


PAGES: dict[str, tuple[str, Callable[..., Path]]] = {
    "experiment.json": ("an experiment", _experiment),
    "disaggregate.json": ("a search of the prefill:decode ratio", _disaggregation),
    "run.json": ("a run", _run),
}
"""By the file that marks a folder: what the folder is, and what writes its page, there or into another."""


@click.command(
    cls=Verb,
    epilog="""\b
Examples:
  burstlens report                                  the embedded synthetic trace
  burstlens report BurstGPT_1.csv -o out --window 5m
  burstlens report BurstGPT_1.csv azure.csv         two traces side by side
  burstlens report BurstGPT_1.csv+BurstGPT_2.csv    two files of one trace
  burstlens report BurstGPT_1.csv --forecast        also how well its load can be forecast
  burstlens report BurstGPT_1.csv --disaggregate    also how to divide instances for it
  burstlens report run-0 run-1 -o whole             the shards of one replay as one run
  burstlens report mine.jsonl --columns arrival=ts,request_tokens=in,response_tokens=out""",
)
@click.argument("log", nargs=-1, metavar="[LOG…]")
@click.option(
    "-o",
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for the page and all that goes with it.  "
    "[default: reports/build; of a run or an experiment, its own]",
)
@fitting
@reading
@click.option("--images/--no-images", default=True, help="Also write figures/ as SVG and PNG.")
@click.option("--forecast", is_flag=True, help="Also forecast the load: one more section and claim.")
@click.option("--disaggregate", is_flag=True, help="Also search the prefill:decode ratio, simulated, on the "
              "busiest day with at most 5,000 requests: one more section and claim.")  # fmt: skip
@engines
@spanning
@json_option
@quiet_option
def report(
    log: tuple[str, ...],
    out: Path | None,
    window_s: float,
    seed: int,
    columns: dict[str, str] | None,
    strict: bool,
    images: bool,
    forecast: bool,
    disaggregate: bool,
    as_json: bool,
    quiet: bool,
    **on: Any,
) -> None:
    """Write the page of a trace, with figures and claims.

    Several LOGs are compared on one page; a LOG of the form A+B is one trace in two files. LOG may also be a
    folder that `burstlens replay`, `experiment` or `disaggregate` wrote. The folders of all shards of a
    replay become one run in OUT.
    """
    folder = Path(log[0]) if len(log) == 1 else None
    mark = next((each for each in PAGES if folder is not None and (folder / each).is_file()), None)
    shards = [] if mark else shards_of(log)
    if shards:
        _refuse_unused(f"{log[0]} and others are shards of a run")
        folder, mark = out or shards[0].parent / JOINED, "run.json"
        bl.gather(shards, folder)
        out = None
    if folder is not None and mark is not None:
        what, write = PAGES[mark]
        _refuse_unused(f"{folder} is {what}")
        with progress(quiet) as show:
            page = write(folder, out, images=images, command=typed_command(), progress=show)
        click.echo(json.dumps({"page": str(page)}) if as_json else str(page))
        return
    with progress(quiet) as show:
        written = bl.report(
            [files_of(each) for each in log],
            out,
            window_s=window_s,
            seed=seed,
            columns=columns,
            strict=strict,
            images=images,
            forecast=forecast,
            disaggregate=disaggregate,
            command=typed_command(),
            progress=show,
            **on,
        )
    if as_json:
        say_json(written.as_dict())
        return
    for line in written.lines():
        click.echo(line)


def _refuse_unused(what: str) -> None:
    """BurstlensError for an option that was given and would be dropped."""
    here = click.get_current_context()
    given = {param.name: param.opts[0] for param in here.command.params}
    for name in UNUSED:
        if here.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            raise bl.InputError(f"{given[name]}: is for traces, but {what}; leave it out")
