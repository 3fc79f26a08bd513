"""The verb `disaggregate`: how many instances prefill and how many decode, over time.

Not here: how it is searched (`burstlens.api.disaggregate`), the other verbs (`cli`, `replay`, `experiment`).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import burstlens as bl

from ...console import STOPPED, Duration, progress, say_json
from ..flags import Verb
from ..options import Pair, json_option, quiet_option, typed_command

if TYPE_CHECKING:
    from ...api.disaggregate import DisaggregationResult

SENTENCES = 4


@click.command(
    cls=Verb,
    epilog="""\b
Examples:
  burstlens disaggregate               busiest hours of the synthetic trace
  burstlens disaggregate --turnover    a synthetic load that changes at 6:00
  burstlens disaggregate parameters.json --total 16 --window 30m
  burstlens disaggregate BurstGPT_1.csv --from 2d --to 3d \\
      --plan-from forecast.json -o pd
  burstlens disaggregate --turnover --slo-ttft 0.5s --slo-tpot 0.1s --json
  burstlens report pd                  the page again""",
)
@click.argument("source", metavar="[TRACE|parameters.json]", required=False)
@click.option(
    "--turnover", is_flag=True, help="A synthetic load: long answers until 6:00, then long prompts."
)
@click.option("--plan-from", metavar="parameters.json", help="The expected load, such as a forecast; the "
              "plan made from it is judged on the real load.")  # fmt: skip
@click.option("--total", default=8, show_default=True, help="Number of instances, prefill and decode.")
@click.option("--slo-ttft", "slo_ttft_s", type=Duration(), default="1s", show_default=True,
              help="Bound of the time to first token.")  # fmt: skip
@click.option("--slo-tpot", "slo_tpot_s", type=Duration(), default="0.05s", show_default=True,
              help="Bound of the mean time per further token.")  # fmt: skip
@click.option("--bandwidth", "bandwidth_gbps", default=25.0, show_default=True,
              help="Bandwidth of KV transfers, in gigabytes per second.")  # fmt: skip
@click.option("--transfer-latency", "transfer_latency_s", type=Duration(zero=True), default="0.005s",
              show_default=True, help="Latency of a KV transfer, in addition to its size.")  # fmt: skip
@click.option("--bytes-per-token", type=float, help="KV cache of a token, in bytes.  [default: the preset's]")
@click.option("--launch-time", "launch_s", type=Duration(zero=True), default="10s", show_default=True,
              help="Time that an empty instance needs until it serves in its other role.")  # fmt: skip
@click.option("--window", "window_s", type=Duration(), default="10m", show_default=True,
              help="Length of a window; a sequence has one ratio per window.")  # fmt: skip
@click.option(
    "--beam",
    default=10,
    show_default=True,
    help="Number of states that the search keeps from window to window.",
)
@click.option("--tolerance", default=0.02, show_default=True, help="Relative tolerance of goodput.")
@click.option("--simulate", metavar="PRESET", default="llama-2-13b-a100", show_default=True,
              help="Engine model of every instance, or a profile file.")  # fmt: skip
@click.option("--from", "start_s", type=Duration(zero=True), help="Start at this time of the trace: 2d9h.")
@click.option("--to", "end_s", type=Duration(), help="Stop before this time of the trace.")
@click.option("--service", metavar="NAME", help="Requests of this service.")
@click.option("--model", metavar="NAME", help="Requests of this model.")
@click.option("--busiest", type=int,
              help="Without --from, --to, --first: the busiest day, or a part of it, with at most this many "
              "requests.  [default: 20000]")  # fmt: skip
@click.option("--first", type=int, help="Only the first N requests.  [default of --turnover: 20000]")
@click.option(
    "--tokens",
    type=Pair(),
    metavar="REQUEST,RESPONSE",
    help="Tokens of each request, for a trace without lengths.",
)
@click.option("--seeds", default=3, show_default=True, help="Number of loads, with different seeds.")
@click.option("--seed", default=0, show_default=True, help="The first of the seeds.")
@click.option("--workers", type=int, help="Processes.  [default: one a core]")
@click.option("-o", "--out", default="reports/build/disaggregate", show_default=True,
              type=click.Path(file_okay=False, path_type=Path),
              help="Folder for plan, numbers and page.")  # fmt: skip
@click.option("--images/--no-images", default=True, help="Also write figures/ as SVG and PNG.")
@json_option
@quiet_option
def disaggregate(out: Path, as_json: bool, quiet: bool, **options: Any) -> None:
    """Search the prefill:decode ratio that gives the most goodput.

    Some instances prefill, the others decode: at a fixed ratio, with one switch, or with a ratio per window
    (paper 6). Without TRACE it uses the embedded synthetic one.

    SIMULATED: goodput is the highest rate at which 90 % of requests keep both bounds, on the engine model of
    a preset. The rate is scaled by squeezing the load's time; launches, transfers and bounds are not
    squeezed. Writes plan.json (the ratio of each window), disaggregate.json and a page.
    """
    result = out / "disaggregate.json"
    before = _written_ns(result)
    try:
        with progress(quiet) as show:
            found = bl.disaggregate(out=out, command=typed_command(), progress=show, **options)
    except KeyboardInterrupt:
        if _written_ns(result) == before:
            raise
        from ...api.disaggregate import read

        sentences = " ".join(text for part in read(out).parts for text in part.sentences())
        state = f"what was found is kept in {out}. {sentences}" if sentences else "no ratio was judged yet"
        click.echo(f"burstlens: stopped; {state}", err=True)
        raise click.exceptions.Exit(STOPPED) from None
    if as_json:
        say_json(found.as_dict())
        return
    show_result(found, out / "index.html")


def _written_ns(path: Path) -> int | None:
    """When a file was written last; None where it is not there."""
    return path.stat().st_mtime_ns if path.is_file() else None


def show_result(found: DisaggregationResult, page: Path) -> None:
    """Show one screen: what ran, a table of ratios, what was found, the claim, and where the rest is.

    Parameters
    ----------
    found
        The result.
    page
        Path of the page; `plan.json` is next to it.
    """
    from rich import box
    from rich.console import Console
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    from ...analysis.core.result import Interval, number
    from ...bench.provisioning.result import seeds_text, shown
    from ..screens.experiment import STYLES

    screen, state = Console(highlight=False), found.state
    serving, load = state.serving, state.load
    head = Text("Prefill:decode ratio", style="bold")
    head.append(f" → SIMULATED by preset {state.simulated}", style="yellow")
    screen.print(head)
    what = (
        f"{load.name}, {load.requests:,} requests, {serving.total} instances; TTFT ≤ "
        f"{serving.ttft_s:g} s and TPOT ≤ {serving.tpot_s:g} s for {100 * serving.share:g} %; "
        f"{seeds_text(state)}"
    )
    screen.print(Text(what + (" · synthetic load" if state.synthetic else ""), style="dim"))
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("prefill:decode")
    table.add_column("goodput, requests/s", justify="right")
    table.add_column("over the best fixed", justify="right")
    for row in found.ratios.iter_rows(named=True):
        cells = [
            shown(Interval(*(math_nan(row[f"{name}{end}"]) for end in ("", "_low", "_high"))))
            for name in ("goodput_rps", "gain_rps")
        ]
        table.add_row(row["policy"], cells[0], cells[1] if row["gain_rps"] else number(0.0))
    screen.print(table)
    for part in found.parts:
        for sentence in [*part.missing, *part.sentences()][:SENTENCES]:
            screen.print(Padding(Text(sentence), (0, 0, 0, 2)))
    claim = found.claim
    line = Text(f"\n{claim.verdict}: ", style=STYLES[claim.verdict])
    line.append(f"{claim.text} ({claim.where})", style="not bold default")
    screen.print(line)
    screen.print(Padding(Text(claim.why, style="dim"), (0, 0, 0, 2)))
    screen.print(f"\nplan: {page.parent / 'plan.json'}; the page: {page}", markup=False)


def math_nan(value: float | None) -> float:
    """A number of a table, NaN where it is null."""
    return float("nan") if value is None else value
