"""A headless Chromium to open pages in, driven over the DevTools protocol."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest

FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-extensions", "--disable-dev-shm-usage", "--hide-scrollbars", "--remote-debugging-port=0",
)  # fmt: skip
PATIENCE_S = 60.0


@dataclass
class Visit:
    """An opened page: what it said and asked for so far, and a way to ask it things."""

    ask: Callable[[str, dict[str, Any]], Coroutine[Any, Any, dict[str, Any]]]
    console: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    async def run(self, script: str) -> Any:
        """The value of a JavaScript expression in the page; promises are waited for."""
        answer = await self.ask(
            "Runtime.evaluate", {"expression": script, "returnByValue": True, "awaitPromise": True}
        )
        if "exceptionDetails" in answer:
            raise AssertionError(answer["exceptionDetails"].get("exception", answer["exceptionDetails"]))
        return answer["result"].get("value")

    async def drawn(self) -> None:
        """Return when the page says that all its figures are drawn."""
        until = asyncio.get_running_loop().time() + PATIENCE_S
        while not await self.run("document.documentElement?.dataset.drawn === 'all'"):
            assert asyncio.get_running_loop().time() < until, "the page never finished drawing"
            await asyncio.sleep(0.1)


class Browser:
    """One Chromium; each visit is a tab of its own."""

    def __init__(self, port: int) -> None:
        self.port = port

    def visit(
        self,
        page: Path,
        look: Callable[[Visit], Coroutine[Any, Any, Any]],
        *,
        width: int = 1280,
        height: int = 900,
        dark: bool = False,
        media: str = "screen",
    ) -> Visit:
        """Open `page` at this size and theme, let `look` examine it, and return what was noted."""
        return asyncio.run(self._visit(page, look, width, height, dark, media))

    async def _visit(
        self, page: Path, look: Callable[[Visit], Any], width: int, height: int, dark: bool, media: str
    ) -> Visit:
        async with aiohttp.ClientSession() as http:
            async with http.put(f"http://127.0.0.1:{self.port}/json/new?about:blank") as answer:
                tab = json.loads(await answer.text())
            async with http.ws_connect(tab["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}

                async def ask(method: str, parameters: dict[str, Any]) -> dict[str, Any]:
                    number = len(waiting) + 1
                    waiting[number] = asyncio.get_running_loop().create_future()
                    await socket.send_json({"id": number, "method": method, "params": parameters})
                    answer = await asyncio.wait_for(waiting[number], PATIENCE_S)
                    assert "error" not in answer, answer
                    return dict(answer["result"])

                visit = Visit(ask)
                listener = asyncio.create_task(_listen(socket, waiting, visit))
                for domain in ("Runtime", "Log", "Network", "Page"):
                    await ask(f"{domain}.enable", {})
                await ask(
                    "Emulation.setDeviceMetricsOverride",
                    {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600},
                )
                scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
                await ask("Emulation.setEmulatedMedia", {"media": media, "features": [scheme]})
                await ask("Page.navigate", {"url": page.resolve().as_uri()})
                await asyncio.sleep(0.05)
                await visit.drawn()
                await look(visit)
                listener.cancel()
            async with http.get(f"http://127.0.0.1:{self.port}/json/close/{tab['id']}"):
                pass
        return visit


async def _listen(
    socket: aiohttp.ClientWebSocketResponse, waiting: dict[int, asyncio.Future[dict[str, Any]]], visit: Visit
) -> None:
    """Hand answers to who waits for them; keep errors of the console and every request."""
    async for message in socket:
        event = json.loads(message.data)
        params = event.get("params", {})
        if "id" in event:
            waiting[event["id"]].set_result(event)
        elif event["method"] == "Network.requestWillBeSent":
            visit.requests.append(params["request"]["url"])
        elif event["method"] == "Runtime.exceptionThrown":
            visit.console.append(json.dumps(params["exceptionDetails"])[:2000])
        elif event["method"] == "Runtime.consoleAPICalled" and params["type"] in (
            "error",
            "warning",
            "assert",
        ):
            visit.console.append(json.dumps(params["args"])[:2000])
        elif event["method"] == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            visit.console.append(params["entry"]["text"])


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A headless Chromium; skips, saying so, where none is installed."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no Chromium on this machine: pages are not opened in a browser")
    profile = tmp_path_factory.mktemp("chromium")
    log = profile / "log.txt"
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [program, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=errors,
        )
        try:
            yield Browser(_port(process, log))
        finally:
            process.terminate()
            process.wait(20)


def _port(process: subprocess.Popen[bytes], log: Path) -> int:
    """The DevTools port, which Chromium chooses and writes to its error output."""
    import time

    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until and process.poll() is None:
        found = re.search(r"ws://127\.0\.0\.1:(\d+)/", log.read_text(errors="replace"))
        if found:
            return int(found[1])
        time.sleep(0.05)
    pytest.skip(f"Chromium does not start here: {log.read_text(errors='replace')[-300:]}")
