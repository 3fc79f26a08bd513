"""The verb `experiment`: one of the paper's evaluations, by its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal, Unpack, overload

from ...analysis.core.errors import InputError
from ..options import Log
from .maf2 import Maf2Options, maf2
from .responses import ResponsesOptions, responses
from .schedulers import SchedulersOptions, schedulers
from .sweep import SweepOptions, sweep

if TYPE_CHECKING:
    from .result import ExperimentResult

EXPERIMENTS: Mapping[str, Callable[..., ExperimentResult]] = {
    "maf2": maf2,
    "responses": responses,
    "schedulers": schedulers,
    "sweep": sweep,
}
"""By the name that a user gives."""


@overload
def experiment(
    kind: Literal["maf2"], out: Log | None = None, **options: Unpack[Maf2Options]
) -> ExperimentResult: ...
@overload
def experiment(
    kind: Literal["responses"], out: Log | None = None, **options: Unpack[ResponsesOptions]
) -> ExperimentResult: ...
@overload
def experiment(
    kind: Literal["schedulers"], out: Log | None = None, **options: Unpack[SchedulersOptions]
) -> ExperimentResult: ...
@overload
def experiment(
    kind: Literal["sweep"], out: Log | None = None, **options: Unpack[SweepOptions]
) -> ExperimentResult: ...
def experiment(kind: str, out: Log | None = None, **options: Any) -> ExperimentResult:
    """Run one of the paper's evaluations into the folder `out`, and say what it found.

    The same call goes on where it was stopped.

    Parameters
    ----------
    kind
        `"maf2"`, `"responses"`, `"schedulers"` or `"sweep"`.
    out
        Folder of the trials, by default `reports/build/KIND`.
    options
        Those of the function of that name in `burstlens.api.experiments`.

    Returns
    -------
    ExperimentResult
        `.findings.claims` are the paper's claims with their verdicts, `.trials` has a row for each trial,
        `.report()` writes the page.

    Examples
    --------
    >>> done = bl.experiment("maf2", "maf2", rates_rps=[1.0], requests=100, seeds=2)
    >>> done.trials.height, done.findings.claims[0].id
    (8, 'maf2-load')
    """
    if kind not in EXPERIMENTS:
        raise InputError.unknown_value("kind", "experiment", kind, list(EXPERIMENTS))
    return EXPERIMENTS[kind](**({} if out is None else {"out": out}), **options)
