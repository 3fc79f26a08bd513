"""The command `fetch`. Not here: the catalogue and the download (`burstlens.public_traces`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

import burstlens as bl

from ...console import Duration, progress, say_json
from ..flags import Verb
from ..options import json_option, quiet_option


@click.command(
    cls=Verb,
    epilog="""\b
Examples:
  burstlens fetch                                     list the traces
  burstlens fetch burstgpt-1 -o traces
  burstlens fetch burstgpt-1 --mirror https://mirror.example/burstgpt/""",
)
@click.argument("name", required=False)
@click.option(
    "-o", "--out", default=".", show_default=True, type=click.Path(path_type=Path), help="Folder to write to."
)
@click.option(
    "--mirror",
    "source",
    metavar="URL|FOLDER",
    help="Download from here instead: a base URL, a full URL or a folder.",
)
@click.option("--from", "former", hidden=True)
@click.option(
    "--timeout",
    "timeout_s",
    type=Duration(),
    default="30s",
    show_default=True,
    help="Stop if the server sends nothing for this long.",
)
@json_option
@quiet_option
def fetch(
    name: str | None,
    out: Path,
    source: str | None,
    former: str | None,
    timeout_s: float,
    as_json: bool,
    quiet: bool,
) -> None:
    """Download a public trace: resumable, checked by SHA-256.

    Without NAME, list the traces.
    """
    if name is None:
        from ...public_traces.catalogue import list_public

        known = list_public()
        if as_json:
            say_json(known.to_dicts())
        else:
            _table(known)
        return
    if former is not None:
        click.echo("burstlens: --from is now --mirror; --from is a time", err=True)
        source = source or former
    with progress(quiet) as show:

        def received(done: int, total: int | None) -> None:
            show(f"{name} {done / 1e6:,.1f} MB", done / total if total else 0.0)

        got = bl.fetch(name, out, source=source, progress=received, timeout_s=timeout_s)
    if as_json:
        say_json({"file": str(got.path), "bytes": got.bytes, "sha256": got.sha256, "verified": got.verified})
        return
    click.echo(got.message)


def _table(frame: Any) -> None:
    """A small frame as a table as wide as the screen."""
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column, kind in frame.schema.items():
        # The first column names the row: it is never broken.
        first = column == frame.columns[0]
        table.add_column(
            column, justify="right" if kind.is_numeric() else "left", overflow="fold", no_wrap=first
        )
    for row in frame.iter_rows():
        table.add_row(*("" if cell is None else escape(_cell(cell)) for cell in row))
    Console().print(table)


def _cell(value: object) -> str:
    """A number with separators, anything else as it is."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
