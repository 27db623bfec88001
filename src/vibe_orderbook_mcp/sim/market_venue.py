"""The model behind the sockets: one market a symbol, driven by the clock (or by a test's own steps)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from vibe_orderbook_mcp.model.errors import ConfigError
from vibe_orderbook_mcp.sim.catalog import TradingStyle
from vibe_orderbook_mcp.sim.episode import Truth
from vibe_orderbook_mcp.sim.model import Ids, MarketModel
from vibe_orderbook_mcp.sim.past import AggRow, PastTrades
from vibe_orderbook_mcp.sim.scenarios import AnyRequest, Scenario
from vibe_orderbook_mcp.sim.trades import TradeLog
from vibe_orderbook_mcp.sim.venue import Drained, Publish, SymbolTruth, Wanted
from vibe_orderbook_mcp.sim.wire import AggTrade, BookTicker, DepthEvent, Event, TradeFill

STEP_MS: Final = 20  # trades reach clients at most this much late
SLICE_MS: Final = 200  # after a pause (a suspended laptop) time is made up in slices, so that sockets stay alive
UPDATE_IDS_A_SECOND: Final = 10_000  # several times what a busy market uses: ids of a later start are greater


class ModelVenue:
    source = "simulated"

    def __init__(
        self,
        profiles: Sequence[TradingStyle],
        *,
        seed: int,
        scenario: Scenario,
        history_hours: float,
        start_ms: int,
        manual: bool,
    ) -> None:
        self.states: dict[str, SymbolTruth] = {}
        self._models: dict[str, MarketModel] = {}
        self._offset_ms = start_ms - int(time.time() * 1000)
        self._manual_ms = start_ms if manual else None
        self._publish: Publish = lambda _symbol, _events: None
        self._wanted: Wanted = lambda _stream: False
        self.followers: Callable[[int], None] = lambda _to_ms: None  # is called when all markets are at a time
        for profile in profiles:
            past = PastTrades(profile, seed=seed, start_ms=start_ms, hours=history_hours)
            ids = Ids(start_ms * UPDATE_IDS_A_SECOND // 1000, past.first_live_id - 1, past.first_live_trade_id - 1)
            model = MarketModel(profile, seed=seed, start_ms=start_ms, ids=ids, scenario=scenario)
            symbol = profile.rules.symbol
            self._models[symbol] = model
            self.states[symbol] = SymbolTruth(profile.rules, model.book.ledger, TradeLog(past.first_live_id, past))

    def now_ms(self) -> int:
        if self._manual_ms is not None:
            return self._manual_ms
        # The wall clock: a machine that slept must find the exchange's time gone on. Models ignore steps backwards.
        return int(time.time() * 1000) + self._offset_ms

    def refresh(self, symbol: str) -> None:
        """A question is answered at its own moment, not the last step's: ids inside an event are the rule there too."""
        self._advance(symbol, self.now_ms())

    def model(self, symbol: str) -> MarketModel | None:
        """The market of a symbol, at now."""
        if symbol in self._models:
            self.refresh(symbol)
        return self._models.get(symbol)

    def play(self, request: AnyRequest) -> Truth:
        """Have something happen in a symbol's market, counted from now."""
        model = self._models.get(request.symbol)
        if model is None:
            raise ConfigError(f"The simulated exchange does not list {request.symbol!r}.")
        self.refresh(request.symbol)
        return model.scenario(request)

    def truths(self) -> list[Truth]:
        """What happens and has happened, symbol by symbol in the order of its planning."""
        return [truth for model in self._models.values() for truth in model.programme.truths]

    def stop_playing(self, symbol: str, number: int) -> bool:
        """End a scenario now; False when there is none."""
        model = self._models.get(symbol)
        return model is not None and model.programme.stop(number)

    async def ready(self, symbol: str) -> bool:
        self.refresh(symbol)
        return True

    async def run(self, publish: Publish, wanted: Wanted, drained: Drained) -> None:
        self._publish, self._wanted = publish, wanted
        while True:
            await asyncio.sleep(STEP_MS / 1000)
            if self._manual_ms is None:
                await self._catch_up(self.now_ms())

    async def step(self, millis: int) -> None:
        """Let `millis` pass at once (manual venues only) and publish what happened."""
        if self._manual_ms is None:
            raise RuntimeError("time passes by the clock here; ask for a manual exchange to step it")
        self._manual_ms += millis
        await self._catch_up(self._manual_ms)

    async def _catch_up(self, now_ms: int) -> None:
        while True:
            behind = False
            for symbol, model in self._models.items():
                to_ms = min(now_ms, model.time_ms + SLICE_MS)
                self._advance(symbol, to_ms)
                behind |= to_ms < now_ms
            self.followers(min((model.time_ms for model in self._models.values()), default=now_ms))
            if not behind:
                return
            await asyncio.sleep(0)

    def _advance(self, symbol: str, to_ms: int) -> None:
        model = self._models[symbol]
        if to_ms <= model.time_ms:
            return
        model.watch_touch = self._wanted(f"{symbol.lower()}@bookTicker")
        events = model.advance(to_ms)
        if events:
            self._remember(self.states[symbol], events)
            self._publish(symbol, _delivered(model, events, to_ms))

    def _remember(self, state: SymbolTruth, events: Sequence[Event]) -> None:
        price, size = state.rules.price.units, state.rules.size.units
        for event in events:
            if isinstance(event, AggTrade):
                row = AggRow(
                    event.agg_id,
                    event.time_ms,
                    price(event.price),
                    size(event.size),
                    event.first_trade_id,
                    event.last_trade_id,
                    event.buyer_is_maker,
                )
                state.trades.append(row)
            elif isinstance(event, TradeFill):
                state.trades.fills.append(event)

    def subscribed(self, stream: str) -> None:
        """A market trades whether or not anyone listens."""

    def exchange_info(self) -> dict[str, Any] | None:
        return None

    def status(self) -> dict[str, Any]:
        return {"mode": "model", "time_ms": self.now_ms(), "symbols": list(self.states)}


def _delivered(model: MarketModel, events: list[Event], now_ms: int) -> list[Event]:
    """Without those that a scenario loses. A book ticker carries no time: it is as late as can be."""
    programme = model.programme
    if not programme.is_losing:
        return events
    return [
        event
        for event in events
        if not programme.loses(
            isinstance(event, DepthEvent), now_ms if isinstance(event, BookTicker) else event.event_ms
        )
    ]
