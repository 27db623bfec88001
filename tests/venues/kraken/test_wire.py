"""Kraken's websocket v2: books that are proved by their checksum, requests and their answers, trades."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from decimal import Decimal

import pytest

from tests.folders import RECORDINGS
from tests.venues.kraken.feed import SPEC, SYMBOL, Sender, changed
from vibe_orderbook_mcp.book.book import OrderBook
from vibe_orderbook_mcp.book.sync import BookSync, Outcome
from vibe_orderbook_mcp.model.events import DepthUpdate, Trade
from vibe_orderbook_mcp.model.symbol import SymbolSpec
from vibe_orderbook_mcp.model.wire import BookReplaced, MalformedMessage, Reply, TradeOf
from vibe_orderbook_mcp.venues.kraken.wire import Kraken, KrakenWire

RECORDING = RECORDINGS / "venues" / "kraken_spot_v2" / "live-btc-eth.ndjson.gz"


class Follower:
    """One book that is kept from a connection's frames, as the feed does it."""

    def __init__(self, depth: int = 10, spec: SymbolSpec = SPEC) -> None:
        venue = Kraken(depth=depth)
        self.wire = venue.wire()
        self.sync = BookSync(rule=venue.rule(spec))
        self.outcomes: Counter[Outcome] = Counter()
        self._symbol = spec.symbol

    def read(self, raw: str) -> Outcome | None:
        """What became of the book in this frame; None where there is none of this symbol."""
        outcome = None
        for event in self.wire.read(raw.encode()):
            if isinstance(event, BookReplaced) and event.symbol == self._symbol:
                outcome = self.sync.replace(OrderBook(event.snapshot, limit=event.limit), event.checksum)
            elif isinstance(event, DepthUpdate) and event.symbol == self._symbol:
                outcome = self.sync.receive(event)
            if outcome is not None:
                self.outcomes[outcome] += 1
        return outcome


@pytest.mark.parametrize("depth", [10, 25, 100])
def test_every_frame_keeps_the_book_that_the_checksum_is_of(depth: int) -> None:
    """Levels that fell out of the window are gone, and prices are compared as numbers around 100.0."""
    sender, follower = Sender(seed=depth, depth=depth, levels=depth + 30), Follower(depth)
    assert follower.read(sender.snapshot()) is Outcome.APPLIED
    for _ in range(400):
        assert follower.read(sender.update()) is Outcome.APPLIED
        book = follower.sync.book
        assert book is not None
        assert (book.bids.top(depth + 1), book.asks.top(depth + 1)) == sender.levels


def test_a_book_that_is_not_cut_to_its_depth_fails() -> None:
    """The rule is needed, and the frames above show it."""
    sender, follower = Sender(seed=10, depth=10, levels=40), Follower(depth=1000)
    follower.read(sender.snapshot())
    outcomes = [follower.read(sender.update()) for _ in range(400)]
    assert Outcome.WRONG in outcomes


@pytest.mark.parametrize("fault", ["lost", "swapped", "size", "checksum"])
def test_a_fault_of_the_stream_is_seen_within_the_next_frames(fault: str) -> None:
    """Or it changes nothing: the next frame may set the same levels again."""
    seen = without_effect = 0
    for seed in range(40):
        sender, follower = Sender(seed), Follower()
        follower.read(sender.snapshot())
        for _ in range(5):
            follower.read(sender.update())
        first, second = sender.update(), sender.update()
        if fault == "lost":
            frames = [second]
        elif fault == "swapped":
            frames = [second, first]
        elif fault == "size":
            asks = json.loads(first)["data"][0]["asks"]
            frames = [changed(first, asks=[{**level, "qty": 77.0} for level in asks] or [{"price": 99.95, "qty": 1.0}])]
        else:
            frames = [changed(first, checksum=1)]
        frames += [sender.update() for _ in range(3)]
        outcomes = [follower.read(frame) for frame in frames]
        if Outcome.WRONG in outcomes:
            seen += 1
        else:
            book = follower.sync.book
            assert book is not None
            assert (book.bids.top(11), book.asks.top(11)) == sender.levels
            without_effect += 1
    assert seen > 3 * without_effect


def test_a_snapshot_is_checked_as_well() -> None:
    """It would be wrong from its first frame on."""
    sender, follower = Sender(3), Follower()
    assert follower.read(changed(sender.snapshot(), checksum=5)) is Outcome.WRONG
    assert follower.sync.needs_snapshot
    assert follower.read(sender.snapshot()) is Outcome.APPLIED


def test_of_a_price_that_is_named_twice_the_last_row_counts() -> None:
    """A frame may set a level and delete it again; collapsed or sorted, a phantom stays for good."""
    sender, follower = Sender(4), Follower()
    follower.read(sender.snapshot())
    frame = sender.update()
    bids = [{"price": 99.95, "qty": 3.0}, {"price": 99.95, "qty": 0.0}, *json.loads(frame)["data"][0]["bids"]]
    assert follower.read(changed(frame, bids=bids)) is Outcome.APPLIED


def test_requests_name_one_channel_each_and_are_confirmed_symbol_by_symbol() -> None:
    venue = Kraken()
    wire = venue.wire()
    assert wire.address("wss://ws.kraken.com", ["book:BTC/USD"]) == "wss://ws.kraken.com/v2"
    assert wire.address("ws://127.0.0.1:9443/kraken", []) == "ws://127.0.0.1:9443/kraken/v2"
    streams = venue.streams_of("BTC/USD") + venue.streams_of("ETH/USD")
    symbols = ["BTC/USD", "ETH/USD"]
    assert [json.loads(raw) for raw in wire.subscribe(7, streams)] == [
        {
            "method": "subscribe",
            "params": {"channel": "book", "symbol": symbols, "depth": 1000, "snapshot": True},
            "req_id": 7,
        },
        {"method": "subscribe", "params": {"channel": "trade", "symbol": symbols, "snapshot": False}, "req_id": 7},
    ]
    answers = [reply(channel, symbol) for channel in ("book", "trade") for symbol in symbols]
    assert [wire.read(raw) for raw in answers] == [(), (), (), [Reply(7)]]
    assert [json.loads(raw)["method"] for raw in wire.unsubscribe(8, streams[:1])] == ["unsubscribe"]
    assert wire.read(reply("book", "BTC/USD", method="unsubscribe", req_id=8)) == [Reply(8)]


def reply(channel: str, symbol: str, *, method: str = "subscribe", req_id: int = 7) -> bytes:
    result = {"channel": channel, "symbol": symbol, "snapshot": True}
    return json.dumps({"method": method, "result": result, "success": True, "req_id": req_id}).encode()


def test_one_refused_symbol_refuses_the_request() -> None:
    """The socket stays open and says nothing else about it."""
    wire = KrakenWire()
    wire.subscribe(1, ["book:BTC/USD", "book:NO/PE"])
    refusal = {"method": "subscribe", "success": False, "error": "Currency pair not supported NO/PE", "req_id": 1}
    assert wire.read(json.dumps(refusal).encode()) == [Reply(1, "Currency pair not supported NO/PE")]
    assert wire.read(reply("book", "BTC/USD", req_id=1)) == ()


def trades(kind: str) -> bytes:
    rows = [
        {
            "symbol": SYMBOL,
            "side": "sell",
            "price": 100.1,
            "qty": 0.5,
            "ord_type": "market",
            "trade_id": 11,
            "timestamp": "2026-08-01T00:00:01.999999Z",
        },
        {
            "symbol": SYMBOL,
            "side": "buy",
            "price": 100.2,
            "qty": 0.25,
            "ord_type": "limit",
            "trade_id": 12,
            "timestamp": "2026-08-01T00:00:02Z",
        },
    ]
    return json.dumps({"channel": "trade", "type": kind, "data": rows}).encode()


def test_the_side_of_a_trade_is_the_takers() -> None:
    """Times are cut to milliseconds: rounded, a trade would fall into the second after its own."""
    second = 1785542400
    assert KrakenWire().read(trades("update")) == [
        TradeOf(SYMBOL, Trade(11, second * 1000 + 1999, 100.1, 0.5, 11, 11, buyer_is_maker=True)),
        TradeOf(SYMBOL, Trade(12, second * 1000 + 2000, 100.2, 0.25, 12, 12, buyer_is_maker=False)),
    ]


def test_trades_of_before_the_subscription_are_not_live_flow() -> None:
    assert KrakenWire().read(trades("snapshot")) == ()


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (b"not JSON", "unreadable"),
        (b"\xff", "unreadable"),
        (b"[]", "invalid"),
        (b'{"channel":"book","type":"update","data":[{"symbol":"BTC/USD","bids":[],"asks":[]}]}', "invalid"),
        (changed(Sender(1).update(), bids=[{"price": -1.0, "qty": 1.0}]).encode(), "invalid"),
        (changed(Sender(1).update(), bids=[{"price": 1.0, "qty": -1.0}]).encode(), "invalid"),
        (changed(Sender(1).update(), timestamp="yesterday").encode(), "invalid"),
        (changed(Sender(1).update(), timestamp=None).encode(), "invalid"),
        (b'{"channel":"novelty","data":[]}', "unknown"),
        (b"{}", "unknown"),
    ],
)
def test_what_is_no_documented_message_is_counted_and_skipped(raw: bytes, kind: str) -> None:
    """A book that missed something by it then fails its checksum."""
    with pytest.raises(MalformedMessage) as caught:
        KrakenWire().read(raw)
    assert caught.value.kind == kind


@pytest.mark.parametrize("raw", [b'{"channel":"heartbeat"}', b'{"channel":"status","type":"update","data":[]}'])
def test_signs_of_life_say_nothing_of_a_market(raw: bytes) -> None:
    assert KrakenWire().read(raw) == ()


@pytest.mark.skipif(not RECORDING.exists(), reason="the recordings are not here: point VIBE_TEST_RECORDINGS there")
def test_every_recorded_frame_keeps_to_its_checksum() -> None:
    """2,960 updates and two snapshots of July 2026, at depth 10."""
    places = {"BTC/USD": "0.1", "ETH/USD": "0.01"}
    specs = [
        SymbolSpec(symbol, symbol[:3], "USD", Decimal(tick), Decimal("0.00000001")) for symbol, tick in places.items()
    ]
    followers = [Follower(spec=spec) for spec in specs]
    with gzip.open(RECORDING, "rt", encoding="utf-8") as lines:
        for line in lines:
            for follower in followers:
                follower.read(line)
    assert sum((follower.outcomes for follower in followers), Counter()) == {Outcome.APPLIED: 2962}
