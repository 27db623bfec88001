"""The synchronised book against a true one, whatever the network does."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.book.exchange import SYMBOL, Connection, TrueBook, assert_true_side, price_at, size_at
from vibe_orderbook_mcp.book.handover import Handover
from vibe_orderbook_mcp.book.sync import BookSync, Loaded, Outcome
from vibe_orderbook_mcp.model.events import DepthUpdate, Side

Action = tuple[Side, int, int]

SIDES: list[Side] = ["bid", "ask"]
ACTION = st.tuples(st.sampled_from(SIDES), st.integers(90, 110), st.integers(0, 50))
FEW = st.lists(ACTION, min_size=1, max_size=3)
FATES = st.sampled_from(["delivered", "delivered", "delivered", "twice", "lost", "swapped"])
MOST = 100  # more levels than there are


class SyncMachine(RuleBasedStateMachine):
    """Frames are lost, repeated and swapped; snapshots are old or truncated; connections break and are replaced."""

    def __init__(self) -> None:
        super().__init__()
        self.truth = TrueBook()
        self.connection = Connection(self.truth)
        self.successor: Connection | None = None
        self.handover: Handover | None = None
        self.sync = BookSync()
        self.nothing_lost = False  # since the book was last loaded

    @initialize(actions=st.lists(ACTION, min_size=5, max_size=20))
    def open_the_market(self, actions: list[Action]) -> None:
        self.act(actions)
        self.a_new_snapshot_brings_it_back()

    # --- the exchange and the network ----------------------------------------------------------------------

    @rule(actions=FEW)
    def change_the_book(self, actions: list[Action]) -> None:
        """Each connection cuts its frames when it likes: this one now, a successor at other ids."""
        self.act(actions)
        self.connection.cut()

    @precondition(lambda self: self.connection.on_the_way)
    @rule(fate=FATES)
    def a_frame_arrives(self, fate: str) -> None:
        waiting = self.connection.on_the_way
        if fate == "swapped" and len(waiting) > 1:
            waiting[0], waiting[1] = waiting[1], waiting[0]
        self.nothing_lost = self.nothing_lost and fate not in ("lost", "swapped")
        frame = waiting.pop(0)
        if fate != "lost":
            self.receive(frame)
        if fate == "twice":
            self.receive(frame)
        self.join()

    @rule(age=st.integers(0, 10), limit=st.sampled_from([1, 2, 3, 5, MOST, MOST]))
    def a_snapshot_arrives(self, age: int, limit: int) -> None:
        """A late one is an old one."""
        update_id = max(self.truth.id - age, min(self.truth.states))
        was_loaded = self.sync.book is not None
        loaded = self.sync.load(self.truth.snapshot(update_id, limit), limit=limit)
        assert (loaded is Loaded.NOT_NEEDED) is was_loaded
        if not was_loaded:
            self.nothing_lost = (
                False  # the stream may have begun after it, or frames on their way may have been swapped
            )

    @rule()
    def the_connection_breaks(self) -> None:
        self.sync.reset()
        self.connection = Connection(self.truth)
        self.successor = self.handover = None
        self.nothing_lost = False

    # --- make before break, as a line does it --------------------------------------------------------------

    @precondition(lambda self: self.successor is None)
    @rule()
    def a_successor_opens(self) -> None:
        self.successor = Connection(self.truth)
        self.handover = Handover([SYMBOL])

    @precondition(lambda self: self.successor is not None)
    @rule(actions=st.lists(ACTION, max_size=2))
    def a_frame_of_the_successor_arrives(self, actions: list[Action]) -> None:
        """Ahead of the first connection's or behind them."""
        assert self.successor is not None
        assert self.handover is not None
        self.act(actions)
        self.successor.cut()
        while self.successor.on_the_way:
            self.handover.hold(self.successor.on_the_way.pop(0))
        self.join()

    @precondition(lambda self: self.successor is not None)
    @rule()
    def the_successor_takes_over(self) -> None:
        assert self.successor is not None
        assert self.handover is not None
        self.connection, handover = self.successor, self.handover
        self.successor = self.handover = None
        self.nothing_lost = self.nothing_lost and handover.is_complete
        for update in handover.remaining():
            assert isinstance(update, DepthUpdate)
            self.receive(update)

    # --- what must hold ------------------------------------------------------------------------------------

    @rule()
    def a_new_snapshot_brings_it_back(self) -> None:
        """Recovery needs one snapshot that is new enough and one event, whatever happened before."""
        if not self.sync.needs_snapshot:
            return
        assert self.sync.load(self.truth.snapshot(self.truth.id, MOST), limit=MOST) in (Loaded.LIVE, Loaded.UNPROVEN)
        while self.connection.on_the_way:
            assert self.receive(self.connection.on_the_way.pop(0)) is Outcome.OLD
        self.act([("bid", 80, self.truth.id)])
        self.connection.cut()
        assert self.receive(self.connection.on_the_way.pop(0)) is Outcome.APPLIED
        assert self.sync.is_live
        self.nothing_lost = True
        self.join()

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

    def act(self, actions: list[Action]) -> None:
        for side, ticks, lots in actions:
            self.truth.act(side, price_at(ticks), size_at(lots))

    def join(self) -> None:
        if self.handover is not None:
            book = self.sync.book
            for update in self.handover.joining(SYMBOL, None if book is None else book.last_update_id):
                self.receive(update)

    def receive(self, update: DepthUpdate) -> Outcome:
        """Every gap is noticed and none is imagined."""
        known = None if self.sync.book is None else self.sync.book.last_update_id
        was_proven = self.sync.is_proven
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
            assert outcome is (Outcome.GAP if was_proven else Outcome.OUTRUN)
            assert book is None
            assert not self.nothing_lost
        else:
            assert outcome is Outcome.APPLIED
            assert book is not None
            assert book.last_update_id == update.final_id
            assert self.sync.is_live
        return outcome


SyncMachine.TestCase.settings = settings(deadline=None, max_examples=200, stateful_step_count=50)
test_the_book_is_never_wrong_and_every_gap_is_noticed = SyncMachine.TestCase
