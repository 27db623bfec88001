"""One product of a venue: its market as a dialect sees it. PURE."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator
from typing import Final

from vibe_orderbook_mcp.sim.dialects.contract import (
    BookChange,
    Derivatives,
    MarketEvent,
    MarketFill,
    MarketFills,
    Product,
    Sides,
)
from vibe_orderbook_mcp.sim.episode import Truth
from vibe_orderbook_mcp.sim.following import FollowingModel, PriceAt, style_of
from vibe_orderbook_mcp.sim.ledger import ASK, BID, Ledger, Levels
from vibe_orderbook_mcp.sim.matching import LevelFill
from vibe_orderbook_mcp.sim.model import Ids
from vibe_orderbook_mcp.sim.past import AggRow, PastTrades
from vibe_orderbook_mcp.sim.scenarios import AnyRequest, Scenario
from vibe_orderbook_mcp.sim.sinks import Units
from vibe_orderbook_mcp.sim.trades import TradeLog

UPDATE_IDS_A_SECOND: Final = 10_000  # several times what a busy market uses: ids of a later start are greater
FUNDING_MS: Final = 8 * 3_600_000
DAY_MS: Final = 86_400_000
KEPT_ENDS: Final = 4000
TextSides = tuple[list[tuple[str, str]], list[tuple[str, str]]]


class VenueMarket:
    """Its `sides` are those of the newest change: what the model did since is not published yet."""

    def __init__(
        self, product: Product, lead: PriceAt, *, seed: int, start_ms: int, hours: float, event_ms: int,
        scenario: Scenario,
    ) -> None:  # fmt: skip
        self.product = product
        self._lead = lead
        style = style_of(product, lead(start_ms) * (1.0 + product.lead_bps / 1e4))
        past = PastTrades(style, seed=seed, start_ms=start_ms, hours=hours, walks_as=f"{product.asset}USDT")
        ids = Ids(start_ms * UPDATE_IDS_A_SECOND // 1000, past.first_live_id - 1, past.first_live_trade_id - 1)
        self._model = FollowingModel(
            product, style, seed=seed, start_ms=start_ms, ids=ids, scenario=scenario, event_ms=event_ms, lead=lead
        )
        self._trades = TradeLog(past.first_live_id, past)
        self._hours = hours
        ledger = self._model.book.ledger
        self.sides: Sides = (dict(ledger.sides[BID]), dict(ledger.sides[ASK]))
        self.change = BookChange(start_ms, 0, ledger.last_id, ledger.last_id, (), ())
        self._changes = 0
        self._ends: deque[int] = deque([ledger.last_id])  # final ids of the newest changes
        self._ends_from = 0  # number of the first of them
        self._events: list[MarketEvent] = []

    @property
    def time_ms(self) -> int:
        return self._model.time_ms

    def advance(self, to_ms: int) -> Iterator[tuple[MarketEvent, bool]]:
        """What happens up to then, and whether a scenario loses it on its way. The book is that of the event."""
        if to_ms <= self._model.time_ms:
            return
        self._model.play(to_ms, self)
        events, self._events = self._events, []
        programme = self._model.programme
        for event in events:
            if isinstance(event, BookChange):
                self._publish(event)
            yield event, programme.is_losing and programme.loses(isinstance(event, BookChange), event.time_ms)

    def _publish(self, change: BookChange) -> None:
        for levels, rows in zip(self.sides, (change.bids, change.asks), strict=True):
            for ticks, lots in rows:
                if lots:
                    levels[ticks] = lots
                else:
                    levels.pop(ticks, None)
        self.change = change
        self._ends.append(change.final_id)
        if len(self._ends) > KEPT_ENDS:
            self._ends.popleft()
            self._ends_from += 1

    # Scenarios

    def scenario(self, request: AnyRequest) -> Truth:
        return self._model.scenario(request)

    def stop_playing(self, number: int) -> bool:
        return self._model.programme.stop(number)

    def truths(self) -> list[Truth]:
        return list(self._model.programme.truths)

    # The true book

    @property
    def ledger(self) -> Ledger:
        return self._model.book.ledger

    def text(self, sides: Levels) -> TextSides:
        price, size = self.product.price.text, self.product.size.text
        bids, asks = ([(price(ticks), size(lots)) for ticks, lots in side] for side in sides)
        return bids, asks

    # sinks.Sink

    def depth(self, event_ms: int, first_id: int, final_id: int, bids: Units, asks: Units) -> None:
        self._changes += 1
        self._events.append(BookChange(event_ms, self._changes, first_id, final_id, bids, asks))

    def fill(self, fill: LevelFill, time_ms: int, agg_id: int, first_trade_id: int, buyer_is_maker: bool) -> None:
        lots, last_id = sum(fill.sizes), first_trade_id + len(fill.sizes) - 1
        self._trades.append(AggRow(agg_id, time_ms, fill.price, lots, first_trade_id, last_id, buyer_is_maker))
        last = self._events[-1] if self._events else None
        before: list[MarketFill] = list(last.fills) if isinstance(last, MarketFills) and last.time_ms == time_ms else []
        rank = agg_id - self._trades.id_at(time_ms)
        made = MarketFills(time_ms, [*before, MarketFill(agg_id, time_ms, rank, fill.price, lots, buyer_is_maker)])
        if before:
            self._events[-1] = made
        else:
            self._events.append(made)

    def touch(self, update_id: int, top: tuple[int, int, int, int]) -> None:
        """Streams of best prices are made of the changes."""

    # What a dialect asks

    def fills_from(self, fill_id: int, limit: int) -> list[MarketFill]:
        rows = self._trades.from_id(max(fill_id, self._trades.first_id), limit)
        found: list[MarketFill] = []
        for row in rows:
            is_same_ms = bool(found) and found[-1].time_ms == row.time_ms
            rank = found[-1].rank + 1 if is_same_ms else 0 if found else row.agg_id - self._trades.id_at(row.time_ms)
            found.append(MarketFill(row.agg_id, row.time_ms, rank, row.price, row.size, row.buyer_is_maker))
        return found

    def newest_fills(self, limit: int) -> list[MarketFill]:
        return self.fills_from(self._trades.next_id - limit, limit)

    def first_fill_at(self, time_ms: int) -> int:
        return self._trades.id_at(time_ms)

    def opening_price(self) -> int:
        first = self.fills_from(self.first_fill_at(max(0, self.time_ms - DAY_MS)), 1)
        return first[0].price if first else self._model.profile.open_ticks

    def unpublished(self) -> tuple[int, Sides]:
        return self.ledger.last_id, self.ledger.sides

    def id_of_change(self, number: int) -> int:
        place = number - self._ends_from
        return self._ends[place] if 0 <= place < len(self._ends) else 0

    def derivatives(self) -> Derivatives:
        """The index is the lead's price; the mark leans towards it, and funding pays for what is between them."""
        index = self._lead(self.time_ms)
        own = self.product.price.number(round(self._model.fair))
        premium = own / index - 1.0
        return Derivatives(
            mark_price=index * (1.0 + premium / 2.0),
            index_price=index,
            funding_rate=max(-0.003, min(0.003, 0.0001 + premium / 10.0)),
            next_funding_ms=(self.time_ms // FUNDING_MS + 1) * FUNDING_MS,
            open_interest=self._open_interest(index),
        )

    def _open_interest(self, index: float) -> float:
        """In sizes: some 200 million of the quote asset, and some per cent up and down within an hour."""
        swing = 1.0 + 0.02 * math.sin(self.time_ms / 600_000.0) + 0.005 * math.sin(self.time_ms / 41_000.0)
        product = self.product
        lots = product.lots_worth(200e6 * product.liveliness * swing, index)
        return product.size.number(lots)


MakeMarket = Callable[[Product], VenueMarket]
