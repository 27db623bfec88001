"""Asking for an instrument: it is subscribed when nobody has asked for it before, and waited for."""

from __future__ import annotations

import asyncio
import time

from vibe_orderbook_mcp.collect.places import NoRoom
from vibe_orderbook_mcp.collect.runtime import Runtime
from vibe_orderbook_mcp.market.chronicle import DELISTED
from vibe_orderbook_mcp.market.owner import InstrumentOwner
from vibe_orderbook_mcp.model.errors import ExchangeError, InexactSymbol, RateLimited, Refusal, SymbolUnknown
from vibe_orderbook_mcp.model.instrument import Instrument
from vibe_orderbook_mcp.model.moment import Moment
from vibe_orderbook_mcp.model.refusals import RETRY_SECS, not_listed, not_live

ANSWER_SECS = 4.5  # a first use is answered or refused within 5 s


async def live_owner(runtime: Runtime, symbol: str) -> InstrumentOwner:
    """The instrument with a proven book. Raises Refusal when there is none in time."""
    deadline = time.monotonic() + ANSWER_SECS
    owner = known_owner(runtime, symbol) or await _subscribe(runtime, symbol, deadline)
    symbol = owner.spec.symbol  # a bare asset stands for its pair
    if owner.book is None and owner.trading != DELISTED:  # waiting for one that is delisted does not help
        await runtime.exchanges.feed(symbol).wait_live(symbol, max(0.0, deadline - time.monotonic()))
        owner = runtime.market.symbols.get(symbol, owner)  # a change of the grid brings another one
    if owner.book is None:
        raise not_live(moment_of(runtime, owner))
    return owner


def known_owner(runtime: Runtime, symbol: str) -> InstrumentOwner | None:
    """The instrument if it is subscribed; a question keeps it subscribed."""
    runtime.places.ask(symbol, time.monotonic())
    return runtime.market.symbols.get(symbol)


def moment_of(runtime: Runtime, owner: InstrumentOwner) -> Moment:
    feed = runtime.exchanges.of_venue(owner.spec.instrument.venue).feed
    return owner.moment(time.monotonic_ns(), None if feed.is_connected else feed.last_error or "no connection yet")


async def _subscribe(runtime: Runtime, symbol: str, deadline: float) -> InstrumentOwner:
    try:
        # Not `wait_for`: on Python 3.11 it begins a moment later, and calls of that moment would not count each other.
        async with asyncio.timeout(max(0.1, deadline - time.monotonic())):
            feed = runtime.exchanges.feed(symbol)
            symbol = await feed.listed(symbol)
            _make_room(runtime, symbol)
            await feed.subscribe(symbol)
    except SymbolUnknown as error:
        raise not_listed(Instrument.of(symbol), runtime.exchanges.feed(symbol).listing) from error
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
