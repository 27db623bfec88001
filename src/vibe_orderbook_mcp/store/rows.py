"""Feature rows as bytes: a MessagePack array with a leading version. PURE

What comes back: `decode_row(second, encode_row(row)) == row`, but for

* sums of sizes (volumes, flows, `ofi`, `mlofi`): the nearest lot, so rid of floating-point noise;
* sums of price times size: the nearest 10^-(tick_exp + lot_exp), likewise;
* `spread_min`, `spread_max`: the nearest tick; `spread_mean`: a thousandth of a tick;
* `mlofi` beyond the first level, `level_depth`, the bands and `effective_spread_sum`: 0.05 %, `size_squares`: 0.1 %
  (16-bit logarithms; `mlofi` is then put on the nearest lot, and a band's mean price keeps 1/500 of the band's
  width). They are regressed on, normalised with and compared, never told to the last lot; exact they would cost 55
  bytes of every second.

Prices, sizes of single levels, counts and ids are exact. The second itself is in the key.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any, Final

import ormsgpack

from vibe_orderbook_mcp.core.rows import BANDS_BPS, SecondRow, SideFlow, TouchedLevel
from vibe_orderbook_mcp.errors import StorageCorrupt
from vibe_orderbook_mcp.store.grid import MAX_EXP, POWERS, exact_exp, sum_exp, to_exact_steps, to_steps

VERSION: Final = 1

_EXACT: Final = 2**53
_MEAN_STEPS: Final = 1000  # spread_mean counts thousandths of a tick
_PRICE_STEPS: Final = 255  # a band's mean price, from mid (0) to the band's edge

# A 16-bit logarithm: 0 is 0.0, n is e^((n - 1) / SCALE + LOWEST). From 1e-9 to 1e14, 0.04 % at most from the value.
_LOWEST: Final = math.log(1e-9)
_SCALE: Final = 65_534 / (math.log(1e14) - _LOWEST)
_LOG_VALUES: Final = (0.0, *(math.exp(code / _SCALE + _LOWEST) for code in range(65_535)))


def encode_row(row: SecondRow, *, tick_exp: int, lot_exp: int) -> bytes:
    prices = [p for p in (row.best_bid, row.best_ask, row.high, row.low) if p is not None]
    prices += [level.price for level in row.touched]
    tick_exp = exact_exp(prices, tick_exp)
    sizes = [s for s in (row.best_bid_size, row.best_ask_size) if s is not None]
    sums = [row.ofi, *row.mlofi, row.buy_volume, row.sell_volume, row.effective_spread_volume]
    for flow in (row.bid, row.ask):
        sums += (flow.added, flow.cancelled, flow.traded)
    for level in row.touched:
        sizes += (level.shown_start, level.shown_max, level.shown_end)
        sums.append(level.traded)
    lot_exp = sum_exp(sums, exact_exp(sizes, lot_exp))

    (bid, ask, high, low), (bid_size, ask_size) = (
        _optional_steps((row.best_bid, row.best_ask, row.high, row.low), tick_exp),
        _optional_steps((row.best_bid_size, row.best_ask_size), lot_exp),
    )
    base = _first(bid, ask)
    reference = _first(low, base)
    buys, sells = to_steps(row.buy_volume, lot_exp), to_steps(row.sell_volume, lot_exp)
    mlofi = [to_steps(value, lot_exp) for value in row.mlofi]
    approximate = (
        [abs(value) for value in row.mlofi],
        row.level_depth,
        row.bid_band_base,
        row.ask_band_base,
        (math.sqrt(row.size_squares), abs(row.effective_spread_sum)),
    )
    ids = None if row.first_agg_id is None or row.last_agg_id is None else row.last_agg_id - row.first_agg_id + 1
    return ormsgpack.packb(
        [
            VERSION,
            tick_exp,
            lot_exp,
            row.covered_ms,
            row.flags,
            _mid_code(row),
            bid,
            _minus(ask, _first(bid)),
            bid_size,
            ask_size,
            *_spread_codes(row, tick_exp),
            row.events,
            row.rows,
            row.ids,
            *_flow_codes(row.bid, sells, lot_exp),
            *_flow_codes(row.ask, buys, lot_exp),
            mlofi[0] if mlofi else 0,
            to_steps(row.ofi, lot_exp) - (mlofi[0] if mlofi else 0),
            sum(1 << index for index, value in enumerate(mlofi) if value < 0),
            [len(part) for part in approximate],
            _logs([value for part in approximate for value in part]),
            _band_prices(row.bid_band_base, row.bid_band_quote, row.mid, -1),
            _band_prices(row.ask_band_base, row.ask_band_quote, row.mid, 1),
            row.bid_truncated,
            row.ask_truncated,
            buys,
            sells,
            _quote_code(row.buy_quote, buys * reference, tick_exp + lot_exp),
            _quote_code(row.sell_quote, sells * reference, tick_exp + lot_exp),
            row.buy_trades,
            row.sell_trades,
            row.first_agg_id,
            row.last_agg_id if ids is None else ids,
            row.agg_trades - (ids or 0),
            _minus(low, base),
            _minus(high, reference),
            row.effective_spread_sum < 0,
            to_steps(row.effective_spread_volume, lot_exp) - buys - sells,
            row.joins_late,
            row.joins_open,
            _touched_columns(row.touched, reference, tick_exp, lot_exp),
        ]
    )


def decode_row(second: int, data: bytes) -> SecondRow:
    try:
        record: list[Any] = ormsgpack.unpackb(data)
        if record[0] != VERSION:
            raise StorageCorrupt(f"A feature row of version {record[0]!r}; this program reads version {VERSION}.")
        return _decode(second, record)
    except (ValueError, TypeError, IndexError, KeyError, struct.error) as error:
        raise StorageCorrupt("A stored feature row cannot be read.") from error


def _decode(second: int, record: list[Any]) -> SecondRow:  # the mirror of encode_row, in its order
    (
        _,
        tick_exp,
        lot_exp,
        covered_ms,
        flags,
        mid,
        bid,
        ask,
        bid_size,
        ask_size,
        spread_min,
        spread_range,
        spread_mean,
        events,
        rows,
        ids,
        bid_added,
        bid_cancelled,
        bid_traded,
        bid_add_events,
        bid_cancel_events,
        bid_discovered,
        ask_added,
        ask_cancelled,
        ask_traded,
        ask_add_events,
        ask_cancel_events,
        ask_discovered,
        mlofi_best,
        ofi,
        mlofi_signs,
        lengths,
        logs,
        bid_band_prices,
        ask_band_prices,
        bid_truncated,
        ask_truncated,
        buys,
        sells,
        buy_quote,
        sell_quote,
        buy_trades,
        sell_trades,
        first_agg_id,
        id_span,
        agg_trades,
        low,
        high,
        effective_negative,
        effective_volume,
        joins_late,
        joins_open,
        touched,
    ) = record
    tick, lot = POWERS[tick_exp], POWERS[lot_exp]
    ask = _plus(ask, _first(bid))
    base = _first(bid, ask)
    low = _plus(low, base)
    reference = _first(low, base)
    high = _plus(high, reference)
    best_bid = None if bid is None else bid / tick
    best_ask = None if ask is None else ask / tick
    if mid is True and best_bid is not None and best_ask is not None:
        mid = (best_bid + best_ask) / 2
    quote = POWERS[tick_exp + lot_exp] if tick_exp + lot_exp <= MAX_EXP else 1
    mlofi, level_depth, bid_band_base, ask_band_base, (size_norm, effective_sum) = _parts(_unlog(logs), lengths)
    if first_agg_id is not None and id_span is not None:
        agg_trades += id_span
        id_span += first_agg_id - 1
    return SecondRow(
        second=second,
        covered_ms=covered_ms,
        flags=flags,
        mid=mid,
        best_bid=best_bid,
        best_ask=best_ask,
        best_bid_size=None if bid_size is None else bid_size / lot,
        best_ask_size=None if ask_size is None else ask_size / lot,
        spread_min=None if spread_min is None else spread_min / tick,
        spread_max=None if spread_range is None else ((spread_min or 0) + spread_range) / tick,
        spread_mean=None
        if spread_mean is None
        else ((spread_min or 0) * _MEAN_STEPS + spread_mean) / (tick * _MEAN_STEPS),
        events=events,
        rows=rows,
        ids=ids,
        bid=SideFlow(
            bid_added / lot,
            bid_cancelled / lot,
            (bid_traded + sells) / lot,
            bid_add_events,
            bid_cancel_events,
            bid_discovered,
        ),
        ask=SideFlow(
            ask_added / lot,
            ask_cancelled / lot,
            (ask_traded + buys) / lot,
            ask_add_events,
            ask_cancel_events,
            ask_discovered,
        ),
        ofi=(ofi + mlofi_best) / lot,
        mlofi=_mlofi(mlofi, mlofi_signs, mlofi_best, lot),
        level_depth=level_depth,
        bid_band_base=bid_band_base,
        bid_band_quote=_band_quotes(bid_band_base, bid_band_prices, mid, -1),
        ask_band_base=ask_band_base,
        ask_band_quote=_band_quotes(ask_band_base, ask_band_prices, mid, 1),
        bid_truncated=bid_truncated,
        ask_truncated=ask_truncated,
        buy_volume=buys / lot,
        sell_volume=sells / lot,
        buy_quote=buy_quote if isinstance(buy_quote, float) else (buy_quote + buys * reference) / quote,
        sell_quote=sell_quote if isinstance(sell_quote, float) else (sell_quote + sells * reference) / quote,
        buy_trades=buy_trades,
        sell_trades=sell_trades,
        agg_trades=agg_trades,
        first_agg_id=first_agg_id,
        last_agg_id=id_span,
        size_squares=size_norm * size_norm,
        high=None if high is None else high / tick,
        low=None if low is None else low / tick,
        effective_spread_sum=-effective_sum if effective_negative else effective_sum,
        effective_spread_volume=(effective_volume + buys + sells) / lot,
        joins_late=joins_late,
        joins_open=joins_open,
        touched=_touched_levels(touched, reference, tick, lot) if touched else (),
    )


# --- prices ---------------------------------------------------------------------------------------------------


def _optional_steps(values: Sequence[float | None], exp: int) -> list[int | None]:
    return [None if value is None else to_exact_steps((value,), exp)[0] for value in values]


def _first(*values: int | None) -> int:
    return next((value for value in values if value is not None), 0)


def _minus(value: int | None, base: int) -> int | None:
    return None if value is None else value - base


def _plus(value: int | None, base: int) -> int | None:
    return None if value is None else value + base


def _mid_code(row: SecondRow) -> float | bool | None:
    """True when it is what the best prices say, to the bit."""
    if row.best_bid is None or row.best_ask is None or row.mid is None:
        return row.mid
    return True if row.mid == (row.best_bid + row.best_ask) / 2 else row.mid


def _spread_codes(row: SecondRow, tick_exp: int) -> tuple[int | None, int | None, int | None]:
    low = None if row.spread_min is None else to_steps(row.spread_min, tick_exp)
    high = None if row.spread_max is None else to_steps(row.spread_max, tick_exp)
    mean = None if row.spread_mean is None else round(row.spread_mean * POWERS[tick_exp] * _MEAN_STEPS)
    return low, _minus(high, low or 0), _minus(mean, (low or 0) * _MEAN_STEPS)


def _quote_code(amount: float, expected: int, exp: int) -> int | float:
    """What a sum of price times size exceeds `expected` by; 0 for a second that traded at one price."""
    if exp > MAX_EXP or abs(units := amount * POWERS[exp]) >= _EXACT or abs(expected) >= _EXACT:
        return amount
    return round(units) - expected


# --- sizes ----------------------------------------------------------------------------------------------------


def _flow_codes(flow: SideFlow, expected_traded: int, lot_exp: int) -> tuple[int, int, int, int, int, int]:
    """What rests on the bid is traded by sellers: the two volumes are the same but for late joins."""
    return (
        to_steps(flow.added, lot_exp),
        to_steps(flow.cancelled, lot_exp),
        to_steps(flow.traded, lot_exp) - expected_traded,
        flow.add_events,
        flow.cancel_events,
        flow.discovered,
    )


def _logs(values: Sequence[float]) -> bytes:
    """Low bytes, then high bytes: the high ones hardly change from second to second."""
    codes = [
        0 if value <= 0 else max(1, min(65_535, round((math.log(value) - _LOWEST) * _SCALE) + 1)) for value in values
    ]
    packed = struct.pack(f"<{len(codes)}H", *codes)
    return packed[::2] + packed[1::2]


def _unlog(data: bytes) -> list[float]:
    half = len(data) // 2
    packed = bytearray(len(data))
    packed[::2], packed[1::2] = data[:half], data[half:]
    return [_LOG_VALUES[code] for code in struct.unpack(f"<{half}H", packed)]


def _parts(values: list[float], lengths: Sequence[int]) -> list[tuple[float, ...]]:
    ends = list(accumulate(lengths, initial=0))
    return [tuple(values[start:end]) for start, end in pairwise(ends)]


def _mlofi(sizes: Sequence[float], signs: int, best: int, lot: int) -> tuple[float, ...]:
    if not sizes:
        return ()
    rest = [round(-size * lot if signs >> index & 1 else size * lot) / lot for index, size in enumerate(sizes)]
    return (best / lot, *rest[1:])


def _band_prices(bases: Sequence[float], quotes: Sequence[float], mid: float | None, sign: int) -> bytes | list[float]:
    """How far from mid the mean price of each band lies; the amounts themselves where that does not say it."""
    if mid is not None and mid > 0 and len(bases) == len(quotes) == len(BANDS_BPS):
        away = [
            round((quote / base / mid - 1) * sign * 1e4 / width * _PRICE_STEPS) if base > 0 else 0
            for base, quote, width in zip(bases, quotes, BANDS_BPS, strict=True)
        ]
        if all(0 <= code <= _PRICE_STEPS for code in away) and not any(
            quote and base <= 0 for base, quote in zip(bases, quotes, strict=True)
        ):
            return bytes(away)
    return list(quotes)


def _band_quotes(
    bases: Sequence[float], prices: bytes | list[float], mid: float | None, sign: int
) -> tuple[float, ...]:
    if not isinstance(prices, bytes) or mid is None:
        return tuple(float(price) for price in prices)
    return tuple(
        [
            base * mid * (1 + sign * code * width / (1e4 * _PRICE_STEPS))
            for base, code, width in zip(bases, prices, BANDS_BPS, strict=True)
        ]
    )


# --- touched levels: columns compress better than rows --------------------------------------------------------


def _touched_columns(levels: Sequence[TouchedLevel], base: int, tick_exp: int, lot_exp: int) -> list[list[int]]:
    if not levels:
        return []
    columns: list[list[int]] = [[], [], [], [], [], []]
    before = base
    for level, price in zip(levels, to_exact_steps([level.price for level in levels], tick_exp), strict=True):
        start, most, end = to_exact_steps((level.shown_start, level.shown_max, level.shown_end), lot_exp)
        traded = to_steps(level.traded, lot_exp)
        codes = ((price - before) * 2 + (level.side == "ask"), traded, level.trades, start - traded, most - start, end)
        for column, code in zip(columns, codes, strict=True):
            column.append(code)
        before = price
    return columns


def _touched_levels(columns: list[list[int]], base: int, tick: int, lot: int) -> tuple[TouchedLevel, ...]:
    levels = []
    price = base
    for code, traded, trades, rest, rise, end in zip(*columns, strict=True):
        price += code >> 1
        start = rest + traded
        levels.append(
            TouchedLevel(
                "ask" if code & 1 else "bid",
                price / tick,
                traded / lot,
                trades,
                start / lot,
                (start + rise) / lot,
                end / lot,
            )
        )
    return tuple(levels)
