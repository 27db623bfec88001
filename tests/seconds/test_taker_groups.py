"""Which trades one taker made, and what they did to the side that they hit."""

from __future__ import annotations

import pytest

from tests.seconds.rig import Rig
from vibe_orderbook_mcp.model.events import TakerGroup, Trade
from vibe_orderbook_mcp.model.rows import RowFlag
from vibe_orderbook_mcp.seconds.taker_groups import TakerGroups

BIDS = [(9.99, 50.0), (9.98, 50.0)]
ASKS = [(10.00, 5.0), (10.01, 5.0), (10.02, 0.5), (10.03, 40.0), (10.10, 100.0)]
AT = 10_400


def trade(number: int, time_ms: int, price: float, size: float, *, sells: bool = False) -> Trade:
    return Trade(number, time_ms, price, size, 10 * number, 10 * number, sells)


def sweeps_of(*trades: Trade, rig: Rig | None = None) -> list[TakerGroup]:
    """All groups, second by second."""
    rig = rig or Rig(BIDS, ASKS)
    for each in trades:
        rig.tracker.trade(each)
    rows = rig.rows()
    return [group for row in rows for group in getattr(rig.tracker.take_evidence(row.second), "sweeps", ())]


ONE_ORDER = (trade(1, AT, 10.00, 5.0), trade(2, AT, 10.01, 5.0), trade(3, AT, 10.03, 10.0))


def test_the_numbers_worked_by_hand() -> None:
    """20 bought at three prices; what goes back, another side and another millisecond are others' orders."""
    others = trade(4, AT, 10.02, 1.0), trade(5, AT, 10.00, 2.0, sells=True), trade(6, AT + 1, 9.99, 2.0, sells=True)
    (group,) = sweeps_of(*ONE_ORDER, *others)
    assert (group.time_ms, group.side, group.prices, group.levels_cleared) == (AT, "ask", 3, 3)
    assert group.quote == pytest.approx(200.35)
    assert group.base == pytest.approx(20.0)
    assert group.mid == pytest.approx(9.995)
    assert group.slippage_bps == pytest.approx(17.508754, abs=1e-6)
    assert group.reach_bps == pytest.approx(30.015008, abs=1e-6)
    assert group.quote / 500.0 == pytest.approx(0.4007)


@pytest.mark.parametrize(
    "third",
    [
        pytest.param(trade(4, AT, 10.03, 1.0), id="an id between is missing"),
        pytest.param(trade(3, AT + 1, 10.03, 1.0), id="another millisecond"),
        pytest.param(trade(3, AT, 10.03, 1.0, sells=True), id="another aggressor"),
        pytest.param(trade(3, AT, 10.00, 1.0), id="back"),
        pytest.param(trade(3, AT, 10.01, 1.0), id="at the second price again"),
    ],
)
def test_what_is_no_group_at_three_prices(third: Trade) -> None:
    assert sweeps_of(*ONE_ORDER[:2], third) == []


def test_a_seller_walks_down() -> None:
    down = [trade(place, AT, price, 2.0, sells=True) for place, price in enumerate((9.99, 9.98, 9.96), 1)]
    (group,) = sweeps_of(*down, rig=Rig([*BIDS, (9.97, 3.0), (9.96, 3.0)], ASKS))
    assert (group.side, group.levels_cleared) == ("bid", 3)
    assert group.reach_bps == pytest.approx(1e4 * 0.03 / 9.995)
    assert group.slippage_bps == pytest.approx(1e4 * (9.99 - (9.99 + 9.98 + 9.96) / 3) / 9.995)


def test_it_is_compared_with_the_newest_book_that_is_not_newer() -> None:
    """The trade comes after an event that already shows its effect: the touch is the earlier one, levels are
    unknown."""
    rig = Rig(BIDS, ASKS)
    rig.event(AT + 50, [], [(10.00, 0.0), (10.01, 0.0), (10.02, 0.0)])
    (group,) = sweeps_of(*ONE_ORDER, rig=rig)
    assert (group.touch, group.levels_cleared) == (10.00, None)
    assert group.mid == pytest.approx(9.995)
    again = Rig(BIDS, ASKS)
    again.event(AT, [], [(10.00, 0.0)])  # at the same millisecond: before it
    (group,) = sweeps_of(*ONE_ORDER, rig=again)
    assert (group.touch, group.levels_cleared) == (10.01, 2)


def test_without_a_book_the_amount_is_known_and_nothing_else() -> None:
    rig = Rig(BIDS, ASKS)
    rig.lose(RowFlag.GAP)
    (group,) = sweeps_of(*ONE_ORDER, rig=rig)
    assert group.quote == pytest.approx(200.35)
    assert group.touch is group.mid is group.slippage_bps is group.reach_bps is group.levels_cleared is None


def test_groups_of_a_side_close_together_are_a_burst() -> None:
    """Half a second from one to the next; the other side's have their own."""

    def order(first: int, time_ms: int) -> list[Trade]:
        return [trade(first + place, time_ms, 10.00 + 0.01 * place, 1.0) for place in range(3)]

    down = [trade(20 + place, AT + 100, 9.99 - 0.01 * place, 1.0, sells=True) for place in range(3)]
    found = sweeps_of(*order(1, AT), *down, *order(30, AT + 500), *order(40, AT + 1001))
    assert [group.side for group in found] == ["bid", "ask", "ask", "ask"]
    assert [round(group.burst_quote, 2) for group in found] == [29.94, 30.03, 60.06, 30.03]


def test_of_a_second_the_largest_of_each_side_are_kept() -> None:
    trades = [
        trade(10 * number + place, AT + number, 10.00 + 0.01 * place, float(number))
        for number in range(1, 6)
        for place in range(3)
    ]
    assert [group.time_ms - AT for group in sweeps_of(*trades)] == [5, 4, 3]


def test_a_group_counts_in_its_own_second() -> None:
    groups = TakerGroups()
    for each in ONE_ORDER:
        groups.add(each, None, 0.005)
    assert groups.take(AT) == ()
    (group,) = groups.take(AT + 1)
    assert group.time_ms == AT
    assert groups.take(AT + 1) == ()
