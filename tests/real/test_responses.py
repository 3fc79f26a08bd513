"""A served model's own response lengths: of a model that has learnt to answer, not of dummy weights."""

from __future__ import annotations

import json
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from burstlens import text_prompts
from burstlens.analysis.core.errors import BurstlensError
from burstlens.analysis.synthetic.trace import write_synthetic
from burstlens.api.experiments.responses import run_responses
from burstlens.bench.experiments import responses
from burstlens.bench.experiments.findings import findings
from burstlens.bench.experiments.genuine import PASSAGES
from tests.helpers import ROOT, ended, free_port
from tests.real.conftest import REAL, vllm

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def learnt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny model with real weights."""
    if not REAL.exists():
        pytest.skip("no real vLLM: make vllm builds one for the CPU in .venv-vllm")
    folder = tmp_path_factory.mktemp("learnt") / "model"
    subprocess.run([REAL, ROOT / "tests" / "real" / "train_model.py", folder, *PASSAGES], check=True)
    return folder


@pytest.fixture(scope="module")
def server(learnt: Path) -> Iterator[str]:
    port = free_port()
    process = vllm(learnt, port, learnt.parent / "learnt.log")
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        ended(process)


@pytest.fixture(scope="module")
def dummy(learnt: Path) -> Iterator[str]:
    """The same model and tokenizer without its weights."""
    port = free_port()
    process = vllm(learnt, port, learnt.parent / "dummy.log", "--load-format", "dummy")
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        ended(process)


@pytest.fixture(scope="module")
def texts(learnt: Path) -> Path:
    """Texts of the words that the model knows, in ShareGPT's form."""
    source = random.Random(3)
    words = [word for passage in PASSAGES for word in passage.split()]
    prompts = [" ".join(source.choice(words) for _ in range(source.randint(2, 300))) for _ in range(600)]
    path = learnt.parent / "sharegpt.json"
    path.write_text(json.dumps([{"conversations": [{"from": "human", "value": text}]} for text in prompts]))
    return path


@pytest.fixture(scope="module")
def log(learnt: Path) -> str:
    path = learnt.parent / "synthetic.csv"
    write_synthetic(path, days=2, seed=1)
    return str(path)


def test_a_learnt_model_answers_at_lengths_of_its_own(
    server: str, learnt: Path, texts: Path, log: str, tmp_path: Path
) -> None:
    prompts = text_prompts(texts, learnt)
    done = run_responses(
        log,
        tmp_path,
        url=server,
        prompts=prompts,
        requests=150,
        rate_rps=20.0,
        max_tokens=256,
        timeout_s=120.0,
    )
    found = findings(done)
    answers, lengths = found.parts
    assert isinstance(answers, responses.Answers)
    trace, model = answers.sides.to_dicts()
    assert trace["n"] == model["n"] > 140
    # It was taught to end within 31 tokens of its own accord after short prompts; nothing forced a length.
    assert model["p50"] < 256
    assert model["at_cap"] < 0.5
    assert answers.difference.value == pytest.approx(model["mean"] - trace["mean"])
    assert {"trace", "served model"} <= set(lengths.tables()["quantiles"]["selection"])
    assert any("likelier than shuffled" in note for note in done.question.notes)
    statements = found.claims[0].statements
    assert statements is not None
    shorter, grows, _ = statements.values()
    assert shorter in (None, model["mean"] > trace["mean"])
    assert grows is True, "the synthetic trace's responses grow with the request"
    assert found.claims[0].verdict in ("agrees", "partly")


def test_dummy_weights_are_found_out(dummy: str, learnt: Path, texts: Path, log: str, tmp_path: Path) -> None:
    with pytest.raises(BurstlensError, match="dummy weights"):
        run_responses(log, tmp_path / "out", url=dummy, prompts=text_prompts(texts, learnt), requests=20)
    assert not (tmp_path / "out").exists()
