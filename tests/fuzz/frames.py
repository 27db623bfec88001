"""Frames no exchange should send, among those it does: bent bytes, bent values, bent order."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from typing import Any

import msgspec

from vibe_orderbook_mcp.model.events import DepthUpdate, Trade
from vibe_orderbook_mcp.sim.driver import Drive

NASTY: tuple[Any, ...] = (
    *(None, True, [], {}, "", "x", -1, 0, 1.5, 2**31, 2**53, 2**63, 2**64, -(2**63), 10**30, 1e308),
    *("NaN", "nan", "Infinity", "-1.0", "-0.0", "1e400", "1e-400", "0x10", "1,5", " 1", "١", "0.00000000", "9" * 400),
    *([[]], [["1"]], [["1", "2", "3"]], [["1", None]], [[1, 2]], [["1", "-1"]], [["0", "1"]], "BTC\nUSDT", "\x1b[31m"),
    *({"a": 1}, "ETHUSDT", "NOPEUSDT", "../x", "A" * 5000, 1_795_000_000_000, 4_000_000_000_000, "\ud7ff", "🚀"),
)
GARBAGE = (
    *(
        b"",
        b"{}",
        b"[]",
        b"null",
        b"0",
        b'"x"',
        b"\x00",
        b"\xff\xfe",
        b"<html>502</html>",
        b'{"stream":null,"data":null}',
    ),
    *(b"[" * 100_000, b'{"data":' * 5000, b'{"id":1,"result":null}', b'{"id":99,"error":{"code":2,"msg":"no"}}'),
    *(b'{"stream":"x","data":{"e":"trade"}}', b'{"stream":"x","data":{"e":"serverShutdown","E":1}}', b"\xf0\x9f\x9a"),
    *(
        b'{"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate"}}',
        b'{"data":' + b"9" * 300_000 + b"}",
        bytes(range(256)),
    ),
)


# What the log says of a second that a bent number made too large to store: foreseen, and the symbol's alone.
BEYOND = re.compile("beyond what can be stored|too many digits to be stored|cannot be stored: it needs at most")


EXTRA = 20  # with one bent frame come up to this many more bent copies


def frame(symbol: str, event: DepthUpdate | Trade) -> bytes:
    """As the exchange writes it."""
    if isinstance(event, DepthUpdate):
        body: dict[str, Any] = {"e": "depthUpdate", "E": event.event_ms, "s": symbol}
        body |= {"U": event.first_id, "u": event.final_id, "b": texts(event.bids), "a": texts(event.asks)}
        return msgspec.json.encode({"stream": f"{symbol.lower()}@depth@100ms", "data": body})
    body = {"e": "aggTrade", "E": event.time_ms, "s": symbol, "a": event.agg_id, "p": f"{event.price:.8f}"}
    body |= {"q": f"{event.size:.8f}", "f": event.first_trade_id, "l": event.last_trade_id}
    body |= {"T": event.time_ms, "m": event.buyer_is_maker, "M": True}
    return msgspec.json.encode({"stream": f"{symbol.lower()}@aggTrade", "data": body})


def texts(levels: list[tuple[float, float]]) -> list[tuple[str, str]]:
    return [(f"{price:.8f}", f"{size:.8f}") for price, size in levels]


def bent_bytes(chance: random.Random, raw: bytes) -> bytes:
    """A few bytes changed, cut out, put in, or the frame cut off."""
    bent = bytearray(raw)
    for _ in range(chance.choice((1, 1, 1, 2, 5, 20))):
        at = chance.randrange(len(bent)) if bent else 0
        match chance.randrange(5):
            case 0:
                bent[at : at + 1] = bytes([chance.randrange(256)])
            case 1:
                del bent[at : at + chance.randrange(1, 8)]
            case 2:
                bent[at:at] = bytes(chance.choices(b'0123456789.-"[]{},:\\eE\x00\xff', k=chance.randrange(1, 8)))
            case 3:
                bent[at:at] = bent[max(0, at - 20) : at]
            case _:
                del bent[chance.randrange(len(bent) + 1) :]
    return bytes(bent)


def bent_values(chance: random.Random, raw: bytes) -> bytes:
    """Still JSON, and one of its values is another one."""
    body: dict[str, Any] = msgspec.json.decode(raw)
    where = body["data"] if chance.random() < 0.95 else body
    name = chance.choice(list(where))
    match chance.randrange(6):
        case 0:
            del where[name]
        case 1:
            where[chance.choice(("x", "e", "E", "id", "code", "msg"))] = chance.choice(NASTY)
        case 2 if isinstance(where[name], int):
            where[name] += chance.choice((-(10**6), -100, -1, 1, 2, 100, 10**6, 10**12))
        case 3 if where.get("b") and where.get("a"):
            where["b"], where["a"] = where["a"], where["b"]  # crosses the book
        case 4 if where.get("b"):
            level = chance.randrange(len(where["b"]))
            where["b"][level] = [chance.choice(NASTY), chance.choice(NASTY)]
        case _:
            where[name] = chance.choice(NASTY)
    return msgspec.json.encode(body)


def bent(chance: random.Random, raw: bytes, earlier: bytes) -> list[bytes]:
    """What comes instead of a frame."""
    match chance.randrange(8):
        case 0:
            return [chance.choice(GARBAGE), raw]
        case 1:
            return []  # a gap
        case 2:
            return [raw, raw]
        case 3:
            return [raw, earlier]
        case 4 | 5:
            return [bent_bytes(chance, raw)]
        case _:
            return [bent_values(chance, raw)]


def frames(
    chance: random.Random, drives: list[Drive[DepthUpdate, Trade]], share: float = 0.3
) -> Iterator[tuple[int, bytes]]:
    """(the exchange's time in ms, frame) without end; `share` of the true ones are bent."""
    earlier = b"{}"
    while True:
        for drive in drives:
            for event in drive.until(drive.now_ms + 100):
                raw = frame(drive.symbol, event)
                sent = [raw]
                if chance.random() < share:
                    sent = bent(chance, raw, earlier)
                    bend = (bent_bytes, bent_values)
                    sent += [chance.choice(bend)(chance, raw) for _ in range(chance.randrange(EXTRA))]
                for each in sent:
                    yield drive.now_ms, each
                earlier = raw
