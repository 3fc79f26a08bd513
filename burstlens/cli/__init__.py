"""The command line: words in, the functions of `burstlens` called, their answers on the screen.

Not here: how anything is done. Exit codes: 0 done, 2 bad input (one line on standard error),
3 a run that is not trustworthy under `replay --strict`, 1 a fault of ours, 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import burstlens as bl

from ..analysis.core.units import counted
from ..console import STOPPED, Duration, progress, say_json
from . import compare as cli_compare
from . import disaggregate as cli_disaggregate
from . import experiment as cli_experiment
from . import export as cli_export
from . import forecast as cli_forecast
from . import gpu_evaluate as cli_gpu
from . import replay as cli_replay
from . import report as cli_report
from .flags import VerbGroup
from .log import faulty_plugins_shown
from .options import engines, fitting, json_option, quiet_option, reading, spanning

if TYPE_CHECKING:
    from ..analysis.characterize import Characterization

EPILOG = """\b
Examples:
  burstlens report                          the embedded synthetic trace
  burstlens report BurstGPT_1.csv -o out    your own log
  burstlens describe azure.csv              one screen
  burstlens fit BurstGPT_1.csv -o parameters.json
  burstlens replay BurstGPT_1.csv --url http://127.0.0.1:8000 -o run

\b
Each verb explains itself: burstlens VERB --help
Completion: eval "$(burstlens completion bash)"   (or zsh, fish)"""


FINDINGS_SHOWN = 3
"""Findings of each part on the screen of `describe`, unless all are asked for."""

log_argument = click.argument("log", nargs=-1, required=True, metavar="LOG…")


@click.group(cls=VerbGroup, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="burstlens", prog_name="burstlens")
def cli() -> None:
    """Trace analytics and characterization for LLM serving."""


def _list_formats(context: click.Context, _option: click.Parameter, wanted: bool) -> None:
    """Print the log formats and end, before anything else is asked for."""
    if not wanted:
        return
    from ..analysis.logs.formats import formats

    width = max(map(len, formats()))
    for name, format in formats().items():
        click.echo(f"{name:<{width}}  {format.title} ({', '.join(format.kinds)})")
    context.exit()


@cli.command(
    epilog="""\b
Examples:
  burstlens ingest --list
  burstlens ingest BurstGPT_1.csv -o trace.parquet
  burstlens ingest BurstGPT_1.csv BurstGPT_2.csv -o both.parquet
  burstlens ingest run-* -o sent.parquet      the shards of one replay
  burstlens ingest BurstGPT_1.csv -o trace --partition-by day      a folder
  burstlens ingest my.csv -o t.parquet --columns arrival=ts,request_tokens=in"""
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
            log, out, columns=columns, strict=strict, partition_by=partition_by, progress=show, **on
        )
    shards = cli_replay.shards_of(log)
    load = cli_replay.verdict_on(shards) if shards else {}
    if as_json:
        say_json({**done.as_dict(), **({"load": load} if load else {})})
        return
    for line in done.lines():
        click.echo(line)
    for note in load.get("notes", ()):
        click.echo(f"note: {note}")
    if load:
        click.echo(f"load of all {load['shards']} shards: {load['verdict']}")


@cli.command(
    epilog="""\b
Examples:
  burstlens describe BurstGPT_1.csv
  burstlens describe trace.parquet --json | jq .arrivals
  burstlens describe trace --from 7d --to 14d
  burstlens describe trace --engine spark --master spark://10.0.0.1:7077"""
)
@log_argument
@fitting
@reading
@click.option(
    "--all", "everything", is_flag=True, help="Show every finding, not only the first few of each part."
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
    strict: bool,
    everything: bool,
    as_json: bool,
    quiet: bool,
    **on: Any,
) -> None:
    """Describe a trace on one screen."""
    with progress(quiet) as show:
        found = bl.describe(
            log, window_s=window_s, seed=seed, columns=columns, strict=strict, progress=show, **on
        )
    if as_json:
        from ..reports.pages.plain_json import summary

        say_json(summary(found))
    else:
        _screenful(found, None if everything else FINDINGS_SHOWN)


@cli.command(
    epilog="""\b
Examples:
  burstlens fit BurstGPT_1.csv -o parameters.json
  burstlens fit trace.parquet --window 5m -o -"""
)
@log_argument
@click.option(
    "-o", "--out", default="parameters.json", show_default=True, help="File to write; - writes to the screen."
)
@fitting
@reading
@engines
@spanning
@quiet_option
def fit(
    log: tuple[str, ...],
    out: str,
    window_s: float,
    seed: int,
    columns: dict[str, str] | None,
    strict: bool,
    quiet: bool,
    **on: Any,
) -> None:
    """Fit parameters, and write them as JSON."""
    from ..bench.workload.table import NOTED

    with progress(quiet) as show:
        fitted = bl.fit(
            log,
            None if out == "-" else out,
            window_s=window_s,
            seed=seed,
            columns=columns,
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


@cli.command(
    epilog="""\b
Examples:
  burstlens synth -o synthetic.parquet
  burstlens synth --days 7 --seed 1 -o synthetic.csv    BurstGPT's own layout"""
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


@cli.command(
    epilog="""\b
Examples:
  burstlens fetch                                     list the traces
  burstlens fetch burstgpt-1 -o traces
  burstlens fetch burstgpt-1 --mirror https://mirror.example/burstgpt/"""
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
        from ..public_traces.catalogue import list_public

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


@cli.command(cls=click.Command)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of a shell.

    Example: eval "$(burstlens completion bash)"
    """
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    if found is not None:
        click.echo(found(cli, {}, "burstlens", "_BURSTLENS_COMPLETE").source())


for _verb in (
    cli_report.report,
    cli_replay.replay,
    cli_replay.serve,
    cli_replay.calibrate,
    cli_experiment.experiment,
    cli_disaggregate.disaggregate,
    cli_gpu.gpu_evaluate,
    cli_forecast.forecast,
    cli_export.export,
    cli_compare.compare,
):
    cli.add_command(_verb)


INTERRUPTED = "Query interrupted"
"""DuckDB's words for a query during which Ctrl-C came; it raises a RuntimeError with them."""


def _interrupted(fault: BaseException | None) -> bool:
    """Whether Ctrl-C is behind a fault: itself, or what it left half done when things were closed."""
    while fault is not None:
        if isinstance(fault, KeyboardInterrupt) or str(fault) == INTERRUPTED:
            return True
        fault = fault.__context__
    return False


def _stopped() -> int:
    """Say what Ctrl-C did; the exit code."""
    click.echo("burstlens: stopped; files already written are complete", err=True)
    return STOPPED


COLLECTED_AFTER = 10_000
"""New objects between two looks for garbage. Imports make hundreds of thousands that stay: looking after each
700, as Python does, is a tenth of what a short command costs."""


def main() -> None:
    """Run the command line; every fault of the input is one line and exit code 2."""
    gc.set_threshold(COLLECTED_AFTER, 10, 10)
    try:
        with faulty_plugins_shown():
            code = cli(standalone_mode=False, prog_name="burstlens")
    except click.exceptions.Exit as stop:
        code = stop.exit_code
    except click.ClickException as wrong:
        wrong.show()
        code = 2
    except (KeyboardInterrupt, click.Abort):
        code = _stopped()
    except bl.BurstlensError as wrong:
        click.echo(f"burstlens: {wrong}", err=True)
        code = 2
    except BrokenPipeError:
        # The reader of our output went away (| head); what is still buffered has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except Exception as fault:
        if _interrupted(fault):
            sys.exit(_stopped())
        if os.environ.get("BURSTLENS_TRACEBACK"):
            raise
        what = " ".join(str(fault).split()) or type(fault).__name__
        click.echo(
            f"burstlens: a bug in burstlens, not a fault of your input: {type(fault).__name__}: {what} "
            "(BURSTLENS_TRACEBACK=1 shows where)",
            err=True,
        )
        code = 1
    sys.exit(code if isinstance(code, int) else 0)


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
    for part in characterization.parts:
        screen.print(f"\n[bold]{part.name}[/]")
        found = [*part.missing, *part.sentences()]
        for sentence in found[:limit]:
            screen.print(Padding(escape(sentence), (0, 0, 0, 2)))
        if limit is not None and len(found) > limit:
            screen.print(f"  … {len(found) - limit} more with --all", style="dim")
