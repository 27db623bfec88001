"""The metadata of a symbol, and what its detectors found. PURE

`symbol:{symbol}` -> `[1, created, sealed, base, quote, tick_size, step_size, max_price, max_size, trading]`: the spec
as last seen, and the second up to which whole minutes of trades are in blocks (None: none yet). Where the market is not
`spot`, its kind stands behind that.
`ids:{symbol}` -> `[first, last, first, last, ...]`: the stored aggregate trade ids.
`roll:{symbol}` -> how its trades are summed up (see `rollups`).
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from itertools import chain
from typing import Any, Final

import msgspec
import ormsgpack

from vibe_orderbook_mcp.model.errors import StorageCorrupt, StorageError
from vibe_orderbook_mcp.model.instrument import MarketKind
from vibe_orderbook_mcp.model.intervals import Interval
from vibe_orderbook_mcp.model.rows import StoredEvent
from vibe_orderbook_mcp.model.symbol import SymbolSpec
from vibe_orderbook_mcp.store.records.keys import symbol_bytes

VERSION: Final = 1
SYMBOL_LOW: Final = b"symbol:"
SYMBOL_HIGH: Final = b"symbol;"


class SymbolMeta(msgspec.Struct, frozen=True):
    spec: SymbolSpec
    created: int
    sealed: int | None = None


def symbol_key(symbol: str) -> bytes:
    return SYMBOL_LOW + symbol_bytes(symbol)


def ids_key(symbol: str) -> bytes:
    return b"ids:" + symbol_bytes(symbol)


def grid_key(symbol: str) -> bytes:
    return b"roll:" + symbol_bytes(symbol)


def encode_meta(meta: SymbolMeta) -> bytes:
    spec = meta.spec
    return ormsgpack.packb(
        [
            VERSION,
            meta.created,
            meta.sealed,
            spec.base_asset,
            spec.quote_asset,
            str(spec.tick_size),
            str(spec.step_size),
            str(spec.max_price),
            str(spec.max_size),
            spec.trading,
            *(() if spec.market == "spot" else (spec.market,)),
        ]
    )


def decode_meta(symbol: str, data: bytes) -> SymbolMeta:
    try:
        record: list[Any] = ormsgpack.unpackb(data)
        if record[0] != VERSION:
            raise StorageCorrupt(f"{symbol}: its description has version {record[0]!r}; this program reads {VERSION}.")
        _, created, sealed, base, quote, tick_size, step_size, max_price, max_size, trading, *rest = record
        spec = SymbolSpec(
            symbol=symbol,
            base_asset=base,
            quote_asset=quote,
            tick_size=Decimal(tick_size),
            step_size=Decimal(step_size),
            max_price=Decimal(max_price),
            max_size=Decimal(max_size),
            trading=trading,
            market=msgspec.convert(rest[0], MarketKind) if rest else "spot",
        )
    except (ValueError, TypeError, IndexError, InvalidOperation) as error:
        raise StorageCorrupt(f"The stored description of {symbol} cannot be read.") from error
    return SymbolMeta(spec=spec, created=created, sealed=sealed)


def encode_ids(intervals: Sequence[Interval]) -> bytes:
    return ormsgpack.packb(list(chain.from_iterable(intervals)))


def decode_ids(data: bytes) -> list[Interval]:
    try:
        flat: list[int] = ormsgpack.unpackb(data)
        return list(zip(flat[::2], flat[1::2], strict=True))
    except (ValueError, TypeError) as error:
        raise StorageCorrupt("Stored trade ids cannot be read.") from error


EVENT_VERSION: Final = 1


def encode_event(event: StoredEvent) -> bytes:
    try:
        return ormsgpack.packb([EVENT_VERSION, event.end_ms, event.severity, event.rarity, event.evidence])
    except TypeError as error:
        raise StorageError(
            f"The evidence of {event.type!r} cannot be stored: it has values that are not plain."
        ) from error


def decode_event(start_ms: int, kind: str, data: bytes) -> StoredEvent:
    try:
        version, end_ms, severity, rarity, evidence = ormsgpack.unpackb(data)
    except (ValueError, TypeError) as error:
        raise StorageCorrupt("A stored event cannot be read.") from error
    if version != EVENT_VERSION:
        raise StorageCorrupt(f"An event of version {version!r}; this program reads version {EVENT_VERSION}.")
    return StoredEvent(type=kind, start_ms=start_ms, end_ms=end_ms, severity=severity, rarity=rarity, evidence=evidence)
