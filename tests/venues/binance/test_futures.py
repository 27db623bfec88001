"""Binance's USD-M futures: the chain of frames that name the one before, the two paths, and the recorded truth."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from tests.folders import RECORDINGS
from vibe_orderbook_mcp.book.sync import BookSync, Loaded, Outcome
from vibe_orderbook_mcp.model.events import DepthSnapshot, DepthUpdate
from vibe_orderbook_mcp.model.wire import MalformedMessage, Reply
from vibe_orderbook_mcp.venues.binance.futures import BinanceUsdm, parse_frame
from vibe_orderbook_mcp.venues.binance.messages import TradeMessage, parse_snapshot, parse_symbol
from vibe_orderbook_mcp.venues.binance.weights import SPOT, US, USDM

RECORDING = RECORDINGS / "venues" / "binance_usdm" / "ethusdt_20240808.gz"


def frame(before: int, first: int, final: int, **changes: Any) -> bytes:
    data = {"e": "depthUpdate", "E": 1_000, "T": 999, "s": "BTCUSDT", "U": first, "u": final, "pu": before}
    data |= {"b": [["100.0", "5.000"]], "a": [], **changes}
    return json.dumps({"stream": "btcusdt@depth@100ms", "data": data}).encode()


def update(before: int, first: int, final: int) -> DepthUpdate:
    event = parse_frame(frame(before, first, final))
    assert isinstance(event, DepthUpdate)
    return event


def live_at(last_update_id: int, *updates: DepthUpdate) -> tuple[BookSync, Loaded]:
    sync = BookSync()
    for each in updates:
        sync.receive(each)
    return sync, sync.load(DepthSnapshot(last_update_id, [(100.0, 1.0)], [(101.0, 1.0)]))


@pytest.mark.parametrize(
    ("last_update_id", "loaded"),
    [
        (99, Loaded.TOO_OLD),  # before `pu`: what lies between is in neither
        (100, Loaded.LIVE),  # `pu` itself
        (104, Loaded.LIVE),  # an id of another symbol, behind `pu`
        (110, Loaded.LIVE),  # within [U; u]
        (120, Loaded.LIVE),
    ],
)
def test_a_snapshot_joins_behind_the_frame_before(last_update_id: int, loaded: Loaded) -> None:
    """U <= lastUpdateId <= u, or pu == lastUpdateId: both are seen."""
    assert live_at(last_update_id, update(100, 110, 120))[1] is loaded


def test_a_frame_continues_the_book_if_it_names_the_one_before() -> None:
    """Its first id is not the next one: ids between belong to other symbols."""
    sync, _ = live_at(105, update(100, 110, 120))
    assert sync.receive(update(120, 177, 180)) is Outcome.APPLIED
    assert sync.receive(update(120, 177, 180)) is Outcome.OLD
    assert sync.receive(update(190, 195, 199)) is Outcome.GAP


def test_books_and_tape_come_on_two_paths() -> None:
    """A stream that is asked for on the wrong one is accepted and stays silent."""
    venue = BinanceUsdm()
    base = "wss://fstream.binance.com"
    assert venue.streams_of("BTCUSDT") == ["btcusdt@depth@100ms"]
    assert (
        venue.wire().address(base, venue.streams_of("BTCUSDT")) == f"{base}/public/stream?streams=btcusdt@depth@100ms"
    )
    tape = venue.tape
    assert tape.wire().address(base, tape.streams_of("BTCUSDT")) == f"{base}/market/stream?streams=btcusdt@aggTrade"


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (frame(120, 110, 130), "invalid"),  # pu within [U; u]
        (frame(100, 130, 120), "invalid"),
        (frame(100, 110, 120, b=[["100.0", "-1"]]), "invalid"),
        (frame(100, 110, 120, pu=None), "invalid"),
        (b'{"stream":"x","data":{"e":"novelty"}}', "unknown"),
        (b"{}", "unknown"),
        (b"nothing", "unreadable"),
    ],
)
def test_what_is_no_documented_message_is_skipped(raw: bytes, kind: str) -> None:
    with pytest.raises(MalformedMessage) as caught:
        parse_frame(raw)
    assert caught.value.kind == kind


def test_trades_and_answers_are_those_of_spot() -> None:
    trade = {"e": "aggTrade", "E": 5, "s": "BTCUSDT", "a": 7, "p": "100.1", "q": "0.5", "nq": "0.4", "f": 9, "l": 11}
    event = parse_frame(json.dumps({"stream": "btcusdt@aggTrade", "data": {**trade, "T": 4, "m": True}}).encode())
    assert isinstance(event, TradeMessage)
    assert (event.trade().agg_id, event.trade().fills, event.trade().aggressor) == (7, 3, "sell")
    assert parse_frame(b'{"result":null,"id":3}') == Reply(3)


def listing(**more: Any) -> bytes:
    filters = [
        {"filterType": "PRICE_FILTER", "tickSize": "0.10", "maxPrice": "4529764"},
        {"filterType": "LOT_SIZE", "stepSize": "0.001", "maxQty": "1000"},
    ]
    entry = {"symbol": "BTCUSDT", "status": "TRADING", "baseAsset": "BTC", "quoteAsset": "USDT", "filters": filters}
    return json.dumps({"symbols": [{**entry, **more}]}).encode()


@pytest.mark.parametrize(
    ("contract", "market"),
    [(None, "spot"), ("PERPETUAL", "perpetual"), ("TRADIFI_PERPETUAL", "perpetual"), ("CURRENT_QUARTER", "future")],
)
def test_the_list_says_what_is_traded(contract: str | None, market: str) -> None:
    spec = parse_symbol(listing() if contract is None else listing(contractType=contract), "BTCUSDT")
    assert spec is not None
    assert spec.market == market


def test_a_snapshot_costs_what_its_market_takes_for_it() -> None:
    """Counted too low, the address is banned."""
    assert [SPOT.depth_weight(levels) for levels in (100, 500, 1000, 5000)] == [5, 25, 50, 250]
    assert [USDM.depth_weight(levels) for levels in (50, 100, 500, 1000)] == [2, 5, 10, 20]
    assert (SPOT.most_depth, US.most_depth, USDM.most_depth) == (5000, 5000, 1000)


@pytest.mark.skipif(not RECORDING.exists(), reason="the recordings are not here: point VIBE_TEST_RECORDINGS there")
def test_recorded_books_show_the_recorded_best_prices() -> None:
    """ETHUSDT of August 2024: `bookTicker` says the best prices at each update id, and the chain has no gap."""
    sync, outcomes, compared, tickers = BookSync(), set[Outcome](), 0, dict[int, tuple[float, ...]]()
    books = dict[int, tuple[float, ...]]()
    with gzip.open(RECORDING, "rb") as lines:
        for line in lines:
            raw = line.partition(b" ")[2]
            if b'"lastUpdateId"' in raw[:40]:
                sync.load(parse_snapshot(raw), limit=1000)
            elif b"@bookTicker" in raw[:40]:
                said = json.loads(raw)["data"]
                tickers[said["u"]] = tuple(float(said[name]) for name in ("b", "B", "a", "A"))
            elif b"@depth" in raw[:40]:
                event = parse_frame(raw)
                assert isinstance(event, DepthUpdate)
                outcomes.add(sync.receive(event))
                book = sync.book
                if book is not None and sync.is_live:
                    bid, ask = book.bids.best, book.asks.best
                    assert bid is not None
                    assert ask is not None
                    books[event.final_id] = bid, book.bids.size_at(bid), ask, book.asks.size_at(ask)
    for final_id, best in books.items():
        if final_id in tickers:
            compared += 1
            assert tickers[final_id] == best
    assert Outcome.GAP not in outcomes
    assert Outcome.CROSSED not in outcomes
    assert compared > 500
