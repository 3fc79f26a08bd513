"""The engine's model once more, step by step and request by request: what `engine` is checked against.

Written from vLLM's scheduling loop and the latency equation alone; shares no code with the engine and jumps
over nothing. Slow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from burstlens.bench.simulated.presets import Preset


@dataclass(eq=False)
class Arrival:
    """A request as it was submitted, and what became of it."""

    id: int
    arrival_s: float
    prompt: int
    answer: int
    priority: int = 0
    abort_s: float = float("inf")
    end: str | None = None
    ended_s: float = float("nan")
    token_s: list[float] = field(default_factory=list)
    computed: int = 0
    known: int = 0
    decodes: bool = False
    preemptions: int = 0


def run(
    preset: Preset, sent: Sequence[Arrival], scheduling: str, seen: list[Mapping[str, float]] | None = None
) -> None:
    """Serve all requests, filling in their ends; `seen` gets the state at the end of every step."""
    size = preset.block_size
    running: list[Arrival] = []
    waiting: list[Arrival] = []
    coming = sorted(sent, key=lambda r: (r.arrival_s, r.id))
    now = 0.0

    def blocks(tokens: int) -> int:
        return (tokens + size - 1) // size

    def used() -> int:
        return sum(blocks(r.computed) for r in running)

    def rank(r: Arrival) -> tuple[int, float, int]:
        return (r.priority, r.arrival_s, r.id)

    def arrive(until: float) -> None:
        # Arrivals and aborts in order of time; at one instant whatever a step's end brought comes first.
        events = [(r.arrival_s, 0, r) for r in coming if r.arrival_s <= until]
        events += [(r.abort_s, 1, r) for r in [*running, *waiting, *coming] if r.abort_s <= until]
        for at, kind, r in sorted(events, key=lambda e: (e[0], e[1], e[2].id)):
            if kind == 1:
                if r.end is None:
                    r.end, r.ended_s = "aborted", at
                    if r in waiting:
                        waiting.remove(r)
                continue
            coming.remove(r)
            living = sum(q.end is None for q in running) + len(waiting)
            # An aborted request keeps its place until the step ends.
            living += sum(q.end is not None for q in running)
            if r.prompt >= preset.max_model_len:
                r.end, r.ended_s = "too_long", at
            elif preset.max_num_queued_reqs is not None and living >= preset.max_num_queued_reqs:
                r.end, r.ended_s = "rejected", at
            else:
                r.answer = min(r.answer, preset.max_model_len - r.prompt)
                r.known = r.prompt
                waiting.append(r)

    def preempt(r: Arrival) -> None:
        running.remove(r)
        r.computed = 0
        r.decodes = False
        r.preemptions += 1
        waiting.insert(0, r)

    planned = 0.0
    while running or waiting or coming:
        if not running and not waiting:
            now = max(now, coming[0].arrival_s)
            arrive(now)
            continue
        # Planned ahead, a step knows who came before the step before it began, unless that is nobody.
        if not preset.async_scheduling or not (running or any(r.arrival_s <= planned for r in waiting)):
            planned = now
        # Decide the step: running requests first, then waiting ones.
        budget = preset.max_num_batched_tokens
        chunk: dict[Arrival, int] = {}
        used_blocks = used()
        preempted = False
        i = 0
        while i < len(running) and budget > 0:
            r = running[i]
            n = min(r.known - r.computed, budget)
            more = blocks(r.computed + n) - blocks(r.computed)
            fits = True
            while used_blocks + more > preset.num_blocks:
                victim = running[-1] if scheduling == "fcfs" else max(running, key=rank)
                used_blocks -= blocks(victim.computed + chunk.get(victim, 0))
                if victim in chunk:
                    budget += chunk.pop(victim)
                    i -= 1
                preempt(victim)
                preempted = True
                if victim is r:
                    fits = False
                    break
            if not fits:
                break
            used_blocks += more
            budget -= n
            chunk[r] = n
            i += 1
        if not preempted:
            while budget > 0 and len(running) < preset.max_num_seqs:
                known = [r for r in waiting if r.arrival_s <= planned]
                if not known:
                    break
                r = known[0] if scheduling == "fcfs" else min(known, key=rank)
                if used_blocks + blocks(r.known) > preset.num_blocks:
                    break
                n = min(r.known, budget)
                used_blocks += blocks(n)
                budget -= n
                waiting.remove(r)
                running.append(r)
                chunk[r] = n
        if not chunk:
            continue
        # Its time. What was preempted prefills again, its last chunk too.
        cost = preset.latency
        prefill = [r for r in chunk if not r.decodes]
        decode = [r for r in chunk if r.decodes]
        tokens = sum(chunk[r] for r in prefill)
        squares = sum(chunk[r] * (2 * r.computed + chunk[r]) for r in prefill)
        more_ms = cost.b_ms * tokens + cost.c_ms * squares
        if not prefill:
            base_ms = cost.a_d_ms
        elif cost.h_ms:
            base_ms = max(cost.h_ms, cost.a_p_ms + more_ms)
        else:
            base_ms = max(cost.a_d_ms, cost.a_p_ms) + more_ms
        step_ms = (
            base_ms + cost.d_us / 1e3 * sum(r.computed + 1 for r in decode) + cost.e_us / 1e3 * len(decode)
        )
        start_s = planned = now
        now += step_ms / 1e3
        if seen is not None:
            seen.append({"begun": start_s, "ended": now, "taken": used_blocks, "running": len(running)})
        # What came in the midst of the step waits for its end; what came at its end waits for the tokens.
        arrive(_before(now))
        for r, n in chunk.items():
            r.computed += n
            if r.computed == r.known:
                r.known += 1
                r.decodes = True
                if r.end is None:
                    r.token_s.append(now)
                if r.known == r.prompt + r.answer:
                    running.remove(r)
                    if r.end is None:
                        r.end, r.ended_s = "finished", now
        running[:] = [r for r in running if r.end is None]
        arrive(now)
        running[:] = [r for r in running if r.end is None]


def _before(at: float) -> float:
    return at - 1e-12
