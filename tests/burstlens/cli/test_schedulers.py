"""The verb `experiment schedulers` where a server does not do as asked: one line, what is done is stored."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from burstlens.analysis.characterize import Characterization
from burstlens.analysis.core.errors import BurstlensError
from burstlens.analysis.interchange.parameters import parameters, write_parameters
from burstlens.api.experiments.backend import BackendOptions
from burstlens.api.experiments.schedulers import run_schedulers as schedulers
from burstlens.bench.experiments.trials import read
from burstlens.bench.settings import Target
from tests.helpers import burstlens, ended, free_port
from tests.real.conftest import simulated

VOCABULARY = (10, 999)


@pytest.fixture(scope="module")
def fitted(
    synthetic_characterization: Callable[..., Characterization], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A parameter file of two days."""
    file = tmp_path_factory.mktemp("fitted") / "parameters.json"
    write_parameters(parameters(synthetic_characterization(2, 3)), file)
    return file


@pytest.mark.slow
def test_a_server_of_another_policy_is_one_line_and_exit_code_2(fitted: Path, tmp_path: Path) -> None:
    port = free_port()
    server = simulated(tmp_path, port, "fcfs")
    try:
        url = f"http://127.0.0.1:{port}"
        argv = ("experiment", "schedulers", fitted, "--url", url, "--vocabulary", "10,999")
        done = burstlens(*argv, "-q", "-o", tmp_path / "out")
    finally:
        ended(server)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert f"server {url} was not started with the scheduling policy priority" in line
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_an_endpoint_that_dies_between_runs_leaves_what_was_done(fitted: Path, tmp_path: Path) -> None:
    port = free_port()
    server = simulated(tmp_path, port)
    backend = BackendOptions(target=Target(f"http://127.0.0.1:{port}"), vocabulary=VOCABULARY)
    out = tmp_path / "out"

    def watch(step: str, _share: float) -> None:
        if step.endswith("trials") and read(out).trials.height == 2:
            os.kill(server.pid, signal.SIGKILL)
            server.wait()

    try:
        with pytest.raises(BurstlensError) as error:
            schedulers(
                str(fitted),
                out,
                range_s=43_200.0,
                requests=20,
                rate_rps=40.0,
                seeds=2,
                backend=backend,
                progress=watch,
            )
    finally:
        ended(server)
    assert "cannot connect" in str(error.value)
    assert f"2 of 12 trials are kept in {out}" in str(error.value)
    stored = read(out)
    assert stored.trials.height == 2
    assert not stored.question.finished
    assert (stored.trials["failure_rate"] == 0).all()
