"""The verb `gpu-evaluate`: everything that an experiment asks, once on a GPU.

Not here: how it is run (`burstlens.gpu.evaluate.evaluate`), its page (`reports.gpu_page`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

import burstlens as bl

from ...console import STOPPED, Duration, progress, say_json
from ..flags import Verb
from ..options import Pair, json_option, quiet_option, typed_command

INCOMPLETE = 3
"""Exit code where a stage failed or ran out of time."""


class Limit(click.ParamType):
    """`sweep=90m`: a stage and how long it may take."""

    name = "limit"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, float]:
        """Parse, or fail with one line that shows the form.

        Parameters
        ----------
        value
            What was typed, or a default.
        param, ctx
            Option and command, for errors.

        Returns
        -------
        tuple of (str, float)
            Stage, and its limit in seconds.
        """
        if isinstance(value, tuple):
            return value
        stage, equals, time = str(value).partition("=")
        if not equals or not stage:
            self.fail(f"{value!r} is not a limit; write STAGE=TIME, such as sweep=90m", param, ctx)
        return stage, Duration().convert(time, param, ctx)


@click.command(
    cls=Verb,
    name="gpu-evaluate",
    epilog="""\b
Examples:
  burstlens gpu-evaluate --vllm ~/vllm/bin/python -o gpu     dummy weights
  burstlens gpu-evaluate BurstGPT_1.csv --functions maf2.csv \\
      --vllm ~/vllm/bin/python -o gpu --model ~/models/Llama-2-13b-hf
  burstlens gpu-evaluate --vllm ~/vllm/bin/python -o gpu \\
      --only profile --only simulated

\b
Stages: profile, calibrate, maf2, sweep, schedulers, client, simulated. The
same command continues where it stopped. A stage that is done runs again only
if --only names it.""",
)
@click.argument("trace", metavar="[TRACE]", required=False)
@click.option(
    "-o", "--out", default="reports/build/gpu", show_default=True,
    type=click.Path(file_okay=False, path_type=Path), help="Folder for all results.",
)  # fmt: skip
@click.option(
    "--vllm",
    type=click.Path(path_type=Path),
    metavar="PYTHON",
    help="A Python interpreter with vLLM installed.",
)
@click.option("--url", help="Instead of --vllm: a server that already runs with the flags below.")
@click.option(
    "--model", "weights", type=click.Path(path_type=Path), metavar="FOLDER",
    help="Model to serve, with dummy weights if it has none.  [default: Llama-2-13b's shape]",
)  # fmt: skip
@click.option(
    "--name", "model", default="llama-2-13b", show_default=True, help="Name to serve the model under."
)
@click.option(
    "--max-num-seqs", default=256, show_default=True, help="Flag of vLLM: limit of requests in a step."
)
@click.option(
    "--max-num-batched-tokens",
    default=8192,
    show_default=True,
    help="Flag of vLLM: limit of tokens in a step.",
)
@click.option(
    "--max-model-len", default=4096, show_default=True, help="Flag of vLLM: limit of tokens of a request."
)
@click.option(
    "--flags", "vllm_flags", default="", metavar="FLAGS", help="Further flags for vLLM, in one text."
)
@click.option("--functions", metavar="TRACE", help="Azure Functions trace.  [default: a synthetic one]")
@click.option(
    "--only",
    multiple=True,
    metavar="STAGE",
    help="Run only this stage, even if it is done; may be given several times.",
)
@click.option("--limit", "limits_s", type=Limit(), multiple=True, metavar="STAGE=TIME",
              help="Time limit of a stage.")  # fmt: skip
@click.option("--patience", "patience_s", type=Duration(), default="20m", show_default=True,
              help="Time limit for vLLM to start.")  # fmt: skip
@click.option("--kv", default=0.35, show_default=True, help="KV-cache use to calibrate to.")
@click.option("--first", "requests", default=400, show_default=True, help="Requests of a trial.")
@click.option("--seeds", default=3, show_default=True, help="Repetitions of each trial.")
@click.option("--vocabulary", type=Pair(), default=(256, 31_999), metavar="FIRST,LAST",
              help="Token ids of prompts.  [default: 256,31999]")  # fmt: skip
@click.option("--client-rate", "client_rps", default=100.0, show_default=True,
              help="Rate in requests/s of the client's own measurement.")  # fmt: skip
@click.option("--client-first", "client_requests", default=3000, show_default=True,
              help="Requests of that measurement.")  # fmt: skip
@click.option("--rounds", default=3, show_default=True, help="Measurements of each step.")
@click.option("--images/--no-images", default=True, help="Also write figures as SVG and PNG.")
@json_option
@quiet_option
def gpu_evaluate(
    out: Path, limits_s: tuple[tuple[str, float], ...], as_json: bool, quiet: bool, **options: Any
) -> None:
    """Run the paper's evaluations on a vLLM on this machine's GPU.

    It profiles the server and fits the engine model to it, runs the evaluations on both, and compares them on
    a page. The fitted preset is OUT/profile/preset.json, a file for --simulate and for serve --profile.
    """
    stopped, stages = False, []
    try:
        with progress(quiet) as show:
            done = bl.gpu_evaluate(
                out, limits_s=dict(limits_s), command=typed_command(), progress=show, **options
            )
        stages = list(done.ran)
    except KeyboardInterrupt:
        stopped = True
    page = out / "index.html"
    if as_json:
        say_json({"page": str(page), "stages": [each.as_dict() for each in stages]})
    else:
        for each in stages:
            click.echo(each.line)
        click.echo(f"page: {page}")
    if stopped:
        click.echo("burstlens: stopped; measurements are kept, and the same command continues", err=True)
        raise click.exceptions.Exit(STOPPED)
    if any(each.state != "done" for each in stages):
        raise click.exceptions.Exit(INCOMPLETE)
