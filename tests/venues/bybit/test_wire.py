"""Bybit's websocket v5: books in a chain of ids and of an exact depth, requests, trades whose ids prove nothing."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from random import Random

import pytest

from tests.venues.bybit.feed import DEPTH, SPEC, SYMBOL, Sender, SlowBook, changed, fill, trades
from vibe_orderbook_mcp.book.book import OrderBook
from vibe_orderbook_mcp.book.sync import BookSync, Outcome
from vibe_orderbook_mcp.model.events import DepthUpdate
from vibe_orderbook_mcp.model.wire import BookReplaced, MalformedMessage, Reply, TradeOf
from vibe_orderbook_mcp.venues.bybit.wire import Bybit, BybitWire

LOST = (Outcome.GAP, Outcome.MISCOUNTED)


class Follower:
    """One book that is kept from a connection's frames, as the feed does it."""

    def __init__(self) -> None:
        venue = Bybit("spot", depth=DEPTH)
        self.wire = venue.wire()
        self.sync = BookSync(rule=venue.rule(SPEC))

    def read(self, raw: str) -> Outcome:
        """What became of the book in this frame."""
        (event,) = self.wire.read(raw.encode())
        if isinstance(event, BookReplaced):
            return self.sync.replace(OrderBook(event.snapshot, limit=event.limit), event.checksum)
        assert isinstance(event, DepthUpdate)
        return self.sync.receive(event)

    @property
    def levels(self) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
        book = self.sync.book
        assert book is not None
        return book.bids.top(1000), book.asks.top(1000)


@pytest.mark.parametrize("levels", [DEPTH + 20, DEPTH - 5])
def test_every_frame_keeps_the_book(levels: int) -> None:
    """To the level, also where the market has fewer than the depth."""
    sender, follower = Sender(3, levels=levels), Follower()
    assert follower.read(sender.snapshot()) is Outcome.APPLIED
    for _ in range(400):
        assert follower.read(sender.update()) is Outcome.APPLIED
        assert follower.levels == sender.levels


def test_a_snapshot_may_come_at_any_time() -> None:
    sender, follower = Sender(1), Follower()
    follower.read(sender.snapshot())
    sender.update()
    assert follower.read(sender.snapshot()) is Outcome.APPLIED
    assert follower.read(sender.update()) is Outcome.APPLIED
    assert follower.levels == sender.levels


@pytest.mark.parametrize("kind", ["snapshot", "delta"])
def test_a_service_that_starts_again_replaces_the_book(kind: str) -> None:
    """Its first frame has id 1, whatever it is called."""
    sender, follower = Sender(2), Follower()
    follower.read(sender.snapshot())
    follower.read(sender.update())
    frame = json.loads(sender.restart())
    assert follower.read(json.dumps({**frame, "type": kind})) is Outcome.APPLIED
    assert follower.read(sender.update()) is Outcome.APPLIED
    assert follower.levels == sender.levels


def test_lower_ids_without_the_frame_that_began_them_are_a_gap() -> None:
    """By their size alone they would be old, and the book would stand still for good."""
    sender, follower = Sender(2), Follower()
    follower.read(sender.snapshot())
    sender.restart()
    assert follower.read(sender.update()) is Outcome.GAP
    assert follower.read(sender.snapshot()) is Outcome.APPLIED
    assert follower.levels == sender.levels


def lost(frames: list[str], place: int, _random: Random) -> None:
    del frames[place]


def swapped(frames: list[str], place: int, _random: Random) -> None:
    frames[place], frames[place + 1] = frames[place + 1], frames[place]


def doubled(frames: list[str], place: int, _random: Random) -> None:
    frames.insert(place, frames[place])


def level_added(frames: list[str], place: int, random: Random) -> None:
    bids = json.loads(frames[place])["data"]["b"]
    frames[place] = changed(frames[place], b=[*bids, [f"98.5{random.randrange(1, 9)}", "3"]])


def size_changed(frames: list[str], place: int, _random: Random) -> None:
    book = json.loads(frames[place])["data"]
    frames[place] = changed(frames[place], b=[[price, "77" if float(size) else size] for price, size in book["b"]])


def delete_lost(frames: list[str], place: int, _random: Random) -> None:
    book = json.loads(frames[place])["data"]
    frames[place] = changed(frames[place], **{side: [row for row in book[side] if float(row[1])] for side in "ab"})


@pytest.mark.parametrize("fault", [lost, swapped, doubled, level_added, size_changed, delete_lost])
def test_a_fault_is_found_at_the_frame_that_first_proves_it(fault: Callable[[list[str], int, Random], None]) -> None:
    """A second implementation of the rules says which. Only a wrong size is never seen: nothing sums it up."""
    found = 0
    for seed in range(150):
        sender, random = Sender(seed), Random(seed)
        frames = [sender.snapshot(), *(sender.update() for _ in range(8))]
        fault(frames, 1 + random.randrange(6), random)
        follower, slow = Follower(), SlowBook()
        for frame in frames:
            outcome, is_proved = follower.read(frame), slow.read(frame)
            assert (outcome in LOST) is is_proved
            if is_proved:
                assert not follower.sync.is_live
                found += 1
                break
            bids, asks = ([(float(price), float(size)) for price, size in slow.window(side)] for side in (0, 1))
            assert follower.levels == (bids, asks)
    least, most = {"doubled": (0, 0), "size_changed": (0, 0), "delete_lost": (60, 150)}.get(fault.__name__, (150, 150))
    assert least <= found <= most


def test_the_burst_behind_a_late_snapshot_is_applied() -> None:
    """The first snapshot is seconds old, and everything since then follows at once."""
    sender, follower = Sender(5), Follower()
    frames = [sender.snapshot(), *(sender.update() for _ in range(19))]
    assert Counter(map(follower.read, frames)) == {Outcome.APPLIED: 20}
    assert follower.levels == sender.levels


def test_the_time_of_a_book_is_that_of_the_matching() -> None:
    """Trades have the same one. Without it the time of the message counts."""
    frame = json.loads(Sender(1).update())
    (event,) = BybitWire("spot").read(json.dumps(frame).encode())
    assert isinstance(event, DepthUpdate)
    assert event.event_ms == frame["cts"]
    del frame["cts"]
    (event,) = BybitWire("spot").read(json.dumps(frame).encode())
    assert isinstance(event, DepthUpdate)
    assert event.event_ms == frame["ts"]


def test_requests_are_confirmed_as_a_whole() -> None:
    for market, name in (("spot", "bybit"), ("linear", "bybit-linear")):
        venue = Bybit("spot" if market == "spot" else "linear")
        wire = venue.wire()
        assert venue.traits.name == name
        assert wire.address("wss://stream.bybit.com", []) == f"wss://stream.bybit.com/v5/public/{market}"
    streams = venue.streams_of(SYMBOL)
    assert [json.loads(raw) for raw in wire.subscribe(7, streams)] == [
        {"req_id": "7", "op": "subscribe", "args": ["orderbook.200.BTCUSDT", "publicTrade.BTCUSDT"]}
    ]
    assert wire.read(answer("subscribe", "7")) == [Reply(7)]
    assert wire.read(answer("subscribe", "7")) == ()  # answered before
    wire.unsubscribe(8, streams[:1])
    assert wire.read(answer("unsubscribe", "8")) == [Reply(8)]
    wire.subscribe(9, ["orderbook.200.NOPE"])
    refusal = answer("subscribe", "9", success=False, ret_msg="error:handler not found")
    assert wire.read(refusal) == [Reply(9, "error:handler not found")]
    ping = wire.ping()
    assert ping is not None
    assert json.loads(ping) == {"op": "ping"}
    assert venue.traits.ping_every_secs == 20.0


def answer(operation: str, request_id: str, *, success: bool = True, ret_msg: str = "") -> bytes:
    said = {"success": success, "ret_msg": ret_msg, "conn_id": "2324d924", "req_id": request_id, "op": operation}
    return json.dumps(said).encode()


@pytest.mark.parametrize(
    "raw",
    [
        b'{"success":true,"ret_msg":"pong","conn_id":"0970e817","req_id":"","op":"ping"}',
        b'{"req_id":"","op":"pong","args":["1675418560633"],"conn_id":"cfcb4ocsvfriu23r3er0-1b"}',
    ],
)
def test_the_answer_to_a_ping_says_nothing_of_a_market(raw: bytes) -> None:
    assert BybitWire("linear").read(raw) == ()


def test_trades_come_in_the_order_of_the_matching() -> None:
    """With the taker's side. Block trades are agreed elsewhere; those with retail price improvement are trades."""
    rows = (
        fill("c", seq=9, S="Sell"),
        fill("a", seq=7),
        fill("block", BT=True),
        fill("b", seq=7, RPI=True, v="0.5"),
    )
    events = BybitWire("spot").read(trades(*rows))
    assert all(isinstance(event, TradeOf) and event.symbol == SYMBOL for event in events)
    found = [event.trade() for event in events if isinstance(event, TradeOf)]
    assert [(trade.size, trade.buyer_is_maker) for trade in found] == [(0.25, False), (0.5, False), (0.25, True)]
    assert {trade.time_ms for trade in found} == {1785542401999}
    again = [event.trade() for event in BybitWire("spot").read(trades(*rows)) if isinstance(event, TradeOf)]
    assert again == found  # the same trade has the same id on every connection
    assert len({trade.agg_id for trade in found}) == 3


def test_a_message_may_have_a_thousand_trades() -> None:
    rows = [fill(f"20f43950-d8dd-5b31-9112-{place:012}", seq=place) for place in range(1024)]
    events = BybitWire("spot").read(trades(*rows))
    assert len({event.trade().agg_id for event in events if isinstance(event, TradeOf)}) == 1024


DEPTH_FRAME = Sender(1).update()


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (b"not JSON", "unreadable"),
        (b"\xff", "unreadable"),
        (b"[]", "invalid"),
        (b'{"topic":"orderbook.200.BTCUSDT","type":"delta","ts":5}', "invalid"),
        (changed(DEPTH_FRAME, b=[["-1", "1"]]).encode(), "invalid"),
        (changed(DEPTH_FRAME, b=[["1", "-1"]]).encode(), "invalid"),
        (changed(DEPTH_FRAME, b=[["nan", "1"]]).encode(), "invalid"),
        (changed(DEPTH_FRAME, b=[["1", "inf"]]).encode(), "invalid"),
        (changed(DEPTH_FRAME, b=[["1"]]).encode(), "invalid"),
        (changed(DEPTH_FRAME, u=-1).encode(), "invalid"),
        (changed(DEPTH_FRAME, s=None).encode(), "invalid"),
        (DEPTH_FRAME.replace('"ts"', '"t"').replace('"cts"', '"c"').encode(), "invalid"),
        (trades(fill("a", p="0")), "invalid"),
        (trades(fill("a", S="Both")), "invalid"),
        (trades(fill("")), "invalid"),
        (trades(fill("a", T="soon")), "invalid"),
        (b'{"topic":"novelty.BTCUSDT","data":[]}', "unknown"),
        (b"{}", "unknown"),
    ],
)
def test_what_is_no_documented_message_is_counted_and_skipped(raw: bytes, kind: str) -> None:
    """A book that missed something by it then has a gap."""
    with pytest.raises(MalformedMessage) as caught:
        BybitWire("spot").read(raw)
    assert caught.value.kind == kind
