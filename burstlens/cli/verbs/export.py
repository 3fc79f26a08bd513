"""The verb `export`. Not here: how it is done (`burstlens.api.export`), the other verbs (`cli`)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import burstlens as bl

from ...analysis.core.errors import nearest
from ...analysis.core.option_names import option
from ...console import Duration, progress, say_json
from ..flags import Verb
from ..options import Pair, anonymizing, json_option, quiet_option, reading

if TYPE_CHECKING:
    from ...api.export import ExportResult


class TimeOrFormat(Duration):
    """A time span; a word that is not one is a format, as `--to` once was."""

    def convert(  # type: ignore[override]
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float | str:
        """Convert a time to seconds; a word stays.

        Parameters
        ----------
        value
            What was typed, or a default.
        param, ctx
            Option and command, for errors.

        Returns
        -------
        float or str
            Seconds, or the word.
        """
        text = str(value)
        return text if text[:1].isalpha() else super().convert(value, param, ctx)


@click.command(
    cls=Verb,
    epilog="""\b
Examples:
  burstlens export --list
  burstlens export BurstGPT_1.csv --format aiperf-burstgpt \\
      --from 18h --to 19h -o hour.csv
  burstlens export parameters.json --format vllm -o synthetic.jsonl --seed 1
  burstlens export BurstGPT_1.csv --format vllm-line --from 18h    one window
  burstlens export BurstGPT_1.csv --format servegen -o data/language/burstgpt
  burstlens export data/language/m-small --format parameters   from ServeGen
  burstlens export BurstGPT_1.csv --format parquet -o trace.parquet""",
)
@click.argument("source", required=False)
@click.option("--format", metavar="FORMAT", help="Format to write; see --list.")
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    help="File to write.  [default: named after SOURCE]",
)
@click.option("--list", "listing", is_flag=True, help="List the formats.")
@click.option("--service", metavar="NAME", help="Only requests of this service.")
@click.option("--model", metavar="NAME", help="Only requests of this model.")
@click.option("--from", "start_s", type=Duration(zero=True), help="Start at this time of the trace: 2d18h, …")
@click.option("--to", "end_s", type=TimeOrFormat(), help="Stop before this time of the trace.")
@click.option("--until", type=Duration(), hidden=True)
@click.option("--first", type=click.IntRange(min=1), help="Only the first N of these requests.")
@click.option(
    "--rate", "rate_rps", type=float, help="Scale time to this mean rate, requests/s; not for logs."
)
@click.option("--speedup", type=float, help="Scale time by this factor; not for logs.")
@click.option(
    "--tokens",
    type=Pair(),
    metavar="REQUEST,RESPONSE",
    help="Tokens of each request, for a source without lengths.",
)
@click.option(
    "--share-prefixes",
    is_flag=True,
    help="Give the turns of a session a common prefix, in hash_ids.",
)
@click.option(
    "--window",
    "window_s",
    type=Duration(),
    help="Gamma windows, if a trace is fitted first.  [default: 20m]",
)
@click.option("--seed", type=int, help="Seed of all random draws.  [default: 0]")
@reading
@anonymizing
@json_option
@quiet_option
def export(
    source: str | None,
    format: str | None,
    end_s: float | str | None,
    until: float | None,
    listing: bool,
    as_json: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Write a trace, a run or a fit in another tool's format.

    The output lists what the format cannot hold. Formats for load generators start at second 0 and include
    failed requests.
    """
    if listing:
        _list(as_json)
        return
    if isinstance(end_s, str):
        _check_format(end_s)
        click.echo(f"burstlens: --to {end_s}: the format is now --format {end_s}; --to is a time", err=True)
        format, end_s = format or end_s, None
    if until is not None:
        click.echo("burstlens: --until is now --to", err=True)
        end_s = until if end_s is None else end_s
    if source is None or format is None:
        raise bl.InputError("name a source and a format: burstlens export log.csv --format vllm (see --list)")
    with progress(quiet) as show:
        done = bl.export(source, format, end_s=end_s, progress=show, **options)
    if as_json:
        say_json(done.as_dict())
    else:
        _show(done)


def _check_format(word: str) -> None:
    """Raise InputError, with the nearest format, if the word after `--to` is not a format either."""
    from ...analysis.interchange.exports import exports

    known = list(exports())
    if word in known:
        return
    close = nearest(word, known)
    formats = f"{option('format', 'FORMAT')} names a format: {', '.join(known)}"
    raise bl.InputError.of_option(
        "end_s",
        f"{word!r} is not a time such as 2d18h",
        remedy=formats if close is None else f"did you mean {option('format', close)}?",
    )


def _show(done: ExportResult) -> None:
    """The file first, then what was made and lost, then how to run it; plain text that can be copied."""
    for line in done.lines():
        click.echo(line)
    for each in done.made:
        click.echo(f"  made: {each}")
    for each in done.lost:
        click.echo(f"  lost: {each}")
    if done.run:
        click.echo(f"run: {done.run}")


def _list(as_json: bool) -> None:
    from ...analysis.interchange.exports import exports

    known = exports()
    if as_json:
        say_json([{"format": name, "title": each.title, "takes": each.takes} for name, each in known.items()])
        return
    width = max(map(len, known))
    for name, each in known.items():
        click.echo(f"{name:<{width}}  {each.title}")
