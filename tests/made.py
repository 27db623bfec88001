"""Recordings of simulated markets, as a recorder would have them, without sockets.

They stand in for the real ones where those are not: the same files, in the same formats, of the same symbols.
"""

from __future__ import annotations

import atexit
import gzip
import json
import shutil
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from vibe_orderbook_mcp.sim.catalog import profile_of
from vibe_orderbook_mcp.sim.driver import START_MS
from vibe_orderbook_mcp.sim.model import Ids, MarketModel
from vibe_orderbook_mcp.sim.scenarios import scenario_of
from vibe_orderbook_mcp.sim.sinks import TextSink
from vibe_orderbook_mcp.sim.trades import TradeLog
from vibe_orderbook_mcp.sim.venue import SymbolTruth
from vibe_orderbook_mcp.sim.wire import AggTrade, BookTicker, DepthEvent, TradeFill, encode

KINDS = {DepthEvent: "depth@100ms", AggTrade: "aggTrade", TradeFill: "trade", BookTicker: "bookTicker"}
DAY_SECS = 650
SMALL_SECS = 30
# Symbols of the older recordings -> whose market they have here, with the same tick where there is one.
STAND_INS = {"NKNUSDT": "ADAUSDT", "BLZETH": "PEPEUSDT", "LRCBTC": "SHIBUSDT", "RUNEEUR": "DOTUSDT"}


class Made(NamedTuple):
    """A line: when, and the frame, or a whole book with its `symbol`."""

    at_ms: int  # since the start
    body: bytes
    kind: str  # of the stream; "answer" for a book


def market(symbol: str, secs: int, *, seed: int = 1, answers_ms: tuple[int, ...] = (200,)) -> Iterator[Made]:
    """Frames of four streams and depth answers, in the order of time."""
    profile = profile_of(STAND_INS.get(symbol, symbol))
    rules = msgspec.structs.replace(profile.rules, symbol=symbol)
    ids = Ids(START_MS, START_MS // 1000, START_MS // 500)
    model = MarketModel(
        msgspec.structs.replace(profile, rules=rules),
        seed=seed,
        start_ms=START_MS,
        ids=ids,
        scenario=scenario_of("normal"),
    )
    model.watch_touch = True
    sink = TextSink(rules)
    state = SymbolTruth(rules, model.book.ledger, TradeLog(0))
    for at_ms in range(100, secs * 1000 + 1, 100):
        model.play(START_MS + at_ms, sink)
        events, sink.events = sink.events, []
        for event in events:
            kind = KINDS[type(event)]
            frame = {"stream": f"{symbol.lower()}@{kind}", "data": msgspec.Raw(encode(event))}
            yield Made(at_ms, msgspec.json.encode(frame), kind)
        if at_ms in answers_ms:
            answer = state.depth(1000)
            assert answer is not None
            yield Made(at_ms, msgspec.json.encode(msgspec.to_builtins(answer) | {"symbol": symbol}), "answer")


@cache
def recorded(*symbols: str) -> tuple[str, ...]:
    """Eight seconds: lines of JSON in the order of time, and two depth answers of each symbol."""
    lines = [
        (made.at_ms, seed, made.body)
        for seed, symbol in enumerate(symbols)
        for made in market(symbol, 8, seed=seed, answers_ms=(1500, 4000))
    ]
    lines.sort(key=lambda line: line[:2])  # stable: a symbol's own order stays
    return tuple(line.decode() for _, _, line in lines)


def frames(*symbols: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in recorded(*symbols)]


@cache
def folder() -> Path:
    """A folder like that of the real recordings, removed at the end of the process."""
    root = Path(tempfile.mkdtemp(prefix="vibe-made-"))
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    _write_day(root / "binance_spot_20240808")
    _write_small(root / "binance_spot_2021_small")
    return root


def _write_day(path: Path) -> None:
    """Times in nanoseconds; single fills without aggregate trades; an answer without a symbol in the first file."""
    path.mkdir()
    for seed, symbol in enumerate(("btcusdt", "ethusdt")):
        lines: tuple[list[bytes], list[bytes]] = ([], [])
        for number, made in enumerate(market(symbol.upper(), DAY_SECS, seed=seed)):
            if made.kind == "aggTrade":
                continue
            body = made.body.replace(b',"symbol":"%b"' % symbol.upper().encode(), b"")
            stamp = (START_MS + made.at_ms) * 1_000_000 + number % 1_000_000
            lines[made.at_ms > DAY_SECS * 500].append(b"%d %b\n" % (stamp, body))
        for day, part in zip((8, 9), lines, strict=True):
            (path / f"spot_{symbol}_2024080{day}.gz").write_bytes(gzip.compress(b"".join(part), compresslevel=1))


def _write_small(path: Path) -> None:
    """As cryptofeed writes them: seconds with a fraction, and REST answers in a file of their own."""
    path.mkdir()
    frames_, answers = [], []
    for seed, symbol in enumerate(STAND_INS):
        for made in market(symbol, SMALL_SECS, seed=seed):
            stamp = (START_MS + made.at_ms) / 1000
            if made.kind == "answer":
                url = f"https://api.binance.com/api/v3/depth?symbol={symbol}&limit=1000"
                answers.append(f"{url} -> {stamp}: {made.body.decode()}\n")
            elif made.kind != "trade":
                frames_.append((made.at_ms, f"{stamp}: {made.body.decode()}\n"))
    frames_.sort(key=lambda line: line[0])
    first = f"wss://stream.binance.com:9443/stream <-> {START_MS / 1000}\n"
    (path / "BINANCE.ws.1.0").write_text(first + "".join(line for _, line in frames_))
    (path / "BINANCE.http.0.0").write_text("".join(answers))
