"""Bodies made ahead: in order, not too many, and never silently lost."""

from __future__ import annotations

import asyncio
import threading

import pytest

from burstlens.bench.client import body_queue as module
from burstlens.bench.client.body_queue import BodyPrefetcher


@pytest.mark.parametrize("early", [True, False])
def test_bodies_come_in_order_and_only_so_many_are_made_ahead(
    early: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TOKENS", 50)
    rows, built_rows, ahead_of = list(range(5, 105)), [], []

    def make(row: int) -> bytes:
        built_rows.append(row)
        return b"%d" % row

    async def run() -> list[bytes]:
        ahead = BodyPrefetcher(make, rows, [10] * 100)
        if early:
            ahead.prepare()
            assert built_rows == rows[:5]
        bodies = []
        for _ in rows:
            bodies.append(await ahead.next())
            ahead_of.append(len(built_rows) - len(bodies))
        bodies.append(await ahead.out_of_turn(7))
        ahead.close()
        return bodies

    assert asyncio.run(run()) == [b"%d" % row for row in [*rows, 7]]
    assert max(ahead_of) <= 5


def test_a_prompt_larger_than_the_bound_is_made_all_the_same() -> None:
    async def run() -> bytes:
        ahead = BodyPrefetcher(lambda _: b"large", [0], [10 * module.TOKENS])
        body = await ahead.next()
        ahead.close()
        return body

    assert asyncio.run(run()) == b"large"


def test_the_loop_goes_on_while_a_body_is_made() -> None:
    going_on = threading.Event()

    async def run() -> bytes:
        ahead = BodyPrefetcher(lambda _: b"made" if going_on.wait(10) else b"the loop stood still", [0], [1])
        asyncio.get_running_loop().call_soon(going_on.set)
        body = await ahead.next()
        ahead.close()
        return body

    assert asyncio.run(run()) == b"made"


def test_what_making_raises_is_raised_in_its_turn() -> None:
    def make(row: int) -> bytes:
        if row == 1:
            raise ValueError("no prompt")
        return b"fine"

    async def run() -> None:
        ahead = BodyPrefetcher(make, [0, 1], [1, 1])
        try:
            assert await ahead.next() == b"fine"
            with pytest.raises(ValueError, match="no prompt"):
                await ahead.next()
        finally:
            ahead.close()

    asyncio.run(run())
