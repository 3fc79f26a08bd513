"""The nearest line of vLLM's own Gamma load: one window as `--request-rate` and `--burstiness`.

vLLM draws gaps from one Gamma of shape `--burstiness` and mean 1 / `--request-rate`, which is our law of a
window. Not here: a trace for vLLM with every instant (`mooncake`).
"""

from __future__ import annotations

from pathlib import Path

from ..core.atomic_write import write_text
from ..core.errors import InputError
from ..core.option_names import option
from ..core.units import HOUR_S
from .exports import FittedExport, FittedWindows, WriteOptions, WriteResult
from .fitted import length_laws, mean_tokens


def write_vllm_line(fitted: FittedWindows, out: Path, options: WriteOptions) -> WriteResult:
    """Write the command of `vllm bench serve` for one window, with what it leaves out as comments above it.

    The window is the one at `fitted.start_s` on the trace's clock, or the busiest one with a fit.

    Parameters
    ----------
    fitted : FittedWindows
        Its first selection counts.
    out : Path
    options : WriteOptions

    Returns
    -------
    WriteResult

    Raises
    ------
    InputError
        If there is no window with a fitted shape, or no laws of lengths.
    """
    file, part, start_s = fitted.file, fitted.selections[0], fitted.start_s
    candidates = [one for one in part.windows if one.shape is not None and one.n > 0]
    if start_s is not None:
        candidates = [one for one in candidates if one.start_s <= start_s < one.start_s + file.window_s]
    if not candidates:
        raise InputError(
            f"{file.source.name}: {part.label}: no window with a fitted shape"
            f"{'' if start_s is None else f' at {start_s / HOUR_S:.2f} h'}; choose another with "
            f"{option('start_s')}"
        )
    window = max(candidates, key=lambda one: one.n)
    request, response = (round(mean_tokens(law)) for law in length_laws(file, part, options.tokens)[:2])
    line = (
        "vllm bench serve --base-url http://127.0.0.1:8000 --model MODEL --dataset-name random "
        f"--random-input-len {request} --random-output-len {response} --ignore-eos "
        f"--num-prompts {window.n} --request-rate {window.rate_rps:.6g} "
        f"--burstiness {window.shape:.6g}"
    )
    lost = [
        f"every window but the one from {window.start_s / HOUR_S:.2f} h: one rate and one shape apply "
        "all the time",
        "the laws of lengths: every request has the mean length, and every response",
        "sessions and failures",
    ]
    comments = [
        f"window of {file.window_s:g} s from {window.start_s:g} s of {file.source.name}, "
        f"{part.label}{', synthetic' if file.source.synthetic else ''}",
        *(f"lost: {each}" for each in lost),
    ]
    write_text("".join(f"# {each}\n" for each in comments) + line + "\n", out)
    return WriteResult(1, lost, line)


VLLM_LINE = FittedExport(
    "vllm bench serve's own Gamma load, nearest to one window",
    ".sh",
    write_vllm_line,
    default_selections="all",
)
