"""A book that knows its levels as the venue writes them. PURE."""

from __future__ import annotations

from collections.abc import Sequence

from vibe_orderbook_mcp.book.book import OrderBook
from vibe_orderbook_mcp.model.events import DepthSnapshot, DepthUpdate, Level, Side
from vibe_orderbook_mcp.verify.parts import TextPair, numbers


class TextBook:
    """The server's own book, and beside it the text of each level."""

    def __init__(self, bids: Sequence[TextPair], asks: Sequence[TextPair]) -> None:
        """Raises msgspec.ValidationError for a price or size that is none."""
        self.book = OrderBook(DepthSnapshot(0, [], []))
        self._texts: dict[Side, dict[float, TextPair]] = {"bid": {}, "ask": {}}
        self.apply(bids, asks)

    def apply(self, bids: Sequence[TextPair], asks: Sequence[TextPair]) -> None:
        """Set levels in their order: of a price that is named twice, the last row counts. Raises as above."""
        update = DepthUpdate("", 0, 0, 0, numbers(bids), numbers(asks))
        self.book.apply(update)
        self._note("bid", update.bids, bids)
        self._note("ask", update.asks, asks)

    def keep_best(self, count: int) -> None:
        """Forget the levels behind the best `count` of each side."""
        for side, known in self._texts.items():
            if len(known) > count:
                for price in self.book.side(side).best_levels(len(known))[0][count:]:
                    del known[price]
        self.book.keep_best(count)

    def best(self, side: Side) -> TextPair | None:
        """Price and size; None for an empty side."""
        price = self.book.side(side).best
        return None if price is None else self._texts[side][price]

    def top(self, side: Side, count: int) -> list[TextPair]:
        """The best `count` levels, best first."""
        known = self._texts[side]
        return [known[price] for price in self.book.side(side).best_levels(count)[0]]

    def count(self, side: Side) -> int:
        return len(self._texts[side])

    @property
    def levels(self) -> int:
        return sum(map(len, self._texts.values()))

    def _note(self, side: Side, levels: Sequence[Level], texts: Sequence[TextPair]) -> None:
        known = self._texts[side]
        for (price, size), text in zip(levels, texts, strict=True):
            if size:
                known[price] = text
            else:
                known.pop(price, None)
