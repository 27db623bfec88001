"""Getting at a symbol's live book, subscribing it when nobody has asked for it before."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator

from vibe_orderbook_mcp.book.book import OrderBook
from vibe_orderbook_mcp.collect.places import NoRoom
from vibe_orderbook_mcp.collect.runtime import Runtime
from vibe_orderbook_mcp.market.chronicle import DELISTED
from vibe_orderbook_mcp.market.owner import InstrumentOwner
from vibe_orderbook_mcp.model.errors import (
    ExchangeError,
    InexactSymbol,
    RateLimited,
    Refusal,
    StorageError,
    SymbolUnknown,
)
from vibe_orderbook_mcp.model.naming import pair_of, suggestions
from vibe_orderbook_mcp.store.history import History

ANSWER_SECS = 4.5  # a first use is answered or refused within 5 s
RETRY_SECS = 2.0
WRITE_LAG_SECS = 2.0  # a second can be read so long after its end


async def live_state(runtime: Runtime, symbol: str) -> InstrumentOwner:
    """The symbol with a proven book. Raises Refusal when there is none in time."""
    deadline = time.monotonic() + ANSWER_SECS
    state = known_state(runtime, symbol) or await _subscribe(runtime, symbol, deadline)
    symbol = state.spec.symbol  # a bare asset stands for its pair
    if state.book is None and state.trading == DELISTED:
        raise not_live(runtime, state)  # waiting does not help
    if state.book is None and not await runtime.feed.wait_live(symbol, max(0.0, deadline - time.monotonic())):
        raise not_live(runtime, state)
    if state.book is None:  # it was lost again in the same moment
        raise not_live(runtime, state)
    return state


def known_state(runtime: Runtime, symbol: str) -> InstrumentOwner | None:
    """The symbol if it is kept; who asks about it keeps it."""
    runtime.places.ask(symbol, time.monotonic())
    return runtime.market.symbols.get(symbol)


def broken(book: OrderBook) -> str | None:
    """What the exchange's book lacks for a market, None for nothing."""
    if not book.is_two_sided:
        return "one side of the book is empty" if book.bids.best or book.asks.best else "the book is empty"
    return "the book is crossed" if book.is_crossed else None


def not_live(runtime: Runtime, state: InstrumentOwner) -> Refusal:
    symbol = state.spec.symbol
    if state.book is not None and (lack := broken(state.book)) is not None:
        return Refusal(
            "insufficient_historical_data",
            f"The book of {symbol} is live, but {lack}, and no trade is known: there is no price to measure from.",
            "orderbook_l1 shows what there is. Ask again once there are bids and asks, or a trade.",
        )
    if state.trading == DELISTED:
        return Refusal(
            "symbol_not_found",
            f"{state.suspension} There is no live book of it.",
            "What was recorded can still be asked for, for example with get_volume_profile.",
        )
    if not runtime.feed.is_connected:
        reason = runtime.feed.last_error or "no connection yet"
        return Refusal(
            "exchange_unavailable",
            f"The exchange's stream is not connected ({reason}); there is no live book of {symbol}.",
            "The server keeps reconnecting by itself; ask again shortly.",
            retry_after_secs=5.0,
        )
    return Refusal(
        "syncing",
        f"The book of {symbol} is not in sequence yet: {state.reason or 'resyncing'}.",
        "Ask again after the delay; the server resyncs by itself.",
        retry_after_secs=RETRY_SECS,
    )


async def _subscribe(runtime: Runtime, symbol: str, deadline: float) -> InstrumentOwner:
    try:
        # Not `wait_for`: on Python 3.11 it begins a moment later, and calls of that moment would not count each other.
        async with asyncio.timeout(max(0.1, deadline - time.monotonic())):
            symbol = await _listed(runtime, symbol)
            _make_room(runtime, symbol)
            await runtime.feed.subscribe(symbol)
    except SymbolUnknown as error:
        raise _not_listed(runtime, symbol) from error
    except InexactSymbol as error:
        raise Refusal("symbol_not_found", str(error), "This symbol cannot be kept exactly; ask for another.") from error
    except RateLimited as error:
        raise Refusal(
            "exchange_unavailable",
            str(error),
            "Ask again after the delay.",
            retry_after_secs=round(error.retry_after_secs, 1),
        ) from error
    except ExchangeError as error:
        raise Refusal("exchange_unavailable", str(error), "Ask again shortly.", retry_after_secs=5.0) from error
    except TimeoutError as error:
        raise Refusal(
            "syncing",
            f"Subscribing to {symbol} is under way.",
            "Ask again after the delay.",
            retry_after_secs=RETRY_SECS,
        ) from error
    return runtime.market.symbols[symbol]


async def _listed(runtime: Runtime, symbol: str) -> str:
    """The symbol, or the pair of a bare asset. Raises SymbolUnknown, RateLimited."""
    try:
        await runtime.feed.check_listed(symbol)
    except SymbolUnknown:
        listing = runtime.feed.listing
        pair = None if listing is None else pair_of(symbol, listing)
        if pair is None:
            raise
        return pair
    return symbol


def _not_listed(runtime: Runtime, symbol: str) -> Refusal:
    listing = runtime.feed.listing
    meant = [] if listing is None else suggestions(symbol, listing)
    hint = "Check the spelling: base asset then quote asset without the rest, such as BTCUSDT or SOLUSDT."
    if meant:
        hint = f"Did you mean {' or '.join(meant)}?"
    return Refusal("symbol_not_found", f"The exchange does not list {symbol}.", hint)


def _make_room(runtime: Runtime, symbol: str) -> None:
    """Raises Refusal. No await between this and the subscription: calls of the same moment have to count each other."""
    try:
        runtime.make_room(symbol)
    except NoRoom as error:
        kept = ", ".join(sorted(runtime.market.symbols))
        why = (
            "Too many new symbols were asked for at once"
            if error.is_burst
            else f"This server keeps at most {runtime.places.limit} symbols and all of them are in use"
        )
        raise Refusal(
            "symbol_limit_reached",
            f"{why}; {symbol} is not among those that are kept.",
            f"Ask for one of: {kept}; or ask again after the delay. Operators raise the limit with VIBE_MAX_SYMBOLS.",
            retry_after_secs=round(max(1.0, error.retry_after_secs), 1),
        ) from error


@contextlib.contextmanager
def explained(state: InstrumentOwner) -> Iterator[None]:
    """A window that cannot be answered while nothing comes: waiting as such does not help, and the refusal says so."""
    try:
        yield
    except Refusal as refusal:
        now_ns = time.monotonic_ns()
        status = state.status(now_ns)
        if refusal.code != "insufficient_historical_data":
            raise
        lack = None if state.book is None else broken(state.book)
        if status == "live" and lack is not None:
            raise Refusal(
                refusal.code,
                f"{refusal.message} The book of {state.spec.symbol} is live, but {lack}: only seconds with orders on"
                " both sides count.",
                "orderbook_l1 shows what there is. Ask for the window again once there are bids and asks.",
            ) from refusal
        if status == "live":
            refusal.retry_after_secs = (refusal.retry_after_secs or 0.0) + WRITE_LAG_SECS
            raise
        silent = (state.age_ns(now_ns) or 0) / 1e9
        if state.suspension is not None:
            why = f"is not moving ({state.suspension.rstrip('.')})"
        elif status == "stale":
            why = f"has been silent for {silent:.0f} s"
        else:
            why = f"is not in sequence ({state.reason})"
        standing = Refusal(
            refusal.code,
            f"{refusal.message} The book of {state.spec.symbol} {why}: nothing is being recorded of it.",
            "orderbook_health tells how the feed stands; ask for the window again once the book is live.",
            retry_after_secs=max(RETRY_SECS, refusal.retry_after_secs or 0.0),
        )
        standing.is_passing = False
        raise standing from refusal


def history_of(runtime: Runtime) -> History:
    """Raises Refusal when there is no history to read."""
    history = runtime.archive.history
    if history is None:
        raise Refusal(
            "storage_error",
            f"History cannot be read: {runtime.archive.error or 'it is being opened'}",
            "Live tools (orderbook_l1, orderbook_l2) work; ask the operator about the data directory.",
            retry_after_secs=10.0,
        )
    return history


def storage_refusal(error: StorageError) -> Refusal:
    return Refusal(
        "storage_error",
        f"History cannot be read: {error}",
        "Live tools (orderbook_l1, orderbook_l2) work; ask again shortly.",
        retry_after_secs=10.0,
    )
