"""What requests and fitted parameters are exported to: the type of an export, and which there are.

The entry points `burstlens.exports` name them, so that another package adds one: the name is what
`export --format` takes, the value a `RequestExport` or a `FittedExport`. Ours are next to their writers. Not
here: any writer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from ..core.errors import InputError
from ..core.registry import EXPORTS, Plugin, load_all, plugins
from .parameter_model import FittedSelection, ParameterFile
from .requests import Requests


@dataclass(frozen=True)
class WriteOptions:
    """What a user chose for the file."""

    tokens: tuple[int, int] | None = None
    """Request and response tokens of each request, if the source has no lengths."""
    share_sessions: bool = False
    """Whether the turns of a session share prefix blocks."""
    provenance: tuple[str, ...] = ()
    """What was done to the source on the way, in sentences."""


DEFAULT_OPTIONS = WriteOptions()


@dataclass(frozen=True)
class RequestExport:
    """A file of requests."""

    title: str
    """What the file is, for a list of formats."""
    takes: Literal["log", "load"]
    """`log`: requests as they were, on their clock. `load`: requests to be sent, from second 0 on, each
    asking for at least one token."""
    suffix: str
    """Ending of its files; empty for a folder."""
    write: Callable[[Requests, Path, WriteOptions], list[str]]
    """Writes the file; returns what it cannot hold, one sentence each."""
    run: str = ""
    """The command that uses the file, with `{file}` (quoted for a shell), `{path}` and `{n}` (requests) put
    in; empty if there is none."""


@dataclass(frozen=True)
class FittedWindows:
    """Fitted windows and laws that are to be written."""

    content: Mapping[str, Any]
    """The content of a parameter file, as it was read."""
    file: ParameterFile
    """The same, typed."""
    selections: list[FittedSelection]
    """What the user selected of it."""
    start_s: float | None
    """The instant that the user named, in seconds of the trace's clock."""


@dataclass(frozen=True)
class WriteResult:
    """What a writer of fitted windows did."""

    windows: int
    lost: list[str]
    """What the file cannot hold, one sentence each."""
    run: str | None = None
    """The command that uses the file, if it is another than the export's."""


@dataclass(frozen=True)
class FittedExport:
    """A file of fitted windows and laws."""

    title: str
    suffix: str
    write: Callable[[FittedWindows, Path, WriteOptions], WriteResult]
    run: str = ""
    default_selections: Literal["finest", "all", "every"] = "finest"
    """What is written unless a service or model is named: the selections that no other divides, the one of
    all requests, or every one."""

    takes: ClassVar[Literal["parameters"]] = "parameters"


Export = RequestExport | FittedExport

_TAKES = ("log", "load", "parameters")


def exports() -> dict[str, Export]:
    """Every export by name: of logs, then of loads, then of parameters; a faulty plugin is left out."""
    found = load_all(EXPORTS, _export)
    return {
        name: found[name] for name in sorted(found, key=lambda name: (_TAKES.index(found[name].takes), name))
    }


def export_named(name: str) -> Export:
    """Find an export by its name.

    Parameters
    ----------
    name : str
        As `export --format` takes it.

    Returns
    -------
    Export

    Raises
    ------
    InputError
        If there is none (the message names the known ones), or if it is another package's and faulty.
    """
    if name not in plugins(EXPORTS):
        raise InputError.unknown_value("format", "format", name, list(exports()))
    return _export(plugins(EXPORTS)[name])


def _export(plugin: Plugin) -> Export:
    export = plugin.load()
    if not isinstance(export, Export):
        raise plugin.fault(f"{plugin.value} is neither a RequestExport nor a FittedExport")
    return export
