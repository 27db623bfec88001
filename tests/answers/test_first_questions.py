"""The first question about a symbol that nobody has asked for is answered after a little waiting, by every tool."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from mcp import Client

from tests.answers.serving import Mode, serving
from tests.serve.http_rig import http_serving
from tests.serve.test_http import until_ready
from vibe_orderbook_mcp.analytics.windows import Span, check_coverage
from vibe_orderbook_mcp.collect import asking
from vibe_orderbook_mcp.model import refusals
from vibe_orderbook_mcp.model.errors import Refusal
from vibe_orderbook_mcp.serve import waiting
from vibe_orderbook_mcp.serve.waiting import TELL, Patience, Waiting
from vibe_orderbook_mcp.sim import SimConfig, SimExchange

FIRST: list[tuple[str, str, dict[str, Any]]] = [
    ("orderbook_l1", "ETHUSDT", {}),
    ("orderbook_l2", "SOLUSDT", {}),
    ("get_order_flow", "BNBUSDT", {"window_duration_secs": 10}),
    ("get_volume_profile", "XRPUSDT", {}),
    ("get_microstructure_health", "DOGEUSDT", {"window_duration_secs": 10}),
    ("get_liquidity_vacuums", "ADAUSDT", {}),
    ("detect_market_anomalies", "LINKUSDT", {"window_duration_secs": 10}),
]


def exchange() -> SimExchange:
    symbols = ("BTCUSDT", *(symbol for _, symbol, _ in FIRST))
    return SimExchange(SimConfig(symbols=symbols, seed=5, history_hours=2.0))


def test_the_first_question_about_a_symbol_is_answered_by_every_tool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five of seven refused, two of them with a hint that was not the reason."""
    for module, name in ((waiting, "WAIT_SECS"), (asking, "ANSWER_SECS")):
        monkeypatch.setattr(module, name, 120.0)  # a busy machine takes its time

    async def run() -> None:
        async with serving(tmp_path / "db", exchange(), backfill_hours=1) as (_, _server, client):
            results = await asyncio.gather(
                *(client.call_tool(tool, {"symbol": symbol, **more}) for tool, symbol, more in FIRST)
            )
            for (tool, symbol, _), result in zip(FIRST, results, strict=True):
                assert not result.is_error, (tool, result.content)
                assert (result.structured_content or {})["symbol"] == symbol

    asyncio.run(run())


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_who_asks_to_be_told_hears_how_far_the_answer_is(mode: Mode, tmp_path: Path) -> None:
    async def run() -> None:
        heard: list[tuple[float, float | None, str | None]] = []

        async def told(progress: float, total: float | None, message: str | None) -> None:
            heard.append((progress, total, message))

        async with exchange() as sim, http_serving(tmp_path / "db", sim) as served:
            await until_ready(served)
            async with Client(f"{served.url}/mcp", mode=mode) as client:
                await client.call_tool("orderbook_l1", {"symbol": "ETHUSDT"})
                arguments = {"symbol": "ETHUSDT", "window_duration_secs": 20}
                result = await client.call_tool("get_order_flow", arguments, progress_callback=told)
                assert not result.is_error, result.content
            assert [done for done, _, _ in heard] == sorted(done for done, _, _ in heard)
            assert heard
            for done, total, message in heard:
                assert total is not None
                assert done < total
                assert "recorded" in (message or "")

    asyncio.run(run())


def too_early(left_secs: float | None, *, is_passing: bool = True) -> Refusal:
    refusal = Refusal("insufficient_historical_data", "Not yet.", "Later.", retry_after_secs=left_secs)
    refusal.is_passing = is_passing
    return refusal


async def asked(*outcomes: Refusal | str, crowd: int = 0) -> tuple[str | Refusal, int]:
    """What comes of a question whose work ends in these ways, and how often it was asked."""
    left, place = list(outcomes), Waiting()
    place.count = crowd
    asks = 0

    async def work() -> str:
        nonlocal asks
        asks += 1
        outcome = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(outcome, Refusal):
            raise outcome
        return outcome

    try:
        return await place.ask(work, Patience()), asks
    except Refusal as refusal:
        return refusal, asks


def test_nobody_waits_where_waiting_does_not_help(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        assert await asked(too_early(0.01), too_early(0.01), "answer") == ("answer", 3)
        assert await asked("answer") == ("answer", 1)
        for refusal in (
            too_early(waiting.WAIT_SECS + 1.0),  # too long
            too_early(None),  # nobody knows how long
            too_early(1.0, is_passing=False),  # the feed has stopped
            Refusal("syncing", "Not yet.", "Later.", retry_after_secs=0.01),  # that was waited for already
            Refusal("invalid_argument", "No.", "Mend it."),
        ):
            assert await asked(refusal, "answer") == (refusal, 1)
        crowded = too_early(0.01)
        assert await asked(crowded, "answer", crowd=waiting.WAITING_MOST) == (crowded, 1)

    asyncio.run(run())


def test_a_poor_answer_waits_for_a_better_one_as_long_as_others_wait() -> None:
    """A profile of one second is kept back while older trades are coming, and given when they do not come in time."""

    async def run() -> None:
        soon, late = too_early(0.01), too_early(waiting.WAIT_SECS + 1.0)
        soon.meanwhile = late.meanwhile = "poor"
        assert await asked(soon, soon, "better") == ("better", 3)
        assert await asked(late, "better") == ("poor", 1)
        assert await asked(soon, late, "better") == ("poor", 2)
        assert await asked(soon, "better", crowd=waiting.WAITING_MOST) == ("poor", 1)

    asyncio.run(run())


def test_the_first_profile_of_a_symbol_has_more_than_its_first_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eleven trades of one second had a point of control and a value area."""
    for module, name in ((waiting, "WAIT_SECS"), (asking, "ANSWER_SECS")):
        monkeypatch.setattr(module, name, 120.0)  # a busy machine takes its time

    async def run() -> None:
        async with serving(tmp_path / "db", exchange(), backfill_hours=1) as (_, _server, client):
            result = await client.call_tool("get_volume_profile", {"symbol": "XRPUSDT"})
            assert not result.is_error, result.content
            body = result.structured_content or {}
            assert body["window"]["covered_secs"] >= 300.0

    asyncio.run(run())


def test_who_hears_meanwhile_is_kept_waiting_for_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        monkeypatch.setattr(waiting, "WAIT_SECS", 0.05)
        monkeypatch.setattr(waiting, "STEP_SECS", 0.01)
        heard = []

        async def tell(done: float, total: float, why: str) -> None:
            heard.append((done, total, why))

        long = too_early(1.0)
        assert await asked(long, "answer") == (long, 1)
        TELL.set(tell)
        assert await asked(long, long, "answer") == ("answer", 3)
        assert [why for _, _, why in heard] == ["Not yet."] * 2

    asyncio.run(run())


def test_who_asks_for_no_progress_is_kept_waiting_until_a_new_symbol_has_its_first_window() -> None:
    """Most clients ask for none. Ten seconds were two too few: each first question about flow was refused."""
    with pytest.raises(Refusal) as refused:
        check_coverage("BTCUSDT", [], Span(1_000, 1_060))
    first_window_secs = (refused.value.retry_after_secs or 0.0) + refusals.WRITE_LAG_SECS
    assert 0.0 < first_window_secs <= waiting.WAIT_SECS
