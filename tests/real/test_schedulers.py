"""A real vLLM and the simulated engine react to priorities alike and order the policies alike."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from burstlens.bench.experiments.backends import EndpointBackend, VirtualBackend
from burstlens.bench.experiments.schedulers import LRF, SRF, ranked
from burstlens.bench.server.priority_probe import serves_by_priority
from burstlens.bench.settings import Settings, Target
from burstlens.bench.simulated.presets import parse_preset
from tests.bench.simulated.loads import workload
from tests.helpers import ended, free_port
from tests.real.conftest import LENGTH, PROFILE, REAL, real, simulated

VOCABULARY = (10, 999)
SEQS = 2
"""Few at a time, so that the queue is in the server's scheduler and not in front of it."""
PROMPTS = [100, 1500, 400, 50, 2500, 900, 200, 2000, 300, 1200] * 4


@pytest.fixture(scope="module", params=["fcfs", "priority"])
def started_with(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, str]]:
    """URL of a real server, and the policy that it was started with."""
    if not REAL.exists():
        pytest.skip("no real vLLM: make vllm builds one for the CPU in .venv-vllm")
    port = free_port()
    process = real(tmp_path_factory.mktemp(request.param), port, request.param, SEQS)
    try:
        yield f"http://127.0.0.1:{port}", request.param
    finally:
        ended(process)


@pytest.mark.real
def test_the_policy_of_a_real_server_is_found_out(started_with: tuple[str, str]) -> None:
    """Under fcfs vLLM answers 200 to a priority and passes over it, so only the order of answers tells."""
    url, policy = started_with
    assert serves_by_priority(Target(url, "tiny"), VOCABULARY, LENGTH) is (policy == "priority")


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["fcfs", "priority"])
def test_the_simulated_endpoint_reacts_the_same(policy: str, tmp_path: Path) -> None:
    port = free_port()
    process = simulated(tmp_path, port, policy)
    try:
        url = f"http://127.0.0.1:{port}"
        assert serves_by_priority(Target(url, "tiny"), VOCABULARY, LENGTH) is (policy == "priority")
    finally:
        ended(process)


@pytest.mark.real
def test_shortest_first_waits_less_than_longest_first_on_both(
    started_with: tuple[str, str], tmp_path: Path
) -> None:
    url, policy = started_with
    if policy == "fcfs":
        pytest.skip("priorities are passed over there")
    # Answers as long as the prompts make long requests slow ones, also for a model as small as this.
    load = workload([0.0] * len(PROMPTS), PROMPTS, [tokens // 20 for tokens in PROMPTS])
    preset = parse_preset("tiny", PROFILE).limited(max_num_seqs=SEQS)
    for engine in (
        EndpointBackend(Target(url, "tiny"), Settings(), VOCABULARY),
        VirtualBackend(preset, scheduling="priority"),
    ):
        waits = [
            engine.serve(ranked(load, p), tmp_path / type(engine).__name__ / p, course=False).values["ttft_s"]
            for p in (SRF, LRF)
        ]
        assert waits[0] is not None
        assert waits[1] is not None
        assert waits[0] < waits[1], engine.title
