"""What lies in a run folder, as types: the manifest, a line of the record, a sample of the server's metrics.

Each file is read into and written from one model here, so a key is spelled once. Not here: reading and
writing the files (`run_folder`), and what the numbers mean (`bench.metrics`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import polars as pl
from msgspec import UNSET, Struct, UnsetType, field

VERSION = 1
"""Version of the manifest that is written and read."""

Outcome = Literal[
    "ok",
    "truncated",
    "rejected",
    "http_4xx",
    "http_429",
    "http_5xx",
    "stream_error",
    "timeout",
    "refused",
    "reset",
    "aborted",
]
"""How a request ended. A `truncated` answer has fewer tokens than planned."""
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
ANSWERED: tuple[Outcome, ...] = ("ok", "truncated")


class ClockOffset(Struct, frozen=True):
    """This machine's clock minus another one, in seconds, between two bounds."""

    against: str
    """Whose clock the other one is, in words."""
    low_s: float
    high_s: float

    @property
    def middle_s(self) -> float:
        """The offset, if one number is wanted."""
        return (self.low_s + self.high_s) / 2

    @property
    def precision_s(self) -> float:
        """How far from `middle_s` the offset can be."""
        return (self.high_s - self.low_s) / 2

    def __str__(self) -> str:
        """The offset with its precision."""
        offset = f"{1000 * self.middle_s:+z.0f}".replace("-", "−")
        return f"{offset} ms ± {1000 * self.precision_s:.0f} ms against {self.against}"

    def rounded(self) -> ClockOffset:
        """Round to the microsecond, as in a manifest."""
        return ClockOffset(self.against, round(self.low_s, 6), round(self.high_s, 6))


class ShardInfo(Struct, frozen=True, kw_only=True):
    """Which part of which workload a sender sent; without `index`, the run that all parts make together."""

    index: int | UnsetType = UNSET
    of: int
    """Number of shards."""
    seed: int | None
    workload_sha256: str
    """Fingerprint of the workload before it was cut."""
    requests: int
    """Requests of the workload before it was cut."""
    start_unix_s: float
    """The run's second 0."""
    clock: ClockOffset | UnsetType | None = UNSET
    """Of this sender; None if it was not measured."""
    clocks: Sequence[ClockOffset | None] | UnsetType = UNSET
    """Of all senders, one a shard, in a run that was merged from shards."""


class RunSettings(Struct, frozen=True, kw_only=True):
    """How a run was sent (see `bench.settings.Settings`) or simulated; a field of the other kind is UNSET."""

    preset: Mapping[str, Any] | UnsetType = UNSET
    """Of the simulated engine."""
    scheduling: str | UnsetType = UNSET
    speedup: float | UnsetType = UNSET
    timeout_s: float | UnsetType | None = UNSET
    grace_s: float | UnsetType = UNSET
    max_concurrency: int | UnsetType | None = UNSET
    workers: int | UnsetType = UNSET
    ignore_eos: bool | UnsetType = UNSET
    max_tokens: int | UnsetType | None = UNSET
    retries: int | UnsetType = UNSET
    sample_s: float | UnsetType | None = UNSET
    extra: Mapping[str, Any] | UnsetType = UNSET
    api: str | UnsetType = UNSET
    prompts: Mapping[str, Any] | UnsetType = UNSET
    """What the prompts are made from (`Prompts.about`); equal for equal prompts."""

    @property
    def forced_lengths(self) -> bool:
        """Whether answers were to have exactly the lengths of the workload."""
        return bool(self.ignore_eos) or isinstance(self.ignore_eos, UnsetType)


class Manifest(Struct, frozen=True):
    """What was sent to which server; the content of `run.json`. It never holds a key."""

    name: str
    synthetic: bool
    """Whether the workload's source was synthetic."""
    recipe: Mapping[str, Any]
    """How the workload was made."""
    workload_sha256: str
    requests: int
    url: str | None
    """None for a run in virtual time."""
    served_model: str | None
    simulated: str | None
    """Preset of the simulated engine; None for a real server."""
    server_version: str | None
    settings: RunSettings
    started_unix_s: float
    finished: bool = False
    """Whether every request of the workload was sent and ended."""
    stopped: str | None = None
    """Why it ended early, in words."""
    notes: Sequence[str] = ()
    """What a reader should know: no metrics, another tokenizer, …"""
    shard: ShardInfo | None = None
    """Which part of a workload this is; None for a whole one."""
    version: int = VERSION


class RecordLine(Struct, kw_only=True):
    """One request as it ended: a line of `record-<worker>.jsonl`.

    Instants are seconds after the start of the run, on one monotonic clock. Tokens that are not planned are
    the server's own count, None if it sent none.
    """

    request_id: int
    worker: int
    service: str | None = None
    model: str | None = None
    session: int | None = None
    turn: int | None = None
    intended_s: float | None = None
    """Set by the schedule, or by the previous answer plus the time to think."""
    sent_s: float | None = None
    """When the request was sent for the first time; None if it never was."""
    first_token_s: float | None = None
    ended_s: float | None = None
    waited_s: float | None = None
    """Time spent waiting because `max_concurrency` requests were in flight."""
    planned_request_tokens: int | None = field(name="request_tokens_asked", default=None)
    planned_response_tokens: int | None = field(name="response_tokens_asked", default=None)
    request_tokens: int | None = None
    response_tokens: int | None = None
    outcome: Outcome
    status: int | None = None
    error: str | None = None
    tries: int | None = None
    """How often it was sent; None in records of earlier versions."""
    gaps_s: list[float] | None = None
    """Times between chunks after the first; None if the answer was not streamed."""
    gap_tokens: list[int] | None = None
    """Tokens of each of those chunks, 0 if the server does not say."""


class ServerSample(Struct, kw_only=True):
    """A sample of the server's own metrics on the record's clock: a line of `server.jsonl`.

    The last four are counters since the server's start. A metric that the server does not have is None.
    """

    at_s: float
    kv_cache_use: float | None = None
    running: float | None = None
    waiting: float | None = None
    preemptions: float | None = None
    rejections: float | None = None
    prompt_tokens: float | None = None
    generation_tokens: float | None = None


def polars_schema(kind: type[Struct]) -> dict[str, pl.DataType | type[pl.DataType]]:
    """List the columns of a table of such structs, in the order of their fields."""
    hints = get_type_hints(kind)
    fields = zip(kind.__struct_fields__, kind.__struct_encode_fields__, strict=True)
    return {column: _column_type(hints[name]) for name, column in fields}


def _column_type(hint: Any) -> pl.DataType | type[pl.DataType]:
    """The column type of a field's annotation."""
    if get_origin(hint) in (UnionType, Union):
        return _column_type(next(each for each in get_args(hint) if each is not type(None)))
    if get_origin(hint) is Literal:
        return pl.String
    if get_origin(hint) is list:
        return pl.List(_column_type(get_args(hint)[0]))
    return {bool: pl.Boolean, int: pl.Int64, float: pl.Float64, str: pl.String}[hint]


SCHEMA = polars_schema(RecordLine)
"""Columns of a record."""
SERVER_SCHEMA = polars_schema(ServerSample)
"""Columns of the server's samples."""
