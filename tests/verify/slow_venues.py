"""The rules of the venues a second time, slowly and in one place: plain dicts of decimals, sorted at every frame.

It reads the frames that `speakers` writes, by code of its own.
"""

from __future__ import annotations

import json
from collections import defaultdict
from decimal import Decimal
from typing import Any, NamedTuple
from zlib import crc32

Sides = tuple[list[list[str]], list[list[str]]]


class Book(NamedTuple):
    """What a frame says of a book. `chain`: the ids (previous, own), None without any."""

    symbol: str
    rows: Sides
    whole: bool
    chain: tuple[int, int] | None = None
    checksum: int | None = None
    depth: int | None = None


class Trades(NamedTuple):
    symbol: str
    ids: list[int]
    old: bool = False
    reached: int | None = None


def read(venue: str, line: str) -> list[Book | Trades]:
    frame: Any = json.loads(line, parse_float=str, parse_int=str)
    reader = {"binance-usdm": _futures, "kraken": _kraken, "coinbase": _coinbase, "coinbase exchange": _exchange}
    reader |= {"okx": _okx, "okx of 2022": _okx, "bybit": _bybit, "hyperliquid": _hyperliquid, "deribit": _deribit}
    return reader[venue](frame)


def _futures(frame: Any) -> list[Book | Trades]:
    data = frame.get("data", {})
    if data.get("e") == "depthUpdate":
        return [Book(data["s"], (data["b"], data["a"]), False, (int(data["pu"]), int(data["u"])))]
    return [Trades(data["s"], [int(data["t"])])] if data.get("e") == "trade" else []


def _kraken(frame: Any) -> list[Book | Trades]:
    if frame["channel"] == "book":
        (data,) = frame["data"]
        bids, asks = ([[row["price"], row["qty"]] for row in data[side]] for side in ("bids", "asks"))
        return [Book(data["symbol"], (bids, asks), frame["type"] == "snapshot", None, int(data["checksum"]), 10)]
    if frame["channel"] == "trade":
        return [Trades(frame["data"][0]["symbol"], [int(each["trade_id"]) for each in frame["data"]])]
    return []


def _coinbase(frame: Any) -> list[Book | Trades]:
    (event,) = frame["events"]
    if frame["channel"] == "l2_data":
        bids, asks = (
            [[row["price_level"], row["new_quantity"]] for row in event["updates"] if row["side"] == side]
            for side in ("bid", "offer")
        )
        return [Book(event["product_id"], (bids, asks), event["type"] == "snapshot")]
    if frame["channel"] == "market_trades":
        ids = sorted(int(each["trade_id"]) for each in event["trades"])
        return [Trades(event["trades"][0]["product_id"], ids, event["type"] == "snapshot")]
    return []


def _exchange(frame: Any) -> list[Book | Trades]:
    product, kind = frame["product_id"], frame["type"]
    if kind == "snapshot":
        return [Book(product, (frame["bids"], frame["asks"]), True)]
    if kind == "l2update":
        bids, asks = ([row[1:] for row in frame["changes"] if row[0] == side] for side in ("buy", "sell"))
        return [Book(product, (bids, asks), False)]
    if kind == "heartbeat":
        return [Trades(product, [], reached=int(frame["last_trade_id"]))]
    return [Trades(product, [int(frame["trade_id"])], kind == "last_match")]


def _okx(frame: Any) -> list[Book | Trades]:
    symbol, (*_, data) = frame["arg"]["instId"], frame["data"]
    if frame["arg"]["channel"] == "books":
        chain = (int(data["prevSeqId"]), int(data["seqId"])) if "seqId" in data else None
        bids, asks = ([row[:2] for row in data[side]] for side in ("bids", "asks"))
        return [Book(symbol, (bids, asks), frame["action"] == "snapshot", chain, int(data["checksum"]) or None)]
    if frame["arg"]["channel"] == "trades":
        ids = [
            each
            for row in frame["data"]
            for each in range(int(row["tradeId"]) - int(row.get("count", 1)) + 1, int(row["tradeId"]) + 1)
        ]
        return [Trades(symbol, ids)]
    return []


def _bybit(frame: Any) -> list[Book | Trades]:
    kind, *names = frame["topic"].split(".")
    data = frame["data"]
    if kind == "orderbook" and names[0] != "1":
        u = int(data["u"])
        is_whole = frame["type"] == "snapshot" or u == 1
        return [Book(data["s"], (data["b"], data["a"]), is_whole, (u - 1, u), None, int(names[0]))]
    return []


def _hyperliquid(frame: Any) -> list[Book | Trades]:
    data = frame["data"]
    bids, asks = ([[row["px"], row["sz"]] for row in side] for side in data["levels"])
    return [Book(data["coin"], (bids, asks), True, (0, int(data["time"])))]


def _deribit(frame: Any) -> list[Book | Trades]:
    kind, data = frame["params"]["channel"].split(".")[0], frame["params"]["data"]
    if kind == "book":
        bids, asks = ([row[1:] for row in data[side]] for side in ("bids", "asks"))
        chain = (int(data.get("prev_change_id", -1)), int(data["change_id"]))
        return [Book(data["instrument_name"], (bids, asks), data["type"] == "snapshot", chain)]
    return [Trades(data[0]["instrument_name"], [int(each["trade_seq"]) for each in data])] if kind == "trades" else []


class Slow:
    """One symbol."""

    def __init__(self, venue: str, answer: Any) -> None:
        self.venue = venue
        self.answer = answer
        self.counts: dict[str, int] = defaultdict(int)
        self.tops: list[tuple[int, tuple[str, str], tuple[str, str]]] = []
        self.faults: set[int] = set()
        self.seen: dict[int, bool] = {}  # id of a trade -> whether it was old
        self.reached = 0
        self.book: list[dict[Decimal, list[str]]] | None = None
        self.last: int | None = None
        self.full = [False, False]

    def lose(self, line: int) -> None:
        if self.counts["frames"]:
            self.counts["gaps"] += 1
            self.faults.add(line)
            self.book = None

    def take(self, line: int, frame: Book) -> None:
        self.counts["frames"] += 1
        previous, own = frame.chain or (None, None)
        last = self.last
        is_back = own is not None and last is not None and own < last
        if frame.whole and not (self.venue == "hyperliquid" and is_back):
            self.book = [{}, {}]
        elif frame.whole:
            return self.repeat(line)
        elif last is not None and previous != last:
            if own is not None and own <= last:
                return self.repeat(line)
            self.lose(line)
        self.last = own
        if self.book is None and self.answer is not None and previous == int(self.answer["lastUpdateId"]):
            self.book = [{Decimal(row[0]): row for row in self.answer[side]} for side in ("bids", "asks")]
        if self.book is None:
            return None
        for levels, rows in zip(self.book, frame.rows, strict=True):
            for price, size in rows:
                levels.pop(Decimal(price), None)
                if Decimal(size):
                    levels[Decimal(price)] = [price, size]
        return self.judge(line, frame)

    def repeat(self, line: int) -> None:
        self.counts["repeated"] += 1
        self.faults.add(line)

    def judge(self, line: int, frame: Book) -> None:
        assert self.book is not None
        self.counts["applied"] += 1
        bids, asks = (
            [self.book[side][price] for price in sorted(self.book[side], reverse=not side)] for side in (0, 1)
        )
        if self.venue == "kraken":
            bids, asks = bids[: frame.depth], asks[: frame.depth]
            self.book = [{Decimal(row[0]): row for row in side} for side in (bids, asks)]
            self.check(line, "".join(_plain(text) for row in [*asks[:10], *bids[:10]] for text in row), frame.checksum)
        elif frame.checksum is not None:
            mixed = [
                text for place in range(25) for side in (bids, asks) for row in side[place : place + 1] for text in row
            ]
            self.check(line, ":".join(mixed), frame.checksum % 2**32)
        elif frame.depth is not None:
            for side, rows in enumerate((bids, asks)):
                self.full[side] = len(rows) == frame.depth if frame.whole else self.full[side]
                if len(rows) > frame.depth or (self.full[side] and len(rows) < frame.depth):
                    self.counts["failed"] += 1
                    self.faults.add(line)
        if Decimal(bids[0][0]) >= Decimal(asks[0][0]):
            self.counts["crossed"] += 1
            self.faults.add(line)
        self.tops.append((line, (bids[0][0], bids[0][1]), (asks[0][0], asks[0][1])))

    def check(self, line: int, text: str, checksum: int | None) -> None:
        if crc32(text.encode()) != checksum:
            self.counts["failed"] += 1
            self.faults.add(line)

    def trade(self, line: int, trades: Trades) -> None:
        newest = max([*self.seen, self.reached])
        for each in trades.ids:
            if newest and each > newest + 1:
                self.faults.add(line)
            newest = max(newest, each)
            self.seen.setdefault(each, trades.old)
        if trades.reached is not None and self.seen and trades.reached > newest:
            self.faults.add(line)
            self.reached = trades.reached

    def finish(self) -> None:
        ids = self.seen
        self.counts["trades"] = sum(not old for old in ids.values())
        self.counts["trade_ids_missing"] = max(*ids, self.reached) - min(ids) + 1 - len(ids) if ids else 0


def _plain(text: str) -> str:
    return text.replace(".", "").lstrip("0")


def verified(venue: str, lines: list[str]) -> dict[str, Slow]:
    """By the venue's symbol."""
    answers = {frame["symbol"]: frame for frame in map(json.loads, lines) if "lastUpdateId" in frame}
    out: dict[str, Slow] = {}
    counters: list[int] = []  # the last number of each connection
    for number, line in enumerate(lines, 1):
        parts = [] if "lastUpdateId" in line else read(venue, line)
        is_late = False
        if venue == "coinbase":
            own = json.loads(line)["sequence_num"]
            earlier = sorted(each for each in counters if each < own)
            is_late = own > 0 and bool(counters) and not earlier
            if own > 0 and earlier:
                counters.remove(earlier[-1])
                if earlier[-1] != own - 1:
                    for each in out.values():
                        each.lose(number)
            counters += [] if is_late else [own]
        for part in parts:
            slow = out.setdefault(part.symbol, Slow(venue, answers.get(part.symbol)))
            if isinstance(part, Trades):
                slow.trade(number, part)
            elif is_late:
                slow.counts["frames"] += 1
                slow.repeat(number)
            else:
                slow.take(number, part)
    for each in out.values():
        each.finish()
    return out
