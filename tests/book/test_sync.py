"""Binance's procedure, line by line. `test_sync_machine.py` tries everything in any order."""

from __future__ import annotations

import pytest

from tests.book.exchange import depth
from vibe_orderbook_mcp.book.sync import BUFFER_LIMIT, BookSync, Loaded, Outcome
from vibe_orderbook_mcp.model.events import DepthSnapshot

BIDS = [(100.0, 5.0), (99.0, 7.0)]
ASKS = [(101.0, 4.0), (102.0, 6.0)]


def snapshot(last_update_id: int) -> DepthSnapshot:
    return DepthSnapshot(last_update_id, list(BIDS), list(ASKS))


def live_at(update_id: int) -> BookSync:
    sync = BookSync()
    sync.receive(depth(update_id, update_id))
    assert sync.load(snapshot(update_id)) is Loaded.LIVE
    return sync


def test_events_wait_in_a_buffer_until_a_snapshot_comes() -> None:
    """Step 2: there is nothing that an event could be applied to yet."""
    sync = BookSync()
    assert sync.needs_snapshot
    assert sync.receive(depth(10, 12)) is Outcome.BUFFERED
    assert sync.receive(depth(13, 13)) is Outcome.BUFFERED
    assert sync.book is None
    assert not sync.is_live


@pytest.mark.parametrize(
    ("last_update_id", "expected"),
    [
        (8, Loaded.TOO_OLD),  # id 9 is in neither: strictly less than U, and not even U - 1
        (9, Loaded.LIVE),  # U - 1: the event continues it
        (10, Loaded.LIVE),  # U
        (11, Loaded.LIVE),  # within [U; u]
        (12, Loaded.LIVE),  # u: the event is discarded
        (99, Loaded.LIVE),  # newer than all that was buffered
    ],
)
def test_a_snapshot_joins_when_the_buffer_continues_it(last_update_id: int, expected: Loaded) -> None:
    """Step 4 and its edges: one id further back there would be a hole between the two."""
    sync = BookSync()
    sync.receive(depth(10, 12, [(100.0, 9.0)]))
    assert sync.load(snapshot(last_update_id)) is expected
    assert sync.is_live is (expected is Loaded.LIVE)
    assert sync.needs_snapshot is (expected is Loaded.TOO_OLD)


@pytest.mark.parametrize(("last_update_id", "size"), [(9, 9.0), (10, 9.0), (11, 9.0), (12, 5.0), (13, 5.0)])
def test_buffered_events_up_to_the_snapshot_are_discarded_and_later_ones_applied(
    last_update_id: int, size: float
) -> None:
    """Step 5: an event with u <= lastUpdateId would put old sizes over newer ones."""
    sync = BookSync()
    sync.receive(depth(10, 12, [(100.0, 9.0)], event_ms=4_321))
    sync.load(snapshot(last_update_id))
    assert sync.book is not None
    assert sync.book.bids.sizes[100.0] == size
    assert sync.book.last_update_id == max(last_update_id, 12)
    assert sync.book.event_ms == 4_321


def test_a_snapshot_that_is_too_old_leaves_the_buffer_for_the_next_one() -> None:
    """Step 4 says to go back to step 3, not to step 1: the events are still needed."""
    sync = BookSync()
    sync.receive(depth(10, 12, [(100.0, 9.0)]))
    sync.receive(depth(13, 14, [(99.0, 0.0)]))
    assert sync.load(snapshot(3)) is Loaded.TOO_OLD
    assert sync.load(snapshot(10)) is Loaded.LIVE
    assert sync.book is not None
    assert sync.book.bids.sizes == {100.0: 9.0}
    assert sync.book.last_update_id == 14


def test_a_snapshot_without_events_is_unproven_until_one_continues_it() -> None:
    """Whether the stream starts before or after the snapshot is not known until the stream has said something."""
    sync = BookSync()
    assert sync.load(snapshot(20)) is Loaded.UNPROVEN
    assert not sync.needs_snapshot
    assert not sync.is_live
    assert sync.receive(depth(21, 22)) is Outcome.APPLIED
    assert sync.is_live


def test_an_event_that_leaves_a_hole_after_an_unproven_snapshot_outruns_it() -> None:
    """The snapshot was older than the stream: nothing was lost, so it does not count as a gap."""
    sync = BookSync()
    sync.load(snapshot(20))
    assert sync.receive(depth(22, 23)) is Outcome.OUTRUN
    assert sync.missed == (21, 22)
    assert sync.load(snapshot(22)) is Loaded.LIVE


def test_a_quiet_symbols_snapshot_can_be_accepted_on_the_streams_silence() -> None:
    """A symbol without orders for minutes would never become live otherwise."""
    sync = BookSync()
    sync.confirm()
    assert not sync.is_live  # there is nothing to accept
    sync.load(snapshot(20))
    sync.confirm()
    assert sync.is_live


@pytest.mark.parametrize("final_id", [18, 20])
def test_an_event_that_the_book_contains_is_ignored(final_id: int) -> None:
    """Update rule 1, `u` less than the book's id. At equality it has nothing new either."""
    sync = live_at(20)
    assert sync.receive(depth(15, final_id, [(100.0, 0.0)])) is Outcome.OLD
    assert sync.book is not None
    assert sync.book.bids.sizes == dict(BIDS)
    assert sync.book.last_update_id == 20


@pytest.mark.parametrize("first_id", [15, 20, 21])
def test_an_event_that_reaches_beyond_the_book_without_a_hole_is_applied(first_id: int) -> None:
    """Update rules 2 and 3: sizes are absolute, so an overlap does no harm; 0 removes, an unknown level is inserted."""
    sync = live_at(20)
    event = depth(first_id, 23, [(100.0, 0.0), (98.0, 1.5), (97.0, 0.0)], [(101.0, 8.0)], event_ms=9_000)
    assert sync.receive(event) is Outcome.APPLIED
    assert sync.book is not None
    assert sync.book.bids.sizes == {99.0: 7.0, 98.0: 1.5}
    assert sync.book.asks.sizes == {101.0: 8.0, 102.0: 6.0}
    assert sync.book.last_update_id == 23
    assert sync.book.event_ms == 9_000
    assert sync.before == ([5.0, 0.0, 0.0], [4.0])


def test_a_missing_id_costs_the_book_at_once() -> None:
    """Update rule 1: `U` greater than the book's id + 1. The book is not shown for one event longer."""
    sync = live_at(20)
    assert sync.receive(depth(22, 25, [(98.0, 1.0)])) is Outcome.GAP
    assert sync.missed == (21, 22)
    assert sync.book is None
    assert not sync.is_live
    assert sync.needs_snapshot


def test_the_event_behind_a_gap_is_kept_for_the_next_snapshot() -> None:
    """It is the first buffered event of the new start; thrown away, the next snapshot could not be joined."""
    sync = live_at(20)
    sync.receive(depth(22, 25, [(98.0, 1.0)]))
    assert sync.receive(depth(26, 27)) is Outcome.BUFFERED
    assert sync.load(snapshot(21)) is Loaded.LIVE
    assert sync.book is not None
    assert sync.book.bids.sizes[98.0] == 1.0
    assert sync.book.last_update_id == 27


def test_a_hole_in_the_buffer_makes_older_snapshots_useless() -> None:
    """A snapshot from before the hole would be continued across it, and the book would be wrong and called live."""
    sync = BookSync()
    sync.receive(depth(10, 12))
    sync.receive(depth(15, 16))
    assert sync.load(snapshot(11)) is Loaded.TOO_OLD
    assert sync.load(snapshot(13)) is Loaded.TOO_OLD
    assert sync.load(snapshot(14)) is Loaded.LIVE


def test_repeated_events_are_buffered_once() -> None:
    """Two connections deliver the same during a change of connections."""
    sync = BookSync()
    sync.receive(depth(10, 12))
    assert sync.receive(depth(10, 12)) is Outcome.OLD
    assert sync.receive(depth(11, 12)) is Outcome.OLD
    assert sync.receive(depth(11, 14)) is Outcome.BUFFERED
    assert sync.load(snapshot(9)) is Loaded.LIVE
    assert sync.book is not None
    assert sync.book.last_update_id == 14


def test_a_buffer_that_overflows_forgets_its_oldest_events() -> None:
    """Hours without a snapshot must not fill the memory; the snapshot has to be newer then."""
    sync = BookSync()
    for update_id in range(1, BUFFER_LIMIT + 11):
        sync.receive(depth(update_id, update_id))
    assert sync.load(snapshot(9)) is Loaded.TOO_OLD
    assert sync.load(snapshot(10)) is Loaded.LIVE
    assert sync.book is not None
    assert sync.book.last_update_id == BUFFER_LIMIT + 10


def test_a_second_snapshot_is_not_needed() -> None:
    """Two requests may be under way; the later answer would take the book back in time."""
    sync = live_at(20)
    assert sync.load(snapshot(19)) is Loaded.NOT_NEEDED
    assert sync.book is not None
    assert sync.book.last_update_id == 20


def test_a_reset_forgets_everything() -> None:
    """A new connection owes nothing to the old one."""
    sync = BookSync()
    sync.receive(depth(10, 12))
    sync.reset()
    assert sync.load(snapshot(3)) is Loaded.UNPROVEN  # no buffered event to be too old for
    sync.reset()
    assert sync.book is None
    assert not sync.is_proven


def test_a_book_that_is_crossed_for_one_event_is_not_shown_but_kept() -> None:
    """The other side's rows may be in the next frame: a resync for that would cost more than it gives."""
    sync = live_at(20)
    assert (sync.receive(depth(21, 21, [(101.0, 1.0)])), sync.is_live) == (Outcome.APPLIED, False)
    assert (sync.receive(depth(22, 22, [], [(101.0, 0.0)])), sync.is_live) == (Outcome.APPLIED, True)
    assert sync.receive(depth(23, 23, [(102.0, 1.0)])) is Outcome.APPLIED  # the count starts again
    assert not sync.needs_snapshot


def test_a_book_that_is_crossed_for_two_events_is_given_up() -> None:
    """On an exchange that matches, a lasting cross can only be an error of the copy."""
    sync = live_at(20)
    sync.receive(depth(21, 21, [(101.0, 1.0)]))
    assert sync.receive(depth(22, 22, [(98.0, 1.0)])) is Outcome.CROSSED
    assert sync.needs_snapshot
    assert sync.receive(depth(23, 23)) is Outcome.BUFFERED


def test_a_book_that_was_loaded_crossed_has_had_its_one_event() -> None:
    """Otherwise what a snapshot and its buffer made would be crossed for three events before it is given up."""
    sync = BookSync()
    sync.receive(depth(21, 21, [(101.0, 1.0)]))
    assert sync.load(snapshot(20)) is Loaded.LIVE
    assert not sync.is_live
    assert sync.receive(depth(22, 22)) is Outcome.CROSSED
