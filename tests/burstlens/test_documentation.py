"""What is documented exists and runs, and what exists is documented."""

from __future__ import annotations

import importlib.util
import inspect
import json
import re
import shlex
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import duckdb
import pytest
from click.testing import CliRunner

import burstlens as bl
from burstlens.analysis.logs.formats.declaration import parse_format
from burstlens.analysis.trace.trace import COLUMNS
from burstlens.bench.simulated.presets import load_preset, parse_preset
from burstlens.cli.commands import cli
from burstlens.cli.options import Columns
from burstlens.reports.figures.registry import figures_of
from burstlens.reports.pages.glossary import glossary

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
TEXT = {page: page.read_text(encoding="utf-8") for page in PAGES}
FUNCTIONS = [name for name in bl.__all__ if inspect.isfunction(getattr(bl, name))]
QUICK = ("completion", "describe", "fit", "ingest", "synth")
"""Verbs whose documented commands are run; those of the others are parsed, down to every option's value.

They need a server, a GPU or minutes, and their own tests run them.
"""


def _generate() -> ModuleType:
    """The module that makes pages, which no package holds."""
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GENERATE = _generate()


def commands_of(text: str) -> Iterator[str]:
    """Every command in a console or sh block, without comments, prompts and what was printed."""
    for block in re.findall(r"```(?:console|sh)\n(.*?)```", text, re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            command = line.split("  #")[0].strip().removeprefix("$ ").removeprefix(".venv/bin/")
            if command.startswith(("burstlens ", "make ")):
                yield command


def commands() -> Iterator[tuple[str, str]]:
    """The commands of every page, with the page's name."""
    for page, text in TEXT.items():
        for command in commands_of(text):
            yield page.name, command


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


def value_of(key: str, column: str, i: int) -> object:
    """A made-up value of a trace column; one that fits the rule if it is one for failures."""
    if key == "failed":
        good, bad = (
            (200, 429) if ">=" in column else ("success", "failure") if "=" in column else ("", "timeout")
        )
        return bad if i % 9 == 0 else good
    return {"arrival": i, "ended": i, "start": i, "end": i + 1}.get(key, 100 + i % 50)


def nested(row: dict[str, object]) -> dict[str, object]:
    """Names with dots as objects in objects."""
    result: dict[str, Any] = {}
    for name, value in row.items():
        at = result
        *outer, last = name.split(".")
        for each in outer:
            at = at.setdefault(each, {})
        at[last] = value
    return result


def adapted(words: list[str], folder: Path) -> list[str]:
    """The command as a test runs it: fewer days, and a log of one's own that has the columns it names."""
    if "--days" in words:
        words[words.index("--days") + 1] = "0.25"
    if "--columns" in words:
        mapping = Columns().convert(words[words.index("--columns") + 1], None, None)
        log = next(word for word in words[1:] if (folder / word).is_file())
        rows = [
            {re.split("[!<>=]", column)[0]: value_of(key, column, i) for key, column in mapping.items()}
            for i in range(200)
        ]
        if ".json" in log:
            text = "\n".join(json.dumps(nested(row)) for row in rows)
        else:
            text = "\n".join([",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)])
        if log.endswith(".gz"):
            import gzip

            (folder / log).write_bytes(gzip.compress(text.encode()))
        else:
            (folder / log).write_text(text + "\n")
    return words


@pytest.mark.slow
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
    if any(word.startswith("postgresql:") for word in rest):
        _parse(known, rest)
        return
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
    generated = {ROOT / "docs" / path for path in GENERATE.GENERATED}
    for page, text in TEXT.items():
        for link in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
            target = (page.parent / link).resolve()
            if not link.startswith("http") and target not in generated:
                assert target.exists(), f"{page.name}: {link}"


def test_every_log_format_is_documented() -> None:
    page = TEXT[ROOT / "docs" / "reference" / "formats.md"]
    formats = [file.stem for file in (ROOT / "queries" / "sql" / "ingest").glob("*.sql")]
    assert len(formats) > 5
    assert [name for name in formats if f"`{name}`" not in page] == []


@pytest.mark.slow
def test_every_figure_is_documented(day: Path) -> None:
    (characterization,) = bl.report([day], day.parent / "page", images=False).characterizations
    page = TEXT[ROOT / "docs" / "reference" / "figures.md"]
    names = [f"{part.name}-{figure.name}" for part in characterization.parts for figure in figures_of(part)]
    assert len(names) > 10
    assert [name for name in names if f"`{name}`" not in page] == []


def test_the_picture_in_the_readme_says_that_it_is_synthetic() -> None:
    picture = (ROOT / "docs" / "shape.svg").read_text(encoding="utf-8")
    assert "SYNTHETIC TRACE" in picture


def test_the_format_that_the_pages_teach_is_one() -> None:
    (sql,) = re.findall(r"```sql\n(.*?)```", TEXT[ROOT / "docs" / "how-to" / "extending.md"], re.DOTALL)
    mine = parse_format("mine", sql)
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


@pytest.mark.slow
def test_the_commands_of_the_tutorial_run_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    documented = list(commands_of(TEXT[ROOT / "docs" / "tutorial.md"]))
    assert len(documented) >= 10
    with bl.simulated_server("llama-2-13b-a100", speedup=20.0) as server:
        for command in documented:
            words = shlex.split(command.replace("http://127.0.0.1:8000", server))
            if words[1] != "serve":
                result = CliRunner().invoke(cli, words[1:], catch_exceptions=False)
                assert result.exit_code == 0, f"{command}: {result.output}"
    assert (tmp_path / "page" / "index.html").is_file()
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["requests"]["answered"] == 100


def test_the_page_of_commands_has_every_option() -> None:
    page = GENERATE.commands_page()
    for name, command in cli.commands.items():
        section = page.split(f"\n## `burstlens {name}`\n")[1].split("\n## ")[0]
        for option in command.params:
            if isinstance(option, click.Option) and not option.hidden:
                assert option.opts[-1] in section, f"{name}: {option.opts}"


def test_the_glossary_has_every_term_of_the_page() -> None:
    page = GENERATE.glossary_page()
    assert len(glossary()) > 20
    for term, meaning in glossary().items():
        assert f"### {term}\n\n{meaning}\n" in page


def test_the_page_of_methods_has_every_part_of_a_report() -> None:
    page = GENERATE.methods_page()
    assert {"## Arrivals", "## Burstiness", "## Lengths", "## Load", "## Forecast"} <= set(page.splitlines())
    assert page.count("<math") == page.count("</math>") > 30


def test_a_link_that_leaves_the_documentation_becomes_text() -> None:
    inside = GENERATE.inside("[a](../../bench/a.py) [b](../tutorial.md#x) [c](d.md)", "how-to/page.md")
    assert inside == "a [b](../tutorial.md#x) [c](d.md)"


def keys(content: Any, depth: int) -> Iterator[str]:
    """Names of the fields of a JSON value, `depth` levels of objects deep."""
    if isinstance(content, list):
        for item in content[:1]:
            yield from keys(item, depth)
    elif isinstance(content, dict) and depth:
        yield from content
        for value in content.values():
            yield from keys(value, depth - 1)


@pytest.mark.parametrize(
    ("file", "depth"),
    [
        ("run/run.json", 1),
        ("run/summary.json", 1),
        ("run/record-0.jsonl", 1),
        ("run/server.jsonl", 1),
        ("maf2/experiment.json", 1),
        ("maf2/trials.jsonl", 1),
        ("disaggregate/disaggregate.json", 1),
        ("disaggregate/plan.json", 2),
        ("trace_by_day/_burstlens.json", 1),
    ],
)
def test_every_field_of_a_file_is_documented(file: str, depth: int) -> None:
    text = (ROOT / "tests" / "files_of_0_1_0" / file).read_text(encoding="utf-8")
    content = json.loads(text.splitlines()[0] if file.endswith(".jsonl") else text)
    page = TEXT[ROOT / "docs" / "reference" / "files.md"]
    assert [key for key in dict.fromkeys(keys(content, depth)) if f"`{key}`" not in page] == []


def test_the_picture_of_the_house_is_that_of_the_import_contracts() -> None:
    picture = TEXT[ROOT / "CONTRIBUTING.md"].split("```text\n")[1].split("```")[0]
    boxes = dict(re.findall(r"^  (\w+)/.*\n((?:  [┌│└].*\n)+)", picture, re.M))
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    for contract in contracts["contracts"]:
        if contract["type"] == "layers":
            (package,) = contract.get("containers", ["burstlens"])
            layers = [re.findall(r"\w+", layer.removeprefix("burstlens.")) for layer in contract["layers"]]
            rank = {room: number for number, layer in enumerate(layers) for room in layer}
            drawn = re.findall(r"\w+", boxes[package.removeprefix("burstlens.")])
            if package == "burstlens":
                drawn += list(boxes)
            drawn = [room for room in drawn if room in rank]
            assert set(drawn) == set(rank), package
            assert [rank[room] for room in drawn] == sorted(rank[room] for room in drawn), package
