"""Trace analytics and characterization for LLM serving.

Each verb of the command line is a function here, with the same name and the same options. Nothing prints.
`progress` is optional everywhere: a function of (step, share done). Bad input raises `BurstlensError`, one
line that names the file and the fix; `InputError`, `EndpointError`, `DiskError` and `MissingExtraError` are
its kinds. Heavy libraries are loaded when a function needs them, not when the package is imported.

All results show themselves in a notebook in the same way: `to_frame()` is the table that a reader wants,
`to_frames()` are all tables by name, as Polars frames; `figures()` are the charts by name.

The examples read `synthetic.csv`, a day of the embedded synthetic trace:

    >>> import burstlens as bl
    >>> bl.synth("synthetic.csv", days=1, seed=7).info.synthetic
    True
"""

from __future__ import annotations

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

from .analysis.core.errors import BurstlensError, DiskError, EndpointError, InputError, MissingExtraError
from .analysis.core.exhibit import set_renderer

if TYPE_CHECKING:
    from .analysis.logs.options import LogOptions
    from .analysis.logs.pseudonyms import Anonymize
    from .api.calibrate import calibrate
    from .api.columns import columns
    from .api.compare import compare
    from .api.disaggregate import disaggregate
    from .api.experiments.dispatch import experiment
    from .api.export import export
    from .api.forecast import forecast
    from .api.ingest import ingest
    from .api.prompts import text_prompts
    from .api.replay import gather, replay, simulate
    from .api.report import report
    from .api.serve import serve, serving, simulated_server
    from .api.traces import arrivals, describe, fit, synth, trace
    from .api.workload import workload
    from .gpu.evaluate import gpu_evaluate
    from .public_traces.catalogue import fetch

    __version__: str

__all__ = [
    "Anonymize",
    "BurstlensError",
    "DiskError",
    "EndpointError",
    "InputError",
    "LogOptions",
    "MissingExtraError",
    "arrivals",
    "calibrate",
    "columns",
    "compare",
    "describe",
    "disaggregate",
    "experiment",
    "export",
    "fetch",
    "fit",
    "forecast",
    "gather",
    "gpu_evaluate",
    "ingest",
    "replay",
    "report",
    "serve",
    "serving",
    "simulate",
    "simulated_server",
    "synth",
    "text_prompts",
    "trace",
    "workload",
]

_MODULES = {
    "Anonymize": ".analysis.logs.pseudonyms",
    "LogOptions": ".analysis.logs.options",
    "calibrate": ".api.calibrate",
    "columns": ".api.columns",
    "compare": ".api.compare",
    "disaggregate": ".api.disaggregate",
    "experiment": ".api.experiments.dispatch",
    "export": ".api.export",
    "forecast": ".api.forecast",
    "ingest": ".api.ingest",
    "text_prompts": ".api.prompts",
    "gather": ".api.replay",
    "replay": ".api.replay",
    "simulate": ".api.replay",
    "report": ".api.report",
    "serve": ".api.serve",
    "serving": ".api.serve",
    "simulated_server": ".api.serve",
    "arrivals": ".api.traces",
    "describe": ".api.traces",
    "fit": ".api.traces",
    "synth": ".api.traces",
    "trace": ".api.traces",
    "workload": ".api.workload",
    "gpu_evaluate": ".gpu.evaluate",
    "fetch": ".public_traces.catalogue",
}
"""Where each verb lies; the module is loaded when the verb is first used."""

# Quiet unless the program that imports it, or the command line, wants to see the log.
logging.getLogger("burstlens").addHandler(logging.NullHandler())
set_renderer(lambda: import_module(".reports.notebook", __name__))


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("burstlens")
    if name not in _MODULES:
        raise AttributeError(f"module 'burstlens' has no attribute {name!r}")
    found = getattr(import_module(_MODULES[name], __name__), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "__version__"})
