"""Choosing among fitted parameters: selections, windows and laws.

Not here: the parameter file itself (`burstlens.analysis.interchange.parameters`), formats made of it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..core.errors import InputError
from ..core.option_names import option
from ..lengths.joint import Marginal
from ..lengths.part import joint_model
from .parameter_model import FittedSelection, ParameterFile


def select_fitted(
    fitted: ParameterFile,
    *,
    service: str | None = None,
    model: str | None = None,
    start_s: float | None = None,
    end_s: float | None = None,
) -> list[FittedSelection]:
    """The selections of a service and model, with their windows in a span.

    Parameters
    ----------
    fitted
        The content of a parameter file.
    service, model
        Without either: the selections that no other divides further; together they have each request once.
    start_s, end_s
        Seconds on the trace's clock; a window counts if it reaches into the span.

    Raises
    ------
    InputError
        If there is no such selection, or none of its windows in the span has a request.
    """
    name, keys = fitted.source.name, [part.selection for part in fitted.selections]
    if service is None and model is None:
        labels = {key.label for key in keys if not any(other.divides(key) for other in keys)}
    else:
        labels = {key.label for key in keys if (key.service, key.model) == (service, model)}
        if not labels:
            label = " · ".join(part for part in (service, model) if part)
            known = ", ".join(key.label for key in keys)
            raise InputError(f"{name}: no selection {label!r}; it has: {known}")
    selected = []
    for part in fitted.selections:
        windows = [
            window
            for window in part.windows
            if (start_s is None or window.start_s + fitted.window_s > start_s)
            and (end_s is None or window.start_s < end_s)
        ]
        if part.label in labels and any(window.n for window in windows):
            selected.append(part.with_windows(windows))
    if not selected:
        raise InputError(f"{name}: no window of this selection and time span has a request")
    return selected


def shapes(part: FittedSelection) -> list[float]:
    """List the Gamma shape of each window of a selection.

    A window without a fit gets the median of the others; 1 if none has a fit.
    """
    fitted = [window.shape for window in part.windows if window.shape is not None]
    fallback = float(np.median(fitted)) if fitted else 1.0
    return [fallback if window.shape is None else window.shape for window in part.windows]


def length_laws(
    fitted: ParameterFile, part: FittedSelection, tokens: Sequence[int] | None
) -> tuple[Marginal, Marginal, str]:
    """Find the laws of request and response tokens of a fitted selection.

    A selection too small for laws gets those of the smallest one around it.

    Parameters
    ----------
    fitted : ParameterFile
    part : FittedSelection
    tokens : sequence of two int, optional
        Request and response tokens to use instead of both laws.

    Returns
    -------
    request, response : Marginal
    label : str
        Of the selection that the laws belong to.

    Raises
    ------
    InputError
        If no selection around it has laws.
    """
    key = part.selection
    if tokens is not None:
        one, other = (Marginal.of_counts(np.array([n]), np.array([1.0])) for n in tokens)
        return one, other, key.label
    around = [larger for larger in fitted.selections if key.divides(larger.selection)]
    around.sort(key=lambda larger: [larger.selection.service is None, larger.selection.model is None])
    for candidate in (part, *around):
        try:
            model = joint_model(candidate.lengths)
        except KeyError:
            continue
        return model.request, model.response, candidate.label
    raise InputError(
        f"{fitted.source.name}: {key.label}: no laws of request and response lengths; give lengths "
        f"with {option('tokens')}"
    )


def mean_tokens(law: Marginal) -> float:
    """Compute the expected tokens under a law."""
    return float(law.values @ np.diff(law.cumulative, prepend=0.0) / law.cumulative[-1])
