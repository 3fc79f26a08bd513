"""The command `serve`. Not here: the endpoint (`burstlens.bench.simulated.http`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

import burstlens as bl

from ..flags import Verb

LIMITS = ("max_num_seqs", "max_num_batched_tokens", "max_model_len", "max_num_queued_reqs")


@click.command(
    cls=Verb,
    epilog="""\b
Examples:
  burstlens serve
  burstlens serve --preset llama-2-13b-h200 --port 8001 --speedup 10
  burstlens serve --profile mine.json --max-num-queued-reqs 64""",
)
@click.option("--preset", default="llama-2-13b-a100", show_default=True, help="Model and GPU to simulate.")
@click.option("--profile", type=click.Path(path_type=Path), help="Your own fitted constants, as JSON.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8000, show_default=True, help="Port to listen on; 0 takes a free one.")
@click.option("--speedup", default=1.0, show_default=True, help="Make every step this many times shorter.")
@click.option(
    "--scheduling",
    type=click.Choice(["fcfs", "priority"]),
    default="fcfs",
    show_default=True,
    help="Serve requests in order of arrival, or by their priority.",
)
@click.option("--served-model", metavar="NAME", help="Name of the served model.  [default: the preset's]")
@click.option("--max-num-seqs", type=int, help="Limit of requests in a step.  [default: the preset's]")
@click.option(
    "--max-num-batched-tokens", type=int, help="Limit of tokens in a step.  [default: the preset's]"
)
@click.option("--max-model-len", type=int, help="Limit of tokens of a request.  [default: the preset's]")
@click.option(
    "--max-num-queued-reqs", type=int, help="Reject a request while this many others are in the server."
)
@click.option("--seed", default=0, show_default=True, help="Seed of all random draws.")
@click.option(
    "--tokenizer",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Count the tokens of text prompts with this tokenizer.json, not words.",
)
@click.option("--list", "listing", is_flag=True, help="List the presets with their sources.")
def serve(listing: bool, **options: Any) -> None:
    """Serve a *simulated* vLLM on an OpenAI-compatible endpoint.

    Its timing comes from a model of continuous batching.
    """
    if listing:
        from ...bench.simulated.presets import load_preset, preset_names

        for name in preset_names():
            preset = load_preset(name)
            click.echo(f"{name}: {preset.model} on {preset.gpu}; {preset.source}")
        return
    from ...api.serve import limited_preset

    limits = {name: options[name] for name in LIMITS}
    preset = limited_preset(options["preset"], options["profile"], **limits)

    def ready(url: str) -> None:
        click.echo(
            f"SIMULATED {preset.model} on {preset.gpu} at {url}, {preset.num_blocks:,} KV blocks, "
            f"{options['speedup']:g} times real time; Ctrl-C ends it"
        )

    bl.serve(**options, ready=ready)
