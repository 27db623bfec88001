"""Events of an exchange, as values.

Prices and sizes are doubles that represent the exchange's decimals exactly (`symbol.SymbolSpec` proves it per symbol).
Times are the exchange's, in milliseconds since the epoch, unless a name says otherwise.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec

Side = Literal["bid", "ask"]
SIDES: Final[tuple[Side, Side]] = ("bid", "ask")

Price = Annotated[float, msgspec.Meta(gt=0.0, lt=1e18)]
Size = Annotated[float, msgspec.Meta(ge=0.0, lt=1e18)]
Level = tuple[Price, Size]
Id = Annotated[int, msgspec.Meta(ge=0, le=2**62)]
Millis = Annotated[int, msgspec.Meta(ge=0, le=10**14)]


# A time this far from the exchange's clock is not accepted until a second one agrees with it.
PLAUSIBLE_MS = 10_000


class DepthUpdate(msgspec.Struct, gc=False):
    """Absolute new sizes of every level that changed in updates `first_id` to `final_id`; size 0 removes a level."""

    symbol: str
    event_ms: Millis
    first_id: Id
    final_id: Id
    bids: list[Level]
    asks: list[Level]


class DepthSnapshot(msgspec.Struct, gc=False):
    """The best levels of both sides after update `last_update_id`, best first.

    A `cut` side ends before a level that could not be read: it may have more levels.
    """

    last_update_id: Id
    bids: list[Level]
    asks: list[Level]
    bids_cut: bool = False
    asks_cut: bool = False


class Trade(msgspec.Struct, gc=False):
    """One aggregate trade: the fills of one taker order at one price.

    `agg_id` is consecutive per symbol, which makes completeness provable. `buyer_is_maker` true means that the
    seller was the aggressor. Fills are `last_trade_id - first_trade_id + 1`.
    """

    agg_id: Id
    time_ms: Millis
    price: Price
    size: Size
    first_trade_id: Id
    last_trade_id: Id
    buyer_is_maker: bool

    @property
    def fills(self) -> int:
        return self.last_trade_id - self.first_trade_id + 1

    @property
    def aggressor(self) -> Literal["buy", "sell"]:
        return "sell" if self.buyer_is_maker else "buy"


class TakerGroup(msgspec.Struct, frozen=True, gc=False):
    """A group at three prices or more. Figures against the book use its newest state before the group."""

    time_ms: int
    side: Side  # of the book that it hit
    prices: int
    base: float
    quote: float
    last_price: float
    touch: float | None  # the best price of that side before
    mid: float | None  # before
    levels_cleared: int | None  # levels better than the last price; the book may be 100 ms old
    burst_quote: float  # with the groups of its side up to half a second before it, each to the next

    @property
    def slippage_bps(self) -> float | None:
        """1e4 (average price - touch) / mid, + is a cost."""
        return self._from_touch(self.quote / self.base)

    @property
    def reach_bps(self) -> float | None:
        """The same for the last price."""
        return self._from_touch(self.last_price)

    def _from_touch(self, price: float) -> float | None:
        if self.touch is None or self.mid is None:
            return None
        sign = -1 if self.side == "bid" else 1
        return sign * 1e4 * (price - self.touch) / self.mid
