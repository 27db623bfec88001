"""The venues beside Binance spot: one market that they follow, and what they cost."""

from __future__ import annotations

from statistics import fmean
from typing import Any

import pytest

from tests.sim.clients import get, run
from vibe_orderbook_mcp.model.errors import ConfigError
from vibe_orderbook_mcp.sim import SimConfig, SimExchange
from vibe_orderbook_mcp.sim.dialects.contract import (
    Product,
    Step,
)
from vibe_orderbook_mcp.sim.dialects.wording import rfc3339
from vibe_orderbook_mcp.sim.following import FollowingModel, style_of
from vibe_orderbook_mcp.sim.model import Ids
from vibe_orderbook_mcp.sim.scenarios import scenario_of
from vibe_orderbook_mcp.sim.venue_rest import Allowance
from vibe_orderbook_mcp.sim.venues import DIALECTS, sort_names

START_MS = 1_795_000_000_000
NAME = "kraken:BTC/USD"


def stepped(*symbols: str, **options: Any) -> SimExchange:
    return SimExchange(SimConfig(symbols=symbols, seed=3, manual=True, start_ms=START_MS, history_hours=0.2, **options))


def mid(sim: SimExchange, name: str) -> float:
    truth = sim.truth(name, levels=1)
    assert truth is not None
    return (float(truth[0][0][0]) + float(truth[1][0][0])) / 2


def test_venues_follow_the_lead_market_within_a_few_bps() -> None:
    async def body() -> None:
        async with stepped("BTCUSDT", scenario="busy") as sim:
            names = [f"{venue}:{products[0].symbol}" for venue, (products, _) in DIALECTS.items()]
            for name in names:
                sim.others.market(name)
            gaps: dict[str, list[float]] = {name: [] for name in names}
            for _ in range(200):
                await sim.step(250)
                for name in names:
                    gaps[name].append((mid(sim, name) / mid(sim, "BTCUSDT") - 1) * 1e4)
            for name, found in gaps.items():
                assert max(map(abs, found)) < 25, name
                assert abs(fmean(found)) < 8, name
                assert max(found) - min(found) > 0.2, name

    run(body())


def test_a_follower_moves_half_a_second_later_at_most_and_50_ms_later_at_least() -> None:
    """Who leads can be found out from the prices alone."""
    product = Product(venue="v", symbol="BTC/USD", asset="BTC", quote="USD", price=Step(1), size=Step(8))
    jump_ms = START_MS + 5_000
    reached = set()
    for seed in range(6):
        model = FollowingModel(
            product,
            style_of(product, 60_000.0),
            seed=seed,
            start_ms=START_MS,
            ids=Ids(1, 1, 1),
            scenario=scenario_of("busy"),
            event_ms=40,
            lead=lambda at: 60_000.0 if at < jump_ms else 60_600.0,
        )
        model.advance(jump_ms + 45)
        assert model.fair < 60_100.0 * 10
        model.advance(jump_ms + 600)
        assert model.fair > 60_500.0 * 10
        reached.add(round(model.delay_ms))
    assert len(reached) == 6
    assert all(50 <= each <= 500 for each in reached)


def test_the_same_seed_gives_the_same_market_however_time_passes() -> None:
    async def books(millis: int) -> Any:
        async with stepped("BTCUSDT") as sim:
            sim.others.market(NAME)
            for _ in range(4000 // millis):
                await sim.step(millis)
            return sim.truth(NAME, levels=500)

    async def body() -> None:
        assert await books(20) == await books(4000)

    run(body())


def test_a_venue_that_nobody_asks_has_no_market() -> None:
    """Its list costs nothing either."""

    async def body() -> None:
        async with stepped("BTCUSDT") as sim:
            assert (await get(sim.rest_url, "/kraken/0/public/AssetPairs")).status_code == 200
            await sim.step(1000)
            assert sim.others.markets() == []
            await get(sim.rest_url, "/kraken/0/public/Trades", pair="XBTUSD")
            assert [market.product.name for market in sim.others.markets()] == [NAME]

    run(body())


def test_names_choose_what_a_venue_lists() -> None:
    async def body() -> None:
        async with stepped("kraken:ETH/USD") as sim:
            pairs = (await get(sim.rest_url, "/kraken/0/public/AssetPairs")).json()["result"]
            assert list(pairs) == ["XETHZUSD"]
            assert list(sim.venue.states) == ["ETHUSDT"]  # the market that it follows
            assert (await get(sim.rest_url, "/sim/truth", symbol="kraken:ETH/USD")).status_code == 200
            refused = await get(sim.rest_url, "/sim/truth", symbol=NAME)
            assert (refused.status_code, "BTC/USD" in refused.json()["error"]) == (404, True)

    run(body())


@pytest.mark.parametrize("name", ["kraken:BTC/USD", "kraken:btcusd", "kraken:btc-usd"])
def test_a_name_is_read_in_any_case_and_with_or_without_separators(name: str) -> None:
    _, others = sort_names([name])
    assert [product.symbol for product in others["kraken"]] == ["BTC/USD"]


@pytest.mark.parametrize("name", ["nowhere:BTC/USD", "kraken:BTCUSDT", "kraken:", "BTCUSD"])
def test_a_name_that_nobody_lists_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=r"list|know"):
        SimConfig(symbols=(name,)).check()


def test_a_scenario_in_one_venue_is_no_business_of_the_others() -> None:
    """A market that moved on its own comes back to the others."""

    async def body() -> None:
        async with stepped("BTCUSDT", scenario="busy") as sim:
            sim.others.market(NAME)
            await sim.step(2000)
            truth = sim.scenario("news_burst", NAME, seconds=10, side="buy", move_bps=80)
            await sim.step(9_000)
            assert truth.state == "running"
            assert mid(sim, NAME) / mid(sim, "BTCUSDT") > 1.003
            await sim.step(120_000)
            assert abs(mid(sim, NAME) / mid(sim, "BTCUSDT") - 1) < 0.001

    run(body())


def test_times_are_worded_by_the_calendar() -> None:
    from datetime import UTC, datetime

    for time_ms in (0, 951_782_399_999, 951_782_400_000, START_MS, 1_835_308_800_000, 4_107_542_399_999):
        moment = datetime.fromtimestamp(time_ms // 1000, UTC)
        assert rfc3339(time_ms, 7) == moment.strftime("%Y-%m-%dT%H:%M:%S") + f".{time_ms % 1000:03}007Z"


def test_steps_are_worded_with_their_places() -> None:
    half = Step(1, times=5)
    assert (half.text(3), half.short(4), half.number(3), half.units(1.6)) == ("1.5", "2", 1.5, 3)
    assert (Step(0).text(7), Step(8).text(1), Step(8).short(10**8)) == ("7", "0.00000001", "1")


def test_requests_beyond_the_allowance_are_refused_until_it_fills_again() -> None:
    allowance = Allowance(2, 1.0)
    assert [allowance.spend("a", 0.0) for _ in range(3)] == [True, True, False]
    assert allowance.spend("b", 0.0)
    assert allowance.spend("a", 2.0)
