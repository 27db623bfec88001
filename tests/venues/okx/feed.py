"""An instrument as OKX would send it: a book of orders at random, its window, its sequence ids, its checksum.

Written after OKX's documents, in decimal text, and so by another way than the product's doubles. `SlowBook` is a second
implementation of the rules, which says of any frames what can be known of them.
"""

from __future__ import annotations

import json
from decimal import Decimal
from itertools import zip_longest
from random import Random
from typing import Any
from zlib import crc32

from vibe_orderbook_mcp.model.symbol import SymbolSpec

SYMBOL = "BTC-USDT"
SPEC = SymbolSpec(f"okx:{SYMBOL}", "BTC", "USDT", Decimal("0.1"), Decimal("0.00000001"))
SWAP = "BTC-USDT-SWAP"
SWAP_SPEC = SymbolSpec(
    *(f"okx:{SWAP}", "BTC", "USDT", Decimal("0.1"), Decimal("0.0001")), contract_size=Decimal("0.01")
)

Text = tuple[str, str]


def plain(number: Decimal) -> str:
    """The shortest form, as the venue writes it: no zeros at the end, no exponent."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def checksum_of(bids: list[Text], asks: list[Text]) -> int:
    levels = [level for pair in zip_longest(bids[:25], asks[:25]) for level in pair if level is not None]
    said = crc32(":".join(part for level in levels for part in level).encode())
    return said - 2**32 if said >= 2**31 else said


class Sender:
    """Frames are JSON text as the exchange would send it; `snapshot` begins the book, again and again."""

    def __init__(self, seed: int, *, depth: int = 30, symbol: str = SYMBOL, has_checksum: bool = False) -> None:
        self._random = Random(seed)
        self._depth = depth
        self._symbol = symbol
        self._lot = Decimal("0.01") if symbol == SWAP else Decimal("0.00000001")
        self._has_checksum = has_checksum
        self._millis = 1_785_542_400_000
        self.seq_id = 10**9 * seed + 5
        # Around 100.0: the number of digits changes there, and the order of texts is not the order of prices.
        self._sides: tuple[dict[Decimal, Decimal], dict[Decimal, Decimal]] = ({}, {})
        for side, sign in enumerate((-1, 1)):
            for away in range(1, depth + 20):
                self._sides[side][Decimal("100.0") + sign * away * Decimal("0.1")] = self._size()

    def snapshot(self) -> str:
        return self._frame("snapshot", -1, *map(self._window, (0, 1)))

    def update(self) -> str:
        """Some levels change. What enters or leaves the window is sent, and deletes of levels that nobody has."""
        before = [dict(self._window(side)) for side in (0, 1)]
        for _ in range(self._random.choice((1, 1, 2, 5))):
            side = self._random.randrange(2)
            levels = self._sides[side]
            price = self._random.choice(sorted(levels, reverse=side == 0)[: self._depth + 2])
            if self._random.random() < 0.4 and len(levels) > self._depth + 5:
                del levels[price]
            elif self._random.random() < 0.5:
                levels[price] = self._size()
            else:
                inner = price + (Decimal("0.1") if side == 0 else Decimal("-0.1"))
                if inner > 0 and inner not in self._sides[1 - side]:
                    levels[inner] = self._size()
        rows: list[list[Text]] = []
        for side in (0, 1):
            after = dict(self._window(side))
            gone = [(price, "0") for price in before[side] if price not in after]
            nobodys = Decimal("100.03") + self._random.randrange(-20, 20) * Decimal("0.1")
            rows.append([*gone, (plain(nobodys), "0")])
            rows[side] += [(price, size) for price, size in after.items() if before[side].get(price) != size]
        return self._next(*rows)

    def heartbeat(self) -> str:
        """Nothing has changed for a minute."""
        self._millis += 60_000
        return self._frame("update", self.seq_id, [], [])

    def restart(self) -> str:
        """An update after maintenance: ids start again lower."""
        before, self.seq_id = self.seq_id, self._random.randrange(1, 1000)
        return self._frame("update", before, *self._change())

    @property
    def levels(self) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
        """The window of both sides as (price, base size), best first."""
        factor = Decimal("0.01") if self._symbol == SWAP else 1
        bids, asks = (
            [(float(price), float(Decimal(size) * factor)) for price, size in self._window(side)] for side in (0, 1)
        )
        return bids, asks

    def _change(self) -> tuple[list[Text], list[Text]]:
        price = max(self._sides[0])
        self._sides[0][price] = self._size()
        return [(plain(price), plain(self._sides[0][price]))], []

    def _next(self, bids: list[Text], asks: list[Text]) -> str:
        before = self.seq_id
        self.seq_id += self._random.choice((1, 7, 12, 93))
        return self._frame("update", before, bids, asks)

    def _window(self, side: int) -> list[Text]:
        levels = self._sides[side]
        return [(plain(price), plain(levels[price])) for price in sorted(levels, reverse=side == 0)[: self._depth]]

    def _size(self) -> Decimal:
        return self._random.randrange(1, 5_000_000) * self._lot

    def _frame(self, action: str, before: int, bids: list[Text], asks: list[Text]) -> str:
        self._millis += self._random.randrange(200)
        book = {
            "asks": [[price, size, "0", "1" if size != "0" else "0"] for price, size in asks],
            "bids": [[price, size, "0", "1" if size != "0" else "0"] for price, size in bids],
            "ts": str(self._millis),
            "checksum": checksum_of(*map(self._window, (0, 1))) if self._has_checksum else 0,
            "seqId": self.seq_id,
            "prevSeqId": before,
        }
        return json.dumps({"arg": {"channel": "books", "instId": self._symbol}, "action": action, "data": [book]})


class SlowBook:
    """One book by the documents, in text: `read` says whether a frame proves a fault."""

    def __init__(self, depth: int = 30) -> None:
        self._depth = depth
        self._sides: tuple[dict[str, str], dict[str, str]] = ({}, {})
        self._seq_id: int | None = None

    def read(self, frame: str) -> bool:
        message = json.loads(frame)
        (book,) = message["data"]
        if message["action"] == "snapshot":
            self._sides = ({}, {})
        elif book["prevSeqId"] != self._seq_id:
            return not (book["seqId"] == self._seq_id and book["prevSeqId"] < book["seqId"])  # the same one again
        self._seq_id = book["seqId"]
        for levels, rows in zip(self._sides, (book["bids"], book["asks"]), strict=True):
            for price, size, *_ in rows:
                levels.pop(price, None)
                if size != "0":
                    levels[price] = size
        self._sides = (dict(self.window(0)), dict(self.window(1)))
        return book["checksum"] not in (0, checksum_of(*map(self.window, (0, 1))))

    def window(self, side: int) -> list[Text]:
        best = sorted(self._sides[side].items(), key=lambda level: Decimal(level[0]), reverse=side == 0)
        return best[: self._depth]


def changed(frame: str, **values: Any) -> str:
    """The same frame with other values in its book."""
    message = json.loads(frame)
    message["data"][0].update(values)
    return json.dumps(message)


def trades(*rows: dict[str, str], symbol: str = SYMBOL) -> bytes:
    """A message of the channel `trades`."""
    return json.dumps({"arg": {"channel": "trades", "instId": symbol}, "data": list(rows)}).encode()


def fill(
    trade_id: int, size: str, *, side: str = "buy", count: str | None = "1", price: str = "100.1"
) -> dict[str, str]:
    row = {"instId": SYMBOL, "tradeId": str(trade_id), "px": price, "sz": size, "side": side, "ts": "1785542401999"}
    return row if count is None else {**row, "count": count, "source": "0", "seqId": "77"}
