"""The simulated engine behind HTTP: an OpenAI-compatible server that answers as vLLM does, in real time.

`/v1/completions`, `/v1/chat/completions`, `/v1/models`, `/health`, `/version`, `/metrics`. It has no model:
answers are made-up words, their timing comes from the engine, and every page and answer says so. Prompts
of text are counted by words, or by a tokenizer if one is given. Without `ignore_eos`, an
answer's own length is drawn from a log-normal law that stands for no model in particular. Not here: the
engine, the protocol's JSON, pacing.
"""

from __future__ import annotations

import asyncio
import errno
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from importlib.metadata import version
from math import log
from pathlib import Path
from random import Random
from time import time
from typing import Any

from aiohttp import web

from ....analysis.core.errors import EndpointError
from ....analysis.core.option_names import option
from ..engine import BatchingEngine
from ..presets import Preset
from ..request import Scheduling
from .metrics_page import MetricsPage
from .protocol import DONE, AnswerWriter, GenerationRequest, Refusal, parse, words
from .real_time import Live, Pace

MEDIAN_TOKENS, SPREAD = 128, 0.9
"""Log-normal law of the answers that end by themselves: median, and standard deviation of the logarithm."""

LARGEST_BODY = 64 * 2**20
GRACE_S = 1.0
"""How long open streams may go on once the server must stop."""


def serve(
    preset: Preset,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    speedup: float = 1.0,
    scheduling: Scheduling = "fcfs",
    served_model: str | None = None,
    seed: int = 0,
    tokenizer: Path | None = None,
    ready: Callable[[str], None] | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM.

    Parameters
    ----------
    preset
        Model and GPU; limits such as `max_num_queued_reqs` are the preset's (see `Preset.limited`).
    host, port
        Address to listen on; port 0 takes a free one.
    speedup
        Factor by which every step is shorter.
    scheduling
        `"fcfs"` or `"priority"`.
    served_model
        Name of the model; the preset's if not given.
    seed
        Seed of what is drawn, such as lengths of answers.
    tokenizer
        A `tokenizer.json` by which text is counted; by words if not given.
    ready
        Called with the base URL once the socket listens.

    Raises
    ------
    EndpointError
        If it cannot listen on that address.
    InputError, MissingExtraError
        If the tokenizer cannot be used.
    """

    async def run() -> None:
        stopped = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stopped.set)
        async with endpoint(
            preset,
            host=host,
            port=port,
            speedup=speedup,
            scheduling=scheduling,
            served_model=served_model,
            seed=seed,
            tokenizer=tokenizer,
        ) as url:
            if ready is not None:
                ready(url)
            await stopped.wait()

    asyncio.run(run())


@asynccontextmanager
async def endpoint(
    preset: Preset,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    speedup: float = 1.0,
    scheduling: Scheduling = "fcfs",
    served_model: str | None = None,
    seed: int = 0,
    tokenizer: Path | None = None,
) -> AsyncIterator[str]:
    """Run the server in this event loop while the block lasts.

    Parameters
    ----------
    preset, host, port, speedup, scheduling, served_model, seed, tokenizer
        As in `serve`; the port is a free one if not given.

    Yields
    ------
    str
        Its base URL.

    Raises
    ------
    EndpointError
        If it cannot listen on that address.
    InputError, MissingExtraError
        If the tokenizer cannot be used.
    """
    server = _Server(preset.faster(speedup), scheduling, served_model or preset.model, seed, tokenizer)
    runner = web.AppRunner(server.app(), handler_cancellation=True, access_log=None, shutdown_timeout=GRACE_S)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port, backlog=1024)
        try:
            await site.start()
        except OSError as fault:
            raise EndpointError(f"{host}:{port}: cannot listen there: {_reason(fault)}") from None
        shown = f"[{host}]" if ":" in host else host
        yield f"http://{shown}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
        server.stop()


class _Server:
    """Handlers and what they share."""

    def __init__(
        self,
        preset: Preset,
        scheduling: Scheduling,
        served_model: str,
        seed: int,
        tokenizer: Path | None,
    ) -> None:
        self._preset = preset
        self._model = served_model
        self._random = Random(seed)
        self._answers = 0
        counts = "words" if tokenizer is None else "tokens"
        self._about = {"simulated": True, "preset": preset.name, "scheduling": scheduling, "counts": counts}
        self._count, self._count_chat = (words, words) if tokenizer is None else _counting(tokenizer)
        self._headers = {
            "X-Simulated": f"burstlens; preset={preset.name}".encode("ascii", "replace").decode()
        }
        self._page = MetricsPage(served_model, preset.name, preset.num_blocks, preset.block_size)
        self._pace = Pace(BatchingEngine(preset, scheduling=scheduling), self._page)
        self._started = int(time())

    def app(self) -> web.Application:
        """The routes."""
        app = web.Application(client_max_size=LARGEST_BODY, middlewares=[_errors])
        app.on_response_prepare.append(self._mark)
        app.router.add_post("/v1/completions", self._completions)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_get("/v1/models", self._models)
        app.router.add_get("/health", self._health)
        app.router.add_get("/version", self._version)
        app.router.add_get("/metrics", self._metrics)
        return app

    def stop(self) -> None:
        """Send no more tokens."""
        self._pace.stop()

    async def _mark(self, _request: web.BaseRequest, response: web.StreamResponse) -> None:
        response.headers.update(self._headers)

    async def _health(self, _request: web.Request) -> web.Response:
        return web.Response()

    async def _version(self, _request: web.Request) -> web.Response:
        return web.json_response({"version": f"burstlens {version('burstlens')} (simulated)", **self._about})

    async def _metrics(self, _request: web.Request) -> web.Response:
        page = self._page.page(self._pace.sample())
        return web.Response(
            body=page.encode(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
        )

    async def _models(self, _request: web.Request) -> web.Response:
        model = {
            "id": self._model,
            "object": "model",
            "created": self._started,
            "owned_by": "burstlens (simulated)",
            "root": self._preset.model,
            "max_model_len": self._preset.max_model_len,
            "simulated": True,
        }
        return web.json_response({"object": "list", "data": [model], **self._about})

    async def _completions(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, parse(await request.read(), False, self._count))

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, parse(await request.read(), True, self._count_chat))

    async def _answer(self, request: web.Request, generation: GenerationRequest) -> web.StreamResponse:
        """Submit the request to the engine and send the client its answer."""
        preset = self._preset
        if generation.model is not None and generation.model != self._model:
            raise Refusal(404, "NotFoundError", f"The model `{generation.model}` does not exist.", "model")
        room = preset.max_model_len - generation.prompt_tokens
        limit = min(room if generation.max_tokens is None else generation.max_tokens, max(room, 1))
        tokens = limit if generation.ignore_eos else self._own_length(generation.min_tokens, limit)
        live = self._pace.submit(
            generation.prompt_tokens, max(tokens, 1), generation.priority, generation.stream
        )
        if live.request.end == "too_long":
            raise Refusal(
                400,
                "BadRequestError",
                f"This model's maximum context length is {preset.max_model_len} tokens. However, your "
                f"prompt has {generation.prompt_tokens} and leaves no room for an answer.",
                "prompt",
            )
        if live.request.end == "rejected":
            full = Refusal(
                503,
                "ServiceUnavailableError",
                f"{preset.max_num_queued_reqs} requests are waiting or running; the server takes no more.",
            )
            if not generation.stream:
                raise full
            response = await _opened(request)
            await response.write(full.event() + DONE)
            return response
        self._answers += 1
        answer = AnswerWriter(generation, self._model, preset.name, self._answers)
        finish = "length" if tokens >= limit else "stop"
        try:
            if generation.stream:
                return await _streamed(request, live, answer, finish)
            await live.wake.wait()
            return web.json_response(answer.complete(live.request.generated, finish))
        finally:
            if live.request.end is None:
                self._pace.abort(live, limit)
            else:
                self._page.ended(live.request, finish, limit)

    def _own_length(self, least: int, limit: int) -> int:
        """Tokens after which an answer would end by itself."""
        drawn = round(self._random.lognormvariate(log(MEDIAN_TOKENS), SPREAD))
        return min(max(drawn, least, 1), limit)


async def _streamed(
    request: web.Request, live: Live, answer: AnswerWriter, finish: str
) -> web.StreamResponse:
    """One event for the tokens of each wake-up, as vLLM sends them."""
    response = await _opened(request)
    sent = 0
    # The client may go away at any time; whoever called gives the request up then.
    with suppress(ConnectionError):
        while live.request.end is None:
            await live.wake.wait()
            live.wake.clear()
            if live.request.end is None and live.tokens > sent:
                before, sent = sent, live.tokens
                await response.write(answer.chunk(before, sent, None))
        tokens = live.request.generated
        await response.write(answer.chunk(sent, tokens, finish) + answer.close(tokens))
        await response.write_eof()
    return response


async def _opened(request: web.Request) -> web.StreamResponse:
    """A stream of events whose head is sent at once."""
    response = web.StreamResponse(
        headers={"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-cache"}
    )
    await response.prepare(request)
    return response


@web.middleware
async def _errors(request: web.Request, handler: Callable[[web.Request], Any]) -> web.StreamResponse:
    """Refusals, unknown paths and bodies that are too large as OpenAI's error object."""
    try:
        response: web.StreamResponse = await handler(request)
    except Refusal as refusal:
        return web.json_response(refusal.body(), status=refusal.status)
    except web.HTTPException as fault:
        kind = "NotFoundError" if fault.status == 404 else "BadRequestError"
        return web.json_response(Refusal(fault.status, kind, fault.reason).body(), status=fault.status)
    return response


def _counting(tokenizer: Path) -> tuple[Callable[[str], int], Callable[[str], int]]:
    """Tokens of a completion's prompt, special ones included, and of a chat's message."""
    from ...prompts.tokenizer import load_tokenizer

    loaded = load_tokenizer(tokenizer)
    return (lambda text: len(loaded.encode(text))), (
        lambda text: len(loaded.encode(text, add_special_tokens=False))
    )


def _reason(fault: OSError) -> str:
    if fault.errno == errno.EADDRINUSE:
        return f"another program listens there; choose another {option('port')}"
    return (fault.strerror or str(fault)).lower()
