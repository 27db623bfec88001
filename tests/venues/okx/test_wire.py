"""OKX's websocket v5: books in a chain of ids and with a checksum where there is one, requests, trades, contracts."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from random import Random

import pytest

from tests.folders import RECORDINGS
from tests.venues.okx.feed import SPEC, SWAP, SWAP_SPEC, SYMBOL, Sender, SlowBook, changed, fill, trades
from vibe_orderbook_mcp.book.book import OrderBook
from vibe_orderbook_mcp.book.sync import BookSync, Outcome
from vibe_orderbook_mcp.model.events import DepthUpdate, Trade
from vibe_orderbook_mcp.model.symbol import SymbolSpec
from vibe_orderbook_mcp.model.wire import BookReplaced, Closing, MalformedMessage, Reply, TradeOf
from vibe_orderbook_mcp.venues.okx.wire import Okx, OkxWire

RECORDING = RECORDINGS / "venues" / "okx" / "OKX.ws.1.0.gz"
LOST = (Outcome.GAP, Outcome.WRONG)


class Follower:
    """One book that is kept from a connection's frames, as the feed does it."""

    def __init__(self, spec: SymbolSpec = SPEC, depth: int = 30) -> None:
        venue = Okx(depth=depth)
        self.sync = BookSync(rule=venue.rule(spec))
        self.wire = venue.wire()
        self.outcomes: Counter[Outcome] = Counter()
        self._symbol = spec.instrument.symbol

    def read(self, raw: str) -> Outcome | None:
        """What became of the book in this frame; None where there is none of this instrument."""
        outcome = None
        for event in self.wire.read(raw.encode()):
            if isinstance(event, BookReplaced) and event.symbol == self._symbol:
                outcome = self.sync.replace(OrderBook(event.snapshot, limit=event.limit), event.checksum)
            elif isinstance(event, DepthUpdate) and event.symbol == self._symbol:
                outcome = self.sync.receive(event)
            if outcome is not None:
                self.outcomes[outcome] += 1
        return outcome

    @property
    def levels(self) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
        book = self.sync.book
        assert book is not None
        return book.bids.top(1000), book.asks.top(1000)


@pytest.mark.parametrize("has_checksum", [False, True])
@pytest.mark.parametrize("spec", [SPEC, SWAP_SPEC], ids=["spot", "swap"])
def test_every_frame_keeps_the_book(spec: SymbolSpec, has_checksum: bool) -> None:
    """To the level, with deletes of levels that nobody has; sizes of swaps are base units."""
    sender = Sender(3, symbol=spec.instrument.symbol, has_checksum=has_checksum)
    follower = Follower(spec)
    assert follower.read(sender.snapshot()) is Outcome.APPLIED
    for _ in range(400):
        assert follower.read(sender.update()) is Outcome.APPLIED
        assert follower.levels == sender.levels


def test_a_frame_without_a_change_is_no_gap() -> None:
    """The exchange sends one after a minute of silence."""
    sender, follower = Sender(1), Follower()
    follower.read(sender.snapshot())
    follower.read(sender.update())
    assert follower.read(sender.heartbeat()) is Outcome.OLD
    assert follower.read(sender.heartbeat()) is Outcome.OLD
    assert follower.read(sender.update()) is Outcome.APPLIED
    assert follower.levels == sender.levels


def test_a_frame_without_a_change_shows_that_one_was_lost() -> None:
    sender, follower = Sender(1), Follower()
    follower.read(sender.snapshot())
    sender.update()
    assert follower.read(sender.heartbeat()) is Outcome.GAP


def test_ids_that_start_again_lower_go_on() -> None:
    """Each frame names the one before, also then. The ids of the book go on above the former ones."""
    sender, follower = Sender(2), Follower()
    follower.read(sender.snapshot())
    ids = []
    for work in (sender.update, sender.restart, sender.update, sender.heartbeat, sender.restart, sender.update):
        assert follower.read(work()) in (Outcome.APPLIED, Outcome.OLD)
        assert follower.levels == sender.levels
        assert follower.sync.book is not None
        ids.append(follower.sync.book.last_update_id)
    assert ids == sorted(ids)


@pytest.mark.parametrize("seed", range(5))
def test_a_lost_frame_shows_when_ids_start_again_too(seed: int) -> None:
    """By their size alone the frames that follow would be old ones, and the book would stand still for good."""
    for lost in range(3):
        sender, follower = Sender(seed), Follower()
        follower.read(sender.snapshot())
        frames = [sender.update(), sender.restart(), sender.update(), sender.update()]
        del frames[lost]
        outcomes = [follower.read(frame) for frame in frames]
        assert outcomes[lost] is Outcome.GAP


def lost(frames: list[str], place: int, random: Random) -> None:
    del frames[place]


def swapped(frames: list[str], place: int, random: Random) -> None:
    frames[place], frames[place + 1] = frames[place + 1], frames[place]


def doubled(frames: list[str], place: int, random: Random) -> None:
    frames.insert(place, frames[place])


def level_changed(frames: list[str], place: int, random: Random) -> None:
    bids = json.loads(frames[place])["data"][0]["bids"]
    frames[place] = changed(frames[place], bids=[*bids, ["98.5", plain_size(random), "0", "1"]])


def plain_size(random: Random) -> str:
    return str(random.randrange(1, 1000))


@pytest.mark.parametrize("fault", [lost, swapped, doubled, level_changed])
@pytest.mark.parametrize("has_checksum", [False, True])
def test_a_fault_is_found_at_the_frame_that_first_proves_it(
    fault: Callable[[list[str], int, Random], None], has_checksum: bool
) -> None:
    """A second implementation of the rules says which: at once by the chain, a changed level by the checksum alone."""
    found = 0
    for seed in range(150):
        sender, random = Sender(seed, has_checksum=has_checksum), Random(seed)
        frames = [sender.snapshot(), *(sender.update() for _ in range(8))]
        fault(frames, 1 + random.randrange(6), random)
        follower, slow = Follower(), SlowBook()
        for frame in frames:
            outcome, is_proved = follower.read(frame), slow.read(frame)
            assert (outcome in LOST) is is_proved
            if is_proved:
                found += 1
                break
            bids, asks = ([(float(price), float(size)) for price, size in slow.window(side)] for side in (0, 1))
            assert follower.levels == (bids, asks)
        else:
            if fault is not level_changed:
                assert follower.levels == sender.levels
    expected = {"lost": 150, "swapped": 150, "doubled": 0, "level_changed": 150 if has_checksum else 0}[fault.__name__]
    assert found == expected


def test_a_fault_is_over_with_the_next_snapshot() -> None:
    """It comes after another subscription, and frames of the former one may still come before it."""
    sender, follower = Sender(4), Follower()
    follower.read(sender.snapshot())
    sender.update()
    assert follower.read(sender.update()) is Outcome.GAP
    assert follower.read(sender.update()) is Outcome.BUFFERED
    assert not follower.sync.is_live
    assert follower.read(sender.snapshot()) is Outcome.APPLIED
    assert follower.read(sender.update()) is Outcome.APPLIED
    assert follower.levels == sender.levels


def test_a_late_first_snapshot_begins_the_book() -> None:
    """Frames before it are of no use, whatever they say."""
    sender, follower = Sender(5), Follower()
    early = [sender.update() for _ in range(3)]
    assert [follower.read(frame) for frame in early] == [Outcome.BUFFERED] * 3
    follower.read(sender.snapshot())
    assert follower.read(sender.update()) is Outcome.APPLIED
    assert follower.levels == sender.levels


def test_a_snapshot_with_a_wrong_checksum_is_no_book() -> None:
    sender, follower = Sender(6, has_checksum=True), Follower()
    assert follower.read(changed(sender.snapshot(), checksum=-7)) is Outcome.WRONG
    assert follower.sync.needs_snapshot


def test_of_a_price_that_is_named_twice_the_last_row_counts() -> None:
    sender, follower = Sender(7), Follower()
    follower.read(sender.snapshot())
    frame = sender.update()
    rows = [["99.95", "3", "0", "1"], ["99.95", "0", "0", "0"], *json.loads(frame)["data"][0]["bids"]]
    follower.read(changed(frame, bids=rows))
    assert follower.levels == sender.levels


def test_requests_name_channels_and_are_confirmed_one_by_one() -> None:
    venue = Okx()
    wire = venue.wire()
    assert wire.address("wss://ws.okx.com:8443", []) == "wss://ws.okx.com:8443/ws/v5/public"
    assert wire.address("ws://127.0.0.1:9443/okx", []) == "ws://127.0.0.1:9443/okx/ws/v5/public"
    streams = venue.streams_of(SYMBOL)
    arguments = [{"channel": channel, "instId": SYMBOL} for channel in ("books", "trades")]
    assert [json.loads(raw) for raw in wire.subscribe(7, streams)] == [
        {"id": "7", "op": "subscribe", "args": arguments}
    ]
    assert [wire.read(confirmed("subscribe", argument, "7")) for argument in arguments] == [(), [Reply(7)]]
    (request,) = wire.unsubscribe(8, streams[:1])
    assert json.loads(request) == {"id": "8", "op": "unsubscribe", "args": arguments[:1]}
    assert wire.read(confirmed("unsubscribe", arguments[0], None)) == [Reply(8)]  # without the request's id
    assert wire.read(confirmed("subscribe", arguments[0], "7")) == ()  # confirmed before
    assert (venue.traits.ping_every_secs or 99) < 30
    assert wire.ping() == b"ping"
    assert wire.read(b"pong") == ()


def confirmed(event: str, argument: dict[str, str], request_id: str | None) -> bytes:
    said = {"event": event, "arg": argument, "connId": "a4d3ae55"}
    return json.dumps(said if request_id is None else {"id": request_id, **said}).encode()


@pytest.mark.parametrize("request_id", ["3", None])
def test_a_refusal_refuses_the_request(request_id: str | None) -> None:
    wire = OkxWire({})
    wire.subscribe(3, ["books:NO-PE", "trades:NO-PE"])
    refusal = {"event": "error", "code": "60018", "msg": "doesn't exist", "connId": "a4d3ae55"}
    raw = json.dumps(refusal if request_id is None else {"id": request_id, **refusal}).encode()
    assert wire.read(raw) == [Reply(3, "60018: doesn't exist")]
    assert wire.read(raw) == ()


def test_the_exchange_says_when_it_is_about_to_close() -> None:
    notice = {"event": "notice", "code": "64008", "msg": "The connection will soon be closed for a service upgrade."}
    assert OkxWire({}).read(json.dumps(notice).encode()) == [Closing()]
    assert OkxWire({}).read(b'{"event":"channel-conn-count","channel":"books","connCount":"1"}') == ()


def test_the_side_of_a_trade_is_the_takers() -> None:
    wire = follower_wire(SPEC)
    second = 1785542401
    rows = fill(11, "0.5", side="sell", count=None), fill(12, "0.25")
    assert wire.read(trades(*rows)) == [
        TradeOf(SYMBOL, Trade(11, second * 1000 + 999, 100.1, 0.5, 11, 11, buyer_is_maker=True)),
        TradeOf(SYMBOL, Trade(12, second * 1000 + 999, 100.1, 0.25, 12, 12, buyer_is_maker=False)),
    ]


def follower_wire(spec: SymbolSpec) -> OkxWire:
    venue = Okx()
    venue.rule(spec)
    return venue.wire()


@pytest.mark.parametrize(("count", "size"), [(2, "0.3"), (3, "0.1"), (7, "12.00000001"), (1000, "0.00001")])
def test_fills_that_were_added_up_keep_their_ids_and_their_sum(count: int, size: str) -> None:
    """Without an id for each a hole would be seen, and its fills fetched and counted a second time."""
    found = [event.trade() for event in read_trades(SPEC, fill(5000, size, count=str(count)))]
    assert [trade.agg_id for trade in found] == list(range(5001 - count, 5001))
    assert sum(Decimal(repr(trade.size)) for trade in found) == Decimal(size)
    assert all(trade.size > 0 and trade.fills == 1 for trade in found)


def read_trades(spec: SymbolSpec, *rows: dict[str, str]) -> list[TradeOf]:
    events = follower_wire(spec).read(trades(*rows, symbol=spec.instrument.symbol))
    assert all(isinstance(event, TradeOf) for event in events)
    return [event for event in events if isinstance(event, TradeOf)]


def test_one_bitcoin_is_the_same_on_spot_and_in_contracts() -> None:
    """A contract is 0.01 BTC; there are tenths and hundredths of one."""
    sizes = {"1": "100", "0.0001": "0.01", "0.07": "7", "123.4567": "12345.67"}
    for base, contracts in sizes.items():
        (spot,), (swap,) = read_trades(SPEC, fill(1, base)), read_trades(SWAP_SPEC, fill(1, contracts))
        assert spot.symbol == SYMBOL
        assert swap.symbol == SWAP
        assert repr(swap.trade().size) == repr(spot.trade().size) == repr(float(base))


DEPTH_FRAME = Sender(1).update()


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (b"not JSON", "unreadable"),
        (b"\xff", "unreadable"),
        (b"[]", "invalid"),
        (b'{"arg":{"channel":"books","instId":"BTC-USDT"},"action":"update"}', "invalid"),
        (changed(DEPTH_FRAME, bids=[["-1", "1", "0", "1"]]).encode(), "invalid"),
        (changed(DEPTH_FRAME, bids=[["1", "-1", "0", "1"]]).encode(), "invalid"),
        (changed(DEPTH_FRAME, bids=[["nan", "1", "0", "1"]]).encode(), "invalid"),
        (changed(DEPTH_FRAME, bids=[["1", "inf", "0", "1"]]).encode(), "invalid"),
        (changed(DEPTH_FRAME, bids=[["1"]]).encode(), "invalid"),
        (changed(DEPTH_FRAME, ts="yesterday").encode(), "invalid"),
        (changed(DEPTH_FRAME, seqId=-2).encode(), "invalid"),
        (changed(DEPTH_FRAME, checksum="x").encode(), "invalid"),
        (trades(fill(5, "0", count="1", price="0")), "invalid"),
        (trades(fill(5, "1", side="both")), "invalid"),
        (trades(fill(5, "1", count="0")), "invalid"),
        (trades(fill(5, "1", count="7")), "invalid"),  # the first of them would have a negative id
        (trades(fill(500000, "0.00000001", count="2")), "invalid"),  # one lot
        (trades(fill(500000, "1", count="20000")), "invalid"),
        (b'{"arg":{"channel":"novelty","instId":"BTC-USDT"},"data":[]}', "unknown"),
        (b"{}", "unknown"),
    ],
)
def test_what_is_no_documented_message_is_counted_and_skipped(raw: bytes, kind: str) -> None:
    """A book that missed something by it then has a gap."""
    with pytest.raises(MalformedMessage) as caught:
        follower_wire(SPEC).read(raw)
    assert caught.value.kind == kind


@pytest.mark.skipif(not RECORDING.exists(), reason="the recordings are not here: point VIBE_TEST_RECORDINGS there")
def test_every_recorded_frame_keeps_to_its_checksum() -> None:
    """287 updates and three snapshots of May 2022, before there were sequence ids; 74 trades without a hole."""
    grids = {"BTC-USDT": "0.1", "UNI-USD-SWAP": "0.001", "BTC-USD-220527": "0.1"}
    specs = [
        SymbolSpec(f"okx:{symbol}", symbol[:3], "USD", Decimal(tick), Decimal("0.00000001"))
        for symbol, tick in grids.items()
    ]
    followers = [Follower(spec, depth=400) for spec in specs]
    ids, wire = dict[str, list[int]](), OkxWire({})
    with gzip.open(RECORDING, "rt", encoding="utf-8") as lines:
        for line in lines:
            frame = line.partition(": ")[2]
            if line.startswith("wss://") or '"tickers"' in frame:
                continue
            for follower in followers:
                follower.read(frame)
            for event in wire.read(frame.encode()):
                if isinstance(event, TradeOf):
                    ids.setdefault(event.symbol, []).append(event.trade().agg_id)
    assert sum((follower.outcomes for follower in followers), Counter()) == {Outcome.APPLIED: 290}
    assert sum(map(len, ids.values())) == 74
    for found in ids.values():
        assert found == list(range(found[0], found[0] + len(found)))
