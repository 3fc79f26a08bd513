"""Classes of errors that a caller may catch, and what each error knows."""

from __future__ import annotations

import doctest
import pickle
from pathlib import Path

import pytest

import burstlens as bl
from burstlens.analysis.core import errors, option_names
from burstlens.analysis.core.errors import (
    BurstlensError,
    DiskError,
    EndpointError,
    InputError,
    MissingExtraError,
)
from burstlens.analysis.core.option_names import option

KNOWN = [
    InputError.at("log.csv", "is no number", line=12, column="tokens", remedy="write digits"),
    InputError.of_option("seeds", "0 is not above 0", remedy="give 1 or more"),
    EndpointError.at("http://127.0.0.1:9", "cannot connect: connection refused", remedy="is the server up?"),
    DiskError.unwritable(Path("out"), OSError(28, "No space left on device")),
    MissingExtraError.of("text", "tokenizers", "prompts of text"),
]


@pytest.mark.parametrize("error", KNOWN, ids=lambda error: type(error).__name__)
def test_an_error_keeps_what_it_knows_across_processes(error: BurstlensError) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert vars(copy) == vars(error)


def test_the_text_of_each_class() -> None:
    assert [str(error) for error in KNOWN] == [
        "log.csv:12, column 'tokens': is no number; write digits",
        "seeds: 0 is not above 0; give 1 or more",
        "http://127.0.0.1:9: cannot connect: connection refused; is the server up?",
        "out: cannot be written: no space left on device",
        "prompts of text: needs the tokenizers package; install it with: pip install 'burstlens[text]'",
    ]


def test_the_front_door_exports_every_class() -> None:
    for error in KNOWN:
        assert getattr(bl, type(error).__name__) is type(error)
        assert isinstance(error, bl.BurstlensError)


def test_one_text_speaks_of_parameters_and_of_flags() -> None:
    error = InputError.at("trace", "is too long", remedy=f"give {option('end_s')}")
    assert str(error) == "trace: is too long; give end_s"
    assert error.in_words(lambda _name, _value: "--to") == "trace: is too long; give --to"


@pytest.mark.parametrize("module", [errors, option_names])
def test_examples_run(module: object) -> None:
    assert not doctest.testmod(module).failed  # type: ignore[arg-type]
