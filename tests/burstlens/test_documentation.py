"""What is documented exists and runs, and what exists is documented."""

from __future__ import annotations

import inspect
import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import duckdb
import pytest
from click.testing import CliRunner

import burstlens as bl
from burstlens.analysis.logs.formats import declared
from burstlens.analysis.trace.trace import COLUMNS
from burstlens.bench.simulated.presets import load_preset, parse_preset
from burstlens.cli import cli
from burstlens.reports.figures.registry import figures_of

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
TEXT = {page: page.read_text(encoding="utf-8") for page in PAGES}
FUNCTIONS = [name for name in bl.__all__ if inspect.isfunction(getattr(bl, name))]
QUICK = ("completion", "describe", "fit", "ingest", "synth")
"""Verbs whose documented commands are run; those of the others are parsed, down to every option's value.

They need a server, a GPU or minutes, and their own tests run them.
"""


def commands() -> Iterator[tuple[str, str]]:
    """Every command in a console or sh block, without comments, prompts and what was printed."""
    for page, text in TEXT.items():
        for block in re.findall(r"```(?:console|sh)\n(.*?)```", text, re.DOTALL):
            for line in block.replace("\\\n", " ").splitlines():
                told = line.split("  #")[0].strip().removeprefix("$ ").removeprefix(".venv/bin/")
                if told.startswith(("burstlens ", "make ")):
                    yield page.name, told


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, day: Path) -> Path:
    """A folder in which every log that a page names is a small synthetic one."""
    monkeypatch.chdir(tmp_path)
    for name in set(re.findall(r"\b[\w-]+\.(?:csv\.gz|csv|parquet|jsonl?)\b", " ".join(TEXT.values()))):
        (tmp_path / name).write_bytes(day.read_bytes())
    return tmp_path


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six synthetic hours in BurstGPT's layout."""
    path = tmp_path_factory.mktemp("day") / "synthetic.csv"
    bl.synth(path, days=0.25, seed=7).close()
    return path


def adapted(words: list[str], folder: Path) -> list[str]:
    """The command as a test runs it: fewer days, and a log of one's own that has the columns it names."""
    if "--days" in words:
        words[words.index("--days") + 1] = "0.25"
    if "--columns" in words:
        mapping = dict(pair.split("=") for pair in words[words.index("--columns") + 1].split(","))
        log = next(word for word in words[1:] if (folder / word).is_file())
        rows = [",".join(mapping.values()), *(f"{i},{100 + i},{i % 50}" for i in range(200))]
        if ".json" in log:
            names = list(mapping.values())
            text = "\n".join(f'{{"{names[0]}": {i}, "{names[1]}": {100 + i}, "{names[2]}": {i % 50}}}'
                             for i in range(200))  # fmt: skip
        else:
            text = "\n".join(rows)
        if log.endswith(".gz"):
            import gzip

            (folder / log).write_bytes(gzip.compress(text.encode()))
        else:
            (folder / log).write_text(text + "\n")
    return words


@pytest.mark.parametrize(("page", "command"), sorted(set(commands())))
def test_a_documented_command_runs(page: str, command: str, files: Path) -> None:
    program, *words = shlex.split(command)
    if program == "make":
        done = subprocess.run(["make", "-n", "-C", str(ROOT), *words], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return
    verb, *rest = words
    known = cli.commands.get(verb)
    assert known is not None, f"{page}: there is no burstlens {verb}"
    words = adapted([verb, *rest], files)
    # Spark needs Java and an extra; tests/spark runs these verbs on it.
    if verb in QUICK and "spark" not in words:
        result = CliRunner().invoke(cli, words, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return
    _parse(known, words[1:])


def _parse(command: click.Command, words: list[str]) -> None:
    """Check verbs below, options and values as the command line does, and call nothing."""
    if isinstance(command, click.Group) and words[0] in command.commands:
        _parse(command.commands[words[0]], words[1:])
    else:
        command.make_context(command.name, list(words))


@pytest.mark.parametrize("verb", sorted(cli.commands))
def test_a_command_is_documented(verb: str) -> None:
    command = cli.commands[verb]
    assert command.help, f"burstlens {verb} --help says nothing"
    assert "Example" in (command.epilog or "") + command.help, f"burstlens {verb} --help has no example"
    row = rf"^\| `burstlens {verb}[ `]"
    assert re.search(row, TEXT[ROOT / "README.md"], re.MULTILINE), f"README: no row for burstlens {verb}"
    for option in command.params:
        if isinstance(option, click.Option) and not option.hidden and not option.help:
            # Words that say themselves: --port 8000.
            assert option.show_default or option.type.name != "text", f"{verb} {option.name}: no help"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_public_function_is_documented(name: str) -> None:
    assert len((inspect.getdoc(getattr(bl, name)) or "").splitlines()) > 1
    assert f"`bl.{name}(" in TEXT[ROOT / "docs" / "reference" / "python.md"], (
        f"docs/reference/python.md: no row for bl.{name}"
    )


def test_every_link_between_pages_has_a_target() -> None:
    for page, text in TEXT.items():
        for link in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
            if not link.startswith("http"):
                assert (page.parent / link).exists(), f"{page.name}: {link}"


def test_every_log_format_is_documented() -> None:
    told = TEXT[ROOT / "docs" / "reference" / "formats.md"]
    formats = [file.stem for file in (ROOT / "queries" / "sql" / "ingest").glob("*.sql")]
    assert len(formats) > 5
    assert [name for name in formats if f"`{name}`" not in told] == []


def test_every_figure_is_documented(day: Path) -> None:
    said: Any = bl.report([day], day.parent / "page", images=False).characterizations[0]
    told = TEXT[ROOT / "docs" / "reference" / "figures.md"]
    names = [f"{part.name}-{figure.name}" for part in said.parts for figure in figures_of(part)]
    assert len(names) > 10
    assert [name for name in names if f"`{name}`" not in told] == []


def test_the_picture_in_the_readme_says_that_it_is_synthetic() -> None:
    picture = (ROOT / "docs" / "shape.svg").read_text(encoding="utf-8")
    assert "SYNTHETIC TRACE" in picture


def test_the_format_that_the_pages_teach_is_one() -> None:
    (sql,) = re.findall(r"```sql\n(.*?)```", TEXT[ROOT / "docs" / "how-to" / "extending.md"], re.DOTALL)
    mine = declared("mine", sql)
    assert mine.title == "My gateway"
    assert [column.name for column in mine.columns] == ["when", "in", "out"]
    with duckdb.connect() as engine:
        engine.execute('CREATE TABLE log AS SELECT 1.5 AS "when", 10.0 AS "in", 0.0 AS "out"')
        answer = engine.execute(mine.sql)
        assert [column[0] for column in answer.description] == list(COLUMNS)
        assert answer.fetchall() == [(1.5, "api", None, None, 10.0, 0.0, None, True)]


def test_the_profile_that_the_pages_show_is_one() -> None:
    (text,) = re.findall(r"```json\n(.*?)```", TEXT[ROOT / "docs" / "how-to" / "gpu.md"], re.DOTALL)
    mine, measured = parse_preset("mine", json.loads(text)), load_preset("llama-2-13b-h100-vllm")
    assert mine.num_blocks == measured.num_blocks
    assert mine.latency.b_ms == pytest.approx(measured.latency.b_ms, rel=0.02)
