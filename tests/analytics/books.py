"""Small books whose figures are worked out by hand, and generated ones."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import strategies as st

from vibe_orderbook_mcp.analytics.snapshot import BookView
from vibe_orderbook_mcp.model.symbol import SymbolSpec

BIDS = [(100.0, 4.0), (99.9, 6.0), (99.5, 10.0)]
ASKS = [(100.1, 1.0), (100.2, 3.0), (100.9, 20.0)]
BOOK = BookView(BIDS, ASKS)

BTC = SymbolSpec("BTCUSDT", "BTC", "USDT", Decimal("0.01000000"), Decimal("0.00001000"))
TENTH = SymbolSpec("ABCUSDT", "ABC", "USDT", Decimal("0.1"), Decimal("0.001"))


def price_at(ticks: int, tick: str = "0.01") -> float:
    """The double of an exact decimal price, as it comes off the wire."""
    return float(Decimal(tick) * ticks)


_SIZES = st.integers(1, 10**9).map(lambda lots: lots / 1e5)


@st.composite
def tick_books(draw: st.DrawFn, *, min_levels: int = 0) -> tuple[list[tuple[int, float]], list[tuple[int, float]]]:
    """An uncrossed book in integer ticks, best first; either side may be empty unless `min_levels` says otherwise."""
    middle = draw(st.integers(2_000, 10_000_000))
    spread = draw(st.integers(1, 300))
    sides: list[list[tuple[int, float]]] = []
    for sign, best in ((-1, middle), (1, middle + spread)):
        gaps = draw(st.lists(st.integers(1, 40), min_size=max(0, min_levels - 1), max_size=40))
        if min_levels == 0 and draw(st.booleans()):
            sides.append([])
            continue
        prices = [best]
        for gap in gaps:
            prices.append(prices[-1] + sign * gap)
        sides.append([(price, draw(_SIZES)) for price in prices if price > 0])
    return sides[0], sides[1]


def view(bids: list[tuple[int, float]], asks: list[tuple[int, float]], tick: str = "0.01") -> BookView:
    return BookView([(price_at(p, tick), q) for p, q in bids], [(price_at(p, tick), q) for p, q in asks])
