"""Rows whose trades came after them."""

from __future__ import annotations

from tests.analytics.books import BTC
from vibe_orderbook_mcp.model.events import Trade
from vibe_orderbook_mcp.model.rows import SecondRow
from vibe_orderbook_mcp.seconds.traded import trade_fields, with_trades

AT = 1_700_000_000


def trade(number: int, second: int, size: float = 1.0) -> Trade:
    return Trade(number, (AT + second) * 1000 + 5, 100.0, size, number, number, buyer_is_maker=False)


def row(second: int, *trades: Trade) -> SecondRow:
    fields = trade_fields(trades, BTC.tick_exp, BTC.lot_exp)
    return SecondRow(second=AT + second, covered_ms=1000, ofi=float(second), **fields)


def test_trades_of_seconds_that_nobody_watched_count_too() -> None:
    """A restart leaves a hole among the rows; what was traded meanwhile was fetched by its ids, and is not missing."""
    seen = [row(0, trade(1, 0)), row(1), row(4, trade(6, 4))]
    stored = [trade(1, 0), trade(2, 1, 3.0), trade(3, 2), trade(4, 2), trade(5, 3), trade(6, 4)]
    found = with_trades(seen, stored, BTC)
    assert [each.second - AT for each in found] == [0, 1, 2, 3, 4]
    assert [each.buy_volume for each in found] == [1.0, 3.0, 2.0, 1.0, 1.0]
    assert [each.covered_ms for each in found] == [1000, 1000, 0, 0, 1000]
    assert [each.ofi for each in found] == [0.0, 1.0, 0.0, 0.0, 4.0]


def test_a_row_that_is_ahead_of_the_disk_keeps_what_it_saw() -> None:
    """The newest second is stored a tick later: until then the disk knows less of it than its row."""
    seen = [row(0, trade(1, 0)), row(1, trade(3, 1), trade(4, 1))]
    assert with_trades(seen, [trade(1, 0), trade(2, 0)], BTC) == [row(0, trade(1, 0), trade(2, 0)), seen[1]]
    assert with_trades(seen, [], BTC) == seen
