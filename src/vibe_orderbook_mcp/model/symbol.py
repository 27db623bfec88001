"""A symbol's grid, and the proof that doubles stand for its decimals exactly."""

from __future__ import annotations

from decimal import Decimal
from functools import cached_property

import msgspec

from vibe_orderbook_mcp.model.errors import InexactSymbol
from vibe_orderbook_mcp.model.instrument import UNPROVEN, Instrument, MarketKind, Proof

# Every decimal of up to 15 significant digits survives the conversion to an IEEE 754 double and back.
EXACT_DIGITS = 15

# A level holds many orders: allow a hundred of the largest ones before a level's size could lose a digit.
ORDERS_A_LEVEL = 100

LONGEST_SYMBOL = 40  # characters


class SymbolSpec(msgspec.Struct, frozen=True, dict=True):  # `dict`: for the cached properties
    """What the exchange says of one instrument. Decimals are kept as the exchange writes them.

    `symbol` is the instrument's name, with the venue where that is another than the default one; `instrument` has the
    venue's own spelling.

    `price_decimals` and `size_decimals` are how many places the exchange prints ("0.01000000" -> 8), `tick_exp`
    and `lot_exp` how many are significant ("0.01000000" -> 2): integers of ticks and lots count in 10^-exp.
    """

    symbol: str
    base_asset: str
    quote_asset: str
    tick_size: Decimal
    step_size: Decimal
    max_price: Decimal = Decimal(0)  # 0: the exchange sets no limit
    max_size: Decimal = Decimal(0)
    trading: bool = True
    iceberg_parts: int | None = None  # into how many shown parts an order may be split; None: not said, or not stored
    market: MarketKind = "spot"
    proof: Proof = UNPROVEN  # of its venue; not stored
    contract_size: Decimal = Decimal(1)  # base units in one unit of the venue's own sizes; not stored

    @cached_property
    def instrument(self) -> Instrument:
        return Instrument.of(self.symbol)

    @cached_property
    def price_decimals(self) -> int:
        return _places(self.tick_size)

    @cached_property
    def size_decimals(self) -> int:
        return _places(self.step_size)

    @cached_property
    def tick_exp(self) -> int:
        return _places(self.tick_size.normalize() or self.tick_size)  # 0: no filter, so every printed place counts

    @cached_property
    def lot_exp(self) -> int:
        return _places(self.step_size.normalize() or self.step_size)

    def check_exact(self) -> None:
        """Raise `InexactSymbol` when a price or a level's size could need more than 15 significant digits."""
        for what, exp, largest in (
            ("a price", self.tick_exp, self.max_price),
            ("a level's size", self.lot_exp, self.max_size * ORDERS_A_LEVEL),
        ):
            if (digits := len(str(int(largest.scaleb(exp))))) > EXACT_DIGITS:
                raise InexactSymbol(self.symbol, what, digits)


def tick_ticks(spec: SymbolSpec, tick_exp: int) -> int:
    """The tick size in units of 10^-tick_exp: 1 for 0.01, 5 for 0.05."""
    return max(1, int(spec.tick_size.scaleb(tick_exp)))


def decimal_text(value: float, places: int) -> str:
    """The exchange's own spelling: 61837.63 -> "61837.63000000", with more places only where the value has more.

    With eight places 100000000.01 has 17 digits, and the last two digits of a double are noise: ...0.01000001. The
    shortest form is the exact decimal, so zeros are appended to it.
    """
    shortest = repr(value)
    if "e" in shortest:
        shortest = format(Decimal(shortest), "f")
    whole, _, fraction = shortest.partition(".")
    fraction = f"{fraction.rstrip('0'):0<{places}}"
    return f"{whole}.{fraction}" if fraction else whole


def _places(value: Decimal) -> int:
    exponent = value.as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0
