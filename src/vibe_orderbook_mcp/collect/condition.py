"""How the process stands, for `orderbook_health` and `/readyz`."""

from __future__ import annotations

import time

from vibe_orderbook_mcp.collect.runtime import Runtime
from vibe_orderbook_mcp.market.owner import InstrumentOwner
from vibe_orderbook_mcp.model.condition import BookCondition, ServerCondition


def condition(runtime: Runtime) -> ServerCondition:
    now_ns = time.monotonic_ns()
    market, exchanges, recorder, archive = runtime.market, runtime.exchanges, runtime.recorder, runtime.archive
    owners = market.symbols.values()
    books_ms = [book.event_ms for owner in owners if (book := owner.copy) is not None and book.event_ms is not None]
    # Without a book it is the time of the last event; before the first event, this machine's clock.
    newest_ms = max(books_ms or [owner.heard_ms for owner in owners if owner.heard_ms is not None], default=None)
    written = archive.written_ns
    return ServerCondition(
        newest_ms=time.time_ns() // 1_000_000 if newest_ms is None else newest_ms,
        books=[_book(runtime, owner, now_ns) for owner in owners],
        failed=exchanges.failed,
        is_connected=exchanges.is_connected,
        reconnects=exchanges.reconnects,
        replacements=exchanges.replacements,
        malformed_frames=exchanges.malformed_frames.total(),
        is_running=recorder.is_running,
        why_not_recording=recorder.why_not_recording,
        is_clock_back=bool(recorder.clock_back_secs),
        mode=archive.mode,
        error=archive.error,
        damage=archive.damage,
        notice=archive.notice,
        set_aside=tuple(archive.set_aside),
        free_bytes=archive.free_bytes,
        waiting_secs=recorder.queue_ticks,
        seconds_dropped=recorder.seconds_dropped,
        lost=str(archive.lost),
        last_write_age_ms=None if written is None else (now_ns - written) // 1_000_000,
    )


def readiness(runtime: Runtime) -> tuple[bool, dict[str, object]]:
    """Whether every eager symbol has a live book and the recorder works, and per symbol why not."""
    now_ns = time.monotonic_ns()
    symbols: dict[str, str] = {}
    for written in runtime.settings.symbols:
        symbol = runtime.exchanges.name(written)
        owner = runtime.market.symbols.get(symbol)
        if owner is None:
            symbols[symbol] = runtime.exchanges.failed.get(symbol, "not subscribed yet")
        else:
            status = owner.status(now_ns)
            reason = why_not_live(owner, now_ns)
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


def why_not_live(owner: InstrumentOwner, now_ns: int) -> str:
    """Empty when it is."""
    if owner.suspension is not None:
        return owner.suspension.rstrip(".")
    if owner.reason:
        return owner.reason
    if owner.status(now_ns) != "stale":
        return ""
    return f"silent for {(owner.age_ns(now_ns) or 0) / 1e9:.0f} s"


def _book(runtime: Runtime, owner: InstrumentOwner, now_ns: int) -> BookCondition:
    symbol, book, age = owner.spec.symbol, owner.book, owner.age_ns(now_ns)
    return BookCondition(
        symbol=symbol,
        status=owner.status(now_ns),
        reason=why_not_live(owner, now_ns),
        age_ms=None if age is None else age // 1_000_000,
        last_update_id=None if book is None else book.last_update_id,
        bid_levels=0 if book is None else len(book.bids),
        ask_levels=0 if book is None else len(book.asks),
        events=owner.counts.events,
        gaps=owner.counts.gaps,
        resyncs=owner.counts.resyncs,
        audits=owner.counts.audits,
        audit_mismatches=owner.counts.audit_mismatches,
        snapshots_stored=runtime.recorder.snapshots_stored[symbol],
        trades_stored=runtime.recorder.trades_stored[symbol] + owner.filling.filled,
    )
