"""What was found while an experiment's trials were made: the types of `facts` in `experiment.json`, by kind.

Not here: the options of an experiment, and what its trials measured (`trials`).
"""

from __future__ import annotations

from msgspec import Struct


class MAF2Facts(Struct, frozen=True):
    """Of `maf2`."""

    rows: dict[str, int]
    """Requests of each workload before it was cut."""
    requests: int
    """Requests of each workload."""
    calibrated: dict[str, float]
    """Requests per second by the KV-cache use that they bring."""


class SweepFacts(Struct, frozen=True):
    """Of `sweep`."""

    start: dict[str, float]
    """The parameters of the setting that the others vary from."""
    factor: float
    """What `scale` is multiplied by in every setting, 1 unless it was calibrated."""


class SchedulersFacts(Struct, frozen=True, rename={"requests": "held"}):
    """Of `schedulers`."""

    requests: dict[str, float]
    """Requests of each service in the span of the trace (key `held` of the file); expected, so not whole."""
    rates_rps: dict[str, float]
    capacity_rps: dict[str, float]
    """What the server answers of requests sent at once, where the rate follows from it."""


class ResponsesFacts(Struct, frozen=True):
    """Of `responses`."""

    requests: int
    cap: int
    """Maximum response tokens."""
    trace: str
    """Name of the trace that prompts were sampled from."""
