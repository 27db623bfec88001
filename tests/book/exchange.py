"""A small true book, and connections that cut its changes into frames: the oracle of the synchronisation tests."""

from __future__ import annotations

from decimal import Decimal

from vibe_orderbook_mcp.book.book import BookSide
from vibe_orderbook_mcp.model.events import DepthSnapshot, DepthUpdate, Side
from vibe_orderbook_mcp.model.symbol import SymbolSpec

SYMBOL = "BNBBTC"
SPEC = SymbolSpec(SYMBOL, "BNB", "BTC", Decimal("0.01000000"), Decimal("0.00100000"), Decimal(100_000), Decimal(9000))

Levels = dict[float, float]


def price_at(ticks: int) -> float:
    return ticks / 100


def size_at(lots: int) -> float:
    return lots / 1000


def depth(
    first_id: int,
    final_id: int,
    bids: list[tuple[float, float]] | None = None,
    asks: list[tuple[float, float]] | None = None,
    *,
    event_ms: int = 1_000,
) -> DepthUpdate:
    return DepthUpdate(SYMBOL, event_ms, first_id, final_id, bids or [], asks or [])


class TrueBook:
    """The exchange's own book. Every action gets the next id; states of all ids are kept."""

    def __init__(self, first_id: int = 100) -> None:
        self.id = first_id
        self.bids: Levels = {}
        self.asks: Levels = {}
        self.states: dict[int, tuple[Levels, Levels]] = {first_id: ({}, {})}
        self._touched: dict[int, set[tuple[Side, float]]] = {first_id: set()}

    def act(self, side: Side, price: float, size: float) -> None:
        """Set a level under one id. What would cross it is swept away by the same action: one id, several rows."""
        self.id += 1
        touched: set[tuple[Side, float]] = {(side, price)}
        own, other = (self.bids, self.asks) if side == "bid" else (self.asks, self.bids)
        if size > 0.0:
            crossed = [p for p in other if (p <= price if side == "bid" else p >= price)]
            for swept in crossed:
                del other[swept]
                touched.add(("ask" if side == "bid" else "bid", swept))
            own[price] = size
        else:
            own.pop(price, None)
        self.states[self.id] = (dict(self.bids), dict(self.asks))
        self._touched[self.id] = touched

    def frame(self, first_id: int, final_id: int) -> DepthUpdate:
        """All levels touched by these ids as they stood after the last: fewer rows than ids, or more."""
        bids, asks = self.states[final_id]
        touched = set[tuple[Side, float]]().union(*(self._touched[i] for i in range(first_id, final_id + 1)))
        return depth(
            first_id,
            final_id,
            [(price, bids.get(price, 0.0)) for side, price in sorted(touched) if side == "bid"],
            [(price, asks.get(price, 0.0)) for side, price in sorted(touched) if side == "ask"],
            event_ms=1_000 + final_id,
        )

    def snapshot(self, update_id: int, limit: int) -> DepthSnapshot:
        bids, asks = self.states[update_id]
        return DepthSnapshot(
            update_id,
            sorted(bids.items(), reverse=True)[:limit],
            sorted(asks.items())[:limit],
        )


class Connection:
    """Frames of the true book from the moment it was opened, cut where it likes, on their way."""

    def __init__(self, truth: TrueBook) -> None:
        self._truth = truth
        self._next_id = truth.id + 1
        self.on_the_way: list[DepthUpdate] = []

    def cut(self) -> None:
        if self._next_id <= self._truth.id:
            self.on_the_way.append(self._truth.frame(self._next_id, self._truth.id))
            self._next_id = self._truth.id + 1


def within_horizon(side: BookSide) -> Levels:
    return {price: size for price, size in side.sizes.items() if not side.is_beyond_horizon(price)}


def assert_true_side(side: BookSide, truth: Levels) -> None:
    """Complete and exact up to the horizon; beyond it every level that is shown is exact, too."""
    assert within_horizon(side) == {price: size for price, size in truth.items() if not side.is_beyond_horizon(price)}
    assert side.sizes.items() <= truth.items()
    assert side.prices == sorted(side.sizes)
