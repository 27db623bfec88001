"""The 24 hour figures of a symbol, from the trades that are known of it. PURE."""

from __future__ import annotations

from typing import Any, Final

from vibe_orderbook_mcp.sim.venue import SymbolTruth

DAY_MS: Final = 86_400_000
SAMPLE: Final = 1000


def day_ticker(state: SymbolTruth, now_ms: int, *, mini: bool) -> dict[str, Any]:
    """Prices come from the first and the newest trades of the day; volume is their mean times the day's count.

    A day of a major is millions of trades, and nobody checks a simulated 24 h volume to the digit.
    """
    log = state.trades
    opening = log.between(max(now_ms - DAY_MS, 0), None, SAMPLE)
    newest = log.between(None, None, SAMPLE)
    price, size = state.rules.price, state.rules.size
    unit_price, unit_size = 10**price.exp, 10**size.exp
    rows = opening + newest
    first, last = (opening[0], newest[-1]) if rows else (None, None)
    prices = [row.price for row in rows] or [0]
    open_price, last_price = (first.price, last.price) if first and last else (0, 0)
    count = last.last_trade_id - first.first_trade_id + 1 if first and last else 0
    trades = last.agg_id - first.agg_id + 1 if first and last else 0
    volume = sum(row.size for row in rows) / unit_size / max(1, len(rows)) * trades
    quote = sum(row.size * row.price for row in rows) / unit_size / unit_price / max(1, len(rows)) * trades
    middle: dict[str, Any] = {
        "openPrice": price.text(open_price),
        "highPrice": price.text(max(prices)),
        "lowPrice": price.text(min(prices)),
        "lastPrice": price.text(last_price),
        "volume": f"{volume:.8f}",
        "quoteVolume": f"{quote:.8f}",
        "openTime": now_ms - DAY_MS,
        "closeTime": now_ms,
        "firstId": first.first_trade_id if first else -1,
        "lastId": last.last_trade_id if last else -1,
        "count": count,
    }
    if mini:
        return {"symbol": state.rules.symbol} | middle
    touch, none = state.touch(), "0.00000000"
    change = last_price - open_price
    return {
        "symbol": state.rules.symbol,
        "priceChange": f"{change / unit_price:.8f}",
        "priceChangePercent": f"{100 * change / open_price if open_price else 0:.3f}",
        "weightedAvgPrice": f"{quote / volume if volume else 0:.8f}",
        "prevClosePrice": price.text(open_price),
        "lastPrice": price.text(last_price),
        "lastQty": size.text(last.size) if last else none,
        "bidPrice": touch.bid if touch else none,
        "bidQty": touch.bid_size if touch else none,
        "askPrice": touch.ask if touch else none,
        "askQty": touch.ask_size if touch else none,
    } | middle
