"""`verify` a second time, slowly: plain dicts of decimals and lists that are searched from their beginning."""

from __future__ import annotations

import json
from collections import defaultdict
from decimal import Decimal
from typing import Any

Frame = dict[str, Any]


def verified(frames: list[Frame]) -> dict[str, dict[str, Any]]:
    """Combined-stream frames and depth answers with a `symbol`, one a line -> counts, tops and lines with faults."""
    symbols = {frame["data"]["s"] for frame in frames if "stream" in frame}
    return {symbol: _verified(symbol, frames) for symbol in symbols}


def _verified(symbol: str, frames: list[Frame]) -> dict[str, Any]:
    own = [
        (line, frame["stream"].partition("@")[2], frame["data"])
        for line, frame in enumerate(frames, 1)
        if frame.get("data", {}).get("s") == symbol
    ]
    out: dict[str, Any] = defaultdict(int)
    out["tops"], out["faults"] = [], set()
    _books(out, symbol, own, [frame for frame in frames if frame.get("symbol") == symbol])
    _best_prices(out, own)
    counts = [_ids(out, own, kind, key) for kind, key in (("aggTrade", "a"), ("trade", "t"))]
    out["trades"] = counts[0] or counts[1]
    for top in out["tops"]:
        del top["u"]
    return out


def _books(out: dict[str, Any], symbol: str, own: list[tuple[int, str, Frame]], answers: list[Frame]) -> None:
    book: dict[str, dict[Decimal, list[str]]] | None = None
    last: int | None = None
    for line, kind, data in own:
        if not kind.startswith("depth"):
            continue
        out["frames"] += 1
        if last is not None and data["u"] <= last:
            out["faults"].add(line)
            continue
        if last is not None and data["U"] > last + 1:
            out["gaps"] += 1
            out["faults"].add(line)
            book = None
        last = data["u"]
        fitting = [each for each in answers if data["U"] <= each["lastUpdateId"] + 1 <= data["u"]]
        if book is None and fitting:
            book = {
                key: {Decimal(row[0]): row for row in fitting[0][side]} for key, side in (("b", "bids"), ("a", "asks"))
            }
        if book is None:
            continue
        for key, levels in book.items():
            for row in data[key]:
                levels[Decimal(row[0])] = row
                if not Decimal(row[1]):
                    del levels[Decimal(row[0])]
        out["applied"] += 1
        bid, ask = book["b"][max(book["b"])], book["a"][min(book["a"])]
        if Decimal(bid[0]) >= Decimal(ask[0]):
            out["crossed"] += 1
            out["faults"].add(line)
        out["tops"].append({"line": line, "instrument": symbol, "bid": bid, "ask": ask, "u": last})


def _best_prices(out: dict[str, Any], own: list[tuple[int, str, Frame]]) -> None:
    tickers: list[Frame] = []
    for _, kind, data in own:
        if kind == "bookTicker" and (not tickers or data["u"] >= tickers[-1]["u"]):
            tickers.append(data)
    for top in out["tops"]:
        known = [each for each in tickers if each["u"] <= top["u"]]
        if known:
            out["checked"] += 1
            told = [Decimal(known[-1][key]) for key in "bBaA"]
            if told != [Decimal(text) for text in (*top["bid"], *top["ask"])]:
                out["failed"] += 1
                out["faults"].add(top["line"])


def _ids(out: dict[str, Any], own: list[tuple[int, str, Frame]], kind: str, key: str) -> int:
    seen: set[int] = set()
    for line, other, data in own:
        if other == kind:
            if seen and data[key] > max(seen) + 1:
                out["faults"].add(line)
            seen.add(data[key])
    out["trade_ids_missing"] += max(seen) - min(seen) + 1 - len(seen) if seen else 0
    return len(seen)


def text(frames: list[Frame]) -> str:
    return "".join(f"{1_700_000_000_000 + line * 10} {json.dumps(frame)}\n" for line, frame in enumerate(frames))
