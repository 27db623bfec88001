"""A pair as Kraken would send it: a book of orders at random, cut to the subscribed depth, with its checksum.

Written after Kraken's documents, in decimal text, and so by another way than the product's doubles.
"""

from __future__ import annotations

import json
from decimal import Decimal
from random import Random
from typing import Any
from zlib import crc32

from vibe_orderbook_mcp.model.symbol import SymbolSpec

SYMBOL = "BTC/USD"
SPEC = SymbolSpec(SYMBOL, "BTC", "USD", Decimal("0.1"), Decimal("0.00000001"))

Text = tuple[str, str]


class Sender:
    """`frames` are JSON text as the exchange would send it; the first one is a snapshot."""

    def __init__(self, seed: int, depth: int = 10, levels: int = 40) -> None:
        self._random = Random(seed)
        self._depth = depth
        self._millis = 0
        # Around 100.0: the number of digits changes there, and the order of texts is not the order of prices.
        self._sides: tuple[dict[Decimal, Decimal], dict[Decimal, Decimal]] = ({}, {})
        for side, sign in enumerate((-1, 1)):
            for away in range(1, levels + 1):
                self._sides[side][Decimal("100.0") + sign * away * Decimal("0.1")] = self._size()

    def snapshot(self) -> str:
        return self._frame("snapshot", *map(self._window, (0, 1)))

    def update(self) -> str:
        """Some levels change. What enters the window is sent, and what falls out of it is not."""
        before = [dict(self._window(side)) for side in (0, 1)]
        rows: list[list[Text]] = [[], []]
        for _ in range(self._random.choice((1, 1, 2, 5))):
            side = self._random.randrange(2)
            levels = self._sides[side]
            near = sorted(levels, reverse=side == 0)[: self._depth + 2]
            price = self._random.choice(near)
            if self._random.random() < 0.4 and len(levels) > self._depth + 5:
                del levels[price]
            elif self._random.random() < 0.5:
                levels[price] = self._size()
            else:
                inner = price + (Decimal("0.1") if side == 0 else Decimal("-0.1"))
                if inner > 0 and inner not in self._sides[1 - side]:
                    levels[inner] = self._size()
        for side in (0, 1):
            after = dict(self._window(side))
            kept = self._sides[side]
            rows[side] += [(price, "0.00000000") for price in before[side] if Decimal(price) not in kept]
            rows[side] += [(price, size) for price, size in after.items() if before[side].get(price) != size]
        self._random.shuffle(rows[0])
        self._random.shuffle(rows[1])
        return self._frame("update", *rows)

    def best(self, side: int) -> float:
        return float(self._window(side)[0][0])

    @property
    def levels(self) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
        """The window of both sides, best first."""
        bids, asks = ([(float(price), float(size)) for price, size in self._window(side)] for side in (0, 1))
        return bids, asks

    def _window(self, side: int) -> list[Text]:
        levels = self._sides[side]
        best = sorted(levels, reverse=side == 0)[: self._depth]
        return [(f"{price:.1f}", f"{levels[price]:.8f}") for price in best]

    def _size(self) -> Decimal:
        return Decimal(self._random.randrange(1, 5_000_000_000)).scaleb(-8)

    def _frame(self, kind: str, bids: list[Text], asks: list[Text]) -> str:
        self._millis += self._random.randrange(200)
        seconds, millis = divmod(self._millis, 1000)
        said = "".join(
            part.replace(".", "").lstrip("0") for side in (1, 0) for level in self._window(side)[:10] for part in level
        )
        stamp = f"2026-08-01T00:{seconds // 60 % 60:02}:{seconds % 60:02}.{millis:03}000Z"
        sides = [",".join(f'{{"price":{price},"qty":{size}}}' for price, size in levels) for levels in (bids, asks)]
        return (
            f'{{"channel":"book","type":"{kind}","data":[{{"symbol":"{SYMBOL}","bids":[{sides[0]}],"asks":[{sides[1]}],'
            f'"checksum":{crc32(said.encode())},"timestamp":"{stamp}"}}]}}'
        )


def changed(frame: str, **values: Any) -> str:
    """The same frame with other values in its book."""
    message = json.loads(frame)
    message["data"][0].update(values)
    return json.dumps(message)
