"""The command `ingest`. Not here: reading logs (`burstlens.analysis.logs`)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import burstlens as bl

from ...console import progress, say_json
from ..flags import Verb
from ..options import anonymizing, engines, json_option, log_argument, quiet_option, reading

if TYPE_CHECKING:
    from ...analysis.logs.options import LogOptions


def _list_formats(context: click.Context, _option: click.Parameter, wanted: bool) -> None:
    """Print the log formats and end, before anything else is asked for."""
    if not wanted:
        return
    from ...analysis.logs.formats.declaration import formats

    width = max(map(len, formats()))
    for name, format in formats().items():
        click.echo(f"{name:<{width}}  {format.title} ({', '.join(format.kinds)})")
    context.exit()


@click.command(
    cls=Verb,
    epilog="""\b
Examples:
  burstlens ingest --list
  burstlens ingest BurstGPT_1.csv -o trace.parquet
  burstlens ingest BurstGPT_1.csv BurstGPT_2.csv -o both.parquet
  burstlens ingest run-* -o sent.parquet      the shards of one replay
  burstlens ingest BurstGPT_1.csv -o trace --partition-by day      a folder
  burstlens ingest my.csv -o t.parquet --columns arrival=ts,request_tokens=in""",
)
@log_argument
@click.option(
    "-o", "--out", required=True, type=click.Path(path_type=Path), help="Parquet file or folder to write."
)
@click.option(
    "--list",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_list_formats,
    help="List the log formats.",
)
@reading
@anonymizing
@click.option(
    "--partition-by",
    type=click.Choice(["day"]),
    help="Make OUT a folder with a Parquet file or more per day.",
)
@engines
@json_option
@quiet_option
def ingest(
    log: tuple[str, ...],
    out: Path,
    columns: dict[str, str] | None,
    reading: LogOptions | None,
    strict: bool,
    partition_by: str | None,
    as_json: bool,
    quiet: bool,
    **on: Any,
) -> None:
    """Convert a log, or several of one trace, to a Parquet trace.

    The folders of all shards of a replay make one trace, and the verdict is on their common load. Bad rows
    go to OUT.rejects.csv, each with its line number and the reason.
    """
    with progress(quiet) as show:
        done = bl.ingest(
            log,
            out,
            columns=columns,
            reading=reading,
            strict=strict,
            partition_by=partition_by,
            progress=show,
            **on,
        )
    if as_json:
        say_json(done.as_dict())
        return
    for line in done.lines():
        click.echo(line)
