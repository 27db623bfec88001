"""Texts of refusals, so that one state has one text. Pure.

Those of wrong arguments are in `answers.arguments` and `model.naming`, those of missing data beside the figure.
"""

from __future__ import annotations

from vibe_orderbook_mcp.model.errors import Refusal, StorageError
from vibe_orderbook_mcp.model.instrument import DEFAULT_VENUE, VENUES, Instrument
from vibe_orderbook_mcp.model.listed import Listing
from vibe_orderbook_mcp.model.moment import Moment
from vibe_orderbook_mcp.model.naming import suggestions

RETRY_SECS = 2.0
WRITE_LAG_SECS = 2.0  # a second can be read this long after its end


def not_live(now: Moment) -> Refusal:
    """There is no live book, or no price to measure from."""
    symbol = now.spec.symbol
    if now.defect is not None:
        return Refusal(
            "insufficient_historical_data",
            f"The book of {symbol} is live, but {now.defect}, and no trade is known: there is no price to measure"
            " from.",
            "orderbook_l1 shows the present book. Ask again once there are bids and asks, or a trade.",
        )
    if now.is_delisted:
        return Refusal(
            "symbol_not_found",
            f"{now.suspension} There is no live book of it.",
            "Recorded data can still be read, for example with get_volume_profile.",
        )
    if now.disconnected is not None:
        return Refusal(
            "exchange_unavailable",
            f"The exchange's stream is not connected ({now.disconnected}); there is no live book of {symbol}.",
            "The server keeps reconnecting by itself; ask again shortly.",
            retry_after_secs=5.0,
        )
    return Refusal(
        "syncing",
        f"The book of {symbol} is not in sequence yet: {now.reason or 'resyncing'}.",
        "Ask again after the delay; the server resyncs by itself.",
        retry_after_secs=RETRY_SECS,
    )


def not_listed(instrument: Instrument, listing: Listing | None) -> Refusal:
    """The venue has no such symbol. `listing`: what it has, if that is known."""
    venue, symbol = instrument.venue, instrument.symbol
    meant = [] if listing is None else [Instrument(venue, each).name for each in suggestions(symbol, listing)]
    if meant:
        hint = f"Did you mean {' or '.join(meant)}?"
    else:
        listed = None if listing is None or venue == DEFAULT_VENUE else next(iter(listing.names), None)
        example = "BTCUSDT or SOLUSDT" if listed is None else Instrument(venue, listed).name
        hint = f"Check the spelling: base asset then quote asset without the rest, such as {example}."
    who = "The exchange" if venue == DEFAULT_VENUE else VENUES[venue]
    return Refusal("symbol_not_found", f"{who} does not list {instrument.name}.", hint)


def standing_still(now: Moment, refusal: Refusal) -> Refusal:
    """Why a window cannot be answered while no data comes: then waiting does not help, and the text says so."""
    symbol = now.spec.symbol
    if now.status == "live" and now.defect is not None:
        return Refusal(
            refusal.code,
            f"{refusal.message} The book of {symbol} is live, but {now.defect}: only seconds with orders on"
            " both sides count.",
            "orderbook_l1 shows the present book. Ask for the window again once there are bids and asks.",
        )
    if now.status == "live":
        refusal.retry_after_secs = (refusal.retry_after_secs or 0.0) + WRITE_LAG_SECS
        return refusal
    if now.suspension is not None:
        why = f"is not moving ({now.suspension.rstrip('.')})"
    elif now.status == "stale":
        why = f"has been silent for {now.silent_secs:.0f} s"
    else:
        why = f"is not in sequence ({now.reason})"
    standing = Refusal(
        refusal.code,
        f"{refusal.message} The book of {symbol} {why}: it is not being recorded.",
        "orderbook_health shows the state of the feed; ask for the window again once the book is live.",
        retry_after_secs=max(RETRY_SECS, refusal.retry_after_secs or 0.0),
    )
    standing.is_passing = False
    return standing


def no_history(why: str | None) -> Refusal:
    """No history is readable. `why`: the archive's error; None while it is being opened."""
    return Refusal(
        "storage_error",
        f"History cannot be read: {why or 'it is being opened'}",
        "Live tools (orderbook_l1, orderbook_l2) work; ask the operator about the data directory.",
        retry_after_secs=10.0,
    )


def storage_refusal(error: StorageError) -> Refusal:
    """Reading history failed."""
    return Refusal(
        "storage_error",
        f"History cannot be read: {error}",
        "Live tools (orderbook_l1, orderbook_l2) work; ask again shortly.",
        retry_after_secs=10.0,
    )
