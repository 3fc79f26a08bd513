"""What is installed from a wheel is all that is in the repository's packages."""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDERS = ("analysis", "bench", "queries", "reports")
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]


def folder_of(package: str) -> Path:
    """Where a package lies: all but `burstlens` itself and its own rooms stand at the top."""
    parts = package.split(".")
    return ROOT.joinpath(*(parts[1:] if parts[1:2] and parts[1] in FOLDERS else parts))


def test_every_folder_of_modules_is_a_package_that_is_installed() -> None:
    there = {
        path.parent for folder in ("burstlens", *FOLDERS) for path in (ROOT / folder).rglob("__init__.py")
    }
    assert len(there) > 30
    assert {folder_of(package) for package in SETTINGS["packages"]} == there


def test_every_data_file_is_installed() -> None:
    installed = {
        path
        for package, patterns in SETTINGS["package-data"].items()
        for pattern in patterns
        for path in folder_of(package).glob(pattern)
    }
    there = {
        path
        for folder in ("burstlens", *FOLDERS)
        for path in (ROOT / folder).rglob("*.*")
        if path.is_file() and path.suffix not in (".py", ".pyc") and "build" not in path.parts[-4:]
    }
    assert len(there) > 40
    assert there - installed == set()
