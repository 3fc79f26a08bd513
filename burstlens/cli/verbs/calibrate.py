"""The command `calibrate`. Not here: the search (`burstlens.bench.server.calibrate`)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

import burstlens as bl

from ...console import progress
from ..flags import Verb
from ..options import aiming, json_option, key_of_endpoint, live_option, prompting, selecting


@click.command(
    cls=Verb,
    epilog="""\b
Examples:
  burstlens calibrate parameters.json --kv 0.35 \\
      --url http://127.0.0.1:8000 -o scaled.json
  burstlens calibrate BurstGPT_1.csv --kv 0.35 \\
      --simulate llama-2-13b-a100 --first 2000""",
)
@click.argument("source", metavar="TRACE|PARAMETERS")
@click.option("--kv", default=0.35, show_default=True, help="KV-cache use to reach, a share of 1.")
@aiming
@click.option(
    "-o", "--out", type=click.Path(dir_okay=False, path_type=Path), help="Write the scaled parameters here."
)
@click.option(
    "--tolerance", default=0.02, show_default=True, help="Tolerance of the KV-cache use, a share of 1."
)
@click.option("--trials", default=12, show_default=True, help="Limit of trials.")
@selecting
@prompting
@json_option
@live_option
def calibrate(out: Path | None, as_json: bool, quiet: bool, **options: Any) -> None:
    """Find the load that brings KV-cache use to a wanted level.

    The paper uses 30 to 40 %.
    """
    with progress(quiet) as show:
        found = bl.calibrate(out=out, **options, key=key_of_endpoint(), progress=show)
    if as_json:
        values = {
            "kv": found.wanted,
            "scale": found.scale,
            "used": found.kv_cache_use,
            "reached": found.reached,
        }
        click.echo(json.dumps({**values, "trials": found.trials.to_dicts()}, indent=2))
        return
    for row in found.trials.iter_rows(named=True):
        click.echo("  ".join(f"{name} {value:.4g}" for name, value in row.items()))
    click.echo(str(found))
    if out is not None:
        click.echo(f"{out}: parameters scaled by {found.scale:.4g}")
