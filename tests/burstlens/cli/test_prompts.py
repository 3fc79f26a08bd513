"""Replays with prompts of text as a user types them, against a simulated endpoint in its own process."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import polars as pl
import pytest

from burstlens.bench.record.run_folder import read_manifest, read_record
from burstlens.console import Size, progress
from tests.bench.texts import pieces, random_texts, sharegpt, words
from tests.helpers import burstlens, serving

CONSTANT = "shape=1,scale=0.01,exponent=1.1"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("texts")
    sharegpt(folder / "talk.json", random_texts(300))
    words(folder / "words.json")
    (folder / "model").mkdir()
    pieces(folder / "model" / "tokenizer.json")
    return folder


@pytest.fixture(scope="module")
def url(folder: Path) -> Iterator[str]:
    with serving("--speedup", "100", "--tokenizer", folder / "model") as found:
        yield found


@pytest.mark.slow
def test_the_server_counts_the_intended_tokens_and_workers_change_nothing(
    url: str, folder: Path, tmp_path: Path
) -> None:
    texts = ("--prompts", folder / "talk.json", "--tokenizer", folder / "model", "--prompt-memory", "1MB")
    for workers in ("1", "2"):
        out = tmp_path / workers
        done = burstlens(
            "replay", CONSTANT, "--url", url, "-o", out, "--first", "60", "--workers", workers, *texts
        )
        assert done.returncode == 0, done.stderr
        record, notes = read_record(out), read_manifest(out).notes
        assert record["outcome"].to_list() == ["ok"] * 60
        intended = record["request_tokens_asked"].clip(2)  # the special token, and one of text
        assert record["request_tokens"].to_list() == intended.to_list()
        assert any(note.endswith("so that a prefix cache does not know it") for note in notes)
        assert all(note in " ".join(done.stdout.split()) for note in notes)
        prompts = read_manifest(out).settings.prompts
        assert isinstance(prompts, Mapping)
        assert prompts["text"] == "talk.json"


def test_a_chat_with_its_own_lengths_under_a_cap(url: str, folder: Path, tmp_path: Path) -> None:
    done = burstlens(
        "replay", CONSTANT, "--url", url, "-o", tmp_path / "run", "--first", "40", "--api", "chat",
        "--own-lengths", "--max-tokens", "100", "--share-prefixes",
        "--prompts", folder / "talk.json", "--tokenizer", folder / "model" / "tokenizer.json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    record = read_record(tmp_path / "run")
    assert record["request_tokens"].to_list() == record["request_tokens_asked"].to_list()
    lengths = record["response_tokens"]
    assert lengths.max() == 100
    assert lengths.n_unique() > 10  # the model's own, not the trace's
    assert record["response_tokens_asked"].to_list() == [100] * 40
    notes = " ".join(read_manifest(tmp_path / "run").notes)
    for note in ("chat template", "no prefix cache", "neither sessions nor prefix blocks"):
        assert note in notes


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "lengths"), [((), [3, 9, 40]), (("--max-tokens", "9"), [3, 9, 9]), (("--own-lengths",), None)]
)
def test_answers_are_as_long_as_the_trace_says_up_to_the_cap(
    url: str, tmp_path: Path, options: tuple[str, ...], lengths: list[int] | None
) -> None:
    log = tmp_path / "log.csv"
    log.write_text("arrival_s,request_tokens,response_tokens\n0.1,9,3\n0.2,9,9\n0.3,9,40\n")
    done = burstlens("replay", log, "--url", url, "-o", tmp_path / "run", *options)
    assert done.returncode == 0, done.stderr
    record = read_record(tmp_path / "run")
    assert record["outcome"].to_list() == ["ok"] * 3
    if lengths is not None:
        assert record["response_tokens"].to_list() == record["response_tokens_asked"].to_list() == lengths
    else:
        assert (record["response_tokens"] <= pl.Series([3, 9, 40])).all()


def test_prefix_blocks_of_a_trace_are_sent_as_text(url: str, folder: Path, tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    rows = [{"timestamp": 10 * i, "input_length": 1500, "output_length": 2, "hash_ids": [1, 2, 3 + i]}
            for i in range(10)]  # fmt: skip
    log.write_text("\n".join(json.dumps(row) for row in rows))
    done = burstlens("replay", log, "--url", url, "-o", tmp_path / "run", "--share-prefixes",
                     "--prompts", folder / "talk.json", "--tokenizer", folder / "model")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert read_record(tmp_path / "run")["request_tokens"].to_list() == [1500] * 10
    assert pl.read_parquet(tmp_path / "run" / "workload.parquet")["prefix"][9].to_list() == [1, 2, 12]


@pytest.mark.slow
def test_a_server_that_counts_words_is_noted_and_calibrated_against(folder: Path, tmp_path: Path) -> None:
    with serving("--speedup", "20") as url:
        texts = ("--prompts", folder / "talk.json", "--tokenizer", folder / "model")
        done = burstlens("replay", CONSTANT, "--url", url, "-o", tmp_path / "run", "--first", "5", *texts)
        assert done.returncode == 0, done.stderr
        assert "counts a prompt's words, not its tokens" in " ".join(done.stdout.split())
        done = burstlens(
            "calibrate",
            CONSTANT,
            "--url",
            url,
            "--first",
            "60",
            "--rate",
            "12",
            "--trials",
            "1",
            "--json",
            *texts,
        )
        assert done.returncode == 0, done.stderr
        assert len(json.loads(done.stdout)["trials"]) == 1


def test_resuming_with_other_prompts_is_refused(url: str, folder: Path, tmp_path: Path) -> None:
    arguments = ("replay", CONSTANT, "--url", url, "-o", tmp_path / "run", "--first", "5")
    assert burstlens(*arguments).returncode == 0
    done = burstlens(
        *arguments, "--resume", "--prompts", folder / "talk.json", "--tokenizer", folder / "model"
    )
    assert done.returncode == 2
    assert "has another kind of prompts" in done.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--prompts", "none.json", "--tokenizer", "words.json"], "none.json: no such file"),
        (
            ["--prompts", "broken.json", "--tokenizer", "words.json"],
            "broken.json, line 1, column 2: is not JSON",
        ),
        (["--prompts", "talk.json", "--tokenizer", "none.json"], "none.json: no such file"),
        (["--prompts", "talk.json", "--tokenizer", "talk.json"], "talk.json: is not a tokenizer.json"),
        (["--prompts", "talk.json"], "--prompts: needs the served model's tokenizer.json"),
        (["--tokenizer", "words.json"], "--tokenizer: is for prompts of text"),
        (["--prompt-memory", "1MB"], "--prompt-memory: is for prompts of text"),
        (
            ["--prompts", "talk.json", "--tokenizer", "words.json", "--vocabulary", "1,9"],
            "--vocabulary: is for",
        ),
        (["--prompts", "talk.json", "--tokenizer", "words.json", "--prompt-memory", "1kB"], "are too few"),
        (
            ["--prompts", "talk.json", "--tokenizer", "words.json", "--prompt-memory", "lots"],
            "is not a size; write",
        ),
        (["--api", "chat"], "--api chat: needs prompts of text"),
    ],
)
def test_bad_input_is_one_line(
    options: list[str], message: str, folder: Path, tmp_path: Path, url: str
) -> None:
    (folder / "broken.json").write_text("[}")
    files = [str(folder / each) if each.endswith(".json") else each for each in options]
    done = burstlens("replay", CONSTANT, "--url", url, "-o", tmp_path / "run", "--first", "5", *files)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1 or "Usage" in done.stderr
    assert not (tmp_path / "run").exists()


def test_virtual_time_reads_no_prompts_and_notes_that_sharing_saves_nothing(
    folder: Path, tmp_path: Path
) -> None:
    virtual = ("replay", CONSTANT, "--simulate", "llama-2-13b-a100", "--first", "5", "-o", tmp_path / "run")
    done = burstlens(*virtual, "--prompts", folder / "talk.json", "--tokenizer", folder / "words.json")
    assert done.returncode == 2
    assert "virtual time reads the length of a prompt, not its text" in done.stderr
    done = burstlens(*virtual, "--share-prefixes")
    assert "note: the simulated engine has no prefix cache" in done.stdout
    assert burstlens("report", tmp_path / "run", "--no-images").returncode == 0
    assert "the simulated engine has no prefix cache" in (tmp_path / "run" / "index.html").read_text()


def test_a_server_that_is_not_there_is_named_before_a_file_is_counted(folder: Path, tmp_path: Path) -> None:
    (folder / "broken.json").write_text("[}")
    done = burstlens(
        "replay", CONSTANT, "--url", "http://127.0.0.1:9", "-o", tmp_path / "run", "--first", "5",
        "--prompts", folder / "broken.json", "--tokenizer", folder / "words.json",
    )  # fmt: skip
    assert done.returncode == 2
    assert "cannot connect" in done.stderr


@pytest.mark.slow
def test_without_the_package_one_line_says_how_to_get_it(folder: Path, tmp_path: Path, url: str) -> None:
    code = "import sys; sys.modules['tokenizers'] = None; from burstlens.cli import main; main()"
    argv = ["replay", CONSTANT, "--url", url, "-o", tmp_path / "run", "--first", "5",
            "--prompts", folder / "talk.json", "--tokenizer", folder / "words.json"]  # fmt: skip
    done = subprocess.run([sys.executable, "-c", code, *map(str, argv)], capture_output=True, text=True)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.endswith("needs the tokenizers package; install it with: pip install 'burstlens[text]'")


@pytest.mark.slow
def test_a_replay_of_token_ids_loads_no_tokenizers_and_no_drawing(url: str, tmp_path: Path) -> None:
    code = (
        "import sys, atexit\n"
        "heavy = ('tokenizers', 'altair', 'statsmodels')\n"
        "atexit.register(lambda: print([m for m in heavy if m in sys.modules]))\n"
        "from burstlens.cli import main; main()"
    )
    argv = ["replay", CONSTANT, "--url", url, "-o", tmp_path / "run", "--first", "5"]
    done = subprocess.run([sys.executable, "-c", code, *map(str, argv)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("text", "size"),
    [("256MB", 256_000_000), ("1.5GiB", 3 * 2**29), ("64 kb", 64_000), ("7", 7), ("2g", 2 * 10**9)],
)
def test_a_size_is_a_number_with_a_unit(text: str, size: int) -> None:
    assert Size().convert(text, None, None) == size


def test_a_long_step_is_shown_by_tenths_once_it_has_taken_a_while(capsys: pytest.CaptureFixture[str]) -> None:
    now = iter([0.0, 1.0, 2.5, 3.0, 3.5])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("burstlens.console.time.monotonic", lambda: next(now))
        with progress() as show:
            for share in (0.1, 0.4, 0.45, 0.9):
                show("counting tokens", share)
    assert capsys.readouterr().err == "[ 40%] counting tokens\n[ 90%] counting tokens\n"
