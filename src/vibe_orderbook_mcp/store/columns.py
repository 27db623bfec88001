"""A few fields of many feature rows, without making rows of them. PURE

A row is an array of which a few entries are taken; what they stand for is worked out column by column. Values are the
very ones `decode_row` gives.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any, Final

import msgspec
import ormsgpack

from vibe_orderbook_mcp.errors import StorageCorrupt
from vibe_orderbook_mcp.store.grid import MAX_EXP, POWERS
from vibe_orderbook_mcp.store.row_codes import band_quotes, unlog_part
from vibe_orderbook_mcp.store.rows import READ_VERSIONS, RECORD, VERSION

Column = list[Any]


class Columns(msgspec.Struct, frozen=True):
    """One list for each field, all as long as `second`, ascending. `columns["mid"]` is the list of mids."""

    second: list[int]
    fields: dict[str, Column]

    def __getitem__(self, field: str) -> Column:
        return self.second if field == "second" else self.fields[field]

    def __len__(self) -> int:
        return len(self.second)


class _Field(msgspec.Struct, frozen=True):
    """What a field is made of: entries of the stored array, and how."""

    needs: tuple[str, ...]
    make: Callable[..., Column]


def known_fields() -> tuple[str, ...]:
    return ("second", *_FIELDS)


def decode_columns(values: Sequence[bytes], fields: Sequence[str]) -> dict[str, Column]:
    """`fields` by the names of `SecondRow`, a side's flow as `bid_added`. `ValueError` for one that it cannot give."""
    if unknown := [field for field in fields if field not in _FIELDS and field != "second"]:
        raise ValueError(f"{', '.join(unknown)}: not to be had as columns; {', '.join(known_fields())} are.")
    wanted = tuple(dict.fromkeys(field for field in fields if field != "second"))
    if not values:
        return {field: [] for field in wanted}
    needs = (name for field in wanted for name in _FIELDS[field].needs)
    names = tuple(dict.fromkeys(("version", "tick_exp", *needs)))  # two at least: of one, itemgetter makes no tuple
    taken = itemgetter(*(RECORD.index(name) for name in names))
    try:
        # Unpacked whole and dropped at once: quicker than to decode a part of it into an object of its own.
        columns = dict(zip(names, zip(*map(taken, map(ormsgpack.unpackb, values)), strict=True), strict=True))
        if any(version not in READ_VERSIONS for version in columns["version"]):
            raise StorageCorrupt(f"A feature row of another version; this program reads up to {VERSION}.")
        return {field: _FIELDS[field].make(*(columns[name] for name in _FIELDS[field].needs)) for field in wanted}
    except (ValueError, TypeError, IndexError, KeyError) as error:
        raise StorageCorrupt("A stored feature row cannot be read.") from error


def _plain(values: Column) -> Column:
    return list(values)


def _lots(lots: Column, exps: Column) -> Column:
    return [lot / POWERS[exp] for lot, exp in zip(lots, exps, strict=True)]


def _optional_lots(lots: Column, exps: Column) -> Column:
    return [None if lot is None else lot / POWERS[exp] for lot, exp in zip(lots, exps, strict=True)]


def _sums(parts: Column, others: Column, exps: Column) -> Column:
    return [(part + other) / POWERS[exp] for part, other, exp in zip(parts, others, exps, strict=True)]


def _asks(asks: Column, bids: Column, exps: Column) -> Column:
    return [
        None if ask is None else (ask + (bid or 0)) / POWERS[exp]
        for ask, bid, exp in zip(asks, bids, exps, strict=True)
    ]


def _mids(mids: Column, asks: Column, bids: Column, exps: Column) -> Column:
    return [
        (bid / POWERS[exp] + (bid + ask) / POWERS[exp]) / 2 if mid is True else mid
        for mid, ask, bid, exp in zip(mids, asks, bids, exps, strict=True)
    ]


def _spread_max(ranges: Column, lows: Column, exps: Column) -> Column:
    return [
        None if more is None else ((low or 0) + more) / POWERS[exp]
        for more, low, exp in zip(ranges, lows, exps, strict=True)
    ]


def _spread_mean(means: Column, lows: Column, exps: Column) -> Column:
    return [
        None if mean is None else ((low or 0) * 1000 + mean) / (POWERS[exp] * 1000)
        for mean, low, exp in zip(means, lows, exps, strict=True)
    ]


def _base(bid: int | None, ask: int | None) -> int:
    return bid if bid is not None else ask if ask is not None else 0


def _lows(lows: Column, asks: Column, bids: Column, exps: Column) -> Column:
    return [
        None if low is None else (low + _base(bid, ask)) / POWERS[exp]
        for low, ask, bid, exp in zip(lows, asks, bids, exps, strict=True)
    ]


def _highs(highs: Column, lows: Column, asks: Column, bids: Column, exps: Column) -> Column:
    return [
        None if high is None else (high + (low or 0) + _base(bid, ask)) / POWERS[exp]
        for high, low, ask, bid, exp in zip(highs, lows, asks, bids, exps, strict=True)
    ]


def _quotes(
    codes: Column, volumes: Column, lows: Column, asks: Column, bids: Column, ticks: Column, lots: Column
) -> Column:
    return [
        code
        if isinstance(code, float)
        else (code + volume * ((low or 0) + _base(bid, ask))) / (POWERS[tick + lot] if tick + lot <= MAX_EXP else 1)
        for code, volume, low, ask, bid, tick, lot in zip(codes, volumes, lows, asks, bids, ticks, lots, strict=True)
    ]


def _agg_trades(counts: Column, firsts: Column, ids: Column) -> Column:
    return [
        count + (span if first is not None and span is not None else 0)
        for count, first, span in zip(counts, firsts, ids, strict=True)
    ]


def _last_ids(ids: Column, firsts: Column) -> Column:
    return [
        span if first is None or span is None else first + span - 1 for span, first in zip(ids, firsts, strict=True)
    ]


def _bands(part: int) -> Callable[[Column, Column], Column]:
    return lambda logs, lengths: [unlog_part(log, length, part) for log, length in zip(logs, lengths, strict=True)]


def _band_quotes(part: int, sign: int) -> Callable[..., Column]:
    def make(logs: Column, lengths: Column, prices: Column, *mid: Column) -> Column:
        return [
            band_quotes(base, price, middle, sign)
            for base, price, middle in zip(_bands(part)(logs, lengths), prices, _mids(*mid), strict=True)
        ]

    return make


_MID: Final = ("mid", "ask", "bid", "tick_exp")
_BASE: Final = ("ask", "bid", "tick_exp")

_FIELDS: Final[dict[str, _Field]] = {
    **{
        name: _Field((name,), _plain)
        for name in (
            *("covered_ms", "flags", "events", "rows", "ids", "bid_truncated", "ask_truncated"),
            *("buy_trades", "sell_trades", "first_agg_id", "joins_late", "joins_open"),
            *(f"{side}_{what}" for side in ("bid", "ask") for what in ("add_events", "cancel_events", "discovered")),
        )
    },
    **{
        f"{side}_{what}": _Field((f"{side}_{what}", "lot_exp"), _lots)
        for side in ("bid", "ask")
        for what in ("added", "cancelled")
    },
    "mid": _Field(_MID, _mids),
    "best_bid": _Field(("bid", "tick_exp"), _optional_lots),
    "best_ask": _Field(_BASE, _asks),
    "best_bid_size": _Field(("bid_size", "lot_exp"), _optional_lots),
    "best_ask_size": _Field(("ask_size", "lot_exp"), _optional_lots),
    "spread_min": _Field(("spread_min", "tick_exp"), _optional_lots),
    "spread_max": _Field(("spread_range", "spread_min", "tick_exp"), _spread_max),
    "spread_mean": _Field(("spread_mean", "spread_min", "tick_exp"), _spread_mean),
    "bid_traded": _Field(("bid_traded", "sells", "lot_exp"), _sums),
    "ask_traded": _Field(("ask_traded", "buys", "lot_exp"), _sums),
    "ofi": _Field(("ofi", "mlofi_best", "lot_exp"), _sums),
    "buy_volume": _Field(("buys", "lot_exp"), _lots),
    "sell_volume": _Field(("sells", "lot_exp"), _lots),
    "buy_quote": _Field(("buy_quote", "buys", "low", *_BASE, "lot_exp"), _quotes),
    "sell_quote": _Field(("sell_quote", "sells", "low", *_BASE, "lot_exp"), _quotes),
    "agg_trades": _Field(("agg_trades", "first_agg_id", "id_span"), _agg_trades),
    "last_agg_id": _Field(("id_span", "first_agg_id"), _last_ids),
    "low": _Field(("low", *_BASE), _lows),
    "high": _Field(("high", "low", *_BASE), _highs),
    "bid_band_base": _Field(("logs", "lengths"), _bands(2)),
    "ask_band_base": _Field(("logs", "lengths"), _bands(3)),
    "bid_band_quote": _Field(("logs", "lengths", "bid_band_prices", *_MID), _band_quotes(2, -1)),
    "ask_band_quote": _Field(("logs", "lengths", "ask_band_prices", *_MID), _band_quotes(3, 1)),
}
