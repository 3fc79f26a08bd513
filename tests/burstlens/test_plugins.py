"""The package in `docs/how-to/extending.md` is found like our own; a faulty one is named in one line."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "extending.md"
LOG = "when,in,out\n" + "".join(f"{600 * i},{10 + i % 7},{20 + i % 5}\n" for i in range(300))


def install(declared: dict[str, Any], folder: Path) -> None:
    """Write what an installer leaves of a package's metadata, without the network."""
    project = declared["project"]
    info = folder / f"{project['name']}-{project['version']}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    groups = (
        "\n".join([f"[{group}]", *(f"{name} = {value}" for name, value in entries.items())])
        for group, entries in project["entry-points"].items()
    )
    (info / "entry_points.txt").write_text("\n".join(groups) + "\n")


def burstlens(site: Path, cwd: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The command line in a process that sees the packages in `site`."""
    return subprocess.run(
        [sys.executable, "-m", "burstlens.cli", *words],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(site), "COLUMNS": "100"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the page's package installed in `site`, and a log of its format."""
    root = tmp_path_factory.mktemp("gateway")
    text = PAGE.read_text(encoding="utf-8")
    for name, code in re.findall(r"`([\w/]+\.(?:sql|py))`:\n\n```\w+\n(.*?)```", text, re.DOTALL):
        path = root / "site" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(code, encoding="utf-8")
    (root / "site" / "gateway" / "__init__.py").touch()
    (toml,) = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    install(tomllib.loads(toml), root / "site")
    (root / "log.csv").write_text(LOG)
    return root


@pytest.mark.slow
def test_a_format_and_an_export_of_another_package_are_listed_and_work(gateway: Path) -> None:
    site = gateway / "site"
    assert "gateway" in burstlens(site, gateway, "ingest", "--list").stdout
    listed = json.loads(burstlens(site, gateway, "export", "--list", "--json").stdout)
    assert {"format": "gateway", "title": "CSV of my gateway", "takes": "log"} in listed
    done = burstlens(site, gateway, "export", "log.csv", "--format", "gateway", "-o", "back.csv")
    assert done.returncode == 0, done.stderr
    rows = [
        [float(cell) for cell in line.split(",")] for line in (gateway / "back.csv").read_text().split()[1:]
    ]
    assert rows == [[float(cell) for cell in line.split(",")] for line in LOG.split()[1:]]


@pytest.mark.slow
def test_a_part_its_figure_and_a_ledger_of_another_package_are_on_the_page(gateway: Path) -> None:
    done = burstlens(gateway / "site", gateway, "report", "log.csv", "-o", "out", "--no-images", "--json")
    assert done.returncode == 0, done.stderr
    (trace,) = json.loads(done.stdout)["traces"]
    assert trace["nights"]["sentences"] == ["36% of requests come at night."]
    (claim,) = [claim for claim in trace["claims"] if claim["ledger"] == "gateway"]
    assert (claim["verdict"], claim["value"]) == ("differs", "36.0% at night")
    page = (gateway / "out" / "index.html").read_text(encoding="utf-8")
    assert '<section id="nights"' in page
    assert 'href="#fig-log-nights-hours"' in page
    assert "What the gateway team claims, checked" in page
    assert (gateway / "out" / "tables" / "nights-hours.csv").is_file()


FAULTY = {
    "burstlens.formats": {"faulty": "faulty"},
    "burstlens.exports": {"faulty": "faulty:EXPORT", "vllm": "faulty:EXPORT"},
    "burstlens.parts": {"faulty": "faulty.part:Part"},
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "code", "named"),
    [
        ("ingest --list", 0, ["format 'faulty' of package faulty 1.0: ModuleNotFoundError"]),
        (
            "export --list",
            0,
            [
                "export 'faulty' of package faulty 1.0: ModuleNotFoundError",
                "export 'vllm' of package faulty 1.0: burstlens has one of that name",
            ],
        ),
        ("describe log.csv -q", 0, ["part 'faulty' of package faulty 1.0: ModuleNotFoundError"]),
        (
            "export log.csv --format faulty -q",
            2,
            ["export 'faulty' of package faulty 1.0: ModuleNotFoundError"],
        ),
    ],
)
def test_a_faulty_plugin_is_named_in_one_line(
    words: str, code: int, named: list[str], tmp_path: Path
) -> None:
    (tmp_path / "faulty").mkdir()
    (tmp_path / "faulty" / "__init__.py").write_text("import nowhere\n")
    install({"project": {"name": "faulty", "version": "1.0", "entry-points": FAULTY}}, tmp_path)
    (tmp_path / "log.csv").write_text(LOG.replace("when,in,out", "arrival_s,request_tokens,response_tokens"))
    done = burstlens(tmp_path, tmp_path, *words.split())
    assert done.returncode == code, done.stderr
    for text in named:
        assert len([line for line in done.stderr.splitlines() if text in line]) == 1, done.stderr
    assert "Traceback" not in done.stderr
