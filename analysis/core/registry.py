"""Finding what packages add, this one included: log formats, exports, parts, figures and claim ledgers.

A package declares each in its `pyproject.toml`, under `[project.entry-points."burstlens.exports"]` and the
like; nothing is imported before it is used. Not here: what an entry point has to name, which the module that
uses a group says (`logs.formats`, `interchange.exports`, `characterize`, and in `burstlens.reports`
`figures.registry` and `claims.ledger`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar

from .errors import BurstlensError

FORMATS = "burstlens.formats"
EXPORTS = "burstlens.exports"
PARTS = "burstlens.parts"
FIGURES = "burstlens.figures"
CLAIMS = "burstlens.claims"

OWN = "burstlens"
"""The distribution that declares what comes with burstlens."""

T = TypeVar("T")


@dataclass(frozen=True)
class Plugin:
    """One entry point: its name, what it points to, and the package that declares it."""

    group: str
    name: str
    value: str
    """`package.module:attribute`, or a package alone."""
    package: str
    version: str

    @property
    def own(self) -> bool:
        """Whether it comes with burstlens."""
        return self.package == OWN

    def load(self) -> Any:
        """Import what the entry point names.

        Raises
        ------
        BurstlensError
            If the import fails and another package declares it.
        """
        with self.guard():
            return EntryPoint(self.name, self.value, self.group).load()

    def fault(self, why: str) -> BurstlensError:
        """An error in one line that names the plugin and its package."""
        kind = self.group.removeprefix("burstlens.").removesuffix("s")
        return BurstlensError(f"{kind} {self.name!r} of package {self.package} {self.version}: {why}")

    @contextmanager
    def guard(self) -> Iterator[None]:
        """Name the package in one line if its code fails in this block; our own faults pass unchanged."""
        try:
            yield
        except BurstlensError:
            raise
        except Exception as fault:
            if self.own:
                raise
            text = " ".join(str(fault).split())
            raise self.fault(f"{type(fault).__name__}: {text}" if text else type(fault).__name__) from fault


@cache
def plugins(group: str) -> Mapping[str, Plugin]:
    """List every entry point of a group by name, sorted, without importing any.

    If two packages declare the same name, ours counts, else that of the package first in the alphabet, and
    the function logs a warning.

    Parameters
    ----------
    group : str
        Such as `burstlens.formats`.

    Returns
    -------
    mapping of str to Plugin

    Raises
    ------
    BurstlensError
        If the installed metadata of burstlens is older than its code and does not declare the group.
    """
    found = [
        Plugin(group, entry.name, entry.value, entry.dist.name, entry.dist.version)
        for entry in entry_points(group=group)
        if entry.dist is not None
    ]
    if not any(plugin.own for plugin in found):
        raise BurstlensError(
            f"the installed burstlens is older than its code and declares no {group}; "
            "install it again: pip install -e . (or make, in a clone)"
        )
    by_name: dict[str, Plugin] = {}
    for plugin in sorted(found, key=lambda each: (each.name, not each.own, each.package)):
        first = by_name.setdefault(plugin.name, plugin)
        if first != plugin:
            warn(plugin.fault(f"{first.package} has one of that name, which is used"))
    return by_name


def load_all(group: str, load: Callable[[Plugin], T]) -> dict[str, T]:
    """Load each entry point of a group; leave out a faulty plugin with a warning.

    Parameters
    ----------
    group : str
        Such as `burstlens.formats`.
    load : callable
        Loads one plugin; raises BurstlensError for a faulty one.

    Returns
    -------
    dict
        What was loaded, by name.

    Raises
    ------
    BurstlensError
        If one of our own is faulty.
    """
    loaded = {}
    for name, plugin in plugins(group).items():
        try:
            loaded[name] = load(plugin)
        except BurstlensError as fault:
            if plugin.own:
                raise
            warn(fault)
    return loaded


def warn(fault: BurstlensError) -> None:
    """Log one line about a plugin that is left out."""
    import logging

    logging.getLogger(__name__).warning("%s; it is left out", fault)
