"""The command `describe`. Not here: what is computed (`burstlens.analysis.characterize`)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import burstlens as bl

from ...console import progress, say_json
from ..flags import Verb
from ..options import (
    anonymizing,
    engines,
    fitting,
    json_option,
    log_argument,
    quiet_option,
    reading,
    spanning,
)

if TYPE_CHECKING:
    from ...analysis.characterize import Characterization
    from ...analysis.logs.options import LogOptions

FINDINGS_SHOWN = 3
"""Findings of each part on the screen, unless all are asked for."""


@click.command(
    cls=Verb,
    epilog="""\b
Examples:
  burstlens describe BurstGPT_1.csv
  burstlens describe trace.parquet --json | jq .arrivals
  burstlens describe trace --from 7d --to 14d
  burstlens describe trace --engine spark --master spark://10.0.0.1:7077""",
)
@log_argument
@fitting
@reading
@anonymizing
@click.option(
    "--all", "everything", is_flag=True, help="Show every finding, not only the first few of each part."
)
@click.option(
    "--rejects",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the rejected rows to this CSV file, each with its line and the reason.",
)
@engines
@spanning
@json_option
@quiet_option
def describe(
    log: tuple[str, ...],
    window_s: float,
    seed: int,
    columns: dict[str, str] | None,
    reading: LogOptions | None,
    strict: bool,
    everything: bool,
    rejects: Path | None,
    as_json: bool,
    quiet: bool,
    **on: Any,
) -> None:
    """Describe a trace on one screen."""
    with progress(quiet) as show:
        found = bl.describe(
            log,
            window_s=window_s,
            seed=seed,
            columns=columns,
            reading=reading,
            strict=strict,
            rejects=rejects,
            progress=show,
            **on,
        )
    if as_json:
        from ...reports.pages.plain_json import summary

        say_json(summary(found))
    else:
        _screenful(found, None if everything else FINDINGS_SHOWN)


def _screenful(characterization: Characterization, limit: int | None) -> None:
    """Identity first, then each part's findings under its name, at most `limit` of each."""
    from rich.console import Console
    from rich.markup import escape
    from rich.padding import Padding

    screen = Console(highlight=False)
    info = characterization.info
    title = f"[bold]{escape(info.name)}[/]  {escape(info.format)}"
    screen.print(title + ("  [reverse] synthetic [/]" if info.synthetic else ""))
    screen.print(f"{info.rows:,} requests, {info.rejected:,} rows rejected, {info.resorted:,} out of order")
    for line in characterization.rejects.lines("--rejects FILE writes them"):
        screen.print(Padding(escape(line), (0, 0, 0, 2)))
    if info.timezone:
        screen.print(f"hours by {info.timezone}")
    for note in info.notes:
        screen.print(f"note: {escape(note)}")
    for part in characterization.parts:
        screen.print(f"\n[bold]{part.name}[/]")
        found = [*part.missing, *part.sentences()]
        for sentence in found[:limit]:
            screen.print(Padding(escape(sentence), (0, 0, 0, 2)))
        if limit is not None and len(found) > limit:
            screen.print(f"  … {len(found) - limit} more with --all", style="dim")
