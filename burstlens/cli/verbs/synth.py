"""The command `synth`. Not here: how the trace is drawn (`burstlens.analysis.synthetic`)."""

from __future__ import annotations

from pathlib import Path

import click

import burstlens as bl

from ...console import progress, say_json
from ..flags import Verb
from ..options import json_option, quiet_option


@click.command(
    cls=Verb,
    epilog="""\b
Examples:
  burstlens synth -o synthetic.parquet
  burstlens synth --days 7 --seed 1 -o synthetic.csv    BurstGPT's own layout""",
)
@click.option(
    "--days",
    default=61.0,
    show_default=True,
    type=click.FloatRange(min=0, min_open=True),
    help="Length of the trace.",
)
@click.option("--seed", default=7, show_default=True, help="The same seed gives the same trace.")
@click.option(
    "-o", "--out", required=True, type=click.Path(path_type=Path), help="File to write: .parquet or .csv."
)
@json_option
@quiet_option
def synth(days: float, seed: int, out: Path, as_json: bool, quiet: bool) -> None:
    """Write the embedded synthetic BurstGPT trace, of any length."""
    with progress(quiet) as show:
        made = bl.synth(out, days=days, seed=seed, progress=show)
        made.engine.close()
    if as_json:
        say_json({"file": str(out), "rows": made.info.rows, "days": days, "seed": seed, "synthetic": True})
        return
    click.echo(f"{out}: {made.info.rows:,} synthetic requests over {days:g} days, seed {seed}")
