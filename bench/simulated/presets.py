"""Which model on which GPU: the constants of the simulated engine, each set named and with its source.

The latency constants are those of the equation in `engine`, single GPU, bf16. KV blocks follow from the
memory that weights and activations leave. `presets.json` holds the sets; a user's own fit is a file with
one such set. Weights are 2 bytes a parameter; memory is what the driver reports; activations are assumed.
Limits are vLLM's defaults for an API server on that GPU, with the model's own context length. Not here:
fitting the constants.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache
from importlib import resources
from math import isfinite
from pathlib import Path
from typing import Any, NoReturn

from ...analysis.core.errors import DiskError, InputError


@dataclass(frozen=True, slots=True)
class StepCosts:
    """Constants of the time that one step takes, in ms or µs as named."""

    a_p_ms: float
    """Of a step with prefill tokens; counts where it is above `a_d_ms`, or `h_ms` is told."""
    b_ms: float
    """Per prefill token."""
    c_ms: float
    """Per n(2·ctx + n) of a prefill chunk of n tokens after ctx."""
    a_d_ms: float
    """Least time of any step."""
    d_us: float
    """Per token that a decoding request attends to."""
    e_us: float
    """Per decoding request."""
    h_ms: float = 0.0
    """Least time of prefill however short: weights are read and kernels launched while the GPU computes."""

    @property
    def a_ms(self) -> float:
        """What prefill takes beside its tokens."""
        return self.a_p_ms if self.h_ms else max(self.a_d_ms, self.a_p_ms)

    def prefill_ms(self, tokens: float, attention: float) -> float:
        """A step of prefill alone, of so many tokens and Σ n(2·ctx + n)."""
        return max(self.h_ms, self.a_ms + self.b_ms * tokens + self.c_ms * attention)


@dataclass(frozen=True, slots=True)
class KvCache:
    """What the number of KV blocks follows from; sizes in decimal GB."""

    bytes_per_token: int
    """2 · layers · KV heads · head dimension · 2 bytes."""
    block_size: int
    """Tokens in a block."""
    gpu_gb: float
    utilization: float
    """vLLM's `--gpu-memory-utilization`."""
    weights_gb: float
    activations_gb: float

    @property
    def num_blocks(self) -> int:
        """Blocks that fit into memory · utilization − weights − activations."""
        free_gb = self.gpu_gb * self.utilization - self.weights_gb - self.activations_gb
        return max(int(free_gb * 1e9 / (self.bytes_per_token * self.block_size)), 0)


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
    """What an answer takes beside its steps: HTTP and the way between the server's processes. In virtual time
    only: the simulated endpoint has its own."""
    bytes_per_token: int | None = None
    """What a cached token takes; None where nobody told."""
    kv_cache: KvCache | None = None
    """What `num_blocks` was computed from; None where it was given."""

    def __post_init__(self) -> None:
        """Reject limits under which a request could never end, in one line that names the field."""
        if self.num_blocks * self.block_size < self.max_model_len:
            _wrong(
                self.name,
                "num_blocks" if self.kv_cache is None else "kv_cache",
                f"{self.num_blocks:,} KV blocks of {self.block_size} tokens hold no request of "
                f"max_model_len {self.max_model_len:,}; lower max_model_len or give more memory",
            )
        if self.max_num_batched_tokens < self.max_num_seqs:
            _wrong(
                self.name,
                "max_num_batched_tokens",
                f"{self.max_num_batched_tokens:,} is less than max_num_seqs {self.max_num_seqs:,}",
            )

    def limited(self, **limits: int | None) -> Preset:
        """With other limits (`max_num_seqs`, `max_num_batched_tokens`, `max_model_len`,
        `max_num_queued_reqs`, `num_blocks`); those that are None stay as they are.

        Raises BurstlensError where they are no positive integers or contradict each other.
        """
        given = {name: value for name, value in limits.items() if value is not None}
        unknown = given.keys() - {*LIMITS, "num_blocks"}
        if unknown:
            raise TypeError(f"no limit {sorted(unknown)}")
        whole = {field: _whole(self.name, field, value) for field, value in given.items()}
        blocks = {"kv_cache": None} if "num_blocks" in given else {}
        return replace(self, **whole, **blocks)  # type: ignore[arg-type]

    def faster(self, speedup: float) -> Preset:
        """The same server, that much faster. Raises BurstlensError unless above 0."""
        if not (isfinite(speedup) and speedup > 0):
            _wrong(self.name, "speedup", f"must be above 0, not {speedup}")
        latency = StepCosts(**{k: v / speedup for k, v in asdict(self.latency).items()})
        return replace(self, latency=latency, outside_ms=self.outside_ms / speedup)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as a manifest holds them."""
        return asdict(self)


LIMITS = ("max_num_seqs", "max_num_batched_tokens", "max_model_len", "max_num_queued_reqs")
TEXTS = ("model", "gpu", "source")
CONSTANTS = ("a_p_ms", "b_ms", "c_ms", "a_d_ms", "d_us", "e_us")
"""Those that every set has."""


def preset_names() -> list[str]:
    """The named presets."""
    return list(_named())


def load_preset(name_or_path: str | Path) -> Preset:
    """A named preset, or the one in a JSON file of one's own.

    A file holds one object of the form of those in `presets.json`; in place of the memory sizes,
    `kv_cache` may give `block_size` and `num_blocks`. Raises BurstlensError naming the file and the field
    that cannot be used, or the names there are.
    """
    known = _named()
    if str(name_or_path) in known:
        return parse_preset(str(name_or_path), known[str(name_or_path)])
    path = Path(name_or_path)
    if not path.is_file():
        if path.suffix == ".json" or len(path.parts) > 1:
            raise InputError.missing_file(path)
        raise InputError(f"no preset '{name_or_path}'; there are {', '.join(known)}, or name a JSON file")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as fault:
        raise DiskError.unreadable(path, fault) from None
    except ValueError as fault:
        raise InputError.unparsable(path, f"no JSON: {fault}") from None
    return parse_preset(str(path), found)


def parse_preset(name: str, found: object) -> Preset:
    """A preset from plain values; `name` is its name or file, for messages too."""
    top = _object(
        name, "", found, ("latency", "kv_cache", "limits"), (*TEXTS, "async_scheduling", "outside_ms")
    )
    for field in TEXTS:
        if not isinstance(top.get(field), str | None) or (field == "source" and not top.get(field)):
            _wrong(name, field, "a text is needed, such as where the constants were measured")
    if not isinstance(ahead := top.get("async_scheduling", False), bool):
        _wrong(name, "async_scheduling", "true or false is needed")
    constants = _object(name, "latency", top["latency"], CONSTANTS, ("h_ms",))
    latency = StepCosts(
        **{field: _number(name, f"latency.{field}", value) for field, value in constants.items()}
    )
    if latency.a_d_ms <= 0:
        _wrong(name, "latency.a_d_ms", "must be above 0: no step takes no time")
    memory = top["kv_cache"]
    sizes: KvCache | None = None
    if isinstance(memory, Mapping) and "num_blocks" in memory:
        given = _object(name, "kv_cache", memory, ("block_size", "num_blocks"), ("bytes_per_token",))
        num_blocks = _whole(name, "kv_cache.num_blocks", given["num_blocks"])
        block_size = _whole(name, "kv_cache.block_size", given["block_size"])
        told = given.get("bytes_per_token")
        bytes_per_token = None if told is None else _whole(name, "kv_cache.bytes_per_token", told)
    else:
        fields = _object(name, "kv_cache", memory, tuple(KvCache.__slots__))
        whole = ("bytes_per_token", "block_size")
        checked: dict[str, Any] = {
            field: (_whole if field in whole else _number)(name, f"kv_cache.{field}", value)
            for field, value in fields.items()
        }
        sizes = KvCache(**checked)
        num_blocks, block_size, bytes_per_token = sizes.num_blocks, sizes.block_size, sizes.bytes_per_token
    limits = _object(name, "limits", top["limits"], LIMITS[:-1], LIMITS[-1:])
    plain: dict[str, Any] = {field: top.get(field) or "not stated" for field in TEXTS}
    for field, value in limits.items():
        if value is not None or field in LIMITS[:-1]:
            plain[field] = _whole(name, f"limits.{field}", value)
    return Preset(
        name=name,
        latency=latency,
        block_size=block_size,
        num_blocks=num_blocks,
        async_scheduling=ahead,
        outside_ms=_number(name, "outside_ms", top.get("outside_ms", 0.0)),
        bytes_per_token=bytes_per_token,
        kv_cache=sizes,
        **plain,
    )


@cache
def _named() -> dict[str, Any]:
    text = resources.files(__package__).joinpath("presets.json").read_text(encoding="utf-8")
    return dict(json.loads(text))


def _wrong(name: str, field: str, why: str) -> NoReturn:
    raise InputError(f"{name}: {field}: {why}" if field else f"{name}: {why}")


def _object(
    name: str, field: str, found: object, needed: tuple[str, ...], allowed: tuple[str, ...] = ()
) -> Mapping[str, Any]:
    """A JSON object with the needed keys and no unknown one."""
    if not isinstance(found, Mapping):
        _wrong(name, field, "a JSON object is needed")
    within = f"{field}." if field else ""
    for key in needed:
        if key not in found:
            _wrong(name, within + key, "is missing")
    for key in found:
        if key not in needed and key not in allowed:
            _wrong(name, within + str(key), f"no such field; there are {', '.join((*needed, *allowed))}")
    return found


def _number(name: str, field: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not (isfinite(value) and value >= 0):
        _wrong(name, field, f"a number of 0 or more is needed, not {json.dumps(value, default=str)}")
    return float(value)


def _whole(name: str, field: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        _wrong(name, field, f"a whole number of 1 or more is needed, not {json.dumps(value, default=str)}")
    return value
