"""Findings as bytes: `[1, end_ms, severity, rarity, evidence]` in MessagePack. PURE

Start and type are in the key, so a finding that continues overwrites its record.
"""

from __future__ import annotations

from typing import Final

import ormsgpack

from vibe_orderbook_mcp.model.errors import StorageCorrupt, StorageError
from vibe_orderbook_mcp.model.rows import StoredEvent

VERSION: Final = 1


def encode_event(event: StoredEvent) -> bytes:
    try:
        return ormsgpack.packb([VERSION, event.end_ms, event.severity, event.rarity, event.evidence])
    except TypeError as error:
        raise StorageError(
            f"The evidence of {event.type!r} cannot be stored: it has values that are not plain."
        ) from error


def decode_event(start_ms: int, kind: str, data: bytes) -> StoredEvent:
    try:
        version, end_ms, severity, rarity, evidence = ormsgpack.unpackb(data)
    except (ValueError, TypeError) as error:
        raise StorageCorrupt("A stored event cannot be read.") from error
    if version != VERSION:
        raise StorageCorrupt(f"An event of version {version!r}; this program reads version {VERSION}.")
    return StoredEvent(type=kind, start_ms=start_ms, end_ms=end_ms, severity=severity, rarity=rarity, evidence=evidence)
