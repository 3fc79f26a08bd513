"""Choosing among fitted parameters: which selections, which windows.

Not here: the parameter file itself (`burstlens.analysis.interchange.parameters`), formats made of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..core.errors import InputError
from ..core.option_names import option
from ..lengths.joint import Marginal
from ..lengths.part import joint_model

Selection = Mapping[str, Any]
"""One element of `selections` in a parameter file."""


def chosen(
    content: Mapping[str, Any],
    *,
    service: str | None = None,
    model: str | None = None,
    start_s: float | None = None,
    end_s: float | None = None,
) -> list[Selection]:
    """The selections of that service and model, with their windows in a span; BurstlensError where none is.

    Without either these are the ones that no other divides further: together they hold each request once.
    `start_s` and `end_s` are on the trace's clock; a window counts where it reaches into the span.
    """
    name, known = content["source"]["name"], [part["selection"] for part in content["selections"]]
    if service is None and model is None:
        wanted = [one["label"] for one in known if not any(_divides(other, one) for other in known)]
    else:
        wanted = [one["label"] for one in known if (one["service"], one["model"]) == (service, model)]
        if not wanted:
            labels = ", ".join(one["label"] for one in known)
            asked = " · ".join(part for part in (service, model) if part)
            raise InputError(f"{name}: no selection {asked!r}; it has: {labels}")
    window_s = float(content["window_s"])
    out: list[Selection] = []
    for part in content["selections"]:
        if part["selection"]["label"] not in wanted:
            continue
        windows = [
            row
            for row in part["arrivals"]["windows"]
            if (start_s is None or row["start_s"] + window_s > start_s)
            and (end_s is None or row["start_s"] < end_s)
        ]
        if any(row["n"] for row in windows):
            out.append({**part, "arrivals": {**part["arrivals"], "windows": windows}})
    if not out:
        raise InputError(f"{name}: no window with requests in what was asked for")
    return out


def _divides(part: Selection, whole: Selection) -> bool:
    """Whether a selection is a proper part of another."""
    same = all(whole[side] is None or whole[side] == part[side] for side in ("service", "model"))
    return same and (part["service"], part["model"]) != (whole["service"], whole["model"])


def shapes(part: Selection) -> list[float]:
    """The shape of each window; the median of the others where one has no fit, 1 where none has."""
    fitted = [row["shape"] for row in part["arrivals"]["windows"] if row["shape"] is not None]
    fallback = float(np.median(fitted)) if fitted else 1.0
    return [fallback if row["shape"] is None else float(row["shape"]) for row in part["arrivals"]["windows"]]


def length_laws(
    content: Mapping[str, Any], part: Selection, tokens: Sequence[int] | None
) -> tuple[Marginal, Marginal, str]:
    """The laws of request and response tokens, and the label of the selection that they are of.

    A selection too small for laws has those of the smallest one around it; `tokens` stand for both where they
    are given. BurstlensError where there are none.
    """
    own = part["selection"]
    if tokens is not None:
        one, other = (Marginal.of_counts(np.array([n]), np.array([1.0])) for n in tokens)
        return one, other, str(own["label"])
    around = [whole for whole in content["selections"] if _divides(own, whole["selection"])]
    around.sort(key=lambda whole: [whole["selection"][side] is None for side in ("service", "model")])
    for candidate in (part, *around):
        try:
            model = joint_model(candidate["lengths"])
        except KeyError:
            continue
        return model.request, model.response, str(candidate["selection"]["label"])
    raise InputError(
        f"{content['source']['name']}: {own['label']}: no laws of request and response lengths; give lengths "
        f"with {option('tokens')}"
    )


def mean_tokens(law: Marginal) -> float:
    """Expected tokens under a law."""
    return float(law.values @ np.diff(law.cumulative, prepend=0.0) / law.cumulative[-1])
