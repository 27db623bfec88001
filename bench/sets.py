"""The message sets that contenders are fed."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

import msgspec
from tests.folders import RECORDINGS

from vibe_orderbook_mcp.model.symbol import SymbolSpec


@dataclass(frozen=True)
class MessageSet:
    """One symbol's raw frames in the order in which they came, and the REST depth answer they continue."""

    name: str
    spec: SymbolSpec
    snapshot: bytes
    frames: tuple[tuple[int, bytes], ...]  # (received, milliseconds; raw frame)
    limit: int  # the depth that the answer was asked for; 0: it holds every level

    @property
    def symbol(self) -> str:
        return self.spec.symbol

    def joined(self) -> MessageSet:
        """From the first message that continues the depth answer without overlap: then no contender has to join."""
        answer = msgspec.json.decode(self.snapshot)
        known, place = answer["lastUpdateId"], 0
        sides = {key: {float(price): (price, size) for price, size in answer[key]} for key in ("bids", "asks")}
        for place, (_, raw) in enumerate(self.frames):  # noqa: B007  # where it stopped is the result
            if b"@depth" not in raw[:60]:
                continue
            data = msgspec.json.decode(raw)["data"]
            if data["u"] <= known:
                continue
            if data["U"] == known + 1:
                break
            known = data["u"]
            for key, rows in (("bids", data["b"]), ("asks", data["a"])):
                for price, size in rows:
                    sides[key][float(price)] = (price, size)
        held = {key: [sides[key][price] for price in sorted(sides[key], reverse=key == "bids")] for key in sides}
        kept = {key: [level for level in levels if float(level[1])] for key, levels in held.items()}
        return replace(self, snapshot=msgspec.json.encode({"lastUpdateId": known, **kept}), frames=self.frames[place:])

    def depth_only(self) -> MessageSet:
        return replace(self, frames=tuple(frame for frame in self.frames if b"@depth" in frame[1][:60]))

    def named(self, symbol: str) -> MessageSet:
        """The same messages of another symbol of the same length."""
        old, new = self.symbol.encode(), symbol.encode()

        def renamed(raw: bytes) -> bytes:
            return raw.replace(old, new).replace(old.lower(), new.lower(), 1)

        spec = SymbolSpec(symbol, self.spec.base_asset, self.spec.quote_asset, self.spec.tick_size, self.spec.step_size)
        return replace(self, spec=spec, frames=tuple((at, renamed(raw)) for at, raw in self.frames))


def recorded(symbol: str, tick: str, step: str) -> MessageSet | None:
    """Binance's own frames of 2024-08-08; None where the recordings are not.

    The recorder took `@trade`, one fill each: every fill is fed as an aggregate trade of its own.
    """
    paths = [RECORDINGS / "binance_spot_20240808" / f"spot_{symbol.lower()}_2024080{day}.gz" for day in (8, 9)]
    if not all(path.is_file() for path in paths):
        return None
    snapshot: bytes | None = None
    frames: list[tuple[int, bytes]] = []
    for received_ns, raw in _lines(paths):
        head = raw[:60]
        if raw.startswith(b'{"lastUpdateId"'):
            snapshot = raw
        elif b"@depth" in head:
            frames.append((received_ns // 1_000_000, raw))
        elif b"@trade" in head:
            frames.append((received_ns // 1_000_000, _as_aggregate(raw)))
    if snapshot is None:
        return None
    spec = SymbolSpec(symbol, symbol[:-4], symbol[-4:], Decimal(tick), Decimal(step))
    return MessageSet(f"recorded {symbol}", spec, snapshot, tuple(frames), limit=1000)


def _lines(paths: list[Path]) -> Iterator[tuple[int, bytes]]:
    for path in paths:
        for line in gzip.decompress(path.read_bytes()).splitlines():
            received_ns, _, raw = line.partition(b" ")
            yield int(received_ns), raw


def _as_aggregate(raw: bytes) -> bytes:
    frame = msgspec.json.decode(raw)
    data = frame["data"]
    data = {
        "e": "aggTrade",
        "E": data["E"],
        "s": data["s"],
        "a": data["t"],
        "p": data["p"],
        "q": data["q"],
        "f": data["t"],
        "l": data["t"],
        "T": data["T"],
        "m": data["m"],
        "M": data["M"],
    }
    return msgspec.json.encode({"stream": frame["stream"].replace("@trade", "@aggTrade"), "data": data})
