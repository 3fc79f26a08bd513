"""The group of all verbs, and the completion of a shell. Not here: the verbs (`verbs`)."""

from __future__ import annotations

import click

from .flags import VerbGroup
from .verbs.calibrate import calibrate
from .verbs.columns import columns
from .verbs.compare import compare
from .verbs.describe import describe
from .verbs.disaggregate import disaggregate
from .verbs.experiment import experiment
from .verbs.export import export
from .verbs.fetch import fetch
from .verbs.fit import fit
from .verbs.forecast import forecast
from .verbs.gpu_evaluate import gpu_evaluate
from .verbs.ingest import ingest
from .verbs.replay import replay
from .verbs.report import report
from .verbs.serve import serve
from .verbs.synth import synth

VERBS: tuple[click.Command, ...] = (
    calibrate,
    columns,
    compare,
    describe,
    disaggregate,
    experiment,
    export,
    fetch,
    fit,
    forecast,
    gpu_evaluate,
    ingest,
    replay,
    report,
    serve,
    synth,
)

EPILOG = """\b
Examples:
  burstlens report                          the embedded synthetic trace
  burstlens report BurstGPT_1.csv -o out    your own log
  burstlens describe azure.csv              one screen
  burstlens columns mine.jsonl              how to read an unknown log
  burstlens fit BurstGPT_1.csv -o parameters.json
  burstlens replay BurstGPT_1.csv --url http://127.0.0.1:8000 -o run

\b
Each verb explains itself: burstlens VERB --help
Completion: eval "$(burstlens completion bash)"   (or zsh, fish)"""


@click.group(cls=VerbGroup, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="burstlens", prog_name="burstlens")
def cli() -> None:
    """Trace analytics and characterization for LLM serving."""


for _verb in VERBS:
    cli.add_command(_verb)


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
