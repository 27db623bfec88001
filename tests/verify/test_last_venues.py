"""Deribit's channels, KuCoin, Gate and Kraken futures, in a few frames each, written after their documents."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from vibe_orderbook_mcp.verify.recording import Found, verify_files


def found_in(path: Path, lines: list[Any]) -> Found:
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return verify_files([path])


def only(found: Found) -> dict[str, Any]:
    (one,) = found.instruments
    return one


def answer(url: str, body: dict[str, Any]) -> str:
    return f"https://{url} -> 1619378326.6: {json.dumps(body)}"


def framed(frame: dict[str, Any]) -> str:
    return f"1619378326.6: {json.dumps(frame)}"


def deribit(interval: str, ids: tuple[int | None, int], bids: list[Any]) -> dict[str, Any]:
    kind = {"type": "snapshot"} if ids[0] is None else {"type": "change", "prev_change_id": ids[0]}
    data = {"instrument_name": "BTC-PERPETUAL", "timestamp": 1, "change_id": ids[1], "bids": bids, "asks": []}
    params = {"channel": f"book.BTC-PERPETUAL.{interval}", "data": data | kind}
    return {"jsonrpc": "2.0", "method": "subscription", "params": params}


def test_each_interval_of_deribit_has_a_chain_of_its_own(tmp_path: Path) -> None:
    lines = [
        deribit("raw", (None, 5), [["new", 9.0, 1.0]]),
        deribit("100ms", (None, 5), [["new", 9.0, 1.0]]),
        deribit("raw", (5, 6), [["new", 9.5, 2.0]]),
        deribit("raw", (6, 7), [["delete", 9.0, 3.0]]),
        deribit("100ms", (5, 7), [["new", 9.5, 2.0], ["delete", 9.0, 0.0]]),
    ]
    found = found_in(tmp_path / "x", lines)
    assert found.is_sound
    books = {one["channel"]: (one["applied"], one["best_bid"], one["levels"]) for one in found.instruments}
    assert books == {"raw": (3, "9.5", 1), "100ms": (2, "9.5", 1)}
    found = found_in(tmp_path / "x", [lines[0], lines[3]])
    assert only(found)["gaps"] == 1
    assert "it continues update 6, and the last one was 5" in only(found)["faults"][0]["what"]


def kucoin(first: int, last: int, bids: list[list[str]], asks: list[list[str]]) -> dict[str, Any]:
    changes = {"bids": bids, "asks": asks}
    data = {"symbol": "A-B", "sequenceStart": first, "sequenceEnd": last, "changes": changes}
    return {"type": "message", "topic": "/market/level2:A-B", "subject": "trade.l2update", "data": data}


def test_a_row_of_kucoin_without_a_price_fills_the_sequence_and_is_no_level(tmp_path: Path) -> None:
    book = {"time": 1, "sequence": "10", "bids": [["9", "1"]], "asks": [["11", "1"]]}
    data = {"sequence": "12", "bestBid": "9.50", "bestBidSize": "2.0", "bestAsk": "11", "bestAskSize": "1"}
    ticker = {"type": "message", "topic": "/market/ticker:A-B", "subject": "trade.ticker", "data": data}
    match = {"symbol": "A-B", "tradeId": "6085c097", "sequence": "13"}
    lines = [
        framed(kucoin(9, 9, [["8", "5", "9"]], [])),
        answer("api.kucoin.com/api/v3/market/orderbook/level2?symbol=A-B", {"code": "200000", "data": book}),
        framed(kucoin(10, 11, [["9", "3", "10"]], [["0", "0", "11"]])),
        framed(kucoin(12, 12, [["9.5", "2", "12"]], [])),
        framed(ticker),
        framed({"type": "message", "topic": "/market/match:A-B", "subject": "trade.l3match", "data": match}),
    ]
    found = found_in(tmp_path / "x", lines)
    one = only(found)
    assert found.is_sound
    assert (one["instrument"], one["applied"], one["checked"], one["failed"]) == ("kucoin:A-B", 2, 1, 0)
    assert (one["best_bid"], one["levels"], one["trades"], one["trade_ids_missing"]) == ("9.5", 3, 1, None)
    found = found_in(tmp_path / "x", [lines[1], lines[2], framed(kucoin(13, 13, [], []))])
    assert (only(found)["gaps"], only(found)["applied"]) == (1, 1)


@pytest.mark.parametrize("market", ["spot", "futures"])
def test_levels_of_gate_are_pairs_or_objects_and_full_frames_are_whole(tmp_path: Path, market: str) -> None:
    is_spot = market == "spot"

    def level(price: str, size: str) -> Any:
        return [price, size] if is_spot else {"p": price, "s": int(size)}

    def update(first: int, last: int, bids: list[Any], **more: Any) -> str:
        result = {"t": 1, "s": "A_USDT", "U": first, "u": last, "b": bids, "a": []} | more
        return framed({"time": 1, "channel": f"{market}.order_book_update", "event": "update", "result": result})

    book = {"id": 10, "current": 1, "bids": [level("9", "1")], "asks": [level("11", "1")]}
    query = "currency_pair=A_USDT" if is_spot else "contract=A_USDT"
    size: Any = "2" if is_spot else 2
    best = {"t": 1, "u": 11, "s": "A_USDT", "b": "9.5", "B": size, "a": "11", "A": "1" if is_spot else 1}
    lines = [
        answer(f"api.gateio.ws/api/v4/{market}/order_book?{query}&with_id=true", book),
        update(10, 10, [level("9", "1")]),
        update(11, 11, [level("9.5", "2")]),
        framed({"time": 1, "channel": f"{market}.book_ticker", "event": "update", "result": best}),
        update(13, 13, []),
        update(20, 20, [level("8", "7")], full=True),
        update(21, 21, [level("8", "0"), level("7", "4")]),
    ]
    one = only(found_in(tmp_path / "x", lines))
    assert (one["instrument"], one["frames"], one["applied"], one["gaps"]) == ("gateio:A_USDT", 5, 3, 1)
    assert (one["checked"], one["failed"]) == (1, 0)
    assert (one["best_bid"], one["best_bid_size"], one["best_ask"], one["levels"]) == ("7", "4", None, 1)


def test_a_quantity_of_kraken_futures_that_is_not_above_0_is_no_level(tmp_path: Path) -> None:
    def change(seq: int, price: float, quantity: float) -> dict[str, Any]:
        return {"feed": "book", "product_id": "PI_A", "side": "buy", "seq": seq, "price": price, "qty": quantity}

    bids = [{"price": 9.5, "qty": 0.0}, {"price": 9.0, "qty": 5.0}, {"price": 8.5, "qty": -1.0}]
    old = [{"product_id": "PI_A", "seq": seq} for seq in (7, 6, 5)]
    lines = [
        {"event": "subscribed", "feed": "book", "product_ids": ["PI_A"]},
        {"feed": "trade_snapshot", "product_id": "PI_A", "trades": old},
        {"feed": "book_snapshot", "product_id": "PI_A", "seq": 3, "bids": bids, "asks": []},
        change(4, 9.2, 4.0),
        {"feed": "ticker", "product_id": "PI_A", "bid": 9.2, "ask": None},
        change(5, 9.2, -2.0),
        {"feed": "trade", "product_id": "PI_A", "seq": 9},
    ]
    one = only(found_in(tmp_path / "x", lines))
    assert (one["applied"], one["gaps"], one["best_bid"], one["levels"]) == (3, 0, "9.0", 1)
    assert (one["trades"], one["trades_before"], one["trade_ids_missing"]) == (1, 3, 1)
    assert (one["likely_compared"], one["likely_agreed"]) == (1, 1)
    found = found_in(tmp_path / "x", [*lines[1:4], change(6, 9.3, 1.0)])
    assert only(found)["gaps"] == 1
