"""What several dialects need to word a market: best levels, windows of a book, times, JSON. PURE."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from vibe_orderbook_mcp.sim.dialects.contract import ASK, BID, MarketFill, Product, Sides


def best_levels(sides: Sides, depth: int | None = None) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Best first."""
    bids, asks = sides
    return (
        [(price, bids[price]) for price in sorted(bids, reverse=True)[:depth]],
        [(price, asks[price]) for price in sorted(asks)[:depth]],
    )


class BookWindow:
    """The best levels a side of a book, and the rows that keep a client's copy of them right."""

    def __init__(self, sides: Sides, depth: int) -> None:
        self.depth = depth
        self._sides = sides
        self.levels = best_levels(sides, depth)
        self._known: Sides = (dict(self.levels[BID]), dict(self.levels[ASK]))

    def step(self, *, with_fallen: bool) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """Rows since the step before: first what is gone, with size 0, so that a copy which is cut after each row loses
        nothing. `with_fallen`: levels that fell out of the window are deleted too; without it the client cuts its copy.
        """
        self.levels = best_levels(self._sides, self.depth)
        rows: tuple[list[tuple[int, int]], list[tuple[int, int]]] = ([], [])
        for side, (levels, before) in enumerate(zip(self.levels, self._known, strict=True)):
            after = dict(levels)
            there = after if with_fallen else self._sides[side]
            gone = [(price, 0) for price in before if price not in there]
            new = [(price, size) for price, size in levels if before.get(price) != size]
            rows[side].extend(gone + new)
            before.clear()
            before.update(after)
        return rows


def rfc3339(time_ms: int, micros: int = 0) -> str:
    """UTC with six places: "2026-07-07T23:00:03.947173Z"."""
    days, in_day = divmod(time_ms, 86_400_000)
    seconds, millis = divmod(in_day, 1000)
    year, month, day = _date(days)
    clock = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return f"{year:04}-{month:02}-{day:02}T{clock}.{millis:03}{micros:03}Z"


def _date(days: int) -> tuple[int, int, int]:
    """Days since 1970-01-01 in the Gregorian calendar, counted in eras of 400 years that begin in March."""
    era, day_of_era = divmod(days + 719_468, 146_097)
    year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted = (5 * day_of_year + 2) // 153
    month = shifted + 3 if shifted < 10 else shifted - 9
    return year_of_era + era * 400 + (month <= 2), month, day_of_year - (153 * shifted + 2) // 5 + 1


def parse_request(text: str) -> dict[str, Any] | None:
    """A client's JSON object; None for anything else."""
    try:
        request = msgspec.json.decode(text.encode())
    except (msgspec.DecodeError, UnicodeEncodeError):
        return None
    return request if isinstance(request, dict) else None


def top_of(sides: Sides) -> tuple[tuple[int, int] | None, tuple[int, int] | None]:
    """Best bid and ask with their sizes; None for a side without levels."""
    bids, asks = sides
    bid, ask = max(bids, default=None), min(asks, default=None)
    return (None if bid is None else (bid, bids[bid]), None if ask is None else (ask, asks[ask]))


def sum_of(rows: Sequence[MarketFill], product: Product) -> tuple[float, float]:
    """Sizes and quote amounts of trades."""
    sizes = sum(product.size.number(row.lots) for row in rows)
    return sizes, sum(product.size.number(row.lots) * product.price.number(row.price) for row in rows)


encode: Final = msgspec.json.Encoder().encode
