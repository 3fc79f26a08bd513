"""The verb `compare`. Not here: how it is done (`burstlens.api.compare`), the other verbs (`cli`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

import burstlens as bl

from ...console import progress, say_json
from ..flags import Verb
from ..options import engines, fitting, json_option, quiet_option, reading

if TYPE_CHECKING:
    from ...api.compare import ComparisonResult


@click.command(
    cls=Verb,
    epilog="""\b
Examples:
  burstlens compare BurstGPT_1.csv run                a trace and its replay
  burstlens compare BurstGPT_1.csv parameters.json    a trace and a draw
  burstlens compare a.parquet b.csv --json | jq .agrees""",
)
@click.argument("one", metavar="A")
@click.argument("other", metavar="B")
@fitting
@reading
@engines
@json_option
@quiet_option
def compare(one: str, other: str, as_json: bool, quiet: bool, **options: Any) -> None:
    """Compare two traces: is B a faithful copy of A?

    A and B are traces, folders of runs, or fitted parameters, which are drawn first. Each difference
    comes with what noise alone would make.
    """
    with progress(quiet) as show:
        result = bl.compare(one, other, progress=show, **options)
    if as_json:
        say_json(result.as_dict())
    else:
        _show(result)


def _show(result: ComparisonResult) -> None:
    """A table for each selection, then the findings."""
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    screen = Console(highlight=False)
    for name in result.synthetic:
        screen.print(f"{escape(name)}  [reverse] synthetic [/]")
    for (selection,), rows in result.part.statistics.group_by("selection", maintain_order=True):
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        table.add_column(escape(str(selection)), overflow="fold")
        for side in (result.part.one, result.part.other):
            table.add_column(escape(side), justify="right", overflow="fold")
        table.add_column("", no_wrap=True)
        for row in rows.iter_rows(named=True):
            sides = (_value(row, side) for side in ("one", "other"))
            word = {True: "agrees", False: "[reverse]differs[/]", None: "cannot tell"}[row["agrees"]]
            if row["kind"] == "distance":
                word += f", {100 * row['difference']:.1f} % apart"
            table.add_row(row["statistic"], *(escape(each) for each in sides), word)
        screen.print(table)
    for line in (result.part.sentences()[0], *result.notes, *result.part.missing):
        screen.print(escape(line))


def _value(row: dict[str, Any], side: str) -> str:
    """An estimate with its interval, or the median of a distribution."""
    from ...analysis.core.result import number

    value, low, high = (row[f"{side}{end}"] for end in ("", "_low", "_high"))
    if row["kind"] == "distance":
        return f"median {number(value)}"
    return number(value) if low is None else f"{number(value)} [{number(low)}, {number(high)}]"
