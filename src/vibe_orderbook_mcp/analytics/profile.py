"""Traded volume by price: histograms of narrow bins, and the profile that is read.

Prices and sizes are integers here: ticks of 10^-tick_exp and lots of 10^-lot_exp (core.symbol). Bins are anchored
at zero (bin = ticks // width), so edges do not move when the window slides, and sums are exact.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from functools import cached_property
from math import lcm
from typing import Protocol

import msgspec

from vibe_orderbook_mcp.core.symbol import SymbolSpec
from vibe_orderbook_mcp.errors import Refusal

DEFAULT_BINS = 100
MOST_BINS = 200

Bin = tuple[int, int, int]  # lots bought by takers, lots sold by takers, aggregate trades


class PriceHistogram(Protocol):
    """What was traded in each bin of `width_ticks`; bins without a trade are absent. The store's roll-ups fit it."""

    @property
    def tick_exp(self) -> int: ...  # usually the symbol's; finer when some trade had more digits
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


@dataclass(frozen=True)
class Profile:
    """Every bin from the lowest to the highest trade, empty ones too."""

    tick_exp: int
    lot_exp: int
    width_ticks: int
    first_bin: int
    buy: tuple[int, ...]  # lots
    sell: tuple[int, ...]
    trades: tuple[int, ...]  # aggregate ones

    @cached_property
    def volume(self) -> tuple[int, ...]:
        return tuple(buy + sell for buy, sell in zip(self.buy, self.sell, strict=True))

    @cached_property
    def total(self) -> int:
        return sum(self.volume)

    @property
    def width(self) -> Decimal:
        """Of a bin, in quote units."""
        return Decimal(self.width_ticks).scaleb(-self.tick_exp)

    def low_edge(self, index: int) -> Decimal:
        """The first price of a bin; the bin ends before `low_edge(index + 1)`."""
        return (self.first_bin + index) * self.width

    def share(self, first: int, last: int) -> float:
        """Part of all volume that the bins `first` to `last` hold."""
        return sum(self.volume[first : last + 1]) / self.total if self.total else 0.0


def rebinned(histogram: PriceHistogram, width_ticks: int) -> Profile | None:
    """The profile in bins of a whole multiple of the histogram's width. None without a trade."""
    base, low, high = histogram.width_ticks, histogram.low_ticks, histogram.high_ticks
    if width_ticks % base:
        raise ValueError(f"Bins of {base} ticks do not make up bins of {width_ticks}.")
    if not histogram.bins or low is None or high is None:
        return None
    first = low // width_ticks
    count = high // width_ticks - first + 1
    buy, sell, trades = [0] * count, [0] * count, [0] * count
    for key, (bought, sold, number) in histogram.bins.items():
        index = key * base // width_ticks - first
        buy[index] += bought
        sell[index] += sold
        trades[index] += number
    exps = histogram.tick_exp, histogram.lot_exp
    return Profile(*exps, width_ticks, first, tuple(buy), tuple(sell), tuple(trades))


def bin_width(range_ticks: int, max_bins: int = DEFAULT_BINS, base: int = 1) -> int:
    """The narrowest width of the 1-2-5 series, made of whole bins of `base`, that needs at most `max_bins` bins.

    Anchoring can cut a bin at both ends, hence the 2.
    """
    return next(width for width in _series(base) if range_ticks // width + 2 <= max_bins)


@dataclass(frozen=True, slots=True)
class WidthChoice:
    """The bins that were chosen for a wish. `coarsened`: the wish would have needed more than 200 bins."""

    width_ticks: int
    wished: Decimal | None = None
    rounded: bool = False
    coarsened: bool = False


def choose_width(histogram: PriceHistogram, spec: SymbolSpec, tick_size: Decimal | None = None) -> WidthChoice:
    """Bins of about 1/100 of the range, or of `tick_size` rounded up to what can be had. Raises `Refusal`."""
    low, high = histogram.low_ticks, histogram.high_ticks
    exp = histogram.tick_exp
    base = lcm(histogram.width_ticks, tick_ticks(spec, exp))
    if tick_size is None or low is None or high is None:
        return WidthChoice(bin_width((high or 0) - (low or 0), base=base))
    if not tick_size.is_finite() or tick_size <= 0 or tick_size > Decimal(high).scaleb(-exp):
        raise Refusal(
            "invalid_argument",
            f"tick_size must be above 0 and no more than the price of {spec.symbol}.",
            f"Leave it out for bins that suit the range, or give a multiple of {spec.tick_size.normalize():f}.",
        )
    wish = int(tick_size.scaleb(exp).to_integral_value(ROUND_CEILING))
    width = -(-wish // base) * base
    rounded = Decimal(width).scaleb(-exp) != tick_size
    if (high - low) // width + 2 <= MOST_BINS:
        return WidthChoice(width, tick_size, rounded=rounded)
    return WidthChoice(bin_width(high - low, MOST_BINS, base=width), tick_size, rounded=rounded, coarsened=True)


def tick_ticks(spec: SymbolSpec, tick_exp: int) -> int:
    """The tick size in units of 10^-tick_exp: 1 for 0.01, 5 for 0.05."""
    return max(1, int(spec.tick_size.scaleb(tick_exp)))


def _series(base: int) -> Iterator[int]:
    """1, 2, 5, 10, ... as far as they are multiples of `base`; `base` times that where none is, as for 3."""
    step = base if 10 ** base.bit_length() % base else 1
    power = 1
    while True:
        for digit in (1, 2, 5):
            if (width := digit * power * step) % base == 0:
                yield width
        power *= 10
