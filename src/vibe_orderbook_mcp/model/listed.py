"""An exchange's list of symbols, and their assets. Pure.

Text from another machine that may reach an answer is checked once, when it is parsed: `is_asset_name`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

import msgspec

from vibe_orderbook_mcp.model.symbol import LONGEST_SYMBOL

# Origin of prices: an exchange, a simulation, or the replay of a recording.
PriceSource = Literal["live", "simulated", "recording"]

LONGEST_ASSET = 20
_MARKS_IN_NAMES = "-_."  # in addition to letters and digits of any script: the exchange lists names that are not ASCII


class Listed(msgspec.Struct, frozen=True, gc=False):
    """One symbol of the list. `is_trading` is false while the exchange has halted it."""

    symbol: str
    base_asset: str
    quote_asset: str
    is_trading: bool = True


class Listing:
    """All symbols of an exchange as of one moment. Never changes; a fresh list is another object.

    `read_secs` is when it was read, by the caller's monotonic clock.
    """

    __slots__ = ("_by_letters", "_by_symbol", "_pairs", "base_assets", "quote_assets", "read_secs")

    def __init__(self, entries: Iterable[Listed], *, read_secs: float = 0.0) -> None:
        self._by_symbol = {entry.symbol: entry for entry in entries}
        self.base_assets = frozenset(entry.base_asset for entry in self._by_symbol.values())
        self.quote_assets = frozenset(entry.quote_asset for entry in self._by_symbol.values())
        self.read_secs = read_secs
        self._by_letters: dict[str, str] = {}
        self._pairs: dict[tuple[str, str], str] = {}
        for entry in self._by_symbol.values():
            self._by_letters.setdefault(_letters(entry.symbol), entry.symbol)
            # Of several contracts in the same assets the plain one has the shortest name.
            assets = entry.base_asset, entry.quote_asset
            if assets not in self._pairs or len(entry.symbol) < len(self._pairs[assets]):
                self._pairs[assets] = entry.symbol

    def __len__(self) -> int:
        return len(self._by_symbol)

    def __contains__(self, symbol: str) -> bool:
        return symbol in self._by_symbol

    def __iter__(self) -> Iterator[Listed]:
        return iter(self._by_symbol.values())

    @property
    def names(self) -> Iterable[str]:
        """Every symbol in the exchange's spelling."""
        return self._by_symbol.keys()

    def get(self, symbol: str) -> Listed | None:
        return self._by_symbol.get(symbol)

    def spelled(self, text: str) -> str | None:
        """The symbol with these letters and digits, whatever stands between them."""
        return self._by_letters.get(_letters(text))

    def pair(self, base_asset: str, quote_asset: str) -> str | None:
        """The symbol of these two assets."""
        return self._pairs.get((base_asset, quote_asset))

    def age_secs(self, now_secs: float) -> float:
        return max(0.0, now_secs - self.read_secs)


def _letters(text: str) -> str:
    return "".join(character for character in text.upper() if character.isalnum())


def is_asset_name(text: object) -> bool:
    """Whether this is a plain name: up to 20 letters and digits of any script, with `-`, `_` or `.` among them."""
    return _is_name(text, LONGEST_ASSET)


def is_symbol_name(text: object) -> bool:
    """The same for a symbol, which is as long as two assets."""
    return _is_name(text, LONGEST_SYMBOL)


def _is_name(text: object, longest: int) -> bool:
    if not isinstance(text, str) or not 0 < len(text) <= longest or not text[0].isalnum():
        return False
    return all(character.isalnum() or character in _MARKS_IN_NAMES for character in text)
