"""The command `fit`. Not here: the file of parameters (`burstlens.analysis.interchange.parameters`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

import burstlens as bl

from ...analysis.core.units import counted
from ...console import progress, say_json
from ..flags import Verb
from ..options import anonymizing, engines, fitting, log_argument, quiet_option, reading, spanning

if TYPE_CHECKING:
    from ...analysis.logs.options import LogOptions


@click.command(
    cls=Verb,
    epilog="""\b
Examples:
  burstlens fit BurstGPT_1.csv -o parameters.json
  burstlens fit trace.parquet --window 5m -o -""",
)
@log_argument
@click.option(
    "-o", "--out", default="parameters.json", show_default=True, help="File to write; - writes to the screen."
)
@fitting
@reading
@anonymizing
@engines
@spanning
@quiet_option
def fit(
    log: tuple[str, ...],
    out: str,
    window_s: float,
    seed: int,
    columns: dict[str, str] | None,
    reading: LogOptions | None,
    strict: bool,
    quiet: bool,
    **on: Any,
) -> None:
    """Fit parameters, and write them as JSON."""
    from ...bench.workload.table import NOTED

    with progress(quiet) as show:
        fitted = bl.fit(
            log,
            None if out == "-" else out,
            window_s=window_s,
            seed=seed,
            columns=columns,
            reading=reading,
            strict=strict,
            progress=show,
            **on,
        )
    if out == "-":
        say_json(fitted)
        return
    per = [(part["selection"]["label"], part["arrivals"]["windows"]) for part in fitted["selections"]]
    windows = counted(sum(len(rows) for _, rows in per), "window")
    click.echo(f"{out}: {counted(len(per), 'selection')}, {windows} of {window_s:g} s")
    for label, rows in per:
        not_gamma = sum(row["n"] for row in rows if "not_gamma" in row["flags"])
        share = not_gamma / max(sum(row["n"] for row in rows), 1)
        if share >= NOTED:
            click.echo(
                f"note: {label}: {100 * share:.0f} % of requests are in windows with gaps that are not Gamma "
                "distributed (not_gamma): arrivals drawn from them differ from the trace's"
            )
