"""Traded volume by price: histograms of narrow bins, and the profile with wider bins.

Prices and sizes are integers here: ticks of 10^-tick_exp and lots of 10^-lot_exp (model.symbol). Bins are
anchored at zero (bin = ticks // width), so edges do not move when the window slides, and sums are exact.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from functools import cached_property
from math import lcm
from typing import Protocol

import msgspec

from vibe_orderbook_mcp.model.errors import Refusal
from vibe_orderbook_mcp.model.symbol import SymbolSpec, tick_ticks

DEFAULT_BINS = 100
MOST_BINS = 200
# A far print must not make bins wider: up to this share of all lots is left out of the bins at each end of the range.
END_PERMILLE = 5

Bin = tuple[int, int, int]  # lots bought by takers, lots sold by takers, aggregate trades
Ticks = tuple[int, int]  # lowest and highest price

NOTHING: Bin = (0, 0, 0)


class PriceHistogram(Protocol):
    """Volume in each bin of `width_ticks`; bins without a trade are absent. The store's roll-ups satisfy it."""

    @property
    def tick_exp(self) -> int: ...  # usually the symbol's; finer if a trade had more digits
    @property
    def lot_exp(self) -> int: ...
    @property
    def width_ticks(self) -> int: ...
    @property
    def bins(self) -> Mapping[int, Bin]: ...
    @property
    def low_ticks(self) -> int | None: ...  # lowest and highest traded price; None without a trade
    @property
    def high_ticks(self) -> int | None: ...
    @property
    def last_ticks(self) -> int | None: ...  # price of the newest trade
    @property
    def last_ms(self) -> int | None: ...  # its exchange time
    @property
    def buy_quote_units(self) -> int: ...  # ticks * lots
    @property
    def sell_quote_units(self) -> int: ...


class Histogram(msgspec.Struct, frozen=True):
    """A `PriceHistogram` made from trades."""

    tick_exp: int
    lot_exp: int
    width_ticks: int
    bins: Mapping[int, Bin]
    low_ticks: int | None = None
    high_ticks: int | None = None
    buy_quote_units: int = 0
    sell_quote_units: int = 0
    last_ticks: int | None = None
    last_ms: int | None = None


@dataclass(frozen=True)
class Profile:
    """Every bin of a range, empty ones too, and the volume below and above it."""

    tick_exp: int
    lot_exp: int
    width_ticks: int
    first_bin: int
    buy: tuple[int, ...]  # lots
    sell: tuple[int, ...]
    trades: tuple[int, ...]  # aggregate ones
    below: Bin = NOTHING
    above: Bin = NOTHING
    one_price: bool = False  # each bin is one tick wide: a price, not a range

    @cached_property
    def volume(self) -> tuple[int, ...]:
        return tuple(buy + sell for buy, sell in zip(self.buy, self.sell, strict=True))

    @cached_property
    def total(self) -> int:
        """Lots, those below and above the bins included."""
        return sum(self.buys_and_sells)

    @cached_property
    def buys_and_sells(self) -> tuple[int, int]:
        """Lots, those below and above the bins included."""
        buys, sells = (sum(side) + self.below[at] + self.above[at] for at, side in enumerate((self.buy, self.sell)))
        return buys, sells

    @property
    def trade_count(self) -> int:
        return sum(self.trades) + self.below[2] + self.above[2]

    @property
    def width(self) -> Decimal:
        """Of a bin, in quote units."""
        return Decimal(self.width_ticks).scaleb(-self.tick_exp)

    def low_edge(self, index: int) -> Decimal:
        """The first price of a bin; the bin ends before `low_edge(index + 1)`."""
        return (self.first_bin + index) * self.width

    def high_edge(self, index: int) -> Decimal:
        """The end of a bin as shown: the first price of the next one; for a bin of one price, that price."""
        return self.low_edge(index if self.one_price else index + 1)

    def share(self, first: int, last: int) -> float:
        """Share of all volume in the bins `first` to `last`."""
        return sum(self.volume[first : last + 1]) / self.total if self.total else 0.0


def rebinned(
    histogram: PriceHistogram, width_ticks: int, within: Ticks | None = None, *, one_price: bool = False
) -> Profile | None:
    """The profile in bins of a whole multiple of the histogram's width. None without a trade.

    `within` are the prices that get bins; volume beyond them is summed up at both ends. `one_price`: each bin is one
    price, see `is_one_price`.
    """
    base = histogram.width_ticks
    if width_ticks % base:
        raise ValueError(f"Bins of {base} ticks do not make up bins of {width_ticks}.")
    if not histogram.bins or (whole := whole_range(histogram)) is None:
        return None
    low, high = whole if within is None else within
    first = low // width_ticks
    count = high // width_ticks - first + 1
    buy, sell, trades = [0] * count, [0] * count, [0] * count
    ends = {True: NOTHING, False: NOTHING}  # above, below
    for key, bin_ in histogram.bins.items():
        index = key * base // width_ticks - first
        if 0 <= index < count:
            buy[index] += bin_[0]
            sell[index] += bin_[1]
            trades[index] += bin_[2]
        else:
            ends[index > 0] = _sum(ends[index > 0], bin_)
    columns = tuple(buy), tuple(sell), tuple(trades)
    ends_of = ends[False], ends[True]
    return Profile(histogram.tick_exp, histogram.lot_exp, width_ticks, first, *columns, *ends_of, one_price)


def whole_range(histogram: PriceHistogram) -> Ticks | None:
    """From the lowest to the highest trade. None without one."""
    low, high = histogram.low_ticks, histogram.high_ticks
    return None if low is None or high is None else (low, high)


def main_range(histogram: PriceHistogram) -> Ticks | None:
    """The range without far prints: those outside the middle 99 % of all lots by more than half of its length.

    So at most 0.5 % of the lots are left out at each end.
    """
    whole, total = whole_range(histogram), sum(buy + sell for buy, sell, _ in histogram.bins.values())
    if whole is None or total == 0:
        return whole
    places, base = sorted(histogram.bins), histogram.width_ticks
    low, high = _middle(histogram, places, total) * base, (_middle(histogram, places[::-1], total) + 1) * base - 1
    margin = (high - low) // 2
    near = [place for place in places if low - margin < (place + 1) * base and place * base <= high + margin]
    return max(whole[0], near[0] * base), min(whole[1], (near[-1] + 1) * base - 1)


def _middle(histogram: PriceHistogram, places: Sequence[int], total: int) -> int:
    """The first bin of the middle 99 %, counted from one end."""
    left_out = 0
    for place in places:
        left_out += sum(histogram.bins[place][:2])
        if 1000 * left_out > END_PERMILLE * total:
            return place
    return places[-1]


def _sum(one: Bin, other: Bin) -> Bin:
    return one[0] + other[0], one[1] + other[1], one[2] + other[2]


def bin_width(range_ticks: int, max_bins: int = DEFAULT_BINS, base: int = 1) -> int:
    """The narrowest width of the 1-2-5 series, in whole bins of `base`, that needs at most `max_bins` bins.

    The 2 is there because anchoring can cut a bin at both ends.
    """
    return next(width for width in _series(base) if range_ticks // width + 2 <= max_bins)


@dataclass(frozen=True, slots=True)
class WidthChoice:
    """The bins chosen for a requested width. `coarsened`: that width needs more than 200 bins.

    `within`: the prices that get bins, without far prints; None: all.
    """

    width_ticks: int
    within: Ticks | None = None
    wished: Decimal | None = None
    rounded: bool = False
    coarsened: bool = False


def choose_width(histogram: PriceHistogram, spec: SymbolSpec, tick_size: Decimal | None = None) -> WidthChoice:
    """Bins of about 1/100 of the range, or of `tick_size` rounded up to an available width. Raises `Refusal`."""
    exp = histogram.tick_exp
    base = lcm(histogram.width_ticks, tick_ticks(spec, exp))
    if (whole := whole_range(histogram)) is None:
        return WidthChoice(bin_width(0, base=base))
    if tick_size is None:
        width, within = _fitting(histogram, whole, DEFAULT_BINS, base)
        return WidthChoice(width, within)
    if not tick_size.is_finite() or tick_size <= 0 or tick_size > Decimal(whole[1]).scaleb(-exp):
        raise Refusal(
            "invalid_argument",
            f"tick_size must be above 0 and no more than the price of {spec.symbol}.",
            f"Leave it out for bins that suit the range, or give a multiple of {spec.tick_size.normalize():f}.",
        )
    wish = int(tick_size.scaleb(exp).to_integral_value(ROUND_CEILING))
    width = -(-wish // base) * base
    rounded = Decimal(width).scaleb(-exp) != tick_size
    if _needed(whole, width) <= MOST_BINS:
        return WidthChoice(width, wished=tick_size, rounded=rounded)
    found, within = _fitting(histogram, whole, MOST_BINS, width)
    return WidthChoice(found, within, tick_size, rounded=rounded, coarsened=found > width)


def _fitting(histogram: PriceHistogram, whole: Ticks, most: int, base: int) -> tuple[int, Ticks | None]:
    """The narrowest width that needs at most `most` bins, and the prices that get bins if not the whole range."""
    width, main = bin_width(whole[1] - whole[0], most, base), main_range(histogram)
    if main is None or main == whole:
        return width, None
    narrower = base if _needed(main, base) <= most else bin_width(main[1] - main[0], most, base)
    return (narrower, main) if narrower < width else (width, None)


def _needed(prices: Ticks, width: int) -> int:
    """The most bins for a range at any place: anchoring can cut one at both ends."""
    return (prices[1] - prices[0]) // width + 2


def is_one_price(histogram: PriceHistogram, spec: SymbolSpec, width_ticks: int) -> bool:
    """Whether bins of this width are one price each: a tick wide, without trades between the ticks.

    Trades between ticks come from a finer grid, before the exchange changed the symbol's tick.
    """
    if width_ticks != tick_ticks(spec, histogram.tick_exp):
        return False
    base, is_known = histogram.width_ticks, histogram.tick_exp == spec.tick_exp
    return (is_known or base == 1) and all(key * base % width_ticks == 0 for key in histogram.bins)


def _series(base: int) -> Iterator[int]:
    """1, 2, 5, 10, ... that are multiples of `base`; `base` times the series if none is, as for 3."""
    step = base if 10 ** base.bit_length() % base else 1
    power = 1
    while True:
        for digit in (1, 2, 5):
            if (width := digit * power * step) % base == 0:
                yield width
        power *= 10
