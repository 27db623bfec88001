from __future__ import annotations

from hypothesis import given, settings

from tests.analytics.books import BTC
from tests.analytics.tape import Deal, deals, histogram, trades_of
from vibe_orderbook_mcp.analytics.profile.bins import choose_width, rebinned
from vibe_orderbook_mcp.store.records.rollups import RollGrid, add_trades, empty_histogram


@settings(deadline=None)
@given(deals)
def test_the_stores_roll_ups_are_such_histograms(made: list[Deal]) -> None:
    """The same trades through the store's sums and through ours."""
    ours = histogram(made, BTC, 10)
    theirs = empty_histogram(RollGrid(width_ticks=10, tick_exp=2), 5)
    add_trades(theirs, trades_of(made, BTC))
    assert rebinned(theirs, 50) == rebinned(ours, 50)
    assert choose_width(theirs, BTC) == choose_width(ours, BTC)
    assert (theirs.buy_quote_units, theirs.sell_quote_units) == (ours.buy_quote_units, ours.sell_quote_units)
