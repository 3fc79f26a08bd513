"""The manifests of examples/shards: valid for their schedulers, and they start the shards of one whole."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from burstlens.cli.verbs.replay import replay

SHARDS = Path(__file__).parents[2] / "examples" / "shards"
START = "1790000000"


def job(start: str = START) -> dict[str, Any]:
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed: pip install 'burstlens[test]'")
    text = (SHARDS / "kubernetes.yaml").read_text().replace("@START_AT@", start)
    loaded: dict[str, Any] = yaml.safe_load(text)
    return loaded


def started(command: list[str], folder: Path, env: dict[str, str]) -> list[str]:
    """The words with which a sender starts burstlens; a stub of it in the path writes them down."""
    stub = folder / "bin" / "burstlens"
    stub.parent.mkdir(exist_ok=True)
    stub.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {folder}/words\n')
    stub.chmod(0o755)
    path = f"{stub.parent}:{os.environ['PATH']}"
    done = subprocess.run(command, env={"PATH": path, **env}, capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stderr
    return (folder / "words").read_text().splitlines()


def check_shards(each: list[list[str]]) -> None:
    """They are replays that the command line takes, of all shards, with one start and a folder each."""
    parameters = []
    for words in each:
        assert words[0] == "replay"
        parameters.append(replay.make_context("replay", words[1:]).params)
    of = len(parameters)
    assert [params["shard"] for params in parameters] == [f"{i}/{of}" for i in range(of)]
    assert {params["start_at"] for params in parameters} == {START}
    assert len({params["out"] for params in parameters}) == of


def test_the_job_is_valid_for_kubernetes() -> None:
    validator = pytest.importorskip(
        "kubernetes_validate", reason="kubernetes-validate is not installed: pip install 'burstlens[test]'"
    )
    version = validator.latest_version()
    validator.validate(job(), version, strict=True)
    wrong = job()
    wrong["spec"]["completionMod"] = "Indexed"
    with pytest.raises(validator.ValidationError):
        validator.validate(wrong, version, strict=True)


def test_the_job_starts_every_shard(tmp_path: Path) -> None:
    spec = job()["spec"]
    (container,) = spec["template"]["spec"]["containers"]
    env = {entry["name"]: entry["value"] for entry in container["env"]}
    assert spec["completionMode"] == "Indexed"
    assert spec["parallelism"] == spec["completions"] == int(env["SHARDS"])
    command = container["command"] + container["args"]
    check_shards([
        started(command, tmp_path, {**env, "JOB_COMPLETION_INDEX": str(i)})
        for i in range(spec["completions"])
    ])  # fmt: skip


def test_all_options_of_the_array_stand_where_sbatch_reads_them() -> None:
    script = SHARDS / "slurm.sbatch"
    checked = subprocess.run(["bash", "-n", script], capture_output=True, text=True)
    assert (checked.returncode, checked.stderr) == (0, "")
    text = script.read_text()
    assert text.startswith("#!")
    # sbatch reads its options up to the first line that is none and no comment.
    head = text[: text.index("\nset ")]
    options = re.findall(r"^#SBATCH (.*)$", text, re.MULTILINE)
    assert options == re.findall(r"^#SBATCH (.*)$", head, re.MULTILINE)
    assert options


def test_the_array_starts_every_shard(tmp_path: Path) -> None:
    script = SHARDS / "slurm.sbatch"
    first, last = re.findall(r"--array=(\d+)-(\d+)", script.read_text())[0]
    assert first == "0"
    count = int(last) + 1
    env = {"TRACE": "t.csv", "URL": "http://h:8000", "START_AT": START, "SLURM_ARRAY_TASK_COUNT": str(count)}
    check_shards([
        started(["bash", str(script)], tmp_path, {**env, "SLURM_ARRAY_TASK_ID": str(i)}) for i in range(count)
    ])  # fmt: skip
    lacking = {name: value for name, value in env.items() if name != "START_AT"}
    done = subprocess.run(
        ["bash", script], env={"PATH": os.environ["PATH"], **lacking, "SLURM_ARRAY_TASK_ID": "0"},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode != 0
    assert "START_AT" in done.stderr
