"""The verb `forecast`. Not here: how it is done (`analysis.forecast`), the other verbs (`cli`)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import burstlens as bl

from ...console import Duration, progress, say_json
from ..flags import Verb
from ..options import json_option, quiet_option, reading, typed_command

if TYPE_CHECKING:
    from ...api.forecast import ForecastResult


@click.command(
    cls=Verb,
    epilog="""\b
Examples:
  burstlens forecast BurstGPT_1.csv -o out         page, figures, tables, JSON
  burstlens forecast BurstGPT_1.csv --service conversation --bin 5m --bin 1h
  burstlens forecast BurstGPT_1.csv --horizon 30m  half an hour ahead
  burstlens forecast BurstGPT_1.csv --parameters forecast_parameters.json
  burstlens replay forecast_parameters.json --url http://127.0.0.1:8000 -o run""",
)
@click.argument("log", nargs=-1, metavar="[LOG…]")
@click.option(
    "-o",
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write page, figures, tables and forecast.json into this folder.",
)
@click.option("--service", metavar="NAME", help="Only this service.  [default: each]")
@click.option("--model", metavar="NAME", help="Only this model, of each service or of --service.")
@click.option(
    "--bin",
    "bins_s",
    type=Duration(),
    multiple=True,
    default=("1m", "10m"),
    show_default=True,
    help="Width of the time bins; may be given several times.",
)
@click.option(
    "--horizon",
    "horizon_s",
    type=Duration(),
    help="Time from the forecast to the end of a bin.  [default: one bin]",
)
@click.option(
    "--origins",
    type=click.IntRange(min=1),
    default=4,
    show_default=True,
    help="Number of forecast origins: times from which the rest is forecast.",
)
@click.option(
    "--parameters",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the forecast of the held-out days, in the widest bins, as parameters for burstlens replay.",
)
@click.option(
    "--window",
    "window_s",
    type=Duration(),
    default="20m",
    show_default=True,
    help="Gamma windows of the fit behind --parameters.",
)
@click.option("--seed", default=0, show_default=True, help="Seed of trees, resampling, and the hours shown.")
@click.option("--images/--no-images", default=True, help="Also write figures/ as SVG and PNG.")
@reading
@json_option
@quiet_option
def forecast(
    log: tuple[str, ...],
    out: Path | None,
    parameters: Path | None,
    as_json: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Forecast requests, tokens and token load per time bin.

    XGBoost, a log-linear autoregression and naive forecasts are scored over rolling origins. The screen says
    what no method forecasts better than a naive one. Several LOGs make one trace; without any LOG it uses the
    embedded synthetic one. Needs the extra: pip install 'burstlens[forecast]'.
    """
    with progress(quiet) as show:
        done = bl.forecast(log, out, parameters=parameters, command=typed_command(), progress=show, **options)
    page = None if out is None else out / "index.html"
    if as_json:
        say_json({**done.as_dict(), "page": None if page is None else str(page)})
        return
    _show(done)
    if parameters is not None and done.parameters is not None:
        windows = sum(len(one["arrivals"]["windows"]) for one in done.parameters["selections"])
        click.echo(f"parameters: {parameters}: {windows} windows of {done.parameters['window_s']:g} s")
    if page is not None:
        click.echo(f"page: {page}")


def _show(done: ForecastResult) -> None:
    """The verdicts as a table, then in words what cannot be told."""
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from ...analysis.core.result import number
    from ...analysis.core.units import bin_name
    from ...analysis.forecast.models import LABELS
    from ...analysis.forecast.series import TARGETS

    screen = Console(highlight=False)
    info = done.part.info
    screen.print(f"[bold]{escape(info.name)}[/]" + ("  [reverse] synthetic [/]" if info.synthetic else ""))
    for (selection,), rows in done.part.verdicts.group_by("selection", maintain_order=True):
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        table.add_column(escape(str(selection)), no_wrap=True)
        for name in ("bin", "NMAE", "naive", "skill"):
            table.add_column(name, justify="right", no_wrap=True)
        table.add_column("least error by", min_width=14)
        for row in rows.iter_rows(named=True):
            skill, low, high = (_hundredths(row[f"skill{end}"]) for end in ("", "_low", "_high"))
            table.add_row(
                TARGETS[row["target"]],
                bin_name(row["bin_s"]),
                number(row["nmae"]),
                number(row["naive_nmae"]),
                escape(f"{skill} [{low}, {high}]" if row["skill"] is not None else skill),
                LABELS[row["method"]] if row["forecastable"] else "[reverse]cannot be forecast[/]",
            )
        screen.print(table)
    for sentence in done.part.missing:
        screen.print(escape(sentence))


def _hundredths(value: float | None) -> str:
    """Two digits after the point: a skill is a share of 1."""
    return "unknown" if value is None else f"{round(value, 2) + 0.0:.2f}".replace("-", "−")
