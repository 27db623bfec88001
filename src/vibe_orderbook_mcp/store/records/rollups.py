"""Roll-ups: trades summed up by price for volume profiles, per minute and per hour. PURE

Whole numbers only. Prices count in 10^-tick_exp, sizes in 10^-lot_exp, and amounts in 10^-(tick_exp + lot_exp). Bin
`b` holds the prices from `b * width_ticks` (inclusive) to `(b + 1) * width_ticks`: anchored at zero, so
bins of all blocks of a symbol coincide, and a bin of a multiple of this width is a sum of these bins.

On disk, one MessagePack array:

    [1, width_ticks, tick_exp, lot_exp, trades, fills, buy lots, sell lots, buy quote less buy lots * low, sell quote
     less sell lots * low, low, high less low, first price less low, last price less low, first agg_id, last agg_id less
    first,
     first time_ms, last time_ms less first, columns...]

Columns, one entry for each bin with trades: its distance above the one before (the first is the bin of `low`), buy
lots, sell lots, trades.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any, Final

import msgspec
import ormsgpack

from vibe_orderbook_mcp.model.errors import StorageCorrupt
from vibe_orderbook_mcp.model.events import Trade
from vibe_orderbook_mcp.store.records.packing import number, pack, to_number, unpack
from vibe_orderbook_mcp.store.records.trades import to_integers

VERSION: Final = 1
HOUR: Final = 3600

_BASE_WIDTH: Final = 1.5e-5  # 0.15 bp of the price: 1 USD at 65 000

Bin = tuple[int, int, int]  # buy lots, sell lots, aggregate trades


class RollGrid(msgspec.Struct, frozen=True):
    """The grid of a symbol's roll-ups, fixed at its first use. Since the second `floor` blocks are complete."""

    width_ticks: int
    tick_exp: int
    floor: int = 0


class TradeSums(msgspec.Struct, kw_only=True):
    """The sums of the trades of a window. First and last are by id; all None without trades."""

    tick_exp: int
    lot_exp: int
    trades: int = 0  # aggregate ones
    fills: int = 0
    buy_lots: int = 0  # aggressor buys
    sell_lots: int = 0
    buy_quote_units: int = 0
    sell_quote_units: int = 0
    high_ticks: int | None = None
    low_ticks: int | None = None
    first_ticks: int | None = None
    last_ticks: int | None = None
    first_agg_id: int | None = None
    last_agg_id: int | None = None
    first_ms: int | None = None  # time of the first trade
    last_ms: int | None = None

    @property
    def buy_volume(self) -> float:
        return self.buy_lots / int(10**self.lot_exp)

    @property
    def sell_volume(self) -> float:
        return self.sell_lots / int(10**self.lot_exp)

    @property
    def buy_quote(self) -> float:
        return self.buy_quote_units / int(10 ** (self.tick_exp + self.lot_exp))

    @property
    def sell_quote(self) -> float:
        return self.sell_quote_units / int(10 ** (self.tick_exp + self.lot_exp))

    @property
    def high(self) -> float | None:
        return None if self.high_ticks is None else self.high_ticks / int(10**self.tick_exp)

    @property
    def low(self) -> float | None:
        return None if self.low_ticks is None else self.low_ticks / int(10**self.tick_exp)

    @property
    def missing_ids(self) -> int:
        """Missing ids between the first and the last trade."""
        if self.first_agg_id is None or self.last_agg_id is None:
            return 0
        return self.last_agg_id - self.first_agg_id + 1 - self.trades


class PriceRollup(TradeSums, kw_only=True):
    """The same by price: `bins[b]` are buy lots, sell lots and trades from `b * width_ticks` to the next bin."""

    width_ticks: int
    bins: dict[int, Bin] = {}


def grid_for(price: float, tick_exp: int) -> RollGrid:
    """The power of ten nearest to 0.15 bp of the price, at least a tick.

    A power of ten, so that every wider bin of the series 1, 2, 5, 10, ... is a whole multiple.
    """
    power = round(math.log10(price * _BASE_WIDTH)) if price > 0 else -tick_exp
    return RollGrid(width_ticks=10 ** max(0, power + tick_exp), tick_exp=tick_exp)


def empty_histogram(grid: RollGrid, lot_exp: int) -> PriceRollup:
    return PriceRollup(tick_exp=grid.tick_exp, lot_exp=lot_exp, width_ticks=grid.width_ticks)


# --- adding -----------------------------------------------------------------------------------------------------


def add_trades(total: TradeSums, trades: Sequence[Trade]) -> None:
    """`trades` in any order."""
    if not trades:
        return
    tick_exp, lot_exp, prices, lots = to_integers(trades, total.tick_exp, total.lot_exp)
    _refine(total, tick_exp, lot_exp)
    first, last = min(trades, key=_agg_id), max(trades, key=_agg_id)
    part = TradeSums(
        tick_exp=tick_exp,
        lot_exp=lot_exp,
        trades=len(trades),
        fills=sum(trade.last_trade_id - trade.first_trade_id + 1 for trade in trades),
        high_ticks=max(prices),
        low_ticks=min(prices),
        first_ticks=prices[trades.index(first)],
        last_ticks=prices[trades.index(last)],
        first_agg_id=first.agg_id,
        last_agg_id=last.agg_id,
        first_ms=first.time_ms,
        last_ms=last.time_ms,
    )
    for trade, price, lot in zip(trades, prices, lots, strict=True):
        if trade.buyer_is_maker:
            part.sell_lots += lot
            part.sell_quote_units += price * lot
        else:
            part.buy_lots += lot
            part.buy_quote_units += price * lot
    _add_sums(total, part)
    if isinstance(total, PriceRollup):
        bins, width = total.bins, total.width_ticks
        for trade, price, lot in zip(trades, prices, lots, strict=True):
            place = price // width
            buys, sells, count = bins.get(place, _NOTHING)
            if trade.buyer_is_maker:
                bins[place] = (buys, sells + lot, count + 1)
            else:
                bins[place] = (buys + lot, sells, count + 1)


def add_block(total: TradeSums, data: bytes) -> None:
    """Add a stored block. Only a histogram reads its bins: other sums cost a fraction."""
    try:
        record: list[Any] = ormsgpack.unpackb(data)
        if record[0] != VERSION:
            raise StorageCorrupt(f"A roll-up of version {record[0]!r}; this program reads version {VERSION}.")
        part = _sums(record)
        if part.tick_exp != total.tick_exp or part.lot_exp != total.lot_exp:
            tick_exp, lot_exp = max(part.tick_exp, total.tick_exp), max(part.lot_exp, total.lot_exp)
            _refine(part, tick_exp, lot_exp)
            _refine(total, tick_exp, lot_exp)
        if isinstance(total, PriceRollup):
            _add_bins(total, record, part)
        _add_sums(total, part)
    except (ValueError, TypeError, IndexError, KeyError) as error:
        raise StorageCorrupt("A stored roll-up of trades cannot be read.") from error


def _add_bins(total: PriceRollup, record: list[Any], part: TradeSums) -> None:
    width = record[1] * 10 ** (part.tick_exp - record[2])
    if width != total.width_ticks or part.low_ticks is None:
        raise StorageCorrupt("Stored roll-ups of one symbol have bins of different widths.")
    steps, *columns = map(unpack, record[18:22])
    buys, sells, counts = columns
    scale = 10 ** (part.lot_exp - record[3])
    if scale != 1:
        buys, sells = [buy * scale for buy in buys], [sell * scale for sell in sells]
    bins, known = total.bins, total.bins.get
    places = accumulate(steps, initial=part.low_ticks // width)
    for place, buy, sell, count in zip(places, buys, sells, counts, strict=True):
        held = known(place)
        if held is None:
            bins[place] = (buy, sell, count)
        else:
            bins[place] = (held[0] + buy, held[1] + sell, held[2] + count)


def add_histogram(total: PriceRollup, part: PriceRollup) -> None:
    """`part` may be moved to a finer grid."""
    tick_exp, lot_exp = max(part.tick_exp, total.tick_exp), max(part.lot_exp, total.lot_exp)
    _refine(part, tick_exp, lot_exp)
    _refine(total, tick_exp, lot_exp)
    bins = total.bins
    if not bins:
        bins.update(part.bins)
    else:
        for place, (buys, sells, count) in part.bins.items():
            held = bins.get(place, _NOTHING)
            bins[place] = (held[0] + buys, held[1] + sells, held[2] + count)
    _add_sums(total, part)


def _add_sums(total: TradeSums, part: TradeSums) -> None:
    """Both on one grid already."""
    total.trades += part.trades
    total.fills += part.fills
    total.buy_lots += part.buy_lots
    total.sell_lots += part.sell_lots
    total.buy_quote_units += part.buy_quote_units
    total.sell_quote_units += part.sell_quote_units
    if part.high_ticks is not None and (total.high_ticks is None or part.high_ticks > total.high_ticks):
        total.high_ticks = part.high_ticks
    if part.low_ticks is not None and (total.low_ticks is None or part.low_ticks < total.low_ticks):
        total.low_ticks = part.low_ticks
    if part.first_agg_id is not None and (total.first_agg_id is None or part.first_agg_id < total.first_agg_id):
        total.first_agg_id, total.first_ticks, total.first_ms = part.first_agg_id, part.first_ticks, part.first_ms
    if part.last_agg_id is not None and (total.last_agg_id is None or part.last_agg_id > total.last_agg_id):
        total.last_agg_id, total.last_ticks, total.last_ms = part.last_agg_id, part.last_ticks, part.last_ms


def _refine(sums: TradeSums, tick_exp: int, lot_exp: int) -> None:
    """Change to finer steps, because a trade had more digits than the symbol's description."""
    ticks, lots = 10 ** (tick_exp - sums.tick_exp), 10 ** (lot_exp - sums.lot_exp)
    if ticks == lots == 1:
        return
    sums.tick_exp, sums.lot_exp = tick_exp, lot_exp
    sums.buy_lots *= lots
    sums.sell_lots *= lots
    sums.buy_quote_units *= ticks * lots
    sums.sell_quote_units *= ticks * lots
    for name in ("high_ticks", "low_ticks", "first_ticks", "last_ticks"):
        value = getattr(sums, name)
        if value is not None:
            setattr(sums, name, value * ticks)
    if isinstance(sums, PriceRollup):
        sums.width_ticks *= ticks
        if lots != 1:
            sums.bins = {place: (buys * lots, sells * lots, n) for place, (buys, sells, n) in sums.bins.items()}


# --- blocks -----------------------------------------------------------------------------------------------------


def encode_block(block: PriceRollup) -> bytes:
    """Of at least one trade."""
    low, first_id, first_ms = block.low_ticks or 0, block.first_agg_id or 0, block.first_ms or 0
    places = sorted(block.bins)
    buys, sells, counts = zip(*(block.bins[place] for place in places), strict=True)
    return ormsgpack.packb(
        [
            VERSION,
            block.width_ticks,
            block.tick_exp,
            block.lot_exp,
            block.trades,
            number(block.fills),
            number(block.buy_lots),
            number(block.sell_lots),
            number(block.buy_quote_units - block.buy_lots * low),
            number(block.sell_quote_units - block.sell_lots * low),
            low,
            (block.high_ticks or 0) - low,
            (block.first_ticks or 0) - low,
            (block.last_ticks or 0) - low,
            first_id,
            (block.last_agg_id or 0) - first_id,
            first_ms,
            (block.last_ms or 0) - first_ms,
            pack([after - before for before, after in pairwise(places)]),
            pack(buys),
            pack(sells),
            pack(counts),
        ]
    )


def decode_block(data: bytes, grid: RollGrid) -> PriceRollup:
    block = empty_histogram(grid, 0)
    add_block(block, data)
    return block


def _sums(record: list[Any]) -> TradeSums:
    low, first_id, first_ms = record[10], record[14], record[16]
    buys, sells = to_number(record[6]), to_number(record[7])
    return TradeSums(
        tick_exp=record[2],
        lot_exp=record[3],
        trades=record[4],
        fills=to_number(record[5]),
        buy_lots=buys,
        sell_lots=sells,
        buy_quote_units=to_number(record[8]) + buys * low,
        sell_quote_units=to_number(record[9]) + sells * low,
        low_ticks=low,
        high_ticks=low + record[11],
        first_ticks=low + record[12],
        last_ticks=low + record[13],
        first_agg_id=first_id,
        last_agg_id=first_id + record[15],
        first_ms=first_ms,
        last_ms=first_ms + record[17],
    )


# --- the grid on disk -------------------------------------------------------------------------------------------


def encode_grid(grid: RollGrid) -> bytes:
    return ormsgpack.packb([VERSION, grid.width_ticks, grid.tick_exp, grid.floor])


def decode_grid(data: bytes) -> RollGrid:
    try:
        version, width_ticks, tick_exp, floor = ormsgpack.unpackb(data)
    except (ValueError, TypeError) as error:
        raise StorageCorrupt("The stored grid of roll-ups cannot be read.") from error
    if version != VERSION:
        raise StorageCorrupt(f"A grid of roll-ups of version {version!r}; this program reads version {VERSION}.")
    return RollGrid(width_ticks=width_ticks, tick_exp=tick_exp, floor=floor)


_NOTHING: Final[Bin] = (0, 0, 0)


def _agg_id(trade: Trade) -> int:
    return trade.agg_id
