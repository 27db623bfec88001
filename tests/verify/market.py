"""Frames of a simulated market, as a recorder would have them, without sockets."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import msgspec

from vibe_orderbook_mcp.sim.driver import START_MS, model_of
from vibe_orderbook_mcp.sim.sinks import TextSink
from vibe_orderbook_mcp.sim.trades import TradeLog
from vibe_orderbook_mcp.sim.venue import SymbolState
from vibe_orderbook_mcp.sim.wire import AggTrade, BookTicker, DepthUpdate, TradeFill, encode

KINDS = {DepthUpdate: "depth@100ms", AggTrade: "aggTrade", TradeFill: "trade", BookTicker: "bookTicker"}
ANSWER_AT = (1500, 4000)  # milliseconds


@cache
def recorded(*symbols: str, secs: int = 8) -> tuple[str, ...]:
    """Lines of JSON in the order of time: frames of four streams a symbol, and two depth answers of each."""
    lines: list[tuple[int, int, bytes]] = []
    for seed, symbol in enumerate(symbols):
        model = model_of(symbol, seed=seed)
        model.watch_touch = True
        sink = TextSink(model.rules)
        state = SymbolState(model.rules, model.book.ledger, TradeLog(0))
        for at_ms in range(100, secs * 1000 + 1, 100):
            model.play(START_MS + at_ms, sink)
            events, sink.events = sink.events, []
            for event in events:
                frame = {"stream": f"{symbol.lower()}@{KINDS[type(event)]}", "data": msgspec.Raw(encode(event))}
                lines.append((at_ms, seed, msgspec.json.encode(frame)))
            if at_ms in ANSWER_AT:
                answer = state.depth(5000)
                assert answer is not None
                lines.append((at_ms, seed, msgspec.json.encode(msgspec.to_builtins(answer) | {"symbol": symbol})))
    lines.sort(key=lambda line: line[:2])  # stable: a symbol's own order stays
    return tuple(line.decode() for _, _, line in lines)


def frames(*symbols: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in recorded(*symbols)]
