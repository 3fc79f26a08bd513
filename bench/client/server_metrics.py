"""The server's own metrics, read from its `/metrics` page at even steps on the run's clock.

Names are vLLM's. Not here: what the samples mean (`metrics.per_second`, `server.calibrate`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..record.models import ServerSample
from ..record.run_folder import Writer

if TYPE_CHECKING:
    from aiohttp import ClientSession

NAMES: dict[str, tuple[str, ...]] = {
    "kv_cache_use": ("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"),
    "running": ("vllm:num_requests_running",),
    "waiting": ("vllm:num_requests_waiting",),
    "preemptions": ("vllm:num_preemptions_total", "vllm:num_preemptions"),
    "rejections": ("vllm:admission_rejections_total",),
    "prompt_tokens": ("vllm:prompt_tokens_total",),
    "generation_tokens": ("vllm:generation_tokens_total",),
}
"""Fields of `ServerSample` and the metrics that they come from, the current name first."""
MEANS = ("kv_cache_use",)
"""Averaged over a server's engines; everything else is summed."""


def parse(page: str, at_s: float = 0.0) -> ServerSample:
    """Read the metrics of `ServerSample` from a page.

    Parameters
    ----------
    page
        A page in Prometheus' text format.
    at_s
        Instant of the sample, in seconds of the run.

    Returns
    -------
    ServerSample
        None for a metric that the page does not have.
    """
    found: dict[str, list[float]] = {}
    names_read = {name for names in NAMES.values() for name in names}
    for line in page.splitlines():
        name = line.partition("{")[0].partition(" ")[0]
        if name in names_read:
            # Label values may hold spaces: the number is what follows the closing brace.
            rest = line[line.rindex("}") + 1 :] if "{" in line else line[len(name) :]
            try:
                found.setdefault(name, []).append(float(rest.split()[0]))
            except (ValueError, IndexError):
                continue
    out: dict[str, float | None] = {}
    for column, names in NAMES.items():
        values = next((found[name] for name in names if name in found), None)
        total = None if values is None else sum(values)
        out[column] = total / len(values) if values and total is not None and column in MEANS else total
    return ServerSample(at_s=round(at_s, 6), **out)


def has_values(sample: ServerSample) -> bool:
    """Check whether a sample has any metric at all."""
    return any(getattr(sample, name) is not None for name in NAMES)


async def sample(
    http: ClientSession,
    url: str,
    headers: dict[str, str],
    step_s: float,
    clock: Callable[[], float],
    writer: Writer,
    watch: Callable[[ServerSample], None],
) -> None:
    """Append samples until cancelled; a page that does not come leaves a hole.

    Parameters
    ----------
    http
        An open session.
    url
        Base URL of the server.
    headers
        Headers of every request.
    step_s
        Seconds between samples.
    clock
        Gives the run's time in seconds.
    writer
        Writes the samples.
    watch
        Called with each sample.
    """
    import aiohttp

    limit = aiohttp.ClientTimeout(total=max(step_s, 1.0) * 5)
    due = max(clock(), 0.0)
    while True:
        await asyncio.sleep(due - clock())
        due += step_s
        at_s = clock()
        try:
            async with http.get(f"{url}/metrics", headers=headers, timeout=limit) as response:
                page = await response.text() if response.status == 200 else ""
        except (aiohttp.ClientError, TimeoutError, UnicodeDecodeError):
            page = ""
        taken = parse(page, at_s)
        if has_values(taken):
            writer.add(taken)
            watch(taken)
        while due < clock():
            due += step_s


assert {"at_s", *NAMES} == set(ServerSample.__struct_fields__)
