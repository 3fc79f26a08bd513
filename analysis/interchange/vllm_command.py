"""The nearest line of vLLM's own Gamma load: one window as `--request-rate` and `--burstiness`.

vLLM draws gaps from one Gamma of shape `--burstiness` and mean 1 / `--request-rate`, which is our law of a
window. Not here: a trace for vLLM with every instant (`mooncake`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..core.atomic_write import write_text
from ..core.errors import InputError
from ..core.option_names import option
from ..core.units import HOUR_S
from .fitted import Selection, length_laws, mean_tokens


def write_vllm_line(
    content: Mapping[str, Any],
    part: Selection,
    out: Path,
    *,
    start_s: float | None = None,
    tokens: Sequence[int] | None = None,
) -> tuple[str, list[str]]:
    """Write the line, with what it leaves out as comments above it; returns the line and that.

    It is of the window that holds `start_s` on the trace's clock, or of the busiest one with a fit.
    """
    windows, window_s = part["arrivals"]["windows"], float(content["window_s"])
    fitted = [row for row in windows if row["shape"] is not None and row["n"] > 0]
    if start_s is not None:
        fitted = [row for row in fitted if row["start_s"] <= start_s < row["start_s"] + window_s]
    if not fitted:
        raise InputError(
            f"{content['source']['name']}: {part['selection']['label']}: no window with a fitted shape"
            f"{'' if start_s is None else f' at {start_s / HOUR_S:.2f} h'}; choose another with "
            f"{option('start_s')}"
        )
    window = max(fitted, key=lambda row: row["n"])
    request, response = (round(mean_tokens(law)) for law in length_laws(content, part, tokens)[:2])
    line = (
        "vllm bench serve --base-url http://127.0.0.1:8000 --model MODEL --dataset-name random "
        f"--random-input-len {request} --random-output-len {response} --ignore-eos "
        f"--num-prompts {window['n']} --request-rate {window['rate_rps']:.6g} "
        f"--burstiness {window['shape']:.6g}"
    )
    lost = [
        f"every window but the one from {window['start_s'] / HOUR_S:.2f} h: one rate and one shape hold all "
        "the time",
        "the laws of lengths: every request has the mean length, and every response",
        "sessions and failures",
    ]
    told = [
        f"window of {window_s:g} s from {window['start_s']:g} s of {content['source']['name']}, "
        f"{part['selection']['label']}{', synthetic' if content['source']['synthetic'] else ''}",
        *(f"lost: {each}" for each in lost),
    ]
    write_text("".join(f"# {each}\n" for each in told) + line + "\n", out)
    return line, lost
