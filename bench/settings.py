"""How a run is sent, to which endpoint, and its status while it lasts: plain data.

Not here: the workload, and what the client does with all this.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from ..analysis.core.errors import InputError
from ..analysis.core.option_names import option

Api = Literal["completions", "chat"]


@dataclass(frozen=True)
class Target:
    """The endpoint: base URL without `/v1`, served model, and the key, which is never shown."""

    url: str
    model: str | None = None
    """None for the one model that the server lists."""
    api: Api = "completions"
    key: str | None = field(default=None, repr=False)

    @property
    def headers(self) -> dict[str, str]:
        """Headers of every request."""
        return {"Authorization": f"Bearer {self.key}"} if self.key else {}


@dataclass(frozen=True)
class Settings:
    """How a workload is sent.

    Raises
    ------
    InputError
        If a value is out of range.
    """

    timeout_s: float = 600.0
    """A request without an answer is given up this long after it was sent."""
    grace_s: float = 30.0
    """How long open requests may go on after Ctrl-C."""
    max_concurrency: int | None = None
    """Limit of requests in flight, of all workers together; None for the open loop."""
    workers: int = 1
    ignore_eos: bool = True
    """Ask for exactly the response lengths of the workload; otherwise the model decides when to end."""
    max_tokens: int | None = None
    """Limit of response tokens."""
    retries: int = 0
    """How often a request is sent again if the server rejects it or never begins to answer."""
    sample_s: float | None = 1.0
    """Time between samples of the server's metrics; None for no samples."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """More fields of each request's body, such as `temperature`."""

    def __post_init__(self) -> None:
        for name in ("timeout_s", "workers", "max_tokens", "max_concurrency"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise InputError(f"{option(name)}: {value:g} is not above 0")
        if self.retries < 0:
            raise InputError(f"{option('retries')}: {self.retries} is below 0")
        if not self.grace_s >= 0:
            raise InputError(f"{option('grace_s')}: {self.grace_s:g} s is below 0")
        if self.max_concurrency is not None and self.max_concurrency < self.workers:
            raise InputError(
                f"{option('max_concurrency')}: {self.max_concurrency} is less than "
                f"{option('workers', self.workers)}; each worker needs one request in flight"
            )

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as in the manifest."""
        return asdict(self)


@dataclass(frozen=True)
class Status:
    """A run in progress, as `watch` gets it."""

    elapsed_s: float
    span_s: float
    """Instant of the workload's last request."""
    requests: int
    sent: int
    in_flight: int
    ended: Mapping[str, int]
    """Requests by outcome."""
    rate_planned_rps: float
    """Over the last `RECENT_S` seconds, as is the next."""
    rate_achieved_rps: float
    lateness_p99_s: float
    kv_cache_use: float | None
    waiting: int
    """Requests that wait because `max_concurrency` are in flight."""
    stopping: bool = False


RECENT_S = 10.0
