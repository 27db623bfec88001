"""A seeded market in one symbol: agents that place, cancel and take, on a real matching book. PURE.

Time is virtual: `advance(to_ms)` plays everything up to `to_ms` and returns what an exchange would have published.
Every draw happens at an action's own time, so the same seed gives the same stream however `advance` is stepped.

    makers    rest orders at lognormal distances from the touch and cancel them after a while; many live less than
              100 ms, so a depth event has more ids than levels
    far book  thousands of levels that are moved (cancel-replace) now and then
    takers    a self-exciting stream of marketable orders with lognormal sizes, leaning towards the fair price
    fair      a random walk with clustering volatility; makers leave levels it has passed and close the gap behind it
"""

from __future__ import annotations

import math
from heapq import heapify, heappop, heappush
from random import Random
from typing import Final, NamedTuple

from vibe_orderbook_mcp.sim.catalog import MAJOR_MAKES, Profile
from vibe_orderbook_mcp.sim.ledger import ASK, BID
from vibe_orderbook_mcp.sim.matching import Fill, MatchingBook
from vibe_orderbook_mcp.sim.scenarios import Scenario
from vibe_orderbook_mcp.sim.wire import AggTrade, BookTicker, DepthUpdate, Event, TextLevel, TradeFill

EVENT_MS: Final = 100
DISTANCE_BPS: Final = (
    math.log(4.0),
    1.9,
)  # as measured: 23 % within 1 bp, 54 % within 5, 69 % within 10, 96 % within 100
FLICKER: Final = 0.35  # share of resting orders that live for some tens of ms
REACH_BPS: Final = 3000.0  # how deep the far book goes
NEAREST_FAR_BPS: Final = 15.0  # and where it begins
FAR_SHARE: Final = 0.1
JOIN_SHARE: Final = 0.2  # orders that queue at the touch, most of them small: one taker order meets several
JOIN_FACTORS: Final = (0.03, 0.1, 0.3, 2.0)
TOLERANCE_BPS: Final = 0.4  # how far the fair price may leave the touch before makers step back
TOUCH_FACTOR: Final = 12.0  # orders at the touch are that much larger
EXCITED: Final = 0.7  # share of taker orders that follow from earlier ones
CALMING: Final = 3.0  # per second: how fast that excitement fades
VOL_FADE_S: Final = 60.0
VOL_SPREAD: Final = 0.5  # standard deviation of log volatility


class Ids(NamedTuple):
    """The ids the next update, aggregate trade and trade get, less one."""

    update: int
    agg: int
    trade: int


class MarketModel:
    def __init__(self, profile: Profile, *, seed: int, start_ms: int, ids: Ids, scenario: Scenario) -> None:
        self.profile = profile
        self.rules = profile.rules
        self.book = MatchingBook(ids.update)
        self.watch_touch = False  # book tickers are many: made only while someone listens
        self.time_ms = start_ms
        self.agg_id, self.trade_id = ids.agg, ids.trade

        self._random = Random(f"{seed}:{self.rules.symbol}")
        self._makes = profile.makes * scenario.pace / 1000.0  # per ms
        self._takes = profile.takes * scenario.pace / 1000.0
        self._patience = MAJOR_MAKES / (profile.makes * scenario.pace)  # a slow market's orders wait longer
        self._fair = float(profile.open_ticks)
        self._fair_ms = float(start_ms)
        self._log_vol = 0.0
        self._excitement = 0.0  # taker orders per ms on top of the base rate
        self._excited_ms = float(start_ms)
        self._lean = 1  # the side takers bought or sold last
        self._expiries: list[tuple[float, int]] = []
        self._far: tuple[list[int], list[int]] = ([], [])
        self._touch: tuple[int, int, int, int] | None = None

        # Events end at a phase of the 100 ms grid that is the symbol's own, as on the exchange.
        self._boundary = start_ms - start_ms % EVENT_MS + self._random.randrange(EVENT_MS)
        while self._boundary <= start_ms:
            self._boundary += EVENT_MS
        self._first_id = ids.update + 1
        self._open(start_ms)
        self._next_make = start_ms + self._random.expovariate(self._makes)
        self._next_take = start_ms + self._random.expovariate(self._takes)

    def advance(self, to_ms: int) -> list[Event]:
        """Play all actions up to and including `to_ms`."""
        out: list[Event] = []
        self.time_ms = max(self.time_ms, to_ms)
        while True:
            expiry = self._expiries[0][0] if self._expiries else math.inf
            at = min(self._next_make, self._next_take, expiry)
            if at > to_ms:
                break
            if at >= self._boundary:
                self._close_events(at, out)
            if at == expiry:
                self.book.cancel(heappop(self._expiries)[1])
            elif at == self._next_make:
                self._make(at)
                self._next_make = at + self._random.expovariate(self._makes)
            else:
                self._take(at, out)
            if self.watch_touch:
                self._show_touch(out)
        self._close_events(to_ms, out)
        return out

    # The opening book

    def _open(self, start_ms: int) -> None:
        random, profile = self._random, self.profile
        near_ms = 12_000.0 * self._patience
        for side in (BID, ASK):
            sign = -1 if side == BID else 1
            touch = profile.open_ticks - (side == BID)
            seen = set()
            for _ in range(profile.far_levels):
                bps = self._far_bps()
                price = touch + sign * max(1, round(bps * profile.open_ticks / 1e4))
                if price not in seen:
                    seen.add(price)
                    self._far[side].append(self.book.place(side, price, self._lots(1.0 + bps / 100.0)))
            self.book.place(side, touch, self._lots(TOUCH_FACTOR))
            for _ in range(int(self._makes * near_ms / 2)):
                bps = self._distance()
                life = self._life(bps)
                left = life - random.random() * near_ms
                if left > 0:
                    order = self.book.place(side, touch + sign * self._ticks(bps), self._lots(1.0))
                    self._expiries.append((start_ms + left, order))
        heapify(self._expiries)
        # The opening book is one update: its orders came before anyone could watch.
        self.book.ledger.last_id = self._first_id - 1
        self.book.ledger.forget()
        self._touch = self.book.top()

    # Agents

    def _make(self, at: float) -> None:
        """One maker acts: leaves a level the fair price has passed, closes the gap, moves a far order, or rests one."""
        book, random = self.book, self._random
        self._move_fair(at)
        bid, ask = book.best(BID), book.best(ASK)
        if bid is None or ask is None:  # a side was eaten: quote it again
            side = BID if bid is None else ASK
            book.place(side, self._near_fair(side, bid, ask), self._lots(TOUCH_FACTOR))
            return
        tolerance = max(0.5, TOLERANCE_BPS * self._fair / 1e4)
        stale = ASK if self._fair > ask + tolerance else BID if self._fair < bid - tolerance else None
        if stale is not None and (front := book.front(stale)) is not None and len(book.ledger.sides[stale]) > 1:
            book.cancel(front)
        elif ask - bid > 1 and random.random() < 0.9:
            side = BID if self._fair > (bid + ask) / 2 else ASK
            self._rest(at, side, self._near_fair(side, bid, ask), 0.0, TOUCH_FACTOR)
        elif random.random() < FAR_SHARE:
            self._move_far(bid, ask)
        else:
            side = BID if random.random() < 0.5 else ASK
            joins = random.random() < JOIN_SHARE
            bps = 0.0 if joins else self._distance()
            price = bid - self._ticks(bps) if side == BID else ask + self._ticks(bps)
            if price > 0:
                self._rest(at, side, price, bps, random.choice(JOIN_FACTORS) if joins else 1.0)

    def _near_fair(self, side: int, bid: int | None, ask: int | None) -> int:
        """Where a maker closes a gap: as near the other side as the fair price allows, and no nearer.

        Quoting beyond the fair price would only make the next maker step back, again and again.
        """
        if side == BID:
            price = math.floor(self._fair) if ask is None else min(ask - 1, math.floor(self._fair))
            return max(1, price if bid is None else max(bid + 1, price))
        price = math.ceil(self._fair) if bid is None else max(bid + 1, math.ceil(self._fair))
        return price if ask is None else min(ask - 1, price)

    def _rest(self, at: float, side: int, price: int, bps: float, factor: float) -> None:
        order = self.book.place(side, price, self._lots(factor))
        heappush(self._expiries, (at + self._life(bps), order))

    def _move_far(self, bid: int, ask: int) -> None:
        side = BID if self._random.random() < 0.5 else ASK
        far = self._far[side]
        if not far:
            return
        index = self._random.randrange(len(far))
        bps = self._far_bps()
        distance = max(1, self._ticks(bps))
        price = max(1, bid - distance) if side == BID else ask + distance
        moved = self.book.replace(far[index], price, self._lots(1.0 + bps / 100.0))
        far[index] = moved if moved is not None else self.book.place(side, price, self._lots(1.0 + bps / 100.0))

    def _take(self, at: float, out: list[Event]) -> None:
        random = self._random
        elapsed = at - self._excited_ms
        before = self._takes * (1 - EXCITED) + self._excitement
        self._excitement *= math.exp(-CALMING / 1000.0 * elapsed)
        self._excited_ms = at
        rate = self._takes * (1 - EXCITED) + self._excitement
        # Thinning: this moment was drawn at the rate of the last one, which was not lower.
        if random.random() < rate / before:
            self._excitement += EXCITED * CALMING / 1000.0
            self._move_fair(at)
            self._send_taker(int(at), out)
            rate = self._takes * (1 - EXCITED) + self._excitement
        self._next_take = at + random.expovariate(rate)

    def _send_taker(self, time_ms: int, out: list[Event]) -> None:
        random, top = self._random, self.book.top()
        if top is None:
            return
        bid, bid_size, ask, ask_size = top
        tolerance = max(1.0, TOLERANCE_BPS * self._fair / 1e4)
        pull = math.tanh((self._fair - (bid + ask) / 2) / tolerance)
        if random.random() < 0.4:  # most orders follow the one before: they are slices of the same intent
            self._lean = 1 if random.random() < 0.5 + 0.45 * pull else -1
        side = ASK if self._lean > 0 else BID
        if random.random() < 0.12:  # a sweep: the touch and some more
            lots = max(1, int((ask_size if side == ASK else bid_size) * random.uniform(0.5, 2.0)))
            limit = ask + round(3 * tolerance) if side == ASK else bid - round(3 * tolerance)
        else:
            lots = max(1, round(self.profile.typical_lots * 0.1 * random.lognormvariate(0.0, 2.2)))
            limit = ask + round(8 * tolerance) if side == ASK else bid - round(8 * tolerance)
        for fill in self.book.take(side, lots, limit):
            self._report(fill, time_ms, side == BID, out)

    def _report(self, fill: Fill, time_ms: int, buyer_is_maker: bool, out: list[Event]) -> None:
        symbol, price = self.rules.symbol, self.rules.price.text(fill.price)
        first = self.trade_id + 1
        for lots in fill.sizes:
            self.trade_id += 1
            size = self.rules.size.text(lots)
            out.append(TradeFill(time_ms, symbol, self.trade_id, price, size, time_ms, buyer_is_maker))
        self.agg_id += 1
        total = self.rules.size.text(sum(fill.sizes))
        out.append(AggTrade(time_ms, symbol, self.agg_id, price, total, first, self.trade_id, time_ms, buyer_is_maker))

    # Draws

    def _move_fair(self, at: float) -> None:
        elapsed = (at - self._fair_ms) / 1000.0
        if elapsed <= 0:
            return
        self._fair_ms = at
        gauss, fade = self._random.gauss, min(1.0, elapsed / VOL_FADE_S)
        self._log_vol += -self._log_vol * fade + VOL_SPREAD * math.sqrt(2 * fade) * gauss(0.0, 1.0)
        vol = self.profile.vol_bps * math.exp(max(-2.0, min(2.0, self._log_vol)))
        # The faintest pull home keeps a demo that runs for weeks within sight of its opening price.
        home = (self.profile.open_ticks - self._fair) * min(1.0, elapsed / 200_000.0)
        self._fair += home + self._fair * vol / 1e4 * math.sqrt(min(elapsed, 60.0)) * gauss(0.0, 1.0)
        self._fair = max(self._fair, 2.0)

    def _distance(self) -> float:
        return min(self._random.lognormvariate(*DISTANCE_BPS), REACH_BPS)

    def _far_bps(self) -> float:
        return NEAREST_FAR_BPS * math.pow(REACH_BPS / NEAREST_FAR_BPS, self._random.random())

    def _ticks(self, bps: float) -> int:
        return int(bps * self._fair / 1e4)

    def _life(self, bps: float) -> float:
        """How long an order rests, in ms: those at the touch are pulled first."""
        mean = 40.0 if self._random.random() < FLICKER else 800.0 + 400.0 * min(bps, 100.0)
        return self._random.expovariate(1.0 / mean) * self._patience

    def _lots(self, factor: float) -> int:
        return max(1, round(self.profile.typical_lots * factor * self._random.lognormvariate(0.0, 1.3)))

    # What is published

    def _close_events(self, at: float, out: list[Event]) -> None:
        """End the event whose time has come. An event holds what happened before its `E`: T + 1 <= E."""
        if at < self._boundary:
            return
        ledger = self.book.ledger
        if ledger.last_id >= self._first_id:
            bids, asks = ledger.close_event(self._boundary)
            first, self._first_id = self._first_id, ledger.last_id + 1
            out.append(
                DepthUpdate(self._boundary, self.rules.symbol, first, ledger.last_id, self.text(bids), self.text(asks))
            )
        self._boundary += ((int(at) - self._boundary) // EVENT_MS + 1) * EVENT_MS

    def text(self, levels: list[tuple[int, int]]) -> list[TextLevel]:
        price, size = self.rules.price.text, self.rules.size.text
        return [(price(ticks), size(lots)) for ticks, lots in levels]

    def _show_touch(self, out: list[Event]) -> None:
        top = self.book.top()
        if top is None or top == self._touch:
            return
        self._touch = top
        bid, bid_size, ask, ask_size = top
        price, size = self.rules.price.text, self.rules.size.text
        out.append(
            BookTicker(
                self.book.ledger.last_id, self.rules.symbol, price(bid), size(bid_size), price(ask), size(ask_size)
            )
        )
