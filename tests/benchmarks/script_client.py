"""The yardstick: what one writes in an hour, asyncio and aiohttp, to send requests at their instants.

`python script_client.py LOG.csv URL MODEL OUT.jsonl`. It keeps the schedule and does nothing else: no classes
of failure, no verdict, no metrics, no record before the end. LOG has three columns: arrival_s,
request_tokens, response_tokens.
"""

import asyncio
import csv
import json
import random
import sys
import time
from typing import Any

import aiohttp


async def send(
    http: aiohttp.ClientSession,
    url: str,
    body: dict[str, Any],
    due: float,
    origin: float,
    rows: list[dict[str, Any]],
) -> None:
    sent = time.monotonic() - origin
    row: dict[str, Any] = {"intended_s": due, "sent_s": sent, "gaps_s": [], "outcome": "ok"}
    rows.append(row)
    last = None
    try:
        async with http.post(url, json=body) as response:
            response.raise_for_status()
            async for line in response.content:
                text = line.decode().strip()
                if not text.startswith("data: ") or text == "data: [DONE]":
                    continue
                chunk, now = json.loads(text[6:]), time.monotonic() - origin
                if chunk.get("usage"):
                    row["response_tokens"] = chunk["usage"]["completion_tokens"]
                if chunk["choices"]:
                    if last is None:
                        row["first_token_s"] = now
                    else:
                        row["gaps_s"].append(now - last)
                    last = now
    except (aiohttp.ClientError, TimeoutError) as fault:
        row["outcome"] = type(fault).__name__
    row["ended_s"] = time.monotonic() - origin


async def main(log: str, url: str, model: str, out: str) -> None:
    with open(log, newline="") as file:  # noqa: PTH123
        load = [[float(value) for value in row] for row in list(csv.reader(file))[1:]]
    rows: list[dict[str, Any]] = []
    tasks = []
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=600)) as http:
        origin = time.monotonic() + 0.05
        for due, into, tokens in load:
            prompt = [random.randrange(256, 32_000) for _ in range(int(into))]
            body = {"model": model, "prompt": prompt, "max_tokens": int(tokens), "ignore_eos": True}
            body |= {"stream": True, "stream_options": {"include_usage": True}}
            await asyncio.sleep(max(origin + due - time.monotonic(), 0))
            tasks.append(asyncio.create_task(send(http, f"{url}/v1/completions", body, due, origin, rows)))
        await asyncio.gather(*tasks)
    with open(out, "w") as file:  # noqa: PTH123
        file.writelines(json.dumps(row) + "\n" for row in rows)


asyncio.run(main(*sys.argv[1:]))
