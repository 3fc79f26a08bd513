"""The command `replay`. Not here: how load is made and sent (`burstlens.bench`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

import burstlens as bl

from ...console import STOPPED, Duration, progress, say_json
from ..flags import Verb
from ..options import Body, aiming, json_option, key_of_endpoint, live_option, prompting, selecting

NOT_TRUSTWORTHY = 3
"""Exit code of `replay --strict` when the load that arrived is not the load that was asked for."""


out_option = click.option(
    "-o",
    "--out",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for the record and the summary.",
)


@click.command(
    cls=Verb,
    epilog="""\b
Examples:
  burstlens replay BurstGPT_1.csv --url http://127.0.0.1:8000 -o run \\
      --first 1000 --rate 2
  burstlens replay parameters.json --url http://127.0.0.1:8000 -o run
  burstlens replay shape=0.5,scale=2,exponent=1.1 \\
      --simulate llama-2-13b-a100 -o run --first 1000
  burstlens replay shape=0.5,scale=linear:4..1,exponent=1.1 \\
      --url http://127.0.0.1:8000 -o run --to 1h
  burstlens replay BurstGPT_1.csv --simulate llama-2-13b-a100 -o run \\
      --from 2d --to 3d
  burstlens replay BurstGPT_1.csv --url http://127.0.0.1:8000 -o run \\
      --prompts ShareGPT_V3.json --tokenizer llama/tokenizer.json \\
      --api chat --own-lengths --max-tokens 2048
  burstlens replay BurstGPT_1.csv --url http://node:8000 -o run-2 \\
      --shard 2/4 --start-at 1790000000
  burstlens report run                                     the page of the run

\b
The environment variable OPENAI_API_KEY is the key of the endpoint.
Exit code: 3 with --strict if the load is not trustworthy, 130 after Ctrl-C.""",
)
@click.argument("source", metavar="TRACE|PARAMETERS")
@aiming
@out_option
@selecting
@prompting
@click.option(
    "--api",
    type=click.Choice(["completions", "chat"]),
    default="completions",
    show_default=True,
    help="Endpoint: /v1/completions or /v1/chat/completions.",
)
@click.option(
    "--own-lengths",
    is_flag=True,
    help="Let the model end its answers, within --max-tokens; without it, within the trace's length.",
)
@click.option("--max-tokens", type=int, help="Limit of response tokens.")
@click.option(
    "--body",
    type=Body(),
    metavar="JSON",
    help="Further fields of each request: '{\"temperature\": 0}'.",
)
@click.option("--workers", default=1, show_default=True, help="Number of processes that send.")
@click.option(
    "--shard",
    metavar="I/N",
    help="Send part I of N, counted from 0. N senders with the same options send everything.",
)
@click.option(
    "--start-at",
    metavar="INSTANT",
    help="Begin at this time, the same for all shards: 2026-03-01T12:00:00Z or Unix seconds.",
)
@click.option(
    "--clock",
    default="endpoint",
    show_default=True,
    metavar="endpoint|FOLDER",
    help="What a shard compares its clock with: the endpoint's Date, or the server of a folder that all "
    "senders share.",
)
@click.option("--max-concurrency", type=int, help="Limit of requests in flight.  [default: none, open loop]")
@click.option(
    "--retries",
    default=0,
    show_default=True,
    help="Retry a request at most this often: if it is refused, reset before its first token, rejected, or "
    "answered with 429 or 5xx.",
)
@click.option(
    "--timeout",
    "timeout_s",
    type=Duration(),
    default="10m",
    show_default=True,
    help="Give up a request after this time.",
)
@click.option(
    "--grace",
    "grace_s",
    type=Duration(),
    default="30s",
    show_default=True,
    help="Time for open requests after Ctrl-C.",
)
@click.option("--slo-ttft", "slo_ttft_s", type=Duration(), help="Goodput: bound of the time to first token.")
@click.option(
    "--slo-tpot", "slo_tpot_s", type=Duration(), help="Goodput: bound of the time per output token."
)
@click.option("--slo-e2e", "slo_e2e_s", type=Duration(), help="Goodput: bound of the end-to-end latency.")
@click.option("--scheduling", type=click.Choice(["fcfs", "priority"]), default="fcfs", show_default=True,
              help="Policy of the simulated engine.")  # fmt: skip
@click.option("--resume", is_flag=True, help="Continue a run that stopped early.")
@click.option("--strict", is_flag=True, help="Exit code 3 unless the load is trustworthy.")
@json_option
@live_option
def replay(out: Path, strict: bool, as_json: bool, quiet: bool, **options: Any) -> None:
    """Send a trace or a fitted load, and judge the run.

    The run folder lists each request once, with its outcome. It is written during the run: a run that stops
    keeps what it has.
    """
    from rich.console import Console

    from ..screens.live import live

    error = Console(stderr=True, highlight=False)
    with progress(quiet) as show, live(error, quiet, end_of=show) as watch:
        run = bl.replay(
            out=out,
            **options,
            key=key_of_endpoint(),
            waiting=None if quiet else lambda line: error.print(line, markup=False),
            watch=watch,
            progress=show,
        )
    from ..screens.run import screen

    if as_json:
        say_json(run.as_dict())
    else:
        console = Console(highlight=False)
        console.print(screen(run.summary))
        for note in run.manifest.notes:
            console.print(f"note: {note}", markup=False)
        console.print(f"\nrecord and summary in {out}; the page: burstlens report {out}", markup=False)
    if not run.finished:
        remedy = (
            "continue it with --resume"
            if run.manifest.shard is None
            else "a shard cannot continue: start all shards again"
        )
        click.echo(f"burstlens: {run.manifest.stopped}; {remedy}", err=True)
        raise click.exceptions.Exit(STOPPED)
    if strict and not run.verdict.trustworthy:
        raise click.exceptions.Exit(NOT_TRUSTWORTHY)
