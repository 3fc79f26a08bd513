"""Which model on which GPU: the constants of the simulated engine, each set named and with its source.

The latency constants are those of the equation in `engine`, single GPU, bf16. KV blocks follow from the
memory that weights and activations leave. `presets.json` has the sets; a user's own fit is a file with
one such set. Weights are 2 bytes a parameter; memory is what the driver reports; activations are assumed.
Limits are vLLM's defaults for an API server on that GPU, with the model's own context length. Not here:
fitting the constants.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from math import isfinite
from pathlib import Path
from typing import Annotated, Any, NoReturn

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType, structs

from ...analysis.core.errors import DiskError, InputError, nearest
from ..record.checked_input import brief, checked

LARGEST = sys.float_info.max
NotNegative = Annotated[float, Meta(ge=0, le=LARGEST)]
Count = Annotated[int, Meta(ge=1)]


class StepCosts(Struct, frozen=True, forbid_unknown_fields=True):
    """Constants of the time that one step takes, in ms or µs as named."""

    a_p_ms: NotNegative
    """Of a step with prefill tokens; counts if it is above `a_d_ms`, or if there is an `h_ms`."""
    b_ms: NotNegative
    """Per prefill token."""
    c_ms: NotNegative
    """Per n(2·ctx + n) of a prefill chunk of n tokens after ctx."""
    a_d_ms: Annotated[float, Meta(gt=0, le=LARGEST)]
    """Least time of any step."""
    d_us: NotNegative
    """Per token that a decoding request attends to."""
    e_us: NotNegative
    """Per decoding request."""
    h_ms: NotNegative = 0.0
    """Least time of prefill however short: weights are read and kernels launched while the GPU computes."""

    @property
    def a_ms(self) -> float:
        """What prefill takes on top of its tokens."""
        return self.a_p_ms if self.h_ms else max(self.a_d_ms, self.a_p_ms)

    def prefill_ms(self, tokens: float, attention: float) -> float:
        """Compute the time of a step of prefill alone, in milliseconds.

        Parameters
        ----------
        tokens
            Prefill tokens of the step.
        attention
            Σ n(2·ctx + n) over its chunks of n tokens after ctx.
        """
        return max(self.h_ms, self.a_ms + self.b_ms * tokens + self.c_ms * attention)


class KvCache(Struct, frozen=True, forbid_unknown_fields=True):
    """What the number of KV blocks follows from; sizes in decimal GB."""

    bytes_per_token: Count
    """2 · layers · KV heads · head dimension · 2 bytes."""
    block_size: Count
    """Tokens in a block."""
    gpu_gb: NotNegative
    utilization: NotNegative
    """vLLM's `--gpu-memory-utilization`."""
    weights_gb: NotNegative
    activations_gb: NotNegative

    @property
    def num_blocks(self) -> int:
        """Blocks that fit into memory · utilization − weights − activations."""
        free_gb = self.gpu_gb * self.utilization - self.weights_gb - self.activations_gb
        return max(int(free_gb * 1e9 / (self.bytes_per_token * self.block_size)), 0)


class KvBlocks(Struct, frozen=True, forbid_unknown_fields=True):
    """KV blocks that were read from a server rather than computed."""

    block_size: Count
    num_blocks: Count
    bytes_per_token: Count | UnsetType = UNSET


class Limits(Struct, frozen=True, forbid_unknown_fields=True):
    """The scheduler's limits, under vLLM's names."""

    max_num_seqs: Count
    max_num_batched_tokens: Count
    max_model_len: Count
    max_num_queued_reqs: Count | UnsetType | None = UNSET


class PresetFile(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The content of a profile file, and of each set in `presets.json`."""

    model: str | UnsetType | None = UNSET
    gpu: str | UnsetType | None = UNSET
    source: str | UnsetType | None = UNSET
    """Where the constants come from; required, and not empty."""
    latency: StepCosts
    kv_cache: dict[str, Any]
    """A `KvCache`, or `KvBlocks` if it has `num_blocks`."""
    limits: Limits
    async_scheduling: bool = False
    outside_ms: NotNegative = 0.0


@dataclass(frozen=True, slots=True)
class Preset:
    """A served model on a GPU: constants, KV blocks, limits, and where they come from."""

    name: str
    model: str
    gpu: str
    source: str
    latency: StepCosts
    block_size: int
    num_blocks: int
    """KV blocks that requests can use."""
    max_num_seqs: int
    max_num_batched_tokens: int
    max_model_len: int
    max_num_queued_reqs: int | None = None
    """Requests waiting or running above which a new one is rejected; None for no limit, vLLM's default."""
    async_scheduling: bool = False
    """Whether a step is planned while the one before it runs."""
    outside_ms: float = 0.0
    """What an answer takes besides its steps: HTTP and the way between the server's processes. In virtual
    time only: the simulated endpoint has its own."""
    bytes_per_token: int | None = None
    """Bytes of a cached token; None if they are not known."""
    kv_cache: KvCache | None = None
    """What `num_blocks` was computed from; None if it was given."""

    def __post_init__(self) -> None:
        """Reject limits under which a request could never end, in one line that names the field."""
        if self.num_blocks * self.block_size < self.max_model_len:
            _wrong(
                self.name,
                "num_blocks" if self.kv_cache is None else "kv_cache",
                f"{self.num_blocks:,} KV blocks of {self.block_size} tokens are too few for a request of "
                f"max_model_len {self.max_model_len:,}; lower max_model_len or give more memory",
            )
        if self.max_num_batched_tokens < self.max_num_seqs:
            _wrong(
                self.name,
                "max_num_batched_tokens",
                f"{self.max_num_batched_tokens:,} is less than max_num_seqs {self.max_num_seqs:,}",
            )

    def limited(self, **limits: int | None) -> Preset:
        """Change limits; those that are None stay as they are.

        Parameters
        ----------
        **limits
            `max_num_seqs`, `max_num_batched_tokens`, `max_model_len`, `max_num_queued_reqs` or `num_blocks`.

        Raises
        ------
        InputError
            If a limit is not a positive integer, or limits contradict each other.
        TypeError
            If there is no such limit.
        """
        given = {name: value for name, value in limits.items() if value is not None}
        unknown = given.keys() - {*LIMITS, "num_blocks"}
        if unknown:
            raise TypeError(f"no limit {sorted(unknown)}")
        counts = {field: _count(self.name, field, value) for field, value in given.items()}
        blocks = {"kv_cache": None} if "num_blocks" in given else {}
        return replace(self, **counts, **blocks)  # type: ignore[arg-type]

    def faster(self, speedup: float) -> Preset:
        """Divide all times by `speedup`; raises InputError if it is not above 0."""
        if not (isfinite(speedup) and speedup > 0):
            _wrong(self.name, "speedup", f"must be above 0, not {speedup}")
        latency = StepCosts(**{name: ms / speedup for name, ms in structs.asdict(self.latency).items()})
        return replace(self, latency=latency, outside_ms=self.outside_ms / speedup)

    def as_dict(self) -> dict[str, Any]:
        """Give plain values, as in a manifest."""
        return dict(msgspec.to_builtins(self))


LIMITS = ("max_num_seqs", "max_num_batched_tokens", "max_model_len", "max_num_queued_reqs")


def preset_names() -> list[str]:
    """List the named presets."""
    return list(_named())


def load_preset(name_or_path: str | Path) -> Preset:
    """Load a named preset, or one from a JSON file.

    A file has one object of the form of those in `presets.json`; instead of the memory sizes, `kv_cache` may
    have `block_size` and `num_blocks`.

    Raises
    ------
    InputError
        If there is no such preset (it lists the names), or a field of the file cannot be used (it names it).
    DiskError
        If the file cannot be read.
    """
    known = _named()
    if str(name_or_path) in known:
        return parse_preset(str(name_or_path), known[str(name_or_path)])
    path = Path(name_or_path)
    if not path.is_file():
        if path.suffix == ".json" or len(path.parts) > 1:
            raise InputError.missing_file(path)
        close = nearest(str(name_or_path), known)
        raise InputError(
            f"no preset '{name_or_path}'; "
            + ("" if close is None else f"did you mean {close!r}? ")
            + f"name a JSON file, or one of: {', '.join(known)}"
        )
    try:
        found = json.loads(path.read_text(encoding="utf-8"), parse_constant=_reject_constant)
    except OSError as fault:
        raise DiskError.unreadable(path, fault) from None
    except ValueError as fault:
        raise InputError.unparsable(path, f"not JSON: {fault}") from None
    return parse_preset(str(path), found)


def parse_preset(name: str, content: object) -> Preset:
    """Make a preset from plain values.

    Parameters
    ----------
    name
        Name or file of the preset; messages begin with it.
    content
        Values as `PresetFile` has them.

    Raises
    ------
    InputError
        A field cannot be used; the message names it.
    """
    file = checked(PresetFile, content, name)
    if not file.source:
        _wrong(name, "source", "a text is needed, such as where the constants were measured")
    sizes: KvCache | None = None
    if "num_blocks" in file.kv_cache:
        blocks = checked(KvBlocks, file.kv_cache, name, field="kv_cache")
        num_blocks, block_size = blocks.num_blocks, blocks.block_size
        bytes_per_token = None if blocks.bytes_per_token is UNSET else blocks.bytes_per_token
    else:
        sizes = checked(KvCache, file.kv_cache, name, field="kv_cache")
        num_blocks, block_size, bytes_per_token = sizes.num_blocks, sizes.block_size, sizes.bytes_per_token
    limits = file.limits
    return Preset(
        name=name,
        model=file.model or "not stated",
        gpu=file.gpu or "not stated",
        source=file.source,
        latency=file.latency,
        block_size=block_size,
        num_blocks=num_blocks,
        max_num_seqs=limits.max_num_seqs,
        max_num_batched_tokens=limits.max_num_batched_tokens,
        max_model_len=limits.max_model_len,
        max_num_queued_reqs=limits.max_num_queued_reqs or None,
        async_scheduling=file.async_scheduling,
        outside_ms=file.outside_ms,
        bytes_per_token=bytes_per_token,
        kv_cache=sizes,
    )


@cache
def _named() -> dict[str, Any]:
    text = resources.files(__package__).joinpath("presets.json").read_text(encoding="utf-8")
    return dict(json.loads(text))


def _wrong(name: str, field: str, why: str) -> NoReturn:
    raise InputError(f"{name}: {field}: {why}" if field else f"{name}: {why}")


def _reject_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a number of JSON")


def _count(name: str, field: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        _wrong(name, field, f"a whole number of 1 or more is needed, not {brief(value)}")
    return value
