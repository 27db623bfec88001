"""The answer of `orderbook_health`, and what `/readyz` says."""

from __future__ import annotations

import time

from pydantic import Field

from vibe_orderbook_mcp.analytics.results import Answer, Envelope, iso
from vibe_orderbook_mcp.collect.runtime import Runtime
from vibe_orderbook_mcp.market.owner import InstrumentOwner
from vibe_orderbook_mcp.model.moment import Status

ALL = "ALL"  # the symbol of an answer about all of them


class SymbolHealth(Answer):
    """One symbol's book and record."""

    symbol: str = Field(description="The symbol in the exchange's spelling.")
    status: Status = Field(description="live: in sequence, its connection answers; stale: not so; syncing: no book.")
    reason: str = Field(description="Why it is not live; empty when it is.")
    age_ms: int | None = Field(description="Milliseconds since the last depth event; null before the first.")
    last_update_id: int | None = Field(description="The exchange's id of the last update; null without a book.")
    bid_levels: int = Field(description="Bid levels kept.")
    ask_levels: int = Field(description="Ask levels kept.")
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
        description="opening, recording, paused (disk nearly full, or not to be written), read_only (another process "
        "records) or unavailable."
    )
    storage_error: str | None = Field(description="What is wrong with storage; null when nothing is.")
    storage_damage: str | None = Field(description="Why a part of history cannot be read; null when all can.")
    set_aside: list[str] = Field(description="Directories inside the data directory that hold damaged history.")
    disk_free_bytes: int | None = Field(description="Free on the disk of the data directory; null when not known.")
    waiting_secs: int = Field(description="Seconds that wait to be written; grows while the disk fails.")
    seconds_dropped: int = Field(description="Seconds of a symbol lost since the start: too many waited.")
    last_write_age_ms: int | None = Field(description="Milliseconds since the last write; null before the first.")
    symbols: list[SymbolHealth] = Field(description="Every symbol kept.")
    failed_symbols: dict[str, str] = Field(description="Configured symbols that could not be subscribed, and why.")


def health_answer(runtime: Runtime) -> HealthAnswer:
    now_ns = time.monotonic_ns()
    market, feed, recorder, archive = runtime.market, runtime.feed, runtime.recorder, runtime.archive
    symbols = [_symbol_health(runtime, state, now_ns) for state in market.symbols.values()]
    ages = [item.age_ms for item in symbols if item.age_ms is not None]
    states = market.symbols.values()
    books_ms = [book.event_ms for state in states if (book := state.copy) is not None and book.event_ms is not None]
    # Without a book it is the last that was heard of any; before the first event only the clock of this machine tells.
    newest_ms = max(books_ms or [state.heard_ms for state in states if state.heard_ms is not None], default=None)
    not_live = [item for item in symbols if item.status != "live"]
    status: Status = "live"
    if not symbols or any(item.status == "syncing" for item in not_live) or feed.failed:
        status = "syncing"
    elif not_live:
        status = "stale"
    warnings = [f"{item.symbol} is {item.status}: {item.reason}." for item in not_live]
    warnings += [f"{symbol} is not subscribed: {why}" for symbol, why in feed.failed.items()]
    if archive.error is not None:
        warnings.append(f"Storage: {archive.error}")
    if archive.damage is not None:
        warnings.append(f"A part of history cannot be read: {archive.damage}")
    if archive.notice is not None:
        warnings.append(archive.notice)
    if recorder.clock_back_secs and recorder.why_not_recording:
        warnings.append(f"Recorder: {recorder.why_not_recording}")
    if recorder.seconds_dropped:
        warnings.append(f"History of {archive.lost} is lost: it could not be written for too long.")
    written = archive.written_ns
    return HealthAnswer(
        symbol=ALL,
        as_of=iso(time.time_ns() // 1_000_000 if newest_ms is None else newest_ms),
        age_ms=min(ages, default=0),
        status=status,
        summary=_summary(runtime, symbols),
        warnings=warnings,
        connected=feed.is_connected,
        reconnects=feed.reconnects,
        replacements=sum(line.replacements for line in feed.lines),
        malformed_frames=feed.malformed_frames.total(),
        recorder="running" if recorder.is_running else "stopped",
        storage=archive.mode,
        storage_error=archive.error,
        storage_damage=archive.damage,
        set_aside=list(archive.set_aside),
        disk_free_bytes=archive.free_bytes,
        waiting_secs=recorder.queue_ticks,
        seconds_dropped=recorder.seconds_dropped,
        last_write_age_ms=None if written is None else (now_ns - written) // 1_000_000,
        symbols=symbols,
        failed_symbols=dict(feed.failed),
    )


def readiness(runtime: Runtime) -> tuple[bool, dict[str, object]]:
    """Whether every eager symbol has a live book and the recorder works, and per symbol why not."""
    now_ns = time.monotonic_ns()
    symbols: dict[str, str] = {}
    for symbol in runtime.settings.symbols:
        state = runtime.market.symbols.get(symbol)
        if state is None:
            symbols[symbol] = runtime.feed.failed.get(symbol, "not subscribed yet")
        else:
            status = state.status(now_ns)
            reason = why_not_live(state, now_ns)
            symbols[symbol] = status if status == "live" or not reason else f"{status}: {reason}"
    archive = runtime.archive
    not_recording = runtime.recorder.why_not_recording
    is_ready = not_recording is None and all(value == "live" for value in symbols.values())
    body: dict[str, object] = {
        "ready": is_ready,
        "source": runtime.source,
        "symbols": symbols,
        "recorder": not_recording or "running",
    }
    if archive.damage is not None:
        body["history"] = f"A part cannot be read: {archive.damage}"
    return is_ready, body


def why_not_live(state: InstrumentOwner, now_ns: int) -> str:
    """Empty when it is."""
    if state.suspension is not None:
        return state.suspension.rstrip(".")
    if state.reason:
        return state.reason
    if state.status(now_ns) != "stale":
        return ""
    return f"silent for {(state.age_ns(now_ns) or 0) / 1e9:.0f} s"


def _symbol_health(runtime: Runtime, state: InstrumentOwner, now_ns: int) -> SymbolHealth:
    symbol, book, age = state.spec.symbol, state.book, state.age_ns(now_ns)
    return SymbolHealth(
        symbol=symbol,
        status=state.status(now_ns),
        reason=why_not_live(state, now_ns),
        age_ms=None if age is None else age // 1_000_000,
        last_update_id=None if book is None else book.last_update_id,
        bid_levels=0 if book is None else len(book.bids),
        ask_levels=0 if book is None else len(book.asks),
        events=state.counts.events,
        gaps=state.counts.gaps,
        resyncs=state.counts.resyncs,
        audits=state.counts.audits,
        audit_mismatches=state.counts.audit_mismatches,
        snapshots_stored=runtime.recorder.snapshots_stored[symbol],
        trades_stored=runtime.recorder.trades_stored[symbol] + state.filling.filled,
    )


def _summary(runtime: Runtime, symbols: list[SymbolHealth]) -> str:
    live = sum(item.status == "live" for item in symbols)
    wanted = len(symbols) + len(runtime.feed.failed)
    gaps = sum(item.gaps for item in symbols)
    storage = {
        "recording": "history is being recorded",
        "read_only": "another process records history",
        "opening": "history is being opened",
        "paused": "history is readable and NOT being written",
        "unavailable": "history is NOT being recorded",
    }[runtime.archive.mode]
    if runtime.recorder.why_not_recording is not None and runtime.archive.mode == "recording":
        storage = "history is NOT being written"
    if not live and wanted and runtime.archive.mode == "recording":
        storage = "history is open, and there is no live book to record"
    books = f"{live} of {wanted} books live, gaps noticed and resynced: {gaps}, reconnects: {runtime.feed.reconnects}"
    return f"{books}; {storage}."
