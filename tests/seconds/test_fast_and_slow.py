"""The quick way to books and rows against the obvious one: equal to the last figure, event by event."""

from __future__ import annotations

from collections import defaultdict
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.book.exchange import SPEC, depth, price_at, size_at
from tests.market.recordings import DEPTH_LIMIT, YEAR_2021, YEAR_2024, recorded
from tests.seconds.slow import Rungs, SlowBook, SlowTracker, imbalance, rungs
from vibe_orderbook_mcp.book.book import OrderBook
from vibe_orderbook_mcp.model.events import DepthSnapshot, DepthUpdate, Trade
from vibe_orderbook_mcp.model.rows import BookTop, RowFlag, SecondRow
from vibe_orderbook_mcp.model.symbol import SymbolSpec
from vibe_orderbook_mcp.seconds.tracker import SecondTracker
from vibe_orderbook_mcp.seconds.wall_watch import LevelEvidence, WallLimits

Told = tuple[SecondRow, BookTop | None, LevelEvidence | None]
COMPARE_EVERY = 97
LOOKED_AT = 1_500  # messages of a recording: the slow way sorts the book for each of them
ONE_IN = 40  # levels that are large enough to be walls in this test


class Path:
    """A book and its rows, fed as `Market` feeds them."""

    def __init__(self, spec: SymbolSpec, tracker: SecondTracker, kind: type[OrderBook]) -> None:
        self.tracker = tracker
        self.kind = kind
        self.book: OrderBook | None = None
        self.told: list[Told] = []
        self.lot = Fraction(1, 10**spec.lot_exp)
        tracker.wall_rule = self._walls

    def load(self, snapshot: DepthSnapshot, limit: int) -> None:
        self.book = self.kind(snapshot, limit=limit)
        self.tracker.synced(self.book)

    def event(self, update: DepthUpdate) -> None:
        assert self.book is not None
        self.tracker.roll(update.event_ms)
        before = self.book.apply(update)
        self.tracker.applied(update, before, update.final_id - update.first_id + 1)
        self._take()

    def finish(self) -> list[Told]:
        self.tracker.finish()
        self._take()
        return self.told

    def _take(self) -> None:
        for row, top in self.tracker.take():
            self.told.append((row, top, self.tracker.take_evidence(row.second)))

    @staticmethod
    def _walls(book: OrderBook) -> WallLimits | None:
        bids, asks = (sorted(side.sizes.values()) for side in (book.bids, book.asks))
        if not bids or not asks:
            return None
        return WallLimits(bids[-1 - len(bids) // ONE_IN], asks[-1 - len(asks) // ONE_IN], 0.0, 1e9)


def both(spec: SymbolSpec) -> tuple[Path, Path]:
    return Path(spec, SecondTracker(spec), OrderBook), Path(spec, SlowTracker(spec), SlowBook)


def assert_equal_books(fast: Path, slow: Path) -> None:
    assert fast.book is not None
    assert slow.book is not None
    for one, other in ((fast.book.bids, slow.book.bids), (fast.book.asks, slow.book.asks)):
        assert one.sizes == other.sizes
        assert one.prices == other.prices
        for price in other.prices:
            assert one.since_ms(price) == other.since_ms(price)
            traded = (path.tracker.levels.traded(one.side, price) for path in (fast, slow))
            assert len(set(traded)) == 1


def assert_equal_rows(fast: list[Told], slow: list[Told]) -> None:
    assert [row for row, *_ in fast] == [row for row, *_ in slow]
    assert fast == slow


@pytest.mark.parametrize(
    ("year", "symbol"), [(YEAR_2024, "BTCUSDT"), (YEAR_2024, "ETHUSDT"), (YEAR_2021, "NKNUSDT"), (YEAR_2021, "LRCBTC")]
)
def test_recorded_messages_make_the_same_books_and_rows(year: str, symbol: str) -> None:
    """Every best price after every message, whole books now and then, and every figure of every second."""
    recording = recorded(year, symbol)
    fast, slow = both(recording.spec)
    events = trades = 0
    for _, one in recording.told:
        if isinstance(one, DepthSnapshot):
            for path in (fast, slow):
                path.load(one, DEPTH_LIMIT)
        elif isinstance(one, Trade):
            trades += 1
            for path in (fast, slow):
                path.tracker.trade(one)
        elif fast.book is not None and slow.book is not None and one.final_id > fast.book.last_update_id:
            events += 1
            for path in (fast, slow):
                path.event(one)
            assert (fast.book.bids.best, fast.book.asks.best) == (slow.book.bids.best, slow.book.asks.best)
            if events % COMPARE_EVERY == 0:
                assert_equal_books(fast, slow)
        if events == LOOKED_AT:
            break
    assert events > 5
    assert_equal_books(fast, slow)
    assert_equal_rows(fast.finish(), slow.finish())
    if year == YEAR_2024:
        assert trades > 500
        assert any(evidence.walls for *_, evidence in fast.told if evidence is not None)
        assert any(evidence.turnovers or evidence.chains for *_, evidence in fast.told if evidence is not None)


# --- generated streams --------------------------------------------------------------------------------------

BID_ROWS = st.dictionaries(st.integers(1, 60), st.sampled_from([0, 0, 1, 2, 5, 9]), max_size=12)
ASK_ROWS = st.dictionaries(st.integers(50, 110), st.sampled_from([0, 0, 1, 2, 5, 9]), max_size=12)
EVENT = st.tuples(st.just("event"), st.sampled_from([0, 40, 100, 100, 100, 350, 1_200]), BID_ROWS, ASK_ROWS)
TRADE = st.tuples(st.just("trade"), st.integers(-200, 20), st.integers(40, 70), st.integers(1, 9), st.booleans())
LOSS = st.tuples(st.just("loss"), BID_ROWS, ASK_ROWS)
STREAM = st.lists(st.one_of(EVENT, EVENT, EVENT, TRADE, TRADE, LOSS), min_size=5, max_size=60)
START_MS = 10_000


def rows_of(rows: dict[int, int]) -> list[tuple[float, float]]:
    return [(price_at(price), size_at(size)) for price, size in rows.items()]


def snapshot(update_id: int, bids: dict[int, int], asks: dict[int, int]) -> DepthSnapshot:
    held = {price: size for price, size in bids.items() if size}
    other = {price: size for price, size in asks.items() if size and price > max(held, default=0)}
    return DepthSnapshot(update_id, sorted(rows_of(held), reverse=True), sorted(rows_of(other)))


class Run:
    """A generated stream, fed to both paths."""

    def __init__(self) -> None:
        self.fast, self.slow = both(SPEC)
        self.now_ms = START_MS
        self.update_id = 100
        self.trades = 0
        self.chain: Rungs | None = None
        self.ofi: dict[int, list[list[Fraction]]] = defaultdict(list)
        self.is_first = True

    def load(self, bids: dict[int, int], asks: dict[int, int]) -> None:
        for path in (self.fast, self.slow):
            path.load(snapshot(self.update_id, bids, asks), limit=9)
        self.chain = None
        self.event(0, {}, {})

    def event(self, passed_ms: int, bids: dict[int, int], asks: dict[int, int]) -> None:
        self.now_ms += passed_ms
        self.update_id += 1
        update = depth(self.update_id, self.update_id, rows_of(bids), rows_of(asks), event_ms=self.now_ms)
        for path in (self.fast, self.slow):
            path.event(update)
        assert_equal_books(self.fast, self.slow)
        assert self.slow.book is not None
        after = rungs(self.slow.book)
        if self.chain is not None and after is not None:
            self.ofi[self.now_ms // 1000].append(imbalance(self.chain, after, self.slow.lot))
        self.chain = after

    def trade(self, late_ms: int, price: int, size: int, is_sell: bool) -> None:
        self.trades += 1
        trade = Trade(
            self.trades, self.now_ms + late_ms, price_at(price), size_at(size), self.trades, self.trades, is_sell
        )
        for path in (self.fast, self.slow):
            path.tracker.trade(trade)

    def lose(self) -> None:
        for path in (self.fast, self.slow):
            path.tracker.lost(RowFlag.GAP)


@settings(deadline=None, max_examples=150)
@given(STREAM)
def test_generated_streams_make_the_same_books_and_rows(stream: list[tuple[object, ...]]) -> None:
    """Levels that come and go within a second, trades late and early, losses, crossed books, seconds without events."""
    run = Run()
    run.load({40: 5, 39: 7, 30: 2}, {60: 4, 61: 9, 75: 1})
    for kind, *rest in stream:
        if kind == "loss":
            run.lose()
            run.load(*rest)  # type: ignore[arg-type]  # what the strategy of that kind draws
        elif kind == "trade":
            run.trade(*rest)  # type: ignore[arg-type]
        else:
            run.event(*rest)  # type: ignore[arg-type]
    assert_equal_rows(run.fast.finish(), run.slow.finish())
    for row, *_ in run.fast.told:
        per_event = run.ofi.get(row.second, [])
        levels = max(map(len, per_event), default=0)
        sums = [sum((one[m] for one in per_event if m < len(one)), Fraction(0)) for m in range(levels)]
        assert [Fraction(str(value)) for value in row.mlofi] == sums
