"""Errors in the words of their listener: parameters in Python, flags on the command line."""

from __future__ import annotations

import pickle

import pytest

from burstlens.analysis.core.errors import BurstlensError
from burstlens.analysis.core.option_names import option
from burstlens.cli.commands import cli
from burstlens.cli.flags import click_error, verbs


@pytest.mark.parametrize(
    ("verb", "marked", "python", "typed"),
    [
        ("replay", option("rate_rps"), "rate_rps", "--rate"),
        ("replay", option("spread", False), "spread=False", "--no-spread"),
        ("replay", option("sessions", "think"), "sessions='think'", "--sessions think"),
        ("replay", option("out"), "out", "-o"),
        ("replay", option("source"), "source", "TRACE|PARAMETERS"),
        ("describe", option("strict", True), "strict=True", "--strict"),
        ("describe", option("rate_rps"), "rate_rps", "--rate"),
        ("experiment maf2", option("requests"), "requests", "--first"),
        ("experiment schedulers", option("requests"), "requests", "--requests"),
        ("describe", option("gpu_memory"), "gpu_memory", "--gpu-memory"),
    ],
)
def test_an_error_names_an_option_as_its_reader_does(verb: str, marked: str, python: str, typed: str) -> None:
    error = BurstlensError(f"a.csv: {marked} is wrong")
    assert str(error) == f"a.csv: {python} is wrong"
    assert click_error(error, verbs(cli)[verb]).message == f"a.csv: {typed} is wrong"
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
