"""The state of a server at one moment: books, connections, recorder and history. Values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from vibe_orderbook_mcp.model.moment import Status

# What can be done with history, see `collect.archive`.
Mode = Literal["opening", "recording", "paused", "read_only", "unavailable"]


class BookCondition(msgspec.Struct, frozen=True, kw_only=True):
    """One symbol's book and record; counts are since the start. None: there is none."""

    symbol: str
    status: Status
    reason: str  # why it is not live; empty when it is
    age_ms: int | None  # since the newest depth event
    last_update_id: int | None
    bid_levels: int
    ask_levels: int
    events: int
    gaps: int
    resyncs: int
    audits: int
    audit_mismatches: int
    snapshots_stored: int  # seconds written
    trades_stored: int  # fetched ones included


class ServerCondition(msgspec.Struct, frozen=True, kw_only=True):
    """Counts are since the start. None: not known, or nothing is wrong."""

    newest_ms: int  # exchange time of the newest event of any book, or of this machine before the first
    books: Sequence[BookCondition]
    failed: Mapping[str, str]  # configured symbols that could not be subscribed, and why
    is_connected: bool
    reconnects: int
    replacements: int
    malformed_frames: int
    is_running: bool  # the recorder
    why_not_recording: str | None
    is_clock_back: bool  # the exchange's clock is behind the newest second recorded
    mode: Mode
    error: str | None  # of history: why nothing is written, or nothing read
    damage: str | None
    notice: str | None
    set_aside: Sequence[str]  # directories with damaged history
    free_bytes: int | None
    waiting_secs: int  # that wait to be written
    seconds_dropped: int
    lost: str  # what was dropped, in words
    last_write_age_ms: int | None
