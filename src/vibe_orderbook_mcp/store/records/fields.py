"""The fields of a stored second: one table of the entries of its array and of the fields in them. PURE

This is the only place that names a stored field. `rows` writes and reads by it, and the page on the layout is made from
it. A new field is appended with its first version (`since`), so that older rows remain readable.

An entry is written by `write(row, steps)`. A field is read from the columns of some entries, for many rows at once; a
value is the same to the bit whether one field is read or all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from vibe_orderbook_mcp.model.rows import BANDS_BPS, SecondRow
from vibe_orderbook_mcp.store.records import row_codes as codes
from vibe_orderbook_mcp.store.records.grid import MAX_EXP, POWERS
from vibe_orderbook_mcp.store.records.row_steps import RowSteps

VERSION: Final = 2
READ_VERSIONS: Final = (1, 2)

Column = list[Any]
Write = Callable[[SecondRow, RowSteps], object]
Read = Callable[..., Column]

EXACT: Final = "exact"
NEAREST_TICK: Final = "nearest tick"
NEAREST_LOT: Final = "nearest lot: without the noise of a sum of doubles"
NEAREST_PRODUCT: Final = "nearest tick times lot: without the noise of a sum of doubles"
LOG_16: Final = "0.05 %: a 16-bit logarithm"
LOG_12: Final = "0.4 %: a 12-bit logarithm of its share of the greatest level"
BAND_PRICE: Final = "0.085 %: the size's 16-bit logarithm, and its mean price to 1/30 of the band's width"


class Field(msgspec.Struct, frozen=True):
    """A field of `SecondRow`; one of a side's flow is called `bid_added`."""

    name: str
    unit: str
    needs: tuple[str, ...]  # entries, or columns of `DERIVED`
    read: Read
    rounding: str = EXACT


class Entry(msgspec.Struct, frozen=True):
    """An entry in the array of a stored second. `write` is a name if the entry is that attribute of the row."""

    name: str
    write: Write | str
    fields: tuple[Field, ...] = ()
    since: int = 1


# --- columns to values -------------------------------------------------------------------------------------------


def _plain(values: Column) -> Column:
    return list(values)


def _steps(steps: Column, exps: Column) -> Column:
    return [None if step is None else step / POWERS[exp] for step, exp in zip(steps, exps, strict=True)]


def _lots(lots: Column, exps: Column) -> Column:
    return [lot / POWERS[exp] for lot, exp in zip(lots, exps, strict=True)]


def _sums(parts: Column, others: Column, exps: Column) -> Column:
    return [(part + other) / POWERS[exp] for part, other, exp in zip(parts, others, exps, strict=True)]


def _taker_volumes(more: Column, buys: Column, sells: Column, exps: Column) -> Column:
    return [(a + b + c) / POWERS[exp] for a, b, c, exp in zip(more, buys, sells, exps, strict=True)]


def _asks(asks: Column, bids: Column, exps: Column) -> Column:
    return [
        None if ask is None else (ask + (bid or 0)) / POWERS[exp]
        for ask, bid, exp in zip(asks, bids, exps, strict=True)
    ]


def _bases(asks: Column, bids: Column) -> Column:
    """The step from which other prices of the second are counted."""
    return [bid if bid is not None else ask if ask is not None else 0 for ask, bid in zip(asks, bids, strict=True)]


def _references(lows: Column, bases: Column) -> Column:
    return [base if low is None else low + base for low, base in zip(lows, bases, strict=True)]


def _from(steps: Column, bases: Column, exps: Column) -> Column:
    return [
        None if step is None else (step + base) / POWERS[exp]
        for step, base, exp in zip(steps, bases, exps, strict=True)
    ]


def _mids(mids: Column, asks: Column, bids: Column, exps: Column) -> Column:
    return [
        (bid / POWERS[exp] + (bid + ask) / POWERS[exp]) / 2 if mid is True else mid
        for mid, ask, bid, exp in zip(mids, asks, bids, exps, strict=True)
    ]


def _wider(ranges: Column, lows: Column, exps: Column) -> Column:
    return [
        None if more is None else ((low or 0) + more) / POWERS[exp]
        for more, low, exp in zip(ranges, lows, exps, strict=True)
    ]


def _mean_spreads(means: Column, lows: Column, exps: Column) -> Column:
    return [
        None if mean is None else ((low or 0) * codes.MEAN_STEPS + mean) / (POWERS[exp] * codes.MEAN_STEPS)
        for mean, low, exp in zip(means, lows, exps, strict=True)
    ]


def _quotes(amounts: Column, volumes: Column, references: Column, ticks: Column, lots: Column) -> Column:
    return [
        code
        if isinstance(code, float)
        else (code + volume * reference) / (POWERS[tick + lot] if tick + lot <= MAX_EXP else 1)
        for code, volume, reference, tick, lot in zip(amounts, volumes, references, ticks, lots, strict=True)
    ]


def _counts_by_id(counts: Column, firsts: Column, spans: Column) -> Column:
    return [
        count + (span if first is not None and span is not None else 0)
        for count, first, span in zip(counts, firsts, spans, strict=True)
    ]


def _last_ids(spans: Column, firsts: Column) -> Column:
    return [
        span if first is None or span is None else first + span - 1 for span, first in zip(spans, firsts, strict=True)
    ]


def _log_part(part: int) -> Read:
    return lambda logs, lengths: [
        codes.unlog_part(log, length, part) for log, length in zip(logs, lengths, strict=True)
    ]


def _band_quotes(sign: int) -> Read:
    return lambda bases, prices, mids: [
        codes.band_quotes(base, price, mid, sign) for base, price, mid in zip(bases, prices, mids, strict=True)
    ]


def _squares(norms: Column) -> Column:
    return [norm * norm for norm, _ in norms]


def _signed(norms: Column, negatives: Column) -> Column:
    return [-size if negative else size for (_, size), negative in zip(norms, negatives, strict=True)]


def _level_sums(levels: Column, logs: Column, lengths: Column) -> Column:
    """(imbalance, depth) by level. In version 1 they are among the logarithms."""
    return [
        codes.unshare(each, 2)
        if each is not None
        else [codes.unlog_part(log, length, 0), codes.unlog_part(log, length, 1)]
        for each, log, length in zip(levels, logs, lengths, strict=True)
    ]


def _imbalances(sums: Column, signs: Column, bests: Column, exps: Column) -> Column:
    return [
        codes.mlofi(sizes, sign, best, POWERS[exp])
        for (sizes, _), sign, best, exp in zip(sums, signs, bests, exps, strict=True)
    ]


def _depths(sums: Column) -> Column:
    return [depth for _, depth in sums]


def _touched(levels: Column, references: Column, ticks: Column, lots: Column) -> Column:
    return [
        codes.touched_levels(each, reference, POWERS[tick], POWERS[lot]) if each else ()
        for each, reference, tick, lot in zip(levels, references, ticks, lots, strict=True)
    ]


# Columns shared by several fields -> their inputs and function.
DERIVED: Final[dict[str, tuple[tuple[str, ...], Read]]] = {
    "base": (("ask", "bid"), _bases),
    "reference": (("low", "base"), _references),
    "price": (("mid", "ask", "bid", "tick_exp"), _mids),
    "bid_sizes": (("logs", "lengths"), _log_part(2)),
    "ask_sizes": (("logs", "lengths"), _log_part(3)),
    "norms": (("logs", "lengths"), _log_part(4)),
    "level_sums": (("levels", "logs", "lengths"), _level_sums),
}


# --- the table ---------------------------------------------------------------------------------------------------


def _count(name: str, unit: str, attribute: str = "") -> Entry:
    """A whole number, stored as it is."""
    return Entry(name, attribute or name, (Field(name, unit, (name,), _plain),))


def _flow(side: str) -> tuple[Entry, ...]:
    """One side's flow. Its traded size is the other side's taker volume, apart from late joins."""
    at, takers = (0, "sells") if side == "bid" else (3, "buys")
    added, cancelled, traded = f"{side}_added", f"{side}_cancelled", f"{side}_traded"
    return (
        Entry(added, lambda _, s: s.flows[at], (Field(added, "base", (added, "lot_exp"), _lots, NEAREST_LOT),)),
        Entry(
            cancelled,
            lambda _, s: s.flows[at + 1],
            (Field(cancelled, "base", (cancelled, "lot_exp"), _lots, NEAREST_LOT),),
        ),
        Entry(
            traded,
            lambda _, s: s.flows[at + 2] - (s.sells if side == "bid" else s.buys),
            (Field(traded, "base", (traded, takers, "lot_exp"), _sums, NEAREST_LOT),),
        ),
        _count(f"{side}_add_events", "level changes", f"{side}.add_events"),
        _count(f"{side}_cancel_events", "level changes", f"{side}.cancel_events"),
        _count(f"{side}_discovered", "levels", f"{side}.discovered"),
    )


def _logarithms(row: SecondRow) -> tuple[Sequence[float], ...]:
    # The first two are empty since version 2 (`levels`): entries of version 1 keep their places.
    return (), (), row.bid_band_base, row.ask_band_base, (math.sqrt(row.size_squares), abs(row.effective_spread_sum))


ENTRIES: Final[tuple[Entry, ...]] = (
    Entry("version", lambda _, __: VERSION),
    Entry("tick_exp", lambda _, s: s.tick_exp),
    Entry("lot_exp", lambda _, s: s.lot_exp),
    _count("covered_ms", "ms"),
    _count("flags", "bits of `RowFlag`"),
    Entry("mid", lambda row, _: codes.mid_code(row), (Field("mid", "quote", ("price",), _plain),)),
    Entry("bid", lambda _, s: s.bid, (Field("best_bid", "quote", ("bid", "tick_exp"), _steps),)),
    Entry(
        "ask",
        lambda _, s: codes.minus(s.ask, codes.first(s.bid)),
        (Field("best_ask", "quote", ("ask", "bid", "tick_exp"), _asks),),
    ),
    Entry("bid_size", lambda _, s: s.bid_size, (Field("best_bid_size", "base", ("bid_size", "lot_exp"), _steps),)),
    Entry("ask_size", lambda _, s: s.ask_size, (Field("best_ask_size", "base", ("ask_size", "lot_exp"), _steps),)),
    Entry(
        "spread_min",
        lambda _, s: s.spreads[0],
        (Field("spread_min", "quote", ("spread_min", "tick_exp"), _steps, NEAREST_TICK),),
    ),
    Entry(
        "spread_range",
        lambda _, s: s.spreads[1],
        (Field("spread_max", "quote", ("spread_range", "spread_min", "tick_exp"), _wider, NEAREST_TICK),),
    ),
    Entry(
        "spread_mean",
        lambda _, s: s.spreads[2],
        (
            Field(
                "spread_mean",
                "quote",
                ("spread_mean", "spread_min", "tick_exp"),
                _mean_spreads,
                f"1/{codes.MEAN_STEPS} tick",
            ),
        ),
    ),
    _count("events", "depth events"),
    _count("rows", "level changes"),
    _count("ids", "book-changing actions"),
    *_flow("bid"),
    *_flow("ask"),
    Entry("mlofi_best", lambda _, s: s.best),
    Entry(
        "ofi",
        lambda _, s: s.ofi - s.best,
        (Field("ofi", "base", ("ofi", "mlofi_best", "lot_exp"), _sums, NEAREST_LOT),),
    ),
    Entry(
        "mlofi_signs",
        lambda _, s: sum(1 << index for index, value in enumerate(s.mlofi) if value < 0),
        (
            Field(
                "mlofi",
                "base, by level",
                ("level_sums", "mlofi_signs", "mlofi_best", "lot_exp"),
                _imbalances,
                f"{LOG_12}, on the nearest lot; the first level exact",
            ),
        ),
    ),
    Entry("lengths", lambda row, _: [len(part) for part in _logarithms(row)]),
    Entry(
        "logs",
        lambda row, _: codes.logs([value for part in _logarithms(row) for value in part]),
        (
            Field("bid_band_base", "base, by band", ("bid_sizes",), _plain, LOG_16),
            Field("ask_band_base", "base, by band", ("ask_sizes",), _plain, LOG_16),
            Field("size_squares", "base squared", ("norms",), _squares, f"twice {LOG_16}"),
        ),
    ),
    Entry(
        "bid_band_prices",
        lambda row, _: codes.band_prices(row.bid_band_base, row.bid_band_quote, row.mid, -1),
        (
            Field(
                "bid_band_quote",
                "quote, by band",
                ("bid_sizes", "bid_band_prices", "price"),
                _band_quotes(-1),
                BAND_PRICE,
            ),
        ),
    ),
    Entry(
        "ask_band_prices",
        lambda row, _: codes.band_prices(row.ask_band_base, row.ask_band_quote, row.mid, 1),
        (
            Field(
                "ask_band_quote",
                "quote, by band",
                ("ask_sizes", "ask_band_prices", "price"),
                _band_quotes(1),
                BAND_PRICE,
            ),
        ),
    ),
    _count("bid_truncated", f"bits, from {BANDS_BPS[0]} bps on"),
    _count("ask_truncated", f"bits, from {BANDS_BPS[0]} bps on"),
    Entry("buys", lambda _, s: s.buys, (Field("buy_volume", "base", ("buys", "lot_exp"), _lots, NEAREST_LOT),)),
    Entry("sells", lambda _, s: s.sells, (Field("sell_volume", "base", ("sells", "lot_exp"), _lots, NEAREST_LOT),)),
    Entry(
        "buy_quote",
        lambda row, s: codes.quote_code(row.buy_quote, s.buys * s.reference, s.tick_exp + s.lot_exp),
        (
            Field(
                "buy_quote",
                "quote",
                ("buy_quote", "buys", "reference", "tick_exp", "lot_exp"),
                _quotes,
                NEAREST_PRODUCT,
            ),
        ),
    ),
    Entry(
        "sell_quote",
        lambda row, s: codes.quote_code(row.sell_quote, s.sells * s.reference, s.tick_exp + s.lot_exp),
        (
            Field(
                "sell_quote",
                "quote",
                ("sell_quote", "sells", "reference", "tick_exp", "lot_exp"),
                _quotes,
                NEAREST_PRODUCT,
            ),
        ),
    ),
    _count("buy_trades", "fills"),
    _count("sell_trades", "fills"),
    _count("first_agg_id", "id"),
    Entry(
        "id_span",
        lambda row, s: row.last_agg_id if s.ids is None else s.ids,
        (Field("last_agg_id", "id", ("id_span", "first_agg_id"), _last_ids),),
    ),
    Entry(
        "agg_trades",
        lambda row, s: row.agg_trades - (s.ids or 0),
        (Field("agg_trades", "aggregate trades", ("agg_trades", "first_agg_id", "id_span"), _counts_by_id),),
    ),
    Entry(
        "low",
        lambda _, s: codes.minus(s.low, s.base),
        (Field("low", "quote", ("low", "base", "tick_exp"), _from),),
    ),
    Entry(
        "high",
        lambda _, s: codes.minus(s.high, s.reference),
        (Field("high", "quote", ("high", "reference", "tick_exp"), _from),),
    ),
    Entry(
        "effective_negative",
        lambda row, _: row.effective_spread_sum < 0,
        (Field("effective_spread_sum", "bps times base", ("norms", "effective_negative"), _signed, LOG_16),),
    ),
    Entry(
        "effective_volume",
        lambda _, s: s.effective_volume - s.buys - s.sells,
        (
            Field(
                "effective_spread_volume",
                "base",
                ("effective_volume", "buys", "sells", "lot_exp"),
                _taker_volumes,
                NEAREST_LOT,
            ),
        ),
    ),
    _count("joins_late", "trades"),
    _count("joins_open", "trades"),
    Entry(
        "touched",
        lambda row, s: codes.touched_columns(
            row.touched, s.touched_prices, s.touched_sizes, s.touched_traded, s.reference
        ),
        (Field("touched", "levels", ("touched", "reference", "tick_exp", "lot_exp"), _touched, "traded: nearest lot"),),
    ),
    Entry(
        "levels",
        lambda row, _: codes.shares([0.0, *map(abs, row.mlofi[1:])] if row.mlofi else (), row.level_depth),
        (Field("level_depth", "base, by level", ("level_sums",), _depths, LOG_12),),
        since=2,
    ),
)

FIELDS: Final[dict[str, Field]] = {field.name: field for entry in ENTRIES for field in entry.fields}
PLACES: Final[dict[str, int]] = {entry.name: place for place, entry in enumerate(ENTRIES)}
LENGTHS: Final = {version: sum(entry.since <= version for entry in ENTRIES) for version in READ_VERSIONS}
