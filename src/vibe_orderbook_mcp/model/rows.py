"""The stored second of a symbol.

A second `s` covers exchange times from `s` (inclusive) to `s + 1`. Its row sums up *every* depth event and trade
of that second, so no figure from rows is limited by sampling once a second. Its `BookTop` is
the book at the end of the second. Sizes are in base units, prices and amounts in quote units, all doubles.

`gc=False`, here and for other values that are kept or come by the thousand: they refer to nothing that refers back, so
the collector, which holds up the event loop while it looks, need not look at them.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntFlag
from typing import Any, Final, cast

import msgspec

from vibe_orderbook_mcp.model.events import Side, Trade
from vibe_orderbook_mcp.model.symbol import SymbolSpec

BANDS_BPS: Final = (5, 10, 25, 50, 100)
MLOFI_LEVELS: Final = 10
STORED_LEVELS: Final = 20


class RowFlag(IntFlag):
    """Events of a second that detectors must know."""

    GAP = 1
    RESYNC = 2
    CROSSED = 4
    LOCKED = 8
    ONE_SIDED = 16
    DISCONNECTED = 32
    PARTIAL = 64  # the process started or stopped inside this second, or events of earlier ones count into it


class SideFlow(msgspec.Struct, frozen=True, gc=False):
    """Changes of the resting size of one side. Lower bounds: they net out within 100 ms frames."""

    added: float = 0.0
    cancelled: float = 0.0
    traded: float = 0.0
    add_events: int = 0
    cancel_events: int = 0
    discovered: int = 0  # levels first seen beyond the known horizon: their old size is unknown, not counted


class TouchedLevel(msgspec.Struct, frozen=True, gc=False):
    """A level that trades hit in this second, with the size it showed before, at most and at the end."""

    side: Side
    price: float
    traded: float
    trades: int
    shown_start: float
    shown_max: float
    shown_end: float


class SecondRow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The feature row. Figures that need a two-sided book are None without one."""

    second: int
    covered_ms: int  # 0..1000: how long the book was in sequence, two-sided and uncrossed
    flags: int = 0

    mid: float | None = None  # at the end of the second, like the four below
    best_bid: float | None = None
    best_ask: float | None = None
    best_bid_size: float | None = None
    best_ask_size: float | None = None
    spread_mean: float | None = None  # time-weighted, quote units
    spread_min: float | None = None
    spread_max: float | None = None

    events: int = 0
    rows: int = 0
    ids: int = 0  # book-changing actions (u - U + 1) on spot

    bid: SideFlow = SideFlow()
    ask: SideFlow = SideFlow()

    ofi: float = 0.0
    mlofi: tuple[float, ...] = ()  # sums for levels 1..10; shorter when the book is
    level_depth: tuple[float, ...] = ()  # mean over events of (bid size + ask size) / 2 at levels 1..10

    # Depth within BANDS_BPS of mid, at the end of the second. A band that reaches beyond the known book is a
    # lower bound; its bit (0 = 5 bps ... 4 = 100 bps) is set in *_truncated.
    bid_band_base: tuple[float, ...] = ()
    bid_band_quote: tuple[float, ...] = ()
    ask_band_base: tuple[float, ...] = ()
    ask_band_quote: tuple[float, ...] = ()
    bid_truncated: int = 0
    ask_truncated: int = 0

    buy_volume: float = 0.0  # aggressor buys, base units
    sell_volume: float = 0.0
    buy_quote: float = 0.0
    sell_quote: float = 0.0
    buy_trades: int = 0  # fills
    sell_trades: int = 0
    agg_trades: int = 0
    first_agg_id: int | None = None
    last_agg_id: int | None = None
    size_squares: float = 0.0  # sum of squared sizes of aggregate trades
    high: float | None = None
    low: float | None = None

    # Effective spread: sum of 2e4 * sign * (price - mid before) / mid before * size, and the
    # volume for which a mid before was known.
    effective_spread_sum: float = 0.0
    effective_spread_volume: float = 0.0

    joins_late: int = 0  # trades found in a later depth event than the first that could hold them
    joins_open: int = 0  # trades whose level did not change within 300 ms: refilled to the same size
    touched: tuple[TouchedLevel, ...] = ()


class BookTop(msgspec.Struct, frozen=True, gc=False):
    """The best levels of both sides, best first, at the end of a second."""

    event_ms: int  # of the last event applied
    last_update_id: int
    bids: tuple[tuple[float, float], ...]
    asks: tuple[tuple[float, float], ...]


class SecondRecord(msgspec.Struct, frozen=True, gc=False):
    """The record for one symbol and second, from the recorder to the store. No `top` without a book."""

    spec: SymbolSpec
    row: SecondRow
    top: BookTop | None


class TradeBatch(msgspec.Struct, frozen=True, gc=False):
    """Trades of one symbol, ascending by `agg_id`, without repeats."""

    spec: SymbolSpec
    trades: tuple[Trade, ...]


class StoredEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A finding of a detector. `evidence` has plain values: numbers, text, None, lists and dicts of them."""

    type: str
    start_ms: int
    end_ms: int | None = None  # None: it lasts
    severity: str
    rarity: float | None = None
    evidence: dict[str, Any] = {}


KEPT_SECS: Final = 3600 + 300  # the hour before the longest window of seconds, and that window


class PastRow(msgspec.Struct, frozen=True, gc=False):
    """The kept fields of a `SecondRow`, under its names. Other fields raise AttributeError."""

    second: int
    covered_ms: int
    flags: int
    mid: float | None
    ofi: float
    buy_volume: float
    sell_volume: float
    buy_quote: float
    sell_quote: float


KEPT_FIELDS: Final = PastRow.__struct_fields__


def kept(values: Iterable[Any]) -> SecondRow:
    """A row of `KEPT_FIELDS`, in their order, for functions that need only these."""
    return cast("SecondRow", PastRow(*values))
