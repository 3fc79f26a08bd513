"""Presets: those there are, and what a file of one's own may get wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from burstlens.analysis.core.errors import BurstlensError
from burstlens.bench.simulated.presets import load_preset, preset_names

OWN: dict[str, Any] = {
    "model": "m",
    "gpu": "g",
    "source": "measured here",
    "latency": {"a_p_ms": 1, "b_ms": 0.1, "c_ms": 0, "a_d_ms": 2, "d_us": 0.5, "e_us": 0},
    "kv_cache": {"block_size": 16, "num_blocks": 100},
    "limits": {"max_num_seqs": 8, "max_num_batched_tokens": 64, "max_model_len": 1000},
}


@pytest.mark.parametrize("name", preset_names())
def test_every_named_preset_says_where_it_comes_from(name: str) -> None:
    preset = load_preset(name)
    assert preset.name == name
    assert len(preset.source) > 20
    sizes = preset.kv_cache
    if sizes is None:
        # The blocks were read from a server, which had what it had.
        assert "measured" in preset.source
        return
    left_gb = sizes.gpu_gb * sizes.utilization - sizes.weights_gb - sizes.activations_gb
    used_gb = preset.num_blocks * 16 * sizes.bytes_per_token / 1e9
    assert left_gb - 0.02 < used_gb <= left_gb


def test_the_paper_model_has_room_for_sixty_thousand_tokens() -> None:
    preset = load_preset("llama-2-13b-a100")
    assert preset.num_blocks == 3745
    assert preset.kv_cache is not None
    assert preset.kv_cache.bytes_per_token == 2 * 40 * 40 * 128 * 2


def test_a_profile_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "own.json"
    path.write_text(json.dumps(OWN))
    preset = load_preset(path)
    assert preset.bytes_per_token is None
    assert (preset.num_blocks, preset.latency.d_us, preset.max_num_queued_reqs) == (100, 0.5, None)
    assert preset.name == str(path)


@pytest.mark.parametrize(
    ("where", "value", "words"),
    [
        (("latency", "b_ms"), None, "latency.b_ms: is missing"),
        (("latency", "b_ms"), "fast", 'latency.b_ms: a number of 0 or more is needed, not "fast"'),
        (("latency", "b_ms"), -1, "latency.b_ms: a number of 0 or more"),
        (("latency", "f_ms"), 1, "latency.f_ms: no such field; there are a_p_ms"),
        (("latency", "a_d_ms"), 0, "latency.a_d_ms: a number above 0 is needed, not 0"),
        (("latency", "h_ms"), -1, "latency.h_ms: a number of 0 or more"),
        (("outside_ms",), -1, "outside_ms: a number of 0 or more"),
        (("async_scheduling",), "yes", "async_scheduling: true or false is needed"),
        (("kv_cache", "bytes_per_token"), 0, "kv_cache.bytes_per_token: a whole number of 1 or more"),
        (("kv_cache", "block_size"), 1.5, "kv_cache.block_size: a whole number of 1 or more is needed"),
        (("kv_cache", "num_blocks"), 5, "num_blocks: 5 KV blocks of 16 tokens are too few for a request"),
        (("limits", "max_num_batched_tokens"), 4, "max_num_batched_tokens: 4 is less than max_num_seqs 8"),
        (("limits", "max_num_queued_reqs"), 0, "limits.max_num_queued_reqs: a whole number"),
        (("limits",), [], "limits: a JSON object is needed"),
        (("source",), None, "source: a text is needed"),
        (("model",), 3, "model: a text is needed"),
    ],
)
def test_a_wrong_profile_is_told_by_file_and_field(
    tmp_path: Path, where: tuple[str, ...], value: object, words: str
) -> None:
    wrong = json.loads(json.dumps(OWN))
    inner = wrong
    for key in where[:-1]:
        inner = inner[key]
    if value is None:
        del inner[where[-1]]
    else:
        inner[where[-1]] = value
    path = tmp_path / "own.json"
    path.write_text(json.dumps(wrong))
    with pytest.raises(BurstlensError) as raised:
        load_preset(path)
    assert str(raised.value).startswith(f"{path}: {words}")
    assert "\n" not in str(raised.value)


def test_a_file_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text("{")
    for name, words in [
        ("gpt-9", "no preset 'gpt-9'; name a JSON file, or one of: llama-2-7b-a100"),
        (tmp_path / "none.json", "no such file"),
        (tmp_path / "bad.json", "not JSON"),
    ]:
        with pytest.raises(BurstlensError, match=words):
            load_preset(name)


def test_limits_are_checked_like_those_of_a_file() -> None:
    preset = load_preset("opt-13b-a100")
    assert preset.limited(max_num_queued_reqs=5, max_num_seqs=None).max_num_queued_reqs == 5
    assert preset.limited(num_blocks=200).kv_cache is None
    with pytest.raises(BurstlensError, match="max_num_seqs: a whole number"):
        preset.limited(max_num_seqs=0)
    with pytest.raises(BurstlensError, match="num_blocks: 10 KV blocks"):
        preset.limited(num_blocks=10)
