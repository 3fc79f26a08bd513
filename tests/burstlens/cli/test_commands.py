"""Every command is its function: the same options, the same defaults, the same files."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import click
import pytest

import burstlens as bl
from burstlens.api.experiments import dispatch
from burstlens.cli import cli
from burstlens.cli.flags import verbs

PRESET = "llama-2-13b-a100"
VERBS = {name: command for name, command in verbs(cli).items() if name != "completion"}

TERMINAL_ONLY = {
    "*": {"as_json", "quiet"},
    "describe": {"everything"},
    "export": {"listing", "until"},
    "replay": {"strict"},
    "serve": {"listing"},
}
"""Options that say how the terminal shows a result or ends, or that are former names."""
PARAMETERS = {"log": "logs"}
"""Arguments that take one word at a time where the function takes a list."""
RETURNED = {"disaggregate", "fit"}
"""Verbs whose functions return what they find, and write only where `out` says so."""


def function_of(verb: str) -> Callable[..., Any]:
    """The function that a command calls."""
    if verb.startswith("experiment "):
        return dispatch.EXPERIMENTS[verb.split()[1]]
    found: Callable[..., Any] = getattr(bl, verb.replace("-", "_"))
    return found


def default_of(param: click.Parameter) -> object:
    """What the function gets without the option."""
    command = click.Command("defaults", params=[param])
    context = command.make_context("defaults", [], resilient_parsing=not param.required)
    value = context.params.get(str(param.name))
    return str(value) if isinstance(value, Path) else value


@pytest.mark.parametrize("verb", VERBS)
def test_each_option_is_a_parameter_of_the_function(verb: str) -> None:
    signature = inspect.signature(function_of(verb)).parameters
    assert not any(each.kind is each.VAR_KEYWORD for each in signature.values())
    own = TERMINAL_ONLY["*"] | TERMINAL_ONLY.get(verb, set())
    for param in VERBS[verb].params:
        name = str(param.name)
        if name in own:
            continue
        parameter = signature.get(name) or signature.get(PARAMETERS.get(name, name))
        assert parameter is not None, f"{verb}: {param.opts} is not a parameter"
        if param.required or isinstance(param, click.Argument) or (verb in RETURNED and name == "out"):
            continue
        default, expected = default_of(param), parameter.default
        # A list that is empty is no choice, as is None.
        assert (None if default == () else default) == (None if expected == () else expected), param.opts


@pytest.mark.parametrize("kind", dispatch.EXPERIMENTS)
def test_an_experiment_by_name_takes_the_options_of_its_function(kind: str) -> None:
    run = function_of(f"experiment {kind}")
    options = getattr(import_module(run.__module__), f"{kind.title()}Options")
    assert options.__annotations__.keys() | {"out"} == inspect.signature(run).parameters.keys()
