"""Options that several verbs have, and the kinds of value that they take.

Not here: what a verb does with them (`cli` and its kin).
"""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import Any

import click

from ..api.options import ENGINES
from ..console import Duration, Size


def option_group(*options: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Several options as one decorator; the first comes first in `--help`."""

    def decorate(command: Any) -> Any:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


class Columns(click.ParamType):
    """`arrival=ts,request_tokens=prompt_len`: the trace's columns from the log's own."""

    name = "mapping"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> dict[str, str]:
        """Parse, or fail with one line that shows the form.

        Parameters
        ----------
        value
            What was typed, or a default.
        param, ctx
            Option and command, for errors.

        Returns
        -------
        dict
            Columns of a log by canonical names.
        """
        if isinstance(value, dict):
            return value
        # A comma inside double quotes belongs to a name.
        parts = re.findall(r'(?:[^,"]|"[^"]*")+', str(value))
        pairs = [pair.split("=", 1) for pair in parts if pair.strip()]
        if not pairs or any(len(pair) != 2 or not all(p.strip() for p in pair) for pair in pairs):
            self.fail(f"{value!r} does not have the form arrival=ts,request_tokens=prompt_len", param, ctx)
        return {ours.strip(): _unquoted(theirs) for ours, theirs in pairs}


class Pair(click.ParamType):
    """`512,128`: request and response tokens; `256,31999`: first and last token id."""

    name = "two numbers"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        """Parse, or fail with one line that shows the form.

        Parameters
        ----------
        value
            What was typed, or a default.
        param, ctx
            Option and command, for errors.

        Returns
        -------
        tuple of (int, int)
            Both numbers.
        """
        if isinstance(value, tuple):
            return value
        try:
            first, second = (int(part) for part in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} is not two whole numbers, such as 512,128", param, ctx)
        return first, second


class Numbers(click.ParamType):
    """`0.2,0.5,1`: some numbers."""

    name = "numbers"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, ...]:
        """Parse, or fail with one line that shows the form.

        Parameters
        ----------
        value
            What was typed, or a default.
        param, ctx
            Option and command, for errors.

        Returns
        -------
        tuple of float
            The numbers.
        """
        if isinstance(value, tuple):
            return value
        words = Words().convert(value, param, ctx)
        try:
            return tuple(float(word) for word in words)
        except ValueError:
            self.fail(f"{value!r} is not a list of numbers, such as 0.2,0.5,1", param, ctx)


class Words(click.ParamType):
    """`constant,linear`: some words."""

    name = "words"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        """Split at commas; a list without a word is an error.

        Parameters
        ----------
        value
            What was typed, or a default.
        param, ctx
            Option and command, for errors.

        Returns
        -------
        tuple of str
            The words.
        """
        if isinstance(value, tuple):
            return value
        words = tuple(word.strip() for word in str(value).split(",") if word.strip())
        if not words:
            self.fail(f"{value!r} is an empty list", param, ctx)
        return words


class Body(click.ParamType):
    """`{"temperature": 0}`: fields of a request's body."""

    name = "object"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> dict[str, Any]:
        """Parse, or fail with one line that shows the form.

        Parameters
        ----------
        value
            What was typed, or a default.
        param, ctx
            Option and command, for errors.

        Returns
        -------
        dict
            The fields of the JSON object.
        """
        if isinstance(value, dict):
            return value
        try:
            fields = json.loads(str(value))
        except ValueError:
            fields = None
        if not isinstance(fields, dict):
            self.fail(f'{value!r} is not a JSON object, such as {{"temperature": 0}}', param, ctx)
        return fields


class Setting(click.ParamType):
    """`spark.executor.memory=8g`: one of Spark's own settings."""

    name = "setting"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        """Parse, or fail with one line that shows the form.

        Parameters
        ----------
        value
            What was typed, or a default.
        param, ctx
            Option and command, for errors.

        Returns
        -------
        tuple of (str, str)
            Spark's setting and its value.
        """
        key, equal, text = str(value).partition("=")
        if not key.startswith("spark.") or not equal or not text:
            self.fail(f"{value!r} does not have the form spark.executor.memory=8g", param, ctx)
        return key, text


def _unquoted(text: str) -> str:
    """A name without the quotes around it."""
    name = text.strip()
    return name[1:-1] if len(name) > 2 and name[0] == name[-1] == '"' else name


def _said_of_the_log(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    """Collect what is said about the log in the one parameter `reading`."""
    from ..analysis.logs.options import NO_OPTIONS

    ctx.params.setdefault("reading", None)
    if value not in (None, ()):
        ctx.params["reading"] = replace(ctx.params["reading"] or NO_OPTIONS, **{str(param.name): value})


def log_option(flag: str, **options: Any) -> Callable[[Any], Any]:
    """A flag that is a field of `LogOptions`."""
    return click.option(flag, expose_value=False, callback=_said_of_the_log, **options)


json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
quiet_option = click.option("--quiet", "-q", is_flag=True, help="Show no progress.")
live_option = click.option("--quiet", "-q", is_flag=True, help="Show no live display.")
log_argument = click.argument("log", nargs=-1, required=True, metavar="LOG…")


reading = option_group(
    click.option(
        "--columns",
        type=Columns(),
        metavar="OURS=THEIRS,…",
        help="Columns of a log in an unknown format: arrival=ts,request_tokens=usage.prompt_tokens; "
        "`burstlens columns LOG` proposes them.",
    ),
    log_option(
        "--mapping",
        type=click.Path(path_type=str),
        metavar="FILE",
        help="TOML file with columns and the other options of a log.",
    ),
    log_option("--log-format", metavar="NAME", help="Format of the log, where it is not clear."),
    log_option(
        "--where",
        multiple=True,
        metavar="RULE",
        help="Which rows are requests: type=GENERATION, code<500; may be repeated.",
    ),
    log_option("--time-format", metavar="FORM", help="How the log writes times: '%d/%m/%Y %H:%M'."),
    log_option(
        "--timezone",
        metavar="ZONE",
        help="Clock for hours of the day, and of times without an offset: Europe/Berlin.",
    ),
    log_option("--table", metavar="NAME", help="Table of a database: LOG is postgresql://user@host/db."),
    log_option("--sql", metavar="SELECT", help="Query, in place of --table."),
    log_option("--delimiter", metavar="CHARACTER", help="What separates the columns of a CSV file."),
    log_option("--decimal", type=click.Choice([".", ","]), help="Mark of fractions in a CSV file."),
    log_option("--encoding", metavar="NAME", help="Encoding of a text file: utf-8, windows-1252, …"),
    click.option(
        "--strict", is_flag=True, help="Stop at the first bad row; by default it goes to the rejects."
    ),
)
"""The options of every verb that reads a log."""


class Shift(Duration):
    """A time span, `-90d` for one back, or `random`."""

    name = "duration|random"

    def convert(  # type: ignore[override]
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float | str:
        """Convert a time to seconds; `random` stays.

        Parameters
        ----------
        value
            What was typed, or a default.
        param, ctx
            Option and command, for errors.

        Returns
        -------
        float or str
            Seconds, or the word.
        """
        text = str(value).strip()
        if text == "random":
            return text
        sign = -1.0 if text.startswith("-") else 1.0
        return sign * super().convert(text.removeprefix("-"), param, ctx)


def anonymizing(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of every verb from which a log's owner gives something away: one value `anonymize`."""

    @wraps(command)
    def run(
        *values: Any,
        anonymize: bool | None,
        key: str | None,
        shift: float | str | None,
        keep: tuple[str, ...] | None,
        **options: Any,
    ) -> Any:
        if not anonymize:
            given = {"--key": key, "--shift": shift, "--keep": keep}
            for flag in (flag for flag, value in given.items() if value is not None):
                raise click.UsageError(f"{flag}: goes with --anonymize")
            return command(*values, anonymize=None, **options)
        from ..analysis.logs.pseudonyms import Anonymize

        chosen = Anonymize(key, shift, keep or ())
        path = chosen.key_path
        existed = path.exists()
        try:
            return command(*values, anonymize=chosen, **options)
        finally:
            _tell_of_key(path, existed)

    decorated: Callable[..., Any] = option_group(
        click.option(
            "--anonymize",
            is_flag=True,
            default=None,
            help="Replace names of services, models, sessions, clients and files by keyed hashes.",
        ),
        click.option(
            "--key",
            type=click.Path(dir_okay=False, path_type=str),
            metavar="FILE",
            help="Key of the hashes, made if it does not exist; never give it away.  "
            "[default: ~/.config/burstlens/anonymize.key]",
        ),
        click.option(
            "--shift",
            type=Shift(),
            help="Shift stamps: 90d, -90d, or random, which keeps hours and weekdays.",
        ),
        click.option("--keep", type=Words(), metavar="models,services", help="Names to keep as they are."),
    )(run)
    return decorated


def _tell_of_key(path: Path, existed: bool) -> None:
    """Say where a new key lies, and that one is open to others."""
    if not path.exists():
        return
    if not existed:
        click.echo(
            f"burstlens: made the key {path}: the same key gives the same hashes; keep it, since whoever has "
            "it can test which name a hash stands for",
            err=True,
        )
    elif os.name == "posix" and path.stat().st_mode & 0o077:
        click.echo(f"burstlens: others can read the key {path}: chmod 600 {shlex.quote(str(path))}", err=True)


fitting = option_group(
    click.option(
        "--window",
        "window_s",
        type=Duration(),
        default="20m",
        show_default=True,
        help="Length of the Gamma windows: 5m, 20m, 1h, …",
    ),
    click.option("--seed", default=0, show_default=True, help="Seed of every bootstrap and subsample."),
)
"""The options of every verb that fits."""


def key_of_endpoint() -> str | None:
    """The key of the endpoint, which comes from the environment, not from the command line."""
    return os.environ.get("OPENAI_API_KEY")


def typed_command() -> str:
    """What was typed, for the page; the passwords of URLs are left out."""
    from ..analysis.logs.files.databases import without_secrets

    return shlex.join(["burstlens", *map(without_secrets, sys.argv[1:])])


def _in_order(ctx: click.Context, param: click.Parameter, value: float | None) -> float | None:
    """A span must not end before it begins; the option that is read last sees both."""
    sides = {**ctx.params, str(param.name): value}
    start_s, end_s = sides.get("start_s"), sides.get("end_s")
    if start_s is not None and end_s is not None and start_s >= end_s:
        raise click.UsageError("--from: is not before --to")
    return value


spanning = option_group(
    click.option(
        "--from",
        "start_s",
        type=Duration(zero=True),
        callback=_in_order,
        help="Read from this time of the trace: 2d18h, …",
    ),
    click.option(
        "--to", "end_s", type=Duration(), callback=_in_order, help="Stop before this time of the trace."
    ),
)
"""The options of every verb that can read a part of a trace."""

engines = option_group(
    click.option(
        "--engine",
        type=click.Choice(ENGINES),
        default="duckdb",
        show_default=True,
        help="Engine that computes: DuckDB in this process, or Apache Spark.",
    ),
    click.option(
        "--master",
        metavar="URL",
        help="Where Spark runs: local[*], spark://HOST:PORT, yarn, k8s://…  [default: local[*]]",
    ),
    click.option(
        "--spark-conf",
        "conf",
        type=Setting(),
        multiple=True,
        metavar="KEY=VALUE",
        callback=lambda _ctx, _param, settings: dict(settings) or None,
        help="One of Spark's settings; may be given several times.",
    ),
)
"""The options of every verb whose questions a cluster can answer."""

selecting = option_group(
    click.option("--service", metavar="NAME", help="Only requests of this service of the trace."),
    click.option("--model", metavar="NAME", help="Only requests of this model of the trace."),
    click.option(
        "--from", "start_s", type=Duration(zero=True), help="Start at this time of the trace: 2d18h, …"
    ),
    click.option("--to", "end_s", type=Duration(), help="Stop before this time of the trace."),
    click.option("--first", type=int, help="Only the first N of the selected requests."),
    click.option("--rate", "rate_rps", type=float, help="Scale time to this mean rate, in requests/s."),
    click.option("--speedup", type=float, help="Scale time by this factor."),
    click.option(
        "--spread/--no-spread",
        default=True,
        show_default=True,
        help="Spread stamps of whole seconds inside their second.",
    ),
    click.option(
        "--sessions",
        type=click.Choice(["stamps", "think", "off"]),
        help="Send a conversation's turns at their stamps, or after the answer and time to think, or as "
        "single requests.  "
        "[default: stamps for a trace, off for parameters]",
    ),
    click.option(
        "--lengths",
        type=click.Choice(["winner", "zipf"]),
        help="Law to draw lengths from, for parameters.  [default: winner]",
    ),
    click.option(
        "--context",
        type=int,
        help="Limit of tokens of a conversation drawn from parameters.",
    ),
    click.option(
        "--tokens",
        type=Pair(),
        metavar="REQUEST,RESPONSE",
        help="Tokens of each request, for a source without lengths.",
    ),
    click.option("--seed", default=0, show_default=True, help="Seed of all random draws."),
)
"""The options that make a workload of a source."""

prompting = option_group(
    click.option(
        "--share-prefixes",
        is_flag=True,
        help="Begin each turn of a session with the conversation so far, and share prefix blocks.",
    ),
    click.option(
        "--vocabulary",
        type=Pair(),
        metavar="FIRST,LAST",
        help="Range of the token ids of prompts.  [default: 256,31999]",
    ),
    click.option(
        "--prompts",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Prompts of text from a file in ShareGPT's or Alpaca's form, JSON or JSON lines.",
    ),
    click.option(
        "--tokenizer",
        type=click.Path(path_type=Path),
        metavar="PATH",
        help="The served model's tokenizer.json, or its folder; goes with --prompts.",
    ),
    click.option(
        "--prompt-memory",
        type=Size(),
        metavar="SIZE",
        help="Memory for --prompts: its index and buffer.  [default: 256MB]",
    ),
)
"""The options about prompts."""

aiming = option_group(
    click.option("--url", metavar="URL", help="Base URL of an OpenAI-compatible server."),
    click.option(
        "--simulate",
        metavar="PRESET",
        help="Run in virtual time on the simulated engine: a preset's name or a profile file.",
    ),
    click.option(
        "--served-model",
        metavar="NAME",
        help="Model to request from the server.  [default: the one that it lists]",
    ),
)
"""The options about the endpoint."""
