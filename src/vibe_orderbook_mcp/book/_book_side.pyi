# To a reader of types it is the class that it compiles; tests/book/test_book.py holds the two against each other.
from vibe_orderbook_mcp.book.book_side import BookSide as BookSide
from vibe_orderbook_mcp.book.book_side import Ladder as Ladder
