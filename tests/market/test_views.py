"""What is cut out of a book for an answer, against the whole of it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.analytics.books import BTC, price_at, tick_books
from tests.market.recordings import DEPTH_LIMIT, YEAR_2024, recorded
from vibe_orderbook_mcp.analytics.book.answers import NOTIONALS, L1Answer, l1_answer
from vibe_orderbook_mcp.analytics.snapshot import BookView
from vibe_orderbook_mcp.analytics.views import NEAR_BPS, near_view, view
from vibe_orderbook_mcp.analytics.walls import group_sizes, price_groups
from vibe_orderbook_mcp.book.book import OrderBook
from vibe_orderbook_mcp.market.market import Market
from vibe_orderbook_mcp.model.events import DepthSnapshot, DepthUpdate
from vibe_orderbook_mcp.model.symbol import SymbolSpec


def l1(spec: SymbolSpec, book: BookView) -> L1Answer:
    return l1_answer(spec, book, last_update_id=1, as_of_ms=1_700_000_000_000, age_ms=3, status="live")


def check(spec: SymbolSpec, book: OrderBook) -> None:
    near = near_view(book, NEAR_BPS, notional=max(NOTIONALS))
    plain = BookView(book.bids.top(10**6), book.asks.top(10**6), book.bids.horizon, book.asks.horizon)
    assert l1(spec, near) == l1(spec, view(book)) == l1(spec, plain)
    tick = float(spec.tick_size)
    middle = plain.mid
    if middle is not None:
        for side in (book.bids, book.asks):
            groups = price_groups(plain.curve(side.side), middle, tick).sizes
            outwards = groups[::-1] if side.side == "bid" else groups
            assert group_sizes(side, middle, tick) == pytest.approx(outwards, rel=1e-12)


@settings(deadline=None)
@given(tick_books(), st.sampled_from([1, 7, 5000]), st.sampled_from([1e-4, 1.0, 1e4]))
def test_what_is_near_the_best_prices_answers_like_the_whole_book(
    sides: tuple[list[tuple[int, float]], list[tuple[int, float]]], limit: int, scale: float
) -> None:
    """Thin books and thick ones, wholly known or not, one-sided or empty."""
    bids, asks = ([(price_at(ticks), size * scale) for ticks, size in side] for side in sides)
    check(BTC, OrderBook(DepthSnapshot(1, bids, asks), limit=limit))


@pytest.mark.parametrize("symbol", ["BTCUSDT", "ETHUSDT"])
def test_recorded_books_answer_alike_from_a_part_and_from_all(symbol: str) -> None:
    """Every ten seconds of ten minutes of a real market, with a horizon inside of 1 % at first."""
    recording, market = recorded(YEAR_2024, symbol), Market()
    state = market.add(recording.spec)
    checked = 0
    for received_ns, what in recording.told:
        if isinstance(what, DepthSnapshot):
            market.load(symbol, what, DEPTH_LIMIT, received_ns)
        elif isinstance(what, DepthUpdate):
            market.receive_depth(what, received_ns)
            if state.book is not None and state.counts.events % 100 == 0:
                check(recording.spec, state.book)
                checked += 1
    assert checked > 60
