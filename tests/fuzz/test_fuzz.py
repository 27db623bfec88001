"""A few seconds of what `scripts/fuzz` does for minutes."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from pathlib import Path

from mcp import Client
from mcp.client.sse import sse_client

from tests.answers.serving import exchange
from tests.collect.venue import feed_of
from tests.e2e.rig import listening
from tests.fuzz.calls import call_at_random
from tests.fuzz.frames import BEYOND
from tests.fuzz.pipeline import Pipeline
from tests.serve.http_rig import http_serving


def test_any_call_is_answered_or_refused_as_the_interface_says(tmp_path: Path) -> None:
    async def run() -> Counter[str]:
        seen: Counter[str] = Counter()
        async with exchange("BTCUSDT", "ETHUSDT") as sim, http_serving(tmp_path / "db", sim, max_symbols=3) as served:
            assert await feed_of(served.runtime).wait_live("BTCUSDT", 10)
            async with (
                Client(sse_client(f"{served.url}/sse")) as one,
                Client(f"{served.url}/mcp", mode="legacy") as two,
            ):
                with listening("ERROR") as logged:
                    await asyncio.gather(
                        call_at_random(one, random.Random(1), 250, seen),
                        call_at_random(two, random.Random(2), 250, seen),
                    )
                assert logged.messages == []
        return seen

    seen = asyncio.run(run())
    assert sum(seen.values()) == 500
    assert seen["answered"] > 20
    assert seen["invalid_argument"] > 100


def test_any_frame_ends_in_a_right_book_and_a_readable_history(tmp_path: Path) -> None:
    async def run() -> Counter[str]:
        pipeline = Pipeline(("BTCUSDT", "WANUSDT"), tmp_path / "db", seed=3)
        with listening("ERROR") as logged:
            await pipeline.run(4000)
        assert [text for text in logged.messages if not BEYOND.search(text)] == []
        return pipeline.seen

    seen = asyncio.run(run())
    for outcome in ("malformed", "applied", "gap", "old", "crossed", "trade", "of no symbol", "rows read back"):
        assert seen[outcome] > 0, outcome
