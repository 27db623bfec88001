"""Seconds and trades to store: plain ones, and generated ones."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import strategies as st

from vibe_orderbook_mcp.model.events import Trade
from vibe_orderbook_mcp.model.rows import (
    BANDS_BPS,
    MLOFI_LEVELS,
    STORED_LEVELS,
    BookTop,
    SecondRecord,
    SecondRow,
    SideFlow,
    TouchedLevel,
    TradeBatch,
)
from vibe_orderbook_mcp.model.symbol import SymbolSpec

START = 1_700_000_040  # a whole minute

BTC = SymbolSpec("BTCUSDT", "BTC", "USDT", Decimal("0.01000000"), Decimal("0.00001000"))
ETH = SymbolSpec("ETHUSDT", "ETH", "USDT", Decimal("0.01000000"), Decimal("0.00010000"))
CHINESE = SymbolSpec("币安人生USDT", "币安人生", "USDT", Decimal("0.00001000"), Decimal("0.10000000"))


def book(second: int, *, levels: int = 3) -> BookTop:
    ticks = 6_500_000 + second % 1000
    return BookTop(
        event_ms=second * 1000 + 940,
        last_update_id=second * 500,
        bids=tuple(((ticks - n) / 100, (n + 1 + second % 7) / 100_000) for n in range(levels)),
        asks=tuple(((ticks + 1 + n) / 100, (n + 2 + second % 5) / 100_000) for n in range(levels)),
    )


def row(second: int) -> SecondRow:
    top = book(second)
    (bid, bid_size), (ask, ask_size) = top.bids[0], top.asks[0]
    return SecondRow(
        second=second,
        covered_ms=1000,
        mid=(bid + ask) / 2,
        best_bid=bid,
        best_ask=ask,
        best_bid_size=bid_size,
        best_ask_size=ask_size,
        events=10,
        rows=120,
        ids=second % 300,
    )


def record(second: int, spec: SymbolSpec = BTC, *, top: bool = True) -> SecondRecord:
    return SecondRecord(spec, row(second), book(second) if top else None)


def trade(agg_id: int, time_ms: int | None = None) -> Trade:
    """Ten a second from START on, unless a time is given."""
    return Trade(
        agg_id=agg_id,
        time_ms=START * 1000 + agg_id * 100 if time_ms is None else time_ms,
        price=(6_500_000 + agg_id * 7 % 50) / 100,
        size=(1 + agg_id * 31 % 9000) / 100_000,
        first_trade_id=agg_id * 3,
        last_trade_id=agg_id * 3 + agg_id % 3,
        buyer_is_maker=agg_id % 3 == 0,
    )


def batch(*agg_ids: int, spec: SymbolSpec = BTC) -> TradeBatch:
    return TradeBatch(spec, tuple(trade(agg_id) for agg_id in agg_ids))


# --- generated: on the grid of an exchange that counts prices in 10^-tick_exp and sizes in 10^-lot_exp --------------

exps = st.integers(0, 8)


@st.composite
def on_grid(draw: st.DrawFn, exp: int, most: int = 10**15) -> float:
    steps: int = draw(st.one_of(st.integers(0, 10**6), st.integers(0, most)))
    return float(Decimal(steps).scaleb(-exp))


@st.composite
def tops(draw: st.DrawFn, tick_exp: int, lot_exp: int) -> BookTop:
    def side(*, descending: bool) -> tuple[tuple[float, float], ...]:
        prices = draw(st.lists(on_grid(tick_exp), max_size=STORED_LEVELS, unique=True))
        return tuple((price, draw(on_grid(lot_exp))) for price in sorted(prices, reverse=descending))

    return BookTop(
        event_ms=draw(st.integers(0, 10**14)),
        last_update_id=draw(st.integers(0, 2**62)),
        bids=side(descending=True),
        asks=side(descending=False),
    )


def _numbers(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(low, high, allow_nan=False, allow_subnormal=False)


@st.composite
def rows(draw: st.DrawFn, tick_exp: int, lot_exp: int) -> SecondRow:
    price = on_grid(tick_exp, 10**11)
    size = on_grid(lot_exp, 10**12)
    counts = st.integers(0, 5000)

    def signed() -> float:
        return float(draw(size)) * (-1 if draw(st.booleans()) else 1)

    def flow() -> SideFlow:
        return SideFlow(draw(size), draw(size), draw(size), draw(counts), draw(counts), draw(counts))

    def amount(volume: float) -> float:
        return round(volume * draw(price), tick_exp + lot_exp)

    has_bid, has_ask, traded = draw(st.tuples(st.booleans(), st.booleans(), st.booleans()))
    bid = draw(price) if has_bid else None
    ask = draw(price) if has_ask else None
    mid = (bid + ask) / 2 if bid is not None and ask is not None else draw(st.none() | price)
    bands = len(BANDS_BPS) if mid is not None and mid > 0 else 0
    bases = [sorted(draw(st.lists(_numbers(1e-6, 1e12), min_size=bands, max_size=bands))) for _ in range(2)]
    away = [draw(st.lists(_numbers(0, 1), min_size=bands, max_size=bands)) for _ in range(2)]
    quotes = [
        tuple(b * (mid or 0) * (1 + sign * a * w / 1e4) for b, a, w in zip(base, part, BANDS_BPS, strict=False))
        for base, part, sign in zip(bases, away, (-1, 1), strict=True)
    ]
    spreads = sorted(draw(st.tuples(price, price)))
    buys, sells = (draw(size), draw(size)) if traded else (0.0, 0.0)
    mlofi = [signed() for _ in range(draw(st.integers(0, MLOFI_LEVELS)))]
    touched = [
        TouchedLevel(
            draw(st.sampled_from(("bid", "ask"))),
            draw(price),
            draw(size),
            draw(counts),
            draw(size),
            draw(size),
            draw(size),
        )
        for _ in range(draw(st.integers(0, 4)))
    ]
    first_agg_id = draw(st.none() | st.integers(0, 2**40))
    return SecondRow(
        second=draw(st.integers(0, 10**10 - 1)),
        covered_ms=draw(st.integers(0, 1000)),
        flags=draw(st.integers(0, 127)),
        mid=mid,
        best_bid=bid,
        best_ask=ask,
        best_bid_size=draw(size) if has_bid else None,
        best_ask_size=draw(size) if has_ask else None,
        spread_mean=(spreads[0] + spreads[1]) / 2 if has_bid and has_ask else None,
        spread_min=spreads[0] if has_bid and has_ask else None,
        spread_max=spreads[1] if has_bid and has_ask else None,
        events=draw(counts),
        rows=draw(counts),
        ids=draw(counts),
        bid=flow(),
        ask=flow(),
        ofi=mlofi[0] if mlofi else signed(),
        mlofi=tuple(mlofi),
        level_depth=tuple(draw(st.lists(_numbers(1e-8, 1e13), max_size=MLOFI_LEVELS))),
        bid_band_base=tuple(bases[0]),
        bid_band_quote=quotes[0],
        ask_band_base=tuple(bases[1]),
        ask_band_quote=quotes[1],
        bid_truncated=draw(st.integers(0, 31)),
        ask_truncated=draw(st.integers(0, 31)),
        buy_volume=buys,
        sell_volume=sells,
        buy_quote=amount(buys),
        sell_quote=amount(sells),
        buy_trades=draw(counts),
        sell_trades=draw(counts),
        agg_trades=draw(counts),
        first_agg_id=first_agg_id,
        last_agg_id=None if first_agg_id is None else first_agg_id + draw(counts),
        size_squares=draw(_numbers(1e-14, 1e12)),
        high=draw(price) if traded else None,
        low=draw(price) if traded else None,
        effective_spread_sum=draw(_numbers(1e-8, 1e6)) * draw(st.sampled_from((-1, 1))),
        effective_spread_volume=draw(size),
        joins_late=draw(counts),
        joins_open=draw(counts),
        touched=tuple(touched),
    )


@st.composite
def trade_lists(draw: st.DrawFn, tick_exp: int, lot_exp: int) -> list[Trade]:
    ids = sorted(draw(st.sets(st.integers(0, 2**62) | st.integers(0, 500), min_size=1, max_size=30)))
    trades = []
    for agg_id in ids:
        first = draw(st.integers(0, 2**61))
        trades.append(
            Trade(
                agg_id=agg_id,
                time_ms=draw(st.integers(0, 10**13 - 1)),
                price=draw(on_grid(tick_exp)),
                size=draw(on_grid(lot_exp)),
                first_trade_id=first,
                last_trade_id=first + draw(st.integers(0, 1000) | st.integers(0, 2**60)),
                buyer_is_maker=draw(st.booleans()),
            )
        )
    return trades
