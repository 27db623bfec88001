"""What single venues do now and then, each in a few lines of their frames."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from random import Random
from typing import Any
from zlib import crc32

import pytest

from tests.verify import speakers
from vibe_orderbook_mcp.model.errors import ConfigError
from vibe_orderbook_mcp.verify.book_check import Top
from vibe_orderbook_mcp.verify.coinbase_connections import ENDED_AFTER, CoinbaseConnections
from vibe_orderbook_mcp.verify.command import verify_to_text
from vibe_orderbook_mcp.verify.recording import Found, verify_files


def found_in(path: Path, lines: list[Any], venue: str | None = None) -> Found:
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return verify_files([path], venue)


def only(found: Found) -> dict[str, Any]:
    (one,) = found.instruments
    return one


# Kraken


def kraken(kind: str, bids: str, asks: str, text: str, symbol: str = "BTC/USD") -> str:
    """`text` is what the checksum is of, separated as one likes."""
    check = crc32(text.replace(" ", "").encode())
    rows = [
        ",".join(f'{{"price":{price},"qty":{size}}}' for price, size in (level.split("x") for level in side.split()))
        for side in (bids, asks)
    ]
    data = f'{{"symbol":"{symbol}","bids":[{rows[0]}],"asks":[{rows[1]}],"checksum":{check}}}'
    return f'{{"channel":"book","type":"{kind}","data":[{data}]}}'


def test_a_price_that_is_set_and_deleted_in_one_frame_is_gone(tmp_path: Path) -> None:
    lines = [
        kraken("snapshot", "99.99x1.0", "100.10x2.0", "10010 20 9999 10"),
        kraken("update", "100.00x5.0 100.00x0.0", "", "10010 20 9999 10"),
        kraken("update", "100.00x0.0 100.00x5.0", "", "10010 20 10000 50 9999 10"),
    ]
    one = only(found_in(tmp_path / "x", lines))
    assert (one["checked"], one["failed"], one["best_bid"]) == (3, 0, "100.00")


def test_the_digits_of_a_checksum_are_those_of_the_frame(tmp_path: Path) -> None:
    """Doubles would say 1e-07 and lose zeros; an exponent says the same number."""
    lines = [
        kraken("snapshot", "63501.60x0.00000010", "63502.00x1.00000000", "6350200 100000000 6350160 10"),
        kraken("update", "63501.60x1.2e-7", "", "6350200 100000000 6350160 12"),
    ]
    one = only(found_in(tmp_path / "x", lines))
    assert (one["checked"], one["failed"], one["best_bid_size"]) == (2, 0, "1.2e-7")


def test_a_checksum_of_0_is_one(tmp_path: Path) -> None:
    frame = json.loads(kraken("snapshot", "99.99x1.0", "100.10x2.0", ""))
    frame["data"][0]["checksum"] = 0
    one = only(found_in(tmp_path / "x", [frame]))
    assert (one["checked"], one["failed"]) == (1, 1)


@pytest.mark.parametrize("depth", [10, 25, 100, 500, 1000])
@pytest.mark.parametrize("is_said", [True, False])
def test_the_subscribed_depth_is_found_in_the_answer_or_in_the_snapshot(
    tmp_path: Path, depth: int, *, is_said: bool
) -> None:
    """One level enters and the last one leaves without a message."""
    result = {"channel": "book", "depth": depth, "symbol": "BTC/USD"}
    said = {"method": "subscribe", "success": True, "result": result}
    asks = [f"{20000 + 10 * place}.5x1.5" for place in range(depth)]
    top = "".join(f"{20000 + 10 * place}515" for place in range(10))
    entered = "1999951525" + "".join(f"{20000 + 10 * place}515" for place in range(9))
    lines = [
        *([said] if is_said else []),
        kraken("snapshot", "", " ".join(asks), top),
        kraken("update", "", "19999.5x1.525".replace("1.525", "15.25"), entered.replace("1999951525", "1999951525")),
    ]
    one = only(found_in(tmp_path / "x", lines))
    assert (one["failed"], one["levels"], one["best_ask"]) == (0, depth, "19999.5")


def test_a_thin_book_of_a_deep_subscription_is_not_cut_to_its_own_size(tmp_path: Path) -> None:
    said = {"method": "subscribe", "success": True, "result": {"channel": "book", "depth": 100, "symbol": "BTC/USD"}}
    asks = [f"{200 + place}.5x1.5" for place in range(9)]
    more = [f"{300 + place}.5x1.5" for place in range(9)]
    top = "".join(f"{200 + place}515" for place in range(9)) + "300515"
    lines = [
        said,
        kraken("snapshot", "", " ".join(asks), "".join(f"{200 + place}515" for place in range(9))),
        kraken("update", "", " ".join(more), top),
        kraken("update", "", "200.5x0.0", "".join(f"{201 + place}515" for place in range(8)) + "300515301515"),
    ]
    one = only(found_in(tmp_path / "x", lines))
    assert (one["failed"], one["levels"]) == (0, 17)


# Coinbase


def renamed(seed: int) -> list[str]:
    names = str.maketrans({"A": "C", "B": "D"})
    return [
        each.line.replace("AAA", "AAA".translate(names)).replace("BBB", "BBB".translate(names))
        for each in speakers.coinbase(seed)
    ]


def mixed(chance: Random, one: list[str], other: list[str]) -> list[str]:
    out, rest = [], (list(one), list(other))
    while rest[0] or rest[1]:
        side = rest[chance.randrange(2)]
        if side:
            out.append(side.pop(0))
    return out


@pytest.mark.parametrize("seed", range(6))
def test_several_connections_of_a_recording_have_counters_of_their_own(tmp_path: Path, seed: int) -> None:
    chance = Random(seed)
    first, second = [each.line for each in speakers.coinbase(seed)], renamed(seed + 50)
    found = found_in(tmp_path / "x", mixed(chance, first, second))
    assert found.is_sound
    assert all(one["applied"] == one["frames"] and not one["faults"] for one in found.instruments)
    del first[len(first) // 2]
    found = found_in(tmp_path / "x", mixed(chance, first, second))
    assert {one["gaps"] for one in found.instruments} == {1}  # which connection lost it cannot be known
    assert not found.is_sound


def test_a_connection_that_is_opened_again_counts_from_0_and_its_books_begin_again(tmp_path: Path) -> None:
    lines = [each.line for each in speakers.coinbase(1)]
    found = found_in(tmp_path / "x", [*lines[:60], *lines])
    assert [one["gaps"] for one in found.instruments] == [0, 0]
    assert all(one["applied"] == one["frames"] for one in found.instruments)
    assert [one["trade_ids_missing"] for one in found.instruments] == [0, 0]


def test_any_channel_counts_and_a_hole_is_every_books(tmp_path: Path) -> None:
    recorded = list(speakers.coinbase(3))
    place = next(at for at, each in enumerate(recorded) if at > 40 and '"heartbeats"' in each.line)
    found = found_in(tmp_path / "x", [each.line for at, each in enumerate(recorded) if at != place])
    assert [one["gaps"] for one in found.instruments] == [1, 1]
    assert {one["faults"][0]["line"] for one in found.instruments} == {place + 1}
    assert not found.is_sound


def test_a_heartbeat_of_exchange_names_a_trade_that_did_not_come(tmp_path: Path) -> None:
    match = {"type": "match", "product_id": "BTC-USD", "trade_id": 7, "price": "100", "side": "buy"}
    heartbeat = {"type": "heartbeat", "product_id": "BTC-USD", "last_trade_id": 9}
    one = only(found_in(tmp_path / "x", [match, match | {"trade_id": 8}, heartbeat]))
    assert (one["trades"], one["trade_ids_missing"]) == (2, 1)
    assert one["faults"] == [{"line": 3, "what": "fill trades 9 to 9 are missing"}]
    late = found_in(tmp_path / "x", [match, match | {"trade_id": 8}, heartbeat, match | {"trade_id": 9}])
    assert late.is_sound


# OKX


def okx(bids: list[list[str]], asks: list[list[str]], ids: tuple[int, int] | None, **more: Any) -> dict[str, Any]:
    data = {"bids": bids, "asks": asks, "ts": "1"} | more
    if ids is not None:
        data |= {"prevSeqId": ids[0], "seqId": ids[1]}
    action = "snapshot" if ids and ids[0] == -1 else "update"
    return {"arg": {"channel": "books", "instId": "BTC-USDT"}, "action": action, "data": [data]}


def test_a_checksum_that_is_not_0_is_checked_beside_the_ids(tmp_path: Path) -> None:
    level = [["99.9", "1", "0", "1"]], [["100", "2", "0", "1"]]
    check = crc32(b"99.9:1:100:2")
    signed = check - 2**32 if check >= 2**31 else check
    for checksum, failed in ((signed, 0), (0, 0), (signed ^ 1, 1)):
        one = only(found_in(tmp_path / "x", [okx(*level, (-1, 5), checksum=checksum)]))
        assert (one["checked"], one["failed"], one["proof"]["book"]) == (int(checksum != 0), failed, "update_ids")


def test_what_is_no_book_counts_for_nothing(tmp_path: Path) -> None:
    level = [["99.9", "1", "0", "1"]], [["100", "2", "0", "1"]]
    lines: list[Any] = [
        {"event": "subscribe", "arg": {"channel": "books", "instId": "BTC-USDT"}, "connId": "a"},
        okx(*level, (-1, 5), checksum=0),
        {"event": "error", "code": "60012", "msg": "what"},
        {"arg": {"channel": "mark-price", "instId": "BTC-USDT"}, "data": [{"markPx": "1"}]},
        "1723161256 pong",
        okx([], [], (5, 6), checksum=0),
    ]
    one = only(found_in(tmp_path / "x", lines))
    assert (one["frames"], one["applied"], one["faults"]) == (2, 2, [])


def test_an_instrument_that_only_tickers_mention_is_not_reported(tmp_path: Path) -> None:
    level = [["99.9", "1", "0", "1"]], [["100", "2", "0", "1"]]
    ticker = {"arg": {"channel": "tickers", "instId": "ETH-USDT"}, "data": [{"bidPx": "1", "askPx": "2"}]}
    found = found_in(tmp_path / "x", [okx(*level, (-1, 5), checksum=0), ticker])
    assert [one["instrument"] for one in found.instruments] == ["okx:BTC-USDT"]
    assert found.is_sound
    with pytest.raises(ConfigError, match="nothing to verify"):
        found_in(tmp_path / "x", [ticker])


def test_ids_that_start_again_lower_go_on(tmp_path: Path) -> None:
    level = [["99.9", "1", "0", "1"]], [["100", "2", "0", "1"]]
    ids = [(-1, 50), (50, 50), (50, 60), (60, 3), (3, 3), (3, 8)]
    one = only(found_in(tmp_path / "x", [okx(*level, each, checksum=0) for each in ids]))
    assert (one["applied"], one["gaps"], one["repeated"]) == (6, 0, 0)
    one = only(found_in(tmp_path / "x", [okx(*level, each, checksum=0) for each in [*ids[:4], (4, 9), (9, 11)]]))
    assert (one["applied"], one["gaps"]) == (4, 1)


def test_books_of_two_channels_are_two_books(tmp_path: Path) -> None:
    """One of five levels, whole in each frame, would wipe out the other."""
    deep = okx([["99", "1", "0", "1"], ["98", "1", "0", "1"]], [["101", "1", "0", "1"]], (-1, 5), checksum=0)
    small = {"arg": {"channel": "books5", "instId": "BTC-USDT"}, "data": [deep["data"][0] | {"bids": [["97", "1"]]}]}
    more = okx([["98", "0", "0", "0"]], [], (5, 6), checksum=0)
    found = found_in(tmp_path / "x", [deep, small, more, small])
    by_channel = {one["channel"]: one for one in found.instruments}
    assert {channel: one["best_bid"] for channel, one in by_channel.items()} == {"books": "99", "books5": "97"}
    assert {channel: one["applied"] for channel, one in by_channel.items()} == {"books": 2, "books5": 2}
    assert by_channel["books5"]["verified"] == "snapshots"


# Bybit


def bybit(depth: int, kind: str, u: int, bids: list[list[str]], asks: list[list[str]], seq: int = 1) -> dict[str, Any]:
    data = {"s": "BTCUSDT", "b": bids, "a": asks, "u": u, "seq": seq}
    return {"topic": f"orderbook.{depth}.BTCUSDT", "type": kind, "ts": 1, "data": data, "cts": 1}


def side(first: int, step: int, count: int = 50) -> list[list[str]]:
    return [[str(first + step * place), "1"] for place in range(count)]


def test_another_number_of_levels_than_the_depth_is_a_failure(tmp_path: Path) -> None:
    whole = bybit(50, "snapshot", 10, side(999, -1), side(1000, 1))
    right = bybit(50, "delta", 11, [["999", "0"], ["949", "1"]], [])
    for broken in ([["999", "0"]], [["949", "1"]]):
        one = only(found_in(tmp_path / "x", [whole, right | {"data": right["data"] | {"b": broken}}]))
        assert (one["failed"], one["faults"][0]["line"]) == (1, 2)
    assert found_in(tmp_path / "x", [whole, right]).is_sound


def test_a_side_that_never_had_all_levels_may_have_any_number(tmp_path: Path) -> None:
    whole = bybit(50, "snapshot", 10, side(999, -1, 3), side(1000, 1, 3))
    found = found_in(tmp_path / "x", [whole, bybit(50, "delta", 11, [["999", "0"]], [["1005", "1"]])])
    assert found.is_sound


def test_an_id_of_1_is_a_whole_book_and_depths_never_share_one(tmp_path: Path) -> None:
    lines = [
        bybit(50, "snapshot", 10, side(999, -1), side(1000, 1)),
        bybit(200, "snapshot", 90, side(999, -1, 200), side(1000, 1, 200)),
        bybit(50, "delta", 1, side(899, -1), side(900, 1)),
        bybit(200, "delta", 91, [["999", "2"]], []),
        bybit(50, "delta", 2, [["899", "3"]], []),
    ]
    found = found_in(tmp_path / "x", lines)
    assert found.is_sound
    levels = {one["channel"]: (one["best_bid"], one["best_bid_size"], one["levels"]) for one in found.instruments}
    assert levels == {"orderbook.50": ("899", "3", 100), "orderbook.200": ("999", "2", 400)}


def test_the_best_level_of_the_same_seq_is_the_truth(tmp_path: Path) -> None:
    whole = bybit(50, "snapshot", 10, side(999, -1), side(1000, 1), seq=7)
    wrong = bybit(1, "snapshot", 4, [["999", "2"]], [["1000", "1"]], seq=7)
    other = bybit(1, "snapshot", 5, [["990", "2"]], [["1000", "1"]], seq=8)
    right = bybit(1, "snapshot", 6, [["999.0", "1.0"]], [["1000", "1"]], seq=7)
    for truth, counted in ((wrong, (1, 1)), (other, (0, 0)), (right, (1, 0))):
        for lines in ([whole, truth], [truth, whole]):
            one = only(found_in(tmp_path / "x", lines))
            assert (one["checked"], one["failed"]) == counted


def test_a_change_of_the_best_level_says_one_side_alone(tmp_path: Path) -> None:
    whole = bybit(50, "snapshot", 10, side(999, -1, 3), side(1000, 1, 3), seq=7)
    lines = [
        bybit(1, "delta", 3, [["1", "1"]], []),  # of a level that is not known yet
        bybit(1, "snapshot", 4, [["999", "1"]], [["1000", "1"]], seq=7),
        whole,
        bybit(50, "delta", 11, [["999", "0"]], [], seq=8),
        bybit(1, "delta", 5, [["999", "0"], ["998", "1"]], [], seq=8),
        bybit(50, "delta", 12, [], [["1000", "0"], ["1001", "0"], ["1002", "0"]], seq=9),
        bybit(1, "delta", 6, [], [["1000", "0"]], seq=9),
    ]
    one = only(found_in(tmp_path / "x", lines))
    assert (one["checked"], one["failed"], one["best_ask"]) == (3, 0, None)


def test_trades_without_ids_that_follow_are_counted_and_nothing_is_said_of_missing_ones(tmp_path: Path) -> None:
    trades = [{"s": "BTCUSDT", "i": name} for name in ("a-1", "b-2", "a-1")]
    lines = [
        bybit(50, "snapshot", 10, side(999, -1), side(1000, 1)),
        {"topic": "publicTrade.BTCUSDT", "type": "snapshot", "ts": 1, "data": trades},
    ]
    one = only(found_in(tmp_path / "x", lines))
    assert (one["trades"], one["trade_ids_missing"], one["proof"]["trades"]) == (2, None, "unproven")


# Binance futures


def test_a_stream_may_continue_its_answer_by_pu_alone(tmp_path: Path) -> None:
    answer = {"lastUpdateId": 100, "E": 1, "T": 1, "symbol": "BTCUSDT", "bids": [["9", "1"]], "asks": [["11", "1"]]}

    def update(pu: int, first: int, final: int) -> dict[str, Any]:
        data = {"e": "depthUpdate", "T": 1, "s": "BTCUSDT", "U": first, "u": final, "pu": pu, "b": [], "a": []}
        return {"stream": "btcusdt@depth@100ms", "data": data}

    for chain, applied in (
        ([(80, 85, 90), (90, 95, 104), (104, 109, 110)], 2),  # U <= lastUpdateId <= u
        ([(80, 85, 100), (100, 107, 109)], 2),  # the id is the last one of a frame, which may be applied
        ([(100, 107, 109), (109, 120, 121)], 2),  # pu == lastUpdateId
        ([(101, 107, 109), (109, 120, 121)], 0),
    ):
        found = found_in(tmp_path / "x", [answer, *(update(*ids) for ids in chain)])
        one = only(found)
        assert (one["instrument"], one["applied"], one["gaps"]) == ("binance-usdm:BTCUSDT", applied, 0)
        assert found.is_sound


# Hyperliquid


def test_a_whole_book_of_an_earlier_time_is_left_out(tmp_path: Path) -> None:
    def book(time: int, bid: str) -> dict[str, Any]:
        levels = [[{"px": bid, "sz": "1", "n": 1}], [{"px": "11", "sz": "1", "n": 1}]]
        return {"channel": "l2Book", "data": {"coin": "BTC", "time": time, "levels": levels}}

    one = only(found_in(tmp_path / "x", [book(5, "9"), book(5, "9"), book(4, "8"), book(6, "9.5")]))
    assert (one["frames"], one["applied"], one["repeated"], one["best_bid"]) == (4, 3, 1, "9.5")


# Deribit


def test_a_channel_of_grouped_prices_is_whole_each_time(tmp_path: Path) -> None:
    data = {"instrument_name": "BTC-PERPETUAL", "timestamp": 1, "change_id": 5, "bids": [[9.5, 1.0]], "asks": []}
    params = {"channel": "book.BTC-PERPETUAL.none.20.100ms", "data": data}
    one = only(found_in(tmp_path / "x", [{"jsonrpc": "2.0", "method": "subscription", "params": params}]))
    assert (one["best_bid"], one["best_ask"], one["proof"]["book"]) == ("9.5", None, "snapshots_only")


# Files


@pytest.mark.parametrize(
    ("venue", "sentence"),
    [
        ("hyperliquid", "Nothing failed. Nothing proves that no frame of hyperliquid:AAA, hyperliquid:BBB is missing."),
        ("coinbase exchange", "Nothing that the venue sends proves the books of coinbase:AAA-USD, coinbase:BBB-USD."),
        ("kraken", "Nothing failed."),
    ],
)
def test_the_verdict_says_what_is_not_proved(tmp_path: Path, venue: str, sentence: str) -> None:
    path = tmp_path / "x"
    found_in(path, [each.line for each in speakers.SPEAKERS[venue](1)])
    text, is_sound = verify_to_text([path], None, None, as_json=False)
    assert is_sound
    assert text.endswith(sentence)
    if venue == "kraken":
        assert "last book, proved by its checksums (the best 10 levels): 99." in text
    elif venue == "hyperliquid":
        assert "trades: 0, whether any is missing cannot be known" in text


def test_frames_of_krakens_first_interface_are_refused(tmp_path: Path) -> None:
    lines = ["wss://ws.kraken.com <-> 1619378326.6", '1619378326.6: [340,{"as":[],"bs":[]},"book-10","XBT/USD"]']
    with pytest.raises(ConfigError, match="line 2, cannot be read: it is of websocket version 1"):
        found_in(tmp_path / "x", lines)


def test_formats_and_cut_files_are_read_alike(tmp_path: Path) -> None:
    recorded = list(speakers.kraken(2))
    plain = found_in(tmp_path / "plain", [each.line for each in recorded])
    for digits in (10, 13, 16, 19):
        lines = [f"{1_723_161_256:<0{digits}d} {each.line}" for each in recorded]
        assert found_in(tmp_path / "stamped", lines) == plain
    first = "wss://ws.kraken.com/v2 <-> 1633998274.5"
    assert found_in(tmp_path / "text", [first, *(f"1633998274.7: {each.line}" for each in recorded)]) == plain
    packed = tmp_path / "x.gz"
    packed.write_bytes(gzip.compress((tmp_path / "plain").read_bytes())[:-200])
    tops: list[Top] = []
    assert verify_files([packed], top=tops.append).is_sound
    assert 0 < len(tops) < sum(one["applied"] for one in plain.instruments)


def test_files_of_two_venues_are_refused_and_those_of_one_shape_are_not(tmp_path: Path) -> None:
    books, trades, other = tmp_path / "books", tmp_path / "trades", tmp_path / "other"
    found_in(books, [bybit(50, "snapshot", 10, side(999, -1), side(1000, 1))])
    found_in(other, [each.line for each in speakers.kraken(1)])
    trade = {"s": "BTCUSDT", "i": "20f43950-d8dd-5b31-9112-a178eb6023af"}
    trades.write_text(json.dumps({"topic": "publicTrade.BTCUSDT", "data": [trade]}) + "\n")
    assert only(verify_files([books, trades]))["instrument"] == "bybit-linear:BTCUSDT"
    with pytest.raises(ConfigError, match=r"of several venues: books of Bybit spot .*, other of Kraken spot"):
        verify_files([books, other])
    with pytest.raises(ConfigError, match=r"books is a recording of Bybit spot .*--venue says OKX"):
        verify_files([books], "okx")


def test_a_size_that_is_none_is_a_fault_of_its_line_and_changes_nothing(tmp_path: Path) -> None:
    lines = [
        kraken("snapshot", "99.99x1.0", "100.10x2.0", "10010 20 9999 10"),
        kraken("update", "99.98x1.0 100.00x-5.0", "", "10010 20 9999 10"),
        kraken("update", "", "100.10x3.0", "10010 30 9999 10"),
    ]
    one = only(found_in(tmp_path / "x", lines))
    assert (one["unreadable"], one["applied"], one["failed"], one["levels"]) == (1, 2, 0, 2)
    assert one["faults"][0]["line"] == 2


def test_a_connection_that_says_nothing_for_long_has_ended() -> None:
    """Else a hole of another one could be taken for its next message."""
    connections = CoinbaseConnections()
    for number in range(10):
        assert connections.place(number, 0).how == "next"
    for number in range(ENDED_AFTER + 5):
        assert connections.place(number, 0).how == "next"
    assert connections.place(ENDED_AFTER + 6, 0) == ("gap", ENDED_AFTER + 5)
    assert connections.place(10, 0).how == "late"
    assert connections.place(10, 1).how == "next"  # the recording says that another was opened
