"""The answer of `orderbook_health`."""

from __future__ import annotations

import msgspec
from pydantic import Field

from vibe_orderbook_mcp.analytics.results import Answer, Envelope, iso
from vibe_orderbook_mcp.model.condition import ServerCondition
from vibe_orderbook_mcp.model.moment import Status

ALL = "ALL"  # the symbol of an answer about all of them


class SymbolHealth(Answer):
    """One symbol's book and record."""

    symbol: str = Field(description="The symbol in the exchange's spelling.")
    status: Status = Field(description="live: in sequence, its connection answers; stale: not so; syncing: no book.")
    reason: str = Field(description="Why it is not live; empty if it is.")
    age_ms: int | None = Field(description="Milliseconds since the last depth event; null before the first.")
    last_update_id: int | None = Field(description="The exchange's id of the last update; null without a book.")
    bid_levels: int = Field(description="Bid levels in the book.")
    ask_levels: int = Field(description="Ask levels in the book.")
    events: int = Field(description="Depth events applied since the start.")
    gaps: int = Field(description="Gaps noticed and repaired or being repaired.")
    resyncs: int = Field(description="Snapshots joined with the stream, the first one included.")
    audits: int = Field(description="Comparisons of the whole book with a fresh snapshot.")
    audit_mismatches: int = Field(description="Comparisons that found a difference; anything but 0 is a fault.")
    snapshots_stored: int = Field(description="Seconds written by this process.")
    trades_stored: int = Field(description="Trades written by this process, backfill included.")


class HealthAnswer(Envelope):
    """The whole server: feed, recorder, storage."""

    connected: bool = Field(description="Whether every connection to the exchange is open.")
    reconnects: int = Field(description="Connections that broke since the start.")
    replacements: int = Field(description="Connections replaced while still open: for their age or their silence.")
    malformed_frames: int = Field(description="Frames that could not be read and were skipped.")
    recorder: str = Field(description="running or stopped.")
    storage: str = Field(
        description="opening, recording, paused (disk nearly full or not writable), read_only (another process "
        "records) or unavailable."
    )
    storage_error: str | None = Field(description="The storage error; null without one.")
    storage_damage: str | None = Field(description="Why a part of history cannot be read; null if all can.")
    set_aside: list[str] = Field(description="Directories inside the data directory with damaged history.")
    disk_free_bytes: int | None = Field(description="Free on the disk of the data directory; null: unknown.")
    waiting_secs: int = Field(description="Seconds that wait to be written; grows while the disk fails.")
    seconds_dropped: int = Field(description="Seconds of a symbol lost since the start because too many waited.")
    last_write_age_ms: int | None = Field(description="Milliseconds since the last write; null before the first.")
    symbols: list[SymbolHealth] = Field(description="All subscribed symbols.")
    failed_symbols: dict[str, str] = Field(description="Configured symbols that could not be subscribed, and why.")


def health_answer(now: ServerCondition) -> HealthAnswer:
    symbols = [SymbolHealth(**msgspec.structs.asdict(each)) for each in now.books]
    ages = [item.age_ms for item in now.books if item.age_ms is not None]
    not_live = [item for item in now.books if item.status != "live"]
    status: Status = "live"
    if not symbols or any(item.status == "syncing" for item in not_live) or now.failed:
        status = "syncing"
    elif not_live:
        status = "stale"
    warnings = [f"{item.symbol} is {item.status}: {item.reason}." for item in not_live]
    warnings += [f"{symbol} is not subscribed: {why}" for symbol, why in now.failed.items()]
    if now.error is not None:
        warnings.append(f"Storage: {now.error}")
    if now.damage is not None:
        warnings.append(f"A part of history cannot be read: {now.damage}")
    if now.notice is not None:
        warnings.append(now.notice)
    if now.is_clock_back and now.why_not_recording:
        warnings.append(f"Recorder: {now.why_not_recording}")
    if now.seconds_dropped:
        warnings.append(f"History of {now.lost} is lost: it could not be written for too long.")
    return HealthAnswer(
        symbol=ALL,
        as_of=iso(now.newest_ms),
        age_ms=min(ages, default=0),
        status=status,
        summary=_summary(now),
        warnings=warnings,
        connected=now.is_connected,
        reconnects=now.reconnects,
        replacements=now.replacements,
        malformed_frames=now.malformed_frames,
        recorder="running" if now.is_running else "stopped",
        storage=now.mode,
        storage_error=now.error,
        storage_damage=now.damage,
        set_aside=list(now.set_aside),
        disk_free_bytes=now.free_bytes,
        waiting_secs=now.waiting_secs,
        seconds_dropped=now.seconds_dropped,
        last_write_age_ms=now.last_write_age_ms,
        symbols=symbols,
        failed_symbols=dict(now.failed),
    )


def _summary(now: ServerCondition) -> str:
    live = sum(item.status == "live" for item in now.books)
    wanted = len(now.books) + len(now.failed)
    gaps = sum(item.gaps for item in now.books)
    storage = {
        "recording": "history is being recorded",
        "read_only": "another process records history",
        "opening": "history is being opened",
        "paused": "history is readable and NOT being written",
        "unavailable": "history is NOT being recorded",
    }[now.mode]
    if now.why_not_recording is not None and now.mode == "recording":
        storage = "history is NOT being written"
    if not live and wanted and now.mode == "recording":
        storage = "history is open, and there is no live book to record"
    books = f"{live} of {wanted} books live, gaps noticed and resynced: {gaps}, reconnects: {now.reconnects}"
    return f"{books}; {storage}."
