"""Both ways of keeping one side of a book, for tests that hold for each of them."""

from __future__ import annotations

import pytest

from vibe_orderbook_mcp.book import book_side
from vibe_orderbook_mcp.book.book import OrderBook
from vibe_orderbook_mcp.book.book_side import BookSide, Ladder

CompiledSide: type[BookSide] | None
CompiledLadder: type[Ladder] | None
try:
    from vibe_orderbook_mcp.book._book_side import BookSide as CompiledSide  # whatever VIBE_PURE_PYTHON says
    from vibe_orderbook_mcp.book._book_side import Ladder as CompiledLadder
except ImportError:
    CompiledSide = CompiledLadder = None

needs_compiled = pytest.mark.skipif(CompiledSide is None, reason="the compiled part was not built: no C compiler here?")
SIDE_TYPES = [
    pytest.param(book_side.BookSide, id="python"),
    pytest.param(CompiledSide, id="compiled", marks=needs_compiled),
]


class PythonBook(OrderBook):
    __slots__ = ()

    side_type = book_side.BookSide


class CompiledBook(OrderBook):
    __slots__ = ()

    side_type = CompiledSide or book_side.BookSide


BOOK_TYPES = [
    pytest.param(PythonBook, id="python"),
    pytest.param(CompiledBook, id="compiled", marks=needs_compiled),
]
