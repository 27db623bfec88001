"""A matching engine for one symbol: price-time priority, one update id for each action that changes the book. PURE.

Prices and sizes are integers of ticks and lots. A bid's key is its price, an ask's key its negated price, so that on
both sides the best level is the last of an ascending list.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import NamedTuple

from vibe_orderbook_mcp.sim.ledger import ASK, BID, Ledger


class LevelFill(NamedTuple):
    """What a taker order took from one level: a size for each resting order it met."""

    price: int
    sizes: list[int]


class MatchingBook:
    def __init__(self, last_id: int) -> None:
        self.ledger = Ledger(last_id)
        self.orders: dict[int, tuple[int, int]] = {}  # order id -> side, price
        self._queues: tuple[dict[int, dict[int, int]], dict[int, dict[int, int]]] = ({}, {})  # price -> id -> lots
        self._keys: tuple[list[int], list[int]] = ([], [])
        self._next_order = 1
        self._hidden: dict[int, tuple[int, int]] = {}  # iceberg's id -> tranche, lots not shown yet

    def best(self, side: int) -> int | None:
        keys = self._keys[side]
        if not keys:
            return None
        return keys[-1] if side == BID else -keys[-1]

    def top(self) -> tuple[int, int, int, int] | None:
        """Best bid and ask with their sizes; None while a side is empty."""
        bid, ask = self.best(BID), self.best(ASK)
        if bid is None or ask is None:
            return None
        bids, asks = self.ledger.sides
        return bid, bids[bid], ask, asks[ask]

    def front(self, side: int) -> int | None:
        """The order that would be filled first."""
        price = self.best(side)
        return None if price is None else next(iter(self._queues[side][price]))

    def place(self, side: int, price: int, lots: int) -> int:
        """Rest a limit order. The caller keeps it passive: a price that crosses is a fault of the agent."""
        other = self.best(1 - side)
        if other is not None and (price >= other if side == BID else price <= other):
            raise ValueError(f"a passive order at {price} would cross {other}")
        self.ledger.last_id += 1
        return self._rest(side, price, lots)

    def place_iceberg(self, side: int, price: int, tranche: int, total: int) -> int:
        """Rest an order that shows `tranche` of `total`; the next tranche queues behind the others at its price."""
        order_id = self.place(side, price, min(tranche, total))
        if total > tranche:
            self._hidden[order_id] = (tranche, total - tranche)
        return order_id

    def shown(self, order_id: int) -> int:
        """What is left of an order, as far as it is shown; 0 when it is gone."""
        if order_id not in self.orders:
            return 0
        side, price = self.orders[order_id]
        return self._queues[side][price][order_id]

    def hidden(self, order_id: int) -> int:
        return self._hidden.get(order_id, (0, 0))[1]

    def orders_at(self, side: int, price: int) -> list[tuple[int, int]]:
        """(order id, lots shown) in the order of the queue."""
        return list(self._queues[side].get(price, {}).items())

    def prices(self, side: int, limit: int | None = None) -> list[int]:
        """Prices with orders from the best to `limit`, inclusive; all of them without a limit."""
        keys = self._keys[side]
        start = 0 if limit is None else bisect_left(keys, limit if side == BID else -limit)
        return [key if side == BID else -key for key in reversed(keys[start:])]

    def cancel(self, order_id: int) -> bool:
        """Take an order out; False when it is gone already, which is no action and uses no id."""
        if order_id not in self.orders:
            return False
        self.ledger.last_id += 1
        self._remove(order_id)
        return True

    def replace(self, order_id: int, price: int, lots: int) -> int | None:
        """Cancel-replace on the same side: two levels under one id. None when the order is gone already."""
        if order_id not in self.orders:
            return None
        side = self.orders[order_id][0]
        self.ledger.last_id += 1
        self._remove(order_id)
        return self._rest(side, price, lots)

    def take(self, side: int, lots: int, limit: int) -> list[LevelFill]:
        """A taker order eats resting orders of `side` from the best on, up to `limit`; what is left is dropped."""
        fills: list[LevelFill] = []
        queues, sizes = self._queues[side], self.ledger.sides[side]
        while lots:
            price = self.best(side)
            if price is None or (price > limit if side == ASK else price < limit):
                break
            if not fills:
                self.ledger.last_id += 1
            queue = queues[price]
            taken: list[int] = []
            left = sizes[price]
            while lots and queue:
                order_id, resting = next(iter(queue.items()))
                part = min(lots, resting)
                taken.append(part)
                lots -= part
                left -= part
                if part == resting:
                    del queue[order_id]
                    left += self._show_next(order_id, queue)
                else:
                    queue[order_id] = resting - part  # keeps its place in the queue
            self.ledger.put(side, price, left)
            if not queue:
                del queues[price]
                self._keys[side].pop()
            fills.append(LevelFill(price, taken))
        return fills

    def _show_next(self, order_id: int, queue: dict[int, int]) -> int:
        """An order's shown part was filled: an iceberg shows its next tranche, any other order is done."""
        tranche, hidden = self._hidden.pop(order_id, (0, 0))
        if not hidden:
            del self.orders[order_id]
            return 0
        shown = queue[order_id] = min(tranche, hidden)
        if hidden > shown:
            self._hidden[order_id] = (tranche, hidden - shown)
        return shown

    def _rest(self, side: int, price: int, lots: int) -> int:
        order_id = self._next_order
        self._next_order += 1
        self.orders[order_id] = (side, price)
        queue = self._queues[side].get(price)
        if queue is None:
            self._queues[side][price] = {order_id: lots}
            insort(self._keys[side], price if side == BID else -price)
            self.ledger.put(side, price, lots)
        else:
            queue[order_id] = lots
            self.ledger.put(side, price, self.ledger.sides[side][price] + lots)
        return order_id

    def _remove(self, order_id: int) -> None:
        side, price = self.orders.pop(order_id)
        self._hidden.pop(order_id, None)
        queue = self._queues[side][price]
        lots = queue.pop(order_id)
        self.ledger.put(side, price, self.ledger.sides[side][price] - lots)
        if not queue:
            del self._queues[side][price]
            keys = self._keys[side]
            key = price if side == BID else -price
            del keys[bisect_left(keys, key)]
