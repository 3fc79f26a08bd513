"""The Slurm array of examples/shards on a real Slurm: a controller and one node of their own on loopback."""

from __future__ import annotations

import getpass
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from burstlens.bench.record.run_folder import read_record
from tests.helpers import burstlens, ended, free_port, serving

SCRIPT = Path(__file__).parents[2] / "examples" / "shards" / "slurm.sbatch"
UP_S, RUN_S, ASK_S = 60, 300, 0.5
"""How long a cluster may take to come up, an array to end, and how often each is asked."""
CONF = """\
ClusterName=burstlens
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={node}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/none
CredType=cred/none
MpiDefault=none
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/controller.pid
SlurmdPidFile={folder}/node.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SchedulerParameters=batch_sched_delay=0
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
NodeName={host} NodeAddr=127.0.0.1 CPUs=8 RealMemory=8192
PartitionName=all Nodes=ALL Default=YES MaxTime=10:00:00 State=UP
"""
"""One node said to be large enough for the four senders, on whatever machine this is."""

Cluster = dict[str, str]
"""The environment in which Slurm's commands speak to it."""


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster that takes jobs; skips, saying so, without Slurm or where it does not start."""
    missing = [name for name in ("slurmctld", "slurmd", "sbatch", "sinfo") if shutil.which(name) is None]
    if missing:
        pytest.skip(f"no {', '.join(missing)} here: apt-get install slurmctld slurmd slurm-client")
    folder = tmp_path_factory.mktemp("slurm")
    for name in ("state", "spool"):
        (folder / name).mkdir()
    host = socket.gethostname().split(".")[0]
    conf = folder / "slurm.conf"
    conf.write_text(
        CONF.format(
            host=host, controller=free_port(), node=free_port(), user=getpass.getuser(), folder=folder
        )
    )
    env = {**os.environ, "SLURM_CONF": str(conf)}
    daemons: list[subprocess.Popen[str]] = []
    try:
        for command in (["slurmctld", "-D"], ["slurmd", "-D", "-N", host]):
            with (folder / f"{command[0]}.log").open("w") as log:
                daemons.append(
                    subprocess.Popen(
                        command, env=env, stdout=log, stderr=log, text=True, start_new_session=True
                    )
                )
        deadline_s = time.monotonic() + UP_S
        while run_command(env, "sinfo", "-h", "-o", "%T") != "idle":
            dead = [one for one in daemons if one.poll() is not None]
            if dead or time.monotonic() > deadline_s:
                logs = [log.read_text().splitlines()[-2:] for log in sorted(folder.glob("*.log"))]
                pytest.skip(f"Slurm is here and did not start: {logs}")
            time.sleep(ASK_S)
        yield env
    finally:
        for daemon in daemons:
            ended(daemon)


def run_command(env: Cluster, *command: str) -> str:
    """What a command of Slurm prints, or nothing while its controller does not answer."""
    return subprocess.run(command, env=env, capture_output=True, text=True).stdout.strip()


def judged(env: Cluster, script: Path) -> subprocess.CompletedProcess[str]:
    """What Slurm says of a script without starting it."""
    return subprocess.run(["sbatch", "--test-only", script], env=env, capture_output=True, text=True)


def test_the_array_is_valid_for_slurm(slurm: Cluster, tmp_path: Path) -> None:
    valid = judged(slurm, SCRIPT)
    assert valid.returncode == 0, valid.stderr
    assert "to start at" in valid.stderr
    wrong = tmp_path / "wrong.sbatch"
    for option, other in (("--array=0-3", "--array=0-x"), ("--mem=2G", "--mem=2Q"), ("--no-re", "--not-re")):
        text = SCRIPT.read_text()
        assert option in text
        wrong.write_text(text.replace(option, other))
        assert judged(slurm, wrong).returncode != 0, other


@pytest.mark.slow
def test_an_array_sends_the_whole_load_once(slurm: Cluster, tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    rows = (f"{0.01 * i:.2f},{5 + i % 7},{3 + i % 5}\n" for i in range(300))
    log.write_text("arrival_s,request_tokens,response_tokens\n" + "".join(rows))
    began = time.monotonic()
    assert (
        burstlens("replay", log, "--simulate", "llama-2-13b-a100", "-o", tmp_path / "alone").returncode == 0
    )
    with serving("--speedup", 10) as url:
        alone_s = time.monotonic() - began
        submitted = subprocess.run(
            ["sbatch", "--parsable", SCRIPT], cwd=tmp_path, capture_output=True, text=True,
            env={
                **slurm, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
                "TRACE": str(log), "URL": url, "START_AT": str(time.time() + 8 + 4 * alone_s),
            },
        )  # fmt: skip
        assert submitted.returncode == 0, submitted.stderr
        deadline_s = time.monotonic() + RUN_S
        while run_command(slurm, "squeue", "-h", "-j", submitted.stdout.strip()):
            assert time.monotonic() < deadline_s, run_command(slurm, "squeue")
            time.sleep(ASK_S)
    output = "\n".join(path.read_text() for path in sorted(tmp_path.glob("burstlens-*.log")))
    folders = [tmp_path / f"run-{i}" for i in range(4)]
    completed = burstlens("ingest", *folders, "-o", tmp_path / "whole.parquet", "--json")
    assert completed.returncode == 0, f"{completed.stderr}\n{output}"
    load = json.loads(completed.stdout)["load"]
    assert (load["requests"], load["shards"]) == (300, 4)
    columns = ["request_id", "intended_s", "request_tokens", "response_tokens"]
    sent = pl.concat([read_record(folder).select(columns) for folder in folders]).sort("request_id")
    assert sent.equals(read_record(tmp_path / "alone").select(columns).sort("request_id"))
