"""The command `report`.

Not here: which page is written (`burstlens.api.report`), how it is made (`burstlens.reports`).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import burstlens as bl

from ...api.report import written_folder
from ...api.workload import files_of
from ...console import progress, say_json
from ..flags import Verb
from ..options import (
    anonymizing,
    engines,
    fitting,
    json_option,
    quiet_option,
    reading,
    spanning,
    typed_command,
)

if TYPE_CHECKING:
    from ...analysis.logs.options import LogOptions


@click.command(
    cls=Verb,
    epilog="""\b
Examples:
  burstlens report                                the embedded synthetic trace
  burstlens report BurstGPT_1.csv -o out --window 5m
  burstlens report BurstGPT_1.csv azure.csv       two traces side by side
  burstlens report BurstGPT_1.csv+BurstGPT_2.csv  two files of one trace
  burstlens report BurstGPT_1.csv --forecast      also forecast its load
  burstlens report BurstGPT_1.csv --disaggregate  also divide instances for it
  burstlens report run-0 run-1 -o merged          two shards as one run
  burstlens report mine.jsonl \\
      --columns arrival=ts,request_tokens=in,response_tokens=out""",
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
@anonymizing
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
    reading: LogOptions | None,
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
    groups = [files_of(each) for each in log]
    if (folder := written_folder(groups)) is not None:
        # Also where the value that was typed is the default, which the function cannot tell.
        context = click.get_current_context()
        folder.refuse(
            name
            for name in context.params
            if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
        )
    with progress(quiet) as show:
        written = bl.report(
            groups,
            out,
            window_s=window_s,
            seed=seed,
            columns=columns,
            reading=reading,
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
