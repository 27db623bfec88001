"""The synchronised book against a true one, whatever the network does."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.core.exchange import SYMBOL, Connection, TrueBook, assert_true_side, price_at, size_at
from vibe_orderbook_mcp.core.events import DepthSnapshot, DepthUpdate, Side
from vibe_orderbook_mcp.core.handover import Handover
from vibe_orderbook_mcp.core.sync import BookSync, Loaded, Outcome

SIDES: list[Side] = ["bid", "ask"]
ACTIONS = st.lists(st.tuples(st.sampled_from(SIDES), st.integers(90, 110), st.integers(0, 50)), min_size=1, max_size=6)
LIMITS = st.sampled_from([1, 2, 3, 5, 100])


class SyncMachine(RuleBasedStateMachine):
    """Frames are lost, repeated, swapped and late; snapshots are old, late or truncated; connections come and go."""

    def __init__(self) -> None:
        super().__init__()
        self.truth = TrueBook()
        self.connection = Connection(self.truth)
        self.successor: Connection | None = None
        self.handover: Handover | None = None
        self.snapshots: list[tuple[DepthSnapshot, int]] = []
        self.sync = BookSync()
        self.nothing_lost = False  # since the book was last loaded

    # --- the exchange --------------------------------------------------------------------------------------

    @initialize(actions=ACTIONS)
    def open_the_market(self, actions: list[tuple[Side, int, int]]) -> None:
        self.trade_on(actions)

    @rule(actions=ACTIONS)
    def trade_on(self, actions: list[tuple[Side, int, int]]) -> None:
        for side, ticks, lots in actions:
            self.truth.act(side, price_at(ticks), size_at(lots))

    @rule()
    def cut_a_frame(self) -> None:
        self.connection.cut()

    @rule(limit=LIMITS, age=st.integers(0, 8))
    def answer_a_snapshot_request(self, limit: int, age: int) -> None:
        oldest = min(self.truth.states)
        self.snapshots.append((self.truth.snapshot(max(oldest, self.truth.id - age), limit), limit))

    # --- the network ---------------------------------------------------------------------------------------

    @precondition(lambda self: self.connection.on_the_way)
    @rule()
    def deliver(self) -> None:
        self.receive(self.connection.on_the_way.pop(0))
        self.join()

    @precondition(lambda self: self.connection.on_the_way)
    @rule()
    def deliver_twice(self) -> None:
        self.receive(self.connection.on_the_way[0])
        self.deliver()

    @precondition(lambda self: self.connection.on_the_way)
    @rule()
    def lose_a_frame(self) -> None:
        self.connection.on_the_way.pop(0)
        self.nothing_lost = False

    @precondition(lambda self: len(self.connection.on_the_way) > 1)
    @rule()
    def swap_two_frames(self) -> None:
        waiting = self.connection.on_the_way
        waiting[0], waiting[1] = waiting[1], waiting[0]
        self.nothing_lost = False

    @precondition(lambda self: self.snapshots)
    @rule(data=st.data())
    def deliver_a_snapshot(self, data: st.DataObject) -> None:
        snapshot, limit = self.snapshots.pop(data.draw(st.integers(0, len(self.snapshots) - 1)))
        was_loaded = self.sync.book is not None
        loaded = self.sync.load(snapshot, limit=limit)
        assert (loaded is Loaded.NOT_NEEDED) is was_loaded
        if loaded in (Loaded.LIVE, Loaded.UNPROVEN):
            # An unproven one may be older than its connection: then the hole is real.
            self.nothing_lost = loaded is Loaded.LIVE and not self.connection.on_the_way

    @rule()
    def reconnect(self) -> None:
        self.sync.reset()
        self.connection = Connection(self.truth)
        self.successor = self.handover = None

    # --- make before break, as a line does it --------------------------------------------------------------

    @precondition(lambda self: self.successor is None)
    @rule()
    def open_a_successor(self) -> None:
        self.successor = Connection(self.truth)
        self.handover = Handover([SYMBOL])

    @precondition(lambda self: self.successor is not None)
    @rule()
    def cut_a_frame_of_the_successor(self) -> None:
        assert self.successor is not None
        self.successor.cut()

    @precondition(lambda self: self.successor is not None and self.successor.on_the_way)
    @rule()
    def deliver_of_the_successor(self) -> None:
        assert self.successor is not None
        assert self.handover is not None
        self.handover.hold(self.successor.on_the_way.pop(0))
        self.join()

    @precondition(lambda self: self.successor is not None)
    @rule()
    def promote_the_successor(self) -> None:
        assert self.successor is not None
        assert self.handover is not None
        self.connection, handover = self.successor, self.handover
        self.successor = self.handover = None
        self.nothing_lost = self.nothing_lost and handover.is_complete
        for update in handover.remaining():
            self.receive(update)

    # --- what must hold ------------------------------------------------------------------------------------

    @rule()
    def a_new_snapshot_brings_it_back(self) -> None:
        """Recovery needs one snapshot that is new enough and one event, whatever happened before."""
        if self.sync.needs_snapshot:
            assert self.sync.load(self.truth.snapshot(self.truth.id, 100), limit=100) in (Loaded.LIVE, Loaded.UNPROVEN)
            assert self.sync.book is not None
            while self.connection.on_the_way:
                assert self.receive(self.connection.on_the_way.pop(0)) is Outcome.OLD
            self.truth.act("bid", price_at(80), size_at(self.truth.id))
            self.connection.cut()
            self.deliver()
            assert self.sync.is_live
            self.nothing_lost = True

    @invariant()
    def the_book_is_the_true_one_at_its_id(self) -> None:
        """Not only while it is live: a book that is kept is never wrong."""
        book = self.sync.book
        if book is not None:
            bids, asks = self.truth.states[book.last_update_id]
            assert_true_side(book.bids, bids)
            assert_true_side(book.asks, asks)
        assert self.sync.needs_snapshot is (book is None)
        assert self.sync.is_live is (book is not None and self.sync.is_proven)

    def join(self) -> None:
        if self.handover is not None:
            book = self.sync.book
            for update in self.handover.joining(SYMBOL, None if book is None else book.last_update_id):
                self.receive(update)

    def receive(self, update: DepthUpdate) -> Outcome:
        known = None if self.sync.book is None else self.sync.book.last_update_id
        outcome = self.sync.receive(update)
        book = self.sync.book
        if known is None:
            assert outcome in (Outcome.BUFFERED, Outcome.OLD)
            assert book is None
        elif update.final_id <= known:
            assert outcome is Outcome.OLD
            assert book is not None
            assert book.last_update_id == known
        elif update.first_id > known + 1:
            assert outcome is Outcome.GAP
            assert book is None
            assert not self.nothing_lost
        else:
            assert outcome is Outcome.APPLIED
            assert book is not None
            assert book.last_update_id == update.final_id
            assert self.sync.is_live
        return outcome


SyncMachine.TestCase.settings = settings(deadline=None, max_examples=120, stateful_step_count=60)
test_the_book_is_never_wrong_and_every_gap_is_noticed = SyncMachine.TestCase
