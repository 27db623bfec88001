"""A symbol as Bybit would send it: a book of orders at random, its best levels exactly, an id for each frame.

Written after Bybit's documents, in decimal text, and so by another way than the product's doubles. `SlowBook` is a
second implementation of the rules, which says of any frames what can be known of them.
"""

from __future__ import annotations

import json
from decimal import Decimal
from random import Random
from typing import Any

from vibe_orderbook_mcp.model.symbol import SymbolSpec

SYMBOL = "BTCUSDT"
SPEC = SymbolSpec(f"bybit:{SYMBOL}", "BTC", "USDT", Decimal("0.10"), Decimal("0.000001"))
DEPTH = 30

Text = tuple[str, str]


class Sender:
    """Frames are JSON text as the exchange would send it; `snapshot` begins the book, again and again."""

    def __init__(self, seed: int, *, levels: int = DEPTH + 20) -> None:
        self._random = Random(seed)
        self._millis = 1_785_542_400_000
        self._least = min(levels, DEPTH + 5)
        self.update_id = 10**7 * seed + 5
        # Around 100.0: the number of digits changes there, and the order of texts is not the order of prices.
        self._sides: tuple[dict[Decimal, Decimal], dict[Decimal, Decimal]] = ({}, {})
        for side, sign in enumerate((-1, 1)):
            for away in range(1, levels + 1):
                self._sides[side][Decimal("100.00") + sign * away * Decimal("0.10")] = self._size()

    def snapshot(self) -> str:
        return self._frame("snapshot", *map(self._window, (0, 1)))

    def restart(self) -> str:
        """The service starts again: the whole book with id 1."""
        self.update_id = 1
        return self.snapshot()

    def update(self) -> str:
        """Some levels change. Whatever enters or leaves the window is sent."""
        before = [dict(self._window(side)) for side in (0, 1)]
        for _ in range(self._random.choice((1, 1, 2, 5))):
            side = self._random.randrange(2)
            levels = self._sides[side]
            price = self._random.choice(sorted(levels, reverse=side == 0)[: DEPTH + 2])
            if self._random.random() < 0.4 and len(levels) > self._least:
                del levels[price]
            elif self._random.random() < 0.5:
                levels[price] = self._size()
            else:
                inner = price + (Decimal("0.10") if side == 0 else Decimal("-0.10"))
                if inner > 0 and inner not in self._sides[1 - side]:
                    levels[inner] = self._size()
        rows: list[list[Text]] = []
        for side in (0, 1):
            after = dict(self._window(side))
            rows.append([(price, "0") for price in before[side] if price not in after])
            rows[side] += [(price, size) for price, size in after.items() if before[side].get(price) != size]
        self.update_id += 1
        return self._frame("delta", *rows)

    @property
    def levels(self) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
        """The window of both sides, best first."""
        bids, asks = ([(float(price), float(size)) for price, size in self._window(side)] for side in (0, 1))
        return bids, asks

    def _window(self, side: int) -> list[Text]:
        levels = self._sides[side]
        return [(f"{price:.2f}", f"{levels[price]:.6f}") for price in sorted(levels, reverse=side == 0)[:DEPTH]]

    def _size(self) -> Decimal:
        return Decimal(self._random.randrange(1, 5_000_000)).scaleb(-6)

    def _frame(self, kind: str, bids: list[Text], asks: list[Text]) -> str:
        self._millis += self._random.randrange(200)
        book = {"s": SYMBOL, "b": bids, "a": asks, "u": self.update_id, "seq": 3 * self.update_id + 10**10}
        topic = f"orderbook.200.{SYMBOL}"
        return json.dumps({"topic": topic, "type": kind, "ts": self._millis + 9, "data": book, "cts": self._millis})


class SlowBook:
    """One book by the documents, in text: `read` says whether a frame proves a fault."""

    def __init__(self) -> None:
        self._sides: tuple[dict[str, str], dict[str, str]] = ({}, {})
        self._update_id: int | None = None
        self._was_full = [False, False]

    def read(self, frame: str) -> bool:
        message = json.loads(frame)
        book = message["data"]
        if message["type"] == "snapshot" or book["u"] == 1:
            self._sides, self._was_full = ({}, {}), [False, False]
        elif self._update_id is None or book["u"] != self._update_id + 1:
            return self._update_id is not None and book["u"] != self._update_id  # else the same one again
        self._update_id = book["u"]
        is_wrong = False
        for side, (levels, rows) in enumerate(zip(self._sides, (book["b"], book["a"]), strict=True)):
            for price, size in rows:
                levels.pop(price, None)
                if Decimal(size):
                    levels[price] = size
            is_wrong |= len(levels) > DEPTH or (len(levels) < DEPTH and self._was_full[side])
            self._was_full[side] |= len(levels) == DEPTH
        return is_wrong

    def window(self, side: int) -> list[Text]:
        return sorted(self._sides[side].items(), key=lambda level: Decimal(level[0]), reverse=side == 0)


def changed(frame: str, **values: Any) -> str:
    """The same frame with other values in its book."""
    message = json.loads(frame)
    message["data"].update(values)
    return json.dumps(message)


def fill(name: str, **values: Any) -> dict[str, Any]:
    """A trade of the topic `publicTrade`."""
    row = {"T": 1785542401999, "s": SYMBOL, "S": "Buy", "v": "0.25", "p": "100.10", "L": "PlusTick", "i": name}
    return {**row, "BT": False, "RPI": False, "seq": 7, **values}


def trades(*rows: dict[str, Any]) -> bytes:
    topic = f"publicTrade.{SYMBOL}"
    return json.dumps({"topic": topic, "type": "snapshot", "ts": 1785542402003, "data": rows}).encode()
