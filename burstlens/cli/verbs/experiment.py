"""The verb `experiment`: the paper's evaluations, each a command of its own.

Not here: how they are run (`burstlens.api.experiments`), the other verbs (`cli`, `replay`).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ...console import STOPPED, Duration, Size, progress, say_json
from ..flags import VerbGroup
from ..options import Numbers, Pair, Words, json_option, key_of_endpoint, option_group, quiet_option

if TYPE_CHECKING:
    from ...api.experiments.result import ExperimentResult


@click.group(
    cls=VerbGroup,
    epilog="""\b
Examples:
  burstlens experiment maf2        on the embedded synthetic trace, simulated
  burstlens experiment maf2 BurstGPT_1.csv --functions maf2.csv -o out
  burstlens experiment sweep --url http://127.0.0.1:8000
  burstlens report out             the page of an experiment""",
)
def experiment() -> None:
    """Run one of the paper's evaluations.

    They run in virtual time on the simulated engine, or on a real server (--url). Each trial is written when
    it ends: the same command continues where it stopped.
    """


def running(default_out: str, seeds: int = 10) -> Callable[[Any], Any]:
    """Add the options that every experiment has: engine, seeds, folder.

    Parameters
    ----------
    default_out
        The default folder.
    seeds
        The default number of seeds.
    """
    return option_group(
        click.option(
            "-o",
            "--out",
            default=default_out,
            show_default=True,
            type=click.Path(file_okay=False, path_type=Path),
            help="Folder of the trials.",
        ),
        click.option(
            "--seeds", default=seeds, show_default=True, help="Number of repetitions, with different seeds."
        ),
        click.option("--seed", default=0, show_default=True, help="The first of the seeds."),
        click.option(
            "--simulate",
            metavar="PRESET",
            default="llama-2-13b-a100",
            show_default=True,
            help="Run in virtual time on this preset, or on a profile file.",
        ),
        click.option("--url", help="Run against this OpenAI-compatible server instead."),
        click.option(
            "--served-model",
            metavar="NAME",
            help="Model to request from the server.  [default: the one that it lists]",
        ),
        click.option(
            "--vocabulary",
            type=Pair(),
            metavar="FIRST,LAST",
            help="Token ids of prompts.  [default: 256,31999]",
        ),
        click.option(
            "--timeout",
            "timeout_s",
            type=Duration(),
            default="5m",
            show_default=True,
            help="Give up a request after this time; it counts as failed.",
        ),
        click.option("--max-num-seqs", type=int, help="Simulated engine: limit of requests in a step."),
        click.option(
            "--max-num-queued-reqs",
            type=int,
            help="Reject a request while this many others are in the server.",
        ),
        click.option("--num-blocks", type=int, help="Simulated engine: number of KV blocks."),
        click.option("--workers", type=int, help="Processes, in virtual time.  [default: one per core]"),
        json_option,
        quiet_option,
    )


def run_and_show(run: Callable[..., ExperimentResult], options: dict[str, Any]) -> None:
    """Run an experiment and show what it found; after Ctrl-C say how many trials are kept.

    Parameters
    ----------
    run
        Function that runs it.
    options
        Options of the command.
    """
    from ...bench.experiments.trials import is_experiment, read

    as_json, quiet = options.pop("as_json"), options.pop("quiet")
    out: Path = options["out"]
    try:
        with progress(quiet) as show:
            done = run(**options, key=key_of_endpoint(), progress=show)
    except KeyboardInterrupt:
        if is_experiment(out):
            before = read(out)
            click.echo(
                f"burstlens: stopped; {before.trials.height} of {before.question.trials} trials are kept in "
                f"{out}, and the same command continues",
                err=True,
            )
            raise click.exceptions.Exit(STOPPED) from None
        raise
    if as_json:
        say_json(done.as_dict())
        return
    from ..screens.experiment import show_findings

    show_findings(done.findings)


@experiment.command(
    epilog="""\b
Examples:
  burstlens experiment maf2
  burstlens experiment maf2 BurstGPT_1.csv \\
      --functions AzureFunctionsInvocationTraceForTwoWeeksJan2021.txt
  burstlens experiment maf2 BurstGPT_1.csv --rate 0.326 --kv 0.35 -o maf2
  burstlens fetch maf2             the real trace of Azure Functions
  burstlens report maf2            the page"""
)
@click.argument("log", metavar="[TRACE]", required=False)
@click.option("--functions", metavar="TRACE", help="Azure Functions trace.  [default: a synthetic one]")
@click.option(
    "--rate",
    "rates_rps",
    type=float,
    multiple=True,
    help="Mean rate in requests/s; may be given several times.  [default: 0.326]",
)
@click.option(
    "--kv",
    type=float,
    multiple=True,
    help="Also at the rate at which BurstGPT uses this share of the KV cache.",
)
@click.option("--first", "requests", type=int, help="Requests of each workload.  [default: 2000]")
@running("reports/build/maf2")
def maf2(**options: Any) -> None:
    """Compare BurstGPT with Azure Functions (MAF2) at one rate.

    Paper 5.1, Fig. 13 and 14. The conversation also runs with Poisson arrivals: the difference between
    the two is burstiness alone. MAF2 has no token lengths, so it gets BurstGPT's.
    """
    from ...api.experiments.maf2 import maf2 as run

    run_and_show(run, options)


@experiment.command(
    epilog="""\b
Examples:
  burstlens experiment responses BurstGPT_1.csv --url http://127.0.0.1:8000 \\
      --prompts ShareGPT_V3.json --tokenizer llama/tokenizer.json \\
      --api chat -o responses
  burstlens report responses       the page"""
)
@click.argument("log", metavar="TRACE")
@click.option("--url", help="Base URL of an OpenAI-compatible server with real weights.")
@click.option(
    "--served-model",
    metavar="NAME",
    help="Model to request from the server.  [default: the one that it lists]",
)
@click.option(
    "--api",
    type=click.Choice(["completions", "chat"]),
    default="completions",
    show_default=True,
    help="Endpoint: /v1/completions or /v1/chat/completions.",
)
@click.option(
    "--prompts", type=click.Path(path_type=Path), metavar="FILE",
    help="Texts in ShareGPT's or Alpaca's form, JSON or JSON lines.",
)  # fmt: skip
@click.option(
    "--tokenizer", type=click.Path(path_type=Path), metavar="PATH",
    help="The served model's tokenizer.json, or its folder.",
)  # fmt: skip
@click.option(
    "--prompt-memory", type=Size(), metavar="SIZE", help="Memory for the index of texts.  [default: 256MB]"
)
@click.option("--service", metavar="NAME", help="Service of the trace.  [default: conversation]")
@click.option("--first", "requests", type=int, help="Requests.  [default: 10000]")
@click.option("--rate", "rate_rps", type=float, help="Rate in requests/s, evenly spaced.  [default: 2]")
@click.option("--max-tokens", type=int, help="Limit of response tokens.  [default: 2048]")
@click.option("--max-concurrency", type=int, help="Limit of requests in flight.  [default: none, open loop]")
@click.option("--timeout", "timeout_s", type=Duration(), default="5m", show_default=True,
              help="Give up a request after this time.")  # fmt: skip
@click.option("--seed", default=0, show_default=True, help="Seed of the choice of requests and texts.")
@click.option(
    "-o", "--out", default="reports/build/responses", show_default=True,
    type=click.Path(file_okay=False, path_type=Path), help="Folder of the trials.",
)  # fmt: skip
@json_option
@quiet_option
def responses(**options: Any) -> None:
    """Compare a served model's response lengths with the trace's.

    Paper 3.3, Fig. 7, 8 and 10. The model gets texts of the trace's request lengths, and ends its answers
    itself. Needs real weights: the answers of dummy weights and of the simulated engine would mean nothing.
    """
    from ...api.experiments.responses import responses as run

    run_and_show(run, options)


@experiment.command(
    epilog="""\b
Examples:
  burstlens experiment schedulers
  burstlens experiment schedulers parameters.json --range 2h --load 0.95
  burstlens experiment schedulers BurstGPT_1.csv --from 2d9h --to 2d12h \\
      --kv 0.8 -o schedulers
  burstlens experiment schedulers --url http://127.0.0.1:8000 \\
      --requests 200 --rate 5 --seeds 3
  burstlens report schedulers      the page

Start a server for --url with --scheduling-policy priority."""
)
@click.argument("source", metavar="[TRACE|parameters.json]", required=False)
@click.option("--range", "range_s", type=Duration(), help="Length of the random range.  [default: 1h]")
@click.option(
    "--from", "start_s", type=Duration(zero=True), help="Instead: start at this time of the trace, 2d9h."
)
@click.option("--to", "end_s", type=Duration(), help="End at this time of the trace.")
@click.option("--rate", "rate_rps", type=float, help="Mean rate of both loads, requests/s.")
@click.option("--kv", type=float, help="Instead: the rate that brings KV-cache use to this share.")
@click.option(
    "--load",
    type=float,
    help="Instead: this share of the capacity, which is the rate of answers to requests sent at once.  "
    "[default: 0.9]",
)
@click.option("--requests", type=int, help="Requests of each service, about this many.  [default: 1000]")
@running("reports/build/schedulers")
def schedulers(**options: Any) -> None:
    """Compare first come first served, shortest and longest first.

    Paper 5.3, Fig. 16. The conversation and the API load of a random range of the trace, drawn from its
    fitted windows, under three policies of vLLM's priority scheduling: each request's priority is 0, its
    prompt length, or the negative of that.
    """
    from ...api.experiments.schedulers import schedulers as run

    run_and_show(run, options)


@experiment.command(
    epilog="""\b
Examples:
  burstlens experiment sweep       the paper's figure in virtual time
  burstlens experiment sweep --shape 0.2,0.3,0.8 --profile constant -o shapes
  burstlens experiment sweep --shape 0.3,1 --exponent 0.9,1.3 --kv 0.6
  burstlens experiment sweep --grid grid.toml --max-num-queued-reqs 256
  burstlens experiment sweep --shape 0.4 --no-pairs --first 200 --seeds 3 \\
      --url http://127.0.0.1:8000
  burstlens report sweep           the page

\b
A grid file has any of:
  profiles = ["constant", "linear", "quadratic"]
  pairs = false     or a table [pairs] in the form of [values]
  [start]           shape = 0.5, scale = 2.0, exponent = 1.1, one per line
  [values]          shape = [0.2, 0.3], one line for each that varies"""
)
@click.option("--shape", type=Numbers(), metavar="A,B,…", help="Shapes α of the Gamma to vary to; CV = 1/√α.")
@click.option(
    "--scale",
    type=Numbers(),
    metavar="A,B,…",
    help="Scales β, such as the start's 2; the mean gap is shape × scale.",
)
@click.option("--exponent", type=Numbers(), metavar="A,B,…", help="Exponents λ of the lengths' Zipf law.")
@click.option(
    "--profile", type=Words(), metavar="A,B,…",
    help="Of constant, linear (falling between start and value), quadratic (from the start to the value and "
    "back).  [default: all]",
)  # fmt: skip
@click.option("--pairs/--no-pairs", default=True, help="Also vary two at a time.")
@click.option(
    "--grid", type=click.Path(path_type=Path), metavar="FILE", help="Instead: a grid in a TOML file."
)
@click.option(
    "--kv", type=float, default=0.3, show_default=True,
    help="Multiply all scales so that the start uses this share of the KV cache.",
)  # fmt: skip
@click.option(
    "--calibrate/--no-calibrate", default=True, help="Find that factor, or keep the scales as they are."
)
@click.option("--first", "requests", type=int, help="Requests of a trial, about this many.  [default: 2000]")
@running("reports/build/sweep", seeds=5)
def sweep(**options: Any) -> None:
    """Vary shape, scale and Zipf exponent, alone and in pairs.

    Paper 5.2, Fig. 15. From the paper's start, shape 0.5, scale 2, exponent 1.1. With a fixed scale, as in
    the paper, a smaller shape means more bursts and also a higher rate. So shapes also run at an equal rate,
    with an adapted scale: that is burstiness alone. Without options the paper's values are used.

    A request fails after --timeout, or if --max-num-queued-reqs others (128 by default) are in the simulated
    server. Without such a limit nothing fails in runs of minutes.
    """
    from ...api.experiments.sweep import sweep as run

    run_and_show(run, options)
