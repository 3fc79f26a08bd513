"""Names that stand for other names: keyed hashes, the same for the same name and key.

The key is a file that stays with the owner of a log. Without it nobody can tell which name a hash stands
for, or test a guess. Not here: what of a trace gets another name (`burstlens.analysis.logs.anonymize`).
"""

from __future__ import annotations

import hmac
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from ..core.errors import DiskError, InputError
from ..core.option_names import option

KEY_BYTES = 32
KEY_LIMIT = 4096
"""Bytes of a file that can be a key: a larger one is probably something else."""
KEEPABLE = ("models", "services")
"""Names that can be kept as they are."""
RANDOM = "random"
WEEKS = 520
"""A random shift is by one to so many weeks."""
ALPHABET = "0123456789abcdefghijklmnopqrstuv"
"""Digits of base 32, as DuckDB's `to_base` writes them."""
BLOCK = 64
"""Bytes that SHA-256 takes at a time."""
HEX_DIGITS = 15
"""Of the hash, 60 bits are used."""
FEW, MANY = 8, 12
"""Digits of a pseudonym: enough for the names of models, and for those of millions of sessions."""
MANY_NAMES = ("session", "client")


@dataclass(frozen=True)
class Anonymize:
    """What leaves the house of a log's owner: no text, and dates only if they may.

    Names of services, models, sessions, clients and files become keyed hashes, such as `model-k3f0a9s2`;
    numbers of prefix blocks become others.

    Examples
    --------
    >>> anonymize = Anonymize("/secure/log.key", shift="random", keep=["models"])
    """

    key: str | Path | None = None
    """File with the key; it is made, readable by its owner only, if it does not exist. By default
    `burstlens/anonymize.key` in the folder of the user's settings. The same key gives the same names."""
    shift: float | str | None = None
    """Whole seconds by which to shift all stamps, or `"random"`: some weeks back, drawn from the key, so
    that hours of the day and weekdays stay what they are."""
    keep: Sequence[str] = ()
    """Names that stay as they are: `"models"`, `"services"`."""

    @property
    def key_path(self) -> Path:
        """Where the key lies."""
        if self.key is not None:
            return Path(self.key)
        settings = os.environ.get("XDG_CONFIG_HOME")
        return (Path(settings) if settings else Path.home() / ".config") / "burstlens" / "anonymize.key"

    def check(self, out: Path | None, *, folder: bool) -> None:
        """Check the options, before anything is read or made.

        Parameters
        ----------
        out : Path, optional
            What is to be written.
        folder : bool
            Whether that is a folder.

        Raises
        ------
        InputError
            If an option is wrong, or the key would lie in the folder of the output.
        """
        if wrong := [name for name in self.keep if name not in KEEPABLE]:
            raise InputError.of_option("keep", f"{wrong[0]!r} is not one of {', '.join(KEEPABLE)}")
        if isinstance(self.shift, str):
            if self.shift != RANDOM:
                raise InputError.of_option("shift", f"{self.shift!r} is neither a time span nor {RANDOM}")
        elif self.shift is not None and not float(self.shift).is_integer():
            raise InputError.of_option("shift", f"{self.shift} is not a whole number of seconds")
        if out is None:
            return
        key, place = self.key_path.absolute().resolve(), out.absolute().resolve()
        if key == place or key.is_relative_to(place) or (not folder and key.parent == place.parent):
            raise InputError.of_option(
                "key",
                f"{self.key_path} lies in the folder of the output, and the key must not leave with it",
                remedy="name a file in another folder",
            )

    def open(self) -> Pseudonyms:
        """Read the key, or make one.

        Raises
        ------
        BurstlensError
            If the file cannot be read or made, or is not a key.
        """
        path = self.key_path
        try:
            if not path.exists():
                _make_key(path)
            content = path.read_bytes()[: KEY_LIMIT + 1]
        except OSError as fault:
            raise DiskError.unreadable(path, fault) from fault
        if not KEY_BYTES <= len(content) <= KEY_LIMIT:
            raise InputError.at(
                path,
                f"is not a key, which has {KEY_BYTES} to {KEY_LIMIT} bytes",
                remedy=f"name a file that does not exist with {option('key')}: it is made",
            )
        return Pseudonyms(content, tuple(self.keep), self.shift)


def _make_key(path: Path) -> None:
    """Write a new key that only its owner can read."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(os.urandom(KEY_BYTES))


@dataclass(frozen=True, repr=False)
class Pseudonyms:
    """Pseudonyms under one key."""

    key: bytes
    keep: tuple[str, ...] = ()
    shift: float | str | None = None

    def keeps(self, kind: str) -> bool:
        """Whether names of a kind, such as `model`, stay as they are."""
        return f"{kind}s" in self.keep

    def of(self, kind: str, name: str) -> str:
        """The pseudonym of a name: HMAC-SHA256 of its kind and itself, 60 bits in base 32.

        Parameters
        ----------
        kind : str
            `service`, `model`, `session`, …: the same name of another kind gets another pseudonym.
        name : str

        Returns
        -------
        str
        """
        return name if self.keeps(kind) else f"{kind}-{self.digits(kind, name)}"

    def digits(self, kind: str, name: str) -> str:
        """A pseudonym without its kind."""
        number, text = int(self.digest(kind, name)[:HEX_DIGITS], 16), ""
        for _ in range(MANY):
            text = ALPHABET[number % 32] + text
            number //= 32
        return text[: _length(kind)]

    def digest(self, kind: str, name: str) -> str:
        """The whole hash in hexadecimal."""
        message = f"{kind}\0{name}".encode("utf-8", "surrogatepass")
        return hmac.new(self.key, message, sha256).hexdigest()

    def selected(self, kind: str, name: str | None) -> str | None:
        """What a name that the user gave is called in the trace; a pseudonym stays one."""
        if name is None or re.fullmatch(f"{kind}-[{ALPHABET}]{{{_length(kind)}}}", name):
            return name
        return self.of(kind, name)

    @property
    def shift_s(self) -> int:
        """Seconds by which stamps are shifted."""
        if self.shift == RANDOM:
            return -7 * 86_400 * (1 + int(self.digest("shift", "")[:HEX_DIGITS], 16) % WEEKS)
        return int(self.shift or 0)

    @property
    def sql_parameters(self) -> dict[str, bytes]:
        """What `sql` and `number_sql` leave open; the key is bound, never part of a query."""
        key = (sha256(self.key).digest() if len(self.key) > BLOCK else self.key).ljust(BLOCK, b"\0")
        return {
            "inner_key": bytes(byte ^ 0x36 for byte in key),
            "outer_key": bytes(byte ^ 0x5C for byte in key),
        }

    def sql(self, kind: str, value: str) -> str:
        """The pseudonym as DuckDB computes it.

        Parameters
        ----------
        kind : str
        value : str
            Expression of a text.

        Returns
        -------
        str
        """
        if self.keeps(kind):
            return value
        digits = f"lower(to_base({self.number_sql(kind, value)}, 32, {MANY}))"
        return f"'{kind}-' || substr({digits}, 1, {_length(kind)})"

    def number_sql(self, kind: str, value: str) -> str:
        """A number of 60 bits that stands for a text or a number, as DuckDB computes it."""
        message = f"encode('{kind}' || chr(0) || {value})"
        inner = f"unhex(sha256($inner_key || {message}))"
        return f"CAST('0x' || substr(sha256($outer_key || {inner}), 1, {HEX_DIGITS}) AS BIGINT)"


def _length(kind: str) -> int:
    return MANY if kind in MANY_NAMES else FEW
