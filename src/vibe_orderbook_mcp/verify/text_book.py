"""A book that knows its levels as the venue writes them. PURE."""

from __future__ import annotations

from collections.abc import Sequence

from vibe_orderbook_mcp.book.book import OrderBook
from vibe_orderbook_mcp.model.events import Level, Side
from vibe_orderbook_mcp.verify.parts import BookAnswer, BookUpdate, TextPair


class TextBook:
    """The server's own book, and beside it the text of each level."""

    def __init__(self, answer: BookAnswer) -> None:
        self.book = OrderBook(answer.snapshot)
        self._texts: dict[Side, dict[float, TextPair]] = {"bid": {}, "ask": {}}
        self._note("bid", answer.snapshot.bids, answer.bids)
        self._note("ask", answer.snapshot.asks, answer.asks)

    def apply(self, frame: BookUpdate) -> None:
        self.book.apply(frame.update)
        self._note("bid", frame.update.bids, frame.bids)
        self._note("ask", frame.update.asks, frame.asks)

    def best(self, side: Side) -> TextPair | None:
        """Price and size; None for an empty side."""
        price = self.book.side(side).best
        return None if price is None else self._texts[side][price]

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
