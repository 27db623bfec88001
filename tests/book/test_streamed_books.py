"""Books that the stream itself begins, bounds and sums up: there is no id that a snapshot of elsewhere could join."""

from __future__ import annotations

from tests.book.exchange import SYMBOL, depth
from vibe_orderbook_mcp.book.book import OrderBook
from vibe_orderbook_mcp.book.handover import Handover
from vibe_orderbook_mcp.book.sync import BookRule, BookSync, Outcome
from vibe_orderbook_mcp.model.events import DepthSnapshot
from vibe_orderbook_mcp.model.wire import BookReplaced, CheckedUpdate

BIDS = [(100.0, 5.0), (99.0, 7.0)]
ASKS = [(101.0, 4.0), (102.0, 6.0)]


def book(update_id: int = 1, limit: int = 2) -> OrderBook:
    return OrderBook(DepthSnapshot(update_id, list(BIDS), list(ASKS)), limit=limit)


def checked(update_id: int, bids: list[tuple[float, float]], checksum: int) -> CheckedUpdate:
    return CheckedUpdate(SYMBOL, 1_000, update_id, update_id, bids, [], checksum)


def sum_of_bids(book: OrderBook, checksum: int) -> bool:
    return sum(size for _, size in book.bids.top(10)) == checksum


def test_a_level_that_falls_out_of_the_window_is_gone() -> None:
    """Nobody deletes it: it would come back as a phantom when the market returns."""
    sync = BookSync(rule=BookRule(depth=2))
    sync.replace(book())
    assert sync.receive(depth(2, 2, [(99.5, 1.0)])) is Outcome.APPLIED
    assert sync.book is not None
    assert sync.book.bids.top(9) == [(100.0, 5.0), (99.5, 1.0)]
    assert sync.receive(depth(3, 3, [(100.0, 0.0), (99.5, 0.0)])) is Outcome.APPLIED
    assert sync.book.bids.top(9) == []


def test_a_book_that_fails_the_checksum_is_given_up_at_once() -> None:
    """One wrong size, and nothing but the checksum shows it."""
    sync = BookSync(rule=BookRule(is_right=sum_of_bids))
    sync.replace(book())
    assert sync.is_live
    assert sync.receive(checked(2, [(99.0, 1.0)], 6)) is Outcome.APPLIED
    assert sync.receive(checked(3, [(99.0, 2.0)], 9)) is Outcome.WRONG
    assert sync.needs_snapshot
    assert not sync.is_live


def test_a_whole_book_that_fails_its_checksum_is_none() -> None:
    """It would be wrong from its first event on."""
    sync = BookSync(rule=BookRule(is_right=sum_of_bids))
    assert sync.replace(book(), 12) is Outcome.APPLIED
    assert sync.replace(book(), 13) is Outcome.WRONG
    assert sync.needs_snapshot


def test_the_checksum_is_of_the_window() -> None:
    """What falls out with the update is not in it."""
    sync = BookSync(rule=BookRule(depth=2, is_right=sum_of_bids))
    sync.replace(book())
    assert sync.receive(checked(2, [(100.5, 1.0)], 6)) is Outcome.APPLIED


def test_a_book_of_the_stream_takes_the_place_of_the_former_one() -> None:
    """Also without a reason that we know of; what follows continues the new one."""
    sync = BookSync()
    sync.receive(depth(7, 7))
    sync.replace(book(4))
    assert sync.is_live
    assert sync.receive(depth(5, 5, [(100.0, 1.0)])) is Outcome.APPLIED
    sync.replace(book(90))
    assert sync.book is not None
    assert sync.book.bids.top(1) == [(100.0, 5.0)]
    assert sync.receive(depth(92, 92)) is Outcome.GAP


def replaced(symbol: str, update_id: int) -> BookReplaced:
    return BookReplaced(symbol, 1_000, DepthSnapshot(update_id, list(BIDS), list(ASKS)), 2)


def test_books_of_the_successor_wait_until_every_symbol_has_one() -> None:
    """Its ids are its own: an event that seems to continue the first connection's book does not."""
    handover = Handover([SYMBOL, "OTHER"], brings_books=True)
    handover.hold(depth(8, 8))
    handover.begin(replaced(SYMBOL, 10))
    handover.hold(depth(11, 11))
    assert handover.joining(SYMBOL, 10) == []
    waits = not handover.is_complete
    handover.begin(replaced("OTHER", 3))
    assert (waits, handover.is_complete) == (True, True)
    assert handover.remaining() == [replaced(SYMBOL, 10), replaced("OTHER", 3), depth(11, 11)]


def test_events_of_a_symbol_that_got_no_book_are_of_no_use() -> None:
    handover = Handover([SYMBOL], brings_books=True)
    handover.hold(depth(8, 8))
    assert handover.remaining() == []


def test_a_second_book_of_the_successor_takes_the_place_of_its_first() -> None:
    handover = Handover([SYMBOL], brings_books=True)
    handover.begin(replaced(SYMBOL, 10))
    handover.hold(depth(11, 11))
    handover.begin(replaced(SYMBOL, 20))
    handover.hold(depth(21, 21))
    assert handover.remaining() == [replaced(SYMBOL, 20), depth(21, 21)]


def exactly_two() -> BookSync:
    sync = BookSync(rule=BookRule(depth=2, is_exact=True))
    assert sync.replace(book()) is Outcome.APPLIED
    return sync


def test_a_level_too_many_is_a_fault_where_the_exchange_says_what_leaves() -> None:
    """A delete was lost, or a level was changed on its way: the book is not the exchange's."""
    sync = exactly_two()
    assert sync.receive(depth(2, 2, [(99.5, 1.0), (99.0, 0.0)])) is Outcome.APPLIED
    assert sync.receive(depth(3, 3, [(99.7, 1.0)])) is Outcome.MISCOUNTED
    assert sync.needs_snapshot


def test_a_level_too_few_is_a_fault_on_a_side_that_was_full() -> None:
    """The next level would have come instead."""
    sync = exactly_two()
    assert sync.receive(depth(2, 2, [], [(101.0, 0.0)])) is Outcome.MISCOUNTED
    assert sync.needs_snapshot


def test_a_side_may_have_fewer_levels_than_the_depth_until_it_has_all() -> None:
    """There are no more in the market."""
    sync = BookSync(rule=BookRule(depth=3, is_exact=True))
    assert sync.replace(book(limit=3)) is Outcome.APPLIED
    assert sync.receive(depth(2, 2, [(99.0, 0.0)])) is Outcome.APPLIED
    assert sync.receive(depth(3, 3, [(99.0, 1.0), (98.0, 1.0)])) is Outcome.APPLIED
    assert sync.receive(depth(4, 4, [(98.0, 0.0)])) is Outcome.MISCOUNTED
    assert sync.replace(book(limit=3)) is Outcome.APPLIED
    assert sync.receive(depth(2, 2, [(99.0, 0.0)])) is Outcome.APPLIED  # a fresh book has had no more


def test_a_whole_book_with_too_many_levels_is_none() -> None:
    sync = BookSync(rule=BookRule(depth=1, is_exact=True))
    assert sync.replace(book()) is Outcome.MISCOUNTED
    assert sync.needs_snapshot
