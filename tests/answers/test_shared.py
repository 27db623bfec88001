"""Who shares a result with whom, and who does not."""

from __future__ import annotations

import asyncio

import pytest

from vibe_orderbook_mcp.answers.shared import Shared


class Work:
    """Counts how often it is done; waits until it is let go."""

    def __init__(self) -> None:
        self.done = 0
        self.go = asyncio.Event()

    async def __call__(self) -> int:
        await self.go.wait()
        self.done += 1
        return self.done


def test_who_asks_the_same_at_once_or_again_gets_one_result() -> None:
    async def run() -> None:
        shared, work = Shared(), Work()
        asked = [asyncio.create_task(shared.get("flow", 1, work)) for _ in range(3)]
        await asyncio.sleep(0)
        work.go.set()
        assert await asyncio.gather(*asked) == [1, 1, 1]
        assert await shared.get("flow", 1, work) == 1
        assert await shared.get("profile", 1, work) == 2

    asyncio.run(run())


def test_another_basis_is_another_result() -> None:
    """An old answer is never served as a new one, not even to somebody who asked while it was being computed."""

    async def run() -> None:
        shared, work = Shared(), Work()
        old = asyncio.create_task(shared.get("flow", 1, work))
        await asyncio.sleep(0)
        new = asyncio.create_task(shared.get("flow", 2, work))
        await asyncio.sleep(0)
        work.go.set()
        assert {await old, await new} == {1, 2}
        assert await shared.get("flow", 2, work) == await new
        assert await shared.get("flow", 1, work) == 3

    asyncio.run(run())


def test_a_failure_is_told_to_all_who_waited_and_then_tried_again() -> None:
    async def run() -> None:
        shared = Shared()
        calls = 0

        async def fail() -> int:
            nonlocal calls
            calls += 1
            await asyncio.sleep(0)
            raise ValueError(calls)

        for result in await asyncio.gather(*(shared.get("flow", 1, fail) for _ in range(2)), return_exceptions=True):
            assert isinstance(result, ValueError)
        assert calls == 1
        with pytest.raises(ValueError, match="2"):
            await shared.get("flow", 1, fail)

    asyncio.run(run())


def test_who_gives_up_takes_nothing_from_the_others() -> None:
    async def run() -> None:
        shared, work = Shared(), Work()
        hasty, patient = (asyncio.create_task(shared.get("flow", 1, work)) for _ in range(2))
        await asyncio.sleep(0)
        hasty.cancel()
        await asyncio.sleep(0)
        work.go.set()
        assert await patient == 1
        assert hasty.cancelled()

    asyncio.run(run())


def test_the_questions_kept_are_the_newest() -> None:
    async def run() -> None:
        shared, work = Shared(kept=2), Work()
        work.go.set()
        for question in ("a", "b", "a", "c"):
            await shared.get(question, 1, work)
        assert work.done == 3
        await shared.get("a", 1, work)
        assert work.done == 3
        await shared.get("b", 1, work)
        assert work.done == 4

    asyncio.run(run())
