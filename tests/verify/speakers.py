"""Small recordings of each venue, written after its documents: what a book and a tape at random would have sent.

All numbers are decimals. Prices lie around 100, where they get another digit and the order of texts is not that of
numbers. A speaker yields `Said`: a line of a recording, what it is, whose it is, and the true book after it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from itertools import zip_longest
from random import Random
from typing import Any, NamedTuple
from zlib import crc32

Book = tuple[dict[Decimal, Decimal], dict[Decimal, Decimal]]
Rows = list[tuple[str, str]]

SYMBOLS = ("AAA", "BBB")
STEPS = 30
TICK = Decimal("0.01")


class Said(NamedTuple):
    """`kind`: whole, change, still, best, trade, answer or other. `best` is the true best price of each side."""

    line: str
    kind: str
    symbol: str = ""
    best: tuple[Decimal, Decimal] | None = None


class Market:
    """One instrument: every change of its book, its ids, and its trades."""

    def __init__(self, chance: Random, symbol: str) -> None:
        self.symbol = symbol
        self.chance = chance
        self.book: Book = ({}, {})
        for side, sign in enumerate((-1, 1)):
            for away in range(1, 90):
                self.book[side][100 + sign * away * TICK] = self.size()
        self.trade_id = chance.randrange(1000, 9000)

    def size(self) -> Decimal:
        return Decimal(self.chance.randrange(1, 90_000)).scaleb(-4)

    def step(self) -> None:
        """The price goes one tick up or down, and sizes near it change."""
        chance = self.chance
        bids, asks = self.book
        up = chance.random() < 0.5
        losing, gaining = (asks, bids) if up else (bids, asks)
        if chance.random() < 0.6:
            price = min(losing) if up else max(losing)
            del losing[price]
            gaining[price] = self.size()
            far = max(losing) if up else min(losing)
            losing[far + (TICK if up else -TICK)] = self.size()
        for levels, best in ((bids, max(bids)), (asks, min(asks))):
            for price in chance.sample(sorted(levels), 2):
                if price != best:
                    levels[price] = self.size()
            for price in sorted(levels, reverse=levels is bids)[: chance.randrange(4)]:
                levels[price] = self.size()

    def window(self, depth: int | None = None) -> Book:
        bids, asks = self.book
        return (
            {price: bids[price] for price in sorted(bids, reverse=True)[:depth]},
            {price: asks[price] for price in sorted(asks)[:depth]},
        )

    def best(self) -> tuple[Decimal, Decimal]:
        return max(self.book[0]), min(self.book[1])

    def trades(self, most: int = 3) -> list[int]:
        """Ids of what was traded since the last time."""
        count = self.chance.choice((0, 0, 1, 1, most))
        self.trade_id += count
        return list(range(self.trade_id - count + 1, self.trade_id + 1))


def texts(levels: dict[Decimal, Decimal]) -> Rows:
    return [(f"{price:.2f}", f"{size:.4f}") for price, size in levels.items()]


def changes(before: Book, after: Book) -> list[Rows]:
    """Rows of each side that lead from one book to the other."""
    out = []
    for old, new in zip(before, after, strict=True):
        gone = [(f"{price:.2f}", "0.0000") for price in old if price not in new]
        out.append([*gone, *texts({price: size for price, size in new.items() if old.get(price) != size})])
    return out


def copy(book: Book) -> Book:
    return dict(book[0]), dict(book[1])


def short(rows: Rows) -> Rows:
    """Without zeros at the end."""
    return [(_short(price), _short(size)) for price, size in rows]


def _short(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text


def markets(seed: int) -> list[Market]:
    return [Market(Random(f"{seed} {symbol}"), symbol) for symbol in SYMBOLS]


def said(frame: Any, kind: str, market: Market | None = None) -> Said:
    line = frame if isinstance(frame, str) else json.dumps(frame)
    return Said(line, kind, "" if market is None else market.symbol, None if market is None else market.best())


def turns(seed: int) -> Iterator[tuple[Market, Book, Random]]:
    """One market after the other makes a step: it, its book before, and chance."""
    chance = Random(f"turns {seed}")
    kept = markets(seed)
    for _ in range(STEPS * len(kept)):
        market = chance.choice(kept)
        before = copy(market.book)
        market.step()
        yield market, before, chance


def futures(seed: int) -> Iterator[Said]:
    """Binance USD-M: a depth answer that the stream continues by `pu` alone for one symbol, best prices, trades."""
    ids: dict[str, int] = {}
    for number, (market, before, chance) in enumerate(turns(seed)):
        symbol = f"{market.symbol}USDT"
        last = ids.get(symbol)
        if last is None:
            last = ids[symbol] = 5000 + number
            bids, asks = map(texts, before)
            yield Said(
                json.dumps({"lastUpdateId": last, "E": 1, "T": 1, "symbol": symbol, "bids": bids, "asks": asks}),
                "answer",
            )
        first = last + chance.randrange(1, 9)  # ids of the market that are other instruments'
        final = ids[symbol] = first + chance.randrange(5)
        bids, asks = changes(before, market.book)
        event = {
            "e": "depthUpdate",
            "E": 1,
            "T": 1,
            "s": symbol,
            "U": first,
            "u": final,
            "pu": last,
            "b": bids,
            "a": asks,
        }
        yield said({"stream": f"{symbol.lower()}@depth@100ms", "data": event}, "change", market)
        bid, ask = (texts({price: market.book[side][price]})[0] for side, price in enumerate(market.best()))
        best = {
            "e": "bookTicker",
            "u": final,
            "s": symbol,
            "b": bid[0],
            "B": bid[1],
            "a": ask[0],
            "A": ask[1],
            "T": 1,
            "E": 1,
        }
        yield said({"stream": f"{symbol.lower()}@bookTicker", "data": best}, "best", market)
        for trade_id in market.trades():
            trade = {
                "e": "trade",
                "E": 1,
                "T": 1,
                "s": symbol,
                "t": trade_id,
                "p": "1",
                "q": "1",
                "X": "MARKET",
                "m": True,
            }
            yield said({"stream": f"{symbol.lower()}@trade", "data": trade}, "trade", market)


def kraken(seed: int, depth: int = 10) -> Iterator[Said]:
    """A price may be in a frame twice; what falls out of the window is not said."""
    known: dict[str, Book] = {}
    for market, _, chance in turns(seed):
        after = market.window(depth)
        symbol = f"{market.symbol}/USD"
        kind = "snapshot" if symbol not in known else "update"
        before = known.get(symbol, ({}, {}))
        known[symbol] = after
        sides = []
        for side, rows in enumerate(changes(before, after)):
            full = market.book[side]
            kept = [row for row in rows if Decimal(row[1]) or Decimal(row[0]) not in full]
            if kind == "update" and chance.random() < 0.3:
                chance.shuffle(kept)
                price = max(full) + 5 * TICK if side == 0 else min(full) - 5 * TICK
                place = chance.randrange(len(kept) + 1)
                kept[place:place] = [(f"{price:.2f}", "1.0000"), (f"{price:.2f}", "0.0000")]
            sides.append(kept)
        checked = [row for levels in (texts(after[1])[:10], texts(after[0])[:10]) for row in levels]
        check = crc32("".join(text.replace(".", "").lstrip("0") for row in checked for text in row).encode())
        bids, asks = (
            "[" + ",".join(f'{{"price":{price},"qty":{size}}}' for price, size in rows) + "]" for rows in sides
        )
        body = f'{{"symbol":"{symbol}","bids":{bids},"asks":{asks},"checksum":{check}}}'
        frame = f'{{"channel":"book","type":"{kind}","data":[{body}]}}'
        yield said(frame, "whole" if kind == "snapshot" else "change", market)
        if ids := market.trades():
            trades = [{"symbol": symbol, "side": "buy", "price": 1, "qty": 1, "trade_id": each} for each in ids]
            yield said({"channel": "trade", "type": "update", "data": trades}, "trade", market)
        yield said({"channel": "heartbeat"}, "other")


def coinbase(seed: int) -> Iterator[Said]:
    """Old trades of each product first, newest first; books later; one counter for all."""
    number = -1

    def frame(channel: str, events: list[Any], kind: str, market: Market | None = None) -> Said:
        nonlocal number
        number += 1
        return said({"channel": channel, "timestamp": "t", "sequence_num": number, "events": events}, kind, market)

    def trades(market: Market, ids: list[int], kind: str) -> Said:
        rows = [
            {"trade_id": str(each), "product_id": f"{market.symbol}-USD", "price": "100.5", "size": "1", "side": "SELL"}
            for each in reversed(ids)
        ]
        return frame(
            "market_trades", [{"type": kind, "trades": rows}], "trade" if kind == "update" else "other", market
        )

    known: set[str] = set()
    for place, (market, before, chance) in enumerate(turns(seed)):
        product = f"{market.symbol}-USD"
        is_new = market.symbol not in known
        if is_new:
            known.add(market.symbol)
            yield trades(market, list(range(market.trade_id - 99, market.trade_id + 1)), "snapshot")
            yield frame("subscriptions", [{"subscriptions": {"level2": [product]}}], "other")
        bids, asks = map(texts, market.book) if is_new else changes(before, market.book)
        rows = [
            {"side": side, "event_time": "t", "price_level": price, "new_quantity": size}
            for side, levels in (("bid", bids), ("offer", asks))
            for price, size in levels
        ]
        chance.shuffle(rows)
        kind = "snapshot" if is_new else "update"
        event = {"type": kind, "product_id": product, "updates": rows}
        yield frame("l2_data", [event], "whole" if is_new else "change", market)
        if ids := market.trades():
            yield trades(market, ids, "update")
        if place % 9 == 0:
            yield frame("heartbeats", [{"current_time": "t", "heartbeat_counter": place}], "other")


def exchange(seed: int) -> Iterator[Said]:
    """Coinbase Exchange: nothing proves the book; heartbeats name the last trade."""
    known: set[str] = set()
    for place, (market, before, _) in enumerate(turns(seed)):
        product = f"{market.symbol}-USD"
        if market.symbol not in known:
            known.add(market.symbol)
            bids, asks = map(texts, market.book)
            yield said({"type": "snapshot", "product_id": product, "bids": bids, "asks": asks}, "whole", market)
            match = {
                "type": "last_match",
                "trade_id": market.trade_id,
                "side": "buy",
                "price": "1",
                "product_id": product,
            }
            yield said(match, "other", market)
            continue
        bids, asks = changes(before, market.book)
        rows = [[side, *row] for side, levels in (("buy", bids), ("sell", asks)) for row in levels]
        yield said({"type": "l2update", "product_id": product, "changes": rows, "time": "t"}, "change", market)
        for each in market.trades():
            match = {"type": "match", "trade_id": each, "side": "sell", "price": "100.9", "product_id": product}
            yield said(match, "trade", market)
        if place % 5 == 0:
            yield said({"type": "heartbeat", "last_trade_id": market.trade_id, "product_id": product}, "other", market)


def okx(seed: int, *, has_ids: bool = True) -> Iterator[Said]:
    """`has_ids`: as of 2023 and later, with a checksum of 0; else as of 2022, with a checksum alone."""
    ids: dict[str, int] = {}
    for market, before, chance in turns(seed):
        symbol = f"{market.symbol}-USDT"
        last = ids.get(symbol, -1)
        is_whole = last == -1
        rows = [short(each) for each in (map(texts, market.book) if is_whole else changes(before, market.book))]
        if not is_whole and chance.random() < 0.2:
            rows[0].append(("50", "0"))  # a level that nobody has
        seq = ids[symbol] = last + chance.randrange(2, 9) if chance.random() < 0.95 or is_whole else max(1, last - 3)
        bids, asks = ([[*row, "0", "1"] for row in each] for each in rows)
        data: dict[str, Any] = {"bids": bids, "asks": asks, "ts": "1"}
        argument = {"channel": "books", "instId": symbol}
        if has_ids:
            data |= {"checksum": 0, "prevSeqId": last, "seqId": seq}
        else:
            top = zip_longest(*(short(texts(each))[:25] for each in market.window(25)))
            said_of = ":".join(text for levels in top for row in levels if row is not None for text in row)
            check = crc32(said_of.encode())
            data["checksum"] = check - 2**32 if check >= 2**31 else check
        frame = {"arg": argument, "action": "snapshot" if is_whole else "update", "data": [data]}
        yield said(frame, "whole" if is_whole else "change", market)
        if has_ids and chance.random() < 0.3:
            still = {"bids": [], "asks": [], "ts": "1", "checksum": 0, "prevSeqId": seq, "seqId": seq}
            yield said({"arg": argument, "action": "update", "data": [still]}, "still", market)
        if has_ids and chance.random() < 0.5:
            tops = [[[*short(texts(each))[0], "0", "1"]] for each in market.window(1)]
            data = {"bids": tops[0], "asks": tops[1], "ts": "1", "seqId": seq}
            yield said({"arg": {"channel": "bbo-tbt", "instId": symbol}, "data": [data]}, "best", market)
        if traded := market.trades():
            count = len(traded) if has_ids else 1
            rows_ = [{"instId": symbol, "tradeId": str(each), "px": "1", "sz": "1", "side": "buy"} for each in traded]
            rows_ = [rows_[-1] | {"count": str(count)}] if has_ids else rows_
            yield said({"arg": {"channel": "trades", "instId": symbol}, "data": rows_}, "trade", market)


def bybit(seed: int, depth: int = 50) -> Iterator[Said]:
    """Exactly `depth` levels a side, with explicit deletes; snapshots that come again; a restart with `u` 1."""
    known: dict[str, tuple[Book, int]] = {}
    for place, (market, _, chance) in enumerate(turns(seed)):
        symbol = f"{market.symbol}USDT"
        after = market.window(depth)
        before, last = known.get(symbol, (None, chance.randrange(100, 900)))
        restarts = place == 2 * STEPS // 3
        kind = "snapshot" if before is None or restarts or chance.random() < 0.03 else "delta"
        rows = list(map(texts, after)) if before is None or kind == "snapshot" else changes(before, after)
        u = 1 if restarts and before is not None else last + 1
        known[symbol] = (after, u)
        seq = 10_000 + place * 3
        data = {"s": symbol, "b": rows[0], "a": rows[1], "u": u, "seq": seq}
        frame = {"topic": f"orderbook.{depth}.{symbol}", "type": kind, "ts": 1, "data": data, "cts": 1}
        yield said(frame, "whole" if kind == "snapshot" else "change", market)
        if chance.random() < 0.5:
            tops = [texts(each)[:1] for each in after]
            data = {"s": symbol, "b": tops[0], "a": tops[1], "u": place + 7, "seq": seq}
            frame = {"topic": f"orderbook.1.{symbol}", "type": "snapshot", "ts": 1, "data": data, "cts": 1}
            yield said(frame, "best", market)
        if traded := market.trades():
            trades = [
                {"T": 1, "s": symbol, "S": "Buy", "v": "1", "p": "1", "i": f"{each:x}-4f", "BT": False}
                for each in traded
            ]
            yield said({"topic": f"publicTrade.{symbol}", "type": "snapshot", "ts": 1, "data": trades}, "trade", market)


def hyperliquid(seed: int) -> Iterator[Said]:
    for place, (market, _, _) in enumerate(turns(seed)):
        levels = [[{"px": price, "sz": size, "n": 1} for price, size in texts(side)] for side in market.window(20)]
        data = {"coin": market.symbol, "time": 1000 + 5 * place, "levels": levels}
        yield said({"channel": "l2Book", "data": data}, "whole", market)


def deribit(seed: int) -> Iterator[Said]:
    """Numbers without quotes; a ticker comes before the change that it is of."""
    ids: dict[str, int] = {}
    for place, (market, before, chance) in enumerate(turns(seed)):
        name = f"{market.symbol}-PERPETUAL"
        last = ids.get(name)
        bid, ask = (float(price) for price in market.best())
        ticker = {"instrument_name": name, "timestamp": 1000 + place, "best_bid_price": bid, "best_ask_price": ask}
        yield said(
            {"jsonrpc": "2.0", "method": "subscription", "params": {"channel": f"ticker.{name}.raw", "data": ticker}},
            "other",
        )
        rows = list(map(texts, market.book)) if last is None else changes(before, market.book)
        sides = [
            ",".join(f'["{"change" if Decimal(size) else "delete"}",{price},{size}]' for price, size in each)
            for each in rows
        ]
        final = ids[name] = (last or 500) + chance.randrange(1, 9)
        chain = '"type":"snapshot"' if last is None else f'"type":"change","prev_change_id":{last}'
        data = (
            f'{{{chain},"timestamp":{1000 + place},"instrument_name":"{name}","change_id":{final},'
            f'"bids":[{sides[0]}],"asks":[{sides[1]}]}}'
        )
        frame = f'{{"jsonrpc":"2.0","method":"subscription","params":{{"channel":"book.{name}.100ms","data":{data}}}}}'
        yield said(frame, "whole" if last is None else "change", market)
        if traded := market.trades():
            trades = [
                {"instrument_name": name, "trade_seq": each, "trade_id": str(each), "price": 1} for each in traded
            ]
            params = {"channel": f"trades.{name}.100ms", "data": trades}
            yield said({"jsonrpc": "2.0", "method": "subscription", "params": params}, "trade", market)


SPEAKERS: dict[str, Callable[[int], Iterator[Said]]] = {
    "binance-usdm": futures,
    "kraken": kraken,
    "coinbase": coinbase,
    "coinbase exchange": exchange,
    "okx": okx,
    "okx of 2022": lambda seed: okx(seed, has_ids=False),
    "bybit": bybit,
    "hyperliquid": hyperliquid,
    "deribit": deribit,
}
