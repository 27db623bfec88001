from __future__ import annotations

from tests.book.exchange import SYMBOL, depth
from vibe_orderbook_mcp.book.handover import Handover
from vibe_orderbook_mcp.model.events import DepthUpdate


def test_frames_that_run_ahead_wait_for_the_old_connection() -> None:
    """Applied at once they would look like a gap, and a book would be lost for nothing."""
    handover = Handover([SYMBOL])
    ahead = depth(14, 16)
    handover.hold(ahead)
    assert (handover.joining(SYMBOL, 10), handover.is_complete) == ([], False)
    assert (handover.joining(SYMBOL, 13), handover.is_complete) == ([ahead], True)
    assert handover.remaining() == []


def test_frames_that_continue_each_other_join_together() -> None:
    """Otherwise the second would wait for one more frame of a connection that is about to end."""
    handover = Handover([SYMBOL])
    frames = [depth(8, 11), depth(12, 15), depth(16, 16)]
    for frame in frames:
        handover.hold(frame)
    assert handover.joining(SYMBOL, 10) == frames


def test_a_hole_in_the_successors_frames_stays_one() -> None:
    """A frame that does not follow is not put behind the one before it."""
    handover = Handover([SYMBOL])
    for frame in (depth(11, 12), depth(15, 16)):
        handover.hold(frame)
    assert handover.joining(SYMBOL, 10) == [depth(11, 12)]
    assert handover.remaining() == [depth(15, 16)]


def test_an_old_frame_of_the_successor_proves_that_the_two_overlap() -> None:
    """The book has it already; what follows it on the same connection continues the book."""
    handover = Handover([SYMBOL])
    handover.hold(depth(5, 8))
    assert handover.joining(SYMBOL, 10) == [depth(5, 8)]
    assert handover.is_complete


def test_a_book_that_waits_for_its_snapshot_takes_everything() -> None:
    """It buffers itself, and notices holes in what it buffered itself."""
    handover = Handover([SYMBOL])
    frames = [depth(11, 12), depth(15, 16)]
    for frame in frames:
        handover.hold(frame)
    assert handover.joining(SYMBOL, None) == frames


def test_the_change_is_complete_when_every_symbol_has_joined() -> None:
    """Closing the old connection earlier would cut off the symbols that still depend on it."""
    handover = Handover([SYMBOL, "ETHBTC"])
    handover.hold(depth(11, 12))
    other = DepthUpdate("ETHBTC", 1_000, 5, 6, [], [])
    assert (handover.joining(SYMBOL, 10), handover.is_complete) == ([depth(11, 12)], False)
    handover.hold(other)
    assert (handover.joining("ETHBTC", 4), handover.is_complete) == ([other], True)
    assert handover.joining("XRPBTC", 4) == []
