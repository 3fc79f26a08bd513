"""The command `columns`. Not here: how a mapping is guessed (`burstlens.analysis.logs.formats.proposal`)."""

from __future__ import annotations

from pathlib import Path

import click

import burstlens as bl

from ...console import say_json
from ..flags import Verb
from ..options import json_option


@click.command(
    cls=Verb,
    epilog="""\b
Examples:
  burstlens columns gateway.jsonl
  burstlens columns gateway.jsonl -o gateway.toml
  burstlens report gateway.jsonl --mapping gateway.toml""",
)
@click.argument("log", metavar="LOG")
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), metavar="FILE", help="Also write the mapping as TOML."
)
@click.option("--delimiter", metavar="CHARACTER", help="What separates the columns of a CSV file.")
@click.option("--decimal", type=click.Choice([".", ","]), help="Mark of fractions in a CSV file.")
@click.option("--encoding", metavar="NAME", help="Encoding of a text file: utf-8, windows-1252, …")
@click.option("--table", metavar="NAME", help="Table of a database: LOG is postgresql://user@host/db.")
@click.option("--sql", metavar="SELECT", help="Query, in place of --table.")
@json_option
def columns(log: str, out: Path | None, as_json: bool, **options: str | None) -> None:
    """Look at an unknown log: its columns, and a mapping to try."""
    found = bl.columns(log, out, **options)
    if as_json:
        say_json(found.as_dict())
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    screen = Console(highlight=False)
    table = Table(box=None, pad_edge=False, header_style="bold", expand=True)
    table.add_column("column", overflow="fold", ratio=3)
    table.add_column("kind", no_wrap=True)
    table.add_column("filled", justify="right", no_wrap=True)
    table.add_column("role", no_wrap=True)
    table.add_column("examples", overflow="ellipsis", no_wrap=True, ratio=3)
    for each in found.found:
        filled = f"{100 * each.filled:.0f} %"
        table.add_row(
            escape(each.place), each.kind, filled, each.role or "", escape(" · ".join(each.examples))
        )
    screen.print(table)
    click.echo()
    for line in found.lines():
        click.echo(line)
    if out is not None:
        click.echo(f"mapping written to {out}")
