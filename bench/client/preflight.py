"""Checks before load is sent: is the endpoint there, does it serve the model, does it have metrics?

Everything that would make a run worthless is one line here, a BurstlensError. Not here: sending.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from msgspec import UNSET

from ...analysis.core.errors import EndpointError, InputError
from ...analysis.core.option_names import option
from ..record.versioned_json import from_dict
from ..settings import Target
from .protocol import ServedModel, ServerVersion

if TYPE_CHECKING:
    from aiohttp import ClientSession

LIMIT_S = 10.0
KEY = "OPENAI_API_KEY"
"""Environment variable that holds the key."""


@dataclass(frozen=True)
class Endpoint:
    """What a server says about itself."""

    target: Target
    """With the served model named."""
    version: str | None
    simulated: str | None
    """Preset of the simulated engine; None for a real server."""
    counts_words: bool
    """Whether it takes words for tokens, as the simulated endpoint does without a tokenizer."""
    max_model_len: int | None
    has_metrics: bool


def base_url(text: str) -> str:
    """Cut the trailing slash and `/v1` off a URL; raises InputError if it is not a URL."""
    try:
        parts = urlsplit(text)
        known = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        known = False
    if not known or parts.query or parts.fragment:
        raise InputError(f"{option('url')}: {text!r} is not a base URL; write one like http://127.0.0.1:8000")
    return text.rstrip("/").removesuffix("/v1").rstrip("/")


def preflight(target: Target) -> Endpoint:
    """Ask the endpoint what it is; raises EndpointError if it cannot take the load."""
    return asyncio.run(_ask(replace(target, url=base_url(target.url))))


async def _ask(target: Target) -> Endpoint:
    import aiohttp

    limit = aiohttp.ClientTimeout(total=LIMIT_S)
    async with aiohttp.ClientSession(timeout=limit, headers=target.headers) as http:
        listed = await _models(http, target)
        model = _served(listed, target)
        length = next((entry.max_model_len for entry in listed if entry.id == model), None)
        about = await _about(http, target)
        return Endpoint(
            replace(target, model=model),
            version=None if about.version is UNSET else str(about.version),
            simulated=str(about.preset) if about.simulated and about.preset is not UNSET else None,
            counts_words=bool(about.simulated) and about.counts == "words",
            max_model_len=length if isinstance(length, int) else None,
            has_metrics=await _has_metrics(http, target),
        )


async def _models(http: ClientSession, target: Target) -> list[ServedModel]:
    """The models that the server lists; empty if it has no list."""
    import aiohttp

    url = target.url
    try:
        async with http.get(f"{url}/v1/models") as response:
            if response.status in (401, 403):
                raise EndpointError(f"{url}: needs a key (HTTP {response.status}); set {KEY}")
            if response.status == 404 and target.model:
                return []
            if response.status != 200:
                raise EndpointError(
                    f"{url}/v1/models: answers HTTP {response.status}; is this the base URL of an "
                    "OpenAI-compatible server?"
                )
            content = await response.json(content_type=None)
            return [from_dict(ServedModel, entry) for entry in content["data"] if isinstance(entry, dict)]
    except aiohttp.ClientSSLError as fault:
        raise EndpointError(f"{url}: TLS fails: {_one_line(fault)}") from None
    except aiohttp.ClientConnectorDNSError:
        raise EndpointError(f"{url}: no such host") from None
    except aiohttp.ClientConnectorError as fault:
        number = fault.os_error.errno
        why = os.strerror(number).lower() if number else str(fault.os_error).lower()
        raise EndpointError(f"{url}: cannot connect: {why}; is the server up?") from None
    except TimeoutError:
        raise EndpointError(f"{url}: no answer within {LIMIT_S:g} s") from None
    except aiohttp.ClientError as fault:
        raise EndpointError(f"{url}: the answer is not HTTP: {_one_line(fault)}") from None
    except (ValueError, KeyError, TypeError):
        raise EndpointError(f"{url}/v1/models: the answer has no list of models") from None


def _served(listed: list[ServedModel], target: Target) -> str:
    """The model to ask for."""
    names = [str(entry.id) for entry in listed]
    if target.model is None:
        if len(names) == 1:
            return names[0]
        raise EndpointError(
            f"{target.url}: serves {len(names)} models; name one with {option('served_model')}"
            + (f": {', '.join(names[:8])}" if names else "")
        )
    if names and target.model not in names:
        raise EndpointError(
            f"{target.url}: does not serve {target.model!r}; it serves: {', '.join(names[:8])}"
        )
    return target.model


async def _about(http: ClientSession, target: Target) -> ServerVersion:
    """The answer of `/version`; no field is set if there is no such page."""
    import aiohttp

    try:
        async with http.get(f"{target.url}/version") as response:
            content = await response.json(content_type=None) if response.status == 200 else {}
    except (aiohttp.ClientError, TimeoutError, ValueError):
        return ServerVersion()
    return from_dict(ServerVersion, content) if isinstance(content, dict) else ServerVersion()


async def _has_metrics(http: ClientSession, target: Target) -> bool:
    """Whether `/metrics` has any metric of `ServerSample`."""
    import aiohttp

    from .server_metrics import has_values, parse

    try:
        async with http.get(f"{target.url}/metrics") as response:
            page = await response.text() if response.status == 200 else ""
    except (aiohttp.ClientError, TimeoutError, UnicodeDecodeError):
        return False
    return has_values(parse(page))


def _one_line(fault: Exception) -> str:
    return " ".join((str(fault) or type(fault).__name__).split())[:200]
