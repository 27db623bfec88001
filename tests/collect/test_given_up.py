"""Symbols that make room for others: nothing of them is left but their history, and they come back into it."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.answers.serving import answer, exchange, refusal, serving
from tests.collect.venue import feed_of
from tests.e2e.rig import until
from tests.patience import PATIENCE_SECS
from vibe_orderbook_mcp.collect import housekeeping, places
from vibe_orderbook_mcp.venues.binance.wire import BinanceSpot

L1, FLOW, ANOMALIES = "orderbook_l1", "get_order_flow", "detect_market_anomalies"
GONE = "ETHUSDT"


def traces(root: object, symbol: str) -> Iterator[str]:
    """Where the symbol is still known: keys and items of every container that the objects hold, however deep."""
    seen: set[int] = set()
    todo: list[tuple[str, object]] = [(type(root).__name__, root)]
    while todo:
        path, each = todo.pop()
        if id(each) in seen or isinstance(each, str | bytes | int | float):
            continue
        seen.add(id(each))
        if isinstance(each, dict):
            yield from (f"{path}[{key!r}]" for key in each if symbol in (key if isinstance(key, tuple) else (key,)))
            todo += [(f"{path}[{key!r}]", value) for key, value in each.items()]
        elif isinstance(each, list | tuple | set | frozenset | deque):
            yield from (f"{path} holds it" for item in each if item == symbol)
            todo += [(f"{path}[...]", item) for item in each]
        elif type(each).__module__.startswith("vibe_orderbook_mcp"):
            todo += [(f"{path}.{name}", value) for name, value in vars_of(each)]


def vars_of(each: Any) -> list[tuple[str, object]]:
    names = [*getattr(each, "__dict__", {}), *(name for kind in type(each).__mro__ for name in slots_of(kind))]
    return [(name, getattr(each, name)) for name in names if hasattr(each, name)]


def slots_of(kind: type) -> tuple[str, ...]:
    slots = kind.__dict__.get("__slots__", ())
    return (slots,) if isinstance(slots, str) else tuple(slots)


def left_of(root: object, symbol: str) -> list[str]:
    """But for the exchange's list of symbols, which says what can be asked for."""
    return [path for path in traces(root, symbol) if "_symbol_list" not in path]


def test_a_symbol_that_makes_room_leaves_its_history_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "KEPT_SECS", 0.5)
    monkeypatch.setattr(places, "QUESTION_SECS", 0.0)
    monkeypatch.setattr(housekeeping, "MINUTE_MS", 0)
    monkeypatch.setattr(housekeeping, "SEAL_BEFORE_MS", 0)

    async def run() -> None:
        sim = exchange("BTCUSDT", GONE, "SOLUSDT")
        async with serving(tmp_path / "db", sim, max_symbols=2, backfill_hours=1) as (_, server, client):
            runtime = server.runtime
            assert (await answer(client, L1, symbol=GONE))["status"] == "live"
            await until(lambda: runtime.recorder.snapshots_stored[GONE] >= 12)
            await answer(client, FLOW, symbol=GONE, window_duration_secs=10, detail=True)
            await answer(client, ANOMALIES, symbol=GONE, window_duration_secs=10, detail=True)
            await answer(client, "get_volume_profile", symbol=GONE, duration_hours=1)
            (line,) = feed_of(runtime).lines
            streams = set(BinanceSpot().streams_of(GONE))
            assert line.connection is not None
            assert streams <= line.connection.streams
            await asyncio.sleep(0.6)  # what is patched to ten minutes
            assert (await answer(client, L1, symbol="SOLUSDT"))["status"] == "live"
            assert set(runtime.market.symbols) == {"BTCUSDT", "SOLUSDT"}
            await until(lambda: not streams & line.connection.streams)  # type: ignore[union-attr]
            with contextlib.suppress(TimeoutError):  # what is left says more than the time
                await until(lambda: left_of(server, GONE) == [], 30)
            assert not (left := left_of(server, GONE)), left

            await asyncio.sleep(0.6)
            assert (await answer(client, L1, symbol=GONE))["status"] == "live"
            assert set(runtime.market.symbols) == {"BTCUSDT", GONE}
            history = runtime.archive.writable()
            rows = await history.rows(GONE, 0, 2**40)
            assert len(rows) >= 10  # from before
            last = rows[-1].second
            await until(lambda: runtime.recorder.snapshots_stored[GONE] >= 3)
            later = await history.rows(GONE, last + 1, 2**40)
            assert later
            async with asyncio.timeout(PATIENCE_SECS):  # trades of the time between are fetched by id
                while len(ids := await history.ids(GONE)) != 1:
                    await asyncio.sleep(0.05)
            assert ids[0][1] > ids[0][0]

    asyncio.run(run())


def test_what_is_asked_about_is_kept_and_who_comes_too_late_is_told_when_to_come_back(tmp_path: Path) -> None:
    async def run() -> None:
        async with serving(tmp_path / "db", exchange("BTCUSDT", GONE, "SOLUSDT"), max_symbols=2) as (_, server, client):
            assert (await answer(client, L1, symbol=GONE))["status"] == "live"
            server.runtime.places._newcomers.clear()  # as ten seconds later
            body = await refusal(client, L1, symbol="SOLUSDT")
            assert body["code"] == "symbol_limit_reached"
            assert 500 < body["retry_after_secs"] <= 600
            assert "in use" in body["message"]
            assert set(server.runtime.market.symbols) == {"BTCUSDT", GONE}

    asyncio.run(run())
