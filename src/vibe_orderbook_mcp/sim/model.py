"""A seeded market in one symbol: agents that place, cancel and take, on a real matching book. PURE.

Time is virtual: `advance(to_ms)` plays everything up to `to_ms` and returns what an exchange would have published.
Every draw happens at an action's own time, so the same seed gives the same stream however `advance` is stepped.

    makers    rest orders at lognormal distances from the touch and cancel them after a while; many live less than
              100 ms, so a depth event has more ids than levels
    far book  thousands of levels that are moved (cancel-replace) now and then
    takers    a self-exciting stream of marketable orders with lognormal sizes, leaning towards the fair price
    fair      a random walk with clustering volatility; makers leave levels it has passed and close the gap behind it

Scenarios are played between the agents' actions (`episode.py`); the mood they set is how agents take notice.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from heapq import heapify, heappop, heappush
from random import Random
from typing import Final, NamedTuple

from vibe_orderbook_mcp.sim.catalog import MAJOR_MAKES, TradingStyle
from vibe_orderbook_mcp.sim.episode import Truth
from vibe_orderbook_mcp.sim.ledger import ASK, BID
from vibe_orderbook_mcp.sim.matching import MatchingBook
from vibe_orderbook_mcp.sim.programme import Programme
from vibe_orderbook_mcp.sim.scenarios import AnyRequest, Scenario
from vibe_orderbook_mcp.sim.sinks import MarketSink, TextSink
from vibe_orderbook_mcp.sim.stage import USUAL, Mood
from vibe_orderbook_mcp.sim.wire import Event, TextLevel

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
IDS_A_MAKE: Final = 1.75  # updates for each order a maker rests: it is cancelled too, unless it is filled


class Ids(NamedTuple):
    """The ids the next update, aggregate trade and trade get, less one."""

    update: int
    agg: int
    trade: int


class MarketModel:
    def __init__(
        self,
        profile: TradingStyle,
        *,
        seed: int,
        start_ms: int,
        ids: Ids,
        scenario: Scenario,
        event_ms: int = EVENT_MS,
    ) -> None:
        self.profile = profile
        self.rules = profile.rules
        self.name = f"{seed}:{profile.rules.symbol}"
        self.book = MatchingBook(ids.update)
        self.mood = USUAL
        self.programme = Programme(self)
        self.taken = [0, 0]  # lots that takers took from each side since the start
        self.watch_touch = False  # book tickers are many: made only while someone listens
        self.time_ms = start_ms
        self.agg_id, self.trade_id = ids.agg, ids.trade

        self._random = Random(self.name)
        self._usual_makes = self._makes = profile.makes * scenario.pace / 1000.0  # per ms
        self._usual_takes = self._takes = profile.takes * scenario.pace / 1000.0
        # A slow market's orders wait longer.
        self._usual_patience = self._patience = MAJOR_MAKES / (profile.makes * scenario.pace)
        self.fair = float(profile.open_ticks)
        self.fair_seen: Callable[[float, float], None] | None = None  # is called with time and fair price, if set
        self._fair_ms = float(start_ms)
        self._log_vol = 0.0
        self._excitement = 0.0  # taker orders per ms on top of the base rate
        self._excited_ms = float(start_ms)
        self._lean = 1  # the side takers bought or sold last
        self._expiries: list[tuple[float, int]] = []
        self._far: tuple[list[int], list[int]] = ([], [])
        self._touch: tuple[int, int, int, int] | None = None

        # Events end at a phase of the grid (of 100 ms) that is the symbol's own, as on the exchange.
        self._event_ms = event_ms
        self._boundary = start_ms - start_ms % event_ms + self._random.randrange(event_ms)
        while self._boundary <= start_ms:
            self._boundary += event_ms
        self._first_id = ids.update + 1
        self._open(start_ms)
        self._next_make = start_ms + self._random.expovariate(self._makes)
        self._next_take = start_ms + self._random.expovariate(self._takes)

    def advance(self, to_ms: int) -> list[Event]:
        """Play all actions up to and including `to_ms`."""
        sink = TextSink(self.rules)
        self.play(to_ms, sink)
        return sink.events

    def play(self, to_ms: int, sink: MarketSink) -> None:
        """The same, with events sent to a sink."""
        self.time_ms = max(self.time_ms, to_ms)
        programme = self.programme
        while True:
            expiry = self._expiries[0][0] if self._expiries else math.inf
            at = min(self._next_make, self._next_take, expiry, programme.next_ms)
            if at > to_ms:
                break
            if at >= self._boundary:
                self._close_events(at, sink)
            if at == expiry:
                self.book.cancel(heappop(self._expiries)[1])
            elif at == self._next_make:
                self._make(at)
                self._next_make = at + self._random.expovariate(self._makes)
            elif at == self._next_take:
                self._take(at, sink)
            else:
                programme.step(at, sink)
            if self.watch_touch:
                self._show_touch(sink)
        self._close_events(to_ms, sink)

    # For scenarios

    def scenario(self, request: AnyRequest) -> Truth:
        """Have something happen. The answer is filled in while it does."""
        return self.programme.add(request)

    def set_mood(self, mood: Mood, at: float) -> None:
        """The agents change their ways at this moment; nobody is excited by what was before."""
        self._move_fair(at)
        self.mood = mood
        self._makes, self._takes = self._usual_makes * mood.makes, self._usual_takes * mood.takes
        self._patience = self._usual_patience / mood.makes
        self._excitement, self._excited_ms = 0.0, at
        self._next_make = at + self._random.expovariate(self._makes)
        calm = self._takes * (1 - EXCITED)
        self._next_take = at + self._random.expovariate(calm) if calm else math.inf

    def send(self, side: int, lots: int, limit: int, time_ms: int, sink: MarketSink) -> int:
        """A taker order that eats `side`; how many lots it got."""
        got = 0
        for fill in self.book.take(side, lots, limit):
            first = self.trade_id + 1
            self.trade_id += len(fill.sizes)
            self.agg_id += 1
            got += sum(fill.sizes)
            sink.fill(fill, time_ms, self.agg_id, first, side == BID)
        self.taken[side] += got
        return got

    @property
    def takes_a_second(self) -> float:
        return self._usual_takes * 1000.0

    @property
    def makes_a_second(self) -> float:
        return self._usual_makes * 1000.0

    def recent_ids_per_s(self) -> float:
        """Updates a second in up to the last minute; what is to be expected, where less than 10 s of it are known."""
        known = self.book.ledger.boundaries
        if known and (passed := known[-1].event_ms - known[0].event_ms) >= 10_000:
            return (known[-1].final_id - known[0].final_id) * 1000.0 / passed
        return self.makes_a_second * IDS_A_MAKE

    def expire(self, at: float, order_id: int) -> None:
        """The order is cancelled then."""
        heappush(self._expiries, (at, order_id))

    def far_place(self, side: int) -> dict[int, int]:
        """Orders of the far book -> their place in it."""
        return {order_id: place for place, order_id in enumerate(self._far[side])}

    def set_far(self, side: int, place: int, order_id: int) -> None:
        self._far[side][place] = order_id

    def life(self, bps: float) -> float:
        return self._life(bps)

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
        bid, ask, absent = book.best(BID), book.best(ASK), self.mood.absent
        if bid is None or ask is None:  # a side was eaten: quote it again
            side = BID if bid is None else ASK
            if side != absent:
                book.place(side, self._near_fair(side, bid, ask), self._lots(TOUCH_FACTOR))
            elif (best := book.best(1 - side)) is not None:
                self._join(at, 1 - side, best)
            return
        tolerance = max(0.5, TOLERANCE_BPS * self.fair / 1e4)
        stale = ASK if self.fair > ask + tolerance else BID if self.fair < bid - tolerance else None
        if stale is not None and (front := book.front(stale)) is not None and len(book.ledger.sides[stale]) > 1:
            book.cancel(front)
        elif ask - bid > 1 and random.random() < 0.9:
            side = BID if self.fair > (bid + ask) / 2 else ASK
            if side != absent:
                self._rest(at, side, self._near_fair(side, bid, ask), 0.0, TOUCH_FACTOR)
        elif random.random() < FAR_SHARE:
            self._move_far(bid, ask)
        else:
            side = BID if random.random() < 0.5 else ASK
            self._join(at, side, bid if side == BID else ask)

    def _join(self, at: float, side: int, best: int) -> None:
        """Rest an order at the touch or behind it."""
        random = self._random
        joins = random.random() < JOIN_SHARE
        bps = 0.0 if joins else self._distance()
        price = best - self._ticks(bps) if side == BID else best + self._ticks(bps)
        if price > 0 and side != self.mood.absent:
            self._rest(at, side, price, bps, random.choice(JOIN_FACTORS) if joins else 1.0)

    def _near_fair(self, side: int, bid: int | None, ask: int | None) -> int:
        """Where a maker closes a gap: as near the other side as the fair price allows, and no nearer.

        Quoting beyond the fair price would only make the next maker step back, again and again.
        """
        if side == BID:
            price = math.floor(self.fair) if ask is None else min(ask - 1, math.floor(self.fair))
            return max(1, price if bid is None else max(bid + 1, price))
        price = math.ceil(self.fair) if bid is None else max(bid + 1, math.ceil(self.fair))
        return price if ask is None else min(ask - 1, price)

    def _rest(self, at: float, side: int, price: int, bps: float, factor: float) -> None:
        if self.mood.avoided == (side, price):
            price += -1 if side == BID else 1
        order = self.book.place(side, price, self._lots(factor))
        heappush(self._expiries, (at + self._life(bps), order))

    def _move_far(self, bid: int, ask: int) -> None:
        side = BID if self._random.random() < 0.5 else ASK
        far = self._far[side]
        if not far or side == self.mood.absent:
            return
        index = self._random.randrange(len(far))
        bps = self._far_bps()
        distance = max(1, self._ticks(bps))
        price = max(1, bid - distance) if side == BID else ask + distance
        moved = self.book.replace(far[index], price, self._lots(1.0 + bps / 100.0))
        far[index] = moved if moved is not None else self.book.place(side, price, self._lots(1.0 + bps / 100.0))

    def _take(self, at: float, sink: MarketSink) -> None:
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
            self._send_taker(int(at), sink)
            rate = self._takes * (1 - EXCITED) + self._excitement
        self._next_take = at + random.expovariate(rate)

    def _send_taker(self, time_ms: int, sink: MarketSink) -> None:
        random, top = self._random, self.book.top()
        if top is None:
            return
        bid, bid_size, ask, ask_size = top
        tolerance = max(1.0, TOLERANCE_BPS * self.fair / 1e4)
        pull = math.tanh((self.fair - (bid + ask) / 2) / tolerance)
        if random.random() < 0.4:  # most orders follow the one before: they are slices of the same intent
            self._lean = 1 if random.random() < 0.5 + 0.45 * pull else -1
        side = ASK if self._lean > 0 else BID
        if random.random() < 0.12:  # a sweep: the touch and some more
            lots = max(1, int((ask_size if side == ASK else bid_size) * random.uniform(0.5, 2.0)))
            limit = ask + round(3 * tolerance) if side == ASK else bid - round(3 * tolerance)
        else:
            lots = max(1, round(self.profile.typical_lots * 0.1 * random.lognormvariate(0.0, 2.2)))
            limit = ask + round(8 * tolerance) if side == ASK else bid - round(8 * tolerance)
        self.send(side, lots, limit, time_ms, sink)

    # Draws

    def _move_fair(self, at: float) -> None:
        elapsed = (at - self._fair_ms) / 1000.0
        if elapsed <= 0:
            return
        self._fair_ms = at
        mood = self.mood
        if mood.drift:
            self.fair *= 1.0 + mood.drift / 1e4 * elapsed
        if not mood.vol:
            self._show_fair(at)
            return
        gauss, fade = self._random.gauss, min(1.0, elapsed / VOL_FADE_S)
        self._log_vol += -self._log_vol * fade + VOL_SPREAD * math.sqrt(2 * fade) * gauss(0.0, 1.0)
        vol = mood.vol * self.profile.vol_bps * math.exp(max(-2.0, min(2.0, self._log_vol)))
        # The faintest pull home keeps a demo that runs for weeks within sight of its opening price.
        home = (self.profile.open_ticks - self.fair) * min(1.0, elapsed / 200_000.0)
        self.fair += home + self.fair * vol / 1e4 * math.sqrt(min(elapsed, 60.0)) * gauss(0.0, 1.0)
        self.fair = max(self.fair, 2.0)
        self._show_fair(at)

    def _show_fair(self, at: float) -> None:
        if self.fair_seen is not None:
            self.fair_seen(at, self.fair)

    def _distance(self) -> float:
        return min(self._random.lognormvariate(*DISTANCE_BPS), REACH_BPS)

    def _far_bps(self) -> float:
        return NEAREST_FAR_BPS * math.pow(REACH_BPS / NEAREST_FAR_BPS, self._random.random())

    def _ticks(self, bps: float) -> int:
        return int(bps * self.fair / 1e4)

    def _life(self, bps: float) -> float:
        """How long an order rests, in ms: those at the touch are pulled first."""
        mean = 40.0 if self._random.random() < FLICKER else 800.0 + 400.0 * min(bps, 100.0)
        return self._random.expovariate(1.0 / mean) * self._patience

    def _lots(self, factor: float) -> int:
        return max(1, round(self.profile.typical_lots * factor * self._random.lognormvariate(0.0, 1.3)))

    # What is published

    def _close_events(self, at: float, sink: MarketSink) -> None:
        """End the event whose time has come. An event holds what happened before its `E`: T + 1 <= E."""
        if at < self._boundary:
            return
        ledger = self.book.ledger
        if ledger.last_id >= self._first_id:
            bids, asks = ledger.close_event(self._boundary)
            first, self._first_id = self._first_id, ledger.last_id + 1
            sink.depth(self._boundary, first, ledger.last_id, bids, asks)
        self._boundary += ((int(at) - self._boundary) // self._event_ms + 1) * self._event_ms

    def text(self, levels: list[tuple[int, int]]) -> list[TextLevel]:
        price, size = self.rules.price.text, self.rules.size.text
        return [(price(ticks), size(lots)) for ticks, lots in levels]

    def _show_touch(self, sink: MarketSink) -> None:
        top = self.book.top()
        if top is None or top == self._touch:
            return
        self._touch = top
        sink.touch(self.book.ledger.last_id, top)
